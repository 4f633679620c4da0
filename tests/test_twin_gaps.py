"""Matched pairs: across less within against counts by hand, planted differences found, controls quiet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from equime import schema
from equime.audit.result import Audit
from equime.audit.tables.answers import Answered
from equime.audit.tables.rows import Rows, open_rows
from equime.audit.twins import Pairs, twins
from equime.errors import EquimeError

Array = npt.NDArray[Any]
CONTRASTS = ("race", "within", "gender", "within")


def clips(pairs: int, seed: int = 0, **columns: Any) -> Rows:
    """Pairs of people with a clip of each emotion; the first of a pair across races is asian, the second black."""
    rng = np.random.default_rng(seed)
    found: list[dict[str, Any]] = []
    for pair in range(pairs):
        contrast = CONTRASTS[pair % 4]
        for side in (0, 1):
            race = "black" if contrast == "race" and side else "asian"
            gender = "male" if contrast == "gender" and side else "female"
            found += [
                {
                    "clip_id": f"{emotion}/u_{pair}-{side}_1",
                    "subject_id": f"{pair}-{side}",
                    "emotion": emotion,
                    "twin_id": f"p{pair}-{emotion}",
                    "twin_contrast": contrast,
                    "race": race,
                    "gender": gender,
                }
                for emotion in schema.EMOTIONS
            ]
    order = rng.permutation(len(found))
    table = pa.Table.from_pylist([found[place] for place in order])
    for name, make in columns.items():
        table = table.append_column(name, make(table, rng))
    return Rows("ws", "source", table)


def answers(rows: Rows, missed: dict[str, float], seeds: int = 1, seed: int = 0) -> Answered:
    """Answers with the probability .8 on the truth, and on another emotion for this share of a race's clips."""
    rng, table = np.random.default_rng(seed), rows.table
    truth = np.array([schema.EMOTIONS.index(emotion) for emotion in table["emotion"].to_pylist()])
    share = np.array([missed.get(race, 0.1) for race in table["race"].to_pylist()])
    said = np.concatenate([np.where(rng.random(len(truth)) < share, (truth + 1) % 5, truth) for _ in range(seeds)])
    probabilities = np.full((len(said), 5), 0.05)
    probabilities[np.arange(len(said)), said] = 0.8
    whole = pa.concat_tables([table] * seeds)
    runs = np.repeat(np.arange(seeds), len(truth))
    return Answered(
        "a.csv", Rows("ws", "source", whole), np.tile(truth, seeds), said, probabilities, schema.EMOTIONS, runs
    )


def by_hand(rows: Rows, some: Answered, contrast: str) -> tuple[float, float]:
    """The flip rate and the mean total variation of the pairs of a contrast, one after the other."""
    ids = {name: place for place, name in enumerate(rows.table["clip_id"].to_pylist())}
    flips, shifts = [], []
    for row in rows.table.to_pylist():
        if row["twin_contrast"] == contrast and row["subject_id"].endswith("-0"):
            one, other = ids[row["clip_id"]], ids[row["clip_id"].replace("-0_", "-1_")]
            flips.append(some.predicted[one] != some.predicted[other])
            shifts.append(0.5 * np.abs(some.probabilities[one] - some.probabilities[other]).sum())
    return float(np.mean(flips)), float(np.mean(shifts))


def test_means_are_those_counted_by_hand() -> None:
    rows = clips(80)
    some = answers(rows, {"black": 0.5})
    found = twins(rows, some)
    for contrast in ("race", "gender", "within"):
        flip, shift = by_hand(rows, some, contrast)
        one = found.one("flip rate", group=contrast)
        assert one.value == pytest.approx(flip)
        assert found.one("probability shift", group=contrast).value == pytest.approx(shift)
        assert one.low is not None and one.low <= flip <= one.high
    race, within = (by_hand(rows, some, contrast)[0] for contrast in ("race", "within"))
    excess = found.one("excess", of="flip rate", by="race")
    assert excess.value == pytest.approx(race - within)
    assert excess.note.startswith("100 pairs (race), 200 within")
    across = found.one("flip rate", group="across")
    assert (across.clips, across.subjects) == (400, 80)
    assert across.value == pytest.approx((race + by_hand(rows, some, "gender")[0]) / 2)


