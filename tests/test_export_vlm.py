"""Exports for trainers: files that load, clips that hold the frames they say, runs that go on, harmless words.

The frames of the test's clips show their own numbers, so that a decoded file tells which frames it holds. What the
formats ask for is written out here as their documentation has it, apart from the code that writes them.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import datasets
import numpy as np
import pytest
from ffmpeg_libs import environment
from hub_client import ROOT, Client
from hub_server import Hub
from hypothesis import given
from hypothesis import strategies as st
from make_clips import clip_bytes, index_of, pictures, truncated
from make_workspace import make_tree, make_workspace
from PIL import Image

from equime import schema, video
from equime.commands.export_vlm import export_vlm_flags
from equime.errors import EquimeError
from equime.hub import write_layout
from equime.publishing.releasing import space
from equime.table import Table
from equime.tuning.clips import Clips
from equime.tuning.formats.export import Exported, export
from equime.tuning.formats.markup import markup
from equime.tuning.formats.media import Cut
from equime.tuning.formats.options import FORMATS, Export
from equime.tuning.view import View

FRAMES, SHOWN = 20, 6
VIEWS: dict[str, dict[str, Any]] = {
    "apex": {"view": "apex", "frames": SHOWN},
    "clip": {"view": "clip"},
    "keyframes": {"view": "keyframes"},
}
CASES = [(name, view) for name in ("trl", "messages", "qwen", "mevqa") for view in VIEWS] + [("i2v", "clip")]
EMOTIONS = ("happiness", "sadness", "neutral")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "ws"
    make_workspace(path, subjects=6, per_emotion=1, emotions=EMOTIONS, frames=FRAMES, size=64)
    return path


@pytest.fixture(scope="module")
def exported(workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Exported]:
    folder = tmp_path_factory.mktemp("out")
    return {
        (name, view): export(
            str(workspace),
            folder / f"{name}-{view}",
            Export(name, **VIEWS[view]),
            progress=False,  # type: ignore[arg-type]
        )
        for name, view in CASES
    }


def rows(folder: Path, kind: str = "") -> list[dict[str, Any]]:
    files = [folder / f"{split}{kind}.jsonl" for split in schema.SPLITS]
    return [json.loads(line) for file in files if file.exists() for line in file.read_text().splitlines()]


def media(row: Any) -> Iterator[str]:
    """Every string in a row that names a file."""
    if isinstance(row, dict):
        row = list(row.values())
    if isinstance(row, list):
        for value in row:
            yield from media(value)
    elif isinstance(row, str) and row.endswith((".mp4", ".jpg", ".png")):
        yield row


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- files


@pytest.mark.parametrize(("name", "view"), CASES)
def test_files_load(exported: dict[tuple[str, str], Exported], name: str, view: str, tmp_path: Path) -> None:
    out = exported[name, view].out
    files = [str(file) for file in out.glob("*.jsonl")]
    for file in files:
        read = list(datasets.load_dataset("json", data_files=file, split="train", cache_dir=str(tmp_path)))
        written = [json.loads(line) for line in Path(file).read_text().splitlines()]
        assert read == written  # nothing added, such as `video: None` in a part that is text
    assert {f"{split}.jsonl" for split in schema.SPLITS} <= {Path(file).name for file in files}


@pytest.mark.parametrize(("name", "view"), CASES)
def test_paths_are_relative_and_every_file_is_named(
    exported: dict[tuple[str, str], Exported], workspace: Path, name: str, view: str
) -> None:
    out = exported[name, view].out
    found = {
        path
        for kind in ("", "_preference", "_ranking")
        for row in rows(out, kind)
        for path in (media(row) if name != "mevqa" else frames_of(out, row))
    }
    there = {path for path in contents(out) if path.endswith((".mp4", ".jpg", ".png"))}
    assert found == there and len(found) == exported[name, view].manifest["media"]["files"]
    assert not any(PurePosixPath(path).is_absolute() or ".." in path for path in found)
    for path, data in contents(out).items():
        assert str(out.parent).encode() not in data and str(workspace.parent).encode() not in data, path


def frames_of(out: Path, row: dict[str, Any]) -> list[str]:
    """Where ME-VQA's baselines look for the frames of a row."""
    folder = out / "frames" / row["dataset"] / row["image_id"]
    return [path.relative_to(out).as_posix() for path in sorted(folder.iterdir())]


