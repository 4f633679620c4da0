"""A user's own coded micro-expressions: the CSV of a public set, or a plain one, as clips with emotion and units.

Why: `equime causal fit` fits the causal model to them. The set is told by its header (found below any preamble), ids
stay text, units are read by `action_units.parse`, and every row that is left out is left out for a stated reason.

    coded = read_coded(Path("CASME2-coding.csv")); coded.clips[0].coding.units; print(coded)

Layouts: CASME, CASME II, SAMM, MMEW, CAS(ME)2 (which has no header), CAS(ME)3 part A, 4DME, DFME, each saved as CSV
from the sheet its authors distribute; and `emotion,action_units[,onset_ms,apex_ms,offset_ms | ,onset,apex,offset]`.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from equime.action_units import Coding, parse
from equime.au_counts import Counts
from equime.errors import EquimeError
from equime.scm.coded_layouts import find_layout, number, read_text

EMOTION_WORDS: Mapping[str, str] = {
    word: emotion
    for emotion, words in {
        "happiness": "happiness happy joy",
        "sadness": "sadness sad",
        "surprise": "surprise surprised",
        "fear": "fear fearful afraid",
        "anger": "anger angry",
        "disgust": "disgust disgusted",
    }.items()
    for word in words.split()
}
"""What the sets write -> the emotion's name here. Other words ("repression", ...) are counted and left out."""


@dataclass(frozen=True)
class CodedClip:
    """One coded clip.

    Attributes:
        line: where it stands in the file, from 1.
        emotion: as this package names it; what the coder took it for, or the subject reported.
        coding: its units, with the coder's alternatives.
        rise_ms: onset to apex; None where either is missing, out of order, or has no frame rate.
        duration_ms: onset to offset, likewise.
    """

    line: int
    subject: str
    clip: str
    emotion: str
    coding: Coding
    rise_ms: float | None = None
    duration_ms: float | None = None


@dataclass(frozen=True)
class Coded:
    """What a file holds.

    Attributes:
        layout: name of the set whose layout it has ("own" is the plain one).
        fps: frame rate that its times were read with; 0 for ms; None: times were not read.
        clips: those with a known emotion and at least one unit.
        left_out: line -> why its clip was left out.
        remarks: line -> what of a kept clip was not used.
        other_emotions: word -> clips left out since it names none of the six emotions.
    """

    layout: str
    fps: float | None
    clips: tuple[CodedClip, ...]
    left_out: Mapping[int, str] = field(default_factory=dict)
    remarks: Mapping[int, str] = field(default_factory=dict)
    other_emotions: Mapping[str, int] = field(default_factory=dict)

    def counts(self) -> dict[str, Counts]:
        """Emotion -> counts, as the packaged tables count: both of two alternatives, each unit once a clip."""
        return {emotion: _count(clips) for emotion, clips in self.by_emotion().items()}

    def by_emotion(self) -> dict[str, list[CodedClip]]:
        """The clips of each emotion that occurs, emotions in order of their names."""
        return {e: [clip for clip in self.clips if clip.emotion == e] for e in sorted({c.emotion for c in self.clips})}

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "layout": self.layout,
            "fps": self.fps,
            "clips": {emotion: len(clips) for emotion, clips in self.by_emotion().items()},
            "left_out": {str(line): reason for line, reason in self.left_out.items()},
            "remarks": {str(line): remark for line, remark in self.remarks.items()},
            "other_emotions": dict(self.other_emotions),
        }

    def __str__(self) -> str:
        """A few lines for people."""
        rate = "no frame rate, so no times: give --fps" if self.fps is None else f"{self.fps:g} fps"
        counts = ", ".join(f"{emotion} {len(clips)}" for emotion, clips in self.by_emotion().items())
        others = ", ".join(f"{word or 'none'} {count}" for word, count in self.other_emotions.items())
        lines = [
            f"read as {self.layout} ({'times in ms' if self.fps == 0 else rate}): {len(self.clips)} clips: {counts}"
        ]
        lines += [f"other emotions, left out: {others}"] * bool(others)
        return "\n".join(lines)


