"""Sheets of coding: .xlsx, .xls and .csv as rows of text, and the columns that a layout names in them.

Why: a spreadsheet makes 6 of "006" and 4.0 of "4"; headers drift between versions and stand below a preamble.

    lines = read_sheet(Path("SAMM_Micro_FACS_Codes_v2.xlsx"))
    for row in coded_rows(lines, part, path):
        row.line, row.cells["onset"]
"""

from __future__ import annotations

import csv
import fnmatch
import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from equime.errors import EquimeError
from equime.one_line import one_line
from equime.optional import need
from equime.recognise.readers.layout import SHEETS, Column, Part
from equime.recognise.readers.places import entries, subfolders

HEADER_LINES = 40
"""How far down a header is looked for."""
NEAREST = 8
"""How many columns an error shows of the line that is most like the header."""
_WHOLE = re.compile(r"-?\d+\.0+")


class Line(NamedTuple):
    """A line of a sheet: its number from 1, and its cells as text."""

    number: int
    cells: Sequence[str]


class CodedRow(NamedTuple):
    """A row of coding: its line, and field -> text ("" where the cell is empty or the column missing)."""

    line: int
    cells: Mapping[str, str]


def find_sheet(root: Path, patterns: Sequence[str]) -> Path | None:
    """The sheet of a set: in `root`, in up to two folders below it, or beside it; the nearest, then the last by name.

    Args:
        root: A folder.
        patterns: Of the file's name without its ending, in order of preference; letters of either case.
    """
    below = subfolders(root)
    nearest = [root, *below, *(deep for one in below for deep in subfolders(one)), root.resolve().parent]
    for pattern in patterns:
        for folder in nearest:
            found = [path for path in _files(folder) if fnmatch.fnmatch(path.stem.lower(), pattern.lower())]
            if found:
                return found[-1]
    return None


def _files(folder: Path) -> list[Path]:
    named = (Path(entry.path) for entry in entries(folder) if not entry.name.startswith(("~$", ".")))
    return [path for path in named if path.suffix.lower() in SHEETS]


def read_sheet(path: Path, sheet: int = 0) -> list[Line]:
    """The lines of one sheet that hold anything.

    Args:
        path: .xlsx, .xls or .csv (UTF-8, UTF-16 or GB 18030).
        sheet: Position of the sheet; a .csv has one.

    Raises:
        EquimeError: It cannot be read, or has no such sheet.
        MissingPackageError: openpyxl or xlrd is not installed.
    """
    read = {".xlsx": _xlsx, ".xls": _xls, ".csv": _csv}[path.suffix.lower()]
    try:
        rows = read(path, sheet)
    except EquimeError:
        raise
    except Exception as error:  # the readers of spreadsheets meet damage with nearly any exception
        raise EquimeError(f"cannot read {one_line(path)} ({one_line(error)}); copy or save it again") from error
    texts = (Line(number, [_text(cell) for cell in row]) for number, row in enumerate(rows, 1))
    return [line for line in texts if any(line.cells)]


def _xlsx(path: Path, sheet: int) -> list[Sequence[Any]]:
    openpyxl = need("openpyxl", extra="recognise")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of styles and validations, which hold no coding
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        try:
            found = _nth(book.worksheets, sheet, path)
            found.reset_dimensions()  # what a file says of its size may be wrong, and would cut or blow up the rows
            return list(found.iter_rows(values_only=True))
        finally:
            book.close()


def _xls(path: Path, sheet: int) -> list[Sequence[Any]]:
    xlrd = need("xlrd", extra="recognise")
    book = xlrd.open_workbook(str(path))
    found = _nth(book.sheets(), sheet, path)
    meant = {  # xlrd gives dates and errors as numbers, which would pass for frames
        xlrd.XL_CELL_DATE: lambda value: xlrd.xldate_as_datetime(value, book.datemode),
        xlrd.XL_CELL_ERROR: lambda value: xlrd.error_text_from_code.get(value, "#ERROR"),
    }
    rows = (found.row(number) for number in range(found.nrows))
    return [[meant[cell.ctype](cell.value) if cell.ctype in meant else cell.value for cell in row] for row in rows]


