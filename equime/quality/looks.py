"""The face's mesh at a dozen moments a second: where the head is, whether the face is still there.

Why beside the flow: flow against the first frame loses a head that turns, the mesh follows it. The mesh jitters by a
quarter of a pixel and says nothing of a micro-expression; for the head, the lids and the skin's place it is enough.

    >>> seen = look(frames, 24.0, face, finder)
    >>> seen.excursion().max()                   # eye distances
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from equime.face import FaceFinder
from equime.flow import STABLE_POINTS
from equime.mesh import Face
from equime.video import Frames

Array = npt.NDArray[Any]

PER_SECOND: Final = 12
"""A lid is shut for a twelfth of a second at least, and a head turns in more than two."""
_MARGIN: Final = 0.3
_ENOUGH: Final = 60.0
"""Eye distance, in pixels, that the mesh needs."""


@dataclass(frozen=True, eq=False)
class Looks:
    """One face over a clip.

    Attributes:
        count: Frames of the clip.
        fps: Frames a second.
        lost: Share of the moments, 0-1, at which the face was not found.
        at: int (n,): the frames in which it was, in order; the first is 0.
        points: float32 (n, 468, 3): the mesh there, in pixels of the frame.
    """

    count: int
    fps: float
    lost: float
    at: Array
    points: Array

    @cached_property
    def eye_distance(self) -> float:
        """In the first frame, in pixels."""
        return Face(self.points[0], 1.0, 1.0).eye_distance

    @property
    def step(self) -> int:
        """Frames from one moment to the next."""
        return step(self.fps)

    @property
    def rate(self) -> float:
        """Moments a second."""
        return self.fps / self.step

    def everywhere(self, points: Sequence[int]) -> Array:
        """float64 (T, k, 2): mesh points in every frame, straight between moments."""
        known = self.points[:, list(points), :2].reshape(len(self.at), -1)
        frames = np.arange(self.count)
        return np.stack([np.interp(frames, self.at, c) for c in known.T], 1).reshape(self.count, -1, 2)

    def excursion(self) -> Array:
        """How far the head is from its first pose, float64 (n,), in eye distances.

        Shift in the image, plus turn about any axis in radians (the path of a point one eye distance from it), plus
        change of size as a share: of the rigid motion that fits the points no expression moves (Kabsch 1976). Over
        three moments the median is taken, against the mesh's jitter.
        """
        start = self.points[0, list(STABLE_POINTS)].astype(np.float64)
        poses = [_pose(start, now[list(STABLE_POINTS)].astype(np.float64)) for now in self.points]
        away = [shift / self.eye_distance + turn + abs(growth) for shift, turn, growth in poses]
        return running(np.asarray(away), 3)


def step(fps: float) -> int:
    """Frames from one moment to the next."""
    return max(1, round(fps / PER_SECOND))


def look(frames: Frames, fps: float, face: Face, finder: FaceFinder) -> Looks:
    """Follow a face through a clip.

    Args:
        frames: uint8 (T, H, W, 3) RGB.
        fps: Frames a second.
        face: The face in the first frame.
        finder: Its `track` is used: 4 ms a moment.
    """
    moments = range(0, len(frames), step(fps))
    # The mesh sees a face in 192 pixels: half of a large picture serves it as well and costs a quarter.
    shrink = max(1, int(face.eye_distance / _ENOUGH))
    found: dict[int, Face] = {}
    last = _scaled(face, 1 / shrink)
    for moment in moments:
        now = finder.track(shrunk(frames[moment], shrink), last)
        if now is None and moment == 0:
            now = last
        if now is not None:
            found[moment] = last = now
    points = np.stack([_scaled(seen, shrink).points for seen in found.values()])
    return Looks(len(frames), fps, 1 - len(found) / len(moments), np.array(list(found)), points)


def running(values: Array, window: int, of: Callable[..., Array] = np.median) -> Array:
    """The median (or another mean) over `window` rows around each, (T, ...); the ends are repeated."""
    half = window // 2
    padded = np.pad(values, [(half, half)] + [(0, 0)] * (values.ndim - 1), mode="edge")
    return np.asarray(of(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, axis=0), axis=-1))


def shrunk(image: Array, by: int) -> Array:
    """An image of an `by`-th of the width and height, averaged."""
    height, width = image.shape[0] // by, image.shape[1] // by
    part = image[: height * by, : width * by]
    return part if by == 1 else np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA))


def _scaled(face: Face, by: float) -> Face:
    # A pixel's centre is its place: the first of the shrunken ones lies amid those it was made of.
    shift = (by - 1) / 2
    return face.moved(np.array([[by, 0.0, shift], [0.0, by, shift]]))


def window(frames: Frames, looks: Looks) -> tuple[Array, Array]:
    """The part of the frames in which the face ever is, in grey: uint8 (T, h, w), and its corner's (x, y)."""
    margin = _MARGIN * looks.eye_distance
    height, width = frames.shape[1:3]
    low = np.clip(looks.points[..., :2].min((0, 1)) - margin, 0, [width - 2, height - 2]).astype(int)
    high = np.clip(looks.points[..., :2].max((0, 1)) + margin, low + 2, [width, height]).astype(int)
    part = frames[:, low[1] : high[1], low[0] : high[0]]
    return np.stack([cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in part]), low


def _pose(start: Array, now: Array) -> tuple[float, float, float]:
    """(shift in pixels, turn in radians, growth as a share) of float64 (k, 3) points, by Kabsch's rotation."""
    a, b = start - start.mean(0), now - now.mean(0)
    left, _, right = np.linalg.svd(a.T @ b)
    turned = (left * [1.0, 1.0, np.sign(np.linalg.det(left @ right))]) @ right
    turn = float(np.arccos(np.clip((np.trace(turned) - 1) / 2, -1, 1)))
    growth = float(np.sqrt((b**2).sum() / (a**2).sum())) - 1
    return float(np.hypot(*(now.mean(0) - start.mean(0))[:2])), turn, growth
