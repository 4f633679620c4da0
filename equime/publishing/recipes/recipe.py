"""A recipe: all that it takes to make a data set's clips again, for whoever holds the pictures, and no face.

    <out>/metadata/<split>.parquet   plan, captions, tags, scores, and the clips' hashes
    <out>/recipe/sources.parquet     clip -> which picture it needs, and how its shard was made
    <out>/manifest.json

Why: some licences (CelebA's) do not let anybody hand on pictures, or what is drawn from them. A picture is named by
HMAC-SHA256 of its own hash under a salt that follows from the recipe's clips: who holds the picture finds it whatever
its file is called, and nobody else learns anything, not even that two recipes share a picture.

    equime publish WORKSPACE --version 1.0.0 --mode recipe
    equime rebuild REPO --faces DIR --out WORKSPACE
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Container, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import huggingface_hub
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from equime import hub, schema
from equime.errors import EquimeError
from equime.footer import FOOTER_KEY, Footer, first_line
from equime.publishing.manifest import NAME, Manifest, hashed
from equime.publishing.recipes.stage_fields import nameless
from equime.remote import HubRepo, Token, explained, is_repo
from equime.table import Table, writing
from equime.typed import built

SOURCES: Final = "recipe/sources.parquet"
COLUMNS: Final = pa.schema([("clip_id", pa.string()), ("source_match", pa.string()), ("making", pa.int32())])
"""`making` counts into the footer's list: how each group of columns of the clip's shard was made."""
GENERATE: Final = "generate"

Making = Mapping[str, Footer]
"""Group -> how it was made: stage, version, fields, columns read, models, packages. Without mark and digests."""


def salt_of(clip_ids: Iterable[str]) -> bytes:
    """The key of `match`: SHA-256 over the sorted clip ids, so that the same recipe is the same bytes."""
    return hashlib.sha256("\n".join(sorted(clip_ids)).encode()).digest()


def match(salt: bytes, sha256: str) -> str:
    """How a recipe names the picture with this SHA-256 (hex): 64 hex digits."""
    return hmac.new(salt, sha256.encode(), "sha256").hexdigest()


def write_sources(table: Table, folder: Path, clip_ids: Container[str]) -> None:
    """Write `recipe/sources.parquet` of a release, rows in the order of the plan.

    Args:
        table: The workspace.
        folder: The release in the making.
        clip_ids: The clips that go out.

    Raises:
        EquimeError: Clips that no generator of this package made (an import), which nothing can make again.
    """
    makings: dict[str, int] = {}
    found: list[tuple[str, str, int]] = []
    for index in table.shards():
        rows = [row for row in table.read(index, ["source_sha256"]).to_pylist() if row["clip_id"] in clip_ids]
        if rows:
            made = table.standing(index).made
            _require_generated(table, made.get(GENERATE), rows)
            told = {group: asdict(_how(footer)) for group, footer in made.items() if group != "plan"}
            number = makings.setdefault(json.dumps(told, sort_keys=True), len(makings))
            found += [(row["clip_id"], row["source_sha256"], number) for row in rows]
    salt = salt_of(clip_id for clip_id, _, _ in found)
    columns = zip(*((clip_id, match(salt, sha256), number) for clip_id, sha256, number in found), strict=True)
    about = {"schema_version": schema.VERSION, "salt": salt.hex(), "makings": [json.loads(text) for text in makings]}
    sources = pa.table([pa.array(column) for column in columns] or None, names=COLUMNS.names).cast(COLUMNS)
    path = folder / SOURCES
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sources = sources.replace_schema_metadata({FOOTER_KEY: json.dumps(about, sort_keys=True).encode()})
        pq.write_table(sources, path, compression="ZSTD")


def _how(footer: Footer) -> Footer:
    """What of a footer says how: nothing of this machine, nothing of the rows."""
    models = {nameless(name): revision for name, revision in footer.models.items()}
    return replace(footer, mark="", digests={}, rows=0, failed=0, fields=nameless(footer.fields), models=models)


def _require_generated(table: Table, footer: Footer | None, rows: Iterable[Mapping[str, Any]]) -> None:
    if footer is None or footer.stage != GENERATE or any(row["source_sha256"] is None for row in rows):
        raise EquimeError(
            f"a recipe says how clips are made again, and {table.path} holds clips that were imported: "
            "publish the clips themselves (--mode clips), with a permission if their licence needs one"
        )


@dataclass(frozen=True)
class Recipe:
    """A recipe that was read and found whole.

    Attributes:
        name: As it was asked for, for messages.
        manifest: Of the release.
        rows: A row a clip, in the order of the plan, with every published column but the bytes.
        sources: `COLUMNS`, row by row beside `rows`.
        salt: The key of `match`.
        makings: The ways in which shards were made.
    """

    name: str
    manifest: Manifest
    rows: pa.Table
    sources: pa.Table
    salt: bytes
    makings: tuple[Making, ...]

    @cached_property
    def place(self) -> dict[str, int]:
        """Clip -> its row."""
        return {clip_id: row for row, clip_id in enumerate(self.rows["clip_id"].to_pylist())}

    @cached_property
    def matches(self) -> list[str]:
        """By row, how the picture is named."""
        return list(self.sources["source_match"].to_pylist())

    @cached_property
    def making(self) -> list[int]:
        """By row, the number of its making."""
        return list(self.sources["making"].to_pylist())

    def take(self, clip_ids: Iterable[str], columns: Iterable[str]) -> pa.Table:
        """Columns of some clips, in their order."""
        return self.rows.select(list(columns)).take(pa.array([self.place[clip_id] for clip_id in clip_ids], pa.int64()))


def open_recipe(where: str, token: Token = None) -> Recipe:
    """Read a recipe: the folder of a release, or REPO[@VERSION] on the Hub. No other file of it is fetched.

    Args:
        where: As above; of a repository without a version, the newest of its main branch.
        token: See `equime.remote.HubRepo`.

    Raises:
        EquimeError: None there, no access, a release that holds the clips themselves, or one that is not whole.
    """
    folder = Path(where).expanduser()
    if folder.is_dir():
        return _read(where, Manifest.read(folder), lambda path: folder / path)
    repo, _, version = where.partition("@")
    if not is_repo(repo):
        raise EquimeError(f"expected the folder of a recipe or a Hub repository OWNER/NAME[@VERSION], got {where = }")
    commit = HubRepo(repo, version or None, token).commit

    def fetched(path: str) -> Path:
        with explained(repo, version or None):
            return Path(huggingface_hub.hf_hub_download(repo, path, repo_type="dataset", revision=commit, token=token))

    return _read(where, Manifest.read(fetched(NAME).parent), fetched)


def _read(where: str, manifest: Manifest, at: Any) -> Recipe:
    """`at` gives the place of a file by its path in the release; only names of this module's own are asked of it."""
    if manifest.about.mode != "recipe":
        raise EquimeError(
            f"{where} holds the clips themselves: load them (`load_dataset('equime', 'video')`), "
            "or name a release made with `equime publish --mode recipe`"
        )
    parts = [_parquet(where, manifest, path, at) for path in hub.metadata_files(manifest.files).values()]
    sources = _parquet(where, manifest, SOURCES, at)
    if not parts or sources.schema.names != COLUMNS.names:
        raise EquimeError(f"{where} is not whole: it lacks metadata or columns of {SOURCES}; fetch it again")
    try:
        about = json.loads((sources.schema.metadata or {})[FOOTER_KEY])
        sources = sources.cast(COLUMNS)
        makings = tuple({group: built(Footer, how) for group, how in each.items()} for each in about["makings"])
        salt = bytes.fromhex(about["salt"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, pa.ArrowException) as error:
        raise EquimeError(f"{where} has a {SOURCES} that does not read: {error!r}; fetch it again") from error
    rows = pa.concat_tables([schema.conform(part, hub.METADATA) for part in parts])
    order = pc.index_in(sources["clip_id"], value_set=rows["clip_id"].combine_chunks())
    hashes = dict(zip(rows["clip_id"].to_pylist(), rows["sha256"].to_pylist(), strict=True))
    numbers = set(sources["making"].to_pylist())
    once = len(set(order.to_pylist())) == len(order) == len(rows) == len(hashes)
    whole = once and not order.null_count and hashes == dict(manifest.clips)
    if not whole or not numbers <= set(range(len(makings))) or any(GENERATE not in making for making in makings):
        raise EquimeError(
            f"{where} is not whole: its manifest, metadata and sources name different clips; fetch it again"
        )
    rows = rows.take(order)
    if problem := next(iter(schema.check(rows)), None):
        raise EquimeError(f"{where} breaks the contract: {problem}; fetch it again")
    return Recipe(where, manifest, rows, sources, salt, makings)


def _parquet(where: str, manifest: Manifest, path: str, at: Any) -> pa.Table:
    """A file of the release, its hash compared with the manifest's."""
    if path not in manifest.files:
        raise EquimeError(f"{where} is not whole: its manifest names no {path}; fetch it again")
    try:
        file = at(path)
        if hashed(file) != manifest.files[path]:
            raise EquimeError(f"{where}: {path} is not what the manifest says; fetch it again")
        return pq.read_table(file, use_threads=False, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise EquimeError(f"cannot read {path} of {where}: {first_line(error)}; fetch it again") from error
