"""Expressions made another way: a real photo bent by thin-plate splines (Bookstein 1989), to test measures with.

Why: measures that were only ever tried on one generator may have learnt that generator. This one shares nothing with
the package's: its directions are written here from the FACS manual's words on muscles, its field is the spline
through the moved points and not a kernel's, its courses are triangles, trapezoids and gamma densities.

    tps = thin_plate(square, face, [ActionUnit(12, "L", "C")], seed=3)     # a Made: frames and the true times
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.optimize import brentq

from equime.action_units import ActionUnit
from equime.mesh import LANDMARKS, Face
from equime.video import decode, encode

AMPLITUDE = {"A": 0.005, "B": 0.012, "C": 0.021, "D": 0.032, "E": 0.046}
"""Displacement of a unit's strongest point at the apex, in eye distances."""

# Landmark -> (lateral, up) in shares of the amplitude. Lateral is away from the midline, up towards the forehead.
# "brow_inner" means both sides' points; a name without sides lies on the midline and moves up or down only.
MOVES: dict[int, dict[str, tuple[float, float]]] = {
    1: {"brow_inner": (0.05, 1.0), "brow_mid": (0.0, 0.45)},
    2: {"brow_outer": (0.1, 1.0), "brow_mid": (0.05, 0.6)},
    4: {"brow_inner": (-0.6, -0.8), "brow_mid": (-0.35, -0.5), "brow_outer": (-0.1, -0.15)},
    5: {"lid_upper": (0.0, 1.0)},
    6: {"cheek": (0.0, 0.8), "under_eye": (-0.1, 1.0), "lid_lower": (-0.1, 0.5)},
    7: {"lid_lower": (-0.2, 1.0), "under_eye": (-0.1, 0.5), "lid_upper": (0.0, -0.2)},
    9: {
        **{"nose_wing": (0.0, 1.0), "nose_side": (0.0, 0.8), "lip_upper_outer": (0.0, 0.5)},
        **{"brow_inner": (-0.15, -0.4), "lip_upper_outer_mid": (0.0, 0.4)},
    },
    10: {
        **{"lip_upper_outer": (0.0, 1.0), "lip_upper_inner": (0.0, 0.9), "nose_wing": (0.1, 0.4)},
        **{"lip_upper_outer_mid": (0.0, 0.8), "lip_upper_inner_mid": (0.0, 0.7)},
    },
    12: {
        **{"mouth_corner": (0.75, 0.66), "mouth_inner_corner": (0.7, 0.6), "cheek": (0.1, 0.35)},
        **{"lip_upper_outer": (0.4, 0.3), "lip_lower_outer": (0.35, 0.3)},
        **{"lip_upper_inner": (0.35, 0.25), "lip_lower_inner": (0.35, 0.25)},
    },
    14: {
        **{"mouth_corner": (0.95, 0.2), "mouth_inner_corner": (0.85, 0.2)},
        **{"lip_upper_outer": (0.3, 0.0), "lip_lower_outer": (0.3, 0.05)},
    },
    15: {
        **{"mouth_corner": (0.15, -1.0), "mouth_inner_corner": (0.1, -0.9)},
        **{"lip_lower_outer": (0.1, -0.5), "lip_upper_outer": (0.0, -0.35)},
    },
    17: {
        **{"chin_mid": (0.0, 0.9), "chin": (0.0, 0.75), "lip_lower_outer_mid": (0.0, 1.0)},
        **{"lip_lower_outer": (0.0, 0.8), "lip_lower_inner": (0.0, 0.5), "lip_lower_inner_mid": (0.0, 0.6)},
    },
    20: {
        **{"mouth_corner": (1.0, -0.12), "mouth_inner_corner": (0.9, -0.1)},
        **{"lip_upper_outer": (0.5, 0.0), "lip_lower_outer": (0.5, -0.1)},
        **{"lip_upper_inner": (0.45, 0.0), "lip_lower_inner": (0.45, -0.05)},
    },
    24: {
        **{"lip_upper_outer": (-0.1, -0.5), "lip_upper_outer_mid": (0.0, -1.0), "lip_upper_inner": (0.0, -0.2)},
        **{"lip_lower_outer": (-0.1, 0.5), "lip_lower_outer_mid": (0.0, 1.0), "lip_lower_inner": (0.0, 0.2)},
        **{"mouth_corner": (-0.2, 0.0)},
    },
    25: {
        **{"lip_lower_inner": (0.0, -1.0), "lip_lower_inner_mid": (0.0, -1.0), "lip_upper_inner": (0.0, 0.3)},
        **{"lip_lower_outer": (0.0, -0.8), "lip_lower_outer_mid": (0.0, -0.9), "lip_upper_inner_mid": (0.0, 0.3)},
    },
}
ALONG_THE_EYE = ("lid_upper", "lid_lower", "under_eye")
TAPER = np.sin(np.linspace(0.12, 0.88, 7) * np.pi)[:, None]
"""Lids are fixed at the corners of the eye: their seven points move less towards either end."""
REACH = 0.22
"""A landmark farther than this from all that moves stands still, in eye distances: lids do not drag the brows."""


