"""A clip as it was planned: what the questions about it, and their answers, are made of.

Everything drawn for a clip (a wording, a unit to ask for) hashes the draw's seed, the clip's id and the name of what is
drawn: nothing depends on the order of the clips, or on the clips of other subjects.

    clip.drawn("caption", 6)                       # 0 to 5, the same on every run
    clip.example("caption", "What moves?", "...")

Truth is the *intended* programme of action units; groups are of *perceived* labels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, Final

import pyarrow as pa

from equime.action_units import ActionUnit
from equime.captioning import templates
from equime.noise import seed_of
from equime.tuning.example import Example, Kind, Task, Truth

COLUMNS: Final = (
    *("clip_id", "subject_id", "split", "emotion", "control", "action_units", "onset_ms", "apex_ms", "offset_ms"),
    *("seed", "caption", "captioner", "caption_error", "num_frames", "generate_error"),
)
"""What examples are made of; `num_frames` and `generate_error` say whether there is a clip."""
LOOKED_AT: Final = 32
"""Clips of a subject that are looked at for one that differs."""


@dataclass(frozen=True)
class Planned:
    """A clip that was made, and what it was planned to show.

    Attributes:
        clip_id: Its id.
        subject_id: Whose face; the clip's own id where nobody knows.
        split: "train", "validation" or "test".
        control: "neutral", "macro" or "blink"; None for an expression.
        caption: Of the data set, if it has one.
        captioner: Who worded it: "template", a model, or None.
        seed: Of the clip: picks the words of a caption that is written here.
        draw: Seed of whoever draws examples.
        truth: What it shows.
        groups: Attribute -> perceived label of the subject.
    """

    clip_id: str
    subject_id: str
    split: str
    control: str | None
    caption: str | None
    captioner: str | None
    seed: int
    draw: int
    truth: Truth
    groups: Mapping[str, str | None]

    @property
    def is_known(self) -> bool:
        """Whether its units are known: imported clips may have an emotion alone, or nothing at all."""
        return bool(self.truth.units) or self.control is not None

    def drawn(self, what: str, number: int) -> int:
        """A number from 0 to `number` - 1, of its own for each `what`."""
        return seed_of(self.draw, f"{self.clip_id}\0{what}") % number

    def worded(self, emotion: str | None, units: Sequence[ActionUnit]) -> str:
        """A caption in the data set's templates, in this clip's wording and with its times."""
        truth, control = self.truth, None if units else self.control
        return templates.caption(emotion, units, truth.onset_ms, truth.apex_ms, truth.offset_ms, self.seed, control)

    @cached_property
    def words(self) -> str:
        """What it was planned to show, in words that `equime.captioning.templates.units_in` reads back."""
        return self.worded(self.truth.emotion, self.truth.units)

    def example(
        self, task: Task, question: str, answer: str, *, name: str = "", kind: Kind = "", **more: str
    ) -> Example:
        """A question about this clip; `more` as of `Example`, `name` its part of the id in place of the task's."""
        return Example(
            f"{self.clip_id}#{name or task}",
            self.clip_id,
            self.subject_id,
            self.split,
            task,
            question,
            answer,
            self.truth,
            kind,
            groups=self.groups,
            **more,
        )


class Company:
    """The other clips of each clip's subject."""

    def __init__(self, clips: Iterable[Planned]) -> None:
        self.of: dict[str, list[Planned]] = defaultdict(list)
        for clip in clips:
            self.of[clip.subject_id].append(clip)

    def other(self, clip: Planned, what: str, fits: Callable[[Planned], bool]) -> Planned | None:
        """One of the same subject that fits, from a place on that is the clip's own."""
        known = self.of[clip.subject_id]
        start = clip.drawn(what, len(known))
        turn = (known[(start + step) % len(known)] for step in range(min(len(known), LOOKED_AT)))
        return next((one for one in turn if fits(one)), None)


def planned(rows: pa.Table, draw: int, attributes: Sequence[str]) -> Iterator[Planned]:
    """The clips of rows that hold `COLUMNS` and a column of labels for each attribute, in their order."""
    labels: dict[tuple[str | None, ...], Mapping[str, str | None]] = {}
    columns = [name for name in COLUMNS if name not in ("num_frames", "generate_error")]
    told = zip(*(rows[name].to_pylist() for name in attributes), strict=True)
    values = zip(*(rows[name].to_pylist() for name in columns), strict=True)
    for row, said in zip((dict(zip(columns, value, strict=True)) for value in values), told, strict=True):
        groups = labels.setdefault(said, MappingProxyType(dict(zip(attributes, said, strict=True))))
        yield _planned(row, draw, groups)


def _planned(row: Mapping[str, Any], draw: int, groups: Mapping[str, str | None]) -> Planned:
    units = tuple(_unit(unit["au"], unit["side"], unit["intensity"]) for unit in row["action_units"] or ())
    seed = row["seed"] if row["seed"] is not None else seed_of(0, row["clip_id"])
    return Planned(
        row["clip_id"],
        row["subject_id"],
        row["split"],
        row["control"],
        row["caption"] if row["caption_error"] is None else None,
        row["captioner"],
        seed,
        draw,
        Truth(row["emotion"], units, row["onset_ms"], row["apex_ms"], row["offset_ms"]),
        groups,
    )


@lru_cache(maxsize=4096)
def _unit(au: int, side: str | None, intensity: str | None) -> ActionUnit:
    return ActionUnit.from_dict({"au": au, "side": side, "intensity": intensity})
