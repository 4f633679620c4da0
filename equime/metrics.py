"""Statistics that several parts report, from counts: intervals of shares, and the scores of a recogniser.

Why here: a share of accepted clips should have one interval, whether a plan, a ranking or an audit says it. And the
field's scores part ways at the average: 0.7394 and 0.6662 are the same predictions, pooled and averaged over folds
(MEB, arXiv 2211.11425, on SSSNet). So every score here is a function of *pooled* counts, and none averages over folds.

    counts = confusion(truth, predicted, 3)     # add up those of all folds, then
    uf1(counts), uar(counts)                    # MEGC 2019's two
    majority(counts.sum(-1)), stratified(counts.sum(-1))

**Classes without a clip.** A class that does not occur in the truth has no recall, and is not averaged over; answers
that name it are misses of the others. That is scikit-learn's `balanced_accuracy_score`, and its `f1_score` with
`labels=numpy.unique(truth)`; without labels `f1_score` adds a zero for such a class as soon as one answer names it.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from equime.errors import EquimeError

Array = npt.NDArray[Any]


def wilson(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """The score interval of a share (Wilson 1927): sound for few trials and for shares near 0 and 1.

    Args:
        successes: 0 to `trials`.
        trials: At least 1.
        level: How often the interval covers the true share, between 0 and 1.

    Returns:
        (low, high), 0-1, around `successes / trials`.
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = successes / trials
    centre = share + z * z / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    scale = 1 + z * z / trials
    # Rounding may put the share itself a hair outside.
    return max(0.0, min(share, (centre - half) / scale)), min(1.0, max(share, (centre + half) / scale))


# --- counts and what they say


def confusion(truth: Array, predicted: Array, classes: int) -> Array:
    """How often each class was answered by each: int64 (K, K), rows are the truth.

    Args:
        truth: int (n,), 0 to K - 1.
        predicted: int (n,), 0 to K - 1.
        classes: K.

    Raises:
        EquimeError: Lengths that differ, or a number that is no class.
    """
    truth, predicted = numbered(truth, classes, "truth"), numbered(predicted, classes, "predicted")
    if len(truth) != len(predicted):
        raise EquimeError(f"expected one answer to each of {len(truth)} clips, got {len(predicted)}")
    counts: Array = np.bincount(truth * classes + predicted, minlength=classes**2).reshape(classes, classes)
    return counts


def numbered(values: Array, classes: int, what: str) -> Array:
    """Numbers of classes as int64 (n,).

    Raises:
        EquimeError: A number that is no class, as -1 for a clip without a label.
    """
    found = np.asarray(values)
    if found.ndim != 1 or (len(found) and not np.issubdtype(found.dtype, np.integer)):
        raise EquimeError(f"expected {what} as whole numbers (n,), got {found.dtype} {found.shape}")
    wrong = found[(found < 0) | (found >= classes)]
    if len(wrong):
        raise EquimeError(f"expected {what} of 0 to {classes - 1}, got {int(wrong[0])}; leave unlabelled clips out")
    return found.astype(np.int64)


def f1(counts: Array) -> Array:
    """2TP / (2TP + FP + FN) of each class: (..., K) of counts (..., K, K), NaN for a class without a clip."""
    support, answers = counts.sum(-1), counts.sum(-2)
    return _ratio(2 * _hits(counts), np.where(support > 0, support + answers, 0))


def recall(counts: Array) -> Array:
    """The share of each class's clips that was found: (..., K), NaN for a class without a clip."""
    return _ratio(_hits(counts), counts.sum(-1))


def precision(counts: Array) -> Array:
    """The share of each class's answers that was right: (..., K), NaN for a class never answered."""
    return _ratio(_hits(counts), counts.sum(-2))


def uf1(counts: Array) -> Array:
    """Unweighted F1, the macro average: the mean of `f1` over the classes with clips, (...).

    Of pooled counts alone it is the UF1 of MEGC 2019 (See et al.); NaN without any clip.
    """
    return _mean(f1(counts))


def uar(counts: Array) -> Array:
    """Unweighted average recall, balanced accuracy: the mean of `recall` over the classes with clips, (...)."""
    return _mean(recall(counts))


def accuracy(counts: Array) -> Array:
    """The share of answers that were right, (...)."""
    return _ratio(_hits(counts).sum(-1), counts.sum((-1, -2)))


def weighted_f1(counts: Array) -> Array:
    """The mean of `f1` weighted by the classes' clips, (...): it hides a model that answers one class alone."""
    support = counts.sum(-1)
    return _ratio(np.nansum(f1(counts) * support, -1), support.sum(-1))


