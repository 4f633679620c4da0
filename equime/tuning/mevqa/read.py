"""The ME-VQA challenge's files (MEGC 2025, arXiv 2506.15298; MEGC 2026, 2603.08927): one question a line, as a table.

    table = read_questions(Path("me_vqa_samm_casme2_smic.jsonl"))
    table["kind"], table["units"], table["subject_id"]
    write_questions(table, Path("again.jsonl"))            # equime.tuning.mevqa.write: the same lines

A line has `id, dataset, image_id, subject, filename, question, answer`; those of test files have `onset_frame` and
`offset_frame` as well, and empty answers. What a question asks for is read from its text, what an answer says from its
words: units by their FACS names, sides as the subject's own. Subjects are "6" in one file, 6 in another and "006" in
SAMM's folders: `subject_id` is as `equime.recognise` names them ("samm-006"), so that the tables join. The line itself
is kept too.

Classes and emotions are what the sets' coders and subjects called them. The files are under the sets' agreements.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from equime import schema
from equime.action_units import NAMES, ActionUnit, Side
from equime.errors import EquimeError
from equime.one_line import one_line
from equime.recognise.readers.labels import plain
from equime.recognise.readers.sets import SETS

FIELDS: Final = ("id", "dataset", "image_id", "subject", "filename", "question", "answer")
FRAMES: Final = ("onset_frame", "offset_frame")
COARSE: Final = ("negative", "positive", "surprise")
SCHEMA: Final = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "dataset", "image_id", "subject_id", "filename", "kind")),
        *((name, pa.string()) for name in ("question", "answer")),
        ("asked", pa.int16()),
        ("units", pa.list_(schema.ACTION_UNIT)),
        *((name, pa.string()) for name in ("emotion", "coarse", "side")),
        *((name, pa.int64()) for name in FRAMES),
        ("line", pa.string()),
    ]
)
"""The table. `kind` is one of `equime.tuning.example.KINDS`, or "" for a question of another sort; `asked` is the unit
asked for; `units`, `emotion`, `coarse` and `side` are what the answer says, null where it says nothing of it."""
ALIASES: Final[Mapping[str, int]] = {
    "lid raiser": 5,
    "lip presser": 24,
    "nostril dilater": 38,
    "nostril compress": 39,
    **{f"{where} {way}": au for au, where, way in ((61, "eyes", "left"), (62, "eyes", "right"))},
    **{name.lower().removeprefix("head "): au for au, name in NAMES.items() if name.startswith("Head T")},
}
"""How the files write units where FACS has another name."""

_NUMBERS: Final[Mapping[str, int]] = {**{name.lower(): au for au, name in NAMES.items()}, **ALIASES}
_UNIT: Final = r"\s*(?:the )?action units? (?P<unit>.+?)"
_KINDS: Final[Mapping[str, re.Pattern[str]]] = {
    "joint": re.compile(r"what (is|are) the action units? present,? and based on .*class", re.I),
    "present": re.compile(rf"is{_UNIT} (shown|present|visible) (on|in) the face", re.I),
    "side": re.compile(rf"is{_UNIT} located on the left or (the )?right", re.I),
    "coarse": re.compile(r"what is the coarse expression class", re.I),
    "fine": re.compile(r"what is the fine-?\s?grained expression( class)?", re.I),
    "units": re.compile(r"what are the action units", re.I),
    "unit": re.compile(r"what is the action unit\b", re.I),
}
_LISTED: Final = re.compile(r"action units? present (?:is|are):?\s*(?P<units>.*?)\s*(?:\.|$)", re.I | re.S)
_CLASS: Final = {
    "emotion": re.compile(r"fine-?\s?grained expression class is (?P<word>[\w ]+)", re.I),
    "coarse": re.compile(r"coarse expression class is (?P<word>\w+)", re.I),
}
_SIDE: Final[Mapping[str, Side]] = {"left": "L", "right": "R", "both": "B"}


def read_questions(path: Path) -> pa.Table:
    """The questions of a file, as `SCHEMA` has them, in the file's order.

    Args:
        path: One JSON object a line, in UTF-8; blank lines are passed over.

    Raises:
        EquimeError: No such file, no question in it, or a line that is no object, lacks a field, has one of another
            type, or an id that was there before.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise EquimeError(f"cannot read {one_line(path)}: {one_line(error)}; expected ME-VQA's jsonl") from error
    rows: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            row = _row(line, f"{one_line(path)}, line {number}")
            if row["id"] in rows:
                raise EquimeError(
                    f"{one_line(path)}, line {number}: expected another id in each line, got {row['id']!r}"
                )
            rows[row["id"]] = row
    if not rows:
        raise EquimeError(
            f"{one_line(path)} has no questions: expected one JSON object a line with {', '.join(FIELDS)}"
        )
    return pa.Table.from_pylist(list(rows.values()), schema=SCHEMA)


