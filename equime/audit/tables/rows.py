"""The rows that are audited, with one label of each kind for each subject, whatever they lie in.

    rows = open_rows("ws", ["emotion", "accepted"])                # or OWNER/NAME[@VERSION], a release, a tree
    rows = open_rows("people.csv")                                 # any table with columns such as race and gender
    rows.table["race"]                                             # perceived; null where nobody said

Why one label a subject: a person is perceived differently from clip to clip, and whoever counts clips by their own
labels counts that person in two groups. Labels are *perceived*: "source" as whoever made the table of faces labelled
the pictures, "tag" by a classifier, one vote over a subject's clips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from equime.audit.tables import people
from equime.audit.tables.files import SUFFIXES, as_text, read_table
from equime.errors import EquimeError
from equime.publishing.comparing.snapshot import open_version
from equime.screening.gallery import FILE, read_sources
from equime.skin import skin_band

ATTRIBUTES: Final = ("gender", "age", "race", "skin", "glasses")
"""Columns of labels that `open_rows` adds, text, one label a subject; of a file, those that it has."""
VOTED: Final = ("gender", "age", "race")
"""Those of them that two label, the sources and the tagger."""
SOURCE, TAG, FILE_LABELS = "source", "tag", "file"


@dataclass(frozen=True)
class Rows:
    """What is audited.

    Attributes:
        name: As it was asked for.
        labels: Whose labels: "source", "tag", or "file" where a file says what it says.
        table: `subject_id`, the columns asked for, and `ATTRIBUTES` (of a file, all its columns).
        notes: What a reader has to know of the labels.
    """

    name: str
    labels: str
    table: pa.Table
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.table)

    @property
    def subjects(self) -> list[str]:
        """Whose row each is."""
        found: list[str] = self.table["subject_id"].to_pylist()
        return found

    def labels_of(self, by: str) -> str:
        """Whose labels groups are of; "" of no attribute, and of skin, which is measured, whoever labels people."""
        said = self.labels == FILE_LABELS or not {*VOTED}.isdisjoint(by.split("+"))
        return self.labels if by and said else ""

    def chosen(self, mask: pa.ChunkedArray | pa.Array | np.ndarray) -> Rows:
        """Some of the rows, by mask."""
        return replace(self, table=self.table.filter(pa.array(mask) if isinstance(mask, np.ndarray) else mask))


def open_rows(where: str, columns: Sequence[str] = (), labels: str | None = None) -> Rows:
    """The rows of a data set, or of a file.

    Args:
        where: A workspace, a release's or tree's folder, OWNER/NAME[@VERSION] on the Hub, a CSV or a Parquet file.
        columns: Columns of the contract, `gender`, `age` and `race` excepted: these are always there, as labels.
        labels: "source" or "tag"; None: the sources' where they have any, else the tagger's.

    Raises:
        EquimeError: Nothing there that this package reads, or nobody there has such labels.
    """
    if where.lower().endswith(SUFFIXES):
        return _of_file(where)
    return label(where, read_rows(where, columns), labels, glasses(where))


def read_rows(where: str, columns: Sequence[str]) -> pa.Table:
    """Columns of the rows of a data set, and with them all that `label` needs.

    As they are, but that a number which is not finite is null: a clip counts as not having it.

    Raises:
        EquimeError: Nothing there that this package reads.
    """
    table = open_version(where).read([*dict.fromkeys((*columns, *people.COLUMNS, "skin_ita", "source"))])
    for place, field in enumerate(table.schema):
        if pa.types.is_floating(field.type):
            column = table[field.name]
            finite = pc.if_else(pc.is_finite(column), column, pa.scalar(None, field.type))
            table = table.set_column(place, field, finite)
    return table


def label(name: str, table: pa.Table, labels: str | None = None, worn: Mapping[str, str] | None = None) -> Rows:
    """Rows of the contract with their subjects' labels in place of what single clips were tagged.

    Args:
        name: For messages.
        table: From `read_rows`.
        labels: See `open_rows`.
        worn: From `glasses`.

    Raises:
        EquimeError: Labels that are neither "source" nor "tag", or that nobody has.
    """
    if labels not in (None, SOURCE, TAG):
        raise EquimeError(f"expected labels to be 'source' or 'tag', got {labels = }")
    known = people.people(table).labels
    chosen = labels or next((basis for basis in (SOURCE, TAG) if any(known[basis].values())), SOURCE)
    if labels and not any(known[labels].values()):
        how = f"run `equime tag {name}`" if labels == TAG else "plan with faces whose table has gender, age or race"
        raise EquimeError(f"nobody in {name} has {labels} labels: {how}")
    subjects = table["subject_id"].combine_chunks()
    columns = {attribute: _looked_up(subjects, known[chosen][attribute]) for attribute in VOTED}
    columns["skin"] = _looked_up(subjects, _bands(table))
    columns["glasses"] = _looked_up(table["source"].combine_chunks(), worn or {})
    kept = [name for name in table.column_names if name not in (*columns, "gender_probs", "race_probs")]
    notes = tuple(f"nobody has a {n} label ({chosen})" for n in VOTED if not known[chosen][n])
    return Rows(name, chosen, pa.table({n: table[n] for n in kept} | columns), notes)


def glasses(where: str) -> dict[str, str]:
    """Source picture -> "glasses" or "no glasses", of a workspace whose faces were screened; else nothing."""
    folder = Path(where).expanduser()
    if not (folder / FILE).is_file():
        return {}
    words = {True: "glasses", False: "no glasses"}
    return {source.path: words[source.glasses] for source in read_sources(folder) if source.glasses is not None}


def _of_file(where: str) -> Rows:
    table = read_table(Path(where).expanduser())
    alone = pa.array([f"row {number}" for number in range(1, len(table) + 1)])
    if "subject_id" not in table.column_names:
        note = "the file has no column subject_id: each row counts as a person of its own"
        return Rows(where, FILE_LABELS, table.append_column("subject_id", alone), (note,))
    place, said = table.column_names.index("subject_id"), as_text(table, "subject_id", where)
    note = f"{said.null_count:,} rows name no subject: each counts as a person of its own"
    table = table.set_column(place, "subject_id", pc.coalesce(said, alone))
    return Rows(where, FILE_LABELS, table, (note,) * bool(said.null_count))


def _looked_up(keys: pa.Array, labels: Mapping[str, str]) -> pa.Array:
    """The label of each key; null where it has none."""
    known = pa.array(labels.keys(), pa.string())
    return pa.array(labels.values(), pa.string()).take(pc.index_in(keys, known))


def _bands(table: pa.Table) -> dict[str, str]:
    """Subject -> band of skin as pictured, of the mean angle over its clips."""
    found = pa.table({"subject": table["subject_id"], "ita": table["skin_ita"]}).group_by("subject")
    means = found.aggregate([("ita", "mean")])
    pairs = zip(means["subject"].to_pylist(), means["ita_mean"].to_pylist(), strict=True)
    bands = {subject: skin_band(ita) for subject, ita in pairs if subject is not None}
    return {subject: band for subject, band in bands.items() if band}
