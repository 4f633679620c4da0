"""One figure with what guessing would give: the statistics that `quality.study` is made of.

Why: a share of 0.8 says nothing alone. Each figure stands beside a constant guess's and beside the same figure on
plans that were dealt to the wrong clips, and its interval comes from drawing whole subjects: clips of one face are not
independent, so that drawing clips would make it too narrow.

    hits = mean_of(error <= 1)
    Figure.of(hits, subjects, constant=0.2, control=0.1)

A *statistic* is a function of one weight a clip; a bootstrap draw is nothing but other weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Statistic = Callable[[Array], float]

DRAWS: Final = 300
INTERVAL: Final = (2.5, 97.5)
DEALS: Final = 8
"""How many times plans are dealt to other clips."""


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
            statistic: Of weights float64 (n,).
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
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(names), (draws, len(names)))
    times = (np.bincount(row, minlength=len(names)).astype(np.float64) for row in drawn)
    found = np.array([statistic(often[who]) for often in times])
    # A draw may hold no clip that counts: it says nothing.
    found = found[~np.isnan(found)]
    low, high = np.percentile(found, INTERVAL) if len(found) else (np.nan, np.nan)
    return float(low), float(high)


def mean_of(values: Array) -> Statistic:
    """The weighted mean; of booleans, a share. NaN without weight."""
    numbers = np.asarray(values, np.float64)

    def statistic(weights: Array) -> float:
        total = float(weights.sum())
        return float(weights @ numbers) / total if total else np.nan

    return statistic


def median_of(values: Array) -> Statistic:
    """The weighted median, the middle of two where the weights part evenly. NaN without weight."""
    order = np.argsort(values, kind="stable")
    numbers = np.asarray(values, np.float64)[order]

    def statistic(weights: Array) -> float:
        upto = np.cumsum(weights[order])
        if not len(upto) or not upto[-1]:
            return np.nan
        half = upto[-1] / 2
        low, high = np.searchsorted(upto, half, "left"), np.searchsorted(upto, half, "right")
        return float(numbers[low] + numbers[min(high, len(numbers) - 1)]) / 2

    return statistic


def auc_of(scores: Array, labels: Array) -> Statistic:
    """The area under the ROC curve: how often a positive outranks a negative, ties by half. NaN without either."""
    levels, level = np.unique(scores, return_inverse=True)
    positive = np.asarray(labels, bool)

    def statistic(weights: Array) -> float:
        hits = np.bincount(level, weights * positive, len(levels))
        others = np.bincount(level, weights * ~positive, len(levels))
        pairs = hits.sum() * others.sum()
        return float(hits @ (np.cumsum(others) - others / 2) / pairs) if pairs else np.nan

    return statistic


def deals(count: int, seed: int = 0) -> Array:
    """Ways to give each clip the plan of another, int64 (`DEALS` or fewer, count): no clip ever gets its own."""
    order = np.random.default_rng(seed).permutation(count)
    steps = np.arange(1, count)[:DEALS]
    found = np.empty((len(steps), count), np.int64)
    for row, step in zip(found, steps, strict=True):
        row[order] = np.roll(order, step)
    return found
