"""The causal model behind every clip: emotion -> action units -> intensity, side, times.

What: `EmotionModel` draws a `Programme` (units with side and intensity, onset, apex, offset) for an
emotion; `noise` and `seed_of` give every mechanism its own named, seeded noise.
Why: the units of a clip follow coded real clips and nothing else. Who is shown never enters here: the
demographics act through the source face alone, so they are independent of emotion and units by
construction. Each mechanism is one method with one named noise, so a mechanism can be replaced while
the noise of all others stays what it was.

    python -c "from equime.causal import EmotionModel; print(EmotionModel.from_tables().dropped_share())"

Fitted, not typed in: all probabilities are computed from `equime.au_counts`.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np

from equime import schema
from equime.action_units import FACS, INTENSITIES, ActionUnit, Side
from equime.au_counts import (
    COUNTS,
    DURATION_MS,
    INTENSITY_MARKS,
    ONSET_TO_APEX_MS,
    SIDE_MARKS,
    SIDED_UNITS,
    Quantiles,
)
from equime.errors import EquimeError
from equime.unit_model import NEVER, WEIGHTS, UnitModel, fit_units

EMOTIONS = (*schema.EMOTIONS, schema.DISGUST)
"""The emotions that the tables can be fitted for."""
APEX_MS = (1500.0, 4500.0)
"""Where in a clip of 6 s the apex may lie, so that neutral frames precede and follow."""
MAX_DURATION_MS = 500.0
MAX_ONSET_TO_APEX_MS = 260.0
"""Limits of a micro-expression (Yan et al. 2013)."""
MIN_GAP_MS = 1000.0 / schema.FPS
"""Least time from onset to apex and from apex to offset: one frame, so that the three frames differ."""
TIME_CORRELATION = 0.5
"""Of the copula of duration and onset-to-apex. An assumption: the summaries do not give it."""
SIDED_SHARE = 0.8
"""Share of side marks that `SIDED_UNITS` carry. An assumption for the sources' "mostly"."""
PAIRED_UNITS: frozenset[int] = SIDED_UNITS | {1, 4, 5, 6, 7, 9, 15, 20}
"""Units that can act on one side: the others act on the midline."""
INTENSITY_CAPS: Mapping[int, str] = {25: "C", 26: "C", 43: "C"}
"""Strongest letter of the units whose stronger degrees show a mouth's inside or a closed eye."""

Noise = Callable[[str], np.random.Generator]


def seed_of(plan_seed: int, noise_key: str) -> int:
    """Seed of a clip: the first 63 bits of sha256 over the plan's seed and the noise key."""
    digest = hashlib.sha256(f"{plan_seed}\0{noise_key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def noise(seed: int, name: str) -> np.random.Generator:
    """Generator of one named source of noise: Philox keyed by the first 128 bits of sha256(seed, name).

    Generators of two names are independent; nothing depends on the order in which they are made.
    """
    digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "big")))


@dataclass(frozen=True)
class Programme:
    """What one clip shall show; times in ms from the clip's start, at 10 % of the peak displacement."""

    units: tuple[ActionUnit, ...]
    onset_ms: float
    apex_ms: float
    offset_ms: float


@dataclass(frozen=True)
class LogNormal:
    """A log-normal time in ms, cut off at `upper`."""

    mean: float
    deviation: float
    upper: float

    @classmethod
    def fit(cls, rows: Iterable[Quantiles], upper: float, cut: bool) -> LogNormal:
        """Least squares on log quantiles, each set weighted by its clips.

        Args:
            rows: quantiles of the sets.
            upper: the largest time drawn, in ms.
            cut: True where the sets themselves end at `upper`: their p5, p25, ... are then quantiles of
                the cut distribution, and p95, at the cut, is left out.
        """
        rows = list(rows)
        weights = np.sqrt(np.repeat([row.n for row in rows], 4 if cut else 5))
        logs = np.log([value for row in rows for value in row[1 : 5 if cut else 6]])
        levels = np.tile((0.05, 0.25, 0.5, 0.75, 0.95)[: 4 if cut else 5], len(rows))
        below = 1.0
        for _ in range(200 if cut else 1):
            scores = [NormalDist().inv_cdf(level * below) for level in levels]
            design = np.column_stack((np.ones(len(scores)), scores)) * weights[:, None]
            mean, deviation = np.linalg.lstsq(design, logs * weights, rcond=None)[0]
            below = NormalDist(float(mean), float(deviation)).cdf(math.log(upper))
        return cls(float(mean), float(deviation), upper)

    @cached_property
    def below(self) -> float:
        """Share of the uncut distribution that the cut leaves."""
        return NormalDist(self.mean, self.deviation).cdf(math.log(self.upper))

    def quantile(self, level: float) -> float:
        """The time in ms below which a share `level`, in (0, 1), of the cut distribution lies."""
        return math.exp(NormalDist(self.mean, self.deviation).inv_cdf(level * self.below))


