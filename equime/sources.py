"""Where clips come from on this machine: a workspace, a released tree, a Hub layout. One shape for all.

How a source is read:

    source = find("ws")
    for pieces in source.splits("video").values():  # many pieces, so that many workers can share them
        for table in source.read(pieces[0], ["clip_id", "video"]):
            ...  # Arrow tables of those columns, few rows at a time
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Container, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from equime import catalog, schema, tree_index
from equime.errors import EquimeError
from equime.hub_layout import HubLayout
from equime.pieces import SHARES, Source, in_turn, is_folder, require_config, runs, typed
from equime.table import Table, is_workspace
from equime.wording import counted

METADATA_ROWS = 2048
_TREE_ROWS = 500
_VIDEO_ROWS = 8


def find(where: str | os.PathLike[str]) -> Source:
    """The source in a local folder.

    Raises:
        EquimeError: There is no such folder, or nothing in it that this package reads.
    """
    path = Path(os.path.expanduser(where))
    if not is_folder(path):
        raise EquimeError(f"no such folder: {path} (expected a workspace, a Hub layout or a released tree)")
    if is_workspace(path):
        return Workspace(path)
    if (path / "data").is_dir() or (path / "metadata").is_dir():
        return HubLayout(path)
    if tree_index.is_tree(path):
        return Tree(path)
    found = sorted(entry.name for entry in os.scandir(path))[:8]
    raise EquimeError(
        f"no data in {path}: expected a workspace (workspace.json), a Hub layout (data/<split>/*.parquet) "
        f"or a released tree (<emotion>/*.mp4), found {found or 'an empty folder'}"
    )


class ShardRows(NamedTuple):
    """Rows of one shard of a workspace."""

    shard: int
    rows: tuple[int, ...]


class CatalogRows(NamedTuple):
    """Rows of a workspace's catalog of a certain content."""

    key: str
    rows: tuple[int, ...]


