"""How far real micro-expressions move: percentiles of the amplitudes measured on a user's own copy of a real set.

Why: no licence lets this package carry such figures, and a threshold without them would be invented. So each user
measures once, with the same measure that scores the clips, and the file says for which set and how many clips it holds.

    equime validity fit --data CASME2.csv --frames CASME2_RAW_selected --out range.json
    equime score ws --real-range range.json
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from equime.action_units import ActionUnit
from equime.errors import EquimeError

KIND = "equime real range"
VERSION = 1
LEVELS = tuple(range(0, 101, 5))
"""The percentiles kept, 0 being the smallest and 100 the largest amplitude measured."""
ENOUGH = 20
"""Clips that a programme of units needs for a distribution of its own: with fewer its 5th percentile is one clip."""
ALL = "all"


@dataclass(frozen=True)
class Amplitudes:
    """One distribution: amplitudes in eye distances at `LEVELS`, of `n` clips."""

    n: int
    percentiles: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Amplitudes:
        """The distribution of amplitudes in eye distances, at least one."""
        return cls(len(values), tuple(np.percentile(np.asarray(values, np.float64), LEVELS).tolist()))

    def at(self, level: float) -> float:
        """The amplitude, in eye distances, at a percentile of 0 to 100."""
        return float(np.interp(level, LEVELS, self.percentiles))

    def place(self, amplitude: float) -> float:
        """The percentile, 0-100, of an amplitude; linear between the levels."""
        return float(np.interp(amplitude, self.percentiles, LEVELS))


@dataclass(frozen=True)
class RealRange:
    """Amplitudes of real micro-expressions.

    Attributes:
        name: Of the set, as the user calls it.
        fps: The frame rates of its clips.
        groups: Programme of units ("4+7"), else its regions ("brow+lid"), else "all" -> their amplitudes.
        unmeasured: Clips in which nothing rose above the noise. They are in no distribution, which therefore lies
            somewhat high.
    """

    name: str
    fps: tuple[float, ...]
    groups: Mapping[str, Amplitudes]
    unmeasured: int = 0

    @property
    def n(self) -> int:
        """Clips with a measured amplitude."""
        return self.groups[ALL].n

    def percentile(self, amplitude: float, units: Iterable[ActionUnit] = ()) -> float:
        """Where an amplitude lies among real ones, 0-100.

        Args:
            amplitude: In eye distances.
            units: The clip's programme: it is compared with real clips of the same units, where there are
                `ENOUGH`, else of the same regions, else with all.
        """
        return next(self.groups[key] for key in (*keys(units), ALL) if key in self.groups).place(amplitude)

    def to_json(self) -> str:
        """The file's text."""
        groups = {key: asdict(found) for key, found in self.groups.items()}
        kept = {"name": self.name, "fps": self.fps, "unmeasured": self.unmeasured, "levels": LEVELS, "groups": groups}
        return json.dumps({"kind": KIND, "version": VERSION, **kept}, indent=1) + "\n"

    @property
    def digest(self) -> str:
        """SHA-256 of what it holds: two files of equal content are one."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @classmethod
    def load(cls, path: Path) -> RealRange:
        """Read the file of `equime validity fit`.

        Raises:
            EquimeError: No such file, or one that is not as it was written.
        """
        again = "make it with `equime validity fit --data CSV --out FILE`"
        try:
            return _read(json.loads(path.read_text(encoding="utf-8"), parse_constant=_not_finite))
        except OSError as error:
            raise EquimeError(f"cannot read {path}: {error.strerror}; {again}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:  # also damaged text and JSON
            raise EquimeError(f"expected a real range in {path}, got {_what(error)}; {again}") from error


def fit(name: str, clips: Iterable[tuple[Sequence[ActionUnit], float | None]], fps: Iterable[float]) -> RealRange:
    """The range of measured clips.

    Args:
        name: Of the set.
        clips: Each clip's coded units, and its amplitude in eye distances, None where it could not be measured.
        fps: Their frame rates.

    Raises:
        EquimeError: Fewer than `ENOUGH` clips could be measured.
    """
    by_key: dict[str, list[float]] = {ALL: []}
    unmeasured = 0
    for units, amplitude in clips:
        if amplitude is None:
            unmeasured += 1
            continue
        for key in (ALL, *keys(units)):
            by_key.setdefault(key, []).append(amplitude)
    if len(by_key[ALL]) < ENOUGH:
        raise EquimeError(
            f"expected at least {ENOUGH} clips with a measurable movement, got {len(by_key[ALL])} "
            f"({unmeasured} more show none above the noise); give more clips"
        )
    groups = {key: Amplitudes.of(values) for key, values in by_key.items() if len(values) >= ENOUGH}
    return RealRange(name, tuple(sorted(set(fps))), groups, unmeasured)


def keys(units: Iterable[ActionUnit]) -> tuple[str, ...]:
    """A programme's groups, the narrower first: its unit numbers "4+7", its regions "brow+lid"; none without units."""
    listed = list(units)
    numbers = "+".join(map(str, sorted({unit.au for unit in listed})))
    regions = "+".join(sorted({unit.region for unit in listed}))
    return (numbers, regions) if listed else ()


def _read(values: Mapping[str, Any]) -> RealRange:
    if (values["kind"], values["version"]) != (KIND, VERSION) or tuple(values["levels"]) != LEVELS:
        raise ValueError(f"kind {values['kind']!r}, version {values['version']!r}")
    name, fps, unmeasured = values["name"], tuple(map(_number, values["fps"])), values["unmeasured"]
    if not isinstance(name, str) or not fps or min(fps) <= 0:
        raise ValueError(f"name {name!r}, fps {fps}")
    groups = {key: _amplitudes(key, found) for key, found in values["groups"].items()}
    return RealRange(name, fps, {ALL: groups[ALL], **groups}, _count(unmeasured))


def _amplitudes(key: str, values: Mapping[str, Any]) -> Amplitudes:
    percentiles = tuple(map(_number, values["percentiles"]))
    if len(percentiles) != len(LEVELS) or list(percentiles) != sorted(percentiles) or percentiles[0] < 0:
        raise ValueError(f"percentiles of {key!r} that are not {len(LEVELS)} ascending numbers from 0")
    if (n := _count(values["n"])) < ENOUGH:
        raise ValueError(f"only {n} clips for {key!r}")
    return Amplitudes(n, percentiles)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} for a number")
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} for a count")
    return value


def _not_finite(text: str) -> float:
    raise ValueError(f"the number {text}")


def _what(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
