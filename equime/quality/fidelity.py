"""How good the pictures of a clip are: against its first frame, between consecutive frames, and by themselves.

    equime score ws                                  # the quick measures: PSNR, SSIM, total variation, sharpness
    equime score ws --measures all --every 8         # every measure of piq, slow ones on each eighth pair
    equime score ws --measures quick,vif_p,lpips

Columns: `<measure>_source` compares each frame with the clip's first (the still it was made from), `_consecutive`
each frame with the one before; both are means over pairs. **They reward stillness**: a frozen clip is perfect in
every one of them, and a strong expression costs. Read them beside the clip's motion, never alone.

`psnr`, `ssim`, `total_variation` and `sharpness` are of OpenCV's grey and need no torch. The other measures are
piq's, of RGB. Columns that end in `_reference` repeat the published table's arithmetic (`quality.reference`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from equime import schema
from equime.errors import EquimeError
from equime.optional import available
from equime.options import option
from equime.quality import piq_measures, pixels, weights
from equime.quality.pixels import Picture
from equime.video import Frames

QUICK = ("psnr", "ssim", "total_variation", "sharpness")
"""Measures that take no torch and about a millisecond a frame."""
REFERENCE = "reference"
GROUPS = ("quick", REFERENCE, "all")
COLUMNS = (
    *(f"{name}_{against}" for against in ("source", "consecutive") for name in schema.FULL_REFERENCE),
    *schema.NO_REFERENCE,
    *(f"{name}_reference" for name in schema.REFERENCE_MEASURES),
)
"""Every column that `Fidelity` fills, in the schema's order."""


@dataclass(frozen=True)
class Fidelity:
    """Fidelity of clips: `Fidelity("quick,vif_p")(frames)["psnr_consecutive"]`.

    Attributes:
        measures: Names of `schema.FULL_REFERENCE` and `NO_REFERENCE`, with commas; `quick`; `reference`, the five of
            the published table; `all`.
        every: Of the pairs and frames, each how many-th the slow measures take; the quick and the reference's take
            all.
        device: Where the slow ones run.
    """

    measures: str = option("quick", help="measures of fidelity, with commas: quick, reference, all, or by name")
    every: int = option(8, help="slow measures take each so many-th pair of frames", when=("strides", True))
    device: str = option("cpu", help="where slow measures run: cpu, cuda", result=False)

    @property
    def columns(self) -> list[str]:
        """The columns asked for, in the schema's order.

        Raises:
            EquimeError: A measure that is not known, or none.
        """
        names = {name.strip() for name in self.measures.split(",") if name.strip()}
        known = {*GROUPS, *schema.FULL_REFERENCE, *schema.NO_REFERENCE}
        if not names or not names <= known:
            raise EquimeError(f"expected --measures of {sorted(known)}, got {sorted(names - known) or 'none'}")
        return [column for column in COLUMNS if _asked(column, names)]

    @property
    def slow(self) -> list[str]:
        """The measures asked for that need piq."""
        bases = (_parts(column)[0] for column in self.columns)
        return [name for name in dict.fromkeys(bases) if name not in QUICK]

    @property
    def strides(self) -> bool:
        """Whether any measure asked for takes only each `every`-th pair."""
        return any(base not in QUICK and kind != REFERENCE for base, kind in map(_parts, self.columns))

    @property
    def packages(self) -> tuple[str, ...]:
        """Whose versions can change a value."""
        return ("numpy", "opencv-contrib-python-headless", *(("piq", "torch") if self.slow else ()))

    def notes(self) -> list[str]:
        """A line for each measure asked for whose files are missing: which, from where, and where they go."""
        lines = [line for line in map(weights.note, self.slow) if line]
        if lines and not all(map(available, ("torch", "piq"))):
            lines.insert(0, 'piq and torch compute these measures: run `pip install "equime[score]"` first')
        return lines

    def load(self) -> None:
        """Import piq and read the weights that are there, if a measure asked for needs them.

        Raises:
            EquimeError: An unknown measure, a stride below 1, a device that is not there, or a file of weights that
                is broken.
            MissingPackageError: A measure needs piq, which is not installed.
        """
        if self.every < 1:
            raise EquimeError(f"expected --every of 1 or more, got {self.every}")
        for name in self._available:
            piq_measures.check_device(self.device)
            piq_measures.measure(name, self.device)

    @property
    def _available(self) -> list[str]:
        return [name for name in self.slow if not weights.missing(name)]

    def __call__(self, frames: Frames) -> dict[str, float | None]:
        """Measure one clip.

        Args:
            frames: RGB, uint8 (T, H, W, 3).

        Returns:
            Every column of `COLUMNS`: a mean over pairs or frames, None where it was not asked for, lacks its files,
            or has no value (fewer than two frames, frames too small, one plain colour; single pairs without a value
            are left out of the mean). PSNR in dB, at most 100 a pair. `total_variation` is the root-mean-square step
            between neighbouring pixels, of 1 (piq's `l2` over the root of the number of pixels: sizes compare);
            `sharpness` the variance of the Laplacian. SSIM, MS-SSIM, IW-SSIM, VIF, FSIM, VSI, SR-SIM, HaarPSI and DSS
            are 1 for equal pictures; GMSD, MS-GMSD, MDSI, LPIPS and DISTS are 0.
        """
        asked = set(self.columns)
        found = _quick(frames, asked)
        for name in self._available:
            found |= self._slow(name, frames, asked)
        return {name: found.get(name) if name in asked else None for name in COLUMNS}

    def _slow(self, name: str, frames: Frames, asked: set[str]) -> dict[str, float | None]:
        if name in schema.FULL_REFERENCE:
            later = strided(len(frames), self.every)
            return {
                f"{name}_source": _mean(self._value(name, frames[0], frames[t]) for t in later),
                f"{name}_consecutive": _mean(self._value(name, frames[t - 1], frames[t]) for t in later),
            }
        chosen = [frames[t] for t in (strided(len(frames), self.every) or range(len(frames)))] if name in asked else []
        reference = list(pixels.greys(frames)) if f"{name}_reference" in asked else []
        return {
            name: _mean(self._value(name, frame) for frame in chosen),
            f"{name}_reference": _mean(self._value(name, grey) for grey in reference),
        }

    def _value(self, name: str, *pictures: Frames) -> float | None:
        return piq_measures.value(name, self.device, *(piq_measures.tensor(p, self.device) for p in pictures))


