from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_clips import (
    audio_only_bytes,
    clip_bytes,
    flipped,
    random_bytes,
    truncated,
    variable_rate_bytes,
    wrong_codec_bytes,
)
from make_workspace import add_rows, clip, foreign_metadata, make_row, make_tree, make_workspace, replan, write_shard

from equime import checks, schema, sidecar, tree_import
from equime.errors import EquimeError
from equime.table import Table
from equime.tree import export_tree, import_tree, index, is_tree, rows, split_of
from equime.tree_index import measured, read_sidecar

ROOT = Path(__file__).resolve().parents[1]
NAMES = [name for name in schema.METADATA.names if name not in schema.UNPUBLISHED]


def files(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def shards(workspace: Path) -> dict[str, bytes]:
    return {name: data for name, data in files(workspace).items() if name.endswith(".parquet")}


def with_metadata(root: Path, text: str | bytes, name: str = "f_100_00", emotion: str = "fear") -> Path:
    path = root / emotion / "metadata" / f"{name}_metadata.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return root


def one_clip(root: Path, data: bytes | None = None, name: str = "f_100_00", emotion: str = "fear") -> Path:
    (root / emotion).mkdir(parents=True, exist_ok=True)
    (root / emotion / f"{name}.mp4").write_bytes(clip(0) if data is None else data)
    return root


def keeps(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether `new` holds every key of `old` with its value; objects may hold more."""
    inside = ((old[key], new.get(key)) for key in old)
    return all(keeps(a, b) if isinstance(a, dict) and isinstance(b, dict) else a == b for a, b in inside)


def quiet(root: Path, workspace: Path, shard_rows: int = 4) -> tree_import.TreeReceipt:
    return import_tree(root, workspace, shard_rows, progress=False)


def columns(workspace: Path | Table, names: list[str]) -> dict[str, dict[str, object]]:
    table = workspace if isinstance(workspace, Table) else Table(workspace)
    return {row["clip_id"]: row for row in table.rows(names)}


# --- finding clips


@pytest.mark.parametrize("inside", ["", "emotion_category", "emotion_categories"])
def test_index_finds_every_clip_by_emotion_and_name(tmp_path: Path, inside: str) -> None:
    make_tree(tmp_path / inside, subjects=2, per_emotion=2)
    tree = index(tmp_path)
    assert [e.clip_id for e in tree.entries] == [
        f"{emotion}/{who}_{n}" for emotion in schema.EMOTIONS for who in ("f_100", "m_101") for n in ("00", "01")
    ]
    assert tree.emotions == schema.EMOTIONS
    assert not tree.problems and not tree.notes and is_tree(tmp_path)
    first = tree.entries[1]
    assert (first.emotion, first.gender, first.subject, first.sequence) == ("happiness", "f", "100", 1)
    assert Path(first.path).read_bytes() == clip(5) and first.sidecar


def test_index_reads_a_root_that_is_given_itself(tmp_path: Path) -> None:
    make_tree(tmp_path / "emotion_category", subjects=1)
    assert [e.clip_id for e in index(tmp_path / "emotion_category").entries] == [
        e.clip_id for e in index(tmp_path).entries
    ]


def test_the_papers_version(tmp_path: Path) -> None:
    emotions = ("happiness", "sadness", "surprise", "disgust", "anger")
    make_tree(tmp_path / "t", subjects=1, emotions=emotions, metadata=False, sequences=False)
    (tmp_path / "t/disgust/f_100.mp4").write_bytes(clip_bytes(161, 256))
    tree = index(tmp_path / "t")
    assert tree.emotions == ("happiness", "sadness", "surprise", "anger", "disgust")
    assert [e.clip_id for e in tree.entries][-1] == "disgust/f_100"
    assert {e.sequence for e in tree.entries} == {None}
    assert quiet(tmp_path / "t", tmp_path / "ws").failed == 0
    row = Table(tmp_path / "ws").find("disgust/f_100")
    assert (row["num_frames"], row["width"], row["height"], row["emotion"]) == (161, 256, 256, "disgust")
    assert row["generator"] == "imported" and row["split"] == "train"
    assert Table(tmp_path / "ws").groups == ["plan", "generate"]
    export_tree(Table(tmp_path / "ws"), tmp_path / "o", progress=False)
    assert {k: v for k, v in files(tmp_path / "o").items() if k.endswith("mp4")} == files(tmp_path / "t")


@pytest.mark.parametrize(("made", "message"), [(None, "no such folder"), ([], "is empty"), (["hapiness"], "hapiness")])
def test_no_tree_is_one_line(tmp_path: Path, made: list[str] | None, message: str) -> None:
    root = tmp_path / "t"
    for name in made or []:
        one_clip(root, emotion=name)
    if made is not None:
        root.mkdir(exist_ok=True)
    with pytest.raises(EquimeError, match=message) as caught:
        import_tree(root, tmp_path / "ws")
    assert "\n" not in str(caught.value) and not (tmp_path / "ws").exists()


def test_emotion_folders_without_clips_are_no_tree(tmp_path: Path) -> None:
    (tmp_path / "fear").mkdir()
    with pytest.raises(EquimeError, match="no clip in"):
        index(tmp_path)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("hapiness/f_1_1.mp4", "did you mean 'happiness'"),
        ("f_1_1.mp4", "no emotion folder"),
        ("fear/x_1_1.mp4", "should be named"),
        ("fear/F_1_1.mp4", "should be named"),
        ("fear/f_john smith_1.mp4", "should be named"),
        ("fear/f_.mp4", "should be named"),
        ("fear/f_100_00.MP4", "second clip 'fear/f_100_00'"),
        ("emotion_category/fear/f_100_00.mp4", "second clip 'fear/f_100_00'"),
        ("fear/metadata/f_7_7_metadata.json", "metadata of no clip"),
        (f"fear/f_{'a' * 65}_1.mp4", "at most 64"),
        (f"fear/f_1_{'1' * 65}.mp4", "at most 64"),
    ],
)
def test_what_cannot_be_a_clip_is_named_and_left_alone(tmp_path: Path, path: str, message: str) -> None:
    root = one_clip(tmp_path / "t")
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(b"{}")
    receipt = quiet(root, tmp_path / "ws")
    (problem,) = receipt.errors.items()
    assert message in problem[1] and problem[0] in (path, path.split("/")[0])
    assert receipt.failed == 1 and (root / path).read_bytes() == b"{}"
    assert list(columns(tmp_path / "ws", ["emotion"])) == ["fear/f_100_00"]


@pytest.mark.parametrize("name", ["fear/m_7_7.mp4", "m_7_7.mp4"])
def test_a_folder_named_like_a_clip_is_said(tmp_path: Path, name: str) -> None:
    root = one_clip(tmp_path / "t")
    (root / name).mkdir()
    receipt = quiet(root, tmp_path / "ws")
    assert receipt.errors == {name: "is a folder named like a clip: left out"} and receipt.left_out == 1


def test_upper_case_suffix_comes_back(tmp_path: Path) -> None:
    root = one_clip(tmp_path / "t")
    (root / "fear/f_100_00.mp4").rename(root / "fear/f_100_00.MP4")
    quiet(root, tmp_path / "ws")
    export_tree(tmp_path / "ws", tmp_path / "o", progress=False)
    assert (tmp_path / "o/fear/f_100_00.MP4").read_bytes() == clip(0)


@pytest.mark.parametrize("what", ["clip", "folder", "metadata", "metadata folder"])
def test_links_that_leave_the_tree_are_refused(tmp_path: Path, what: str) -> None:
    outside = make_tree(tmp_path / "outside", subjects=1)
    root = one_clip(tmp_path / "t", name="m_5_0")
    link, target = {
        "clip": (root / "fear/f_100_00.mp4", outside / "fear/f_100_00.mp4"),
        "folder": (root / "anger", outside / "anger"),
        "metadata": (root / "fear/metadata/m_5_0_metadata.json", outside / "fear/metadata/f_100_00_metadata.json"),
        "metadata folder": (root / "fear/metadata", outside / "fear/metadata"),
    }[what]
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(target)
    tree = index(root)
    assert [e.clip_id for e in tree.entries] == ["fear/m_5_0"] and tree.entries[0].sidecar is None
    (problem,) = tree.problems.items()
    assert problem == (link.relative_to(root).as_posix(), "is a link that leaves the tree: refused")


def test_links_inside_the_tree_and_to_it_are_followed(tmp_path: Path) -> None:
    root = one_clip(tmp_path / "t")
    (root / "fear/m_5_0.mp4").symlink_to("f_100_00.mp4")
    (root / "fear/m_6_0.mp4").symlink_to("nothing.mp4")
    (tmp_path / "link").symlink_to(root)
    tree = index(tmp_path / "link")
    assert [e.subject for e in tree.entries] == ["100", "5"]
    assert tree.problems == {"fear/m_6_0.mp4": "is a link to nothing"}


# --- rows in place


def test_rows_in_place_are_the_imported_ones(tmp_path: Path) -> None:
    make_tree(tmp_path / "t", emotions=(*schema.EMOTIONS, "disgust", "neutral"))
    tree = index(tmp_path / "t")
    quiet(tmp_path / "t", tmp_path / "ws")
    imported = columns(tmp_path / "ws", schema.METADATA.names)
    found = rows(tree.entries, split_of(tree.entries), probe=True)
    assert {row["clip_id"]: row | {"epoch": 0} for row in found} == imported
    assert all(list(row) == schema.METADATA.names for row in found)
    neutral = imported["neutral/f_100_00"]
    assert neutral["emotion"] is None and neutral["control"] == "neutral"


def test_rows_speak_the_contract(tmp_path: Path) -> None:
    make_tree(tmp_path, subjects=2)
    row = rows(index(tmp_path).entries)[5]
    assert (row["gender"], row["race"], row["generator"]) == ("male", "latino hispanic", "LTX-Video")
    assert row["seed"] == 2**60 + 7 and row["age"] == 38.25 and row["fps"] == 24.0 and row["num_frames"] == 8
    assert row["action_units"] == [
        {"au": 4, "side": "B", "intensity": None},
        {"au": 12, "side": "R", "intensity": "B"},
    ]
    assert row["sha256"] is None and row["size_bytes"] == len(clip(7))


def test_facts_are_those_of_pyav(tmp_path: Path) -> None:
    root = one_clip(tmp_path, clip_bytes(11, (32, 48), fps=12))
    (row,) = rows(index(root).entries, probe=True)
    with av.open(str(root / "fear/f_100_00.mp4")) as file:
        frames = list(file.decode(video=0))
    assert (row["num_frames"], row["height"], row["width"], row["fps"]) == (len(frames), 32, 48, 12.0)
    assert row["duration_s"] == pytest.approx(11 / 12)
    assert row["sha256"] == hashlib.sha256(Path(index(root).entries[0].path).read_bytes()).hexdigest()
    assert row["bitrate_kbps"] == pytest.approx(row["size_bytes"] * 8 / 1000 / row["duration_s"])


@pytest.mark.parametrize(
    "document",
    [
        {"gender": "Man", "age": "31", "race": "Middle Eastern"},
        {"demographics": {"gender": {"Man": 9, "Woman": 0}, "dominant_gender": "Man", "avg_age": 31.0,
                          "dominant_race": "middle eastern"}},
        {"pseudo_labels": {"gender": "male", "age": 31, "race": "middle eastern"}, "gender": {"Man": 99.1}},
    ],
)  # fmt: skip
def test_demographics_are_found_where_releases_put_them(document: dict[str, object]) -> None:
    values = sidecar.read(document)
    assert (values["gender"], values["age"], values["race"]) == ("male", 31.0, "middle eastern")


def test_values_that_do_not_fit_are_left_null_and_listed() -> None:
    document = {"gender": "Unknown", "age": True, "seed": 2**70, "fps": "fast", "caption": ["a"], "reject_reasons": [1]}
    assert sidecar.read(document) == {}
    said = {"gender='Unknown'", "age", "seed", "fps='fast'", "caption", "reject_reasons"}
    assert set(sidecar.unknown_keys(document)) == said
    row = make_row(0, 0, 0, "fear")
    merged = sidecar.merge(row, document)
    assert {k: merged[k] for k in document} == document
    assert sidecar.read(merged)["caption"] == row["caption"] and sidecar.read(merged)["seed"] == row["seed"]


KEYS = st.sampled_from([*schema.METADATA.names, *sidecar._NAMES, *sidecar._OBJECTS, "note", "file"])
WORDS = st.sampled_from(["male", "AU4+R12B", "12", "inf", "\ud800", "a/b", "train", "", "1e400"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=3)
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(KEYS, v, max_size=3), max_leaves=8)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_whatever_metadata_says_reads_as_columns_and_comes_back(document: dict[str, Any]) -> None:
    values = sidecar.read(document)
    pa.Table.from_pylist([values], schema=schema.METADATA)
    sidecar.unknown_keys(document)
    merged = sidecar.merge(values, document)
    hidden = set(schema.UNPUBLISHED)
    assert merged.keys() >= document.keys() - hidden and not hidden & merged.keys()
    again = json.loads(sidecar.dumps(merged))
    for name in values.keys() - hidden:
        assert repr(sidecar.read(again)[name]) == repr(values[name])


def test_infinite_scores_come_back() -> None:
    data = sidecar.dumps(sidecar.merge({"psnr_source": float("inf"), "psnr_consecutive": float("-inf")}))
    strict = json.loads(data, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert sidecar.read(strict)["psnr_source"] == float("inf")
    assert sidecar.read(strict)["psnr_consecutive"] == float("-inf")


# --- splits


def test_splits_share_no_subject_and_follow_the_metadata(tmp_path: Path) -> None:
    make_tree(tmp_path, subjects=10, emotions=("fear", "anger"), metadata=False)
    with_metadata(tmp_path, '{"split": "test"}', "f_104_00")
    split = split_of(index(tmp_path).entries)
    by_subject: dict[str, set[str]] = {}
    for entry in index(tmp_path).entries:
        by_subject.setdefault(entry.subject, set()).add(split[entry.clip_id])
    assert all(len(found) == 1 for found in by_subject.values())
    assert by_subject["104"] == {"test"} and set(split.values()) == set(schema.SPLITS)


def test_two_subjects_are_all_train(tmp_path: Path) -> None:
    make_tree(tmp_path, subjects=2)
    assert set(split_of(index(tmp_path).entries).values()) == {"train"}


# --- round trips


def test_tree_to_workspace_to_tree_keeps_every_byte_and_key(tmp_path: Path) -> None:
    make_tree(tmp_path / "t", emotions=("happiness", "disgust", "neutral"))
    receipt = quiet(tmp_path / "t", tmp_path / "ws")
    assert receipt.failed == 0 and (receipt.done, receipt.rows) == (3, 9)
    assert "camera" in str(receipt) and "generation.steps" in str(receipt)
    assert export_tree(tmp_path / "ws", tmp_path / "o", progress=False).failed == 0
    before, after = files(tmp_path / "t"), files(tmp_path / "o")
    assert list(before) == list(after)
    for name, data in before.items():
        if name.endswith(".mp4"):
            assert after[name] == data
        else:
            old, new = json.loads(data), json.loads(after[name])
            assert keeps(old, new)
            assert new["synthetic"] is True and new["split"] in schema.SPLITS


def test_workspace_to_tree_to_workspace_keeps_every_released_column(tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", per_emotion=2, emotions=(*schema.EMOTIONS, "disgust", "neutral"))
    export_tree(table, tmp_path / "t", progress=False)
    assert quiet(tmp_path / "t", tmp_path / "again").failed == 0
    assert columns(tmp_path / "again", NAMES) == columns(table, NAMES)
    videos = columns(tmp_path / "again", ["video"])
    assert {k: v["video"]["bytes"] for k, v in videos.items()} == {
        k: v["video"]["bytes"] for k, v in columns(table, ["video"]).items()
    }
    export_tree(tmp_path / "again", tmp_path / "t2", progress=False)
    assert files(tmp_path / "t2") == files(tmp_path / "t")


def test_the_workspace_made_by_an_import_keeps_the_contract(tmp_path: Path) -> None:
    make_tree(tmp_path / "t", emotions=(*schema.EMOTIONS, "disgust", "neutral"))
    quiet(tmp_path / "t", tmp_path / "ws")
    assert list(checks.check(Table(tmp_path / "ws"))) == []


def test_export_writes_what_the_workspace_learnt_since(tmp_path: Path) -> None:
    root = with_metadata(one_clip(tmp_path / "t"), '{"caption": "old", "note": 1, "fps": 23.98}')
    quiet(root, tmp_path / "ws")
    table = Table(tmp_path / "ws")
    (row,) = table.rows(schema.METADATA.names)
    shutil.rmtree(tmp_path / "ws/caption")
    write_shard(table, "caption", 0, [row | {"caption": "new", "caption_json": '{"a": 1}'}])
    export_tree(table, tmp_path / "o", progress=False)
    document = json.loads((tmp_path / "o/fear/metadata/f_100_00_metadata.json").read_text())
    assert document["caption"] == "new" and document["caption_json"] == {"a": 1} and document["note"] == 1
    assert document["fps"] == 23.98  # what came in about the same file


# --- what is wrong with a clip stops nothing


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: b"", "empty"),
        (lambda: truncated(clip(0)), "video"),
        (lambda: truncated(clip_bytes(32, faststart=True)), "truncated|ends|short"),
        (lambda: random_bytes(), "video"),
        (lambda: wrong_codec_bytes(), "codec = 'h264', got 'mpeg4'"),
        (lambda: variable_rate_bytes(), "constant_rate"),
        (lambda: audio_only_bytes(), "no video|video stream"),
    ],
    ids=["empty", "truncated", "truncated with its index in front", "noise", "codec", "variable rate", "audio only"],
)
def test_a_bad_file_keeps_its_row_its_bytes_and_a_reason(
    tmp_path: Path, make: Callable[[], bytes], message: str
) -> None:
    data = make()
    root = one_clip(one_clip(tmp_path / "t", data), name="m_101_00")
    receipt = quiet(root, tmp_path / "ws")
    assert list(receipt.errors) == ["fear/f_100_00"] and receipt.failed == 1
    assert "\n" not in receipt.errors["fear/f_100_00"]
    bad, good = Table(tmp_path / "ws").find("fear/f_100_00"), Table(tmp_path / "ws").find("fear/m_101_00")
    assert bad["generate_error"] == receipt.errors["fear/f_100_00"] and good["generate_error"] is None
    assert re.search(message, bad["generate_error"]), bad["generate_error"]
    export_tree(tmp_path / "ws", tmp_path / "o", progress=False)
    assert (tmp_path / "o/fear/f_100_00.mp4").read_bytes() == data
    assert quiet(root, tmp_path / "ws").failed == 1  # said again


def test_one_flipped_byte_and_missing_frames_are_found_by_the_metadata(tmp_path: Path) -> None:
    said = {"sha256": hashlib.sha256(clip(0)).hexdigest()}
    root = with_metadata(one_clip(tmp_path / "t", flipped(clip(0))), json.dumps(said))
    with_metadata(one_clip(root, name="f_7_0"), '{"total_frames": 144}', "f_7_0")
    errors = quiet(root, tmp_path / "ws").errors
    assert "sha256" in errors["fear/f_100_00"]
    assert errors["fear/f_7_0"] == "the metadata says num_frames = 144, the file has 8"


def test_a_file_that_cannot_be_read_keeps_its_row(tmp_path: Path) -> None:
    root = with_metadata(one_clip(tmp_path / "t"), "{}")
    (entry,) = index(root).entries
    (root / "fear/f_100_00.mp4").unlink()
    (root / "fear/metadata/f_100_00_metadata.json").unlink()
    assert "cannot be read" in measured(entry, {})["generate_error"]
    with pytest.raises(EquimeError, match="cannot be read"):
        read_sidecar(entry)
    (row,) = rows([entry], probe=True)
    assert "cannot be read" in row["generate_error"] and "cannot be read" in row["caption_error"]


def test_a_file_without_permission_keeps_its_row() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = one_clip(Path(folder) / "t")
        (entry,) = index(root).entries
        os.chmod(folder, 0o755)
        os.chmod(entry.path, 0)
        user = os.geteuid()
        try:
            if user == 0:  # who reads everything
                os.seteuid(65534)
            made = measured(entry, {})
        finally:
            os.seteuid(user)
    assert made["generate_error"] == "the file cannot be read: Permission denied" and made["video"] is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"caption": "half', "no JSON"),
        (b"\xff\xfe\x00", "no JSON"),
        ("", "no JSON"),
        ("[1, 2]", "one JSON object"),
        ("[" * 100_000, "no JSON"),
        ('{"a": ' * 400 + "1" + "}" * 400, "more than 64 deep"),
        ('{"file": "../../secret.mp4", "caption": "c"}', "outside its folder"),
        ('{"video_info": {"path": "/etc/passwd"}, "caption": "c"}', "outside its folder"),
        ('{"filename": "C:\\\\clips\\\\a.mp4", "caption": "c"}', "outside its folder"),
        ('{"video_path": "a\\\\..\\\\..\\\\b.mp4"}', "outside its folder"),
        ('{"equime_schema": 99, "caption": "c"}', "schema version 99"),
    ],
)
def test_metadata_that_cannot_be_used_is_kept_as_text(tmp_path: Path, text: str | bytes, message: str) -> None:
    root = with_metadata(one_clip(tmp_path / "t"), text)
    with_metadata(one_clip(root, name="m_101_00"), '{"caption": "good"}', "m_101_00")
    receipt = quiet(root, tmp_path / "ws")
    assert list(receipt.errors) == ["fear/f_100_00"] and message in receipt.errors["fear/f_100_00"]
    assert "\n" not in receipt.errors["fear/f_100_00"]
    bad, good = (Table(tmp_path / "ws").find(f"fear/{name}") for name in ("f_100_00", "m_101_00"))
    assert message in bad["caption_error"] and bad["caption"] is None and bad["video"]["bytes"] == clip(0)
    assert bad["generate_error"] is None and good["caption"] == "good"
    (row,) = rows(index(root).entries[:1])
    assert row["caption"] is None and message in row["caption_error"]
    export_tree(tmp_path / "ws", tmp_path / "o", progress=False)
    document = json.loads((tmp_path / "o/fear/metadata/f_100_00_metadata.json").read_text())
    raw = text if isinstance(text, bytes) else text.encode()
    assert document["unparsed_metadata"] == raw.decode(errors="backslashreplace")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"emotion": "fear"}, "wrong emotion folder: JSON says 'fear', the folder says 'sadness'"),
        ({"emotion": "Happy"}, "wrong emotion folder: JSON says 'Happy', the folder says 'sadness'"),
        ({"equime": {"emotion": "neutral"}}, "wrong emotion folder: JSON says 'neutral', the folder says 'sadness'"),
        ({"subject_id": "101"}, "JSON of another clip: subject_id is '101' in it, '100' in the file name 'f_100_07'"),
        ({"sequence": 8}, "JSON of another clip: sequence is 8 in it, '07' in the file name 'f_100_07'"),
    ],
)
def test_metadata_of_another_clip_is_refused(tmp_path: Path, document: dict[str, Any], message: str) -> None:
    root = one_clip(tmp_path / "t", name="f_100_07", emotion="sadness")
    text = json.dumps({"caption": "c", "split": "test", "source": "celeba/1.jpg"} | document)
    with_metadata(root, text, "f_100_07", "sadness")
    one_clip(root, name="f_200_07", emotion="sadness")
    with_metadata(root, '{"caption": "good", "gender": "male"}', "f_200_07", "sadness")
    receipt = quiet(root, tmp_path / "ws")
    assert receipt.failed == 1 and receipt.errors["sadness/f_100_07"].startswith(message)
    assert "2 clips imported, 1 clip with an error, 0 files left out" in str(receipt)
    row = Table(tmp_path / "ws").find("sadness/f_100_07")
    assert row["emotion"] == "sadness" and row["video"]["bytes"] == clip(0) and row["split"] == "train"
    in_place = rows(index(root).entries, split_of(index(root).entries))
    for found in (row, in_place[0]):
        assert found["caption"] is None and found["caption_error"].startswith(message)
        assert found["tag_error"] == found["caption_error"] and found["split"] == "train"
    export_tree(tmp_path / "ws", tmp_path / "o", progress=False)
    released = json.loads((tmp_path / "o/sadness/metadata/f_100_07_metadata.json").read_text())
    assert released["emotion"] == "sadness" and released["sequence"] == 7 and "caption" not in released
    assert json.loads(released["unparsed_metadata"]) == {"caption": "c", "split": "test"} | document
    assert quiet(tmp_path / "o", tmp_path / "again").failed == 0


def test_metadata_that_agrees_in_other_words_is_taken(tmp_path: Path) -> None:
    said = {"emotion": "Sad", "subject_id": 100, "sequence": 7, "gender": "Man", "caption": "c"}
    root = one_clip(tmp_path / "t", name="f_100_07", emotion="sadness")
    with_metadata(root, json.dumps(said), "f_100_07", "sadness")
    assert quiet(root, tmp_path / "ws").failed == 0
    row = Table(tmp_path / "ws").find("sadness/f_100_07")
    assert row["caption"] == "c" and row["gender"] == "male"  # perceived, whatever the name's code


def test_metadata_of_some_clips_only_is_a_note(tmp_path: Path) -> None:
    root = with_metadata(one_clip(one_clip(tmp_path / "t"), name="m_1_0"), '{"caption": "c"}')
    receipt = quiet(root, tmp_path / "ws")
    assert receipt.failed == 0 and receipt.notes == ("1 of 2 clips without a metadata JSON",)


# --- stopping, resuming, growing


def interrupted_after(calls: int, function: Callable[..., object]) -> Callable[..., object]:
    left = iter(range(calls))

    def stop(*args: object, **options: object) -> object:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return function(*args, **options)

    return stop


@pytest.mark.parametrize("name", ["record", "measured", "_write", "write_released"])
@pytest.mark.parametrize("calls", [0, 2, 4])
def test_an_import_that_was_stopped_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, calls: int
) -> None:
    make_tree(tmp_path / "t", subjects=5, emotions=("fear", "anger"))
    quiet(tmp_path / "t", tmp_path / "whole", 2)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(tree_import, name, interrupted_after(calls, getattr(tree_import, name)))
        quiet(tmp_path / "t", tmp_path / "ws", 2)
    done = shards(tmp_path / "ws")
    assert done.items() <= shards(tmp_path / "whole").items() and len(done) < len(shards(tmp_path / "whole"))
    receipt = quiet(tmp_path / "t", tmp_path / "ws", 2)
    assert receipt.failed == 0 and shards(tmp_path / "ws") == shards(tmp_path / "whole")
    assert quiet(tmp_path / "t", tmp_path / "ws", 2).done == 0


def test_an_import_that_was_killed_loses_no_finished_shard(tmp_path: Path) -> None:
    make_tree(tmp_path / "t", subjects=20, emotions=("fear", "anger"))
    quiet(tmp_path / "t", tmp_path / "whole", 1)
    code = "import sys; from equime.tree import import_tree; import_tree(sys.argv[1], sys.argv[2], 1, False)"
    with subprocess.Popen([sys.executable, "-c", code, tmp_path / "t", tmp_path / "ws"], cwd=ROOT) as process:
        while process.poll() is None and len(list((tmp_path / "ws/generate").glob("*.parquet"))) < 5:
            time.sleep(0.002)
        process.kill()
    done = shards(tmp_path / "ws")
    assert done and done.items() <= shards(tmp_path / "whole").items()
    assert quiet(tmp_path / "t", tmp_path / "ws", 1).failed == 0
    assert files(tmp_path / "ws").keys() == files(tmp_path / "whole").keys()
    assert shards(tmp_path / "ws") == shards(tmp_path / "whole")


def test_clips_added_later_open_new_shards_and_change_nothing(tmp_path: Path) -> None:
    make_tree(tmp_path / "t", subjects=4, emotions=("fear",))
    quiet(tmp_path / "t", tmp_path / "ws", 3)
    before = shards(tmp_path / "ws")
    split = {row["subject_id"]: row["split"] for row in columns(tmp_path / "ws", ["subject_id", "split"]).values()}
    make_tree(tmp_path / "t", subjects=9, emotions=("anger", "fear"))
    receipt = quiet(tmp_path / "t", tmp_path / "ws", 3)
    after = shards(tmp_path / "ws")
    assert before.items() <= after.items() and (receipt.fresh, receipt.rows) == (2, 14)
    found = list(Table(tmp_path / "ws").rows(["subject_id", "split", "epoch"]))
    assert [row["epoch"] for row in found] == [0] * 4 + [1] * 14
    assert all(split.get(row["subject_id"], row["split"]) == row["split"] for row in found)
    assert len({(row["subject_id"], row["split"]) for row in found}) == 9


def test_a_mended_file_is_read_again_on_request(tmp_path: Path) -> None:
    root = one_clip(tmp_path / "t", b"")
    quiet(root, tmp_path / "ws")
    one_clip(root)
    assert quiet(root, tmp_path / "ws").failed == 1
    assert import_tree(root, tmp_path / "ws", progress=False, retry_failed=True).failed == 0
    assert Table(tmp_path / "ws").find("fear/f_100_00")["num_frames"] == 8


@pytest.mark.parametrize("what", ["another size", "another content", "metadata", "both"])
def test_a_clip_that_changed_in_the_tree_is_said_and_not_taken(tmp_path: Path, what: str) -> None:
    root = make_tree(tmp_path / "t", subjects=2, emotions=("fear",))
    assert quiet(root, tmp_path / "ws").failed == 0
    before = shards(tmp_path / "ws")
    path = root / "fear/f_100_00.mp4"
    if what == "another size":
        one_clip(root, clip(0) + b"\0")
    if what in ("another content", "both"):
        one_clip(root, flipped(clip(0)))
        os.utime(path, ns=(1, 1))
    if what in ("metadata", "both"):
        with_metadata(root, '{"caption": "changed"}')
    receipt = quiet(root, tmp_path / "ws")
    assert list(receipt.errors) == ["fear/f_100_00"] and receipt.failed == 1 and receipt.present == 2
    assert re.search("differs? from what was imported", receipt.errors["fear/f_100_00"])
    assert ("its metadata JSON" in receipt.errors["fear/f_100_00"]) == (what in ("metadata", "both"))
    assert shards(tmp_path / "ws") == before


def test_a_clip_that_was_only_touched_is_the_same(tmp_path: Path) -> None:
    root = make_tree(tmp_path / "t", subjects=2, emotions=("fear",))
    quiet(root, tmp_path / "ws")
    os.utime(root / "fear/f_100_00.mp4", ns=(1, 1))
    receipt = quiet(root, tmp_path / "ws")
    assert receipt.failed == 0
    assert "0 clips imported (2 there already), 0 clips with an error, 0 files left out" in str(receipt)


def test_a_clip_that_was_planned_otherwise_is_refused(tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", subjects=1, emotions=("fear",))
    before = shards(tmp_path / "ws")
    root = one_clip(one_clip(tmp_path / "t", name="f_0_0"), name="m_9_0")
    receipt = quiet(root, tmp_path / "ws")
    assert list(receipt.errors) == ["fear/f_0_0"] and "another workspace" in receipt.errors["fear/f_0_0"]
    assert before.items() <= shards(tmp_path / "ws").items()
    assert [row["clip_id"] for row in table.rows(["emotion"])] == ["fear/f_0_0", "fear/m_9_0"]


# --- exporting


@pytest.fixture
def exported(tmp_path: Path) -> Iterator[tuple[Table, Path]]:
    table = make_workspace(tmp_path / "ws", subjects=1, failed=[1])
    export_tree(table, tmp_path / "o", progress=False)
    yield table, tmp_path / "o"


def test_export_discloses_and_withholds(exported: tuple[Table, Path]) -> None:
    table, out = exported
    row = table.find("happiness/f_0_0")
    text = (out / "happiness/metadata/f_0_0_metadata.json").read_text()
    document = json.loads(text)
    assert document["synthetic"] is True and "not self-reported" in document["perceived"]
    assert row["source"] not in text and row["source_sha256"] not in text and "null" not in text
    assert document["pseudo_labels"]["gender"] == "female"
    assert document["total_frames"] == 8 and document["file_size_bytes"] == len(clip(0))
    assert document["generation"]["generator"] == "warp" and document["generation"]["onset_ms"] == row["onset_ms"]
    assert set(document["scores"]) >= {"psnr_consecutive", "accepted"} and "lpips_source" not in document["scores"]


def test_unpublished_keys_that_came_in_stay_in_the_workspace(tmp_path: Path) -> None:
    said = {"source": "celeba/000123.jpg", "generation": {"source_sha256": "ab" * 32, "steps": 8}}
    quiet(with_metadata(one_clip(tmp_path / "t"), json.dumps(said)), tmp_path / "ws")
    assert Table(tmp_path / "ws").find("fear/f_100_00")["source"] == "celeba/000123.jpg"
    export_tree(tmp_path / "ws", tmp_path / "o", progress=False)
    text = (tmp_path / "o/fear/metadata/f_100_00_metadata.json").read_text()
    assert "celeba" not in text and "ab" * 32 not in text and json.loads(text)["generation"]["steps"] == 8


def test_rows_without_a_video_are_said_and_not_written(exported: tuple[Table, Path], tmp_path: Path) -> None:
    table, out = exported
    assert not (out / "sadness").exists()
    receipt = export_tree(table, out, progress=False)
    assert receipt.errors == {"sadness/f_0_0": "has no video: the face is hidden"} and receipt.failed == 1
    add_rows(table, [make_row(9, 5, 0, "fear")], groups=())
    assert "not generated yet" in export_tree(table, out, progress=False).errors["fear/m_5_0"]


def test_what_is_stale_is_not_exported(tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", subjects=2)
    ids = replan(table, 0)
    shard = table.read(1, schema.CLIPS.names).to_pylist()
    write_shard(table, "caption", 1, shard, reads=("prompt",))
    write_shard(table, "plan", 1, [row | {"prompt": "another"} for row in shard])
    receipt = export_tree(table, tmp_path / "o", progress=False)
    assert list(receipt.errors) == ids and receipt.failed == 4 and receipt.rows == 6
    assert all("stale" in why and f"`equime generate {table.path}`" in why for why in receipt.errors.values())
    assert receipt.notes == (
        f"score of 4 clips is stale and was left out: run `equime score {table.path}`",
        f"caption of 4 clips is stale and was left out: run `equime caption {table.path}`",
    )
    assert not any((tmp_path / f"o/{clip_id}.mp4").exists() for clip_id in ids)
    for path in (tmp_path / "o").rglob("*.json"):
        clip_id = f"{path.parts[-3]}/{path.name.removesuffix('_metadata.json')}"
        assert ("caption" in json.loads(path.read_text())) == (clip_id not in {row["clip_id"] for row in shard})


def test_ids_that_differ_in_capitals_only_are_refused(tmp_path: Path) -> None:
    root = one_clip(one_clip(tmp_path / "t", name="f_Ann_0"), name="f_ann_0")
    quiet(root, tmp_path / "ws")
    with pytest.raises(EquimeError, match="'fear/f_Ann_0' and 'fear/f_ann_0' differ in capitals only"):
        export_tree(tmp_path / "ws", tmp_path / "o", progress=False)
    assert not (tmp_path / "o").exists()


def test_clips_of_another_export_are_counted(exported: tuple[Table, Path], tmp_path: Path) -> None:
    table, out = exported
    assert export_tree(table, out, progress=False).notes == ()
    small = make_workspace(tmp_path / "small", subjects=1, emotions=("fear", "anger"))
    export_tree(small, tmp_path / "o2", progress=False)
    shutil.copytree(out, tmp_path / "o2", dirs_exist_ok=True)
    receipt = export_tree(small, tmp_path / "o2", replace=True, progress=False)
    (note,) = receipt.notes
    assert note.startswith(f"4 files in {tmp_path / 'o2'} not written by this export")  # happiness and surprise
    assert receipt.failed == 0 and "2 clips with metadata in the tree, 0 errors" in str(receipt)


def test_export_again_writes_nothing_and_resumes(exported: tuple[Table, Path]) -> None:
    table, out = exported
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    (out / "fear/f_0_0.mp4").unlink()
    (out / "fear/.f_0_0.mp4.1-aa.tmp").write_bytes(b"left by a killed export")
    export_tree(table, out, progress=False)
    after = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    assert set(after) == set(before)
    assert [path for path in before if after[path] != before[path]] == [out / "fear/f_0_0.mp4"]


def test_other_content_is_replaced_only_when_asked(exported: tuple[Table, Path]) -> None:
    table, out = exported
    wanted = files(out)
    changed = ("fear/f_0_0.mp4", "fear/metadata/f_0_0_metadata.json")
    for name in changed:
        (out / name).write_bytes(b"mine")
    receipt = export_tree(table, out, progress=False)
    assert set(receipt.errors) == {*changed, "sadness/f_0_0"} and "--replace" in receipt.errors[changed[0]]
    assert all((out / name).read_bytes() == b"mine" for name in changed)
    assert set(export_tree(table, out, replace=True, progress=False).errors) == {"sadness/f_0_0"}
    assert files(out) == wanted


def test_export_refuses_a_file_and_the_workspace(exported: tuple[Table, Path], tmp_path: Path) -> None:
    table, _ = exported
    (tmp_path / "file").write_text("")
    for out, message in ((tmp_path / "file", "is a file"), (table.path / "tree", "outside the workspace")):
        with pytest.raises(EquimeError, match=message):
            export_tree(table, out, progress=False)


def test_foreign_metadata_of_the_factory_is_partly_unknown() -> None:
    document = foreign_metadata(0, 0, "fear", clip(0))
    assert sidecar.unknown_keys(document) == ["camera", "rater", "generation.steps"]
