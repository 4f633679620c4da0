"""Whether a clip made again shows what the recipe's clip showed, where its bytes are not the same.

Another machine rounds otherwise and may code otherwise: the bytes differ, the face does the same. A recipe holds no
face to compare with, but what was measured of each clip; the new one is measured by the same stage with the same
options, and both must agree within `BOUNDS`, and wholly in `EQUAL` and in which units move on which side.

Where the bounds lie: 32 clips of the warp (4 pictures, 8 programmes, intensities A to E), their frames coded at a rate
factor of 17 or 19 in place of 18: 62 of 64 are within; the two others are of intensity A, where noise moves a time by
62 and 85 ms. Largest differences else: 30 ms in apex, 0.0006 eye distances in amplitude, 0.08 in `unit_fidelity`,
0.8 dB in `psnr_source`, 0.017 in `head_motion`. With the next letter of intensity, another side or another seed, 16
clips each, all 48 are beyond.

    differences(recipe_row, row)      # [] within tolerance, else one line for each measure that is not
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

from equime import schema

NOISE: Final = 0.0007
"""Movement that grain and compression alone can look like, in eye distances (see `equime.quality.gates`)."""


class Bound(NamedTuple):
    """How far a column may be from the recipe's: in frames (of columns in ms), as a share of it, or by itself.

    `least` is allowed always, by itself.
    """

    column: str
    amount: float
    of: Literal["frames", "share", "value"]
    least: float = 0.0

    def __str__(self) -> str:
        """As messages say it."""
        unit = "frame" if self.amount == 1 else "frames"
        how = {"frames": f"{self.amount:g} {unit}", "share": f"{self.amount:.0%}", "value": f"{self.amount:g}"}
        return f"{self.column} within {how[self.of]}{f' or {self.least:g}' if self.least else ''}"

    def allows(self, there: float, here: float, fps: float) -> bool:
        """Whether two values are close enough, at `fps` frames a second."""
        scale = {"frames": 1000 / fps, "share": abs(there), "value": 1.0}[self.of]
        return abs(there - here) <= max(self.amount * scale, self.least)


BOUNDS: Final = (
    Bound("measured_apex_ms", 1, "frames"),
    Bound("measured_onset_ms", 2, "frames"),
    Bound("measured_offset_ms", 2, "frames"),
    Bound("amplitude", 0.10, "share", NOISE),
    Bound("unit_fidelity", 0.15, "value"),
    Bound("psnr_source", 1.0, "value"),
    Bound("ssim_source", 0.01, "value"),
    Bound("total_variation", 0.05, "share"),
    Bound("head_motion", 0.02, "value"),
    Bound("jump", 0.05, "value"),
    Bound("eye_distance_px", 0.01, "share"),
    Bound("peak_px", 0.10, "share"),
)
EQUAL: Final = ("num_frames", "fps", "width", "height", "generator", "measured_side", "blinks")
REGION_SHARE: Final = 0.15
"""How far a region's motion may be from the recipe's, as a share of the most moved region's."""
CROP: Final = 0.5
"""How far the aligned square may lie, in pixels of the source photo and degrees."""
COLUMNS: Final = (*(bound.column for bound in BOUNDS), *EQUAL, "region_motion", "crop")
SCORED: Final = tuple(name for name in COLUMNS if schema.OWNER[name] == "score")


def stated() -> str:
    """The tolerance in one line, for reports."""
    regions = f"region_motion within {REGION_SHARE:.0%} or {NOISE:g}"
    return f"{'; '.join(map(str, BOUNDS))}; {regions}; crop within {CROP:g}; equal {', '.join(EQUAL)}"


def differences(want: Mapping[str, Any], have: Mapping[str, Any]) -> list[str]:
    """What is beyond the tolerance, one line each; empty where nothing is.

    Args:
        want: Columns `COLUMNS` of the recipe.
        have: The same, of the clip made again.
    """
    if all(want[name] is None for name in SCORED):
        return ["the recipe has no score to judge it by"]
    return [*_unequal(want, have), *_out_of_bounds(want, have), *_moved(want, have)]


def _unequal(want: Mapping[str, Any], have: Mapping[str, Any]) -> Iterator[str]:
    for name in EQUAL:
        if want[name] != have[name]:
            yield _line(name, want[name], have[name])


def _out_of_bounds(want: Mapping[str, Any], have: Mapping[str, Any]) -> Iterator[str]:
    for bound in BOUNDS:
        there, here = want[bound.column], have[bound.column]
        if there is None and here is None:
            continue
        if there is None or here is None or not bound.allows(there, here, want["fps"]):
            yield f"{_line(bound.column, there, here)} ({bound})"


def _moved(want: Mapping[str, Any], have: Mapping[str, Any]) -> Iterator[str]:
    """Regions and the square: structs of numbers, null as a whole or by part."""
    for name in ("region_motion", "crop"):
        there, here = _numbers(want[name]), _numbers(have[name])
        allowed = CROP if name == "crop" else max(REGION_SHARE * max(there.values(), default=0.0), NOISE)
        off = [part for part in there if part in here and abs(there[part] - here[part]) > allowed]
        if off or there.keys() != here.keys():
            part = off[0] if off else sorted(there.keys() ^ here.keys())[0]
            yield _line(f"{name} {part}", there.get(part), here.get(part))


def _numbers(values: Mapping[str, float | None] | None) -> dict[str, float]:
    return {name: value for name, value in (values or {}).items() if value is not None}


def _line(name: str, there: object, here: object) -> str:
    return f"{name} {_said(there)} in the recipe, {_said(here)} here"


def _said(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
