"""What must hold of a release before any byte of it is sent.

    content = ready(Path("out"))        # its manifest, and that every file is as the manifest says

A folder that was changed by hand, a column that hides how a person is perceived, one that says where a face came from,
a card without the form that people fill in for access: none of these leaves the machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub.repocard import metadata_load

from equime import schema
from equime.errors import EquimeError
from equime.footer import first_line
from equime.publishing import manifest as manifests
from equime.publishing.manifest import NAME, Manifest

CARD = "README.md"
FORM = "extra_gated_fields"
MEND = "make the release again with `equime publish`; nothing was sent"


class Release(NamedTuple):
    """A release that may be sent: its manifest, and the files that are in the folder, the manifest itself last."""

    manifest: Manifest
    files: dict[str, Path]


def ready(folder: Path) -> Release:
    """A release in a folder, checked.

    Files that the manifest names and the folder lacks are no error here: a repository may hold them already.

    Raises:
        EquimeError: No release; a file that differs from the manifest or is not in it; a column of `schema.PERCEIVED`
            without its mark, or one of `schema.UNPUBLISHED`; a card without the gate's form.
    """
    manifest = Manifest.read(folder)
    found = manifests.listed(folder)
    changed = sorted(path for path, entry in found.items() if manifest.files.get(path) != entry)
    if changed:
        raise EquimeError(f"{folder / changed[0]} is not as {NAME} says (and {len(changed) - 1} more): {MEND}")
    for path in found:
        if path.endswith(".parquet"):
            _require_honest(folder / path)
    _require_form(folder / CARD, manifest)
    return Release(manifest, {path: folder / path for path in (*found, NAME)})


def _require_honest(path: Path) -> None:
    try:
        columns = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise EquimeError(f"cannot read {path} ({first_line(error)}): {MEND}") from error
    for column in columns:
        if column.name in schema.UNPUBLISHED:
            raise EquimeError(f"{path} holds {column.name!r}, which never leaves a workspace: {MEND}")
        marks = column.metadata or {}
        if column.name in schema.PERCEIVED and not schema.PERCEIVED_MARK.items() <= marks.items():
            raise EquimeError(f"{path}: column {column.name!r} is not marked as perceived: {MEND}")


def _require_form(card: Path, manifest: Manifest) -> None:
    try:
        said = metadata_load(card) or {}
    except Exception as error:  # of the YAML reader, too, which is the client's
        raise EquimeError(f"cannot read the card {card} ({first_line(error)}): {MEND}") from error
    missing = sorted(set(manifest.about.policy.form) - set(said.get(FORM) or ()))
    if missing:
        raise EquimeError(f"{card} does not ask for {missing[0]!r} in its {FORM}: {MEND}")
