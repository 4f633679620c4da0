"""What a shard says of itself: who made it, from what, and whether that still holds.

A footer is JSON in the Parquet metadata of its shard, so that a whole workspace can be judged without reading a
row. Its *mark* hashes the stage's name, version and result-changing fields, and the content of every column read:
all that stands in footers too, so whether a shard still follows from its inputs needs no stage.

    equime status WORKSPACE
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from equime import schema
from equime.errors import EquimeError

FOOTER_KEY = b"equime"


class DamagedShardError(EquimeError):
    """A shard that was written here and cannot be used as it is: making it again mends it."""


@dataclass(frozen=True)
class Footer:
    """What a shard says of itself, kept as JSON in its Parquet metadata. `write` fills in digests, rows."""

    stage: str
    version: int
    mark: str
    digests: dict[str, str] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    fields: dict[str, Any] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=dict)
    rows: int = 0
    failed: int = 0
    schema_version: int = schema.VERSION


_KINDS: Mapping[str, type] = {
    **{"stage": str, "version": int, "mark": str, "digests": dict, "reads": list, "fields": dict},
    **{"models": dict, "packages": dict, "rows": int, "failed": int, "schema_version": int},
}


def digest(column: pa.ChunkedArray) -> str:
    """A content digest of a column: equal values give equal digests, however they are chunked or encoded."""
    values = json.dumps(column.to_pylist(), sort_keys=True, default=_bytes_digest)
    return hashlib.sha256(f"{_kind(column.type)}\n{values}".encode()).hexdigest()


def _kind(of: pa.DataType) -> str:
    """A type's name, whatever the encoding, and whatever Parquet calls the elements of a list."""
    if pa.types.is_dictionary(of):
        return _kind(of.value_type)
    if pa.types.is_list(of):
        return f"[{_kind(of.value_type)}]"
    if pa.types.is_struct(of):
        return "{" + ", ".join(f"{child.name}: {_kind(child.type)}" for child in of) + "}"
    return str(of)


def _bytes_digest(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()


def mend(shard: Path) -> str:
    """The next command for a shard that cannot be used."""
    group, workspace = shard.parent.name, shard.parent.parent
    return f"delete {shard}, then run `equime {group} {workspace}{' --faces DIR' if group == 'plan' else ''}`"


def damaged(shard: Path, what: object) -> DamagedShardError:
    """The error of a shard that cannot be used, in one line with the next command."""
    return DamagedShardError(f"{shard}: {what}; {mend(shard)}")


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def read_footer(path: Path) -> Footer:
    """The footer of one shard.

    Raises:
        DamagedShardError: Not a Parquet file, or a footer that does not read.
        EquimeError: No footer in it, or a newer schema version: nothing to overwrite.
    """
    try:
        metadata = pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise DamagedShardError(f"cannot read {path}: {first_line(error)}; {mend(path)}") from error
    if FOOTER_KEY not in (metadata.metadata or {}):
        raise EquimeError(f"{path} was not written by EquiME (no footer); {mend(path)}")
    try:
        values = json.loads(metadata.metadata[FOOTER_KEY])
        require_version(values["schema_version"], path)
        known = {f.name: values[f.name] for f in fields(Footer) if f.name in values}
        _require_kinds(known)
        return Footer(**known | {"reads": tuple(known["reads"]), "rows": metadata.num_rows})
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise DamagedShardError(f"{path} has a footer that does not read; {mend(path)}") from error


def _require_kinds(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if not isinstance(value, _KINDS[name]) or isinstance(value, bool):
            raise TypeError(name)
    texts = [*values["digests"].values(), *values.get("models", {}).values(), *values.get("packages", {}).values()]
    if not all(isinstance(text, str) for text in [*texts, *values["reads"]]):
        raise TypeError("digests, reads, models and packages hold text")


def require_version(version: int, where: object) -> None:
    """Refuse data of a schema newer than this package's."""
    if version > schema.VERSION:
        raise EquimeError(
            f"{where} has schema version {version}, this package reads up to {schema.VERSION}: "
            "run `pip install --upgrade equime`"
        )


def mark_of(name: str, version: int, fields: dict[str, Any], inputs: dict[str, str]) -> str:
    """The fingerprint of a shard's making."""
    what = {"stage": name, "version": version, "fields": fields, "inputs": inputs}
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def input_digests_of(footers: Mapping[str, Footer | None], reads: Sequence[str]) -> dict[str, str] | None:
    """The content digest of every column read, given the footers by group; None while one is not made."""
    digests = {}
    for column in ("clip_id", *reads):
        footer = footers.get(schema.OWNER.get(column, ""))
        if footer is None or column not in footer.digests:
            return None
        digests[column] = footer.digests[column]
    return digests


def follows(footer: Footer, footers: Mapping[str, Footer | None]) -> bool:
    """Whether a shard of this footer still follows from the shards beside it, given theirs by group.

    The plan follows from nothing in the workspace: it is always fresh.
    """
    if footer.stage == "plan":
        return True
    inputs = input_digests_of(footers, footer.reads)
    return inputs is not None and footer.mark == mark_of(footer.stage, footer.version, footer.fields, inputs)


class Standing(NamedTuple):
    """How one shard stands: the footers of the groups that are made, and the groups that are stale."""

    made: dict[str, Footer]
    stale: tuple[str, ...]


def standing(footers: Mapping[str, Footer | None]) -> Standing:
    """Which of a shard's groups are made and still follow from the others; what follows from a stale one is stale."""
    made = {group: footer for group, footer in footers.items() if footer}
    stale: list[str] = []
    while lapsed := [group for group, footer in made.items() if not follows(footer, made)]:
        stale += lapsed
        made = {group: footer for group, footer in made.items() if group not in lapsed}
    return Standing(made, tuple(sorted(stale, key=list(schema.GROUPS).index)))
