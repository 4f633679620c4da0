"""The texts of an export: a file of rows for each split, what goes with them, and the manifest, written last of all.

write_texts(out, examples, wanted, options, source, left, failed)       # the manifest
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from equime import schema
from equime.one_line import one_line
from equime.options import result_fields
from equime.shard_worker import versions
from equime.table import replacing, write_atomically
from equime.tuning.example import Example
from equime.tuning.formats import readme
from equime.tuning.formats.media import Shown
from equime.tuning.formats.options import FORMATS, Export
from equime.tuning.view import asked

MANIFEST: Final = "export.json"


def write_texts(
    out: Path,
    examples: Sequence[Example],
    wanted: Mapping[str, Shown],
    options: Export,
    source: Mapping[str, str],
    left: Mapping[str, int],
    failed: Mapping[str, str],
) -> dict[str, Any]:
    """The splits, the README and, last of all, the manifest."""
    known = FORMATS[options.format]
    hashes = _write_rows(out, examples, wanted, options)
    used = {clip_id: wanted[clip_id] for clip_id in dict.fromkeys(example.clip_id for example in examples)}
    longest = max(used.values(), key=lambda shown: len(shown.indices))
    others = {name: json.dumps(told, indent=1).encode() for name, told in known.extras(list(hashes), longest).items()}
    paths = [path for shown in used.values() for path in (*shown.videos, *shown.images)]
    manifest = {
        "options": result_fields(options),
        "source": dict(source),
        "sampling": longest.facts
        | {"whole": longest.whole, "oracle": bool(options.cut.view and options.cut.view.is_oracle)},
        "splits": _splits(examples),
        "media": {"clips": len(used), "files": len(paths), "bytes": sum((out / path).stat().st_size for path in paths)},
        "left_out": dict(left),
        "clips_not_shown": {clip_id: one_line(why) for clip_id, why in failed.items()},
        "versions": versions(["av", "numpy", "pillow", "opencv-contrib-python-headless"]),
    }
    others[readme.NAME] = readme.readme(manifest, known.loading(list(hashes), longest)).encode()
    for name, data in others.items():
        write_atomically(out / name, data)
        hashes[name] = hashlib.sha256(data).hexdigest()
    manifest["files"] = dict(sorted(hashes.items()))
    write_atomically(out / MANIFEST, json.dumps(manifest, indent=1).encode())
    return manifest


def _write_rows(out: Path, examples: Sequence[Example], wanted: Mapping[str, Shown], options: Export) -> dict[str, str]:
    """A file for each split and kind of row; name -> SHA-256."""
    known = FORMATS[options.format]
    digests: dict[str, Any] = {}
    with ExitStack() as stack:
        files: dict[str, Any] = {}
        for example in examples:
            shown = wanted[example.clip_id]
            worded = replace(example, question=asked(example, shown.indices, shown.num_frames, shown.clip_fps))
            for kind, row in known.rows(worded, shown, _about(worded, shown, options)):
                name = f"{example.split}{kind}.jsonl"
                if name not in files:
                    files[name] = stack.enter_context(replacing(out / name))
                    digests[name] = hashlib.sha256()
                line = json.dumps(row).encode() + b"\n"
                files[name].write(line)
                digests[name].update(line)
    return {name: digest.hexdigest() for name, digest in digests.items()}


def _about(example: Example, shown: Shown, options: Export) -> dict[str, Any]:
    """What is known of an example and its clip, in a column that trainers pass over."""
    truth = example.truth
    times = {name: getattr(truth, name) for name in ("onset_ms", "apex_ms", "offset_ms")}
    about = {
        "id": example.id,
        "clip_id": example.clip_id,
        "subject_id": example.subject_id,
        "task": example.task,
        "kind": example.kind,
        "wrong": example.wrong,
        "emotion": truth.emotion,
        "action_units": "+".join(map(str, truth.units)),
        **{name: None if ms is None else round(ms, 3) for name, ms in times.items()},
        **shown.facts,
    }
    return about | ({"groups": dict(example.groups)} if options.labels else {})


def _splits(examples: Sequence[Example]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for split in schema.SPLITS:
        part = [example for example in examples if example.split == split]
        if part:
            found[split] = {
                "examples": len(part),
                "clips": len({example.clip_id for example in part}),
                "subjects": len({example.subject_id for example in part}),
                "tasks": dict(sorted(Counter(example.task for example in part).items())),
            }
    return found
