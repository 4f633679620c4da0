"""The weight files that some measures need: which, where they go, and whether they are whole.

Nothing is downloaded here. The networks are piq's and read their files from two folders: torch's
(`$TORCH_HOME/hub/checkpoints`) and `~/.cache/clip`. A missing file leaves a measure null, and `note` says in one
line which file goes where. piq unpickles what it finds, so every file is first read with torch's restricted reader,
which knows tensors and nothing else: a file that is cut short, or holds more than weights, is refused.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from equime.errors import EquimeError
from equime.optional import need

_PIQ = "https://github.com/photosynthesis-team/piq/releases/download"


@dataclass(frozen=True)
class WeightFile:
    """One file of weights.

    Attributes:
        url: Where its makers publish it; the last part is its name.
        clip: It belongs into CLIP's folder, and not into torch's.
        scripted: It is a TorchScript archive, which has a reader of its own.
    """

    url: str
    clip: bool = False
    scripted: bool = False

    @property
    def path(self) -> Path:
        """Where it is looked for."""
        return (clip_folder() if self.clip else torch_folder()) / self.url.rpartition("/")[2]


_VGG16 = WeightFile("https://download.pytorch.org/models/vgg16-397923af.pth")
FILES: Mapping[str, tuple[WeightFile, ...]] = MappingProxyType(
    {
        "brisque": (WeightFile(f"{_PIQ}/v0.4.0/brisque_svm_weights.pt"),),
        "lpips": (
            WeightFile(
                "https://github.com/photosynthesis-team/photosynthesis.metrics/releases/download/v0.4.0/lpips_weights.pt"
            ),
            _VGG16,
        ),
        "dists": (WeightFile(f"{_PIQ}/v0.4.1/dists_weights.pt"), _VGG16),
        "pieapp": (WeightFile(f"{_PIQ}/v0.5.4/PieAPPv0.1.pth"),),
        "clip_iqa": (
            WeightFile(f"{_PIQ}/v0.7.1/RN50.pt", clip=True, scripted=True),
            WeightFile(f"{_PIQ}/v0.7.1/clipiqa_tokens.pt", clip=True),
        ),
        "fid": (
            WeightFile(
                "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth"
            ),
        ),
    }
)
"""Measure -> the files it needs. A measure that is not here needs none."""


def torch_folder() -> Path:
    """`$TORCH_HOME/hub/checkpoints`, found as torch finds it, without torch."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return Path(os.environ.get("TORCH_HOME") or cache / "torch").expanduser() / "hub" / "checkpoints"


def clip_folder() -> Path:
    """`~/.cache/clip`: piq looks nowhere else."""
    return Path("~/.cache/clip").expanduser()


def missing(measure: str) -> list[WeightFile]:
    """The files of a measure that are not there."""
    return [file for file in FILES.get(measure, ()) if not file.path.is_file()]


def note(measure: str) -> str | None:
    """One line on the files that a measure lacks and where they go; None where it lacks none."""
    absent = missing(measure)
    if not absent:
        return None
    named = " and ".join(f"{file.path.name} ({file.url})" for file in absent)
    return f"{measure} is null: put {named} into {absent[0].path.parent}"


def check(measure: str) -> None:
    """Read each file of a measure as weights and nothing else.

    Raises:
        EquimeError: A file is missing, cut short, or holds objects other than weights.
        MissingPackageError: torch is not installed.
    """
    lacking = note(measure)
    if lacking:
        raise EquimeError(lacking)
    for file in FILES.get(measure, ()):
        _read(file)


def misfit(measure: str, error: Exception) -> EquimeError:
    """What to say where a measure's files are whole, but it does not run from them: weights of something else."""
    named = " and ".join(f"{file.path} ({file.url})" for file in FILES[measure])
    why = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return EquimeError(f"{measure} does not run from its weights ({why}): expected those of {named}")


def _read(file: WeightFile) -> None:
    torch = need("torch", extra="score")
    try:
        if file.scripted:
            torch.jit.load(file.path, map_location="cpu")
        else:
            torch.load(file.path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a different one for each way of being broken
        size = file.path.stat().st_size
        raise EquimeError(
            f"expected weights in {file.path}, got {size} bytes that are cut short or hold more than weights: "
            f"fetch it again from {file.url}"
        ) from error
