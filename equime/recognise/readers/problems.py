"""What is wrong with a row of a data set: said once, and whether the row is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from equime.one_line import one_line

LONGEST: Final = 300
"""Characters of an id or a reason that are shown to people."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one row.

    Attributes:
        sample: Its id, or what is known of it.
        line: Of the sheet, from 1; None where folders' names are the coding.
        what: In one line.
        kept: Whether the sample is in the table (what could not be used is null there).
        known: Whether the set is known for it, so that it does not speak against this copy.
        sheet: Name of the sheet's file, None without one.
    """

    sample: str
    line: int | None
    what: str
    kept: bool = True
    known: bool = False
    sheet: str | None = None

    def __str__(self) -> str:
        """One line for people."""
        where = "" if self.line is None else f" ({self.sheet or 'sheet'}, line {self.line})"
        return f"{_shown(self.sample)}{one_line(where)}: {_shown(self.what)} [{'kept' if self.kept else 'left out'}]"

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "sample": self.sample,
            "sheet": self.sheet,
            "line": self.line,
            "what": self.what,
            "kept": self.kept,
            "known": self.known,
        }


def _shown(text: str) -> str:
    return one_line(text[:LONGEST]) + ("..." if len(text) > LONGEST else "")
