"""Scores and gaps by group against fairlearn and scikit-learn; planted gaps found, and no alarm where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from equime import metrics
from equime.audit.measures.group_scores import CRITERIA, SCORES
from equime.audit.performance import performance
from equime.audit.result import Audit
from equime.audit.tables.answers import Answered
from equime.audit.tables.rows import Rows
from equime.errors import EquimeError

pytest.importorskip("fairlearn")
from fairlearn.metrics import (
    MetricFrame,
    demographic_parity_difference,
    equal_opportunity_difference,
    equalized_odds_difference,
)
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, recall_score

Array = npt.NDArray[Any]
CLASSES = ("calm", "glad", "odd")


def answered(truth: Array, predicted: Array, people: Array, seeds: Array | None = None, **columns: Array) -> Answered:
    """Answers as `read_answers` gives them; columns are of labels of the answers."""
    table = pa.table({"subject_id": [f"s{one}" for one in people], **{k: v.tolist() for k, v in columns.items()}})
    runs = np.zeros(len(truth), np.int64) if seeds is None else seeds
    classes = CLASSES[: max(2, int(max(truth.max(), predicted.max())) + 1)]
    return Answered("answers.csv", Rows("answers.csv", "file", table), truth, predicted, None, classes, runs)


def drawn(subjects: int, clips: int, seed: int, right: float = 0.6, classes: int = 3, spread: float = 0.0) -> Answered:
    """Answers right this often, of people in groups that say nothing; `spread`: people differ that much."""
    rng = np.random.default_rng(seed)
    people = np.repeat(np.arange(subjects), clips)
    race, gender = np.array(["asian", "black", "white"]), np.array(["female", "male"])
    own = np.clip(right + spread * rng.standard_normal(subjects), 0, 1)[people]
    truth = rng.integers(0, classes, len(people))
    predicted = np.where(rng.random(len(people)) < own, truth, rng.integers(0, classes, len(people)))
    labels = {"race": race[np.arange(subjects) % 3][people], "gender": gender[rng.integers(0, 2, subjects)][people]}
    return answered(truth, predicted, people, **labels)


def gap_of(found: Audit, measure: str, **of: str) -> Any:
    return found.one(measure, group="", **of)


# --- against others


@pytest.mark.parametrize("by", ["race", "gender", "gender+race"])
def test_every_score_of_every_group_is_fairlearns(by: str) -> None:
    some = drawn(120, 4, seed=1)
    table = some.rows.table
    who = {name: table[name].to_pylist() for name in by.split("+")}

    def uf1(true: Array, said: Array) -> float:
        return float(f1_score(true, said, labels=np.unique(true), average="macro", zero_division=0))

    theirs = {"UF1": uf1, "UAR": balanced_accuracy_score, "accuracy": accuracy_score}
    frame = MetricFrame(metrics=theirs, y_true=some.truth, y_pred=some.predicted, sensitive_features=who)
    found = performance(some, [by])
    for labels, expected in frame.by_group.iterrows():
        group = labels if isinstance(labels, str) else ", ".join(labels)
        for score in SCORES:
            assert found.one(score, by=by, group=group).value == pytest.approx(expected[score], abs=1e-12)
    for score, largest in frame.difference().items():
        assert gap_of(found, "gap", of=score, by=by).value == pytest.approx(largest, abs=1e-12)
        assert gap_of(found, "ratio", of=score, by=by).value == pytest.approx(frame.ratio()[score], abs=1e-12)
        assert gap_of(found, "worst group", of=score, by=by).value == pytest.approx(frame.group_min()[score], abs=1e-12)
    for group in np.unique(table["race"].to_pylist()) if by == "race" else ():
        inside = np.array(table["race"].to_pylist()) == group
        each = recall_score(some.truth[inside], some.predicted[inside], average=None)
        for name, recall in zip(CLASSES, each, strict=True):
            assert found.one("recall", of=name, by=by, group=group).value == pytest.approx(recall)


@pytest.mark.parametrize("classes", [2, 3])
def test_criteria_are_fairlearns_one_class_against_the_rest(classes: int) -> None:
    some = drawn(90, 5, seed=2, classes=classes)
    race = some.rows.table["race"].to_pylist()
    theirs = (equal_opportunity_difference, equalized_odds_difference, demographic_parity_difference)
    found = performance(some, ["race"])
    for name, theirs_of in zip(CRITERIA, theirs, strict=True):
        each = [theirs_of(some.truth == k, some.predicted == k, sensitive_features=race) for k in range(classes)]
        assert gap_of(found, name, by="race").value == pytest.approx(max(each), abs=1e-12)


def test_guesses_stand_beside_and_a_constant_answer_is_flagged() -> None:
    some = drawn(60, 4, seed=3)
    constant = answered(some.truth, np.full_like(some.truth, 1), np.repeat(np.arange(60), 4))
    constant = answered(
        some.truth, constant.predicted, np.repeat(np.arange(60), 4), race=np.array(some.rows.table["race"].to_pylist())
    )
    found = performance(constant, ["race"])
    support = np.bincount(some.truth)
    best, random = metrics.majority(support), metrics.stratified(support)
    whole = found.one("UF1", by="")
    assert whole.reference == pytest.approx(max(best.uf1, random.uf1))
    assert f"always {CLASSES[support.argmax()]} scores {best.uf1:.3f}, drawn classes {random.uf1:.3f}" in whole.note
    assert "collapsed" in whole.note
    assert "collapsed" in found.one("UF1", by="race", group="asian").note
    assert "collapsed" not in performance(some, ["race"]).one("UF1", by="").note
    assert found.one("answered", of="glad", by="race", group="black").value == 1
    assert found.one("recall", of="calm", by="").reference == pytest.approx(support[0] / support.sum())


def test_seeds_are_averaged_and_clips_counted_once() -> None:
    parts = [drawn(40, 3, seed=4), drawn(40, 3, seed=4)]
    other = np.roll(parts[1].predicted, 1)
    both = answered(
        np.tile(parts[0].truth, 2),
        np.concatenate([parts[0].predicted, other]),
        np.tile(np.repeat(np.arange(40), 3), 2),
        np.repeat([0, 1], 120),
        race=np.tile(np.array(parts[0].rows.table["race"].to_pylist()), 2),
    )
    found = performance(both, ["race"])
    expected = [f1_score(parts[0].truth, said, average="macro") for said in (parts[0].predicted, other)]
    assert found.one("UF1", by="").value == pytest.approx(np.mean(expected))
    assert found.one("UF1", by="").clips == 120
    assert gap_of(found, "gap", of="UF1", by="race").clips == 120
    unfinished = answered(
        both.truth[:-1], both.predicted[:-1], np.tile(np.repeat(np.arange(40), 3), 2)[:-1], both.seeds[:-1]
    )
    with pytest.raises(EquimeError, match="every seed to answer the same clips"):
        performance(Answered(**vars(unfinished) | {"rows": both.rows.chosen(np.arange(240) < 239)}), ["race"])


# --- what is there is found


def planted(gap: float, seed: int = 5) -> Answered:
    """People of whom those of one race are answered this much worse."""
    rng = np.random.default_rng(seed)
    people = np.repeat(np.arange(600), 5)
    race = np.array(["asian", "black", "white"])[np.arange(600) % 3][people]
    truth = rng.integers(0, 3, len(people))
    right = rng.random(len(people)) < 0.8 - gap * (race == "black")
    wrong = (truth + rng.integers(1, 3, len(people))) % 3
    return answered(truth, np.where(right, truth, wrong), people, race=race, gender=np.tile(["female", "male"], 1500))


def test_a_planted_gap_is_found_with_its_size_and_its_group() -> None:
    found = performance(planted(0.2), ["race"])
    for name in SCORES:
        gap = gap_of(found, "gap", of=name, by="race")
        assert gap.p is not None and gap.p < 0.01
        assert gap.low is not None and gap.high is not None and gap.value is not None
        assert gap.low <= 0.2 <= gap.high
        assert gap.reference is not None and gap.reference < 0.06 < gap.low
        assert "lowest: black" in gap.note
        assert "black" in gap_of(found, "worst group", of=name, by="race").note
    assert gap_of(found, "ratio", of="accuracy", by="race").value == pytest.approx(0.6 / 0.8, abs=0.04)
    assert gap_of(found, "equal opportunity", by="race").p < 0.01


def test_the_interval_of_a_gap_covers_it_and_holds_zero_where_there_is_none() -> None:
    shown = [gap_of(performance(planted(0.1, seed), ["race"]), "gap", of="accuracy", by="race") for seed in range(40)]
    assert sum(one.low <= 0.1 <= one.high for one in shown) >= 36
    none = [gap_of(performance(planted(0.0, seed), ["race"]), "gap", of="accuracy", by="race") for seed in range(40)]
    assert sum(one.low == 0 for one in none) >= 35


def alarms(found: Audit) -> bool:
    return any(finding.p is not None and finding.p < 0.05 for finding in found.findings)


def test_null_data_raise_an_alarm_no_oftener_than_they_may() -> None:
    raised = [alarms(performance(drawn(45, 2, seed), ["race", "gender"])) for seed in range(200)]
    # 5 % of 200 and three standard deviations.
    assert sum(raised) <= 10 + 3 * np.sqrt(200 * 0.05 * 0.95)


def test_people_who_differ_are_no_groups_that_differ() -> None:
    """Clips drawn as if independent would alarm in most of these."""
    clustered = [drawn(30, 30, seed, spread=0.35) for seed in range(40)]
    assert sum(alarms(performance(some, ["race"])) for some in clustered) <= 6
    naive = []
    for some in clustered:
        rows = pa.table({"subject_id": [str(n) for n in range(900)], "race": some.rows.table["race"]})
        naive.append(alarms(performance(Answered(**vars(some) | {"rows": Rows("", "file", rows)}), ["race"])))
    assert sum(naive) > 20


# --- what cannot be said


def test_small_groups_are_shown_and_not_compared() -> None:
    some = planted(0.2)
    race = np.array(some.rows.table["race"].to_pylist(), object)
    race[:15], race[15:20], race[20:25] = "indian", "latino hispanic", None  # three people, one, none
    found = performance(Answered(**vars(some) | {"rows": relabelled(some, race)}), ["race"])
    few = found.one("UF1", by="race", group="indian")
    assert few.small and few.subjects == 3
    lone = found.one("accuracy", by="race", group="latino hispanic")
    assert lone.low is None and "one person: no interval" in lone.note
    assert gap_of(found, "gap", of="UF1", by="race").subjects == 595
    assert "shown only: indian; latino hispanic" in " ".join(found.notes)
    assert "5 clips without a label of race are in no group" in found.notes
    tiny = performance(drawn(8, 4, seed=1), ["race"])
    assert gap_of(tiny, "gap", of="UF1", by="race").value is None
    assert "fewer than two groups" in gap_of(tiny, "gap", of="UF1", by="race").note
    with pytest.raises(EquimeError, match="has a label of 'race'"):
        performance(Answered(**vars(some) | {"rows": relabelled(some, np.full(len(race), None))}), ["race"])


def relabelled(some: Answered, race: Array) -> Rows:
    table = some.rows.table
    return Rows("", "file", table.set_column(1, "race", pa.array(race.tolist(), pa.string())))


def test_a_class_without_clips_and_a_file_of_one_class() -> None:
    some = planted(0.0)
    race = np.array(some.rows.table["race"].to_pylist())
    kept = ~((race == "black") & (some.truth == 2))
    part = answered(some.truth[kept], some.predicted[kept], np.repeat(np.arange(600), 5)[kept], race=race[kept])
    found = performance(part, ["race"])
    black = kept & (race == "black")
    expected = f1_score(some.truth[black], some.predicted[black], labels=[0, 1], average="macro")
    assert found.one("UF1", by="race", group="black").value == pytest.approx(expected)
    assert "none of odd" in found.one("UF1", by="race", group="black").note
    missing = found.one("recall", of="odd", by="race", group="black")
    assert missing.value is None and "no clip of odd" in missing.note
    one = answered(np.zeros(90, int), np.arange(90) % 2, np.arange(90), race=np.array(["asian", "black", "white"] * 30))
    assert performance(one, ["race"]).one("recall", of="calm", by="").value == pytest.approx(0.5)
    never = answered(
        np.zeros(90, int), np.ones(90, int), np.arange(90), race=np.array(["asian", "black", "white"] * 30)
    )
    poor = performance(never, ["race"])
    ratio = gap_of(poor, "ratio", of="UF1", by="race")
    assert ratio.value is None and ratio.note == "no group scores above zero"
    assert gap_of(poor, "gap", of="UF1", by="race").note == "all groups alike"
    absent = gap_of(poor, "gap", of="recall of glad", by="race")
    assert absent.value is absent.p is absent.reference is None and "fewer than two groups" in absent.note


def test_each_classs_gap_and_which_class_and_groups_a_criterion_is_of() -> None:
    rng = np.random.default_rng(8)
    people = np.repeat(np.arange(300), 9)
    race = np.array(["asian", "black", "white"])[people % 3]
    truth = np.tile(np.arange(3), 900)
    right = rng.random(2700) < 0.9 - 0.4 * ((race == "black") & (truth == 1))
    found = performance(answered(truth, np.where(right, truth, 2), people, race=race), ["race"])
    recall = {(g, k): (right | (truth == 2))[(race == g) & (truth == k)].mean() for g in set(race) for k in range(3)}
    for k, name in enumerate(CLASSES):
        each = [recall[group, k] for group in ("asian", "black", "white")]
        one = gap_of(found, "gap", of=f"recall of {name}", by="race")
        assert one.value == pytest.approx(max(each) - min(each), abs=1e-12)
        assert one.p is not None and (one.p < 0.01) == (name == "glad")
    glad = gap_of(found, "gap", of="recall of glad", by="race")
    assert glad.reference < 0.1 < glad.low < 0.4 < glad.high
    best = max(("asian", "white"), key=lambda group: recall[group, 1])
    said = f"recall of glad: lowest: black; highest: {best}"
    assert glad.note == said.partition(": ")[2]
    opportunity = gap_of(found, "equal opportunity", by="race")
    assert (opportunity.value, opportunity.note) == (glad.value, said)
    assert gap_of(found, "demographic parity", by="race").note.startswith("answers of ")
    assert gap_of(found, "equalised odds", by="race").note == said


def test_what_differs_from_clip_to_clip_is_compared_too() -> None:
    some = planted(0.0)
    camera = np.array(["left", "right"])[np.arange(3000) % 2]
    rows = Rows("", "file", some.rows.table.append_column("camera", pa.array(camera.tolist())))
    found = performance(Answered(**vars(some) | {"rows": rows}), ["camera"])
    assert found.one("accuracy", group="left").subjects == 600
    assert any("600 subjects have clips in several groups of camera" in note for note in found.notes)
    assert gap_of(found, "gap", of="accuracy", by="camera").p > 0.05


def test_each_data_set_is_a_scope_and_all_are_one() -> None:
    some = planted(0.2)
    names = np.array(["samm", "casme2"])[(np.arange(3000) >= 1500).astype(int)]
    rows = Rows("", "file", some.rows.table.append_column("dataset", pa.array(names.tolist())))
    found = performance(Answered(**vars(some) | {"rows": rows}), ["race"])
    scopes = {finding.scope for finding in found.findings}
    assert scopes == {"all data sets", "samm", "casme2"}
    inside = names == "samm"
    expected = accuracy_score(some.truth[inside], some.predicted[inside])
    assert found.one("accuracy", by="", scope="samm").value == pytest.approx(expected)
    assert any("laboratory" in note for note in found.notes)
