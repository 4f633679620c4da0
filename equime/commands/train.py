"""`equime train`: an experiment on data, fold by fold and seed by seed, in a folder that can go on after anything."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equime.commands.shared import say, warn
from equime.errors import EquimeError
from equime.options import add_flags, path_argument

if TYPE_CHECKING:
    from equime.recognise.protocols.folds import Protocol
    from equime.recognise.samples import Samples
    from equime.recognise.training.experiment import Experiment

SHOWN_PROBLEMS = 10
"""Samples left out that are printed; the manifest has all."""
MODELS_OWN = "the model's own"


def train_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime train`."""
    from equime.recognise.samples import TARGETS
    from equime.recognise.training.recipe import Recipe

    add_data_flags(parser)
    parser.add_argument("--out", type=path_argument, required=True, metavar="RUN", help="the run's folder")
    parser.add_argument("--model", required=True, metavar="NAME", help="the network, as ststnet")
    parser.add_argument("--protocol", default="loso", metavar="WORDS", help="who is tested (default: loso)")
    parser.add_argument("--target", default="emotion5", choices=TARGETS, help="what is learnt (default: emotion5)")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="trainings of each fold (default: 5)")
    parser.add_argument("--control", metavar="NAME", help="what is broken on purpose: shuffled-labels, ...")
    parser.add_argument("--feature", metavar="NAME", help="what the network sees (default: what it was made for)")
    parser.add_argument("--with", dest="settings", nargs="+", default=[], metavar="K=V", help="the feature's options")
    parser.add_argument("--pretrained", type=path_argument, metavar="DIR", help="folder of safetensors to start from")
    parser.add_argument("--weights", action=argparse.BooleanOptionalAction, default=True, help="keep the networks")
    parser.add_argument("--tensorboard", action="store_true", help="write each epoch for TensorBoard")
    parser.add_argument("--push", metavar="OWNER/NAME", help="publish the networks there at the end, private and gated")
    parser.add_argument("--push-seeds", type=int, metavar="N", help="networks of the first N seeds (default: all)")
    parser.add_argument("--visible", action="store_true", help="let everybody see the gated repository's card")
    add_flags(parser, Recipe, unset=MODELS_OWN)
    add_run_flags(parser)
    parser.set_defaults(command=_train)


def add_data_flags(parser: argparse.ArgumentParser) -> None:
    """Flags that say which clips."""
    where = "NAME=PATH of a public set (`equime data list`), or a workspace, tree or repository of EquiME"
    parser.add_argument("--data", nargs="+", required=True, metavar="WHERE", help=where)
    parser.add_argument("--split", choices=["train", "validation", "test"], help="of EquiME (default: all)")
    parser.add_argument("--times", choices=["planned", "measured"], default="planned", help="of EquiME's clips")
    parser.add_argument("--rejected", action="store_true", help="EquiME's rejected clips too")


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    """Flags that change no number."""
    parser.add_argument("--cache", type=path_argument, metavar="DIR", help="features made before (default: beside RUN)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes")
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda or cuda:N")


def opened(options: argparse.Namespace) -> Samples:
    """The samples of `--data`; what could not be used is said."""
    from equime.recognise.data import open_data

    found = open_data(options.data, split=options.split, apex=options.times, accepted=not options.rejected)
    tell_problems(found.problems)
    return found.samples


def tell_problems(problems: Sequence[str]) -> None:
    """Some lines of what was left out."""
    for line in problems[:SHOWN_PROBLEMS]:
        warn(line)
    if len(problems) > SHOWN_PROBLEMS:
        warn(f"and {len(problems) - SHOWN_PROBLEMS} more")


def tell_departures(protocol: Protocol, samples: Samples) -> None:
    """Why scores cannot be compared with the challenge's, where the protocol is the challenge's."""
    from equime.recognise.protocols.across import Cde

    if "cde" in protocol.name.split(":"):
        tell_problems(Cde.departures(samples.table))


@contextlib.contextmanager
def warnings_told() -> Iterator[None]:
    """Warnings of the block as lines for people, without the line of code that they came from."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *where, **how: warn(str(message))
        yield


def cache_of(options: argparse.Namespace, out: Path) -> Path:
    """Where features are kept."""
    return options.cache or out.parent / ".features"


def _train(options: argparse.Namespace) -> int:
    from equime.devices import device
    from equime.recognise.evaluate import evaluate, lines
    from equime.recognise.training.run import run
    from equime.recognise.training.spread import is_first

    remote = _surveyed(options)
    chosen, where = _chosen(options), str(device(options.device, extra="recognise"))
    samples = opened(options)
    tell_departures(chosen.protocol, samples)
    with warnings_told():
        outcome = run(
            chosen,
            samples,
            options.out,
            cache=cache_of(options, options.out),
            workers=options.workers,
            device=where,
            weights=options.weights,
            tensorboard=options.tensorboard,
        )
    if not is_first():
        return 0
    tell_problems(outcome.problems)
    scores = evaluate(outcome.predictions)
    text = [f"{chosen.title}, {chosen.protocol.name}, {chosen.target}", *lines(scores), f"wrote {options.out}"]
    facts = {"run": options.out, "trained": outcome.trained, "scores": scores.to_dict()}
    if remote is not None:
        from equime.recognise.publish_run import push_run

        pushed = push_run(options.out, remote, seeds=options.push_seeds, visible=options.visible, tell=warn)
        text, facts = [*text, str(pushed)], facts | {"pushed": pushed.to_dict()}
    say(options, "\n".join(text), facts)
    return 0


def _chosen(options: argparse.Namespace) -> Experiment:
    from equime.recognise.training.choose import experiment
    from equime.recognise.training.recipe import Recipe

    return experiment(
        options.model,
        protocol=options.protocol,
        target=options.target,
        feature=options.feature,
        settings=options.settings,
        recipe={field.name: getattr(options, field.name) for field in dataclasses.fields(Recipe)},
        seeds=options.seeds,
        control=options.control,
        pretrained=options.pretrained,
    )


def _surveyed(options: argparse.Namespace) -> Any:
    """The repository of `--push`, if any; what the Hub would refuse is said before hours of training."""
    if options.push is None:
        if options.push_seeds is not None or options.visible:
            raise EquimeError("--push-seeds and --visible are about a repository: name it by --push OWNER/NAME")
        return None
    if not options.weights:
        raise EquimeError("--push publishes the trained networks, and --no-weights keeps none: leave one of them out")
    if options.push_seeds is not None and not 1 <= options.push_seeds <= options.seeds:
        raise EquimeError(f"expected --push-seeds from 1 to {options.seeds}, the --seeds, got {options.push_seeds}")
    from equime.recognise.model_repo import ModelRemote
    from equime.recognise.publish_run import survey

    remote = ModelRemote(options.push)
    survey(remote)
    return remote
