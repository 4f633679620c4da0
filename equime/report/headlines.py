"""The report in short: its few most telling numbers, each with its interval, its baseline and its n, and its limits.

    headlines(audits, apex)     # a table, then lines

Why: a reader who stops after one screen should know whom the data set shows, how evenly, what was accepted, whether a
gap is more than chance, and who is too few to be compared. Nothing is computed here: each number stands below, too.
Of many gaps the one is told that chance gives least often, after correction for all that were tested.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from equime.audit.drawing.panels import number
from equime.audit.result import MIN_SUBJECTS, Audit, Finding
from equime.publishing.documents.markdown import many
from equime.quality.figures import Figure
from equime.report.overview import Grid

HEADER: Final = ("what", "value", "95 % interval", "chance or target", "p (corrected)", "n")
CLEAR: Final = 0.05
"""A corrected p below this is counted as more than chance."""
NAMED: Final = 3
"""Statements of such a p that are named."""
_EVEN: Final = ("race", "gender", "age")
_Row = tuple[str, ...]


def headlines(audits: Mapping[str, Audit], apex: Figure | None = None) -> list[Grid | str]:
    """A table of at most eleven rows, and what it does not say.

    Args:
        audits: By name; those that are there are told of.
        apex: The share of clips whose apex was measured within two frames of the plan.

    Returns:
        Nothing where no audit says anything.
    """
    rows = list(_rows(audits, apex))
    if not rows:
        return []
    note = "Of gaps and ties the one that chance alone gives least often. All of them, and the rest, stand below."
    return [Grid("In short", HEADER, tuple(rows), note), *_chance(audits), *_few(audits)]


def _rows(audits: Mapping[str, Audit], apex: Figure | None) -> Iterator[_Row]:
    for by in _EVEN:
        evenness = _found(audits, "representation", measure="evenness", of="subjects", by=by)
        yield from (_row(f"evenness of perceived {by} over people (1: all alike)", each) for each in evenness[:1])
    for each in _found(audits, "generator", measure="accepted", by=""):
        yield _row("share of planned expressions that were accepted", each)
    if apex is not None and apex.value is not None:
        yield _figure("share of apexes measured within 2 frames of the plan", apex)
    for each in _clearest(_found(audits, "association", measure="Cramer's V", scope="accepted")):
        yield _row(f"tie of {_who(each)} and {each.of} among accepted clips (Cramer's V)", each)
    for each in _clearest(_found(audits, "generator", measure="gap")):
        yield _row(f"gap of the generator: {each.of} by {_who(each)}", each)
    for each in _found(audits, "performance", measure="UF1", by=""):
        yield _row("UF1 of the predictions, beside guessing", each)
    for each in _clearest(_found(audits, "performance", measure="gap", of="UF1")):
        yield _row(f"gap of UF1 by {_who(each)}", each)
    for each in _found(audits, "twins", measure="excess", of="flip rate", by="across"):
        yield _row("answers that flip between twins of two groups, less within a group", each)
    for each in sorted(_found(audits, "reliability", measure="kappa", by=""), key=lambda each: each.value or 0.0)[:1]:
        yield _row(f"agreement of source and tagger on {each.of} (Cohen's kappa)", each)


def _found(audits: Mapping[str, Audit], name: str, **wanted: str) -> list[Finding]:
    """Statements over all groups that have a number."""
    there = audits[name].where(group="", **wanted) if name in audits else []
    return [finding for finding in there if finding.value is not None]


def _clearest(findings: Sequence[Finding]) -> list[Finding]:
    """Of the tested ones that with the least p, and of those the furthest above chance; at most one."""
    return sorted(
        (finding for finding in findings if finding.p is not None),
        key=lambda finding: (finding.p, (finding.reference or 0.0) - (finding.value or 0.0)),
    )[:1]


def _row(what: str, finding: Finding) -> _Row:
    against, p = ("" if value is None else number(value) for value in (finding.reference, finding.p))
    n = f"{many(finding.clips, 'clip')}, {many(finding.subjects, 'subject')}"
    return what, number(finding.value), _span(finding.low, finding.high), against, p, n


def _figure(what: str, figure: Figure) -> _Row:
    against = "" if figure.constant is None else number(figure.constant)
    return what, number(figure.value), _span(figure.low, figure.high), against, "", many(figure.clips, "clip")


def _span(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{number(low)} to {number(high)}"


def _who(finding: Finding) -> str:
    return finding.by if finding.by in ("skin", "glasses") else f"perceived {finding.by.replace('+', ' and ')}"


def _chance(audits: Mapping[str, Audit]) -> Iterator[str]:
    tested = [finding for audit in audits.values() for finding in audit.findings if finding.p is not None]
    if not tested:
        return
    clear = sorted((f for f in tested if f.p is not None and f.p < CLEAR), key=lambda f: f.p or 0.0)
    named = list(dict.fromkeys(f"{f.name} by {f.by}" if f.by else f.name for f in clear))
    which = f", among them {'; '.join(named[:NAMED])}" if named else ""
    of = f"{len(clear):,} of {len(tested):,} tested statements"
    yield f"{of} have p < {CLEAR}, corrected within their section{which}."
    if not named:
        yield "What is not told from chance may still be there: few people tell little."


def _few(audits: Mapping[str, Audit]) -> Iterator[str]:
    shares = audits["representation"].where(measure="share", of="subjects") if "representation" in audits else []
    said = list(_few_of(shares))
    if said:
        yield f"Of fewer than {MIN_SUBJECTS} people, shown but not compared: {', '.join(said)}."


def _few_of(shares: Iterable[Finding]) -> Iterator[str]:
    groups: dict[str, list[bool]] = {}
    for finding in shares:
        groups.setdefault(finding.by, []).append(finding.small)
    yield from (f"{sum(few)} of {len(few)} groups of {by}" for by, few in groups.items() if any(few))
