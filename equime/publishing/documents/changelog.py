"""CHANGELOG.md of a release: what each version brought, the newest first, written from what was compared.

    text = render(before, entry(about, diff(earlier, now), withdrawn))

A version that is written again takes its own entry's place. Who withdrew is not said: the manifest keeps the ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from equime.errors import EquimeError
from equime.publishing.about import About
from equime.publishing.comparing.changes import Diff
from equime.publishing.documents.markdown import text
from equime.publishing.origin import Tombstone
from equime.publishing.version import Version
from equime.wording import counted

NAME = "CHANGELOG.md"
TITLE = """# Changelog

Versions are MAJOR.MINOR.PATCH: a major one changes or takes away what users rely on, a minor one adds rows or makes
annotations again, a patch takes out what is wrong, withdrawn subjects above all. Demographic labels are *perceived*.
"""
_HEADING = re.compile(r"^## (\d+\.\d+\.\d+) \(\d{4}-\d{2}-\d{2}\)$", re.MULTILINE)


def entry(about: About, diff: Diff | None, withdrawn: Sequence[Tombstone] = ()) -> str:
    """One version's entry.

    Args:
        about: The release.
        diff: What changed since the version before; None for the first one.
        withdrawn: Subjects taken out so far; those of this version are told.
    """
    return "\n".join([f"## {about.version} ({about.date})", "", *_body(about, diff, withdrawn)]).rstrip() + "\n"


def _body(about: About, diff: Diff | None, withdrawn: Sequence[Tombstone]) -> Iterator[str]:
    if about.note:
        yield from (text(about.note), "")
    if gone := [each for each in withdrawn if each.version == about.version]:
        clips = counted(sum(each.clips for each in gone), "clip")
        what = f"{counted(len(gone), 'subject')} on request, with {clips}, those of twins included."
        yield from _section("Withdrawn", [f"{what} Please delete copies of earlier versions."])
    if diff is None:
        yield "The first version."
    elif diff.same:
        yield "The same rows as the version before."
    else:
        for title, lines in diff.sections().items():
            yield from _section(title, [text(line) for line in lines])


def _section(title: str, lines: Sequence[str]) -> Iterator[str]:
    yield from (f"### {title}", "", *(f"- {line}" for line in lines), "")


def render(before: str | None, entry: str) -> str:
    """The file with an entry more, or again.

    Args:
        before: The file of the version before; None for the first one.
        entry: What `entry` gave.

    Raises:
        EquimeError: The entry has no heading.
    """
    entries = dict(_entries(before or "")) | dict(_entries(entry))
    if not _HEADING.match(entry):
        raise EquimeError(f"expected an entry '## MAJOR.MINOR.PATCH (YYYY-MM-DD)', got {entry[:40]!r}")
    return "\n".join([TITLE, *(entries[version] for version in sorted(entries, reverse=True))])


def _entries(file: str) -> Iterator[tuple[Version, str]]:
    found = list(_HEADING.finditer(file))
    ends = [each.start() for each in found[1:]] + [len(file)]
    for heading, end in zip(found, ends, strict=False):
        yield Version.parse(heading[1]), file[heading.start() : end].rstrip() + "\n"
