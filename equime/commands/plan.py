"""The verb plan: what was chosen and how even it is, before anything is generated."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from equime.commands.shared import add_workspace, say, warn
from equime.errors import EquimeError
from equime.options import add_flags, from_flags
from equime.stages import stage_class

SHOWN = 20
"""Left-out pictures named one by one; --json names them all."""

SCREENED = (
    *("face", "faces", "size", "room", "pose", "sharpness", "eyes", "mouth", "smile", "neutral", "glasses"),
    *("age", "copy"),
)
"""Kinds of pictures that a screen is there to leave out; any other is a mistake in the faces: the exit code says so."""


def plan_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime plan`."""
    from equime.plan import PlanOptions

    add_workspace(parser)
    add_flags(parser, PlanOptions)
    parser.add_argument("--generator", default="warp", choices=["warp", "ltx"], help="plan only what it can show")
    parser.add_argument("--drive", choices=["prompt", "keyframes"], help="with --generator ltx: what moves the face")
    parser.add_argument("--refill", action="store_true", help="plan new clips where scored ones were not accepted")
    parser.add_argument("--replace", action="store_true", help="plan all rows anew; says what goes stale")
    parser.add_argument("--yes", action="store_true", help="with --replace: do not ask")
    parser.set_defaults(command=_plan)


def _plan(options: argparse.Namespace) -> int:
    from equime import plan as planning

    if options.replace and options.refill:
        raise EquimeError("--refill adds to the plan that --replace would undo: give one of them")
    chosen = from_flags(planning.PlanOptions, options)
    shows = _shown_by(options)
    try:
        with _bar("faces", "face") as tick, _bar("plan", "clip") as wrote:
            if options.replace:
                report = planning.replan(
                    options.workspace, chosen, shows, lambda lines: _confirm(options, lines), tick, wrote
                )
            elif options.refill:
                report = planning.refill_plan(options.workspace, chosen, shows, wrote)
            else:
                report = planning.plan(options.workspace, chosen, shows, tick, wrote)
    except planning.ShortfallError as error:
        _warn_of(error.rejected)
        for line in str(error.equity).splitlines():
            warn(line)
        raise
    if report is None:
        raise EquimeError("nothing was changed")
    for path, note in report.notes.items():
        warn(f"{path}: {note}")
    _warn_of(report.rejected)
    say(options, report, report.to_dict())
    return 1 if any(reason.partition(":")[0] not in SCREENED for reason in report.rejected.values()) else 0


def _shown_by(options: argparse.Namespace) -> Mapping[int, str]:
    """What the generator that will follow the plan can show."""
    chosen = {"generator": options.generator}
    if options.drive:
        chosen |= {"drive": options.drive, "pipeline": "condition"}
    shown: Mapping[int, str] = from_flags(stage_class("generate"), chosen).shows
    return shown


def _warn_of(rejected: Mapping[str, str]) -> None:
    for path, reason in list(rejected.items())[:SHOWN]:
        warn(f"left out {path}: {reason}")
    if len(rejected) > SHOWN:
        warn(f"left out {len(rejected) - SHOWN} more: `equime screen` lists all with --all, under the same flags")


@contextlib.contextmanager
def _bar(name: str, unit: str) -> Iterator[Callable[[int, int], Any]]:
    """A progress bar that appears with its first step."""
    from tqdm import tqdm

    with contextlib.ExitStack() as stack:
        bars: list[Any] = []

        def tick(done: int, total: int) -> None:
            if not bars:
                bars.append(stack.enter_context(tqdm(desc=name, unit=unit, total=total, disable=None)))
            bars[0].update(done - bars[0].n)

        yield tick


def _confirm(options: argparse.Namespace, lines: list[str]) -> bool:
    warn("the new plan leaves stale: " + ("; ".join(lines) or "nothing"))
    if options.yes or not lines:
        return True
    if not sys.stdin.isatty():
        raise EquimeError("nothing was changed: add --yes to replace the plan")
    return input("replace the plan? [y/N] ").strip().lower() in ("y", "yes")
