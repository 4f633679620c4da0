"""VideoMAE and TimeSformer of transformers, from a configuration with random weights or from a folder.

VideoMAE (Tong et al., 2022, arXiv 2203.12602) sees the clip in tubes of 2 frames by 16x16 pixels, TimeSformer
(Bertasius et al., 2021, arXiv 2102.05095) frame by frame in 16x16 patches with attention over time and over space in
turn. Both take frames in colour at mean 0 and deviation 1 a channel (`Recipe.standardise`). A folder is what
`save_pretrained` or `hf download` writes: config.json and safetensors; its classifier is made anew for
other classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from equime.captioning.vlm_model import quiet
from equime.checkpoints import Layout, reading
from equime.errors import EquimeError
from equime.optional import need
from equime.recognise.models import weights

EXTRA = "recognise"
FAMILIES = {"VideoMAE": "MCG-NJU/videomae-base", "Timesformer": "facebook/timesformer-base-finetuned-k400"}

LAST = ("classifier", "fc_norm")
"""What a model pretrained without labels, or with others, lacks."""


class Logits(nn.Module):
    """float32 (N, 3, T, H, W) -> (N, classes) logits of a network that takes time first and gives more than these."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.video = network

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.video(pixel_values=x.transpose(1, 2)).logits


def transformers_video(
    classes: int, shape: Sequence[int], *, family: str, folder: str | Path | None = None, **sizes: Any
) -> nn.Module:
    """A video classifier of transformers.

    Args:
        classes: How many.
        shape: (3, T, S, S) of one sample: T even for VideoMAE, S a multiple of the patches' 16.
        family: "VideoMAE" or "Timesformer".
        folder: A model to start from, made for this T and S.
        sizes: Of the configuration, such as `hidden_size`; the base model's where left out.

    Raises:
        EquimeError: Another shape than the network can take, or than the folder's was made for.
    """
    transformers = need("transformers", extra=EXTRA)
    config, model = (getattr(transformers, f"{family}{part}") for part in ("Config", "ForVideoClassification"))
    colours, frames, height, width = shape
    if colours != 3 or height != width:
        raise EquimeError(f"expected square frames in colour (3, T, S, S), got {tuple(shape)}")
    sizes = {"num_frames": frames, "image_size": width, "num_labels": classes} | sizes
    if folder is None:
        return Logits(model(config(**sizes)))
    checkpoint = weights.local(folder, Layout(EXTRA, FAMILIES[family]))
    with reading(checkpoint, extra=EXTRA, levers=weights.LEVERS), quiet():
        found = config.from_pretrained(checkpoint.folder)
        _require(found, config.model_type, sizes, str(checkpoint.folder))
        network, report = model.from_pretrained(
            checkpoint.folder,
            num_labels=classes,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    unread = [*report["missing_keys"], *(key[0] for key in report["mismatched_keys"])]
    absent = sorted(name for name in unread if not name.startswith(LAST))
    if absent:
        raise EquimeError(f"the model in {checkpoint.folder} does not fit: {absent[0]}; {checkpoint.remedy}")
    return Logits(network)


def _require(found: Any, family: str, sizes: dict[str, Any], folder: str) -> None:
    """Refuse a folder's model that is another, or made for other clips: it would start from random positions."""
    if found.model_type != family:
        raise EquimeError(f"expected a {family} model in {folder}, got {found.model_type!r}")
    if (found.num_frames, found.image_size) != (sizes["num_frames"], sizes["image_size"]):
        raise EquimeError(
            f"the model in {folder} takes {found.num_frames} frames of {found.image_size} pixels,"
            f" got {sizes['num_frames']} of {sizes['image_size']}: extract frames of its size"
        )
