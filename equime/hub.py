"""The Hub's layout: a workspace as Parquet files that plain `datasets` reads.

    <out>/README.md                                  the card; its YAML makes the configs
    <out>/data/<split>/<index>-<emotion>.parquet     about 100 clips, the bytes in the last column
    <out>/metadata/<split>.parquet                   every column but the bytes

A clip's file follows from its place in the plan among the clips of its split and emotion, counted with those that
have no video, were rejected or withdrawn: these leave a gap and shift nothing, and appending to a data set touches
only the last files. Files of one index are a *round*: one of each emotion, so that by name they turn round the
emotions, and a round holds no more than 500 clips: whoever reads the files as they stand never sees 500 clips in a
row that lack an emotion, while files are full. Columns of `schema.PERCEIVED` are marked so in every file.

    equime export WORKSPACE OUT --layout hub
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from tqdm import tqdm

from equime import card, schema
from equime.errors import EquimeError
from equime.footer import Footer
from equime.publishing.releasing import space
from equime.publishing.releasing.layout_file import LayoutFile
from equime.publishing.releasing.outgoing import FAILED, MISSING, REASONS, STALE, Choice, Stays
from equime.receipt import Receipt
from equime.table import Table, writing
from equime.tree_export import stale_notes
from equime.wording import counted

CLIPS_PER_FILE = 100
"""At most; fewer where a round over the labels planned would be longer than `ROUND`."""
ROUND = 500
ROW_GROUP = 10
"""Rows that a reader fetches at least: about 7 MB of clips."""
METADATA_ROW_GROUP = 8192
MIN_SUBJECTS = 3
"""With fewer subjects than splits no split but `train` makes sense."""
LABELS = (*schema.EMOTIONS, schema.DISGUST, *schema.CONTROLS)
"""What stands in the names of clip files: emotions, and controls, whose `emotion` is null."""


def _published(columns: pa.Schema) -> pa.Schema:
    """What may leave a workspace, the perceived columns marked."""
    marked = {name: dict(schema.PERCEIVED_MARK) for name in schema.PERCEIVED}
    return pa.schema([f.with_metadata(marked.get(f.name)) for f in columns if f.name not in schema.UNPUBLISHED])


CLIPS = _published(schema.CLIPS)
METADATA = _published(schema.METADATA)
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
    """What a layout holds.

    Attributes:
        errors: The clips without a usable video (or, of `whole` ones, without a result of some stage), and why.
        files: How many files of clips; of metadata where there are no clips.
        clips: How many clips by split and emotion.
        planned: How many clips the workspace plans.
        left_out: Why (`outgoing.REASONS`) -> how many of these were not written; only reasons that occur.
        notes: What else is to be said.
    """

    files: int = 0
    clips: dict[str, dict[str, int]] = field(default_factory=dict)
    planned: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
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
    clips_per_file: int | None = None,
    keep_rejected: bool = False,
    without: Container[str] = (),
    whole: bool = False,
    clips: bool = True,
    progress: bool = True,
) -> LayoutReceipt:
    """Write a workspace in the Hub's layout, whole or not at all: the folder appears when all of it is written.

    The same workspace gives the same bytes. Memory stays flat: ten clips for each split and emotion.

    Args:
        table: The workspace.
        out: A folder that is absent or empty.
        clips_per_file: Planned clips a file; by default `CLIPS_PER_FILE`, or what keeps a round within `ROUND`.
        keep_rejected: Write clips too that were scored and not accepted.
        without: Ids of clips that are left out as withdrawn.
        whole: Leave out clips, too, of which a group that was begun has failed, is stale or is missing. Else such
            columns are null.
        clips: Off writes `metadata/` and nothing else: no bytes, no card.
        progress: Show clips done on a terminal.

    Returns:
        The receipt. `failed` counts clips without a usable video; rejected and withdrawn ones are no failure.

    Raises:
        EquimeError: The folder holds something, no clip can be written, or the disk is full, too small or read-only.
    """
    begun = time.monotonic()
    target = _empty(Path(out))
    if clips_per_file is not None and clips_per_file < 1:
        raise EquimeError(f"expected at least one clip a file, got {clips_per_file = }")
    space.require(target, space.needed(table, clips=clips))
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with writing(target):
            partial.mkdir(parents=True)
            scan = _scan(table)
            layout = _Layout(partial, clips_per_file or _file_size(scan.labels), clips)
            told = _fill(layout, table, scan, Choice(without, keep_rejected, whole), progress)
            layout.close()
            if not layout.clips:
                raise EquimeError(f"no clip in {table.path} can be written: run `equime status {table.path}`")
            if clips:
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
        failed=len(told.errors),
        seconds=time.monotonic() - begun,
        errors=told.errors,
        files=layout.files if clips else len(layout.metadata),
        clips=by_split(layout.clips),
        planned=sum(layout.planned.values()),
        left_out={reason: told.left_out[reason] for reason in REASONS if told.left_out[reason]},
        notes=tuple(stale_notes(told.stale, table)),
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


class _Scan(NamedTuple):
    """What a plan holds as a whole."""

    subjects: int
    labels: int


def _scan(table: Table) -> _Scan:
    subjects, labels = set(), set()
    for row in table.rows(["subject_id", "emotion", "control"]):
        subjects.add(row["subject_id"])
        labels.add(_label(row["emotion"], row["control"]))
    return _Scan(len(subjects), len(labels))


def _file_size(labels: int) -> int:
    return min(CLIPS_PER_FILE, ROUND // max(labels, 1))


def _label(emotion: str | None, control: str | None) -> str:
    return emotion or control or schema.NEUTRAL


@dataclass
class _Told:
    """What is to be said of the clips that stay: errors by clip_id, counts by reason, clips by stale group."""

    errors: dict[str, str] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    stale: Counter[str] = field(default_factory=Counter)

    def add(self, ids: Sequence[str], verdicts: Sequence[Stays | None]) -> None:
        for clip_id, verdict in zip(ids, verdicts, strict=True):
            if verdict:
                self.left_out[verdict.reason] += 1
                if verdict.reason in (FAILED, STALE, MISSING):
                    self.errors[clip_id] = f"left out: {verdict.why}"


def _fill(layout: _Layout, table: Table, scan: _Scan, choice: Choice, progress: bool) -> _Told:
    """Put every clip of the workspace in its place, and say what was left out."""
    told = _Told()
    with tqdm(desc="layout", unit="clip", disable=None if progress else True) as bar:
        for number in table.shards():
            standing = table.standing(number)
            shard = _read(table, number, standing.made, schema.CLIPS if layout.with_clips else schema.METADATA)
            told.stale.update(dict.fromkeys(standing.stale, len(shard)))
            if scan.subjects < MIN_SUBJECTS:
                shard = _set(shard, "split", pa.array([schema.SPLITS[0]] * len(shard)))
            verdicts = choice.verdicts(table, shard, standing)
            told.add(_list(shard, "clip_id"), verdicts)
            wanted = [verdict is None for verdict in verdicts]
            layout.add(shard.drop_columns(list(schema.UNPUBLISHED)), wanted, _marks(standing.made, number))
            bar.update(len(shard))
    return told


def _read(table: Table, number: int, made: Container[str], columns: pa.Schema) -> pa.Table:
    """A shard with every column, null where its group is not among those made."""
    ready = [name for name in columns.names if schema.OWNER[name] in made]
    return schema.conform(table.read(number, ready), columns)


def _set(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)


def _list(table: pa.Table, name: str) -> list[Any]:
    values: list[Any] = table[name].to_pylist()
    return values


def _marks(made: Mapping[str, Footer], number: int) -> dict[str, str]:
    """Marks of the shards that rows come from, by "<group>/<shard>"."""
    return {f"{group}/{number:05d}": footer.mark for group, footer in made.items()}


class _Layout:
    """The open files: one for each split and emotion, and one of metadata for each split."""

    def __init__(self, root: Path, clips_per_file: int, with_clips: bool) -> None:
        self.root = root
        self.with_clips = with_clips
        self.size = clips_per_file
        self.planned: Counter[tuple[str, str]] = Counter()
        self.clips: Counter[tuple[str, str]] = Counter()
        self.open: dict[tuple[str, str], LayoutFile] = {}
        self.metadata: dict[str, LayoutFile] = {}
        self.files = 0

    def add(self, rows: pa.Table, wanted: list[bool], marks: Mapping[str, str]) -> None:
        """Put rows in their places, in plan order; those not wanted leave theirs empty."""
        places: dict[tuple[str, int, str], list[int]] = defaultdict(list)
        splits: dict[str, list[int]] = defaultdict(list)
        labels = zip(_list(rows, "split"), _list(rows, "emotion"), _list(rows, "control"), wanted, strict=True)
        for position, (split, emotion, control, keep) in enumerate(labels):
            key = (split or schema.SPLITS[0], _label(emotion, control))
            index = self.planned[key] // self.size
            self.planned[key] += 1
            if keep:
                self.clips[key] += 1
                places[key[0], index, key[1]].append(position)
                splits[key[0]].append(position)
        for (split, index, emotion), positions in places.items() if self.with_clips else ():
            self._clip_file(split, index, emotion).add(rows.take(positions), marks)
        bare = rows.drop_columns(["video"]) if self.with_clips else rows
        for split, positions in splits.items():
            self._metadata_file(split).add(bare.take(positions), marks)

    def _clip_file(self, split: str, index: int, emotion: str) -> LayoutFile:
        path = self.root / "data" / split / f"{index:05d}-{emotion}.parquet"
        file = self.open.get((split, emotion))
        if file is None or file.path != path:
            if file is not None:
                file.close()
            self.files += 1
            self.open[split, emotion] = file = LayoutFile(path, CLIPS, ROW_GROUP)
        return file

    def _metadata_file(self, split: str) -> LayoutFile:
        if split not in self.metadata:
            path = self.root / "metadata" / f"{split}.parquet"
            self.metadata[split] = LayoutFile(path, METADATA, METADATA_ROW_GROUP)
        return self.metadata[split]

    def close(self) -> None:
        for file in (*self.open.values(), *self.metadata.values()):
            file.close()
