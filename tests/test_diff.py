"""Two states of a data set compared: planted changes of known size, against a comparison of plain dicts."""

from __future__ import annotations

import json
import math
import shutil
import statistics
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import Hub
from hypothesis import given
from hypothesis import strategies as st
from make_workspace import Row, add_rows, make_row, make_tree, make_workspace, write_shard

from equime import hub, schema, tag_summary
from equime.audit.tables.people import COLUMNS, people
from equime.errors import EquimeError
from equime.publishing import manifest
from equime.publishing.about import About
from equime.publishing.comparing.changes import Diff
from equime.publishing.comparing.diff import diff
from equime.publishing.comparing.differing import differs, shift
from equime.publishing.comparing.snapshot import open_version
from equime.publishing.documents import changelog
from equime.publishing.origin import Tombstone
from equime.table import Table

ROOT = Path(__file__).resolve().parents[1]


def compare(a: Path | str, b: Path | str) -> Diff:
    return diff(open_version(str(a)), open_version(str(b)))


def edit(table: Table, change: Callable[[Row], Row]) -> None:
    """Write every shard of every group again, with what `change` gives for each row."""
    for index in table.shards():
        rows = [row | change(row) for row in table.read(index, schema.CLIPS.names).to_pylist()]
        for group in schema.GROUPS:
            write_shard(table, group, index, rows)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six subjects, sixty clips. Read only."""
    folder = tmp_path_factory.mktemp("before") / "ws"
    make_workspace(folder, subjects=6, per_emotion=2, shard_rows=16)
    return folder


def race(label: str) -> Row:
    return {"race": label, "race_probs": {r: 0.9 if r == label else 0.02 for r in schema.RACES}}


def planted(row: Row) -> Row:
    """What the later state has otherwise."""
    new: Row = {}
    if row["emotion"] == "fear":  # 12 clips
        new |= {"caption": row["caption"] + " Briefly.", "source": "elsewhere.png", "source_sha256": "0" * 64}
    if row["subject_id"] == "0":  # 10 clips
        new |= race("white") | {"age": 61.0}
    if row["clip_id"] == "anger/m_1_0":  # one clip, which changes no vote
        new |= race("black")
    if row["sequence"] == 1:  # 30 clips
        new |= {"psnr_consecutive": row["psnr_consecutive"] + 2.5}
    if row["subject_id"] == "2" and row["emotion"] == "sadness":  # 2 clips
        new |= {"accepted": False, "reject_reasons": ["too loud"]}
    if row["clip_id"] == "happiness/f_4_1":
        new |= {"video": {"bytes": b"other", "path": None}, "sha256": "f" * 64}
        new |= {"action_units": [{"au": 12, "side": "L", "intensity": "B"}, {"au": 6, "side": "B", "intensity": "A"}]}
    return new


@pytest.fixture(scope="module")
def after(before: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with `planted` changes, and two subjects more. Read only."""
    folder = tmp_path_factory.mktemp("after") / "ws"
    shutil.copytree(before, folder, ignore=shutil.ignore_patterns(".cache"))
    edit(Table(folder), planted)
    cases = [(subject, 0, emotion) for subject in (6, 7) for emotion in schema.EMOTIONS]
    add_rows(Table(folder), [make_row(100 + k, *case) for k, case in enumerate(cases)])
    return folder


@pytest.fixture(scope="module")
def found(before: Path, after: Path) -> Diff:
    return compare(before, after)


# --- independent: rows as dicts, one by one


def by_id(path: Path) -> dict[str, Row]:
    names = [name for name in schema.METADATA.names if name not in schema.UNPUBLISHED]
    return {row["clip_id"]: row for row in Table(path).rows(names)}


def expected_changes(before: Path, after: Path) -> tuple[dict[str, set[str]], Counter[str]]:
    old, new = by_id(before), by_id(after)
    clips, columns = defaultdict(set), Counter[str]()
    for clip_id in old.keys() & new.keys():
        for name, value in old[clip_id].items():
            if name != "clip_id" and value != new[clip_id][name]:
                clips[schema.OWNER[name]].add(clip_id)
                columns[name] += 1
    return dict(clips), columns


