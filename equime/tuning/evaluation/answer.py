"""A model's answers to questions about clips: greedy, in batches, kept as they come.

    said = answer(opened, clips, asked(examples, ["seen", "blind"]), Path("out"))

Why greedy: the most likely token each time is the same on every run, so an interrupted run that goes on answers as an
unbroken one would. Answers lie in `answers.parquet`: id, clip, task, kind, condition, what was shown, question, the
expected answer and the given one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from tqdm import tqdm

from equime.captioning.vlm_model import quiet
from equime.errors import EquimeError
from equime.optional import need
from equime.tuning.clips import Clips
from equime.tuning.encoder import Encoder
from equime.tuning.evaluation.baselines import Ask
from equime.tuning.evaluation.parsed import Said
from equime.tuning.evaluation.store import Store
from equime.tuning.view import Seen, View

EXTRA: Final = "tune"
TEXTS: Final = ("id", "clip_id", "subject_id", "task", "kind", "condition", "shown", "question", "expected", "given")
SCHEMA: Final = pa.schema([(name, pa.string()) for name in TEXTS])
SHARD: Final = 64
"""Answers that are written together: so many are lost at most."""


@dataclass(frozen=True)
class Opened:
    """A model that answers.

    Attributes:
        name: For people and for files: its id or folder and revision.
        processor: Of `transformers`.
        model: On its device, in eval mode.
        view: What it is shown.
    """

    name: str
    processor: Any
    model: Any
    view: View

    @property
    def made_by(self) -> dict[str, Any]:
        """What answers depend on beside the questions."""
        return {"model": self.name, "view": vars(self.view), "dtype": str(self.model.dtype)}

    def inputs(self, asks: Sequence[Ask], seen: Sequence[Seen], answers: Sequence[str] | None = None) -> dict[str, Any]:
        """Tokens and pixels on the model's device, pixels in its dtype."""
        encoder = Encoder(self.processor, self.view, blind=asks[0].shown is None, name=self.name)
        made = encoder.inputs([ask.example for ask in asks], seen, answers).to(self.model.device)
        pixels = {k: v.to(self.model.dtype) for k, v in made.items() if k.startswith("pixel_values")}
        return {**made, **pixels}

    def generate(self, asks: Sequence[Ask], seen: Sequence[Seen], max_new_tokens: int) -> list[str]:
        """The most likely answers, all of one condition."""
        torch = need("torch", extra=EXTRA)
        with quiet(), torch.inference_mode():
            inputs = self.inputs(asks, seen)
            # What a model's own settings ask for is sampling, and a penalty that would count the padding.
            made = self.model.generate(
                **inputs,
                max_new_tokens=max_new_tokens,
                num_beams=1,
                repetition_penalty=1.0,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
            )
            fresh = made[:, inputs["input_ids"].shape[1] :]
            return list(self.processor.tokenizer.batch_decode(fresh, skip_special_tokens=True))


def answer(
    opened: Opened, clips: Clips, asks: Sequence[Ask], out: Path, *, batch_size: int = 4, max_new_tokens: int = 256
) -> list[Said]:
    """Answer what has no answer yet.

    Args:
        opened: The model.
        clips: Where the videos are.
        asks: What is asked.
        out: A folder: answers that lie there are kept.
        batch_size: Questions answered together.
        max_new_tokens: Longest answer.

    Returns:
        The answers to `asks`, in their order.

    Raises:
        EquimeError: Answers of another model there, a clip that does not decode, too little memory.
    """
    store = Store(out, "answers", SCHEMA, {**opened.made_by, "clips": clips.digest, "max_new_tokens": max_new_tokens})
    rows = {_key(row): row for row in store.read()}
    todo = [ask for ask in asks if _key(_row(ask)) not in rows]
    fresh: list[dict[str, Any]] = []
    try:
        with tqdm(desc="answers", total=len(todo), unit="answer", disable=None) as bar:
            for batch in batches(todo, batch_size):
                made = fitting(
                    batch, lambda part: opened.generate(part, shown(opened.view, clips, part), max_new_tokens)
                )
                fresh += [_row(ask, given) for ask, given in zip(batch, made, strict=True)]
                bar.update(len(batch))
                if len(fresh) >= SHARD:
                    store.add(fresh)
                    rows |= {_key(row): row for row in fresh}
                    fresh = []
    finally:
        store.add(fresh)
    rows |= {_key(row): row for row in fresh}
    if todo or store.shards.is_dir() or not store.path.is_file():
        store.close([*rows.values()])
    found = ((ask, rows[_key(_row(ask))]["given"]) for ask in asks)
    return [Said(ask.example, ask.condition, given, ask.shown) for ask, given in found]


def shown(view: View, clips: Clips, asks: Sequence[Ask]) -> list[Seen]:
    """What is shown with each question, each clip decoded once; nothing where nothing is shown."""
    names = dict.fromkeys(ask.shown for ask in asks if ask.shown is not None)
    seen = {name: view.of(clips.row(name)) for name in names}
    return [seen[ask.shown] for ask in asks if ask.shown is not None]


def batches(asks: Sequence[Ask], size: int) -> Iterator[list[Ask]]:
    """Questions of one condition together, in order: those without a video are encoded in another way."""
    held: list[Ask] = []
    for ask in asks:
        if held and (len(held) == size or held[0].condition != ask.condition):
            yield held
            held = []
        held.append(ask)
    if held:
        yield held


def fitting(batch: Sequence[Any], made: Any) -> list[Any]:
    """What `made` makes of a batch, of its halves where all of it does not fit into the GPU.

    Raises:
        EquimeError: Too little memory for one.
    """
    torch = need("torch", extra=EXTRA)
    try:
        return list(made(batch))
    except torch.OutOfMemoryError as error:
        if len(batch) == 1:
            raise EquimeError("too little GPU memory for one clip: give a smaller --size or fewer --frames") from error
    torch.cuda.empty_cache()  # outside the block above: its traceback holds what the batch took
    half = len(batch) // 2
    return [*fitting(batch[:half], made), *fitting(batch[half:], made)]


def _row(ask: Ask, given: str = "") -> dict[str, Any]:
    example = ask.example
    return {
        "id": example.id,
        "clip_id": example.clip_id,
        "subject_id": example.subject_id,
        "task": example.task,
        "kind": example.kind,
        "condition": ask.condition,
        "shown": ask.shown,
        "question": example.question,
        "expected": example.answer,
        "given": given.encode(errors="replace").decode(),
    }


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What an answer depends on: where the question or the clip shown is another, it is asked anew."""
    return tuple(row[name] for name in ("id", "condition", "shown", "question"))
