"""What every feature is: a frozen dataclass of options that turns one sample's pictures into one float32 array.

Why: a published number hides how its pictures were made into numbers. Here the fields of the dataclass are all of it:
they are the flags, they go into a run's manifest (`describe`) and they are the key of the cache.

    flow = FlowImage(size=28)
    flow(row, pictures)                             # float32 (3, 28, 28)
    flow.describe()                                 # {"name": "flow", "version": 1, "method": "dis", ...}
"""

from __future__ import annotations

import contextlib
import dataclasses
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import cv2
import numpy as np

from equime.errors import EquimeError
from equime.face import FaceFinder
from equime.options import result_fields
from equime.recognise.samples import Array, Pictures, Row


class Made(NamedTuple):
    """One sample's feature.

    Attributes:
        values: float32, of the feature's `shape`.
        note: What differed from the rule ("no face found: the whole picture"), or "".
    """

    values: Array
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Feature:
    """The base of all features: options as fields, models loaded once a process, everything recorded.

    Attributes:
        name: The kind, a key of `features.kinds.KINDS`.
        version: Raised whenever the same options would give other values.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of one sample's array."""

    @abstractmethod
    def needs(self, row: Row, numbers: Sequence[int]) -> list[int]:
        """The frames that decide the values.

        Args:
            row: Of `samples.FIELDS`.
            numbers: The frames that there are.

        Raises:
            EquimeError: The row lacks a time that the options ask for.
        """

    @abstractmethod
    def made(self, row: Row, pictures: Pictures) -> Made:
        """The values of one sample, and what differed from the rule.

        Raises:
            EquimeError: As `needs`; pictures that do not decode or show nothing to measure.
        """

    def __call__(self, row: Row, pictures: Pictures) -> Array:
        """float32 of `shape`; raises as `made`."""
        return self.made(row, pictures).values

    def load(self) -> None:
        """Load the models once for this process: for the errors and the seconds to come at the start.

        Raises:
            MissingPackageError: What finds faces is not installed.
        """
        self.finder.load()

    @cached_property
    def finder(self) -> FaceFinder:
        """Finds the face of a frame that one face fills (see `face_crop.largest`)."""
        return FaceFinder(tiles=(1,))

    def describe(self) -> dict[str, Any]:
        """Everything that decides the values, ready for JSON: a part of a run's manifest and of the cache's keys."""
        fields = result_fields(self)
        return {"name": self.name, "version": self.version, **fields, "opencv": cv2.__version__}

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # models stay behind


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """OpenCV on one thread: its DIS flow depends on how many stripes a picture is cut into."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def read(pictures: Pictures, numbers: Sequence[int]) -> dict[int, Array]:
    """Frames by number, each decoded once however often it is asked for.

    Raises:
        EquimeError: As `Pictures.read`; frames of several sizes.
    """
    wanted = sorted(set(numbers))
    frames = dict(zip(wanted, pictures.read(wanted), strict=True))
    sizes = {frame.shape for frame in frames.values()}
    if len(sizes) > 1:
        raise EquimeError(f"expected frames of one size, got {sorted(sizes)}")
    return frames


def coded(row: Row, moment: str, numbers: Sequence[int]) -> int:
    """The frame of a coded moment.

    Args:
        row: Of `samples.FIELDS`.
        moment: "onset", "apex" or "offset".
        numbers: The frames that there are.

    Raises:
        EquimeError: It is not coded, or has no picture.
    """
    number = row[moment]
    if number is None:
        raise EquimeError(f"no {moment} is coded")
    if number not in numbers:
        has = f"{numbers[0]} to {numbers[-1]}" if len(numbers) else "none"
        raise EquimeError(f"the {moment} frame {number} has no picture; there are {has}")
    return int(number)


def require(name: str, value: float, low: float, high: float = np.inf) -> None:
    """Refuse an option out of its range.

    Raises:
        EquimeError: It is below `low` or above `high`.
    """
    if not low <= value <= high:
        upper = f" and at most {high:g}" if np.isfinite(high) else ""
        raise EquimeError(f"expected {name} to be at least {low:g}{upper}, got {name} = {value}")


def require_one_of(name: str, value: object, known: Sequence[str]) -> None:
    """Refuse an option that is none of those known.

    Raises:
        EquimeError: It is not.
    """
    if value not in known:
        raise EquimeError(f"expected {name} to be one of {', '.join(known)}, got {name} = {value!r}")
