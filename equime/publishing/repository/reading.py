"""Looking at a repository on the Hub: who asks, what stands where, what the files hold. Nothing here changes it.

found = Reading("org/equime")
found.state()                      # State(commit=..., private=True, gated="manual", tags={"1.0.0": ...}), or None
found.tree("1.0.0")                # path -> Held(bytes, sha256, blob)
"""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import errors
from huggingface_hub.hf_api import RepoFile

from equime.errors import EquimeError
from equime.publishing.manifest import NAME, Manifest
from equime.publishing.repository.asking import MAIN, Asking, quiet
from equime.publishing.repository.retrying import status_of


class Held(NamedTuple):
    """A file as the Hub holds it: size in bytes, SHA-256 in hex (of large files only), git's id of the blob."""

    bytes: int
    sha256: str | None
    blob: str


class State(NamedTuple):
    """A repository: the commit of `main`, who sees it, and its tags (name -> commit).

    `gated` is False, "auto" or "manual".
    """

    commit: str
    private: bool
    gated: bool | str
    tags: Mapping[str, str]


class Reading(Asking):
    """A repository on the Hub, looked at. For the arguments, and what every method raises, see `Asking`."""

    @property
    def _at(self) -> dict[str, Any]:
        return {"repo_id": self.repo, "repo_type": self.kind}

    def user(self) -> str:
        """Who the token belongs to.

        Raises:
            EquimeError: No token, one that expired, or one that can only read.
        """
        found = self.ask(self.api.whoami)
        token = found.get("auth", {}).get("accessToken", {})
        name: str = found["name"]
        if token.get("role") == "read":
            raise EquimeError(
                f"the token of {name} can only read: make one that can write to {self.repo} at "
                f"{self.api.endpoint}/settings/tokens, run `hf auth login`, and run this again"
            )
        return name

    def require_write(self) -> None:
        """Ask whether the token may write to the repository, where the client can (huggingface_hub 1.0 and newer).

        Raises:
            EquimeError: It may not.
        """
        if "write" in inspect.signature(self.api.auth_check).parameters:
            self.ask(lambda: self.api.auth_check(**self._at, write=True))

    def state(self) -> State | None:
        """The repository now; None where there is none that this token can see."""
        try:
            info = self.tried(lambda: self.api.repo_info(**self._at, revision=MAIN))
        except errors.RepositoryNotFoundError as error:
            if status_of(error) == 404:
                return None
            raise self.explained(error, MAIN) from error
        except Exception as error:  # the client raises a dozen kinds, of several HTTP libraries
            raise self.explained(error, MAIN) from error
        return State(str(info.sha), bool(info.private), info.gated or False, self.tags())

    def tags(self) -> dict[str, str]:
        """Tag -> commit."""
        refs = self.ask(lambda: self.api.list_repo_refs(**self._at))
        return {tag.name: tag.target_commit for tag in refs.tags}

    def head(self, revision: str) -> str:
        """The commit that a branch, a tag, or a pull request's "refs/pr/N" stands at."""
        return str(self.ask(lambda: self.api.repo_info(**self._at, revision=revision), revision).sha)

    def tree(self, revision: str) -> dict[str, Held]:
        """Every file at a revision, by path, in the order of names."""
        entries = self.ask(
            lambda: list(self.api.list_repo_tree(**self._at, revision=revision, recursive=True)), revision
        )
        found = {e.path: _held(e) for e in entries if isinstance(e, RepoFile)}
        return dict(sorted(found.items()))

    def fetch(self, path: str, revision: str, to: Path) -> Path:
        """Download a file to `to`, whole or not at all; returns `to`. Nothing of it stays in the client's cache."""
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=to.parent, prefix=".fetching-") as folder, quiet():
            got = self.ask(
                lambda: self.api.hf_hub_download(**self._at, filename=path, revision=revision, local_dir=folder),
                revision,
            )
            return Path(got).replace(to)

    def read(self, path: str, revision: str) -> bytes:
        """The content of a small file.

        Raises:
            EquimeError: There is none (see `tree`), or no access.
        """
        with tempfile.TemporaryDirectory() as folder:
            return self.fetch(path, revision, Path(folder) / "file").read_bytes()

    def manifest(self, revision: str) -> Manifest | None:
        """The manifest at a revision; None where it holds none.

        Raises:
            EquimeError: It does not read.
        """
        if NAME not in self.tree(revision):
            return None
        return Manifest.from_json(self.read(NAME, revision), f"{NAME} of {self.repo}@{revision}")

    def refs(self) -> dict[str, str]:
        """Branches, tags, pull requests and the Hub's own conversions, by full name ("refs/tags/...") -> commit."""
        found = self.ask(lambda: self.api.list_repo_refs(**self._at, include_pull_requests=True))
        listed = [*found.branches, *found.converts, *found.tags, *(found.pull_requests or [])]
        return {ref.ref: ref.target_commit for ref in listed}

    def titles(self, revision: str) -> list[str]:
        """Titles of the commits that lead to a revision, the newest first."""
        commits = self.ask(lambda: self.api.list_repo_commits(**self._at, revision=revision), revision)
        return [commit.title for commit in commits]

    def large_files(self) -> set[str]:
        """SHA-256 of the large files that the repository keeps, whether or not a revision refers to them."""
        return {file.file_oid for file in self.ask(lambda: list(self.api.list_lfs_files(**self._at)))}


def _held(entry: RepoFile) -> Held:
    return Held(int(entry.size), entry.lfs["sha256"] if entry.lfs else None, entry.blob_id)
