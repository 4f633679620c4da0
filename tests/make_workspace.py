"""Small real workspaces and released trees for the tests: `from make_workspace import make_workspace, make_tree`.

Clips are real H.264 files of 8 frames of 32x32, each with its own content. The other columns hold plausible values
drawn from the clip's number, so that two workspaces made alike are equal, to the byte.
"""

from __future__ import annotations

import functools
import hashlib
import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
from make_clips import clip_bytes

from equime import schema, video
from equime.footer import Footer, digest, mark_of
from equime.table import Table, owner

Row = dict[str, Any]
FRAMES, SIDE = 8, 32
UNITS = {"happiness": (6, 12), "sadness": (1, 15), "surprise": (1, 2, 5), "fear": (1, 4, 20)}
UNITS |= {"anger": (4, 7), "disgust": (9,)}


def make_workspace(
    path: Path,
    *,
    subjects: int = 3,
    per_emotion: int = 1,
    emotions: Iterable[str] = schema.EMOTIONS,
    groups: Iterable[str] = tuple(schema.GROUPS),
    shard_rows: int = 4,
    failed: Iterable[int] = (),
    rejected: Iterable[int] = (),
    splits: Iterable[str] = schema.SPLITS,
    frames: int = FRAMES,
    size: int = SIDE,
) -> Table:
    """A workspace of `subjects * per_emotion * len(emotions)` clips, in plan order: subject, sequence, emotion.

    Args:
        path: A new folder.
        subjects: How many; subject k is in split k modulo `splits`, has the code f, m in turn.
        per_emotion: Clips of each emotion for each subject.
        emotions: Folders: emotions, "disgust", "neutral".
        groups: The column groups to write, "plan" always.
        shard_rows: Rows a shard.
        failed: Numbers (in plan order) of clips without a video, with a `generate_error`.
        rejected: Numbers of clips that `score` did not accept.
        splits: The splits to use.
        frames: Frames of each clip, at 24 a second.
        size: Height and width in pixels.
    """
    table = Table.create(path, shard_rows=shard_rows)
    rows = [
        make_row(number, subject, sequence, emotion, failed, rejected, tuple(splits), frames, size)
        for number, (subject, sequence, emotion) in enumerate(
            (s, q, e) for s in range(subjects) for q in range(per_emotion) for e in emotions
        )
    ]
    add_rows(table, rows, groups)
    return table


def add_rows(table: Table, rows: list[Row], groups: Iterable[str] = tuple(schema.GROUPS)) -> None:
    """Write rows as new shards of every group in `groups`, marked as one stage's work."""
    first = max(table.shards(), default=-1) + 1
    for index, start in enumerate(range(0, len(rows), table.shard_rows), first):
        for group in dict.fromkeys(["plan", *groups]):
            write_shard(table, group, index, rows[start : start + table.shard_rows])


def write_shard(table: Table, group: str, index: int, rows: list[Row], reads: tuple[str, ...] = ()) -> None:
    """Write one shard of one group from rows that hold (at least) its columns, as made from the columns `reads`."""
    columns = schema.GROUPS[group]
    made = pa.Table.from_pylist([{n: row.get(n) for n in columns.names} for row in rows], schema=columns)
    inputs = {"clip_id": digest(made["clip_id"])}
    for column in reads:
        footer = table.footer(owner(column), index)
        assert footer
        inputs[column] = footer.digests[column]
    bad = sum(row.get(f"{group}_error") is not None for row in rows)
    table.write(group, index, made, Footer(group, 1, mark_of(group, 1, {}, inputs), reads=reads, failed=bad))


