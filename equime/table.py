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
import json
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from equime import schema
from equime.errors import EquimeError
from equime.footer import (
    FOOTER_KEY,
    DamagedShardError,
    Footer,
    Standing,
    damaged,
    digest,
    first_line,
    mend,
    read_footer,
    require_version,
    standing,
)

SHARD_ROWS = 64
VIDEO_ROW_GROUP = 8
"""Rows of a row group where there are videos: what a stream reads at once. Fewer make metadata slow to read."""
OUT_OF_STEP = "does not hold the plan's rows in the plan's order"
_SHARD = re.compile(r"(\d{5}|[1-9]\d{5,})\.parquet")


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
            state = "not a folder" if self.path.exists() else "no such folder"
            state = "no workspace" if self.path.is_dir() else state
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

    def made(self, index: int, groups: Iterable[str] = tuple(schema.GROUPS)) -> list[str]:
        """Which groups have this shard, and as it still follows from what it was made from.

        A stale shard counts as not made: it speaks of another plan, another face or another wording.

        Raises:
            EquimeError: A shard that does not read.
        """
        wanted, footers = list(groups), dict[str, Footer | None]()
        follow = ["plan", *wanted]
        while follow:  # only what the groups come from is opened: damage elsewhere is no matter here
            if (group := follow.pop()) not in footers:
                footers[group] = footer = self.footer(group, index)
                follow += [schema.OWNER[name] for name in (footer.reads if footer else ()) if name in schema.OWNER]
        made = standing(footers).made
        return [group for group in wanted if group in made]

    def standing(self, index: int) -> Standing:
        """How every group of a shard stands.

        Raises:
            EquimeError: A shard that does not read.
        """
        return standing({group: self.footer(group, index) for group in schema.GROUPS})

    def read(self, index: int, columns: Sequence[str]) -> pa.Table:
        """Columns of one shard, from whichever groups own them, with clip_id first.

        Raises:
            EquimeError: An unknown column, a group not made yet, or (DamagedShardError) a shard that does not read,
                a changed type, or rows out of step.
        """
        by_group: dict[str, list[str]] = {"plan": ["clip_id"]}
        for name in columns:
            if name != "clip_id":
                by_group.setdefault(owner(name), []).append(name)
        parts = {group: self._read_group(group, index, names) for group, names in by_group.items()}
        ids = parts["plan"]["clip_id"]
        for group, part in parts.items():
            if not part["clip_id"].equals(ids):
                raise damaged(self.shard_path(group, index), OUT_OF_STEP)
        return pa.table({"clip_id": ids} | {name: parts[owner(name)][name] for name in columns})

    def _read_group(self, group: str, index: int, columns: Sequence[str]) -> pa.Table:
        path = self.shard_path(group, index)
        if not path.exists():
            raise EquimeError(f"{path} is not made yet: run `equime {group} {self.path}`")
        names = list(dict.fromkeys(["clip_id", *columns]))
        try:
            with pq.ParquetFile(path) as file:
                _require_columns(path, file.schema_arrow, names)
                return file.read(columns=names, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise DamagedShardError(f"cannot read {path}: {first_line(error)}; {mend(path)}") from error

    def sound_footer(self, group: str, index: int) -> Footer | None:
        """A shard's footer, its columns there with their types; None where the shard is not written.

        Raises:
            DamagedShardError: It does not read, or its columns are not what its footer says.
        """
        footer, path = self.footer(group, index), self.shard_path(group, index)
        if footer is not None:
            _require_columns(path, pq.read_schema(path), [n for n in footer.digests if n in schema.CLIPS.names])
        return footer

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """Every planned row as a dict, shard by shard; columns not made yet, or stale, are None."""
        names = list(schema.METADATA.names if columns is None else columns)
        for index in self.shards():
            made = self.made(index, {owner(name) for name in names})
            ready = [n for n in names if owner(n) in made]
            blank = dict.fromkeys(names)
            for row in self.read(index, ready).to_pylist():
                yield {"clip_id": row["clip_id"]} | blank | row

    def find(self, clip_id: str) -> dict[str, Any]:
        """One clip's row with every column, its video too; columns not made yet, or stale, are None.

        Raises:
            EquimeError: No clip of that id.
        """
        return self.at(*self.locate(clip_id))

    def at(self, index: int, place: int) -> dict[str, Any]:
        """The row at a place of a shard, as `find` returns it."""
        made = self.made(index)
        ready = [n for n in schema.CLIPS.names if owner(n) in made]
        row: dict[str, Any] = self.read(index, ready).slice(place, 1).to_pylist()[0]
        return dict.fromkeys(schema.CLIPS.names) | row

    def locate(self, clip_id: str) -> tuple[int, int]:
        """A clip's shard number, and its place in it.

        Raises:
            EquimeError: No clip of that id.
        """
        for index in self.shards():
            ids = self.read(index, [])["clip_id"].to_pylist()
            if clip_id in ids:
                return index, ids.index(clip_id)
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


def _require_columns(path: Path, found: pa.Schema, names: Iterable[str]) -> None:
    for name in names:
        if name not in found.names:
            raise damaged(path, f"column {name!r} is missing")
        want, have = schema.CLIPS.field(name).type, found.field(name).type
        if want != have:
            raise damaged(path, f"column {name!r} should be {want}, got {have}")


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = {"faces": None} | dict(json.loads(path.read_text()))
        for name, kind in (("schema_version", int), ("shard_rows", int), ("faces", str | None)):
            if not isinstance(values[name], kind) or isinstance(values[name], bool):
                raise TypeError(f"unexpected {name} = {values[name]!r}")
        if values["shard_rows"] < 1:
            raise ValueError(f"expected at least one row a shard, got shard_rows = {values['shard_rows']}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EquimeError(f"cannot read {path}: {error!r}; restore it from a copy") from error
    require_version(values["schema_version"], path.parent)
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
