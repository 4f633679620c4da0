"""One fold with one seed: train on its training part, answer for its test part, write both down.

Why a unit of its own: it is what processes share and what a killed run goes on with. The predictions are written last,
so that a job whose predictions are there is done.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from equime.errors import EquimeError
from equime.optional import need
from equime.recognise import predictions
from equime.recognise.protocols.folds import Fold, people
from equime.recognise.training.data import Training
from equime.recognise.training.experiment import Experiment
from equime.recognise.training.spread import is_first

if TYPE_CHECKING:
    from torch import nn

Array = npt.NDArray[Any]

ANSWERS: Final = predictions.ANSWERS
WEIGHTS: Final = "model.safetensors"


def keep_data(folder: Path, x: Array, y: Array, table: pa.Table) -> None:
    """Put what the jobs of a run share where other processes can map it."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)
    pq.write_table(table, folder / "samples.parquet")


@dataclass(frozen=True)
class Jobs:
    """The jobs of a run: job k is fold `k // seeds` with seed `k % seeds`. Picklable; each process maps the data.

    Attributes:
        out: The run's folder.
        data: Where `keep_data` wrote.
        experiment: What is run.
        folds: Of its protocol, on these data.
        classes: Names, in order.
        device: As `loop.fit` takes it.
        weights: Whether trained networks are kept.
        tensorboard: Whether each epoch is written for TensorBoard too.
    """

    out: Path
    data: Path
    experiment: Experiment
    folds: Sequence[Fold]
    classes: tuple[str, ...]
    device: str = "cpu"
    weights: bool = True
    tensorboard: bool = False

    def __len__(self) -> int:
        return len(self.folds) * self.experiment.seeds

    @property
    def name(self) -> str:
        """For messages."""
        return "train"

    @property
    def stage(self) -> Jobs:
        """Itself: what a worker process loads first."""
        return self

    def load(self) -> None:
        """Import torch, once in each process; one thread, since processes are what is parallel."""
        import torch

        torch.set_num_threads(1)
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False

    def folder(self, job: int) -> Path:
        """Where a job writes."""
        fold, seed = self.folds[job // self.experiment.seeds], job % self.experiment.seeds
        return self.out / "jobs" / f"{job // self.experiment.seeds:03d}-{_slug(fold.name)}-seed{seed}"

    def done(self, job: int) -> bool:
        """Whether a job's predictions are there."""
        return (self.folder(job) / ANSWERS).exists()

    def __call__(self, index: int, tick: Callable[[int], None]) -> int:
        """Run one job; its number."""
        from equime.recognise.training.loop import fit

        fold, seed = self.folds[index // self.experiment.seeds], index % self.experiment.seeds
        folder = self.folder(index)
        folder.mkdir(parents=True, exist_ok=True)
        state = folder / "state.safetensors"
        training, build = self._training(fold, seed), partial(self._build, seed)
        with _board(folder, self.tensorboard and is_first()) as log:
            fitted = fit(build, training, self.experiment.recipe, seed=seed, device=self.device, keep=state, log=log)
        if is_first():
            (folder / "log.jsonl").write_text("".join(f"{json.dumps(epoch)}\n" for epoch in fitted.history))
            answers = self._answers(fitted.network, fold, seed)
            facts = {"epoch": fitted.epoch, "weights": self._keep(fitted.network, fold, seed, folder)}
            for left in (state, *folder.glob(".*")):  # a killed process leaves unfinished files
                left.unlink(missing_ok=True)
            predictions.write(folder / ANSWERS, answers, facts)
        tick(1)
        return index

    # --- what training sees

    @cached_property
    def _shared(self) -> tuple[Array, Array, pa.Table]:
        x = np.load(self.data / "x.npy", mmap_mode="r", allow_pickle=False)
        return x, np.load(self.data / "y.npy", allow_pickle=False), pq.read_table(self.data / "samples.parquet")

    def _build(self, seed: int) -> Any:
        from equime.recognise.models.build import build

        start = self.experiment.pretrained
        return build(self.experiment.model, len(self.classes), self._shared[0].shape[1:], start, seed)

    def _training(self, fold: Fold, seed: int) -> Training:
        """The training part of a fold, and nothing else of the data."""
        x, y, samples = self._shared
        mine = samples.take(pa.array(fold.train))
        labels = y[fold.train]
        if self.experiment.control is not None:
            labels = self.experiment.control.train_labels(mine, labels, seed)
        return Training(x[fold.train], labels, people(mine), len(self.classes))

    # --- what it answers

    def _answers(self, network: nn.Module, fold: Fold, seed: int) -> pa.Table:
        """The predictions for the test part of a fold."""
        from equime.recognise.training.loop import probabilities

        x, y, samples = self._shared
        tested = np.asarray(x[fold.test])
        if self.experiment.control is not None:
            tested = self.experiment.control.test_features(tested)
        found = probabilities(network, tested, self.experiment.recipe.batch_size, self.device)
        if not np.isfinite(found).all():
            raise EquimeError(f"the network of fold {fold.name}, seed {seed}, answers NaN: lower --lr")
        about = samples.take(pa.array(fold.test))
        return predictions.table(about, y[fold.test], found, self.classes, fold.name, seed)

    def _keep(self, network: nn.Module, fold: Fold, seed: int, folder: Path) -> str | None:
        """Write the network where it is wanted; its sha256."""
        if not self.weights:
            return None
        from equime.recognise.training.checkpoint import Made, save, seen_all

        x, _, samples = self._shared
        made = Made(
            model=self.experiment.model,
            shape=tuple(x.shape[1:]),
            classes=self.classes,
            target=self.experiment.target,
            feature=self.experiment.feature.describe(),
            fold=fold.name,
            seed=seed,
            subjects=seen_all(people(samples.take(pa.array(fold.train))).tolist()),
        )
        return save(folder / WEIGHTS, network, made)


@contextlib.contextmanager
def _board(folder: Path, wanted: bool) -> Iterator[Callable[[int, dict[str, float]], None] | None]:
    """What tells TensorBoard of each epoch, or None."""
    if not wanted:
        yield None
        return
    need("tensorboard", extra="recognise")
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder / "tensorboard")) as board:

        def log(epoch: int, numbers: dict[str, float]) -> None:
            for name, value in numbers.items():
                board.add_scalar(name, value, epoch)

        yield log


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)[:60]
