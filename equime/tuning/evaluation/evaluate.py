r"""A model asked about clips that it was not trained on, and what its answers are worth.

    found = evaluate("runs/v", "ws", Path("runs/v/evaluation"), Evaluate(split="test"))
    print("\n".join([*head(found), *found.lines()]))

    equime evaluate-captions runs/v --data ws
    equime evaluate-captions Qwen/Qwen2.5-VL-3B-Instruct --data ws --out zero-shot       # as it comes
    equime evaluate-captions --captions ws                                               # captions that are there

A fine-tuned model is shown what it was trained on (its view); whoever compares it with its base gives the base the same
view. Subjects that it was trained on are refused: a model that knows the face may know the answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, cast

from equime.audit.result import Audit
from equime.captioning import templates
from equime.errors import EquimeError
from equime.locks import hold
from equime.optional import need
from equime.options import option
from equime.publishing.comparing.snapshot import open_version
from equime.remote import is_repo
from equime.table import write_atomically, writing
from equime.tuning.clips import Clips
from equime.tuning.evaluation.answer import EXTRA, Opened, answer
from equime.tuning.evaluation.baselines import asked, constant
from equime.tuning.evaluation.parsed import Said
from equime.tuning.evaluation.retrieval import rank, with_retrieval
from equime.tuning.evaluation.scores import CAPTIONS, CONDITIONS, scores
from equime.tuning.example import Example, Task
from equime.tuning.examples.draw import examples
from equime.tuning.training.adapter import RUN, Run, found_base, open_base, open_run, open_tuned
from equime.tuning.training.options import LEARNT
from equime.tuning.training.tiny import NAME as TINY
from equime.tuning.view import Name, View

COLUMNS: Final = ("clip_id", "caption", "caption_json", "captioner", "caption_error", "seed", "control")
SCORES: Final = ("scores.json", "scores.csv")


@dataclass(frozen=True)
class Evaluate:
    """What is asked, of which clips, and how."""

    split: Literal["train", "validation", "test"] = option("test", help="whose clips")
    tasks: tuple[str, ...] = option(
        (), help="caption, json, question (default: what a run was trained for, all of a base)"
    )
    conditions: tuple[str, ...] = option(
        CONDITIONS, help="seen: the clip; blind: nothing; shuffled: another clip; constant: no model"
    )
    limit: int | None = option(None, help="at most so many clips, drawn evenly")
    retrieval: int = option(0, help="captions among which each clip's own is looked for; 0 leaves that out")
    seen: bool = option(False, help="go on though the model was trained on some of these subjects, and say so")
    view: Name = option("apex", help="what a base is shown; a run is shown what it was trained on")
    frames: int = option(16, help="how many frames a base is shown")
    size: int = option(0, help="pixels of a side that a base is shown; 0 leaves them as they are")
    base: str | None = option(None, help="where the base of a run lies now")
    batch_size: int = option(4, help="questions answered together", result=False)
    max_new_tokens: int = option(512, help="longest answer")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = option("auto", help="of the weights")
    device: str = option("auto", help="auto, cpu, cuda or cuda:1", result=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        for name, given, known in (("tasks", self.tasks, LEARNT), ("conditions", self.conditions, CONDITIONS)):
            if set(given) - set(known):
                raise EquimeError(f"expected --{name} among {', '.join(known)}, got {', '.join(given)}")
        if "seen" not in self.conditions:
            raise EquimeError(
                f"expected 'seen' among --conditions, the others are held against it: {self.conditions = }"
            )
        for name, least in (("batch_size", 1), ("max_new_tokens", 1), ("retrieval", 0)):
            if getattr(self, name) < least:
                raise EquimeError(f"expected --{name.replace('_', '-')} of {least} or more, got {getattr(self, name)}")
        if self.retrieval == 1:
            raise EquimeError("expected --retrieval of 2 captions or more, the true one and a wrong one: retrieval = 1")


def evaluate(
    model: str,
    where: str,
    out: Path,
    options: Evaluate = Evaluate(),
    *,
    by: Sequence[str] | None = None,
    labels: str | None = None,
) -> Audit:
    """Ask a model and score its answers.

    Args:
        model: A run's folder, or OWNER/NAME[@REVISION] of one; a base's folder or Hub id; "tiny".
        where: A workspace, a release's or tree's folder, or OWNER/NAME[@VERSION] on the Hub.
        out: A folder for `answers.parquet`, `retrieval.parquet`, `scores.json` and `scores.csv`: what lies there of an
            interrupted run is gone on with.
        options: See `Evaluate`.
        by: Attributes to group by; None: those with labels.
        labels: Whose labels make the groups, "source" or "tag".

    Raises:
        EquimeError: No such model or data, a split without clips, subjects that it was trained on, no room to write,
            or another evaluation that writes there.
    """
    need("sacrebleu", extra=EXTRA), need("rouge_score", extra=EXTRA)  # before hours are spent
    run = open_run(model) if is_run(model) else None
    tasks = options.tasks or (run.tasks if run else LEARNT)
    wanted = _examples(where, tasks, options, labels)
    notes = _strangers(run, wanted, options) if run else []
    conditions, more = _shown(wanted, options)
    notes += more
    asks = asked(wanted, conditions)
    clips = Clips(where)
    view = run.view if run else View(options.view, options.frames, options.size)
    clips.require((example.clip_id for example in wanted), view)
    with hold(out):
        opened = opened_model(model, options)
        said = answer(opened, clips, asks, out, batch_size=options.batch_size, max_new_tokens=options.max_new_tokens)
        if "constant" in options.conditions:
            others, unsaid = _constant(where, tasks, wanted)
            said, notes = [*said, *others], [*notes, *unsaid]
        found = scores(said, by, labels or "", [*_told(opened, clips, wanted), *notes])
        if options.retrieval:
            pairs = _examples(where, ("preference",), options, labels)
            ranked = rank(
                opened, clips, pairs, out, size=options.retrieval, conditions=conditions, batch_size=options.batch_size
            )
            found = with_retrieval(found, ranked)
        save(found, out)
    return found


def captions(
    where: str,
    options: Evaluate = Evaluate(),
    *,
    by: Sequence[str] | None = None,
    labels: str | None = None,
) -> Audit:
    """Score the captions that a data set holds already, whoever wrote them, in words and as JSON.

    Args:
        where: As for `evaluate`.
        options: `split`, `limit` and whether the constant is asked for.
        by: As for `evaluate`.
        labels: As for `evaluate`.

    Raises:
        EquimeError: No such data, a split without clips, or no captions.
    """
    wanted = _examples(where, ("caption", "json"), options, labels)
    rows = {row["clip_id"]: row for row in open_version(where).read(COLUMNS).to_pylist()}
    said = [each for example in wanted for each in _written(example, rows[example.clip_id])]
    if not said:
        raise EquimeError(f"expected captions in the split {options.split} of {where}: run `equime caption {where}`")
    notes = [f"captions by {', '.join(sorted({rows[s.example.clip_id]['captioner'] or 'others' for s in said}))}"]
    if len(said) < len(wanted):
        notes.append(f"{len(wanted) - len(said)} of {len(wanted)} captions are missing and count for nothing")
    if "constant" in options.conditions:
        more, unsaid = _constant(where, ("caption", "json"), [each.example for each in said])
        said, notes = [*said, *more], [*notes, *unsaid]
    return scores(said, by, labels or "", notes)


def save(found: Audit, out: Path) -> None:
    """Write the scores as `scores.json` and `scores.csv`."""
    for name, text in zip(SCORES, (json.dumps(found.to_dict(), indent=1), found.csv()), strict=True):
        with writing(out / name):
            write_atomically(out / name, text.encode())


def opened_model(model: str, options: Evaluate) -> Opened:
    """A run with its adapter, or a base as it comes.

    Raises:
        EquimeError: Neither, no access, a base without video, too little memory.
    """
    if is_run(model):
        processor, tuned, run = open_tuned(model, options.device, base=options.base, dtype=options.dtype)
        return Opened(f"{run.base}+{run.mark}", processor, tuned, run.view)
    name, _, revision = model.partition("@") if not Path(model).expanduser().exists() else (model, "", "")
    with found_base(name, revision or None) as checkpoint:
        processor, base = open_base(checkpoint, options.device, options.dtype)
    view = View(options.view, options.frames, options.size)
    return Opened(f"{checkpoint.name}@{checkpoint.revision}", processor, base, view)


def is_run(model: str) -> bool:
    """Whether it is a run of `equime tune`, on this disk or on the Hub."""
    folder = Path(model).expanduser()
    if folder.exists() or model == TINY:
        return (folder / RUN).is_file()
    name, _, revision = model.partition("@")
    if not is_repo(name):
        raise EquimeError(f"no run and no model in {model!r}: expected a folder, OWNER/NAME on the Hub, or 'tiny'")
    hub = need("huggingface_hub", extra=EXTRA)
    try:
        hub.hf_hub_download(name, RUN, revision=revision or None)
    except Exception:  # whatever is wrong with it is said by who opens it as a base
        return False
    return True


def _examples(where: str, tasks: Sequence[str], options: Evaluate, labels: str | None) -> list[Example]:
    chosen = cast("Sequence[Task]", tasks)
    found = examples(where, chosen, labels=labels, splits=[options.split], limit=options.limit)
    if not found:
        raise EquimeError(f"no clip in the split {options.split} of {where} can be asked for {', '.join(tasks)}")
    return found


def _strangers(run: Run, wanted: Sequence[Example], options: Evaluate) -> list[str]:
    """A note where the model was trained on some of these subjects.

    Raises:
        EquimeError: It was, and nobody said that this is wanted.
    """
    subjects = {example.subject_id for example in wanted}
    known = run.saw(subjects)
    if known and not options.seen:
        raise EquimeError(
            f"{run.name} was trained on {len(known)} of the {len(subjects)} subjects of split {options.split!r}, "
            f"{min(known)!r} first: give --split another, or --seen to test on them all the same"
        )
    return [f"trained on {len(known)} of these {len(subjects)} subjects: no scores of strangers"] * bool(known)


def _shown(wanted: Sequence[Example], options: Evaluate) -> tuple[list[str], list[str]]:
    """The conditions under which a model is asked, and a note where the clip of another subject cannot be shown."""
    found = [name for name in options.conditions if name != "constant"]
    clips, subjects = ({getattr(example, name) for example in wanted} for name in ("clip_id", "subject_id"))
    if "shuffled" not in found or len(subjects) > 1:
        return found, []
    if len(clips) > 1:
        return found, ["all these clips are of one subject: shuffled shows another clip of the same"]
    return [name for name in found if name != "shuffled"], ["not asked with another video: there is one clip alone"]


def _constant(where: str, tasks: Sequence[str], wanted: Sequence[Example]) -> tuple[list[Said], list[str]]:
    try:
        training = examples(where, cast("Sequence[Task]", tasks), splits=["train"])
    except EquimeError:
        return [], [f"no constant answer: {where} has no clips in the split train"]
    return constant(training, wanted), []


def _told(opened: Opened, clips: Clips, wanted: Sequence[Example]) -> Iterator[str]:
    view = opened.view
    frames = "onset, apex, offset and their flow" if view.name == "keyframes" else f"{view.frames} frames"
    oracle = "; an oracle, which knows the planned times: what is told of times proves little" * view.is_oracle
    yield f"the model: {opened.name}; shown: {view.name}, {frames}{oracle}"
    facts = (clips.facts(clip_id) for clip_id in dict.fromkeys(example.clip_id for example in wanted))
    if sparse := sum(view.misses(row["num_frames"], row["fps"]) for row in facts):
        yield f"the frames shown of {sparse} clips lie too far apart for most expressions: an apex may be between them"


def _written(example: Example, row: dict[str, Any]) -> Iterator[Said]:
    """The caption of a row as the answer to an example; what is expected is the plan in the words of our templates."""
    text = row["caption" if example.task == "caption" else "caption_json"]
    if not text or row["caption_error"]:
        return
    truth = example.truth
    plan = (
        truth.emotion,
        truth.units,
        truth.onset_ms,
        truth.apex_ms,
        truth.offset_ms,
        row["seed"] or 0,
        row["control"],
    )
    words = templates.caption(*plan) if example.task == "caption" else json.dumps(templates.caption_json(*plan))
    yield Said(replace(example, answer=words), CAPTIONS, text)