def kind_of(question: str) -> str:
    """What a question asks for: one of `equime.tuning.example.KINDS`, or "" for none of them."""
    return next((kind for kind, pattern in _KINDS.items() if pattern.match(question.strip())), "")


def asked(question: str) -> int | None:
    """The unit that a question of kind "present" or "side" names; None where it is of no such kind."""
    kind = kind_of(question)
    found = _KINDS[kind].match(question.strip()) if kind in ("present", "side") else None
    return number_of(found["unit"]) if found else None


def number_of(name: str) -> int | None:
    """The number of a unit by its FACS name or the files' own; None where there is none such."""
    return _NUMBERS.get(" ".join(re.sub(r"[\s_-]+", " ", name).strip(" .").lower().split()))


def units_of(answer: str) -> tuple[ActionUnit, ...]:
    """The units that an answer lists, each once, in its order; what is no unit is passed over."""
    listed = _LISTED.search(answer)
    words = re.split(r",|;|\band\b", listed["units"] if listed else answer)
    numbers = dict.fromkeys(number_of(word) for word in words)
    return tuple(ActionUnit(number) for number in numbers if number is not None)


def said(kind: str, question: str, answer: str) -> dict[str, Any]:
    """What an answer says: `units`, `emotion`, `coarse` and `side` of `SCHEMA`; all null of an empty one."""
    text = answer.strip(" .\n\t").lower()
    found: dict[str, Any] = dict.fromkeys(("units", "emotion", "coarse", "side"))
    if not text:
        return found
    if kind in ("units", "unit", "joint", ""):
        units = units_of(answer)
        found["units"] = [unit.to_dict() for unit in units] if units or kind else None
    if kind in ("joint", ""):
        for name, pattern in _CLASS.items():
            if match := pattern.search(answer):
                found[name] = plain(match["word"])
    if kind == "fine":
        found["emotion"] = plain(text)
    if kind == "coarse":
        found["coarse"] = text
    unit = asked(question)
    if kind == "present" and unit and text in ("yes", "no"):
        found["units"] = [ActionUnit(unit).to_dict()] if text == "yes" else []
    if kind == "side" and text in _SIDE:
        found["side"] = _SIDE[text]
        found["units"] = [ActionUnit(unit, _SIDE[text]).to_dict()] if unit else None
    return found


def subject_id(dataset: str, subject: str) -> str:
    """A subject as `equime.recognise` names it: "samm-006" of SAMM's "6", "smic-hs-20" of SMIC's "s20".

    People of a set that it does not know ("samm_test" is of others than "samm") keep the number without zeros.
    """
    name = {"smic": "smic-hs"}.get(dataset, dataset)
    number = re.fullmatch(r"(?:subject|sub|spno\.|s)?0*(\d+)", subject.strip(), re.I)
    width = SETS[name].width if name in SETS else 1
    return f"{name}-{number[1].zfill(width) if number else subject}"


def _row(line: str, where: str) -> dict[str, Any]:
    record = _record(line, where)
    kind = kind_of(record["question"])
    dataset, subject = record["dataset"], str(record["subject"])
    names = ("id", "dataset", "image_id", "filename", "question", "answer")
    row = {name: str(record[name]) for name in names} | {name: record.get(name) for name in FRAMES}
    row |= {"subject_id": subject_id(dataset, subject), "kind": kind, "asked": asked(record["question"]), "line": line}
    return row | said(kind, record["question"], record["answer"])


def _record(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
        json.dumps(record, ensure_ascii=False).encode()  # half a surrogate is JSON, and no text
    except (ValueError, RecursionError) as error:
        raise EquimeError(f"{where}: expected a JSON object, got {one_line(line)[:60]!r}; correct that line") from error
    if not isinstance(record, dict) or (missing := [name for name in FIELDS if name not in record]):
        lacks = ", ".join(missing) if isinstance(record, dict) else "all of them"
        raise EquimeError(f"{where}: expected an object with {', '.join(FIELDS)}, it lacks {lacks}")
    for name, problem in _problems(record):
        raise EquimeError(f"{where}: expected {name} to be {problem}, got {one_line(repr(record[name]))[:60]}")
    return record


def _problems(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in FIELDS:
        numbers = (int,) if name in ("id", "image_id", "subject", "filename") else ()
        if isinstance(record[name], bool) or not isinstance(record[name], (str, *numbers)):
            yield name, "text or a whole number" if numbers else "text"
    for name in FRAMES:
        value = record.get(name)
        if isinstance(value, bool) or not isinstance(value, int | None) or abs(value or 0) >= 1 << 63:
            yield name, "a whole number"
