"""Faces: find them in a photo with their 468-point mesh, and cut an aligned square.

Why here: one way of finding and aligning a face, for sources and for clips. Two packaged models are run on
the CPU through LiteRT (`equime/models/NOTICE`): a short-range BlazeFace detector (Bazarevsky et al. 2019,
arXiv 1907.05047) and the Face Mesh (Kartynnik et al. 2019, arXiv 1907.06724).

    >>> finder = FaceFinder()
    >>> image = read_image("portrait.jpg")
    >>> face, note = one_face(image, finder)
    >>> square, aligned = crop(image, face)      # uint8 (512, 512, 3), eyes level and in place
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from equime.errors import EquimeError
from equime.mesh import Face
from equime.optional import need

Array = npt.NDArray[Any]

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


# --- a square


@dataclass(frozen=True)
class Square:
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


def aligned_square(face: Face) -> Square:
    """The square of the photo that every clip of a face starts from, in the photo's pixels.

    Its eye line is level, the eyes' middle lies at half its width and `EYE_LINE` of its height, and the eye
    distance is `EYE_SHARE` of its side, whatever the photo.
    """
    middle, side = face.eyes.mean(0), face.eye_distance / EYE_SHARE
    turn = np.radians(face.roll)
    x, y = middle + (0.5 - EYE_LINE) * side * np.array([-np.sin(turn), np.cos(turn)])
    return Square(float(x), float(y), side, face.roll)


def crop(image: Array, face: Face, size: int = CROP_SIZE) -> tuple[Array, Face]:
    """Cut the `aligned_square`, and move the face into it. What lies outside the photo is its reflection.

    Args:
        image: uint8 (H, W, 3) RGB.
        face: A face in that image.
        size: Side of the crop in pixels.

    Returns:
        uint8 (size, size, 3) and the face in its pixels.
    """
    square = aligned_square(face)
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

    def _look(self, image: Array, squares: list[Square], faces: list[Face]) -> None:
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

    def _detect(self, image: Array, square: Square) -> list[tuple[float, Square]]:
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
        return [(score, _mesh_square(shape * size - 0.5, matrix)) for score, shape in _merged(scores[keep], raw)]

    def _fit(self, image: Array, square: Square, score: float) -> Face:
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


def _mesh_square(shape: Array, matrix: Array) -> Square:
    """The mesh's window: the detector's box, 1.5 times as large, turned with the eye line."""
    linear, offset = matrix[:, :2], matrix[:, 2]
    x, y = linear @ shape[0] + offset
    dx, dy = linear @ (shape[3] - shape[2])
    side = 1.5 * float((shape[1] + 0.5).max()) * float(np.hypot(*linear[:, 0]))
    return Square(float(x), float(y), side, float(np.degrees(np.arctan2(dy, dx))))


def _around(face: Face) -> Square:
    """The mesh's window from a mesh: its box measured along the eye line, 1.5 times as large."""
    turn = np.radians(face.roll)
    axes = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    upright = face.points[:, :2] @ axes
    low, high = upright.min(0), upright.max(0)
    x, y = axes @ ((low + high) / 2)
    return Square(float(x), float(y), 1.5 * float((high - low).max()), face.roll)


def _tiles(image: Array, parts: int) -> list[Square]:
    """Half-overlapping squares of the longer side / `parts`; none under the detector's 128 px."""
    height, width = image.shape[:2]
    side = max(height, width) / parts
    if parts > 1 and side < 128:
        return []
    xs, ys = ([(n - 1) / 2] if side >= n else _steps(n, side) for n in (width, height))
    return [Square(x, y, side) for y in ys for x in xs]


def _steps(length: int, side: float) -> list[float]:
    """Centres of half-overlapping windows of `side` that cover `length`."""
    count = int(np.ceil(2 * (length / side - 1))) + 1
    low, high = side / 2 - 0.5, length - side / 2 - 0.5
    return [float(x) for x in np.linspace(low, high, count)]


def _turned(image: Array) -> list[Square]:
    """The whole image with a margin, level and turned both ways."""
    height, width = image.shape[:2]
    x, y, side = (width - 1) / 2, (height - 1) / 2, 1.5 * max(height, width)
    return [Square(x, y, side, angle) for angle in (0.0, -30.0, 30.0)]


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
