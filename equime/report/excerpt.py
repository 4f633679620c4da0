"""A clip cut out for a page: the face alone, while the expression lasts, small enough that 24 fit in one file.

    shown = excerpt(data, row)          # {"src": "data:video/mp4;base64,...", "start_ms": 3037.9, "fps": 24.0, ...}

The square around the face is cut, scaled down to `SIDE` pixels at most (never up) and encoded at CRF 18: above that the
expression is compressed away. What the file said of itself, that it is synthetic above all, the excerpt says too.
A clip that cannot be shown gives the reason in place of a picture.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

import equime
from equime import schema, video
from equime.errors import EquimeError, MissingPackageError
from equime.face import EYE_LINE, EYE_SHARE, FaceFinder
from equime.one_line import one_line

Array = npt.NDArray[Any]
Row = Mapping[str, Any]
Box = Sequence[float]

COLUMNS: Final = (
    *("face_box", "crop", "onset_ms", "offset_ms", "measured_onset_ms", "measured_offset_ms"),
    *("clip_id", "generate_error"),
)
"""What `excerpt` reads of a row, where it is there."""
SIDE: Final = 320
"""Pixels of an excerpt's side, at most."""
ROOM_MS: Final = 300.0
"""Shown before the onset and after the offset."""
MIDDLE_MS: Final = 1000.0
"""Shown of a clip without an expression."""
LONGEST_MS: Final = 3000.0
"""Shown of a clip at most: a macro-expression lasts up to four seconds."""
MARGIN: Final = 1.2
"""Side of the square over the longer side of the face's box, which ends at the top of the forehead."""
LEAST: Final = 16
"""Pixels of a face's side under which its box is taken for a mistake."""
CRF: Final = 18
_ALIGNED: Final = (
    *(0.5 - 1.2 * EYE_SHARE, EYE_LINE - 0.8 * EYE_SHARE),
    *(0.5 + 1.2 * EYE_SHARE, EYE_LINE + 1.85 * EYE_SHARE),
)
"""The face in a clip made of an aligned square (see `face.EYE_SHARE`), in shares of its side."""


class Square(NamedTuple):
    """A square of a frame: its left upper pixel and its side, which is even."""

    x: int
    y: int
    side: int

    def cut(self, frame: Array, size: int) -> Array:
        """The square of uint8 (H, W, 3), averaged down to uint8 (size, size, 3)."""
        part = np.ascontiguousarray(frame[self.y : self.y + self.side, self.x : self.x + self.side])
        same = size == self.side
        return part if same else np.asarray(cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA))


def excerpt(data: bytes, row: Row) -> dict[str, Any]:
    """Cut out a clip's face and expression.

    Args:
        data: The clip's file.
        row: `COLUMNS`, or some of them.

    Returns:
        src (a data URL), start_ms (time in the clip of the first frame), fps, frames, width and height of what is
        shown; or src None and error, one line.
    """
    try:
        return _excerpt(data, row)
    except EquimeError as error:
        return missing(str(error))


def missing(why: str) -> dict[str, Any]:
    """What stands in place of an excerpt where there is none."""
    return {"src": None, "error": one_line(why)}


def _excerpt(data: bytes, row: Row) -> dict[str, Any]:
    info = video.probe(data)
    fps = info.fps if info.fps >= 1 else float(schema.FPS)  # a single frame has no rate
    first, last = span(row, info.num_frames, fps)
    frames = video.decode(data, range(first, last + 1), expect_frames=info.num_frames)
    square = square_around(face_box(row, frames[0]), frames.shape[1:3])
    size = min(square.side, SIDE)
    comment = provenance(info.comment, row.get("clip_id"), (first, last), square)
    small = (square.cut(frame, size) for frame in frames)
    rate = Fraction(fps).limit_denominator(1001)
    shown = video.encode(small, fps=rate, crf=CRF, comment=comment)
    return {
        "src": "data:video/mp4;base64," + base64.b64encode(shown).decode("ascii"),
        "start_ms": round(first * 1000 / fps, 3),
        "fps": round(float(rate), 4),
        "frames": len(frames),
        "width": size,
        "height": size,
    }


