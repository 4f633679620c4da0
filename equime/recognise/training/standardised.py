"""A network that brings its input to a common scale first: the scale belongs to the weights, not to a script."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn


class Standardised(nn.Module):
    """A network behind `(x - mean) / deviation`, each a number a channel.

    Args:
        network: Takes float32 (N, C, ...).
        x: float32 (n, C, ...) of training samples, whose mean and deviation are taken; None leaves both as 0 and 1,
            to be read from a checkpoint.
        channels: C.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, x: npt.NDArray[Any] | None, channels: int) -> None:
        super().__init__()
        self.network = network
        mean, deviation = np.zeros(channels), np.ones(channels)
        if x is not None:
            # One sample at a time: frames of thousands of clips do not fit twice.
            first, second = np.zeros(channels), np.zeros(channels)
            for sample in x:
                values = sample.reshape(channels, -1).astype(np.float64)
                first += values.mean(1) / len(x)
                second += (values**2).mean(1) / len(x)
            mean, deviation = first, np.sqrt(np.maximum(second - first**2, 0))
            deviation[deviation < 1e-8] = 1
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("deviation", torch.tensor(deviation, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of float32 (N, C, ...)."""
        shape = (1, -1) + (1,) * (x.ndim - 2)
        scaled: Tensor = self.network((x - self.mean.view(shape)) / self.deviation.view(shape))
        return scaled
