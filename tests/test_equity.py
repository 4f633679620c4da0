"""Equity by design: against published figures, scipy, brute force over small cases, and its own promises."""

from __future__ import annotations

import json
import math
from collections import Counter
from itertools import combinations_with_replacement, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

from equime import schema
from equime.errors import EquimeError
from equime.planning.equity import Targets, evenness, order, repeats, report
from equime.planning.targets import closeness, divergence, effective_groups, project, ratio, totals

UNIFORM = Targets.uniform()
PUBLISHED = {
    "white": 74.8,
    "asian": 8.9,
    "latino hispanic": 7.3,
    "black": 4.4,
    "middle eastern": 3.7,
    "indian": 0.9,
}
"""Per cent of subjects by race in the published data set."""
SMALL = [
    f"{gender}|{age}|{race}"
    for gender, age, race in product(*[["female", "male"], ["18-29", "60+"]], ["asian", "black", "white"])
]
PARTLY = ["unknown|18-29|asian", "female|unknown|white", "female|18-29|unknown", "unknown|unknown|unknown"]

counts_of = st.dictionaries(st.sampled_from(SMALL), st.integers(0, 4), max_size=8)
any_counts = st.dictionaries(st.sampled_from(SMALL + PARTLY), st.integers(0, 4), max_size=9)


def pool(counts: dict[str, int], name: str = "s") -> dict[str, list[str]]:
    """Candidates by cell, each with a name of its own."""
    return {cell: [f"{name}-{cell}-{i}" for i in range(n)] for cell, n in counts.items()}


def cells(ids: list[str]) -> list[str]:
    return [subject.rsplit("-", 1)[0].split("-", 1)[1] for subject in ids]


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


# --- measures


def test_the_published_shares_give_the_published_figures():
    shares = dict.fromkeys(PUBLISHED, 1 / 6)
    assert evenness(PUBLISHED, schema.RACES) == pytest.approx(0.516, abs=5e-4)
    assert effective_groups(PUBLISHED) == pytest.approx(2.52, abs=5e-3)
    assert divergence(PUBLISHED, shares) == pytest.approx(0.866, abs=5e-4)
    assert ratio(PUBLISHED, schema.RACES) == pytest.approx(83, abs=0.5)
    assert evenness({"female": 55.6, "male": 44.4}, schema.GENDERS) == pytest.approx(0.991, abs=5e-4)


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=8).filter(any))
def test_measures_equal_scipys(values):
    groups = [f"g{i}" for i in range(len(values))]
    counts = dict(zip(groups, values, strict=True))
    wanted = np.arange(1, len(values) + 1) / sum(range(1, len(values) + 1))
    assert evenness(counts, groups) == pytest.approx(entropy(values) / math.log(len(values)), abs=1e-12)
    assert effective_groups(counts) == pytest.approx(math.exp(entropy(values)))
    assert divergence(counts, dict(zip(groups, wanted, strict=True))) == pytest.approx(
        entropy(values, wanted), abs=1e-12
    )


def test_the_ends_of_the_scale():
    assert evenness({"a": 3, "b": 3}, ["a", "b"]) == pytest.approx(1)
    assert evenness({"a": 3}, ["a", "b"]) == 0
    assert evenness({"a": 3}, ["a"]) == 1
    assert evenness({"a": 1, "b": 1, "unknown": 9}, ["a", "b"]) == pytest.approx(1)
    assert math.isnan(evenness({}, ["a", "b"])) and math.isnan(effective_groups({}))
    assert closeness({"a": 1, "b": 3}, {"a": 0.25, "b": 0.75}) == pytest.approx(1)
    assert closeness({"a": 1}, {"a": 0.01, "b": 0.99}) == 0
    assert ratio({"a": 2}, ["a", "b"]) == math.inf


# --- targets


def test_the_uniform_target_has_sixty_cells_of_equal_share():
    assert len(UNIFORM.shares) == 60 and set(UNIFORM.shares.values()) == {1 / 60}
    assert UNIFORM.groups("race") == schema.RACES and UNIFORM.groups("age") == schema.AGE_BANDS


