"""From which frame to which the flow is taken: as coded, or found where a set codes no apex.

Why: SMIC codes none, CASME II sometimes "/", and what is then taken decides the result. The choice is an option.

- "coded": the row's onset and apex, whoever they are from (`apex_from`);
- "largest": the coded onset, and the frame between onset and offset (or the end) that moved farthest from it, in the
  regions where expressions are measured, without the head's own motion;
- "coded-or-largest": the coded apex where there is one;
- "measured": both from the pictures alone, as `equime score` measures them without a plan.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final, Literal

import numpy as np

from equime.errors import EquimeError
from equime.face import FaceFinder
from equime.flow import dense, stabilise
from equime.mesh import REGIONS, region_mask
from equime.quality.measure import measure
from equime.quality.motion import observe
from equime.recognise.features.face_crop import View, face_view, largest
from equime.recognise.features.feature import coded, read
from equime.recognise.samples import Array, Pictures, Row

Apex = Literal["coded", "largest", "coded-or-largest", "measured"]
Onset = Literal["coded", "first"]
_SIDE: Final = 128


def pairs_of(numbers: Sequence[int], first: int, top: int, count: int) -> list[tuple[int, int]]:
    """`count` pairs of frames: the onset and those before it, with the apex and those nearest to it.

    Frames beside a moment show nearly the same and have noise of their own: the mean flow of three such pairs is nearer
    to a small movement than that of one (see `flow_image`). Where a sample starts at its onset, that frame is repeated.

    Args:
        numbers: The frames that there are, ascending.
        first: The onset, one of them.
        top: The apex, a later one.
        count: How many; 1 is onset and apex alone.
    """
    start, end = bisect_left(numbers, first), bisect_left(numbers, top)
    beside = [(k + 1) // 2 * (-1) ** k for k in range(count)]  # 0, -1, 1, -2, 2 ...
    tops = [min(max(end + step, start + 1), len(numbers) - 1) for step in beside]
    return [(numbers[max(start - k, 0)], numbers[place]) for k, place in enumerate(tops)]


def needed(row: Row, numbers: Sequence[int], apex: Apex, onset: Onset) -> list[int]:
    """The frames that decide: two where both moments are coded, else all among which the apex is looked for.

    Raises:
        EquimeError: A moment that is not coded or has no picture, or nothing after the onset.
    """
    if not len(numbers):
        raise EquimeError("no picture")
    if apex == "measured":
        return list(numbers)
    first = numbers[0] if onset == "first" else coded(row, "onset", numbers)
    if apex == "coded" and row["apex"] is None:
        raise EquimeError("no apex is coded; apex='largest' looks for one")
    if apex != "largest" and row["apex"] is not None:
        return [first, _apex_after(first, row, numbers)]
    last = numbers[-1] if row["offset"] is None else row["offset"]
    found = [number for number in numbers if first <= number <= last]
    if len(found) < 2:
        raise EquimeError(f"no frame after the onset {first} to look for an apex in")
    return found


def onset_and_apex(row: Row, numbers: Sequence[int]) -> tuple[int, int]:
    """The coded frames of both.

    Raises:
        EquimeError: One that is not coded or has no picture, or an apex that does not come after the onset.
    """
    first = coded(row, "onset", numbers)
    return first, _apex_after(first, row, numbers)


def _apex_after(first: int, row: Row, numbers: Sequence[int]) -> int:
    top = coded(row, "apex", numbers)
    if top <= first:
        raise EquimeError(f"expected the apex after the onset, got onset = {first}, apex = {top}")
    return top


def moments(row: Row, pictures: Pictures, apex: Apex, onset: Onset, finder: FaceFinder) -> tuple[int, int]:
    """The numbers of the onset's and the apex's frames.

    Raises:
        EquimeError: As `needed`; nothing to be measured.
    """
    numbers = needed(row, pictures.numbers, apex, onset)
    if apex == "measured":
        return _measured(row, pictures, finder)
    if len(numbers) == 2:
        return numbers[0], numbers[1]
    frames = read(pictures, numbers)
    first = frames[numbers[0]]
    view = face_view(first, finder)
    mask = _mask(view)
    reference = view(first, _SIDE)
    return numbers[0], max(numbers[1:], key=lambda number: _moved(reference, view(frames[number], _SIDE), view, mask))


def _mask(view: View) -> Array:
    """The pixels where expressions show, bool; all where no face was found."""
    face = view.face_in(_SIDE)
    if face is None:
        return np.ones((_SIDE, _SIDE), bool)
    return np.asarray(np.any([region_mask(face, region, "B", (_SIDE, _SIDE)) for region in REGIONS], axis=0))


def _moved(reference: Array, frame: Array, view: View, mask: Array) -> float:
    """Mean displacement over the mask, in pixels."""
    flow, face = dense(reference, frame, "dis", "fast"), view.face_in(_SIDE)
    still = flow - np.median(flow, (0, 1)) if face is None else stabilise(flow, face)
    return float(np.hypot(*still[mask].T).mean())


def _measured(row: Row, pictures: Pictures, finder: FaceFinder) -> tuple[int, int]:
    numbers = list(pictures.numbers)
    by_number = read(pictures, numbers)
    frames = np.stack([by_number[number] for number in numbers])
    face = largest(frames[0], finder)
    if face is None:
        raise EquimeError("no face found to measure an apex in")
    seen = measure(observe(frames, row["fps"], face))
    if seen.onset_ms is None or seen.apex_ms is None:
        raise EquimeError("nothing moved far enough above the noise to measure an apex")
    onset, apex = (min(round(ms * row["fps"] / 1000), len(numbers) - 1) for ms in (seen.onset_ms, seen.apex_ms))
    if apex <= onset:
        raise EquimeError(f"expected the measured apex after the onset, got frames {onset} and {apex}")
    return numbers[onset], numbers[apex]
