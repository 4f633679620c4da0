r"""What every audit answers with: findings, each with its interval, its baseline and how many it is made of.

Why one type: a share, a gap between groups and an association are read, drawn, printed and compared alike; and none may
stand without its number of clips, or as a silent NaN where nothing could be said.

    found = representation(rows)
    print("\n".join(found.lines()))
    found.one("evenness", by="race").value

Groups are of *perceived* labels, emotions are the *intended* programme of action units.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from equime.bootstrap import Estimate

MIN_SUBJECTS: Final = 10
"""A group of fewer subjects is *small*: shown, marked, and left out of the largest gap."""
SHOWN: Final = 40
"""Rows of one table that `Audit.lines` prints; the CSV has all."""
ACROSS: Final = 6
"""Measures side by side that it prints, the drawn ones first."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One number.

    Attributes:
        measure: What was measured: "share", "UF1", "recall", "Cramer's V".
        of: What it is a measure of, where one word is not enough: a class, a unit, a column; "" otherwise.
        by: The attribute by which clips are grouped: "race", "gender+race"; "" for all clips together.
        group: The group; "" for a statement about all groups of `by`.
        scope: Of which clips: "planned", "generated", "accepted", a data set; "" where there is one kind.
        labels: Whose labels: "source", "tag", "file", "corrected"; "" where no label matters.
        value: The number; None where it cannot be said, and then `note` says why.
        low: Where its 95 % interval begins; None without one.
        high: Where that ends.
        reference: What it has to be read against: the share wanted, what guessing scores, what chance alone gives.
        p: How often chance alone gives as much, corrected for how many were tested (`permutation.step_down`, or Holm
            1979 where there are few); None untested.
        clips: How many clips it is made of.
        subjects: How many people.
        small: Whether these are too few to say much: see `MIN_SUBJECTS`.
        note: What a reader has to know; one line.
    """

    measure: str
    of: str = ""
    by: str = ""
    group: str = ""
    scope: str = ""
    labels: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    reference: float | None = None
    p: float | None = None
    clips: int = 0
    subjects: int = 0
    small: bool = False
    note: str = ""

    def __post_init__(self) -> None:
        numbers = (self.value, self.low, self.high, self.reference, self.p)
        if any(number is not None and not math.isfinite(number) for number in numbers):
            raise ValueError(f"a finding holds no NaN and no infinity: {self}")
        if self.value is None and not self.note:
            raise ValueError(f"a finding without a value says why: {self}")

    @property
    def name(self) -> str:
        """Measure and what it is of: "recall of fear"."""
        return f"{self.measure} of {self.of}" if self.of else self.measure


def figures(found: Estimate) -> dict[str, float | None]:
    """`value`, `low` and `high` of a `Finding`, NaN as None.

    An interval without width is none: where everybody drawn is alike, drawing says nothing of those who were not asked.
    """
    value, low, high = (None if math.isnan(number) else number for number in found)
    if low is not None and high is not None and high - low < 1e-12:
        low = high = None
    return {"value": value, "low": low, "high": high}


@dataclass(frozen=True)
class Audit:
    """The answer to one question.

    Attributes:
        name: Of the audit: "representation".
        question: What it asks, for people.
        findings: In the order in which they are shown.
        notes: How to read them, what they assume, what could not be asked and why; a line each.
        drawn: Names of the findings (`Finding.name`) that a picture shows, the first few of them side by side.
    """

    name: str
    question: str
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    drawn: tuple[str, ...] = ()

    def where(self, **wanted: Any) -> list[Finding]:
        """The findings whose fields hold these values."""
        return [f for f in self.findings if all(getattr(f, name) == value for name, value in wanted.items())]

    def one(self, measure: str, **wanted: Any) -> Finding:
        """The only such finding.

        Raises:
            LookupError: There is none, or several.
        """
        found = self.where(measure=measure, **wanted)
        if len(found) != 1:
            raise LookupError(f"expected one finding of {measure = }, {wanted}, got {len(found)}")
        return found[0]

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return asdict(self)

    def csv(self) -> str:
        """The findings as CSV text, a header first, empty where there is nothing."""
        text = io.StringIO()
        rows = csv.DictWriter(text, [field.name for field in fields(Finding)], lineterminator="\n")
        rows.writeheader()
        rows.writerows(asdict(finding) for finding in self.findings)
        return text.getvalue()

    def lines(self) -> list[str]:
        """All of it, for people: a table for each attribute, groups down and measures across, then the rest."""
        found = [self.question]
        for _, block in _blocks(self.findings):
            grouped = [finding for finding in block if finding.group]
            found += ["", *_grid(grouped, self.drawn)] if grouped else [""]
            found += _list([finding for finding in block if not finding.group])
        return [*found, *([""] if self.notes else []), *(f"- {note}" for note in self.notes)]


# --- tables as text


def _blocks(findings: Iterable[Finding]) -> Iterator[tuple[tuple[str, str, str], list[Finding]]]:
    """Findings of one attribute, labels and scope together, in the order of their first."""
    blocks: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        blocks.setdefault((finding.by, finding.labels, finding.scope), []).append(finding)
    yield from blocks.items()


def _grid(findings: Sequence[Finding], drawn: Sequence[str]) -> list[str]:
    names = list(dict.fromkeys(finding.name for finding in findings))
    shown = sorted(names, key=lambda name: name not in drawn)[:ACROSS]
    groups: dict[str, dict[str, Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.group, {})[finding.name] = finding
    rows = [[_title(findings[0]), "clips", "subjects", *shown]]
    for group, cells in list(groups.items())[:SHOWN]:
        most = max(cells.values(), key=lambda finding: finding.clips)
        marked = group + " (few)" * any(cell.small for cell in cells.values())
        values = [_cell(cells[name]) if name in cells else "" for name in shown]
        rows.append([marked, f"{most.clips:,}", f"{most.subjects:,}", *values])
    return [*_aligned(rows), *_more(len(groups), "groups"), *_more(len(names), "measures of these groups", ACROSS)]


def _list(findings: Sequence[Finding]) -> list[str]:
    said = [finding for finding in findings if finding.value is not None]
    if not said:
        return _unsaid(findings)
    rows = [[_title(findings[0]), "", "chance or target", "p", "clips", "subjects", ""]]
    for finding in said[:SHOWN]:
        reference, p = (_number(value) for value in (finding.reference, finding.p))
        counts = f"{finding.clips:,}", f"{finding.subjects:,}"
        rows.append([finding.name, _cell(finding), reference, p, *counts, finding.note])
    return [*_aligned(rows), *_more(len(said), "numbers"), *_unsaid(findings)]


def _unsaid(findings: Sequence[Finding]) -> list[str]:
    """What cannot be said, by its reason."""
    reasons: dict[str, list[str]] = {}
    for finding in findings:
        if finding.value is None:
            reasons.setdefault(finding.note, []).append(finding.name)
    return [f"{', '.join(n[:3])}{f' and {len(n) - 3} more' * (len(n) > 3)}: {why}" for why, n in reasons.items()]


def _more(count: int, what: str, shown: int = SHOWN) -> list[str]:
    return [f"and {count - shown} more {what}: see --csv"] * (count > shown)


def _title(finding: Finding) -> str:
    labels = f", labels: {finding.labels}" if finding.labels else ""
    return f"[{finding.by or 'all'}{labels}{', ' + finding.scope if finding.scope else ''}]"


def _cell(finding: Finding) -> str:
    if finding.low is None or finding.high is None:
        return _number(finding.value)
    return f"{_number(finding.value)} [{_number(finding.low)}, {_number(finding.high)}]"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if abs(value) >= 100 or (float(value).is_integer() and abs(value) > 1):
        return f"{value:,.0f}"
    return f"{round(value, 3) + 0.0:.3f}"  # no "-0.000"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """A header and rows, columns padded to their widest; those that say nothing are left out, the last stands free."""
    kept = [column for column in zip(*rows, strict=True) if set(column[1:]) - {"-", "", "0"}]
    widths = [max(map(len, column)) for column in kept]
    free = kept[-1][0] == ""
    lines = []
    for head, *cells in zip(*kept, strict=True):
        padded = (cell.rjust(width) for cell, width in zip(cells[:-1], widths[1:-1], strict=True))
        last = cells[-1:] if free else [cell.rjust(widths[-1]) for cell in cells[-1:]]
        lines.append("  ".join([head.ljust(widths[0]), *padded, *last]).rstrip())
    return lines
