"""Folders of pictures as the frames of samples.

Why: real sets are handed out as pictures that the camera numbered: a number is no index, and need not start at 1.

    origin = Folders(root)
    for pictures in origin.open(samples.table.to_pylist()):
        pictures.numbers, pictures.read(pictures.numbers[:1])
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from equime.errors import EquimeError
from equime.one_line import one_line
from equime.quality.sequence import PICTURES
from equime.recognise.samples import Array, Pictures, Row

_NUMBER = re.compile(r"\d+")
MOST_DIGITS = 9
"""Of a picture's number; a longer one is a time or a hash."""
FIRST_IS = "//"
"""Behind a folder, whose path never holds it: the number of its first picture; the others follow in order."""


def pictures_in(folder: Path) -> Mapping[int, Path]:
    """Number -> picture of a folder, ascending; the number is the last one in the name. Empty where there is none.

    Of two pictures of one number the first by name counts; an empty file, as a broken copy leaves, is no picture.
    """
    found: dict[int, Path] = {}
    try:
        files = sorted((entry.name, _size(entry)) for entry in os.scandir(folder))
    except OSError:
        return {}
    for name, size in files:
        stem, ending = os.path.splitext(name)
        digits = _NUMBER.findall(stem)
        if size and digits and ending.lower() in PICTURES and not name.startswith("."):
            number = digits[-1].lstrip("0") or "0"
            if len(number) <= MOST_DIGITS:
                found.setdefault(int(number), folder / name)
    return dict(sorted(found.items()))


def _size(entry: os.DirEntry[str]) -> int:
    """Bytes of a file; 0 of what is none, such as a link to nowhere."""
    try:
        return entry.stat().st_size if entry.is_file() else 0
    except OSError:
        return 0


@dataclass(frozen=True)
class FolderPictures:
    """The pictures of one folder.

    Attributes:
        folder: Where they are.
        first: The number of the first one, where they count from there instead of by their names.
    """

    folder: Path
    first: int | None = None

    @cached_property
    def files(self) -> Mapping[int, Path]:
        """Number -> file, ascending.

        Raises:
            EquimeError: There is none.
        """
        found = pictures_in(self.folder)
        if not found:
            raise EquimeError(f"expected numbered pictures in {one_line(self.folder)}, got none; copy the set again")
        return found if self.first is None else dict(enumerate(found.values(), self.first))

    @property
    def numbers(self) -> Sequence[int]:
        """Ascending; gaps are missing pictures."""
        return tuple(self.files)

    def read(self, numbers: Sequence[int]) -> list[Array]:
        """Those frames, uint8 (H, W, 3) RGB each; grey ones become RGB.

        Raises:
            EquimeError: No such picture, or it does not decode.
        """
        return [_read(self._file(number)) for number in numbers]

    def digest(self, numbers: Sequence[int]) -> str:
        """sha256 of the numbers and the bytes of those files."""
        whole = hashlib.sha256()
        for number in numbers:
            content = hashlib.sha256(self._file(number).read_bytes()).hexdigest()
            whole.update(f"{number} {content}\n".encode())
        return whole.hexdigest()

    def _file(self, number: int) -> Path:
        if number not in self.files:
            has = f"{self.numbers[0]} to {self.numbers[-1]}"
            raise EquimeError(f"expected a picture of {number = } in {one_line(self.folder)}, it has {has}")
        return self.files[number]


@dataclass(frozen=True)
class Folders:
    """The origin of samples whose pictures lie in folders below one root.

    Attributes:
        root: The `frames` of a sample are relative to it.
    """

    root: Path

    def parts(self, rows: Sequence[Row]) -> list[list[int]]:
        """One part for each folder: listing it is the only thing that several samples share."""
        of: dict[str, list[int]] = {}
        for place, row in enumerate(rows):
            of.setdefault(row["frames"], []).append(place)
        return list(of.values())

    def open(self, rows: Sequence[Row]) -> Iterator[Pictures]:
        """The pictures of rows, in their order."""
        last: tuple[str, FolderPictures] | None = None
        for row in rows:
            if last is None or last[0] != row["frames"]:
                last = row["frames"], self.pictures(row["frames"])
            yield last[1]

    def pictures(self, frames: str) -> FolderPictures:
        """The pictures that a sample's `frames` name."""
        folder, _, first = frames.partition(FIRST_IS)
        return FolderPictures(self.root / folder, int(first) if first else None)


def _read(path: Path) -> Array:
    try:
        with Image.open(path) as image:
            deep = image.mode.startswith("I")  # 16 bits of grey, which Pillow would clip instead of scaling
            grey = Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8)) if deep else image
            return np.asarray(grey.convert("RGB"))
    except Exception as error:  # Pillow's decoders meet damage with nearly any exception
        raise EquimeError(f"the picture {one_line(path)} does not decode ({one_line(error)}); copy it again") from error
