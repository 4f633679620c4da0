from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from equime.causal import EMOTIONS, EmotionModel, noise
from equime.errors import EquimeError

MODEL = EmotionModel.from_tables(caps={25: "B"})
TEXT = MODEL.to_json()


def test_to_json_and_back_exactly() -> None:
    again = EmotionModel.from_json(TEXT)
    assert again == MODEL and again.to_json() == TEXT
    for emotion in EMOTIONS:
        for seed in range(100):
            assert again.sample(emotion, partial(noise, seed)) == MODEL.sample(emotion, partial(noise, seed))
    assert again.borrowed == MODEL.borrowed and again.ceiling() == MODEL.ceiling()


def test_without_disgust() -> None:
    value = json.loads(TEXT)
    del value["emotions"]["disgust"]
    assert set(EmotionModel.from_json(json.dumps(value)).units) == set(EMOTIONS) - {"disgust"}


def change(path: str, new: Any) -> Callable[[Any], None]:
    def apply(value: Any) -> None:
        *parents, last = path.split("/")
        for name in parents:
            value = value[int(name) if isinstance(value, list) else name]
        if new is None:
            del value[last]
        else:
            value[last] = new

    return apply


FEAR = "emotions/fear"


@pytest.mark.parametrize(
    ("path", "new"),
    [
        ("equime_causal_model", 2),
        ("equime_causal_model", None),
        ("caps", None),
        ("caps", {"25": "F"}),
        ("caps", {"25": "AB"}),
        ("caps", {"3": "A"}),
        ("caps", {"x": "A"}),
        (FEAR, None),
        (FEAR, []),
        ("emotions/contempt", {}),
        (f"{FEAR}/units", None),
        (f"{FEAR}/units/blocks", []),
        (f"{FEAR}/units/blocks/0/units", [3, 4]),
        (f"{FEAR}/units/blocks/0/units", [2, 1]),
        (f"{FEAR}/units/blocks/0/units", [1, 2, 20]),
        (f"{FEAR}/units/blocks/0/chances/1", -0.1),
        (f"{FEAR}/units/blocks/0/chances/1", 1.2),
        (f"{FEAR}/units/blocks/0/chances/1", math.nan),
        (f"{FEAR}/units/blocks/0/chances/1", "much"),
        (f"{FEAR}/units/blocks/0/chances/1", 1.0),
        (f"{FEAR}/units/blocks/0/chances", {}),
        (f"{FEAR}/units/blocks/0/chances", {"1": 0.0}),
        (f"{FEAR}/units/blocks/0/chances/5", 0.1),
        (f"{FEAR}/units/blocks/0/chances/2+1", 0.1),
        (f"{FEAR}/units/blocks/0/chances/", 0.1),
        (f"{FEAR}/units/marks/20", -1),
        (f"{FEAR}/units/marks/20", math.inf),
        (f"{FEAR}/units/evidence", {}),
        (f"{FEAR}/units/evidence/samm", math.nan),
        (f"{FEAR}/intensities/A", 0.9),
        (f"{FEAR}/intensities/A", None),
        (f"{FEAR}/intensities/F", 0.0),
        (f"{FEAR}/intensities", {"A": 0, "B": 1, "C": 0, "D": 0, "E": 0}),
        (f"{FEAR}/sides/left", 1.5),
        (f"{FEAR}/sides/one_sided/17", 0.5),
        (f"{FEAR}/sides/one_sided/12", -0.5),
        (f"{FEAR}/times/duration/mean", math.nan),
        (f"{FEAR}/times/duration/mean", 12.0),
        (f"{FEAR}/times/duration/mean", 3.0),
        (f"{FEAR}/times/duration/deviation", 0.0),
        (f"{FEAR}/times/duration/upper", 900.0),
        (f"{FEAR}/times/onset_to_apex/mean", 2.0),
        (f"{FEAR}/times/onset_to_apex", None),
    ],
)
def test_a_bad_file_is_one_line(path: str, new: Any) -> None:
    value = json.loads(TEXT)
    change(path, new)(value)
    with pytest.raises(EquimeError) as caught:
        EmotionModel.from_json(json.dumps(value))
    assert "\n" not in str(caught.value) and str(caught.value).startswith("expected")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '"a"', "{}", "[" * 100_000, TEXT[:-20]])
def test_what_is_no_model_is_one_line(text: str) -> None:
    with pytest.raises(EquimeError, match="expected a causal model") as caught:
        EmotionModel.from_json(text)
    assert "\n" not in str(caught.value)
