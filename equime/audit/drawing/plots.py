"""The pictures of an audit: groups down, measures side by side, each with its interval, its baseline and its n.

Why: whether a gap is larger than its interval is seen at a glance, and read from a table only slowly. Small groups are
hollow and stay in the picture; what could not be measured is said where its dot would be.

    for plot in draw(audit): plot.figure, plot.alt, plot.findings
    save(draw(audit), Path("gaps.png"))                   # or .svg; equime audit ... --plot gaps.png

What is drawn is `Audit.drawn`: a name such as "recall of fear" is a column of dots, or of bars if it is a share; a
measure of several things ("local NPMI", of each emotion) is a table with its cells shaded. Groups are *perceived*.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from equime.audit.drawing import panels
from equime.audit.result import Audit, Finding
from equime.errors import EquimeError
from equime.one_line import one_line
from equime.table import replacing, writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS: Final = 4
"""Measures side by side."""
ROWS: Final = 40
"""Groups down; the table has all."""
TOLD: Final = 12
"""Values in the text that stands for a picture."""
DPI: Final = 150
OVER_ALL: Final = "Over all groups"
FLAT: Final = 0.005
"""Cells that all are as near to their references as this look alike: their picture would be empty."""
_APPEARANCE: Final = {
    **{"gender": "perceived gender", "age": "perceived age", "race": "perceived race"},
    "twin_contrast": "what differs between the two faces",
}
_WHO: Final = {"source": "labels of the source pictures", "tag": "a classifier's labels", "file": "the file's labels"}


@dataclass(frozen=True)
class Plot:
    """One picture.

    Attributes:
        name: For files and links: letters, digits, "+", "_" and "-".
        title: What it shows, for people.
        alt: What is seen in it, as words.
        figure: Matplotlib's.
        findings: What it was drawn from.
    """

    name: str
    title: str
    alt: str
    figure: Figure
    findings: tuple[Finding, ...]


def draw(audit: Audit, most: int = sys.maxsize) -> list[Plot]:
    """The pictures of an audit, the first `most`; none where nothing that is to be drawn has a number.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    found: list[Plot] = []
    for kind, by, findings in _pictures(audit):
        if len(found) == most:
            break
        measured = [finding for finding in findings if finding.value is not None]
        if not measured or len({finding.group or finding.by for finding in findings}) == 1:
            continue  # a group alone is all clips, and a row alone a line of the table
        if kind == "heat" and all(abs((f.value or 0.0) - (f.reference or 0.0)) < FLAT for f in measured):
            continue
        shown = _first_groups(findings)
        figure = (panels.heat if kind == "heat" else panels.columns)(shown, _order(audit, shown))
        name = _unused(f"{audit.name}-{by or 'all'}", [plot.name for plot in found])
        found.append(Plot(name, _title(kind, by, findings), _told(findings), figure, tuple(findings)))
    return found


def save(plots: Sequence[Plot], path: Path) -> list[Path]:
    """Write pictures; several become NAME-1.png, NAME-2.png and so on. The same audit gives the same bytes.

    Returns:
        What was written.

    Raises:
        EquimeError: Neither .png nor .svg, or it cannot be written.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("png", "svg"):
        raise EquimeError(f"expected a picture's name that ends in .png or .svg, got {str(path)!r}")
    places = [path.with_stem(f"{path.stem}-{number}") for number in range(1, len(plots) + 1)]
    places = places if len(plots) > 1 else [path] * len(plots)
    metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    for plot, place in zip(plots, places, strict=True):
        with writing(place), panels.titled(plot.figure, plot.title), replacing(place) as handle:
            plot.figure.savefig(handle, format=kind, dpi=DPI, metadata=metadata, facecolor="white")
    return places


# --- what goes into which picture


def _pictures(audit: Audit) -> Iterator[tuple[str, str, list[Finding]]]:
    """(kind, attribute, findings) of each picture."""
    names, measures = {f.name for f in audit.findings}, set(audit.drawn)
    single = [name for name in audit.drawn if name in names][:PANELS]
    dots = [finding for finding in audit.findings if finding.name in single]
    for by, findings in _by(finding for finding in dots if finding.group).items():
        yield "columns", by, findings
    if whole := [finding for finding in dots if not finding.group]:
        yield "columns", "", whole
    tables = [f for f in audit.findings if f.measure in measures and f.name not in audit.drawn and f.group]
    for by, findings in _by(tables).items():
        for part in _parts(findings):
            yield "heat", by, part


def _by(findings: Iterable[Finding]) -> Mapping[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for finding in findings:
        found.setdefault(finding.by, []).append(finding)
    return found


def _parts(findings: Iterable[Finding]) -> Iterable[list[Finding]]:
    """A table each for a measure, scope and whose labels."""
    found: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        found.setdefault((finding.measure, finding.scope, finding.labels), []).append(finding)
    return found.values()


def _first_groups(findings: Sequence[Finding]) -> list[Finding]:
    kept = set(list(dict.fromkeys(finding.group or finding.by for finding in findings))[:ROWS])
    return [finding for finding in findings if (finding.group or finding.by) in kept]


def _order(audit: Audit, findings: Sequence[Finding]) -> list[str]:
    there = list(dict.fromkeys(finding.name for finding in findings))
    return [name for name in audit.drawn if name in there][:PANELS] or there


# --- words


def _title(kind: str, by: str, findings: Sequence[Finding]) -> str:
    """Share by perceived gender and perceived race, a classifier's labels."""
    what = " and ".join(_APPEARANCE.get(part, part) for part in by.split("+"))
    who = {_WHO.get(finding.labels, f"{finding.labels} labels") for finding in findings if finding.labels}
    scopes, measures = ({getattr(finding, name) for finding in findings} for name in ("scope", "measure"))
    parts = [
        _capital(f"{measures.pop()} by {what}" if len(measures) == 1 and by else f"by {what}" if by else OVER_ALL),
        *(who if len(who) == 1 else ()),
        *(scopes - {""} if len(scopes) == 1 else ()),
    ]
    return one_line(", ".join(parts))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _told(findings: Sequence[Finding]) -> str:
    told = [
        f"{finding.name}, {finding.group or finding.by or 'all clips'}"
        f"{', ' + finding.scope if finding.scope else ''}: {panels.number(finding.value)}"
        + (f" ({panels.number(finding.low)} to {panels.number(finding.high)})" if finding.low is not None else "")
        for finding in findings[:TOLD]
    ]
    more = f"; and {len(findings) - TOLD} more, in the table" if len(findings) > TOLD else ""
    return one_line("; ".join(told) + more)


def _unused(name: str, taken: Sequence[str]) -> str:
    plain = re.sub(r"[^A-Za-z0-9+_-]+", "-", name).strip("-")
    number = sum(other == plain or re.fullmatch(rf"{re.escape(plain)}-\d+", other) is not None for other in taken)
    return f"{plain}-{number + 1}" if number else plain