@pytest.mark.parametrize(("name", "view"), CASES)
def test_the_manifest_tells_what_is_there(exported: dict[tuple[str, str], Exported], name: str, view: str) -> None:
    out, manifest = exported[name, view].out, exported[name, view].manifest
    assert json.loads((out / "export.json").read_text()) == manifest
    texts = {p.name for p in out.iterdir() if p.is_file()} - {"export.json", ".lock"}
    assert set(manifest["files"]) == texts
    for file, digest in manifest["files"].items():
        assert hashlib.sha256((out / file).read_bytes()).hexdigest() == digest
    kept = {split: part["examples"] for split, part in manifest["splits"].items()}
    mine = {split: 0 for split in kept}
    for split in mine:
        for kind in ("", "_preference"):
            path = out / f"{split}{kind}.jsonl"
            mine[split] += len(path.read_text().splitlines()) if path.exists() else 0
    assert kept == mine and all(mine.values())
    readme = (out / "README.md").read_text()
    assert "CC BY-NC 4.0" in readme and "ynthetic" in readme and "not gated" in readme


def test_no_face_is_in_two_splits(exported: dict[tuple[str, str], Exported]) -> None:
    out = exported["trl", "apex"].out
    texts = {split: (out / f"{split}.jsonl").read_text().splitlines() for split in schema.SPLITS}
    people = {split: {json.loads(line)["equime"]["subject_id"] for line in lines} for split, lines in texts.items()}
    assert {split: len(who) for split, who in people.items()} == dict.fromkeys(schema.SPLITS, 2)
    assert len(set.union(*people.values())) == 6


def test_labels_of_people_are_written_on_demand_alone(workspace: Path, tmp_path: Path) -> None:
    with_labels = export(
        str(workspace), tmp_path / "b", Export("qwen", view="clip", limit=3, labels="source"), progress=False
    )
    assert {row["equime"]["groups"]["gender"] for row in rows(with_labels.out)} <= {"female", "male"}


def test_they_are_in_no_file_otherwise(exported: dict[tuple[str, str], Exported]) -> None:
    for done in exported.values():
        assert not any("groups" in json.dumps(row) for row in rows(done.out))


# --- clips


def test_a_cut_holds_the_frames_of_the_view(exported: dict[tuple[str, str], Exported], workspace: Path) -> None:
    clips, view = Clips(str(workspace)), View("apex", SHOWN)
    for row in rows(exported["trl", "apex"].out)[:10]:
        [path] = media(row)
        decoded = video.decode(exported["trl", "apex"].out / path)
        seen = view.of(clips.row(row["equime"]["clip_id"]))
        assert [index_of(frame) for frame in decoded] == list(seen.indices)
        assert np.abs(decoded.astype(int) - seen.frames).mean() < 3
        facts = row["equime"]
        assert facts["frames"] == SHOWN == len(decoded) and facts["fps"] == facts["sample_fps"] == 24
        assert facts["start_ms"] == pytest.approx(1000 * seen.indices[0] / 24, abs=1e-3)


def test_a_whole_clip_keeps_its_bytes(exported: dict[tuple[str, str], Exported], workspace: Path) -> None:
    known = {row["clip_id"]: row["sha256"] for row in Table(workspace).rows(["sha256"])}
    for name in ("messages", "i2v"):
        for row in rows(exported[name, "clip"].out):
            [path] = [path for path in media(row) if path.endswith(".mp4")]
            clip_id = row["clip_id"] if name == "i2v" else row["equime"]["clip_id"]
            assert video.sha256((exported[name, "clip"].out / path).read_bytes()) == known[clip_id]


