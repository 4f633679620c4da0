"""A release: one version of a data set as a folder that says what it is.

    <out>/data/ metadata/           the Hub's layout (`equime.hub`); a recipe has no data/, but recipe/
    <out>/README.md DATASHEET.md CITATION.cff CHANGELOG.md croissant.json figures/
    <out>/manifest.json             every file and every clip by hash, written last

What people read is written from what stands in `metadata/`, never from the workspace: so that a release from which a
subject was taken out describes itself by the same code. The same workspace and `About` give the same bytes.

    equime publish WORKSPACE --version 1.1.0 --out DIR
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from equime import hub, schema
from equime.errors import EquimeError
from equime.footer import FOOTER_KEY
from equime.publishing import manifest
from equime.publishing.about import About, Tombstone, Way
from equime.publishing.comparing.diff import Diff, diff
from equime.publishing.comparing.snapshot import Snapshot, open_version
from equime.publishing.documents import card, changelog, citation, croissant, datasheet, facts, figures
from equime.publishing.manifest import FileEntry, Manifest
from equime.publishing.recipes import recipe
from equime.publishing.recipes.stage_fields import nameless
from equime.publishing.withdrawing import withdraw
from equime.table import Table, write_atomically, writing

FIGURE = "figures/composition.png"


class Earlier(NamedTuple):
    """The version before, as far as the next one speaks of it."""

    manifest: Manifest
    changelog: str
    snapshot: Snapshot


@dataclass(frozen=True)
class Origin:
    """What the rows of a release were chosen from, and how they were made.

    Attributes:
        made: How each group of columns was made.
        planned: Clips that the workspace plans.
        left_out: Why -> clips planned and not released.
        withdrawn: Subjects taken out, in this version or before.
    """

    made: tuple[Way, ...] = ()
    planned: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    withdrawn: tuple[Tombstone, ...] = ()


def make(
    table: Table,
    out: Path,
    about: About,
    *,
    keep_rejected: bool = False,
    earlier: Earlier | None = None,
    progress: bool = True,
) -> hub.LayoutReceipt:
    """Write a workspace as a release, whole or not at all.

    Args:
        table: The workspace; `preflight` says whether it may be published.
        out: A folder that is absent or empty.
        about: What its maker says of it.
        keep_rejected: Release clips too that were scored and not accepted.
        earlier: The version before: its CHANGELOG goes on and says what changed, its withdrawn subjects stay out.
        progress: Show clips done on a terminal.

    Raises:
        EquimeError: The folder holds something, no clip can be written, or the disk is full or read-only.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise EquimeError(f"expected a new or empty folder, {out} is not: name another, or remove it")
    partial = out.with_name(f".{out.name}.making")
    shutil.rmtree(partial, ignore_errors=True)
    withdrawn = earlier.manifest.withdrawn if earlier else ()
    try:
        receipt = hub.write_layout(
            table,
            partial,
            keep_rejected=keep_rejected,
            without=withdrawn_clips(withdrawn, table),
            whole=True,
            clips=about.mode == "clips",
            progress=progress,
        )
        with writing(out):
            if about.mode == "recipe":
                recipe.write_sources(table, partial, set(_hashes(partial)))
            origin = Origin(ways(table), receipt.planned, receipt.left_out, withdrawn)
            changes = diff(earlier.snapshot, open_version(str(partial))) if earlier else None
            describe(partial, about, origin, earlier=earlier.changelog if earlier else None, changes=changes)
            if out.exists():
                out.rmdir()
            partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return receipt


def withdrawn_clips(withdrawn: Sequence[Tombstone], table: Table) -> set[str]:
    """The clips that may not come back."""
    if not withdrawn:
        return set()
    rows = table.rows(["clip_id", "subject_id", "twin_id"])
    return withdraw.clips_of([each.subject_id for each in withdrawn], rows)


