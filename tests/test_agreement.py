"""Units named, planned and measured, held against each other: scikit-learn's scores, and every order of the clips."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import astuple
from typing import Any

import numpy as np
import pytest

from equime.action_units import ActionUnit, parse
from equime.captioning.agreement import Agreement, Report, Score, agreement, named
from equime.captioning.templates import caption_json

AUS = (1, 2, 4, 6, 12, 15)


def row(planned: str | None, said: str | None, seen: str | None, **more: Any) -> dict[str, Any]:
    """A row of three notations; None is what is missing."""

    def units(text: str | None) -> list[dict[str, Any]] | None:
        return None if text is None else [unit.to_dict() for unit in parse(text).units]

    answer = {"caption": "words", "caption_json": json.dumps({"action_units": units(said)}), "captioner": "m@1"}
    absent = {"caption": "raw", "caption_json": None, "captioner": "m@1"}
    return {
        "emotion": "fear",
        "action_units": units(planned),
        "measured_units": units(seen),
        **(absent if said is None else answer),
        **more,
    }


def drawn(rng: random.Random) -> str:
    return "+".join(f"{rng.choice(['', 'L', 'R'])}{au}" for au in AUS if rng.random() < 0.35) or "0"


def pair(report: Report, compared: str, against: str) -> Agreement:
    return next(p for p in report.pairs if (p.compared, p.against) == (compared, against))


def matrix(texts: list[str], labels: list[Any], sided: bool = False) -> np.ndarray:
    found = [{(u.au, u.side) if sided else u.au for u in parse(text).units} for text in texts]
    return np.array([[label in units for label in labels] for units in found], int)


def close(score: Score, expected: Any) -> bool:
    return astuple(score)[:3] == pytest.approx([float(value) for value in expected[:3]], abs=1e-12)


@pytest.fixture(scope="module")
def clips() -> list[tuple[str, str, str]]:
    rng = random.Random(4)
    made = []
    for _ in range(80):
        planned = drawn(rng)
        made.append((planned, planned if rng.random() < 0.5 else drawn(rng), drawn(rng)))
    return made


class TestAgainstScikitLearn:
    @pytest.fixture
    def prf(self) -> Any:
        return pytest.importorskip("sklearn.metrics").precision_recall_fscore_support

    @pytest.mark.parametrize(("a", "b"), [("named", "planned"), ("measured", "planned"), ("named", "measured")])
    def test_micro_macro_units_and_sides(self, prf: Any, clips: list[tuple[str, str, str]], a: str, b: str) -> None:
        column = {"planned": 0, "named": 1, "measured": 2}
        said, true = ([clip[column[name]] for clip in clips] for name in (a, b))
        found = pair(agreement(row(*clip) for clip in clips), a, b)
        assert found.clips == 80
        y, x = matrix(true, list(AUS)), matrix(said, list(AUS))
        assert close(found.micro, prf(y, x, average="micro", zero_division=0))
        assert close(found.macro, prf(y, x, average="macro", zero_division=0))
        for au, *expected, support in zip(AUS, *prf(y, x, zero_division=0), strict=True):
            assert close(found.units[au], expected) and found.units[au].support == support
            assert found.units[au].said == x[:, AUS.index(au)].sum()
        labels = list(itertools.product(AUS, "LRB"))
        sided = prf(matrix(true, labels, True), matrix(said, labels, True), average="micro", zero_division=0)
        assert close(found.sided, sided)
        commonest = np.zeros_like(y)
        commonest[:, y.sum(0).argmax()] = 1
        assert close(found.constant, prf(y, commonest, average="micro", zero_division=0))

    def test_dealt_at_random_is_the_mean_over_every_order(self, prf: Any, clips: list[tuple[str, str, str]]) -> None:
        few = clips[:5]
        found = pair(agreement(row(*clip) for clip in few), "named", "planned")
        y, x = matrix([c[0] for c in few], list(AUS)), matrix([c[1] for c in few], list(AUS))
        kept = (y.sum(0) + x.sum(0)) > 0
        y, x = y[:, kept], x[:, kept]
        orders = [x[list(order)] for order in itertools.permutations(range(5))]
        micro = np.mean([prf(y, o, average="micro", zero_division=0)[:3] for o in orders], axis=0)
        macro = np.mean([prf(y, o, average="macro", zero_division=0)[:3] for o in orders], axis=0)
        assert close(found.shuffled, micro) and close(found.macro_shuffled, macro)
        assert found.micro.f1 > found.shuffled.f1  # half of the captions were right


def test_by_hand() -> None:
    report = agreement([row("L12+6", "L12", "R12"), row("4", "4+9", ""), row("12", "12", "L12+R12")])
    first, second, third = report.pairs
    assert first.micro == Score(3 / 4, 3 / 4, 3 / 4)
    assert first.sided == first.micro and first.side == 1.0
    assert second.micro == Score(1.0, 2 / 4, 2 / 3)
    assert second.sided == Score(1 / 2, 1 / 4, 1 / 3) and second.side == 0.5  # both sides told apart are both
    assert (third.micro, third.side) == (Score(2 / 4, 1.0, 2 / 3), 0.5)
    assert first.constant == Score(2 / 3, 2 / 4, 4 / 7)
    assert first.side_constant == 2 / 3  # B of L, B, B


def test_what_is_missing_is_left_out_and_counted() -> None:
    rows = [
        row("12", "12", None),
        row("12", None, "12"),
        row(None, "12", "12"),
        row(None, "", "", emotion=None),  # a control: planned to show nothing
    ]
    report = agreement(rows)
    assert report.missing == {"planned": 1, "named": 1, "measured": 1}
    assert [p.clips for p in report.pairs] == [2, 2, 2]
    assert report.lines()[0] == "4 clips (1 not planned, 1 not named, 1 not measured)"


def test_a_scored_clip_in_which_nothing_was_seen_is_a_miss() -> None:
    report = agreement([row("12", "12", "12"), row("4", "4", None, accepted=False), row("6", "6", None)])
    assert report.missing["measured"] == 1  # not scored
    found = pair(report, "measured", "planned")
    assert found.clips == 2 and found.micro == Score(1.0, 1 / 2, 2 / 3)


class TestNamed:
    def test_of_a_template_is_read_from_its_words(self) -> None:
        units = [ActionUnit(12, "L", "B"), ActionUnit(6)]
        said = caption_json("happiness", units, 1.0, 2.0, 3.0, 0)
        told = {"caption": said["caption"], "caption_json": json.dumps(said), "captioner": "template"}
        assert named(told) == tuple(units)
        assert named(told | {"caption": "A face."}) == ()  # the words count, not the structure beside them

    def test_of_a_template_without_a_plan_to_word_is_none(self) -> None:
        told = {"caption": "A face.", "caption_json": "{}", "captioner": "template", "emotion": "fear"}
        assert named(told) is None and named(told | {"action_units": []}) == ()

    def test_of_a_model_is_its_structure_else_its_words(self) -> None:
        told = {"caption": "AU4 on the left", "captioner": "m@1"}
        assert named(told | {"caption_json": '{"action_units": [{"au": 12}]}'}) == (ActionUnit(12),)
        assert named(told | {"caption_json": '{"action_units": null}'}) == (ActionUnit(4, "L"),)

    @pytest.mark.parametrize("said", [None, "no JSON", "[]"])
    def test_of_what_could_not_be_read_is_none(self, said: str | None) -> None:
        assert named({"caption": "AU4", "caption_json": said, "captioner": "m@1"}) is None


class TestReport:
    def test_prints_what_it_holds(self, clips: list[tuple[str, str, str]]) -> None:
        report = agreement(row(*clip) for clip in clips)
        text = "\n".join(report.lines())
        first = report.pairs[0]
        numbers = (first.micro.precision, first.micro.recall, first.micro.f1, first.macro.f1, first.sided.f1)
        assert "".join(f"{n:>7.2f}" for n in numbers) in text
        assert text.count("dealt at random") == text.count("always the commonest") == 3
        for au in AUS:
            counts = [sum(au in {unit.au for unit in parse(clip[i]).units} for clip in clips) for i in range(3)]
            f1s = [pair.units[au].f1 for pair in report.pairs]
            line = next(line for line in report.lines() if line.startswith(f"AU{au} "))
            assert line.endswith("".join(f"{n:>9}" for n in counts) + "".join(f"{f1:>8.2f}" for f1 in f1s))
        assert max(map(len, report.lines())) <= 80
        assert json.loads(json.dumps(report.to_dict()))["pairs"][0]["micro"]["f1"] == first.micro.f1

    def test_of_nothing_is_empty(self) -> None:
        report = agreement([])
        assert report.clips == 0 and [p.micro for p in report.pairs] == [Score(0.0, 0.0, 0.0)] * 3
        assert report.pairs[0].side is None and len(report.lines()) == 6
