"""ME-VQA's files: back to the byte, every field read, and scores that other implementations give as well.

The lines are made up: nobody's coding is in them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_workspace import make_workspace

from equime import schema
from equime.action_units import ActionUnit
from equime.cli import main
from equime.errors import EquimeError
from equime.tuning.example import KINDS
from equime.tuning.examples.draw import examples
from equime.tuning.mevqa.metrics import evaluate, scored
from equime.tuning.mevqa.read import (
    SCHEMA,
    asked,
    kind_of,
    number_of,
    read_questions,
    subject_id,
    units_of,
)
from equime.tuning.mevqa.write import answered, write_questions

pytest.importorskip("sklearn")
pytest.importorskip("sacrebleu")
pytest.importorskip("rouge_score")
from sklearn.metrics import balanced_accuracy_score, f1_score

NAMES = ("brow lowerer", "lid tightener", "dimpler", "lip stretcher", "inner brow raiser", "lips part")
CLASSES = {"happiness": "positive", "surprise": "surprise", "anger": "negative", "contempt": "negative"}
ANALYSIS = "Please analyse the micro-expression shown in this video in detail."


def made_up(clips: int, seed: int = 0) -> list[dict[str, Any]]:
    """Lines of a training file of three sets, one of which has coarse classes alone."""
    draw = Random(seed)
    found: list[dict[str, Any]] = []
    for number in range(clips):
        dataset = ("samm", "casme2", "smic")[number % 3]
        subject = {"samm": "6", "casme2": "sub07", "smic": "s20"}[dataset]
        emotion = draw.choice(sorted(CLASSES))
        units = draw.sample(NAMES, draw.choice([1, 2, 3]))
        name = f"{subject}_{number}"
        for count, (question, answer) in enumerate(asked_of(emotion, units, draw, dataset == "smic"), 1):
            found.append(
                {
                    "id": f"{dataset}_{name}_{count}",
                    "dataset": dataset,
                    "image_id": name,
                    "subject": subject,
                    "filename": name,
                    "question": question,
                    "answer": answer,
                }
            )
    return found


def asked_of(emotion: str, units: list[str], draw: Random, bare: bool) -> Iterator[tuple[str, str]]:
    yield "What is the coarse expression class?", CLASSES[emotion]
    if bare:
        return
    one = len(units) == 1
    listed = ", ".join(units)
    yield "What is the fine-grained expression class?", emotion
    yield "What is the action unit?" if one else "What are the action units?", listed
    yield f"Is the action unit {units[0]} shown on the face?", "yes"
    yield f"Is the action unit {draw.choice([n for n in NAMES if n not in units])} shown on the face?", "no"
    yield f"Is the action unit {units[0]} located on the left or right face?", draw.choice(["left", "right"])
    noun, verb, them = ("action unit", "is", "it") if one else ("action units", "are", "them")
    yield (
        f"What {verb} the {noun} present, and based on {them}, what is the fine-grained expression and the coarse"
        " expression class?",
        f"The {noun} present {verb}: {listed}. Therefore, the fine-grained expression class is {emotion}, and the"
        f" coarse expression class is {CLASSES[emotion]}.",
    )


def to_answer(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As the challenge's test files: numbers for subjects, frames before the question, no answers."""
    found = []
    for place, line in enumerate(lines):
        head = {name: line[name] for name in ("id", "dataset", "image_id")}
        frames = {"onset_frame": 100 + place, "offset_frame": 99 + place}  # one of theirs ends before it begins
        found.append(
            head | {"subject": 3, "filename": line["filename"]} | frames | {"question": line["question"], "answer": ""}
        )
    return found


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def train(tmp_path: Path) -> Path:
    return write(tmp_path / "train.jsonl", made_up(24))


@pytest.fixture
def table(train: Path) -> pa.Table:
    return read_questions(train)


# --- there and back


