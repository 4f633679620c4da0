"""A sample as frames in time, on a clock of milliseconds: what video models read.

    FrameStack(frames=16, size=112)(row, pictures)          # float32 (3, 16, 112, 112), 0 to 1
    FrameStack(frames=2, around="onset-apex")(row, pictures)        # the onset and the apex

Why a clock: see `features.clock`. `fps=0` takes a camera's own frames in a row, as most published code does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np

from equime.errors import EquimeError
from equime.flow import grey
from equime.options import option
from equime.recognise.features.clock import around, middles, nearest, spread
from equime.recognise.features.face_crop import face_view
from equime.recognise.features.feature import Feature, Made, coded, one_thread, read, require, require_one_of
from equime.recognise.features.moments import onset_and_apex
from equime.recognise.samples import Array, Pictures, Row

Around = Literal["apex", "expression", "onset-apex", "all"]


@dataclass(frozen=True)
class FrameStack(Feature):
    """Frames of the face's square: float32 (C, frames, size, size), 0 to 1, or -1 to 1 as differences.

    Raises:
        EquimeError: An option that is unknown or out of range.
    """

    name: ClassVar[str] = "frames"

    frames: int = option(16, help="how many")
    size: int = option(64, help="their height and width")
    around: Around = option(
        "apex", help="in a row around the apex, onset to offset, onset to apex, or over all pictures"
    )
    fps: float = option(24.0, help="frames a second of the clock; 0 is the camera's own", when=("around", "apex"))
    grey: bool = option(False, help="one channel in place of three")
    difference: bool = option(False, help="less the onset's frame (the first one, where no onset is coded)")
    crop: bool = option(True, help="the face's square; else the whole picture")

    def __post_init__(self) -> None:
        require_one_of("around", self.around, get_args(Around))
        require("frames", self.frames, 1, 4096)
        require("size", self.size, 1, 2048)
        require("fps", self.fps, 0, 10_000)

    @property
    def shape(self) -> tuple[int, ...]:
        """(1 or 3, frames, size, size)."""
        return (1 if self.grey else 3, self.frames, self.size, self.size)

    def chosen(self, row: Row, numbers: Sequence[int]) -> list[int]:
        """The frames of the stack, in order, repeated where there are too few.

        Raises:
            EquimeError: No picture, a moment that is not coded, or an apex that does not come after its onset.
        """
        if not len(numbers):
            raise EquimeError("no picture")
        if self.around == "all":
            places = middles(numbers, self.frames)
        elif self.around == "expression":
            places = spread(coded(row, "onset", numbers), coded(row, "offset", numbers), self.frames)
        elif self.around == "onset-apex":
            places = spread(*onset_and_apex(row, numbers), self.frames)
        else:
            step = row["fps"] / self.fps if self.fps else 1.0
            places = around(numbers, coded(row, "apex", numbers), self.frames, step)
        return nearest(numbers, places)

    def needs(self, row: Row, numbers: Sequence[int]) -> list[int]:
        """See `Feature.needs`: those of the stack, and the one whose face is looked for."""
        return sorted({*self.chosen(row, numbers), reference(row, numbers)})

    def made(self, row: Row, pictures: Pictures) -> Made:
        """See `Feature.made`."""
        numbers = self.chosen(row, pictures.numbers)
        first = reference(row, pictures.numbers)
        with one_thread():
            frames = read(pictures, [*numbers, first])
            view = face_view(frames[first], self.finder, crop=self.crop)
            small = {number: planes(view(frame, self.size), self.grey) for number, frame in frames.items()}
        stack = np.stack([small[number] for number in numbers], 1)
        return Made(stack - small[first][:, None] if self.difference else stack, view.note)


def reference(row: Row, numbers: Sequence[int]) -> int:
    """The frame in which the face is looked for: the onset's, or the first where none is coded."""
    return numbers[0] if row["onset"] is None else coded(row, "onset", numbers)


def planes(picture: Array, only_grey: bool) -> Array:
    """float32 (1 or 3, H, W), 0 to 1, of uint8 (H, W, 3)."""
    shown = grey(picture)[..., None] if only_grey else picture
    return np.ascontiguousarray(np.moveaxis(shown, 2, 0), np.float32) / np.float32(255)
