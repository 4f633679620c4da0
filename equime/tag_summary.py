"""What the tags of a data set say: shares by label, how sure they are, and which subjects they cannot decide on.

    found = summarise(table.rows(COLUMNS))
    for line in found.lines(): ...
    found.subjects["0001"].tag            # one vote over all of a subject's clips

Why a vote per subject: one person is perceived differently from clip to clip (of 25 subjects of SAMM, DeepFace gave 6
more than one race and 7 more than one age decade), and whoever counts clips by their own label counts such a person in
two groups. Labels are *perceived*, by a classifier; where the source has labels of its own, both are compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from statistics import fmean
from typing import Any, Final

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
    found = list(rows)
    tagged = [row for row in found if row["tagger"] and not row["tag_error"]]
    said = [_said(row) for row in tagged]
    spreads = [row["age_std"] for row in tagged if row["age_std"] is not None]
    subjects: dict[str, list[Row]] = {}
    for row in tagged:
        subjects.setdefault(str(row["subject_id"]), []).append(row)
    return TagSummary(
        clips=len(found),
        tagged=len(tagged),
        errors=dict(Counter(row["tag_error"] for row in found if row["tag_error"]).most_common(SHOWN_ERRORS)),
        taggers=dict(Counter(str(row["tagger"]) for row in tagged)),
        shares={name: _shares([labels[name] for labels in said], known) for name, known in KNOWN.items()},
        agreement=fmean(row["agreement"] for row in tagged) if tagged else None,
        age_std=fmean(spreads) if spreads else None,
        several_faces=fmean(row["face_count"] > 1 for row in tagged) if tagged else 0.0,
        against_source={name: _alike(tagged, said, name) for name in ("gender", "age", "race")},
        subjects={name: _subject(clips) for name, clips in sorted(subjects.items())},
    )


def _said(row: Row) -> dict[str, str | None]:
    """A clip's labels, its age and skin as bands."""
    bands = {"age": None if row["age"] is None else schema.age_band(row["age"]), "skin": skin_band(row["skin_ita"])}
    return {name: row[name] for name in ("gender", "race", "expression")} | bands


def _shares(values: Sequence[str | None], known: Sequence[str]) -> dict[str, float]:
    counts = Counter(values)
    shown = {name: counts[name] / len(values) for name in known if counts[name]}
    return shown | ({"null": counts[None] / len(values)} if counts[None] else {})


def _alike(rows: Sequence[Row], said: Sequence[Mapping[str, str | None]], name: str) -> tuple[int, int]:
    pairs = [(row[f"source_{name}"], labels[name]) for row, labels in zip(rows, said, strict=True)]
    both = [(source, clip) for source, clip in pairs if source and clip]
    return len(both), sum(source == clip for source, clip in both)


def _subject(rows: Sequence[Row]) -> Subject:
    tags = [Tag(row["gender_probs"], row["age"], row["race_probs"]) for row in rows]
    voted, agreement = vote(tags)
    return Subject(len(rows), labels(voted), voted, agreement, tuple(_differs(rows)))


def _differs(rows: Sequence[Row]) -> Iterator[str]:
    """What a subject's clips do not agree on."""
    for name in ("gender", "race"):
        counts = Counter(row[name] for row in rows if row[name])
        if len(counts) > 1:
            yield f"{name}: " + ", ".join(f"{label} {count}" for label, count in counts.most_common())
    ages = [row["age"] for row in rows if row["age"] is not None]
    if ages and max(ages) - min(ages) > AGES_APART:
        yield f"age: {min(ages):.0f} to {max(ages):.0f}"
