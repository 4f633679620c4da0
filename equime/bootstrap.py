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
    return bootstraps(counts, lambda pooled: statistic(pooled)[:, None], draws, level, seed)[0]


def bootstraps(
    counts: Array, statistic: Statistic, draws: int = DRAWS, level: float = 0.95, seed: int = 0
) -> list[Estimate]:
    """Several scores of the same counts, all of the same draws: see `bootstrap`.

    Args:
        counts: As there.
        statistic: Of added counts with a leading axis of draws, (draws, scores).
        draws: As there.
        level: As there.
        seed: As there.
    """
    flat = np.asarray(counts, np.float64).reshape(len(counts), -1)
    values = statistic(np.asarray(counts).sum(0)[None])[0]
    if len(flat) < 2:
        return [Estimate(float(value), np.nan, np.nan) for value in values]
    rng, even = np.random.default_rng(seed), np.full(len(flat), 1 / len(flat))
    pooled = rng.multinomial(len(flat), even, draws) @ flat
    found = statistic(pooled.reshape(draws, *np.shape(counts)[1:]))
    ends = (1 - level) / 2, (1 + level) / 2
    return [Estimate(float(value), *_ends(column, ends)) for value, column in zip(values, found.T, strict=True)]


def _ends(drawn: Array, ends: tuple[float, float]) -> tuple[float, float]:
    # A draw may hold no clip that counts: it says nothing.
    known = drawn[~np.isnan(drawn)]
    low, high = np.quantile(known, ends) if len(known) else (np.nan, np.nan)
    return float(low), float(high)
