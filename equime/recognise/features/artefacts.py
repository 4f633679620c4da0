"""Everything about a clip but its expression: what a model must not be able to tell emotions from.

Why: synthetic clips can carry their label in how they were made: which blocks were resampled, how many bytes the
encoder spent, how the head was made to sway. What is learnt from these numbers alone must be at chance.

    artefacts = Artefacts()
    dict(zip(artefacts.columns, artefacts(row, pictures)))

The frames from onset to offset, and `MARGIN_MS` on either side, are left out: the expression itself shows in all of it.
`during=True` looks at them as well: not at chance for whatever shows an expression, and reported as such.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import cv2
import numpy as np

from equime.errors import EquimeError
from equime.face import FaceFinder
from equime.flow import STABLE_POINTS, grey
from equime.options import option
from equime.quality.blinks import blinks
from equime.quality.looks import Looks, look, window
from equime.recognise.features.face_crop import NO_FACE, View, face_view
from equime.recognise.features.feature import Feature, Made, one_thread, read
from equime.recognise.features.packets import frame_bytes
from equime.recognise.samples import Array, Pictures, Row

MARGIN_MS: Final = 100.0
"""Frames so near to onset and offset are the expression's too: there it is under 10 % of its peak, and not 0."""
GRID: Final = 4
SHARP_FRAMES: Final = 12
_SIDE: Final = 256
_SIZES: Final = ("file_bytes", "frame_bytes_mean", "frame_bytes_sd", "frame_bytes_median", "frame_bytes_max")
_SHARPNESS: Final = tuple(f"sharpness_{y}_{x}" for y in range(GRID) for x in range(GRID))
_BLOCKS: Final = ("blockiness_mean", "blockiness_sd")
_SWAY: Final = tuple(f"sway_{axis}_{kind}" for kind in ("sd", "range") for axis in ("x", "y", "turn", "size"))
_BLINKS: Final = ("blinks", "blink_first", "blink_share")


@dataclass(frozen=True)
class Artefacts(Feature):
    """Numbers of how a clip was made and stored: float32 (n,), see `columns`; 0 where a set does not say.

    Sizes are logarithms of bytes (MP4 only: pictures have none). Sharpness is the logarithm of the Laplacian's variance
    in each field of a grid over the face's square; blockiness the grey steps at the edges of 8x8 blocks over those
    inside; sway the head's shift (eye distances), turn (radians) and growth; of blinks their number, when the first
    begins and how long all are, as shares of the clip.
    """

    name: ClassVar[str] = "numbers"

    during: bool = option(False, help="look at the expression's own frames as well: reported, never at chance")

    @property
    def columns(self) -> tuple[str, ...]:
        """What the numbers are."""
        return (*_SIZES, *_SHARPNESS, *_BLOCKS, *_SWAY, *_BLINKS)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n,)."""
        return (len(self.columns),)

    def needs(self, row: Row, numbers: Sequence[int]) -> list[int]:
        """See `Feature.needs`: all of them."""
        return list(numbers)

    def outside(self, row: Row, numbers: Sequence[int]) -> Array:
        """Which of the frames are looked at, bool (T,).

        Raises:
            EquimeError: Fewer than three, of which nothing can be said.
        """
        there = np.asarray(numbers)
        keep = np.ones(len(there), bool)
        margin = MARGIN_MS * row["fps"] / 1000
        if row["onset"] is not None and not self.during:
            last = there[-1] if row["offset"] is None else row["offset"]
            keep = (there < row["onset"] - margin) | (there > last + margin)
        if keep.sum() < 3:
            raise EquimeError("fewer than 3 frames outside of the expression: nothing but the expression is there")
        return keep

    def made(self, row: Row, pictures: Pictures) -> Made:
        """See `Feature.made`."""
        numbers = list(pictures.numbers)
        keep = self.outside(row, numbers)
        found: dict[str, float] = dict.fromkeys(self.columns, 0.0)
        with one_thread():
            by_number = read(pictures, numbers)
            frames = np.stack([by_number[number] for number in numbers])
            view = face_view(frames[0], self.finder)
            found |= _stored(pictures, keep)
            found |= _looks(frames, keep, view)
            found |= _moves(frames, keep, row["fps"], view, self.finder)
        return Made(np.array([found[name] for name in self.columns], np.float32), view.note)


def _stored(pictures: Pictures, keep: Array) -> Mapping[str, float]:
    """Sizes, of an origin that keeps the file's bytes (`data`)."""
    data: Any = getattr(pictures, "data", None)
    if data is None:
        return {}
    sizes = frame_bytes(data)
    if len(sizes) != len(keep):  # an edit list hides some
        return {"file_bytes": float(np.log(len(data)))}
    outside = np.log(np.maximum(sizes[keep], 1))
    measures = (np.mean, np.std, np.median, np.max)
    return dict(zip(_SIZES, [float(np.log(len(data))), *(float(of(outside)) for of in measures)], strict=True))


