from __future__ import annotations

import itertools
import json
import math
from collections import Counter

import numpy as np
import pytest
from counted import pooled, share
from scipy import stats

from equime.au_counts import COUNTS, Counts
from equime.causal import EMOTIONS, EmotionModel
from equime.errors import EquimeError
from equime.scm.unit_fit import STRONG_PAIRS, WEIGHTS, fit_units
from equime.scm.unit_model import NEVER, PROTOTYPE, Block, Outcome, UnitModel, borrowed

DRAWS = 20_000
WELL_CODED = ("happiness", "surprise", "anger", "disgust")
WHOLE = {emotion: fit_units(emotion, COUNTS, WEIGHTS) for emotion in EMOTIONS}


BLOCKS = (
    Block((1, 2), {(1,): 0.05, (2,): 0.1, (1, 2): 0.3}),
    Block((4, 7, 9), {(4,): 0.02, (4, 7): 0.05, (7, 9): 0.04, (4, 7, 9): 0.01}),
    Block((12,), {(12,): 0.2}),
)
SMALL = UnitModel(BLOCKS, {}, {"own": 1.0})


def enumerated() -> dict[Outcome, float]:
    """The distribution of `SMALL`, by going through every combination and leaving out the empty one."""
    choices = [[((), 1 - sum(b.chances.values())), *b.chances.items()] for b in BLOCKS]
    table = {
        tuple(sorted(itertools.chain(*(key for key, _ in picks)))): math.prod(p for _, p in picks)
        for picks in itertools.product(*choices)
    }
    some = 1 - table.pop(())
    return {key: chance / some for key, chance in table.items()}


def test_conditioning_is_exact_against_enumeration() -> None:
    expected = enumerated()
    assert SMALL.distribution() == pytest.approx(expected, abs=1e-15)
    assert {key: SMALL.exactly(key) for key in expected} == pytest.approx(expected, abs=1e-15)
    for units in itertools.chain.from_iterable(itertools.combinations((1, 2, 4, 7, 9, 12), k) for k in (1, 2, 3)):
        assert SMALL.chance(*units) == pytest.approx(share(expected, *units), abs=1e-15), units
    assert SMALL.mean == pytest.approx(sum(len(key) * p for key, p in expected.items()))
    assert SMALL.exactly(()) == SMALL.chance(5) == SMALL.exactly((1, 5)) == 0.0


def test_draws_follow_the_enumeration() -> None:
    rng = np.random.default_rng(3)
    found = Counter(SMALL.draw(uniforms) for uniforms in rng.random((DRAWS, 13)).tolist())
    expected = enumerated()
    assert set(found) <= set(expected)
    observed = [found[key] for key in expected]
    assert stats.chisquare(observed, [DRAWS * p for p in expected.values()]).pvalue > 1e-4


def test_the_likely_are_kept_where_the_rest_is_left_out() -> None:
    whole, cut = WHOLE["disgust"].distribution(), WHOLE["disgust"].distribution(least=1e-6)
    assert cut == {key: whole[key] for key in cut} and len(cut) < len(whole) / 10
    assert {key for key, chance in whole.items() if chance >= 1e-6} == set(cut)


@pytest.mark.parametrize("emotion", WELL_CODED)
def test_marginals_given_a_unit_are_the_smoothed_counts(emotion: str) -> None:
    n, units, pairs = pooled(emotion)
    table = WHOLE[emotion].distribution()
    assert math.isclose(sum(table.values()), 1.0) and () not in table
    for au, count in units.items():
        assert share(table, au) == pytest.approx((count + 0.5) / (n + 1), abs=1e-9)
    for pair in STRONG_PAIRS:
        if units[pair[0]] and units[pair[1]]:
            assert share(table, *pair) == pytest.approx((pairs[pair] + 0.5) / (n + 1), abs=1e-9)


