"""What `equime status` and `equime show` say of a workspace, and the files that `show` writes.

`equime show WORKSPACE` prints one line a clip; with a clip's id, all of it, and with `--sheet happiness.png` or
`--video happiness.mp4` it writes those.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from equime import schema
from equime.checks import GroupStatus
from equime.errors import EquimeError
from equime.table import Table, write_atomically, writing
from equime.wording import counted

Row = dict[str, Any]


def status_lines(table: Table, groups: Sequence[GroupStatus]) -> Iterator[str]:
    """One line for each group, and the next command for what is damaged."""
    for group in groups:
        hint = f" (run `equime check {table.path}`)" if group.damaged else ""
        yield f"{group}{hint}"


def look(table: Table, clip_id: str) -> tuple[Row, list[str]]:
    """A clip's row, and the groups left out of it because their shard no longer follows from its inputs.

    Raises:
        EquimeError: No clip of that id, or a shard that does not read.
    """
    index, place = table.locate(clip_id)
    made = table.made(index)
    stale = [group for group in schema.GROUPS if group not in made and table.shard_path(group, index).exists()]
    return table.at(index, place), stale


def stale_line(table: Table, stale: Sequence[str]) -> str:
    """Why columns of a clip are not shown."""
    commands = ", then ".join(f"`equime {group} {table.path}`" for group in stale)
    return f"stale, and not shown: {', '.join(stale)}; run {commands}"


def describe(row: Row) -> Row:
    """A clip's row fit to print: its video as a size."""
    data = (row["video"] or {}).get("bytes")
    return row | {"video": counted(len(data), "byte") if data else None}


def write_media(table: Table, row: Row, sheet: Path | None, video: Path | None) -> None:
    """Write a clip's contact sheet, its video, or both, each whole or not at all.

    Raises:
        EquimeError: No video, one that does not decode, a sheet that is no .png, or a place that cannot be written.
    """
    if sheet is None and video is None:
        return
    if sheet is not None and sheet.suffix.lower() != ".png":
        raise EquimeError(f"a contact sheet is a PNG: expected a name that ends in .png, got {str(sheet)!r}")
    for path in filter(None, (sheet, video)):
        if path.is_dir():
            raise EquimeError(f"{path} is a folder: name a file in it")
    data = (row["video"] or {}).get("bytes")
    if not data:
        why = f" ({row['generate_error']})" if row["generate_error"] else ""
        retry = " --retry-failed" if why else ""
        raise EquimeError(f"{row['clip_id']} has no video{why}: run `equime generate {table.path}{retry}`")
    if sheet is not None:
        _write(sheet, _sheet(row))
    if video is not None:
        _write(video, data)


def _write(path: Path, data: bytes) -> None:
    with writing(path):
        write_atomically(path, data)


def _sheet(row: Row) -> bytes:
    from equime.clip import Clip

    sink = io.BytesIO()
    Clip(row).contact_sheet().save(sink, "PNG")
    return sink.getvalue()
