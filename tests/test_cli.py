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

import pyarrow as pa
import pytest
from make_workspace import make_workspace
from PIL import Image

from equime import schema
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
    assert all(f"\n    {verb} " in printed or f"\n    {verb}\n" in printed for verb in VERBS)


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
        (["plan", "ws"], 1, "--faces DIR"),
        (["plan", "ws", "--faces", "nowhere"], 1, "no such folder or table of faces"),
        (["plan", "ws", "--faces", "."], 1, "no picture in"),
        (["generate", ".", "--shard", "2/2"], 2, "expected i/n"),
        (["generate", "."], 1, "no workspace"),
        (["caption", "ws", "--workers", "many"], 2, "invalid int value"),
        (["caption", "ws", "--shard", "x"], 2, "expected i/n"),
        (["import", "nowhere", "ws"], 1, "nowhere"),
        (["show", "nowhere"], 1, "no such folder"),
        (["status", "file"], 1, "not a folder: file"),
        (["status", ""], 2, "argument workspace: expected a path, got an empty one"),
        (["import", "tree", ""], 2, "argument workspace: expected a path"),
        (["show", "k1", "--video", "x.mp4"], 2, "--sheet and --video need a CLIP_ID"),
    ],
)
def test_mistakes_are_one_line_and_an_exit_code(arguments: list[str], code: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
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
    lenient = ("--no-screen", "--adults", "--allow-shortfall")
    done = equime("plan", tmp_path / "ws", "--faces", tmp_path / "faces", *lenient, "--json")
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
    assert capsys.readouterr().out == "5 of 5 clips have a video, no problem found\n"
    assert main(["show", str(workspace), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
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


def test_check_names_what_could_not_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = make_workspace(tmp_path / "ws", subjects=6, failed=range(25))
    failed = [row["clip_id"] for row in table.rows(["clip_id", "generate_error"]) if row["generate_error"]]
    assert main(["check", str(table.path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:20] == [f"{clip_id}: the face is hidden" for clip_id in failed[:20]]
    assert lines[20:] == ["and 5 more clips failed: see --json", "5 of 30 clips have a video"]
    assert main(["check", str(table.path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert list(found["failed"]) == failed and found["problems"] == []


@pytest.mark.parametrize("verb", ["generate", "caption", "tag", "score"])
def test_a_stage_without_a_plan_is_one_line(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Table.create(tmp_path / "ws", shard_rows=4)
    flags = ["--faces", str(tmp_path)] if verb == "generate" else []
    assert main([verb, str(tmp_path / "ws"), *flags]) == 1
    assert f"run `equime {'generate' if verb == 'score' else 'plan'} {tmp_path / 'ws'}`" in capsys.readouterr().err


def test_a_damaged_plan_shard_hides_no_other_finding(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ws = shutil.copytree(workspace, tmp_path / "ws")
    plan, captions = Table(ws).shard_path("plan", 0), Table(ws).shard_path("caption", 1)
    plan.write_bytes(b"")
    captions.write_bytes(b"")
    assert main(["check", str(ws)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"cannot read {plan}", f"cannot read {captions}", lines[2]]
    assert lines[2] == "3 of 3 clips have a video"
    assert main(["check", str(ws), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["rows"], found["videos"], found["problems"]) == (3, 3, lines[:2])
    assert main(["status", str(ws)]) == 0
    damaged = [line for line in capsys.readouterr().out.splitlines() if "damaged" in line]
    assert all(line.endswith(f"(run `equime check {ws}`)") for line in damaged)
    assert len(damaged) == 2


def test_stale_columns_are_not_shown_and_check_says_what_to_run(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ws = shutil.copytree(workspace, tmp_path / "ws")
    table = Table(ws)
    footer = table.footer("plan", 0)
    rows = table.read(0, schema.GROUPS["plan"].names).to_pylist()
    changed = pa.Table.from_pylist([row | {"seed": 1, "apex_ms": row["apex_ms"] + 1} for row in rows])
    table.write("plan", 0, changed, footer)
    clip_id = rows[0]["clip_id"]
    assert main(["check", str(ws)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"generate: 1 of 3 shards are stale: run `equime generate {ws}`"
    assert lines[-1] == "3 of 5 clips have a video"
    assert main(["show", str(ws), clip_id, "--json"]) == 0
    shown = capsys.readouterr()
    row = json.loads(shown.out)
    assert row["seed"] == 1
    assert {row[name] for name in ("video", "sha256", "num_frames", "caption")} == {None}
    commands = f"`equime generate {ws}`, then `equime caption {ws}`"
    assert shown.err == f"equime: stale, and not shown: generate, caption; run {commands}\n"
    assert main(["show", str(ws), clip_id, "--sheet", str(tmp_path / "x.png")]) == 1
    assert f"{clip_id} has no video: run `equime generate {ws}`" in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()


def test_a_failed_run_keeps_the_good_videos(workspace: Path, tmp_path: Path) -> None:
    ws = shutil.copytree(workspace, tmp_path / "ws")
    before = {path: path.read_bytes() for path in (ws / "generate").glob("0*")}
    done = equime("generate", ws, "--faces", tmp_path / "nowhere", "--crf", "20")
    assert done.returncode == 1
    assert before == {path: path.read_bytes() for path in (ws / "generate").glob("0*")}


def test_status_shows_every_group(workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ws = shutil.copytree(workspace, tmp_path / "ws")
    shutil.rmtree(ws / "caption")
    assert main(["status", str(ws)]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(schema.GROUPS)
    assert main(["--json", "status", str(ws)]) == 0
    assert [group["group"] for group in json.loads(capsys.readouterr().out)] == list(schema.GROUPS)


def test_failures_are_json_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["status", str(tmp_path), "--json"], ["--json", "status", str(tmp_path)]):
        assert main(arguments) == 1
        said = capsys.readouterr()
        assert json.loads(said.out)["error"].startswith("no workspace: ")
        assert said.err == f"equime: {json.loads(said.out)['error']}\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_output_that_cannot_be_written_is_one_line(workspace: Path, arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "equime", "show", str(workspace), *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == "equime: cannot write the output: No space left on device\n"


def test_a_closed_output_is_one_line(workspace: Path) -> None:
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "equime", "show", str(workspace)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == "equime: cannot write the output: standard output is closed\n"


def test_sheets_are_png_files_and_whole(workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip_id = next(Table(workspace).rows(["clip_id"]))["clip_id"]
    (tmp_path / "folder.png").mkdir()
    for name, said in {"zz.foo": "ends in .png", "zz": "ends in .png", "folder.png": "is a folder"}.items():
        assert main(["show", str(workspace), clip_id, "--sheet", str(tmp_path / name)]) == 1
        printed = capsys.readouterr().err
        assert said in printed
        assert len(printed.splitlines()) == 1
    (tmp_path / "file").touch()
    assert main(["show", str(workspace), clip_id, "--sheet", str(tmp_path / "file" / "x.png")]) == 1
    assert "cannot write " in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"folder.png", "file"}


def test_export_and_import_give_the_same_clips(workspace: Path, tmp_path: Path) -> None:
    assert main(["export", str(workspace), str(tmp_path / "tree")]) == 0
    assert main(["import", str(tmp_path / "tree"), str(tmp_path / "ws")]) == 0

    def hashes(path: Path) -> dict[str, str]:
        return {row["clip_id"]: row["sha256"] for row in Table(path).rows(["clip_id", "sha256"])}

    assert hashes(tmp_path / "ws") == hashes(workspace)
    assert main(["check", str(tmp_path / "ws")]) == 0


@pytest.mark.parametrize(("number", "code", "workers"), [(signal.SIGINT, 130, 1), (signal.SIGTERM, 143, 2)])
def test_a_signal_keeps_what_is_finished_and_the_same_command_goes_on(
    workspace: Path, tmp_path: Path, number: int, code: int, workers: int
) -> None:
    shutil.copytree(workspace, tmp_path / "ws")
    made = tmp_path / "ws" / "generate"
    shutil.rmtree(made)
    command = [sys.executable, "-m", "equime", "generate", str(tmp_path / "ws"), "--workers", str(workers)]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 50
    while not list(made.glob("0*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(number)
    _, said = running.communicate(timeout=30)
    assert running.returncode == code
    assert len(said.splitlines()) == 1
    assert said.endswith("what was finished is kept, the same command goes on\n")
    assert not list(made.glob(".*.tmp"))
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
    assert {"weights of DeepFace", "weights of identity", "weights of brisque"} <= findings.keys()
    assert all(f["ok"] or f["mend"] for f in findings.values())
