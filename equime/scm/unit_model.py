"""Which action units an emotion shows: P(units | emotion), as blocks of units that depend on each other.

Units of different blocks are independent, and every clip has at least one unit: conditioned exactly, not by adding
a unit where none was drawn. `equime.scm.unit_fit` fits the blocks from counts; this module draws and answers.

    EmotionModel.from_tables().units["fear"].distribution()
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

from equime.action_units import FACS
from equime.errors import EquimeError

Outcome = tuple[int, ...]

NEVER: frozenset[int] = frozenset({8, 13, 21, 22, 28, 31, 38, 39, 43, 56, 61})
"""Units of the tables that are not sampled: no generator shows them, and an eye closure (43) that lasts
under 500 ms is a blink."""
PROTOTYPE = "EMFACS prototype"
"""What fills in where an emotion has few clips; named beside the sets in `UnitModel.evidence`."""


@dataclass(frozen=True)
class Block:
    """Units that depend on each other within an emotion, before "at least one unit" is asked for.

    Attributes:
        units: their numbers, rising.
        chances: for each non-empty outcome (those of `units` that act) its probability; what is missing
            to 1 is the chance that none acts.
    """

    units: Outcome
    chances: Mapping[Outcome, float]

    @property
    def active(self) -> float:
        """Chance that at least one of the units acts."""
        return math.fsum(self.chances.values())

    @property
    def whole(self) -> dict[Outcome, float]:
        """Every outcome with its probability, also that none acts."""
        return {(): 1.0 - self.active, **self.chances}

    def chance(self, *units: int) -> float:
        """Probability that all of `units` act."""
        return math.fsum(chance for outcome, chance in self.chances.items() if set(units).issubset(outcome))

    def scaled(self, factor: float) -> Block:
        """The block with every outcome `factor` times as likely."""
        return Block(self.units, {key: factor * chance for key, chance in self.chances.items()})

    def restricted(self, shown: Collection[int]) -> Block:
        """The block of those units alone that are in `shown`: the others summed out."""
        chances: dict[Outcome, float] = {}
        for key, chance in self.chances.items():
            kept = tuple(au for au in key if au in shown)
            if kept:
                chances[kept] = chances.get(kept, 0.0) + chance
        return Block(tuple(au for au in self.units if au in shown), chances)


class _Step(NamedTuple):
    """One unit of the drawing: its chance given what acts of its block, and while nothing acts anywhere."""

    au: int
    first: bool
    given: Mapping[Outcome, float]
    alone: float


@dataclass(frozen=True)
class UnitModel:
    """P(units | emotion): independent blocks, conditioned exactly on at least one unit.

    Attributes:
        blocks: in the order of their first units.
        marks: unit -> how often it is coded in a clip of the emotion, also for units that are not in `blocks`.
        evidence: set (or `PROTOTYPE`) -> weighted clips that the fit rests on.
    """

    blocks: tuple[Block, ...]
    marks: Mapping[int, float]
    evidence: Mapping[str, float]

    @property
    def units(self) -> frozenset[int]:
        """The units that can be drawn."""
        return frozenset(au for block in self.blocks for au in block.units)

    @property
    def dropped(self) -> dict[int, float]:
        """Marks a coded clip of the units that the sets have and this model has not."""
        return {au: mark for au, mark in sorted(self.marks.items()) if au not in self.units}

    @property
    def kept(self) -> float:
        """Marks a coded clip of all units it has."""
        return math.fsum(mark for au, mark in self.marks.items() if au in self.units)

    @property
    def shares(self) -> dict[str, float]:
        """Share of each set, and of the EMFACS prototype, in the fit; they sum to 1."""
        total = math.fsum(self.evidence.values())
        return {name: clips / total for name, clips in self.evidence.items()}

    @property
    def prior_share(self) -> float:
        """Weight of the EMFACS prototype in the fit, 0 to 1."""
        return self.shares.get(PROTOTYPE, 0.0)

    @property
    def mean(self) -> float:
        """Units a clip, on average."""
        return math.fsum(self.chance(au) for au in self.units)

    def chance(self, *units: int) -> float:
        """Probability that a clip shows all of `units`, whatever else it shows."""
        parts = ([au for au in units if au in block.units] for block in self.blocks)
        found = [block.chance(*part) for block, part in zip(self.blocks, parts, strict=True) if part]
        return math.prod(found) / self.some if units and self.units.issuperset(units) else 0.0

    def log_odds_ratio(self, first: int, second: int) -> float:
        """Of two units of one block, before "at least one unit" is asked for: 0 where they are independent.

        The other units of the block are summed out. Units of two blocks are independent.
        """
        block = next((block for block in self.blocks if {first, second}.issubset(block.units)), None)
        if block is None:
            return 0.0
        both, one, two = block.chance(first, second), block.chance(first), block.chance(second)
        cells = both, 1.0 - one - two + both, one - both, two - both
        return math.log(cells[0] * cells[1] / (cells[2] * cells[3])) if min(cells) > 0 else math.inf

    def showing(self, shown: Collection[int]) -> UnitModel:
        """The model of those units alone that are in `shown`: the others summed out, then at least one asked for.

        Raises:
            EquimeError: None of its units is shown.
        """
        blocks = tuple(block.restricted(shown) for block in self.blocks)
        if not any(block.units for block in blocks):
            can_show = sorted(shown)
            raise EquimeError(f"expected one of the units {sorted(self.units)}, got {can_show = }; add one")
        return replace(self, blocks=tuple(block for block in blocks if block.units))

    @cached_property
    def some(self) -> float:
        """Chance that a unit acts before at least one is asked for."""
        return 1.0 - math.prod(1.0 - block.active for block in self.blocks)

    @cached_property
    def _steps(self) -> tuple[_Step, ...]:
        steps: list[_Step] = []
        silent = 1.0
        for block in reversed(self.blocks):
            steps = [*_steps(block, silent), *steps]
            silent *= 1.0 - block.active
        return (*steps[:-1], steps[-1]._replace(alone=1.0))

    def draw(self, uniforms: Sequence[float]) -> Outcome:
        """Units of one clip, in rising order.

        Args:
            uniforms: numbers in [0, 1) indexed by unit number. A unit acts where its own number lies under its
                chance given the units before it, so the same noise gives two emotions the units that both favour.
        """
        units: list[int] = []
        acting: Outcome = ()
        for au, first, given, alone in self._steps:
            if first:
                acting = ()
            if uniforms[au] < (given[acting] if units else alone):
                units.append(au)
                acting = (*acting, au)
        return tuple(sorted(units))

    def distribution(self, least: float = 0.0) -> dict[Outcome, float]:
        """Every set of units (sorted numbers) with its exact probability; they sum to 1.

        Args:
            least: leave out what is less likely, for models of many units.
        """
        table: dict[Outcome, float] = {(): 1.0}
        for block in self.blocks:
            outcomes = list(block.whole.items())
            products = ((key + other, p * q) for key, p in table.items() for other, q in outcomes)
            table = {key: chance for key, chance in products if chance / self.some >= least}
        return {tuple(sorted(key)): chance / self.some for key, chance in table.items() if key and chance > 0}

    def exactly(self, units: Outcome) -> float:
        """Probability that a clip shows these units (rising) and no others."""
        if not units or not self.units.issuperset(units):
            return 0.0
        parts = (tuple(au for au in units if au in block.units) for block in self.blocks)
        found = (block.whole.get(part, 0.0) for block, part in zip(self.blocks, parts, strict=True))
        return math.prod(found) / self.some

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it: outcomes are written "4+7"."""
        return {
            "blocks": [
                {"units": list(block.units), "chances": {_text(key): p for key, p in block.chances.items()}}
                for block in self.blocks
            ],
            "marks": {str(au): mark for au, mark in self.marks.items()},
            "evidence": dict(self.evidence),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> UnitModel:
        """The inverse of `to_dict`; raises `EquimeError` where it holds no distribution over FACS units."""
        blocks = tuple(_block(block) for block in value["blocks"])
        units = [au for block in blocks for au in block.units]
        if not units or len(set(units)) < len(units) or not set(units).issubset(FACS):
            raise EquimeError(f"expected FACS units, each in one block, got {units = }; fit it again")
        marks = {int(au): float(mark) for au, mark in value["marks"].items()}
        evidence = {str(name): float(clips) for name, clips in value["evidence"].items()}
        least = min([*marks.values(), *evidence.values()], default=-1.0)
        if not (
            least >= 0
            and math.isfinite(math.fsum([*marks.values(), *evidence.values()]))
            and sum(evidence.values()) > 0
        ):
            raise EquimeError(f"expected marks and evidence of at least 0, got {marks = }, {evidence = }; fit it again")
        return cls(blocks, marks, evidence)


class Borrowed(NamedTuple):
    """What an emotion takes from where.

    Attributes:
        lacking: sets that other emotions of the model rest on, and this one does not.
        shares: set, or EMFACS prototype, -> its share in the fit.
    """

    lacking: tuple[str, ...]
    shares: Mapping[str, float]

    def __str__(self) -> str:
        """Such as "samm 67%, EMFACS prototype 33%, nothing from casme2"."""
        shares = ", ".join(f"{name} {share:.0%}" for name, share in self.shares.items())
        return f"{shares}, nothing from {' and '.join(self.lacking)}" if self.lacking else shares


def borrowed(units: Mapping[str, UnitModel]) -> dict[str, Borrowed]:
    """The emotions that some set of a model lacks, or that prototypes fill in: what they rest on instead."""
    sets = dict.fromkeys(name for model in units.values() for name in model.evidence if name != PROTOTYPE)
    found = {
        emotion: Borrowed(tuple(name for name in sets if name not in model.evidence), model.shares)
        for emotion, model in units.items()
    }
    return {emotion: one for emotion, one in found.items() if one.lacking or PROTOTYPE in one.shares}


def _text(outcome: Outcome) -> str:
    return "+".join(map(str, outcome))


def _block(value: Mapping[str, Any]) -> Block:
    units = tuple(int(au) for au in value["units"])
    chances = {tuple(map(int, key.split("+"))): float(p) for key, p in value["chances"].items()}
    block = Block(units, chances)
    rising = all(key == tuple(au for au in units if au in key) for key in chances)
    if not (rising and units == tuple(sorted(units)) and chances and all(0 <= p <= 1 for p in chances.values())):
        raise EquimeError(f"expected probabilities of outcomes of {units = }, got {chances = }; fit it again")
    if not 0 < block.active < 1:
        raise EquimeError(f"expected {units = } to act with a chance above 0 and below 1, got {chances = }")
    return block


def _steps(block: Block, silent: float) -> list[_Step]:
    """The units of a block in order; `silent` is the chance that no later block acts."""
    steps = []
    none = 1.0 - block.active
    for index, au in enumerate(block.units):
        mass: dict[Outcome, list[float]] = {}
        for outcome, chance in block.whole.items():
            before = tuple(unit for unit in outcome if unit in block.units[:index])
            pair = mass.setdefault(before, [0.0, 0.0])
            pair[au in outcome] += chance
        given = {before: acts / (acts + rests) if acts else 0.0 for before, (rests, acts) in mass.items()}
        rests, acts = mass[()]
        alone = acts / (acts + rests - none * silent) if acts else 0.0
        steps.append(_Step(au, index == 0, given, alone))
    return steps
