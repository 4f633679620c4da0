"""Equity by design: whom to choose, how often to show them, and how even the result is.

    targets = Targets.uniform()                                    # or Targets.from_csv("targets.csv")
    ids = order({"female|18-29|asian": ["a", "b"], ...}, targets)  # every prefix as balanced as it can be
    times = repeats(identities, targets, cap=4)                    # clips of each emotion, by cell
    print(report(identities, clips, targets))                      # evenness, effective groups, what is short

Two balances are told apart: of identities, which cannot be made up, and of clips, which repeating the rare subjects
can mend. The labels are *perceived* and err: `equime.planning.equity_audit` says by how much.

Distance to a target is the Kullback-Leibler divergence of the shares reached from the shares wanted. Up to factors
common to all choices it is a sum of one convex function a group, so that taking the cheapest next subject is optimal
for every prefix (marginal allocation, Fox 1966), and for a uniform target it is Shannon's evenness.

    equime plan WORKSPACE --faces FACES --targets targets.csv
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product

from equime.planning.equity_report import FLOOR, Balance, Equity, report
from equime.planning.targets import ATTRIBUTES, UNKNOWN, Targets, closeness, divergence, evenness, project, totals

__all__ = ["ATTRIBUTES", "FLOOR", "UNKNOWN", "Balance", "Equity", "Targets", "evenness", "order", "repeats", "report"]

STARTS = 6
"""From how many of the best proportional answers `repeats` searches on."""


# --- whom to choose


def order(
    cells: Mapping[str, Sequence[str]],
    targets: Targets,
    before: Mapping[str, int] | None = None,
    count: int | None = None,
    floor: float = FLOOR,
    seed: int = 0,
) -> list[str]:
    """Subjects in the order in which to use them: each prefix, on top of `before`, as balanced as it can be.

    Each next subject is the one that brings race closest to its target; of those the one that brings gender within
    race closest, then age within race, then the cell, then gender and age over all. For race that is the best
    reachable at every length. Subjects with a missing label come after those with one; inside a cell a hash of seed
    and subject decides. What was chosen depends on the counts alone, so that continuing from a prefix (its counts
    in `before`, its subjects taken out) gives the same continuation.

    Args:
        cells: Cell -> candidate subject ids. Cells that the target gives no share are never chosen.
        targets: The shares wanted.
        before: Cell -> subjects chosen earlier.
        count: How many to choose at most. None: the longest prefix whose race closeness over the groups that occur
            is at least `floor`, of labelled subjects where there are any; where none reaches it, the closest.
        floor: See `count`, 0-1.
        seed: Of the hash.
    """
    waiting = {cell: list(cells[cell]) for cell in sorted(cells, key=lambda c: _hash(seed, c)) if cells[cell]}
    ledger = _Ledger(targets, [*waiting, *(before or {})], before or {})
    waiting = {cell: sorted(ids, key=lambda s: _hash(seed, s)) for cell, ids in waiting.items() if ledger.wants(cell)}
    chosen: list[str] = []
    scores = [ledger.score]  # of what was chosen before: adding nobody may be best
    while waiting and (count is None or len(chosen) < count):
        cell = ledger.cheapest(waiting)
        chosen.append(waiting[cell].pop(0))
        if not waiting[cell]:
            del waiting[cell]
        ledger.take(cell)
        scores.append(ledger.score if ledger.labelled(cell) else math.nan)
    return chosen if count is not None else chosen[: _longest(scores, floor)]


def _longest(scores: Sequence[float], floor: float) -> int:
    known = [(min(score, floor), length) for length, score in enumerate(scores) if not math.isnan(score)]
    return max(known)[1] if known else len(scores) - 1


def _hash(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"equity/{seed}/{name}".encode()).digest()


class _Ledger:
    """Counts at each level of the target, and what one subject more of a group would cost there."""

    def __init__(self, targets: Targets, cells: Iterable[str], before: Mapping[str, int]) -> None:
        self._levels = targets.levels
        self._wanted = [targets.wanted(level) for level in self._levels]
        self._groups = {cell: [project(cell, level) for level in self._levels] for cell in cells}
        self._counts: list[dict[str, float]] = [totals(before, level) for level in self._levels]
        self._prices = [{names[i]: self._price(i, names[i]) for names in self._groups.values()} for i in self._numbers]
        occurring = {names[0] for cell, names in self._groups.items()} & set(self._wanted[0])
        share = sum(self._wanted[0][group] for group in occurring)
        self._occurring = {group: self._wanted[0][group] / share for group in sorted(occurring)}

    @property
    def _numbers(self) -> range:
        return range(len(self._levels))

    def _price(self, level: int, group: str) -> float:
        """The growth of n ln(n / share) at this level; rounded, so that equal shares tie exactly."""
        share, n = self._wanted[level].get(group), self._counts[level].get(group, 0)
        if share is None:
            return math.inf
        return round((n + 1) * math.log(n + 1) - (n * math.log(n) if n else 0) - math.log(share), 9)

    def wants(self, cell: str) -> bool:
        """Whether the target leaves room for the labels that are known."""
        names = zip(self._levels, self._groups[cell], self._wanted, strict=True)
        return all(UNKNOWN in name.split("|") or name in wanted for _, name, wanted in names)

    def labelled(self, cell: str) -> bool:
        return self._groups[cell][0] in self._wanted[0]

    def cheapest(self, waiting: Iterable[str]) -> str:
        live = list(waiting)
        for level in self._numbers:
            prices = [self._prices[level][self._groups[cell][level]] for cell in live]
            best = min(prices)
            live = [cell for cell, price in zip(live, prices, strict=True) if price == best]
        return live[0]

    def take(self, cell: str) -> None:
        for level, group in enumerate(self._groups[cell]):
            self._counts[level][group] = self._counts[level].get(group, 0) + 1
            self._prices[level][group] = self._price(level, group)

    @property
    def score(self) -> float:
        """Closeness at the first level over the groups that occur."""
        return closeness(self._counts[0], self._occurring)


# --- how often to show them


def repeats(identities: Mapping[str, int], targets: Targets, cap: int) -> dict[str, int]:
    """How many clips of each emotion a subject of each cell gets, so that clips come closest to the target.

    Race first, then gender and age within race, then the cell, then the fewest clips: a search from the rounded
    proportional answers, not a proof. A missing cell leaves its share to the others of its race. Unlabelled cells get
    one, and so does what the target does not want.

    Args:
        identities: Cell -> subjects chosen.
        targets: The shares wanted.
        cap: The most that one subject may get, 1 or more.

    Returns:
        Cell -> 1 to `cap`, for every cell of `identities`.
    """
    names = {cell: project(cell, targets.ranked) for cell in identities}
    sums = totals(identities, targets.ranked)
    counts = {group: int(sums[group]) for group in targets.wanted(targets.ranked) if sums.get(group)}
    loss = _Loss({cell: n for cell, n in identities.items() if names[cell] in counts}, targets)
    starts = sorted(_proportional(counts, targets, cap), key=loss)[:STARTS]
    times = min((_descend(start, loss, cap) for start in starts), key=loss, default={})
    return {cell: times.get(group, 1) for cell, group in names.items()}


class _Loss:
    """Divergence of clips from the target, level by level, then their number."""

    def __init__(self, identities: Mapping[str, int], targets: Targets) -> None:
        self._identities = identities
        self._names = {cell: project(cell, targets.ranked) for cell in identities}
        self._wanted = [(level, targets.wanted(level)) for level in targets.levels]

    def __call__(self, times: Mapping[str, int]) -> tuple[float, ...]:
        clips = {cell: n * times[self._names[cell]] for cell, n in self._identities.items()}
        far = (divergence(totals(clips, level), shares) for level, shares in self._wanted)
        return (*(round(d, 4) for d in far), sum(clips.values()))


def _proportional(counts: Mapping[str, int], targets: Targets, cap: int) -> list[dict[str, int]]:
    """Every distinct rounding, within 1 and `cap`, of multiples of the ideal clips per subject."""
    each = {group: share / counts[group] for group, share in _ideal([*counts], targets).items()}
    scales = sorted({(k + 0.5) / x * (1 + 1e-12) for x in each.values() for k in range(cap)})
    found = {tuple(min(max(int(scale * x + 0.5), 1), cap) for x in each.values()) for scale in scales}
    return [dict(zip(each, times, strict=True)) for times in sorted(found)]


def _ideal(groups: Sequence[str], targets: Targets) -> dict[str, float]:
    """The share of each group that is there: level by level, a missing one leaves its share to its siblings."""
    shares = dict.fromkeys(groups, 1.0)
    for depth in range(1, len(targets.ranked) + 1):
        wanted = targets.wanted(targets.ranked[:depth])
        names = {group: "|".join(group.split("|")[:depth]) for group in groups}
        parents = {group: "|".join(group.split("|")[: depth - 1]) for group in groups}
        for group in groups:
            siblings = {names[other] for other in groups if parents[other] == parents[group]}
            shares[group] *= wanted[names[group]] / sum(wanted[name] for name in siblings)
    return shares


def _descend(times: dict[str, int], loss: Callable[[Mapping[str, int]], tuple[float, ...]], cap: int) -> dict[str, int]:
    """Single steps of one group for as long as they help."""
    best, improved = loss(times), True
    while improved:
        improved = False
        for group, step in product([*times], (-1, 1)):
            tried = {**times, group: min(max(times[group] + step, 1), cap)}
            if (found := loss(tried)) < best:
                times, best, improved = tried, found, True
    return times
