"""Statistics that several parts report.

Why here: a share of accepted clips should have one interval, whether a plan, a ranking or an audit says it.
"""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """The score interval of a share (Wilson 1927): sound for few trials and for shares near 0 and 1.

    Args:
        successes: 0 to `trials`.
        trials: At least 1.
        level: How often the interval covers the true share, between 0 and 1.

    Returns:
        (low, high), 0-1, around `successes / trials`.
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = successes / trials
    centre = share + z * z / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    scale = 1 + z * z / trials
    # Rounding may put the share itself a hair outside.
    return max(0.0, min(share, (centre - half) / scale)), min(1.0, max(share, (centre + half) / scale))
