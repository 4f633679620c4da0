"""What a workspace holds, and everything in it that breaks the contract.

    equime status WORKSPACE      # shards made, stale, missing, orphaned, by column group; reads footers only
    equime check WORKSPACE       # one line a problem: damage, leaks, duplicates; reads every byte
    equime check WORKSPACE --no-hashes     # the same without the videos' bytes

Both go shard by shard, so memory stays flat however long the data set is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from equime import schema
from equime.errors import EquimeError
from equime.footer import Footer, damaged, digest, first_line, follows, mend
from equime.table import OUT_OF_STEP, Table
from equime.wording import counted


@dataclass(frozen=True)
class GroupStatus:
    """How far one column group is.

    Attributes:
        group: Its name.
        planned: Shards that the plan has.
        done: Shards that are written and follow from what they read, as they were made.
        stale: Shards whose inputs have changed since.
        missing: Shards not written yet.
        damaged: Shards that do not read, or come from a newer version.
        orphan: Shards that the plan does not have (any more).
        rows: Rows in the shards done and stale.
        failed_rows: Of these, rows that keep an error.
        ways: With how many sets of options, or stages, they were made; more than 1 where a run with others stopped.
        bytes: Size of all its shards on disk.
    """

    group: str
    planned: int
    done: int
    stale: int
    missing: int
    damaged: int
    orphan: int
    rows: int
    failed_rows: int
    ways: int
    bytes: int

    def __str__(self) -> str:
        """One line for people."""
        shards = f"{self.done} of {counted(self.planned, 'shard')}"
        rest = [f"{n} {state}" for state in ("stale", "missing", "damaged", "orphan") if (n := getattr(self, state))]
        rest += [counted(self.failed_rows, "failed row")] if self.failed_rows else []
        rest += [f"made in {self.ways} ways, by its options"] if self.ways > 1 and self.group != "plan" else []
        size = f"{self.bytes / 1e6:.1f} MB"
        return ", ".join([f"{self.group:9} {shards}", counted(self.rows, "row"), size, *rest])


def status(table: Table) -> list[GroupStatus]:
    """The state of every column group, in the contract's order. Reads footers, no rows."""
    counts = {group: _Count() for group in schema.GROUPS}
    planned = table.shards()
    for index in planned:
        footers, unread = _footers(table, index)
        for group, count in counts.items():
            count.add(footers, group, unread)
    return [
        GroupStatus(
            group,
            planned=len(planned),
            orphan=len(set(table.shards(group)) - set(planned)),
            bytes=sum(table.shard_path(group, index).stat().st_size for index in table.shards(group)),
            **vars(count) | {"ways": len(count.ways)},
        )
        for group, count in counts.items()
    ]


def _footers(table: Table, index: int) -> tuple[dict[str, Footer | None], set[str]]:
    """A shard's footers by group, None where there is none, and the groups whose footer does not read."""
    footers: dict[str, Footer | None] = {}
    unread = set()
    for group in schema.GROUPS:
        try:
            footers[group] = table.footer(group, index)
        except EquimeError:
            footers[group] = None
            unread.add(group)
    return footers, unread


@dataclass(frozen=True)
class Coverage:
    """How many of the planned clips have a video; `begun` is False where nothing was generated yet."""

    rows: int
    videos: int
    begun: bool

    @property
    def whole(self) -> bool:
        """Whether no clip lacks a video, as far as videos were begun."""
        return not self.begun or self.videos == self.rows

    def __str__(self) -> str:
        """One line for people."""
        if not self.begun:
            return f"{counted(self.rows, 'clip')}, no video made yet"
        return f"{self.videos} of {counted(self.rows, 'clip')} {'has' if self.rows == 1 else 'have'} a video"


def coverage(table: Table) -> Coverage:
    """Count clips and videos. Reads footers; what is damaged or stale does not count."""
    rows = videos = 0
    for index in table.shards():
        footers, _ = _footers(table, index)
        plan, made = footers["plan"], footers["generate"]
        rows += plan.rows if plan else 0
        videos += made.rows - made.failed if made and follows(made, footers) else 0
    return Coverage(rows, videos, begun=bool(table.shards("generate")))


