"""Shares that somebody published, in place of the people themselves: EquiME's, or those of a table.

    representation(published_rows())                     # what EquiME's own paper says of its faces
    representation(open_rows("shares.csv"))              # attribute,group,share

A table of shares has a column `share` or `count` (any positive scale), and either the columns `attribute` and `group`,
or a column for each attribute ("gender", "race"), whose rows are then cells. Labels are *perceived*.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np
import pyarrow as pa

from equime.audit.tables.files import as_text
from equime.audit.tables.groups import groups
from equime.audit.tables.rows import ATTRIBUTES, FILE_LABELS, Rows
from equime.errors import EquimeError

PUBLISHED: Final[Mapping[str, Mapping[str, float]]] = MappingProxyType(
    {
        "gender": MappingProxyType({"female": 55.6, "male": 44.4}),
        "race": MappingProxyType(
            {
                "asian": 8.9,
                "indian": 0.9,
                "black": 4.4,
                "white": 74.8,
                "middle eastern": 3.7,
                "latino hispanic": 7.3,
            }
        ),
        "age": MappingProxyType({"20-30": 55.4, "31-40": 34.7, "41-50": 8.2, "51-60": 1.6}),
    }
)
"""Per cent of EquiME's 15,000 source faces, as its paper (2025) gives them; labels by DeepFace."""
SOURCE: Final = (
    "shares that EquiME's paper (2025) reports of its 15,000 source faces, as DeepFace labelled them; of age its four "
    "main bands, without the 0.11 % younger or older"
)
WEIGHTS: Final = ("share", "count")
LONG: Final = ("attribute", "group")
_EXPECTED: Final = f"expected attribute, group and share, or share and some of {', '.join(ATTRIBUTES)}"

Shares = dict[str, dict[str, float]]
"""Attribute -> group -> share, of any scale."""


def published_rows() -> Rows:
    """`PUBLISHED` as rows for `representation`."""
    lines = [(attribute, group, share) for attribute, own in PUBLISHED.items() for group, share in own.items()]
    columns = dict(zip((*LONG, "share"), map(list, zip(*lines, strict=True)), strict=True))
    return Rows("EquiME as published", FILE_LABELS, pa.table(columns), (SOURCE,))


def is_shares(table: pa.Table) -> bool:
    """Whether the rows are shares, not people or clips."""
    return any(name in table.column_names for name in WEIGHTS)


def read_shares(rows: Rows, by: Sequence[str] | None = None) -> tuple[Shares, list[str]]:
    """The shares of a table, and notes.

    Args:
        rows: For which `is_shares`.
        by: Which attributes; None: all that are there, and their cells.

    Raises:
        EquimeError: Both a share and a count, other columns, a share that is no number of 0 or more, no share above 0,
            a group twice, or an attribute that is not there.
    """
    names = [name for name in rows.table.column_names if name != "subject_id"]
    weights = [name for name in WEIGHTS if name in names]
    others = [name for name in names if name not in weights]
    is_long = set(others) == set(LONG)
    if len(weights) > 1 or not (is_long or by or (others and set(others) <= set(ATTRIBUTES))):
        raise EquimeError(f"{rows.name}: {_EXPECTED}; got the columns {', '.join(names)}")
    numbers = _numbers(rows, weights[0])
    cells = [*others, "+".join(others)] if len(others) > 1 else others
    found, notes = _long(rows, numbers, by) if is_long else _wide(rows, numbers, by or cells)
    for attribute, shares in found.items():
        if not sum(shares.values()):
            raise EquimeError(f"{rows.name}: expected a {weights[0]} above 0 of {attribute}, got only zeros")
    return found, notes


def _numbers(rows: Rows, name: str) -> np.ndarray:
    values = []
    for number, value in enumerate(rows.table[name].to_pylist(), start=1):
        try:
            values.append(float(value))
        except (TypeError, ValueError):
            values.append(math.nan)
        if not 0 <= values[-1] < math.inf:
            raise EquimeError(f"{rows.name}, row {number}: {name} should be a number of 0 or more, got {value!r}")
    return np.array(values)


def _long(rows: Rows, numbers: np.ndarray, by: Sequence[str] | None) -> tuple[Shares, list[str]]:
    found: Shares = {}
    keys = zip(*(as_text(rows.table, name, rows.name).to_pylist() for name in LONG), strict=True)
    for (attribute, group), share in zip(keys, numbers.tolist(), strict=True):
        if attribute is None or group is None:
            raise EquimeError(f"{rows.name}: expected an attribute and a group in each row, got {attribute, group}")
        if group in found.setdefault(str(attribute), {}):
            raise EquimeError(f"{rows.name}: the group {group!r} of {attribute} comes twice: give each one row")
        found[str(attribute)][str(group)] = share
    if missing := [name for name in by or () if name not in found]:
        raise EquimeError(f"{rows.name} has no shares of {missing[0]!r}: expected one of {', '.join(found)}")
    return {name: found[name] for name in by or found}, []


def _wide(rows: Rows, numbers: np.ndarray, by: Sequence[str]) -> tuple[Shares, list[str]]:
    grouped = [groups(rows, name) for name in by]
    sums = {one.by: [numbers[mask].sum() for _, mask in one.masks()] for one in grouped}
    lost = {one.by: numbers[one.member < 0].sum() for one in grouped}
    notes = [f"{share:g} of {name} are of no group and left out" for name, share in lost.items() if share]
    return {one.by: dict(zip(one.names, map(float, sums[one.by]), strict=True)) for one in grouped}, notes
