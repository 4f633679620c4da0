"""`equime summary`: what a workspace's annotations say, against figures counted here from its rows."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from make_workspace import make_workspace, replan

from equime.builders.score import Score
from equime.cli import main
from equime.clip import Clip
from equime.quality.gates import Gates, Planned
from equime.quality.study import refusals
from equime.runner import run
from equime.summary import summarise
from equime.table import Table


def test_a_scored_workspace_has_every_section(annotated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(annotated)
    rows = list(table.rows(["psnr_consecutive", "amplitude", "accepted", "reject_reasons", "action_units"]))
    sections = summarise(table)
    assert [*sections] == [
        name
        for name in ("captions", "tags", "fidelity", "acceptance", "validity")
        if name != "tags" or "tag" in table.groups
    ]
    fidelity = sections["fidelity"].to_dict()
    for name in ("psnr_consecutive", "amplitude"):
        values = [row[name] for row in rows if row[name] is not None]
        assert fidelity[name] == {"mean": pytest.approx(np.mean(values)), "clips": len(values)}
    assert sections["acceptance"].to_dict()["accepted"] == sum(row["accepted"] for row in rows)
    assert main(["summary", str(annotated)]) == 0
    said = capsys.readouterr().out
    assert all(f"-- {name}\n" in said for name in sections) and "nan" not in said.lower()
    assert main(["--json", "summary", str(annotated)]) == 0
    assert [*json.loads(capsys.readouterr().out)] == [*sections]


def test_every_reason_of_the_gates_names_its_field(annotated: Path) -> None:
    """A made clip, judged by gates that nothing passes."""
    clip = Clip(Table(annotated).at(0, 0))
    none_passes = Gates(min_signal_to_noise=1e9, max_head_motion=-1, max_noise=-1, max_flicker=-1, max_jump=-1)
    row = Score(gates=none_passes).score(clip.frames(), 24.0, Planned(units=clip.units))
    named = set(refusals([row]))
    assert {"min_signal_to_noise", "max_head_motion", "max_noise", "max_flicker", "max_jump"} <= named
    assert named <= {field.name for field in fields(Gates)} | {"onset_ms", "offset_ms"}


def test_a_workspace_without_annotations_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_workspace(tmp_path / "ws", groups=("plan", "generate"))
    assert main(["summary", str(tmp_path / "ws")]) == 1
    assert "run `equime caption`" in capsys.readouterr().err


def test_what_is_stale_is_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = make_workspace(tmp_path / "ws", shard_rows=5)
    replan(table, 1)
    assert summarise(table)["acceptance"].lines()[0] == "accepted 10 of 10 scored clips; 5 clips without a score"
    assert main(["summary", str(table.path)]) == 0
    (said,) = capsys.readouterr().err.splitlines()
    assert said.endswith(f"score: 1 shard missing or stale, and left out here; see `equime status {table.path}`")


def test_scores_that_all_failed_are_counted_and_not_left_out(tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", subjects=1, groups=("plan", "generate"), failed=range(5))
    assert run(Score(), table, progress=False).failed == 5
    sections = summarise(table)
    assert [*sections] == ["acceptance"]
    found = sections["acceptance"].to_dict()
    assert (found["clips"], found["accepted"], found["unscored"]) == (0, 0, 5)
    assert sections["acceptance"].lines()[0] == "accepted 0 of 0 scored clips; 5 clips without a score"
