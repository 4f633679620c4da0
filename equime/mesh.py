"""The face mesh: a `Face`, the map of its 468 points, and the regions that masks are cut from.

Why here: one definition of sides and regions for every part that needs to know where a brow or a lip corner is
(the generator, the flow, the taggers). Sides are the SUBJECT's own: R is the subject's right, which an unmirrored
photo shows on the left.

    >>> mask = region_mask(face, "brow", "L", image.shape)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from equime.errors import EquimeError

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Face:
    """One face in one image.

    Attributes:
        points: float32 (468, 3): x right and y down in pixels of the image (the first pixel's
            centre is 0), z depth in the same scale, smaller is nearer.
        score: The detector's confidence, 0-1.
        flag: The mesh's own confidence that it looks at a face, 0-1.
    """

    points: Array
    score: float
    flag: float

    @cached_property
    def box(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) in pixels around the mesh, which ends at the top of the forehead."""
        (x0, y0), (x1, y1) = self.points[:, :2].min(0), self.points[:, :2].max(0)
        return float(x0), float(y0), float(x1), float(y1)

    @property
    def center(self) -> tuple[float, float]:
        """(x, y) of the box's middle, in pixels."""
        x0, y0, x1, y1 = self.box
        return (x0 + x1) / 2, (y0 + y1) / 2

    @cached_property
    def eyes(self) -> Array:
        """float32 (2, 2): x, y of the right and the left eye, each midway between its corners."""
        xy = self.points[:, :2]
        return np.stack([(xy[33] + xy[133]) / 2, (xy[263] + xy[362]) / 2])

    @property
    def eye_distance(self) -> float:
        """Pixels between the two eyes' middles (see `eyes`)."""
        return float(np.linalg.norm(self.eyes[1] - self.eyes[0]))

    @property
    def roll(self) -> float:
        """Degrees by which the eye line is turned clockwise as seen on the screen; 0 is level."""
        dx, dy = self.eyes[1] - self.eyes[0]
        return float(np.degrees(np.arctan2(dy, dx)))

    def moved(self, matrix: Array) -> Face:
        """The face after a similarity `matrix` (2, 3) from old pixels to new; z is scaled alike."""
        scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
        xy = self.points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        points = np.column_stack([xy, self.points[:, 2] * scale]).astype(np.float32)
        return Face(points, self.score, self.flag)


LANDMARKS: Final[Mapping[str, tuple[int, ...]]] = {
    "brow_inner_R": (107, 55),
    "brow_inner_L": (336, 285),
    "brow_mid_R": (105, 66, 52, 65),
    "brow_mid_L": (334, 296, 282, 295),
    "brow_outer_R": (70, 63, 46, 53),
    "brow_outer_L": (300, 293, 276, 283),
    "eye_outer_R": (33,),
    "eye_outer_L": (263,),
    "eye_inner_R": (133,),
    "eye_inner_L": (362,),
    "lid_upper_R": (246, 161, 160, 159, 158, 157, 173),
    "lid_upper_L": (466, 388, 387, 386, 385, 384, 398),
    "lid_lower_R": (7, 163, 144, 145, 153, 154, 155),
    "lid_lower_L": (249, 390, 373, 374, 380, 381, 382),
    "under_eye_R": (31, 228, 229, 230, 231, 232, 233),
    "under_eye_L": (261, 448, 449, 450, 451, 452, 453),
    "nose_bridge": (168, 6, 197, 195),
    "nose_tip": (1, 4),
    "nose_wing_R": (129, 64, 98, 48),
    "nose_wing_L": (358, 294, 327, 278),
    "nose_side_R": (198, 126, 209, 49),
    "nose_side_L": (420, 355, 429, 279),
    "mouth_corner_R": (61,),
    "mouth_corner_L": (291,),
    "mouth_inner_corner_R": (78,),
    "mouth_inner_corner_L": (308,),
    "lip_upper_outer_R": (185, 40, 39, 37),
    "lip_upper_outer_L": (409, 270, 269, 267),
    "lip_upper_outer_mid": (0,),
    "lip_upper_inner_R": (191, 80, 81, 82),
    "lip_upper_inner_L": (415, 310, 311, 312),
    "lip_upper_inner_mid": (13,),
    "lip_lower_inner_R": (95, 88, 178, 87),
    "lip_lower_inner_L": (324, 318, 402, 317),
    "lip_lower_inner_mid": (14,),
    "lip_lower_outer_R": (146, 91, 181, 84),
    "lip_lower_outer_L": (375, 321, 405, 314),
    "lip_lower_outer_mid": (17,),
    "chin_mid": (199, 175, 152),
    "chin_R": (208, 171, 148, 176, 140),
    "chin_L": (428, 396, 377, 400, 369),
    "cheek_R": (50, 205, 101, 118, 117, 123, 187),
    "cheek_L": (280, 425, 330, 347, 346, 352, 411),
    "nasolabial_R": (203, 206, 216, 165, 92),
    "nasolabial_L": (423, 426, 436, 391, 322),
    "forehead_mid": (10, 151, 9),
    "forehead_R": (109, 67, 108, 69, 104),
    "forehead_L": (338, 297, 337, 299, 333),
    "temple_R": (54, 21, 162, 127, 234),
    "temple_L": (284, 251, 389, 356, 454),
    "oval": (
        *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
        *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
    ),
}
"""Named points of the published mesh map. A name ends in `_R` or `_L` for the subject's side; both
have their points in the same order, so that `zip(LANDMARKS["x_R"], LANDMARKS["x_L"])` gives mirror
pairs."""

REGIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "brow": ("brow_inner", "brow_mid", "brow_outer"),
    "lid": ("eye_outer", "eye_inner", "lid_upper", "lid_lower", "under_eye"),
    "nose": ("nose_bridge", "nose_tip", "nose_wing", "nose_side"),
    "mouth": (
        *("mouth_corner", "lip_upper_outer", "lip_upper_outer_mid"),
        *("lip_lower_outer", "lip_lower_outer_mid"),
    ),
    "chin": ("chin_mid", "chin"),
}
"""The five groups in which expressions are measured, as names of `LANDMARKS` without their side."""

PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "brow_inner": ("brow_inner",),
    "brow_mid": ("brow_mid",),
    "brow_outer": ("brow_outer",),
    "lid_upper": ("eye_outer", "eye_inner", "lid_upper"),
    "lid_lower": ("lid_lower", "under_eye"),
    "under_eye": ("under_eye",),
    "cheek": ("cheek",),
    "nose_side": ("nose_side",),
    "nose_wing": ("nose_wing",),
    "nasolabial": ("nasolabial",),
    "lip_upper": (
        *("mouth_corner", "lip_upper_outer", "lip_upper_outer_mid"),
        *("lip_upper_inner", "lip_upper_inner_mid"),
    ),
    "lip_lower": (
        *("mouth_corner", "lip_lower_outer", "lip_lower_outer_mid"),
        *("lip_lower_inner", "lip_lower_inner_mid"),
    ),
    "mouth_corner": ("mouth_corner",),
}
"""Finer regions, for movements that cancel over a group: lips that thin, lids that close."""

SIDES: Final = ("R", "L")
_MARGIN: Final[Mapping[str, float]] = {
    **{"brow": 0.05, "lid": 0.02, "nose": 0.02, "mouth": 0.06, "chin": 0.03},
    **{"brow_inner": 0.08, "brow_mid": 0.04, "brow_outer": 0.06, "lid_upper": 0.03, "lid_lower": 0.02},
    **{"under_eye": 0.03, "cheek": 0.02, "nose_side": 0.04, "nose_wing": 0.05, "nasolabial": 0.04},
    **{"lip_upper": 0.02, "lip_lower": 0.02},
    **{"mouth_corner": 0.12},
}
"""How far a mask reaches beyond its points, in eye distances."""


def region_points(region: str, side: str) -> tuple[int, ...]:
    """The mesh points of a region on side "R", "L" (the subject's own) or "B", midline included."""
    known_parts = {**PARTS, **REGIONS}
    if region not in known_parts or side not in ("R", "L", "B"):
        known = ", ".join(dict.fromkeys((*REGIONS, *PARTS)))
        raise EquimeError(f"expected one of {known} and a side R, L or B, got {region = } {side = }")
    sides = SIDES if side == "B" else (side,)
    names = [n for part in known_parts[region] for n in (part, *(f"{part}_{s}" for s in sides))]
    return tuple(i for name in names for i in LANDMARKS.get(name, ()))


def region_mask(face: Face, region: str, side: str, shape: tuple[int, ...]) -> Array:
    """The pixels of a region, as bool (H, W).

    The convex hull of the region's points, widened by a share of the eye distance, cut at the
    face's midline (nose root to chin) so that R and L never share a pixel.

    Args:
        face: Where, in the pixels of the image that `shape` describes.
        region: A key of `REGIONS` or `PARTS`.
        side: "R" or "L" (the subject's own), or "B" for both.
        shape: (H, W) or (H, W, channels) of the image.

    Raises:
        EquimeError: An unknown region or side.
    """
    if side == "B":
        return region_mask(face, region, "R", shape) | region_mask(face, region, "L", shape)
    points = face.points[list(region_points(region, side)), :2]
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(points).astype(np.int32)), 1)
    margin = round(_MARGIN[region] * face.eye_distance)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1, 2 * margin + 1))
    mask = np.asarray(cv2.dilate(mask, kernel))
    return mask.astype(bool) & _half(face, side, shape)


def _half(face: Face, side: str, shape: tuple[int, ...]) -> Array:
    """The pixels on the subject's side of the line from nose root to chin, bool (H, W)."""
    top = face.points[168, :2]
    down = face.points[152, :2] - top
    across = np.array([-down[1], down[0]])
    across *= np.sign(across @ (face.eyes[SIDES.index(side)] - top))
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.asarray(across[0] * (x - top[0]) + across[1] * (y - top[1]) > 0)
