"""A spotter over whole clips: when something happened, held against when it was planned or coded.

    found = spot(samples, Spotter(), keep=Path("spotted.jsonl"))
    found.scores.f1, found.scores.false_alarms_per_minute

    equime spot --data ws --keep spotted.jsonl

Each clip is looked at once: its intervals go into the file, and the same command goes on where it was stopped. Rows
that show the same pictures are the expressions of one long clip, which is scored once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from tqdm import tqdm

from equime.bootstrap import Estimate
from equime.errors import EquimeError
from equime.face import FaceFinder, one_face
from equime.one_line import one_line
from equime.quality.ledger import Ledger, key_of
from equime.quality.motion import observe
from equime.recognise.protocols.folds import people
from equime.recognise.protocols.spotting import Compared, Spotter, SpottingScores, compare, movement
from equime.recognise.samples import Pictures, Row, Samples
from equime.wording import counted

VERSION: Final = 1
Interval = tuple[float, float]


@dataclass(frozen=True)
class Spotted:
    """What was found.

    Attributes:
        clips: How many were looked at.
        intervals: sample_id -> (onset, offset) in frames from the clip's first, in order of time.
        scores: Against the planned or coded ones.
        problems: A line for each clip that could not be looked at; they are not scored.
    """

    clips: int
    intervals: dict[str, list[Interval]]
    scores: SpottingScores
    problems: tuple[str, ...]


@dataclass
class _Clip:
    """What was found in a clip, how long it is, and what is coded in it so far."""

    subject: str
    found: list[Interval]
    minutes: float
    coded: list[Interval]

    def compared(self) -> Compared:
        return compare(self.found, list(dict.fromkeys(self.coded)), self.minutes)


def spot(samples: Samples, spotter: Spotter, *, keep: Path | None = None) -> Spotted:
    """Look for expressions in whole clips, those without any included.

    Args:
        samples: Whose; an onset and offset is one expression, a row without them a clip where nothing happens.
        spotter: How.
        keep: JSON lines of what was found before; None looks anew.

    Raises:
        EquimeError: No clip could be looked at.
    """
    ledger, finder = Ledger(keep), FaceFinder()
    finder.load()
    intervals: dict[str, list[Interval]] = {}
    clips: dict[tuple[str, str], _Clip] = {}
    problems, who = [], people(samples.table).tolist()
    for position, row, pictures in tqdm(_opened(samples), "spot", len(samples), unit="clip", disable=None, smoothing=0):
        try:
            key = key_of(VERSION, asdict(spotter), row["fps"], pictures.digest(pictures.numbers))
            kept = ledger.get(key) or ledger.add(key, {"found": _found(row, pictures, spotter, finder)})
        except EquimeError as error:
            problems.append(f"{row['sample_id']}: {one_line(error)}")
            continue
        mine = [(float(onset), float(offset)) for onset, offset in kept["found"]]
        intervals[row["sample_id"]] = mine
        minutes = len(pictures.numbers) / row["fps"] / 60
        clip = clips.setdefault((who[position], key), _Clip(who[position], mine, minutes, []))
        clip.coded += _coded(row, pictures)
    if not clips:
        raise EquimeError(f"no clip could be looked at; the first: {problems[0] if problems else 'there is none'}")
    compared, subjects = zip(*((clip.compared(), clip.subject) for clip in clips.values()), strict=True)
    return Spotted(len(clips), intervals, SpottingScores.of(compared, subjects), tuple(problems))


def _opened(samples: Samples) -> Iterator[tuple[int, Row, Pictures]]:
    """Every sample with its pictures, those that lie together one after the other."""
    rows: list[Row] = samples.table.to_pylist()
    sets = dict.fromkeys(row["dataset"] for row in rows)
    for name in sets:
        mine = [position for position, row in enumerate(rows) if row["dataset"] == name]
        for part in samples.origins[name].parts([rows[position] for position in mine]):
            positions = [mine[place] for place in part]
            for position, pictures in zip(positions, samples.open(positions), strict=True):
                yield position, rows[position], pictures


def _found(row: Row, pictures: Pictures, spotter: Spotter, finder: FaceFinder) -> list[Any]:
    frames = np.stack(pictures.read(list(pictures.numbers)))
    face, _ = one_face(frames[0], finder)
    return spotter.spot(movement(observe(frames, row["fps"], face)), row["fps"])


def _coded(row: Row, pictures: Pictures) -> list[Interval]:
    """The coded expression as a span in frames from the first one."""
    if row["onset"] is None or row["offset"] is None:
        return []
    first = pictures.numbers[0]
    return [(float(row["onset"] - first), float(row["offset"] - first + 1))]


def lines(found: Spotted) -> list[str]:
    """The scores as text."""
    scores, counts = found.scores, found.scores.counts
    named = {"F1": scores.f1, "precision": scores.precision, "recall": scores.recall}
    named["false alarms a minute"] = scores.false_alarms_per_minute
    return [
        f"{counted(found.clips, 'clip')}, {counts.minutes:.1f} minutes: {counts.hits} found, {counts.missed} missed, "
        f"{counts.false_alarms} false alarms",
        *(f"{name:22}{_said(estimate)}" for name, estimate in named.items()),
    ]


def _said(estimate: Estimate) -> str:
    if np.isnan(estimate.value):
        return "-"
    span = "" if np.isnan(estimate.low) else f"  95 % over subjects {estimate.low:.3f} to {estimate.high:.3f}"
    return f"{estimate.value:.3f}{span}"
