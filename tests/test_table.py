from __future__ import annotations

import json
import math
import os
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_workspace import make_workspace, replan
from toy_stages import clip_id, make_plan, write_shard

from equime import schema
from equime.errors import EquimeError
from equime.footer import FOOTER_KEY, DamagedShardError, Footer, digest, follows, read_footer
from equime.table import Table, is_workspace, owner, replacing, sweep, write_atomically

deterministic = settings(derandomize=True, deadline=None, max_examples=60)

TEXT = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
UNIT = st.fixed_dictionaries({"au": st.integers(0, 70), "side": TEXT, "intensity": TEXT})
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "caption": TEXT,
    "seed": st.none() | st.integers(-(2**63), 2**63 - 1),
    "onset_ms": st.none() | st.floats(),
    "age": st.none() | st.floats(width=32),
    "accepted": st.none() | st.booleans(),
    "reject_reasons": st.none() | st.lists(TEXT, max_size=3),
    "action_units": st.none() | st.lists(st.none() | UNIT, max_size=3),
    "video": st.none() | st.fixed_dictionaries({"bytes": st.none() | st.binary(max_size=6), "path": TEXT}),
}


@st.composite
def columns(draw: st.DrawFn) -> tuple[pa.DataType, list[Any]]:
    name = draw(st.sampled_from(sorted(VALUES)))
    return schema.CLIPS.field(name).type, draw(st.lists(VALUES[name], min_size=1, max_size=6))


def chunked(values: list[Any], kind: pa.DataType) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, kind)])


@given(columns(), st.data())
@deterministic
def test_a_digest_does_not_see_chunks_slices_or_encodings(
    column: tuple[pa.DataType, list[Any]], data: st.DataObject
) -> None:
    kind, values = column
    want = digest(chunked(values, kind))
    cut = data.draw(st.integers(0, len(values)))
    assert digest(pa.chunked_array([pa.array(values[:cut], kind), pa.array(values[cut:], kind)])) == want
    assert digest(chunked([*values, *values, *values], kind).slice(len(values), len(values))) == want
    if kind == pa.string():
        assert digest(chunked(values, kind).dictionary_encode()) == want
    for options in ({}, {"use_dictionary": False, "compression": "NONE", "data_page_version": "2.0"}):
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"x": chunked(values, kind)}), sink, row_group_size=2, **options)
        assert digest(pq.read_table(pa.BufferReader(sink.getvalue()))["x"]) == want


