"""Subject-disjoint splits, stratified, and stable when subjects are added.

What: `assign` gives every subject a split.
Why: a face in two splits leaks identity into the test, a split that lacks a group cannot tell how a
model does for it, and a split that moves when the data set grows spoils every earlier result. So a
subject is placed once, whole, by its own hash and by what its stratum still lacks.

    python -m equime plan ws --faces DIR
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from types import MappingProxyType

from equime.errors import EquimeError

SHARES: Mapping[str, float] = MappingProxyType({"train": 0.8, "validation": 0.1, "test": 0.1})
"""Share of the subjects in each split; the first takes all while there are too few."""


def assign(
    subjects: Sequence[tuple[str, Hashable]],
    existing: Mapping[str, tuple[str, Hashable]],
    seed: int,
    shares: Mapping[str, float] = SHARES,
) -> dict[str, str]:
    """Give every subject a split.

    Subjects of `existing` keep theirs. New ones are taken in the order of sha256(seed, subject), each
    going where the sum of two deficits is largest: of its stratum and of all subjects so far, against
    the shares. The counts over all subjects end at their quota rounded down or up, as far as the
    existing subjects allow; with fewer subjects than splits all are in the first split, otherwise
    every split gets at least one, as far as new subjects allow.

    Args:
        subjects: (subject id, stratum) pairs, in any order, each subject once or with one stratum.
        existing: subject id -> (split, stratum) of all subjects placed before, listed or not.
        seed: decides the order of the new subjects.
        shares: split -> share of the subjects, above 0 and summing to 1.

    Returns:
        Subject id -> split, for each of `subjects`, sorted by id.

    Raises:
        EquimeError: bad shares, a subject with two strata, or an existing split without a share.
    """
    _check(existing, shares)
    strata = _strata(subjects)
    new = [subject for subject in strata if subject not in existing]
    new.sort(key=lambda subject: hashlib.sha256(f"{seed}\0{subject}".encode()).digest())
    placed = {subject: split for subject, (split, _) in existing.items()}
    counts = _Counts(shares, existing, total=len(existing) + len(new))
    for index, subject in enumerate(new):
        placed[subject] = counts.place(strata[subject], left=len(new) - index)
    return {subject: placed[subject] for subject in sorted(strata)}


class _Counts:
    """How many subjects each split holds so far, over all and by stratum."""

    def __init__(
        self,
        shares: Mapping[str, float],
        existing: Mapping[str, tuple[str, Hashable]],
        total: int,
    ) -> None:
        self.shares = shares
        self.overall = Counter(split for split, _ in existing.values())
        self.strata = Counter(existing.values())
        self.sizes = Counter(stratum for _, stratum in existing.values())
        self.least, self.most = _limits(shares, total)

    def place(self, stratum: Hashable, left: int) -> str:
        """Place one subject, `left` being the number still to place with this one."""
        open_ = self._open(left)
        split = max(open_, key=lambda name: self._deficits(name, stratum))
        self.overall[split] += 1
        self.strata[split, stratum] += 1
        self.sizes[stratum] += 1
        return split

    def _open(self, left: int) -> list[str]:
        """Splits that may take a subject if all are to end within their limits."""
        short = [name for name in self.shares if self.overall[name] < self.least[name]]
        if left <= sum(self.least[name] - self.overall[name] for name in short):
            empty = [name for name in short if not self.overall[name]]
            return empty or short
        return [name for name in self.shares if self.overall[name] < self.most[name]] or [*self.shares]

    def _deficits(self, name: str, stratum: Hashable) -> tuple[float, float]:
        share = self.shares[name]
        overall = share * (self.overall.total() + 1) - self.overall[name]
        within = share * (self.sizes[stratum] + 1) - self.strata[name, stratum]
        # Rounded, so that ties fall to the larger overall deficit and not to the last bit.
        return round(overall + within, 9), round(overall, 9)


def _limits(shares: Mapping[str, float], total: int) -> tuple[dict[str, int], dict[str, int]]:
    """Least and most subjects of each split among `total`."""
    if total < len(shares):
        every = {name: 0 for name in shares}
        return {**every, next(iter(shares)): total}, {**every, next(iter(shares)): total}
    quotas = {name: round(share * total, 9) for name, share in shares.items()}
    least = {name: max(1, math.floor(quota)) for name, quota in quotas.items()}
    while sum(least.values()) > total:
        least[max(least, key=lambda name: least[name])] -= 1
    return least, {name: max(1, math.ceil(quota)) for name, quota in quotas.items()}


def _check(existing: Mapping[str, tuple[str, Hashable]], shares: Mapping[str, float]) -> None:
    whole = math.isclose(math.fsum(shares.values()), 1.0, abs_tol=1e-6)
    if not whole or not all(share > 0 for share in shares.values()):
        shares = dict(shares)
        raise EquimeError(f"expected shares above 0 that sum to 1, got {shares = }; correct them")
    for subject, (split, _) in existing.items():
        if split not in shares:
            known = ", ".join(shares)
            raise EquimeError(f"expected {subject} in one of {known}, got {split = }; add its share")


def _strata(subjects: Sequence[tuple[str, Hashable]]) -> dict[str, Hashable]:
    strata: dict[str, Hashable] = {}
    for subject, stratum in subjects:
        if strata.setdefault(subject, stratum) != stratum:
            both = (strata[subject], stratum)
            raise EquimeError(f"expected one stratum for {subject = }, got {both = }; give its rows the same labels")
    return strata
