"""Rows for TRL: messages whose content is a list of parts, preference pairs as prompt, chosen and rejected.

    cd DIR; load_dataset("json", data_files="train.jsonl")        # to SFTTrainer as it is

`images` is always there, as TRL tells a data set with pictures by it. A text part must not hold a key `video`: with
one, even of None, the chat templates of Qwen write a second video. `load_dataset("json")` keeps the parts as they are
(feature `Json`) from datasets 4.7 on; for `Dataset.from_list` say `on_mixed_types="use_json"`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from equime.tuning.example import TASKS as ALL
from equime.tuning.example import Example, Task
from equime.tuning.formats.media import Shown

TASKS: Final[tuple[Task, ...]] = ALL


NEEDS_PICTURES: Final = "TRL's DPOTrainer takes pictures and no videos: for preference pairs export --view keyframes"


def rows(example: Example, shown: Shown, about: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(kind of file, row) of an example: "" for messages, "_preference" for pairs."""
    parts: list[dict[str, str]] = [{"type": "video", "video": path} for path in shown.videos]
    parts += [{"type": "image"} for _ in shown.images]
    asked = [{"role": "user", "content": [*parts, _text(example.question)]}]
    said = [{"role": "assistant", "content": [_text(example.answer)]}]
    images = {"images": list(shown.images)}
    if example.task != "preference":
        yield "", images | {"messages": asked + said, "equime": about}
        return
    rejected = [{"role": "assistant", "content": [_text(example.rejected or "")]}]
    yield "_preference", images | {"prompt": asked, "chosen": said, "rejected": rejected, "equime": about}


def extras(files: Sequence[str], shown: Shown) -> dict[str, Any]:
    """No other files."""
    return {}


def loading(files: Sequence[str], shown: Shown) -> str:
    """How TRL loads it."""
    frames = (
        ""
        if shown.images
        else "processor.video_processor.do_sample_frames = False  # every frame of a file, not 2 a second\n"
    )
    pairs = "" if shown.images or not any("_preference" in file for file in files) else NO_VIDEO
    return f"""\
Run in this folder, since paths are relative to it; checked with TRL 1.16, transformers 5.23 and datasets 5.2. Videos
take TRL 1.15: older ones pass none to the processor, some without a word. They take datasets 4.7: older ones put
`video: None` into texts, and the template then counts a second video.

```python
from datasets import load_dataset
from transformers import AutoModelForImageTextToText, AutoProcessor
from trl import SFTConfig, SFTTrainer

processor = AutoProcessor.from_pretrained("Qwen/Qwen2.5-VL-3B-Instruct")
{frames}model = AutoModelForImageTextToText.from_pretrained("Qwen/Qwen2.5-VL-3B-Instruct")
data = load_dataset("json", data_files="train.jsonl", split="train")
config = SFTConfig("run", max_length=None, assistant_only_loss=True)
SFTTrainer(model, config, train_dataset=data, processing_class=processor).train()
```

`max_length=None` keeps the tokens of the video whole. With a processor whose template marks no answers,
`assistant_only_loss` leaves no loss at all: look that `(labels != -100).any()` holds. Reading MP4 by path takes
torchcodec and FFmpeg's libraries; `equime tune` needs neither.
{pairs}"""


NO_VIDEO: Final = """
`*_preference.jsonl` holds `prompt`, `chosen` and `rejected` for `DPOTrainer`, whose collator passes pictures and no
videos to the processor (TRL 1.16): export pairs with `--view keyframes`, or give the trainer a collator of your own.
"""


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}
