"""Which group each clip is counted in, by one attribute or by several together.

    by = groups(rows, "race"); both = groups(rows, "gender+race")
    by.names[by.member[0]]

Any column of text is an attribute: `rows.ATTRIBUTES`, or one that a file brings along ("lab"). Labels are *perceived*.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from equime import schema
from equime.audit.result import MIN_SUBJECTS
from equime.audit.tables.rows import ATTRIBUTES, FILE_LABELS, Rows
from equime.errors import EquimeError
from equime.skin import BANDS

Array = npt.NDArray[Any]

MOST: Final = 1000
"""Groups of an attribute: a column of more is a name or a number, not a label."""
DEFAULT: Final = ("race", "gender", "age", "gender+race", "skin")
"""By what is grouped where nobody says: those of them that somebody has a label of."""
KNOWN: Final = {
    "gender": schema.GENDERS,
    "age": schema.AGE_BANDS,
    "race": schema.RACES,
    "skin": BANDS,
    "emotion": (*schema.EMOTIONS, schema.DISGUST),
    "split": schema.SPLITS,
}
"""Attribute -> its groups in the contract, in order, whether or not they occur."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Clips in groups.

    Attributes:
        by: The attribute, or several joined by "+".
        names: The groups that occur, in the contract's order where it has one, else in the alphabet's; of several
            attributes "female, asian".
        member: int64 (n,), each clip's place in `names`; -1 where it has no label.
    """

    by: str
    names: tuple[str, ...]
    member: Array

    def masks(self) -> Iterator[tuple[str, Array]]:
        """Each group with its clips, bool (n,)."""
        yield from ((name, self.member == place) for place, name in enumerate(self.names))

    @property
    def unlabelled(self) -> int:
        """Clips in no group."""
        return int((self.member < 0).sum())


def groups(rows: Rows, by: str) -> Groups:
    """Group rows by an attribute.

    Args:
        rows: With a column of text for each attribute.
        by: "race", or several: "gender+race". Labels of the contract may be written in any case, or with "_".

    Raises:
        EquimeError: No such column, one that is no text, more than `MOST` groups, or nobody has a label.
    """
    names = _columns_of(rows, by)
    by = "+".join(names)
    columns = [_labels(rows, name) for name in names]
    orders = [_ordered(column, name) for column, name in zip(columns, names, strict=True)]
    if not all(orders):
        raise EquimeError(_nobody(rows, by))
    member = [pc.index_in(c, pa.array(o, c.type)).fill_null(-1) for c, o in zip(columns, orders, strict=True)]
    codes = np.array([np.asarray(column, np.int64) for column in member])
    whole = np.where((codes < 0).any(0), -1, np.ravel_multi_index(np.maximum(codes, 0), [len(o) for o in orders]))
    occurring, place = np.unique(whole[whole >= 0], return_inverse=True)
    if len(occurring) > MOST:
        raise EquimeError(f"expected at most {MOST:,} groups of {by!r}, got {len(occurring):,}: name another column")
    found = np.full(len(rows), -1, np.int64)
    found[whole >= 0] = place
    parts = np.unravel_index(occurring, [len(o) for o in orders])
    told = [", ".join(order[k] for order, k in zip(orders, each, strict=True)) for each in zip(*parts, strict=True)]
    if not told:
        raise EquimeError(_nobody(rows, by))
    return Groups(by, tuple(told), found)


def several(
    rows: Rows, wanted: Sequence[str] | None, default: Sequence[str] = DEFAULT
) -> tuple[list[Groups], list[str]]:
    """The groupings asked for, each once, or the default ones, and a note for each default one that cannot be.

    Raises:
        EquimeError: As `groups`, of what was asked for; or nothing was.
    """
    if wanted is not None:
        if not wanted:
            raise EquimeError("expected a column to group by, got none: name one (`--by race`), or leave `--by` out")
        return [*{one.by: one for one in (groups(rows, by) for by in wanted)}.values()], []
    found, notes = [], []
    for by in default:
        columns = [rows.table[name] for name in by.split("+") if name in rows.table.column_names]
        if len(columns) <= by.count("+") or any(column.null_count == len(rows) for column in columns):
            notes.append(f"not grouped by {by}: nobody in {rows.name} has such a label")
            continue
        try:
            found.append(groups(rows, by))
        except EquimeError as error:
            notes.append(f"not grouped by {by}: {error}")
    if not found:
        known = ", ".join(ATTRIBUTES)
        raise EquimeError(f"nobody in {rows.name} has a label of {known}, as text: name a column to group by")
    return found, notes


def whose(rows: Rows) -> tuple[Array, int]:
    """Whose each row is, int64 (n,), -1 where nobody says; and how many people there are."""
    found = rows.table["subject_id"].combine_chunks().dictionary_encode()
    return np.asarray(found.indices.fill_null(-1), np.int64), len(found.dictionary)


def of_subjects(found: Groups, who: Array, subjects: int) -> Array:
    """The group of each subject, int64 (subjects,): that of most of its clips, -1 for one without a label.

    Args:
        found: The clips' groups.
        who: int (n,), whose each clip is, see `whose`; -1 votes for nobody.
        subjects: How many there are.
    """
    known = (found.member >= 0) & (who >= 0)
    shape = subjects, len(found.names)
    places = who[known] * shape[1] + found.member[known]
    votes = np.bincount(places, minlength=subjects * shape[1]).reshape(shape)
    return np.where(votes.any(1), votes.argmax(1), -1)


def is_small(subjects: int, least: int = MIN_SUBJECTS) -> bool:
    """Whether a group of so many people says too little."""
    return subjects < least


def _nobody(rows: Rows, by: str) -> str:
    return f"nobody in {rows.name} has a label of {by!r}: group by another column, or tag the clips"


def _columns_of(rows: Rows, by: str) -> list[str]:
    """The columns that are asked for, each once; names of a file's columns are read in lower case."""
    there = rows.table.column_names
    names = [by] if by in there else [name.strip() for name in by.split("+")]
    return [*dict.fromkeys(name if name in there else name.lower() for name in names)]


def _labels(rows: Rows, name: str) -> pa.Array:
    if name not in rows.table.column_names:
        text = [field.name for field in rows.table.schema if pa.types.is_string(field.type)]
        some = text if rows.labels == FILE_LABELS else ATTRIBUTES
        raise EquimeError(f"{rows.name} has no column {name!r} to group by: expected one of {', '.join(some)}")
    column = rows.table[name].combine_chunks()
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        raise EquimeError(f"{rows.name}: expected text in the column {name!r} to group by, got {column.type}")
    # Otherwise "Middle_Eastern" were a group of its own, and "middle eastern" one that nobody belongs to.
    plain = pc.replace_substring(pc.utf8_lower(pc.utf8_trim_whitespace(column)), "_", " ")
    return pc.if_else(pc.is_in(plain, pa.array(KNOWN.get(name, ()), column.type)), plain, column)


def _ordered(column: pa.Array, name: str) -> list[str]:
    there = set(pc.unique(column).to_pylist()) - {None}
    known = [label for label in KNOWN.get(name, ()) if label in there]
    return [*known, *sorted(there - set(known))]
