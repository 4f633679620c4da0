"""Scores of several groups of people at once: their intervals, how far apart they are, and what chance alone gives.

Why one place: a recogniser's scores and a detection threshold are compared between groups alike. People are drawn anew
*within* each group, so that no draw loses a group, and of each group's counts a draw needs one matrix product.

    units = Units.of_groups(whose(rows)[0], groups(rows, "race"))
    compared(units, counts, taking_part, scores, apart)        # [Compared(estimate, chance), ...]
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from equime.audit.measures.permutation import DRAWS as PERMUTATIONS
from equime.audit.measures.permutation import null, step_down
from equime.audit.measures.permutation import pooled as added
from equime.audit.result import Finding
from equime.audit.tables.groups import Groups
from equime.bootstrap import DRAWS, Estimate, Statistic

Array = npt.NDArray[Any]

LEVEL: Final = 0.95
ENDS: Final = (0.025, 0.975)
AT_ONCE: Final = 50
"""Draws that are looked at together."""


@dataclass(frozen=True, eq=False)
class Units:
    """What is drawn: a subject, once in each group that it has clips in.

    A label of a person is one a subject, so that a unit is a subject. Of what differs from clip to clip (a camera) a
    subject is in several groups; drawn as if it were several people, which makes intervals of gaps too wide, never too
    narrow, where people differ.

    Attributes:
        of: int64 (n,), the unit of each clip.
        member: int64 (U,), the group of each unit; -1 for none.
        subject: int64 (U,), whose it is.
    """

    of: Array
    member: Array
    subject: Array

    @classmethod
    def of_groups(cls, who: Array, by: Groups | None = None) -> Units:
        """The units of clips.

        Args:
            who: int64 (n,), from `groups.whose`; clips of nobody are in no group.
            by: Their groups; None: all in one.
        """
        if by is None:
            by = Groups("", ("",), np.zeros(len(who), np.int64))
        size = len(by.names) + 1
        found, of = np.unique(who * size + by.member + 1, return_inverse=True)
        subject = found // size
        return cls(of, np.where(subject < 0, -1, found % size - 1), subject)

    def split(self) -> int:
        """How many subjects have clips in more than one group."""
        labelled = self.subject[self.member >= 0]
        return int((np.unique(labelled, return_counts=True)[1] > 1).sum())

    def people(self, groups: int) -> Array:
        """Subjects in each group, int64 (groups,)."""
        return np.bincount(self.member[self.member >= 0], minlength=groups)


def drawn(member: Array, counts: Array, groups: int, draws: int = DRAWS, seed: int = 0) -> Array:
    """Counts added over each group's units, drawn with replacement within the group: float64 (draws, groups, ...).

    Args:
        member: int (U,), the group of each unit; -1 where it is in none.
        counts: What is added, (U, ...).
        groups: How many there are; one without units has 0.
        draws: How many.
        seed: Of the draws.
    """
    flat = np.asarray(counts, np.float64).reshape(len(member), math.prod(np.shape(counts)[1:]))
    found = np.zeros((draws, groups, flat.shape[1]))
    for group in range(groups):
        own = flat[member == group]
        for start in range(0, draws if len(own) else 0, AT_ONCE):
            often = _often(len(own), draws, seed, group)[start : start + AT_ONCE]
            found[start : start + AT_ONCE, group] = often.astype(np.float64) @ own
    return found.reshape(draws, groups, *np.shape(counts)[1:])


@lru_cache(maxsize=8)
def _often(size: int, draws: int, *seed: int) -> Array:
    """How often each of so many is drawn, uint8 (draws, size): kept, for a report draws the same people many times."""
    rng, found = np.random.default_rng(seed), np.empty((draws, size), np.uint8)
    for often in found:  # more than 255 times comes once in 1e500 draws
        often[:] = np.bincount(rng.integers(0, size, size), minlength=size)
    return found


def drawn_of_all(counts: Array, draws: int = DRAWS, seed: int = 0) -> Array:
    """Counts added over whole subjects of all groups together: (draws, ...) of (subjects, ...); NaN of one subject."""
    if len(counts) < 2:
        return np.full((1, *counts.shape[1:]), np.nan)
    return drawn(np.zeros(len(counts), np.int64), counts, 1, draws, seed)[:, 0]


def share(above: Array, below: Array) -> Array:
    """One over the other, NaN where there is nothing below; shapes that broadcast."""
    above, below = np.broadcast_arrays(above, below)
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0))


def means(sums: Array) -> Array:
    """Sum over number: (...) of (..., 2); NaN of nothing."""
    return share(sums[..., 0], sums[..., 1])


def estimates(values: Array, draws: Array) -> list[Estimate]:
    """Values (M,) with the percentile intervals of their draws (D, M); draws of NaN say nothing."""
    return [Estimate(float(value), *_ends(column)) for value, column in zip(values, draws.T, strict=True)]


def _ends(column: Array) -> tuple[float, float]:
    known = column[~np.isnan(column)]
    low, high = np.quantile(known, ENDS) if len(known) else (np.nan, np.nan)
    return float(low), float(high)


class Compared(NamedTuple):
    """A statement about all groups: the estimate, and what it is where chance deals the groups, (draws,)."""

    estimate: Estimate
    chance: Array


def compared(
    units: Units, counts: Array, takes_part: Array, scores: Statistic, apart: Statistic, draws: int = PERMUTATIONS
) -> list[Compared]:
    """How far several groups are apart.

    For the interval see `simultaneous`.

    Args:
        units: See `Units`.
        counts: (U, ...).
        takes_part: bool (groups,), at least two of them.
        scores: Of added counts (..., groups taking part, *counts): (..., groups taking part, M).
        apart: Of scores: (..., T), 0 where all are equal; a norm of differences between groups, as a largest one is.
        draws: Of the permutations; those of the interval are `DRAWS`.
    """
    places = np.append(np.where(takes_part, np.cumsum(takes_part) - 1, -1), -1)
    member, size = places[units.member], int(takes_part.sum())
    values = scores(added(member, counts, size))
    found = apart(values)
    chance = null(member, counts, size, lambda pooled: apart(scores(pooled)), draws)
    with np.errstate(invalid="ignore"):  # infinite less infinite, of logarithms
        reach = apart(scores(drawn(member, counts, size)) - values)
    return [Compared(*parts) for parts in zip(simultaneous(found, reach), chance.T, strict=True)]


def simultaneous(found: Array, reach: Array) -> list[Estimate]:
    """Largest differences between groups with intervals that hold the true ones in 95 of 100, whatever these are.

    To either side of what was found lies the distance that groups are apart *from their own values* in 95 % of the
    draws: Tukey's simultaneous interval, by bootstrap. A percentile interval of a largest difference lies above zero
    whatever is true (of six equal groups it never covered the truth in 400 trials, this one in 95 %); this one reaches
    zero where no gap is shown, and covers rather too often where there is one.

    Args:
        found: (T,), 0 or more; NaN where nothing was compared.
        reach: The same of what draws of the groups miss their values by, (draws, T); NaN says nothing.
    """
    return [_around(value, column[~np.isnan(column)]) for value, column in zip(found.tolist(), reach.T, strict=True)]


def _around(value: float, reach: Array) -> Estimate:
    if np.isnan(value) or not len(reach):
        return Estimate(value, np.nan, np.nan)
    half = float(np.quantile(reach, LEVEL, method="higher"))
    return Estimate(value, max(0.0, value - half), value + half)


def mean(values: Array) -> float | None:
    """The mean of what is not NaN; None of nothing."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


class Test(NamedTuple):
    """What chance has to be held against: a value, the larger the less likely, and its draws (draws,)."""

    value: float
    chance: Array


Tested = tuple[Finding, Test | None]
"""A finding, and its test where it is tested."""


def corrected(findings: Iterable[Tested]) -> tuple[Finding, ...]:
    """Findings with p-values, of those that are tested, corrected for how many these are (`permutation.step_down`)."""
    pairs = list(findings)
    tests = [test for _, test in pairs if test]
    if not tests:
        return tuple(finding for finding, _ in pairs)
    values, chance = np.array([test.value for test in tests]), np.stack([test.chance for test in tests], 1)
    found = iter(step_down(values, chance).tolist())
    return tuple(replace(finding, p=next(found)) if test else finding for finding, test in pairs)
