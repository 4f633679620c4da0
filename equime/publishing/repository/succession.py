"""What may follow what a repository holds: nothing but releases there, and a version newer than all of them."""

from __future__ import annotations

from equime.errors import EquimeError
from equime.one_line import one_line
from equime.publishing.manifest import NAME, Manifest
from equime.publishing.repository.client import Remote
from equime.publishing.repository.compare import KEPT
from equime.publishing.repository.reading import State
from equime.publishing.repository.ready import CARD
from equime.publishing.version import Version, latest
from equime.wording import counted

STARTED = {KEPT, CARD}
"""What a repository may hold that nobody has published to: the Hub's web page offers to write a card."""


def require_ours(remote: Remote, state: State) -> Manifest | None:
    """The manifest of `main`, None where nobody has published yet.

    Raises:
        EquimeError: Something is there that no release put there, or the token may not write.
    """
    remote.require_write()
    before = remote.manifest(state.commit)
    strange = sorted(remote.tree(state.commit).keys() - (({KEPT, NAME} | before.files.keys()) if before else STARTED))
    if strange:
        raise EquimeError(
            f"{remote.repo} holds {counted(len(strange), 'file')} that no release put there, {one_line(strange[0])!r} "
            "first: name another repository, or take them out"
        )
    return before


def require_newer(version: str, state: State, before: Manifest | None, repo: str) -> None:
    """That a version is newer than every tag, and than what `main` holds.

    Raises:
        EquimeError: It is not.
    """
    newest = latest([*state.tags, *([before.about.version] if before else [])])
    if newest and Version.parse(version) <= newest:
        raise EquimeError(f"{repo} is at version {newest}: expected a newer one, got {version}")


def withdrawn(manifest: Manifest) -> set[str]:
    """Subjects that may not come back."""
    return {stone.subject_id for stone in manifest.withdrawn}
