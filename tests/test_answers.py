"""What models answer, read into units, sides, times and words; and what cannot be read, refused."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equime.action_units import INTENSITIES, NAMES, SIDES, ActionUnit, format, parse
from equime.captioning.answers import Answer, read
from equime.captioning.mentions import mentions
from equime.captioning.templates import caption, caption_json
from equime.errors import EquimeError

UNITS = st.builds(
    ActionUnit, st.sampled_from(sorted(NAMES)), st.sampled_from(SIDES), st.sampled_from([None, *INTENSITIES])
)


def notation(text: str) -> str | None:
    units = read(text).units
    return None if units is None else format(units)


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("AU12", "12"),
        ("AU 12", "12"),
        ("AU-12", "12"),
        ("au12 is seen", "12"),
        ("action unit 12", "12"),
        ("AU 12 (left)", "L12"),
        ("AU12 (L)", "L12"),
        ("AU12 (L, B)", "L12B"),
        ("AU12 (right, intensity C)", "R12C"),
        ("AU12L", "L12"),
        ("AU R12B", "R12B"),
        ("left AU12", "L12"),
        ("AU12 on the subject's left side", "L12"),
        ("AU12 pulls up on the right while the brow (AU4) drops", "R12+4"),
        ("AUs 6 and R12B", "6+R12B"),
        ("AU1+2+4", "1+2+4"),
        ("AU1, AU2, and AU4", "1+2+4"),
        ("AU1, left AU4", "1+L4"),
        ("AU4 on the left and right, markedly", "4C"),
        ("bilateral AU6", "6"),
        ("unilateral AU14", "U14"),
        ("Lip Corner Puller", "12"),
        ("a slight left lip corner puller (AU12)", "L12B"),
        ("AU12: Lip Corner Puller (right)", "R12"),
        ("AU12 - lip corner puller, right", "R12"),
        ("the inner  brow raiser and the outer brow raiser on the left", "1+L2"),
        ("AU 12 from 2500 ms, 3 frames", "12"),
        ("AU12, 3 times", "12"),
        ("strong AU9", "9D"),
        ("AU9 intensity: 3", "9C"),
        ("no AU4, but AU12", "12"),
        ("neither AU4 nor AU9; AU12", "12"),
        ("AU4 is absent. AU12.", "12"),
        ("AU4 is not visible, AU12 is", "12"),
        ("in 2012 the left brow", ""),
        ("blink and you miss it", ""),
    ],
)
def test_units_named_in_prose(text: str, units: str) -> None:
    assert format(mentions(text, prose=True)[0]) == units


def test_names_of_one_word_count_where_units_are_listed() -> None:
    assert format(mentions("Blink, left Dimpler")[0]) == "45+L14"


@pytest.mark.parametrize(
    ("text", "unknown"),
    [("AU99", ["AU99"]), ("AU12 (Brow Lowerer)", ["AU12 (Brow Lowerer"]), ("AU3 and AU12", ["AU3"])],
)
def test_what_is_no_unit_is_listed(text: str, unknown: list[str]) -> None:
    assert mentions(text)[1] == unknown


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ('{"action_units": [{"au": 12, "side": "L", "intensity": "B"}]}', "L12B"),
        ('```json\n{"action_units": [{"au": 12}]}\n```', "12"),
        ('Sure! Here it is: {"action_units": ["AU12"]} Hope this helps.', "12"),
        ('{"action_units": []}', ""),
        ('{"action_units": "none"}', ""),
        ('{"action_units": "4+R12B"}', "4+R12B"),
        ('{"action_units": "AU6, AU12 (left)"}', "6+L12"),
        ('{"action_units": [12, 6.0, "4"]}', "12+6+4"),
        ('{"action_units": ["12 (left)"]}', "L12"),
        ('{"action_units": ["Lip Corner Puller (left)", "brow lowerer"]}', "L12+4"),
        ('{"action_units": [{"au": "AU12", "side": "left", "intensity": "slight"}]}', "L12B"),
        ('{"action_units": [{"au": "12", "side": "the subject\'s right side", "intensity": 3}]}', "R12C"),
        ('{"action_units": [{"name": "Lip Corner Puller", "side": "both"}]}', "12"),
        ('{"action_units": [{"au": 12, "name": "Lip Corner Puller", "side": null, "intensity": null}]}', "12"),
        ('{"action_units": [{"unit": "L12C"}]}', "L12C"),
        ('{"action_units": [{"au": 12, "intensity": 0}, {"au": 4, "intensity": 1}]}', "4A"),
        ('{"action_units": {"AU12": "B", "AU6": {"side": "L"}}}', "12B+L6"),
        ('{"action_units": {"au": 12}}', "12"),
        ('{"AUs": ["AU12"]}', "12"),
        ('{"Action Units": ["AU12", "AU12"]}', "12"),
        ('[{"au": 12, "side": "R"}]', "R12"),
        ('["AU12", "AU6"]', "12+6"),
        ('{"answer": {"action_units": ["AU12"]}}', "12"),
        ("{'action_units': ['AU12'], 'emotion': None,}", "12"),
        ('{"action_units": ["AU12",],}', "12"),
        ("{\u201caction_units\u201d: [\u201cAU12\u201d]}", "12"),
        ('<think>{"action_units": ["AU4"]} or not</think>{"action_units": ["AU12"]}', "12"),
        ('First {"action_units": ["AU4"]}, no: {"action_units": ["AU12"]}', "12"),
        ('{see} {"action_units": ["AU12"]}', "12"),
        ('{"caption": "AU12 rises on the left."}', "L12"),
        ('{"caption": "The face is at rest."}', None),
        ('{"emotion": "fear", "action_units": null}', None),
        ('{"action_units": [{"au": 12}, {"au": 99}, {"au": 4, "name": "Lip Corner Puller"}, true, null]}', "12"),
    ],
)
def test_objects_with_the_faults_that_models_make(text: str, units: str | None) -> None:
    assert notation(text) == units


def test_what_is_left_out_is_listed() -> None:
    text = '{"action_units": [{"au": 12}, {"au": 99}, {"au": 4, "name": "Lip Corner Puller"}, true, {"side": "L"}]}'
    assert read(text).unknown == ("99", "4 Lip Corner Puller", "True", "an object without a number")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected a JSON object in the model's answer, got none, and no action unit named"),
        ("7777\ufffd", "got none, and no action unit named"),
        ("The face looks happy.", "got none, and no action unit named"),
        ('{"a": 1}', "got none, and no action unit named"),
        ("[1, 2]", "got none, and no action unit named"),
        ('{"emotion": null, "caption": " "}', "got only nulls"),
        ('{"caption": "a smile", "action_units": [{"au": 12', "does not end or is broken; raise --max-new-tokens"),
        ('{"action_units": ["AU99", "smile"]}', "the model names no unit of FACS: AU99, smile"),
        ("AU99 moves", "the model names no unit of FACS: AU99"),
    ],
)
def test_what_cannot_be_read_costs_one_line(text: str, said: str) -> None:
    with pytest.raises(EquimeError) as caught:
        read(text)
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "emotion"),
    [
        ("happiness", "happiness"),
        ("Happy", "happiness"),
        ("afraid", "fear"),
        ("Disgust", "disgust"),
        ("contempt", "contempt"),
        ("neutral", None),
        ("", None),
        (None, None),
        (3, None),
    ],
)
def test_an_emotion_is_the_models_word(value: Any, emotion: str | None) -> None:
    assert read(json.dumps({"emotion": value, "action_units": []})).emotion == emotion


@pytest.mark.parametrize(
    ("value", "milliseconds"),
    [
        (2500, 2500.0),
        (2500.5, 2500.5),
        ("2500", 2500.0),
        ("2500 ms", 2500.0),
        ("2.5 s", 2500.0),
        ("2.5 seconds", 2500.0),
        (0, 0.0),
        (-1, None),
        (True, None),
        ("soon", None),
        (None, None),
        ([1], None),
    ],
)
def test_times(value: Any, milliseconds: float | None) -> None:
    assert read(json.dumps({"apex_ms": value, "action_units": []})).apex_ms == milliseconds


def test_times_in_seconds_and_numbers_that_are_none() -> None:
    assert read('{"onset_s": 1.25, "action_units": []}').onset_ms == 1250.0
    assert read('{"apex_ms": 12000, "action_units": []}', slowdown=6).apex_ms == 2000.0
    answer = read('{"onset_ms": NaN, "apex_ms": Infinity, "offset_ms": 1e999, "action_units": []}')
    assert (answer.onset_ms, answer.apex_ms, answer.offset_ms) == (None, None, None)


def test_the_structure_is_that_of_a_template_caption() -> None:
    planned = caption_json("fear", parse("R4B+5").units, 100.0, 200.0, 300.0, seed=3)
    assert read(json.dumps(planned)).to_json() == planned
    assert list(Answer().to_json()) == list(planned)


@given(st.lists(UNITS, max_size=4, unique=True), st.sampled_from(["fear", None]), st.integers(0, 2**40))
def test_a_structure_of_ours_comes_back_whole(units: list[ActionUnit], emotion: str | None, seed: int) -> None:
    said = caption_json(emotion, units, 100.0, 200.5, 300.0, seed)
    assert read(f"Here: ```json\n{json.dumps(said, indent=1)}\n```").to_json() == said


@given(st.lists(UNITS, min_size=1, max_size=3, unique=True), st.integers(0, 2**40))
def test_a_caption_in_our_words_comes_back_with_sides_and_intensities(units: list[ActionUnit], seed: int) -> None:
    text = caption("anger", units, 100.0, 200.0, 300.0, seed)
    answer = read(text)
    assert answer.units == tuple(units) and answer.emotion == "anger" and answer.caption == text


@settings(max_examples=300)
@given(st.one_of(st.text(), st.text("{}[]\",:'AU12caption_units leftnul", max_size=200)))
def test_no_text_breaks_it(text: str) -> None:
    try:
        said = read(text).to_json()
    except EquimeError as error:
        assert "\n" not in str(error)
    else:
        json.dumps(said).encode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from(["AU12", "L"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["au", "name", "side"]), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["caption", "emotion", "action_units", "onset_ms", "intensity"]), JSON))
def test_no_object_breaks_it(value: dict[str, Any]) -> None:
    try:
        answer = read(json.dumps(value))
    except EquimeError as error:
        assert "\n" not in str(error)
    else:
        (answer.caption or "").encode()
        json.dumps(answer.to_json(), allow_nan=False)


def test_a_long_answer_takes_no_long_time() -> None:
    rng = random.Random(0)
    for bracket in ("{", "[", '{"a":', "[{", "AU12, "):
        text = bracket * 4000 + "".join(rng.choice("{}[],:'\" aU1") for _ in range(500))
        try:
            read(text)
        except EquimeError as error:
            assert str(error)
