"""A subject is taken out of a published data set, from the repository alone, and everything before is forgotten.

    withdraw(Remote("org/equime"), "0042", confirm=lambda what: ask(what))

    equime withdraw SUBJECT REPO

1. The newest version's files that hold the subject, or a twin paired with it, are fetched and written again without.
2. They go up as a patch version, like any other: gated, whole or not at all. Its manifest keeps the subject's id (a
   tombstone), so that no later version brings the subject back.
3. Once that version is verified, what was before is deleted for good (`equime.publishing.withdrawing.purge`).

Nothing is remembered on this machine: stopped at whatever moment, the same command goes on, and takes away what the
one that was stopped left on the disk. What people have already downloaded is out of reach: they have to be told.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from huggingface_hub import constants
from tqdm import tqdm

from equime import hub, schema
from equime.errors import EquimeError
from equime.hub_layout import FilePart
from equime.locks import hold
from equime.publishing.about import About, today
from equime.publishing.comparing.diff import diff
from equime.publishing.comparing.snapshot import Snapshot, open_version
from equime.publishing.documents import changelog
from equime.publishing.manifest import FileEntry, Manifest
from equime.publishing.origin import Tombstone
from equime.publishing.recipes.recipe import SOURCES
from equime.publishing.releasing import release
from equime.publishing.repository.asking import MAIN
from equime.publishing.repository.client import Remote
from equime.publishing.repository.push import push
from equime.publishing.version import Version, latest
from equime.publishing.withdrawing.purge import Remains, purge, remains
from equime.publishing.withdrawing.rewriting import clips_of, rewritten
from equime.remote import HubRepo
from equime.table import writing
from equime.wording import counted

NOTE = "Withdrawn on request: clips of a subject, and the twins paired with them."


@dataclass(frozen=True)
class Planned:
    """What a withdrawal will do; shown before anything happens.

    Attributes:
        repo: "owner/name".
        subject: The subject's id.
        before: The newest version.
        after: The version without the subject: `before` where it has gone already, and only the past is left.
        clips: Ids of the clips that go from the newest version.
        twins: How many of them are other people's, paired with one of the subject's.
        files: Files that are written again.
        past: What is deleted for good after that.
    """

    repo: str
    subject: str
    before: str
    after: str
    clips: frozenset[str]
    twins: int
    files: tuple[str, ...]
    past: Remains

    @property
    def nothing(self) -> bool:
        """Whether it has all been done."""
        return self.before == self.after and self.past.nothing

    def __str__(self) -> str:
        """For people."""
        if self.before == self.after:
            first = f"{self.subject} is no longer in {self.repo} {self.before}"
        else:
            own = len(self.clips) - self.twins
            first = (
                f"{counted(own, 'clip')} of {self.subject} and {counted(self.twins, 'twin')} paired with them go from "
                f"{self.repo} {self.before}, out of {counted(len(self.files), 'file')}; what stays becomes {self.after}"
            )
        return f"{first}; then deleted for good: {self.past}"


@dataclass(frozen=True)
class Withdrawn:
    """What a withdrawal did.

    Attributes:
        repo: "owner/name".
        version: The newest version, without the subject.
        clips: Clips that went, twins included.
        past: What was deleted for good.
        left: What the Hub would not let go, one line each with what to do; mostly empty.
    """

    repo: str
    version: str
    clips: int
    past: Remains
    left: tuple[str, ...]

    def __str__(self) -> str:
        """For people."""
        lines = [f"{self.repo} {self.version}: {counted(self.clips, 'clip')} withdrawn; deleted for good: {self.past}"]
        lines += [f"  left: {line}" for line in self.left]
        lines.append(f"who has read older versions: `equime access list {self.repo} --status accepted`; tell them")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def withdraw(
    remote: Remote, subject: str, *, confirm: Callable[[Planned], bool], progress: bool = True
) -> Withdrawn | None:
    """Take a subject out of a repository, and out of its past.

    Args:
        remote: The repository, with a token that can write.
        subject: `subject_id`, as in the data.
        confirm: Asked once, with what will happen, before anything does.
        progress: Show files and steps done on a terminal.

    Returns:
        What was done; None where `confirm` said no.

    Raises:
        EquimeError: No such subject in any version, or none but this; nothing left to do; the repository holds no
            release, the token cannot write, the new version cannot be pushed or verified (then nothing was deleted),
            or no answer.
    """
    remote.user()
    state = remote.state()
    manifest = remote.manifest(state.commit) if state else None
    if state is None or manifest is None:
        raise EquimeError(
            f"{remote.repo} holds no release of `equime publish` that this token sees: see how it is spelt, or log in "
            "with `hf auth login` as one who may write to it"
        )
    planned = _plan(remote, manifest, state.commit, state.tags, subject, progress)
    if planned.nothing and planned.before in state.tags:
        gone = next(each for each in manifest.withdrawn if each.subject_id == subject)
        raise EquimeError(f"{subject} was withdrawn from {remote.repo} in {gone.version}: nothing is left to do")
    if not confirm(planned):
        return None
    with _workplace(remote.repo) as (old, new):
        if planned.after != planned.before:
            _make(remote, state.commit, manifest, planned, old, new)
            push(new, remote, progress=progress)
    since, clips = _since(remote, subject)
    past = remains(remote, since)
    past = replace(past, tags=tuple(tag for tag in past.tags if tag != planned.after))  # that one is set anew
    left = purge(remote, since, progress=progress)
    return Withdrawn(remote.repo, planned.after, clips, past, left)


def _since(remote: Remote, subject: str) -> tuple[Version, int]:
    """The first version without a subject that main's manifest says was taken out, and how many clips went."""
    manifest = remote.manifest(MAIN)
    for gone in manifest.withdrawn if manifest else ():
        if gone.subject_id == subject:
            return Version.parse(gone.version), gone.clips
    raise EquimeError(f"somebody published to {remote.repo} meanwhile: run this again")


