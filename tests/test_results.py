"""A set of experiments as one table: what is sound and what is not, differences, and the best that units allow."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from make_workspace import make_workspace

from equime import schema
from equime.bootstrap import Estimate
from equime.causal import EmotionModel
from equime.cli import main
from equime.errors import EquimeError
from equime.recognise import predictions
from equime.recognise.equime_clips import clips
from equime.recognise.results import Result, markdown
from equime.recognise.samples import FIELDS
from equime.recognise.units_known import units_known
from equime.scores import Scores

CLASSES = ("negative", "positive", "surprise")
TRUTH = np.tile([0, 1, 2], 60)
PEOPLE = np.repeat(np.arange(20), 9)


def result(answers: np.ndarray, expected: str, below: Estimate | None = None) -> Result:
    return Result("it", expected, Scores.of(TRUTH, answers, PEOPLE, CLASSES), below)


def test_verdicts_follow_the_answers() -> None:
    right, constant = TRUTH.copy(), np.zeros_like(TRUTH)
    drawn = np.random.default_rng(0).integers(0, 3, len(TRUTH))
    half = np.where(np.arange(len(TRUTH)) % 2 == 0, TRUTH, drawn)
    assert [result(a, "above").sound for a in (right, half, drawn, constant)] == [True, True, False, False]
    assert [result(a, "chance").sound for a in (right, half, drawn, constant)] == [False, False, True, True]
    estimates = Estimate(0.2, 0.1, 0.3), Estimate(0.1, -0.1, 0.2), Estimate(0.3, np.nan, np.nan), None
    assert [result(right, "lower", each).sound for each in estimates] == [True, False, False, False]
    assert result(right, "reported").sound is None and result(right, "").sound is None
    one = Scores.of(TRUTH, drawn, np.zeros_like(TRUTH), CLASSES)  # a single person has no interval
    assert Result("it", "chance", one).sound is None and Result("it", "above", one).sound is None


def test_the_table_says_no_where_it_must() -> None:
    constant = result(np.zeros_like(TRUTH), "above")
    text = markdown([result(TRUTH, "above"), constant, dataclasses.replace(constant, expected="")])
    assert "180 clips of 20 subjects, 3 classes" in text[0] and "UF1 0.167" in text[0]
    assert text[4].endswith("| above: yes |") and "| 1.000 (1.000 to 1.000) |" in text[4]
    assert text[5].startswith("| it (collapsed in 1 of 1 seeds) |") and text[5].endswith("| above: **NO** |")
    assert text[6].endswith("|  |") and "clips:" not in "".join(text[4:7])
    few = Result("it", "", Scores.of(TRUTH[:90], TRUTH[:90] * 0, PEOPLE[:90], CLASSES))
    assert (
        "| it (collapsed in 1 of 1 seeds) (90 clips: UF1 of one answer 0.167, of drawn ones 0.3"
        in markdown([result(TRUTH, "above"), few])[5]
    )
    told = json.loads(json.dumps(result(TRUTH, "lower", Estimate(0.3, np.nan, np.nan)).to_dict()))
    assert told["below_first"] == {"value": 0.3, "low": None, "high": None} and told["sound"] is False


# --- units


def units_table(*rows: tuple[str, tuple[int, ...] | None]) -> pa.Table:
    units = [None if us is None else [{"au": u, "side": "B", "intensity": "B"} for u in us] for _, us in rows]
    made = [
        {"sample_id": f"equime/{k}", "dataset": "equime", "subject_id": f"equime-{k}", "frames": "", "fps": 24.0}
        | {"emotion5": emotion, "action_units": units[k]}
        for k, (emotion, _) in enumerate(rows)
    ]
    return pa.Table.from_pylist(made, schema=FIELDS)


def test_units_known_by_hand() -> None:
    """12 is happiness's, 1+2+5 surprise's, 15 sadness's: whoever else shows them is taken for those."""
    table = units_table(
        *[("happiness", (12,))] * 3,
        ("sadness", (12,)),
        *[("sadness", (15,))] * 2,
        *[("surprise", (1, 2, 5))] * 2,
        ("surprise", (15,)),
        ("happiness", None),
    )
    scores = units_known(table)
    assert scores.classes == ("happiness", "sadness", "surprise") and scores.support == (3, 3, 3)
    assert np.array_equal(scores.confusion, [[3, 0, 0], [1, 2, 0], [0, 1, 2]])
    by_hand = (6 / 7 + 4 / 6 + 4 / 5) / 3  # 2 TP / (2 TP + FP + FN)
    assert scores.uf1.value == pytest.approx(by_hand)
    with pytest.raises(EquimeError, match="no clip has both"):
        units_known(units_table(("happiness", None)))


