"""The source faces: a folder of pictures or a table of them, read, screened and given subject ids.

    read_portraits("faces/")            # a.jpg, b.png, ...: every picture a subject, named by its file
    read_portraits("faces.csv")         # subject_id,path[,gender,age,race,neutral,licence]

A table may hold several pictures of a subject; in a folder every picture is a subject of its own. Nothing is
guessed about a person: perceived gender, age and race are what the table says, else null. A picture that
cannot be used is returned with its reason and left out.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from equime import schema
from equime.errors import EquimeError
from equime.face import FaceFinder, one_face
from equime.photo import read_image

LONGEST_ID = 64
PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
COLUMNS = ("subject_id", "path", "gender", "age", "race", "neutral", "licence")
GENDER_WORDS: Mapping[str, str | None] = {
    **{"f": "female", "female": "female", "woman": "female"},
    **{"m": "male", "male": "male", "man": "male"},
    **{"": None, "u": None, "unknown": None},
}
TRUE_WORDS = frozenset({"", "1", "true", "yes", "y"})
FALSE_WORDS = frozenset({"0", "-1", "false", "no", "n"})


@dataclass(frozen=True)
class Portrait:
    """One usable source face.

    `path` is relative to the folder of faces, with forward slashes; `gender`, `age` (a band) and `race` are
    perceived labels or None; `note` says what a person should know ("2 faces: ...").
    """

    subject_id: str
    path: str
    sha256: str = ""
    gender: str | None = None
    age: str | None = None
    race: str | None = None
    licence: str | None = None
    note: str = ""

    @property
    def cell(self) -> str:
        """The demographic cell, null values a cell of their own."""
        return "|".join(value or "unknown" for value in (self.gender, self.age, self.race))

    @property
    def code(self) -> str:
        """The gender letter of clip ids: f, m or u."""
        return (self.gender or "u")[0]


@dataclass(frozen=True)
class Rejected:
    """A picture left out, and why."""

    path: str
    reason: str


def faces_root(faces: Path) -> Path:
    """The folder that relative picture paths start from: the folder itself, or the table's."""
    return faces if faces.is_dir() else faces.parent


def read_portraits(faces: Path) -> tuple[list[Portrait], list[Rejected]]:
    """The portraits a folder or table names, in order, before their pictures are opened.

    Columns of a table: `neutral` is empty, 1, true or yes where the face is at rest, and 0, -1, false or no where it
    is not (such rows are left out); `age` is in years or one of `schema.AGE_BANDS`.

    Raises:
        EquimeError: No such file, a folder without pictures, or a table without its two columns.
    """
    if faces.is_dir():
        named = [Portrait(_id(path), path.relative_to(faces).as_posix()) for path in _pictures(faces)]
        if not named:
            raise EquimeError(f"no picture in {faces}: expected files ending in {sorted(PICTURES)}")
        return _well_named(named, [], by=lambda portrait: portrait.subject_id)
    if not faces.is_file():
        raise EquimeError(f"no such folder or table of faces: {faces}")
    portraits, rejected = [], []
    for number, row in enumerate(_table_rows(faces), start=1):
        try:
            portraits.append(_portrait(row))
        except EquimeError as error:
            rejected.append(Rejected(str(row.get("path") or f"row {number}"), str(error)))
    return _well_named(portraits, rejected, by=lambda portrait: portrait.path)


def screen(
    portraits: Sequence[Portrait], root: Path, known: Iterable[tuple[str, str, str]] = ()
) -> Iterator[Portrait | Rejected]:
    """Open each picture: hash it, find its face. Yields the portrait completed, or why it was left out.

    Args:
        portraits: As read.
        root: The folder their paths start from.
        known: (path, sha256, subject id) of pictures used before. The same picture under another id is refused,
            because the copy could land in another split; so is another picture under a path used before.
    """
    planned = {path: sha256 for path, sha256, _ in known}
    seen = {sha256: (path, subject) for path, sha256, subject in known}
    finder = FaceFinder()
    finder.load()
    for portrait in portraits:
        try:
            yield _screened(portrait, root, planned, seen, finder)
        except (EquimeError, OSError) as error:
            yield Rejected(portrait.path, str(error).replace(f": {root / portrait.path}", ""))


