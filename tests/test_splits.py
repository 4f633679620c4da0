from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable

import numpy as np
import pytest

from equime.errors import EquimeError
from equime.splits import SHARES, assign

Subjects = list[tuple[str, Hashable]]


def subjects(count: int, strata: int, seed: int = 0) -> Subjects:
    picked = np.random.default_rng(seed).integers(strata, size=count)
    return [(f"s{index}", f"cell{cell}") for index, cell in enumerate(picked)]


def frozen(split_of: dict[str, str], of: Subjects) -> dict[str, tuple[str, Hashable]]:
    return {subject: (split_of[subject], stratum) for subject, stratum in of}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("strata", [1, 3, 12, 60, 1000])
@pytest.mark.parametrize("count", [10, 11, 25, 57, 100, 641])
def test_global_shares_are_the_quota_rounded(count: int, strata: int, seed: int) -> None:
    found = Counter(assign(subjects(count, strata, seed), {}, seed).values())
    for split, share in SHARES.items():
        assert abs(found[split] - share * count) < 1 or found[split] == 1


@pytest.mark.parametrize("seed", range(6))
def test_each_stratum_is_balanced(seed: int) -> None:
    many = subjects(600, 20, seed)
    split_of = assign(many, {}, seed)
    sizes = Counter(stratum for _, stratum in many)
    cells = Counter((stratum, split_of[subject]) for subject, stratum in many)
    for (stratum, size), (split, share) in ((a, b) for a in sizes.items() for b in SHARES.items()):
        assert abs(cells[stratum, split] - share * size) < 2, (stratum, split, size)


@pytest.mark.parametrize("seed", range(10))
def test_few_subjects(seed: int) -> None:
    for count in range(3):
        assert set(assign(subjects(count, 2), {}, seed).values()) <= {"train"}
    for count in range(3, 10):
        found = Counter(assign(subjects(count, 2, seed), {}, seed).values())
        assert found["validation"] == found["test"] == 1
        assert found["train"] == count - 2


@pytest.mark.parametrize("seed", range(5))
def test_growth_moves_nobody_and_stays_balanced(seed: int) -> None:
    everyone = subjects(400, 8, seed)
    placed: dict[str, tuple[str, Hashable]] = {}
    rng = np.random.default_rng(seed)
    at = 0
    while at < len(everyone):
        size = int(rng.integers(1, 40))
        batch = everyone[at : at + size]
        at += size
        earlier = [everyone[i] for i in rng.integers(at - len(batch) + 1, size=3)]
        found = assign([*batch, *earlier], placed, seed)
        for subject, _ in earlier:
            if subject in placed:
                assert found[subject] == placed[subject][0]
        placed.update(frozen(found, batch))
        counts = Counter(split for split, _ in placed.values())
        if len(placed) < 3:
            assert set(counts) == {"train"}
        elif len(placed) >= 10:
            for split, share in SHARES.items():
                quota = share * len(placed)
                assert abs(counts[split] - quota) <= 2, (split, counts)
    cells = Counter((stratum, split) for split, stratum in placed.values())
    sizes = Counter(stratum for _, stratum in everyone)
    for stratum, size in sizes.items():
        for split, share in SHARES.items():
            assert abs(cells[stratum, split] - share * size) <= 3


def test_two_subjects_grow_into_every_split() -> None:
    two = subjects(2, 1)
    placed = frozen(assign(two, {}, 1), two)
    three = subjects(3, 1)
    found = assign(three, placed, 1)
    assert Counter(found.values())["train"] == 2 and found["s2"] != "train"
    four = assign(subjects(4, 1), placed, 1)
    assert set(four.values()) == set(SHARES)
    assert {four[subject] for subject, _ in two} == {"train"}


def test_order_and_repeats_do_not_matter() -> None:
    many = subjects(120, 7)
    expected = assign(many, {}, 5)
    for seed in range(5):
        mixed = [many[i] for i in np.random.default_rng(seed).permutation(len(many))]
        assert assign(mixed + mixed[:30], {}, 5) == expected
    assert list(expected) == sorted(expected)
    assert assign(many, {}, 6) != expected
    assert assign(many, frozen(expected, many), 99) == expected


def test_only_the_asked_for_subjects_are_returned() -> None:
    placed: dict[str, tuple[str, Hashable]] = {"old": ("test", None), "older": ("train", None)}
    assert set(assign([("new", "a")], placed, 0)) == {"new"}
    assert assign([("new", "a")], placed, 0)["new"] == "validation"
    assert assign([], placed, 0) == {}


def test_other_shares() -> None:
    halves = {"dev": 0.5, "held-out": 0.5}
    found = Counter(assign(subjects(101, 5), {}, 2, halves).values())
    assert sorted(found.values()) == [50, 51]
    assert assign(subjects(1, 1), {}, 2, halves) == {"s0": "dev"}


def test_a_lopsided_past_is_mended_by_the_new() -> None:
    past = {f"old{i}": ("train", "a") for i in range(30)}
    found = Counter(assign(subjects(8, 1), past, 3).values())
    assert found["train"] <= 1 and min(found["validation"], found["test"]) >= 3


@pytest.mark.parametrize(
    "shares",
    [{"train": 1.0, "test": 0.0}, {"train": 0.5}, {}, {"train": math.nan, "test": 1.0}],
)
def test_bad_shares(shares: dict[str, float]) -> None:
    with pytest.raises(EquimeError, match="sum to 1"):
        assign(subjects(5, 1), {}, 0, shares)


def test_bad_subjects() -> None:
    with pytest.raises(EquimeError, match="one stratum"):
        assign([("a", 1), ("b", 1), ("a", 2)], {}, 0)
    with pytest.raises(EquimeError, match="split = 'dev'"):
        assign([("a", 1)], {"b": ("dev", 1)}, 0)