def test_spread_frames_keep_the_time_of_the_clip(workspace: Path, tmp_path: Path) -> None:
    done = export(
        str(workspace), tmp_path / "out", Export("trl", view="clip", frames=5, size=32, limit=2), progress=False
    )
    for path in {path for row in rows(done.out) for path in media(row)}:
        info = video.probe(done.out / path)
        assert info.num_frames == 5 and (info.height, info.width) == (32, 32)
        assert info.fps == pytest.approx(24 * 4 / 16, rel=1e-3)  # frames 2, 6, 10, 14, 18
        assert info.constant_rate
    assert "5 frames spread over a clip can miss the expression" in str(done)
    dense = export(str(workspace), tmp_path / "dense", Export("qwen", view="clip", frames=10, limit=1), progress=False)
    assert "can miss" not in str(dense)


def test_pairs_with_videos_are_told_to_be_too_much_for_trl(exported: dict[tuple[str, str], Exported]) -> None:
    for view, told in (("apex", True), ("clip", True), ("keyframes", False)):
        assert ("DPOTrainer takes pictures" in str(exported["trl", view])) is told


def test_keyframes_are_onset_apex_offset_and_motion(exported: dict[tuple[str, str], Exported], workspace: Path) -> None:
    clips = Clips(str(workspace))
    for row in rows(exported["messages", "keyframes"].out):
        shown = [np.array(Image.open(exported["messages", "keyframes"].out / path)) for path in row["images"]]
        assert len(shown) == 4
        expected = [2, 4, 6]
        if not row["equime"]["emotion"]:  # nothing is planned there: three frames that could have been
            expected = View("keyframes").indices(clips.facts(row["equime"]["clip_id"]))
            assert 0 <= expected[0] < expected[1] < expected[2] < FRAMES
        assert [index_of(picture) for picture in shown[:3]] == expected
        assert [Path(path).stem for path in row["images"]] == ["1_onset", "2_apex", "3_offset", "4_motion"]


def test_frames_of_me_vqa_sort_by_time(exported: dict[tuple[str, str], Exported]) -> None:
    out = exported["mevqa", "apex"].out
    for row in rows(out):
        shown = [index_of(np.array(Image.open(out / path))) for path in frames_of(out, row)]
        assert shown == sorted(shown) and len(shown) == SHOWN
        assert [int(Path(path).stem.removeprefix("frame_")) for path in frames_of(out, row)] == shown


def test_the_reference_is_the_first_frame(exported: dict[tuple[str, str], Exported]) -> None:
    out = exported["i2v", "clip"].out
    for row in rows(out):
        assert np.array_equal(np.array(Image.open(out / row["image"])), video.decode(out / row["video"], [0])[0])
        assert row["prompt"].startswith("a face, ") and row["negative_prompt"] == "blur"


@pytest.mark.parametrize("comment", ['{"synthetic": true, "seed": 5}', "words", None])
def test_a_cut_says_that_it_is_synthetic(comment: str | None) -> None:
    data = clip_bytes(FRAMES, comment=comment)
    row = {"clip_id": "fear/f_1_1", "emotion": "fear", "apex": 9, "num_frames": FRAMES, "fps": 24.0, "sha256": None}
    row |= {"onset": 7, "offset": 11, "video": {"bytes": data}}
    for view, loose in ((View("apex", 4), False), (View("keyframes"), False), (View("apex", 4), True)):
        cut = Cut(view, loose)
        for path, made in cut.files(cut.shown(row), row).items():
            said = video.probe(made).comment if path.endswith(".mp4") else Image.open(io.BytesIO(made)).info["comment"]
            assert said
            told = json.loads(said)
            assert told["synthetic"] is True
            if path.endswith(".mp4"):
                assert told["cut"]["first"] == 8 and told["cut"]["frames"] == 4
                assert comment is None or "words" in said or told["seed"] == 5
    reference = Cut(None, reference=True)
    shown = reference.shown(row)
    picture = Image.open(io.BytesIO(reference.files(shown, row)[shown.images[0]]))
    assert json.loads(picture.text["Comment"])["synthetic"] is True  # type: ignore[attr-defined]