def test_a_file_comes_back_to_the_byte(train: Path, tmp_path: Path) -> None:
    write_questions(read_questions(train), tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == train.read_bytes()


def test_a_test_file_comes_back_to_the_byte_and_gets_answers(tmp_path: Path) -> None:
    lines = to_answer(made_up(6))
    path = write(tmp_path / "test.jsonl", lines)
    read = read_questions(path)
    assert set(read["answer"].to_pylist()) == {""}
    assert read["onset_frame"].to_pylist() == [line["onset_frame"] for line in lines]
    assert read["units"].null_count == read["emotion"].null_count == len(read)
    write_questions(read, tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == path.read_bytes()
    told = answered(read, {lines[0]["id"]: "negative", lines[2]["id"]: "brow lowerer, lid tightener"})
    write_questions(told, tmp_path / "said.jsonl")
    back = [json.loads(line) for line in (tmp_path / "said.jsonl").read_text().splitlines()]
    wanted = [dict(line) for line in lines]
    wanted[0]["answer"], wanted[2]["answer"] = "negative", "brow lowerer, lid tightener"
    assert back == wanted
    assert [list(line) for line in back] == [list(line) for line in lines]
    assert [u["au"] for u in told["units"][2].as_py()] == [4, 7]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
LINE = st.fixed_dictionaries(
    {
        "dataset": st.sampled_from(["samm", "x"]),
        "image_id": TEXT | st.integers(-9, 9),
        "subject": TEXT | st.integers(),
        "filename": TEXT,
        "question": TEXT | st.sampled_from(["What are the action units?", "Is the action unit x shown on the face?"]),
        "answer": TEXT,
    },
    optional={
        "onset_frame": st.integers(0, 1 << 40) | st.none(),
        "more": st.lists(st.floats(allow_nan=False)),
        "": TEXT,
    },
)


@given(st.lists(LINE, min_size=1, max_size=5), st.booleans(), st.sampled_from([None, (",", ":")]))
@settings(max_examples=150, deadline=None)
def test_any_lines_come_back_to_the_byte(
    tmp_path_factory: pytest.TempPathFactory, lines: list[dict[str, Any]], ascii_only: bool, separators: Any
) -> None:
    folder = tmp_path_factory.mktemp("any")
    text = "".join(
        json.dumps({"id": str(place), **line}, ensure_ascii=ascii_only, separators=separators) + "\n"
        for place, line in enumerate(lines)
    )
    (folder / "in.jsonl").write_text(text, encoding="utf-8", newline="")
    read = read_questions(folder / "in.jsonl")
    write_questions(read, folder / "out.jsonl")
    assert (folder / "out.jsonl").read_bytes() == text.encode()
    other = answered(read, dict.fromkeys(read["id"].to_pylist(), "né\n"))
    write_questions(other, folder / "out.jsonl")
    back = [json.loads(line) for line in (folder / "out.jsonl").read_text(encoding="utf-8").split("\n") if line]
    assert back == [{"id": str(place), **line, "answer": "né\n"} for place, line in enumerate(lines)]


def test_rows_from_no_file_get_the_challenge_s_fields(table: pa.Table, tmp_path: Path) -> None:
    own = table.set_column(table.schema.get_field_index("line"), "line", pa.nulls(len(table), pa.string()))
    write_questions(own, tmp_path / "own.jsonl")
    again = read_questions(tmp_path / "own.jsonl")
    assert again.drop_columns(["line"]).equals(table.drop_columns(["line"]))
    assert list(json.loads(again["line"][0].as_py())) == [
        *("id", "dataset", "image_id", "subject", "filename", "question", "answer"),
    ]


# --- what is read


def test_kinds_units_classes_and_sides_are_read(table: pa.Table) -> None:
    assert table.schema == SCHEMA
    assert set(table["kind"].to_pylist()) == set(KINDS)
    for row in table.to_pylist():
        record = json.loads(row["line"])
        if row["kind"] in ("units", "unit"):
            assert [ActionUnit.from_dict(u).name.lower() for u in row["units"]] == record["answer"].split(", ")
        elif row["kind"] == "joint":
            assert CLASSES[row["emotion"]] == row["coarse"]
            assert all(ActionUnit.from_dict(u).name.lower() in record["answer"] for u in row["units"])
        elif row["kind"] == "present":
            assert (row["answer"] == "yes") == bool(row["units"])
            assert row["asked"] == number_of(record["question"].split("unit ")[1].split(" shown")[0])
        elif row["kind"] == "side":
            assert row["side"] == record["answer"][0].upper() == row["units"][0]["side"]
        elif row["kind"] == "fine":
            assert row["emotion"] == record["answer"] and row["units"] is None
        else:
            assert row["coarse"] == record["answer"]


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("what is the coarse expression class", "coarse"),
        ("  What is the fine grained expression class? ", "fine"),
        ("What is the action unit?", "unit"),
        ("What are the action units?", "units"),
        ("Is the action unit Brow Lowerer shown on the face?", "present"),
        ("Is the action unit lip stretcher located on the left or right face?", "side"),
        ("Is the action unit lip stretcher located on the left or right face, or on both?", "side"),
        (ANALYSIS, ""),
        ("How many expressions are there?", ""),
        ("", ""),
    ],
)
def test_kinds_by_text(question: str, kind: str) -> None:
    assert kind_of(question) == kind


