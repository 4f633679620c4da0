"""Tiny LTX-Video models: the true classes with random weights, saved as `from_pretrained` reads them.

`save(folder)` writes half a MB: a one-layer T5 with a tokenizer of a fixed vocabulary, a one-layer transformer, a VAE
of eight channels with the true compression (32 x 32 pixels and 8 frames to a latent), and the scheduler.
"""

from __future__ import annotations

import atexit
import shutil
import string
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from equime.prompts import PIECES

WORDS = ("▁a", "▁person", "▁blinking", "▁and", "▁turning", "▁their", "▁head", "▁face", "▁the", "▁brow", "▁", ".", ",")
VAE = {
    "latent_channels": 8,
    "block_out_channels": (8,) * 4,
    "decoder_block_out_channels": (8,) * 4,
    "layers_per_block": (1,) * 5,
    "decoder_layers_per_block": (1,) * 5,
    "spatio_temporal_scaling": (True, True, True, False),
    "decoder_spatio_temporal_scaling": (True, True, True, False),
}


def save(folder: Path, *, pipeline: str = "LTXImageToVideoPipeline", timestep_conditioning: bool = False) -> Path:
    """Save a tiny model: the same weights each time.

    Args:
        folder: Made if need be.
        pipeline: Name of the class in `diffusers`.
        timestep_conditioning: Whether the decoder takes noise and a timestep, as from 0.9.1 on.
    """
    import diffusers
    import torch
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(0)
    shape: dict[str, Any] = {**VAE, "timestep_conditioning": timestep_conditioning}
    parts = {
        "text_encoder": T5EncoderModel(
            T5Config(vocab_size=len(vocabulary()), d_model=16, d_kv=4, d_ff=32, num_layers=1, num_heads=2)
        ),
        "tokenizer": tokenizer(),
        "transformer": diffusers.LTXVideoTransformer3DModel(
            in_channels=8,
            out_channels=8,
            num_attention_heads=2,
            attention_head_dim=8,
            cross_attention_dim=16,
            num_layers=1,
            caption_channels=16,
        ),
        "vae": diffusers.AutoencoderKLLTXVideo(**shape),
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(),
    }
    getattr(diffusers, pipeline)(**parts).save_pretrained(folder)
    return folder


def vocabulary() -> list[tuple[str, float]]:
    """Pieces and their log probabilities: pad, end, unknown, the words of our prompts, then single characters."""
    words = sorted({*WORDS, *(f"\u2581{word}" for word in PIECES if word.isalpha())})
    characters = [c for c in string.ascii_letters + string.digits + ".,'-:;()%\u2581"]
    pieces = dict.fromkeys(["<pad>", "</s>", "<unk>", *words, *characters])
    return [(piece, 0.0 if i < 3 else -3.0 - 0.01 * i) for i, piece in enumerate(pieces)]


def tokenizer() -> Any:
    """A T5 tokenizer around a Unigram model of `vocabulary`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import T5TokenizerFast

    inner = Tokenizer(models.Unigram(vocabulary(), unk_id=2))
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.Metaspace()
    inner.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.json"
        inner.save(str(path))
        return T5TokenizerFast(
            tokenizer_file=str(path), pad_token="<pad>", eos_token="</s>", unk_token="<unk>", extra_ids=0
        )


@cache
def models() -> Path:
    """A folder of models, made once a process: "image", "condition" and "timed", whose decoder takes noise."""
    folder = Path(tempfile.mkdtemp(prefix="tiny-ltx-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    save(folder / "image")
    save(folder / "condition", pipeline="LTXConditionPipeline")
    save(folder / "timed", pipeline="LTXConditionPipeline", timestep_conditioning=True)
    return folder
