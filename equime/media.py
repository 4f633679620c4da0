"""The bytes of clips by their ids, one at a time and in any order, whatever the data set lies in.

    media = open_media("ws")                     # a workspace, a Hub layout, a released tree, OWNER/NAME[@VERSION]
    media.read("happiness/f_0042_01")            # an MP4

Why: a page shows a few clips of many, in the order in which somebody looks at them. Of a workspace or a repository
only the row group is read that holds the clip, by range requests where it is far away; the last few are kept, since
a browser asks for one clip in pieces. An id is looked up in the data set's own table and never becomes a path.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from functools import cache, lru_cache
from typing import Any, Final, TypeAlias

import pyarrow as pa

from equime import catalog, hub, tree_index
from equime.clip import Clip
from equime.errors import EquimeError
from equime.hub_layout import FilePart, HubLayout
from equime.pieces import Source, is_folder
from equime.remote import HubRepo, Token, is_repo
from equime.sources import ShardRows, Tree, TreeRows, Workspace, find
from equime.table import VIDEO_ROW_GROUP

KEPT: Final = 8
"""Groups of neighbouring clips that stay in memory: some 5 MB each."""
COLUMNS: Final = ("clip_id", "sha256", "video")
Key: TypeAlias = tuple[str, str]  # split, label
_ALONE: Final = 1 << 31  # steps of so many row groups: no second one is read


class Media(ABC):
    """Clips by id. Safe to ask from several threads, one of which reads at a time.

    Args:
        name: The data set, for messages.
        places: Where each clip lies.
    """

    def __init__(self, name: str, places: Mapping[str, Any]) -> None:
        self.name = name
        self._places = places
        self._lock = threading.Lock()
        self._near = lru_cache(maxsize=KEPT)(self._read)

    def __contains__(self, clip_id: object) -> bool:
        return clip_id in self._places

    def __len__(self) -> int:
        return len(self._places)

    def read(self, clip_id: str) -> bytes:
        """The clip's file, whole, and of the content that its row tells where that tells one.

        Raises:
            EquimeError: No clip of that id; one without a video; a file that does not read, or was changed since.
        """
        if clip_id not in self:
            raise EquimeError(f"no clip {clip_id!r} in {self.name}")
        with self._lock:
            row = self._near(self._group(self._places[clip_id])).get(clip_id)
        if row is None:
            raise EquimeError(f"clip {clip_id!r} is not where it was: {self.name} has changed, open it again")
        data: bytes | None = (row["video"] or {}).get("bytes")
        if data is None:  # a row may name a path, too, which is anybody's word: no file is opened for it
            raise EquimeError(f"clip {clip_id!r} has no video")
        if row["sha256"]:
            Clip(row).verify()
        return data

    def _group(self, place: Any) -> Hashable:
        """What is read at once, of which the clip at a place is one."""
        group: Hashable = place
        return group

    def _read(self, group: Any) -> dict[str, dict[str, Any]]:
        return {row["clip_id"]: row for table in self._tables(group) for row in table.to_pylist()}

    @abstractmethod
    def _tables(self, group: Any) -> Iterable[pa.Table]:
        """The rows of a group, columns `COLUMNS`."""


def open_media(where: str, token: Token = None) -> Media:
    """The clips of a data set.

    Args:
        where: A folder (workspace, Hub layout, release, released tree), or "owner/name[@version]" on the Hub.
        token: As `datasets` takes it.

    Raises:
        EquimeError: Neither, no access, or nothing there that this package reads.
    """
    if is_folder(where):
        return _of(where, find(where))
    repo, _, revision = where.partition("@")
    if not is_repo(repo):
        raise EquimeError(f"expected a folder, or a repository on the Hub as OWNER/NAME[@VERSION], got {where!r}")
    return _of(where, HubRepo(repo, revision or None, token))


def _of(name: str, source: Source) -> Media:
    if isinstance(source, Workspace):
        return _InWorkspace(name, source)
    if isinstance(source, Tree):
        return _InTree(name, source)
    assert isinstance(source, HubLayout)  # there is no other source
    return _InLayout(name, source)


class _InWorkspace(Media):
    """A place is a shard and a row in it; a group is as many rows as a row group of videos holds."""

    def __init__(self, name: str, source: Workspace) -> None:
        found = catalog.load(source.table)
        ids = found.rows["clip_id"].to_pylist()
        super().__init__(name, {ids[s.start + row]: (s.index, row) for s in found.shards for row in range(s.count)})
        self._source, self._counts = source, {shard.index: shard.count for shard in found.shards}

    def _group(self, place: tuple[int, int]) -> ShardRows:
        shard, row = place
        first = row - row % VIDEO_ROW_GROUP
        return ShardRows(shard, tuple(range(first, min(first + VIDEO_ROW_GROUP, self._counts[shard]))))

    def _tables(self, group: ShardRows) -> Iterable[pa.Table]:
        return self._source.read(group, COLUMNS)


class _InTree(Media):
    """A place is a clip's file, as the tree was found to hold it."""

    def __init__(self, name: str, source: Tree) -> None:
        super().__init__(name, {entry.clip_id: entry for entry in tree_index.index(source.root).entries})
        self._source = source

    def _tables(self, group: tree_index.Entry) -> Iterable[pa.Table]:
        return self._source.read(TreeRows((group,), ("",)), COLUMNS)


class _InLayout(Media):
    """A place is a split, a label (the id's folder) and a number among its clips, as `metadata/` lists them.

    The files of a split and a label hold its clips in the same order, about equally many each (clips left out make
    gaps), so that the file is guessed from the number and found by the first ids of those near it: two or three small
    reads, where listing what every file holds would take thousands.
    """

    def __init__(self, name: str, source: HubLayout) -> None:
        self._source = source
        self._counts: Counter[Key] = Counter()
        places: dict[str, tuple[Key, int]] = {}
        for split, pieces in source.splits("metadata").items():
            tables = (table for piece in pieces for table in source.read(piece, ["clip_id"]))
            for clip_id in (clip_id for table in tables for clip_id in table["clip_id"].to_pylist()):
                key = split, clip_id.partition("/")[0]
                places[clip_id] = key, self._counts[key]
                self._counts[key] += 1
        super().__init__(name, places)
        parts = (part for pieces in source.splits("video").values() for piece in pieces for part in piece)
        self._files: dict[Key, list[str]] = {}
        for file in hub.data_files({part.path for part in parts}):
            self._files.setdefault((file.split, file.emotion), []).append(file.path)
        self._first = cache(self._first_rows)

    def _group(self, place: tuple[Key, int]) -> FilePart:
        key, number = place
        files = self._files.get(key, [])
        if not files:
            raise EquimeError(f"{self.name} lists clips of {' and '.join(key)}, and has no file of them")
        at = number * len(files) // self._counts[key]
        while at and self._first(files[at])[0] > number:
            at -= 1
        while at + 1 < len(files) and self._first(files[at + 1])[0] <= number:
            at += 1
        start, rows = self._first(files[at])
        return FilePart(files[at], (number - start) // rows, _ALONE)

    def _first_rows(self, path: str) -> tuple[int, int]:
        """The number of a file's first clip, and how many its row groups hold."""
        first = next(iter(self._source.read((FilePart(path, 0, _ALONE),), ["clip_id"])))["clip_id"].to_pylist()
        if first[0] not in self:
            raise EquimeError(f"{path} of {self.name} holds a clip {first[0]!r} that its metadata does not list")
        return self._places[first[0]][1], len(first)

    def _tables(self, group: FilePart) -> Iterable[pa.Table]:
        return self._source.read((group,), COLUMNS)
