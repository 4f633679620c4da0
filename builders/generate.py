"""Generate: a plan becomes clips.

    equime generate ws --workers 2

Each row's face is opened, its content checked against the plan, and animated by the generator; the clip is
encoded once (H.264, CRF 18) with its provenance inside. A clip's bytes depend on its row and on this stage's
result fields, not on worker, order or restart.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa

from equime import schema, video
from equime.action_units import ActionUnit
from equime.errors import EquimeError
from equime.face import FaceFinder
from equime.generators.warp import Still, Warp
from equime.options import option
from equime.photo import read_image
from equime.portraits import inside
from equime.stage import Row, writes

STILLS_KEPT = 4
COMMENT_BYTES = 2048


@dataclass(frozen=True)
class Generate:
    """The stage of column group `generate`."""

    name: ClassVar[str] = "generate"
    version: ClassVar[int] = 1
    batch: ClassVar[int] = 1  # a clip takes seconds: a batch would only be lost whole
    packages: ClassVar[tuple[str, ...]] = ("av", "numpy", "opencv-contrib-python-headless", "ai-edge-litert")
    reads: ClassVar[tuple[str, ...]] = (
        *("source", "source_sha256", "action_units"),
        *("onset_ms", "apex_ms", "offset_ms", "seed"),
    )
    writes: ClassVar[pa.Schema] = writes("generate")

    generator: Literal["warp"] = option("warp", help="what animates the faces")
    crf: int = option(18, help="x264 rate factor; above 18 the expression is compressed away")
    faces: Path | None = option(None, help="folder of faces (default: the one planned with)", result=False)
    warp: Warp = field(default_factory=Warp, metadata={"flag": False})

    @property
    def shows(self) -> Mapping[int, str]:
        """Unit -> strongest intensity that the generator can show. A plan keeps to it."""
        return Warp.SHOWS

    def load(self) -> None:
        """Load the face models.

        Raises:
            EquimeError: The folder of faces is not there, or `crf` is out of range: no row's fault, so nothing runs.
        """
        if self.faces is None or not self.faces.is_dir():
            raise EquimeError(f"no such folder of faces: {self.faces}; add --faces DIR")
        if not 0 <= self.crf <= 51:
            raise EquimeError(f"--crf should be 0 to 51, got {self.crf}")
        _finder()

    def __call__(self, rows: list[Row]) -> list[Row]:
        """Animate each row's face."""
        return [self._clip(row) for row in rows]

    def _clip(self, row: Row) -> Row:
        assert self.faces is not None  # `load` has refused
        still = _still(self.warp, self.faces, row["source"], row["source_sha256"])
        units = tuple(ActionUnit.from_dict(unit) for unit in row["action_units"] or ())
        times = (row["onset_ms"], row["apex_ms"], row["offset_ms"])
        frames = self.warp.frames(still, units, *times, seed=row["seed"])
        data = video.encode(frames, fps=schema.FPS, crf=self.crf, comment=self._provenance(row))
        return {"video": {"bytes": data, "path": f"{row['clip_id']}.mp4"}} | facts(data, self.generator)

    def _provenance(self, row: Row) -> str:
        """What the file says of itself, padded: its length must not tell how many units it shows."""
        said = {
            "synthetic": True,
            "made_with": f"EquiME {self.generator}, version {self.version}",
            "clip_id": row["clip_id"].partition("/")[2],
            **{name: row[name] for name in ("action_units", "onset_ms", "apex_ms", "offset_ms", "seed")},
        }
        return json.dumps(said).ljust(COMMENT_BYTES)


def facts(data: bytes, generator: str) -> dict[str, Any]:
    """The columns that describe a clip's bytes."""
    info = video.probe(data)
    return {
        "sha256": hashlib.sha256(data).hexdigest(),
        "num_frames": info.num_frames,
        "fps": info.fps,
        "width": info.width,
        "height": info.height,
        "duration_s": info.duration_s,
        "size_bytes": info.size_bytes,
        "bitrate_kbps": info.bitrate_kbps,
        "generator": generator,
    }


@lru_cache(maxsize=1)
def _finder() -> FaceFinder:
    """The face models, loaded once per process: they have no settings that a stage could differ in."""
    finder = FaceFinder()
    finder.load()
    return finder


@lru_cache(maxsize=STILLS_KEPT)
def _still(warp: Warp, faces: Path, source: str, sha256: str) -> Still:
    """A face made ready. Kept for the next rows, which are mostly of the same picture."""
    path = inside(faces, source)
    image = read_image(path)
    if (found := hashlib.sha256(path.read_bytes()).hexdigest()) != sha256:
        raise EquimeError(f"{source} is not the picture that was planned: sha256 {found[:12]}, not {sha256[:12]}")
    return warp.still(image, _finder())