def test_a_target_may_speak_of_one_attribute_and_need_not_sum_to_one(tmp_path):
    path = write(tmp_path / "t.csv", "\ufeffRace;share\nAsian;1\nlatino_hispanic;3\nwhite;0\n")
    targets = Targets.from_csv(path)
    assert targets.attributes == ("race",) and targets.ranked == ("race",)
    assert targets.wanted(("race",)) == {"asian": 0.25, "latino hispanic": 0.75}
    assert "sum to 4" in targets.note and "race" in targets.name
    assert targets.groups("gender") == schema.GENDERS and targets.groups("race") == ("asian", "latino hispanic")
    chosen = order(pool({"female|60+|asian": 9, "male|60+|latino hispanic": 9, "male|60+|white": 9}), targets, {}, 8)
    assert Counter(project(cell, ["race"]) for cell in cells(chosen)) == {"asian": 2, "latino hispanic": 6}


def test_shares_that_sum_to_one_are_said_nothing_of(tmp_path):
    targets = Targets.from_csv(write(tmp_path / "t.csv", "gender,race,share\nfemale,asian,.5\nmale,white,.5\n"))
    assert targets.note == "" and targets.shares == {"female|*|asian": 0.5, "male|*|white": 0.5}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("race,share\nmartian,1\n", "race should be one of"),
        ("race,share\nasian,-1\n", "0 or more"),
        ("race,share\nasian,nan\n", "0 or more"),
        ("race,share\nasian,many\n", "0 or more"),
        ("race,share\nasian,0\n", "above 0"),
        ("race,share\n", "no rows"),
        ("", "expected the columns"),
        ("share\n1\n", "expected the columns"),
        ("race,weight\nasian,1\n", "expected the columns"),
        ("race,height,share\nasian,2,1\n", "expected the columns"),
        ("race,share\nasian,1\nAsian,2\n", "comes twice"),
        ("race,share\nasian\n", "2 values a row"),
        ("race,gender,share\nasian,,1\n", "gender should be one of"),
    ],
)
def test_a_target_that_cannot_be_read_is_one_line(tmp_path, text, said):
    with pytest.raises(EquimeError, match=said) as caught:
        Targets.from_csv(write(tmp_path / "t.csv", text))
    assert "\n" not in str(caught.value) and "t.csv" in str(caught.value)


def test_a_target_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(EquimeError, match=r"cannot read .*none\.csv"):
        Targets.from_csv(tmp_path / "none.csv")


# --- order


def test_race_comes_first_then_what_is_within_it():
    assert UNIFORM.levels == [
        ("race",),
        ("race", "gender"),
        ("race", "age"),
        ("race", "gender", "age"),
        ("gender",),
        ("age",),
    ]


def far(counts: dict[str, int], targets: Targets) -> tuple[float, ...]:
    """The distances that `order` lowers, in its order of importance, through scipy."""
    found = []
    for level in targets.levels:
        wanted, reached = targets.wanted(level), totals(counts, level)
        values = [reached.get(group, 0) for group in wanted]
        found.append(round(float(entropy(values, [*wanted.values()])), 9) if any(values) else math.inf)
    return tuple(found)


@given(counts_of, counts_of)
@settings(derandomize=True, deadline=None, max_examples=60)
def test_no_other_next_subject_comes_closer_to_the_target(counts, before):
    left, state = Counter(counts), Counter(before)
    for cell in cells(order(pool(counts), UNIFORM, before, 30)):
        tried = {other: far(state + Counter([other]), UNIFORM) for other, n in left.items() if n}
        assert tried[cell] == min(tried.values())
        left[cell] -= 1
        state[cell] += 1
    assert not +left


