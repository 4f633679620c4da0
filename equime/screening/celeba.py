"""CelebA-HQ as distributed: neutral faces by CelebA identity, as rows of a table of faces.

    CelebAMask-HQ/
      CelebA-HQ-img/0.jpg ...                      30,000 pictures of 1024x1024
      CelebAMask-HQ-attribute-anno.txt (or .csv)   forty attributes a picture, -1 or 1
      CelebA-HQ-to-CelebA-mapping.txt              idx, orig_idx, orig_file
      identity_CelebA.txt                          orig_file, identity; comes with CelebA, not with CelebA-HQ

Why here: the pictures are 30,000 but the people fewer, so a subject is an identity, never a picture. The attributes
are annotators' impressions: `Male` is perceived gender (voted over an identity's pictures), `Young` is no age.

    equime screen ws --faces CelebAMask-HQ --tagger packaged
"""

from __future__ import annotations

import csv
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from equime.errors import EquimeError

PICTURES = "CelebA-HQ-img"
ATTRIBUTES = "CelebAMask-HQ-attribute-anno"
MAPPING = "CelebA-HQ-to-CelebA-mapping.txt"
IDENTITIES = "identity_CelebA.txt"
LICENCE = "CelebA agreement: non-commercial research only, no redistribution of the pictures"
SMILING, PARTED_LIPS, GLASSES, MALE = "Smiling", "Mouth_Slightly_Open", "Eyeglasses", "Male"
_READ = (SMILING, PARTED_LIPS, GLASSES, MALE)

Attributes = Mapping[str, bool]


def is_celeba(folder: Path) -> bool:
    """Whether a folder is CelebA-HQ's: it holds its pictures' folder or any of its files.

    Raises:
        EquimeError: The folder is that of the pictures, whose names say nothing of who is who.
    """
    if folder.name == PICTURES and (folder / "0.jpg").is_file():
        raise EquimeError(f"{folder} holds pictures without identities: give its parent {folder.parent}")
    return any(os.path.exists(folder / name) for name in (PICTURES, f"{ATTRIBUTES}.txt", f"{ATTRIBUTES}.csv", MAPPING))


def celeba_rows(folder: Path, parted_lips: bool = False) -> Iterator[dict[str, Any]]:
    """Every annotated picture as a row of a table of faces, in the order of the attributes.

    A row that cannot be used has a `reason`: it smiles, its lips are parted, it has no identity, or its perceived
    gender is not that of most of its identity's pictures (a wrong identity or a wrong attribute).

    Args:
        folder: As above.
        parted_lips: Let pictures labelled Mouth_Slightly_Open pass.

    Raises:
        EquimeError: A file is missing, or is not what its name says.
    """
    attributes, names = _attributes(folder), _mapping(folder)
    identities = dict(_pairs(folder / IDENTITIES))
    subject = {picture: identities.get(names.get(picture.partition(".")[0], "")) for picture in attributes}
    gender = _perceived(attributes, subject)
    for picture, has in attributes.items():
        who, label = subject[picture], "male" if has[MALE] else "female"
        voted = gender.get(who) if who else label
        yield {
            "subject_id": who or "",
            "path": f"{PICTURES}/{picture}",
            "gender": voted,
            "glasses": "yes" if has[GLASSES] else "no",
            "licence": LICENCE,
            "reason": _reason(has, who, voted not in (label, None), parted_lips),
        }


def _reason(has: Attributes, subject: str | None, odd: bool, parted_lips: bool) -> str | None:
    if subject is None:
        return f"identity: {MAPPING} and {IDENTITIES} give this picture none"
    if has[SMILING]:
        return f"neutral: labelled {SMILING}"
    if has[PARTED_LIPS] and not parted_lips:
        return f"neutral: labelled {PARTED_LIPS}"
    return f"labels: {MALE} differs from most pictures of identity {subject}" if odd else None


def _perceived(attributes: Mapping[str, Attributes], subject: Mapping[str, str | None]) -> dict[str, str | None]:
    """The gender that most of an identity's pictures are labelled with; None in a draw."""
    votes: defaultdict[str, Counter[bool]] = defaultdict(Counter)
    for picture, has in attributes.items():
        if who := subject[picture]:
            votes[who][has[MALE]] += 1
    return {
        who: None if v[True] == v[False] else "male" if v[True] > v[False] else "female" for who, v in votes.items()
    }


def _attributes(folder: Path) -> dict[str, Attributes]:
    """Picture -> the attributes read here; from the text file, or the CSV that many copies hold."""
    path = next((p for p in (folder / f"{ATTRIBUTES}{end}" for end in (".txt", ".csv")) if p.is_file()), None)
    if path is None:
        raise _missing(folder / f"{ATTRIBUTES}.txt")
    lines = _lines(path)
    table = csv.reader(lines) if path.suffix == ".csv" else (line.split() for line in lines[1:])
    header, *rows = [*table] or [[]]
    if absent := [name for name in _READ if name not in header]:
        raise EquimeError(f"{path} lacks the attributes {absent}: restore it from CelebAMask-HQ")
    skip = len(rows[0]) - len(header) if rows else 0  # the text file's header names no column of pictures
    places = {name: header.index(name) + skip for name in _READ}
    found: dict[str, Attributes] = {}
    for row in rows:
        try:
            found[_picture(row)] = {name: _yes(row[place]) for name, place in places.items()}
        except (ValueError, IndexError):
            raise EquimeError(f"cannot read {path}: unexpected line {' '.join(row)[:60]!r}") from None
    return found


def _picture(row: list[str]) -> str:
    """The row's picture: "0.jpg", or "0" where an index stands for it."""
    named = next((cell for cell in row[:2] if cell.endswith(".jpg")), row[0])
    return f"{int(named.removesuffix('.jpg'))}.jpg"


def _yes(cell: str) -> bool:
    number = float(cell)
    if number not in (-1, 0, 1):
        raise ValueError(cell)
    return number == 1


def _mapping(folder: Path) -> dict[str, str]:
    """CelebA-HQ's index -> CelebA's file name."""
    path = folder / MAPPING
    header, *lines = _lines(path) or [""]
    if header.split() != ["idx", "orig_idx", "orig_file"]:
        raise EquimeError(f"cannot read {path}: expected the header idx orig_idx orig_file, got {header[:60]!r}")
    return {line.split()[0]: line.split()[-1] for line in lines}


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    for line in _lines(path):
        name, _, identity = line.partition(" ")
        if not identity.strip().isdigit():
            raise EquimeError(f"cannot read {path}: expected lines like '000001.jpg 2880', got {line[:60]!r}")
        yield name, identity.strip()


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise _missing(path)
    try:
        return [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except OSError as error:
        raise EquimeError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise EquimeError(f"cannot read {path}: {error}") from error


def _missing(path: Path) -> EquimeError:
    origin = "CelebA (Anno/)" if path.name == IDENTITIES else "CelebAMask-HQ"
    return EquimeError(f"CelebA-HQ needs {path.name} of {origin} in {path.parent}: copy it to {path}")
