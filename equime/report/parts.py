"""The parts of a section as HTML: an audit with its pictures and numbers, a table, a line. All text is escaped here.

    shown = audit_html(audit)      # .html, .rules of the style sheet, .data for its downloads

Why tables beside pictures: whoever cannot see a picture, or wants the number, opens the table under it; every row has
its interval, what it is to be read against, and its n.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final

from equime.audit.drawing.panels import number
from equime.audit.drawing.plots import Plot, draw
from equime.audit.result import Audit, Finding
from equime.one_line import one_line
from equime.publishing.documents.markdown import many
from equime.report.charts import chart_of
from equime.report.overview import Grid

OPEN: Final = 14
"""Statements over all groups that stand open; further ones are folded away."""
PICTURES: Final = 7
"""Pictures of an audit; of further ones the numbers. `equime audit ... --plot` draws all."""


@dataclass
class Shown:
    """HTML, and what it needs elsewhere on the page.

    Attributes:
        html: Safe.
        rules: Class -> declarations, for the style sheet.
        data: Id -> what a script makes the files of: name, question, notes, drawn, csv.
    """

    html: str = ""
    rules: dict[str, str] = field(default_factory=dict)
    data: dict[str, dict[str, Any]] = field(default_factory=dict)


def said(value: object) -> str:
    """Text from data, on one line and escaped."""
    return escape(one_line(value))


def audit_html(audit: Audit, prefix: str = "") -> Shown:
    """An audit: its question, what holds over all groups, its pictures with their tables, the rest folded, notes."""
    found = Shown(data={f"{prefix}{audit.name}": _data(audit)})
    name = f"{prefix}{audit.name}"
    plots = draw(audit, PICTURES)
    parts = [f'<p class="question">{said(audit.question)}</p>']
    drawn = {finding for plot in plots for finding in plot.findings}
    whole = [f for f in audit.findings if not f.group and f.value is not None and f not in drawn]
    whole = _telling(whole, audit.drawn)[:OPEN]
    if whole:
        parts.append(_table("Over all groups", whole))
    parts += [_picture(plot, name, found.rules) for plot in plots]
    shown = {*drawn, *whole}
    if rest := [finding for finding in audit.findings if finding not in shown]:
        numbers = _folded(many(len(rest), "more number"), _table("More numbers", rest), "long")
        parts.append(f'<div class="more">{numbers}{_links(name)}</div>')
    elif not plots:
        parts.append(f'<div class="more">{_links(name)}</div>')
    found.html = "\n".join([*parts, _notes(audit.notes)])
    return found


def _telling(findings: Sequence[Finding], drawn: Sequence[str]) -> list[Finding]:
    """What is drawn, of all clips, then the first tested statement of each attribute, the second of each, and so on."""
    places: Counter[tuple[str, ...]] = Counter()
    keys: dict[Finding, tuple[bool, bool, int]] = {}
    for finding in findings:
        block = finding.by, finding.labels, finding.scope, str(finding.p is None)
        keys[finding] = bool(finding.by) or finding.name not in drawn, finding.p is None, places[block]
        places[block] += 1
    return sorted(findings, key=keys.__getitem__)


def _picture(plot: Plot, name: str, rules: dict[str, str]) -> str:
    chart, title = chart_of(plot), said(plot.title)
    rules |= chart.rules
    numbers = _folded(f"Numbers ({len(plot.findings):,})", _table(plot.title, plot.findings))
    return (
        f'<figure><figcaption>{title}</figcaption><div class="scroll" tabindex="0" role="group" aria-label="{title}">'
        f'{chart.svg}</div></figure><div class="more">{numbers}{_links(name)}</div>'
    )


def grid_html(grid: Grid) -> str:
    """A plain table in a box that scrolls."""
    numeric = [k > 0 and all(_is_number(row[k]) for row in grid.rows) for k in range(len(grid.header))]
    head = "".join(f'<th scope="col"{_n(n)}>{said(name)}</th>' for name, n in zip(grid.header, numeric, strict=True))
    body = "".join(
        f'<tr><th scope="row">{said(row[0])}</th>'
        + "".join(f"<td{_n(n)}>{said(cell)}</td>" for cell, n in zip(row[1:], numeric[1:], strict=True))
        + "</tr>"
        for row in grid.rows
    )
    note = f'<p class="notes">{said(grid.note)}</p>' if grid.note else ""
    table = _boxed(grid.title, "", head, body) + note
    return _folded(said(grid.title), table) if grid.folded else f"<h3>{said(grid.title)}</h3>{table}"


# --- findings


def _table(title: str, findings: Sequence[Finding]) -> str:
    """Columns that say nothing are left out; what is the same in every row is said once, above."""
    told = [(name, [cell(finding) for finding in findings], kind) for name, cell, kind in _CELLS]
    once = {name: cells[0] for name, cells, _ in told if name in _ONCE and len({*cells}) == 1}
    if len(whose := {finding.labels for finding in findings} - {""}) == 1:
        once["labels"] = whose.pop()  # skin is measured: nobody's labels
    alike = [f"{name}: {what}" for name, what in once.items() if what]
    kept = [column for column in told if any(column[1]) and column[0] not in once]
    notes = [finding.note for finding in findings]
    head = "".join(f'<th scope="col" class="{kind}">{name}</th>' for name, _, kind in kept)
    lines = zip(*(cells for _, cells, _ in kept), strict=True)
    body = "".join(_row(cells, [kind for *_, kind in kept], note) for cells, note in zip(lines, notes, strict=True))
    return _boxed(title, f"<caption>{said('; '.join(alike))}</caption>" * bool(alike), head, body)


def _row(cells: Sequence[str], kinds: Sequence[str], note: str) -> str:
    rest = "".join(f'<td class="{k}">{said(c)}</td>' for c, k in zip(cells[1:], kinds[1:], strict=True))
    under = f'<span class="note">{said(note)}</span>' if note else ""
    return f'<tr><th scope="row">{said(cells[0])}{under}</th>{rest}</tr>'


def _interval(finding: Finding) -> str:
    both = finding.low is not None and finding.high is not None
    return f"{number(finding.low)} to {number(finding.high)}" if both else ""


def _maybe(value: float | None) -> str:
    return "" if value is None else number(value)


_CELLS: Final[tuple[tuple[str, Callable[[Finding], str], str], ...]] = (
    ("measure", lambda f: f.name, "words"),
    ("by", lambda f: f.by, "words"),
    ("group", lambda f: f.group + " (few people)" * (f.small and bool(f.group)), "words"),
    ("of which clips", lambda f: f.scope, "words"),
    ("value", lambda f: number(f.value), "n"),
    ("95 % interval", _interval, "n"),
    ("chance or target", lambda f: _maybe(f.reference), "n"),
    ("p (corrected)", lambda f: _maybe(f.p), "n"),
    ("clips", lambda f: f"{f.clips:,}", "n"),
    ("subjects", lambda f: f"{f.subjects:,}", "n"),
    ("labels", lambda f: f.labels, "words"),
)
_ONCE: Final = ("by", "of which clips", "labels")


def _boxed(title: str, caption: str, head: str, body: str) -> str:
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{said(title)}"><table>{caption}'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _folded(summary: str, inside: str, kind: str = "") -> str:
    return f"<details{f' class={kind}' if kind else ''}><summary>{summary}</summary>{inside}</details>"


def _links(name: str) -> str:
    buttons = (
        f'<button type="button" class="link" data-of="{escape(name)}" data-kind="{kind}" '
        f'aria-label="{kind.upper()} of {escape(name)}">{kind.upper()}</button>'
        for kind in ("csv", "json")
    )
    return f'<p class="files" hidden>{" ".join(buttons)}</p>'


def _notes(notes: Sequence[str]) -> str:
    return f'<ul class="notes">{"".join(f"<li>{said(note)}</li>" for note in notes)}</ul>' if notes else ""


def _data(audit: Audit) -> dict[str, Any]:
    return {
        "name": audit.name,
        "question": audit.question,
        "notes": audit.notes,
        "drawn": audit.drawn,
        "csv": audit.csv(),
    }


def _n(numeric: bool) -> str:
    return ' class="n"' if numeric else ""


def _is_number(text: str) -> bool:
    return not text or text[0] in "-–+0123456789"
