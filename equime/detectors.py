"""Faces in a frame, by the packaged models or by any of DeepFace's detectors, ready for the taggers.

    look = detector("equime")           # or "retinaface", "mtcnn", "yunet", ...: what DeepFace has
    look.load()
    faces = look(frame)                 # Found(box, picture, skin_ita) of each, largest first

Why two ways: the packaged finder needs nothing, sees faces from the front and aligns them by their mesh. DeepFace's
detectors (packages and weights of their own, which DeepFace fetches) see turned and hidden faces too; the picture of a
face is then cut exactly as `DeepFace.analyze` cuts it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from equime.errors import EquimeError
from equime.face import FaceFinder, crop
from equime.optional import need
from equime.skin import skin_ita
from equime.taggers import deepface_folder, face_square

Array = npt.NDArray[Any]
Box = tuple[float, float, float, float]

OWN: Final = "equime"
MARGIN: Final = 0.5
"""Around a detector's box, in its sides, for the mesh that the skin is measured by."""


@dataclass(frozen=True, eq=False)
class Found:
    """One face in one frame.

    Attributes:
        box: (x0, y0, x1, y1) in the frame's pixels.
        picture: uint8 (h, w, 3) RGB: the face as a detector's box covers it, level.
        skin_ita: Of its cheeks, degrees; see `equime.skin`.
    """

    box: Box
    picture: Array
    skin_ita: float | None = None

    @property
    def area(self) -> float:
        """Pixels of the box."""
        x0, y0, x1, y1 = self.box
        return (x1 - x0) * (y1 - y0)


class Detector(Protocol):
    """Something that finds the faces of a frame."""

    def load(self) -> None:
        """Heavy imports and weights, once per worker."""

    def __call__(self, frame: Array) -> list[Found]:
        """Every face in uint8 (H, W, 3) RGB, the largest box first."""


def detector(name: str) -> Detector:
    """The detector of that name, not loaded yet: "equime", or one of DeepFace's."""
    return Meshes() if name == OWN else DeepFaceDetector(name)


def _finder() -> FaceFinder:
    # Faces under a tenth of a clip's width do not matter here, and smaller tiles see faces where there are none.
    return FaceFinder(tiles=(1, 2))


@dataclass
class Meshes:
    """The packaged finder. 20 ms a frame."""

    _finder: FaceFinder = field(default_factory=_finder, repr=False)

    def load(self) -> None:
        """Load the face models."""
        self._finder.load()

    def __call__(self, frame: Array) -> list[Found]:
        """Every face; see `Detector`."""
        faces = self._finder(frame)
        return [Found(face.box, face_square(crop(frame, face)[0]), skin_ita(frame, face)) for face in faces]


@dataclass
class DeepFaceDetector:
    """One of DeepFace's detectors, with DeepFace's own alignment and cut."""

    name: str
    _finder: FaceFinder = field(default_factory=_finder, repr=False)

    def load(self) -> None:
        """Build the detector. DeepFace fetches its weights where they are not there.

        Raises:
            MissingPackageError: No `deepface`.
            EquimeError: No such detector, or its package or weights are not here.
        """
        modeling = need("deepface.modules.modeling", extra="tag")
        known = sorted(modeling.AVAILABLE_MODELS["face_detector"])
        if self.name not in known:
            raise EquimeError(f"detector should be {OWN} or one of DeepFace's {known}, got {self.name!r}")
        self._finder.load()
        try:
            modeling.build_model("face_detector", self.name)
        except Exception as error:  # a missing package or file, said by each detector in its own way
            why = " ".join(str(error).split())[:200]
            raise EquimeError(
                f"DeepFace's detector {self.name} does not load: install its package, or put its file into "
                f"{deepface_folder()}; --detector {OWN} needs neither (DeepFace says: {why})"
            ) from error

    def __call__(self, frame: Array) -> list[Found]:
        """Every face; see `Detector`."""
        detect = need("deepface.modules.detection", extra="tag").detect_faces
        seen = detect(self.name, np.ascontiguousarray(frame[..., ::-1]), align=True)
        found = [self._found(frame, face) for face in seen if min(face.img.shape[:2]) > 1]
        return sorted(found, key=lambda face: -face.area)

    def _found(self, frame: Array, face: Any) -> Found:
        area = face.facial_area
        box = (float(area.x), float(area.y), float(area.x + area.w), float(area.y + area.h))
        return Found(box, np.ascontiguousarray(face.img[..., ::-1]), self._skin(frame, box))

    def _skin(self, frame: Array, box: Box) -> float | None:
        (x0, y0, x1, y1), (height, width) = box, frame.shape[:2]
        dx, dy = MARGIN * (x1 - x0), MARGIN * (y1 - y0)
        left, top = max(int(x0 - dx), 0), max(int(y0 - dy), 0)
        part = np.ascontiguousarray(frame[top : min(int(y1 + dy), height), left : min(int(x1 + dx), width)])
        meshes = self._finder(part) if min(part.shape[:2]) > 1 else []
        return skin_ita(part, meshes[0]) if meshes else None
