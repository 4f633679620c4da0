"""What a data set is and what was measured of it, as tables for a report: counts, means, planned against measured.

    made_of(rows)          # clips by emotion: planned, made, scored, accepted
    quality(rows)          # means of the fidelity measures over the clips that have them
    validity(studied(rows))   # times, sides, regions: beside the best constant guess and shuffled plans

Emotions are the *intended* programme of action units; labels of appearance are *perceived*.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from equime import schema
from equime.audit.tables.rows import Rows
from equime.errors import EquimeError
from equime.publishing.documents.columns import DESCRIPTIONS
from equime.quality.figures import Figure
from equime.quality.study import CLEAR, IN_GROUPS, Study, study
from equime.summary import MOTION
from equime.wording import counted

FIDELITY: Final = (
    *(n for n in schema.GROUPS["score"].names if n.endswith(("_source", "_consecutive", "_reference"))),
    *schema.NO_REFERENCE,
    *MOTION,
)
READING: Final = (
    "Read every number with its n, and every gap beside what chance alone gives (in pictures a dashed mark). Intervals "
    "are of 95 % and draw whole people, not clips; p-values are corrected for how many were tested. Groups of few "
    "people are hollow or marked, stay in the picture, and do not make a gap.",
    "Gender, age and race are perceived: labels by whoever labelled the source pictures, or by a classifier, one for "
    "each person; nobody was asked. Skin is as pictured. Emotions are intended: programmes of facial action units, "
    "planned alike for every group, felt by nobody. What holds here need not hold for real expressions.",
)
_STUDIED: Final = (
    *("action_units", "onset_ms", "apex_ms", "offset_ms", "control", "fps", "accepted", "reject_reasons"),
    *("measured_onset_ms", "measured_apex_ms", "measured_offset_ms", "measured_side"),
    *("region_motion", "unit_fidelity", "unit_fidelity_shuffled"),
)
"""No label of appearance: by group the generator's audit says the same, with gaps and what chance makes of them."""
COLUMNS: Final = tuple(
    dict.fromkeys(
        ["emotion", "split", "design", "sha256", "generator", "captioner", "tagger", "caption", *_STUDIED, *FIDELITY]
    )
)
"""What these tables are made of."""


