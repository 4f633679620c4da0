"""HTNet: three levels of attention inside blocks, joined by convolutions (Wang et al., 2024, arXiv 2307.14637).

As published there is no attention to speak of: a 28x28 image in patches of 7 is a map of 4x4, the first level cuts it
into 4x4 blocks, the next a map of 2x2 into 2x2, the last 1x1 into 1. Every block holds one token, its softmax is over
one number and is 1. All exchange between places is done by the two 3x3 convolutions between the levels. `dense=True`
is the same network on eight overlapping patches a side, so that each block has 2x2 tokens which do attend (28x28:
patches every 3 pixels; 56x56: every 7, without overlap). It has three more positions a level, 9 parameters in all.

The count of 139,582,982 (3 classes) comes out with no normalisation around the patches, head widths rounded down
(256 // 3 = 85), no bias in queries, keys and values, and one learnt number for a place in a block, shared by all blocks
and channels of a level. The published input is a mosaic of four 14x14 flow patches at eyes and lip corners, and the
published scores keep each subject's best epoch on the test; with the whole face's flow this is another experiment.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from equime.errors import EquimeError
from equime.recognise.models.layers import Residual

PATCH = 7
DIMS, HEADS, DEPTHS = (256, 512, 1024), (3, 6, 12), (2, 2, 10)


class Attention(nn.Module):
    """Self-attention of the tokens of one block: (..., tokens, dim) -> the same."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads, self.wide = heads, dim // heads
        self.read = nn.Linear(dim, 3 * heads * self.wide, bias=False)
        self.softmax = nn.Softmax(dim=-1)
        self.write = nn.Linear(heads * self.wide, dim)

    def forward(self, x: Tensor) -> Tensor:
        """What each token takes from all tokens of its block."""
        query, key, value = self.read(x).unflatten(-1, (3, self.heads, self.wide)).movedim(-3, 0).transpose(-2, -3)
        weights = self.softmax(query @ key.transpose(-1, -2) * self.wide**-0.5)
        return self.write((weights @ value).transpose(-2, -3).flatten(-2))


class Level(nn.Module):
    """Transformer layers inside each of blocks x blocks parts of a map: (N, H, W, dim) -> the same."""

    def __init__(self, dim: int, heads: int, depth: int, blocks: int, side: int) -> None:
        super().__init__()
        self.blocks, self.side = blocks, side
        self.places = nn.Parameter(torch.randn(side * side, 1))
        layers = [part for _ in range(depth) for part in (Attention(dim, heads), _mlp(dim))]
        self.layers = nn.Sequential(*(Residual(nn.Sequential(nn.LayerNorm(dim), layer)) for layer in layers))

    def forward(self, x: Tensor) -> Tensor:
        """The map after the layers."""
        cut = x.unflatten(2, (self.blocks, self.side)).unflatten(1, (self.blocks, self.side)).transpose(2, 3)
        tokens = self.layers(cut.flatten(3, 4) + self.places)
        return tokens.unflatten(3, (self.side, self.side)).transpose(2, 3).flatten(3, 4).flatten(1, 2)


class Aggregate(nn.Module):
    """Neighbouring blocks become one: (N, H, W, before) -> (N, H / 2, W / 2, after)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.convolve = nn.Conv2d(before, after, 3, padding=1)
        self.norm = nn.LayerNorm(after)

    def forward(self, x: Tensor) -> Tensor:
        """The smaller map."""
        mixed = self.norm(self.convolve(x.movedim(-1, 1)).movedim(1, -1))
        return functional.max_pool2d(mixed.movedim(-1, 1), 3, stride=2, padding=1).movedim(1, -1)


class Patches(nn.Module):
    """An image as a map of its patches: (N, C, S, S) -> (N, tokens, tokens, dim)."""

    def __init__(self, channels: int, dim: int, stride: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(channels, dim, PATCH, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """The map."""
        return self.embed(x).movedim(1, -1)


class MeanOfPlaces(nn.Module):
    """(N, H, W, dim) -> (N, dim)."""

    def forward(self, x: Tensor) -> Tensor:
        """The mean over the map."""
        return x.mean((1, 2))


def htnet(
    classes: int,
    shape: Sequence[int],
    *,
    dense: bool = False,
    dims: Sequence[int] = DIMS,
    heads: Sequence[int] = HEADS,
    depths: Sequence[int] = DEPTHS,
) -> nn.Module:
    """The network for square flow images: float32 (N, C, S, S) -> (N, classes) logits.

    Args:
        classes: How many.
        shape: (C, S, S) of one sample, S a multiple of 28.
        dense: Whether blocks hold several tokens.
        dims: Width of each level.
        heads: Attention heads of each level.
        depths: Layers of each level.
    """
    channels, height, size = shape
    if height != size or size % 28:
        raise EquimeError(f"expected square flow images of 28 or a multiple for htnet, got {tuple(shape)}")
    stride = (size - PATCH) // 7 if dense else PATCH
    tokens = (size - PATCH) // stride + 1
    blocks = [2 ** (len(dims) - 1 - number) for number in range(len(dims))]
    side = tokens // blocks[0]
    levels = [Level(*level, side) for level in zip(dims, heads, depths, blocks, strict=True)]
    joints = [*(Aggregate(*pair) for pair in pairwise(dims)), nn.LayerNorm(dims[-1])]
    body = [layer for both in zip(levels, joints, strict=True) for layer in both]
    return nn.Sequential(Patches(channels, dims[0], stride), *body, MeanOfPlaces(), nn.Linear(dims[-1], classes))


def _mlp(dim: int) -> nn.Module:
    return nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
