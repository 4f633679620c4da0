"""One set from the folder that its owners hand out: its sheet, its pictures, and every row that is wrong.

    found = read_set(SETS["casme2"], Path("CASME2"))
    found.samples, found.problems

A bad row never vanishes: it is kept with nulls or left out, and a `Problem` says which and why.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from equime.errors import EquimeError
from equime.one_line import one_line
from equime.recognise.readers.folders import FIRST_IS, Folders, pictures_in
from equime.recognise.readers.layout import Layout, Part
from equime.recognise.readers.places import derived, listed, listing, nowhere, places, subfolders, wanted
from equime.recognise.readers.problems import Problem
from equime.recognise.readers.rows import Notes, frame_number, key, sample
from equime.recognise.readers.sheets import CodedRow, coded_rows, find_sheet, read_sheet
from equime.recognise.samples import FIELDS, Samples


@dataclass(frozen=True)
class Read:
    """What was found.

    Attributes:
        layout: Of the set.
        samples: One row a micro-expression.
        problems: Everything that is wrong, in the order of the sheet.
        sheets: The files that were read; none where folders' names are the coding.
        macro: Rows of macro-expressions, which are no samples.
    """

    layout: Layout
    samples: Samples
    problems: tuple[Problem, ...] = ()
    sheets: tuple[Path, ...] = ()
    macro: int = 0


@dataclass(frozen=True)
class _Coded:
    """A part of a set as it was found: rows, their folders, and what is wrong before any row is looked at."""

    part: Part
    rows: Sequence[CodedRow]
    folders: Sequence[Path | None]
    sheet: Path | None = None


def read_set(layout: Layout, root: Path) -> Read:
    """Read one set.

    Raises:
        EquimeError: Nothing of it in that folder, or its sheet cannot be read.
        MissingPackageError: What reads its sheet is not installed.
    """
    found = [_coded(root, layout, part) for part in layout.parts]
    there = [coded for coded in found if coded is not None]
    if not there:
        raise missing(layout, root)
    used = there if layout.every else there[:1]
    if not any(folder for coded in used for folder in coded.folders):
        part, row = used[0].part, used[0].rows[0]
        raise nowhere(root, layout, part, derived(row.cells, part))
    absent = [part for part, coded in zip(layout.parts, found, strict=True) if layout.every and coded is None]
    return _read(layout, root, used, absent)


def missing(layout: Layout, root: Path) -> EquimeError:
    """Nothing of a set is in a folder: what was looked for and what is there."""
    sheets = ", ".join(name for part in layout.parts for name in part.sheets)
    folders = ", ".join(part.under[0] + "/" + part.folders[0] for part in layout.parts if part.listing)
    looked = " or ".join(filter(None, [f"a sheet {sheets} (.xlsx, .xls, .csv)" if sheets else "", folders]))
    return EquimeError(
        f"expected {layout.title} in {one_line(root)}: {looked}; it holds {listed(root)}; give its top folder"
    )


def _coded(root: Path, layout: Layout, part: Part) -> _Coded | None:
    """A part, or None where it is not there."""
    if part.listing:
        found = listing(root, part)
        rows = [CodedRow(0, values) for _, values in found] if found else []
        return _Coded(part, rows, [folder for folder, _ in found]) if found else None
    sheet = find_sheet(root, part.sheets)
    if sheet is None:
        return None
    rows = coded_rows(read_sheet(sheet), part, sheet)
    rows = _translated(part, sheet, _swapped(layout, sheet, rows))
    if not rows:
        raise EquimeError(f"expected rows of coding in {one_line(sheet)}, got none; copy it again")
    values = [derived(row.cells, part) for row in rows]
    return _Coded(part, rows, places(root, part, values), sheet)


def _swapped(layout: Layout, sheet: Path, rows: Sequence[CodedRow]) -> list[CodedRow]:
    """The rows, with what is known to stand in each other's place exchanged."""
    pairs = [lines for pattern, lines in layout.swapped.items() if fnmatch.fnmatch(sheet.stem.lower(), pattern.lower())]
    of = {row.line: row for row in rows}
    for one, other in pairs:
        if one in of and other in of:
            for here, there in ((one, other), (other, one)):
                coded = {name: of[there].cells[name] for name in ("units", "emotion")}
                rows = [
                    CodedRow(here, {**row.cells, **coded, "swapped": str(there)}) if row.line == here else row
                    for row in rows
                ]
    return list(rows)


def _translated(part: Part, sheet: Path, rows: Sequence[CodedRow]) -> list[CodedRow]:
    """The rows with the codes that the file's other sheets have for their fields."""
    for name, lookup in part.lookups.items():
        lines = [line.cells for line in read_sheet(sheet, lookup.sheet)]
        wide = [cells for cells in lines if len(cells) > max(lookup.key, lookup.value)]
        meaning = {cells[lookup.key]: cells[lookup.value] for cells in wide}
        rows = [
            CodedRow(row.line, {**row.cells, name: _bare(meaning[value])})
            if (value := derived(row.cells, part).get(lookup.of, "")) in meaning
            else row
            for row in rows
        ]
    return list(rows)


