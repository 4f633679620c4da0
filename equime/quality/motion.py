"""What moved in a clip: traces of the face's parts on either side in the head's own axes, and the head itself.

Why here: everything that judges an expression (`equime.quality.measure`, `equime.quality.leaks`) reads the same traces,
so a clip's flow is computed once. Knows where the parts are and nothing of action units or plans.

    >>> motion = observe(frames, 24.0, face)
    >>> motion.traces["mouth_corner", "R"][80]      # (lateral, up) in eye distances, neutral = 0
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from equime.errors import EquimeError
from equime.mesh import PARTS, SIDES, Face, region_mask
from equime.traces import Steady
from equime.video import Frames

Array = npt.NDArray[Any]

WATCHED: Final = (*PARTS, "chin")
"""The parts that are followed, on either side."""


@dataclass(frozen=True, eq=False)
class Motion:
    """How the parts of one face moved over a clip, against its first frames.

    Attributes:
        fps: Frames a second.
        face: The face in the first frame, in the frame's pixels.
        traces: By (part, side "R" or "L", the subject's own): float32 (T, 2) of (lateral, up) in eye distances: away
            from the midline and towards the forehead are positive. The head's own motion is taken out.
        head: float32 (T, 4): the head's shift right and down on the screen (eye distances), its turn in the image
            plane (degrees, clockwise on the screen) and its growth (scale - 1), against the first frames.
    """

    fps: float
    face: Face
    traces: Mapping[tuple[str, str], Array]
    head: Array

    @property
    def frames(self) -> int:
        """T."""
        return len(self.head)

    def ms(self, frame: float) -> float:
        """The time of a (continuous) frame position, in milliseconds."""
        return frame * 1000 / self.fps


def observe(frames: Frames, fps: float, face: Face) -> Motion:
    """Follow every part of a face over a clip: about 1 s for 144 frames of 512x512 on one core.

    Args:
        frames: uint8 (T, H, W, 3) RGB; the first five are taken as neutral.
        fps: Frames a second.
        face: The face in the first frame, in its pixels.

    Raises:
        EquimeError: No frames, or a face outside of them.
    """
    if not len(frames):
        raise EquimeError(f"expected at least one frame, got {frames.shape = }; give a clip that decodes")
    steady = Steady(frames, face)
    keys = [(part, side) for part in WATCHED for side in SIDES]
    masks = np.stack([region_mask(steady.face, *key, steady.reference.shape) for key in keys])
    weights, places = _weights(masks)
    moved, heads = [], []
    for step in steady.steps():
        moved.append(weights @ _halved(step.flow).reshape(-1, 2) - places @ step.model.T)
        heads.append(_head(step.place, steady.face))
    axes = _axes(face)
    table = np.asarray(moved, np.float32) / np.float32(face.eye_distance)
    found = {key: np.asarray(table[:, k] @ axes[key[1]].T, np.float32) for k, key in enumerate(keys)}
    return Motion(float(fps), face, found, np.asarray(heads, np.float32))


def _halved(image: Array) -> Array:
    """Every other mean of 2x2 pixels: flow is smooth, and a quarter of its values say as much."""
    size = (image.shape[1] // 2, image.shape[0] // 2)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def _weights(masks: Array) -> tuple[Array, Array]:
    """Of bool (K, H, W): the means over the masks as float32 (K, n) on halved pixels, and their places (K, 3)."""
    small = np.stack([_halved(mask.astype(np.float32)) for mask in masks])
    share = small.reshape(len(small), -1)
    share = share / np.maximum(share.sum(1, keepdims=True), 1e-9)
    y, x = np.mgrid[: small.shape[1], : small.shape[2]]
    # The middle of a halved pixel lies half a pixel after the first of the two.
    grid = np.stack([2 * x.ravel() + 0.5, 2 * y.ravel() + 0.5, np.ones(x.size)], 1)
    return share.astype(np.float32), share @ grid


def _axes(face: Face) -> dict[str, Array]:
    """By side, float32 (2, 2): rows lateral and up in (right, down) of the screen."""
    right = face.eyes[1] - face.eyes[0]
    right = right / np.linalg.norm(right)
    up = np.array([right[1], -right[0]])
    return {"R": np.stack([-right, up]).astype(np.float32), "L": np.stack([right, up]).astype(np.float32)}


def _head(place: Array, face: Face) -> tuple[float, float, float, float]:
    """(shift right, shift down, turn, growth) of one frame's head."""
    middle = np.array([*face.center, 1.0])
    x, y = ((place @ middle - middle)[:2] / face.eye_distance).tolist()
    turn = float(np.degrees(np.arctan2(place[1, 0], place[0, 0])))
    return x, y, turn, float(np.sqrt(abs(np.linalg.det(place[:2, :2])))) - 1
