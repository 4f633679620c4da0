"""What one photo shows of a face: size, pose, sharpness, mouth, eyes, glasses, and a thumbnail to know it by.

Why mesh and pixels alone: every measure is explained in a line, is the same on any machine, and knows nothing of who
the person is. Openings and smile are taken in the face's own frame, its turn undone by the depth of the 468-point
mesh; sharpness and glasses from the aligned crop, so that a face is judged at one size whatever the photo's.

    >>> found, square = measure(read_image("portrait.jpg"), finder)      # Measures, uint8 (512, 512, 3)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from equime.face import FaceFinder, Square, aligned_square, crop, one_face
from equime.mesh import LANDMARKS, SIDES, Face, region_mask

Array = npt.NDArray[Any]

VERSION: Final = 1
"""Raised when a measure changes: pictures measured before are then measured anew."""

THUMBNAIL: Final = 16
"""Side of a thumbnail in pixels."""

FRAME_OF_GLASSES: Final = 0.25
"""From where on an edge across the nose bridge is the bridge of glasses. Of 75 real faces without glasses 4 reach it
(deep frowns, hair or a hand), of 27 with glasses none lies under it; rimless glasses may."""

_PAIRS: Final = np.array(
    [p for n in LANDMARKS if n.endswith("_R") for p in zip(LANDMARKS[n], LANDMARKS[f"{n[:-1]}L"], strict=True)]
)


@dataclass(frozen=True)
class Measures:
    """What is measured on the largest face of a photo.

    Attributes:
        eye_distance: Pixels between the eyes' middles, in the photo.
        yaw: Degrees that the face looks towards the subject's left (the right of an unmirrored photo).
        pitch: Degrees that it looks up; people at rest before a camera have about -7.
        roll: Degrees that the eye line is turned clockwise, as seen.
        sharpness: See `sharpness`, 0-1.
        mouth_open: The gap between the inner lips over the mouth's width; 0 is closed.
        smile: The lift of the mouth's corners over the middle between the lips, over the eye distance.
        eye_open: The narrower eye's height over its width, after Soukupova and Cech's eye aspect ratio (2016).
        eye_light: See `eye_light`.
        outside: The share (0-1) of the aligned crop that lies outside the photo, where it would be its reflection.
        glasses: Whether an edge crosses the nose bridge: an estimate.
        faces: Faces found in the photo.
        note: For who gave the photo: "" or "2 faces: the larger was taken".
        thumbnail: `THUMBNAIL` rows of as many grey bytes; see `thumbnail`.
    """

    eye_distance: float
    yaw: float
    pitch: float
    roll: float
    sharpness: float
    mouth_open: float
    smile: float
    eye_open: float
    eye_light: float
    outside: float
    glasses: bool
    faces: int
    note: str
    thumbnail: bytes


def measure(image: Array, finder: FaceFinder) -> tuple[Measures, Array]:
    """Measure the photo's face.

    Args:
        image: uint8 (H, W, 3) RGB.
        finder: Loaded or not.

    Returns:
        The measures, and the aligned crop that clips start from, uint8 (512, 512, 3).

    Raises:
        EquimeError: No face, or one too small to animate.
    """
    face, note = one_face(image, finder)
    square, aligned = crop(image, face)
    grey = np.asarray(cv2.cvtColor(square, cv2.COLOR_RGB2GRAY))
    yaw, pitch, roll = pose(face)
    mouth, lift, eye = at_rest(face)
    measures = Measures(
        eye_distance=face.eye_distance,
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        sharpness=sharpness(grey, aligned),
        mouth_open=mouth,
        smile=lift,
        eye_open=eye,
        eye_light=eye_light(grey, aligned),
        outside=outside(image.shape, face),
        glasses=bridge_edge(grey, aligned) > FRAME_OF_GLASSES,
        faces=int(note.partition(" ")[0] or 1),
        note=note,
        thumbnail=thumbnail(image, face).tobytes(),
    )
    return measures, square


def _axes(face: Face) -> Array:
    """float64 (3, 3): the face's own axes as rows, in the image: to the subject's left, down, and away from the camera.

    Sideways runs through all mirror pairs of `LANDMARKS`, down from the forehead (point 10) to the chin (152).
    """
    points = face.points.astype(np.float64)
    across = (points[_PAIRS[:, 1]] - points[_PAIRS[:, 0]]).sum(0)
    away = np.cross(across, points[152] - points[10])
    axes = np.stack([across, np.cross(away, across), away])
    return np.asarray(axes / np.linalg.norm(axes, axis=1, keepdims=True))


def pose(face: Face) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees, as `Measures` has them: where the face looks once its roll is undone.

    Photos taken at 15 and 45 degrees measure 12 and 42.
    """
    across, _, away = _axes(face)
    roll = np.arctan2(across[1], across[0])
    sideways = away[0] * np.cos(roll) + away[1] * np.sin(roll)
    up = away[1] * np.cos(roll) - away[0] * np.sin(roll)
    yaw, pitch = np.arctan2(-sideways, away[2]), np.arcsin(np.clip(up, -1, 1))
    return float(np.degrees(yaw)), float(np.degrees(pitch)), float(np.degrees(roll))


def at_rest(face: Face) -> tuple[float, float, float]:
    """`mouth_open`, `smile` and `eye_open` of `Measures`, measured as if the face looked straight ahead."""
    points = face.points @ _axes(face).T
    corners = points[[61, 291]]
    gap = points[14, 1] - points[13, 1]
    lift = (points[13, 1] + points[14, 1]) / 2 - corners[:, 1].mean()
    right, left = points[[33, 133], 0].mean(), points[[263, 362], 0].mean()
    opening = min(_eye(points, side) for side in SIDES)
    return float(gap / (corners[1, 0] - corners[0, 0])), float(lift / (left - right)), opening