def test_our_own_questions_are_of_the_kinds_that_they_say(tmp_path: Path) -> None:
    make_workspace(
        tmp_path / "ws", subjects=6, per_emotion=2, emotions=(*schema.EMOTIONS, schema.DISGUST, schema.NEUTRAL)
    )
    found = examples(str(tmp_path / "ws"), ["question"])
    assert {one.kind for one in found} == set(KINDS)
    for one in found:
        assert kind_of(one.question) == one.kind
        if one.kind in ("units", "unit", "joint"):
            assert {unit.au for unit in units_of(one.answer)} == {unit.au for unit in one.truth.units}
        if one.kind in ("present", "side"):
            assert (asked(one.question) in {unit.au for unit in one.truth.units}) == (one.answer != "no")


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("brow lowerer", 4),
        ("Nostril dilater", 38),
        ("nostril compress", 39),
        ("tilt right", 56),
        ("turn left", 51),
        ("eyes left", 61),
        (" lip  pressor. ", 24),
        ("neck tightener", 21),
        ("eyebrow", None),
        ("", None),
    ],
)
def test_units_by_the_files_names(name: str, number: int | None) -> None:
    assert number_of(name) == number


def test_a_free_analysis_is_read_too() -> None:
    said = (
        "The action units present are: jaw drop, lips part. Therefore, the fine-grained expression class is surprise."
    )
    assert [unit.au for unit in units_of(said)] == [26, 25]


@pytest.mark.parametrize(
    ("dataset", "subject", "wanted"),
    [
        ("samm", "6", "samm-006"),
        ("samm", "006", "samm-006"),
        ("samm", "36", "samm-036"),
        ("samm_test", "1", "samm_test-1"),
        ("casme2", "sub01", "casme2-01"),
        ("casme2", "1", "casme2-01"),
        ("smic", "s20", "smic-hs-20"),
        ("smic", "s3", "smic-hs-03"),
        ("casme3", "spNO.216", "casme3-216"),
        ("mine", "Ann B", "mine-Ann B"),
    ],
)
def test_subjects_are_named_as_for_recognition(dataset: str, subject: str, wanted: str) -> None:
    assert subject_id(dataset, subject) == wanted


# --- bad lines


GOOD = {"id": "a", "dataset": "samm", "image_id": "1", "subject": "6", "filename": "1", "question": "q", "answer": "a"}


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("{", "JSON object"),
        ("[1]", "all of them"),
        ("null", "all of them"),
        ("[" * 100_000, "JSON object"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "answer"}), "lacks answer"),
        (json.dumps(GOOD | {"answer": 3}), "answer"),
        (json.dumps(GOOD | {"subject": None}), "subject"),
        (json.dumps(GOOD | {"subject": True}), "subject"),
        (json.dumps(GOOD | {"question": ["q"]}), "question"),
        (json.dumps(GOOD | {"onset_frame": "12"}), "onset_frame"),
        (json.dumps(GOOD | {"onset_frame": 1 << 70}), "onset_frame"),
        (json.dumps(GOOD | {"answer": "\ud800"}), "line 3"),
        (json.dumps(GOOD | {"id": "first"}), "another id"),
    ],
)
def test_a_bad_line_is_named_by_its_number(tmp_path: Path, line: str, part: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps(GOOD | {"id": "first"}) + "\n\n" + line + "\n")
    with pytest.raises(EquimeError, match=re.escape(part)) as caught:
        read_questions(path)
    assert "line 3" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(path))


