"""`equime view WHERE`: the report with every clip, served to this machine alone."""

from __future__ import annotations

import argparse
import threading
from typing import TYPE_CHECKING

from equime.commands.diff import WHERE
from equime.commands.shared import say
from equime.options import path_argument
from equime.wording import counted

if TYPE_CHECKING:
    from equime.report.server import Viewer


def view_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime view`."""
    parser.add_argument("where", metavar="WHERE", help=WHERE)
    parser.add_argument("--port", type=int, default=0, help="where to listen on 127.0.0.1 (default: a free port)")
    answers = "answers to these clips: of `equime predict`, or a CSV or Parquet table with `clip_id, prediction`"
    parser.add_argument("--predictions", "--preds", type=path_argument, metavar="FILE", help=answers)
    who = "whose labels: the sources' or the tagger's (default: the sources' where there are any)"
    parser.add_argument("--labels", choices=["source", "tag"], help=who)
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.set_defaults(command=_view)


def _view(options: argparse.Namespace) -> int:
    import webbrowser

    from equime.media import open_media
    from equime.report.server import Viewer

    with Viewer(open_media(options.where), options.port) as viewer:  # first: a port in use is told at once
        count = _show(viewer, options)
        shown = f"{counted(count, 'clip')} at {viewer.address} for this machine alone; Ctrl-C ends it"
        say(options, shown, {"address": viewer.address, "clips": count})
        if options.open:
            webbrowser.open(viewer.address)
        _serve(viewer)
    return 0


def _serve(viewer: Viewer) -> None:
    """Answer until Ctrl-C. Beside the main thread, so that nothing but waiting can be interrupted."""
    threading.Thread(target=viewer.serve_forever, daemon=True).start()
    try:
        threading.Event().wait()
    finally:
        viewer.shutdown()


def _show(viewer: Viewer, options: argparse.Namespace) -> int:
    """Make what is served; all that it was made of is let go. Returns how many clips there are."""
    from equime.report.gallery import gallery

    page = _page(options)
    clips = gallery(options.where, options.labels, inline=False)
    viewer.show(page, clips)
    return int(clips["shown"])


def _page(options: argparse.Namespace) -> str:
    from tqdm import tqdm

    from equime.report.page import html
    from equime.report.sections import SECTIONS, sections
    from equime.report.terms import TERMS

    with tqdm(total=len(SECTIONS), desc="view", unit="section", disable=None) as bar:

        def begun(title: str) -> None:
            bar.set_postfix_str(title)
            bar.update()

        found = sections(options.where, options.predictions, None, options.labels, begun)
    return html(found, None, faces=True, terms=TERMS, served=True)
