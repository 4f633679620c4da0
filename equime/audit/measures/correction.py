"""What held for true groups, from what was counted over labelled ones and a study of how often labels err.

    rates = sensitivities(study)               # (G, G) P(predicted | true), rows of counts divided by their sum
    corrected(counts, rates)                   # (G, ...) expected counts over true groups

A label that errs mixes groups, so that a gap between labelled groups is smaller than the gap between true ones, and a
rare group looks commoner than it is. Whatever is counted (clips, hits, the cells of a confusion) adds up over people,
so each cell is unmixed on its own, by maximum likelihood.

Assumes that within a true group a label's error says nothing of the outcome (non-differential misclassification), and
that the study's error rates hold here. "True" is what the study took for true: people's own word at best.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from equime.audit.measures.resampling import drawn_of_all
from equime.audit.tables.groups import Groups, is_small
from equime.bootstrap import Statistic
from equime.errors import EquimeError
from equime.planning.equity_audit import Confusion, prevalence, sensitivities
from equime.planning.targets import LABELS

Array = npt.NDArray[Any]

DRAWS: Final = 300
LEAST: Final = 0.05
"""Smallest singular value of the rates of a study that tells true groups apart: 1 of labels that never err, 0 of labels
that say nothing of at least one group. Below it the correction makes up numbers."""
ASSUMES: Final = (
    'corrected: expected over true groups, by a validation study; "chance or target" is the value as labelled; assumes'
    " that the study's error rates hold here, and that within a true group a label's error says nothing of the outcome"
)


def corrected(counts: Array, rates: Array) -> Array:
    """Expected counts over true groups, each cell by maximum likelihood: float64 (G, ...), 0 or more.

    Where the inverse of the rates explains a cell without a negative count it is the likeliest; elsewhere
    expectation maximisation finds it (`planning.equity_audit.prevalence`; Rogan and Gladen 1978 for two groups).
    Totals of cells stay as they are.

    Args:
        counts: Over labelled groups, (G, ...), 0 or more.
        rates: P(predicted | true), (G, G); or (..., G, G) that broadcasts against the cells.
    """
    cells = np.moveaxis(np.asarray(counts, np.float64), 0, -1)
    found = np.einsum("...p,...pt->...t", cells, np.linalg.pinv(rates))
    rates = np.broadcast_to(rates, (*cells.shape[:-1], *np.shape(rates)[-2:]))
    total = cells.sum(-1)
    explained = np.einsum("...t,...tp->...p", found, rates)
    slack = 1e-9 * np.maximum(total, 1)[..., None]
    left = ((found < -slack) | (np.abs(explained - cells) > slack)).any(-1)
    found = np.maximum(found, 0)
    if left.any():
        found[left] = prevalence(cells[left], rates[left]) * total[left][..., None]
    return np.moveaxis(found, -1, 0)


@dataclass(frozen=True, eq=False)
class Study:
    """A validation study of one attribute's labels.

    Attributes:
        groups: The true groups that it has people of.
        table: Counts by true (rows) and predicted group, int64 (G, G).
    """

    groups: tuple[str, ...]
    table: Array

    @classmethod
    def of(cls, confusion: Confusion, by: Groups) -> Study:
        """The part of a study that speaks of one attribute.

        Args:
            confusion: `Confusion.from_csv`.
            by: Labelled groups of one attribute.

        Raises:
            EquimeError: The study does not speak of the attribute, or has nobody who is, or is called, a group of it.
        """
        if by.by not in confusion.tables:
            known = ", ".join(confusion.tables) or "nothing"
            raise EquimeError(f"the validation study speaks of {known}, not of {by.by!r}: add rows, or group by these")
        table, names = confusion.tables[by.by], LABELS[by.by]
        for name in by.names:
            if name not in names or not table[names.index(name)].sum() or not table[:, names.index(name)].sum():
                raise EquimeError(f"the validation study has nobody who is, or is called, {by.by} {name!r}: add rows")
        kept = [place for place, row in enumerate(table) if row.sum()]
        return cls(tuple(names[place] for place in kept), table[np.ix_(kept, kept)])

    @property
    def is_blind(self) -> bool:
        """Whether some true groups are labelled so much alike that nothing can be said of them one by one."""
        return bool(np.linalg.svd(sensitivities(self.table), compute_uv=False).min() < LEAST)

    def placed(self, by: Groups) -> Array:
        """Each clip's place in `groups`, -1 where it has no label: int64 (n,)."""
        places = np.array([*(self.groups.index(name) for name in by.names), -1])
        return np.asarray(places[by.member])

    def drawn(self, draws: int, rng: np.random.Generator) -> Array:
        """Error rates of as many people drawn anew: float64 (draws, G, G)."""
        again = rng.multinomial(self.table.sum(1), sensitivities(self.table), (draws, len(self.groups)))
        return sensitivities(again)


@dataclass(frozen=True, eq=False)
class Unmixed:
    """Scores of true groups.

    Attributes:
        values: float64 (G, scores).
        drawn: Of subjects and studies drawn anew, (draws, G, scores); of one draw of NaN where there is one subject.
        subjects: Expected people of each true group, float64 (G,).
        small: Whether these are too few, bool (G,).
    """

    values: Array
    drawn: Array
    subjects: Array
    small: Array


def unmixed(counts: Array, study: Study, score: Statistic, draws: int = DRAWS, seed: int = 0) -> Unmixed:
    """Scores of counts over true groups, and of draws of whole subjects and of the study's people.

    Args:
        counts: Of each subject in each labelled group, (S, G, ...), groups in the order of the study's.
        study: Of the labels.
        score: Of counts (draws, G, ...): (draws, G, scores).
        draws: How many.
        seed: Of the draws.
    """
    rates = sensitivities(study.table)
    people = corrected(counts.reshape(*counts.shape[:2], -1).any(-1).sum(0), rates)
    small = np.array([is_small(round(float(number))) for number in people])
    values = score(corrected(counts.sum(0), rates)[None])[0]
    if len(counts) < 2:
        return Unmixed(values, np.full((1, *values.shape), np.nan), people, small)
    pooled = drawn_of_all(counts, draws, seed)
    again = study.drawn(draws, np.random.default_rng(seed + 1))
    again = again.reshape(draws, *[1] * (counts.ndim - 2), *rates.shape)
    return Unmixed(values, score(np.moveaxis(corrected(np.moveaxis(pooled, 1, 0), again), 0, 1)), people, small)
