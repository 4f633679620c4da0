"""The version before: whose CHANGELOG goes on, whose withdrawn subjects stay out, what the next one is compared with.

earlier_version("release")              # a folder made with --out
earlier_version("org/equime@1.0.0")     # on the Hub; without "@" what is on main
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from equime.errors import EquimeError
from equime.publishing import manifest
from equime.publishing.comparing.snapshot import Snapshot, open_version
from equime.publishing.documents import changelog
from equime.publishing.manifest import Manifest
from equime.publishing.repository.asking import MAIN
from equime.publishing.repository.client import Remote


class Earlier(NamedTuple):
    """The version before, as far as the next one speaks of it."""

    manifest: Manifest
    changelog: str
    snapshot: Snapshot


def earlier_version(where: str) -> Earlier:
    """A version that is there already.

    Args:
        where: A release's folder, or "owner/name[@version]".

    Raises:
        EquimeError: There is none, or no access to it.
    """
    folder = Path(where)
    if (folder / manifest.NAME).is_file():
        path = folder / changelog.NAME
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        return Earlier(Manifest.read(folder), text, open_version(where))
    repo, _, version = where.partition("@")
    remote, revision = Remote(repo), version or MAIN
    found = remote.manifest(revision)
    if found is None:
        raise EquimeError(f"{where} is no release (it has no {manifest.NAME}): name one that `equime publish` made")
    text = remote.read(changelog.NAME, revision).decode() if changelog.NAME in found.files else ""
    return Earlier(found, text, open_version(where))
