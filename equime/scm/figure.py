"""The causal model as a figure: its graph, and the tables that fill it in.

Why: a plan is only as good as what it is drawn from, and that should be seen on one page of a paper. Drawn without
pyplot, so nothing of a caller's figures is touched, and the same model gives the same bytes.

    equime causal show --out causal.svg             pip install "equime[causal]"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from equime import schema
from equime.action_units import INTENSITIES, NAMES
from equime.causal import ARROWS, EmotionModel
from equime.errors import EquimeError
from equime.optional import need
from equime.scm.times import LogNormal

NODES: Mapping[str, tuple[float, float, str]] = {
    "D": (0.0, 2.1, "D: perceived gender,\nage band, race"),
    "face": (3.0, 2.1, "source face"),
    "E": (0.0, 0.5, "E: intended\nemotion"),
    "A": (1.5, 0.9, "A: action units"),
    "intensity": (3.0, 1.35, "intensity"),
    "side": (3.0, 0.45, "side"),
    "times": (3.0, -0.35, "onset, apex, offset"),
    "clip": (4.5, 0.9, "clip"),
}
"""Node -> where it stands and what it says."""
NOISES: Mapping[str, str] = {"A": "units", "intensity": "intensity", "side": "side", "times": "times"}
"""Node -> the name of its noise."""
BENT: Mapping[tuple[str, str], float] = {("E", "intensity"): -0.33, ("E", "times"): 0.1}
"""Arrows that go round a node."""
HALF = (0.46, 0.23)
"""Half the width and height of a node."""
INK, FAINT, FILL = "#1f2a37", "#6b7280", "#eef2f7"
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")
"""Of the emotions, told apart with every colour vision (Tol's bright scheme)."""
SHADES = ("#dbe9f6", "#a9cce8", "#6aaed6", "#3787c0", "#105ba4")


def draw(model: EmotionModel, path: Path, title: str = "") -> None:
    """Write the figure.

    Args:
        model: what to draw.
        path: ends in .svg, .png or .pdf.
        title: such as where the model comes from.

    Raises:
        EquimeError: another ending, or the file cannot be written.
        MissingPackageError: matplotlib is not installed.
    """
    if path.suffix.lower() not in (".svg", ".png", ".pdf"):
        raise EquimeError(f"expected a file that ends in .svg, .png or .pdf, got {path}; correct --out")
    matplotlib = need("matplotlib", extra="causal")
    metadata = {".png": {"Software": None}, ".svg": {"Date": None, "Creator": None}}.get(path.suffix.lower())
    fixed = {"svg.hashsalt": "equime", "font.family": "DejaVu Sans", "font.size": 8, "axes.edgecolor": FAINT}
    with matplotlib.rc_context(fixed | {"pdf.fonttype": 42}):
        figure = _figure(model, title)
        try:
            figure.savefig(path, dpi=200, metadata=metadata or {"CreationDate": None, "Producer": None})
        except OSError as error:
            raise EquimeError(f"cannot write {path}: {error.strerror}; give another --out") from error


def _figure(model: EmotionModel, title: str) -> Any:
    figure = need("matplotlib.figure", extra="causal").Figure(figsize=(11, 9.6), layout="constrained")
    rows = figure.add_gridspec(3, 1, height_ratios=(1.25, 1.05, 1.0), hspace=0.06)
    bottom = rows[2].subgridspec(1, 3, width_ratios=(1.0, 1.0, 1.35), wspace=0.06)
    _graph(figure.add_subplot(rows[0]), title)
    _units(figure.add_subplot(rows[1]), model)
    _intensities(figure.add_subplot(bottom[0]), model)
    _sides(figure.add_subplot(bottom[1]), model)
    _times(figure.add_subplot(bottom[2]), model)
    return figure


def _graph(axes: Any, title: str) -> None:
    """The nodes, with the noise of those that are drawn, and the arrows."""
    patches = need("matplotlib.patches", extra="causal")
    boxes = {}
    for name, (x, y, text) in NODES.items():
        corner = (x - HALF[0], y - HALF[1])
        style = "round,pad=0,rounding_size=0.1"
        boxes[name] = patches.FancyBboxPatch(
            corner, 2 * HALF[0], 2 * HALF[1], style, mutation_aspect=0.6, zorder=2, facecolor=FILL, edgecolor=INK
        )
        axes.add_patch(boxes[name])
        named = name in NOISES
        axes.text(x, y + 0.05 * named, text, ha="center", va="center", zorder=3, color=INK, fontsize=8)
        if named:
            axes.text(
                x, y - 0.13, f"noise “{NOISES[name]}”", ha="center", va="center", zorder=3, color=FAINT, fontsize=6.5
            )
    for cause, effect in ARROWS:
        style = f"arc3,rad={BENT.get((cause, effect), 0.0)}"
        ends = {"patchA": boxes[cause], "patchB": boxes[effect], "shrinkA": 0, "shrinkB": 1}
        arrow = patches.FancyArrowPatch(
            NODES[cause][:2], NODES[effect][:2], arrowstyle="-|>", connectionstyle=style, mutation_scale=10, **ends
        )
        arrow.set(color=INK, linewidth=0.9, zorder=1)
        axes.add_patch(arrow)
    axes.set(xlim=(-0.5, 5.0), ylim=(-0.65, 2.4))
    axes.axis("off")
    axes.set_title(title or "Causal model", loc="left", fontsize=10, color=INK, fontweight="bold")
    note = "No arrow leads from D to E, A, intensity, side or times.\nEach mechanism has its own named, seeded noise."
    axes.text(-HALF[0], -0.5, note, ha="left", va="center", fontsize=7.5, color=FAINT)


def _units(axes: Any, model: EmotionModel) -> None:
    """P(unit acts | emotion) as a heat map, with units a clip and what the fit rests on."""
    units = sorted({au for one in model.units.values() for au in one.units})
    table = np.array([[one.chance(au) for au in units] for one in model.units.values()])
    axes.imshow(table, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), chance in np.ndenumerate(table):
        if chance >= 0.005:
            ink = "white" if chance > 0.55 else INK
            axes.text(column, row, _short(chance), ha="center", va="center", fontsize=7, color=ink)
    axes.set_xticks(range(len(units)), [f"{au}  {NAMES[au]}" for au in units], rotation=40, ha="right", fontsize=7)
    axes.set_yticks(range(len(table)), list(model.units))
    axes.tick_params(length=0)
    for row, one in enumerate(model.units.values()):
        rests = ", ".join(f"{name} {share:.0%}" for name, share in one.shares.items())
        note = f"{one.mean:.2f} a clip\n{rests}"
        axes.text(len(units) - 0.4, row, note, va="center", fontsize=6.5, color=FAINT, linespacing=1.3)
    axes.set_title("P(unit acts | emotion); empty: under .01", loc="left", fontsize=9, color=INK)
    for side in axes.spines.values():
        side.set_visible(False)


def _short(chance: float) -> str:
    return f"{chance:.2f}".removeprefix("0")


def _intensities(axes: Any, model: EmotionModel) -> None:
    """Shares of the letters, one bar an emotion, or one for all where they are the same."""
    shown = _distinct({emotion: dict(one.shares) for emotion, one in model.intensities.items()})
    left = np.zeros(len(shown))
    for letter, shade in zip(INTENSITIES, SHADES, strict=True):
        width = np.array([shares[letter] for shares in shown.values()])
        axes.barh(range(len(shown)), width, 0.6, left, color=shade, edgecolor="white", linewidth=0.5)
        for row, (start, share) in enumerate(zip(left, width, strict=True)):
            if share >= 0.03:
                ink = "white" if letter in "DE" else INK
                text = f"{letter}\n{_short(share)}" if len(shown) == 1 else letter
                size = 7 if share >= 0.08 else 5  # narrow bars stand side by side
                axes.text(start + share / 2, row, text, ha="center", va="center", fontsize=size, color=ink)
        left += width
    _bars(axes, list(shown), "Intensity shares (A trace ... E maximum)")
    axes.set_xlim(0, 1)


def _sides(axes: Any, model: EmotionModel) -> None:
    """Chance that a unit acts on one side: the mean over emotions, with their range where they differ."""
    chances = {au: [one.one_sided.get(au, 0.0) for one in model.sides.values()] for au in _one_sided(model)}
    means = [float(np.mean(found)) for found in chances.values()]
    axes.barh(range(len(chances)), means, 0.6, color=SHADES[2])
    for row, found in enumerate(chances.values()):
        if max(found) > min(found):
            axes.plot((min(found), max(found)), (row, row), color=INK, linewidth=1)
    left = float(np.mean([one.left for one in model.sides.values()]))
    _bars(axes, [f"AU {au}" for au in chances], f"P(one side only | unit);  {_short(left)} of these: left")


def _one_sided(model: EmotionModel) -> list[int]:
    return sorted(au for au in next(iter(model.sides.values())).one_sided)


def _bars(axes: Any, labels: Sequence[str], title: str) -> None:
    axes.set_yticks(range(len(labels)), labels)
    if len(labels) == 1:
        axes.set_ylim(-1.2, 1.2)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_title(title, loc="left", fontsize=9, color=INK)


def _times(axes: Any, model: EmotionModel) -> None:
    """Densities of duration and onset-to-apex."""
    levels = np.linspace(0.002, 0.998, 400)
    shown = _distinct(dict(model.times))
    for index, (label, times) in enumerate(shown.items()):
        colour = COLOURS[index % len(COLOURS)] if len(shown) > 1 else COLOURS[0]
        for time, dash in ((times.onset_to_apex, "--"), (times.duration, "-")):
            name = "onset to apex" if dash == "--" else "onset to offset"
            wanted = len(shown) == 1 or dash == "-"
            text = (name if len(shown) == 1 else label) if wanted else None
            axes.plot(*_density(time, levels), dash, color=colour, linewidth=1.4, label=text)
    axes.set(xlim=(0, 520), xlabel="ms", yticks=[])
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(frameon=False, fontsize=7, loc="upper right")
    title = "Density of times" if len(shown) == 1 else "Density of times (dashed: onset to apex; solid: to offset)"
    axes.set_title(title, loc="left", fontsize=9, color=INK)


def _density(time: LogNormal, levels: Any) -> tuple[Any, Any]:
    """Times and their density in 1/ms: the slope of the levels."""
    ms = np.array([time.quantile(float(level)) for level in levels])
    return ms, np.gradient(levels, ms)


def _distinct(parts: Mapping[str, Any]) -> dict[str, Any]:
    """One entry, "all emotions", where all are the same."""
    first = next(iter(parts.values()))
    same = all(part == first for part in parts.values())
    return {"all" if len(parts) < len(schema.EMOTIONS) else "all emotions": first} if same else dict(parts)
