"""Does the picture become another one? A cut does it from one frame to the next, a cross-fade in a while.

Why both against the same measure: pictures are compared by the distance of their normalised grey levels (0 the same,
1.4 unrelated), which brightness and contrast leave alone. A cut is a step in it far above the steps around it, which
a turning head or a blink does not make; after a cross-fade, what motion can explain is not enough to find the first
picture again.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from equime.flow import dense
from equime.mesh import LANDMARKS
from equime.quality.looks import Looks, running, shrunk

Array = npt.NDArray[Any]

SAME_VIEW: Final = 0.5
"""Head's excursion (see `Looks.excursion`) up to which the first picture can be found again: a head turned farther
shows another side."""
_SIDE: Final = 96
_NEAR: Final = 4
_LASTING_S: Final = 0.6


def jump(pictures: Array, corner: Array, looks: Looks) -> float:
    """How far the picture becomes another one: the larger of `cut` and `fade`.

    Args:
        pictures: uint8 (T, h, w) grey: the window on the face.
        corner: (x, y) of the window in the frame.
        looks: The mesh.
    """
    points = looks.points[..., :2].astype(np.float64) - corner
    low, high = points[0].min(0), points[0].max(0)
    by = max(1, round(float((high - low).max()) / _SIDE))
    small = np.stack([shrunk(picture, by) for picture in pictures])
    return max(cut(small), fade(small, (points + 0.5) / by - 0.5, looks))


def cut(pictures: Array) -> float:
    """The largest step from one frame to the next beyond the steps around it, 0-2; uint8 (T, h, w)."""
    if len(pictures) < 3:
        return 0.0
    flat = _normalised(pictures.reshape(len(pictures), -1).astype(np.float32))
    steps = np.linalg.norm(np.diff(flat, axis=0), axis=1)
    return max(0.0, max(float(step - _ordinary(steps, t)) for t, step in enumerate(steps)))


def _ordinary(steps: Array, t: int) -> float:
    """The third largest of the steps around one: a flash of a single frame makes two large ones."""
    around = np.concatenate([steps[max(0, t - _NEAR) : t], steps[t + 1 : t + 1 + _NEAR]])
    return float(np.sort(around)[-min(3, len(around))]) if len(around) else 0.0


def fade(pictures: Array, points: Array, looks: Looks) -> float:
    """The largest distance from the first picture of the face that no motion explains and that lasts, 0-2.

    At every moment the face is laid over the first one, by an affine fit of the mesh and then by optical flow; what
    lasts less than half a second (a blink) is left out, as are moments at which the head shows another side.

    Args:
        pictures: uint8 (T, h, w) grey.
        points: float64 (n, 468, 2): the mesh at the moments of `looks`, in their pixels.
        looks: When, and where the head was.
    """
    low, high = points[0].min(0), points[0].max(0)
    middle, side = (low + high) / 2, 1.1 * float((high - low).max()) / _SIDE
    face = (points[0] - middle) / side + _SIDE / 2
    inside = _inside(face[list(LANDMARKS["oval"])])
    laid = [_laid(pictures[t], face, points[k]) for k, t in enumerate(looks.at)]
    away = np.array([_unexplained(laid[0], picture, inside) for picture in laid])
    away = running(away, 2 * round(looks.rate * _LASTING_S / 2) + 1)
    return float(away[looks.excursion() < SAME_VIEW].max(initial=0.0))


def _laid(picture: Array, face: Array, points: Array) -> Array:
    """The face over its first place, uint8 (96, 96): by the affine fit of the mesh there to this one."""
    matrix = np.linalg.lstsq(np.column_stack([face, np.ones(len(face))]), points, rcond=None)[0].T
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, matrix, (_SIDE, _SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE))


def _inside(oval: Array) -> Array:
    """The face without its edge, bool (96, 96)."""
    inner = oval.mean(0) + 0.88 * (oval - oval.mean(0))
    mask = np.zeros((_SIDE, _SIDE), np.uint8)
    hull = cv2.convexHull(np.rint(inner).astype(np.int32))
    return np.asarray(cv2.fillConvexPoly(mask, hull, 1)).astype(bool)


def _unexplained(first: Array, picture: Array, inside: Array) -> float:
    flow = dense(first, picture, preset="fast")
    y, x = np.mgrid[:_SIDE, :_SIDE].astype(np.float32)
    found = cv2.remap(picture, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    pair = _normalised(np.stack([first[inside], found[inside]]).astype(np.float32))
    return float(np.linalg.norm(pair[0] - pair[1]))


def _normalised(rows: Array) -> Array:
    """Rows of mean 0 and length 1."""
    rows = rows - rows.mean(1, keepdims=True)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6))
