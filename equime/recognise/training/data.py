"""What training may see: the training part of one fold, and nothing beside it.

Why a type of its own: many of the field's best numbers chose an epoch on the test fold. Code that is handed a
`Training` cannot: the test samples are not in it, and nothing in it leads to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from equime.errors import EquimeError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Training:
    """Samples to learn from.

    Attributes:
        x: float32 (n, ...): one feature a sample.
        y: int64 (n,): classes, 0 to `classes - 1`.
        subjects: (n,) whose sample each is; what is set aside is set aside by subject.
        classes: How many classes there are, whether or not each occurs.

    Raises:
        EquimeError: No samples, lengths that differ, a label outside the classes, or features that are no numbers.
    """

    x: Array
    y: Array
    subjects: Array
    classes: int

    def __post_init__(self) -> None:
        if not len(self.x) or not len(self.x) == len(self.y) == len(self.subjects):
            raise EquimeError(
                f"expected as many samples as labels and subjects, got {len(self.x)}, {len(self.y)}, "
                f"{len(self.subjects)}"
            )
        if self.y.min() < 0 or self.y.max() >= self.classes:
            raise EquimeError(f"expected labels from 0 to {self.classes - 1}, got {sorted(set(self.y.tolist()))}")
        if not np.isfinite(self.x).all():
            raise EquimeError("expected finite features, got NaN or infinity: make them again, with an empty --cache")

    def __len__(self) -> int:
        return len(self.x)

    def take(self, positions: Array) -> Training:
        """Some of the samples."""
        return Training(self.x[positions], self.y[positions], self.subjects[positions], self.classes)

    def weights(self) -> Array:
        """float32 (classes,): how much a sample of each class counts so that all classes count alike."""
        counts = np.bincount(self.y, minlength=self.classes)
        present = counts > 0
        found = np.zeros(self.classes, np.float32)
        found[present] = len(self.y) / (present.sum() * counts[present])
        return found
