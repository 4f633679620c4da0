from __future__ import annotations

import itertools
from collections import Counter
from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy import stats

from equime import schema
from equime.action_units import ActionUnit, parse
from equime.causal import EMOTIONS, Do, EmotionModel, Programme, noise, seed_of
from equime.errors import EquimeError
from equime.scm.coded import Coded, CodedClip
from equime.scm.intervention import FACE_COLUMNS, NAMED_AFTER

MODEL = EmotionModel.from_tables()
SEEDS = [seed_of(3, str(index)) for index in range(400)]


def coded_with_marks() -> Coded:
    """Two emotions, coded with intensities, sides and times that differ: so that every arrow from E is at work."""
    rng = np.random.default_rng(5)
    clips = []
    for line in range(600):
        emotion, weak, left, middle = (("fear", "A", "L", 180.0), ("anger", "D", "R", 380.0))[line % 2]
        units = (
            f"{left if line % 3 else ''}4{weak}"
            + ("+7B" if rng.random() < 0.4 else "")
            + ("+20C" if line % 5 == 0 else "")
        )
        duration = float(middle * rng.uniform(0.8, 1.25))
        clips.append(
            CodedClip(line, "s", "c", emotion, parse(units), duration * float(rng.uniform(0.3, 0.6)), duration)
        )
    return Coded("own", 0.0, tuple(clips))


FITTED = EmotionModel.from_coded(coded_with_marks())


def row_of(emotion: str, seed: int, do: Do | None = None, model: EmotionModel = MODEL) -> dict[str, Any]:
    """A row as the planner writes it."""
    programme = model.sample(emotion, partial(noise, seed), do)
    times = {"onset": programme.onset_ms, "apex": programme.apex_ms, "offset": programme.offset_ms}
    return {
        "clip_id": f"{emotion}/f_ann_01",
        "subject_id": "ann",
        "source": "ann.jpg",
        "source_gender": "female",
        "source_race": "asian",
        "emotion": emotion,
        "action_units": [unit.to_dict() for unit in programme.units],
        **{f"{name}_ms": ms for name, ms in times.items()},
        **{name: round(ms * schema.FPS / 1000) for name, ms in times.items()},
        "noise_key": f"{emotion}/f_ann_01",
        "seed": seed,
        "prompt": "words",
        "split": "train",
    }


def pairs(do: Do, emotion: str = "anger", model: EmotionModel = FITTED) -> list[tuple[Programme, Programme]]:
    draws = [partial(noise, seed) for seed in SEEDS]
    return [(model.sample(emotion, rng), model.sample(emotion, rng, do)) for rng in draws]


def numbers(programme: Programme) -> list[int]:
    return [unit.au for unit in programme.units]


def sides(programme: Programme) -> dict[int, str]:
    return {unit.au: unit.side for unit in programme.units}


def letters(programme: Programme) -> dict[int, str | None]:
    return {unit.au: unit.intensity for unit in programme.units}


def shared(a: dict[int, Any], b: dict[int, Any]) -> bool:
    return all(a[au] == b[au] for au in a.keys() & b.keys())


def test_an_empty_intervention_changes_nothing() -> None:
    assert all(a == b for a, b in pairs(Do()))


def test_intensity_alone_is_cut() -> None:
    for a, b in pairs(Do(intensity="B")):
        assert (numbers(a), sides(a), a.times) == (numbers(b), sides(b), b.times)
        assert set(letters(b).values()) == {"B"}
    for a, b in pairs(Do(intensity={4: "E"})):
        assert {**letters(a), **({4: "E"} if 4 in letters(a) else {})} == letters(b)
    capped = MODEL.sample("fear", partial(noise, 1), Do(units=(20, 25), intensity="E"))
    assert letters(capped) == {20: "E", 25: "C"}
    with pytest.raises(EquimeError, match="cap = 'C'"):
        MODEL.sample("fear", partial(noise, 1), Do(units=(25,), intensity={25: "D"}))


