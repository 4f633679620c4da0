from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from equime.causal import EmotionModel, noise
from equime.commands.causal import causal_flags
from equime.errors import EquimeError


def run(*arguments: object) -> int:
    """What `equime causal ARGUMENTS` does."""
    parser = argparse.ArgumentParser()
    parser.set_defaults(json=False)
    causal_flags(parser)
    options = parser.parse_args([str(argument) for argument in arguments])
    code: int = options.command(options)
    return code


@pytest.fixture
def coded(tmp_path: Path) -> Path:
    path = tmp_path / "coded.csv"
    path.write_text(
        "emotion,action_units,onset,apex,offset\n"
        + "fear,20+26A,10,20,40\nanger,4+L7B,5,15,30\n" * 12
        + "fear,x,1,2,3\nboredom,1,1,2,3\n"
    )
    return path


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show") == 0
    text = capsys.readouterr().out
    assert "nothing from casme2" in text and "ceiling" in text and "EMFACS prototype 33%" in text


def test_show_json_and_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert run("show", "--json", "--out", tmp_path / "a.svg") == 0
    value = json.loads(capsys.readouterr().out)
    model = EmotionModel.from_tables()
    assert value["ceiling"] == model.ceiling().to_dict()
    assert value["emotions"]["fear"]["units"]["20"] == model.units["fear"].chance(20)
    assert value["borrowed"]["anger"] == {"lacking": ["casme2"], "shares": {"samm": 1.0}}
    assert ["E", "A"] in value["arrows"] and (tmp_path / "a.svg").stat().st_size > 10_000
    assert run("show", "--out", tmp_path / "b.svg") == 0
    assert f"wrote {tmp_path / 'b.svg'}" in capsys.readouterr().out


def test_a_broken_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text("{}")
    with pytest.raises(EquimeError, match=r"broken\.json: expected a causal model"):
        run("show", "--model", path)


def test_fit_then_show_and_sample(coded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "model.json"
    assert (
        run("fit", coded, "--out", out, "--set", "mine", "--tables", "casme2=1", "samm=0.5", "--fps", 100, "--json")
        == 0
    )
    value = json.loads(capsys.readouterr().out)
    assert value["coded"]["other_emotions"] == {"boredom": 1} and list(value["coded"]["left_out"]) == ["26"]
    model = EmotionModel.from_json(out.read_text())
    assert model.units["fear"].evidence == {"samm": 4.0, "mine": 12.0, "EMFACS prototype": 4.0}
    assert run("show", "--model", out) == 0
    assert "mine" in capsys.readouterr().out
    assert run("sample", "--model", out, "--emotion", "fear", "--n", 3, "--json") == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert len(rows) == 3
    for row in rows:
        drawn = model.sample("fear", partial(noise, row["seed"]))
        assert row["action_units"] == [unit.to_dict() for unit in drawn.units] and row["apex_ms"] == drawn.apex_ms
        assert model.counterfactual(row, model_do()) == row


def model_do() -> Any:
    from equime.causal import Do

    return Do()


def test_fit_names_the_rows_it_leaves_out(coded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fit", coded, "--out", tmp_path / "model.json") == 0
    said = capsys.readouterr()
    assert "line 26: left out: expected action units" in said.err
    assert (
        "boredom 1" in said.out
        and "give --fps" in said.out
        and "nothing from coded" not in said.out
        and "rests on samm" in said.out
    )


def test_sample_is_repeatable(capsys: pytest.CaptureFixture[str]) -> None:
    run("sample", "--emotion", "anger", "--n", 4, "--seed", 3)
    first = capsys.readouterr().out
    run("sample", "--emotion", "anger", "--n", 4, "--seed", 3)
    assert capsys.readouterr().out == first and len(first.splitlines()) == 5


@pytest.mark.parametrize(
    "arguments",
    [
        ("sample", "--emotion", "boredom"),
        ("sample", "--emotion", "fear", "--n", 0),
        ("show", "--model", "none.json"),
        ("show", "--out", "graph.gif"),
        ("fit", "none.csv", "--out", "model.json"),
    ],
)
def test_a_mistake_is_one_line(arguments: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EquimeError) as caught:
        run(*arguments)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_a_bad_weight_is_wrong_usage(coded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("fit", coded, "--out", "m.json", "--tables", "samm=much")
    assert "SET=WEIGHT" in capsys.readouterr().err
