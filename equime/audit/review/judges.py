"""Who says something of the clips, coders, the plan and the measurement alike, as arrays that can be compared.

judge = Judge.of("coder A", codes)              # a `sheet.Code`, or None, for each clip
judge.units[:, place(12)]                       # whether it saw unit 12 in each clip
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from equime import schema
from equime.action_units import FACS, INTENSITIES, ActionUnit
from equime.audit.review.sheet import EMOTIONS, REALISM, Code, derived

Array = npt.NDArray[Any]

NUMBERS: Final = tuple(FACS)
"""The units, in the order of `Judge.units`."""
QUESTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "emotion": EMOTIONS,
    "side": ("L", "R", "B"),
    "intensity": tuple(INTENSITIES),
    "realism": REALISM,
}
"""Question -> its answers. A side that was not named ("U") is no answer."""
WEIGHTS: Final[Mapping[str, Literal["quadratic"] | None]] = {
    "emotion": None,
    "side": None,
    "intensity": "quadratic",
    "realism": "quadratic",
}
PLAN: Final = "the plan"
MEASURED: Final = "what was measured"


@dataclass(frozen=True, eq=False)
class Judge:
    """What one says of n clips.

    Attributes:
        name: For people.
        coded: bool (n,), whether it says which units it saw, none included.
        units: bool (n, units), in the order of `NUMBERS`; False where not coded.
        answers: Question -> int64 (n,), the place of its answer in `QUESTIONS`, -1 without one; only questions that
            it was asked.
    """

    name: str
    coded: Array
    units: Array
    answers: Mapping[str, Array]

    @classmethod
    def of(cls, name: str, codes: Sequence[Code | None], questions: Sequence[str] = tuple(QUESTIONS)) -> Judge:
        """From codes, one a clip; None where it said nothing."""
        told = [code or Code() for code in codes]
        units = np.zeros((len(told), len(NUMBERS)), bool)
        for row, code in zip(units, told, strict=True):
            row[[NUMBERS.index(unit.au) for unit in code.units or ()]] = True
        answers = {name: [_place(name, getattr(code, name)) for code in told] for name in questions}
        coded = np.array([code.units is not None for code in told], bool)
        return cls(name, coded, units, {name: np.array(column, np.int64) for name, column in answers.items()})

    @property
    def seen(self) -> Array:
        """Whether it saw any unit, bool (n,)."""
        return np.asarray(self.units.any(1))

    def only(self, mask: Array, name: str) -> Judge:
        """The same of some clips, under a name."""
        answers = {question: column[mask] for question, column in self.answers.items()}
        return Judge(name, self.coded[mask], self.units[mask], answers)


def planned(rows: Sequence[Mapping[str, Any]]) -> Judge:
    """The plan as a judge: it says everything but how real a clip looks; of a neutral clip that it shows no unit."""
    codes = []
    for row in rows:
        units = tuple(ActionUnit.from_dict(unit) for unit in row["action_units"] or ())
        codes.append(Code(units, *derived(units), emotion=row["emotion"] or schema.NEUTRAL))
    return Judge.of(PLAN, codes, ("emotion", "side", "intensity"))


def measured(rows: Sequence[Mapping[str, Any]]) -> Judge:
    """The measurement as a judge: units and side, where something could be measured."""
    codes = [
        Code(
            None if row["measured_units"] is None else tuple(map(ActionUnit.from_dict, row["measured_units"])),
            side=row["measured_side"],
        )
        for row in rows
    ]
    return Judge.of(MEASURED, codes, ("side",))


def _place(question: str, answer: object) -> int:
    known = QUESTIONS[question]
    return known.index(str(answer)) if str(answer) in known else -1
