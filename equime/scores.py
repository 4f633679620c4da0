"""The scores of a recogniser with their intervals, beside what answers give that look at no clip.

Why: a table of single numbers says neither whether another thirty subjects would agree nor whether a constant answer
would do as well. Of EquiME's eight published transfers three equal a constant answer's to the last digit, which
weighted F1 hides. So whoever asks for a score gets its interval, both baselines and a flag with it.

    scores = Scores.of(truth, predicted, subjects, ("negative", "positive", "surprise"), seeds=seeds)
    scores.uf1, scores.majority.uf1, scores.collapsed

Labels of emotion are *intended*, groups are of *perceived* labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from equime import metrics
from equime.bootstrap import DRAWS, Estimate, Statistic, bootstrap
from equime.errors import EquimeError
from equime.metrics import Figures

Array = npt.NDArray[Any]

NEARLY_ALL: Final = 0.95
"""The share of the answers that one class takes in a collapsed model."""


@dataclass(frozen=True, eq=False)
class Answers:
    """The counts of several trainings' answers to the same clips.

    Attributes:
        classes: Names of the K classes.
        subjects: Who they are of, sorted.
        counts: int64 (S, seeds, K, K): of each subject and seed, rows are the truth.
    """

    classes: tuple[str, ...]
    subjects: tuple[str, ...]
    counts: Array

    @classmethod
    def of(
        cls, truth: Array, predicted: Array, subjects: Array, classes: Sequence[str], *, seeds: Array | None = None
    ) -> Answers:
        """Count answers, see `Scores.of`.

        Raises:
            EquimeError: No answers, columns of different lengths, a number that is no class, or seeds that did not
                answer the same clips.
        """
        size = len(classes)
        truth, predicted = (metrics.numbered(v, size, n) for v, n in ((truth, "truth"), (predicted, "predicted")))
        seeds = np.zeros(len(truth), np.int64) if seeds is None else np.asarray(seeds)
        lengths = tuple(map(len, (truth, predicted, subjects, seeds)))
        if len(set(lengths)) > 1 or not len(truth):
            raise EquimeError(f"expected as many labels, answers, subjects and seeds, at least one; got {lengths}")
        names, who = np.unique(np.asarray(subjects), return_inverse=True)
        runs, run = np.unique(seeds, return_inverse=True)
        shape = (len(names), len(runs), size, size)
        places = np.ravel_multi_index((who, run, truth, predicted), shape)
        counts = np.bincount(places, minlength=int(np.prod(shape))).reshape(shape)
        if (counts.sum(-1) != counts[:, :1].sum(-1)).any():
            raise EquimeError("expected every seed to answer the same clips; finish the run, or leave its seeds out")
        return cls(tuple(classes), tuple(map(str, names)), counts)

    def score(self, metric: Statistic, **how: Any) -> Estimate:
        """A metric of pooled counts, its mean over the seeds, with its interval; `how` as for `bootstrap`."""
        return bootstrap(self.counts, lambda pooled: np.asarray(metric(pooled).mean(-1)), **how)


def difference(first: Answers, second: Answers, metric: Statistic = metrics.uf1, **how: Any) -> Estimate:
    """How much better the first scores than the second on the same subjects, drawn in pairs.

    Args:
        first: Of one model.
        second: Of another one or a control; its number of seeds may differ.
        metric: `metrics.uf1` or another of counts (..., K, K).
        how: See `bootstrap`.

    Raises:
        EquimeError: Other subjects or classes.
    """
    if (first.subjects, first.classes) != (second.subjects, second.classes):
        raise EquimeError("expected answers to the same subjects' clips in the same classes to compare two models")
    runs, many = first.counts.shape[1], np.concatenate([first.counts, second.counts], 1)

    def apart(pooled: Array) -> Array:
        found = metric(pooled)
        return np.asarray(found[..., :runs].mean(-1) - found[..., runs:].mean(-1))

    return bootstrap(many, apart, **how)


@dataclass(frozen=True)
class Scores:
    """What a recogniser's answers are worth. Every score is of the counts pooled over folds, its mean over the seeds.

    Attributes:
        classes: Names of the K classes.
        support: Clips of each class. Classes without a clip are not averaged over, see `equime.metrics`.
        subjects: How many there are.
        seeds: How many trainings answered.
        uf1: Unweighted F1, with the interval over subjects.
        uar: Unweighted average recall, likewise.
        accuracy: Likewise.
        weighted_f1: Likewise; reported because others do, not to be read alone.
        uf1_sd: Standard deviation of UF1 over the seeds; NaN with one seed.
        f1: Of each class; NaN for one without a clip.
        recall: Likewise.
        precision: Likewise, NaN also for one never answered by a seed.
        confusion: Mean counts over the seeds, rows are the truth.
        majority: What always answering the commonest class would score.
        stratified: What answers drawn with the classes' shares would score on average.
        collapsed: How many of the seeds are collapsed: 0 is good. In such a seed one class takes nearly all answers
            (`NEARLY_ALL`): of all clips or, each fold being a model of its own, within the folds, where every fold
            may have its own constant; and the labels are less uniform. Where UF1 is no higher than the best constant
            answer's, it is enough that the answers are nearer to one class than to the labels' own uniformity.
            EquiME's published transfers to SAMM show both: accuracy .63, weighted F1 .489, UF1 .258 is a constant's
            to the digit; .61, .481, .254 is none's, and worse than one. Answers that are many and wrong are bad, and
            no collapse. Whether a score is *shown* to be better than a constant's is `above_constant`.
    """

    classes: tuple[str, ...]
    support: tuple[int, ...]
    subjects: int
    seeds: int
    uf1: Estimate
    uar: Estimate
    accuracy: Estimate
    weighted_f1: Estimate
    uf1_sd: float
    f1: tuple[float, ...]
    recall: tuple[float, ...]
    precision: tuple[float, ...]
    confusion: tuple[tuple[float, ...], ...]
    majority: Figures
    stratified: Figures
    collapsed: int

    @classmethod
    def of(
        cls,
        truth: Array,
        predicted: Array,
        subjects: Array,
        classes: Sequence[str],
        *,
        seeds: Array | None = None,
        folds: Array | None = None,
        draws: int = DRAWS,
        level: float = 0.95,
    ) -> Scores:
        """Score answers: one entry for each clip and seed, in any order.

        Args:
            truth: int (n,), the number of each clip's class.
            predicted: int (n,), the number of the answered class.
            subjects: (n,) whose clip it is.
            classes: Names of the classes.
            seeds: (n,) which training answered; None: there was one.
            folds: (n,) in which fold; None: there was one.
            draws: Bootstrap draws.
            level: Of the intervals.

        Raises:
            EquimeError: See `Answers.of`.
        """
        answers = Answers.of(truth, predicted, subjects, classes, seeds=seeds)
        pooled = answers.counts.sum(0)
        support = pooled[0].sum(-1)
        best = metrics.majority(support)
        found = metrics.uf1(pooled)
        seeds, folds = (np.zeros(len(truth), np.int64) if v is None else np.asarray(v) for v in (seeds, folds))
        columns = np.asarray(truth), np.asarray(predicted), np.unique(folds, return_inverse=True)[1]
        runs = [[column[seeds == seed] for column in columns] for seed in np.unique(seeds)]
        return cls(
            classes=answers.classes,
            support=tuple(support.tolist()),
            subjects=len(answers.subjects),
            seeds=len(pooled),
            uf1=answers.score(metrics.uf1, draws=draws, level=level),
            uar=answers.score(metrics.uar, draws=draws, level=level),
            accuracy=answers.score(metrics.accuracy, draws=draws, level=level),
            weighted_f1=answers.score(metrics.weighted_f1, draws=draws, level=level),
            uf1_sd=float(found.std(ddof=1)) if len(found) > 1 else np.nan,
            f1=_mean(metrics.f1(pooled)),
            recall=_mean(metrics.recall(pooled)),
            precision=_mean(metrics.precision(pooled)),
            confusion=tuple(_mean(pooled[:, row]) for row in range(len(classes))),
            majority=best,
            stratified=metrics.stratified(support),
            collapsed=sum(_is_collapsed(len(classes), *run) for run in runs),
        )

    @property
    def above_constant(self) -> bool:
        """Whether the whole interval of UF1 lies above what the best constant answer scores."""
        return self.uf1.low > self.majority.uf1

    def rows(self) -> list[tuple[str, Estimate, float, float]]:
        """Each score's name and estimate, and what `majority` and `stratified` have in its place."""
        names = zip(("UF1", "UAR", "accuracy", "weighted F1"), Figures._fields, strict=True)
        parts = self.majority._asdict(), self.stratified._asdict()
        return [(name, getattr(self, field), *(part[field] for part in parts)) for name, field in names]

    @property
    def above_guessing(self) -> bool:
        """Whether it lies above what drawn answers score, too: of even classes that is more than a constant's."""
        return self.uf1.low > max(self.majority.uf1, self.stratified.uf1)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON-ready values, NaN as None."""
        above = {"above_constant": self.above_constant, "above_guessing": self.above_guessing}
        found: dict[str, Any] = _plain(asdict(self) | above)
        return found


def _mean(over_seeds: Array) -> tuple[float, ...]:
    return tuple(over_seeds.mean(0).tolist())


def _is_collapsed(classes: int, truth: Array, predicted: Array, folds: Array) -> bool:
    """Whether one training's answers are nearly constant and its labels are not, see `Scores`."""
    counts = metrics.confusion(truth, predicted, classes)
    # A hair of rounding must not lift a constant answer above itself.
    poor = metrics.uf1(counts) <= metrics.majority(counts.sum(-1)).uf1 + 1e-12
    for groups in (np.zeros_like(folds), folds):
        own, given = _commonest(truth, groups), _commonest(predicted, groups)
        if own < ((1 + own) / 2 if poor else NEARLY_ALL) <= given:
            return True
    return False


def _commonest(values: Array, groups: Array) -> float:
    """The share of values that are the commonest one of their group."""
    counts = np.zeros((groups.max() + 1, values.max() + 1), np.int64)
    np.add.at(counts, (groups, values), 1)
    return float(counts.max(1).sum() / len(values))


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and np.isnan(value) else value
