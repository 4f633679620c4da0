"""A workspace: column groups of Parquet shards, the same rows in the same order in every group.

    ws/workspace.json           how many rows a shard holds, and where the faces are
    ws/plan/00000.parquet       one group ...
    ws/generate/00000.parquet   ... beside another, joined by shard number and checked by clip_id

A shard is written under a temporary name, fsynced and renamed, with its footer inside: **written last means
done**. Nothing is ever rewritten by another stage.

    equime status WORKSPACE
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from equime import schema
from equime.errors import EquimeError

FOOTER_KEY = b"equime"
SHARD_ROWS = 64
VIDEO_ROW_GROUP = 4
_MEND = "move it out of the workspace and run its stage again"
_SHARD = re.compile(r"(\d{5}|[1-9]\d{5,})\.parquet")


@dataclass(frozen=True)
class Footer:
    """What a shard says of itself, kept as JSON in its Parquet metadata. `write` fills in digests, rows."""

    stage: str
    version: int
    mark: str
    digests: dict[str, str] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    fields: dict[str, Any] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=dict)
    rows: int = 0
    failed: int = 0
    schema_version: int = schema.VERSION


def digest(column: pa.ChunkedArray) -> str:
    """A content digest of a column: equal values give equal digests, however they are chunked or encoded."""
    values = json.dumps(column.to_pylist(), sort_keys=True, default=_bytes_digest)
    return hashlib.sha256(f"{_kind(column.type)}\n{values}".encode()).hexdigest()


def _kind(of: pa.DataType) -> str:
    """A type's name, whatever the encoding, and whatever Parquet calls the elements of a list."""
    if pa.types.is_dictionary(of):
        return _kind(of.value_type)
    if pa.types.is_list(of):
        return f"[{_kind(of.value_type)}]"
    if pa.types.is_struct(of):
        return "{" + ", ".join(f"{child.name}: {_kind(child.type)}" for child in of) + "}"
    return str(of)


