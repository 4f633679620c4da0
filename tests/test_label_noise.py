"""Labels that err: gaps that noise hides are recovered, labellers are compared, and what is not known is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.optimize import minimize

from equime import schema
from equime.audit import true_groups
from equime.audit.generator import generator
from equime.audit.label_noise import repeat
from equime.audit.measures.correction import Study, corrected, unmixed
from equime.audit.measures.means import GAP
from equime.audit.measures.resampling import means
from equime.audit.performance import performance
from equime.audit.reliability import COLUMNS, reliability
from equime.audit.representation import representation
from equime.audit.result import Audit, Finding
from equime.audit.tables import people
from equime.audit.tables.answers import Answered
from equime.audit.tables.groups import groups
from equime.audit.tables.rows import Rows, label
from equime.audit.true_groups import corrected_generator, corrected_performance, corrected_representation
from equime.errors import EquimeError
from equime.metrics import accuracy, uar, uf1
from equime.planning.equity_audit import Confusion, sensitivities
from equime.planning.targets import LABELS

pytest.importorskip("sklearn")
from sklearn.metrics import cohen_kappa_score

GENDERS = schema.GENDERS
NOISY = np.array([[0.75, 0.25], [0.2, 0.8]])


def study_of(rates: np.ndarray, each: int, attribute: str = "gender") -> Confusion:
    """A validation study with so many people of each true group, exactly as the rates say."""
    return Confusion({attribute: np.rint(np.asarray(rates) * each).astype(np.int64)})


# --- the correction itself


def test_where_the_inverse_is_a_count_it_is_the_correction() -> None:
    rng = np.random.default_rng(0)
    rates = 0.04 + 0.76 * np.eye(6)
    true = rng.integers(0, 200, (6, 4, 3)).astype(float)
    seen = np.einsum("t...,tp->p...", true, rates)
    assert corrected(seen, rates) == pytest.approx(true, abs=1e-6)
    assert corrected(seen, np.eye(6)) == pytest.approx(seen)


def test_elsewhere_it_is_the_likeliest_by_an_optimiser() -> None:
    rates = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.15, 0.15, 0.7]])
    seen = np.array([5.0, 60.0, 40.0])
    assert np.linalg.solve(rates.T, seen).min() < 0

    def unlikely(x: np.ndarray) -> float:
        shares = np.exp(x) / np.exp(x).sum()
        return float(-seen @ np.log(shares @ rates))

    best = minimize(unlikely, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12}).x
    shares = np.exp(best) / np.exp(best).sum()
    found = corrected(seen, rates)
    assert found == pytest.approx(shares * seen.sum(), abs=1e-2) and found.min() >= 0
    assert found.sum() == pytest.approx(seen.sum())


def test_rates_of_each_draw_are_used_for_its_cells_alone() -> None:
    rates = np.array([NOISY, np.eye(2), [[0.9, 0.1], [0.3, 0.7]]])
    true = np.array([[30.0, 40, 50], [70, 60, 10]])
    seen = np.einsum("td,dtp->pd", true, rates)
    assert corrected(seen, rates) == pytest.approx(true)


def test_a_study_that_says_nothing_is_still_an_answer() -> None:
    useless = np.full((2, 2), 0.5)
    found = corrected(np.array([[10.0, 0.0], [30.0, 0.0]]), useless)
    assert np.isfinite(found).all() and found.sum(0) == pytest.approx([40, 0])


def mixed(people: int, clips: int, gap: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Hits and clips of each subject by *labelled* gender, (S, 2, 1, 2), of true genders whose shares are a gap apart;
    and those true ones."""
    rng = np.random.default_rng(seed)
    true = np.arange(people) % 2
    given = np.where(rng.random(people) < NOISY[true, true], true, 1 - true)
    hits = rng.binomial(clips, np.where(true == 0, 0.8, 0.8 - gap))
    counts = np.zeros((people, 2, 1, 2))
    counts[np.arange(people), given, 0] = np.stack([hits, clips - hits], 1)
    return counts, true


