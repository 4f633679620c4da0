"""The measures that piq computes: structure, saliency, gradients, and networks. Needs `pip install "equime[score]"`.

piq's own definitions and defaults, on RGB of 0 to 1 in float32 (those of luma alone turn to it themselves), one pair
at a time: on a CPU a batch is slower, and processes beside each other scale. Kastryulin et al. 2022,
arXiv 2208.14818.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from equime import schema
from equime.errors import EquimeError
from equime.optional import need
from equime.quality import weights

FUNCTIONS: Mapping[str, str] = MappingProxyType(
    {
        "ms_ssim": "multi_scale_ssim",
        "iw_ssim": "information_weighted_ssim",
        "vif_p": "vif_p",
        "fsim": "fsim",
        "vsi": "vsi",
        "srsim": "srsim",
        "gmsd": "gmsd",
        "ms_gmsd": "multi_scale_gmsd",
        "haarpsi": "haarpsi",
        "mdsi": "mdsi",
        "dss": "dss",
        "brisque": "brisque",
    }
)
"""Measure -> piq's function."""
NETWORKS: Mapping[str, str] = MappingProxyType(
    {"lpips": "LPIPS", "dists": "DISTS", "pieapp": "PieAPP", "clip_iqa": "CLIPIQA"}
)
"""Measure -> piq's network."""


@lru_cache
def library() -> ModuleType:
    """The piq package.

    Raises:
        MissingPackageError: piq is not installed, or does not import.
    """
    return need("piq", extra="score")


@lru_cache
def measure(name: str, device: str) -> Callable[..., Any]:
    """The function or network of piq for a measure, its weights read, checked and tried.

    Raises:
        EquimeError: A file of weights is missing, broken, or of another network.
        MissingPackageError: piq is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what piq uses that has become old
        weights.check(name)
        piq = library()
        if name not in weights.FILES:
            return getattr(piq, FUNCTIONS[name])  # type: ignore[no-any-return]
        noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
        pictures = [tensor(noise, device)] * (1 if name in schema.NO_REFERENCE else 2)
        try:
            made = (
                getattr(piq, FUNCTIONS[name]) if name in FUNCTIONS else getattr(piq, NETWORKS[name])().eval().to(device)
            )
            made(*pictures)
        except Exception as error:  # whatever foreign weights make of piq
            raise weights.misfit(name, error) from error
        return made  # type: ignore[no-any-return]


def check_device(device: str) -> None:
    """Raise unless torch can compute on `device`.

    Raises:
        EquimeError: No such device, or no torch for it.
        MissingPackageError: torch is not installed.
    """
    torch = need("torch", extra="score")
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise EquimeError(f"expected --device of cpu or a GPU that torch sees, got {device!r}") from error


def tensor(picture: npt.NDArray[np.uint8], device: str) -> Any:
    """uint8 (H, W, 3) or (H, W) as piq wants it: float32 (1, C, H, W), 0 to 1."""
    torch = need("torch", extra="score")
    planes = picture.reshape(*picture.shape[:2], -1).transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(planes))[None].to(device).float() / 255


def value(name: str, device: str, *pictures: Any) -> float | None:
    """A measure of one tensor or a pair; None where piq refuses it (too small, one colour) or it is no number."""
    torch, measured = need("torch", extra="score"), measure(name, device)
    try:
        with torch.inference_mode():
            found = float(measured(*pictures))
    except (AssertionError, ValueError, torch.linalg.LinAlgError):
        return None
    return found if np.isfinite(found) else None
