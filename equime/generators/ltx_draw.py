"""Drawing with a loaded LTX-Video pipeline: latents clip by clip or in batches of one size, decoded clip by clip.

Why the bytes depend on the clip alone: each clip has its own noise, drawn on the CPU; pictures are encoded and latents
decoded one by one; a batch that is not full is filled up with its last clip, as the sums of a matrix product depend on
its shape; on a CPU one thread works, as they depend on the number of threads as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from equime.causal import noise
from equime.errors import EquimeError
from equime.generators.ltx_keys import Keys
from equime.generators.ltx_pipelines import LEVERS, quiet
from equime.generators.ltx_prompts import Embedded, Prompts
from equime.generators.slowdown import Window
from equime.optional import need
from equime.schema import FPS

Array = npt.NDArray[Any]

MT_AT, MT_WORDS = 3, 624
"""Where the state of torch's Mersenne twister holds its words, in units of 8 bytes."""


@dataclass(frozen=True, eq=False)
class Job:
    """A scene in the pipeline's terms.

    Attributes:
        seed: Of the clip.
        prompt: What is seen.
        negative_prompt: What is not.
        neutral: uint8 (H, W, 3) RGB.
        apex: The same with the expression at its peak; None where no key frame shows it.
        places: Generated frame and face of each key frame.
        stretch: Of the clip that is generated.
        note: For the row.
    """

    seed: int
    prompt: str
    negative_prompt: str
    neutral: Array
    apex: Array | None
    places: Keys
    stretch: Window
    note: str = ""

    @property
    def alike(self) -> tuple[Any, ...]:
        """What clips of one batch have in common."""
        return *self.neutral.shape, self.places, self.stretch.generated

    def picture(self, face: str) -> Image.Image:
        """The picture of a key frame."""
        return Image.fromarray(self.neutral if face == "neutral" or self.apex is None else self.apex)


