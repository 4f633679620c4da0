"""A release: one version of a data set as a folder that says what it is.

    <out>/data/ metadata/           the Hub's layout (`equime.hub`); a recipe has no data/, but recipe/
    <out>/README.md DATASHEET.md CITATION.cff CHANGELOG.md croissant.json figures/
    <out>/manifest.json             every file and every clip by hash, written last

What people read is written from what stands in `metadata/`, never from the workspace: so that a release from which a
subject was taken out describes itself by the same code. The same workspace and `About` give the same bytes.

    equime publish WORKSPACE --version 1.1.0 --out DIR
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from equime import hub
from equime.errors import EquimeError
from equime.publishing import manifest
from equime.publishing.about import About
from equime.publishing.comparing.diff import Diff, diff
from equime.publishing.comparing.snapshot import open_version
from equime.publishing.documents import card, changelog, citation, croissant, datasheet, facts, figures
from equime.publishing.manifest import FileEntry, Manifest
from equime.publishing.origin import Origin, Tombstone
from equime.publishing.recipes import recipe
from equime.publishing.releasing import origins, rows
from equime.publishing.releasing.earlier import Earlier
from equime.publishing.withdrawing import rewriting
from equime.table import Table, write_atomically, writing


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
    out = out.resolve()  # a link stays one: the folder that it names is filled
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise EquimeError(f"expected a new or empty folder, {out} is not: name another, or remove it")
    partial = out.with_name(f".{out.name}.making")
    shutil.rmtree(partial, ignore_errors=True)
    withdrawn = earlier.manifest.withdrawn if earlier else ()
    gone = withdrawn_clips(withdrawn, table)
    try:
        receipt = hub.write_layout(
            table,
            partial,
            keep_rejected=keep_rejected,
            without=gone,
            whole=True,
            clips=about.mode == "clips",
            progress=progress,
        )
        with writing(out):
            if about.mode == "recipe":
                recipe.write_sources(table, partial, set(rows.hashes(partial)))
            ways, acceptance = origins.ways(table), origins.acceptance(table, gone)
            origin = Origin(ways, receipt.planned, receipt.left_out, withdrawn, acceptance)
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
    clips = table.rows(["clip_id", "subject_id", "twin_id"])
    return rewriting.clips_of([each.subject_id for each in withdrawn], clips)


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
    sizes = {path: entry.bytes for path, entry in found.items()}
    told = facts.gather(rows.metadata(folder), about, **vars(origin), sizes=sizes)
    drawn = figures.draw(told, folder)
    texts = {
        "README.md": card.render(told, drawn),
        "DATASHEET.md": datasheet.render(told),
        "CITATION.cff": citation.cff(about),
        changelog.NAME: changelog.render(earlier, changelog.entry(about, changes, origin.withdrawn)),
        "croissant.json": croissant.render(told, found),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    found |= {name: manifest.hashed(folder / name) for name in (*texts, *drawn.values())}
    made = Manifest(
        about=about,
        files=dict(sorted(found.items())),
        clips=rows.hashes(folder),
        counts=rows.counts(folder),
        marks=rows.marks(folder),
        **vars(origin),
    )
    write_atomically(folder / manifest.NAME, made.to_json().encode())
    return made
