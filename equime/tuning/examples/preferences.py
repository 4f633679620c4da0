"""Pairs of a true caption and a wrong one in the same templates: what a model that looks can tell apart, and no other.

    for example in preferred(clip, company): example.answer, example.rejected, example.wrong

Wrong are: "side" (the other side of every unit on one), "unit" (one unit replaced by one that is easily taken for it),
"intensity" (every letter two steps away), "emotion" (the programme of another clip of the same face under another
emotion), "twin" (the same programme in another dose, else that of another clip of the same face and emotion). Each clip
has a pair of every sort that it can have. Both captions are in the templates of the data set, worded alike and with the
same times, so that neither tells by these; both are read back to their units, which differ.

Why not a counterfactual of the causal model: what is published does not hold the model that it was planned with. The
other programmes of the same face are as real, and are drawn from the same distribution.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from equime.action_units import INTENSITIES, ActionUnit
from equime.scm.manner import INTENSITY_CAPS, PAIRED_UNITS
from equime.tuning.example import Example
from equime.tuning.examples.captions import question
from equime.tuning.examples.planned import Company, Planned
from equime.tuning.examples.questions import confused

STEPS: Final[Mapping[str, str]] = {"A": "C", "B": "D", "C": "A", "D": "B", "E": "C"}

Units = Sequence[ActionUnit]


def preferred(clip: Planned, company: Company) -> Iterator[Example]:
    """Task "preference": the pairs of one clip."""
    if not clip.is_known:
        return
    asked = question(clip)
    for wrong, text in rejected(clip, company):
        yield clip.example("preference", asked, clip.words, name=f"preference-{wrong}", rejected=text, wrong=wrong)


def rejected(clip: Planned, company: Company) -> Iterator[tuple[str, str]]:
    """How a caption of this clip is wrong, and that caption."""
    emotion, units = clip.truth.emotion, clip.truth.units
    if units:
        place = clip.drawn("unit", len(units))
        found = {
            "side": other_side(units),
            "unit": other_unit(units, place, clip.drawn("confused", 60)),
            "intensity": other_intensity(units),
        }
        yield from ((wrong, clip.worded(emotion, many)) for wrong, many in found.items() if _differ(many, units))
    if emotion and (one := company.other(clip, "emotion", lambda one: _is_other_emotion(one, clip))):
        yield "emotion", clip.worded(one.truth.emotion, one.truth.units)
    if one := _twin(clip, company):
        yield "twin", clip.worded(one.truth.emotion, one.truth.units)


def other_side(units: Units) -> tuple[ActionUnit, ...]:
    """Left for right and right for left."""
    return tuple(unit.mirror() for unit in units)


def other_unit(units: Units, place: int, draw: int) -> tuple[ActionUnit, ...]:
    """The unit at `place` replaced by one that is easily taken for it, no stronger than that can be."""
    unit = units[place]
    choices = confused({other.au for other in units}, unit.au)
    au = choices[draw % len(choices)]
    side = unit.side if au in PAIRED_UNITS else "B"
    put = ActionUnit(au, side, None if unit.intensity is None else min(unit.intensity, _cap(au)))
    return tuple(sorted([*units[:place], put, *units[place + 1 :]]))


def other_intensity(units: Units) -> tuple[ActionUnit, ...]:
    """Every letter two steps away, or as far as the unit goes."""
    return tuple(
        replace(unit, intensity=min(STEPS[unit.intensity], _cap(unit.au))) if unit.intensity else unit for unit in units
    )


def _cap(au: int) -> str:
    return INTENSITY_CAPS.get(au, INTENSITIES[-1])


def _differ(first: Units, second: Units) -> bool:
    return sorted(first) != sorted(second)


def _is_other_emotion(one: Planned, clip: Planned) -> bool:
    emotion = one.truth.emotion
    return bool(emotion and emotion != clip.truth.emotion and _told_apart(one, clip))


def _told_apart(one: Planned, clip: Planned) -> bool:
    return bool(one.truth.units) and _differ(one.truth.units, clip.truth.units)


def _twin(clip: Planned, company: Company) -> Planned | None:
    """The same programme in another dose; else another clip of that emotion; for a clip at rest, any that moves."""
    doses = company.other(clip, "twin", lambda one: one.seed == clip.seed and _told_apart(one, clip))
    if doses or not clip.truth.units:
        return doses or company.other(clip, "twin", lambda one: bool(one.truth.units))
    same = clip.truth.emotion
    return company.other(clip, "twin", lambda one: one.truth.emotion == same and _told_apart(one, clip))
