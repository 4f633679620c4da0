"""What chance gives: against exact permutations, statsmodels' Holm, a plain loop, and levels over null data sets."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm, permutation_test

from equime import schema
from equime.audit.measures.permutation import null, pooled, step_down
from equime.audit.tables.groups import KNOWN, groups, of_subjects, several, whose
from equime.audit.tables.rows import Rows
from equime.errors import EquimeError

MEMBER = np.array([0, 0, 1, 1, -1, 1])
COUNTS = np.array([1.0, 2.0, 4.0, 8.0, 1000.0, 16.0])


def rows(**columns: list[str | None]) -> Rows:
    return Rows("people.csv", "file", pa.table({name: pa.array(v, pa.string()) for name, v in columns.items()}))


def difference(sums: np.ndarray) -> np.ndarray:
    """Of the means of two groups of 2 and 3 subjects."""
    return (sums[..., 0] / 2 - sums[..., 1] / 3)[..., None]


def test_counts_are_added_by_group_and_nobody_is_counted_without_one() -> None:
    counts = np.arange(24).reshape(6, 2, 2)
    wanted = np.stack([counts[[0, 1]].sum(0), counts[[2, 3, 5]].sum(0)])
    assert (pooled(MEMBER, counts, 2) == wanted).all()


def test_deals_keep_the_groups_sizes_and_every_deal_comes_as_often() -> None:
    found = null(MEMBER, COUNTS, 2, lambda sums: sums.reshape(len(sums), -1), draws=5000)
    assert (found.sum(1) == 31).all(), "of the five subjects in groups, and none of the sixth"
    possible = sorted({float(COUNTS[list(deal[:2])].sum()) for deal in permutations([0, 1, 2, 3, 5])})
    assert sorted(set(found[:, 0])) == possible
    counts = np.array([(found[:, 0] == value).sum() for value in possible])
    assert (np.abs(counts - 500) < 5 * np.sqrt(5000 * 0.1 * 0.9)).all(), "ten deals, each as likely"


def test_the_same_seed_deals_alike_and_another_does_not() -> None:
    first, same, other = (null(MEMBER, COUNTS, 2, difference, draws=60, seed=seed) for seed in (3, 3, 4))
    assert (first == same).all() and (first != other).any()


def test_p_values_are_those_of_all_deals() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=9) + np.repeat([0, 1.2], [4, 5])
    member = np.repeat([1, 0], [4, 5])
    exact = permutation_test(
        (values[4:], values[:4]),
        lambda a, b, axis: a.mean(axis) - b.mean(axis),
        vectorized=True,
        n_resamples=np.inf,
        alternative="greater",
    )

    def apart(sums: np.ndarray) -> np.ndarray:
        return np.asarray(sums[..., 0] / 5 - sums[..., 1] / 4)[..., None]

    draws = 4000
    (found,) = step_down(apart(pooled(member, values, 2)), null(member, values, 2, apart, draws))
    assert found == pytest.approx(exact.pvalue, abs=5 * np.sqrt(0.25 / draws))


def test_a_p_value_is_never_none_and_that_of_one_test_how_often_chance_gives_as_much() -> None:
    assert step_down(np.array([9.0]), np.zeros((99, 1))) == 0.01
    assert step_down(np.array([0.0]), np.zeros((99, 1))) == 1
    chance = np.random.default_rng(1).normal(size=(199, 1))
    assert step_down(np.array([1.3]), chance) == pytest.approx((1 + (chance >= 1.3).sum()) / 200)


def slow_step_down(values: np.ndarray, chance: np.ndarray) -> list[float]:
    """Algorithm 4.1 of Westfall and Young, as it is written: one test after the other."""
    every = np.vstack([values, chance])
    scaled = (every - every.mean(0)) / every.std(0)
    left, found, worst = list(range(len(values))), [0.0] * len(values), 0.0
    while left:
        first = max(left, key=lambda test: scaled[0, test])
        reached = sum(max(draw[test] for test in left) >= scaled[0, first] - 1e-9 for draw in scaled)
        worst = found[first] = max(worst, reached / len(every))
        left.remove(first)
    return found


@given(st.integers(1, 6), st.integers(0, 100))
@settings(deadline=None, max_examples=40)
def test_the_step_down_is_the_plain_loop(tests: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, chance = rng.normal(size=tests) * 3, rng.normal(size=(30, tests)) * rng.uniform(1, 9, tests)
    assert step_down(values, chance) == pytest.approx(slow_step_down(values, chance))


def test_tests_that_are_alike_cost_nothing_and_those_that_say_nothing_are_left_out() -> None:
    one = np.random.default_rng(2).normal(size=(199, 1))
    alone = step_down(np.array([2.0]), one)[0]
    many = step_down(np.array([2.0] * 20 + [np.nan]), np.hstack([one] * 20 + [np.full((199, 1), np.nan)]))
    assert (many[:20] == alone).all() and np.isnan(many[20])
    assert len(step_down(np.array([]), np.zeros((9, 0)))) == 0


def test_what_never_differs_is_no_finding() -> None:
    values, chance = np.array([0.0, 3.0]), np.column_stack([np.zeros(99), np.random.default_rng(3).normal(size=99)])
    assert step_down(values, chance)[0] == 1


def test_a_large_effect_is_found_among_many_tests_where_holm_of_the_draws_cannot() -> None:
    rng = np.random.default_rng(4)
    values, chance = rng.normal(size=400), rng.normal(size=(999, 400))
    values[7] = 8.0
    assert step_down(values, chance)[7] == 0.001
    alone = step_down(values[[7]], chance[:, [7]])[0]
    assert 400 * alone == pytest.approx(0.4)  # Holm's, of the smallest of 400


@pytest.mark.parametrize("true_effects", [0, 3])
def test_a_false_alarm_is_as_rare_as_it_says_though_others_are_true(true_effects: int) -> None:
    rng, trials, alarms = np.random.default_rng(5), 400, 0
    for _ in range(trials):
        shared = rng.normal(size=(100, 1))
        every = rng.normal(size=(100, 10)) + shared
        every[0, :true_effects] += 9
        alarms += (step_down(every[0], every[1:])[true_effects:] < 0.05).any()
    assert alarms <= binom.ppf(0.9999, trials, 0.05)
    assert alarms >= binom.ppf(0.0001, trials, 0.05) or true_effects, "and it is no more careful than it has to be"


def test_skewed_measures_weigh_alike_once_they_are_nearly_normal() -> None:
    chance = np.random.default_rng(6).chisquare([1, 20], (20_000, 2)) ** (1 / 3)
    scaled = (chance - chance.mean(0)) / chance.std(0)
    assert np.quantile(scaled, 0.99, axis=0) == pytest.approx([norm.ppf(0.99)] * 2, abs=0.2)


# --- groups


def test_groups_stand_in_the_contracts_order_and_join() -> None:
    data = rows(gender=["male", "female", None, "male"], race=["white", "asian", "asian", "klingon"])
    assert groups(data, "race").names == ("asian", "white", "klingon")
    assert groups(data, "gender+race").names == ("female, asian", "male, white", "male, klingon")
    assert groups(data, "gender+race").member.tolist() == [1, 0, -1, 2]
    assert [mask.tolist() for _, mask in groups(data, "gender").masks()] == [[0, 1, 0, 0], [1, 0, 0, 1]]
    assert groups(data, "gender").unlabelled == 1
    assert KNOWN["race"] == schema.RACES


def test_a_subject_is_in_the_group_of_most_of_its_clips() -> None:
    data = rows(subject_id=["b", "a", "b", "b", "c", None], race=["asian", "white", "white", "white", None, "black"])
    who, people = whose(data)
    assert (who.tolist(), people) == ([0, 1, 0, 0, 2, -1], 3)
    by = groups(data, "race")
    assert [by.names[place] if place >= 0 else None for place in of_subjects(by, who, people)] == [
        "white",
        "white",
        None,
    ]


@pytest.mark.parametrize(
    ("asked", "said"), [("lab", "no column 'lab'"), ("age", "nobody in people.csv has a label of 'age'")]
)
def test_what_cannot_be_grouped_by_is_one_line(asked: str, said: str) -> None:
    data = rows(race=["asian"], age=[None])
    with pytest.raises(EquimeError, match=said) as error:
        groups(data, asked)
    assert "\n" not in str(error.value)
    with pytest.raises(EquimeError, match=said):
        several(data, [asked])


def test_what_nobody_asked_for_by_name_is_left_out_with_a_note() -> None:
    found, notes = several(rows(race=["asian"], age=[None]), None)
    assert [by.by for by in found] == ["race"]
    assert any("not grouped by age" in note for note in notes)
    with pytest.raises(EquimeError, match="name a column to group by"):
        several(rows(lab=["x"]), None)
