"""A run: an experiment on data, in a folder that says how it was made and can go on after anything.

    outcome = run(experiment, samples, Path("runs/x"), workers=2)
    outcome.predictions                        # runs/x/predictions.parquet

    runs/x/run.json                            the manifest: experiment, data, versions, commit, time
    runs/x/jobs/<fold>-seed<n>/                weights, epochs and predictions of one fold and seed
    runs/x/predictions.parquet                 all of them, once all jobs are done

The same command goes on where a stopped run was: a job whose predictions are there is done. A folder never mixes two
experiments: the manifest is compared before anything is trained. Neither the order of the samples nor the number of
processes changes a digit, and the same run gives the same file of predictions to the byte.
"""

from __future__ import annotations

import contextlib
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from equime.errors import EquimeError
from equime.locks import hold
from equime.pool import in_processes
from equime.recognise import predictions
from equime.recognise.features.extract import extract
from equime.recognise.models.build import build
from equime.recognise.protocols.folds import Fold, column, people
from equime.recognise.samples import Samples, labels
from equime.recognise.training import manifest
from equime.recognise.training.experiment import Experiment
from equime.recognise.training.job import Jobs, keep_data
from equime.recognise.training.manifest import MANIFEST as MANIFEST
from equime.recognise.training.spread import first_goes_first, is_first, processes, wait

Array = npt.NDArray[Any]

