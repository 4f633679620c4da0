"""The schedule of a plan: which subjects, how often, in which split, with which twin, and in which order.

Pure decisions over what is planned and who is there; nothing is drawn here and nothing written. Subjects are chosen
so that identities are even over groups, clips are balanced by repeating rare groups' subjects, and the order makes
every prefix as balanced as it can be: a run stopped at a tenth leaves a usable, balanced data set.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from equime import schema, splits
from equime.planning import equity, twins
from equime.planning.planned import Planned
from equime.planning.shots import Shot, clip_id
from equime.planning.twins import CALIPER
from equime.screening.gallery import Source

PAIRS = {False: "across groups", True: "within them"}
"""Whether a pair is within a group -> what to call its kind."""


@dataclass(frozen=True)
class Wishes:
    """What a schedule is made for; each as the field of `equime.plan.PlanOptions` says."""

    subjects: int | None = None
    per_emotion: int = 1
    max_repeats: int = 1
    twins: int = 0
    caliper: float = CALIPER
    dose: int = 0
    controls: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class Schedule:
    """Who is planned next.

    Attributes:
        planned: What the workspace holds.
        pictures: Subject -> its usable pictures.
        targets: Shares of the cells.
        wishes: As above.
    """

    planned: Planned
    pictures: Mapping[str, Sequence[Source]]
    targets: equity.Targets
    wishes: Wishes

    @cached_property
    def chosen(self) -> list[str]:
        """The new subjects, in the order in which each makes the whole as even as it can be."""
        candidates: dict[str, list[str]] = defaultdict(list)
        for subject, sources in self.pictures.items():
            if subject not in self.planned.subjects:
                candidates[sources[0].cell].append(subject)
        before, count = self.planned.identities(), self.wishes.subjects
        count = None if count is None else max(0, count - before.total())
        return equity.order(candidates, self.targets, before, count, seed=self.wishes.seed)

    @cached_property
    def cells(self) -> dict[str, str]:
        """Subject -> cell: as first planned, or of its first picture."""
        new = {subject: self.pictures[subject][0].cell for subject in self.chosen}
        return {subject: known.cell for subject, known in self.planned.subjects.items()} | new

    @cached_property
    def splits(self) -> dict[str, str]:
        """Subject -> split, stratified by cell; planned subjects stay where they are."""
        existing = {subject: (known.split, known.cell) for subject, known in self.planned.subjects.items()}
        return splits.assign(list(self.cells.items()), existing, seed=self.wishes.seed)

    @property
    def wanted_pairs(self) -> dict[str, int]:
        """Subject pairs that are still to be made, "across groups" and "within them"."""
        have = dict.fromkeys(PAIRS.values(), 0)
        for contrast, clip_pairs in self.planned.pairs.items():
            have[kind(contrast)] += len({twin.partition("-")[0] for twin in clip_pairs})
        return {name: max(0, self.wishes.twins - count) for name, count in have.items()}

    @cached_property
    def pairs(self) -> list[twins.Pair]:
        """The new twin pairs, among the new subjects."""
        faces, wanted = [self.pictures[subject][0] for subject in self.chosen], self.wanted_pairs
        found = twins.match(faces, self.splits, max(wanted.values()), self.wishes.seed, self.wishes.caliper)
        by_kind = {name: [pair for pair in found if kind(pair.contrast) == name] for name in wanted}
        return [pair for name, count in wanted.items() for pair in by_kind[name][:count]]

    @cached_property
    def turns(self) -> dict[str, int]:
        """Subject that can be shown -> how often it goes through all five emotions, in all.

        New subjects of rare groups are repeated; the repeats of planned ones are as they are, and those whose pictures
        are gone, or whose cell the targets now give no share, get nothing more.
        """
        often = equity.repeats(Counter(self.cells.values()), self.targets, self.wishes.max_repeats)
        once = self.wishes.per_emotion
        new = {subject: once * often.get(self.cells[subject], 1) for subject in self.chosen}
        old = (subject for subject in self.planned.subjects if subject in self.pictures)
        return {subject: max(once, self.planned.turns(subject)) for subject in old} | new

    @cached_property
    def units(self) -> list[tuple[str, int]]:
        """(subject, turn), ordered so that every prefix has its clips as even as they can be."""
        queues: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for turn in range(max(self.turns.values(), default=0)):
            for subject, turns in self.turns.items():
                if self.planned.turns(subject) <= turn < turns:
                    queues[self.cells[subject]].append((subject, turn))
        names = {cell: [f"{cell}/{n}" for n in range(len(queue))] for cell, queue in queues.items()}
        before = {cell: clips // len(schema.EMOTIONS) for cell, clips in self.planned.clips().items()}
        total = sum(map(len, queues.values()))
        picked = equity.order(names, self.targets, before, total, seed=self.wishes.seed)
        waiting = {cell: iter(queue) for cell, queue in queues.items()}
        return [next(waiting[name.rpartition("/")[0]]) for name in picked]

    @property
    def clips(self) -> Counter[str]:
        """Cell -> balanced clips, the new ones included."""
        new = Counter(self.cells[subject] for subject, _ in self.units)
        return self.planned.clips() + Counter({cell: turns * len(schema.EMOTIONS) for cell, turns in new.items()})

    @property
    def swept(self) -> int:
        """Subjects whose intensities are swept, the new ones included."""
        before = sum(known.swept for known in self.planned.subjects.values())
        return max(before, min(self.wishes.dose, before + len(self.chosen)))

    def shots(self) -> Iterator[Shot]:
        """Every clip to plan, in order."""
        last = {subject: Counter(known.last) for subject, known in self.planned.subjects.items()}
        sweeps = self.wishes.dose - sum(known.swept for known in self.planned.subjects.values())
        for subject, turn in self.units:
            sources = self.pictures[subject]
            numbers = last.setdefault(subject, Counter())
            turned = list(self._turn(subject, turn, sources[turn % len(sources)], numbers))
            yield from turned
            if subject not in self.planned.subjects and turn == 0:
                yield from self._controls(subject, numbers)
                if sweeps > 0:
                    sweeps -= 1
                    yield from _sweep(turned, numbers)
        for subject in self.planned.subjects:
            yield from self._controls(subject, last[subject])

    def _controls(self, subject: str, numbers: Counter[str]) -> Iterator[Shot]:
        """The controls that the subject lacks."""
        for control in self.wishes.controls:
            if subject in self.pictures and not numbers[control]:
                yield _numbered(Shot(self.pictures[subject][0], control, 0, design="control"), numbers)

    def _turn(self, subject: str, turn: int, source: Source, numbers: Counter[str]) -> Iterator[Shot]:
        """One clip of each emotion that the subject has not had this often."""
        known = self.planned.subjects.get(subject)
        pair = self._pair_of.get(subject) if turn == 0 else None
        for emotion in schema.EMOTIONS:
            if known and known.clips[emotion] > turn:
                continue
            shot = _numbered(Shot(source, emotion, 0), numbers)
            yield self._twin(shot, pair) if pair else shot

    @cached_property
    def _pair_of(self) -> dict[str, twins.Pair]:
        return {subject: pair for pair in self.pairs for subject in (pair.first, pair.second)}

    def _twin(self, shot: Shot, pair: twins.Pair) -> Shot:
        """The shot as one of a pair: both take the noise of the first one's clip."""
        key = clip_id(shot.folder, self.pictures[pair.first][0], 1)
        twin_id = f"{pair.twin_id}-{shot.folder}"
        return replace(shot, twin_id=twin_id, twin_contrast=pair.contrast, noise_key=key)


def kind(contrast: str) -> str:
    """What to call a pair of this contrast, of `PAIRS`."""
    return PAIRS[contrast == twins.WITHIN]


def _numbered(shot: Shot, numbers: Counter[str]) -> Shot:
    """The shot with the next number of its folder."""
    numbers[shot.folder] += 1
    return replace(shot, sequence=numbers[shot.folder])


def _sweep(turned: Sequence[Shot], numbers: Counter[str]) -> Iterator[Shot]:
    """Each clip of a turn again at every intensity: same noise, so nothing but the intensity differs."""
    for shot in turned:
        for letter in schema.INTENSITIES:
            key = shot.noise_key or shot.clip_id
            yield _numbered(Shot(shot.source, shot.folder, 0, design="dose", noise_key=key, letter=letter), numbers)