@pytest.mark.parametrize("weak", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("emotion", ["anger", "disgust", "happiness"])
def test_the_strength_of_weak_pairs_leaves_the_marginals(emotion: str, weak: float) -> None:
    n, units, _ = pooled(emotion)
    model = fit_units(emotion, COUNTS, WEIGHTS, weak)
    for au, count in units.items():
        assert model.chance(au) == pytest.approx((count + 0.5) / (n + 1), abs=1e-8)


def test_weak_pairs_go_from_independence_to_the_counts() -> None:
    n, _, pairs = pooled("disgust")
    loose, default, tight = (fit_units("disgust", COUNTS, WEIGHTS, weak) for weak in (0.0, 0.5, 1e3))
    assert loose.log_odds_ratio(4, 7) == pytest.approx(0, abs=1e-6)
    assert tight.chance(4, 7) == pytest.approx(pairs[4, 7] / n, rel=1e-4)
    assert tight.chance(4, 9) == pytest.approx(pairs[4, 9] / n, rel=1e-4)
    assert 0 < default.log_odds_ratio(4, 7) < tight.log_odds_ratio(4, 7)
    assert loose.chance(4, 7) < default.chance(4, 7) < tight.chance(4, 7)
    in_anger = fit_units("anger", COUNTS, WEIGHTS).log_odds_ratio(4, 7)
    assert -1.0 < in_anger < 0  # in anger they replace each other
    strong = WHOLE["surprise"]
    assert strong.log_odds_ratio(1, 2) > 1 and strong.log_odds_ratio(1, 12) == 0


def test_the_weak_block_is_at_the_mode_of_its_posterior() -> None:
    """Log likelihood of marginals and pairs minus the prior, over the pair terms: no small step raises it."""
    n, _, pairs = pooled("disgust")
    model = WHOLE["disgust"]
    block = next(block for block in model.blocks if 7 in block.units)
    odds = np.array([model_log_odds(block, pair) for pair in ((4, 7), (4, 9))])
    for pair, odd in zip(((4, 7), (4, 9)), odds, strict=True):
        assert n * model.chance(*pair) + odd / 0.5**2 == pytest.approx(pairs[pair], abs=1e-6)


def model_log_odds(block: Block, pair: tuple[int, int]) -> float:
    """Log odds ratio of a pair while the block's third unit rests."""
    chances = block.whole
    return math.log(chances[pair] * chances[()] / (chances[pair[:1]] * chances[pair[1:]]))


def test_units_that_only_the_prototype_has_are_independent() -> None:
    fear = WHOLE["fear"]
    assert fear.units >= {4, 7} and 4 not in COUNTS["samm"]["fear"].au
    assert fear.log_odds_ratio(4, 7) == pytest.approx(0, abs=1e-6)


def test_one_kind_of_unit_in_every_clip() -> None:
    tables = {"own": {"fear": Counts(30, {20: 30}, {})}}
    assert fit_units("fear", tables, {"own": 1.0}).distribution() == pytest.approx({(20,): 1.0})


def test_showing_sums_the_others_out() -> None:
    table = SMALL.distribution()
    shown = SMALL.showing({1, 7, 9, 12})
    kept: Counter[Outcome] = Counter()
    for key, chance in table.items():
        kept[tuple(au for au in key if au in (1, 7, 9, 12))] += chance
    some = 1 - kept.pop(())
    assert shown.distribution() == pytest.approx({key: chance / some for key, chance in kept.items()})
    assert shown.units == {1, 7, 9, 12}
    with pytest.raises(EquimeError, match="can_show"):
        SMALL.showing({20})


def test_the_same_noise_gives_two_emotions_the_units_that_both_favour() -> None:
    rng = np.random.default_rng(0)
    pairs = [(WHOLE["anger"].draw(u), WHOLE["disgust"].draw(u)) for u in rng.random((4000, 67)).tolist()]
    both = sum(4 in a and 4 in b for a, b in pairs) / len(pairs)
    apart = WHOLE["anger"].chance(4) * WHOLE["disgust"].chance(4)
    assert both > apart + 0.05


def test_evidence_and_what_is_borrowed() -> None:
    assert WHOLE["happiness"].evidence == {"casme2": 32.0, "samm": 26.0}
    assert WHOLE["fear"].evidence == {"samm": 8.0, PROTOTYPE: 4.0}
    assert WHOLE["fear"].prior_share == pytest.approx(1 / 3)
    found = borrowed(WHOLE)
    assert set(found) == {"sadness", "fear", "anger"}
    assert found["anger"].lacking == ("casme2",) and found["anger"].shares == {"samm": 1.0}
    assert str(found["fear"]) == "samm 67%, EMFACS prototype 33%, nothing from casme2"


def test_marks_of_units_that_are_left_out() -> None:
    anger = WHOLE["anger"].showing(WHOLE["anger"].units - NEVER)
    assert anger.dropped == pytest.approx({43: 8 / 57, 56: 1 / 57})
    assert anger.kept == pytest.approx(68 / 57)
    assert not anger.units & NEVER


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_to_dict_and_back(emotion: str) -> None:
    again = UnitModel.from_dict(json.loads(json.dumps(WHOLE[emotion].to_dict())))
    assert again == WHOLE[emotion]
    assert again.distribution() == WHOLE[emotion].distribution()


@pytest.mark.parametrize("weak", [-1.0, math.nan, math.inf])
def test_bad_strengths(weak: float) -> None:
    with pytest.raises(EquimeError, match="weak = "):
        fit_units("anger", COUNTS, WEIGHTS, weak)


GROUPS = ((1, 2), (4, 7, 9), (6, 12))


def grouped(model: UnitModel, units: Outcome) -> dict[Outcome, float]:
    """Distribution of some units before at least one is asked for: the product of the blocks among them."""
    table: dict[Outcome, float] = {(): 1.0}
    for block in model.blocks:
        if set(block.units) <= set(units):
            chances = {(): 1 - sum(block.chances.values()), **block.chances}
            table = {tuple(sorted(k + o)): p * q for k, p in table.items() for o, q in chances.items()}
    return table


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.timeout(180)
def test_pgmpy_agrees() -> None:
    """The same network in pgmpy: emotion -> groups of units -> "something acts so far", asked given that it does."""
    models = pytest.importorskip("pgmpy.models")
    factors = pytest.importorskip("pgmpy.factors.discrete")
    inference = pytest.importorskip("pgmpy.inference")
    names = ("happiness", "surprise", "anger")
    model = EmotionModel.from_tables(can_show={1, 2, 4, 5, 6, 7, 9, 12, 14})
    units = sorted(set().union(*(model.units[name].units for name in names)))
    groups = [*GROUPS, *((au,) for au in units if not any(au in group for group in GROUPS))]
    network = models.DiscreteBayesianNetwork()
    network.add_node("E")
    tables = [factors.TabularCPD("E", 3, [[1 / 3]] * 3, state_names={"E": list(names)})]
    states, before = {}, None
    for index, group in enumerate(groups):
        found = [grouped(model.units[name], group) for name in names]
        states[group] = sorted({key for one in found for key in one})
        values = [[one.get(key, 0.0) for one in found] for key in states[group]]
        node, some = f"B{index}", f"S{index}"
        labels = {node: [str(key) for key in states[group]], "E": list(names)}
        network.add_edge("E", node)
        tables.append(factors.TabularCPD(node, len(states[group]), values, ["E"], [3], state_names=labels))
        parents = [node] if before is None else [before, node]
        sizes = [len(states[group])] if before is None else [2, len(states[group])]
        for parent in parents:
            network.add_edge(parent, some)
        acts = [
            float(any(picks[:-1]) or bool(states[group][picks[-1]])) for picks in itertools.product(*map(range, sizes))
        ]
        labels = {some: [0, 1], node: labels[node]} | ({} if before is None else {before: [0, 1]})
        tables.append(factors.TabularCPD(some, 2, [[1 - a for a in acts], acts], parents, sizes, state_names=labels))
        before = some
    network.add_cpds(*tables)
    assert network.check_model()
    ask, causal = inference.VariableElimination(network), inference.CausalInference(network)
    for name in names:
        for index, group in enumerate(groups):
            seen = ask.query([f"B{index}"], evidence={"E": name, before: 1}, show_progress=False)
            done = causal.query([f"B{index}"], do={"E": name}, evidence={before: 1}, show_progress=False)
            for au in group:
                for answer in (seen, done):
                    expected = sum(answer.get_value(**{f"B{index}": str(k)}) for k in states[group] if au in k)
                    assert model.units[name].chance(au) == pytest.approx(expected, abs=1e-9), (name, au)
    for clip in ((12,), (1, 2), (4, 7), (4, 7, 9), (1, 2, 5), (6, 12), (14,)):
        picks = {f"B{i}": str(tuple(au for au in group if au in clip)) for i, group in enumerate(groups)}
        answer = ask.query(["E"], evidence={**picks, before: 1}, show_progress=False)
        some = {name: model.units[name].some for name in names}
        # A network without selection weighs an emotion by how often anything acts in it; ours asks for a unit.
        weighed = {name: answer.get_value(E=name) / some[name] for name in names}
        expected = {name: value / sum(weighed.values()) for name, value in weighed.items()}
        assert model.posterior(clip, names) == pytest.approx(expected, abs=1e-9), clip
        cut = inference.VariableElimination(network.do([*picks])).query(["E"], evidence=picks, show_progress=False)
        assert [cut.get_value(E=name) for name in names] == pytest.approx([1 / 3] * 3, abs=1e-9)
