"""What each coder saw of what was planned, and whether it saw it of everybody: shares with intervals, by group.

    list(overall(coder, plan, clips))            # seen of expressions, of neutral clips; precision, recall of units
    list(by_group([coder], plan, clips, groups(rows, "race"), rows.labels))

Over all clips the share that was seen is weighted back to the data set (`sampling`). Groups are compared without
weights: the sample shows each group the emotions and intensities as evenly as there are clips, the data set need not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from equime.audit.measures.permutation import pooled
from equime.audit.measures.resampling import Test, Tested, Units, compared, drawn, estimates, mean, means
from equime.audit.result import Finding, figures
from equime.audit.review.agreement import by_chance
from equime.audit.review.judges import Judge
from equime.audit.tables.groups import Groups, is_small
from equime.bootstrap import Estimate, bootstrap

Array = npt.NDArray[Any]
Share = tuple[Array, Array]
"""What is counted in each clip, and out of how much: float64 (n,) twice."""

NOTHING: Final = "no such clip was coded, or nothing was named in it"
FEW: Final = "fewer than two groups have people enough to be compared"


@dataclass(frozen=True, eq=False)
class Clips:
    """The clips that were coded.

    Attributes:
        who: int64 (n,), the subject of each, 0 to S - 1.
        neutral: bool (n,), whether it shows no expression.
        weight: float64 (n,), see `sampling.KEY`; any number for neutral clips.
    """

    who: Array
    neutral: Array
    weight: Array


def shares(coder: Judge, plan: Judge, clips: Clips) -> dict[str, Share]:
    """What is compared between groups, of clips of expressions.

    "seen": any unit; "F1 of units": against the plan, FACS's index of agreement; "emotion as intended"; "realism": its
    mean, 1 to 5.
    """
    emotion, realism = coder.answers["emotion"], coder.answers["realism"]
    named = (coder.units.sum(1) + plan.units.sum(1)) * coder.coded
    counts = {
        "seen": (coder.seen, coder.coded),
        "F1 of units": (2 * (coder.units & plan.units).sum(1), named),
        "emotion as intended": (emotion == plan.answers["emotion"], emotion >= 0),
        "realism": (realism + 1, realism >= 0),
    }
    return {name: _where(~clips.neutral, *counted) for name, counted in counts.items()}


def overall(coder: Judge, plan: Judge, clips: Clips) -> Iterator[Finding]:
    """What one coder saw, on expressions and on neutral clips, and its units and emotions against the plan's."""
    told, mask = shares(coder, plan, clips), coder.coded
    alarms = _where(clips.neutral, coder.seen, coder.coded)
    above, below = told["seen"]
    # A share of weights is over the clips that were coded: those left empty count nowhere.
    weighted = above * clips.weight, below * clips.weight
    yield _finding("seen", "expressions", coder, clips, weighted, means(np.sum(alarms, 1)))
    yield _finding("seen", "neutral clips", coder, clips, alarms)
    hits = (coder.units & plan.units).sum(1)
    answers, units = coder.units.sum(1), plan.units.sum(1)
    by = _chance(coder, plan)
    yield _finding("precision", "units", coder, clips, _where(mask, hits, answers), by[0])
    yield _finding("recall", "units", coder, clips, _where(mask, hits, units), by[1])
    yield _finding("F1", "units", coder, clips, _where(mask, 2 * hits, answers + units), by_chance(coder, plan, mask))
    guessed = _guessed(coder.answers["emotion"], plan.answers["emotion"], told["emotion as intended"][1] > 0)
    yield _finding("emotion as intended", "", coder, clips, told["emotion as intended"], guessed)
    yield _finding("realism", "", coder, clips, told["realism"])


def by_group(coders: Sequence[Judge], plan: Judge, clips: Clips, by: Groups, labels: str) -> Iterator[Tested]:
    """The same of each group, and how far apart groups are.

    Args:
        coders: One, or several whose clips are added up.
        plan: Of the same clips.
        clips: Those.
        by: Their groups.
        labels: Whose labels these are.
    """
    scope = coders[0].name if len(coders) == 1 else "all coders"
    each = [shares(coder, plan, clips) for coder in coders]
    for name in each[0]:
        counts = np.sum([np.stack(share[name], 1) for share in each], 0)
        measure, _, of = name.partition(" of ")
        told = Finding(measure=measure, of=of, by=by.by, scope=scope, labels=labels, note=NOTHING)
        yield from _compared(told, counts, clips.who, by)


