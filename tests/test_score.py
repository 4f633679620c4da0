"""The stage that scores: its columns, its marks, clips that are none, missing weights, the real range."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_clips import flipped, truncated
from travelling import travelled

from equime import schema, video
from equime.action_units import parse
from equime.builders.score import Score, planned_of
from equime.errors import EquimeError
from equime.generators.scene import Still
from equime.generators.warp import Warp
from equime.options import result_fields
from equime.quality.fidelity import Fidelity
from equime.quality.gates import Gates
from equime.quality.real_range import fit
from equime.shard_worker import attempt

TIMES = {"onset_ms": 600.0, "apex_ms": 760.0, "offset_ms": 1000.0}
UNITS = parse("R12C").units


@pytest.fixture(scope="module")
def row(portrait: np.ndarray) -> dict[str, Any]:
    """A row as the stage gets it: 44 frames of one real face, its right lip corner pulled for 400 ms."""
    frames = Warp(num_frames=44, blinks=0.0).frames(Still.of(portrait), UNITS, *TIMES.values(), seed=3)
    data = video.encode(frames)
    return {
        "clip_id": "happiness/f_ann_01",
        "video": {"bytes": data, "path": None},
        "sha256": video.sha256(data),
        "num_frames": 44,
        "fps": 24.0,
        "generate_error": None,
        "control": None,
        "action_units": [unit.to_dict() for unit in UNITS],
        **TIMES,
    }


@pytest.fixture(scope="module")
def stage() -> Score:
    stage = Score()
    stage.load()
    return stage


@pytest.fixture(scope="module")
def scored(stage: Score, row: dict[str, Any]) -> dict[str, Any]:
    return attempt(stage, [row])[0]


def error_of(stage: Score, row: dict[str, Any]) -> str:
    """Why a row fails; nothing else is written then."""
    (made,) = attempt(stage, [row])
    assert [name for name, value in made.items() if value is not None] == ["score_error"]
    said = str(made["score_error"])
    assert "\n" not in said
    return said


def test_a_row_has_fidelity_validity_and_a_verdict(scored: dict[str, Any]) -> None:
    assert set(scored) == set(schema.GROUPS["score"].names) - {"clip_id"} and scored["score_error"] is None
    assert isinstance(scored["accepted"], bool) and scored["accepted"] is not bool(scored["reject_reasons"])
    assert 25 < scored["psnr_source"] < 60 and 0.7 < scored["ssim_consecutive"] < 1
    assert scored["measured_apex_ms"] == pytest.approx(TIMES["apex_ms"], abs=2000 / 24)
    assert scored["measured_side"] == "R" and 0 < scored["amplitude"] < 0.1
    for column in ("amplitude_percentile", "vif_p_source", "brisque_reference", "score_note"):
        assert scored[column] is None, "not asked for, or not known"


def test_a_clip_scores_the_same_from_a_file_and_for_a_stage_that_was_sent_to_a_worker(
    stage: Score, row: dict[str, Any], scored: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "clip.mp4").write_bytes(row["video"]["bytes"])
    elsewhere = row | {"video": {"bytes": None, "path": str(tmp_path / "clip.mp4")}}
    assert attempt(travelled(stage), [elsewhere]) == [scored]


def test_what_is_no_clip_is_a_row_with_the_reason(stage: Score, row: dict[str, Any], tmp_path: Path) -> None:
    none = row | {"video": None, "generate_error": "the generator ran out of memory"}
    assert error_of(stage, none) == "no clip: the generator ran out of memory"
    assert error_of(stage, none | {"generate_error": None}) == "no clip: column video is null"
    data = row["video"]["bytes"]
    unhashed = row | {"sha256": None}
    for bad, says in (
        (row | {"video": {"bytes": flipped(data), "path": None}}, "damaged"),
        (unhashed | {"video": {"bytes": truncated(data, 0.4), "path": None}}, "happiness/f_ann_01"),
        (unhashed | {"video": {"bytes": b"no video", "path": None}}, "happiness/f_ann_01"),
        (row | {"num_frames": 45}, "expected 45 frames"),
        (row | {"video": {"bytes": None, "path": str(tmp_path / "gone.mp4")}}, "gone.mp4|cannot read"),
        (row | {"action_units": [{"au": 99, "side": "B", "intensity": "B"}]}, "99"),
    ):
        said = error_of(stage, bad)
        assert any(word in said for word in says.split("|")), said


def test_a_row_without_a_plan_is_judged_by_what_is_seen(row: dict[str, Any]) -> None:
    """Imported trees have an emotion and nothing that was planned."""
    nothing = dict.fromkeys(TIMES) | {"action_units": None, "control": None}
    assert not planned_of(row | nothing).known and planned_of(row).known
    neutral = planned_of(row | nothing | {"control": "neutral"})
    assert neutral.known and neutral.units == () and neutral.apex_ms is None
    assert planned_of(row).units == UNITS and planned_of(row).apex_ms == 760.0


# ------------------------------------------------------------------------------------------------------------- marks


def test_a_mark_holds_what_can_change_a_row_and_no_more() -> None:
    base = result_fields(Score())
    assert base == result_fields(Score(fidelity=Fidelity(device="cuda")))
    assert base == result_fields(Score(fidelity=Fidelity(every=3))), "no measure asked for takes strides"
    slow, wider = (Score(fidelity=Fidelity("vif_p", every=every)) for every in (8, 3))
    assert result_fields(slow) != result_fields(wider)
    for other in (
        Score(profile="reference"),
        Score(fidelity=Fidelity(measures="quick,vif_p")),
        Score(gates=replace(Gates(), max_duration_ms=400.0)),
    ):
        assert result_fields(other) != base


def test_a_range_counts_by_what_it_holds_and_not_by_where_it_lies(tmp_path: Path) -> None:
    some = fit("set", [((), 0.001 * n) for n in range(1, 40)], [200.0]).to_json()
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(some)
    first, second = (Score(real_range=tmp_path / name) for name in ("a.json", "b.json"))
    assert result_fields(first) == result_fields(second) != result_fields(Score())
    (tmp_path / "b.json").write_text(fit("set", [((), 0.002 * n) for n in range(1, 40)], [200.0]).to_json())
    assert result_fields(Score(real_range=tmp_path / "b.json")) != result_fields(first)
    assert travelled(first) == first


def test_weights_put_in_place_make_rows_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("piq")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    asked = Fidelity(measures="quick,brisque")
    lacking = Score(fidelity=asked)
    assert lacking.without == ("brisque",) and not lacking.models
    (note,) = lacking.notes
    assert "brisque_svm_weights.pt" in note and str(tmp_path) in note
    file = tmp_path / "hub" / "checkpoints" / "brisque_svm_weights.pt"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    there = Score(fidelity=asked)
    assert there.without == () and list(there.models) == [file.name] and not there.notes
    assert result_fields(there) != result_fields(lacking)


def test_a_network_of_faces_without_its_file_leaves_identity_null(
    row: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPFACE_HOME", str(tmp_path))
    asked = Score(identity="Facenet")
    asked.load()
    (made,) = attempt(asked, [row])
    assert made["score_error"] is made["identity"] is None
    assert "identity" in made["score_note"] and asked.without == ("identity",)
    assert result_fields(asked) != result_fields(Score())


def test_settings_that_make_no_sense_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(EquimeError, match="beauty"):
        Score(fidelity=Fidelity(measures="quick,beauty"))
    with pytest.raises(EquimeError, match="--every"):
        Score(fidelity=Fidelity(measures="vif_p", every=0)).load()
    with pytest.raises(EquimeError, match="equime validity fit"):
        Score(real_range=tmp_path / "nowhere.json")


# ------------------------------------------------------------------------------------------------- profile and range


def test_the_references_numbers_and_the_range_come_when_asked_for(
    row: dict[str, Any], scored: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    size = scored["amplitude"]
    (tmp_path / "range.json").write_text(fit("set", [((), size * n / 20) for n in range(1, 41)], [200.0]).to_json())
    stage = Score(profile="reference", real_range=tmp_path / "range.json")
    stage.load()
    (made,) = attempt(stage, [row])
    assert made["score_error"] is None
    assert made["ssim_reference"] == pytest.approx(made["ssim_consecutive"]) and made["psnr_reference"] > 30
    assert made["brisque_reference"] is made["clip_iqa_reference"] is None
    assert "brisque is null: put" in made["score_note"] and "clip_iqa is null: put" in made["score_note"]
    assert made["amplitude_percentile"] == pytest.approx(50, abs=3)
    same = {name for name in made if not name.endswith("_reference")} - {"score_note", "amplitude_percentile"}
    assert {name: made[name] for name in same} == {name: scored[name] for name in same}
