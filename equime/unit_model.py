"""Which action units an emotion shows: P(units | emotion), fitted from the counted tables.

Units are independent but for the pairs whose dependence keeps its sign over all sets (1-2, 6-12), and every clip
has at least one: conditioned exactly, not by adding a unit where none was drawn.

    fit_units("fear", WEIGHTS, frozenset(range(1, 28))).distribution()
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from equime.au_counts import COUNTS, PROTOTYPES
from equime.errors import EquimeError

WEIGHTS: Mapping[str, float] = {"casme2": 1.0, "samm": 1.0, "casme3_partA": 0.0}
"""How much a clip of each set counts; CAS(ME)3's self-reported labels are left out by default."""
NEVER: frozenset[int] = frozenset({8, 13, 21, 22, 28, 31, 38, 39, 43, 56, 61})
"""Units of the tables that are not sampled: no generator shows them, and an eye closure (43) that lasts
under 500 ms is a blink."""
STRONG_PAIRS: tuple[tuple[int, int], ...] = ((1, 2), (6, 12))
"""Units whose dependence within an emotion keeps its sign over all sets."""
THIN_CLIPS = 20
"""An emotion with fewer (weighted) clips takes its EMFACS prototype as a weak prior."""
PRIOR_CLIPS = 4.0
"""Weight of that prior, in clips."""
UNITS_A_CLIP = 1.4
"""Units that a clip of the prior holds: prototypes are posed, and micro-expressions show a part."""


@dataclass(frozen=True)
class Block:
    """Units that depend on each other within an emotion, before "at least one unit" is asked for.

    Attributes:
        units: their numbers.
        chances: for each non-empty outcome (those of `units` that act) its probability; what is missing
            to 1 is the chance that none acts.
    """

    units: tuple[int, ...]
    chances: Mapping[tuple[int, ...], float]

    @property
    def active(self) -> float:
        """Chance that at least one of the units acts."""
        return math.fsum(self.chances.values())

    def scaled(self, factor: float) -> Block:
        """The block with every outcome `factor` times as likely."""
        return Block(self.units, {key: factor * chance for key, chance in self.chances.items()})

    def restricted(self, shown: Collection[int]) -> Block:
        """The block of those units alone that are in `shown`: the others summed out."""
        chances: dict[tuple[int, ...], float] = {}
        for key, chance in self.chances.items():
            kept = tuple(au for au in key if au in shown)
            if kept:
                chances[kept] = chances.get(kept, 0.0) + chance
        return Block(tuple(au for au in self.units if au in shown), chances)


@dataclass(frozen=True)
class UnitModel:
    """P(units | emotion): independent blocks, conditioned exactly on at least one unit.

    Attributes:
        blocks: in the order of their first units.
        dropped: unit -> marks a coded clip, for the units that the tables have and this model has not.
        kept: marks a coded clip of all units it has.
        prior_share: weight of the EMFACS prototype in the fit, 0 to 1.
    """

    blocks: tuple[Block, ...]
    dropped: Mapping[int, float]
    kept: float
    prior_share: float

    @cached_property
    def some_from(self) -> tuple[float, ...]:
        """For each block, the chance that it or a later one acts."""
        silent = 1.0
        chances = []
        for block in reversed(self.blocks):
            silent *= 1.0 - block.active
            chances.append(1.0 - silent)
        return tuple(reversed(chances))

    def draw(self, uniforms: Sequence[float]) -> tuple[int, ...]:
        """Units of one clip.

        Args:
            uniforms: numbers in [0, 1) indexed by unit number; a block uses that of its first unit, so
                the same noise gives two emotions the units that both favour.
        """
        units: list[int] = []
        for index, block in enumerate(self.blocks):
            scale = 1.0 if units else 1.0 / self.some_from[index]
            left = uniforms[block.units[0]]
            for outcome, chance in block.chances.items():
                left -= chance * scale
                if left < 0:
                    units.extend(outcome)
                    break
        return tuple(units) or tuple(self.blocks[-1].chances)[-1]

    def distribution(self) -> dict[tuple[int, ...], float]:
        """Every set of units (sorted numbers) with its exact probability; they sum to 1."""
        choices = [{(): 1.0 - block.active, **block.chances} for block in self.blocks]
        table = {
            tuple(sorted(sum(keys, ()))): math.prod(choice[key] for choice, key in zip(choices, keys, strict=True))
            for keys in product(*choices)
        }
        return {key: chance / self.some_from[0] for key, chance in table.items() if key}


def _check_weights(weights: Mapping[str, float]) -> None:
    unknown = sorted(set(weights) - set(COUNTS))
    if unknown or not all(weight >= 0 and math.isfinite(weight) for weight in weights.values()):
        known = ", ".join(COUNTS)
        raise EquimeError(f"expected weights of at least 0 for {known}, got {weights = }; correct it")