def read_coded(path: Path, fps: float | None = None) -> Coded:
    """Read a coded CSV.

    Args:
        path: UTF-8, UTF-16 or GB 18030 text, its columns parted by comma, semicolon or tab.
        fps: frame rate of the frame numbers, instead of the set's own.

    Raises:
        EquimeError: no such file, no text, no layout that is known, or no usable clip.
    """
    if fps is not None and not (fps > 0 and math.isfinite(fps)):
        raise EquimeError(f"expected a frame rate above 0, got {fps = }; correct --fps")
    layout, columns, rows = find_layout(read_text(path), path)
    rate = layout.fps if fps is None or layout.fps == 0 else fps
    clips: list[CodedClip] = []
    left_out: dict[int, str] = {}
    remarks: dict[int, str] = {}
    others: Counter[str] = Counter()
    for line, row in rows:
        cells = {role: row[index].strip() if index < len(row) else "" for role, index in columns.items()}
        try:
            clip, remark = _clip(line, cells, rate, others)
        except EquimeError as error:
            left_out[line] = str(error)
            continue
        clips += [clip] if clip else []
        remarks |= {line: remark} if clip and remark else {}
    if not clips:
        why = next(iter(left_out.values()), f"emotions {dict(others)}")
        raise EquimeError(f"expected clips with an emotion and units in {path}, got none ({why}); correct the file")
    return Coded(layout.name, rate, tuple(clips), left_out, remarks, dict(others.most_common()))


def _clip(line: int, cells: Mapping[str, str], fps: float | None, others: Counter[str]) -> tuple[CodedClip | None, str]:
    """A row as a clip, None for an emotion that is none of the six, and what could not be used of it."""
    if "macro" in cells.get("kind", "").lower():
        raise EquimeError("a macro-expression")
    words = {word for word in re.split(r"[\s,;/&+]+|\band\b", cells["emotion"].lower()) if word}
    emotions = {EMOTION_WORDS[word] for word in words if word in EMOTION_WORDS}
    if len(words) > 1 and emotions:
        raise EquimeError(f"expected one emotion, got {cells['emotion']!r}")
    if not emotions:
        others[cells["emotion"].lower()] += 1
        return None, ""
    coding = parse(cells["units"])
    if not coding.units:
        raise EquimeError(f"expected at least one action unit, got {cells['units']!r}")
    rise, duration, remark = _times(cells, fps)
    clip = CodedClip(line, cells.get("subject", ""), cells.get("clip", ""), emotions.pop(), coding, rise, duration)
    return clip, remark


def _times(cells: Mapping[str, str], fps: float | None) -> tuple[float | None, float | None, str]:
    """Onset to apex and onset to offset in ms, and why not; 0 stands for an offset that nobody saw."""
    if fps is None or "onset" not in cells:
        return None, None, ""
    scale = 1000.0 / fps if fps else 1.0
    onset, apex, offset = (number(cells.get(name, "")) for name in ("onset", "apex", "offset"))
    apex = number(cells.get("second", "")) if apex is None else apex
    offset = offset or None
    given = [time for time in (onset, apex, offset) if time is not None]
    if given != sorted(given) or onset is None:
        return None, None, f"times not used: onset {onset}, apex {apex}, offset {offset}"
    rise, duration = (None if time is None else (time - onset) * scale for time in (apex, offset))
    return rise, duration, ""


def _count(clips: Sequence[CodedClip]) -> Counts:
    singles: Counter[int] = Counter()
    pairs: Counter[tuple[int, int]] = Counter()
    for clip in clips:
        numbers = sorted(clip.coding.numbers)
        singles.update(numbers)
        pairs.update(itertools.combinations(numbers, 2))
    return Counts(len(clips), dict(sorted(singles.items())), dict(sorted(pairs.items())))
