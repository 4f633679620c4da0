"""Protocols across groups of people, by a column of *perceived* labels: gender, age or race.

Why: whether a model works for people unlike those it learnt from is what an equitable data set is for. Two answers
may differ because of whom they were trained on, or of how much: so here A to A and A to B share their very models,
and two mixtures of groups have equal numbers of people and clips.

    LeaveOneGroupOut("race").folds(table, labels)
    GroupToGroup("gender", "female", "male").folds(table, labels)
    balanced, skewed = mixtures("race", {"white": 0.8, "asian": 0.2})
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from equime.errors import EquimeError
from equime.options import option
from equime.recognise.protocols.folds import Fold, column, dealt, digest, made, people, usable

Array = npt.NDArray[Any]
Shares = tuple[tuple[str, float], ...]

COLUMNS: Final = ("gender", "age", "race")
"""The columns that groups can be of."""


@dataclass(frozen=True)
class LeaveOneGroupOut:
    """A fold for each group: trained on the people of all others. People without a label are left out."""

    column: str = option("race", help="gender, age or race, as perceived")

    @property
    def name(self) -> str:
        """As `named` reads it."""
        return f"logo:{self.column}"

    def folds(self, table: pa.Table, labels: Array) -> list[Fold]:
        """See `folds.Protocol`.

        Raises:
            EquimeError: Fewer than two groups.
        """
        group = grouped(table, self.column)
        kept = usable(table, labels) & (group != "")
        if len(found := np.unique(group[kept])) < 2:
            raise EquimeError(f"expected at least two groups of {self.column}, got {found.tolist()}; tag the clips")
        parts = ((str(name), kept & (group != name), kept & (group == name)) for name in found)
        return made(self.name, table, labels, parts)


@dataclass(frozen=True)
class GroupToGroup:
    """Trained on one group, tested on the same or on another one.

    Both groups are dealt into k parts by subject. Fold i trains on the first group without its part i, and tests part
    i of the second: so every clip of the second group is tested once, A to B is trained as A to A is, fold by fold,
    and a gap between the two is no matter of how much was trained on.
    """

    column: str = option("gender", help="gender, age or race, as perceived")
    train: str = option("", help="the group to train on")
    test: str = option("", help="the group to test on")
    k: int = option(5, help="folds")
    seed: int = option(0, help="of the dealing of subjects")

    @property
    def name(self) -> str:
        """As `named` reads it."""
        return f"group:{self.column}:{self.train}:{self.test}:{self.k}:{self.seed}"

    def folds(self, table: pa.Table, labels: Array) -> list[Fold]:
        """See `folds.Protocol`.

        Raises:
            EquimeError: An unknown group, or one with fewer than k people.
        """
        group, who = grouped(table, self.column), people(table)
        usable(table, labels)
        parts = {}
        for name in (self.train, self.test):
            kept = _people_of(group, name, labels, self.column)
            part = np.full(len(table), -1)
            part[kept] = dealt(who[kept], np.asarray(labels)[kept], self.k, self.seed)
            parts[name] = part
        seen, tested = parts[self.train], parts[self.test]
        folds = ((f"{self.test}-{i}", (seen >= 0) & (seen != i), tested == i) for i in range(self.k))
        return made(self.name, table, labels, folds)


@dataclass(frozen=True)
class Mixture:
    """Trained on groups in given shares, at as many people and clips as in another mixture.

    The people of all groups are dealt into k folds; part i is tested, and the training is drawn from the others. A
    training holds N people, N being the most for which both mixtures can be had from these groups; a group's are the
    first of its people by sha256(seed, person), so that the mixtures share as many as they can. Each person gives m
    clips, m being the fewest that any of the people has, taken class by class in turn. Two protocols that have each
    other's shares as `against` so train on equally many people and clips, and test the same clips.
    """

    column: str = option("race", help="gender, age or race, as perceived")
    shares: Shares = option((), help="group and share of the people, pairs")
    against: Shares = option((), help="the shares of the mixture that it is compared with")
    k: int = option(5, help="folds")
    seed: int = option(0, help="of the dealing of subjects")

    def __post_init__(self) -> None:
        for shares in (self.shares, self.against):
            numbers = [share for _, share in shares]
            if not math.isclose(math.fsum(numbers), 1, abs_tol=1e-4) or min(numbers) < 0:
                raise EquimeError(f"expected shares of 0 and more that sum to 1, got {dict(shares)}")
        if {name for name, _ in self.shares} != {name for name, _ in self.against}:
            raise EquimeError(f"expected the same groups in both mixtures, got {self.shares = } and {self.against = }")

    @property
    def name(self) -> str:
        """As `named` reads it."""
        even = len({share for _, share in self.shares}) == 1
        groups = ",".join(f"{name}={share:g}" for name, share in (self.against if even else self.shares))
        return f"{'balanced' if even else 'skewed'}:{self.column}:{groups}:{self.k}:{self.seed}"

    def folds(self, table: pa.Table, labels: Array) -> list[Fold]:
        """See `folds.Protocol`; people of other groups are left out.

        Raises:
            EquimeError: An unknown group, or too few people for either mixture.
        """
        group, who, labels = grouped(table, self.column), people(table), np.asarray(labels)
        names = [name for name, _ in self.shares]
        kept = usable(table, labels) & np.isin(group, names)
        for name in names:
            _people_of(group, name, labels, self.column)
        strata = np.unique(np.stack([group[kept], labels[kept].astype(str)]), axis=1, return_inverse=True)[1].ravel()
        part = np.full(len(table), -1)
        part[kept] = dealt(who[kept], strata, self.k, self.seed)
        clips = _by_person(table, who, labels, kept, self.seed)
        folds = ((f"fold-{i}", self._training(group, who, clips, kept & (part != i)), part == i) for i in range(self.k))
        return made(self.name, table, labels, folds)

    def _training(self, group: Array, who: Array, clips: Mapping[str, list[int]], pool: Array) -> Array:
        """Which rows of `pool` this mixture trains on, bool (n,)."""
        people_of = {name: np.unique(who[pool & (group == name)]).tolist() for name, _ in self.shares}
        total = min(_most(people_of, self.shares), _most(people_of, self.against))
        if total < 1:
            raise EquimeError(
                f"{self.name}: too few people for both mixtures, {_sizes(people_of)} are left to train on"
            )
        fewest = min(len(clips[person]) for found in people_of.values() for person in found)
        rows = np.zeros(len(pool), bool)
        for name, count in _whole(self.shares, total).items():
            first = sorted(people_of[name], key=lambda person: digest(self.seed, person))[:count]
            rows[[row for person in first for row in clips[person][:fewest]]] = True
        return rows


def mixtures(column: str, shares: Mapping[str, float], k: int = 5, seed: int = 0) -> tuple[Mixture, Mixture]:
    """The balanced and the skewed training to compare: equal people and clips, the same test."""
    skewed = tuple(shares.items())
    balanced = tuple((name, 1 / len(shares)) for name in shares)
    return Mixture(column, balanced, skewed, k, seed), Mixture(column, skewed, balanced, k, seed)


def grouped(table: pa.Table, name: str) -> Array:
    """The group of each row, str (n,), "" where none is perceived.

    A tagger may call clips of one person differently: the person is of the group that most of their clips are, and of
    none if two are named equally often.

    Raises:
        EquimeError: No such column.
    """
    if name not in COLUMNS:
        raise EquimeError(f"expected one of {', '.join(COLUMNS)}, got column {name!r}")
    who, seen = people(table).tolist(), column(table, name).tolist()
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for person, value in zip(who, seen, strict=True):
        votes[person][value] += value != ""
    settled = {person: _winner(counts) for person, counts in votes.items()}
    return np.array([settled[person] for person in who], dtype=str)


def _winner(votes: Counter[str]) -> str:
    (first, most), (_, next_most) = (*votes.most_common(2), ("", 0), ("", 0))[:2]
    return first if most > next_most else ""


def _people_of(group: Array, name: str, labels: Array, column: str) -> Array:
    """Which labelled rows are of a group, bool (n,)."""
    kept: Array = (group == name) & (np.asarray(labels) >= 0)
    if not kept.any():
        known = sorted({*group.tolist()} - {""})
        raise EquimeError(f"expected a group of {column} among {known}, got {name!r} or nobody with a label")
    return kept


def _by_person(table: pa.Table, who: Array, labels: Array, kept: Array, seed: int) -> dict[str, list[int]]:
    """Each person's rows, class by class in turn: the first m are as evenly of all classes as m rows can be."""
    ids = column(table, "sample_id")
    turns: dict[tuple[str, int], int] = defaultdict(int)
    found: dict[str, list[tuple[int, bytes, int]]] = defaultdict(list)
    for row in sorted(np.flatnonzero(kept).tolist(), key=lambda row: digest(seed, str(ids[row]))):
        person, label = str(who[row]), int(labels[row])
        found[person].append((turns[person, label], digest(seed, f"{person}\0{label}"), row))
        turns[person, label] += 1
    return {person: [row for *_, row in sorted(rows)] for person, rows in found.items()}


def _most(people_of: Mapping[str, list[str]], shares: Shares) -> int:
    """The most people that can be had in such shares."""
    most = min(math.floor(len(people_of[name]) / share + 1e-9) for name, share in shares if share > 0)
    while any(count > len(people_of[name]) for name, count in _whole(shares, most).items()):
        most -= 1
    return most


def _whole(shares: Shares, total: int) -> dict[str, int]:
    """Shares of a total in whole numbers, by largest remainders."""
    exact = {name: share * total for name, share in shares}
    counts = {name: math.floor(value + 1e-9) for name, value in exact.items()}
    rest = sorted(exact, key=lambda name: (counts[name] - exact[name], name))
    for name in rest[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def _sizes(people_of: Mapping[str, list[str]]) -> str:
    return ", ".join(f"{len(found)} {name}" for name, found in people_of.items())
