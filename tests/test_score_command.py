"""`equime score`: a workspace, other generators on its plan, pictures in a folder."""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_clips import clip_bytes, truncated
from PIL import Image
from toy_stages import clip_id, make_plan, write_shard

from equime import video
from equime.action_units import parse
from equime.commands.score import rival, score_flags
from equime.errors import EquimeError
from equime.generators.scene import Still
from equime.generators.warp import Warp
from equime.table import Table

ROWS = 3
TIMES = (600.0, 760.0, 1000.0)


@pytest.fixture(scope="module")
def clips(portrait: np.ndarray) -> dict[str, bytes]:
    """One expression, drawn; the same face at rest; and no face."""
    still, warp = Still.of(portrait), Warp(num_frames=36, blinks=0.0)
    return {
        "moving": video.encode(warp.frames(still, parse("12C").units, *TIMES, seed=1)),
        "still": video.encode([still.image] * 36),
        "faceless": clip_bytes(36, 64),
    }


def planned(path: Path, rows: int = ROWS) -> Table:
    times = {name: [value] * rows for name, value in zip(("onset_ms", "apex_ms", "offset_ms"), TIMES, strict=True)}
    return make_plan(path, rows, **times)


def put(folder: Path, *clips: bytes | None) -> Path:
    for number, data in enumerate(clips):
        path = folder / f"{clip_id(number)}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        if data is not None:
            path.write_bytes(data)
    return folder


def generated(table: Table, *clips: bytes | None) -> Table:
    """The workspace with these clips, as a stage would have made them."""
    rows = [
        {"clip_id": clip_id(n)} | (_facts(data) if data else {"generate_error": "no"}) for n, data in enumerate(clips)
    ]
    for index, start in enumerate(range(0, len(rows), table.shard_rows)):
        write_shard(table, "generate", index, rows[start : start + table.shard_rows])
    return table


def _facts(data: bytes) -> dict[str, Any]:
    info = video.probe(data)
    facts = {name: getattr(info, name) for name in ("num_frames", "fps", "duration_s", "size_bytes", "bitrate_kbps")}
    return {"video": {"bytes": data}, "sha256": video.sha256(data), **facts}


def score(*arguments: object, flags: Any = score_flags) -> int:
    parser = argparse.ArgumentParser()
    flags(parser)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args([str(argument) for argument in arguments])
    code: int = options.command(options)
    return code


# ------------------------------------------------------------------------------------------------------- a workspace


