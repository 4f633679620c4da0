"""A model repository on the Hub, from which trained networks come: fetched at one commit, and nothing but what is read.

    found = located("owner/name@1a2b3c")        # Located(folder=..., name="owner/name@1a2b3c...")
    found = located("runs/x")                   # a run's folder, as it is

What: networks as safetensors, and JSON. Nothing that runs code is asked for, and nothing pickled is read.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import ClassVar, Final, NamedTuple

from huggingface_hub import constants, errors

from equime.errors import EquimeError
from equime.publishing.repository.asking import MAIN, MODEL, quiet
from equime.publishing.repository.client import Remote
from equime.remote import is_repo

WANTED: Final = ("*.safetensors", "*.json")
"""What is fetched of a repository."""
HASHES: Final = "weights.json"
"""In a published model's folder: the sha256 of each network."""


class ModelRemote(Remote):
    """A model repository on the Hub. For the arguments, and what every method raises, see `Asking`."""

    kind: ClassVar[str] = MODEL

    def snapshot(self, revision: str = MAIN) -> tuple[Path, str]:
        """The networks at a branch, tag or commit, in the client's cache: their folder and the commit.

        Raises:
            EquimeError: No such repository or revision, no access, or no network and nothing kept.
        """
        offline: bool = constants.HF_HUB_OFFLINE
        commit = revision if offline else self.head(revision)
        if not offline and HASHES not in self.tree(commit):
            raise EquimeError(
                f"{self.repo} holds no networks of `equime train --push` or `equime tune --push`: see {self.url}"
            )
        with contextlib.nullcontext() if sys.stderr.isatty() else quiet():
            folder = self.ask(
                lambda: self.api.snapshot_download(
                    **self._at, revision=commit, allow_patterns=list(WANTED), local_files_only=offline
                ),
                revision,
            )
        return Path(folder), Path(folder).name


class Located(NamedTuple):
    """Where networks lie: their folder, and its path or "owner/name@commit", by which they are known."""

    folder: Path
    name: str


def located(model: str | Path) -> Located:
    """The folder of networks.

    Args:
        model: A folder, or as text "owner/name" or "owner/name@revision" of a model repository, fetched where this
            machine has not got it. Where both could be meant it is the folder.

    Raises:
        EquimeError: Neither is there, or what `ModelRemote.snapshot` raises.
    """
    if isinstance(model, Path) or Path(model).exists():
        return Located(Path(model), str(model))
    repo, _, revision = model.partition("@")
    if not is_repo(repo):
        raise EquimeError(
            f"no networks in {model!r}: expected the folder of `equime train`, or a repository OWNER/NAME"
        )
    try:
        folder, commit = ModelRemote(repo).snapshot(revision or MAIN)
    except EquimeError as error:
        if isinstance(error.__cause__, errors.RepositoryNotFoundError):
            raise EquimeError(f"there is no folder {model} here, and {error}") from error
        raise
    return Located(folder, f"{repo}@{commit}")
