"""A recogniser's answers, ours or anybody's, with the labels of the people they are of.

    answered = read_answers(Path("predictions.parquet"), open_rows("ws", performance.COLUMNS))
    answered = read_answers(Path("theirs.csv"))       # label, prediction, sample_id, subject_id, race, p_fear, ...

A file says as much as it can: `label` and `prediction` are needed; `sample_id` or `clip_id` lets answers be joined with
a data set and twice answered clips be found; without `subject_id` each clip counts as a person of its own.
Probabilities are a struct `probabilities` or columns `p_<class>` or `prob_<class>` of all classes. Classes are the same
whatever their case, and with "_" for a blank. Any column of text can be grouped by.

Labels of people are *perceived*, one for each person; emotions are *intended*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from equime import schema
from equime.audit.tables.answer_table import IDS, OWN, AnswerTable, Labels, put, remarks
from equime.audit.tables.rows import ATTRIBUTES, FILE_LABELS, Rows
from equime.errors import EquimeError

Array = npt.NDArray[Any]

COLUMNS: Final = ("clip_id", "emotion")
"""What answers are joined by, and checked against."""


@dataclass(frozen=True, eq=False)
class Answered:
    """Answers, one row for each clip and seed.

    Attributes:
        name: The file.
        rows: Of whom each answer is: `subject_id`, columns to group by, `clip_id`, `fold` and `dataset` where known.
        truth: int64 (n,), places in `classes`.
        predicted: int64 (n,), likewise.
        probabilities: float64 (n, K), or None where the file has none.
        classes: Names of the K classes.
        seeds: int64 (n,), which training answered.
    """

    name: str
    rows: Rows
    truth: Array
    predicted: Array
    probabilities: Array | None
    classes: tuple[str, ...]
    seeds: Array

    def __len__(self) -> int:
        return len(self.truth)

    def at(self, clips: pa.ChunkedArray) -> Array:
        """Where the answers to clips are: int64 (seeds, n), -1 for one that was not answered.

        Args:
            clips: Their ids (n,), each once.

        Raises:
            EquimeError: The file names no clips.
        """
        if "clip_id" not in self.rows.table.column_names:
            raise EquimeError(f"{self.name} names no clips: expected a column sample_id or clip_id to find their pairs")
        runs, run = np.unique(self.seeds, return_inverse=True)
        place = _places(self.rows.table["clip_id"], clips)
        found = np.full((len(runs), len(clips)), -1, np.int64)
        found[run[place >= 0], place[place >= 0]] = np.flatnonzero(place >= 0)
        return found


def read_answers(path: Path, data: Rows | None = None) -> Answered:
    """The labelled answers in a file.

    Args:
        path: `equime train`'s or `equime predict`'s table, or any CSV or Parquet file with `label` and `prediction`;
            of clips of `data` without `label`, whose intended emotions then are the labels.
        data: The data set that the clips are of, from `open_rows` with at least `clip_id`; its labels, subjects and
            columns then count. None: the file's own.

    Raises:
        EquimeError: No such file or column, no labelled answer, a label or an answer that is no class, answers that
            are all of other classes than the labels, probabilities that are none, a clip answered twice by one seed or
            not by every seed, or one that `data` does not have.
    """
    answers = AnswerTable.read(path, None if data is None else _emotions(path, data))
    answers.check_classes()
    truth, predicted = answers.numbers("label"), answers.numbers("prediction")
    seeds, probabilities = answers.seeds(), answers.probabilities()
    answers.check_clips(seeds)
    rows = _own(answers, seeds) if data is None else _joined(answers, data)
    odd = remarks(truth, predicted, probabilities, answers.classes)
    notes = (*rows.notes, *_left_out(answers), *answers.notes, *odd)
    return Answered(str(path), replace(rows, notes=notes), truth, predicted, probabilities, answers.classes, seeds)


def _left_out(answers: AnswerTable) -> list[str]:
    missing = [f"{answers.unlabelled:,} answers without a label are left out"] * bool(answers.unlabelled)
    if "clip_id" not in answers.columns.column_names:
        missing.append("the file has no column sample_id or clip_id: nobody checked whether a clip was answered twice")
    return missing


# --- whose clips


def _own(answers: AnswerTable, seeds: Array) -> Rows:
    """The file's own columns as rows, one label of each kind a subject."""
    notes: list[str] = []
    who = _people(answers.columns, seeds, notes)
    table = put(answers.columns, "subject_id", who)
    for name in ATTRIBUTES:
        if name in table.column_names and pa.types.is_string(table.schema.field(name).type):
            label, torn = _voted(who, table[name])
            table = put(table, name, label)
            whom = "1 subject" if torn == 1 else f"{torn:,} subjects"
            notes += [f"clips of {whom} disagree about {name}: the commonest label counts"] * bool(torn)
    return Rows(str(answers.path), FILE_LABELS, table, tuple(notes))


