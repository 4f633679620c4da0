from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pytest

from equime import schema
from equime.errors import EquimeError

GOOD: dict[str, Any] = {
    "clip_id": "happiness/f_s-1_01",
    "subject_id": "s-1",
    "emotion": "happiness",
    "action_units": [{"au": 12, "side": "L", "intensity": "B"}, {"au": 6, "side": "B", "intensity": None}],
    "onset_ms": 100.0,
    "apex_ms": 200.0,
    "offset_ms": 200.0,
    "split": "train",
}


def plan(**changes: Any) -> pa.Table:
    return pa.Table.from_pylist([GOOD | changes], schema=schema.GROUPS["plan"])


def test_no_two_groups_write_one_column() -> None:
    written = Counter(n for columns in schema.GROUPS.values() for n in columns.names if n != "clip_id")
    assert set(written.values()) == {1}
    assert set(schema.OWNER) == {*written, "clip_id"}
    assert all(columns.names[0] == "clip_id" for columns in schema.GROUPS.values())


def test_metadata_is_every_column_but_the_bytes_and_video_comes_last() -> None:
    assert set(schema.METADATA.names) == set(schema.OWNER) - {"video"}
    assert [*schema.METADATA.names, "video"] == schema.CLIPS.names
    assert len(schema.CLIPS.names) == len(set(schema.CLIPS.names))


def test_every_stage_has_its_error_column() -> None:
    for group in schema.GROUPS:
        assert (f"{group}_error" in schema.GROUPS[group].names) == (group != "plan")


def test_labels_name_string_columns() -> None:
    assert all(schema.CLIPS.field(name).type == pa.string() for name in schema.LABELS)


def test_a_good_row_has_no_problem() -> None:
    assert schema.check(plan()) == []


def test_a_neutral_control_has_no_emotion_and_no_times() -> None:
    control = {"clip_id": "neutral/u_s_01", "emotion": None, "control": "neutral", "action_units": None}
    times = {"onset_ms": None, "apex_ms": None, "offset_ms": None}
    assert schema.check(plan(**control, subject_id="s", **times)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"clip_id": "happiness/x_s-1_01"}, "clip_id should read"),
        ({"clip_id": "../happiness/f_s-1_01"}, "clip_id should read"),
        ({"clip_id": "happiness/f_s/1_01"}, "clip_id should read"),
        ({"clip_id": None}, "clip_id should read"),
        ({"clip_id": "anger/f_s-1_01"}, "is 'happiness', its id says 'anger'"),
        ({"emotion": None}, "is 'neutral', its id says 'happiness'"),
        ({"clip_id": "joy/f_s-1_01", "emotion": "joy"}, "column 'emotion' holds 'joy'"),
        ({"subject_id": "s_1"}, "subject_id should match"),
        ({"subject_id": ".."}, "subject_id should match"),
        ({"split": "dev"}, "column 'split' holds 'dev'"),
        ({"source_gender": "f"}, "column 'source_gender' holds 'f'"),
        ({"source_age": "18-25"}, "column 'source_age' holds '18-25'"),
        ({"apex_ms": 201.0}, "expected onset <= apex <= offset"),
        ({"onset_ms": float("nan")}, "expected onset <= apex <= offset"),
        ({"action_units": [{"au": 1, "side": "left", "intensity": "B"}]}, "should have a side"),
        ({"action_units": [{"au": 1, "side": "L", "intensity": "F"}]}, "should have a side"),
    ],
)
def test_each_breach_is_one_line(change: dict[str, Any], said: str) -> None:
    (line,) = schema.check(plan(**change))
    assert said in line
    assert "\n" not in line


def test_unknown_columns_and_types_are_named() -> None:
    table = plan().append_column("mood", pa.array(["good"]))
    assert schema.check(table) == ["unknown column 'mood'"]
    at = table.column_names.index("apex_ms")
    changed = plan().set_column(at, "apex_ms", pa.array(["soon"]))
    (line,) = schema.check(changed)
    assert line == "column 'apex_ms' should be double, got string"


def test_conform_orders_fills_and_casts() -> None:
    given = pa.table({"caption": ["a"], "clip_id": ["x"]})
    made = schema.conform(given, schema.GROUPS["caption"])
    assert made.schema.equals(schema.GROUPS["caption"])
    assert made.to_pylist() == [dict.fromkeys(schema.GROUPS["caption"].names) | {"clip_id": "x", "caption": "a"}]
    widened = schema.conform(pa.table({"clip_id": ["x"], "age": pa.array([4], pa.int64())}), schema.GROUPS["tag"])
    assert widened["age"].type == pa.float32()


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("mood", pa.array(["x"]), "unknown columns \\['mood'\\]"),
        ("age", pa.array(["old"]), "column 'age' should be float, got string"),
        ("gender_probs", pa.array([1.0]), "column 'gender_probs' should be struct"),
        ("face_box", pa.array([{"x": 1}]), "column 'face_box' should be list"),
    ],
)
def test_conform_refuses_what_does_not_fit(column: str, values: pa.Array, said: str) -> None:
    with pytest.raises(EquimeError, match=said):
        schema.conform(pa.table({"clip_id": ["x"], column: values}), schema.GROUPS["tag"])


@pytest.mark.parametrize(
    ("age", "band"),
    [
        (0, None),
        (17.9, None),
        (18, "18-29"),
        (29.99, "18-29"),
        (30, "30-39"),
        (49, "40-49"),
        (50, "50-59"),
        (60, "60+"),
        (104, "60+"),
    ],
)
def test_age_bands_are_half_open(age: float, band: str | None) -> None:
    assert schema.age_band(age) == band


def test_disgust_is_a_sixth_class_only_where_it_occurs() -> None:
    five = ("happiness", "sadness", "surprise", "fear", "anger")
    assert schema.emotions(["fear", None]) == five
    assert schema.emotions(["disgust", "fear"]) == (*five, "disgust")


def test_ids_parse_into_their_parts() -> None:
    parts = schema.CLIP_ID.fullmatch("fear/u_00012-a_003")
    assert parts is not None
    assert parts.groupdict() == {"emotion": "fear", "gender": "u", "subject": "00012-a", "sequence": "003"}
    bare = schema.CLIP_ID.fullmatch("disgust/m_1234")
    assert bare is not None
    assert bare["sequence"] is None
