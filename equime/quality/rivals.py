"""Clips of other generators on one plan: each folder becomes a workspace beside it, scored by the same stage.

Why a workspace: scoring can then be stopped and goes on, in several processes or on a cluster, and `equime status`
and `equime validity show` work on it. The clips stay where they are; a row holds a clip's path and its digest.

    found = collect(Table("ws"), Path("other_model/"), Path("ws/generators/other"), "other")
    run(Score(), found.table)

    DIR/<clip_id>.mp4, such as DIR/happiness/f_12_0.mp4
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from equime import schema, video
from equime.errors import EquimeError
from equime.footer import DamagedShardError, Footer, digest, mark_of
from equime.locks import hold
from equime.one_line import one_line
from equime.table import Table, is_workspace, sweep, write_atomically, writing

STAGE = "collect"
VERSION = 1
NO_FILE = "no file"
MARKER = ".collected"
"""A file that tells such a workspace from others."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Collected:
    """What a folder holds of a plan.

    Attributes:
        table: The workspace that it became.
        clips: How many of the planned clips it has.
        missing: Ids of those it has not.
        broken: Id -> why its file is no clip.
    """

    table: Table
    clips: int
    missing: tuple[str, ...]
    broken: dict[str, str]


def collect(
    planned: Table, folder: Path, workspace: Path, name: str, tick: Callable[[int], None] = lambda rows: None
) -> Collected:
    """Make or renew the workspace of a generator's clips.

    What has not changed is left as it is, so that scores of it stay fresh.

    Args:
        planned: Whose plan the clips follow.
        folder: Has `<clip_id>.mp4`; what leads out of it, by links too, is refused.
        workspace: Where the scores will lie.
        name: The generator's, for its column.
        tick: Told of each shard's rows.

    Raises:
        EquimeError: No such folder, none of the clips in it, or nothing can be written.
    """
    if not folder.is_dir():
        raise EquimeError(f"no such folder of clips: {one_line(folder)}; give --generator NAME=DIR")
    shards = {index: _look(planned, index, folder, name, tick) for index in planned.shards()}
    rows = [row for some in shards.values() for row in some]
    errors = {row["clip_id"]: row["generate_error"] for row in rows if row["generate_error"]}
    missing = tuple(clip for clip, why in errors.items() if why.startswith(NO_FILE))
    broken = {clip: why for clip, why in errors.items() if not why.startswith(NO_FILE)}
    if len(missing) == len(rows):
        wanted = f", such as {missing[0]}.mp4" if missing else ""
        raise EquimeError(f"expected clips of {planned.path} as <clip_id>.mp4{wanted}, got none in {one_line(folder)}")
    table = _workspace(workspace, planned)
    with hold(table.path / "generate"):
        sweep(table.path / "generate")
        for index in set(table.shards()) - set(shards):
            table.shard_path("plan", index).unlink()
        for index, some in shards.items():
            _keep_plan(planned, table, index)
            _keep(table, index, some)
    return Collected(table, len(rows) - len(errors), missing, broken)


def _workspace(path: Path, planned: Table) -> Table:
    """The workspace for the scores, which must be none of another kind: its plan will be written over."""
    if is_workspace(path) and not (path / MARKER).exists():
        raise EquimeError(
            f"expected a place for scores, got a workspace of its own: {path}; give another --out or NAME"
        )
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
        (path / MARKER).touch()
    return Table.create(path, shard_rows=planned.shard_rows)


def _look(planned: Table, index: int, folder: Path, name: str, tick: Callable[[int], None]) -> list[Row]:
    """The rows of group `generate` for one shard of the plan."""
    ids = planned.read(index, [])["clip_id"].to_pylist()
    rows = [dict.fromkeys(schema.GROUPS["generate"].names) | _row(folder, clip, name) for clip in ids]
    tick(len(rows))
    return rows


def _row(folder: Path, clip_id: str, name: str) -> Row:
    path = folder / f"{clip_id}.mp4"
    try:
        real, root = path.resolve(), folder.resolve()
        if not schema.CLIP_ID.fullmatch(clip_id) or not real.is_relative_to(root):
            raise EquimeError(f"{one_line(path)} leaves {one_line(folder)}")
        if not real.is_file():
            return {"clip_id": clip_id, "generate_error": f"{NO_FILE} {one_line(path)}"}
        data = real.read_bytes()
        facts = video.facts(data)
    except (OSError, RuntimeError, EquimeError) as error:  # a loop of links is a RuntimeError before Python 3.13
        return {"clip_id": clip_id, "generate_error": one_line(error)}
    return {"clip_id": clip_id, "video": {"bytes": None, "path": str(real)}, "generator": name} | facts


def _keep_plan(planned: Table, table: Table, index: int) -> None:
    """The plan's shard, byte for byte, where it is another than before."""
    data, path = planned.shard_path("plan", index).read_bytes(), table.shard_path("plan", index)
    if not path.exists() or path.read_bytes() != data:
        with writing(path):
            write_atomically(path, data)


def _keep(table: Table, index: int, rows: list[Row]) -> None:
    """Write a shard where its clips are others than before."""
    made = pa.Table.from_pylist(rows, schema=schema.GROUPS["generate"])
    mark = mark_of(STAGE, VERSION, {}, {"clip_id": digest(made["clip_id"])})
    try:
        before = table.sound_footer("generate", index)
    except DamagedShardError:
        before = None
    if before is None or before.mark != mark or before.digests != {n: digest(made[n]) for n in made.column_names}:
        failed = sum(row["generate_error"] is not None for row in rows)
        table.write("generate", index, made, Footer(STAGE, VERSION, mark, failed=failed))
