"""`equime VERB`: the verbs live in `equime.commands`; stages are named by string and loaded when asked for.

Exit codes: 0 done, 1 bad input or failed rows (one line says which), 2 wrong usage, 130 stopped by Ctrl-C,
143 ended by SIGTERM. With `--json` a failure is a document {"error": ...} too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Sequence

from equime.commands.access import access_flags
from equime.commands.audit import audit_flags
from equime.commands.causal import causal_flags
from equime.commands.data import data_flags
from equime.commands.demo import demo_flags
from equime.commands.diff import diff_flags
from equime.commands.evaluate_captions import evaluate_captions_flags
from equime.commands.experiments import experiments_flags
from equime.commands.export_vlm import export_vlm_flags
from equime.commands.look import check_flags, doctor_flags, show_flags, status_flags, summary_flags
from equime.commands.plan import plan_flags
from equime.commands.predict import evaluate_flags, predict_flags
from equime.commands.publish import publish_flags
from equime.commands.rebuild import rebuild_flags
from equime.commands.report import report_flags
from equime.commands.review import review_flags
from equime.commands.score import score_flags
from equime.commands.screen import screen_flags
from equime.commands.shared import warn
from equime.commands.spot import spot_flags
from equime.commands.stages import stage_flags
from equime.commands.train import train_flags
from equime.commands.trees import export_flags, import_flags
from equime.commands.tune import tune_flags
from equime.commands.validity import validity_flags
from equime.commands.verify import verify_flags
from equime.commands.view import view_flags
from equime.commands.withdraw import withdraw_flags
from equime.errors import EquimeError
from equime.stages import HELP, STAGES
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
        warn(str(error))
        if "--json" in arguments:
            with contextlib.suppress(EquimeError, BrokenPipeError):
                put([json.dumps({"error": str(error)})])
    except Ended:
        warn("ended by SIGTERM; what was finished is kept, the same command goes on")
        return 143
    except KeyboardInterrupt:
        warn("stopped; what was finished is kept, the same command goes on")
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


VERBS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "screen": ("faces -> those that can be used, and why others cannot", screen_flags),
    "plan": ("faces and the causal model -> the plan of clips", plan_flags),
    "causal": ("the causal model: show, fit, sample, discover", causal_flags),
    **{name: (HELP[name], stage_flags(name)) for name in STAGES},
    "score": (HELP["score"], score_flags),
    "validity": ("how far real expressions move, from your own copy of a set", validity_flags),
    "status": ("what is made, missing, stale and failed", status_flags),
    "check": ("everything that breaks the contract", check_flags),
    "show": ("list the clips, or show one", show_flags),
    "summary": ("captions, tags and scores: what they say, and how far to believe them", summary_flags),
    "import": ("a released tree -> a workspace", import_flags),
    "export": ("a workspace -> a released tree, or the Hub's layout", export_flags),
    "publish": ("a workspace -> a version on the Hub, gated", publish_flags),
    "verify": ("a version -> whether every file and clip is what its manifest says", verify_flags),
    "diff": ("two versions -> what changed", diff_flags),
    "withdraw": ("take a subject out of every version", withdraw_flags),
    "access": ("who asked for access, and what to answer", access_flags),
    "rebuild": ("a recipe and its pictures -> the clips", rebuild_flags),
    "data": ("real sets: list, check a copy, write an example", data_flags),
    "train": ("an experiment: every fold and seed trained and tested", train_flags),
    "predict": ("clips -> what trained networks answer", predict_flags),
    "evaluate": ("answers -> scores with intervals, and what guessing would score", evaluate_flags),
    "spot": ("whole clips -> when something happens in them", spot_flags),
    "experiments": ("a set of experiments and their controls -> one table", experiments_flags),
    "audit": ("for whom it holds: shares, gaps, twins, labels, with intervals", audit_flags),
    "report": ("what a data set is worth, and for whom: one page with clips that play", report_flags),
    "view": ("the same page with all clips, served on this machine alone", view_flags),
    "review": ("clips to people who code faces, blind, and what they say", review_flags),
    "export-vlm": ("clips and questions -> files that trainers of vision-language models take", export_vlm_flags),
    "tune": ("a vision-language model, fine-tuned on clips and questions", tune_flags),
    "evaluate-captions": (
        "what a model says of clips it has not seen, beside what guessing says",
        evaluate_captions_flags,
    ),
    "doctor": ("what is installed here, and the command for what is not", doctor_flags),
    "demo": ("a small data set from a real face, made, checked and loaded", demo_flags),
}
