"""The command line: what a person types, what is printed, and the exit code."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from equime.cli import VERBS, main
from equime.table import Table


def equime(*arguments: object, **keywords) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "equime", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **keywords)


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert all(f"\n    {verb} " in printed for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    assert "--json" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nonsense"], 2, "invalid choice"),
        (["status"], 2, "required: workspace"),
        (["status", "nowhere"], 1, "no such folder"),
        (["plan", "ws"], 1, "add --faces DIR"),
        (["plan", "ws", "--faces", "nowhere"], 1, "no such folder or table of faces"),
        (["plan", "ws", "--faces", "."], 1, "no picture in"),
        (["generate", ".", "--shard", "2/2"], 1, "no workspace"),
        (["caption", "ws", "--workers", "many"], 2, "invalid int value"),
        (["caption", "ws", "--shard", "x"], 2, "invalid share value"),
        (["import", "nowhere", "ws"], 1, "nowhere"),
        (["show", "nowhere"], 1, "no such folder"),
    ],
)
def test_mistakes_are_one_line_and_an_exit_code(arguments: list[str], code: int, said: str, tmp_path: Path) -> None:
    done = equime(*arguments, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(Path.cwd())})
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    if code == 1:
        assert len(done.stderr.strip().splitlines()) == 1


def test_plan_lists_bad_images_and_says_so_by_its_exit_code(faces: Path, tmp_path: Path) -> None:
    shutil.copytree(faces, tmp_path / "faces")
    (tmp_path / "faces" / "broken.jpg").write_text("no image")
    Image.new("RGB", (1, 1)).save(tmp_path / "faces" / "dot.png")
    done = equime("plan", tmp_path / "ws", "--faces", tmp_path / "faces", "--json")
    assert done.returncode == 1
    assert "left out broken.jpg" in done.stderr
    assert "left out dot.png" in done.stderr
    report = json.loads(done.stdout)
    assert report["rows"] == 30
    assert report["rejected"].keys() == {"broken.jpg", "dot.png"}


def test_status_show_and_check_of_a_whole_workspace(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", str(workspace), "--json"]) == 0
    groups = {group["group"]: group for group in json.loads(capsys.readouterr().out)}
    assert groups["generate"]["done"] == 3
    assert groups["generate"]["failed_rows"] == 0
    assert main(["check", str(workspace)]) == 0
    assert "5 clips, no problem found" in capsys.readouterr().out
    assert main(["show", str(workspace), "--json"]) == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(listed) == 5
    clip_id = listed[0]["clip_id"]
    sheet, clip = tmp_path / "sheet.png", tmp_path / "clip.mp4"
    assert main(["show", str(workspace), clip_id, "--sheet", str(sheet), "--video", str(clip)]) == 0
    assert clip_id in capsys.readouterr().out
    with Image.open(sheet) as image:
        assert image.width > 600
    assert clip.read_bytes() == Table(workspace).find(clip_id)["video"]["bytes"]
    assert main(["show", str(workspace), "anger/f_nobody_01"]) == 1
    assert "no clip 'anger/f_nobody_01'" in capsys.readouterr().err


def test_check_finds_a_flipped_byte(workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(workspace, tmp_path / "ws")
    shard = Table(tmp_path / "ws").shard_path("generate", 1)
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    assert main(["check", str(tmp_path / "ws")]) == 1
    assert "00001" in capsys.readouterr().out


def test_export_and_import_give_the_same_clips(workspace: Path, tmp_path: Path) -> None:
    assert main(["export", str(workspace), str(tmp_path / "tree")]) == 0
    assert main(["import", str(tmp_path / "tree"), str(tmp_path / "ws")]) == 0

    def hashes(path: Path) -> dict[str, str]:
        return {row["clip_id"]: row["sha256"] for row in Table(path).rows(["clip_id", "sha256"])}

    assert hashes(tmp_path / "ws") == hashes(workspace)
    assert main(["check", str(tmp_path / "ws")]) == 0


def test_ctrl_c_keeps_what_is_finished_and_the_same_command_goes_on(workspace: Path, tmp_path: Path) -> None:
    shutil.copytree(workspace, tmp_path / "ws")
    made = tmp_path / "ws" / "generate"
    shutil.rmtree(made)
    running = subprocess.Popen(
        [sys.executable, "-m", "equime", "generate", str(tmp_path / "ws")], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 50
    while not list(made.glob("0*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "the same command goes on" in said
    assert "Traceback" not in said
    first = {path.name: path.stat().st_ino for path in made.glob("0*.parquet")}
    assert 0 < len(first) < 3
    assert equime("generate", tmp_path / "ws").returncode == 0
    after = {path.name: path.stat().st_ino for path in made.glob("0*.parquet")}
    assert len(after) == 3
    assert first.items() <= after.items()


def test_doctor_names_a_command_for_all_that_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    findings = {f["name"]: f for f in json.loads(capsys.readouterr().out)}
    assert findings["face models"]["ok"]
    assert findings["PyAV's FFmpeg"]["ok"]
    assert {"[torch]", "[tag]", "[all]", "GPU", "Hub login", "decoder torchcodec"} <= findings.keys()
    assert all(f["ok"] or f["mend"] for f in findings.values())
