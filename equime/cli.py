"""`equime VERB`: every verb is a function below; stages are named by string and loaded when asked for.

Exit codes: 0 done, 1 bad input or failed rows (one line says which), 2 wrong usage, 130 stopped by Ctrl-C,
143 ended by SIGTERM. With `--json` a failure is a document {"error": ...} too.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from equime.errors import EquimeError
from equime.options import add_flags, from_flags, path_argument
from equime.stages import HELP, STAGES, stage_class
from equime.terminal import Ended, drop_output, put, sigterm_heard

Command = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    verb = next((a for a in arguments if not a.startswith("-")), None)
    try:
        with sigterm_heard():
            options = _parser(verb).parse_args(arguments)
            command: Command = options.command
            return command(options)
    except EquimeError as error:
        _warn(str(error))
        if "--json" in arguments:
            with contextlib.suppress(EquimeError, BrokenPipeError):
                put([json.dumps({"error": str(error)})])
    except Ended:
        _warn("ended by SIGTERM; what was finished is kept, the same command goes on")
        return 143
    except KeyboardInterrupt:
        _warn("stopped; what was finished is kept, the same command goes on")
        return 130
    except BrokenPipeError:  # `equime show | head`
        drop_output()
    return 1


def _parser(verb: str | None) -> argparse.ArgumentParser:
    """The parser; only the verb in hand gets its flags, so that only its code is imported."""
    parser = argparse.ArgumentParser(
        prog="equime", description="Synthetic, equitable micro-expression video: load, rebuild, use."
    )
    parser.add_argument("--version", action="version", version=_version())
    parser.add_argument("--json", action="store_true", help="machine-readable output, of every verb")
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    for name, (line, flags) in VERBS.items():
        sub = verbs.add_parser(name, help=line, description=line)
        if name == verb:
            flags(sub)
            sub.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="machine-readable output")
    return parser


def _version() -> str:
    import equime

    return f"equime {equime.__version__}"


def _say(options: argparse.Namespace, text: object, data: Any) -> None:
    put([json.dumps(data, indent=1, default=str) if options.json else str(text)])


def _warn(text: str) -> None:
    print(f"equime: {text}", file=sys.stderr)


def _add_workspace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workspace", type=path_argument, help="folder of the data set in the making (`equime plan`)")


# --- planning


def _plan_flags(parser: argparse.ArgumentParser) -> None:
    from equime.plan import PlanOptions

    _add_workspace(parser)
    add_flags(parser, PlanOptions)
    parser.add_argument("--generator", default="warp", choices=["warp"], help="plan only what it can show")
    parser.add_argument("--replace", action="store_true", help="plan all rows anew; says what goes stale")
    parser.add_argument("--yes", action="store_true", help="with --replace: do not ask")
    parser.set_defaults(command=_plan)


def _plan(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from equime.plan import PlanOptions, plan, replan

    chosen = from_flags(PlanOptions, options)
    shows = stage_class("generate")(generator=options.generator).shows
    with tqdm(desc="faces", unit="face", disable=None) as bar:

        def tick(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        if options.replace:
            report = replan(options.workspace, chosen, shows, lambda lines: _confirm(options, lines), tick)
        else:
            report = plan(options.workspace, chosen, shows, tick)
    if report is None:
        raise EquimeError("nothing was changed")
    for path, note in report.notes.items():
        _warn(f"{path}: {note}")
    for path, reason in report.rejected.items():
        _warn(f"left out {path}: {reason}")
    _say(options, report, report.to_dict())
    return 1 if report.rejected else 0


def _confirm(options: argparse.Namespace, lines: list[str]) -> bool:
    _warn("the new plan leaves stale: " + ("; ".join(lines) or "nothing"))
    if options.yes or not lines:
        return True
    if not sys.stdin.isatty():
        raise EquimeError("nothing was changed: add --yes to replace the plan")
    return input("replace the plan? [y/N] ").strip().lower() in ("y", "yes")


# --- stages


def _stage_flags(name: str) -> Callable[[argparse.ArgumentParser], None]:
    def flags(parser: argparse.ArgumentParser) -> None:
        _add_workspace(parser)
        add_flags(parser, stage_class(name))
        parser.add_argument("--on", default="local", choices=["local"], help="where to run")
        parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes")
        parser.add_argument("--shard", type=share, metavar="i/n", help="only shards i modulo n, beside others")
        parser.add_argument("--retry-failed", action="store_true", help="also run failed rows again")
        parser.set_defaults(command=lambda options: _run_stage(name, options))

    return flags


def share(text: str) -> tuple[int, int]:
    """`i/n` as two numbers."""
    index, _, count = text.partition("/")
    return int(index), int(count)


def _run_stage(name: str, options: argparse.Namespace) -> int:
    from equime.stage import run
    from equime.table import Table

    table = Table(options.workspace)
    stage = from_flags(stage_class(name), options)
    if getattr(stage, "faces", "") is None and table.settings["faces"]:
        stage = dataclasses.replace(stage, faces=Path(table.settings["faces"]))
    receipt = run(
        stage,
        table,
        options.on,
        options.workers,
        shard=options.shard,
        retry_failed=options.retry_failed,
    )
    for clip_id, why in receipt.errors.items():
        _warn(f"{clip_id}: {why}")
    _say(options, receipt, receipt.to_dict())
    return 1 if receipt.failed else 0


# --- looking


def _workspace_flags(command: Command) -> Callable[[argparse.ArgumentParser], None]:
    def flags(parser: argparse.ArgumentParser) -> None:
        _add_workspace(parser)
        parser.set_defaults(command=command)

    return flags


def _status(options: argparse.Namespace) -> int:
    from equime.checks import status
    from equime.show import status_lines
    from equime.table import Table

    table = Table(options.workspace)
    groups = status(table)
    _say(options, "\n".join(status_lines(table, groups)), [dataclasses.asdict(group) for group in groups])
    return 0


def _check_flags(parser: argparse.ArgumentParser) -> None:
    _add_workspace(parser)
    parser.add_argument("--hashes", action=argparse.BooleanOptionalAction, default=True, help="read every video")
    parser.set_defaults(command=_check)


def _check(options: argparse.Namespace) -> int:
    from equime.checks import check, coverage
    from equime.table import Table

    table = Table(options.workspace)
    problems = list(check(table, hashes=options.hashes))
    found = coverage(table)
    good = found.whole and not problems
    text = "\n".join([*problems, f"{found}, no problem found" if good else str(found)])
    _say(options, text, {"rows": found.rows, "videos": found.videos, "problems": problems})
    return 0 if good else 1


def _show_flags(parser: argparse.ArgumentParser) -> None:
    _add_workspace(parser)
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
        _warn(stale_line(table, stale))
    write_media(table, row, options.sheet, options.video)
    row = describe(row)
    known = {name: value for name, value in row.items() if value is not None}
    _say(options, "\n".join(f"{name:18} {value}" for name, value in known.items()), row)
    return 0


def _list(table: Any, options: argparse.Namespace) -> int:
    rows = table.rows(["clip_id", "split", "caption"])
    if options.json:
        _say(options, "", list(rows))
    else:
        put(f"{row['clip_id']:32} {row['split'] or '':10} {row['caption'] or ''}" for row in rows)
    return 0


def _doctor_flags(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    from equime.doctor import examine

    findings = list(examine())
    lines = []
    for f in findings:
        mend = "" if f.ok else f"   -> {f.mend}"
        lines.append(f"{'ok' if f.ok else '--' if not f.needed else 'NO':3} {f.name:32} {f.found}{mend}")
    _say(options, "\n".join(lines), [dataclasses.asdict(f) for f in findings])
    return 1 if any(f.needed and not f.ok for f in findings) else 0


# --- trees


def _import_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tree", type=path_argument, help="folder with <emotion>/<gender>_<subject>_<sequence>.mp4")
    _add_workspace(parser)
    parser.add_argument("--shard-rows", type=int, default=64, metavar="N", help="rows a shard")
    parser.set_defaults(command=_import)


def _import(options: argparse.Namespace) -> int:
    from equime.tree import import_tree

    receipt = import_tree(options.tree, options.workspace, shard_rows=options.shard_rows)
    return _report_tree(receipt, options)


def _export_flags(parser: argparse.ArgumentParser) -> None:
    _add_workspace(parser)
    parser.add_argument("out", type=path_argument, help="folder to write")
    parser.add_argument("--layout", default="tree", choices=["tree", "hub"], help="loose files, or Parquet")
    parser.add_argument("--replace", action="store_true", help="overwrite files that differ")
    parser.set_defaults(command=_export)


def _export(options: argparse.Namespace) -> int:
    from equime.table import Table

    table = Table(options.workspace)
    if options.layout == "hub":
        from equime.hub import write_layout

        return _report_tree(write_layout(table, options.out), options)
    from equime.tree import export_tree

    return _report_tree(export_tree(table, options.out, replace=options.replace), options)


def _report_tree(receipt: Any, options: argparse.Namespace) -> int:
    for clip_id, why in receipt.errors.items():
        _warn(f"{clip_id}: {why}")
    _say(options, receipt, receipt.to_dict())
    return 1 if receipt.failed else 0


# --- the demo


def _demo_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=path_argument, nargs="?", default=Path("demo"), help="folder to make")
    parser.add_argument("--faces", type=path_argument, help="your own faces (default: scikit-image's astronaut)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="processes")
    parser.set_defaults(command=_demo)


def _demo(options: argparse.Namespace) -> int:
    from equime.demo import demo

    report = demo(options.out, options.faces, options.workers, say=_warn)
    _say(options, report, report.to_dict())
    return 0


VERBS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "plan": ("faces and the causal model -> the plan of clips", _plan_flags),
    **{name: (HELP[name], _stage_flags(name)) for name in STAGES},
    "status": ("what is made, missing, stale and failed", _workspace_flags(_status)),
    "check": ("everything that breaks the contract", _check_flags),
    "show": ("list the clips, or show one", _show_flags),
    "import": ("a released tree -> a workspace", _import_flags),
    "export": ("a workspace -> a released tree, or the Hub's layout", _export_flags),
    "doctor": ("what is installed here, and the command for what is not", _doctor_flags),
    "demo": ("a small data set from a real face, made, checked and loaded", _demo_flags),
}
