"""The metadata of a whole workspace as one Arrow table, fast enough to open 75,000 clips in a second.

    catalog = load(Table("ws"))
    catalog.rows                 # every planned clip, every column of schema.METADATA, in plan order
    content_key(Table("ws"))     # changes with anything in the workspace

The table is kept in `ws/.cache`, under a key made of the footers of all shards. A footer holds the digests of
its shard's columns and is read anew each time (20 microseconds a shard), so that a changed workspace is never
served stale, whatever its clock says. Where the workspace cannot be written, all works without the cache.

    rm -r WORKSPACE/.cache       # always safe
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from equime import schema
from equime.errors import EquimeError
from equime.table import FOOTER_KEY, Table, replacing, require_version

CACHE = ".cache"
_MAGIC = b"PAR1"
_VERSION = re.compile(rb'"schema_version": ?(\d+)')
_TAIL = 1 << 16  # holds nearly every footer, so that one read does


@dataclass(frozen=True)
class Shard:
    """Where one shard's rows stand in the catalog: `rows[start : start + count]`."""

    index: int
    start: int
    count: int


@dataclass(frozen=True)
class Catalog:
    """The metadata of a workspace.

    Attributes:
        key: Of the content it was made from: `content_key`.
        rows: All planned clips in plan order, columns of `schema.METADATA`; null where nothing is made yet.
        shards: In order.
        file: The Arrow file that holds `rows`, for other processes to map; None where none could be written.
    """

    key: str
    rows: pa.Table
    shards: tuple[Shard, ...]
    file: Path | None


def content_key(table: Table) -> str:
    """A digest of everything a workspace holds: of the footer, size and time of change of every shard.

    Raises:
        EquimeError: A shard is no Parquet file.
    """
    hasher = hashlib.sha256(f"catalog 1, schema {schema.VERSION}".encode())
    for group in table.groups:
        for index in table.shards(group):
            path = table.shard_path(group, index)
            hasher.update(f"\n{group}/{index}".encode())
            hasher.update(_signature(path))
    return hasher.hexdigest()


def files_key(paths: Iterable[Path]) -> str:
    """A digest of the footer, size and time of change of Parquet files, and of their order.

    Raises:
        EquimeError: One is no Parquet file.
    """
    hasher = hashlib.sha256(f"files, schema {schema.VERSION}".encode())
    for path in paths:
        hasher.update(f"\n{path}".encode())
        hasher.update(_signature(path))
    return hasher.hexdigest()


def load(table: Table) -> Catalog:
    """The catalog of a workspace: from its cache, else built and cached.

    Raises:
        EquimeError: Nothing is planned yet; a shard is unreadable, of a newer schema version, has a changed
            column type, or rows out of step with the plan.
    """
    key = content_key(table)
    kept = table.path / CACHE / f"metadata-{key[:32]}.arrow"
    file: Path | None = kept
    rows = opened(kept)
    if rows is None:
        rows = _build(table)
        file = _kept(rows, kept)
        rows = (opened(kept) if file else None) or rows
    counts = [int(n) for n in rows.schema.metadata[b"counts"].split()]
    indices = [int(n) for n in rows.schema.metadata[b"shards"].split()]
    starts = [sum_ - count for sum_, count in zip(_running(counts), counts, strict=True)]
    shards = tuple(Shard(*each) for each in zip(indices, starts, counts, strict=True))
    return Catalog(key, rows.replace_schema_metadata(), shards, file)


def opened(file: Path) -> pa.Table | None:
    """A catalog file, mapped into memory; None where it is not there or not whole."""
    try:
        with pa.memory_map(str(file)) as source:
            rows = pa.ipc.open_file(source).read_all()
    except (OSError, pa.ArrowException):
        return None
    return rows if rows.schema.equals(schema.METADATA) else None


def _running(counts: Sequence[int]) -> Iterator[int]:
    total = 0
    for count in counts:
        total += count
        yield total


