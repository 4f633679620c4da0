"""Controls (neutral, macro, blink) come through every layout whole, and stay out of the emotions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pytest
from make_workspace import add_rows, clip, make_row

import equime
from equime import checks, hub, schema, tree_index
from equime.table import Table
from equime.tree import export_tree, import_tree

RELEASED = [name for name in schema.METADATA.names if name not in schema.UNPUBLISHED]
TIMES = {"onset": 20, "apex": 40, "offset": 60}


def control_row(number: int, subject: int, control: str) -> dict[str, Any]:
    """A control's row as it is planned: units and times in a macro-expression only."""
    row = make_row(number, subject, 1, schema.NEUTRAL)
    row |= {"clip_id": row["clip_id"].replace("neutral/", f"{control}/"), "control": control, "design": "control"}
    row |= {"noise_key": row["clip_id"], "crop": {"x": 100.5, "y": 90.25, "side": 300.0, "angle": -2.5}}
    row |= {"eye_distance_px": 143.25, "generate_note": "enlarged"}
    if control == "macro":
        row["action_units"] = [{"au": 12, "side": "B", "intensity": "E"}]
        row |= TIMES | {f"{name}_ms": frame * 1000 / 24 for name, frame in TIMES.items()} | {"peak_px": 9.5}
    return row


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """Four subjects, each with a clip of every emotion and every control."""
    table = Table.create(tmp_path_factory.mktemp("controls") / "ws", shard_rows=8)
    rows = []
    for subject in range(4):
        rows += [make_row(len(rows) + k, subject, 0, emotion) for k, emotion in enumerate(schema.EMOTIONS)]
        rows += [control_row(len(rows) + k, subject, control) for k, control in enumerate(schema.CONTROLS)]
    add_rows(table, rows)
    return table


@pytest.fixture(scope="module")
def tree(workspace: Table) -> Path:
    out = workspace.path.parent / "tree"
    assert export_tree(workspace, out, progress=False).failed == 0
    return out


def columns(table: Table, names: list[str]) -> dict[str, dict[str, Any]]:
    return {row["clip_id"]: row for row in table.rows(names)}


def test_controls_keep_the_contract(workspace: Table) -> None:
    assert list(checks.check(workspace)) == []


def test_contract_refuses_a_control_in_another_folder(tmp_path: Path) -> None:
    table = Table.create(tmp_path / "ws", shard_rows=8)
    add_rows(table, [control_row(0, 0, "macro") | {"control": "blink"}])
    assert any("emotion or control is 'blink', its id says 'macro'" in line for line in checks.check(table))


def test_tree_and_back_without_loss(workspace: Table, tree: Path, tmp_path: Path) -> None:
    assert {path.name for path in tree.iterdir()} == {*schema.EMOTIONS, *schema.CONTROLS}
    receipt = import_tree(tree, tmp_path / "back", 8, progress=False)
    assert receipt.failed == 0 and receipt.rows == 32 and receipt.notes == ()
    back = Table(tmp_path / "back")
    assert columns(back, RELEASED) == columns(workspace, RELEASED)
    assert columns(back, ["video"]) == {
        clip_id: row | {"video": row["video"] | {"path": f"{clip_id.partition('/')[2]}.mp4"}}
        for clip_id, row in columns(workspace, ["video"]).items()
    }
    assert list(checks.check(back)) == []
    export_tree(back, tmp_path / "again", progress=False)
    for path in tree.rglob("*.*"):
        assert (tmp_path / "again" / path.relative_to(tree)).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("control", schema.CONTROLS)
def test_folder_alone_says_which_control(tmp_path: Path, control: str) -> None:
    (tmp_path / control).mkdir()
    (tmp_path / control / "f_x_01.mp4").write_bytes(clip(0))
    (entry,) = tree_index.index(tmp_path).entries
    (row,) = tree_index.rows([entry])
    assert (row["clip_id"], row["emotion"], row["control"]) == (f"{control}/f_x_01", None, control)
    assert import_tree(tmp_path, tmp_path / "ws", progress=False).failed == 0
    (row,) = Table(tmp_path / "ws").rows(["emotion", "control"])
    assert row["emotion"] is None and row["control"] == control


@pytest.mark.parametrize("document", [{"control": "blink"}, {"generation": {"control": "blink"}}, {"emotion": "blink"}])
def test_metadata_of_another_folder_is_refused(tmp_path: Path, document: dict[str, Any]) -> None:
    (tmp_path / "macro" / "metadata").mkdir(parents=True)
    (tmp_path / "macro" / "f_x_01.mp4").write_bytes(clip(0))
    (tmp_path / "macro" / "metadata" / "f_x_01_metadata.json").write_text(json.dumps(document))
    receipt = import_tree(tmp_path, tmp_path / "ws", progress=False)
    assert list(receipt.errors) == ["macro/f_x_01"] and "'macro'" in receipt.errors["macro/f_x_01"]
    (row,) = Table(tmp_path / "ws").rows(["control"])
    assert row["control"] == "macro"


@pytest.mark.parametrize("layout", ["workspace", "tree", "hub"])
def test_loading_keeps_controls_out_of_the_emotions(workspace: Table, tree: Path, tmp_path: Path, layout: str) -> None:
    if layout == "hub":
        receipt = hub.write_layout(workspace, tmp_path / "hub", progress=False)
        assert receipt.failed == 0 and receipt.rows == 32
    place = {"workspace": workspace.path, "tree": tree, "hub": tmp_path / "hub"}[layout]
    wanted = columns(workspace, RELEASED)
    for config in ("video", "metadata"):
        splits = equime.load(str(place), config, streaming=True)
        found = {row["clip_id"]: row for split in splits.values() for row in split}
        assert found.keys() == wanted.keys()
        for clip_id, row in found.items():
            assert row["control"] == wanted[clip_id]["control"]
            assert (row["emotion"] is None) == (row["control"] is not None)
            assert row["action_units"] == wanted[clip_id]["action_units"]
    emotions = equime.load(str(place), "emotion", streaming=True)
    assert list(emotions) == list(schema.EMOTIONS)
    for split in emotions.values():
        assert {row["control"] for row in split} == {None}
    assert isinstance(emotions, datasets.IterableDatasetDict)
