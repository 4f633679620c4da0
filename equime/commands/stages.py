"""The verbs of the stages: generate, caption, ... Each flag is a field of the stage's dataclass."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from equime.commands.shared import add_workspace, say, warn
from equime.errors import EquimeError
from equime.options import add_flags, from_flags
from equime.stages import stage_class


def stage_flags(name: str) -> Callable[[argparse.ArgumentParser], None]:
    """Flags of one stage's verb."""

    def flags(parser: argparse.ArgumentParser) -> None:
        add_workspace(parser)
        add_run_flags(parser, name)
        parser.set_defaults(command=lambda options: _run_stage(name, options))

    return flags


def add_run_flags(parser: argparse.ArgumentParser, name: str) -> None:
    """Flags of a stage's fields, and of how it is run."""
    add_flags(parser, stage_class(name))
    parser.add_argument("--on", default="local", choices=["local", "ray"], help="this machine, or a Ray cluster")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes, or the cluster's actors")
    parser.add_argument("--gpus", type=float, default=0.0, metavar="X", help="with --on ray: GPUs a worker")
    parser.add_argument("--shard", type=share, metavar="i/n", help="only shards i modulo n, beside others")
    parser.add_argument("--retry-failed", action="store_true", help="also run failed rows again")
    if name != "generate":
        parser.add_argument("--replace-imported", action="store_true", help="also make again what an import brought")


def share(text: str) -> tuple[int, int]:
    """`i/n` as two numbers.

    Raises:
        argparse.ArgumentTypeError: Anything else, or no 0 <= i < n.
    """
    index, _, count = text.partition("/")
    if index.isdecimal() and count.isdecimal() and int(index) < int(count):
        return int(index), int(count)
    raise argparse.ArgumentTypeError(f"expected i/n with 0 <= i < n, such as 0/4, got {text!r}")


def run_on(table: Any, stage: Any, options: argparse.Namespace) -> Any:
    """Run a stage on a workspace as `add_run_flags` says: its receipt.

    Raises:
        EquimeError: Nothing is planned there, and what `run` raises.
    """
    from equime.runner import run

    if not table.shards():
        raise EquimeError(f"no clips are planned in {table.path}: run `equime plan {table.path}`")
    return run(
        stage,
        table,
        options.on,
        options.workers,
        gpus=options.gpus,
        shard=options.shard,
        retry_failed=options.retry_failed,
        replace_imported=getattr(options, "replace_imported", False),
    )


def _run_stage(name: str, options: argparse.Namespace) -> int:
    from equime.table import Table

    table = Table(options.workspace)
    stage = from_flags(stage_class(name), options)
    if getattr(stage, "faces", "") is None and table.settings["faces"]:
        stage = dataclasses.replace(stage, faces=Path(table.settings["faces"]))
    receipt = run_on(table, stage, options)
    for clip_id, why in receipt.errors.items():
        warn(f"{clip_id}: {why}")
    say(options, receipt, receipt.to_dict())
    return 1 if receipt.failed else 0
