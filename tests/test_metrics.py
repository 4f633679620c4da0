"""The interval of a share: against SciPy's, and how often it covers the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import binomtest

from equime.metrics import wilson


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
@example((0, 1), 0.95)
@example((30, 30), 0.95)
def test_the_interval_is_scipys_and_holds_the_share(numbers: tuple[int, int], level: float) -> None:
    successes, trials = numbers
    theirs = binomtest(successes, trials).proportion_ci(level, method="wilson")
    low, high = wilson(successes, trials, level)
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert 0 <= low <= successes / trials <= high <= 1


def test_the_interval_covers_the_share_about_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).binomial(60, 0.8, 2000).tolist()
    covered = np.mean([low <= 0.8 <= high for low, high in (wilson(hits, 60) for hits in draws)])
    assert 0.93 < covered < 0.97
