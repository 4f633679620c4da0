"""`equime score`: clips of a workspace, of other generators on its plan, or pictures in a folder.

equime score ws --workers 2
equime score ws --profile reference --out metrics.csv
equime score ws --generator other=DIR --generator third=DIR
equime score --frames CASME2_RAW_selected/sub01/EP02_01f --fps 200 --units 4+R12
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from equime.commands.shared import say, warn
from equime.commands.stages import add_run_flags, run_on
from equime.errors import EquimeError
from equime.options import from_flags, path_argument
from equime.stages import stage_class
from equime.wording import counted

OWN = "workspace"
"""What the workspace's own clips are called among other generators'."""
SHOWN = 5
"""Missing clips that are named one by one; --json counts them."""


def score_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime score`."""
    parser.add_argument("workspace", nargs="?", type=path_argument, help="whose clips are scored (`equime generate`)")
    add_run_flags(parser, "score")
    parser.add_argument(
        "--generator",
        action="append",
        type=rival,
        default=[],
        metavar="NAME=DIR",
        help="score DIR/<clip_id>.mp4 of another model too, and rank; may be given several times",
    )
    parser.add_argument("--frames", type=path_argument, metavar="FOLDER", help="score pictures, with no workspace")
    parser.add_argument("--fps", type=float, metavar="X", help="with --frames: pictures a second")
    parser.add_argument("--units", default="", metavar="TEXT", help="with --frames: the units shown, such as 4+R12")
    parser.add_argument(
        "--out",
        type=path_argument,
        metavar="PATH",
        help="with --profile reference: the CSV to write; with --generator: folder for the scores (default: "
        "WORKSPACE/generators); with --frames: file of JSON lines that a stopped run goes on from",
    )
    parser.set_defaults(command=_score, refuse=parser.error)


def rival(text: str) -> tuple[str, Path]:
    """`NAME=DIR`, or `DIR` under its own name.

    Raises:
        argparse.ArgumentTypeError: A name that is none for a folder.
    """
    name, given, folder = text.partition("=")
    path = path_argument(folder if given else text)
    name = name if given else path.resolve().name
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or name == OWN:
        raise argparse.ArgumentTypeError(
            f"expected NAME=DIR, the name of letters, digits, '.', '_' and '-' and not {OWN!r}, got {text!r}"
        )
    return name, path


def _score(options: argparse.Namespace) -> int:
    if (options.workspace is None) == (options.frames is None):
        options.refuse("expected a WORKSPACE, or --frames FOLDER --fps X")
    if options.frames is None and (options.fps is not None or options.units):
        options.refuse("--fps and --units need --frames")
    if options.frames is not None and options.generator:
        options.refuse("--generator needs a WORKSPACE")
    reference = options.frames is None and options.profile == "reference"
    if options.out is not None and not (options.frames or options.generator or reference):
        options.refuse("--out needs --profile reference, --generator or --frames")
    stage = from_flags(stage_class("score"), options)
    for note in stage.notes:
        warn(note)
    if options.frames is not None:
        from equime.commands.score_frames import score_frames

        return score_frames(stage, options)
    return _score_rivals(stage, options) if options.generator else _score_workspace(stage, options)


def _score_workspace(stage: Any, options: argparse.Namespace) -> int:
    from equime.table import Table

    table = Table(options.workspace)
    if not table.shards("generate"):
        raise EquimeError(f"no clips in {options.workspace} yet: run `equime generate {options.workspace}`")
    receipt = _run(stage, table, options)
    wrote = _write_reference(table, options.out) if options.out else ""
    say(options, "\n".join(filter(None, [str(receipt), wrote])), receipt.to_dict())
    return 1 if receipt.failed else 0


def _run(stage: Any, table: Any, options: argparse.Namespace, known: tuple[str, ...] = ()) -> Any:
    """Run the stage and warn of failed rows, but for `known` ones."""
    receipt = run_on(table, stage, options)
    for clip_id, why in receipt.errors.items():
        if clip_id not in known:
            warn(f"{clip_id}: {why}")
    return receipt


def _write_reference(table: Any, path: Path) -> str:
    """The published table's CSV of a workspace's scored clips."""
    from equime.quality.reference import NEEDED, reference_csv

    rows = (row for row in table.rows([*NEEDED, "accepted"]) if row["accepted"] is not None)
    return f"wrote {path}: {counted(reference_csv(rows, path), 'clip')}"


def _score_rivals(stage: Any, options: argparse.Namespace) -> int:
    from equime import schema
    from equime.quality.ranking import rank
    from equime.table import Table

    table = Table(options.workspace)
    names = [name for name, _ in options.generator]
    home = options.out or table.path / "generators"
    if any(home.resolve().is_relative_to((table.path / group).resolve()) for group in schema.GROUPS):
        raise EquimeError(f"{home} holds the workspace's own shards: give --out another folder")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise EquimeError(f"expected a name for each generator, got {twice} twice; give --generator NAME=DIR")
    rows, missing, failed = dict[str, list[Any]](), dict[str, int](), 0
    for name, scored, absent, bad in _each(stage, table, options):
        rows[name], missing[name] = _rows(scored), absent
        failed += bad
    ranking = rank(rows)
    absent_lines = [f"{name}: {count} of the planned clips missing" for name, count in missing.items() if count]
    say(options, "\n".join([*ranking.lines(), *absent_lines]), ranking.to_dict() | {"missing": missing})
    return 1 if failed else 0


def _each(stage: Any, table: Any, options: argparse.Namespace) -> Iterator[tuple[str, Any, int, int]]:
    """(name, scored workspace, clips missing, clips failed): the workspace itself if it has clips, then the others."""
    if table.shards("generate"):
        yield OWN, table, 0, _run(stage, table, options).failed
    for name, folder in options.generator:
        home = (options.out or options.workspace / "generators") / name
        found = _collected(table, folder, home, name)
        for clip_id, why in found.broken.items():
            warn(f"{name}: {clip_id}: {why}")
        for clip_id in found.missing[:SHOWN]:
            warn(f"{name}: no {clip_id}.mp4")
        if len(found.missing) > SHOWN:
            warn(f"{name}: and {len(found.missing) - SHOWN} more missing")
        receipt = _run(stage, found.table, options, (*found.missing, *found.broken))
        if options.profile == "reference":
            warn(_write_reference(found.table, home / "reference.csv"))
        yield name, found.table, len(found.missing), receipt.failed - len(found.missing)


def _collected(table: Any, folder: Path, home: Path, name: str) -> Any:
    from tqdm import tqdm

    from equime.quality.rivals import collect

    with tqdm(desc=f"read {name}", unit="clip", disable=None, smoothing=0) as bar:
        return collect(table, folder, home, name, bar.update)


def _rows(table: Any) -> list[Any]:
    from equime import schema

    columns = ["apex_ms", *(name for name in schema.GROUPS["score"].names if name != "clip_id")]
    return [row for row in table.rows(columns) if row["accepted"] is not None]
