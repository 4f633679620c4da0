"""Action units of the Facial Action Coding System (FACS): names, regions, sides, notation.

What: `ActionUnit` (number, side, intensity), the dictionary (`NAMES`, `MUSCLE`, `CUE`, `REGION`),
and the notation that the coded data sets use ("4+R12B"), read by `parse`, written by `format`.
Why: every other module names a unit by these numbers and sides, and a substring test ('1' in '12')
is how unit counts go wrong in this field, so texts are tokenised once, here.

    python -c "from equime.action_units import parse; print(parse('(R6 or R12)+R15B').terms)"

Sides are the *subject's own* left and right. Names and muscles follow FACS (Ekman, Friesen and
Hager 2002); the cues are our own wording.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import total_ordering
from itertools import product
from typing import Any, Literal, NamedTuple

from equime.errors import EquimeError

Side = Literal["L", "R", "B", "U"]

SIDES: tuple[Side, ...] = ("L", "R", "B", "U")
"""Subject's left, subject's right, both, and one side that the coder did not say."""
INTENSITIES = "ABCDE"
"""FACS intensity letters in order: trace, slight, marked, severe, maximum."""
REGIONS = ("brow", "lid", "nose", "mouth", "chin")
"""The face regions by which units are grouped (head, gaze and neck codes have none of them)."""


class Facs(NamedTuple):
    """One entry of the FACS dictionary."""

    name: str
    region: str
    muscle: str = ""
    cue: str = ""


# fmt: off
FACS: dict[int, Facs] = {
    1: Facs("Inner Brow Raiser", "brow", "frontalis, medial part",
            "the inner ends of the brows rise"),
    2: Facs("Outer Brow Raiser", "brow", "frontalis, lateral part",
            "the outer part of the brow arches up"),
    4: Facs("Brow Lowerer", "brow", "corrugator supercilii", "the brows drop and draw together"),
    5: Facs("Upper Lid Raiser", "lid", "levator palpebrae superioris",
            "the upper lid lifts and the eye widens"),
    6: Facs("Cheek Raiser", "lid", "orbicularis oculi, orbital part",
            "the cheek lifts towards the eye"),
    7: Facs("Lid Tightener", "lid", "orbicularis oculi, palpebral part",
            "the lower lid straightens and the eye narrows"),
    8: Facs("Lips Toward Each Other", "mouth", "orbicularis oris",
            "the lips close in on one another"),
    9: Facs("Nose Wrinkler", "nose", "levator labii superioris alaeque nasi",
            "the root of the nose wrinkles and its wings rise"),
    10: Facs("Upper Lip Raiser", "mouth", "levator labii superioris",
             "the upper lip is drawn straight up"),
    11: Facs("Nasolabial Deepener", "mouth", "zygomaticus minor",
             "the middle of the nasolabial fold deepens"),
    12: Facs("Lip Corner Puller", "mouth", "zygomaticus major", "the lip corner goes up and out"),
    13: Facs("Sharp Lip Puller", "mouth", "levator anguli oris",
             "the lip corner is pulled sharply up"),
    14: Facs("Dimpler", "mouth", "buccinator", "the lip corner tightens and turns inward"),
    15: Facs("Lip Corner Depressor", "mouth", "depressor anguli oris", "the lip corner turns down"),
    16: Facs("Lower Lip Depressor", "mouth", "depressor labii inferioris",
             "the lower lip is drawn down"),
    17: Facs("Chin Raiser", "chin", "mentalis", "the chin boss pushes up"),
    18: Facs("Lip Pucker", "mouth", "incisivii labii, orbicularis oris",
             "the lips draw in to the centre"),
    19: Facs("Tongue Show", "mouth", "", "the tongue shows"),
    20: Facs("Lip Stretcher", "mouth", "risorius, platysma", "the lips stretch sideways"),
    21: Facs("Neck Tightener", "neck", "platysma", "cords show in the neck"),
    22: Facs("Lip Funneler", "mouth", "orbicularis oris", "the lips turn out into a funnel"),
    23: Facs("Lip Tightener", "mouth", "orbicularis oris", "the lips tighten and narrow"),
    24: Facs("Lip Pressor", "mouth", "orbicularis oris", "the lips press together"),
    25: Facs("Lips Part", "mouth", "orbicularis oris relaxed", "a gap opens between the lips"),
    26: Facs("Jaw Drop", "chin", "masseter relaxed", "the jaw falls"),
    27: Facs("Mouth Stretch", "chin", "pterygoids, digastric", "the mouth is pulled wide open"),
    28: Facs("Lip Suck", "mouth", "orbicularis oris", "the lips roll in over the teeth"),
    29: Facs("Jaw Thrust", "chin", "pterygoids", "the jaw comes forward"),
    30: Facs("Jaw Sideways", "chin", "pterygoids", "the jaw moves to one side"),
    31: Facs("Jaw Clencher", "chin", "masseter", "the edge of the jaw bulges"),
    32: Facs("Lip Bite", "mouth", "", "the teeth catch the lip"),
    33: Facs("Cheek Blow", "mouth", "", "the cheeks swell as air goes out"),
    34: Facs("Cheek Puff", "mouth", "", "the cheeks swell with air"),
    35: Facs("Cheek Suck", "mouth", "", "the cheeks are drawn in"),
    36: Facs("Tongue Bulge", "mouth", "", "the tongue pushes out the cheek or lip"),
    37: Facs("Lip Wipe", "mouth", "", "the tongue passes over the lips"),
    38: Facs("Nostril Dilator", "nose", "nasalis, alar part", "the nostrils widen"),
    39: Facs("Nostril Compressor", "nose", "nasalis, transverse part", "the nostrils narrow"),
    40: Facs("Sniff", "nose", "", "air is drawn in through the nose"),
    41: Facs("Lid Droop", "lid", "levator palpebrae superioris relaxed", "the upper lid sinks"),
    42: Facs("Slit", "lid", "orbicularis oculi", "the eye narrows to a slit"),
    43: Facs("Eye Closure", "lid", "levator palpebrae superioris relaxed",
             "the eye shuts for half a second or more"),
    44: Facs("Squint", "lid", "orbicularis oculi", "the eye is screwed up"),
    45: Facs("Blink", "lid", "levator palpebrae relaxed, orbicularis oculi",
             "the eye shuts and opens at once"),
    46: Facs("Wink", "lid", "orbicularis oculi", "one eye shuts on purpose"),
    51: Facs("Head Turn Left", "head"),
    52: Facs("Head Turn Right", "head"),
    53: Facs("Head Up", "head"),
    54: Facs("Head Down", "head"),
    55: Facs("Head Tilt Left", "head"),
    56: Facs("Head Tilt Right", "head"),
    57: Facs("Head Forward", "head"),
    58: Facs("Head Back", "head"),
    61: Facs("Eyes Turn Left", "gaze"),
    62: Facs("Eyes Turn Right", "gaze"),
    63: Facs("Eyes Up", "gaze"),
    64: Facs("Eyes Down", "gaze"),
    65: Facs("Walleye", "gaze"),
    66: Facs("Cross-eye", "gaze"),
}
# fmt: on
"""The dictionary. A unit's region is where its *visible displacement* is largest: the cheek raiser
(6) is told by the lower lid, the upper lip raiser (10) by the edge of the lip (the nose wings rise
less), the jaw drop (26) by the chin."""

NAMES: dict[int, str] = {au: entry.name for au, entry in FACS.items()}
MUSCLE: dict[int, str] = {au: entry.muscle for au, entry in FACS.items() if entry.muscle}
CUE: dict[int, str] = {au: entry.cue for au, entry in FACS.items() if entry.cue}
REGION: dict[int, str] = {au: entry.region for au, entry in FACS.items()}

_MIRRORED: dict[Side, Side] = {"L": "R", "R": "L", "B": "B", "U": "U"}


@total_ordering
@dataclass(frozen=True)
class ActionUnit:
    """One coded unit: a FACS number, the subject's own side, an intensity letter (None: not coded).

    Ordered by number, then side, then intensity (None first).

    Raises:
        EquimeError: the number is no FACS unit, or the side or the letter is unknown.
    """

    au: int
    side: Side = "B"
    intensity: str | None = None

    def __post_init__(self) -> None:
        """Refuse what FACS does not know."""
        if self.au not in FACS:
            raise EquimeError(f"expected a FACS action unit number, got {self.au = }; see action_units.NAMES")
        if self.side not in SIDES:
            raise EquimeError(f"expected side L, R, B (both) or U (one, unsaid), got {self.side = }; correct it")
        if self.intensity is not None and self.intensity not in tuple(INTENSITIES):
            raise EquimeError(f"expected an intensity letter A to E or None, got {self.intensity = }; correct it")

    def __lt__(self, other: object) -> bool:
        """Order by number, side, intensity."""
        if not isinstance(other, ActionUnit):
            return NotImplemented
        return self._key < other._key

    def __str__(self) -> str:
        """The unit in notation, such as ``R12B``."""
        side = "" if self.side == "B" else self.side
        return f"{side}{self.au}{self.intensity or ''}"

    @property
    def _key(self) -> tuple[int, str, str]:
        return self.au, self.side, self.intensity or ""

    @property
    def name(self) -> str:
        """The FACS name, such as "Lip Corner Puller"."""
        return NAMES[self.au]

    @property
    def region(self) -> str:
        """Where it shows: brow, lid, nose, mouth or chin (or neck, head, gaze)."""
        return REGION[self.au]

    def mirror(self) -> ActionUnit:
        """The same unit in a clip flipped left to right."""
        return ActionUnit(self.au, _MIRRORED[self.side], self.intensity)

    def to_dict(self) -> dict[str, Any]:
        """``{"au": int, "side": str, "intensity": str | None}``, as the tables hold it."""
        return {"au": self.au, "side": self.side, "intensity": self.intensity}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> ActionUnit:
        """The inverse of `to_dict`; raises `EquimeError` where ``au`` is missing or unknown."""
        if not isinstance(value, Mapping) or isinstance(value.get("au"), bool | str | None):
            raise EquimeError(
                f"expected {{'au': 12, 'side': 'B', 'intensity': 'B'}} or the like, got {value = };"
                " see ActionUnit.to_dict"
            )
        return cls(int(value["au"]), value.get("side") or "B", value.get("intensity"))


Alternative = tuple[ActionUnit, ...]
Term = tuple[Alternative, ...]


@dataclass(frozen=True)
class Coding:
    """What a coder wrote for one clip.

    Iterating gives the units of the first reading, in the order written.

    Attributes:
        terms: what holds together; each term is its alternatives (mostly one), each of these a
            tuple of units. So "(R6 or R12)+R15" has two terms, the first with two alternatives.
        complete: False where the text says that something is open ("?", "…", "/").
    """

    terms: tuple[Term, ...] = ()
    complete: bool = True

    def __iter__(self) -> Iterator[ActionUnit]:
        """Units of the first reading."""
        return (unit for term in self.terms for unit in term[0])

    def __len__(self) -> int:
        """Number of units in the first reading."""
        return sum(1 for _ in self)

    @property
    def units(self) -> tuple[ActionUnit, ...]:
        """Units of the first reading: of alternatives, the one that the coder wrote first."""
        return tuple(self)

    @property
    def numbers(self) -> frozenset[int]:
        """Unit numbers over all alternatives, each once, as the packaged tables count them."""
        return frozenset(unit.au for term in self.terms for option in term for unit in option)

    def readings(self) -> list[tuple[ActionUnit, ...]]:
        """Every combination of the alternatives, the first reading first."""
        choices = product(*self.terms)
        return [tuple(unit for option in choice for unit in option) for choice in choices]


_TOKEN = re.compile(
    r"""\s*(?:
      (?P<note>\(\s*k\s*\))         # a remark of 4DME's coders
    | (?P<open>(?:ref\s*)?\()       # ref(7B): coded against the reference frame
    | (?P<close>\))
    | (?P<or>or\b|\||/)
    | (?P<gap>\?|…|\.\.\.)
    | (?P<join>[+,;&\uff0c\u3001\uff1b]|and\b)
    | (?P<unit>(?:AU\s*)?[LRUABT]?(?:AU\s*)?\d+[A-E]?[LR]?(?![A-Za-z0-9]))
    | (?P<bad>[^\s+,;&()\uff0c\u3001\uff1b]+)
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_UNIT = re.compile(r"(?:AU\s*)?([LRUABT]?)(?:AU\s*)?(\d+)([A-E]?)([LR]?)", re.IGNORECASE)
_WRITTEN: dict[str, Side] = {"L": "L", "R": "R", "U": "U"}
_NO_UNIT = ("", "or", "close", "join")
_NOTHING = {"", "0", "-", "none", "nan", "null", "n/a"}


def parse(text: str | float | None) -> Coding:
    """Read the action units of a coded clip, as the public data sets write them.

    Grammar: units joined by ``+`` (also a Latin or Chinese comma, ``;``, ``&``, "and", a space);
    "or" and ``/`` part alternatives and bind looser than ``+``; parentheses group; ``ref(7B)`` is
    7B; a unit is an optional "AU", a side (L, R, U one side; A asymmetric, T or B upper or lower
    lip, and these three therefore both sides; L and R also stand behind), the number, an intensity
    letter. ``?`` and ``…`` stand for units left open. Empty, "0", "-" and NaN are no units; a lone
    ``/`` or ``?`` is a coding that is missing.

    Args:
        text: the cell, as text, as the number a spreadsheet made of it, or None.

    Returns:
        The `Coding`; `Coding.units` is a plain tuple of the units.

    Raises:
        EquimeError: a token is no unit; the message names it.
    """
    if text is None or (isinstance(text, float) and math.isnan(text)):
        return Coding()
    if not isinstance(text, str):
        text = f"{text:.15g}"
    if text.strip().lower() in _NOTHING:
        return Coding()
    if text.strip() in ("/", "?"):
        return Coding(complete=False)
    return _Parser(text).coding()


class _Parser:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        found = _TOKEN.finditer(text)
        self.tokens = [(match.lastgroup or "", match.group().strip()) for match in found]
        self.at = 0
        self.complete = True

    def coding(self) -> Coding:
        terms = self.either()
        if self.kind:
            raise self.bad(self.tokens[self.at][1])
        return Coding(terms, self.complete)

    @property
    def kind(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1][1]

    def either(self) -> tuple[Term, ...]:
        options = [self.together()]
        while self.kind == "or":
            self.take()
            options.append(self.together())
        if len(options) == 1:
            return options[0]
        readings = [reading for terms in options for reading in Coding(terms).readings()]
        readings = [reading for reading in readings if reading]
        return (tuple(readings),) if readings else ()

    def together(self) -> tuple[Term, ...]:
        terms: list[Term] = []
        seen = False
        while self.kind not in ("", "or", "close"):
            kind = self.kind
            token = self.take()
            if kind == "unit":
                terms.append(((self.unit(token),),))
            elif kind == "open":
                terms.extend(self.group())
            elif kind == "gap":
                self.complete = False
            elif kind == "bad" or (kind == "join" and (not seen or self.kind in _NO_UNIT)):
                raise self.bad(token)
            seen = seen or kind != "note"
        if not seen:
            raise self.bad(self.tokens[self.at][1] if self.kind else self.text)
        return tuple(terms)

    def group(self) -> tuple[Term, ...]:
        inner = self.either()
        if self.kind != "close":
            raise self.bad("(")
        self.take()
        return inner

    def unit(self, token: str) -> ActionUnit:
        found = _UNIT.fullmatch(token)
        if found is None:
            raise self.bad(token)
        before, number, letter, behind = (part.upper() for part in found.groups())
        if int(number) not in FACS or (behind and before in ("L", "R", "U")):
            raise self.bad(token)
        side = _WRITTEN.get(behind or before, "B")
        return ActionUnit(int(number), side, letter or None)

    def bad(self, token: str) -> EquimeError:
        text = self.text
        return EquimeError(f"expected action units like '4+R12B', got {token = } in {text = }; correct that cell")


def format(units: Coding | Iterable[ActionUnit]) -> str:
    """Write units, or a `Coding` with its alternatives, as `parse` reads them: "(R6 or R12)+R15B".

    Args:
        units: an iterable of units, in the order they shall stand, or a coding.

    Returns:
        The text; `parse` gives the same units, or the same coding, back.
    """
    if not isinstance(units, Coding):
        return "+".join(str(unit) for unit in units)
    terms = []
    for term in units.terms:
        options = ["+".join(str(unit) for unit in option) for option in term]
        terms.append(options[0] if len(term) == 1 else f"({' or '.join(options)})")
    if not units.complete:
        terms.append("?")
    return "+".join(terms)