def _csv(path: Path, sheet: int) -> list[Sequence[Any]]:
    data = path.read_bytes()
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("gb18030", errors="replace")
    begun = text[:4096]
    delimiter = max(",;\t", key=begun.count)
    rows: list[Sequence[Any]] = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    _nth([rows], sheet, path)
    return rows


def _nth(sheets: Sequence[Any], sheet: int, path: Path) -> Any:
    if sheet >= len(sheets):
        raise EquimeError(f"expected at least {sheet + 1} sheets in {one_line(path)}, got {len(sheets)}; copy it again")
    return sheets[sheet]


def _text(cell: Any) -> str:
    """A cell as text: 6.0, or "6.0" of a sheet saved as text, is "6", as whoever typed it meant."""
    text = "" if cell is None else " ".join(str(cell).split())
    return text.partition(".")[0] if _WHOLE.fullmatch(text) else text


def coded_rows(lines: Sequence[Line], part: Part, path: Path) -> list[CodedRow]:
    """The rows of a sheet, by field.

    Args:
        lines: As `read_sheet` gives them.
        part: Whose columns they have.
        path: Its name, for messages.

    Raises:
        EquimeError: No line has the columns that are looked for.
    """
    named = {field: column for field, column in part.columns.items() if isinstance(column, str)}
    if named:
        at, places = _header(lines, named, path)
        below = lines[at + 1 :]
        header: Sequence[str] = lines[at].cells
    else:
        places, below, header = {}, lines, ()
        _check_positions(lines, part.columns, path)
    fixed = {field: column for field, column in part.columns.items() if not isinstance(column, str)}
    return [CodedRow(line.number, dict(_cells(line.cells, places, fixed, header))) for line in below]


def _cells(
    row: Sequence[str], places: Mapping[str, int], fixed: Mapping[str, Column], header: Sequence[str]
) -> Iterator[tuple[str, str]]:
    for field, place in places.items():
        yield field, row[place] if place < len(row) else ""
    for field, column in fixed.items():
        if isinstance(column, int):
            yield field, row[column] if column < len(row) else ""
        elif isinstance(column, tuple):
            yield field, "+".join(_spread(row, *column, header))


def _spread(row: Sequence[str], first: int, stop: int, header: Sequence[str]) -> Iterator[str]:
    """Units that fill several cells: written in them, or marked by 1 under a header that ends in the unit's number."""
    for place in range(first, min(stop, len(row))):
        named = re.search(r"\d+$", header[place]) if place < len(header) else None
        if row[place] == "1" and named:
            yield named.group()
        elif row[place] not in ("", "0"):
            yield row[place]


def _header(lines: Sequence[Line], named: Mapping[str, str], path: Path) -> tuple[int, dict[str, int]]:
    """Where the header stands, and field -> position of its column."""
    wanted = {field: [_plain(name) for name in names.rstrip("?").split("|")] for field, names in named.items()}
    required = {field for field, names in named.items() if not names.endswith("?")}
    best: tuple[int, str] = (-1, "")
    for at, line in enumerate(lines[:HEADER_LINES]):
        cells = [_plain(cell) for cell in line.cells]
        found = {
            field: cells.index(name)
            for field, names in wanted.items()
            if (name := next((name for name in names if name in cells), None)) is not None
        }
        if required <= set(found):
            return at, found
        shown = ", ".join(filter(None, line.cells[: NEAREST * 2])) or "nothing"
        best = max(best, (len(found), f"line {line.number}: {shown}"), key=lambda one: one[0])
    looked = ", ".join(named[field].split("|")[0].strip() for field in sorted(required, key=list(named).index))
    raise EquimeError(
        f"expected the columns {looked} in {one_line(path)}, got at best {one_line(best[1]) or 'no line'}"
    )


def _check_positions(lines: Sequence[Line], columns: Mapping[str, Column], path: Path) -> None:
    ends = [column[1] - 1 if isinstance(column, tuple) else column for column in columns.values()]
    last = max(end for end in ends if isinstance(end, int))
    if not lines or max(len(line.cells) for line in lines) <= last:
        widest = max((len(line.cells) for line in lines), default=0)
        raise EquimeError(f"expected {last + 1} columns without a header in {one_line(path)}, got {widest}")


def _plain(name: str) -> str:
    """A header without its case, spaces and signs, which differ between versions."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
