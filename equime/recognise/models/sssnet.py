"""SSSNet: two convolutions over a flow image of 64x64, as compared in MEB (Varanka et al., arXiv 2211.11425).

Neither convolution is padded (64 -> 60 -> 20 -> 18 -> 9), and each pooling is followed by batch normalisation: that
gives the 5,184 numbers and the 1,349,251 parameters (3 classes). Dropout rates are not given with the count; .5 here.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from equime.recognise.models.layers import outputs


def sssnet(classes: int, shape: Sequence[int]) -> nn.Module:
    """The network for flow images: float32 (N, C, H, W) -> (N, classes) logits."""
    features = nn.Sequential(
        nn.Conv2d(shape[0], 32, 5),
        nn.ReLU(),
        nn.MaxPool2d(3),
        nn.BatchNorm2d(32),
        nn.Dropout(0.5),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(64),
        nn.Dropout(0.5),
        nn.Flatten(),
    )
    hidden = nn.Linear(outputs(features, shape), 256)
    return nn.Sequential(features, hidden, nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, classes))
