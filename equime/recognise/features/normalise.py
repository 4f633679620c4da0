"""How a flow image is scaled for a model. Papers differ, and mostly do not say; the choice is an option and recorded.

normalised(image, "fixed", eye_distance=74.7)   # float32 (3, H, W)
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from equime.errors import EquimeError
from equime.recognise.samples import Array

Normalise = Literal["none", "fixed", "minmax", "p99"]
FIXED_SHARE: Final = 0.02
"""Of the eye distance: the displacement that "fixed" makes 1, as a clear micro-expression has it."""
FIXED_STRAIN: Final = 0.02
"""The strain that "fixed" makes 1, in pixels per pixel."""


def normalised(image: Array, how: Normalise, eye_distance: float) -> Array:
    """A flow image scaled, float32 (3, H, W).

    - "none": displacements in pixels of the view, strain in pixels per pixel;
    - "fixed": displacements over `FIXED_SHARE` of the eye distance, strain over `FIXED_STRAIN`: signs and amplitudes
      stay comparable between samples, nothing is clipped;
    - "minmax": each channel of each sample from 0 to 1, as the 8-bit pictures of most published code: amplitude is
      lost, and where nothing moved noise fills the range. A constant channel is 0;
    - "p99": each channel over the 99th percentile of its magnitude, clipped to -1 to 1: signs stay, amplitude is lost.

    Args:
        image: float32 (3, H, W): u to the right, v down, strain.
        how: Which.
        eye_distance: In the view's pixels.

    Raises:
        EquimeError: An unknown way.
    """
    if how == "none":
        return np.asarray(image, np.float32)
    if how == "fixed":
        unit = np.array([FIXED_SHARE * eye_distance] * 2 + [FIXED_STRAIN])
        return np.asarray(image / unit[:, None, None], np.float32)
    if how == "minmax":
        low, high = image.min((1, 2), keepdims=True), image.max((1, 2), keepdims=True)
        return np.asarray((image - low) / np.where(high > low, high - low, 1), np.float32)
    if how == "p99":
        top = np.percentile(np.abs(image), 99, axis=(1, 2), keepdims=True)
        return np.asarray(np.clip(image / np.where(top > 0, top, 1), -1, 1), np.float32)
    raise EquimeError(f"expected none, fixed, minmax or p99, got normalise = {how!r}")