def test_a_planted_difference_is_found() -> None:
    rows = clips(400)
    found = twins(rows, answers(rows, {"black": 0.4}, seeds=2))
    race = found.one("excess", of="flip rate", by="race")
    assert race.p is not None and race.p < 0.01
    assert race.reference == pytest.approx(0, abs=0.02)
    shift = found.one("shift of the true class", of="black less asian", by="race")
    assert shift.p is not None and shift.p < 0.01


def test_intervals_cover_what_was_planted_and_the_other_contrast_is_quiet() -> None:
    # A pair flips where one clip of two is missed: .1 x .6 + .9 x .4 = .42, within .18. Missed clips, .3 more of
    # them, have .05 in place of .8 on the truth.
    planted = {("excess", "flip rate"): 0.24, ("shift of the true class", "black less asian"): -0.225}
    covered, quiet = dict.fromkeys(planted, 0), 0
    for seed in range(40):
        rows = clips(120, seed)
        found = twins(rows, answers(rows, {"black": 0.4}, seed=seed))
        for (measure, of), value in planted.items():
            one = found.one(measure, of=of, by="race")
            covered[measure, of] += one.low is not None and one.high is not None and one.low <= value <= one.high
        quiet += all(one.p is None or one.p >= 0.05 for one in found.where(by="gender"))
    assert min(covered.values()) >= 34
    assert quiet >= 34


def alarms(found: Audit) -> bool:
    return any(finding.p is not None and finding.p < 0.05 for finding in found.findings)


def test_nothing_planted_raises_an_alarm_no_oftener_than_it_may() -> None:
    raised = 0
    for seed in range(100):
        rows = clips(60, seed)
        raised += alarms(twins(rows, answers(rows, {}, seed=seed)))
    assert raised <= 5 + 3 * np.sqrt(100 * 0.05 * 0.95)


def test_pairs_whose_clips_are_alike_are_one_draw_each() -> None:
    """A pair flips in all its emotions or in none: drawn by clips, intervals would be sqrt(5) too narrow."""
    rows = clips(200)
    some = answers(rows, {"black": 0.0, "asian": 0.0})
    pair = np.array([int(one.partition("-")[0]) for one in rows.subjects])
    second = np.array([one.endswith("-1") for one in rows.subjects])
    flips = second & (np.random.default_rng(0).random(200) < 0.3)[pair]
    some.predicted[flips] = (some.predicted[flips] + 1) % 5
    found = twins(rows, some).one("flip rate", group="within")
    assert found.value is not None and found.low is not None and found.high is not None
    width = 2 * 1.96 * np.sqrt(found.value * (1 - found.value) / 100)
    assert found.high - found.low == pytest.approx(width, rel=0.2)


def measured(table: pa.Table, rng: np.random.Generator) -> pa.Array:
    black = np.array(table["race"].to_pylist()) == "black"
    values = 2 + rng.normal(0, 0.3, len(table)) - 1.0 * black
    return pa.array(values.astype(np.float32), mask=rng.random(len(table)) < 0.05)


def test_what_was_measured_on_the_clips() -> None:
    rows = clips(
        160,
        amplitude=measured,
        accepted=lambda table, rng: pa.array(rng.random(len(table)) < 0.8),
        apex_ms=lambda table, _: pa.array([1000.0] * len(table)),
        measured_apex_ms=lambda table, rng: pa.array(1000 + rng.normal(0, 40, len(table))),
        identity=lambda table, _: pa.array([None] * len(table), pa.float32()),
    )
    found = twins(rows)
    amplitude = found.one("excess", of="difference of amplitude", by="race")
    # |N(1, .3 sqrt 2)| less |N(0, .3 sqrt 2)|
    assert amplitude.value == pytest.approx(1.0 - 0.3 * np.sqrt(2) * np.sqrt(2 / np.pi), abs=0.08)
    assert amplitude.p is not None and amplitude.p < 0.01
    assert found.one("difference of apex error", group="within").value == pytest.approx(
        40 * np.sqrt(2 * 2 / np.pi), rel=0.1
    )
    assert found.one("acceptance differs", group="within").value == pytest.approx(0.32, abs=0.06)
    assert found.one("excess", of="acceptance differs", by="race").p > 0.05
    assert not found.where(measure="difference of identity")
    assert any("difference of amplitude" in note and "left out" in note for note in found.notes)
    assert not any("nothing was measured" in note for note in found.notes)


