"""The metadata JSON beside a released clip: its words, how they become columns, and how it is written again.

Trees come from several hands, so a column is found under its own name or a known alias, at the top or inside a
known object, and everything else is kept for the way back:

    {"synthetic": true, "emotion": "fear", "fps": 24.0, "total_frames": 144, "bitrate_kbps": 612.4, "caption": "...",
     "pseudo_labels": {"gender": "female", "age": 31.0, "race": "asian"},
     "generation": {"generator": "warp", "seed": 7, "onset_ms": 2010.0}, "scores": {"ssim_consecutive": 0.99}}

Gender, age and race are *perceived*: pseudo-labels of a classifier, never a person's own word. What a workspace
never publishes (`schema.UNPUBLISHED`) is not written, even where it came in.

    equime import TREE WORKSPACE; equime export WORKSPACE TREE
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from equime import action_units, schema
from equime.errors import EquimeError

Document = dict[str, Any]
DISCLOSURE = "synthetic"
VERSION_KEY = "equime_schema"
PERCEIVED = "pseudo_labels"
PERCEIVED_KEY = "perceived"
FALLBACK = "equime"
"""The object that takes a column whose usual place holds something else."""
UNPARSED = "unparsed_metadata"
"""Where the text of a JSON goes that could not be used."""

FROM_PATH = ("clip_id", "subject_id", "sequence", "emotion")
"""Columns that the file's place in the tree decides, whatever its JSON says."""
FACTS = ("fps", "num_frames", "width", "height", "duration_s", "size_bytes", "bitrate_kbps", "sha256")
"""Columns that can be read off the file itself, so that a JSON's own figures for it are let stand."""

_PERCEIVED = ("gender", "age", "race")
_RELEASED = {"num_frames": "total_frames", "size_bytes": "file_size_bytes"}
_ALIASES = {
    "frame_count": "num_frames",
    "frames": "num_frames",
    "total_frames": "num_frames",
    "duration": "duration_s",
    "duration_seconds": "duration_s",
    "file_size": "size_bytes",
    "file_size_bytes": "size_bytes",
    "bitrate": "bitrate_kbps",
    "avg_age": "age",
    "estimated_age": "age",
    "dominant_gender": "gender",
    "dominant_race": "race",
    "ethnicity": "race",
    "dominant_emotion": "expression",
    "model": "generator",
    "generation_model": "generator",
    "random_seed": "seed",
    "generating_prompt": "prompt",
    "generation_prompt": "prompt",
    "aus": "action_units",
}
_OBJECTS = (
    FALLBACK, PERCEIVED, "demographics", "demographic_attributes", "video_info", "technical", "technical_metadata",
    "generation", "generation_parameters", "scores", "quality_metrics",
)  # fmt: skip
_FILE_KEYS = frozenset(
    ("file", "filename", "file_name", "file_path", "path", "name", "video", "video_name", "video_path", "clip_id")
)
_ABOUT = frozenset((DISCLOSURE, VERSION_KEY, UNPARSED, PERCEIVED_KEY, *_FILE_KEYS, *FROM_PATH))
_DEEPEST = 64  # far from where copying and writing would run out of stack
_LEAVES = re.compile(r"[/\\~]|[A-Za-z]:|(?:.*[/\\])?\.\.(?:[/\\]|$)|.*\0", re.DOTALL)

_READ = tuple(n for n in schema.METADATA.names if n not in FROM_PATH and not n.endswith("_error"))
_NAMES: Mapping[str, str] = MappingProxyType({name: name for name in _READ} | _ALIASES)
_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "man": "male",
        "m": "male",
        "woman": "female",
        "f": "female",
        "val": "validation",
        "dev": "validation",
        "happiness": "happy",
        "sadness": "sad",
        "anger": "angry",
    }
)


