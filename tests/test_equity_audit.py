"""The audit of labels that err: closed forms, simulations whose truth is known, scikit-learn as oracle."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import nnls
from scipy.stats import entropy

from equime import schema
from equime.errors import EquimeError
from equime.planning.equity import Targets, evenness
from equime.planning.equity_audit import Confusion, audit, correct, predictive_values, prevalence, sensitivities

UNIFORM = Targets.uniform()
RATES = np.array(
    [
        [0.86, 0.02, 0.02, 0.05, 0.01, 0.04],
        [0.04, 0.60, 0.12, 0.04, 0.10, 0.10],
        [0.02, 0.05, 0.88, 0.01, 0.01, 0.03],
        [0.02, 0.02, 0.01, 0.80, 0.08, 0.07],
        [0.02, 0.08, 0.02, 0.28, 0.48, 0.12],
        [0.08, 0.08, 0.05, 0.22, 0.12, 0.45],
    ]
)
"""P(predicted | true) of a tagger that errs like those of the field: worst for the last two."""


def study(path: Path, table, attribute: str = "race") -> Confusion:
    labels = {"race": schema.RACES, "gender": schema.GENDERS, "age": schema.AGE_BANDS}[attribute]
    rows = [f"{attribute},{t},{p},{table[i][j]}" for i, t in enumerate(labels) for j, p in enumerate(labels)]
    path.write_text("attribute,true,predicted,count\n" + "\n".join(rows) + "\n")
    return Confusion.from_csv(path)


def races(values) -> dict[str, int]:
    return dict(zip(schema.RACES, map(int, values), strict=True))


# --- the table


def test_the_table_is_scikit_learns(tmp_path):
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    true = rng.choice(schema.RACES, 300)
    predicted = np.where(rng.random(300) < 0.6, true, rng.choice(schema.RACES, 300))
    pairs = Counter(zip(true, predicted, strict=True))
    lines = [f"race,{t},{p.upper().replace(' ', '_')},{n}" for (t, p), n in pairs.items()]
    (tmp_path / "s.csv").write_text("attribute,true,predicted,count\n" + "\n".join(lines))
    table = Confusion.from_csv(tmp_path / "s.csv").tables["race"]
    np.testing.assert_array_equal(table, metrics.confusion_matrix(true, predicted, labels=schema.RACES))
    expected = metrics.confusion_matrix(true, predicted, labels=schema.RACES, normalize="true")
    np.testing.assert_allclose(sensitivities(table), expected)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("height,tall,tall,3", "attribute should be one of"),
        ("race,martian,white,3", "race should be one of"),
        ("race,white,white,-1", "whole number"),
        ("race,white,white,1.5", "whole number"),
        ("gender,female,male,1", "comes twice"),
        ("gender,female", "4 values a row"),
    ],
)
def test_a_study_that_cannot_be_read_is_one_line(tmp_path, row, said):
    path = tmp_path / "s.csv"
    path.write_text(f"attribute,true,predicted,count\ngender,female,male,1\n{row}\n")
    with pytest.raises(EquimeError, match=said) as caught:
        Confusion.from_csv(path)
    assert "\n" not in str(caught.value) and "s.csv" in str(caught.value)


# --- the correction


def test_two_groups_have_a_closed_form(tmp_path):
    table = [[70, 30], [5, 95]]
    confusion, pool, chosen = study(tmp_path / "s.csv", table, "gender"), (500, 700), (200, 200)
    q, sensitivity, specificity = 500 / 1200, 0.7, 0.95
    female = (q + specificity - 1) / (sensitivity + specificity - 1)  # Rogan & Gladen 1978
    right, wrong = female * sensitivity / q, female * (1 - sensitivity) / (1 - q)
    share = (200 * right + 200 * wrong) / 400
    found = correct(
        *(dict(zip(schema.GENDERS, n, strict=True)) for n in (chosen, pool)), confusion, "gender", UNIFORM, draws=50
    )
    assert found.prevalence["female"] == pytest.approx(female, abs=1e-6)
    assert found.shares["female"] == pytest.approx(share, abs=1e-6) and share > 0.6
    assert found.evenness == pytest.approx(entropy([share, 1 - share]) / np.log(2), abs=1e-6)
    assert found.labelled == 1 and found.low < found.evenness < 1


def test_no_share_is_negative_where_the_closed_form_is():
    rates = np.array([[0.7, 0.3], [0.2, 0.8]])
    assert prevalence(np.array([100, 900]), rates) == pytest.approx([0, 1], abs=1e-3)


def test_the_pools_true_shares_are_found_again():
    true = np.array([0.09, 0.02, 0.05, 0.7, 0.06, 0.08])
    found = prevalence(1e6 * true @ RATES, RATES, steps=20_000)
    assert found == pytest.approx(true, abs=1e-4)
    assert found == pytest.approx(nnls(RATES.T, true @ RATES)[0], abs=1e-4)


def test_predictive_values_are_bayes_rule():
    true = np.array([0.2, 0.8])
    values = predictive_values(true, np.array([[0.9, 0.1], [0.3, 0.7]]))
    assert values[:, 0] == pytest.approx([0.18 / 0.42, 0.24 / 0.42])
    assert values.sum(0) == pytest.approx([1, 1])


def test_labels_that_never_err_are_left_as_they_are(tmp_path):
    confusion = study(tmp_path / "s.csv", 50 * np.eye(6, dtype=int))
    chosen = races([30, 10, 20, 60, 5, 15])
    found = correct(chosen, races([300, 100, 200, 6000, 50, 150]), confusion, "race", UNIFORM, draws=100)
    exact = evenness(chosen, schema.RACES)
    assert (found.labelled, found.evenness, found.low, found.high) == pytest.approx((exact,) * 4)
    assert found.shares == pytest.approx({race: n / 140 for race, n in chosen.items()})


@pytest.mark.parametrize(
    ("shares", "people", "least"), [([0.15, 0.06, 0.12, 0.45, 0.1, 0.12], 200, 34), ([1 / 6] * 6, 40, 34)]
)
def test_the_interval_holds_the_truth_nearly_as_often_as_it_says(shares, people, least):
    """Forty worlds: a pool, a study of some people of each group, 40 chosen by each label, their true evenness.

    Of 40 intervals 38 should hold it; 33 or fewer do once in a hundred such sets. A small study of an even pool is the
    hard case: without the shift for bias, fewer than half do.
    """
    rng = np.random.default_rng(1)
    inside, off, widths, worlds = 0, [], [], 40
    for world in range(worlds):
        true = rng.choice(6, 6000, p=shares)
        given = np.minimum((rng.random(6000)[:, None] > RATES.cumsum(1)[true]).sum(1), 5)
        picked = np.concatenate([rng.permutation(np.flatnonzero(given == label))[:40] for label in range(6)])
        confusion = Confusion({"race": np.stack([rng.multinomial(people, row) for row in RATES])})
        pool = races(np.bincount(given, minlength=6))
        found = correct(races([40] * 6), pool, confusion, "race", UNIFORM, draws=200, seed=world)
        actual = float(entropy(np.bincount(true[picked], minlength=6)) / np.log(6))
        inside += found.low <= actual <= found.high
        off.append(found.evenness - actual)
        widths.append(found.high - found.low)
        assert found.labelled == pytest.approx(1)
    assert inside >= least and np.mean(widths) < 0.2
    assert abs(np.mean(off)) < (0.01 if people == 200 else 0.1)


def test_the_interval_is_the_seeds_own(tmp_path):
    confusion = study(tmp_path / "s.csv", (100 * RATES).astype(int))
    counts = races([20] * 6)
    one, same, other = (correct(counts, counts, confusion, "race", UNIFORM, draws=50, seed=seed) for seed in (1, 1, 2))
    assert one == same and one.low != other.low and one.evenness == other.evenness


def test_a_study_without_a_label_that_occurs_is_an_error(tmp_path):
    table = (100 * RATES).astype(int)
    table[1] = 0
    confusion = study(tmp_path / "s.csv", table)
    with pytest.raises(EquimeError, match="race 'indian'"):
        correct(races([1] * 6), races([1] * 6), confusion, "race", UNIFORM)
    without = races([10, 0, 10, 10, 10, 10])
    del without["indian"]
    assert correct(without, without, confusion, "race", UNIFORM, draws=20).evenness < 0.95
    with pytest.raises(EquimeError, match="got none"):
        correct({}, {}, confusion, "race", UNIFORM)


# --- the audit


def test_a_second_tagger_is_asked_about_the_same_subjects():
    first = {f"s{i}": f"female|18-29|{race}" for i, race in enumerate(schema.RACES * 10)}
    second = {s: cell.replace("indian", "white") for s, cell in first.items() if s != "s0"}
    found = audit(first, UNIFORM, second=second)
    counts = [9, 10, 20, 10, 10]
    again = found.second.balances["race"]
    assert again.measures("identities")["evenness"] == pytest.approx(entropy(counts) / np.log(6))
    assert again.unlabelled == 1 and found.first.balances["race"].measures("identities")["evenness"] == pytest.approx(1)
    assert found.agreement == {"race": pytest.approx(49 / 59), "gender": 1, "age": 1}
    assert "race evenness of identities 1.000; 0.8" in str(found) and "agree: 83%" in str(found)


def test_a_tagger_that_says_nothing_of_race_is_not_asked_about_it():
    first = {"a": "female|18-29|asian", "b": "male|18-29|white"}
    second = {"a": "female|30-39|unknown", "b": "female|18-29|unknown"}
    found = audit(first, UNIFORM, second=second)
    assert found.agreement == {"gender": 0.5, "age": 0.5} and "race" not in str(found)
    assert audit(first, UNIFORM).second is None and str(audit(first, UNIFORM)) == ""


def test_the_audit_corrects_what_the_study_covers(tmp_path):
    first = {f"s{i}": f"female|18-29|{race}" for i, race in enumerate(schema.RACES * 10)}
    confusion = study(tmp_path / "s.csv", (100 * RATES).astype(int))
    pool = {f"female|18-29|{race}": n for race, n in races([300, 200, 300, 3000, 400, 500]).items()}
    found = audit(first, UNIFORM, confusion=confusion, pool=pool | {"female|18-29|unknown": 9})
    fixed = found.corrected["race"]
    assert [*found.corrected] == ["race"] and fixed.low <= fixed.evenness < 0.97 and fixed.shares["white"] > 0.25
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["corrected"]["race"]["labelled"] == 1
    assert "for confusion" in str(found) and len(str(found).splitlines()) == 1
