"""The metadata of a whole workspace as one Arrow table, fast enough to open 75,000 clips in a second.

    catalog = load(Table("ws"))
    catalog.rows                 # every planned clip, every column of schema.METADATA, in plan order
    content_key(Table("ws"))     # changes with anything in the workspace

The table is kept in `ws/.cache`, under a key made of the footers of all shards. A footer holds the digests of
its shard's columns and is read anew each time (20 microseconds a shard), so that a changed workspace is never
served from an old cache, whatever its clock says. Where the workspace cannot be written, all works without it.

A shard that no longer follows from its inputs (a plan that was replaced, a prompt that changed) is *stale*, and
counts as not made: its videos and captions are those of other rows, whatever their ids say.

    rm -r WORKSPACE/.cache       # always safe
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Container, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from equime import schema
from equime.errors import EquimeError
from equime.footer import FOOTER_KEY, Footer, require_version, standing
from equime.table import Table, replacing

CACHE = ".cache"
VIDEO_GROUP = schema.OWNER["video"]
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
        rows: All planned clips in plan order, columns of `schema.METADATA`; null where nothing is made yet, or stale.
        shards: In order.
        stale: Group -> how many clips its stale shards hold; only groups that have some.
        file: The Arrow file that holds `rows`, for other processes to map; None where none could be written.
    """

    key: str
    rows: pa.Table
    shards: tuple[Shard, ...]
    stale: dict[str, int]
    file: Path | None


def not_made(stale: Container[str], workspace: object) -> str:
    """Why a clip has no video and no error of its own: of the groups of its shard, those in `stale` are."""
    if "generate" in stale:
        return f"stale (what it was made from has changed): run `equime generate {workspace}`"
    return "not generated yet"


def content_key(table: Table) -> str:
    """A digest of everything a workspace holds: of the footer, size and time of change of every shard.

    Raises:
        EquimeError: A shard is no Parquet file.
    """
    hasher = hashlib.sha256(f"catalog 2, schema {schema.VERSION}".encode())
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
    stale: dict[str, int] = json.loads(rows.schema.metadata[b"stale"])
    return Catalog(key, rows.replace_schema_metadata(), shards, stale, file)


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
    with ThreadPoolExecutor(_threads()) as pool:
        found = {g: list(pool.map(lambda i, g=g: shard(table, g, i, _columns(g)), indices)) for g in schema.GROUPS}
    parts = {group: [part for part, _ in each] for group, each in found.items()}
    counts = [len(part) for part in parts["plan"] if part is not None]
    stale: dict[str, int] = {}
    for at, count in enumerate(counts):
        for group in standing({group: found[group][at][1] for group in schema.GROUPS}).stale:
            parts[group][at] = None
            stale[group] = stale.get(group, 0) + count
    for group in schema.GROUPS:
        for index, part, plan in zip(indices, parts[group], parts["plan"], strict=True):
            require_same_rows(table, group, index, part, plan)
    whole = {group: _joined(group, parts[group], counts) for group in schema.GROUPS}
    with ThreadPoolExecutor(_threads()) as pool:
        columns = list(pool.map(lambda n: whole[schema.OWNER[n]][n].combine_chunks(), schema.METADATA.names))
    note = {"shards": " ".join(map(str, indices)), "counts": " ".join(map(str, counts)), "stale": json.dumps(stale)}
    return pa.table(columns, schema=schema.METADATA.with_metadata(note))


def _threads() -> int:
    return min(os.cpu_count() or 1, 8)


def _columns(group: str) -> list[str]:
    return [name for name in schema.GROUPS[group].names if name != "video"]


def shard(table: Table, group: str, index: int, columns: Sequence[str]) -> tuple[pa.Table, Footer] | tuple[None, None]:
    """Columns of one shard of a group, typed as in the contract, and its footer; None where it is not made.

    Raises:
        EquimeError: As `load`.
    """
    path = table.shard_path(group, index)
    wanted = [schema.GROUPS[group].field(name) for name in columns]
    try:
        # Small files are read whole: one system call, and none of pyarrow's file system lookups.
        # No thread of Arrow's may hold Python's bytes: see `remote.RowGroups`.
        source = path if group == VIDEO_GROUP else pa.BufferReader(path.read_bytes())
        with pq.ParquetFile(source, pre_buffer=False) as file:
            found = file.read(columns=columns, use_threads=False)
            footer = (found.schema.metadata or {}).get(FOOTER_KEY)
            if footer is None or list(found.schema) != wanted:
                require(file, path, group)
            _known_version(footer or b"", path)
    except FileNotFoundError:
        return None, None
    except (pa.ArrowException, OSError) as error:
        raise EquimeError(f"cannot read {path}: {str(error).splitlines()[0]}") from error
    return found.replace_schema_metadata(), _footer(footer or b"", path)


def _footer(raw: bytes, path: Path) -> Footer:
    try:
        values = json.loads(raw)
        known = {f.name: values[f.name] for f in fields(Footer) if f.name in values}
        return Footer(**known | {"reads": tuple(values["reads"])})
    except (ValueError, TypeError, KeyError) as error:
        raise EquimeError(f"{path} has a footer that does not read: delete it and run its stage again") from error


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


def _joined(group: str, parts: Sequence[pa.Table | None], counts: Sequence[int]) -> pa.Table:
    """A group's shards one after the other, nulls where a shard is not made (its clip_id too)."""
    wanted = pa.schema([schema.GROUPS[group].field(name) for name in _columns(group)])
    filled = [
        pa.table([pa.nulls(count, f.type) for f in wanted], schema=wanted) if part is None else part
        for part, count in zip(parts, counts, strict=True)
    ]
    return pa.concat_tables(filled)


def require_same_rows(table: Table, group: str, index: int, part: pa.Table | None, plan: pa.Table) -> None:
    """Refuse a shard that does not hold the plan's rows in the plan's order.

    Raises:
        EquimeError: It does not.
    """
    if part is not None and not part["clip_id"].equals(plan["clip_id"]):
        raise EquimeError(
            f"{table.shard_path(group, index)} does not hold the plan's rows in the plan's order: "
            f"delete it and run `equime {group} {table.path}`"
        )
