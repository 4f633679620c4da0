"""Off-ApexNet: onset-to-apex flow through one small network a direction (Gan et al., 2019, arXiv 1805.08699).

The paper's two streams (u and v, 28x28 each) are 5x5 convolutions of 6 and 16 filters, padded so that only the poolings
shrink: 784 numbers a stream, 1,568 -> 1,024 -> 1,024 -> classes, 2,664,475 parameters for 3 classes. In the form that
MEB compared (arXiv 2211.11425) u and v are two channels of one stream with 3x3 kernels and one hidden layer: 807,909.
A third channel of the flow image (strain) is left unread: neither form had it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from equime.errors import EquimeError
from equime.recognise.models.layers import outputs

HIDDEN = 1024


class OffApexNet(nn.Module):
    """float32 (N, C, H, W), whose first two channels are u and v -> (N, classes) logits."""

    def __init__(self, streams: Sequence[nn.Module], channels: int, classifier: nn.Module) -> None:
        super().__init__()
        self.streams = nn.ModuleList(streams)
        self.channels = channels
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        parts = x[:, :2].split(self.channels, dim=1)
        return self.classifier(torch.cat([stream(part) for stream, part in zip(self.streams, parts, strict=True)], 1))


def off_apexnet(classes: int, shape: Sequence[int]) -> nn.Module:
    """The paper's form: a stream for each direction."""
    streams = [_stream(1, 5) for _ in "uv"]
    numbers = 2 * outputs(streams[0], (1, *_flow(shape)))
    dense = nn.Sequential(nn.Linear(numbers, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU())
    return OffApexNet(streams, 1, nn.Sequential(dense, nn.Linear(HIDDEN, classes)))


def off_apexnet_meb(classes: int, shape: Sequence[int]) -> nn.Module:
    """MEB's form: both directions in one stream."""
    stream = _stream(2, 3)
    numbers = outputs(stream, (2, *_flow(shape)))
    return OffApexNet([stream], 2, nn.Sequential(nn.Linear(numbers, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, classes)))


def _flow(shape: Sequence[int]) -> tuple[int, ...]:
    if shape[0] < 2:
        raise EquimeError(f"expected flow images with channels u and v, got {tuple(shape)}")
    return tuple(shape[1:])


def _stream(channels: int, kernel: int) -> nn.Module:
    same = kernel // 2
    return nn.Sequential(
        nn.Conv2d(channels, 6, kernel, padding=same),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, kernel, padding=same),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
    )
