"""Displacement fields: from action units on a face mesh to one smooth map of the image that never tears.

What: `displacement(face, units, kernel, size)` is where every pixel of the neutral photo goes at the apex, in pixels;
`Inverse` turns it round for drawing. Why so: the expression at any time is the same field times one number, so every
point of the skin moves in exact proportion to the planned course, and its apex, onset and offset are known exactly.

    d(p) = sum over units of  AMPLITUDE[intensity] * reach * eye distance * pattern(p)
    frame(p + s d(p)) = photo(p)   for a share s in [0, 1] of the course

A pattern is an interpolation through mesh points (`anchors`), or a profile across a lid or the line between the lips
(`slits`). The map p + s d(p) must not fold for any s; `unfolded` proves it from the Jacobian and, where
several strong units pull against each other, shrinks the whole field until it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from equime.action_units import ActionUnit
from equime.errors import EquimeError
from equime.generators.anchors import Kernel, through_points
from equime.generators.patterns import PATTERNS
from equime.generators.slits import lids, lips
from equime.mesh import Face

Array = npt.NDArray[Any]

AMPLITUDE: Final[Mapping[str, float]] = MappingProxyType({"A": 0.005, "B": 0.012, "C": 0.021, "D": 0.032, "E": 0.046})
"""Peak displacement of a unit with reach 1, in eye distances (143 px in a 512 px clip).

0.7, 1.7, 3.0, 4.6 and 6.6 px. A is the least that dense flow still finds after coding at CRF 18 (half a pixel), B is
three times the mesh's own jitter, E stays under a fifth of a posed smile's 0.25 eye distances. The steps widen, as the
letters do: FACS gives C and D the longest stretches of its scale."""

BORDER: Final = 0.06
"""Over this share of the image's side the field falls to nothing at the border."""

FLOOR: Final = 0.1
"""The least the Jacobian determinant may be anywhere, at any share of the course."""


def sample(field: Array, points: Array) -> Array:
    """The field at points (n, 2) between pixels, float32 (n, 2), by bilinear interpolation."""
    at = np.asarray(points, np.float32)[None]
    return np.asarray(cv2.remap(field, at[..., 0], at[..., 1], cv2.INTER_LINEAR)[0])


def half(face: Face, side: str, size: int) -> Array:
    """float32 (size, size, 1): 1 on the subject's side, 0 on the other, smooth over the midline."""
    top, bottom = np.asarray(face.points[[168, 152], :2], np.float64)
    down = (bottom - top) / np.linalg.norm(bottom - top)
    y, x = np.mgrid[:size, :size]
    leftward = (x - top[0]) * down[1] - (y - top[1]) * down[0]
    share = np.clip(0.5 + leftward / (0.36 * face.eye_distance), 0, 1)
    share = share * share * (3 - 2 * share)
    return np.asarray((share if side == "L" else 1 - share)[..., None], np.float32)


def unit_field(face: Face, unit: ActionUnit, kernel: Kernel, size: int) -> Array:
    """What one unit does at its peak, float32 (size, size, 2): pixels right and down for each pixel of the photo.

    Raises:
        EquimeError: No pattern for this unit, its side is not said, or it has no intensity.
    """
    if unit.au not in PATTERNS or unit.side not in ("L", "R", "B") or unit.intensity is None:
        known = " ".join(str(au) for au in PATTERNS)
        raise EquimeError(
            f"expected a unit of {known} with side L, R or B and an intensity, got {str(unit) = } "
            f"with {unit.side = }; plan without it"
        )
    pattern = PATTERNS[unit.au]
    pixels = AMPLITUDE[unit.intensity] * pattern.reach * face.eye_distance
    sides = ("R", "L") if unit.side == "B" else (unit.side,)
    field = np.zeros((size, size, 2), np.float32)
    if pattern.moves:
        field += pixels * through_points(face, pattern, kernel, size)
    if any(pattern.lips):
        one, two, three, four = (share * pixels for share in pattern.lips)
        field += lips(face, (one, two, three, four), kernel, size)
    if unit.side != "B":
        field *= half(face, unit.side, size)
    if pattern.lid_upper or pattern.lid_lower:
        for side in sides:
            field += lids(face, side, pattern.lid_upper * pixels, pattern.lid_lower * pixels, kernel, size)
    return field


