"""The verb publish: a workspace, or a release made before, to a version on the Hub."""

from __future__ import annotations

import argparse

from equime.commands.shared import say, warn
from equime.options import add_flags, from_flags, path_argument
from equime.stages import load


def publish_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime publish`."""
    parser.add_argument("source", type=path_argument, metavar="WORKSPACE", help="workspace, or a release made by --out")
    add_flags(parser, load("equime.builders.publish:Publish"))
    parser.set_defaults(command=_publish)


def _publish(options: argparse.Namespace) -> int:
    published = from_flags(load("equime.builders.publish:Publish"), options)(options.source)
    if options.json:
        for note in published.notes:
            warn(note)
    say(options, published, published.to_dict())
    return 0
