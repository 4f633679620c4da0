from __future__ import annotations

import itertools
import json
import re

import numpy as np
import pytest

from equime.action_units import FACS, INTENSITIES, NAMES, SIDES, ActionUnit
from equime.captioning.templates import CLAUSES, caption, caption_json, units_in

TIMES = (2012.4, 2150.2, 2330.9)
EVERY_UNIT = [
    ActionUnit(au, side, intensity) for au, side, intensity in itertools.product(FACS, SIDES, (None, *INTENSITIES))
]


@pytest.mark.parametrize("seed", range(5))
def test_every_unit_reads_back(seed: int) -> None:
    for index, unit in enumerate(EVERY_UNIT):
        text = caption("anger", [unit], *TIMES, seed=seed * 10_000 + index)
        assert units_in(text) == [unit], text


def test_programmes_of_many_units_read_back_in_order() -> None:
    rng = np.random.default_rng(5)
    for seed in range(1500):
        picked = [EVERY_UNIT[i] for i in rng.integers(len(EVERY_UNIT), size=rng.integers(2, 6))]
        emotion = ("fear", None)[seed % 2]
        text = caption(emotion, picked, *TIMES, seed=seed)
        assert units_in(text) == picked, text


def test_units_in_passes_over_what_is_not_ours() -> None:
    assert units_in("") == []
    assert units_in("The lips part. AU12 is seen (lip corner puller).") == []
    assert units_in("the jaw drops (AU12, jaw drop)") == []
    text = "I think the jaw drops slightly (jaw drop, AU26), or maybe 12 (twelve)."
    assert units_in(text) == [ActionUnit(26, "B", "B")]
    assert units_in(text.upper()) == [ActionUnit(26, "B", "B")]


@pytest.mark.parametrize("au", sorted(CLAUSES))
def test_words_say_name_side_and_degree(au: int) -> None:
    words = {"A": "trace", "B": "slight", "C": "marked", "D": "severe", "E": "maximum"}
    for seed, side, letter in itertools.product(range(6), SIDES, words):
        text = caption("surprise", [ActionUnit(au, side, letter)], *TIMES, seed=seed)
        assert NAMES[au].lower() in text
        sentence = re.split(r"\(", text)[0]
        assert [w for w in words.values() if w in sentence] == [words[letter]]
        assert bool(re.search(r"\bleft\b", sentence)) == (side == "L")
        assert bool(re.search(r"\bright\b", sentence)) == (side == "R")
        assert bool(re.search(r"\bone\b", sentence, re.I)) == (side == "U")


def test_captions_are_clean_sentences_about_the_intended_emotion() -> None:
    seen = set()
    for seed in range(400):
        units = [ActionUnit(1, "L", "B"), ActionUnit(12, "B", None)][: seed % 3]
        emotion = ("happiness", None)[seed // 3 % 2]
        times = TIMES if seed % 5 else (None, None, None)
        text = caption(emotion, units, *times, seed=seed)
        seen.add(text)
        assert text == " ".join(text.split())
        assert text[0].isupper() and text.endswith(".")
        assert not re.search(r"[*@{}]|\s[.,;:]|\.\.|,,|: *\.|\. [a-z]|\b(a|an|the) \1\b", text), text
        assert not re.search(r"\b(feel|feels|felt|feeling|is happy|genuine)\b", text)
        if emotion:
            assert re.search(r"intended|meant to", text) and "happiness" in text
        else:
            assert "happiness" not in text
        if units and times[0] is not None:
            assert "2012 ms" in text and "2150 ms" in text and "2331 ms" in text
        if times[0] is None:
            assert " ms" not in text
    assert len(seen) > 250


def test_a_long_expression_is_not_called_micro() -> None:
    unit = [ActionUnit(12, "B", "E")]
    for seed in range(40):
        long = caption("happiness", unit, 1000.0, 1600.0, 3000.0, seed=seed)
        short = caption("happiness", unit, 1000.0, 1100.0, 1400.0, seed=seed)
        assert "micro" not in long and "abruptly" not in long
        assert "slow" not in short


def test_neutral_controls() -> None:
    texts = {caption(None, (), None, None, None, seed=seed) for seed in range(60)}
    assert len(texts) >= 4
    for text in texts:
        assert "neutral" in text and units_in(text) == []


def test_wording_varies_with_the_seed_alone() -> None:
    units = [ActionUnit(4, "B", "B"), ActionUnit(7, "R", "A")]
    captions = [caption("anger", units, *TIMES, seed=seed) for seed in range(300)]
    assert len(set(captions)) > 200
    assert captions == [caption("anger", list(units), *TIMES, seed=seed) for seed in range(300)]
    assert len({text.split()[0] for text in captions}) >= 4


def test_json_form() -> None:
    units = (ActionUnit(12, "L", "B"), ActionUnit(6))
    value = caption_json("happiness", units, *TIMES, seed=4)
    assert list(value) == [
        "emotion", "action_units", "onset_ms", "apex_ms", "offset_ms", "caption",
    ]  # fmt: skip
    assert value["action_units"] == [
        {"au": 12, "name": "Lip Corner Puller", "side": "L", "intensity": "B"},
        {"au": 6, "name": "Cheek Raiser", "side": "B", "intensity": None},
    ]
    assert (value["onset_ms"], value["apex_ms"], value["offset_ms"]) == TIMES
    assert value["caption"] == caption("happiness", units, *TIMES, seed=4)
    assert json.loads(json.dumps(value)) == value
    neutral = caption_json(None, (), None, None, None, seed=4)
    assert neutral["action_units"] == [] and neutral["emotion"] is None


def test_a_blink_control_is_told_as_one() -> None:
    said = {caption(None, (), None, None, None, seed, control="blink") for seed in range(20)}
    assert len(said) == 2 and all("blink" in text and units_in(text) == [] for text in said)
    assert all("blink" not in caption(None, (), None, None, None, seed, control="neutral") for seed in range(20))
