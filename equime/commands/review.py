"""`equime review export|read WS`: clips for FACS coders, blind to the plan, and their sheets read back."""

from __future__ import annotations

import argparse

from equime.commands.shared import add_workspace, require_free, say, warn, width
from equime.options import path_argument
from equime.wording import counted


def review_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime review`."""
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    for name, line, flags in (
        ("export", "a sample of clips and a sheet for each coder, blind to the plan", _export_flags),
        ("read", "filled sheets -> agreement of the coders, with the plan and with what was measured", _read_flags),
    ):
        sub = verbs.add_parser(name, help=line, description=line)
        add_workspace(sub)
        flags(sub)
        sub.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="machine-readable output")


def _export_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=path_argument, required=True, metavar="DIR", help="a new folder, for the coders")
    parser.add_argument("--n", type=int, default=200, metavar="N", help="how many clips (default: 200)")
    parser.add_argument("--coders", type=int, default=2, metavar="N", help="how many sheets (default: 2)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draw (default: 0)")
    parser.add_argument(
        "--by", type=_jointly, metavar="A,B", help="attributes to stratify by (default: race, or gender without labels)"
    )
    parser.set_defaults(command=_export)


def _jointly(text: str) -> str:
    return "+".join(part.strip() for part in text.replace("+", ",").split(","))


def _export(options: argparse.Namespace) -> int:
    from equime.audit.review.export import export

    chosen = {"n": options.n, "coders": options.coders, "seed": options.seed, "by": options.by}
    found = export(options.workspace, options.out, **chosen)
    for note in found.notes:
        warn(note)
    text = (
        f"review {found.review}: {counted(found.clips, 'clip')} ({found.neutral} neutral), {found.repeats} of them"
        f" twice, and {counted(len(found.coders), 'sheet')} in {found.out}\n"
        f"the key stays in {found.key}: keep it, and keep it from the coders\n"
        f"when the sheets are filled in: equime review read {options.workspace} {found.out}/sheet_*.csv"
    )
    say(options, text, found._asdict())
    return 0


def _read_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sheets", type=path_argument, nargs="+", metavar="SHEET", help="filled in, whole or in part")
    parser.add_argument("--by", type=_names, metavar="A,B+C", help="attributes to group by (default: all with labels)")
    parser.add_argument("--csv", type=path_argument, metavar="CSV", help="write every number")
    parser.set_defaults(command=_read)


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _read(options: argparse.Namespace) -> int:
    from equime.audit.review.read import read
    from equime.table import write_atomically, writing

    require_free("--csv", options.csv, (".csv",), [options.workspace, *options.sheets])
    found = read(options.workspace, options.sheets, options.by)
    lines = found.lines(width())
    if options.csv is not None:
        with writing(options.csv):
            write_atomically(options.csv, found.csv().encode())
        lines.append(f"wrote {options.csv}")
    say(options, "\n".join(lines), found.to_dict())
    return 0
