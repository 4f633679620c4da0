"""STSTNet: three shallow streams over one flow image (Liong et al., FG 2019, arXiv 1902.03634).

Each stream is one 3x3 convolution of its own width (3, 5, 8 filters), and nothing passes between filters before the
last layer: side by side the streams are one convolution of 16 filters, which is how they are computed. With padding 2 a
28x28 image becomes 30x30, by max pooling (3, stride 3, padding 1) 10x10, by average pooling 5x5: 400 numbers, 1,683
parameters for 3 classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from equime.recognise.models.layers import outputs

WIDTHS = (3, 5, 8)


class STSTNet(nn.Module):
    """float32 (N, C, H, W) flow images -> (N, classes) logits."""

    def __init__(self, classes: int, shape: Sequence[int]) -> None:
        super().__init__()
        self.streams = nn.Sequential(
            nn.Conv2d(shape[0], sum(WIDTHS), 3, padding=2),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(sum(WIDTHS)),
            nn.MaxPool2d(3, stride=3, padding=1),
            _Halved(),
            nn.AvgPool2d(2),
        )
        self.classifier = nn.Linear(outputs(self.streams, shape), classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        # Pooling and batch norm run twice as fast over filters that lie side by side.
        found: Tensor = self.classifier(self.streams(x.contiguous(memory_format=torch.channels_last)).flatten(1))
        return found


class _Halved(nn.Module):
    """Dropout of one half; coins in place of numbers between 0 and 1 take a third of the time."""

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return x * torch.randint_like(x, 2).mul_(2) if self.training else x


def ststnet(classes: int, shape: Sequence[int]) -> nn.Module:
    """The network for flow images (C, H, W)."""
    return STSTNet(classes, shape)
