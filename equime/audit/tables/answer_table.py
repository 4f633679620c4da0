"""What a file of answers says, column by column, and one line for whatever is wrong with it.

    table = AnswerTable.read(Path("theirs.csv"))
    table.classes, table.numbers("prediction"), table.probabilities()

A row is named as a spreadsheet names it: the header of a CSV is row 1. Emotions are *intended*.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from equime import schema
from equime.audit.tables.files import as_text, read_table, require
from equime.errors import EquimeError
from equime.one_line import one_line

Array = npt.NDArray[Any]
Labels = Callable[[pa.ChunkedArray], pa.ChunkedArray]

IDS: Final = ("sample_id", "clip_id")
"""Columns that name a clip, the first that is there."""
OWN: Final = ("label", "prediction", "seed", "fold", "dataset")
"""What only the answers can say, even where the data set has such a column."""
PREFIXES: Final = ("prob_", "p_")
TOLERANCE: Final = 1e-3
"""By how much the probabilities of an answer may miss one."""
_HAIR: Final = 1e-6
_CLASS: Final = ("label", "prediction")
_NAMED: Final = 5
"""Classes that a message names."""
_EMOTIONS: Final = (*schema.EMOTIONS, schema.DISGUST)


@dataclass(frozen=True, eq=False)
class AnswerTable:
    """The labelled rows of a file of answers.

    Attributes:
        path: The file.
        columns: Its columns: text is plain text, `clip_id` is there where the file names clips.
        lines: int64 (n,), the row of the file that each comes from.
        unlabelled: Rows without a label, which are left out.
        spelled: Class in lower case -> the one spelling of it.
        folded: Spellings that were replaced by another.
    """

    path: Path
    columns: pa.Table
    lines: Array
    unlabelled: int
    spelled: Mapping[str, str]
    folded: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path, labels: Labels | None = None) -> AnswerTable:
        """The labelled rows.

        Args:
            path: The file.
            labels: Clips' ids -> their labels; asked where the file names clips and has no column `label`.

        Raises:
            EquimeError: No such file, no column `label` or `prediction` or none of text, no labelled row.
        """
        table = read_table(path)
        name = next((name for name in IDS if name in table.column_names), None)
        if labels and name and "label" not in table.column_names:
            table = put(table, "label", labels(as_text(table, name, path)))
        require(table, _CLASS, path)
        table, spelled, folded = _one_spelling(_as_text(table, path))
        known = np.asarray(table["label"].is_valid())
        if not known.any():
            raise EquimeError(f"no row of {path} has a label: expected at least one answer that can be right or wrong")
        if name:
            table = put(table, "clip_id", as_text(table, name, path))
        lines = np.flatnonzero(known) + (1 if path.suffix.lower() == ".parquet" else 2)
        return cls(path, table.filter(pa.array(known)), lines, int((~known).sum()), spelled, folded)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Those of the probabilities, else all that are named: emotions in the contract's order, others by alphabet."""
        if self._struct is not None:
            return tuple(self.spelled.get(_plain(field.name), field.name) for field in self._struct.type)
        if self._prefixed:
            return tuple(self.spelled.get(name, name) for name in self._prefixed)
        named = self._named("label") | self._named("prediction")
        known = [name for name in _EMOTIONS if name in named]
        return (*known, *sorted(named - set(known)))

    def _named(self, column: str) -> set[str]:
        return set(pc.unique(self.columns[column]).to_pylist()) - {None}

    def check_classes(self) -> None:
        """Refuse answers that are all of classes that are no label, which are other words for the same things.

        Raises:
            EquimeError: They are, and neither the contract nor probabilities say that both are classes.
        """
        labels, said = self._named("label"), self._named("prediction")
        known = labels | said <= {*_EMOTIONS} or self._struct is not None or self._prefixed
        if said and not labels & said and not known:
            got = f"no answer is a label: labels {_some(labels)}; answers {_some(said)}"
            raise EquimeError(f"{self.path}: expected label and prediction in the same words, but {got}: rename one")

    @property
    def notes(self) -> list[str]:
        """What was understood, and what was not: spellings, classes without a label, columns p_ of something else."""
        told = [f"other spellings of a class, read as that class: {_some(self.folded)}"] * bool(self.folded)
        if never := self._named("prediction") - self._named("label"):
            told.append(f"answers that no clip is labelled as, which are always wrong: {_some(never)}")
        if self._struct is None and not self._prefixed and (others := self._with_prefix):
            whole = self._named("label") | self._named("prediction")
            told.append(f"no probabilities: columns {_some(others)} are not one for each of {_some(whole)}")
        return told

    @property
    def _with_prefix(self) -> list[str]:
        return [name for name in self.columns.column_names if name.startswith(PREFIXES)]

    @property
    def _struct(self) -> pa.ChunkedArray | None:
        column = self.columns["probabilities"] if "probabilities" in self.columns.column_names else None
        return column if column is not None and pa.types.is_struct(column.type) else None

    @cached_property
    def _prefixed(self) -> dict[str, pa.ChunkedArray]:
        """Class in lower case -> its probabilities, where there are columns of all classes that are named."""
        needed = {_plain(name) for name in self._named("label") | self._named("prediction")}
        for prefix in PREFIXES:
            names = [name for name in self._with_prefix if name.startswith(prefix)]
            found = {_plain(name.removeprefix(prefix)): self.columns[name] for name in names}
            if needed <= found.keys():
                sure = {name: column for name, column in found.items() if name in needed or name in _EMOTIONS}
                return found if _is_whole(found.values()) else sure  # p_value is no class
        return {}

    def numbers(self, name: str) -> Array:
        """The column "label" or "prediction" as places in `classes`, int64 (n,).

        Raises:
            EquimeError: None in a row, or one that is no class.
        """
        column = self.columns[name]
        found = np.asarray(pc.index_in(column, pa.array(self.classes, pa.string())).fill_null(-1), np.int64)
        if (found < 0).any():
            first = int(np.argmax(found < 0))
            got = column[first].as_py()
            what = (
                f"a {name}, got none" if got is None else f"{name} to be one of {', '.join(self.classes)}, got {got!r}"
            )
            raise EquimeError(
                f"{self.path}, row {self.lines[first]}: expected {what}; correct it, or leave the row out"
            )
        return found

    def seeds(self) -> Array:
        """Which training answered, int64 (n,); 0 where nobody says.

        Raises:
            EquimeError: A seed that is no whole number.
        """
        if "seed" not in self.columns.column_names or self.columns["seed"].null_count == len(self.columns):
            return np.zeros(len(self.columns), np.int64)
        try:
            found = self.columns["seed"].cast(pa.int64())
        except pa.ArrowException:
            found = None
        if found is None or found.null_count:
            raise EquimeError(f"{self.path}: expected a whole number as seed in every row; or leave the column out")
        return np.asarray(found, np.int64)

    def probabilities(self) -> Array | None:
        """Of each class, float64 (n, K), or None where the file has none.

        Raises:
            EquimeError: They are no numbers, not within 0 to 1, or do not sum to one.
        """
        struct = self._struct
        columns = [*self._prefixed.values()] if struct is None else [pc.struct_field(struct, n) for n in self.classes]
        if not columns:
            return None
        try:
            found = np.stack([np.asarray(column.cast(pa.float64()).fill_null(np.nan)) for column in columns], 1)
        except pa.ArrowException as error:
            said = f"expected a number as probability of each class: {one_line(error)}"
            raise EquimeError(f"{self.path}: {said}") from error
        inside = np.asarray(((found >= -_HAIR) & (found <= 1 + _HAIR)).all(1))
        self._refuse(~inside, found, f"probabilities of 0 to 1 for {', '.join(self.classes)}")
        self._refuse(np.asarray(np.abs(found.sum(1) - 1) > TOLERANCE), found, "probabilities that sum to one")
        return found

    def _refuse(self, wrong: Array, found: Array, expected: str) -> None:
        if wrong.any():
            first, more = int(np.argmax(wrong)), int(wrong.sum()) - 1
            got = ", ".join(f"{value:.4g}" for value in found[first]) + f" (and {more:,} more such rows)" * bool(more)
            raise EquimeError(f"{self.path}, row {self.lines[first]}: expected {expected}, got {got}")

    def check_clips(self, seeds: Array) -> None:
        """Refuse clips that a seed answered twice or not at all, or that have two labels; nothing where none is named.

        Raises:
            EquimeError: There is such a clip, or one without a name.
        """
        if "clip_id" not in self.columns.column_names:
            return
        keys = [name for name in ("clip_id", "dataset") if name in self.columns.column_names]
        clips, runs = put(self.columns.select([*keys, "label"]), "seed", pa.array(seeds)), len(np.unique(seeds))
        if clips["clip_id"].null_count:
            raise EquimeError(
                f"{self.path}: expected a clip's id in every row, {clips['clip_id'].null_count:,} have none"
            )
        often = clips.group_by([*keys, "seed"], use_threads=False).aggregate([([], "count_all")])
        each = clips.group_by(keys, use_threads=False).aggregate([([], "count_all"), ("label", "count_distinct")])
        for found, wrong, expected, got in (
            (often, pc.greater(often["count_all"], 1), "one answer to each clip from each seed", "several to"),
            (each, pc.less(each["count_all"], runs), "every seed to answer the same clips", f"fewer than {runs} to"),
            (each, pc.greater(each["label_count_distinct"], 1), "one label a clip", "several of"),
        ):
            if (bad := found.filter(wrong)).num_rows:
                more = f" (and {len(bad) - 1:,} more)" * (len(bad) > 1)
                raise EquimeError(f"{self.path}: expected {expected}, got {got} {bad['clip_id'][0].as_py()!r}{more}")


