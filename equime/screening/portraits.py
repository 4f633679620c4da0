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
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from equime import schema
from equime.errors import EquimeError
from equime.screening.celeba import celeba_rows, is_celeba

LONGEST_ID = 64
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
    return faces if faces.is_dir() else faces.parent


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
    if faces.is_dir() and not is_celeba(faces):
        named = [Portrait(_id(path), path.relative_to(faces).as_posix()) for path in _pictures(faces)]
        if not named:
            raise EquimeError(f"no picture in {faces}: expected files ending in {sorted(PICTURES)}")
        return _well_named(named, [], by=lambda portrait: portrait.subject_id)
    if not faces.exists():
        raise EquimeError(f"no such folder or table of faces: {faces}")
    rows = celeba_rows(faces, parted_lips) if faces.is_dir() else _table_rows(faces)
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
            rejected.append(portrait.left_out(f"name: subject id should {wanted}, got {portrait.subject_id!r}"))
        elif same.subject_id != portrait.subject_id:
            reason = f"name: subject id {portrait.subject_id!r} differs from {same.subject_id!r} only in case"
            rejected.append(portrait.left_out(reason))
        elif same.gender != portrait.gender:
            reason = f"labels: subject {portrait.subject_id!r} is {same.gender or 'unlabelled'} in {same.path}"
            rejected.append(portrait.left_out(reason))
        elif (first := kept.setdefault(by(portrait), portrait)) is not portrait:
            reason = f"name: named twice: first as {first.path} of subject {first.subject_id!r}"
            rejected.append(portrait.left_out(reason))
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
            f"expected {list(COLUMNS)}, all but the first two optional"
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
        EquimeError: An unknown label, or an age under 18.
    """
    text = _text(row)
    if text["gender"].lower() not in GENDER_WORDS:
        raise EquimeError(f"labels: gender should be female, male or empty, got {text['gender']!r}")
    race = text["race"].lower().replace("_", " ") or None
    if race not in (*schema.RACES, None):
        raise EquimeError(f"labels: race should be one of {list(schema.RACES)} or empty, got {text['race']!r}")
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
        raise EquimeError(f"labels: {column} should be one of {expected}, got {text[column]!r}")
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
        raise EquimeError(f"age: should be 18 or more in years, or one of {list(schema.AGE_BANDS)}, got {text!r}")
    return band, years
