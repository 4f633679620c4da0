"""A stage's options, out of a workspace and back: without the folders of the machine, and checked when read.

    nameless({"ltx": {"model": "/home/ada/models/ltx"}})      # {"ltx": {"model": "ltx"}}
    stage_of(footer, faces=Path("faces"))                     # the stage as it was recorded

What comes back was written by somebody else: each value must be of its option's type, and no text of it a path that
leaves the folder it would be taken from.
"""

from __future__ import annotations

import dataclasses
import os
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from equime.errors import EquimeError
from equime.footer import Footer
from equime.stages import stage_class


def nameless(value: Any) -> Any:
    """An option's value, of paths their last part only: whose machine it was is nobody's business."""
    if isinstance(value, Mapping):
        return {name: nameless(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [nameless(each) for each in value]
    return os.path.basename(value.rstrip("/")) if isinstance(value, str) and _is_path(value) else value


def _is_path(text: str) -> bool:
    """Whether a text leads somewhere else on a machine: from its root, its home, or upwards."""
    return os.path.isabs(text) or text.startswith(("~", "./")) or ".." in text.split("/")


def stage_of(how: Footer, **here: Any) -> Any:
    """The stage that a footer tells of.

    Args:
        how: Its name, version, fields and models.
        here: Fields of this machine, which change no result.

    Raises:
        EquimeError: Another version of the stage, or fields that it does not have.
    """
    stage = stage_class(how.stage)
    if how.version != stage.version:
        package = how.packages.get("equime", "another version")
        raise EquimeError(
            f"made by version {how.version} of {how.stage}, and this is version {stage.version}: "
            f"install the package that made it (equime {package})"
        )
    return dataclasses.replace(_restored(stage, _pinned(how), how.stage), **here)


def _pinned(how: Footer) -> dict[str, Any]:
    """The fields, with the commit of a model of the Hub that was recorded as its newest."""
    return {name: _at_commit(value, how.models) for name, value in how.fields.items()}


def _at_commit(value: Any, models: Mapping[str, str]) -> Any:
    if not isinstance(value, Mapping) or value.get("revision", "") is not None or "/" not in str(value.get("model")):
        return value
    return {**value, "revision": models.get(str(value["model"]))}


def _restored(cls: type, values: Mapping[str, Any], name: str) -> Any:
    hints = get_type_hints(cls)
    known = {field.name for field in dataclasses.fields(cls) if field.init}
    if unknown := sorted(set(values) - known):
        raise EquimeError(f"made with options of {name} that this version does not know: {unknown}; update equime")
    return cls(**{field: _value(hints[field], value, f"{name}.{field}") for field, value in values.items()})


def _value(hint: Any, value: Any, name: str) -> Any:
    if isinstance(hint, type) and dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return _restored(hint, value, name)
    value = tuple(value) if isinstance(value, list) else value
    if not _fits(hint, value):
        raise EquimeError(f"expected a value of {name} as this package writes it, got {value!r}: the record is damaged")
    return value


def _fits(hint: Any, value: Any) -> bool:
    kind, arguments = get_origin(hint), get_args(hint)
    if kind in (Union, types.UnionType):
        return any(_fits(each, value) for each in arguments)
    if kind is Literal:
        return value in arguments
    if kind is tuple:
        return isinstance(value, tuple) and all(_fits(arguments[0], each) for each in value)
    if hint is float:
        return type(value) in (int, float)
    if hint is str:
        return type(value) is str and not _is_path(value)
    return type(value) is hint