def _eye(points: Array, side: str) -> float:
    """One eye's height at its middle third, over its width."""
    upper, lower = LANDMARKS[f"lid_upper_{side}"][2:5], LANDMARKS[f"lid_lower_{side}"][2:5]
    outer, inner = LANDMARKS[f"eye_outer_{side}"][0], LANDMARKS[f"eye_inner_{side}"][0]
    height = (points[list(lower), 1] - points[list(upper), 1]).mean()
    return float(height / np.linalg.norm(points[outer] - points[inner]))


def sharpness(grey: Array, face: Face) -> float:
    """The share of the face's gradients that a blur by 2 px of the aligned crop takes away, 0-1.

    After Crete et al. (2007), who blur again to see how much there was to lose. A first blur by 1 px keeps sensor
    noise from passing for detail. Sharp photos have 0.12-0.3, the same blurred by 2 px 0.06-0.12, by 4 px under 0.06.

    Args:
        grey: uint8 (512, 512), the aligned crop.
        face: The face in its pixels.
    """
    skin = _skin(grey.shape, face)

    def gradients(image: Array) -> float:
        return float(np.hypot(cv2.Sobel(image, cv2.CV_32F, 1, 0), cv2.Sobel(image, cv2.CV_32F, 0, 1))[skin].mean())

    calm = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1)
    return 1 - gradients(np.asarray(cv2.GaussianBlur(calm, (0, 0), 2))) / max(gradients(np.asarray(calm)), 1e-6)


def bridge_edge(grey: Array, face: Face) -> float:
    """The strongest edge across the nose bridge, from light to dark and back, over the face's contrast.

    Args:
        grey: uint8 (512, 512), the aligned crop.
        face: The face in its pixels.
    """
    middle = round(float(face.points[168, 0]))
    top, bottom = (round(float(face.points[i, 1])) for i in (9, 195))
    calm = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.5)
    rows = calm[max(top, 0) : bottom, middle - 10 : middle + 11].mean(1)
    steps = np.diff(rows) if len(rows) > 1 else np.zeros(1)
    return float((steps.max() - steps.min()) / max(float(grey[_skin(grey.shape, face)].std()), 1e-6))


def eye_light(grey: Array, face: Face) -> float:
    """How bright the skin right under the eyes is, over the cheeks: the brighter eye's.

    Black lenses give 0.1-0.3, brown and mirrored ones anything; of 115 faces without the lowest has 0.37, in the shade
    of its own brows. So nothing between should be asked for: it would cost those with deep or dark-skinned eyes.

    Args:
        grey: uint8 (512, 512), the aligned crop.
        face: The face in its pixels.
    """
    cheeks = [np.median(grey[region_mask(face, "cheek", side, grey.shape)]) for side in SIDES]
    return float(max(np.median(grey[_under_eye(grey.shape, face, side)]) for side in SIDES) / (np.mean(cheeks) + 1))


def _under_eye(shape: tuple[int, ...], face: Face, side: str) -> Array:
    points = face.points[[*LANDMARKS[f"lid_lower_{side}"], *LANDMARKS[f"under_eye_{side}"]], :2]
    mask = np.zeros(shape, np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(points).astype(np.int32)), 1)
    return mask.astype(bool)


def outside(shape: tuple[int, ...], face: Face) -> float:
    """The share of the aligned crop that a photo of this (H, W, ...) does not fill, 0-1."""
    square = aligned_square(face)
    matrix = square.to_image(512)
    corners = (matrix[:, :2] @ (np.array([[0, 0, 1, 1], [0, 1, 1, 0]]) * 511) + matrix[:, 2:]).T
    height, width = shape[:2]
    photo = np.array([[0, 0], [0, height - 1], [width - 1, height - 1], [width - 1, 0]])
    shared, _ = cv2.intersectConvexConvex(corners.astype(np.float32), photo.astype(np.float32))
    return float(np.clip(1 - shared / square.side**2, 0, 1))


def _skin(shape: tuple[int, ...], face: Face) -> Array:
    """The face's oval without its rim, bool (H, W)."""
    mask = np.zeros(shape, np.uint8)
    cv2.fillConvexPoly(mask, np.rint(face.points[list(LANDMARKS["oval"]), :2]).astype(np.int32), 1)
    return np.asarray(cv2.erode(mask, np.ones((15, 15), np.uint8), borderValue=0)).astype(bool)


def thumbnail(image: Array, face: Face) -> Array:
    """The face in a square that all points of the mesh place, uint8 (`THUMBNAIL`, `THUMBNAIL`) grey.

    Why not the aligned crop: two fits of one face differ by pixels at each eye corner, hardly in the mean of 468
    points, and copies of a photo are told by how well they cover each other.

    Args:
        image: uint8 (H, W, 3) RGB.
        face: A face in that image.
    """
    xy = face.points[:, :2].astype(np.float64)
    x, y = xy.mean(0)
    radius = float(np.sqrt(((xy - (x, y)) ** 2).sum(1).mean()))
    view = Square(float(x), float(y), 3.4 * radius, pose(face)[2]).view(image, 8 * THUMBNAIL, cv2.BORDER_REFLECT_101)
    grey = cv2.cvtColor(view, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA))
