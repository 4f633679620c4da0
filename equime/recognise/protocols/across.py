"""Protocols across data sets: the composite of MEGC 2019, one set against others, synthetic against real.

Why: two sets differ in camera, country and coder, so that a score within one says little of another. One pair alone
is as misleading (SSSNet on SAMM: UAR .83 from all other sets, .70 from one; MEB, arXiv 2211.11425): report both.

    LeaveOneDatasetOut().folds(table, labels)
    CrossSet(("equime",), ("samm",)).folds(table, labels)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from equime.errors import EquimeError
from equime.options import option
from equime.recognise import samples
from equime.recognise.protocols.folds import Fold, Protocol, column, made, usable
from equime.recognise.protocols.subjects import Loso
from equime.recognise.readers.composite import MEGC2019

Array = npt.NDArray[Any]

SYNTHETIC: Final = ("equime", "mie-x")
"""Data sets that were generated: they are never tested on where real clips are."""

COMPOSITE: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {name: tuple(clips[kind] for kind in samples.THREE) for name, clips in MEGC2019.published.by_set.items()}
)
"""Of each set of MEGC 2019's composite: its clips that are negative, positive and surprise."""


@dataclass(frozen=True)
class Cde:
    """Composite database evaluation of MEGC 2019: leave one subject out over three sets, in three classes.

    Variants of CASME II with 147, 150 or 254 clips circulate: `departures` says how the clips at hand differ from the
    challenge's, and scores of others are not comparable. Always answering "negative" has UF1 .24085 and UAR 1/3.
    """

    @property
    def name(self) -> str:
        """As `named` reads it."""
        return "cde"

    def folds(self, table: pa.Table, labels: Array) -> list[Fold]:
        """See `folds.Protocol`; rows of other sets are left out.

        Raises:
            EquimeError: Labels other than `emotion3`, or none of the three sets.
        """
        mine = np.isin(column(table, "dataset"), list(COMPOSITE))
        coded = np.where(mine, labels, -1)
        if not (coded >= 0).any():
            raise EquimeError(f"expected clips of {', '.join(COMPOSITE)} for cde, got {sorted(_sets(table))}")
        if not np.array_equal(coded >= 0, mine & (samples.labels(table, "emotion3")[0] >= 0)):
            raise EquimeError("cde is scored in three classes: give --target emotion3")
        return Loso().folds(table, coded)

    @staticmethod
    def departures(table: pa.Table) -> list[str]:
        """A line for each of the three sets whose clips of each class are not as many as the challenge's."""
        pairs = list(zip(column(table, "dataset"), column(table, "emotion3"), strict=True))
        found = {name: tuple(pairs.count((name, emotion)) for emotion in samples.THREE) for name in COMPOSITE}
        return [
            f"{name}: {found[name]} negative, positive and surprise, where MEGC 2019 has {wanted}: not comparable"
            for name, wanted in COMPOSITE.items()
            if found[name] != wanted
        ]


@dataclass(frozen=True)
class LeaveOneDatasetOut:
    """A fold for each data set: trained on all others."""

    @property
    def name(self) -> str:
        """As `named` reads it."""
        return "lodo"

    def folds(self, table: pa.Table, labels: Array) -> list[Fold]:
        """See `folds.Protocol`.

        Raises:
            EquimeError: One data set alone, or two that show the same people.
        """
        kept, sets = usable(table, labels), column(table, "dataset")
        if len(found := np.unique(sets[kept])) < 2:
            raise EquimeError(f"expected at least two data sets to leave one out, got {found.tolist()}")
        parts = ((str(name), kept & (sets != name), kept & (sets == name)) for name in found)
        return made(self.name, table, labels, parts)


@dataclass(frozen=True)
class CrossSet:
    """Trained on some data sets, tested on others, in one fold."""

    train: tuple[str, ...] = option((), help="data sets to train on")
    test: tuple[str, ...] = option((), help="data sets to test on")

    @property
    def name(self) -> str:
        """As `named` reads it."""
        return f"cross:{'+'.join(self.train)}:{'+'.join(self.test)}"

    def folds(self, table: pa.Table, labels: Array) -> list[Fold]:
        """See `folds.Protocol`; rows of other sets are left out.

        Raises:
            EquimeError: A set that is not in the table.
        """
        kept, sets = usable(table, labels), column(table, "dataset")
        if absent := {*self.train, *self.test} - _sets(table):
            raise EquimeError(
                f"expected data sets of {sorted(_sets(table))}, got {sorted(absent)}; give them as --data"
            )
        train, test = (kept & np.isin(sets, list(side)) for side in (self.train, self.test))
        return made(self.name, table, labels, [("+".join(self.test), train, test)])


@dataclass(frozen=True)
class SyntheticToReal:
    """Trained on the clips of the data sets in `SYNTHETIC`, tested on every other one, in one fold."""

    @property
    def name(self) -> str:
        """As `named` reads it."""
        return "synthetic-to-real"

    def folds(self, table: pa.Table, labels: Array) -> list[Fold]:
        """See `folds.Protocol`."""
        kept, made_up = usable(table, labels), _synthetic(table)
        return made(self.name, table, labels, [("real", kept & made_up, kept & ~made_up)])


@dataclass(frozen=True)
class RealPlusSynthetic:
    """A protocol on the real clips, with all generated ones added to the training of every fold.

    The tests are those of the same protocol without the generated clips, so that the two scores can be compared clip
    by clip.
    """

    real: Protocol = option(Loso(), help="how the real clips are split")

    @property
    def name(self) -> str:
        """As `named` reads it."""
        return f"real+synthetic:{self.real.name}"

    def folds(self, table: pa.Table, labels: Array) -> list[Fold]:
        """See `folds.Protocol`.

        Raises:
            EquimeError: No generated clips, or what `real` raises.
        """
        made_up = _synthetic(table)
        more = usable(table, labels) & made_up
        if not more.any():
            raise EquimeError(f"expected clips of {' or '.join(SYNTHETIC)} to add, got {sorted(_sets(table))}")
        inner = self.real.folds(table, np.where(made_up, -1, labels))
        parts = ((fold.name, more | _mask(fold.train, len(table)), _mask(fold.test, len(table))) for fold in inner)
        return made(self.name, table, labels, parts)


def _sets(table: pa.Table) -> set[str]:
    return set(table["dataset"].to_pylist())


def _synthetic(table: pa.Table) -> Array:
    return np.isin(column(table, "dataset"), list(SYNTHETIC))


def _mask(positions: Array, size: int) -> Array:
    mask = np.zeros(size, bool)
    mask[positions] = True
    return mask