@dataclass(frozen=True)
class EmotionModel:
    """Emotion -> units -> intensity, side and times, for a fixed set of units that can be shown.

    Attributes:
        units: emotion -> distribution of its units.
        intensities: letter -> share.
        caps: unit -> strongest letter; the shares of the letters up to it are scaled to sum to 1.
        one_sided: unit -> chance that it acts on one side only.
        left: chance that the one side is the subject's left.
        duration, onset_to_apex: the times.
    """

    units: Mapping[str, UnitModel]
    intensities: Mapping[str, float]
    caps: Mapping[int, str]
    one_sided: Mapping[int, float]
    left: float
    duration: LogNormal
    onset_to_apex: LogNormal

    @classmethod
    def from_tables(
        cls,
        weights: Mapping[str, float] = WEIGHTS,
        can_show: Collection[int] | None = None,
        never: Collection[int] = NEVER,
        caps: Mapping[int, str] = INTENSITY_CAPS,
    ) -> EmotionModel:
        """Fit from `equime.au_counts`.

        Units as `equime.unit_model.fit_units` says; the rest as each attribute says.

        Args:
            weights: set -> weight of one of its clips; sets not named weigh 0.
            can_show: units that the generator can show; None is all that `never` leaves.
            never: units not sampled whatever the generator says.
            caps: unit -> strongest intensity letter.

        Raises:
            EquimeError: unknown sets or units, negative weights, no clips for an emotion, or an emotion
                of whose units none can be shown.
        """
        shown = frozenset(FACS if can_show is None else can_show) - frozenset(never)
        return cls(
            units={emotion: fit_units(emotion, weights, shown) for emotion in EMOTIONS},
            intensities=_shares(INTENSITY_MARKS),
            caps=dict(caps),
            one_sided=_one_sided(),
            left=_left_share(),
            duration=LogNormal.fit(_timed(DURATION_MS), MAX_DURATION_MS, cut=True),
            onset_to_apex=LogNormal.fit(_timed(ONSET_TO_APEX_MS), MAX_ONSET_TO_APEX_MS, cut=False),
        )

    def dropped_share(self, emotions: Sequence[str] = schema.EMOTIONS) -> dict[str, float]:
        """Share of the tables' unit marks that are never sampled, 0 to 1.

        Per emotion, and "overall" for a data set that has each of `emotions` equally often; the units
        and their marks a clip are in ``units[emotion].dropped``.
        """
        lost = {emotion: math.fsum(self.units[emotion].dropped.values()) for emotion in emotions}
        total = {emotion: lost[emotion] + self.units[emotion].kept for emotion in emotions}
        shares = {emotion: lost[emotion] / total[emotion] for emotion in emotions}
        return {**shares, "overall": math.fsum(lost.values()) / math.fsum(total.values())}

    def sample(self, emotion: str, noise: Noise) -> Programme:
        """Draw what a clip shall show.

        Args:
            emotion: one of `EMOTIONS`.
            noise: name -> generator, asked once each for "units", "intensity", "side" and "times"; the
                same generators give the same programme.

        Raises:
            EquimeError: the emotion is unknown.
        """
        if emotion not in self.units:
            known = ", ".join(self.units)
            raise EquimeError(f"expected an emotion among {known}, got {emotion = }; correct it")
        numbers = self.draw_units(emotion, noise("units"))
        letters = self.draw_intensities(numbers, noise("intensity"))
        sides = self.draw_sides(numbers, noise("side"))
        onset, apex, offset = self.draw_times(noise("times"))
        units = tuple(map(ActionUnit, numbers, sides, letters))
        return Programme(tuple(sorted(units)), onset, apex, offset)

    def draw_units(self, emotion: str, rng: np.random.Generator) -> tuple[int, ...]:
        """Unit numbers given the emotion; at least one."""
        return self.units[emotion].draw(rng.random(max(FACS) + 1).tolist())

    def draw_intensities(self, units: Sequence[int], rng: np.random.Generator) -> list[str]:
        """A letter a unit, independent of emotion and of the other units."""
        uniforms = rng.random(max(FACS) + 1)
        return [_letter(self.intensities, self.caps.get(au, "E"), uniforms[au]) for au in units]

    def draw_sides(self, units: Sequence[int], rng: np.random.Generator) -> list[Side]:
        """A side a unit: the one-sided units of a clip act on the same side."""
        uniforms = rng.random(max(FACS) + 1)
        side: Side = "L" if uniforms[0] < self.left else "R"
        return [side if uniforms[au] < self.one_sided.get(au, 0.0) else "B" for au in units]

    def draw_times(self, rng: np.random.Generator) -> tuple[float, float, float]:
        """Onset, apex, offset in ms.

        Duration and onset-to-apex each follow their cut log-normal, tied by a Gaussian copula, drawn
        again where the apex would come within a frame of onset or offset.
        """
        apex = APEX_MS[0] + (APEX_MS[1] - APEX_MS[0]) * rng.random()
        normal = NormalDist()
        while True:
            level, other = np.clip(rng.random(2), 1e-12, 1.0 - 1e-12).tolist()
            score = TIME_CORRELATION * normal.inv_cdf(level)
            score += math.sqrt(1.0 - TIME_CORRELATION**2) * normal.inv_cdf(other)
            rise = self.onset_to_apex.quantile(level)
            duration = self.duration.quantile(normal.cdf(score))
            if min(rise, duration - rise) >= MIN_GAP_MS:
                return apex - rise, apex, apex - rise + duration


