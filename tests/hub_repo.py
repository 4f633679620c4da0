"""A repository as the Hub keeps it: commits, branches, tags, pull requests, large objects, who has access.

Large files (LFS) are git's only as pointers: their bytes lie in `Repo.objects` by SHA-256, wherever they came from,
and can be deleted from there for good.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

Route = tuple[str, str, Callable[..., None]]
"""A method, a pattern of paths, and the function that answers with the pattern's named groups."""
REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"
API = rf"/api/datasets/{REPO}"
LFS_SUFFIXES = (".parquet", ".mp4", ".arrow", ".png", ".jpg", ".zip", ".npy", ".safetensors")
LFS_BYTES = 10 << 20
GITATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES).encode()


class HubError(Exception):
    """An answer that is an error, with the Hub's headers; `more` goes into its body."""

    def __init__(
        self, status: int, code: str | None, message: str, headers: dict[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers, self.more = status, code, message, headers or {}, more


def date(second: int) -> str:
    """A moment, `second` seconds into the year."""
    when = datetime.datetime(2026, 1, 1) + datetime.timedelta(seconds=second)
    return f"{when.isoformat(timespec='seconds')}.000Z"


def is_lfs(path: str, data: bytes) -> bool:
    """Whether the Hub keeps a file outside git: by its name, or because it is large."""
    return len(data) > LFS_BYTES or (bool(data) and path.endswith(LFS_SUFFIXES))


@lru_cache(1 << 14)
def sha256(data: bytes) -> str:
    """The name of a large object."""
    return hashlib.sha256(data).hexdigest()


@lru_cache(1 << 14)
def git_blob(data: bytes) -> str:
    """Git's name of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def pointer(data: bytes) -> bytes:
    """What git holds of a large file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256(data)}\nsize {len(data)}\n".encode()


def file_entry(path: str, data: bytes) -> dict[str, Any]:
    """A file as trees and path lists give it."""
    if not is_lfs(path, data):
        return {"type": "file", "oid": git_blob(data), "size": len(data), "path": path}
    held = pointer(data)
    lfs = {"oid": sha256(data), "size": len(data), "pointerSize": len(held)}
    return {"type": "file", "oid": git_blob(held), "size": len(data), "path": path, "lfs": lfs}


def folder_entry(path: str) -> dict[str, Any]:
    """A folder as trees and path lists give it."""
    return {"type": "directory", "oid": git_blob(path.encode()), "size": 0, "path": path}


class Note(NamedTuple):
    """What a commit says besides its files."""

    parent: str | None
    title: str
    message: str
    author: str
    date: str


@dataclass
class Discussion:
    """A discussion or a pull request; `status` is "draft", "open", "closed" or "merged"."""

    num: int
    title: str
    author: str
    is_pull_request: bool
    status: str
    created: str
    merge_commit: str | None = None
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ref(self) -> str:
        """Where a pull request's commits are."""
        return f"refs/pr/{self.num}"


@dataclass
class Asked:
    """A user's request for access, as the form gave it; `status` is "pending", "accepted" or "rejected"."""

    user: str
    status: str
    timestamp: str
    fields: dict[str, Any] | None = None
    fullname: str = ""
    email: str | None = None
    reason: str | None = None


@dataclass
class Repo:
    """A repository.

    Attributes:
        name: "owner/name".
        kind: "dataset" or "model". Here, unlike there, one name is one repository.
        private: Only its owner, `writers` and `members` know that it is there.
        gated: False, "auto" or "manual": only they, and users whose request was accepted, can read its files.
        members: Names of users that may read it.
        writers: Names of users that may write, besides the owner and the members of the organization that owns it.
        commits: Commit -> path -> bytes, in order of time.
        notes: Commit -> its parent and what it says.
        refs: Branch, or "refs/pr/N" -> commit.
        tags: Tag -> commit.
        objects: SHA-256 -> bytes of the large files.
        discussions: Pull requests and discussions, the first is number 1.
        requests: User -> request for access.
        shares_names: Whether its owner learns who asks for access.
    """

    name: str
    kind: str = "dataset"
    private: bool = False
    gated: bool | str = False
    members: set[str] = field(default_factory=set)
    writers: set[str] = field(default_factory=set)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    notes: dict[str, Note] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    discussions: list[Discussion] = field(default_factory=list)
    requests: dict[str, Asked] = field(default_factory=dict)
    shares_names: bool = True
    _clock: int = 0

    @property
    def owner(self) -> str:
        """The user or organization that it belongs to."""
        return self.name.split("/")[0]

    @property
    def page(self) -> str:
        """The path of its page."""
        return f"datasets/{self.name}" if self.kind == "dataset" else self.name

    def now(self) -> str:
        """A moment later than the one before."""
        self._clock += 1
        return date(self._clock)

    def commit(
        self,
        files: dict[str, bytes],
        branch: str = "main",
        title: str = "Upload",
        message: str = "",
        author: str = "",
        parent: str | None = "",
    ) -> str:
        """Make `files` the whole content of a branch; returns the commit. Its parent is the branch's last commit."""
        before = self.refs.get(branch) if parent == "" else parent
        self.refs[branch] = self._add(files, Note(before, title, message, author or self.owner, self.now()))
        return self.refs[branch]

    def _add(self, files: dict[str, bytes], note: Note) -> str:
        self._clock += 1
        hasher = hashlib.sha1(f"{self._clock} {note}".encode())
        for path in sorted(files):
            hasher.update(path.encode() + hashlib.sha256(files[path]).digest())
            if is_lfs(path, files[path]):
                self.objects.setdefault(sha256(files[path]), files[path])
        sha = hasher.hexdigest()
        self.commits[sha], self.notes[sha] = dict(files), note
        return sha

    def resolve(self, revision: str) -> str:
        """The commit of a branch, tag, pull request or commit."""
        name = revision.removeprefix("refs/heads/")
        sha = self.refs.get(name) or self.tags.get(revision.removeprefix("refs/tags/"), name)
        if sha not in self.commits:
            raise HubError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return sha

    def history(self, sha: str | None) -> Iterator[str]:
        """A commit and those before it."""
        while sha is not None:
            yield sha
            sha = self.notes[sha].parent

    def entries(self, sha: str, folder: str, recursive: bool) -> list[dict[str, Any]]:
        """Files and folders in a folder."""
        found: dict[str, dict[str, Any]] = {}
        start = f"{folder}/" if folder else ""
        for path, data in sorted(self.commits[sha].items()):
            if not path.startswith(start):
                continue
            parts = path[len(start) :].split("/")
            for depth in range(1, len(parts) if recursive else min(len(parts), 2)):
                name = start + "/".join(parts[:depth])
                found[name] = folder_entry(name)
            if recursive or len(parts) == 1:
                found[path] = file_entry(path, data)
        if not found and folder:
            raise HubError(404, "EntryNotFound", f"{folder} does not exist on {sha}")
        return list(found.values())

    def merged(self, head: str, onto: str) -> tuple[dict[str, bytes], list[str]]:
        """What a branch's changes make of another one, and the paths that both have changed."""
        mine = set(self.history(onto))
        base = next((sha for sha in self.history(head) if sha in mine), None)
        before, after, files = self.commits.get(base or "", {}), self.commits[head], dict(self.commits[onto])
        changed = [path for path in before | after if before.get(path) != after.get(path)]
        conflicts = [path for path in changed if files.get(path) not in (before.get(path), after.get(path))]
        for path in changed:
            files.pop(path, None)
            if path in after:
                files[path] = after[path]
        return files, conflicts

    def collect(self) -> None:
        """Forget the commits that no branch, tag or pull request leads to."""
        kept = {sha for tip in [*self.refs.values(), *self.tags.values()] for sha in self.history(tip)}
        self.commits = {sha: files for sha, files in self.commits.items() if sha in kept}
        self.notes = {sha: note for sha, note in self.notes.items() if sha in kept}

    def delete_objects(self, oids: set[str], rewrite: bool) -> None:
        """Delete large objects for good; with `rewrite` every commit that had one is made again without it."""
        self.objects = {oid: data for oid, data in self.objects.items() if oid not in oids}
        moved: dict[str | None, str] = {}
        for sha, files in list(self.commits.items()) if rewrite else []:
            note = self.notes[sha]
            kept = {path: data for path, data in files.items() if not is_lfs(path, data) or sha256(data) not in oids}
            if len(kept) < len(files) or note.parent in moved:
                moved[sha] = self._add(kept, note._replace(parent=moved.get(note.parent, note.parent)))
        self.refs = {name: moved.get(sha, sha) for name, sha in self.refs.items()}
        self.tags = {name: moved.get(sha, sha) for name, sha in self.tags.items()}
        if rewrite:
            self.collect()

    def ask(
        self,
        user: str,
        fields: dict[str, Any] | None = None,
        *,
        email: str | None = None,
        fullname: str = "",
        when: str | None = None,
    ) -> Asked:
        """A user asks for access, as on the Hub's page."""
        status = "accepted" if self.gated == "auto" else "pending"
        email = email if email is not None else f"{user}@example.org"
        self.requests[user] = Asked(user, status, when or self.now(), fields, fullname or user.title(), email)
        return self.requests[user]