@dataclass(frozen=True, eq=False)
class Draw:
    """A pipeline at work.

    Attributes:
        pipe: From `equime.generators.ltx_pipelines.open_video`.
        prompts: The embeddings.
        device: The `torch.device` of the pipeline.
        batch_size: Clips denoised together.
        call: Arguments of the pipeline that all clips share; "strength" goes to the pictures.
        decode_timestep: Of a decoder that takes one, 0-1.
        decode_noise: Share of noise in the latents of such a decoder, 0-1.
    """

    pipe: Any
    prompts: Prompts
    device: Any
    batch_size: int
    call: Mapping[str, Any]
    decode_timestep: float
    decode_noise: float

    def texts(self, job: Job) -> tuple[str, ...]:
        """What is embedded for a clip: without guidance, the negative prompt is not read.

        Raises:
            EquimeError: See `Prompts.check`.
        """
        found = (job.prompt, job.negative_prompt) if self._guided else (job.prompt,)
        for text in found:
            self.prompts.check(text)
        return found

    def embed(self, texts: Iterable[str]) -> dict[str, Embedded]:
        """The embeddings of texts.

        Raises:
            EquimeError: The text encoder's weights are missing or broken, or too little memory.
        """
        with self._steady(), _memory():
            return self.prompts(texts)

    def clips(self, jobs: Sequence[Job], embedded: Mapping[str, Embedded]) -> Iterator[tuple[Array, str]]:
        """Frames uint8 (144, H, W, 3) and a note for each clip of one batch, which have `alike` in common.

        Raises:
            EquimeError: Too little memory for one clip, or numbers that are no picture.
        """
        latents, note = self._latents(jobs, embedded)
        for job, latent in zip(jobs, latents, strict=True):
            with self._steady(), _memory():
                generated = self._decode(latent, job.seed)
            yield generated[job.stretch.frame_map()], "; ".join(filter(None, (job.note, note)))

    @property
    def _guided(self) -> bool:
        return bool(self.call["guidance_scale"] > 1)

    def _latents(self, jobs: Sequence[Job], embedded: Mapping[str, Embedded]) -> tuple[list[Any], str]:
        """Latents of each clip, (1, channels, steps, rows, columns); alone where a batch does not fit."""
        torch = need("torch", extra="generate")
        if self.batch_size > 1:
            filled = [*jobs, *[jobs[-1]] * (self.batch_size - len(jobs))]
            try:
                return self._denoise(filled, embedded)[: len(jobs)], ""
            except torch.OutOfMemoryError:
                pass  # what the batch holds is freed with the traceback, at the end of this block
            self._free()
        with _memory():
            alone = [self._denoise([job], embedded)[0] for job in jobs]
        return alone, f"too little memory for {self.batch_size} clips at once: drawn alone" * (self.batch_size > 1)

    def _denoise(self, jobs: Sequence[Job], embedded: Mapping[str, Embedded]) -> list[Any]:
        height, width = jobs[0].neutral.shape[:2]
        frames = jobs[0].stretch.generated
        with self._steady(), quiet("diffusers.schedulers.scheduling_flow_match_euler_discrete"):
            made = self.pipe(
                **self._pictures(jobs),
                **self._words(jobs, embedded),
                height=height,
                width=width,
                num_frames=frames,
                frame_rate=FPS,
                generator=[generator(job.seed, "latents") for job in jobs],
                output_type="latent",
                return_dict=False,
            )[0]
        return list(self._unpacked(made, frames, height, width).split(1))

    def _pictures(self, jobs: Sequence[Job]) -> dict[str, Any]:
        """The shared arguments and the pictures, one of each clip for each key frame."""
        call = dict(self.call)
        if "strength" not in call:
            return call | {"image": [job.picture("neutral") for job in jobs]}
        condition = need("diffusers.pipelines.ltx.pipeline_ltx_condition", extra="generate").LTXVideoCondition
        strength = call.pop("strength")
        return call | {
            "conditions": [
                condition(image=[job.picture(face) for job in jobs], frame_index=frame, strength=strength)
                for frame, face in jobs[0].places
            ]
        }

    def _words(self, jobs: Sequence[Job], embedded: Mapping[str, Embedded]) -> dict[str, Any]:
        torch = need("torch", extra="generate")
        found: dict[str, Any] = {}
        sides = {"": [job.prompt for job in jobs]}
        if self._guided:
            sides["negative_"] = [job.negative_prompt for job in jobs]
        for side, texts in sides.items():
            for i, name in enumerate(("prompt_embeds", "prompt_attention_mask")):
                found[side + name] = torch.cat([embedded[text][i] for text in texts]).to(self.device)
        return found

    def _unpacked(self, latents: Any, frames: int, height: int, width: int) -> Any:
        """(B, channels, steps, rows, columns): the image pipeline leaves its latents as a sequence."""
        if latents.ndim == 5:
            return latents
        pipe, space = self.pipe, self.pipe.vae_spatial_compression_ratio
        steps = (frames - 1) // pipe.vae_temporal_compression_ratio + 1
        patches = pipe.transformer_spatial_patch_size, pipe.transformer_temporal_patch_size
        return pipe._unpack_latents(latents, steps, height // space, width // space, *patches)

    def _decode(self, latents: Any, seed: int) -> Array:
        """uint8 (frames, H, W, 3) of one clip's latents."""
        torch = need("torch", extra="generate")
        vae = self.pipe.vae
        _require_finite(latents)
        with torch.no_grad():
            latents = self.pipe._denormalize_latents(
                latents, vae.latents_mean, vae.latents_std, vae.config.scaling_factor
            ).to(vae.dtype)
            timestep = None
            if vae.config.timestep_conditioning:
                drawn = torch.randn(latents.shape, generator=generator(seed, "decode"), dtype=latents.dtype)
                latents = torch.lerp(latents, drawn.to(latents.device), self.decode_noise)
                timestep = torch.tensor([self.decode_timestep], device=latents.device, dtype=latents.dtype)
            video = vae.decode(latents, timestep, return_dict=False)[0][0].float()
            _require_finite(video)
            grey = (video / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
        frames: Array = grey.permute(1, 2, 3, 0).contiguous().cpu().numpy()
        return frames

    def _free(self) -> None:
        torch = need("torch", extra="generate")
        self.pipe.maybe_free_model_hooks()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    @contextmanager
    def _steady(self) -> Iterator[None]:
        """Settings under which the same sums give the same bits; those before come back."""
        torch = need("torch", extra="generate")
        threads = torch.get_num_threads()
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            try:
                if self.device.type == "cpu":
                    torch.set_num_threads(1)
                yield
            finally:
                torch.set_num_threads(threads)


def generator(seed: int, name: str) -> Any:
    """A CPU `torch.Generator` of one named source of noise.

    Its whole state comes from `equime.causal.noise`: `manual_seed` keeps 32 bits of a seed, with which two clips of
    75,000 would share their noise about as often as not.
    """
    torch = need("torch", extra="generate")
    made = torch.Generator("cpu").manual_seed(0)
    state = made.get_state()
    words = noise(seed, name).integers(0, 1 << 32, MT_WORDS, dtype=np.int64)
    state.view(torch.int64)[MT_AT : MT_AT + MT_WORDS] = torch.from_numpy(words)
    return made.set_state(state)


def _require_finite(drawn: Any) -> None:
    """Weights that are broken, or sums beyond float16, would else end as a black clip."""
    if not drawn.isfinite().all():
        raise EquimeError(
            "the model drew no picture (NaN): use --dtype bfloat16 or float32, or other weights with --model"
        )


@contextmanager
def _memory() -> Iterator[None]:
    torch = need("torch", extra="generate")
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise EquimeError(f"too little GPU memory for one clip: {LEVERS}") from error
