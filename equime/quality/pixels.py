"""What two grey pictures differ by, and what one shows: PSNR, SSIM, total variation, sharpness. NumPy and OpenCV.

Everything is counted in whole numbers as far as it goes: the sums of SSIM's 7 x 7 windows are exact in 32 bits, a
frame's own are made once for all its pairs, and OpenCV's running sums cost the same for any window.
`python bench/score.py` sets them against scikit-image's.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from equime.video import Frames

Array: TypeAlias = npt.NDArray[Any]
Grey: TypeAlias = npt.NDArray[np.uint8]
Strip: TypeAlias = tuple[Grey, Array, Array, Array]

CEILING_DB = 100.0
"""PSNR of equal pictures, where the formula has no value, and the most any pair gets."""
WINDOW = 7
_PIXELS = WINDOW**2
_MARGIN = WINDOW // 2
_ROWS = 58
# SSIM's constants, times what the sums below are times the means and the sample covariances.
_C1 = np.float32((0.01 * 255) ** 2 * _PIXELS**2)
_C2 = np.float32((0.03 * 255) ** 2 * _PIXELS * (_PIXELS - 1))


def greys(frames: Frames) -> Iterator[Grey]:
    """Each RGB frame as OpenCV's grey (BT.601 luma in fixed point): uint8 (H, W), bit for bit `COLOR_BGR2GRAY`'s."""
    return (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames)


class Picture:
    """One grey picture; what SSIM needs of its windows is summed once, when first asked for."""

    def __init__(self, grey: Grey) -> None:
        """Keep uint8 (H, W)."""
        self.grey = grey

    @cached_property
    def strips(self) -> list[Strip]:
        """Strips of rows, small enough for the cache and the heap.

        Each has its grey levels, the sums of its 7 x 7 windows, those sums squared, and 49 * 49 times the windows'
        variances: int32, exact. H and W are at least 7.
        """
        tops = range(0, self.grey.shape[0] - 2 * _MARGIN, _ROWS)
        return [_strip(self.grey[top : top + _ROWS + 2 * _MARGIN]) for top in tops]


def psnr(a: Picture, b: Picture) -> float:
    """Peak signal-to-noise ratio in dB, of 255, at most `CEILING_DB`: scikit-image's, but finite."""
    squares = cv2.norm(a.grey, b.grey, cv2.NORM_L2SQR)
    return min(CEILING_DB, _decibels(squares / a.grey.size)) if squares else CEILING_DB


def wrapped_psnr(a: Picture, b: Picture) -> float:
    """PSNR as the published table has it: differences and their squares both modulo 256, 100 for a mean of zero.

    That is `np.mean((a - b) ** 2)` on uint8 arrays. A step of 16 counts as none, one of 3 as much as one of 253: the
    figure is no PSNR, and is here to be compared with the published one. Not capped.
    """
    step = a.grey - b.grey
    squares = cv2.sumElems(step * step)[0]
    return _decibels(squares / step.size) if squares else CEILING_DB


def _decibels(mean_square: float) -> float:
    return float(10 * np.log10(255**2 / mean_square))


def ssim(a: Picture, b: Picture) -> float:
    """Mean structural similarity, -1 to 1: `skimage.metrics.structural_similarity` with its defaults, of 255.

    Uniform 7 x 7 windows, sample covariance, K1 = 0.01, K2 = 0.03, windows inside the picture (Wang et al. 2004, as
    scikit-image has it); equal to it within 1e-6.
    """
    total, count = 0.0, 0
    for one, other in zip(a.strips, b.strips, strict=True):
        similarity = _similarity(one, other)
        total += cv2.sumElems(similarity)[0]
        count += similarity.size
    return total / count


def _strip(grey: Grey) -> Strip:
    sums = _inside(cv2.boxFilter(grey, cv2.CV_32S, (WINDOW, WINDOW), normalize=False))
    spread = _inside(cv2.sqrBoxFilter(grey, cv2.CV_32S, (WINDOW, WINDOW), normalize=False)) * _PIXELS
    squared = sums * sums
    spread -= squared
    return grey, sums, squared, spread


def _similarity(a: Strip, b: Strip) -> Array:
    """SSIM's map of a strip: float32. In place where it can be, as new pages cost more than the arithmetic."""
    products = cv2.multiply(a[0], b[0], dtype=cv2.CV_16U)
    covariance = _inside(cv2.boxFilter(products, cv2.CV_32S, (WINDOW, WINDOW), normalize=False)) * (2 * _PIXELS)
    means = a[1] * b[1]
    means *= 2
    covariance -= means
    similarity = means + _C1
    similarity *= covariance + _C2
    below = a[2] + b[2] + _C1
    below *= a[3] + b[3] + _C2
    similarity /= below
    return similarity


def _inside(sums: Array) -> Array:
    return sums[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]


def total_variation(picture: Picture) -> float:
    """The root of the sum of squared steps between neighbours, of 1: piq's `total_variation(norm_type="l2")`.

    It grows with the picture's side; divide by the root of the number of pixels to compare sizes.
    """
    grey = picture.grey
    squares = cv2.norm(grey[:, 1:], grey[:, :-1], cv2.NORM_L2SQR) + cv2.norm(grey[1:], grey[:-1], cv2.NORM_L2SQR)
    return float(np.sqrt(squares) / 255)


def sharpness(picture: Picture) -> float:
    """The variance of the Laplacian, grey levels squared: high where edges and grain are (Pech-Pacheco et al. 2000)."""
    _, deviation = cv2.meanStdDev(cv2.Laplacian(picture.grey, cv2.CV_16S))
    return float(deviation[0, 0] ** 2)
