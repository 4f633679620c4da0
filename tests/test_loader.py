"""Loading: every configuration of every source, streamed and not, against the files themselves."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from datasets.distributed import split_dataset_by_node
from make_clips import index_of
from make_workspace import add_rows, make_row, make_tree, make_workspace, replan, write_shard

import equime
from equime import catalog, hub, schema, sources
from equime import tree as equime_tree
from equime.clip import SamplingWarning
from equime.errors import EquimeError
from equime.footer import FOOTER_KEY
from equime.table import Table

Load = Callable[..., Any]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """`load_dataset("equime", ...)` with a cache of its own."""

    def call(where: Path | Table, config: str = "video", **more: Any) -> Any:
        path = where.path if isinstance(where, Table) else where
        return load_dataset("equime", config, data_dir=str(path), cache_dir=str(tmp_path / "cache"), **more)

    return call


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """30 clips of 6 emotions' folders: 5 emotions and neutral controls; shards of 4."""
    folder = tmp_path_factory.mktemp("loader") / "ws"
    return make_workspace(folder, subjects=5, per_emotion=1, emotions=(*schema.EMOTIONS, "neutral"))


@pytest.fixture(scope="module")
def layout(workspace: Table) -> Path:
    """The same clips in the Hub's layout."""
    folder = workspace.path.parent / "hub"
    hub.write_layout(workspace, folder)
    return folder


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tree(tmp_path_factory.mktemp("tree") / "t", subjects=4)


