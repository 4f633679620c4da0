"""`equime data list | check NAME PATH | example NAME OUT`: the public sets of real micro-expressions, as handed out."""

from __future__ import annotations

import argparse
from pathlib import Path

from equime.commands.shared import say
from equime.options import path_argument


def data_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime data`."""
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    for name, line, flags in (
        ("list", "the sets that can be read, and what of each", _list_flags),
        ("check", "a copy of a set against the published counts, and every bad row", _check_flags),
        ("example", "a set's layout with made-up pictures, small, traps included", _example_flags),
    ):
        sub = verbs.add_parser(name, help=line, description=line)
        flags(sub)
        sub.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="machine-readable output")


def _list_flags(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_list)


def _list(options: argparse.Namespace) -> int:
    from equime.recognise.readers.sets import SETS

    lines, data = [], []
    for layout in SETS.values():
        sheets = [name for part in layout.parts for name in part.sheets]
        lines += [f"{layout.name:<15}{layout.title}, {layout.fps:g} fps ({layout.citation})"]
        lines += [f"{'':<15}not verified: {text}" for text in layout.assumed]
        shown = {"name": layout.name, "title": layout.title, "fps": layout.fps, "citation": layout.citation}
        data += [shown | {"sheets": sheets, "traps": layout.traps, "not_verified": layout.assumed}]
    say(options, "\n".join(lines), data)
    return 0


def _check_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="as `equime data list` has it")
    parser.add_argument("path", type=path_argument, metavar="PATH", help="the set's top folder")
    parser.add_argument("--fps", type=float, metavar="X", help="of the pictures (default: the set's own)")
    parser.add_argument(
        "--root",
        type=_root,
        nargs="+",
        default=[],
        metavar="SET=PATH",
        help="of a composite: the sets' own folders, such as casme2=CASME2 (default: its crops below PATH)",
    )
    parser.set_defaults(command=_check)


def _check(options: argparse.Namespace) -> int:
    from equime.recognise.readers.check import check
    from equime.recognise.readers.read import read

    report = check(read(options.name, options.path, fps=options.fps, roots=dict(options.root)))
    say(options, report, report.to_dict())
    return 0 if report.ok else 1


def _root(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"expected SET=PATH, got {text!r}")
    return name, Path(path)


def _example_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="as `equime data list` has it")
    parser.add_argument("out", type=path_argument, metavar="OUT", help="a new or empty folder")
    parser.add_argument("--side", type=int, default=8, metavar="N", help="of the pictures, in px (default: 8)")
    parser.add_argument("--clean", action="store_true", help="without the set's traps")
    parser.add_argument(
        "--layout", type=int, default=0, metavar="N", help="which of its alternative layouts (default: 0)"
    )
    parser.set_defaults(command=_example)


def _example(options: argparse.Namespace) -> int:
    from equime.recognise.readers.example import write_example

    out = write_example(options.name, options.out, side=options.side, traps=not options.clean, part=options.layout)
    done = {"name": options.name, "out": str(out)}
    say(options, f"wrote {out}; look at it with `equime data check {options.name} {out}`", done)
    return 0