@dataclass(frozen=True)
class _Pooled:
    """Weighted counts of one emotion over the sets, with the prototype's clips where they are few."""

    clips: float
    counts: Mapping[tuple[int, ...], float]
    prototype: tuple[int, ...]

    @classmethod
    def of(cls, emotion: str, weights: Mapping[str, float]) -> _Pooled:
        clips = 0.0
        counts: Counter[tuple[int, ...]] = Counter()
        for name, weight in weights.items():
            table = COUNTS[name].get(emotion)
            if table is None or not weight:
                continue
            clips += weight * table.n
            counts.update({(au,): weight * count for au, count in table.au.items()})
            counts.update({pair: weight * count for pair, count in table.pairs.items()})
        if not clips:
            raise EquimeError(f"expected a set with clips of {emotion}, got {weights = }; weigh samm")
        return cls(clips, counts, PROTOTYPES[emotion] if clips < THIN_CLIPS else ())

    @property
    def prior_clips(self) -> float:
        return PRIOR_CLIPS if self.prototype else 0.0

    @property
    def units(self) -> list[int]:
        return sorted({key[0] for key in self.counts if len(key) == 1} | set(self.prototype))

    def chance(self, *units: int) -> float:
        """Smoothed probability that a clip holds the unit, or both units of a strong pair."""
        coded = all((au,) in self.counts for au in units)
        count = self.counts.get(units, 0.0) + (0.5 if coded else 0.0)
        if set(self.prototype).issuperset(units):
            share = 1.0 if len(units) == 1 else _together(*units)
            count += share * self.prior_clips * UNITS_A_CLIP / len(self.prototype)
        return count / (self.clips + 1.0 + self.prior_clips)


def _together(first: int, second: int) -> float:
    """Clips with both units over clips with the rarer one, in all emotions of CASME II and SAMM."""
    tables = [table for name in ("casme2", "samm") for table in COUNTS[name].values()]
    both = sum(table.pairs.get((first, second), 0) for table in tables)
    rarer = sum(min(table.au.get(first, 0), table.au.get(second, 0)) for table in tables)
    return both / rarer


def fit_units(emotion: str, weights: Mapping[str, float], shown: frozenset[int]) -> UnitModel:
    """Fit one emotion's units from `equime.au_counts`.

    Counts are pooled over the sets by weight and each coded unit gets a Beta(1/2, 1/2) prior:
    P = (k + 1/2) / (n + 1). Under `THIN_CLIPS` clips (with the default weights: fear 8, sadness 6), `PRIOR_CLIPS`
    clips of the EMFACS prototype, holding `UNITS_A_CLIP` units each, are added. Strong pairs keep their pooled joint
    frequency. Blocks are then scaled so that these are the marginals *given at least one unit*; units that are not
    `shown` are summed out, and what is left is conditioned on at least one unit again.

    Raises:
        EquimeError: unknown sets, negative weights, no clips of the emotion, or no unit of it that is shown.
    """
    _check_weights(weights)
    pooled = _Pooled.of(emotion, weights)
    blocks = _blocks(pooled)
    factor = _factor(blocks)
    kept = [block.scaled(factor).restricted(shown) for block in blocks]
    marks = {key[0]: count / pooled.clips for key, count in pooled.counts.items() if len(key) == 1}
    if not any(block.units for block in kept):
        can_show = sorted(shown)
        raise EquimeError(f"expected a unit of {emotion} that can be shown, got {can_show = }; add one")
    return UnitModel(
        blocks=tuple(block for block in kept if block.units),
        dropped={au: mark for au, mark in sorted(marks.items()) if au not in shown},
        kept=math.fsum(mark for au, mark in marks.items() if au in shown),
        prior_share=pooled.prior_clips / (pooled.clips + pooled.prior_clips),
    )


def _blocks(pooled: _Pooled) -> list[Block]:
    """Strong pairs of which both units occur, and every other unit alone."""
    pairs = [pair for pair in STRONG_PAIRS if set(pair).issubset(pooled.units)]
    paired = {au for pair in pairs for au in pair}
    blocks = [Block((au,), {(au,): pooled.chance(au)}) for au in pooled.units if au not in paired]
    for pair in pairs:
        one, two, both = pooled.chance(pair[0]), pooled.chance(pair[1]), pooled.chance(*pair)
        chances = {pair: both, pair[:1]: one - both, pair[1:]: two - both}
        blocks.append(Block(pair, chances))
    return sorted(blocks, key=lambda block: block.units)


def _factor(blocks: Sequence[Block]) -> float:
    """The c at which blocks scaled by c have their given chances, given that at least one acts.

    That is the positive root of c = 1 - prod(1 - c * active), found by bisection: the right side is
    concave in c and starts with slope sum(active), which is above 1 wherever every clip has a unit.
    Should it not be, c goes to 0 and exactly one block acts, each in proportion to its chance.
    """
    low, high = 1e-9, 1.0
    for _ in range(100):
        middle = (low + high) / 2
        some = -math.expm1(math.fsum(math.log1p(-middle * block.active) for block in blocks))
        low, high = (middle, high) if some > middle else (low, middle)
    return low
