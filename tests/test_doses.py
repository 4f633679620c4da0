"""Thresholds of detection: isotonic rates against scikit-learn's, planted thresholds recovered, none invented."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equime import schema
from equime.audit.doses import MEASURED, RECOGNISED, doses, monotone, threshold
from equime.audit.result import Audit
from equime.audit.tables.answers import Answered
from equime.audit.tables.rows import Rows
from equime.errors import EquimeError

pytest.importorskip("sklearn")
from sklearn.isotonic import IsotonicRegression

Array = npt.NDArray[Any]
COUNTS = st.lists(
    st.integers(0, 30).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=5, max_size=5
)


@settings(deadline=None)
@given(COUNTS)
def test_monotone_rates_are_scikit_learns(found: list[tuple[int, int]]) -> None:
    hits, trials = np.array(found, float).T
    ours, there = monotone(hits, trials), trials > 0
    assert np.isnan(ours[~there]).all()
    if there.any():
        rates = hits[there] / trials[there]
        theirs = IsotonicRegression().fit_transform(np.arange(5)[there], rates, sample_weight=trials[there])
        assert ours[there] == pytest.approx(theirs, abs=1e-9)


@settings(deadline=None)
@given(COUNTS)
def test_a_threshold_is_where_the_line_crosses_the_half(found: list[tuple[int, int]]) -> None:
    counts = np.array(found, float)
    value, rates = float(threshold(counts)), monotone(counts[:, 0], counts[:, 1])
    there = ~np.isnan(rates)
    if not there.any():
        assert np.isnan(value)
    elif (rates[there] < 0.5).all():
        assert value == np.inf
    elif value == -np.inf:
        assert rates[there][0] > 0.5
    else:
        assert np.interp(value, np.arange(1, 6)[there], rates[there]) == pytest.approx(0.5)
    many = np.stack([counts, counts[::-1]])[:, None]
    assert threshold(many)[0, 0] == pytest.approx(value, nan_ok=True)


def test_thresholds_by_hand() -> None:
    def of(*rates: float) -> float:
        return float(threshold(np.array([(10 * rate, 10) for rate in rates])))

    assert of(0, 0.2, 0.4, 0.6, 1) == pytest.approx(3.5)
    assert of(0, 0.4, 0.2, 0.7, 1) == pytest.approx(3.5)  # .3 and .3, then .7
    assert of(0.5, 0.6, 0.7, 0.8, 1) == 1
    assert of(0, 0, 0.5, 0.5, 1) == 3
    assert of(0.6, 0.6, 0.7, 0.8, 1) == -np.inf
    assert of(0, 0, 0, 0, 0.4) == np.inf


def sweeps(subjects: int, at: dict[str, float], seed: int = 0, sd: float = 0.6) -> Rows:
    """Sweeps of people of whose race half are detected at a dose: a normal threshold of each clip's own."""
    rng = np.random.default_rng(seed)
    found: list[dict[str, Any]] = []
    for subject in range(subjects):
        race = sorted(at)[subject % len(at)]
        for emotion in schema.EMOTIONS:
            own = at[race] + sd * rng.standard_normal()
            found += [
                {
                    "clip_id": f"{emotion}/u_{subject}_{dose}",
                    "subject_id": str(subject),
                    "design": "dose",
                    "emotion": emotion,
                    "race": race,
                    "action_units": [
                        {"au": 12, "side": "B", "intensity": letter},
                        {"au": 6, "side": "B", "intensity": min(letter, "C")},
                    ],
                    "measured_apex_ms": 1000.0 if dose >= own else None,
                    "accepted": dose >= own,
                }
                for dose, letter in enumerate(schema.INTENSITIES, start=1)
            ]
    table = pa.Table.from_pylist(found)
    types = pa.list_(schema.ACTION_UNIT)
    return Rows("ws", "source", table.set_column(5, "action_units", table["action_units"].cast(types)))


def test_planted_thresholds_are_recovered_and_their_gap_found() -> None:
    found = doses(sweeps(300, {"asian": 2.2, "black": 3.4, "white": 2.2}), by=["race"])
    for race, planted in (("asian", 2.2), ("black", 3.4), ("white", 2.2)):
        one = found.one("threshold", by="race", group=race)
        assert one.of == MEASURED
        assert one.value == pytest.approx(planted, abs=0.15)
        assert one.low is not None and one.high is not None
        assert one.low <= one.value <= one.high
        assert one.high - one.low < 0.4
    gap = found.one("threshold gap", by="race")
    assert gap.p is not None and gap.p < 0.01
    assert gap.low is not None and gap.low <= 1.2 <= gap.high
    assert "highest: black" in gap.note
    rate = found.one("detected", of=f"{MEASURED}, C", by="race", group="white")
    assert rate.value == pytest.approx(0.909, abs=0.05)  # the normal distribution at .8 / .6
    assert (rate.clips, rate.subjects) == (500, 100)


