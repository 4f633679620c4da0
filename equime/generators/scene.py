"""A scene: one planned clip as a generator gets it, and what every generator does with it.

Why here: the packaged warp and LTX-Video start from the same aligned square of the same photo and follow the same plan.
The stage that calls them knows neither.

    still = Still.of(read_image("portrait.jpg"))
    scene = Scene("fear/f_ann_01", still, parse("1B+2B").units, 2000.0, 2160.0, 2320.0, seed=7)
    for frames, note in Warp().clips([scene]): ...
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy.typing as npt

from equime.action_units import ActionUnit
from equime.causal import EmotionModel, noise
from equime.errors import EquimeError
from equime.face import FaceFinder, Square, aligned_square, crop, one_face
from equime.mesh import Face
from equime.schema import SIZE

Array = npt.NDArray[Any]
Times = tuple[float, float, float]

EXPRESSIONLESS = ("neutral", "blink")
"""Controls that show no unit and have no planned times."""


@dataclass(frozen=True, eq=False)
class Still:
    """A neutral photo, ready to be moved.

    Attributes:
        image: uint8 (512, 512, 3) RGB, the aligned square of `equime.face.crop`.
        face: The face in its pixels.
        note: What the person who gave the photo should know, such as "2 faces: the larger was taken"; mostly "".
        square: Where the square lies in the photo; None where it was not cut from one.
    """

    image: Array
    face: Face
    note: str = ""
    square: Square | None = None

    @classmethod
    def of(cls, photo: Array, finder: FaceFinder | None = None) -> Still:
        """Find the face of a photo and cut the square that its clips start from.

        Args:
            photo: uint8 (H, W, 3) RGB, see `equime.photo.read_image`.
            finder: A loaded finder, to keep its models from one photo to the next.

        Raises:
            EquimeError: No face, or one too small.
        """
        face, note = one_face(photo, finder or FaceFinder())
        image, aligned = crop(photo, face, SIZE)
        return cls(image, aligned, note, aligned_square(face))


@dataclass(frozen=True, eq=False)
class Scene:
    """One clip to make: a row of the plan and its face.

    Attributes:
        clip_id: For messages only: what is drawn does not depend on it.
        still: The neutral photo.
        units: What the face does; none in a neutral or a blink control.
        onset_ms: When the displacement crosses 10 % of its peak on the way up; None without units.
        apex_ms: When it peaks.
        offset_ms: When it crosses 10 % on the way down.
        seed: Of everything that is drawn.
        prompt: The units in words; None where the plan has none.
        negative_prompt: What shall not be seen, in words.
        control: "neutral", "macro" or "blink"; None for a clip of an emotion.
    """

    clip_id: str
    still: Still
    units: tuple[ActionUnit, ...]
    onset_ms: float | None
    apex_ms: float | None
    offset_ms: float | None
    seed: int
    prompt: str | None = None
    negative_prompt: str | None = None
    control: str | None = None

    @property
    def times(self) -> Times:
        """Onset, apex and offset in ms; without units, those that the plan would have drawn for this seed.

        So that a clip without an expression differs from one with it in nothing else: its blink keeps clear of the
        same stretch, and where generated frames are resampled, the same stretch is slowed.

        Raises:
            EquimeError: Units without times, times or units in a control without an expression, or no such control.
        """
        self._check()
        if self.onset_ms is None or self.apex_ms is None or self.offset_ms is None:
            return _causal().draw_times(noise(self.seed, "times"))
        return self.onset_ms, self.apex_ms, self.offset_ms

    def _check(self) -> None:
        if self.control not in (None, "macro", *EXPRESSIONLESS):
            raise EquimeError(f"expected a control of neutral, macro or blink, got {self.control = }; plan it again")
        absent = [ms is None for ms in (self.onset_ms, self.apex_ms, self.offset_ms)]
        if self.control in EXPRESSIONLESS and (self.units or not all(absent)):
            raise EquimeError(f"expected no units and no times in a {self.control} control; plan the clip again")
        if self.control not in EXPRESSIONLESS and (any(absent) or not self.units):
            raise EquimeError(
                f"expected units with onset, apex and offset, got {len(self.units)} units, {self.onset_ms = }, "
                f"{self.apex_ms = }, {self.offset_ms = }; plan the clip again"
            )


class Generator(Protocol):
    """What makes clips of scenes."""

    @property
    def models(self) -> Mapping[str, str]:
        """Model id -> revision; empty where no model is downloaded."""

    @property
    def shows(self) -> Mapping[int, str]:
        """Unit -> strongest intensity that it can be asked for."""

    def load(self) -> None:
        """Heavy imports and weights, once per process."""

    def clips(self, scenes: Sequence[Scene]) -> Iterator[tuple[Array, str]]:
        """For each scene, in order: uint8 (T, 512, 512, 3) RGB at `schema.FPS`, and a note, mostly "".

        Raises:
            EquimeError: A scene that cannot be shown; those that were yielded before are good.
        """


@cache
def _causal() -> EmotionModel:
    return EmotionModel.from_tables()
