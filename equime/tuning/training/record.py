"""What a fine-tuning is of: `run.json`, with which every later call is compared before it trains anything.

Its "mark" is the hash of all that decides the adapter: the base's commit, what was asked of which clips, the options.
Where things lie is no part of it. People who were trained on stand in it as hashes, so that nobody is asked about a
face that the model knows.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from equime.checkpoints import Checkpoint
from equime.options import result_fields
from equime.remote import is_repo
from equime.shard_worker import versions
from equime.tuning.clips import Clips
from equime.tuning.example import Example
from equime.tuning.training.adapter import ADAPTER, WEIGHTS
from equime.tuning.training.options import Tune

VERSION: Final = 1
"""Raised when equal options no longer give equal adapters."""
STATES: Final = "states"
PACKAGES: Final = ("torch", "torchvision", "transformers", "trl", "peft", "accelerate", "bitsandbytes")


def begun(out: Path, told: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The record of a run that is allowed here, written before it trains, and whether it is finished.

    Args:
        out: The run's folder.
        told: From `told_of`.

    Raises:
        EquimeError: The folder holds another run, or one half trained by other packages.
    """
    from equime.recognise.training import manifest
    from equime.recognise.training.spread import is_first

    old = manifest.before(out)
    finished = old is not None and "adapter" in old and (out / ADAPTER / WEIGHTS).is_file()
    if old is not None and (finished or any((out / STATES).glob("*"))):  # a start that failed holds nothing
        manifest.require_same(out, old, told, trains=not finished)
    if finished and old is not None:
        return old, True
    if is_first():
        manifest.write(out, told)
    return told, False


def told_of(
    where: str,
    base: str,
    checkpoint: Checkpoint,
    clips: Clips,
    examples: Sequence[Example],
    options: Tune,
    processes: int,
) -> dict[str, Any]:
    """What `run.json` says of a run that is not trained yet: what decides its adapter, and what it was made of."""
    from equime.recognise.training.checkpoint import seen_all

    asked = result_fields(options) | {"base": f"{checkpoint.name}@{checkpoint.revision}", "processes": processes}
    decides = {"version": VERSION, "experiment": asked, "data": _data(where, clips, examples)}
    mark = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    lies = Path(base).expanduser()
    folder = str(lies.resolve()) if lies.is_dir() else None
    told = {
        "mark": mark,
        "title": f"{checkpoint.name}, tuned on {decides['data']['name']}",  # type: ignore[index]
        **decides,
        "base": {"id": checkpoint.name, "revision": checkpoint.revision, "folder": folder},
        "subjects": list(seen_all(example.subject_id for example in examples)),
        "packages": versions(PACKAGES),
    }
    plain: dict[str, Any] = json.loads(json.dumps(told))
    return plain


def _data(where: str, clips: Clips, examples: Sequence[Example]) -> dict[str, Any]:
    """What was learnt from, by counts and by one hash of the questions, the answers and the clips' files."""
    used = dict.fromkeys(example.clip_id for example in examples)
    files = {clip_id: clips.facts(clip_id)["sha256"] for clip_id in used}
    asked = [{**example.to_dict(), "groups": None} for example in examples]  # labels of people are no part of it
    rows = json.dumps([files, asked], sort_keys=True)
    return {
        "name": where if is_repo(where.partition("@")[0]) and not Path(where).exists() else Path(where).resolve().name,
        "clips": len(used),
        "subjects": len({example.subject_id for example in examples}),
        "examples": dict(Counter(example.task for example in examples)),
        "rows": hashlib.sha256(rows.encode()).hexdigest(),
    }