def kappa(counts: Array, weights: Literal["linear", "quadratic"] | None = None) -> Array:
    """Cohen's kappa of two who judged the same clips, 1 - observed / expected disagreement: (...) of (..., K, K).

    0 is what two who do not look at the clip have who answer as often as these did; 1 is full agreement. Nominal
    (Cohen 1960), or weighted by how far apart the answers are (Cohen 1968), for classes in an order.

    Args:
        counts: How often the first answered each class and the second each, (..., K, K).
        weights: Of a disagreement by k classes: 1, k ("linear") or k squared ("quadratic").

    Returns:
        -1 to 1; NaN where chance alone agrees fully: nothing judged, or one and the same class always answered.
    """
    counts = np.asarray(counts, np.float64)
    steps = np.abs(np.subtract.outer(np.arange(counts.shape[-1]), np.arange(counts.shape[-1])))
    apart = {None: steps > 0, "linear": steps, "quadratic": steps**2}[weights].astype(np.float64)
    expected = ((counts.sum(-1) @ apart) * counts.sum(-2)).sum(-1)
    return 1 - _ratio((counts * apart).sum((-1, -2)) * counts.sum((-1, -2)), expected)


def _hits(counts: Array) -> Array:
    found: Array = np.diagonal(counts, axis1=-2, axis2=-1)
    return found


def _ratio(above: Array, below: Array) -> Array:
    below = np.asarray(below, np.float64)
    found: Array = np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0)
    return found


def _mean(values: Array) -> Array:
    """The mean of what is not NaN along the last axis."""
    return _ratio(np.nansum(values, -1), (~np.isnan(values)).sum(-1))


# --- answers that look at no clip


class Figures(NamedTuple):
    """The four scores of one set of answers, 0-1."""

    uf1: float
    uar: float
    accuracy: float
    weighted_f1: float


def figures(counts: Array) -> Figures:
    """All four scores of one table of counts (K, K)."""
    return Figures(*(float(score(counts)) for score in (uf1, uar, accuracy, weighted_f1)))


def constant(share: float, classes: int) -> Figures:
    """The scores of always answering one class, in closed form.

    Its recall is 1 and its precision the class's share p, so its F1 is 2p / (1 + p) and all others are 0. Published
    tables should be held against it: p = 0.632 gives accuracy .632, weighted F1 .489 and UF1 .258, which is what two of
    EquiME's four published transfers to SAMM report (UF1 is given for one of them).

    Args:
        share: p, the share of the clips that are of that class, 0-1.
        classes: How many classes the clips have.
    """
    own = 2 * share / (1 + share)
    return Figures(own / classes, 1 / classes, share, share * own)


def majority(support: Array) -> Figures:
    """The scores of always answering the commonest class: the best that a constant answer can have.

    Args:
        support: Clips of each class, (K,).

    Raises:
        EquimeError: No clips.
    """
    support = _some(support)
    return constant(float(support.max() / support.sum()), len(support))


def stratified(support: Array) -> Figures:
    """The expected scores of answers drawn at random with the classes' own shares; exact, no simulation.

    An answer names class c with its share q. The number M of such answers is binomial(n, q), and given M those that
    are right number M * support / n on average, whatever the clips: so the expected F1 is the mean of
    2 (M support / n) / (support + M) over M. Recall is q on average, so UAR is 1 / K.

    Args:
        support: Clips of each class, (K,).

    Raises:
        EquimeError: No clips.
    """
    support = _some(support)
    total = int(support.sum())
    shares = support / total
    answers = np.arange(total + 1)
    own = np.array(
        [_binomial(total, q) @ (2 * answers * q / (n + answers)) for n, q in zip(support, shares, strict=True)]
    )
    return Figures(float(own.mean()), 1 / len(support), float(shares @ shares), float(own @ shares))


def _some(support: Array) -> Array:
    found = np.asarray(support)
    if not found.sum():
        raise EquimeError("expected at least one clip to score, got none")
    kept: Array = found[found > 0]
    return kept


def _binomial(trials: int, share: float) -> Array:
    """The probabilities of 0 to `trials` successes, float64 (trials + 1,)."""
    if share == 1:
        return np.where(np.arange(trials + 1) == trials, 1.0, 0.0)
    k = np.arange(trials)
    steps = np.log((trials - k) / (k + 1)) + math.log(share / (1 - share))
    logs: Array = np.concatenate([[0.0], np.cumsum(steps)]) + trials * math.log1p(-share)
    return np.exp(logs)
