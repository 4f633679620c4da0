"""Rows that are kept as they come, so that hours of answers outlive an interruption.

    store = Store(Path("out"), "answers", schema, {"model": "..."})
    done = store.read()                      # what is there already
    store.add(rows); store.close()           # out/answers.parquet

Until it is closed the rows lie in shards of `out/.answers/`, each written whole or not at all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from equime.errors import EquimeError
from equime.table import replacing, writing

KEY: Final = b"equime_answers"


class Store:
    """Rows in a folder.

    Args:
        folder: Made if need be.
        name: Of the file, without its ending.
        schema: Of the rows.
        made_by: What made them, JSON-ready: rows that were made by something else are not gone on with.
    """

    def __init__(self, folder: Path, name: str, schema: pa.Schema, made_by: Mapping[str, Any]) -> None:
        self.path, self.shards = folder / f"{name}.parquet", folder / f".{name}"
        self.made_by = json.dumps(made_by, sort_keys=True)
        self.schema = schema.with_metadata({KEY: self.made_by.encode()})

    def read(self) -> list[dict[str, Any]]:
        """The rows that are there.

        Raises:
            EquimeError: A file that does not read, or that something else made.
        """
        return [row for path in self._files() for row in self._table(path).to_pylist()]

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep some more rows: once this returns they are on the disk."""
        if rows:
            taken = [int(path.stem) for path in self.shards.glob("*.parquet") if path.stem.isdigit()]
            self._write(self.shards / f"{max(taken, default=-1) + 1:06}.parquet", list(rows))

    def close(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write all rows as one file, and put away the shards."""
        self._write(self.path, list(rows))
        shutil.rmtree(self.shards, ignore_errors=True)

    def _files(self) -> list[Path]:
        return [*([self.path] if self.path.is_file() else []), *sorted(self.shards.glob("[0-9]*.parquet"))]

    def _write(self, path: Path, rows: list[Mapping[str, Any]]) -> None:
        with writing(path), replacing(path) as handle:
            pq.write_table(pa.Table.from_pylist(rows, self.schema), handle, compression="zstd")

    def _table(self, path: Path) -> pa.Table:
        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowInvalid) as error:
            raise EquimeError(f"cannot read {path}: {error}; remove it and run the same command again") from error
        made_by = (table.schema.metadata or {}).get(KEY, b"").decode()
        if made_by != self.made_by or table.schema.names != self.schema.names:
            raise EquimeError(f"{path} was made by another model, data set or view: give another --out, or remove it")
        return table
