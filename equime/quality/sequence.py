"""Image sequences: a folder of pictures as frames, which is how real micro-expression sets are handed out.

Why: their pictures are numbered by the camera, so img9 comes before img10, a number is no index, and a picture that is
missing is a moment that is missing.

    sequence = Sequence.of(Path("CASME2_RAW_selected/sub01/EP02_01f"))
    frames = sequence.frames()                      # uint8 (T, H, W, 3)
    sequence.numbers[0], sequence.numbers[-1]       # the files' own numbers
"""

from __future__ import annotations

import math
import os
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from equime.errors import EquimeError
from equime.one_line import one_line
from equime.photo import read_image
from equime.video import Frames

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
MOST_MISSING = 0.1
"""Share of the numbers between the first and the last that may have no file."""
MOST_BYTES = 8 * 2**30
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class Sequence:
    """The pictures of one folder, by the last number in each file's name.

    Attributes:
        folder: Where they are.
        files: One for each number, in order.
        numbers: Ascending; they need not start at 0 or 1.
    """

    folder: Path
    files: tuple[Path, ...]
    numbers: tuple[int, ...]

    @classmethod
    def of(cls, folder: Path) -> Sequence:
        """The sequence of a folder.

        Raises:
            EquimeError: No folder, fewer than two pictures in it, a picture without a number, two of one number, or
                too many numbers without a picture.
        """
        named = one_line(folder)
        if not folder.is_dir():
            raise EquimeError(f"expected a folder of pictures, got no folder: {named}; give --frames FOLDER")
        found: dict[int, Path] = {}
        for path in _pictures(folder):
            number = _number(path)
            if number in found:
                both = f"{one_line(found[number].name)} and {one_line(path.name)}"
                raise EquimeError(f"expected one picture a number, got {both} in {named}; move one of them out")
            found[number] = path
        if len(found) < 2:
            got = f"only {len(found)}" if found else "none"
            raise EquimeError(f"expected at least two numbered pictures in {named}, got {got}; give another folder")
        numbers = sorted(found)
        missing = 1 - len(numbers) / (numbers[-1] - numbers[0] + 1)
        if missing > MOST_MISSING:
            raise EquimeError(
                f"expected pictures numbered in a row in {named}, got {len(numbers)} between {numbers[0]} and "
                f"{numbers[-1]}; number them in a row and give the frame rate of those that are there"
            )
        return cls(folder, tuple(found[number] for number in numbers), tuple(numbers))

    @property
    def missing(self) -> int:
        """Numbers between the first and the last that have no picture."""
        return self.numbers[-1] - self.numbers[0] + 1 - len(self.numbers)

    def frames(self, first: int | None = None, last: int | None = None) -> Frames:
        """The pictures of the numbers `first` to `last`, both included, uint8 (T, H, W, 3) RGB.

        Grey pictures become RGB. A number that has no picture shows the one before it, so that times stay true.

        Args:
            first: A file's number; None, or one before the first file, is the first.
            last: Likewise the last.

        Raises:
            EquimeError: Fewer than two frames, a picture that cannot be read, sizes that differ, or more than fits
                into memory.
        """
        start = max(self.numbers[0], self.numbers[0] if first is None else first)
        stop = min(self.numbers[-1], self.numbers[-1] if last is None else last)
        if stop <= start:
            has = f"{self.numbers[0]} to {self.numbers[-1]}"
            raise EquimeError(f"expected frames {first} to {last} in {one_line(self.folder)}, it has {has}")
        places = [bisect_right(self.numbers, number) - 1 for number in range(start, stop + 1)]
        begun = read_image(self.files[places[0]])
        if len(places) * begun.nbytes > MOST_BYTES:
            size = f"{len(places)} frames of {begun.shape[1]}x{begun.shape[0]}"
            raise EquimeError(
                f"expected at most {MOST_BYTES >> 30} GB of frames, got {size} in {one_line(self.folder)}; "
                "keep the expression and a second around it"
            )
        frames = np.empty((len(places), *begun.shape), np.uint8)
        for row, place in enumerate(places):
            if row and place == places[row - 1]:
                frames[row] = frames[row - 1]
                continue
            picture = read_image(self.files[place])
            if picture.shape != begun.shape:
                raise EquimeError(
                    f"expected all pictures of {begun.shape[1]}x{begun.shape[0]}, got "
                    f"{picture.shape[1]}x{picture.shape[0]}: {one_line(self.files[place])}"
                )
            frames[row] = picture
        return frames


def sequences(folder: Path) -> list[Path]:
    """The folders that hold pictures: `folder` itself, or those below it, in order of their paths.

    Raises:
        EquimeError: No folder, or no picture anywhere in it.
    """
    if not folder.is_dir():
        raise EquimeError(f"expected a folder of pictures, got no folder: {one_line(folder)}; give --frames FOLDER")
    if any(_pictures(folder)):
        return [folder]
    below = [Path(root) for root, _, names in os.walk(folder) if any(map(_is_picture, names))]
    if not below:
        raise EquimeError(f"expected pictures in {one_line(folder)} or below it, got none; give --frames FOLDER")
    return sorted(below)


def require_fps(fps: float | None) -> float:
    """A frame rate that was given.

    Raises:
        EquimeError: None, or none above 0.
    """
    if fps is None or not (math.isfinite(fps) and fps > 0):
        raise EquimeError(f"expected the frame rate of the pictures, a number above 0, got {fps = }; give --fps")
    return fps


def _pictures(folder: Path) -> Iterator[Path]:
    return (path for path in _listed(folder) if _is_picture(path.name))


def _listed(folder: Path) -> Iterable[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise EquimeError(f"cannot read {one_line(folder)}: {error.strerror}; give another folder") from error


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in PICTURES


def _number(path: Path) -> int:
    """The last number in a file's name, as in reg_img46.jpg or 006_05562.jpg."""
    digits = _NUMBER.findall(path.stem)
    if not digits:
        raise EquimeError(f"expected pictures named by number, such as img46.jpg, got {one_line(path)}; rename it")
    return int(digits[-1])
