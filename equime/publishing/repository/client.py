"""One repository on the Hub, as publishing needs it: every question and every step may be asked twice.

    remote = Remote("org/equime")
    remote.state()                      # State(commit=..., private=True, gated="manual", tags={"1.0.0": ...}), or None
    remote.tree("1.0.0")                # path -> Held(bytes, sha256, blob)

Requests get lost on the way there, and answers on the way back. So a step that must not happen twice first looks
whether it has happened: whatever fails on the way is asked again, whole, and a lost answer costs a question.
"""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, errors
from huggingface_hub.hf_api import AccessRequest, RepoFile

from equime.errors import EquimeError
from equime.publishing.manifest import NAME, Manifest
from equime.publishing.repository.asking import DATASET, MAIN, Asking, quiet
from equime.publishing.repository.retrying import status_of

Status = Literal["pending", "accepted", "rejected"]


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


class StaleError(Exception):
    """Somebody committed in between: look again, and build on what is there now."""


class Remote(Asking):
    """A data set repository on the Hub; the only way in which this package writes there.

    Every method asks again where the Hub is busy (408, 429 after what it says in `Retry-After`, 5xx) or the connection
    is lost, and raises `EquimeError` with one line where that does not help. No message holds the token. For the
    arguments see `Asking`.
    """

    @property
    def _at(self) -> dict[str, Any]:
        return {"repo_id": self.repo, "repo_type": DATASET}

    # Looking

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

    def state(self) -> State | None:
        """The repository now; None where there is none that this token can see."""
        try:
            info = self.tried(lambda: self.api.dataset_info(self.repo, revision=MAIN))
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
        return str(self.ask(lambda: self.api.dataset_info(self.repo, revision=revision), revision).sha)

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

    # The repository itself

    def require_write(self) -> None:
        """Ask whether the token may write to the repository, where the client can (huggingface_hub 1.0 and newer).

        Raises:
            EquimeError: It may not.
        """
        if "write" in inspect.signature(self.api.auth_check).parameters:
            self.ask(lambda: self.api.auth_check(**self._at, write=True))

    def create_private(self) -> None:
        """Make the repository, which nobody else sees, where there is none."""
        self.ask(lambda: self.api.create_repo(**self._at, private=True, exist_ok=True))

    def set_gate(self, gate: Literal["manual", "auto"]) -> None:
        """Let nobody have the files but whom the owner accepts ("manual"), or who fills in the form ("auto")."""
        self.ask(lambda: self.api.update_repo_settings(**self._at, gated=gate))

    def set_private(self, private: bool) -> None:
        """Hide the repository, or let everybody see its card; the files stay behind the gate."""
        self.ask(lambda: self.api.update_repo_settings(**self._at, private=private))

    # Pull requests and commits

    def pull_requests(self, author: str) -> dict[int, tuple[str, str]]:
        """Number -> (title, "open" | "draft" | "closed" | "merged") of somebody's pull requests."""

        def asked() -> dict[int, tuple[str, str]]:
            listed = self.api.get_repo_discussions(**self._at, author=author, discussion_type="pull_request")
            return {d.num: (d.title, d.status) for d in listed if d.is_pull_request and d.author == author}

        return self.ask(asked)

    def pull_request(self, title: str, author: str) -> int:
        """The number of the open pull request of this title, made from `main` where there is none yet."""

        def found() -> int | None:
            mine = self.pull_requests(author).items()
            return min((number for number, (t, status) in mine if t == title and is_open(status)), default=None)

        def asked() -> int:
            return found() or self.api.create_pull_request(**self._at, title=title).num

        made = self.ask(asked)
        return found() or made  # two that began together take the same

    def upload(self, files: Mapping[str, Path], revision: str) -> list[CommitOperationAdd]:
        """Send the content of large files, for `commit` to use; what the Hub holds already is not sent again.

        Args:
            files: Path in the repository -> file.
            revision: The branch, or "refs/pr/N".
        """
        additions = [CommitOperationAdd(path, str(file)) for path, file in files.items()]
        with quiet():
            self.ask(
                lambda: self.api.preupload_lfs_files(
                    self.repo, additions, repo_type=DATASET, revision=revision, free_memory=False
                ),
                revision,
            )
        return additions

    def commit(
        self,
        revision: str,
        parent: str,
        message: str,
        add: Sequence[CommitOperationAdd] = (),
        delete: Collection[str] = (),
    ) -> None:
        """Commit to a branch, or to "refs/pr/N", if it still stands at `parent`.

        The parent makes it safe to ask twice: a commit whose answer was lost has moved the branch.

        Raises:
            StaleError: The branch has moved; by this very commit, it may be.
        """
        operations = [*(CommitOperationDelete(path, is_folder=False) for path in delete), *add]
        with quiet():
            self._unless_stale(
                lambda: self.api.create_commit(
                    **self._at, operations=operations, commit_message=message, revision=revision, parent_commit=parent
                ),
                revision,
            )

    def _unless_stale(self, asking: Callable[[], object], revision: str) -> None:
        try:
            self.tried(asking)
        except Exception as error:  # as in `state`
            if status_of(error) in (409, 412):
                raise StaleError from error
            raise self.explained(error, revision) from error

    def merge(self, number: int) -> None:
        """Merge a pull request into `main`, where that has not happened.

        Raises:
            StaleError: It conflicts with what `main` holds now.
        """

        def asked() -> None:
            status = self.api.get_discussion_details(**self._at, discussion_num=number).status
            if status == "draft":  # as every pull request begins that was made without a commit
                self.api.change_discussion_status(**self._at, discussion_num=number, new_status="open")
            if status != "merged":
                self.api.merge_pull_request(**self._at, discussion_num=number)

        self._unless_stale(asked, f"refs/pr/{number}")

    def close(self, number: int) -> None:
        """Close a pull request that will not be merged, where it is open."""

        def asked() -> None:
            if is_open(self.api.get_discussion_details(**self._at, discussion_num=number).status):
                self.api.change_discussion_status(**self._at, discussion_num=number, new_status="closed")

        self.ask(asked)

    def tag(self, tag: str, commit: str) -> None:
        """Name a commit, where it does not have that name already.

        Raises:
            EquimeError: The tag names another.
        """

        def asked() -> None:
            there = {t.name: t.target_commit for t in self.api.list_repo_refs(**self._at).tags}.get(tag)
            if there is None:
                self.api.create_tag(**self._at, tag=tag, revision=commit)
            elif there != commit:
                raise EquimeError(f"{self.repo} has another {tag}, at commit {there}: give a newer version")

        self.ask(asked)

    # Taking back

    def delete_tag(self, tag: str) -> None:
        """Take a tag away, where there is one."""

        def asked() -> None:
            if any(t.name == tag for t in self.api.list_repo_refs(**self._at).tags):
                self.api.delete_tag(**self._at, tag=tag)

        self.ask(asked)

    def squash(self, message: str) -> str:
        """Forget every commit of `main` but its content, which becomes one; returns its commit."""
        self.ask(lambda: self.api.super_squash_history(**self._at, branch=MAIN, commit_message=message))
        return self.head(MAIN)

    def purge_lfs(self, keep: Collection[str]) -> int:
        """Delete the content of every large file but those of these SHA-256, for ever; returns how many went."""

        def asked() -> int:
            gone = [file for file in self.api.list_lfs_files(**self._at) if file.file_oid not in keep]
            if gone:
                self.api.permanently_delete_lfs_files(**self._at, lfs_files=gone)
            return len(gone)

        return self.ask(asked)

    # Access

    def requests(self, status: Status) -> list[AccessRequest]:
        """Who asked for access, and stands so: `username`, `fullname`, `email`, `timestamp`, `status`, `fields`."""
        listing = {
            "pending": self.api.list_pending_access_requests,
            "accepted": self.api.list_accepted_access_requests,
            "rejected": self.api.list_rejected_access_requests,
        }
        return self.ask(lambda: list(listing[status](**self._at)))

    def accept(self, user: str) -> None:
        """Give access to who asked for it."""
        self._decide(user, "accepted", lambda: self.api.accept_access_request(**self._at, user=user))

    def reject(self, user: str, reason: str | None = None) -> None:
        """Refuse, or take back, access; `reason` is shown to the user."""
        at = {**self._at, "user": user, "rejection_reason": reason}
        self._decide(user, "rejected", lambda: self.api.reject_access_request(**at))

    def grant(self, user: str) -> None:
        """Give access to who never asked."""
        self._decide(user, "accepted", lambda: self.api.grant_access(**self._at, user=user))

    def revoke(self, user: str) -> None:
        """Take access back: the user's request is pending again."""
        self._decide(user, "pending", lambda: self.api.cancel_access_request(**self._at, user=user))

    def _decide(self, user: str, status: Status, asking: Callable[[], object]) -> None:
        def asked() -> None:
            if all(request.username != user for request in self.requests(status)):
                asking()

        self.ask(asked)


def is_open(status: str) -> bool:
    """Whether a pull request of this status can still be merged."""
    return status in ("open", "draft")


def _held(entry: RepoFile) -> Held:
    return Held(int(entry.size), entry.lfs["sha256"] if entry.lfs else None, entry.blob_id)
