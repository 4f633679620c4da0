"""Motion over a clip: every frame against neutral, the head's own motion out; and the times of a movement.

Why here: validity and recognition read a clip's motion in one way. Flow is taken from one neutral frame and not
from frame to frame, whose errors would add up.

    >>> motion = traces(frames, face, [("mouth", "R"), ("mouth", "L")])  # float32 (T, 2) each
    >>> onset, apex, offset = crossings(settled(project(motion["mouth", "R"])))  # frames, continuous
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from equime.errors import EquimeError
from equime.flow import HeadFit, HeadMotion, Method, Preset, dense, grey, robust_mean
from equime.mesh import Face, region_mask

Array = npt.NDArray[Any]

_SMOOTHING: Final = np.array([-3, 12, 17, 12, -3]) / 35


# --- clips


def neutral(frames: Sequence[Array] | Array, count: int = 5) -> Array:
    """The mean of the first `count` frames as one grey uint8 frame: a reference with less noise than any."""
    first = np.stack([grey(np.asarray(frame)) for frame in frames[:count]])
    return np.asarray(np.rint(first.mean(0)), np.uint8)


class Step(NamedTuple):
    """One frame against the reference, in the pixels of the reference's window.

    Attributes:
        flow: float32 (h, w, 2): what is left when the frame lies over the reference by the head of the frame before.
        model: float64 (2, 3): the head's part of that flow, linear in (x, y, 1).
        place: float64 (3, 3): where the head is now, from the reference's window to the window on the frame.
    """

    flow: Array
    model: Array
    place: Array


class Steady:
    """A clip's frames laid over its neutral reference, one `Step` each.

    Every frame is first laid over the reference by the head motion of the frame before it, so that the flow
    has only the expression and one frame's sway to find; a large flow would carry errors of its size.

    Attributes:
        face: The face in the window's pixels.
        reference: uint8 (h, w): the neutral frame's window, the part of the frame worth the flow's time.
    """

    def __init__(self, frames: Sequence[Array] | Array, face: Face, count: int = 5) -> None:
        if not len(frames):
            raise EquimeError("expected at least one frame, got none")
        window, self.face = _window(face, np.asarray(frames[0]).shape)
        self.reference = np.ascontiguousarray(neutral(frames, count)[window])
        self._frames, self._origin = frames, np.array([window[1].start, window[0].start])

    def steps(
        self, motion: HeadMotion | None = "similarity", method: Method = "dis", preset: Preset = "fast"
    ) -> Iterator[Step]:
        """One `Step` a frame; see `traces` for the arguments."""
        shape = (self.reference.shape[0], self.reference.shape[1])
        head = HeadFit(self.face, shape, motion) if motion else None
        place = np.eye(3)
        for frame in self._frames:
            laid = _laid_over(grey(np.asarray(frame)), place, self._origin, self.reference)
            flow = dense(self.reference, laid, method, preset)
            model = head.motion_of(flow) if head else np.zeros((2, 3))
            place = place @ (np.eye(3) + np.vstack([model, np.zeros(3)]))
            yield Step(flow, model, place)


def traces(
    frames: Sequence[Array] | Array,
    face: Face,
    regions: Iterable[tuple[str, str]],
    *,
    count: int = 5,
    motion: HeadMotion | None = "similarity",
    method: Method = "dis",
    preset: Preset = "fast",
) -> dict[tuple[str, str], Array]:
    """How far each region moved from neutral, over a whole clip, in the head's own axes.

    Args:
        frames: T frames, uint8 (H, W, 3) or (H, W); the first `count` are taken as neutral.
        face: The face in those first frames, in their pixels.
        regions: (name, side) pairs, the names of `mesh.REGIONS` and `mesh.PARTS`, sides R, L or B.
        count: How many frames make the neutral reference.
        motion: The head motion to take out (see `flow.stabilise`); None leaves it in.
        method: See `flow.dense`.
        preset: See `flow.dense`.

    Returns:
        For each pair float32 (T, 2): mean displacement in pixels, x right and y down.

    Raises:
        EquimeError: No frames, or an unknown region.
    """
    steady = Steady(frames, face, count)
    masks = {key: np.nonzero(region_mask(steady.face, *key, steady.reference.shape)) for key in regions}
    steps = steady.steps(motion, method, preset)
    rows = [[robust_mean(_without(step, *where)) for where in masks.values()] for step in steps]
    table = np.asarray(rows, np.float32).reshape(len(rows), len(masks), 2)
    return {key: table[:, k] for k, key in enumerate(masks)}


def _laid_over(frame: Array, place: Array, origin: Array, reference: Array) -> Array:
    """The frame's pixels at the reference's places, uint8 of the reference's shape."""
    matrix = place[:2].copy()
    matrix[:, 2] += origin
    size = (reference.shape[1], reference.shape[0])
    flags = cv2.WARP_INVERSE_MAP | cv2.INTER_CUBIC
    return np.asarray(cv2.warpAffine(frame, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))


