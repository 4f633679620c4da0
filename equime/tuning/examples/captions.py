"""Two tasks of one answer a clip: describe what moves in words, or as one JSON object.

    equime export-vlm ws --format trl --out DIR

The words are the data set's own caption where it says what was planned, else the plan's. A caption of a model that saw
other units, one that names none, and one with markup in it (a template would take "<video>" for a video) are not used:
what is taught is what the clip was made to show. A neutral control's words say that nothing moves, and its object has
an empty list of units: what a model names there it makes up.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from equime.action_units import NAMES
from equime.captioning import templates
from equime.captioning.mentions import mentions
from equime.tuning.example import Example
from equime.tuning.examples.planned import Planned

TEMPLATE: Final = "template"
QUESTIONS: Final = (
    "Describe the facial expression in this clip: which action units move, on which side, how strongly and when?",
    "What moves in this face? Name the facial action units, their sides and intensities.",
    "Which action units of FACS are active in this clip? Answer in one to three sentences.",
    "A brief and faint expression may appear on this face. Say what moves, or that nothing does.",
    "Watch the face closely and describe any micro-expression in terms of its action units.",
    "What does this face do? Describe the movement by FACS action units, and say so if it stays at rest.",
)
"""Wordings of the same question."""
JSON_QUESTION: Final = """\
A brief and faint facial expression may appear in this clip of one face. Say which facial action units (FACS) move. \
Answer with one JSON object and nothing else: \
{"emotion": "happiness" or "sadness" or "surprise" or "fear" or "anger" or "disgust" or null, \
"action_units": [{"au": <FACS number>, "name": "<FACS name>", "side": "L" or "R" or "B" or "U", \
"intensity": "A" to "E" or null}], \
"onset_ms": <number or null>, "apex_ms": <number or null>, "offset_ms": <number or null>, \
"caption": "<one to three sentences>"}
Sides are the subject's own left (L) and right (R); B is both, U is one of them. Intensities are A trace, B slight, \
C marked, D severe, E maximum. If nothing moves, leave action_units empty. Times are milliseconds from the start of \
the clip."""


def described(clip: Planned) -> Iterator[Example]:
    """Task "caption": one question a clip, in one of `QUESTIONS`."""
    if clip.is_known:
        yield clip.example("caption", question(clip), answer(clip))


def structured(clip: Planned) -> Iterator[Example]:
    """Task "json": the keys of `templates.caption_json`, times in whole ms, as `equime.captioning.answers` reads it."""
    if clip.is_known:
        yield clip.example("json", JSON_QUESTION, json.dumps(_object(clip), separators=(",", ":")))


def question(clip: Planned) -> str:
    """How this clip is asked for a caption."""
    return QUESTIONS[clip.drawn("caption", len(QUESTIONS))]


def answer(clip: Planned) -> str:
    """The data set's caption of a clip, on one line, where it is plain text that tells the plan; else the plan's."""
    return _line(clip) if is_used(clip) else clip.words


def is_used(clip: Planned) -> bool:
    """Whether the data set's caption is the answer: it is there, plain text, and tells the plan."""
    text = _line(clip)
    return bool(text) and _is_plain(text) and _tells(text, clip)


def _object(clip: Planned) -> dict[str, Any]:
    truth = clip.truth
    times = {name: getattr(truth, name) for name in ("onset_ms", "apex_ms", "offset_ms")}
    units = [{"au": u.au, "name": NAMES[u.au], "side": u.side, "intensity": u.intensity} for u in truth.units]
    whole = {name: None if value is None else round(value) for name, value in times.items()}
    return {"emotion": truth.emotion, "action_units": units, **whole, "caption": answer(clip)}


def _line(clip: Planned) -> str:
    return " ".join((clip.caption or "").split())


def _is_plain(text: str) -> bool:
    return text.isprintable() and not set("<>") & set(text) and "[INST" not in text


def _tells(text: str, clip: Planned) -> bool:
    """Whether it names the planned units and sides and no others. The templates' own captions do."""
    if clip.captioner == TEMPLATE:
        return True
    named, unknown = mentions(text, prose=True)
    said = {(unit.au, unit.side) for unit in templates.units_in(text) or named}
    return said == {(unit.au, unit.side) for unit in clip.truth.units} and not unknown
