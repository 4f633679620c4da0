"""The stages by name. Builders are leaves: nobody imports them, they are loaded when a name is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from equime.errors import EquimeError

STAGES: Mapping[str, str] = MappingProxyType(
    {
        "generate": "equime.builders.generate:Generate",
        "caption": "equime.builders.caption:Caption",
        "tag": "equime.builders.tag:Tag",
        "score": "equime.builders.score:Score",
    }
)
"""Name -> module and class."""

HELP: Mapping[str, str] = MappingProxyType(
    {
        "generate": "the plan -> clips",
        "caption": "the plan, or what a model sees -> captions",
        "tag": "clips -> how their faces are perceived",
        "score": "clips -> fidelity, validity, and whether they are accepted",
    }
)
"""Name -> what it makes of what, in one line."""


def stage_class(name: str) -> Any:
    """The dataclass of a stage.

    Raises:
        EquimeError: No stage of that name.
    """
    if name not in STAGES:
        raise EquimeError(f"unknown stage {name!r}: expected one of {list(STAGES)}")
    return load(STAGES[name])


def load(where: str) -> Any:
    """The class at "module:name"."""
    module, _, attribute = where.partition(":")
    return getattr(importlib.import_module(module), attribute)
