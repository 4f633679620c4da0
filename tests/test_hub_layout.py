from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest
from make_clips import index_of
from make_workspace import add_rows, clip, make_row, make_tree, make_workspace, replan, write_shard

from equime import card, hub, schema, video
from equime.errors import EquimeError
from equime.hub import write_layout
from equime.table import Table
from equime.tree import import_tree

EMOTIONS = (*schema.EMOTIONS, "disgust", "neutral")
NAMES = [name for name in schema.CLIPS.names if name not in schema.UNPUBLISHED]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets.disable_progress_bars()


def files(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def expected(table: Table) -> dict[str, dict[str, Any]]:
    return {row["clip_id"]: {name: row[name] for name in NAMES} for row in table.rows(schema.CLIPS.names)}


def ids(path: Path) -> list[str]:
    return list(pq.read_table(path, columns=["clip_id"], partitioning=None)["clip_id"].to_pylist())


def loaded(out: Path, config: str, cache: Path) -> dict[str, list[dict[str, Any]]]:
    found = datasets.load_dataset(str(out), config, cache_dir=str(cache))
    return {split: list(found[split]) for split in found}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Table, Path]:
    """Four subjects (two in train) with three clips of each emotion; one clip failed, one was rejected."""
    folder = tmp_path_factory.mktemp("layout")
    table = make_workspace(
        folder / "ws", subjects=4, per_emotion=3, emotions=EMOTIONS, shard_rows=5, failed=[3], rejected=[7]
    )
    receipt = write_layout(table, folder / "out", clips_per_file=4, progress=False)
    assert receipt.errors == {"fear/f_0_0": "left out: the face is hidden"} and receipt.failed == 1
    assert receipt.rows == 82 and "82 clips in 28 files" in str(receipt)
    assert sum(sum(counts.values()) for counts in receipt.to_dict()["clips"].values()) == 82
    return table, folder / "out"


def test_files_are_rounds_over_the_emotions_filled_in_plan_order(made: tuple[Table, Path]) -> None:
    table, out = made
    planned: Counter[tuple[str, str]] = Counter()
    wanted: dict[str, list[str]] = {}
    for row in table.rows(["split", "emotion", "control", "accepted", "generate_error"]):
        label = row["emotion"] or row["control"]
        place = f"data/{row['split']}/{planned[row['split'], label] // 4:05d}-{label}.parquet"
        planned[row["split"], label] += 1
        if row["accepted"] and not row["generate_error"]:
            wanted.setdefault(place, []).append(row["clip_id"])
    found = {name: ids(out / name) for name in files(out) if name.startswith("data/")}
    assert found == dict(sorted(wanted.items()))
    assert ids(out / "data/train/00000-fear.parquet") == ["fear/f_0_1", "fear/f_0_2", "fear/m_3_0"]
    rounds = hub.data_files(found)
    assert [(f.split, f.round, f.emotion) for f in rounds[:8]] == [
        *(("train", 0, emotion) for emotion in EMOTIONS),
        ("train", 1, "happiness"),
    ]
    assert sorted(f.path for f in rounds) == sorted(found)


@pytest.mark.parametrize("config", ["video", "emotion", "metadata"])
def test_plain_datasets_reads_every_config(made: tuple[Table, Path], tmp_path: Path, config: str) -> None:
    table, out = made
    rows = expected(table)
    good = {k: row for k, row in rows.items() if row["accepted"] and not row["generate_error"]}
    found = loaded(out, config, tmp_path)
    splits = (*schema.EMOTIONS, "disgust") if config == "emotion" else schema.SPLITS
    assert tuple(found) == splits
    key = "emotion" if config == "emotion" else "split"
    for split, clips in found.items():
        assert all(clip[key] == split for clip in clips)
    flat = {row["clip_id"]: row for clips in found.values() for row in clips}
    if config == "emotion":
        good = {k: row for k, row in good.items() if row["emotion"] is not None}
    if config == "metadata":
        good = {k: {n: v for n, v in row.items() if n != "video"} for k, row in good.items()}
    assert flat == good
    assert list(next(iter(flat.values()))) == [name for name in NAMES if config != "metadata" or name != "video"]


