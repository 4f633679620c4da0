"""`equime audit QUESTION WHERE`: for whom does it hold? With intervals, as text, CSV or picture."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from equime.commands.shared import require_free, say, warn, width
from equime.errors import EquimeError
from equime.options import path_argument

if TYPE_CHECKING:
    from equime.audit.result import Audit
    from equime.audit.tables.answers import Answered
    from equime.audit.tables.rows import Rows

WHERE = "a workspace, a release's or a tree's folder, OWNER/NAME[@VERSION] on the Hub"
LONG_S = 10.0
"""After so many seconds an audit says that it is still at work."""
Asked = Callable[[argparse.Namespace], "Audit"]


def audit_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime audit`."""
    verbs = parser.add_subparsers(title="questions", required=True, metavar="QUESTION")
    for name, line, flags, ask in (
        ("representation", "who is shown, and how evenly", _representation_flags, _representation),
        ("association", "does who is shown go with what is shown", _table_flags, _association),
        ("performance", "does a recogniser do as well for every group", _performance_flags, _performance),
        ("twins", "matched pairs: does the answer change with the face", _twin_flags, _twins),
        ("doses", "how strong must an expression be to be found, by group", _dose_flags, _doses),
        ("generator", "does it animate every group and every skin as well", _where_flags, _generator),
        ("labels", "how far the labels can be believed, and what follows", _label_flags, _labels),
        ("captions", "are groups described differently", _where_flags, _captions),
    ):
        sub = verbs.add_parser(name, help=line, description=line)
        flags(sub)
        _shared_flags(sub)
        sub.set_defaults(command=_command(ask))


def _shared_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plot", type=path_argument, metavar="PNG|SVG", help="draw it")
    parser.add_argument("--csv", type=path_argument, metavar="CSV", help="write every number")
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="machine-readable output")


def _where_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("where", metavar="WHERE", help=WHERE)
    _add_by(parser)
    _add_labels(parser)


def _table_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("where", metavar="WHERE", help=f"{WHERE}, or a CSV or Parquet table of labels")
    _add_by(parser)
    _add_labels(parser)


def _representation_flags(parser: argparse.ArgumentParser) -> None:
    known = f"{WHERE}, or a CSV or Parquet table: a row a person or clip, or `attribute, group, share`"
    parser.add_argument("where", metavar="WHERE", nargs="?", help=known)
    parser.add_argument("--published", action="store_true", help="the shares that EquiME's paper reports")
    _add_by(parser)
    _add_labels(parser)


def _performance_flags(parser: argparse.ArgumentParser) -> None:
    known = "of `equime train` or `predict`, or a CSV or Parquet table with `label, prediction` and groups"
    parser.add_argument("predictions", type=path_argument, metavar="PREDICTIONS", help=known)
    parser.add_argument("--data", metavar="WHERE", help=f"whose labels to group by, by clip id: {WHERE}")
    _add_by(parser)
    _add_labels(parser)


def _twin_flags(parser: argparse.ArgumentParser) -> None:
    _add_answers(parser)
    _add_labels(parser)


def _dose_flags(parser: argparse.ArgumentParser) -> None:
    _add_answers(parser)
    _add_by(parser)
    _add_labels(parser)


def _label_flags(parser: argparse.ArgumentParser) -> None:
    _add_answers(parser)
    study = "a study of the labels, `attribute,true,predicted,count`: repeats all corrected for their errors"
    parser.add_argument("--confusion", type=path_argument, metavar="CSV", help=study)


def _add_answers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("where", metavar="WHERE", help=WHERE)
    parser.add_argument("--predictions", "--preds", type=path_argument, metavar="FILE", help="answers to these clips")


