"""Intervals that draw people, not clips.

Why: clips of one person are alike, so that drawing clips gives intervals that are too narrow. What is resampled here
is counts: any score of counts that add up (a confusion, hits and false alarms) has its interval by one matrix product.

    bootstrap(counts, uf1)      # counts int (subjects, K, K)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Statistic = Callable[[Array], Array]

DRAWS: Final = 1000


class Estimate(NamedTuple):
    """A score and its interval; NaN where there is none."""

    value: float
    low: float
    high: float


def bootstrap(counts: Array, statistic: Statistic, draws: int = DRAWS, level: float = 0.95, seed: int = 0) -> Estimate:
    """A score of pooled counts with its interval: whole subjects are drawn with replacement, and their counts added.

    The percentile interval (Efron 1979; by clusters Field and Welsh 2007): a draw is a weight for each subject, and
    all draws are one matrix product. One seed and one number of subjects give the same draws, so that a
    difference of two scores of the same subjects is drawn in pairs.

    Args:
        counts: What is to be added over subjects, (S, ...).
        statistic: Of added counts (..., as above) with a leading axis of draws, (draws,).
        draws: How many.
        level: How often the interval should cover the truth, between 0 and 1.
        seed: Of the draws.

    Returns:
        The score of all subjects; the interval is NaN with fewer than two.
    """
    flat = np.asarray(counts, np.float64).reshape(len(counts), -1)
    value = float(statistic(np.asarray(counts).sum(0)[None])[0])
    if len(flat) < 2:
        return Estimate(value, np.nan, np.nan)
    often = np.random.default_rng(seed).multinomial(len(flat), np.full(len(flat), 1 / len(flat)), draws)
    found = statistic((often @ flat).reshape(draws, *np.shape(counts)[1:]))
    # A draw may hold no clip that counts: it says nothing.
    found = found[~np.isnan(found)]
    if not len(found):
        return Estimate(value, np.nan, np.nan)
    low, high = np.quantile(found, ((1 - level) / 2, (1 + level) / 2))
    return Estimate(value, float(low), float(high))
