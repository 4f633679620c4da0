"""What a model is shown of a clip: frames around the apex, frames of all of it, or three of them and how they move.

    view = View("apex", frames=16)
    seen = view.of(row)                   # row: with video, times and fps
    seen.frames, seen.indices

Why it is said aloud: an expression of 318 ms is eight frames of 144. Sixteen frames spread over the clip miss its upper
half more often than not, and two frames a second, which many processors take by default, miss all of it. So every file
that is exported names its frames, and "apex" and "keyframes" are oracles: they know the *planned* times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import cv2
import numpy as np

from equime import flow, schema
from equime.captioning.vlm_inputs import Stretch
from equime.clip import Clip, Sampling, consecutive, misses_expression
from equime.errors import EquimeError
from equime.noise import noise, seed_of
from equime.options import option
from equime.scm.times import Times
from equime.tuning.example import Example
from equime.video import Frames

Name = Literal["apex", "clip", "keyframes"]
VIEWS: Final[tuple[Name, ...]] = ("apex", "clip", "keyframes")
COLUMNS: Final = (
    *("clip_id", "emotion", "control", "onset_ms", "apex_ms", "offset_ms", "onset", "apex", "offset"),
    *("num_frames", "fps", "sha256", "generate_error"),
)
"""What `View.of` reads of a row, beside `video`."""
SMALLEST, LARGEST = 16, 4096
"""Pixels of a side: below, optical flow says nothing."""
TIMED: Final = ("caption", "json", "preference")
"""Tasks whose answers tell times from the clip's start."""
STRONGEST: Final = 0.02
"""Of the picture's side: a movement that long is drawn in full colour."""


@dataclass(frozen=True)
class Seen(Stretch):
    """What is shown of one clip: frames, which these are, and how they move.

    Attributes:
        motion: uint8 (H, W, 3): optical flow from onset to apex, direction as hue, length as brightness; or None.
    """

    motion: Frames | None = None


@dataclass(frozen=True)
class View:
    """Which frames of a clip are shown, and how large."""

    name: Name = option("apex", help="frames in a row around the planned apex, of all the clip, or onset, apex, offset")
    frames: int = option(16, help="how many, but for keyframes")
    size: int = option(0, help="pixels of a side; 0 leaves them as they are")

    def __post_init__(self) -> None:
        """Refuse what shows nothing."""
        if self.name not in VIEWS or self.frames < 2:
            raise EquimeError(f"expected a view of {', '.join(VIEWS)} and 2 frames or more, got {self}")
        if self.size and not SMALLEST <= self.size <= LARGEST:
            raise EquimeError(f"expected a size of 0 or {SMALLEST} to {LARGEST} pixels, got {self.size}")

    @property
    def is_oracle(self) -> bool:
        """Whether it knows when the expression was planned, which no camera tells."""
        return self.name != "clip"

    def misses(self, num_frames: int, fps: float) -> bool:
        """Whether its frames lie too far apart to show most expressions."""
        return self.name == "clip" and misses_expression(num_frames, self.frames, fps)

    def of(self, row: Mapping[str, Any]) -> Seen:
        """The pictures of a row's clip.

        Args:
            row: Columns `COLUMNS` and `video`.

        Raises:
            EquimeError: A clip that is missing or damaged, is shorter than this view, or has no planned times.
        """
        clip = Clip(row)
        if row.get("sha256"):
            clip.verify()
        indices = self.indices(row)
        frames = clip.frames_at(indices, self.size or None)
        motion = _motion(frames[0], frames[1]) if self.name == "keyframes" else None
        return Seen(frames, indices, clip.fps, clip.num_frames, motion)

    def indices(self, row: Mapping[str, Any]) -> list[int]:
        """Which frames of a row's clip are shown, 0-based, ascending; no video is read where the row tells its length.

        Raises:
            EquimeError: It is shorter than this view, or has no planned times.
        """
        clip = Clip(row)
        is_at_rest = clip.emotion is None and clip.apex is None
        if self.name == "apex" and is_at_rest:
            return consecutive(clip.num_frames, self.frames, _nowhere(clip)[1])
        if self.name != "keyframes":
            return clip.indices(Sampling(self.frames, around=self.name)) or []
        if is_at_rest:
            return _nowhere(clip)
        if clip.onset is None or clip.apex is None or clip.offset is None:
            raise EquimeError(f"clip {clip.clip_id!r} has no planned times: show it by the view 'clip'")
        return [clip.onset, clip.apex, clip.offset]


def asked(example: Example, indices: Sequence[int], num_frames: int, fps: float) -> str:
    """The question, and which part of the clip is shown where the answer tells times, which a cut has lost.

    Args:
        example: What is asked.
        indices: The frames that are shown.
        num_frames: Of the clip.
        fps: Of the clip.
    """
    if example.task not in TIMED or len(indices) == num_frames:
        return example.question
    start, end = (round(1000 * index / fps) for index in (indices[0], indices[-1]))
    return f"{example.question}\nShown are {len(indices)} frames, from {start} ms to {end} ms of the clip."


def _nowhere(clip: Clip) -> list[int]:
    """Onset, apex and offset of a clip at rest as a plan might have drawn them, the same each time.

    Were it always the middle, a model could tell by the place alone, which the question says, that nothing moves.
    """
    onset, apex, offset = Times.of_tables().draw(noise(seed_of(0, clip.clip_id), "at rest"))
    middle = round(apex / schema.DURATION_MS * clip.num_frames)
    before, after = (max(1, round(ms * clip.fps / 1000)) for ms in (apex - onset, offset - apex))
    return [max(0, middle - before), middle, min(clip.num_frames - 1, middle + after)]


def _motion(first: Frames, then: Frames) -> Frames:
    """Optical flow between two pictures as a picture: hue is the direction, brightness the length."""
    found = flow.dense(flow.grey(first), flow.grey(then))
    length, angle = cv2.cartToPolar(found[..., 0], found[..., 1], angleInDegrees=True)
    strength = np.clip(length / (STRONGEST * first.shape[1]), 0, 1)
    hsv = np.stack([angle / 2, np.full_like(angle, 255), 255 * strength], -1).astype(np.uint8)
    shown: Frames = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    return shown
