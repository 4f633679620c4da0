"""Matched pairs: what they differ in, how close they are (against an optimal assignment), and how balanced."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from equime import schema
from equime.errors import EquimeError
from equime.planning.twins import CALIPER, COVARIATES, WITHIN, Pair, balance, covariates, match, twin_id
from equime.screening.gallery import Source

SHARES = {"race": [0.1, 0.05, 0.15, 0.6, 0.05, 0.05], "age": [0.4, 0.3, 0.15, 0.1, 0.05]}
ANY = 1e9


def people(count: int, seed: int = 0, **fixed: object) -> list[Source]:
    """Subjects with labels and measures drawn independently."""
    rng = np.random.default_rng(seed)
    drawn = [
        Source(
            subject_id=f"s{number}",
            path=f"{number}.png",
            gender=str(rng.choice(schema.GENDERS)),
            age=str(rng.choice(schema.AGE_BANDS, p=SHARES["age"])),
            race=str(rng.choice(schema.RACES, p=SHARES["race"])),
            yaw=float(rng.normal(0, 8)),
            pitch=float(rng.normal(3, 6)),
            eye_distance=float(rng.normal(110, 12)),
            sharpness=float(np.exp(rng.normal(3, 0.6))),
            glasses=[None, True, False][rng.integers(3)],
        )
        for number in range(count)
    ]
    return [replace(one, **fixed) for one in drawn]


def in_splits(sources: list[Source]) -> dict[str, str]:
    return {one.subject_id: ("validation", "test")[n % 2] if n % 10 < 2 else "train" for n, one in enumerate(sources)}


def differing(one: Source, other: Source) -> set[str]:
    return {name for name in ("race", "gender", "age") if getattr(one, name) != getattr(other, name)}


def scaled(sources: list[Source]) -> np.ndarray:
    """Robust standard scores, written out once more."""
    values = covariates(sources)
    middle = np.median(values, axis=0)
    return (values - middle) / (1.4826 * np.median(np.abs(values - middle), axis=0))


labels = st.fixed_dictionaries(
    {
        "gender": st.sampled_from([*schema.GENDERS, None]),
        "age": st.sampled_from([*schema.AGE_BANDS[:2], None]),
        "race": st.sampled_from([*schema.RACES[:3], None]),
        "yaw": st.floats(-20, 20) | st.just(float("nan")),
        "sharpness": st.floats(0, 100),
        "glasses": st.sampled_from([None, True, False]),
        "reason": st.sampled_from([None, None, None, "pose"]),
    }
)


@given(st.lists(labels, max_size=40), st.integers(0, 12), st.integers(0, 5), st.floats(0.5, 10))
@settings(max_examples=60)
def test_every_pair_is_what_it_says(drawn, pairs, seed, caliper) -> None:
    sources = [replace(one, **values) for one, values in zip(people(len(drawn)), drawn, strict=True)]
    split, by_id = in_splits(sources), {one.subject_id: one for one in sources}
    found = match(sources, split, pairs, seed, caliper)
    used = [subject for pair in found for subject in (pair.first, pair.second)]
    assert len(used) == len(set(used))
    assert sum(pair.contrast == WITHIN for pair in found) <= pairs >= sum(pair.contrast != WITHIN for pair in found)
    for pair in found:
        one, other = by_id[pair.first], by_id[pair.second]
        assert one.reason is None and other.reason is None
        assert split[pair.first] == split[pair.second]
        assert differing(one, other) == set(pair.contrast.split("+")) - {WITHIN}
        assert all(None not in (getattr(one, name), getattr(other, name)) for name in differing(one, other))
        assert {one.glasses, other.glasses} != {True, False}
        assert 0 <= pair.distance <= caliper
        assert pair.twin_id == twin_id(pair.second, pair.first)
    assert len({pair.twin_id for pair in found}) == len(found)


def test_the_contrasts_take_turns_and_differ_in_one_attribute_while_they_can() -> None:
    sources = people(1200)
    found = Counter(pair.contrast for pair in match(sources, in_splits(sources), 150, 0))
    assert set(found) == {"race", "gender", "age", WITHIN} and found[WITHIN] == 150
    assert max(found[name] for name in ("race", "gender", "age")) <= 54
    assert min(found[name] for name in ("race", "gender", "age")) >= 46


def test_two_attributes_differ_only_when_nothing_else_is_left() -> None:
    people_of = [("female", "18-29"), ("female", "18-29"), ("male", "60+"), ("male", "60+")]
    drawn = zip(people(4, race="asian", glasses=None), people_of, strict=True)
    four = [replace(one, gender=gender, age=age) for one, (gender, age) in drawn]
    split = dict.fromkeys(["s0", "s1", "s2", "s3", "s9"], "train")
    assert [pair.contrast for pair in match(four, split, 5, 0, ANY)] == ["gender+age", "gender+age"]
    five = [*four, replace(four[0], subject_id="s9", gender="male", yaw=30.0)]
    found = [pair.contrast for pair in match(five, split, 1, 0, ANY)]
    assert found[0] in ("gender", "age") and found[1] == WITHIN


def test_a_pair_within_is_of_the_groups_of_the_pairs_across() -> None:
    sources = people(2000)
    by_id = {one.subject_id: one for one in sources}
    found = match(sources, dict.fromkeys(by_id, "train"), 60, 0)
    cells = [{by_id[pair.first].cell, by_id[pair.second].cell} for pair in found]
    assert [pair.contrast == WITHIN for pair in found] == [False, True] * 60
    assert sum(cells[k + 1] <= cells[k] for k in range(0, 120, 2)) >= 50  # where the cell still had two


def test_splits_get_pairs_in_proportion_to_their_subjects() -> None:
    sources = people(1500)
    split = in_splits(sources)
    found = Counter(split[pair.first] for pair in match(sources, split, 100, 0))
    assert found == {"train": 160, "validation": 20, "test": 20}


@pytest.mark.parametrize("number", [20, 60, 150])
@pytest.mark.parametrize("seed", range(4))
def test_greedy_is_near_the_optimal_assignment(number: int, seed: int) -> None:
    sources = people(2 * number, seed, age="30-39", race="white", glasses=None)
    sources = [replace(one, gender=schema.GENDERS[k % 2]) for k, one in enumerate(sources)]
    place = {one.subject_id: k for k, one in enumerate(sources)}
    # pairs within take subjects too: the optimum is sought among those that the pairs across left them
    found = match(sources, dict.fromkeys(place, "train"), number, seed, ANY)
    across = [pair for pair in found if pair.contrast == "gender"]
    values = scaled(sources)
    sides = [[place[s] for p in across for s in (p.first, p.second) if place[s] % 2 == k] for k in (0, 1)]
    costs = cdist(values[sides[0]], values[sides[1]])
    best = costs[linear_sum_assignment(costs)].sum()
    total = sum(pair.distance for pair in across)
    assert best <= total * (1 + 1e-9) and total <= 1.3 * best
    for pair in across:
        gap = values[place[pair.first]] - values[place[pair.second]]
        assert pair.distance == pytest.approx(np.linalg.norm(gap))


def test_the_closest_pair_comes_first_and_none_is_past_the_caliper() -> None:
    sources = people(40, 3, age="30-39", race="white", glasses=None)
    split = dict.fromkeys((one.subject_id for one in sources), "train")
    women, men = ([k for k, one in enumerate(sources) if one.gender == g] for g in schema.GENDERS)
    costs = cdist(scaled(sources)[women], scaled(sources)[men])
    found = match(sources, split, 99, 0, caliper=0.9)
    across = [pair for pair in found if pair.contrast == "gender"]
    assert across[0].distance == pytest.approx(costs.min())
    assert max(pair.distance for pair in found) <= 0.9
    assert len(match(sources, split, 99, 0, caliper=0.01)) == 0


def test_the_order_of_the_sources_is_no_matter_and_the_seed_decides_who_is_first() -> None:
    sources = people(200)
    split = in_splits(sources)
    found = match(sources, split, 30, 1)
    assert found == match(sources[::-1], split, 30, 1) == match(sources, split, 30, 1)
    by_id = {one.subject_id: one for one in people(4000)}
    pairs = match(list(by_id.values()), dict.fromkeys(by_id, "train"), 600, 0)
    firsts = [by_id[pair.first].gender for pair in pairs if pair.contrast == "gender"]
    assert abs(firsts.count("female") - len(firsts) / 2) < 4 * np.sqrt(len(firsts)) / 2
    other = match(list(by_id.values()), dict.fromkeys(by_id, "train"), 600, 5)
    assert {p.twin_id: p.first for p in pairs} != {p.twin_id: p.first for p in other}


def test_the_first_usable_picture_of_a_subject_is_matched() -> None:
    first, second = people(2, race="asian", age="30-39", glasses=None)
    first, second = replace(first, gender="female"), replace(second, gender="male")
    bad = replace(first, path="bad.png", reason="pose", gender="male")
    late = replace(first, path="late.png", gender="male")
    found = match([bad, first, late, second], {"s0": "train", "s1": "train"}, 1, 0, ANY)
    assert [pair.contrast for pair in found] == ["gender"]


def test_nobody_outside_the_splits_takes_part_and_no_subjects_are_no_pairs() -> None:
    sources = people(50)
    assert match(sources, {}, 5, 0) == match([], {}, 5, 0) == match(sources, in_splits(sources), 0, 0) == []


def test_twin_ids_tell_no_subject() -> None:
    assert twin_id("alice", "bob") == twin_id("bob", "alice") != twin_id("alice", "carol")
    assert "alice" not in twin_id("alice", "bob") and len(twin_id("alice", "bob")) == 12


@pytest.mark.parametrize(("pairs", "caliper"), [(-1, 1.0), (1, 0.0), (1, float("nan"))])
def test_bad_wishes_are_one_line(pairs: int, caliper: float) -> None:
    with pytest.raises(EquimeError, match="expected 0 pairs or more"):
        match([], {}, pairs, 0, caliper)


def test_balance_is_the_mean_difference_in_standard_deviations() -> None:
    sources = people(600)
    found = match(sources, in_splits(sources), 90, 0)
    report = balance(found, sources)
    assert set(report) == {pair.contrast for pair in found}
    assert sum(row["pairs"] for row in report.values()) == len(found)
    by_id, values = {one.subject_id: one for one in sources}, covariates(sources)
    unit = dict(zip(COVARIATES, values.std(axis=0, ddof=1), strict=True))
    pairs = [(by_id[pair.first], by_id[pair.second]) for pair in found if pair.contrast == "gender"]
    women, men = ([one if one.gender == g else other for one, other in pairs] for g in schema.GENDERS)
    gap = np.mean([m.yaw - w.yaw for w, m in zip(women, men, strict=True)]) / unit["yaw"]
    assert report["gender"]["smd"]["yaw"] == pytest.approx(gap)
    apart = np.mean([abs(np.log(m.sharpness / w.sharpness)) for w, m in zip(women, men, strict=True)])
    assert report["gender"]["apart"]["sharpness"] == pytest.approx(apart / unit["sharpness"])
    assert report["gender"]["distance"] == pytest.approx(np.mean([p.distance for p in found if p.contrast == "gender"]))


def test_matching_takes_away_a_difference_between_the_groups() -> None:
    sources = [replace(one, yaw=one.yaw + 8 * (one.gender == "male")) for one in people(3000, glasses=None)]
    split = dict.fromkeys((one.subject_id for one in sources), "train")
    women, men = ([one.subject_id for one in sources if one.gender == gender] for gender in schema.GENDERS)
    pairs = [Pair("x", *two, "gender", 0.0) for two in zip(women, men, strict=False)]
    before = balance(pairs, sources)["gender"]["smd"]["yaw"]
    after = balance(match(sources, split, 150, 0), sources)
    assert before > 0.7 and abs(after["gender"]["smd"]["yaw"]) < 0.1
    assert after["gender"]["apart"]["yaw"] < 2 * after[WITHIN]["apart"]["yaw"]


def test_what_was_not_measured_is_left_out_of_the_balance() -> None:
    sources = people(100, yaw=float("nan"), sharpness=0.0)
    row = balance(match(sources, in_splits(sources), 10, 0), sources)[WITHIN]
    assert np.isnan(row["smd"]["yaw"]) and np.isnan(row["apart"]["sharpness"]) and np.isfinite(row["smd"]["pitch"])


def test_fifteen_thousand_subjects_are_matched_within_the_tests_time_limit() -> None:
    sources = people(15_000)
    found = match(sources, in_splits(sources), 3000, 0)
    assert len(found) == 6000
    assert max(pair.distance for pair in found) <= CALIPER
