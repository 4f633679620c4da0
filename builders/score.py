"""Score: what each clip looks like, and whether it is a micro-expression.

    equime score ws --workers 2                            # fidelity and validity, each row with a verdict
    equime score ws --real-range range.json                # and how its amplitude stands among real ones
    equime score ws --profile reference --out metrics.csv  # and the numbers that the original EquiME published

A clip is decoded once. Fidelity says how good its pictures are; validity measures from the pixels alone when the
expression rises, peaks and ends, how far which units move and what else does, and the gates turn that into `accepted`
with reasons. What was planned is only compared with, never looked at by a measure. Rejected clips keep their rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa

from equime.action_units import ActionUnit
from equime.checkpoints import sha256
from equime.clip import Clip
from equime.errors import EquimeError
from equime.face import FaceFinder
from equime.options import nested, option
from equime.quality import weights
from equime.quality.fidelity import Fidelity
from equime.quality.gates import Gates, Planned
from equime.quality.identity import Embedder, embedder, weights_file
from equime.quality.real_range import RealRange
from equime.quality.validity import validity
from equime.stage import Row, writes
from equime.video import Frames


@dataclass(frozen=True)
class Score:
    """The stage of column group `score`.

    Raises:
        EquimeError: `real_range` names no file of `equime validity fit`.
    """

    name: ClassVar[str] = "score"
    version: ClassVar[int] = 1
    batch: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = (
        *("video", "sha256", "num_frames", "fps", "generate_error"),
        *("control", "action_units", "onset_ms", "apex_ms", "offset_ms"),
    )
    writes: ClassVar[pa.Schema] = writes("score")

    profile: Literal["default", "reference"] = option(
        "default", help="reference: also the numbers of the published table, in its arithmetic"
    )
    real_range: Path | None = option(
        None, help="of `equime validity fit`: how far real expressions move (default: no such verdict)", result=False
    )
    identity: Literal["none", "ArcFace", "Facenet", "Facenet512", "VGG-Face"] = option(
        "none", help="network of DeepFace that tells whether the face stays the same person's"
    )
    fidelity: Fidelity = nested(Fidelity)
    gates: Gates = nested(Gates)
    real_range_digest: str = field(default="", metadata={"flag": False})
    without: tuple[str, ...] = field(default=(), metadata={"flag": False})
    _range: RealRange | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Look at the files that rows follow from: a new range, or weights put in place, make them stale."""
        found = RealRange.load(self.real_range) if self.real_range else None
        lacking = [name for name in self.measures.slow if weights.missing(name)]
        lacking += ["identity"] if self._network and not self._network.is_file() else []
        values = {"_range": found, "real_range_digest": found.digest if found else "", "without": tuple(lacking)}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def measures(self) -> Fidelity:
        """The measures of fidelity, the profile's among them."""
        if self.profile == "default":
            return self.fidelity
        return replace(self.fidelity, measures=f"{self.fidelity.measures},{self.profile}")

    @property
    def packages(self) -> tuple[str, ...]:
        """Whose versions can change a value."""
        return ("av", "ai-edge-litert", *self.measures.packages)

    @property
    def models(self) -> Mapping[str, str]:
        """File of weights -> the digest of its content."""
        there = (name for name in self.measures.slow if name not in self.without)
        files = [file.path for name in there for file in weights.FILES.get(name, ())]
        files += [self._network] if self._network and "identity" not in self.without else []
        return {path.name: sha256(path) for path in files}

    @property
    def notes(self) -> list[str]:
        """One line for each measure whose files are missing: which, and where they go."""
        return self.measures.notes() + ([embedder(self.identity)[1]] if "identity" in self.without else [])

    @property
    def _network(self) -> Path | None:
        """Where the network's weights are, or would be."""
        return None if self.identity == "none" else weights_file(self.identity)

    def _embed(self) -> Embedder | None:
        return _embedder(self.identity) if self._network and "identity" not in self.without else None

    def load(self) -> None:
        """Load the face models and the measures' weights.

        Raises:
            EquimeError: An unknown measure, or a field out of range.
        """
        _finder()
        self.measures.load()
        self._embed()

    def __call__(self, rows: list[Row]) -> list[Row]:
        """Score each row.

        Raises:
            EquimeError: A row has no clip, or one that is damaged.
        """
        return [self._score(row) for row in rows]

    def score(self, frames: Frames, fps: float, planned: Planned) -> Row:
        """The columns of one clip, all of them.

        Args:
            frames: uint8 (T, H, W, 3) RGB.
            fps: Frames a second.
            planned: What it was meant to show, `known=False` where nobody planned it.
        """
        return {
            **dict.fromkeys(self.writes.names),
            **self.measures(frames),
            **validity(frames, fps, planned, _finder(), self.gates, real_range=self._range, embed=self._embed()),
            "score_note": "; ".join(self.notes) or None,
        }

    def _score(self, row: Row) -> Row:
        if not any((row["video"] or {}).values()):
            raise EquimeError(f"no clip: {row['generate_error'] or 'column video is null'}")
        clip = Clip(row)
        if row["sha256"]:  # a flipped byte can decode to other pixels without an error
            clip.verify()
        return self.score(clip.frames(), clip.fps, planned_of(row))


def planned_of(row: Mapping[str, Any]) -> Planned:
    """What a row was meant to show. Without units and not a control, as in imported trees, nothing is known."""
    units = tuple(ActionUnit.from_dict(unit) for unit in row["action_units"] or ())
    times = (row["onset_ms"], row["apex_ms"], row["offset_ms"])
    return Planned(units, row["control"], *times, known=bool(units or row["control"]))


@lru_cache(maxsize=1)
def _finder() -> FaceFinder:
    """The face models, loaded once per process: they have no settings that a stage could differ in."""
    finder = FaceFinder()
    finder.load()
    return finder


@lru_cache(maxsize=1)
def _embedder(name: str) -> Embedder:
    """The network, loaded once per process.

    Raises:
        EquimeError: It does not load.
    """
    found, why = embedder(name)
    if found is None:
        raise EquimeError(why)
    return found
