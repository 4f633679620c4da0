"""Means of clips by group, the largest gap between groups, and what chance alone makes of that gap.

    found = by_groups(rows, {"accepted": accepted, "apex error, ms": error}, [groups(rows, "race")])

A mean is a sum over a number, and both add up over people: so one table of sums and numbers for each subject gives
every mean, its interval (whole subjects drawn) and its gap where chance alone deals the groups out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from equime.audit.groups import Groups, is_small
from equime.audit.permutation import null, step_down
from equime.audit.resampling import drawn as drawn_within
from equime.audit.resampling import estimates
from equime.audit.result import MIN_SUBJECTS, Finding, figures
from equime.audit.rows import Rows
from equime.bootstrap import Estimate

Array = npt.NDArray[Any]

GAP: Final = "gap"
"""Measure of a finding on the largest difference between two groups' means; `Finding.of` is the column."""
FEW: Final = f"fewer than two groups of {MIN_SUBJECTS} subjects or more: no gap"
TESTED: Final = (
    "reference and p of a gap: what chance alone gives, groups dealt anew to subjects; p is corrected for all gaps of"
    " this audit (Westfall and Young 1993)"
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
    who = people_of(rows)
    parts = [tallied(columns, who, by) for by in taken]
    counts = np.concatenate(parts, 1)
    starts = np.cumsum([0, *(len(by.names) for by in taken)])
    spans = [slice(a, b) for a, b in pairwise(starts)]
    big = ~is_small_of((counts[..., 1] > 0).sum(0))

    values, drawn = means(counts.sum(0)), means(draws_of(counts))
    shown, tested = [], []
    for by, span, part in zip(taken, spans, parts, strict=True):
        told = {"by": by.by, "scope": scope, "labels": rows.labels if by.by else ""}
        shown += _group_findings([*columns], by, part, values[span], drawn[:, span], told)
        if by.by:
            gaps, chance = _gap_findings([*columns], part, values[span], drawn[:, span], big[span], told)
            shown += gaps
            tested += chance
    return corrected(shown, tested)


def people_of(rows: Rows) -> Array:
    """The number of each row's subject, int64 (n,)."""
    known = pc.dictionary_encode(rows.table["subject_id"].combine_chunks(), null_encoding="encode")
    return np.asarray(known.indices, np.int64)


def tallied(columns: Mapping[str, Array], who: Array, by: Groups) -> Array:
    """Sum and number of each column's values, by subject and group: float64 (subjects, groups, columns, 2)."""
    shape = int(who.max(initial=-1)) + 1, len(by.names)
    inside = by.member >= 0
    cell = who[inside] * shape[1] + by.member[inside]
    found = np.zeros((*shape, len(columns), 2))
    for place, values in enumerate(columns.values()):
        known = ~np.isnan(values[inside])
        for k, weights in enumerate((np.where(known, values[inside], 0.0), known)):
            found[:, :, place, k] = np.bincount(cell, weights, minlength=shape[0] * shape[1]).reshape(shape)
    return found


def means(pooled: Array) -> Array:
    """Sum over number, (...) of (..., 2); NaN without any."""
    total, number = pooled[..., 0], pooled[..., 1]
    return np.asarray(np.divide(total, number, out=np.full(np.shape(total), np.nan), where=number > 0))


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


def gaps_of(values: Array, drawn: Array, big: Array) -> list[Estimate]:
    """The gap of each column with an interval that holds the true one in 95 of 100, whatever that is.

    No percentiles of a draw's gap: the largest of several differences is too large on average, and a draw's is larger
    still, so that of three groups that are all alike these never hold the truth. But no gap is further from the true
    one than its groups' errors are apart; what that is in 95 of 100 draws is laid around the gap (Tukey's studentised
    range, without its assumptions). It rather holds the truth too often than too seldom.

    Args:
        values: Of the groups, (groups, columns); NaN where one has none.
        drawn: The same of draws of subjects, (draws, groups, columns).
        big: Which groups take part, bool (groups, columns).
    """
    found, apart = gap(values, big), gap(drawn - values, big)
    ends = [float(np.quantile(known, 0.95)) if len(known := e[~np.isnan(e)]) else np.nan for e in apart.T]
    lows = [np.nan if np.isnan(end) else max(0.0, value - end) for value, end in zip(found, ends, strict=True)]
    return [Estimate(float(v), float(low), float(v + end)) for v, low, end in zip(found, lows, ends, strict=True)]


def draws_of(counts: Array) -> Array:
    """Counts added over whole subjects, drawn with replacement: (draws, ...) of (subjects, ...); NaN of one subject."""
    if len(counts) < 2:
        return np.full((1, *counts.shape[1:]), np.nan)
    return drawn_within(np.zeros(len(counts), np.int64), counts, 1)[:, 0]


def corrected(findings: Sequence[Finding], chance: Sequence[Array]) -> list[Finding]:
    """Findings, their gaps with p-values that are corrected for all of them (`permutation.step_down`).

    Args:
        findings: Gaps that are tested have a `p`, of whatever value.
        chance: Of each of these, what chance alone gives, (draws,).
    """
    values = np.array([finding.value for finding in findings if finding.p is not None], np.float64)
    p = iter(step_down(values, np.stack(chance, 1)) if len(values) else ())
    return [finding if finding.p is None else replace(finding, p=float(next(p))) for finding in findings]


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
) -> tuple[list[Finding], list[Array]]:
    """The gap of each column, and for each that is tested what chance alone gives."""
    numbers, gaps = part[..., 1], gaps_of(values, drawn, big)
    if all(np.isnan(estimate.value) for estimate in gaps):
        return [Finding(measure=GAP, subjects=int(numbers.any((1, 2)).sum()), note=FEW, **told)], []
    unit, member = np.nonzero(numbers.any(-1))  # a subject, or a part of one who is in two groups
    chance = null(member, part[unit, member], part.shape[1], lambda pooled: gap(means(pooled), big))
    found, tested = [], []
    for k in np.flatnonzero(numbers.any((0, 1))).tolist():
        inside = numbers[:, big[:, k], k]
        of: dict[str, Any] = {"of": names[k], **told}
        if not np.isnan(gaps[k].value):
            of |= {"reference": float(np.nanmean(chance[:, k])), "p": 1.0}
            tested.append(chance[:, k])
        found.append(finding(GAP, gaps[k], FEW, inside.sum(), inside.any(1).sum(), **of))
    return found, tested
