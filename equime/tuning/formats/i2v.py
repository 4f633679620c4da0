"""A benchmark for image-to-video models: a picture of a face at rest, a prompt, and the clip that was made of them.

    {"image": "references/x.png", "prompt": "...", "negative_prompt": "...", "video": "clips/x.mp4", ...}

The reference is the clip's own first frame, before the expression begins: no source picture leaves the data set. What a
model makes of it can be scored by the planned units and times, as `equime score` does. Clips are whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from equime.action_units import NAMES
from equime.publishing.comparing.snapshot import open_version
from equime.tuning.example import Example, Task
from equime.tuning.formats.media import Shown

TASKS: Final[tuple[Task, ...]] = ()
DRAWN: Final[tuple[Task, ...]] = ("caption", "question")
"""Of these tasks' examples one a clip is taken."""


def prompted(where: str, examples: Sequence[Example]) -> tuple[list[Example], int]:
    """One example a clip: the prompt as what is asked for, the negative prompt as what is rejected.

    Returns:
        Those, and how many clips have no prompt.
    """
    table = open_version(where).read(["clip_id", "prompt", "negative_prompt"])
    prompts = {row["clip_id"]: row for row in table.to_pylist()}
    by_clip = {example.clip_id: example for example in reversed(examples)}
    clips = [by_clip[clip_id] for clip_id in dict.fromkeys(example.clip_id for example in examples)]
    found = [replace(clip, id=f"{clip.clip_id}#i2v", question=prompts[clip.clip_id]["prompt"],
                     answer="", rejected=prompts[clip.clip_id]["negative_prompt"])
             for clip in clips if prompts[clip.clip_id]["prompt"]]  # fmt: skip
    return found, len(clips) - len(found)


def rows(example: Example, shown: Shown, about: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(kind of file, row) of a clip."""
    media = {"image": shown.images[0], "video": shown.videos[0]}
    words = {"prompt": example.question, "negative_prompt": example.rejected or ""}
    units = [{"name": NAMES[unit.au], **unit.to_dict()} for unit in example.truth.units]
    known = {**about, "id": example.clip_id, "action_units": units}
    yield "", {"id": example.clip_id, **media, **words, **known}


def extras(files: Sequence[str], shown: Shown) -> dict[str, Any]:
    """No other files."""
    return {}


def loading(files: Sequence[str], shown: Shown) -> str:
    """How it is used."""
    return f"""\
```python
from datasets import load_dataset

row = load_dataset("json", data_files="{files[-1]}", split="train")[0]
row["image"], row["prompt"], row["video"]      # {len(shown.indices)} frames at {shown.fps:g} a second
```

Make a clip of as many frames, at that rate, from `image` and `prompt`, and score it against the planned `action_units`
and times. `image` is the first frame of `video`.
"""
