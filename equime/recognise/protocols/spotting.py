"""Spotting: when expressions happen in a long clip, and how often one is reported where there is none.

Why: in the wild nobody says where the onset is. The field's score is the F1 of intervals that overlap a coded one by
half (MEGC 2020 and later; IoU 0.5, one to one); it forgives a detector that finds blinks as long as it finds more
expressions, so the false alarms a minute stand beside it.

    found = [Spotter().spot(movement(observe(frames, 24.0, face)), 24.0) for ...]     # intervals in frames
    compared = [compare(mine, truth, minutes=0.1) for mine, truth in zip(found, coded)]
    SpottingScores.of(compared, subjects).f1

An interval is (onset, offset), a span of time: frame numbers that are both included are given as (onset, offset + 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from equime.bootstrap import DRAWS, Estimate, bootstrap
from equime.errors import EquimeError
from equime.options import option
from equime.quality.event import Parts
from equime.quality.motion import Motion
from equime.traces import Crossings, crossings, settled

Array = npt.NDArray[Any]
Intervals = Sequence[tuple[float, float]]

# --- scores


@dataclass(frozen=True)
class Compared:
    """Intervals held against the coded ones.

    Attributes:
        hits: Pairs that overlap enough.
        false_alarms: Found intervals without a partner.
        missed: Coded intervals without a partner.
        minutes: How long was looked at.
    """

    hits: int
    false_alarms: int
    missed: int
    minutes: float


def overlaps(found: Intervals, truth: Intervals) -> Array:
    """Intersection over union of each pair of intervals, float64 (found, truth).

    Raises:
        EquimeError: An interval that does not end after it began.
    """
    a, b = (np.array([*spans], np.float64).reshape(-1, 2) for spans in (found, truth))
    for spans in (a, b):
        if len(wrong := spans[~(spans[:, 1] > spans[:, 0])]):
            raise EquimeError(f"expected intervals that end after they begin, got {tuple(wrong[0].tolist())}")
    shared = np.minimum(a[:, None, 1], b[None, :, 1]) - np.maximum(a[:, None, 0], b[None, :, 0])
    shared = np.maximum(shared, 0)
    whole = (a[:, 1] - a[:, 0])[:, None] + (b[:, 1] - b[:, 0])[None] - shared
    result: Array = shared / whole
    return result


def matched(found: Intervals, truth: Intervals, iou: float = 0.5) -> list[tuple[int, int]]:
    """As many pairs as can be had: a maximum one-to-one matching (Kuhn 1955), whatever the order of the intervals.

    Args:
        found: (onset, offset), in any unit.
        truth: Likewise, in the same unit.
        iou: The least intersection over union of a pair, above 0.

    Returns:
        (position in `found`, position in `truth`), by the first.
    """
    fits = overlaps(found, truth) >= iou
    partner: dict[int, int] = {}

    def placed(mine: int, tried: set[int]) -> bool:
        for other in np.flatnonzero(fits[mine]).tolist():
            if other not in tried:
                tried.add(other)
                if other not in partner or placed(partner[other], tried):
                    partner[other] = mine
                    return True
        return False

    for mine in range(len(fits)):
        placed(mine, set())
    return sorted((mine, other) for other, mine in partner.items())


def compare(found: Intervals, truth: Intervals, minutes: float, iou: float = 0.5) -> Compared:
    """Hold the intervals of one clip against its coded ones; `minutes` is how long the clip lasts."""
    hits = len(matched(found, truth, iou))
    return Compared(hits, len(found) - hits, len(truth) - hits, minutes)


@dataclass(frozen=True)
class SpottingScores:
    """What a spotter is worth over many clips, from added counts, with intervals over subjects.

    Attributes:
        f1: 2 hits / (2 hits + false alarms + missed); NaN where nothing was coded and nothing found.
        precision: NaN where nothing was found.
        recall: NaN where nothing was coded.
        false_alarms_per_minute: Over all that was looked at, clips without an expression included.
        counts: All clips together.
    """

    f1: Estimate
    precision: Estimate
    recall: Estimate
    false_alarms_per_minute: Estimate
    counts: Compared

    @classmethod
    def of(cls, compared: Iterable[Compared], subjects: Sequence[str], draws: int = DRAWS) -> SpottingScores:
        """Score clips.

        Args:
            compared: Of each clip.
            subjects: Whose clip each is.
            draws: Bootstrap draws.

        Raises:
            EquimeError: No clips, or another number of subjects.
        """
        rows = np.array([astuple(one) for one in compared], np.float64)
        if not len(rows) or len(rows) != len(subjects):
            raise EquimeError(f"expected a subject for each clip, at least one; got {len(rows)} and {len(subjects)}")
        names, who = np.unique(np.asarray(subjects), return_inverse=True)
        counts = np.zeros((len(names), 4))
        np.add.at(counts, who, rows)
        hits, false, missed, minutes = counts.sum(0).tolist()
        return cls(
            bootstrap(counts, lambda c: _ratio(2 * c[:, 0], 2 * c[:, 0] + c[:, 1] + c[:, 2]), draws),
            bootstrap(counts, lambda c: _ratio(c[:, 0], c[:, 0] + c[:, 1]), draws),
            bootstrap(counts, lambda c: _ratio(c[:, 0], c[:, 0] + c[:, 2]), draws),
            bootstrap(counts, lambda c: _ratio(c[:, 1], c[:, 3]), draws),
            Compared(int(hits), int(false), int(missed), minutes),
        )


def _ratio(above: Array, below: Array) -> Array:
    found: Array = np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0)
    return found


# --- a plain spotter


@dataclass(frozen=True)
class Spotter:
    """Rises of a trace above its own noise: the baseline that a learnt spotter has to beat. It learns nothing.

    The trace loses its drift (`traces.settled` over 2 s); its noise is 1.4826 of its median absolute value. From the
    highest frame on, every rise above `threshold` of it is an interval from where the trace crosses a tenth of the
    rise's peak, or the noise where that is higher, on either side. A rise that the clip's first or last frame cuts off
    is left out: what does not come back may be drift.
    """

    threshold: float = option(8.0, help="least peak, in standard deviations of the trace at rest")
    shortest_ms: float = option(150.0, help="rises that last less are noise; 95 of 100 coded ones last 180 ms")
    longest_ms: float = option(1000.0, help="rises that last longer are no micro-expressions")

    def spot(self, trace: Array, fps: float) -> list[tuple[float, float]]:
        """Intervals in frames (continuous, from 0), in order of time.

        Args:
            trace: float (T,): a rise is movement, as from `movement`.
            fps: Frames a second.
        """
        quick = settled(np.asarray(trace, np.float64), int(2 * fps) // 2 * 2 + 1).astype(np.float64)
        noise = 1.4826 * float(np.median(np.abs(quick)))
        level = self.threshold * noise
        left = np.maximum(quick, 0)
        found = []
        while (peak := float(left.max(initial=0))) > level:
            top = int(left.argmax())
            times = crossings(left, max(0.1, noise / peak))
            lasts = (times.offset - times.onset) * 1000 / fps
            whole = times.onset > 0 and times.offset < len(left) - 1
            if whole and self.shortest_ms <= lasts <= self.longest_ms:
                found.append((times.onset, times.offset))
            left[_hill(left, times, level)] = 0
            left[top] = 0  # Smoothed, another rise may be the highest: but each turn takes one.
        return sorted(found)


def _hill(trace: Array, times: Crossings, level: float) -> slice:
    """The frames of a rise, and those beside it that are still above the level: they are no rise of their own."""
    first, last = int(np.floor(times.onset)), int(np.ceil(times.offset))
    while first > 0 and trace[first - 1] > level:
        first -= 1
    while last < len(trace) - 1 and trace[last + 1] > level:
        last += 1
    return slice(first, last + 1)


def movement(motion: Motion) -> Array:
    """How far the parts of a face are from rest, together: float64 (T,), about 1 at rest.

    The root mean square over parts and directions, each less its drift and in standard deviations of its noise;
    blinks are bridged (`quality.event.Parts`), for they are no expressions.
    """
    parts = Parts.of(motion)
    away = np.stack([settled(parts.moved[:, k], parts.window) for k in range(len(parts.keys))], 1)
    found: Array = np.sqrt(((away / parts.noise[:, None]) ** 2).mean((1, 2)))
    return found
