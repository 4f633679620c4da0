"""A network by its name, for the shape of its input, the same each time for one seed.

    network = build("ststnet", classes=5, shape=(3, 28, 28), seed=0)
    network(torch.zeros(2, 3, 28, 28))                   # (2, 5) logits

Nothing is ever downloaded: `pretrained` is a folder on this disk with weights in safetensors, and what it has to hold
is said by `equime.recognise.models.weights`.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from equime.checkpoints import first_sentence
from equime.errors import EquimeError
from equime.optional import need
from equime.recognise.models import weights
from equime.recognise.models.kinds import KINDS as KINDS
from equime.recognise.models.kinds import Kind as Kind
from equime.recognise.models.kinds import kind as kind

EXTRA = "recognise"


def build(name: str, classes: int, shape: Sequence[int], pretrained: str | Path | None = None, seed: int = 0) -> Any:
    """A network that takes float32 (N, *shape) and gives logits (N, classes).

    Args:
        name: Of `KINDS`, or "timm/" and a name of timm's.
        classes: At least 2.
        shape: Of one sample: (C, H, W) of an image, (C, T, H, W) of a clip, (n,) of numbers.
        pretrained: A folder of weights to start from; the last layer may have other classes.
        seed: Decides every weight that is not read. The caller's random state is left alone.

    Returns:
        A `torch.nn.Module` on the CPU in training mode. Input of another shape or type raises `EquimeError`.

    Raises:
        EquimeError: An unknown name, a shape the network cannot take, weights of another network.
        MissingPackageError: torch, or the network's own library, is not installed.
    """
    this, shape = kind(name), tuple(shape)
    if classes < 2:
        raise EquimeError(f"expected at least 2 classes, got {classes = }")
    if len(shape) != len(this.shape) or min(shape) < 1:
        raise EquimeError(f"{name} takes {this.said}, got {shape = }")
    torch = need("torch", extra=EXTRA)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = _made(this, name, classes, shape, pretrained)
    network.register_forward_pre_hook(partial(_expect, name, shape))
    return network.train()


def _made(this: Kind, name: str, classes: int, shape: tuple[int, ...], pretrained: str | Path | None) -> Any:
    module, _, function = this.made_by.partition(":")
    make = partial(getattr(importlib.import_module(f"equime.recognise.models.{module}"), function), **this.options)
    try:
        if pretrained is None:
            return make(classes, shape)
        if "folder" in inspect.signature(make).parameters and not weights.trained_here(pretrained):
            return make(classes, shape, folder=pretrained)  # as another library wrote it: the function knows how
        network = make(classes, shape)
        weights.read(network, pretrained)
        return network
    except EquimeError:
        raise
    except (RuntimeError, ValueError, AssertionError, ZeroDivisionError) as error:  # too small for the layers
        why = first_sentence(error)
        raise EquimeError(f"{name} cannot take {shape = } ({why}); it is made for {this.shape}") from error


def _expect(name: str, shape: tuple[int, ...], network: Any, given: tuple[Any, ...]) -> None:
    """Refuse what the network was not built for: broadcasting or a flattening could let it pass in silence."""
    x = given[0]
    if tuple(x.shape[1:]) != shape or not x.is_floating_point():
        sides = ", ".join(map(str, shape))
        raise EquimeError(f"expected float32 (N, {sides}) for this {name}, got {x.dtype} {tuple(x.shape)}")
