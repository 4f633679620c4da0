"""Fit P(units | emotion) from counts: packaged tables, a user's own coded clips, or both by stated weights.

Why so: units are independent given the emotion but for two kinds of pairs. In the strong ones (1-2, 6-12) the
dependence keeps its sign over all sets, and their joint frequency is kept as counted. In the weak ones (4-7, 4-9)
it depends on coder and set: one exact block {4, 7, 9} keeps every unit's own frequency, and its two log odds ratios
have a normal prior around 0, whose standard deviation is the strength of those arrows.

    fit_units("fear", COUNTS, WEIGHTS).distribution()
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, product

import numpy as np
import numpy.typing as npt

from equime.au_counts import COUNTS, PROTOTYPES, Counts
from equime.errors import EquimeError
from equime.scm.unit_model import PROTOTYPE, Block, Outcome, UnitModel

Array = npt.NDArray[np.float64]
Sets = Mapping[str, Mapping[str, Counts]]

WEIGHTS: Mapping[str, float] = {"casme2": 1.0, "samm": 1.0, "casme3_partA": 0.0}
"""How much a clip of each set counts; CAS(ME)3's self-reported labels are left out by default."""
STRONG_PAIRS: tuple[Outcome, ...] = ((1, 2), (6, 12))
"""Units whose dependence within an emotion keeps its sign over all sets."""
WEAK_PAIRS: tuple[Outcome, ...] = ((4, 7), (4, 9))
"""Units whose dependence differs between sets and coders."""
WEAK_DEVIATION = 0.5
"""Prior standard deviation of a weak pair's log odds ratio: two thirds of its prior lie between .6 and 1.6."""
THIN_CLIPS = 20
"""An emotion with fewer (weighted) clips takes its EMFACS prototype as a weak prior."""
PRIOR_CLIPS = 4.0
"""Weight of that prior, in clips."""
UNITS_A_CLIP = 1.4
"""Units that a clip of the prior holds: prototypes are posed, and micro-expressions show a part."""


def check_weights(weights: Mapping[str, float], sets: Sets) -> None:
    """Raise `EquimeError` where a weight is negative, not finite, or of an unknown set."""
    if not (set(weights).issubset(sets) and all(weight >= 0 and math.isfinite(weight) for weight in weights.values())):
        known = ", ".join(sets)
        raise EquimeError(f"expected weights of at least 0 for {known}, got {weights = }; correct it")


def fit_units(emotion: str, sets: Sets, weights: Mapping[str, float], weak: float = WEAK_DEVIATION) -> UnitModel:
    """Fit one emotion's units.

    Counts are pooled over the sets by weight and each coded unit gets a Beta(1/2, 1/2) prior: P = (k + 1/2) / (n + 1).
    Under `THIN_CLIPS` clips (with the default weights: fear 8, sadness 6), `PRIOR_CLIPS` clips of the EMFACS
    prototype, holding `UNITS_A_CLIP` units each, are added. These are then exactly the marginals *given at least one
    unit*, as are the joint frequencies of strong pairs; weak pairs are at the mode of their posterior.

    Args:
        emotion: one of `equime.causal.EMOTIONS`.
        sets: set -> emotion -> counts.
        weights: set -> weight of one of its clips; sets not named weigh 0.
        weak: standard deviation of the weak pairs' log odds ratios; 0 makes those units independent.

    Raises:
        EquimeError: unknown sets, negative weights, or no clips of the emotion.
    """
    check_weights(weights, sets)
    if not (weak >= 0 and math.isfinite(weak)):
        raise EquimeError(f"expected a standard deviation of at least 0 for the weak pairs, got {weak = }; correct it")
    pooled = _Pooled.of(emotion, sets, weights)
    groups = _groups(pooled.units)
    # A hair of dependence is as good as none, and keeps one way of fitting.
    factor = _factor(pooled, groups, max(weak, 1e-6))
    return UnitModel(
        blocks=tuple(pooled.block(group, factor, max(weak, 1e-6)) for group in groups),
        marks={key[0]: count / pooled.clips for key, count in sorted(pooled.counts.items()) if len(key) == 1},
        evidence=pooled.evidence | ({PROTOTYPE: PRIOR_CLIPS} if pooled.prototype else {}),
    )


