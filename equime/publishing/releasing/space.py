"""Whether a release fits on the disk, asked before the first byte is written.

require(Path("out"), needed(Table("ws")))
"""

from __future__ import annotations

import shutil
from pathlib import Path

from equime.errors import EquimeError
from equime.table import Table


def needed(table: Table, *, clips: bool = True) -> int:
    """How many bytes a layout of a workspace takes at most: clips once, other columns twice (`data/`, `metadata/`).

    Args:
        table: The workspace; the sizes of its shards are what counts.
        clips: Off for `metadata/` alone.
    """
    sizes = {g: sum(table.shard_path(g, n).stat().st_size for n in table.shards(g)) for g in table.groups}
    videos = sizes.pop("generate", 0)
    return videos + 2 * sum(sizes.values()) if clips else sum(sizes.values())


def require(target: Path, size: int) -> None:
    """Refuse a place whose disk has not `size` bytes left.

    Raises:
        EquimeError: It has not.
    """
    place = next(folder for folder in (target, *target.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if size > free:
        unit, parts = ("GB", 1e9) if size - free > 1e9 else ("MB", 1e6)
        raise EquimeError(
            f"expected {size / parts:.1f} {unit} free for {target}, the disk at {place} has {free / parts:.1f} {unit}: "
            "name a folder on another disk, or make room"
        )
