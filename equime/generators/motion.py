"""When things move in a clip: the expression's course, the head's sway, the blink, the sensor's noise.

Why apart: everything here is drawn from the clip's seed and its times alone, never from its emotion or its units, so
that nothing but the displacement itself can tell a classifier what is shown.

    python -c "from equime.generators.motion import course; print(course(7, 1000, 1158, 1318)(1158))"
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from equime.causal import noise
from equime.errors import EquimeError

Array = npt.NDArray[Any]
Shape = Callable[[float], float]

LEVEL: Final = 0.1
"""Onset and offset are where the displacement crosses this share of its peak."""

CLEARANCE_MS: Final = 500.0
"""No blink begins or ends closer than this to the expression."""

SPARE: Final = 512
"""How much wider than a frame the square of noise is from which every frame cuts its piece, in pixels."""

# ------------------------------------------------------------------------------------------------ the expression


def _shapes(rng: np.random.Generator) -> list[tuple[str, Shape]]:
    """The families of rises: from 0 at 0 to 1 at 1, level at both ends, never falling."""
    power, order = float(rng.uniform(0.8, 1.6)), float(rng.uniform(2.0, 4.0))
    return [
        ("raised cosine", lambda x: float(np.sin(np.pi / 2 * x) ** (2 * power))),
        ("minimum jerk", lambda x: x**3 * (10 - 15 * x + 6 * x * x)),
        ("gamma", lambda x: float((x * np.exp(1 - x)) ** order)),
    ]


def _crossing(shape: Shape) -> float:
    """The x in (0, 1) where the rise reaches `LEVEL`, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if shape(middle) < LEVEL else (low, middle)
    return (low + high) / 2


@dataclass(frozen=True)
class Course:
    """The expression's share of its peak displacement at any time: `course(ms)` in [0, 1].

    Exactly 1 at the apex, exactly `LEVEL` at onset and offset, exactly 0 before `start_ms` and after `end_ms`.

    Attributes:
        start_ms: When the face leaves rest.
        apex_ms: When the displacement is largest.
        end_ms: When the face is at rest again.
        rise: Shape of the way up (name, function on [0, 1]).
        fall: Shape of the way down, run backwards.
    """

    start_ms: float
    apex_ms: float
    end_ms: float
    rise: tuple[str, Shape]
    fall: tuple[str, Shape]

    def __call__(self, ms: float) -> float:
        """Share of the peak at `ms` milliseconds from the clip's start."""
        if not self.start_ms < ms < self.end_ms:
            return 0.0
        if ms <= self.apex_ms:
            return self.rise[1]((ms - self.start_ms) / (self.apex_ms - self.start_ms))
        return self.fall[1]((self.end_ms - ms) / (self.end_ms - self.apex_ms))


def course(seed: int, onset_ms: float, apex_ms: float, offset_ms: float) -> Course:
    """Draw how the expression comes and goes between its three planned times.

    The way up and the way down are drawn apart, each from three families (raised cosine to a power, minimum jerk,
    gamma) with their own parameter. Depends on the seed and the times only.

    Raises:
        EquimeError: The times are not in order.
    """
    if not onset_ms < apex_ms < offset_ms:
        raise EquimeError(
            f"expected onset < apex < offset in ms, got {onset_ms = }, {apex_ms = }, {offset_ms = }; "
            "plan the clip again"
        )
    rng = noise(seed, "course")
    rises, falls = _shapes(rng), _shapes(rng)
    rise, fall = rises[int(rng.integers(len(rises)))], falls[int(rng.integers(len(falls)))]
    up, down = _crossing(rise[1]), _crossing(fall[1])
    start = apex_ms - (apex_ms - onset_ms) / (1 - up)
    end = apex_ms + (offset_ms - apex_ms) / (1 - down)
    return Course(start, apex_ms, end, rise, fall)


# --------------------------------------------------------------------------------------------------- idle motion


@dataclass(frozen=True)
class Sway:
    """The head's slow drift: a similarity transform that changes smoothly with time.

    Attributes:
        waves: float64 (4, 3, 3): for shift right, shift down, turn and growth three waves of (amplitude, cycles a
            second, phase). Shifts in pixels, turn in radians, growth as a share.
    """

    waves: Array

    def __call__(self, ms: float) -> tuple[float, float, float, float]:
        """(shift right, shift down, turn, growth) at `ms` milliseconds."""
        amplitude, rate, phase = np.moveaxis(self.waves, 2, 0)
        now = (amplitude * np.sin(2 * np.pi * rate * ms / 1000 + phase)).sum(1)
        return float(now[0]), float(now[1]), float(now[2]), float(now[3])


