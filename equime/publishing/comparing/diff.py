"""What changed between two states of a data set, as its users would say it.

    found = diff(open_version("org/equime@1.0.0"), open_version("ws"))
    for line in found.lines(): ...        # captions of 120 clips; 3 subjects changed perceived race: white -> asian 2
    found.to_dict()                       # all of it, with clip ids

Clips are matched by their ids, columns compared where both sides hold some value (a release has no scores if none were
made, and lacks the clips that were not accepted: what one side lacks is named). Videos are compared by their sha256.
Where a picture came from is neither read nor said. Labels are *perceived*.

    equime diff A B
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from equime import schema
from equime.audit.tables import people as labelling
from equime.audit.tables.people import Even, People
from equime.publishing.comparing.changes import FLIPPED, Changed, Rows, Side
from equime.publishing.comparing.changes import Diff as Diff
from equime.publishing.comparing.differing import Flips, Shift, differs, flips, numbers, shift
from equime.publishing.comparing.snapshot import Snapshot

Places = npt.NDArray[np.int64]

COUNTED: Final = ("seed", "epoch", "sequence")
"""Numbers that do not measure: no means of them."""
_ABOUT: Final = ("split", "emotion", "control", "subject_id", "twin_id", "accepted", "sha256")


def diff(a: Snapshot, b: Snapshot) -> Diff:
    """Compare two states of a data set, a column at a time.

    Raises:
        EquimeError: One does not read, or holds a clip_id twice.
    """
    pairs, before, after = _Pairs(a, b), people(a), people(b)
    return Diff(
        a=_side(a, before, pairs.groups[0]),
        b=_side(b, after, pairs.groups[1]),
        removed=_alone(a, pairs.only_a, after, b),
        added=_alone(b, pairs.only_b, before, a),
        only_a=pairs.lacking[0],
        only_b=pairs.lacking[1],
        changed=pairs.changed,
        clip_flips=pairs.flips,
        subject_flips=dict(_subject_flips(before, after)),
        shifts=pairs.shifts,
        evenness=_evenness(before, after),
    )


def people(snapshot: Snapshot) -> People:
    """The subjects of a state of a data set, with their labels."""
    return labelling.people(snapshot.read(labelling.COLUMNS))


class _Pairs:
    """The clips that both sides have, column by column."""

    def __init__(self, a: Snapshot, b: Snapshot) -> None:
        found = pc.index_in(a.ids, value_set=b.ids)
        self.at_a: Places = np.flatnonzero(found.is_valid().to_numpy(zero_copy_only=False))
        self.at_b: Places = found.drop_null().to_numpy().astype(np.int64)
        self.only_a = np.flatnonzero(found.is_null().to_numpy(zero_copy_only=False))
        self.only_b = np.setdiff1d(np.arange(len(b.ids)), self.at_b)
        self.lacking: tuple[dict[str, dict[str, int]], ...] = ({}, {})
        self.groups: tuple[list[str], ...] = ([], [])
        self.changed: dict[str, Changed] = {}
        self.flips: dict[str, Flips] = {}
        self.shifts: dict[str, Shift] = {}
        for group, columns in schema.GROUPS.items():
            left_out = ("clip_id", "video", *schema.UNPUBLISHED)
            self._compare(group, a, b, [name for name in columns.names if name not in left_out])

    def _compare(self, group: str, a: Snapshot, b: Snapshot, names: Sequence[str]) -> None:
        left, right = a.read(names), b.read(names)
        some = np.zeros(len(self.at_a), bool)
        columns: dict[str, int] = {}
        for name in names:
            if self._one_sided(group, name, left[name], right[name]):
                continue
            before, after = _at(left[name], self.at_a), _at(right[name], self.at_b)
            if (found := differs(before, after)).any():
                columns[name] = int(found.sum())
                some |= found
                self._tell(name, before, after)
        if columns:
            ids = a.ids.take(pa.array(self.at_a[some])).to_pylist()
            self.changed[group] = Changed(tuple(ids), columns)

    def _one_sided(self, group: str, name: str, left: pa.ChunkedArray, right: pa.ChunkedArray) -> bool:
        """Whether a side holds no value of a column; which does is noted."""
        held = [len(column) - column.null_count for column in (left, right)]
        for count, lacking, groups in zip(held, self.lacking, self.groups, strict=True):
            if count and group not in groups:
                groups.append(group)
            if count and 0 in held:
                lacking.setdefault(group, {})[name] = count
        return 0 in held

    def _tell(self, name: str, before: pa.Array, after: pa.Array) -> None:
        if name in FLIPPED:
            found = flips(_together(name, before, after))
            self.flips |= {name: found} if found.changed else {}
        if name not in COUNTED:
            for (inner, old), (_, new) in zip(numbers(name, before), numbers(name, after), strict=True):
                moved = shift(old, new)
                self.shifts |= {inner: moved} if moved else {}


def _at(column: pa.ChunkedArray, places: Places) -> pa.Array:
    whole = column.combine_chunks()
    if len(places) == len(whole) and np.array_equal(places, np.arange(len(whole))):
        return whole
    return whole.take(pa.array(places))


def _together(name: str, before: pa.Array, after: pa.Array) -> dict[tuple[str | None, str | None], int]:
    """(label before, label after) -> clips."""
    both = pa.table({"a": _labels(name, before), "b": _labels(name, after)}).group_by(["a", "b"])
    found = both.aggregate([([], "count_all")]).to_pylist()
    return {(row["a"], row["b"]): row["count_all"] for row in found}


def _labels(name: str, column: pa.Array) -> pa.Array:
    if name == "accepted":
        return pc.if_else(column, "accepted", "rejected")
    if name == "age":
        bands = [None if years is None else schema.age_band(years) for years in column.to_pylist()]
        return pa.array(bands, pa.string())
    return column


def _subject_flips(before: People, after: People) -> Iterator[tuple[str, Flips]]:
    """By column, how subjects that both sides have are labelled otherwise; a side without any labels says nothing."""
    shared = before.clips.keys() & after.clips.keys()
    for basis, columns in labelling.BASES.items():
        for attribute, column in columns.items():
            old, new = (side.labels[basis][attribute] for side in (before, after))
            found = flips(Counter((old.get(s), new.get(s)) for s in shared)) if old and new else None
            if found and found.changed:
                yield column, found


def _evenness(before: People, after: People) -> dict[str, dict[str, tuple[Even, Even]]]:
    found: dict[str, dict[str, tuple[Even, Even]]] = {}
    for basis, columns in labelling.BASES.items():
        for attribute in columns:
            both = before.evenness(basis, attribute), after.evenness(basis, attribute)
            if any(side.subjects is not None for side in both):
                found.setdefault(basis, {})[attribute] = both
    return found


def _side(snapshot: Snapshot, who: People, groups: Sequence[str]) -> Side:
    counts = _counts(snapshot.read(["split", "emotion", "control"]))
    return Side(snapshot.name, len(snapshot.ids), len(who.clips), counts, tuple(groups), snapshot.source.notice())


def _counts(rows: pa.Table) -> dict[str, dict[str, int]]:
    found = rows.group_by(["split", "emotion", "control"]).aggregate([([], "count_all")]).to_pylist()
    counts: Counter[tuple[str, str]] = Counter()
    for row in found:
        counts[row["split"] or schema.SPLITS[0], row["emotion"] or row["control"] or schema.NEUTRAL] += row["count_all"]
    order = (*schema.SPLITS, *schema.EMOTIONS, schema.DISGUST, *schema.CONTROLS)
    told: dict[str, dict[str, int]] = {}
    for split, emotion in sorted(counts, key=lambda key: [order.index(k) if k in order else len(order) for k in key]):
        told.setdefault(split, {})[emotion] = counts[split, emotion]
    return told


def _alone(side: Snapshot, places: Places, others: People, other: Snapshot) -> Rows:
    rows = side.read(_ABOUT).take(pa.array(places, pa.int64()))
    subjects = set(rows["subject_id"].to_pylist()) - {None}
    return Rows(
        clips=tuple(side.ids.take(pa.array(places, pa.int64())).to_pylist()),
        subjects=len(subjects),
        whole=len(subjects - others.clips.keys()),
        counts=_counts(rows),
        why=_why(rows, {each.subject_id for each in other.withdrawn}),
    )


def _why(rows: pa.Table, withdrawn: set[str]) -> dict[str, int]:
    columns = [rows[name].to_pylist() for name in ("subject_id", "twin_id", "accepted", "sha256")]
    told = list(zip(*columns, strict=True))
    twins = {twin for subject, twin, _, _ in told if subject in withdrawn} - {None}
    found: Counter[str] = Counter()
    for subject, twin, accepted, sha256 in told:
        if subject in withdrawn or twin in twins:
            found["withdrawn"] += 1
        elif sha256 is None:
            found["no video"] += 1
        elif accepted is False:
            found["not accepted"] += 1
    return dict(found.most_common())