def _signature(path: Path) -> bytes:
    """A digest of the raw footer of a Parquet file, its size and its time of change; newer schemas are refused."""
    try:
        with path.open("rb", buffering=0) as handle:
            state = os.fstat(handle.fileno())
            handle.seek(max(state.st_size - _TAIL, 0))
            tail = handle.read(_TAIL)
            length = int.from_bytes(tail[-8:-4], "little") + 8
            if tail[-4:] != _MAGIC or length > state.st_size:
                raise EquimeError(f"cannot read shard {path}: not a whole Parquet file; delete it and run its stage")
            if length > len(tail):
                handle.seek(state.st_size - length)
                tail = handle.read(length)
    except OSError as error:
        raise EquimeError(f"cannot read shard {path}: {error.strerror}") from error
    footer = tail[-length:]
    _known_version(footer, path)
    return hashlib.sha256(footer + f"{state.st_size} {state.st_mtime_ns}".encode()).digest()


def _known_version(footer: bytes, path: Path) -> None:
    for version in _VERSION.findall(footer):
        require_version(int(version), path)


def _kept(rows: pa.Table, file: Path) -> Path | None:
    """Write the cache, and drop older ones; None where that cannot be done."""
    try:
        with replacing(file) as handle, pa.ipc.new_file(handle, rows.schema) as writer:
            writer.write_table(rows)
        for other in file.parent.glob("metadata-*.arrow"):
            if other != file:
                other.unlink(missing_ok=True)
    except OSError:
        return None
    return file


def _build(table: Table) -> pa.Table:
    indices = table.shards()
    if not indices:
        raise EquimeError(f"nothing is planned in {table.path}: run `equime plan {table.path} --faces DIR`")
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        parts = {g: list(pool.map(lambda i, g=g: _shard(table, g, i, _columns(g)), indices)) for g in schema.GROUPS}
    counts = [len(part) for part in parts["plan"] if part is not None]
    for group in schema.GROUPS:
        for index, part, plan in zip(indices, parts[group], parts["plan"], strict=True):
            _same_rows(table, group, index, part, plan)
    whole = {group: _joined(group, parts[group], counts) for group in schema.GROUPS}
    columns = [whole[schema.OWNER[name]][name].combine_chunks() for name in schema.METADATA.names]
    note = {"shards": " ".join(map(str, indices)), "counts": " ".join(map(str, counts))}
    return pa.table(columns, schema=schema.METADATA.with_metadata(note))


def _columns(group: str) -> list[str]:
    return [name for name in schema.GROUPS[group].names if name != "video"]


def _shard(table: Table, group: str, index: int, columns: Sequence[str]) -> pa.Table | None:
    """Columns of one shard of a group, typed as in the contract; None where it is not made."""
    path = table.shard_path(group, index)
    wanted = [schema.GROUPS[group].field(name) for name in columns]
    try:
        with pq.ParquetFile(path) as file:
            found = file.read(columns=columns, use_threads=False)
            footer = (found.schema.metadata or {}).get(FOOTER_KEY)
            if footer is None or list(found.schema) != wanted:
                require(file, path, group)
            _known_version(footer or b"", path)
    except FileNotFoundError:
        return None
    except (pa.ArrowException, OSError) as error:
        raise EquimeError(f"cannot read {path}: {str(error).splitlines()[0]}") from error
    return found.replace_schema_metadata()


def require_readable(file: pq.ParquetFile, path: object) -> None:
    """Refuse a file of a newer schema version; files that say nothing of it pass.

    Raises:
        EquimeError: It is newer, or what it says cannot be read.
    """
    try:
        footer = json.loads((file.metadata.metadata or {}).get(FOOTER_KEY, b"{}"))
        version = int(footer.get("schema_version", 0))
    except (ValueError, TypeError, AttributeError) as error:
        raise EquimeError(f"{path} has a footer that does not read: write it again") from error
    require_version(version, path)


