"""`equime experiments`: a set of experiments and its controls, as one table."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from equime.commands.shared import say
from equime.commands.train import (
    add_data_flags,
    add_run_flags,
    cache_of,
    opened,
    tell_departures,
    tell_problems,
    warnings_told,
)
from equime.errors import EquimeError
from equime.options import path_argument

if TYPE_CHECKING:
    from equime.recognise.experiments import Line


def experiments_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime experiments`."""
    add_data_flags(parser)
    parser.add_argument("--set", default="synthetic", help="synthetic, cde, transfer (default: synthetic)")
    parser.add_argument("--out", type=path_argument, required=True, metavar="DIR", help="folder of the runs")
    parser.add_argument("--seeds", type=int, metavar="N", help="trainings of each fold, instead of the set's own 5")
    parser.add_argument("--only", metavar="TEXT", help="only the experiments with this in their name, and the first")
    add_run_flags(parser)
    parser.set_defaults(command=_experiments)


def _experiments(options: argparse.Namespace) -> int:
    import dataclasses

    from equime.commands.kernels import with_kernels
    from equime.devices import device
    from equime.recognise.experiments import chosen
    from equime.recognise.protocols.variants import VariantToVariant
    from equime.recognise.published import published_lines
    from equime.recognise.results import markdown, results
    from equime.recognise.training.spread import is_first
    from equime.table import write_atomically

    lines = chosen(options.set)
    if options.seeds is not None:
        lines = tuple(
            dataclasses.replace(line, experiment=dataclasses.replace(line.experiment, seeds=options.seeds))
            for line in lines
        )
    if options.only is not None:
        lines = _named(options.only, lines)
    where = str(device(options.device, extra="recognise"))
    samples, cache = with_kernels(opened(options), options.data), cache_of(options, options.out)
    if samples.table["variant"].null_count == len(samples):
        lines = tuple(line for line in lines if not isinstance(line.experiment.protocol, VariantToVariant))
    tell_departures(lines[0].experiment.protocol, samples)
    with warnings_told():
        found = results(lines, samples, options.out, cache=cache, workers=options.workers, device=where)
    text = "\n".join([*markdown(found), *published_lines(lines[0].experiment.protocol.name)])
    if not is_first():
        return 0
    tell_problems(list(dict.fromkeys(line for result in found for line in result.problems)))
    write_atomically(options.out / "results.md", f"{text}\n".encode())
    say(options, text, {"set": options.set, "results": [result.to_dict() for result in found]})
    return 0 if all(result.sound is not False for result in found) else 1


def _named(text: str, lines: tuple[Line, ...]) -> tuple[Line, ...]:
    """The first of the lines, which the others are compared with, and those with a text in their name."""
    rest = [line for line in lines[1:] if text.lower() in line.experiment.title.lower()]
    if not rest and text.lower() not in lines[0].experiment.title.lower():
        names = "; ".join(line.experiment.title for line in lines)
        raise EquimeError(f"no experiment of this set has {text!r} in its name: expected some of {names}")
    return (lines[0], *rest)
