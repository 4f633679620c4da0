"""Faces: read a photo, find its faces and their 468-point mesh, cut an aligned square.

Why here: every part that needs to know where a brow or a lip corner is (the generator, the flow,
the taggers) asks this file, so that one definition of sides, regions and alignment holds
everywhere. Two packaged models are run on the CPU through LiteRT (`equime/models/NOTICE`): a
short-range BlazeFace detector (Bazarevsky et al. 2019, arXiv 1907.05047) and the Face Mesh
(Kartynnik et al. 2019, arXiv 1907.06724).

Sides are the SUBJECT's own: R is the subject's right, which an unmirrored photo shows on the left.

    >>> finder = FaceFinder()
    >>> image = read_image("portrait.jpg")
    >>> face, note = one_face(image, finder)
    >>> square, aligned = crop(image, face)      # uint8 (512, 512, 3), eyes level and in place
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from equime.errors import EquimeError
from equime.optional import need

Array = npt.NDArray[Any]

MAX_PIXELS: Final = 100_000_000
MIN_SIDE: Final = 64
BACKDROP: Final = (128, 128, 128)
"""What shows through a transparent image: mid grey, so that a cut-out gets no bright rim."""

MIN_EYE_DISTANCE: Final = 20.0
"""Pixels between the eyes under which `one_face` refuses: a crop would be mostly interpolation."""

CROP_SIZE: Final = 512
EYE_SHARE: Final = 0.28
"""Eye distance over the crop's side (143 px of 512). The chin lies about 1.85 eye distances below
the eye line and the hairline 1.2 above, the ears 1.2 to either side: with the eye line at
`EYE_LINE` the crop keeps the hairline, the chin with room for a jaw drop, and a sixth of its width
as background on either side."""
EYE_LINE: Final = 0.42

_MODELS: Final = Path(__file__).parent / "models"

# --- the mesh's map

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
    "brow_outer": ("brow_outer",),
    "lid_upper": ("eye_outer", "eye_inner", "lid_upper"),
    "lid_lower": ("lid_lower", "under_eye"),
    "cheek": ("cheek",),
    "nose_wing": ("nose_wing",),
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
    **{"brow_inner": 0.08, "brow_outer": 0.06, "lid_upper": 0.03, "lid_lower": 0.02},
    **{"cheek": 0.02, "nose_wing": 0.05, "lip_upper": 0.02, "lip_lower": 0.02},
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


# --- a face


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


# --- a square


@dataclass(frozen=True)
class _Square:
    """A square window on an image, in pixels, turned clockwise by `angle` degrees."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    def to_image(self, size: int) -> Array:
        """float64 (2, 3): from pixels of a `size` x `size` view to pixels of the image."""
        scale, turn = self.side / size, np.radians(self.angle)
        linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        middle = np.full(2, (size - 1) / 2)
        return np.column_stack([linear, np.array([self.x, self.y]) - linear @ middle])

    def view(self, image: Array, size: int, border: int = cv2.BORDER_REPLICATE) -> Array:
        """The square as uint8 (size, size, 3): bicubic when enlarged, averaged when shrunk."""
        # Shrinking by a remap alone would alias: sample finer by a whole factor, then average.
        fine = int(np.clip(np.ceil(self.side / size), 1, 8))
        matrix = self.to_image(size * fine)
        edge = size * fine - 1
        corners = matrix[:, :2] @ (np.array([[0, 1, 0, 1], [0, 0, 1, 1]]) * edge) + matrix[:, 2:]
        height, width = image.shape[:2]
        # Only the part under the square: OpenCV remaps no image longer than 32,767 pixels.
        x0, y0 = np.clip(np.floor(corners.min(1)) - 4, 0, [width - 2, height - 2]).astype(int)
        x1, y1 = np.clip(np.ceil(corners.max(1)) + 5, [x0 + 2, y0 + 2], [width, height]).astype(int)
        matrix[:, 2] -= x0, y0
        flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_CUBIC if fine == 1 else cv2.INTER_LINEAR)
        part, full = np.ascontiguousarray(image[y0:y1, x0:x1]), (size * fine, size * fine)
        out = cv2.warpAffine(part, matrix, full, flags=flags, borderMode=border)
        if fine > 1:
            out = cv2.resize(out, (size, size), interpolation=cv2.INTER_AREA)
        return np.asarray(out)


