"""A judged picture: who it shows, as perceived, and why it is left out, if it is.

Why after looking: the labels that a source leaves open are voted over all of a subject's pictures, the age rule needs
the vote, and which of two copies stays depends on what else is usable. All of it is computed anew from the looks, in
seconds, whenever a threshold, a label or the set of pictures changes.

    >>> sources = judge(portraits, rejected, looks, Screen(adults=True))
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np

from equime.demographics import Tag, labels, vote
from equime.one_line import one_line
from equime.screening.appearance import THUMBNAIL, Measures
from equime.screening.duplicates import likeness, pairs_above
from equime.screening.looking import Look
from equime.screening.portraits import Portrait, Rejected
from equime.screening.thresholds import Screen, told, too_young, unfit

_NAN: Final = float("nan")
_NOTHING: Final = (Tag(), None)


@dataclass(frozen=True, slots=True)
class Source:
    """One picture of one subject.

    Attributes:
        subject_id: As the source names the person.
        path: Of the picture, relative to the folder of faces.
        sha256: Of its bytes; "" where it was not read.
        licence: Of the picture.
        gender: Perceived, as the source says, else as the tagger's vote over the subject's pictures says.
        age: Likewise, a band.
        race: Likewise.
        age_years: The age in years, given or estimated.
        adult: The source documents an adult.
        second_gender: By the independent second tagger, voted.
        second_age: Likewise, a band.
        second_race: Likewise.
        agreement: Share (0-1) of the subject's pictures that the tagger perceives as it voted.
        eye_distance: Pixels in the photo. It and the next seven are NaN where nothing was measured; see
            `equime.screening.appearance.Measures`.
        yaw: Degrees.
        pitch: Degrees.
        roll: Degrees.
        sharpness: 0-1.
        mouth_open: Mouth widths.
        smile: Eye distances.
        eye_open: Eye widths.
        glasses: As the source says, else an estimate; None where nothing was measured.
        faces: Faces in the photo.
        note: For who gave the photo.
        reason: Why it is left out, "kind: reason"; None where it is usable.
    """

    subject_id: str
    path: str
    sha256: str = ""
    licence: str | None = None
    gender: str | None = None
    age: str | None = None
    race: str | None = None
    age_years: float | None = None
    adult: bool = False
    second_gender: str | None = None
    second_age: str | None = None
    second_race: str | None = None
    agreement: float | None = None
    eye_distance: float = _NAN
    yaw: float = _NAN
    pitch: float = _NAN
    roll: float = _NAN
    sharpness: float = _NAN
    mouth_open: float = _NAN
    smile: float = _NAN
    eye_open: float = _NAN
    glasses: bool | None = None
    faces: int = 0
    note: str = ""
    reason: str | None = None

    @property
    def cell(self) -> str:
        """The demographic cell, null values a cell of their own."""
        return "|".join(value or "unknown" for value in (self.gender, self.age, self.race))

    @property
    def second_cell(self) -> str:
        """The cell by the independent tagger's labels."""
        return "|".join(value or "unknown" for value in (self.second_gender, self.second_age, self.second_race))

    @property
    def code(self) -> str:
        """The gender letter of clip ids: f, m or u."""
        return (self.gender or "u")[0]

    @property
    def kind(self) -> str | None:
        """What the reason begins with ("pose", "smile", "age", ...); None where the picture is usable."""
        return self.reason and self.reason.partition(":")[0]


_NAMES: Final = {f.name for f in fields(Source)}
_SHARED: Final = _NAMES & {f.name for f in fields(Portrait)}
_MEASURED: Final = _NAMES & {f.name for f in fields(Measures)}


def judge(
    portraits: Sequence[Portrait],
    rejected: Sequence[Rejected],
    looks: Mapping[str, Look],
    options: Screen,
    before: Iterable[str] = (),
) -> list[Source]:
    """Every picture with its labels and the reason why it is left out, if there is one.

    Args:
        portraits: As read.
        rejected: As read.
        looks: A look at every portrait, by path.
        options: The thresholds.
        before: Paths used earlier: of two copies, these stay.
    """
    sources = [_source(portrait, looks[portrait.path], options) for portrait in portraits]
    sources = _labelled(sources, looks, options)
    young = [s.reason or too_young(s.age_years, s.age, s.adult, options) for s in sources]
    sources = [replace(s, reason=reason) for s, reason in zip(sources, young, strict=True)]
    copies = _copies(sources, looks, options, set(before))
    sources = [replace(s, reason=copies.get(s.path, s.reason)) for s in sources]
    return sources + [_refused(one) for one in rejected]


