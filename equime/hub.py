"""The Hub's layout: a workspace as Parquet files that plain `datasets` reads.

    <out>/README.md                                  the card; its YAML makes the configs
    <out>/data/<split>/<index>-<emotion>.parquet     about 100 clips, the bytes in the last column
    <out>/metadata/<split>.parquet                   every column but the bytes

A clip's file follows from its place in the plan among the clips of its split and emotion, counted with those that
have no video or were rejected: these leave a gap and shift nothing, and appending to a data set touches only the last
files. Files of one index are a *round*: one of each emotion, so that by name they turn round the emotions.

    equime export WORKSPACE OUT --layout hub
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from equime import card, catalog, schema
from equime.errors import EquimeError
from equime.footer import FOOTER_KEY, Footer
from equime.receipt import Receipt
from equime.table import Table, leaves, writing
from equime.tree_export import stale_notes
from equime.wording import counted

CLIPS_PER_FILE = 100
ROW_GROUP = 10
"""Rows that a reader fetches at least: about 7 MB of clips."""
METADATA_ROW_GROUP = 8192
MIN_SUBJECTS = 3
"""With fewer subjects than splits no split but `train` makes sense."""
LABELS = (*schema.EMOTIONS, schema.DISGUST, *schema.CONTROLS)
"""What stands in the names of clip files: emotions, and controls, whose `emotion` is null."""

CLIPS = pa.schema([column for column in schema.CLIPS if column.name not in schema.UNPUBLISHED])
METADATA = pa.schema([column for column in schema.METADATA if column.name not in schema.UNPUBLISHED])
DATA_FILE = re.compile(r"data/(?P<split>[a-z]+)/(?P<index>\d{5,})-(?P<emotion>[a-z]+)\.parquet")
METADATA_FILE = re.compile(r"metadata/(?P<split>[a-z]+)\.parquet")


class DataFile(NamedTuple):
    """A file of clips, by its name. Sorted, files stand split by split, in rounds over the emotions."""

    split: str
    round: int
    emotion: str
    path: str


def data_files(paths: Iterable[str]) -> list[DataFile]:
    """The clip files among relative paths, in the order to read them: split, round, emotion."""
    matched = [(m, path) for path in paths if (m := DATA_FILE.fullmatch(path))]
    files = [DataFile(m["split"], int(m["index"]), m["emotion"], path) for m, path in matched]
    known = [f for f in files if f.split in schema.SPLITS and f.emotion in LABELS]
    return sorted(known, key=lambda f: (schema.SPLITS.index(f.split), f.round, LABELS.index(f.emotion)))


def metadata_files(paths: Iterable[str]) -> dict[str, str]:
    """By split, its metadata file among relative paths, train first."""
    found = {m["split"]: path for path in paths if (m := METADATA_FILE.fullmatch(path))}
    return {split: found[split] for split in schema.SPLITS if split in found}


def is_layout(folder: Path) -> bool:
    """Whether a folder looks like the Hub's layout."""
    return any((folder / "data" / split).is_dir() or (folder / f"metadata/{split}.parquet").is_file()
               for split in schema.SPLITS)  # fmt: skip


