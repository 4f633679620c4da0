"""Action units named in free text: "AU12", "AU 12 (left)", "AUs 6 and R12B", "a slight left lip corner puller".

mentions("a slight left lip corner puller (AU12), no AU4")      # ([L12B], [])

What `equime.action_units.parse` reads is notation; this reads what a model or a person writes around it. A side that
is not said is both, as in FACS. A unit that the text denies ("no AU4") is not named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from equime.action_units import NAMES, ActionUnit, Side

SIDE_WORDS: Mapping[str, Side] = {
    **dict.fromkeys(("l", "left"), "L"),
    **dict.fromkeys(("r", "right"), "R"),
    **dict.fromkeys(("b", "both", "bilateral", "bilaterally"), "B"),
    **dict.fromkeys(("u", "unilateral", "unilaterally", "one-sided"), "U"),
}
INTENSITY_WORDS: Mapping[str, str] = {
    **{letter.lower(): letter for letter in "ABCDE"},
    **{str(number): letter for number, letter in enumerate("ABCDE", 1)},
    **dict.fromkeys(("trace", "barely"), "A"),
    **dict.fromkeys(("slight", "slightly", "mild", "mildly", "weak", "weakly", "subtle", "subtly"), "B"),
    **dict.fromkeys(("marked", "markedly", "pronounced", "moderate", "moderately"), "C"),
    **dict.fromkeys(("severe", "severely", "strong", "strongly", "extreme", "extremely"), "D"),
    **dict.fromkeys(("maximum", "maximal", "maximally"), "E"),
}

_UNIT = r"(?:AUs?\s*-?)?[LRU]?\d{1,3}[A-E]?[LR]?\b(?!\s*(?:ms|s|sec|seconds|%|frames|times)\b|\.\d)"
_RUN = re.compile(rf"\b(?:AUs?|action\s+units?)\s*[-#:_]?\s*{_UNIT}(?:\s*(?:,\s*and|[,+&/]|and)\s*{_UNIT})*", re.I)
_PARTS = re.compile(r"(?:AUs?\s*-?)?(?P<side>[LRU])?(?P<au>\d{1,3})(?P<letter>[A-E])?(?P<behind>[LR])?\b", re.I)
_BREAK = re.compile(r"[,;.+\n]|\band\b|\bwhile\b|\bor\b|\bnor\b", re.I)
_SIDE = re.compile(r"\b(left|right|both|bilateral(?:ly)?|unilateral(?:ly)?|one-sided)\b", re.I)
_LETTER = re.compile(r"(?<![\w'])([A-ELR])(?![\w'])")
_INTENSITY = re.compile(
    r"\b(?:intensity|level)\s*[:=]?\s*([A-E1-5])\b|\b("
    + "|".join(word for word in INTENSITY_WORDS if len(word) > 1)
    + r")\b",
    re.I,
)
_DENIED_BEFORE = re.compile(r"\b(?:no|not|without|neither|nor|lacks?|lack of|absence of)\b", re.I)
_DENIED_AFTER = re.compile(r"\babsent\b|\bnot (?:present|visible|active|seen|shown|activated)\b", re.I)


@dataclass(frozen=True)
class _Token:
    """A place where a text names a unit: by number, by name, or by both."""

    start: int
    end: int
    shown: str
    au: int | None = None
    side: str | None = None
    letter: str | None = None
    named: bool = False


def mentions(text: str, *, prose: bool = False) -> tuple[list[ActionUnit], list[str]]:
    """The units that a text names, in the order told, and what it names as units without FACS having them.

    Args:
        text: Anything.
        prose: Whether it is running text: names of one word ("Blink", "Slit") then count only beside a number.
    """
    text = re.sub(r"\b(?:left and right|right and left)\b", "both", re.sub(r"[ \t]+", " ", text), flags=re.I)
    tokens = list(_merged(text, sorted([*_numbers(text), *_named(text, prose)], key=lambda t: t.start)))
    units, unknown = [], []
    denied = False
    for index, token in enumerate(tokens):
        before = _before(text, tokens, index)
        after = _after(text, tokens, index)
        carried = denied and re.fullmatch(r"\W*n?or\W*", text[tokens[index - 1].end : token.start], re.I)
        denied = bool(carried or _DENIED_BEFORE.search(before) or _DENIED_AFTER.search(after))
        if denied:
            continue
        if token.au in NAMES:
            side, letter = _attributes(before, after)
            given = SIDE_WORDS.get((token.side or "").lower())
            units.append(ActionUnit(token.au, given or side or "B", (token.letter or "").upper() or letter))
        else:
            unknown.append(token.shown)
    return units, unknown


def _numbers(text: str) -> Iterator[_Token]:
    for run in _RUN.finditer(text):
        for match in _PARTS.finditer(text, run.start(), run.end()):
            side = match["side"] or match["behind"]
            yield _Token(match.start(), match.end(), match[0], int(match["au"]), side, match["letter"])


def _named(text: str, prose: bool) -> Iterator[_Token]:
    for match in _names(prose).finditer(text):
        au = next(au for au, name in NAMES.items() if name.lower() == match[1].lower())
        yield _Token(match.start(), match.end(), match[0], au, named=True)


@lru_cache(maxsize=2)
def _names(prose: bool) -> re.Pattern[str]:
    kept = sorted((name for name in NAMES.values() if " " in name or not prose), key=len, reverse=True)
    return re.compile(rf"\b({'|'.join(map(re.escape, kept))})s?\b", re.I)


def _merged(text: str, tokens: list[_Token]) -> Iterator[_Token]:
    """A number and a name beside each other are one unit, or none where they are not of one unit."""
    held: _Token | None = None
    for token in tokens:
        if held is None:
            held = token
            continue
        gap = text[held.end : token.start]
        beside = held.named != token.named and re.fullmatch(r"\s*[(\[:=–—-]?\s*", gap)
        if beside or (held.named != token.named and held.au == token.au and re.fullmatch(r"\W*", gap)):
            number = token if held.named else held
            au = held.au if held.au == token.au else None
            shown = text[held.start : token.end]
            yield _Token(held.start, token.end, shown, au, number.side, number.letter)
            held = None
        else:
            yield held
            held = token
    if held is not None:
        yield held


def _before(text: str, tokens: list[_Token], index: int) -> str:
    """The last words before a unit that are not of the unit before it."""
    start = tokens[index - 1].end if index else 0
    gap = text[start : tokens[index].start]
    breaks = list(_BREAK.finditer(gap))
    if index and not breaks:
        return ""
    return " ".join(re.sub(r"[()\[\]:]", " ", gap[breaks[-1].end() if breaks else 0 :]).split()[-4:])


def _after(text: str, tokens: list[_Token], index: int) -> str:
    """The first words after a unit that are not of the unit after it, or what stands there in brackets."""
    last = index + 1 == len(tokens)
    gap = text[tokens[index].end : None if last else tokens[index + 1].start]
    gap = re.sub(r"^\s*[)\]]", "", gap)
    if bracket := re.match(r"\s*[(\[]([^)\]]*)[)\]]", gap):
        return bracket[1]
    breaks = list(_BREAK.finditer(gap))
    if breaks and not last:
        gap = gap[: breaks[-1].start()]
    sentence = re.split(r"[.;\n]", gap)[0]
    return " ".join(sentence.replace(",", " ").split()[:6])


def _attributes(before: str, after: str) -> tuple[Side | None, str | None]:
    """Side and intensity in the words around a unit; those before it count first."""
    sides = [SIDE_WORDS[match[1].lower()] for part in (before, after) for match in _SIDE.finditer(part)]
    degrees = [
        INTENSITY_WORDS[(match[1] or match[2]).lower()]
        for part in (before, after)
        for match in _INTENSITY.finditer(part)
    ]
    for letter in _LETTER.findall(after):
        if letter in "LR":
            sides.append(SIDE_WORDS[letter.lower()])
        elif letter != "B" or sides:  # alone, B may be a side too
            degrees.append(letter)
    return next(iter(sides), None), next(iter(degrees), None)
