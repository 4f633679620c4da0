"""A recogniser's answers, read from our own tables and from anybody's, joined with a data set, refused in a line."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equime import schema
from equime.audit.performance import performance
from equime.audit.tables.answers import read_answers
from equime.audit.tables.rows import Rows
from equime.errors import EquimeError
from equime.recognise import predictions

Row = dict[str, Any]


def rows(**more: Any) -> list[Row]:
    """Eight answers to four clips of two people by two seeds."""
    truth = ["fear", "anger", "fear", "anger"]
    return [
        {
            "sample_id": f"c{clip}",
            "subject_id": "ab"[clip // 2],
            "label": truth[clip],
            "prediction": truth[clip] if seed == 5 or clip else "anger",
            "seed": str(seed),
            "race": ["asian", "asian", "black", "black"][clip],
        }
        | more
        for seed in (3, 5)
        for clip in range(4)
    ]


def written(folder: Path, found: list[Row], name: str = "answers.csv") -> Path:
    path = folder / name
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(found[0]))
        table.writeheader()
        table.writerows(found)
    return path


def with_probabilities(found: list[Row], prefix: str = "p_") -> list[Row]:
    both = ("anger", "fear")
    return [row | {f"{prefix}{name}": "0.8" if name == row["prediction"] else "0.2" for name in both} for row in found]


def test_a_csv_says_as_much_as_it_can(tmp_path: Path) -> None:
    answered = read_answers(written(tmp_path, rows()))
    assert answered.classes == ("fear", "anger")  # the contract's order
    assert answered.truth.tolist() == [0, 1, 0, 1] * 2
    assert answered.predicted.tolist() == [1, 1, 0, 1, 0, 1, 0, 1]
    assert answered.seeds.tolist() == [3] * 4 + [5] * 4
    assert answered.probabilities is None
    assert answered.rows.labels == "file"
    assert answered.rows.subjects == ["a", "a", "b", "b"] * 2
    assert answered.at(pa.chunked_array([["c3", "elsewhere", "c0"]])).tolist() == [[3, -1, 0], [7, -1, 4]]


@pytest.mark.parametrize("prefix", ["p_", "prob_"])
def test_probabilities_in_columns(tmp_path: Path, prefix: str) -> None:
    found = [row | {"label": row["label"].title(), "prediction": row["prediction"].title()} for row in rows()]
    found = [
        row | {f"{prefix}{name}": 0.75 if name == row["prediction"] else 0.25 for name in ("Fear", "Anger")}
        for row in found
    ]
    answered = read_answers(written(tmp_path, found))
    assert answered.classes == ("fear", "anger")
    assert answered.probabilities is not None
    assert any("other spellings of a class, read as that class: Anger, Fear" in n for n in answered.rows.notes)
    assert (answered.probabilities.argmax(1) == answered.predicted).all()
    assert not any("likeliest" in note for note in answered.rows.notes)


def test_our_own_predictions_joined_with_their_data_set(tmp_path: Path) -> None:
    ids = [f"fear/f_{n:04d}_1" for n in range(6)]
    about = {name: pa.array([None] * 6, pa.string()) for name in predictions.ABOUT}
    about |= {"sample_id": pa.array([f"equime/{one}" for one in ids]), "dataset": pa.array(["equime"] * 6)}
    about |= {"subject_id": pa.array([f"equime-{n}" for n in range(6)])}
    samples = pa.table(about)
    probabilities = np.eye(5, dtype=np.float32)[[3, 3, 0, 1, 3, 4]]
    labels = np.array([3, 3, 3, 3, 3, -1])
    ours = predictions.table(samples, labels, probabilities, schema.EMOTIONS, "test", 0)
    path = tmp_path / "predictions.parquet"
    predictions.write(path, ours, {"about": "a test"})
    people = {"clip_id": ids[::-1], "subject_id": [str(n) for n in range(6)][::-1]}
    data = Rows(
        "ws", "tag", pa.table(people | {"race": ["white"] * 3 + ["asian"] * 3, "emotion": ["fear"] * 5 + ["anger"]})
    )
    answered = read_answers(path, data)
    assert len(answered) == 5
    assert answered.classes == schema.EMOTIONS
    assert answered.rows.subjects == ["0", "1", "2", "3", "4"]
    assert answered.rows.labels == "tag"
    assert answered.rows.table["race"].to_pylist() == ["asian"] * 3 + ["white"] * 2
    assert answered.predicted.tolist() == [3, 3, 0, 1, 3]
    notes = " ".join(answered.rows.notes)
    assert "1 answers without a label" in notes
    assert "1 labels are not the emotion that ws has" in notes
    alone = read_answers(path)
    assert alone.at(data.table["clip_id"]).tolist() == [[-1, 4, 3, 2, 1, 0]]


def test_people_have_one_label_each_and_data_sets_their_own_people(tmp_path: Path) -> None:
    found = rows()
    found[0] |= {"race": "white"}
    answered = read_answers(written(tmp_path, found))
    assert answered.rows.table["race"].to_pylist() == ["asian", "asian", "black", "black"] * 2
    assert "clips of 1 subject disagree about race: the commonest label counts" in answered.rows.notes
    many = [row | {"race": f"r{place % 4}", "subject_id": "ab"[place // 2 % 2]} for place, row in enumerate(rows())]
    notes = read_answers(written(tmp_path, many)).rows.notes
    assert "clips of 2 subjects disagree about race: the commonest label counts" in notes
    two = [row | {"subject_id": "a", "dataset": "samm" if row["sample_id"] > "c1" else "casme2"} for row in rows()]
    assert set(read_answers(written(tmp_path, two)).rows.subjects) == {"samm/a", "casme2/a"}


def test_without_subjects_each_clip_is_a_person_whatever_the_seeds(tmp_path: Path) -> None:
    bare = [{name: value for name, value in row.items() if name not in ("subject_id", "sample_id")} for row in rows()]
    answered = read_answers(written(tmp_path, bare))
    assert answered.rows.subjects == ["clip 1", "clip 2", "clip 3", "clip 4"] * 2
    notes = " ".join(answered.rows.notes)
    assert "each clip counts as a person of its own" in notes
    assert "nobody checked whether a clip was answered twice" in notes
    with pytest.raises(EquimeError, match="names no clips"):
        answered.at(pa.chunked_array([["c0"]]))


def test_categories_numbers_and_large_text_from_parquet(tmp_path: Path) -> None:
    table = pa.table(
        {
            "label": pa.array([0, 1, 1]),
            "prediction": pa.array(["1", "1", "0"]).dictionary_encode(),
            "lab": pa.array(["x", "y", "y"]).dictionary_encode(),
            "camera": pa.array(["x", "y", "y"], pa.large_string()),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    answered = read_answers(tmp_path / "a.parquet")
    assert answered.classes == ("0", "1")
    assert answered.predicted.tolist() == [1, 1, 0]
    assert performance(answered, ["lab", "camera"]).where(by="camera", group="y", measure="accuracy")[0].value == 0.5


def test_what_is_odd_but_allowed_is_noted(tmp_path: Path) -> None:
    own = with_probabilities(rows())
    own[1] |= {"p_anger": "0.3", "p_fear": "0.7"}
    assert any("1 answers are not the likeliest class" in n for n in read_answers(written(tmp_path, own)).rows.notes)
    one = [row | {"label": "fear"} for row in rows()]
    assert any("every clip is labelled 'fear'" in n for n in read_answers(written(tmp_path, one)).rows.notes)


def broken(place: int, **values: str) -> list[Row]:
    found = with_probabilities(rows())
    found[place] |= values
    return found


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([{"label": "fear", "answer": "fear"}], "expected the column 'prediction', got label, answer"),
        ([row | {"prediction": "joy"} for row in rows()], "but no answer is a label: labels anger, fear; answers joy"),
        (broken(2, prediction=""), "row 4: expected a prediction, got none"),
        ([row | {"label": ""} for row in rows()], "has a label: expected at least one answer"),
        (broken(1, p_fear="0.3"), "row 3: expected probabilities that sum to one, got 0.8, 0.3"),
        (broken(1, p_fear="-0.2", p_anger="1.2"), "row 3: expected probabilities of 0 to 1"),
        (broken(1, p_fear="nan"), "row 3: expected probabilities of 0 to 1"),
        (broken(1, p_fear=""), "row 3: expected probabilities of 0 to 1"),
        (broken(1, p_fear="often"), "expected a number as probability of each class"),
        (broken(1, seed="first"), "expected a whole number as seed"),
        (broken(1, sample_id="c0"), "expected one answer to each clip from each seed, got several to 'c0'"),
        (rows()[:-1], "expected every seed to answer the same clips, got fewer than 2 to 'c3'"),
        (broken(0, label="anger"), "expected one label a clip, got several of 'c0'"),
        (broken(0, sample_id=""), "expected a clip's id in every row, 1 have none"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, found: list[Row], said: str) -> None:
    with pytest.raises(EquimeError) as caught:
        read_answers(written(tmp_path, found))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_clips_that_the_data_set_does_not_have(tmp_path: Path) -> None:
    data = Rows("ws", "tag", pa.table({"clip_id": ["c0", "c1"], "subject_id": ["a", "b"]}))
    with pytest.raises(EquimeError, match=r"expected answers to clips of ws, but 2 are not, the first is 'c2'"):
        read_answers(written(tmp_path, rows()), data)
    twice = Rows("ws", "tag", pa.table({"clip_id": ["c0", "c0"], "subject_id": ["a", "b"]}))
    with pytest.raises(EquimeError, match="expected each clip_id once"):
        read_answers(written(tmp_path, rows()), twice)
    nameless = Rows("people.csv", "file", pa.table({"subject_id": ["a"]}))
    with pytest.raises(EquimeError, match=r"people\.csv names no clips"):
        read_answers(written(tmp_path, rows()), nameless)


def test_spellings_of_a_class_are_one_class(tmp_path: Path) -> None:
    spelled = {"fear": "FEAR", "anger": "Very_Angry"}
    found = [
        row | {"prediction": spelled[row["prediction"]], "label": row["label"].replace("anger", "very angry")}
        for row in rows()
    ]
    answered = read_answers(written(tmp_path, found))
    plain = read_answers(written(tmp_path, rows()))
    assert answered.classes == ("fear", "very angry")
    assert answered.predicted.tolist() == plain.predicted.tolist() and answered.truth.tolist() == plain.truth.tolist()
    assert "other spellings of a class, read as that class: FEAR, Very_Angry" in answered.rows.notes
    found[0] |= {"prediction": "joy"}
    notes = read_answers(written(tmp_path, found)).rows.notes
    assert "answers that no clip is labelled as, which are always wrong: joy" in notes


def test_wrong_answers_in_the_contracts_words_are_wrong_and_no_bad_file(tmp_path: Path) -> None:
    found = [row | {"label": "fear", "prediction": "anger"} for row in rows()]
    assert read_answers(written(tmp_path, found)).predicted.tolist() == [1] * 8


def test_columns_of_something_else_are_no_probabilities(tmp_path: Path) -> None:
    odd = [row | {"p_value": "3"} for row in rows()]
    alone = read_answers(written(tmp_path, odd))
    assert alone.probabilities is None
    assert "no probabilities: columns p_value are not one for each of anger, fear" in alone.rows.notes
    both = read_answers(written(tmp_path, with_probabilities(odd)))
    assert both.probabilities is not None and both.probabilities.shape == (8, 2)
    third = [row | {"p_boredom": "0.1", "p_fear": "0.5", "p_anger": "0.4"} for row in rows()]
    assert set(read_answers(written(tmp_path, third)).classes) == {"anger", "fear", "boredom"}


@pytest.mark.parametrize("name", ["label", "prediction", "sample_id", "subject_id"])
def test_lists_and_structs_are_no_text(tmp_path: Path, name: str) -> None:
    table = pa.Table.from_pylist(rows())
    for odd in (pa.array([["a"]] * 8), pa.array([{"a": 1}] * 8)):
        put = table.set_column(table.column_names.index(name), name, odd)
        pq.write_table(put, tmp_path / "a.parquet")
        with pytest.raises(EquimeError, match=f"expected text or numbers in the column '{name}', got (list|struct)"):
            read_answers(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("encoding", "first"), [("utf-16", ""), ("utf-16", "sep=;\r\n"), ("utf-8-sig", "sep=;\n"), ("utf-8", "SEP=;\n")]
)
def test_tables_as_excel_writes_them(tmp_path: Path, encoding: str, first: str) -> None:
    plain = read_answers(written(tmp_path, rows()))
    text = first + (tmp_path / "answers.csv").read_text().replace(",", ";")
    (tmp_path / "excel.csv").write_bytes(text.encode(encoding))
    assert read_answers(tmp_path / "excel.csv").predicted.tolist() == plain.predicted.tolist()
    (tmp_path / "latin.csv").write_bytes("label;prediction\n\u00e9;\u00e9\n".encode("latin-1"))
    with pytest.raises(EquimeError, match="save it as CSV in UTF-8"):
        read_answers(tmp_path / "latin.csv")
