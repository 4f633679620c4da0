"""RCN-A: a shallow network with recurrent convolution and attention (Xia et al., TIP 2020, arXiv 2006.09674).

The recurrent part reads once by 1x1 and then applies one 3x3 kernel twice, so that a small network sees a larger
region. Its attention has no parameters: the classifier's weights, which say where each class looks, weigh the features
by place. The description leaves its exact form open; here a place's weight is the sigmoid of its largest class
activation, averaged over the pooled grid. With one batch
normalisation after each of the two parts it has 15,267 parameters for 3 classes and 32 filters.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

GRID = 5


class RecurrentConv(nn.Module):
    """(N, F, H, W) -> the same, one 3x3 kernel applied `times`."""

    def __init__(self, filters: int, times: int = 2) -> None:
        super().__init__()
        self.times = times
        self.read = nn.Conv2d(filters, filters, 1)
        self.again = nn.Conv2d(filters, filters, 3, padding=1)
        self.norm = nn.BatchNorm2d(filters)

    def forward(self, x: Tensor) -> Tensor:
        """The state after the last application."""
        first = state = functional.relu(self.read(x))
        for _ in range(self.times):
            state = functional.relu(first + self.again(state))
        return self.norm(state)


class RcnA(nn.Module):
    """float32 (N, C, H, W) flow images -> (N, classes) logits."""

    def __init__(self, classes: int, channels: int, filters: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, filters, 5, padding=2),
            nn.BatchNorm2d(filters),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Dropout(0.5),
            RecurrentConv(filters),
        )
        self.pool = nn.AdaptiveAvgPool2d(GRID)
        self.classifier = nn.Linear(filters * GRID * GRID, classes)

    def attention(self, pooled: Tensor) -> Tensor:
        """Weight of each place, (N, 1, 5, 5) in (0, 1), of pooled features (N, F, 5, 5)."""
        weights = self.classifier.weight.unflatten(1, pooled.shape[1:])
        return (pooled.unsqueeze(1) * weights).sum(2).amax(1, keepdim=True).sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        pooled = self.pool(self.features(x))
        return self.classifier((pooled * self.attention(pooled)).flatten(1))


def rcn_a(classes: int, shape: Sequence[int], *, filters: int = 32) -> nn.Module:
    """The network for flow images (C, H, W) of at least 10x10."""
    return RcnA(classes, shape[0], filters)
