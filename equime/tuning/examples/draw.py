"""The examples of a data set: every question about every clip that was made, from its metadata alone.

    from equime.tuning.examples.draw import draw, examples
    found = examples("ws", ["caption", "question"])       # or a release, a tree, OWNER/NAME[@VERSION] on the Hub
    found[0].question, found[0].answer, found[0].split
    draw("ws", ["caption"]).left                          # {"clips that were not made": 3}

Deterministic: what is drawn for a clip hashes the seed and the clip's id, so a data set that gains faces keeps the
examples it had. Splits are the data set's own, by subject; a subject in two of them is refused, as a model would be
tested on a face that it was trained on. Emotions are *intended*; groups are of *perceived* labels, one a subject.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Drawn:
    """The examples of a data set.

    Attributes:
        examples: In the order of its clips, for each clip in the order of the tasks.
        left: What of the splits is not in them, and how often.
        notes: What a user should know of those that are.
    """

    examples: list[Example]
    left: dict[str, int]
    notes: list[str]


def examples(
    where: str,
    tasks: Sequence[Task] = TASKS,
    *,
    labels: str | None = None,
    seed: int = 0,
    splits: Sequence[str] | None = None,
    limit: int | None = None,
) -> list[Example]:
    """The examples alone, as of `draw`."""
    return draw(where, tasks, labels=labels, seed=seed, splits=splits, limit=limit).examples


def draw(
    where: str,
    tasks: Sequence[Task] = TASKS,
    *,
    labels: str | None = None,
    seed: int = 0,
    splits: Sequence[str] | None = None,
    limit: int | None = None,
) -> Drawn:
    """Draw the examples of a data set.

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
    made, left = _made(where, splits or schema.SPLITS)
    table = audited.label(where, made, labels, audited.glasses(where)).table
    clips = list(planned.planned(table, seed, audited.ATTRIBUTES))
    company = Company(clips)
    chosen = _limited(_of_splits(where, clips, splits), seed, limit)
    makers: Mapping[str, Callable[[Planned], Iterable[Example]]] = {
        "caption": described,
        "json": structured,
        "question": lambda clip: asked(clip, company),
        "preference": lambda clip: preferred(clip, company),
    }
    found = [example for clip in chosen for task in dict.fromkeys(tasks) for example in makers[task](clip)]
    return Drawn(found, {why: number for why, number in left.items() if number}, list(_notes(chosen, tasks)))


def _check(what: str, given: Sequence[str], known: Sequence[str]) -> None:
    if isinstance(given, str) or not given or set(given) - set(known):
        raise EquimeError(f"expected {what}s among {', '.join(known)}, got {given!r}")


def _made(where: str, splits: Sequence[str]) -> tuple[pa.Table, dict[str, int]]:
    """The rows of the clips that were made, each with a subject and a split, and how many of the splits are left out.

    Controls that blink are left out: no plan says when, so that an answer would tell what most views do not show.
    """
    rows = audited.read_rows(where, COLUMNS)
    filled = {
        "split": pc.fill_null(rows["split"], schema.SPLITS[0]),
        "subject_id": pc.coalesce(rows["subject_id"], rows["clip_id"]),
    }
    for name, column in filled.items():
        rows = rows.set_column(rows.column_names.index(name), name, column)
    made = rows.filter(pc.and_(pc.is_valid(rows["num_frames"]), pc.is_null(rows["generate_error"])))
    if not len(made):
        raise EquimeError(f"no clip of {where} was made yet: run `equime generate {where}`")
    table = made.filter(pc.not_equal(pc.fill_null(made["control"], ""), "blink"))
    _check_subjects(where, table)
    counts = (pc.sum(pc.is_in(some["split"], pa.array(splits))).as_py() or 0 for some in (rows, made, table))
    all_of_them, there, kept = counts
    return table, {"clips that were not made": all_of_them - there, "clips that blink": there - kept}


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


def _notes(clips: Sequence[Planned], tasks: Sequence[Task]) -> Iterator[str]:
    if unknown := sum(not clip.is_known for clip in clips):
        yield f"{counted(unknown, 'clip')} without known units: asked for the emotion alone"
    if {"caption", "json"} & set(tasks):
        reworded = sum(clip.is_known and bool(clip.caption) and not is_used(clip) for clip in clips)
        if reworded:
            yield f"{counted(reworded, 'caption')} told another plan than the clip's: answered in the plan's words"
