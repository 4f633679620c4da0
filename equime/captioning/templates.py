"""Captions written from a clip's programme, and read back.

What: `caption` words a clip's action units, intended emotion and timing as a person would, in many
seeded ways; `caption_json` is the structured form; `units_in` reads the units back out of the words.
Why: text that fine-tunes a vision-language model must say exactly what the clip was made to show, so
every caption can be parsed back to its units, and it claims an intended emotion, never a felt one.

    python -m equime caption ws

"Left" and "right" are the *subject's own*. Intensity letters are worded as FACS words them: A trace,
B slight, C marked, D severe, E maximum; a unit without a letter has no such word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from random import Random
from typing import Any

from equime.action_units import CUE, FACS, NAMES, ActionUnit, Side

MICRO_MS = 500.0
"""Longest duration that a caption calls a micro-expression (Yan et al. 2013)."""

DEGREES: Mapping[str | None, tuple[str, ...]] = {
    None: ("",),
    "A": (" by a trace", " by only a trace"),
    "B": (" slightly", " to a slight degree"),
    "C": (" markedly", " to a marked degree"),
    "D": (" severely", " to a severe degree"),
    "E": (" to the maximum", " to the maximum degree"),
}
OWNERS: Mapping[Side, tuple[str, ...]] = {
    "L": ("the left", "the subject's left"),
    "R": ("the right", "the subject's right"),
    "U": ("one",),
}

# Clauses of a unit as (both sides, one side): "*" takes the degree, "@" the side.
CLAUSES: dict[int, tuple[tuple[str, str], ...]] = {
    1: (
        ("the inner brows rise*", "@ inner brow rises*"),
        ("the inner corners of the brows lift*", "@ brow lifts* at its inner corner"),
    ),
    2: (
        ("the outer brows rise*", "@ outer brow rises*"),
        ("the outer ends of the brows arch upward*", "@ brow arches upward* at its outer end"),
    ),
    4: (
        ("the brows drop and draw together*", "@ brow drops and draws inward*"),
        ("the brows are lowered* into a frown", "@ brow is lowered* into a frown"),
    ),
    5: (
        ("the upper eyelids lift*", "@ upper eyelid lifts*"),
        ("the eyes widen* as the upper lids rise", "@ eye widens* as its upper lid rises"),
    ),
    6: (
        ("the cheeks rise*", "@ cheek rises*"),
        ("the cheeks push up* toward the eyes", "@ cheek pushes up* toward the eye"),
    ),
    7: (
        ("the lower eyelids tighten*", "@ lower eyelid tightens*"),
        ("the eyes narrow* as the lids tense", "@ eye narrows* as its lids tense"),
    ),
    9: (
        ("the nose wrinkles*", "@ side of the nose wrinkles*"),
        ("the wings of the nose are drawn up*", "@ wing of the nose is drawn up*"),
    ),
    10: (
        ("the upper lip rises*", "@ side of the upper lip rises*"),
        ("the upper lip is drawn up*", "the upper lip is drawn up* on @ side"),
    ),
    12: (
        ("the lip corners are pulled up and outward*", "@ lip corner is pulled up and outward*"),
        ("the corners of the mouth turn up*", "@ mouth corner turns up*"),
    ),
    14: (
        ("the lip corners tighten inward*", "@ lip corner tightens inward*"),
        ("the cheeks dimple* beside the mouth", "@ cheek dimples* beside the mouth"),
    ),
    15: (
        ("the lip corners are drawn down*", "@ lip corner is drawn down*"),
        ("the corners of the mouth turn down*", "@ mouth corner turns down*"),
    ),
    16: (
        ("the lower lip is drawn down*", "@ side of the lower lip is drawn down*"),
        ("the lower lip sinks*", "the lower lip sinks* on @ side"),
    ),
    17: (
        ("the chin pushes up*", "the chin pushes up* on @ side"),
        ("the chin boss rises* under the lower lip", "@ side of the chin boss rises*"),
    ),
    18: (
        ("the lips pucker*", "the lips pucker* on @ side"),
        ("the lips draw in* toward the center", "@ side of the lips draws in* toward the center"),
    ),
    20: (
        ("the lips stretch sideways*", "the lips stretch sideways* on @ side"),
        ("the mouth is pulled wide and flat*", "@ side of the mouth is pulled out flat*"),
    ),
    23: (
        ("the lips tighten and narrow*", "the lips tighten and narrow* on @ side"),
        ("the lips thin* under tension", "@ side of the lips thins* under tension"),
    ),
    24: (
        ("the lips press together*", "the lips press together* on @ side"),
        ("the lips are pressed into a line*", "@ side of the lips is pressed into a line*"),
    ),
    25: (
        ("the lips part*", "the lips part* on @ side"),
        ("a gap opens* between the lips", "a gap opens* between the lips on @ side"),
    ),
    26: (
        ("the jaw drops*", "the jaw drops* on @ side"),
        ("the jaw relaxes and falls*", "the jaw relaxes and falls* on @ side"),
    ),
    43: (
        ("the eyes close*", "@ eye closes*"),
        ("the upper lids come down* over the eyes", "@ upper lid comes down* over the eye"),
    ),
    45: (("the eyes blink*", "@ eye blinks*"),),
    46: (("the eyes wink*", "@ eye winks*"),),
}
_POSITIONS = {
    51: "the head turns left",
    52: "the head turns right",
    53: "the head lifts",
    54: "the head lowers",
    55: "the head tilts left",
    56: "the head tilts right",
    57: "the head moves forward",
    58: "the head moves back",
    61: "the eyes turn left",
    62: "the eyes turn right",
    63: "the eyes look up",
    64: "the eyes look down",
    65: "the eyes diverge",
    66: "the eyes cross",
}
_TAGS = ("({name})", "({name}, AU{au})", "(AU{au}, {name})")

_INTENDED = (
    "A {pace} {kind} of intended {emotion}: {units}. {timing}",
    "{Units}. {timing} The intended emotion is {emotion}.",
    "In a {pace} {kind} meant to convey {emotion}, {units}. {timing}",
    "This {pace} {kind} is intended as {emotion}: {units}. {timing}",
    "This clip holds a {pace} {kind}: {units}. {timing} It is meant to show {emotion}.",
    "The clip is meant to portray {emotion} in a {pace} {kind}. {Units}. {timing}",
)
_UNINTENDED = (
    "A {pace} {kind} with no intended emotion: {units}. {timing}",
    "{Units}. {timing} No emotion is intended.",
    "In a {pace} {kind} that stands for no emotion, {units}. {timing}",
)
_UNSPECIFIED = (
    "A {pace} {kind} of intended {emotion}; its action units are not given. {timing}",
    "The intended emotion is {emotion}; no action units are listed. {timing}",
)
_NEUTRAL = (
    "The face stays neutral throughout; no action unit is shown and no emotion is intended.",
    "A neutral clip: the face is at rest, without any expression of emotion.",
    "No expression is intended; the face remains neutral from start to finish.",
    "The subject's face rests in a neutral pose, and no action unit is meant to appear.",
)
_BLINK = (
    "Both eyes blink once; the face is otherwise at rest, and no emotion is intended.",
    "The face stays neutral but for a single blink of both eyes.",
)
_TIMING = (
    "The movement starts at {onset} ms, peaks at {apex} ms and is over by {offset} ms, {span} ms in all.",
    "Onset is at {onset} ms, apex at {apex} ms and offset at {offset} ms, a span of {span} ms.",
    "The movement builds {speed} from {onset} ms, reaches its apex at {apex} ms and has faded by {offset} ms.",
    "Lasting {span} ms, the movement rises {speed} from {onset} ms to an apex at {apex} ms and is gone by {offset} ms.",
)


def caption(
    emotion: str | None,
    units: Sequence[ActionUnit],
    onset_ms: float | None,
    apex_ms: float | None,
    offset_ms: float | None,
    seed: int,
    control: str | None = None,
) -> str:
    """Word a clip.

    Args:
        emotion: the intended emotion, or None for a control without one.
        units: the planned units, in the order in which they are to be told.
        onset_ms: onset in ms from the clip's start; the three times are told if none of them is None.
        apex_ms: apex, likewise.
        offset_ms: offset, likewise.
        seed: picks the wording; the same arguments give the same caption.
        control: "blink" where the clip is planned to show one; other controls are told by units and times.

    Returns:
        One to three sentences; `units_in` gives `units` back.
    """
    rng = Random(str(seed))
    slots = _timing(onset_ms, apex_ms, offset_ms, rng)
    words = _joined(units, rng)
    slots |= {"emotion": emotion or "", "units": words, "Units": words[:1].upper() + words[1:]}
    text = " ".join(_pick(rng, _BLINK if control == "blink" else _plans(emotion, units)).format(**slots).split())
    return text[0].upper() + text[1:]


def caption_json(
    emotion: str | None,
    units: Sequence[ActionUnit],
    onset_ms: float | None,
    apex_ms: float | None,
    offset_ms: float | None,
    seed: int,
    control: str | None = None,
) -> dict[str, Any]:
    """The structured caption, fit for `json.dumps`; arguments as for `caption`.

    Returns:
        ``{"emotion", "action_units": [{"au", "name", "side", "intensity"}], "onset_ms", "apex_ms",
        "offset_ms", "caption"}``.
    """
    return {
        "emotion": emotion,
        "action_units": [
            {"au": unit.au, "name": unit.name, "side": unit.side, "intensity": unit.intensity} for unit in units
        ],
        "onset_ms": onset_ms,
        "apex_ms": apex_ms,
        "offset_ms": offset_ms,
        "caption": caption(emotion, units, onset_ms, apex_ms, offset_ms, seed, control),
    }


def units_in(text: str) -> list[ActionUnit]:
    """Read the units out of a caption of ours, in the order told.

    A unit is read where its FACS name (in brackets, with or without its number) follows a clause of
    ours; anything else in the text is passed over.
    """
    units = []
    start = 0
    for tag in _tag_pattern().finditer(text):
        au = _numbers()[tag["name"].lower()]
        unit = _unit_before(text[start : tag.start()], au)
        if unit is not None and {tag["before"], tag["au"]} <= {None, str(au)}:
            units.append(unit)
        start = tag.end()
    return units


def _plans(emotion: str | None, units: Sequence[ActionUnit]) -> tuple[str, ...]:
    if units:
        return _INTENDED if emotion else _UNINTENDED
    return _UNSPECIFIED if emotion else _NEUTRAL


def _clauses(au: int) -> tuple[tuple[str, str], ...]:
    """The clauses of a unit, made of its cue where none are written above."""
    cue = CUE.get(au) or _POSITIONS[au]
    return CLAUSES.get(au, ((f"{cue}*", f"{cue}* on @ side"),))


def _pick(rng: Random, options: Sequence[str]) -> str:
    return options[int(rng.random() * len(options))]


def _worded(unit: ActionUnit, rng: Random) -> str:
    forms = _clauses(unit.au)
    both, single = forms[int(rng.random() * len(forms))]
    degree = _pick(rng, DEGREES[unit.intensity])
    clause = both if unit.side == "B" else single.replace("@", _pick(rng, OWNERS[unit.side]))
    return clause.replace("*", degree)


def _joined(units: Sequence[ActionUnit], rng: Random) -> str:
    tag = _pick(rng, _TAGS)
    told = [f"{_worded(unit, rng)} {tag.format(name=NAMES[unit.au].lower(), au=unit.au)}" for unit in units]
    if len(told) <= 2:
        return _pick(rng, (" and ", ", while ")).join(told)
    return ", ".join(told[:-1]) + ", and " + told[-1]


def _timing(onset_ms: float | None, apex_ms: float | None, offset_ms: float | None, rng: Random) -> dict[str, str]:
    """The slots that speak of time; without times, no timing sentence and no pace."""
    if onset_ms is None or apex_ms is None or offset_ms is None:
        return {"timing": "", "pace": "", "kind": "facial expression"}
    onset, apex, offset = round(onset_ms), round(apex_ms), round(offset_ms)
    span, rise = offset - onset, apex - onset
    pace = "fleeting" if span < 250 else "brief" if span <= MICRO_MS else "slow"
    speed = "abruptly" if rise < 100 else "quickly" if rise <= 260 else "slowly"
    told = _pick(rng, _TIMING).format(onset=onset, apex=apex, offset=offset, span=span, speed=speed)
    kind = "micro-expression" if offset_ms - onset_ms <= MICRO_MS else "facial expression"
    return {"timing": told, "pace": pace, "kind": kind}


@lru_cache(maxsize=1)
def _numbers() -> dict[str, int]:
    return {name.lower(): au for au, name in NAMES.items()}


@lru_cache(maxsize=1)
def _tag_pattern() -> re.Pattern[str]:
    names = "|".join(re.escape(name) for name in sorted(_numbers(), key=len, reverse=True))
    return re.compile(rf"\s*\((?:AU(?P<before>\d+), )?(?P<name>{names})(?:, AU(?P<au>\d+))?\)", re.IGNORECASE)


@lru_cache(maxsize=len(FACS))
def _clause_patterns(au: int) -> tuple[re.Pattern[str], ...]:
    degrees = "|".join(words for options in DEGREES.values() for words in options if words)
    owners = "|".join(words for options in OWNERS.values() for words in options)
    patterns = []
    for clause in (form for pair in _clauses(au) for form in pair):
        source = re.escape(clause).replace(r"\*", f"(?P<degree>{degrees})?")
        source = source.replace("@", f"(?P<owner>{owners})")
        patterns.append(re.compile(rf"\b{source}\Z", re.IGNORECASE))
    return tuple(patterns)


def _unit_before(text: str, au: int) -> ActionUnit | None:
    """The unit whose clause ends the text: of several that fit, the one that starts first."""
    found = [match for pattern in _clause_patterns(au) if (match := pattern.search(text))]
    if not found:
        return None
    groups = min(found, key=lambda match: match.start()).groupdict()
    degree = (groups["degree"] or "").lower()
    owner = (groups.get("owner") or "").lower()
    intensity = next(letter for letter, words in DEGREES.items() if degree in words)
    side: Side = next((side for side, words in OWNERS.items() if owner in words), "B")
    return ActionUnit(au, side, intensity)
