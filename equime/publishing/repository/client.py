"""Writing to a repository on the Hub, so that every step may be asked twice.

    remote = Remote("org/equime")
    remote.commit("refs/pr/3", parent, "Version 1.1.0: 20 files", remote.upload(files, "refs/pr/3"))

A step that must not happen twice first looks whether it has happened: whatever fails on the way is asked again, whole,
and a lost answer costs a question.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from huggingface_hub.hf_api import AccessRequest

from equime.errors import EquimeError
from equime.publishing.repository.asking import MAIN, quiet
from equime.publishing.repository.reading import Reading
from equime.publishing.repository.retrying import status_of

Status = Literal["pending", "accepted", "rejected"]
Who = Mapping[str, Any]
"""Who asks for access: {"user": name}, or {"request_id": id} where the repository does not learn the names."""


class StaleError(Exception):
    """Somebody committed in between: look again, and build on what is there now."""


class Remote(Reading):
    """A repository on the Hub; the only way in which this package writes there.

    Every method asks again where the Hub is busy (408, 429 after what it says in `Retry-After`, 5xx) or the connection
    is lost, and raises `EquimeError` with one line where that does not help. No message holds the token. For the
    arguments see `Asking`.
    """

    # The repository itself

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
                    **self._at, additions=additions, revision=revision, free_memory=False
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
        except Exception as error:  # as in `ask`
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

    def delete_branch(self, ref: str) -> None:
        """Take away a branch, by its short name, or what "refs/pr/N" or "refs/convert/..." holds, where it is there."""

        def asked() -> None:
            if {ref, f"refs/heads/{ref}"} & self.refs().keys():
                self.api.delete_branch(**self._at, branch=ref)

        self.ask(asked, ref)

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

    def accept(self, who: Who) -> None:
        """Give access to who asked for it."""
        self._decide(who, "accepted", lambda: self.api.accept_access_request(**self._at, **who))

    def reject(self, who: Who, reason: str | None = None) -> None:
        """Refuse, or take back, access; `reason` is shown to the user."""
        at = {**self._at, **who, "rejection_reason": reason}
        self._decide(who, "rejected", lambda: self.api.reject_access_request(**at))

    def revoke(self, who: Who) -> None:
        """Take access back: the user's request is pending again."""
        self._decide(who, "pending", lambda: self.api.cancel_access_request(**self._at, **who))

    def grant(self, user: str) -> None:
        """Give access to who never asked."""
        self._decide({"user": user}, "accepted", lambda: self.api.grant_access(**self._at, user=user))

    def _decide(self, who: Who, status: Status, asking: Callable[[], object]) -> None:
        def asked() -> None:
            if who not in map(who_of, self.requests(status)):
                asking()

        self.ask(asked)


def who_of(request: AccessRequest) -> Who:
    """Whose request it is."""
    return {"user": request.username} if request.username else {"request_id": request.request_id}


def is_open(status: str) -> bool:
    """Whether a pull request of this status can still be merged."""
    return status in ("open", "draft")