def test_plain_datasets_streams_it(made: tuple[Table, Path]) -> None:
    table, out = made
    stream = datasets.load_dataset(str(out), "video", split="validation", streaming=True)
    rows = list(stream)
    assert len(rows) == 21 and rows[0] == expected(table)[rows[0]["clip_id"]]
    frames = video.decode(rows[0]["video"]["bytes"])
    assert [index_of(frame) for frame in frames] == list(range(8))
    default = datasets.load_dataset(str(out), split="test", streaming=True)
    assert "video" in next(iter(default))


def test_clip_files_are_made_for_streaming(made: tuple[Table, Path], tmp_path: Path) -> None:
    table, _ = made
    write_layout(table, tmp_path / "out", progress=False, clips_per_file=100)
    add_rows(table_of(tmp_path / "ws"), [make_row(n, 0, n, "fear") for n in range(25)])
    write_layout(Table(tmp_path / "ws"), tmp_path / "long", progress=False)
    path = tmp_path / "long/data/train/00000-fear.parquet"
    file = pq.ParquetFile(path)
    assert [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)] == [10, 10, 5]
    assert file.schema_arrow.names == NAMES and NAMES[-1] == "video"
    column = file.metadata.row_group(0).column(0)
    assert column.has_offset_index and column.has_column_index
    footer = json.loads(file.metadata.metadata[b"equime"])
    marks = {f"{g}/{i:05d}": Table(tmp_path / "ws").footer(g, i).mark for g in schema.GROUPS for i in range(7)}
    assert footer == {"schema_version": schema.VERSION, "marks": marks}


def table_of(path: Path) -> Table:
    return Table.create(path, shard_rows=4)


def test_nothing_unpublished_is_in_any_file(made: tuple[Table, Path]) -> None:
    table, out = made
    secrets = {row[name].encode() for row in table.rows(schema.UNPUBLISHED) for name in schema.UNPUBLISHED}
    for name, data in files(out).items():
        assert not any(secret in data for secret in secrets)
        if name.endswith(".parquet"):
            assert not set(schema.UNPUBLISHED) & set(pq.read_schema(out / name).names)
            # Compressed values would hide from the search above.
            table_of_file = pq.read_table(out / name, partitioning=None).drop_columns(
                ["video"] if name.startswith("data/") else []
            )
            assert not any(secret.decode() in str(table_of_file.to_pylist()) for secret in secrets)


def test_the_same_workspace_gives_the_same_bytes(made: tuple[Table, Path], tmp_path: Path) -> None:
    table, out = made
    write_layout(table, tmp_path / "again", clips_per_file=4, progress=False)
    assert files(tmp_path / "again") == files(out)


def test_failed_and_rejected_clips_shift_nothing(made: tuple[Table, Path], tmp_path: Path) -> None:
    _, out = made
    whole = make_workspace(tmp_path / "ws", subjects=4, per_emotion=3, emotions=EMOTIONS, shard_rows=5)
    write_layout(whole, tmp_path / "out", clips_per_file=4, progress=False)
    left_out = {"fear/f_0_0", "happiness/f_0_1"}
    for name in files(out):
        if name.startswith("data/"):
            assert ids(out / name) == [i for i in ids(tmp_path / "out" / name) if i not in left_out]


def test_rejected_clips_are_kept_when_asked(made: tuple[Table, Path], tmp_path: Path) -> None:
    table, _ = made
    assert write_layout(table, tmp_path / "out", keep_rejected=True, progress=False).rows == 83
    assert "happiness/f_0_1" in ids(tmp_path / "out/metadata/train.parquet")


def test_appending_touches_only_the_last_files(made: tuple[Table, Path], tmp_path: Path) -> None:
    table, out = made
    shutil.copytree(table.path, tmp_path / "ws")
    grown = Table(tmp_path / "ws")
    add_rows(grown, [make_row(200 + n, 0, 50 + n, "fear") for n in range(5)])
    write_layout(grown, tmp_path / "out", clips_per_file=4, progress=False)
    before, after = files(out), files(tmp_path / "out")
    changed = {name for name in after if before.get(name) != after[name]}
    added = {"data/train/00001-fear.parquet", "data/train/00002-fear.parquet"}
    assert changed == added | {"metadata/train.parquet", "README.md"}


