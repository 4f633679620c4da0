"""The sheet that a coder fills in, one row an item, and how it is read back.

    review    coder  item      units    side  intensity  emotion    realism  comment
    kmbtrwdz  A      item_017  L12B+6A  L     B          happiness  4

Units are in the notation of `equime.action_units.parse`. An empty cell is *not coded*; "0", "none" or "neutral" among
the units means that none was seen. Sheets are CSV with a byte order mark: Excel garbles what is not ASCII without one.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from equime import schema
from equime.action_units import INTENSITIES, ActionUnit, parse
from equime.audit.tables.files import read_table, require
from equime.errors import EquimeError

UNSURE: Final = "unsure"
EMOTIONS: Final = (*schema.EMOTIONS, schema.DISGUST, schema.NEUTRAL, UNSURE)
REALISM: Final = ("1", "2", "3", "4", "5")
CODED: Final = ("units", "side", "intensity", "emotion", "realism")
COLUMNS: Final = ("review", "coder", "item", *CODED, "comment")
_NONE: Final = ("0", "-", "none", "neutral")
_OPEN: Final = ("?", "/", "na", "n/a", "nan", "null")
_REVIEW: Final = re.compile(r"[a-z]{8}")
_NUMBER: Final = re.compile(r"(\d+)\.0*")
_POWER: Final = re.compile(r"\d+(\.\d+)?e[+-]?\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Code:
    """What somebody, or the plan, says of one clip; None where nothing is said.

    Attributes:
        units: The units seen; empty: none was.
        side: L, R, B or U, of the expression as a whole; without a word of its own that of the units, where all agree.
        intensity: A to E, of the strongest unit; without a word of its own from the units' letters.
        emotion: One of `EMOTIONS`.
        realism: 1 to 5, higher is more like a real person.
    """

    units: tuple[ActionUnit, ...] | None = None
    side: str | None = None
    intensity: str | None = None
    emotion: str | None = None
    realism: int | None = None

    @property
    def said(self) -> bool:
        """Whether anything is."""
        return any(getattr(self, name) is not None for name in CODED)


@dataclass(frozen=True)
class Row:
    """A filled row of a sheet."""

    review: str
    coder: str
    item: str
    code: Code


def blank(review: str, coder: str, items: Sequence[str]) -> bytes:
    """An empty sheet, in the items' order."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(COLUMNS)
    rows.writerows([review, coder, item, *[""] * (len(COLUMNS) - 3)] for item in items)
    return text.getvalue().encode("utf-8-sig")


def read_sheet(path: Path) -> list[Row]:
    """The rows of a sheet, comma, semicolon or tab between the cells.

    The coder is who the column says, or the sheet's name where that is empty.

    Raises:
        EquimeError: It does not read, lacks a column, or has a cell that makes no sense; says in which item.
    """
    table = read_table(path)
    require(table, ("review", "item", *CODED), path)
    return [_row(path, cells) for cells in table.to_pylist()]


def derived(units: Sequence[ActionUnit]) -> tuple[str | None, str | None]:
    """Side and intensity that units have together: the one side of them all, and the strongest letter."""
    sides = {unit.side for unit in units}
    letters = max((unit.intensity or "" for unit in units), default="")
    return sides.pop() if len(sides) == 1 else None, letters or None


def _row(path: Path, cells: dict[str, Any]) -> Row:
    told = {name: _text(value) for name, value in cells.items()}
    item = told["item"].lower().removesuffix(".mp4")
    coder = told.get("coder") or path.stem.removeprefix("sheet_")
    if not _REVIEW.fullmatch(told["review"]) or not item:
        raise EquimeError(
            f"{path}: expected the review and the item in every row as they were exported, got"
            f" {told['review']!r}, {told['item']!r}"
        )
    try:
        return Row(told["review"], coder, item, _code(told))
    except EquimeError as error:
        raise EquimeError(f"{path}, {item}: {error}") from error


def _text(value: Any) -> str:
    """A cell as it would be typed: spreadsheets turn 12 into 12.0."""
    text = "" if value is None else str(value).strip()
    number = _NUMBER.fullmatch(text)
    return number[1] if number else text


def _code(told: dict[str, str]) -> Code:
    units = _units(told["units"])
    side = _one_of("side", told["side"].upper(), schema.SIDES)
    intensity = _one_of("intensity", told["intensity"].upper(), INTENSITIES)
    emotion = _one_of("emotion", told["emotion"].lower(), EMOTIONS)
    realism = _one_of("realism", told["realism"], REALISM)
    if units == () and (side or intensity):
        raise EquimeError(f"expected no side and no intensity where no unit was seen, got {side = }, {intensity = }")
    own = derived(units or ())
    return Code(units, side or own[0], intensity or own[1], emotion, int(realism) if realism else None)


def _units(text: str) -> tuple[ActionUnit, ...] | None:
    if text.lower() in ("", *_OPEN):
        return None
    if text.lower() in _NONE:
        return ()
    if _POWER.fullmatch(text):
        raise EquimeError(f"expected units, got the number {text}: a spreadsheet takes 4E+7 for one, write AU4E+7")
    return parse(text).units


def _one_of(name: str, text: str, known: Sequence[str]) -> str | None:
    if text and text not in known:
        raise EquimeError(f"expected {name} to be one of {', '.join(known)} or empty, got {text!r}")
    return text or None
