"""Intervals of shares against SciPy's; scores against scikit-learn's, closed forms, and every answer there is."""

from __future__ import annotations

import itertools
import json
from typing import Literal

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from equime import metrics
from equime.bootstrap import bootstrap
from equime.errors import EquimeError
from equime.metrics import wilson
from equime.scores import Answers, Scores, difference


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
@example((0, 1), 0.95)
@example((30, 30), 0.95)
def test_the_interval_is_scipys_and_holds_the_share(numbers: tuple[int, int], level: float) -> None:
    successes, trials = numbers
    theirs = binomtest(successes, trials).proportion_ci(level, method="wilson")
    low, high = wilson(successes, trials, level)
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert 0 <= low <= successes / trials <= high <= 1


def test_the_interval_covers_the_share_about_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).binomial(60, 0.8, 2000).tolist()
    covered = np.mean([low <= 0.8 <= high for low, high in (wilson(hits, 60) for hits in draws)])
    assert 0.93 < covered < 0.97


# --- scores of a recogniser


def counts_of(truth: list[int], predicted: list[int], classes: int) -> np.ndarray:
    return metrics.confusion(np.array(truth, np.int64), np.array(predicted, np.int64), classes)


ANSWERS = st.integers(2, 5).flatmap(
    lambda k: st.tuples(
        st.just(k), st.lists(st.tuples(st.integers(0, k - 1), st.integers(0, k - 1)), min_size=1, max_size=60)
    )
)


@given(ANSWERS)
@settings(deadline=None)
@example((3, [(0, 0)]))
@example((3, [(0, 2), (1, 2)]))
@example((2, [(0, 1), (1, 0)]))
def test_the_scores_are_scikit_learns(drawn: tuple[int, list[tuple[int, int]]]) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    classes, pairs = drawn
    truth, predicted = (np.array(side) for side in zip(*pairs, strict=True))
    present, names = np.unique(truth), range(classes)
    counts = metrics.confusion(truth, predicted, classes)
    np.testing.assert_array_equal(counts, sklearn.confusion_matrix(truth, predicted, labels=names))
    f1 = {"labels": present, "zero_division": 0}
    assert metrics.uf1(counts) == pytest.approx(sklearn.f1_score(truth, predicted, average="macro", **f1))
    assert metrics.weighted_f1(counts) == pytest.approx(sklearn.f1_score(truth, predicted, average="weighted", **f1))
    recalls = sklearn.recall_score(truth, predicted, labels=present, average=None)
    assert metrics.uar(counts) == pytest.approx(recalls.mean())
    assert metrics.accuracy(counts) == pytest.approx(sklearn.accuracy_score(truth, predicted))
    if len(present) > 1 and set(predicted) <= set(present):
        assert metrics.uar(counts) == pytest.approx(sklearn.balanced_accuracy_score(truth, predicted))
        assert metrics.uf1(counts) == pytest.approx(sklearn.f1_score(truth, predicted, average="macro"))
    precisions = sklearn.precision_score(truth, predicted, labels=names, average=None, zero_division=np.nan)
    np.testing.assert_allclose(metrics.precision(counts), precisions)
    np.testing.assert_allclose(metrics.recall(counts)[present], recalls)
    absent = np.setdiff1d(names, present)
    assert np.isnan(metrics.f1(counts)[absent]).all() and np.isnan(metrics.recall(counts)[absent]).all()


def test_the_scores_take_many_tables_at_once() -> None:
    tables = np.random.default_rng(0).integers(0, 9, (4, 5, 3, 3))
    tables[1, 2, 2] = 0  # a class without a clip
    for score in (metrics.uf1, metrics.uar, metrics.accuracy, metrics.weighted_f1):
        each = [[float(score(table)) for table in row] for row in tables]
        np.testing.assert_allclose(score(tables), each)


def test_pooled_and_averaged_over_folds_are_two_numbers() -> None:
    # Two folds of one class each, all answered right: a fold has no other class to be wrong about.
    folds = [counts_of([0, 0, 0, 0], [0, 0, 0, 1], 2), counts_of([1], [1], 2)]
    assert metrics.uf1(sum(folds)) == pytest.approx((6 / 7 + 2 / 3) / 2)
    assert np.mean([metrics.uf1(fold) for fold in folds]) == pytest.approx((6 / 7 + 1) / 2)


