"""Which clips to plan again: a rejected one is replaced in its own stratum until as many are accepted as planned.

What: `needs` lists what to add; `matching_key` finds the noise of a new clip with the wanted intensity.
Why: acceptance selects. A filter that passes some emotions, groups or intensities more often than others undoes a
balanced plan, so what it took is put back where it took it. Earlier rows never change. Which units it took within
a stratum is not put back: the audit shows that.

    equime plan ws --refill
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from equime.action_units import INTENSITIES
from equime.causal import EmotionModel, Programme, noise, seed_of
from equime.planning.strata import Judged, Stratum, jointly, strata, strongest

MAX_TRIES = 3
MOST_DRAWS = 5000
"""Draws of a programme before the nearest intensity is taken: the rarest letter, E, is the strongest in about 5 %."""


@dataclass(frozen=True)
class Need:
    """A clip to add, or a pair of twins.

    Attributes:
        emotion, cell, letter: The stratum; a pair's cell is that of its first subject.
        subjects: Who may take it, the first being the choice (later needs count on it): those of the cell with the
            fewest clips first. Empty where all have as many as they may. A pair's two subjects.
        twins: (first, second) subject of a pair; the first one's new clip id makes the shared noise key.
        twin_id, twin_contrast: Of the new pair.
    """

    emotion: str
    cell: str
    letter: str | None
    subjects: tuple[str, ...]
    twins: tuple[str, str] | None = None
    twin_id: str | None = None
    twin_contrast: str | None = None


def needs(clips: Sequence[Judged], most_clips: int, max_tries: int = MAX_TRIES) -> list[Need]:
    """What to add so that the accepted clips of every stratum are as many as were planned.

    Args:
        clips: From `judged`.
        most_clips: Clips of one emotion that a subject may have, rejected ones not counted.
        max_tries: Refills for each planned clip of a stratum, and for each pair; after that it stays short, and
            `equime.planning.strata.weights` says what its accepted clips count.

    Returns:
        Pairs first, then one need of every short stratum in turn, so that every prefix helps all of them.
    """
    clips = jointly(clips)
    faces = _Faces(clips, most_clips)
    found = [faces.pair(attempts) for attempts in _failed_pairs(clips, max_tries)]
    alone = strata([clip for clip in clips if not clip.twin_id])
    short = {s: min(count.short, max_tries * count.planned - count.refilled) for s, count in alone.items()}
    for turn in range(max(short.values(), default=0)):
        found += [faces.one(stratum) for stratum, count in short.items() if turn < count]
    return found


def _failed_pairs(clips: Sequence[Judged], max_tries: int) -> list[list[Judged]]:
    """All attempts at each pair of which none was accepted, none is pending, and not too many were made."""
    attempts = defaultdict[str, list[Judged]](list)
    for clip in clips:
        if clip.twin_id:
            attempts[clip.twin_id.partition(".")[0]].append(clip)
    return [
        tried
        for tried in attempts.values()
        if not any(clip.accepted is not False for clip in tried) and len({c.twin_id for c in tried}) <= max_tries
    ]


class _Faces:
    """Who has how many clips of each emotion, the ones allotted here included."""

    def __init__(self, clips: Sequence[Judged], most_clips: int) -> None:
        self.most_clips = most_clips
        self.planned = Counter((clip.subject_id, clip.stratum.emotion) for clip in clips)
        self.living = Counter((c.subject_id, c.stratum.emotion) for c in clips if c.accepted is not False)
        self.of_cell = defaultdict[str, dict[str, None]](dict)
        for clip in clips:
            self.of_cell[clip.stratum.cell].setdefault(clip.subject_id)

    def one(self, stratum: Stratum) -> Need:
        emotion = stratum.emotion
        able = [s for s in self.of_cell[stratum.cell] if self.living[s, emotion] < self.most_clips]
        able.sort(key=lambda subject: (self.living[subject, emotion], self.planned[subject, emotion]))
        self._allot(emotion, able[:1])
        return Need(*stratum, subjects=tuple(able))

    def pair(self, attempts: Sequence[Judged]) -> Need:
        last = [clip for clip in attempts if clip.twin_id == attempts[-1].twin_id]
        last.sort(key=lambda clip: not f"{clip.noise_key}/".startswith(f"{clip.clip_id}/"))
        both = last[0].subject_id, last[-1].subject_id
        self._allot(last[0].stratum.emotion, both)
        name = str(attempts[0].twin_id).partition(".")[0]
        twin_id = f"{name}.{len({clip.twin_id for clip in attempts})}"
        return Need(*last[0].stratum, both, both, twin_id, last[0].twin_contrast)

    def _allot(self, emotion: str, subjects: Iterable[str]) -> None:
        for subject in subjects:
            self.living[subject, emotion] += 1
            self.planned[subject, emotion] += 1


def matching_key(
    model: EmotionModel, emotion: str, letter: str | None, plan_seed: int, clip_id: str
) -> tuple[str, Programme]:
    """A noise key whose programme has `letter` as its strongest intensity, by rejection.

    Tries `clip_id/0`, `clip_id/1`, ...: the programme is one of the model's, given the letter.

    Args:
        model: The causal model.
        emotion: The emotion to draw for.
        letter: A to E; None takes the first draw.
        plan_seed: The plan's seed.
        clip_id: The new clip's id (of the first, in a pair).

    Returns:
        The noise key and its programme; after `MOST_DRAWS` the first of those nearest to the letter, which
        `strongest(programme.units)` tells.
    """
    best: tuple[int, str, Programme] | None = None
    for draw in range(MOST_DRAWS):
        key = f"{clip_id}/{draw}"
        programme = model.sample(emotion, partial(noise, seed_of(plan_seed, key)))
        found = strongest(programme.units)
        gap = abs(INTENSITIES.index(found) - INTENSITIES.index(letter)) if found and letter else 0
        if best is None or gap < best[0]:
            best = gap, key, programme
        if gap == 0:
            break
    assert best
    return best[1:]
