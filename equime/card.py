"""The dataset card's YAML, and the short card of a folder in the Hub's layout.

The YAML declares configs over the same files, so that `load_dataset(<folder or repository>, "video")` needs none of our
code; a published card declares the features that our own loader gives too: `emotion` a class label, `video` its bytes,
not decoded. Only splits that hold clips are declared: one pattern without files breaks every config.

    equime export WORKSPACE OUT --layout hub
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import pyarrow as pa

from equime import schema

Counts = Mapping[tuple[str, str], int]
Entry = dict[str, Any]
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_PLAIN = re.compile(r"[A-Za-z][\w.<>/-]*(?: [\w.<>/-]+)*")
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}
_UNPRINTABLE = re.compile("[\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")


def render(clips: Counts, repo: str = schema.REPO) -> str:
    """The short card of an export.

    Args:
        clips: (split, emotion) -> number of clips; also of controls.
        repo: What its example loads.
    """
    return f"{front_matter(clips)}\n{_BODY.format(table=count_table(clips), repo=repo)}"


def front_matter(
    clips: Counts,
    more: Mapping[str, Any] | None = None,
    *,
    sizes: Mapping[str, int] | None = None,
    recipe: bool = False,
) -> str:
    """The YAML block at the head of a card, its fences with it.

    Args:
        clips: (split, emotion or control) -> number of clips.
        more: Further keys, such as the licence and the form that asks for access.
        sizes: Path -> bytes of the Parquet files: with them features, rows and bytes are declared too, so that
            `datasets` gives `emotion` as a class and checks the rows. Bytes are those of the files.
        recipe: Declare the `metadata` config alone: there are no clips.
    """
    size = next((name for limit, name in _SIZES if sum(clips.values()) < limit), "n>1M")
    configs = {name: files for name, files in _configs(clips).items() if not recipe or name == "metadata"}
    columns = features(emotion for _, emotion in clips)
    values: Entry = {
        "pretty_name": "EquiME",
        "tags": ["micro-expression", "synthetic", "facial-action-units"],
        "task_categories": ["video-classification"],
        "size_categories": [size],
        **(more or {}),
        "configs": [
            {
                "config_name": name,
                **({"default": True} if index == 0 else {}),
                "data_files": [{"split": split, "path": pattern} for split, (pattern, _) in files.items()],
            }
            for index, (name, files) in enumerate(configs.items())
        ],
    }
    if sizes:
        values["dataset_info"] = [
            {
                "config_name": name,
                "features": [column for column in columns if name != "metadata" or column["name"] != "video"],
                **_declared(files, sizes),
            }
            for name, files in configs.items()
        ]
    return "".join(f"{line}\n" for line in ["---", *_mapping(values), "---"])


def count_table(clips: Counts) -> str:
    """Clips by emotion and split, as a Markdown table."""
    splits = [split for split in schema.SPLITS if any(s == split for s, _ in clips)]
    emotions = [e for e in (*schema.EMOTIONS, schema.DISGUST, *schema.CONTROLS) if any(k == e for _, k in clips)]
    lines = [f"| emotion | {' | '.join(splits)} |", f"|---|{'---|' * len(splits)}"]
    for emotion in emotions:
        counts = " | ".join(str(clips.get((split, emotion), 0)) for split in splits)
        lines.append(f"| {emotion} | {counts} |")
    return "\n".join(lines)


# --- what the configs hold


def _configs(clips: Counts) -> dict[str, dict[str, tuple[str, int]]]:
    """Config -> split -> its files, and how many rows they hold: `video`, `emotion`, `metadata`."""
    by_split, by_emotion = Counter[str](), Counter[str]()
    for (split, emotion), count in clips.items():
        by_split[split] += count
        by_emotion[emotion] += count
    splits = [split for split in schema.SPLITS if split in by_split]
    labels = [label for label in (*schema.EMOTIONS, schema.DISGUST) if label in by_emotion]
    found = {
        "video": {split: (f"data/{split}/*.parquet", by_split[split]) for split in splits},
        "emotion": {label: (f"data/*/*-{label}.parquet", by_emotion[label]) for label in labels},
        "metadata": {split: (f"metadata/{split}.parquet", by_split[split]) for split in splits},
    }
    return {name: files for name, files in found.items() if files}


def _declared(files: Mapping[str, tuple[str, int]], sizes: Mapping[str, int]) -> Entry:
    """Rows and bytes of the splits of a config."""
    found = {
        split: sum(size for path, size in sizes.items() if fnmatchcase(path, pattern))
        for split, (pattern, _) in files.items()
    }
    total = sum(found.values())
    splits = [{"name": s, "num_bytes": found[s], "num_examples": count} for s, (_, count) in files.items()]
    return {"splits": splits, "download_size": total, "dataset_size": total}


def features(present: Iterable[str]) -> list[Entry]:
    """The published columns as `datasets` writes features in a card.

    Args:
        present: The emotions that occur (and controls, which change nothing): disgust is a class only where it does.
    """
    names = {str(code): name for code, name in enumerate(schema.emotions(present))}
    found = [_feature(field) for field in schema.CLIPS if field.name not in schema.UNPUBLISHED]
    special = {"emotion": {"class_label": {"names": names}}, "video": {"video": {"decode": False}}}
    return [{"name": e["name"], "dtype": special[e["name"]]} if e["name"] in special else e for e in found]


def _feature(field: pa.Field) -> Entry:
    if pa.types.is_list(field.type):
        inner = _feature(field.type.value_field)
        return {"name": field.name, "list": inner.get("struct", inner.get("dtype"))}
    if pa.types.is_struct(field.type):
        return {"name": field.name, "struct": [_feature(child) for child in field.type]}
    return {"name": field.name, "dtype": _DTYPES.get(str(field.type), str(field.type))}


_DTYPES = {"float": "float32", "double": "float64"}


# --- YAML: what is read back is what was given, whatever it is


def _mapping(values: Mapping[str, Any]) -> Iterator[str]:
    for key, value in values.items():
        yield from _entry(f"{scalar(key)}:", value)


def _entry(head: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        yield head
        yield from (f"  {line}" for line in _mapping(value))
    elif isinstance(value, Sequence) and not isinstance(value, str) and value:
        yield head
        for item in value:
            lines = list(_mapping(item)) if isinstance(item, Mapping) else [scalar(item)]
            yield from (f"{'- ' if index == 0 else '  '}{line}" for index, line in enumerate(lines))
    else:
        yield f"{head} {scalar(value)}"


def scalar(value: Any) -> str:
    """A value as YAML on one line; text that could be read as anything else is quoted, controls are escaped."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    text = json.dumps(value, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


_BODY = """# EquiME

**Every clip here is synthetic.** Faces are animated by a generator; no person made these expressions.

{table}

- `emotion` is the *intended* programme of facial action units, not a felt emotion. Controls (a neutral
  face, an expression too long to be micro, a blink) have a null `emotion`.
- `gender`, `age` and `race` are *perceived*: a classifier's impression, never a person's own word. Use them to audit
  a model, not to decide about people.
- Splits share no subject.

## Load

```python
from datasets import load_dataset

clips = load_dataset("{repo}", "video", split="train", streaming=True).shuffle(buffer_size=512)
table = load_dataset("{repo}", "metadata", split="train")
```

`video` holds the clips' bytes (MP4, H.264) with every column; `emotion` the same clips, a split for each emotion over
all splits (the `split` column keeps it honest); `metadata` every column but the bytes. Files turn round the emotions,
so shuffle with a buffer of some hundred rows, as above. `pip install equime` brings a loader that mixes emotions evenly
and decodes the frames you ask for.
"""
