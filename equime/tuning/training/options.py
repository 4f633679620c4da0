"""How a model is fine-tuned: the flags of `equime tune`, what `run.json` keeps and what a run's mark is made of."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isfinite
from typing import Final, Literal

from equime.errors import EquimeError
from equime.options import option
from equime.tuning.example import Task
from equime.tuning.view import Name, View

LEARNT: Final[tuple[Task, ...]] = ("caption", "json", "question")
"""Tasks with one right answer. Preference pairs are for trainers of other kinds: see `equime export-vlm`."""
WARM_UP: Final = 0.03
"""Of the steps, in which the learning rate rises from 0; none where it is constant."""


@dataclass(frozen=True)
class Tune:
    """Options of a fine-tuning by LoRA (Hu et al. 2021, arXiv 2106.09685); QLoRA with 4 bits (Dettmers et al. 2023)."""

    tasks: tuple[str, ...] = option(LEARNT, help="what is learnt: caption, json, question")
    view: Name = option(
        "apex", help="what is shown: frames around the planned apex, of all the clip, or onset, apex, offset and flow"
    )
    frames: int = option(16, help="how many frames, but for keyframes")
    size: int = option(0, help="pixels of a side; 0 leaves them as they are")
    epochs: float = option(3.0, help="how often each example is seen")
    max_steps: int = option(0, help="steps in all, in place of epochs; 0 counts epochs")
    lr: float = option(2e-4, help="learning rate, the highest")
    schedule: Literal["cosine", "linear", "constant"] = option("cosine", help="how the learning rate falls")
    batch_size: int = option(2, help="examples that go through the model together, in each process")
    accumulate: int = option(4, help="batches of which one step is made")
    lora_r: int = option(16, help="rank of the adapter's matrices")
    lora_alpha: int = option(32, help="their scale, divided by the rank")
    lora_dropout: float = option(0.0, help="share of what goes into them that is left out")
    lora_targets: str = option("all-linear", help="which layers get them: all-linear, or names as q_proj,v_proj")
    quantise: Literal["none", "4bit"] = option("none", help="keep the base in 4 bits (QLoRA): a GPU with bitsandbytes")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = option(
        "auto", help="of the base; auto: as the device can"
    )
    seed: int = option(0, help="of wordings, the order of examples and the first weights of the adapter")
    limit: int | None = option(None, help="at most so many clips, drawn evenly")
    gradient_checkpointing: bool = option(False, help="less memory for a third more time", result=False)
    device: str = option("auto", help="auto, cpu or cuda", result=False)
    workers: int = option(0, help="processes that decode clips; 0 decodes in the training's own", result=False)
    save_every: int = option(50, help="steps between states from which training can go on", result=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if not self.tasks or set(self.tasks) - set(LEARNT):
            raise EquimeError(f"expected --tasks of {', '.join(LEARNT)}, got {','.join(self.tasks) or 'none'}")
        if (self.max_steps == 0 and self.epochs <= 0) or not isfinite(self.epochs):
            raise EquimeError(f"expected --epochs above 0, or --max-steps, got {self.epochs}")
        at_least_one = ("batch_size", "accumulate", "lora_r", "lora_alpha", "save_every")
        for name, least in (*((name, 1) for name in at_least_one), ("max_steps", 0), ("workers", 0), ("seed", 0)):
            if getattr(self, name) < least:
                raise EquimeError(f"expected --{name.replace('_', '-')} of {least} or more, got {getattr(self, name)}")
        if not (0 < self.lr < 1 and 0 <= self.lora_dropout < 1):
            raise EquimeError(
                f"expected --lr from 0 to 1 and --lora-dropout below 1: {self.lr = } {self.lora_dropout = }"
            )
        if self.device.startswith("cuda:"):
            raise EquimeError(
                f"training takes the first GPU that it sees: CUDA_VISIBLE_DEVICES={self.device[5:]} and --device cuda"
            )
        _ = self.shown

    @property
    def learnt(self) -> tuple[Task, ...]:
        """The tasks."""
        return tuple(task for task in LEARNT if task in self.tasks)

    @property
    def shown(self) -> View:
        """What a model is shown of a clip."""
        return View(self.view, self.frames, self.size)

    def steps(self, examples: int, processes: int = 1) -> int:
        """How many steps there are for so many examples: a step at least ends each epoch."""
        each = ceil(ceil(examples / (self.batch_size * processes)) / self.accumulate)
        return self.max_steps or max(1, ceil(self.epochs * each))

    def warm_up(self, steps: int) -> int:
        """In how many of the steps the learning rate rises."""
        return 0 if self.schedule == "constant" else ceil(WARM_UP * steps)
