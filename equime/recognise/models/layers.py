"""What several networks are put together from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """What comes in, plus what its layers make of it.

    Args:
        inner: Takes (N, C, ...).
        shortcut: Brings the input to the same shape; nothing where it has it.
        after: Applied to the sum.
    """

    def __init__(self, inner: nn.Module, shortcut: nn.Module | None = None, after: nn.Module | None = None) -> None:
        super().__init__()
        self.inner = inner
        self.shortcut = shortcut or nn.Identity()
        self.after = after or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) -> the shape that `inner` gives."""
        return self.after(self.shortcut(x) + self.inner(x))


def outputs(layers: nn.Module, shape: Sequence[int]) -> int:
    """How many numbers a sample becomes, by trying.

    Args:
        layers: Take (N, *shape).
        shape: Of one sample.

    Raises:
        RuntimeError: The sample is too small for the layers.
    """
    trained = layers.training
    with torch.no_grad():
        made: Tensor = layers.eval()(torch.zeros(1, *shape))
    layers.train(trained)
    return int(made.numel())