def replan(table: Table, index: int) -> list[str]:
    """Plan other seeds and labels for a shard: its clips, made from the seeds, and their scores, are then stale.

    Captions, tags and the clips' ids stay. Returns the ids.
    """
    rows = table.read(index, schema.CLIPS.names).to_pylist()
    write_shard(table, "generate", index, rows, reads=("seed",))
    write_shard(table, "score", index, rows, reads=("video",))
    write_shard(table, "plan", index, [row | {"seed": row["seed"] // 2, "apex_ms": 1.5} for row in rows])
    return [row["clip_id"] for row in rows]


def clip(seed: int, frames: int = FRAMES, size: int = SIDE) -> bytes:
    """The bytes of clip number `seed`."""
    return _clip(seed, frames, size)


@functools.cache
def _clip(seed: int, frames: int, size: int) -> bytes:
    return clip_bytes(frames, size, seed=seed, b_strategy="0")  # the adaptive choice is not the same every time


def make_row(
    number: int,
    subject: int,
    sequence: int,
    emotion: str,
    failed: Iterable[int] = (),
    rejected: Iterable[int] = (),
    splits: tuple[str, ...] = schema.SPLITS,
    frames: int = FRAMES,
    size: int = SIDE,
) -> Row:
    """Every column of one clip, its video too."""
    draw = random.Random(number)
    code = "fm"[subject % 2]
    label = None if emotion == schema.NEUTRAL else emotion
    row: Row = {"clip_id": f"{emotion}/{code}_{subject}_{sequence}", "subject_id": str(subject)}
    row |= {"source": f"faces/{subject}.png", "source_sha256": hashlib.sha256(str(subject).encode()).hexdigest()}
    row |= {"source_licence": "CC0", "source_gender": schema.GENDER_CODES[code], "source_age": "30-39"}
    row |= {"source_race": schema.RACES[subject % 6], "cell": f"{code}-{subject % 6}", "epoch": 0, "emotion": label}
    row |= {"sequence": sequence, "split": splits[subject % len(splits)], "seed": draw.getrandbits(63)}
    row |= {"noise_key": row["clip_id"], "prompt": f"a face, {emotion}", "negative_prompt": "blur"}
    if label is None:
        row["control"] = schema.NEUTRAL
    else:
        units = [{"au": au, "side": draw.choice("LRB"), "intensity": draw.choice("ABC")} for au in UNITS[emotion]]
        times = {"onset": 2, "apex": 4, "offset": 6}
        row |= {"action_units": units} | times | {f"{k}_ms": v * 1000 / 24 + draw.random() for k, v in times.items()}
    return row | _made(number, number in set(failed), frames, size) | _judged(row, number in set(rejected), draw)


def _made(number: int, failed: bool, frames: int, size: int) -> Row:
    if failed:
        return {"generate_error": "the face is hidden"}
    data = clip(number, frames, size)
    info = video.probe(data)
    facts = ("num_frames", "fps", "width", "height", "duration_s", "size_bytes", "bitrate_kbps")
    row: Row = {name: getattr(info, name) for name in facts}
    return row | {"video": {"bytes": data, "path": None}, "sha256": video.sha256(data), "generator": "warp"}


def _judged(row: Row, rejected: bool, draw: random.Random) -> Row:
    """Captions, tags and scores."""
    emotion, race = row["emotion"] or "no expression", row["source_race"]
    caption = f"A face shows {emotion}."
    judged: Row = {"caption": caption, "caption_json": json.dumps({"emotion": emotion, "text": caption})}
    judged |= {"gender": row["source_gender"], "age": 30 + 5 * draw.random(), "age_std": 2.5, "race": race}
    judged |= {"gender_probs": {g: float(g == row["source_gender"]) for g in schema.GENDERS}}
    judged |= {"race_probs": {r: 0.75 if r == race else 0.05 for r in schema.RACES}, "expression": "neutral"}
    judged |= {"skin_ita": 40 * draw.random(), "face_box": [4.0, 4.0, 28.0, 28.0], "face_count": 1.0, "agreement": 1.0}
    judged |= {"psnr_consecutive": 40 + draw.random(), "ssim_consecutive": 0.97, "amplitude": draw.random()}
    judged |= {"measured_apex_ms": row.get("apex_ms"), "measured_units": row.get("action_units"), "blinks": 0}
    return judged | {"accepted": not rejected, "reject_reasons": ["too still"] if rejected else []}


def make_tree(
    root: Path,
    *,
    subjects: int = 3,
    per_emotion: int = 1,
    emotions: Iterable[str] = schema.EMOTIONS,
    metadata: bool = True,
    sequences: bool = True,
    frames: int = FRAMES,
    size: int = SIDE,
) -> Path:
    """A released tree of real clips, as somebody else would have written it.

    Args:
        root: The folder that gets the emotion folders (pass `.../emotion_categories` for a nested one).
        subjects: How many; codes f, m in turn.
        per_emotion: Clips of each emotion for each subject (1 where `sequences` is off).
        emotions: Folders to make.
        metadata: Whether to write the JSON files, with keys of ours, of others, and unknown ones.
        sequences: Off gives names `<m|f>_<id>.mp4`.
        frames: Frames of each clip (161 in the paper's version).
        size: Height and width in pixels (256 in the paper's version).
    """
    cases = ((s, q, e) for s in range(subjects) for q in range(per_emotion) for e in emotions)
    for number, (subject, sequence, emotion) in enumerate(cases):
        name = f"{'fm'[subject % 2]}_{subject + 100}" + (f"_{sequence:02d}" if sequences else "")
        folder = root / emotion
        (folder / "metadata" if metadata else folder).mkdir(parents=True, exist_ok=True)
        data = clip(number, frames, size)
        (folder / f"{name}.mp4").write_bytes(data)
        if metadata:
            text = json.dumps(foreign_metadata(number, subject, emotion, data))
            (folder / "metadata" / f"{name}_metadata.json").write_text(text)
    return root


def foreign_metadata(number: int, subject: int, emotion: str, data: bytes) -> Row:
    """A metadata JSON in words that are partly others' and partly unknown."""
    info = video.probe(data)
    return {
        "emotion": emotion,
        "gender": ("Woman", "Man")[subject % 2],
        "age": 31.25 + number,
        "race": "latino_hispanic",
        "fps": info.fps,
        "total_frames": info.num_frames,
        "duration": info.duration_s,
        "file_size": info.size_bytes,
        "bitrate": round(info.bitrate_kbps, 1),
        "caption": f"Clip {number}: a subtle {emotion} – brief.",
        "action_units": ["AU4", "R12B"],
        "generation": {"model": "LTX-Video", "seed": 2**60 + number, "steps": 80},
        "camera": {"lens": None, "tags": [1, 2.5, "é"]},
        "rater": "nobody",
    }
