"""Trained on clips that were made in one way, tested on clips of other people that were made in another.

Why: a generator with one kernel of its warp teaches that kernel. What is learnt has to hold for clips whose pixels were
moved by another one: `variant` says how a clip was made, where its maker knows.

    VariantToVariant("gaussian", "wendland").folds(table, labels)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from equime.errors import EquimeError
from equime.options import option
from equime.recognise.protocols.folds import Fold, column, dealt, made, people, usable

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class VariantToVariant:
    """People are dealt into k parts; fold i trains on one variant without part i and tests part i of the other."""

    train: str = option("", help="the variant to train on")
    test: str = option("", help="the variant to test on")
    k: int = option(5, help="folds")
    seed: int = option(0, help="of the dealing of subjects")

    @property
    def name(self) -> str:
        """As `named` reads it."""
        return f"variant:{self.train}:{self.test}:{self.k}:{self.seed}"

    def folds(self, table: pa.Table, labels: Array) -> list[Fold]:
        """See `folds.Protocol`; rows of other variants are left out.

        Raises:
            EquimeError: A variant that no labelled row has, or fewer people than folds.
        """
        variant, who, labels = column(table, "variant"), people(table), np.asarray(labels)
        kept = usable(table, labels) & np.isin(variant, [self.train, self.test])
        for name in (self.train, self.test):
            if not (kept & (variant == name)).any():
                known = sorted(set(variant.tolist()) - {""})
                raise EquimeError(f"no labelled clip is of the variant {name!r}; there are {known or 'none'}")
        part = np.full(len(table), -1)
        part[kept] = dealt(who[kept], labels[kept], self.k, self.seed)
        train, test = kept & (variant == self.train), kept & (variant == self.test)
        folds = ((f"{self.test}-{i}", train & (part != i), test & (part == i)) for i in range(self.k))
        return made(self.name, table, labels, folds)
