"""The dataset card: what a folder or repository in the Hub's layout says of itself.

Its YAML declares three configs over the same files, so that `load_dataset(<folder or repository>, "video")` needs
none of our code. Only splits that hold clips are declared: one pattern without files breaks every config.

    equime export WORKSPACE OUT --layout hub
"""

from __future__ import annotations

from collections.abc import Mapping

from equime import schema

Counts = Mapping[tuple[str, str], int]
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def render(clips: Counts, repo: str = schema.REPO) -> str:
    """The card's text.

    Args:
        clips: (split, emotion) -> number of clips; also of controls.
        repo: What its example loads.
    """
    return f"---\n{_front_matter(clips)}---\n\n{_BODY.format(table=_table(clips), repo=repo)}"


def _front_matter(clips: Counts) -> str:
    present = [split for split in schema.SPLITS if any(s == split for s, _ in clips)]
    labels = [e for e in (*schema.EMOTIONS, schema.DISGUST) if any(emotion == e for _, emotion in clips)]
    size = next((name for limit, name in _SIZES if sum(clips.values()) < limit), "n>1M")
    lines = ["pretty_name: EquiME", "tags:", "- micro-expression", "- synthetic", "- facial-action-units"]
    lines += ["task_categories:", "- video-classification", "size_categories:", f"- {size}", "configs:"]
    lines += _config("video", {split: f"data/{split}/*.parquet" for split in present}, default=True)
    if labels:
        lines += _config("emotion", {label: f"data/*/*-{label}.parquet" for label in labels})
    lines += _config("metadata", {split: f"metadata/{split}.parquet" for split in present})
    return "".join(f"{line}\n" for line in lines)


def _config(name: str, files: Mapping[str, str], default: bool = False) -> list[str]:
    lines = [f"- config_name: {name}", *(["  default: true"] if default else []), "  data_files:"]
    for split, pattern in files.items():
        lines += [f"  - split: {split}", f'    path: "{pattern}"']
    return lines


def _table(clips: Counts) -> str:
    splits = [split for split in schema.SPLITS if any(s == split for s, _ in clips)]
    emotions = [e for e in (*schema.EMOTIONS, schema.DISGUST, *schema.CONTROLS) if any(k == e for _, k in clips)]
    lines = [f"| emotion | {' | '.join(splits)} |", f"|---|{'---|' * len(splits)}"]
    for emotion in emotions:
        counts = " | ".join(str(clips.get((split, emotion), 0)) for split in splits)
        lines.append(f"| {emotion} | {counts} |")
    return "\n".join(lines)


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
