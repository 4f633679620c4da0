"""Questions, clips and answers as one batch of tensors, for training and for asking.

    encoder = Encoder(processor, View("apex", frames=16))
    batch = encoder.inputs(examples, seen, answers)     # with "labels": loss on the answers only
    batch = encoder.inputs(examples, seen, None)        # to generate from

The loss is on what the chat template puts after the question, up to the token that ends an answer. Where that begins
is found by tokens: those of the question must begin those of question and answer, whatever the template, or it is
refused. Masks by template markers are empty for SmolVLM, whose template has none, and the loss is then exactly 0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from equime.captioning.vlm_inputs import Side, inputs
from equime.checkpoints import first_sentence
from equime.errors import EquimeError
from equime.tuning.example import Example
from equime.tuning.view import Seen, View, asked

EXTRA: Final = "tune"
IGNORED: Final = -100
"""The label of a token without loss."""


@dataclass(frozen=True)
class Encoder:
    """Makes batches for a model.

    Attributes:
        processor: Of `transformers`, with a chat template.
        view: What of a clip is shown; "keyframes" go in as pictures, the others as a video.
        blind: Leave the clip out: what can be answered without looking.
        name: The model, for messages.
    """

    processor: Any
    view: View
    blind: bool = False
    name: str = "the base model"

    def inputs(self, examples: Sequence[Example], seen: Sequence[Seen], answers: Sequence[str] | None) -> Any:
        """A `BatchFeature` of tensors, a row for each example.

        Args:
            examples: What is asked.
            seen: What `view.of` gave of each clip; not looked at when blind.
            answers: What is to be said: padded on the right, with int64 `labels` (B, T), -100 where no loss is. None
                to generate: padded on the left.

        Raises:
            EquimeError: A template that has no place for the clip or turns the question into other words once it is
                answered, text that holds the model's own tokens, pixels that do not match their tokens.
        """
        if not self.blind:
            shown = zip(examples, seen, strict=True)
            examples = [replace(one, question=asked(one, s.indices, s.num_frames, s.fps)) for one, s in shown]
        if answers is None:
            texts = [self._rendered(example) for example in examples]
            return self._made(texts, seen, "left")
        pairs = [self._answered(*pair) for pair in zip(examples, answers, strict=True)]
        made = self._made([text for text, _ in pairs], seen, "right")
        made["labels"] = self._labels(made, [tail for _, tail in pairs])
        return made

    def require_plain(self, examples: Sequence[Example]) -> None:
        """Refuse texts that hold tokens of the model: a "<video>" in a caption would be one clip too many.

        Raises:
            EquimeError: One does.
        """
        for example in examples:
            self._require_plain(example.id, example.question, example.answer)

    def _require_plain(self, name: str, *texts: str) -> None:
        if found := next(filter(None, map(self._tokens.search, texts)), None):
            raise EquimeError(f"{name} holds {found[0]!r}, a token of {self.name}: expected plain words")

    @cached_property
    def _tokens(self) -> re.Pattern[str]:
        kinds = (getattr(self.processor, f"{kind}_token", None) for kind in ("image", "video"))
        known = {*self.processor.tokenizer.all_special_tokens, *filter(None, kinds)}
        return re.compile("|".join(re.escape(token) for token in sorted(known, key=len, reverse=True)) or r"(?!)")

    @property
    def _parts(self) -> list[dict[str, str]]:
        """What stands before the question."""
        if self.blind:
            return []
        return [{"type": "image"}] * 4 if self.view.name == "keyframes" else [{"type": "video"}]

    def _rendered(self, example: Example, answer: str | None = None) -> str:
        """The text of the chat template, with or without an answer."""
        chat = [{"role": "user", "content": [*self._parts, {"type": "text", "text": example.question}]}]
        if answer is not None:
            chat.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
        if not (getattr(self.processor, "chat_template", None) or self.processor.tokenizer.chat_template):
            raise EquimeError(
                f"the processor of {self.name} has no chat template: give --base a model that was made for chats"
            )
        try:
            text: str = self.processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=answer is None)
        except Exception as error:  # templates are programs: Jinja's errors, and those of what they call
            raise EquimeError(f"the chat template of {self.name} fails: {first_sentence(error)}") from error
        self._require_places(text)
        return text

    def _require_places(self, text: str) -> None:
        """One place in the text for each thing that is shown."""
        for kind in ("image", "video"):
            token, wanted = getattr(self.processor, f"{kind}_token", None), [p["type"] for p in self._parts].count(kind)
            if token and (found := text.count(token)) != wanted:
                raise EquimeError(
                    f"the chat template of {self.name} makes {found} places for a {kind} where {wanted} are shown: "
                    "take the template that the model came with"
                )

    def _answered(self, example: Example, answer: str) -> tuple[str, list[int]]:
        """The text with the answer, and the tokens of the answer at its end."""
        self._require_plain(example.id, example.question, answer)
        tokenizer = self.processor.tokenizer
        question, whole = self._rendered(example), self._rendered(example, answer)
        said = whole[len(question) :] if whole.startswith(question) else whole
        if (end := tokenizer.eos_token) and end not in said:  # without it the model never learns to stop
            whole += end
        before, tokens = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (question, whole))
        if tokens[: len(before)] != before:
            raise EquimeError(
                f"the chat template of {self.name} words a question otherwise once it is answered, so that nothing "
                "tells where the answer begins: take a base without a prompt of its own for answers"
            )
        return whole, tokens[len(before) :]

    def _made(self, texts: list[str], seen: Sequence[Seen], side: Side) -> Any:
        shown: dict[str, Any] = {}
        if not self.blind and self.view.name == "keyframes":
            shown["images"] = [[*clip.frames, clip.motion] for clip in seen]
        elif not self.blind:
            shown["videos"] = seen
        try:
            made = inputs(self.processor, texts, side=side, extra=EXTRA, **shown)
        except Exception as error:  # each processor has its own way to say that counts differ
            raise EquimeError(
                f"the processor of {self.name} cannot take these clips: {first_sentence(error)}"
            ) from error
        if shown:
            self._require_shown(made)
        return made

    def _require_shown(self, made: Any) -> None:
        """That the clip is among the inputs, and has as many tokens as its pixels make."""
        if not any(name.startswith("pixel_values") for name in made):
            raise EquimeError(f"the processor of {self.name} left the clip out: give --base a model that takes video")
        for kind, wanted in self._wanted(made).items():
            found = int((made["input_ids"] == getattr(self.processor, f"{kind}_token_id")).sum())
            if found != wanted:
                raise EquimeError(
                    f"{self.name} makes {found} tokens of {wanted} {kind} patches: its template miscounts"
                )

    def _wanted(self, made: Any) -> dict[str, int]:
        """Kind -> how many tokens there should be for what is shown, where the processor tells."""
        wanted = {}
        for kind in ("image", "video"):
            if f"{kind}_grid_thw" in made:
                merged = getattr(self.processor, f"{kind}_processor").merge_size ** 2
                wanted[kind] = int((made[f"{kind}_grid_thw"].prod(-1) // merged).sum())
        each = getattr(self.processor, "image_seq_len", None)
        if not wanted and each and made["pixel_values"].ndim == 5:  # SmolVLM: (B, pictures, 3, H, W)
            wanted["image"] = each * made["pixel_values"].shape[0] * made["pixel_values"].shape[1]
        return wanted

    def _labels(self, made: Any, tails: list[list[int]]) -> Any:
        """The tokens themselves where an answer stands, up to its end token; -100 elsewhere."""
        ids, lengths = made["input_ids"], made["attention_mask"].sum(1).tolist()
        labels, end = ids.new_full(ids.shape, IGNORED), self.processor.tokenizer.eos_token_id
        for row, (tail, length) in enumerate(zip(tails, lengths, strict=True)):
            first = length - len(tail)
            if not tail or ids[row, first:length].tolist() != tail:
                raise EquimeError(f"no answer is left for the loss: the processor of {self.name} changes what follows")
            kept = tail.index(end) + 1 if end in tail else len(tail)  # some templates end the line after it
            labels[row, first : first + kept] = ids[row, first : first + kept]
        return labels