def _source(portrait: Portrait, found: Look, options: Screen) -> Source:
    source = _named(portrait)
    source = replace(source, sha256=found.sha256, reason=found.problem, adult=portrait.adult or options.adults)
    if found.measures is None:
        return source
    measured = {name: getattr(found.measures, name) for name in _MEASURED}
    glasses = found.measures.glasses if portrait.glasses is None else portrait.glasses
    return replace(source, **measured | {"glasses": glasses, "reason": unfit(found.measures, glasses, options)})


def _named(portrait: Portrait) -> Source:
    return Source(**{name: getattr(portrait, name) for name in _SHARED})


def _refused(one: Rejected) -> Source:
    source = _named(one.of) if one.of else Source("", one.path)
    return replace(source, reason=one.reason)


# --- labels


def _labelled(sources: Sequence[Source], looks: Mapping[str, Look], options: Screen) -> list[Source]:
    """What the source leaves open, filled in by the tagger's vote; and the second tagger's vote beside it."""
    first, second = (_votes(sources, looks, name) for name in (options.tagger, options.second_tagger))
    if not first and not second:
        return list(sources)
    return [_with(s, *first.get(s.subject_id, _NOTHING), second.get(s.subject_id, _NOTHING)[0]) for s in sources]


def _votes(sources: Sequence[Source], looks: Mapping[str, Look], name: str) -> dict[str, tuple[Tag, float | None]]:
    """Each subject's vote over its fit pictures, or over all that have a face where none is fit."""
    tags: dict[str, tuple[list[Tag], list[Tag]]] = {}
    for source in sources:
        if tag := looks[source.path].tags.get(name):
            fit, unfit_ = tags.setdefault(source.subject_id, ([], []))
            (unfit_ if source.reason else fit).append(tag)
    return {subject: vote(fit or others) for subject, (fit, others) in tags.items()}


def _with(source: Source, tag: Tag, agreement: float | None, second: Tag) -> Source:
    ours, theirs = labels(tag), labels(second)
    return replace(
        source,
        gender=source.gender or ours.gender,
        age=source.age or ours.age,
        race=source.race or ours.race,
        age_years=tag.age if source.age_years is None else source.age_years,
        agreement=agreement,
        second_gender=theirs.gender,
        second_age=theirs.age,
        second_race=theirs.race,
    )


# --- copies


def compare(looks: Mapping[str, Look]) -> None:
    """Give every look its likeness to the picture most like it."""
    ordered = [found for found in compared_first(looks.values()) if found.measures]
    before = [found.likeness for found in ordered if found.likeness is not None]
    if len(before) < len(ordered):
        found = likeness(_thumbnails(ordered), np.array(before, np.float32))
        for one, value in zip(ordered, found.tolist(), strict=True):
            one.likeness = value


def compared_first(looks: Iterable[Look]) -> list[Look]:
    """The looks, those that have a likeness before those that have none yet."""
    return sorted(looks, key=lambda found: found.likeness is None)


def _thumbnails(looks: Sequence[Look]) -> Any:
    together = b"".join(found.measures.thumbnail for found in looks if found.measures)
    return np.frombuffer(together, np.uint8).reshape(-1, THUMBNAIL, THUMBNAIL)


def _copies(sources: Sequence[Source], looks: Mapping[str, Look], options: Screen, before: set[str]) -> dict[str, str]:
    """Path -> reason, of usable pictures that another usable one has already, or nearly."""
    usable = sorted((s for s in sources if s.reason is None), key=lambda s: s.path not in before)
    reasons: dict[str, str] = {}
    first: dict[str, Source] = {}
    for source in usable:
        same = first.setdefault(source.sha256, source)
        if same is not source:
            whose = "" if same.subject_id == source.subject_id else f"subject {same.subject_id!r}: "
            reasons[source.path] = f"copy: the same picture as {whose}{one_line(same.path)}"
    if options.screen:
        _near_copies([s for s in usable if s.path not in reasons], looks, options.max_similarity, reasons)
    return reasons


def _near_copies(usable: Sequence[Source], looks: Mapping[str, Look], most: float, reasons: dict[str, str]) -> None:
    """Add those more like another subject's picture than allowed; the earlier of two stays."""
    alike = [s for s in usable if (looks[s.path].likeness or 0) >= most]
    if len(alike) < 2:
        return
    pairs = pairs_above(_thumbnails([looks[s.path] for s in alike]), most)
    for one, other, found in sorted(pairs, key=lambda pair: (pair[1], pair[0])):
        stays, goes = alike[one], alike[other]
        if stays.subject_id != goes.subject_id and not reasons.keys() & {stays.path, goes.path}:
            near = f"copy: as subject {stays.subject_id!r}: {one_line(stays.path)}, correlation {told(found, most, 3)}"
            reasons[goes.path] = f"{near}, at most {most:g}"
