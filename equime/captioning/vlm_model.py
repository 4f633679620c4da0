"""A vision-language model of `transformers`, opened whole and placed on a device.

Why not `from_pretrained` alone: where a tensor is missing from a file it warns and goes on with random weights, and a
model that cannot look at a video fails at the first clip. Here both are refused before any clip is due.

    processor, model = open_model(find("Qwen/Qwen3-VL-4B-Instruct", None, ...), device("auto", extra=EXTRA), "auto")
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from equime.checkpoints import Checkpoint, read_json, reading
from equime.errors import EquimeError
from equime.optional import need

EXTRA = "caption"
TOKENIZERS = ("tokenizer.json", "vocab.json", "tokenizer.model", "spiece.model", "tekken.json")
LEVERS = "try --batch-size 1, --frames 8, --dtype bfloat16"


def open_model(checkpoint: Checkpoint, where: Any, dtype: str, **more: Any) -> tuple[Any, Any]:
    """The processor and the model, with all of its weights, on a device and in eval mode.

    Args:
        checkpoint: From `equime.checkpoints.find`.
        where: A `torch.device`.
        dtype: The name of a `torch.dtype`, or "auto", which keeps the checkpoint's own.
        more: For `from_pretrained`: with a `quantization_config` the weights are read onto the device at once.

    Raises:
        EquimeError: A model of another kind, one that takes no video, weights missing or broken, too little memory.
    """
    torch = need("torch", extra=EXTRA)
    need("torchvision", extra=EXTRA)  # of the video processors: without it transformers names neither it nor the way
    transformers = need("transformers", extra=EXTRA)
    with reading(checkpoint, extra=EXTRA, levers=LEVERS), quiet():
        _require_kind(checkpoint, transformers)
        if not any((checkpoint.folder / name).is_file() for name in TOKENIZERS):  # the library would make one up
            raise EquimeError(f"the model in {checkpoint.folder} lacks {TOKENIZERS[0]}; {checkpoint.remedy}")
        processor = transformers.AutoProcessor.from_pretrained(checkpoint.folder, trust_remote_code=False)
        _require_video(checkpoint, processor)
        model, found = transformers.AutoModelForImageTextToText.from_pretrained(
            checkpoint.folder,
            trust_remote_code=False,
            dtype=dtype if dtype == "auto" else getattr(torch, dtype),
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # it lists them, its error does not
            **({"device_map": {"": where}} | more if more else {}),
        )
        _require_whole(checkpoint, found)
        if processor.tokenizer.pad_token is None:  # some are saved without; what pads is masked anyway
            processor.tokenizer.pad_token = processor.tokenizer.eos_token
        return processor, (model if more else model.to(where)).eval()


def _require_kind(checkpoint: Checkpoint, transformers: Any) -> None:
    # Said aloud: unsaid, the library asks on the terminal whether to run the model's own code.
    if "auto_map" in read_json(checkpoint.folder / "config.json", checkpoint.remedy):
        raise EquimeError(
            f"the model in {checkpoint.folder} needs code of its own, which is not run; give --model one that "
            "transformers knows, such as Qwen/Qwen3-VL-4B-Instruct"
        )
    config = transformers.AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=False)
    if type(config) not in transformers.AutoModelForImageTextToText._model_mapping:
        name = (getattr(config, "architectures", None) or [type(config).__name__])[0]
        raise EquimeError(
            f"expected a vision-language model, got {name} in {checkpoint.folder}; give --model one that takes video, "
            "such as Qwen/Qwen3-VL-4B-Instruct"
        )


def _require_video(checkpoint: Checkpoint, processor: Any) -> None:
    if getattr(processor, "video_processor", None) is None or getattr(processor, "tokenizer", None) is None:
        raise EquimeError(
            f"expected a model that takes video, got {checkpoint.name} with {type(processor).__name__}; give --model "
            "one such as Qwen/Qwen3-VL-4B-Instruct"
        )


def _require_whole(checkpoint: Checkpoint, found: dict[str, Any]) -> None:
    where = f"in {checkpoint.folder}"
    if missing := sorted(found["missing_keys"]):
        raise EquimeError(f"{len(missing)} tensors, {missing[0]} first, are not {where}; {checkpoint.remedy}")
    if other := sorted(key for key, *_ in found["mismatched_keys"]):
        raise EquimeError(f"{len(other)} tensors, {other[0]} first, have another shape {where}; {checkpoint.remedy}")


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back the library's bars and warnings: there is one bar of ours, and they name nothing a user could mend."""
    library = need("transformers.utils.logging", extra=EXTRA)
    logger = logging.getLogger("transformers")
    level, bars = logger.level, library.is_progress_bar_enabled()
    logger.setLevel(logging.ERROR)
    library.disable_progress_bar()
    try:
        yield
    finally:
        logger.setLevel(level)
        if bars:
            library.enable_progress_bar()