def test_nor_with_unequal_shares(tmp_path):
    path = write(tmp_path / "t.csv", "gender,race,share\nfemale,asian,5\nmale,asian,1\nfemale,white,2\nmale,white,2\n")
    targets, counts = Targets.from_csv(path), dict(zip(SMALL, [3, 0, 9, 2, 5, 1] * 2, strict=True))
    left, state = Counter({c: n for c, n in counts.items() if "black" not in c}), Counter()
    for cell in cells(order(pool(counts), targets, {}, 99)):
        tried = {other: far(state + Counter([other]), targets) for other, n in left.items() if n}
        assert tried[cell] == min(tried.values())
        left[cell] -= 1
        state[cell] += 1
    assert not +left


@given(counts_of, counts_of)
@settings(derandomize=True, deadline=None, max_examples=40)
def test_every_prefix_is_the_most_even_in_race_that_its_length_allows(counts, before):
    groups = ["asian", "black", "white"]
    stock, first = totals(counts, ["race"]), totals(before, ["race"])
    state = Counter(first)
    for length, cell in enumerate(cells(order(pool(counts), UNIFORM, before, 6)), start=1):
        state[project(cell, ["race"])] += 1
        choices = (Counter(c) for c in combinations_with_replacement(groups, length))
        possible = (Counter(first) + c for c in choices if all(n <= stock.get(g, 0) for g, n in c.items()))
        assert evenness(state, schema.RACES) == pytest.approx(max(evenness(p, schema.RACES) for p in possible))


@given(any_counts, st.integers(0, 20), st.integers(0, 3))
@settings(derandomize=True, deadline=None, max_examples=60)
def test_going_on_from_a_prefix_gives_the_same(counts, cut, seed):
    whole = order(pool(counts), UNIFORM, {}, 99, seed=seed)
    assert sorted(whole) == sorted(s for ids in pool(counts).values() for s in ids)
    first = whole[:cut]
    left = {cell: [s for s in reversed(ids) if s not in first] for cell, ids in reversed(pool(counts).items())}
    assert order(left, UNIFORM, Counter(cells(first)), 99, seed=seed) == whole[cut:]
    assert order(pool(counts), UNIFORM, {}, cut, seed=seed) == first


def test_a_full_stock_is_balanced_at_once():
    ids = order(pool(dict.fromkeys(UNIFORM.shares, 3)), UNIFORM, {}, 120)
    for length in (6, 12, 30, 60, 120):
        balance = report(Counter(cells(ids[:length])), {}, UNIFORM).balances
        for name in ("race", "gender", *(["age"] if length % 10 == 0 else [])):
            assert balance[name].measures("identities")["evenness"] == pytest.approx(1)
        within = totals(Counter(cells(ids[:length])), ["race", "gender"])
        assert max(within.values()) - min(within.values() if len(within) == 12 else [0]) <= 1
    assert set(Counter(cells(ids[:60])).values()) == {1}


def test_unlabelled_subjects_come_last_and_are_no_group():
    counts = {"female|18-29|asian": 2, "male|18-29|white": 2, "female|18-29|unknown": 3, "unknown|60+|asian": 1}
    chosen = cells(order(pool(counts), UNIFORM, {}, 99))
    assert len(chosen) == 8 and set(chosen[-3:]) == {"female|18-29|unknown"}
    assert chosen.index("unknown|60+|asian") > max(i for i, c in enumerate(chosen) if c == "female|18-29|asian")
    assert not any("unknown" in c for c in cells(order(pool(counts), UNIFORM)) if c.endswith("unknown"))
    assert len(order(pool({"unknown|unknown|unknown": 3}), UNIFORM)) == 3


@given(counts_of.filter(lambda counts: any(counts.values())), st.sampled_from([0.5, 0.9, 0.99]))
@settings(derandomize=True, deadline=None, max_examples=60)
def test_without_a_count_it_goes_as_far_as_the_floor_allows(counts, floor):
    whole = order(pool(counts), UNIFORM, {}, 99)
    races = [project(cell, ["race"]) for cell in cells(whole)]
    reached = [evenness(Counter(races[:n]), sorted(set(races))) for n in range(1, len(races) + 1)]
    longest = max((n for n, even in enumerate(reached, start=1) if even >= floor), default=None)
    assert longest is not None, "as many of one group as there are of the rarest is even"
    assert order(pool(counts), UNIFORM, floor=floor) == whole[:longest]