def describe(
    folder: Path,
    about: About,
    origin: Origin,
    *,
    earlier: str | None = None,
    changes: Diff | None = None,
    kept: Mapping[str, FileEntry] | None = None,
) -> Manifest:
    """Write what a release says of itself beside its `metadata/`, the manifest last.

    Args:
        folder: The release in the making.
        about: What its maker says of it.
        origin: What its rows were chosen from.
        earlier: The CHANGELOG of the version before.
        changes: What changed since.
        kept: Files of the release that do not lie in the folder, because the version before has them already.

    Raises:
        EquimeError: Metadata that does not read.
    """
    found = dict(kept or {}) | manifest.listed(folder)
    told = facts.gather(
        _metadata(folder),
        about,
        made=origin.made,
        planned=origin.planned,
        left_out=origin.left_out,
        withdrawn=origin.withdrawn,
        sizes={path: entry.bytes for path, entry in found.items()},
    )
    (folder / FIGURE).parent.mkdir(exist_ok=True)
    drawn = figures.composition(told, folder / FIGURE)
    if not drawn:
        (folder / FIGURE).parent.rmdir()
    texts = {
        "README.md": card.render(told, FIGURE if drawn else None),
        "DATASHEET.md": datasheet.render(told),
        "CITATION.cff": citation.cff(about),
        "CHANGELOG.md": changelog.render(earlier, changelog.entry(about, changes, origin.withdrawn)),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    found |= manifest.listed(folder)
    (folder / "croissant.json").write_text(croissant.render(told, found), encoding="utf-8", newline="\n")
    found |= {"croissant.json": manifest.hashed(folder / "croissant.json")}
    made = Manifest(
        about=about,
        files=dict(sorted(found.items())),
        clips=_hashes(folder),
        counts=_counts(folder),
        planned=origin.planned,
        left_out=origin.left_out,
        marks=_marks(folder),
        made=origin.made,
        withdrawn=origin.withdrawn,
    )
    write_atomically(folder / manifest.NAME, made.to_json().encode())
    return made


def _files(folder: Path) -> Iterator[Path]:
    names = [p.relative_to(folder).as_posix() for p in folder.glob("metadata/*.parquet")]
    yield from (folder / path for path in hub.metadata_files(names).values())


def _metadata(folder: Path) -> Iterator[pa.Table]:
    for path in _files(folder):
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, use_threads=False)


def _columns(folder: Path, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for path in _files(folder):
        with pq.ParquetFile(path) as file:
            yield from file.read(columns=list(names), use_threads=False).to_pylist()


def _hashes(folder: Path) -> dict[str, str]:
    """clip_id -> SHA-256 of its mp4."""
    return {row["clip_id"]: row["sha256"] for row in _columns(folder, ["clip_id", "sha256"])}


def _counts(folder: Path) -> dict[str, dict[str, int]]:
    rows = _columns(folder, ["split", "emotion", "control"])
    return hub.by_split(Counter((row["split"], row["emotion"] or row["control"] or schema.NEUTRAL) for row in rows))


def _marks(folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in _files(folder):
        found |= json.loads(pq.read_metadata(path).metadata[FOOTER_KEY])["marks"]
    return found


def ways(table: Table) -> tuple[Way, ...]:
    """How a workspace's columns were made: each distinct set of options, in the order of the groups.

    Raises:
        EquimeError: A shard that does not read.
    """
    found: dict[tuple[str, str], Way] = {}
    for index in table.shards():
        for group, footer in table.standing(index).made.items():
            way = Way(
                footer.stage,
                footer.version,
                {name: nameless(value) for name, value in footer.fields.items()},
                {str(nameless(model)): revision for model, revision in footer.models.items()},
                footer.packages,
                1,
            )
            key = group, json.dumps([way.stage, way.version, way.fields, way.models, way.packages], sort_keys=True)
            found[key] = replace(found[key], shards=found[key].shards + 1) if key in found else way
    order = list(schema.GROUPS)
    return tuple(way for _, way in sorted(found.items(), key=lambda item: (order.index(item[0][0]), item[0][1])))
