r"""Markdown that what comes from data cannot break: text, numbers and tables of a card.

    text("a|b <script>")                  # a\|b &lt;script&gt;
    table(["licence", "clips"], [["CC0", 12]])

Why: captions, names, licences and options are written by others. None may open a tag, a link, a column or a heading.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from equime.one_line import one_line
from equime.wording import counted

_MARKUP = re.compile(r"[\\`*_\[\]{}#|~$!]|^[-+=>]")
_NUMBERED = re.compile(r"^(\d+)([.)])(?= |$)")
"""Beside what Markdown acts on anywhere, what at the start of a line makes a list, a quote or a rule."""
NOT_SAID = "–"


def text(value: object) -> str:
    """`value` as words: on one line, shown as it is, with nothing in it that Markdown or HTML would act on.

    What does not print, terminal codes and turns of the writing direction above all, is shown as an escape.
    """
    shown = one_line(" ".join(str(value).split()))
    escaped = _NUMBERED.sub(r"\1\\\2", _MARKUP.sub(r"\\\g<0>", shown))
    return escaped.replace("&", "&amp;").replace("<", "&lt;")


def many(count: int, noun: str) -> str:
    """As `wording.counted`, with thousands set apart."""
    return counted(count, noun).replace(str(count), f"{count:,}", 1)


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