def crop(image: Array, face: Face, size: int = CROP_SIZE) -> tuple[Array, Face]:
    """Cut the aligned square that every clip starts from, and the face moved into it.

    The eye line is level, the eyes' middle lies at half the width and `EYE_LINE` of the height, and
    the eye distance is `EYE_SHARE` of the side, whatever the photo. What lies outside the photo is
    its reflection.

    Args:
        image: uint8 (H, W, 3) RGB.
        face: A face in that image.
        size: Side of the crop in pixels.

    Returns:
        uint8 (size, size, 3) and the face in its pixels.
    """
    middle, side = face.eyes.mean(0), face.eye_distance / EYE_SHARE
    turn = np.radians(face.roll)
    down = (0.5 - EYE_LINE) * side * np.array([-np.sin(turn), np.cos(turn)])
    x, y = (middle + down).tolist()
    square = _Square(x, y, side, face.roll)
    matrix = cv2.invertAffineTransform(square.to_image(size))
    return square.view(image, size, cv2.BORDER_REFLECT_101), face.moved(matrix)


# --- the finder


class _Model:
    """One packaged network: float32 in, float32 out, one thread."""

    def __init__(self, name: str) -> None:
        litert = need("ai_edge_litert.interpreter", extra="all")
        with _quiet():
            self._net = litert.Interpreter(str(_MODELS / name), num_threads=1)
            self._net.allocate_tensors()
        self._input = self._net.get_input_details()[0]
        self._outputs = self._net.get_output_details()
        self.size = int(self._input["shape"][1])

    def __call__(self, pixels: Array) -> list[Array]:
        """Outputs, flat float32 each, for float32 (size, size, 3)."""
        self._net.set_tensor(self._input["index"], pixels[None].astype(np.float32))
        self._net.invoke()
        return [self._net.get_tensor(o["index"]).ravel() for o in self._outputs]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep LiteRT's line about its delegate, written by C++ past `sys.stderr`, off the terminal."""
    try:
        kept = os.dup(2)
    except OSError:  # No stderr at all: nothing to keep quiet.
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(null)
        os.close(kept)


def _anchors() -> Array:
    """float32 (896, 2): anchor centres in 0-1, 2 per cell of 8 px and 6 per cell of 16 px."""
    grids = []
    for cells, per_cell in ((16, 2), (8, 6)):
        middle = (np.arange(cells) + 0.5) / cells
        y, x = np.meshgrid(middle, middle, indexing="ij")
        grids.append(np.repeat(np.stack([x.ravel(), y.ravel()], 1), per_cell, axis=0))
    return np.concatenate(grids).astype(np.float32)


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(x.astype(np.float64), -80, 80))))


def _overlap(a: Array, b: Array) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1)."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    both = float(np.prod(np.clip(high - low, 0, None)))
    return both / (float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - both + 1e-9)


