"""Refilling: rejected clips are planned again in their stratum until the accepted ones are as many as planned."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from equime import schema
from equime.action_units import FACS
from equime.causal import EmotionModel, noise, seed_of
from equime.planning.refill import Need, matching_key, needs
from equime.planning.strata import Judged, Stratum, jointly, strata, strongest

ASIAN, WHITE = "female|18-29|asian", "female|18-29|white"
MOST = 3


def clip(
    name: str, subject: str, accepted: bool | None, letter: str = "B", cell: str = ASIAN, **more: object
) -> Judged:
    """A balanced clip of fear."""
    made = Judged(f"fear/{subject}_{name}", subject, Stratum("fear", cell, letter), False, "", None, None, accepted)
    return replace(made, **({"noise_key": made.clip_id} | more))


def pair(name: str, votes: tuple[bool | None, bool | None], **more: object) -> list[Judged]:
    """Twins "a" and "w": a's clip gives the noise key."""
    first = clip(name, "a", votes[0], twin_id="t-fear", twin_contrast="race", **more)
    second = clip(name, "w", votes[1], cell=WHITE, twin_id="t-fear", twin_contrast="race", **more)
    return [second, replace(first, noise_key=first.clip_id), replace(second, noise_key=first.clip_id)][1:]


def planned_again(found: Sequence[Need], turn: int, chance: random.Random) -> list[Judged]:
    """The clips that the needs ask for, each accepted or not by chance."""
    added = []
    for number, need in enumerate(found):
        stratum = Stratum(need.emotion, need.cell, need.letter)
        takers = need.twins or need.subjects[:1]
        for subject in takers:
            name = f"{need.emotion}/{subject}_r{turn}-{number}"
            accepted = chance.random() < 0.6
            key = f"{need.emotion}/{takers[0]}_r{turn}-{number}/0"
            added.append(Judged(name, subject, stratum, True, key, need.twin_id, need.twin_contrast, accepted))
    return added


def test_every_rejected_clip_leaves_its_stratum_short_by_one() -> None:
    clips = [clip("1", "a", True), clip("2", "a", False), clip("3", "b", False, "D"), clip("4", "b", False, "D")]
    found = needs([*clips, clip("5", "c", True, cell=WHITE)], MOST)
    assert Counter((n.emotion, n.cell, n.letter) for n in found) == {("fear", ASIAN, "B"): 1, ("fear", ASIAN, "D"): 2}
    assert all(need.twins is need.twin_id is None for need in found)
    assert [need.letter for need in found] == ["B", "D", "D"]


def test_pending_clips_are_not_short() -> None:
    assert needs([clip("1", "a", None), clip("2", "b", None)], MOST) == []
    refilled = [clip("1", "a", False), clip("2", "a", None, refill=True)]
    assert needs(refilled, MOST) == []
    assert len(needs([refilled[0], replace(refilled[1], accepted=False)], MOST)) == 1


def test_those_with_the_fewest_clips_come_first_and_nobody_gets_too_many() -> None:
    clips = [
        clip("1", "a", True),
        clip("2", "a", True),
        clip("3", "b", True),
        clip("4", "b", False),
        clip("5", "c", None),
    ]
    clips += [clip("6", "c", None), clip("7", "c", None), clip("8", "d", None, cell=WHITE), clip("9", "b", False)]
    first, second = needs(clips, MOST)
    assert first.subjects == ("b", "a")  # c has three, d is of another cell
    assert second.subjects == ("a", "b")  # b counts as having two by now
    assert [need.subjects for need in needs(clips, 2)] == [("b",), ()]
    tried = [clip("1", "a", True), clip("2", "b", True), clip("3", "b", False)]
    assert needs(tried, MOST)[0].subjects == ("a", "b")  # of equals the one who failed less


def test_a_stratum_is_refilled_so_often_and_then_stays_short() -> None:
    clips = [clip("1", "a", False)]
    for turn in range(3):
        assert len(needs(clips, MOST, max_tries=3)) == 1
        clips.append(clip(f"r{turn}", "a", False, refill=True))
    assert needs(clips, MOST, max_tries=3) == []
    assert strata(clips)[clips[0].stratum].short == 1
    assert len(needs([*clips, clip("2", "a", False)], MOST, max_tries=3)) == 2  # two planned, so six tries


@pytest.mark.parametrize("votes", [(True, False), (False, True), (False, False), (False, None)])
def test_twins_of_which_one_is_rejected_are_planned_again_as_a_pair(votes: tuple[bool | None, bool | None]) -> None:
    [need] = needs(pair("1", votes), MOST)
    assert need.twins == need.subjects == ("a", "w")
    assert (need.twin_id, need.twin_contrast, need.cell, need.letter) == ("t-fear.1", "race", ASIAN, "B")


def test_the_first_of_twins_is_the_one_whose_clip_gives_the_noise_whatever_the_order() -> None:
    assert needs(pair("1", (False, True))[::-1], MOST)[0].twins == ("a", "w")
    again = [replace(one, twin_id="t-fear.1", refill=True) for one in pair("2", (True, False))]
    again = [replace(one, noise_key="fear/a_2/17") for one in again]
    [need] = needs([*pair("1", (False, True)), *again[::-1]], MOST)
    assert (need.twins, need.twin_id) == (("a", "w"), "t-fear.2")


