"""Generate: a plan becomes clips.

    equime generate ws --workers 2                                        # the packaged warp, on CPUs
    equime generate ws --generator ltx --model Lightricks/LTX-Video       # LTX-Video, on a GPU

Each row's face is opened, its content checked against the plan, cut to the same aligned square, and animated by the
generator; the clip is encoded once (H.264, CRF 18) with its provenance inside, in threads beside the generator. A
clip's bytes depend on its row and on this stage's result fields, not on worker, order or restart.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy.typing as npt
import pyarrow as pa

from equime import schema, video
from equime.action_units import ActionUnit
from equime.errors import EquimeError, MissingPackageError
from equime.face import FaceFinder
from equime.generators.ltx import LTX
from equime.generators.scene import Generator, Scene, Still
from equime.generators.warp import Warp
from equime.options import nested, option
from equime.photo import read_image
from equime.screening.portraits import faces_root, inside
from equime.shard_worker import reason, versions
from equime.stage import Row, writes

Array = npt.NDArray[Any]
Drawn = tuple[Array, str]

STILLS_KEPT = 4
COMMENT_BYTES = 4096
PACKAGES = ("av", "numpy", "opencv-contrib-python-headless", "ai-edge-litert")
LTX_PACKAGES = ("torch", "diffusers", "transformers")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Generate:
    """The stage of column group `generate`."""

    name: ClassVar[str] = "generate"
    version: ClassVar[int] = 2
    reads: ClassVar[tuple[str, ...]] = (
        *("source", "source_sha256", "control", "action_units"),
        *("onset_ms", "apex_ms", "offset_ms", "seed", "prompt", "negative_prompt"),
    )
    writes: ClassVar[pa.Schema] = writes("generate")

    generator: Literal["warp", "ltx"] = option("warp", help="what animates the faces")
    crf: int = option(18, help="x264 rate factor; above 18 the expression is compressed away")
    faces: Path | None = option(None, help="folder or table of faces (default: the one planned with)", result=False)
    encoders: int = option(2, help="threads that encode beside the generator", result=False)
    warp: Warp = field(default_factory=Warp, metadata={"flag": False, "when": ("generator", "warp")})
    ltx: LTX = nested(LTX, when=("generator", "ltx"))

    @property
    def shows(self) -> Mapping[int, str]:
        """Unit -> strongest intensity that the generator can be asked for. A plan keeps to it."""
        return self._generator.shows

    @property
    def batch(self) -> int:
        """Rows a call: one of the warp's, whose cores --workers shares out; many for one load of LTX's text encoder."""
        return 1 if self.generator == "warp" else 64

    @property
    def packages(self) -> tuple[str, ...]:
        """Whose versions can change a clip."""
        return PACKAGES if self.generator == "warp" else PACKAGES + LTX_PACKAGES

    @property
    def models(self) -> Mapping[str, str]:
        """Model id -> revision, of the generator's weights."""
        return self._generator.models

    @property
    def _generator(self) -> Generator:
        return self.warp if self.generator == "warp" else self.ltx

    @property
    def _model(self) -> tuple[str, str] | None:
        return next(iter(self.models.items()), None)

    def load(self) -> None:
        """Load the face models and the generator's own.

        Raises:
            EquimeError: The folder of faces is not there, a field is out of range or of the other generator, or this
                one does not load: no row's fault, so nothing runs.
        """
        if self.faces is None or not self.faces.exists():
            raise EquimeError(f"no such folder of faces: {self.faces}; add --faces DIR")
        if not 0 <= self.crf <= 51:
            raise EquimeError(f"--crf should be 0 to 51, got {self.crf}")
        if self.encoders < 1:
            raise EquimeError(f"--encoders should be at least 1, got {self.encoders}")
        alien = [f.name for f in dataclasses.fields(LTX) if getattr(self.ltx, f.name) != f.default]
        if self.generator == "warp" and alien:
            flag = "--" + alien[0].replace("_", "-")
            raise EquimeError(f"{flag} is of LTX-Video alone: add --generator ltx, or leave it out")
        _finder()
        self._generator.load()

    def __call__(self, rows: list[Row]) -> list[Row]:
        """Animate each row's face. A row that fails keeps its reason here: what a GPU made beside it stays."""
        scenes: dict[int, Scene] = {}
        failures: dict[int, Exception] = {}
        for index, row in enumerate(rows):
            try:
                scenes[index] = self._scene(row)
            except Exception as error:
                failures[index] = error
        clips: dict[int, Future[Row]] = {}
        with ThreadPoolExecutor(self.encoders) as pool:
            for index, drawn in self._draw(scenes):
                if isinstance(drawn, Exception):
                    failures[index] = drawn
                    continue
                clips[index] = pool.submit(self._clip, rows[index], scenes[index], *drawn)
                _wait_for_room(clips.values(), self.encoders)
        failures |= {i: e for i, clip in clips.items() if isinstance(e := clip.exception(), Exception)}
        return [_failed(row, failures[i]) if i in failures else clips[i].result() for i, row in enumerate(rows)]

    def _scene(self, row: Row) -> Scene:
        assert self.faces is not None  # `load` has refused
        if self.generator == "ltx" and not row["prompt"]:
            raise EquimeError("expected a prompt for LTX-Video, got none: plan again with `equime plan WS --replace`")
        return Scene(
            row["clip_id"],
            _still(self.faces, row["source"], row["source_sha256"]),
            tuple(ActionUnit.from_dict(unit) for unit in row["action_units"] or ()),
            *(row[name] for name in ("onset_ms", "apex_ms", "offset_ms", "seed")),
            *(row[name] for name in ("prompt", "negative_prompt", "control")),
        )

    def _draw(self, scenes: Mapping[int, Scene]) -> Iterator[tuple[int, Drawn | Exception]]:
        """Each scene's clip, or why there is none. After a failure what was left is tried in halves, down to one."""
        left = list(scenes)
        try:
            for drawn in self._generator.clips(list(scenes.values())) if left else ():
                yield left.pop(0), drawn
        except MissingPackageError:
            raise  # the machine's fault, not the row's
        except Exception as error:
            if len(left) == 1:
                yield left[0], error
                return
            for half in (left[: len(left) // 2], left[len(left) // 2 :]):
                yield from self._draw({index: scenes[index] for index in half})

    def _clip(self, row: Row, scene: Scene, frames: Array, note: str) -> Row:
        comment = self._provenance(row)
        data = video.encode(frames, fps=schema.FPS, crf=self.crf, comment=comment)
        peak = self.warp.peak_px(scene.still, scene.units, scene.seed) if self.generator == "warp" else None
        return {
            "video": {"bytes": data, "path": f"{row['clip_id']}.mp4"},
            **facts(data, self.generator),
            "generator_model": "@".join(self._model) if self._model else None,
            "crop": dataclasses.asdict(scene.still.square) if scene.still.square else None,
            "eye_distance_px": scene.still.face.eye_distance,
            "peak_px": peak if scene.units else None,
            "generate_note": "; ".join(filter(None, (scene.still.note, note))) or None,
        }

    def _provenance(self, row: Row) -> str:
        """What the file says of itself, padded: its length must not tell how many units it shows.

        Neither the picture's name nor its hash, and no emotion.
        """
        model, revision = self._model or (None, None)
        worded = {name: row[name] if self.generator == "ltx" else None for name in ("prompt", "negative_prompt")}
        planned = ("control", "action_units", "onset_ms", "apex_ms", "offset_ms", "seed")
        said = {
            "synthetic": True,
            "made_with": f"EquiME {self.generator}, version {self.version}",
            "generator": self.generator,
            "model": model,
            "revision": revision,
            "clip_id": row["clip_id"].partition("/")[2],
            **worded,
            **{name: row[name] for name in planned},
            "versions": versions(self.packages),
        }
        text = json.dumps(said)
        if len(text) > COMMENT_BYTES:
            raise EquimeError(
                f"expected a provenance of at most {COMMENT_BYTES} bytes, got {len(text)}: plan shorter prompts"
            )
        return text.ljust(COMMENT_BYTES)


def facts(data: bytes, generator: str) -> dict[str, Any]:
    """The columns that describe a clip's bytes."""
    return video.facts(data) | {"generator": generator}


def _wait_for_room(clips: Collection[Future[Row]], encoders: int) -> None:
    """Until no clip waits for an encoder: the frames of each are 113 MB."""
    while len(busy := [clip for clip in clips if not clip.done()]) > encoders:
        wait(busy, return_when=FIRST_COMPLETED)


def _failed(row: Row, error: Exception) -> Row:
    logger.debug("generate failed on %s", row["clip_id"], exc_info=error)
    return {"generate_error": reason(error)}


@lru_cache(maxsize=1)
def _finder() -> FaceFinder:
    """The face models, loaded once per process: they have no settings that a stage could differ in."""
    finder = FaceFinder()
    finder.load()
    return finder


@lru_cache(maxsize=STILLS_KEPT)
def _still(faces: Path, source: str, sha256: str) -> Still:
    """A face made ready. Kept for the next rows, which are mostly of the same picture."""
    path = inside(faces_root(faces), source)
    image = read_image(path)
    if (found := hashlib.sha256(path.read_bytes()).hexdigest()) != sha256:
        raise EquimeError(f"{source} is not the picture that was planned: sha256 {found[:12]}, not {sha256[:12]}")
    return Still.of(image, _finder())