def require(file: pq.ParquetFile, path: object, group: str) -> None:
    """Refuse a shard of a newer schema, without a footer, or with columns of other names or types.

    Raises:
        EquimeError: Any of these.
    """
    if FOOTER_KEY not in (file.metadata.metadata or {}):
        raise EquimeError(f"{path} was not written by EquiME (no footer): move it out of the workspace")
    require_readable(file, path)
    found = file.schema_arrow
    for field in schema.GROUPS[group]:
        position = found.get_field_index(field.name)
        if position < 0:
            raise EquimeError(f"{path} lacks column {field.name!r}: delete it and run its stage again")
        have = found.field(position).type
        if have != field.type:
            raise EquimeError(f"{path}: column {field.name!r} should be {field.type}, got {have}")


def shard_columns(table: Table, index: int, names: Mapping[str, Sequence[str]]) -> dict[str, pa.ChunkedArray]:
    """Columns of one shard from several groups, by name; null where a group's shard is not made.

    Args:
        table: The workspace.
        index: The shard's number.
        names: Group -> columns of it, without `video`.

    Raises:
        EquimeError: As `load`.
    """
    parts = {
        g: _shard(table, g, index, ["clip_id", *(n for n in names.get(g, ()) if n != "clip_id")])
        for g in ("plan", *(g for g in names if g != "plan"))
    }
    plan = parts["plan"]
    if plan is None:
        raise EquimeError(f"{table.shard_path('plan', index)} is gone: load the workspace again")
    columns = {"clip_id": plan["clip_id"]}
    for group, part in parts.items():
        _same_rows(table, group, index, part, plan)
        for name in names.get(group, ()):
            null = pa.chunked_array([pa.nulls(len(plan), schema.CLIPS.field(name).type)])
            columns[name] = null if part is None else part[name]
    return columns


def shard_videos(table: Table, index: int, rows: Sequence[int]) -> Iterator[tuple[list[int], pa.ChunkedArray]]:
    """The `video` column of some rows of a shard, a row group at a time: (rows, their videos).

    Args:
        table: The workspace.
        index: The shard's number.
        rows: 0-based, ascending.

    Raises:
        EquimeError: As `load`.
    """
    path = table.shard_path("generate", index)
    kind = schema.CLIPS.field("video").type
    if not path.exists():
        yield list(rows), pa.chunked_array([pa.nulls(len(rows), kind)])
        return
    try:
        with pq.ParquetFile(path) as file:
            require(file, path, "generate")
            start = 0
            for group in range(file.num_row_groups):
                stop = start + file.metadata.row_group(group).num_rows
                wanted = [row for row in rows if start <= row < stop]
                if wanted:
                    video = file.read_row_group(group, columns=["video"], use_threads=False)["video"]
                    yield wanted, video.take(pa.array([row - start for row in wanted]))
                start = stop
    except (pa.ArrowException, OSError) as error:
        raise EquimeError(f"cannot read {path}: {str(error).splitlines()[0]}") from error


def _joined(group: str, parts: Sequence[pa.Table | None], counts: Sequence[int]) -> pa.Table:
    """A group's shards one after the other, nulls where a shard is not made (its clip_id too)."""
    wanted = pa.schema([schema.GROUPS[group].field(name) for name in _columns(group)])
    filled = [
        pa.table([pa.nulls(count, f.type) for f in wanted], schema=wanted) if part is None else part
        for part, count in zip(parts, counts, strict=True)
    ]
    return pa.concat_tables(filled)


def _same_rows(table: Table, group: str, index: int, part: pa.Table | None, plan: pa.Table) -> None:
    if part is not None and not part["clip_id"].equals(plan["clip_id"]):
        raise EquimeError(
            f"{table.shard_path(group, index)} does not hold the plan's rows in the plan's order: "
            f"delete it and run `equime {group} {table.path}`"
        )