def test_every_planted_change_is_found_and_nothing_else(before: Path, after: Path, found: Diff) -> None:
    clips, columns = expected_changes(before, after)
    assert {group: set(each.clips) for group, each in found.changed.items()} == clips
    assert {name: n for each in found.changed.values() for name, n in each.columns.items()} == columns
    assert columns["caption"] == 12 and columns["psnr_consecutive"] == 30 and columns["age"] == 10
    assert len(found.changed["generate"].clips) == 1 and columns["sha256"] == 1
    assert found.removed.clips == () and found.removed.counts == {}
    assert sorted(found.added.clips) == sorted(by_id(after).keys() - by_id(before).keys())
    assert (found.added.subjects, found.added.whole, len(found.added.clips)) == (2, 2, 10)
    assert found.added.counts == {split: dict.fromkeys(schema.EMOTIONS, 1) for split in ("train", "validation")}


def test_the_way_back_is_the_mirror_image(before: Path, after: Path, found: Diff) -> None:
    back = compare(after, before)
    assert back.removed == found.added and back.added == found.removed
    assert {g: (set(c.clips), c.columns) for g, c in back.changed.items()} == {
        g: (set(c.clips), c.columns) for g, c in found.changed.items()
    }
    assert back.shifts["psnr_consecutive"].mean == pytest.approx(-found.shifts["psnr_consecutive"].mean)
    assert back.evenness["tag"]["race"] == found.evenness["tag"]["race"][::-1]


def test_labels_flip_by_group_and_by_subject(before: Path, after: Path, found: Diff) -> None:
    old, new = by_id(before), by_id(after)
    for name in ("race", "accepted"):
        words = {True: "accepted", False: "rejected"} if name == "accepted" else {}
        both = Counter((words.get(old[i][name], old[i][name]), words.get(new[i][name], new[i][name])) for i in old)
        flips = found.clip_flips[name]
        told = {(a, b): n for a, others in flips.changed.items() for b, n in others.items()}
        assert told == {pair: n for pair, n in both.items() if pair[0] != pair[1]}
        assert flips.of == Counter(a for a, _ in both.elements())
    # Subject 0 was "asian" (its number modulo 6); one odd clip does not outvote nine.
    assert found.subject_flips["race"].changed == {"asian": {"white": 1}}
    assert found.subject_flips["race"].of == dict.fromkeys(schema.RACES, 1)
    assert found.subject_flips["age"].changed == {"30-39": {"60+": 1}}
    assert found.clip_flips["age"].changed == {"30-39": {"60+": 10}}
    assert "gender" not in found.clip_flips and "split" not in found.clip_flips
    assert "source_race" not in found.subject_flips


def test_scores_shift_as_plain_statistics_say(before: Path, after: Path, found: Diff) -> None:
    old, new = by_id(before), by_id(after)
    pairs = [(old[i]["psnr_consecutive"], new[i]["psnr_consecutive"]) for i in old]
    moved = [b - a for a, b in pairs if a != b]
    told = found.shifts["psnr_consecutive"]
    assert (told.clips, told.of) == (30, 60)
    assert told.mean == pytest.approx(statistics.fmean(moved)) == pytest.approx(2.5, abs=1e-5)
    assert told.median == pytest.approx(statistics.median(moved))
    assert told.most == pytest.approx(max(moved, key=abs))
    assert told.before == pytest.approx(statistics.fmean(a for a, _ in pairs))
    assert told.after == pytest.approx(statistics.fmean(b for _, b in pairs))
    assert told.spread == pytest.approx(statistics.pstdev(a for a, _ in pairs))
    assert "race_probs.white" in found.shifts and "ssim_consecutive" not in found.shifts and "seed" not in found.shifts


