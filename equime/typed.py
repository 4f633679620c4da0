"""Values out of JSON as the dataclasses they were written from, every type checked.

Why: a file that others can write is read here before anything is done by it; a number that is a string must be one
line at the door and not a traceback three rooms further on.

    built(Manifest, json.loads(text))
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def built(cls: type[T], value: Any, where: str = "") -> T:
    """A dataclass or NamedTuple of JSON-ready values, and what is nested in it.

    Args:
        cls: Its fields may be str, int, float, bool, None, Any, Literal, unions, Mapping[str, ...], tuple[..., ...] and
            classes of the same kind.
        value: A mapping by the names of its fields; those with a default may be absent.
        where: What to call it in messages.

    Raises:
        ValueError: A value of another type, a field too few or too many: which.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{where or cls.__name__}: expected fields by name, got {_said(value)}")
    hints = get_type_hints(cls)
    names = _names(cls)
    if unknown := sorted(set(value) - set(names)):
        raise ValueError(f"{where or cls.__name__}: unknown field {unknown[0]!r}")
    if missing := [name for name, needed in names.items() if needed and name not in value]:
        raise ValueError(f"{where or cls.__name__}: no field {missing[0]!r}")
    return cls(**{name: _checked(hints[name], each, f"{where}.{name}".lstrip(".")) for name, each in value.items()})


def _names(cls: type) -> dict[str, bool]:
    """Field -> whether it has to be there."""
    if dataclasses.is_dataclass(cls):
        absent = dataclasses.MISSING
        return {f.name: f.default is absent and f.default_factory is absent for f in dataclasses.fields(cls) if f.init}
    fields: tuple[str, ...] = getattr(cls, "_fields")  # noqa: B009 - of a NamedTuple
    defaults: Mapping[str, Any] = getattr(cls, "_field_defaults")  # noqa: B009
    return {name: name not in defaults for name in fields}


def _checked(hint: Any, value: Any, where: str) -> Any:
    kind, arguments = get_origin(hint), get_args(hint)
    if kind in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _checked(next(each for each in arguments if each is not type(None)), value, where)
    if kind is tuple and isinstance(value, (list, tuple)):
        return tuple(_checked(arguments[0], each, f"{where}[{place}]") for place, each in enumerate(value))
    if isinstance(kind, type) and issubclass(kind, Mapping) and isinstance(value, Mapping):
        return {key: _checked(arguments[1], each, f"{where}.{key}") for key, each in value.items()}
    if dataclasses.is_dataclass(hint) or hasattr(hint, "_fields"):
        return built(hint, value, where)
    if not _fits(hint, kind, arguments, value):
        raise ValueError(f"{where}: expected {getattr(hint, '__name__', hint)}, got {_said(value)}")
    return value


def _fits(hint: Any, kind: Any, arguments: tuple[Any, ...], value: Any) -> bool:
    if hint is Any:
        return True
    if kind is Literal:
        return value in arguments
    return type(value) in ((int, float) if hint is float else (hint,))


def _said(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
