"""`equime evaluate-captions RUN_OR_BASE --data WHERE`: what a model's answers are worth, and whether it looks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from equime.commands.shared import require_free, say
from equime.errors import EquimeError
from equime.options import add_flags, from_flags, path_argument

if TYPE_CHECKING:
    from equime.audit.result import Audit

MODEL = "a run's folder or OWNER/NAME[@REVISION] on the Hub; a base's folder or Hub id; tiny"
WHERE = "a workspace, a release's or a tree's folder, OWNER/NAME[@VERSION] on the Hub"


def evaluate_captions_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime evaluate-captions`."""
    from equime.tuning.evaluation.evaluate import Evaluate

    parser.add_argument("model", metavar="RUN_OR_BASE", nargs="?", help=MODEL)
    parser.add_argument("--data", metavar="WHERE", help=f"whose clips: {WHERE}")
    parser.add_argument("--captions", metavar="WHERE", help="score the captions that are there; no model")
    questions = "score answers to ME-VQA's questions: its jsonl with the true answers; no model"
    parser.add_argument("--questions", type=path_argument, metavar="JSONL", help=questions)
    parser.add_argument("--answers", type=path_argument, metavar="JSONL", help="the same with the answers given")
    parser.add_argument(
        "--out", type=path_argument, metavar="DIR", help="for answers and scores (default: RUN/evaluation/SPLIT)"
    )
    parser.add_argument("--by", metavar="A,B+C", help="attributes to group by (default: all with labels)")
    who = "whose labels: the sources' or the tagger's (default: the sources' where there are any)"
    parser.add_argument("--labels", choices=["source", "tag"], help=who)
    add_flags(parser, Evaluate)
    parser.add_argument("--csv", type=path_argument, metavar="CSV", help="write every number here, too")
    parser.set_defaults(command=_evaluate)


def _evaluate(options: argparse.Namespace) -> int:
    from equime.table import write_atomically, writing
    from equime.tuning.evaluation.scores import head, in_short

    read = [options.captions, options.data, options.questions, options.answers]
    require_free("--csv", options.csv, (".csv",), read)
    if options.out is not None and options.out.exists() and not options.out.is_dir():
        raise EquimeError(f"expected --out to be a folder, {options.out} is a file")
    ask = _questions if options.questions or options.answers else _captions if options.captions else _model
    found, wrote = ask(options)
    if options.csv is not None:
        with writing(options.csv):
            write_atomically(options.csv, found.csv().encode())
        wrote.append(options.csv)
    told = found.lines() if options.questions else [*head(found), "", *in_short(found).lines()]
    say(options, "\n".join([*told, *(f"wrote {path}" for path in wrote)]), found.to_dict())
    return 0


def _captions(options: argparse.Namespace) -> tuple[Audit, list[Path]]:
    from equime.tuning.evaluation.evaluate import SCORES, Evaluate, captions, save

    if options.model or options.data:
        raise EquimeError("expected --captions WHERE alone, or a model and --data WHERE: got both")
    found = captions(options.captions, from_flags(Evaluate, options), by=_names(options.by), labels=options.labels)
    if options.out is None:
        return found, []
    save(found, options.out)
    return found, [options.out / name for name in SCORES]


def _questions(options: argparse.Namespace) -> tuple[Audit, list[Path]]:
    from equime.tuning.mevqa.metrics import audit
    from equime.tuning.mevqa.read import read_questions

    others = (options.model, options.data, options.captions, options.out, options.by, options.labels)
    if options.questions is None or options.answers is None or any(others):
        raise EquimeError("expected --questions JSONL and --answers JSONL, and with them --csv or --json alone")
    return audit(read_questions(options.questions), read_questions(options.answers)), []


def _model(options: argparse.Namespace) -> tuple[Audit, list[Path]]:
    from equime.tuning.evaluation.evaluate import Evaluate, evaluate

    if not options.model or not options.data:
        raise EquimeError(f"expected a model and --data WHERE, or --captions WHERE; the model: {MODEL}")
    out = options.out or _inside(options)
    wanted = from_flags(Evaluate, options)
    found = evaluate(options.model, options.data, out, wanted, by=_names(options.by), labels=options.labels)
    return found, sorted(path for path in out.iterdir() if not path.name.startswith("."))


def _inside(options: argparse.Namespace) -> Path:
    folder = Path(options.model).expanduser()
    if not (folder / "run.json").is_file():
        raise EquimeError(f"expected --out DIR for the answers of {options.model}, which is no run on this disk")
    return folder / "evaluation" / str(options.split)


def _names(text: str | None) -> list[str] | None:
    return [name.strip() for name in text.split(",") if name.strip()] if text else None
