"""The source faces: a folder of pictures, a table of them, or CelebA-HQ, read and given subject ids.

    read_portraits("faces/")            # a.jpg, b.png, ...: every picture a subject, named by its file
    read_portraits("faces.csv")         # subject_id,path[,gender,age,race,neutral,licence,adult,glasses]
    read_portraits("CelebAMask-HQ/")    # see equime.screening.celeba

A table may hold several pictures of a subject; in a folder every picture is a subject of its own. Nothing is
guessed about a person: perceived gender, age and race are what the table says, else null. A picture that
cannot be used is returned with its reason and left out; the pictures are opened by `equime.screening.gallery`.
"""

from __future__ import annotations

import csv
import hmac
import io
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from equime import schema
from equime.errors import EquimeError
from equime.one_line import one_line
from equime.screening.celeba import celeba_rows, is_celeba

LONGEST_ID = 64
SHOWN = 60
PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
COLUMNS = ("subject_id", "path", "gender", "age", "race", "neutral", "licence", "adult", "glasses")
OLDEST = 120
GENDER_WORDS: Mapping[str, str | None] = {
    **{"f": "female", "female": "female", "woman": "female"},
    **{"m": "male", "male": "male", "man": "male"},
    **{"": None, "u": None, "unknown": None},
}
TRUE_WORDS = frozenset({"", "1", "true", "yes", "y"})
FALSE_WORDS = frozenset({"0", "-1", "false", "no", "n"})


@dataclass(frozen=True)
class Portrait:
    """One source face.

    `path` is relative to the folder of faces, with forward slashes; `gender`, `age` (a band) and `race` are
    perceived labels or None; `age_years` is the age where it was given in years, `adult` whether the source
    documents an adult, `glasses` whether it says that the face wears any.
    """

    subject_id: str
    path: str
    gender: str | None = None
    age: str | None = None
    race: str | None = None
    licence: str | None = None
    age_years: float | None = None
    adult: bool = False
    glasses: bool | None = None

    def left_out(self, reason: str) -> Rejected:
        """This picture with the reason why it is not used."""
        return Rejected(self.path, reason, self)


@dataclass(frozen=True)
class Rejected:
    """A picture left out, and why: "kind: reason". `of` is what was known of it, None where its row does not read."""

    path: str
    reason: str
    of: Portrait | None = None


def faces_root(faces: Path) -> Path:
    """The folder that relative picture paths start from: the folder itself, or the table's."""
    return faces if os.path.isdir(faces) else faces.parent


def read_portraits(faces: Path, *, parted_lips: bool = False) -> tuple[list[Portrait], list[Rejected]]:
    """The portraits that a folder or table names, in order, before their pictures are opened.

    Columns of a table: `neutral` is empty, 1, true or yes where the face is at rest, and 0, -1, false or no where it
    is not (such rows are left out); `age` is in years or one of `schema.AGE_BANDS`; `adult` is yes where the source
    documents an adult; `glasses` is yes, no or empty.

    Args:
        faces: The folder or table.
        parted_lips: Of CelebA-HQ: also pictures labelled Mouth_Slightly_Open.

    Raises:
        EquimeError: No such file, a folder without pictures, or a table without its two columns.
    """
    is_folder = os.path.isdir(faces)
    if is_folder and not is_celeba(faces):
        return _in_folder(faces)
    rows = celeba_rows(faces, parted_lips) if is_folder else _table_rows(faces)
    portraits, rejected = [], []
    for number, row in enumerate(rows, start=1):
        try:
            portrait = _portrait(row)
            if reason := row.get("reason") or _not_neutral(row):
                rejected.append(portrait.left_out(str(reason)))
            else:
                portraits.append(portrait)
        except EquimeError as error:
            rejected.append(Rejected(str(row.get("path") or f"row {number}"), str(error)))
    return _well_named(portraits, rejected, by=lambda portrait: portrait.path)


def inside(root: Path, relative: str) -> Path:
    """`root / relative`, refused when it leaves `root`.

    Raises:
        EquimeError: An absolute path, one that climbs out, or a link to itself.
    """
    if not relative or "\0" in relative:
        raise EquimeError(f"expected the path of a picture, got {relative!r}")
    try:
        path, whole = (root / relative).resolve(), root.resolve()
    except (OSError, RuntimeError):  # Python before 3.13 raises RuntimeError for a loop
        raise EquimeError(f"{relative!r} is a link that leads nowhere: give a picture") from None
    if not path.is_relative_to(whole):
        raise EquimeError(f"{relative!r} leaves the folder of faces {one_line(root)}: give a path inside it")
    return path


def pseudonym(subject_id: str, key: str) -> str:
    """A name that does not show the subject's own: 12 hex digits of HMAC-SHA256 over the id.

    Without the key, not even someone with a list of all candidate ids can tell who it is.
    """
    return "p" + hmac.new(key.encode(), subject_id.encode(), "sha256").hexdigest()[:12]


