r"""Does the generator animate every face as well, and whom does acceptance leave out?

    rows = open_rows("ws", COLUMNS)
    print("\n".join(generator(rows).lines()))

By perceived group, by tone of skin as pictured and by glasses: what failed, what was accepted and why not, whether
the expression was found at all, how strong it was, how far from its planned time, and how the picture fared. A
rejected clip is no data, so that acceptance that differs by group unbalances a balanced plan: the shares of each group
are given as planned, as generated and as accepted. Controls and dose sweeps are no part of the balance and are left
out. Sides are the subject's own; groups are of *perceived* labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from equime import schema
from equime.audit.measures.means import TESTED, by_groups, finding, tallied
from equime.audit.measures.resampling import drawn_of_all, estimates, share
from equime.audit.result import Audit, Finding
from equime.audit.tables.groups import DEFAULT, Groups, is_small, several, whose
from equime.audit.tables.rows import Rows
from equime.errors import EquimeError
from equime.planning.strata import LEFT_OUT, REFILL
from equime.quality.clip_columns import gates

Array = npt.NDArray[Any]

QUALITY: Final = (
    *("amplitude", "identity", "unit_fidelity", "signal_to_noise", "residual"),
    *("head_motion", "flicker", "sharpness", "brisque"),
)
"""Columns whose means are given as they are."""
TIMES: Final = ("onset_ms", "apex_ms", "offset_ms")
COLUMNS: Final = (
    *("emotion", "control", "design", "action_units", "sha256", "generate_error"),
    *("accepted", "reject_reasons", "score_error", "measured_side"),
    *(*TIMES, *(f"measured_{name}" for name in TIMES), *QUALITY),
)
"""What `generator` reads, beside the labels."""
GATES: Final = 4
"""How many gates, the commonest, are looked at one by one."""
STAGES: Final = ("planned", "generated", "accepted")
QUESTION: Final = "Does the generator animate every face as well, and whom does acceptance leave out?"
NOTES: Final = (
    "balanced clips and refills; controls and dose sweeps are left out",
    "accepted, rejected: of scored clips, one that could not be made or scored counting as not accepted; measured,"
    " side: of scored clips; all else: of clips where it was measured",
    "which unit, intensity and time a clip plans does not depend on its group by design: check it with the association"
    " audit before a gap is put down to the generator",
    "an error in time is that of generator and measurement together: a measure that is blind to a tone of skin shows"
    " here too",
    "accepted minus planned: of the shares of a group, in percentage points, over the clips that were scored",
    TESTED,
)


def generator(rows: Rows, by: Sequence[str] | None = None) -> Audit:
    """How clips fare by group.

    Args:
        rows: With `COLUMNS`, or fewer: what is absent counts as null.
        by: Attributes; None: those of `groups.DEFAULT`, and glasses, that somebody has a label of.

    Returns:
        Means over all clips and by group, gaps; the shares of groups planned, generated and accepted, and
        "accepted minus planned" in percentage points, over the scored clips.

    Raises:
        EquimeError: No planned expression, none generated, or as `groups`.
    """
    rows = rows.chosen(balanced(rows.table))
    if not len(rows):
        raise EquimeError(f"{rows.name} plans no expression: nothing was to be generated")
    columns = measures(rows.table)
    if not any((~np.isnan(values)).any() for values in columns.values()):
        raise EquimeError(
            f"{rows.name} tells nothing of how clips were generated: audit a workspace, after `equime generate`"
        )
    groupings, notes = several(rows, by, (*DEFAULT, "glasses"))
    found = by_groups(rows, columns, groupings)
    stages = _stages(rows.table)
    found += _selection(rows, stages, groupings)
    unscored = int((~stages["scored"]).sum())
    pending = [f"{unscored:,} of {len(rows):,} clips are not scored yet and say nothing of acceptance"] * bool(unscored)
    drawn = ("accepted", "measured", "amplitude", "apex error, ms", "identity")
    return Audit("generator", QUESTION, tuple(found), (*NOTES, *pending, *rows.notes, *notes), drawn)


def balanced(table: pa.Table) -> Array:
    """Which clips plan an expression of the balanced whole, bool (n,): no control, no dose sweep."""
    left = pc.fill_null(pc.is_in(_column(table, "design"), pa.array(LEFT_OUT)), False)
    kept = pc.and_(_column(table, "emotion").is_valid(), _column(table, "control").is_null())
    return np.asarray(pc.and_not(kept, left))


def measures(table: pa.Table) -> dict[str, Array]:
    """What is averaged of each clip, by name: float64 (n,), NaN where it says nothing."""
    stages = _stages(table)
    judged = np.asarray(_column(table, "accepted").is_valid())
    planned, found = (
        [_numbers(table, f"{prefix}{name}") for name in TIMES] for prefix in ("", "measured_")
    )  # onset, apex, offset
    own, seen = _sides(table)
    columns = {
        "failed": _said(stages["failed"], stages["tried"]),
        "accepted": _said(stages["accepted"], stages["scored"]),
        "measured": _said(~np.isnan(found[1]), judged & ~np.isnan(planned[1])),
        "side right": _said(own == seen, judged & (own >= 0)),
        "apex error, ms": np.abs(found[1] - planned[1]),
        "duration error, ms": np.abs(found[2] - found[0] - planned[2] + planned[0]),
    }
    columns |= {name.replace("_", " "): _numbers(table, name) for name in QUALITY}
    columns |= {f"rejected by {gate}": _said(hit, stages["scored"]) for gate, hit in _refusals(table)}
    return columns


def _stages(table: pa.Table) -> dict[str, Array]:
    failed, error = (np.asarray(_column(table, name).is_valid()) for name in ("generate_error", "score_error"))
    made = np.asarray(_column(table, "sha256").is_valid()) & ~failed
    said = np.asarray(_column(table, "accepted").is_valid())
    accepted = np.asarray(pc.fill_null(_column(table, "accepted"), False), bool)
    first = ~np.asarray(pc.fill_null(pc.equal(_column(table, "design"), REFILL), False))
    scored = said | error | failed
    tried = made | failed | said
    return {
        "failed": failed,
        "tried": tried,
        "scored": scored,
        "planned": first,
        "generated": tried & ~failed,
        "accepted": accepted,
    }


def _column(table: pa.Table, name: str) -> pa.Array:
    if name in table.column_names:
        return table[name].combine_chunks()
    return pa.nulls(len(table), schema.METADATA.field(name).type)


def _numbers(table: pa.Table, name: str) -> Array:
    """A column as float64, null and infinity as NaN."""
    values = np.asarray(pc.fill_null(_column(table, name).cast(pa.float64()), np.nan))
    return np.where(np.isfinite(values), values, np.nan)


def _said(values: Array, known: Array) -> Array:
    return np.where(known, values, np.nan)


def _sides(table: pa.Table) -> tuple[Array, Array]:
    """The side that all units of a clip share, and the measured one: places in `schema.SIDES`, below 0 without any."""
    units = _column(table, "action_units")
    clip = np.asarray(pc.list_parent_indices(units), np.int64)
    side = np.asarray(pc.fill_null(_places(pc.struct_field(pc.list_flatten(units), "side")), -1), np.int64)
    least, most = np.full(len(table), len(schema.SIDES)), np.full(len(table), -1)
    np.minimum.at(least, clip, side)
    np.maximum.at(most, clip, side)
    told = (least == most) & (most != schema.SIDES.index("U"))
    measured = np.asarray(pc.fill_null(_places(_column(table, "measured_side")), -2), np.int64)
    return np.where(told, most, -1), measured


def _places(sides: pa.Array) -> pa.Array:
    return pc.index_in(sides, pa.array(schema.SIDES))


def _refusals(table: pa.Table) -> Iterator[tuple[str, Array]]:
    """The commonest gates, and which clips each rejected."""
    hits: dict[str, list[int]] = {}
    for clip, reasons in enumerate(_column(table, "reject_reasons").to_pylist()):
        for gate in gates({"reject_reasons": reasons}) if reasons else ():
            hits.setdefault(gate, []).append(clip)
    for gate, _ in Counter({gate: len(clips) for gate, clips in hits.items()}).most_common(GATES):
        yield gate, np.isin(np.arange(len(table)), hits[gate])


def _selection(rows: Rows, stages: Mapping[str, Array], groupings: Sequence[Groups]) -> Iterator[Finding]:
    """Shares of groups at each stage; accepted minus planned over the clips that were scored."""
    who = whose(rows)[0]
    masks = [*(stages[stage] for stage in STAGES), stages["planned"] & stages["scored"]]
    columns = {str(k): np.where(mask, 1.0, np.nan) for k, mask in enumerate(masks)}
    parts = [tallied(columns, who, by)[..., 1] for by in groupings]
    ends = np.cumsum([0, *(len(by.names) for by in groupings)])
    spans = [slice(a, b) for a, b in pairwise(ends)]

    counts = np.concatenate(parts, 1)
    values, drawn = counts.sum(0), drawn_of_all(counts)
    names = [("share", f"{stage} clips") for stage in STAGES] + [("accepted minus planned", "")]
    for by, part, span in zip(groupings, parts, spans, strict=True):
        shares, again = _changes(values[span]), _changes(drawn[:, span])
        told: dict[str, Any] = {"by": by.by, "labels": rows.labels_of(by.by), "scope": "selection"}
        clips, people = part.sum(0).astype(int), (part > 0).sum(0)
        for g, group in enumerate(by.names):
            for k, estimate in enumerate(estimates(shares[g], again[:, g])):
                measure, of = names[k]
                of_group = {"of": of, "group": group, "small": is_small(int(people[g, k])), **told}
                yield finding(measure, estimate, f"no {STAGES[min(k, 2)]} clips", clips[g, k], people[g, k], **of_group)


def _changes(pooled: Array) -> Array:
    """Shares of the groups at each of `STAGES`, and accepted minus planned in points: (..., groups, 4)."""
    found = share(pooled, pooled.sum(-2, keepdims=True))
    return np.concatenate([found[..., :3], 100 * (found[..., 2:3] - found[..., 3:])], -1)
