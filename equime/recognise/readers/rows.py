"""One coded row and its folder as one sample: times checked against each other and the pictures, units read.

Why apart: this is where a bad cell turns into null and a `Problem`, for every set alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from equime.action_units import Coding, parse
from equime.errors import EquimeError
from equime.recognise.readers import labels
from equime.recognise.readers.folders import MOST_DIGITS
from equime.recognise.readers.layout import Layout
from equime.recognise.readers.problems import Problem
from equime.recognise.samples import MOMENTS, OBJECTIVE

SHOWN: Final = 5
"""How many missing pictures a problem names."""
LONGEST: Final = 100
"""Characters of a cell of action units; a longer one is no coding, and its alternatives would have no end."""
Times = dict[str, int | None]


@dataclass
class Notes:
    """What is wrong with one row, gathered while it is read."""

    sample: str
    line: int | None
    sheet: str | None = None
    problems: list[Problem] = field(default_factory=list)

    def add(self, what: str, *, kept: bool = True, known: bool = False) -> None:
        """One more problem."""
        self.problems.append(Problem(self.sample, self.line, what, kept, known, self.sheet))


def key(layout: Layout, values: Mapping[str, str]) -> str:
    """A sample's id: `<set>/<subject>/<clip>[/<onset>]`."""
    parts = [layout.name, subject_id(layout, values), values.get("clip", "")]
    return "/".join([*parts, values.get("onset", "")] if layout.by_onset else parts)


def subject_id(layout: Layout, values: Mapping[str, str]) -> str:
    """The set's own id of a subject, with the zeros that Excel lost."""
    return values["subject"].zfill(layout.width) if values["subject"].isdigit() else values["subject"]


def sample(
    layout: Layout, values: Mapping[str, str], frames: str, numbers: Sequence[int], notes: Notes
) -> dict[str, Any] | None:
    """The row of `samples.FIELDS`; what cannot be is null there and in the notes.

    Args:
        layout: Of the set.
        values: Field -> text, derived ones among them.
        frames: The folder, relative to the root.
        numbers: Of its pictures, ascending, at least one.
        notes: Takes what is wrong.

    Returns:
        The row, or None where none of the coded frames has a picture.
    """
    times = _times(layout, values, numbers, notes)
    if times is None:
        return None
    coding = _coding(values.get("units", ""), notes)
    coded = values.get("emotion", "").strip().lower()
    emotion = layout.words.get(coded, coded) or None
    return {
        "sample_id": notes.sample,
        "dataset": layout.name,
        "subject_id": f"{layout.name}-{subject_id(layout, values)}",
        "frames": frames,
        "fps": layout.fps,
        **times,
        "apex_from": None if times["apex"] is None else "coded",
        "emotion": emotion,
        "emotion3": labels.three(emotion),
        "emotion5": labels.five(emotion),
        "objective": _objective(values.get("objective", ""), coding),
        "au_text": values.get("units") or None,
        "action_units": [unit.to_dict() for unit in coding.units]
        if coding and (coding.units or coding.complete)
        else None,
    }


def _objective(text: str, coding: Coding | None) -> str | None:
    """As the set's own column says; by the units where it has none."""
    coded = OBJECTIVE[int(text) - 1] if text in list("1234567") else text.strip().upper()
    if coded in OBJECTIVE:
        return coded
    return labels.objective(coding) if coding else None


def _coding(text: str, notes: Notes) -> Coding | None:
    """The units of a cell; None where it is empty or cannot be read."""
    if not text:
        return None
    if len(text) > LONGEST:
        notes.add(f"action units null: expected at most {LONGEST} characters, got {len(text)}")
        return None
    try:
        return parse(text)
    except EquimeError as error:
        notes.add(f"action units null: {error}")
        return None