@dataclass(frozen=True)
class LayoutReceipt(Receipt):
    """What a layout holds: `errors` says which clips were left out, and why; `clips` by split and emotion; `notes`."""

    files: int = 0
    clips: dict[str, dict[str, int]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line for people, and one for each note."""
        held = ", ".join(f"{split} {sum(counts.values())}" for split, counts in self.clips.items())
        what = f"{counted(self.rows, 'clip')} in {counted(self.files, 'file')}"
        line = f"layout: {what} ({held}); {self.failed} left out; {self.seconds:.1f} s"
        return "\n".join([line, *(f"note: {note}" for note in self.notes)])


def write_layout(
    table: Table,
    out: str | os.PathLike[str],
    *,
    clips_per_file: int = CLIPS_PER_FILE,
    keep_rejected: bool = False,
    progress: bool = True,
) -> LayoutReceipt:
    """Write a workspace in the Hub's layout, whole or not at all: the folder appears when all of it is written.

    The same workspace gives the same bytes. Memory stays flat: ten clips for each split and emotion.

    Args:
        table: The workspace.
        out: A folder that is absent or empty.
        clips_per_file: Planned clips a file.
        keep_rejected: Write clips too that were scored and not accepted.
        progress: Show clips done on a terminal.

    Returns:
        The receipt. `failed` counts clips without a usable video; rejected ones are no failure.

    Raises:
        EquimeError: The folder holds something, no clip can be written, or the disk is full or read-only.
    """
    begun = time.monotonic()
    target = _empty(Path(out))
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with writing(target):
            partial.mkdir(parents=True)
            layout = _Layout(partial, clips_per_file)
            errors, stale = _fill(layout, table, keep_rejected, progress)
            layout.close()
            if not layout.clips:
                raise EquimeError(f"no clip in {table.path} can be written: run `equime status {table.path}`")
            (partial / "README.md").write_text(card.render(layout.clips), encoding="utf-8")
            if target.exists():
                target.rmdir()
            partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return LayoutReceipt(
        "layout",
        done=len(table.shards()),
        rows=sum(layout.clips.values()),
        failed=len(errors),
        seconds=time.monotonic() - begun,
        errors=errors,
        files=layout.files,
        clips=by_split(layout.clips),
        notes=tuple(stale_notes(stale, table)),
    )


def by_split(clips: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    """Counts by (split, emotion), as counts by emotion in each split, in the labels' order."""
    found: dict[str, dict[str, int]] = {}
    for split, emotion in sorted(clips, key=lambda k: (schema.SPLITS.index(k[0]), LABELS.index(k[1]))):
        found.setdefault(split, {})[emotion] = clips[split, emotion]
    return found


def _empty(out: Path) -> Path:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise EquimeError(f"expected a new or empty folder, {out} is not: name another, or remove it")
    return Path(os.path.abspath(out))


def _fill(layout: _Layout, table: Table, keep_rejected: bool, progress: bool) -> tuple[dict[str, str], Counter[str]]:
    """Put every clip of the workspace in its place: those without a usable video and why, and how many are stale."""
    subjects = {row["subject_id"] for row in table.rows(["subject_id"])}
    errors: dict[str, str] = {}
    stale: Counter[str] = Counter()
    with tqdm(desc="layout", unit="clip", disable=None if progress else True) as bar:
        for number in table.shards():
            standing = table.standing(number)
            shard = _read(table, number, standing.made)
            stale.update(dict.fromkeys(standing.stale, len(shard)))
            if len(subjects) < MIN_SUBJECTS:
                shard = _set(shard, "split", pa.array([schema.SPLITS[0]] * len(shard)))
            usable = _usable(shard, errors, catalog.not_made(standing.stale, table.path))
            accepted = [keep_rejected or value is not False for value in _list(shard, "accepted")]
            wanted = [good and kept for good, kept in zip(usable, accepted, strict=True)]
            layout.add(shard.drop_columns(list(schema.UNPUBLISHED)), wanted, _marks(standing.made, number))
            bar.update(len(shard))
    return errors, stale


def _read(table: Table, number: int, made: Container[str]) -> pa.Table:
    """A shard with every column, null where its group is not among those made."""
    ready = [name for name in schema.CLIPS.names if schema.OWNER[name] in made]
    return schema.conform(table.read(number, ready), schema.CLIPS)


def _set(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)


def _list(table: pa.Table, name: str) -> list[Any]:
    values: list[Any] = table[name].to_pylist()
    return values


def _usable(shard: pa.Table, errors: dict[str, str], why: str) -> list[bool]:
    has_bytes = pc.is_valid(pc.struct_field(shard["video"], "bytes")).to_pylist()
    reasons = _list(shard, "generate_error")
    for clip_id, there, reason in zip(_list(shard, "clip_id"), has_bytes, reasons, strict=True):
        if reason or not there:
            errors[clip_id] = f"left out: {reason or why}"
    return [bool(there) and not reason for there, reason in zip(has_bytes, reasons, strict=True)]


def _marks(made: Mapping[str, Footer], number: int) -> dict[str, str]:
    """Marks of the shards that rows come from, by "<group>/<shard>"."""
    return {f"{group}/{number:05d}": footer.mark for group, footer in made.items()}


class _Layout:
    """The open files: one for each split and emotion, and one of metadata for each split."""

    def __init__(self, root: Path, clips_per_file: int) -> None:
        self.root = root
        self.size = clips_per_file
        self.planned: Counter[tuple[str, str]] = Counter()
        self.clips: Counter[tuple[str, str]] = Counter()
        self.open: dict[tuple[str, str], _File] = {}
        self.metadata: dict[str, _File] = {}
        self.files = 0

    def add(self, rows: pa.Table, wanted: list[bool], marks: Mapping[str, str]) -> None:
        """Put rows in their places, in plan order; those not wanted leave theirs empty."""
        places: dict[tuple[str, int, str], list[int]] = defaultdict(list)
        splits: dict[str, list[int]] = defaultdict(list)
        labels = zip(_list(rows, "split"), _list(rows, "emotion"), _list(rows, "control"), wanted, strict=True)
        for position, (split, emotion, control, keep) in enumerate(labels):
            key = (split or schema.SPLITS[0], emotion or control or schema.NEUTRAL)
            index = self.planned[key] // self.size
            self.planned[key] += 1
            if keep:
                self.clips[key] += 1
                places[key[0], index, key[1]].append(position)
                splits[key[0]].append(position)
        for (split, index, emotion), positions in places.items():
            self._clip_file(split, index, emotion).add(rows.take(positions), marks)
        bare = rows.drop_columns(["video"])
        for split, positions in splits.items():
            self._metadata_file(split).add(bare.take(positions), marks)

    def _clip_file(self, split: str, index: int, emotion: str) -> _File:
        path = self.root / "data" / split / f"{index:05d}-{emotion}.parquet"
        file = self.open.get((split, emotion))
        if file is None or file.path != path:
            if file is not None:
                file.close()
            self.files += 1
            self.open[split, emotion] = file = _File(path, CLIPS, ROW_GROUP)
        return file

    def _metadata_file(self, split: str) -> _File:
        if split not in self.metadata:
            path = self.root / "metadata" / f"{split}.parquet"
            self.metadata[split] = _File(path, METADATA, METADATA_ROW_GROUP)
        return self.metadata[split]

    def close(self) -> None:
        for file in (*self.open.values(), *self.metadata.values()):
            file.close()


class _File:
    """One Parquet file being filled: whole row groups as they come, the marks of its rows in the footer."""

    def __init__(self, path: Path, columns: pa.Schema, row_group: int) -> None:
        self.path = path
        self.columns = columns
        self.row_group = row_group
        self.pending: list[pa.Table] = []
        self.marks: dict[str, str] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self.writer = pq.ParquetWriter(
            path,
            columns,
            compression={n: "NONE" if n.startswith("video") else "ZSTD" for n in leaves(columns)},
            use_dictionary="video" not in columns.names,
            write_page_index=True,
            use_content_defined_chunking=True,
        )

    def add(self, rows: pa.Table, marks: Mapping[str, str]) -> None:
        self.marks |= marks
        self.pending.append(rows.select(self.columns.names))
        while sum(map(len, self.pending)) >= self.row_group:
            self._flush()

    def _flush(self) -> None:
        rows = pa.concat_tables(self.pending)
        self.writer.write_table(rows.slice(0, self.row_group), row_group_size=self.row_group)
        # `take` copies: a slice would hold on to the clips already written.
        rest = range(self.row_group, len(rows))
        self.pending = [rows.take(pa.array(rest, pa.int64()))] if rest else []

    def close(self) -> None:
        if self.pending:
            self._flush()
        footer = {"schema_version": schema.VERSION, "marks": dict(sorted(self.marks.items()))}
        self.writer.add_key_value_metadata({FOOTER_KEY.decode(): json.dumps(footer)})
        self.writer.close()
