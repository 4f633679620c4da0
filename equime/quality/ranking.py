r"""Generators side by side: scored clips of one plan, as a table that says how sure it is.

    print("\n".join(rank({"warp": rows, "other": more}).lines()))

Only clips that every generator made and that were scored count, or a generator that fails on hard faces would win. A
share of accepted clips comes with its Wilson interval; where intervals overlap much, the order means little.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean, median
from typing import Any

from equime import schema
from equime.errors import EquimeError
from equime.metrics import wilson

Row = Mapping[str, Any]

MEANS = (
    *("unit_fidelity", "unit_fidelity_shuffled", "unit_leakage", "residual", "head_motion"),
    *("identity", "flicker", "noise", "jump", "stillness"),
    *(f.name for f in schema.GROUPS["score"] if f.name.endswith(("_source", "_consecutive"))),
    *schema.NO_REFERENCE,
)
"""Score columns of which a table tells the mean."""
_SHOWN = (
    *(("units", "unit_fidelity"), ("shuffled", "unit_fidelity_shuffled"), ("identity", "identity")),
    *(("flicker", "flicker"), ("ssim", "ssim_source"), ("sharpness", "sharpness")),
)


@dataclass(frozen=True)
class Entry:
    """One generator over the clips in common.

    Attributes:
        name: As it was given.
        n: The clips.
        accepted: Share of them accepted.
        low: Lower end of its 95 % interval.
        high: Upper end.
        apex_error_ms: Median distance of the measured from the planned apex, over clips that have both.
        apexes: How many have both.
        amplitude: Median, in eye distances.
        means: Score column -> its mean over the clips that have it; absent where none has.
    """

    name: str
    n: int
    accepted: float
    low: float
    high: float
    apex_error_ms: float | None
    apexes: int
    amplitude: float | None
    means: Mapping[str, float]


@dataclass(frozen=True)
class Ranking:
    """Generators, the best first.

    Attributes:
        entries: By share accepted, then by how far their units stand out against a shuffled plan.
        n: Clips in common.
        left_out: Generator -> its scored clips that not all the others have.
    """

    entries: tuple[Entry, ...]
    n: int
    left_out: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {"clips": self.n, "left_out": dict(self.left_out), "generators": [asdict(e) for e in self.entries]}

    def lines(self) -> list[str]:
        """A table for people."""
        width = max(9, *(len(entry.name) for entry in self.entries))
        heads = ["accepted", "95 % interval", "apex error", "amplitude", *(head for head, _ in _SHOWN)]
        table = [f"{'generator':{width}}  " + "  ".join(f"{head:>13}" for head in heads)]
        table += [f"{entry.name:{width}}  " + "  ".join(f"{c:>13}" for c in _cells(entry)) for entry in self.entries]
        apart = [f"{name} {count}" for name, count in self.left_out.items() if count]
        note = f"; scored but not by all: {', '.join(apart)}" if apart else ""
        return [*table, f"{self.n} clips in common{note}"]


def rank(rows: Mapping[str, Iterable[Row]]) -> Ranking:
    """Compare generators over the clips that all of them have.

    Args:
        rows: Generator -> rows with clip_id, the plan's apex_ms and the score columns; rows without a verdict
            (`accepted` null) do not count.

    Raises:
        EquimeError: No clip is scored for all of them.
    """
    scored = {name: {row["clip_id"]: row for row in some if row["accepted"] is not None} for name, some in rows.items()}
    common = set.intersection(*(set(found) for found in scored.values())) if scored else set()
    if not common:
        each = ", ".join(f"{name} {len(found)}" for name, found in scored.items())
        raise EquimeError(f"expected clips that every generator has, got none in common (scored: {each})")
    entries = [_entry(name, [found[clip] for clip in sorted(common)]) for name, found in scored.items()]
    left_out = {name: len(found) - len(common) for name, found in scored.items()}
    return Ranking(tuple(sorted(entries, key=_order)), len(common), left_out)


def _entry(name: str, rows: Sequence[Row]) -> Entry:
    hits = sum(bool(row["accepted"]) for row in rows)
    pairs = ((row.get("measured_apex_ms"), row.get("apex_ms")) for row in rows)
    errors = [abs(seen - meant) for seen, meant in pairs if seen is not None and meant is not None]
    amplitudes = _known(rows, "amplitude")
    means = {column: fmean(values) for column in MEANS if (values := _known(rows, column))}
    return Entry(
        name,
        len(rows),
        hits / len(rows),
        *wilson(hits, len(rows)),
        median(errors) if errors else None,
        len(errors),
        median(amplitudes) if amplitudes else None,
        means,
    )


def _known(rows: Iterable[Row], column: str) -> list[float]:
    return [row[column] for row in rows if row.get(column) is not None]


def _order(entry: Entry) -> tuple[float, float, str]:
    stands_out = entry.means.get("unit_fidelity", -1.0) - entry.means.get("unit_fidelity_shuffled", 0.0)
    return -entry.accepted, -stands_out, entry.name


def _cells(entry: Entry) -> list[str]:
    return [
        f"{entry.accepted:.1%}",
        f"{entry.low:.1%}-{entry.high:.1%}",
        _said(entry.apex_error_ms, "{:.0f} ms"),
        _said(entry.amplitude, "{:.4f}"),
        *(_said(entry.means.get(column), "{:.3f}") for _, column in _SHOWN),
    ]


def _said(value: float | None, how: str) -> str:
    return "-" if value is None else how.format(value)
