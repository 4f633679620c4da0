"""A table from anybody's file: CSV (comma, semicolon, tab) or Parquet, with one line for whatever is wrong with it.

A CSV is UTF-8, or UTF-16 with a mark at its begin, and may name its separator as Excel does ("sep=;").

    table = read_table(Path("answers.csv"))       # every column of a CSV is text; nothing written is null

Column names are read in lower case, without blanks around them.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from equime.errors import EquimeError
from equime.one_line import one_line

SUFFIXES = (".csv", ".tsv", ".parquet")


def read_table(path: Path) -> pa.Table:
    """The rows of a file.

    Raises:
        EquimeError: No such file, neither CSV nor Parquet, no rows, a column twice, or a row of another length.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise EquimeError(f"expected a file whose name ends in one of {', '.join(SUFFIXES)}, got {str(path)!r}")
    table = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    names = [name.strip().lower() for name in table.column_names]
    if twice := {name for name in names if names.count(name) > 1}:
        raise EquimeError(f"{path}: expected each column once, got {sorted(twice)} more often; rename one")
    if not len(table):
        raise EquimeError(f"{path} has no rows: expected at least one")
    return table.rename_columns(names)


def require(table: pa.Table, names: Sequence[str], where: object) -> None:
    """Refuse a table that lacks a column.

    Raises:
        EquimeError: It does; says which columns there are.
    """
    if missing := [name for name in names if name not in table.column_names]:
        raise EquimeError(f"{where}: expected the column {missing[0]!r}, got {', '.join(table.column_names)}")


def as_text(table: pa.Table, name: str, where: object) -> pa.ChunkedArray:
    """A column as text, which may hold numbers.

    Raises:
        EquimeError: It holds lists, structs or the like.
    """
    try:
        return table[name].cast(pa.string())
    except pa.ArrowException:
        kind = one_line(table.schema.field(name).type)
        raise EquimeError(f"{where}: expected text or numbers in the column {name!r}, got {kind}") from None


def _parquet(path: Path) -> pa.Table:
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            return _plain(file.read(use_threads=False))
    except (OSError, pa.ArrowException) as error:
        raise EquimeError(f"cannot read {path} as Parquet: {one_line(error)}") from error


def _plain(table: pa.Table) -> pa.Table:
    """Text as plain text, whatever kind of text it was: pandas writes categories and large strings."""
    for place, field in enumerate(table.schema):
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        kind = pa.string() if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) else kind
        if kind != field.type:
            table = table.set_column(place, field.name, table[field.name].cast(kind))
    return table


def _csv(path: Path) -> pa.Table:
    try:
        separator, text = _separated(path.read_bytes())
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        names, *lines = [line for line in reader if any(value.strip() for value in line)] or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EquimeError(f"cannot read {path} as CSV: {one_line(error)}; save it as CSV in UTF-8") from error
    for number, line in enumerate(lines, start=2):
        if len(line) != len(names):
            raise EquimeError(f"{path}, row {number}: expected {len(names)} values, got {len(line)}")
    values = [[value.strip() or None for value in column] for column in zip(*lines, strict=True)]
    return pa.table([pa.array(v, pa.string()) for v in values or [[] for _ in names]], names=names)


def _separated(data: bytes) -> tuple[str, str]:
    """The separator and the text of a CSV."""
    text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    first, _, rest = text.partition("\n")
    if named := re.fullmatch(r"sep=(.)\s*", first.lower()):
        return named[1], rest
    return max(",;\t", key=first.count), text