def score(pooled: np.ndarray) -> np.ndarray:
    return means(np.stack([pooled[..., 0], pooled.sum(-1)], -1))


def test_a_gap_that_noise_hides_is_recovered_and_covered() -> None:
    hidden, found, covered, runs = [], [], 0, 40
    for seed in range(runs):
        counts, _ = mixed(400, 5, 0.3, seed)
        table = np.array([np.random.default_rng(500 + seed).multinomial(300, row) for row in NOISY])
        got = unmixed(counts, Study(GENDERS, table), score, seed=seed)
        plain = score(counts.sum(0)[None])[0]
        hidden.append(plain[0, 0] - plain[1, 0])
        found.append(got.values[0, 0] - got.values[1, 0])
        low, high = np.quantile(got.drawn[:, 0, 0] - got.drawn[:, 1, 0], (0.025, 0.975))
        covered += low <= 0.3 <= high
    # Between labelled groups of equal size there is left of a gap: P(female|f) - P(female|m).
    assert np.mean(hidden) == pytest.approx(0.3 * (0.75 / 0.95 - 0.25 / 1.05), abs=0.02)
    assert np.mean(found) == pytest.approx(0.3, abs=0.02)
    assert covered >= 0.88 * runs


# --- the audits, corrected


def labelled(people: int = 400, clips: int = 5, gap: float = 0.3, seed: int = 0) -> tuple[Rows, np.ndarray, np.ndarray]:
    """Scored clips, labelled with noise; whether each was accepted; the true gender of its subject."""
    rng, n = np.random.default_rng(seed), people * clips
    who = np.repeat(np.arange(people), clips)
    true = np.arange(people) % 2
    given = np.where(rng.random(people) < NOISY[true, true], true, 1 - true)
    accepted = rng.random(n) < np.where(true == 0, 0.9, 0.9 - gap)[who]
    columns: dict[str, Any] = {
        "subject_id": [f"s{k}" for k in who],
        "gender": [GENDERS[given[k]] for k in who],
        "emotion": [schema.EMOTIONS[k % 5] for k in range(n)],
        "sha256": ["0"] * n,
        "accepted": accepted.tolist(),
    }
    return Rows("made", "tag", pa.table(columns)), accepted, true[who]


def test_acceptance_by_true_group() -> None:
    rows, accepted, true = labelled(2000)
    plain = generator(rows, ["gender"]).one(GAP, of="accepted")
    audit = corrected_generator(rows, None, study_of(NOISY, 500))
    found = audit.one(GAP, of="accepted", labels="corrected")
    oracle = accepted[true == 0].mean() - accepted[true == 1].mean()
    assert plain.value < 0.22 < found.value and found.low <= oracle <= found.high
    assert found.value == pytest.approx(oracle, abs=0.06)
    assert found.reference == pytest.approx(plain.value)  # beside it, as labelled
    assert audit.one("accepted", group="female").subjects == pytest.approx(1000, abs=80)
    assert audit.one("accepted", group="female").clips == pytest.approx(5000, abs=400)


def test_a_perfect_study_changes_nothing() -> None:
    rows, *_ = labelled(80)
    plain, audit = generator(rows, ["gender"]), corrected_generator(rows, ["gender"], study_of(np.eye(2), 50))
    for group in GENDERS:
        one, other = audit.one("accepted", group=group), plain.one("accepted", group=group)
        assert (one.value, one.clips, one.subjects) == pytest.approx((other.value, other.clips, other.subjects))
    assert audit.one(GAP, of="accepted").value == pytest.approx(plain.one(GAP, of="accepted").value)
    wide = corrected_generator(rows, ["gender"], study_of(NOISY, 60)).one(GAP, of="accepted")
    assert wide.high - wide.low > audit.one(GAP, of="accepted").high - audit.one(GAP, of="accepted").low