def _compared(told: Finding, counts: Array, who: Array, by: Groups) -> Iterator[Tested]:
    """Each group's share, then the largest gap between those that are not small."""
    size, asked = len(by.names), counts[:, 1] > 0
    units = Units.of_groups(who[asked], Groups(by.by, by.names, by.member[asked]))
    sums = np.stack([np.bincount(units.of, column, len(units.member)) for column in counts[asked].T], 1)
    values, draws = means(pooled(units.member, sums, size)), means(drawn(units.member, sums, size))
    whole, people = _known(means(sums[units.member >= 0].sum(0))), units.people(size)
    clips = np.bincount(by.member[asked & (by.member >= 0)], minlength=size)
    for k, estimate in enumerate(estimates(values, draws)):
        numbers = replace(told, group=by.names[k], reference=whole, clips=int(clips[k]), subjects=int(people[k]))
        yield _said(replace(numbers, small=is_small(int(people[k]))), estimate), None
    large = np.array([not is_small(int(n)) for n in people])
    subjects = np.unique(units.subject[np.append(large, False)[units.member]])
    gap = replace(told, measure=f"largest gap in {told.measure}", clips=int(clips[large].sum()), subjects=len(subjects))
    yield _gap(gap, units, sums, large) if large.sum() > 1 else (replace(gap, note=FEW), None)


def _gap(told: Finding, units: Units, sums: Array, large: Array) -> Tested:
    """How far apart groups are, beside what chance alone gives.

    Chance deals groups to people, so that there is none of what one person has several of, as acceptance.
    """
    (found,) = compared(units, sums, large, lambda pooled: means(pooled)[..., None], _range)
    gap = _said(told, found.estimate)
    if units.split():
        return gap, None
    return replace(gap, reference=mean(found.chance)), Test(found.estimate.value, found.chance)


def _range(shares_: Array) -> Array:
    """The largest share less the smallest, (..., 1) of (..., groups, 1)."""
    return np.asarray(np.ptp(shares_, axis=-2))


def _finding(
    measure: str, of: str, coder: Judge, clips: Clips, share: Share, reference: float | Array | None = None
) -> Finding:
    mask = share[1] > 0
    counts = _pooled(np.stack(share, 1), clips.who)
    people = int((counts[:, 1] > 0).sum())
    known = None if reference is None else _known(reference)
    told = Finding(measure=measure, of=of, scope=coder.name, reference=known, clips=int(mask.sum()), note=NOTHING)
    return _said(replace(told, subjects=people, small=is_small(people)), _estimate(counts))


def _pooled(counts: Array, who: Array) -> Array:
    """Counts of clips (n, 2) added up for each subject, (S, 2)."""
    return np.stack([np.bincount(who, column) for column in counts.T], 1)


def _estimate(counts: Array) -> Estimate:
    """The share of counts (S, 2) with its interval; those of whom nothing was coded are not drawn."""
    kept = counts[counts[:, 1] > 0]
    return bootstrap(kept, means) if len(kept) else Estimate(np.nan, np.nan, np.nan)


def _said(told: Finding, found: Estimate) -> Finding:
    """With its value, and then without the note that says why there is none."""
    value, low, high = figures(found).values()
    return replace(told, value=value, low=low, high=high, note=told.note if value is None else "")


def _where(mask: Array, above: Array, below: Array) -> Share:
    """Both of the clips that count, 0 elsewhere."""
    counts = mask * below
    return np.asarray(above * (counts > 0), np.float64), np.asarray(counts, np.float64)


def _known(value: float | Array) -> float | None:
    return None if np.isnan(value) else float(value)


def _chance(coder: Judge, plan: Judge) -> tuple[float, float]:
    """Precision and recall of a coder who names each unit as often as this one did, whatever the clip shows."""
    answers, units = coder.units[coder.coded].sum(0), plan.units[coder.coded].sum(0)
    hits = answers @ units / max(int(coder.coded.sum()), 1)
    totals = (int(answers.sum()), int(units.sum()))
    return float(hits / totals[0]) if totals[0] else np.nan, float(hits / totals[1]) if totals[1] else np.nan


def _guessed(answers: Array, truth: Array, mask: Array) -> float:
    """How often the same answers would be right if they were dealt to clips by chance."""
    if not mask.any():
        return np.nan
    size = int(max(answers.max(), truth.max())) + 1
    each = [np.bincount(column[mask], minlength=size) / mask.sum() for column in (answers, truth)]
    return float(each[0] @ each[1])