def test_signed_shifts_by_the_labels_asked_for() -> None:
    rows = clips(80)
    table = rows.table
    race = pa.array(["asian"] * len(table))
    relabelled = Rows("ws", "tag", table.set_column(table.column_names.index("race"), "race", race))
    found = twins(relabelled, answers(rows, {"black": 0.4}))
    assert not found.where(measure="shift of the true class", by="race")
    assert "100 pairs planned across race have one label of it now: in no signed shift" in found.notes
    assert found.one("excess", of="flip rate", by="race").value is not None


def test_components_are_scipys() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        who = rng.integers(0, 40, (30, 2))
        pairs = Pairs(np.zeros(30, int), np.zeros(30, int), who, np.array(["race"] * 30))
        linked = connected_components(coo_array((np.ones(30), (who[:, 0], who[:, 1])), shape=(40, 40)), directed=False)
        theirs = linked[1][who[:, 0]]
        ours = pairs.component
        assert len(set(zip(ours.tolist(), theirs.tolist(), strict=True))) == len(set(theirs.tolist())) == ours.max() + 1


def test_chained_pairs_are_one_draw_and_have_no_interval() -> None:
    rows = clips(40)
    table = rows.table
    chained = ["hub" if one.endswith("-0") else one for one in rows.subjects]
    linked = Rows(
        "ws", "source", table.set_column(table.column_names.index("subject_id"), "subject_id", pa.array(chained))
    )
    found = twins(linked, answers(rows, {}))
    assert all(finding.p is None and finding.low is None for finding in found.findings)
    assert found.one("flip rate", group="within").value is not None
    assert any("nothing can be drawn" in note for note in found.notes)


def test_lost_and_odd_twins_are_counted() -> None:
    rows = clips(40)
    names = rows.table["clip_id"].to_pylist()
    lost = rows.chosen(np.array([name != "fear/u_0-1_1" for name in names]))
    found = twins(lost, answers(rows, {}))
    assert "1 clips have lost their twin and are left out" in found.notes
    some = answers(rows, {})
    part = np.array([name != "fear/u_0-1_1" for name in names])
    fewer = Answered(
        "a.csv", some.rows.chosen(part), some.truth[part], some.predicted[part], None, some.classes, some.seeds[part]
    )
    assert "flip rate: 1 pairs lack it in one of their clips and are left out" in twins(rows, fewer).notes
    odd = pa.array(
        [
            "race" if name == "fear/u_1-1_1" else c
            for name, c in zip(names, rows.table["twin_contrast"].to_pylist(), strict=True)
        ]
    )
    place = rows.table.column_names.index("twin_contrast")
    other = Rows("ws", "source", rows.table.set_column(place, "twin_contrast", odd))
    assert (
        "1 twin ids are not of two clips of two subjects with one contrast, and are left out"
        in twins(other, some).notes
    )


def test_one_pair_of_people_has_no_interval() -> None:
    """What it would vary by nobody knows, however many pairs within a group it is held against."""
    rows = clips(40)
    contrast = rows.table["twin_contrast"].to_pylist()
    who = rows.subjects
    first = next(k for k, name in enumerate(contrast) if name == "race")
    twin = rows.table["twin_id"].to_pylist()
    alone = {who[k] for k, name in enumerate(twin) if name == twin[first]}
    kept = [name == "within" or subject in alone for name, subject in zip(contrast, who, strict=True)]
    some = rows.chosen(np.array(kept))
    excess = twins(some, answers(rows, {})).one("excess", of="flip rate", by="race")
    assert excess.small and excess.value is not None and excess.low is excess.high is None


def test_without_pairs_or_without_a_control(tmp_path: Path) -> None:
    rows = clips(40)
    none = rows.table.set_column(3, "twin_id", pa.array([None] * len(rows), pa.string()))
    with pytest.raises(EquimeError, match=r"ws has no pairs of clips: plan some"):
        twins(Rows("ws", "source", none))
    across = rows.chosen(np.array(rows.table["twin_contrast"].to_pylist()) != "within")
    excess = twins(across, answers(rows, {})).one("excess", of="flip rate", by="race")
    assert excess.value is None and "0 within" in excess.note
    quiet = twins(rows)
    assert not quiet.findings
    assert any("nothing was measured" in note for note in quiet.notes)
    (tmp_path / "people.csv").write_text("race\nasian\n")
    with pytest.raises(EquimeError, match="expected the column 'twin_id'"):
        twins(open_rows(str(tmp_path / "people.csv")))
