"""Short questions as the ME-VQA challenge asks them: three classes, emotion, units, one unit, its side, and jointly.

    for example in asked(clip, company): example.kind, example.question, example.answer

The texts are those of the challenge's own files (MEGC 2025, arXiv 2506.15298; MEGC 2026, 2603.08927), so that what is
trained here can be tested there: units by their FACS names in small letters, "What is the action unit?" where there is
one and "What are the action units?" where there are several, which tells that much away there too.

What differs, and why: "Is the action unit ... shown?" asks once for a unit that is there and once for one that another
clip of the same face shows, so that yes and no are equally common, of each unit nearly so. (Asked for units drawn by
likeness alone, a model that never looks is right three times in four, as rare units are never there.) The side may be
"both", which is by far the commonest and is then asked for seldom. A clip without any unit is asked for its units as
well. Sides are the subject's own. Classes are of the *intended* emotion: happiness is positive, surprise its own, the
others negative (MEGC 2019's mapping). Macro controls are asked for units and sides, blinks for nothing: a blink is a
unit to FACS and none to the plan.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from equime.action_units import NAMES, ActionUnit, Side
from equime.recognise.readers.labels import three
from equime.schema import NEUTRAL
from equime.scm.manner import PAIRED_UNITS
from equime.tuning.example import Example
from equime.tuning.examples.planned import Company, Planned

COARSE: Final = "What is the coarse expression class?"
FINE: Final = "What is the fine-grained expression class?"
UNIT: Final = "What is the action unit?"
UNITS: Final = "What are the action units?"
PRESENT: Final = "Is the action unit {} shown on the face?"
SIDE: Final = "Is the action unit {} located on the left or right face, or on both?"
JOINT: Final = (
    "What is the action unit present, and based on it, what is the fine-grained expression and the coarse expression"
    " class?",
    "What are the action units present, and based on them, what is the fine-grained expression and the coarse"
    " expression class?",
)
"""Of one unit, and of several."""
CONCLUSION: Final = "{} {}. Therefore, the fine-grained expression class is {}, and the coarse expression class is {}."
PRESENT_ARE: Final = ("The action unit present is:", "The action units present are:")
NOTHING: Final = "No action unit is active."
SIDE_WORDS: Final[Mapping[Side, str]] = {"L": "left", "R": "right", "B": "both"}
BOTH_EVERY: Final = 6
"""Of the clips with a unit that could be on one side and is on both, every how many is asked for it."""
CONFUSED: Final[Mapping[int, tuple[int, ...]]] = {
    1: (2, 4),
    2: (1, 5),
    4: (7, 9, 1),
    5: (2, 7),
    6: (7, 12),
    7: (6, 4, 5),
    9: (10, 4),
    10: (9, 12),
    12: (6, 14, 20),
    14: (12, 15, 24),
    15: (17, 14, 20),
    16: (25, 15),
    17: (15, 24),
    18: (23, 24),
    20: (12, 14, 15),
    23: (24, 17),
    24: (23, 17),
    25: (26, 16),
    26: (25, 17),
}
"""Unit -> units that move the same part of a face, or look alike while faint."""
ALL: Final = tuple(CONFUSED)


def asked(clip: Planned, company: Company) -> Iterator[Example]:
    """The questions about one clip, one of each kind that has an answer, two of "present"."""
    if clip.control not in (None, NEUTRAL, "macro"):
        return
    emotion, units = clip.truth.emotion, clip.truth.units
    coarse = three(emotion)
    if coarse:
        yield clip.example("question", COARSE, coarse, name="coarse", kind="coarse")
    if emotion:
        yield clip.example("question", FINE, emotion, name="fine", kind="fine")
    if units:
        yield from _of_units(clip, company)
    elif clip.control == NEUTRAL:
        yield clip.example("question", UNITS, NOTHING, name="units", kind="units")
    if emotion and coarse and units:
        yield clip.example("question", *_joint(emotion, coarse, units), name="joint", kind="joint")


def names(units: Sequence[ActionUnit]) -> str:
    """Units as the challenge answers them: "brow lowerer, lid tightener"."""
    return ", ".join(dict.fromkeys(NAMES[unit.au].lower() for unit in units))


def confused(shown: Collection[int], au: int) -> Sequence[int]:
    """The units that are easily taken for one and are not shown; any that is not shown where there is none."""
    return [n for n in CONFUSED.get(au, ()) if n not in shown] or [n for n in ALL if n not in shown]


def _of_units(clip: Planned, company: Company) -> Iterator[Example]:
    units = clip.truth.units
    one = len({unit.au for unit in units}) == 1
    question, kind = (UNIT, "unit") if one else (UNITS, "units")
    yield clip.example("question", question, names(units), name=kind, kind="unit" if one else "units")
    there = units[clip.drawn("present", len(units))].au
    told = [(there, "yes"), (_absent(clip, company, there), "no")]
    for number, (au, said) in enumerate(told[:: 1 - 2 * clip.drawn("order", 2)], 1):
        text = PRESENT.format(NAMES[au].lower())
        yield clip.example("question", text, said, name=f"present-{number}", kind="present")
    yield from _side(clip)


def _absent(clip: Planned, company: Company, there: int) -> int:
    """A unit that is not planned: one of another clip of the same face, else one easily taken for what is there."""
    shown = {unit.au for unit in clip.truth.units}
    other = company.other(clip, "absent", lambda one: not {unit.au for unit in one.truth.units} <= shown)
    choices = [unit.au for unit in other.truth.units if unit.au not in shown] if other else confused(shown, there)
    return choices[clip.drawn("absent unit", len(choices))]


def _side(clip: Planned) -> Iterator[Example]:
    units = [unit for unit in clip.truth.units if unit.au in PAIRED_UNITS and unit.side in SIDE_WORDS]
    single = [unit for unit in units if unit.side != "B"]
    if not units or (not single and clip.drawn("both", BOTH_EVERY)):
        return
    unit = (single or units)[clip.drawn("side", len(single or units))]
    sides = {other.side for other in units if other.au == unit.au}
    word = SIDE_WORDS[unit.side] if len(sides) == 1 else SIDE_WORDS["B"]
    yield clip.example("question", SIDE.format(unit.name.lower()), word, name="side", kind="side")


def _joint(emotion: str, coarse: str, units: Sequence[ActionUnit]) -> tuple[str, str]:
    several = len({unit.au for unit in units}) > 1
    return JOINT[several], CONCLUSION.format(PRESENT_ARE[several], names(units), emotion, coarse)
