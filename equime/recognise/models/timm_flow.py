"""Any image network of timm on flow images: `timm/resnet18`, `timm/vit_small_patch16_224`, ...

Sizes that a network learns positions for (vision transformers) are set to the image's; others follow by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from equime.errors import EquimeError
from equime.optional import need
from equime.recognise.models.layers import outputs


def timm_flow(classes: int, shape: Sequence[int], *, name: str) -> Any:
    """A network of timm: float32 (N, C, H, W) -> (N, classes) logits.

    Args:
        classes: How many.
        shape: (C, H, W) of one sample.
        name: timm's.

    Raises:
        EquimeError: timm has none of that name.
        RuntimeError: Images too small for it.
    """
    timm = need("timm", extra="recognise")
    if not timm.is_model(name):
        near = ", ".join(timm.list_models(f"*{name[:5]}*")[:5]) or "timm/resnet18"
        raise EquimeError(f"timm has no model {name!r}; such as {near}")
    make = partial(timm.create_model, name, pretrained=False, in_chans=shape[0], num_classes=classes)
    with torch.device("meta"):
        sized = _sized(make, shape)
        outputs(sized(), shape)  # some are made for any size and fail when they see it
    return sized()


def _sized(make: Callable[..., Any], shape: Sequence[int]) -> Callable[[], Any]:
    """What makes the network for images of a size; most convolutional ones take no size."""
    try:
        make(img_size=tuple(shape[1:]))
    except TypeError:
        return make
    return partial(make, img_size=tuple(shape[1:]))
