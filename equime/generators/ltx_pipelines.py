"""LTX-Video's pipelines, opened whole and placed on a device.

Why not `from_pretrained` alone: where a tensor is missing from a file it warns and goes on with random weights, and
where the tokenizer is missing it makes one up. Here both are refused. And a VAE's posterior is sampled by the pipelines
with the first clip's noise only; here they get its mean, clip by clip.

    pipe = open_video(find(model, None), "image", Placing(torch.device("cuda"), torch.float32))
    text = open_text(pipe, checkpoint, placing)     # the same class with the text encoder alone, to drop after use
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal

from equime.checkpoints import Checkpoint, first_sentence, reading
from equime.errors import EquimeError
from equime.optional import need

EXTRA = "generate"
LEVERS = "try --batch-size 1, --offload model or group, --dtype bfloat16, --vae-tiling"
PIPELINES = {"image": "LTXImageToVideoPipeline", "condition": "LTXConditionPipeline"}
TILE = 256


@dataclass(frozen=True)
class Placing:
    """Where the weights are and how they are held.

    Attributes:
        device: A `torch.device`.
        dtype: A `torch.dtype`.
        offload: "model": components wait in main memory until used, "group": their layers do.
    """

    device: Any
    dtype: Any
    offload: Literal["none", "model", "group"] = "none"

    def put(self, pipe: Any) -> None:
        """Place a pipeline's modules."""
        if self.offload == "model":
            pipe.enable_model_cpu_offload(device=self.device)
        elif self.offload == "group":
            streams = {"use_stream": True} if self.device.type == "cuda" else {}
            pipe.enable_group_offload(onload_device=self.device, offload_type="leaf_level", **streams)
        else:
            pipe.to(self.device)


def open_video(checkpoint: Checkpoint, kind: Literal["image", "condition"], placing: Placing) -> Any:
    """The pipeline without its text encoder.

    Raises:
        EquimeError: Weights missing or broken, a scheduler that the pipeline cannot use, or too little memory.
    """
    diffusers = need("diffusers", extra=EXTRA)
    with reading(checkpoint, extra=EXTRA, levers=LEVERS), _silence():
        pipe = getattr(diffusers, PIPELINES[kind]).from_pretrained(
            checkpoint.folder,
            transformer=_part("transformer", diffusers.LTXVideoTransformer3DModel, checkpoint, placing),
            vae=_part("vae", diffusers.AutoencoderKLLTXVideo, checkpoint, placing),
            text_encoder=None,
        )
        if kind == "condition" and pipe.scheduler.config.get("use_dynamic_shifting"):
            raise EquimeError(
                f"the scheduler of {checkpoint.name} shifts its timesteps by size, which the condition pipeline does "
                "not; use --pipeline image, or a --model from 0.9.5 on"
            )
        _encode_to_mean(pipe.vae)
        pipe.set_progress_bar_config(disable=True)
        placing.put(pipe)
    return pipe


def open_text(pipe: Any, checkpoint: Checkpoint, placing: Placing) -> Any:
    """A pipeline of the same class with nothing but the text encoder and the tokenizer of `pipe`.

    Raises:
        EquimeError: Weights missing or broken, or too little memory.
    """
    transformers = need("transformers", extra=EXTRA)
    with reading(checkpoint, extra=EXTRA, levers=LEVERS), _silence():
        encoder = _part("text_encoder", transformers.T5EncoderModel, checkpoint, placing)
        text = type(pipe)(scheduler=None, vae=None, text_encoder=encoder, tokenizer=pipe.tokenizer, transformer=None)
        placing.put(text)
    return text


def tune(pipe: Any, placing: Placing, attention: str, compile: bool, vae_tiling: bool) -> None:
    """Set the levers that are not placing.

    Raises:
        EquimeError: The backend's package or device is missing.
    """
    try:
        with quiet("diffusers.models.modeling_utils"):  # "experimental", each time
            pipe.transformer.set_attention_backend(attention)  # "native" too: an environment variable may say otherwise
        if attention != "native":
            _attend(placing)
    except (RuntimeError, ValueError, ImportError) as error:
        raise EquimeError(f"cannot use --attention {attention} here: {first_sentence(error)}") from error
    if vae_tiling:
        pipe.vae.enable_tiling(TILE, TILE, None, TILE * 3 // 4, TILE * 3 // 4)
        pipe.vae.use_framewise_decoding = True
    if compile:
        pipe.transformer.compile_repeated_blocks(fullgraph=True)


@contextmanager
def quiet(logger: str) -> Iterator[None]:
    """Hold back a library's warnings that name nothing a user could mend."""
    found = logging.getLogger(logger)
    level = found.level
    found.setLevel(logging.ERROR)
    try:
        yield
    finally:
        found.setLevel(level)


def _attend(placing: Placing) -> None:
    """One small sum with a mask: some backends fail only when they are used."""
    torch = need("torch", extra=EXTRA)
    dispatch = need("diffusers.models.attention_dispatch", extra=EXTRA).dispatch_attention_fn
    query = torch.ones(1, 8, 2, 64, device=placing.device, dtype=placing.dtype)
    mask = torch.zeros(1, 1, 8, 8, device=placing.device, dtype=placing.dtype)
    with warnings.catch_warnings():  # flex tells once of torch.compile, which `tune` comes to later
        warnings.simplefilter("ignore", UserWarning)
        dispatch(query, query, query, attn_mask=mask)


def _part(name: str, cls: Any, checkpoint: Checkpoint, placing: Placing) -> Any:
    """A component with all of its weights."""
    transformers = {"dtype": placing.dtype, "ignore_mismatched_sizes": True}  # it lists them, its error does not
    own = transformers if name == "text_encoder" else {"torch_dtype": placing.dtype}
    model, found = cls.from_pretrained(
        checkpoint.folder,
        subfolder=name,
        use_safetensors=True,
        output_loading_info=True,
        **own,
    )
    where = f"in {checkpoint.folder / name}"
    if missing := sorted(found["missing_keys"]):
        raise EquimeError(f"{len(missing)} tensors, {missing[0]} first, are not {where}; {checkpoint.remedy}")
    if other := sorted(key for key, *_ in found["mismatched_keys"]):
        raise EquimeError(f"{len(other)} tensors, {other[0]} first, have another shape {where}; {checkpoint.remedy}")
    if placing.device.type == "cpu":
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.data = tensor.data.clone()  # in a mapped file they lie at any address, on which a CPU's sums depend
    return model.eval()


def _encode_to_mean(vae: Any) -> None:
    """Make `vae.encode` return the posterior's mean, each picture encoded alone."""
    torch, encode = need("torch", extra=EXTRA), vae.encode

    def mean(pictures: Any) -> SimpleNamespace:
        alone = [encode(picture).latent_dist.mode() for picture in pictures.split(1)]
        return SimpleNamespace(latents=torch.cat(alone))

    vae.encode = mean


@contextmanager
def _silence() -> Iterator[None]:
    """Hold back the libraries' warnings and bars: the text encoder is loaded often, and there is one bar of ours."""
    libraries = [need(f"{name}.utils.logging", extra=EXTRA) for name in ("diffusers", "transformers")]
    shown = [library for library in libraries if library.is_progress_bar_enabled()]
    for library in shown:
        library.disable_progress_bar()
    try:
        with quiet("diffusers"), quiet("transformers"):
            yield
    finally:
        for library in shown:
            library.enable_progress_bar()
