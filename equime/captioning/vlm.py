"""Captions by a vision-language model: it is shown frames of a clip, asked one question, and answers in text.

What: `VLM()(clips, ids)` gives each clip's answer, with any model of `transformers` that takes video. Why: what a
model sees in a clip can be held against what was planned and what was measured (`equime.captioning.agreement`).

    equime caption ws --captioner vlm --model Qwen/Qwen3-VL-4B-Instruct --revision SHA
    equime caption ws --captioner vlm --model /models/qwen2.5-vl --around clip --frames 48 --batch-size 4

`--around apex` shows consecutive frames around the *planned* apex: an oracle that no camera gives, and the question
says when the frames begin and end, so an apex named under it tells nothing. `--around clip` gives neither away, and
with few frames it can miss the expression. No plan reaches the model otherwise.

How fine they tell time: Qwen2.5-VL places frames in steps of 1/2 s, in which an expression of 318 ms begins and ends;
SmolVLM writes whole seconds, Qwen3-VL tenths. `--slowdown 6` spreads 24 frames a second over 6 s, so that each pair of
frames has a step of its own. Whether that makes for better answers is for `agreement` to say.

An answer is greedy: the most likely token each time, without the repetition penalty that models come with, which
would count what is padding in a batch. With `--temperature` above 0 each clip is sampled alone, from its own seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from math import inf
from pathlib import Path
from typing import Any, Literal

from equime.captioning.vlm_inputs import Stretch, inputs
from equime.captioning.vlm_model import EXTRA, LEVERS, open_model, quiet
from equime.checkpoints import Checkpoint, Layout, find
from equime.clip import Clip, Sampling
from equime.devices import device
from equime.errors import EquimeError
from equime.noise import noise
from equime.optional import need
from equime.options import option
from equime.video import Frames

EXAMPLE = "Qwen/Qwen3-VL-4B-Instruct"
QUESTION = """\
These are {frames} frames of one face, in order, from {start} ms to {end} ms of a clip. A brief and faint facial \
expression may appear. Compare the frames and say which facial action units (FACS) move. Answer with one JSON object \
and nothing else:
{"caption": "<one or two sentences: what moves, on which side, how strongly>",
"emotion": "happiness" or "sadness" or "surprise" or "fear" or "anger" or "disgust" or null,
"action_units": [{"au": <FACS number>, "name": "<FACS name>", "side": "L" or "R" or "B", "intensity": "A" to "E"}],
"onset_ms": <number or null>, "apex_ms": <number or null>, "offset_ms": <number or null>}
Sides are the subject's own left (L) and right (R); B is both. Intensities are A trace, B slight, C marked, D severe, \
E maximum. If nothing moves, leave action_units empty. Times are milliseconds from the start of the clip."""
"""What is asked. {frames}, {start} and {end} are filled in; other braces stand for themselves."""


@dataclass(frozen=True)
class Shown:
    """What a model is shown of one clip.

    Attributes:
        frames: uint8 (T, H, W, 3), RGB.
        indices: Which frames of the clip these are, 0-based, ascending.
        fps: Of the clip.
        num_frames: Of the clip.
        seed: Of the clip, for sampled answers.
        slowdown: How many times slower than it is the model is told that the clip runs.
    """

    frames: Frames
    indices: Sequence[int]
    fps: float
    num_frames: int
    seed: int
    slowdown: int = 1

    @property
    def told_fps(self) -> float:
        """The clip's rate as the model is told it."""
        return self.fps / self.slowdown

    @property
    def stretch(self) -> Stretch:
        """The frames, and where in time the model is told that they lie."""
        return Stretch(self.frames, self.indices, self.told_fps, self.num_frames)

    def asked(self, question: str) -> str:
        """The question with this clip's numbers."""
        start, end = (round(1000 * index / self.told_fps) for index in (self.indices[0], self.indices[-1]))
        numbers = {"{frames}": len(self.indices), "{start}": start, "{end}": end}
        for slot, number in numbers.items():
            question = question.replace(slot, str(number))
        return question


