"""What a stage is: it makes one column group from the columns of others.

A stage is a frozen dataclass with a name, a version, the columns it reads and the columns it writes:

    @dataclass(frozen=True)
    class Captions:
        name: ClassVar[str] = "caption"
        version: ClassVar[int] = 1
        reads: ClassVar[tuple[str, ...]] = ("emotion", "action_units")
        writes: ClassVar[pa.Schema] = writes("caption")
        style: str = option("plain", help="wording")

        def load(self) -> None: ...
        def __call__(self, rows: list[Row]) -> list[Row]: ...

    equime.run(Captions(), Table("ws"), workers=2)
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol, runtime_checkable

import pyarrow as pa

from equime import schema

Row = dict[str, Any]


@runtime_checkable
class Stage(Protocol):
    """What `run` needs of a stage.

    Optional attributes: `batch`, how many rows one call gets (16); for the footers `packages`, whose versions they
    record, and `models`, model id -> revision. These and `reads` may follow from a stage's fields.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    writes: ClassVar[pa.Schema]

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it is given, of other groups."""

    def load(self) -> None:
        """Heavy imports and weights, once per worker."""

    def __call__(self, rows: list[Row]) -> list[Row]:
        """One dict of written columns for each row, in order; absent columns are null.

        `rows` have clip_id and what `reads` names. An exception fails the batch, which is then tried row by
        row; a row that fails alone keeps nulls and the reason.
        """


def writes(group: str) -> pa.Schema:
    """The columns of a group without clip_id: what its stage declares."""
    return pa.schema([f for f in schema.GROUPS[group] if f.name != "clip_id"])
