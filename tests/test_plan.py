from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from equime import schema
from equime.action_units import INTENSITIES
from equime.causal import seed_of
from equime.errors import EquimeError
from equime.generators.warp import Warp
from equime.locks import hold
from equime.plan import PlanOptions, plan, replan
from equime.screening.thresholds import Screen
from equime.table import Table
from equime.tree import export_tree, import_tree


def options(faces: Path, **changes) -> PlanOptions:
    """One photograph in six versions: no screen, and no group to balance."""
    screen = Screen(faces=faces, screen=False, adults=True)
    lenient = PlanOptions(screen=screen, per_emotion=1, seed=3, shard_rows=8, allow_shortfall=True)
    return dataclasses.replace(lenient, **changes)


def rows(workspace: Path) -> list[dict]:
    return list(Table(workspace).rows(schema.GROUPS["plan"].names))


def some(faces: Path, folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for path in faces.iterdir():
        if path.stem in names:
            (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture(scope="module")
def planned(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = tmp_path_factory.mktemp("plan") / "ws"
    plan(workspace, options(faces, per_emotion=4), Warp.SHOWS)
    return workspace


def test_every_subject_gets_every_emotion_equally(planned: Path) -> None:
    counts = Counter((row["subject_id"], row["emotion"]) for row in rows(planned))
    assert counts == {(s, e): 4 for s in ("ann", "bob", "cat", "dan", "eve", "fay") for e in schema.EMOTIONS}


def test_rows_keep_the_contract(planned: Path) -> None:
    table = Table(planned)
    for index in table.shards():
        assert schema.check(table.read(index, schema.GROUPS["plan"].names)) == []
    for row in rows(planned):
        assert row["clip_id"] == f"{row['emotion']}/u_{row['subject_id']}_{row['sequence']:02d}"
        assert row["noise_key"] == row["clip_id"]
        assert row["seed"] == seed_of(3, row["clip_id"])
        assert row["apex"] == round(row["apex_ms"] * 24 / 1000)
        assert 0 < row["offset_ms"] - row["onset_ms"] <= 500
        assert 0 < row["apex_ms"] - row["onset_ms"] <= 260
        assert row["cell"] == "unknown|unknown|unknown"


def test_only_what_the_generator_shows_is_planned(planned: Path) -> None:
    for row in rows(planned):
        assert row["action_units"]
        for unit in row["action_units"]:
            assert INTENSITIES.index(unit["intensity"]) <= INTENSITIES.index(Warp.SHOWS[unit["au"]])


def test_splits_hold_subjects_apart(planned: Path) -> None:
    splits = {(row["subject_id"], row["split"]) for row in rows(planned)}
    assert len(splits) == 6
    assert {split for _, split in splits} == set(schema.SPLITS)


def test_planning_twice_is_the_same_and_adds_nothing(planned: Path, faces: Path, tmp_path: Path) -> None:
    again = tmp_path / "ws"
    report = plan(again, options(faces, per_emotion=4), Warp.SHOWS)
    assert report.new_rows == report.rows == 120
    assert plan(again, options(faces, per_emotion=4), Warp.SHOWS).new_rows == 0
    for index in Table(planned).shards():
        one, other = (Table(ws).shard_path("plan", index).read_bytes() for ws in (planned, again))
        assert one == other


def test_more_faces_change_no_earlier_row(faces: Path, tmp_path: Path) -> None:
    folder = some(faces, tmp_path / "faces", "bob", "dan", "fay")
    plan(tmp_path / "ws", options(folder), Warp.SHOWS)
    table = Table(tmp_path / "ws")
    before = rows(table.path)
    shards = {index: table.shard_path("plan", index).read_bytes() for index in table.shards()}
    some(faces, folder, "ann", "eve")
    report = plan(table.path, options(folder), Warp.SHOWS)
    assert report.new_rows == 10
    assert {index: table.shard_path("plan", index).read_bytes() for index in shards} == shards
    after = rows(table.path)
    assert after[: len(before)] == before
    assert {row["epoch"] for row in before} == {0}
    assert {row["epoch"] for row in after[len(before) :]} == {1}


def test_more_clips_continue_the_sequence(faces: Path, tmp_path: Path) -> None:
    folder = some(faces, tmp_path / "faces", "ann")
    plan(tmp_path / "ws", options(folder), Warp.SHOWS)
    assert plan(tmp_path / "ws", options(folder, per_emotion=3), Warp.SHOWS).new_rows == 10
    sequences = Counter((row["emotion"], row["sequence"]) for row in rows(tmp_path / "ws"))
    assert sequences == {(emotion, n): 1 for emotion in schema.EMOTIONS for n in (1, 2, 3)}


def test_several_pictures_of_a_subject_share_its_split(faces: Path, tmp_path: Path) -> None:
    lines = [
        "subject_id,path,gender",
        "1,ann.png,f",
        "1,bob.jpg,f",
        "2,cat.webp,m",
        "3,dan.png,m",
        "4,eve.png,",
    ]
    (faces / "t.csv").write_text("\n".join(lines))
    try:
        plan(tmp_path / "ws", options(faces / "t.csv", per_emotion=2), Warp.SHOWS)
    finally:
        (faces / "t.csv").unlink()
    mine = [row for row in rows(tmp_path / "ws") if row["subject_id"] == "1"]
    assert len({row["clip_id"] for row in mine}) == 10
    assert len({row["split"] for row in mine}) == 1
    angry = {row["clip_id"]: row["source"] for row in mine if row["emotion"] == "anger"}
    assert angry == {"anger/f_1_01": "ann.png", "anger/f_1_02": "bob.jpg"}


def test_fewer_than_three_subjects_are_all_train(faces: Path, tmp_path: Path) -> None:
    folder = some(faces, tmp_path / "faces", "ann", "bob")
    assert plan(tmp_path / "ws", options(folder), Warp.SHOWS).by_split == {"train": 10}


def test_pseudonyms_hide_file_names(faces: Path, tmp_path: Path) -> None:
    plan(tmp_path / "ws", options(some(faces, tmp_path / "f", "ann"), pseudonyms=True), Warp.SHOWS)
    public = [{k: v for k, v in row.items() if k not in schema.UNPUBLISHED} for row in rows(tmp_path / "ws")]
    assert "ann" not in json.dumps(public)


def test_pseudonyms_are_keyed_by_the_workspace_or_by_a_file(faces: Path, tmp_path: Path) -> None:
    folder, key = some(faces, tmp_path / "f", "ann"), tmp_path / "key"
    key.write_text("kept apart")
    named = {}
    for name, given in (("one", None), ("two", None), ("three", key), ("four", key)):
        plan(tmp_path / name, options(folder, pseudonyms=True, pseudonym_key=given), Warp.SHOWS)
        assert plan(tmp_path / name, options(folder, pseudonyms=True), Warp.SHOWS).new_rows == 0
        named[name] = rows(tmp_path / name)[0]["subject_id"]
        secret = Table(tmp_path / name).settings["pseudonym_key"]
        assert secret not in json.dumps(rows(tmp_path / name))
    assert named["three"] == named["four"] and len(set(named.values())) == 3
    with pytest.raises(EquimeError, match="pseudonyms of another key"):
        plan(tmp_path / "one", options(folder, pseudonyms=True, pseudonym_key=key), Warp.SHOWS)


def test_another_seed_is_refused_and_replace_says_what_goes_stale(faces: Path, tmp_path: Path) -> None:
    folder = some(faces, tmp_path / "faces", "ann", "bob")
    plan(tmp_path / "ws", options(folder), Warp.SHOWS)
    before = rows(tmp_path / "ws")
    with pytest.raises(EquimeError, match="--replace"):
        plan(tmp_path / "ws", options(folder, seed=4), Warp.SHOWS)
    heard: list[str] = []
    refuse = replan(tmp_path / "ws", options(folder, seed=4), Warp.SHOWS, lambda lines: bool(heard.extend(lines)))
    assert refuse is None
    assert heard == ["plan: 2 of 2 shards"]
    assert rows(tmp_path / "ws") == before
    assert replan(tmp_path / "ws", options(folder, seed=4), Warp.SHOWS, lambda lines: True) is not None
    assert {row["seed"] for row in rows(tmp_path / "ws")}.isdisjoint({row["seed"] for row in before})
    some(faces, folder, "ann")
    (folder / "bob.jpg").unlink()
    replan(tmp_path / "ws", options(folder, seed=4), Warp.SHOWS, lambda lines: True)
    assert len(rows(tmp_path / "ws")) == 5


def test_nothing_usable_makes_no_plan(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("no")
    with pytest.raises(EquimeError, match=r"no usable face in .*bad.png"):
        plan(tmp_path / "ws", options(tmp_path), Warp.SHOWS)


def test_a_second_plan_at_the_same_time_waits_its_turn(faces: Path, tmp_path: Path) -> None:
    plan(tmp_path / "ws", options(faces), Warp.SHOWS)
    with hold(tmp_path / "ws" / "plan"), pytest.raises(EquimeError, match="is being written by process"):
        plan(tmp_path / "ws", options(faces, per_emotion=2), Warp.SHOWS)


def test_the_report_says_what_is_never_planned(faces: Path, tmp_path: Path) -> None:
    report = plan(tmp_path / "ws", options(some(faces, tmp_path / "f", "ann")), Warp.SHOWS)
    assert 0 < report.unplanned_units["overall"] < 0.2
    assert "no generator shows" in str(report)


def test_a_failed_first_plan_plans_nothing(tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "bad.png").write_text("no")
    with pytest.raises(EquimeError, match="no usable face"):
        plan(tmp_path / "ws", options(tmp_path / "faces"), Warp.SHOWS)
    assert Table(tmp_path / "ws").shards("plan") == []


def test_another_folder_is_refused_unless_the_pictures_moved_there(faces: Path, tmp_path: Path) -> None:
    plan(tmp_path / "ws", options(some(faces, tmp_path / "one", "ann")), Warp.SHOWS)
    with pytest.raises(EquimeError, match=r"was planned from .*one, and .*two lacks ann.png"):
        plan(tmp_path / "ws", options(some(faces, tmp_path / "two", "bob")), Warp.SHOWS)
    some(faces, tmp_path / "two", "ann")
    assert plan(tmp_path / "ws", options(tmp_path / "two"), Warp.SHOWS).new_rows == 5
    assert Table(tmp_path / "ws").settings["faces"] == str((tmp_path / "two").resolve())


@pytest.mark.parametrize("left", [1, 2, 3])
def test_an_interrupted_plan_run_again_is_the_unbroken_one(faces: Path, tmp_path: Path, left: int) -> None:
    """What a kill leaves: some of the shards, and the marker that names the first."""
    plan(tmp_path / "whole", options(faces), Warp.SHOWS)
    plan(tmp_path / "ws", options(faces), Warp.SHOWS)
    table = Table(tmp_path / "ws")
    for index in table.shards()[left:]:
        table.shard_path("plan", index).unlink()
    (table.path / "plan" / ".unfinished.json").write_text('{"first": 0}')
    plan(tmp_path / "ws", options(faces), Warp.SHOWS)
    assert rows(tmp_path / "ws") == rows(tmp_path / "whole")
    assert not (table.path / "plan" / ".unfinished.json").exists()


def test_killed_while_planning_nothing_is_half_done(faces: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "equime", "plan", str(tmp_path / "ws"), "--faces", str(faces)]
    command += ["--per-emotion", "200", "--shard-rows", "4", "--seed", "3"]
    command += ["--no-screen", "--adults", "--allow-shortfall"]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 40
    while len(list((tmp_path / "ws" / "plan").glob("0*.parquet"))) < 10 and time.monotonic() < deadline:
        time.sleep(0.01)
    running.kill()
    running.wait()
    assert (tmp_path / "ws" / "plan" / ".unfinished.json").exists()
    report = plan(tmp_path / "ws", options(faces, per_emotion=1, shard_rows=4), Warp.SHOWS)
    assert report.rows == report.new_rows == 30
    assert {row["epoch"] for row in rows(tmp_path / "ws")} == {0}


def test_what_is_not_followed_is_said(faces: Path, tmp_path: Path) -> None:
    folder = some(faces, tmp_path / "faces", "ann", "bob")
    (folder / "t.csv").write_text("subject_id,path,gender\n1,ann.png,f\n2,bob.jpg,m\n")
    plan(tmp_path / "ws", options(folder / "t.csv"), Warp.SHOWS)
    (folder / "t.csv").write_text("subject_id,path,gender\n1,ann.png,f\n2,bob.jpg,f\n")
    report = plan(tmp_path / "ws", options(folder / "t.csv", shard_rows=3), Warp.SHOWS)
    assert "stays 8" in report.notes["--shard-rows"]
    assert "stays planned as male|unknown|unknown" in report.notes["bob.jpg"]
    (folder / "bob.jpg").write_bytes((faces / "dan.png").read_bytes())
    report = plan(tmp_path / "ws", options(folder / "t.csv"), Warp.SHOWS)
    assert (report.new_rows, list(report.rejected)) == (0, ["bob.jpg"])


def test_a_plan_with_a_gap_or_an_import_is_not_planned_upon(faces: Path, tmp_path: Path, workspace: Path) -> None:
    plan(tmp_path / "ws", options(faces), Warp.SHOWS)
    Table(tmp_path / "ws").shard_path("plan", 1).unlink()
    with pytest.raises(EquimeError, match=r"the plan lacks .*00001.parquet"):
        plan(tmp_path / "ws", options(faces), Warp.SHOWS)
    export_tree(Table(workspace), tmp_path / "tree", progress=False)
    import_tree(tmp_path / "tree", tmp_path / "imported", progress=False)
    for planning in (
        lambda: plan(tmp_path / "imported", options(faces), Warp.SHOWS),
        lambda: replan(tmp_path / "imported", options(faces), Warp.SHOWS, lambda lines: True),
    ):
        with pytest.raises(EquimeError, match="was imported"):
            planning()


def test_the_plan_is_not_replaced_under_a_running_stage(faces: Path, tmp_path: Path) -> None:
    plan(tmp_path / "ws", options(faces), Warp.SHOWS)
    with hold(tmp_path / "ws" / "caption"), pytest.raises(EquimeError, match="caption is being written"):
        replan(tmp_path / "ws", options(faces, seed=9), Warp.SHOWS, lambda lines: True)
