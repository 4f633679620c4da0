"""Onset, apex and offset of one pulse in a noisy trace, in frames with their decimals.

Why: the level that onset and offset are defined by, a tenth of the peak, is under the noise of a faint expression. A
whole pulse is not: its flanks, fitted together, say where it crosses that level. Long or odd pulses, which no
template fits, are large, and read off the trace itself.

    >>> timed(trace, apex=60, noise=0.0001, fps=24.0)
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from equime.traces import Crossings, crossings

Array = npt.NDArray[Any]

LONGEST_S: Final = 1.0
"""A fitted pulse lasts no longer, from onset to offset; what seems to is read off the trace."""

_ODD: Final = 0.1
_BRIEF: Final = 0.85
_SHORTEST_S: Final = 0.12
_SPAN_S: Final = 0.85
_STEP_S: Final = 0.01
_FLANKS_S: Final = np.geomspace(0.05, 0.8, 29)
_FLANK: Final = 1 - 2 / np.pi * np.arcsin(np.sqrt(0.1))
"""Share of a raised cosine's flank that lies above a tenth of its height."""


def timed(trace: Array, apex: int, noise: float, fps: float) -> Crossings:
    """Times of the pulse around its highest frame.

    Args:
        trace: float (T,), 0 at rest.
        apex: The frame that is roughly highest.
        noise: Standard deviation of the trace at rest.
        fps: Frames a second.
    """
    fitted, misfit = _fitted(trace, apex, fps)
    brief = fitted.offset - fitted.onset < _BRIEF * LONGEST_S * fps
    if brief and misfit < max(2.5 * noise, _ODD * float(trace[apex])):
        return Crossings(*(min(max(at, 0.0), len(trace) - 1.0) for at in fitted))
    return crossings(unimodal(trace, apex, round(2 * fps)))


def _fitted(trace: Array, apex: int, fps: float) -> tuple[Crossings, float]:
    """The raised cosine, its flanks of any two lengths, nearest to a trace; and what it misses (root mean square)."""
    span = round(_SPAN_S * fps)
    frames = np.arange(max(0, apex - span), min(len(trace), apex + span + 1))
    # From the apex on, so that its own place is in the grid whatever the frame rate.
    t, y = (frames - apex) / fps, np.asarray(trace[frames], np.float64)
    steps = np.arange(-10, 10.5) * _STEP_S
    grid = np.meshgrid(steps[(steps >= t[0]) & (steps <= t[-1])], _FLANKS_S, _FLANKS_S, indexing="ij")
    at, rise, fall = (axis.ravel() for axis in grid)
    lasting = (rise + fall >= _SHORTEST_S) & (rise + fall <= LONGEST_S)
    at, rise, fall = at[lasting], rise[lasting], fall[lasting]
    shapes = _raised_cosine(t, at[:, None], rise[:, None], fall[:, None])
    shapes -= shapes.mean(1, keepdims=True)
    size = np.clip(shapes @ (y - y.mean()), 0, None) / np.sqrt(np.maximum((shapes**2).sum(1), 1e-12))
    best = int(np.argmax(size))
    misfit = float(np.sqrt(max(0.0, float(((y - y.mean()) ** 2).sum()) - size[best] ** 2) / len(y)))
    times = (at[best] - rise[best], at[best], at[best] + fall[best])
    return Crossings(*(apex + fps * float(time) for time in times)), misfit


def _raised_cosine(t: Array, at: Array, rise: Array, fall: Array) -> Array:
    """1 at `at`, a tenth `rise` before it and `fall` after it; times in seconds."""
    x = (t - at) / np.where(t < at, rise, fall) * _FLANK
    return np.asarray(np.where(np.abs(x) < 1, np.cos(np.pi / 2 * x) ** 2, 0.0))


def unimodal(trace: Array, apex: int, window: int) -> Array:
    """The nearest trace (least squares) that only rises up to `apex` and only falls after it, within a window.

    Isotonic regression on either side: noise after an expression cannot pass for its end, and no shape is assumed.
    """
    found = np.zeros(len(trace))
    first, last = max(0, apex - window), min(len(trace), apex + window + 1)
    found[first : apex + 1] = _rising(trace[first : apex + 1])
    falling = _rising(trace[apex:last][::-1])[::-1]
    falling[0] = max(falling[0], found[apex])
    found[apex:last] = falling
    return found


def _rising(values: Array) -> Array:
    """Isotonic regression by pooling adjacent violators (Ayer et al. 1955)."""
    blocks: list[tuple[float, int]] = []
    for value in values.tolist():
        mean, count = float(value), 1
        while blocks and blocks[-1][0] >= mean:
            before, size = blocks.pop()
            mean, count = (mean * count + before * size) / (count + size), count + size
        blocks.append((mean, count))
    return np.repeat([mean for mean, _ in blocks], [count for _, count in blocks])
