"""What the tags of a data set say: shares by label, how sure they are, and which subjects they cannot decide on.

    found = summarise(table.rows(COLUMNS))
    for line in found.lines(): ...
    found.subjects["0001"].tag            # one vote over all of a subject's clips

Why a vote per subject: one person is perceived differently from clip to clip (of 25 subjects of SAMM, DeepFace gave 6
more than one race and 7 more than one age decade), and whoever counts clips by their own label counts such a person in
two groups. Labels are *perceived*, by a classifier; where the source has labels of its own, both are compared.
"""

from __future__ import annotations

import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from statistics import fmean
from typing import Any, Final, NamedTuple

from equime import schema
from equime.demographics import Labels, Tag, labels, vote
from equime.skin import BANDS, skin_band
from equime.wording import counted

Row = Mapping[str, Any]

COLUMNS: Final = (
    *("subject_id", "source_gender", "source_age", "source_race"),
    *("gender", "gender_probs", "age", "age_std", "race", "race_probs", "expression"),
    *("skin_ita", "face_count", "agreement", "tagger", "tag_error"),
)
"""What `summarise` reads of a row."""
KNOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "gender": schema.GENDERS,
    "age": schema.AGE_BANDS,
    "race": schema.RACES,
    "expression": schema.EXPRESSIONS,
    "skin": BANDS,
}
AGES_APART: Final = 10.0
"""Years between a subject's youngest and oldest clip from which the age is unstable."""

SHOWN_ERRORS: Final = 5
SHOWN: Final = 20
"""Subjects whose clips disagree that are named one by one."""


@dataclass(frozen=True)
class Subject:
    """One subject's clips together.

    Attributes:
        clips: How many have tags.
        labels: Perceived gender, age band and race, voted.
        tag: Their probabilities and age, averaged.
        agreement: Share (0-1) of the clips whose own likeliest gender and race are the voted ones.
        unstable: What differs between the clips, "race: black 3, white 2"; empty where all agree.
    """

    clips: int
    labels: Labels
    tag: Tag
    agreement: float
    unstable: tuple[str, ...] = ()


@dataclass(frozen=True)
class TagSummary:
    """The tags of a data set.

    Attributes:
        clips: Rows.
        tagged: Rows with tags; the others were broken, not made, or show no face.
        errors: Why rows have none -> rows, the commonest reasons.
        taggers: Tagger -> clips.
        shares: gender, age, race, expression and skin -> label -> share (0-1) of the tagged clips, and "null".
        agreement: Mean over clips of the share of frames that agree; None without clips.
        age_std: Mean over clips of how the age varies over frames, in years.
        several_faces: Share (0-1) of the tagged clips with more than one face in some frame on average.
        against_source: gender, age and race -> (clips labelled by both, of these alike); by the source's column.
        subjects: Subject -> the vote over its clips.
    """

    clips: int
    tagged: int
    errors: Mapping[str, int]
    taggers: Mapping[str, int]
    shares: Mapping[str, Mapping[str, float]]
    agreement: float | None
    age_std: float | None
    several_faces: float
    against_source: Mapping[str, tuple[int, int]]
    subjects: Mapping[str, Subject]

    @property
    def unstable(self) -> dict[str, tuple[str, ...]]:
        """Subject -> what differs between its clips, where something does."""
        return {name: subject.unstable for name, subject in self.subjects.items() if subject.unstable}

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        found = asdict(self) | {"unstable": {name: list(why) for name, why in self.unstable.items()}}
        for name, subject in self.subjects.items():
            found["subjects"][name]["labels"] = subject.labels._asdict()
        return found

    def lines(self) -> list[str]:
        """All of it, for people."""
        by = " and ".join(self.taggers) or "nothing"
        clips, subjects = counted(self.clips, "clip"), counted(len(self.subjects), "subject")
        return [
            f"tagged {self.tagged} of {clips} of {subjects}, by {by}",
            *(f"not tagged: {counted(count, 'clip')}: {why}" for why, count in self.errors.items()),
            *(self._label_lines() if self.tagged else ()),
        ]

    def _label_lines(self) -> Iterator[str]:
        for name, shares in self.shares.items():
            if any(label != "null" for label in shares):
                title = "skin as pictured" if name == "skin" else f"perceived {name}"
                yield f"{title}: " + ", ".join(f"{label} {share:.1%}" for label, share in shares.items())
            elif name == "race":
                yield "perceived race: null, no tagger here says it"
        yield from self._sureness()
        yield f"subjects whose clips disagree: {len(self.unstable)} of {len(self.subjects)}"
        yield from (f"  {name}: {'; '.join(why)}" for name, why in islice(self.unstable.items(), SHOWN))
        if len(self.unstable) > SHOWN:
            yield f"  and {len(self.unstable) - SHOWN} more: `equime summary --json` names them"

    def _sureness(self) -> Iterator[str]:
        if self.agreement is not None:
            varies = f", and their ages vary by {self.age_std:.1f} years" if self.age_std is not None else ""
            yield f"of a clip's frames {self.agreement:.1%} say what the clip is labelled{varies}"
        if self.several_faces:
            yield f"more than one face: {self.several_faces:.1%} of the clips"
        for name, (both, alike) in self.against_source.items():
            if both:
                yield f"{name} is labelled as the source labels it in {alike} of {counted(both, 'clip')}"


