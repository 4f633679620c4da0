"""`equime report WHERE --out report.html`: one page on which a data set shows for whom it holds."""

from __future__ import annotations

import argparse
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from equime.commands.shared import require_free, say
from equime.errors import EquimeError
from equime.options import path_argument

WHERE = "a workspace, a release's or a tree's folder, OWNER/NAME[@VERSION] on the Hub"
MOST = 24
"""Clips on one page: it stays under 10 MB."""


def report_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime report`."""
    parser.add_argument("where", metavar="WHERE", help=WHERE)
    parser.add_argument("--out", type=path_argument, required=True, metavar="HTML", help="the page")
    answers = "answers to these clips: of `equime predict`, or a CSV or Parquet table with `clip_id, prediction`"
    parser.add_argument("--predictions", "--preds", type=path_argument, metavar="FILE", help=answers)
    parser.add_argument("--against", metavar="WHERE", help="another version: what changed since")
    who = "whose labels: the sources' or the tagger's (default: the sources' where there are any)"
    parser.add_argument("--labels", choices=["source", "tag"], help=who)
    faces = "show clips; --no-faces leaves out clips and ids, to pass the page on"
    parser.add_argument("--faces", action=argparse.BooleanOptionalAction, default=True, help=faces)
    parser.add_argument("--clips", type=int, default=MOST, metavar="N", help=f"how many, 0 to {MOST}")
    parser.set_defaults(command=_report)


def _report(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from equime.report.page import write
    from equime.report.sections import SECTIONS, sections
    from equime.report.terms import TERMS

    _check(options)
    stop = threading.Event()
    # Cutting out clips is mostly the codecs' work, which leaves Python free: it goes on beside the sections.
    with ThreadPoolExecutor(1) as beside, tqdm(total=len(SECTIONS), desc="report", unit="section", disable=None) as bar:

        def begun(title: str) -> None:
            bar.set_postfix_str(title)
            bar.update()

        cut = beside.submit(_gallery, options, stop)
        try:
            found = sections(options.where, options.predictions, options.against, options.labels, begun)
            clips = cut.result()
        finally:  # whoever stops it, or gave it what does not read, waits for no more clips
            stop.set()
    size = write(options.out, found, clips, faces=options.faces, terms=TERMS)
    refused = {section.id: section.refused for section in found if section.refused}
    facts = {"out": str(options.out), "bytes": size, "sections": [s.id for s in found], "not_answered": refused}
    text = [f"not answered: {why}" for why in refused.values()]
    shown = f", {clips['shown']} clips" if clips else ", no clip"
    say(options, "\n".join([*text, f"wrote {options.out}: {size / 1e6:.1f} MB{shown}"]), facts)
    return 0


def _check(options: argparse.Namespace) -> None:
    if not 0 <= options.clips <= MOST:
        raise EquimeError(f"expected 0 to {MOST} clips on a page, got {options.clips = }; `equime view` shows all")
    read = (options.where, options.predictions, options.against)
    require_free("--out", options.out, (".html", ".htm"), read)


def _gallery(options: argparse.Namespace, stop: threading.Event) -> dict[str, Any] | None:
    if not options.faces or not options.clips:
        return None
    from equime.report.gallery import gallery

    found: dict[str, Any] = gallery(options.where, options.labels, options.clips, progress=False, stop=stop)
    return found
