"""Rows of `messages` with tags for the media, as LLaMA-Factory and ms-swift read them.

    {"messages": [{"role": "user", "content": "<video>Q"}, {"role": "assistant", "content": "A"}], "videos": ["x.mp4"]}

Of a preference pair the two want different things: ms-swift the answer in `messages` and `rejected_response`
(docs/source_en/Customization/Custom-dataset.md), LLaMA-Factory an odd number of messages with `chosen` and `rejected`
as messages, and `"ranking": true` in `dataset_info.json` (data/README.md, data/converter.py). So a pair is in two
files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from equime.tuning.example import TASKS as ALL
from equime.tuning.example import Example, Task
from equime.tuning.formats.media import Shown

TASKS: Final[tuple[Task, ...]] = ALL
TAGS: Final = {
    **{"role_tag": "role", "content_tag": "content", "user_tag": "user"},
    **{"assistant_tag": "assistant", "system_tag": "system"},
}


def rows(example: Example, shown: Shown, about: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(kind of file, row): "" to learn from; "_preference" for ms-swift and "_ranking" for LLaMA-Factory."""
    tags = "<video>" * len(shown.videos) + "<image>" * len(shown.images)
    user = {"role": "user", "content": f"{tags}{example.question}"}
    assistant = {"role": "assistant", "content": example.answer}
    media = {_column(shown): [*shown.videos, *shown.images]}
    told = {"messages": [user, assistant], **media, "equime": about}
    if example.task != "preference":
        yield "", told
        return
    yield "_preference", {**told, "rejected_response": example.rejected}
    rejected = {"role": "assistant", "content": example.rejected}
    yield "_ranking", {**told, "messages": [user], "chosen": assistant, "rejected": rejected}


def extras(files: Sequence[str], shown: Shown) -> dict[str, Any]:
    """LLaMA-Factory's description of the files."""
    media = _column(shown)
    found: dict[str, Any] = {}
    for file in files:
        columns = {"messages": "messages", media: media}
        known: dict[str, Any] = {"file_name": file, "formatting": "sharegpt", "columns": columns, "tags": TAGS}
        if "_ranking" in file:
            known |= {"ranking": True, "columns": columns | {"chosen": "chosen", "rejected": "rejected"}}
        if "_preference" not in file:
            found[f"equime_{file.removesuffix('.jsonl')}"] = known
    return {"dataset_info.json": found}


def loading(files: Sequence[str], shown: Shown) -> str:
    """How LLaMA-Factory and ms-swift load it."""
    frames = len(shown.indices)
    enough = int(shown.fps) + 1  # a duration that is rounded down must not cost a frame
    factory = f"video_fps: {enough}\nvideo_maxlen: {frames}\nvideo_max_pixels: 262144" if shown.videos else ""
    checked = " --val_dataset validation.jsonl" if "validation.jsonl" in files else ""
    swift = f"FPS={enough} FPS_MIN_FRAMES=2 FPS_MAX_FRAMES={frames + frames % 2} " if shown.videos else ""
    return f"""\
LLaMA-Factory reads `dataset_info.json`; paths are taken from `media_dir`, which is `dataset_dir` by default. In the
training's YAML (without these it takes 2 frames a second, shrunk to 256 x 256 pixels; the rate is one more than the
files', as it rounds down):

```yaml
dataset_dir: .          # this folder
dataset: equime_train   # *_ranking for DPO
template: qwen2_vl
{factory}
```

ms-swift, run in this folder or with `ROOT_IMAGE_DIR` naming it:

```bash
ROOT_IMAGE_DIR=. {swift}\\
    swift sft --model Qwen/Qwen2.5-VL-3B-Instruct --dataset {files[0]}{checked}
```

`*_preference.jsonl` is for `swift rlhf --rlhf_type dpo`, `*_ranking.jsonl` for LLaMA-Factory's `stage: dpo`.
"""


def _column(shown: Shown) -> str:
    return "videos" if shown.videos else "images"
