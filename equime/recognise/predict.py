"""Answers of trained networks for clips that they were not trained on.

    predict(Path("runs/x"), samples)                 # every network of a run, averaged for each seed
    predict("owner/name", samples)                   # of a published one

    equime predict runs/x --data equime=ws --out predictions.parquet
    equime predict owner/name@COMMIT --data equime=ws --out predictions.parquet

A network never answers for a subject it was trained on: it knows them by hash. A clip whose subject every network of a
seed has seen gets no answer, and is named.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from equime.errors import EquimeError
from equime.recognise import predictions
from equime.recognise.features.extract import extract
from equime.recognise.features.kinds import from_description
from equime.recognise.model_repo import HASHES, located
from equime.recognise.protocols.folds import people
from equime.recognise.samples import Samples
from equime.recognise.training.job import ANSWERS, WEIGHTS

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Answers:
    """What came of `predict`.

    Attributes:
        predictions: Columns of `predictions.schema`.
        problems: A line for each clip that has no answer.
        networks: How many answered.
        model: The folder they are from, or "owner/name@commit".
    """

    predictions: pa.Table
    problems: tuple[str, ...]
    networks: int
    model: str


def predict(
    model: str | Path,
    samples: Samples,
    *,
    cache: Path | None = None,
    workers: int = 1,
    device: str = "cpu",
    raft_weights: Path | None = None,
) -> Answers:
    """Predict the classes of samples.

    Args:
        model: A run's folder, that of a published model, or as text a repository, see `model_repo.located`.
        samples: Of which clips; labels are copied beside the answers where they have some.
        cache: Folder of features.
        workers: Processes that make features.
        device: "cpu", "cuda", "cuda:N".
        raft_weights: For networks that read RAFT's flow: the file of its weights.

    Raises:
        EquimeError: No networks there, networks that were changed or differ in what they take, no clip to answer for.
    """
    where = located(model)
    networks = _networks(where.folder)
    made = networks[0][1]
    found = extract(samples, from_description(made.feature, raft_weights), cache=cache, workers=workers)
    about = samples.take(found.kept).table
    seeds = sorted({each.seed for _, each in networks})
    tables, problems = [], list(found.problems)
    for seed in seeds:
        mine = [(network, each) for network, each in networks if each.seed == seed]
        answers, known = _averaged(mine, found.values, about, device)
        tables.append(_table(about.filter(pa.array(known)), answers[known], made, seed))
        problems += _unanswered(about, known, seed)
    whole = pa.concat_tables(tables)
    if not len(whole):
        raise EquimeError(f"no clip to answer for: {problems[0]}")
    return Answers(whole, tuple(dict.fromkeys(problems)), len(networks), where.name)


def _networks(model: Path) -> list[tuple[Any, Any]]:
    """The networks of a folder and what each was made of, checked against the hashes that were kept of them."""
    from equime.recognise.training.checkpoint import load

    files = hashes(model)
    if not files:
        raise EquimeError(
            f"no trained network in {model}: expected the folder of `equime train`, finished, with weights"
        )
    loaded = [load(path, sha256) for path, sha256 in files]
    first = loaded[0][1]
    for (path, _), (_, made) in zip(files, loaded, strict=True):
        if (made.shape, made.classes, made.target, made.feature) != (
            first.shape,
            first.classes,
            first.target,
            first.feature,
        ):
            raise EquimeError(f"{path} takes other clips or gives other classes than {files[0][0]}: not of one run")
    return loaded


def hashes(model: Path) -> list[tuple[Path, str]]:
    """The weights of a run, or of a published model, with their recorded hashes.

    Raises:
        EquimeError: A record that does not read.
    """
    listed = model / HASHES
    if listed.exists():
        try:
            told = json.loads(listed.read_text())
            named = [(model / Path(name).name, str(sha256)) for name, sha256 in sorted(told.items())]
        except (ValueError, AttributeError) as error:
            raise EquimeError(f"{listed} does not list the hashes of networks: fetch the model again") from error
        return named
    jobs = sorted(model.glob(f"jobs/*/{ANSWERS}"))
    recorded = [(job.with_name(WEIGHTS), predictions.read(job)[1].get("weights")) for job in jobs]
    return [(path, sha256) for path, sha256 in recorded if sha256 is not None]


def _averaged(networks: Sequence[tuple[Any, Any]], x: Array, about: pa.Table, device: str) -> tuple[Array, Array]:
    """Mean probabilities of the networks that have not seen the subject; and which clips have any, bool (n,)."""
    from equime.recognise.training.checkpoint import seen
    from equime.recognise.training.loop import probabilities

    subjects = [seen(subject) for subject in people(about).tolist()]
    total = np.zeros((len(x), len(networks[0][1].classes)))
    count = np.zeros(len(x))
    for network, made in networks:
        trained = set(made.subjects)
        fresh = np.array([subject not in trained for subject in subjects])
        if fresh.any():
            total[fresh] += probabilities(network, x[fresh], device=device)
            count += fresh
    return total / np.maximum(count, 1)[:, None], count > 0


def _table(about: pa.Table, answers: Array, made: Any, seed: int) -> pa.Table:
    coded = about[made.target].to_pylist()
    place = {name: number for number, name in enumerate(made.classes)}
    labels = np.array([place.get(name, -1) for name in coded], np.int64)
    return predictions.table(about, labels, answers.astype(np.float32), made.classes, "all", seed)


def _unanswered(about: pa.Table, known: Array, seed: int) -> list[str]:
    ids = about["sample_id"].to_pylist()
    why = f"every network of seed {seed} was trained on its subject"
    return [f"{ids[place]}: {why}" for place in np.flatnonzero(~known)]