class Workspace:
    """A workspace: shards in plan order; columns that are not made yet, or are stale, are null."""

    def __init__(self, path: Path) -> None:
        self.table = Table(path)

    def __getstate__(self) -> dict[str, Any]:
        return {"table": self.table}  # the catalog stays behind: other processes map its file

    @cached_property
    def _catalog(self) -> catalog.Catalog:
        return catalog.load(self.table)

    def fingerprint(self) -> str:
        """See `Source`."""
        return self._catalog.key

    def notice(self) -> str:
        """See `Source`."""
        stale = self._catalog.stale
        if not stale:
            return ""
        which = ", ".join(f"{group} of {counted(clips, 'clip')}" for group, clips in stale.items())
        commands = ", then ".join(f"`equime {group} {self.table.path}`" for group in stale)
        return f"stale (what it was made from has changed) and null until it is made again: {which}; run {commands}"

    def labels(self) -> tuple[str, ...]:
        """See `Source`."""
        return schema.emotions(self._catalog.rows["emotion"].unique().to_pylist())

    def splits(self, config: str) -> dict[str, list[Any]]:
        """See `Source`."""
        require_config(config)
        rows = self._catalog.rows
        if config == "emotion":
            names, column = self.labels(), rows["emotion"]
        else:
            names, column = schema.SPLITS, pc.fill_null(rows["split"], schema.SPLITS[0])
        codes = pc.fill_null(pc.index_in(column, pa.array(names)), -1).to_numpy()
        cut = self._metadata_pieces if config == "metadata" else self._shard_pieces
        return {name: cut(np.flatnonzero(codes == k)) for k, name in enumerate(names) if (codes == k).any()}

    def _metadata_pieces(self, rows: np.ndarray) -> list[CatalogRows]:
        size = min(METADATA_ROWS, -(-len(rows) // SHARES))
        return [CatalogRows(self._catalog.key, run) for run in runs(rows.tolist(), size)]

    def _shard_pieces(self, rows: np.ndarray) -> list[ShardRows]:
        """A piece for each shard; few of them are cut finer, for more workers to share."""
        found = []
        for shard in self._catalog.shards:
            low, high = np.searchsorted(rows, [shard.start, shard.start + shard.count])
            if low < high:
                found.append((shard.index, (rows[low:high] - shard.start).tolist()))
        if len(found) >= SHARES // 4:
            return [ShardRows(number, tuple(kept)) for number, kept in found]
        size = -(-len(rows) // SHARES)
        return [ShardRows(number, part) for number, kept in found for part in runs(kept, size)]

    def read(self, piece: ShardRows | CatalogRows, columns: Sequence[str]) -> Iterator[pa.Table]:
        """See `Source`."""
        wanted = typed(columns)
        if isinstance(piece, ShardRows):
            yield from self._read_shard(piece, wanted)
            return
        if self._catalog.key != piece.key:
            raise EquimeError(f"{self.table.path} changed while it was read: load it again")
        first, last = piece.rows[0], piece.rows[-1] + 1
        near = self._catalog.rows.select(columns).slice(first, last - first)
        whole = len(near) == len(piece.rows)
        yield near if whole else near.take(pa.array(np.array(piece.rows) - first))

    def _read_shard(self, piece: ShardRows, wanted: pa.Schema) -> Iterator[pa.Table]:
        groups = {schema.OWNER[f.name] for f in wanted if f.name != "video"}
        names = {g: [f.name for f in wanted if schema.OWNER[f.name] == g and f.name != "video"] for g in groups}
        made = self.table.standing(piece.shard).made
        parts = _columns(self.table, piece.shard, names, made)
        flat = pa.schema([f for f in wanted if f.name != "video"])
        plain = pa.table([parts[f.name] for f in flat], schema=flat)
        if "video" not in wanted.names:
            yield plain.take(pa.array(piece.rows))
            return
        for rows, video in _videos(self.table, piece.shard, piece.rows, made):
            taken = plain.take(pa.array(rows)) if len(flat) else plain
            yield taken.append_column(schema.CLIPS.field("video"), video).select(wanted.names)


def _columns(
    table: Table, index: int, names: Mapping[str, Sequence[str]], made: Container[str]
) -> dict[str, pa.ChunkedArray]:
    """Columns of one shard from several groups, by name; null where a group's shard is not made, or is stale.

    Args:
        table: The workspace.
        index: The shard's number.
        names: Group -> columns of it, without `video`.
        made: The groups to read: `table.standing(index).made`.

    Raises:
        EquimeError: As `catalog.load`.
    """
    parts = {
        g: catalog.shard(table, g, index, ["clip_id", *(n for n in names.get(g, ()) if n != "clip_id")])[0]
        if g in made
        else None
        for g in ("plan", *(g for g in names if g != "plan"))
    }
    plan = parts["plan"]
    if plan is None:
        raise EquimeError(f"{table.shard_path('plan', index)} is gone: load the workspace again")
    columns = {"clip_id": plan["clip_id"]}
    for group, part in parts.items():
        catalog.require_same_rows(table, group, index, part, plan)
        for name in names.get(group, ()):
            null = pa.chunked_array([pa.nulls(len(plan), schema.CLIPS.field(name).type)])
            columns[name] = null if part is None else part[name]
    return columns


def _videos(
    table: Table, index: int, rows: Sequence[int], made: Container[str]
) -> Iterator[tuple[list[int], pa.ChunkedArray]]:
    """The `video` column of some rows of a shard, a row group at a time: (rows, their videos).

    Args:
        table: The workspace.
        index: The shard's number.
        rows: 0-based, ascending.
        made: As for `_columns`.

    Raises:
        EquimeError: As `catalog.load`.
    """
    path = table.shard_path("generate", index)
    kind = schema.CLIPS.field("video").type
    if "generate" not in made:
        yield list(rows), pa.chunked_array([pa.nulls(len(rows), kind)])
        return
    try:
        with pq.ParquetFile(path) as file:
            catalog.require(file, path, "generate")
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


class TreeRows(NamedTuple):
    """Clips of a released tree, with their splits."""

    entries: tuple[tree_index.Entry, ...]
    splits: tuple[str, ...]


class Tree:
    """A released tree, read where it lies. Emotions take turns."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root}  # a piece names its own files

    @cached_property
    def _index(self) -> tree_index.Tree:
        return tree_index.index(self.root)

    @cached_property
    def _split_of(self) -> dict[str, str]:
        return tree_index.split_of(self._index.entries)

    def fingerprint(self) -> str:
        """See `Source`."""
        hasher = hashlib.sha256(str(self.root.resolve()).encode())
        for entry in self._index.entries:
            for path in (entry.path, entry.sidecar):
                state = os.stat(path) if path else None
                signature = state and (state.st_size, state.st_mtime_ns, state.st_ino)
                hasher.update(f"{path} {signature}\n".encode("utf-8", "surrogateescape"))
        return hasher.hexdigest()

    def notice(self) -> str:
        """See `Source`."""
        return ""

    def labels(self) -> tuple[str, ...]:
        """See `Source`."""
        return schema.emotions(self._index.emotions)

    def splits(self, config: str) -> dict[str, list[Any]]:
        """See `Source`."""
        require_config(config)
        groups: dict[str, dict[str | None, list[tree_index.Entry]]] = {}
        for entry in self._index.entries:
            name = entry.emotion if config == "emotion" else self._split_of[entry.clip_id]
            if name is not None:
                groups.setdefault(name, {}).setdefault(entry.emotion, []).append(entry)
        order = self.labels() if config == "emotion" else schema.SPLITS
        return {name: self._pieces(list(groups[name].values())) for name in order if name in groups}

    def _pieces(self, by_emotion: Sequence[Sequence[tree_index.Entry]]) -> list[TreeRows]:
        entries = in_turn(by_emotion)
        size = min(_TREE_ROWS, -(-len(entries) // SHARES))
        return [TreeRows(run, tuple(self._split_of[entry.clip_id] for entry in run)) for run in runs(entries, size)]

    def read(self, piece: TreeRows, columns: Sequence[str]) -> Iterator[pa.Table]:
        """See `Source`."""
        wanted = typed(columns)
        splits = {e.clip_id: s for e, s in zip(piece.entries, piece.splits, strict=True)}
        size = _VIDEO_ROWS if "video" in columns else _TREE_ROWS
        for entries in runs(piece.entries, size):
            rows = tree_index.rows(entries, splits)
            if "video" in columns:
                for row, entry in zip(rows, entries, strict=True):
                    row["video"] = {"bytes": _bytes(entry), "path": os.path.basename(entry.path)}
            yield pa.Table.from_pylist(rows, schema=wanted)


def _bytes(entry: tree_index.Entry) -> bytes | None:
    """A clip's bytes; None where it cannot be read, which whoever decodes it reports with its id."""
    try:
        with open(entry.path, "rb", buffering=0) as handle:
            return handle.read()
    except OSError:
        return None
