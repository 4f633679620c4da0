"""Who is shown, and how evenly: the shares of groups, over people and over clips, beside those that are wanted.

    found = representation(open_rows("ws"))
    found.one("evenness", of="subjects", by="race").value
    representation(published_rows()).one("evenness", by="race").value       # .516, EquiME as published

    equime audit representation WORKSPACE

Why: a data set is called balanced when one of its attributes is. Here every one is told, and the cells in which they
meet; a group that nobody belongs to counts as much as one of few. Measures as in Dominguez-Catena et al. (2023, arXiv
2303.15889). Labels are *perceived*, one a subject.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from equime.audit.measures.composition import Counts, Wanted, target_shares, wanted_shares
from equime.audit.measures.resampling import drawn
from equime.audit.result import MIN_SUBJECTS, Audit, Finding
from equime.audit.tables.groups import Groups, groups, is_small, of_subjects, several, whose
from equime.audit.tables.published import is_shares, read_shares
from equime.audit.tables.rows import Rows
from equime.errors import EquimeError
from equime.planning.targets import ATTRIBUTES

Array = npt.NDArray[Any]

COLUMNS: Final = ()
"""What `open_rows` has to be asked for: it adds the labels on its own."""
SMALLEST: Final = 5
"""Cells that are named, of those where all attributes meet."""
QUESTION: Final = "Who is shown, and how evenly? Perceived labels, over people and over clips."
NOTES: Final = (
    "evenness is Shannon's over all groups that are wanted or occur, 1 where they are equal; KL in nats; "
    '"chance or target" is of a share the one that is wanted, of a measure its value where the target is met',
    "what is said of these rows is exact: intervals speak of all people that such rows might have been drawn from",
    "intervals of shares of subjects are Wilson's, of clips percentiles of whole subjects drawn anew; of evenness and "
    "effective number the percentiles are moved up by twice what drawing takes away, as people drawn anew are always "
    "less even; none of KL, total variation and ratio, which are 0 or infinite at their ends",
)


def representation(rows: Rows, by: Sequence[str] | None = None, target: Mapping[str, Wanted] | None = None) -> Audit:
    """Count groups, hold them against a target, and look where they meet.

    Args:
        rows: People or clips; or a table of shares, see `published`.
        by: Attributes, or several joined by "+"; None: all that somebody has a label of, and their cells.
        target: Attribute -> group -> share wanted, of any scale. Without: all groups of the contract alike, or, where
            other labels occur, all that occur; of several attributes, as if they were independent.

    Raises:
        EquimeError: No such attribute, a target that is none, or a bad table of shares.
    """
    asked = {name: target_shares(name, shares) for name, shares in (target or {}).items()}
    if is_shares(rows.table):
        return _of_shares(rows, by, asked)
    who, people = whose(rows)
    nobodys = f"{int((who < 0).sum()):,} rows without a subject_id left out"
    kept, who = rows.chosen(who >= 0), who[who >= 0]
    grouped, notes = several(kept, by)
    _check_targets(asked, [one.by for one in grouped])
    tables = [_counted(kept, one, who, people, asked) for one in grouped]
    findings = [finding for table in tables for finding in _unlabelled(table, rows.labels_of(table.by))]
    findings += [finding for counts in _both(tables) for finding in counts.findings(rows.labels_of(counts.by))]
    findings += [] if by else _cells(kept, who, people, [one.by for one in grouped])
    told = (
        *rows.notes,
        *notes,
        *[nobodys] * (len(kept) < len(rows)),
        *(line for table in tables for line in _note(table)),
        *NOTES,
    )
    return Audit("representation", QUESTION, tuple(findings), told, ("share of subjects", "share of clips"))


def _of_shares(rows: Rows, by: Sequence[str] | None, asked: Mapping[str, Wanted]) -> Audit:
    shares, notes = read_shares(rows, by)
    _check_targets(asked, shares)
    findings: list[Finding] = []
    for name, own in shares.items():
        wanted = wanted_shares(name, _found(rows, name) or {name: [*own]}, asked)
        nobody = np.zeros(len(wanted), np.int64)
        weights = np.array([own.get(group, 0.0) for group in wanted])
        findings += Counts(name, "", wanted, weights, nobody, nobody).findings(rows.labels_of(name))
    own_notes = [note for note in rows.notes if "subject_id" not in note]
    told = (*own_notes, *notes, "a table of shares: nobody can be counted, so there are no intervals", NOTES[0])
    return Audit("representation", QUESTION, tuple(findings), told, ("share",))


def _check_targets(asked: Mapping[str, Wanted], names: Iterable[str]) -> None:
    there = {*names, *(part for name in names for part in name.split("+"))}
    if other := [name for name in asked if name not in there]:
        raise EquimeError(f"expected targets of {', '.join(sorted(there))}, got one of {other[0]!r}")


def _found(rows: Rows, by: str) -> dict[str, Sequence[str]]:
    """The labels that occur, of each attribute that has a column."""
    return {name: groups(rows, name).names for name in by.split("+") if name in rows.table.column_names}


# --- what is there


@dataclass(frozen=True, eq=False)
class _Table:
    """The subjects of one grouping: their groups, and how many clips of each group they have."""

    by: str
    wanted: Wanted
    member: Array
    clips: Array
    lost: int

    @property
    def hot(self) -> Array:
        """Which group each subject is in, int64 (subjects, groups)."""
        return np.asarray(self.member[:, None] == np.arange(len(self.wanted)), np.int64)


def _counted(rows: Rows, one: Groups, who: Array, people: int, asked: Mapping[str, Wanted]) -> _Table:
    wanted = wanted_shares(one.by, _found(rows, one.by), asked)
    order = [*wanted]
    places = np.array([*(order.index(name) for name in one.names), -1])
    member = places[one.member]
    known = member >= 0
    clips = np.bincount(who[known] * len(order) + member[known], minlength=people * len(order))
    counts = clips.reshape(people, len(order))
    return _Table(one.by, wanted, places[of_subjects(one, who, people)], counts, int((~known).sum()))


def _both(tables: Sequence[_Table]) -> Iterator[Counts]:
    """Each grouping counted over subjects, then over clips; all of the same draws."""
    stacked = [np.hstack([table.hot, table.clips]) for table in tables]
    people, widths = len(stacked[0]), [part.shape[1] for part in stacked]
    drawn_once = drawn(np.zeros(people, np.int64), np.hstack(stacked), 1)[:, 0]
    for table, part in zip(tables, np.split(drawn_once, np.cumsum(widths)[:-1], 1), strict=True):
        subjects, clips = table.hot.sum(0), table.clips.sum(0)
        for of, counts, draws in zip(("subjects", "clips"), (subjects, clips), np.split(part, 2, 1), strict=True):
            yield Counts(table.by, of, table.wanted, counts, clips, subjects, draws if people > 1 else None)


# --- who is in no group, and where groups meet


def _unlabelled(table: _Table, labels: str) -> Iterator[Finding]:
    people, clips = int((table.member < 0).sum()), table.lost
    for of, value, total in (
        ("subjects", people, len(table.member)),
        ("clips", clips, clips + int(table.clips.sum())),
    ):
        if value:
            yield Finding(
                measure="unlabelled",
                of=of,
                by=table.by,
                labels=labels,
                value=value / total,
                reference=0.0,
                clips=clips,
                subjects=people,
            )


def _note(table: _Table) -> list[str]:
    people = int((table.member < 0).sum())
    return [f"by {table.by}: {people:,} of {len(table.member):,} subjects have no label: in no share"] * bool(people)


def _cells(rows: Rows, who: Array, people: int, shown: Sequence[str]) -> Iterator[Finding]:
    """How many cells of all labelled attributes together are empty or small; the smallest others, unless all are shown.

    Args:
        rows: Of people.
        who: See `whose`.
        people: Likewise.
        shown: By what rows are grouped already.
    """
    labelled = [name for name in ATTRIBUTES if name in shown]
    if len(labelled) < 2:
        return
    table = _counted(rows, groups(rows, "+".join(labelled)), who, people, {})
    subjects, clips = table.hot.sum(0), table.clips.sum(0)
    about: dict[str, Any] = {"by": table.by, "labels": rows.labels_of(table.by)}
    sizes: dict[str, Any] = {"clips": int(clips.sum()), "subjects": int(subjects.sum())}
    few = f"of fewer than {MIN_SUBJECTS} subjects"
    for measure, count in (("empty cells", (subjects == 0).sum()), (f"cells {few}", (subjects < MIN_SUBJECTS).sum())):
        note = f"of {len(subjects)}"
        yield Finding(measure=measure, value=float(count), reference=0.0, note=note, **about, **sizes)
    order = np.argsort(subjects, kind="stable")
    names, named = [*table.wanted], 0 if table.by in shown else SMALLEST
    for place in order[subjects[order] > 0][:named].tolist():
        yield Finding(
            measure="smallest cells",
            of="subjects",
            group=names[place],
            value=float(subjects[place]),
            reference=sizes["subjects"] / len(subjects),
            clips=int(clips[place]),
            subjects=int(subjects[place]),
            small=is_small(int(subjects[place])),
            **about,
        )