def summarise(rows: Iterable[Row]) -> TagSummary:
    """Sum up the tags of clips.

    Args:
        rows: With (at least) `COLUMNS`; a stage that has not run gives nulls.
    """
    clips, errors, taggers = 0, Counter[str](), Counter[str]()
    shares: dict[str, Counter[str | None]] = {name: Counter() for name in KNOWN}
    sources: dict[str, Counter[bool]] = {name: Counter() for name in ("gender", "age", "race")}
    agreements, spreads, faces = array("d"), array("d"), array("d")
    subjects: dict[str, list[_Clip]] = {}
    for row in rows:
        clips += 1
        if row["tag_error"]:
            errors[row["tag_error"]] += 1
        if row["tag_error"] or not row["tagger"]:
            continue
        taggers[str(row["tagger"])] += 1
        said = _said(row)
        for name, label in said.items():
            shares[name][label] += 1
        for name, alike in sources.items():
            if row[f"source_{name}"] and said[name]:
                alike[row[f"source_{name}"] == said[name]] += 1
        agreements.append(row["agreement"])
        faces.append(row["face_count"] > 1)
        if row["age_std"] is not None:
            spreads.append(row["age_std"])
        subjects.setdefault(str(row["subject_id"]), []).append(_Clip.of(row))
    return TagSummary(
        clips=clips,
        tagged=taggers.total(),
        errors=dict(errors.most_common(SHOWN_ERRORS)),
        taggers=dict(taggers),
        shares={name: _shares(shares[name], known) for name, known in KNOWN.items()},
        agreement=fmean(agreements) if agreements else None,
        age_std=fmean(spreads) if spreads else None,
        several_faces=fmean(faces) if faces else 0.0,
        against_source={name: (alike.total(), alike[True]) for name, alike in sources.items()},
        subjects={name: _subject(subjects.pop(name)) for name in sorted(subjects)},
    )


class _Clip(NamedTuple):
    """What the vote and its doubts need of a tagged clip, in 300 bytes where a row has 2,000."""

    gender: str | None
    age: float | None
    race: str | None
    gender_probs: array[float] | None
    race_probs: array[float] | None

    @classmethod
    def of(cls, row: Row) -> _Clip:
        gender, race = (row[name] and sys.intern(row[name]) for name in ("gender", "race"))
        packed = (_packed(row["gender_probs"], schema.GENDERS), _packed(row["race_probs"], schema.RACES))
        return cls(gender, row["age"], race, *packed)

    @property
    def tag(self) -> Tag:
        gender, race = _unpacked(self.gender_probs, schema.GENDERS), _unpacked(self.race_probs, schema.RACES)
        return Tag(gender, self.age, race)


def _packed(probs: Mapping[str, float] | None, names: Sequence[str]) -> array[float] | None:
    return array("d", [probs[name] for name in names]) if probs else None


def _unpacked(probs: array[float] | None, names: Sequence[str]) -> dict[str, float] | None:
    return dict(zip(names, probs, strict=True)) if probs else None


def _said(row: Row) -> dict[str, str | None]:
    """A clip's labels, its age and skin as bands."""
    bands = {"age": None if row["age"] is None else schema.age_band(row["age"]), "skin": skin_band(row["skin_ita"])}
    return {name: row[name] for name in ("gender", "race", "expression")} | bands


def _shares(counts: Counter[str | None], known: Sequence[str]) -> dict[str, float]:
    shown = {name: counts[name] / counts.total() for name in known if counts[name]}
    return shown | ({"null": counts[None] / counts.total()} if counts[None] else {})


def _subject(clips: Sequence[_Clip]) -> Subject:
    voted, agreement = vote([clip.tag for clip in clips])
    return Subject(len(clips), labels(voted), voted, agreement, tuple(_differs(clips)))


def _differs(clips: Sequence[_Clip]) -> Iterator[str]:
    """What a subject's clips do not agree on."""
    for name in ("gender", "race"):
        counts = Counter(label for clip in clips if (label := getattr(clip, name)))
        if len(counts) > 1:
            yield f"{name}: " + ", ".join(f"{label} {count}" for label, count in counts.most_common())
    ages = [clip.age for clip in clips if clip.age is not None]
    if ages and max(ages) - min(ages) > AGES_APART:
        yield f"age: {min(ages):.0f} to {max(ages):.0f}"
