"""Where the pictures of coded rows lie below a root, and what to say when they do not.

folders = places(root, part, rows)
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from equime.errors import EquimeError
from equime.one_line import one_line
from equime.recognise.readers.layout import Layout, Part

SHOWN = 8
"""How many entries of a folder an error names."""
MOST_FOLDERS = 100
"""How many folders of the second level are tried where the named ones hold nothing."""
Values = Mapping[str, str]


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """What a folder holds, by name; nothing where it cannot be listed."""
    try:
        return sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return []


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, by name; none where it cannot be listed."""
    return [Path(entry.path) for entry in entries(folder) if _is_folder(entry)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def subject_of(text: str) -> str:
    """The id of a subject without letters and zeros: "sub01", "s1", "spNO.1" and "001" are all "1"."""
    digits = re.findall(r"\d+", text)
    return (digits[-1].lstrip("0") or "0") if digits else text.strip()


def derived(cells: Values, part: Part) -> dict[str, str]:
    """The cells of a row with what a layout makes of them: subject without zeros, `coded`, and the part's own."""
    values = dict(cells)
    values["coded"] = cells.get("subject", "")
    values["subject"] = subject_of(values["coded"])
    for name, (source, pattern) in part.derive.items():
        found = re.search(pattern, values.get(source, ""))
        if found and not values.get(name):
            values[name] = found.group(found.lastindex or 0)
    return values


def places(root: Path, part: Part, rows: Sequence[Values]) -> list[Path | None]:
    """Each row's folder or None, below the one folder where most of the rows have theirs."""
    best: tuple[int, list[Path | None]] = (0, [None] * len(rows))
    for base in _bases(root, part.under):
        folders = [folder_of(base, part, row) for row in rows]
        count = sum(folder is not None for folder in folders)
        if count > best[0]:
            best = count, folders
        if best[0] == len(rows):
            break
    return best[1]


def nowhere(root: Path, layout: Layout, part: Part, values: Values) -> EquimeError:
    """No row has a folder: where pictures were looked for and what is there."""
    return EquimeError(
        f"expected pictures of {layout.title} in {one_line(root)}, such as {wanted(part, values)}/; "
        f"it holds {listed(root)}; give its top folder"
    )


def wanted(part: Part, values: Values) -> str:
    """The first folder that is looked for."""
    folder = next(filter(None, (_filled(template, values) for template in part.folders)), "(no name)")
    return one_line("/".join(filter(None, [part.under[0].strip("."), folder])))


def folder_of(base: Path, part: Part, values: Values) -> Path | None:
    """A row's folder below `base`, or None. Only a template's own star stands for anything."""
    for template in part.folders:
        if "*" in template:
            relative = _filled(template, {name: glob.escape(value) for name, value in values.items()})
            found = sorted(filter(os.path.isdir, base.glob(relative))) if relative else []
        else:
            relative = _filled(template, values)
            found = [base / relative] if relative and os.path.isdir(base / relative) else []
        if found:
            return found[0]
    return None


def _filled(template: str, values: Values) -> str:
    """A template with a row's values; "" where it needs what the row does not have, or would lead out of the set."""
    try:
        filled = template.format_map({**values, "emotion": values.get("emotion", "").lower()})
    except KeyError:
        return ""
    return "" if any(name in ("", ".", "..") for name in filled.split("/")) or "\0" in filled else filled


def _bases(root: Path, under: Sequence[str]) -> Iterator[Path]:
    """Folders named by the layout, below the root or one further down; then any folder down to the second level."""
    seen: set[Path] = set()
    for path in _candidates(root, under):
        if path not in seen and os.path.isdir(path):
            seen.add(path)
            yield path


def _candidates(root: Path, under: Sequence[str]) -> Iterator[Path]:
    for name in under:
        yield from [root] if name == "." else sorted(root.glob(name))
    for name in under:
        yield from sorted(root.glob("*" if name == "." else f"*/{name}"))
    yield from sorted(root.glob("*/*"))[:MOST_FOLDERS]


def listing(root: Path, part: Part) -> list[tuple[Path, dict[str, str]]]:
    """The folders whose path below a base matches the part's pattern, with its groups."""
    pattern = re.compile(part.listing)
    depth = re.sub(r"\[[^]]*\]", "", part.listing).count("/") + 1
    for base in _bases(root, part.under):
        found = [
            (folder, match.groupdict())
            for folder in sorted(base.glob("/".join("*" * depth)))
            if (match := pattern.fullmatch(folder.relative_to(base).as_posix())) and os.path.isdir(folder)
        ]
        if found:
            return found
    return []


def listed(folder: Path) -> str:
    """What a folder holds, for messages."""
    try:
        names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in os.scandir(folder))
    except OSError as error:
        return f"nothing to read ({error.strerror})"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return one_line(", ".join(names[:SHOWN])) + more if names else "nothing"
