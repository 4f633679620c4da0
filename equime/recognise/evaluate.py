r"""What predictions are worth: scores of pooled counts, intervals over subjects, and what guessing would score.

scores = evaluate(predictions.read(Path("runs/x/predictions.parquet"))[0])
print("\n".join(lines(scores)))

equime evaluate runs/x/predictions.parquet --json
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from equime.bootstrap import Estimate
from equime.errors import EquimeError
from equime.recognise.predictions import classes_of, labelled, numbers
from equime.recognise.protocols.folds import people
from equime.scores import Scores
from equime.wording import counted


def evaluate(predictions: pa.Table) -> Scores:
    """The scores of a table of predictions.

    Args:
        predictions: Columns of `predictions.schema`; rows without a label are left out.

    Raises:
        EquimeError: No labelled row, or seeds that did not answer the same clips.
    """
    rows = labelled(predictions)
    if not len(rows):
        raise EquimeError("no row has a label: predictions for clips without one cannot be scored")
    return Scores.of(
        numbers(rows, "label"),
        numbers(rows, "prediction"),
        people(rows),
        classes_of(rows),
        seeds=np.array(rows["seed"].to_pylist()),
        folds=np.array(rows["fold"].to_pylist()),
    )


def lines(scores: Scores) -> list[str]:
    """The scores as text."""
    clips = sum(scores.support)
    head = [
        f"{counted(clips, 'clip')} of {counted(scores.subjects, 'subject')}, {counted(scores.seeds, 'seed')}",
        f"{'':14}{'score':>8}{'95 % over subjects':>22}{'majority':>10}{'stratified':>12}",
    ]
    body = [f"{name:14}{e.value:8.3f}{_span(e):>22}{one:10.3f}{drawn:12.3f}" for name, e, one, drawn in scores.rows()]
    spread = [] if np.isnan(scores.uf1_sd) else [f"UF1 from seed to seed: standard deviation {scores.uf1_sd:.3f}"]
    return [*head, *body, *spread, *_verdict(scores), "", *_by_class(scores)]


def _span(estimate: Estimate) -> str:
    return "-" if np.isnan(estimate.low) else f"{estimate.low:.3f} to {estimate.high:.3f}"


def _verdict(scores: Scores) -> list[str]:
    if scores.collapsed:
        return [f"COLLAPSED in {scores.collapsed} of {scores.seeds} seeds: nearly the same answer to every clip"]
    if not scores.above_constant:
        return ["not shown to be better than always giving the best constant answer"]
    if not scores.above_guessing:
        return ["not shown to be better than answers drawn with the classes' shares"]
    return []


def _by_class(scores: Scores) -> list[str]:
    """F1, recall, precision and the mean numbers of answers, a line a class."""
    width = max(len(name) for name in ("truth", *scores.classes)) + 2
    asked = "".join(f"{name:>{width}}" for name in scores.classes)
    head = f"{'truth':{width}}{'clips':>7}{'F1':>7}{'recall':>8}{'precision':>11}   answers:{asked}"
    rows = zip(scores.classes, scores.support, scores.f1, scores.recall, scores.precision, strict=True)
    return [head] + [
        f"{name:{width}}{clips:>7}{f1:>7.3f}{recall:>8.3f}{precision:>11.3f}{'':11}"
        + "".join(f"{count:>{width}.1f}" for count in confusion)
        for (name, clips, f1, recall, precision), confusion in zip(rows, scores.confusion, strict=True)
    ]
