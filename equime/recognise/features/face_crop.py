"""The square of a sample in which features are computed: the face of one frame, level, and the same for all frames.

Why one square: aligning every frame by its own mesh would add the mesh's jitter (0.25 to 0.4 px) to movements of half
a pixel. The head's own motion is taken out of the flow instead (`flow.stabilise`).

    view = face_view(onset_frame, finder)
    view(apex_frame, 224)                           # uint8 (224, 224, 3)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from equime.face import MIN_EYE_DISTANCE, FaceFinder, Square
from equime.mesh import Face
from equime.recognise.samples import Array

SIDE: Final = 3.0
"""The square's side in eye distances: ear to ear with a little beside them."""
EYE_LINE: Final = 0.38
"""Where the eyes lie from its top: the hairline above, the chin below."""
UNSURE: Final = 0.25
"""The mesh's confidence that does where no better one is found: at 0.40 its eyes were right within half a pixel."""
NO_FACE: Final = "no face found: the whole picture was taken"


@dataclass(frozen=True, eq=False)
class View:
    """A square of the frames of one sample.

    Attributes:
        square: In the frames' pixels.
        face: The face of the frame that it was found in, in the frames' pixels; None where none was.
        note: "", or `NO_FACE`.
    """

    square: Square
    face: Face | None
    note: str = ""

    def __call__(self, frame: Array, side: int) -> Array:
        """The square as uint8 (side, side, 3); what lies outside the frame repeats its edge."""
        return self.square.view(frame, side)

    def face_in(self, side: int) -> Face | None:
        """The face in the pixels of a view of that side."""
        if self.face is None:
            return None
        matrix = self.square.to_image(side)
        inverse = np.linalg.inv(matrix[:, :2])
        return self.face.moved(np.column_stack([inverse, -inverse @ matrix[:, 2]]))

    def eye_distance(self, side: int) -> float:
        """Pixels between the eyes in a view of that side; as if the face filled it where none was found."""
        return side / SIDE if self.face is None else self.face.eye_distance * side / self.square.side


def face_view(frame: Array, finder: FaceFinder, *, crop: bool = True) -> View:
    """The square of the largest face, or of the whole picture.

    Args:
        frame: uint8 (H, W, 3) RGB: the sample's first frame of interest.
        finder: Finds the face.
        crop: Off takes the square around the whole picture, edges repeated, whatever the face.
    """
    face = largest(frame, finder)
    if face is None:
        return View(_whole(frame), None, NO_FACE if crop else "no face found")
    return View(_around(face) if crop else _whole(frame), face)


def largest(frame: Array, finder: FaceFinder) -> Face | None:
    """The largest face that is large enough to measure; None where there is none.

    Where the whole frame shows none, parts of it are looked at, and a mesh that is less sure of itself will do: it lies
    well enough to cut a square, and the whole picture would be worse.
    """
    faces = finder(frame) or replace(finder, tiles=(1, 2, 4), min_flag=UNSURE)(frame)
    return next((face for face in faces if face.eye_distance >= MIN_EYE_DISTANCE), None)


def _around(face: Face) -> Square:
    side, turn = SIDE * face.eye_distance, np.radians(face.roll)
    x, y = face.eyes.mean(0) + (0.5 - EYE_LINE) * side * np.array([-np.sin(turn), np.cos(turn)])
    return Square(float(x), float(y), side, face.roll)


def _whole(frame: Array) -> Square:
    height, width = frame.shape[:2]
    return Square((width - 1) / 2, (height - 1) / 2, float(max(height, width)))
