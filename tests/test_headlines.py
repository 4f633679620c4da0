"""The report in short: which numbers stand on the first screen, each with its n, and what is said of the rest."""

from __future__ import annotations

from typing import Any

from equime.audit.result import Audit, Finding
from equime.quality.figures import Figure
from equime.report.headlines import headlines
from equime.report.overview import Grid


def finding(measure: str, by: str = "", value: float | None = 0.5, **more: Any) -> Finding:
    return Finding(**{"measure": measure, "by": by, "value": value, "clips": 1200, "subjects": 60, **more})


def audits(*found: Audit) -> dict[str, Audit]:
    return {audit.name: audit for audit in found}


def audit(name: str, *findings: Finding) -> Audit:
    return Audit(name, "?", findings)


def table(parts: list[Grid | str]) -> dict[str, tuple[str, ...]]:
    grid = parts[0]
    assert isinstance(grid, Grid) and all(len(row) == len(grid.header) for row in grid.rows)
    return {row[0]: row[1:] for row in grid.rows}


GAPS = audit(
    "generator",
    finding("accepted", value=0.9, low=0.85, high=0.95),
    finding("gap", "race", 0.1, of="accepted", reference=0.02, p=0.01),
    finding("gap", "gender", 0.5, of="sharpness", reference=0.4, p=0.7),
    finding("gap", "skin", 0.3, of="accepted", reference=0.02, p=0.01),
    finding("gap", "age", None, of="accepted", note="too few"),
)


def test_each_row_has_its_interval_its_baseline_and_its_n() -> None:
    rows = table(headlines(audits(GAPS), Figure(0.95, 0.9, 0.98, 0.1, 0.05, 200)))
    assert rows["share of planned expressions that were accepted"] == (
        *("0.900", "0.850 to 0.950", "", "", "1,200 clips, 60 subjects"),
    )
    assert rows["share of apexes measured within 2 frames of the plan"] == (
        *("0.950", "0.900 to 0.980", "0.100", "", "200 clips"),
    )


def test_of_many_gaps_the_one_that_chance_gives_least_and_of_those_the_largest() -> None:
    gaps = [what for what in table(headlines(audits(GAPS))) if what.startswith("gap")]
    assert gaps == ["gap of the generator: accepted by skin"]


def test_how_many_are_more_than_chance_is_counted_and_the_first_are_named() -> None:
    said = headlines(audits(GAPS))[1]
    assert said == (
        "2 of 3 tested statements have p < 0.05, corrected within their section, among them gap of accepted by race; "
        "gap of accepted by skin."
    )
    quiet = audit("generator", finding("gap", "race", 0.1, of="accepted", reference=0.1, p=0.6))
    assert [part for part in headlines(audits(quiet)) if isinstance(part, str)] == [
        "0 of 1 tested statements have p < 0.05, corrected within their section.",
        "What is not told from chance may still be there: few people tell little.",
    ]


def test_groups_of_few_people_are_counted_by_attribute() -> None:
    shares = [finding("share", "race", of="subjects", group=str(k), small=k < 2) for k in range(3)]
    found = headlines(audits(audit("representation", finding("evenness", "race", 0.9, of="subjects"), *shares)))
    assert found[-1] == "Of fewer than 10 people, shown but not compared: 2 of 3 groups of race."


def test_the_least_agreement_of_labels_is_told() -> None:
    kappas = [finding("kappa", value=value, of=of) for of, value in (("race", 0.8), ("age", 0.3))]
    assert [*table(headlines(audits(audit("reliability", *kappas))))] == [
        "agreement of source and tagger on age (Cohen's kappa)"
    ]


def test_nothing_is_said_of_nothing() -> None:
    assert headlines({}) == [] == headlines(audits(audit("generator", finding("accepted", value=None, note="none"))))
