"""Who with what: against SciPy and scikit-learn, planted bias of known size, null data, clustered clips, bad input."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from make_workspace import UNITS, make_workspace
from scipy.stats import binom, chi2_contingency
from scipy.stats.contingency import association as scipy_association

from equime import schema
from equime.audit import association as module
from equime.audit.association import COLUMNS, association
from equime.audit.measures.contingency import cramers_v, nmi, npmi
from equime.audit.result import Audit
from equime.audit.tables.rows import Rows, open_rows
from equime.audit.tables.variables import QUARTERS, variables
from equime.errors import EquimeError

EMOTIONS = np.array(schema.EMOTIONS)
V = "Cramer's V"


def file_rows(subjects: Any, **columns: Any) -> Rows:
    table = {name: pa.array(list(values), pa.string()) for name, values in columns.items()}
    return Rows("labels.csv", "file", pa.table({"subject_id": pa.array([str(s) for s in subjects])} | table))


def contract(rows: list[dict[str, Any]]) -> Rows:
    """Rows of the contract: what each does not say is a clip that was planned and made, of one unit."""
    fields = {name: schema.METADATA.field(name).type for name in COLUMNS} | {"subject_id": pa.string()}
    fields |= dict.fromkeys(("race", "gender", "age", "skin"), pa.string())
    usual = {"design": "balanced", "emotion": "fear", "num_frames": 144}
    found = [{name: None for name in fields} | usual | row for row in rows]
    return Rows("ws", "source", pa.Table.from_pylist(found, pa.schema(list(fields.items()))))


def pairs(tables: list[np.ndarray]) -> list[np.ndarray]:
    """Each table as columns of its cells' clips."""
    return [np.stack([np.repeat(axis.ravel(), t.ravel()) for axis in np.indices(t.shape)]) for t in tables]


TABLES = [
    np.array([[10, 20, 30], [6, 9, 17]]),
    np.array([[5, 0], [0, 7], [3, 3]]),
    np.array([[1, 2, 3, 4], [4, 3, 2, 1], [9, 9, 9, 9]]),
]


# --- measures


@pytest.mark.parametrize("table", TABLES)
def test_the_measures_are_scipys_and_scikit_learns(table: np.ndarray) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    assert cramers_v(table) == pytest.approx(scipy_association(table, method="cramer"))
    assert nmi(table) == pytest.approx(metrics.normalized_mutual_info_score(*pairs([table])[0]))
    many = np.stack([table, table * 3])
    assert cramers_v(many) == pytest.approx(np.repeat(cramers_v(table), 2))
    assert nmi(many) == pytest.approx(np.repeat(nmi(table), 2))


def test_empty_groups_and_levels_do_not_count() -> None:
    wide = np.array([[10, 20, 0], [0, 0, 0], [6, 2, 0]])
    assert cramers_v(wide) == pytest.approx(scipy_association(np.array([[10, 20], [6, 2]]), method="cramer"))
    for nothing in ([[3, 0], [4, 0]], [[1, 2], [0, 0]], [[0, 0], [0, 0]]):
        assert np.isnan(cramers_v(np.array(nothing))) and np.isnan(nmi(np.array(nothing)))


def test_a_table_without_association_has_exactly_none() -> None:
    table = np.outer([3, 7, 11], [13, 17, 19, 23])
    assert cramers_v(table) == nmi(table) == 0
    assert cramers_v(np.diag([4, 5, 6])) == pytest.approx(1) and nmi(np.diag([4, 5, 6])) == pytest.approx(1)


def test_local_npmi_in_closed_form() -> None:
    found = npmi(np.array([[4, 0, 0], [1, 3, 0]]))
    assert found[0, 0] == pytest.approx(math.log(0.5 / (0.5 * 0.625)) / -math.log(0.5))
    assert found[0, 1] == -1 and np.isnan(found[:, 2]).all()
    assert npmi(np.array([[4, 0], [0, 4]])).tolist() == [[1, -1], [-1, 1]]
    assert npmi(np.array([[5]])).tolist() == [[1]]
    assert np.isnan(npmi(np.zeros((1, 1)))).all()


# --- planted bias, and none


