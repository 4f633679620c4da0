"""The examples of a data set: every question about every clip that was made, from its metadata alone.

    from equime.tuning.examples.draw import examples
    found = examples("ws", ["caption", "question"])       # or a release, a tree, OWNER/NAME[@VERSION] on the Hub
    found[0].question, found[0].answer, found[0].split

Deterministic: what is drawn for a clip hashes the seed and the clip's id, so a data set that gains faces keeps the
examples it had. Splits are the data set's own, by subject; a subject in two of them is refused, as a model would be
tested on a face that it was trained on. Emotions are *intended*; groups are of *perceived* labels, one a subject.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from equime import schema
from equime.audit.tables import rows as audited
from equime.errors import EquimeError
from equime.noise import seed_of
from equime.tuning.example import TASKS, Example, Task
from equime.tuning.examples import planned
from equime.tuning.examples.captions import described, is_used, structured
from equime.tuning.examples.planned import Company, Planned
from equime.tuning.examples.preferences import preferred
from equime.tuning.examples.questions import asked
from equime.wording import counted

COLUMNS: Final = planned.COLUMNS
"""What is read of a data set, beside the labels of its subjects."""
logger = logging.getLogger(__name__)


def examples(
    where: str,
    tasks: Sequence[Task] = TASKS,
    *,
    labels: str | None = None,
    seed: int = 0,
    splits: Sequence[str] | None = None,
    limit: int | None = None,
) -> list[Example]:
    """The examples of a data set, in the order of its clips, for each clip in the order of `tasks`.

    Args:
        where: A workspace, a release's or tree's folder, or OWNER/NAME[@VERSION] on the Hub.
        tasks: Some of `TASKS`.
        labels: Whose labels make the groups, "source" or "tag"; None: the sources' where they have any.
        seed: Draws wordings and wrong answers.
        splits: Which; None: all. A clip without one counts as "train", as when it is loaded.
        limit: At most so many clips, drawn evenly; they keep their examples.

    Raises:
        EquimeError: An unknown task or split, nothing made, a subject in two splits, or a `limit` under 1.
    """
    _check("task", tasks, get_args(Task))
    _check("split", schema.SPLITS if splits is None else splits, schema.SPLITS)
    if limit is not None and limit < 1:
        raise EquimeError(f"expected a limit of 1 clip or more, got {limit = }")
    table = audited.label(where, _made(where), labels, audited.glasses(where)).table
    clips = list(planned.planned(table, seed, audited.ATTRIBUTES))
    company = Company(clips)
    chosen = _limited(_of_splits(where, clips, splits), seed, limit)
    makers: Mapping[str, Callable[[Planned], Iterable[Example]]] = {
        "caption": described,
        "json": structured,
        "question": lambda clip: asked(clip, company),
        "preference": lambda clip: preferred(clip, company),
    }
    _tell(chosen, where)
    return [example for clip in chosen for task in dict.fromkeys(tasks) for example in makers[task](clip)]


def _check(what: str, given: Sequence[str], known: Sequence[str]) -> None:
    if isinstance(given, str) or not given or set(given) - set(known):
        raise EquimeError(f"expected {what}s among {', '.join(known)}, got {given!r}")


def _made(where: str) -> pa.Table:
    """The rows of the clips that were made, each with a subject and a split.

    Controls that blink are left out: no plan says when, so that an answer would tell what most views do not show.
    """
    planned = audited.read_rows(where, COLUMNS)
    made = planned.filter(pc.and_(pc.is_valid(planned["num_frames"]), pc.is_null(planned["generate_error"])))
    if not len(made):
        raise EquimeError(f"no clip of {where} was made yet: run `equime generate {where}`")
    table = made.filter(pc.not_equal(pc.fill_null(made["control"], ""), "blink"))
    for number, why in ((len(planned) - len(made), "were not made"), (len(made) - len(table), "blink")):
        if number:
            logger.warning("%s: %d of %d clips %s and are left out", where, number, len(planned), why)
    filled = {
        "split": pc.fill_null(table["split"], schema.SPLITS[0]),
        "subject_id": pc.coalesce(table["subject_id"], table["clip_id"]),
    }
    for name, column in filled.items():
        table = table.set_column(table.column_names.index(name), name, column)
    _check_subjects(where, table)
    return table


def _check_subjects(where: str, table: pa.Table) -> None:
    pairs = table.select(["subject_id", "split"]).group_by("subject_id").aggregate([("split", "count_distinct")])
    several = pairs.filter(pc.greater(pairs["split_count_distinct"], 1))["subject_id"]
    if len(several):
        raise EquimeError(
            f"expected each subject of {where} in one split, got {several[0].as_py()!r} in two or more "
            f"({len(several)} such): see `equime check {where}`"
        )


def _of_splits(where: str, clips: Sequence[Planned], splits: Sequence[str] | None) -> list[Planned]:
    found = [clip for clip in clips if splits is None or clip.split in splits]
    if not found:
        have = ", ".join(split for split in schema.SPLITS if any(clip.split == split for clip in clips))
        raise EquimeError(f"expected clips in the split {' or '.join(splits or ())} of {where}, it has {have} alone")
    return found


def _limited(clips: list[Planned], seed: int, limit: int | None) -> list[Planned]:
    """The clips whose hashes are lowest, in their order: a larger limit keeps those of a smaller one."""
    if limit is None or limit >= len(clips):
        return clips
    ranks = np.argsort([seed_of(seed, f"limit\0{clip.clip_id}") for clip in clips], kind="stable")[:limit]
    return [clips[place] for place in sorted(ranks)]


def _tell(clips: Sequence[Planned], where: str) -> None:
    unknown = sum(not clip.is_known for clip in clips)
    if unknown:
        logger.warning("%s: %d clips without known units are asked for their emotion alone", where, unknown)
    reworded = sum(clip.is_known and bool(clip.caption) and not is_used(clip) for clip in clips)
    if reworded:
        told = counted(reworded, "caption")
        logger.warning("%s: %s told another plan than the clip's: the plan's words are taught instead", where, told)
