"""One state of a data set, whatever it lies in, read column by column: what two versions are compared by.

    open_version("ws")                    # a workspace
    open_version("release")               # a release's folder, or any folder in the Hub's layout
    open_version("tree")                  # a released tree
    open_version("org/equime@1.1.0")      # a version on the Hub; without "@" what is on main

A folder on this machine is taken before a repository of the same name. Videos are never read; of a repository the
metadata files are fetched into the client's cache, once for each version.

    equime diff A B
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import huggingface_hub
import pyarrow as pa
import pyarrow.compute as pc

from equime import schema
from equime.errors import EquimeError
from equime.pieces import Source, is_folder, typed
from equime.publishing import manifest
from equime.publishing.manifest import Manifest
from equime.publishing.origin import Tombstone
from equime.publishing.repository.asking import quiet
from equime.remote import HubRepo, Token, explained, is_repo
from equime.sources import Tree, find


@dataclass(frozen=True)
class Snapshot:
    """A data set as it stands.

    Attributes:
        name: As it was asked for.
        source: Where its rows come from.
        withdrawn: Subjects taken out so far; a release knows, nothing else does.
    """

    name: str
    source: Source
    withdrawn: tuple[Tombstone, ...] = ()

    @cached_property
    def ids(self) -> pa.Array:
        """clip_id of every row, in the order in which `read` gives them.

        Raises:
            EquimeError: A row has none, or two have the same.
        """
        found = self.read(["clip_id"])["clip_id"].combine_chunks()
        if found.null_count or pc.count_distinct(found).as_py() != len(found):
            raise EquimeError(
                f"{self.name}: expected a clip_id of its own in every row; see `equime check {self.name}`"
            )
        return found

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Columns of every row, typed as in `schema.METADATA`; null where there is nothing.

        Raises:
            EquimeError: It does not read, or has changed since it was opened.
        """
        if self._whole is not None:
            return self._whole.select(columns)
        return self._read(columns)

    def _read(self, columns: Sequence[str]) -> pa.Table:
        pieces = [piece for pieces in self.source.splits("metadata").values() for piece in pieces]
        tables = [table for piece in pieces for table in self.source.read(piece, columns)]
        return pa.concat_tables([typed(columns).empty_table(), *tables])

    @cached_property
    def _whole(self) -> pa.Table | None:
        """A tree's rows: each column lies in the same thousands of small files, which are opened once."""
        return self._read(schema.METADATA.names) if isinstance(self.source, Tree) else None


def open_version(where: str, token: Token = None) -> Snapshot:
    """A data set by its folder, or by its repository on the Hub.

    Args:
        where: A folder (workspace, release, released tree), or "owner/name[@version]"; any revision will do.
        token: As `datasets` takes it.

    Raises:
        EquimeError: Neither; no such revision; no access; nothing in the folder that this package reads.
    """
    if is_folder(where):
        return _in_folder(where, Path(where).expanduser())
    repo, _, revision = where.partition("@")
    if not is_repo(repo):
        raise EquimeError(f"expected a folder, or a repository on the Hub as OWNER/NAME[@VERSION], got {where!r}")
    return _in_folder(where, _fetched(HubRepo(repo, revision or None, token)))


def _in_folder(name: str, folder: Path) -> Snapshot:
    released = (folder / manifest.NAME).is_file()
    return Snapshot(name, find(folder), Manifest.read(folder).withdrawn if released else ())


def _fetched(source: HubRepo) -> Path:
    """The folder of the client's cache in which the metadata of a version now lies: every column of it is read."""
    wanted = ["metadata/*.parquet", manifest.NAME]
    with explained(source.repo, source.commit), quiet():
        folder = huggingface_hub.snapshot_download(
            source.repo, repo_type="dataset", revision=source.commit, allow_patterns=wanted, token=source.token
        )
    if not (Path(folder) / "metadata").is_dir():
        raise EquimeError(f"no metadata/<split>.parquet in {source.repo} at {source.commit[:12]}: nothing to compare")
    return Path(folder)
