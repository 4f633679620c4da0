"""The screened sources of a workspace: `ws/sources.parquet`, one row a picture, made once and grown.

What: the pictures that the faces name, what was measured on them (`looking`), who they are perceived to be,
and why some are left out (`thresholds`). Why one file: the plan reads 75,000 sources in a second, and looks at no
picture. Judging is done anew whenever it is written, from the kept measures; so a changed threshold, label or age costs
seconds. Subject ids are those of the source: the file stays in the workspace and is not published.

    equime screen ws --faces faces/ --workers 4
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from equime.errors import EquimeError
from equime.locks import hold
from equime.one_line import one_line
from equime.options import from_flags, result_fields
from equime.screening.judging import Source as Source
from equime.screening.judging import compare, compared_first, judge
from equime.screening.looking import FOLDER, columns_of, keep, look
from equime.screening.portraits import Portrait, Rejected, faces_root, inside, read_portraits
from equime.screening.thresholds import Screen
from equime.table import Table, replacing, writing

FILE: Final = "sources.parquet"
_KEY: Final = b"equime"
_COLUMNS: Final = pa.schema(columns_of(Source))


def gather(
    workspace: Path,
    options: Screen,
    tick: Callable[[int, int], object] = lambda done, total: None,
    workers: int | None = None,
) -> list[Source]:
    """Look at what is new among the faces, judge all, and write `ws/sources.parquet`.

    Args:
        workspace: Made if it is not there.
        options: Without `faces`, those of the last time; without anything, all of the last time.
        tick: Told (pictures looked at, to look at).
        workers: Processes, in place of the options'.

    Returns:
        Every picture, in the order of the folder or table; those that it already refused last.

    Raises:
        EquimeError: No faces given, nothing there, a missing tagger, or another process screens here.
    """
    options = _as_before(workspace, options)
    faces = options.faces
    assert faces is not None  # `_as_before` has refused
    root = faces_root(faces)
    portraits, rejected = _placed(root, *read_portraits(faces, parted_lips=options.parted_lips))
    table = Table.create(workspace, faces=str(root.resolve()))
    taggers = [name for name in (options.tagger, options.second_tagger) if name != "none"]
    with hold(table.path / FOLDER):
        before = {source.path for source in _sources_before(table.path) if source.reason is None}
        paths = [portrait.path for portrait in portraits]
        looks = look(table.path, root, paths, taggers, workers or options.workers, tick)
        if options.screen:
            compare(looks)
        keep(table.path, compared_first(looks.values()))
        sources = judge(portraits, rejected, looks, options, before)
        write_sources(table.path, sources, options)
    return sources


def write_sources(workspace: Path, sources: Sequence[Source], options: Screen) -> None:
    """Write `ws/sources.parquet` whole, with where the faces are and what they were held to."""
    about = {"faces": str((options.faces or workspace.parent).resolve()), "options": result_fields(options)}
    columns = {name: [getattr(source, name) for source in sources] for name in _COLUMNS.names}
    table = pa.table(columns, schema=_COLUMNS).replace_schema_metadata({_KEY: json.dumps(about).encode()})
    path = workspace / FILE
    with writing(path), replacing(path) as handle:
        pq.write_table(table, handle)


def read_sources(workspace: Path) -> list[Source]:
    """The sources of a workspace, as they were written last.

    Raises:
        EquimeError: Nothing was screened yet, or the file does not read.
    """
    table = _read(workspace)
    columns = [_values(table[name]) for name in _COLUMNS.names]
    return [Source(*row) for row in zip(*columns, strict=True)]


def rejected_by_group(sources: Iterable[Source]) -> dict[str, dict[str, int]]:
    """Pictures left out: kind of reason -> demographic cell -> how many, the most frequent first."""
    counts: dict[str, Counter[str]] = {}
    for source in sources:
        if source.kind is not None:
            counts.setdefault(source.kind, Counter())[source.cell] += 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1].total(), item[0]))
    return {kind: dict(cells.most_common()) for kind, cells in ordered}


# --- where pictures are


def _placed(
    root: Path, portraits: Sequence[Portrait], rejected: Sequence[Rejected]
) -> tuple[list[Portrait], list[Rejected]]:
    """Paths made relative to the folder of faces; those that leave it, or come twice, are refused."""
    placed: dict[str, Portrait] = {}
    refused = list(rejected)
    for portrait in portraits:
        try:
            path = _relative(root, portrait.path)
        except EquimeError as error:
            refused.append(portrait.left_out(f"picture: {error}"))
            continue
        if first := placed.get(path):
            refused.append(
                portrait.left_out(f"name: named twice: first as {one_line(path)} of subject {first.subject_id!r}")
            )
        placed.setdefault(path, replace(portrait, path=path))
    return list(placed.values()), refused


def _relative(root: Path, path: str) -> str:
    plain = os.path.normpath(path) if path else ""
    if not plain or os.path.isabs(plain) or plain.startswith("..") or "\0" in plain:
        return inside(root, path).relative_to(root.resolve()).as_posix()
    return Path(plain).as_posix()


# --- the file


def _as_before(workspace: Path, options: Screen) -> Screen:
    """The options, with what the last screening had where they leave it open."""
    if options.faces is not None:
        return options
    try:
        about = json.loads(_read(workspace).schema.metadata[_KEY])
    except EquimeError:
        raise EquimeError("no faces given: add --faces DIR") from None
    if replace(options, workers=1) == Screen():
        options = replace(from_flags(Screen, about["options"]), workers=options.workers)
    return replace(options, faces=Path(about["faces"]))


def _sources_before(workspace: Path) -> list[Source]:
    try:
        return read_sources(workspace)
    except EquimeError:
        return []


def _read(workspace: Path) -> pa.Table:
    path = workspace / FILE
    if not path.is_file():
        raise EquimeError(f"{workspace} has no screened faces: run `equime screen {workspace} --faces DIR`")
    try:
        with path.open("rb") as file:
            table = pq.read_table(file)
    except (pa.ArrowException, OSError) as error:
        why = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise EquimeError(f"cannot read {path}: {why}; delete it, and screen again") from error
    if not table.schema.equals(_COLUMNS):
        raise EquimeError(f"{path} has other columns than this version writes: delete it, and screen again")
    return table


def _values(column: pa.ChunkedArray) -> list[Any]:
    measured = pa.types.is_floating(column.type) and not column.null_count
    return list(column.to_numpy().tolist() if measured else column.to_pylist())