def even(counts: Counter[str], groups: tuple[str, ...]) -> float:
    total = sum(counts[g] for g in groups)
    return sum(-counts[g] / total * math.log(counts[g] / total) for g in groups if counts[g]) / math.log(len(groups))


def test_evenness_before_and_after_by_subjects_and_clips(before: Path, after: Path, found: Diff) -> None:
    for position, path in enumerate((before, after)):
        rows = by_id(path).values()
        source = {row["subject_id"]: row["source_race"] for row in rows}
        voted = {"tag": dict(source), "source": source}
        if path == after:
            voted["tag"]["0"] = "white"
        for basis, labels in voted.items():
            told = found.evenness[basis]["race"][position]
            assert told.subjects == pytest.approx(even(Counter(labels.values()), schema.RACES))
            clips = Counter(labels[row["subject_id"]] for row in rows)
            assert told.clips == pytest.approx(even(clips, schema.RACES))


def test_subjects_are_voted_on_as_the_tag_summary_does(tmp_path: Path) -> None:
    def tagged(row: Row) -> Row:
        k = hash_of(row["clip_id"])
        probs = {r: 1.0 + (k >> i) % 7 for i, r in enumerate(schema.RACES)}
        total = sum(probs.values())
        genders = {"female": (k % 11) / 10, "male": 1 - (k % 11) / 10}
        said = {"race_probs": {r: p / total for r, p in probs.items()}, "gender_probs": genders}
        return said | {"tagger": "made up", "age": 15.0 + k % 60, "race": max(probs, key=probs.__getitem__)}

    table = make_workspace(tmp_path / "ws", subjects=9, per_emotion=3, shard_rows=32)
    edit(table, tagged)
    summary = tag_summary.summarise(table.rows(tag_summary.COLUMNS))
    who = people(open_version(str(tmp_path / "ws")).read(COLUMNS))
    for name, subject in summary.subjects.items():
        assert who.labels["tag"]["race"][name] == subject.labels.race
        assert who.labels["tag"]["gender"][name] == subject.labels.gender
        assert who.labels["tag"]["age"].get(name) == subject.labels.age
        assert who.clips[name] == subject.clips
    assert len({subject.labels for subject in summary.subjects.values()}) > 2


def hash_of(text: str) -> int:
    return int.from_bytes(text.encode(), "big") % 1_000_003


def test_without_probabilities_the_label_of_most_clips_counts() -> None:
    labels = [("a", "white"), ("a", "asian"), ("a", "white"), ("b", "indian"), ("b", "black"), ("c", None)]
    rows = [{"subject_id": subject, "race": label} for subject, label in labels]
    names = pa.schema([schema.METADATA.field(name) for name in COLUMNS])
    who = people(pa.Table.from_pylist(rows, schema=names))
    assert who.labels["tag"]["race"] == {"a": "white", "b": "black"}
    assert who.clips == {"a": 3, "b": 2, "c": 1}
    assert who.evenness("tag", "gender") == (None, None)


# --- what people read


def test_lines_name_what_changed_for_a_user(found: Diff) -> None:
    text = "\n".join(found.lines())
    for said in (
        "Added: 10 clips of 2 subjects (2 new): train 5, validation 5; happiness 2,",
        "captions of 12 clips: caption 12",
        "videos of 1 clip (1 with other bytes): sha256 1",
        "1 subject changed perceived race: asian -> white 1 of 1",
        "perceived race of 11 clips: asian -> white 10 of 10, indian -> black 1 of 10",
        "verdict of 2 clips: accepted -> rejected 2 of 60",
        "psnr_consecutive of 30 clips: by +2.5 (median +2.5, most +2.5); mean of 60 clips",
        "clips: train 20 -> 25, validation 20 -> 25, test 20 -> 20",
        "evenness of perceived race (the source's labels): subjects 1.000 -> 0.967, clips 1.000 -> 0.989",
    ):
        assert said in text, text
    assert not any(clip_id in text for clip_id in found.added.clips)


