from __future__ import annotations

import itertools

import numpy as np
import pytest

from equime import action_units
from equime.action_units import (
    FACS,
    INTENSITIES,
    NAMES,
    REGION,
    REGIONS,
    SIDES,
    ActionUnit,
    Coding,
    parse,
)
from equime.errors import EquimeError

EVERY_UNIT = [
    ActionUnit(au, side, intensity) for au, side, intensity in itertools.product(FACS, SIDES, (None, *INTENSITIES))
]


def unit(text: str) -> ActionUnit:
    (only,) = parse(text).units
    return only


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("4+R12B", [(4, "B", None), (12, "R", "B")]),
        ("4+7+L10", [(4, "B", None), (7, "B", None), (10, "L", None)]),
        ("ref(7B)+43", [(7, "B", "B"), (43, "B", None)]),
        ("5B+24", [(5, "B", "B"), (24, "B", None)]),
        ("A9+12", [(9, "B", None), (12, "B", None)]),
        ("U12c", [(12, "U", "C")]),
        ("AU4+AU7(k)", [(4, "B", None), (7, "B", None)]),
        ("au 1, LAU2", [(1, "B", None), (2, "L", None)]),
        ("1\uff0c2\uff0c25", [(1, "B", None), (2, "B", None), (25, "B", None)]),
        ("1\u300112L", [(1, "B", None), (12, "L", None)]),
        ("L2A + R2B", [(2, "L", "A"), (2, "R", "B")]),
        ("4 7", [(4, "B", None), (7, "B", None)]),
        (14, [(14, "B", None)]),
        (14.0, [(14, "B", None)]),
    ],
)
def test_texts_of_the_real_sets(text: str | float, units: list[tuple[int, str, str | None]]) -> None:
    coding = parse(text)
    assert [(u.au, u.side, u.intensity) for u in coding] == units
    assert coding.complete and len(coding) == len(units)


@pytest.mark.parametrize("text", ["AU4+…(k)", "4?", "4+?", "4+..."])
def test_what_is_left_open_is_said(text: str) -> None:
    coding = parse(text)
    assert coding.units == (ActionUnit(4),) and not coding.complete


@pytest.mark.parametrize("text", ["", "  ", None, float("nan"), "0", "none", "-"])
def test_no_units(text: str | float | None) -> None:
    assert parse(text) == Coding()


@pytest.mark.parametrize("text", ["/", "?", " ? ", "? or ?"])
def test_missing_coding(text: str) -> None:
    assert parse(text) == Coding(complete=False)


def test_alternatives_are_kept() -> None:
    coding = parse("(R6 or R12)+R15")
    r6, r12, r15 = (ActionUnit(au, "R") for au in (6, 12, 15))
    assert coding.terms == (((r6,), (r12,)), ((r15,),))
    assert coding.units == (r6, r15)
    assert coding.readings() == [(r6, r15), (r12, r15)]
    assert coding.numbers == {6, 12, 15}
    assert parse("1/2+4").readings() == [(unit("1"),), (unit("2"), unit("4"))]
    assert parse("((1 or 2)+4 or 7)").readings() == [
        (unit("1"), unit("4")),
        (unit("2"), unit("4")),
        (unit("7"),),
    ]


def test_a_digit_inside_a_number_never_counts() -> None:
    for au in FACS:
        for text in (str(au), f"L{au}C", f"AU{au}"):
            assert parse(text).numbers == {au}
    assert 1 not in parse("12+14B+R10+61").numbers


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("12x+4", "12x"), ("4++7", "+"), ("+4", "+"), ("4+", "+"), ("4+foo", "foo"), ("99", "99"),
        ("3", "3"), ("(4", "("), ("4)", ")"), ("()", ")"), ("L12R", "L12R"), ("4.5", ".5"),
        ("12BB", "12BB"), ("12 B", "B"), ("4-7", "-7"), ("1234", "1234"), ("4 or", "4 or"),
        (1.5, ".5"),
    ],
)  # fmt: skip
def test_bad_text_names_the_token(text: str, token: str) -> None:
    with pytest.raises(EquimeError) as caught:
        parse(text)
    assert f"{token = }" in str(caught.value) and "\n" not in str(caught.value)


def test_format_round_trips_every_unit() -> None:
    for one in EVERY_UNIT:
        assert parse(action_units.format([one])).units == (one,)
    rng = np.random.default_rng(0)
    for _ in range(300):
        picked = tuple(EVERY_UNIT[i] for i in rng.integers(len(EVERY_UNIT), size=rng.integers(6)))
        assert parse(action_units.format(picked)).units == picked


@pytest.mark.parametrize("text", ["(R6 or R12)+R15B", "4+R12B", "(1+2 or 4)+?", "(1 or 2)+(4 or 7 or 9+L10)"])
def test_format_round_trips_codings(text: str) -> None:
    assert action_units.format(parse(text)) == text
    assert parse(action_units.format(parse(text))) == parse(text)


def test_mirror_and_dict() -> None:
    assert ActionUnit(12, "L", "B").mirror() == ActionUnit(12, "R", "B")
    for one in EVERY_UNIT:
        assert one.mirror().mirror() == one
        assert (one.mirror() == one) == (one.side in "BU")
        assert ActionUnit.from_dict(one.to_dict()) == one
    assert ActionUnit(4).to_dict() == {"au": 4, "side": "B", "intensity": None}


def test_units_are_ordered_with_uncoded_intensity_first() -> None:
    text = "1 2A 12 12A 12C L12 R12B 14"
    units = list(parse(text))
    assert sorted(reversed(units)) == sorted(units)
    assert [str(u) for u in sorted(units)] == text.split()
    assert ActionUnit(9, "R", "E") < ActionUnit(10)


@pytest.mark.parametrize(
    "bad",
    [{"au": 3}, {"au": 12, "side": "X"}, {"au": 12, "intensity": "F"}, {"side": "L"}, {"au": "12"},
     {"au": 12, "intensity": "AB"}, {"au": 12, "intensity": ""}, {"au": None}, {"au": True}],
)  # fmt: skip
def test_bad_dicts(bad: dict[str, object]) -> None:
    with pytest.raises(EquimeError):
        ActionUnit.from_dict(bad)


def test_the_dictionary() -> None:
    assert NAMES[12] == "Lip Corner Puller" and NAMES[4] == "Brow Lowerer"
    assert len(set(NAMES.values())) == len(NAMES)
    face = [au for au in FACS if REGION[au] in REGIONS]
    assert all(au in face for au in (*range(4, 21), *range(22, 29)) if au in FACS)
    assert {REGION[au] for au in (1, 2, 4)} == {"brow"}
    assert {REGION[au] for au in (5, 6, 7, 43, 45)} == {"lid"}
    for entry in FACS.values():
        assert not entry.cue.endswith(".") and entry.name.strip() == entry.name
