"""The four networks of the published EquiME, as they ran and as they should have.

Their clips went in as (1, H, W, T) to layers that read (depth, height, width, channels): time became the channels of a
convolution of depth 1, so that no filter ever moved through time. `as_run=True` is that network, behind the same input
float32 (N, C, T, H, W) as the other, which convolves over time. The layers are equal but for this; poolings of a depth
of 1 keep it. Kernels are 3x3x3 and padded where the description gives none: so `original` as it ran has 4,277,795
parameters for 3 classes and (1, 96, 64, 64). The fourth is in `mobilenet`.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from equime.errors import EquimeError
from equime.recognise.models.layers import Residual, outputs


class TimeAsChannels(nn.Module):
    """float32 (N, 1, T, H, W) -> (N, T, 1, H, W): the mistake, as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        """Time and channels, swapped."""
        return x.transpose(1, 2)


def original(classes: int, shape: Sequence[int], *, as_run: bool = False) -> nn.Module:
    """Conv3D 32, pool, dropout .5, dense 128, dropout .5: (N, C, T, H, W) -> (N, classes) logits."""
    return _plain(classes, shape, filters=32, width=128, dropout=0.5, as_run=as_run)


def simple3dcnn(classes: int, shape: Sequence[int], *, as_run: bool = False) -> nn.Module:
    """Conv3D 16, pool, dropout .3, dense 64, dropout .3: (N, C, T, H, W) -> (N, classes) logits."""
    return _plain(classes, shape, filters=16, width=64, dropout=0.3, as_run=as_run)


def resnet3d(classes: int, shape: Sequence[int], *, as_run: bool = False) -> nn.Module:
    """A small residual network, 7x7x7 stem and six blocks: (N, C, T, H, W) -> (N, classes) logits."""
    first, channels = _first(shape, as_run)
    stem = [nn.Conv3d(channels, 64, 7, stride=2, padding=3), nn.BatchNorm3d(64), nn.ReLU()]
    blocks = [(64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1)]
    return nn.Sequential(
        first,
        *stem,
        nn.MaxPool3d(3, stride=2, padding=1),
        *(_block(*block) for block in blocks),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(256, classes),
    )


def _plain(classes: int, shape: Sequence[int], *, filters: int, width: int, dropout: float, as_run: bool) -> nn.Module:
    first, channels = _first(shape, as_run)
    pool = nn.MaxPool3d((1, 2, 2) if as_run else 2)
    features = nn.Sequential(first, nn.Conv3d(channels, filters, 3, padding=1), nn.ReLU(), pool, nn.Dropout(dropout))
    numbers = outputs(pool, (filters, 1, *shape[2:]) if as_run else (filters, *shape[1:]))
    return nn.Sequential(
        features, nn.Flatten(), nn.Linear(numbers, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, classes)
    )


def _first(shape: Sequence[int], as_run: bool) -> tuple[nn.Module, int]:
    """The layer before the first convolution, and the channels of that convolution."""
    if as_run and shape[0] != 1:
        raise EquimeError(f"expected grey frames (1, T, H, W) of what takes time as channels, got {tuple(shape)}")
    return (TimeAsChannels(), shape[1]) if as_run else (nn.Identity(), shape[0])


def _block(before: int, after: int, stride: int) -> nn.Module:
    inner = nn.Sequential(
        nn.Conv3d(before, after, 3, stride=stride, padding=1),
        nn.BatchNorm3d(after),
        nn.ReLU(),
        nn.Conv3d(after, after, 3, padding=1),
        nn.BatchNorm3d(after),
    )
    if (before, stride) == (after, 1):
        return Residual(inner, after=nn.ReLU())
    return Residual(inner, nn.Sequential(nn.Conv3d(before, after, 1, stride=stride), nn.BatchNorm3d(after)), nn.ReLU())