@dataclass(frozen=True)
class Pulse:
    """How a displacement comes and goes: `at(ms)` in [0, 1], with its true times in ms from its own start.

    `onset` and `offset` cross a tenth of the peak; `apex` is the peak, of a plateau the middle.
    """

    at: Callable[[float], float]
    onset: float
    apex: float
    offset: float


@dataclass(frozen=True)
class Made:
    """A clip whose truth is known."""

    frames: np.ndarray  # uint8 (T, H, W, 3), before coding
    fps: float
    units: tuple[ActionUnit, ...]
    onset_ms: float
    apex_ms: float
    offset_ms: float
    blink_ms: float | None

    def encoded(self) -> bytes:
        """The clip as the package stores clips."""
        return encode(self.frames, fps=round(self.fps), crf=18)

    def coded(self) -> np.ndarray:
        """The frames as they come back from the file."""
        return decode(self.encoded())


def pulse(kind: str, duration_ms: float, rng: np.random.Generator) -> Pulse:
    """One of "triangle", "trapezoid" and "gamma", `duration_ms` from onset to offset."""
    if kind == "gamma":
        order = float(rng.uniform(2.5, 6.0))

        def density(x: float) -> float:
            return float((x * np.exp(1 - x)) ** order) if x > 0 else 0.0

        low, high = (brentq(lambda x: density(x) - 0.1, *ends) for ends in ((1e-6, 1.0), (1.0, 20.0)))
        rise = duration_ms / (high - low)
        return Pulse(lambda ms: density(ms / rise), low * rise, rise, high * rise)
    flat = 0.25 * duration_ms if kind == "trapezoid" else 0.0
    slopes = duration_ms - flat
    up = float(rng.uniform(0.35, 0.5)) * slopes / 0.9
    down = slopes / 0.9 - up
    corners = np.array([0.0, up, up + flat, up + flat + down])
    return Pulse(
        lambda ms: float(np.interp(ms, corners, [0, 1, 1, 0])), 0.1 * up, up + flat / 2, corners[3] - 0.1 * down
    )


def thin_plate(
    photo: np.ndarray,
    face: Face,
    units: Sequence[ActionUnit],
    *,
    seed: int = 0,
    amplitude: float | None = None,
    kind: str = "triangle",
    duration_ms: float = 330.0,
    start_ms: float = 1500.0,
    length_ms: float = 3000.0,
    fps: float = 24.0,
    sway: float = 1.0,
    blink: bool = False,
    noise: float = 1.5,
) -> Made:
    """A clip of `units` on a level, cropped photo.

    Args:
        photo: uint8 (H, W, 3).
        face: The face in it.
        units: Each moves by its intensity's `AMPLITUDE`, unless `amplitude` (eye distances) is given for all.
        kind: See `pulse`.
        sway: How much the head drifts, in hundredths of the eye distance; 0 holds it still.
        blink: Both eyes shut once, 700 ms or more before the onset.
        noise: Standard deviation of the sensor's noise, in grey levels.
    """
    rng = np.random.default_rng(seed)
    shape = pulse(kind, duration_ms, rng)
    moved = [displaced(face, MOVES[u.au], u.side, amplitude or AMPLITUDE[u.intensity or "B"]) for u in units]
    still = np.zeros((468, 2))
    expression = sum(moved, still)
    blink_ms = max(start_ms - 700 - 400 * float(rng.random()), 300.0) if blink else None
    drift = _drift(rng, sway * 0.01 * face.eye_distance)
    frames = []
    for number in range(round(length_ms * fps / 1000)):
        ms = number * 1000 / fps
        shut = 0.0 if blink_ms is None else max(0.0, 1 - abs(ms - blink_ms) / 130)
        lids = _shut(photo, face, shut) if shut else photo
        frames.append(_noisy(_bent(lids, face, shape.at(ms - start_ms) * expression, drift(ms)), noise, rng))
    times = (start_ms + shape.onset, start_ms + shape.apex, start_ms + shape.offset)
    return Made(np.stack(frames), fps, tuple(units), *times, blink_ms)


def displaced(face: Face, moves: dict[str, tuple[float, float]], side: str, amplitude: float) -> np.ndarray:
    """float64 (468, 2): where each mesh point goes, in pixels; a one-sided movement halves on the midline."""
    right = (face.eyes[1] - face.eyes[0]) / face.eye_distance  # Towards the subject's left eye: right on the screen.
    up = np.array([right[1], -right[0]])
    out = np.zeros((468, 2))
    for name, (lateral, rise) in moves.items():
        for suffix, sign in (("_R", -1), ("_L", 1)):
            if side in ("B", suffix[1]) and name + suffix in LANDMARKS:
                share = TAPER if name in ALONG_THE_EYE else np.ones((1, 1))
                out[list(LANDMARKS[name + suffix])] = share * (lateral * sign * right + rise * up)
        if name in LANDMARKS:
            out[list(LANDMARKS[name])] = rise * up * (1.0 if side == "B" else 0.5)
    strongest = np.linalg.norm(out, axis=1).max()
    return out * amplitude * face.eye_distance / strongest


