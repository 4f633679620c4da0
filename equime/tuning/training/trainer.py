"""TRL's `SFTTrainer` around batches of ours, and the states from which it goes on.

Its loss is the mean negative log-likelihood of the labelled tokens; nothing is added to it. A state is whole once
`trainer_state.json` is there, which is written last. What it holds beside safetensors is read with `weights_only`, so
that nothing in it runs.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from equime.errors import EquimeError
from equime.optional import need
from equime.tuning.encoder import EXTRA
from equime.tuning.training.adapter import precision
from equime.tuning.training.options import Tune

LOGGED: Final = 500
"""Entries of the history, at most."""
STATE: Final = "trainer_state.json"
COPIES: Final = 8
"""Bytes of disk for each trained number and state are 4 x 3 (it and two moments); two states, and room to spare: so
many times four bytes."""


class State(NamedTuple):
    """A state of a training, and after how many steps it is."""

    folder: Path
    step: int


def last_state(states: Path) -> State | None:
    """The last whole state of a training; what a killed one left half written is removed."""
    found: list[State] = []
    for folder in states.glob("checkpoint-*"):
        try:
            found.append(State(folder, int(json.loads((folder / STATE).read_text(encoding="utf-8"))["global_step"])))
        except (OSError, ValueError, KeyError):
            shutil.rmtree(folder, ignore_errors=True)
    return max(found, key=lambda state: state.step, default=None)


@dataclass(frozen=True)
class Collator:
    """Rows of the trainer's table -> a batch."""

    batch_of: Callable[[Sequence[int]], Any]

    def __call__(self, rows: Sequence[dict[str, Any]]) -> Any:
        """The batch of some rows."""
        return self.batch_of([row["n"] for row in rows])


def made_trainer(
    processor: Any,
    model: Any,
    batch_of: Callable[[Sequence[int]], Any],
    count: int,
    steps: int,
    options: Tune,
    states: Path,
    callback: Any,
) -> Any:
    """The trainer, ready to go.

    Args:
        processor: The model's.
        model: A base on its device.
        batch_of: Numbers of examples -> their batch, with labels.
        count: How many examples there are.
        steps: How many steps in all.
        options: How.
        states: Where states go.
        callback: A `TrainerCallback`.

    Raises:
        EquimeError: Too little room for its states, or no layer of the names in `lora_targets`.
    """
    trl, datasets = need("trl", extra=EXTRA), need("datasets", extra=EXTRA)
    transformers = need("transformers", extra=EXTRA)
    rows = datasets.Dataset.from_dict({"images": [[]] * count, "n": list(range(count))})
    model.train()  # it was opened to answer
    transformers.set_seed(options.seed)  # not every TRL does so before it draws the adapter's first weights
    trainer = trl.SFTTrainer(
        model,
        args=_arguments(model, steps, options, states),
        train_dataset=rows,
        processing_class=processor,
        data_collator=Collator(batch_of),
        peft_config=_lora(options),
        callbacks=[callback],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.create_model_card = lambda **_: None  # a run has a card of its own
    _require_room(trainer.model, states)
    return trainer


def _arguments(model: Any, steps: int, options: Tune, states: Path) -> Any:
    kind = precision(options.dtype, model.device)
    on_cpu = model.device.type == "cpu"
    made = need("trl", extra=EXTRA).SFTConfig(
        output_dir=str(states),
        max_steps=steps,
        per_device_train_batch_size=options.batch_size,
        gradient_accumulation_steps=options.accumulate,
        learning_rate=options.lr,
        lr_scheduler_type=options.schedule,
        warmup_steps=options.warm_up(steps),
        loss_type="nll",
        seed=options.seed,
        data_seed=options.seed,
        bf16=kind == "bfloat16",
        fp16=kind == "float16",
        gradient_checkpointing=options.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if options.gradient_checkpointing else None,
        use_cpu=on_cpu,
        dataloader_num_workers=options.workers,
        dataloader_pin_memory=not on_cpu,
        save_strategy="steps",
        save_steps=options.save_every,
        save_total_limit=1,
        logging_steps=max(1, steps // LOGGED),
        logging_nan_inf_filter=False,
        max_length=None,  # what is cut off a clip would leave pixels without tokens
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        report_to=[],
        disable_tqdm=True,
    )
    made._n_gpu = min(made.n_gpu, 1)  # several GPUs in one process would be split by a way that TRL refuses
    return made


def _lora(options: Tune) -> Any:
    named = [name for name in options.lora_targets.split(",") if name]
    return need("peft", extra=EXTRA).LoraConfig(
        r=options.lora_r,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        target_modules="all-linear" if named == ["all-linear"] else named,
        task_type="CAUSAL_LM",
    )


def _require_room(model: Any, states: Path) -> None:
    wanted = COPIES * 4 * sum(one.numel() for one in model.parameters() if one.requires_grad)
    states.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(states).free) < wanted:
        raise EquimeError(
            f"{free / 1e9:.1f} GB are free at {states}, the states of this training want {wanted / 1e9:.1f} GB: make "
            "room, give another --out or a lower --lora-r"
        )
