"""Screened sources without pictures, for tests of what is decided about them."""

from __future__ import annotations

import random
from collections.abc import Sequence

from equime import schema
from equime.screening.gallery import Source

SKEWED = (0.089, 0.009, 0.044, 0.748, 0.037, 0.073)
"""Shares of `schema.RACES` in the published data set."""
AGES = (0.55, 0.35, 0.08, 0.016, 0.004)


def make_sources(
    count: int, races: Sequence[float] = SKEWED, ages: Sequence[float] = AGES, seed: int = 0
) -> list[Source]:
    """Subjects s0, s1, ... with one picture each, their labels and measures drawn."""
    rng = random.Random(seed)
    return [
        Source(
            subject_id=f"s{number}",
            path=f"{number}.jpg",
            sha256=f"{number:064x}",
            gender=rng.choice(schema.GENDERS),
            age=rng.choices(schema.AGE_BANDS, ages)[0],
            race=rng.choices(schema.RACES, races)[0],
            adult=True,
            eye_distance=rng.gauss(140, 10),
            yaw=rng.gauss(0, 5),
            pitch=rng.gauss(0, 5),
            roll=rng.gauss(0, 3),
            sharpness=rng.lognormvariate(0, 0.3),
            mouth_open=0.02,
            smile=0.0,
            eye_open=0.3,
            glasses=rng.random() < 0.1,
            faces=1,
        )
        for number in range(count)
    ]
