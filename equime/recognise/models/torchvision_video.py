"""torchvision's video networks: R3D, MC3, R(2+1)D, S3D, MViT, Video Swin.

They take frames in colour at about the scale of Kinetics, mean 0 and deviation 1 a channel (`Recipe.standardise`).
Their sizes with 400 classes are those torchvision states for its Kinetics weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from equime.errors import EquimeError
from equime.optional import need

FIXED = {"mvit_v1_b": (16, 224, 224), "mvit_v2_s": (16, 224, 224)}
"""Where positions are learnt, the clip's size is part of the network."""
LEAST = {"s3d": (14, 224, 224)}
"""The smallest clip."""


def torchvision_video(classes: int, shape: Sequence[int], *, name: str) -> Any:
    """A network of `torchvision.models.video`: float32 (N, 3, T, H, W) -> (N, classes) logits.

    Args:
        classes: How many.
        shape: (3, T, H, W) of one sample; see `FIXED` and `LEAST`.
        name: torchvision's.

    Raises:
        EquimeError: A clip that it cannot take.
    """
    if shape[0] != 3:
        raise EquimeError(f"expected frames in colour (3, T, H, W) for {name}, got {tuple(shape)}")
    size = tuple(shape[1:])
    least = LEAST.get(name, (1, 1, 1))
    if size != FIXED.get(name, size) or any(side < fewest for side, fewest in zip(size, least, strict=True)):
        takes = f"exactly {FIXED[name]}" if name in FIXED else f"at least {least}"
        raise EquimeError(f"{name} takes {takes} frames, rows and columns, got {size}")
    make = getattr(need("torchvision.models.video", extra="recognise"), name)
    return make(num_classes=classes)
