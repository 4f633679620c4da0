"""Votes and labels: against numpy, and by what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equime import schema
from equime.demographics import Labels, Tag, deepface_gender, dominant, labels, normalised, vote
from equime.errors import EquimeError

weights = st.floats(0.01, 1)


def probs(names):
    return st.lists(weights, min_size=len(names), max_size=len(names)).map(
        lambda values: normalised(dict(zip(names, values, strict=True)), names)
    )


tags = st.builds(Tag, probs(schema.GENDERS), st.floats(18, 90), st.none() | probs(schema.RACES))


@given(st.lists(tags, min_size=1, max_size=6))
@settings(derandomize=True, deadline=None)
def test_a_vote_averages_probabilities_and_ages(pictures):
    voted, agreement = vote(pictures)
    told = [tag.race_probs for tag in pictures if tag.race_probs]
    for name in schema.GENDERS:
        assert voted.gender_probs[name] == pytest.approx(np.mean([tag.gender_probs[name] for tag in pictures]))
    for name in schema.RACES if told else ():
        assert voted.race_probs[name] == pytest.approx(np.mean([race[name] for race in told]))
    ages = [tag.age for tag in pictures]
    assert voted.age == pytest.approx(np.mean(ages))
    assert voted.age_std == (None if len(ages) == 1 else pytest.approx(np.std(ages), abs=1e-6))
    same = [labels(t).gender == labels(voted).gender and labels(t).race in (None, labels(voted).race) for t in pictures]
    assert agreement == pytest.approx(np.mean(same))
    assert vote(pictures[::-1])[1] == agreement


def test_a_sure_picture_outweighs_two_unsure_ones():
    unsure, sure = Tag({"female": 0.45, "male": 0.55}), Tag({"female": 0.99, "male": 0.01})
    voted, agreement = vote([unsure, unsure, sure])
    assert labels(voted).gender == "female" and agreement == pytest.approx(1 / 3)


def test_one_picture_agrees_with_itself_and_none_is_an_error():
    tag = Tag({"female": 0.2, "male": 0.8}, 33.0)
    assert vote([tag]) == (tag, 1.0)
    with pytest.raises(EquimeError, match="at least one picture"):
        vote([])


def test_labels_are_the_contracts_and_minors_have_no_band():
    races = dict.fromkeys(schema.RACES, 0.1) | {"latino hispanic": 0.5}
    assert labels(Tag({"female": 0.3, "male": 0.7}, 41.2, races)) == Labels("male", "40-49", "latino hispanic")
    assert labels(Tag(age=17.9)) == Labels(None, None, None)
    assert dominant({"male": 0.5, "female": 0.5}, schema.GENDERS) == "female"


def test_deepfaces_names_become_ours():
    assert deepface_gender({"Woman": 25.0, "Man": 75.0}) == {"female": 0.25, "male": 0.75}
    with pytest.raises(EquimeError, match="expected probabilities of"):
        normalised({"asian": 1.0}, schema.RACES)
    with pytest.raises(EquimeError, match="expected probabilities of"):
        normalised({"female": 0.0, "male": 0.0}, schema.GENDERS)
