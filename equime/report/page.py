"""The page: one file that holds everything it shows, and may fetch nothing.

    size = write(Path("report.html"), sections("ws"), gallery, faces=True, terms=TERMS)

Why so strict: the page holds faces and stands on strangers' machines. Its policy of contents lets in one script and one
style sheet by their hashes, pictures and clips from the page itself, and no connection; text from data is escaped, and
data for the script lies in elements that no browser runs. `equime view` serves the same page, with its clips beside it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import equime
from equime import schema
from equime.audit.result import Audit
from equime.report.gallery import packed
from equime.report.overview import Grid
from equime.report.parts import Shown, audit_html, grid_html, said
from equime.report.sections import Section
from equime.table import replacing, writing

TITLE: Final = "For whom does it hold?"
CLIPS: Final = (
    "Clips that were chosen to show the middle and the worst, not only the best. Times are from the clip's start. "
    "Emotions are intended, action units planned; labels of appearance are perceived."
)
NO_FACES: Final = "This copy shows no clip and names nobody: it was made with --no-faces, to be passed on."
_INSIDE: Final = "img-src data: blob:; media-src data: blob:; connect-src 'none'"
_SERVED: Final = "img-src 'self' data: blob:; media-src 'self' data: blob:; connect-src 'self'"
_ESCAPES: Final = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def write(
    path: Path, sections: Sequence[Section], gallery: Mapping[str, Any] | None, *, faces: bool, terms: Sequence[str]
) -> int:
    """Write the page, whole or not at all.

    Args:
        path: The file.
        sections: In the order in which they are read.
        gallery: The clips; not used without faces.
        faces: Whether clips, their ids and the terms stand on the page.
        terms: What whoever sees faces has to keep to, a paragraph each.

    Returns:
        Its size in bytes.

    Raises:
        EquimeError: It cannot be written.
    """
    data = html(sections, gallery, faces=faces, terms=terms).encode()
    with writing(path), replacing(path) as handle:
        handle.write(data)
    return len(data)


def html(
    sections: Sequence[Section],
    gallery: Mapping[str, Any] | None,
    *,
    faces: bool,
    terms: Sequence[str],
    served: bool = False,
) -> str:
    """The page as text: see `write`.

    Args:
        sections: As there.
        gallery: As there; where the page is `served`, None, and the script asks for clips.json.
        faces: As there.
        terms: As there.
        served: Whether a server gives out this page and its clips.
    """
    lead = _lead(sections)
    shown = [_section(section, lead) for section in sections]
    rules = {name: rule for each in shown for name, rule in each.rules.items()}
    style = _static("page.css") + "\n".join(f".{name}{{{rule}}}" for name, rule in sorted(rules.items()))
    script = _static("page.js")
    clips = faces and (served or bool(gallery))
    contents = [(section.id, section.title) for section in sections] + [("gallery", "Clips")] * clips
    data = {f"data-{name}": value for each in shown for name, value in each.data.items()}
    if faces and gallery:
        data["clips"] = packed(gallery)
    named = str if faces else _unnamed
    places = {
        "policy": _policy(style, script, served),
        "title": said(TITLE),
        "lead": f'<p class="lead">{said(lead)}</p>' if lead else "",
        "contents": "".join(f'<li><a href="#{said(name)}">{said(title)}</a></li>' for name, title in contents),
        "terms": _terms(terms) if faces else f"<p>{NO_FACES}</p>",
        "first": named("\n".join(each.html for each in shown[:1])),
        "sections": named("\n".join(each.html for each in shown[1:])),
        "gallery": _gallery(served) if clips else "",
        "made": said(f"equime {equime.__version__}"),
        "data": named("\n".join(_embedded(name, value) for name, value in data.items())),
        "style": style,
        "script": script,
    }
    return re.sub(r"<!--(\w+)-->", lambda place: places[place[1]], _static("page.html"))


def _section(section: Section, said_above: str) -> Shown:
    found = Shown()
    parts = [f"<h2>{said(section.title)}</h2>"]
    parts += [f'<p class="lead">{said(section.lead)}</p>'] * bool(section.lead)
    for part in section.parts:
        if isinstance(part, Audit):
            shown = audit_html(part, f"{section.id}-")
            found.rules |= shown.rules
            found.data |= shown.data
            parts.append(shown.html)
        elif part != said_above:
            parts.append(grid_html(part) if isinstance(part, Grid) else f"<p>{said(part)}</p>")
    if section.refused:
        parts.append(f'<p class="refused">Not answered: {said(section.refused)}</p>')
    found.html = f'<section id="{said(section.id)}">{"".join(parts)}</section>'
    return found


def _unnamed(text: str) -> str:
    """A text in which no clip is named, whatever a note or an error said."""
    return schema.CLIP_ID.sub("(a clip)", text)


def _lead(sections: Sequence[Section]) -> str:
    """The first line of the first section stands at the head of the page."""
    first = next((part for section in sections[:1] for part in section.parts), "")
    return first if isinstance(first, str) else ""


def _terms(terms: Sequence[str]) -> str:
    lines = "".join(f"<li>{said(line)}</li>" for line in terms)
    return f'<aside class="terms" aria-label="Terms"><strong>Terms</strong><ul>{lines}</ul></aside>'


def _gallery(served: bool) -> str:
    return (
        f'<section id="gallery"{" data-served" * served}><h2>Clips</h2><p class="lead">{CLIPS}</p>'
        "<noscript><p>The clips need the page's own script, which is off here.</p></noscript></section>"
    )


def _policy(style: str, script: str, served: bool) -> str:
    return (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        f"{_SERVED if served else _INSIDE}; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _embedded(name: str, value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).translate(_ESCAPES)
    return f'<script type="application/json" id="{said(name)}">{text}</script>'


def _static(name: str) -> str:
    return files("equime.report").joinpath("static", name).read_text("utf-8")
