"""The clips of a report: which are shown, their bytes, what is cut out of them, and what is said of them."""

from __future__ import annotations

import base64
import json
import shutil
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import cv2
import numpy as np
import pyarrow as pa
import pytest
from hub_client import ROOT, Client
from hub_server import Hub
from hypothesis import given
from hypothesis import strategies as st
from make_clips import clip_bytes, index_of, picture, random_bytes, truncated
from make_workspace import Row, add_rows, make_row, make_tree, make_workspace
from publishing import twins_workspace

from equime import schema, video
from equime.errors import EquimeError
from equime.face import FaceFinder
from equime.hub import write_layout
from equime.media import open_media
from equime.report import choose as choosing
from equime.report.choose import choose
from equime.report.excerpt import SIDE, Square, excerpt, face_box, span, square_around
from equime.report.gallery import address, gallery
from equime.table import Table

# --- which clips


def plan(count: int = 400, seed: int = 3, **columns: list[Any]) -> pa.Table:
    """Rows as `choose` reads them: five emotions in turn, a fifth rejected by one of four gates, every group there."""
    draw = np.random.default_rng(seed)
    rows = []
    for k in range(count):
        emotion = schema.EMOTIONS[k % 5]
        rejected = k % 7 == 0
        row: Row = {"clip_id": f"{emotion}/f_{k // 5}_{k % 5}", "subject_id": f"{k // 5}", "emotion": emotion}
        row |= {"size_bytes": 1000, "accepted": not rejected, "unit_fidelity": float(draw.random())}
        row |= {"reject_reasons": [f"too much (max_{'abcd'[k % 4]})"] if rejected else []}
        row |= {"race": schema.RACES[k // 5 % 6], "gender": schema.GENDERS[k // 5 % 2]}
        row |= {"age": schema.AGE_BANDS[k // 5 % 5], "disagreement": k % 11 == 0}
        rows.append(row)
    texts = ("control", "generate_error", "twin_id", "twin_contrast", "noise_key", "skin")
    blank: Row = dict.fromkeys(texts) | {"signal_to_noise": None}
    table = pa.Table.from_pylist([blank | row for row in rows], schema=SCHEMA)
    for name, values in columns.items():
        at = SCHEMA.get_field_index(name)
        table = table.set_column(at, SCHEMA.field(at), pa.array(values, SCHEMA.field(at).type))
    return table


SCHEMA = pa.schema(
    [
        *(schema.CLIPS.field(name) for name in choosing.COLUMNS),
        *(pa.field(name, pa.string()) for name in ("race", "gender", "age", "skin")),
        pa.field("disagreement", pa.bool_()),
    ]
)


def shown(table: pa.Table, count: int = 24, seed: int = 0) -> list[tuple[str, str]]:
    return [(table["clip_id"][row].as_py(), why) for row, why in choose(table, count, seed)]


def test_the_best_and_the_worst_are_exactly_those_and_a_median_is_near_it() -> None:
    table = plan()
    rows = table.to_pylist()
    found = {why: rows[row] for row, why in choose(table, 24)}
    for emotion in schema.EMOTIONS:
        kept = sorted(r["unit_fidelity"] for r in rows if r["emotion"] == emotion and r["accepted"])
        assert found[f"best of {emotion}"]["unit_fidelity"] == kept[-1]
        assert found[f"worst of {emotion}"]["unit_fidelity"] == kept[0]
        place = kept.index(found[f"median of {emotion}"]["unit_fidelity"]) / (len(kept) - 1)
        assert abs(place - 0.5) <= 0.05 + 1 / len(kept)


def test_what_was_rejected_is_shown_by_different_gates_and_emotions() -> None:
    table = plan()
    rows = [table.slice(row, 1).to_pylist()[0] for row, why in choose(table, 24) if "rejected" in why]
    assert len(rows) == 4 and not any(row["accepted"] for row in rows)
    assert len({row["reject_reasons"][0] for row in rows}) == len({row["emotion"] for row in rows}) == 4


def test_labels_that_disagree_a_control_and_twins_have_their_places() -> None:
    count = 400
    controls = [schema.NEUTRAL if k in (11, 17) else None for k in range(count)]
    emotions = [None if control else schema.EMOTIONS[k % 5] for k, control in enumerate(controls)]
    pairs = {20: "across", 60: "across", 30: "inside", 70: "inside", 90: "alone"}
    table = plan(
        count,
        control=controls,
        emotion=emotions,
        twin_id=[pairs.get(k) for k in range(count)],
        noise_key=["key" if k in pairs else None for k in range(count)],
        twin_contrast=[{"across": "race", "inside": "within"}.get(pairs.get(k, "")) for k in range(count)],
    )
    chosen = choose(table, 24)
    reasons = Counter(part for _, why in chosen for part in why.split("; "))
    assert reasons["neutral control"] == 1 and reasons["labels disagree"] == 2
    twins = [place for place, (_, why) in enumerate(chosen) if why.startswith("twins across race")]
    assert twins[1] == twins[0] + 1 and {chosen[place][0] for place in twins} == {20, 60}
    assert all(table["disagreement"][row].as_py() for row, why in chosen if why == "labels disagree")


def test_no_group_is_unseen_where_there_is_room() -> None:
    rare = plan(race=["middle eastern" if k == 212 else "white" for k in range(400)])
    assert "middle eastern" in {rare["race"][row].as_py() for row, _ in choose(rare, 24)}
    even = plan()
    chosen = [row for row, _ in choose(even, 24)]
    for name, labels in (("race", schema.RACES), ("gender", schema.GENDERS), ("age", schema.AGE_BANDS)):
        counts = Counter(even[name].take(pa.array(chosen)).to_pylist())
        assert set(counts) == set(labels) and max(counts.values()) <= 24 / len(labels) + 3
    assert len(set(even["subject_id"].take(pa.array(chosen)).to_pylist())) >= 22


def test_the_order_of_the_rows_does_not_matter_and_the_seed_does() -> None:
    table = plan()
    mixed = table.take(pa.array(np.random.default_rng(0).permutation(len(table))))
    assert sorted(shown(table)) == sorted(shown(mixed))
    assert shown(table) == shown(table) != shown(table, seed=1)


def test_nothing_scored_and_nothing_accepted_are_shown_all_the_same() -> None:
    blank = [None] * 400
    bare = plan(unit_fidelity=blank, accepted=blank, reject_reasons=blank)
    emotions = Counter(clip_id.split("/")[0] for clip_id, _ in shown(bare, 20))
    assert set(emotions) == set(schema.EMOTIONS) and max(emotions.values()) <= 6
    refused = plan(accepted=[False] * 400, reject_reasons=[["too still (min_amplitude)"]] * 400)
    assert {why for _, why in shown(refused)} <= {"rejected", "labels disagree", "of a group not shown yet"}
    second = plan(unit_fidelity=blank, signal_to_noise=[float(k) for k in range(400)])
    best = {why: table_id for table_id, why in shown(second)}["best of happiness"]
    assert best == second["clip_id"][395].as_py()
    assert choose(plan(0), 24) == [] and choose(plan(), 0) == []


@given(st.integers(0, 60), st.integers(0, 30), st.integers(0, 5), st.data())
def test_any_table_gives_distinct_generated_clips(count: int, wanted: int, seed: int, data: st.DataObject) -> None:
    def column(values: list[Any]) -> list[Any]:
        return data.draw(st.lists(st.sampled_from(values), min_size=count, max_size=count))

    table = plan(
        count,
        size_bytes=column([None, 10, 10]),
        generate_error=column([None, None, "broke"]),
        accepted=column([True, False, None]),
        unit_fidelity=column([0.5, 0.7, float("nan"), None]),
        emotion=column([*schema.EMOTIONS[:3], schema.DISGUST, None]),
        control=column([schema.NEUTRAL, "blink", None]),
        race=column([None, "white", "black"]),
        twin_id=column([None, "a", "b"]),
        noise_key=column([None, "x"]),
    )
    chosen = [row for row, _ in choose(table, wanted, seed)]
    made = [k for k, row in enumerate(table.to_pylist()) if row["size_bytes"] and not row["generate_error"]]
    assert len(set(chosen)) == len(chosen) == min(wanted, len(made)) and set(chosen) <= set(made)


# --- their bytes


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """135 clips of which some were not made and some not accepted: gaps in a layout's files."""
    folder = tmp_path_factory.mktemp("made") / "ws"
    return make_workspace(
        folder, subjects=9, per_emotion=3, shard_rows=20, failed=range(3, 135, 5), rejected=range(1, 40)
    )


@pytest.fixture(scope="module")
def layout(made: Table) -> Path:
    out = made.path.parent / "out"
    write_layout(made, out, clips_per_file=3, progress=False)
    return out


def videos(table: Table) -> dict[str, bytes | None]:
    parts = [table.read(index, ["video"]) for index in table.shards()]
    rows = [row for part in parts for row in part.to_pylist()]
    return {row["clip_id"]: (row["video"] or {}).get("bytes") for row in rows}


def test_a_workspace_gives_every_clip_from_any_thread(made: Table) -> None:
    known, media = videos(made), open_media(str(made.path))
    whole = [clip_id for clip_id, data in known.items() if data]
    asked = [whole[k] for k in np.random.default_rng(0).integers(0, len(whole), 200)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(media.read, asked)) == [known[clip_id] for clip_id in asked]
    assert len(media) == len(known) == 135
    missing = next(clip_id for clip_id, data in known.items() if not data)
    with pytest.raises(EquimeError, match="has no video"):
        media.read(missing)
    for name in ("nobody/f_0_0", "../workspace.json", str(made.path / "workspace.json"), "", "a\0b"):
        assert name not in media
        with pytest.raises(EquimeError, match="no clip"):
            media.read(name)


def test_a_layout_gives_every_clip_wherever_gaps_moved_it(made: Table, layout: Path) -> None:
    known, media = videos(made), open_media(str(layout))
    published = [clip_id for clip_id in known if clip_id in media]
    assert len(published) == len(media) == sum(row["accepted"] and bool(known[row["clip_id"]])
                                               for row in made.rows(["accepted"]))  # fmt: skip
    assert all(media.read(clip_id) == known[clip_id] for clip_id in published)


def test_a_tree_gives_the_files_as_they_lie(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", subjects=2)
    media = open_media(str(tree))
    files = {path.relative_to(tree).with_suffix("").as_posix(): path for path in tree.rglob("*.mp4")}
    assert len(media) == len(files) and all(media.read(name) == path.read_bytes() for name, path in files.items())


def test_metadata_alone_and_what_is_no_data_set_say_so(layout: Path, tmp_path: Path) -> None:
    shutil.copytree(layout / "metadata", tmp_path / "recipe" / "metadata")
    with pytest.raises(EquimeError, match="no file data/<split>"):
        open_media(str(tmp_path / "recipe"))
    shown = gallery(str(tmp_path / "recipe"), count=3, progress=False)["clips"]
    assert len(shown) == 3 and all(clip["src"] is None and "no file data" in clip["error"] for clip in shown)
    with pytest.raises(EquimeError, match="expected a folder, or a repository"):
        open_media("neither/of/them")


def test_a_clip_that_is_not_what_its_row_tells_is_refused(tmp_path: Path) -> None:
    rows = [make_row(k, 0, 0, emotion) for k, emotion in enumerate(("fear", "anger"))]
    rows[0]["video"] = {"bytes": truncated(rows[0]["video"]["bytes"]), "path": None}
    rows[1]["video"] = {"bytes": None, "path": "/etc/hostname"}
    table = Table.create(tmp_path / "ws", shard_rows=4)
    add_rows(table, rows)
    media = open_media(str(table.path))
    with pytest.raises(EquimeError, match="is damaged: expected sha256"):
        media.read("fear/f_0_0")
    with pytest.raises(EquimeError, match="has no video"):  # a row's path is opened by nobody
        media.read("anger/f_0_0")
    by_id = {clip["id"]: clip for clip in gallery(str(table.path), progress=False)["clips"]}
    assert "is damaged" in by_id["fear/f_0_0"]["error"] and "no video" in by_id["anger/f_0_0"]["error"]


def test_of_a_repository_only_the_row_group_is_fetched(made: Table, layout: Path, tmp_path: Path) -> None:
    code = """
    import hashlib, json, sys
    from equime.media import open_media
    media = open_media("org/set@main")
    print(json.dumps({name: hashlib.sha256(media.read(name)).hexdigest() for name in sys.argv[1:]} | {"n": len(media)}))
    """
    here = open_media(str(layout))
    known = {clip_id: data for clip_id, data in videos(made).items() if clip_id in here}
    wanted = list(known)[::40]
    with Hub() as hub:
        hub.create("org/set", layout)
        environment = hub.environment(tmp_path, PYTHONPATH=str(ROOT))
        done = Client(["-c", "\n".join(line[4:] for line in code.splitlines()), *wanted], environment, tmp_path).wait()
        read = {path for _, path, range_, _ in hub.log if "data/" in path and range_}
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    assert {name: said[name] for name in wanted} == {name: video.sha256(known[name] or b"") for name in wanted}
    files = len(list((layout / "data").rglob("*.parquet")))
    assert said["n"] == len(here) and len(read) < files / 2


# --- what is cut out of them


@pytest.fixture(scope="module")
def scored(annotated: Path) -> dict[str, Row]:
    table = Table(annotated)
    return {row["clip_id"]: table.find(row["clip_id"]) for row in table.rows(["emotion"]) if row["emotion"]}


def frames_of(src: str) -> video.Frames:
    return video.decode(bytes_of(src))


def bytes_of(src: str) -> bytes:
    head, _, data = src.partition(",")
    assert head == "data:video/mp4;base64"
    return base64.b64decode(data, validate=True)


def test_an_excerpt_shows_the_face_while_the_expression_lasts(scored: dict[str, Row]) -> None:
    for row in scored.values():
        data = row["video"]["bytes"]
        found = excerpt(data, row)
        assert len(found["src"]) < 200_000
        info = video.probe(bytes_of(found["src"]))
        assert (info.codec, info.pix_fmt, info.constant_rate) == ("h264", "yuv420p", True)
        assert (info.width, info.height, info.num_frames) == (found["width"], found["height"], found["frames"])
        assert info.width == info.height <= SIDE and info.width % 2 == 0
        first, last = found["start_ms"], found["start_ms"] + found["frames"] * 1000 / found["fps"]
        assert first <= row["onset_ms"] - 250 and last >= row["offset_ms"] + 250
        assert last - first < row["offset_ms"] - row["onset_ms"] + 600 + 3 * 1000 / 24
        frames = frames_of(found["src"])
        faces = FaceFinder()(frames[0])
        assert len(faces) == 1
        x0, y0, x1, y1 = faces[0].box
        assert min(x0, y0) >= 0 and max(x1, y1) <= info.width and max(x1 - x0, y1 - y0) > 0.6 * info.width


def test_a_frame_of_the_excerpt_is_the_source_frame_at_that_time(scored: dict[str, Row]) -> None:
    row = next(iter(scored.values()))
    whole = video.decode(row["video"]["bytes"])
    found = excerpt(row["video"]["bytes"], row)
    frames, first = frames_of(found["src"]), round(found["start_ms"] * 24 / 1000)
    assert found["start_ms"] == pytest.approx(first * 1000 / 24, abs=1e-3)
    square = square_around(row["face_box"] or face_box(row, whole[first]), whole.shape[1:3])
    for k, frame in enumerate(frames):
        x, y, side = square
        part = whole[first + k, y : y + side, x : x + side]
        expected = cv2.resize(part, (found["width"],) * 2, interpolation=cv2.INTER_AREA)
        assert np.abs(frame.astype(int) - expected).mean() < 2.0
    moving = bright(24, rate=30)
    shown = frames_of(excerpt(moving, {"onset_ms": 400.0, "offset_ms": 500.0})["src"])  # -300, +300: frames 3 to 24
    assert [int(frame.mean()) // 8 for frame in shown] == pytest.approx(range(3, 24), abs=1)


def bright(count: int, rate: int = 24) -> bytes:
    """Frame k has brightness 8 k."""
    return video.encode((np.full((64, 64, 3), 8 * k + 4, np.uint8) for k in range(count)), fps=rate, crf=10)


def test_an_excerpt_says_that_it_is_synthetic_and_what_the_clip_said(scored: dict[str, Row]) -> None:
    row = next(iter(scored.values()))
    said = json.loads(video.probe(bytes_of(excerpt(row["video"]["bytes"], row)["src"])).comment or "")
    before = json.loads(video.probe(row["video"]["bytes"]).comment or "")
    assert said["synthetic"] is True and {name: said[name] for name in before} == before
    assert row["emotion"] not in json.dumps(said) and said["excerpt"]["frames"][0] > 0
    for comment in (None, "made by hand", "[1, 2]", '"text"'):
        plain = excerpt(clip_bytes(8, 32, comment=comment), {"clip_id": "fear/f_1_1"})
        told = json.loads(video.probe(bytes_of(plain["src"])).comment or "")
        assert told["synthetic"] is True and told["clip_id"] == "f_1_1"


def test_where_the_face_is_without_a_tag(scored: dict[str, Row], portrait: np.ndarray) -> None:
    row = next(iter(scored.values()))
    first = video.decode(row["video"]["bytes"], [0])[0]
    x0, y0, x1, y1 = face_box({"crop": row["crop"]}, first) or ()
    seen = FaceFinder()(first)[0].box
    assert x0 <= seen[0] and y0 <= seen[1] + 10 and x1 >= seen[2] and y1 >= seen[3] - 10
    wide = np.full((512, 1200, 3), 90, np.uint8)
    wide[:, 688:] = portrait
    found = face_box({"face_box": [5.0, 5.0, 9.0, 9.0]}, wide)  # a box of four pixels is a mistake
    assert found == pytest.approx(FaceFinder()(wide)[0].box, abs=8)
    square = square_around(found, wide.shape[:2])
    assert square.x > 700 and square.x + square.side <= 1200
    nobody = picture(3, (64, 96))
    assert face_box({}, nobody) is None and square_around(None, (64, 96)) == Square(16, 0, 64)


@given(
    st.tuples(st.integers(16, 700), st.integers(16, 700)),
    st.lists(st.floats(-300, 900), min_size=4, max_size=4),
)
def test_a_square_lies_in_the_frame_and_holds_the_face(shape: tuple[int, int], ends: list[float]) -> None:
    (x0, x1), (y0, y1) = sorted(ends[:2]), sorted(ends[2:])
    box = np.clip([x0, y0, x1, y1], 0, [shape[1], shape[0]] * 2)
    square = square_around([x0, y0, x1, y1], shape)
    assert square.side % 2 == 0 and 0 <= square.x <= shape[1] - square.side and 0 <= square.y <= shape[0] - square.side
    if max(box[2] - box[0], box[3] - box[1]) < min(shape) * 0.8 - 2:
        assert square.x <= box[0] and square.y <= box[1]
        assert square.x + square.side >= box[2] and square.y + square.side >= box[3]


def test_which_frames_are_shown() -> None:
    planned = {"onset_ms": 1000.0, "offset_ms": 1500.0}
    measured = {"measured_onset_ms": 2000.0, "measured_offset_ms": 2250.0}
    assert span(planned | measured, 144, 24) == (16, 44)  # 700 to 1800 ms
    assert span(measured, 144, 24) == (40, 62)
    assert span({"onset_ms": None, "offset_ms": float("nan")}, 144, 24) == (60, 84)
    assert span({"onset_ms": 0.0, "offset_ms": 9000.0}, 8, 24) == (0, 7)
    assert span({"onset_ms": 1000.0, "offset_ms": 5000.0}, 144, 24) == (16, 89)
    assert span({"onset_ms": 8000.0, "offset_ms": 9000.0}, 8, 24) == (7, 7)


@pytest.mark.parametrize("broken", [b"", random_bytes(), truncated(clip_bytes(8)), clip_bytes(8)[:40]])
def test_a_broken_clip_is_one_line(broken: bytes) -> None:
    found = excerpt(broken, {"clip_id": "fear/f_0_0"})
    assert found["src"] is None and found["error"] and "\n" not in found["error"]


def test_small_odd_and_single_frames_are_shown() -> None:
    odd = clip_bytes(8, (34, 50), codec="mpeg4")
    assert excerpt(odd, {})["width"] == 34
    assert index_of(frames_of(excerpt(clip_bytes(5, 64), {})["src"])[4]) == 4
    single = excerpt(clip_bytes(1, 32), {"onset_ms": 0.0, "offset_ms": 1.0})
    assert single["frames"] == 1 and single["fps"] == 24


# --- what is said of them


def test_gallery_of_real_clips_is_plain_data(annotated: Path) -> None:
    found = gallery(str(annotated), progress=False)
    text = json.dumps(found, allow_nan=False)
    assert json.loads(text) == found and len(text) < 4_000_000
    table = Table(annotated)
    rows = {row["clip_id"]: row for row in table.rows()}
    assert found["total"] == len(rows) and found["inline"] is True and found["shown"] == len(found["clips"])
    assert {"unit_fidelity", "signal_to_noise", "amplitude"} <= set(found["scores"])
    for clip in found["clips"]:
        row = rows[clip["id"]]
        assert clip["emotion"] == row["emotion"] and clip["accepted"] == row["accepted"] and clip["why"]
        assert [unit["au"] for unit in clip["units"]] == [unit["au"] for unit in row["action_units"] or []]
        assert all(found["units"][str(unit["au"])] for unit in clip["units"]) and clip["labels"] in ("source", "tag")
        if row["apex_ms"] is not None:
            assert clip["planned"]["apex"] == pytest.approx(row["apex_ms"], abs=0.06)
            end = clip["start_ms"] + clip["frames"] * 1000 / clip["fps"]
            assert clip["start_ms"] < clip["planned"]["onset"] < clip["planned"]["offset"] < end
        score = row["unit_fidelity"]
        assert clip["scores"]["unit_fidelity"] == (None if score is None else pytest.approx(score, rel=1e-3))


def test_no_clip_is_cut_out_once_it_is_stopped(made: Table) -> None:
    stop = threading.Event()
    assert len(gallery(str(made.path), count=3, progress=False, stop=stop)["clips"]) == 3
    stop.set()
    assert len(gallery(str(made.path), count=3, progress=False, stop=stop)["clips"]) == 0


def test_gallery_for_a_server_names_every_clip(made: Table) -> None:
    found = gallery(str(made.path), inline=False)
    rows = {row["clip_id"]: row for row in made.rows(["generate_error", "num_frames"])}
    assert found["shown"] == found["total"] == len(rows) and found["inline"] is False
    for clip in found["clips"]:
        row = rows[clip["id"]]
        if row["generate_error"]:
            assert clip["src"] is None and clip["error"] == row["generate_error"]
        else:
            assert clip["src"] == address(clip["id"]) and unquote(clip["src"]) == f"clips/{clip['id']}.mp4"
            assert clip["src"].count("/") == 1 and (clip["frames"], clip["start_ms"]) == (row["num_frames"], 0)
    assert "unit_fidelity" not in found["scores"] and "amplitude" in found["scores"]


def test_disagreeing_labels_are_told(tmp_path: Path) -> None:
    rows = [make_row(3 * s + k, s, 0, e) for s in range(5) for k, e in enumerate(schema.EMOTIONS[:3])]
    for row in rows:
        row["age"] = 35.0
    rows[0] |= {"race": "black"}  # of subject 0, whose clips are then tagged differently
    rows[3]["source_gender"], rows[4]["source_gender"] = "female", None  # the tags say male
    rows[7]["age"] = 45.0
    rows[10] |= {"gender": None, "race": None, "age": None}  # nothing said is no disagreement
    table = Table.create(tmp_path / "ws", shard_rows=4)
    add_rows(table, rows)
    clips = {clip["id"]: clip["disagreement"] for clip in gallery(str(table.path), inline=False)["clips"]}
    assert {place for place, row in enumerate(rows) if clips[row["clip_id"]]} == {0, 1, 2, 3, 6, 7, 8}


def test_twins_know_each_other(tmp_path: Path) -> None:
    table = twins_workspace(tmp_path / "ws")
    clips = {clip["id"]: clip for clip in gallery(str(table.path), inline=False)["clips"]}
    pairs = {(clip["id"], clip["twin"]) for clip in clips.values() if clip["twin"]}
    assert len(pairs) == 6 and all(clips[twin]["twin"] == one for one, twin in pairs)
    assert ("fear/f_person0_0", "fear/m_person3_0") not in pairs  # two people, two programmes


def test_a_label_that_nobody_has_is_refused(made: Table, tmp_path: Path) -> None:
    bare = make_workspace(tmp_path / "ws", subjects=1, groups=("plan", "generate"))
    with pytest.raises(EquimeError, match="tag labels"):
        gallery(str(bare.path), "tag")
    assert gallery(str(made.path), "tag", inline=False)["clips"][0]["labels"] == "tag"
