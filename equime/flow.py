"""Optical flow, strain and head stabilisation: one place, for validity and for recognition.

Why here: a movement of half a pixel is near what mesh points resolve (their jitter is 0.25 to 0.4 px) and far
above what dense flow does, so the mesh says where to look and the flow says how much moved. Validity and
recognition both read clips this way and must not each have their own idea of it. Over time: `equime.traces`.

    >>> moved = stabilise(dense(neutral_frame, frame), face)
    >>> region_flow(moved, region_mask(face, "mouth", "R", moved.shape))  # pixels (right, down)

Flow is float32 (H, W, 2) in pixels: where each pixel of the reference went, x to the right and y down.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

from equime.errors import EquimeError
from equime.mesh import Face

Array = npt.NDArray[Any]
Method = Literal["dis", "farneback", "tvl1"]
Preset = Literal["ultrafast", "fast", "medium"]
Formula = Literal["half", "quarter", "sobel"]
HeadMotion = Literal["translation", "similarity", "affine"]

STABLE_POINTS: Final = (*(168, 6, 197, 10, 338, 109, 162, 389, 127, 356, 234, 454, 93, 323),)
"""Mesh points that expressions hardly move: nose bridge, hairline, temples, before the ears."""

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


def stabilise(flow: Array, face: Face, motion: HeadMotion = "similarity") -> Array:
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
    model = HeadFit(face, (height, width), motion).motion_of(flow)
    # The model is linear in x and y, so one row and one column make the whole field.
    across = np.arange(width)[None, :, None] * model[:, 0]
    down = np.arange(height)[:, None, None] * model[:, 1]
    return np.asarray(flow - (across + down + model[:, 2]), np.float32)


class HeadFit:
    """The robust fit of a head's motion: what depends on the face alone is prepared once for a clip."""

    def __init__(self, face: Face, shape: tuple[int, int], motion: HeadMotion) -> None:
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


# --- regions


def region_flow(flow: Array, mask: Array) -> Array:
    """Mean displacement over a mask, float32 (2,) in pixels, its extreme hundredths clipped; NaN if empty.

    A median would be sturdier and blind: an expression often moves less than half of its region.
    """
    return robust_mean(flow[mask])


def robust_mean(values: Array) -> Array:
    """Mean of float32 (n, 2) with the extreme hundredths of each column clipped, float32 (2,); NaN if empty."""
    if not len(values):
        return np.full(2, np.nan, np.float32)
    low, high = len(values) // 100, len(values) - 1 - len(values) // 100
    ends = np.partition(values, [low, high], axis=0)
    return np.asarray(values.clip(ends[low], ends[high]).mean(0), np.float32)
