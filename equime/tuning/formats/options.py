"""What can be asked of an export: the format, the tasks, the view; and what a format is.

Export("trl", tasks=("caption", "question"), view="clip", frames=48, size=224).cut
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, cast

from equime.errors import EquimeError
from equime.options import option
from equime.tuning.example import Example, Task
from equime.tuning.formats import i2v, messages, mevqa, qwen, trl
from equime.tuning.formats.media import Cut, Shown
from equime.tuning.view import Name as ViewName
from equime.tuning.view import View

FormatName = Literal["trl", "messages", "qwen", "mevqa", "i2v"]
FRAMES: Final = 16
"""Shown where nobody says how many."""


class Format(Protocol):
    """What a format's module holds."""

    @property
    def TASKS(self) -> tuple[Task, ...]:
        """The tasks that it can hold."""

    def rows(self, example: Example, shown: Shown, about: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """(kind of file, row) of an example."""

    def extras(self, files: Sequence[str], shown: Shown) -> dict[str, Any]:
        """Other JSON files by name."""

    def loading(self, files: Sequence[str], shown: Shown) -> str:
        """How trainers load it, as Markdown."""


FORMATS: Final[Mapping[FormatName, Format]] = {
    "trl": trl,
    "messages": messages,
    "qwen": qwen,
    "mevqa": mevqa,
    "i2v": i2v,
}


@dataclass(frozen=True)
class Export:
    """What is exported. Every field but `workers` changes the files."""

    format: FormatName = option(
        "trl", help="TRL; LLaMA-Factory and ms-swift; Qwen's scripts; ME-VQA; image-to-video benchmark"
    )
    tasks: tuple[str, ...] = option((), help="caption, json, question, preference (default: all the format can hold)")
    view: ViewName | None = option(
        None, help="frames around the planned apex, the clip, or onset, apex, offset and how they move (default: apex)"
    )
    frames: int | None = option(None, help="how many (default: 16; of the view 'clip', every one)")
    size: int | None = option(None, help="pixels of a side (default: as they are)")
    labels: Literal["source", "tag"] | None = option(
        None, help="write perceived labels of subjects, by whom (default: none)"
    )
    splits: tuple[str, ...] = option((), help="which (default: all)")
    limit: int | None = option(None, help="at most so many clips")
    seed: int = option(0, help="draws wordings and wrong answers")
    workers: int = option(1, help="threads that write clips", result=False)

    def __post_init__(self) -> None:
        """Refuse what the format cannot hold."""
        if self.format not in FORMATS:
            raise EquimeError(f"expected a format of {', '.join(FORMATS)}, got {self.format!r}")
        wrong = [task for task in self.tasks if task not in FORMATS[self.format].TASKS]
        if wrong:
            held = ", ".join(FORMATS[self.format].TASKS) or "no tasks"
            raise EquimeError(f"the format {self.format} holds {held}, not {', '.join(wrong)}: leave out --tasks")
        if self.format == "i2v" and (self.view not in (None, "clip") or self.frames or self.size):
            raise EquimeError("the format i2v holds whole clips: leave out --view, --frames and --size")
        for name, least in (("frames", 0), ("size", 0), ("workers", 1)):
            if (given := getattr(self, name)) is not None and given < least:
                raise EquimeError(f"expected --{name} of {least} or more, got {given}")
        _ = self.cut

    @property
    def held(self) -> tuple[Task, ...]:
        """The tasks that are exported."""
        return cast(tuple[Task, ...], self.tasks) or FORMATS[self.format].TASKS

    @property
    def cut(self) -> Cut:
        """How clips become files."""
        if self.format == "i2v":
            return Cut(None, reference=True)
        name: ViewName = self.view or "apex"
        whole = name == "clip" and not self.frames and not self.size
        if name == "clip" and self.size and not self.frames:
            raise EquimeError("expected --frames with --view clip --size: how many of the clip's frames")
        return Cut(None if whole else View(name, self.frames or FRAMES, self.size or 0), loose=self.format == "mevqa")
