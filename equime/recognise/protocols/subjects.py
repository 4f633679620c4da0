"""Protocols within a set of people: every subject is tested once, by models that never saw them.

Loso().folds(table, labels)              # as many folds as subjects
KFold(k=10, seed=0).folds(table, labels)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from equime.options import option
from equime.recognise.protocols.folds import Fold, column, dealt, made, people, usable

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Loso:
    """Leave one subject out: a fold for each subject, by id."""

    @property
    def name(self) -> str:
        """As `named` reads it."""
        return "loso"

    def folds(self, table: pa.Table, labels: Array) -> list[Fold]:
        """See `folds.Protocol`."""
        kept = usable(table, labels)
        names, who = np.unique(people(table), return_inverse=True)
        parts = ((str(names[i]), kept & (who != i), kept & (who == i)) for i in np.unique(who[kept]))
        return made(self.name, table, labels, parts)


@dataclass(frozen=True)
class KFold:
    """k folds of whole subjects, every class spread as evenly as they allow, see `folds.dealt`."""

    k: int = option(5, help="folds")
    seed: int = option(0, help="of the dealing of subjects")

    @property
    def name(self) -> str:
        """As `named` reads it."""
        return f"kfold:{self.k}:{self.seed}"

    def folds(self, table: pa.Table, labels: Array) -> list[Fold]:
        """See `folds.Protocol`."""
        kept = usable(table, labels)
        part = np.full(len(table), -1)
        part[kept] = dealt(people(table)[kept], np.asarray(labels)[kept], self.k, self.seed)
        parts = ((f"fold-{i}", kept & (part != i), part == i) for i in range(self.k))
        return made(self.name, table, labels, parts)


@dataclass(frozen=True)
class GivenSplit:
    """The split that the data set's owners made: its train and validation rows against its test rows."""

    @property
    def name(self) -> str:
        """As `named` reads it."""
        return "split"

    def folds(self, table: pa.Table, labels: Array) -> list[Fold]:
        """See `folds.Protocol`; rows without a split are left out."""
        kept, split = usable(table, labels), column(table, "split")
        seen = np.isin(split, ("train", "validation"))
        return made(self.name, table, labels, [("test", kept & seen, kept & (split == "test"))])