def test_where_a_picture_came_from_is_never_said(found: Diff) -> None:
    said = json.dumps(found.to_dict()) + "\n".join(found.lines())
    assert (
        "source_sha256" not in said
        and "elsewhere.png" not in said
        and '"source":' not in json.dumps(found.to_dict()["changed"])
    )


def test_json_holds_all_of_it(found: Diff) -> None:
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["same"] is False
    assert sorted(told["added"]["clips"]) == sorted(found.added.clips)
    assert told["changed"]["caption"]["columns"] == {"caption": 12}
    assert told["subject_flips"]["race"]["asian"] == {"of": 1, "changed": 1, "to": {"white": 1}}
    assert told["subject_flips"]["race"]["black"] == {"of": 1, "changed": 0, "to": {}}
    assert told["evenness"]["source"]["race"]["before"] == {"subjects": 1.0, "clips": 1.0}
    assert told["b"]["counts"]["train"]["fear"] == 5


def test_the_same_state_has_no_difference(before: Path) -> None:
    found = compare(before, before)
    assert found.same and found.sections().keys() == {"Balance"}
    assert found.lines()[2:] == ["nothing changed"]


def test_the_command_says_it_both_ways(before: Path, after: Path, found: Diff) -> None:
    def said(*more: str) -> str:
        call = [sys.executable, "-m", "equime", "diff", str(before), str(after), *more]
        done = subprocess.run(call, capture_output=True, text=True, check=True, cwd=ROOT, timeout=50)
        return done.stdout

    assert said().splitlines() == found.lines()
    assert json.loads(said("--json")) == json.loads(json.dumps(found.to_dict()))


# --- other places


def test_data_sets_without_a_clip_in_common_are_all_removed_and_added(before: Path, tmp_path: Path) -> None:
    make_workspace(tmp_path / "ws", subjects=1, emotions=["disgust", "neutral"])
    found = compare(before, tmp_path / "ws")
    assert len(found.removed.clips) == found.removed.subjects * 10 == 60 and len(found.added.clips) == 2
    assert found.added.counts == {"train": {"disgust": 1, "neutral": 1}} and found.added.whole == 0
    assert found.changed == {} and found.shifts == {} and found.clip_flips == {}
    assert "clips: happiness 12 -> 0," in "\n".join(found.lines()) and "neutral 0 -> 1" in "\n".join(found.lines())


