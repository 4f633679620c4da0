"""Optical flow, strain and head stabilisation: one place, for validity and for recognition.

Why here: a movement of half a pixel is near what mesh points resolve (their jitter is 0.25 to 0.4 px) and far
above what dense flow does, so the mesh says where to look and the flow says how much moved. Validity and
recognition both read clips this way and must not each have their own idea of it.

    >>> motion = traces(frames, face, [("mouth", "R"), ("mouth", "L")])  # float32 (T, 2) each
    >>> onset, apex, offset = crossings(settled(project(motion["mouth", "R"])))  # frames, continuous

Flow is float32 (H, W, 2) in pixels: where each pixel of the reference went, x to the right and y down.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from equime.errors import EquimeError
from equime.mesh import Face, region_mask

Array = npt.NDArray[Any]
Method = Literal["dis", "farneback", "tvl1"]
Preset = Literal["ultrafast", "fast", "medium"]
Formula = Literal["half", "quarter", "sobel"]
Motion = Literal["translation", "similarity", "affine"]

STABLE_POINTS: Final = (*(168, 6, 197, 10, 338, 109, 162, 389, 127, 356, 234, 454, 93, 323),)
"""Mesh points that expressions hardly move: nose bridge, hairline, temples, before the ears."""

_SMOOTHING: Final = np.array([-3, 12, 17, 12, -3]) / 35
_STABLE_RADIUS: Final = 0.1
_STABLE_INWARD: Final = 0.08
_PRESETS: Final = {"ultrafast": 0, "fast": 1, "medium": 2}


# --- flow and strain


def grey(image: Array) -> Array:
    """uint8 (H, W) luma of uint8 (H, W, 3) RGB; (H, W) passes through."""
    if image.dtype != np.uint8 or image.ndim not in (2, 3):
        raise EquimeError(f"expected uint8 (H, W) or (H, W, 3), got {image.dtype} {image.shape}")
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def dense(reference: Array, frame: Array, method: Method = "dis", preset: Preset = "medium") -> Array:
    """Displacement of every pixel of `reference` on its way to `frame`, float32 (H, W, 2) in pixels.

    Args:
        reference: uint8 (H, W) grey or (H, W, 3) RGB.
        frame: The same shape.
        method: "dis" (Kroeger et al. 2016, arXiv 1603.03590), "farneback" (2003, with the parameters of
            HTNet's script) or "tvl1" (Zach et al. 2007; IPOL 2013/26), the field's default, a hundred times
            slower.
        preset: DIS only: "ultrafast", "fast" or "medium".

    Raises:
        EquimeError: Shapes or types differ, or an unknown method or preset.
    """
    if reference.shape != frame.shape:
        raise EquimeError(f"expected two frames of one shape, got {reference.shape} and {frame.shape}")
    a, b = grey(reference), grey(frame)
    if method == "dis" and preset in _PRESETS:
        return np.asarray(cv2.DISOpticalFlow.create(_PRESETS[preset]).calc(a, b, None))
    if method == "farneback":
        none: Any = None
        return np.asarray(cv2.calcOpticalFlowFarneback(a, b, none, 0.5, 3, 15, 3, 5, 1.2, 0))
    if method == "tvl1":
        contrib: Any = getattr(cv2, "optflow", None)
        if contrib is None:
            raise EquimeError("TV-L1 needs OpenCV's contrib: run `pip install opencv-contrib-python-headless`")
        return np.asarray(contrib.DualTVL1OpticalFlow_create().calc(a, b, None))
    raise EquimeError(f"expected dis (ultrafast, fast, medium), farneback or tvl1, got {method = } {preset = }")


def strain(flow: Array, formula: Formula = "half") -> Array:
    """Magnitude of the optical strain, float32 (H, W), in pixels per pixel.

    With subscripts for derivatives, sources differ in the shear term:

    - "half": sqrt(ux² + vy² + ½ (uy + vx)²), the Frobenius norm of the symmetric gradient;
    - "quarter": sqrt(ux² + vy² + ¼ (uy + vx)²), as STSTNet's and CausalNet's code has it;
    - "sobel": sqrt(ux² + vy² + ½ (uy² + vx²)) from 3x3 Sobel derivatives, as MEB's; here divided by 8,
      the kernel's weight, so that the unit is the same.

    Raises:
        EquimeError: An unknown formula.
    """
    u, v = flow[..., 0].astype(np.float32), flow[..., 1].astype(np.float32)
    if formula == "sobel":
        ux, vx = (cv2.Sobel(f, cv2.CV_32F, 1, 0) / 8 for f in (u, v))
        uy, vy = (cv2.Sobel(f, cv2.CV_32F, 0, 1) / 8 for f in (u, v))
        shear = (uy**2 + vx**2) / 2
    elif formula in ("half", "quarter"):
        (uy, ux), (vy, vx) = np.gradient(u), np.gradient(v)
        shear = (uy + vx) ** 2 * (0.5 if formula == "half" else 0.25)
    else:
        raise EquimeError(f"expected half, quarter or sobel, got {formula = }")
    return np.asarray(np.sqrt(ux**2 + vy**2 + shear), np.float32)


# --- head motion


def stable_mask(face: Face, shape: tuple[int, ...]) -> Array:
    """Pixels that move with the head and no expression, bool (H, W): discs at `STABLE_POINTS`."""
    # The outermost points lie on the face's edge: drawn inwards, their discs see skin and no background.
    points = face.points[list(STABLE_POINTS), :2]
    points = points + _STABLE_INWARD * (face.points[168, :2] - points)
    mask = np.zeros(shape[:2], np.uint8)
    for x, y in np.rint(points).astype(int).tolist():
        cv2.circle(mask, (x, y), max(1, round(_STABLE_RADIUS * face.eye_distance)), 1, -1)
    return mask.astype(bool)


def stabilise(flow: Array, face: Face, motion: Motion = "similarity") -> Array:
    """The flow without the head's own motion, float32 (H, W, 2).

    A smooth motion is fitted to the flow on `stable_mask` by least squares with Tukey's biweight, so that a
    brow reaching into it is an outlier and not a head that turned; its value everywhere is subtracted.

    Args:
        flow: float32 (H, W, 2).
        face: The face in the reference frame, in the flow's pixels.
        motion: "translation", "similarity" (shift, turn, scale: a head that sways) or "affine".

    Raises:
        EquimeError: An unknown motion, or no stable pixel in the frame.
    """
    height, width = flow.shape[:2]
    model = _Head(face, (height, width), motion).motion_of(flow)
    # The model is linear in x and y, so one row and one column make the whole field.
    across = np.arange(width)[None, :, None] * model[:, 0]
    down = np.arange(height)[:, None, None] * model[:, 1]
    return np.asarray(flow - (across + down + model[:, 2]), np.float32)


class _Head:
    """The robust fit of a head's motion: what depends on the face alone is prepared once for a clip."""

    def __init__(self, face: Face, shape: tuple[int, int], motion: Motion) -> None:
        rows, columns = np.nonzero(stable_mask(face, shape))
        if not len(rows):
            raise EquimeError(f"expected a face inside the {shape[1]}x{shape[0]} frame, got {face.box = }")
        # Flow is smooth: some two thousand of its pixels say as much as all.
        step = max(1, len(rows) // 2000)
        self.rows, self.columns = rows[::step], columns[::step]
        # Positions from the face's middle in eye distances keep the fit well scaled.
        self.scale, self.middle = face.eye_distance, np.asarray(face.center)
        x, y = ((np.stack([self.columns, self.rows]).T - self.middle) / self.scale).T
        one, none = np.ones(len(x)), np.zeros(len(x))
        bases = {
            "translation": [(one, none), (none, one)],
            "similarity": [(one, none), (none, one), (x, y), (-y, x)],
            "affine": [(one, none), (none, one), (x, none), (y, none), (none, x), (none, y)],
        }
        if motion not in bases:
            raise EquimeError(f"expected one of {', '.join(bases)}, got {motion = }")
        self.design = np.stack([np.concatenate(pair) for pair in bases[motion]], 1)

    def motion_of(self, flow: Array) -> Array:
        """float64 (2, 3): the head's displacement as a linear function of (x, y, 1), both in pixels."""
        seen = flow[self.rows, self.columns].T.astype(np.float64).ravel()
        weights = np.ones(len(self.rows))
        for _ in range(6):
            weighted = self.design * np.tile(weights, 2)[:, None]
            found = np.linalg.lstsq(weighted.T @ self.design, weighted.T @ seen, rcond=None)[0]
            residual = np.hypot(*(self.design @ found - seen).reshape(2, -1))
            # 0.02 px is the flow's own noise: without a floor an exact fit would throw half its pixels out.
            spread = 4.685 * max(1.4826 * float(np.median(residual)), 0.02)
            weights = np.clip(1 - (residual / spread) ** 2, 0, None) ** 2
        return self._in_pixels(found)

    def _in_pixels(self, found: Array) -> Array:
        linear = np.zeros((2, 2))
        if len(found) == 4:
            linear = np.array([[found[2], -found[3]], [found[3], found[2]]])
        elif len(found) == 6:
            linear = found[2:].reshape(2, 2)
        linear = linear / self.scale
        return np.column_stack([linear, found[:2] - linear @ self.middle])


# --- clips


def region_flow(flow: Array, mask: Array) -> Array:
    """Mean displacement over a mask, float32 (2,) in pixels, its extreme hundredths clipped; NaN if empty.

    A median would be sturdier and blind: an expression often moves less than half of its region.
    """
    return _robust_mean(flow[mask])


def _robust_mean(values: Array) -> Array:
    """float32 (2,) of float32 (n, 2)."""
    if not len(values):
        return np.full(2, np.nan, np.float32)
    low, high = len(values) // 100, len(values) - 1 - len(values) // 100
    ends = np.partition(values, [low, high], axis=0)
    return np.asarray(values.clip(ends[low], ends[high]).mean(0), np.float32)


def neutral(frames: Sequence[Array] | Array, count: int = 5) -> Array:
    """The mean of the first `count` frames as one grey uint8 frame: a reference with less noise than any."""
    first = np.stack([grey(np.asarray(frame)) for frame in frames[:count]])
    return np.asarray(np.rint(first.mean(0)), np.uint8)


def traces(
    frames: Sequence[Array] | Array,
    face: Face,
    regions: Iterable[tuple[str, str]],
    *,
    count: int = 5,
    motion: Motion | None = "similarity",
    method: Method = "dis",
    preset: Preset = "fast",
) -> dict[tuple[str, str], Array]:
    """How far each region moved from neutral, over a whole clip, in the head's own axes.

    Every frame is first laid over the reference by the head motion of the frame before it, so that the flow
    has only the expression and one frame's sway to find; a large flow would carry errors of its size.

    Args:
        frames: T frames, uint8 (H, W, 3) or (H, W); the first `count` are taken as neutral.
        face: The face in those first frames, in their pixels.
        regions: (name, side) pairs, the names of `mesh.REGIONS` and `mesh.PARTS`, sides R, L or B.
        count: How many frames make the neutral reference.
        motion: The head motion to take out (see `stabilise`); None leaves it in.
        method: See `dense`.
        preset: See `dense`.

    Returns:
        For each pair float32 (T, 2): mean displacement in pixels, x right and y down.

    Raises:
        EquimeError: No frames, or an unknown region.
    """
    if not len(frames):
        raise EquimeError("expected at least one frame, got none")
    window, inner = _window(face, np.asarray(frames[0]).shape)
    reference = np.ascontiguousarray(neutral(frames, count)[window])
    masks = {key: np.nonzero(region_mask(inner, *key, reference.shape)) for key in regions}
    head = _Head(inner, reference.shape, motion) if motion else None
    origin = np.array([window[1].start, window[0].start])
    place = np.eye(3)  # From the reference's window to the window on the frame.
    rows = []
    for frame in frames:
        flow = dense(reference, _laid_over(grey(np.asarray(frame)), place, origin, reference), method, preset)
        model = head.motion_of(flow) if head else np.zeros((2, 3))
        place = place @ (np.eye(3) + np.vstack([model, np.zeros(3)]))
        rows.append([_robust_mean(_without(flow, model, *where)) for where in masks.values()])
    table = np.asarray(rows, np.float32).reshape(len(rows), len(masks), 2)
    return {key: table[:, k] for k, key in enumerate(masks)}


def _laid_over(frame: Array, place: Array, origin: Array, reference: Array) -> Array:
    """The frame's pixels at the reference's places, uint8 of the reference's shape."""
    matrix = place[:2].copy()
    matrix[:, 2] += origin
    size = (reference.shape[1], reference.shape[0])
    flags = cv2.WARP_INVERSE_MAP | cv2.INTER_CUBIC
    return np.asarray(cv2.warpAffine(frame, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))


def _without(flow: Array, model: Array, rows: Array, columns: Array) -> Array:
    """The flow at some pixels, float32 (n, 2), less the head's."""
    positions = np.stack([columns, rows, np.ones(len(rows))], 1)
    return np.asarray(flow[rows, columns] - positions @ model.T, np.float32)


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
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, axis=0)
    return np.asarray(trace - np.median(windows, axis=-1), np.float32)


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