@dataclass(frozen=True)
class _Pooled:
    """Weighted counts of one emotion over the sets, with the prototype's clips where they are few."""

    evidence: dict[str, float]
    counts: Mapping[Outcome, float]
    prototype: Outcome

    @classmethod
    def of(cls, emotion: str, sets: Sets, weights: Mapping[str, float]) -> _Pooled:
        evidence: dict[str, float] = {}
        counts: dict[Outcome, float] = {}
        for name, weight in weights.items():
            table = sets[name].get(emotion)
            if table is None or not weight or not table.n:
                continue
            evidence[name] = weight * table.n
            singles = (((au,), count) for au, count in table.au.items())
            for key, count in (*singles, *table.pairs.items()):
                counts[key] = counts.get(key, 0.0) + weight * count
        clips = math.fsum(evidence.values())
        if not clips:
            raise EquimeError(f"expected a set with clips of {emotion}, got {weights = }; weigh samm")
        return cls(evidence, counts, PROTOTYPES[emotion] if clips < THIN_CLIPS else ())

    @property
    def clips(self) -> float:
        return math.fsum(self.evidence.values())

    @property
    def prior_clips(self) -> float:
        return PRIOR_CLIPS if self.prototype else 0.0

    @property
    def units(self) -> list[int]:
        return sorted({key[0] for key in self.counts if len(key) == 1} | set(self.prototype))

    def coded(self, *units: int) -> bool:
        return all((au,) in self.counts for au in units)

    def chance(self, *units: int) -> float:
        """Smoothed probability that a clip holds the unit, or both units of a strong pair."""
        count = self.counts.get(units, 0.0) + (0.5 if self.coded(*units) else 0.0)
        if set(self.prototype).issuperset(units):
            share = 1.0 if len(units) == 1 else _together(*units)
            count += share * self.prior_clips * UNITS_A_CLIP / len(self.prototype)
        return count / (self.clips + 1.0 + self.prior_clips)

    def block(self, units: Outcome, factor: float, weak: float) -> Block:
        """The units of a block `factor` times as likely as given at least one unit."""
        if units in STRONG_PAIRS:
            one, two, both = self.chance(units[0]), self.chance(units[1]), self.chance(*units)
            return Block(units, {units: both, units[:1]: one - both, units[1:]: two - both}).scaled(factor)
        if len(units) == 1:
            return Block(units, {units: factor * self.chance(*units)})
        return self._weak_block(units, factor, weak)

    def _weak_block(self, units: Outcome, factor: float, weak: float) -> Block:
        pairs = [pair for pair in WEAK_PAIRS if set(pair).issubset(units)]
        patterns = product((False, True), repeat=len(units))
        outcomes = [tuple(compress(units, pattern)) for pattern in patterns]
        terms: list[Outcome] = [*((au,) for au in units), *pairs]
        features = np.array([[set(term).issubset(outcome) for term in terms] for outcome in outcomes], float)
        goals = [factor * self.chance(au) for au in units]
        goals += [factor * self.counts.get(pair, 0.0) / self.clips for pair in pairs]
        # Where a unit is the prototype's alone, no clip tells how it goes with others: its pair stays at 0.
        spreads = [math.inf] * len(units) + [weak if self.coded(*pair) else 1e-6 for pair in pairs]
        shrink = factor / self.clips / np.square(spreads)
        chances = _log_linear(features, np.array(goals), shrink)
        return Block(units, {key: float(p) for key, p in zip(outcomes, chances, strict=True) if key})


def _together(first: int, second: int) -> float:
    """Clips with both units over clips with the rarer one, in all emotions of CASME II and SAMM."""
    tables = [table for name in ("casme2", "samm") for table in COUNTS[name].values()]
    both = sum(table.pairs.get((first, second), 0) for table in tables)
    rarer = sum(min(table.au.get(first, 0), table.au.get(second, 0)) for table in tables)
    return both / rarer


def _groups(units: Sequence[int]) -> list[Outcome]:
    """The units of each block: pairs of which both units occur are linked, every other unit is alone."""
    groups: list[set[int]] = []
    for au in units:
        linked = {au}.union(*(pair for pair in (*STRONG_PAIRS, *WEAK_PAIRS) if au in pair)) & set(units)
        touching = [group for group in groups if group & linked]
        groups = [group for group in groups if not group & linked] + [linked.union(*touching)]
    return sorted(tuple(sorted(group)) for group in groups)


def _log_linear(features: Array, goals: Array, shrink: Array) -> Array:
    """Probabilities p ~ exp(features @ w) with features' means p @ features = goals - shrink * w, by Newton.

    That is the mode of a log-linear model whose weights w have normal priors of precision `shrink` (0: none). The
    problem is strictly concave.

    Args:
        features: float (outcomes, terms) of 0 and 1; the first outcome has none of them.
        goals: float (terms,), in (0, 1).
        shrink: float (terms,), at least 0.
    """
    weights = np.where(shrink > 0, 0.0, np.log(goals / (1 - goals), where=shrink == 0, out=np.zeros_like(goals)))
    for _ in range(200):
        chances = np.exp(features @ weights)
        chances /= chances.sum()
        means = chances @ features
        gap = goals - means - shrink * weights
        if np.abs(gap).max() < 1e-15 + 1e-13 * goals.min():
            break
        slope = features.T @ (chances[:, None] * features) - np.outer(means, means) + np.diag(shrink)
        step = np.linalg.solve(slope, gap)
        weights += step * min(1.0, 1.0 / float(np.abs(step).max()))
    return chances


def _factor(pooled: _Pooled, groups: Sequence[Outcome], weak: float) -> float:
    """The c at which blocks made for c have their chances given that at least one acts.

    That is the positive root of c = 1 - prod(1 - active(c)), found by bisection: the right side is concave in c and
    starts with slope sum(active) / c, which is above 1 wherever every clip has a unit. Should it not be, c goes to 0
    and exactly one block acts, each in proportion to its chance.
    """
    low, high = 1e-9, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        quiet = math.fsum(math.log1p(-pooled.block(group, middle, weak).active) for group in groups)
        low, high = (middle, high) if -math.expm1(quiet) > middle else (low, middle)
    return low
