"""Does the face stay the same person's? Cosine of face embeddings to the first frame's, by an optional network.

Why optional: no recognition network may be shipped with this package. DeepFace's run on torch where their weight file
lies in its folder; nothing is ever downloaded.

    embed, note = embedder("ArcFace")           # note: which file is missing, and where it belongs
    identity(frames, face, finder, embed)       # 0.97
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from equime.errors import EquimeError
from equime.face import FaceFinder, crop
from equime.mesh import Face
from equime.optional import available, need
from equime.taggers import DEEPFACE_RELEASE, deepface_folder, face_square
from equime.video import Frames

Array = npt.NDArray[Any]

Embedder: TypeAlias = Callable[[Sequence[Array]], Array]
"""n pictures of faces, uint8 (side, side, 3) RGB each, to their embeddings, float (n, d)."""

NETWORKS: Mapping[str, tuple[str, str, int]] = MappingProxyType(
    {
        "ArcFace": ("ArcFace", "arcface_weights.pth", 137),
        "Facenet": ("Facenet", "facenet_weights.pth", 92),
        "Facenet512": ("Facenet", "facenet512_weights.pth", 94),
        "VGG-Face": ("VGGFace", "vgg_face_weights.pth", 580),
    }
)
"""Name in DeepFace -> its module, its weight file for torch, and about how many MB that has."""

FRAMES: Final = 6


def embedder(name: str = "ArcFace") -> tuple[Embedder | None, str]:
    """A network of `NETWORKS`, if it can run here.

    Returns:
        The network and "", or None and one line: what is missing and where it belongs.

    Raises:
        EquimeError: No network of that name, or its weights are broken.
    """
    if name not in NETWORKS:
        raise EquimeError(f"expected one of {', '.join(NETWORKS)}, got {name = }; give one of them")
    module, file, size = NETWORKS[name]
    missing = [package for package in ("torch", "deepface") if not available(package)]
    if missing:
        return None, f'identity is not measured: {missing[0]} is not installed: run `pip install "equime[tag]"`'
    path = weights_file(name)
    if not path.is_file():
        return None, f"identity is not measured: put {file} (about {size} MB) of {DEEPFACE_RELEASE} into {path.parent}"
    return _network(name, module, path), ""


def weights_file(name: str) -> Path:
    """Where DeepFace looks for the weights of a network of `NETWORKS`."""
    return deepface_folder() / NETWORKS[name][1]


def identity(frames: Frames, face: Face, finder: FaceFinder, embed: Embedder) -> float | None:
    """The least cosine between the face in the first frame and in others, evenly over the clip, -1 to 1.

    Args:
        frames: uint8 (T, H, W, 3) RGB.
        face: The face in the first frame.
        finder: Follows it.
        embed: See `embedder`.

    Returns:
        None where the face is in no other frame.
    """
    squares = [face_square(crop(frames[0], face)[0])]
    for index in np.unique(np.linspace(0, len(frames) - 1, FRAMES).round().astype(int))[1:]:
        now = finder.track(frames[index], face)
        if now is not None:
            face = now
            squares.append(face_square(crop(frames[index], now)[0]))
    if len(squares) < 2:
        return None
    found = np.asarray(embed(squares), np.float64)
    found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    return float((found[1:] @ found[0]).min())


def _network(name: str, module: str, path: Path) -> Embedder:
    resize = need("deepface.modules.preprocessing", extra="tag").resize_image
    made = need(f"deepface.models.facial_recognition.pytorch.{module}", extra="tag")
    client = {"ArcFace": "ArcFaceClient", "Facenet": "FaceNet128dClient", "Facenet512": "FaceNet512dClient"}
    try:
        network = getattr(made, client.get(name, "VggFaceClient"))()
    except (ValueError, RuntimeError) as error:
        raise EquimeError(
            f"{name}'s weights do not load from {path} ({path.stat().st_size / 1e6:.0f} MB): "
            f"delete it and download it again from {DEEPFACE_RELEASE}"
        ) from error

    def embed(faces: Sequence[Array]) -> Array:
        wanted = (network.input_shape[1], network.input_shape[0])
        bgr = [resize(np.ascontiguousarray(picture[..., ::-1]), wanted) for picture in faces]
        return np.reshape(network.forward(np.concatenate(bgr)), (len(faces), -1))

    return embed
