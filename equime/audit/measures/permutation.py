"""What chance alone gives: groups dealt anew to the subjects.

Why: the largest gap between six groups is above zero whatever is true, and an association of a few hundred clips is
never exactly none. Under the null a subject's group says nothing of what happens to its clips, so that any other way to
deal the groups out would have been as likely. Subjects are dealt, never clips: those of one person are alike.

    found = null(member, counts, groups, statistic)         # (draws, scores)
    step_down(statistic(pooled(member, counts, groups)[None])[0], found)

P-values are corrected for how many there are by the draws themselves, never one by one (Holm 1979): the least that 999
draws can say is .001, which times sixty tests is no finding any more, however large the effect.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from equime.bootstrap import Statistic

Array = npt.NDArray[Any]

DRAWS: Final = 999
AT_ONCE: Final = 50
"""Draws that are looked at together: of 15,000 subjects in six groups they hold 18 MB."""


def pooled(member: Array, counts: Array, groups: int) -> Array:
    """Counts added over the subjects of each group: (groups, ...).

    Args:
        member: int (S,), the group of each subject; -1 where it is in none.
        counts: What is added, (S, ...).
        groups: How many there are.
    """
    hot = member[None] == np.arange(groups)[:, None]
    flat = np.asarray(counts, np.float64).reshape(len(member), math.prod(np.shape(counts)[1:]))
    return np.asarray(hot @ flat).reshape(groups, *np.shape(counts)[1:])


def null(member: Array, counts: Array, groups: int, statistic: Statistic, draws: int = DRAWS, seed: int = 0) -> Array:
    """The statistic where chance alone deals groups to subjects, float64 (draws, scores).

    Subjects in no group take no part. Whole numbers below 2**24 are added exactly.

    Args:
        member: As for `pooled`.
        counts: As for `pooled`.
        groups: As for `pooled`.
        statistic: Of pooled counts (draws, groups, ...): (draws, scores).
        draws: How many.
        seed: Of the deals.
    """
    known = member >= 0
    shape = np.shape(counts)[1:]
    flat = np.asarray(counts, np.float32).reshape(len(member), -1)[known]
    whole = flat.sum(0, dtype=np.float64)
    dealt, orders = member[known].astype(np.int16), _orders(len(flat), draws, seed)
    found = []
    for start in range(0, draws, AT_ONCE):
        deals = dealt[orders[start : start + AT_ONCE]]
        sums = np.empty((len(deals), groups, flat.shape[1]))
        for group in range(groups - 1):
            sums[:, group] = (deals == group).astype(np.float32) @ flat
        sums[:, -1] = whole - sums[:, :-1].sum(1)
        found.append(statistic(sums.reshape(len(deals), groups, *shape)))
    return np.concatenate(found)


@lru_cache(maxsize=4)
def _orders(size: int, draws: int, seed: int) -> Array:
    """Orders of so many subjects, whole numbers (draws, size): kept, for every attribute is dealt by the same ones."""
    rng, own = np.random.default_rng(seed), np.arange(size, dtype=np.min_scalar_type(size))
    return np.stack([rng.permutation(own) for _ in range(draws)])


def step_down(values: Array, chance: Array) -> Array:
    """P-values corrected for how many there are, by the draws' own maxima (Westfall and Young 1993, algorithm 4.1).

    Holm's procedure, with the dependence of the tests taken from draws in which all were dealt alike: the largest
    value is held against the largest of each draw, the next against the largest of the others, and so on. The chance
    of any false alarm is at its level whatever the number of draws and tests; the least p is 1 / (draws + 1). Of one
    test it is how often chance gives at least the value, which is one of the draws (Phipson and Smyth 2010).

    Args:
        values: As found, float64 (tests,); comparable once centred and scaled, so rather V ** (2 / 3), whose null is
            nearly normal (Wilson and Hilferty 1931), than V. NaN: not tested.
        chance: The same of each draw, (draws, tests).

    Returns:
        float64 (tests,), at most 1; NaN where not tested.
    """
    found = np.full(len(values), np.nan)
    tested = np.flatnonzero(~np.isnan(values))
    # The value is one of the draws, in the scale too: otherwise the level is not kept exactly.
    every = np.nan_to_num(np.vstack([values, chance])[:, tested])
    spread = every.std(0)
    scaled = (every - every.mean(0)) / np.where(spread > 1e-12, spread, np.inf)
    order = np.argsort(-scaled[0], kind="stable")
    largest = np.maximum.accumulate(scaled[:, order[::-1]], axis=1)[:, ::-1]
    often = (largest >= scaled[0, order] - 1e-9).mean(0)
    found[tested[order]] = np.maximum.accumulate(often)
    return found
