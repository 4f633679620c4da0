"""When the one expression of a clip happens: its trace, found and timed without a plan's times.

Why apart: the search must not take a blink, a swaying head or noise for an expression, whatever the parts it looks
at; what the movement means is `equime.quality.measure`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from equime.quality.motion import Motion
from equime.quality.pulse import timed
from equime.quality.unit_match import nonnegative
from equime.traces import Crossings, crossings, settled

Array = npt.NDArray[Any]

WINDOW_S: Final = 2.0
"""What lasts less than half of this is an event; what is slower is drift, unless it is much larger."""

FLOW_NOISE: Final = 0.02
"""Pixels: what dense flow cannot resolve, however still and clean the picture."""

SHUT: Final = 0.005
"""Eye distances by which a blink moves the upper lid's region at least; no other unit lowers it by more than 0.003."""

_LIDS: Final = ("lid_upper", "lid_lower", "under_eye")
_AROUND: Final = ("cheek", "brow_inner", "brow_mid", "brow_outer", "nose_side")
_DRAGGED: Final = 0.25  # Of the lid's own way: what moves less with a blink is pulled along by it.
_BLINK_S: Final = 0.6
_SLOWER: Final = 1.3  # A slow rise this much higher than the quick ones,
_LARGE: Final = 0.004  # and this many eye distances high, is no drift.
_BESIDE_S: Final = 0.33
_SHARP: Final = 0.5


@dataclass(frozen=True, eq=False)
class Parts:
    """The traces of a clip's parts as one array.

    Attributes:
        keys: (part, side) of each of the K rows.
        moved: float64 (T, K, 2): (lateral, up) in eye distances.
        noise: float64 (K,): standard deviation of a part at rest, in eye distances.
        fps: Frames a second.
        floor: The least noise that dense flow ever has, in eye distances.
    """

    keys: tuple[tuple[str, str], ...]
    moved: Array
    noise: Array
    fps: float
    floor: float

    @classmethod
    def of(cls, motion: Motion, *, bridged: bool = True) -> Parts:
        """The parts of a clip; what moves with a blink is `bridged` by a line."""
        keys = tuple(motion.traces)
        moved = np.stack([motion.traces[key] for key in keys], 1).astype(np.float64)
        parts = cls(keys, moved, np.ones(len(keys)), motion.fps, FLOW_NOISE / motion.face.eye_distance)
        if bridged:
            parts = parts._without_blinks()
        quiet = np.hypot(*np.moveaxis(parts.at_rest(parts.moved), 2, 0))
        # The median length of a two-dimensional Gaussian is 1.18 of its standard deviation.
        return replace(parts, noise=np.maximum(np.median(quiet, 0) / 1.1774, parts.floor))

    @property
    def window(self) -> int:
        """`WINDOW_S` in frames, odd."""
        return int(WINDOW_S * self.fps) // 2 * 2 + 1

    @property
    def long(self) -> bool:
        """Whether the clip shows enough of the face at rest to tell drift from movement."""
        return len(self.moved) >= self.window - 1

    def at_rest(self, trace: Array) -> Array:
        """What is left of a trace when nothing happens: less its drift, or in a short clip its quickest changes."""
        if self.long:
            return settled(trace, self.window).astype(np.float64)
        # Second differences of white noise have six times its variance.
        return np.diff(trace, 2, axis=0) / np.sqrt(6) if len(trace) > 2 else np.zeros_like(trace[:1])

    def _without_blinks(self) -> Parts:
        moved = self.moved.copy()
        for first, last in closures(self):
            inside = slice(first, last + 1)
            size = np.hypot(*np.moveaxis(moved - 0.5 * (moved[first] + moved[last]), 2, 0))[inside].max(0)
            lid = max(size[k] for k, (part, _) in enumerate(self.keys) if part == "lid_upper")
            share = np.linspace(0, 1, last - first + 1)[:, None]
            for k, (part, _) in enumerate(self.keys):
                if part in _LIDS or (part in _AROUND and size[k] < _DRAGGED * lid):
                    moved[inside, k] = moved[first, k] * (1 - share) + moved[last, k] * share
        return replace(self, moved=moved)


def closures(parts: Parts) -> list[tuple[int, int]]:
    """(first, last) frame of each blink: both upper lids down and up again within 0.6 s."""
    rows = [k for k, (part, _) in enumerate(parts.keys) if part == "lid_upper"]
    down = np.min([-settled(parts.moved[:, k, 1], parts.window) for k in rows], 0)
    brow = [k for k, (part, _) in enumerate(parts.keys) if part.startswith("brow")]
    brows = np.max([-settled(parts.moved[:, k, 1], parts.window) for k in brow], 0)
    found: list[tuple[int, int]] = []
    left = down.copy()
    while left.size and left.max() > SHUT:
        top = int(np.argmax(left))
        low = down < 0.1 * down[top]
        before, after = np.flatnonzero(low[:top]), np.flatnonzero(low[top:])
        first = int(before[-1]) if before.size else 0
        last = top + int(after[0]) if after.size else len(down) - 1
        # A lowered brow pushes the lid down, less far than itself.
        if last - first <= _BLINK_S * parts.fps + 2 and brows[top] < down[top]:
            found.append((max(0, first - 1), min(len(down) - 1, last + 1)))
        left[first : last + 1] = -np.inf
    return _joined(found)


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in order, those that touch made one: flow may lose a lid on its way, and find it again."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return found