def _without(step: Step, rows: Array, columns: Array) -> Array:
    """The flow at some pixels, float32 (n, 2), less the head's."""
    positions = np.stack([columns, rows, np.ones(len(rows))], 1)
    return np.asarray(step.flow[rows, columns] - positions @ step.model.T, np.float32)


def _window(face: Face, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], Face]:
    """The part of the frame worth the flow's time, and the face in its pixels."""
    x0, y0, x1, y1 = face.box
    margin = 0.25 * face.eye_distance
    left, top = (max(0, int(low - margin)) for low in (x0, y0))
    right, bottom = (int(np.ceil(high + margin)) + 1 for high in (x1, y1))
    moved = face.moved(np.array([[1.0, 0.0, -left], [0.0, 1.0, -top]]))
    return (slice(top, min(shape[0], bottom)), slice(left, min(shape[1], right))), moved


# --- times


def project(trace: Array, direction: Sequence[float] | None = None) -> Array:
    """Displacement along one direction, float32 (T,), of a float32 (T, 2) trace.

    Args:
        trace: x right and y down, in pixels.
        direction: (x, y), of any length; None takes where the trace points when it is farthest from neutral.
    """
    if direction is None:
        direction = trace[int(np.argmax(np.hypot(*trace.T)))].tolist()
    x, y = direction
    return np.asarray((trace[:, 0] * x + trace[:, 1] * y) / max(float(np.hypot(x, y)), 1e-12), np.float32)


def settled(trace: Array, window: int = 49) -> Array:
    """A trace less its running median over `window` frames (odd), float32 of the same shape.

    What is slow goes (the remains of a swaying head), what takes less than half of the window stays: at
    24 fps all that lasts up to a second, twice the longest micro-expression. The ends are mirrored.
    """
    half = min(window // 2, len(trace) - 1)
    padded = np.pad(trace, [(half, half)] + [(0, 0)] * (trace.ndim - 1), mode="reflect")
    # A column at a time: all windows of a long clip at once would fill the memory.
    columns = padded.reshape(len(padded), -1).T
    slow = [np.median(np.lib.stride_tricks.sliding_window_view(c, 2 * half + 1), axis=-1) for c in columns]
    return np.asarray(trace - np.stack(slow, 1).reshape(trace.shape), np.float32)


class Crossings(NamedTuple):
    """Continuous 0-based frame positions; NaN where the trace never rises above its baseline."""

    onset: float
    apex: float
    offset: float


def crossings(trace: Array, fraction: float = 0.1, baseline: float = 0.0) -> Crossings:
    r"""Onset, apex and offset of the largest rise of a trace, in frames with their decimals.

    ::

        displacement
             |                apex
        peak |                _*_
             |              _/   \_
             |             /       \\
             |           _/         \_
        10 % |- - - - - * - - - - - - * - - - -
        base |_________/ onset  offset \______
             +--------------------------------> frame
                        |<-- duration -->|

    The trace is smoothed over 5 frames by local parabolas (Savitzky and Golay 1964), which widen a pulse far
    less than a mean does. The apex is the top of the parabola through the highest frame and its neighbours;
    from there outwards, the first crossing of `fraction` of the peak on either side, between frames by a
    straight line, is onset and offset. A clip that begins or ends above that level has its onset or offset at
    its first or last frame. Milliseconds are frames * 1000 / fps.

    On noiseless sine-squared pulses of 8 frames and more: symmetric, the apex is exact and onset and offset
    are within 0.3 frames; falling twice as slowly as it rose, the apex is up to 0.6 frames late. Noise moves
    onset and offset where it nears a tenth of the peak: then measure in a finer region (`mesh.PARTS`).

    Args:
        trace: float (T,) displacement along the movement's own direction (see `project`): a rise, not a fall.
        fraction: Of the peak above `baseline`, between 0 and 1.
        baseline: What counts as neutral; 0 for a `settled` trace or a still head.
    """
    rise = np.asarray(trace, np.float64) - baseline
    smooth = np.convolve(np.pad(rise, 2, mode="edge"), _SMOOTHING, mode="valid")
    top = int(np.argmax(smooth))
    if not smooth[top] > 0:
        return Crossings(np.nan, np.nan, np.nan)
    shift, peak = _parabola(smooth, top)
    level = fraction * peak
    before = _crossing(smooth[top::-1], level)
    after = _crossing(smooth[top:], level)
    return Crossings(top - before, top + shift, top + after)


def _parabola(values: Array, top: int) -> tuple[float, float]:
    """(shift in frames, height) of the parabola through a maximum and its two neighbours."""
    if not 0 < top < len(values) - 1:
        return 0.0, float(values[top])
    left, middle, right = values[top - 1 : top + 2].tolist()
    bend = left - 2 * middle + right
    shift = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return shift, middle - 0.25 * (left - right) * shift


def _crossing(values: Array, level: float) -> float:
    """How many frames after the first the values fall through `level`; the last frame if never."""
    below = np.flatnonzero(values < level)
    if not below.size:
        return float(len(values) - 1)
    k = int(below[0])
    if k == 0:
        return 0.0
    return k - 1 + float((values[k - 1] - level) / (values[k - 1] - values[k]))
