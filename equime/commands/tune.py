"""`equime tune`: a vision-language model learns to describe micro-expressions; the same command goes on."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from equime.commands.shared import say, warn
from equime.commands.train import warnings_told
from equime.errors import EquimeError
from equime.options import add_flags, from_flags, path_argument

if TYPE_CHECKING:
    from equime.tuning.training.options import Tune


def tune_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime tune`."""
    from equime.tuning.training.options import Tune

    where = "a workspace, a release's or tree's folder, or OWNER/NAME[@VERSION] on the Hub"
    parser.add_argument("--data", required=True, metavar="WHERE", help=where)
    base = "folder or Hub id of a model that takes video, as Qwen/Qwen2.5-VL-3B-Instruct; or tiny, to try the way"
    parser.add_argument("--base", required=True, metavar="ID_OR_DIR", help=base)
    parser.add_argument("--revision", metavar="SHA", help="commit of the Hub model")
    parser.add_argument("--out", type=path_argument, required=True, metavar="RUN", help="the run's folder")
    add_flags(parser, Tune)
    parser.add_argument("--push", metavar="OWNER/NAME", help="publish the adapter there at the end, private and gated")
    parser.add_argument("--visible", action="store_true", help="let everybody see the gated repository's card")
    parser.add_argument(
        "--evaluate", action="store_true", help="at the end, on people it was not trained on where there are any"
    )
    parser.set_defaults(command=_tune)


def _tune(options: argparse.Namespace) -> int:
    from equime.recognise.training.spread import is_first
    from equime.tuning.training.options import Tune
    from equime.tuning.training.train import tune

    remote, chosen = _surveyed(options), from_flags(Tune, options)

    with warnings_told():
        tuned = tune(options.data, options.base, options.out, chosen, revision=options.revision)
    if not is_first():
        return 0
    lines, facts = [str(tuned)], tuned.to_dict()
    if options.evaluate:
        told, scored = _evaluated(options, chosen)
        lines, facts = [*lines, *told], facts | {"evaluation": scored}
    if remote is not None:
        from equime.tuning.training.push import push_tuned

        pushed = push_tuned(options.out, remote, visible=options.visible, tell=warn)
        lines, facts = [*lines, str(pushed)], facts | {"pushed": pushed.to_dict()}
    say(options, "\n".join(lines), facts)
    return 0


def _evaluated(options: argparse.Namespace, chosen: Tune) -> tuple[list[str], Any]:
    """What it answers about those whom it was not trained on; about the same people where there are no others."""
    from equime.tuning.evaluation.evaluate import Evaluate, evaluate
    from equime.tuning.evaluation.scores import head
    from equime.tuning.examples.draw import examples

    splits = {example.split for example in examples(options.data, chosen.learnt, seed=chosen.seed)}
    split: Any = next((name for name in ("test", "validation") if name in splits), "train")
    how = Evaluate(split=split, seen=split == "train", limit=chosen.limit, device=chosen.device)
    found = evaluate(str(options.out), options.data, out := options.out / "evaluation" / split, how)
    paths = [out / name for name in ("scores.json", "scores.csv")]
    return [*head(found), *found.notes, *(f"wrote {path}" for path in paths)], found.to_dict()


def _surveyed(options: argparse.Namespace) -> Any:
    """The repository of `--push`, if any; what the Hub would refuse is said before hours of training."""
    if options.push is None:
        if options.visible:
            raise EquimeError("--visible is about a repository: name it by --push OWNER/NAME")
        return None
    from equime.recognise.model_repo import ModelRemote
    from equime.recognise.publish_run import survey

    remote = ModelRemote(options.push)
    survey(remote)
    return remote
