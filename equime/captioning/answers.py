"""A model's answer, read into the structure of a caption, or why it cannot be.

What: `read` finds the JSON object that was asked for, in a code fence or amid prose, with the small faults that models
make; without one it looks for units named in the prose. Why: what a model says it sees is only of use once it is units,
sides and times that can be held against a plan; and what cannot be read must say so, not count as "saw nothing".

    read('```json {"action_units": ["AU 12 (left)"], "emotion": "happy"}```').units      # L12

Units that FACS does not have, and numbers that go with another unit's name, are left out and listed. The emotion is the
model's word for what is shown, not a felt emotion.
"""

from __future__ import annotations

import ast
import contextlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from equime.action_units import NAMES, ActionUnit
from equime.action_units import parse as parse_notation
from equime.captioning.mentions import INTENSITY_WORDS, SIDE_WORDS, mentions
from equime.captioning.templates import units_in
from equime.errors import EquimeError

LABELS: Mapping[str, tuple[str, ...]] = {
    "happiness": ("happy", "joy", "joyful"),
    "sadness": ("sad",),
    "surprise": ("surprised",),
    "fear": ("fearful", "afraid", "scared"),
    "anger": ("angry",),
    "disgust": ("disgusted",),
}
NO_EMOTION = ("", "none", "neutral", "null", "no emotion", "unknown", "unclear", "n/a")
UNIT_KEYS = ("action_units", "actionunits", "aus", "facs_action_units", "units")
KEYS = ("caption", "emotion", *UNIT_KEYS, "onset_ms", "apex_ms", "offset_ms")
LONGEST_WORD = 60
ATTEMPTS = 200
"""Brackets at which an object may begin, looked at: an answer of nothing but brackets would take minutes."""
_BEGUN = re.compile(rf"{{\s*[\"'](?:{'|'.join(KEYS)})[\"']\s*:", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """What a model said of a clip; None is what it did not say.

    Attributes:
        caption: Its sentences.
        emotion: A label of the data set where its word is one or a form of one, else the word itself.
        units: Each once, in the order told; empty where it says that nothing moves.
        onset_ms: From the clip's start.
        apex_ms: Likewise.
        offset_ms: Likewise.
        unknown: What it named as units and FACS does not have, or has under another number.
    """

    caption: str | None = None
    emotion: str | None = None
    units: tuple[ActionUnit, ...] | None = None
    onset_ms: float | None = None
    apex_ms: float | None = None
    offset_ms: float | None = None
    unknown: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The keys of `equime.captioning.templates.caption_json`."""
        told = None if self.units is None else [{"au": u.au, "name": u.name, **_signs(u)} for u in self.units]
        return {
            "emotion": self.emotion,
            "action_units": told,
            "onset_ms": self.onset_ms,
            "apex_ms": self.apex_ms,
            "offset_ms": self.offset_ms,
            "caption": self.caption,
        }


def read(text: str, slowdown: int = 1) -> Answer:
    """Read a model's answer.

    Args:
        text: As it came.
        slowdown: How many times slower than it is the model was told that the clip runs.

    Raises:
        EquimeError: No JSON object and no unit in it, only units that FACS does not have, or an object of nulls.
    """
    said = re.sub(r"<think>.*?</think>", " ", text, flags=re.DOTALL)
    found = _object(said)
    if found is None and _BEGUN.search(said):
        raise EquimeError("the model's JSON object does not end or is broken; raise --max-new-tokens if it was cut off")
    answer = _of_prose(said) if found is None else _of_object(found, slowdown)
    if answer.unknown and not answer.units:
        raise EquimeError(f"the model names no unit of FACS: {', '.join(answer.unknown)[:200]}")
    if answer == Answer():
        got = "none, and no action unit named" if found is None else "only nulls"
        raise EquimeError(f"expected a JSON object in the model's answer, got {got}")
    return answer


def _signs(unit: ActionUnit) -> dict[str, str | None]:
    return {"side": unit.side, "intensity": unit.intensity}


def _of_prose(text: str) -> Answer:
    units, unknown = mentions(text, prose=True)
    exact = units_in(text)
    if not units and not unknown and not exact:
        return Answer()
    words = {
        label for label, forms in LABELS.items() for word in (label, *forms) if re.search(rf"\b{word}\b", text, re.I)
    }
    emotion = words.pop() if len(words) == 1 else None
    return Answer(_clean(text), emotion, _once(exact or units), unknown=tuple(unknown))


def _of_object(found: Mapping[str, Any], slowdown: int) -> Answer:
    caption = found.get("caption")
    caption = _clean(caption) if isinstance(caption, str) and caption.strip() else None
    key = next((key for key in UNIT_KEYS if found.get(key) is not None), None)
    units: tuple[ActionUnit, ...] | None = None
    unknown: list[str] = []
    if key is not None:
        told, unknown = _units(found[key])
        units = _once(told)
    elif caption:
        named, unknown = mentions(caption, prose=True)
        units = _once(units_in(caption) or named) or None
    onset, apex, offset = (_milliseconds(found, name, slowdown) for name in ("onset", "apex", "offset"))
    return Answer(caption, _emotion(found.get("emotion")), units, onset, apex, offset, tuple(unknown))


def _units(value: Any) -> tuple[list[ActionUnit], list[str]]:
    """Units of a JSON value: a list of objects, texts or numbers, one text, or an object by unit."""
    if isinstance(value, Mapping):
        value = [value] if "au" in value or "name" in value else [_keyed(k, v) for k, v in value.items()]
    units: list[ActionUnit] = []
    unknown: list[str] = []
    for item in value if isinstance(value, list) else [value]:
        told, other = _of_item(item)
        units += told
        unknown += other
    return units, unknown


def _keyed(name: str, value: Any) -> dict[str, Any]:
    """{"AU12": "B"} as an object of its own."""
    return {"au": name, **value} if isinstance(value, Mapping) else {"au": name, "intensity": value}


def _of_item(item: Any) -> tuple[list[ActionUnit], list[str]]:
    if isinstance(item, Mapping):
        return _of_mapping({_key(k): v for k, v in item.items()})
    if isinstance(item, str):
        return _of_text(item)
    number = _number(item)
    return ([ActionUnit(number)], []) if number in NAMES else ([], [_word(item)])


def _of_text(text: str) -> tuple[list[ActionUnit], list[str]]:
    if text.strip().lower() in NO_EMOTION:
        return [], []
    try:
        return list(parse_notation(text)), []
    except EquimeError:
        units, unknown = mentions(f"AU {text}" if text.strip()[:1].isdigit() else text)
        return (units, unknown) if units or unknown else ([], [_word(text)])


def _of_mapping(item: Mapping[str, Any]) -> tuple[list[ActionUnit], list[str]]:
    """One unit as an object. Its own side and intensity count before those in its texts."""
    said = [item[k] for k in ("au", "action_unit", "unit", "number", "code", "name") if item.get(k) not in (None, "")]
    read_units = [_of_item(value) for value in said if not isinstance(value, Mapping)]
    units = [unit for told, _ in read_units for unit in told]
    if not units or len({unit.au for unit in units}) > 1:
        return [], [" ".join(_word(value) for value in said) or "an object without a number"]
    intensity, side = item.get("intensity"), item.get("side", item.get("laterality"))
    if intensity in (0, "0"):
        return [], []  # how some say that a unit is absent
    letter = INTENSITY_WORDS.get(str(intensity).strip().lower())
    sides = [SIDE_WORDS.get(re.sub(r"^(the )?(subject'?s )?| side$", "", str(side).strip().lower()))]
    sides += [unit.side for unit in units if unit.side != "B"]
    letters = [letter, *(unit.intensity for unit in units)]
    return [
        ActionUnit(units[0].au, next(filter(None, sides), "B"), next(filter(None, letters), None)),
    ], []


def _emotion(value: Any) -> str | None:
    if not isinstance(value, str) or value.strip().lower() in NO_EMOTION:
        return None
    word = _word(value).lower()
    return next((label for label, forms in LABELS.items() if word in (label, *forms)), word)


def _milliseconds(found: Mapping[str, Any], name: str, slowdown: int) -> float | None:
    value, scale = found.get(f"{name}_ms"), 1.0
    if value is None:
        value, scale = found.get(f"{name}_s"), 1000.0
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|milliseconds?|s|sec|seconds?)?\s*", value)
        if match is None:
            return None
        scale = {None: scale, "m": 1.0, "s": 1000.0}[match[2] and match[2][0]]
        value = float(match[1])
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        return None
    return float(value) * scale / slowdown


def _number(value: Any) -> int | None:
    whole = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return int(value) if whole and value == int(value) else None


def _object(text: str) -> dict[str, Any] | None:
    """The last object in a text that has a key of ours; a list of units counts as one."""
    found = None
    for value in _values(text):
        if isinstance(value, list) and value and all(_is_unit(item) for item in value):
            found = {"action_units": value}
        elif isinstance(value, Mapping) and (keyed := {_key(k): v for k, v in value.items()}).keys() & set(KEYS):
            found = keyed
    return found


def _is_unit(item: Any) -> bool:
    if isinstance(item, Mapping):
        return any(_key(k) in ("au", "action_unit", "name") for k in item)
    return isinstance(item, str) and any(mentions(item))


def _key(name: object) -> str:
    return re.sub(r"[\s-]+", "_", str(name).strip().lower())


def _values(text: str) -> Iterator[Any]:
    """Each outermost JSON object or list of a text; inside those that are none of ours, the inner ones too."""
    at = 0
    for _ in range(ATTEMPTS):
        if (opened := re.compile(r"[{\[]").search(text, at)) is None:
            return
        value, end = _decoded(text, opened.start())
        ours = isinstance(value, Mapping) and {_key(k) for k in value} & set(KEYS)
        if value is not None:
            yield value
        at = end if ours or isinstance(value, list) else opened.end()


def _decoded(text: str, start: int) -> tuple[Any, int]:
    """The value that starts here and where it ends: JSON, or what is nearly JSON. (None, start) where none does."""
    with contextlib.suppress(ValueError, RecursionError):
        value, after = json.JSONDecoder().raw_decode(text, start)
        return value, after
    if (end := _closed(text, start)) is None:
        return None, start
    part = re.sub(r",\s*([}\]])", r"\1", text[start:end].translate({0x201C: '"', 0x201D: '"'}))
    for decode in (json.loads, ast.literal_eval):
        try:
            return decode(part), end
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return None, start


def _closed(text: str, start: int) -> int | None:
    """Where the bracket that opens here closes, strings not looked into."""
    depth = 0
    for match in re.compile(r"[{}\[\]]").finditer(text, start):
        depth += 1 if match[0] in "{[" else -1
        if depth == 0:
            return match.end()
    return None


def _once(units: list[ActionUnit]) -> tuple[ActionUnit, ...]:
    return tuple(dict.fromkeys(units))


def _clean(text: str) -> str:
    """Without half surrogates, which no file can hold, and without white space around."""
    return text.encode(errors="replace").decode().strip()


def _word(value: Any) -> str:
    return _clean(" ".join(str(value).split()))[:LONGEST_WORD]
