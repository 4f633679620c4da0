"""`equime validity fit`: how far real expressions move. What the measures are worth is in `equime summary`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from equime.commands.shared import say, warn
from equime.errors import EquimeError
from equime.options import path_argument

SHOWN_REASONS = 20
"""Clips whose reasons are printed; `--json` has all."""


def validity_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime validity`."""
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    line = "your own copy of a real set -> the range of its amplitudes"
    fit = verbs.add_parser("fit", help=line, description=line)
    _fit_flags(fit)
    fit.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="machine-readable output")


def _fit_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=path_argument,
        required=True,
        metavar="CSV",
        help="a public set's coding saved as CSV, or clip,fps,onset,apex,offset,units",
    )
    parser.add_argument("--out", type=path_argument, required=True, metavar="JSON", help="where the range goes")
    parser.add_argument("--frames", type=path_argument, metavar="ROOT", help="folder of the clips (default: the CSV's)")
    parser.add_argument("--fps", type=float, metavar="X", help="of the pictures (default: the set's own)")
    parser.add_argument("--set", default="", metavar="NAME", help="name of the set (default: told by its header)")
    parser.set_defaults(command=_fit)


def _fit(options: argparse.Namespace) -> int:
    from equime.quality.real_clips import read_clips
    from equime.quality.real_range import fit
    from equime.table import write_atomically, writing

    if options.out.is_dir():
        raise EquimeError(f"{options.out} is a folder: give --out a file for the range")
    if options.out.resolve() == options.data.resolve():
        raise EquimeError(f"{options.out} is the coding itself: give --out another file for the range")
    coded = read_clips(options.data, options.frames, options.fps)
    measured, failed = _measured(coded.clips, options.out.with_suffix(".clips.jsonl"))
    left_out = dict(sorted((dict(coded.left_out) | failed).items()))
    shown = list(left_out.items())[:SHOWN_REASONS]
    for line, why in shown:
        warn(f"line {line}: left out: {why}")
    if len(shown) < len(left_out):
        warn(f"and {len(left_out) - len(shown)} more lines: see --json")
    found = fit(
        options.set or coded.name, [(clip.units, size) for clip, size in measured], (c.fps for c, _ in measured)
    )
    with writing(options.out):
        write_atomically(options.out, found.to_json().encode())
    inner = found.groups["all"]
    text = [
        f"{found.name}: {found.n} clips measured, {found.unmeasured} without a movement above the noise, "
        f"{len(left_out)} left out",
        *(
            f"  {key:12} {g.n:5} clips, 5 % to 95 %: {g.at(5):.4f} to {g.at(95):.4f} eye distances"
            for key, g in found.groups.items()
        ),
        f"wrote {options.out}",
    ]
    facts = {"set": found.name, "clips": inner.n, "unmeasured": found.unmeasured, "left_out": left_out}
    say(options, "\n".join(text), facts | {"out": options.out})
    return 0


def _measured(clips: Iterable[Any], kept: Path) -> tuple[list[tuple[Any, float | None]], dict[int, str]]:
    """Each clip with its amplitude, and by line why others have none; what was measured before is not again."""
    from tqdm import tqdm

    from equime.face import FaceFinder
    from equime.quality.ledger import Ledger, key_of
    from equime.quality.real_clips import VERSION, amplitude
    from equime.quality.sequence import Sequence

    ledger, finder = Ledger(kept), FaceFinder()
    finder.load()
    measured: list[tuple[Any, float | None]] = []
    failed: dict[int, str] = {}
    for clip in tqdm(list(clips), desc="validity fit", unit="clip", disable=None, smoothing=0):
        try:
            units = [unit.to_dict() for unit in clip.units]
            key = key_of(VERSION, clip.fps, clip.onset, clip.offset, units, Sequence.of(clip.folder).files)
            value = ledger.get(key) or ledger.add(key, {"clip": str(clip.folder), "amplitude": amplitude(clip, finder)})
            measured.append((clip, value["amplitude"]))
        except EquimeError as error:
            failed[clip.line] = str(error)
    return measured, failed
