"""The pictures of a release: whom it shows, and whether its clips are as good for every group.

    draw(facts, release)      # {"composition": "figures/composition.png", "groups": "figures/groups.png"}

Composition: bars of subjects and of clips stand side by side, in shares, so that who is shown more often than others is
seen; the dashed line is the share at which all groups are equal. Groups: the share of clips that were accepted, and
what was measured against the plan, with intervals, so that a gap is seen beside what chance makes. Without matplotlib
there are none. There is no face in them; groups are *perceived*.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from equime.audit.drawing import panels
from equime.audit.result import Finding
from equime.audit.tables.groups import is_small
from equime.errors import MissingPackageError
from equime.metrics import wilson
from equime.planning.equity_report import Balance, Equity
from equime.planning.targets import PRIORITY
from equime.publishing.documents.citation import NAME
from equime.publishing.documents.facts import Facts
from equime.publishing.documents.markdown import many
from equime.skin import BANDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOLDER: Final = "figures"
MEASURED: Final = {
    "measured": "something measured",
    "apex within 2": "apex within 2 frames",
    "duration within 2": "duration within 2 frames",
}
"""Of `quality.study`, drawn by group, and in words."""
COLOURS: Final = {"identities": "#1b4f72", "clips": "#e59866"}
"""Told apart in grey and by readers who do not tell red from green."""
WORDS: Final = {"identities": "subjects", "clips": "clips"}
_BEHIND: Final = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
"""So that the dashed line does not cross a count."""
INCH_A_BAR: Final = 0.36
WIDTH: Final = 9.0
DPI: Final = 110


def draw(facts: Facts, folder: Path) -> dict[str, str]:
    """Draw what can be drawn, as PNG; the same facts give the same bytes under one version of matplotlib.

    Args:
        facts: What was counted; by the sources' labels, or the tagger's where sources have none.
        folder: The release.

    Returns:
        "composition" and "groups" -> path in the release, of those that were drawn.
    """
    drawers = {"composition": composition, "groups": by_group}
    places = {name: f"{FOLDER}/{name}.png" for name in drawers}
    return {name: places[name] for name, drawer in drawers.items() if drawer(facts, folder / places[name])}


def by_group(facts: Facts, path: Path) -> bool:
    """Draw acceptance and measures by group; False without matplotlib, or where no group was scored."""
    findings = [*_accepted(facts), *_measured(facts)]
    if not findings:
        return False
    try:
        figure = panels.columns(findings, list(dict.fromkeys(finding.name for finding in findings)))
    except MissingPackageError:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    title = f"{NAME} {facts.about.version}: clips accepted, and measured as planned, by perceived group"
    with panels.titled(figure, title):
        figure.savefig(path, format="png", dpi=DPI, metadata={"Software": None}, facecolor="white")
    return True


def _accepted(facts: Facts) -> Iterator[Finding]:
    """Of the clips that were judged, before any was left out."""
    for each in facts.acceptance:
        if each.by in PRIORITY and each.group and each.judged:
            group, (low, high) = f"{each.by} {each.group}", wilson(each.accepted, each.judged)
            yield Finding(
                measure="accepted",
                by="group",
                group=group,
                value=each.accepted / each.judged,
                low=low,
                high=high,
                clips=each.judged,
                small=_is_few(facts, group),
            )


def _measured(facts: Facts) -> Iterator[Finding]:
    """What every group has whole, as the best guess has it too, is left out: the gates let nothing else pass."""
    found = facts.validity.figures if facts.validity else {}
    groups = [group for group in found if group.partition(" ")[0] in PRIORITY]
    groups += [f"skin {band}" for band in BANDS if f"skin {band}" in found]
    for name, words in MEASURED.items():
        figures = {group: found[group][name] for group in groups if name in found[group]}
        if all(figure.value == figure.constant for figure in figures.values()):
            continue
        for group, figure in figures.items():
            if figure.value is not None:
                yield Finding(
                    measure=words,
                    by="group",
                    group=group,
                    value=figure.value,
                    low=figure.low,
                    high=figure.high,
                    reference=figure.constant,
                    clips=figure.clips,
                    small=_is_few(facts, group),
                )


def _is_few(facts: Facts, group: str) -> bool:
    """Whether a group ("race asian", "skin tan") has too few subjects to say much."""
    by, _, name = group.partition(" ")
    if by == "skin":
        return name not in facts.skin or is_small(facts.skin[name].subjects)
    equity = facts.source or facts.tagged
    return equity is None or is_small(equity.balances[by].identities.get(name, 0))


def composition(facts: Facts, path: Path) -> bool:
    """Draw the composition; False without matplotlib, or where nobody has a label."""
    equity = facts.source or facts.tagged
    if equity is None:
        return False
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    shown = [name for name in PRIORITY if sum(equity.balances[name].identities.values())]
    if not shown:
        return False
    bars = [len(equity.balances[name].shares) + 1.6 for name in shown]
    figure = Figure(figsize=(WIDTH, INCH_A_BAR * sum(bars) + 1.0), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(shown), 1, height_ratios=bars, squeeze=False)[:, 0]
    for name, area in zip(shown, axes, strict=True):
        _draw(area, name, equity.balances[name])
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(_title(facts, equity), fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", metadata={"Software": None})
    return True


def _title(facts: Facts, equity: Equity) -> str:
    by = "labels of the source pictures" if equity is facts.source else "a classifier's labels"
    return (
        f"{NAME} {facts.about.version}: {many(facts.subjects, 'subject')}, {many(facts.clips, 'clip')}\n"
        f"perceived groups, by {by}; shares of those with a label"
    )


def _draw(area: Axes, name: str, balance: Balance) -> None:
    groups = [*balance.shares]
    for offset, (what, colour) in zip((-0.2, 0.2), COLOURS.items(), strict=True):
        counts = [getattr(balance, what)[group] for group in groups]
        total = sum(counts) or 1
        places = [index + offset for index in range(len(groups))]
        drawn = area.barh(places, [100 * n / total for n in counts], height=0.38, color=colour, label=WORDS[what])
        area.bar_label(drawn, [f"{n:,}" for n in counts], padding=3, fontsize=8, bbox=_BEHIND)
    area.axvline(100 / len(groups), color="#555555", linestyle="--", linewidth=1, label="equal shares")
    area.set_yticks(range(len(groups)), groups)
    area.invert_yaxis()
    area.margins(x=0.1)
    area.set_xlabel("per cent", fontsize=8)
    area.tick_params(labelsize=9)
    evenness = balance.measures("identities")["evenness"], balance.measures("clips")["evenness"]
    area.set_title(
        f"{name}: evenness {evenness[0]:.3f} of subjects, {evenness[1]:.3f} of clips", fontsize=10, loc="left"
    )
    area.spines[["top", "right"]].set_visible(False)
