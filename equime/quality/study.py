r"""How well the measures work on a data set: times, sides, regions, detection, acceptance, and for whom.

Why: measures of validity have to be valid themselves. Every figure has a constant guess's and a shuffled plan's beside
it (see `quality.figures`), counts what was not measured as missed, and is given by intensity, by tone of skin and by
perceived group, because a measure that is blind to faint clips or dark skin would choose the data set for us.
Rows are read once, as they come, and held as columns: 75,000 clips take 20 MB.

    print("\n".join(study(rows).lines()))     # rows: plan, tag and score columns of the clips

Sides are the subject's own; gender, age and race are *perceived* labels, emotion is no part of any figure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from equime import schema
from equime.quality.against_plan import against_plan
from equime.quality.clip_columns import Array, Clips, Row, gates
from equime.quality.figures import Figure, mean_of

CLEAR: Final = "B and above"
WHOLE: Final = ("all", CLEAR)
IN_GROUPS: Final = ("measured", "apex within 2", "duration within 2", "side", "regions", "accepted")
"""The figures that are printed for every group; `to_dict` has all."""


@dataclass(frozen=True)
class Study:
    """How well a data set's expressions were measured. Made by `study`.

    Attributes:
        clips: Clips with a planned expression.
        subjects: Whose they are.
        figures: By group ("all", "B and above", an intensity, a band of skin, a perceived label), then by name:
            shares within 1 and 2 frames of the plan, errors in ms, side, regions (area under the ROC curve),
            unit fidelity, what was measured at all, what was accepted.
        controls: By kind of control, "accepted" (it is what it claims) and "measured" (something moved).
        reasons: By group, how many clips each gate rejected.
    """

    clips: int
    subjects: int
    figures: Mapping[str, Mapping[str, Figure]]
    controls: Mapping[str, Mapping[str, Figure]]
    reasons: Mapping[str, Mapping[str, int]]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The tables, as text."""
        if not self.clips:
            return ["no clip with a planned expression"]
        return [*_main_table(self), *_group_table(self), *_control_table(self), *_reason_table(self)]


def study(rows: Iterable[Row], in_groups: Container[str] | None = None) -> Study:
    """Compare what was measured with what was planned.

    Args:
        rows: Plan, tag and score columns (`schema.GROUPS`) and `fps`; absent ones count as null. Every row with
            planned units and times is an expression, and missed where nothing was measured; rows with a `control`
            are counted apart; others are left out.
        in_groups: Names of the figures to give for every group; None: all. "all" and `CLEAR` always have all.
    """
    clips = Clips.of(rows)
    controls = {kind: clips[clips.control == kind] for kind in schema.CONTROLS}
    neutral = controls[schema.NEUTRAL].measured
    alarms = float(neutral.mean()) if len(neutral) else None
    groups = _groups(clips)
    return Study(
        int(clips.expressed.sum()),
        len(np.unique(clips.subject[clips.expressed])),
        {
            name: dict(against_plan(clips[chosen], alarms, None if name in WHOLE else in_groups))
            for name, chosen in groups.items()
        },
        {kind: _control_figures(chosen) for kind, chosen in controls.items() if len(chosen)},
        {name: _commonest(clips.gates[chosen]) for name, chosen in groups.items()},
    )


def _control_figures(clips: Clips) -> dict[str, Figure]:
    return {
        "accepted": Figure.of(mean_of(clips.accepted), clips.subject),
        "measured": Figure.of(mean_of(clips.measured), clips.subject),
    }


def _groups(clips: Clips) -> dict[str, Array]:
    """Which expressions are in each group, bool (n,), in the order of printing; empty ones are left out."""
    found = {"all": np.ones(len(clips), bool), CLEAR: clips.letter >= "B"}
    found |= {f"intensity {letter}": clips.letter == letter for letter in schema.INTENSITIES}
    named = [(name, column) for column in clips.groups.T for name in set(column) - {None}]
    found |= {name: column == name for name, column in sorted(named, key=lambda pair: pair[0])}
    found = {name: chosen & clips.expressed for name, chosen in found.items()}
    return {name: chosen for name, chosen in found.items() if chosen.any()}


def refusals(rows: Iterable[Row]) -> dict[str, int]:
    """How many clips each gate rejected, the commonest first."""
    return _commonest(map(gates, rows))


def _commonest(named: Iterable[tuple[str, ...]]) -> dict[str, int]:
    counts = Counter(gate for found in named for gate in found)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


# --- tables


def _main_table(found: Study) -> list[str]:
    shown = [name for name in WHOLE if name in found.figures]
    lines = [
        f"{found.clips:,} clips of {found.subjects:,} subjects with a planned expression",
        "const: the best guess that is the same for every clip; shuff: against the plans of other clips",
        f"{'':34}" + "".join(f"{name:>42}" for name in shown),
        f"{'within frames, or ms':34}" + f"{'measured':>10}{'95 %':>16}{'const':>8}{'shuff':>8}" * len(shown),
    ]
    for name in found.figures["all"]:
        figures = [found.figures[group].get(name, Figure()) for group in shown]
        lines.append(f"{name:34}" + "".join(_cells(figure, 1 if name.endswith(" ms") else 3) for figure in figures))
    return lines


def _cells(figure: Figure, digits: int) -> str:
    span = f"{_number(figure.low, digits)}-{_number(figure.high, digits)}" if figure.low is not None else ""
    baselines = f"{_number(figure.constant, digits):>8}{_number(figure.control, digits):>8}"
    return f"{_number(figure.value, digits):>10}{span:>16}{baselines}"


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _group_table(found: Study) -> list[str]:
    lines = ["", f"{'':24}{'clips':>7}" + "".join(f"{name:>19}" for name in IN_GROUPS)]
    for group, figures in found.figures.items():
        shown = [figures.get(name, Figure()) for name in IN_GROUPS]
        lines.append(f"{group:24}{figures['measured'].clips:>7}" + "".join(f"{_short(s):>19}" for s in shown))
    return lines


def _short(figure: Figure) -> str:
    span = f" {_number(figure.low, 2)}-{_number(figure.high, 2)}" if figure.low is not None else ""
    return f"{_number(figure.value)}{span}"


def _control_table(found: Study) -> list[str]:
    return [""] * bool(found.controls) + [
        f"control {kind}: {figures['accepted'].clips} clips, {_number(figures['accepted'].value)} accepted,"
        f" in {_number(figures['measured'].value)} something moved"
        for kind, figures in found.controls.items()
    ]


def _reason_table(found: Study) -> list[str]:
    lines = [
        f"{group:24}" + ", ".join(f"{gate} {count}" for gate, count in gates.items())
        for group, gates in found.reasons.items()
        if gates
    ]
    return ["", "rejected clips by gate", *lines] if lines else []
