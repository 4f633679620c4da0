"""A vision-language model learns to describe micro-expressions: TRL's trainer, an adapter of PEFT, clips as they lie.

    tuned = tune("ws", "Qwen/Qwen2.5-VL-3B-Instruct", Path("runs/v"), Tune(epochs=1))

    runs/v/run.json          base, data, options, versions, hashes of who was trained on
    runs/v/history.json      loss and learning rate, step by step
    runs/v/adapter/          safetensors
    runs/v/README.md         the card

The same command goes on where a stopped one was, and ends at the adapter of an unbroken one, on a CPU to the last bit.
States on the way hold tensors and numbers that are read as such (`weights_only`); they are gone once a run is finished.
With several GPUs: `accelerate launch --num_processes 4 -m equime tune ...`; each takes batches in turn.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from equime.checkpoints import Checkpoint, first_sentence
from equime.clip import SamplingWarning, sparse
from equime.errors import EquimeError
from equime.locks import hold
from equime.optional import need
from equime.pieces import is_folder
from equime.table import replacing
from equime.tuning.clips import Clips
from equime.tuning.encoder import EXTRA, IGNORED, Encoder
from equime.tuning.example import Example
from equime.tuning.examples.draw import draw
from equime.tuning.training import card, record
from equime.tuning.training.adapter import (
    ADAPTER,
    CONFIG,
    LEVERS,
    RUN,
    WEIGHTS,
    found_base,
    hushed,
    open_base,
    precision,
    sha256_of,
)
from equime.tuning.training.options import Tune

HISTORY: Final = "history.json"
CARD: Final = "README.md"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tuned:
    """What a fine-tuning came to.

    Attributes:
        out: The run's folder.
        steps: How many, in all calls.
        trained: How many in this call.
        examples: How many there are.
        clips: Of how many clips.
        loss_before: Of the first step that was logged, nats a token.
        loss: Of the last one.
        seconds: Of the call that ended it.
    """

    out: str
    steps: int
    trained: int
    examples: int
    clips: int
    loss_before: float
    loss: float
    seconds: float

    def __str__(self) -> str:
        """For people."""
        return (
            f"{self.steps:,} steps ({self.trained:,} now) on {self.examples:,} examples of {self.clips:,} clips: "
            f"loss {self.loss_before:.3f} -> {self.loss:.3f} nats a token; wrote {self.out}"
        )

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def tune(where: str, base: str, out: Path, options: Tune, *, revision: str | None = None) -> Tuned:
    """Fine-tune a base on the training split of a data set, or go on with it.

    Args:
        where: A workspace, a release's or tree's folder, or OWNER/NAME[@VERSION] on the Hub.
        base: Folder or Hub id of a model that takes video, or "tiny".
        out: The run's folder; one that holds another run is refused.
        options: How.
        revision: Commit of the Hub model.

    Raises:
        EquimeError: One line: no clips to learn from, clips shorter than the view, a base that cannot see or be
            talked to, a loss on nothing, too little room or memory, another run in `out`.
        KeyboardInterrupt: Ctrl-C; what was learnt is kept.
    """
    from equime.recognise.training.spread import first_goes_first, is_first, processes

    need("peft", extra=EXTRA), need("trl", extra=EXTRA)
    begun = time.monotonic()
    _require_place(out, where)
    with (
        _writable(out),
        hold(out) if is_first() else contextlib.nullcontext(),
        found_base(base, revision) as model,
    ):
        clips = Clips(where)
        drawn = draw(where, options.learnt, seed=options.seed, splits=["train"], limit=options.limit)
        chosen = drawn.examples
        if is_first():
            for note in [*(f"left out: {number} {why}" for why, number in drawn.left.items()), *drawn.notes]:
                logger.warning("%s", note)
        _require_shown(clips, chosen, options)
        with first_goes_first("cpu" if options.device == "cpu" else "cuda"):
            asked = record.told_of(where, base, model, clips, chosen, options, processes())
            told, finished = record.begun(out, asked)
        with hushed():
            trained = 0 if finished else _trained(out, told, model, clips, chosen, options, begun)
    told, history = (json.loads((out / name).read_text(encoding="utf-8")) for name in (RUN, HISTORY))
    losses, data = [entry["loss"] for entry in history], told["data"]
    counts = told["steps"], trained, sum(data["examples"].values()), data["clips"]
    return Tuned(str(out), *counts, losses[0], losses[-1], told["seconds"])


def fit(
    processor: Any,
    model: Any,
    batch_of: Callable[[Sequence[int]], Any],
    count: int,
    options: Tune,
    states: Path,
) -> tuple[Any, list[dict[str, float]], int]:
    """Train an adapter on a model; goes on from the last whole state.

    Args:
        processor: The model's.
        model: The base, which gets the adapter's layers.
        batch_of: Numbers of examples -> their batch, with labels.
        count: How many examples there are.
        options: How.
        states: Folder of the states to go on from.

    Returns:
        The model with its adapter, the history, and how many steps were made in this call.

    Raises:
        EquimeError: A loss that is no number, too little memory, a model that does not take the batches.
        KeyboardInterrupt: It was stopped; the state is kept.
    """
    from equime.recognise.training.spread import is_first, processes
    from equime.tuning.training.callbacks import Watching
    from equime.tuning.training.trainer import last_state, made_trainer

    watch = Watching(is_first())
    last = last_state(states)
    with _explained():
        steps = options.steps(count, processes())
        trainer = made_trainer(processor, model, batch_of, count, steps, options, states, watch)
        with watch.listening():
            trainer.train(resume_from_checkpoint=None if last is None else str(last.folder))
    return trainer, watch.history, steps - (last.step if last else 0)


def _trained(
    out: Path,
    told: dict[str, Any],
    base: Checkpoint,
    clips: Clips,
    examples: list[Example],
    options: Tune,
    begun: float,
) -> int:
    """Train, and write what the run is known by, `run.json` last; how many steps were made in this call."""
    from equime.recognise.training.spread import is_first, wait

    processor, model = open_base(base, options.device, options.dtype, options.quantise)
    encoder = Encoder(processor, options.shown, name=base.name)
    batch_of = Batches(encoder, clips, examples)
    require_learnable(batch_of, options)
    trainer, history, now = fit(processor, model, batch_of, len(examples), options, out / record.STATES)
    if is_first():
        told["adapter"] = _kept(trainer.model, out, told["base"]["id"])
        told |= {"dtype": precision(options.dtype, trainer.model.device)}
        told |= {"steps": trainer.state.global_step, "memory_gb": _peak(trainer.model.device)}
        told["seconds"] = round(time.monotonic() - begun, 1)
        _write(out / HISTORY, history)
        (out / CARD).write_text(card.render(told, history), encoding="utf-8")
        _write(out / RUN, told)
        shutil.rmtree(out / record.STATES, ignore_errors=True)
    wait(options.device)
    return now


@dataclass(frozen=True)
class Batches:
    """Numbers of examples -> their batch, decoded when it is asked for, in whichever process asks."""

    encoder: Encoder
    clips: Clips
    examples: Sequence[Example]

    def __call__(self, numbers: Sequence[int]) -> Any:
        """Tensors, `labels` among them."""
        some = [self.examples[number] for number in numbers]
        seen = [] if self.encoder.blind else [self.encoder.view.of(self.clips.row(one.clip_id)) for one in some]
        return self.encoder.inputs(some, seen, [one.answer for one in some])


def require_learnable(batch_of: Batches, options: Tune) -> None:
    """Encode a first batch, and refuse what would be found out after hours.

    Raises:
        EquimeError: An answer without loss, text with the model's tokens, or what `Encoder.inputs` raises.
    """
    batch_of.encoder.require_plain(batch_of.examples)
    first = batch_of(range(min(options.batch_size, len(batch_of.examples))))
    if not bool((first["labels"] != IGNORED).any(1).all()):
        raise EquimeError(f"no loss on the answers: the labels of a first batch of {batch_of.encoder.name} are empty")


def _require_shown(clips: Clips, examples: Sequence[Example], options: Tune) -> None:
    """All clips can be shown; a warning where the frames of some lie too far apart."""
    used = dict.fromkeys(example.clip_id for example in examples)
    clips.require(used, options.shown)
    if any(options.shown.misses(facts["num_frames"], facts["fps"]) for facts in map(clips.facts, used)):
        warnings.warn(sparse(options.frames), SamplingWarning, stacklevel=3)


def _kept(model: Any, out: Path, base: str) -> str:
    """Write the adapter, whole or not at all, without a word of where things lie here; its sha256."""
    new = out / f".{ADAPTER}"
    shutil.rmtree(new, ignore_errors=True)
    model.save_pretrained(new, safe_serialization=True, save_embedding_layers=False)
    for path in new.iterdir():
        if path.name not in (WEIGHTS, CONFIG):
            path.unlink()
    config = json.loads((new / CONFIG).read_text(encoding="utf-8"))
    _write(new / CONFIG, config | {"base_model_name_or_path": base})
    shutil.rmtree(out / ADAPTER, ignore_errors=True)
    new.rename(out / ADAPTER)
    return sha256_of(out / ADAPTER / WEIGHTS)


def _peak(place: Any) -> float | None:
    """GB of the GPU's memory at most; None on the CPU."""
    torch = need("torch", extra=EXTRA)
    return round(torch.cuda.max_memory_allocated(place) / 1e9, 1) if place.type == "cuda" else None


