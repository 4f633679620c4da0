"""The training loop: one network, the training part of one fold, one seed.

    fitted = fit(lambda: build("ststnet", 3, (3, 28, 28)), training, Recipe(), seed=0)
    fitted.network(x)                                    # logits

With the same seed on the same machine the weights come out the same to the bit, also when the process was killed and
started again (`keep`). Under `accelerate launch` each process takes its share of every batch, see `training.spread`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from equime.errors import EquimeError
from equime.metrics import confusion, uf1
from equime.recognise.protocols.inner import inner_split
from equime.recognise.training import state
from equime.recognise.training.batches import Batches, keep_freed_memory
from equime.recognise.training.data import Training
from equime.recognise.training.recipe import Recipe
from equime.recognise.training.spread import Spread, is_first
from equime.recognise.training.standardised import Standardised

KEEP_S: Final = 20.0
"""Seconds between two states on disk."""
Log = Callable[[int, dict[str, float]], object]


@dataclass(frozen=True)
class Fitted:
    """A trained network.

    Attributes:
        network: In evaluation mode, on the CPU.
        history: One dict an epoch: "loss", and "inner_uf1" where subjects were set aside.
        epoch: The epoch whose weights these are, from 1.
    """

    network: nn.Module
    history: list[dict[str, float]]
    epoch: int


def fit(
    build: Callable[[], nn.Module],
    training: Training,
    recipe: Recipe,
    *,
    seed: int,
    device: str = "cpu",
    keep: Path | None = None,
    log: Log | None = None,
) -> Fitted:
    """Train a network.

    Args:
        build: Makes the network, the same each time; it takes float32 (N, ...) and gives logits (N, classes).
        training: All that may be seen.
        recipe: How.
        seed: Of dropout, of the order of samples and of who is set aside.
        device: "cpu", "cuda" or "cuda:N".
        keep: File to keep the state in, so that the next call goes on there; removed by whoever is done with it.
        log: Told of each epoch (from 1) and its numbers.

    Raises:
        EquimeError: The loss is no number, a batch is too small for the network or too large for the memory, the
            device has no such precision, or the kept state is another training's.
    """
    keep_freed_memory()
    with torch.random.fork_rng(devices=[] if device == "cpu" else [torch.device(device)]):
        torch.manual_seed(seed)
        try:
            return _Fit(build, training, recipe, seed, device, keep).run(log or (lambda epoch, numbers: None))
        except torch.cuda.OutOfMemoryError as error:
            raise EquimeError(f"the memory of {device} is full: lower --batch-size, or --workers") from error


class _Fit:
    def __init__(
        self,
        build: Callable[[], nn.Module],
        training: Training,
        recipe: Recipe,
        seed: int,
        device: str,
        keep: Path | None,
    ) -> None:
        self.recipe, self.keep = recipe, keep
        self.training, self.inner = training, None
        if recipe.select == "inner":
            mine, aside = inner_split(training.subjects, training.y, recipe.inner_share, seed)
            self.training, self.inner = training.take(mine), training.take(aside)
        scale = self.training.x if recipe.standardise else None
        network = Standardised(build(), scale, training.x.shape[1])
        weights = torch.tensor(self.training.weights()) if recipe.class_weights else None
        self.spread = Spread(recipe.precision, device)
        self.weights = None if weights is None else weights.to(self.spread.device)
        self.network, self.optimizer = self.spread.prepare(network, _optimizer(network, recipe))
        self.samples = Batches(self.training, self.spread.device)
        self.order = torch.Generator().manual_seed(seed)
        self.progress = state.Progress()
        if keep is not None and keep.exists():
            self.progress = state.restore(keep, self.spread.bare(self.network), self.optimizer, self.order)

    def run(self, log: Log) -> Fitted:
        progress, recipe = self.progress, self.recipe
        saved = time.monotonic()
        while progress.epoch < recipe.epochs and not self._done():
            numbers = {"loss": self._epoch(progress.epoch + 1)}
            progress.epoch += 1
            numbers |= self._judged()
            progress.history.append(numbers)
            log(progress.epoch, numbers)
            if self.keep is not None and time.monotonic() - saved > KEEP_S and is_first():
                state.save(self.keep, self.spread.bare(self.network), self.optimizer, progress, self.order.get_state())
                saved = time.monotonic()
        network = self.spread.bare(self.network, final=True).to("cpu").eval()
        if self.inner is not None:
            network.load_state_dict(progress.kept)
        return Fitted(network, progress.history, progress.best_epoch or progress.epoch)

    def _done(self) -> bool:
        waited = self.progress.epoch - self.progress.best_epoch
        return self.inner is not None and 0 < self.recipe.patience <= waited

    def _epoch(self, epoch: int) -> float:
        """One pass over the training samples; the mean loss."""
        self.network.train()
        total = torch.zeros((), device=self.spread.device)
        for batch in self._batches():
            loss = self._step(batch)
            total += loss.detach()
        mean = self.spread.summed(total) / len(self.training)
        if not np.isfinite(mean):
            raise EquimeError(f"the loss is {mean} in epoch {epoch}: lower --lr, or leave --standardise on")
        return mean

    def _batches(self) -> Iterator[Any]:
        """Positions in a new order; a last batch of one sample joins the one before, which batch norm needs."""
        order = torch.randperm(len(self.training), generator=self.order).numpy()
        cuts = list(range(self.recipe.batch_size, len(order) - 1, self.recipe.batch_size))
        yield from np.split(order, cuts)

    def _step(self, batch: Any) -> Tensor:
        """One update; the summed loss of this process's share of the batch."""
        mine, part = self.spread.share(batch)
        x, y = self.samples[mine]
        with self.spread.autocast():
            logits = self._logits(x)
        loss = functional.cross_entropy(logits.float(), y, weight=self.weights, reduction="sum") * part
        self.optimizer.zero_grad()
        self.spread.backward(loss / len(batch))
        self.optimizer.step()
        return loss

    def _logits(self, x: Tensor) -> Tensor:
        try:
            logits: Tensor = self.network(x)
        except EquimeError:
            raise
        except ValueError as error:  # batch norm has nothing to norm
            raise EquimeError(f"cannot train on a batch of {len(x)}: {error}; give a larger --batch-size") from error
        return logits

    def _judged(self) -> dict[str, float]:
        """The score of the subjects set aside, and their best weights kept."""
        if self.inner is None:
            return {}
        network = self.spread.bare(self.network)
        answers = probabilities(network, self.inner.x, self.recipe.batch_size, str(self.spread.device)).argmax(1)
        score = self.spread.agreed(float(uf1(confusion(self.inner.y, answers, self.inner.classes))))
        if score > self.progress.best:
            self.progress.best, self.progress.best_epoch = score, self.progress.epoch
            self.progress.kept = {n: value.detach().cpu().clone() for n, value in network.state_dict().items()}
        return {"inner_uf1": score}


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    chosen = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[recipe.optimizer]
    more = {"momentum": 0.9} if recipe.optimizer == "sgd" else {}
    learnt = [weights for weights in network.parameters() if weights.requires_grad]
    return chosen(learnt, lr=recipe.lr, weight_decay=recipe.weight_decay, **more)


@torch.no_grad()
def probabilities(network: nn.Module, x: Any, batch_size: int = 64, device: str = "cpu") -> Any:
    """float32 (n, classes): softmax of the logits of float32 (n, ...)."""
    was, place = network.training, next(network.parameters()).device
    network.to(device).eval()
    found = [
        functional.softmax(network(torch.from_numpy(np.ascontiguousarray(x[k : k + batch_size])).to(device)), 1).cpu()
        for k in range(0, len(x), batch_size)
    ]
    network.to(place).train(was)
    return torch.cat(found).numpy()