def put(table: pa.Table, name: str, column: pa.ChunkedArray | pa.Array) -> pa.Table:
    """The table with a column, in the place of one of the same name."""
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, column)
    return table.append_column(name, column)


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", " ")


def _some(names: Collection[str]) -> str:
    """The first few names, fit for a line."""
    first = ", ".join(one_line(name) for name in sorted(names)[:_NAMED])
    return f"{first} and {len(names) - _NAMED:,} more" if len(names) > _NAMED else first


def _is_whole(columns: Iterable[pa.ChunkedArray]) -> bool:
    """Whether the columns are probabilities that sum to one in every row."""
    try:
        found = np.stack([np.asarray(column.cast(pa.float64()).fill_null(np.nan)) for column in columns], 1)
    except pa.ArrowException:
        return False
    return bool((np.abs(found.sum(1) - 1) <= TOLERANCE).all())


def _one_spelling(table: pa.Table) -> tuple[pa.Table, dict[str, str], tuple[str, ...]]:
    """Labels and predictions, each class in one spelling: the contract's, else the first in the alphabet of the labels.

    Returns:
        The table, class in lower case -> its spelling, and the spellings that were replaced.
    """
    labels, said = (sorted(set(pc.unique(table[name]).to_pylist()) - {None}) for name in _CLASS)
    spelled: dict[str, str] = {}
    for name in (*_EMOTIONS, *labels, *said):
        spelled.setdefault(_plain(name), name)
    folded = tuple(sorted(name for name in {*labels, *said} if spelled[_plain(name)] != name))
    before, after = pa.array(folded, pa.string()), pa.array([spelled[_plain(name)] for name in folded], pa.string())
    for name in _CLASS if folded else ():
        column = table[name].combine_chunks()
        table = put(table, name, pc.coalesce(after.take(pc.index_in(column, before, skip_nulls=True)), column))
    return table, spelled, folded


def remarks(truth: Array, predicted: Array, probabilities: Array | None, classes: tuple[str, ...]) -> tuple[str, ...]:
    """What is odd about answers and allowed: one class only, answers that are not the likeliest class."""
    notes = []
    if len(there := np.unique(truth)) == 1:
        alone = f"every clip is labelled {classes[there[0]]!r}"
        notes.append(f"{alone}: of one class, UF1 and UAR say nothing of how well it is told from others")
    if probabilities is not None:
        own = probabilities[np.arange(len(predicted)), predicted]
        if other := int((own < probabilities.max(1) - _HAIR).sum()):
            notes.append(f"{other:,} answers are not the likeliest class by their own probabilities: own thresholds?")
    return tuple(notes)


def _as_text(table: pa.Table, path: Path) -> pa.Table:
    """Classes and names as text, which may be numbers; a class that is empty is none."""
    for name in (*_CLASS, "fold", "dataset", "subject_id"):
        if name in table.column_names:
            column = as_text(table, name, path)
            if name in _CLASS:
                column = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
            table = put(table, name, column)
    return table
