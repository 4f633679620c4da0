"""Text that a chat template or a tokenizer would take for something else than text.

    markup("A face. <video> Look!")      # "<video>"

One such word in a caption changes how many videos or turns a trainer counts: it fails hours later, or learns from the
wrong pixels. What holds one is left out of an export, and counted. Placeholders as "<FACS number>" are plain text.
"""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final = (
    "image|video|audio|img|vid|box|quad|ref|bbox|ref-object|cot-process|start-image|s|pad|unk|bos|eos|mask|cls|sep"
    "|start_of_turn|end_of_turn|end_of_utterance|fake_token_around_image|global-img|row_[0-9]+_col_[0-9]+|img_context"
    "|image_soft_token|image_pad|video_pad|think|tool_call|tool_response|tools|vision_start|vision_end|patch_index_[0-9]+"
)
_PATTERN: Final = re.compile(
    rf"<\|[^<>]*\|>|</?(?:{_WORDS})/?>|\{{\{{[^{{}}]*\}}\}}|\[/?INST\]|<<SYS>>|<｜[^<>]*｜>", re.IGNORECASE
)


def markup(text: str) -> str | None:
    """The first special token or media tag in a text; None where there is none."""
    found = _PATTERN.search(text)
    return found.group() if found else None