def test_side_alone_is_cut() -> None:
    for a, b in pairs(Do(side="L"), "happiness", MODEL):
        assert (numbers(a), letters(a), a.times) == (numbers(b), letters(b), b.times)
        assert all(side == ("B" if au in (17, 24, 25) else "L") for au, side in sides(b).items())
    for a, b in pairs(Do(side={4: "B"})):
        assert {**sides(a), **({4: "B"} if 4 in sides(a) else {})} == sides(b)


def test_times_alone_are_cut() -> None:
    for a, b in pairs(Do(times=(1000.0, 1100.0, 1300.0))):
        assert a.units == b.units and b.times == (1000.0, 1100.0, 1300.0)


def test_units_are_cut_and_what_follows_keeps_its_noise() -> None:
    for a, b in pairs(Do(units=(20, 4))):
        assert numbers(b) == [4, 20] and a.times == b.times
        assert shared(letters(a), letters(b)) and shared(sides(a), sides(b))


def test_emotion_acts_on_units_intensity_side_and_times_and_through_the_same_noise() -> None:
    found = pairs(Do(emotion="fear"))
    direct = [FITTED.sample("fear", partial(noise, seed)) for seed in SEEDS]
    assert [b for _, b in found] == direct
    assert np.median([a.offset_ms - a.onset_ms for a, _ in found]) > 1.5 * np.median(
        [b.offset_ms - b.onset_ms for _, b in found]
    )
    # Longer times of the one are longer times of the other: the noise is shared, the law is not.
    assert (
        stats.spearmanr(*zip(*((a.offset_ms - a.onset_ms, b.offset_ms - b.onset_ms) for a, b in found), strict=True))[0]
        > 0.9
    )
    same_times = pairs(Do(emotion="fear"), "anger", MODEL)
    assert all(a.times == b.times for a, b in same_times)


def test_with_the_units_set_emotion_still_acts_on_the_manner() -> None:
    """do(A) cuts the arrow from E to A and no other: letters, sides and times follow the emotion as before."""
    for emotion, letter in (("fear", "A"), ("anger", "D")):
        done = [FITTED.sample(emotion, partial(noise, seed), Do(units=(4,))) for seed in SEEDS]
        shares = FITTED.intensities[emotion].shares
        found = Counter(letters(p)[4] for p in done)
        low, high = stats.binom.interval(1 - 1e-4, len(done), shares[letter])
        assert low <= found[letter] <= high and shares[letter] > 0.4
        one_sided = sum(sides(p)[4] != "B" for p in done)
        low, high = stats.binom.interval(1 - 1e-4, len(done), FITTED.sides[emotion].one_sided[4])
        assert low <= one_sided <= high


def test_what_follows_from_units_has_the_same_law_seen_or_set() -> None:
    """Given E and A nothing confounds intensity and side: seeing A = (12) and setting it are the same."""
    many = [partial(noise, seed_of(9, str(index))) for index in range(6000)]
    drawn = [MODEL.sample("happiness", rng) for rng in many]
    seen = [p.units[0] for p in drawn if numbers(p) == [12]]
    done = [MODEL.sample("happiness", rng, Do(units=(12,))).units[0] for rng in many]
    assert len(seen) > 2000
    kinds = sorted(set(done), key=str)
    table = [[Counter(units)[kind] for kind in kinds] for units in (seen, done)]
    assert stats.chi2_contingency(table).pvalue > 1e-4


def test_setting_units_says_nothing_about_the_emotion() -> None:
    """Seen, units tell the emotion (P(E|A) is not P(E)); set, they leave every row's emotion and its times."""
    assert MODEL.posterior((12,))["happiness"] > 0.8
    rows = [row_of(emotion, seed) for seed in SEEDS[:40] for emotion in schema.EMOTIONS]
    after = [MODEL.counterfactual(row, Do(units=(12,))) for row in rows]
    assert Counter(row["emotion"] for row in after) == dict.fromkeys(schema.EMOTIONS, 40)
    assert all(a["apex_ms"] == b["apex_ms"] for a, b in zip(rows, after, strict=True))


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_an_empty_counterfactual_is_the_row(emotion: str) -> None:
    for seed in SEEDS[:50]:
        row = row_of(emotion, seed)
        same = (
            Do(),
            Do(emotion=emotion),
            Do(units=tuple(u["au"] for u in row["action_units"])),
            Do(face={"source": "ann.jpg"}),
        )
        for do in same:
            assert MODEL.counterfactual(row, do) == row


