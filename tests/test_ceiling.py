from __future__ import annotations

import itertools

import numpy as np
import pytest

from equime.causal import EmotionModel
from equime.scm.ceiling import ceiling, uf1


def test_apart_is_one_and_alike_is_a_coin() -> None:
    apart = ceiling(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    assert (apart.uf1, apart.bound, apart.bayes, apart.accuracy) == (1.0, 1.0, 1.0, 1.0)
    assert apart.majority == pytest.approx((2 / 3 / (1 + 1 / 3)) / 3)
    alike = ceiling(np.array([[1.0, 1.0]]))
    assert alike.uf1 == pytest.approx(0.5, abs=1e-6)  # each called half of the time: F1 = 2 * .25 / (.5 + .5)
    assert alike.majority == pytest.approx(1 / 3) and alike.accuracy == 0.5
    assert alike.bound == pytest.approx(2 / 3)


@pytest.mark.parametrize("p", [0.05, 0.2, 0.4])
def test_a_tiny_model_in_closed_form(p: float) -> None:
    """The first emotion shows one thing only, the second the same with probability p: calling it the first is best."""
    found = ceiling(np.array([[1.0, p], [0.0, 1 - p]]))
    assert found.uf1 == pytest.approx((1 / (1 + p / 2) + 2 * (1 - p) / (2 - p)) / 2, abs=1e-12)
    assert found.accuracy == pytest.approx(1 - p / 2)


def test_no_rule_of_small_models_is_better() -> None:
    rng = np.random.default_rng(2)
    for _ in range(25):
        likelihoods = rng.dirichlet(np.full(6, 0.4), 3).T
        joint = likelihoods / 3
        rules = (np.eye(3)[list(picks)] for picks in itertools.product(range(3), repeat=6))
        best = max(uf1(joint, rule) for rule in rules)
        found = ceiling(likelihoods)
        assert best - 1e-9 <= found.uf1 <= found.bound + 1e-12
        assert found.bayes <= found.uf1 and found.majority <= found.uf1
        random = rng.dirichlet(np.ones(3), 6)
        assert uf1(joint, random) <= found.bound


def test_the_ceiling_of_the_packaged_tables() -> None:
    default = EmotionModel.from_tables().ceiling()
    assert default.bound - default.uf1 < 0.002
    assert 0.85 < default.uf1 < 0.95
    both = EmotionModel.from_tables(weights={"casme2": 1, "samm": 1, "casme3_partA": 1}).ceiling()
    assert both.bound < default.uf1 - 0.2  # self-reported labels say much less about units
    assert default.majority == pytest.approx(1 / 15)


def test_a_sampled_recogniser_stays_below() -> None:
    """A lookup table learnt from half of 20,000 drawn clips, tried on the other half."""
    model = EmotionModel.from_tables()
    rng = np.random.default_rng(4)
    names = ("happiness", "sadness", "surprise", "fear", "anger")
    clips = [(model.units[name].draw(u), name) for u in rng.random((4000, 67)).tolist() for name in names]
    half = len(clips) // 2
    counts: dict[tuple[int, ...], dict[str, int]] = {}
    for units, name in clips[:half]:
        counts.setdefault(units, dict.fromkeys(names, 0))[name] += 1
    called = [
        max(counts.get(units, {"happiness": 1}).items(), key=lambda item: item[1])[0] for units, _ in clips[half:]
    ]
    truth = [name for _, name in clips[half:]]
    scores = []
    for name in names:
        hits = sum(t == c == name for t, c in zip(truth, called, strict=True))
        scores.append(2 * hits / (truth.count(name) + called.count(name)))
    best = model.ceiling()
    assert best.uf1 - 0.03 < np.mean(scores) < best.bound + 0.01
