"""How findings are drawn: columns of dots or bars, and tables with shaded cells. Matplotlib, without pyplot.

Colours are Okabe and Ito's (2008), told apart with every colour vision; marks differ in shape too, and a cell holds its
number. Nothing of a caller's settings of matplotlib is changed; the same findings give the same bytes.

    figure = columns(findings, ["recall of fear", "UF1"])      # groups down, these measures side by side
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from equime.audit.result import Finding
from equime.one_line import one_line
from equime.optional import need

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, GRID, PAPER = "#1f2933", "#616e7c", "#dfe4ea", "#fffffe"
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
"""Of the series: what is blue, vermillion, green and purple in Okabe and Ito's set."""
MARKS: Final = ("o", "s", "^", "D")
WIDTH: Final = 7.4
ROW, SERIES, CELL = 0.27, 0.13, 0.29
"""Inches of a group, of each series of it beyond the first, and of a row of cells."""
NARROW: Final = 0.02
"""The least width of an axis, of what it shows."""
LONGEST: Final = 34
"""Letters of a group's name that are drawn."""
DARKEST: Final = 0.6
"""Of a cell: its number stays readable."""
FAINT: Final = 0.1
"""Cells are not shaded as if they mattered where all are nearer to their reference than this."""


@contextlib.contextmanager
def settings() -> Iterator[None]:
    """Matplotlib's settings while something is drawn or written; a caller's are back afterwards."""
    matplotlib = need("matplotlib", extra="audit")
    fixed = {
        **{"font.family": "DejaVu Sans", "font.size": 8.5, "text.color": INK, "axes.labelcolor": INK},
        **{"axes.edgecolor": SOFT, "xtick.color": SOFT, "ytick.color": INK, "axes.linewidth": 0.7},
        **{"svg.hashsalt": "equime", "svg.fonttype": "none", "text.parse_math": False, "figure.facecolor": "none"},
        **{"axes.facecolor": "none", "savefig.facecolor": "auto", "axes.formatter.useoffset": False},
        **{"figure.autolayout": False, "figure.constrained_layout.use": False},
    }
    with matplotlib.rc_context(fixed), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # a group's name in another script
        yield


@contextlib.contextmanager
def titled(figure: Figure, title: str) -> Iterator[None]:
    """`settings`, and a title above the figure while it is written: on a page the page says it."""
    width, height = figure.get_size_inches()
    with settings():
        figure.suptitle(title, x=0.01, ha="left", fontsize=9.5, fontweight="bold")
        figure.set_size_inches(width, height + 0.3)
        try:
            yield
        finally:
            figure.suptitle("")
            figure.set_size_inches(width, height)


