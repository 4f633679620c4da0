"""How the public micro-expression sets lay out their coding, told by the header of a CSV.

Why apart: what a column is called, in which unit its times are and where a header is missing is knowledge about files;
`equime.scm.coded` makes clips of what is found here.

    layout, columns, rows = find_layout(read_text(path), path)
"""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from equime.errors import EquimeError

HEADER_LINES = 40
"""How far down a header is looked for."""


Columns = dict[str, int]
"""Role of a column -> where it stands."""
Lines = list[tuple[int, list[str]]]
"""Number of the line, and its cells."""


class Layout(NamedTuple):
    """How one set writes its coding.

    Attributes:
        name: as the sets of the packaged tables are named.
        headers: the columns of subject, file name, emotion, units, onset, apex and offset; "" where there is none.
        marks: further columns that tell this set from those that share the others.
        kind: the column that tells micro- from macro-expressions, or "".
        fps: of the frames that times are given in; 0 in ms; None unknown.
    """

    name: str
    headers: tuple[str, ...]
    marks: tuple[str, ...] = ()
    kind: str = ""
    fps: float | None = None


_FRAMES = ("onsetframe", "apexframe", "offsetframe")
_PLAIN = ("", "", "emotion", "actionunits")
_CASME2 = ("subject", "filename", "estimatedemotion", "actionunits", *_FRAMES)
_CASME3 = ("subject", "filename", "emotion", "au", "onset", "apex", "offset")

LAYOUTS: tuple[Layout, ...] = (
    Layout("samm", _CASME2, ("micro",), "micro", 200),
    Layout("samm", _CASME2, ("inducementcode",), "", 200),
    Layout("mmew", _CASME2, ("remarks",), "", 90),
    Layout("casme2", _CASME2, ("blank",), "", 200),
    Layout("casme2", _CASME2),
    Layout("casme", ("subject", "filename", "emotion", "au", "onsetf", "apexf1", "offsetf"), (), "", 60),
    Layout("casme3_partA", _CASME3, ("expressiontype",), "expressiontype", 30),
    Layout("casme3_partA", _CASME3, (), "", 30),
    Layout("4dme", ("subid", "foldname", "emotion", "aus", "onset", "apex", "offset"), (), "", 60),
    Layout("dfme", ("subject", "filename", "emotion", "units", *_FRAMES[:2], "")),
    Layout("own", (*_PLAIN, "onsetms", "apexms", "offsetms"), fps=0),
    Layout("own", (*_PLAIN, "onset", "apex", "offset")),
    Layout("own", (*_PLAIN, "", "", "")),
)
"""In the order tried. CASME II and MMEW share their columns but for CASME II's blank ones and MMEW's remarks: without
either, the frame rate (200 or 90) has to be given."""
_CASME_SQUARED = Layout("casme_squared", ("0", "1", "6", "5", "2", "3", "4"), (), "7", 30)
OWN = "emotion,action_units[,onset_ms,apex_ms,offset_ms]"
PUBLISHED = (
    "the columns of CASME, CASME II, SAMM, MMEW, CAS(ME)2, CAS(ME)3, 4DME or DFME ('Subject, Filename, OnsetFrame, "
    "..., Action Units, Estimated Emotion')"
)