def test_growth_that_cannot_reach_the_floor_goes_to_the_closest():
    before = {"male|18-29|white": 100}
    chosen = order(pool({"male|18-29|white": 5, "male|18-29|black": 7}), UNIFORM, before)
    assert cells(chosen) == ["male|18-29|black"] * 7
    assert order(pool({"male|18-29|white": 5}), UNIFORM, before | {"male|18-29|black": 20}) == []


def test_the_seed_changes_who_and_not_how_many_of_whom():
    stock = pool(dict.fromkeys(SMALL, 9))
    first, second = order(stock, UNIFORM, {}, 24, seed=1), order(stock, UNIFORM, {}, 24, seed=2)
    assert first != second and Counter(cells(first)) == Counter(cells(second))


# --- repeats


@given(st.lists(st.integers(1, 9), min_size=2, max_size=4), st.integers(1, 4))
@settings(derandomize=True, deadline=None, max_examples=60)
def test_repeats_come_as_close_in_race_as_any_choice_under_the_cap(numbers, cap):
    identities = {f"female|18-29|{race}": n for race, n in zip(schema.RACES, numbers, strict=False)}
    found = repeats(identities, UNIFORM, cap)

    def even(times):
        return evenness(
            {c.split("|")[2]: n * t for (c, n), t in zip(identities.items(), times, strict=True)}, schema.RACES
        )

    best = max(even(times) for times in product(range(1, cap + 1), repeat=len(identities)))
    assert even(found.values()) == pytest.approx(best, abs=1e-4)
    assert set(found.values()) <= set(range(1, cap + 1))


@given(st.lists(st.sampled_from([1, 2, 5, 20]), min_size=5, max_size=5), st.permutations(SMALL))
@settings(derandomize=True, deadline=None, max_examples=25)
def test_repeats_of_several_cells_a_race_come_as_close_but_for_a_trace(numbers, shuffled):
    identities = dict(zip(shuffled, numbers, strict=False))

    def loss(times):
        clips = {cell: n * t for (cell, n), t in zip(identities.items(), times, strict=True)}
        return divergence(totals(clips, ["race"]), UNIFORM.wanted(["race"]))

    best = min(loss(times) for times in product(range(1, 4), repeat=5))
    assert loss(repeats(identities, UNIFORM, 3).values()) == pytest.approx(best, abs=5e-3)


def test_repeats_balance_clips_and_leave_identities_as_they_are():
    identities = {f"{g}|18-29|{r}": 100 if r == "white" else 20 for g in schema.GENDERS for r in schema.RACES}
    identities |= {"female|18-29|unknown": 4}
    times = repeats(identities, UNIFORM, 5)
    assert times["female|18-29|white"] == 1 and times["male|18-29|indian"] == 5 and times["female|18-29|unknown"] == 1
    equity = report(identities, {cell: 5 * n * times[cell] for cell, n in identities.items()}, UNIFORM)
    race = equity.balances["race"]
    assert race.measures("clips")["evenness"] == pytest.approx(1)
    assert race.measures("identities")["evenness"] == pytest.approx(entropy([5, 1, 1, 1, 1, 1]) / math.log(6))
    assert not equity.reached


def test_repeats_make_up_for_cells_that_are_missing():
    identities = {"female|18-29|indian": 10, **{f"{g}|{a}|white": 10 for g in schema.GENDERS for a in schema.AGE_BANDS}}
    times = repeats(identities, UNIFORM, 10)
    assert times["female|18-29|indian"] == 10 and set(times.values()) == {1, 10}
    assert repeats({}, UNIFORM, 3) == {} and set(repeats(identities, UNIFORM, 1).values()) == {1}


