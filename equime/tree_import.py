"""A released tree into a workspace, without loss.

Every file's bytes are copied verbatim, and its metadata JSON is kept to the letter in a folder of its own beside
the column groups (`ws/released/`), because a workspace's columns are a closed list and other people's keys are not.

What is wrong with a clip is said of that clip and stops nothing: a file that does not decode as it should is
imported as it is with its reason in `generate_error`; metadata that cannot be used is kept as text, with the reason
in `caption_error` and `tag_error`. An import can be stopped at any moment and run again: what is done stays as it
is, and clips that the tree got in the meantime open new shards.

    equime import TREE WORKSPACE
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from equime import schema, sidecar
from equime.errors import EquimeError
from equime.locks import hold
from equime.stage import Receipt, mark_of
from equime.table import SHARD_ROWS, Footer, Table, digest, replacing, sweep, write_atomically, writing
from equime.tree_index import Entry, Tree, described, index, measured, read_sidecar, split_of

Row = dict[str, Any]

STAGE = "import"
VERSION = 1
RELEASED = "released"
"""The folder of a workspace that keeps imported metadata verbatim."""
_RECORD = pa.schema([("clip_id", pa.string()), ("file", pa.string()), ("metadata", pa.binary()), ("lost", pa.string())])
_COPIED = ("caption", "tag", "score")
_SHOWN_KEYS = 20


@dataclass(frozen=True)
class TreeReceipt(Receipt):
    """What an import or export did: `errors` by clip or path, and `notes`, which are no failures."""

    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line for people, and one for each note."""
        return "\n".join([super().__str__(), *(f"note: {note}" for note in self.notes)])


def import_tree(
    root: str | os.PathLike[str],
    workspace: str | os.PathLike[str],
    shard_rows: int = SHARD_ROWS,
    progress: bool = True,
    *,
    retry_failed: bool = False,
) -> TreeReceipt:
    """Bring the clips of a released tree into a workspace.

    Clips that are there already stay as they are; others open new shards. `plan` and `generate` are written for
    all, `caption`, `tag` and `score` for the shards whose metadata give something of them.

    Args:
        root: The tree.
        workspace: Made if absent.
        shard_rows: Rows a shard, where the workspace is new.
        progress: Show clips done on a terminal.
        retry_failed: Read again the files of shards that hold a `generate_error`.

    Raises:
        EquimeError: No tree there, no workspace can be made there, or another run is writing it.
    """
    begun = time.monotonic()
    tree = index(root)
    table = Table.create(workspace, shard_rows=shard_rows)
    with ExitStack() as stack:
        for group in ("plan", "generate"):
            stack.enter_context(hold(table.path / group))
            sweep(table.path / group)
        sweep(table.path / RELEASED)
        clashes = _plan(table, tree)
        shards = _imported(table)
        todo = [number for number in shards if _is_todo(table, number, retry_failed)]
        done = _copy_all(table, todo, tree, progress)
        failures, unknown = _review(table, shards)
    errors = tree.problems | clashes | failures
    return TreeReceipt(
        STAGE,
        done=len(todo),
        fresh=len(shards) - len(todo),
        rows=done,
        failed=len(errors),
        seconds=time.monotonic() - begun,
        errors=errors,
        notes=(*tree.notes, *_unknown_note(unknown)),
    )


def _plan(table: Table, tree: Tree) -> dict[str, str]:
    """Open shards for the clips that are new. Returns those that this workspace planned itself, and why not."""
    before = list(table.rows(["subject_id", "split", "epoch"]))
    planned = {row["clip_id"] for row in before}
    clash = planned.difference(*(read_released(table, number) for number in _imported(table)))
    new = [entry for entry in tree.entries if entry.clip_id not in planned]
    epoch = _epoch(table, before)
    split = _assigned(table, tree, before) if new else {}
    for start in range(0, len(new), table.shard_rows):
        number = max(table.shards(), default=-1) + 1
        records, rows = [], []
        for entry in new[start : start + table.shard_rows]:
            record = _record(entry, tree)
            values, _ = document_values(record)
            row = described(entry, {"epoch": epoch} | values, None)
            records.append(record)
            rows.append(row | {"split": split[entry.clip_id]})
        _write_released(table, number, records)
        _write(table, "plan", number, rows)
    why = "is in this workspace's plan and was not imported: import into another workspace"
    return {entry.clip_id: why for entry in tree.entries if entry.clip_id in clash}


