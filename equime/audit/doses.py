"""How strong must an expression be to be found, and is that the same for every group?

    found = doses(open_rows("ws", COLUMNS))
    found.one("threshold", of="measured apex", by="race", group="black")      # 2.4: between B and C

A dose sweep is one face with one noise at the intensities A to E (FACS's letters, here 1 to 5: an order, and only by
convention a scale). The threshold is the dose at which half of the clips are detected: rates made monotone (pool
adjacent violators; Ayer et al. 1955), then a straight line between two doses. Where A is detected in more than half, or
E in fewer, the threshold lies outside the sweep and is not said.

Groups are of *perceived* labels, emotions are *intended*.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from equime import schema
from equime.audit.measures.permutation import pooled
from equime.audit.measures.resampling import ENDS, Test, Tested, Units, compared, corrected, drawn, estimates, mean
from equime.audit.result import Audit, Finding, figures
from equime.audit.tables.answers import Answered
from equime.audit.tables.files import require
from equime.audit.tables.groups import Groups, is_small, several, whose
from equime.audit.tables.rows import Rows
from equime.bootstrap import Estimate
from equime.errors import EquimeError

Array = npt.NDArray[Any]

COLUMNS: Final = ("clip_id", "design", "emotion", "action_units", "measured_apex_ms", "accepted")
HALF: Final = 0.5
MEASURED, RECOGNISED = "measured apex", "recognised emotion"
QUESTION: Final = "How strong must an expression be to be found?"
NOTES: Final = (
    "detected: an apex was measured; with answers also: the emotion was recognised (one of five at random is a fifth)",
    "the threshold is the dose, 1 (A) to 5 (E), at which half of the clips are detected; intensities are an order, so"
    " that half a dose means no more than between two letters",
    "intervals draw people; a gap of thresholds counts a group below A as 1 and one above E as 5, so that it is the"
    " least that the gap can be",
    '"chance or target" is of that gap its mean where chance deals the groups to people; rates have none',
)
_BOUNDS: Final = "below A", "above E"
_HAIR: Final = 1e-9


def doses(rows: Rows, answers: Answered | None = None, by: Sequence[str] | None = None) -> Audit:
    """Detection by dose, and the dose at which half are detected, overall and by group.

    Args:
        rows: Of a data set, with `COLUMNS`.
        answers: To its clips; with several seeds a clip counts as recognised by the share of them that were right.
        by: Attributes to group by; None: `groups.DEFAULT`.

    Returns:
        For each kind of detection ("measured apex", "recognised emotion"): the rate at each dose, the threshold and,
        for each attribute, the gap between the groups that are not small.

    Raises:
        EquimeError: No dose sweep, none of it scored or answered, no such attribute, or nobody has a label of it.
    """
    require(rows.table, ("design", "action_units", "subject_id"), rows.name)
    swept = rows.chosen(pc.equal(rows.table["design"], "dose").combine_chunks().fill_null(False))
    if not len(swept):
        raise EquimeError(f"{rows.name} has no sweep of intensities: plan one with `equime plan ... --dose 100`")
    dose, notes = _doses(swept), []
    found: dict[str, Array] = {}
    for of, hits in _detections(swept, answers).items():
        known = ~np.isnan(hits) & (dose >= 0) & (whose(swept)[0] >= 0)
        if known.any():
            found[of] = np.where(known, hits, np.nan)
        if missing := int((~known).sum()):
            notes.append(
                f"{of}: {missing:,} of {len(known):,} clips say nothing and are left out (not scored, no answer)"
            )
    if not found:
        raise EquimeError(f"no clip of {rows.name}'s sweep of intensities was scored or answered: `equime score` first")
    grouped, more = several(swept, by)
    every = Groups("", ("",), np.zeros(len(swept), np.int64))
    findings = [
        each for of, hits in found.items() for one in (every, *grouped) for each in _of(of, hits, dose, swept, one)
    ]
    said = (*NOTES, *swept.notes, *more, *notes)
    drawing = (*(f"threshold of {of}" for of in found), "detected")
    return Audit("doses", QUESTION, corrected(findings), said, drawing)


# --- from rates to thresholds


def monotone(hits: Array, trials: Array) -> Array:
    """Rates that never fall from a dose to the next, nearest to those found: weighted isotonic regression.

    By its max-min formula (Robertson et al. 1988, 1.4): the highest, over where a stretch begins, of the lowest, over
    where it ends, mean of the stretch.

    Args:
        hits: float64 (..., D).
        trials: float64 (..., D).

    Returns:
        float64 (..., D), NaN for a dose without trials.
    """
    sums = [np.concatenate([np.zeros((*part.shape[:-1], 1)), np.cumsum(part, -1)], -1) for part in (hits, trials)]
    size = hits.shape[-1]
    means = np.full((*hits.shape[:-1], size, size), np.nan)
    for first in range(size):
        above, below = (total[..., first + 1 :] - total[..., [first]] for total in sums)
        np.divide(above, below, out=means[..., first, first:], where=below > 0)
    found = [np.fmax.reduce(np.fmin.reduce(means[..., : dose + 1, dose:], -1), -1) for dose in range(size)]
    return np.where(trials > 0, np.stack(found, -1), np.nan)


def threshold(counts: Array) -> Array:
    """The dose at which half are detected, 1 to D: of counts (..., D, 2) of detected clips and of all, (...).

    -inf where it lies below the first dose, inf where it lies above the last, NaN without clips.
    """
    trials = np.asarray(counts[..., 1], np.float64)
    rates = monotone(np.asarray(counts[..., 0], np.float64), trials)
    found = np.where((trials > 0).any(-1), np.inf, np.nan)
    # The last dose below the half and its rate; dose 0 where there is none so far.
    at, below = np.zeros(found.shape), np.zeros(found.shape)
    for dose, rate in enumerate(np.moveaxis(rates, -1, 0), start=1):
        share = np.divide(HALF - below, rate - below, out=np.ones(found.shape), where=rate > below)
        first = np.where(rate > HALF + _HAIR, -np.inf, dose)
        crossed = (found == np.inf) & (rate >= HALF - _HAIR)
        found = np.where(crossed, np.where(at > 0, at + share * (dose - at), first), found)
        at, below = np.where(rate < HALF - _HAIR, dose, at), np.where(rate < HALF - _HAIR, rate, below)
    return found


def within_sweep(counts: Array) -> Array:
    """`threshold`, at the first or the last dose where it lies outside: (..., 1)."""
    return np.clip(threshold(counts), 1, counts.shape[-2])[..., None]


def spread(found: Array) -> Array:
    """The largest difference between groups, (..., M) of (..., G, M); NaN takes no part."""
    return np.asarray(np.fmax.reduce(found, axis=-2) - np.fmin.reduce(found, axis=-2))


# --- clips


def _doses(rows: Rows) -> Array:
    """The dose of each clip, 0 to 4: the intensity of its strongest unit, -1 where none is coded; int64 (n,)."""
    units = rows.table["action_units"].combine_chunks()
    if not pa.types.is_list(units.type):
        raise EquimeError(f"{rows.name}: expected lists of units in the column 'action_units', got {units.type}")
    letters = pc.struct_field(pc.list_flatten(units), "intensity")
    place = np.asarray(pc.index_in(letters, pa.array(schema.INTENSITIES)).fill_null(-1), np.int64)
    found = np.full(len(rows), -1, np.int64)
    np.maximum.at(found, np.asarray(pc.list_parent_indices(units), np.int64), place)
    return found


def _detections(rows: Rows, answers: Answered | None) -> Mapping[str, Array]:
    """What counts as detected -> float64 (n,), 0 to 1, NaN where nobody looked."""
    found = {}
    names = rows.table.column_names
    if "measured_apex_ms" in names:
        seen = np.asarray(rows.table["measured_apex_ms"].is_valid(), np.float64)
        # Without a verdict the clip was not scored; with one, no apex means that none was found.
        scored = np.asarray(rows.table["accepted"].is_valid()) if "accepted" in names else np.ones(len(rows), bool)
        found[MEASURED] = np.where(scored | (seen > 0), seen, np.nan)
    if answers is not None:
        require(rows.table, ("clip_id",), rows.name)
        place = answers.at(rows.table["clip_id"])
        right = (answers.predicted == answers.truth)[place]
        found[RECOGNISED] = np.where((place >= 0).all(0), right.mean(0), np.nan)
    return found


# --- findings


def _of(of: str, hits: Array, dose: Array, rows: Rows, by: Groups) -> Iterator[Tested]:
    """Rates and thresholds of each group, then how far these are apart."""
    known = ~np.isnan(hits)
    part = Groups(by.by, by.names, by.member[known])
    units = Units.of_groups(whose(rows)[0][known], part)
    counts = _counts(units, hits[known], dose[known])
    size = len(by.names)
    people, labels = units.people(size), rows.labels_of(by.by)
    found, chance = pooled(units.member, counts, size), drawn(units.member, counts, size)
    for group, name in enumerate(by.names):
        if people[group]:
            base = {"by": by.by, "group": name, "labels": labels, "subjects": int(people[group])}
            base["small"] = is_small(int(people[group]))
            yield from ((each, None) for each in _group(of, found[group], chance[:, group], base))
    if by.by:
        yield _gap(of, units, counts, part, {"of": of, "by": by.by, "labels": labels})


def _counts(units: Units, hits: Array, dose: Array) -> Array:
    """Detected clips and all, of each unit and dose: float64 (U, 5, 2)."""
    size = len(schema.INTENSITIES)
    place = units.of * size + dose
    parts = [np.bincount(place, weights, len(units.member) * size) for weights in (hits, np.ones(len(hits)))]
    return np.stack(parts, -1).reshape(-1, size, 2)


def _group(of: str, counts: Array, chance: Array, base: Mapping[str, Any]) -> Iterator[Finding]:
    """The rate at each dose and the threshold of one group."""
    alone = base["subjects"] < 2
    for rank, letter in enumerate(schema.INTENSITIES):
        values, draws = (
            (c[..., rank, 0] / np.where(c[..., rank, 1], c[..., rank, 1], np.nan)) for c in (counts, chance)
        )
        rate = figures(estimates(values[None], draws[:, None])[0]) | (dict.fromkeys(("low", "high")) if alone else {})
        note = "one person: no interval" * alone if counts[rank, 1] else f"no clip at {letter}"
        clips = int(counts[rank, 1])
        yield Finding(measure="detected", of=f"{of}, {letter}", **base, **rate, clips=clips, note=note)
    value = float(threshold(counts))
    low, high = (np.nan, np.nan) if alone else _ends(threshold(chance))
    said = _outside(value)
    note = f"the threshold lies {said}" if said else "no clips" * bool(np.isnan(value))
    if not said and not alone and (ends := [_outside(end) for end in (low, high)]) != ["", ""]:
        note = f"95 %: {ends[0] or f'{low:.2f}'} to {ends[1] or f'{high:.2f}'}"
    kept = Estimate(value, low, high) if np.isfinite([value, low, high]).all() else Estimate(value, np.nan, np.nan)
    shown = figures(kept) if np.isfinite(value) else {"value": None}
    yield Finding(measure="threshold", of=of, **base, **shown, clips=int(counts[:, 1].sum()), note=note)


def _ends(draws: Array) -> tuple[float, float]:
    known = draws[~np.isnan(draws)]
    low, high = np.quantile(known, ENDS, method="inverted_cdf") if len(known) else (np.nan, np.nan)
    return float(low), float(high)


def _outside(dose: float) -> str:
    return _BOUNDS[int(dose > 0)] if np.isinf(dose) else ""


def _gap(of: str, units: Units, counts: Array, by: Groups, base: Mapping[str, Any]) -> Tested:
    """How far the thresholds of groups are apart that are not small."""
    people = units.people(len(by.names))
    large = np.array([not is_small(n) for n in people])
    inside = np.append(large, False)[by.member]
    facts: dict[str, Any] = {**base, "clips": int(inside.sum()), "subjects": int(people[large].sum())}
    if large.sum() < 2:
        return Finding(
            measure="threshold gap", note=f"fewer than two groups of {by.by} have enough people", **facts
        ), None
    values = np.where(large, threshold(pooled(units.member, counts, len(by.names))), np.nan)[large]
    if np.isinf(values).all():
        return Finding(measure="threshold gap", note="no group's threshold lies within the sweep", **facts), None
    one = compared(units, counts, large, within_sweep, spread)[0]
    names = np.array(by.names, object)[large]
    note = f"lowest: {names[values.argmin()]}; highest: {names[values.argmax()]}"
    if censored := int(np.isinf(values).sum()):
        note += f"; at least: {censored} groups lie outside the sweep"
    facts |= {"note": note, "reference": mean(one.chance), **figures(one.estimate)}
    finding = Finding(measure="threshold gap", **facts)
    return finding, Test(one.estimate.value, one.chance)
