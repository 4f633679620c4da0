r"""Rows for Qwen's own scripts, qwen-vl-finetune of QwenLM/Qwen3-VL: `conversations` after LLaVA's manner.

    {"video": "x.mp4", "conversations": [{"from": "human", "value": "<video>\nQ"}, {"from": "gpt", "value": "A"}]}

Several pictures stand in `image`, as a list: qwenvl/data/data_processor.py reads that key, whatever its README says of
`images`. These scripts know no preference pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from equime.tuning.example import Example, Task
from equime.tuning.formats.media import Shown

TASKS: Final[tuple[Task, ...]] = ("caption", "json", "question")


def rows(example: Example, shown: Shown, about: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(kind of file, row) of an example."""
    tags = "<video>\n" * len(shown.videos) + "<image>\n" * len(shown.images)
    media: dict[str, Any] = {"video": shown.videos[0]} if shown.videos else {"image": list(shown.images)}
    turns = [{"from": "human", "value": f"{tags}{example.question}"}, {"from": "gpt", "value": example.answer}]
    yield "", {**media, "conversations": turns, "equime": about}


def extras(files: Sequence[str], shown: Shown) -> dict[str, Any]:
    """No other files."""
    return {}


def loading(files: Sequence[str], shown: Shown) -> str:
    """How qwen-vl-finetune loads it."""
    frames = len(shown.indices)
    video = (
        f"--video_fps {shown.fps:g} --video_min_frames 2 --video_max_frames {frames} \\\n"
        f"    --video_max_pixels {frames}*512*512"
        if shown.videos
        else f"--max_pixels {512 * 512}"
    )
    return f"""\
In `qwenvl/data/__init__.py` of qwen-vl-finetune, with this folder's place:

```python
EQUIME = {{"annotation_path": "DIR/train.jsonl", "data_path": "DIR"}}
data_dict = {{"equime": EQUIME}}
```

```bash
python qwenvl/train/train_qwen.py --dataset_use equime \\
    {video}
```

Without these it takes 2 frames a second. Write the product of `*` as a number. Qwen3-VL counts `video_max_pixels` over
all frames of a video, Qwen2.5-VL for each. These scripts know no preference pairs, so there are none here.
"""
