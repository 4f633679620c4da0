"""Whether a copy of a release is whole: every file and every clip against the manifest.

verify("org/equime@1.1.0")               # what the Hub says of its files; small ones and metadata are read
verify("release", deep=True)             # every byte: files, and each clip inside them

    equime verify REPO[@VERSION] | FOLDER [--bytes]

Of large files the Hub knows the SHA-256 (LFS), so that without `--bytes` next to nothing is fetched. With it every
file is fetched in turn, hashed, opened, and each clip in it hashed; one file at a time lies on the disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from equime import hub
from equime.errors import EquimeError
from equime.footer import first_line
from equime.hub_layout import HubLayout
from equime.one_line import one_line
from equime.pieces import Source, is_folder
from equime.publishing import manifest
from equime.publishing.comparing.snapshot import Snapshot
from equime.publishing.manifest import FileEntry, Manifest, hashed
from equime.publishing.repository.client import Remote
from equime.remote import HubRepo, Token, is_repo
from equime.wording import counted

NOT_OURS = (".gitattributes",)
"""Files that the Hub keeps beside a release."""
SHOWN = 20
"""Problems that are said; the rest is counted."""


@dataclass(frozen=True)
class Verified:
    """What came of comparing a copy with its manifest.

    Attributes:
        where: What was verified.
        version: The manifest's.
        commit: The Hub's; None of a folder.
        files: Files in the manifest.
        clips: Clips in the manifest.
        bytes: Of all files together.
        deep: Whether each clip's own bytes were hashed.
        problems: What does not agree, one line each; empty: the copy is whole.
    """

    where: str
    version: str
    commit: str | None
    files: int
    clips: int
    bytes: int
    deep: bool
    problems: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether everything agrees."""
        return not self.problems

    def __str__(self) -> str:
        """For people."""
        what = f"{counted(self.files, 'file')}, {counted(self.clips, 'clip')}, {self.bytes:,} bytes"
        how = "every clip's bytes" if self.deep else "every file's hash"
        head = f"{self.where}: version {self.version}: {what}"
        if self.whole:
            return f"{head}: whole ({how} agrees with the manifest)"
        rest = [f"and {len(self.problems) - SHOWN} more: see --json"] if len(self.problems) > SHOWN else []
        return "\n".join([f"{head}: NOT whole", *(f"  {one_line(line)}" for line in [*self.problems[:SHOWN], *rest])])

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"whole": self.whole}


class _Copy(Protocol):
    """A copy of a release."""

    where: str

    @property
    def commit(self) -> str | None: ...
    def manifest(self) -> Manifest: ...
    def files(self, bar: tqdm[Any]) -> Mapping[str, FileEntry]: ...
    def source(self) -> Source: ...
    def at_hand(self, path: str) -> contextlib.AbstractContextManager[Path]: ...


def verify(where: str, *, deep: bool = False, token: Token = None, progress: bool = True) -> Verified:
    """Compare a release with its manifest.

    Args:
        where: A release's folder, or "owner/name[@version]"; any revision will do, without one what is on main.
        deep: Hash every byte of every file, and each clip inside them.
        token: As `datasets` takes it.
        progress: Show bytes done on a terminal.

    Raises:
        EquimeError: No such folder, repository or revision; no access; no manifest in it.
    """
    if is_folder(where):
        return _verify(_Folder(Path(where).expanduser()), deep, progress)
    repo, _, revision = where.partition("@")
    if not is_repo(repo):
        raise EquimeError(f"expected a release's folder, or a repository OWNER/NAME[@VERSION], got {where!r}")
    return verify_version(Remote(repo, token), revision or "main", deep=deep, progress=progress)


def verify_version(remote: Remote, revision: str, *, deep: bool = False, progress: bool = True) -> Verified:
    """The same of one revision of a repository; see `verify`.

    A tag that is a version has to hold that version.
    """
    copy = _OnHub(remote, revision)
    found = _verify(copy, deep, progress)
    state = remote.state()
    if state and revision in state.tags and revision != found.version:
        wrong = f"the tag {revision} holds version {found.version}"
        return replace(found, problems=(wrong, *found.problems))
    return found


def _verify(copy: _Copy, deep: bool, progress: bool) -> Verified:
    wanted = copy.manifest()
    with tqdm(
        desc="verify", total=_total(wanted, deep), unit="B", unit_scale=True, disable=None if progress else True
    ) as bar:
        held = copy.files(bar)
        problems = [*_files(wanted, held), *_metadata(wanted, copy)]
        if deep:
            problems += _deep(wanted, copy, [path for path in wanted.files if path in held], bar)
    sizes = sum(entry.bytes for entry in wanted.files.values())
    version = wanted.about.version
    clips = len(wanted.clips)
    return Verified(copy.where, version, copy.commit, len(wanted.files), clips, sizes, deep, tuple(problems))


def _total(wanted: Manifest, deep: bool) -> int:
    return sum(entry.bytes for entry in wanted.files.values()) * (2 if deep else 1)


def _files(wanted: Manifest, held: Mapping[str, FileEntry]) -> Iterator[str]:
    for path, entry in wanted.files.items():
        if path not in held:
            yield f"{path} is missing"
        elif held[path] != entry:
            yield f"{path} is not what was published: {_said(held[path])}, the manifest has {_said(entry)}"
    yield from (f"{path} is not in the manifest" for path in held if path not in wanted.files)


