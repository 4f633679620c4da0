"""A composite: a sheet that lists clips of several sets, their pictures below one root or in the sets' own folders.

    read_composite(SETS["megc2019"], Path("MEGC2019"), {"casme2": Path("CASME2"), ...})

Samples keep their own sets' names, ids and frame rates. With the sets' own folders their times and units are used and
the sheet decides which clips belong to the composite and of which class they are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from equime.errors import EquimeError
from equime.one_line import one_line
from equime.recognise.readers import labels
from equime.recognise.readers.folders import Folders
from equime.recognise.readers.layout import Layout
from equime.recognise.readers.one_set import Place, Read, missing, read_set, row_of
from equime.recognise.readers.places import derived, nowhere, places, subject_of
from equime.recognise.readers.problems import Problem
from equime.recognise.readers.rows import key
from equime.recognise.readers.sets import SETS
from equime.recognise.readers.sheets import CodedRow, coded_rows, find_sheet, read_sheet
from equime.recognise.samples import FIELDS, Origin, Samples

Rows = dict[str, dict[str, Any]]


def read_composite(layout: Layout, root: Path, roots: Mapping[str, Path]) -> Read:
    """Read a composite.

    Args:
        layout: With `members`.
        root: Of the composite's sheet, and of the crops.
        roots: Set -> its own folder, for the members whose pictures are to come from there.

    Raises:
        EquimeError: No sheet, no pictures, or a root of a set that is no member.
    """
    names = {member.name for member in layout.members.values()}
    if set(roots) - names:
        raise EquimeError(f"expected roots of {', '.join(sorted(names))}, got {sorted(set(roots) - names)}")
    part = layout.parts[0]
    sheet = find_sheet(root, part.sheets)
    if sheet is None:
        raise missing(layout, root)
    coded = coded_rows(read_sheet(sheet), part, sheet)
    if not coded:
        raise EquimeError(f"expected clips of {layout.title} in {one_line(sheet)}, got none; copy it again")
    rows: Rows = {}
    origins: dict[str, Origin] = {}
    reasons = [_reason(layout, row) for row in coded]
    problems = [
        Problem(f"{layout.name}/{row.cells['subject']}/{row.cells['clip']}", row.line, reason, False, sheet=sheet.name)
        for row, reason in zip(coded, reasons, strict=True)
        if reason
    ]
    coded = [row for row, reason in zip(coded, reasons, strict=True) if not reason]
    if not coded:
        raise EquimeError(f"expected clips of {layout.title} in {one_line(sheet)}, got none; the first: {problems[0]}")
    for code, member in layout.members.items():
        own = [row for row in coded if _member(layout, row) == code]
        own = [CodedRow(row.line, {**row.cells, "emotion": _label(layout, row)}) for row in own]
        if own:
            known = sheet.name, rows, problems
            origins[member.name] = (
                _from_set(SETS[member.name], own, roots[member.name], *known)
                if member.name in roots
                else _from_crops(member, own, root, *known)
            )
    if not rows:
        first = layout.members[str(_member(layout, coded[0]))].parts[0]
        raise nowhere(root, layout, first, derived(coded[0].cells, first))
    return Read(layout, Samples(pa.Table.from_pylist(list(rows.values()), FIELDS), origins), tuple(problems), (sheet,))


def _member(layout: Layout, row: CodedRow) -> str | None:
    """The member that a row names: "CASME II", "casme2" and "casme2_cropped" are all `casme2`."""
    name = re.sub(r"[^a-z0-9]", "", row.cells["dataset"].lower().replace("ii", "2"))
    return next((code for code in layout.members if name.startswith(code)), None)


def _reason(layout: Layout, row: CodedRow) -> str:
    """Why a row is no clip of the composite; "" for one that is."""
    if _member(layout, row) is None:
        return f"data set {row.cells['dataset']!r} is not of {', '.join(layout.members)}"
    if labels.three(_label(layout, row)) is None:
        return f"class {row.cells['emotion']!r} is none of {', '.join(layout.words)}"
    return ""


def _label(layout: Layout, row: CodedRow) -> str:
    coded = row.cells["emotion"].strip().lower()
    return layout.words.get(coded, coded)


def _from_crops(
    member: Layout, coded: Sequence[CodedRow], root: Path, sheet: str, rows: Rows, problems: list[Problem]
) -> Folders:
    part = member.parts[0]
    folders = places(root, part, [derived(row.cells, part) for row in coded])
    memo: dict[Path, list[int]] = {}
    for row, folder in zip(coded, folders, strict=True):
        one, notes = row_of(member, part, row, Place(root, folder, sheet, memo), rows)
        problems += notes.problems
        if one is not None:
            rows[one["sample_id"]] = one
    return Folders(root.absolute())


def _from_set(
    member: Layout, coded: Sequence[CodedRow], root: Path, sheet: str, rows: Rows, problems: list[Problem]
) -> Origin:
    """Clips of a set that the composite's sheet names, with the composite's classes."""
    if not os.path.isdir(root):
        raise EquimeError(f"expected the folder of {member.title}, got no folder: {one_line(root)}; correct --root")
    found = read_set(member, root)
    of = {_same(row["sample_id"]): row for row in found.samples.table.to_pylist()}
    used: set[str] = set()
    for row in coded:
        named = key(member, derived(row.cells, member.parts[0]))
        own = of.get(_same(named))
        if own is None or own["sample_id"] in rows:
            what = f"no such clip in {one_line(root)}" if own is None else "the same clip stands above"
            problems.append(Problem(named, row.line, what, kept=False, sheet=sheet))
            continue
        if labels.three(own["emotion"]) != labels.three(row.cells["emotion"]):
            what = f"coded {own['emotion']!r} in the set, {row.cells['emotion']!r} in the composite, which is taken"
            problems.append(Problem(own["sample_id"], row.line, what, sheet=sheet))
        used.add(own["sample_id"])
        rows[own["sample_id"]] = own | {"emotion3": labels.three(row.cells["emotion"])}
    problems += [problem for problem in found.problems if problem.sample in used]
    return found.samples.origins[member.name]


def _same(sample_id: str) -> str:
    """An id without what is spelled in several ways: case, and zeros before numbers."""
    return re.sub(r"\d+", lambda digits: subject_of(digits.group()), sample_id.lower())
