"""EquiME's own clips as samples: every layout gives the same table and the same pictures, and damage is one line."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from hub_server import Hub
from make_clips import index_of
from make_workspace import clip, make_tree, make_workspace

from equime import hub, schema, video
from equime.action_units import parse
from equime.errors import EquimeError
from equime.recognise.equime_clips import clips
from equime.recognise.samples import FIELDS, Samples, labels
from equime.table import Table

ROOT = Path(__file__).resolve().parents[1]
EMOTIONS = (*schema.EMOTIONS, "disgust", "neutral")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """Three subjects, seven clips each; number 1 has no video, number 2 was rejected."""
    folder = tmp_path_factory.mktemp("clips") / "ws"
    return make_workspace(folder, emotions=EMOTIONS, failed=[1], rejected=[2])


@pytest.fixture(scope="module")
def samples(table: Table) -> Samples:
    return clips(table.path, accepted=False)


def test_rows_are_those_of_the_workspace(table: Table, samples: Samples) -> None:
    assert samples.table.schema.equals(FIELDS)
    rows = {row["clip_id"]: row for row in table.rows(schema.CLIPS.names)}
    made = {name: row for name, row in rows.items() if not row["generate_error"]}
    assert sorted(samples.table["sample_id"].to_pylist()) == sorted(f"equime/{name}" for name in made)
    for sample in samples.table.to_pylist():
        row = made[sample["sample_id"].removeprefix("equime/")]
        assert sample["dataset"] == "equime"
        assert sample["subject_id"] == f"equime-{row['subject_id']}"
        assert [sample[m] for m in ("onset", "apex", "offset")] == [row[m] for m in ("onset", "apex", "offset")]
        for name in ("fps", "emotion", "control", "split", "gender", "race", "action_units"):
            assert sample[name] == row[name], name
        assert sample["age"] == schema.age_band(row["age"])
        assert sample["apex_from"] == (None if row["control"] else "planned")
        units = row["action_units"] or []
        assert {u["au"] for u in units} == {u.au for u in parse(sample["au_text"] or "").units}


def test_classes(samples: Samples) -> None:
    by_emotion = {row["emotion"]: row for row in samples.table.to_pylist()}
    assert {e: row["emotion3"] for e, row in by_emotion.items()} == {
        "happiness": "positive",
        "surprise": "surprise",
        **dict.fromkeys(("sadness", "fear", "anger", "disgust"), "negative"),
        None: None,
    }
    assert by_emotion["disgust"]["emotion5"] is None
    assert by_emotion["happiness"]["objective"] == "I"  # 6+12, by Davison's table
    coded, names = labels(samples.table, "emotion5")
    assert names == schema.EMOTIONS
    assert (coded == -1).sum() == 6  # three of disgust, three neutral


def test_rejected_clips_and_other_splits_stay_away(table: Table, samples: Samples) -> None:
    accepted = clips(table.path)
    assert len(accepted) == len(samples) - 1
    for split in schema.SPLITS:
        part = clips(table.path, split=split)
        assert set(part.table["split"].to_pylist()) == {split}
        assert len(part) == accepted.table["split"].to_pylist().count(split)


def test_pictures_are_the_clip_s_frames(table: Table, samples: Samples) -> None:
    rows = {f"equime/{row['clip_id']}": row for row in table.rows(["clip_id", "video"])}
    order = np.random.default_rng(0).permutation(len(samples)).tolist()
    for position, pictures in zip(order, samples.open(order), strict=True):
        data = rows[samples.table["sample_id"][position].as_py()]["video"]["bytes"]
        assert list(pictures.numbers) == list(range(8))
        assert pictures.digest([1]) == video.sha256(data)
        np.testing.assert_array_equal(pictures.read([6, 1]), video.decode(data, [6, 1]))


def test_a_piece_is_read_once_for_the_rows_in_it(tmp_path: Path) -> None:
    samples = clips(make_workspace(tmp_path / "ws", subjects=1, per_emotion=8, shard_rows=8).path)
    origin = deepcopy(samples.origins["equime"])
    rows = samples.table.to_pylist()
    parts = origin.parts(rows)
    assert sorted(position for part in parts for position in part) == list(range(len(rows)))
    assert len(parts) == len({row["frames"] for row in rows}) < len(rows)
    assert [p.digest([]) for p in origin.open([rows[0], rows[0]])] == [next(origin.open(rows)).digest([])] * 2


def test_every_layout_gives_the_same_samples(table: Table, samples: Samples, tmp_path: Path) -> None:
    hub.write_layout(table, tmp_path / "hub")
    accepted, published = clips(table.path), clips(tmp_path / "hub")
    columns = [name for name in FIELDS.names if name != "frames"]

    def rows(of: Samples) -> list[dict[str, object]]:
        return sorted(of.table.select(columns).to_pylist(), key=lambda row: str(row["sample_id"]))

    assert rows(published) == rows(accepted)
    digests = {
        name: {
            row["sample_id"]: p.digest([]) for row, p in zip(s.table.to_pylist(), s.open(range(len(s))), strict=True)
        }
        for name, s in {"hub": published, "workspace": accepted}.items()
    }
    assert digests["hub"] == digests["workspace"]


@pytest.mark.parametrize("metadata", [True, False])
def test_a_released_tree(tmp_path: Path, metadata: bool) -> None:
    tree = make_tree(tmp_path / "tree", metadata=metadata, frames=6)
    found = clips(tree)
    assert len(found) == 15
    assert set(found.table["fps"].to_pylist()) == {24.0}
    for row, pictures in zip(found.table.to_pylist(), found.open(range(15)), strict=True):
        assert len(pictures.numbers) == 6
        assert index_of(pictures.read([5])[0]) == 5
        assert pictures.digest([]) == video.sha256((tree / f"{row['sample_id'][7:]}.mp4").read_bytes())


def test_measured_times(tmp_path: Path, samples: Samples) -> None:
    whole = make_workspace(tmp_path / "ws")
    rows = {f"equime/{row['clip_id']}": row for row in whole.rows(["clip_id", "measured_apex_ms"])}
    for sample in clips(whole.path, apex="measured").table.to_pylist():
        ms = rows[sample["sample_id"]]["measured_apex_ms"]
        assert sample["apex"] == round(ms * 24 / 1000)
        assert (sample["onset"], sample["apex_from"]) == (None, "measured")
    unscored = make_workspace(tmp_path / "unscored", groups=["generate"])
    assert len(clips(unscored.path)) == 15
    with pytest.raises(EquimeError, match="equime score"):
        clips(unscored.path, apex="measured")


def test_a_changed_byte_is_found_by_the_hash(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    path = tree / "anger" / "f_100_00.mp4"
    document = tree / "anger" / "metadata" / f"{path.stem}_metadata.json"
    kept = json.loads(document.read_text()) | {"sha256": video.sha256(path.read_bytes())}
    document.write_text(json.dumps(kept))
    good = clips(tree)
    position = good.table["sample_id"].to_pylist().index("equime/anger/f_100_00")
    assert len(next(good.open([position])).read([0])) == 1
    data = bytearray(path.read_bytes())
    data[-50] ^= 1
    path.write_bytes(data)
    with pytest.raises(EquimeError, match="damaged"):
        next(good.open([position])).read([0])


def test_what_is_not_there(tmp_path: Path, table: Table) -> None:
    with pytest.raises(EquimeError, match="no such folder"):
        clips(tmp_path / "nothing")
    with pytest.raises(EquimeError, match="split to be one of"):
        clips(table.path, split="dev")
    with pytest.raises(EquimeError, match="apex to be one of"):
        clips(table.path, apex="coded")  # type: ignore[arg-type]
    planned = make_workspace(tmp_path / "planned", groups=[])
    with pytest.raises(EquimeError, match="equime generate"):
        clips(planned.path)
    made = make_workspace(tmp_path / "gone")
    found = clips(made.path)
    made.shard_path("generate", 0).unlink()
    with pytest.raises(EquimeError, match=r"no video|gone|cannot read"):
        [pictures.read([0]) for pictures in found.open(range(len(found)))]


def test_a_repository(tmp_path: Path) -> None:
    hub.write_layout(make_workspace(tmp_path / "ws"), tmp_path / "out")
    code = """
    from equime.recognise.equime_clips import clips
    found = clips("org/equime", split="test")
    print(len(found), sum(len(p.read([0, 7])) for p in found.open(range(len(found)))))
    """
    with Hub() as server:
        server.create("org/equime", tmp_path / "out")
        environment = server.environment(tmp_path, None, PYTHONPATH=str(ROOT))
        command = [sys.executable, "-c", textwrap.dedent(code)]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False
        )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["5", "10"]


def test_the_clips_are_those_that_were_made(samples: Samples) -> None:
    first = next(iter(samples.open([0])))
    assert first.digest([]) == video.sha256(clip(0))
