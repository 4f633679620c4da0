"""In what manner units act: intensity letters and sides, fitted from the marks of coders.

Why apart: intensity and side are two mechanisms of the causal model (`equime.causal`). Where a user's own clips carry
such marks, an emotion's shares are drawn towards those of all its clips, and these towards the packaged tables', by
`PRIOR_MARKS` marks: few marks change little, many decide.

    Sides.of_tables().one_sided[12]          # chance that a lip corner puller acts on one side
"""

from __future__ import annotations

import math
from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from equime.action_units import INTENSITIES, ActionUnit
from equime.au_counts import COUNTS, INTENSITY_MARKS, SIDE_MARKS, SIDED_UNITS
from equime.errors import EquimeError

SIDED_SHARE = 0.8
"""Share of side marks that `SIDED_UNITS` carry. An assumption for the sources' "mostly"."""
PAIRED_UNITS: frozenset[int] = SIDED_UNITS | {1, 4, 5, 6, 7, 9, 15, 20}
"""Units that can act on one side: the others act on the midline."""
INTENSITY_CAPS: Mapping[int, str] = {25: "C", 26: "C", 43: "C"}
"""Strongest letter of the units whose stronger degrees show a mouth's inside or a closed eye."""
PRIOR_MARKS = 20.0
"""Weight, in marks, of what is known from elsewhere."""

Marks = Sequence[ActionUnit]


def shrunk(count: float, of: float, prior: float) -> float:
    """The share `count / of`, drawn towards `prior` by `PRIOR_MARKS` marks."""
    return (count + PRIOR_MARKS * prior) / (of + PRIOR_MARKS)


@dataclass(frozen=True)
class Intensities:
    """Letter -> share, independent of the other units; a unit's cap scales the letters up to it to sum to 1."""

    shares: Mapping[str, float]

    @classmethod
    def of_tables(cls) -> Intensities:
        """The shares of SAMM's letters (CASME II has none)."""
        total = sum(INTENSITY_MARKS.values())
        return cls({letter: INTENSITY_MARKS[letter] / total for letter in INTENSITIES})

    def towards(self, marks: Marks) -> Intensities:
        """These shares moved towards the letters of `marks`; without a letter among them, these."""
        counts = Counter(unit.intensity for unit in marks if unit.intensity)
        return Intensities({letter: shrunk(counts[letter], counts.total(), p) for letter, p in self.shares.items()})

    def letter(self, cap: str, uniform: float) -> str:
        """Inverse of the cumulated shares of the letters up to `cap`, for a number in [0, 1)."""
        letters = INTENSITIES[: INTENSITIES.index(cap) + 1]
        steps = list(accumulate(self.shares[letter] for letter in letters))
        return letters[min(bisect(steps, uniform * steps[-1]), len(letters) - 1)]

    def to_dict(self) -> dict[str, float]:
        """Letter -> share."""
        return dict(self.shares)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Intensities:
        """The inverse of `to_dict`; raises `EquimeError` where it holds no distribution over A to E."""
        shares = {letter: float(value[letter]) for letter in INTENSITIES}
        fair = all(0 <= share <= 1 for share in shares.values()) and math.isclose(math.fsum(shares.values()), 1.0)
        if not fair or len(value) != len(shares) or not shares["A"]:
            raise EquimeError(f"expected shares of A to E that sum to 1, with some of A, got {value = }; fit it again")
        return cls(shares)


@dataclass(frozen=True)
class Sides:
    """Which units act on one side, and on which.

    Attributes:
        one_sided: unit -> chance that it acts on one side only; a unit not named acts on both, or on the midline.
        left: chance that the one side, the same for all one-sided units of a clip, is the subject's left.
    """

    one_sided: Mapping[int, float]
    left: float

    @classmethod
    def of_tables(cls) -> Sides:
        """From the clips with a side mark in CASME II and SAMM.

        `SIDED_UNITS` share `SIDED_SHARE` of the marks over their own occurrences, the other units that
        exist on two sides share the rest over theirs.
        """
        left = sum(marks["L"] for marks in SIDE_MARKS.values())
        marked = left + sum(marks["R"] for marks in SIDE_MARKS.values())
        coded: Counter[int] = Counter()
        for name in SIDE_MARKS:
            for table in COUNTS[name].values():
                coded.update(table.au)
        others = PAIRED_UNITS - SIDED_UNITS
        often = SIDED_SHARE * marked / sum(coded[au] for au in SIDED_UNITS)
        seldom = (1.0 - SIDED_SHARE) * marked / sum(coded[au] for au in others)
        chances = {**dict.fromkeys(sorted(SIDED_UNITS), often), **dict.fromkeys(sorted(others), seldom)}
        return cls(chances, left / marked)

    def towards(self, marks: Marks) -> Sides:
        """These chances moved towards the sides of `marks`."""
        coded = Counter(unit.au for unit in marks)
        sided = Counter(unit.au for unit in marks if unit.side != "B")
        sides = Counter(unit.side for unit in marks)
        chances = {au: shrunk(sided[au], coded[au], chance) for au, chance in self.one_sided.items()}
        return Sides(chances, shrunk(sides["L"], sides["L"] + sides["R"], self.left))

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {"one_sided": {str(au): chance for au, chance in self.one_sided.items()}, "left": self.left}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Sides:
        """The inverse of `to_dict`; raises `EquimeError` where a chance is none or a unit acts on the midline."""
        sides = cls({int(au): float(chance) for au, chance in value["one_sided"].items()}, float(value["left"]))
        fair = all(0 <= chance <= 1 for chance in (*sides.one_sided.values(), sides.left))
        if not fair or not PAIRED_UNITS.issuperset(sides.one_sided):
            raise EquimeError(f"expected chances of units {sorted(PAIRED_UNITS)}, got {value = }; fit it again")
        return sides


def fit_manner(clips: Mapping[str, Iterable[Marks]], weight: float) -> tuple[dict[str, Intensities], dict[str, Sides]]:
    """Intensities and sides of each emotion, drawn towards those of all clips, and these towards the tables'.

    Args:
        clips: emotion -> the units of each of its clips.
        weight: 0 takes the tables alone.
    """
    units = {emotion: [unit for clip in found for unit in clip] for emotion, found in clips.items()}
    every = [unit for found in units.values() for unit in found]
    letters, sides = Intensities.of_tables(), Sides.of_tables()
    has_letters = weight > 0 and any(unit.intensity for unit in every)
    has_sides = weight > 0 and any(unit.side != "B" for unit in every)
    own_letters = letters.towards(every) if has_letters else letters
    own_sides = sides.towards(every) if has_sides else sides
    return (
        {e: own_letters.towards(found) if has_letters else letters for e, found in units.items()},
        {e: own_sides.towards(found) if has_sides else sides for e, found in units.items()},
    )
