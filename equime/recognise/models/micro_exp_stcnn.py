"""MicroExpSTCNN: one convolution over space and time (Reddy et al., IJCNN 2019, arXiv 1904.01390).

The kernel is 3x3 in space and 15 in time, unpadded, with grey frames of 64x64: of 96 frames (CAS(ME)2) 44,241,667
parameters for 3 classes, of 18 (SMIC) 1,643,267. Nearly all of them are the first dense layer's. The published
accuracies are of random splits, where the same subjects are trained on and tested.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from equime.recognise.models.layers import outputs


def micro_exp_stcnn(classes: int, shape: Sequence[int]) -> nn.Module:
    """The network for clips of at least 17 frames: float32 (N, C, T, H, W) -> (N, classes) logits."""
    features = nn.Sequential(
        nn.Conv3d(shape[0], 32, (15, 3, 3)), nn.ReLU(), nn.MaxPool3d(3), nn.Dropout(0.5), nn.Flatten()
    )
    hidden = nn.Linear(outputs(features, shape), 128)
    return nn.Sequential(features, hidden, nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, classes))
