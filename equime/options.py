"""A dataclass is the configuration: its fields are the flags, the provenance and the fingerprint.

@dataclass(frozen=True)
class Caption:
    style: Literal["plain", "facs"] = option("plain", help="wording of the captions")
    workers: int = option(1, help="processes", result=False)

add_flags(parser, Caption)                # --style {plain,facs}  --workers N
stage = from_flags(Caption, namespace)
result_fields(stage)                      # {"style": "plain"}: what a mark hashes
"""

from __future__ import annotations

import argparse
import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def option(default: Any, *, help: str, result: bool = True, when: tuple[str, Any] | None = None) -> Any:
    """A dataclass field with its help text.

    Args:
        default: The field's default value.
        help: One line for `--help`.
        result: Whether the value can change what is written. Fields that cannot (workers, device, folders
            whose content is hashed elsewhere) stay out of marks.
        when: (sibling field or property, value): it changes a result only while that sibling has that value.
    """
    return dataclasses.field(default=default, metadata={"help": help, "result": result, "when": when})


def add_flags(parser: argparse.ArgumentParser, cls: type, *, unset: str = "") -> None:
    """Add one flag for every constructor field of a dataclass; `metadata={"flag": False}` leaves one out.

    Args:
        parser: Gets the flags.
        cls: The dataclass.
        unset: Whose values count where a flag is not given ("the model's own"): the flag is None then.
    """
    hints = get_type_hints(cls)
    for field in _fields(cls):
        if not field.metadata.get("flag", True):
            continue
        if _is_nested(field):
            add_flags(parser, hints[field.name], unset=unset)
            continue
        flag = "--" + field.name.replace("_", "-")
        default = _default(field)
        keywords: dict[str, Any] = {"dest": field.name, "required": default is dataclasses.MISSING}
        if not keywords["required"]:
            keywords["default"] = None if unset else default
        action = parser.add_argument(flag, **keywords, **_argument(hints[field.name]))
        action.help = _help(field, unset or default)  # set here: some Pythons' boolean flags add the default again


def path_argument(text: str) -> Path:
    """A path of the command line. An empty one, as of an unset shell variable, would mean this folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError("expected a path, got an empty one")
    return Path(text)


def from_flags(cls: type[T], namespace: argparse.Namespace | Mapping[str, Any]) -> T:
    """Build the dataclass from parsed flags; names the class does not have are left alone."""
    values = namespace if isinstance(namespace, Mapping) else vars(namespace)
    given = {f.name: values[f.name] for f in _fields(cls) if f.name in values}
    hints = get_type_hints(cls)
    given |= {f.name: from_flags(hints[f.name], values) for f in _fields(cls) if _is_nested(f)}
    return cls(**{name: _listed(v) if isinstance(v, list) else v for name, v in given.items()})


def result_fields(instance: Any) -> dict[str, Any]:
    """The fields that can change what a stage writes, as JSON-ready values by name.

    A field with `"when": (sibling, value)` in its metadata counts only while that sibling has that value.
    """
    chosen = (f for f in _fields(type(instance)) if f.metadata.get("result", True) and _counts(f, instance))
    return {f.name: _plain(getattr(instance, f.name)) for f in chosen}


def nested(cls: type[T], *, when: tuple[str, str] | None = None) -> Any:
    """A field that is a dataclass of options itself: its flags stand beside the parent's.

    Args:
        cls: The dataclass; its defaults are the field's.
        when: (sibling field, value): the options change a result only while that sibling has that value.
    """
    return dataclasses.field(default_factory=cls, metadata={"nested": True, "when": when})


def _listed(values: list[Any]) -> tuple[Any, ...]:
    """What a flag of several values was given: `--controls neutral macro` and `--controls neutral,macro` alike."""
    parts = (v.split(",") if isinstance(v, str) else [v] for v in values)
    return tuple(part for several in parts for part in several if part != "")


def _is_nested(field: dataclasses.Field[Any]) -> bool:
    return bool(field.metadata.get("nested", False))


def _counts(field: dataclasses.Field[Any], instance: Any) -> bool:
    sibling, value = field.metadata.get("when") or (field.name, getattr(instance, field.name))
    return bool(getattr(instance, sibling) == value)


def _fields(cls: type) -> list[dataclasses.Field[Any]]:
    return [f for f in dataclasses.fields(cls) if f.init and not f.name.startswith("_")]


def _default(field: dataclasses.Field[Any]) -> Any:
    made = field.default_factory
    return field.default if made is dataclasses.MISSING else made()


def _help(field: dataclasses.Field[Any], default: Any) -> str:
    text = str(field.metadata.get("help", ""))
    shown = " ".join(map(str, default)) if isinstance(default, (tuple, list)) else default
    has_default = shown not in (dataclasses.MISSING, None, "")
    return (f"{text} (default: {shown})" if has_default else text).replace("%", "%%")


def _argument(hint: Any) -> dict[str, Any]:
    """What `argparse` needs to know of a type annotation."""
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(a for a in get_args(hint) if a is not type(None))
    if get_origin(hint) is Literal:
        return {"choices": list(get_args(hint)), "type": type(get_args(hint)[0])}
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if get_origin(hint) is tuple:
        return {"nargs": "+"} | _argument(get_args(hint)[0])
    if hint is Path:
        return {"type": path_argument, "metavar": "PATH"}
    return {"type": hint, "metavar": {int: "N", float: "X"}.get(hint, "TEXT")}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return result_fields(value)
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, typing.Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (tuple, list, frozenset, set)):
        plain = [_plain(v) for v in value]
        return sorted(plain) if isinstance(value, (frozenset, set)) else plain
    return value
