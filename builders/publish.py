"""From a workspace to a version on the Hub: judged, made, pushed behind a gate.

    equime publish WORKSPACE --repo ORG/equime --version 1.1.0              # private and gated; nobody sees it yet
    equime publish WORKSPACE --repo ORG/equime --version 1.1.0 --dry-run    # every file, byte and setting
    equime publish WORKSPACE --version 1.1.0 --out DIR                      # the release alone, without a Hub

The release is made in the workspace's `.publish`, or in `--out`, under a name that its content decides: a run that was
stopped finds it again, and the Hub is sent only what it does not have yet.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, Literal

import equime
from equime import catalog, locks, schema
from equime.errors import EquimeError
from equime.options import option
from equime.publishing import manifest
from equime.publishing.about import CONTACT, About, Policy, today
from equime.publishing.manifest import Manifest
from equime.publishing.releasing import preflight, release
from equime.publishing.releasing.earlier import Earlier, earlier_version
from equime.publishing.repository.client import Remote
from equime.publishing.repository.push import Pushed, push, survey
from equime.publishing.version import Version, latest
from equime.remote import is_repo
from equime.table import Table, is_workspace
from equime.wording import counted

STAGING = ".publish"


@dataclass(frozen=True)
class Published:
    """What came of it.

    Attributes:
        manifest: Of the release.
        notes: What a reader should know: what was left out and why.
        folder: Where the release lies; None where it was removed after the push.
        pushed: What the Hub holds now; None without one, and after a dry run.
        settings: With a dry run: what would be set on the Hub.
    """

    manifest: Manifest
    notes: tuple[str, ...]
    folder: Path | None
    pushed: Pushed | None = None
    settings: dict[str, Any] | None = None

    def __str__(self) -> str:
        """For people."""
        return "\n".join([*self._listing(), *(f"note: {note}" for note in self.notes), *self._ending()])

    def _listing(self) -> Iterator[str]:
        files = self.manifest.files
        if self.settings is not None:
            yield from (f"{entry.bytes:>14,}  {path}" for path, entry in files.items())
            yield from (f"{name}: {value}" for name, value in self.settings.items())
        clips = counted(len(self.manifest.clips), "clip")
        total = sum(entry.bytes for entry in files.values()) / 1e6
        yield f"version {self.manifest.about.version}: {clips}, {counted(len(files) + 1, 'file')}, {total:,.1f} MB"

    def _ending(self) -> Iterator[str]:
        if self.folder is not None:
            yield f"the release is in {self.folder}"
        if self.settings is not None:
            yield "dry run: nothing was sent and nothing was set"
        if self.pushed is not None:
            yield str(self.pushed)

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "version": self.manifest.about.version,
            "clips": len(self.manifest.clips),
            "files": {path: entry._asdict() for path, entry in self.manifest.files.items()},
            "left_out": dict(self.manifest.left_out),
            "notes": list(self.notes),
            "folder": self.folder,
            "settings": self.settings,
            "pushed": self.pushed.to_dict() if self.pushed else None,
        }


@dataclass(frozen=True)
class Publish:
    """One version of a workspace, as a release and on the Hub."""

    version: str = option(MISSING, help="MAJOR.MINOR.PATCH, newer than every version that is there")
    repo: str | None = option(None, help="the Hub repository, owner/name; without it only --out is written")
    out: Path | None = option(None, help="keep the release in this new folder")
    mode: Literal["clips", "recipe"] = option("clips", help="the clips, or all it takes to make them again: no faces")
    permission: str | None = option(None, help="the written permission to pass on faces that their licence keeps")
    note: str | None = option(None, help="what this version brings, for its CHANGELOG")
    contact: str = option(CONTACT, help="who decides about access, and takes subjects out on request")
    access_form: Path | None = option(None, help="JSON {label: kind of field}: the form that asks for access")
    date: str | None = option(None, help="day of the release, YYYY-MM-DD (default: today)")
    since: str | None = option(None, help="with --out: the version before, a release folder or REPO@VERSION")
    keep_rejected: bool = option(False, help="release clips too that were scored and not accepted")
    allow_failed: bool = option(False, help="leave out what failed or is stale, and say so")
    visible: bool = option(False, help="make the gated repository visible to everybody, once all of it is there")
    dry_run: bool = option(False, help="list every file, byte and setting; send nothing")

    def __post_init__(self) -> None:
        if self.repo is None and self.out is None:
            raise EquimeError("name where to publish: --repo OWNER/NAME, or --out DIR for the files alone")
        if self.repo is not None and not is_repo(self.repo):
            raise EquimeError(f"expected --repo OWNER/NAME, got {self.repo!r}")
        if self.repo is None and (self.dry_run or self.visible):
            raise EquimeError("--dry-run and --visible are about a repository: name it by --repo OWNER/NAME")
        if self.repo and self.since:
            raise EquimeError("--since goes without --repo: there the version before is the repository's newest")
        self.about()  # a version or a date that is none is said before anything is read

    def about(self) -> About:
        """The release as its maker names it."""
        return About(
            version=self.version,
            repo=self.repo or schema.REPO,
            mode=self.mode,
            date=self.date or today(),
            note=self.note,
            permission=self.permission,
            policy=Policy.read(self.contact, self.access_form),
        )

    def __call__(self, source: Path, *, progress: bool = True) -> Published:
        """Publish a workspace, or a release made before with `--out`.

        Raises:
            EquimeError: Whatever forbids it, in one line with what to do.
        """
        remote = Remote(self.repo) if self.repo else None
        if remote is not None:
            survey(remote, self.version)  # what the Hub would refuse, before an hour of work
        if not is_workspace(source) and (source / manifest.NAME).is_file():
            return self._finish(source, remote, self._as_released(source), keep=True, progress=progress)
        table = Table(source)
        earlier = self._earlier(remote)
        judged = preflight.problems(
            table,
            allow_failed=self.allow_failed,
            permission=self.permission,
            mode=self.mode,
            without=release.withdrawn_clips(earlier.manifest.withdrawn, table) if earlier else (),
            keep_rejected=self.keep_rejected,
            progress=progress,
        )
        if judged.refusals:
            raise EquimeError("not published: " + "; ".join(judged.refusals))
        with locks.hold(table.path / STAGING):
            folder = self._make(table, earlier, progress)
            keep = self.out is not None or self.dry_run
            return self._finish(folder, remote, tuple(judged.notes), keep=keep, progress=progress)

    def _as_released(self, folder: Path) -> tuple[str, ...]:
        about = Manifest.read(folder).about
        if about.version != self.version or about.repo != (self.repo or about.repo):
            raise EquimeError(
                f"{folder} is version {about.version} of {about.repo}: publish it with --repo {about.repo} --version "
                f"{about.version}, or its workspace as version {self.version} of {self.repo or about.repo}"
            )
        return ()

    def _make(self, table: Table, earlier: Earlier | None, progress: bool) -> Path:
        """The release of the workspace as it is: made, or found as a stopped run left it."""
        folder = self.out or table.path / STAGING / f"{self.version}-{self._key(table, earlier)}"
        if self.out is None:
            _sweep(folder)
            if (folder / manifest.NAME).is_file():
                return folder
        release.make(table, folder, self.about(), keep_rejected=self.keep_rejected, earlier=earlier, progress=progress)
        return folder

    def _earlier(self, remote: Remote | None) -> Earlier | None:
        """The newest version before this one, also where a run that was stopped had this one tagged already."""
        if remote is None:
            return earlier_version(self.since) if self.since else None
        state = remote.state()
        newest = latest(state.tags, before=Version.parse(self.version)) if state else None
        return earlier_version(f"{remote.repo}@{newest}") if newest else None

    def _key(self, table: Table, earlier: Earlier | None) -> str:
        about = dataclasses.replace(self.about(), date=self.date or "1970-01-01").to_dict()
        before = earlier.manifest.digest() if earlier else None
        what = [about, self.keep_rejected, before, catalog.content_key(table), schema.VERSION, equime.__version__]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:12]

    def _finish(
        self, folder: Path, remote: Remote | None, notes: tuple[str, ...], *, keep: bool, progress: bool
    ) -> Published:
        made = Manifest.read(folder)
        if remote is None:
            return Published(made, notes, folder)
        if self.dry_run:
            _require_new(folder, remote, self.version)
            return Published(made, notes, folder, settings=settings(made, remote, self.visible))
        pushed = push(folder, remote, visible=self.visible, progress=progress)
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
        return Published(made, notes, folder if keep else None, pushed)


def settings(made: Manifest, remote: Remote, visible: bool) -> dict[str, Any]:
    """What a push sets on the Hub, for a dry run."""
    about = made.about
    return {
        "repository": remote.repo,
        "private": not visible,
        "gated": "manual",
        "tag": about.version,
        "access form": ", ".join(about.policy.form),
        "contact": about.policy.contact,
        "mode": about.mode,
        "permission": about.permission,
    }


def _require_new(folder: Path, remote: Remote, version: str) -> None:
    """What a push would find, and a dry run has to say: a version that is there is this very one."""
    state = remote.state()
    if state and version in state.tags and remote.read(manifest.NAME, version) != (folder / manifest.NAME).read_bytes():
        raise EquimeError(f"{remote.repo} has another {version}: a version never changes, give a newer one")


def _sweep(folder: Path) -> None:
    """Remove releases that stopped runs left and that are not this one."""
    for other in folder.parent.glob("*-*"):
        if other != folder:
            with contextlib.suppress(OSError):
                shutil.rmtree(other)
