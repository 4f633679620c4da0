"""A score of answers as a statistic of counts that add up over people: so it has an interval, alone or in difference.

    measure = shares("hallucination", named_any)          # one number an answer
    estimate(measure, subjects)                           # value, low, high; whole subjects are drawn
    difference(measure, other, subjects)                  # drawn in pairs

Why: answers to the clips of one person are alike, and what a model says without the video is of the same clips; an
interval that draws answers one by one would claim more than was seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from equime.audit.measures.resampling import means, share
from equime.audit.result import Finding, figures
from equime.audit.tables.groups import is_small
from equime.bootstrap import Estimate, Statistic, bootstrap

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Measure:
    """One score of n answers.

    Attributes:
        name: "unit F1".
        counts: float64 (n, ...): what each answer adds; all 0 where it says nothing of this.
        score: Of added counts (..., as above): (...), NaN of nothing.
        of: A unit, a time; "" where one word is enough.
        taken: bool (n,): the answers that it is made of; None for all.
        reference: What it has to be read against.
        note: What a reader has to know.
        is_headline: Whether it is printed side by side and compared between conditions.
    """

    name: str
    counts: Array
    score: Statistic
    of: str = ""
    taken: Array | None = None
    reference: float | None = None
    note: str = ""
    is_headline: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """By which it is found again in another condition."""
        return self.name, self.of


def mean_of(name: str, values: Array, **more: Any) -> Measure:
    """The mean of one number an answer, float64 (n,); NaN where an answer says nothing."""
    known = ~np.isnan(values)
    counts = np.stack([np.where(known, values, 0.0), known], -1)
    return Measure(name, counts, means, taken=known, **more)


def f1(counts: Array) -> Array:
    """F1 of hits, of what was said and of what is true: (...) of (..., 3); NaN where there is neither."""
    return share(2 * counts[..., 0], counts[..., 1] + counts[..., 2])


def precision(counts: Array) -> Array:
    """Hits over what was said: (...) of (..., 3)."""
    return share(counts[..., 0], counts[..., 1])


def recall(counts: Array) -> Array:
    """Hits over what is true: (...) of (..., 3)."""
    return share(counts[..., 0], counts[..., 2])


def estimate(measure: Measure, subjects: Array) -> Estimate:
    """The score with its interval.

    Args:
        measure: Of n answers.
        subjects: (n,), whose clip each is of.
    """
    counts, who = _part(measure, measure.taken, subjects)
    return bootstrap(_by_subject(counts, who), measure.score) if len(who) else Estimate(np.nan, np.nan, np.nan)


def difference(first: Measure, second: Measure, subjects: Array) -> Estimate:
    """How much higher the first is than the second, of the same answers' questions in the same order, in pairs."""
    taken = None if first.taken is None or second.taken is None else first.taken | second.taken
    (one, who), (other, _) = (_part(measure, taken, subjects) for measure in (first, second))
    if not len(who):
        return Estimate(np.nan, np.nan, np.nan)
    width = int(np.prod(one.shape[1:]))
    both = np.concatenate(
        [_by_subject(one, who).reshape(-1, width), _by_subject(other, who).reshape(-1, other[0].size)], 1
    )

    def apart(counts: Array) -> Array:
        head = counts.shape[:-1]
        left, right = counts[..., :width], counts[..., width:]
        return np.asarray(
            first.score(left.reshape(*head, *one.shape[1:])) - second.score(right.reshape(*head, *other.shape[1:]))
        )

    return bootstrap(both, apart)


def findings(measures: Sequence[Measure], subjects: Array, scope: str) -> list[Finding]:
    """All of them with their intervals and how many clips and people they are made of."""
    return [_finding(m, estimate(m, subjects), m.taken, subjects, scope, m.reference, m.note) for m in measures]


def differences(first: Sequence[Measure], second: Sequence[Measure], subjects: Array, scope: str) -> list[Finding]:
    """Those that both have and that are headlines, the second taken from the first."""
    others = {measure.key: measure for measure in second}
    pairs = [(m, others[m.key]) for m in first if m.is_headline and m.key in others]
    return [_finding(m, difference(m, other, subjects), m.taken, subjects, scope, 0.0, "") for m, other in pairs]


def _finding(
    measure: Measure,
    found: Estimate,
    taken: Array | None,
    subjects: Array,
    scope: str,
    reference: float | None,
    note: str,
) -> Finding:
    who = subjects if taken is None else subjects[taken]
    people = len(np.unique(who))
    value, low, high = figures(found).values()
    missing = "" if value is not None else "no answer says anything of this"
    return Finding(
        measure=measure.name,
        of=measure.of,
        scope=scope,
        clips=len(who),
        subjects=people,
        small=is_small(people),
        reference=reference,
        note=note or missing,
        value=value,
        low=low,
        high=high,
    )


def _part(measure: Measure, taken: Array | None, subjects: Array) -> tuple[Array, Array]:
    return (measure.counts, subjects) if taken is None else (measure.counts[taken], subjects[taken])


def _by_subject(counts: Array, subjects: Array) -> Array:
    """Counts added over each subject's answers, (S, ...)."""
    names, who = np.unique(subjects, return_inverse=True)
    found = np.zeros((len(names), *counts.shape[1:]))
    np.add.at(found, who, counts)
    return found
