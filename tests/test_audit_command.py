"""`equime audit` as it is typed: every bad input is one line, and no table ever holds a NaN."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from make_workspace import add_rows, make_row, make_workspace

from equime import schema
from equime.cli import main
from equime.table import Table

Row = dict[str, Any]
Change = Callable[[int, Row], Row]


def answers(n: int = 120) -> list[Row]:
    """Answers to clips of 30 people in two genders and three races, a third of them wrong."""
    rows = []
    for k in range(n):
        label, person = schema.EMOTIONS[k % 5], k // 4
        said = schema.EMOTIONS[(k + 1) % 5] if k % 3 == 0 else label
        own = {"race": schema.RACES[person % 3], "gender": schema.GENDERS[person % 2]}
        rows.append({"clip_id": f"c{k}", "subject_id": f"s{person}", **own, "label": label, "prediction": said})
    return rows


def written(path: Path, rows: list[Row]) -> str:
    if path.suffix == ".parquet":
        pq.write_table(pa.table({name: [row[name] for row in rows] for name in rows[0]}), path)
    else:
        with path.open("w", newline="") as file:
            lines = csv.DictWriter(file, list(rows[0]))
            lines.writeheader()
            lines.writerows(rows)
    return str(path)


def probabilities(share: float) -> Change:
    return lambda k, row: row | {f"p_{name}": share for name in schema.EMOTIONS}


@pytest.fixture(params=["csv", "parquet"])
def ending(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("audited") / "ws"
    make_workspace(folder, subjects=4, groups=["plan", "tag"])
    return str(folder)


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What is said on standard error, one line."""
    assert main(["audit", *words]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("equime: ")
    return err


def audited(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """The JSON; strict, so that a NaN is an error."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in the JSON")

    assert main(["audit", *words, "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    found = json.loads(out, parse_constant=refuse)
    assert all(finding["value"] is not None or finding["note"] for finding in found["findings"])
    return found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda k, row: {n: v for n, v in row.items() if n != "prediction"}, "expected the column 'prediction', got"),
        (lambda k, row: {n: v for n, v in row.items() if n != "label"}, "expected the column 'label', got"),
        (lambda k, row: row | {"race": None, "gender": None}, "name a column to group by"),
        (lambda k, row: row | {"prediction": None if k == 5 else row["prediction"]}, "expected a prediction, got none"),
        (probabilities(0.3), "expected probabilities that sum to one, got 0.3"),
        (probabilities(float("nan")), "expected probabilities of 0 to 1"),
        (lambda k, row: row | {"clip_id": f"c{k // 2}"}, "expected one answer to each clip"),
    ],
)
def test_bad_answers_are_one_line(
    change: Change, said: str, ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / f"answers.{ending}", [change(k, row) for k, row in enumerate(answers())])
    assert said in refused(capsys, "performance", path)


@pytest.mark.parametrize(
    "change",
    [
        lambda k, row: row,
        lambda k, row: row | {"subject_id": "s0", "race": "white", "gender": "male"},
        lambda k, row: row | {"race": "black" if row["subject_id"] == "s0" else "white"},
        lambda k, row: row | {"race": None},
        lambda k, row: row | {"label": "fear"},
        lambda k, row: row | {"label": "fear", "prediction": "fear"},
        lambda k, row: row | {"subject_id": None},
    ],
    ids=["sound", "one person", "a group of one", "no race", "one class", "one class and right", "nobody's"],
)
def test_poor_answers_are_audited_without_a_nan(
    change: Change, ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / f"answers.{ending}", [change(k, row) for k, row in enumerate(answers())])
    for finding in audited(capsys, "performance", path)["findings"]:
        if finding["subjects"] == 1:
            assert finding["low"] is finding["high"] is None
    assert audited(capsys, "association", path)["findings"]


@pytest.mark.parametrize("verb", ["performance", "twins", "doses", "labels"])
def test_answers_to_unknown_clips(
    verb: str, ending: str, workspace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / f"answers.{ending}", answers())
    asked = (path, "--data", workspace) if verb == "performance" else (workspace, "--predictions", path)
    if verb == "labels":  # all else is told all the same
        assert any("120 are not" in note for note in audited(capsys, verb, *asked)["notes"])
    else:
        assert "but 120 are not, the first is 'c0'" in refused(capsys, verb, *asked)


@pytest.mark.parametrize("verb", ["generator", "captions", "twins", "doses", "labels"])
def test_a_table_is_no_data_set(verb: str, ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / f"answers.{ending}", answers())
    assert f"got the table {path}" in refused(capsys, verb, path)


def test_captions_and_dose_sweeps_are_repeated_under_both_labellers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = []
    for k in range(160):
        row = make_row(k, k // 4, k % 4, "happiness")
        dose = {"design": "dose", "action_units": [{"au": 12, "side": "B", "intensity": "ABCD"[k % 4]}]}
        said = {"tag_gender": schema.GENDERS[k // 4 % 3 % 2], "caption": f"A {'lip' if k % 3 else 'brow'} moves."}
        rows.append(row | (dose if k % 8 < 4 else {}) | said)
    add_rows(Table.create(tmp_path / "ws", shard_rows=200), rows, ["plan", "caption", "tag", "score"])
    found = audited(capsys, "labels", str(tmp_path / "ws"))["findings"]
    for measure in ("largest word contrast", "threshold gap"):
        labellers = {each["labels"] for each in found if each["measure"] == measure and each["by"] == "gender"}
        assert labellers == {"source", "tag"}, measure
    assert not any(each["group"] for each in found if each["measure"] in ("threshold", "log-odds"))


def test_unknown_attributes_and_places(workspace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "answers.csv", answers())
    assert "no column 'lab' to group by: expected one of clip_id, " in refused(
        capsys, "performance", path, "--by", "lab"
    )
    assert "expected one of gender, age, race" in refused(capsys, "representation", workspace, "--by", "lab")
    assert "expected a folder, or a repository" in refused(capsys, "association", str(tmp_path / "none"))
    assert "cannot read" in refused(capsys, "performance", str(tmp_path / "none.csv"))


@pytest.mark.parametrize("by", ["", ",", " , "])
def test_no_attribute_is_one_line(by: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "answers.csv", answers())
    assert "expected a column to group by, got none" in refused(capsys, "performance", path, "--by", by)
    assert "expected a column to group by, got none" in refused(capsys, "association", path, "--by", by)


@pytest.mark.parametrize("by", ["race,race", "Race", " race,RACE", "race+race"])
def test_an_attribute_is_asked_once_in_any_spelling(
    by: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "answers.csv", answers())
    plain, found = (audited(capsys, "performance", path, "--by", name) for name in ("race", by))
    assert found["findings"] == plain["findings"]


def test_names_are_no_groups_and_lists_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    many = [row | {"clip_id": f"c{k}", "subject_id": f"s{k}"} for k, row in enumerate(answers(1200))]
    path = written(tmp_path / "answers.csv", many)
    said = "expected at most 1,000 groups of 'clip_id', got 1,200: name another column"
    assert said in refused(capsys, "performance", path, "--by", "clip_id")
    assert said in refused(capsys, "representation", path, "--by", "clip_id")
    listed = written(tmp_path / "a.parquet", [row | {"race": [row["race"]]} for row in answers()])
    assert "expected text in the column 'race' to group by, got list" in refused(
        capsys, "performance", listed, "--by", "race"
    )
    notes = audited(capsys, "performance", listed)["notes"]
    assert any("not grouped by race: " in note and "got list" in note for note in notes)


def test_odd_names_do_not_break_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = [row | {"race": row["race"] + "\n\x1b[31m", "label": "a\nb", "prediction": "a\nb"} for row in answers()]
    path = written(tmp_path / "answers.csv", odd)
    assert main(["audit", "performance", path, "--by", "race"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "asian\\n\\x1b[31m" in out and "a\\nb" in out


def test_categories_as_pandas_writes_them_are_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pa.table({"race": pa.array(["white", "black"] * 9).dictionary_encode()})
    pq.write_table(table, tmp_path / "people.parquet")
    found = audited(capsys, "representation", str(tmp_path / "people.parquet"))
    shares = [f["value"] for f in found["findings"] if f["measure"] == "share" and f["of"] == "subjects" and f["clips"]]
    assert shares == [0.5, 0.5]


@pytest.mark.parametrize(
    ("flag", "name", "said"),
    [
        ("--csv", "answers.csv", "which is read"),
        ("--csv", "link.csv", "which is read"),
        ("--csv", "a.txt", "expected --csv to end in .csv, got"),
        ("--plot", "a.pdf", "expected --plot to end in .png or .svg, got"),
        ("--csv", "{ws}/plan/a.csv", "which is read"),
        ("--csv", "{ws}/../other/runs/a.csv", "lies in the workspace"),
    ],
)
def test_nothing_is_written_over_what_is_read_nor_into_a_workspace(
    flag: str, name: str, said: str, workspace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(written(tmp_path / "answers.csv", answers()))
    (tmp_path / "link.csv").symlink_to(path)
    make_workspace(Path(workspace).parent / "other", subjects=1, groups=["plan"])
    before = path.read_bytes()
    out = tmp_path / name.format(ws=workspace)
    assert said in refused(capsys, "performance", str(path), "--data", workspace, flag, str(out))
    assert path.read_bytes() == before and (out in (path, tmp_path / "link.csv") or not out.exists())


def test_the_table_the_csv_and_the_lines(workspace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "representation", workspace, "--by", "gender", "--csv", str(tmp_path / "a.csv")]) == 0
    out, _ = capsys.readouterr()
    assert "[gender, labels: source]" in out and f"wrote {tmp_path / 'a.csv'}" in out
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = audited(capsys, "representation", workspace, "--by", "gender")
    assert len(rows) == len(found["findings"]) and "nan" not in (tmp_path / "a.csv").read_text().lower()
