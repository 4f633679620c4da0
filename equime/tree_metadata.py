"""A clip's metadata JSON must be about that clip: the folder and the file's name decide, and it may not contradict.

Perceived gender is no contradiction, whatever the name's code says: it is a classifier's impression.

    parse(b'{"emotion": "fear"}', "sadness/f_1_2")     # EquimeError: wrong emotion folder
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from equime import schema, sidecar
from equime.errors import EquimeError

_FOLDERS = (*schema.EMOTIONS, schema.DISGUST, *schema.CONTROLS)
_EMOTION_WORDS = MappingProxyType(
    {"happy": "happiness", "joy": "happiness", "sad": "sadness", "surprised": "surprise", "afraid": "fear",
     "fearful": "fear", "angry": "anger", "disgusted": "disgust"}
)  # fmt: skip
_LONGEST_NUMBER = 20


def parse(data: bytes, clip_id: str) -> sidecar.Document:
    """The object in the metadata file of a clip.

    Raises:
        EquimeError: As `sidecar.parse`, or it says another emotion, subject or sequence than the file's place.
    """
    document = sidecar.parse(data)
    _require_about(document, clip_id)
    return document


def _require_about(document: sidecar.Document, clip_id: str) -> None:
    """Refuse metadata that contradicts the clip's folder or name; what it does not say is no contradiction."""
    folder, _, name = clip_id.partition("/")
    control = sidecar.read_one(document, "control")
    if control is not None and control != folder:
        raise EquimeError(
            f"wrong folder: JSON says that it is a {control!r} control, the folder says {folder!r}: "
            "move the clip with its JSON, or mend the JSON"
        )
    matched = schema.CLIP_ID.fullmatch(clip_id)
    named = matched.groupdict() if matched else {}
    for place in (document, document.get(sidecar.FALLBACK)):
        said = place if isinstance(place, dict) else {}
        if (emotion := _emotion(said.get("emotion"))) and emotion != folder:
            raise EquimeError(
                f"wrong emotion folder: JSON says {said['emotion']!r}, the folder says {folder!r}: "
                "move the clip with its JSON, or mend the JSON"
            )
        for key, own in (("subject_id", named.get("subject")), ("sequence", named.get("sequence"))):
            value = said.get(key)
            if own and isinstance(value, str | int) and not isinstance(value, bool) and _bare(value) != _bare(own):
                raise EquimeError(f"JSON of another clip: {key} is {value!r} in it, {own!r} in the file name {name!r}")


def _emotion(raw: Any) -> str | None:
    word = raw.strip().lower() if isinstance(raw, str) else ""
    return word if word in _FOLDERS else _EMOTION_WORDS.get(word)


def _bare(value: str | int) -> str:
    """Names of people and numbers as they compare: 01 is 1."""
    text = str(value).strip()
    return str(int(text)) if text.isascii() and text.isdecimal() and len(text) < _LONGEST_NUMBER else text
