"""`equime spot`: when something happens in whole clips, by a spotter that learns nothing."""

from __future__ import annotations

import argparse
import math

from equime.commands.shared import say
from equime.commands.train import add_data_flags, opened, tell_problems
from equime.options import add_flags, from_flags, path_argument


def spot_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime spot`."""
    from equime.recognise.protocols.spotting import Spotter

    add_data_flags(parser)
    parser.add_argument("--keep", type=path_argument, metavar="JSONL", help="what was found, to go on with")
    add_flags(parser, Spotter)
    parser.set_defaults(command=_spot)


def _spot(options: argparse.Namespace) -> int:
    from equime.recognise.protocols.spotting import Spotter
    from equime.recognise.spot import lines, spot

    found = spot(opened(options), from_flags(Spotter, options), keep=options.keep)
    tell_problems(found.problems)
    scores = {
        name: {part: None if math.isnan(v) else v for part, v in estimate._asdict().items()}
        for name, estimate in vars(found.scores).items()
        if name != "counts"
    }
    facts = {"clips": found.clips, "scores": scores, "counts": vars(found.scores.counts), "problems": found.problems}
    say(options, "\n".join(lines(found)), facts | {"intervals": found.intervals})
    return 0
