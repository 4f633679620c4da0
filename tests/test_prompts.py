"""Prompts: a function of the programme alone, physical words only, and never cut off by the text encoder."""

from __future__ import annotations

import re
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equime import schema
from equime.action_units import CUE, FACS, INTENSITIES, NAMES, SIDES, ActionUnit, parse
from equime.causal import EmotionModel, noise, seed_of
from equime.errors import EquimeError
from equime.prompts import BLINK, MAX_TOKENS, NEGATIVE, PIECES, REFERENCE, most_tokens, prompt, require_short

WORDS = """
afraid affect amus anger angr annoy anxi ashamed aversion awe bored calm cheer content contempt cry cries delight
depressed depressing despair disgust dislike dismay displeas distress dread ecsta elat embarrass emotion excit
express fear feel felt fright frown furious fury gloom glad glar glee grief grimac grin guilt happ hate hatred horror
hostil irritat joy jubil laugh loath melanchol merr micro miser mood nervous outrag pain panic please pleasure pout
rage relax relief repuls resent sad scar scorn scowl seren shame shock smil smirk sneer snarl sob sorrow startl sulk
surpris tear tense terror threat unhapp upset weep worr wrath
"""
FELT = tuple(WORDS.split())
"""Beginnings of words that name an emotion, or an expression by it."""
TIMES = [(None, None, None), (1000.0, 1100.0, 1300.0), (2300.0, 2460.0, 2620.0), (4400.0, 4450.0, 4900.0)]
TIMES += [(1500.0, 2400.0, 3900.0)]

units = st.builds(
    ActionUnit, st.sampled_from(sorted(FACS)), st.sampled_from(SIDES), st.sampled_from([None, *INTENSITIES])
)
programmes = st.lists(units, min_size=1, max_size=14, unique_by=lambda unit: unit.au)
few = st.lists(units, min_size=1, max_size=2, unique_by=lambda unit: unit.au)
times = st.sampled_from(TIMES[1:])


def every_prompt() -> list[str]:
    letters = [None, *INTENSITIES]
    made = [
        prompt([ActionUnit(au, side, letter)], *when)
        for au in FACS
        for side in SIDES
        for letter in letters
        for when in TIMES
    ]
    many = [ActionUnit(au, "B", "C") for au in (1, 2, 4, 5, 6, 7)]
    return [*made, prompt(many, *TIMES[1]), prompt((), None, None, None), BLINK, NEGATIVE]


def test_no_word_names_an_emotion() -> None:
    named = {*schema.EMOTIONS, schema.DISGUST, *schema.EXPRESSIONS} - {schema.NEUTRAL}
    words = {word for text in every_prompt() for word in re.findall(r"[a-z]+", text.lower())}
    assert not words & named
    assert not [word for word in words if word.startswith(FELT)]
    assert {"brows", "lip", "eye"} <= words  # the list was applied to something


def test_the_short_forms_name_no_emotion_either() -> None:
    words = {word for name in NAMES.values() for word in re.findall(r"[a-z]+", name.lower())}
    assert not [word for word in words if word.startswith(FELT)]


@given(programmes, times, st.randoms(use_true_random=False))
def test_equal_programmes_have_equal_prompts_in_any_order(programme, when, random) -> None:
    shuffled = list(programme)
    random.shuffle(shuffled)
    try:
        assert prompt(programme, *when) == prompt(shuffled, *when)
    except EquimeError:
        with pytest.raises(EquimeError):
            prompt(shuffled, *when)


@given(few, few, times)
def test_other_units_sides_or_intensities_have_other_prompts(one, other, when) -> None:
    assert (prompt(one, *when) == prompt(other, *when)) == (sorted(one) == sorted(other))


@given(few, times)
def test_a_mirrored_programme_swaps_left_and_right(programme, when) -> None:
    text = prompt(programme, *when)
    swapped = re.sub(
        r"\b(left|right) side only", lambda m: {"left": "right", "right": "left"}[m[1]] + " side only", text
    )
    assert prompt([unit.mirror() for unit in programme], *when) == swapped


def test_the_times_are_told() -> None:
    unit = [ActionUnit(12, "B", "B")]
    middle, late = prompt(unit, 2300.0, 2460.0, 2620.0), prompt(unit, 4300.0, 4460.0, 4620.0)
    assert "Very briefly, in the middle of the video, from 2.3 to 2.6 seconds and strongest at 2.5," in middle
    assert "late in the video" in late and "early in the video" in prompt(unit, 1500.0, 1600.0, 1700.0)
    assert "Slowly" in prompt(unit, 1500.0, 2400.0, 3900.0) and "briefly" not in prompt(unit, 1500.0, 2400.0, 3900.0)
    assert not re.search(r"\d|briefly|Slowly", prompt(unit, None, None, None))


