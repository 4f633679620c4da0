"""Counting the rows of a release: the part of its facts that is read off each row, or each subject's rows.

    counted(table)["licences"]          # licence -> subjects and clips
    tagged_composition(tags)            # evenness by the tagger's labels

Labels are *perceived*. Subjects are counted once, whatever the number of their clips. Rows are made of a few columns
at a time and dropped again: those of 75,000 clips would take 150 MB.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from equime import schema
from equime.planning.equity_report import Equity, report
from equime.planning.strata import strongest
from equime.planning.targets import ATTRIBUTES, LABELS, UNKNOWN, Targets
from equime.skin import BANDS, skin_band
from equime.tag_summary import TagSummary

COLUMNS: Final = (
    *("subject_id", "source_licence", "source_gender", "source_age", "source_race", "design", "twin_id"),
    *("emotion", "control", "split", "action_units", "onset_ms", "apex_ms", "offset_ms", "skin_ita"),
    *("num_frames", "fps", "width", "height", "size_bytes", "generator", "generator_model", "accepted"),
)
"""What `counted` reads of a row."""
NOT_RECORDED: Final = "not recorded"
NOT_CODED: Final = "not coded"
NO_SPLIT: Final = schema.SPLITS[0]
CHUNK: Final = 1024
_TIMES: Final = ("onset_ms", "apex_ms", "offset_ms")


@dataclass(frozen=True)
class Group:
    """How much of a release something is true of."""

    subjects: int
    clips: int


@dataclass(frozen=True)
class Spread:
    """How a number varies over clips: the unit is said where it stands."""

    clips: int
    least: float
    median: float
    mean: float
    most: float


def commonest(values: Iterable[str]) -> dict[str, int]:
    """Commonest first, equals by name."""
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))


def rows(table: pa.Table, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of some columns, one after the other."""
    for batch in table.select(list(names)).to_batches(max_chunksize=CHUNK):
        yield from batch.to_pylist()


def counted(table: pa.Table) -> dict[str, Any]:
    """The fields of `facts.Facts` that are read off the rows, which hold (at least) `COLUMNS`."""
    return {
        "subjects": pc.count_distinct(table["subject_id"], mode="all").as_py(),
        **_plan_facts(table),
        **_expression_facts(table),
        **_clip_facts(table),
        "source": _source_composition(table),
        "skin": _skin(table),
    }


def _plan_facts(table: pa.Table) -> dict[str, Any]:
    counts: dict[str, Counter[str]] = {}
    for row in rows(table, ("split", "emotion", "control")):
        label = row["emotion"] or row["control"] or schema.NEUTRAL
        counts.setdefault(row["split"] or NO_SPLIT, Counter())[label] += 1
    labels = (*schema.EMOTIONS, schema.DISGUST, *schema.CONTROLS)
    splits = [split for split in schema.SPLITS if split in counts]
    found = _by(table, "source_licence", NOT_RECORDED)
    licences = sorted(found, key=lambda name: (-found[name].clips, name))
    by_split = _by(table, "split", NO_SPLIT)
    return {
        "counts": {s: {label: counts[s][label] for label in labels if counts[s][label]} for s in splits},
        "by_split": {split: by_split[split] for split in splits},
        "designs": commonest(design or NOT_RECORDED for design in table["design"].to_pylist()),
        "twins": len(table) - table["twin_id"].null_count,
        "licences": {name: found[name] for name in licences},
    }


def _by(table: pa.Table, name: str, unsaid: str) -> dict[str, Group]:
    return _groups((row[name] or unsaid, row["subject_id"]) for row in rows(table, (name, "subject_id")))


def _groups(pairs: Iterable[tuple[str | None, str]]) -> dict[str, Group]:
    """Of (label, subject), one for each clip; those without a label are left out."""
    clips, who = Counter[str](), dict[str, set[str]]()
    for label, subject in pairs:
        if label is not None:
            clips[label] += 1
            who.setdefault(label, set()).add(subject)
    return {label: Group(len(who[label]), count) for label, count in clips.items()}


