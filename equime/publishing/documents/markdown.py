r"""Markdown that what comes from data cannot break: text, numbers and tables of a card.

    text("a|b <script>")                  # a\|b &lt;script&gt;
    table(["licence", "clips"], [["CC0", 12]])

Why: captions, names, licences and options are written by others. None may open a tag, a link, a column or a heading.
"""

from __future__ import annotations

import html
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

_MARKUP = re.compile(r"([\\`*_\[\]{}#|~$!])")
_BREAKS = ("Cc", "Cf", "Cs", "Zl", "Zp")
NOT_SAID = "–"


def text(value: object) -> str:
    """`value` as words: on one line, shown as it is, with nothing in it that Markdown or HTML would act on."""
    visible = "".join(" " if unicodedata.category(c) in _BREAKS else c for c in str(value))
    return _MARKUP.sub(r"\\\1", html.escape(" ".join(visible.split()), quote=False))


def code(value: str) -> str:
    """Python or shell in a card: a JSON string's quotes keep it one literal; fences cannot be closed by it."""
    return " ".join(value.split()).replace("`", "'")


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many decimals, thousands apart; a dash for what is None or not finite."""
    return NOT_SAID if value is None or not math.isfinite(value) else f"{value:,.{digits}f}"


def share(part: float, whole: float) -> str:
    """Per cent with one decimal; a dash of nothing."""
    return f"{100 * part / whole:.1f} %" if whole else NOT_SAID


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; cells are Markdown already, integers are written with their thousands apart."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(f"{c:,}" if isinstance(c, int) else c for c in line) + " |" for line in lines)


def bullets(items: Iterable[str]) -> str:
    """A list, an item a line."""
    return "\n".join(f"- {item}" for item in items)