def _plan(
    remote: Remote, manifest: Manifest, commit: str, tags: Mapping[str, str], subject: str, progress: bool
) -> Planned:
    newest = manifest.about.version
    gone = next((each for each in manifest.withdrawn if each.subject_id == subject), None)
    if gone is not None:
        past = remains(remote, Version.parse(gone.version))
        return Planned(remote.repo, subject, newest, newest, frozenset(), 0, (), past)
    source = HubRepo(remote.repo, commit, remote.api.token)
    rows = Snapshot(remote.repo, source).read(["clip_id", "subject_id", "twin_id"]).to_pylist()
    clips = clips_of([subject], rows)
    if not clips and not any(_had(remote, tag, subject) for tag in tags):
        raise EquimeError(
            f"no version of {remote.repo} has a subject {subject!r}: give the `subject_id` that its rows have"
        )
    if clips and len(clips) == len(rows):
        raise EquimeError(
            f"without {subject} and the twins nothing would be left of {remote.repo}, and a version holds at least a "
            f"clip: delete the repository, with all its versions, at {remote.url}/settings"
        )
    own = sum(row["subject_id"] == subject for row in rows)
    after = max(filter(None, [latest(tags), Version.parse(newest)])).patched()
    files = tuple(_holding(source, manifest, clips, progress)) if clips else ()
    past = remains(remote, after)
    return Planned(remote.repo, subject, newest, str(after), frozenset(clips), len(clips) - own, files, past)


def _had(remote: Remote, tag: str, subject: str) -> bool:
    """Whether a version holds, or held, clips of a subject."""
    manifest = remote.manifest(tag)
    ids = manifest.clips if manifest else ()
    return any((found := schema.CLIP_ID.fullmatch(clip)) and found["subject"] == subject for clip in ids)


def _holding(source: HubRepo, manifest: Manifest, clips: set[str], progress: bool) -> Iterator[str]:
    """The files that hold one of the clips: every file's own ids are read, nothing is taken from file names."""
    paths = [path for path in manifest.files if path.endswith(".parquet")]
    for path in tqdm(paths, desc="looking", unit="file", disable=None if progress else True):
        tables = source.read((FilePart(path),), ["clip_id"])
        if any(clip in clips for table in tables for clip in table["clip_id"].to_pylist()):
            yield path


@contextlib.contextmanager
def _workplace(repo: str) -> Iterator[tuple[Path, Path]]:
    """Two empty folders of this user's own, which go at the end; what a killed run left there goes at the beginning."""
    folder = Path(constants.HF_HOME) / "equime-withdraw" / repo.replace("/", "--")
    places = folder / "before", folder / "after"
    with hold(folder):
        try:
            for place in places:
                shutil.rmtree(place, ignore_errors=True)
                with writing(place):
                    place.mkdir()
            yield places
        finally:
            for place in places:
                shutil.rmtree(place, ignore_errors=True)


def _make(remote: Remote, commit: str, manifest: Manifest, planned: Planned, old: Path, new: Path) -> None:
    """The patch version as a release, without the large files that stay as they are; `old` is for what was before."""
    gone = Tombstone(planned.subject, planned.after, today(), len(planned.clips))
    withdrawn = (*manifest.withdrawn, gone)
    kept = _rewrite(remote, commit, manifest, planned, old, new)
    before = replace(open_version(str(old)), name=planned.before, withdrawn=manifest.withdrawn)
    changes = diff(before, replace(open_version(str(new)), name=planned.after, withdrawn=withdrawn))
    left_out = dict(manifest.left_out)
    left_out["withdrawn"] = left_out.get("withdrawn", 0) + gone.clips
    origin = replace(manifest.origin, left_out=left_out, withdrawn=withdrawn)
    earlier = remote.read(changelog.NAME, commit).decode() if changelog.NAME in manifest.files else None
    release.describe(new, _about(manifest.about, planned), origin, earlier=earlier, changes=changes, kept=kept)


def _rewrite(
    remote: Remote, commit: str, manifest: Manifest, planned: Planned, old: Path, new: Path
) -> dict[str, FileEntry]:
    """Write the files again that hold the clips, and put the rest of the metadata beside them.

    All metadata is left in `old` too, as it was. Returns the large files that stay as they are.
    """
    kept = {}
    for path, entry in manifest.files.items():
        if path in planned.files:
            rewritten(remote.fetch(path, commit, old / path), new / path, planned.clips)
        elif hub.METADATA_FILE.fullmatch(path):  # what is said of the release is counted from these
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(remote.fetch(path, commit, old / path), new / path)
        elif hub.DATA_FILE.fullmatch(path) or path == SOURCES:
            kept[path] = entry
        if not hub.METADATA_FILE.fullmatch(path):
            (old / path).unlink(missing_ok=True)
    return kept


def _about(before: About, planned: Planned) -> About:
    return replace(before, repo=planned.repo, version=planned.after, date=today(), note=NOTE)