def not_made(table: Table) -> Iterator[tuple[str, str]]:
    """The clips that could not be made or imported whole, and why.

    Raises:
        EquimeError: A shard that does not read.
    """
    for index in table.shards():
        if not table.made(index, ["generate"]):
            continue
        for row in table.read(index, ["clip_id", "generate_error"]).to_pylist():
            if row["generate_error"]:
                yield row["clip_id"], row["generate_error"]


@dataclass
class _Count:
    done: int = 0
    stale: int = 0
    missing: int = 0
    damaged: int = 0
    rows: int = 0
    failed_rows: int = 0
    ways: set[str] = field(default_factory=set)

    def add(self, footers: dict[str, Footer | None], group: str, unread: set[str]) -> None:
        footer = footers[group]
        if footer is None:
            state = "damaged" if group in unread else "missing"
        else:
            # One step, as `run` sees it: what only follows from a stale shard has no work to do yet, and none at all
            # where that comes out equal. Loading is stricter: `footer.standing` takes the whole chain.
            state = "done" if follows(footer, footers) else "stale"
            self.rows += footer.rows
            self.failed_rows += footer.failed
            self.ways.add(json.dumps([footer.stage, footer.version, footer.fields], sort_keys=True))
        setattr(self, state, getattr(self, state) + 1)


def check(table: Table, hashes: bool = True, *, lapsed: bool = True, progress: bool = False) -> Iterator[str]:
    """Everything wrong with a workspace, one line each.

    Looks for shards that do not read, miss columns or hold others, columns that are not what was written (bit
    rot), rows out of step with the plan, orphans, breaches of the schema, duplicate clips and videos, a
    subject in two splits, a source picture under two subjects, and groups with stale shards.

    Args:
        table: The workspace.
        hashes: Also read every video and compare it with the sha256 and size in its row.
        lapsed: Also report the groups with stale shards.
        progress: Show shards done on a terminal.
    """
    planned = table.shards()
    for group in table.groups:
        for index in sorted(set(table.shards(group)) - set(planned)):
            yield f"{_where(table, group, index)}: the plan has no such shard; move it out of the workspace"
    seen = _Seen()
    stale: dict[str, list[str]] = {}
    for index in tqdm(planned, desc="check", unit="shard", disable=None if progress else True):
        footers, unread = _footers(table, index)
        plan_ids: list[Any] | None = None
        for group in table.groups:
            if not table.shard_path(group, index).exists():
                continue
            try:
                part, footer = _read(table, group, index, hashes)
            except EquimeError as error:
                yield str(error)
                continue
            path, where = table.shard_path(group, index), _where(table, group, index)
            yield from (f"{where}: {problem}" for problem in _shard_problems(path, group, part, footer, hashes))
            if not unread and not follows(footer, footers):
                stale.setdefault(group, []).append(footer.stage)
                continue  # it speaks of another plan: what follows would be false alarms
            ids = part["clip_id"].to_pylist() if "clip_id" in part.column_names else []
            plan_ids = ids if group == "plan" else plan_ids
            if plan_ids is not None and ids != plan_ids:
                yield f"{where}: {OUT_OF_STEP}; {mend(path)}"
            for problem in (*seen.problems(part), *_video_problems(part)):
                yield f"{where}: {problem}"
    if lapsed:
        yield from (_stale_line(table, group, stages) for group, stages in stale.items())


def _stale_line(table: Table, group: str, stages: list[str]) -> str:
    total = len(table.shards(group))
    command = f"equime import TREE {table.path}" if "import" in stages else f"equime {group} {table.path}"
    return f"{group}: {len(stages)} of {counted(total, 'shard')} {'is' if total == 1 else 'are'} stale: run `{command}`"


def _where(table: Table, group: str, index: int) -> Path:
    return table.shard_path(group, index).relative_to(table.path)