def test_a_share_that_errors_hide_is_corrected() -> None:
    rng = np.random.default_rng(4)
    true = rng.random(3000) < 0.1
    given = np.where(rng.random(3000) < NOISY[true.astype(int), true.astype(int)], true, ~true)
    table = pa.table({"subject_id": [f"s{k}" for k in range(3000)], "gender": [GENDERS[int(g)] for g in given]})
    audit = corrected_representation(Rows("r", "tag", table), ["gender"], study_of(NOISY, 1000))
    male = audit.one("share", group="male")
    assert male.reference == pytest.approx(0.9 * 0.25 + 0.1 * 0.8, abs=0.02)
    assert male.low <= true.mean() <= male.high and male.value == pytest.approx(0.1, abs=0.04)
    p = true.mean()
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p)) / np.log(2)
    even = audit.one("evenness")
    assert even.low <= entropy <= even.high and even.reference > 0.85 > even.value


def answered(rows: Rows, right: np.ndarray, seed: int = 0) -> Answered:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, len(rows))
    predicted = np.where(right, truth, (truth + rng.integers(1, 3, len(rows))) % 3)
    return Answered("a.csv", rows, truth, predicted, None, ("a", "b", "c"), np.zeros(len(rows), np.int64))


def test_performance_by_true_group() -> None:
    rows, right, true = labelled(seed=2)
    answers = answered(rows, right)
    audit = corrected_performance(answers, None, study_of(NOISY, 500))
    for group, name in enumerate(GENDERS):
        own = true == group
        counts = np.zeros((3, 3))
        np.add.at(counts, (answers.truth[own], answers.predicted[own]), 1)
        for measure, metric in (("UF1", uf1), ("UAR", uar), ("accuracy", accuracy)):
            found = audit.one(measure, group=name)
            assert found.low <= metric(counts) <= found.high, (measure, name)
    assert audit.one(GAP, of="UAR").value > audit.one(GAP, of="UAR").reference + 0.08
    plain = performance(answers, ["gender"])
    assert audit.one("UF1", group="male").reference == pytest.approx(plain.one("UF1", group="male").value)


def test_a_blind_study_corrects_nothing_and_says_so() -> None:
    rows, _, right = labelled()
    for rates in ([[0.5, 0.5], [0.5, 0.5]], [[0.52, 0.48], [0.5, 0.5]]):
        study = study_of(np.array(rates), 1000)
        found = corrected_performance(answered(rows, right), ["gender"], study)
        assert found.findings and all(f.value is None and "labelled nearly alike" in f.note for f in found.findings)
        assert corrected_representation(rows, ["gender"], study).one("evenness", by="gender").value is None


def test_several_trainings_are_averaged() -> None:
    rows, right, _ = labelled(60)
    one = answered(rows, right)
    table = pa.concat_tables([rows.table] * 2)
    twice = Answered(
        *("a.csv", Rows("made", "tag", table), np.tile(one.truth, 2), np.tile(one.predicted, 2), None),
        *(one.classes, np.repeat([0, 1], len(rows))),
    )
    study = study_of(NOISY, 500)
    single, double = (corrected_performance(answers, None, study).one(GAP, of="UF1") for answers in (one, twice))
    assert single.value == pytest.approx(double.value) and single.low == pytest.approx(double.low)


def test_what_a_study_does_not_know_is_one_line(tmp_path: Path) -> None:
    rows, *_ = labelled(40)
    path = tmp_path / "study.csv"
    path.write_text("attribute,true,predicted,count\ngender,female,female,40\ngender,female,male,3\n")
    with pytest.raises(EquimeError, match=r"nobody who is, or is called, gender 'male': add rows"):
        corrected_generator(rows, ["gender"], Confusion.from_csv(path))
    with pytest.raises(EquimeError, match=r"speaks of gender, not of 'gender\+emotion'"):
        corrected_generator(rows, ["gender+emotion"], Confusion.from_csv(path))
    with pytest.raises(EquimeError, match="nobody in made has a label that the study speaks of: age"):
        corrected_generator(rows, None, study_of(np.eye(5), 9, "age"))


