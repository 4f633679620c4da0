"""What a revision on the Hub has and has not of a version, without fetching what the Hub knows the hash of.

missing, extra = lacking(remote, "refs/pr/3", manifest.files, {"README.md": Path("out/README.md")})
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from equime.publishing.manifest import FileEntry
from equime.publishing.repository.client import Remote

KEPT = ".gitattributes"
"""The Hub's own file, which says what is large; no release has it."""


def lacking(
    remote: Remote, revision: str, wanted: Mapping[str, FileEntry], files: Mapping[str, Path]
) -> tuple[list[str], list[str]]:
    """Paths that a revision lacks or holds with other content, and paths that it has too many.

    Args:
        remote: The repository.
        revision: A commit, branch, tag or "refs/pr/N".
        wanted: Path -> size and hash.
        files: Path -> the file here, of those that are here; of others that are small the Hub's content is read.

    Returns:
        Both in order: of `wanted`, and of names.
    """
    tree = remote.tree(revision)

    def same(path: str) -> bool:
        held, entry = tree.get(path), wanted[path]
        if held is None or held.bytes != entry.bytes:
            return False
        if held.sha256 is not None:
            return held.sha256 == entry.sha256
        if path in files:
            return held.blob == git_id(files[path].read_bytes())
        return hashlib.sha256(remote.read(path, revision)).hexdigest() == entry.sha256

    missing = [path for path in wanted if not same(path)]
    return missing, [path for path in tree if path not in wanted and path != KEPT]


def git_id(content: bytes) -> str:
    """Git's id of a file: SHA-1 of "blob <size>", a zero byte and the content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
