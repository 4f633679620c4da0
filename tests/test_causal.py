from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter
from functools import partial

import numpy as np
import pytest
from counted import pooled, share
from scipy import stats

from equime.action_units import INTENSITIES
from equime.au_counts import COUNTS, DURATION_MS, INTENSITY_MARKS, ONSET_TO_APEX_MS, Quantiles
from equime.causal import (
    APEX_MS,
    EMOTIONS,
    INTENSITY_CAPS,
    MIN_GAP_MS,
    PAIRED_UNITS,
    EmotionModel,
    Programme,
    noise,
    seed_of,
)
from equime.errors import EquimeError
from equime.scm.times import TIME_CORRELATION
from equime.scm.unit_fit import STRONG_PAIRS, WEAK_PAIRS
from equime.scm.unit_model import NEVER

FIVE = ("happiness", "sadness", "surprise", "fear", "anger")
DRAWS = 20_000
MODEL = EmotionModel.from_tables()


def draw(emotion: str, index: int, model: EmotionModel = MODEL) -> Programme:
    return model.sample(emotion, partial(noise, seed_of(7, f"{emotion}/{index}")))


@pytest.fixture(scope="module")
def programmes() -> dict[str, list[Programme]]:
    return {emotion: [draw(emotion, index) for index in range(DRAWS // 5)] for emotion in EMOTIONS}


def within(found: float, expected: float, n: float, deviations: float = 4.5) -> bool:
    return abs(found - expected) <= deviations * math.sqrt(expected * (1 - expected) / n) + 1 / n


def test_the_tables_hold_together() -> None:
    totals = {name: sum(t.n for t in table.values()) for name, table in COUNTS.items()}
    assert totals == {"casme2": 246, "samm": 159, "casme3_partA": 687}
    for au, expected in {1: (22, 6, 133), 4: (124, 23, 260), 7: (38, 46, 20)}.items():
        found = tuple(sum(t.au.get(au, 0) for t in table.values()) for table in COUNTS.values())
        assert found == expected
    for table in (t for emotions in COUNTS.values() for t in emotions.values()):
        assert all(0 < count <= table.n for count in table.au.values())
        for (first, second), count in table.pairs.items():
            assert first < second and 0 < count <= min(table.au[first], table.au[second])


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_sampled_units_follow_the_exact_distribution(emotion: str, programmes: dict[str, list[Programme]]) -> None:
    """Every unit and every pair of units lies in its binomial interval, one in 1000 emotions by chance not."""
    model = MODEL.units[emotion]
    clips = [tuple(unit.au for unit in programme.units) for programme in programmes[emotion]]
    known = sorted(model.units)
    keys = [*((au,) for au in known), *itertools.combinations(known, 2)]
    for key in keys:
        found = sum(set(key) <= set(clip) for clip in clips)
        low, high = stats.binom.interval(1 - 1e-3 / len(keys), len(clips), model.chance(*key))
        assert low <= found <= high, key
    assert all(clips) and set().union(*clips) <= set(known)
    assert all(len(set(clip)) == len(clip) and list(clip) == sorted(clip) for clip in clips)


@pytest.mark.parametrize("emotion", ["happiness", "surprise", "anger", "disgust"])
def test_sampled_units_lie_within_the_tables_intervals(emotion: str, programmes: dict[str, list[Programme]]) -> None:
    """Every unit, strong pair and weak pair that is coded, within the exact interval around its count."""
    n, units, pairs = pooled(emotion)
    clips = [{unit.au for unit in programme.units} for programme in programmes[emotion]]
    keys = {(au,): k for au, k in units.items() if au not in NEVER}
    keys |= {pair: pairs[pair] for pair in (*STRONG_PAIRS, *WEAK_PAIRS) if set(pair) <= set(units)}
    assert len(keys) >= 6
    for key, count in keys.items():
        found = sum(clip.issuperset(key) for clip in clips) / len(clips)
        interval = stats.binomtest(count, n).proportion_ci(1 - 0.01 / len(keys))
        assert interval.low <= found <= interval.high, (key, count, n, found)


def test_one_or_two_units_a_clip(programmes: dict[str, list[Programme]]) -> None:
    mean = np.mean([len(p.units) for emotion in FIVE for p in programmes[emotion]])
    assert 1.3 <= mean <= 1.6
    assert max(MODEL.units[e].prior_share for e in ("fear", "sadness")) <= 0.4
    assert all(MODEL.units[e].prior_share == 0 for e in ("happiness", "surprise", "anger"))


def test_units_no_generator_shows_are_never_drawn_and_accounted_for() -> None:
    for model in MODEL.units.values():
        assert not NEVER & {au for key in model.distribution() for au in key}
    dropped = MODEL.dropped_share()
    assert dropped["anger"] == pytest.approx(9 / 77)
    assert dropped["fear"] == pytest.approx(2 / 14)
    assert dropped["sadness"] == 0
    marks = {e: sum(pooled(e)[1].values()) / pooled(e)[0] for e in FIVE}
    lost = sum(dropped[e] * marks[e] for e in FIVE)
    assert dropped["overall"] == pytest.approx(lost / sum(marks.values()))


def test_a_generator_that_shows_less() -> None:
    model = EmotionModel.from_tables(can_show={4, 12, 15, 1, 20})
    assert set(model.units["happiness"].distribution()) >= {(12,), (4,), (1,), (4, 12)}
    assert {draw("fear", i, model).units[0].au for i in range(200)} <= {1, 4, 20}
    only = EmotionModel.from_tables(can_show={4, 1})
    assert set(only.units["happiness"].distribution()) == {(1,), (4,), (1, 4)}
    with pytest.raises(EquimeError, match="of fear that can be shown"):
        EmotionModel.from_tables(can_show={12, 17, 14})


def test_weights_move_the_fit() -> None:
    default = MODEL.units["sadness"].distribution()
    more = EmotionModel.from_tables(weights={"casme2": 1, "samm": 1, "casme3_partA": 1})
    assert share(default, 14) == 0
    assert share(more.units["sadness"].distribution(), 14) > 0.35
    assert more.units["sadness"].prior_share == 0
    thin = EmotionModel.from_tables(weights={"samm": 0.1, "casme2": 1.0})
    assert thin.units["fear"].prior_share > MODEL.units["fear"].prior_share


@pytest.mark.parametrize("weights", [{"smic": 1.0}, {"samm": -1.0}, {"samm": math.nan}, {"casme2": 1.0}, {}])
def test_bad_weights(weights: dict[str, float]) -> None:
    with pytest.raises(EquimeError, match="weights = "):
        EmotionModel.from_tables(weights=weights)


def test_unknown_emotion_lists_the_known() -> None:
    with pytest.raises(EquimeError, match="happiness, sadness, surprise, fear, anger, disgust"):
        MODEL.sample("contempt", partial(noise, 1))


LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def quantiles(sets: list[Quantiles]) -> np.ndarray:
    """Of the sets taken together: their own, weighted by clips (they lie within 21 % of each other)."""
    return np.average([row[1:6] for row in sets], axis=0, weights=[row.n for row in sets])


def test_times_match_the_tables(programmes: dict[str, list[Programme]]) -> None:
    every = [p for emotion in FIVE for p in programmes[emotion]]
    duration = np.array([p.offset_ms - p.onset_ms for p in every])
    rise = np.array([p.apex_ms - p.onset_ms for p in every])
    apex = np.array([p.apex_ms for p in every])
    assert duration.max() <= 500 and rise.max() <= 260
    assert min(rise.min(), (duration - rise).min()) >= MIN_GAP_MS - 1e-9
    durations = [DURATION_MS[name] for name in ("casme2", "samm")]
    rises = [ONSET_TO_APEX_MS[name] for name in ("casme2", "samm")]
    assert np.quantile(duration, LEVELS) == pytest.approx(quantiles(durations), rel=0.08)
    uncut = quantiles(rises)
    levels = (0.0, *LEVELS)
    share_in_time = np.interp(260, (MIN_GAP_MS, *uncut), levels)
    cut = np.interp(np.multiply(LEVELS, share_in_time), levels, (MIN_GAP_MS, *uncut))
    assert np.quantile(rise, LEVELS) == pytest.approx(cut, rel=0.08)
    counts, _ = np.histogram(apex, 10, APEX_MS)
    assert counts.sum() == len(every)
    assert all(within(count / len(every), 0.1, len(every)) for count in counts)


def test_intensities_follow_samm_with_caps(programmes: dict[str, list[Programme]]) -> None:
    units = [unit for clips in programmes.values() for p in clips for unit in p.units]
    free = Counter(u.intensity for u in units if u.au not in INTENSITY_CAPS)
    capped = Counter(u.intensity for u in units if u.au in (25, 26))
    for letter in INTENSITIES:
        marks = INTENSITY_MARKS[letter]
        assert within(free[letter] / free.total(), marks / 78, free.total())
        expected = marks / 69 if letter <= "C" else 0.0
        assert within(capped[letter] / capped.total(), expected, capped.total())
    assert not capped["D"] and not capped["E"] and capped.total() > 500


def test_sides(programmes: dict[str, list[Programme]]) -> None:
    clips = [p.units for emotion in FIVE for p in programmes[emotion]]
    sides = [{unit.side for unit in units} - {"B"} for units in clips]
    marked = [side for side in sides if side]
    assert 0.18 <= len(marked) / len(clips) <= 0.26
    assert all(len(side) == 1 and side <= {"L", "R"} for side in marked)
    left = sum(side == {"L"} for side in marked)
    assert within(left / len(marked), 55 / 90, len(marked))
    one_sided = Counter(unit.au for units in clips for unit in units if unit.side != "B")
    assert set(one_sided) <= PAIRED_UNITS and not {17, 18, 24, 25, 26} & set(one_sided)
    assert sum(one_sided[au] for au in (2, 10, 12, 14)) > 0.7 * one_sided.total()


def test_seed_and_noise_are_keyed_by_content() -> None:
    digest = hashlib.sha256(b"5\0happiness/f_a_1").hexdigest()
    assert seed_of(5, "happiness/f_a_1") == int(digest, 16) >> (256 - 63)
    key = int(hashlib.sha256(b"9\0times").hexdigest()[:32], 16)
    expected = np.random.Generator(np.random.Philox(key=key)).random(4)
    assert np.array_equal(noise(9, "times").random(4), expected)
    assert len({seed_of(a, str(b)) for a in range(20) for b in range(50)}) == 1000
    assert all(0 <= seed_of(3, str(b)) < 2**63 for b in range(100))


def test_a_programme_depends_on_its_noise_alone() -> None:
    first = [draw("surprise", index) for index in range(50)]
    again = [draw("surprise", index) for index in reversed(range(50))]
    assert first == again[::-1] and len({p.apex_ms for p in first}) == 50


def test_the_noises_are_independent_of_each_other() -> None:
    names = ("units", "intensity", "side", "times")
    heads = np.array([[noise(seed, name).random() for name in names] for seed in range(4000)])
    correlation = np.corrcoef(heads, rowvar=False) - np.eye(4)
    assert np.abs(correlation).max() < 4.5 / math.sqrt(4000)
    for index in range(30):
        base = draw("fear", index)
        seed = seed_of(7, f"fear/{index}")
        for changed in names:
            mixed = MODEL.sample("fear", lambda name, c=changed, s=seed: noise(s + (name == c), name))
            if changed != "times":
                assert mixed.apex_ms == base.apex_ms and mixed.onset_ms == base.onset_ms
            if changed != "units":
                assert [u.au for u in mixed.units] == [u.au for u in base.units]
                if changed != "side":
                    assert [u.side for u in mixed.units] == [u.side for u in base.units]
                if changed != "intensity":
                    assert [u.intensity for u in mixed.units] == [u.intensity for u in base.units]


def test_times_are_those_of_an_independent_simulation(programmes: dict[str, list[Programme]]) -> None:
    """The same two cut log-normals and copula in scipy, pairs without room for a frame left out."""
    every = [p for emotion in FIVE for p in programmes[emotion]]
    times = MODEL.times["fear"]
    scores = np.random.default_rng(8).multivariate_normal(
        (0, 0), [[1, TIME_CORRELATION], [TIME_CORRELATION, 1]], 40_000
    )
    drawn = []
    for law, score in zip((times.onset_to_apex, times.duration), scores.T, strict=True):
        whole = stats.lognorm(law.deviation, scale=math.exp(law.mean))
        drawn.append(whole.ppf(stats.norm.cdf(score) * whole.cdf(law.upper)))
    rise, duration = (ms[np.minimum(drawn[0], drawn[1] - drawn[0]) >= MIN_GAP_MS] for ms in drawn)
    assert stats.ks_2samp([p.apex_ms - p.onset_ms for p in every], rise).pvalue > 1e-3
    assert stats.ks_2samp([p.offset_ms - p.onset_ms for p in every], duration).pvalue > 1e-3
    assert stats.ks_2samp([p.offset_ms - p.apex_ms for p in every], duration - rise).pvalue > 1e-3


def test_emotion_and_units_do_not_know_the_face() -> None:
    """The noise of 4,000 clips, faces dealt at random: no table of a perceived attribute departs from chance."""
    rng = np.random.default_rng(11)
    clips = [(emotion, draw(emotion, index)) for index in range(800) for emotion in FIVE]
    for groups in (2, 5, 6):
        faces = rng.integers(groups, size=len(clips))
        for value in (
            lambda e, p: e,
            lambda e, p: p.units[0].au,
            lambda e, p: len(p.units),
            lambda e, p: p.apex_ms > 3000,
        ):
            kinds = np.unique([value(e, p) for e, p in clips], return_inverse=True)[1]
            table = np.zeros((groups, kinds.max() + 1))
            np.add.at(table, (faces, kinds), 1)
            assert stats.chi2_contingency(table).pvalue > 1e-4


def test_a_posterior_and_units_that_nobody_shows() -> None:
    found = MODEL.posterior((7, 4))
    assert sum(found.values()) == pytest.approx(1) and max(found, key=lambda e: found[e]) == "anger"
    joint = {e: MODEL.units[e].distribution().get((4, 7), 0.0) for e in FIVE}
    assert found == pytest.approx({e: p / sum(joint.values()) for e, p in joint.items()})
    with pytest.raises(EquimeError, match="shows together"):
        MODEL.posterior((20, 23, 24))


def test_showing_is_what_fitting_for_a_generator_gives() -> None:
    shown, caps = {1, 2, 4, 5, 7, 12, 15, 17, 20}, {20: "B"}
    direct = EmotionModel.from_tables(can_show=shown, caps=caps)
    assert MODEL.showing(shown, caps) == direct
    assert MODEL.showing(shown).caps == INTENSITY_CAPS
    with pytest.raises(EquimeError, match="FACS"):
        MODEL.showing({4, 99})


def test_43_has_no_probability() -> None:
    assert all(units.chance(43) == 0 for units in MODEL.units.values())
    assert EmotionModel.from_tables(never=()).units["anger"].chance(43) > 0.1
