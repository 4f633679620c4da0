"""Prompts as LTX-Video reads them: embedded once, by a text encoder that is dropped after use.

Why: the text encoder (T5-XXL, 4.8 billion parameters) is larger than the transformer, and the prompts of a plan repeat.
An embedding is a function of the prompt alone: each is made in a batch of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from equime.errors import EquimeError
from equime.optional import need

MAX_TOKENS = 128
KEPT = 1024
"""Embeddings kept, the newest: 1 MB each in half precision."""

Embedded = tuple[Any, Any]


class Prompts:
    """Embeddings by prompt, made when first asked for.

    Args:
        tokenizer: The pipeline's.
        open_text: Loads a pipeline that has the text encoder.
        keep: Whether the text encoder stays loaded.
    """

    def __init__(self, tokenizer: Any, open_text: Callable[[], Any], keep: bool) -> None:
        self._tokenizer, self._open, self._keep = tokenizer, open_text, keep
        self._made: dict[str, Embedded] = {}
        self._text: Any = None

    def check(self, prompt: str) -> None:
        """Refuse a prompt that the pipelines would cut short without saying so.

        Raises:
            EquimeError: More than 128 tokens, the end mark counted.
        """
        tokens = len(self._tokenizer(prompt, verbose=False).input_ids)
        if tokens > MAX_TOKENS:
            raise EquimeError(f"expected a prompt of at most {MAX_TOKENS} tokens, got {tokens = }; plan a shorter one")

    def __call__(self, prompts: Iterable[str]) -> dict[str, Embedded]:
        """Prompt -> its embedding (1, 128, width) and mask (1, 128), both in main memory."""
        wanted = list(dict.fromkeys(prompts))
        fresh = [prompt for prompt in wanted if prompt not in self._made]
        if fresh:
            self._embed(fresh)
        found = {prompt: self._made[prompt] for prompt in wanted}
        for prompt in list(self._made)[:-KEPT]:
            del self._made[prompt]
        return found

    def _embed(self, prompts: list[str]) -> None:
        torch = need("torch", extra="generate")
        text = self._text or self._open()
        with torch.no_grad():
            for prompt in prompts:
                made = text.encode_prompt(prompt, do_classifier_free_guidance=False, max_sequence_length=MAX_TOKENS)
                self._made[prompt] = (made[0].cpu(), made[1].cpu())
        text.maybe_free_model_hooks()
        self._text = text if self._keep else None
        del text
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