def _looks(frames: Array, keep: Array, view: View) -> Mapping[str, float]:
    """Sharpness by field of the face's square, and blockiness of the pictures, over frames of equal distance."""
    chosen = np.flatnonzero(keep)
    chosen = chosen[np.unique(np.linspace(0, len(chosen) - 1, SHARP_FRAMES).astype(int))]
    fields = np.mean([_sharpness(grey(view(frames[t], _SIDE))) for t in chosen], axis=0)
    edges = [_blockiness(grey(frames[t])) for t in chosen]
    return dict(zip(_SHARPNESS, fields.ravel().tolist(), strict=True)) | dict(
        zip(_BLOCKS, (float(np.mean(edges)), float(np.std(edges))), strict=True)
    )


def _sharpness(picture: Array) -> Array:
    """float64 (GRID, GRID): log of the Laplacian's variance."""
    fields = cv2.Laplacian(picture, cv2.CV_64F).reshape(GRID, _SIDE // GRID, GRID, _SIDE // GRID)
    return np.asarray(np.log(fields.var((1, 3)) + 1))


def _blockiness(picture: Array) -> float:
    """Mean step across the edges of 8x8 blocks over the mean step inside of them; 1 is no block to be seen."""
    ratios = []
    for axis in (0, 1):
        steps = np.abs(np.diff(picture.astype(np.float32), axis=axis)).mean(1 - axis)
        edge = np.arange(len(steps)) % 8 == 7
        ratios.append((steps[edge].mean() + 1e-3) / (steps[~edge].mean() + 1e-3) if edge.any() else 1.0)
    return float(np.mean(ratios))


def _moves(frames: Array, keep: Array, fps: float, view: View, finder: FaceFinder) -> Mapping[str, float]:
    """Sway and blinks; none where no face was found."""
    if view.note == NO_FACE or view.face is None:
        return {}
    seen = look(frames, fps, view.face, finder)
    there = keep[seen.at]
    poses = _poses(seen)[there] if there.sum() > 2 else np.zeros((3, 4))
    sway = [*poses.std(0).tolist(), *np.ptp(poses, axis=0).tolist()]
    shut = [(a, b) for a, b in blinks(*window(frames, seen), seen) if keep[min(round(a * fps / 1000), len(keep) - 1)]]
    whole = len(frames) * 1000 / fps
    shares = (len(shut), shut[0][0] / whole if shut else 0.0, sum(b - a for a, b in shut) / whole)
    return dict(zip((*_SWAY, *_BLINKS), (*sway, *map(float, shares)), strict=True))


def _poses(seen: Looks) -> Array:
    """float64 (n, 4): the head's shift right and down in eye distances, turn in radians and growth since the start."""
    points = seen.points[:, list(STABLE_POINTS), :2].astype(np.float64)
    flat = points[..., 0] + 1j * points[..., 1]
    middle = flat.mean(1)
    start = flat[0] - middle[0]
    # The similarity that fits best, as a complex number: its angle is the turn, its length the growth.
    fitted = ((flat - middle[:, None]) * start.conj()).sum(1) / (np.abs(start) ** 2).sum()
    shift = (middle - middle[0]) / seen.eye_distance
    return np.stack([shift.real, shift.imag, np.angle(fitted), np.abs(fitted) - 1], 1)
