"""When an expression begins, peaks and ends: log-normal times, cut off where a micro-expression ends.

Why apart: the times of a clip are one mechanism of the causal model (`equime.causal`), fitted here from the
quantiles of the coded sets and drawn from its own named noise.

    Times.fit(duration_rows, rise_rows).draw(np.random.default_rng(0))     # onset, apex, offset in ms
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from statistics import NormalDist
from typing import Any

import numpy as np

from equime import schema
from equime.au_counts import DURATION_MS, ONSET_TO_APEX_MS, Quantiles
from equime.errors import EquimeError

APEX_MS = (1500.0, 4500.0)
"""Where in a clip of 6 s the apex may lie, so that neutral frames precede and follow."""
MAX_DURATION_MS = 500.0
MAX_ONSET_TO_APEX_MS = 260.0
"""Limits of a micro-expression (Yan et al. 2013)."""
MIN_GAP_MS = 1000.0 / schema.FPS
"""Least time from onset to apex and from apex to offset: one frame, so that the three frames differ."""
TIME_CORRELATION = 0.5
"""Of the copula of duration and onset-to-apex. An assumption: the summaries do not give it."""
TIMED = ("casme2", "samm")
"""The sets whose times are used: filmed at 200 fps, with tight offsets. CAS(ME)3 has 30 fps and loose offsets."""
PRIOR_CLIPS = 20.0
"""Weight, in clips, of what is known of a time from elsewhere."""
LEAST_CLIPS = 5
"""Fewer times of an emotion are left out of its fit."""

_NORMAL = NormalDist()
_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
_LEAST_BELOW = 0.5
"""A fit never takes more than half of its distribution to lie beyond the cut: further out it is not determined."""


def quantiles_of(times: Iterable[float], clips: float | None = None) -> Quantiles:
    """The five quantiles and the mean of times in ms, as the packaged tables hold them.

    Args:
        times: At least one.
        clips: What they weigh in a fit; None is their number.
    """
    found = np.fromiter(times, float)
    weight = float(len(found)) if clips is None else clips
    return Quantiles._make([weight, *np.quantile(found, _LEVELS).tolist(), float(found.mean())])


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
            rows: Quantiles of the sets.
            upper: The largest time drawn, in ms.
            cut: True where the sets themselves end at `upper`: their p5, p25, ... are then quantiles of
                the cut distribution, and p95, at the cut, is left out.
        """
        rows = list(rows)
        count = 4 if cut else 5
        weights = np.sqrt(np.repeat([row.n for row in rows], count))
        logs = np.log([value for row in rows for value in row[1 : count + 1]])
        levels = np.tile(_LEVELS[:count], len(rows))
        below = 1.0
        for _ in range(200 if cut else 1):
            scores = [_NORMAL.inv_cdf(level * below) for level in levels]
            design = np.column_stack((np.ones(len(scores)), scores)) * weights[:, None]
            mean, deviation = np.linalg.lstsq(design, logs * weights, rcond=None)[0]
            below = max(NormalDist(float(mean), float(deviation)).cdf(math.log(upper)), _LEAST_BELOW)
        return cls(float(mean), float(deviation), upper)

    @cached_property
    def below(self) -> float:
        """Share of the uncut distribution that the cut leaves."""
        return NormalDist(self.mean, self.deviation).cdf(math.log(self.upper))

    def quantile(self, level: float) -> float:
        """The time in ms below which a share `level`, in (0, 1), of the cut distribution lies."""
        return math.exp(self.mean + self.deviation * _NORMAL.inv_cdf(level * self.below))


