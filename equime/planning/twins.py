"""Matched pairs of subjects: the same programme and noise on two faces, across groups and, as control, within one.

What: `match` pairs subjects; `balance` reports how alike the members are in what they were matched on.
Why: do(D = d) on a planned clip can only change the face as a whole: geometry, pose and skin differ with it. So two
clips with one programme and one noise key are a *matched pair*, never an individual counterfactual, and what a pair
across groups shows has to exceed what a pair within a group shows.

    equime plan ws --faces faces/ --twins 200

Demographic labels are *perceived*. Matching is on pose, eye distance, sharpness and glasses alone.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from equime.errors import EquimeError
from equime.screening.gallery import Source

ATTRIBUTES = ("race", "gender", "age")
"""What a pair across groups differs in, in the order in which they take turns."""
COVARIATES = ("yaw", "pitch", "eye_distance", "sharpness")
"""What is matched: degrees, degrees, pixels of the photo, and the logarithm of the sharpness."""
WITHIN = "within"
CALIPER = 2.0
"""Largest distance of a pair, in robust standard deviations over the four covariates together."""
_NEIGHBOURS = 12
_BLOCK = 1 << 21

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Candidate = tuple[float, int, int]
_NONE = np.empty(0), np.empty(0, np.intp), np.empty(0, np.intp)


@dataclass(frozen=True)
class Pair:
    """Two subjects that get the same programmes and noise keys.

    Attributes:
        twin_id: Stable text that does not tell the subjects: a hash of their ids, in whichever order.
        first: The subject whose clip id is the noise key of both clips (which of the two is decided by a hash).
        second: The other subject.
        contrast: The attributes in which they differ ("race", "gender+age"), or "within".
        distance: Between their covariates, in robust standard deviations.
    """

    twin_id: str
    first: str
    second: str
    contrast: str
    distance: float


def twin_id(first: str, second: str) -> str:
    """The id of a pair of subjects, in whichever order."""
    return hashlib.sha256("\0".join(sorted((first, second))).encode()).hexdigest()[:12]


def match(
    sources: Sequence[Source], split: Mapping[str, str], pairs: int, seed: int, caliper: float = CALIPER
) -> list[Pair]:
    """Pairs across groups and pairs within them, in turn.

    Greedy: each turn takes the closest two subjects left. Pairs across take the contrasts race, gender and age in
    turn, and within a contrast the groups (asian and black, asian and white, ...) in turn; they differ in one
    attribute as long as such a pair within the caliper is left, then in two, then in three. A pair within is sought
    in the cell of a member of the pair across before it. An attribute that is unknown in one of two subjects is
    neither shared nor a contrast: they are not paired. Splits get pairs in proportion to their subjects.

    Args:
        sources: Pictures; of a subject with several the first usable one (`reason` None) is matched.
        split: Subject id -> split. Subjects that are not named take no part.
        pairs: Pairs across groups, and as many within.
        seed: Decides ties, and which member is the first.
        caliper: Largest distance.

    Returns:
        Pairs in the order taken, no subject in two: fewer than `2 * pairs` where there are no more.

    Raises:
        EquimeError: Negative `pairs`, or a caliper that is not above 0.
    """
    if pairs < 0 or not caliper > 0:
        raise EquimeError(f"expected 0 pairs or more and a caliper above 0, got {pairs = }, {caliper = }; correct it")
    usable = _usable(sources, split, seed)
    values, by_split = _standardised(usable), defaultdict[str, list[int]](list)
    for index, source in enumerate(usable):
        by_split[split[source.subject_id]].append(index)
    found: list[Pair] = []
    wanted, left = [pairs, pairs], len(usable)
    for members in sorted(by_split.values(), key=lambda members: (len(members), members)):
        share = [round(count * len(members) / left) for count in wanted]
        taken = _Matching(usable, values, members, caliper).take(*share)
        wanted = [count - sum((p.contrast == WITHIN) == kind for p in taken) for kind, count in enumerate(wanted)]
        left -= len(members)
        found += taken
    return found


def _usable(sources: Sequence[Source], split: Mapping[str, str], seed: int) -> list[Source]:
    """One picture a subject, in an order that only the seed and the ids decide."""
    first: dict[str, Source] = {}
    for source in sources:
        if source.reason is None and source.subject_id in split:
            first.setdefault(source.subject_id, source)
    order = {one: hashlib.sha256(f"{seed}\0twins\0{one}".encode()).digest() for one in first}
    return sorted(first.values(), key=lambda source: order[source.subject_id])


def covariates(sources: Sequence[Source]) -> Floats:
    """(n, 4) float64, as `COVARIATES` says; NaN where not measured."""
    rows = [[getattr(source, name) for name in COVARIATES] for source in sources]
    values = np.array(rows, np.float64).reshape(len(rows), len(COVARIATES))
    sharpness = values[:, 3]
    values[:, 3] = np.log(sharpness, where=sharpness > 0, out=np.full_like(sharpness, np.nan))
    return values


def _standardised(sources: Sequence[Source]) -> Floats:
    """Covariates less their median, in 1.4826 median absolute deviations; what is not measured is 0.

    The unit is at least a tenth of the standard deviation, so that it does not vanish where most values are equal.
    """
    values = covariates(sources)
    for column in values.T:
        known = column[np.isfinite(column)]
        if len(known):
            middle = np.median(known)
            scale = max(1.4826 * np.median(np.abs(known - middle)), 0.1 * np.std(known))
            column[:] = (column - middle) / (scale if scale > 1e-9 else 1.0)
    return np.nan_to_num(values, nan=0.0)


def balance(pairs: Sequence[Pair], sources: Sequence[Source]) -> dict[str, dict[str, Any]]:
    """How alike the members of pairs are in what they were matched on, by contrast: what an audit cites.

    Matching is good where pairs across groups are no further apart than pairs within, and no difference leans one
    way. Common practice asks for standardised mean differences under 0.1 (Austin 2011).

    Args:
        pairs: From `match`.
        sources: Pictures, those of the pairs among them; their standard deviations are the unit.

    Returns:
        Contrast -> "pairs" (count), "distance" (mean), "smd" and "apart": covariate -> the mean signed difference
        (the group whose label sorts later less the other; within a group, the second less the first) and the mean
        absolute one, in standard deviations; NaN where nothing was measured.
    """
    usable = [source for source in sources if source.reason is None]
    values = covariates(usable)
    place = {source.subject_id: index for index, source in reversed(list(enumerate(usable)))}
    unit = [np.std(known, ddof=1) if len(known := c[np.isfinite(c)]) > 1 else 1.0 for c in values.T]
    values /= np.where(np.array(unit) > 0, unit, 1.0)
    gaps = defaultdict[str, list[Floats]](list)
    for pair in pairs:
        one, other = usable[place[pair.first]], usable[place[pair.second]]
        name = pair.contrast.partition("+")[0]
        swap = name != WITHIN and str(getattr(one, name)) > str(getattr(other, name))
        gap = values[place[pair.second]] - values[place[pair.first]]
        gaps[pair.contrast].append(-gap if swap else gap)
    return {
        contrast: {
            "pairs": len(rows),
            "distance": float(np.mean([pair.distance for pair in pairs if pair.contrast == contrast])),
            "smd": _means(rows),
            "apart": _means(np.abs(rows)),
        }
        for contrast, rows in gaps.items()
    }


def _means(gaps: Sequence[Floats] | Floats) -> dict[str, float]:
    columns = np.asarray(gaps).T
    known = [column[np.isfinite(column)] for column in columns]
    return {name: float(c.mean()) if len(c) else float("nan") for name, c in zip(COVARIATES, known, strict=True)}


class _Matching:
    """The subjects of one split and who is still free."""

    def __init__(self, usable: Sequence[Source], values: Floats, members: Sequence[int], caliper: float) -> None:
        self.subjects = [usable[index] for index in members]
        self.values = values[np.array(members, np.intp)]
        self.glasses = np.array([{None: 0, False: -1, True: 1}[source.glasses] for source in self.subjects], np.int8)
        self.free = np.ones(len(members), bool)
        self.caliper = caliper
        cells = defaultdict[tuple[str | None, ...], list[int]](list)
        for index in range(len(members)):
            cells[self.cell(index)].append(index)
        self.cells = {cell: np.array(places, np.intp) for cell, places in sorted(cells.items(), key=_text)}

    def take(self, across: int, within: int) -> list[Pair]:
        """Pairs across and within, in turn, until there are as many as wanted or no more.

        A pair within is of the cell of one member of the pair across before it, of the first and of the second in
        turn, so that the control is of the same groups and about as close; of any cell where that has none left.
        """
        contrasts, cells = self.across(), {cell: _Stream(self, [(one, one)]) for cell, one in self.cells.items()}
        others = _Turns(cells.values())
        found: list[Pair] = []
        for turn in range(max(across, within)):
            one = contrasts.take() if turn < across else None
            found += [self.pair(one)] if one else []
            near = cells[self.cell(one[1:][turn % 2])].take() if one and turn < within else None
            control = near or (others.take() if turn < within else None)
            found += [self.pair(control)] if control else []
        return found

    def cell(self, index: int) -> tuple[str | None, ...]:
        return tuple(getattr(self.subjects[index], name) for name in ATTRIBUTES)

    def pair(self, one: Candidate) -> Pair:
        distance, i, j = one
        self.free[[i, j]] = False
        first, second = self.subjects[min(i, j)], self.subjects[max(i, j)]
        contrast = "+".join(name for name in ATTRIBUTES if getattr(first, name) != getattr(second, name))
        ids = first.subject_id, second.subject_id
        return Pair(twin_id(*ids), *ids, contrast or WITHIN, distance)

    def across(self) -> _Tiers:
        """Contrasts in one attribute, by the two groups; then in two, then in three attributes."""
        groups = defaultdict[tuple[str, ...], dict[tuple[object, ...], list[tuple[Indices, Indices]]]](dict)
        for (one, here), (other, there) in combinations(self.cells.items(), 2):
            differ = [k for k, values in enumerate(zip(one, other, strict=True)) if values[0] != values[1]]
            if any(None in (one[k], other[k]) for k in differ):
                continue
            names = tuple(ATTRIBUTES[k] for k in differ)
            groups_of = tuple(sorted(((one[k], other[k]) for k in differ), key=str)) if len(differ) == 1 else ()
            groups[names].setdefault(groups_of, []).append((here, there))
        tiers = []
        for size in (1, 2, 3):
            contrasts = [groups[names] for names in combinations(ATTRIBUTES, size) if names in groups]
            tiers.append(_Turns([_Turns([_Stream(self, cells) for cells in one.values()]) for one in contrasts]))
        return _Tiers(tiers)


class _Stream:
    """The closest free pairs between the members of given cells, closest first."""

    def __init__(self, matching: _Matching, cells: list[tuple[Indices, Indices]]) -> None:
        self.matching, self.cells = matching, cells
        self.waiting: Iterator[Candidate] = iter(())

    def take(self) -> Candidate | None:
        """The next pair, or None when the caliper or the subjects leave none."""
        free = self.matching.free
        while True:
            for one in self.waiting:
                if free[one[1]] and free[one[2]]:
                    return one
            self.cells = [(here[free[here]], there[free[there]]) for here, there in self.cells]
            parts = [part for cells in self.cells for part in self._nearest(*cells)]
            distances, i, j = (np.concatenate(column) for column in zip(*parts, strict=True)) if parts else _NONE
            if not len(distances):
                return None
            order = np.lexsort((j, i, distances))
            self.waiting = zip(distances[order].tolist(), i[order].tolist(), j[order].tolist(), strict=True)

    def _nearest(self, here: Indices, there: Indices) -> Iterator[tuple[Floats, Indices, Indices]]:
        """Each subject of `here` with its nearest few of `there`, within the caliper, block by block."""
        step = max(1, _BLOCK // max(1, len(there)))
        for start in range(0, len(here), step):
            rows = here[start : start + step]
            distances = self._distances(rows, there)
            near = np.argsort(distances, axis=1, kind="stable")[:, :_NEIGHBOURS]
            kept = np.take_along_axis(distances, near, axis=1)
            row, column = np.nonzero(kept <= self.matching.caliper)
            yield kept[row, column], rows[row], there[near[row, column]]

    def _distances(self, here: Indices, there: Indices) -> Floats:
        """(len(here), len(there)) distances; infinite from a subject to itself and where glasses differ."""
        values, glasses = self.matching.values, self.matching.glasses
        squares = np.zeros((len(here), len(there)))
        for column in values.T:
            squares += (column[here][:, None] - column[there][None, :]) ** 2
        apart = glasses[here][:, None] * glasses[there][None, :] < 0
        return np.where(apart | (here[:, None] == there[None, :]), np.inf, np.sqrt(squares))


class _Turns:
    """Takes from its parts in turn; a part that has no more is left out."""

    def __init__(self, parts: Iterable[_Stream | _Turns]) -> None:
        self.parts = deque(parts)

    def take(self) -> Candidate | None:
        """The next of the part whose turn it is."""
        while self.parts:
            part = self.parts.popleft()
            if one := part.take():
                self.parts.append(part)
                return one
        return None


class _Tiers:
    """Takes from the first part that has any."""

    def __init__(self, parts: Sequence[_Turns]) -> None:
        self.parts = parts

    def take(self) -> Candidate | None:
        """The next of the first part that is not exhausted."""
        return next((one for part in self.parts if (one := part.take())), None)


def _text(item: tuple[tuple[str | None, ...], object]) -> str:
    return "|".join(value or "" for value in item[0])
