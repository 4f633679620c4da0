"""The one table of recognition: a row for each coded expression, whoever recorded it and however it lies on disk.

Why: every published number hides a preprocessing of its own, so that no two are of the same clips. Here every data set
becomes the same columns before anything is computed, and what was not coded is null, never guessed.

    samples = read("casme2", Path("CASME2"))        # equime.recognise.readers
    samples.table["emotion3"]
    for pictures in samples.open([0, 1]):
        pictures.read(pictures.numbers[:2])         # two uint8 (H, W, 3)

Emotions of acted or generated clips are *intended*, gender, age and race are *perceived* labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from equime import schema
from equime.errors import EquimeError

Array = npt.NDArray[Any]
Row = Mapping[str, Any]

THREE: Final = ("negative", "positive", "surprise")
"""The classes of MEGC2019's composite."""
OBJECTIVE: Final = ("I", "II", "III", "IV", "V", "VI", "VII")
"""The classes by action units of Davison et al. (arXiv 1708.07549)."""
MOMENTS: Final = ("onset", "apex", "offset")
"""The coded times of an expression, in their order."""
TARGETS: Final = ("emotion3", "emotion5", "objective", "emotion")
"""The columns that can be learnt."""

FIELDS: Final = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),  # "<dataset>/<its own path or name>", unique
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("subject_id", pa.string(), nullable=False),  # "<dataset>-<its own id>": ids collide across sets
        pa.field("frames", pa.string(), nullable=False),  # where the pictures are: for the sample's origin alone
        pa.field("fps", pa.float64(), nullable=False),
        pa.field("onset", pa.int32()),  # numbers of frames as the set counts them: no indices
        pa.field("apex", pa.int32()),
        pa.field("offset", pa.int32()),
        pa.field("apex_from", pa.string()),  # "coded", "planned", "measured"; null without an apex
        pa.field("emotion", pa.string()),  # as coded
        pa.field("emotion3", pa.string()),
        pa.field("emotion5", pa.string()),  # schema.EMOTIONS
        pa.field("objective", pa.string()),
        pa.field("au_text", pa.string()),  # as coded
        pa.field("action_units", schema.METADATA.field("action_units").type),
        pa.field("control", pa.string()),
        pa.field("split", pa.string()),
        pa.field("gender", pa.string()),
        pa.field("age", pa.string()),
        pa.field("race", pa.string()),
        pa.field("variant", pa.string()),  # how it was made, where its maker knows
    ]
)
"""Columns of every table of samples."""


class Pictures(Protocol):
    """The frames of one sample."""

    @property
    def numbers(self) -> Sequence[int]:
        """The numbers of its frames, ascending; gaps are missing pictures."""

    def read(self, numbers: Sequence[int]) -> list[Array]:
        """Those frames, uint8 (H, W, 3) RGB each.

        Raises:
            EquimeError: No such frame, or it does not decode.
        """

    def digest(self, numbers: Sequence[int]) -> str:
        """A sha256 that changes with the content of those frames."""


class Origin(Protocol):
    """Where the pictures of one data set's samples are. Picklable: worker processes open their own."""

    def parts(self, rows: Sequence[Row]) -> list[list[int]]:
        """The positions of rows that are cheap to open together, every position once."""

    def open(self, rows: Sequence[Row]) -> Iterator[Pictures]:
        """The pictures of rows, in their order."""


@dataclass(frozen=True)
class Samples:
    """Coded expressions and where their pictures are.

    Attributes:
        table: Columns of `FIELDS`.
        origins: Data set -> where its pictures are.
    """

    table: pa.Table
    origins: Mapping[str, Origin]

    def __len__(self) -> int:
        return len(self.table)

    def take(self, positions: Sequence[int] | Array) -> Samples:
        """Some of the samples, in the given order."""
        return Samples(self.table.take(pa.array(np.asarray(positions, np.int64))), self.origins)

    def open(self, positions: Sequence[int]) -> Iterator[Pictures]:
        """The pictures of some samples of one data set, in the given order."""
        rows = self.table.take(pa.array(positions, pa.int64())).to_pylist()
        sets = {row["dataset"] for row in rows}
        if len(sets) > 1:
            raise EquimeError(f"expected samples of one data set, got {sets = }")
        return self.origins[sets.pop()].open(rows) if rows else iter(())

    @classmethod
    def joined(cls, several: Sequence[Samples]) -> Samples:
        """The samples of several data sets as one.

        Raises:
            EquimeError: Nothing given, or a sample occurs twice.
        """
        if not several:
            raise EquimeError("expected at least one data set; give --data NAME=PATH or a workspace")
        table = pa.concat_tables([one.table for one in several])
        ids = table["sample_id"].to_pylist()
        if len(set(ids)) < len(ids):
            twice = next(name for name in ids if ids.count(name) > 1)
            raise EquimeError(f"sample {twice} occurs twice: give each data set once")
        return cls(table, {name: origin for one in several for name, origin in one.origins.items()})


def labels(table: pa.Table, target: str) -> tuple[Array, tuple[str, ...]]:
    """What is to be learnt, as numbers.

    Args:
        table: Columns of `FIELDS`.
        target: One of `TARGETS`.

    Returns:
        int64 (n,), -1 where there is no such label; and the names of the classes that occur, in the target's own order.

    Raises:
        EquimeError: An unknown target, or fewer than two classes in the table.
    """
    if target not in TARGETS:
        raise EquimeError(f"expected one of {', '.join(TARGETS)}, got {target = }")
    coded = table[target].to_pylist()
    order = {"emotion3": THREE, "emotion5": schema.EMOTIONS, "objective": OBJECTIVE}.get(target, ())
    found = set(filter(None, coded))
    names = (*(name for name in order if name in found), *sorted(found.difference(order)))
    if len(names) < 2:
        raise EquimeError(f"expected at least two classes of {target}, got {list(names)}")
    number = {name: place for place, name in enumerate(names)}
    return np.array([number.get(name, -1) for name in coded], np.int64), names
