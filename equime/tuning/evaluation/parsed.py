"""What an answer says, whatever it is worded like: units, emotion, times, yes or no, left or right.

    parse(example, "The left lip corner is pulled up slightly (lip corner puller).").units      # {12: L12B}

Why: an answer is right by what it says of the face, not by its words; and what cannot be read must be told from what
says that nothing moves. Units are read as `equime.captioning.answers` reads captions, each unit once: left and right
told apart are both. Emotions are the *intended* programme, never a felt one.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from equime.action_units import ActionUnit
from equime.captioning.answers import LABELS, read
from equime.captioning.mentions import mentions
from equime.errors import EquimeError
from equime.tuning.example import Example

TIMES: Final = ("onset", "apex", "offset")
COARSE: Final = {"positive": ("positive",), "negative": ("negative",), "surprise": ("surprise", "surprised")}
"""ME-VQA's three classes."""
BLINK: Final = 45
OF_UNITS: Final = ("units", "unit", "joint")
"""Kinds of question whose answer names units."""
_NOTHING: Final = re.compile(
    r"\b(?:neutral|at rest|nothing (?:moves|changes)|none"
    r"|no (?:facial |visible )*(?:action units?|AUs?|AU\d+|expressions?|movements?|motion))\b",
    re.IGNORECASE,
)
_SIDE: Final = re.compile(r"\b(left|right|both|bilateral)", re.IGNORECASE)
_YES: Final = re.compile(r"\b(yes|no)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Parsed:
    """What an answer says.

    Attributes:
        units: By number, none twice; empty also where nothing could be read; no blink that was not planned.
        emotion: A label of the data set, or of `COARSE` where that was asked; None where it says none, or several.
        times: Milliseconds from the clip's start, of those of `TIMES` that it tells.
        word: "yes" or "no", "left", "right" or "both", where that was asked.
        read: Whether it says anything of what was asked: naming units, or that nothing moves.
        strict: Whether all of it is one JSON object with a list of units.
        mended: Whether a JSON object could be read from it, small faults mended.
    """

    units: Mapping[int, ActionUnit] = field(default_factory=dict)
    emotion: str | None = None
    times: Mapping[str, float] = field(default_factory=dict)
    word: str | None = None
    read: bool = False
    strict: bool = False
    mended: bool = False


@dataclass(frozen=True)
class Said:
    """An answer that was given.

    Attributes:
        example: To which question, of which clip.
        condition: What the model was shown: "seen", "blind", "shuffled", "constant", "captions".
        text: As it came.
        shown: Whose video that was; None without one.
    """

    example: Example
    condition: str
    text: str
    shown: str | None = None

    @cached_property
    def parsed(self) -> Parsed:
        """What it says."""
        return parse(self.example, self.text)


def parse(example: Example, text: str) -> Parsed:
    """Read an answer.

    Args:
        example: What was asked.
        text: As it came; anything.
    """
    if example.task == "question":
        return _of_question(example, text)
    units: Iterable[ActionUnit] | None = None
    emotion, times = labelled(text, LABELS), {}
    mended = False
    with contextlib.suppress(EquimeError):
        found = read(text)
        units, mended = found.units, found.units is not None and "{" in text
        emotion = found.emotion if mended else found.emotion or emotion
        told = {name: getattr(found, f"{name}_ms") for name in TIMES}
        times = {name: value for name, value in told.items() if value is not None}
    heard = units is not None or bool(_NOTHING.search(text))
    return Parsed(_asked_for(units or (), example), emotion, times, read=heard, strict=_strict(text), mended=mended)


def once(units: Iterable[ActionUnit]) -> dict[int, ActionUnit]:
    """Units by number: of one that is told twice the sides together, and the stronger intensity."""
    found: dict[int, ActionUnit] = {}
    for unit in units:
        held = found.get(unit.au, unit)
        side = unit.side if held.side == unit.side else "B"
        found[unit.au] = ActionUnit(unit.au, side, max(filter(None, (held.intensity, unit.intensity)), default=None))
    return found


def labelled(text: str, labels: Mapping[str, Iterable[str]]) -> str | None:
    """The only label of which a text holds a word; None without one, or with several."""
    found = [
        label
        for label, words in labels.items()
        if any(re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE) for word in (label, *words))
    ]
    return found[0] if len(found) == 1 else None


def _of_question(example: Example, text: str) -> Parsed:
    kind = example.kind
    if kind in ("present", "side"):
        found = (_YES if kind == "present" else _SIDE).search(text)
        word = found[1].lower().replace("bilateral", "both") if found else None
        return Parsed(word=word, read=word is not None)
    emotion = labelled(text, COARSE if kind == "coarse" else LABELS)
    if kind not in OF_UNITS:
        return Parsed(emotion=emotion, read=bool(emotion or _NOTHING.search(text)))
    named = mentions(text)[0]
    return Parsed(_asked_for(named, example), emotion, read=bool(named or _NOTHING.search(text)))


def _asked_for(units: Iterable[ActionUnit], example: Example) -> dict[int, ActionUnit]:
    """Units once, without a blink that nobody planned: eyes blink in any clip, and to say so is no mistake."""
    found = once(units)
    if BLINK not in {unit.au for unit in example.truth.units}:
        found.pop(BLINK, None)
    return found


def _strict(text: str) -> bool:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and isinstance(value.get("action_units"), list)
