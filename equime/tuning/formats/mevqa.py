"""The questions as ME-VQA's files have them, and each clip as a folder of frames: what entries to that challenge read.

    {"id": "equime_X_side", "dataset": "equime", "image_id": "X", "subject": "6", "filename": "X", "question", "answer"}

MEGC 2025 (arXiv 2506.15298) and 2026 (2603.08927). Frames are JPEG pictures under `frames/equime/<image_id>/`, named by
their 0-based number in the clip, so that they sort by time. `test_to_answer.jsonl` is the test as the challenge hands
it out: no answers, and the frames of onset and offset.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from equime.tuning.example import Example, Task
from equime.tuning.formats.media import Shown

TASKS: Final[tuple[Task, ...]] = ("question",)
DATASET: Final = "equime"


def rows(example: Example, shown: Shown, about: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(kind of file, row) of an example: the challenge's keys and no others."""
    place = {"dataset": DATASET, "image_id": shown.name, "subject": example.subject_id, "filename": shown.name}
    number = example.id.rpartition("#")[2]
    row = {"id": f"{DATASET}_{shown.name}_{number}", **place, "question": example.question}
    yield "", row | {"answer": example.answer}
    if example.split == "test":
        times = (example.truth.onset_ms, example.truth.offset_ms)
        onset, offset = (None if ms is None else round(ms * shown.clip_fps / 1000) for ms in times)
        yield "_to_answer", row | {"answer": "", "onset_frame": onset, "offset_frame": offset}


def extras(files: Sequence[str], shown: Shown) -> dict[str, Any]:
    """No other files."""
    return {}


def loading(files: Sequence[str], shown: Shown) -> str:
    """How entries to the challenge load it."""
    return """\
The files have the keys of the challenge's `me_vqa_samm_casme2_smic.jsonl`; a clip's frames are in
`frames/<dataset>/<image_id>/`, so `frames` is what baselines call the data folder:

```python
from pathlib import Path

from datasets import load_dataset

row = load_dataset("json", data_files="train.jsonl", split="train")[0]
frames = sorted(Path("frames", row["dataset"], row["image_id"]).iterdir())
```

The challenge's own questions are about a whole face; sides, where asked, are the subject's own. Some have answers that
the challenge's have not: "both" of a side, and "No action unit is active." of a neutral clip.
"""