# --- formats, as their documentation has them


def test_trl_parts(exported: dict[tuple[str, str], Exported]) -> None:
    for view, images, part in (("apex", 0, {"type": "video"}), ("keyframes", 4, {"type": "image"})):
        out = exported["trl", view].out
        for row in rows(out):
            user, assistant = row["messages"]
            assert len(row["images"]) == images and (user["role"], assistant["role"]) == ("user", "assistant")
            assert user["content"][0].items() >= part.items() and len(user["content"]) == max(images, 1) + 1
            assert set(user["content"][-1]) == {"type", "text"}  # a key `video`, even of None, is a second video
            assert assistant["content"][0].keys() == {"type", "text"}
        for row in rows(out, "_preference"):
            assert row["chosen"] != row["rejected"] and row["prompt"][0]["role"] == "user"
            assert row["chosen"][0]["role"] == row["rejected"][0]["role"] == "assistant"


def test_llama_factory_and_ms_swift(exported: dict[tuple[str, str], Exported]) -> None:
    """LLaMA-Factory: data/README.md, src/llamafactory/data/converter.py. ms-swift: Custom-dataset.md, "Multimodal"."""
    for view, tag, column, count in (("apex", "<video>", "videos", 1), ("keyframes", "<image>", "images", 4)):
        out = exported["messages", view].out
        info = json.loads((out / "dataset_info.json").read_text())
        assert set(info) == {f"equime_{s}{k}" for s in schema.SPLITS for k in ("", "_ranking")}
        for name, known in info.items():
            ranking = name.endswith("_ranking")
            assert known["formatting"] == "sharegpt" and known.get("ranking", False) is ranking
            for row in map(json.loads, (out / known["file_name"]).read_text().splitlines()):
                assert set(known["columns"].values()) <= set(row)
                turns = row[known["columns"]["messages"]]
                assert len(turns) % 2 == ranking  # an odd number of turns where the answers stand beside them
                roles = [turn[known["tags"]["role_tag"]] for turn in turns]
                assert roles == [known["tags"]["user_tag"], known["tags"]["assistant_tag"]][: len(turns)]
                said = "".join(turn[known["tags"]["content_tag"]] for turn in turns)
                assert said.count(tag) == len(row[known["columns"][column]]) == count
                if ranking:
                    assert row["chosen"]["role"] == row["rejected"]["role"] == "assistant"
        for row in rows(out, "_preference"):
            assert isinstance(row["rejected_response"], str) and len(row["messages"]) == 2
            assert row["rejected_response"] != row["messages"][1]["content"]


def test_qwen_scripts(exported: dict[tuple[str, str], Exported]) -> None:
    """qwen-vl-finetune/qwenvl/data/data_processor.py: media of `image` and `video` are used up by the tags."""
    for view, key, tag, count in (("clip", "video", "<video>", 1), ("keyframes", "image", "<image>", 4)):
        for row in rows(exported["qwen", view].out):
            human, gpt = row["conversations"]
            assert (human["from"], gpt["from"]) == ("human", "gpt")
            held = [row[key]] if isinstance(row[key], str) else row[key]
            assert human["value"].count(tag) == len(held) == count and tag not in gpt["value"]
    assert FORMATS["qwen"].TASKS == ("caption", "json", "question")


