"""Marks: what a shard was made from and how, in one hash.

A mark covers the stage's name, version and result-changing fields, the shard's clip ids, and the content of
every column it reads. So a new prompt makes captions stale and nothing else, and equal output leaves what
follows fresh. Footers hold all that a mark is made of, so whether a shard still follows needs no stage.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from equime.table import Footer, Table, owner


def input_digests(table: Table, reads: Sequence[str], index: int) -> dict[str, str] | None:
    """The content digest of every column read, from the footers; None while one is not made."""
    groups = {owner(column) for column in ("clip_id", *reads)}
    return _input_digests({group: table.footer(group, index) for group in groups}, reads)


def _input_digests(footers: Mapping[str, Footer | None], reads: Sequence[str]) -> dict[str, str] | None:
    digests = {}
    for column in ("clip_id", *reads):
        footer = footers.get(owner(column))
        if footer is None or column not in footer.digests:
            return None
        digests[column] = footer.digests[column]
    return digests


def mark_of(name: str, version: int, fields: dict[str, Any], inputs: dict[str, str]) -> str:
    """The fingerprint of a shard's making."""
    what = {"stage": name, "version": version, "fields": fields, "inputs": inputs}
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def is_fresh(table: Table, group: str, index: int) -> bool:
    """Whether a written shard still follows from its inputs, by its own recorded stage and fields."""
    footer = table.footer(group, index)
    if footer is None:
        return False
    groups = {owner(column) for column in ("clip_id", *footer.reads)}
    return follows(footer, {name: table.footer(name, index) for name in groups})


def follows(footer: Footer, footers: Mapping[str, Footer | None]) -> bool:
    """Whether a shard of this footer still follows from the shards beside it, given theirs by group.

    The plan follows from nothing in the workspace: it is always fresh.
    """
    if footer.stage == "plan":
        return True
    inputs = _input_digests(footers, footer.reads)
    return inputs is not None and footer.mark == mark_of(footer.stage, footer.version, footer.fields, inputs)
