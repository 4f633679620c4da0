"""Logistic regression and a small perceptron: for numbers that hold anything but the expression, and as a floor.

If block sharpness, file sizes or blinks tell the classes apart, a video model can learn them too. These two say so
without a video. They also take any other features, as one long row. Scale the input (`Recipe.standardise`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn


def logistic(classes: int, shape: Sequence[int]) -> nn.Module:
    """Multinomial logistic regression: float32 (N, *shape) -> (N, classes) logits."""
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), classes))


def perceptron(classes: int, shape: Sequence[int], *, width: int = 64, dropout: float = 0.2) -> nn.Module:
    """One hidden layer: float32 (N, *shape) -> (N, classes) logits."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(math.prod(shape), width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, classes)
    )
