"""What a workspace keeps of imported clips beside its columns, and whether a tree still says the same.

Metadata JSON is kept to the letter in `ws/released/`, because a workspace's columns are a closed list and other
people's keys are not. With it goes the size and time of change of the clip's file, so that importing again reads
only files that were touched since.

    equime import TREE WORKSPACE          # again: names every clip that differs from what was imported
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from equime import sidecar, tree_metadata, video
from equime.errors import EquimeError
from equime.table import Table, replacing, writing
from equime.tree_index import Entry, read_sidecar

Row = dict[str, Any]

RELEASED = "released"
"""The folder of a workspace that keeps imported metadata verbatim."""
_RECORD = pa.schema(
    [
        ("clip_id", pa.string()),
        ("file", pa.string()),
        ("metadata", pa.binary()),
        ("lost", pa.string()),
        ("signature", pa.string()),
    ]
)


def record(entry: Entry) -> Row:
    """What is kept of a clip: its file's name and signature, and its metadata to the letter."""
    file = f"{entry.clip_id.partition('/')[0]}/{Path(entry.path).name}"
    row: Row = {"clip_id": entry.clip_id, "file": file, "metadata": None, "lost": None}
    row["signature"] = _signature(entry)
    try:
        return row | {"metadata": read_sidecar(entry)}
    except EquimeError as error:
        return row | {"lost": str(error)}


def _signature(entry: Entry) -> str | None:
    try:
        state = os.stat(entry.path)
    except OSError:
        return None
    return f"{state.st_size} {state.st_mtime_ns}"


def document_values(kept: Mapping[str, Any]) -> tuple[Row, str | None]:
    """The columns that a kept record gives, and the reason where its metadata cannot be used."""
    if kept["metadata"] is None:
        return {}, kept["lost"]
    try:
        return sidecar.read(tree_metadata.parse(kept["metadata"], kept["clip_id"])), None
    except EquimeError as error:
        return {}, str(error)


def unknown_keys(kept: Mapping[str, Any]) -> list[str]:
    """The keys of a kept record's metadata that no column took."""
    try:
        return sidecar.unknown_keys(sidecar.parse(kept["metadata"])) if kept["metadata"] is not None else []
    except EquimeError:
        return []


def metadata_differs(entry: Entry, kept: Mapping[str, Any]) -> bool:
    """Whether a clip's metadata file is not the one that was imported, to the byte."""
    try:
        return kept["lost"] is None and read_sidecar(entry) != kept["metadata"]
    except EquimeError:
        return False  # what cannot be read says nothing


def file_differs(entry: Entry, kept: Mapping[str, Any], size: int | None, sha256: str | None) -> bool:
    """Whether a clip's file is not the one that was imported. It is read only where it was touched since.

    Args:
        entry: The clip's place in the tree.
        kept: Its record.
        size: Bytes of the imported file; None where it could not be read.
        sha256: Of the imported file.
    """
    signature = _signature(entry)
    if size is None or signature is None or signature == kept.get("signature"):
        return False
    if signature.split()[0] != str(size):
        return True
    try:
        return video.sha256(Path(entry.path).read_bytes()) != sha256
    except OSError:
        return False


def read_released(table: Table, number: int) -> dict[str, Row]:
    """By clip_id, the record of an imported clip (as `record` gives it); empty where none was imported.

    Raises:
        EquimeError: The file is broken.
    """
    path = _path(table, number)
    if not path.exists():
        return {}
    try:
        return {row["clip_id"]: row for row in pq.read_table(path, partitioning=None).to_pylist()}
    except (pa.ArrowException, OSError, KeyError) as error:
        raise EquimeError(f"cannot read {path}: {str(error).splitlines()[0]}") from error


def write_released(table: Table, number: int, records: list[Row]) -> None:
    """Write the records of one shard whole, or not at all."""
    path = _path(table, number)
    with writing(path), replacing(path) as handle:
        pq.write_table(pa.Table.from_pylist(records, schema=_RECORD), handle, compression="zstd")


def _path(table: Table, number: int) -> Path:
    return table.path / RELEASED / f"{number:05d}.parquet"
