"""One question about one clip, and its answer: what a vision-language model is trained on, tested on and exported as.

Why one type: TRL, LLaMA-Factory, ms-swift, Qwen's own scripts and ME-VQA want other files of the same thing; and who
evaluates a model has to know what each clip was planned to show, whatever the answer was worded like.

    example.question, example.answer, example.truth.units

Truth is the *intended* programme of action units, never a felt emotion; groups are of *perceived* labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

from equime.action_units import ActionUnit

Task = Literal["caption", "json", "question", "preference"]
TASKS: Final[tuple[Task, ...]] = ("caption", "json", "question", "preference")
"""Words; the same as one JSON object; short questions as ME-VQA asks them; an answer and a wrong one to tell apart."""

Kind = Literal["", "coarse", "fine", "units", "unit", "present", "side", "joint"]
KINDS: Final[tuple[Kind, ...]] = ("coarse", "fine", "units", "unit", "present", "side", "joint")
"""Of questions, as ME-VQA (MEGC 2025, arXiv 2506.15298) has them: three classes, the emotion, all units, the only unit,
whether a unit is there, its side, and several at once."""


@dataclass(frozen=True)
class Truth:
    """What a clip was planned to show.

    Attributes:
        emotion: The intended emotion; None for a control.
        units: Planned units; none for a neutral control.
        onset_ms: From the clip's start; None without an expression.
        apex_ms: Likewise.
        offset_ms: Likewise.
    """

    emotion: str | None
    units: tuple[ActionUnit, ...]
    onset_ms: float | None = None
    apex_ms: float | None = None
    offset_ms: float | None = None


@dataclass(frozen=True)
class Example:
    """A question about a clip and its answer.

    Attributes:
        id: Unique: "<clip_id>#caption", "<clip_id>#present-2".
        clip_id: Which clip.
        subject_id: Whose face; splits never share one.
        split: "train", "validation" or "test".
        task: One of `TASKS`.
        kind: Of a question; "" for other tasks.
        question: What is asked, without any token for the video.
        answer: What is to be said.
        rejected: Of a preference pair, the wrong answer; None otherwise.
        wrong: How the wrong one is wrong: "side", "unit", "intensity", "emotion", "twin"; "" otherwise.
        truth: Of the clip.
        groups: Attribute -> perceived label of the subject, null where nobody said.
    """

    id: str
    clip_id: str
    subject_id: str
    split: str
    task: Task
    question: str
    answer: str
    truth: Truth
    kind: Kind = ""
    rejected: str | None = None
    wrong: str = ""
    groups: Mapping[str, str | None] = field(default_factory=lambda: MappingProxyType({}))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        plain = {name: value for name, value in vars(self).items() if name not in ("truth", "groups")}
        truth = {name: value for name, value in vars(self.truth).items() if name != "units"}
        units = [unit.to_dict() for unit in self.truth.units]
        return plain | {"truth": truth | {"units": units}, "groups": dict(self.groups)}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Example:
        """From what `to_dict` gave.

        Raises:
            KeyError: A field is missing.
        """
        truth = dict(told["truth"])
        units = tuple(ActionUnit.from_dict(unit) for unit in truth.pop("units"))
        return cls(**{**told, "truth": Truth(units=units, **truth), "groups": dict(told["groups"])})
