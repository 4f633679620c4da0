"""A released tree into a workspace, without loss.

Every file's bytes are copied verbatim, and its metadata JSON is kept to the letter (`equime.tree_released`).

What is wrong with a clip is said of that clip and stops nothing: a file that does not decode as it should is
imported as it is with its reason in `generate_error`; metadata that cannot be used is kept as text, with the reason
in `caption_error` and `tag_error`. An import can be stopped at any moment and run again: what is done stays as it
is, clips that the tree got in the meantime open new shards, and clips that the tree changed are named.

    equime import TREE WORKSPACE
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from equime import schema
from equime.errors import EquimeError
from equime.footer import Footer, digest, mark_of
from equime.locks import hold
from equime.receipt import Receipt
from equime.table import SHARD_ROWS, Table, sweep, write_atomically, writing
from equime.tree_index import Entry, Tree, described, index, measured, split_of
from equime.tree_released import (
    RELEASED,
    document_values,
    file_differs,
    metadata_differs,
    read_released,
    record,
    unknown_keys,
    write_released,
)
from equime.wording import counted

Row = dict[str, Any]

STAGE = "import"
VERSION = 1
_COPIED = ("caption", "tag", "score")
_SHOWN_KEYS = 20


@dataclass(frozen=True)
class TreeReceipt(Receipt):
    """What an import or export did.

    Attributes:
        rows: Clips imported by this run, or in the tree that was exported.
        failed: `len(errors)`.
        errors: What is wrong, by clip or path.
        present: Clips that an earlier run imported.
        left_out: Files of the tree that were not imported; each is among the errors.
        notes: What is worth a line and is no failure.
    """

    present: int = 0
    left_out: int = 0
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line for people, and one for each note."""
        wrong = self.failed - self.left_out
        if self.stage == STAGE:
            there = f" ({self.present} there already)" if self.present else ""
            done = f"{counted(self.rows, 'clip')} imported{there}, {counted(wrong, 'clip')} with an error, "
            done += f"{counted(self.left_out, 'file')} left out"
        else:
            done = f"{counted(self.rows, 'clip')} with metadata in the tree, {counted(wrong, 'error')}"
        line = f"{self.stage}: {done}; {self.seconds:.1f} s"
        return "\n".join([line, *(f"note: {note}" for note in self.notes)])


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
        before = _imported(table)
        clashes = _plan(table, tree)
        shards = _imported(table)
        todo = [number for number in shards if _is_todo(table, number, retry_failed)]
        changes = _changes(table, before, todo, tree)
        done = _copy_all(table, todo, tree, progress)
        failures, unknown = _review(table, shards)
        present = sum(len(read_released(table, number)) for number in shards if number not in todo)
    both = {clip: f"{failures[clip]}; {changes[clip]}" for clip in failures.keys() & changes.keys()}
    errors = tree.problems | clashes | failures | changes | both
    return TreeReceipt(
        STAGE,
        done=len(todo),
        fresh=len(shards) - len(todo),
        rows=done,
        failed=len(errors),
        seconds=time.monotonic() - begun,
        errors=errors,
        present=present,
        left_out=len(tree.problems | clashes),
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
            kept = record(entry)
            values, _ = document_values(kept)
            row = described(entry, {"epoch": epoch} | values, None)
            records.append(kept)
            rows.append(row | {"split": split[entry.clip_id]})
        write_released(table, number, records)
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


def _changes(table: Table, before: Sequence[int], todo: Sequence[int], tree: Tree) -> dict[str, str]:
    """Clips that were imported before and that the tree has otherwise now -> what differs. Nothing is changed."""
    entries = {entry.clip_id: entry for entry in tree.entries}
    found: dict[str, str] = {}
    for number in before:
        footer = table.footer("generate", number)
        is_ours = number not in todo and footer is not None and footer.stage == STAGE
        facts = table.read(number, ["size_bytes", "sha256"]).to_pylist() if is_ours else []
        by_id = {row["clip_id"]: (row["size_bytes"], row["sha256"]) for row in facts}
        for clip_id, kept in read_released(table, number).items():
            if (entry := entries.get(clip_id)) is None:
                continue
            what = ["the clip"] if clip_id in by_id and file_differs(entry, kept, *by_id[clip_id]) else []
            what += ["its metadata JSON"] if metadata_differs(entry, kept) else []
            if what:
                verb = "differs" if len(what) == 1 else "differ"
                why = "left as imported, import into a new workspace to take it up"
                found[clip_id] = f"{' and '.join(what)} {verb} from what was imported: {why}"
    return found


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
    told = [(kept["clip_id"], *document_values(kept)) for kept in records]
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
        for clip_id, kept in read_released(table, number).items():
            unknown.update(unknown_keys(kept))
            if reason := document_values(kept)[1]:
                found[clip_id] = "; ".join(filter(None, (found.get(clip_id), reason)))
    return found, unknown


def _unknown_note(keys: set[str]) -> list[str]:
    if not keys:
        return []
    more = f" and {len(keys) - _SHOWN_KEYS} more" if len(keys) > _SHOWN_KEYS else ""
    return [f"metadata keys without a column are kept for export: {', '.join(sorted(keys)[:_SHOWN_KEYS])}{more}"]


def _write(table: Table, group: str, number: int, rows: list[Row]) -> None:
    """Write a shard with the mark of an import: it follows from the clips' ids and nothing else here."""
    columns = schema.GROUPS[group]
    made = pa.Table.from_pylist([{name: row.get(name) for name in columns.names} for row in rows], schema=columns)
    failed = sum(row.get(f"{group}_error") is not None for row in rows)
    mark = mark_of(STAGE, VERSION, {}, {"clip_id": digest(made["clip_id"])})
    table.write(group, number, made, Footer(STAGE, VERSION, mark, failed=failed))
