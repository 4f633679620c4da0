"""One figure with what guessing would give: the statistics that `quality.study` is made of.

Why: a share of 0.8 says nothing alone. Each figure stands beside a constant guess's and beside the same figure on
plans that were dealt to the wrong clips, and its interval comes from drawing whole subjects: clips of one face are not
independent, so that drawing clips would make it too narrow.

    hits = mean_of(error <= 1)
    Figure.of(hits, subjects, constant=0.2, control=0.1)

A *statistic* is a function of how often each clip counts; a bootstrap draw is nothing but other counts, those of the
clips' subjects. So a draw of means needs each subject's sum and no clip, and one of ranks needs no sorting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

DRAWS: Final = 300
INTERVAL: Final = (2.5, 97.5)
DEALS: Final = 8
"""How many times plans are dealt to other clips."""
AT_ONCE: Final = 32
"""Draws that are looked at together: of 15,000 subjects they hold 4 MB."""


@dataclass(frozen=True)
class Statistic:
    """A number made of some clips, each of which may count several times. Made by `mean_of`, `median_of`, `auc_of`.

    Attributes:
        drawn: The number in several draws, float64 (draws,), NaN where it cannot be said: of how often each subject
            was drawn, whole numbers (draws, subjects), and the subject of each clip, int64 (n,).
    """

    drawn: Callable[[Array, Array], Array]

    def __call__(self, weights: Array) -> float:
        """The number where each clip counts as often as its weight says, a whole number (n,)."""
        return float(self.drawn(weights[None], np.arange(len(weights)))[0])


@dataclass(frozen=True)
class Figure:
    """A figure and its baselines; None where it cannot be said.

    Attributes:
        value: The figure.
        low: Where its 95 % interval begins, by a bootstrap over subjects; None with fewer than two.
        high: Where that ends.
        constant: The same figure of the best guess that is the same for every clip.
        control: The same figure against the plans of other clips.
        clips: How many clips it is made of.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    constant: float | None = None
    control: float | None = None
    clips: int = 0

    @classmethod
    def of(
        cls,
        statistic: Statistic,
        subjects: Array,
        *,
        constant: float | None = None,
        control: float | None = None,
        draws: int = DRAWS,
    ) -> Figure:
        """The statistic with its interval.

        Args:
            statistic: Of the n clips.
            subjects: (n,) whose clip each is.
            constant: See `Figure`; NaN is None.
            control: See `Figure`; NaN is None.
            draws: Bootstrap draws.
        """
        if not len(subjects):
            return cls()
        low, high = interval(statistic, subjects, draws)
        value = statistic(np.ones(len(subjects)))
        return cls(_said(value), _said(low), _said(high), _said(constant), _said(control), len(subjects))


def _said(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else float(value)


def interval(statistic: Statistic, subjects: Array, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile interval of a statistic, whole subjects drawn with replacement; NaN with fewer than two."""
    names, who = np.unique(subjects, return_inverse=True)
    if len(names) < 2:
        return np.nan, np.nan
    times = _draw(len(names), draws, seed)
    found = np.concatenate([statistic.drawn(times[at : at + AT_ONCE], who) for at in range(0, draws, AT_ONCE)])
    # A draw may hold no clip that counts: it says nothing.
    found = found[~np.isnan(found)]
    low, high = np.percentile(found, INTERVAL) if len(found) else (np.nan, np.nan)
    return float(low), float(high)


@lru_cache(maxsize=2)
def _draw(subjects: int, draws: int, seed: int) -> Array:
    """How often each subject is drawn, uint8 (draws, subjects): kept, for all figures of a group draw alike."""
    rng = np.random.default_rng(seed)
    # More than 255 times takes 256 subjects, and then comes once in 1e500 draws.
    times = np.empty((draws, subjects), np.uint8)
    for often in times:
        often[:] = np.bincount(rng.integers(0, subjects, subjects), minlength=subjects)
    return times


def mean_of(values: Array) -> Statistic:
    """The weighted mean; of booleans, a share. NaN without weight."""
    numbers = np.asarray(values, np.float64)

    def drawn(times: Array, who: Array) -> Array:
        often = times.astype(np.float64)
        totals, counts = often @ np.bincount(who, numbers), often @ np.bincount(who)
        found: Array = np.divide(totals, counts, out=np.full(len(times), np.nan), where=counts > 0)
        return found

    return Statistic(drawn)


def median_of(values: Array) -> Statistic:
    """The weighted median, the middle of two where the weights part evenly. NaN without weight."""
    order = np.argsort(values, kind="stable")
    numbers = np.append(np.asarray(values, np.float64)[order], np.nan)

    def drawn(times: Array, who: Array) -> Array:
        found, whose = np.empty(len(times)), who[order]
        for row, often in enumerate(times):
            upto = np.cumsum(often.astype(np.int64)[whose])
            count = upto[-1] if len(upto) else 0
            low, high = np.searchsorted(upto, ((count + 1) // 2, count // 2 + 1))
            found[row] = (numbers[low] + numbers[min(high, len(numbers) - 2)]) / 2 if count else np.nan
        return found

    return Statistic(drawn)


def auc_of(scores: Array, labels: Array) -> Statistic:
    """The area under the ROC curve: how often a positive outranks a negative, ties by half. NaN without either."""
    order = np.argsort(scores, kind="stable")
    positive = np.asarray(labels, bool)[order]
    hits, others = order[positive], order[~positive]
    # How many of the others lie below each hit, and how many no higher.
    below, upto = (np.searchsorted(scores[others], scores[hits], side) for side in ("left", "right"))

    def drawn(times: Array, who: Array) -> Array:
        found, of_hits, of_others = np.full(len(times), np.nan), who[hits], who[others]
        if not len(hits) or not len(others):
            return found
        for row, often in enumerate(times.astype(np.int64)):
            counts, passed = often.take(of_hits), np.append(0, often.take(of_others).cumsum())
            pairs = counts.sum() * passed[-1]
            if pairs:
                found[row] = counts @ (passed.take(below) + passed.take(upto)) / 2 / pairs
        return found

    return Statistic(drawn)


def aucs(scores: Array, labels: Iterable[Array]) -> list[float]:
    """The same area, of several ways to label the same scores, each clip counted once; those that are NaN left out."""
    _, level, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[level]
    found = []
    for positive in labels:
        hits = int(positive.sum())
        if 0 < hits < len(scores):
            found.append(float((ranks[positive].sum() - hits * (hits + 1) / 2) / (hits * (len(scores) - hits))))
    return found


def deals(count: int, seed: int = 0) -> Array:
    """Ways to give each clip the plan of another, int64 (`DEALS` or fewer, count): no clip ever gets its own."""
    order = np.random.default_rng(seed).permutation(count)
    steps = np.arange(1, count)[:DEALS]
    found = np.empty((len(steps), count), np.int64)
    for row, step in zip(found, steps, strict=True):
        row[order] = np.roll(order, step)
    return found
