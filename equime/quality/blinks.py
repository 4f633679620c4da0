"""When do the lids close? A blink is the commonest movement of a face, and no micro-expression.

Why two signs: the mesh's opening falls in a blink by a tenth (a narrow eye) to a half, and by as much when a subject
looks down; the picture of the eye changes altogether in a blink, and also when a hand passes. A blink shows both.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from equime.quality.looks import Looks, running

Array = npt.NDArray[Any]

LIKENESS: Final = 0.83
"""Correlation of an eye's picture with the usual one under which it is shut. Of 22 blinks in 2,000 frames of FGnet's
talking face and 3 in a phone call -0.3 to 0.6, of 36 of the packaged warp to 0.81; a moved gaze makes 0.84 to 0.9."""
OPENING: Final = 0.93
"""Opening of the lids, as a share of the usual one, under which they fall: 0.48 to 0.89 there."""
LONGEST_MS: Final = 500.0
_AROUND_S: Final = 0.6
_CORNERS: Final = (33, 133, 362, 263)
_LIDS: Final = ((160, 144), (159, 145), (158, 153), (387, 373), (386, 374), (385, 380))
_SIZE: Final = (36, 20)
_SLACK: Final = 2


def blinks(pictures: Array, corner: Array, looks: Looks) -> tuple[tuple[float, float], ...]:
    """(start, end) of each closure of both lids shorter than `LONGEST_MS`, in ms from the clip's start.

    Args:
        pictures: uint8 (T, h, w) grey: the window on the face.
        corner: (x, y) of the window in the frame.
        looks: The mesh.
    """
    likeness = _likeness(_eyes(pictures, looks.everywhere(_CORNERS) - corner), looks.fps)
    opening = _opening(looks)
    # The lids' moments are some frames apart: the nearest on either side count.
    near = looks.step
    found = []
    for first, last in _runs(likeness < LIKENESS):
        fallen = opening[(looks.at >= first - near) & (looks.at < last + near)].min(initial=1.0) < OPENING
        start, end = first * 1000 / looks.fps, last * 1000 / looks.fps
        if fallen and end - start < LONGEST_MS:
            found.append((start, end))
    return tuple(found)


def _runs(true: Array) -> list[tuple[int, int]]:
    """(first, one after the last) of each stretch of True in bool (T,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], true.astype(int), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _opening(looks: Looks) -> Array:
    """Lids' distance over the eye's width, as a share of its running median, float64 (n,)."""
    xy = looks.points[..., :2].astype(np.float64)
    upper, lower = zip(*_LIDS, strict=True)
    height = np.hypot(*np.moveaxis(xy[:, list(upper)] - xy[:, list(lower)], 2, 0)).mean(1)
    width = np.hypot(*np.moveaxis(xy[:, [33, 263]] - xy[:, [133, 362]], 2, 0)).mean(1)
    share = height / np.maximum(width, 1e-6)
    return np.asarray(share / np.maximum(running(share, 2 * round(2 * _AROUND_S * looks.rate) + 1), 1e-6))


def _eyes(pictures: Array, corners: Array) -> Array:
    """Both eyes from corner to corner, turned level, float32 (T, 2, 20, 36)."""
    width, height = _SIZE
    eyes = np.empty((len(pictures), 2, height, width), np.float32)
    for t, picture in enumerate(pictures):
        for side in (0, 1):
            a, b = corners[t, 2 * side : 2 * side + 2]
            along = 1.3 * (b - a) / width
            down = np.array([-along[1], along[0]])
            start = (a + b) / 2 - along * (width - 1) / 2 - down * (height - 1) / 2
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            eye = cv2.warpAffine(picture, np.stack([along, down, start], 1), _SIZE, flags=flags)
            eyes[t, side] = eye
    return eyes


def _likeness(eyes: Array, fps: float) -> Array:
    """Correlation of each eye with its running median, the mean of both, float64 (T,)."""
    around, every = round(_AROUND_S * fps), max(1, round(fps / 8))
    usual = [np.median(eyes[max(0, t - around) : t + around + 1 : every], axis=0) for t in range(0, len(eyes), every)]
    return np.array([_correlation(eye, usual[t // every]) for t, eye in enumerate(eyes)])


def _correlation(eyes: Array, usual: Array) -> float:
    """The mean over both eyes, each where it fits best: the mesh is between two moments, a head may hurry."""
    pairs = zip(eyes, usual.astype(np.float32)[:, _SLACK:-_SLACK, _SLACK:-_SLACK], strict=True)
    return float(np.mean([cv2.matchTemplate(eye, mean, cv2.TM_CCOEFF_NORMED).max() for eye, mean in pairs]))
