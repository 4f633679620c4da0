"""The classes of an expression, against the tables that they come from."""

from __future__ import annotations

import pytest

from equime.action_units import parse
from equime.au_counts import COUNTS
from equime.recognise.readers.labels import OBJECTIVE_OF, five, objective, three
from equime.recognise.readers.sets import SETS
from equime.recognise.samples import OBJECTIVE


@pytest.mark.parametrize(
    ("coded", "wanted"),
    [
        ("happiness", ("positive", "happiness")),
        ("Happy", ("positive", "happiness")),
        ("SAD", ("negative", "sadness")),
        ("repression", ("negative", None)),
        ("contempt", ("negative", None)),
        ("disgust", ("negative", None)),
        ("surprise", ("surprise", "surprise")),
        ("Negative/Repression", ("negative", None)),
        ("Positive, Surprise", (None, None)),
        ("Fear and Anger", ("negative", None)),
        ("others", (None, None)),
        ("", (None, None)),
        (None, (None, None)),
    ],
)
def test_three_and_five_classes(coded: str | None, wanted: tuple[str | None, str | None]) -> None:
    assert (three(coded), five(coded)) == wanted


@pytest.mark.parametrize(
    ("units", "wanted"),
    [
        ("12", "I"),
        ("R12B+6", "I"),
        ("12+6+7", "I"),
        ("L1+2", "II"),
        ("4+7", "III"),
        ("4+7+L10", "IV"),
        ("1", "V"),
        ("1+2+4", "VI"),
        ("20", "VI"),
        ("14", "VII"),
        ("12+15", "VII"),
        ("(R6 or R12)+R15", "V"),  # the reading written first
        ("", None),
        ("?", None),
        ("4+?", None),
    ],
)
def test_objective_class_of_an_exact_combination(units: str, wanted: str | None) -> None:
    assert objective(parse(units)) == wanted


def test_no_combination_stands_in_two_classes() -> None:
    combinations = [parse(units).numbers for several in OBJECTIVE_OF.values() for units in several.split(", ")]
    assert len(set(combinations)) == len(combinations) == 36
    assert tuple(OBJECTIVE_OF) == OBJECTIVE[:-1]


def test_published_objective_counts_fit_the_counted_units() -> None:
    """A class cannot have more clips than its units; fear's AU 20 alone is SAMM's class VI but for 1+2+4."""
    counted = COUNTS["samm"]
    clips = {au: sum(of.au.get(au, 0) for of in counted.values()) for of in counted.values() for au in of.au}
    published = SETS["samm"].published
    for name, several in OBJECTIVE_OF.items():
        units = set().union(*(parse(one).numbers for one in several.split(", ")))
        assert published.objective[name] <= sum(clips.get(au, 0) for au in units)
    assert published.objective["VI"] <= clips[20] + min(clips[1], clips[2], clips[4])
    assert sum(published.objective.values()) == sum(of.n for of in counted.values()) == published.clips


def test_published_emotions_are_those_of_the_packaged_counts() -> None:
    for name, table in (("samm", "samm"), ("casme2", "casme2"), ("casme3-a", "casme3_partA")):
        here = {five(word) or word: count for word, count in SETS[name].published.emotions.items()}
        assert here == {emotion: counts.n for emotion, counts in COUNTS[table].items()}