def test_me_vqa_keys(exported: dict[tuple[str, str], Exported]) -> None:
    """The keys of me_vqa_samm_casme2_smic.jsonl; a test to be answered has no answers and two frames."""
    out = exported["mevqa", "apex"].out
    keys = ["id", "dataset", "image_id", "subject", "filename", "question", "answer"]
    assert all(list(row) == keys for row in rows(out)) and len({row["id"] for row in rows(out)}) == len(rows(out))
    asked = rows(out, "_to_answer")
    assert asked and all(list(row) == [*keys, "onset_frame", "offset_frame"] and row["answer"] == "" for row in asked)
    assert {(row["onset_frame"], row["offset_frame"]) for row in asked} == {(2, 6), (None, None)}
    for row in asked:  # ids of clips begin with their emotion
        assert not any(emotion in str(row[name]) for emotion in EMOTIONS for name in ("id", "image_id", "filename"))


def test_a_cut_clip_is_asked_with_its_place_in_time(exported: dict[tuple[str, str], Exported]) -> None:
    for view, said in (("apex", True), ("clip", False)):
        asked = [
            row["conversations"][0]["value"]
            for row in rows(exported["qwen", view].out)
            if row["equime"]["task"] == "json"
        ]
        assert asked and all(("Shown are 6 frames, from" in question) is said for question in asked)


# --- runs


def test_a_second_run_writes_what_is_missing(workspace: Path, tmp_path: Path) -> None:
    options = Export("messages", **VIEWS["apex"])
    out = tmp_path / "out"
    assert export(str(workspace), out, options, progress=False).written == 18
    before, clips = contents(out), sorted(out.rglob("*.mp4"))
    times = {path: path.stat().st_mtime_ns for path in clips[2:]}
    for path in clips[:2]:
        path.unlink()
    (clips[3].parent / ".x.mp4.1-2.tmp").write_bytes(b"left by a killed run")
    (out / "export.json").unlink()
    assert export(str(workspace), out, options, progress=False).written == 2
    assert contents(out) == before and times == {path: path.stat().st_mtime_ns for path in clips[2:]}


def test_threads_write_the_same(workspace: Path, exported: dict[tuple[str, str], Exported], tmp_path: Path) -> None:
    done = export(str(workspace), tmp_path / "o", Export("trl", workers=4, **VIEWS["keyframes"]), progress=False)
    assert contents(done.out) == contents(exported["trl", "keyframes"].out)


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    make_workspace(tmp_path / "ws", subjects=8, emotions=EMOTIONS, frames=48, size=256, groups=("plan", "generate"))
    code = "import sys; from equime.tuning.formats.export import *; export(sys.argv[1], sys.argv[2], Export('qwen'))"
    run = subprocess.Popen([sys.executable, "-c", code, tmp_path / "ws", tmp_path / "out"], cwd=ROOT)
    until = time.monotonic() + 50
    while not list((tmp_path / "out").rglob("*.mp4")):
        assert run.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.wait()
    made = len(list((tmp_path / "out").rglob("*.mp4")))
    assert 0 < made < 24 and not (tmp_path / "out" / "export.json").exists()
    again = export(str(tmp_path / "ws"), tmp_path / "out", Export("qwen"), progress=False)
    whole = export(str(tmp_path / "ws"), tmp_path / "whole", Export("qwen"), progress=False)
    assert again.written == 24 - made and contents(again.out) == contents(whole.out)


# --- bad input


@given(st.lists(st.text(max_size=200), min_size=2, max_size=6, unique=True))
def test_names_of_any_id_stay_in_the_folder_and_differ(ids: list[str]) -> None:
    row = {"num_frames": 20, "fps": 24.0, "emotion": None, "sha256": "0"}
    for cut in (Cut(View("apex", 4)), Cut(View("keyframes")), Cut(None, loose=True), Cut(None, reference=True)):
        found = [cut.shown(row | {"clip_id": clip_id}) for clip_id in ids]
        for shown in found:
            for path in (*shown.videos, *shown.images):
                parts = PurePosixPath(path).parts
                assert not path.startswith("/") and not {"..", "."} & set(parts) and len(path) < 200
                assert all(part.replace("-", "").replace("_", "").replace(".", "").isalnum() for part in parts)
                assert path.isascii()
        assert len({shown.name.lower() for shown in found}) == len(ids)


