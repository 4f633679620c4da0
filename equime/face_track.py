"""The face of a clip: found in some frames, followed, and what came and went.

    track = follow(frames, indices, detector("equime"))
    track.faces       # the followed face's Found in each frame, None where it is not there
    track.count       # mean number of faces a frame
    track.notes()     # "2 faces in 3 of 6 frames: the larger over the clip was followed"

Why followed: the largest face of each frame would mix two people as they move. Boxes that lie near each other in
frame after frame are one face; of several, the one with the most pixels over the clip is followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from equime.detectors import Box, Detector, Found

Array = npt.NDArray[Any]

NEAR: Final = 1.0
"""How far a face may move from one looked-at frame to the next, in sides of its box."""
ALIKE: Final = 2.0
"""By what factor its box's side may change meanwhile."""


@dataclass(frozen=True, eq=False)
class Track:
    """One face over the looked-at frames of a clip.

    Attributes:
        indices: 0-based numbers of the frames looked at.
        counts: Faces in each of them.
        faces: The followed face in each of them.
    """

    indices: tuple[int, ...]
    counts: tuple[int, ...]
    faces: tuple[Found | None, ...]

    @property
    def seen(self) -> list[Found]:
        """The followed face, wherever it is."""
        return [face for face in self.faces if face]

    @property
    def count(self) -> float:
        """Mean number of faces a frame."""
        return float(np.mean(self.counts)) if self.counts else 0.0

    @property
    def box(self) -> Box | None:
        """(x0, y0, x1, y1) in pixels of the first looked-at frame that has the face."""
        return self.seen[0].box if self.seen else None

    def notes(self) -> Iterator[str]:
        """What is not one face from start to end, one line each."""
        total = len(self.indices)
        several = [count for count in self.counts if count > 1]
        if several:
            which = "larger" if max(self.counts) == 2 else "largest"
            yield f"{max(several)} faces in {len(several)} of {total} frames: the {which} over the clip was followed"
        there = [place for place, face in enumerate(self.faces) if face]
        if not there or len(there) == total:
            return
        first, last = there[0], there[-1]
        if first:
            yield f"the face enters after frame {self.indices[first - 1]}"
        gaps = [index for index, face in zip(self.indices[first:last], self.faces[first:last], strict=True) if not face]
        if gaps:
            yield f"the face is lost in {len(gaps)} of {total} frames, the first of them {gaps[0]}"
        if last < total - 1:
            yield f"the face leaves before frame {self.indices[last + 1]}"


def follow(frames: Sequence[Array] | Array, indices: Sequence[int], look: Detector) -> Track:
    """Find the faces of some frames of a clip and follow the largest.

    Args:
        frames: uint8 (H, W, 3) RGB each, in order of time.
        indices: Their numbers in the clip.
        look: Finds the faces of one.
    """
    found = [look(frame) for frame in frames]
    lines: list[_Line] = []
    for place, faces in enumerate(found):
        _continue(lines, faces, place)
    best = max(lines, key=lambda line: sum(face.area for face in line.faces.values()), default=_Line())
    followed = tuple(best.faces.get(place) for place in range(len(found)))
    return Track(tuple(indices), tuple(map(len, found)), followed)


@dataclass
class _Line:
    """One face's boxes by the place of their frame."""

    faces: dict[int, Found] = field(default_factory=dict)

    @property
    def last(self) -> Found:
        return next(reversed(self.faces.values()))


def _continue(lines: list[_Line], faces: Sequence[Found], place: int) -> None:
    """Add a frame's faces to the lines that end nearest to them; what is near none begins one."""
    pairs = [(_distance(line.last, face), i, j) for i, line in enumerate(lines) for j, face in enumerate(faces)]
    taken: dict[int, int] = {}
    for distance, line, face in sorted(pairs):
        if distance <= NEAR and line not in taken.values() and face not in taken:
            taken[face] = line
    for number, found in enumerate(faces):
        if number not in taken:
            lines.append(_Line())
        lines[taken.get(number, -1)].faces[place] = found


def _distance(one: Found, other: Found) -> float:
    """Between two boxes' middles, in sides of the larger; infinite where their sizes are not alike."""
    a, b = np.array(one.box), np.array(other.box)
    sides = np.sqrt([max(one.area, 1e-9), max(other.area, 1e-9)])
    if sides.max() > ALIKE * sides.min():
        return float("inf")
    return float(np.linalg.norm((a[:2] + a[2:] - b[:2] - b[2:]) / 2) / sides.max())