def test_groups_that_only_the_study_knows_are_kept() -> None:
    table = np.zeros((6, 6), np.int64)
    table[:3, :3] = [[40, 5, 5], [5, 40, 5], [5, 5, 40]]
    rows = Rows("r", "tag", pa.table({"subject_id": ["a", "b"], "race": ["asian", "indian"]}))
    study = Study.of(Confusion({"race": table}), by := groups(rows, "race"))
    assert study.groups == schema.RACES[:3] and study.placed(by).tolist() == [0, 1]
    assert study.drawn(9, np.random.default_rng(0)).sum(-1) == pytest.approx(1)
    audit = corrected_representation(rows, None, Confusion({"race": table}))
    assert all(f.value is not None or f.note for f in audit.findings)


# --- two labellers


def contract(people: int, clips: int = 3, seed: int = 0, wrong: Any = 0.2, **changed: Any) -> pa.Table:
    """Rows with both labellers' labels; the tagger errs for a share of the people, who may differ in it."""
    rng, n = np.random.default_rng(seed), people * clips
    who = np.repeat(np.arange(people), clips)
    source = {a: [LABELS[a][k] for k in rng.integers(0, len(LABELS[a]), people)] for a in ("gender", "race", "age")}
    errs = rng.random(people) < wrong
    tagged = {a: [LABELS[a][(LABELS[a].index(x) + e) % len(LABELS[a])] for x, e in zip(source[a], errs, strict=True)]
              for a in source}  # fmt: skip
    years = dict(zip(schema.AGE_BANDS, (24.0, 35, 45, 55, 70), strict=True))
    columns: dict[str, Any] = {
        "subject_id": [f"s{k}" for k in who],
        **{f"source_{a}": [values[k] for k in who] for a, values in source.items()},
        "gender": [tagged["gender"][k] for k in who],
        "race": [tagged["race"][k] for k in who],
        "age": [years[tagged["age"][k]] for k in who],
        "agreement": rng.uniform(0.5, 1, n),
    } | changed
    fields = {name: schema.METADATA.field(name).type for name in COLUMNS}
    return pa.table({k: pa.array(columns.get(k, [None] * n), t) for k, t in fields.items()})


def test_agreement_and_kappa_as_scikit_learn_has_them() -> None:
    table = contract(200)
    audit = reliability(table)
    known = people.people(table).labels
    for attribute in ("gender", "race", "age"):
        one, two = ([known[k][attribute][f"s{p}"] for p in range(200)] for k in ("source", "tag"))
        order = list(LABELS[attribute])
        found = audit.one("kappa", of=attribute)
        assert found.value == pytest.approx(cohen_kappa_score(one, two, labels=order))
        assert found.low < found.value < found.high and (found.clips, found.subjects) == (600, 200)
        alike = np.mean([a == b for a, b in zip(one, two, strict=True)])
        assert audit.one("agreement", of=attribute).value == pytest.approx(alike)
        assert audit.one(f"{attribute} agrees", group="").value == pytest.approx(alike)
    ordered = cohen_kappa_score(one, two, labels=order, weights="linear")
    assert audit.one("weighted kappa", of="age").value == pytest.approx(ordered)
    assert audit.one("frames agree", group="").value == pytest.approx(np.mean(table["agreement"].to_pylist()))
    assert audit.one("frames agree", group="").clips == 600


def test_mistakes_are_named() -> None:
    audit = reliability(contract(120, wrong=[k % 3 == 0 for k in range(120)]))
    table = [f for f in audit.where(measure="labelled", by="gender")]
    assert {f.of for f in table} == {"female as male", "male as female"}
    share = {f.of: (round(f.value * f.subjects), f.subjects) for f in table}
    assert sum(hits for hits, _ in share.values()) == 40 and sum(n for _, n in share.values()) == 120
    assert all(f.low <= f.value <= f.high for f in table)


def test_a_tagger_that_errs_for_some_is_found() -> None:
    people = 300
    first = contract(people, wrong=0.0)
    woman = np.array(first["source_gender"].to_pylist())[::3] == "female"
    audit = reliability(contract(people, wrong=np.where(woman, 0.5, 0.05)))
    found = audit.one(GAP, of="race agrees", by="gender")
    assert found.low <= 0.45 <= found.high and found.p < 0.01
    fair = reliability(contract(people, wrong=0.2, seed=5))
    assert fair.one(GAP, of="race agrees", by="gender").p > 0.05