def _said(entry: FileEntry) -> str:
    return f"{entry.bytes} bytes of SHA-256 {entry.sha256[:12]}"


def _metadata(wanted: Manifest, copy: _Copy) -> Iterator[str]:
    """What the rows of `metadata/` say against the manifest's clips, counts and withdrawn subjects."""
    try:
        rows = Snapshot(copy.where, copy.source()).read(["clip_id", "sha256", "subject_id", "split"])
    except EquimeError as error:
        yield f"metadata/ does not read: {error}"
        return
    found = dict(zip(rows["clip_id"].to_pylist(), rows["sha256"].to_pylist(), strict=True))
    if len(found) != len(rows):
        yield f"metadata/ holds {len(rows) - len(found)} clips more than once"
    yield from _clips(wanted.clips, found, "metadata/")
    there = Counter(rows["split"].to_pylist())
    for split, counts in wanted.counts.items():
        if there[split] != sum(counts.values()):
            yield f"metadata/{split}.parquet holds {there[split]} clips, the manifest counts {sum(counts.values())}"
    subjects = set(rows["subject_id"].to_pylist())
    gone = [each.subject_id for each in wanted.withdrawn if each.subject_id in subjects]
    yield from (f"a subject that was withdrawn is there: {subject}" for subject in gone)


def _clips(wanted: Mapping[str, str], found: Mapping[str, str | None], where: str) -> Iterator[str]:
    yield from (f"{where} lacks the clip {clip}" for clip in wanted if clip not in found)
    yield from (f"{where} holds a clip that the manifest has not: {clip}" for clip in found if clip not in wanted)
    other = [clip for clip, sha256 in found.items() if clip in wanted and sha256 != wanted[clip]]
    yield from (f"{where} has another hash than the manifest for {clip}" for clip in other)


def _deep(wanted: Manifest, copy: _Copy, paths: list[str], bar: tqdm[Any]) -> Iterator[str]:
    """Every file fetched and hashed, every clip in it hashed."""
    found: dict[str, str | None] = {}
    for path in paths:
        with copy.at_hand(path) as local:
            entry = hashed(local)
            if entry != wanted.files[path]:
                yield f"{path}: its bytes are {_said(entry)}, the manifest has {_said(wanted.files[path])}"
            if hub.DATA_FILE.fullmatch(path):
                try:
                    found |= _hashes(local)
                except (pa.ArrowException, OSError, KeyError) as error:
                    yield f"{path} does not read: {first_line(error)}"
        bar.update(wanted.files[path].bytes)
    if wanted.about.mode == "clips":
        yield from _clips(wanted.clips, found, "data/")


def _hashes(path: Path) -> dict[str, str | None]:
    """clip_id -> SHA-256 of the bytes that lie in a file of clips."""
    found: dict[str, str | None] = {}
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group, columns=["clip_id", "video"], use_threads=False)
            for row in rows.to_pylist():
                data = (row["video"] or {}).get("bytes")
                found[row["clip_id"]] = hashlib.sha256(data).hexdigest() if data is not None else None
    return found


class _Folder:
    """A release in a folder."""

    commit = None

    def __init__(self, root: Path) -> None:
        self.root = root
        self.where = str(root)

    def manifest(self) -> Manifest:
        return Manifest.read(self.root)

    def files(self, bar: tqdm[Any]) -> dict[str, FileEntry]:
        found = {}
        for path in sorted(p for p in self.root.rglob("*") if p.is_file()):
            name = path.relative_to(self.root).as_posix()
            if name not in (manifest.NAME, *NOT_OURS):
                found[name] = hashed(path)
                bar.update(found[name].bytes)
        return found

    def source(self) -> Source:
        return HubLayout(self.root)

    @contextlib.contextmanager
    def at_hand(self, path: str) -> Iterator[Path]:
        yield self.root / path


class _OnHub:
    """A revision of a repository, pinned to its commit."""

    def __init__(self, remote: Remote, revision: str) -> None:
        self.remote = remote
        self._source = HubRepo(remote.repo, revision, remote.api.token)
        self.commit = self._source.commit
        self.where = remote.repo if revision == "main" else f"{remote.repo}@{revision}"

    def manifest(self) -> Manifest:
        found = self.remote.manifest(self.commit)
        if found is None:
            raise EquimeError(f"{self.where} holds no {manifest.NAME}: it was not published with `equime publish`")
        return found

    def files(self, bar: tqdm[Any]) -> dict[str, FileEntry]:
        found = {}
        for path, held in self.remote.tree(self.commit).items():
            if path in (manifest.NAME, *NOT_OURS):
                continue
            if held.sha256 is None:  # git's own hash is of another kind: small files are read
                data = self.remote.read(path, self.commit)
                found[path] = FileEntry(len(data), hashlib.sha256(data).hexdigest())
            else:
                found[path] = FileEntry(held.bytes, held.sha256)
            bar.update(held.bytes)
        return found

    def source(self) -> Source:
        return self._source

    @contextlib.contextmanager
    def at_hand(self, path: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="equime-verify-") as folder:
            yield self.remote.fetch(path, self.commit, Path(folder) / Path(path).name)