def _times(layout: Layout, values: Mapping[str, str], numbers: Sequence[int], notes: Notes) -> Times | None:
    """Onset, apex and offset in order and with a picture each, null otherwise; None where there is no picture."""
    if not values.get("onset") and "offset" not in values:
        apex = _number("apex", values.get("apex", ""), layout.no_apex, notes) if "apex" in values else None
        times: Times = {"onset": numbers[0], "apex": apex, "offset": numbers[-1]}
    else:
        times = _coded(layout, values, notes)
    _patch(layout, times, numbers, notes)
    _order(times, notes)
    return times if _pictures(times, numbers, notes) else None


def _coded(layout: Layout, values: Mapping[str, str], notes: Notes) -> Times:
    apex = values.get("apex", "")
    if apex in ("", *layout.no_apex) and values.get("apex2"):
        apex = values["apex2"]
    return {
        "onset": _number("onset", values.get("onset", ""), (), notes),
        "apex": _number("apex", apex, layout.no_apex, notes) if "apex" in values else None,
        "offset": _number("offset", values.get("offset", ""), layout.no_offset, notes),
    }


def frame_number(text: str) -> int | None:
    """The frame's number that a cell holds, or None."""
    return int(text) if text.isdecimal() and len(text) <= MOST_DIGITS else None


def _number(name: str, text: str, none: Sequence[str], notes: Notes) -> int | None:
    """A frame's number; null where the set's own mark says that nobody saw one, or where the cell is no number."""
    if text not in none and (number := frame_number(text)) is not None:
        return number
    if text in none or (name == "apex" and not text):
        notes.add(f"no {name} coded ({text or 'empty'!r}): null", known=True)
    else:
        notes.add(f"{name} is no frame number ({text or 'empty'!r}): null")
    return None


def _patch(layout: Layout, times: Times, numbers: Sequence[int], notes: Notes) -> None:
    """Known corrections, where the coded frame cannot be and the corrected one has a picture."""
    there = set(numbers)
    for patch in layout.patches:
        if patch.line != notes.line or patch.value not in there:
            continue
        coded = times[patch.field]
        if coded not in there or not _ordered(times):
            times[patch.field] = patch.value
            notes.add(f"{patch.field} {coded} cannot be: {patch.value}, as the pictures bear out", known=True)


def _ordered(times: Times) -> bool:
    given = [time for name in MOMENTS if (time := times[name]) is not None]
    return given == sorted(given)


def _order(times: Times, notes: Notes) -> None:
    """Null what breaks onset <= apex <= offset, the offset first where it is before the onset."""
    onset, apex, offset = (times[name] for name in MOMENTS)
    if onset is not None and offset is not None and offset < onset:
        notes.add(f"offset {offset} is before onset {onset}: offset null")
        times["offset"] = offset = None
    if apex is not None and onset is not None and apex < onset:
        notes.add(f"apex {apex} is before onset {onset}: apex null")
        times["apex"] = None
    elif apex is not None and offset is not None and apex > offset:
        notes.add(f"apex {apex} is behind offset {offset}: apex null")
        times["apex"] = None


def _pictures(times: Times, numbers: Sequence[int], notes: Notes) -> bool:
    """Null what has no picture, and say what is missing in between; False where no coded frame has a picture."""
    there = set(numbers)
    given = [time for name in MOMENTS if (time := times[name]) is not None]
    coded = range(given[0], given[-1] + 1) if given else range(0)
    has = f"there are {numbers[0]} to {numbers[-1]}"
    gaps = len(coded) - sum(number in coded for number in numbers)
    if coded and gaps == len(coded):
        notes.add(f"no picture of {coded[0]} to {coded[-1]} ({has})", kept=False)
        return False
    for name in MOMENTS:
        if times[name] is not None and times[name] not in there:
            notes.add(f"no picture of {name} {times[name]} ({has}): {name} null")
            times[name] = None
    if gaps:
        first = islice((str(number) for number in coded if number not in there), SHOWN)
        named = ", ".join([*first, *["..."] * (gaps > SHOWN)])
        notes.add(f"{gaps} of {len(coded)} pictures missing between onset and offset ({named})")
    return True
