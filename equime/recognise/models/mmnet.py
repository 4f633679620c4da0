"""MMNet: muscle motion from the difference of apex and onset, positions from the onset (Li et al., IJCAI 2022).

arXiv 2201.05297. The main branch is a small residual network on apex - onset whose blocks attend to places, each
block reading the map of the one before (continuous attention); the other turns the onset into 14x14 tokens for a small
transformer, whose output, where things are on this face, is added before the classifier. Left open by the description
and chosen here: the map is the sigmoid of a 7x7 convolution over mean and maximum of the channels and the map before;
tokens are patches of 16x16 through one linear layer; positions are learnt. The paper gives no count.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from equime.errors import EquimeError

PATCH, DIM = 16, 512
WIDTHS = (128, 128, 256, DIM)


class Block(nn.Module):
    """Two convolutions, weighed by place, and a shortcut: (N, C, H, W) -> (N, D, H / stride, W / stride)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.look = nn.Conv2d(3, 1, 7, padding=3)
        self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Features, and where the block looked: (N, 1, H, W) in (0, 1), from where the one before did."""
        made = self.layers(x)
        before = functional.adaptive_avg_pool2d(seen, made.shape[2:])
        here = self.look(torch.cat([made.mean(1, keepdim=True), made.amax(1, keepdim=True), before], 1)).sigmoid()
        return functional.relu(made * here + self.shortcut(x)), here


class Positions(nn.Module):
    """An onset frame as a map of what is where: (N, 3, S, S) -> (N, 512, S / 16, S / 16)."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, DIM, PATCH, stride=PATCH)
        self.places = nn.Parameter(torch.zeros(1, tokens * tokens, DIM))
        nn.init.trunc_normal_(self.places, std=0.02)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(DIM, 4, 2 * DIM, 0.1, "gelu", batch_first=True, norm_first=True)
            for _ in range(2)
        )

    def forward(self, onset: Tensor) -> Tensor:
        """The map."""
        grid = self.embed(onset)
        tokens = grid.flatten(2).transpose(1, 2) + self.places
        for layer in self.layers:
            tokens = layer(tokens)
        return tokens.transpose(1, 2).unflatten(2, grid.shape[2:])


class MMNet(nn.Module):
    """float32 (N, 3, 2, S, S), onset and apex -> (N, classes) logits."""

    def __init__(self, classes: int, size: int) -> None:
        super().__init__()
        tokens = size // PATCH
        self.stem = nn.Sequential(  # 180 filters in 2 groups, so each sees half of the six difference channels
            nn.Conv2d(6, 180, 3, stride=2, padding=1, groups=2, bias=False), nn.BatchNorm2d(180), nn.ReLU()
        )
        strides = (1, 2, 2, 2)
        before = (180, *WIDTHS[:-1])
        self.blocks = nn.ModuleList(Block(*block) for block in zip(before, WIDTHS, strides, strict=True))
        self.positions = Positions(tokens)
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(DIM * tokens * tokens, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        onset, change = x[:, :, 0], x[:, :, 1] - x[:, :, 0]
        features = self.stem(torch.cat([change.relu(), (-change).relu()], 1))
        seen = torch.ones_like(features[:, :1])
        for block in self.blocks:
            features, seen = block(features, seen)
        return self.classifier(self.dropout((features + self.positions(onset)).flatten(1)))


def mmnet(classes: int, shape: Sequence[int]) -> nn.Module:
    """The network for clips of two frames (3, 2, S, S), onset and apex, S a multiple of 16.

    Raises:
        EquimeError: Other clips.
    """
    colours, frames, height, width = shape
    if (colours, frames) != (3, 2) or height != width or width % PATCH:
        raise EquimeError(
            f"expected onset and apex in colour (3, 2, S, S), S a multiple of {PATCH}, got {tuple(shape)}"
        )
    return MMNet(classes, width)