def _shares(counts: Mapping[str, int]) -> dict[str, float]:
    total = sum(counts.values())
    return {key: count / total for key, count in counts.items()}


def _letter(shares: Mapping[str, float], cap: str, uniform: float) -> str:
    """Inverse of the cumulated shares of the letters up to `cap`."""
    letters = INTENSITIES[: INTENSITIES.index(cap) + 1]
    left = uniform * math.fsum(shares[letter] for letter in letters)
    for letter in letters:
        left -= shares[letter]
        if left < 0:
            return letter
    return letters[-1]


def _one_sided() -> dict[int, float]:
    """Chance that a unit acts on one side, from the clips with a side mark in CASME II and SAMM.

    `SIDED_UNITS` share `SIDED_SHARE` of the marks over their own occurrences, the other units that
    exist on two sides share the rest over theirs.
    """
    marked = sum(marks["L"] + marks["R"] for marks in SIDE_MARKS.values())
    coded: Counter[int] = Counter()
    for name in SIDE_MARKS:
        for table in COUNTS[name].values():
            coded.update(table.au)
    others = PAIRED_UNITS - SIDED_UNITS
    often = SIDED_SHARE * marked / sum(coded[au] for au in SIDED_UNITS)
    seldom = (1.0 - SIDED_SHARE) * marked / sum(coded[au] for au in others)
    return {**dict.fromkeys(sorted(SIDED_UNITS), often), **dict.fromkeys(sorted(others), seldom)}


def _left_share() -> float:
    left = sum(marks["L"] for marks in SIDE_MARKS.values())
    return left / (left + sum(marks["R"] for marks in SIDE_MARKS.values()))


def _timed(table: Mapping[str, Quantiles]) -> list[Quantiles]:
    """CASME II and SAMM: filmed at 200 fps, with tight offsets."""
    return [table[name] for name in ("casme2", "samm")]
