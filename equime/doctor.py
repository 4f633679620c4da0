"""What is there on this machine, and the command for what is not.

equime doctor [--json]
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from equime.errors import EquimeError
from equime.optional import available
from equime.quality import weights
from equime.quality.identity import NETWORKS, weights_file
from equime.taggers import DEEPFACE_RELEASE, deepface_weights

FACE_MODELS = ("face_detection_short_range.tflite", "face_landmark.tflite")


@dataclass(frozen=True)
class Finding:
    """One line: what was looked for, whether it is there, what was found, and what to run if it is not.

    `needed` is False for what only some uses need.
    """

    name: str
    ok: bool
    found: str
    mend: str = ""
    needed: bool = False


def examine() -> Iterator[Finding]:
    """Look at everything, in the order a person would."""
    yield _python()
    yield from _core()
    yield _ffmpeg()
    yield _face_models()
    yield from _extras()
    yield from _weights()
    yield _decoder("torchcodec")
    yield _decoder("decord")
    yield _gpu()
    yield _hub()


def _python() -> Finding:
    ok = sys.version_info >= (3, 11)
    return Finding("python", ok, platform.python_version(), "install Python 3.11 or newer", needed=True)


def _core() -> Iterator[Finding]:
    for name, version in _versions(None).items():
        mend = "pip install --upgrade equime"
        yield Finding(name, version is not None, version or "not installed", mend, needed=True)


def _versions(extra: str | None) -> dict[str, str | None]:
    """What this package, or one of its extras, requires: distribution -> installed version or None."""
    versions: dict[str, str | None] = {}
    for requirement in map(Requirement, importlib.metadata.requires("equime") or ()):
        marker = requirement.marker
        if marker is not None and (extra is None or not marker.evaluate({"extra": extra})):
            continue
        if marker is None and extra is not None:
            continue
        if requirement.name == "equime":
            for inner in requirement.extras:
                versions |= _versions(inner)
        else:
            versions[requirement.name] = _version(requirement.name)
    return versions


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _ffmpeg() -> Finding:
    try:
        from equime import video

        return Finding("PyAV's FFmpeg", True, video.ffmpeg_version(), needed=True)
    except ImportError as error:
        return Finding("PyAV's FFmpeg", False, str(error), "pip install --force-reinstall av", needed=True)


def _face_models() -> Finding:
    folder = Path(__file__).parent / "models"
    missing = [name for name in FACE_MODELS if not (folder / name).is_file()]
    found = f"missing {', '.join(missing)}" if missing else "box and mesh"
    return Finding("face models", not missing, found, "pip install --force-reinstall equime", needed=True)


def _extras() -> Iterator[Finding]:
    for extra in importlib.metadata.metadata("equime").get_all("Provides-Extra") or ():
        missing = [name for name, version in _versions(extra).items() if version is None]
        found = f"missing {', '.join(missing)}" if missing else "installed"
        yield Finding(f"[{extra}]", not missing, found, f'pip install "equime[{extra}]"')


def _weights() -> Iterator[Finding]:
    """The files that no package brings: DeepFace's, for tags and for the likeness of faces, and those of measures."""
    try:
        yield Finding("weights of DeepFace", True, str(deepface_weights()))
    except EquimeError as error:
        yield Finding("weights of DeepFace", False, "not all there", str(error).partition(": ")[2])
    there = [name for name in NETWORKS if weights_file(name).is_file()]
    one = weights_file(next(iter(NETWORKS)))
    mend = f"put {one.name} of {DEEPFACE_RELEASE} into {one.parent}"
    yield Finding("weights of identity", bool(there), ", ".join(there) or "none there", mend)
    for measure, files in weights.FILES.items():
        lack = weights.note(measure) or ""
        missing = ", ".join(file.path.name for file in weights.missing(measure))
        found = f"missing {missing}" if missing else str(files[0].path.parent)
        yield Finding(f"weights of {measure}", not lack, found, lack.partition(": ")[2])


def _decoder(name: Literal["torchcodec", "decord"]) -> Finding:
    """Installed is not enough: torchcodec imports and then lacks FFmpeg's libraries, so decode a frame."""
    if not available(name):
        return Finding(f"decoder {name}", False, "not installed", f'pip install "equime[{name}]"')
    try:
        import numpy as np

        from equime import video

        clip = video.encode(np.zeros((2, 64, 64, 3), np.uint8))
        video.decode(clip, [0], backend=name)
    except Exception as error:  # whatever a broken native library raises is the finding
        why = str(error).strip().splitlines()[0].partition("(")[0].strip()
        mend = "install FFmpeg's shared libraries (conda install ffmpeg), or use the default backend, pyav"
        return Finding(f"decoder {name}", False, why, mend)
    return Finding(f"decoder {name}", True, "decodes")


def _gpu() -> Finding:
    if not available("torch"):
        return Finding("GPU", False, "torch is not installed", 'pip install "equime[torch]"')
    import torch

    if torch.cuda.is_available():
        return Finding("GPU", True, torch.cuda.get_device_name(0))
    return Finding("GPU", False, "CUDA sees none", "everything packaged here runs on the CPU")


def _hub() -> Finding:
    """Whether a token is stored; its validity would need the network."""
    from huggingface_hub import get_token

    from equime import schema

    repo = os.environ.get("EQUIME_REPO", schema.REPO)
    if get_token():
        return Finding("Hub login", True, f"a token is stored; data set {repo}")
    return Finding("Hub login", False, f"no token is stored; data set {repo}", "hf auth login")
