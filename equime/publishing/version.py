"""Versions of a data set: three numbers, as tags are named.

Version.parse("1.1.0") < Version.parse("1.10.0")
str(Version.parse("1.1.0").patched())       # 1.1.1
latest(["1.0.0", "draft", "1.1.0"])         # Version(1, 1, 0)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from equime.errors import EquimeError

_TEXT = re.compile(r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)")


class Version(NamedTuple):
    """A semantic version (semver.org) without suffixes; sorts as versions do.

    For data: `major` when rows or columns that users rely on go or change their meaning, `minor` when rows, columns
    or annotations are added or made again, `patch` when something wrong is taken out (a withdrawn subject above all).
    """

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Version:
        """`text` as a version.

        Raises:
            EquimeError: Anything but three numbers with dots between them.
        """
        matched = _TEXT.fullmatch(text)
        if not matched:
            raise EquimeError(f"expected a version MAJOR.MINOR.PATCH such as 1.1.0, got {text!r}")
        return cls(*map(int, matched.groups()))

    def __str__(self) -> str:
        """The tag's name."""
        return ".".join(map(str, self))

    def patched(self) -> Version:
        """The next patch version."""
        return self._replace(patch=self.patch + 1)


def latest(tags: Iterable[str], before: Version | None = None) -> Version | None:
    """The newest among tags that are versions, of those before another where it is given; None where none is."""
    versions = (Version.parse(tag) for tag in tags if _TEXT.fullmatch(tag))
    return max((version for version in versions if before is None or version < before), default=None)
