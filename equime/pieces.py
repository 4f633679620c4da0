"""What every source of clips offers the loader, and what they share.

A *piece* is a part of a split as plain data that travels to another process: many pieces, so that many workers can
share a split. Reading a piece opens what it names and nothing else: columns that are not asked for are not read,
and the bytes of videos least of all. The sources are in `equime.sources`, `equime.hub_layout` and `equime.remote`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from importlib import metadata
from itertools import zip_longest
from typing import Any, Protocol, TypeVar

import pyarrow as pa

from equime import schema
from equime.errors import EquimeError

T = TypeVar("T")
CONFIGS = ("video", "emotion", "metadata")
SHARES = 32
"""Pieces to aim at where a data set is small: as many workers can share it."""


class Source(Protocol):
    """What the loader needs of a place that holds clips."""

    def fingerprint(self) -> str:
        """A digest that changes whenever anything there does."""

    def notice(self) -> str:
        """What a user should know of the data, as one line; mostly empty."""

    def labels(self) -> tuple[str, ...]:
        """The emotions' names: the five, and disgust last where it occurs."""

    def splits(self, config: str) -> dict[str, list[Any]]:
        """Split -> pieces, in order, only splits that hold rows. For "emotion" a split is an emotion."""

    def read(self, piece: Any, columns: Sequence[str]) -> Iterator[pa.Table]:
        """A piece's rows as tables of exactly `columns`, typed as in `schema.CLIPS`."""


def require_config(config: str) -> None:
    """Raise on an unknown configuration."""
    if config not in CONFIGS:
        raise EquimeError(f"unknown config {config!r}: expected one of {list(CONFIGS)}")


def is_folder(where: str | os.PathLike[str]) -> bool:
    """Whether there is such a folder here."""
    return os.path.isdir(os.path.expanduser(where))


def columns_of(config: str) -> list[str]:
    """The columns of a configuration."""
    return list(schema.METADATA.names if config == "metadata" else schema.CLIPS.names)


def package_version() -> str:
    """This package's version; of a checkout that nobody installed, a word that says so."""
    try:
        return metadata.version("equime")
    except metadata.PackageNotFoundError:
        return "0+checkout"


def short_hash(*parts: str) -> str:
    """A digest of 32 hexadecimal digits, short enough for a folder's name."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def typed(columns: Sequence[str]) -> pa.Schema:
    """The contract's fields of these columns, in their order.

    Raises:
        EquimeError: An unknown column.
    """
    fields = {field.name: field for field in schema.CLIPS}
    if unknown := [name for name in columns if name not in fields]:
        raise EquimeError(f"unknown columns {unknown}: expected some of {list(fields)}")
    return pa.schema([fields[name] for name in columns])


def in_turn(lists: Sequence[Sequence[T]]) -> list[T]:
    """The first of every list, then the second of every list, and so on until all are used up."""
    nothing = object()
    rounds = zip_longest(*lists, fillvalue=nothing)
    return [item for each in rounds for item in each if item is not nothing]  # type: ignore[misc]


def runs(items: Sequence[T], size: int) -> list[tuple[T, ...]]:
    """`items` cut into tuples of `size`, the last one shorter."""
    return [tuple(items[start : start + size]) for start in range(0, len(items), size)]