def strided(num_frames: int, every: int) -> list[int]:
    """The later frames of the pairs that slow measures take: each `every`-th of 1 to T - 1, from half a step in."""
    return list(range(1, num_frames))[min((every - 1) // 2, max(num_frames - 2, 0)) :: every]


_ALONE: Mapping[str, Callable[[Picture], float]] = MappingProxyType(
    {"total_variation": pixels.total_variation, "sharpness": pixels.sharpness}
)
_PAIRED: Mapping[str, Callable[[Picture, Picture], float]] = MappingProxyType(
    {
        "psnr_source": pixels.psnr,
        "psnr_consecutive": pixels.psnr,
        "psnr_reference": pixels.wrapped_psnr,
        "ssim_source": pixels.ssim,
        "ssim_consecutive": pixels.ssim,
    }
)
_SAME = MappingProxyType({"ssim_reference": "ssim_consecutive", "total_variation_reference": "total_variation"})
"""The reference's columns that differ from ours by nothing, or by a factor."""


def _quick(frames: Frames, asked: set[str]) -> dict[str, float | None]:
    """The columns that NumPy and OpenCV make, in one pass over the frames that keeps two of them."""
    wanted = asked | {_SAME[name] for name in asked if name in _SAME}
    if min(frames.shape[1:3]) < pixels.WINDOW:
        wanted -= {"ssim_source", "ssim_consecutive"}
    values: dict[str, list[float]] = defaultdict(list)
    first = before = None
    for now in map(Picture, pixels.greys(frames)):
        for name in _ALONE.keys() & wanted:
            values[name].append(_ALONE[name](now))
        if first is not None and before is not None:
            for name in _PAIRED.keys() & wanted:
                values[name].append(_PAIRED[name](first if name.endswith("_source") else before, now))
        first, before = first or now, now
    found = {name: _mean(numbers) for name, numbers in values.items()}
    found |= {name: found.get(_SAME[name]) for name in _SAME.keys() & asked}
    variation = found.get("total_variation")
    return found | {"total_variation": variation and variation / math.sqrt(math.prod(frames.shape[1:3]))}


def _asked(column: str, names: set[str]) -> bool:
    base, kind = _parts(column)
    if "all" in names or (base in QUICK and ("quick" in names or base in names)):
        return True
    return REFERENCE in names if kind == REFERENCE else base in names


def _parts(column: str) -> tuple[str, str]:
    """`vif_p_source` -> (vif_p, source); a measure without a reference picture has no second part."""
    base, _, kind = column.rpartition("_")
    return (base, kind) if kind in ("source", "consecutive", REFERENCE) else (column, "")


def _mean(values: Iterable[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return float(np.mean(numbers)) if numbers else None
