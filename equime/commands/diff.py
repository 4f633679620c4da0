"""`equime diff A B`: what changed between two versions, workspaces or folders."""

from __future__ import annotations

import argparse

from equime.commands.shared import say

WHERE = "a workspace, a release's or a tree's folder, or OWNER/NAME[@VERSION] on the Hub"


def diff_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime diff`."""
    parser.add_argument("a", metavar="A", help=f"before: {WHERE}")
    parser.add_argument("b", metavar="B", help="after: likewise")
    parser.set_defaults(command=_diff)


def _diff(options: argparse.Namespace) -> int:
    from equime.publishing.comparing.diff import diff
    from equime.publishing.comparing.snapshot import open_version

    found = diff(open_version(options.a), open_version(options.b))
    say(options, "\n".join(found.lines()), found.to_dict())
    return 0
