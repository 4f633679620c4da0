"""Slow motion: generate the expression k times slower than it is, and take every k-th frame.

What: `window` chooses the stretch of the clip that is generated slowed, `Window.frame_map` says which generated frame
each frame of the clip is, `Window.planned_frame` where a planned time lies among the generated frames. Why: LTX-Video
packs 8 frames into one step of its latents, 333 ms at 24 fps, a whole micro-expression; slowed k times, the same step
is 333/k ms of the clip.

    stretch = window(2000.0, 2160.0, 2320.0, k=4)
    clip = [generated[i] for i in stretch.frame_map()]

What it costs, with the warp in the model's place: eight planned clips, coded, measured by flow. And what it is for: the
same courses (1,500 plans, no noise) as a model shows them that draws straight lines from each eighth frame to the next.

    median error in ms     the warp, coded            straight lines over 8 frames
    of                     onset   apex  offset       onset   apex  offset    peak kept (its 5 % quantile)
    k = 1                    6      10      9          155     77     143     0.72 (0.00); one in ten is not seen at all
    k = 2                                               56     33      41     0.95 (0.72)
    k = 4                    8       8      8           18     14      14     0.99 (0.90)
    k = 6                                               15     15      10     0.98 (0.93)
    k = 8                    9       9      9           11     12       9     1.00 (0.97)

No two neighbouring frames were the same at any k. How far it goes: 145 frames hold every planned expression of up to
500 ms six times slower, 62 % of them seven times, 41 % eight times, 9 % ten times (`slowest`). What it cannot do: that
a real model keeps to the slowed times is for `equime score` to measure; and the frames at rest are few (on each side of
the expression half a second of the clip at k = 4, a sixth at k = 8), so a blink among them comes back with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor
from typing import Final

from equime.errors import EquimeError
from equime.schema import FPS, NUM_FRAMES

GENERATED: Final = NUM_FRAMES + 1
"""Frames that LTX-Video makes: one more than a multiple of 8."""

REST: Final = 3
"""Least number of the clip's frames at rest that a stretch holds before and after the expression."""


@dataclass(frozen=True)
class Window:
    """The stretch of a clip that is generated k times slower.

    Attributes:
        k: Generated frames to one of the clip's.
        first: The clip's frame that is generated frame 0.
        rests_until: Last generated frame with the face at rest before the expression.
        rests_from: First generated frame with the face at rest after it.
        generated: Frames that are generated.
        fps: Of the clip.
        frames: Of the clip.
    """

    k: int
    first: int
    rests_until: int
    rests_from: int
    generated: int = GENERATED
    fps: float = FPS
    frames: int = NUM_FRAMES

    def planned_frame(self, ms: float) -> int:
        """The generated frame nearest to `ms` milliseconds of the clip, within 0 to `generated` - 1."""
        return min(max(0, round(self.k * (ms * self.fps / 1000 - self.first))), self.generated - 1)

    def frame_map(self) -> list[int]:
        """For each frame of the clip the generated frame that it is.

        Inside the stretch every k-th in order. Outside it, the frames at rest next to it, to and fro at the same pace:
        no two neighbours are the same frame or further than k apart.
        """
        inside = range(0, self.generated, self.k)[: self.frames - self.first]
        before = _to_and_fro(inside[0], -self.k, (0, self.rests_until), self.first)
        after = _to_and_fro(inside[-1], self.k, (self.rests_from, self.generated - 1), self.frames)
        return [*before[::-1], *inside, *after][: self.frames]


def window(
    onset_ms: float,
    apex_ms: float,
    offset_ms: float,
    k: int,
    generated: int = GENERATED,
    fps: float = FPS,
    frames: int = NUM_FRAMES,
) -> Window:
    """The stretch around an expression, its middle in the middle.

    The face leaves rest up to half a rise before the onset and reaches it half a fall after the offset.

    Args:
        onset_ms: When the displacement crosses 10 % of its peak on the way up.
        apex_ms: When it peaks.
        offset_ms: When it crosses 10 % on the way down.
        k: How much slower it is generated; 1 is natural speed.
        generated: Frames that the generator makes.
        fps: Of the clip.
        frames: Of the clip.

    Raises:
        EquimeError: k is below 1, or the stretch is too short for the expression and `REST` frames on both sides.
    """
    most = slowest(onset_ms, apex_ms, offset_ms, generated, fps)
    if not 1 <= k <= max(most, 1):
        raise EquimeError(
            f"expected a slowdown of 1 to {max(most, 1)} for an expression from {onset_ms:.0f} to {offset_ms:.0f} ms, "
            f"got {k = }: {generated} frames are too few to show it slower"
        )
    start, end = (ms * fps / 1000 for ms in _rest_to_rest(onset_ms, apex_ms, offset_ms))
    count = (generated - 1) // k + 1
    first = min(max(0, round((start + end - (count - 1)) / 2)), max(0, frames - count))
    until, since = max(0, floor(k * (start - first))), min(generated - 1, ceil(k * (end - first)))
    return Window(k, first, until, since, generated, fps, frames)


def slowest(onset_ms: float, apex_ms: float, offset_ms: float, generated: int = GENERATED, fps: float = FPS) -> int:
    """The largest k that `window` takes for an expression; 0 where even natural speed has no room for it."""
    start, end = _rest_to_rest(onset_ms, apex_ms, offset_ms)
    needed = ceil((end - start) * fps / 1000) + 2 * REST
    return (generated - 1) // needed


def _rest_to_rest(onset_ms: float, apex_ms: float, offset_ms: float) -> tuple[float, float]:
    return onset_ms - (apex_ms - onset_ms) / 2, offset_ms + (offset_ms - apex_ms) / 2


def _to_and_fro(at: int, step: int, span: tuple[int, int], count: int) -> list[int]:
    """The next `count` places after `at`, in steps of `step`, turning round at the ends of the span.

    The first step down is one shorter than the others, so that each pass sees frames that the one before left out.
    """
    found: list[int] = []
    while len(found) < count:
        turns = not span[0] <= at + step <= span[1]
        step = -step if turns else step
        at += step + (turns and step < -1)
        found.append(at)
    return found
