"""How to cite a release: the publication that introduced the data set, and this version, as BibTeX and CITATION.cff.

    print(bibtex(about))          # @article{tan2025me-vlm, ...} and @misc{equime-1.1.0, ...}
    print(cff(about))             # https://citation-file-format.github.io, 1.2.0

The publication is cited as its authors ask for it. They gave placeholders for its arXiv number and DOI, which are left
out: an identifier that leads nowhere is worse than none.
"""

from __future__ import annotations

import json
import re
from typing import Final

from equime.publishing.about import About

KEY: Final = "tan2025me-vlm"
TITLE: Final = "ME-VLM: A Visual-Language Model for Micro-expression Synthesis and Classification"
AUTHORS: Final = (
    ("Tan", "Pei-Sze"),
    ("Tan", "Yee-Fan"),
    ("Rajanala", "Sailaja"),
    ("Phan", "Raphael C.-W."),
    ("Ong", "Huey-Fang"),
)
"""(family name, given names), in the order of the publication."""
YEAR: Final = 2025
JOURNAL: Final = "arXiv preprint"
NAME: Final = "EquiME"
ALIAS: Final = "ME-VLM"
"""The name of the data set in its publication."""
SPDX: Final = "CC-BY-NC-4.0"
HUB: Final = "https://huggingface.co"
_ADDRESS: Final = re.compile(r"\S+@\S+\.\S{2,}")
MESSAGE: Final = "If you use this data set, cite the publication, and name the version you used."


def page(about: About) -> str:
    """Where the data set lives."""
    return f"{HUB}/datasets/{about.repo}"


def owner(about: About) -> str:
    """Who publishes this release: the name before the repository's "/"."""
    return about.repo.partition("/")[0]


def bibtex(about: About) -> str:
    """Two entries: the publication under `KEY`, and this version."""
    authors = " and ".join(f"{family}, {given}" for family, given in AUTHORS)
    article = {"title": "{" + TITLE + "}", "author": authors, "journal": JOURNAL, "year": str(YEAR)}
    version = {
        "title": f"{{{NAME} ({ALIAS}), version {about.version}}}",
        "author": "{" + owner(about) + "}",
        "publisher": "Hugging Face",
        "year": about.date[:4],
        "version": about.version,
        "url": f"{page(about)}/tree/{about.version}",
    }
    return _entry("article", KEY, article) + "\n" + _entry("misc", f"equime-{about.version}", version)


def _entry(kind: str, key: str, fields: dict[str, str]) -> str:
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"]) + "\n"


def cff(about: About) -> str:
    """The file CITATION.cff, format 1.2.0: this version, and the publication as what to cite instead."""
    contact = about.policy.contact
    values: dict[str, object] = {
        "cff-version": "1.2.0",
        "message": MESSAGE,
        "type": "dataset",
        "title": f"{NAME} ({ALIAS})",
        "version": about.version,
        "date-released": about.date,
        "url": page(about),
        "license": SPDX,
        "authors": [{"name": owner(about)}],
        "contact": [{"name": owner(about)} | ({"email": contact} if _ADDRESS.fullmatch(contact) else {})],
        "keywords": ["micro-expression", "facial action units", "synthetic video", "fairness"],
        "preferred-citation": {
            "type": "article",
            "status": "preprint",
            "title": TITLE,
            "journal": JOURNAL,
            "year": YEAR,
            "authors": [{"family-names": family, "given-names": given} for family, given in AUTHORS],
            "notes": f"BibTeX key: {KEY}",
        },
    }
    # JSON's values are YAML's, quoted so that no name can be read as anything else.
    return "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())