def _read(table: Table, group: str, index: int, hashes: bool) -> tuple[pa.Table, Footer]:
    """A shard as it stands, whatever its columns, and its footer."""
    path = table.shard_path(group, index)
    footer = table.footer(group, index)
    if footer is None:
        raise EquimeError(f"{path} vanished while it was checked")
    try:
        with pq.ParquetFile(path) as file:
            names = [n for n in file.schema_arrow.names if hashes or n != "video"]
            part = file.read(columns=names, use_threads=False)
        part.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, first_line(error)) from error
    return part, footer


def _shard_problems(path: Path, group: str, part: pa.Table, footer: Footer, hashes: bool) -> Iterator[str]:
    """What one shard shows by itself: columns, digests, types and labels."""
    own = {f.name: f.type for f in schema.GROUPS[group] if hashes or f.name != "video"}
    for name, kind in own.items():
        if name not in part.column_names:
            yield f"column {name!r} is missing; {mend(path)}"
        elif part[name].type == kind and digest(part[name]) != footer.digests.get(name):
            yield f"column {name!r} is not what was written; {mend(path)}"
    yield from (f"column {name!r} belongs to another group" for name in part.column_names if name not in own)
    # Ids are judged once, in the plan.
    judged = part if group == "plan" or "clip_id" not in part.column_names else part.drop_columns(["clip_id"])
    yield from schema.check(judged)


def _video_problems(part: pa.Table) -> Iterator[str]:
    """Whether each clip's bytes have the sha256 and the size of their row."""
    if not {"clip_id", "video", "sha256", "size_bytes"} <= set(part.column_names):
        return
    for batch in part.to_batches(max_chunksize=1):
        row = batch.to_pylist()[0]
        data = (row["video"] or {}).get("bytes")
        if data is None:
            if not row.get("generate_error"):
                yield f"{row['clip_id']!r} has neither a video nor a reason"
            continue
        if (found := hashlib.sha256(data).hexdigest()) != row["sha256"]:
            yield f"{row['clip_id']!r}: the video's sha256 is {found}, its row says {row['sha256']}"
        if len(data) != row["size_bytes"]:
            yield f"{row['clip_id']!r}: the video has {len(data)} bytes, its row says {row['size_bytes']}"


@dataclass
class _Seen:
    """What must be the same, or must not come twice, across shards."""

    clips: set[Any] = field(default_factory=set)
    clip_of: dict[str, Any] = field(default_factory=dict)
    splits_of: dict[str, list[Any]] = field(default_factory=dict)
    subjects_of: dict[str, list[Any]] = field(default_factory=dict)

    def problems(self, part: pa.Table) -> Iterator[str]:
        """Compare one shard with those before it."""
        keys = ("clip_id", "sha256", "subject_id", "split", "source_sha256")
        rows = part.select([name for name in keys if name in part.column_names]).to_pylist()
        for row in rows:
            yield from self._same_clip(row)
            subject, source = row.get("subject_id"), row.get("source_sha256")
            yield from _leak(self.splits_of, subject, row.get("split"), f"subject {subject!r} is in splits")
            yield from _leak(self.subjects_of, source, subject, f"source {str(source)[:12]} is of subjects")

    def _same_clip(self, row: dict[str, Any]) -> Iterator[str]:
        clip, sha256 = row.get("clip_id"), row.get("sha256")
        if "subject_id" in row:  # the plan's row, which comes first
            if clip in self.clips:
                yield f"{clip!r} is there twice"
            self.clips.add(clip)
        if sha256 and (first := self.clip_of.setdefault(sha256, clip)) != clip:
            yield f"{clip!r} has the same video as {first!r}"


def _leak(known: dict[str, list[Any]], key: str | None, value: Any, what: str) -> Iterator[str]:
    """A line when `key` comes with another value than before, once for each value."""
    values = known.setdefault(key, []) if key is not None else [value]
    if value not in values:
        values.append(value)
        if len(values) > 1:
            yield f"{what} {values[0]!r} and {value!r}"
