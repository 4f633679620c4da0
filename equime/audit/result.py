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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from equime.bootstrap import Estimate
from equime.one_line import one_line

MIN_SUBJECTS: Final = 10
"""A group of fewer subjects is *small*: shown, marked, and left out of the largest gap."""
WIDTH: Final = 140
"""Characters of a line of `Audit.lines`."""
GROUPS: Final = 40
"""Groups of one table that it prints; the CSV has all."""
STATEMENTS: Final = 20
"""Statements about all groups that it prints of one attribute: drawn ones first, then those with the least p."""


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
        p: How often chance alone gives as much, corrected for how many were tested (`permutation.step_down`); None
            untested.
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

    def lines(self, width: int = WIDTH) -> list[str]:
        """All of it, for people: a table for each attribute, groups down and measures across, then the rest.

        Args:
            width: Of the terminal, in characters; notes are as long as they are.
        """
        found, drawn = [self.question], [one_line(name) for name in self.drawn]
        for title, block in _blocks(map(_printable, self.findings)):
            grouped = [finding for finding in block if finding.group]
            found += ["", title, *(_grids(grouped, drawn, width) if grouped else [])]
            found += _list([finding for finding in block if not finding.group], drawn)
        return [*found, *([""] if self.notes else []), *(f"- {one_line(note)}" for note in self.notes)]


# --- tables as text


def _printable(finding: Finding) -> Finding:
    """The same with names that hold no line ends and terminal codes."""
    texts: dict[str, Any] = {field.name: getattr(finding, field.name) for field in fields(finding)}
    odd = {name: one_line(text) for name, text in texts.items() if isinstance(text, str) and not text.isprintable()}
    return Finding(**texts | odd) if odd else finding


def _blocks(findings: Iterable[Finding]) -> Iterator[tuple[str, list[Finding]]]:
    """Findings of one attribute, labels and scope together, under a title, in the order of their first."""
    blocks: dict[str, list[Finding]] = {}
    for finding in findings:
        labels = f"labels: {finding.labels}" if finding.labels else ""
        title = ", ".join(part for part in (finding.by or "all", labels, finding.scope) if part)
        blocks.setdefault(f"[{title}]", []).append(finding)
    yield from blocks.items()


def _grids(findings: Sequence[Finding], drawn: Sequence[str], width: int) -> Iterator[str]:
    """Groups down, measures across: all that are drawn, in as many tables as they need; others where there is room."""
    measures = {finding.name: finding for finding in findings}
    wanted = [name for name, finding in measures.items() if name in drawn or finding.measure in drawn]
    names = [*wanted, *(name for name in measures if name not in wanted)]
    groups: dict[str, dict[str, Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.group, {})[finding.name] = finding
    shown = dict(list(groups.items())[:GROUPS])
    first = _counted(shown)
    tables = _packed([_column(measures[name], shown) for name in names], width - sum(map(_width, first)))
    left = len(names)
    for table in tables:
        if left == len(names) or len(names) - left < len(wanted):
            yield from _aligned([*zip(*first, *table, strict=True)], heads=2)
            left -= len(table)
    yield from _more(len(groups) - len(shown), "of these groups")
    yield from _more(left, "of their measures")


def _counted(groups: Mapping[str, Mapping[str, Finding]]) -> list[list[str]]:
    """The first columns: each group, and its clips and subjects."""
    most = [max(cells.values(), key=lambda finding: finding.clips) for cells in groups.values()]
    few = [any(cell.small for cell in cells.values()) for cells in groups.values()]
    marked = [name + " (few)" * small for name, small in zip(groups, few, strict=True)]
    counts = ["clips", *(f"{m.clips:,}" for m in most)], ["subjects", *(f"{m.subjects:,}" for m in most)]
    return [["", "", *marked], *(["", *column] for column in counts)]


def _column(measure: Finding, groups: Mapping[str, Mapping[str, Finding]]) -> list[str]:
    """What is measured, in two lines, and what each group has of it."""
    head = [f"{measure.measure} of", measure.of] if measure.of else ["", measure.measure]
    return [*head, *(_cell(cells[measure.name]) if measure.name in cells else "" for cells in groups.values())]


def _packed(columns: Sequence[list[str]], room: int) -> list[list[list[str]]]:
    """Columns in order, as many side by side as there is room for; at least one."""
    tables: list[list[list[str]]] = []
    for column in columns:
        if not tables or sum(map(_width, [*tables[-1], column])) > room:
            tables.append([])
        tables[-1].append(column)
    return tables


def _width(column: Sequence[str]) -> int:
    return max(map(len, column)) + 2


def _list(findings: Sequence[Finding], drawn: Sequence[str]) -> list[str]:
    """Statements about all groups, a line each; of many those that are drawn, then those with the least p."""
    said = [finding for finding in findings if finding.value is not None]
    if len(said) > STATEMENTS:
        said.sort(key=lambda finding: (finding.name not in drawn, 2 if finding.p is None else finding.p))
    rows = [["", "", "chance or target", "p", "clips", "subjects", ""]]
    for finding in said[:STATEMENTS]:
        reference, p = (_number(value) for value in (finding.reference, finding.p))
        counts = f"{finding.clips:,}", f"{finding.subjects:,}"
        rows.append([finding.name + " (few)" * finding.small, _cell(finding), reference, p, *counts, finding.note])
    told = _aligned(rows, heads=1, free=True) if said else []
    return [*told, *_more(len(said) - STATEMENTS, "of these statements"), *_unsaid(findings)]


def _unsaid(findings: Sequence[Finding]) -> list[str]:
    """What cannot be said, by its reason."""
    reasons: dict[str, dict[str, None]] = {}
    for finding in findings:
        if finding.value is None:
            reasons.setdefault(finding.note, {})[finding.name] = None
    told = [(why, [*names]) for why, names in reasons.items()]
    return [f"{', '.join(n[:3])}{f' and {len(n) - 3} more' * (len(n) > 3)}: {why}" for why, n in told]


def _more(count: int, what: str) -> list[str]:
    return [f"and {count} more {what}: see --csv"] * (count > 0)


def _cell(finding: Finding) -> str:
    if finding.low is None or finding.high is None:
        return _number(finding.value)
    return f"{_number(finding.value)} [{_number(finding.low)}, {_number(finding.high)}]"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if abs(value) >= 100 or (float(value).is_integer() and abs(value) > 1):
        return f"{value:,.0f}"
    if 1e-6 < abs(value) < 0.01:
        return f"{value:.2g}"
    return f"{round(value, 3) + 0.0:.3f}"  # no "-0.000"


def _aligned(rows: Sequence[Sequence[str]], heads: int, free: bool = False) -> list[str]:
    """Heads and rows, columns padded to their widest; those that say nothing are left out, the last may stand free."""
    columns = [*zip(*rows, strict=True)]
    kept = [column for column in columns if set(column[heads:]) - {"-", "", "0"}]
    free &= kept[-1] is columns[-1]
    aligns = [str.ljust, *[str.rjust] * (len(kept) - 1)]
    aligns[-1] = str.ljust if free or len(kept) == 1 else str.rjust
    table = zip(*kept, strict=True)
    widths = [_width(column) - 2 for column in kept]
    lines = ["  ".join(a(c, w) for a, c, w in zip(aligns, cells, widths, strict=True)) for cells in table]
    return [line.rstrip() for line in lines if line.strip()]