def sway(seed: int, pixels: float) -> Sway:
    """Draw a drift whose shift never exceeds about `pixels` each way (0.06-0.6 Hz, as heads of seated people)."""
    rng = noise(seed, "sway")
    rate = rng.uniform([0.06, 0.15, 0.3], [0.15, 0.3, 0.6], (4, 3))
    weight = rng.uniform(0.3, 1.0, (4, 3)) / np.sqrt(rate)
    # A turn of 0.002 moves the chin, 250 pixels from the middle, by half a pixel.
    limit = np.array([pixels, pixels, 0.0015 * pixels, 0.001 * pixels]) * rng.uniform(0.5, 1.0, 4)
    amplitude = weight / weight.sum(1, keepdims=True) * limit[:, None]
    return Sway(np.stack([amplitude, rate, rng.uniform(0, 2 * np.pi, (4, 3))], 2))


@dataclass(frozen=True)
class Blink:
    """One blink: `blink(ms)` is how far the lids are on their way, 0 open, 1 at the turning point.

    Attributes:
        start_ms: When the lids leave rest.
        duration_ms: From rest to rest.
    """

    start_ms: float
    duration_ms: float

    def __call__(self, ms: float) -> float:
        """Share of the way at `ms` milliseconds; lids fall twice as fast as they rise."""
        x = (ms - self.start_ms) / self.duration_ms
        if not 0 < x < 1:
            return 0.0
        phase = 3 * x / 2 if x < 1 / 3 else 0.5 + (x - 1 / 3) * 3 / 4
        return float(np.sin(np.pi * phase) ** 2)


def blink(seed: int, share: float, length_ms: float, onset_ms: float | None, offset_ms: float | None) -> Blink | None:
    """Draw whether and when the subject blinks, at least `CLEARANCE_MS` from the expression.

    Args:
        seed: The clip's.
        share: The share of clips that hold a blink, 0-1.
        length_ms: The clip's length.
        onset_ms: The planned expression's; None in a control without one.
        offset_ms: The same.

    Returns:
        The blink (150-300 ms), or None: not drawn, or no room for it.
    """
    rng = noise(seed, "blink")
    drawn, where, duration = rng.random(), rng.random(), float(rng.uniform(150, 300))
    last = length_ms - duration
    rooms = [(0.0, last)]
    if onset_ms is not None and offset_ms is not None:
        rooms = [(0.0, onset_ms - CLEARANCE_MS - duration), (offset_ms + CLEARANCE_MS, last)]
    rooms = [(a, b) for a, b in rooms if b > a]
    left = where * sum(b - a for a, b in rooms)
    if drawn >= share:
        return None
    for a, b in rooms:
        if left <= b - a:
            return Blink(a + left, duration)
        left -= b - a
    return None


def one_blink(seed: int, length_ms: float) -> Blink:
    """Draw the one blink of a blink control: 150-400 ms, anywhere in a clip of `length_ms`.

    Longer than in other clips at times, as long as a micro-expression: what a detector must not take for one.
    """
    rng = noise(seed, "blink control")
    duration = float(rng.uniform(150, 400))
    return Blink(float(rng.uniform(0, length_ms - duration)), duration)


# ---------------------------------------------------------------------------------------------------- the sensor


class Sensor:
    """Grain of a camera: Gaussian, in luma, another piece for each frame.

    One square of noise is drawn a clip; each frame cuts its own piece from it, at a place and in an orientation of
    its own, which costs a tenth of drawing it anew.
    """

    def __init__(self, seed: int, size: int, grey_levels: float) -> None:
        rng = noise(seed, "sensor")
        self.grey_levels = grey_levels * float(rng.uniform(0.8, 1.2))
        side = size + SPARE
        bank = rng.standard_normal((side, side), dtype=np.float32) * np.float32(self.grey_levels)
        self._bank = np.repeat(np.rint(bank).astype(np.int16)[..., None], 3, axis=2)
        self._size, self._seed = size, seed

    def __call__(self, frame: Array, index: int) -> Array:
        """uint8 (size, size, 3): the frame with the grain of frame number `index`."""
        rng = noise(self._seed, f"sensor {index}")
        x, y = rng.integers(SPARE + 1, size=2)
        step_x, step_y = rng.choice([-1, 1], 2)
        piece = self._bank[y : y + self._size, x : x + self._size][::step_y, ::step_x]
        return np.asarray(cv2.add(frame, np.ascontiguousarray(piece), dtype=cv2.CV_8U))
