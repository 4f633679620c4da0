"""The samples of a training, batch by batch, and memory that is taken from the system once.

Why: a small network is trained in the time that its kernels take only where nothing is done beside them. Samples that
fit are one tensor on the device. Blocks that a step frees stay with the process: by default glibc gives them back, and
the next step faults thousands of pages in again: up to a third of a small network's time.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from equime.recognise.training.data import Training

FITS: Final = 2**30
"""Bytes of samples that are held on the device as one tensor; larger ones are taken from where they lie."""
TRIM, MMAP = -1, -3  # of malloc.h


class Batches:
    """Samples on a device, by positions.

    Args:
        training: The samples; `x` may be memory-mapped.
        device: Where the batches go.
    """

    def __init__(self, training: Training, device: torch.device) -> None:
        self.device, self.y = device, torch.tensor(training.y, device=device)
        self.x: Any = torch.tensor(training.x, device=device) if training.x.nbytes <= FITS else training.x

    def __getitem__(self, positions: Any) -> tuple[Tensor, Tensor]:
        """float32 (n, ...) and int64 (n,) of int64 (n,) positions."""
        at = torch.from_numpy(positions).to(self.device)
        if isinstance(self.x, Tensor):
            return self.x.index_select(0, at), self.y[at]
        return torch.from_numpy(np.ascontiguousarray(self.x[positions])).to(self.device), self.y[at]


def keep_freed_memory() -> None:
    """Let this process keep up to 1 GiB that it freed; nothing happens where the C library is not glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    if mallopt(MMAP, 2**25):  # as high as glibc's own adjustment goes
        mallopt(TRIM, 2**30)
