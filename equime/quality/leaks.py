"""What else moved or changed in a clip, besides the expression: head, blinks, light, grain, cuts, frozen frames.

Why: a clip is no micro-expression if its subject turned, blinked or was replaced meanwhile, and none of these may
pass for one.

    >>> leaks(frames, observe(frames, 24.0, face), finder).blinks
    1
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from equime.face import FaceFinder
from equime.mesh import LANDMARKS
from equime.quality.blinks import blinks
from equime.quality.jumps import jump
from equime.quality.looks import Looks, look, running, window
from equime.quality.motion import Motion
from equime.video import Frames

Array = npt.NDArray[Any]

REPEATS: Final = 0.1
"""Mean change of a grey level (of 255) up to which a frame repeats the one before: an encoder's own is 0.0x."""
_SKIN: Final = ("cheek_R", "cheek_L", "forehead_R", "forehead_mid", "forehead_L")
_PATCH: Final = 0.12
_FASTER_THAN_S: Final = 0.5
_BESIDE_BLINK_MS: Final = 100.0


@dataclass(frozen=True)
class Leaks:
    """What a clip shows that is not the expression.

    Attributes:
        head_motion: Largest excursion of the head from its first pose, in eye distances: shift, plus turn about any
            axis in radians (the path of a point one eye distance from it), plus change of size.
        blinks: Closures of both lids that last less than half a second.
        flicker: Standard deviation over time of the brightness of cheeks and forehead (their median), what is slower
            than half a second out, in grey levels of 255.
        noise: Standard deviation from frame to frame of a pixel of that skin, in grey levels of 255.
        jump: How far the picture becomes another one, 0 (the same) to 1.4 (unrelated), beyond what motion explains:
            in one step from frame to frame, or for good since the first frame (see `quality.jumps`).
        stillness: Share of frames, 0-1, that repeat the one before.
        face_lost: Share of a dozen moments a second, 0-1, at which the face of the first frame is not found.
        movement: Farthest that any part of the face goes from its usual place, blinks apart, in eye distances: what
            is slow is there too.
        blink_ms: (start, end) of each blink, from the clip's start.
    """

    head_motion: float
    blinks: int
    flicker: float
    noise: float
    jump: float
    stillness: float
    face_lost: float
    movement: float = 0.0
    blink_ms: tuple[tuple[float, float], ...] = ()


def leaks(frames: Frames, motion: Motion, finder: FaceFinder) -> Leaks:
    """Measure a clip's leaks: about 0.5 s of one core for 144 frames of 512x512.

    Args:
        frames: uint8 (T, H, W, 3) RGB.
        motion: Of `quality.motion.observe`: its face and frame rate are used.
        finder: Follows the face.
    """
    seen = look(frames, motion.fps, motion.face, finder)
    pictures, corner = window(frames, seen)
    flicker, noise = _skin(pictures, corner, seen)
    shut = blinks(pictures, corner, seen)
    return Leaks(
        head_motion=float(seen.excursion().max()),
        blinks=len(shut),
        flicker=flicker,
        noise=noise,
        jump=jump(pictures, corner, seen),
        stillness=stillness(pictures),
        face_lost=seen.lost,
        movement=movement(motion, shut),
        blink_ms=shut,
    )


def movement(motion: Motion, blink_ms: Sequence[tuple[float, float]] = ()) -> float:
    """The farthest of any part from its median place, outside of blinks, in eye distances."""
    times = np.arange(motion.frames) * 1000 / motion.fps
    open_eyed = np.ones(len(times), bool)
    for start, end in blink_ms:
        open_eyed &= (times < start - _BESIDE_BLINK_MS) | (times > end + _BESIDE_BLINK_MS)
    if not open_eyed.any():
        return 0.0
    moved = np.stack([running(trace, 3) for trace in motion.traces.values()], 1)[open_eyed]
    return float(np.linalg.norm(moved - np.median(moved, axis=0), axis=2).max())


def stillness(pictures: Array) -> float:
    """Share of frames, 0-1, that repeat the one before; 1 for a single picture. uint8 (T, h, w)."""
    changes = [cv2.absdiff(a, b).mean() for a, b in zip(pictures[1:], pictures[:-1], strict=True)]
    return float(np.mean(np.asarray(changes) < REPEATS)) if changes else 1.0


def _skin(pictures: Array, corner: Array, looks: Looks) -> tuple[float, float]:
    """(flicker, noise) of the patches of skin, which go with the head."""
    half = max(2, round(_PATCH * looks.eye_distance))
    middles = np.stack([looks.everywhere(LANDMARKS[name]).mean(1) for name in _SKIN], 1) - corner
    height, width = pictures.shape[1:]
    places = np.clip(np.rint(middles).astype(int), half, np.maximum([width, height], 2 * half + 1) - half - 1)
    bright, grain = [], []
    for t, around in enumerate(places):
        now = [_patch(pictures[t], at, half) for at in around]
        bright.append([patch.mean() for patch in now])
        if t:
            before = [_patch(pictures[t - 1], at, half) for at in around]
            grain.append([(a - b).std() for a, b in zip(now, before, strict=True)])
    light = np.asarray(bright, np.float64)
    slow = running(light, round(_FASTER_THAN_S * looks.fps), np.mean)
    flicker = np.median(light - slow, axis=1).std()
    return float(flicker), float(np.median(grain) / np.sqrt(2)) if grain else 0.0


def _patch(picture: Array, at: Array, half: int) -> Array:
    x, y = at
    return picture[max(0, y - half) : y + half + 1, max(0, x - half) : x + half + 1].astype(np.float32)
