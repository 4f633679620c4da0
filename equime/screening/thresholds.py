"""Which source faces are fit to start a clip from: the thresholds, and why a picture falls short of one.

Why measuring and judging are apart: `appearance` looks at a picture once, this module judges what was measured,
so that a changed threshold costs no second look at 30,000 pictures. The defaults come from 170 real photos of people
at rest, smiling, talking, turned, with closed eyes, blurred and in glasses: of sharp frontal faces at rest they leave
out hardly any, of open mouths and plain smiles they let none through. What they do not see: lowered lids, mirrored
lenses, and the odd moustache taken for parted lips. Narrow eyes, full lips and dark skin under the eyes lie nearer to
a threshold than others: look at the reasons by group, which `equime screen` prints, before trusting a tighter one.

    equime screen ws --faces faces/ --max-yaw 15
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Literal

from equime.errors import EquimeError
from equime.options import option
from equime.schema import AGE_BANDS
from equime.screening.appearance import Measures

TaggerName = Literal["none", "packaged", "deepface"]

_LEAST: Final[Mapping[str, int]] = {"min_age": 18, "max_faces": 1, "workers": 1}
"""Where the least that a number may be is not 0."""


@dataclass(frozen=True)
class Screen:
    """What a source face has to be, and who tags it.

    `screen=False` leaves only: readable, a face large enough to animate, the source's own word, the age rule, and no
    picture twice. The age rule always holds: no subject under `min_age` by its age in years, given or estimated; a
    band counts by its lower bound; without any age only documented adults (`adults`, or the column `adult`) are used.
    """

    faces: Path | None = option(
        None, help="folder of JPEG, PNG or WebP, CSV/Parquet of faces, or CelebA-HQ", result=False
    )
    screen: bool = option(True, help="hold pictures to the thresholds; without, one usable face is enough")
    min_eye_distance: float = option(70.0, help="least px between the eyes; 72 is enlarged twice in a clip")
    max_yaw: float = option(20.0, help="most degrees that the face is turned to a side")
    max_pitch: float = option(25.0, help="most degrees that the face is turned up or down")
    max_roll: float = option(30.0, help="most degrees that the head is tilted")
    min_sharpness: float = option(0.12, help="least share of gradients that a small blur takes away")
    max_mouth_open: float = option(0.1, help="widest gap between the lips, in mouth widths")
    max_smile: float = option(0.025, help="highest lift of the mouth's corners, in eye distances")
    min_eye_open: float = option(0.18, help="least height of an eye, in its widths; lowered lids may pass")
    min_eye_light: float = option(0.25, help="least brightness under the eyes over the cheeks': black lenses")
    max_outside: float = option(0.25, help="most of the face's square that the photo does not hold")
    glasses: bool = option(True, help="use faces in glasses")
    max_faces: int = option(1, help="most faces in a photo")
    max_similarity: float = option(0.87, help="highest correlation with a face of another subject")
    min_age: float = option(21.0, help="least age in years; holds without the screen too")
    adults: bool = option(False, help="the source documents that everyone in it is an adult")
    parted_lips: bool = option(False, help="CelebA-HQ: also faces labelled Mouth_Slightly_Open")
    tagger: TaggerName = option("none", help="who labels (as perceived) what the source leaves open")
    second_tagger: TaggerName = option("none", help="who labels all faces again, independently")
    workers: int = option(1, help="processes that look at pictures", result=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            EquimeError: A threshold out of its range, or one tagger as its own check.
        """
        if self.tagger == self.second_tagger != "none":
            raise EquimeError(f"--second-tagger should differ from --tagger, got {self.tagger!r} for both")
        if not 0 < self.max_similarity <= 1:
            raise EquimeError(f"--max-similarity should be over 0 and up to 1, got {self.max_similarity}")
        for field in fields(self):
            value, least = getattr(self, field.name), _LEAST.get(field.name, 0)
            # A threshold that is no number compares as false with everything: its check would be off.
            if isinstance(value, (int, float)) and not least <= value < math.inf:
                flag = "--" + field.name.replace("_", "-")
                wanted = "finite" if value == math.inf else f"{least} or more"
                raise EquimeError(f"{flag} should be {wanted}, got {value}")