@dataclass(frozen=True)
class VLM:
    """The captioner. Every field but `device` and `batch_size` changes what is answered."""

    model: str = option("", help=f"folder or Hub id of a model that takes video, such as {EXAMPLE}")
    revision: str | None = option(None, help="commit of the Hub model")
    frames: int = option(16, help="frames that the model is shown")
    around: Literal["apex", "clip"] = option("apex", help="frames in a row around the planned apex, or spread evenly")
    slowdown: int = option(
        1, help="the model is told that the clip runs this many times slower; its times are put back, its words are not"
    )
    prompt: str = option("", help="what is asked, or @FILE (default: for units, sides, times, as JSON)")
    max_new_tokens: int = option(512, help="longest answer")
    temperature: float = option(0.0, help="0 takes the most likely token; above, clips are sampled one by one")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = option("auto", help="of the weights; auto: as saved")
    batch_size: int = option(1, help="clips answered together", result=False)
    device: str = option("auto", help="cuda, cuda:1 or cpu; auto takes a GPU if there is one", result=False)

    def __post_init__(self) -> None:
        """Read the question's file: what it says is part of the result, not where it lies."""
        if self.prompt.startswith("@"):
            object.__setattr__(self, "prompt", _text(Path(self.prompt[1:]).expanduser()))
        for name, value, least in (
            ("--frames", self.frames, 1),
            ("--slowdown", self.slowdown, 1),
            ("--batch-size", self.batch_size, 1),
            ("--max-new-tokens", self.max_new_tokens, 1),
            ("--temperature", self.temperature, 0),
        ):
            if not value >= least or value == inf:
                raise EquimeError(f"{name} should be at least {least}{' and finite' * (value == inf)}, got {value}")

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns it needs: of the plan only the apex, and that only if frames are taken around it."""
        video = ("video", "sha256", "num_frames", "fps", "generate_error")
        return ("seed", *(("emotion", "apex_ms") if self.around == "apex" else ()), *video)

    @property
    def models(self) -> Mapping[str, str]:
        """Hub id -> commit, or a folder's name -> its digest.

        Raises:
            EquimeError: See `equime.checkpoints.find`.
        """
        return {self._checkpoint.name: self._checkpoint.revision}

    @property
    def captioner(self) -> str:
        """The model and its revision, as the column of that name holds them."""
        return f"{self._checkpoint.name}@{self._checkpoint.revision}"

    def load(self) -> None:
        """Find and open the model.

        Raises:
            EquimeError: No such model or device, one of another kind, weights missing, too little memory.
        """
        _ = self._opened

    def shown(self, row: Mapping[str, Any]) -> Shown:
        """The frames of a row's clip.

        Raises:
            EquimeError: A clip that is missing or damaged, or has fewer frames, or no apex.
        """
        clip = Clip(row)
        if row.get("sha256"):  # a flipped byte can decode to other pixels without an error
            clip.verify()
        indices = clip.indices(Sampling(self.frames, around=self.around)) or []
        frames = clip.frames_at(indices)
        return Shown(frames, indices, clip.fps, clip.num_frames, row.get("seed") or 0, self.slowdown)

    def __call__(self, clips: Sequence[Shown]) -> list[str]:
        """The model's answer to each clip, as it said it.

        A batch that does not fit into the GPU's memory is tried in halves.

        Raises:
            EquimeError: Too little memory for one clip.
        """
        size = 1 if self.temperature else self.batch_size
        parts = (clips[at : at + size] for at in range(0, len(clips), size))
        return [answer for part in parts for answer in self._fitting(part)]

    @cached_property
    def _checkpoint(self) -> Checkpoint:
        if not self.model:
            raise EquimeError(f"--captioner vlm needs --model, a folder or a Hub id such as {EXAMPLE}")
        return find(self.model, self.revision, Layout(EXTRA, EXAMPLE))

    @cached_property
    def _opened(self) -> tuple[Any, Any]:
        return open_model(self._checkpoint, device(self.device, extra=EXTRA), self.dtype)

    def _fitting(self, clips: Sequence[Shown]) -> list[str]:
        torch = need("torch", extra=EXTRA)
        try:
            return self._answers(clips)
        except torch.OutOfMemoryError as error:
            if len(clips) == 1:
                raise EquimeError(f"too little GPU memory for one clip: {LEVERS}") from error
        torch.cuda.empty_cache()  # outside the block above: its traceback holds what the batch took
        half = len(clips) // 2
        return [*self._fitting(clips[:half]), *self._fitting(clips[half:])]

    def _answers(self, clips: Sequence[Shown]) -> list[str]:
        torch = need("torch", extra=EXTRA)
        processor, model = self._opened
        with quiet(), torch.inference_mode():
            asked = self._inputs(processor, clips).to(model.device)
            pixels = {k: v.to(model.dtype) for k, v in asked.items() if k.startswith("pixel_values")}  # not the times
            with _seeded(torch, clips[0].seed if self.temperature else None):
                made = model.generate(**asked | pixels, **self._generation)
            fresh = made[:, asked["input_ids"].shape[1] :]
            return list(processor.tokenizer.batch_decode(fresh, skip_special_tokens=True))

    def _inputs(self, processor: Any, clips: Sequence[Shown]) -> Any:
        """Tokens and pixels; padded on the left, as what is generated follows on the right."""
        texts = []
        for clip in clips:
            content = [{"type": "video"}, {"type": "text", "text": clip.asked(self.prompt or QUESTION)}]
            message = {"role": "user", "content": content}
            texts.append(processor.apply_chat_template([message], tokenize=False, add_generation_prompt=True))
        return inputs(processor, texts, [clip.stretch for clip in clips], side="left", extra=EXTRA)

    @property
    def _generation(self) -> dict[str, Any]:
        """What overrides the sampling that a model's own settings ask for."""
        plain = {"max_new_tokens": self.max_new_tokens, "num_beams": 1, "repetition_penalty": 1.0}
        if self.temperature:
            return plain | {"do_sample": True, "temperature": self.temperature}
        return plain | {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}


@contextmanager
def _seeded(torch: Any, seed: int | None) -> Iterator[None]:
    """Inside, torch draws from a clip's own seed; what it would have drawn next comes after. With None, nothing."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng():
        torch.manual_seed(int(noise(seed, "caption").integers(1 << 63)))
        yield


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise EquimeError(f"cannot read the question: --prompt @{path}: {error}") from error
