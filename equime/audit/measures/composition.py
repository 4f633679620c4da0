"""Counts of groups beside those that are wanted: shares, evenness, distances to the target, as findings.

    shares = wanted_shares("race", {"race": ["asian", "white"]}, {})            # all six of the contract, alike
    Counts("race", "subjects", shares, counts, clips, subjects).findings("source")

Groups that are wanted and that nobody belongs to are counted, as 0: that is what evenness is about.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from equime.audit.measures.resampling import ENDS
from equime.audit.result import Finding
from equime.audit.tables.groups import KNOWN, is_small
from equime.errors import EquimeError
from equime.metrics import wilson
from equime.planning.targets import divergence, effective_groups, ratio
from equime.planning.targets import evenness as shannon
from equime.schema import DISGUST

Array = npt.NDArray[Any]
Wanted = Mapping[str, float]

NAMED: Final = 5
"""Groups that a note names before it counts."""


# --- what is wanted


def target_shares(name: str, shares: Wanted) -> dict[str, float]:
    """Shares that sum to 1.

    Raises:
        EquimeError: None above 0, or one that is no number of 0 or more.
    """
    numbers = [*shares.values()]
    if not all(isinstance(n, (int, float)) and 0 <= n < math.inf for n in numbers) or not sum(numbers):
        raise EquimeError(f"expected a target of {name} as group -> share of 0 or more, some above 0, got {shares = }")
    return {group: share / sum(numbers) for group, share in shares.items()}


def wanted_shares(by: str, found: Mapping[str, Sequence[str]], asked: Mapping[str, Wanted]) -> dict[str, float]:
    """Every group that is wanted or occurs, and its share of the target; they sum to 1.

    Args:
        by: An attribute, or several joined by "+".
        found: Attribute -> the labels that occur.
        asked: The targets that were given.
    """
    own = [_one(name, labels, asked) for name, labels in found.items()]
    shares = {", ".join(names): math.prod(map(dict.__getitem__, own, names)) for names in product(*own)}
    return shares if by not in asked else {**dict.fromkeys(shares, 0.0), **asked[by]}


def _one(name: str, found: Sequence[str], asked: Mapping[str, Wanted]) -> dict[str, float]:
    known = [label for label in KNOWN.get(name, ()) if label != DISGUST or label in found]
    labels = known if set(found) <= set(known) else found
    if name not in asked:
        return dict.fromkeys(labels, 1 / len(labels))
    there = {label: 0.0 for label in labels if label in found or asked[name].get(label)}
    return {**there, **{label: share for label, share in asked[name].items() if share}}


# --- what there is


@dataclass(frozen=True, eq=False)
class Counts:
    """How much there is of each group.

    Attributes:
        by: The attribute, or several joined by "+".
        of: What is counted: "subjects", "clips"; "" for shares without people.
        wanted: See `wanted_shares`.
        counts: (groups,), in their order.
        clips: Clips of each group, int64 (groups,).
        subjects: People in each, int64 (groups,).
        draws: `counts` where whole subjects are drawn anew, (draws, groups); None where nobody can be drawn.
    """

    by: str
    of: str
    wanted: Wanted
    counts: Array
    clips: Array
    subjects: Array
    draws: Array | None = None

    def findings(self, labels: str) -> Iterator[Finding]:
        """The share of each group, then what they say together."""
        total, unknown = float(self.counts.sum()), not self.of
        for place, (group, wanted) in enumerate(self.wanted.items()):
            low, high = self._ends(place)
            people = int(self.subjects[place])
            yield Finding(
                measure="share",
                of=self.of,
                by=self.by,
                group=group,
                labels=labels,
                value=float(self.counts[place]) / total,
                low=low,
                high=high,
                reference=wanted,
                clips=int(self.clips[place]),
                subjects=people,
                small=not unknown and is_small(people),
            )
        sizes: dict[str, Any] = {"clips": int(self.clips.sum()), "subjects": int(self.subjects.sum())}
        for measure, numbers in self._measures().items():
            yield Finding(measure=measure, of=self.of, by=self.by, labels=labels, **sizes, **numbers)

    def _ends(self, place: int) -> tuple[float | None, float | None]:
        """The interval of a share; none of a share of clips where there are none: every draw has none either."""
        if self.draws is None or (self.of == "clips" and not self.counts[place]):
            return None, None
        if self.of == "subjects":
            return wilson(int(self.counts[place]), int(self.counts.sum()))
        low, high = np.nanquantile(self.draws[:, place] / _some(self.draws.sum(1)), ENDS)
        return float(low), float(high)

    def _measures(self) -> dict[str, dict[str, Any]]:
        counts = {name: float(count) for name, count in zip(self.wanted, self.counts, strict=True)}
        target = {name: share for name, share in self.wanted.items() if share}
        shares = {name: count / sum(counts.values()) for name, count in counts.items()}
        unwanted = [name for name, count in counts.items() if count and name not in target]
        missing = [name for name, count in counts.items() if not count]
        even, low, high = shannon(counts, [*counts]), *self._evenness()
        size, spread = len(counts), ratio(self.wanted, self.wanted)
        return {
            "evenness": {"value": even, "low": low, "high": high, "reference": shannon(self.wanted, [*counts])},
            "effective number": {
                "value": effective_groups(counts),
                "low": None if low is None else size**low,
                "high": None if high is None else size**high,
                "reference": effective_groups(self.wanted),
            },
            "KL to target": {
                "value": None if unwanted else divergence(counts, target),
                "reference": 0.0,
                "note": f"infinite: nobody is wanted of {_named(unwanted)}" if unwanted else "",
            },
            "total variation to target": {
                "value": sum(abs(shares[name] - share) for name, share in self.wanted.items()) / 2,
                "reference": 0.0,
            },
            "max/min ratio": {
                "value": None if missing else ratio(counts, counts),
                "reference": spread if math.isfinite(spread) else None,
                "note": f"infinite: nobody is {_named(missing)}" if missing else "",
            },
        }

    def _evenness(self) -> tuple[float | None, float | None]:
        """The interval of evenness: the percentiles of its draws, moved up by twice what drawing takes away.

        A draw is less even than the people that it is drawn from by about as much as those are than all people, so
        that the plain percentiles of an even data set lie below its own value, and never cover the truth. Simulated,
        these cover in 94 to 100 % of 100 people's data sets, from even ones to EquiME's shares (of rare groups 90 %).
        """
        if self.draws is None or len(self.wanted) < 2:
            return None, None
        found, value = _evenness(self.draws), float(_evenness(self.counts[None])[0])
        low, high = np.nanquantile(found, ENDS) - 2 * (np.nanmean(found) - value)
        return max(0.0, float(min(value, low))), min(1.0, float(max(value, high)))


def _evenness(counts: Array) -> Array:
    """Shannon's evenness of counts (..., groups): (...), NaN where nothing is counted."""
    shares = counts / _some(counts.sum(-1, keepdims=True))
    found: Array = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(-1) / np.log(counts.shape[-1])
    return found


def _some(counts: Array) -> Array:
    return np.where(counts > 0, counts, np.nan)


def _named(groups_: Sequence[str]) -> str:
    more = f" and {len(groups_) - NAMED} more" if len(groups_) > NAMED else ""
    return "; ".join(groups_[:NAMED]) + more