@contextlib.contextmanager
def laid_out(figure: Figure) -> Iterator[None]:
    """A figure whose parts have their places: writing it then draws it once, not a second time to find them."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine(None)
    try:
        yield
    finally:
        figure.set_layout_engine(engine)


def number(value: float | None) -> str:
    """0.123, 0.0093, 1,234 or "not measured"."""
    if value is None:
        return "not measured"
    if 0 < abs(value) < 0.01:
        return f"{value:.2g}"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"


def columns(findings: Sequence[Finding], names: Sequence[str]) -> Figure:
    """Groups down, a column for each measure; a share's columns become one of bars, side by side.

    Args:
        findings: Of one attribute.
        names: `Finding.name` of each column.
    """
    if len({finding.labels for finding in findings} - {""}) < 2:  # skin is measured: nobody's labels
        findings = [replace(finding, labels="") for finding in findings]
    groups = _groups(findings)
    parts = _columns(findings, names)  # one in which nothing was measured says nothing
    parts = [part for part in parts if any(finding.value is not None for finding in part[1])] or parts
    series = max(len(_series(part)) for _, part in parts)
    height = (ROW + SERIES * (series - 1)) * len(groups) + 1.05
    with settings():
        figure = _figure(height)
        areas = figure.subplots(1, len(parts), sharey=True, squeeze=False)[0]
        for area, (title, part) in zip(areas, parts, strict=True):
            _column(area, title, part, list(groups), 5 if len(parts) < 3 else 3)
        areas[0].set_yticks(range(len(groups)), list(groups.values()))
        areas[0].set_ylim(len(groups) - 0.4, -0.6)
        _legend(figure, parts)
    return figure


def heat(findings: Sequence[Finding], _: Sequence[str] = ()) -> Figure:
    """Groups down, what the measure is of across: its number in each cell, darker the further from its reference."""
    groups, levels = _groups(findings), list(dict.fromkeys(finding.of for finding in findings))
    most = max((abs(f.value - (f.reference or 0.0)) for f in findings if f.value is not None), default=0.0)
    with settings():
        figure = _figure(CELL * len(groups) + 1.0)
        area = figure.subplots()
        rows = {group: place for place, group in enumerate(groups)}
        for finding in findings:
            _cell(area, finding, levels.index(finding.of), rows[finding.group], max(most, FAINT))
        area.set_xlim(-0.5, len(levels) - 0.5)
        area.set_ylim(len(groups) - 0.5, -0.5)
        area.set_yticks(range(len(groups)), list(groups.values()))
        slanted: dict[str, Any] = {"rotation": 35, "ha": "left", "rotation_mode": "anchor"} if len(levels) > 6 else {}
        area.set_xticks(range(len(levels)), [_short(level) for level in levels], **slanted)
        area.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
        area.spines[:].set_visible(False)
        against = any(finding.reference is not None for finding in findings)
        area.set_xlabel("blue: more than the reference, red: less; n: clips" if against else "darker: more; n: clips")
    return figure


# --- parts


def _figure(height: float) -> Figure:
    figure = need("matplotlib.figure", extra="audit").Figure(figsize=(WIDTH, height), layout="constrained")
    need("matplotlib.backends.backend_agg", extra="audit").FigureCanvasAgg(figure)
    found: Figure = figure
    return found


def _groups(findings: Sequence[Finding]) -> dict[str, str]:
    """Group -> its label with its n; of statements over all groups, the attribute."""
    found: dict[str, int] = {}
    for finding in findings:
        key = finding.group or finding.by
        found[key] = max(found.get(key, 0), finding.clips)
    known = any(found.values())  # of published shares nobody says of how many
    return {group: _short(group or "all clips") + f" (n={count:,})" * known for group, count in found.items()}


def _columns(findings: Sequence[Finding], names: Sequence[str]) -> list[tuple[str, list[Finding]]]:
    found: dict[str, list[Finding]] = {}
    for name in names:
        for finding in findings:
            if finding.name == name:
                found.setdefault(finding.measure if _is_share(finding) else name, []).append(finding)
    return list(found.items())


def _is_share(finding: Finding) -> bool:
    return finding.measure == "share" and bool(finding.group)


def _series(findings: Sequence[Finding]) -> list[tuple[str, ...]]:
    """What stands side by side within a group."""
    return list(dict.fromkeys(map(_kind, findings)))


def _kind(finding: Finding) -> tuple[str, ...]:
    return finding.of if _is_share(finding) else "", finding.scope, finding.labels


def _called(series: Sequence[tuple[str, ...]]) -> list[str]:
    """What parts each from the others; of a single one, what it is."""
    varying = [len(set(parts)) > 1 for parts in zip(*series, strict=True)]
    return [", ".join(p for p, v in zip(kind, varying, strict=True) if p and v) or kind[0] or "all" for kind in series]


def _column(area: Axes, title: str, findings: Sequence[Finding], groups: Sequence[str], bins: int) -> None:
    series, rows = _series(findings), {group: place for place, group in enumerate(groups)}
    step = 0.72 / max(len(series), 1)
    draw = _bar if _is_share(findings[0]) else _dot
    unmeasured = {*rows.values()}
    for finding in (finding for finding in findings if finding.value is not None):
        place, row = series.index(_kind(finding)), rows[finding.group or finding.by]
        y = row + (place - (len(series) - 1) / 2) * step
        draw(area, finding, y, place, step)
        _reference(area, finding, y, step)
        unmeasured.discard(row)
    area.margins(x=0.08)
    low, high = area.get_xlim()
    least = NARROW * max(abs(low), abs(high), 0.05)
    if high - low < least:  # nothing differs: no scale that says otherwise
        area.set_xlim((low + high - least) / 2, (low + high + least) / 2)
    said: dict[str, Any] = {"color": SOFT, "fontsize": 7, "ha": "center", "va": "center", "style": "italic"}
    for row in sorted(unmeasured):  # where the axis has its middle, whatever it shows
        area.text(0.5, row, "not measured", transform=area.get_yaxis_transform(), **said)
    area.set_title(_wrapped(title), fontsize=9, loc="left")
    area.grid(axis="x", color=GRID, linewidth=0.6)
    area.set_axisbelow(True)
    area.spines[["top", "right", "left"]].set_visible(False)
    area.tick_params(axis="y", length=0)
    area.locator_params(axis="x", nbins=bins)


def _dot(area: Axes, finding: Finding, y: float, place: int, _: float) -> None:
    colour, mark = COLOURS[place % len(COLOURS)], MARKS[place % len(MARKS)]
    if finding.low is not None and finding.high is not None:
        area.plot([finding.low, finding.high], [y, y], color=colour, linewidth=1.4, solid_capstyle="butt")
    fill = PAPER if finding.small else colour
    area.plot([finding.value or 0.0], [y], mark, color=colour, markerfacecolor=fill, markersize=5, markeredgewidth=1.2)


def _bar(area: Axes, finding: Finding, y: float, place: int, step: float) -> None:
    colour = COLOURS[place % len(COLOURS)]
    fill = "none" if finding.small else colour
    area.barh([y], [finding.value or 0.0], height=0.9 * step, facecolor=fill, edgecolor=colour, linewidth=1)
    if finding.low is not None and finding.high is not None:
        area.plot([finding.low, finding.high], [y, y], color=INK, linewidth=0.9)


def _reference(area: Axes, finding: Finding, y: float, step: float) -> None:
    if finding.reference is not None:
        reach = max(0.62 * step, 0.2)
        area.plot([finding.reference] * 2, [y - reach, y + reach], color=INK, linewidth=1, linestyle=(0, (2.5, 1.5)))


def _cell(area: Axes, finding: Finding, x: int, y: int, most: float) -> None:
    if finding.value is None:
        area.text(x, y, "–", color=SOFT, ha="center", va="center", fontsize=7.5)
        return
    patches = need("matplotlib.patches", extra="audit")
    apart = finding.value - (finding.reference or 0.0)
    alpha = round(min(DARKEST, DARKEST * abs(apart) / most), 3)
    colour = COLOURS[apart < 0]
    edge: dict[str, Any] = {"edgecolor": SOFT, "linestyle": "--"} if finding.small else {"edgecolor": "none"}
    area.add_patch(
        patches.Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=(colour, alpha), linewidth=0.8, **edge)
    )
    area.text(x, y, _brief(finding.value), ha="center", va="center", fontsize=7.5)


def _legend(figure: Figure, parts: Sequence[tuple[str, Sequence[Finding]]]) -> None:
    """What the marks mean, as far as they occur."""
    lines = need("matplotlib.lines", extra="audit")
    shares, everything = _is_share(parts[0][1][0]), [finding for _, part in parts for finding in part]
    series = max((_series(part) for _, part in parts), key=len)
    handles = []
    if len(series) > 1 or shares:
        marks = ["s"] * len(series) if shares else [MARKS[place % len(MARKS)] for place in range(len(series))]
        for place, (called, mark) in enumerate(zip(_called(series), marks, strict=True)):
            colour = COLOURS[place % len(COLOURS)]
            handles.append(lines.Line2D([], [], color=colour, marker=mark, linestyle="none", label=_short(called)))
    if any(finding.small for finding in everything):
        face = {"color": SOFT, "markerfacecolor": "none", "linestyle": "none"}
        handles.append(lines.Line2D([], [], marker="o", label="few people", **face))
    if any(finding.reference is not None for finding in everything):
        handles.append(
            lines.Line2D([], [], color=INK, linestyle=(0, (2.5, 1.5)), linewidth=1, label="chance or target")
        )
    if any(finding.low is not None for finding in everything):
        handles.append(lines.Line2D([], [], color=SOFT, linewidth=1.4, label="95 % interval"))
    handles.append(lines.Line2D([], [], linestyle="none", label="n: clips"))
    figure.legend(handles=handles, loc="outside lower left", ncols=min(len(handles), 6), frameon=False, fontsize=7.5)


def _brief(value: float) -> str:
    said = f"{value:,.0f}" if value == int(value) and abs(value) >= 2 else f"{value:.2f}"
    return "0.00" if said == "-0.00" else said


def _short(text: str) -> str:
    said = one_line(text)
    return said if len(said) <= LONGEST else f"{said[: LONGEST - 1]}…"


def _wrapped(title: str) -> str:
    """A column's title, in two lines where it is long."""
    said = _short(title)
    if len(said) < 22 or " of " not in said:
        return said
    measure, _, of = said.partition(" of ")
    return f"{measure}\nof {of}"
