"""`equime predict`, `equime evaluate`: answers of trained networks, and what answers are worth."""

from __future__ import annotations

import argparse

from equime.commands.shared import say
from equime.commands.train import add_data_flags, add_run_flags, cache_of, opened, tell_problems
from equime.errors import EquimeError
from equime.options import path_argument

MODEL = "a run's folder, or OWNER/NAME[@REVISION] on the Hub"


def predict_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime predict`."""
    parser.add_argument("model", metavar="MODEL", help=MODEL).required = False
    parser.add_argument("--model", dest="named", metavar="MODEL", help="the same, by name")
    add_data_flags(parser)
    parser.add_argument("--out", type=path_argument, required=True, metavar="PARQUET", help="where the answers go")
    parser.add_argument("--raft-weights", type=path_argument, metavar="FILE", help="for networks that read RAFT's flow")
    add_run_flags(parser)
    parser.set_defaults(command=_predict)


def evaluate_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime evaluate`."""
    parser.add_argument("predictions", type=path_argument, metavar="PARQUET", help="of `equime train` or `predict`")
    parser.set_defaults(command=_evaluate)


def _predict(options: argparse.Namespace) -> int:
    from equime.devices import device
    from equime.recognise import predictions
    from equime.recognise.predict import predict

    given = [model for model in (options.model, options.named) if model is not None]
    if len(given) != 1:
        raise EquimeError(f"expected one MODEL, {MODEL}; got {given}")
    where = str(device(options.device, extra="recognise"))
    found = predict(
        given[0],
        opened(options),
        cache=cache_of(options, options.out),
        workers=options.workers,
        device=where,
        raft_weights=options.raft_weights,
    )
    tell_problems(found.problems)
    predictions.write(options.out, found.predictions, {"model": found.model, "networks": found.networks})
    clips = len(set(found.predictions["sample_id"].to_pylist()))
    facts = {"clips": clips, "networks": found.networks, "unanswered": len(found.problems), "out": options.out}
    say(options, f"{clips} clips answered by {found.networks} networks; wrote {options.out}", facts)
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from equime.recognise import predictions
    from equime.recognise.evaluate import evaluate, lines

    scores = evaluate(predictions.read(options.predictions)[0])
    say(options, "\n".join(lines(scores)), scores.to_dict())
    return 0