@dataclass(frozen=True)
class Times:
    """Duration (onset to offset) and onset-to-apex of an emotion's clips.

    Raises:
        EquimeError: The middle times leave no frame before or after the apex, so that drawing might not end.
    """

    duration: LogNormal
    onset_to_apex: LogNormal

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        duration, rise = self.duration.quantile(0.5), self.onset_to_apex.quantile(0.5)
        if not MIN_GAP_MS <= rise <= duration - MIN_GAP_MS:
            raise EquimeError(
                f"expected a median onset-to-apex from {MIN_GAP_MS:.0f} ms to a frame below the median duration, "
                f"got {rise = :.0f} and {duration = :.0f} ms; look at the times and --fps"
            )

    @classmethod
    def fit(cls, durations: Iterable[Quantiles], rises: Iterable[Quantiles]) -> Times:
        """Fit both from quantiles: of durations up to `MAX_DURATION_MS`, and of uncut onset-to-apex times."""
        return cls(
            LogNormal.fit(durations, MAX_DURATION_MS, cut=True),
            LogNormal.fit(rises, MAX_ONSET_TO_APEX_MS, cut=False),
        )

    @classmethod
    def of_tables(cls) -> Times:
        """The times of CASME II and SAMM taken together."""
        return cls.fit([DURATION_MS[name] for name in TIMED], [ONSET_TO_APEX_MS[name] for name in TIMED])

    def draw(self, rng: np.random.Generator) -> tuple[float, float, float]:
        """Onset, apex, offset in ms from the clip's start.

        Duration and onset-to-apex each follow their cut log-normal, tied by a Gaussian copula, drawn
        again where the apex would come within a frame of onset or offset.
        """
        apex = APEX_MS[0] + (APEX_MS[1] - APEX_MS[0]) * rng.random()
        while True:
            level, other = (min(max(value, 1e-12), 1.0 - 1e-12) for value in rng.random(2).tolist())
            score = TIME_CORRELATION * _NORMAL.inv_cdf(level)
            score += math.sqrt(1.0 - TIME_CORRELATION**2) * _NORMAL.inv_cdf(other)
            rise = self.onset_to_apex.quantile(level)
            duration = self.duration.quantile(_NORMAL.cdf(score))
            if min(rise, duration - rise) >= MIN_GAP_MS:
                return apex - rise, apex, apex - rise + duration

    def to_dict(self) -> dict[str, dict[str, float]]:
        """Mean and deviation of the logarithms, and the cut, by name."""
        return {"duration": asdict(self.duration), "onset_to_apex": asdict(self.onset_to_apex)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Times:
        """The inverse of `to_dict`; raises `EquimeError` on times that no micro-expression has."""
        longest = {"duration": MAX_DURATION_MS, "onset_to_apex": MAX_ONSET_TO_APEX_MS}
        return cls(**{name: _log_normal(name, value[name], upper) for name, upper in longest.items()})


def fit_times(
    durations: Mapping[str, Sequence[float]], rises: Mapping[str, Sequence[float]], weight: float
) -> dict[str, Times]:
    """Times of each emotion, drawn towards those of all clips and towards the tables', each by `PRIOR_CLIPS` clips.

    Args:
        durations: emotion -> onset to offset of its clips, in ms; those over `MAX_DURATION_MS` are left out.
        rises: emotion -> onset to apex, in ms; those of 0 are left out.
        weight: of one of these clips; 0 takes the tables alone.
    """
    usable = (
        {e: [ms for ms in found if 2 * MIN_GAP_MS <= ms <= MAX_DURATION_MS] for e, found in durations.items()},
        {e: [ms for ms in found if ms > 0] for e, found in rises.items()},
    )
    parents = [
        [
            *_scaled([table[name] for name in TIMED]),
            *_scaled(_rows([ms for some in found.values() for ms in some], weight)),
        ]
        for found, table in zip(usable, (DURATION_MS, ONSET_TO_APEX_MS), strict=True)
    ]
    found: dict[str, Times] = {}
    for emotion in durations:
        own = (_rows(times[emotion], weight) for times in usable)
        try:
            found[emotion] = Times.fit(*([*rows, *more] for rows, more in zip(parents, own, strict=True)))
        except EquimeError as error:
            raise EquimeError(f"{emotion}: {error}, or leave out the columns of times") from error
    return found


def _rows(times: Sequence[float], weight: float) -> list[Quantiles]:
    return [quantiles_of(times, weight * len(times))] if weight > 0 and len(times) >= LEAST_CLIPS else []


def _scaled(rows: Sequence[Quantiles]) -> list[Quantiles]:
    """The rows as `PRIOR_CLIPS` clips in all."""
    total = sum(row.n for row in rows)
    return [row._replace(n=PRIOR_CLIPS * row.n / total) for row in rows]


def _log_normal(name: str, value: Mapping[str, Any], longest: float) -> LogNormal:
    mean, deviation, upper = (float(value[key]) for key in ("mean", "deviation", "upper"))
    # Further out the cut leaves next to nothing of the distribution.
    if not (0 < mean <= math.log(longest) + 1 and 0 < deviation <= 2 and 2 * MIN_GAP_MS < upper <= longest):
        raise EquimeError(f"expected a log-normal {name} in ms, cut off by {longest:g}, got {value = }; fit it again")
    return LogNormal(mean, deviation, upper)
