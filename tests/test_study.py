"""The study's figures against independent oracles: scikit-learn, closed forms, and planted errors."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from equime import schema
from equime.quality.figures import Figure, auc_of, aucs, deals, interval, mean_of, median_of
from equime.quality.study import study

REGION_UNITS = {"brow": 4, "lid": 7, "nose": 9, "mouth": 12, "chin": 17}
FRAME = 1000 / 24


def clip(number: int, rng: np.random.Generator, **measured: Any) -> dict[str, Any]:
    """A planned clip, measured without error unless told otherwise."""
    region = schema.REGIONS[number % 5]
    onset = float(rng.uniform(1000, 4000))
    apex, offset = onset + float(rng.uniform(80, 200)), onset + float(rng.uniform(250, 450))
    side = "LRBB"[number % 4]
    row = {
        "clip_id": f"fear/f_s{number % 8}_{number:02d}",
        "subject_id": f"s{number % 8}",
        "control": None,
        "fps": 24.0,
        "action_units": [{"au": REGION_UNITS[region], "side": side, "intensity": "ABCDE"[number % 5]}],
        "onset_ms": onset,
        "apex_ms": apex,
        "offset_ms": offset,
        "measured_onset_ms": onset,
        "measured_apex_ms": apex,
        "measured_offset_ms": offset,
        "measured_side": side,
        "region_motion": {r: 0.02 if r == region else 0.004 for r in schema.REGIONS},
        "unit_fidelity": 0.9,
        "unit_fidelity_shuffled": 0.1,
        "accepted": True,
        "reject_reasons": [],
    }
    return row | measured


def clips(count: int, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [clip(number, rng) for number in range(count)]


UNMEASURED = {f"measured_{moment}_ms": None for moment in ("onset", "apex", "offset")} | {"measured_side": None}


# --- statistics


def test_the_area_is_scikit_learns_with_ties_and_weights() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    for _ in range(20):
        scores, labels = rng.integers(0, 12, 60) / 7, rng.random(60) < 0.4
        weights = rng.integers(0, 4, 60).astype(float)
        expected = metrics.roc_auc_score(labels, scores, sample_weight=weights)
        assert auc_of(scores, labels)(weights) == pytest.approx(expected, abs=1e-12)


def test_the_area_of_one_class_is_unknown() -> None:
    assert np.isnan(auc_of(np.arange(3.0), np.ones(3, bool))(np.ones(3)))


def test_weights_are_repetitions() -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        values, weights = rng.normal(size=15), rng.integers(0, 4, 15)
        repeated = np.repeat(values, weights)
        assert mean_of(values)(weights.astype(float)) == pytest.approx(repeated.mean(), abs=1e-12)
        assert median_of(values)(weights.astype(float)) == pytest.approx(np.median(repeated), abs=1e-12)


def test_the_interval_covers_the_truth_and_subjects_widen_it() -> None:
    """Clips that agree within a subject carry less than their number: the interval must know, and hold 95 %."""
    rng = np.random.default_rng(3)
    covered, wide, narrow = 0, [], []
    for seed in range(120):
        people = rng.normal(0.5, 1.0, 40)
        values, subjects = np.repeat(people, 6) + rng.normal(0, 0.2, 240), np.repeat(np.arange(40), 6)
        low, high = interval(mean_of(values), subjects, 200, seed)
        covered += low <= 0.5 <= high
        wide.append(high - low)
        narrow.append(np.subtract(*interval(mean_of(values), np.arange(240), 200, seed)[::-1]))
    assert covered >= 0.88 * 120
    # Of a mean over 40 people with a deviation of 1: 2 * 1.96 / sqrt(40).
    assert np.mean(wide) == pytest.approx(2 * 1.96 / np.sqrt(40), rel=0.1)
    assert np.mean(narrow) < 0.6 * np.mean(wide)


def pairs_won(values: np.ndarray, labels: np.ndarray) -> float:
    """The area under the ROC curve, pair by pair."""
    hits, others = values[labels][:, None], values[~labels]
    return float(np.mean((hits > others) + (hits == others) / 2)) if hits.size and others.size else np.nan


@pytest.mark.parametrize("people", [2, 3, 9, 40])
def test_an_interval_is_that_of_the_clips_of_drawn_subjects_written_out(people: int) -> None:
    rng = np.random.default_rng(people)
    count = 4 * people
    values, labels = rng.integers(0, 9, count) / 4, rng.random(count) < 0.3
    subjects = np.array([f"s{n}" for n in rng.permutation(np.arange(count) % people)])
    names = np.unique(subjects)
    drawn = np.random.default_rng(5).integers(0, people, (70, people))
    clips = [np.concatenate([np.flatnonzero(subjects == names[n]) for n in row]) for row in drawn]
    for statistic, written in (
        (mean_of(values), lambda c: values[c].mean()),
        (median_of(values), lambda c: np.median(values[c])),
        (auc_of(values, labels), lambda c: pairs_won(values[c], labels[c])),
    ):
        expected = np.nanpercentile([written(c) for c in clips], (2.5, 97.5))
        assert interval(statistic, subjects, 70, 5) == pytest.approx(expected, abs=1e-12)


def test_the_area_of_several_labellings_is_each_ones() -> None:
    rng = np.random.default_rng(6)
    scores = rng.integers(0, 9, 50) / 7
    labels = [*(rng.random((4, 50)) < 0.3), np.zeros(50, bool), np.ones(50, bool)]
    assert aucs(scores, labels) == pytest.approx([pairs_won(scores, each) for each in labels[:4]], abs=1e-12)


def test_one_subject_has_no_interval() -> None:
    score = Figure.of(mean_of(np.ones(5)), np.array(["a"] * 5))
    assert (score.value, score.low, score.high, score.clips) == (1.0, None, None, 5)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_a_deal_gives_everyone_anothers_plan(count: int) -> None:
    dealt = deals(count)
    assert dealt.shape == (min(8, max(count - 1, 0)), count)
    for row in dealt:
        assert sorted(row.tolist()) == list(range(count))
        assert not (row == np.arange(count)).any()


# --- the figures


def test_perfect_measures_score_one_and_their_baselines_do_not() -> None:
    figures = study(clips(120)).figures["all"]
    for name in ("measured", "apex within 1", "duration within 1", "side", "regions", "unit fidelity"):
        assert figures[name].value == 1.0, name
    assert figures["apex error, mean ms"].value == 0
    shuffled = figures["apex within 1"]
    assert shuffled.constant is not None and shuffled.constant < 0.1
    assert shuffled.control is not None and shuffled.control < 0.1
    assert figures["regions"].constant == 0.5
    assert figures["regions"].control == pytest.approx(0.5, abs=0.12)
    assert figures["side"].constant == 0.5  # half of the clips are planned on both sides


def test_the_constant_guess_has_its_closed_form() -> None:
    """Of apexes spread evenly over [0, L] the median guess errs by L/4 on average; a shuffled plan by L/3."""
    rows, length = clips(201), 3000.0
    for k, row in enumerate(rows):
        shift = 1000 + length * k / 200 - row["apex_ms"]
        for moment in ("onset", "apex", "offset"):
            row[f"{moment}_ms"] += shift
            row[f"measured_{moment}_ms"] += shift
    figures = study(rows).figures["all"]
    assert figures["apex error, mean ms"].constant == pytest.approx(length / 4, rel=0.01)
    assert figures["apex error, mean ms"].control == pytest.approx(length / 3, rel=0.1)
    assert figures["apex error, median ms"].constant == pytest.approx(length / 4, rel=0.02)
    # Within one frame of the middle lie 2 frames of the length.
    assert figures["apex within 1"].constant == pytest.approx(2 * FRAME / length, abs=0.01)


def test_planted_errors_are_found() -> None:
    rows = clips(100)
    for k, row in enumerate(rows):
        if k % 10 == 0:
            row.update(UNMEASURED)
        elif k % 10 < 3:
            row["measured_apex_ms"] += 1.5 * FRAME
            row["measured_side"] = "L" if row["measured_side"] != "L" else "R"
    figures = study(rows).figures["all"]
    assert figures["measured"].value == pytest.approx(0.9)
    assert figures["apex within 1"].value == pytest.approx(0.7)
    assert figures["apex within 2"].value == pytest.approx(0.9)
    assert figures["side"].value == pytest.approx(0.7)
    assert figures["duration within 1"].value == pytest.approx(0.9)
    # Of the 90 measured, 20 are off by a frame and a half.
    assert figures["apex error, mean ms"].value == pytest.approx(20 / 90 * 1.5 * FRAME)
    assert figures["apex error, mean ms"].clips == 90


def test_detection_power_by_intensity_skin_and_group() -> None:
    rows = clips(200)
    rng = np.random.default_rng(5)
    power = {"A": 0.2, "B": 0.9, "C": 1.0, "D": 1.0, "E": 1.0}
    for k, row in enumerate(rows):
        row["source_gender"] = ("female", "male", None)[k % 3]
        row["gender"] = "female"
        row["skin_ita"] = (60.0, 0.0)[k // 5 % 2]
        letter = row["action_units"][0]["intensity"]
        # A clip under the rank of its power is seen: exact shares, in a drawn order.
        row["rank"] = rng.random()
        row["power"] = power[letter] * (1.0 if row["skin_ita"] > 0 else 0.5)
    for letter in power:
        for ita in (60.0, 0.0):
            chosen = [r for r in rows if r["action_units"][0]["intensity"] == letter and r["skin_ita"] == ita]
            for place, row in enumerate(sorted(chosen, key=lambda r: r["rank"])):
                if place >= row["power"] * len(chosen):
                    row.update(UNMEASURED)
    found = study(rows).figures
    for letter, share in power.items():
        assert found[f"intensity {letter}"]["apex within 2"].value == pytest.approx(0.75 * share, abs=0.026)
    light, dark = found["skin very light"]["apex within 2"], found["skin brown"]["apex within 2"]
    assert light.value is not None and dark.value is not None
    assert light.value - dark.value > 0.35
    # Where the source says nothing, the tag does.
    assert found["gender female"]["measured"].clips == 67 + 66
    assert found["B and above"]["measured"].clips == 160


def test_units_on_different_sides_and_unsaid_sides_are_not_judged() -> None:
    rows = clips(4)
    rows[0]["action_units"].append({"au": 1, "side": "B", "intensity": "B"})  # the first is on the left
    rows[1]["action_units"][0]["side"] = "U"
    assert study(rows).figures["all"]["side"].clips == 2


def test_a_region_that_moves_along_is_neither_right_nor_wrong() -> None:
    """The chin raiser pushes the lower lip up: motion of the mouth is then no error, and no success either."""
    rows = clips(50)
    with_lips = [row | {"region_motion": row["region_motion"] | {"mouth": 0.019}} for row in rows[4::5]]
    others = [row for row in rows if row not in rows[4::5]]
    figures = study([*others, *with_lips]).figures["all"]
    assert figures["region mouth"].value == 1.0
    assert figures["region chin"].value == 1.0
    leaking = [row | {"region_motion": row["region_motion"] | {"brow": 0.02}} for row in rows]
    assert study(leaking).figures["all"]["region brow"].value == pytest.approx(0.5)


def test_neutral_controls_give_the_false_alarms() -> None:
    rows = clips(20)
    nothing = {"action_units": [], "onset_ms": None, "apex_ms": None, "offset_ms": None, **UNMEASURED}
    neutral = [row | nothing | {"control": "neutral", "accepted": k > 0} for k, row in enumerate(clips(8, 1))]
    neutral[0]["measured_apex_ms"] = 1000.0
    macro = [row | {"control": "macro", "accepted": False} for row in clips(3, 2)]
    found = study([*rows, *neutral, *macro])
    assert found.clips == 20
    assert found.figures["all"]["measured"].control == pytest.approx(1 / 8)
    assert found.controls["neutral"]["accepted"].value == pytest.approx(7 / 8)
    assert found.controls["macro"]["accepted"].value == 0
    assert "blink" not in found.controls


def test_reasons_are_counted_once_a_clip_by_their_gate() -> None:
    rows = clips(6)
    rows[0] |= {"accepted": False, "reject_reasons": ["head moved 0.21 eye distances (max_head_motion 0.1)"]}
    rows[1] |= {
        "accepted": False,
        "reject_reasons": ["jumps 0.4 (max_jump)", "jumps 0.5 (max_jump)", "no face: 0 found"],
    }
    found = study(rows)
    assert found.figures["all"]["accepted"].value == pytest.approx(4 / 6)
    assert found.reasons["all"] == {"max_head_motion": 1, "max_jump": 1, "no face": 1}
    assert found.reasons["intensity A"] == {"max_head_motion": 1}


# --- rows as they come


def test_a_group_has_the_figures_of_its_clips_alone() -> None:
    rng = np.random.default_rng(8)
    rows = clips(90)
    for k, row in enumerate(rows):
        row["source_gender"] = ("female", "male", None)[k % 3]
        row["skin_ita"] = (60.0, 0.0, None)[k // 5 % 3]
        row["measured_apex_ms"] += rng.normal(0, FRAME)
        row["region_motion"] = {region: rng.random() for region in schema.REGIONS}
        if k % 7 == 0:
            row.update(UNMEASURED | {"region_motion": None, "accepted": False, "reject_reasons": ["blur (max_blur 1)"]})
    found = study(row for row in rows)
    chosen = {
        "gender female": [row for row in rows if row["source_gender"] == "female"],
        "skin brown": [row for row in rows if row["skin_ita"] == 0],
        "intensity C": [row for row in rows if row["action_units"][0]["intensity"] == "C"],
    }
    for name, alone in chosen.items():
        expected = study(alone)
        assert found.figures[name] == expected.figures["all"]
        assert found.reasons[name] == expected.reasons["all"] and found.reasons[name]["max_blur"] > 0


def test_rows_of_nulls_and_no_rows_say_so() -> None:
    assert study([]).lines() == ["no clip with a planned expression"]
    bare = dict.fromkeys(schema.METADATA.names)
    assert study([bare]).clips == 0
    planned = {"action_units": [{"au": 4, "side": "B", "intensity": None}], "apex_ms": 1000.0}
    times = {"onset_ms": 900.0, "offset_ms": 1200.0, "subject_id": "a"}
    found = study([bare | planned | times])
    assert found.figures["all"]["measured"].value == 0
    assert found.figures["all"]["apex error, mean ms"] == Figure()
    assert "accepted" not in found.figures["all"]
    assert found.lines()


def test_a_study_is_json_and_prints_every_figure() -> None:
    rows = clips(60)
    for row in rows[::7]:
        row |= {"accepted": False, "reject_reasons": ["flicker 3.1 (max_flicker 1.0)"], "skin_ita": 48.0}
    found = study(rows)
    again = json.loads(json.dumps(found.to_dict()))
    assert again["figures"]["all"]["side"] == asdict(found.figures["all"]["side"])
    text = "\n".join(found.lines())
    for words in (*found.figures["all"], *found.figures, "max_flicker 9", "60 clips of 8 subjects"):
        assert words in text
    assert max(map(len, found.lines())) <= 160


def test_a_study_is_the_same_twice() -> None:
    assert study(clips(40)) == study(clips(40))
