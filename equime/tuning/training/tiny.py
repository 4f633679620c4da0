"""A tiny Qwen2.5-VL with random weights and a tokenizer of single bytes: to try the whole way in minutes, offline.

    equime tune --data ws --base tiny --out runs/tiny

What: the true class of `transformers`, two layers of each tower, half a MB. Why: what breaks with it breaks with the
real one, hours earlier. It knows nothing, and what it learns of a few clips it learns by heart.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from equime.optional import need

NAME: Final = "tiny"
"""What `--base` calls it."""
EXTRA: Final = "tune"
SPREAD: Final = 0.2
"""Of the random weights: wide enough that what is said depends on what is seen."""
SPECIAL: Final = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    *("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"),
)
TEMPLATE: Final = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for part in m['content'] %}"
    "{% if part['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Qwen's, without its system prompt."""


def make_tiny(folder: Path, seed: int = 0) -> Path:
    """Save the model, its tokenizer and its processor as `from_pretrained` reads them: the same bytes each time.

    Args:
        folder: Made if need be.
        seed: Of the weights.
    """
    torch = need("torch", extra=EXTRA)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = _model()
    made.save_pretrained(folder)
    processor().save_pretrained(folder)
    return folder


def processor() -> Any:
    """Qwen2.5-VL's, which makes of each picture 4 x 4 patches, 4 tokens for each pair of frames."""
    transformers = need("transformers", extra=EXTRA)
    size = {"shortest_edge": 56 * 56, "longest_edge": 56 * 56}
    return transformers.Qwen2_5_VLProcessor(
        image_processor=transformers.Qwen2VLImageProcessor(size=size, patch_size=14),
        tokenizer=tokenizer(),
        video_processor=transformers.Qwen2VLVideoProcessor(size=size, patch_size=14),
        chat_template=TEMPLATE,
    )


def tokenizer() -> Any:
    """Qwen's class around a vocabulary of the 256 bytes, which holds any text."""
    letters = sorted(need("tokenizers", extra=EXTRA).pre_tokenizers.ByteLevel.alphabet())
    return need("transformers", extra=EXTRA).Qwen2Tokenizer(
        vocab={token: i for i, token in enumerate([*letters, *SPECIAL])},
        merges=[],
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL),
        chat_template=TEMPLATE,
    )


def token_ids() -> dict[str, int]:
    """The ids by which a configuration of Qwen's knows the places of pictures."""
    known = tokenizer()
    return {
        "image_token_id": known.convert_tokens_to_ids("<|image_pad|>"),
        "video_token_id": known.convert_tokens_to_ids("<|video_pad|>"),
        "vision_start_token_id": known.convert_tokens_to_ids("<|vision_start|>"),
        "vision_end_token_id": known.convert_tokens_to_ids("<|vision_end|>"),
    }


def text_config(**more: Any) -> dict[str, Any]:
    """A tiny language model's configuration."""
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


def answering(model: Any) -> Any:
    """The model with the sampling settings that the published ones come with: they must not be what decides."""
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


def _model() -> Any:
    transformers = need("transformers", extra=EXTRA)
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 32}
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
    config = transformers.Qwen2_5_VLConfig(
        text_config=text_config(rope_parameters=rope),
        vision_config={**vision, "initializer_range": SPREAD, "fullatt_block_indexes": [1], "patch_size": 14},
        **token_ids(),
    )
    return answering(transformers.Qwen2_5_VLForConditionalGeneration(config))
