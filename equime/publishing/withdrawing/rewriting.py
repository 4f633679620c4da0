"""What a withdrawn subject takes along, and the files of a release without it.

clips_of(["0042"], rows)                              # its clips, and the twins paired with them
rewritten(Path("old.parquet"), Path("new.parquet"), clips)

A pair of twins is two people with one programme and one noise key, and says something only as a pair: with one of
them the other goes. Files are written as `equime.hub` writes them: a later version made from the workspace, in which
the withdrawn leave their places empty, has the same files.

    equime withdraw SUBJECT REPO
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from equime import hub, schema
from equime.errors import EquimeError
from equime.footer import FOOTER_KEY, first_line
from equime.publishing.releasing.layout_file import LayoutFile


def clips_of(subjects: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> set[str]:
    """The clips of subjects, and the twins paired with them.

    Args:
        subjects: Their ids.
        rows: Of every clip `clip_id`, `subject_id`, `twin_id`.
    """
    wanted = set(subjects)
    own: set[str] = set()
    pairs: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row["subject_id"] in wanted:
            own.add(row["clip_id"])
        if row["twin_id"]:
            pairs[row["twin_id"]].add(row["clip_id"])
    return own.union(*(pair for pair in pairs.values() if pair & own))


def rewritten(source: Path, target: Path, without: Container[str]) -> int:
    """Write a Parquet file of a release again without some clips; returns how many rows are left.

    A file of which nothing is left is not written.

    Args:
        source: A file of `data/`, `metadata/` or `recipe/`.
        target: Where the rest goes.
        without: Ids of clips.

    Raises:
        EquimeError: It does not read.
    """
    try:
        with pq.ParquetFile(source) as file:
            ids = file.read(columns=["clip_id"], use_threads=False)["clip_id"].to_pylist()
            left = sum(clip not in without for clip in ids)
            if left:
                target.parent.mkdir(parents=True, exist_ok=True)
                _write(file, target, without)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise EquimeError(f"cannot write {source.name} again: {first_line(error)}") from error
    return left


def _write(file: pq.ParquetFile, target: Path, without: Container[str]) -> None:
    names = file.schema_arrow.names
    if "emotion" not in names:  # a recipe's list of sources: two columns
        pq.write_table(pa.concat_tables(_rows(file, without)), target)
        return
    columns, row_group = (hub.CLIPS, hub.ROW_GROUP) if "video" in names else (hub.METADATA, hub.METADATA_ROW_GROUP)
    marks = json.loads((file.metadata.metadata or {}).get(FOOTER_KEY, b"{}")).get("marks", {})
    written = LayoutFile(target, columns, row_group)
    for rows in _rows(file, without):
        written.add(schema.conform(rows, columns), marks)
    written.close()


def _rows(file: pq.ParquetFile, without: Container[str]) -> Iterator[pa.Table]:
    """The rows that stay, one row group at a time."""
    for group in range(file.num_row_groups):
        rows = file.read_row_group(group, use_threads=False)
        stays = [clip not in without for clip in rows["clip_id"].to_pylist()]
        # `filter` copies, `slice` would hold on to the bytes of the withdrawn.
        yield rows.filter(pa.array(stays, pa.bool_()))
