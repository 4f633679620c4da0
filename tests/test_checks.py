from __future__ import annotations

import hashlib
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from make_clips import clip_bytes
from toy_stages import Looks, Words, clip_id, make_plan, write_shard

from equime import schema
from equime.checks import check, coverage, status
from equime.runner import run
from equime.table import Table


def clip(number: int, **changes: Any) -> dict[str, Any]:
    data = changes.pop("data", None) or clip_bytes(seed=number)
    facts = {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data), "num_frames": 8}
    return {"clip_id": clip_id(number), "video": {"bytes": data, "path": "x.mp4"}} | facts | changes


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Eight clips, captioned."""
    made = make_plan(tmp_path / "ws")
    for index in made.shards():
        write_shard(made, "generate", index, [clip(2 * index), clip(2 * index + 1)])
    run(Words(), made)
    return made


def rewrite(table: Table, group: str, index: int, **columns: Any) -> None:
    """Change a shard's columns behind the package's back, keeping its footer; None removes one."""
    path = table.shard_path(group, index)
    found = pq.read_table(path)
    metadata = found.schema.metadata
    for name, values in columns.items():
        kept = [n for n in found.column_names if n != name]
        found = found.select(kept) if values is None else found.select(kept).append_column(name, values)
    pq.write_table(found.replace_schema_metadata(metadata), path)


def plan_row(table: Table, number: int) -> dict[str, Any]:
    row = table.find(clip_id(number))
    return {name: row[name] for name in schema.GROUPS["plan"].names}


def test_a_good_workspace_has_no_problem(table: Table) -> None:
    assert list(check(table)) == []
    assert list(check(table, hashes=False)) == []


def test_every_flipped_byte_of_a_video_is_found_by_its_hash(table: Table) -> None:
    shard = table.shard_path("generate", 1)
    whole = shard.read_bytes()
    video = table.find(clip_id(3))["video"]["bytes"]
    begin = whole.index(len(video).to_bytes(4, "little") + video) + 4  # the page, not its statistics
    for offset in (0, len(video) // 2, len(video) - 1):
        data = bytearray(whole)
        data[begin + offset] ^= 1
        shard.write_bytes(data)
        found = list(check(table))
        assert len(found) == 2
        assert "generate/00001.parquet: column 'video' is not what was written" in found[0]
        assert found[1].startswith(f"generate/00001.parquet: '{clip_id(3)}': the video's sha256 is ")
        assert list(check(table, hashes=False)) == []


def test_bytes_flipped_anywhere_never_pass_as_other_values(table: Table) -> None:
    shard = table.shard_path("plan", 1)
    whole = shard.read_bytes()
    rows = table.read(1, schema.GROUPS["plan"].names).to_pylist()
    found = 0
    for offset in range(4, len(whole) - 8, 97):
        data = bytearray(whole)
        data[offset] ^= 0x10
        shard.write_bytes(data)
        problems = list(check(table, hashes=False))
        found += bool(problems)
        if not problems:  # then the byte carries no value
            assert table.read(1, schema.GROUPS["plan"].names).to_pylist() == rows
    assert found > 10


def test_a_swapped_hash_or_size_is_found(table: Table) -> None:
    write_shard(table, "generate", 0, [clip(0, sha256="0" * 64), clip(1, size_bytes=1)])
    found = list(check(table))
    assert len(found) == 2
    assert f"'{clip_id(0)}': the video's sha256 is" in found[0]
    assert f"'{clip_id(1)}': the video has" in found[1]
    assert list(check(table, hashes=False)) == []


def test_a_clip_without_video_needs_a_reason(table: Table) -> None:
    absent = {"video": None, "sha256": None, "size_bytes": None}
    write_shard(table, "generate", 0, [clip(0, **absent), clip(1, **absent, generate_error="no face")])
    assert list(check(table)) == [f"generate/00000.parquet: '{clip_id(0)}' has neither a video nor a reason"]


def test_one_video_under_two_ids_is_found_across_shards(table: Table) -> None:
    first = table.find(clip_id(0))["video"]["bytes"]
    write_shard(table, "generate", 3, [clip(6, data=first), clip(7)])
    said = f"generate/00003.parquet: '{clip_id(6)}' has the same video as '{clip_id(0)}'"
    assert list(check(table)) == [said]
    assert list(check(table, hashes=False)) == [said]


def test_duplicate_ids_leaks_and_shared_pictures_are_found_once(tmp_path: Path) -> None:
    ids = [clip_id(n) for n in (0, 1, 2, 3, 4, 5, 6, 0)]
    subjects, emotions = ["s0"] * 5 + ["s1"] * 3, [one.partition("/")[0] for one in ids]
    table = make_plan(
        tmp_path,
        clip_id=ids,
        emotion=emotions,
        subject_id=subjects,
        split=["train"] * 3 + ["test"] * 2 + ["validation"] * 3,
        source_sha256=["a" * 64] * 6 + ["b" * 64, None],
    )
    assert list(check(table)) == [
        "plan/00001.parquet: subject 's0' is in splits 'train' and 'test'",
        "plan/00002.parquet: source aaaaaaaaaaaa is of subjects 's0' and 's1'",
        f"plan/00003.parquet: '{clip_id(0)}' is there twice",
    ]


def test_labels_and_rows_that_break_the_schema_are_named(tmp_path: Path) -> None:
    table = make_plan(tmp_path, rows=2, split=["dev", "dev"], offset_ms=[150.0, 400.0])
    write_shard(table, "tag", 0, [{"clip_id": clip_id(0), "gender": "f"}, {"clip_id": clip_id(1)}])
    found = list(check(table))
    assert len(found) == 3
    assert "plan/00000.parquet: column 'split' holds 'dev'" in found[0]
    assert "expected onset <= apex <= offset" in found[1]
    assert "tag/00000.parquet: column 'gender' holds 'f'" in found[2]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"caption": None}, "column 'caption' is missing"),
        ({"caption": pa.array([1, 2])}, "column 'caption' should be string, got int64"),
        ({"mood": pa.array(["x", "y"])}, "unknown column 'mood'"),
        ({"age": pa.array([1.0, 2.0], pa.float32())}, "column 'age' belongs to another group"),
        ({"caption": pa.array(["x", "y"])}, "column 'caption' is not what was written"),
    ],
)
def test_columns_that_are_not_the_group_s_are_named(table: Table, columns: dict[str, Any], said: str) -> None:
    rewrite(table, "caption", 2, **columns)
    found = list(check(table))
    assert found[0].startswith("caption/00002.parquet: ")
    assert any(said in line for line in found)


def test_rows_out_of_step_are_found(table: Table) -> None:
    shard = table.shard_path("caption", 1)
    found = pq.read_table(shard)
    table.write("caption", 1, found.take([1, 0]), table.footer("caption", 1))
    said = f"delete {shard}, then run `equime caption {table.path}`"
    assert list(check(table)) == [f"caption/00001.parquet: does not hold the plan's rows in the plan's order; {said}"]


def test_orphans_newer_and_unreadable_shards_are_named_and_the_rest_is_checked(table: Table) -> None:
    table.shard_path("plan", 3).unlink()
    table.shard_path("caption", 0).write_bytes(b"not parquet")
    footer = table.footer("caption", 1)
    table.write("caption", 1, pq.read_table(table.shard_path("caption", 1)), replace(footer, schema_version=99))
    rewrite(table, "caption", 2, caption=pa.array(["x", "y"]))
    found = list(check(table))
    assert len(found) == 5
    assert found[0] == "generate/00003.parquet: the plan has no such shard; move it out of the workspace"
    assert found[1].startswith("caption/00003.parquet: the plan has no such shard")
    assert "cannot read" in found[2]
    assert "caption/00000.parquet" in found[2]
    assert "has schema version 99" in found[3]
    assert "column 'caption' is not what was written" in found[4]
    assert all("\n" not in line for line in found)


def test_memory_does_not_grow_with_the_videos(tmp_path: Path) -> None:
    table = make_plan(tmp_path, rows=24)
    megabyte = 1_000_000
    for index in table.shards():
        clips = [clip(n, data=bytes([n]) * megabyte) for n in (2 * index, 2 * index + 1)]
        write_shard(table, "generate", index, clips)
    before = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(before)
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        assert list(check(table)) == []
        python = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(before)
    assert python < 10 * megabyte  # a shard has 2 of the 24
    assert megabyte < pool.max_memory() < 10 * megabyte


def test_stale_shards_are_one_line_a_group_and_no_false_alarm(table: Table) -> None:
    run(Looks(), table)
    write_shard(table, "plan", 1, [plan_row(table, n) | {"sequence": 9} for n in (2, 3)])
    assert list(check(table)) == [f"caption: 1 of 4 shards are stale: run `equime caption {table.path}`"]
    for index in table.shards():  # other clips: what was made of the old ones is neither damaged nor out of step
        rows = table.read(index, schema.GROUPS["plan"].names).to_pylist()
        write_shard(table, "plan", index, [row | {"clip_id": row["clip_id"].replace("_s", "_t")} for row in rows])
    assert list(check(table)) == [
        f"{group}: 4 of 4 shards are stale: run `equime {group} {table.path}`"
        for group in ("generate", "caption", "tag")
    ]


def test_what_follows_a_damaged_plan_shard_is_not_called_stale(table: Table) -> None:
    table.shard_path("plan", 1).write_bytes(b"not parquet")
    rewrite(table, "caption", 2, caption=pa.array(["x", "y"]))
    found = list(check(table))
    assert len(found) == 2
    assert found[0].startswith(f"cannot read {table.shard_path('plan', 1)}: ")
    assert found[1].startswith("caption/00002.parquet: column 'caption' is not what was written; delete ")
    assert str(coverage(table)) == "6 of 6 clips have a video"


def test_clips_without_a_video_are_counted(table: Table) -> None:
    assert (str(coverage(table)), coverage(table).whole) == ("8 of 8 clips have a video", True)
    absent = {"video": None, "sha256": None, "size_bytes": None, "generate_error": "no face"}
    write_shard(table, "generate", 0, [clip(0, **absent), clip(1)], failed=1)
    table.shard_path("generate", 3).unlink()
    assert (str(coverage(table)), coverage(table).whole) == ("5 of 8 clips have a video", False)
    write_shard(table, "plan", 1, [plan_row(table, n) | {"clip_id": f"x/{n}"} for n in (2, 3)])
    assert coverage(table).videos == 3  # those of a stale shard show other clips
    for path in (table.path / "generate").glob("0*"):
        path.unlink()
    assert (str(coverage(table)), coverage(table).whole) == ("8 clips, no video made yet", True)


def test_a_shard_is_one_shard(tmp_path: Path) -> None:
    table = make_plan(tmp_path, rows=1, shard_rows=1)
    assert str(by_group(table)["plan"]).startswith("plan      1 of 1 shard, 1 row, ")


# --- status


def by_group(table: Table) -> dict[str, Any]:
    return {one.group: one for one in status(table)}


def test_status_counts_what_is_made_and_what_is_not(table: Table) -> None:
    run(Looks(), table, shard=(0, 2))
    found = by_group(table)
    assert list(found) == list(schema.GROUPS)
    tag = found["tag"]
    assert (tag.planned, tag.done, tag.missing, tag.stale, tag.orphan, tag.damaged) == (4, 2, 2, 0, 0, 0)
    assert (tag.rows, tag.failed_rows) == (4, 0)
    assert found["score"].missing == 4
    for group in schema.GROUPS:
        files = (table.path / group).glob("*.parquet")
        assert found[group].bytes == sum(len(path.read_bytes()) for path in files)
    assert str(tag).startswith("tag       2 of 4 shards, 4 rows, ")
    assert str(tag).endswith(", 2 missing")


def test_status_sees_stale_failed_orphaned_and_damaged_shards(table: Table) -> None:
    run(Words(text="x", bad=(clip_id(0), clip_id(7))), table)
    run(Looks(), table)
    rows = [plan_row(table, n) | {"sequence": 9} for n in (2, 3)]
    write_shard(table, "plan", 1, rows)
    table.shard_path("plan", 3).unlink()
    table.shard_path("caption", 2).write_bytes(b"")
    found = by_group(table)
    caption, tag = found["caption"], found["tag"]
    assert found["plan"].done == 3
    assert (caption.done, caption.stale, caption.damaged, caption.orphan) == (1, 1, 1, 1)
    assert (caption.rows, caption.failed_rows) == (4, 1)
    assert (tag.done, tag.stale, tag.orphan) == (2, 1, 1)  # what it read cannot be told any more
    assert "1 stale, 1 damaged, 1 orphan, 1 failed row" in str(caption)


def test_status_of_an_empty_workspace(tmp_path: Path) -> None:
    table = Table.create(tmp_path)
    assert list(check(table)) == []
    assert all((one.planned, one.bytes) == (0, 0) for one in status(table))


def test_what_has_lapsed_is_left_to_who_asks(table: Table) -> None:
    write_shard(table, "generate", 1, [clip(2, data=clip_bytes(seed=52)), clip(3, sha256="0" * 64)])
    run(Looks(), table)
    write_shard(table, "plan", 0, [plan_row(table, n) | {"sequence": 9} for n in (0, 1)])
    found, lapsed = list(check(table)), list(check(table, lapsed=False))
    assert len(found) == 2 and "are stale" in found[-1] and lapsed == found[:-1]
