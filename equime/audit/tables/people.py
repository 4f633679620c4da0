"""How the subjects of a data set are labelled, one label for each, and how even that is.

    who = people(snapshot.read(COLUMNS))
    who.labels["tag"]["race"]["0042"]                 # "asian": the vote over that subject's clips
    who.evenness("tag", "race")                       # Even(subjects=0.991, clips=0.987)

Labels are *perceived*: "source" by whoever labelled the pictures, "tag" by a classifier. A subject's clips count with
their subject's label: whoever counts clips by their own counts a person in two groups.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from equime import demographics, schema
from equime.planning.targets import LABELS, PRIORITY, evenness

BASES: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "source": {"race": "source_race", "gender": "source_gender", "age": "source_age"},
        "tag": {"race": "race", "gender": "gender", "age": "age"},
    }
)
"""Who labels -> attribute -> column."""
PROBABILITIES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = MappingProxyType(
    {"gender": ("gender_probs", schema.GENDERS), "race": ("race_probs", schema.RACES)}
)
COLUMNS: Final = ("subject_id", *(c for by in BASES.values() for c in by.values()), "gender_probs", "race_probs")
"""What `people` reads."""

Labelled = dict[str, str]
"""Subject -> label, of those that have one."""


class Even(NamedTuple):
    """Shannon's evenness, 0 to 1, counted by subjects and by clips; None where nobody has a label."""

    subjects: float | None
    clips: float | None


@dataclass(frozen=True)
class People:
    """The subjects of a data set.

    Attributes:
        clips: Subject -> clips.
        labels: "source" or "tag" -> "race", "gender" or "age" -> the subjects' labels.
    """

    clips: Mapping[str, int]
    labels: Mapping[str, Mapping[str, Labelled]]

    def evenness(self, basis: str, attribute: str) -> Even:
        """How evenly an attribute is spread over all of its labels (of `targets.LABELS`)."""
        labelled = self.labels[basis][attribute]
        weights: Counter[str] = Counter()
        for subject, label in labelled.items():
            weights[label] += self.clips[subject]
        groups = LABELS[attribute]
        found = (evenness(counts, groups) for counts in (Counter(labelled.values()), weights))
        return Even(*(None if math.isnan(value) else value for value in found))


def people(rows: pa.Table) -> People:
    """The subjects of rows that hold (at least) `COLUMNS`.

    A tag's gender and race are the likeliest by the probabilities averaged over the subject's clips, its age band that
    of the average age, as `demographics.vote` has it. Where no probabilities are kept, the label of most clips counts.
    """
    subjects = rows["subject_id"]
    votes = {attribute: _voted(subjects, rows, attribute) for attribute in PRIORITY}
    source = {attribute: _commonest(subjects, rows[name]) for attribute, name in BASES["source"].items()}
    return People(_counted(subjects), {"source": source, "tag": votes})


def _counted(subjects: pa.ChunkedArray) -> dict[str, int]:
    found = subjects.value_counts()
    counts = zip(found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True)
    return {subject: count for subject, count in counts if subject is not None}


def _voted(subjects: pa.ChunkedArray, rows: pa.Table, attribute: str) -> Labelled:
    if attribute == "age":
        ages = _means(subjects, {"age": rows["age"]})
        bands = {subject: schema.age_band(mean["age"]) for subject, mean in ages.items()}
        return {subject: band for subject, band in bands.items() if band}
    column, names = PROBABILITIES[attribute]
    means = _means(subjects, {name: pc.struct_field(rows[column], name) for name in names})
    likeliest = {subject: str(demographics.dominant(mean, names)) for subject, mean in means.items()}
    return _commonest(subjects, rows[attribute]) | likeliest


def _means(subjects: pa.ChunkedArray, columns: Mapping[str, pa.ChunkedArray]) -> dict[str, dict[str, float]]:
    """Subject -> the mean of each column over its clips; of subjects that have some value in all of them."""
    grouped = pa.table({"subject": subjects, **columns}).group_by("subject")
    found = grouped.aggregate([(name, "mean") for name in columns])
    values = {name: found[f"{name}_mean"].to_pylist() for name in columns}
    means = zip(found["subject"].to_pylist(), *values.values(), strict=True)
    return {
        subject: dict(zip(columns, mean, strict=True))
        for subject, *mean in means
        if subject is not None and None not in mean
    }


def _commonest(subjects: pa.ChunkedArray, labels: pa.ChunkedArray) -> Labelled:
    """Subject -> the label of most of its clips, the first in the alphabet of equally common ones."""
    found = (
        pa.table({"subject": subjects, "label": labels}).group_by(["subject", "label"]).aggregate([([], "count_all")])
    )
    rows = zip(*(found[name].to_pylist() for name in ("subject", "label", "count_all")), strict=True)
    named = sorted((row for row in rows if None not in row), key=lambda row: str(row[1]), reverse=True)
    return {subject: label for subject, label, _ in sorted(named, key=lambda row: int(row[2]))}  # the last one stays