def _in_folder(faces: Path) -> tuple[list[Portrait], list[Rejected]]:
    named, rejected = list[Portrait](), list[Rejected]()
    for path in _pictures(faces):
        relative = path.relative_to(faces).as_posix()
        if (shown := os.fsencode(relative).decode("utf-8", "backslashreplace")) != relative:
            rejected.append(Rejected(shown, "name: expected a file name in UTF-8: rename the file"))
        else:
            named.append(Portrait(_id(path), relative))
    if not named and not rejected:
        raise EquimeError(f"no picture in {one_line(faces)}: expected files ending in {sorted(PICTURES)}")
    return _well_named(named, rejected, by=lambda portrait: portrait.subject_id)


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
            got = _cut(portrait.subject_id)
            rejected.append(portrait.left_out(f"name: subject id should {wanted}, got {got}"))
        elif same.subject_id != portrait.subject_id:
            reason = f"name: subject id {portrait.subject_id!r} differs from {same.subject_id!r} only in case"
            rejected.append(portrait.left_out(reason))
        elif same.gender != portrait.gender:
            known = f"{same.gender or 'unlabelled'} in {one_line(same.path)}"
            reason = f"labels: subject {portrait.subject_id!r} is {known}"
            rejected.append(portrait.left_out(reason))
        elif (first := kept.setdefault(by(portrait), portrait)) is not portrait:
            reason = f"name: named twice: first as {one_line(first.path)} of subject {first.subject_id!r}"
            rejected.append(portrait.left_out(reason))
    return list(kept.values()), rejected


def _cut(text: str) -> str:
    """Quoted and escaped, and no longer than a line."""
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "...")


def _table_rows(path: Path) -> list[dict[str, Any]]:
    named = one_line(path)
    names, rows = _table(path, named)
    names = [name.strip().lower() for name in names]
    if twice := sorted({name for name in names if name in COLUMNS and names.count(name) > 1}):
        raise EquimeError(f"{named} has the columns {twice} more than once: keep one of each")
    if missing := [name for name in ("subject_id", "path") if name not in names]:
        expected = f"{list(COLUMNS)}, all but the first two optional"
        raise EquimeError(f"{named} lacks the columns {missing}: found {names}, expected {expected}")
    if not rows:
        raise EquimeError(f"the table of faces {named} has no rows")
    places = [(place, name) for place, name in enumerate(names) if name in COLUMNS]
    return [{name: row[place] for place, name in places} for row in rows]


def _table(path: Path, named: str) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
    """The names of a table's columns, and its rows."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
            raise EquimeError(f"expected a folder or a table of faces, got a pipe or device: {named}")
        return _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    except FileNotFoundError:
        raise EquimeError(f"no such folder or table of faces: {named}") from None
    except (pa.ArrowException, csv.Error, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.strerror:
            raise EquimeError(f"cannot read the table of faces {named}: {error.strerror}") from error
        why = " ".join(str(error).split())[:200]
        raise EquimeError(f"cannot read the table of faces {named} as UTF-8 CSV or Parquet: {why}") from error


def _read_parquet(path: Path) -> tuple[list[str], list[tuple[Any, ...]]]:
    with path.open("rb") as file:
        table = pq.ParquetFile(file).read()
    return table.column_names, list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def _read_csv(path: Path) -> tuple[list[str], list[list[str]]]:
    """A CSV of any line ends, every cell as text: a subject '006' keeps its zeros. Delimited as its header is."""
    text = path.read_bytes().decode("utf-8-sig").lstrip("\r\n")
    header = re.split(r"[\r\n]", text, maxsplit=1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count), strict=True)
    names, rows = next(reader, []), list[list[str]]()
    for row in filter(None, reader):
        if len(row) != len(names):
            raise csv.Error(f"expected {len(names)} cells in line {reader.line_num}, got {len(row)}")
        rows.append(row)
    return names, rows


def _portrait(row: Mapping[str, Any]) -> Portrait:
    """A row of the table.

    Raises:
        EquimeError: An unknown label, or an age under 18.
    """
    text = _text(row)
    if text["gender"].lower() not in GENDER_WORDS:
        raise EquimeError(f"labels: gender should be female, male or empty, got {_cut(text['gender'])}")
    race = text["race"].lower().replace("_", " ") or None
    if race not in (*schema.RACES, None):
        raise EquimeError(f"labels: race should be one of {list(schema.RACES)} or empty, got {_cut(text['race'])}")
    age, years = _age(text["age"])
    return Portrait(
        subject_id=text["subject_id"],
        path=text["path"],
        gender=GENDER_WORDS[text["gender"].lower()],
        age=age,
        race=race,
        licence=text["licence"] or None,
        age_years=years,
        adult=bool(text["adult"]) and _yes(text, "adult"),
        glasses=_yes(text, "glasses") if text["glasses"] else None,
    )


def _text(row: Mapping[str, Any]) -> dict[str, str]:
    return {name: "" if row.get(name) is None else str(row[name]).strip() for name in COLUMNS}


def _yes(text: Mapping[str, str], column: str) -> bool:
    word = text[column].lower()
    if word not in TRUE_WORDS | FALSE_WORDS:
        expected = sorted(TRUE_WORDS | FALSE_WORDS)
        raise EquimeError(f"labels: {column} should be one of {expected}, got {_cut(text[column])}")
    return word in TRUE_WORDS


def _not_neutral(row: Mapping[str, Any]) -> str | None:
    return None if _yes(_text(row), "neutral") else "neutral: the table says the face is not neutral"


def _age(text: str) -> tuple[str | None, float | None]:
    """The band, and the years where the text gives years."""
    if not text or text in schema.AGE_BANDS:
        return text or None, None
    try:
        years = float(text)
    except ValueError:
        years = float("nan")
    band = schema.age_band(years) if years <= OLDEST else None
    if band is None:
        raise EquimeError(f"age: should be 18 or more in years, or one of {list(schema.AGE_BANDS)}, got {_cut(text)}")
    return band, years