def read_text(path: Path) -> str:
    """The text of a CSV file; raises `EquimeError` where there is none, or a spreadsheet."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EquimeError(f"cannot read {path}: {error.strerror}; give a CSV file") from error
    if data[:4] in (b"PK\x03\x04", b"\xd0\xcf\x11\xe0"):
        raise EquimeError(f"expected a CSV file, got a spreadsheet: {path}; save its sheet as CSV (UTF-8) first")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("gb18030", errors="replace")


_UNITS = r"aus?\d*|actionunits?\d*"
_BLANK = r"|unnamed\d+"
_ROLES = ("subject", "clip", "emotion", "units", "onset", "apex", "offset")


def find_layout(text: str, path: Path, own: str = OWN) -> tuple[Layout, Columns, Lines]:
    """The layout, where its columns are, and the rows below the header with their line numbers.

    Args:
        text: Of the file.
        path: Its name, for messages.
        own: The header that the caller takes beside the published ones, for messages.

    Raises:
        EquimeError: no CSV text, or no layout that is known.
    """
    for delimiter in (",", ";", "\t"):
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        try:
            lines = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
        except csv.Error as error:
            raise EquimeError(f"expected CSV text in {path}, line {reader.line_num}: {error}; save it again") from error
        for at, (_, row) in enumerate(lines[:HEADER_LINES]):
            names = [re.sub(r"[^a-z0-9]", "", cell.lower()) for cell in row]
            found = next(_matches(names), None)
            if found:
                return *found, _below(lines[at + 1 :], *found, names)
            if _is_casme_squared(row):
                columns = {role: int(index) for role, index in zip(_ROLES, _CASME_SQUARED.headers, strict=True)}
                return _CASME_SQUARED, columns | {"kind": 7}, lines[at:]
    got = next((line.strip() for line in text.splitlines() if line.strip(" ,;\t")), "")[:120]
    raise EquimeError(f"expected '{own}', or {PUBLISHED}, got {got!r} in {path}; give it such a header")


def _matches(names: Sequence[str]) -> Iterator[tuple[Layout, Columns]]:
    """Layouts whose columns are all in a header; blank columns, "Unnamed: 2" to pandas, count as "blank"."""
    known = ["blank" if re.fullmatch(_BLANK, name) else name for name in names]
    has_units = any(re.fullmatch(_UNITS, name) for name in known)
    for layout in LAYOUTS:
        wanted = {header for header in (*layout.headers, *layout.marks) if header}
        if wanted - {"units"} <= set(known) and ("units" not in wanted or has_units):
            columns = {role: known.index(h) for role, h in zip(_ROLES, layout.headers, strict=True) if h in known}
            extra = {"kind": layout.kind, "second": "apexf2" if layout.name == "casme" else ""}
            optional = {role: header for role, header in extra.items() if header and header in known}
            if layout.name == "own":
                optional |= {role: role for role in ("subject", "clip") if role in known}
            if layout.name == "dfme" and "offsetframe" in known:
                optional["offset"] = "offsetframe"
            yield layout, columns | {role: known.index(header) for role, header in optional.items()}


def _below(lines: Lines, layout: Layout, columns: Columns, names: Sequence[str]) -> Lines:
    """The rows; those of DFME, whose units fill several columns, with these written together in one more."""
    if layout.name != "dfme":
        return lines
    spread = {index: name for index, name in enumerate(names) if re.fullmatch(_UNITS, name)}
    # What follows the units' header without one of its own belongs to them.
    spread |= {i: "" for i in range(max(spread), len(names)) if re.fullmatch(_BLANK, names[i])}
    indices = sorted(spread)
    rows = [(line, [*row, *[""] * len(names)][: len(names)]) for line, row in lines]
    cells = {row[index].strip() for _, row in rows for index in indices}
    marked = len(indices) > 1 and cells <= {"", "0", "1", "0.0", "1.0"}
    columns["units"] = len(names)
    return [(line, [*row, "+".join(_spread(row, spread, marked))]) for line, row in rows]


def _spread(row: Sequence[str], spread: Mapping[int, str], marked: bool) -> Iterator[str]:
    """The units of a row that are written in its cells, or named by the headers of those that are marked."""
    for index, name in sorted(spread.items()):
        cell = row[index].strip()
        if cell not in ("", "0", "0.0"):
            yield re.sub(r"\D", "", name) if marked else cell


def _is_casme_squared(row: Sequence[str]) -> bool:
    """Nine columns without a header: three frame numbers, and the type of the expression in the eighth."""
    return (
        len(row) >= 8
        and bool(re.fullmatch(r"m[ia]cro-expression", row[7].strip(), re.IGNORECASE))
        and all(number(cell) is not None for cell in row[2:5])
    )


def number(cell: str) -> float | None:
    """A cell's number; None where there is none ("/", "")."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