def _people(table: pa.Table, seeds: Array, notes: list[str]) -> pa.ChunkedArray:
    """Whose clip each is: as said, or a person of its own; of several data sets, with the data set's name."""
    # A clip without a name is known by its place among its seed's answers.
    within = np.zeros(len(seeds), np.int64)
    for seed in np.unique(seeds):
        within[seeds == seed] = np.arange((seeds == seed).sum())
    nobody = pa.chunked_array([pa.array([f"clip {number}" for number in within + 1])])
    alone = table["clip_id"] if "clip_id" in table.column_names else nobody
    if "subject_id" not in table.column_names:
        notes.append("the file has no column subject_id: each clip counts as a person of its own")
        return alone
    said = table["subject_id"]
    if said.null_count:
        notes.append(f"{said.null_count:,} answers name no subject: each such clip counts as a person of its own")
    said = pc.coalesce(said, alone)
    if "dataset" in table.column_names and pc.count_distinct(table["dataset"]).as_py() > 1:
        said = pc.binary_join_element_wise(table["dataset"].cast(pa.string()).fill_null("?"), said, "/")
    return said


def _voted(who: pa.ChunkedArray, labels: pa.ChunkedArray) -> tuple[pa.ChunkedArray, int]:
    """The commonest label of each row's subject, the first in the alphabet of equals; and how many had several."""
    pairs = pa.table({"who": who, "label": labels}).filter(labels.is_valid())
    often = pairs.group_by(["who", "label"], use_threads=False).aggregate([([], "count_all")])
    often = often.sort_by([("count_all", "descending"), ("label", "ascending")])
    best = often.group_by("who", use_threads=False).aggregate([("label", "first")])
    place = pc.index_in(who, best["who"].combine_chunks())
    several = pc.greater(pc.value_counts(often["who"]).field("counts"), 1)
    return best["label_first"].take(place), pc.sum(several).as_py() or 0


def _joined(answers: AnswerTable, data: Rows) -> Rows:
    """The data set's rows of the clips answered, with what only the answers say.

    Raises:
        EquimeError: One of the two names no clips, or there are answers to clips that the other does not have.
    """
    table, path = answers.columns, answers.path
    if "clip_id" not in table.column_names:
        raise EquimeError(f"{path} names no clips: expected a column clip_id or sample_id to join answers by")
    key, place = _joint(path, table["clip_id"], data)
    taken = data.table.take(pa.array(place))
    columns = {name: taken[name] for name in taken.column_names} | {"clip_id": taken[key]}
    columns |= {name: table[name] for name in table.column_names if name in OWN or name not in columns}
    columns["subject_id"] = pc.coalesce(taken["subject_id"].cast(pa.string()), taken[key].cast(pa.string()))
    return Rows(data.name, data.labels, pa.table(columns), (*data.notes, *_other_labels(columns, data.name)))


def _joint(path: Path, ids: pa.ChunkedArray, data: Rows) -> tuple[str, Array]:
    """The data set's column of ids, and the row there of each answer."""
    key = next((name for name in reversed(IDS) if name in data.table.column_names), None)
    if key is None:
        raise EquimeError(f"{data.name} names no clips: expected a column clip_id or sample_id to join answers by")
    known = data.table[key]
    if pc.count_distinct(known).as_py() != len(known):
        raise EquimeError(f"{data.name}: expected each {key} once to join answers by, got some more often or null")
    place = _places(ids, known)
    if (place < 0).any():
        unknown = pc.unique(ids.filter(pa.array(place < 0)))
        said = f"{len(unknown):,} are not, the first is {unknown[0].as_py()!r}"
        raise EquimeError(f"{path}: expected answers to clips of {data.name}, but {said}")
    return key, place


def _emotions(path: Path, data: Rows) -> Labels | None:
    """What labels clips where the answers do not: the data set's intended emotions, where it has them."""
    if "emotion" not in data.table.column_names:
        return None
    return lambda ids: data.table["emotion"].take(pa.array(_joint(path, ids, data)[1]))


def _other_labels(columns: Mapping[str, pa.ChunkedArray], name: str) -> list[str]:
    """A note where labels that are emotions are not those of the data set."""
    emotions = {*schema.EMOTIONS, schema.DISGUST}
    if "emotion" not in columns or not set(pc.unique(columns["label"]).to_pylist()) <= emotions:
        return []
    other = pc.sum(pc.not_equal(columns["label"], columns["emotion"])).as_py()
    return [f"{other:,} labels are not the emotion that {name} has for the clip: the file's labels count"] * bool(other)


def _places(ids: pa.ChunkedArray, known: pa.ChunkedArray) -> Array:
    """Where each id is among those known, int64 (n,), -1: nowhere; as it is, or without its data set's folder."""
    names = known.combine_chunks()
    found = pc.index_in(ids, names)
    bare = pc.index_in(pc.replace_substring_regex(ids, "^[^/]*/", ""), names)
    return np.asarray(pc.coalesce(found, bare).fill_null(-1), np.int64)