def test_units_known_nears_the_models_own_ceiling() -> None:
    """Programmes drawn from the packaged model score what the model says is the best possible."""
    units = (1, 2, 4, 5, 6, 7, 12, 15, 20, 23)
    model = EmotionModel.from_tables(can_show=units)
    rng = np.random.default_rng(0)
    rows: list[tuple[str, tuple[int, ...]]] = []
    for emotion in schema.EMOTIONS:
        table = model.units[emotion].distribution(least=1e-8)
        sets, chances = list(table), np.array(list(table.values()))
        rows += [(emotion, tuple(sets[k])) for k in rng.choice(len(sets), 600, p=chances / chances.sum())]
    scores = units_known(units_table(*rows), model)
    assert scores.uf1.value == pytest.approx(model.ceiling().uf1, abs=0.02)


# --- the command


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five subjects, every emotion once."""
    return make_workspace(tmp_path_factory.mktemp("results") / "ws", subjects=5).path


@pytest.mark.timeout(180)
def test_the_set_is_one_table_from_one_command(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    out = tmp_path / "set"
    command = ["experiments", "--data", str(made), "--seeds", "1", "--only", "reversed", "--out", str(out)]
    command += ["--device", "cpu"]
    code = main([*command, "--json"])
    told = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    first, turned, known = told["results"]
    assert [r["name"] for r in told["results"]][1:] == [
        "STSTNet, displacement reversed",
        "units known exactly (the best possible)",
    ]
    assert code == (0 if first["sound"] and turned["sound"] else 1) and known["sound"] is None
    tables = [predictions.read(Path(r["run"]) / "predictions.parquet")[0] for r in (first, turned)]
    assert turned["below_first"]["value"] == pytest.approx(pooled_uf1(tables[0]) - pooled_uf1(tables[1]), abs=1e-9)
    assert first["scores"]["uf1"]["value"] == pytest.approx(pooled_uf1(tables[0]), abs=1e-9)
    assert known["scores"]["support"] == first["scores"]["support"] == [5] * 5
    assert [bool(list(Path(r["run"]).glob("jobs/*/model.safetensors"))) for r in (first, turned)] == [True, False]
    main(command)
    said = capsys.readouterr().out
    assert (out / "results.md").read_text() == said and said.count("\n| STSTNet") == 2


def test_experiments_that_are_none(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    base = ["experiments", "--data", str(made), "--out", str(tmp_path / "x")]
    for more, message in (
        (["--set", "all"], "expected a set of synthetic, cde, transfer"),
        (["--only", "nosuch"], "no experiment of this set has 'nosuch' in its name"),
        (["--seeds", "0"], "expected --seeds of at least 1"),
    ):
        assert main([*base, *more]) == 1
        said = capsys.readouterr().err
        assert message in said and said.count("\n") == 1


def pooled_uf1(table: pa.Table) -> float:
    """The mean over the classes of 2 TP / (2 TP + FP + FN), counted clip by clip."""
    truth, answers = (table[name].to_pylist() for name in ("label", "prediction"))
    found: list[Any] = []
    for name in schema.EMOTIONS:
        hits = sum(t == a == name for t, a in zip(truth, answers, strict=True))
        found.append(2 * hits / (truth.count(name) + answers.count(name)))
    return float(np.mean(found))


def test_measured_results_need_the_same_clips(made: Path) -> None:
    from equime.recognise.results import _below

    table = clips(made).table
    rows = predictions.table(table, np.zeros(len(table), np.int64), np.eye(2)[[0] * len(table)], ("a", "b"), "f", 0)
    assert _below(rows, rows) == Estimate(0, 0, 0)
    assert _below(rows, rows.slice(1)) is None
