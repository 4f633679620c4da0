"""Where a training stands, on disk: weights, optimiser, random numbers and history in one safetensors file.

Why not `torch.save`: a pickle runs what it holds. Why all of it: a training that goes on after a crash must end at the
weights that an unbroken one ends at, to the last bit.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from equime.errors import EquimeError

KEY: Final = "equime"


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        epoch: Epochs done.
        history: One dict an epoch: loss, and the score of the inner subjects where there are some.
        best: The best inner score so far.
        best_epoch: When it was; 0 before the first.
        kept: The weights of then, on the CPU.
    """

    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best: float = -1.0
    best_epoch: int = 0
    kept: dict[str, Tensor] = field(default_factory=dict)


def write(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Tensors and what they are, written to a temporary name and renamed: a file is whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        plain = {name: tensor.detach().to("cpu").contiguous().clone() for name, tensor in tensors.items()}
        save_file(plain, temporary, metadata={KEY: json.dumps(facts)})
        os.replace(temporary, path)
    except SafetensorError as error:  # its way to say that the disk is full
        raise OSError(f"{path.name} ({error})") from error
    finally:
        temporary.unlink(missing_ok=True)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `write` wrote.

    Raises:
        EquimeError: No such file, or it is damaged or somebody else's.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})[KEY])
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise EquimeError(f"no weights of this package in {path}: {type(error).__name__}; train again") from error


def facts_of(path: Path) -> dict[str, Any]:
    """What `write` was told of the tensors, without reading them; empty for a file that it did not write.

    Raises:
        EquimeError: It is no safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            found = json.loads((file.metadata() or {}).get(KEY, "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise EquimeError(f"{path} does not read: {type(error).__name__}; fetch it again") from error
    return found if isinstance(found, dict) else {}


def save(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress, order: Tensor) -> None:
    """Keep a training: `order` is the state of the generator that shuffles."""
    moments, scalars = _taken_apart(optimizer.state_dict())
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"kept.{name}": value for name, value in progress.kept.items()}
    tensors |= moments | {"order": order, "random": torch.get_rng_state()}
    if (device := _device(model)).type == "cuda":
        tensors["random_cuda"] = torch.cuda.get_rng_state(device)
    facts = {"epoch": progress.epoch, "history": progress.history, "optimizer": scalars}
    write(path, tensors, facts | {"best": progress.best, "best_epoch": progress.best_epoch})


def restore(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, order: torch.Generator) -> Progress:
    """Go on where `save` was called."""
    tensors, facts = read(path)
    model.load_state_dict(_under("model.", tensors))
    optimizer.load_state_dict(_put_together(_under("optimizer.", tensors), facts["optimizer"]))
    order.set_state(tensors["order"])
    torch.set_rng_state(tensors["random"])
    if "random_cuda" in tensors and (device := _device(model)).type == "cuda":
        torch.cuda.set_rng_state(tensors["random_cuda"], device)
    kept = _under("kept.", tensors)
    return Progress(facts["epoch"], facts["history"], facts["best"], facts["best_epoch"], kept)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _taken_apart(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimiser's state as tensors by name, and what else it holds."""
    tensors, scalars = {}, {}
    for number, moments in state["state"].items():
        for name, value in moments.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{number}.{name}"] = value
            else:
                scalars[f"{number}.{name}"] = value
    return tensors, {"scalars": scalars, "groups": state["param_groups"]}


def _put_together(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> dict[str, Any]:
    state: dict[int, dict[str, Any]] = {}
    for place, value in (*tensors.items(), *facts["scalars"].items()):
        number, name = place.split(".", 1)
        state.setdefault(int(number), {})[name] = value
    return {"state": state, "param_groups": facts["groups"]}
