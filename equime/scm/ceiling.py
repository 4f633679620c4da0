"""The best possible UF1 of emotion given units: no recogniser of these clips can do better than what units tell.

Why: two emotions can show the same units, so even units that are seen without error leave the emotion open, and UF1
has a ceiling below 1. UF1 is the mean over the emotions of F1 = 2 hits / (clips of the emotion + clips called so), in
a population that holds each emotion equally often.

The best rule is sought by Frank-Wolfe ascent over all (also randomised) rules: UF1's gradient gives each set of units
to the emotion with the largest weighted posterior, and every step is as long as raises UF1 most. It starts from the
Bayes rule and from rules that favour or neglect one emotion, and can end in a local maximum. So `bound` stands beside
it, above which no rule can be: the mean of every emotion's best F1 on its own, which exactly is that of calling the
emotion where its posterior is above a threshold.

    EmotionModel.from_tables().ceiling()
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ceiling:
    """What a recogniser that sees the units without error can reach.

    Attributes:
        uf1: of the best rule found, 0 to 1.
        bound: which no rule exceeds.
        bayes: UF1 of the Bayes rule (the most probable emotion), which is best for accuracy.
        accuracy: of the Bayes rule; with equal shares also its UAR, which no rule exceeds.
        majority: UF1 of calling every clip the same emotion.
    """

    uf1: float
    bound: float
    bayes: float
    accuracy: float
    majority: float

    def to_dict(self) -> dict[str, float]:
        """By name."""
        return asdict(self)


def ceiling(likelihoods: Array) -> Ceiling:
    """The best UF1 where each emotion is equally frequent.

    Args:
        likelihoods: float (outcomes, emotions), P(outcome | emotion), each column summing to 1.
    """
    classes = likelihoods.shape[1]
    joint = likelihoods / classes
    bayes = _tally(joint, joint)
    starts = [bayes]
    for emotion in range(classes):
        for factor in (0.25, 0.5, 2.0, 4.0):
            tilt = np.ones(classes)
            tilt[emotion] = factor
            starts.append(_tally(joint, joint * tilt))
    return Ceiling(
        uf1=max(_ascend(joint, *start) for start in starts),
        bound=float(np.mean([_best_f1(joint, emotion) for emotion in range(classes)])),
        bayes=_uf1(*bayes),
        accuracy=float(bayes[0].sum()),
        majority=2.0 / classes / (1.0 + 1.0 / classes) / classes,
    )


def uf1(joint: Array, rule: Array) -> float:
    """UF1 of a rule.

    Args:
        joint: float (outcomes, emotions), probability of both; the emotions are equally frequent.
        rule: float (outcomes, emotions), how often an outcome is called an emotion; rows sum to 1.
    """
    return _uf1((joint * rule).sum(0), joint.sum(1) @ rule)


def _uf1(hits: Array, called: Array) -> float:
    """UF1 is all in how often each emotion is rightly called, and called at all."""
    return float(np.mean(2.0 * hits / (1.0 / len(hits) + called)))


def _tally(joint: Array, scores: Array) -> tuple[Array, Array]:
    """Hits and calls of each emotion where each outcome goes wholly to the emotion of its highest score."""
    best = scores.argmax(1)
    classes = joint.shape[1]
    hits = np.bincount(best, joint[np.arange(len(best)), best], classes)
    called = np.bincount(best, joint.sum(1), classes)
    return hits.astype(np.float64), called.astype(np.float64)


def _ascend(joint: Array, hits: Array, called: Array) -> float:
    """Frank-Wolfe: hits and calls are linear in the rule, so a step needs no rule, only its hits and calls."""
    steps = 0.7 ** np.arange(30)
    best = _uf1(hits, called)
    for _ in range(100):
        sizes = 1.0 / len(hits) + called
        towards = _tally(joint, (2.0 * joint - 2.0 * hits / sizes * joint.sum(1, keepdims=True)) / sizes)
        moves = [(hits + step * (towards[0] - hits), called + step * (towards[1] - called)) for step in steps]
        found = [_uf1(*move) for move in moves]
        if max(found) <= best + 1e-12:
            break
        best = max(found)
        hits, called = moves[int(np.argmax(found))]
    return best


def _best_f1(joint: Array, emotion: int) -> float:
    """The best F1 of one emotion: it is called for the outcomes that are most probably it."""
    total = joint.sum(1)
    order = np.argsort(-joint[:, emotion] / total, kind="stable")
    hits, called = np.cumsum(joint[order, emotion]), np.cumsum(total[order])
    return float(np.max(2.0 * hits / (joint[:, emotion].sum() + called)))
