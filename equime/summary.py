"""What a workspace's annotations say, and how far they can be believed: captions, tags, scores.

What: one section for each group that is there. Captions: units planned, named and measured, three ways. Tags: shares
by *perceived* label, and the subjects on whom clips disagree. Scores: means of the fidelity measures with the motion
beside them, who was accepted and why others were not, and what the measures of validity are worth.
Why: a stage writes numbers for every clip; whether they mean anything shows only over all of them, beside what a
constant guess or shuffled rows would score.

    equime summary WORKSPACE
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Protocol

from equime import schema, tag_summary
from equime.captioning import agreement
from equime.planning.strata import Acceptance, acceptance, judged
from equime.quality.study import refusals, study
from equime.table import Table
from equime.wording import counted

Row = dict[str, Any]
MOTION = ("amplitude", "stillness")
"""What stands beside consecutive-frame measures: they reward a clip in which nothing happens."""


class Section(Protocol):
    """One part of a summary."""

    def lines(self) -> list[str]:
        """For people."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""


@dataclass(frozen=True)
class Means:
    """Fidelity: column -> (mean, clips that have it), and the same of `MOTION`."""

    columns: Mapping[str, tuple[float, int]]

    def lines(self) -> list[str]:
        """A line for each measure; the unmeasured are left out."""
        return [
            "means over clips; a frozen clip is perfect in every measure, so read them beside " + " and ".join(MOTION),
            *(f"{name:28} {mean:10.4g}  {counted(n, 'clip')}" for name, (mean, n) in self.columns.items()),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Column -> mean and clips."""
        return {name: {"mean": mean, "clips": n} for name, (mean, n) in self.columns.items()}


@dataclass(frozen=True)
class Accepted:
    """How many clips are accepted, by demographic cell (*perceived*) and emotion, and how often each gate refused.

    Attributes:
        clips: Scored clips, controls and dose sweeps included.
        accepted: Those accepted.
        unscored: Clips without a score: not made, not scored yet, or failed.
        reasons: Gate -> clips it refused.
        groups: Shares with 95 % Wilson intervals, of the balanced clips; one that could not be scored is not accepted.
    """

    clips: int
    accepted: int
    unscored: int
    reasons: Mapping[str, int]
    groups: Sequence[Acceptance]

    def lines(self) -> list[str]:
        """The whole, then by gate, then by group."""
        return [
            f"accepted {self.accepted} of {self.clips} scored clips"
            + (f"; {counted(self.unscored, 'clip')} without a score" if self.unscored else ""),
            *(f"  refused by {gate}: {n}" for gate, n in self.reasons.items()),
            *(["by group (95 % interval), of the balanced clips"] if self.groups else []),
            *(
                f"  {g.by + ' ' + (g.group or '(none)'):40} {g.accepted:>6} of {g.scored:<6} {g.share:6.1%}"
                f" [{g.low:.1%}, {g.high:.1%}]"
                for g in self.groups
            ),
        ]

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        groups = [asdict(group) | {"share": group.share} for group in self.groups]
        return asdict(self) | {"groups": groups}


def summarise(table: Table) -> dict[str, Section]:
    """The sections that a workspace has, by name.

    Raises:
        EquimeError: A shard that does not read.
    """
    made = set(table.groups)
    wanted = [name for group in schema.GROUPS for name in schema.GROUPS[group].names if name != "video"]
    rows = list(table.rows(list(dict.fromkeys(wanted)))) if made & {"caption", "tag", "score"} else []
    return dict(_sections(table, made, rows))


def _sections(table: Table, made: set[str], rows: list[Row]) -> Iterator[tuple[str, Section]]:
    if "caption" in made:
        yield "captions", agreement.agreement(rows)
    if "tag" in made:
        yield "tags", tag_summary.summarise(rows)
    scored = [row for row in rows if row["accepted"] is not None]
    if scored:
        yield "fidelity", means(scored)
    if "score" in made:
        unscored, groups = len(rows) - len(scored), acceptance(judged(table))
        yield "acceptance", Accepted(len(scored), _accepted(scored), unscored, refusals(scored), groups)
    if scored:
        yield "validity", study(scored)


def left_out(table: Table) -> dict[str, int]:
    """Annotation that was begun -> planned shards without it, or with a stale one; nothing where it is whole."""
    annotations = [group for group in ("caption", "tag", "score") if group in table.groups]
    made = [table.made(index, annotations) for index in table.shards()]
    counts = {group: sum(group not in there for there in made) for group in annotations}
    return {group: count for group, count in counts.items() if count}


def means(rows: Sequence[Row]) -> Means:
    """The mean of each fidelity measure over the clips that have it, and of the motion."""
    names = [n for n in schema.GROUPS["score"].names if n.endswith(("_source", "_consecutive", "_reference"))]
    found = {
        name: [row[name] for row in rows if row[name] is not None] for name in (*names, *schema.NO_REFERENCE, *MOTION)
    }
    return Means({name: (fmean(values), len(values)) for name, values in found.items() if values})


def _accepted(rows: Sequence[Row]) -> int:
    return sum(row["accepted"] is True for row in rows)
