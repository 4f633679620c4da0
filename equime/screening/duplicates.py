"""Near-duplicates among faces: the same photo encoded again, scaled, brightened or mirrored.

Why: a copy under another subject's name could land in another split. Thumbnails (`appearance`) are compared by
the normalised correlation of their detail, the mirrored one too. Of 100 strangers no two reached 0.8; of 420 copies
(encoded again, scaled, brightened, mirrored, cropped, turned) 96 % reached 0.87. All pairs are compared in blocks of a
matrix product, 30,000 pictures in half a minute; what is kept is one number a picture, its `likeness` to the picture
most like it, so that growing a collection compares only the new with all, and another threshold next to nothing.

    >>> likeness(thumbnails)                          # float32 (n,)
    >>> list(pairs_above(thumbnails, 0.87))           # [(3, 17, 0.97), ...]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

BLOCK: Final = 512
"""Pictures compared with all others at a time: 150 MB where there are 75,000."""
DETAIL: Final = 1.5
"""Pixels of a thumbnail: what is smoother is light and head shape, which strangers share."""


def likeness(thumbnails: Array, before: Array | None = None) -> Array:
    """The highest correlation of each picture with any other, mirrored or not; -1 where there is no other.

    Args:
        thumbnails: uint8 (n, side, side).
        before: float32 (k,), the likeness of the first k pictures among themselves, where known.

    Returns:
        float32 (n,) in -1..1.
    """
    vectors, mirrored = _vectors(thumbnails), _vectors(thumbnails[:, :, ::-1])
    known = 0 if before is None else len(before)
    highest = np.full(len(vectors), -1, np.float32)
    if before is not None:
        highest[:known] = before
    for start, block in _blocks(vectors, mirrored, known):
        part = highest[start : start + len(block)]
        np.maximum(part, block.max(1, initial=-1), out=part)
        np.maximum(highest[: block.shape[1]], block.max(0), out=highest[: block.shape[1]])
    return highest


def pairs_above(thumbnails: Array, threshold: float) -> Iterator[tuple[int, int, float]]:
    """Pairs (i, j, correlation) with i < j whose correlation, mirrored or not, is at least `threshold`.

    Args:
        thumbnails: uint8 (n, side, side).
        threshold: -1..1.
    """
    for start, block in _blocks(_vectors(thumbnails), _vectors(thumbnails[:, :, ::-1]), 0):
        for row, other in np.argwhere(block >= threshold).tolist():
            yield other, start + row, float(block[row, other])


def _blocks(vectors: Array, mirrored: Array, first: int) -> Iterator[tuple[int, Array]]:
    """(row number, float32 (rows, rows so far)): each picture from `first` on against all before it."""
    for start in range(first, len(vectors), BLOCK):
        end = min(start + BLOCK, len(vectors))
        block = vectors[start:end] @ vectors[:end].T
        np.maximum(block, vectors[start:end] @ mirrored[:end].T, out=block)
        block[:, start:][np.triu_indices(end - start)] = -1  # itself, and pairs that another row has
        yield start, block


def _vectors(thumbnails: Array) -> Array:
    """float32 (n, pixels) of mean 0 and length 1: the detail of each thumbnail."""
    images = thumbnails.astype(np.float32)
    detail = [image - cv2.GaussianBlur(image, (0, 0), DETAIL) for image in images]
    flat = np.reshape(detail, (len(images), int(np.prod(thumbnails.shape[1:])))).astype(np.float32)
    flat -= flat.mean(1, keepdims=True)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6))
