"""What groups score, and how far they are apart, from counts of true and answered classes.

    values = with_logarithms(counts)                    # counts (..., G, seeds, K, K): (..., G, 6 + 3K)
    apart(values)                                       # (..., 9 + K)
    names(classes), told(values, groups, classes)       # what each of these is, and between whom it is widest

The criteria are fairlearn's (Bird et al. 2020), of several classes each against the rest. Groups are of *perceived*
labels, emotions are *intended*.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from equime import metrics
from equime.audit.measures.resampling import share

Array = npt.NDArray[Any]

SCORES: Final = ("UF1", "UAR", "accuracy")
CRITERIA: Final = ("equal opportunity", "equalised odds", "demographic parity")
ALIKE: Final = "all groups alike"
NO_CLASS: Final = "fewer than two groups with clips of it"
_HAIR: Final = 1e-12


def measures(counts: Array) -> Array:
    """Scores of pooled counts (..., seeds, K, K), means over the seeds: (..., 3 + 3K).

    UF1, UAR, accuracy, then for each class its recall, its share of the answers and its false alarms: how many of the
    clips that are not of it were taken for it. NaN where there is no such clip.
    """
    counts = np.asarray(counts, np.float64)
    support, answered, hits = counts.sum(-1), counts.sum(-2), np.diagonal(counts, axis1=-2, axis2=-1)
    total = support.sum(-1, keepdims=True)
    whole = np.stack([metrics.uf1(counts), metrics.uar(counts), metrics.accuracy(counts)], -1)
    parts = metrics.recall(counts), share(answered, total), share(answered - hits, total - support)
    return np.asarray(np.concatenate([whole, *parts], -1).mean(-2))


def with_logarithms(counts: Array) -> Array:
    """`measures`, then the logarithms of UF1, UAR and accuracy, differences of which are ratios: (..., 6 + 3K)."""
    found = measures(counts)
    with np.errstate(divide="ignore"):
        return np.concatenate([found, np.log(found[..., :3])], -1)


def apart(found: Array) -> Array:
    """How far groups are apart, of what `with_logarithms` gives of them, (..., G, 6 + 3K): (..., 9 + K).

    As `names` has them: the largest differences of UF1, UAR and accuracy, `CRITERIA`, the largest difference of each
    class's recall, then the differences of the logarithms. Groups without a class take no part in what is said of it.
    """
    gaps = _spread(found)
    recall, answered, false = np.split(gaps[..., 3:-3], 3, -1)
    most = [np.fmax.reduce(part, axis=-1) for part in (recall, np.fmax(recall, false), answered)]
    return np.concatenate([gaps[..., :3], np.stack(most, -1), recall, gaps[..., -3:]], -1)


def names(classes: Sequence[str]) -> list[tuple[str, str]]:
    """Measure, and what it is of, of each number of `apart`."""
    gaps = [("gap", score) for score in SCORES], [("gap", f"recall of {name}") for name in classes]
    return [*gaps[0], *((criterion, "") for criterion in CRITERIA), *gaps[1], *(("ratio", score) for score in SCORES)]


def told(found: Array, groups: Sequence[str], classes: Sequence[str]) -> list[str]:
    """Between which groups each number of `apart` lies, of criteria also which class it is of.

    Args:
        found: Of the groups, (G, 6 + 3K), from `with_logarithms`.
        groups: Their names.
        classes: Of the K classes.
    """
    scores = [ends(column, groups) for column in found[:, :3].T]
    recall, answered, false = np.split(found[:, 3:-3], 3, 1)
    kinds = ("recall", recall), ("false alarms", false), ("answers", answered)
    criteria = [_widest(some, groups, classes) for some in (kinds[:1], kinds[:2], kinds[2:])]
    return [*scores, *criteria, *(ends(column, groups) for column in recall.T), *scores]


def ends(values: Array, groups: Sequence[str]) -> str:
    """Which groups have the lowest and the highest of values (G,); "" where fewer than two have one."""
    if (~np.isnan(values)).sum() < 2:
        return ""
    low, high = np.nanmin(values), np.nanmax(values)
    if high - low <= _HAIR:
        return ALIKE
    parts = {"lowest": values <= low + _HAIR, "highest": values >= high - _HAIR}
    named = {end: " and ".join(groups[place] for place in np.flatnonzero(mask).tolist()) for end, mask in parts.items()}
    return "; ".join(f"{end}: {name}" for end, name in named.items())


def _widest(kinds: Sequence[tuple[str, Array]], groups: Sequence[str], classes: Sequence[str]) -> str:
    """The class in which groups are farthest apart, of several kinds of scores (G, K), and which groups."""
    gaps = np.nan_to_num(np.stack([_spread(values) for _, values in kinds]), nan=-1)
    kind, place = divmod(int(gaps.argmax()), len(classes))
    between = ends(kinds[kind][1][:, place], groups)
    return between if between in ("", ALIKE) else f"{kinds[kind][0]} of {classes[place]}: {between}"


def _spread(values: Array) -> Array:
    """The largest difference between groups, (..., M) of (..., G, M); NaN where fewer than two have a value."""
    # fmin and fmax pass over NaN; infinite less infinite is NaN.
    with np.errstate(invalid="ignore"):
        found = np.fmax.reduce(values, axis=-2) - np.fmin.reduce(values, axis=-2)
    return np.where((~np.isnan(values)).sum(-2) > 1, found, np.nan)