def _screened(
    portrait: Portrait, root: Path, planned: Mapping[str, str], seen: dict[str, tuple[str, str]], finder: FaceFinder
) -> Portrait:
    path = inside(root, portrait.path)
    relative = path.relative_to(root.resolve()).as_posix()
    image = read_image(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    if planned.get(relative, sha256) != sha256:
        raise EquimeError("another picture was planned under this name: give the new one a name of its own")
    first = seen.setdefault(sha256, (relative, portrait.subject_id))
    if first[1] != portrait.subject_id:
        raise EquimeError(f"the same picture as subject {first[1]!r} ({first[0]})")
    if first[0] != relative and relative not in planned:
        raise EquimeError(f"the same picture as {first[0]}")
    return replace(portrait, path=relative, sha256=sha256, note=one_face(image, finder)[1])


def inside(root: Path, relative: str) -> Path:
    """`root / relative`, refused when it leaves `root`.

    Raises:
        EquimeError: An absolute path, or one that climbs out.
    """
    if not relative or "\0" in relative:
        raise EquimeError(f"expected the path of a picture, got {relative!r}")
    path = (root / relative).resolve()
    if not path.is_relative_to(root.resolve()):
        raise EquimeError(f"{relative!r} leaves the folder of faces {root}: give a path inside it")
    return path


def pseudonym(subject_id: str, seed: int) -> str:
    """A name that does not show the subject's own: 12 hex digits of sha256 over seed and id.

    It hides ids from readers, not from someone who holds both the seed and a list of candidate ids.
    """
    return "p" + hashlib.sha256(f"pseudonym/{seed}/{subject_id}".encode()).hexdigest()[:12]


def _pictures(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)
    return sorted(path for path in found if not any(p.startswith(".") for p in path.parts[len(folder.parts) :]))


def _id(path: Path) -> str:
    return re.sub(r"[^A-Za-z0-9-]+", "-", path.stem).strip("-")


def _well_named(
    portraits: list[Portrait], rejected: list[Rejected], by: Callable[[Portrait], str]
) -> tuple[list[Portrait], list[Rejected]]:
    """Well-formed ids that agree with each other, and each value of `by` once; the others are rejected by name."""
    kept: dict[str, Portrait] = {}
    subjects: dict[str, Portrait] = {}
    for portrait in portraits:
        same = subjects.setdefault(portrait.subject_id.lower(), portrait)
        if not schema.SUBJECT.fullmatch(portrait.subject_id) or len(portrait.subject_id) > LONGEST_ID:
            wanted = f"match {schema.SUBJECT.pattern} and have at most {LONGEST_ID} characters"
            rejected.append(Rejected(portrait.path, f"subject id should {wanted}, got {portrait.subject_id!r}"))
        elif same.subject_id != portrait.subject_id:
            reason = f"subject id {portrait.subject_id!r} differs from {same.subject_id!r} only in case"
            rejected.append(Rejected(portrait.path, reason))
        elif same.gender != portrait.gender:
            reason = f"subject {portrait.subject_id!r} is {same.gender or 'unlabelled'} in {same.path}"
            rejected.append(Rejected(portrait.path, reason))
        elif (first := kept.setdefault(by(portrait), portrait)) is not portrait:
            reason = f"named twice: first as {first.path} of subject {first.subject_id!r}"
            rejected.append(Rejected(portrait.path, reason))
    return list(kept.values()), rejected


def _table_rows(path: Path) -> list[dict[str, Any]]:
    try:
        table = pq.read_table(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        why = " ".join(str(error).split())[:200]
        raise EquimeError(f"cannot read the table of faces {path} as UTF-8 CSV or Parquet: {why}") from error
    table = table.rename_columns([name.strip().lower() for name in table.column_names])
    if missing := [name for name in ("subject_id", "path") if name not in table.column_names]:
        raise EquimeError(
            f"{path} lacks the columns {missing}: found {table.column_names}, "
            f"expected {list(COLUMNS)}, the last five optional"
        )
    rows: list[dict[str, Any]] = table.to_pylist()
    if not rows:
        raise EquimeError(f"the table of faces {path} has no rows")
    return rows


def _read_csv(path: Path) -> pa.Table:
    """A CSV with every column as text: a subject '006' keeps its zeros. Comma or semicolon, as its header has."""
    header = path.read_bytes().partition(b"\n")[0].decode("utf-8-sig").rstrip("\r")
    delimiter = max(",;\t", key=header.count)
    names = next(csv.reader([header], delimiter=delimiter), [])
    text = pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
    return pa.csv.read_csv(path, convert_options=text, parse_options=pa.csv.ParseOptions(delimiter=delimiter))


def _portrait(row: Mapping[str, Any]) -> Portrait:
    """A row of the table.

    Raises:
        EquimeError: An unknown label, an age under 18, or a face that is not at rest.
    """
    text = {name: "" if row.get(name) is None else str(row[name]).strip() for name in COLUMNS}
    if text["neutral"].lower() not in TRUE_WORDS | FALSE_WORDS:
        raise EquimeError(f"neutral should be one of {sorted(TRUE_WORDS | FALSE_WORDS)}, got {text['neutral']!r}")
    if text["neutral"].lower() in FALSE_WORDS:
        raise EquimeError("the table says the face is not neutral")
    if text["gender"].lower() not in GENDER_WORDS:
        raise EquimeError(f"gender should be female, male or empty, got {text['gender']!r}")
    race = text["race"].lower().replace("_", " ") or None
    if race not in (*schema.RACES, None):
        raise EquimeError(f"race should be one of {list(schema.RACES)} or empty, got {text['race']!r}")
    return Portrait(
        subject_id=text["subject_id"],
        path=text["path"],
        gender=GENDER_WORDS[text["gender"].lower()],
        age=_age(text["age"]),
        race=race,
        licence=text["licence"] or None,
    )


def _age(text: str) -> str | None:
    if not text or text in schema.AGE_BANDS:
        return text or None
    try:
        band = schema.age_band(float(text))
    except ValueError:
        band = None
    if band is None:
        raise EquimeError(f"age should be 18 or more in years, or one of {list(schema.AGE_BANDS)}, got {text!r}")
    return band