def displacement(face: Face, units: Iterable[ActionUnit], kernel: Kernel, size: int) -> Array:
    """Where every pixel of the photo goes at the apex: all units together, without a fold, borders unmoved.

    Args:
        face: The face in the photo.
        units: What it shows; order does not matter.
        kernel: How influences fade.
        size: Side of the photo in pixels.

    Returns:
        float32 (size, size, 2), pixels right and down.

    Raises:
        EquimeError: See `unit_field`.
    """
    total = np.zeros((size, size, 2), np.float32)
    for unit in sorted(units):
        total += unit_field(face, unit, kernel, size)
    # Rounded, so that the last bits of a linear solver's threads never reach a pixel.
    return np.asarray(np.rint(unfolded(total * frame(size)) * 1024) / 1024, np.float32)


def frame(size: int) -> Array:
    """float32 (size, size, 1): 1 inside, falling smoothly to 0 at the image's border."""
    edge = np.minimum(np.arange(size), np.arange(size)[::-1]) / (BORDER * size)
    edge = np.clip(edge, 0, 1)
    edge = edge * edge * (3 - 2 * edge)
    return np.asarray((edge[:, None] * edge[None])[..., None], np.float32)


def unfolded(field: Array) -> Array:
    """The field, shrunk as a whole where p + s field(p) would come near a fold for some s in (0, 1].

    Since the border does not move, a positive Jacobian determinant everywhere makes the map one to one.
    """
    share = 1.0
    while least_determinant(field * np.float32(share)) < FLOOR:
        share *= 0.9
    return field if share == 1.0 else field * np.float32(share)


def least_determinant(field: Array) -> float:
    """The smallest Jacobian determinant of p + s field(p) over all pixels and all s in [0, 1].

    The determinant is 1 + s trace + s^2 det, a parabola in s, so its least value has a closed form.
    """
    (xx, xy), (yx, yy) = ((np.diff(field[..., i], axis=1)[:-1], np.diff(field[..., i], axis=0)[:, :-1]) for i in (0, 1))
    trace, det = xx + yy, xx * yy - xy * yx
    curved = np.abs(det) > 1e-9
    bottom = np.clip(np.divide(-trace, 2 * det, out=np.zeros_like(det), where=curved), 0, 1)
    ends = np.minimum(1 + trace + det, 1.0)
    return float(np.minimum(ends, 1 + bottom * trace + bottom**2 * det).min())


class Inverse:
    """Where to read the photo for each pixel of a frame: the inverse of p + s field(p).

    A fixed-point iteration, its step shortened where the field stretches the face downwards: there a lid moves by
    more than the distance to its neighbours, and plain steps would jump to and fro.
    """

    def __init__(self, field: Array, tolerance: float = 0.02) -> None:
        """Take a field, float32 (H, W, 2), and the change of a pixel's place, in pixels, at which to stop."""
        self._field = np.dstack([field, np.gradient(field[..., 1], axis=0)]).astype(np.float32)
        self._tolerance = np.float32(tolerance)
        moving = np.abs(field).max(2) > tolerance / 8
        rows, columns = np.flatnonzero(moving.any(1)), np.flatnonzero(moving.any(0))
        # A frame's pixel reads at most a displacement and a sway away from itself.
        margin = int(np.ceil(np.abs(field).max())) + 4
        self._box = tuple(
            slice(max(0, int(i[0]) - margin), int(i[-1]) + margin + 1) if len(i) else slice(0) for i in (rows, columns)
        )

    def __call__(self, share: float, target: Array) -> Array:
        """float32 (H, W, 2): x, y in the photo of the points `target` of the frame, for a share of the field."""
        out = target.copy()
        wanted = np.ascontiguousarray(target[self._box])
        at, share32 = wanted.copy(), np.float32(share)
        for _ in range(60 if at.size else 0):
            here = cv2.remap(self._field, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            step = (wanted - share32 * here[..., :2] - at) / np.maximum(1 + share32 * here[..., 2:], 1)
            at += step
            if np.abs(step).max() <= self._tolerance:
                break
        out[self._box] = at
        return out
