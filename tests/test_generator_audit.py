"""The audit of the generator: planted differences are found at their size, none where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from equime import schema
from equime.audit.generator import COLUMNS, generator, measures
from equime.audit.measures.means import GAP, by_groups, gap, tallied
from equime.audit.measures.resampling import means
from equime.audit.tables.groups import Groups, groups, whose
from equime.audit.tables.rows import Rows
from equime.errors import EquimeError
from equime.quality.clip_columns import gates
from equime.quality.study import study

RACES = ("asian", "black", "white")


def made(people: int = 90, clips: int = 5, seed: int = 0, **changed: Any) -> Rows:
    """Scored clips of people of three races and two genders, with nothing that depends on either."""
    rng, n = np.random.default_rng(seed), people * clips
    who = np.repeat(np.arange(people), clips)
    onset = rng.uniform(500, 3000, n)
    apex, offset = onset + rng.uniform(90, 200, n), onset + rng.uniform(250, 480, n)
    measured = rng.random(n) < 0.9
    times = {"onset_ms": onset, "apex_ms": apex, "offset_ms": offset}
    found = {f"measured_{k}": np.where(measured, v + rng.normal(0, 30, n), np.nan) for k, v in times.items()}
    accepted = rng.random(n) < 0.8 + rng.normal(0, 0.05, people)[who]
    units = [[{"au": 12, "side": side, "intensity": "C"}] for side in rng.choice(["L", "R", "B", "U"], n)]
    columns: dict[str, Any] = {
        "subject_id": [f"s{k}" for k in who],
        "race": [RACES[k % 3] for k in who],
        "gender": [("female", "male")[k // 3 % 2] for k in who],
        "emotion": [schema.EMOTIONS[k % 5] for k in range(n)],
        "control": [None] * n,
        "design": ["balanced"] * n,
        "sha256": ["0"] * n,
        "generate_error": [None] * n,
        "score_error": [None] * n,
        "action_units": units,
        "measured_side": rng.choice(["L", "R", "B"], n).tolist(),
        "accepted": accepted.tolist(),
        "reject_reasons": [[] if a else ["moved 0.4 times the noise (min_signal_to_noise 2.0)"] for a in accepted],
        **times,
        **found,
        "amplitude": rng.normal(0.01, 0.002, n),
        "identity": rng.normal(0.9, 0.02, n),
        "unit_fidelity": rng.random(n),
    } | changed
    types = {**{name: schema.METADATA.field(name).type for name in COLUMNS}, "subject_id": pa.string()}
    arrays = {k: pa.array(v, types.get(k, pa.string()), from_pandas=True) for k, v in columns.items()}
    return Rows("made", "source", pa.table(arrays))


def changed(rows: Rows, **columns: Any) -> Rows:
    """The same rows with other columns."""
    fields = {k: pa.array(v, rows.table.schema.field(k).type, from_pandas=True) for k, v in columns.items()}
    return Rows(rows.name, rows.labels, pa.table({k: fields.get(k, rows.table[k]) for k in rows.table.column_names}))


def of_race(rows: Rows, race: str) -> np.ndarray:
    return np.array(rows.table["race"].to_pylist()) == race


# --- what is planted is found


def test_an_acceptance_that_differs_by_group_is_found_at_its_size() -> None:
    rng, rows = np.random.default_rng(3), made(240)
    accepted = rng.random(len(rows)) < np.where(of_race(rows, "black"), 0.6, 0.85)
    audit = generator(changed(rows, accepted=accepted), ["race"])
    found = audit.one(GAP, of="accepted", by="race")
    assert found.low <= 0.25 <= found.high and found.p <= 0.002
    assert found.value == pytest.approx(0.25, abs=0.08) and found.reference < 0.08
    shares = [audit.one("accepted", by="race", group=race).value for race in RACES]
    assert found.value == pytest.approx(max(shares) - min(shares))
    quiet = [f.p for f in audit.where(measure=GAP) if f.of not in ("accepted",) and not f.of.startswith("rejected")]
    assert min(quiet) > 0.05
    lost = audit.one("accepted minus planned", group="black")
    assert lost.value < 0 and lost.high < 0
    assert lost.value == pytest.approx(100 * (0.6 / (0.6 + 2 * 0.85) - 1 / 3), abs=3)


def test_a_late_apex_for_one_group_is_found_in_ms() -> None:
    rows = made(150)
    late = np.asarray(rows.table["apex_ms"]) + np.where(of_race(rows, "asian"), 50.0, 10.0)
    found = generator(changed(rows, measured_apex_ms=late), ["race"])
    assert found.one("apex error, ms", group="asian").value == pytest.approx(50)
    assert found.one("apex error, ms", group="white").value == pytest.approx(10)
    assert found.one(GAP, of="apex error, ms").value == pytest.approx(40)
    assert found.one(GAP, of="apex error, ms").p < 0.01
    assert found.one(GAP, of="amplitude").p > 0.05


@pytest.mark.parametrize("true", [0.0, 0.15])
def test_the_interval_of_a_gap_covers_the_true_one(true: float) -> None:
    hits, runs = 0, 60
    for seed in range(runs):
        rows, rng = made(120, 4, seed), np.random.default_rng(1000 + seed)
        chance = np.where(of_race(rows, "black"), 0.75 - true, 0.75) + rng.normal(0, 0.1, 120)[whose(rows)[0]]
        values = (rng.random(len(rows)) < chance).astype(float)
        found = by_groups(rows, {"hit": values}, [groups(rows, "race")])[-1]
        hits += found.low <= true <= found.high
    assert hits >= 0.9 * runs


def test_where_nothing_differs_false_alarms_come_at_their_level() -> None:
    alarms = 0
    for seed in range(60):
        found = generator(made(60, 3, seed), ["race", "gender"]).where(measure=GAP)
        alarms += min(f.p for f in found if f.p is not None) <= 0.05
    assert alarms <= 8  # 3 are to be expected; more than 8 come once in 200


# --- against other ways to count


def test_it_says_what_the_study_of_measures_says() -> None:
    rows = made(30)
    audit = generator(rows, ["gender"])
    shapes = rows.table.rename_columns({"race": "source_race", "gender": "source_gender"}).to_pylist()
    oracle = study(shapes)
    names = {
        "measured": "measured",
        "accepted": "accepted",
        "side right": "side",
        "apex error, ms": "apex error, mean ms",
        "duration error, ms": "duration error, mean ms",
    }
    for group, title in (("", "all"), ("female", "gender female"), ("male", "gender male")):
        for ours, theirs in names.items():
            figure = oracle.figures[title][theirs]
            found = audit.one(ours, group=group)
            assert found.value == pytest.approx(figure.value) and found.clips == figure.clips, (ours, group)
        rejected = audit.one("rejected by min_signal_to_noise", group=group)
        assert round(rejected.value * rejected.clips) == oracle.reasons[title]["min_signal_to_noise"]


def test_gates_are_named_as_elsewhere() -> None:
    reasons = ["moved 0.4 times the noise (min_signal_to_noise 2.0)"]
    assert gates({"reject_reasons": reasons}) == ("min_signal_to_noise",)


def test_means_and_gaps_in_closed_form() -> None:
    table = pa.table({"subject_id": ["a", "a", "b", "c"], "race": ["x", "x", "y", None]})
    rows = Rows("r", "file", table)
    by = groups(rows, "race")
    counts = tallied({"v": np.array([1.0, np.nan, 4.0, 9.0])}, whose(rows)[0], by)
    assert counts.shape == (3, 2, 1, 2)
    assert means(counts.sum(0))[:, 0].tolist() == [1.0, 4.0]
    values = np.array([[1.0], [5.0], [np.nan]])
    assert gap(values, np.ones((3, 1), bool)).tolist() == [4.0]
    assert np.isnan(gap(values, np.array([[True], [False], [True]]))).all()


def test_one_person_in_two_groups_counts_once_in_each() -> None:
    rows = made(40, 4)
    views = ["front" if k % 2 else "side" for k in range(len(rows))]
    by = groups(Rows("r", "file", rows.table.append_column("view", pa.array(views))), "view")
    values = np.where(by.member == 0, 1.0, 0.0)
    found = by_groups(rows, {"v": values}, [by], ordinary=False)
    assert [f.subjects for f in found if f.group] == [40, 40]
    assert found[-1].value == 1 and found[-1].p == pytest.approx(0.001)


def test_the_side_is_that_which_all_units_share() -> None:
    told = [["L"], ["L", "R"], ["R", "R"], ["U"], []]
    units = [[{"au": 12, "side": side, "intensity": None} for side in sides] for sides in told]
    rows = made(1, 5, action_units=units, measured_side=["L", "L", None, "L", "B"], accepted=[True] * 5)
    found = measures(rows.table)["side right"]
    assert found[0] == 1 and found[2] == 0 and np.isnan(found[[1, 3, 4]]).all()


# --- selection, and who is left out


def test_shares_as_planned_generated_and_accepted() -> None:
    rows = made(4, 5)
    female = np.array(rows.table["gender"].to_pylist()) == "female"
    assert female.tolist() == [True] * 15 + [False] * 5
    failed = [*[None] * 19, "no face"]
    accepted = [*[True] * 19, None]
    refill = ["refill" if k == 0 else "balanced" for k in range(20)]
    audit = generator(changed(rows, generate_error=failed, accepted=accepted, design=refill), ["gender"])
    share = {f.of: f.value for f in audit.where(measure="share", group="female")}
    assert share == {"planned clips": 14 / 19, "generated clips": 15 / 19, "accepted clips": 15 / 19}
    assert audit.one("accepted minus planned", group="female").value == pytest.approx(100 / 19)  # by the refill
    assert audit.one("failed", group="male").value == pytest.approx(1 / 5)
    assert audit.one("accepted", group="male").value == pytest.approx(4 / 5)  # what failed is not accepted
    assert audit.one("measured", group="male").clips == 4


def test_controls_and_dose_sweeps_are_left_out() -> None:
    rows = made(20)
    control = ["neutral"] * 3 + [None] * (len(rows) - 3)
    design = ["balanced"] * 3 + ["dose"] * 4 + ["balanced"] * (len(rows) - 7)
    audit = generator(changed(rows, control=control, design=design), ["race"])
    assert audit.one("accepted", group="", by="").clips == len(rows) - 7


def test_small_groups_are_shown_and_take_no_part() -> None:
    rows = made(40)
    race = ["indian" if who == "s0" else label for who, label in zip(rows.subjects, _race(rows), strict=True)]
    audit = generator(changed(rows, race=race, amplitude=np.where(np.array(race) == "indian", 9.0, 0.01)), ["race"])
    assert audit.one("amplitude", group="indian").small and audit.one("amplitude", group="indian").value == 9
    assert audit.one(GAP, of="amplitude").value == 0
    few = generator(made(12), ["race"])
    (none,) = few.where(measure=GAP)
    assert none.value is None and "fewer than two" in none.note
    assert "fewer than two" in "\n".join(few.lines())


def test_tables_fit_the_terminal_and_hold_every_measure_that_is_drawn() -> None:
    audit = generator(made(40, skin=["dark", "light"] * 100))
    for width in (80, 120, 400):
        lines = audit.lines(width)
        place = lines.index("[race, labels: source]")
        table = lines[place : next(k for k in range(place, len(lines)) if "chance or target" in lines[k])]
        assert max(map(len, table)) <= width
        assert all(any(name in line for line in table) for name in audit.drawn if audit.where(measure=name))
        assert sum(line.startswith("black") for line in table) == {80: 3, 120: 2, 400: 1}[width]
    assert "[skin]" in audit.lines()  # it is measured, whoever labels people


def _race(rows: Rows) -> list[str]:
    found: list[str] = rows.table["race"].to_pylist()
    return found


def test_glasses_are_grouped_by_where_somebody_has_them() -> None:
    rows = made(60)
    worn = pa.array(["glasses" if int(s[1:]) % 4 == 0 else "no glasses" for s in rows.subjects])
    audit = generator(Rows("r", "source", rows.table.append_column("glasses", worn)))
    assert {f.by for f in audit.where(measure=GAP)} == {"race", "gender", "gender+race", "glasses"}
    assert any(note.startswith("not grouped by skin") for note in audit.notes)


@pytest.mark.parametrize("absent", ["amplitude", "reject_reasons", "measured_side", "score_error"])
def test_an_absent_column_counts_as_null(absent: str) -> None:
    rows = made(24)
    audit = generator(Rows("r", "source", rows.table.drop_columns([absent])), ["gender"])
    assert audit.one("accepted", group="").clips == len(rows)


def test_clips_that_are_not_scored_yet_are_told() -> None:
    rows = made(24)
    half = [a if k % 2 else None for k, a in enumerate(rows.table["accepted"].to_pylist())]
    audit = generator(changed(rows, accepted=half), ["gender"])
    assert any(note.startswith("60 of 120 clips are not scored yet") for note in audit.notes)
    assert audit.one("accepted", group="").clips == 60
    unscored: Mapping[str, Any] = {"accepted": [None] * 120, "reject_reasons": [None] * 120}
    only = generator(changed(rows, **unscored), ["gender"])
    (gone,) = only.where(measure="accepted minus planned", group="male")
    assert gone.value is None and gone.note


def test_infinite_values_are_no_values() -> None:
    rows = made(24)
    audit = generator(changed(rows, identity=[np.inf, *[0.5] * 119]), ["gender"])
    assert audit.one("identity", group="").value == pytest.approx(0.5)
    assert audit.one("identity", group="").clips == 119


def test_what_cannot_be_asked_says_so_in_a_line() -> None:
    rows = made(12)
    with pytest.raises(EquimeError, match="plans no expression"):
        generator(changed(rows, control=["neutral"] * 60), ["race"])
    empty = {name: [None] * 60 for name in COLUMNS if name not in ("emotion", "control", "design", "action_units")}
    present = {name: values for name, values in empty.items() if name in rows.table.column_names}
    with pytest.raises(EquimeError, match="after `equime generate`"):
        generator(changed(rows, **present), ["race"])
    with pytest.raises(EquimeError, match="no column 'tribe'"):
        generator(rows, ["tribe"])


def test_groups_are_of_the_same_rows() -> None:
    rows = made(12)
    found = by_groups(rows, {"v": np.ones(60)}, [Groups("race", ("a",), np.full(60, -1))])
    assert found[0].clips == 60 and found[-1].value is None
