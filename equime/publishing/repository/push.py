"""A release goes to the Hub: gated first, whole or not at all, and as often as it takes.

    print(push(Path("out"), Remote("org/equime")))      # org/equime 1.1.0: 24 files, 1.2 GB sent ...

    equime publish WORKSPACE --repo ORG/equime --version 1.1.0

What is there decides what is done next; nothing is remembered on this machine. So a push that was killed, at whatever
moment, goes on when the same command runs again, and one that is complete finds nothing to do:

1. `equime.publishing.repository.gate`: a private repository, its gate set and read back.
2. A pull request named after the version, the manifest and the commit of `main` that it builds on.
3. Groups of files committed to it, each on the commit before (`parent`), until its tree is what the manifest says.
4. Merged, if `main` still stands where it stood; `main` never holds half a version.
5. The tag, last: a version that has one is complete.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd
from tqdm import tqdm

from equime.errors import EquimeError
from equime.publishing.manifest import NAME, Manifest, hashed
from equime.publishing.repository import gate
from equime.publishing.repository.asking import MAIN
from equime.publishing.repository.client import Remote, StaleError, is_open
from equime.publishing.repository.compare import lacking
from equime.publishing.repository.reading import State
from equime.publishing.repository.ready import Release, ready
from equime.publishing.repository.succession import require_newer, require_ours, withdrawn
from equime.publishing.version import Version
from equime.wording import counted

TOGETHER = 5
"""Files uploaded at once."""
_TITLE = re.compile(r"Version ((?:\d+\.){2}\d+) \([0-9a-f]{12} on [0-9a-f]{12}\)")


@dataclass(frozen=True)
class Pushed:
    """What a push did.

    Attributes:
        repo: "owner/name".
        version: Its tag.
        commit: What the tag names.
        pull_request: Its number; None where the version was merged already.
        files: Files of the version.
        sent: Bytes handed to the Hub by this run (which takes only those that it lacks).
        there: Bytes of the version that it held already.
        private: Whether the repository is hidden.
        url: The version's page.
        seconds: Wall-clock time.
    """

    repo: str
    version: str
    commit: str
    pull_request: int | None
    files: int
    sent: int
    there: int
    private: bool
    url: str
    seconds: float

    def __str__(self) -> str:
        """One line for people."""
        seen = "private" if self.private else "public"
        return (
            f"{self.repo} {self.version}: {counted(self.files, 'file')}, {self.sent} bytes sent and {self.there} "
            f"there already in {self.seconds:.1f} s; {seen}, access is asked for: {self.url}"
        )

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def push(
    release: Path,
    remote: Remote,
    *,
    visible: bool = False,
    progress: bool = True,
    group_bytes: int = 1 << 30,
    group_files: int = 20,
) -> Pushed:
    """Push a release, or what is left to push of it.

    Args:
        release: Its folder. Files that `main` holds already, by their hash, need not be in it.
        remote: Where it goes.
        visible: Let everybody see the repository's card, at the very end. Otherwise it stays as it is, private where
            it is made now. The files stay behind the gate either way.
        progress: Show bytes on a terminal.
        group_bytes: Bytes of a commit, at most, of more than one file.
        group_files: Files of a commit, at most.

    Raises:
        EquimeError: One line: what is wrong with the release (`ready`), the gate (`gate`) or the token; the repository
            holds something else; the version exists, or a newer one; somebody else published meanwhile; the Hub does
            not answer. Once that is mended the same command goes on where it stopped.
    """
    begun = time.monotonic()
    pushing = _Push(ready(release), remote, group_bytes, group_files)
    state = pushing.start()
    version, total = pushing.version, pushing.size(pushing.wanted)
    with tqdm(
        total=total, desc=f"push {version}", unit="B", unit_scale=True, disable=None if progress else True
    ) as bar:
        commit = state.tags.get(version) or pushing.merged(state, bar)
    gate.guarded(remote)
    remote.tag(version, commit)
    pushing.tidy()
    if visible:
        gate.guarded(remote)
        remote.set_private(False)
    sent = pushing.size(pushing.handed)
    return Pushed(
        remote.repo,
        version,
        commit,
        pushing.number,
        len(pushing.wanted),
        sent,
        total - sent,
        gate.guarded(remote).private,
        f"{remote.url}/tree/{version}",
        time.monotonic() - begun,
    )


class _Push:
    """A push under way: what it wants to be there, and what it has sent."""

    def __init__(self, content: Release, remote: Remote, group_bytes: int, group_files: int) -> None:
        self.content, self.remote = content, remote
        self.group_bytes, self.group_files = group_bytes, group_files
        self.version = content.manifest.about.version
        if (meant := content.manifest.about.repo) != remote.repo:
            raise EquimeError(
                f"the release was made for {meant}, not for {remote.repo}: push it there, or make it again with "
                f"--repo {remote.repo}"
            )
        own = hashed(content.files[NAME])
        clips_first = sorted(content.manifest.files, key=lambda path: (not path.startswith("data/"), path))
        self.wanted = {**{path: content.manifest.files[path] for path in clips_first}, NAME: own}
        self.digest = own.sha256[:12]
        self.handed: set[str] = set()
        self.user = remote.user()
        self.number: int | None = None

    def size(self, paths: Iterable[str]) -> int:
        """Bytes of files of the version."""
        return sum(self.wanted[path].bytes for path in paths)

    # What is there already

    def start(self) -> State:
        """The repository, gated, if this release may follow what it holds.

        Raises:
            EquimeError: It may not.
        """
        state = self.remote.state()
        if state is not None:
            require_ours(self.remote, state)
        state = gate.secure(self.remote)
        self._require_next(state)
        return state

    def _require_next(self, state: State) -> None:
        """That the version is new and newer than those there, or is this very one; that who was taken out stays so."""
        repo, version = self.remote.repo, self.version
        if version in state.tags:
            if NAME in self._lacking(state.tags[version])[0]:
                raise EquimeError(f"{repo} has another {version}: a version never changes, give a newer one")
            return
        missing = self._lacking(state.commit)[0]
        new = NAME in missing  # else `main` has it, but perhaps for what somebody took out in the moment of merging
        before = self.remote.manifest(state.commit) if new else None
        if new:
            require_newer(version, state, before, repo)
        if before and not withdrawn(before) <= withdrawn(self.content.manifest):
            raise EquimeError(
                f"{repo} {before.about.version} leaves out subjects who asked for it, and this release does not know: "
                "make it again with `equime publish`, which leaves them out"
            )
        absent = [path for path in missing if path not in self.content.files]
        if absent:
            raise EquimeError(f"the release lacks {absent[0]}, and {repo} does not hold it: make the release again")
        if before and before.about.version not in state.tags:
            self._finish(before, state)

    def _finish(self, before: Manifest, state: State) -> None:
        """Tag the version that `main` holds, which a push left without when it was killed at the very end."""
        missing, extra = lacking(self.remote, state.commit, before.files, {})
        if not missing and set(extra) <= {NAME}:
            self.remote.tag(before.about.version, state.commit)

    def _lacking(self, revision: str) -> tuple[list[str], list[str]]:
        return lacking(self.remote, revision, self.wanted, self.content.files)

    def _holds(self, revision: str) -> bool:
        """Whether a revision is the version, to the byte."""
        return self._lacking(revision) == ([], [])

    # What is left to do

    def merged(self, state: State, bar: tqdm) -> str:
        """The commit of `main` that is the version, which is pushed where it is not there."""
        if self._holds(state.commit):
            return state.commit
        title = f"Version {self.version} ({self.digest} on {state.commit[:12]})"
        self.number = self.remote.pull_request(title, self.user)
        self._fill(f"refs/pr/{self.number}", bar)
        now = gate.guarded(self.remote).commit
        if now == state.commit:
            with contextlib.suppress(StaleError):  # in the moment since then
                self.remote.merge(self.number)
        commit = self.remote.head(MAIN)
        if not self._holds(commit):
            raise EquimeError(
                f"somebody changed {self.remote.repo} meanwhile ({MAIN} was {state.commit[:12]}, is {commit[:12]}): "
                "run the same command again; what was sent is not sent again"
            )
        return commit

    def _fill(self, ref: str, bar: tqdm) -> None:
        """Commit group after group to a pull request until its tree is the version's."""
        stale = 0
        while stale <= self.remote.tries:
            gate.guarded(self.remote)
            head = self.remote.head(ref)
            missing, extra = self._lacking(head)
            bar.n = self.size(self.wanted) - self.size(missing)
            bar.initial = bar.initial if self.handed else bar.n  # what was there says nothing of the rate
            bar.refresh()
            if not missing and not extra:
                return
            group = self._group(missing)
            try:
                self._commit(ref, head, group, extra if len(group) == len(missing) else [], bar)
            except StaleError:  # by an answer that was lost, or by another run of this push: look again
                stale += 1
        raise EquimeError(
            f"somebody else keeps committing to {ref} of {self.remote.repo}: stop one, and run this again"
        )

    def _group(self, missing: Sequence[str]) -> list[str]:
        """The first files of those missing that make a commit."""
        sizes = itertools.accumulate(self.wanted[path].bytes for path in missing)
        fitting = sum(size <= self.group_bytes for size in sizes)
        return list(missing[: max(1, min(fitting, self.group_files))])

    def _commit(self, ref: str, head: str, group: Sequence[str], extra: Sequence[str], bar: tqdm) -> None:
        additions: list[CommitOperationAdd] = []
        for start in range(0, len(group), TOGETHER):
            some = group[start : start + TOGETHER]
            additions += self.remote.upload({path: self.content.files[path] for path in some}, ref)
            self.handed.update(some)
            bar.update(self.size(some))
        message = f"Version {self.version}: {counted(len(group), 'file')}"
        gate.guarded(self.remote)  # once more: an upload takes hours, and only the commit makes it readable
        self.remote.commit(ref, head, message, additions, extra)

    def tidy(self) -> None:
        """Close this user's pull requests that no longer can become a version: twins of this one, and older ones."""
        for number, (title, status) in self.remote.pull_requests(self.user).items():
            named = _TITLE.fullmatch(title)
            if named and is_open(status) and Version.parse(named[1]) <= Version.parse(self.version):
                self.remote.close(number)


def survey(remote: Remote, version: str) -> None:
    """Ask what can be asked before a release is made, and change nothing.

    Whether a version that is there already is the one to be pushed shows only when it is made: that is no error here.

    Raises:
        EquimeError: The token cannot write; the repository holds something else, is public and has no gate, or is at
            a newer version.
    """
    remote.user()
    state = remote.state()
    if state is None:
        return
    gate.require_closed(remote, state)
    before = require_ours(remote, state)
    if version not in state.tags and not (before and before.about.version == version):
        require_newer(version, state, before, remote.repo)