def test_ids_that_differ_in_capitals_or_come_from_a_tree(tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", subjects=3, emotions=EMOTIONS[:2], frames=FRAMES, size=64)
    folder = tmp_path / "tree" / "sadness"
    for name in ("f_Anna_00", "f_anna_00", "f_Bob--7-_00"):
        shutil.copy(folder / "f_100_00.mp4", folder / f"{name}.mp4")
        known = json.loads((folder / "metadata" / "f_100_00_metadata.json").read_text())
        (folder / "metadata" / f"{name}_metadata.json").write_text(json.dumps(known))
    done = export(str(tmp_path / "tree"), tmp_path / "out", Export("qwen", view="clip"), progress=False)
    assert done.manifest["media"]["clips"] == 9 == len({path.name.lower() for path in done.out.rglob("*.mp4")})


TOKENS = "<video> <IMAGE> </s> <|im_start|> <|video_pad|> {{image}} [INST] <fake_token_around_image> <bbox> <tool_call>"


@pytest.mark.parametrize("token", TOKENS.split())
def test_markup_is_found(token: str) -> None:
    assert markup(f"A face.{token} More") == token


@pytest.mark.parametrize(
    "plain", ["a < b > c", '{"au": <FACS number>, "x": "<one to three sentences>"}', "2 <3", "{a} {b}"]
)
def test_plain_words_are_no_markup(plain: str) -> None:
    assert markup(plain) is None


def test_words_with_markup_are_left_out_and_counted(tmp_path: Path) -> None:
    from make_workspace import add_rows, make_row

    table = Table.create(tmp_path / "ws", shard_rows=4)
    made = [make_row(n, n, 1, "fear", frames=FRAMES, size=64) for n in range(6)]
    made[1]["prompt"] = "A face. <video> Look."
    made[2]["prompt"] = None
    add_rows(table, made)
    done = export(str(tmp_path / "ws"), tmp_path / "out", Export("i2v"), progress=False)
    assert len(rows(done.out)) == 4
    expected = {"clips without a prompt": 1, "examples with markup such as <video> in their words": 1}
    assert done.manifest["left_out"] == expected and all(f"left out: 1 {why}" in str(done) for why in expected)


def test_clips_that_cannot_be_shown_are_told(tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", subjects=4, emotions=EMOTIONS[:1], frames=FRAMES, size=64, shard_rows=1)
    hurt = make_workspace(tmp_path / "other", subjects=1, emotions=EMOTIONS[:1], frames=8, size=64, shard_rows=1)
    from make_workspace import write_shard

    row = table.read(1, schema.CLIPS.names).to_pylist()[0]
    row["video"] = {"bytes": truncated(row["video"]["bytes"]), "path": None}
    write_shard(table, "generate", 1, [row])
    short = hurt.read(0, schema.CLIPS.names).to_pylist()[0] | {
        "clip_id": table.read(2, ["clip_id"])["clip_id"][0].as_py()
    }
    write_shard(table, "generate", 2, [short])
    done = export(str(tmp_path / "ws"), tmp_path / "out", Export("qwen"), progress=False)
    assert len(done.failed) == 2 and done.manifest["media"]["clips"] == 2
    assert set(done.manifest["clips_not_shown"]) == {row["clip_id"], short["clip_id"]}
    [lost] = done.manifest["left_out"].values()
    assert lost > 2 and not {r["equime"]["clip_id"] for r in rows(done.out)} & set(done.failed)
    assert "between 1 and 8 frames" in done.failed[short["clip_id"]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"format": "csv"}, "expected a format of trl"),
        ({"format": "qwen", "tasks": ("preference",)}, "holds caption, json, question, not preference"),
        ({"format": "i2v", "view": "apex"}, "whole clips"),
        ({"frames": -1}, "expected --frames of 0 or more, got -1"),
        ({"frames": 1}, "2 frames or more"),
        ({"size": 33}, "even size"),
        ({"view": "clip", "size": 32}, "--frames"),
        ({"workers": 0}, "expected --workers of 1 or more, got 0"),
    ],
)
def test_options_that_make_no_sense(words: dict[str, Any], said: str) -> None:
    with pytest.raises(EquimeError, match=said):
        Export(**words)


