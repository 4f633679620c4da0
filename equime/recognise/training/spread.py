r"""Who trains one network: one process, or all those of `accelerate launch`; in full or mixed precision.

accelerate launch --num_processes 4 -m equime train --data ws --model r3d_18 --out runs/x

Each process takes its share of every batch. They hold the same weights and decide by the same numbers; only the first
one writes, and the others wait for it where they need what it wrote.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from equime.checkpoints import first_sentence
from equime.errors import EquimeError
from equime.optional import need

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer


def processes() -> int:
    """How many train one network together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the process that writes."""
    return int(os.environ.get("RANK", "0")) == 0


@contextlib.contextmanager
def first_goes_first(device: str) -> Iterator[None]:
    """The block runs in the first process, then in the others."""
    if processes() == 1:
        yield
        return
    with _state(device).main_process_first():
        yield


def wait(device: str) -> None:
    """Until every process is here."""
    if processes() > 1:
        _state(device).wait_for_everyone()


def _state(device: str) -> Any:
    return need("accelerate", extra="recognise").PartialState(cpu=device == "cpu")


class Spread:
    """How one training uses its device.

    Args:
        precision: "no", "fp16", "bf16".
        device: "cpu", "cuda" or "cuda:N"; under `accelerate launch` each process has a GPU of its own.

    Raises:
        EquimeError: This device cannot train in that precision.
    """

    def __init__(self, precision: str, device: str) -> None:
        import torch

        self.accelerator: Any = None
        if precision != "no" or processes() > 1:
            if device.startswith("cuda:") and processes() == 1:
                torch.cuda.set_device(device)  # which accelerate takes without asking
            accelerate = need("accelerate", extra="recognise")
            try:
                if (precision, device) == ("fp16", "cpu"):
                    raise ValueError("its gradients vanish there")
                self.accelerator = accelerate.Accelerator(mixed_precision=precision, cpu=device == "cpu")
            except ValueError as error:
                raise EquimeError(
                    f"no precision {precision} on {device}: {first_sentence(error)}; use --precision no"
                ) from error
        self.device = self.accelerator.device if self.accelerator else torch.device(device)

    def prepare(self, network: nn.Module, optimizer: Optimizer) -> tuple[nn.Module, Optimizer]:
        """Both, on the device and ready for several processes."""
        if self.accelerator is None:
            network.to(self.device)
            return network, optimizer
        prepared: tuple[nn.Module, Optimizer] = self.accelerator.prepare(network, optimizer)
        return prepared

    def bare(self, network: nn.Module, *, final: bool = False) -> nn.Module:
        """The network itself; `final` also ends its mixed precision, so that it answers as a loaded one does."""
        if self.accelerator is None:
            return network
        bare: nn.Module = self.accelerator.unwrap_model(network, keep_fp32_wrapper=not final)
        return bare

    def share(self, batch: Any) -> tuple[Any, float]:
        """This process's part of a batch, and how much its loss counts in the sum over processes.

        A batch too small to give every process two samples, which batch norm needs, is taken whole by each.
        """
        many = processes()
        if len(batch) < 2 * many:
            return batch, 1 / many
        return np.array_split(batch, many)[self.accelerator.process_index if many > 1 else 0], 1.0

    def autocast(self) -> Any:
        """The context of the forward pass."""
        return self.accelerator.autocast() if self.accelerator else contextlib.nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Gradients of the sum of the processes' losses."""
        if self.accelerator is None:
            loss.backward()
        else:
            self.accelerator.backward(loss * processes())  # gradients are averaged over processes

    def summed(self, value: Tensor) -> float:
        """The sum over processes."""
        return float(self.accelerator.reduce(value, "sum") if processes() > 1 else value)

    def agreed(self, value: float) -> float:
        """The first process's value: what all decide by."""
        if processes() == 1:
            return value
        import torch

        broadcast = need("accelerate.utils", extra="recognise").broadcast
        return float(broadcast(torch.tensor(value, dtype=torch.float32, device=self.device)))