def _add_by(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--by", type=_names, metavar="A,B+C", help="attributes to group by (default: all with labels)")


def _add_labels(parser: argparse.ArgumentParser) -> None:
    who = "whose labels: the sources' or the tagger's (default: the sources' where there are any)"
    parser.add_argument("--labels", choices=["source", "tag"], help=who)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _command(ask: Asked) -> Callable[[argparse.Namespace], int]:
    def command(options: argparse.Namespace) -> int:
        read = [vars(options).get(name) for name in ("where", "predictions", "data", "confusion")]
        require_free("--csv", options.csv, (".csv",), read)
        require_free("--plot", options.plot, (".png", ".svg"), read)
        with _patience():
            found = ask(options)
        wrote = _written(found, options)
        say(options, "\n".join([*found.lines(width()), *wrote]), found.to_dict())
        return 0

    return command


@contextmanager
def _patience() -> Iterator[None]:
    """Say on a terminal why an audit takes long; how long cannot be told beforehand."""
    why = "still at it: each of the draws behind intervals and p-values takes every subject, and there are many"
    timer = threading.Timer(LONG_S, warn, [why])
    timer.daemon = True
    if sys.stderr.isatty():
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _written(found: Audit, options: argparse.Namespace) -> list[str]:
    from equime.table import write_atomically, writing

    wrote = []
    if options.csv is not None:
        with writing(options.csv):
            write_atomically(options.csv, found.csv().encode())
        wrote.append(f"wrote {options.csv}")
    if options.plot is not None:
        from equime.audit.drawing.plots import draw, save

        plots = draw(found)
        if plots:
            wrote += [f"wrote {path}" for path in save(plots, options.plot)]
        else:
            warn("nothing to draw: no group has a number")
    return wrote


# --- the questions


def _representation(options: argparse.Namespace) -> Audit:
    from equime.audit.representation import COLUMNS, representation
    from equime.audit.tables.published import published_rows
    from equime.audit.tables.rows import open_rows

    if (options.where is None) != options.published:
        raise EquimeError(f"expected WHERE ({WHERE}), or --published; got {options.where = }, {options.published = }")
    rows = published_rows() if options.published else open_rows(options.where, COLUMNS, options.labels)
    return representation(rows, options.by)


def _association(options: argparse.Namespace) -> Audit:
    from equime.audit.association import COLUMNS, association
    from equime.audit.tables.rows import open_rows

    return association(open_rows(options.where, COLUMNS, options.labels), options.by)


def _performance(options: argparse.Namespace) -> Audit:
    from equime.audit.performance import performance
    from equime.audit.tables.answers import COLUMNS, read_answers
    from equime.audit.tables.rows import open_rows

    data = open_rows(options.data, COLUMNS, options.labels) if options.data else None
    return performance(read_answers(options.predictions, data), options.by)


def _twins(options: argparse.Namespace) -> Audit:
    from equime.audit.twins import COLUMNS, twins

    rows = _clips(options, COLUMNS)
    return twins(rows, _answers(options, rows))


def _doses(options: argparse.Namespace) -> Audit:
    from equime.audit.doses import COLUMNS, doses

    rows = _clips(options, COLUMNS)
    return doses(rows, _answers(options, rows), options.by)


def _generator(options: argparse.Namespace) -> Audit:
    from equime.audit.generator import COLUMNS, generator

    return generator(_clips(options, COLUMNS), options.by)


def _captions(options: argparse.Namespace) -> Audit:
    from equime.audit.text import COLUMNS, text

    return text(_clips(options, COLUMNS), options.by)


def _clips(options: argparse.Namespace, columns: Sequence[str]) -> Rows:
    """The rows of a data set, never of somebody's table."""
    from equime.audit.tables.rows import FILE_LABELS, open_rows

    rows = open_rows(options.where, columns, options.labels)
    if rows.labels == FILE_LABELS:
        raise EquimeError(f"expected {WHERE}; got the table {options.where}: see `equime audit performance`")
    return rows


def _answers(options: argparse.Namespace, rows: Rows) -> Answered | None:
    from equime.audit.tables.answers import read_answers

    path: Path | None = options.predictions
    return None if path is None else read_answers(path, rows)


def _labels(options: argparse.Namespace) -> Audit:
    from equime.audit.label_noise import label_noise

    return label_noise(options.where, options.predictions, options.confusion)
