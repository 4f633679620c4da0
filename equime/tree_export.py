"""A workspace into a released tree: loose clips, and a metadata JSON for each.

A clip that was imported gets back its bytes, its file name and every key of its JSON, with what the workspace
knows by now. Running it again writes only what is missing; a file with other content is never replaced unasked.
What is stale counts as not made: no clip without a video of its own plan, no caption of another one.

Signed clips (`equime.c2pa_signing`) have other bytes than the workspace's: their JSON describes the file that lies
beside it, and `unsigned_sha256` names the clip it was made from. No tree is signed in part: a run that was stopped
is to be run again, and what lies there unsigned is refused or replaced.

    equime export WORKSPACE TREE [--replace] [--sign-cert chain.pem --sign-key key.pem]
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any

from tqdm import tqdm

from equime import catalog, schema, sidecar, tree_metadata, video
from equime.c2pa_signing import Signer, SigningError, is_signed, read_manifest
from equime.errors import EquimeError
from equime.table import Table, sweep, write_atomically, writing
from equime.tree_import import STAGE, TreeReceipt
from equime.tree_index import FOLDERS, METADATA, SUFFIX
from equime.tree_released import read_released
from equime.wording import counted

Row = dict[str, Any]

UNSIGNED = "unsigned_sha256"
"""The key of a signed clip's JSON that names the clip it was made from."""
_OTHER = "exists with other content: export to another folder, or overwrite it with --replace"


def export_tree(
    table: Table | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    replace: bool = False,
    progress: bool = True,
    signer: Signer | None = None,
) -> TreeReceipt:
    """Write every clip of a workspace that has a video, with its metadata.

    Args:
        table: The workspace.
        out: A folder, made if absent; what it holds beside is left alone.
        replace: Overwrite files whose content differs; else each is an error line.
        progress: Show clips done on a terminal.
        signer: Give each clip a C2PA manifest; one that came in with a manifest keeps that.

    Raises:
        EquimeError: `out` is a file or inside the workspace, or cannot be written, or would be signed in part.
    """
    begun = time.monotonic()
    table = table if isinstance(table, Table) else Table(table)
    folder = _checked(Path(out), table)
    _require_apart(table)
    if not replace:
        _require_alike(table, folder, signer is not None)
    written: set[Path] = set()
    errors: dict[str, str] = {}
    stale: Counter[str] = Counter()
    with tqdm(desc="export", unit="clip", disable=None if progress else True) as bar:
        for number in table.shards():
            shard = _Shard(table, number)
            stale.update(dict.fromkeys(shard.stale, shard.rows))
            for row in shard:
                if (why := shard.problem(row)) is None:
                    row, why = _signed(folder, row, shard.records.get(row["clip_id"]), signer)
                if why:
                    errors[row["clip_id"]] = why
                else:
                    files = _files(folder, row, shard.records.get(row["clip_id"]), keep_facts=shard.is_imported)
                    kept = [path for path, data in files.items() if not _write(path, data, replace)]
                    errors |= {path.relative_to(folder).as_posix(): _OTHER for path in kept}
                    written |= files.keys()
                bar.update()
    _sweep(folder)
    return TreeReceipt(
        "export",
        rows=len(written) // 2,
        failed=len(errors),
        seconds=time.monotonic() - begun,
        errors=errors,
        notes=(*stale_notes(stale, table), *_strangers(folder, written)),
    )


def stale_notes(stale: Mapping[str, int], table: Table) -> list[str]:
    """A line for each stale group but `generate`, whose clips are told one by one."""
    return [
        f"{group} of {counted(clips, 'clip')} is stale and was left out: run `equime {group} {table.path}`"
        for group, clips in stale.items()
        if group != "generate"
    ]


def _require_apart(table: Table) -> None:
    """Refuse ids that are one file name where capitals do not count."""
    seen: dict[str, str] = {}
    for row in table.rows([]):
        other = seen.setdefault(row["clip_id"].lower(), row["clip_id"])
        if other != row["clip_id"]:
            raise EquimeError(
                f"{other!r} and {row['clip_id']!r} differ in capitals only, and are one file on many disks: "
                "rename a subject, or export with --layout hub"
            )


def _strangers(folder: Path, written: Set[Path]) -> list[str]:
    """A note on clips and metadata that lie there and were not written now."""
    places = [place for name in FOLDERS for place in (folder / name, folder / name / METADATA) if place.is_dir()]
    found = [p for place in places for p in place.iterdir() if p not in written and not p.is_dir()]
    if not found:
        return []
    example = min(found).relative_to(folder).as_posix()
    return [f"{counted(len(found), 'file')} in {folder} not written by this export and left there ({example})"]


