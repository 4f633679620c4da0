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

KINDS = ("qwen2_5_vl", "qwen3_vl")
SPREAD = 0.2
"""Of the random weights: wide enough that what is said depends on what is seen."""
SPECIAL = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    *("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"),
)
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for part in m['content'] %}"
    "{% if part['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def save(folder: Path, kind: str, seed: int = 0) -> Path:
    """Save a tiny model: the same weights each time.

    Args:
        folder: Made if need be.
        kind: Of `KINDS`, or "smolvlm", whose processor wants the package `num2words`.
        seed: Of the weights.
    """
    import torch

    torch.manual_seed(seed)
    made = {"qwen2_5_vl": _qwen2_5, "qwen3_vl": _qwen3, "smolvlm": _smolvlm}[kind]()
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


def tokenizer() -> Any:
    """Qwen's class around a vocabulary of the 256 bytes."""
    from tokenizers import pre_tokenizers
    from transformers import Qwen2Tokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*letters, *SPECIAL])}
    return Qwen2Tokenizer(
        vocab=vocabulary,
        merges=[],
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL),
        chat_template=TEMPLATE,
    )


def processor(kind: str) -> Any:
    """The processor of a kind: pictures become 4 x 4 patches, 4 tokens for each pair of frames."""
    import transformers

    if kind == "qwen2_5_vl":
        size = {"shortest_edge": 56 * 56, "longest_edge": 56 * 56}
        video = transformers.Qwen2VLVideoProcessor(size=size, patch_size=14)
        return transformers.Qwen2_5_VLProcessor(
            image_processor=transformers.Qwen2VLImageProcessor(size=size, patch_size=14),
            tokenizer=tokenizer(),
            video_processor=video,
            chat_template=TEMPLATE,
        )
    if kind == "smolvlm":
        size = {"longest_edge": 64}
        return transformers.SmolVLMProcessor(
            transformers.SmolVLMImageProcessor(size=size, max_image_size=size),
            _smol_tokenizer(),
            transformers.SmolVLMVideoProcessor(size=size, max_image_size=size),
            image_seq_len=4,
            chat_template=TEMPLATE,
        )
    size = {"shortest_edge": 4096, "longest_edge": 64 * 64 * 16}
    return transformers.Qwen3VLProcessor(
        image_processor=transformers.Qwen2VLImageProcessor(
            size={"shortest_edge": 4096, "longest_edge": 4096}, patch_size=16
        ),
        tokenizer=tokenizer(),
        video_processor=transformers.Qwen3VLVideoProcessor(size=size, patch_size=16),
        chat_template=TEMPLATE,
    )


def _ids() -> dict[str, int]:
    known = tokenizer()
    return {
        "image_token_id": known.convert_tokens_to_ids("<|image_pad|>"),
        "video_token_id": known.convert_tokens_to_ids("<|video_pad|>"),
        "vision_start_token_id": known.convert_tokens_to_ids("<|vision_start|>"),
        "vision_end_token_id": known.convert_tokens_to_ids("<|vision_end|>"),
    }


def _text(**more: Any) -> dict[str, Any]:
    known = tokenizer()
    return {
        "vocab_size": len(known),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 8192,
        "initializer_range": SPREAD,
        "bos_token_id": None,
        "eos_token_id": known.eos_token_id,
        "pad_token_id": known.pad_token_id,
    } | more


def _qwen2_5() -> Any:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 32}
    vision["initializer_range"] = SPREAD
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
    config = Qwen2_5_VLConfig(
        text_config=_text(rope_parameters=rope),
        vision_config={**vision, "fullatt_block_indexes": [1], "patch_size": 14},
        **_ids(),
    )
    return _greedy(Qwen2_5_VLForConditionalGeneration(config))


def _qwen3() -> Any:
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 32}
    vision["initializer_range"] = SPREAD
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2], "mrope_interleaved": True}
    config = Qwen3VLConfig(
        text_config=_text(rope_parameters=rope, head_dim=16),
        vision_config={**vision, "deepstack_visual_indexes": [0], "patch_size": 16, "num_position_embeddings": 16},
        **_ids(),
    )
    return _greedy(Qwen3VLForConditionalGeneration(config))


def _smol_tokenizer() -> Any:
    known = tokenizer()
    marks = ["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>", "<video>"]
    known.add_special_tokens({"additional_special_tokens": [*SPECIAL, *marks]})
    return known


def _smolvlm() -> Any:
    from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration

    known = _smol_tokenizer()
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = SmolVLMConfig(
        vision_config={**vision, "image_size": 64, "patch_size": 16, "initializer_range": SPREAD},
        text_config=_text(model_type="llama", vocab_size=len(known)),
        scale_factor=2,
        image_token_id=known.convert_tokens_to_ids("<image>"),
        pad_token_id=known.pad_token_id,
    )
    return _greedy(SmolVLMForConditionalGeneration(config))


def _greedy(model: Any) -> Any:
    """With the sampling settings that the published models come with: they must not be what decides."""
    known = tokenizer()
    model.generation_config.update(
        do_sample=True,
        temperature=0.7,
        top_p=0.8,
        top_k=20,
        repetition_penalty=1.05,
        pad_token_id=known.pad_token_id,
        eos_token_id=[known.eos_token_id, known.pad_token_id],
    )
    return model.eval()


@cache
def models() -> Path:
    """A folder of models, made once a process: one of each of `KINDS`, by its name."""
    folder = Path(tempfile.mkdtemp(prefix="tiny-vlm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for kind in KINDS:
        save(folder / kind, kind)
    return folder
