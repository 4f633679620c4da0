"""Does who is shown go with what is shown? Demographics against emotion, units, intensity, side, timing and split.

    found = association(open_rows("ws", COLUMNS))
    found.one("Cramer's V", of="emotion", by="race", scope="accepted").p

    equime audit association WORKSPACE

Why: a model that sees anger more often in one group learns that it goes with the group; such bias passes into models
more than uneven shares do (Dominguez-Catena et al. 2023, arXiv 2303.15889). And a plan may keep the two apart while the
filter brings them together: so it is asked of what was planned, of what was generated and of what was accepted.

Labels are *perceived*, one a subject; an emotion is the *intended* programme of action units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from equime.audit.measures.contingency import cramers_v, nmi, npmi
from equime.audit.measures.permutation import null, pooled, step_down
from equime.audit.result import MIN_SUBJECTS, Audit, Finding
from equime.audit.tables.files import require
from equime.audit.tables.groups import DEFAULT, Groups, is_small, of_subjects, several, whose
from equime.audit.tables.rows import FILE_LABELS, Rows
from equime.audit.tables.variables import ACCEPTED, COLUMNS, UNIT, Variable, is_text, variables
from equime.errors import EquimeError
from equime.planning.strata import LEFT_OUT
from equime.schema import CONTROLS

__all__ = ["COLUMNS", "association"]

Array = npt.NDArray[Any]

DRAWS: Final = 499
"""Fewer than `permutation.DRAWS`: the step-down correction does not need more where there are more tests."""
NOTABLE: Final = 0.05
PLANNED, GENERATED = "planned", "generated"
V, NMI, NPMI = "Cramer's V", "NMI", "NPMI"
QUESTION: Final = "Does who is shown go with what is shown? Perceived labels against intended expressions."
NOTES: Final = (
    "Cramer's V and NMI are 0 where two things are independent and 1 where one tells the other",
    '"chance or target" is of V and NMI what chance alone gives, their mean where groups are dealt to subjects at '
    "random: with few clips neither is ever 0; of NPMI it is 0",
    "no interval of V and NMI: they cannot fall below 0, so that drawing people anew only makes them larger",
    "NPMI of a group and a level: above 0 they come together more often than by chance, 1 is never apart, -1 never "
    "together; no cell is a test of its own, look at the p of V first; cells of units only where that is below .05",
)


def association(rows: Rows, by: Sequence[str] | None = None, draws: int = DRAWS) -> Audit:
    """Test attributes against all that clips show, in each scope.

    Args:
        rows: Of the contract with `COLUMNS`, or of a file with some columns of `variables.TEXT`.
        by: The attributes; None: race, gender, age and skin, those of them that somebody has a label of.
        draws: How often groups are dealt to subjects.

    Raises:
        EquimeError: No such attribute, or nothing in the rows that could go with it.
    """
    by_default = [name for name in DEFAULT if "+" not in name]
    attributes, notes = several(rows, by, by_default)
    named = {groups.by for groups in attributes}
    balanced, left_out = _balanced(rows.table)
    chosen, once = _once(rows.table, balanced)
    shown = [variable for variable in variables(rows.table) if variable.name not in named]
    scopes, missing = _scopes(rows, chosen)
    who, subjects = whose(rows)
    known = [(scope, mask & (who >= 0)) for scope, mask in scopes]
    questions = [_asked(variable, scope, mask, who, subjects) for scope, mask in known for variable in shown]
    questions = [asked for asked in questions if asked.wanted]
    if not questions:
        raise EquimeError(f"{rows.name}: expected clips with an emotion, units, times or a label, found none")
    tested = [_tested(groups, of_subjects(groups, who, subjects), questions, draws) for groups in attributes]
    p = step_down(*(np.concatenate(part, -1) for part in zip(*((t.values, t.chance) for t in tested), strict=True)))
    parts = zip(tested, np.split(p, len(tested)), strict=True)
    findings = [finding for one, own in parts for finding in _findings(one, questions, own, rows)]
    count = f"p is corrected for {int((~np.isnan(p)).sum())} tests by Westfall and Young's step-down, which is "
    how = (
        f"{count}Holm's with the tests' own dependence; {draws} deals of whole subjects, least p {1 / (draws + 1):.3g}"
    )
    small = [line for one in tested for line in one.left_out]
    told = (*rows.notes, *notes, *left_out, *once, *missing, *_unlabelled(attributes), *small, how, *NOTES)
    drawn = [*(f"{V} of {name}" for name in ("emotion", "intensity", ACCEPTED)), NPMI]
    return Audit("association", QUESTION, tuple(findings), told, tuple(drawn))


# --- which clips


def _balanced(table: pa.Table) -> tuple[Array, list[str]]:
    """The clips of the balanced whole, and a note of what is not: controls and sweeps are not meant to be balanced."""
    kept = np.ones(len(table), bool)
    for name, labels in (("control", CONTROLS), ("design", LEFT_OUT)):
        if is_text(table, name):
            kept &= ~np.asarray(pc.is_in(table[name], pa.array(labels, table[name].type)))
    out = len(table) - int(kept.sum())
    return kept, [f"{out:,} clips of controls and dose sweeps left out: they are no part of the balance"] * bool(out)


def _once(table: pa.Table, chosen: Array) -> tuple[Array, list[str]]:
    """The clips that are draws of their own, and a note of the others: matched twins share one draw of a programme.

    Which clip of a pair stays is a hash's matter, so that no group, no face and no verdict is preferred.
    """
    names = ("twin_id", "noise_key", "subject_id")
    if not all(is_text(table, name) for name in names):
        return chosen, []
    twins = np.flatnonzero(chosen & table["twin_id"].is_valid().to_numpy() & table["noise_key"].is_valid().to_numpy())
    rows = [*zip(*(table[name].take(pa.array(twins)).to_pylist() for name in names), strict=True)]
    dice = [blake2b(repr(row).encode(), digest_size=8).digest() for row in rows]
    kept, first = chosen.copy(), set[tuple[str, str]]()
    for place in sorted(range(len(rows)), key=dice.__getitem__):
        kept[twins[place]] = rows[place][:2] not in first
        first.add(rows[place][:2])
    out = int(chosen.sum() - kept.sum())
    note = f"{out:,} clips left out, one of each matched pair: its two clips are one draw of a programme, not two"
    return kept, [f"{note}; which one stays is decided by a hash, whatever its group"] * bool(out)


def _scopes(rows: Rows, chosen: Array) -> tuple[list[tuple[str, Array]], list[str]]:
    """Name and clips of each scope that has some, and a note for each that has none."""
    if rows.labels == FILE_LABELS:
        return [("", chosen)], []
    table = rows.table
    require(table, COLUMNS, rows.name)
    made = table["num_frames"].is_valid().to_numpy() & table["generate_error"].is_null().to_numpy()
    passed = table[ACCEPTED].fill_null(False).to_numpy()
    found = [(PLANNED, chosen), (GENERATED, chosen & made), (ACCEPTED, chosen & passed)]
    why = f"no clip of {rows.name} was scored yet" if not table[ACCEPTED].is_valid().to_numpy().any() else "none was"
    notes = {GENERATED: "no clip was generated", ACCEPTED: f"no clip was accepted: {why}"}
    return [one for one in found if one[1].any()], [notes[n] for n, mask in found[1:] if not mask.any()]


def _unlabelled(attributes: Sequence[Groups]) -> list[str]:
    counts = [f"{groups.unlabelled:,} by {groups.by}" for groups in attributes if groups.unlabelled]
    return [f"clips without a label, left out: {', '.join(counts)}"] * bool(counts)


# --- tests


@dataclass(frozen=True, eq=False)
class _Asked:
    """One variable in one scope, and its counts (subjects, levels)."""

    variable: Variable
    scope: str
    counts: Array

    @property
    def wanted(self) -> bool:
        """Whether there is anything to ask: of accepted clips, all are accepted."""
        return bool(self.counts.any()) and not (
            self.variable.name.startswith(ACCEPTED) and self.scope in (PLANNED, ACCEPTED)
        )


def _asked(variable: Variable, scope: str, mask: Array, who: Array, subjects: int) -> _Asked:
    return _Asked(variable, scope, variable.counted(mask, who, subjects))


@dataclass(frozen=True, eq=False)
class _Tested:
    """All questions of one attribute.

    Attributes:
        groups: The attribute's.
        member: int (subjects,), the group of each.
        kept: The same, of the groups that are large enough to be tested; of all where fewer than two are.
        found: V's, then NMI's, (2 questions,); NaN where they cannot be said.
        expected: What chance gives in their place.
        values: V's made comparable, (questions,).
        chance: Their draws, (draws, questions).
    """

    groups: Groups
    member: Array
    kept: Array
    found: Array
    expected: Array
    values: Array
    chance: Array

    @property
    def left_out(self) -> list[str]:
        """A note of the groups that are not tested."""
        counts = np.bincount(self.member[(self.member >= 0) & (self.kept < 0)], minlength=len(self.groups.names))
        small = [f"{name} ({n} subjects)" for name, n in zip(self.groups.names, counts, strict=True) if n]
        return [f"too few to take part in V and NMI by {self.groups.by}: {', '.join(small)}"] * bool(small)


def _tested(groups: Groups, member: Array, questions: Sequence[_Asked], draws: int) -> _Tested:
    size, count = len(groups.names), len(questions)
    large = np.array([not is_small(int((member == place).sum())) for place in range(size)])
    if large.sum() < 2:
        nan = np.full(2 * count, np.nan)
        return _Tested(groups, member, member, nan, nan, nan[:count], np.full((draws, count), np.nan))
    kept = np.where((member >= 0) & large[member], member, -1)
    stacked = np.hstack([asked.counts for asked in questions])
    cuts = np.cumsum([asked.counts.shape[1] for asked in questions])[:-1]

    def statistic(sums: Array) -> Array:
        tables = np.split(sums, cuts, -1)
        return np.stack([*map(cramers_v, tables), *map(nmi, tables)], -1)

    found = statistic(pooled(kept, stacked, size)[None])[0]
    chance = null(kept, stacked, size, statistic, draws)
    expected = np.nan_to_num(chance).mean(0)
    # Nearly normal (Wilson and Hilferty), so that tests of few and of many levels weigh alike in the step-down.
    return _Tested(groups, member, kept, found, expected, found[:count] ** (2 / 3), chance[:, :count] ** (2 / 3))


def _findings(tested: _Tested, questions: Sequence[_Asked], p: Array, rows: Rows) -> Iterator[Finding]:
    count, labels = len(questions), rows.labels_of(tested.groups.by)
    for measure, start, corrected in ((V, 0, p), (NMI, count, np.full(count, np.nan))):
        for asked, at, own in zip(questions, range(start, start + count), corrected, strict=True):
            mine = asked.counts[tested.kept >= 0]
            value = _said(tested.found[at])
            yield Finding(
                measure=measure,
                of=asked.variable.name,
                by=tested.groups.by,
                scope=asked.scope,
                labels=labels,
                value=value,
                reference=None if value is None else _said(tested.expected[at]),
                p=_said(own),
                clips=int(mine.sum()),
                subjects=int(mine.any(1).sum()),
                note="" if value is not None else _why(asked, mine),
            )
    for asked, own in zip(questions, p, strict=True):
        if asked.variable.name == "emotion" or (asked.variable.name.startswith(UNIT) and own < NOTABLE):
            yield from _cells(tested, asked, labels)


def _said(number: float) -> float | None:
    return None if np.isnan(number) else float(number)


def _why(asked: _Asked, mine: Array) -> str:
    levels = [asked.variable.levels[place] for place in np.flatnonzero(mine.any(0))]
    if len(levels) < 2:
        return f"nothing to compare: every clip is {levels[0]!r}" if levels else "no labelled subject has such a clip"
    return f"fewer than two groups of {MIN_SUBJECTS} subjects or more have such clips"


def _cells(tested: _Tested, asked: _Asked, labels: str) -> Iterator[Finding]:
    """Local NPMI of each group with each emotion, or with a unit's presence."""
    name, first = asked.variable.name, int(asked.variable.name.startswith(UNIT))
    local = npmi(pooled(tested.member, asked.counts, len(tested.groups.names)))
    for place, group in enumerate(tested.groups.names):
        mine = asked.counts[tested.member == place]
        people = int(mine.any(1).sum())
        for level, value in list(zip(asked.variable.levels, local[place], strict=True))[first:]:
            yield Finding(
                measure=NPMI,
                of=name if first else f"{name} {level}",
                by=tested.groups.by,
                group=group,
                scope=asked.scope,
                labels=labels,
                value=_said(value),
                reference=None if np.isnan(value) else 0.0,
                clips=int(mine.sum()),
                subjects=people,
                small=is_small(people),
                note="no such clips" if np.isnan(value) else "",
            )
