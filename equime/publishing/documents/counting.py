"""Counting the rows of a release: the part of its facts that is read off each row, or each subject's rows.

    counted(rows)["licences"]           # licence -> subjects and clips
    tagged_composition(tags)            # evenness by the tagger's labels

Labels are *perceived*. Subjects are counted once, whatever the number of their clips.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

import numpy as np

from equime import schema
from equime.planning.equity_report import Equity, report
from equime.planning.strata import strongest
from equime.planning.targets import ATTRIBUTES, LABELS, UNKNOWN, Targets
from equime.skin import BANDS, skin_band
from equime.tag_summary import TagSummary

Row = Mapping[str, Any]

COLUMNS: Final = (
    *("subject_id", "source_licence", "source_gender", "source_age", "source_race", "design", "twin_id"),
    *("emotion", "control", "split", "action_units", "onset_ms", "apex_ms", "offset_ms", "skin_ita"),
    *("num_frames", "fps", "width", "height", "size_bytes", "generator", "generator_model", "accepted"),
)
"""What `counted` reads of a row."""
NOT_RECORDED: Final = "not recorded"
NOT_CODED: Final = "not coded"
NO_SPLIT: Final = schema.SPLITS[0]


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


def counted(rows: Sequence[Row]) -> dict[str, Any]:
    """The fields of `facts.Facts` that are read off the rows, which hold (at least) `COLUMNS`."""
    return {
        "subjects": len({row["subject_id"] for row in rows}),
        **_plan_facts(rows),
        **_expression_facts(rows),
        **_clip_facts(rows),
        "source": _source_composition(rows),
        "skin": _skin(rows),
    }


def _plan_facts(rows: Sequence[Row]) -> dict[str, Any]:
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        label = row["emotion"] or row["control"] or schema.NEUTRAL
        counts.setdefault(row["split"] or NO_SPLIT, Counter())[label] += 1
    labels = (*schema.EMOTIONS, schema.DISGUST, *schema.CONTROLS)
    splits = [split for split in schema.SPLITS if split in counts]
    found = _groups(rows, lambda row: row["source_licence"] or NOT_RECORDED)
    licences = sorted(found, key=lambda name: (-found[name].clips, name))
    by_split = _groups(rows, lambda row: row["split"] or NO_SPLIT)
    return {
        "counts": {s: {label: counts[s][label] for label in labels if counts[s][label]} for s in splits},
        "by_split": {split: by_split[split] for split in splits},
        "designs": commonest(row["design"] or NOT_RECORDED for row in rows),
        "twins": sum(row["twin_id"] is not None for row in rows),
        "licences": {name: found[name] for name in licences},
    }


def _groups(rows: Iterable[Row], name: Callable[[Row], str | None]) -> dict[str, Group]:
    clips, who = Counter[str](), dict[str, set[str]]()
    for row in rows:
        if (label := name(row)) is not None:
            clips[label] += 1
            who.setdefault(label, set()).add(row["subject_id"])
    return {label: Group(len(who[label]), count) for label, count in clips.items()}


def _expression_facts(rows: Sequence[Row]) -> dict[str, Any]:
    shown = [row for row in rows if row["action_units"] and not row["control"]]
    timed = [row for row in shown if None not in (row["onset_ms"], row["apex_ms"], row["offset_ms"])]
    letters = Counter(strongest(row["action_units"]) or NOT_CODED for row in shown)
    units = Counter(au for row in shown for au in {unit["au"] for unit in row["action_units"]})
    sides = Counter(unit["side"] for row in shown for unit in row["action_units"])
    return {
        "intensities": {name: letters[name] for name in (*schema.INTENSITIES, NOT_CODED) if letters[name]},
        "units": {au: units[au] for au in sorted(units)},
        "sides": {side: sides[side] for side in schema.SIDES if sides[side]},
        "duration_ms": _spread([row["offset_ms"] - row["onset_ms"] for row in timed]),
        "rise_ms": _spread([row["apex_ms"] - row["onset_ms"] for row in timed]),
    }


def _spread(values: Sequence[float]) -> Spread | None:
    if not values:
        return None
    numbers = np.asarray(values, np.float64)
    found = (numbers.min(), np.median(numbers), numbers.mean(), numbers.max())
    return Spread(len(values), *map(float, found))


def _clip_facts(rows: Sequence[Row]) -> dict[str, Any]:
    named = [f"{row['generator']} {row['generator_model'] or ''}".strip() for row in rows if row["generator"]]
    sizes = [row["size_bytes"] for row in rows if row["size_bytes"] is not None]
    there = [row for row in rows if row["width"] is not None and row["fps"] is not None]
    return {
        "formats": commonest(f"{r['width']}x{r['height']}, {r['fps']:g} fps, {r['num_frames']} frames" for r in there),
        "video_bytes": sum(sizes),
        "generators": commonest(named),
    }


def _source_composition(rows: Sequence[Row]) -> Equity | None:
    names = [f"source_{attribute}" for attribute in ATTRIBUTES]
    if not any(row[name] for row in rows for name in names):
        return None
    cells = {row["subject_id"]: _cell([row[name] for name in names]) for row in rows}
    clips = Counter(cells[row["subject_id"]] for row in rows)
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


def _skin(rows: Sequence[Row]) -> dict[str, Group]:
    """By band, a subject's being that of the mean angle over its clips."""
    angles: dict[str, list[float]] = {}
    for row in rows:
        if row["skin_ita"] is not None:
            angles.setdefault(row["subject_id"], []).append(row["skin_ita"])
    bands = {subject: skin_band(fmean(found)) for subject, found in angles.items()}
    measured = (row for row in rows if row["skin_ita"] is not None)
    found = _groups(measured, lambda row: bands[row["subject_id"]])
    return {band: found[band] for band in BANDS if band in found}
