"""`equime export-vlm WHERE --format trl --out DIR`: questions, answers and clips as trainers of models read them."""

from __future__ import annotations

import argparse
from itertools import islice

from equime.commands.shared import say, warn
from equime.options import add_flags, from_flags, path_argument

WHERE = "a workspace, a release's or a tree's folder, OWNER/NAME[@VERSION] on the Hub"
FEW = 5
"""Clips that are named on the screen; `export.json` names all."""


def export_vlm_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime export-vlm`."""
    from equime.tuning.formats.options import Export

    parser.add_argument("where", metavar="WHERE", help=WHERE)
    parser.add_argument("--out", type=path_argument, required=True, metavar="DIR", help="a new folder, or one begun")
    add_flags(parser, Export)
    parser.set_defaults(command=_export_vlm)


def _export_vlm(options: argparse.Namespace) -> int:
    from equime.tuning.formats.export import export
    from equime.tuning.formats.options import Export

    done = export(options.where, options.out, from_flags(Export, options))
    for clip_id, why in islice(done.failed.items(), FEW):
        warn(f"{clip_id}: {why}")
    if len(done.failed) > FEW:
        warn(f"and {len(done.failed) - FEW} more clips, see {done.out / 'export.json'}")
    facts = {"out": str(done.out), "written": done.written, **done.manifest}
    say(options, done, facts)
    return 1 if done.failed else 0
