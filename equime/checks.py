"""What a workspace holds, and everything in it that breaks the contract.

    equime status WORKSPACE      # shards made, stale, missing, orphaned, by column group; reads footers only
    equime check WORKSPACE       # one line a problem: damage, leaks, duplicates; reads every byte
    equime check WORKSPACE --no-hashes     # the same without the videos' bytes

Both go shard by shard, so memory stays flat however long the data set is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from equime import schema
from equime.errors import EquimeError
from equime.marks import follows
from equime.table import Footer, Table, digest


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
    bytes: int

    def __str__(self) -> str:
        """One line for people."""
        shards = f"{self.done} of {self.planned} shards"
        states = ("stale", "missing", "damaged", "orphan", "failed_rows")
        rest = [f"{n} {state.replace('_', ' ')}" for state in states if (n := getattr(self, state))]
        size = f"{self.bytes / 1e6:.1f} MB"
        return ", ".join([f"{self.group:9} {shards}", f"{self.rows} rows", size, *rest])


def status(table: Table) -> list[GroupStatus]:
    """The state of every column group, in the contract's order. Reads footers, no rows."""
    counts = {group: _Count() for group in schema.GROUPS}
    planned = table.shards()
    for index in planned:
        footers: dict[str, Footer | None] = {}
        damaged = set()
        for group in schema.GROUPS:
            try:
                footers[group] = table.footer(group, index)
            except EquimeError:
                footers[group] = None
                damaged.add(group)
        for group, count in counts.items():
            count.add(footers, group, damaged)
    return [
        GroupStatus(
            group,
            planned=len(planned),
            orphan=len(set(table.shards(group)) - set(planned)),
            bytes=sum(table.shard_path(group, index).stat().st_size for index in table.shards(group)),
            **vars(count),
        )
        for group, count in counts.items()
    ]


@dataclass
class _Count:
    done: int = 0
    stale: int = 0
    missing: int = 0
    damaged: int = 0
    rows: int = 0
    failed_rows: int = 0

    def add(self, footers: dict[str, Footer | None], group: str, damaged: set[str]) -> None:
        footer = footers[group]
        if footer is None:
            state = "damaged" if group in damaged else "missing"
        else:
            state = "done" if follows(footer, footers) else "stale"
            self.rows += footer.rows
            self.failed_rows += footer.failed
        setattr(self, state, getattr(self, state) + 1)


def check(table: Table, hashes: bool = True) -> Iterator[str]:
    """Everything wrong with a workspace, one line each.

    Looks for shards that do not read, miss columns or hold others, columns that are not what was written (bit
    rot), rows out of step with the plan, orphans, breaches of the schema, duplicate clips and videos, a
    subject in two splits, and a source picture under two subjects.

    Args:
        table: The workspace.
        hashes: Also read every video and compare it with the sha256 and size in its row.
    """
    planned = table.shards()
    for group in table.groups:
        for index in sorted(set(table.shards(group)) - set(planned)):
            yield f"{_where(table, group, index)}: the plan has no such shard; move it out of the workspace"
    seen = _Seen()
    for index in planned:
        plan_ids: list[Any] | None = None
        for group in table.groups:
            if not table.shard_path(group, index).exists():
                continue
            try:
                part, footer = _read(table, group, index, hashes)
            except EquimeError as error:
                yield str(error)
                continue
            ids = part["clip_id"].to_pylist() if "clip_id" in part.column_names else []
            plan_ids = ids if group == "plan" else plan_ids
            where = _where(table, group, index)
            if plan_ids is not None and ids != plan_ids:
                yield f"{where}: does not hold the plan's rows in the plan's order; run its stage again"
            for problem in _problems(group, part, footer, hashes, seen):
                yield f"{where}: {problem}"


def _where(table: Table, group: str, index: int) -> Path:
    return table.shard_path(group, index).relative_to(table.path)


def _problems(group: str, part: pa.Table, footer: Footer, hashes: bool, seen: _Seen) -> Iterator[str]:
    yield from _shard_problems(group, part, footer, hashes)
    yield from seen.problems(part)
    yield from _video_problems(part)


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
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise EquimeError(f"{path} is damaged: {reason}; remove it and run its stage again") from error
    return part, footer


def _shard_problems(group: str, part: pa.Table, footer: Footer, hashes: bool) -> Iterator[str]:
    """What one shard shows by itself: columns, digests, types and labels."""
    own = {f.name: f.type for f in schema.GROUPS[group] if hashes or f.name != "video"}
    for name, kind in own.items():
        if name not in part.column_names:
            yield f"column {name!r} is missing"
        elif part[name].type == kind and digest(part[name]) != footer.digests.get(name):
            yield f"column {name!r} is not what was written: the file is damaged"
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