def test_a_workspace_is_scored_and_the_published_table_written(
    tmp_path: Path, clips: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    table = generated(planned(tmp_path / "ws"), clips["moving"], clips["faceless"], None)
    assert score(table.path, "--profile", "reference", "--out", tmp_path / "metrics.csv") == 1
    said = capsys.readouterr()
    assert f"{clip_id(2)}: no clip: no" in said.err and "brisque is null: put" in said.err
    assert said.err.count("brisque is null") == 1 and "wrote" in said.out
    with (tmp_path / "metrics.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["video_path"] for line in lines] == [f"{clip_id(0)}.mp4", f"{clip_id(1)}.mp4"]
    assert float(lines[0]["size_mb"]) == pytest.approx(len(clips["moving"]) / 2**20)
    assert float(lines[0]["psnr_mean"]) > 20 and lines[0]["num_frames"] == "36"
    faceless = next(row for row in table.rows(["accepted", "reject_reasons"]) if row["clip_id"] == clip_id(1))
    assert faceless["accepted"] is False and any("face" in reason for reason in faceless["reject_reasons"])
    assert score(table.path, "--profile", "reference", "--json") == 1
    receipt = json.loads(capsys.readouterr().out)
    assert (receipt["done"], receipt["fresh"]) == (0, 2), "nothing is scored again"


def test_a_workspace_without_clips_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(EquimeError, match=r"no clips in .* yet: run `equime generate"):
        score(planned(tmp_path / "ws").path)
    with pytest.raises(EquimeError, match="no such folder"):
        score(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "WORKSPACE, or --frames"),
        (["ws", "--frames", "folder"], "WORKSPACE, or --frames"),
        (["ws", "--fps", "24"], "need --frames"),
        (["ws", "--units", "12"], "need --frames"),
        (["ws", "--out", "x.csv"], "--out needs"),
        (["--frames", "folder", "--generator", "a=b"], "needs a WORKSPACE"),
        (["ws", "--generator", "workspace=b"], "not 'workspace'"),
        (["ws", "--generator", "../a=b"], "expected NAME=DIR"),
        (["ws", "--generator", "a="], "empty"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_done(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        score(*arguments)
    assert ended.value.code == 2 and says in capsys.readouterr().err


def test_unknown_measures_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(EquimeError, match="beauty"):
        score(planned(tmp_path / "ws").path, "--measures", "beauty")


# --------------------------------------------------------------------------------------------------- other generators


def test_a_folder_alone_has_its_own_name(tmp_path: Path) -> None:
    assert rival(str(tmp_path / "ltx-2")) == ("ltx-2", tmp_path / "ltx-2")
    assert rival(f"mine={tmp_path}/a=b") == ("mine", tmp_path / "a=b")


def test_generators_are_ranked_on_the_clips_in_common_and_scored_once(
    tmp_path: Path, clips: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    table = planned(tmp_path / "ws")
    good = put(tmp_path / "good", clips["moving"], clips["moving"])
    bad = put(tmp_path / "bad", clips["faceless"], clips["still"], clips["still"])
    arguments = [table.path, "--generator", f"worse={bad}", "--generator", good, "--out", tmp_path / "ranked"]
    assert score(*arguments, "--json") == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert f"good: no {clip_id(2)}.mp4" in said.err and found["missing"] == {"worse": 0, "good": 1}
    assert found["clips"] == 2 and found["left_out"] == {"worse": 1, "good": 0}
    first, second = found["generators"]
    assert (first["name"], second["name"], second["accepted"]) == ("good", "worse", 0.0)
    shards = sorted((tmp_path / "ranked").glob("*/score/*.parquet"))
    assert len(shards) == 4
    before = [path.stat().st_ino for path in shards]
    assert score(*arguments) == 0
    said = capsys.readouterr()
    assert [path.stat().st_ino for path in shards] == before
    assert said.out.splitlines()[0].startswith("generator") and "good: 1 of the planned clips missing" in said.out
    put(good, clips["still"])
    assert score(*arguments) == 0
    with pytest.raises(EquimeError, match="holds the workspace's own shards"):
        score(*arguments[:-1], table.path / "plan")
    assert [path.stat().st_ino == old for path, old in zip(shards, before, strict=True)] == [False, True, True, True]


def test_the_workspaces_own_clips_are_ranked_too_and_a_broken_one_is_told(
    tmp_path: Path, clips: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    table = generated(planned(tmp_path / "ws", 2), clips["faceless"], clips["faceless"])
    other = put(tmp_path / "other", clips["faceless"], truncated(clips["faceless"], 0.3))
    assert score(table.path, "--generator", other, "--json") == 1
    said = capsys.readouterr()
    assert f"other: {clip_id(1)}: " in said.err
    found = json.loads(said.out)
    assert {entry["name"] for entry in found["generators"]} == {"workspace", "other"} and found["clips"] == 1
    assert (table.path / "generators" / "other" / "score").is_dir()
    assert table.groups == ["plan", "generate", "score"]


def test_generators_that_cannot_be_compared_are_one_line(tmp_path: Path, clips: dict[str, bytes]) -> None:
    table = planned(tmp_path / "ws")
    (tmp_path / "empty").mkdir()
    with pytest.raises(EquimeError, match="got none in"):
        score(table.path, "--generator", tmp_path / "empty")
    with pytest.raises(EquimeError, match=r"got \['empty'\] twice"):
        score(table.path, "--generator", tmp_path / "empty", "--generator", f"empty={tmp_path}")
    one, two = put(tmp_path / "one", clips["faceless"]), put(tmp_path / "two", None, clips["faceless"])
    with pytest.raises(EquimeError, match=r"none in common \(scored: one 1, two 1\)"):
        score(table.path, "--generator", one, "--generator", two)


# ----------------------------------------------------------------------------------------------- pictures in a folder


def pictures(folder: Path, data: bytes, first: int = 9) -> Path:
    folder.mkdir(parents=True)
    for number, frame in enumerate(video.decode(data), first):
        Image.fromarray(frame).save(folder / f"img{number}.png")
    return folder


def test_one_sequence_is_scored_without_a_workspace(
    tmp_path: Path, clips: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = pictures(tmp_path / "EP02_01f", clips["moving"])
    assert score("--frames", folder, "--fps", 24, "--units", "12", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["sequence"], found["num_frames"], found["first"]) == ("EP02_01f", 36, 9)
    assert found["measured_apex_ms"] == pytest.approx(TIMES[1], abs=2000 / 24)
    assert isinstance(found["accepted"], bool)


def test_many_sequences_go_on_where_they_stopped_and_a_broken_one_is_told(
    tmp_path: Path, clips: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    pictures(tmp_path / "set" / "a", clips["moving"])
    broken = pictures(tmp_path / "set" / "b" / "c", clips["faceless"])
    (broken / "img11.png").write_bytes(b"no picture")
    out = tmp_path / "scores.jsonl"
    assert score("--frames", tmp_path / "set", "--fps", 48, "--out", out) == 1
    said = capsys.readouterr()
    assert "img11.png" in said.err and "b/c: not scored: " in said.out and said.out.startswith("a: ")
    assert f"kept in {out}, as JSON lines" in said.err
    kept = out.read_bytes()
    assert len(kept.splitlines()) == 1
    (broken / "img11.png").write_bytes((broken / "img12.png").read_bytes())
    assert score("--frames", tmp_path / "set", "--fps", 48, "--out", out, "--json") == 0
    assert out.read_bytes().startswith(kept) and len(out.read_bytes().splitlines()) == 2
    first, second = json.loads(capsys.readouterr().out)
    assert (first["sequence"], second["sequence"], second["accepted"]) == ("a", "b/c", False)
    assert 1000 * TIMES[1] / 2000 == pytest.approx(first["measured_apex_ms"], abs=2000 / 48), "48 a second halve times"


@pytest.mark.parametrize("fps", [["--fps", "0"], ["--fps", "-1"], ["--fps", "nan"], []])
def test_a_sequence_needs_a_frame_rate(tmp_path: Path, fps: list[str]) -> None:
    with pytest.raises(EquimeError, match="give --fps"):
        score("--frames", tmp_path, *fps)


def test_folders_and_units_that_cannot_be_scored_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(EquimeError, match="or below it, got none"):
        score("--frames", tmp_path, "--fps", 24)
    Image.new("RGB", (64, 64)).save(tmp_path / "1.png")
    with pytest.raises(EquimeError, match="at least two numbered pictures"):
        score("--frames", tmp_path, "--fps", 24)
    with pytest.raises(EquimeError, match="expected action units"):
        score("--frames", tmp_path, "--fps", 24, "--units", "smile")
