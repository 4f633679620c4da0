"""`equime verify REPO[@VERSION]|FOLDER`: whether a copy of a release is whole."""

from __future__ import annotations

import argparse

from equime.commands.shared import say


def verify_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime verify`."""
    parser.add_argument("where", metavar="REPO[@VERSION]|FOLDER", help="on the Hub (default: what is on main), or here")
    parser.add_argument("--bytes", action="store_true", help="fetch and hash every byte, and each clip in the files")
    parser.set_defaults(command=_verify)


def _verify(options: argparse.Namespace) -> int:
    from equime.publishing.comparing.verify import verify

    found = verify(options.where, deep=options.bytes)
    say(options, found, found.to_dict())
    return 0 if found.whole else 1
