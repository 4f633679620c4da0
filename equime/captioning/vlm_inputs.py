"""Frames and words as the tensors of a vision-language model, told where in time the frames lie.

What: `inputs(processor, texts, videos=...)`. Why apart: asking a model (`equime.captioning.vlm`) and training one
(`equime.tuning`) must show it the same clip in the same way, to the last number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from equime.optional import need
from equime.video import Frames

Side = Literal["left", "right"]


@dataclass(frozen=True)
class Stretch:
    """Frames of a clip.

    Attributes:
        frames: uint8 (T, H, W, 3), RGB.
        indices: Which frames of the clip these are, 0-based, ascending.
        fps: Of the clip, as the model is told it.
        num_frames: Of the clip.
    """

    frames: Frames
    indices: Sequence[int]
    fps: float
    num_frames: int

    @property
    def rate(self) -> float:
        """Frames shown for each second, as the model is told it."""
        first, last, n = self.indices[0], self.indices[-1], len(self.indices)
        return self.fps * (n - 1) / (last - first) if n > 1 else self.fps

    @property
    def metadata(self) -> dict[str, Any]:
        """Where in time the frames lie, as the video processors of `transformers` want to hear it.

        They take frames / `total_num_frames` x fps for the rate of what they got. So that is not the clip's number
        but that of the stretch shown: 16 frames in a row are at 24 a second, not at 16 in 6 seconds.
        """
        n = len(self.indices)
        height, width = self.frames.shape[1:3]
        return {
            "total_num_frames": round(n * self.fps / self.rate),
            "fps": self.fps,
            "frames_indices": list(self.indices),
            "duration": self.num_frames / self.fps,
            "height": height,
            "width": width,
        }


def inputs(
    processor: Any,
    texts: Sequence[str],
    videos: Sequence[Stretch] = (),
    images: Sequence[Sequence[Frames]] = (),
    *,
    side: Side,
    extra: str,
) -> Any:
    """Tokens and pixels, a `BatchFeature` of tensors.

    Args:
        processor: Of `transformers`.
        texts: From its chat template, one for each row of the batch.
        videos: One for each text, or none.
        images: Some for each text, or none: uint8 (H, W, 3) each.
        side: Where the shorter texts are padded: on the left for what goes on on the right.
        extra: The extra of this package that brings torch.
    """
    seen: dict[str, Any] = {}
    if videos:
        seen |= {"videos": [[video.frames] for video in videos], "do_sample_frames": False}
        seen |= {"video_metadata": [video.metadata for video in videos]}
    if images:
        seen["images"] = [list(several) for several in images]
    made = processor(text=list(texts), padding=True, padding_side=side, return_tensors="pt", **seen)
    if "second_per_grid_ts" in made:  # Qwen2.5-VL's processor takes 2 frames a second here, in older releases
        step = processor.video_processor.temporal_patch_size
        made["second_per_grid_ts"] = need("torch", extra=extra).tensor([step / video.rate for video in videos])
    return made