ANSWERS_OF_ALL: Final = predictions.ANSWERS


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        out: Its folder.
        predictions: The table of all its predictions, columns of `predictions.schema`.
        manifest: What `run.json` holds.
        trained: Jobs of this call; the others were done before.
        problems: Samples that were left out, a line each.
    """

    out: Path
    predictions: pa.Table
    manifest: dict[str, Any]
    trained: int
    problems: tuple[str, ...]


def run(
    experiment: Experiment,
    samples: Samples,
    out: Path,
    *,
    cache: Path | None = None,
    workers: int = 1,
    device: str = "cpu",
    weights: bool = True,
    tensorboard: bool = False,
) -> Outcome:
    """Train and test every fold with every seed.

    Args:
        experiment: What.
        samples: On what; those without a label of the target, or whose feature cannot be made, are left out and said.
        out: The run's folder.
        cache: Folder of features that were made before; None makes them anew.
        workers: Processes, for features and for jobs.
        device: "cpu", "cuda", "cuda:N".
        weights: Keep the trained networks.
        tensorboard: Write each epoch for TensorBoard too.

    Raises:
        EquimeError: Another experiment's folder, no usable samples, a network that cannot take the feature, or what
            training raises.
    """
    begun, first = time.monotonic(), is_first()
    with hold(out) if first else contextlib.nullcontext(), _writable(out):
        with first_goes_first(device):
            data = _prepared(experiment, samples, cache, workers)
        jobs = Jobs(out, out / ".data", experiment, data.folds, data.classes, device, weights, tensorboard)
        todo = [job for job in range(len(jobs)) if not jobs.done(job)]
        told = _begun(out, jobs, data, bool(todo))
        wait(device)  # everyone has seen what is to do
        if todo:
            _train(jobs, todo, data, workers)
        answers = _collected(jobs)
        if first:
            told = _ended(out, told, answers, time.monotonic() - begun if todo else 0.0)
        wait(device)
    return Outcome(out, answers, told, len(todo), data.problems)


@contextlib.contextmanager
def _writable(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        raise EquimeError(f"cannot write to {out}: {why}; make room, and the same command goes on") from error


# --- data


@dataclass(frozen=True)
class _Data:
    x: Array
    y: Array
    table: pa.Table
    classes: tuple[str, ...]
    folds: tuple[Fold, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def _prepared(experiment: Experiment, samples: Samples, cache: Path | None, workers: int) -> _Data:
    """Features, labels and folds of the samples that have both, in the order of their ids."""
    samples = samples.take(np.argsort(column(samples.table, "sample_id"), kind="stable"))
    coded, classes = labels(samples.table, experiment.target)
    kept = np.flatnonzero(coded >= 0)
    problems = []
    if unlabelled := len(coded) - len(kept):
        problems.append(f"{unlabelled} of {len(coded)} samples have no {experiment.target} and are left out")
    _require_possible(experiment, samples.take(kept).table, coded[kept], classes)
    made = extract(samples.take(kept), experiment.feature, cache=cache, workers=workers)
    kept = kept[made.kept]
    table, y = samples.take(kept).table, coded[kept]
    folds = tuple(experiment.protocol.folds(table, y))
    if experiment.pretrained is not None:
        from equime.recognise.training.checkpoint import require_unseen

        require_unseen(experiment.pretrained, {str(who) for fold in folds for who in people(table)[fold.test]})
    if experiment.control is not None:
        for fold in folds:
            experiment.control.test_features(made.values[fold.test])  # or it fails after the first training
    return _Data(made.values, y, table, classes, folds, (*problems, *made.problems), tuple(made.notes))


def _require_possible(experiment: Experiment, table: pa.Table, y: Array, classes: Sequence[str]) -> None:
    """What would fail after hours of features fails now: a network that cannot take them, people who are too few."""
    import torch

    shape = experiment.feature.shape
    network = build(experiment.model, len(classes), shape, experiment.pretrained).eval()
    try:
        with torch.no_grad():
            network(torch.zeros(1, *shape))
    except (RuntimeError, IndexError) as error:
        why = str(error).splitlines()[0]
        raise EquimeError(f"{experiment.model} cannot take {shape = } ({why}): give another --feature") from error
    with warnings.catch_warnings(action="ignore"):  # they come with the folds that are used
        experiment.protocol.folds(table, y)


# --- jobs


def _train(jobs: Jobs, todo: Sequence[int], data: _Data, workers: int) -> None:
    from tqdm import tqdm

    if first := is_first():
        keep_data(jobs.data, data.x, data.y, data.table)
    wait(jobs.device)
    hidden = None if first else True
    try:
        with tqdm(total=len(jobs), initial=len(jobs) - len(todo), desc="train", unit="job", disable=hidden) as bar:
            for _ in _in_turn(jobs, todo, workers, bar.update):
                pass
    finally:
        if first:
            shutil.rmtree(jobs.data, ignore_errors=True)
    wait(jobs.device)  # the first has written its last answers


def _in_turn(jobs: Jobs, todo: Sequence[int], workers: int, tick: Callable[[int], Any]) -> Iterator[Any]:
    import torch

    if workers > 1 and len(todo) > 1 and processes() == 1:
        yield from in_processes(jobs, todo, workers, tick)
        return
    threads = torch.get_num_threads()
    jobs.load()
    try:
        yield from (jobs(job, tick) for job in todo)
    finally:
        torch.set_num_threads(threads)


def _collected(jobs: Jobs) -> pa.Table:
    """The predictions of all jobs, by seed, then by fold."""
    order = sorted(range(len(jobs)), key=lambda job: (job % jobs.experiment.seeds, job))
    try:
        return pa.concat_tables([predictions.read(jobs.folder(job) / predictions.ANSWERS)[0] for job in order])
    except EquimeError as error:
        raise EquimeError(f"{error}; remove it and run the same command again") from error


# --- the manifest


def _begun(out: Path, jobs: Jobs, data: _Data, trains: bool) -> dict[str, Any]:
    """The manifest of a run that is allowed here, written before it trains anything."""
    told = manifest.manifest(jobs, data.x, data.y, data.table)
    old = manifest.before(out)
    if old is not None:
        manifest.require_same(out, old, told, trains=trains)
        if not trains:
            return old
    told |= {"problems": list(data.problems), "notes": list(data.notes)}
    time_before = old or {"begun": datetime.now(UTC).isoformat(timespec="seconds"), "seconds": 0.0}
    told |= {name: time_before.get(name) for name in ("begun", "seconds")}
    if is_first():
        manifest.write(out, told)
    return told


def _ended(out: Path, told: dict[str, Any], answers: pa.Table, seconds: float) -> dict[str, Any]:
    """Write the predictions of all; the manifest with the seconds of the calls that came to their end."""
    facts = {name: told[name] for name in ("mark", "title", *manifest.DECIDES)}
    predictions.write(out / ANSWERS_OF_ALL, answers, facts)
    if seconds:
        told = told | {"seconds": round((told["seconds"] or 0) + seconds, 1)}
        manifest.write(out, told)
    return told
