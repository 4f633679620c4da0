"""The clips that a page shows, with all that it says of each: plain data, fit for JSON.

    gallery("ws")                     # 24 of them, each cut out, in the data itself
    gallery("ws", inline=False)       # all of them, each by the address at which `equime view` serves it

Labels of appearance are *perceived*, emotions the *intended* programme of action units, sides the subject's own.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from equime import action_units, schema
from equime.audit.tables import people
from equime.audit.tables.people import BASES
from equime.audit.tables.rows import label, read_rows
from equime.errors import EquimeError
from equime.media import Media, open_media
from equime.report import choose, excerpt

Array = npt.NDArray[Any]
Clip = dict[str, Any]
Row = Mapping[str, Any]

SCORES: Final = ("unit_fidelity", "signal_to_noise", "amplitude", "identity", "sharpness")
"""Scores that a clip is shown with, and sorted by; those of them that some clip has."""
GROUPS: Final = ("gender", "age", "race", "skin")
MOMENTS: Final = ("onset", "apex", "offset")
_OWN: Final = (
    *("clip_id", "emotion", "control", "design", "split", "caption", "generate_error"),
    *("action_units", "measured_units", "accepted", "reject_reasons", *SCORES),
    *(f"{moment}_ms" for moment in MOMENTS),
    *(f"measured_{moment}_ms" for moment in MOMENTS),
    *("num_frames", "fps", "width", "height", "size_bytes"),
)
COLUMNS: Final = tuple(dict.fromkeys((*_OWN, *people.COLUMNS, "skin_ita", "source", *choose.COLUMNS, *excerpt.COLUMNS)))
"""What is read of a data set."""
_SHOWN: Final = list(dict.fromkeys((*_OWN, *excerpt.COLUMNS, *GROUPS, choose.DISAGREEMENT)))
_BATCH: Final = 4096


def gallery(
    where: str,
    labels: str | None = None,
    count: int = 24,
    *,
    inline: bool = True,
    progress: bool = True,
    stop: threading.Event | None = None,
) -> dict[str, Any]:
    """What the page shows of each clip.

    Args:
        where: A workspace, a release's or tree's folder, or OWNER/NAME[@VERSION] on the Hub.
        labels: Whose labels of appearance: "source" or "tag"; None: the sources' where they have any.
        count: Clips to choose, where they are cut out.
        inline: Cut the clips out, as part of the data; else tell where the server of `equime view` has them, all of
            them and whole.
        progress: Show the clips being cut out on a terminal.
        stop: Once it is set no further clip is cut out.

    Returns:
        {"total", "shown", "inline", "scores", "units", "clips"}, of plain types and without NaN; units: the names of
        action units by number. Times are in ms from a clip's start. A clip that cannot be shown has src None and says
        why in error.

    Raises:
        EquimeError: A data set that does not read, or that nobody has such labels in.
    """
    read = read_rows(where, COLUMNS)
    rows = label(where, read, labels)
    table = rows.table.append_column(choose.DISAGREEMENT, pa.array(disagreement(read)))
    scores = [name for name in SCORES if pc.any(pc.is_finite(table[name])).as_py()]
    if inline:
        chosen = choose.choose(table, count)
        taken = table.take(pa.array([row for row, _ in chosen], pa.int64()))
        cut = _cut_out(where, _described(taken, scores, rows.labels), len(chosen), progress)
        clips = []
        for clip, (_, why) in zip(cut, chosen, strict=True):
            if stop is not None and stop.is_set():
                break
            clips.append(clip | {"why": why})
    else:
        clips = [clip | {"why": ""} | _served(row) for row, clip in _described(table, scores, rows.labels)]
    names = {str(number): name for number, name in action_units.NAMES.items()}
    facts = {"total": len(table), "shown": len(clips), "inline": inline, "scores": scores, "units": names}
    return facts | {"clips": clips}


def packed(found: Mapping[str, Any]) -> dict[str, Any]:
    """The same for a page's script: of each clip its values alone, the fields' names and the units' once for all.

    Of 75,000 clips that is half as much.
    """
    fields = list(dict.fromkeys(field for clip in found["clips"] for field in clip))
    return {**found, "fields": fields, "clips": [[clip.get(field) for field in fields] for clip in found["clips"]]}


def address(clip_id: str) -> str:
    """Where the server of `equime view` has a clip, relative to its page."""
    return f"clips/{quote(clip_id, safe='')}.mp4"


def disagreement(table: pa.Table) -> Array:
    """Of each clip, whether its source's label and its own tag differ, or the tags of its subject's clips.

    Gender, age band and race count alike. Returns bool (n,).

    Args:
        table: `subject_id`, and of each of the three the source's label and the clip's own tag.
    """
    marked = np.zeros(len(table), bool)
    for attribute, column in BASES["tag"].items():
        tagged = _bands(table[column]) if attribute == "age" else table[column]
        differs = pc.not_equal(table[BASES["source"][attribute]], tagged)
        said = pa.table({"subject": table["subject_id"], "label": tagged}).group_by("subject")
        counts = said.aggregate([("label", "count_distinct")])
        torn = counts.filter(pc.greater(counts["label_count_distinct"], 1))["subject"].drop_null()
        marked |= differs.fill_null(False).to_numpy() | pc.is_in(table["subject_id"], torn).to_numpy()
    return marked


def _bands(ages: pa.ChunkedArray) -> pa.ChunkedArray:
    """The age band of each age in years."""
    return pa.chunked_array([[None if age is None else schema.age_band(age) for age in ages.to_pylist()]], pa.string())


def _described(table: pa.Table, scores: Sequence[str], labels: str) -> Iterator[tuple[Row, Clip]]:
    """Each row, and what the page says of it whatever way it is shown."""
    twins = _twins(table)
    for batch in table.select(_SHOWN).to_batches(_BATCH):
        for row in batch.to_pylist():
            yield row, _clip(row, scores, labels) | {"twin": twins.get(row["clip_id"])}


def _clip(row: Row, scores: Sequence[str], labels: str) -> Clip:
    return {
        "id": row["clip_id"],
        "emotion": row["emotion"],
        "control": row["control"],
        "design": row["design"] or "",
        "split": row["split"],
        "units": _units(row["action_units"]) or [],
        "measured_units": _units(row["measured_units"]),
        "groups": {name: row[name] for name in GROUPS},
        "labels": labels,
        "accepted": row["accepted"],
        "reasons": row["reject_reasons"] or [],
        "disagreement": row[choose.DISAGREEMENT],
        "scores": {name: _figure(row[name]) for name in scores},
        "planned": _times(row, ""),
        "measured": _times(row, "measured_"),
        "caption": row["caption"],
    }


def _units(units: Sequence[Row] | None) -> list[Clip] | None:
    return None if units is None else [_unit(unit["au"], unit["side"], unit["intensity"]) for unit in units]


@cache  # there are some hundred, in hundreds of thousands of places
def _unit(au: int, side: str, intensity: str | None) -> Clip:
    return {"au": au, "side": side, "intensity": intensity}


def _times(row: Row, prefix: str) -> Clip | None:
    """Onset, apex and offset in ms; None where nothing is known of them."""
    found = {moment: row[f"{prefix}{moment}_ms"] for moment in MOMENTS}
    known = {moment: None if value is None else round(value, 1) for moment, value in found.items()}
    return known if any(value is not None for value in known.values()) else None


def _figure(value: float | None) -> float | None:
    """A number to four digits, as float32 deserves; None where it is none."""
    return float(f"{value:.4g}") if value is not None and math.isfinite(value) else None


def _twins(table: pa.Table) -> dict[str, str]:
    """Of each clip with a twin in the table, the twin's id."""
    paired = table.select(["clip_id", "twin_id", "noise_key"]).filter(pc.is_valid(table["twin_id"]))
    pairs: dict[tuple[str, str], list[str]] = {}
    for row in paired.to_pylist():
        pairs.setdefault((row["twin_id"], row["noise_key"]), []).append(row["clip_id"])
    both = (pair for pair in pairs.values() if len(pair) == 2)
    return {one: other for a, b in both for one, other in ((a, b), (b, a))}


def _served(row: Row) -> Clip:
    """A clip as the server has it: whole, if it was made."""
    fps = row["fps"] or float(schema.FPS)
    shape = {"start_ms": 0.0, "fps": fps, "frames": row["num_frames"], "width": row["width"], "height": row["height"]}
    if row["size_bytes"] is None or row["generate_error"]:
        return excerpt.missing(row["generate_error"] or "not generated yet") | shape
    return {"src": address(row["clip_id"])} | shape


def _cut_out(where: str, described: Iterable[tuple[Row, Clip]], total: int, progress: bool) -> Iterator[Clip]:
    media: Media | EquimeError
    try:
        media = open_media(where)
    except EquimeError as error:  # metadata alone, as a recipe is published
        media = error
    disable = None if progress else True
    for row, clip in tqdm(described, desc="gallery", unit="clip", total=total, disable=disable):
        yield clip | _cut(media, row)


def _cut(media: Media | EquimeError, row: Row) -> Clip:
    try:
        if isinstance(media, EquimeError):
            raise media
        return excerpt.excerpt(media.read(row["clip_id"]), row)
    except EquimeError as error:
        return excerpt.missing(str(error))
