"""A repository forgets: what was before a withdrawal goes from the Hub for good, wherever it is still kept.

A file that a version leaves out lives on: in the versions before (tags), in the history of `main`, in branches, in
pull requests, whose refs outlive their merging, and as large object that nothing refers to. All of that is taken away.

    remains(remote, since)            # what is still kept of the time before; changes nothing
    purge(remote, since)              # takes it away, the large objects last, and says what it could not

`main` is squashed to one commit whose title says so (`title`). What descends from such a commit is clean: so that a
purge that was killed goes on, and one long ago does not touch the versions made since.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from tqdm import tqdm

from equime.errors import EquimeError
from equime.publishing.comparing.verify import verify_version
from equime.publishing.repository.asking import MAIN
from equime.publishing.repository.client import Remote
from equime.publishing.version import Version
from equime.wording import counted

Step = Callable[[], str | None]
"""Does something, and returns what it could not."""
_HEADS, _TAGS, _PULLS = "refs/heads/", "refs/tags/", "refs/pr/"
_CLEAN = re.compile(r"Version (\d+\.\d+\.\d+); everything before it was deleted")


def title(version: str) -> str:
    """The title of the commit to which `main` is squashed."""
    return f"Version {version}; everything before it was deleted"


@dataclass(frozen=True)
class Remains:
    """What is still kept of the time before a withdrawal.

    Attributes:
        history: Commits of `main` that go in its squashing; 0 where it is clean.
        tags: Tags that go: versions before, above all.
        branches: Branches, and the Hub's own conversions, that go.
        pull_requests: Pull requests whose commits go, by number.
        objects: Bytes by SHA-256 of large files that no revision left refers to, as far as can be told yet.
    """

    history: int = 0
    tags: tuple[str, ...] = ()
    branches: tuple[str, ...] = ()
    pull_requests: tuple[int, ...] = ()
    objects: int = 0

    @property
    def nothing(self) -> bool:
        """Whether the repository has forgotten all of it."""
        return self == Remains()

    def __str__(self) -> str:
        """In a sentence."""
        parts = [
            f"the history of main ({counted(self.history, 'commit')})" if self.history else "",
            f"the tags {', '.join(self.tags)}" if self.tags else "",
            f"the branches {', '.join(self.branches)}" if self.branches else "",
            f"the commits of {counted(len(self.pull_requests), 'pull request')}" if self.pull_requests else "",
            f"{counted(self.objects, 'large file')} of no version left" if self.objects else "",
        ]
        return ", ".join(filter(None, parts)) or "nothing"


def remains(remote: Remote, since: Version) -> Remains:
    """What a repository still keeps of the time before a version.

    Args:
        remote: The repository.
        since: The first version without what has to be forgotten.
    """
    refs = remote.refs()
    dirty = [ref for ref in refs if not _is_clean(remote, ref, since)]
    history = len(remote.titles(MAIN)) if _HEADS + MAIN in dirty else 0
    others = [ref for ref in dirty if ref != _HEADS + MAIN]
    clean = {ref for ref in refs if ref not in dirty} | {_HEADS + MAIN}
    return Remains(
        history,
        tuple(ref.removeprefix(_TAGS) for ref in others if ref.startswith(_TAGS)),
        tuple(ref.removeprefix(_HEADS) for ref in others if not ref.startswith((_TAGS, _PULLS))),
        tuple(int(ref.removeprefix(_PULLS)) for ref in others if ref.startswith(_PULLS)),
        len(remote.large_files() - _held(remote, [refs[ref] for ref in clean])),
    )


def purge(remote: Remote, since: Version, *, progress: bool = True) -> tuple[str, ...]:
    """Take away all that `remains` names, after `main` was verified; every step may be done twice.

    Args:
        remote: The repository; its `main` holds a version not older than `since`.
        since: The first version without what has to be forgotten.
        progress: Show steps done on a terminal.

    Returns:
        What the Hub would not let go, one line each with what to do; mostly empty.

    Raises:
        EquimeError: `main` is not whole, so that nothing was deleted; somebody published meanwhile; no answer.
    """
    checked = verify_version(remote, MAIN, progress=False)
    if not checked.whole or Version.parse(checked.version) < since:
        raise EquimeError(
            f"nothing was deleted: {remote.repo} is not whole ({'; '.join(checked.problems[:3])}): publish a newer "
            "version, and run this again"
        )
    steps = list(_steps(remote, since, checked.version, str(checked.commit)))
    left = []
    for step in tqdm(steps, desc="purge", unit="step", disable=None if progress else True):
        left.append(step())
    still = remains(remote, since)
    said = [line for line in left if line]
    return tuple(said if said or still.nothing else [f"{remote.repo} still keeps {still}: run this again"])


def _steps(remote: Remote, since: Version, version: str, verified: str) -> Iterator[Step]:
    """What is to be done, in the order in which to do it."""
    found = remains(remote, since)
    if found.history:
        yield partial(_squash, remote, version, verified)
    if found.history or version not in remote.tags() or version in found.tags:
        yield partial(_tag_again, remote, version)
    yield from (partial(remote.delete_tag, tag) for tag in found.tags if tag != version)
    yield from (partial(_forget, remote, name) for name in found.branches)
    yield from (partial(_forget_pull_request, remote, number) for number in found.pull_requests)
    yield partial(_forget_objects, remote, since)


def _squash(remote: Remote, version: str, verified: str) -> None:
    if remote.head(MAIN) != verified:
        raise EquimeError(f"nothing was deleted: somebody published to {remote.repo} meanwhile; run this again")
    remote.squash(title(version))


def _tag_again(remote: Remote, version: str) -> None:
    """Name main's one commit: the tag so far names one that leads to all the others."""
    head = remote.head(MAIN)
    if remote.tags().get(version) != head:
        remote.delete_tag(version)
        remote.tag(version, head)


def _forget_pull_request(remote: Remote, number: int) -> str | None:
    remote.close(number)
    return _forget(remote, f"{_PULLS}{number}", f'press "Delete ref" at {remote.url}/discussions/{number}')


def _forget(remote: Remote, ref: str, help_: str = "delete it on the repository's page") -> str | None:
    """Delete a branch or the ref of a pull request; what to do where the Hub does not let this be done from here."""
    try:
        remote.delete_branch(ref)
    except EquimeError as error:
        return f"{ref} still says what clips there were (their bytes are gone): {help_}; the Hub said: {error}"
    return None


def _forget_objects(remote: Remote, since: Version) -> None:
    """Delete the bytes of all that no clean revision has: of a ref that could not be deleted, too."""
    clean = [commit for ref, commit in remote.refs().items() if _is_clean(remote, ref, since)]
    remote.purge_lfs(_held(remote, clean))


def _is_clean(remote: Remote, ref: str, since: Version) -> bool:
    """Whether a ref descends from a commit that holds nothing from before `since`."""
    first = _CLEAN.fullmatch(remote.titles(ref.removeprefix(_HEADS).removeprefix(_TAGS))[-1])
    return first is not None and Version.parse(first[1]) >= since


def _held(remote: Remote, commits: list[str]) -> set[str]:
    """SHA-256 of the large files at commits."""
    return {held.sha256 for commit in set(commits) for held in remote.tree(commit).values() if held.sha256}