def bits(value: Any) -> Any:
    """A value that is equal only to the very same: NaN to itself, 0.0 not to -0.0."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack("<d", value)
    if isinstance(value, dict):
        return {key: bits(inner) for key, inner in value.items()}
    return [bits(inner) for inner in value] if isinstance(value, list) else value


@given(columns(), st.data())
@deterministic
def test_a_digest_sees_every_value(column: tuple[pa.DataType, list[Any]], data: st.DataObject) -> None:
    kind, values = column
    name = next(n for n in VALUES if schema.CLIPS.field(n).type == kind)
    at = data.draw(st.integers(0, len(values) - 1))
    changed = [*values[:at], data.draw(VALUES[name]), *values[at + 1 :]]
    same = bits(changed) == bits(values)
    assert (digest(chunked(changed, kind)) == digest(chunked(values, kind))) == same
    assert digest(chunked([*values, None], kind)) != digest(chunked(values, kind))
    if bits(values[::-1]) != bits(values):
        assert digest(chunked(values[::-1], kind)) != digest(chunked(values, kind))


def test_equal_values_of_different_types_differ() -> None:
    kinds = [pa.int32(), pa.int64(), pa.float32(), pa.float64()]
    assert len({digest(chunked([1], kind)) for kind in kinds}) == 4
    assert digest(chunked([None], pa.int32())) != digest(chunked([None], pa.string()))


def test_a_workspace_is_made_once_and_keeps_its_shard_size(tmp_path: Path) -> None:
    made = Table.create(tmp_path / "ws", shard_rows=3, faces="faces")
    assert (made.shard_rows, made.settings["faces"]) == (3, "faces")
    assert is_workspace(tmp_path / "ws")
    assert Table.create(tmp_path / "ws", shard_rows=9).shard_rows == 3
    assert made.shards() == []
    assert list(made.rows()) == []


def test_what_a_killed_maker_left_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / ".workspace.json.1-abc.tmp").touch()
    assert Table.create(tmp_path / "ws").shards() == []


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda path: None, "no such folder: .*equime plan"),
        (lambda path: path.mkdir(), "no workspace: .*equime plan"),
        (lambda path: path.write_text("x"), "not a folder"),
    ],
)
def test_what_is_no_workspace_is_one_line(tmp_path: Path, prepare: Any, said: str) -> None:
    prepare(tmp_path / "ws")
    with pytest.raises(EquimeError, match=said):
        Table(tmp_path / "ws")


def test_a_folder_of_other_things_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(EquimeError, match="is not empty and is no workspace"):
        Table.create(tmp_path)
    with pytest.raises(EquimeError, match=r"cannot write .*thesis.tex"):
        Table.create(tmp_path / "thesis.tex")
    with pytest.raises(EquimeError, match="shard_rows = 0"):
        Table.create(tmp_path / "ws", shard_rows=0)
    assert os.listdir(tmp_path) == ["thesis.tex"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot read .*workspace.json"),
        ("[]", "cannot read .*workspace.json"),
        ("{}", "cannot read .*schema_version"),
        ('{"schema_version": 1, "shard_rows": "many"}', "cannot read .*many"),
        ('{"schema_version": 1, "shard_rows": 0}', "cannot read .*at least one row a shard, got shard_rows = 0"),
        ('{"schema_version": 1, "shard_rows": true}', "cannot read .*unexpected shard_rows = True"),
        ('{"schema_version": 1, "shard_rows": 4, "faces": 5}', "cannot read .*unexpected faces = 5"),
        ('{"schema_version": 99, "shard_rows": 4}', "has schema version 99, .*pip install --upgrade equime"),
    ],
)
def test_bad_settings_are_one_line(tmp_path: Path, text: str, said: str) -> None:
    Table.create(tmp_path)
    (tmp_path / "workspace.json").write_text(text)
    with pytest.raises(EquimeError, match=said) as raised:
        Table(tmp_path)
    assert "\n" not in str(raised.value)


def test_rows_come_back_in_order_with_nulls_for_what_is_not_made(tmp_path: Path) -> None:
    table = make_plan(tmp_path, rows=5, shard_rows=2)
    assert table.shards() == [0, 1, 2]
    assert table.groups == ["plan"]
    write_shard(table, "caption", 1, [{"clip_id": clip_id(n), "caption": f"c{n}"} for n in (2, 3)])
    rows = list(table.rows(["caption", "apex_ms"]))
    assert [list(row) for row in rows] == [["clip_id", "caption", "apex_ms"]] * 5
    assert [row["clip_id"] for row in rows] == [clip_id(n) for n in range(5)]
    assert [row["caption"] for row in rows] == [None, None, "c2", "c3", None]
    assert [row["apex_ms"] for row in rows] == [200.0, 201.0, 202.0, 203.0, 204.0]
    whole = next(table.rows())
    assert set(whole) == set(schema.METADATA.names)
    found = table.find(clip_id(3))
    assert set(found) == set(schema.CLIPS.names)
    assert (found["caption"], found["video"], found["subject_id"]) == ("c3", None, "s0")
    with pytest.raises(EquimeError, match="no clip 'anger/f_x_01'"):
        table.find("anger/f_x_01")


def test_read_joins_groups_and_puts_clip_id_first(tmp_path: Path) -> None:
    table = make_plan(tmp_path, rows=2)
    write_shard(table, "caption", 0, [{"clip_id": clip_id(n), "caption": f"c{n}"} for n in (0, 1)])
    part = table.read(0, ["caption", "emotion", "clip_id"])
    assert part.column_names == ["clip_id", "caption", "emotion"]
    assert part["caption"].to_pylist() == ["c0", "c1"]
    with pytest.raises(EquimeError, match=r"unknown column 'mood': expected one of .*'clip_id'"):
        table.read(0, ["mood"])
    with pytest.raises(EquimeError, match="is not made yet: run `equime tag"):
        table.read(0, ["age"])
    assert owner("age") == "tag"


def test_a_shard_out_of_step_is_refused(tmp_path: Path) -> None:
    table = make_plan(tmp_path, rows=2)
    for ids in ([clip_id(1), clip_id(0)], [clip_id(0)], [clip_id(0), None]):
        write_shard(table, "caption", 0, [{"clip_id": one} for one in ids])
        with pytest.raises(EquimeError, match="does not hold the plan's rows in the plan's order"):
            table.read(0, ["caption"])


def rewrite(path: Path, change: Any) -> None:
    """Change a shard behind the package's back, keeping its footer."""
    found = pq.read_table(path)
    pq.write_table(change(found).replace_schema_metadata(found.schema.metadata), path)


