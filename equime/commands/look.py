"""Verbs that look and change nothing: status, check, show, summary, doctor."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from typing import Any

from equime.commands.shared import add_workspace, say, warn
from equime.options import path_argument
from equime.terminal import put
from equime.wording import counted

Command = Callable[[argparse.Namespace], int]

SHOWN = 20
"""Failed clips that `equime check` names one by one."""


def status_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime status`."""
    add_workspace(parser)
    parser.set_defaults(command=_status)


def _status(options: argparse.Namespace) -> int:
    from equime.checks import status
    from equime.show import status_lines
    from equime.table import Table

    table = Table(options.workspace)
    groups = status(table)
    say(options, "\n".join(status_lines(table, groups)), [dataclasses.asdict(group) for group in groups])
    return 0


def check_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime check`."""
    add_workspace(parser)
    parser.add_argument("--hashes", action=argparse.BooleanOptionalAction, default=True, help="read every video")
    parser.set_defaults(command=_check)


def _check(options: argparse.Namespace) -> int:
    from equime.checks import check, coverage, not_made
    from equime.table import Table

    table = Table(options.workspace)
    problems = list(check(table, hashes=options.hashes))
    found = coverage(table)
    good = found.whole and not problems
    failed = {} if problems or found.whole else dict(not_made(table))  # damage is mended first
    said = [f"{clip_id}: {why}" for clip_id, why in list(failed.items())[:SHOWN]]
    said += [f"and {len(failed) - SHOWN} more clips failed: see --json"] if len(failed) > SHOWN else []
    text = "\n".join([*problems, *said, f"{found}, no problem found" if good else str(found)])
    say(options, text, {"rows": found.rows, "videos": found.videos, "problems": problems, "failed": failed})
    return 0 if good else 1


def show_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime show`."""
    add_workspace(parser)
    parser.add_argument("clip_id", nargs="?", help="one clip, whole (default: list the clips)")
    parser.add_argument("--sheet", type=path_argument, metavar="PNG", help="with a clip: write its contact sheet")
    parser.add_argument("--video", type=path_argument, metavar="MP4", help="with a clip: write the clip")
    parser.set_defaults(command=_show, refuse=parser.error)


def _show(options: argparse.Namespace) -> int:
    from equime.show import describe, look, stale_line, write_media
    from equime.table import Table

    if options.clip_id is None and (options.sheet or options.video):
        options.refuse("--sheet and --video need a CLIP_ID")
    table = Table(options.workspace)
    if options.clip_id is None:
        return _list(table, options)
    row, stale = look(table, options.clip_id)
    if stale:
        warn(stale_line(table, stale))
    write_media(table, row, options.sheet, options.video)
    row = describe(row)
    known = {name: value for name, value in row.items() if value is not None}
    say(options, "\n".join(f"{name:18} {value}" for name, value in known.items()), row)
    return 0


def _list(table: Any, options: argparse.Namespace) -> int:
    rows = table.rows(["clip_id", "split", "caption"])
    if options.json:
        say(options, "", list(rows))
    else:
        put(f"{row['clip_id']:32} {row['split'] or '':10} {row['caption'] or ''}" for row in rows)
    return 0


def summary_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime summary`."""
    add_workspace(parser)
    parser.set_defaults(command=_summary)


def _summary(options: argparse.Namespace) -> int:
    from equime.errors import EquimeError
    from equime.summary import left_out, summarise
    from equime.table import Table

    table = Table(options.workspace)
    sections = summarise(table)
    if not sections:
        raise EquimeError(f"nothing to sum up in {options.workspace}: run `equime caption`, `tag` or `score` first")
    for group, count in left_out(table).items():
        shards = counted(count, "shard")
        warn(f"{group}: {shards} missing or stale, and left out here; see `equime status {table.path}`")
    text = "\n\n".join("\n".join([f"-- {name}", *section.lines()]) for name, section in sections.items())
    say(options, text, {name: section.to_dict() for name, section in sections.items()})
    return 0


def doctor_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime doctor`."""
    parser.set_defaults(command=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    from equime.doctor import examine

    findings = list(examine())
    lines = []
    for f in findings:
        mend = "" if f.ok else f"   -> {f.mend}"
        lines.append(f"{'ok' if f.ok else '--' if not f.needed else 'NO':3} {f.name:32} {f.found}{mend}")
    say(options, "\n".join(lines), [dataclasses.asdict(f) for f in findings])
    return 1 if any(f.needed and not f.ok for f in findings) else 0