def biased(anger: int, subjects: int = 20) -> Rows:
    """Two groups of people with 20 clips each: 4 of each emotion in one, more anger in place of others in the other."""
    fair, unfair = np.repeat(EMOTIONS, 4), np.repeat(EMOTIONS, [*[(20 - anger) // 4] * 4, anger])
    emotion = np.concatenate([np.tile(fair, subjects), np.tile(unfair, subjects)])
    race = np.repeat(["asian", "white"], 20 * subjects)
    return file_rows(np.repeat(np.arange(2 * subjects), 20), race=race, emotion=emotion)


def test_a_planted_bias_is_found_and_has_its_size() -> None:
    found = association(biased(8), ["race"])
    planted = found.one(V, of="emotion")
    assert planted.value == pytest.approx(1 / math.sqrt(21)), "20 percentage points more anger in one of two groups"
    assert planted.p == 1 / 500
    assert planted.reference is not None and planted.reference < 0.1
    assert (planted.clips, planted.subjects) == (800, 40)
    angry = found.one("NPMI", of="emotion anger", group="white")
    assert angry.value == pytest.approx(math.log(0.2 / (0.5 * 0.3)) / -math.log(0.2))
    assert (angry.clips, angry.subjects, angry.small) == (400, 20, False)
    even = association(biased(4), ["race"]).one(V, of="emotion")
    assert (even.value, even.reference, even.p) == (0, 0, 1)


def independent(rng: np.random.Generator, *, alike: bool, subjects: int = 60, clips: int = 6) -> Rows:
    """Labels that say nothing of the clips; with `alike`, all clips of a person show one emotion."""
    labels = {
        name: np.repeat(rng.choice(choices, subjects), clips)
        for name, choices in (("race", schema.RACES[:3]), ("gender", schema.GENDERS))
    }
    emotion = np.repeat(rng.choice(EMOTIONS, subjects), clips) if alike else rng.choice(EMOTIONS, subjects * clips)
    split = np.repeat(rng.choice(schema.SPLITS, subjects), clips)
    return file_rows(np.repeat(np.arange(subjects), clips), emotion=emotion, split=split, **labels)


@pytest.mark.parametrize("alike", [False, True])
def test_chance_alone_is_quiet_though_clips_of_one_person_are_alike(alike: bool) -> None:
    rng, trials, ours, naive = np.random.default_rng(0), 200, 0, 0
    for _ in range(trials):
        data = independent(rng, alike=alike)
        found = association(data, draws=99).where(measure=V)
        assert len(found) == 4
        ours += any(f.p is not None and f.p < 0.05 for f in found)
        race, emotion = (np.unique(data.table[n].to_pylist(), return_inverse=True)[1] for n in ("race", "emotion"))
        table = np.zeros((3, 5))
        np.add.at(table, (race, emotion), 1)
        naive += chi2_contingency(table).pvalue < 0.05 / 4
    assert ours <= binom.ppf(0.9999, trials, 0.05)
    assert naive > 0.5 * trials if alike else naive <= binom.ppf(0.9999, trials, 0.05)


def test_matched_twins_are_one_draw_of_their_programme() -> None:
    """Pairs within a group: their clips count once, or half of the quiet data sets are alarms."""
    rng, trials, alarms = np.random.default_rng(2), 100, 0
    subject = np.repeat(np.arange(60), 8)
    pair, first = subject // 4 * 2 + subject % 2, subject % 4 < 2  # subjects 0 and 2, 1 and 3, ... of one race
    race = np.array(schema.RACES[:2])[subject // 4 % 2]
    place = np.tile(np.arange(8), 60)
    ids = [f"t{p}-{k}" for p, k in zip(pair, place, strict=True)]
    notes: tuple[str, ...] = ()
    for _ in range(trials):
        programme = rng.choice(EMOTIONS, (30, 8))
        columns = {"race": race, "emotion": programme[pair, place], "twin_id": ids, "noise_key": ids}
        found = association(file_rows(subject, **columns), ["race"], 99)
        one = found.one(V, of="emotion")
        assert one.clips == 240 and one.subjects > 55, "half of the clips, from nearly everybody"
        alarms += one.p is not None and one.p < 0.05
        notes = found.notes
    assert alarms <= binom.ppf(0.999, trials, 0.05)
    assert any(note.startswith("240 clips left out, one of each matched pair") for note in notes)
    assert (
        association(file_rows(subject[first], **{n: np.array(c)[first] for n, c in columns.items()}))
        .one(V, of="emotion")
        .clips
        / 240
        > 0.4
    ), "a clip whose twin is gone stays"


def test_chance_is_what_the_reference_says() -> None:
    rng = np.random.default_rng(1)
    found = [association(independent(rng, alike=True), ["race"], 99).one(V, of="emotion") for _ in range(60)]
    values, references = (np.array([getattr(f, name) for f in found]) for name in ("value", "reference"))
    assert values.mean() == pytest.approx(references.mean(), abs=4 * values.std() / math.sqrt(60))
    assert values.mean() > 0.2, "which is far from none: V alone says nothing"


# --- the contract's clips


def whole_plan(subjects: int = 24) -> list[dict[str, Any]]:
    """Every emotion of every person, alike; in each group the third clip of some people is rejected."""
    return [
        {
            "subject_id": str(subject),
            "race": schema.RACES[subject % 2],
            "gender": schema.GENDERS[subject // 2 % 2],
            "emotion": emotion,
            "split": schema.SPLITS[subject // 4 % 3],
            "action_units": [{"au": au, "side": "B", "intensity": "ABC"[place % 3]} for au in UNITS[emotion]],
            "onset_ms": 100.0,
            "apex_ms": 200.0 + 10 * place,
            "offset_ms": 400.0 + 25 * place,
            "accepted": True,
        }
        for subject in range(subjects)
        for place, emotion in enumerate(schema.EMOTIONS)
    ]


def test_acceptance_that_selects_is_found_where_the_plan_is_even() -> None:
    plan = whole_plan()
    for row in plan:
        row["accepted"] = not (row["race"] == "indian" and row["emotion"] == "fear")
    found = association(contract(plan))
    for scope in ("planned", "generated"):
        even = found.one(V, of="emotion", by="race", scope=scope)
        assert (even.value, even.p, even.clips, even.subjects) == (0, 1, 120, 24)
    selected = found.one(V, of="emotion", by="race", scope="accepted")
    assert selected.p is not None and selected.p < 0.05 and selected.clips == 108
    assert selected.value is not None and selected.reference is not None and selected.value > selected.reference
    rejected = found.one(V, of="accepted of fear", by="race", scope="generated")
    assert (rejected.value, rejected.clips) == (1, 24)
    assert rejected.p is not None and rejected.p < 0.05
    assert found.one(V, of="accepted", by="race", scope="generated").value == pytest.approx(math.sqrt(1 / 9))
    assert found.one(V, of="accepted of anger", by="race", scope="generated").value is None
    assert not found.where(of="accepted", scope="accepted"), "of accepted clips all are accepted"
    assert found.one("NPMI", of="emotion fear", by="race", group="indian", scope="accepted").value == -1
    assert found.one("NPMI", of="AU20", by="race", group="indian", scope="accepted").value == -1
    assert not found.where(measure="NPMI", of="AU20", scope="planned"), "a unit that no group has more of"
    assert all(f.p is None or f.p > 0.05 for f in found.findings if f.by == "gender")
    assert set(found.drawn) >= {"Cramer's V of emotion", "NPMI"}


def test_every_variable_is_tested_in_every_scope() -> None:
    plan = whole_plan()
    for row in plan[::7]:
        row |= {"generate_error": "the face is hidden", "num_frames": None, "accepted": None}
    for row in plan[1::9]:
        row["accepted"] = False if row["accepted"] else None
    found = association(contract(plan), ["race"], draws=49)
    units = {f"AU{au}" for emotion in schema.EMOTIONS for au in UNITS[emotion]}
    shown = {"emotion", "split", "intensity", "side", "duration", "rise", *units}
    for scope in ("planned", "generated", "accepted"):
        of = {f.of for f in found.where(measure=V, scope=scope)}
        assert of == shown | ({"accepted", *(f"accepted of {e}" for e in schema.EMOTIONS)} & of)
        assert {f.of for f in found.where(measure="NMI", scope=scope)} == of
    made = sum("num_frames" not in row for row in plan)
    assert found.one(V, of="emotion", scope="generated").clips == made
    assert found.one(V, of="accepted", scope="generated").clips == sum(row["accepted"] is not None for row in plan)
    side = found.one(V, of="side", scope="planned")
    assert side.value is None and side.note == "nothing to compare: every clip is 'both'"


def test_controls_and_sweeps_are_no_part_of_the_balance() -> None:
    plan = whole_plan()
    dose = [row | {"design": "dose", "emotion": "anger"} for row in plan if row["race"] == "asian"]
    control = [row | {"design": "control", "control": "neutral", "emotion": None} for row in plan[:3]]
    found = association(contract([*plan, *dose, *control]), ["race"], draws=9)
    assert found.one(V, of="emotion", scope="planned").value == 0
    assert f"{len(dose) + 3} clips of controls and dose sweeps left out: they are no part of the balance" in found.notes


def test_what_was_not_made_or_scored_is_a_note() -> None:
    plan = [row | {"num_frames": None, "accepted": None} for row in whole_plan()]
    found = association(contract(plan), ["race"], draws=9)
    assert {f.scope for f in found.findings} == {"planned"}
    assert {"no clip was generated", "no clip was accepted: no clip of ws was scored yet"} <= set(found.notes)
    rejected = [row | {"accepted": False} for row in whole_plan()]
    assert "no clip was accepted: none was" in association(contract(rejected), ["race"], draws=9).notes


def test_variables_are_read_as_they_were_planned() -> None:
    units = [
        [{"au": 1, "side": "L", "intensity": "A"}, {"au": 2, "side": "B", "intensity": "D"}],
        [{"au": 1, "side": "R", "intensity": None}],
        [{"au": 1, "side": "L", "intensity": "B"}, {"au": 1, "side": "R", "intensity": "A"}],
        [{"au": 2, "side": "U", "intensity": "C"}],
        [{"au": 2, "side": "B", "intensity": "E"}],
        [],
        None,
    ]
    starts = [{"onset_ms": 10.0, "offset_ms": 10.0 + 7 * k, "apex_ms": None} for k in range(7)]
    data = contract([row | {"subject_id": "a", "action_units": own} for row, own in zip(starts, units, strict=True)])
    found = {v.name: [v.levels[c] if c >= 0 else None for c in v.code] for v in variables(data.table)}
    assert found["intensity"] == ["D", None, "B", "C", "E", None, None]
    assert found["side"] == ["left", "right", "left and right", "unsaid", "both", None, None]
    assert found["AU1"] == ["present", "present", "present", "absent", "absent", None, None]
    assert found["duration"] == [QUARTERS[k] for k in (0, 0, 1, 1, 2, 3, 3)]
    assert set(found["rise"]) == {None}
    sliced = variables(data.table.slice(2, 3))
    assert [v.code.tolist() for v in sliced if v.name == "AU1"] == [[1, 0, 0]]


def test_a_real_workspace_is_read(tmp_path: Path) -> None:
    make_workspace(tmp_path / "ws", subjects=4, groups=["plan", "tag"])
    found = association(open_rows(str(tmp_path / "ws"), COLUMNS), draws=9)
    emotion = found.one(V, of="emotion", by="gender", scope="planned")
    assert emotion.value is None and emotion.note == "fewer than two groups of 10 subjects or more have such clips"
    cell = found.one("NPMI", of="emotion fear", by="gender", group="female")
    assert (cell.value, cell.small, cell.clips, cell.subjects) == (0, True, 10, 2)
    assert "no clip was generated" in found.notes


# --- bad input


def said(found: Audit) -> None:
    """Every number is one, or has a reason."""
    assert all(f.value is not None or f.note for f in found.findings)
    assert all("\n" not in line for line in [*found.notes, *(f.note for f in found.findings)])
    found.lines()


def test_groups_of_few_are_shown_and_not_tested() -> None:
    data = biased(8)
    race = data.table["race"].to_pylist()
    race[:20] = ["black"] * 20
    data = file_rows(data.table["subject_id"].to_pylist(), race=race, emotion=data.table["emotion"].to_pylist())
    found = association(data, draws=19)
    assert found.one(V, of="emotion").subjects == 39
    assert found.one("NPMI", of="emotion fear", group="black").small
    assert "too few to take part in V and NMI by race: black (1 subjects)" in found.notes
    said(found)


@pytest.mark.parametrize(
    ("race", "emotion"),
    [
        (["asian"] * 40, ["fear", "anger"] * 20),
        (["asian", "white"] * 20, ["fear"] * 40),
        (["asian"] * 39 + [None], ["fear"] * 40),
        (["asian"] * 20 + ["white"] * 20, ["fear"] * 20 + [None] * 20),
        ([str(k) for k in range(40)], ["fear", "anger"] * 20),
    ],
)
def test_what_cannot_be_compared_has_a_reason(race: list[str | None], emotion: list[str | None]) -> None:
    found = association(file_rows(range(40), race=race, emotion=emotion), draws=9)
    assert all(f.value is None and f.p is None for f in found.where(of="emotion"))
    said(found)


def test_clips_of_nobody_and_without_a_label_are_left_out() -> None:
    data = biased(8).table
    more = pa.table(
        {"subject_id": pa.array([None, "x"], pa.string()), "race": ["asian", None], "emotion": ["fear"] * 2}
    )
    found = association(Rows("labels.csv", "file", pa.concat_tables([data, more])), draws=9)
    assert found.one(V, of="emotion").clips == 800
    assert "clips without a label, left out: 1 by race" in found.notes


def test_nothing_to_ask_is_one_line() -> None:
    with pytest.raises(EquimeError, match="expected clips with an emotion, units, times or a label, found none"):
        association(file_rows(["a"], race=["asian"]))
    with pytest.raises(EquimeError, match="name a column to group by"):
        association(file_rows(["a"], race=[None], emotion=["fear"]))
    with pytest.raises(EquimeError, match="no column 'lab'"):
        association(file_rows(["a"], race=["asian"], emotion=["fear"]), ["lab"])
    short = contract(whole_plan(2))
    with pytest.raises(EquimeError, match="expected the column 'num_frames'"):
        association(Rows("ws", "source", short.table.drop_columns(["num_frames"])))
    assert module.DRAWS > 20
