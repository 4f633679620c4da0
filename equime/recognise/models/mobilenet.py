"""MobileNetV2 on frames: the published EquiME's one middle frame, and every frame joined over time.

As they ran it, "time-distributed" wording notwithstanding, one frame decided. Here `over_time` also takes the mean or
the last state of a GRU over all frames. For 3 classes 2,422,339 numbers as they ran, of which 34,112 are the running
means and variances of batch normalisation: Keras counts them, torch keeps them as buffers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from equime.errors import EquimeError
from equime.optional import need
from equime.recognise.models import weights

WIDE = 1280
FROZEN = 12
"""Stem and eleven blocks: 98 of the 100 Keras layers that were frozen, the other two being half a block."""


class MobileNet(nn.Module):
    """float32 (N, 3, T, H, W) -> (N, classes) logits."""

    def __init__(self, backbone: nn.Module, classes: int, over_time: Literal["middle", "mean", "gru"]) -> None:
        super().__init__()
        self.backbone = backbone
        self.over_time = over_time
        self.frozen = 0
        self.gru = nn.GRU(WIDE, 128, batch_first=True) if over_time == "gru" else None
        wide = 128 if self.gru else WIDE
        dense = nn.Sequential(nn.Dropout(0.5), nn.Linear(wide, 128), nn.ReLU(), nn.Dropout(0.5))
        self.classifier = nn.Sequential(dense, nn.Linear(128, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        frames = x.transpose(1, 2)
        if self.over_time == "middle":
            frames = frames[:, x.shape[2] // 2 :][:, :1]
        each = self.backbone(frames.flatten(0, 1)).mean((2, 3)).unflatten(0, frames.shape[:2])
        return self.classifier(each.mean(1) if self.gru is None else self.gru(each)[0][:, -1])

    def freeze(self, blocks: int) -> None:
        """Keep the weights and running means of the first blocks while the rest is trained."""
        self.frozen = blocks
        self.backbone[:blocks].requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> MobileNet:
        """Training mode for all that is not frozen."""
        super().train(mode)
        self.backbone[: self.frozen].eval()
        return self


def mobilenet(
    classes: int,
    shape: Sequence[int],
    *,
    over_time: Literal["middle", "mean", "gru"] = "mean",
    folder: str | Path | None = None,
) -> nn.Module:
    """MobileNetV2 a frame, then dropout .5, dense 128, dropout .5.

    Args:
        classes: How many.
        shape: (3, T, H, W) of one sample.
        over_time: What becomes of the frames: the middle one alone, the mean, a GRU's last state.
        folder: Weights to start from, torchvision's mobilenet_v2 in safetensors. The first `FROZEN` blocks then
            keep them, as theirs did.
    """
    if shape[0] != 3:
        raise EquimeError(f"expected frames in colour (3, T, H, W) for mobilenet, got {tuple(shape)}")
    torchvision = need("torchvision", extra="recognise")
    whole = torchvision.models.mobilenet_v2(num_classes=classes)
    if folder is not None:
        weights.read(whole, folder)
    network = MobileNet(whole.features, classes, over_time)
    if folder is not None:
        network.freeze(FROZEN)
    return network