def test_people_whose_clips_disagree() -> None:
    n = 4 * 3
    gender = ["female", "male", "female", *["male"] * 9]
    ages = [20.0, 31, 25, *[40.0] * 9]
    race = ["asian", "black", None, *["white"] * 9]
    table = contract(4, gender=gender, age=ages, race=race)
    audit = reliability(table)
    for attribute in ("gender", "age", "race"):
        found = audit.one(f"{attribute} differs between clips", group="")
        assert found.value == 0.25 and found.subjects == 4, attribute
    assert len(table) == n


def test_a_tagger_without_race_is_a_note() -> None:
    audit = reliability(contract(60, race=[None] * 180))
    assert "race: nobody is labelled by both source and tagger" in audit.notes
    assert not audit.where(of="race") and audit.one("kappa", of="gender").value is not None
    assert not audit.where(measure="race differs between clips", group="")


def test_one_label_for_all_has_no_kappa_and_says_so() -> None:
    same = {"gender": ["female"] * 60, "source_gender": ["female"] * 60}
    found = reliability(contract(20, **same)).one("kappa", of="gender")
    assert found.value is None and found.note


def test_an_audit_under_two_labellers() -> None:
    table = contract(90, wrong=0.4).append_column("sha256", pa.array(["0"] * 270))
    for name, values in {"emotion": ["fear"] * 270, "accepted": [k % 4 > 0 for k in range(270)]}.items():
        table = table.append_column(name, pa.array(values))
    rows = {basis: label("ws", table, basis) for basis in ("source", "tag")}
    audit = repeat(lambda each: generator(each, ["gender"]), rows)
    one, two = (audit.one(GAP, of="accepted", labels=basis) for basis in ("source", "tag"))
    change = audit.one("gap: tag minus source", of="accepted")
    assert change.value == pytest.approx(two.value - one.value) and change.by == "gender"
    assert len(audit.where(measure="accepted", by="")) == 1  # what needs no labels is said once
    assert {f.labels for f in audit.where(measure="accepted", group="female")} == {"source", "tag"}


def test_what_no_labeller_says_is_neither_repeated_nor_compared() -> None:
    table = contract(40)
    ita = table.schema.get_field_index("skin_ita")
    table = table.set_column(ita, "skin_ita", pa.array([60.0 if k % 2 else -40.0 for k in range(40) for _ in range(3)]))
    rows = {basis: label("ws", table, basis) for basis in ("source", "tag")}
    audit = repeat(lambda each: representation(each, ["skin", "gender"]), rows)
    assert {f.labels for f in audit.where(by="skin")} == {""} and {f.labels for f in audit.where(by="gender")} != {""}
    assert len(audit.where(measure="evenness", of="subjects", by="skin")) == 1
    assert not [f for f in audit.findings if "minus" in f.measure and f.by == "skin"]


def test_a_labeller_who_labels_nobody_is_a_note() -> None:
    def evenness(rows: Rows) -> Audit:
        by = groups(rows, "race")
        return Audit(
            "even", "Even?", (Finding(measure="evenness", by="race", labels=rows.labels, value=len(by.names) / 6),)
        )

    table = contract(30, race=[None] * 90)
    rows = {basis: label("ws", table, basis) for basis in ("source", "tag")}
    audit = repeat(evenness, rows)
    assert [f.labels for f in audit.findings] == ["source"]
    assert [note for note in audit.notes if note.startswith("not repeated under tag labels: nobody in ws")]
    with pytest.raises(EquimeError, match="nobody in ws has a label of 'race'"):
        repeat(evenness, {"tag": rows["tag"]})
    with pytest.raises(EquimeError, match="at least one labeller"):
        repeat(evenness, {})


def test_sensitivities_are_what_the_correction_takes() -> None:
    assert sensitivities(np.array([[3, 1], [1, 4]])) == pytest.approx(np.array([[0.75, 0.25], [0.2, 0.8]]))
    assert true_groups.CORRECTED == "corrected"