@pytest.mark.parametrize("wrong", [[0, 3], [-1, 0]])
def test_numbers_that_are_no_class_are_refused(wrong: list[int]) -> None:
    with pytest.raises(EquimeError, match="expected predicted of 0 to 2"):
        counts_of([0, 1], wrong, 3)
    with pytest.raises(EquimeError, match="expected truth of 0 to 2"):
        counts_of(wrong, [0, 1], 3)


def test_columns_that_do_not_fit_are_refused() -> None:
    with pytest.raises(EquimeError, match="one answer to each of 2 clips, got 1"):
        counts_of([0, 1], [0], 3)
    with pytest.raises(EquimeError, match="whole numbers"):
        metrics.confusion(np.array([0.5]), np.array([0]), 3)


TABLES = st.integers(2, 6).flatmap(
    lambda k: st.lists(st.lists(st.integers(0, 30), min_size=k, max_size=k), min_size=k, max_size=k)
)


@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
@given(table=TABLES)
@settings(deadline=None, max_examples=60)
@example(table=[[0, 5], [0, 0]])
@example(table=[[3, 0], [0, 4]])
@example(table=[[0, 4], [4, 0]])
def test_kappa_is_scikit_learns(weights: Literal["linear", "quadratic"] | None, table: list[list[int]]) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    counts = np.array(table)
    found = metrics.kappa(counts, weights)
    first, second = counts.any(1), counts.any(0)
    if first.sum() + second.sum() == 0 or ((first == second).all() and first.sum() == 1):
        assert np.isnan(found)
        return
    one, other = (places.ravel() for places in np.indices(counts.shape))
    theirs = sklearn.cohen_kappa_score(
        one, other, labels=range(len(counts)), weights=weights, sample_weight=counts.ravel()
    )
    assert float(found) == pytest.approx(theirs, abs=1e-12)


def test_kappa_takes_many_tables_and_has_an_interval() -> None:
    tables = np.random.default_rng(0).integers(0, 9, (4, 30, 3, 3)) + 6 * np.eye(3, dtype=np.int64)
    for weights in (None, "linear", "quadratic"):
        each = [[float(metrics.kappa(table, weights)) for table in row] for row in tables]
        np.testing.assert_allclose(metrics.kappa(tables, weights), each)
    found = bootstrap(tables[0], metrics.kappa, draws=200)
    assert found.value == pytest.approx(float(metrics.kappa(tables[0].sum(0)))) and found.low < found.value < found.high
    assert np.isnan(bootstrap(np.zeros((5, 2, 2)), metrics.kappa, draws=20)).all()


def test_two_who_do_not_look_have_a_kappa_of_zero() -> None:
    table = np.outer([10, 20, 70], [30, 50, 20])
    for weights in (None, "linear", "quadratic"):
        assert metrics.kappa(table, weights) == pytest.approx(0, abs=1e-12)


# --- answers that look at no clip


@given(st.lists(st.integers(1, 50), min_size=2, max_size=6), st.data())
@settings(deadline=None)
def test_a_constant_answer_has_its_closed_form(support: list[int], data: st.DataObject) -> None:
    classes, answer = len(support), data.draw(st.integers(0, len(support) - 1))
    truth = np.repeat(np.arange(classes), support)
    measured = metrics.figures(metrics.confusion(truth, np.full(len(truth), answer), classes))
    p = support[answer] / sum(support)
    assert measured == pytest.approx((2 * p / (classes * (1 + p)), 1 / classes, p, 2 * p * p / (1 + p)))
    assert metrics.constant(p, classes) == pytest.approx(measured)
    assert metrics.majority(np.array(support)).uf1 >= measured.uf1 - 1e-12


