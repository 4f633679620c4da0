"""What is measured of a release: every number that its card, datasheet and Croissant file say.

Why apart: a card is what people cite. Each number in it is counted here from the rows that are released, so that none
is written by hand and all documents say the same one; what was not measured is None or empty, and they say so.

    facts = gather(tables, about, made=made, planned=5000, left_out={"rejected": 12}, withdrawn=(), sizes={})
    facts.clips; facts.source.balances["race"].measures("identities")["evenness"]

No subject's id, no source and no source's hash is in it. Demographic labels are *perceived*, by whoever labelled the
source pictures or by a classifier; emotions are the *intended* programme of action units.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from equime import schema, summary, tag_summary
from equime.captioning import agreement
from equime.planning.equity_report import Equity
from equime.publishing.about import About
from equime.publishing.documents.counting import COLUMNS as COUNTED
from equime.publishing.documents.counting import (
    NOT_RECORDED,
    Group,
    Spread,
    commonest,
    counted,
    rows,
    tagged_composition,
)
from equime.publishing.origin import Accepted, Tombstone, Way
from equime.quality.study import Study, study
from equime.tag_summary import TagSummary

Row = Mapping[str, Any]

__all__ = ["Facts", "Group", "Spread", "gather"]

VALIDITY: Final = (
    *("subject_id", "control", "action_units", "onset_ms", "apex_ms", "offset_ms", "fps", "accepted", "gender", "race"),
    *("source_gender", "source_age", "source_race", "measured_onset_ms", "measured_apex_ms", "measured_offset_ms"),
    *("measured_side", "region_motion", "unit_fidelity", "unit_fidelity_shuffled", "reject_reasons", "skin_ita"),
)
GROUPED: Final = ("measured", "apex within 2", "duration within 2", "regions")
"""Figures of `quality.study` that documents give for every group."""
CAPTIONS: Final = (*agreement.NEEDED, "emotion")
QUALITY: Final = (
    *(n for n in schema.GROUPS["score"].names if n.endswith(("_source", "_consecutive", "_reference"))),
    *schema.NO_REFERENCE,
    *summary.MOTION,
)
NEEDED: Final = tuple(dict.fromkeys([*COUNTED, *VALIDITY, *CAPTIONS, *tag_summary.COLUMNS]))
"""The columns that are held, beside means of `QUALITY`: absent ones count as null."""


@dataclass(frozen=True)
class Facts:
    """The numbers of a release. Made by `gather`; mappings are in the order in which they are shown.

    Attributes:
        about: As its maker names it.
        made: How each group of columns was made.
        planned: Clips that the workspace plans.
        left_out: Why -> clips planned and not released: "rejected", "failed", "stale", "withdrawn".
        withdrawn: How many subjects were taken out on request, in this version or before.
        sizes: Path -> bytes, of the files of the release known so far.
        clips: Clips released (of a recipe: described).
        subjects: Whose they are.
        counts: Split -> emotion (or control) -> clips.
        by_split: Split -> subjects and clips; splits without rows are absent.
        designs: Why a clip was planned ("balanced", "dose", "control", "refill") -> clips.
        twins: Clips that belong to a pair which differs in one cause only.
        licences: Licence of the source picture -> subjects and clips; "not recorded" where none is.
        source: Composition by the labels that the sources came with; None where no clip has any.
        tagged: Composition by the tagger's labels, one vote for each subject; None where nothing is tagged.
        skin: Band of skin as pictured (`skin.BANDS`) -> subjects (the mean angle over their clips) and clips;
            empty where it was not measured.
        intensities: Strongest unit's letter -> clips with an expression, controls are none; "not coded" where none is.
        units: Action unit -> clips with an expression whose plan holds it.
        sides: Side -> planned units; the subject's own.
        duration_ms: Planned duration, offset less onset, of the clips with an expression; None without any.
        rise_ms: Planned onset to apex, likewise.
        formats: "512x512, 24 fps, 144 frames" -> clips; the commonest first.
        video_bytes: Of all clips together.
        generators: "generator model" as the rows name them -> clips.
        captioners: Captioner -> clips with a caption.
        captions: Captions against plan and measurement; None where no clip has a caption.
        tags: How sure the tags are; None where nothing is tagged. Its `subjects` is emptied.
        unstable: Subjects whose clips the tagger labels differently.
        scored: Clips with a score.
        accepted: Clips that the score accepts.
        quality: Fidelity measure -> (mean, clips that have it), with "amplitude" and "stillness"; empty: not measured.
        validity: Measured against planned; None where nothing is scored.
        columns: Names of the columns in which some row holds a value; "video" among them unless it is a recipe.
        acceptance: By group, before rejected clips were left out; empty where nothing was scored.
        models: Model -> revision or hash, of all stages.
    """

    about: About
    made: tuple[Way, ...]
    planned: int
    left_out: Mapping[str, int]
    withdrawn: int
    sizes: Mapping[str, int]
    clips: int
    subjects: int
    counts: Mapping[str, Mapping[str, int]]
    by_split: Mapping[str, Group]
    designs: Mapping[str, int]
    twins: int
    licences: Mapping[str, Group]
    source: Equity | None
    tagged: Equity | None
    skin: Mapping[str, Group]
    intensities: Mapping[str, int]
    units: Mapping[int, int]
    sides: Mapping[str, int]
    duration_ms: Spread | None
    rise_ms: Spread | None
    formats: Mapping[str, int]
    video_bytes: int
    generators: Mapping[str, int]
    captioners: Mapping[str, int]
    captions: agreement.Report | None
    tags: TagSummary | None
    unstable: int
    scored: int
    accepted: int
    quality: Mapping[str, tuple[float, int]]
    validity: Study | None
    columns: tuple[str, ...]
    acceptance: tuple[Accepted, ...] = ()

    @property
    def models(self) -> dict[str, str]:
        """Model -> revision or hash, of all stages."""
        return {name: revision for way in self.made for name, revision in way.models.items()}


def gather(
    metadata: pa.Table | Iterable[pa.Table],
    about: About,
    *,
    made: Sequence[Way],
    planned: int,
    left_out: Mapping[str, int],
    withdrawn: Sequence[Tombstone],
    sizes: Mapping[str, int],
    acceptance: tuple[Accepted, ...] = (),
) -> Facts:
    """Count and measure a release. Holds the columns it needs, less than 1 kB a clip, and rows only in passing.

    Args:
        metadata: The rows of its `metadata/*.parquet`, in one table or piece by piece.
        about: As its maker names it.
        made: How each group of columns was made.
        planned: Clips that the workspace plans.
        left_out: Why -> clips planned and not released.
        withdrawn: Subjects taken out so far.
        sizes: Path -> bytes of the files written so far.
        acceptance: By group, of the workspace that the rows were chosen from.
    """
    table, columns, quality = _collected([metadata] if isinstance(metadata, pa.Table) else metadata)
    scored = len(table) - table["accepted"].null_count
    return Facts(
        about=about,
        made=tuple(made),
        planned=planned,
        left_out={why: count for why, count in left_out.items() if count},
        withdrawn=len(withdrawn),
        sizes=dict(sorted(sizes.items())),
        clips=len(table),
        **counted(table),
        **_tagged(table),
        captioners=commonest(_column(table, "captioner", where="caption")),
        captions=agreement.agreement(rows(table, CAPTIONS)) if _any(table, "caption") else None,
        scored=scored,
        accepted=pc.sum(table["accepted"]).as_py() or 0,
        quality=quality,
        validity=study(rows(table, VALIDITY), GROUPED) if scored else None,
        columns=(*columns, *(["video"] if about.mode == "clips" else [])),
        acceptance=acceptance,
    )


def _collected(pieces: Iterable[pa.Table]) -> tuple[pa.Table, list[str], dict[str, tuple[float, int]]]:
    """Of all pieces: the needed columns, the names of those that hold a value, in order, and `Facts.quality`."""
    wanted = pa.schema([schema.METADATA.field(name) for name in dict.fromkeys((*NEEDED, *QUALITY))])
    kept, seen = [wanted.empty_table().select(NEEDED)], set[str]()
    counts, totals = Counter[str](), defaultdict[str, float](float)
    for piece in pieces:
        there = schema.conform(piece.select([name for name in wanted.names if name in piece.column_names]), wanted)
        kept.append(there.select(NEEDED))
        seen |= {name for name in piece.column_names if piece[name].null_count < len(piece)}
        for name in QUALITY:
            counts[name] += len(there) - there[name].null_count
            totals[name] += pc.sum(there[name]).as_py() or 0.0
    means = {name: (totals[name] / count, count) for name, count in counts.items() if count}
    return pa.concat_tables(kept), [name for name in schema.METADATA.names if name in seen], means


def _tagged(table: pa.Table) -> dict[str, Any]:
    """The fields that are read off the tags; the subjects, whom nothing published may name, are dropped."""
    tags = tag_summary.summarise(rows(table, tag_summary.COLUMNS)) if _any(table, "tagger") else None
    return {
        "tagged": tagged_composition(tags),
        "tags": replace(tags, subjects={}) if tags and tags.tagged else None,
        "unstable": len(tags.unstable) if tags else 0,
    }


def _any(table: pa.Table, name: str) -> bool:
    return bool(table[name].null_count < len(table))


def _column(table: pa.Table, name: str, where: str) -> Iterator[str]:
    """The values of a column in rows that have another, with a word for those that have none."""
    for value in table.filter(pc.is_valid(table[where]))[name].to_pylist():
        yield value or NOT_RECORDED