def test_a_changed_column_type_is_named(tmp_path: Path) -> None:
    table = make_plan(tmp_path, rows=2)
    at = schema.GROUPS["plan"].names.index("apex_ms")
    rewrite(table.shard_path("plan", 0), lambda t: t.set_column(at, "apex_ms", t["apex_ms"].cast(pa.float32())))
    with pytest.raises(EquimeError, match="column 'apex_ms' should be double, got float"):
        table.read(0, ["apex_ms"])
    rewrite(table.shard_path("plan", 0), lambda t: t.drop_columns(["apex_ms"]))
    with pytest.raises(
        EquimeError, match=r"column 'apex_ms' is missing; delete .*00000.parquet, then run `equime plan"
    ):
        table.read(0, ["apex_ms"])


def test_what_is_not_a_shard_is_one_line(tmp_path: Path) -> None:
    table = make_plan(tmp_path, rows=2)
    path = table.shard_path("plan", 0)
    whole = path.read_bytes()
    for data in (b"", b"not parquet", whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(data)
        for look in (lambda: table.read(0, []), lambda: table.footer("plan", 0)):
            with pytest.raises(
                EquimeError, match=r"cannot read .*00000.parquet: .*delete .*, then run `equime plan"
            ) as raised:
                look()
            assert "\n" not in str(raised.value)


def test_footers_that_do_not_read_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "00000.parquet"
    cases = {None: "no footer", b"{": "does not read", b"[]": "does not read", b'{"schema_version": "x"}': "read"}
    for text, said in cases.items():
        pq.write_table(pa.table({"x": [1]}).replace_schema_metadata({FOOTER_KEY: text} if text else {}), path)
        with pytest.raises(EquimeError, match=said):
            read_footer(path)


GOOD = {"stage": "caption", "version": 1, "mark": "m", "digests": {}, "reads": [], "fields": {}, "schema_version": 1}


@pytest.mark.parametrize(
    "wrong",
    [
        *({name: value} for name in ("rows", "failed", "version") for value in ("1", 1.5, None, True)),
        *({"digests": value} for value in ([], {"caption": 1}, "x")),
        *({"reads": value} for value in ("caption", {"caption": 1}, [1], None)),
        *({"fields": []}, {"models": {"a": 1}}, {"packages": "x"}, {"mark": None}, {"stage": 1}),
    ],
    ids=str,
)
def test_a_footer_of_wrong_types_is_one_line(tmp_path: Path, wrong: dict[str, Any]) -> None:
    path = tmp_path / "caption" / "00000.parquet"
    path.parent.mkdir()

    def put(values: dict[str, Any]) -> None:
        metadata = {FOOTER_KEY: json.dumps(values).encode()}
        pq.write_table(pa.table({"x": [1]}).replace_schema_metadata(metadata), path)

    put(GOOD)
    assert read_footer(path).rows == 1
    put(GOOD | {"reads": ["mood"]})
    assert not follows(read_footer(path), {})
    put(GOOD | wrong)
    with pytest.raises(DamagedShardError, match=r"has a footer that does not read; delete .*, then run `equime cap"):
        read_footer(path)


def test_a_workspace_file_without_faces_is_fine(tmp_path: Path) -> None:
    Table.create(tmp_path, faces="x")
    (tmp_path / "workspace.json").write_text('{"schema_version": 1, "shard_rows": 4}')
    assert Table(tmp_path).settings["faces"] is None


def test_a_stale_shard_is_not_shown_and_raw_reads_still_see_it(tmp_path: Path) -> None:
    table = make_plan(tmp_path, rows=4)
    for index in (0, 1):
        captions = [{"clip_id": clip_id(n), "caption": f"c{n}"} for n in (2 * index, 2 * index + 1)]
        write_shard(table, "caption", index, captions)
    assert table.made(0) == ["plan", "caption"]
    plan = table.read(0, schema.GROUPS["plan"].names).to_pylist()
    write_shard(table, "plan", 0, [row | {"clip_id": row["clip_id"].replace("_s", "_t")} for row in plan])
    assert table.made(0) == ["plan"]
    assert [row["caption"] for row in table.rows(["caption"])] == [None, None, "c2", "c3"]
    assert table.find(clip_id(0).replace("_s", "_t"))["caption"] is None
    assert table.find(clip_id(2))["caption"] == "c2"
    with pytest.raises(DamagedShardError, match=r"in the plan's order; delete .*, then run `equime caption "):
        table.read(0, ["caption"])


def test_a_newer_schema_version_is_refused(tmp_path: Path) -> None:
    table = make_plan(tmp_path, rows=2)
    write_shard(table, "caption", 0, [{"clip_id": clip_id(n)} for n in (0, 1)], schema_version=99)
    with pytest.raises(EquimeError, match=r"has schema version 99, this package reads up to .*pip install --upgrade"):
        table.footer("caption", 0)


def test_a_footer_round_trips_with_the_digests_of_what_is_on_disk(tmp_path: Path) -> None:
    table = make_plan(tmp_path, rows=2)
    given = Footer(
        "tag", 3, "m", {"clip_id": "not this"}, ("caption",), {"a": [1]}, {"model": "rev"}, {"numpy": "2"}, 7, 1
    )
    ages = pa.table({"clip_id": [clip_id(0), clip_id(1)], "age": pa.array([30, 41], pa.int64())})
    table.write("tag", 0, ages, given)
    footer = table.footer("tag", 0)
    assert footer is not None
    stored = pq.read_table(table.shard_path("tag", 0))
    assert footer.digests == {name: digest(stored[name]) for name in schema.GROUPS["tag"].names}
    assert stored["age"].type == pa.float32()
    assert (footer.rows, footer.failed, footer.reads, footer.fields) == (2, 1, ("caption",), {"a": [1]})
    assert (footer.models, footer.packages, footer.mark) == ({"model": "rev"}, {"numpy": "2"}, "m")
    assert table.footer("tag", 1) is None


def test_videos_are_stored_plainly_in_small_row_groups(tmp_path: Path) -> None:
    table = make_plan(tmp_path, rows=10, shard_rows=10)
    clips = [{"clip_id": clip_id(n), "video": {"bytes": os.urandom(2000), "path": "x"}} for n in range(10)]
    write_shard(table, "generate", 0, clips)
    metadata = pq.read_metadata(table.shard_path("generate", 0))
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [8, 2]
    leaves = [metadata.row_group(0).column(i) for i in range(metadata.num_columns)]
    kinds = {leaf.path_in_schema: leaf.compression for leaf in leaves}
    assert kinds["video.bytes"] == "UNCOMPRESSED"
    assert kinds["sha256"] != "UNCOMPRESSED"
    assert table.read(0, ["video"])["video"].to_pylist() == [clip["video"] for clip in clips]


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    one, two = make_plan(tmp_path / "a"), make_plan(tmp_path / "b")
    for index in one.shards():
        assert one.shard_path("plan", index).read_bytes() == two.shard_path("plan", index).read_bytes()


def test_only_shard_names_are_shards(tmp_path: Path) -> None:
    table = make_plan(tmp_path, rows=2)
    for name in (".00001.parquet.1-a.tmp", "00001.parquet.bak", "1.parquet", "000001.parquet", "notes.txt"):
        (tmp_path / "plan" / name).touch()
    write_shard(table, "plan", 123456, [])
    assert table.shards() == [0, 123456]
    assert table.shards("caption") == []


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_atomically(path, b"old")
    with pytest.raises(ZeroDivisionError), replacing(path) as handle:
        handle.write(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == ["file"]
    with path.open("rb") as reader:
        with replacing(path) as handle:
            handle.write(b"new")
            assert path.read_bytes() == b"old"
        assert path.read_bytes() == b"new"
        assert reader.read() == b"old"  # who reads the old file goes on reading it whole
    assert os.listdir(path.parent) == ["file"]


def test_rows_that_do_not_fit_write_nothing(tmp_path: Path) -> None:
    table = make_plan(tmp_path, rows=2)
    for rows in (pa.table({"clip_id": ["x"], "mood": ["y"]}), pa.table({"clip_id": ["x"], "caption": [[1]]})):
        with pytest.raises(EquimeError):
            table.write("caption", 0, rows, Footer("caption", 1, "m"))
    assert not (tmp_path / "caption").exists()


def test_sweep_removes_temporary_files_and_nothing_else(tmp_path: Path) -> None:
    for name in (".00001.parquet.1-a.tmp", ".lock", "00001.parquet"):
        (tmp_path / name).touch()
    sweep(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".lock", "00001.parquet"]


def test_settings_are_plain_json(tmp_path: Path) -> None:
    Table.create(tmp_path, shard_rows=5, faces="x")
    found = json.loads((tmp_path / "workspace.json").read_text())
    assert found == {"schema_version": schema.VERSION, "shard_rows": 5, "faces": "x"}


def test_what_follows_from_a_stale_shard_is_not_made_either(tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws")
    assert table.made(0) == list(schema.GROUPS)
    replan(table, 0)
    assert table.made(0) == ["plan", "caption", "tag"]
    assert table.made(0, ["score"]) == []
    assert table.standing(0).stale == ("generate", "score")
    row = next(iter(table.rows(["clip_id", "caption", "sha256", "amplitude"])))
    assert row["caption"]
    assert (row["sha256"], row["amplitude"]) == (None, None)
    table.shard_path("tag", 0).write_bytes(b"damaged")
    assert table.made(0, ["caption"]) == ["caption"], "damage elsewhere is no matter"
