"""Marks: what a shard was made from and how, in one hash.

A mark covers the stage's name, version and result-changing fields, the shard's clip ids, and the content of
every column it reads. So a new prompt makes captions stale and nothing else, and equal output leaves what
follows fresh. `equime.footer` computes them; here they are asked of a workspace.
"""

from __future__ import annotations

from collections.abc import Sequence

from equime.footer import input_digests_of, mark_of
from equime.options import result_fields
from equime.stage import Stage
from equime.table import Table, owner


def mark(stage: Stage, table: Table, index: int) -> str | None:
    """The mark that shard `index` should carry; None while its inputs are not all made."""
    inputs = input_digests(table, stage.reads, index)
    if inputs is None:
        return None
    return mark_of(stage.name, stage.version, result_fields(stage), inputs)


def input_digests(table: Table, reads: Sequence[str], index: int) -> dict[str, str] | None:
    """The content digest of every column read, from the footers; None while one is not made."""
    groups = {owner(column) for column in ("clip_id", *reads)}
    return input_digests_of({group: table.footer(group, index) for group in groups}, reads)


def is_fresh(table: Table, group: str, index: int) -> bool:
    """Whether a written shard still follows from its inputs, by its own recorded stage and fields."""
    return group in table.made(index, [group])
