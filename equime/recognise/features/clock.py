"""Which frames to take of a sample, on a clock of milliseconds: cameras of 30 and of 200 frames a second show alike.

Why: a model of 16 frames sees 80 ms of a recording at 200 frames a second and 667 ms of one at 24. On one clock it sees
the same time of both. Frames are taken, never mixed: the one nearest in time, the earlier of two.

    places = around(numbers, apex, 16, 200 / 24)    # 16 moments, 1000 / 24 ms apart
    nearest(numbers, places)                        # the frames that are nearest, repeated where there are too few
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from equime.recognise.samples import Array


def nearest(numbers: Sequence[int], places: Array) -> list[int]:
    """The frame nearest to each place, the earlier of two; at most half a step away where no picture is missing.

    Args:
        numbers: Frames that there are, ascending.
        places: float64 (n,): moments, counted in frames.
    """
    there = np.asarray(numbers, np.int64)
    after = np.clip(np.searchsorted(there, places), 1, max(len(there) - 1, 1))
    before = after - 1
    after = np.minimum(after, len(there) - 1)
    later = np.abs(there[after] - places) < np.abs(there[before] - places)
    return [int(number) for number in np.where(later, there[after], there[before])]


def around(numbers: Sequence[int], centre: float, count: int, step: float) -> Array:
    """`count` moments, `step` frames apart, with `centre` in their middle: float64 (count,), counted in frames.

    Of an even count, one more comes after `centre`. They are moved as far as needed to stay inside the sample; one that
    is too short for them is centred and its ends are repeated.
    """
    first, last, length = numbers[0], numbers[-1], (count - 1) * step
    start = centre - (count - 1) // 2 * step
    if length <= last - first:
        start = min(max(start, first), last - length)
    return np.asarray(np.clip(start + step * np.arange(count), first, last))


def spread(first: float, last: float, count: int) -> Array:
    """`count` moments from `first` to `last`, both included: float64 (count,)."""
    return np.linspace(first, last, count)


def middles(numbers: Sequence[int], count: int) -> Array:
    """The middles of `count` equal parts of a sample: float64 (count,), as `clip.uniform` takes them."""
    length = numbers[-1] - numbers[0] + 1
    return np.floor(numbers[0] + (np.arange(count) + 0.5) * length / count)