def _xy(face: Face, name: str) -> np.ndarray:
    return np.asarray(face.points[list(LANDMARKS[name]), :2], np.float64)


def _shut(photo: np.ndarray, face: Face, share: float) -> np.ndarray:
    """The photo with both upper lids drawn down over the eyes by a share of the opening: what they cover is gone."""
    y, x = np.mgrid[: photo.shape[0], : photo.shape[1]].astype(np.float32)
    source = y.copy()
    for side in ("R", "L"):
        ends = _xy(face, f"eye_outer_{side}"), _xy(face, f"eye_inner_{side}")
        upper, lower = (
            _curve(np.concatenate([ends[0], _xy(face, f"lid_{lid}_{side}"), ends[1]]), x[0])
            for lid in ("upper", "lower")
        )
        lid = upper + share * (lower - upper)
        fold = upper - 0.12 * face.eye_distance * (lower > upper)
        stretched = fold + (y - fold) * (upper - fold) / np.maximum(lid - fold, 1e-3)
        source = np.where((y > fold) & (y < lid), stretched, source).astype(np.float32)
    return np.asarray(cv2.remap(photo, x, source, cv2.INTER_CUBIC))


def _curve(points: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The y of a line through points at every column; 0 outside them."""
    points = points[np.argsort(points[:, 0])]
    return np.interp(columns, points[:, 0], points[:, 1], left=0.0, right=0.0)


def _bent(photo: np.ndarray, face: Face, moves: np.ndarray, drift: np.ndarray) -> np.ndarray:
    """The photo with its mesh points moved, then the head drifted: float32 (H, W, 3)."""
    height, width = photo.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    # Where each pixel of the frame comes from: back through the drift (about the middle), then through the spline.
    centre = np.array([width / 2, height / 2])
    turn, grow = drift[2], 1 + drift[3]
    back = np.linalg.inv(grow * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]))
    dx, dy = x - centre[0] - drift[0], y - centre[1] - drift[1]
    x, y = (np.float32(back[k, 0] * dx + back[k, 1] * dy + centre[k]) for k in (0, 1))
    if np.any(moves):
        shift = cv2.remap(_spline(face, moves, (height, width)), x, y, cv2.INTER_LINEAR)
        x, y = x - shift[..., 0], y - shift[..., 1]
    out = cv2.remap(photo.astype(np.float32), x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(out)


def _spline(face: Face, moves: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """float32 (H, W, 2): how far the content of each pixel has come, through the moved points and the still ones."""
    named = sorted({i for points in LANDMARKS.values() for i in points})
    points = face.points[named, :2].astype(np.float64)
    moves = moves[named]
    going = np.linalg.norm(moves, axis=1) > 0
    near = np.linalg.norm(points[:, None] - points[going][None], axis=2).min(1) < REACH * face.eye_distance
    mirrored = points.copy()  # The other side of a one-sided movement stands still too, however near.
    middle = face.points[168, 0]
    mirrored[:, 0] = 2 * middle - mirrored[:, 0]
    beside = np.linalg.norm(mirrored[:, None] - points[going][None], axis=2).min(1) < 0.05 * face.eye_distance
    kept = going | ~near | beside
    height, width = shape
    rim = [(a * width, b * height) for a in np.linspace(0, 1, 7) for b in np.linspace(0, 1, 7)]
    rim = [p for p in rim if min(p) == 0 or p[0] == width or p[1] == height]
    knots = np.concatenate([points[kept] + moves[kept], rim])
    values = np.concatenate([moves[kept], np.zeros((len(rim), 2))])
    spline: Any = RBFInterpolator(knots, values, kernel="thin_plate_spline", smoothing=1.0)
    step = 8
    rows, columns = np.mgrid[0 : height + step : step, 0 : width + step : step].astype(np.float64)
    coarse = spline(np.stack([columns.ravel(), rows.ravel()], 1)).reshape(*rows.shape, 2).astype(np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32) / step
    return np.asarray(cv2.remap(coarse, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))


def _drift(rng: np.random.Generator, size: float) -> Callable[[float], np.ndarray]:
    """Shift x, shift y (pixels), turn (radians), growth of the head at a time: two slow waves each, 0 at first."""
    scale = np.array([size, size, 0.004, 0.002]) * (1 if size else 0)
    cycles, phases = rng.uniform(0.08, 0.35, (2, 4)), rng.uniform(0, 2 * np.pi, (2, 4))

    def waves(ms: float) -> np.ndarray:
        return np.asarray(np.sin(2 * np.pi * cycles * ms / 1000 + phases).sum(0))

    return lambda ms: scale * (waves(ms) - waves(0.0))


def _noisy(frame: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    grain = sigma * rng.standard_normal(frame.shape[:2], np.float32)
    return np.asarray(np.rint(frame + grain[..., None]).clip(0, 255), np.uint8)