@dataclass(frozen=True)
class Grid:
    """A plain table.

    Attributes:
        title: What it shows.
        header: Of each column; the first is of words, the others of numbers unless they hold something else.
        rows: As they are shown.
        note: How to read it; "" where that is plain.
        folded: Whether it opens only when asked for.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    folded: bool = False


def made_of(rows: Rows) -> list[Grid | str]:
    """How many clips were planned, made, scored and accepted, by emotion and by split, and what made them."""
    table, subjects = rows.table, pc.count_distinct(rows.table["subject_id"]).as_py()
    stages = _stages(table)
    sums = ", ".join(f"{int(pc.sum(mask).as_py() or 0):,} {name}" for name, mask in stages.items() if name != "clips")
    kinds = pc.fill_null(pc.coalesce(table["emotion"], table["control"]), "no emotion")
    known = [*schema.EMOTIONS, schema.DISGUST, *schema.CONTROLS]
    return [
        f"{rows.name}: {len(rows):,} clips of {counted(subjects, 'subject')}: {sums}.",
        *READING,
        _counted("Clips by intended emotion", "emotion or control", kinds, stages, known),
        _counted("Clips by split", "split", pc.fill_null(table["split"], "none"), stages, schema.SPLITS),
        *_makers(table),
    ]


def quality(rows: Rows) -> list[Grid | str]:
    """The mean of each fidelity measure over the clips that have it, and of the motion.

    Raises:
        EquimeError: No clip is scored.
    """
    if not pc.any(pc.is_valid(rows.table["accepted"])).as_py():
        raise EquimeError(f"no clip of {rows.name} is scored: run `equime score {rows.name}`")
    found = [(name, rows.table[name]) for name in FIDELITY]
    shown = tuple(
        (name, f"{pc.mean(column).as_py():.4g}", f"{len(column) - column.null_count:,}", DESCRIPTIONS[name])
        for name, column in found
        if column.null_count < len(column)
    )
    note = "A frozen clip is perfect in every measure of fidelity: read them beside " + " and ".join(MOTION) + "."
    return [Grid("Means over clips", ("measure", "mean", "clips", "what it is"), shown, note)]


def studied(rows: Rows) -> Study:
    """What was measured against what was planned, as `quality.study` has it; over all groups.

    Raises:
        EquimeError: No clip is scored, or none has a planned expression.
    """
    scored = rows.table.filter(pc.is_valid(rows.table["accepted"])).select(["subject_id", *_STUDIED])
    found = study((row for batch in scored.to_batches(4096) for row in batch.to_pylist()), IN_GROUPS)
    if not found.clips:
        raise EquimeError(f"no scored clip of {rows.name} has a planned expression: run `equime score {rows.name}`")
    return found


# --- counts


def _stages(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    scored = pc.is_valid(table["accepted"])
    return {
        "clips": pa.chunked_array([pa.repeat(True, len(table))]),
        "made": pc.is_valid(table["sha256"]),
        "scored": scored,
        "accepted": pc.fill_null(table["accepted"], False),
    }


def _counted(
    title: str, what: str, kinds: pa.ChunkedArray, stages: Mapping[str, pa.ChunkedArray], order: Sequence[str]
) -> Grid:
    found = pa.table({"kind": kinds} | {name: pc.cast(mask, pa.int64()) for name, mask in stages.items()})
    sums = found.group_by("kind").aggregate([(name, "sum") for name in stages]).to_pylist()
    sums.sort(key=lambda row: (order.index(row["kind"]) if row["kind"] in order else len(order), row["kind"]))
    lines = tuple((str(row["kind"]), *(f"{row[f'{name}_sum']:,}" for name in stages)) for row in sums)
    return Grid(title, (what, *stages), lines)


def _makers(table: pa.Table) -> Iterator[Grid]:
    names = {"generator": "clips made by", "captioner": "captions by", "tagger": "perceived labels by"}
    found = [
        (said, str(each["values"]), f"{each['counts']:,}")
        for column, said in names.items()
        for each in pc.value_counts(table[column]).to_pylist()
        if each["values"] is not None
    ]
    if found:
        yield Grid("Made by", ("what", "who", "clips"), tuple(found))


# --- planned against measured


def validity(found: Study) -> Iterator[Grid | str]:
    """The same as tables: all expressions, by intensity, controls, and by which gate clips were rejected."""
    groups = [name for name in ("all", CLEAR) if name in found.figures]
    yield f"{found.clips:,} scored clips of {counted(found.subjects, 'subject')} with a planned expression."
    for group in groups:
        figures = found.figures[group]
        lines = tuple((name, *_told(figure, name)) for name, figure in figures.items())
        header = ("figure", "measured", "95 % interval", "best constant", "shuffled plans", "n")
        title = "All expressions" if group == "all" else f"Intensity {group}"
        note = (
            "Within 1 or 2: of so many frames of the plan; shares of clips, what was not measured counting as missed. "
            "Errors in ms, of what was measured. Side: the planned side was told. Regions and unit fidelity: area "
            "under the ROC curve of planned against unplanned ones, n counts both. Best constant: the best guess that "
            "is the same for every clip; shuffled: the plans of other clips."
        )
        yield Grid(title, header, lines, note, folded=group != "all")
    lines = tuple(
        (group, *(_short(figures.get(name, Figure())) for name in IN_GROUPS), f"{figures['measured'].clips:,}")
        for group, figures in found.figures.items()
    )
    yield Grid("By intensity", ("group", *IN_GROUPS, "clips"), lines)
    controls = tuple(
        (kind, _number(f["accepted"].value), _number(f["measured"].value), f"{f['accepted'].clips:,}")
        for kind, f in found.controls.items()
    )
    if controls:
        yield Grid("Controls", ("control", "accepted as what it is", "something moved", "clips"), controls)
    if gates := found.reasons.get("all"):
        yield Grid("Rejected by", ("gate", "clips"), tuple((gate, f"{count:,}") for gate, count in gates.items()))


def _told(figure: Figure, name: str) -> tuple[str, ...]:
    digits = 1 if name.endswith(" ms") else 3
    low, high = _number(figure.low, digits), _number(figure.high, digits)
    span = f"{low} to {high}" if figure.low is not None else "–"
    baselines = _number(figure.constant, digits), _number(figure.control, digits)
    return _number(figure.value, digits), span, *baselines, f"{figure.clips:,}"


def _short(figure: Figure) -> str:
    span = f" [{_number(figure.low, 2)}, {_number(figure.high, 2)}]" if figure.low is not None else ""
    return _number(figure.value) + span


def _number(value: Any, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
