"""How far groups and levels go together, of tables of counts: Cramer's V, mutual information, and cell by cell.

    cramers_v(counts), nmi(counts)      # counts (..., groups, levels): (...)
    npmi(counts)                        # (groups, levels): the same

All of them are of the whole table; none knows how many people it is made of: see `equime.audit.measures.permutation`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def cramers_v(tables: Array) -> Array:
    """Cramer's V (1946), 0 to 1, (...): NaN where fewer than two groups or levels have a clip."""
    rows, columns, _ = _sums(tables)
    expected = rows * columns
    parts = np.divide(tables**2, expected, out=np.zeros(tables.shape), where=expected > 0)
    return np.sqrt(_exact(parts.sum((-2, -1)) - 1) / _least(rows, columns))


def nmi(tables: Array) -> Array:
    """Mutual information over the mean of both entropies (as scikit-learn's), 0 to 1, (...): NaN as `cramers_v`."""
    rows, columns, total = _sums(tables)
    both, first, second = (_entropy(part, total) for part in (tables, rows, columns))
    mean = np.where(np.isnan(_least(rows, columns)), np.nan, (first + second) / 2)
    return _exact(first + second - both) / mean


def npmi(table: Array) -> Array:
    """Normalised pointwise mutual information (Bouma 2009), -1 to 1, of each cell; NaN where a margin is empty."""
    shares = np.asarray(table, np.float64) / max(table.sum(), 1)
    expected = shares.sum(1, keepdims=True) * shares.sum(0, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(shares > 0, np.log(shares / expected) / -np.log(shares), -1.0)
    # All clips in one cell: always together.
    return np.where(expected > 0, np.where(shares == 1, 1.0, found), np.nan)


def _sums(tables: Array) -> tuple[Array, Array, Array]:
    rows = tables.sum(-1, keepdims=True)
    return rows, tables.sum(-2, keepdims=True), rows.sum(-2, keepdims=True)


def _exact(values: Array) -> Array:
    """None where there is nothing but rounding: else the noise of a table without any association would be tested."""
    return np.where(values > 1e-12, values, 0.0)


def _least(rows: Array, columns: Array) -> Array:
    """Non-empty groups or levels, whichever are fewer, less one; NaN where that is none."""
    fewer = np.minimum((rows > 0).sum((-2, -1)), (columns > 0).sum((-2, -1))) - 1.0
    return np.where(fewer > 0, fewer, np.nan)


def _entropy(counts: Array, total: Array) -> Array:
    shares = counts / np.maximum(total, 1)
    found: Array = -(shares * np.log(np.where(shares > 0, shares, 1))).sum((-2, -1))
    return found
