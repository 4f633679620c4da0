"""Fréchet distance between two sets of clips: how far apart their frames lie as wholes.

    inception = Inception()
    inception.load()
    fid(inception.of_clips(paths_a), inception.of_clips(paths_b))

The Fréchet inception distance (Heusel et al. 2017, arXiv 1706.08500) is that between Gaussians fitted to Inception's
2048 features of each set. It is biased upwards for small sets, and frames of one clip are nearly one frame: take one
frame or two of many clips, and equally many in both sets. Needs `pip install "equime[score]"` and one file of weights,
which `weights.note("fid")` names; `fid` itself takes any features and needs NumPy alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from equime import video
from equime.clip import uniform
from equime.errors import EquimeError
from equime.optional import need
from equime.quality import weights
from equime.quality.piq_measures import library, tensor
from equime.video import Frames, Source

Array: TypeAlias = npt.NDArray[np.float64]


def fid(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """The squared Fréchet distance between Gaussians fitted to two sets of features, 0 or more.

    |mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2)), with sample covariances A and B. With X and Y the centred sets
    over the roots of n - 1, A = X'X and B = Y'Y, and the last trace is the sum of the singular values of X Y': no
    root of a matrix, and exact where a set is smaller than its dimension.

    Args:
        a: Features, (N, D), N at least 2.
        b: Features, (M, D), M at least 2.

    Raises:
        EquimeError: Other shapes, or values that are not finite.
    """
    first, second = _checked(a), _checked(b)
    if first.shape[1] != second.shape[1]:
        raise EquimeError(f"expected features of one length, got {first.shape = } and {second.shape = }")
    x, y = _root(first), _root(second)
    shift = first.mean(axis=0) - second.mean(axis=0)
    overlap = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    return max(0.0, float(shift @ shift + np.square(x).sum() + np.square(y).sum() - 2 * overlap))


def _checked(features: npt.ArrayLike) -> Array:
    array = np.asarray(features, np.float64)
    if array.ndim != 2 or len(array) < 2 or not np.isfinite(array).all():
        raise EquimeError(f"expected finite features of at least 2 frames, (N, D), got {array.shape = }")
    return array


def _root(features: Array) -> Array:
    """R with R'R the sample covariance, at most D rows."""
    centred = (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)
    return np.asarray(np.linalg.qr(centred, mode="r")) if len(centred) > centred.shape[1] else centred


class Inception:
    """Inception-v3's features as FID defines them: the network of TensorFlow's FID, through piq."""

    def __init__(self, device: str = "cpu") -> None:
        """Nothing is loaded yet. `device` is torch's name of where it runs."""
        self.device = device

    def load(self) -> None:
        """Read the weights.

        Raises:
            EquimeError: The file is missing, cut short, or holds more than weights.
            MissingPackageError: piq is not installed.
        """
        _inception(self.device)

    def __call__(self, frames: Frames) -> npt.NDArray[np.float32]:
        """Features of RGB frames, uint8 (T, H, W, 3), each resized to 299 x 299: float32 (T, 2048)."""
        torch = need("torch", extra="score")
        network = _inception(self.device)
        with torch.inference_mode():
            rows = [network(tensor(frame, self.device))[0].reshape(-1).cpu().numpy() for frame in frames]
        return np.stack(rows) if rows else np.empty((0, 2048), np.float32)

    def of_clips(self, sources: Collection[Source], n: int = 2) -> npt.NDArray[np.float32]:
        """Features of `n` frames of each clip, evenly spread: float32 (n * clips, 2048).

        Args:
            sources: Each clip's bytes or path.
            n: Frames of a clip: the middles of `n` equal parts.

        Raises:
            EquimeError: A clip cannot be read, or has fewer than `n` frames.
        """
        features = []
        for source in tqdm(sources, desc="inception", unit="clip", disable=None):
            chosen = uniform(video.probe(source).num_frames, n)
            features.append(self(video.decode(source, chosen)))
        return np.concatenate(features) if features else np.empty((0, 2048), np.float32)


@lru_cache
def _inception(device: str) -> Any:
    weights.check("fid")
    extractors = library().feature_extractors
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # piq asks torchvision in a way that has become old
        try:
            network = extractors.InceptionV3()
        except (RuntimeError, TypeError, AttributeError, KeyError) as error:  # `load_state_dict` of anything else
            raise weights.misfit("fid", error) from error
        return network.eval().to(device)