def unfit(measures: Measures, glasses: bool | None, options: Screen) -> str | None:
    """Why a measured picture is left out, "kind: reason"; None where it is fit.

    Args:
        measures: Of the picture's largest face.
        glasses: Whether it wears any.
        options: The thresholds.
    """
    return next(_shortfalls(measures, glasses, options), None) if options.screen else None


def _shortfalls(m: Measures, glasses: bool | None, o: Screen) -> Iterator[str]:
    if m.faces > o.max_faces:
        yield f"faces: {m.faces} in the photo, at most {o.max_faces}"
    if m.eye_distance < o.min_eye_distance:
        found, least = m.eye_distance, o.min_eye_distance
        yield f"size: {told(found, least, 0)} px between the eyes, at least {least:g}"
    if m.outside > o.max_outside:
        share, most = 100 * m.outside, 100 * o.max_outside
        yield f"room: {told(share, most, 0)} % of the clip outside the photo, at most {most:g} %"
    for name, found, most in (("yaw", m.yaw, o.max_yaw), ("pitch", m.pitch, o.max_pitch), ("roll", m.roll, o.max_roll)):
        if not abs(found) <= most:
            yield f"pose: {name} of {told(found, math.copysign(most, found), 0)} degrees, at most {most:g}"
    if m.sharpness < o.min_sharpness:
        yield f"sharpness: {told(m.sharpness, o.min_sharpness, 3)}, at least {o.min_sharpness:g}"
    if m.eye_open < o.min_eye_open:
        yield f"eyes: open by {told(m.eye_open, o.min_eye_open, 2)} of their width, at least {o.min_eye_open:g}"
    if m.eye_light < o.min_eye_light:
        found, least = m.eye_light, o.min_eye_light
        yield f"eyes: {told(found, least, 2)} of the cheeks' brightness under them, at least {least:g}"
    if m.mouth_open > o.max_mouth_open:
        yield f"mouth: open by {told(m.mouth_open, o.max_mouth_open, 2)} of its width, at most {o.max_mouth_open:g}"
    if m.smile > o.max_smile:
        yield f"smile: corners lifted by {told(m.smile, o.max_smile, 3)} of the eye distance, at most {o.max_smile:g}"
    if glasses and not o.glasses:
        yield "glasses: worn"


def told(found: float, limit: float, digits: int) -> str:
    """`found` with `digits` decimals, or as many more as show on which side of `limit` it lies."""
    for more in range(digits, 10):
        text = f"{found:.{more}f}"
        if (float(text) < limit, float(text) > limit) == (found < limit, found > limit):
            return text
    return repr(found)


def too_young(years: float | None, band: str | None, adult: bool, options: Screen) -> str | None:
    """Why the age rule leaves a picture out, "age: reason"; None where it may be used.

    Args:
        years: The age in years, given or estimated.
        band: The age band, where that is all that is known.
        adult: The source documents that the person is an adult.
        options: `min_age` and `adults` are read.
    """
    adult = adult or options.adults
    if years is not None:
        if years >= options.min_age:
            return None
        return f"age: {told(years, options.min_age, 0)} years, at least {options.min_age:g}"
    if adult:
        return None
    if band is None:
        return "age: none given, and the source does not document an adult (--adults, or the column adult)"
    lowest = lower_bound(band)
    return f"age: {band} may be {lowest}, at least {options.min_age:g}" if lowest < options.min_age else None


def lower_bound(band: str) -> int:
    """The least age in years of a band of `schema.AGE_BANDS`."""
    return int(AGE_BANDS[AGE_BANDS.index(band)].rstrip("+").partition("-")[0])
