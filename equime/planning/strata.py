"""How the strata of a plan stand once clips were scored: planned, accepted, pending, and what accepted ones weigh.

What: `judged` reads the clips, `strata` counts them by emotion, demographic cell (*perceived*) and intensity of the
strongest unit, `weights` says what each accepted clip counts where they are not as planned, `acceptance` shows
whether groups are accepted alike.
Why: acceptance selects, and a balanced plan with an uneven filter is an uneven data set. Controls and dose sweeps are
not part of the balance and are left out.

    python -c "from equime.planning.strata import *; print(acceptance(judged(Table('ws'))))"
"""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from equime import schema
from equime.action_units import ActionUnit
from equime.metrics import wilson
from equime.table import Table, write_atomically, writing

COLUMNS = (
    *("clip_id", "subject_id", "cell", "design", "emotion", "control", "action_units", "noise_key"),
    *("twin_id", "twin_contrast"),
)
REFILL = "refill"
LEFT_OUT = ("dose", "control")
WEIGHTS_FILE = "weights.csv"


class Stratum(NamedTuple):
    """Where a clip is replaced: the cell is of perceived labels, the letter of the strongest unit (None: not coded)."""

    emotion: str
    cell: str
    letter: str | None


@dataclass(frozen=True, slots=True)
class Judged:
    """A planned clip of the balanced whole, and whether it was accepted (None: not scored yet)."""

    clip_id: str
    subject_id: str
    stratum: Stratum
    refill: bool
    noise_key: str
    twin_id: str | None
    twin_contrast: str | None
    accepted: bool | None


@dataclass
class Count:
    """How a stratum stands, in clips; `refilled` are those added in place of rejected ones."""

    planned: int = 0
    accepted: int = 0
    pending: int = 0
    refilled: int = 0

    @property
    def short(self) -> int:
        """Clips that neither are accepted nor may yet be."""
        return max(0, self.planned - self.accepted - self.pending)


def strongest(units: Iterable[ActionUnit | Mapping[str, Any]]) -> str | None:
    """The intensity letter of the strongest unit; None where none is coded."""
    letters = [unit.intensity if isinstance(unit, ActionUnit) else unit["intensity"] for unit in units]
    return max((letter for letter in letters if letter), default=None)


def judged(table: Table) -> list[Judged]:
    """The balanced clips and refills of a workspace, in plan order.

    A clip whose score failed, or whose clip could not be made, counts as not accepted; one whose score is missing or
    stale is pending.

    Raises:
        EquimeError: A shard that does not read.
    """
    found = []
    for index in table.shards():
        scored = bool(table.made(index, ["score"]))
        for row in table.read(index, [*COLUMNS, *(["accepted"] if scored else [])]).to_pylist():
            if row["emotion"] and not row["control"] and row["design"] not in LEFT_OUT:
                found.append(_judged(row, scored))
    return found


def _judged(row: Mapping[str, Any], scored: bool) -> Judged:
    return Judged(
        clip_id=row["clip_id"],
        subject_id=row["subject_id"],
        stratum=Stratum(row["emotion"], row["cell"] or "", strongest(row["action_units"] or ())),
        refill=row["design"] == REFILL,
        noise_key=row["noise_key"] or row["clip_id"],
        twin_id=row["twin_id"],
        twin_contrast=row["twin_contrast"],
        accepted=row["accepted"] is True if scored else None,
    )


def jointly(clips: Sequence[Judged]) -> list[Judged]:
    """The clips with twins accepted only together: rejected where one is, else pending where one is."""
    pairs = defaultdict[str | None, list[bool | None]](list)
    for clip in clips:
        pairs[clip.twin_id].append(clip.accepted)
    both = {twin: False if False in votes else None if None in votes else True for twin, votes in pairs.items()}
    return [replace(clip, accepted=both[clip.twin_id]) if clip.twin_id else clip for clip in clips]


def strata(clips: Sequence[Judged]) -> dict[Stratum, Count]:
    """How each stratum stands, in the order of emotions, cells and letters; twins count together or not at all."""
    counts = defaultdict[Stratum, Count](Count)
    for clip in jointly(clips):
        count = counts[clip.stratum]
        count.planned += not clip.refill
        count.accepted += clip.accepted is True
        count.pending += clip.accepted is None
        count.refilled += clip.refill
    return dict(sorted(counts.items(), key=lambda item: _order(item[0])))


def _order(stratum: Stratum) -> tuple[int, str, str]:
    return schema.emotions([schema.DISGUST]).index(stratum.emotion), stratum.cell, stratum.letter or ""


@dataclass(frozen=True)
class Weight:
    """What each accepted clip of a stratum counts; None where none was accepted."""

    stratum: Stratum
    planned: int
    accepted: int
    weight: float | None


def weights(clips: Sequence[Judged]) -> list[Weight]:
    """Weights under which the accepted clips have the planned distribution over strata.

    weight = share of the planned clips / share of the accepted ones, both over the strata that have accepted clips
    (so that weights average 1 over the accepted clips). A stratum without any has no weight: nothing stands for it.
    """
    counts = strata(clips)
    planned = sum(count.planned for count in counts.values() if count.accepted)
    accepted = sum(count.accepted for count in counts.values())
    return [
        Weight(
            s, c.planned, c.accepted, c.planned * accepted / (c.accepted * planned) if c.accepted and planned else None
        )
        for s, c in counts.items()
    ]


def write_weights(table: Table) -> Path:
    """Write `weights.csv` into the workspace: emotion, cell, intensity, planned, accepted, weight.

    Raises:
        EquimeError: A shard that does not read, or the file cannot be written.
    """
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("emotion", "cell", "intensity", "planned", "accepted", "weight"))
    for one in weights(judged(table)):
        lines.writerow((*one.stratum, one.planned, one.accepted, one.weight))
    path = table.path / WEIGHTS_FILE
    with writing(path):
        write_atomically(path, text.getvalue().encode())
    return path


@dataclass(frozen=True)
class Acceptance:
    """How many of a group's scored clips were accepted, and the 95 % Wilson interval of the share."""

    by: Literal["cell", "emotion"]
    group: str
    accepted: int
    scored: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """Accepted clips over scored ones."""
        return self.accepted / self.scored


def acceptance(clips: Sequence[Judged]) -> list[Acceptance]:
    """Accepted shares by cell, then by emotion, each clip on its own: whether acceptance selects by group."""
    found = []
    kinds: tuple[Literal["cell", "emotion"], ...] = ("cell", "emotion")
    for by in kinds:
        scored = Counter(getattr(clip.stratum, by) for clip in clips if clip.accepted is not None)
        passed = Counter(getattr(clip.stratum, by) for clip in clips if clip.accepted)
        found += [Acceptance(by, group, passed[group], n, *wilson(passed[group], n)) for group, n in scored.items()]
    return found