def test_twins_are_not_refilled_once_accepted_pending_or_tried_often() -> None:
    assert needs(pair("1", (True, True)), MOST) == needs(pair("1", (True, None)), MOST) == []
    tries = [pair("1", (True, False))]
    for turn in (1, 2):
        tries.append([replace(one, twin_id=f"t-fear.{turn}", refill=True) for one in pair(f"r{turn}", (False, True))])
    clips = [one for tried in tries for one in tried]
    assert len(needs(clips, MOST, max_tries=3)) == 1
    assert needs(clips, MOST, max_tries=2) == []
    done = [replace(one, accepted=True) if one.twin_id == "t-fear.2" else one for one in clips]
    assert needs(done, MOST) == []


subjects = st.sampled_from([("a", ASIAN), ("b", ASIAN), ("c", ASIAN), ("w", WHITE), ("x", WHITE)])
plans = st.lists(st.tuples(subjects, st.sampled_from(schema.EMOTIONS[:2]), st.sampled_from("ABE")), max_size=30)


@given(plans, st.integers(0, 3), st.integers(0, 4), st.integers(0, 10**6))
@settings(max_examples=60)
def test_refilling_ends_with_the_plan_met_or_every_try_used(drawn, pairs: int, max_tries: int, seed: int) -> None:
    chance = random.Random(seed)
    clips = [
        Judged(
            f"{emotion}/{subject}_{n}",
            subject,
            Stratum(emotion, cell, letter),
            False,
            "",
            None,
            None,
            chance.random() < 0.5,
        )
        for n, ((subject, cell), emotion, letter) in enumerate(drawn)
    ]
    for number in range(pairs):
        votes = (chance.random() < 0.5, chance.random() < 0.5)
        clips += [replace(one, twin_id=f"t{number}-fear") for one in pair(f"p{number}", votes)]
    planned = strata(clips)
    for turn in range(100):
        if not (found := needs(clips, most_clips=99, max_tries=max_tries)):
            break
        added = planned_again(found, turn, chance)
        assert sum(need.twins is None for need in found) == sum(one.twin_id is None for one in added)
        clips += [
            replace(one, stratum=one.stratum._replace(cell=WHITE if one.subject_id in "wx" else ASIAN)) for one in added
        ]
    assert turn < 99
    alone = [one for one in clips if not one.twin_id]
    for count in strata(alone).values():
        assert count.refilled <= max_tries * count.planned
        assert count.accepted == count.planned or count.refilled == max_tries * count.planned
    joint = jointly(clips)
    for number in range(pairs):
        tries = {
            one.twin_id: one.accepted for one in joint if (one.twin_id or "").partition(".")[0] == f"t{number}-fear"
        }
        assert sum(tries.values()) == 1 or (not any(tries.values()) and len(tries) == max_tries + 1)
    assert all(strata(clips)[s].planned == count.planned for s, count in planned.items())


@pytest.fixture(scope="module")
def model() -> EmotionModel:
    return EmotionModel.from_tables()


@pytest.mark.parametrize("letter", ["A", "B", "C", "D", "E"])
def test_the_noise_key_gives_the_wanted_intensity(model: EmotionModel, letter: str) -> None:
    for emotion in schema.EMOTIONS:
        key, programme = matching_key(model, emotion, letter, 7, f"{emotion}/f_1_02")
        assert key.startswith(f"{emotion}/f_1_02/")
        assert strongest(programme.units) == letter
        assert model.sample(emotion, partial(noise, seed_of(7, key))) == programme
        assert matching_key(model, emotion, letter, 7, f"{emotion}/f_1_02") == (key, programme)


def test_other_clips_get_other_noise(model: EmotionModel) -> None:
    keys = {matching_key(model, "fear", "B", 0, f"fear/f_{n}_01")[1] for n in range(50)}
    assert len(keys) == 50


def test_without_a_letter_the_first_draw_is_taken(model: EmotionModel) -> None:
    assert matching_key(model, "anger", None, 0, "anger/f_1_01")[0] == "anger/f_1_01/0"


def test_the_nearest_intensity_is_taken_where_none_matches() -> None:
    capped = EmotionModel.from_tables(caps=dict.fromkeys(FACS, "B"))
    _, programme = matching_key(capped, "happiness", "E", 0, "happiness/f_1_01")
    assert strongest(programme.units) == "B"


def test_units_given_the_intensity_are_the_models_own(model: EmotionModel) -> None:
    drawn, refilled = Counter[str](), Counter[str]()
    for n in range(6000):
        programme = model.sample("anger", partial(noise, seed_of(1, f"plain {n}")))
        if strongest(programme.units) == "C":
            drawn["+".join(str(unit.au) for unit in programme.units)] += 1
    for n in range(1500):
        programme = matching_key(model, "anger", "C", 2, f"anger/f_{n}_01")[1]
        refilled["+".join(str(unit.au) for unit in programme.units)] += 1
    common = [units for units, count in drawn.items() if count > 60]
    seen = [refilled[units] for units in common]
    total = sum(drawn[units] for units in common)
    # the reference is itself a sample: its noise is of the same size, so the level is a strict one
    assert chisquare(seen, [drawn[units] / total * sum(seen) for units in common]).pvalue > 1e-4