def _expression_facts(table: pa.Table) -> dict[str, Any]:
    letters, units, sides = Counter[str](), Counter[int](), Counter[str]()
    durations, rises = [], []
    for row in rows(table, ("action_units", "control", *_TIMES)):
        if not row["action_units"] or row["control"]:
            continue
        letters[strongest(row["action_units"]) or NOT_CODED] += 1
        units.update({unit["au"] for unit in row["action_units"]})
        sides.update(unit["side"] for unit in row["action_units"])
        onset, apex, offset = (row[name] for name in _TIMES)
        if None not in (onset, apex, offset):
            durations.append(offset - onset)
            rises.append(apex - onset)
    return {
        "intensities": {name: letters[name] for name in (*schema.INTENSITIES, NOT_CODED) if letters[name]},
        "units": {au: units[au] for au in sorted(units)},
        "sides": {side: sides[side] for side in schema.SIDES if sides[side]},
        "duration_ms": _spread(durations),
        "rise_ms": _spread(rises),
    }


def _spread(values: Sequence[float]) -> Spread | None:
    if not values:
        return None
    numbers = np.asarray(values, np.float64)
    found = (numbers.min(), np.median(numbers), numbers.mean(), numbers.max())
    return Spread(len(values), *map(float, found))


def _clip_facts(table: pa.Table) -> dict[str, Any]:
    made = rows(table, ("generator", "generator_model"))
    shapes = rows(table, ("width", "height", "fps", "num_frames"))
    there = (row for row in shapes if row["width"] is not None and row["fps"] is not None)
    return {
        "formats": commonest(f"{r['width']}x{r['height']}, {r['fps']:g} fps, {r['num_frames']} frames" for r in there),
        "video_bytes": pc.sum(table["size_bytes"]).as_py() or 0,
        "generators": commonest(
            f"{row['generator']} {row['generator_model'] or ''}".strip() for row in made if row["generator"]
        ),
    }


def _source_composition(table: pa.Table) -> Equity | None:
    names = [f"source_{attribute}" for attribute in ATTRIBUTES]
    if all(table[name].null_count == len(table) for name in names):
        return None
    cells = {row["subject_id"]: _cell([row[name] for name in names]) for row in rows(table, ("subject_id", *names))}
    clips = Counter(cells[subject] for subject in table["subject_id"].to_pylist())
    return report(Counter(cells.values()), clips, Targets.uniform())


def tagged_composition(tags: TagSummary | None) -> Equity | None:
    """Composition by the tagger's labels, one vote for each subject; None where nothing is tagged."""
    if not tags or not tags.tagged:
        return None
    cells = {name: _cell(subject.labels) for name, subject in tags.subjects.items()}
    clips = Counter[str]()
    for name, subject in tags.subjects.items():
        clips[cells[name]] += subject.clips
    return report(Counter(cells.values()), clips, Targets.uniform())


def _cell(labels: Iterable[str | None]) -> str:
    """The cell of some labels, as `planning.targets` names it; what it does not know is unknown."""
    pairs = zip(ATTRIBUTES, labels, strict=True)
    return "|".join(label if label in LABELS[name] else UNKNOWN for name, label in pairs)


def _skin(table: pa.Table) -> dict[str, Group]:
    """By band, a subject's being that of the mean angle over its clips."""
    angles: dict[str, list[float]] = {}
    for row in rows(table, ("subject_id", "skin_ita")):
        if row["skin_ita"] is not None:
            angles.setdefault(row["subject_id"], []).append(row["skin_ita"])
    bands = {subject: skin_band(fmean(found)) for subject, found in angles.items()}
    found = _groups((bands[subject], subject) for subject, there in angles.items() for _ in there)
    return {band: found[band] for band in BANDS if band in found}
