"""What a clip shows, as levels that can be counted: its emotion, units, intensity, side, timing, split, acceptance.

    found = variables(rows.table)
    found[0].name, found[0].levels, found[0].code      # "emotion", ("happiness", ...), int64 (n,)

Why levels: whatever may go with who is shown is then a table of counts, and one measure serves all of it. An emotion
is the *intended* programme of action units.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from equime.audit.tables.groups import KNOWN
from equime.schema import INTENSITIES

Array = npt.NDArray[Any]

COLUMNS: Final = (
    *("design", "control", "emotion", "split", "action_units", "onset_ms", "apex_ms", "offset_ms"),
    *("num_frames", "generate_error", "accepted", "twin_id", "noise_key"),
)
"""What `variables` and the scopes of an audit of the contract's rows read."""
TEXT: Final = ("emotion", "label", "split", "intensity", "side", "accepted")
"""Columns of text that are variables of a file's rows, those of them that it has."""
QUARTERS: Final = ("shortest quarter", "second quarter", "third quarter", "longest quarter")
SIDES: Final = ("both", "left", "right", "left and right", "unsaid")
ACCEPTED: Final = "accepted"
UNIT: Final = "AU"


@dataclass(frozen=True, eq=False)
class Variable:
    """One thing that clips show.

    Attributes:
        name: "emotion", "AU12", "accepted of fear".
        levels: What it may be.
        code: int64 (n,), each clip's place in `levels`; -1 where nobody can say.
    """

    name: str
    levels: tuple[str, ...]
    code: Array

    def counted(self, chosen: Array, who: Array, subjects: int) -> Array:
        """Each subject's clips of each level, int64 (subjects, levels).

        Args:
            chosen: Which clips count, bool (n,).
            who: Whose each is, int (n,).
            subjects: How many subjects there are.
        """
        kept, size = chosen & (self.code >= 0), len(self.levels)
        counts: Array = np.bincount(who[kept] * size + self.code[kept], minlength=subjects * size)
        return counts.reshape(subjects, size)


def variables(table: pa.Table) -> list[Variable]:
    """All that the columns of a table tell, of the contract's or of a file's; single units last."""
    found = [_of_text(table[name], name) for name in TEXT if is_text(table, name)]
    if _is(table, "action_units", pa.types.is_list) and pa.types.is_struct(table["action_units"].type.value_type):
        found += _of_units(table["action_units"].combine_chunks())
    onset, apex, offset = (f"{moment}_ms" for moment in ("onset", "apex", "offset"))
    for name, first, last in (("duration", onset, offset), ("rise", onset, apex)):
        if all(_is(table, column, pa.types.is_floating) for column in (first, last)):
            found.append(_in_quarters(name, pc.subtract(table[last], table[first])))
    if _is(table, ACCEPTED, pa.types.is_boolean):
        code = table[ACCEPTED].cast(pa.int64()).fill_null(-1).to_numpy()
        whole = Variable(ACCEPTED, ("rejected", "accepted"), code)
        found += [whole, *_within(whole, found)]
    return sorted(found, key=lambda variable: variable.name.startswith(UNIT))


def is_text(table: pa.Table, name: str) -> bool:
    """Whether there is such a column, and it holds text."""
    return _is(table, name, pa.types.is_string) or _is(table, name, pa.types.is_large_string)


def _is(table: pa.Table, name: str, kind: Any) -> bool:
    return name in table.column_names and bool(kind(table.schema.field(name).type))


def _of_text(column: pa.ChunkedArray, name: str) -> Variable:
    there = set(pc.unique(column).to_pylist()) - {None}
    known = [label for label in KNOWN.get(name, ()) if label in there]
    levels = [*known, *sorted(there - set(known))]
    return Variable(name, tuple(levels), _coded(column.combine_chunks(), levels))


def _coded(column: pa.Array, levels: list[str]) -> Array:
    return np.asarray(pc.index_in(column, pa.array(levels, column.type)).fill_null(-1), np.int64)


def _of_units(lists: pa.ListArray) -> Iterator[Variable]:
    """The strongest unit's intensity, the side, and whether each unit is there, of clips that have some."""
    clip = np.asarray(pc.list_parent_indices(lists), np.int64)
    each = pc.list_flatten(lists)
    numbers, sides = (each.field(name) for name in ("au", "side"))
    some = np.bincount(clip, minlength=len(lists)) > 0
    letter = np.full(len(lists), -1, np.int64)
    np.maximum.at(letter, clip, _coded(each.field("intensity"), list(INTENSITIES)))
    yield Variable("intensity", INTENSITIES, letter)
    yield Variable("side", SIDES, np.where(some, _side(sides, clip, len(lists)), -1))
    au = np.asarray(numbers.fill_null(-1), np.int64)
    for number in np.unique(au[au >= 0]):
        there = np.zeros(len(lists), np.int64)
        there[clip[au == number]] = 1
        yield Variable(f"{UNIT}{number}", ("absent", "present"), np.where(some, there, -1))


def _side(sides: pa.Array, clip: Array, clips: int) -> Array:
    """Each clip's place in `SIDES`: a programme is one-sided where any of its units is."""
    left, right, unsaid = (
        np.bincount(clip[np.asarray(pc.equal(sides, side).fill_null(False))], minlength=clips) > 0 for side in "LRU"
    )
    return np.select([left & right, left, right, unsaid], [3, 1, 2, 4], 0)


def _in_quarters(name: str, values: pa.ChunkedArray) -> Variable:
    """Quarters of what there is, cut where it is planned, so that they are the same in every scope."""
    numbers = values.cast(pa.float64()).fill_null(np.nan).to_numpy()
    known = ~np.isnan(numbers)
    cuts = np.quantile(numbers[known], (0.25, 0.5, 0.75)) if known.any() else np.zeros(3)
    return Variable(name, QUARTERS, np.where(known, np.searchsorted(cuts, numbers), -1))


def _within(whole: Variable, others: list[Variable]) -> Iterator[Variable]:
    """The same, of the clips of one emotion at a time: a filter may part groups in one and hide it in the sum."""
    for emotion in (other for other in others if other.name == "emotion"):
        for place, level in enumerate(emotion.levels):
            code = np.where(emotion.code == place, whole.code, -1)
            yield replace(whole, name=f"{whole.name} of {level}", code=code)