def _require_alike(table: Table, folder: Path, signing: bool) -> None:
    """Refuse a folder whose clips are signed where these will not be, or the other way round."""
    wrong = []
    for number in table.shards() if folder.is_dir() else ():
        if "generate" not in table.standing(number).made:
            continue
        records = read_released(table, number)
        for row in table.read(number, ["size_bytes"]).to_pylist():
            path = _clip_path(folder, row["clip_id"], records.get(row["clip_id"]))
            with writing(path):
                if path.is_file() and is_signed(path) != signing:
                    # An imported clip may be signed itself.
                    wrong += [path] if signing or path.stat().st_size != row["size_bytes"] else []
    if wrong:
        what = "not signed" if signing else "signed with C2PA"
        example = min(wrong).relative_to(folder).as_posix()
        raise EquimeError(
            f"{counted(len(wrong), 'clip')} in {folder} {'is' if len(wrong) == 1 else 'are'} {what} ({example}), "
            "and a tree is signed whole or not at all: export to another folder, or overwrite with --replace"
        )


def _signed(folder: Path, row: Row, record: Row | None, signer: Signer | None) -> tuple[Row, str | None]:
    """The row with its clip signed, or why it cannot be; what an earlier run signed is taken from the folder."""
    data = row["video"]["bytes"]
    if signer is None:
        return row, None
    try:
        if is_signed(data):
            read_manifest(data)  # one that does not verify is not passed on
            return row, None
        path = _clip_path(folder, row["clip_id"], record)
        with writing(path):
            signed = path.read_bytes() if path.is_file() else b""
        if not signer.made(signed, row["sha256"]):
            signed = signer.sign(data, generator=row["generator"], title=path.name)
    except SigningError:
        raise
    except EquimeError as error:
        return row, f"{error}: not exported"
    info = video.probe(signed)
    facts = {name: getattr(info, name) for name in ("size_bytes", "bitrate_kbps")}
    video_of = row["video"] | {"bytes": signed}
    return row | facts | {"video": video_of, "sha256": video.sha256(signed), UNSIGNED: row["sha256"]}, None


def _checked(out: Path, table: Table) -> Path:
    if out.exists() and not out.is_dir():
        raise EquimeError(f"expected a folder to write, {out} is a file")
    inside = out.resolve()
    if table.path.resolve() in (inside, *inside.parents):
        raise EquimeError(f"expected a folder outside the workspace {table.path}, got {out}")
    return out


class _Shard:
    """The rows of a shard with what counts as made, and the records of those imported."""

    def __init__(self, table: Table, number: int) -> None:
        made, self.stale = table.standing(number)
        ready = [name for name in schema.CLIPS.names if schema.OWNER[name] in made]
        self._rows = table.read(number, ready)
        self.rows = len(self._rows)
        self.records = read_released(table, number)
        self.is_imported = "generate" in made and made["generate"].stage == STAGE
        self.where = table.path

    def __iter__(self) -> Iterator[Row]:
        yield from self._rows.to_pylist()

    def problem(self, row: Mapping[str, Any]) -> str | None:
        """Why a row has no file in a tree."""
        if not schema.CLIP_ID.fullmatch(row["clip_id"]):
            return "is no id that can be a file's name: not exported"
        if row.get("video") is None or row["video"]["bytes"] is None:
            return f"has no video: {row.get('generate_error') or catalog.not_made(self.stale, self.where)}"
        return None


def _files(folder: Path, row: Row, record: Row | None, *, keep_facts: bool) -> dict[Path, bytes]:
    """A clip's two files and what they hold."""
    emotion, _, stem = row["clip_id"].partition("/")
    return {
        _clip_path(folder, row["clip_id"], record): row["video"]["bytes"],
        folder / emotion / METADATA / f"{stem}{SUFFIX}": _metadata(row, record, keep_facts and UNSIGNED not in row),
    }


def _clip_path(folder: Path, clip_id: str, record: Row | None) -> Path:
    """A clip's place, with `.mp4` as the imported file spelt it."""
    suffix = record["file"].removeprefix(clip_id) if record else ""
    return folder / f"{clip_id}{suffix if suffix.lower() == '.mp4' else '.mp4'}"


def _metadata(row: Row, record: Row | None, keep_facts: bool) -> bytes:
    data = record["metadata"] if record else None
    signed = {UNSIGNED: row[UNSIGNED]} if UNSIGNED in row else {}
    if data is None:
        return sidecar.dumps(sidecar.merge(row) | signed)
    try:
        before = tree_metadata.parse(data, row["clip_id"])
    except EquimeError:
        before = {sidecar.UNPARSED: _unusable(data)}
    merged = sidecar.merge(row, before, keep_facts=keep_facts) | signed
    return data if merged == before else sidecar.dumps(merged)


def _unusable(data: bytes) -> str:
    """The text of metadata that could not be used; where it is JSON, without what is never published."""
    try:
        return sidecar.dumps(sidecar.published(sidecar.parse(data))).decode(errors="backslashreplace")
    except EquimeError:
        return data.decode(errors="backslashreplace")


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
