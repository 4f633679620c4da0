"""Tiny vision-language models: the true classes with random weights, saved as `from_pretrained` reads them.

`save(folder, "qwen2_5_vl")` writes half a MB: a tokenizer of single bytes, which holds any text, image and video
processors that make small pictures, a chat template, two layers of each tower. `teach` trains one to give an answer to
each of some clips: what a test then gets from it was generated, by true weights, from the frames.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from equime.tuning.training import tiny
from equime.tuning.training.tiny import TEMPLATE as TEMPLATE
from equime.tuning.training.tiny import tokenizer as tokenizer

KINDS = ("qwen2_5_vl", "qwen3_vl")


def save(folder: Path, kind: str, seed: int = 0) -> Path:
    """Save a tiny model: the same weights each time.

    Args:
        folder: Made if need be.
        kind: Of `KINDS`, or "smolvlm", whose processor wants the package `num2words`.
        seed: Of the weights.
    """
    import torch

    if kind == "qwen2_5_vl":
        return tiny.make_tiny(folder, seed)
    torch.manual_seed(seed)
    made = {"qwen3_vl": _qwen3, "smolvlm": _smolvlm}[kind]()
    made.save_pretrained(folder)
    processor(kind).save_pretrained(folder)
    return folder


def teach(processor: Any, model: Any, inputs: Any, answers: list[str], steps: int = 300) -> None:
    """Train a model in place until it gives these answers to these inputs (left padded, one row for each).

    Args:
        processor: Its processor.
        model: In float32 on the CPU.
        inputs: What the processor made of the clips and questions.
        answers: What is to be said, without the end token.
        steps: At most.
    """
    import torch

    known = processor.tokenizer
    said = known([text + known.eos_token for text in answers], padding=True, padding_side="right", return_tensors="pt")
    whole = dict(inputs) | {k: torch.cat([inputs[k], said[k]], 1) for k in ("input_ids", "attention_mask")}
    if "mm_token_type_ids" in inputs:
        whole["mm_token_type_ids"] = torch.cat([inputs["mm_token_type_ids"], torch.zeros_like(said["input_ids"])], 1)
    wanted = torch.where(said["attention_mask"] == 1, said["input_ids"], -100)
    labels = torch.cat([torch.full_like(inputs["input_ids"], -100), wanted], 1)
    torch.manual_seed(0)
    optimiser = torch.optim.Adam(model.parameters(), lr=4e-3)
    for _ in range(steps):
        optimiser.zero_grad()
        loss = model(**whole, labels=labels).loss
        loss.backward()
        optimiser.step()
        if loss.item() < 0.004:
            break
    model.eval()


def processor(kind: str) -> Any:
    """The processor of a kind: pictures become 4 x 4 patches, 4 tokens for each pair of frames."""
    import transformers

    if kind == "qwen2_5_vl":
        return tiny.processor()
    if kind == "smolvlm":
        size = {"longest_edge": 64}
        return transformers.SmolVLMProcessor(
            transformers.SmolVLMImageProcessor(size=size, max_image_size=size),
            _smol_tokenizer(),
            transformers.SmolVLMVideoProcessor(size=size, max_image_size=size),
            image_seq_len=4,
            chat_template=tiny.TEMPLATE,
        )
    size = {"shortest_edge": 4096, "longest_edge": 64 * 64 * 16}
    return transformers.Qwen3VLProcessor(
        image_processor=transformers.Qwen2VLImageProcessor(
            size={"shortest_edge": 4096, "longest_edge": 4096}, patch_size=16
        ),
        tokenizer=tiny.tokenizer(),
        video_processor=transformers.Qwen3VLVideoProcessor(size=size, patch_size=16),
        chat_template=tiny.TEMPLATE,
    )


def _qwen3() -> Any:
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 32}
    vision["initializer_range"] = tiny.SPREAD
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2], "mrope_interleaved": True}
    config = Qwen3VLConfig(
        text_config=tiny.text_config(rope_parameters=rope, head_dim=16),
        vision_config={**vision, "deepstack_visual_indexes": [0], "patch_size": 16, "num_position_embeddings": 16},
        **tiny.token_ids(),
    )
    return tiny.answering(Qwen3VLForConditionalGeneration(config))


def _smol_tokenizer() -> Any:
    known = tiny.tokenizer()
    marks = ["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>", "<video>"]
    known.add_special_tokens({"additional_special_tokens": [*tiny.SPECIAL, *marks]})
    return known


def _smolvlm() -> Any:
    from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration

    known = _smol_tokenizer()
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = SmolVLMConfig(
        vision_config={**vision, "image_size": 64, "patch_size": 16, "initializer_range": tiny.SPREAD},
        text_config=tiny.text_config(model_type="llama", vocab_size=len(known)),
        scale_factor=2,
        image_token_id=known.convert_tokens_to_ids("<image>"),
        pad_token_id=known.pad_token_id,
    )
    return tiny.answering(SmolVLMForConditionalGeneration(config))


@cache
def models() -> Path:
    """A folder of models, made once a process: one of each of `KINDS`, by its name."""
    folder = Path(tempfile.mkdtemp(prefix="tiny-vlm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for kind in KINDS:
        save(folder / kind, kind)
    return folder
