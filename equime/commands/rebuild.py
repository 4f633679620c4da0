"""`equime rebuild`: a recipe and the pictures it names become the clips again."""

from __future__ import annotations

import argparse

from equime.commands.shared import say, warn
from equime.options import path_argument

SHOWN = 20


def rebuild_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime rebuild`."""
    parser.add_argument("recipe", help="OWNER/NAME[@VERSION] on the Hub, or the folder of a recipe")
    parser.add_argument(
        "--faces", type=path_argument, required=True, metavar="DIR", help="folder of the pictures, whatever their names"
    )
    parser.add_argument("--out", type=path_argument, required=True, metavar="WS", help="workspace for the clips")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes")
    parser.add_argument("--shard-rows", type=int, default=64, metavar="N", help="rows a shard of a new workspace")
    parser.set_defaults(command=_rebuild)


def _rebuild(options: argparse.Namespace) -> int:
    from equime.publishing.recipes.rebuild import rebuild, shown

    rebuilt = rebuild(
        options.recipe, options.faces, options.out, workers=options.workers, shard_rows=options.shard_rows
    )
    for line in shown(rebuilt, SHOWN):
        warn(line)
    say(options, rebuilt, rebuilt.to_dict())
    return 0 if rebuilt.whole else 1