def test_another_emotion_is_what_that_emotion_would_have_drawn() -> None:
    for seed, (first, second) in zip(SEEDS, itertools.cycle(itertools.permutations(schema.EMOTIONS, 2))):
        row, other = row_of(first, seed), row_of(second, seed)
        after = MODEL.counterfactual(row, Do(emotion=second))
        kept = {"clip_id": None, "prompt": None, "noise_key": row["noise_key"]}
        assert after == {**other, **kept}
        assert MODEL.counterfactual(after, Do(emotion=first)) == {**row, "clip_id": None, "prompt": None}


def test_another_face_changes_the_face_alone() -> None:
    row = row_of("fear", 5)
    face = {"subject_id": "bob", "source": "bob.jpg", "source_gender": "male", "source_race": "black"}
    after = MODEL.counterfactual(row, Do(face=face))
    assert {name for name in row if row[name] != after[name]} == {*face, "clip_id", "prompt"}
    assert set(face) < set(FACE_COLUMNS) and {"clip_id", "prompt"} < set(NAMED_AFTER)


def test_other_times_move_the_frames() -> None:
    after = MODEL.counterfactual(row_of("fear", 5), Do(times=(1000.0, 1125.0, 1250.0)))
    assert [after[name] for name in ("onset", "apex", "offset")] == [24, 27, 30]
    assert after["onset_ms"] == 1000.0


def test_a_dose_is_given_again() -> None:
    dose = Do(intensity="D")
    row = row_of("anger", 8, dose)
    assert MODEL.counterfactual(row, Do(), given=dose) == row
    after = MODEL.counterfactual(row, Do(emotion="fear"), given=dose)
    assert after["action_units"] == row_of("fear", 8, dose)["action_units"]
    weaker = MODEL.counterfactual(row, Do(intensity="A"), given=dose)
    assert [u["intensity"] for u in weaker["action_units"]] == ["A"] * len(row["action_units"])
    with pytest.raises(EquimeError, match="given"):
        MODEL.counterfactual(row, Do())


@pytest.mark.parametrize(
    "change",
    [{"seed": 6}, {"emotion": "anger"}, {"apex_ms": 2000.0}, {"action_units": [ActionUnit(12, "B", "A").to_dict()]}],
)
def test_a_row_of_another_model_is_refused(change: dict[str, Any]) -> None:
    row = row_of("sadness", 5) | change
    with pytest.raises(EquimeError, match=r"^expected a row that this model draws, got sadness/f_ann_01: .*$"):
        MODEL.counterfactual(row, Do(emotion="fear"))


@pytest.mark.parametrize("change", [{"emotion": None}, {"action_units": []}, {"apex_ms": None}, {"seed": None}])
def test_a_control_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(EquimeError, match="expected a planned row of an emotion"):
        MODEL.counterfactual(row_of("sadness", 5) | change, Do())


@pytest.mark.parametrize(
    "wrong",
    [
        {"units": ()},
        {"units": (4, 4)},
        {"units": (3,)},
        {"intensity": "F"},
        {"intensity": {4: ""}},
        {"side": "U"},
        {"side": {17: "L"}},
        {"times": (1000.0, 1010.0, 1300.0)},
        {"times": (-1.0, 100.0, 300.0)},
        {"times": (5800.0, 5900.0, 6100.0)},
        {"times": (1000.0, float("nan"), 1300.0)},
        {"face": {"emotion": "fear"}},
    ],
)
def test_what_no_clip_can_show(wrong: dict[str, Any]) -> None:
    with pytest.raises(EquimeError, match=r"correct do\(\)") as caught:
        Do(**wrong)
    assert "\n" not in str(caught.value)


def test_an_unknown_emotion_is_refused() -> None:
    with pytest.raises(EquimeError, match="contempt"):
        MODEL.sample("fear", partial(noise, 1), Do(emotion="contempt"))