@dataclass
class FaceFinder:
    """Finds every face of an image with its mesh; deterministic, one thread.

    Attributes:
        min_score: Detections under this score (0-1) are not looked at.
        min_flag: Faces whose mesh confidence (0-1) is lower are dropped.
        tiles: Into how many parts the longer side is cut to look for small faces; (1,) is
            enough where one face fills the image.
    """

    min_score: float = 0.5
    min_flag: float = 0.5
    tiles: tuple[int, ...] = (1, 2, 4)

    def load(self) -> None:
        """Load both models, once per process; the first call does it if nobody did.

        Raises:
            MissingPackageError: LiteRT is not installed.
        """
        self._detector = _Model("face_detection_short_range.tflite")
        self._mesh = _Model("face_landmark.tflite")
        self._grid = _anchors()

    def __call__(self, image: Array) -> list[Face]:
        """Every face in uint8 (H, W, 3) RGB, largest box first; an empty list where there is none.

        Looks at the whole image, then at overlapping tiles of its length over `tiles`, for small
        faces. Only if that finds nothing: at the image with a margin, level and turned by 30
        degrees both ways, and at tiles of an eighth. About 0.1 s; in a clip `track` is far quicker.
        """
        if not hasattr(self, "_mesh"):
            self.load()
        faces: list[Face] = []
        self._look(image, [s for parts in self.tiles for s in _tiles(image, parts)], faces)
        if not faces:
            self._look(image, [*_turned(image), *_tiles(image, 8)], faces)
        return sorted(faces, key=lambda f: -_area(f))

    def track(self, image: Array, face: Face) -> Face | None:
        """The same face in the next frame, uint8 (H, W, 3); None where it is lost."""
        if not hasattr(self, "_mesh"):
            self.load()
        found = self._fit(image, _around(face), face.score)
        return found if found.flag >= self.min_flag else None

    def _look(self, image: Array, squares: list[_Square], faces: list[Face]) -> None:
        """Add to `faces` those seen through the squares that are not there yet."""
        for square in squares:
            for score, start in self._detect(image, square):
                if any(_inside(start.x, start.y, face) for face in faces):
                    continue
                # A second fit starts from the mesh itself: it depends less on who detected it.
                rough = self._fit(image, start, score)
                face = self._fit(image, _around(rough), score)
                new = all(_overlap(np.array(face.box), np.array(f.box)) < 0.3 for f in faces)
                if min(rough.flag, face.flag) >= self.min_flag and new:
                    faces.append(face)

    def _detect(self, image: Array, square: _Square) -> list[tuple[float, _Square]]:
        """(score, the mesh's square) of each face seen through one square, best first."""
        size = self._detector.size
        view = square.view(image, size, cv2.BORDER_CONSTANT)
        regressors, logits = self._detector(view / np.float32(127.5) - 1)
        scores = _sigmoid(logits)
        keep = np.flatnonzero(scores >= self.min_score)
        raw = regressors.reshape(-1, 8, 2)[keep] / size
        raw[:, 0] += self._grid[keep]
        raw[:, 2:] += self._grid[keep, None]
        matrix = square.to_image(size)
        return [
            (score, _mesh_square(shape * size - 0.5, matrix)) for score, shape in _merged(scores[keep], raw)
        ]

    def _fit(self, image: Array, square: _Square, score: float) -> Face:
        """The mesh of the face that fills the square."""
        size = self._mesh.size
        outputs = self._mesh(square.view(image, size) / np.float32(255))
        flat, flag = sorted(outputs, key=len, reverse=True)
        matrix = square.to_image(size)
        points = flat.reshape(468, 3).astype(np.float64)
        points[:, :2] -= 0.5  # The mesh counts from the first pixel's corner.
        face = Face(points, score, float(_sigmoid(flag)[0]))
        return face.moved(matrix)


def _merged(scores: Array, shapes: Array) -> list[tuple[float, Array]]:
    """Overlapping detections averaged by score, best first.

    BlazeFace's authors average in place of suppression, against jitter. `shapes` is (n, 8, 2):
    centre, size and six key points, in shares of the view.
    """
    merged = []
    boxes = np.concatenate([shapes[:, 0] - shapes[:, 1] / 2, shapes[:, 0] + shapes[:, 1] / 2], 1)
    left = np.argsort(-scores, kind="stable")
    while left.size:
        near = np.array([_overlap(boxes[left[0]], boxes[i]) > 0.3 for i in left])
        near[0] = True
        group = left[near]
        merged.append((float(scores[left[0]]), np.average(shapes[group], 0, scores[group])))
        left = left[~near]
    return merged


def _mesh_square(shape: Array, matrix: Array) -> _Square:
    """The mesh's window: the detector's box, 1.5 times as large, turned with the eye line."""
    linear, offset = matrix[:, :2], matrix[:, 2]
    x, y = linear @ shape[0] + offset
    dx, dy = linear @ (shape[3] - shape[2])
    side = 1.5 * float((shape[1] + 0.5).max()) * float(np.hypot(*linear[:, 0]))
    return _Square(float(x), float(y), side, float(np.degrees(np.arctan2(dy, dx))))


def _around(face: Face) -> _Square:
    """The mesh's window from a mesh: its box measured along the eye line, 1.5 times as large."""
    turn = np.radians(face.roll)
    axes = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    upright = face.points[:, :2] @ axes
    low, high = upright.min(0), upright.max(0)
    x, y = axes @ ((low + high) / 2)
    return _Square(float(x), float(y), 1.5 * float((high - low).max()), face.roll)


def _tiles(image: Array, parts: int) -> list[_Square]:
    """Half-overlapping squares of the longer side / `parts`; none under the detector's 128 px."""
    height, width = image.shape[:2]
    side = max(height, width) / parts
    if parts > 1 and side < 128:
        return []
    xs, ys = ([(n - 1) / 2] if side >= n else _steps(n, side) for n in (width, height))
    return [_Square(x, y, side) for y in ys for x in xs]


