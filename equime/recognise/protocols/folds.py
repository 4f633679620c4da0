"""Folds: who is trained on and who is tested, checked once for all protocols.

Why: scores of the field were too high wherever a face of the training came back in the test, and differed wherever the
split depended on the order of files. Here a protocol only says who goes where; that no person is on both sides, that
no clip is tested twice and that the order of the rows changes nothing is decided in one place.

    for fold in Loso().folds(table, labels):
        fold.train, fold.test      # positions
"""

from __future__ import annotations

import hashlib
import typing
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from equime.errors import EquimeError
from equime.wording import counted

Array = npt.NDArray[Any]

SAME_PEOPLE: Final[Mapping[str, str]] = MappingProxyType({"samm-lv": "samm"})
"""Data sets that show the people of another one, under the same ids: its long videos."""


@dataclass(frozen=True, eq=False)
class Fold:
    """One training and its test.

    Attributes:
        name: Who is tested: a subject, a data set, a group.
        train: int64 positions of the table, in the order of their `sample_id`.
        test: Likewise, of other people.
    """

    name: str
    train: Array
    test: Array


class Protocol(typing.Protocol):
    """A way to split a table: a frozen dataclass whose fields are all that decides it."""

    @property
    def name(self) -> str:
        """As `named` reads it."""

    def folds(self, table: pa.Table, labels: Array) -> list[Fold]:
        """The folds, in an order that does not depend on the rows' order.

        Args:
            table: Columns of `samples.FIELDS`.
            labels: int64 (n,), -1 for rows that have none: they are neither trained on nor tested.

        Raises:
            EquimeError: Fewer than two subjects, or nothing to train on or to test in a fold.
        """


def people(table: pa.Table) -> Array:
    """Who is in each row, str (n,): `subject_id`, in `SAME_PEOPLE` that of the other data set."""
    pairs = zip(table["dataset"].to_pylist(), table["subject_id"].to_pylist(), strict=True)
    return np.array([_person(dataset, subject) for dataset, subject in pairs], dtype=str)


def _person(dataset: str, subject: str) -> str:
    other = SAME_PEOPLE.get(dataset)
    return subject if other is None else f"{other}{subject.removeprefix(dataset)}"


def column(table: pa.Table, name: str) -> Array:
    """A column of text as str (n,), null as ""."""
    return np.array([value or "" for value in table[name].to_pylist()], dtype=str)


def usable(table: pa.Table, labels: Array) -> Array:
    """Which rows have a label, bool (n,).

    Raises:
        EquimeError: As many labels as rows were expected, or fewer than two subjects have one.
    """
    if len(labels) != len(table):
        raise EquimeError(f"expected a label for each of {len(table)} rows, got {len(labels)}")
    kept = np.asarray(labels) >= 0
    if (found := len(np.unique(people(table)[kept]))) < 2:
        raise EquimeError(f"expected at least two subjects with a label, got {found}: nobody is left to test")
    return kept


def made(protocol: str, table: pa.Table, labels: Array, parts: Iterable[tuple[str, Array, Array]]) -> list[Fold]:
    """Folds of masks, checked.

    Args:
        protocol: Its name, for messages.
        table: All rows.
        labels: int64 (n,).
        parts: Name, bool (n,) to train on and bool (n,) to test, of each fold.

    Returns:
        The folds in the given order. A class that is tested and in no training of its fold is warned of.

    Raises:
        EquimeError: A person on both sides of a fold, an empty side, a clip tested twice, or one without a label.
    """
    who = np.unique(people(table), return_inverse=True)[1]
    order = np.argsort(column(table, "sample_id"), kind="stable")
    folds = [Fold(name, order[train[order]], order[test[order]]) for name, train, test in parts]
    for fold in folds:
        _check(protocol, fold, who, table, labels)
    tested = np.bincount(np.concatenate([fold.test for fold in folds] or [order[:0]]), minlength=len(table))
    if (tested > 1).any():
        twice = table["sample_id"][int(tested.argmax())].as_py()
        raise EquimeError(f"{protocol} tests {twice} in more than one fold: each clip may be tested once")
    _warn_of_untrained(protocol, folds, labels, table)
    return folds


def _check(protocol: str, fold: Fold, who: Array, table: pa.Table, labels: Array) -> None:
    for what, side in (("train on", fold.train), ("test", fold.test)):
        if not len(side):
            raise EquimeError(f"{protocol} has nothing to {what} in fold {fold.name}; add data, or another protocol")
        if (labels[side] < 0).any():
            raise EquimeError(f"{protocol} has clips without a label in fold {fold.name}")
    both = fold.train[np.isin(who[fold.train], who[fold.test])]
    if len(both):
        row = table.slice(int(both[0]), 1).to_pylist()[0]
        raise EquimeError(f"{protocol} trains and tests on {row['subject_id']} ({row['dataset']}) in fold {fold.name}")


def _warn_of_untrained(protocol: str, folds: Sequence[Fold], labels: Array, table: pa.Table) -> None:
    missing = {fold.name: np.setdiff1d(labels[fold.test], labels[fold.train]) for fold in folds}
    names = [name for name, classes in missing.items() if len(classes)]
    if names:
        fold = next(fold for fold in folds if fold.name == names[0])
        sample = table["sample_id"][int(fold.test[labels[fold.test] == missing[names[0]][0]][0])].as_py()
        some = f"fold {names[0]}" + f" and {counted(len(names) - 1, 'other')}" * (len(names) > 1)
        warnings.warn(f"{protocol}: {some} cannot learn a tested class: no other clip is as {sample}", stacklevel=4)


def dealt(who: Array, labels: Array, k: int, seed: int) -> Array:
    """A number of 0 to k - 1 for each row: whole people, every class spread as evenly as they allow.

    People are taken by falling number of clips, equal ones by sha256(seed, person), and go where the sum of squared
    class counts (each in shares of its class) grows least. The rows' order changes nothing.

    Args:
        who: str (n,), whose each row is.
        labels: int (n,), 0 or more.
        k: How many parts, at least 2.
        seed: Another one deals otherwise.

    Raises:
        EquimeError: Fewer people than parts.
    """
    names, person = np.unique(who, return_inverse=True)
    if not 2 <= k <= len(names):
        raise EquimeError(f"expected 2 to {len(names)} folds for {len(names)} subjects, got {k = }")
    own = np.zeros((len(names), int(labels.max()) + 2))
    np.add.at(own, (person, labels), 1)
    own[:, -1] = own.sum(1)
    scale = 1 / np.maximum(own.sum(0), 1) ** 2
    held = np.zeros((k, own.shape[1]))
    part = np.zeros(len(names), np.int64)
    for place in sorted(range(len(names)), key=lambda i: (-own[i, -1], digest(seed, str(names[i])))):
        growth = (2 * held * own[place]) @ scale
        part[place] = int(growth.round(12).argmin())
        held[part[place]] += own[place]
    return part[person]


def digest(seed: int, name: str) -> bytes:
    """What people and clips are shuffled by: sha256 of the seed and a name."""
    return hashlib.sha256(f"{seed}\0{name}".encode()).digest()
