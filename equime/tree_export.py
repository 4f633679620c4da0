"""A workspace into a released tree: loose clips, and a metadata JSON for each.

A clip that was imported gets back its bytes, its file name and every key of its JSON, with what the workspace
knows by now. Running it again writes only what is missing; a file with other content is never replaced unasked.

    equime export WORKSPACE TREE [--replace]
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from equime import schema, sidecar
from equime.errors import EquimeError
from equime.table import Table, sweep, write_atomically, writing
from equime.tree_import import STAGE, TreeReceipt, read_released
from equime.tree_index import METADATA, SUFFIX

Row = dict[str, Any]


def export_tree(
    table: Table | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    replace: bool = False,
    progress: bool = True,
) -> TreeReceipt:
    """Write every clip of a workspace that has a video, with its metadata.

    Args:
        table: The workspace.
        out: A folder, made if absent; what it holds beside is left alone.
        replace: Overwrite files whose content differs; else each is an error line.
        progress: Show clips done on a terminal.

    Raises:
        EquimeError: `out` is a file or inside the workspace, or cannot be written.
    """
    begun = time.monotonic()
    table = table if isinstance(table, Table) else Table(table)
    folder = _checked(Path(out), table)
    errors: dict[str, str] = {}
    shards, rows = table.shards(), 0
    with tqdm(desc="export", unit="clip", disable=None if progress else True) as bar:
        for number in shards:
            for row, record, is_imported in _clips(table, number):
                if why := _problem(row):
                    errors[row["clip_id"]] = why
                else:
                    errors |= _write_clip(folder, row, record, replace=replace, keep_facts=is_imported)
                    rows += 1
                bar.update()
    _sweep(folder)
    return TreeReceipt(
        "export",
        done=len(shards),
        rows=rows,
        failed=len(errors),
        seconds=time.monotonic() - begun,
        errors=errors,
    )


def _checked(out: Path, table: Table) -> Path:
    if out.exists() and not out.is_dir():
        raise EquimeError(f"expected a folder to write, {out} is a file")
    inside = out.resolve()
    if table.path.resolve() in (inside, *inside.parents):
        raise EquimeError(f"expected a folder outside the workspace {table.path}, got {out}")
    return out


def _clips(table: Table, number: int) -> Iterator[tuple[Row, Row | None, bool]]:
    """Rows of a shard with their video, their record of import, and whether the video is the imported one."""
    made = {group: table.footer(group, number) for group in schema.GROUPS}
    ready = [name for name in schema.CLIPS.names if made[schema.OWNER[name]] is not None]
    generate = made["generate"]
    is_imported = generate is not None and generate.stage == STAGE
    records = read_released(table, number)
    for row in table.read(number, ready).to_pylist():
        yield row, records.get(row["clip_id"]), is_imported


def _problem(row: Mapping[str, Any]) -> str | None:
    """Why a row has no file in a tree."""
    if not schema.CLIP_ID.fullmatch(row["clip_id"]):
        return "is no id that can be a file's name: not exported"
    if row.get("video") is None or row["video"]["bytes"] is None:
        return f"has no video: {row.get('generate_error') or 'not generated yet'}"
    return None


def _write_clip(folder: Path, row: Row, record: Row | None, *, replace: bool, keep_facts: bool) -> dict[str, str]:
    emotion, _, stem = row["clip_id"].partition("/")
    suffix = _suffix(record, row["clip_id"])
    metadata = _metadata(row, record, keep_facts)
    files = {
        folder / emotion / f"{stem}{suffix}": row["video"]["bytes"],
        folder / emotion / METADATA / f"{stem}{SUFFIX}": metadata,
    }
    kept = [path for path, data in files.items() if not _write(path, data, replace)]
    why = "exists with other content: export to another folder, or overwrite it with --replace"
    return {path.relative_to(folder).as_posix(): why for path in kept}


def _suffix(record: Row | None, clip_id: str) -> str:
    """`.mp4` as the imported file spelt it."""
    suffix = record["file"].removeprefix(clip_id) if record else ""
    return suffix if suffix.lower() == ".mp4" else ".mp4"


def _metadata(row: Row, record: Row | None, keep_facts: bool) -> bytes:
    data = record["metadata"] if record else None
    if data is None:
        return sidecar.dumps(sidecar.merge(row))
    try:
        before = sidecar.parse(data)
    except EquimeError:
        before = {sidecar.UNPARSED: data.decode(errors="backslashreplace")}
    merged = sidecar.merge(row, before, keep_facts=keep_facts)
    return data if merged == before else sidecar.dumps(merged)


def _write(path: Path, data: bytes, replace: bool) -> bool:
    """Write a file; False where another content is there and may not be replaced."""
    with writing(path):
        if path.exists():
            if path.stat().st_size == len(data) and path.read_bytes() == data:
                return True
            if not replace:
                return False
        write_atomically(path, data)
    return True


def _sweep(folder: Path) -> None:
    """Remove what a killed export left behind."""
    for emotion in folder.iterdir() if folder.is_dir() else ():
        if emotion.is_dir():
            sweep(emotion)
            sweep(emotion / METADATA)
