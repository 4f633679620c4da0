"""The Hub's layout as a source: Parquet files of one emotion each, read in turn.

    HubLayout(Path("out")).splits("video")      # {"train": [piece, ...], ...}

`equime.hub` writes it; `equime.remote` reads it from the Hub.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from equime import catalog, hub, schema
from equime.errors import EquimeError
from equime.pieces import SHARES, require_config, typed


class FilePart(NamedTuple):
    """Row groups k, k + n, k + 2n ... of one Parquet file."""

    path: str
    part: int = 0
    parts: int = 1


class HubLayout:
    """`data/<split>/<index>-<emotion>.parquet` and `metadata/<split>.parquet` in a local folder.

    Files hold one emotion each. A piece of "video" is a round of files, one of each emotion, and its rows are
    taken from them in turn, so that any 500 rows in a row hold every emotion in nearly equal share.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def _list(self) -> list[str]:
        """Paths of Parquet files, relative to the root."""
        folders = (self.root / "data", self.root / "metadata")
        return [p.relative_to(self.root).as_posix() for f in folders for p in f.rglob("*.parquet")]

    def fingerprint(self) -> str:
        """See `Source`."""
        return catalog.files_key(self.root / path for path in self._files)

    def notice(self) -> str:
        """See `Source`."""
        return ""

    @cached_property
    def _files(self) -> list[str]:
        return sorted(self._list())

    def _groups(self, pattern: re.Pattern[str], name: str) -> dict[str, list[str]]:
        """Files by a part of their path."""
        groups: dict[str, list[str]] = {}
        for path in self._files:
            if matched := pattern.fullmatch(path):
                groups.setdefault(matched[name], []).append(path)
        return groups

    def labels(self) -> tuple[str, ...]:
        """See `Source`."""
        return schema.emotions(self._groups(hub.DATA_FILE, "emotion"))

    def splits(self, config: str) -> dict[str, list[Any]]:
        """See `Source`."""
        require_config(config)
        if config == "emotion":
            found = self._groups(hub.DATA_FILE, "emotion")
            pieces = {e: self._shared([(path,) for path in found[e]]) for e in self.labels() if e in found}
        else:
            found = self._groups(hub.METADATA_FILE if config == "metadata" else hub.DATA_FILE, "split")
            cut = self._metadata_pieces if config == "metadata" else self._rounds
            pieces = {split: cut(found[split]) for split in schema.SPLITS if split in found}
        if not pieces:
            kind = "metadata/<split>.parquet" if config == "metadata" else "data/<split>/<index>-<emotion>.parquet"
            raise EquimeError(f"no file {kind} in {self.root}: write the layout with `equime publish`")
        return pieces

    def _rounds(self, paths: Sequence[str]) -> list[Any]:
        """The files of one index, one of each emotion, for every index."""
        rounds: dict[int, list[str]] = {}
        for file in hub.data_files(paths):
            rounds.setdefault(file.round, []).append(file.path)
        return self._shared([tuple(rounds[number]) for number in sorted(rounds)])

    def _shared(self, rounds: Sequence[tuple[str, ...]]) -> list[Any]:
        """The rounds as pieces; few of them are cut finer by row groups, for more workers to share."""
        parts = 1
        if 0 < len(rounds) < SHARES // 4:
            with self._parquet(rounds[0][0]) as file:
                parts = max(min(file.num_row_groups, -(-SHARES // len(rounds))), 1)
        return [tuple(FilePart(path, k, parts) for path in each) for each in rounds for k in range(parts)]

    def _metadata_pieces(self, paths: Sequence[str]) -> list[Any]:
        pieces = []
        for path in paths:
            with self._parquet(path) as file:
                parts = max(min(file.num_row_groups, SHARES), 1)
            pieces += [(FilePart(path, k, parts),) for k in range(parts)]
        return pieces

    def read(self, piece: Sequence[FilePart], columns: Sequence[str]) -> Iterator[pa.Table]:
        """See `Source`."""
        wanted = typed(columns)
        streams = [self._read_file(part, wanted) for part in piece]
        if len(streams) == 1:
            yield from streams[0]
            return
        rows = [(table.slice(k, 1) for table in stream for k in range(len(table))) for stream in streams]
        while rows:
            for each in list(rows):
                row = next(each, None)
                if row is None:
                    rows.remove(each)
                else:
                    yield row

    def _read_file(self, part: FilePart, wanted: pa.Schema) -> Iterator[pa.Table]:
        with self._parquet(part.path) as file:
            catalog.require_readable(file, part.path)
            names = [name for name in wanted.names if name in file.schema_arrow.names]
            for group in range(part.part, file.num_row_groups, part.parts):
                try:
                    found = file.read_row_group(group, columns=names, use_threads=False)
                except (pa.ArrowException, OSError) as error:
                    raise EquimeError(f"cannot read {part.path}: {str(error).splitlines()[0]}") from error
                rows = file.metadata.row_group(group).num_rows
                empty = pa.table({}) if names else pa.table({"clip_id": pa.nulls(rows)}).select([])
                yield _conformed(found if names else empty, wanted, rows, part.path)

    @contextlib.contextmanager
    def _parquet(self, path: str) -> Iterator[pq.ParquetFile]:
        with self._file(self.root / path, path) as file:
            yield file

    def _file(self, opened: Any, path: str) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(opened, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise EquimeError(f"cannot read {path}: {str(error).splitlines()[0]}") from error


def _conformed(found: pa.Table, wanted: pa.Schema, rows: int, path: str) -> pa.Table:
    """`found` with the columns it lacks as nulls, in the wanted order and types."""
    columns = []
    for field in wanted:
        column = found[field.name] if field.name in found.column_names else pa.nulls(rows, field.type)
        try:
            columns.append(column if column.type == field.type else column.cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise EquimeError(f"{path}: column {field.name!r} should be {field.type}, got {column.type}") from error
    return pa.table(columns, schema=wanted)
