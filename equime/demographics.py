"""Perceived demographic labels: what a tagger says of one picture, and what its pictures say of one subject.

    tags = tagger("packaged")(crops)      # one Tag a picture (equime.taggers)
    tag, agreement = vote(tags)           # one for the subject
    labels(tag)                           # Labels(gender="female", age="30-39", race=None)

Nothing here is known of a person: gender, age and race are *perceived*, by a classifier that errs, and not for
everyone alike (an independent audit of DeepFace on FairFace found a recall of .45 for women and .97 for men). One
picture's label is unstable, so a subject's pictures are averaged as probabilities, which are kept, and `agreement`
says how many pictures would have said the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from equime import schema
from equime.errors import EquimeError

Crop = npt.NDArray[np.uint8]

DEEPFACE_GENDERS: Mapping[str, str] = MappingProxyType({"Woman": "female", "Man": "male"})
"""DeepFace's names for `schema.GENDERS`. Its names for races are ours, `schema.RACES`."""


@dataclass(frozen=True)
class Tag:
    """How one picture, or one subject, is perceived. None where the tagger does not say.

    Attributes:
        gender_probs: Probability of each of `schema.GENDERS`.
        age: Years.
        race_probs: Probability of each of `schema.RACES`.
        age_std: Standard deviation, in years, of the ages averaged; None for one picture.
        expression_probs: Probability of each of `schema.EXPRESSIONS`.
    """

    gender_probs: Mapping[str, float] | None = None
    age: float | None = None
    race_probs: Mapping[str, float] | None = None
    age_std: float | None = None
    expression_probs: Mapping[str, float] | None = None


class Labels(NamedTuple):
    """Perceived gender, age band and race, of the contract's labels; None where nothing is said."""

    gender: str | None
    age: str | None
    race: str | None


class Tagger(Protocol):
    """Something that looks at aligned crops (`equime.face.crop`) and says how they are perceived."""

    name: str

    @property
    def models(self) -> Mapping[str, str]:
        """Model -> revision, for the record of what labelled whom."""

    def load(self) -> None:
        """Heavy imports and weights, once per worker."""

    def __call__(self, crops: Sequence[Crop]) -> list[Tag]:
        """One tag for each crop, uint8 (side, side, 3) RGB; a crop's tag does not depend on the others."""

    def tag(self, faces: Sequence[Crop]) -> list[Tag]:
        """One tag for each face as a detector's box covers it, uint8 (height, width, 3) RGB."""


def vote(tags: Sequence[Tag]) -> tuple[Tag, float]:
    """One subject's pictures together: probabilities and ages averaged over the pictures that have them.

    Returns:
        The subject's tag, and the share of pictures (0-1) whose own likeliest gender and race are the voted ones.
        Ages do not count for it: how they spread is `age_std`.

    Raises:
        EquimeError: No tags.
    """
    if not tags:
        raise EquimeError("expected the tags of at least one picture, got none")
    ages = [tag.age for tag in tags if tag.age is not None]
    voted = Tag(
        gender_probs=_mean([tag.gender_probs for tag in tags if tag.gender_probs], schema.GENDERS),
        age=fmean(ages) if ages else None,
        race_probs=_mean([tag.race_probs for tag in tags if tag.race_probs], schema.RACES),
        age_std=pstdev(ages) if len(ages) > 1 else None,
        expression_probs=_mean([tag.expression_probs for tag in tags if tag.expression_probs], schema.EXPRESSIONS),
    )
    return voted, fmean(_agrees(tag, voted) for tag in tags)


def labels(tag: Tag) -> Labels:
    """The likeliest gender and race, and the age's band (None under 18)."""
    return Labels(
        dominant(tag.gender_probs, schema.GENDERS),
        None if tag.age is None else schema.age_band(tag.age),
        dominant(tag.race_probs, schema.RACES),
    )


def dominant(probs: Mapping[str, float] | None, names: Sequence[str]) -> str | None:
    """The likeliest of `names`, the first of equals; None without probabilities."""
    return max(names, key=lambda name: probs[name]) if probs else None


def deepface_gender(probs: Mapping[str, float]) -> dict[str, float]:
    """DeepFace's {"Woman": ..., "Man": ...} by our labels, summing to 1."""
    return normalised({DEEPFACE_GENDERS[name]: float(p) for name, p in probs.items()}, schema.GENDERS)


def normalised(probs: Mapping[str, Any], names: Sequence[str]) -> dict[str, float]:
    """Probabilities in the contract's order, divided by their sum.

    Raises:
        EquimeError: Other labels than `names`, or no positive sum.
    """
    total = float(sum(probs.values()))
    if set(probs) != set(names) or not total > 0:
        raise EquimeError(f"expected probabilities of {list(names)}, got {dict(probs)}")
    return {name: float(probs[name]) / total for name in names}


def _mean(probs: Sequence[Mapping[str, float]], names: Sequence[str]) -> dict[str, float] | None:
    return {name: fmean(p[name] for p in probs) for name in names} if probs else None


def _agrees(tag: Tag, voted: Tag) -> bool:
    mine, ours = labels(tag), labels(voted)
    return mine.gender in (None, ours.gender) and mine.race in (None, ours.race)