def _write(path: Path, value: Any) -> None:
    with replacing(path) as file:
        file.write(json.dumps(value, indent=1).encode() + b"\n")


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """What goes wrong in a step, as one line."""
    torch = need("torch", extra=EXTRA)
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise EquimeError(f"too little GPU memory for a step: {LEVERS}") from error
    except EquimeError as error:  # from a process that decodes: the line stands below its traceback
        raise EquimeError(str(error).strip().splitlines()[-1].rpartition("EquimeError: ")[2]) from error
    except (ValueError, IndexError, RuntimeError) as error:
        raise EquimeError(f"the base cannot be trained on these clips so: {first_sentence(error)}") from error


def _require_place(out: Path, where: str) -> None:
    """Refuse a folder that is no run's: a card would take the place of another README."""
    if out.exists() and not out.is_dir():
        raise EquimeError(f"expected a folder for the run, {out} is a file")
    if is_folder(where) and Path(where).expanduser().resolve() in (out.resolve(), *out.resolve().parents):
        raise EquimeError(f"expected a folder outside {where}, got {out}")
    if out.is_dir() and not (out / RUN).is_file() and any(path.name != ".lock" for path in out.iterdir()):
        raise EquimeError(f"expected a new folder, or one of a run that was begun: {out} holds something else")


@contextlib.contextmanager
def _writable(out: Path) -> Iterator[None]:
    from safetensors import SafetensorError  # a full disk is told by it, too

    try:
        yield
    except (OSError, SafetensorError) as error:
        if isinstance(error, EquimeError):
            raise
        why = getattr(error, "strerror", None) or first_sentence(error)
        raise EquimeError(f"cannot write to {out}: {why}; make room, and the same command goes on") from error