def test_the_composites_constant_answer() -> None:
    found = metrics.majority(np.array([250, 109, 83]))
    assert round(found.uf1, 5) == 0.24085 and found.uar == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("share", "accuracy", "weighted", "macro"),
    [(0.632, 0.63, 0.489, 0.258), (0.23, 0.23, 0.086, 0.124)],
    ids=["two transfers of EquiME to SAMM", "all three of MiE-X to SAMM"],
)
def test_published_transfers_are_a_constant_answers(
    share: float, accuracy: float, weighted: float, macro: float
) -> None:
    found = metrics.constant(share, 3)
    assert found.accuracy == pytest.approx(accuracy, abs=0.005)
    assert found.weighted_f1 == pytest.approx(weighted, abs=0.001)
    assert found.uf1 == pytest.approx(macro, abs=0.001)


@given(st.lists(st.integers(1, 4), min_size=2, max_size=3))
@settings(max_examples=20, deadline=None)
@example([4])
def test_the_stratified_baseline_is_exact(support: list[int]) -> None:
    """Against every set of answers there is, each with its probability."""
    truth, classes = np.repeat(np.arange(len(support)), support), len(support)
    truth = truth[:: -(-len(truth) // 6)]
    present = np.bincount(truth, minlength=classes)
    shares = present / len(truth)
    expected = np.zeros(4)
    for answers in itertools.product(np.flatnonzero(present).tolist(), repeat=len(truth)):
        chance = np.prod(shares[list(answers)])
        expected += chance * np.array(metrics.figures(metrics.confusion(truth, np.array(answers), classes)))
    assert metrics.stratified(present) == pytest.approx(expected)


def test_the_stratified_baseline_of_the_composite_is_what_guessing_gives() -> None:
    support, rng = np.array([250, 109, 83]), np.random.default_rng(0)
    truth = np.repeat(np.arange(3), support)
    answers = rng.choice(3, (4000, len(truth)), p=support / support.sum())
    places = np.arange(4000)[:, None] * 9 + truth * 3 + answers
    counts = np.bincount(places.ravel(), minlength=36000).reshape(4000, 3, 3)
    guessed = [score(counts).mean() for score in (metrics.uf1, metrics.uar, metrics.accuracy, metrics.weighted_f1)]
    assert metrics.stratified(support) == pytest.approx(guessed, abs=0.0015)


def test_nothing_to_score_is_refused() -> None:
    for baseline in (metrics.majority, metrics.stratified):
        with pytest.raises(EquimeError, match="at least one clip"):
            baseline(np.zeros(3, np.int64))


def test_a_large_tables_baseline_is_finite() -> None:
    assert metrics.stratified(np.full(5, 15_000)) == pytest.approx((0.2, 0.2, 0.2, 0.2), abs=1e-4)


# --- intervals over people


def people_who_differ(rng: np.random.Generator, people: int, clips: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three classes; each person is read well or badly, as one."""
    skill = np.repeat(rng.beta(1.5, 1.0, people), clips)
    truth = rng.integers(0, 3, people * clips)
    guess = (truth + rng.integers(1, 3, len(truth))) % 3
    return truth, np.where(rng.random(len(truth)) < skill, truth, guess), np.repeat(np.arange(people), clips)


def test_the_interval_covers_because_it_draws_people() -> None:
    rng = np.random.default_rng(1)
    truth, predicted, _ = people_who_differ(rng, 20_000, 10)
    goal = float(metrics.uf1(metrics.confusion(truth, predicted, 3)))
    covered, narrow, widths = [], [], []
    for _ in range(200):
        truth, predicted, who = people_who_differ(rng, 30, 10)
        by_person = Answers.of(truth, predicted, who, "abc").score(metrics.uf1, draws=300)
        by_clip = Answers.of(truth, predicted, np.arange(len(who)), "abc").score(metrics.uf1, draws=300)
        covered.append(by_person.low <= goal <= by_person.high)
        narrow.append(by_clip.low <= goal <= by_clip.high)
        widths.append((by_clip.high - by_clip.low) / (by_person.high - by_person.low))
    assert 0.90 < np.mean(covered) < 0.98
    assert np.mean(narrow) < 0.85 and np.mean(widths) < 0.8


def test_a_draw_is_a_recount_of_the_drawn_people() -> None:
    truth, predicted, who = people_who_differ(np.random.default_rng(2), 7, 4)
    per_person = np.stack([metrics.confusion(truth[who == i], predicted[who == i], 3) for i in range(7)])
    seen: list[np.ndarray] = []

    def remembered(counts: np.ndarray) -> np.ndarray:
        seen.append(counts)
        return np.asarray(metrics.uf1(counts))

    low, high = bootstrap(per_person, remembered, draws=50)[1:]
    drawn = np.random.default_rng(0).multinomial(7, np.full(7, 1 / 7), 50)
    by_hand = []
    for times in drawn:
        clips = np.concatenate([np.tile(np.flatnonzero(who == i), t) for i, t in enumerate(times)])
        by_hand.append(float(metrics.uf1(metrics.confusion(truth[clips], predicted[clips], 3))))
    assert (low, high) == pytest.approx(tuple(np.quantile(by_hand, (0.025, 0.975))))
    assert seen[0].shape == (1, 3, 3) and seen[1].shape == (50, 3, 3)


def test_one_person_has_a_score_and_no_interval() -> None:
    found = Scores.of(np.array([0, 1, 1]), np.array([0, 1, 0]), np.array(["a"] * 3), ("x", "y"))
    assert found.uf1.value == pytest.approx(2 / 3)
    assert np.isnan(found.uf1.low) and np.isnan(found.uf1.high) and not found.above_constant
    assert json.loads(json.dumps(found.to_dict()))["uf1"] == {"value": found.uf1.value, "low": None, "high": None}


# --- a table's scores


def test_a_score_of_seeds_is_the_mean_of_pooled_scores() -> None:
    rng = np.random.default_rng(3)
    truth, _, who = people_who_differ(rng, 12, 5)
    answers = [people_who_differ(rng, 12, 5)[1] for _ in range(3)]
    seeds = np.repeat([4, 7, 9], len(truth))
    found = Scores.of(np.tile(truth, 3), np.concatenate(answers), np.tile(who, 3), "abc", seeds=seeds)
    each = [metrics.confusion(truth, predicted, 3) for predicted in answers]
    assert found.uf1.value == pytest.approx(np.mean([metrics.uf1(counts) for counts in each]))
    assert found.uf1_sd == pytest.approx(np.std([metrics.uf1(counts) for counts in each], ddof=1))
    np.testing.assert_allclose(found.confusion, np.mean(each, 0))
    np.testing.assert_allclose(found.recall, np.mean([metrics.recall(counts) for counts in each], 0))
    assert (found.seeds, found.subjects, sum(found.support)) == (3, 12, 60)
    order = rng.permutation(len(seeds))
    again = Scores.of(
        np.tile(truth, 3)[order], np.concatenate(answers)[order], np.tile(who, 3)[order], "abc", seeds=seeds[order]
    )
    assert again == found


def test_seeds_that_did_not_answer_the_same_clips_are_refused() -> None:
    truth, who = np.array([0, 1, 0, 1]), np.array(list("abab"))
    with pytest.raises(EquimeError, match="every seed"):
        Scores.of(truth[:3], truth[:3], who[:3], "xy", seeds=np.array([0, 0, 1]))
    with pytest.raises(EquimeError, match="at least one"):
        Scores.of(truth[:0], truth[:0], who[:0], "xy")
    with pytest.raises(EquimeError, match="as many"):
        Scores.of(truth, truth, who[:3], "xy")


def test_a_difference_is_drawn_in_pairs() -> None:
    rng = np.random.default_rng(4)
    truth, predicted, who = people_who_differ(rng, 40, 8)
    worse = np.where(rng.random(len(truth)) < 0.1, (truth + 1) % 3, predicted)
    first, second = Answers.of(truth, predicted, who, "abc"), Answers.of(truth, worse, who, "abc")
    apart = difference(first, second)
    alone = first.score(metrics.uf1).value - second.score(metrics.uf1).value
    assert apart.value == pytest.approx(alone) and apart.low > 0
    widths = [found.high - found.low for found in (first.score(metrics.uf1), second.score(metrics.uf1))]
    assert apart.high - apart.low < 0.7 * float(np.hypot(*widths))
    same = difference(first, first)
    assert same == pytest.approx((0, 0, 0))
    back = difference(second, first)
    assert (back.value, back.low, back.high) == pytest.approx((-apart.value, -apart.high, -apart.low), abs=1e-3)
    with pytest.raises(EquimeError, match="same subjects"):
        difference(first, Answers.of(truth[who > 0], worse[who > 0], who[who > 0], "abc"))


SAMM = np.repeat([0, 1, 2], [92, 26, 15])
SAMM_WHO = np.arange(133) % 28


def collapsed(predicted: np.ndarray, **how: np.ndarray) -> int:
    return Scores.of(SAMM, predicted, SAMM_WHO, ("negative", "positive", "surprise"), **how).collapsed


def test_a_constant_answer_is_collapsed_and_so_is_one_with_a_few_others() -> None:
    constant = np.zeros(133, np.int64)
    assert collapsed(constant) == 1
    few = constant.copy()
    few[[92, 93, 94, 118, 119]] = SAMM[[92, 93, 94, 118, 119]]  # five right answers lift UF1 above the constant's
    assert metrics.uf1(metrics.confusion(SAMM, few, 3)) > metrics.majority(np.array([92, 26, 15])).uf1
    assert collapsed(few) == 1
    assert collapsed(np.full(133, 2)) == 1
    assert collapsed(few, folds=np.arange(133)) == 1  # a fold of one clip says nothing


def test_almost_constant_answers_that_are_worse_than_a_constant_are_collapsed() -> None:
    predicted = np.where(np.arange(133) % 10 == 0, (SAMM + 1) % 3, 0)
    counts = metrics.confusion(SAMM, predicted, 3)
    assert counts.sum(0).max() < 0.95 * 133 and metrics.uf1(counts) < metrics.majority(counts.sum(1)).uf1
    assert collapsed(predicted) == 1
    # All wrong, in every class: bad, and no collapse.
    assert collapsed((SAMM + 1) % 3) == 0


def test_every_fold_its_own_constant_is_collapsed() -> None:
    truth = np.tile(np.arange(5), 40)
    folds = np.repeat(np.arange(10), 20)
    predicted = folds % 5
    found = Scores.of(truth, predicted, np.repeat(np.arange(40), 5), "abcde", folds=folds)
    assert found.uf1.value == pytest.approx(0.2) and found.collapsed == 1
    assert Scores.of(truth, predicted, np.repeat(np.arange(40), 5), "abcde").collapsed == 0


def test_sound_answers_are_not_collapsed() -> None:
    rng = np.random.default_rng(5)
    guessed = rng.permutation(SAMM)
    assert collapsed(guessed) == 0  # chance is bad, and no collapse
    assert collapsed(SAMM) == 0
    assert collapsed(SAMM, folds=SAMM) == 0  # each fold of one class, all right
    # Nearly all of one class, and answered so, rightly.
    rare = np.array([1] + [0] * 99)
    assert Scores.of(rare, rare, np.arange(100) % 9, "xy").collapsed == 0


def test_seeds_collapse_one_by_one() -> None:
    rng = np.random.default_rng(6)
    answers = [np.zeros(133, np.int64), rng.permutation(SAMM), np.ones(133, np.int64)]
    found = Scores.of(
        np.tile(SAMM, 3),
        np.concatenate(answers),
        np.tile(SAMM_WHO, 3),
        ("negative", "positive", "surprise"),
        seeds=np.repeat(range(3), 133),
    )
    assert found.collapsed == 2 and np.isnan(found.precision[2]) and not np.isnan(found.f1[2])


def test_better_than_a_constant_is_shown_by_the_whole_interval() -> None:
    rng = np.random.default_rng(7)
    good = np.where(rng.random(133) < 0.7, SAMM, rng.integers(0, 3, 133))
    assert Scores.of(SAMM, good, SAMM_WHO, "abc").above_constant
    assert not Scores.of(SAMM, np.zeros(133, np.int64), SAMM_WHO, "abc").above_constant


def test_a_class_without_clips_is_not_averaged_over() -> None:
    found = Scores.of(np.array([0, 0, 2, 2]), np.array([0, 1, 2, 2]), np.array(list("abcd")), "xyz")
    assert found.uf1.value == pytest.approx((2 / 3 + 1) / 2) and found.uar.value == pytest.approx(0.75)
    assert found.support == (2, 0, 2) and np.isnan(found.f1[1])
    assert found.majority.uar == 0.5
