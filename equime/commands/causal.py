"""`equime causal show | fit | sample | discover`: the causal model, looked at, fitted, drawn from, and found again."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from equime.commands.shared import add_workspace, say, warn
from equime.errors import EquimeError
from equime.options import path_argument

SHOWN_REASONS = 20
"""Rows of a coded file whose reasons are printed; `--json` has all."""


def causal_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime causal`."""
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    for name, line, flags in (
        ("show", "what the model says; --out draws it", _show_flags),
        ("fit", "coded clips of your own -> a model", _fit_flags),
        ("sample", "programmes of an emotion", _sample_flags),
        ("discover", "which arrows the rows of a plan speak for", _discover_flags),
    ):
        sub = verbs.add_parser(name, help=line, description=line)
        flags(sub)
        sub.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="machine-readable output")


def _show_flags(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument(
        "--out", type=path_argument, metavar="FILE", help="draw the graph and its tables: .svg, .png or .pdf"
    )
    parser.set_defaults(command=_show)


def _show(options: argparse.Namespace) -> int:
    from equime.scm.summary import summary, summary_lines

    model, origin = _model(options.model)
    if options.out:
        from equime.scm.figure import draw

        draw(model, options.out, f"Causal model fitted from {origin}")
    wrote = [f"wrote {options.out}"] if options.out else []
    text = "\n".join([f"causal model of {origin}", *summary_lines(model), *wrote])
    say(options, text, {"model": origin, **summary(model)} if options.json else None)
    return 0


def _fit_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "coded", type=path_argument, metavar="CSV", help="a public set's coding saved as CSV, or emotion,action_units"
    )
    parser.add_argument("--out", type=path_argument, required=True, metavar="JSON", help="where the model goes")
    parser.add_argument("--set", default="", metavar="NAME", help="name of the set (default: told by its header)")
    parser.add_argument("--weight", type=float, default=1.0, metavar="X", help="of one of its clips (default: 1)")
    parser.add_argument(
        "--tables",
        type=_weighted,
        nargs="+",
        default=[],
        metavar="SET=X",
        help="packaged tables to pool, such as casme2=1 samm=1",
    )
    parser.add_argument("--fps", type=float, metavar="X", help="of the frame numbers (default: the set's own)")
    parser.add_argument(
        "--weak", type=float, metavar="X", help="strength of the pairs 4-7 and 4-9 (default: 0.5; 0: none)"
    )
    parser.set_defaults(command=_fit)


def _fit(options: argparse.Namespace) -> int:
    from equime.causal import EmotionModel
    from equime.scm.coded import read_coded
    from equime.scm.summary import summary, summary_lines
    from equime.scm.unit_fit import WEAK_DEVIATION

    coded = read_coded(options.coded, options.fps)
    weak = WEAK_DEVIATION if options.weak is None else options.weak
    model = EmotionModel.from_coded(coded, options.set, options.weight, dict(options.tables), weak=weak)
    _write(options.out, model.to_json())
    reasons = [f"line {line}: left out: {reason}" for line, reason in coded.left_out.items()]
    reasons += [f"line {line}: {remark}" for line, remark in coded.remarks.items()]
    for reason in reasons[:SHOWN_REASONS]:
        warn(reason)
    if len(reasons) > SHOWN_REASONS:
        warn(f"and {len(reasons) - SHOWN_REASONS} more lines: see --json")
    text = "\n".join([str(coded), *summary_lines(model), f"wrote {options.out}"])
    say(options, text, {"coded": coded.to_dict(), "model": summary(model)} if options.json else None)
    return 0


def _sample_flags(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("--emotion", required=True, metavar="NAME", help="intended emotion")
    parser.add_argument("--n", type=int, default=5, metavar="N", help="programmes (default: 5)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of everything drawn (default: 0)")
    parser.set_defaults(command=_sample)


def _sample(options: argparse.Namespace) -> int:
    from equime.action_units import format as written
    from equime.causal import noise, seed_of

    if options.n < 1:
        raise EquimeError(f"--n should be at least 1, got {options.n}")
    model, _ = _model(options.model)
    seeds = [seed_of(options.seed, f"{options.emotion}/{index}") for index in range(options.n)]
    found = [model.sample(options.emotion, partial(noise, seed)) for seed in seeds]
    lines = [f"{written(p.units):24} {p.onset_ms:8.1f} {p.apex_ms:8.1f} {p.offset_ms:8.1f}" for p in found]
    rows: list[dict[str, Any]] = [
        {
            "emotion": options.emotion,
            "action_units": [unit.to_dict() for unit in programme.units],
            "onset_ms": programme.onset_ms,
            "apex_ms": programme.apex_ms,
            "offset_ms": programme.offset_ms,
            "seed": seed,
        }
        for programme, seed in zip(found, seeds, strict=True)
    ]
    say(options, "\n".join([f"{'units':24} {'onset_ms':>8} {'apex_ms':>8} {'offset_ms':>8}", *lines]), rows)
    return 0


def _discover_flags(parser: argparse.ArgumentParser) -> None:
    add_workspace(parser)
    parser.add_argument("--alpha", type=float, default=0.01, metavar="X", help="level of each test (default: 0.01)")
    parser.set_defaults(command=_discover)


def _discover(options: argparse.Namespace) -> int:
    from equime.scm.discover import ATTRIBUTES, discover
    from equime.table import Table

    columns = ["noise_key", "emotion", "action_units", *(f"source_{name}" for name in ATTRIBUTES)]
    found = (row for row in Table(options.workspace).rows(columns) if row["emotion"])
    rows = {row["noise_key"] or index: row for index, row in enumerate(found)}  # twins and doses share their noise
    edges = discover(rows.values(), options.alpha)
    touching = [edge for edge in edges if {edge.first, edge.second} & set(ATTRIBUTES)]
    tried = [name for name in ATTRIBUTES if len({row[f"source_{name}"] for row in rows.values()}) > 1]
    verdict = f"{' and '.join(tried)} touch nothing" if tried else "no demographic label varies, so none was tried"
    if touching:
        verdict = f"demographics are touched by {len(touching)} edges"
    text = "\n".join([*map(str, edges), f"{len(edges)} edges of {len(rows)} independent rows; {verdict}"])
    say(options, text, [{"first": e.first, "second": e.second, "mark": e.mark} for e in edges])
    return 0


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", type=path_argument, metavar="JSON", help="of `equime causal fit` (default: packaged tables)"
    )


def _model(path: Path | None) -> tuple[Any, str]:
    """The model of a file, or of the packaged tables, and what to call it."""
    from equime.causal import EmotionModel
    from equime.planning.making import read_model

    if path is None:
        return EmotionModel.from_tables(), "the packaged tables"
    return read_model(path), path.name


def _write(path: Path, text: str) -> None:
    _attempt(partial(path.write_text, text, encoding="utf-8"), path)


def _attempt(do: Callable[[], Any], path: Path) -> Any:
    try:
        return do()
    except (OSError, UnicodeDecodeError) as error:
        raise EquimeError(
            f"cannot use {path}: {getattr(error, 'strerror', None) or error}; give another file"
        ) from error


def _weighted(text: str) -> tuple[str, float]:
    name, _, weight = text.partition("=")
    try:
        return name, float(weight or 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected SET=WEIGHT such as samm=1, got {text!r}") from None