def _bare(code: str) -> str:
    """The code of a subject or video without its letter: "s15" is 15."""
    return code.lstrip("sS")


def _read(layout: Layout, root: Path, parts: Sequence[_Coded], absent: Sequence[Part]) -> Read:
    rows: dict[str, dict[str, Any]] = {}
    problems = [_absent(layout, part) for part in absent]
    memo: dict[Path, list[int]] = {}
    macro = 0
    for coded in parts:
        for row, folder in zip(coded.rows, coded.folders, strict=True):
            if "macro" in row.cells.get("kind", "").lower():
                macro += 1
                continue
            named = coded.sheet.name if coded.sheet else None
            one, notes = row_of(layout, coded.part, row, Place(root, folder, named, memo), rows)
            problems += notes.problems
            if one is not None:
                rows[one["sample_id"]] = one | {"split": coded.part.split}
        problems += _strays(layout, root, coded)
    table = pa.Table.from_pylist(list(rows.values()), FIELDS)
    sheets = tuple(coded.sheet for coded in parts if coded.sheet is not None)
    return Read(layout, Samples(table, {layout.name: Folders(root.absolute())}), tuple(problems), sheets, macro)


def _strays(layout: Layout, root: Path, coded: _Coded) -> Iterator[Problem]:
    """Folders of pictures beside those of the rows that no row names: clips that nobody coded, or an older sheet."""
    if coded.sheet is None or layout.by_onset:  # long videos hold more than their expressions
        return
    used = {folder for folder in coded.folders if folder is not None}
    for parent in sorted({folder.parent for folder in used}):
        for folder in sorted(set(subfolders(parent)) - used):
            if pictures_in(folder):
                named = one_line(folder.relative_to(root).as_posix())
                yield Problem(named, None, "pictures without a row in the sheet", kept=False, known=True)


def _absent(layout: Layout, part: Part) -> Problem:
    return Problem(f"{layout.name} {part.split}", None, f"no sheet {part.sheets[0]}: none of its clips", kept=False)


class Place(NamedTuple):
    """Where a row comes from: the root that `frames` is relative to, its folder or None, its sheet's name.

    `memo` remembers what folders hold: the expressions of a long video share one.
    """

    root: Path
    folder: Path | None
    sheet: str | None
    memo: dict[Path, list[int]]


def row_of(
    layout: Layout, part: Part, row: CodedRow, place: Place, others: Mapping[str, Any]
) -> tuple[dict[str, Any] | None, Notes]:
    """One sample, or None where the row is left out; and what is wrong with it.

    Args:
        layout: Of the set.
        part: Of the set.
        row: As coded.
        place: Where it and its pictures are.
        others: The samples so far, by id.
    """
    root, folder, sheet, memo = place
    values = derived(row.cells, part)
    notes = Notes(key(layout, values), row.line or None, sheet)
    if values.get("swapped"):
        notes.add(f"units and emotion are those of line {values['swapped']}, a known exchange", known=True)
    reason = next(_left_out(values, part, folder, notes.sample in others), None)
    if reason or folder is None:
        notes.add(reason or "", kept=False)
        return None, notes
    if folder not in memo:
        memo[folder] = list(pictures_in(folder))
    numbers, first = _renumbered(layout, values, memo[folder], notes)
    if not numbers:
        notes.add(f"no pictures in {one_line(folder.relative_to(root).as_posix())}", kept=False)
        return None, notes
    frames = folder.relative_to(root).as_posix() + ("" if first is None else f"{FIRST_IS}{first}")
    return sample(layout, values, frames, numbers, notes), notes


def _left_out(values: Mapping[str, str], part: Part, folder: Path | None, twice: bool) -> Iterator[str]:
    if not values["subject"] or not values.get("clip"):
        yield "no subject or file name"
    if folder is None:
        yield f"no folder {wanted(part, values)}"
    if twice:
        yield "the same clip stands above"


def _renumbered(
    layout: Layout, values: Mapping[str, str], numbers: Sequence[int], notes: Notes
) -> tuple[Sequence[int], int | None]:
    """The numbers of a folder's pictures, and the first one where they count from the coded onset."""
    onset, offset = (frame_number(values.get(name, "")) for name in ("onset", "offset"))
    if values["clip"] not in layout.renumbered or onset is None or offset is None:
        return numbers, None
    coded = range(onset, offset + 1)
    if len(coded) != len(numbers) or set(coded) & set(numbers):
        return numbers, None
    notes.add(f"pictures {numbers[0]} to {numbers[-1]} count from onset {onset}", known=True)
    return coded, onset
