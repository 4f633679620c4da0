"""Classes of an expression: three by MEGC2019, five by this package, seven by action units alone.

>>> three("repression"), five("Happy"), objective(parse("R12+6"))
('negative', 'happiness', 'I')

What a clip is called is what its coder or subject took it for; the objective classes follow the action units only
(Davison, Merghani and Yap 2018, arXiv 1708.07549), so that they mean the same in every set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from equime.action_units import Coding, parse
from equime.schema import EMOTIONS

_WORDS: Final[Mapping[str, str]] = {
    "happy": "happiness",
    "joy": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
    "fearful": "fear",
    "angry": "anger",
    "disgusted": "disgust",
}
THREE_OF: Final[Mapping[str, str]] = {
    "happiness": "positive",
    "positive": "positive",
    "surprise": "surprise",
    **dict.fromkeys(("disgust", "repression", "anger", "contempt", "fear", "sadness", "negative"), "negative"),
}
"""MEGC2019's mapping; whatever is not here belongs to no class."""
OBJECTIVE_OF: Final[Mapping[str, str]] = {
    "I": "6, 12, 6+12, 6+7+12, 7+12",
    "II": "1+2, 5, 25, 1+2+25, 25+26, 5+24",
    "III": "23, 4, 4+7, 4+5, 4+5+7, 17+24, 4+6+7, 4+38",
    "IV": "10, 9, 4+9, 4+40, 4+5+40, 4+7+9, 4+9+17, 4+7+10, 4+5+7+9, 7+10",
    "V": "1, 15, 1+4, 6+15, 15+17",
    "VI": "1+2+4, 20",
}
"""Davison's table: the combinations of each class; every other one is class VII."""
_CLASS_OF: Final[Mapping[frozenset[int], str]] = {
    parse(units).numbers: name for name, several in OBJECTIVE_OF.items() for units in several.split(", ")
}


def plain(emotion: str) -> str:
    """The name of an emotion in small letters and as a noun: "Happy" is "happiness"."""
    word = emotion.strip().lower()
    return _WORDS.get(word, word)


def three(emotion: str | None) -> str | None:
    """The class of MEGC2019; None where there is none, or where two emotions are named that are of two classes."""
    classes = {THREE_OF.get(word) for word in _parted(emotion)}
    return classes.pop() if len(classes) == 1 else None


def five(emotion: str | None) -> str | None:
    """One of `equime.schema.EMOTIONS`, or None."""
    words = set(_parted(emotion))
    word = words.pop() if len(words) == 1 else ""
    return word if word in EMOTIONS else None


def objective(coding: Coding) -> str | None:
    """The objective class of the units (of alternatives, those written first), side and intensity dropped.

    None where no unit is coded, or where the coder left some open.
    """
    numbers = frozenset(unit.au for unit in coding.units)
    return _CLASS_OF.get(numbers, "VII") if numbers and coding.complete else None


def _parted(emotion: str | None) -> list[str]:
    words = re.split(r"[,;/&+，、；]|\band\b", emotion or "")
    return [plain(word) for word in words if word.strip()]
