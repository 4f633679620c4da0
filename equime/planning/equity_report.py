"""How even a choice of subjects and clips is, for people and for programs.

    equity = report(identities, clips, Targets.uniform())   # both: cell -> count
    print(equity); equity.reached; equity.to_dict()

Evenness of identities is the headline: clips can be balanced by showing rare subjects more often, people cannot.
All by *perceived* labels, which err: `equity_audit` repeats it with other labels and corrects for confusion.

    equime plan WORKSPACE --faces FACES      # prints it before anything is generated
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from equime.planning.targets import LABELS, PRIORITY, Targets, closeness, effective_groups, evenness, ratio, totals

FLOOR = 0.99
"""The race evenness to reach."""
WHAT = ("identities", "clips")


@dataclass(frozen=True)
class Balance:
    """How one attribute, or the cells ("joint"), is spread over the groups that the target wants.

    Attributes:
        shares: Group -> share wanted; of a free attribute equal ones, for information.
        identities: Group -> subjects, zeros included.
        clips: Group -> clips.
        unlabelled: Subjects whose label is missing.
        outside: Subjects of groups that the target does not want.
        free: Whether the target leaves this attribute free.
    """

    shares: Mapping[str, float]
    identities: Mapping[str, int]
    clips: Mapping[str, int]
    unlabelled: int
    outside: int
    free: bool

    @property
    def short(self) -> dict[str, int]:
        """Group -> identities missing from its share of all that are counted here, the largest first."""
        total = sum(self.identities.values())
        lacking = {g: int(share * total + 1e-9) - self.identities[g] for g, share in self.shares.items()}
        return {} if self.free else {g: n for g, n in sorted(lacking.items(), key=lambda item: -item[1]) if n > 0}

    def measures(self, what: str) -> dict[str, float]:
        """Of "identities" or "clips": evenness, closeness to the target (both 0-1), effective groups, max/min."""
        counts: Mapping[str, int] = getattr(self, what)
        return {
            "evenness": evenness(counts, [*self.shares]),
            "closeness": closeness(counts, self.shares),
            "effective_groups": effective_groups(counts),
            "max_min_ratio": ratio(counts, [*self.shares]),
        }

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; None for what cannot be said (nothing counted) or is infinite (a group missing)."""
        found = {w: {k: x if math.isfinite(x) else None for k, x in self.measures(w).items()} for w in WHAT}
        counts = {"identities": dict(self.identities), "clips": dict(self.clips), "short": self.short}
        return {**found, "counts": counts, "unlabelled": self.unlabelled, "outside": self.outside, "free": self.free}


@dataclass(frozen=True)
class Equity:
    """How even a choice of subjects and clips is, by perceived labels. Made by `report`, printed by `str`.

    Attributes:
        balances: "race", "gender", "age" and "joint", in the order in which balance is sought.
        identities: All subjects.
        clips: All clips.
        target: The target's name.
        head: The attribute that `reached` judges: race where the target speaks of it.
        floor: The closeness to reach, 0-1.
    """

    balances: Mapping[str, Balance]
    identities: int
    clips: int
    target: str
    head: str
    floor: float

    @property
    def reached(self) -> bool:
        """Whether `head` is at least `floor` close to the target, in identities and clips alike.

        At most 1 - `floor` of the subjects may be without a label: what is not labelled cannot be called balanced.
        """
        head = self.balances[self.head]
        near = all(head.measures(what)["closeness"] >= self.floor for what in WHAT)
        return near and head.unlabelled + head.outside <= (1 - self.floor) * self.identities

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, with every count."""
        facts = {"identities": self.identities, "clips": self.clips, "target": self.target, "floor": self.floor}
        balances = {name: balance.to_dict() for name, balance in self.balances.items()}
        return {**facts, "labels": "perceived", "head": self.head, "reached": self.reached, **balances}

    def __str__(self) -> str:
        return "\n".join([*_table(self), *_verdict(self), *_short(self)])


def report(identities: Mapping[str, int], clips: Mapping[str, int], targets: Targets, floor: float = FLOOR) -> Equity:
    """How even subjects and clips are, by attribute and by cell.

    Args:
        identities: Cell -> subjects.
        clips: Cell -> clips.
        targets: What was wanted.
        floor: The closeness of race to reach in both, 0-1.
    """
    levels = {**{name: (name,) for name in PRIORITY}, "joint": targets.attributes}
    found = {name: _balance(level, identities, clips, targets) for name, level in levels.items()}
    return Equity(found, sum(identities.values()), sum(clips.values()), targets.name, targets.ranked[0], floor)


def _balance(
    level: tuple[str, ...], identities: Mapping[str, int], clips: Mapping[str, int], targets: Targets
) -> Balance:
    free = not set(level) <= set(targets.attributes)
    labels = LABELS[level[0]]
    shares = dict.fromkeys(labels, 1 / len(labels)) if free else targets.wanted(level)
    people, shown = totals(identities, level), totals(clips, level)
    counted = {group: int(people.get(group, 0)) for group in shares}
    labelled = int(sum(people.values()))
    missing, outside = sum(identities.values()) - labelled, labelled - sum(counted.values())
    return Balance(shares, counted, {group: int(shown.get(group, 0)) for group in shares}, missing, outside, free)


def _table(equity: Equity) -> list[str]:
    lines = [
        f"{_people(equity.identities)} and {equity.clips:,} clips, by perceived labels; target: {equity.target}",
        f"{'':8}{'groups':>6}{'evenness':>18}{'effective groups':>22}{'commonest : rarest':>22}",
        f"{'':8}{'':6}" + f"{'identities':>15}{'clips':>7}" * 3,
    ]
    for name, balance in equity.balances.items():
        pairs = zip(*(balance.measures(what).values() for what in WHAT), strict=True)
        even, _, effective, ratios = (f"{_number(people):>15}{_number(clips):>7}" for people, clips in pairs)
        lines.append(f"{name:8}{len(balance.shares):>6}{even}{effective}{ratios}{'  (free)' * balance.free}")
    return lines


def _people(number: int) -> str:
    return f"{number:,} {'identity' if number == 1 else 'identities'}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}" if value < 10 else f"{value:.0f}"


def _verdict(equity: Equity) -> list[str]:
    head = equity.balances[equity.head]
    near = [_number(head.measures(what)["closeness"]) for what in WHAT]
    state = "reached" if equity.reached else "not reached"
    if near == ["-", "-"]:
        lines = [f"nobody has a {equity.head} label: whether the target of {equity.floor:g} is reached is unknown"]
    else:
        found = f"{near[0]} in identities, {near[1]} in clips (1 = target)"
        lines = [f"{equity.head} balance of {equity.floor:g} {state}: {found}"]
    single = {name: balance for name, balance in equity.balances.items() if name != "joint"}
    for what, said in (("unlabelled", "without a label"), ("outside", "outside the target")):
        counted = [f"{getattr(b, what):,} of {name}" for name, b in single.items() if getattr(b, what)]
        lines += [f"identities {said}: {', '.join(counted)}"] * bool(counted)
    return lines


def _short(equity: Equity, most: int = 8) -> list[str]:
    """What is missing for this many identities, the largest gaps first, at most `most` each."""
    lines = []
    for name, balance in equity.balances.items():
        listed = [f"{group} {n:,}" for group, n in balance.short.items()]
        more = [f"and {len(listed) - most} more"] * (len(listed) > most)
        lines += [f"short of identities, {name}: {', '.join(listed[:most] + more)}"] * bool(listed)
    return lines