def test_what_every_prompt_says() -> None:
    for text in [prompt([ActionUnit(4)], *TIMES[2]), prompt((), None, None, None), BLINK]:
        assert "The head and the camera stay still." in text
        assert "The face is neutral" in text
    assert "blink once" in BLINK and "blink" not in prompt((), None, None, None)
    assert REFERENCE == "A person blinking and turning their head."


@given(programmes, times)
def test_no_unit_is_ever_left_out(programme, when) -> None:
    try:
        text = prompt(programme, *when)
    except EquimeError as error:
        assert f"got {len(programme)} units" in str(error) and len(programme) > 6
        return
    assert most_tokens(text) <= MAX_TOKENS
    told = text.partition("The face is neutral. ")[2].partition(". Then")[0].split("; ")
    assert len(told) == len(programme)
    for unit, clause in zip(sorted(programme), told, strict=True):
        assert CUE.get(unit.au, "\0") in clause or NAMES[unit.au].lower() in clause


def test_longer_programmes_lose_their_times_first_and_their_cues_then() -> None:
    three, five, seven = (
        parse(text).units for text in ("L1A+L2A+L4A", "L1A+L2A+L4A+L5A+L6A", "L1A+L2A+L4A+L5A+L6A+L7A+L9A")
    )
    assert "seconds" in prompt(three, *TIMES[2])
    assert "seconds" not in prompt(five, *TIMES[2]) and CUE[5] in prompt(five, *TIMES[2])
    assert "Very briefly, inner brow raiser barely left; " in prompt(seven, *TIMES[2])


def test_what_the_model_draws_is_told_within_the_limit() -> None:
    model, told = EmotionModel.from_tables(), 0
    for number in range(20_000):
        emotion = schema.EMOTIONS[number % len(schema.EMOTIONS)]
        programme = model.sample(emotion, partial(noise, seed_of(0, str(number))))
        text = prompt(programme.units, programme.onset_ms, programme.apex_ms, programme.offset_ms)
        assert most_tokens(text) <= MAX_TOKENS
        told += "seconds" in text
    assert told > 0.99 * 20_000  # with its times, too


MEASURED = [
    (REFERENCE, 10),
    (NEGATIVE, 39),
    (BLINK, 47),
    (prompt((), None, None, None), 41),
    (prompt(parse("12B").units, 2300, 2460, 2620), 71),
    (prompt(parse("R14A").units, 1500, 1580, 1700), 74),
    (prompt(parse("1A+2A+5C").units, 2300, 2460, 2620), 104),
    (prompt(parse("L1A+L2A+4C+7D").units, 2300, 2460, 2620), 102),
    (prompt(parse("1+2+4+5+7+20+26").units, 4300, 4460, 4620), 122),
    (prompt(parse("U10E+17B").units, 1000, 1900, 2600), 84),
]
"""Texts with their tokens as counted by SentencePiece with the vocabulary of T5 v1.1, the closing token included."""


@pytest.mark.parametrize(("text", "tokens"), MEASURED)
def test_the_estimate_is_an_upper_one_and_close(text: str, tokens: int) -> None:
    assert tokens <= most_tokens(text) <= tokens + 12


def test_every_word_of_a_prompt_was_counted() -> None:
    words = {word for text in every_prompt() for word in re.findall(r"[A-Za-z]+|[^\w\s]", text)}
    names = {word for name in NAMES.values() for word in re.findall(r"[A-Za-z]+", name.lower())}
    assert words | names <= set(PIECES)


@given(st.text(st.characters(codec="ascii", categories=("L", "N", "P", "Zs")), max_size=80))
def test_unknown_words_count_as_the_worst_vocabulary_would_cut_them(text: str) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    worst = tokenizers.Tokenizer(
        tokenizers.models.Unigram([("<unk>", -20.0), *((chr(code), -1.0) for code in range(33, 127)), ("▁", -1.0)], 0)
    )
    worst.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    words = [word for word in text.split() if not set(re.findall(r"[A-Za-z]+|[^\w\s]", word)) & set(PIECES)]
    assert len(worst.encode(" ".join(words)).ids) + 1 <= most_tokens(" ".join(words))


def test_a_long_prompt_is_refused_by_the_estimate_and_by_a_tokenizer() -> None:
    require_short(REFERENCE)
    with pytest.raises(EquimeError, match="up to 128 T5 tokens, got at most 201"):
        require_short("face " * 200)
    with pytest.raises(EquimeError, match="got exactly 129"):
        require_short("face", lambda text: {"input_ids": [0] * 129})
    require_short("face " * 200, lambda text: {"input_ids": [0] * 128})


def test_too_many_units_are_refused() -> None:
    with pytest.raises(EquimeError, match=r"got 20 units .* plan fewer units"):
        prompt([ActionUnit(au, "L", "E") for au in sorted(FACS)[:20]], *TIMES[2])