def span(row: Row, num_frames: int, fps: float) -> tuple[int, int]:
    """The first and the last frame to show: the expression as planned, else as measured, else the clip's middle."""
    low, high = _times(row) or _middle(num_frames / fps * 1000, MIDDLE_MS)
    if high - low > LONGEST_MS:
        high = low + LONGEST_MS
    first = min(max(math.floor(low * fps / 1000), 0), num_frames - 1)
    return first, min(max(math.ceil(high * fps / 1000), first), num_frames - 1)


def _times(row: Row) -> tuple[float, float] | None:
    for prefix in ("", "measured_"):
        onset, offset = row.get(f"{prefix}onset_ms"), row.get(f"{prefix}offset_ms")
        if onset is not None and offset is not None and math.isfinite(onset + offset) and onset <= offset:
            return onset - ROOM_MS, offset + ROOM_MS
    return None


def _middle(whole_ms: float, wanted_ms: float) -> tuple[float, float]:
    return (whole_ms - wanted_ms) / 2, (whole_ms + wanted_ms) / 2


def face_box(row: Row, frame: Array) -> Box | None:
    """Where the face is, x0, y0, x1, y1 in pixels: as tagged, else as the clip was made, else as found in a frame."""
    tagged = row.get("face_box")
    if tagged and _sensible(tagged, frame.shape):
        return list(tagged)
    height, width = frame.shape[:2]
    if row.get("crop") and height == width:
        return [share * width for share in _ALIGNED]
    try:
        faces = _finder()(frame)
    except MissingPackageError:
        return None
    return faces[0].box if faces and _sensible(faces[0].box, frame.shape) else None


def _sensible(box: Box, shape: Sequence[int]) -> bool:
    """Whether a box is one, in the frame, and of a size to look at."""
    if len(box) != 4 or not all(value is not None and math.isfinite(value) for value in box):
        return False
    low, high = np.clip([box[:2], box[2:]], 0, [shape[1], shape[0]])
    return bool((high - low).min() >= LEAST)


@lru_cache(maxsize=1)
def _finder() -> FaceFinder:
    """The face models, loaded once per process; a clip holds one face that fills it."""
    return FaceFinder(tiles=(1, 2))


def square_around(box: Box | None, shape: Sequence[int]) -> Square:
    """The square around a box with a margin, moved and shrunk as far as needed to lie in a frame of (height, width).

    Without a box the largest square in the frame's middle.
    """
    height, width = shape
    whole = min(height, width) // 2 * 2
    if box is None:
        return Square((width - whole) // 2, (height - whole) // 2, whole)
    x0, y0, x1, y1 = np.clip(box, 0, [width, height, width, height])
    side = min(max(math.ceil(MARGIN * max(x1 - x0, y1 - y0) / 2) * 2, LEAST), whole)
    left, top = round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2)
    return Square(min(max(left, 0), width - side), min(max(top, 0), height - side), side)


def provenance(comment: str | None, clip_id: str | None, frames: tuple[int, int], square: Square) -> str:
    """The file's own words on how it was made, and what was cut out of it; JSON.

    A clip that says nothing of itself (an imported one) is said to be synthetic all the same, as every clip of the
    data set is.
    """
    try:
        said = json.loads(comment or "")
    except ValueError:
        said = {"comment": comment} if comment else {}
    said = said if isinstance(said, dict) else {"comment": said}
    name = (clip_id or "").partition("/")[2]  # the folder names the emotion, which no file tells
    cut = {"frames": list(frames), "square": list(square), "by": f"equime {equime.__version__}"}
    return json.dumps({"synthetic": True, "clip_id": name} | said | {"excerpt": cut})
