"""One frame of a sample, without any motion: the controls of every result.

Why: a model that tells emotions from a neutral face has learnt who was asked to show what, or how a clip was made. The
first frame must be at chance; the apex frame alone is reported, for strong expressions show in it.

    SingleFrame("first")(row, pictures)                     # float32 (3, 64, 64), 0 to 1
    SingleFrame("apex", frames=16)(row, pictures)           # float32 (3, 16, 64, 64): the same frame, for video models
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np

from equime.errors import EquimeError
from equime.options import option
from equime.recognise.features.face_crop import face_view
from equime.recognise.features.feature import Feature, Made, coded, one_thread, read, require, require_one_of
from equime.recognise.features.frame_stack import planes
from equime.recognise.samples import Pictures, Row

Which = Literal["first", "onset", "apex"]


@dataclass(frozen=True)
class SingleFrame(Feature):
    """The face's square of one frame: float32 (C, size, size), or (C, frames, size, size) with it repeated.

    The face is looked for in that frame. At a planned or measured onset the face has moved by a tenth already, and a
    recording may start there: `first` is the neutral frame of a clip that starts before it.

    Raises:
        EquimeError: An option that is unknown or out of range.
    """

    name: ClassVar[str] = "frame"

    which: Which = option("first", help="the sample's first frame, its onset or its apex")
    size: int = option(64, help="height and width")
    grey: bool = option(False, help="one channel in place of three")
    frames: int = option(0, help="repeat it so often in time; 0 has no time")
    crop: bool = option(True, help="the face's square; else the whole picture")

    def __post_init__(self) -> None:
        require_one_of("which", self.which, get_args(Which))
        require("size", self.size, 1, 2048)
        require("frames", self.frames, 0, 4096)

    @property
    def shape(self) -> tuple[int, ...]:
        """(1 or 3, size, size), with frames in the middle where they are wanted."""
        time = (self.frames,) if self.frames else ()
        return (1 if self.grey else 3, *time, self.size, self.size)

    def needs(self, row: Row, numbers: Sequence[int]) -> list[int]:
        """See `Feature.needs`: the one."""
        if not len(numbers):
            raise EquimeError("no picture")
        return [numbers[0] if self.which == "first" else coded(row, self.which, numbers)]

    def made(self, row: Row, pictures: Pictures) -> Made:
        """See `Feature.made`."""
        number = self.needs(row, pictures.numbers)[0]
        with one_thread():
            frame = read(pictures, [number])[number]
            view = face_view(frame, self.finder, crop=self.crop)
            shown = planes(view(frame, self.size), self.grey)
        values = np.repeat(shown[:, None], self.frames, 1) if self.frames else shown
        return Made(values, view.note)
