"""Means of clips by group, the largest gap between groups, and what chance alone makes of that gap.

    found = by_groups(rows, {"accepted": accepted, "apex error, ms": error}, [groups(rows, "race")])

A mean is a sum over a number, and both add up over people: so one table of sums and numbers for each subject gives
every mean, its interval (whole subjects drawn) and its gap where chance alone deals the groups out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from equime.audit.measures.permutation import null
from equime.audit.measures.resampling import Test, Tested, corrected, drawn_of_all, estimates, mean, means, simultaneous
from equime.audit.result import MIN_SUBJECTS, Finding, figures
from equime.audit.tables.groups import Groups, is_small, whose
from equime.audit.tables.rows import Rows
from equime.bootstrap import Estimate

Array = npt.NDArray[Any]

GAP: Final = "gap"
"""Measure of a finding on the largest difference between two groups' means; `Finding.of` is the column."""
FEW: Final = f"fewer than two groups of {MIN_SUBJECTS} subjects or more: no gap"
TESTED: Final = (
    '"chance or target" is of a group the mean of all clips, of a gap its mean where chance deals the groups to'
    " subjects; p: each gap is held against the largest that chance brings about among all gaps of this audit, so that"
    " a p below .05 comes in 5 of 100 audits where groups say nothing (Westfall and Young 1993)"
)


def by_groups(
    rows: Rows, columns: Mapping[str, Array], groupings: Sequence[Groups], scope: str = "", ordinary: bool = True
) -> list[Finding]:
    """The mean of each column over all clips and by group, then the gap between groups.

    Args:
        rows: Whose clips they are.
        columns: By name, float64 (n,); NaN where a clip says nothing.
        groupings: Of the same rows.
        scope: Of the findings.
        ordinary: Whether means over all clips come first.

    Returns:
        Group means have that of all labelled clips as `reference`; gaps have the mean gap that chance gives, and a p.
    """
    every = Groups("", ("",), np.zeros(len(rows), np.int64))
    taken = [*([every] if ordinary else []), *groupings]
    who = whose(rows)[0]
    parts = [tallied(columns, who, by) for by in taken]
    counts = np.concatenate(parts, 1)
    starts = np.cumsum([0, *(len(by.names) for by in taken)])
    spans = [slice(a, b) for a, b in pairwise(starts)]
    big = ~is_small_of((counts[..., 1] > 0).sum(0))

    values, drawn = means(counts.sum(0)), means(drawn_of_all(counts))
    shown: list[Tested] = []
    for by, span, part in zip(taken, spans, parts, strict=True):
        told = {"by": by.by, "scope": scope, "labels": rows.labels_of(by.by)}
        shown += ((each, None) for each in _group_findings([*columns], by, part, values[span], drawn[:, span], told))
        if by.by:
            shown += _gap_findings([*columns], part, values[span], drawn[:, span], big[span], told)
    return list(corrected(shown))


def tallied(columns: Mapping[str, Array], who: Array, by: Groups) -> Array:
    """Sum and number of each column's values, by subject and group: float64 (subjects, groups, columns, 2)."""
    shape = int(who.max(initial=-1)) + 1, len(by.names)
    inside = (by.member >= 0) & (who >= 0)
    cell = who[inside] * shape[1] + by.member[inside]
    found = np.zeros((*shape, len(columns), 2))
    for place, values in enumerate(columns.values()):
        known = ~np.isnan(values[inside])
        for k, weights in enumerate((np.where(known, values[inside], 0.0), known)):
            found[:, :, place, k] = np.bincount(cell, weights, minlength=shape[0] * shape[1]).reshape(shape)
    return found


def gap(values: Array, big: Array) -> Array:
    """The largest difference between groups: (..., columns) of (..., groups, columns).

    Args:
        values: NaN where a group has none.
        big: Which groups take part, bool (groups, columns).

    Returns:
        NaN where fewer than two take part.
    """
    part = big & ~np.isnan(values)
    most, least = np.where(part, values, -np.inf).max(-2), np.where(part, values, np.inf).min(-2)
    return np.asarray(np.subtract(most, least, out=np.full(most.shape, np.nan), where=part.sum(-2) > 1))


def is_small_of(subjects: Array) -> Array:
    """`is_small` of an array of numbers."""
    return np.asarray(np.vectorize(is_small, otypes=[bool])(subjects))


def finding(measure: str, estimate: Estimate, missing: str, clips: int, subjects: int, **more: Any) -> Finding:
    """A finding of an estimate; where it is NaN, `missing` says why."""
    value, low, high = figures(estimate).values()
    more = {"note": missing if value is None else "", **more}
    return Finding(measure=measure, value=value, low=low, high=high, clips=int(clips), subjects=int(subjects), **more)


def _group_findings(
    names: Sequence[str], by: Groups, part: Array, values: Array, drawn: Array, told: Mapping[str, str]
) -> list[Finding]:
    clips, people = part[..., 1].sum(0), (part[..., 1] > 0).sum(0)
    overall = means(part.sum((0, 1)))
    found = []
    for g, group in enumerate(by.names):
        for k, estimate in enumerate(estimates(values[g], drawn[:, g])):
            of: dict[str, Any] = {"group": group, "small": is_small(int(people[g, k])), **told}
            of |= {"reference": float(overall[k])} if by.by else {}
            if clips[:, k].any():
                found.append(finding(names[k], estimate, "no clip of this group", clips[g, k], people[g, k], **of))
    return found


def _gap_findings(
    names: Sequence[str], part: Array, values: Array, drawn: Array, big: Array, told: Mapping[str, Any]
) -> Iterator[Tested]:
    """The gap of each column, tested where there is one."""
    numbers, gaps = part[..., 1], simultaneous(gap(values, big), gap(drawn - values, big))
    if all(np.isnan(estimate.value) for estimate in gaps):
        yield Finding(measure=GAP, subjects=int(numbers.any((1, 2)).sum()), note=FEW, **told), None
        return
    unit, member = np.nonzero(numbers.any(-1))  # a subject, or a part of one who is in two groups
    chance = null(member, part[unit, member], part.shape[1], lambda pooled: gap(means(pooled), big))
    for k in np.flatnonzero(numbers.any((0, 1))).tolist():
        inside = numbers[:, big[:, k], k]
        test = None if np.isnan(gaps[k].value) else Test(gaps[k].value, chance[:, k])
        of: dict[str, Any] = {"of": names[k], "reference": test and mean(test.chance), **told}
        yield finding(GAP, gaps[k], FEW, inside.sum(), inside.any(1).sum(), **of), test
