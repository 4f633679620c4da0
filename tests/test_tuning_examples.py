"""Examples: every answer says what was planned, wrong answers do not, and nothing leaks from split to split."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_workspace import add_rows, make_row, make_workspace

from equime import schema
from equime.action_units import FACS, NAMES, ActionUnit, Side
from equime.captioning.answers import read
from equime.captioning.mentions import mentions
from equime.captioning.templates import units_in
from equime.causal import EmotionModel, noise
from equime.errors import EquimeError
from equime.table import Table
from equime.tuning.example import TASKS, Example, Truth
from equime.tuning.examples import captions, questions
from equime.tuning.examples.draw import draw, examples
from equime.tuning.examples.planned import Company, Planned
from equime.tuning.examples.preferences import other_intensity, other_side, other_unit, preferred

SIDES: tuple[Side, ...] = ("L", "R", *(("B",) * 6))
EMOTIONS = (*schema.EMOTIONS, schema.NEUTRAL)
WRONG = {"side", "unit", "intensity", "emotion", "twin"}  # what a rejected caption may be wrong in


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Six faces of two clips of each emotion and two at rest; one clip was not made."""
    path = tmp_path_factory.mktemp("examples") / "ws"
    make_workspace(path, subjects=6, per_emotion=2, emotions=EMOTIONS, failed=[3], shard_rows=16)
    return str(path)


@pytest.fixture(scope="module")
def found(workspace: str) -> list[Example]:
    return examples(workspace)


def clip(truth: Truth, number: int = 0, control: str | None = None, caption: str | None = None) -> Planned:
    groups: dict[str, str | None] = {}
    name = f"{truth.emotion or control}/f_a_{number:02d}"
    return Planned(name, "a", "train", control, caption, None, number, 0, truth, MappingProxyType(groups))


UNITS = st.builds(
    ActionUnit,
    st.sampled_from(sorted(FACS)),
    st.sampled_from(("L", "R", "B", "U")),
    st.sampled_from((None, *"ABCDE")),
)
PROGRAMMES = st.lists(UNITS, min_size=1, max_size=5, unique_by=lambda unit: unit.au).map(tuple)
TRUTHS = st.builds(
    Truth,
    st.sampled_from((*schema.EMOTIONS, schema.DISGUST)),
    PROGRAMMES,
    st.just(500.0),
    st.just(640.5),
    st.just(812.25),
)


# --- what a data set gives


def test_every_made_clip_is_asked_in_every_task(found: list[Example]) -> None:
    made = {one.clip_id for one in found}
    assert len(made) == 6 * 2 * len(EMOTIONS) - 1
    for task in ("caption", "json"):
        assert Counter(one.clip_id for one in found if one.task == task) == dict.fromkeys(made, 1)
    assert {one.clip_id for one in found if one.task == "question"} == made
    assert {one.clip_id for one in found if one.task == "preference"} == made
    assert len({one.id for one in found}) == len(found)


def test_order_is_that_of_the_clips_then_of_the_tasks(found: list[Example], workspace: str) -> None:
    plan = dict.fromkeys(one.clip_id for one in found)
    asked = examples(workspace, ["question", "caption"])
    assert list(dict.fromkeys(one.clip_id for one in asked)) == list(plan)
    for clip_id in list(plan)[:4]:
        tasks = [one.task for one in asked if one.clip_id == clip_id]
        assert tasks == sorted(tasks, key=["question", "caption"].index)


def test_the_same_seed_gives_the_same_and_another_other_words(workspace: str, found: list[Example]) -> None:
    assert examples(workspace) == found
    again = examples(workspace, seed=1)
    assert [one.clip_id for one in again if one.task == "caption"] == [o.clip_id for o in found if o.task == "caption"]
    assert [one.question for one in again if one.task == "caption"] != [
        o.question for o in found if o.task == "caption"
    ]


