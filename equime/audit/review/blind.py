"""An MP4 that tells nothing but its pictures: whatever decoding does not need is blanked, in place.

Why: a clip of this project carries its plan in the container, and a coder who reads it there codes the plan. Nothing is
encoded or moved: a box that is not needed becomes a box of zeros of the same size, so that the video stream and all
offsets stay, byte for byte.

    shown = blinded(data)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from equime.errors import EquimeError
from equime.video import probe

_KEPT: Final = {
    b"": (b"ftyp", b"styp", b"moov", b"mdat", b"moof", b"sidx", b"mfra"),
    b"moov": (b"mvhd", b"trak", b"mvex"),
    b"trak": (b"tkhd", b"edts", b"mdia", b"tref"),
    b"mdia": (b"mdhd", b"hdlr", b"minf"),
}
"""Box -> the boxes in it that decoding needs (ISO/IEC 14496-12); of others, all that they hold."""
_DATED: Final = (b"mvhd", b"tkhd", b"mdhd")
_NAMED: Final = 24
"""Bytes of an hdlr box before the name that the writer gave the track."""


class _Box(NamedTuple):
    kind: bytes
    start: int
    body: int
    stop: int


def blinded(data: bytes) -> bytes:
    """The same MP4 without a word of who made it, when, or what it shows; the video stream untouched.

    Raises:
        EquimeError: Not an MP4 that reads.
    """
    if data[4:8] != b"ftyp":
        raise EquimeError("expected an MP4 file: the box 'ftyp' first")
    found = bytearray(data)
    for box in list(_walk(found, b"", 0, len(found))):
        if box.kind in _DATED:
            found[box.body + 4 : box.body + (20 if found[box.body] else 12)] = bytes(16 if found[box.body] else 8)
        elif box.kind == b"hdlr":
            found[box.body + _NAMED : box.stop] = bytes(max(0, box.stop - box.body - _NAMED))
        else:
            found[box.start + 4 : box.start + 8] = b"free"
            found[box.body : box.stop] = bytes(box.stop - box.body)
    shown = bytes(found)
    probe(shown)
    return shown


def _walk(data: bytearray, inside: bytes, start: int, end: int) -> Iterator[_Box]:
    """The boxes to blank, wholly or, of `_DATED` and hdlr, in part."""
    while start < end:
        size, body = int.from_bytes(data[start : start + 4], "big"), start + 8
        if size == 1:
            size, body = int.from_bytes(data[body : body + 8], "big"), body + 8
        stop = start + size if size else end
        if not body <= stop <= end:
            raise EquimeError(f"expected whole boxes of an MP4, got one of {size} bytes at byte {start}")
        box = _Box(bytes(data[start + 4 : start + 8]), start, body, stop)
        if box.kind not in _KEPT[inside] or box.kind in _DATED or box.kind == b"hdlr":
            yield box
        elif box.kind in _KEPT:
            yield from _walk(data, box.kind, body, stop)
        start = stop