def _bytes_digest(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()


def read_footer(path: Path) -> Footer:
    """The footer of one shard.

    Raises:
        EquimeError: Not a Parquet file, no footer in it, or a newer schema version.
    """
    try:
        metadata = pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise EquimeError(f"cannot read {path}: {_first_line(error)}; {_MEND}") from error
    if FOOTER_KEY not in (metadata.metadata or {}):
        raise EquimeError(f"{path} was not written by EquiME (no footer); {_MEND}")
    try:
        values = json.loads(metadata.metadata[FOOTER_KEY])
        require_version(values["schema_version"], path)
        known = {f.name: values[f.name] for f in fields(Footer) if f.name in values}
        return Footer(**known | {"reads": tuple(values["reads"]), "rows": metadata.num_rows})
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise EquimeError(f"{path} has a footer that does not read; {_MEND}") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def require_version(version: int, where: object) -> None:
    """Refuse data of a schema newer than this package's."""
    if version > schema.VERSION:
        raise EquimeError(
            f"{where} has schema version {version}, this package reads up to {schema.VERSION}: "
            "run `pip install --upgrade equime`"
        )


class Table:
    """An existing workspace.

    Args:
        path: Its folder, made by `Table.create` or `equime plan`.

    Attributes:
        path: The folder.
        settings: `workspace.json`: schema version, rows a shard, the folder of faces as it was given.

    Raises:
        EquimeError: The folder is missing, is no workspace, or has a newer schema version.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not is_workspace(self.path):
            state = "no workspace" if self.path.is_dir() else "no such folder"
            raise EquimeError(f"{state}: {self.path} (make one with `equime plan {self.path} --faces DIR`)")
        self.settings = _read_settings(self.path / "workspace.json")

    @classmethod
    def create(cls, path: str | os.PathLike[str], *, shard_rows: int = SHARD_ROWS, faces: str | None = None) -> Table:
        """Make an empty workspace, or open the one that is there (its shard size then stays as it is)."""
        folder = Path(path)
        if shard_rows < 1:
            raise EquimeError(f"expected at least one row a shard, got {shard_rows = }")
        if not is_workspace(folder):
            if folder.is_dir() and any(not entry.name.startswith(".") for entry in folder.iterdir()):
                raise EquimeError(f"{folder} is not empty and is no workspace: name a new folder")
            settings = {"schema_version": schema.VERSION, "shard_rows": shard_rows, "faces": faces}
            with writing(folder):
                write_atomically(folder / "workspace.json", json.dumps(settings, indent=1).encode())
        return cls(folder)

    @property
    def shard_rows(self) -> int:
        """How many rows a full shard holds."""
        return int(self.settings["shard_rows"])

    @property
    def groups(self) -> list[str]:
        """The column groups that have a folder, in the contract's order."""
        return [name for name in schema.GROUPS if (self.path / name).is_dir()]

    def shards(self, group: str = "plan") -> list[int]:
        """The numbers of a group's finished shards, in order."""
        folder = self.path / group
        names = (e.name for e in os.scandir(folder)) if folder.is_dir() else ()
        return sorted(int(name[:-8]) for name in names if _SHARD.fullmatch(name))

    def shard_path(self, group: str, index: int) -> Path:
        """Where a shard stands, or will."""
        return self.path / group / f"{index:05d}.parquet"

    def footer(self, group: str, index: int) -> Footer | None:
        """A shard's footer; None where the shard is not written."""
        path = self.shard_path(group, index)
        return read_footer(path) if path.exists() else None

    def read(self, index: int, columns: Sequence[str]) -> pa.Table:
        """Columns of one shard, from whichever groups own them, with clip_id first.

        Raises:
            EquimeError: An unknown column, a group not made yet, a changed type, or rows out of step.
        """
        by_group: dict[str, list[str]] = {"plan": ["clip_id"]}
        for name in columns:
            if name != "clip_id":
                by_group.setdefault(owner(name), []).append(name)
        parts = {group: self._read_group(group, index, names) for group, names in by_group.items()}
        ids = parts["plan"]["clip_id"]
        for group, part in parts.items():
            if not part["clip_id"].equals(ids):
                raise EquimeError(
                    f"{self.shard_path(group, index)} does not hold the plan's rows in the plan's order: "
                    f"move it out of the workspace and run `equime {group} {self.path}`"
                )
        return pa.table({"clip_id": ids} | {name: parts[owner(name)][name] for name in columns})

    def _read_group(self, group: str, index: int, columns: Sequence[str]) -> pa.Table:
        path = self.shard_path(group, index)
        if not path.exists():
            raise EquimeError(f"{path} is not made yet: run `equime {group} {self.path}`")
        names = list(dict.fromkeys(["clip_id", *columns]))
        try:
            with pq.ParquetFile(path) as file:
                part = file.read(columns=names, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise EquimeError(f"cannot read {path}: {_first_line(error)}; {_MEND}") from error
        for name in names:
            if name not in part.column_names:
                raise EquimeError(f"{path} has no column {name!r}; {_MEND}")
            want, have = schema.CLIPS.field(name).type, part.schema.field(name).type
            if want != have:
                raise EquimeError(f"{path}: column {name!r} should be {want}, got {have}; {_MEND}")
        return part

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """Every planned row as a dict, shard by shard; columns not made yet are None."""
        names = list(schema.METADATA.names if columns is None else columns)
        for index in self.shards():
            ready = [n for n in names if self.shard_path(owner(n), index).exists()]
            blank = dict.fromkeys(names)
            for row in self.read(index, ready).to_pylist():
                yield {"clip_id": row["clip_id"]} | blank | row

    def find(self, clip_id: str) -> dict[str, Any]:
        """One clip's row with every column, its video too.

        Raises:
            EquimeError: No clip of that id.
        """
        for index in self.shards():
            ids = self.read(index, [])["clip_id"].to_pylist()
            if clip_id in ids:
                ready = [n for n in schema.CLIPS.names if self.shard_path(owner(n), index).exists()]
                row: dict[str, Any] = self.read(index, ready).slice(ids.index(clip_id), 1).to_pylist()[0]
                return dict.fromkeys(schema.CLIPS.names) | row
        raise EquimeError(f"no clip {clip_id!r} in {self.path}: list them with `equime show {self.path}`")

    def write(self, group: str, index: int, rows: pa.Table, footer: Footer) -> None:
        """Write one shard whole, or not at all.

        Raises:
            EquimeError: The rows do not fit the group's schema, or the disk is full or read-only.
        """
        table = schema.conform(rows, schema.GROUPS[group])
        found = replace(footer, rows=len(table), digests={n: digest(table[n]) for n in table.column_names})
        table = table.replace_schema_metadata({FOOTER_KEY: json.dumps(asdict(found)).encode()})
        has_video = "video" in table.column_names
        path = self.shard_path(group, index)
        with writing(path), replacing(path) as handle:
            pq.write_table(
                table,
                handle,
                row_group_size=VIDEO_ROW_GROUP if has_video else None,
                compression={n: "NONE" if n.startswith("video") else "SNAPPY" for n in leaves(table.schema)},
                use_dictionary=False,  # neither pays in a shard of few rows, and opening 75,000 rows takes half as long
                write_statistics=False,
            )


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        values = dict(json.loads(path.read_text()))
        version, values["shard_rows"] = int(values["schema_version"]), int(values["shard_rows"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EquimeError(f"cannot read {path}: {error!r}; restore it from a copy") from error
    require_version(version, path.parent)
    return values


def owner(column: str) -> str:
    """The group that owns a column.

    Raises:
        EquimeError: No group does.
    """
    if column not in schema.OWNER:
        raise EquimeError(f"unknown column {column!r}: expected one of {schema.CLIPS.names}")
    return schema.OWNER[column]


def is_workspace(path: Path) -> bool:
    """Whether a folder is a workspace."""
    return (path / "workspace.json").is_file()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the file system says against writing `path` into one line."""
    try:
        yield
    except OSError as error:
        raise EquimeError(
            f"cannot write {path}: {error.strerror or error}; nothing already made was lost, "
            "run the same command again once that is mended"
        ) from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Any]:
    """A binary file that takes `path`'s place when the block ends well, and vanishes when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a small file whole or not at all."""
    with replacing(path) as handle:
        handle.write(data)


def sweep(folder: Path) -> None:
    """Remove what killed writers left behind. Only for who holds the folder's lock alone."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def leaves(columns: pa.Schema) -> Iterator[str]:
    """Parquet's leaf paths of the columns (compression is set by leaf)."""

    def walk(name: str, kind: pa.DataType) -> Iterator[str]:
        if pa.types.is_struct(kind):
            for child in kind:
                yield from walk(f"{name}.{child.name}", child.type)
        elif pa.types.is_list(kind):
            yield from walk(f"{name}.list.element", kind.value_type)
        else:
            yield name

    for column in columns:
        yield from walk(column.name, column.type)
