r"""A set of experiments as one table: each score with its interval, what guessing scores, and whether that is sound.

found = results(chosen("synthetic"), samples, Path("runs/synthetic"), workers=2)
print("\n".join(markdown(found)))
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from equime.bootstrap import Estimate
from equime.errors import EquimeError
from equime.metrics import uf1
from equime.recognise.evaluate import evaluate
from equime.recognise.experiments import Line
from equime.recognise.predictions import classes_of, labelled, numbers
from equime.recognise.protocols.folds import people
from equime.recognise.samples import Samples
from equime.recognise.training.run import run
from equime.recognise.units_known import units_known
from equime.scores import Answers, Scores, difference


@dataclass(frozen=True)
class Result:
    """One line of the table.

    Attributes:
        name: What was run.
        expected: See `experiments.Line`; "" for what was computed and not trained.
        scores: What came out.
        below: By how much UF1 is below the first line's, on the same clips, with its interval; None where the clips
            differ.
        out: The run's folder; None where nothing was trained.
        problems: A line for each sample that was left out, and why.
    """

    name: str
    expected: str
    scores: Scores
    below: Estimate | None = None
    out: Path | None = None
    problems: tuple[str, ...] = ()

    @property
    def sound(self) -> bool | None:
        """Whether it came out as a sound experiment does; None where nothing is expected, or nothing can be said.

        "above": the interval of UF1 is above all guessing's, and no seed collapsed; "chance": the interval
        does not lie above what answers drawn with the classes' shares score, so that nothing is *shown* to be left
        (how little, its upper end says); "lower": the interval of the difference to the first line's lies above 0.
        """
        if self.expected in ("above", "chance") and np.isnan(self.scores.uf1.low):  # one subject has no interval
            return None
        if self.expected == "above":
            return self.scores.above_guessing and not self.scores.collapsed
        if self.expected == "chance":
            return self.scores.uf1.low <= self.scores.stratified.uf1
        if self.expected == "lower":
            return self.below is not None and self.below.low > 0
        return None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        below = self.below and {n: None if np.isnan(v) else v for n, v in self.below._asdict().items()}
        told: dict[str, Any] = {"name": self.name, "expected": self.expected, "sound": self.sound, "below_first": below}
        told |= {"run": None if self.out is None else str(self.out), "problems": list(self.problems)}
        return told | {"scores": self.scores.to_dict()}


def results(
    lines: Sequence[Line], samples: Samples, out: Path, *, cache: Path, workers: int = 1, device: str = "cpu"
) -> list[Result]:
    """Run experiments, each in its own folder below `out`; those that are done are only read.

    The first one's networks are kept, the others are there to compare it with.

    Args:
        lines: What to run; the first is what the others are compared with.
        samples: On what.
        out: The folder of the set.
        cache: Folder of features.
        workers: Processes.
        device: "cpu", "cuda", "cuda:N".

    Raises:
        EquimeError: What `run` raises.
    """
    how: dict[str, Any] = {"cache": cache, "workers": workers, "device": device}
    ran = [run(line.experiment, samples, out / _folder(line), weights=line is lines[0], **how) for line in lines]
    first = ran[0].predictions
    found = [
        Result(
            line.experiment.title,
            line.expected,
            evaluate(outcome.predictions),
            None if line is lines[0] else _below(first, outcome.predictions),
            outcome.out,
            outcome.problems,
        )
        for line, outcome in zip(lines, ran, strict=True)
    ]
    return found + _known(lines[0], first, samples.table)


def _folder(line: Line) -> str:
    """A name that tells what it is, and changes with anything that decides the numbers."""
    decides = json.dumps(line.experiment.to_dict(), sort_keys=True)
    return f"{_slug(line.experiment.title)}-{hashlib.sha256(decides.encode()).hexdigest()[:8]}"


def _slug(title: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in title.lower()).split())


def _below(first: pa.Table, other: pa.Table) -> Estimate | None:
    """By how much the other's UF1 is below; None where their clips differ: another protocol, or no such feature."""
    if _clips(first) != _clips(other):
        return None
    return difference(_answers(first), _answers(other), uf1)


def _clips(predictions: pa.Table) -> set[str]:
    return set(labelled(predictions)["sample_id"].to_pylist())


def _answers(predictions: pa.Table) -> Answers:
    rows = labelled(predictions)
    seeds = np.array(rows["seed"].to_pylist())
    return Answers.of(numbers(rows, "label"), numbers(rows, "prediction"), people(rows), classes_of(rows), seeds=seeds)


def _known(line: Line, first: pa.Table, table: pa.Table) -> list[Result]:
    """The best possible score for the first line's clips given their units, where emotions are programmes of units."""
    if line.experiment.target != "emotion5":
        return []
    tested = table.filter(pc.is_in(table["sample_id"], pa.array(sorted(_clips(first)))))
    try:
        return [Result("units known exactly (the best possible)", "", units_known(tested))]
    except EquimeError:  # no units are coded
        return []


# --- the table


def markdown(found: Sequence[Result]) -> list[str]:
    """The table for people: GitHub's Markdown."""
    first = found[0].scores
    head = (
        f"{sum(first.support):,} clips of {first.subjects:,} subjects, {len(first.classes)} classes, {first.seeds} "
        f"seeds; 95 % intervals over subjects. Always the best one answer: UF1 {first.majority.uf1:.3f}; answers drawn "
        f"with the classes' shares: {first.stratified.uf1:.3f}."
    )
    return [
        head,
        "",
        "| | UF1 | UAR | accuracy | UF1 below the first | expected |",
        "|---|---|---|---|---|---|",
        *(_row(result, first) for result in found),
        "",
        "*above*: the interval of UF1 lies above all guessing's, and no seed collapsed; *chance*: it does not "
        "lie above that of drawn answers; *lower*: the interval of the difference to the first line lies above 0.",
    ]


def _row(result: Result, first: Scores) -> str:
    scores = result.scores
    sound = {True: "yes", False: "**NO**", None: ""}[result.sound]
    expected = f"{result.expected}: {sound}" if sound else result.expected
    collapsed = f" (collapsed in {scores.collapsed} of {scores.seeds} seeds)" if scores.collapsed else ""
    below = "" if result.below is None else _span(result.below)
    cells = (
        result.name + collapsed + ("" if scores.support == first.support else _other_clips(scores)),
        _span(scores.uf1),
        _span(scores.uar),
        f"{scores.accuracy.value:.3f}",
        below,
        expected,
    )
    return f"| {' | '.join(cells)} |"


def _other_clips(scores: Scores) -> str:
    """What the table's first words say of the first line's clips, for a line of others."""
    guessing = f"UF1 of one answer {scores.majority.uf1:.3f}, of drawn ones {scores.stratified.uf1:.3f}"
    return f" ({sum(scores.support):,} clips: {guessing})"


def _span(estimate: Estimate) -> str:
    span = "" if np.isnan(estimate.low) else f" ({estimate.low:.3f} to {estimate.high:.3f})"
    return f"{estimate.value:.3f}{span}"