def test_a_release_differs_from_its_workspace_by_what_was_left_out(tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", subjects=3, per_emotion=2, failed=[3], rejected=[7, 8])
    hub.write_layout(table, tmp_path / "out", progress=False)
    found = compare(tmp_path / "ws", tmp_path / "out")
    assert len(found.removed.clips) == 3 and found.removed.why == {"not accepted": 2, "no video": 1}
    assert found.added.clips == () and found.changed == {} and found.only_b == {}
    # The one clip with an error was left out, and with it the only value of that column.
    assert found.only_a == {"generate": {"generate_error": 1}}
    assert "3 clips (2 not accepted, 1 no video) of 1 subject" in "\n".join(found.lines())


def test_what_one_side_lacks_is_named_and_not_compared(before: Path, tmp_path: Path) -> None:
    make_workspace(tmp_path / "bare", subjects=6, per_emotion=2, shard_rows=16, groups=["plan", "generate"])
    found = compare(tmp_path / "bare", before)
    assert found.changed == {} and found.only_a == {} and found.shifts == {} and found.clip_flips == {}
    assert list(found.only_b) == ["caption", "tag", "score"]
    assert found.only_b["caption"]["caption"] == 60
    assert found.a.groups == ("plan", "generate") and found.b.groups == tuple(schema.GROUPS)
    assert "Added: captions of 60 clips, none before" in found.lines()
    assert "Removed: scores of 60 clips, none any more" in compare(before, tmp_path / "bare").lines()
    assert found.evenness["tag"]["race"] == ((None, None), (1.0, 1.0))
    assert "(tags, a vote per subject): subjects not labelled -> 1.000" in "\n".join(found.lines())


def test_stale_groups_are_lacking_and_said_to_be_stale(before: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ws"
    shutil.copytree(before, folder)
    table = Table(folder)
    for index in table.shards():
        rows = table.read(index, schema.CLIPS.names).to_pylist()
        write_shard(table, "caption", index, rows, reads=("seed",))
        write_shard(table, "plan", index, [row | {"seed": 5} for row in rows])
    found = compare(before, folder)
    assert found.changed["plan"].columns == {"seed": 60} and found.shifts == {}
    assert found.only_a == {"caption": {"caption": 60, "caption_json": 60}}
    assert "after: stale" in found.lines()[2]


def test_a_released_tree_is_compared_by_its_metadata(tmp_path: Path) -> None:
    a, b = make_tree(tmp_path / "a"), make_tree(tmp_path / "b")
    sidecars = sorted((b / "fear" / "metadata").iterdir())
    for path in sidecars[:2]:
        path.write_text(json.dumps(json.loads(path.read_text()) | {"caption": "Reworded."}))
    (b / "anger" / "f_100_00.mp4").unlink()
    found = compare(a, b)
    assert found.removed.clips == ("anger/f_100_00",)
    assert len(found.changed["caption"].clips) == 2 and found.changed["caption"].columns["caption"] == 2
    assert found.changed.keys() == {"caption"}


def test_withdrawn_subjects_and_their_twins_explain_what_is_missing(tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", subjects=4, shard_rows=32)
    pair = {"fear/f_0_0": "t1", "fear/m_1_0": "t1", "anger/m_3_0": "t2"}
    edit(table, lambda row: {"twin_id": pair.get(row["clip_id"])})
    for name in ("1.0.0", "1.0.1"):
        hub.write_layout(table, tmp_path / name, progress=False)
    for path in (tmp_path / "1.0.1" / "metadata").iterdir():
        rows = [r for r in pq.read_table(path).to_pylist() if r["subject_id"] != "0" and r["twin_id"] != "t1"]
        pq.write_table(pa.Table.from_pylist(rows, schema=hub.METADATA), path)
    gone = (Tombstone("0", "1.0.1", "2026-02-03", 6),)
    described = manifest.Manifest(About("1.0.1"), {}, {}, {}, 20, withdrawn=gone)
    (tmp_path / "1.0.1" / manifest.NAME).write_text(described.to_json())
    found = compare(tmp_path / "1.0.0", tmp_path / "1.0.1")
    assert found.removed.why == {"withdrawn": 6} and found.removed.subjects == 2 and found.removed.whole == 1
    told = changelog.entry(About("1.0.1", date="2026-02-03"), found, gone)
    assert "### Withdrawn\n\n- 1 subject on request, with 6 clips" in told
    assert "Withdrawn" not in changelog.entry(About("1.0.2", date="2026-02-03"), found, gone)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("nowhere", "expected a folder, or a repository on the Hub as OWNER/NAME[@VERSION], got 'nowhere'"),
        ("a/b/c@1.0.0", "expected a folder"),
        ("tests", "no data in tests"),
    ],
)
def test_a_place_that_holds_nothing_is_one_line(where: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(EquimeError) as said:
        open_version(where)
    assert words in str(said.value) and "\n" not in str(said.value)


def test_a_clip_that_comes_twice_is_refused(tmp_path: Path) -> None:
    rows = pa.Table.from_pylist([{"clip_id": "fear/f_1_0"}] * 2, schema=hub.METADATA)
    (tmp_path / "metadata").mkdir()
    pq.write_table(rows, tmp_path / "metadata" / "train.parquet")
    with pytest.raises(EquimeError, match="expected a clip_id of its own in every row"):
        compare(tmp_path, tmp_path)


def test_versions_on_the_hub_without_a_byte_of_video(before: Path, after: Path, found: Diff, tmp_path: Path) -> None:
    for name, path in (("1.0.0", before), ("1.1.0", after)):
        hub.write_layout(Table(path), tmp_path / name, keep_rejected=True, progress=False)
    with Hub() as server:
        server.users = {"hf_member": "ada"}
        repo = server.create("org/equime", tmp_path / "1.0.0", gated="manual", members={"ada"})
        repo.refs["1.0.0"] = repo.refs["main"]
        repo.commit({p.relative_to(tmp_path / "1.1.0").as_posix(): p.read_bytes()
                     for p in (tmp_path / "1.1.0").rglob("*") if p.is_file()})  # fmt: skip
        repo.refs["1.1.0"] = repo.refs["main"]
        environment = server.environment(tmp_path, "hf_member", PYTHONPATH=str(ROOT))

        def said(*arguments: str) -> subprocess.CompletedProcess[str]:
            call = [sys.executable, "-m", "equime", "diff", *arguments]
            return subprocess.run(call, env=environment, capture_output=True, text=True, check=False, timeout=50)

        sizes = sum(p.stat().st_size for v in ("1.0.0", "1.1.0") for p in (tmp_path / v / "metadata").iterdir())
        with server.counted() as requests:
            done = said("org/equime@1.0.0", "org/equime", "--json")
        assert done.returncode == 0, done.stderr
        wrong = said("org/equime@1.0.0", "org/equime@9.9.9")
        mixed = said(str(before), "org/equime@1.0.0")
    told, want = json.loads(done.stdout), json.loads(json.dumps(found.to_dict()))
    for group, changed in want["changed"].items():
        assert told["changed"][group]["columns"] == changed["columns"]
        assert sorted(told["changed"][group]["clips"]) == sorted(changed["clips"])
    assert told["shifts"].keys() == want["shifts"].keys() and told["only_b"] == want["only_b"]
    for name, moved in want["shifts"].items():
        assert told["shifts"][name] == pytest.approx(moved)
    assert told["subject_flips"] == want["subject_flips"] and told["evenness"] == want["evenness"]
    assert not any("/data/" in path and method == "GET" for method, path, _, _ in requests)
    assert sum(sent for _, path, _, sent in requests if path.startswith("/lfs/")) == sizes
    assert wrong.returncode == 1 and "has no revision '9.9.9'" in wrong.stderr and wrong.stderr.count("\n") == 1
    assert mixed.returncode == 0 and "nothing changed" in mixed.stdout


# --- columns


VALUES: dict[pa.DataType, Any] = {
    pa.float32(): st.none() | st.sampled_from([0.0, 1.5, math.nan, math.inf]),
    pa.int32(): st.none() | st.integers(-2, 2),
    pa.string(): st.none() | st.sampled_from(["", "a", "é\n"]),
    pa.bool_(): st.none() | st.booleans(),
    pa.list_(pa.string()): st.none() | st.lists(st.none() | st.sampled_from(["a", "b"]), max_size=3),
    pa.list_(schema.ACTION_UNIT): st.none()
    | st.lists(
        st.none() | st.fixed_dictionaries({"au": st.integers(1, 2), "side": st.none() | st.just("L"),
                                           "intensity": st.sampled_from("AB")}), max_size=2),
    schema.METADATA.field("gender_probs").type: st.none()
    | st.fixed_dictionaries({"female": st.none() | st.sampled_from([0.25, math.nan]), "male": st.just(0.75)}),
}  # fmt: skip


@given(st.data())
def test_columns_differ_where_plain_python_says_so(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(list(VALUES)), label="type")
    pairs = data.draw(st.lists(st.tuples(VALUES[kind], VALUES[kind]), max_size=6))
    columns = [pa.array([pair[side] for pair in pairs], kind) for side in (0, 1)]
    told = differs(*columns)
    plain = [repr(a) != repr(b) for a, b in zip(*(column.to_pylist() for column in columns), strict=True)]  # NaN is NaN
    assert told.tolist() == plain
    cut = [column.slice(1, 3) for column in columns]
    assert differs(*cut).tolist() == plain[1:4]


def test_what_is_no_number_is_equal_to_itself() -> None:
    column = pa.array([math.nan, 1.0, None])
    assert differs(column, column).tolist() == [False] * 3
    assert differs(column, pa.array([1.0, math.nan, math.nan])).tolist() == [True] * 3


def test_the_largest_shift_keeps_its_sign() -> None:
    moved = shift(pa.array([1.0, 2.0, 3.0]), pa.array([2.0, -7.0, 5.0]))
    assert moved is not None and (moved.most, moved.median, moved.mean) == (-9.0, 1.0, -2.0)


def test_shifts_leave_out_what_is_no_number() -> None:
    moved = shift(pa.array([1.0, None, math.nan, 4.0, 5.0]), pa.array([2.0, 3.0, 3.0, None, 5.0]))
    assert moved is not None and (moved.clips, moved.of, moved.mean, moved.after) == (1, 2, 1.0, 3.5)
    assert shift(pa.array([1, None], pa.int16()), pa.array([1, 7], pa.int16())) is None


# --- the change log

NASTY = (
    "<script>alert(1)</script> | `code` **bold** [link](http://x) ![i](j) _em_ ~~no~~ $x$ &amp;\n"
    "# Title\n---\n\x1b[31mred"
)


def test_a_change_log_has_each_version_once_and_the_newest_first(found: Diff) -> None:
    text = changelog.render(None, changelog.entry(About("1.9.0", date="2026-01-01"), None))
    text = changelog.render(text, changelog.entry(About("1.10.0", date="2026-02-01", note="more"), found))
    again = changelog.render(text, changelog.entry(About("1.9.0", date="2026-01-01"), None))
    assert again == text and [line for line in text.splitlines() if line.startswith("## ")] == [
        "## 1.10.0 (2026-02-01)",
        "## 1.9.0 (2026-01-01)",
    ]
    for said in ("### Added", "### Changed", "### Balance", "- captions of 12 clips: caption 12", "The first version."):
        assert said in text
    retold = changelog.render(text, changelog.entry(About("1.10.0", date="2026-02-02", note="other"), found))
    assert retold.count("## 1.10.0") == 1 and "other" in retold and "2026-02-01" not in retold
    with pytest.raises(EquimeError, match="expected an entry"):
        changelog.render(text, "nothing")


def test_values_from_data_break_neither_markdown_nor_terminal(tmp_path: Path) -> None:
    markdown = pytest.importorskip("markdown_it").MarkdownIt("gfm-like", {"linkify": False})
    tables = [make_workspace(tmp_path / name, shard_rows=32) for name in "ab"]
    for table in tables:
        rows = table.read(0, schema.CLIPS.names).to_pylist()
        rows[0]["race"] = "\x1b[2J" + NASTY if table is tables[1] else rows[0]["race"]
        write_shard(table, "tag", 0, rows)
    found = compare(tmp_path / "a", tmp_path / "b")
    assert "<script>" in "\n".join(found.lines())
    assert all(line.isprintable() for line in found.lines())
    told = changelog.entry(About("1.1.0", date="2026-02-01", note=NASTY), found)
    tokens = [t for t in markdown.parse(told) if t.type != "inline"]
    inline = [c for t in markdown.parse(told) for c in (t.children or [])]
    assert {t.type for t in inline} == {"text", "text_special"} or {t.type for t in inline} == {"text"}
    assert {t.tag for t in tokens if t.tag} <= {"h2", "h3", "p", "ul", "li"}
    shown = next(t for t in markdown.parse(told) if t.type == "inline" and "script" in t.content)
    plain = "".join(c.content for c in shown.children or [])
    assert plain == " ".join(NASTY.split()).replace("\x1b", "\\x1b")
