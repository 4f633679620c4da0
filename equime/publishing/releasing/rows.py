"""What stands in a release's `metadata/`: its rows, and what is counted of them for the manifest.

hashes(Path("release"))         # clip_id -> SHA-256 of its mp4
counts(Path("release"))         # split -> emotion (or control) -> clips
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from equime import hub, schema
from equime.footer import FOOTER_KEY


def metadata(folder: Path) -> Iterator[pa.Table]:
    """All rows, a row group at a time."""
    for path in _files(folder):
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, use_threads=False)


def hashes(folder: Path) -> dict[str, str]:
    """clip_id -> SHA-256 of its mp4."""
    return {row["clip_id"]: row["sha256"] for row in _columns(folder, ["clip_id", "sha256"])}


def counts(folder: Path) -> dict[str, dict[str, int]]:
    """Split -> emotion (or control) -> clips."""
    rows = _columns(folder, ["split", "emotion", "control"])
    return hub.by_split(Counter((row["split"], row["emotion"] or row["control"] or schema.NEUTRAL) for row in rows))


def marks(folder: Path) -> dict[str, str]:
    """Marks of the workspace's shards that rows come from, by "<group>/<shard>"."""
    found: dict[str, str] = {}
    for path in _files(folder):
        found |= json.loads(pq.read_metadata(path).metadata[FOOTER_KEY])["marks"]
    return found


def _files(folder: Path) -> Iterator[Path]:
    names = [p.relative_to(folder).as_posix() for p in folder.glob("metadata/*.parquet")]
    yield from (folder / path for path in hub.metadata_files(names).values())


def _columns(folder: Path, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for path in _files(folder):
        with pq.ParquetFile(path) as file:
            yield from file.read(columns=list(names), use_threads=False).to_pylist()
