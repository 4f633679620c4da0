"""Smooth interpolation through mesh points that move and mesh points that rest.

What: `Kernel` says how an influence fades, `through_points` makes a field of a pattern's points. Why a radial kernel:
the field is exact where the muscles pull, still where the face rests, and as smooth as the kernel between. Two
families, so that no fall-off is the mark of a synthetic clip: the Gaussian, and Wendland's C2 function of compact
support (Advances in Computational Mathematics 4, 1995).

    python -c "from equime.generators.anchors import Kernel; print(Kernel('wendland')(10.0, 20.0))"
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

from equime.generators.patterns import MIDLINE, MIRROR, REST, Pattern
from equime.mesh import Face

Array = npt.NDArray[Any]
Family = Literal["gaussian", "wendland"]

WIDTH: Final = 0.15
"""Standard width of a kernel in eye distances: between a lip's height and the distance from brow to lid."""

RIDGE: Final = 0.05
"""Added to the diagonal of the kernels' matrix, whose own diagonal is 1."""

SPACING: Final = 4
"""The interpolated part is computed on every fourth pixel: its kernels are five times as wide."""


@dataclass(frozen=True)
class Kernel:
    """How an influence fades with distance.

    Attributes:
        family: "gaussian" (never quite zero) or "wendland" (zero from a finite distance on).
        width: In shares of the standard width; the same half-width for both families.
    """

    family: Family = "gaussian"
    width: float = 1.0

    def __call__(self, distance: Array, width: float) -> Array:
        """Influence in [0, 1] at `distance`, for a kernel of standard width `width` (same unit)."""
        q = distance / (width * self.width)
        if self.family == "gaussian":
            return np.asarray(np.exp(-0.5 * q * q))
        q = np.minimum(q / 3.74, 1)  # Gives half of the peak where the Gaussian does.
        return np.asarray((1 - q) ** 4 * (4 * q + 1))


@dataclass(frozen=True)
class Axes:
    """The face's own axes in the image: along the eye line towards the subject's left, and down."""

    face: Face

    @property
    def across(self) -> Array:
        """float64 (2,): unit vector along the eye line, x right and y down in the image."""
        right, left = self.face.eyes
        return np.asarray((left - right) / np.linalg.norm(left - right), np.float64)

    @property
    def down(self) -> Array:
        """float64 (2,): unit vector from the eyes to the mouth."""
        x, y = self.across
        return np.array([-y, x])

    def vector(self, lateral: float, up: float, side: str) -> Array:
        """(lateral, up) as pixels right and down, for a point on side R, L or M (midline: no lateral part)."""
        sign = {"R": -1.0, "L": 1.0, "M": 0.0}[side]
        return sign * lateral * self.across - up * self.down

    @cached_property
    def xy(self) -> Array:
        """float64 (468, 2): the mesh in the image plane."""
        return np.asarray(self.face.points[:, :2], np.float64)


def _controls(axes: Axes, pattern: Pattern) -> tuple[Array, Array]:
    """The mesh points that a pattern moves or holds: positions and displacements, float64 (n, 2) each."""
    points, targets = [], []
    for point in sorted({*REST, *pattern.moves} - set(pattern.free)):
        move = pattern.moves.get(point, (0.0, 0.0))
        twins = [(point, "M")] if point in MIDLINE else [(point, "R"), (MIRROR[point], "L")]
        for index, side in twins:
            points.append(axes.xy[index])
            targets.append(axes.vector(*move, side))
    return np.array(points), np.array(targets)


def through_points(face: Face, pattern: Pattern, kernel: Kernel, size: int) -> Array:
    """float32 (size, size, 2): the pattern interpolated between its controls, its peak as asked."""
    points, targets = _controls(Axes(face), pattern)
    width = WIDTH * face.eye_distance
    among = kernel(np.linalg.norm(points[:, None] - points[None], axis=2), width)
    # The ridge keeps near neighbours with different targets from ringing; what it takes off is given back.
    weights = np.linalg.solve(among + RIDGE * np.eye(len(points)), targets)
    weights *= np.hypot(*targets.T).max() / np.hypot(*(among @ weights).T).max()
    ticks = (np.arange(size // SPACING) + 0.5) * SPACING - 0.5
    x, y = np.meshgrid(ticks, ticks)
    coarse = np.zeros((*x.shape, 2))
    for point, weight in zip(points, weights, strict=True):
        coarse += kernel(np.hypot(x - point[0], y - point[1]), width)[..., None] * weight
    return np.asarray(cv2.resize(coarse.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC))