# --- report


def test_the_report_says_what_is_short_and_by_how_many():
    identities = {cell: 10 for cell in UNIFORM.shares} | {"female|60+|indian": 1, "unknown|18-29|asian": 2}
    equity = report(identities, {cell: 5 * n for cell, n in identities.items()}, UNIFORM)
    assert equity.balances["joint"].short == {"female|60+|indian": 8} and equity.balances["gender"].unlabelled == 2
    assert equity.identities == 593 and equity.clips == 5 * 593 and equity.reached
    text = str(equity)
    assert "female|60+|indian 8" in text and "0.99 reached" in text and "2 of gender" in text
    assert len(text.splitlines()) <= 25 and max(map(len, text.splitlines())) < 300


def test_clips_and_identities_must_both_reach_the_floor():
    even = dict.fromkeys(UNIFORM.shares, 5)
    uneven = {cell: 50 if cell.endswith("white") else 5 for cell in even}
    assert report(even, even, UNIFORM).reached
    assert not report(even, uneven, UNIFORM).reached and not report(uneven, even, UNIFORM).reached
    assert report(uneven, even, UNIFORM, floor=0.5).reached


def test_a_long_list_of_short_cells_is_cut():
    equity = report({"female|18-29|white": 600}, {"female|18-29|white": 600}, UNIFORM)
    text = str(equity)
    assert "and 51 more" in text and "not reached" in text and len(text.splitlines()) <= 25
    assert sum(equity.balances["joint"].short.values()) == 590


def test_the_report_is_json_with_both_evennesses():
    clips = {f"female|18-29|{race}": 10 for race in schema.RACES}
    identities = {f"female|18-29|{race}": 1 + (race == "white") for race in schema.RACES}
    found = json.loads(json.dumps(report(identities, clips, UNIFORM).to_dict(), allow_nan=False))
    assert found["race"]["clips"]["evenness"] == pytest.approx(1)
    assert found["race"]["identities"]["max_min_ratio"] == 2
    assert found["gender"]["identities"]["max_min_ratio"] is None and found["labels"] == "perceived"
    assert found["reached"] is False and found["race"]["counts"]["identities"]["white"] == 2


def test_what_nobody_labelled_is_not_called_balanced():
    even = {f"female|18-29|{race}": 10 for race in schema.RACES}
    assert report(even, even, UNIFORM).reached
    assert not report(even | {"female|18-29|unknown": 10}, even, UNIFORM).reached
    nobody = report({"unknown|unknown|unknown": 7}, {"unknown|unknown|unknown": 35}, UNIFORM)
    assert not nobody.reached and "7 of race" in str(nobody) and nobody.to_dict()["race"]["clips"]["evenness"] is None


def test_a_free_attribute_is_shown_and_asked_nothing_of(tmp_path):
    targets = Targets.from_csv(write(tmp_path / "t.csv", "gender,share\nfemale,1\nmale,1\n"))
    counts = {"female|18-29|white": 5, "male|18-29|white": 5}
    equity = report(counts, counts, targets)
    assert equity.reached and equity.head == "gender" and equity.balances["race"].short == {}
    assert "(free)" in str(equity)


def test_fifteen_thousand_subjects_keep_every_tenth_balanced():
    rng = np.random.default_rng(0)
    stock: dict[str, list[str]] = {}
    for i, cell in enumerate(rng.choice([*UNIFORM.shares], 18_000)):
        stock.setdefault(str(cell), []).append(f"s{i}")
    of = {subject: cell for cell, ids in stock.items() for subject in ids}
    ids = order(stock, UNIFORM, {}, 15_000)
    for share in range(1, 11):
        found = report(Counter(of[s] for s in ids[: share * 1500]), {}, UNIFORM).balances
        assert found["race"].measures("identities")["evenness"] == pytest.approx(1, abs=1e-6)
        assert found["joint"].measures("identities")["evenness"] > 0.999