def truth(table: Table) -> list[dict[str, Any]]:
    """Every row of a workspace, read by pyarrow alone."""
    rows = []
    for index in table.shards():
        columns: dict[str, list[Any]] = {}
        for group in table.groups:
            path = table.shard_path(group, index)
            if path.exists():
                columns |= pq.read_table(path, partitioning=None).to_pydict()
        rows += [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return rows


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """A loaded row with its class number as a label."""
    names = (*schema.EMOTIONS, schema.DISGUST)
    return row | {"emotion": None if row["emotion"] is None else names[row["emotion"]]}


@pytest.mark.parametrize("streaming", [False, True])
def test_a_workspace_gives_its_rows_in_plan_order(load: Load, workspace: Table, streaming: bool) -> None:
    rows = truth(workspace)
    for config in ("video", "metadata"):
        loaded = load(workspace, config, streaming=streaming)
        assert list(loaded) == ["train", "validation", "test"]
        for split, data in loaded.items():
            wanted = [
                {k: v for k, v in r.items() if k != "video" or config == "video"} for r in rows if r["split"] == split
            ]
            assert [plain(row) for row in data] == wanted
    emotions = load(workspace, "emotion", streaming=streaming)
    assert list(emotions) == list(schema.EMOTIONS)  # controls have no emotion
    for emotion, data in emotions.items():
        assert [plain(row) for row in data] == [r for r in rows if r["emotion"] == emotion]


def test_features_are_the_contract(load: Load, workspace: Table) -> None:
    for streaming in (False, True):
        features = load(workspace, "video", split="train", streaming=streaming).features
        assert list(features) == schema.CLIPS.names and list(features)[-1] == "video"
        assert features["video"] == datasets.Video(decode=False)
        assert features["emotion"] == datasets.ClassLabel(names=list(schema.EMOTIONS))
        assert list(load(workspace, "metadata", split="train", streaming=streaming).features) == schema.METADATA.names
        others = [f for f in schema.METADATA if f.name != "emotion"]
        assert features.arrow_schema.field("gender_probs").type == schema.METADATA.field("gender_probs").type
        assert all(features.arrow_schema.field(f.name).type == f.type for f in others if not pa.types.is_list(f.type))


def test_the_hub_layout_gives_the_same_rows(load: Load, workspace: Table, layout: Path) -> None:
    hidden = dict.fromkeys(schema.UNPUBLISHED)
    rows = {r["clip_id"]: r | hidden for r in truth(workspace)}
    for config in ("video", "emotion", "metadata"):
        for streaming in (False, True):
            loaded = load(layout, config, streaming=streaming)
            assert list(loaded) == list(load(workspace, config, streaming=True))
            for name, data in loaded.items():
                found = {row["clip_id"]: plain(row) for row in data}
                key = "emotion" if config == "emotion" else "split"
                assert set(found) == {i for i, r in rows.items() if r[key] == name}
                assert all(
                    rows[i] | {"video": rows[i]["video"]} == r | {"video": r.get("video", rows[i]["video"])}
                    for i, r in found.items()
                )


def test_a_tree_is_read_where_it_lies(load: Load, tree: Path) -> None:
    for streaming in (False, True):
        emotions = load(tree, "emotion", streaming=streaming)
        assert list(emotions) == list(schema.EMOTIONS)
        for emotion, data in emotions.items():
            files = sorted((tree / emotion).glob("*.mp4"))
            rows = list(data)
            assert [r["clip_id"] for r in rows] == [f"{emotion}/{f.stem}" for f in files]
            assert [r["video"]["bytes"] for r in rows] == [f.read_bytes() for f in files]
            said = [json.loads((tree / emotion / "metadata" / f"{f.stem}_metadata.json").read_text()) for f in files]
            assert [r["caption"] for r in rows] == [s["caption"] for s in said]
            assert [r["seed"] for r in rows] == [s["generation"]["seed"] for s in said]
        splits = load(tree, "metadata", streaming=streaming)
        owners = [(split, row["subject_id"]) for split, data in splits.items() for row in data]
        assert len(owners) == 20 and len({s for _, s in owners}) == len(set(owners)) == 4  # subjects are never shared


def test_the_papers_tree_has_a_label_of_its_own_for_disgust(load: Load, tmp_path: Path) -> None:
    emotions = ("happiness", "sadness", "surprise", "disgust", "anger")
    root = tmp_path / "paper"
    make_tree(
        root / "emotion_categories", subjects=2, emotions=emotions, metadata=False, sequences=False, frames=11, size=48
    )
    loaded = load(root, "emotion")
    assert list(loaded) == ["happiness", "sadness", "surprise", "anger", "disgust"]
    label = loaded["disgust"].features["emotion"]
    assert label.names == [*schema.EMOTIONS, "disgust"]
    assert loaded["disgust"]["clip_id"][:] == ["disgust/f_100", "disgust/m_101"]
    assert {label.int2str(n) for n in loaded["disgust"]["emotion"][:]} == {"disgust"}
    frames = load(root, "emotion", split="disgust", num_frames="all", streaming=True)
    assert [row["frames"].shape for row in frames] == [(11, 48, 48, 3)] * 2


def test_slices_and_processes_and_ways_to_name_splits(load: Load, workspace: Table, tree: Path) -> None:
    first = truth(workspace)
    wanted = [
        r["clip_id"] for e, n in (("happiness", 2), ("fear", 1)) for r in [r for r in first if r["emotion"] == e][:n]
    ]
    sliced = load(workspace, "emotion", split="happiness[:2]+fear[:1]", num_proc=2)
    assert sliced["clip_id"][:] == wanted
    assert len(load(workspace, "video", split="all")) == 30
    train, test = load(workspace, "video", split=["train", "test[:50%]"])
    assert len(train) == 12 and len(test) == 3
    both = load(tree, "emotion", split="anger+fear", streaming=True)
    assert Counter(row["clip_id"].partition("/")[0] for row in both) == {"anger": 4, "fear": 4}


def test_equime_load_is_the_same(load: Load, workspace: Table, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    by_name = load(workspace, "emotion", split="anger")
    assert list(equime.load(str(workspace.path), "emotion", "anger", cache_dir=cache)) == list(by_name)
    options: dict[str, Any] = {"num_frames": 2, "around": "apex", "columns": ["clip_id"]}
    streamed = equime.load(str(workspace.path), "emotion", "anger", True, **options)
    assert [r["clip_id"] for r in streamed] == by_name["clip_id"][:]


@pytest.mark.parametrize("streaming", [False, True])
def test_frames_stand_in_place_of_the_video(load: Load, workspace: Table, streaming: bool) -> None:
    more: dict[str, Any] = {"streaming": streaming, "split": "train"}
    rows = list(load(workspace, "video", num_frames=3, size=(24, 40), around="apex", **more))
    assert [r["clip_id"] for r in rows] == [r["clip_id"] for r in truth(workspace) if r["split"] == "train"]
    assert list(rows[0]) == [*schema.METADATA.names, "frames"]
    assert all(r["frames"].shape == (3, 24, 40, 3) and r["frames"].dtype == np.uint8 for r in rows)
    shown = list(load(workspace, "video", num_frames=3, around="apex", columns=["clip_id", "apex"], **more))
    assert list(shown[0]) == ["clip_id", "apex", "frames"]
    apexes = [r["apex"] for r in shown]
    assert [[index_of(f) for f in r["frames"]] for r in shown] == [
        [3, 4, 5] for _ in apexes
    ]  # controls: the middle, which is 4 too
    every = list(load(workspace, "video", num_frames="all", columns=["frames"], **more))
    assert list(every[0]) == ["frames"] and [index_of(f) for f in every[0]["frames"]] == list(range(8))


def test_columns_are_chosen_and_the_rest_is_not_read(load: Load, workspace: Table) -> None:
    for streaming in (False, True):
        data = load(workspace, "video", split="train", columns=["emotion", "clip_id"], streaming=streaming)
        assert set(data.column_names) == {"emotion", "clip_id"}
        assert {k: v for k, v in next(iter(data)).items()} == {"emotion": 0, "clip_id": "happiness/f_0_0"}
    source = sources.find(workspace.path)
    pieces = source.splits("video")["train"]

    def size(columns: list[str]) -> int:
        return sum(table.nbytes for piece in pieces for table in source.read(piece, columns))

    assert size(["clip_id"]) < 2000 < 20_000 < size(["clip_id", "video"])


def test_options_share_one_cache_of_bytes(load: Load, workspace: Table, tmp_path: Path) -> None:
    load(workspace, "video")
    before = sorted(p for p in (tmp_path / "cache").rglob("*.arrow"))
    load(workspace, "video", num_frames=2, size=16, around="apex", columns=["clip_id"], on_error="null", verify=True)
    assert sorted(p for p in (tmp_path / "cache").rglob("*.arrow")) == before
    assert {p.relative_to(tmp_path / "cache").parts[0] for p in before} == {"equime_dataset"}  # never "equime"


def test_absent_groups_and_shards_are_null_columns(load: Load, tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", subjects=3, groups=("plan", "generate", "caption"))
    table.shard_path("caption", 1).unlink()
    for streaming in (False, True):
        for config in ("video", "metadata"):
            rows = [plain(row) for data in load(table, config, streaming=streaming).values() for row in data]
            assert list(rows[0]) == (schema.CLIPS if config == "video" else schema.METADATA).names
            missing = {r["clip_id"] for r in truth(table)[4:8]}
            assert {r["clip_id"] for r in rows if r["caption"] is None} == missing
            assert {r["accepted"] for r in rows} == {None} and {str(r["gender_probs"]) for r in rows} <= {"None"}
    planned = make_workspace(tmp_path / "planned", groups=())
    assert [r["video"] for r in load(planned, "video", split="train")] == [None] * 5


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("config", ["video", "metadata"])
def test_what_is_stale_is_null_and_said_once(load: Load, tmp_path: Path, config: str, streaming: bool) -> None:
    table = make_workspace(tmp_path / "ws", subjects=3, splits=("train",))
    ids = replan(table, 1)
    before = truth(table)
    with pytest.warns(UserWarning, match="stale") as seen:
        rows = list(load(table, config, split="train", streaming=streaming))
    (said,) = [str(w.message) for w in seen]
    assert "generate of 4 clips, score of 4 clips" in said and f"`equime generate {table.path}`" in said
    assert len(rows) == 15
    for row, old in zip(rows, before, strict=True):
        lost = {n for g in ("generate", "score") for n in schema.GROUPS[g].names} - {"clip_id"}
        wanted = {n: None if n in lost and old["clip_id"] in ids else old[n] for n in row}
        assert plain(row) == wanted
    with pytest.warns(UserWarning, match="stale"):  # the catalog is cached now
        assert list(load(table, config, split="train", streaming=True)) == rows


def test_a_stale_clip_cannot_be_decoded_and_says_why(load: Load, tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", subjects=3, splits=("train",))
    ids = replan(table, 0)
    options: dict[str, Any] = {"split": "train", "num_frames": 2, "around": "apex"}
    with pytest.warns(UserWarning, match="stale"):
        rows = load(table, "video", **options)
    with pytest.raises(EquimeError, match=rf"{ids[0]!r} has no video.*stale.*`equime generate {table.path}`"):
        rows[0]
    assert rows[4]["frames"].shape == (2, 32, 32, 3)
    with pytest.warns(UserWarning) as seen:
        assert len(list(load(table, "video", streaming=True, on_error="skip", **options))) == 11
    assert f"4 clips could not be decoded and were skipped: {', '.join(ids)}" in str(seen[-1].message)


def test_what_is_imported_is_never_stale(load: Load, tree: Path, tmp_path: Path) -> None:
    equime_tree.import_tree(tree, tmp_path / "ws", progress=False)
    assert catalog.load(Table(tmp_path / "ws")).stale == {}
    assert all(row["video"]["bytes"] for row in load(tmp_path / "ws", "emotion", split="fear"))


def test_few_subjects_are_all_train_and_empty_splits_are_not_declared(load: Load, tmp_path: Path) -> None:
    one = make_workspace(tmp_path / "one", subjects=1, emotions=("happiness", "fear"), splits=("train",))
    assert list(load(one, "video")) == ["train"] and list(load(one, "emotion")) == ["happiness", "fear"]


def corrupt(table: Table, number: int, data: bytes) -> str:
    """Put other bytes in place of a clip's, in its shard; returns the clip's id."""
    index, row = divmod(number, table.shard_rows)
    path = table.shard_path("generate", index)
    shard = pq.read_table(path, partitioning=None)
    videos = shard["video"].to_pylist()
    videos[row]["bytes"] = data
    column = pa.array(videos, schema.VIDEO)
    position = shard.column_names.index("video")
    pq.write_table(shard.set_column(position, shard.schema.field(position), column), path, row_group_size=4)
    return str(shard["clip_id"][row])


@pytest.fixture
def damaged(tmp_path: Path) -> tuple[Table, list[str]]:
    """15 clips, of which number 3 is truncated, 6 was not generated, and 12 has one byte flipped."""
    table = make_workspace(tmp_path / "damaged", subjects=3, splits=("train",), failed=(6,))
    whole = [row["video"]["bytes"] if row["video"] else b"" for row in truth(table)]
    flipped = bytearray(whole[12])
    flipped[-20] ^= 64
    ids = [corrupt(table, 3, whole[3][:700]), truth(table)[6]["clip_id"], corrupt(table, 12, bytes(flipped))]
    return table, ids


def test_a_bad_clip_raises_its_id_when_its_row_comes(load: Load, damaged: tuple[Table, list[str]]) -> None:
    table, bad = damaged
    options: dict[str, Any] = {"split": "train", "num_frames": 2, "around": "apex"}
    stream = iter(load(table, "video", streaming=True, **options))
    assert [next(stream)["clip_id"] for _ in range(3)] == [r["clip_id"] for r in truth(table)[:3]]
    with pytest.raises(EquimeError, match=f"{bad[0]!r}"):
        next(stream)
    kept = load(table, "video", **options)
    assert kept[2]["frames"].shape == (2, 32, 32, 3) and kept[4]["frames"].shape == (2, 32, 32, 3)
    with pytest.raises(EquimeError, match=f"{bad[0]!r}"):
        kept[3]
    with pytest.raises(EquimeError, match=f"{bad[1]!r} has no video: the face is hidden"):
        kept[6]


def test_bad_clips_are_skipped_or_null_and_reported(load: Load, damaged: tuple[Table, list[str]]) -> None:
    table, bad = damaged
    ids = [r["clip_id"] for r in truth(table)]
    options: dict[str, Any] = {"split": "train", "num_frames": 2, "around": "apex", "verify": True}
    with pytest.warns(UserWarning, match=f"3 clips could not be decoded and were skipped: {', '.join(bad)}"):
        skipped = [row["clip_id"] for row in load(table, "video", streaming=True, on_error="skip", **options)]
    assert skipped == [i for i in ids if i not in bad]
    with pytest.warns(UserWarning, match="3 clips could not be decoded and were returned without frames"):
        nulls = list(load(table, "video", streaming=True, on_error="null", **options))
    assert [r["clip_id"] for r in nulls] == ids
    assert [r["clip_id"] for r in nulls if r["frames"] is None] == bad
    kept = load(table, "video", on_error="null", **options)
    with pytest.warns(UserWarning, match=f"frames are None: clip {bad[0]!r}"):
        assert kept[3]["frames"] is None
    with pytest.raises(EquimeError, match=r"on_error='skip' needs streaming=True.*'null'"):
        load(table, "video", on_error="skip", **options)


def test_hashes_are_checked_on_request(load: Load, damaged: tuple[Table, list[str]]) -> None:
    table, bad = damaged
    stream = load(table, "video", split="train", streaming=True, verify=True)
    with pytest.raises(EquimeError, match=f"{bad[0]!r}.*damaged"):
        list(stream)
    rows = load(table, "video", split="train", verify=True, columns=["video", "clip_id"])
    assert set(rows[0]) == {"video", "clip_id"}
    with pytest.raises(EquimeError, match=f"{bad[2]!r}.*damaged"):
        rows[12]


def test_too_few_frames_to_see_an_expression_warn_once(load: Load, tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", subjects=1, frames=96)
    rows = load(table, "video", split="train", num_frames=4)
    with pytest.warns(SamplingWarning) as seen:
        assert all(len(row["frames"]) == 4 for row in rows)
    assert len(seen) == 1 and "around='apex'" in str(seen[0].message)


@pytest.mark.parametrize("config", ["metadata", "video"])
def test_every_change_of_a_workspace_is_seen(load: Load, tmp_path: Path, config: str) -> None:
    table = make_workspace(tmp_path / "ws", subjects=3, splits=("train",), groups=("plan", "generate"))

    def captions() -> list[str | None]:
        kept = load(table, config, split="train")["caption"][:]
        assert [row["caption"] for row in load(table, config, split="train", streaming=True)] == kept
        return kept

    assert captions() == [None] * 15
    rows = [make_row(k, k // 5, 0, schema.EMOTIONS[k % 5], splits=("train",)) for k in range(20)]
    for index in range(4):
        write_shard(table, "caption", index, rows[4 * index : min(4 * index + 4, 15)])
    assert captions() == [row["caption"] for row in rows[:15]]
    path = table.shard_path("caption", 2)
    before = path.stat()
    write_shard(table, "caption", 2, [row | {"caption": row["caption"].replace("face", "Face")} for row in rows[8:12]])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # even in the same nanosecond
    assert path.stat().st_size == before.st_size
    assert [k for k, text in enumerate(captions()) if "Face" in (text or "")] == [8, 9, 10, 11]
    add_rows(table, rows[15:], schema.GROUPS)
    assert len(captions()) == 20
    table.shard_path("caption", 0).unlink()
    assert captions()[:4] == [None] * 4


def test_every_change_of_a_tree_or_layout_is_seen(load: Load, tmp_path: Path) -> None:
    root = make_tree(tmp_path / "tree", subjects=1)
    assert load(root, "emotion", split="fear")["caption"][0].startswith("Clip 3")
    sidecar = next((root / "fear" / "metadata").iterdir())
    sidecar.write_text(json.dumps({"caption": "another"}))
    assert load(root, "emotion", split="fear")["caption"][:] == ["another"]
    (root / "fear" / "m_7_01.mp4").write_bytes(next((root / "fear").glob("*.mp4")).read_bytes())
    assert len(load(root, "emotion", split="fear")) == 2
    table = make_workspace(tmp_path / "ws", splits=("train",))
    hub.write_layout(table, tmp_path / "hub")
    assert len(load(tmp_path / "hub", "emotion", split="fear")) == 3
    other = make_workspace(tmp_path / "other", subjects=4, splits=("train",))
    hub.write_layout(other, tmp_path / "hub2")
    (tmp_path / "hub2/data/train/00000-fear.parquet").replace(tmp_path / "hub/data/train/00000-fear.parquet")
    assert len(load(tmp_path / "hub", "emotion", split="fear")) == 4


def test_the_catalog_is_cached_and_made_again_when_damaged(tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", subjects=1)
    first = catalog.load(table)
    assert first.file is not None and first.rows.schema.equals(schema.METADATA)
    written = first.file.stat().st_mtime_ns
    again = catalog.load(table)
    assert again.rows.equals(first.rows) and again.file == first.file
    assert first.file.stat().st_mtime_ns == written
    torn = tmp_path / "torn"
    torn.write_bytes(first.file.read_bytes()[:1000])
    torn.replace(first.file)
    assert catalog.load(table).rows.to_pylist() == again.rows.to_pylist()
    add_rows(table, [make_row(9, 5, 0, "fear")])
    grown = catalog.load(table)
    assert len(grown.rows) == 6 and [p.name for p in (tmp_path / "ws/.cache").glob("*.arrow")] == [grown.file.name]
    assert [(s.index, s.start, s.count) for s in grown.shards] == [(0, 0, 4), (1, 4, 1), (2, 5, 1)]


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """No writing anywhere below, even for root: every folder that would get a file is a file's name away."""
    folders = [folder, *(p for p in folder.rglob("*") if p.is_dir())]
    modes = [p.stat().st_mode for p in folders]
    (folder / ".cache").write_text("in the way")  # what root cannot be denied, a file in its place denies
    for each in folders:
        each.chmod(stat.S_IRUSR | stat.S_IXUSR)
    yield
    for each, mode in zip(folders, modes, strict=True):
        each.chmod(mode)


def test_a_read_only_workspace_loads_without_its_cache(load: Load, tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", splits=("train",))
    with read_only(table.path):
        assert catalog.load(table).file is None
        for streaming in (False, True):
            data = load(table, "metadata", split="train", streaming=streaming)
            assert [r["clip_id"] for r in data] == [r["clip_id"] for r in truth(table)]


def rewritten(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    shard = pq.read_table(path, partitioning=None)
    pq.write_table(change(shard), path)


def newer(shard: pa.Table) -> pa.Table:
    footer = json.loads(shard.schema.metadata[FOOTER_KEY]) | {"schema_version": schema.VERSION + 1}
    return shard.replace_schema_metadata({FOOTER_KEY: json.dumps(footer).encode()})


def retyped(shard: pa.Table) -> pa.Table:
    position = shard.column_names.index("caption")
    numbers = pa.array(range(len(shard)), pa.int64())
    return shard.set_column(position, "caption", numbers)


def reversed_rows(shard: pa.Table) -> pa.Table:
    return shard.take(pa.array(range(len(shard) - 1, -1, -1)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (newer, rf"schema version {schema.VERSION + 1}, .* reads up to {schema.VERSION}.*pip install --upgrade"),
        (retyped, r"column 'caption' should be string, got int64"),
        (reversed_rows, r"does not hold the plan's rows in the plan's order"),
        (lambda shard: shard.drop_columns(["caption"]), r"lacks column 'caption'"),
        (lambda shard: shard.replace_schema_metadata({}), r"not written by EquiME"),
    ],
)
@pytest.mark.parametrize("config", ["video", "metadata"])
def test_a_wrong_shard_is_one_line(
    load: Load, tmp_path: Path, config: str, change: Callable[[pa.Table], pa.Table], words: str
) -> None:
    table = make_workspace(tmp_path / "ws", splits=("train",))
    loaded = load(table, config, split="train", streaming=True)
    rewritten(table.shard_path("caption", 1), change)
    for attempt in (lambda: load(table, config), lambda: list(load(table, config, streaming=True)["train"])):
        with pytest.raises(EquimeError, match=f"caption/00001.parquet.*{words}") as caught:
            attempt()
        assert "\n" not in str(caught.value)
    if config == "video":
        with pytest.raises(EquimeError, match=words):
            list(loaded)


def test_a_shard_that_is_no_parquet_is_one_line(load: Load, tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws")
    path = table.shard_path("plan", 1)
    for data in (b"", b"text", path.read_bytes()[:-100]):
        path.write_bytes(data)
        with pytest.raises(EquimeError, match=r"cannot read shard.*plan/00001\.parquet"):
            load(table, "metadata")


def test_nothing_to_load_says_what_was_expected(load: Load, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("x")
    (tmp_path / "hub" / "data").mkdir(parents=True)
    cases = [
        ("absent", "no such folder"),
        ("empty", "an empty folder"),
        ("other", "notes.txt"),
        ("hub", "no file data/<split>"),
    ]
    for name, words in cases:
        with pytest.raises(EquimeError, match=words) as caught:
            load(tmp_path / name, "video")
        assert "\n" not in str(caught.value)
    unplanned = Table.create(tmp_path / "ws")
    with pytest.raises(EquimeError, match=r"nothing is planned.*equime plan"):
        load(unplanned, "video")


def test_unknown_names_list_the_known_ones(load: Load, workspace: Table) -> None:
    with pytest.raises(ValueError, match=r"'videos' not found.*video.*emotion.*metadata"):
        load(workspace, "videos")
    with pytest.raises(
        EquimeError, match=r"unknown config 'videos': expected one of \['video', 'emotion', 'metadata'\]"
    ):
        equime.load(str(workspace.path), "videos")
    for streaming in (False, True):
        with pytest.raises(ValueError, match=r"dev.*train.*validation.*test"):
            load(workspace, "video", split="dev", streaming=streaming)
        for options, words in [
            ({"columns": ["clip_id", "mood"]}, r"unknown columns \['mood'\].*'clip_id', 'subject_id'"),
            ({"columns": ["frames"]}, r"unknown columns \['frames'\]"),
            ({"columns": "clip_id"}, "expected columns to be a list"),
            ({"num_frames": 2, "around": "offset"}, r"around to be one of \['clip', 'apex'\]"),
            ({"num_frames": 2, "apex": "real"}, r"apex to be one of \['planned', 'measured'\]"),
            ({"num_frames": 2, "backend": "opencv"}, r"backend to be one of \['pyav'"),
            ({"num_frames": 2, "on_error": "ignore"}, r"on_error to be one of \['raise', 'skip', 'null'\]"),
            ({"num_frames": 0}, "at least one frame"),
            ({"num_frames": "many"}, "a number or 'all'"),
            ({"size": 224}, "need num_frames"),
        ]:
            with pytest.raises(EquimeError, match=words):
                load(workspace, "video", streaming=streaming, **options)
        with pytest.raises(EquimeError, match="'metadata' has no video"):
            load(workspace, "metadata", num_frames=2, streaming=streaming)
        with pytest.raises(EquimeError, match=r"unknown columns \['video'\] in config 'metadata'"):
            load(workspace, "metadata", columns=["video"], streaming=streaming)
    with pytest.raises(EquimeError, match="between 1 and 8 frames"):
        next(iter(load(workspace, "video", split="train", num_frames=9, streaming=True)))
    with pytest.raises(EquimeError, match="data_files= is not taken"):
        load(workspace, "video", data_files="*.parquet")
    with pytest.raises(EquimeError, match="a folder has no revisions"):
        load(workspace, "video", revision="v1")


def test_a_newer_hub_layout_and_a_changed_type_are_one_line(load: Load, layout: Path, tmp_path: Path) -> None:
    name = "data/train/00000-fear.parquet"
    shard = pq.read_table(layout / name, partitioning=None)
    target = tmp_path / "hub" / name
    target.parent.mkdir(parents=True)
    footer = {FOOTER_KEY: json.dumps({"schema_version": 9}).encode()}
    pq.write_table(shard.replace_schema_metadata(footer), target)
    with pytest.raises(EquimeError, match="schema version 9"):
        list(load(tmp_path / "hub", "emotion", split="fear", streaming=True))
    position = shard.column_names.index("onset_ms")
    pq.write_table(shard.set_column(position, "onset_ms", pa.array(["soon"] * len(shard))), target)
    with pytest.raises(EquimeError, match="column 'onset_ms' should be double, got string"):
        load(tmp_path / "hub", "emotion")
    target.write_bytes(target.read_bytes()[:500])
    with pytest.raises(EquimeError, match="cannot read"):
        load(tmp_path / "hub", "emotion")


def big_layout(root: Path, files: int, rows: int, group: int) -> Path:
    """A Hub layout of small rows: `files` files of `rows` rows for each emotion, one emotion each."""
    for index in range(files):
        for emotion in schema.EMOTIONS:
            ids = [f"{emotion}/f_{index}_{k}" for k in range(rows)]
            table = pa.table({"clip_id": ids, "emotion": [emotion] * rows, "split": ["train"] * rows})
            path = root / f"data/train/{index:05d}-{emotion}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, path, row_group_size=group)
    return root


def test_any_500_rows_hold_every_emotion_in_nearly_equal_share(load: Load, tmp_path: Path) -> None:
    root = big_layout(tmp_path / "hub", files=3, rows=100, group=10)
    stream = load(root, "video", split="train", streaming=True, columns=["clip_id", "emotion"])
    rows = list(stream)
    assert len({r["clip_id"] for r in rows}) == len(rows) == 1500
    labels = np.array([r["emotion"] for r in rows])
    for start in range(0, 1001, 50):
        counts = np.bincount(labels[start : start + 500], minlength=5)
        assert counts.min() >= 95 and counts.max() <= 105
    assert 16 <= stream.num_shards <= 64
    alone = load(root, "emotion", split="fear", streaming=True)
    assert [r["clip_id"] for r in alone] == [f"fear/f_{i}_{k}" for i in range(3) for k in _row_order(100, 10, 10)]


def _row_order(rows: int, group: int, parts: int) -> list[int]:
    groups = [list(range(s, s + group)) for s in range(0, rows, group)]
    return [k for part in range(parts) for g in groups[part::parts] for k in g]


def test_small_data_sets_still_have_pieces_for_many_workers(tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", subjects=16, shard_rows=64, splits=("train",), groups=())
    pieces = sources.find(table.path).splits("video")["train"]
    assert 24 <= len(pieces) <= 34
    assert [(p.shard, row) for p in pieces for row in p.rows] == [divmod(k, 64) for k in range(80)]


def test_a_tree_takes_its_emotions_in_turn(load: Load, tree: Path) -> None:
    rows = load(tree, "video", split="train", streaming=True)
    labels = [row["emotion"] for row in rows]
    assert all(sorted(labels[k : k + 5]) == [0, 1, 2, 3, 4] for k in range(0, len(labels), 5))


@pytest.mark.parametrize("name", ["workspace", "layout", "tree"])
def test_nodes_share_a_stream(load: Load, request: pytest.FixtureRequest, name: str) -> None:
    where = request.getfixturevalue(name)
    stream = load(where, "video", streaming=True, columns=["clip_id"])
    stream = stream[next(iter(stream))]
    whole = [r["clip_id"] for r in stream]
    for nodes in (2, 3):
        parts = [[r["clip_id"] for r in split_dataset_by_node(stream, rank, nodes)] for rank in range(nodes)]
        assert sorted(itertools.chain(*parts)) == sorted(whole) and all(parts)


def test_a_decoded_stream_shuffles_shards_and_resumes(load: Load, workspace: Table) -> None:
    stream = load(workspace, "video", split="train", streaming=True, num_frames=2, around="apex", columns=["clip_id"])
    ids = [r["clip_id"] for r in stream]
    shuffled = [r["clip_id"] for r in stream.shuffle(seed=1, buffer_size=8)]
    assert shuffled != ids and sorted(shuffled) == sorted(ids)
    halves = [[r["clip_id"] for r in split_dataset_by_node(stream, rank, 2)] for rank in (0, 1)]
    assert sorted(itertools.chain(*halves)) == sorted(ids)
    taken = iter(stream)
    first = [next(taken)["clip_id"] for _ in range(5)]
    state = stream.state_dict()
    again = load(workspace, "video", split="train", streaming=True, num_frames=2, around="apex", columns=["clip_id"])
    again.load_state_dict(state)
    assert first + [r["clip_id"] for r in again] == ids
    assert [r["clip_id"] for r in stream.filter(lambda row: row["frames"].ndim == 4)] == ids
    mapped = stream.map(lambda row: {"mean": float(row["frames"].mean())}).take(2)
    assert [set(r) for r in mapped] == [{"clip_id", "frames", "mean"}] * 2


def test_a_stream_of_bytes_shuffles_maps_and_converts(load: Load, workspace: Table) -> None:
    stream = load(workspace, "video", split="train", streaming=True)
    rows = {r["clip_id"]: r for r in stream}
    shuffled = list(stream.shuffle(seed=1, buffer_size=8))
    assert [r["clip_id"] for r in shuffled] != list(rows) and all(rows[r["clip_id"]] == r for r in shuffled)
    assert len(shuffled) == len(rows)
    assert all(rows[r["clip_id"]] | {"n": 1} == r for r in stream.map(lambda row: {"n": 1}))
    tables = list(stream.with_format("arrow").iter(batch_size=5))
    assert [i for t in tables for i in t["clip_id"].to_pylist()] == list(rows)
    kept = [r["clip_id"] for r in stream.filter(lambda row: row["emotion"] == 3).remove_columns("video")]
    assert kept == [i for i in rows if i.startswith("fear")]


def _batch(rows: list[dict[str, Any]]) -> list[tuple[str, tuple[int, ...]]]:
    return [(row["clip_id"], tuple(row["frames"].shape)) for row in rows]


@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.parametrize("name", ["workspace", "layout", "tree"])
def test_workers_of_a_data_loader_share_the_clips(
    load: Load, request: pytest.FixtureRequest, name: str, start: str
) -> None:
    torch = pytest.importorskip("torch")
    if start == "spawn" and name != "workspace":
        pytest.skip("spawning is slow, and one source shows it")
    where = request.getfixturevalue(name)
    options: dict[str, Any] = {"num_frames": 4, "size": 16, "columns": ["clip_id"]}
    for streaming in (True, False):
        data = load(where, "emotion", split="fear", streaming=streaming, **options)
        loader = torch.utils.data.DataLoader(
            data, batch_size=2, num_workers=2, multiprocessing_context=start, collate_fn=_batch
        )
        found = [row for batch in loader for row in batch]
        assert sorted(i for i, _ in found) == sorted(r["clip_id"] for r in data)
        assert {shape for _, shape in found} == {(4, 16, 16, 3)}


def test_torch_gets_tensors(load: Load, workspace: Table) -> None:
    torch = pytest.importorskip("torch")
    options: dict[str, Any] = {"num_frames": 2, "around": "apex", "columns": ["emotion"]}
    stream = load(workspace, "emotion", split="fear", streaming=True, **options).with_format("torch")
    row = next(iter(stream))
    assert isinstance(row["frames"], torch.Tensor) and row["frames"].shape == (2, 32, 32, 3)
    kept = load(workspace, "emotion", split="fear", **options)
    batch = next(iter(torch.utils.data.DataLoader(kept, batch_size=3)))
    assert batch["frames"].shape == (3, 2, 32, 32, 3) and batch["emotion"].tolist() == [3, 3, 3]
