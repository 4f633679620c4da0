"""Writing a plan's shards as one whole: an interrupted planning is undone by the next, and done again.

A marker, `plan/.unfinished.json`, names the first shard that is being written; it goes when the last one stands.
So a plan that was killed half-way and run again is the plan of an unbroken run: the same splits, the same epoch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import pyarrow as pa

from equime import schema
from equime.errors import EquimeError
from equime.footer import Footer, digest
from equime.table import Table, write_atomically, writing

Row = dict[str, Any]
STAGE = "plan"
VERSION = 1
MARKER = ".unfinished.json"


def undo_unfinished(table: Table) -> None:
    """Remove the shards of a planning that was interrupted."""
    marker = table.path / STAGE / MARKER
    if not marker.exists():
        return
    first = json.loads(marker.read_text())["first"]
    with writing(marker):
        for index in table.shards(STAGE):
            if index >= first:
                table.shard_path(STAGE, index).unlink()
        marker.unlink()


def require_whole(table: Table) -> None:
    """Refuse to plan on top of a plan that lacks shards, or that an import made.

    Raises:
        EquimeError: With what to do.
    """
    shards = table.shards(STAGE)
    if gaps := sorted(set(range(len(shards))) - set(shards)):
        paths = ", ".join(str(table.shard_path(STAGE, index)) for index in gaps[:3])
        raise EquimeError(f"the plan lacks {paths}: restore it, or plan another workspace")
    for index in shards[:1]:
        footer = table.footer(STAGE, index)
        if footer and footer.stage != STAGE:
            raise EquimeError(f"{table.path} was imported, its clips are as they are: plan another workspace")


def write_rows(table: Table, rows: Iterable[Row], fields: Mapping[str, Any], first: int) -> None:
    """Write rows as shards from number `first` on; shards that stand there are replaced, later ones removed.

    Rows are taken a shard at a time, so that 75,000 need no more memory than 64.
    """
    marker = table.path / STAGE / MARKER
    with writing(marker):
        write_atomically(marker, json.dumps({"first": first}).encode())
    index = first - 1
    for index, chunk in enumerate(chunks(rows, table.shard_rows), first):
        shard = _arrow(chunk)
        digests = {name: digest(shard[name]) for name in shard.column_names}
        mark = hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()
        table.write(STAGE, index, shard, Footer(STAGE, VERSION, mark, digests, fields=dict(fields)))
    with writing(marker):
        for old in table.shards(STAGE):
            if old > index:
                table.shard_path(STAGE, old).unlink()
        marker.unlink()


def going_stale(table: Table, rows: Iterable[Row]) -> Iterator[str]:
    """One line a group: how many of its shards a plan of `rows` would leave behind."""
    changed = set().union(*map(table.shards, table.groups)) if table.groups else set()
    for index, chunk in enumerate(chunks(rows, table.shard_rows)):
        footer, shard = table.footer(STAGE, index), _arrow(chunk)
        if footer and all(footer.digests.get(name) == digest(shard[name]) for name in shard.column_names):
            changed.discard(index)
    for group in table.groups:
        if stale := changed.intersection(table.shards(group)):
            yield f"{group}: {len(stale)} of {len(table.shards(group))} shards"


def chunks(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Rows by the shard."""
    waiting = iter(rows)
    while chunk := list(islice(waiting, size)):
        yield chunk


def _arrow(rows: list[Row]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=schema.GROUPS[STAGE])


def keep(table: Table, **settings: Any) -> Table:
    """Remember settings of the workspace, such as where the faces are now: the folder may have moved."""
    before = Table(table.path).settings  # what `table` read may be older
    if (wanted := {**before, **settings}) != before:
        path = table.path / "workspace.json"
        with writing(path):
            write_atomically(path, json.dumps(wanted, indent=1).encode())
    return Table(table.path)