def test_a_file_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n\n")
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe\x00")
    for name in ("missing.jsonl", "empty.jsonl", "bytes.jsonl", "."):
        with pytest.raises(EquimeError) as caught:
            read_questions(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_an_answer_to_no_question_is_refused(table: pa.Table) -> None:
    with pytest.raises(EquimeError, match="'nobody'"):
        answered(table, {"nobody": "yes"})


# --- scores


def by_name(found: list[Any]) -> dict[tuple[str, str], Any]:
    return {(score.kind, score.name): score for score in found}


def test_true_answers_score_one(table: pa.Table) -> None:
    truth = dict(zip(table["id"].to_pylist(), table["answer"].to_pylist(), strict=True))
    found = evaluate(table, truth)
    assert {score.kind for score in found} == set(KINDS)
    assert all(score.value == pytest.approx(1) for score in found)
    assert all(score.constant <= 1 for score in found)
    assert by_name(found)["present", "accuracy"].constant == 0.5


def test_classes_are_scored_as_scikit_learn_does(table: pa.Table) -> None:
    draw = Random(3)
    for kind, column in (("coarse", "coarse"), ("fine", "emotion")):
        rows = [row for row in table.to_pylist() if row["kind"] == kind]
        truth = [row[column] for row in rows]
        said = [draw.choice(sorted(set(truth))) for _ in rows]
        found = by_name(evaluate(table, {row["id"]: f" {w.title()}." for row, w in zip(rows, said, strict=True)}))
        wanted = f1_score(truth, said, average="macro", labels=sorted(set(truth)))
        assert found[kind, "UF1"].value == pytest.approx(wanted)
        assert found[kind, "UAR"].value == pytest.approx(balanced_accuracy_score(truth, said))
        constants = [f1_score(truth, [c] * len(truth), average="macro", labels=sorted(set(truth))) for c in set(truth)]
        assert found[kind, "UF1"].constant == pytest.approx(max(constants))


def test_an_answer_of_no_class_is_wrong_and_a_sentence_is_read() -> None:
    pairs = [("negative", "I cannot say"), ("positive", "The class is positive, I think"), ("surprise", "")]
    found = scored("coarse", pairs)
    assert found["UAR"] == pytest.approx(1 / 3)
    assert scored("coarse", [("negative", "negative or positive")])["UAR"] == 0
    assert scored("fine", [("happiness", "Happy."), ("contempt", "contempt")])["UF1"] == 1


def test_words_and_units_by_hand() -> None:
    pairs = [("brow lowerer, lid tightener", "lid tightener, dimpler"), ("dimpler", "Dimpler.")]
    found = scored("units", pairs)
    assert found["unit precision"] == pytest.approx(2 / 3)
    assert found["unit recall"] == pytest.approx(2 / 3)
    assert found["unit F1"] == pytest.approx(2 / 3)
    assert found["ROUGE-1"] == pytest.approx((2 * (2 / 3) * (2 / 4) / (2 / 3 + 2 / 4) + 1) / 2)
    assert scored("side", [("left", "Left."), ("right", "left"), ("left", "")])["accuracy"] == pytest.approx(1 / 3)


def test_bleu_is_what_sacrebleu_s_function_says() -> None:
    import sacrebleu

    pairs = [
        ("the action units present are: brow lowerer.", "the action unit present is: brow lowerer."),
        ("a b", "a b c"),
    ]
    wanted = sacrebleu.corpus_bleu([g for _, g in pairs], [[t for t, _ in pairs]], lowercase=True).score / 100
    assert scored("joint", pairs)["BLEU"] == pytest.approx(wanted)
    assert scored("unit", [("dimpler", "dimpler")])["BLEU"] == pytest.approx(1)


def test_questions_left_out_count_as_wrong(table: pa.Table) -> None:
    first = next(row for row in table.to_pylist() if row["kind"] == "present")
    found = by_name(evaluate(table, {first["id"]: first["answer"]}))
    assert found["present", "accuracy"].value == pytest.approx(1 / found["present", "accuracy"].questions)
    assert found["units", "unit F1"].value == 0


def test_no_answers_to_score_by_is_one_line(tmp_path: Path, table: pa.Table) -> None:
    lines = to_answer(made_up(3))
    with pytest.raises(EquimeError, match="training file"):
        evaluate(read_questions(write(tmp_path / "test.jsonl", lines)), {lines[0]["id"]: "yes"})
    with pytest.raises(EquimeError, match="none of them"):
        evaluate(table, {})


def test_the_command_scores_a_file_of_answers(
    tmp_path: Path, table: pa.Table, capsys: pytest.CaptureFixture[str]
) -> None:
    questions, answers = tmp_path / "questions.jsonl", tmp_path / "answers.jsonl"
    write_questions(table, questions)
    write_questions(answered(table, dict.fromkeys(table["id"].to_pylist(), "negative")), answers)
    words = ["evaluate-captions", "--questions", str(questions), "--answers", str(answers), "--json"]
    assert main(words) == 0
    found = {(f["scope"], f["measure"]): f for f in json.loads(capsys.readouterr().out)["findings"]}
    assert found["coarse", "UF1"]["value"] == pytest.approx(found["coarse", "UF1"]["reference"])  # a constant answer
    assert main(words[:3]) == 1 and "--answers" in capsys.readouterr().err