def test_examples_survive_their_json(found: list[Example]) -> None:
    assert [Example.from_dict(json.loads(json.dumps(one.to_dict()))) for one in found] == found


def test_more_faces_change_nothing_for_those_that_were_there(tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", subjects=2, emotions=EMOTIONS)
    before = examples(str(tmp_path / "ws"))
    add_rows(table, [make_row(100 + n, 5, 0, emotion) for n, emotion in enumerate(EMOTIONS)])
    kept = {one.subject_id for one in before}
    after = examples(str(tmp_path / "ws"))
    assert [one for one in after if one.subject_id in kept] == before
    assert len(after) > len(before)


def test_a_limit_keeps_the_examples_of_fewer_clips(workspace: str, found: list[Example]) -> None:
    few, more = (examples(workspace, limit=limit) for limit in (3, 9))
    assert len({one.clip_id for one in few}) == 3
    assert {one.id for one in few} < {one.id for one in more} < {one.id for one in found}
    assert all(one in found for one in few)
    assert examples(workspace, limit=10_000) == found


def test_splits_are_those_of_the_data_set_and_share_nobody(workspace: str, found: list[Example]) -> None:
    people = {split: {one.subject_id for one in found if one.split == split} for split in schema.SPLITS}
    assert all(people.values())
    assert sum(map(len, people.values())) == len(set().union(*people.values()))
    test = examples(workspace, splits=["test"])
    assert test == [one for one in found if one.split == "test"]


def test_groups_are_one_label_a_subject(found: list[Example]) -> None:
    for subject in {one.subject_id for one in found}:
        labels = {tuple(one.groups.items()) for one in found if one.subject_id == subject}
        assert len(labels) == 1
    assert {one.groups["gender"] for one in found} == {"female", "male"}


def test_yes_and_no_are_equally_common_in_every_split(found: list[Example]) -> None:
    for split in schema.SPLITS:
        said = Counter(one.answer for one in found if one.kind == "present" and one.split == split)
        assert said["yes"] == said["no"] > 0


def test_a_neutral_clip_says_that_nothing_moves(found: list[Example]) -> None:
    rest = [one for one in found if one.truth.emotion is None]
    assert rest
    assert {one.kind for one in rest if one.task == "question"} == {"units"}
    for one in rest:
        if one.task == "json":
            assert read(one.answer).units == ()
            assert json.loads(one.answer)["emotion"] is None
        else:
            assert mentions(one.answer, prose=True) == ([], [])
            assert units_in(one.answer) == []
    pairs = [one for one in rest if one.task == "preference"]
    assert pairs and all(units_in(one.rejected or "") for one in pairs)  # what it would make up


def test_a_macro_control_is_told_and_has_no_emotion() -> None:
    macro = clip(Truth(None, (ActionUnit(4, "B", "E"),), 100.0, 900.0, 1800.0), control="macro")
    (told,) = captions.described(macro)
    assert units_in(told.answer) == list(macro.truth.units)
    kinds = {one.kind for one in questions.asked(macro, Company([macro]))}
    assert {"unit", "present"} <= kinds <= {"unit", "present", "side"}


def test_what_is_left_out_and_what_is_reworded_is_said(tmp_path: Path) -> None:
    rows = [make_row(number, 0, number, "happiness", failed=[3, 4]) | {"caption": None} for number in range(7)]
    rows[0] |= {"control": "blink", "emotion": None}
    rows[1] |= {"captioner": "a model", "caption": "A face that smiles."}
    rows[2] |= {"action_units": None}
    add_rows(Table.create(tmp_path / "ws", shard_rows=8), rows)
    drawn = draw(str(tmp_path / "ws"))
    assert drawn.left == {"clips that were not made": 2, "clips that blink": 1}
    unknown = "1 clip without known units: asked for the emotion alone"
    assert drawn.notes == [unknown, "1 caption told another plan than the clip's: answered in the plan's words"]
    asked = draw(str(tmp_path / "ws"), ["question"], splits=["train"])
    assert (asked.left, asked.notes) == (drawn.left, [unknown])  # no caption is an answer there


def test_a_blink_is_told_and_not_asked_for_units() -> None:
    blink = clip(Truth(None, ()), control="blink")
    (told,) = captions.described(blink)
    assert "blink" in told.answer
    assert list(questions.asked(blink, Company([blink]))) == []


def test_a_clip_without_known_units_is_asked_for_its_emotion_alone() -> None:
    bare = clip(Truth("anger", ()))
    assert list(captions.described(bare)) == list(captions.structured(bare)) == []
    assert {one.kind: one.answer for one in questions.asked(bare, Company([bare]))} == {
        "coarse": "negative",
        "fine": "anger",
    }


# --- what answers say


@given(TRUTHS, st.integers(0, 1 << 62))
@settings(max_examples=150, deadline=None)
def test_every_answer_reads_back_to_the_plan(truth: Truth, number: int) -> None:
    one = clip(truth, number)
    (words,) = captions.described(one)
    assert units_in(words.answer) == list(truth.units)
    (text,) = captions.structured(one)
    told = read(text.answer)
    assert told.units == truth.units
    assert (told.emotion, told.onset_ms, told.apex_ms, told.offset_ms) == (truth.emotion, 500, 640, 812)
    numbers = {unit.au for unit in truth.units}
    for asked in questions.asked(one, Company([one])):
        check_question(asked, numbers)


def check_question(asked: Example, numbers: set[int]) -> None:
    """By the FACS dictionary alone: names in small letters are units."""
    known = {name.lower(): au for au, name in NAMES.items()}
    if asked.kind in ("units", "unit"):
        assert {known[name] for name in asked.answer.split(", ")} == numbers
        assert (asked.kind == "unit") == (len(numbers) == 1)
    elif asked.kind == "joint":
        listed = re.search(r"present (?:is|are): (.*?)\. Therefore", asked.answer)
        assert listed and {known[name] for name in listed[1].split(", ")} == numbers
        assert f"expression class is {asked.truth.emotion}," in asked.answer
    elif asked.kind == "fine":
        assert asked.answer == asked.truth.emotion
    elif asked.kind == "coarse":
        classes = {"happiness": "positive", "surprise": "surprise"}
        assert asked.answer == classes.get(asked.truth.emotion or "", "negative")
    else:
        au = known[asked.question.split("unit ")[1].split(" shown")[0].split(" located")[0]]
        if asked.kind == "present":
            assert asked.answer == ("yes" if au in numbers else "no")
        else:
            side = next(unit.side for unit in asked.truth.units if unit.au == au)
            assert asked.answer == {"L": "left", "R": "right", "B": "both"}[side]


@given(PROGRAMMES, st.integers(0, 1000))
@settings(max_examples=150, deadline=None)
def test_a_wrong_programme_is_wrong_in_that_alone(units: tuple[ActionUnit, ...], draw: int) -> None:
    mirrored = other_side(units)
    assert [(u.au, u.intensity) for u in mirrored] == [(u.au, u.intensity) for u in units]
    assert {u.au for u in mirrored if u.side in "LR"} == {u.au for u in units if u.side in "LR"}
    place = draw % len(units)
    replaced = {u.au for u in other_unit(units, place, draw)}
    assert {u.au for u in units} - replaced == {units[place].au}
    assert len(replaced) == len(units)
    moved = other_intensity(units)
    assert [(u.au, u.side) for u in moved] == [(u.au, u.side) for u in units]
    assert all((was.intensity is None) == (now.intensity is None) for was, now in zip(units, moved, strict=True))


@given(st.lists(TRUTHS, min_size=2, max_size=6))
@settings(max_examples=80, deadline=None)
def test_a_rejected_caption_says_other_units(truths: list[Truth]) -> None:
    clips = [clip(truth, number) for number, truth in enumerate(truths)]
    company = Company(clips)
    for one in clips:
        for pair in preferred(one, company):
            assert pair.wrong in WRONG
            assert units_in(pair.answer) == list(one.truth.units)
            assert sorted(units_in(pair.rejected or "")) != sorted(one.truth.units)


def test_wrong_sorts_come_where_they_can(found: list[Example]) -> None:
    pairs = [one for one in found if one.task == "preference"]
    assert {one.wrong for one in pairs} == WRONG
    for one in pairs:
        theirs = units_in(one.rejected or "")
        if one.wrong == "side":
            assert {u.side for u in one.truth.units} & {"L", "R"}
            assert {u.au for u in theirs} == {u.au for u in one.truth.units}
        if one.wrong == "intensity":
            assert {(u.au, u.side) for u in theirs} == {(u.au, u.side) for u in one.truth.units}
        if one.wrong == "emotion":
            assert one.truth.emotion not in (one.rejected or "")


def test_a_twin_is_the_other_dose_where_there_is_one() -> None:
    weak, strong = (Truth("fear", (ActionUnit(20, "B", letter),), 10.0, 20.0, 30.0) for letter in "AD")
    other = Truth("fear", (ActionUnit(4, "B", "B"),), 10.0, 20.0, 30.0)
    first = clip(weak, 1)
    dose = replace(clip(strong, 2), seed=1)
    apart = clip(other, 3)
    for order in ([first, dose, apart], [apart, dose, first]):
        wrong = {pair.wrong: pair.rejected for pair in preferred(first, Company(order))}
        assert wrong["twin"] == dose.words
    wrong = {pair.wrong: pair.rejected for pair in preferred(first, Company([first, apart]))}
    assert units_in(wrong["twin"] or "") == list(other.units)


def test_a_pair_is_not_told_apart_by_its_times() -> None:
    """Of another clip only what moves is taken: the question says which part of the clip is shown."""
    late = Truth("fear", (ActionUnit(4, "B", "B"),), 900.0, 1000.0, 1200.0)
    first, apart = clip(replace(late, units=(ActionUnit(20, "B", "A"),), onset_ms=810.0), 1), clip(late, 2)
    other = clip(replace(late, emotion="anger", units=(ActionUnit(7, "B", "B"),)), 3)
    blinks = clip(Truth(None, ()), 4, control="blink")
    for one in (first, blinks):
        for pair in preferred(one, Company([one, apart, other])):
            assert re.findall(r"\d+ ms", pair.rejected or "") == re.findall(r"\d+ ms", pair.answer)
            assert units_in(pair.rejected or "")


def test_who_never_looks_is_seldom_right_about_what_is_there() -> None:
    """By programmes of the causal model: the commoner answer to each unit is right little more often than a coin."""
    model = EmotionModel.from_tables()
    clips = []
    for face in range(40):
        for number, emotion in enumerate(schema.EMOTIONS):
            units = model.sample(emotion, lambda name, seed=face * 5 + number: noise(seed, name)).units
            clips.append(replace(clip(Truth(emotion, units), number), clip_id=f"{face}/{number}", subject_id=str(face)))
    company = Company(clips)
    said = Counter(
        (one.question, one.answer) for each in clips for one in questions.asked(each, company) if one.kind == "present"
    )
    best = sum(max(said[asked, "yes"], said[asked, "no"]) for asked in {asked for asked, _ in said})
    assert best / said.total() < 0.65  # 0.78 where the absent unit is drawn by likeness alone


def test_left_and_right_and_both_are_all_asked() -> None:
    answers = Counter(
        asked.answer
        for number in range(240)
        for side in SIDES
        for one in [clip(Truth("happiness", (ActionUnit(12, side, "B"),)), number)]
        for asked in questions.asked(one, Company([one]))
        if asked.kind == "side"
    )
    assert answers["left"] == answers["right"] == 240
    assert 160 < answers["both"] < 320


# --- the data set's own captions


SMILE = Truth("happiness", (ActionUnit(12, "L", "B"),), 100.0, 200.0, 300.0)


@pytest.mark.parametrize(
    "caption",
    [
        "A slight left lip corner puller (AU12).",
        "The left lip corner is pulled up and outward slightly (lip corner puller), at once.",
    ],
)
def test_a_caption_that_tells_the_plan_is_used(caption: str) -> None:
    (one,) = captions.described(clip(SMILE, caption=caption))
    assert one.answer == caption


@pytest.mark.parametrize(
    "caption",
    [
        "",
        "   ",
        "A face shows happiness.",
        "A right lip corner puller (AU12).",
        "A left lip corner puller (AU12) and a brow lowerer (AU4).",
        "A left lip corner puller (AU12) <video> and more",
        "A left lip corner puller (AU12)<|im_end|>",
        "[INST] A left lip corner puller (AU12) [/INST]",
        "A left lip corner puller (AU12)\x00\x1b[31m",
        "A left lip corner puller (AU12) \ud800",
        "{" * 500,
    ],
)
def test_a_caption_that_does_not_or_has_markup_is_not(caption: str) -> None:
    one = clip(SMILE, caption=caption)
    (told,) = captions.described(one)
    assert told.answer == one.words
    (text,) = captions.structured(one)
    assert read(text.answer).units == SMILE.units
    text.answer.encode()


def test_a_caption_of_several_lines_is_on_one() -> None:
    (one,) = captions.described(clip(SMILE, caption="A left\n\n lip corner puller\t(AU12)."))
    assert one.answer == "A left lip corner puller (AU12)."


# --- bad input


def rows(subject: int, split: str) -> list[dict[str, object]]:
    return [make_row(subject * 9 + n, subject, 0, e) | {"split": split} for n, e in enumerate(schema.EMOTIONS[:2])]


def test_bad_input_is_one_line(workspace: str, tmp_path: Path) -> None:
    cases = [
        (lambda: examples(workspace, ["captions"]), "caption, json"),  # type: ignore[list-item]
        (lambda: examples(workspace, []), "caption, json"),
        (lambda: examples(workspace, "caption"), "caption, json"),  # type: ignore[arg-type]
        (lambda: examples(workspace, splits=["dev"]), "train, validation, test"),
        (lambda: examples(workspace, limit=0), "limit"),
        (lambda: examples(workspace, labels="guess"), "'source' or 'tag'"),
    ]
    for call, part in cases:
        with pytest.raises(EquimeError, match=re.escape(part)) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_nothing_made_is_one_line(tmp_path: Path) -> None:
    make_workspace(tmp_path / "plan", groups=["plan"])
    with pytest.raises(EquimeError, match="equime generate"):
        examples(str(tmp_path / "plan"))


def test_a_split_without_clips_says_which_have_some(tmp_path: Path) -> None:
    make_workspace(tmp_path / "ws", splits=["train"])
    with pytest.raises(EquimeError, match="train"):
        examples(str(tmp_path / "ws"), splits=["test"])


def test_a_subject_in_two_splits_is_refused(tmp_path: Path) -> None:
    table = Table.create(tmp_path / "ws", shard_rows=2)
    first, second = rows(1, "train"), rows(1, "test")
    add_rows(table, [*first, *({**row, "clip_id": f"{row['clip_id']}9"} for row in second)])
    with pytest.raises(EquimeError, match=r"one split.*'1'"):
        examples(str(tmp_path / "ws"))


def test_a_clip_without_a_split_counts_as_train(tmp_path: Path) -> None:
    table = Table.create(tmp_path / "ws", shard_rows=2)
    add_rows(table, [row | {"split": None} for row in rows(1, "train")])
    assert {one.split for one in examples(str(tmp_path / "ws"))} == {"train"}


def test_all_tasks_are_made() -> None:
    assert set(TASKS) == {"caption", "json", "question", "preference"}
