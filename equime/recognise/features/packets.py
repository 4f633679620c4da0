"""How many bytes each frame of an MP4 takes, read from its index without decoding.

Why: an encoder spends bytes where something moves, so sizes alone may tell what a clip shows (`features.artefacts`).

>>> frame_bytes(data)                           # int64 (144,), in the order in which frames are shown
"""

from __future__ import annotations

from typing import Final

import numpy as np

from equime.errors import EquimeError
from equime.recognise.samples import Array

_PATH: Final = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def frame_bytes(data: bytes) -> Array:
    """Bytes of each frame, int64 (T,), in order of display (ISO/IEC 14496-12: stsz, stts, ctts).

    Raises:
        EquimeError: Not an MP4 with one track of frames.
    """
    try:
        table = data
        for name in _PATH:
            table = _boxes(table)[name]
        boxes = _boxes(table)
        same, count = (int(number) for number in _numbers(boxes[b"stsz"], 1)[:2])
        sizes = np.full(count, same) if same else _numbers(boxes[b"stsz"], 3)[:count]
        durations = _runs(boxes[b"stts"])[:count]
        later = _runs(boxes[b"ctts"])[:count] if b"ctts" in boxes else np.zeros(count, np.int64)
        shown = np.cumsum(durations) - durations + later
        return np.asarray(sizes[np.argsort(shown, kind="stable")], np.int64)
    except (KeyError, IndexError, ValueError) as error:
        raise EquimeError("expected an MP4 file with an index of its frames") from error


def _boxes(data: bytes) -> dict[bytes, bytes]:
    """The first box of each name at this level, without its header."""
    found: dict[bytes, bytes] = {}
    start = 0
    while start + 8 <= len(data):
        size, header = int.from_bytes(data[start : start + 4], "big"), 8
        if size == 1:
            size, header = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        size = size or len(data) - start  # 0 reaches to the end
        if size < header:
            break
        found.setdefault(data[start + 4 : start + 8], data[start + header : start + size])
        start += size
    return found


def _numbers(box: bytes, first: int) -> Array:
    """The box's 32-bit numbers from place `first` on, as int64; signed ones occur in version 1 of ctts alone."""
    return np.frombuffer(box[4 * first : len(box) // 4 * 4], ">i4").astype(np.int64)


def _runs(box: bytes) -> Array:
    """(count, value) pairs written out, as int64."""
    pairs = _numbers(box, 2)
    return np.repeat(pairs[1::2], pairs[::2])
