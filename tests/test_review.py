"""A review by people: blind to the bytes, stratified, and read back to what scikit-learn and closed forms say."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import itertools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from make_clips import edit_listed, pictures
from make_workspace import Row, add_rows, make_row, make_workspace

from equime import schema, video
from equime.action_units import FACS, ActionUnit, parse
from equime.action_units import format as written
from equime.audit.review import sampling, sheet
from equime.audit.review.agreement import tables
from equime.audit.review.blind import blinded
from equime.audit.review.export import Exported, export
from equime.audit.review.read import read
from equime.audit.tables.rows import open_rows
from equime.commands.review import review_flags
from equime.errors import EquimeError
from equime.metrics import kappa
from equime.table import Table

FOLDERS = (*schema.EMOTIONS, schema.NEUTRAL)
SUBJECTS = 24
Sheet = list[dict[str, str]]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 subjects, 12 of each gender and 4 of each race, each with five expressions and one neutral clip."""
    folder = tmp_path_factory.mktemp("review") / "ws"
    make_workspace(folder, subjects=SUBJECTS, emotions=FOLDERS, shard_rows=16, failed=[7], rejected=range(0, 140, 9))
    return folder


@pytest.fixture(scope="module")
def exported(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Every clip of them, for two coders. Read only."""
    return export(clips, tmp_path_factory.mktemp("coders") / "out", n=200)


def key_of(exported: Exported) -> dict[str, Row]:
    return {row["item"]: row for row in pq.read_table(exported.key).to_pylist()}


def plan_of(clips: Path) -> dict[str, Row]:
    columns = ("clip_id", "subject_id", "emotion", "action_units", "source_gender", "source_race", "measured_units")
    return {row["clip_id"]: row for row in Table(clips).rows(columns)}


def rows_of(path: Path, delimiter: str = ",") -> Sheet:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline=""), delimiter=delimiter))


def write(path: Path, rows: Sheet, delimiter: str = ",") -> Path:
    text = io.StringIO()
    sheet_ = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    sheet_.writeheader()
    sheet_.writerows(rows)
    path.write_text(text.getvalue(), "utf-8-sig")
    return path


def fill(exported: Exported, clips: Path, coder: str, out: Path, code: Callable[[Row, Row], Row], **how: str) -> Path:
    """A coder's sheet, each row filled by what `code` says of the key's row and the planned clip."""
    key, plan = key_of(exported), plan_of(clips)
    rows = rows_of(exported.out / f"sheet_{coder}.csv")
    told = [row | code(key[row["item"]], plan[key[row["item"]]["clip_id"]]) for row in rows]
    return write(out / f"sheet_{coder}.csv", told, **how)


def units_of(clip: Row) -> tuple[ActionUnit, ...]:
    return tuple(ActionUnit.from_dict(unit) for unit in clip["action_units"] or ())


def truth(key: Row, clip: Row) -> Row:
    """What a coder writes who sees everything."""
    return {"units": written(units_of(clip)) or "none", "emotion": clip["emotion"] or "neutral", "realism": "3"}


def noisy(seed: int, share: float = 0.3) -> Callable[[Row, Row], Row]:
    """A coder who now and then misses units, adds one, or guesses."""
    rng = np.random.default_rng(seed)

    def code(key: Row, clip: Row) -> Row:
        units = {unit.au: unit for unit in units_of(clip) if rng.random() > share}
        units |= {12: ActionUnit(12, "L", "ABCDE"[rng.integers(5)])} if rng.random() < share else {}
        emotion = rng.choice(sheet.EMOTIONS) if rng.random() < share else clip["emotion"] or "neutral"
        return {"units": written(units.values()) or "0", "emotion": str(emotion), "realism": str(rng.integers(1, 6))}

    return code


# --- the sample


def test_the_sample_is_even_over_emotions_groups_and_intensities(clips: Path) -> None:
    rows = open_rows(str(clips), sampling.COLUMNS)
    key = sampling.sample(rows, 70, by="race")
    first = [row for row in key.to_pylist() if row["repeat_of"] is None]
    shown = [row["stratum"].split(", ") for row in first if row["weight"] is not None]
    assert len(first) == 70 and len(first) - len(shown) == 7 and len(key) == 77
    assert set(Counter(emotion for emotion, *_ in shown).values()) <= {12, 13}
    cells = Counter((emotion, group) for emotion, group, _ in shown)
    assert set(cells.values()) <= {1, 2, 3} and len(cells) == 30
    letters = {
        clip: max((u.intensity or "" for u in units_of(row)), default="") for clip, row in plan_of(clips).items()
    }
    assert all(letters[row["clip_id"]] == row["stratum"].split(", ")[2] for row in first if row["weight"] is not None)
    accepted = {row["clip_id"]: row["accepted"] for row in Table(clips).rows(["accepted"])}
    assert {accepted[row["clip_id"]] for row in first} == {True, False}
    assert "happiness/m_1_0" in accepted and all(row["sha256"] for row in first)  # clip 7 has no video


def test_the_weights_give_back_the_data_sets_shares(clips: Path) -> None:
    rows = open_rows(str(clips), sampling.COLUMNS)
    drawn = [row for row in sampling.sample(rows, 110).to_pylist() if row["weight"] and not row["repeat_of"]]
    strata = Counter(row["stratum"] for row in drawn)
    planned = Counter(row["stratum"] for row in sampling.sample(rows, 10_000).to_pylist() if not row["repeat_of"])
    del planned["neutral"]
    for stratum, count in strata.items():
        weight = sum(row["weight"] for row in drawn if row["stratum"] == stratum)
        assert weight / len(drawn) == pytest.approx(planned[stratum] / planned.total()), (stratum, count)
    held = sum(planned[stratum] for stratum in strata) / planned.total()
    assert np.mean([row["weight"] for row in drawn]) == pytest.approx(held)


def test_people_take_turns(clips: Path) -> None:
    rows = open_rows(str(clips), sampling.COLUMNS)
    key = [row for row in sampling.sample(rows, 33, by="gender").to_pylist() if row["weight"] and not row["repeat_of"]]
    seen = Counter(row["clip_id"].split("_")[1] for row in key)
    assert len(seen) >= 20 and max(seen.values()) <= 3


def test_a_seed_gives_the_same_sample_whatever_the_order_of_the_rows(clips: Path) -> None:
    rows = open_rows(str(clips), sampling.COLUMNS)
    mixed = dataclasses.replace(rows, table=rows.table.take(np.random.default_rng(3).permutation(len(rows))))
    one, same, other = sampling.sample(rows, 40), sampling.sample(mixed, 40), sampling.sample(rows, 40, seed=1)
    assert one.equals(same) and not one.equals(other)
    assert sampling.review_id(one) == sampling.review_id(same) != sampling.review_id(other)
    assert sheet._REVIEW.fullmatch(sampling.review_id(one))


def test_groups_fall_back_to_gender_and_to_none(tmp_path: Path) -> None:
    blank = {"source_race": None, "race": None, "race_probs": None}
    rows = [make_row(k, k, 0, "fear") | blank for k in range(4)]
    add_rows(Table.create(tmp_path / "a", shard_rows=4), rows)
    drawn = sampling.sample(open_rows(str(tmp_path / "a"), sampling.COLUMNS), 4)
    assert {stratum.split(", ")[1] for stratum in drawn["stratum"].to_pylist()} == {"female", "male"}
    with pytest.raises(EquimeError, match=r"nobody in .* has a label of 'race'"):
        sampling.sample(open_rows(str(tmp_path / "a"), sampling.COLUMNS), 4, by="race")
    blank |= {"source_gender": None, "gender": None, "gender_probs": None}
    add_rows(Table.create(tmp_path / "b", shard_rows=4), [row | blank for row in rows])
    drawn = sampling.sample(open_rows(str(tmp_path / "b"), sampling.COLUMNS), 4)
    assert {stratum.split(", ")[1] for stratum in drawn["stratum"].to_pylist()} == {"no label"}


@pytest.mark.parametrize(
    ("how", "said"), [({"n": 0}, "at least one clip"), ({"n": 5, "seed": -1}, "seed of 0 or more")]
)
def test_numbers_that_make_no_sense(clips: Path, how: dict[str, int], said: str) -> None:
    with pytest.raises(EquimeError, match=said):
        sampling.sample(open_rows(str(clips), sampling.COLUMNS), **how)


# --- blindness


def packets(data: bytes) -> list[tuple[int, int, bytes]]:
    with av.open(io.BytesIO(data)) as file:
        return [(packet.pts, packet.dts, bytes(packet)) for packet in file.demux(video=0) if packet.size]


def talkative() -> bytes:
    """A clip that tells its plan in every place where a container can."""
    plan = json.dumps({"clip_id": "fear/f_0042_01", "action_units": [{"au": 20}], "emotion": "fear"})
    data = video.encode(pictures(12, 64), comment=plan)
    buffer = io.BytesIO()
    with (
        av.open(io.BytesIO(data)) as source,
        av.open(buffer, "w", "mp4", container_options={"movflags": "+use_metadata_tags"}) as output,
    ):
        output.metadata.update({"title": "a fearful face", "emotion": "fear", "creation_time": "2024-05-06T07:08:09"})
        stream = output.add_stream_from_template(source.streams.video[0])
        stream.metadata.update({"handler_name": "f_0042_01", "creation_time": "2024-05-06T07:08:09"})
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    box = b"uuid" + bytes(range(16)) + plan.encode()
    return buffer.getvalue() + (len(box) + 4).to_bytes(4, "big") + box + b"\0\0\0\x10skipfear AU4"


def test_a_blinded_clip_holds_no_word_and_the_same_video() -> None:
    told = talkative()
    words = (b"fear", b"0042", b"action_units", b"emotion", b"creation", b"uuid", b"udta", b"Lavf", b"title", b"AU")
    assert all(word in told for word in words[:4])
    shown = blinded(told)
    assert not [word for word in words if word in shown]
    assert packets(shown) == packets(told) and len(shown) == len(told)
    np.testing.assert_array_equal(video.decode(shown), video.decode(told))
    assert video.probe(shown).comment is None
    with av.open(io.BytesIO(shown)) as file:
        assert set(file.metadata) == {"major_brand", "minor_version", "compatible_brands"}
        assert set(file.streams.video[0].metadata) <= {"language", "vendor_id"}
    assert blinded(shown) == shown


def test_an_edit_list_still_holds() -> None:
    told = edit_listed(video.encode(pictures(12, 32), comment="fear"))
    np.testing.assert_array_equal(video.decode(blinded(told)), video.decode(told))


@pytest.mark.parametrize(
    "data", [b"", b"RIFF....AVI ", b"\0\0\0\x10ftypisom\0\0\0\0\0\0\xff\xffmoov", talkative()[:-9]]
)
def test_what_is_no_whole_mp4_is_refused(data: bytes) -> None:
    with pytest.raises(EquimeError):
        blinded(data)


def test_a_real_clip_is_shown_without_its_provenance(workspace: Path, tmp_path: Path) -> None:
    found = export(workspace, tmp_path / "out", n=5)
    clips = {row["clip_id"]: row for row in Table(workspace).rows(["video", "emotion", "subject_id"])}
    assert all(b'"action_units"' in row["video"]["bytes"] for row in clips.values())
    key = key_of(found)
    words = [b"u_ann", b"happiness", b"anger", b"action_units", b"synthetic", b"EquiME", b"onset", b"seed"]
    assert all(any(word in row["video"]["bytes"] for row in clips.values()) for word in (b"u_ann", *words[3:]))
    for item, row in key.items():
        shown = (found.out / "clips" / f"{item}.mp4").read_bytes()
        assert not [word for word in words if word in shown]
        assert packets(shown) == packets(clips[row["clip_id"]]["video"]["bytes"])


def test_the_coders_folder_tells_nothing_of_the_plan(exported: Exported, clips: Path) -> None:
    told = sorted(str(path.relative_to(exported.out)) for path in exported.out.rglob("*") if path.is_file())
    key = key_of(exported)
    assert told == sorted(["README.txt", "sheet_A.csv", "sheet_B.csv", *(f"clips/{item}.mp4" for item in key)])
    assert {(exported.out / "clips" / f"{item}.mp4").stat().st_mtime_ns for item in key} == {946684800 * 10**9}
    text = (exported.out / "README.txt").read_text()
    assert "CC BY-NC" in text and "synthetic" in text and "do not pass them on" in text
    for clip_id in plan_of(clips):
        assert clip_id not in text and clip_id.split("/")[1] not in text
    sheets = [rows_of(exported.out / f"sheet_{coder}.csv") for coder in "AB"]
    orders = [[row["item"] for row in rows] for rows in sheets]
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(key) and orders[0] != orders[1]
    assert orders[0] != sorted(key)
    assert {row["review"] for rows in sheets for row in rows} == {exported.review}
    assert all(not row[name] for rows in sheets for row in rows for name in sheet.CODED)
    # No order of the items goes with what they show.
    emotions = [row["stratum"].split(", ")[0] for row in key.values()]
    assert sum(one == other for one, other in itertools.pairwise(emotions)) < len(emotions) / 3


def test_a_repeat_is_the_same_clip_and_the_key_says_so(exported: Exported) -> None:
    key = key_of(exported)
    again = {item: row for item, row in key.items() if row["repeat_of"]}
    assert len(again) == exported.repeats == round(0.1 * exported.clips)
    for item, row in again.items():
        assert key[row["repeat_of"]]["clip_id"] == row["clip_id"] and key[row["repeat_of"]]["repeat_of"] is None
        files = [(exported.out / "clips" / f"{name}.mp4").read_bytes() for name in (item, row["repeat_of"])]
        assert files[0] == files[1]
    assert len({row["clip_id"] for row in key.values()}) == exported.clips == len(key) - len(again)


# --- going on, and not going on


def test_the_same_command_goes_on_and_leaves_what_is_filled_in(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = export(clips, out, n=12)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    filled = write(out / "sheet_A.csv", [row | {"units": "4"} for row in rows_of(out / "sheet_A.csv")])
    kept = filled.read_bytes()
    (out / "sheet_B.csv").unlink()
    lost = sorted((out / "clips").iterdir())[::2]
    for path in lost:
        path.unlink()
    (out / "clips" / ".item_003.mp4.123-abc.tmp").write_bytes(b"half")
    assert export(clips, out, n=12) == found
    after = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert after == before | {filled: kept}


def test_other_things_in_the_folder_are_refused(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(EquimeError, match=r"holds other things than this review \(notes.txt\)"):
        export(clips, out, n=12)
    assert [path.name for path in out.iterdir()] == ["notes.txt"]
    (out / "notes.txt").unlink()
    export(clips, out, n=12)
    for other in ({"n": 13}, {"n": 12, "seed": 1}):
        with pytest.raises(EquimeError, match="holds other things than this review"):
            export(clips, out, **other)
    (out / "clips" / "item_999.mp4").write_bytes(b"")
    with pytest.raises(EquimeError, match=r"item_999\.mp4"):
        export(clips, out, n=12)


def test_the_key_never_lies_with_the_coders(clips: Path) -> None:
    with pytest.raises(EquimeError, match="does not hold the key"):
        export(clips, clips / "review", n=12)
    with pytest.raises(EquimeError, match="lies in the workspace"):
        export(clips, clips / "review" / "out", n=12)
    assert not (clips / "review" / "out").exists()


@pytest.mark.parametrize("coders", [0, 27])
def test_as_many_coders_as_letters(clips: Path, tmp_path: Path, coders: int) -> None:
    with pytest.raises(EquimeError, match="1 to 26 coders"):
        export(clips, tmp_path / "out", coders=coders)


def test_a_workspace_without_clips(tmp_path: Path) -> None:
    make_workspace(tmp_path / "ws", subjects=1, groups=["plan"])
    with pytest.raises(EquimeError, match=r"no clip of .* shows an expression: run `equime generate"):
        export(tmp_path / "ws", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_clips_that_cannot_be_shown_are_left_out_and_told(tmp_path: Path) -> None:
    rows = [make_row(k, k % 2, k, "fear" if k < 8 else "anger") for k in range(16)]
    rows = [row | {"action_units": rows[k // 8]["action_units"]} for k, row in enumerate(rows)]
    rows[1]["video"] = {"bytes": b"RIFF....AVI something", "path": None}
    rows[2]["video"] = rows[3]["video"]  # not what its row tells
    cut = rows[9]["video"]["bytes"][:-200]
    rows[9] |= {"video": {"bytes": cut, "path": None}, "sha256": video.sha256(cut)}
    add_rows(Table.create(tmp_path / "ws", shard_rows=4), rows)
    found = export(tmp_path / "ws", tmp_path / "out", n=16)
    assert found.clips == 13 and any(note.startswith("3 clips left out that cannot be shown") for note in found.notes)
    key = key_of(found)
    kept = {row["clip_id"] for row in key.values()}
    assert kept == {row["clip_id"] for k, row in enumerate(rows) if k not in (1, 2, 9)}
    assert {path.stem for path in (found.out / "clips").iterdir()} == set(key)
    assert {row["item"] for row in rows_of(found.out / "sheet_A.csv")} == set(key)
    once = [row for row in key.values() if row["repeat_of"] is None]
    strata = Counter(row["stratum"] for row in once)
    assert sorted(strata.values()) == [3, 3, 3, 4]
    for row in once:  # what is left of a stratum of 4 of the 16 still stands for all of it
        assert row["weight"] * strata[row["stratum"]] / 13 == pytest.approx(4 / 16)


def test_nothing_is_written_where_no_clip_can_be_shown(tmp_path: Path) -> None:
    rows = [make_row(k, k, 0, "fear") | {"video": {"bytes": b"garbage", "path": None}} for k in range(3)]
    add_rows(Table.create(tmp_path / "ws", shard_rows=4), rows)
    with pytest.raises(EquimeError, match=r"none of the clips drawn can be shown, the first: .* expected an MP4"):
        export(tmp_path / "ws", tmp_path / "out", n=2)
    assert not (tmp_path / "out").exists() and not (tmp_path / "ws" / "review").exists()


def test_a_full_disk_is_one_line_and_nothing_is_half_written(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 128, 128, 3), np.uint8)
    big = video.encode(list(noise), crf=1)
    rows = [make_row(k, k, 0, "fear") for k in range(3)]
    rows[2] |= {"video": {"bytes": big, "path": None}, "sha256": video.sha256(big)}
    add_rows(Table.create(tmp_path / "ws", shard_rows=4), rows)
    assert len(big) > 200_000
    code = (
        "import resource, sys; from pathlib import Path; from equime.audit.review.export import export;"
        "from equime.errors import EquimeError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))\n"
        "try: export(Path(sys.argv[1]), Path(sys.argv[2]), n=3)\n"
        "except EquimeError as error: sys.exit(str(error))"
    )
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "ws", out], capture_output=True, text=True, check=False
    )
    line = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and "cannot write" in line and "run the same command again" in line
    whole = {path.name for path in (out / "clips").iterdir()}
    assert all(name.startswith("item_") for name in whole) and len(whole) < 3 and not list(out.glob("sheet*"))
    found = export(tmp_path / "ws", out, n=3)
    assert len(list((out / "clips").iterdir())) == 3 + found.repeats


# --- reading back


def judged(exported: Exported, clips: Path, path: Path) -> dict[str, Row]:
    """What a sheet says of each clip, as it came first, read by other code than the package's."""
    key, found = key_of(exported), {}
    for row in rows_of(path):
        if key[row["item"]]["repeat_of"] is None:
            codes = () if row["units"] in ("0", "none") else parse(row["units"]).units
            letters = [unit.intensity for unit in codes if unit.intensity]
            row |= {"aus": {unit.au for unit in codes}, "letter": max(letters, default="")}
            found[key[row["item"]]["clip_id"]] = row
    return found


def subjects_of(clips: Path) -> dict[str, str]:
    return {clip_id: row["subject_id"] for clip_id, row in plan_of(clips).items()}


def test_kappas_are_scikit_learns(exported: Exported, clips: Path, tmp_path: Path) -> None:
    score = pytest.importorskip("sklearn.metrics").cohen_kappa_score
    paths = [fill(exported, clips, coder, tmp_path, noisy(ord(coder)), delimiter=",;"[coder == "B"]) for coder in "AB"]
    found = read(clips, paths)
    write(paths[1], rows_of(paths[1], ";"))
    one, other = (judged(exported, clips, path) for path in paths)
    pairs, scope = [(one[clip], other[clip]) for clip in one], "coder A and coder B"

    def agree(of: str, said: list[tuple[Any, Any]], **how: Any) -> None:
        told = found.one("kappa", of=of, scope=scope)
        assert told.value == pytest.approx(score(*zip(*said, strict=True), **how)), of
        assert told.clips == len(said) and None not in (told.low, told.high)
        assert told.low <= told.value <= told.high and told.reference == 0

    agree("any unit", [(bool(a["aus"]), bool(b["aus"])) for a, b in pairs])
    for au in (1, 4, 12):
        agree(f"unit {au}", [(au in a["aus"], au in b["aus"]) for a, b in pairs])
    agree("emotion", [(a["emotion"], b["emotion"]) for a, b in pairs])
    levels = [(int(a["realism"]), int(b["realism"])) for a, b in pairs]
    agree("realism", levels, weights="quadratic", labels=[1, 2, 3, 4, 5])
    letters = [(a["letter"], b["letter"]) for a, b in pairs if a["letter"] and b["letter"]]
    agree("intensity", letters, weights="quadratic", labels=list("ABCDE"))
    index = found.one("agreement index", scope=scope)
    both = sum(len(a["aus"] & b["aus"]) for a, b in pairs)
    assert index.value == pytest.approx(2 * both / sum(len(a["aus"]) + len(b["aus"]) for a, b in pairs))
    assert index.reference and index.reference < (index.low or 0)
    assert found.one("kappa", of="any unit", scope=scope).subjects == SUBJECTS


def test_units_against_the_plan_are_scikit_learns(exported: Exported, clips: Path, tmp_path: Path) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    path = fill(exported, clips, "A", tmp_path, noisy(5))
    found, plan = read(clips, [path]), plan_of(clips)
    coded = judged(exported, clips, path)
    numbers = sorted(FACS)
    truth_, said = (
        np.array([[au in units for au in numbers] for units in each])
        for each in (
            [{unit.au for unit in units_of(plan[clip])} for clip in coded],
            [row["aus"] for row in coded.values()],
        )
    )
    expected = metrics.precision_recall_fscore_support(truth_, said, average="micro")[:3]
    measures = [found.one(name, of="units", by="", scope="coder A") for name in ("precision", "recall", "F1")]
    assert [finding.value for finding in measures] == pytest.approx(list(expected))
    # By chance: the same sheet, held against other clips' plans.
    rng = np.random.default_rng(0)
    dealt = [
        metrics.precision_recall_fscore_support(truth_[rng.permutation(len(truth_))], said, average="micro")[:3]
        for _ in range(60)
    ]
    assert [finding.reference for finding in measures] == pytest.approx(list(np.mean(dealt, 0)), abs=0.02)


def test_a_known_share_of_flips_has_its_closed_form(exported: Exported, clips: Path, tmp_path: Path) -> None:
    """Of two coders one answers at random which half shows something: kappa is 1 - 2e where a share e is flipped."""
    items = [item for item, row in sorted(key_of(exported).items()) if row["repeat_of"] is None]
    items = items[: len(items) // 20 * 20]
    half = {item: k % 2 for k, item in enumerate(items)}
    flipped = {item: half[item] ^ (k % 20 in (2, 7, 11, 18)) for k, item in enumerate(items)}  # a fifth, of both halves

    def write_one(coder: str, said: dict[str, int]) -> Path:
        rows = rows_of(exported.out / f"sheet_{coder}.csv")
        units = {0: "0", 1: "12B"}
        return write(
            tmp_path / f"sheet_{coder}.csv", [r | {"units": units.get(said.get(r["item"], 2), "")} for r in rows]
        )

    found = read(clips, [write_one("A", half), write_one("B", flipped)])
    for of in ("any unit", "unit 12"):
        told = found.one("kappa", of=of, scope="coder A and coder B")
        assert told.value == pytest.approx(1 - 2 * 0.2) and told.clips == len(items)
    share = found.one("coded", scope="coder A")
    assert share.value == pytest.approx(len(items) / exported.clips) and share.note == f"of {exported.clips} clips"
    side = found.one("kappa", of="side", scope="coder A and coder B")
    assert side.value is None and "all answers are the same" in side.note
    realism = found.one("kappa", of="realism", scope="coder A and coder B")
    assert realism.value is None and realism.note == "no clip was answered by both" and realism.clips == 0


def test_who_sees_everything_agrees_with_the_plan(exported: Exported, clips: Path, tmp_path: Path) -> None:
    found = read(clips, [fill(exported, clips, coder, tmp_path, truth) for coder in "AB"])
    for scope in ("coder A and the plan", "coder A and coder B", "coder B, first and second time"):
        values = [f.value for f in found.where(scope=scope) if f.value is not None and f.of != "realism"]
        assert values == pytest.approx([1.0] * len(values)) and len(values) >= 3, scope
    assert found.one("seen", of="expressions", by="", scope="coder A").value == 1
    alarms = found.one("seen", of="neutral clips", scope="coder A")
    assert (alarms.value == 0 and alarms.clips == exported.neutral == SUBJECTS - 4) or alarms.clips == exported.neutral
    assert found.one("seen", of="expressions", by="", scope="coder A").reference == 0
    # What was measured is the plan in these rows; it says no emotion.
    assert found.one("agreement index", scope="coder A and what was measured").value == 1
    assert not found.where(of="emotion", scope="coder A and what was measured")
    assert found.one("kappa", of="intensity", scope="coder A and the plan").value == 1
    assert found.where(by="planned intensity", group="C", measure="seen", scope="all coders")[0].value == 1
    assert found.where(by="acceptance", group="rejected", measure="seen")[0].clips > 0
    # A person has clips of every emotion, so that chance cannot deal emotions to people; and counts once.
    gap = found.one("largest gap in seen", by="emotion")
    assert (gap.value, gap.p, gap.subjects) == (0, None, SUBJECTS)
    json.dumps(found.to_dict())


def test_false_alarms_are_those_on_neutral_clips(exported: Exported, clips: Path, tmp_path: Path) -> None:
    def nervous(key: Row, clip: Row) -> Row:
        return {"units": "45", "emotion": "unsure"}

    found = read(clips, [fill(exported, clips, "A", tmp_path, nervous)])
    told = found.one("seen", of="expressions", by="", scope="coder A")
    assert told.value == told.reference == 1
    kappa_ = found.one("kappa", of="any unit", scope="coder A and the plan")
    assert kappa_.value == 0 and "always answers the same" in kappa_.note
    assert found.one("precision", of="units", scope="coder A").value == 0
    assert found.one("emotion as intended", by="", scope="coder A").value == 0


def test_a_coder_who_forgets_disagrees_with_itself(exported: Exported, clips: Path, tmp_path: Path) -> None:
    def forgetful(key: Row, clip: Row) -> Row:
        return truth(key, clip) | ({"units": "0"} if key["repeat_of"] else {})

    found = read(clips, [fill(exported, clips, "A", tmp_path, forgetful)])
    told = found.one("agreement index", scope="coder A, first and second time")
    assert told.value == 0 and told.clips == exported.repeats
    assert found.one("seen", of="expressions", by="", scope="coder A").value == 1  # counted once, as it came first


def test_three_coders_have_the_mean_of_their_pairs(clips: Path, tmp_path: Path) -> None:
    exported = export(clips, tmp_path / "out", n=60, coders=3)
    found = read(clips, [fill(exported, clips, coder, tmp_path, noisy(ord(coder))) for coder in "ABC"])
    scopes = ["coder A and coder B", "coder A and coder C", "coder B and coder C"]
    for of in ("any unit", "emotion", "realism"):
        each = [found.one("kappa", of=of, scope=scope).value for scope in scopes]
        assert found.one("kappa", of=of, scope="mean of 3 pairs of coders").value == pytest.approx(np.mean(each))
    each = [found.one("agreement index", scope=scope).value for scope in scopes]
    assert found.one("agreement index", scope="mean of 3 pairs of coders").value == pytest.approx(np.mean(each))


# --- for whom


def blind_to(gender: str, seed: int, sees: float = 0.55, others: float = 0.97) -> Callable[[Row, Row], Row]:
    """A coder who overlooks much of what one group shows."""
    rng = np.random.default_rng(seed)

    def code(key: Row, clip: Row) -> Row:
        share = sees if clip["source_gender"] == gender else others
        return truth(key, clip) if rng.random() < share else {"units": "0", "emotion": "neutral", "realism": "3"}

    return code


def test_a_planted_blindness_is_found(exported: Exported, clips: Path, tmp_path: Path) -> None:
    found = read(
        clips,
        [
            fill(exported, clips, "A", tmp_path, blind_to("female", 0)),
        ],
    )
    groups = {f.group: f for f in found.where(measure="seen", by="gender", scope="coder A")}
    coded, plan = judged(exported, clips, tmp_path / "sheet_A.csv"), plan_of(clips)
    for gender in schema.GENDERS:
        own = [bool(r["aus"]) for c, r in coded.items() if plan[c]["emotion"] and plan[c]["source_gender"] == gender]
        assert groups[gender].value == pytest.approx(np.mean(own))
        assert (groups[gender].clips, groups[gender].subjects, groups[gender].small) == (len(own), 12, False)
    gap = found.one("largest gap in seen", by="gender", scope="coder A")
    assert gap.p is not None and gap.p < 0.05 and gap.low is not None and gap.low > 0.2
    assert gap.reference is not None and gap.reference < 0.15 and gap.labels == "source"
    for measure in ("largest gap in F1", "largest gap in emotion as intended"):
        assert (found.one(measure, by="gender", scope="coder A").p or 1) < 0.05
    assert found.one("largest gap in realism", by="gender", scope="coder A").value == 0
    races = found.where(measure="seen", by="race", scope="coder A")
    assert len(races) == 6 and all(f.small and f.subjects == 4 for f in races)
    small = found.one("largest gap in seen", by="race", scope="coder A")
    assert small.value is None and "people enough" in small.note


def test_no_blindness_is_seldom_found(exported: Exported, clips: Path, tmp_path: Path) -> None:
    """Coders who overlook three clips in ten of everybody."""
    found = []
    for seed in range(15):
        folder = tmp_path / str(seed)
        folder.mkdir()
        path = fill(exported, clips, "A", folder, blind_to("nobody", seed, others=0.7))
        found.append(read(clips, [path], ["gender"]).one("largest gap in seen", by="gender"))
    assert sum(gap.p < 0.05 for gap in found if gap.p is not None) <= 1 and None not in {gap.p for gap in found}
    # Where there is no gap the interval reaches down to none.
    assert sum(gap.low == 0 for gap in found) >= 13
    # What chance gives is what these coders have.
    values, chance = ([getattr(gap, name) for gap in found] for name in ("value", "reference"))
    assert np.mean(values) == pytest.approx(np.mean(chance), rel=0.5)


def test_coders_are_counted_together_and_alone(exported: Exported, clips: Path, tmp_path: Path) -> None:
    paths = [
        fill(exported, clips, "A", tmp_path, blind_to("female", 1)),
        fill(exported, clips, "B", tmp_path, blind_to("male", 2)),
    ]
    found = read(clips, paths, ["gender"])
    for gender in schema.GENDERS:
        values = [found.one("seen", by="gender", group=gender, scope=f"coder {coder}").value for coder in "AB"]
        both = found.one("seen", by="gender", group=gender, scope="all coders")
        assert both.value == pytest.approx(np.mean(values)) and both.clips <= exported.clips
    assert {f.by for f in found.findings} == {"", "gender"}
    with pytest.raises(EquimeError, match="no column 'lab'"):
        read(clips, paths, ["lab"])


# --- sheets as they come back


def first_row(exported: Exported, out: Path, **cells: str) -> Path:
    rows = rows_of(exported.out / "sheet_A.csv")
    return write(out / "sheet_A.csv", [rows[0] | cells, *rows[1:]])


BAD = [
    ({"units": "99"}, "token = '99'"),
    ({"units": "12F"}, "token = '12F'"),
    ({"units": "4.00E+07"}, "write AU4E[+]7"),
    ({"units": "12-Jun"}, "expected action units"),
    ({"units": "0", "side": "L"}, "no side and no intensity where no unit was seen"),
    ({"side": "left"}, "expected side to be one of L, R, B, U or empty, got 'LEFT'"),
    ({"intensity": "F"}, "expected intensity to be one of A, B, C, D, E or empty, got 'F'"),
    ({"emotion": "joy"}, "expected emotion to be one of happiness, .*, got 'joy'"),
    ({"realism": "6"}, "expected realism to be one of 1, 2, 3, 4, 5 or empty, got '6'"),
    ({"realism": "2.5"}, "expected realism"),
    ({"item": "item_999", "units": "4"}, "has no item 'item_999'"),
    ({"item": "", "units": "4"}, "expected the review and the item in every row"),
    ({"review": "../../x", "units": "4"}, "expected the review and the item in every row"),
    ({"review": "bcdfghjk", "units": "4"}, "expected sheets of one review"),
]


@pytest.mark.parametrize(("cells", "said"), BAD)
def test_a_bad_cell_is_one_line(exported: Exported, clips: Path, tmp_path: Path, cells: Row, said: str) -> None:
    with pytest.raises(EquimeError, match=said) as caught:
        read(clips, [first_row(exported, tmp_path, **cells)])
    assert "\n" not in str(caught.value) and "sheet_A.csv" in str(caught.value)


GOOD = [
    ({"units": "12.0", "realism": "4.0"}, {12}, None),
    ({"units": "L12B+6A"}, {6, 12}, "B"),
    ({"units": "AU4E+7"}, {4, 7}, "E"),
    ({"units": "4；7", "intensity": "c"}, {4, 7}, "C"),
    ({"units": "NONE"}, set(), None),
    ({"units": "neutral"}, set(), None),
]


@pytest.mark.parametrize(("cells", "aus", "letter"), GOOD)
def test_what_spreadsheets_do_to_cells(
    exported: Exported, tmp_path: Path, cells: dict[str, str], aus: set[int], letter: str | None
) -> None:
    row = sheet.read_sheet(first_row(exported, tmp_path, **cells))[0]
    assert row.code.units is not None and {unit.au for unit in row.code.units} == aus
    assert row.code.intensity == letter and row.coder == "A"


@pytest.mark.parametrize("text", ["", "?", "n/a"])
def test_an_empty_cell_is_not_coded(exported: Exported, tmp_path: Path, text: str) -> None:
    row = sheet.read_sheet(first_row(exported, tmp_path, units=text))[0]
    assert row.code == sheet.Code() and not row.code.said


def test_an_item_twice_and_a_coder_in_two_files(exported: Exported, clips: Path, tmp_path: Path) -> None:
    rows = [row | {"units": "4"} for row in rows_of(exported.out / "sheet_A.csv")]
    parts = [write(tmp_path / "first.csv", rows[:40], "\t"), write(tmp_path / "rest.csv", rows[40:], ";")]
    assert read(clips, parts).one("coded").value == 1
    with pytest.raises(EquimeError, match=rf"{rows[40]['item']} of coder A twice"):
        read(clips, [*parts, parts[1]])


def test_the_files_name_is_the_coder_where_the_column_is_empty(exported: Exported, clips: Path, tmp_path: Path) -> None:
    rows = [row | {"units": "4", "coder": ""} for row in rows_of(exported.out / "sheet_A.csv")]
    found = read(clips, [write(tmp_path / "sheet_Ana.csv", rows), write(tmp_path / "Béla.csv", rows)])
    assert found.one("agreement index", scope="coder Ana and coder Béla").value == 1


def test_sheets_of_another_review_and_of_another_workspace(exported: Exported, clips: Path, tmp_path: Path) -> None:
    other = export(clips, tmp_path / "other", n=20)
    paths = [fill(each, clips, "A", each.out, truth) for each in (other,)]
    with pytest.raises(EquimeError, match="expected sheets of one review"):
        read(clips, [*paths, first_row(exported, tmp_path, units="4")])
    make_workspace(tmp_path / "ws", subjects=1)
    with pytest.raises(EquimeError, match="no review was exported from here; name the workspace"):
        read(tmp_path / "ws", paths)
    other.key.rename(other.key.with_suffix(".gone"))
    with pytest.raises(EquimeError, match=f"no key .*{other.review}.parquet: there are keys of .*{exported.review}"):
        read(clips, paths)
    other.key.write_bytes(b"no parquet")
    with pytest.raises(EquimeError, match="cannot read the key"):
        read(clips, paths)
    other.key.unlink()


def test_sheets_that_nobody_filled_in(exported: Exported, clips: Path) -> None:
    with pytest.raises(EquimeError, match="nothing is coded in"):
        read(clips, [exported.out / "sheet_A.csv", exported.out / "sheet_B.csv"])


def test_a_sheet_without_a_column(exported: Exported, clips: Path, tmp_path: Path) -> None:
    rows = [
        {"review": row["review"], "item": row["item"], "units": "4"} for row in rows_of(exported.out / "sheet_A.csv")
    ]
    with pytest.raises(EquimeError, match="expected the column 'side'"):
        read(clips, [write(tmp_path / "sheet_A.csv", rows)])


def test_clips_that_were_made_anew_are_left_out(tmp_path: Path) -> None:
    rows = [make_row(k, k, 0, "fear") for k in range(6)]
    ws = tmp_path / "ws"
    add_rows(Table.create(ws, shard_rows=8), rows)
    exported = export(ws, tmp_path / "out", n=6)
    path = fill(exported, ws, "A", tmp_path, truth)
    assert read(ws, [path]).one("coded").clips == 6
    for count, note in ((2, True), (6, False)):
        again = [row | ({"sha256": "0" * 64} if k < count else {}) for k, row in enumerate(rows)]
        for file in ws.glob("*/0*.parquet"):
            file.unlink()
        add_rows(Table(ws), again)
        if note:
            found = read(ws, [path])
            assert found.one("coded").clips == 4 and any(
                "left out: no longer in the workspace" in n for n in found.notes
            )
        else:
            with pytest.raises(EquimeError, match="none of the clips of this review is in"):
                read(ws, [path])


def test_a_workspace_that_was_not_scored_and_has_no_labels(tmp_path: Path) -> None:
    blank = {"source_race": None, "source_gender": None, "source_age": None}
    rows = [make_row(k, k, 0, "fear") | blank for k in range(6)]
    add_rows(Table.create(tmp_path / "ws", shard_rows=8), rows, ["plan", "generate"])
    exported = export(tmp_path / "ws", tmp_path / "out", n=6)
    assert any("no neutral clip to draw" in note for note in exported.notes)
    found = read(tmp_path / "ws", [fill(exported, tmp_path / "ws", "A", tmp_path, truth)])
    assert not [f for f in found.findings if "measured" in f.scope]
    assert any("run `equime score" in note for note in found.notes)
    assert any("nobody in" in note for note in found.notes)
    assert found.one("seen", of="neutral clips").value is None
    assert {f.by for f in found.findings} == {"", "emotion", "planned intensity"}


def test_tables_count_pairs_of_answers_by_subject() -> None:
    one, other, who = np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2]), np.array([0, 0, 1, 1])
    counts = tables(one, other, who, 3, np.array([True, True, True, False]))
    np.testing.assert_array_equal(counts[0], np.diag([1, 1, 0]))
    assert counts[1, 1, 2] == 1 == counts[1].sum()
    assert kappa(counts.sum(0)) == pytest.approx(0.5)


# --- the command


def run(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    parser.set_defaults(json=False)
    review_flags(parser)
    options = parser.parse_args([str(a) for a in arguments])
    return int(options.command(options))


def test_the_command(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run("export", clips, "--out", out, "--n", 30, "--by", "race,gender", "--coders", 1) == 0
    said = capsys.readouterr()
    assert "30 clips (3 neutral), 3 of them twice, and 1 sheet in" in said.out and "keep it from the coders" in said.out
    assert run("export", clips, "--out", out, "--n", 30, "--by", "race+gender", "--coders", 1, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["clips"] == 30 and told["coders"] == ["A"]
    exported = Exported(**{**told, "out": out, "key": Path(told["key"])})
    path = fill(exported, clips, "A", tmp_path, truth)
    assert run("read", clips, path, "--csv", tmp_path / "all.csv", "--by", "gender") == 0
    said = capsys.readouterr()
    assert "[gender, labels: source, coder A]" in said.out and f"wrote {tmp_path / 'all.csv'}" in said.out
    rows = rows_of(tmp_path / "all.csv")
    assert {row["by"] for row in rows} == {"", "gender"} and "nan" not in (tmp_path / "all.csv").read_text().lower()
    assert run("read", clips, path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["name"] == "review"
