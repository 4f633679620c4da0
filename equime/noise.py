"""Named, seeded noise: every mechanism draws from its own generator, whatever the order.

noise(seed_of(0, "fear/f_ann_01"), "times").random()
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random.bit_generator import ISeedSequence


def seed_of(plan_seed: int, noise_key: str) -> int:
    """Seed of a clip: the first 63 bits of sha256 over the plan's seed and the noise key."""
    digest = hashlib.sha256(f"{plan_seed}\0{noise_key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def noise(seed: int, name: str) -> np.random.Generator:
    """Generator of one named source of noise: Philox keyed by the first 128 bits of sha256(seed, name).

    Generators of two names are independent; nothing depends on the order in which they are made.
    """
    key = _Key(hashlib.sha256(f"{seed}\0{name}".encode()).digest()[:16][::-1])
    return np.random.Generator(np.random.Philox(key))  # type: ignore[arg-type]  # any ISeedSequence will do


class _Key(ISeedSequence):
    """A digest as the key of a bit generator: `Philox(key=...)` would ask the system for entropy each time."""

    def __init__(self, digest: bytes) -> None:
        self.digest = digest

    def generate_state(self, n_words: int, dtype: npt.DTypeLike = np.uint32) -> npt.NDArray[Any]:
        return np.frombuffer(self.digest, np.dtype(dtype).newbyteorder("<"), n_words).astype(dtype)
