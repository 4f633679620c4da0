"""The verb screen: which faces can be used, and for whom the screen is hardest."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from equime.commands.shared import add_workspace, say, warn
from equime.options import add_flags, from_flags

SHOWN = 20
"""Left-out pictures named one by one; `--all` names every one, as `--json` does."""


def screen_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime screen`."""
    from equime.screening.thresholds import Screen

    add_workspace(parser)
    add_flags(parser, Screen)
    parser.add_argument("--all", action="store_true", help="name every picture that is left out")
    parser.set_defaults(command=_screen)


def _screen(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from equime.one_line import one_line
    from equime.screening.gallery import gather
    from equime.screening.thresholds import Screen

    with tqdm(desc="faces", unit="face", disable=None) as bar:

        def tick(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        sources = gather(options.workspace, from_flags(Screen, options), tick)
    left_out = [(source.path, source.reason) for source in sources if source.reason]  # a path may come twice
    shown = left_out[: None if options.all else SHOWN]
    for path, reason in shown if not options.json else ():
        warn(one_line(f"left out {path}: {reason}"))
    if len(shown) < len(left_out) and not options.json:
        warn(f"left out {len(left_out) - len(shown)} more: add --all")
    for source in sources if not options.json else ():
        if source.note and not source.reason:
            warn(one_line(f"{source.path}: {source.note}"))
    found = _counts(sources)
    say(options, _text(found), found | {"left_out": _by_path(left_out)})
    return 0 if found["usable"] else 1


def _by_path(reasons: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Reasons by path, those of one path together."""
    found: dict[str, list[str]] = {}
    for path, reason in reasons:
        found.setdefault(path, []).append(reason)
    return {path: "; ".join(several) for path, several in found.items()}


def _counts(sources: Sequence[Any]) -> dict[str, Any]:
    """Pictures and subjects, usable and left out, by perceived group."""
    from equime.screening.gallery import rejected_by_group

    usable = [source for source in sources if source.reason is None]
    subjects = dict.fromkeys((source.subject_id, source.cell) for source in usable)
    return {
        "pictures": len(sources),
        "usable": len(usable),
        "subjects": len({subject for subject, _ in subjects}),
        "subjects_by_cell": dict(Counter(cell for _, cell in subjects).most_common()),
        "pictures_by_cell": dict(Counter(source.cell for source in sources).most_common()),
        "rejected": rejected_by_group(sources),
    }


def _text(found: Mapping[str, Any]) -> str:
    """A table for people: reasons down, and the share of each perceived group's pictures that is left out."""
    lines = [f"screen: {found['usable']} of {found['pictures']} pictures usable, of {found['subjects']} subjects"]
    lines += [f"screen: {sum(cells.values())} left out by {kind}" for kind, cells in found["rejected"].items()]
    if found["rejected"]:
        lines.append("screen: left out by perceived gender|age|race")
    for cell, pictures in found["pictures_by_cell"].items() if found["rejected"] else ():
        kinds = {kind: cells[cell] for kind, cells in found["rejected"].items() if cell in cells}
        share = sum(kinds.values()) / pictures
        lines.append(f"  {cell:40} {share:4.0%} of {pictures}" + "".join(f", {kind} {n}" for kind, n in kinds.items()))
    return "\n".join(lines)