def _steps(length: int, side: float) -> list[float]:
    """Centres of half-overlapping windows of `side` that cover `length`."""
    count = int(np.ceil(2 * (length / side - 1))) + 1
    low, high = side / 2 - 0.5, length - side / 2 - 0.5
    return [float(x) for x in np.linspace(low, high, count)]


def _turned(image: Array) -> list[_Square]:
    """The whole image with a margin, level and turned both ways."""
    height, width = image.shape[:2]
    x, y, side = (width - 1) / 2, (height - 1) / 2, 1.5 * max(height, width)
    return [_Square(x, y, side, angle) for angle in (0.0, -30.0, 30.0)]


def _area(face: Face) -> float:
    x0, y0, x1, y1 = face.box
    return (x1 - x0) * (y1 - y0)


def _inside(x: float, y: float, face: Face) -> bool:
    x0, y0, x1, y1 = face.box
    return x0 <= x <= x1 and y0 <= y <= y1


def one_face(image: Array, finder: FaceFinder) -> tuple[Face, str]:
    """The image's face, the largest where there are several.

    Returns:
        The face, and a note for who gave the photo: "" or "2 faces: the larger was taken".

    Raises:
        EquimeError: No face, or one too small to animate.
    """
    faces = finder(image)
    if not faces:
        size = f"{image.shape[1]}x{image.shape[0]}"
        raise EquimeError(f"no face found in this {size} image; give a photo of one from the front")
    face = faces[0]
    if face.eye_distance < MIN_EYE_DISTANCE:
        raise EquimeError(
            f"expected at least {MIN_EYE_DISTANCE:.0f} px between the eyes,"
            f" got {face.eye_distance:.1f}; give a larger photo of the face"
        )
    taken = "larger" if len(faces) == 2 else "largest"
    return face, f"{len(faces)} faces: the {taken} was taken" if len(faces) > 1 else ""


# --- reading photos


def read_image(path: str | os.PathLike[str]) -> Array:
    """Read a photo as uint8 (H, W, 3) RGB.

    EXIF orientation is applied; grey, palette, CMYK and 16-bit images are converted; transparency
    is composited on mid grey (`BACKDROP`); of an animation the first frame is read. The size is
    judged from the header, before any pixel is decoded.

    Raises:
        EquimeError: Missing, a folder, not an image, truncated, or of a size that cannot hold a
            face (under `MIN_SIDE` px a side) or would fill the memory (over `MAX_PIXELS`).
    """
    path = Path(path)
    if path.is_dir():
        raise EquimeError(f"expected an image file, got a folder: {path}")
    # Pillow warns of large images, which are judged below, and of odd EXIF data, which is harmless.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _decoded(path)
        except FileNotFoundError:
            raise EquimeError(f"no such image: {path}") from None
        except UnidentifiedImageError:
            raise EquimeError(f"expected an image such as JPEG, got something else: {path}") from None
        except Image.DecompressionBombError:
            raise EquimeError(f"expected at most {MAX_PIXELS:,} px, got far more: {path}") from None
        except EquimeError:
            raise
        except Exception as error:  # Pillow's decoders meet damage with nearly any exception.
            if isinstance(error, OSError) and error.errno:
                raise EquimeError(f"cannot read {path}: {error.strerror}") from None
            raise EquimeError(f"the image is damaged or cut short ({error}): {path}") from None


def _decoded(path: Path) -> Array:
    with Image.open(path) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise EquimeError(f"expected at most {MAX_PIXELS:,} px, got {width}x{height}: {path}")
        if min(width, height) < MIN_SIDE:
            raise EquimeError(f"expected {MIN_SIDE} px a side or more, got {width}x{height}: {path}")
        image.load()
        return np.array(_rgb(ImageOps.exif_transpose(image)))


def _rgb(image: Image.Image) -> Image.Image:
    """Any Pillow mode as RGB."""
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip instead of scaling.
        grey = np.asarray(image).clip(0, 65535).astype(np.uint16) >> 8
        image = Image.fromarray(grey.astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        backdrop = Image.new("RGBA", image.size, (*BACKDROP, 255))
        image = Image.alpha_composite(backdrop, image)
    return image.convert("RGB")
