"""A feature of many samples: cached, over processes, bad samples named and the others kept.

    found = extract(samples, FlowImage(), cache=Path("features"), workers=2)
    found.values                                    # float32 (n, 3, 28, 28)
    samples.take(found.kept)                        # the rows they are of

Stopped at any moment, the next run goes on where it was, if there is a cache. Many workers give the same bits as one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from equime.errors import EquimeError
from equime.one_line import one_line
from equime.pool import in_processes
from equime.recognise.features.cache import Cache
from equime.recognise.features.feature import Feature, Made
from equime.recognise.samples import Array, Pictures, Row, Samples


@dataclass(frozen=True, eq=False)
class Features:
    """What was extracted.

    Attributes:
        values: float32 (n, *feature.shape).
        kept: int64 (n,): the samples they are of, ascending positions in the table.
        problems: One line for each sample that has none, with its id and the reason.
        notes: One line for each sample that was not made quite by the rule (no face found).
    """

    values: Array
    kept: Array
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Outcome(NamedTuple):
    """One sample: its values, or why there are none."""

    position: int
    made: Made | None
    problem: str = ""


def extract(samples: Samples, feature: Feature, *, cache: Path | None = None, workers: int = 1) -> Features:
    """Compute a feature of every sample, or read it where it was computed before.

    Args:
        samples: Whose.
        feature: Which.
        cache: A folder for the values; None keeps nothing.
        workers: Processes.

    Raises:
        EquimeError: No sample has it (the first reason is said), a cache that cannot be written, a dead worker.
        MissingPackageError: What the feature needs is not installed.
    """
    if workers < 1:
        raise EquimeError(f"expected at least one worker, got {workers = }")
    if cache is not None:
        _make(cache)
    work = Extraction(samples, feature, None if cache is None else Cache(cache, feature))
    outcomes: list[Outcome] = []
    with tqdm(total=len(samples), desc=feature.name, unit="clip", disable=None, smoothing=0) as bar:
        for part in _parts_done(work, workers, bar.update):
            outcomes += part
    return _gathered(samples, feature, sorted(outcomes, key=lambda outcome: outcome.position))


def _make(cache: Path) -> None:
    """Say before the first hour, not after it, that nothing can be kept."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EquimeError(
            f"expected a folder for the cache, got {one_line(cache)} ({error.strerror}); give another --cache"
        ) from error


def _parts_done(work: Extraction, workers: int, tick: Callable[[int], Any]) -> Iterator[list[Outcome]]:
    work.feature.load()
    todo = range(len(work.parts))
    if workers > 1 and len(todo) > 1:
        return in_processes(work, todo, workers, tick)
    return (work(index, tick) for index in todo)


def _gathered(samples: Samples, feature: Feature, outcomes: Sequence[Outcome]) -> Features:
    ids = samples.table["sample_id"].to_pylist()
    problems = [f"{one_line(ids[o.position])}: {o.problem}" for o in outcomes if o.made is None]
    made = [(o.position, o.made) for o in outcomes if o.made is not None]
    if problems and not made:
        raise EquimeError(f"no sample has the feature {feature.name!r}; the first: {problems[0]}")
    values = np.empty((len(made), *feature.shape), np.float32)
    for row, (_, one) in enumerate(made):
        values[row] = one.values
    notes = [f"{one_line(ids[position])}: {one.note}" for position, one in made if one.note]
    return Features(values, np.array([position for position, _ in made], np.int64), problems, notes)


class Extraction:
    """The work of `extract`, by parts of samples that are cheap to open together; picklable (see `pool.Work`).

    Args:
        samples: Whose.
        feature: Which.
        cache: Where values are kept; None is nowhere.
    """

    def __init__(self, samples: Samples, feature: Feature, cache: Cache | None) -> None:
        self.samples, self.feature, self.cache = samples, feature, cache
        self.rows: list[Row] = samples.table.to_pylist()
        self.parts = list(self._parts())

    def _parts(self) -> Iterator[list[int]]:
        by_set: dict[str, list[int]] = {}
        for position, row in enumerate(self.rows):
            by_set.setdefault(row["dataset"], []).append(position)
        for name, positions in by_set.items():
            for part in self.samples.origins[name].parts([self.rows[position] for position in positions]):
                yield [positions[place] for place in part]

    @property
    def stage(self) -> Feature:
        """What each process loads first."""
        return self.feature

    def __call__(self, index: int, tick: Callable[[int], Any]) -> list[Outcome]:
        """The outcomes of one part, in its order."""
        left, outcomes = list(self.parts[index]), list[Outcome]()
        opened = self.samples.open(left)
        while left:
            position = left.pop(0)
            try:
                outcomes.append(Outcome(position, self._one(self.rows[position], next(opened))))
            except Exception as error:
                outcomes.append(Outcome(position, None, _reason(error)))
                opened = self.samples.open(left)  # what was raised in there has ended it
            tick(1)
        return outcomes

    def _one(self, row: Row, pictures: Pictures) -> Made:
        key = self.cache.key(row, pictures) if self.cache else ""
        kept = self.cache.get(key) if self.cache else None
        if kept is not None:
            return kept
        made = self.feature.made(row, pictures)
        if not np.isfinite(made.values).all():
            raise EquimeError("the feature is not finite: report it with this sample")
        if self.cache:
            self.cache.put(key, made)
        return made


def _reason(error: Exception) -> str:
    if isinstance(error, StopIteration):
        return "its pictures are gone"
    return one_line(error) if isinstance(error, EquimeError) else f"{type(error).__name__}: {one_line(error)}"
