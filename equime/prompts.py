"""What an image-to-video model is told: the movement of a programme, and nothing of its emotion.

What: `prompt` words units, side, intensity and times in one fixed way; `require_short` refuses what the text
encoder would cut off.
Why: emotion shall act through the action units alone, so equal programmes get equal prompts, no variety is drawn,
and no word names an emotion. LTX-Video reads 128 T5 tokens and drops the rest with only a line in the log.

    python -c "from equime.prompts import prompt; print(prompt((), None, None, None))"

"Left" and "right" are the *person's own*.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from equime.action_units import CUE, NAMES, ActionUnit
from equime.errors import EquimeError
from equime.schema import DURATION_MS
from equime.scm.manner import PAIRED_UNITS
from equime.scm.times import MAX_DURATION_MS

MAX_TOKENS = 128
"""What LTX-Video's image-to-video pipeline reads, the closing token included."""
REFERENCE = "A person blinking and turning their head."
"""The one prompt of the published data set, verbatim."""
NEGATIVE = (
    "camera movement, zoom, cut, second face, changed identity, distorted, blurry, jittery, flickering, "
    "inconsistent motion, text, watermark, worst quality"
)
"""The negative prompt: quality and camera alone, so that it contradicts no programme, no control, no `REFERENCE`."""

_SCENE = "A close video of one person's face, seen from the front. The head and the camera stay still."
BLINK = (
    f"{_SCENE} The face is neutral. In the middle of the video both eyes blink once, then the face is neutral again."
)
"""The prompt of a blink control."""
_DEGREES: Mapping[str | None, str] = {
    None: "",
    "A": " barely",
    "B": " slightly",
    "C": " clearly",
    "D": " strongly",
    "E": " as far as possible",
}
_SIDES = {"L": " on their left side only", "R": " on their right side only", "U": " on one side only"}
_SHORT_SIDES = {"L": " left", "R": " right", "U": " one side", "B": ""}
_PACES = ("Very briefly, ", "Slowly, ")
_THIRDS = ("early in the video", "in the middle of the video", "late in the video")
_COUNTED: Mapping[int, str] = {
    1: (
        "' , - . : ; A In Only The Very again air and another are as at back barely between bite blink blow boss both "
        "briefly camera catch centre changed cheek clearly close closure comes compressor corner cross cut down draw "
        "drawn drop each early edge ends eye eyes face falls far first fold for forward frame from front funnel gap "
        "goes half head identity in inconsistent inner into is it its jaw last late left lid lip lips lower middle "
        "more motion mouth movement moves narrow neck neutral nose nothing of on once one only open opens or other "
        "out outer over part passes person possible press puff pulled purpose quality right rise roll root second "
        "seconds seen sharp show shows side sides slightly sniff stay still straight stretch strongest strongly teeth "
        "text the their then this through thrust tilt to together tongue toward towards turn turning turns up upper "
        "video wide wings wipe with worst zoom"
    ),
    2: (
        "Slowly Then a arches blinking blurry brow bulge cheeks chin cords distorted funneler inward lifts lowerer "
        "narrows nostril pressor pucker puller raiser s sharply shuts sideways sinks stretcher tighten walleye "
        "watermark widen wink wrinkler wrinkles"
    ),
    3: (
        "brows bulges deepener deepens depressor flickering nostrils pushes screwed slit straightens suck swell "
        "tightener tightens widens"
    ),
    4: "clencher dilator dimpler droop jittery",
    5: "squint",
    6: "nasolabial",
}
PIECES: Mapping[str, int] = {word: count for count, words in _COUNTED.items() for word in words.split()}
"""Words and signs of our prompts -> pieces in the vocabulary of T5 v1.1 (32,000 pieces), counted with it."""
_WORD = re.compile(r"[A-Za-z]+|[0-9][0-9.]*[0-9]|[^\sA-Za-z]")


def prompt(
    units: Iterable[ActionUnit],
    onset_ms: float | None,
    apex_ms: float | None,
    offset_ms: float | None,
) -> str:
    """The prompt of a programme: a function of its units, sides, intensities and times alone.

    Told in full, or, where that could pass `MAX_TOKENS`, without the times, or with each unit's FACS name in place
    of its cue. A unit is never left out.

    Args:
        units: The units, in any order; none: the face stays at rest.
        onset_ms: Onset in ms from the clip's start; None (of any of the three): no times are told.
        apex_ms: Apex.
        offset_ms: Offset.

    Raises:
        EquimeError: Even the shortest form could be too long.
    """
    units = sorted(units)
    if not units:
        return f"{_SCENE} The face is neutral from the first frame to the last and nothing in it moves."
    told = [_clause(unit) for unit in units]
    named = [_short(unit) for unit in units]
    times = None if onset_ms is None or apex_ms is None or offset_ms is None else (onset_ms, apex_ms, offset_ms)
    pace = "Only this moves: " if times is None else _PACES[times[2] - times[0] > MAX_DURATION_MS]
    for text in (_text(pace + _when(times), told), _text(pace, told), _text(pace, named)):
        if most_tokens(text) <= MAX_TOKENS:
            return text
    raise EquimeError(
        f"expected a programme that can be told in {MAX_TOKENS} T5 tokens, got {len(units)} units"
        f" ({most_tokens(text)} tokens at most in the shortest form): plan fewer units"
    )


def _text(opening: str, clauses: Sequence[str]) -> str:
    return f"{_SCENE} The face is neutral. {opening}{'; '.join(clauses)}. Then the face is neutral again."


def _clause(unit: ActionUnit) -> str:
    both = " on both sides" if unit.au in PAIRED_UNITS else ""
    cue = CUE.get(unit.au, f"{NAMES[unit.au].lower()} is seen")
    return cue + _DEGREES[unit.intensity] + _SIDES.get(unit.side, both)


def _short(unit: ActionUnit) -> str:
    return NAMES[unit.au].lower() + _DEGREES[unit.intensity] + _SHORT_SIDES[unit.side]


def _when(times: tuple[float, float, float] | None) -> str:
    """The third of the clip that holds the apex, and the times to a tenth of a second."""
    if times is None:
        return ""
    third = _THIRDS[min(max(int(3 * times[1] / DURATION_MS), 0), 2)]
    onset, apex, offset = (f"{ms / 1000:.1f}" for ms in times)
    return f"{third}, from {onset} to {offset} seconds and strongest at {apex}, "


def most_tokens(text: str) -> int:
    """An upper estimate of the T5 tokens of a text, the closing token included.

    A word in `PIECES` counts as measured; any other word, number or sign counts one a character and one for the
    space before it, which no SentencePiece segmentation can pass for characters that the vocabulary has.
    """
    return 1 + sum(PIECES.get(word) or len(word) + 1 for word in _WORD.findall(text))


def require_short(text: str, tokenizer: Callable[[str], Mapping[str, Any]] | None = None) -> None:
    """Refuse a prompt that the text encoder would cut off.

    Args:
        text: The prompt.
        tokenizer: The pipeline's own: then the count is exact; None takes `most_tokens`.

    Raises:
        EquimeError: More than `MAX_TOKENS` tokens.
    """
    count = most_tokens(text) if tokenizer is None else len(tokenizer(text)["input_ids"])
    if count > MAX_TOKENS:
        counted = "at most" if tokenizer is None else "exactly"
        raise EquimeError(
            f"expected a prompt of up to {MAX_TOKENS} T5 tokens, got {counted} {count}: shorten {text[:60]!r}..."
        )