def test_no_gap_raises_an_alarm_no_oftener_than_it_may() -> None:
    def alarm(found: Audit) -> bool:
        p = found.one("threshold gap", by="race").p
        return p is not None and p < 0.05

    at = {"asian": 2.5, "black": 2.5, "white": 2.5}
    raised = sum(alarm(doses(sweeps(36, at, seed), by=["race"])) for seed in range(100))
    assert raised <= 5 + 3 * np.sqrt(100 * 0.05 * 0.95)


def test_thresholds_outside_the_sweep_are_not_said() -> None:
    found = doses(sweeps(60, {"asian": -3.0, "black": 9.0, "white": 2.5}), by=["race"])
    below, above = (found.one("threshold", by="race", group=race) for race in ("asian", "black"))
    assert below.value is None and below.low is None and below.note == "the threshold lies below A"
    assert above.value is None and above.note == "the threshold lies above E"
    gap = found.one("threshold gap", by="race")
    assert gap.value == pytest.approx(4.0)
    assert "at least: 2 groups lie outside the sweep" in gap.note
    edge = doses(sweeps(20, {"asian": 1.05, "black": 1.05}), by=["race"]).one("threshold", by="race", group="asian")
    assert edge.value is None or "below A" in edge.note
    none = doses(sweeps(40, {"asian": 9.0, "black": 9.0}), by=["race"]).one("threshold gap", by="race")
    assert none.value is None and "no group" in none.note


def answered(rows: Rows, dose_needed: float, seeds: int = 2) -> Answered:
    """Right from a dose on, every second seed one dose later."""
    truth = np.array([schema.EMOTIONS.index(one) for one in rows.table["emotion"].to_pylist()])
    dose = np.array([int(name.rpartition("_")[2]) for name in rows.table["clip_id"].to_pylist()])
    said = [np.where(dose >= dose_needed + run, truth, (truth + 1) % 5) for run in range(seeds)]
    whole, runs = pa.concat_tables([rows.table] * seeds), np.repeat(np.arange(seeds), len(truth))
    told = np.concatenate(said)
    return Answered("a.csv", Rows("ws", "source", whole), np.tile(truth, seeds), told, None, schema.EMOTIONS, runs)


def test_recognition_is_a_detection_of_its_own() -> None:
    rows = sweeps(40, {"asian": 2.5, "black": 2.5})
    found = doses(rows, answered(rows, 3), ["race"])
    assert found.one("threshold", of=RECOGNISED, by="").value == pytest.approx(3.0)  # 0, 0, .5, 1, 1
    assert found.one("detected", of=f"{RECOGNISED}, C", by="").value == pytest.approx(0.5)
    assert found.one("threshold", of=MEASURED, by="").value == pytest.approx(2.5, abs=0.2)
    assert {name for finding in found.findings for name in (finding.name, finding.measure)} >= set(found.drawn)


def test_clips_that_nobody_scored_are_no_misses() -> None:
    rows = sweeps(40, {"asian": 2.5, "black": 2.5})
    part = np.array([int(subject) < 20 for subject in rows.subjects])
    verdict = pa.array(rows.table["accepted"].to_pylist(), mask=part)
    apex = pa.array(rows.table["measured_apex_ms"].to_pylist(), pa.float64(), mask=part)
    table = rows.table.set_column(7, "accepted", verdict).set_column(6, "measured_apex_ms", apex)
    found = doses(Rows("ws", "source", table), by=["race"])
    whole = doses(rows.chosen(~part), by=["race"])
    assert found.one("threshold", by="").value == whole.one("threshold", by="").value
    assert any("500 of 1,000 clips say nothing" in note for note in found.notes)
    nobody = table.set_column(7, "accepted", pa.array([None] * 1000, pa.bool_()))
    nobody = nobody.set_column(6, "measured_apex_ms", pa.array([None] * 1000, pa.float64()))
    with pytest.raises(EquimeError, match="scored or answered"):
        doses(Rows("ws", "source", nobody), by=["race"])


def test_without_a_sweep_and_with_few_people() -> None:
    rows = sweeps(12, {"asian": 2.5, "black": 2.5})
    balanced = rows.table.set_column(2, "design", pa.array(["balanced"] * len(rows)))
    with pytest.raises(EquimeError, match="no sweep of intensities: plan one"):
        doses(Rows("ws", "source", balanced))
    found = doses(rows, by=["race"])
    assert found.one("threshold", by="race", group="asian").small
    assert found.one("threshold gap", by="race").value is None
    one = doses(rows.chosen(np.array(rows.subjects) == "0"), by=["race"]).one("threshold", by="")
    assert one.low is None and one.subjects == 1