@dataclass(frozen=True, eq=False)
class Event:
    """The largest movement of a clip along one pattern.

    Attributes:
        times: Continuous frame positions; NaN where nothing rises.
        trace: float64 (T,): displacement along the pattern, in eye distances, rest = 0.
        peak: float64 (K, 2): displacement of the parts at the apex, against the face at rest around it.
        signal_to_noise: Peak of the trace over its noise at rest.
        residual: Where the trace stays after the event, from where it was before it, as a share of its peak.
    """

    times: Crossings
    trace: Array
    peak: Array
    signal_to_noise: float
    residual: float


def find(parts: Parts, patterns: Array) -> Event:
    """The largest movement made of some patterns, or wherever most moves.

    Parts are weighed by what they should move over their noise, as a matched filter does. The first look takes every
    pattern at the same strength; the next at the strengths that fit what the first one found, so that a unit that is
    strong in one place and silent in another is timed by the first.

    Args:
        parts: The clip's.
        patterns: float (n, K, 2), each of length 1: which way the parts are to move; none (n = 0) to look everywhere.
    """
    if not len(patterns):
        patterns = _most(parts)[None]
    pattern = patterns.sum(0)
    scale = np.repeat(1 / parts.noise, 2)
    design = (patterns.reshape(len(patterns), -1) * scale).T
    for _ in range(2):
        strengths = nonnegative(design, _along(parts, pattern, rough=True).peak.ravel() * scale)
        if strengths.any():
            pattern = np.tensordot(strengths, patterns, 1)
    return _along(parts, pattern)


def _most(parts: Parts) -> Array:
    """float64 (K, 2): where the parts are when, all noise made equal, they are farthest from rest together."""
    away = np.stack([settled(parts.moved[:, k], parts.window) for k in range(len(parts.keys))], 1)
    energy = ((away / parts.noise[:, None]) ** 2).sum((1, 2))
    return np.asarray(away[int(np.argmax(np.convolve(energy, np.ones(3), "same")))], np.float64)


def _along(parts: Parts, pattern: Array, *, rough: bool = False) -> Event:
    far = np.hypot(*pattern.T)
    # Where the pattern is faint its neighbours' motion is as large as its own.
    pattern = pattern / max(float(far.max()), 1e-12) * (far >= _SHARP * far.max())[:, None]
    weights = pattern / parts.noise[:, None] ** 2
    # The trace is then the displacement of the pattern's farthest part.
    weights = weights / max(float((pattern * weights).sum()), 1e-12)
    raw = np.einsum("tkc,kc->t", parts.moved, weights)
    trace = _from_rest(parts, raw)
    noise = max(1.4826 * float(np.median(np.abs(parts.at_rest(raw)))), 0.5 * parts.floor)
    top = crossings(trace)
    if np.isnan(top.apex):
        return Event(top, trace, np.zeros_like(pattern), 0.0, 0.0)
    times = top if rough else timed(trace, round(top.apex), noise, parts.fps)
    before, apex, after = _levels(parts, times)
    size = max(0.0, float(trace[round(top.apex)]))
    left = abs(float(((after - before) * weights).sum()))
    return Event(times, trace, apex - (before + after) / 2, size / noise, left / max(size, noise))


def _from_rest(parts: Parts, raw: Array) -> Array:
    """A trace from rest: less its drift; or, where something slow is much larger than all that is quick, as it is."""
    whole = raw - np.quantile(raw, 0.2)
    if not parts.long:
        return np.asarray(whole)
    quick = settled(raw, parts.window).astype(np.float64)
    return np.asarray(whole if whole.max() > max(_SLOWER * quick.max(), _LARGE) else quick)


def _levels(parts: Parts, times: Crossings) -> tuple[Array, Array, Array]:
    """Where the parts are before, at the apex of, and after an event: float64 (K, 2) each."""
    before, after = _beside(parts, times)
    apex = int(np.clip(round(times.apex), 0, len(parts.moved) - 1))
    top = parts.moved[max(0, apex - 1) : apex + 2].mean(0)
    return np.median(parts.moved[before], 0), top, np.median(parts.moved[after], 0)


def _beside(parts: Parts, times: Crossings) -> tuple[slice, slice]:
    """A third of a second before onset and after offset, off by a frame or two; at least one frame each."""
    total, margin = len(parts.moved), max(2, round(_BESIDE_S * parts.fps))
    start = int(np.clip(np.floor(times.onset) - 1, 1, total))
    end = int(np.clip(np.ceil(times.offset) + 2, 0, total - 1))
    return slice(max(0, start - margin), start), slice(end, min(total, end + margin))
