"""Some of the training's own people set apart, to choose an epoch or a setting by.

Why: a choice made on the test fold is worth as much as the method (STSTNet .7127 to .7740, Off-ApexNet .7032 to .8390
in MEB, arXiv 2211.11425). This function is given the training alone, so that it can choose by nothing else.

    fit, select = inner_split(training.subjects, training.y)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from equime.errors import EquimeError
from equime.recognise.protocols.folds import dealt

Array = npt.NDArray[Any]


def inner_split(subjects: Array, labels: Array, share: float = 0.2, seed: int = 0) -> tuple[Array, Array]:
    """Split a training by subject.

    The subjects are dealt into round(1 / share) parts of about equal classes (`folds.dealt`); the part is set apart
    that leaves most classes to learn, of those the one that holds most classes, of those the first.

    Args:
        subjects: (n,), whose each clip is.
        labels: int (n,), 0 or more.
        share: How much to set apart, above 0 and at most 0.5; with few subjects it is one of them.
        seed: Of the dealing.

    Returns:
        int64 positions to fit on and to select by, ascending, no subject in both.

    Raises:
        EquimeError: Fewer than two subjects, or a share that leaves nothing.
    """
    if not 0 < share <= 0.5:
        raise EquimeError(f"expected a share above 0 and at most 0.5 to select by, got {share = }")
    many = len(np.unique(subjects))
    if many < 2:
        raise EquimeError(f'expected at least two subjects to set one apart, got {many}; use select="last"')
    k = min(round(1 / share), many)
    part = dealt(np.asarray(subjects).astype(str), np.asarray(labels), k, seed)

    def worth(number: int) -> tuple[int, int]:
        return len(np.unique(labels[part != number])), len(np.unique(labels[part == number]))

    chosen = max(range(k), key=worth)
    return np.flatnonzero(part != chosen), np.flatnonzero(part == chosen)