def test_folders_that_are_something_else(workspace: Path, tmp_path: Path) -> None:
    def refused(out: Path, options: Export, said: str) -> None:
        with pytest.raises(EquimeError, match=said) as caught:
            export(str(workspace), out, options, progress=False)
        assert "\n" not in str(caught.value)

    (tmp_path / "file").write_text("")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    refused(tmp_path / "file", Export(), "is a file")
    refused(tmp_path / "mine", Export(), "holds something else")
    refused(workspace / "inside", Export(), "outside")
    small = Export("qwen", view="clip", limit=2)
    export(str(workspace), tmp_path / "out", small, progress=False)
    refused(tmp_path / "out", Export("qwen", view="clip", limit=3), "another export .limit 2.")
    refused(tmp_path / "new", Export(frames=FRAMES + 1), "no clip can be shown")


def test_no_space_for_the_clips(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(space.shutil, "disk_usage", lambda place: free)
    with pytest.raises(EquimeError, match="MB free") as caught:
        export(str(workspace), tmp_path / "out", Export(**VIEWS["apex"]), progress=False)
    assert "\n" not in str(caught.value) and not list((tmp_path / "out").rglob("*.mp4"))


def test_the_guess_of_space_is_enough(exported: dict[tuple[str, str], Exported], workspace: Path) -> None:
    clips = Clips(str(workspace))
    for (name, view), done in exported.items():
        cut = Export(name, **(VIEWS[view] if name != "i2v" else {})).cut  # type: ignore[arg-type]
        for row in Table(workspace).rows(["width", "height", "size_bytes", "num_frames"]):
            shown = cut.shown(clips.facts(row["clip_id"]))
            # Clips of 64 pixels with hard edges compress worse than faces do: within thrice the guess.
            paths = [done.out / path for path in (*shown.videos, *shown.images)]
            size = sum(path.stat().st_size for path in paths if path.exists())
            assert size <= 3 * cut.size(shown, row) + 4096 * len(paths)


# --- from elsewhere


def test_from_the_hub(workspace: Path, exported: dict[tuple[str, str], Exported], tmp_path: Path) -> None:
    write_layout(Table(workspace), tmp_path / "layout")
    code = """
import sys
from equime.tuning.formats.export import Export, export
print(export("org/set", sys.argv[1], Export("qwen", view="clip"), progress=False))
"""
    with Hub() as hub:
        hub.create("org/set", tmp_path / "layout")
        where = hub.environment(tmp_path, PYTHONPATH=str(ROOT))
        done = Client(["-c", code, str(tmp_path / "out")], where, tmp_path).wait()
        lost = Client(["-c", code.replace("org/set", "org/none"), str(tmp_path / "no")], where, tmp_path).wait()
    assert done.returncode == 0, done.stderr[-2000:]
    here = exported["qwen", "clip"].out
    assert sorted(map(json.dumps, rows(tmp_path / "out"))) == sorted(map(json.dumps, rows(here)))
    assert {p.name for p in (tmp_path / "out").rglob("*.mp4")} == {p.name for p in here.rglob("*.mp4")}
    assert json.loads((tmp_path / "out" / "export.json").read_text())["source"]["fingerprint"].startswith("org/set@")
    assert lost.returncode == 1 and "EquimeError: " in lost.stderr and not (tmp_path / "no").exists()


def test_the_command(workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    export_vlm_flags(parser)
    words = ["--json", str(workspace), "--format", "messages", "--tasks", "caption,question", "--view", "keyframes"]
    options = parser.parse_args([*words, "--splits", "test", "--out", str(tmp_path / "out")])
    assert options.command(options) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told["splits"]) == ["test"] and set(told["splits"]["test"]["tasks"]) == {"caption", "question"}
    assert told["written"] == 6


# --- TRL itself

TRAIN = """
import json, os, sys
import torch
sys.path.insert(0, sys.argv[1])
import tiny_vlm
from datasets import load_dataset
from pathlib import Path
from transformers import AutoModelForImageTextToText, AutoProcessor
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

torch.set_num_threads(1)
model = Path(sys.argv[3])
if not model.exists():
    tiny_vlm.save(model, sys.argv[5])
os.chdir(sys.argv[2])
processor = AutoProcessor.from_pretrained(model)
processor.video_processor.do_sample_frames = False
network = AutoModelForImageTextToText.from_pretrained(model)
data = load_dataset("json", data_files="train.jsonl", split="train", cache_dir=sys.argv[3] + "-cache")
batch = DataCollatorForVisionLanguageModeling(processor)([data[0], data[1]])
token = processor.tokenizer.convert_tokens_to_ids
count = lambda kind: (batch["input_ids"] == token(f"<|{kind}_pad|>")).sum(1).tolist()
same = dict(max_length=None, report_to=[], use_cpu=True, max_steps=1, per_device_train_batch_size=2, save_strategy="no")
run = SFTTrainer(network, SFTConfig(sys.argv[3] + "-run", **same), train_dataset=data, processing_class=processor)
told = {"loss": run.train().training_loss, "video": count("video"), "image": count("image")}
told["grid"] = batch.get("video_grid_thw", torch.zeros(0)).tolist()
told["seconds"] = batch.get("second_per_grid_ts", torch.zeros(0)).tolist()
if sys.argv[4] == "pairs":
    pairs = load_dataset("json", data_files="train_preference.jsonl", split="train", cache_dir=sys.argv[3] + "-cache")
    config = DPOConfig(sys.argv[3] + "-dpo", **same)
    run = DPOTrainer(network, None, config, train_dataset=pairs, processing_class=processor)
    told["dpo"] = run.train().training_loss
print(json.dumps(told))
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("view", "kind"), [("apex", "qwen2_5_vl"), ("apex", "qwen3_vl"), ("keyframes", "qwen2_5_vl")])
def test_trl_takes_it_unchanged(
    exported: dict[tuple[str, str], Exported], view: str, kind: str, tmp_path: Path
) -> None:
    pytest.importorskip("trl")
    pytest.importorskip("torchcodec")
    (tmp_path / "libraries").mkdir()
    pairs = "pairs" if view == "keyframes" else ""
    words = [Path(__file__).parent, exported["trl", view].out, tmp_path / "tiny", pairs, kind]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TRAIN, *map(str, words)],
        env=environment(tmp_path / "libraries") | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert 0 < told["loss"] < 20
    if view == "keyframes":
        assert told["video"] == [0, 0] and told["image"] == [16, 16] and 0 < told["dpo"] < 5
        return
    assert told["image"] == [0, 0] and [grid[0] for grid in told["grid"]] == [3, 3]  # 6 frames, 2 at once
    assert told["video"] == [int(np.prod(grid)) // 4 for grid in told["grid"]]  # 2 x 2 patches make a token
    assert told["seconds"] == (pytest.approx([2 / 24] * 2) if kind == "qwen2_5_vl" else [])


def test_pictures_of_the_test_are_what_they_say() -> None:
    assert [index_of(frame) for frame in pictures(FRAMES, 64)] == list(range(FRAMES))
