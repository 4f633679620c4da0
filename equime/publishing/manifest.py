"""The manifest of a release: every file and every clip by hash, and what they were made from.

    manifest.json        {"about": {...}, "files": {path: {"bytes", "sha256"}}, "clips": {clip_id: sha256}, ...}

Whoever holds it can tell whether a copy is whole: `equime verify REPO@1.1.0`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import equime
from equime import schema
from equime.errors import EquimeError
from equime.footer import require_version
from equime.publishing.about import About
from equime.publishing.origin import Accepted, Origin, Tombstone, Way
from equime.typed import built

NAME = "manifest.json"
_CHUNK = 1 << 20


class FileEntry(NamedTuple):
    """A file's size in bytes, and the SHA-256 of its content in hex."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a release holds.

    Attributes:
        about: As its maker names it.
        files: Path (relative, with "/") -> size and hash, of every file but the manifest itself.
        clips: clip_id -> SHA-256 of its mp4; of a recipe too, which has no clips but says what they must be.
        counts: Split -> emotion (or control) -> clips.
        marks: "<group>/<shard>" -> mark of the shards that rows come from.
        made, planned, left_out, withdrawn, acceptance: As in `Origin`.
        schema_version: Of the columns.
        software: The package's version.
    """

    about: About
    files: Mapping[str, FileEntry]
    clips: Mapping[str, str]
    counts: Mapping[str, Mapping[str, int]]
    planned: int
    left_out: Mapping[str, int] = field(default_factory=dict)
    marks: Mapping[str, str] = field(default_factory=dict)
    made: tuple[Way, ...] = ()
    withdrawn: tuple[Tombstone, ...] = ()
    acceptance: tuple[Accepted, ...] = ()
    schema_version: int = schema.VERSION
    software: str = field(default_factory=lambda: f"equime {equime.__version__}")

    @property
    def origin(self) -> Origin:
        """What its rows were chosen from."""
        return Origin(self.made, self.planned, self.left_out, self.withdrawn, self.acceptance)

    def to_json(self) -> str:
        """The file's text; keys in the order in which they were given: that of the access form is its maker's."""
        values = asdict(self) | {"files": {path: entry._asdict() for path, entry in self.files.items()}}
        return json.dumps(values, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, where: object) -> Manifest:
        """What `to_json` gave.

        Args:
            text: The file's content.
            where: What to call it in messages.

        Raises:
            EquimeError: It does not read, or comes from a newer version of the package.
        """
        try:
            values = json.loads(text)
            require_version(values["schema_version"], where)
            return built(cls, values)
        except EquimeError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise EquimeError(
                f"{where} is no manifest of a release as `equime publish` writes it ({type(error).__name__}: {error})"
            ) from error

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of a release in a folder.

        Raises:
            EquimeError: There is none, or it does not read.
        """
        path = folder / NAME
        try:
            return cls.from_json(path.read_bytes(), path)
        except OSError as error:
            raise EquimeError(
                f"{folder} is no release (no {NAME}): make one with `equime publish WORKSPACE --out {folder}`"
            ) from error

    def digest(self) -> str:
        """SHA-256 of the file itself."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def hashed(path: Path) -> FileEntry:
    """Size and hash of a file, read in pieces."""
    hasher, size = hashlib.sha256(), 0
    with path.open("rb") as handle:
        while piece := handle.read(_CHUNK):
            hasher.update(piece)
            size += len(piece)
    return FileEntry(size, hasher.hexdigest())


def listed(folder: Path) -> dict[str, FileEntry]:
    """Every file of a folder but the manifest, by relative path, in order of names."""
    found = sorted((p.relative_to(folder).as_posix(), p) for p in folder.rglob("*") if p.is_file())
    return {name: hashed(path) for name, path in found if name != NAME}
