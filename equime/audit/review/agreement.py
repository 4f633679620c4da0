"""How far two agree beyond chance, question by question: Cohen's kappa, and FACS's own index of agreement.

    list(agreement([(first, second)], who, "coders A and B"))

Kappa is 0 for two who do not look and answer as often as these did. The index (Ekman, Friesen and Hager 2002; Wexler
1972) is twice the units on which both agree over all units that either named; it has no such zero, so what two who do
not look would have stands beside it. Whole people are drawn for the intervals: clips of one face are alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from equime.audit.measures.resampling import share
from equime.audit.result import Finding, figures
from equime.audit.review.judges import NUMBERS, QUESTIONS, WEIGHTS, Judge
from equime.audit.tables.groups import is_small
from equime.bootstrap import Estimate, bootstrap
from equime.metrics import kappa

Array = npt.NDArray[Any]
Pair = tuple[Judge, Judge]
Answers = tuple[Array, Array, Array]
"""Of the first, of the second, and which clips count."""
Weights = Literal["quadratic"] | None

NO_ESTIMATE: Final = Estimate(np.nan, np.nan, np.nan)
CONSTANT: Final = "one of the two always answers the same: kappa can only be 0"
LEAST: Final = 5
"""A unit that is named in fewer clips has no kappa of its own."""


def agreement(pairs: Sequence[Pair], who: Array, scope: str) -> Iterator[Finding]:
    """All that two say of the same clips, one against the other; of several pairs, the mean over them.

    Args:
        pairs: Judges of the same n clips.
        who: int (n,), the subject of each.
        scope: Who they are, for people.
    """
    masks = [first.coded & second.coded for first, second in pairs]
    seen = [(a.seen.astype(np.int64), b.seen.astype(np.int64), m) for (a, b), m in zip(pairs, masks, strict=True)]
    yield _kappa("any unit", scope, seen, who, 2)
    yield _index(pairs, masks, who, scope)
    yield from _each_unit(pairs, masks, who, scope)
    for question in QUESTIONS:
        if all(question in judge.answers for pair in pairs for judge in pair):
            yield _answered(question, pairs, who, scope)


def _answered(question: str, pairs: Sequence[Pair], who: Array, scope: str) -> Finding:
    told = [(first.answers[question], second.answers[question]) for first, second in pairs]
    columns = [(one, other, (one >= 0) & (other >= 0)) for one, other in told]
    return _kappa(question, scope, columns, who, len(QUESTIONS[question]), WEIGHTS[question])


def _each_unit(pairs: Sequence[Pair], masks: Sequence[Array], who: Array, scope: str) -> Iterator[Finding]:
    named = np.sum([(a.units | b.units)[mask].sum(0) for (a, b), mask in zip(pairs, masks, strict=True)], 0)
    for place in np.flatnonzero(named >= LEAST * len(pairs)):
        told = [(a.units[:, place], b.units[:, place], mask) for (a, b), mask in zip(pairs, masks, strict=True)]
        columns = [(one.astype(np.int64), other.astype(np.int64), mask) for one, other, mask in told]
        yield _kappa(f"unit {NUMBERS[place]}", scope, columns, who, 2)


def _kappa(
    of: str, scope: str, columns: Sequence[Answers], who: Array, classes: int, weights: Weights = None
) -> Finding:
    """The mean kappa of pairs of answers, where their masks hold."""
    counts = np.stack([tables(one, other, who, classes, mask) for one, other, mask in columns], 1)
    counts, masks = counts[counts.any((1, 2, 3))], [mask for *_, mask in columns]
    if not len(counts):
        return _finding(of, scope, "kappa", NO_ESTIMATE, who, masks)
    found = bootstrap(counts, lambda drawn: _mean(kappa(drawn, weights)))
    added = counts.sum(0)
    constant = ((added.any(1).sum(-1) == 1) | (added.any(2).sum(-1) == 1)).any()
    told = _finding(of, scope, "kappa", found, who, masks)
    return replace(told, note=told.note or (CONSTANT if constant else ""))


def tables(one: Array, other: Array, who: Array, classes: int, mask: Array) -> Array:
    """How often each subject's clips were answered by each pair of classes: int64 (S, K, K).

    Args:
        one: int (n,), 0 to K - 1 where the mask holds.
        other: The same.
        who: int (n,), 0 to S - 1.
        classes: K.
        mask: bool (n,), the clips that count.
    """
    size, subjects = classes**2, int(who.max(initial=-1)) + 1
    place = (who[mask] * classes + one[mask]) * classes + other[mask]
    return np.bincount(place, minlength=subjects * size).reshape(subjects, classes, classes)


def _mean(values: Array) -> Array:
    """Over the pairs, of those that have a kappa; NaN without any."""
    known = ~np.isnan(values)
    count = known.sum(-1)
    return np.asarray(np.where(count > 0, np.where(known, values, 0).sum(-1) / np.maximum(count, 1), np.nan))


def _index(pairs: Sequence[Pair], masks: Sequence[Array], who: Array, scope: str) -> Finding:
    counts = np.stack([_named(*pair, who, mask) for pair, mask in zip(pairs, masks, strict=True)], 1)
    kept = counts[counts.any((1, 2))]
    found = bootstrap(kept, lambda drawn: _mean(overlap(drawn))) if len(kept) else NO_ESTIMATE
    chance = [by_chance(*pair, mask) for pair, mask in zip(pairs, masks, strict=True)]
    reference = float(_mean(np.array(chance)))
    return _finding("units", scope, "agreement index", found, who, masks, reference, "no unit was named")


def _named(first: Judge, second: Judge, who: Array, mask: Array) -> Array:
    """Units that both named, that the first did and that the second did, by subject: float64 (S, 3)."""
    one, other = first.units & mask[:, None], second.units & mask[:, None]
    subjects = int(who.max(initial=-1)) + 1
    counts = [np.bincount(who, each.sum(1), subjects) for each in (one & other, one, other)]
    return np.stack(counts, 1)


def overlap(counts: Array) -> Array:
    """Twice the units that both named over all that either did, (...) of counts (..., 3); NaN without any."""
    return share(2 * counts[..., 0], counts[..., 1] + counts[..., 2])


def by_chance(first: Judge, second: Judge, mask: Array) -> float:
    """The index that two would have who name each unit as often as these, whatever the clip shows."""
    one, other = first.units[mask].sum(0), second.units[mask].sum(0)
    total = int(one.sum() + other.sum())
    return float(2 * (one @ other) / mask.sum() / total) if total else np.nan


def _finding(
    of: str,
    scope: str,
    measure: str,
    found: Estimate,
    who: Array,
    masks: Sequence[Array],
    reference: float = 0.0,
    none: str = "all answers are the same: chance alone agrees fully",
) -> Finding:
    counted, numbers = np.any(masks, 0), figures(found)
    people = len(np.unique(who[counted]))
    nothing = none if counted.any() else "no clip was answered by both"
    return Finding(
        measure=measure,
        of=of,
        scope=scope,
        value=numbers["value"],
        low=numbers["low"],
        high=numbers["high"],
        reference=None if np.isnan(reference) else reference,
        clips=int(counted.sum()),
        subjects=people,
        small=is_small(people),
        note=nothing if np.isnan(found.value) else "",
    )
