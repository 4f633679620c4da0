"""LTX-Video: a neutral photo, moved by a diffusion model. Runs on one GPU, or on as many as there are.

What: `LTX().clips(scenes)` draws each scene with the image-to-video or the condition pipeline of `diffusers`. Why: it
can show what a warp cannot, creases, teeth, skin, a gaze; what it did show is for `equime score` to measure.

    equime generate ws --generator ltx --model Lightricks/LTX-Video --revision SHA
    equime generate ws --generator ltx --model Lightricks/LTX-Video-0.9.5 --pipeline condition --drive keyframes

When it can move: one step of its latents covers 8 frames, 333 ms at 24 fps. Of 4,000 times drawn by
`equime.causal.EmotionModel`, the apex has a step of its own, apart from the onset's and the offset's, in 14 % at
natural speed, 66 % with `--slowdown 2`, 97 % with 4 and 99.7 % with 6; at 8, 58 % of the expressions are too long for
145 frames and are slowed as much as fits. A key frame lies within half a generated frame of its planned time: 21 ms at
natural speed, 5 ms with `--slowdown 4`. Whether a model keeps to either is not known before its clips are scored.

A clip's bytes depend on its scene and on the fields that count as results, on one type of machine and one set of
package versions; not on what was drawn before or beside it, nor on how often the work was stopped.

(HaCohen et al. 2024, "LTX-Video: Realtime Video Latent Diffusion", arXiv 2501.00103.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import groupby
from types import MappingProxyType
from typing import Any, Literal

import numpy.typing as npt

from equime.action_units import FACS
from equime.checkpoints import Checkpoint
from equime.devices import device
from equime.errors import EquimeError
from equime.generators import ltx_pipelines
from equime.generators.ltx_checkpoint import find
from equime.generators.ltx_draw import Draw, Job
from equime.generators.ltx_keys import FIRST, keys
from equime.generators.ltx_prompts import Prompts
from equime.generators.scene import Scene
from equime.generators.slowdown import slowest, window
from equime.generators.warp import Warp
from equime.optional import need
from equime.options import option

Array = npt.NDArray[Any]

SIDE = 32
"""Pixels of a side that one latent covers."""
CONDITION_ONLY = ("timesteps", "strength", "image_cond_noise_scale")


@dataclass(frozen=True)
class LTX:
    """The generator. Every field but `offload`, `device` and `keep_text_encoder` changes what is drawn."""

    model: str = option("Lightricks/LTX-Video", help="folder or Hub id of an LTX-Video model")
    revision: str | None = option(None, help="commit of the Hub model")
    pipeline: Literal["image", "condition"] = option("image", help="pipeline of diffusers; condition: 0.9.5 and later")
    drive: Literal["prompt", "keyframes"] = option("prompt", help="what moves the face: the words, or key frames")
    slowdown: int = option(1, help="draw the expression up to this many times slower, then resample")
    steps: int = option(40, help="denoising steps")
    timesteps: tuple[float, ...] = option((), help="of a distilled model, in place of --steps; condition only")
    guidance: float = option(3.0, help="classifier-free guidance; 1 is none")
    strength: float = option(1.0, help="how firmly the pictures hold, 0-1; condition only")
    image_cond_noise_scale: float = option(0.025, help="noise on the pictures while denoising; condition only")
    decode_timestep: float = option(0.05, help="timestep of the decoder, 0.9.1 and later")
    decode_noise_scale: float | None = option(None, help="noise before decoding (default: the decoder's timestep)")
    dtype: Literal["float32", "bfloat16", "float16"] = option(
        "float32", help="of weights and sums; bfloat16 is faster and takes half the memory, and draws other bytes"
    )
    batch_size: int = option(1, help="clips denoised together; other bytes for each size")
    attention: Literal["native", "_native_cudnn", "_native_efficient", "_native_math", "flex", "xformers"] = option(
        "native", help="attention backend of diffusers, of those that take a mask"
    )
    compile: bool = option(False, help="compile the transformer's blocks")
    vae_tiling: bool = option(False, help="decode in tiles and stretches: less memory, other bytes")
    offload: Literal["none", "model", "group"] = option(
        "none", help="what waits in main memory until it is used", result=False
    )
    device: str = option("auto", help="cuda, cuda:1 or cpu; auto takes a GPU if there is one", result=False)
    keep_text_encoder: bool = option(False, help="hold the text encoder between calls", result=False)

    @property
    def models(self) -> Mapping[str, str]:
        """Hub id -> commit, or a folder's name -> its digest.

        Raises:
            EquimeError: See `equime.generators.ltx_checkpoint.find`.
        """
        return {self._checkpoint.name: self._checkpoint.revision}

    @property
    def shows(self) -> Mapping[int, str]:
        """Unit -> strongest intensity that it can be asked for: of key frames, what the warp can show."""
        return Warp.SHOWS if self.drive == "keyframes" else MappingProxyType(dict.fromkeys(FACS, "E"))

    def load(self) -> None:
        """Check the fields, find the model, load its transformer and VAE, and its text encoder for a moment.

        So that what is broken or too large is found before any clip is due.

        Raises:
            EquimeError: Fields that do not go together, no such model or device, or too little memory.
        """
        self._draw.embed([""])

    def clips(self, scenes: Sequence[Scene]) -> Iterator[tuple[Array, str]]:
        """For each scene, in order: uint8 (144, H, W, 3) RGB, of its still's size, and a note, mostly "".

        Raises:
            EquimeError: No prompt or one of more than 128 tokens, sides that are not multiples of 32, units that key
                frames cannot show: before anything is drawn. Too little memory.
        """
        jobs = [self._job(scene) for scene in scenes]
        embedded = self._draw.embed([text for job in jobs for text in self._draw.texts(job)])
        for _, same in groupby(jobs, key=lambda job: job.alike):
            alike = list(same)
            for at in range(0, len(alike), self.batch_size):
                yield from self._draw.clips(alike[at : at + self.batch_size], embedded)

    @cached_property
    def _checkpoint(self) -> Checkpoint:
        return find(self.model, self.revision)

    @cached_property
    def _draw(self) -> Draw:
        self._check()
        torch = need("torch", extra="generate")
        where = device(self.device, extra="generate")
        placing = ltx_pipelines.Placing(where, getattr(torch, self.dtype), self.offload)
        pipe = ltx_pipelines.open_video(self._checkpoint, self.pipeline, placing)
        ltx_pipelines.tune(pipe, placing, self.attention, self.compile, self.vae_tiling)
        text = Prompts(
            pipe.tokenizer,
            lambda: ltx_pipelines.open_text(pipe, self._checkpoint, placing),
            self.keep_text_encoder,
        )
        return Draw(pipe, text, where, self.batch_size, self._call(), self.decode_timestep, self._decode_noise)

    @property
    def _decode_noise(self) -> float:
        return self.decode_timestep if self.decode_noise_scale is None else self.decode_noise_scale

    def _call(self) -> dict[str, Any]:
        """The pipeline's arguments that are the same for all clips."""
        given = {"num_inference_steps": self.steps, "guidance_scale": self.guidance}
        if self.pipeline == "image":
            return given
        return given | {
            "timesteps": list(self.timesteps) or None,
            "image_cond_noise_scale": self.image_cond_noise_scale,
            "strength": self.strength,
        }

    def _job(self, scene: Scene) -> Job:
        height, width = scene.still.image.shape[:2]
        if height % SIDE or width % SIDE:
            raise EquimeError(
                f"expected sides that are multiples of {SIDE}, got {height = }, {width = }; crop the face"
            )
        if not scene.prompt:
            raise EquimeError(f"expected a prompt, got {scene.prompt = }; plan the clip again with --prompt")
        k = max(1, min(self.slowdown, slowest(*scene.times)))
        stretch = window(*scene.times, k)
        places = keys(stretch, scene.times[1] if scene.units else None) if self.drive == "keyframes" else FIRST
        apex = Warp().apex(scene.still, scene.units, scene.seed) if "apex" in dict(places).values() else None
        note = f"slowed {k} times, not {self.slowdown}: a longer expression" if k < self.slowdown else ""
        job = Job(scene.seed, scene.prompt, scene.negative_prompt or "", scene.still.image, apex, places, stretch, note)
        return job

    def _check(self) -> None:
        unusual = {f.name for f in fields(self) if getattr(self, f.name) != f.default}
        if self.pipeline == "image" and (alien := [n for n in CONDITION_ONLY if n in unusual]):
            flag = "--" + alien[0].replace("_", "-")
            raise EquimeError(f"{flag} is of the condition pipeline alone; add --pipeline condition or leave it out")
        if self.drive == "keyframes" and self.pipeline != "condition":
            raise EquimeError("--drive keyframes needs the condition pipeline; add --pipeline condition")
        for name, value, least, most in (
            ("--steps", self.steps, 1, 1000),
            ("--slowdown", self.slowdown, 1, 144),
            ("--batch-size", self.batch_size, 1, 1024),
            ("--guidance", self.guidance, 0, 100),
            ("--strength", self.strength, 0, 1),
            ("--image-cond-noise-scale", self.image_cond_noise_scale, 0, 1),
            ("--decode-timestep", self.decode_timestep, 0, 1),
            ("--decode-noise-scale", self._decode_noise, 0, 1),
        ):
            if not least <= value <= most:
                raise EquimeError(f"{name} should be {least} to {most}, got {value}")
        if any(not 0 <= t <= 1000 for t in self.timesteps) or list(self.timesteps) != sorted(
            set(self.timesteps), reverse=True
        ):
            raise EquimeError(f"--timesteps should fall from at most 1000 to at least 0, got {self.timesteps}")