def parse(data: bytes) -> Document:
    """The object in a metadata file.

    Raises:
        EquimeError: Not JSON, not an object, of a newer schema, or naming a file outside its folder (which is
            refused and never followed).
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise EquimeError(f"metadata is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise EquimeError(f"metadata should be one JSON object, got {type(document).__name__}")
    if data.count(b"[") + data.count(b"{") > _DEEPEST and _depth(document) > _DEEPEST:
        raise EquimeError(f"metadata is nested more than {_DEEPEST} deep")
    version = document.get(VERSION_KEY)
    if isinstance(version, int) and version > schema.VERSION:
        raise EquimeError(
            f"metadata has schema version {version}, this package reads up to {schema.VERSION}: "
            "run `pip install --upgrade equime`"
        )
    for _, place in _places(document):
        for key in _FILE_KEYS & place.keys():
            if isinstance(place[key], str) and _LEAVES.match(place[key]):
                raise EquimeError(f"metadata names a file outside its folder: {key!r} is {place[key]!r}")
    return document


def _depth(document: Document) -> int:
    depth = 0
    level: list[dict[str, Any] | list[Any]] = [document]
    while level and depth <= _DEEPEST:
        depth += 1
        inside = (value.values() if isinstance(value, dict) else value for value in level)
        level = [value for values in inside for value in values if isinstance(value, dict | list)]
    return depth


def read(document: Document) -> dict[str, Any]:
    """The columns that a metadata object gives, by name; what cannot be read is not there."""
    return {column: value for column, (_, _, value) in _fed(document).items()}


def read_one(document: Document, column: str) -> Any:
    """One column that a metadata object gives; None where it does not."""
    for _, place in _places(document):
        for key, raw in place.items():
            if _NAMES.get(key) == column and (value := _value(column, raw)) is not None:
                return value
    return None


def unknown_keys(document: Document) -> list[str]:
    """Keys that no column took: kept for the way back, and worth a note. "gender='?'" had a word unknown here."""
    fed = {(id(place), key) for place, key, _ in _fed(document).values()}
    found = []
    for name, place in _places(document):
        for key, value in place.items():
            known = place is document and (key in _ABOUT or (key in _OBJECTS and isinstance(value, dict)))
            column = _NAMES.get(key)
            if known or (id(place), key) in fed or (column and _value(column, value) is not None):
                continue
            said = f"={value!r}" if column and isinstance(value, str) else ""
            found.append(f"{name}.{key}{said}" if name else f"{key}{said}")
    return found


def merge(row: Mapping[str, Any], before: Document | None = None, *, keep_facts: bool = True) -> Document:
    """The metadata object to release for a row, over the one that came in.

    Every key of `before` stays, with its value unless the workspace now knows another one for the column it
    gave; columns that no key gave are added where they belong.

    Args:
        row: Columns of `schema.METADATA`; null and absent ones are left out.
        before: The object that was imported.
        keep_facts: Let stand what `before` says of the file itself (`FACTS`), since it is that same file.
    """
    document = published(copy.deepcopy(before or {}))
    document.setdefault(DISCLOSURE, True)
    document.setdefault(VERSION_KEY, schema.VERSION)
    fed = _fed(document)
    for name, column in _layout():
        value = row.get(column)
        if value is None:
            continue
        if column in fed:
            place, key, old = fed[column]
            if not (keep_facts and column in FACTS) and not _same(column, old, value):
                place[key] = _plain(column, value)
        elif not (column in FROM_PATH and column in document):
            _put(document, name, column, _plain(column, value))
    if any(row.get(column) is not None for column in _PERCEIVED):
        document.setdefault(PERCEIVED_KEY, "gender, age and race are a classifier's impression, not self-reported")
    return document


def dumps(document: Document) -> bytes:
    """The bytes of a metadata file: the same object gives the same bytes."""
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")


def _layout() -> Iterator[tuple[str | None, str]]:
    """(object, column) in the order in which a fresh file has them; None is the top."""
    top = ("emotion", "subject_id", "sequence", "split", *FACTS, "caption", "caption_json", "captioner", "action_units")
    yield from ((None, column) for column in top)
    places = {"plan": "generation", "generate": "generation", "tag": PERCEIVED, "score": "scores"}
    for column in _READ:
        if column not in top and column not in schema.UNPUBLISHED:
            yield places[schema.OWNER[column]], column


def _places(document: Document) -> Iterator[tuple[str, Document]]:
    """Where columns may stand, first to count first: our own object, the top, then the known objects."""
    for name in (FALLBACK, "", *_OBJECTS[1:]):
        place = document.get(name) if name else document
        if isinstance(place, dict):
            yield name, place


def _fed(document: Document) -> dict[str, tuple[Document, str, Any]]:
    """Column -> the object and key that gave it, and its value."""
    found: dict[str, tuple[Document, str, Any]] = {}
    for _, place in _places(document):
        for key, raw in place.items():
            column = _NAMES.get(key)
            if column and column not in found and (value := _value(column, raw)) is not None:
                found[column] = (place, key, value)
    return found


def published(document: Document) -> Document:
    """The object without what is never published, at any of its known places; changed in place."""
    for _, place in _places(document):
        for name in schema.UNPUBLISHED:
            place.pop(name, None)
    return document


def _put(document: Document, name: str | None, column: str, value: Any) -> None:
    key = _RELEASED.get(column, column)
    place = document if name is None else document.setdefault(name, {})
    if not isinstance(place, dict) or key in place:
        place = document.setdefault(FALLBACK, {})
    place[key] = value


def _same(column: str, old: Any, new: Any) -> bool:
    kind = schema.METADATA.field(column).type
    return bool(pa.scalar(old, kind).equals(pa.scalar(new, kind)))


def _plain(column: str, value: Any) -> Any:
    """A column's value as JSON: no infinities, no empty probabilities, the caption's JSON as an object."""
    if column == "caption_json" and isinstance(value, str):
        return _nested(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _nested(text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, dict | list) and json.dumps(value, ensure_ascii=False) == text else text


def _value(column: str, raw: Any) -> Any:
    """`raw` as a value of `column`; None where it is none."""
    return _READERS[column](raw) if raw is not None else None


def _integer(bits: int) -> Callable[[Any], int | None]:
    def reader(raw: Any) -> int | None:
        number = _number(raw)
        if isinstance(raw, int) and not isinstance(raw, bool):
            whole = raw  # a seed has more digits than a float
        elif number is not None and number.is_integer():
            whole = int(number)
        else:
            return None
        return whole if -(2 ** (bits - 1)) <= whole < 2 ** (bits - 1) else None

    return reader


def _number(raw: Any) -> float | None:
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        return None
    try:
        return float(raw)
    except (ValueError, OverflowError):
        return None


def _text(raw: Any) -> str | None:
    if not isinstance(raw, str):
        return None
    try:
        raw.encode()
    except UnicodeEncodeError:
        return None
    return raw


def _flag(raw: Any) -> bool | None:
    return raw if isinstance(raw, bool) else None


def _label(labels: tuple[str, ...]) -> Callable[[Any], str | None]:
    def reader(raw: Any) -> str | None:
        word = raw.strip().lower().replace("_", " ") if isinstance(raw, str) else ""
        return next((w for w in (word, _WORDS.get(word)) if w in labels), None)

    return reader


def _probabilities(labels: list[str]) -> Callable[[Any], dict[str, float | None] | None]:
    def reader(raw: Any) -> dict[str, float | None] | None:
        if not isinstance(raw, dict) or not set(raw) & set(labels):
            return None
        return {label: _number(raw.get(label)) for label in labels}

    return reader


def _list(item: Callable[[Any], Any]) -> Callable[[Any], list[Any] | None]:
    def reader(raw: Any) -> list[Any] | None:
        values = [item(value) for value in raw] if isinstance(raw, list) else [None]
        return None if None in values else values

    return reader


def _units(raw: Any) -> list[dict[str, Any]] | None:
    """Action units as objects, or as notation: "4+R12B", ["AU4", "R12B"], [4, 12]."""
    try:
        if isinstance(raw, list) and all(isinstance(unit, dict) for unit in raw):
            return [action_units.ActionUnit.from_dict(unit).to_dict() for unit in raw]
        text = "+".join(map(str, raw)) if isinstance(raw, list) else raw
        return [unit.to_dict() for unit in action_units.parse(text)] if isinstance(text, str) else None
    except (EquimeError, TypeError, ValueError, OverflowError):
        return None


def _caption_json(raw: Any) -> str | None:
    return _text(json.dumps(raw, ensure_ascii=False) if isinstance(raw, dict | list) else raw)


def _reader(field: pa.Field) -> Callable[[Any], Any]:
    kind = field.type
    if field.name in schema.LABELS:
        return _label(schema.LABELS[field.name])
    if pa.types.is_integer(kind):
        return _integer(kind.bit_width)
    if pa.types.is_floating(kind):
        return _number
    if pa.types.is_boolean(kind):
        return _flag
    if pa.types.is_struct(kind):
        return _probabilities([child.name for child in kind])
    if pa.types.is_list(kind):
        return _units if kind.value_type == schema.ACTION_UNIT else _list(_list_item(kind.value_type))
    return _caption_json if field.name == "caption_json" else _text


def _list_item(kind: pa.DataType) -> Callable[[Any], Any]:
    return _number if pa.types.is_floating(kind) else _text


_READERS: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {field.name: _reader(field) for field in schema.METADATA}
)
