"""A workspace with every annotation leaves as a tree and as the Hub's layout, and is read back equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest

from equime import schema
from equime.checks import check
from equime.hub import write_layout
from equime.table import Table
from equime.tree import export_tree, import_tree

RELEASED = [name for name in schema.CLIPS.names if name not in schema.UNPUBLISHED]


def rows_of(table: Table) -> dict[str, dict[str, Any]]:
    return {row["clip_id"]: row for row in table.rows(RELEASED)}


@pytest.fixture
def rows(annotated: Path) -> dict[str, dict[str, Any]]:
    """What has to come back: structs, lists, and a measure that is null, as a check that there are such."""
    found = rows_of(Table(annotated))
    assert all(row["measured_units"] and set(row["region_motion"]) == set(schema.REGIONS) for row in found.values())
    assert all(row["reject_reasons"] is not None and row["lpips_source"] is None for row in found.values())
    return found


def test_a_tree_brings_every_annotation_back(annotated: Path, rows: dict[str, Any], tmp_path: Path) -> None:
    assert export_tree(Table(annotated), tmp_path / "tree", progress=False).failed == 0
    assert import_tree(tmp_path / "tree", tmp_path / "ws", progress=False).failed == 0
    again = Table(tmp_path / "ws")
    videos = {clip_id: row.pop("video")["bytes"] for clip_id, row in rows.items()}
    found = rows_of(again)
    assert {clip_id: row.pop("video")["bytes"] for clip_id, row in found.items()} == videos
    assert found == rows
    assert list(check(again)) == []


def test_plain_datasets_reads_every_annotation(annotated: Path, rows: dict[str, Any], tmp_path: Path) -> None:
    write_layout(Table(annotated), tmp_path / "out", keep_rejected=True, progress=False)
    splits = datasets.load_dataset(str(tmp_path / "out"), "video", cache_dir=str(tmp_path / "cache"))
    found = {row["clip_id"]: row for split in splits.values() for row in split}
    assert found == {clip_id: row | {"split": "train"} for clip_id, row in rows.items()}  # one subject is all train
