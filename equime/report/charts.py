"""An audit's pictures as SVG that stands inside a page: its colours follow the page, in the dark and on paper too.

Why: a picture of fixed colours glares at night, and one with styles of its own breaks a strict policy of contents. Here
every style becomes a class (the page writes them all into its one style sheet, whose hash it states), and every colour
of `audit.drawing.panels` a variable of the page. Names inside a picture are made its own, so that many stand on one
page.

    chart = chart_of(plot); chart.svg, chart.rules
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from types import MappingProxyType
from typing import Final

from equime.audit.drawing import panels
from equime.audit.drawing.plots import Plot

VARIABLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        panels.INK: "var(--ink)",
        panels.SOFT: "var(--soft)",
        panels.GRID: "var(--line)",
        panels.PAPER: "var(--paper)",
        **{colour: f"var(--series-{place})" for place, colour in enumerate(panels.COLOURS, start=1)},
    }
)
"""Colour of a picture -> the page's."""
_TAG = re.compile(r"<[a-zA-Z][^<>]*>")
_STYLE = re.compile(r' style="([^"]*)"')
_ID = re.compile(r' id="([^"]*)"')
_POINTS = re.compile(r"-?\d+\.\d{3,}")


@dataclass(frozen=True)
class Chart:
    """A picture, and what the page's style sheet has to say for it.

    Attributes:
        svg: One element, safe inside HTML.
        rules: Class -> declarations.
    """

    svg: str
    rules: Mapping[str, str]


def chart_of(plot: Plot) -> Chart:
    """The picture as an element of a page.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    text = io.StringIO()
    with panels.settings(), panels.laid_out(plot.figure):
        plot.figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    body = re.sub(
        r"<defs>\s*<style.*?</style>\s*</defs>|<metadata>.*?</metadata>|<!--.*?-->", "", _inside(text), flags=re.S
    )
    rules: dict[str, str] = {}
    body = _TAG.sub(lambda tag: _classed(tag[0], rules), _own_names(body, plot.name))
    body = re.sub(r">\s+<", "><", re.sub(r"\s*\n\s*", " ", body))
    width, height = (72 * side for side in plot.figure.get_size_inches())
    label = escape(f"{plot.title}. {plot.alt}")
    return Chart(
        f'<svg class="chart" role="img" aria-label="{label}" viewBox="0 0 {width:g} {height:g}">{body.strip()}</svg>',
        rules,
    )


def _inside(text: io.StringIO) -> str:
    """What stands between the tags of the outermost element."""
    whole = text.getvalue()
    start = whole.index(">", whole.index("<svg")) + 1
    return whole[start : whole.rindex("</svg>")]


def _own_names(body: str, prefix: str) -> str:
    """Ids that are referred to get the picture's name in front; others go."""
    used = {*re.findall(r'href="#([^"]+)"', body), *re.findall(r"url\(#([^)]+)\)", body)}

    def renamed(tag: re.Match[str]) -> str:
        text = _ID.sub(lambda found: f' id="{prefix}-{found[1]}"' if found[1] in used else "", tag[0])
        text = re.sub(r'(?:xlink:)?href="#', f'href="#{prefix}-', text)
        return text.replace("url(#", f"url(#{prefix}-")

    return _TAG.sub(renamed, body)


def _classed(tag: str, rules: dict[str, str]) -> str:
    """A tag with its style as a class, and its coordinates to a hundredth of a point."""

    def style(found: re.Match[str]) -> str:
        declared = _declared(found[1])
        if not declared:
            return ""
        name = "c" + hashlib.sha256(declared.encode()).hexdigest()[:6]
        rules[name] = declared
        return f' class="{name}"'

    return _POINTS.sub(lambda n: f"{float(n[0]):.2f}".rstrip("0").rstrip("."), _STYLE.sub(style, tag))


def _declared(style: str) -> str:
    """Declarations in the page's colours and its typeface."""
    found = re.sub(r"font-family: [^;]*;?|font: (?=italic|[\d.]+px)", "", style)
    found = re.sub(r"(?:(italic) )?([\d.]+)px '[^;]*", r"font-size: \2px; font-style: \1", found)
    for colour, variable in VARIABLES.items():
        found = found.replace(colour, variable)
    return re.sub(r"font-style: (;|$)", "", found).strip(" ;")