def _epoch(table: Table, before: Sequence[Row]) -> int:
    """The number of this round of new rows; an import that was stopped goes on with its own."""
    last = max((row["epoch"] for row in before if row["epoch"] is not None), default=-1)
    stopped = any(table.footer("generate", number) is None for number in _imported(table))
    return last if stopped else last + 1


def _assigned(table: Table, tree: Tree, before: Sequence[Row]) -> dict[str, str]:
    """By clip_id, the split. Written down at once, so that an import that is stopped and resumed splits alike."""
    path = table.path / RELEASED / "splits.json"
    try:
        said = json.loads(path.read_text()) if path.exists() else {}
        known = {subject: (str(split), str(code)) for subject, (split, code) in said.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise EquimeError(f"cannot read {path}: {error}; delete it and import again") from error
    known |= {row["subject_id"]: (row["split"], _code(row["clip_id"])) for row in before if row["split"]}
    split = split_of(tree.entries, known)
    for entry in tree.entries:
        known.setdefault(entry.subject, (split[entry.clip_id], entry.gender))
    with writing(path):
        write_atomically(path, json.dumps(known, sort_keys=True).encode())
    return split


def _code(clip_id: str) -> str:
    matched = schema.CLIP_ID.fullmatch(clip_id)
    return matched["gender"] if matched else "u"


def _copy_all(table: Table, todo: Sequence[int], tree: Tree, progress: bool) -> int:
    entries = {entry.clip_id: entry for entry in tree.entries}
    done = 0
    with tqdm(desc=STAGE, unit="clip", disable=None if progress else True) as bar:
        for number in todo:
            rows = _copy(table, number, entries)
            bar.update(rows)
            done += rows
    return done


def _copy(table: Table, number: int, entries: Mapping[str, Entry]) -> int:
    """Write every group of one planned shard but the plan; `generate` last, which says that all is done."""
    records = list(read_released(table, number).values())
    told = [(record["clip_id"], *document_values(record)) for record in records]
    for group in _COPIED:
        rows = [_told(group, *one) for one in told]
        said = {name for row in rows for name, value in row.items() if value is not None}
        if said - {"clip_id", f"{group}_error"} and table.footer(group, number) is None:
            with hold(table.path / group):
                sweep(table.path / group)  # what this shard's killed import left
                _write(table, group, number, rows)
    _write(table, "generate", number, [_made(entries.get(clip_id), clip_id, values) for clip_id, values, _ in told])
    return len(records)


def _told(group: str, clip_id: str, values: Mapping[str, Any], reason: str | None) -> Row:
    row = {name: values.get(name) for name in schema.GROUPS[group].names} | {"clip_id": clip_id}
    return row | ({f"{group}_error": reason} if group != "score" else {})


def _made(entry: Entry | None, clip_id: str, values: Mapping[str, Any]) -> Row:
    if entry is None:
        return {"clip_id": clip_id, "generate_error": "the file left the tree before it was imported"}
    return measured(entry, values)


def _is_todo(table: Table, number: int, retry_failed: bool) -> bool:
    footer = table.footer("generate", number)
    return footer is None or (retry_failed and footer.stage == STAGE and footer.failed > 0)


def _imported(table: Table) -> list[int]:
    """Planned shards that an import opened."""
    have = {int(path.stem) for path in (table.path / RELEASED).glob("*.parquet")}
    numbers = [number for number in table.shards() if number in have]
    # An import that was killed between its record and its plan may have left a record to somebody else's shard.
    return [n for n in numbers if table.read(n, [])["clip_id"].to_pylist() == list(read_released(table, n))]


def _review(table: Table, numbers: Sequence[int]) -> tuple[dict[str, str], set[str]]:
    """Imported clips with something wrong -> what; and the metadata keys that no column took."""
    found: dict[str, str] = {}
    unknown: set[str] = set()
    for number in numbers:
        footer = table.footer("generate", number)
        if footer and footer.stage == STAGE and footer.failed:
            rows = table.read(number, ["generate_error"]).to_pylist()
            found |= {row["clip_id"]: row["generate_error"] for row in rows if row["generate_error"]}
        for clip_id, record in read_released(table, number).items():
            unknown.update(_unknown(record))
            if reason := document_values(record)[1]:
                found[clip_id] = "; ".join(filter(None, (found.get(clip_id), reason)))
    return found, unknown


def _record(entry: Entry, tree: Tree) -> Row:
    """What is kept of a clip beside the columns: its file's name, and its metadata to the letter."""
    file = f"{entry.clip_id.partition('/')[0]}/{Path(entry.path).name}"
    record: Row = {"clip_id": entry.clip_id, "file": file, "metadata": None, "lost": None}
    try:
        return record | {"metadata": read_sidecar(entry)}
    except EquimeError as error:
        return record | {"lost": str(error)}


def document_values(record: Mapping[str, Any]) -> tuple[Row, str | None]:
    """The columns that a kept record gives, and the reason where its metadata cannot be used."""
    if record["metadata"] is None:
        return {}, record["lost"]
    try:
        return sidecar.read(sidecar.parse(record["metadata"])), None
    except EquimeError as error:
        return {}, str(error)


def _unknown(record: Mapping[str, Any]) -> list[str]:
    try:
        return sidecar.unknown_keys(sidecar.parse(record["metadata"])) if record["metadata"] is not None else []
    except EquimeError:
        return []


def _unknown_note(keys: set[str]) -> list[str]:
    if not keys:
        return []
    more = f" and {len(keys) - _SHOWN_KEYS} more" if len(keys) > _SHOWN_KEYS else ""
    return [f"metadata keys without a column are kept for export: {', '.join(sorted(keys)[:_SHOWN_KEYS])}{more}"]


def read_released(table: Table, number: int) -> dict[str, Row]:
    """By clip_id, the record of an imported clip (`file`, `metadata`, `lost`); empty where none was imported.

    Raises:
        EquimeError: The file is broken.
    """
    path = _released_path(table, number)
    if not path.exists():
        return {}
    try:
        return {row["clip_id"]: row for row in pq.read_table(path, partitioning=None).to_pylist()}
    except (pa.ArrowException, OSError, KeyError) as error:
        raise EquimeError(f"cannot read {path}: {str(error).splitlines()[0]}") from error


def _write_released(table: Table, number: int, records: list[Row]) -> None:
    path = _released_path(table, number)
    with writing(path), replacing(path) as handle:
        pq.write_table(pa.Table.from_pylist(records, schema=_RECORD), handle, compression="zstd")


def _released_path(table: Table, number: int) -> Path:
    return table.path / RELEASED / f"{number:05d}.parquet"


def _write(table: Table, group: str, number: int, rows: list[Row]) -> None:
    """Write a shard with the mark of an import: it follows from the clips' ids and nothing else here."""
    columns = schema.GROUPS[group]
    made = pa.Table.from_pylist([{name: row.get(name) for name in columns.names} for row in rows], schema=columns)
    failed = sum(row.get(f"{group}_error") is not None for row in rows)
    mark = mark_of(STAGE, VERSION, {}, {"clip_id": digest(made["clip_id"])})
    table.write(group, number, made, Footer(STAGE, VERSION, mark, failed=failed))