def test_two_subjects_are_all_train(tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", subjects=2)
    assert {row["split"] for row in table.rows(["split"])} == {"train", "validation"}
    write_layout(table, tmp_path / "out", progress=False)
    assert {name.split("/")[1] for name in files(tmp_path / "out") if name.startswith("data/")} == {"train"}
    for config in ("video", "metadata"):
        found = loaded(tmp_path / "out", config, tmp_path / "cache")
        assert list(found) == ["train"] and len(found["train"]) == 10
        assert {row["split"] for row in found["train"]} == {"train"}
    assert [len(rows) for rows in loaded(tmp_path / "out", "emotion", tmp_path / "cache").values()] == [2] * 5


def test_groups_not_made_yet_are_null_columns(tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", groups=("plan", "generate"))
    add_rows(table, [make_row(50, 0, 1, "fear")], groups=())
    receipt = write_layout(table, tmp_path / "out", progress=False)
    assert receipt.errors == {"fear/f_0_1": "left out: not generated yet"}
    rows = loaded(tmp_path / "out", "video", tmp_path / "cache")["test"]
    assert list(rows[0]) == NAMES and rows[0]["caption"] is None and rows[0]["video"]["bytes"] == clip(14)


def test_what_is_stale_is_left_out_and_said(tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", subjects=3)
    ids_left = replan(table, 1)
    rows = table.read(2, schema.CLIPS.names).to_pylist()
    write_shard(table, "caption", 2, rows, reads=("prompt",))
    write_shard(table, "plan", 2, [row | {"prompt": "another"} for row in rows])
    receipt = write_layout(table, tmp_path / "out", progress=False)
    assert list(receipt.errors) == ids_left and receipt.failed == 4 and receipt.rows == 11
    assert all("stale" in why and f"`equime generate {table.path}`" in why for why in receipt.errors.values())
    assert any(note.startswith("caption of 4 clips is stale") for note in receipt.notes) and "stale" in str(receipt)
    splits = loaded(tmp_path / "out", "video", tmp_path / "cache").values()
    found = {row["clip_id"]: row for split in splits for row in split}
    assert not set(ids_left) & set(found)
    assert {i for i, row in found.items() if row["caption"] is None} == {row["clip_id"] for row in rows}


def test_an_imported_tree_becomes_a_layout(tmp_path: Path) -> None:
    make_tree(tmp_path / "t", subjects=4, emotions=("happiness", "disgust"))
    (tmp_path / "t/disgust/f_100_00.mp4").write_bytes(b"")
    import_tree(tmp_path / "t", tmp_path / "ws", progress=False)
    receipt = write_layout(Table(tmp_path / "ws"), tmp_path / "out", progress=False)
    assert list(receipt.errors) == ["disgust/f_100_00"]
    found = loaded(tmp_path / "out", "emotion", tmp_path / "cache")
    assert {name: len(rows) for name, rows in found.items()} == {"happiness": 4, "disgust": 3}


@pytest.mark.parametrize("held", ["file", "folder"])
def test_a_folder_that_holds_something_is_refused(made: tuple[Table, Path], tmp_path: Path, held: str) -> None:
    table, _ = made
    (tmp_path / "out").write_text("mine") if held == "file" else (tmp_path / "out/mine").mkdir(parents=True)
    with pytest.raises(EquimeError, match="new or empty folder"):
        write_layout(table, tmp_path / "out", progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_the_folder_appears_whole_or_not_at_all(
    made: tuple[Table, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, out = made
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(card, "render", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        write_layout(table, tmp_path / "out", progress=False)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".out.partial/data").mkdir(parents=True)  # what a killed run leaves
    (tmp_path / "out").mkdir()
    write_layout(table, tmp_path / "out", clips_per_file=4, progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["out"] and files(tmp_path / "out") == files(out)


def test_nothing_to_write_is_one_line(tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", groups=())
    with pytest.raises(EquimeError, match="equime status"):
        write_layout(table, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_the_card_says_what_the_columns_are(made: tuple[Table, Path]) -> None:
    text = (made[1] / "README.md").read_text()
    assert "synthetic" in text and "perceived" in text and "shuffle(buffer_size=512)" in text
    assert "| fear | 5 | 3 | 3 |" in text


def test_layouts_are_told_from_other_folders(made: tuple[Table, Path], tmp_path: Path) -> None:
    table, out = made
    assert hub.is_layout(out) and not hub.is_layout(table.path) and not hub.is_layout(tmp_path)
    assert list(hub.metadata_files(files(out))) == list(schema.SPLITS)
    assert hub.data_files(["data/train/x-fear.parquet", "data/dev/00000-fear.parquet", "README.md"]) == []
