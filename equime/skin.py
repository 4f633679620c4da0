"""Skin tone without weights: the individual typology angle of the cheeks.

    angle = skin_ita(image, face)      # degrees; None where the picture has no colour of skin
    skin_band(angle)                   # "very light" ... "dark"

Why: perceived race comes from networks that err most where it matters, and is null where no network says it. The
angle is read off the picture (Chardon et al. 1991; bands after Del Bino & Bernerd 2013) and lets any figure be given by
tone of skin. It is the tone *as pictured*: light, white balance and exposure shift it by 10 degrees and more, make-up
too, and a camera that exposes for a face hides part of the difference. So compare groups by it, and do not call one
person's skin by one clip's angle.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from equime.mesh import SIDES, Face, region_mask

Array = npt.NDArray[Any]

BANDS: Final = ("very light", "light", "intermediate", "tan", "brown", "dark")
"""From the largest angle down."""
EDGES: Final = (55.0, 41.0, 28.0, 10.0, -30.0)
"""Degrees between the bands."""

MIN_PIXELS: Final = 30
MIN_YELLOW: Final = 2.0
"""b* under which the picture is grey or its light blue: skin in white light has 8 to 25."""
KEPT: Final = (0.25, 0.75)
"""Quantiles of lightness between which a cheek's pixels count: neither shine nor shadow."""

_TO_XYZ: Final = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
)
_WHITE: Final = np.array([0.95047, 1.0, 1.08883])


def skin_ita(image: Array, face: Face) -> float | None:
    """The individual typology angle atan2(L* - 50, b*) of both cheeks, in degrees; larger is lighter.

    L* and b* are medians over the cheeks' pixels of middle lightness, so that a shine, a beard's shadow or the dark
    side of a lit face counts little.

    Args:
        image: uint8 (H, W, 3) sRGB.
        face: A face in that image.

    Returns:
        Degrees, between -90 and 90; None where too little of the cheeks is seen, or the picture is grey or blue.
    """
    pixels = np.concatenate([image[region_mask(face, "cheek", side, image.shape)] for side in SIDES])
    pixels = pixels[(pixels.max(1) < 255) & (pixels.max(1) > 0)]
    if len(pixels) < MIN_PIXELS:
        return None
    colours = lab(pixels)
    low, high = np.quantile(colours[:, 0], KEPT)
    lightness, _, yellow = np.median(colours[(colours[:, 0] >= low) & (colours[:, 0] <= high)], axis=0)
    return float(np.degrees(np.arctan2(lightness - 50, yellow))) if yellow >= MIN_YELLOW else None


def skin_band(ita: float | None) -> str | None:
    """The band of an angle in degrees, of `BANDS`; an edge belongs to the darker one. None without an angle."""
    return None if ita is None else BANDS[sum(ita <= edge for edge in EDGES)]


def lab(pixels: Array) -> Array:
    """CIELAB (D65, 2 degrees) of sRGB pixels.

    Args:
        pixels: uint8 (..., 3) RGB.

    Returns:
        float64 (..., 3): L* (0-100), a*, b*.
    """
    share = pixels.astype(np.float64) / 255
    linear = np.where(share > 0.04045, ((share + 0.055) / 1.055) ** 2.4, share / 12.92)
    xyz = linear @ _TO_XYZ.T / _WHITE
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
