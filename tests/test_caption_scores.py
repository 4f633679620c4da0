"""Scores of answers, held against scikit-learn, sacreBLEU, rouge-score and closed forms, on planted answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equime import metrics
from equime.action_units import ActionUnit
from equime.captioning.templates import caption, caption_json, units_in
from equime.errors import EquimeError
from equime.tuning.evaluation.baselines import asked, constant, donors
from equime.tuning.evaluation.measures import difference, estimate, mean_of
from equime.tuning.evaluation.parsed import Said, parse
from equime.tuning.evaluation.retrieval import Ranked, candidates, measures, retrieval
from equime.tuning.evaluation.scores import head, scores
from equime.tuning.example import Example, Truth

pytest.importorskip("sklearn")
pytest.importorskip("sacrebleu")
pytest.importorskip("rouge_score")

AUS = (1, 4, 12, 15)
EMOTIONS = ("happiness", "sadness", "fear")
TIMES = (1000.0, 1150.0, 1300.0)


def example(
    number: int, units: Sequence[ActionUnit] = (), emotion: str | None = None, task: str = "caption", **more: str
) -> Example:
    subject = f"s{number % 7}"
    times = TIMES if units else (None, None, None)
    told = (emotion, units, *times, number)
    answer = json.dumps(caption_json(*told)) if task == "json" else caption(*told)
    clip = f"{emotion or 'neutral'}/f_{subject}_{number:02}"
    fields = {"question": "What moves?", "answer": answer, "kind": "", "id": f"{clip}#{task}"} | more
    groups = {"gender": "female" if number % 7 < 4 else "male"}
    return Example(
        clip_id=clip,
        subject_id=subject,
        split="test",
        task=task,
        truth=Truth(emotion, tuple(units), *times),
        groups=groups,
        **fields,
    )


def drawn(rng: np.random.Generator) -> list[ActionUnit]:
    chosen = [au for au in AUS if rng.random() < 0.5]
    return [ActionUnit(au, str(rng.choice(list("LRB"))), str(rng.choice(list("ABCDE")))) for au in chosen]


def planted(task: str, number: int = 120, seed: int = 0) -> list[Said]:
    """Answers that are right in part, drawn: their words are those of another programme of ours."""
    rng, found = np.random.default_rng(seed), []
    for k in range(number):
        true = drawn(rng)
        emotion = str(rng.choice(EMOTIONS)) if true else None
        told = true if rng.random() < 0.3 else drawn(rng)
        said = str(rng.choice(EMOTIONS)) if told else None
        asking = example(k, true, emotion, task)
        times = (900.0, 1200.0, 1300.0) if told else (None, None, None)
        args = (said, told, *times, k + 1)
        found.append(Said(asking, "seen", json.dumps(caption_json(*args)) if task == "json" else caption(*args)))
    return found


@pytest.mark.parametrize("task", ["caption", "json"])
def test_units_score_as_scikit_learn_scores_them(task: str) -> None:
    from sklearn.metrics import f1_score, precision_score, recall_score

    answers = planted(task)
    found = scores(answers)
    true, said = (
        np.array([[au in units for au in AUS] for units in column])
        for column in (
            [{unit.au for unit in each.example.truth.units} for each in answers],
            [each.parsed.units.keys() for each in answers],
        )
    )
    scope = f"{task}, seen"
    for measure, score, average in (
        ("unit precision", precision_score, "micro"),
        ("unit recall", recall_score, "micro"),
        ("unit F1", f1_score, "micro"),
        ("unit F1, macro", f1_score, "macro"),
    ):
        assert found.one(measure, scope=scope).value == pytest.approx(score(true, said, average=average))
    each = f1_score(true, said, average=None)
    assert [found.one("F1", of=f"AU{au}", scope=scope).value for au in AUS] == pytest.approx(list(each))
    neutral = ~true.any(1)
    assert found.one("hallucination", by="", scope=scope).value == pytest.approx(said[neutral].any(1).mean())
    assert found.one("units on neutral clips", scope=scope).value == pytest.approx(said[neutral].sum(1).mean())
    one = found.one("unit F1", scope=scope)
    assert one.low is not None and one.high is not None
    assert one.low < one.value < one.high
    assert (one.clips, one.subjects, one.small) == (120, 7, True)


@pytest.mark.parametrize("task", ["caption", "json"])
def test_sides_and_intensities_are_of_the_units_in_both(task: str) -> None:
    from sklearn.metrics import cohen_kappa_score

    answers = planted(task)
    found = scores(answers)
    pairs = [
        (said.parsed.units[unit.au], unit)
        for said in answers
        for unit in said.example.truth.units
        if unit.au in said.parsed.units
    ]
    value = {name: found.one(name, scope=f"{task}, seen").value for name in ("side", "intensity", "intensity kappa")}
    assert value["side"] == pytest.approx(np.mean([a.side == b.side for a, b in pairs]))
    assert value["intensity"] == pytest.approx(np.mean([a.intensity == b.intensity for a, b in pairs]))
    near = found.one("intensity within a letter", scope=f"{task}, seen").value
    assert near == pytest.approx(np.mean([abs(ord(a.intensity) - ord(b.intensity)) < 2 for a, b in pairs]))
    letters = [[unit.intensity for unit in side] for side in zip(*pairs, strict=True)]
    assert value["intensity kappa"] == pytest.approx(cohen_kappa_score(*letters, weights="quadratic"))
    single = found.one("side of one-sided units", scope=f"{task}, seen").value
    assert single == pytest.approx(np.mean([a.side == b.side for a, b in pairs if b.side != "B"]))


@pytest.mark.parametrize("task", ["caption", "json"])
def test_emotions_score_as_scikit_learn_scores_them(task: str) -> None:
    from sklearn.metrics import f1_score, recall_score

    answers = planted(task)
    found = scores(answers)
    kept = [said for said in answers if said.example.truth.emotion]
    true = [said.example.truth.emotion for said in kept]
    told = [said.parsed.emotion or "none" for said in kept]
    f1 = f1_score(true, told, labels=EMOTIONS, average="macro")
    recall = recall_score(true, told, labels=EMOTIONS, average="macro")
    assert found.one("emotion UF1", scope=f"{task}, seen").value == pytest.approx(f1)
    assert found.one("emotion UAR", scope=f"{task}, seen").value == pytest.approx(recall)
    support = np.array([true.count(name) for name in EMOTIONS])
    best = max(metrics.majority(support).uf1, metrics.stratified(support).uf1)
    assert found.one("emotion UF1", scope=f"{task}, seen").reference == pytest.approx(best)


def test_words_score_as_the_libraries_score_them() -> None:
    import sacrebleu
    from rouge_score.rouge_scorer import RougeScorer

    answers = planted("caption", 40)
    answers[0] = replace(answers[0], text="")
    found = scores(answers)
    given, expected = [said.text for said in answers], [said.example.answer for said in answers]
    whole = sacrebleu.corpus_bleu(given, [expected]).score
    assert found.one("BLEU", scope="caption, seen").value == pytest.approx(whole)
    scorer = RougeScorer(["rouge1", "rougeL"])
    each = [scorer.score(*pair) for pair in zip(expected, given, strict=True)]
    for name, key in (("ROUGE-1", "rouge1"), ("ROUGE-L", "rougeL")):
        mean = np.mean([one[key].fmeasure for one in each])
        assert found.one(name, scope="caption, seen").value == pytest.approx(mean)


def test_cider_is_that_of_its_authors_where_it_is_installed() -> None:
    cider = pytest.importorskip("pycocoevalcap.cider.cider")
    answers = planted("caption", 40)
    found = scores(answers)
    given, expected = [said.text for said in answers], [said.example.answer for said in answers]
    plain = [
        {
            k: [" ".join("".join(c if c.isalnum() or c == "_" else " " for c in text.lower()).split())]
            for k, text in enumerate(column)
        }
        for column in (expected, given)
    ]
    value = cider.Cider().compute_score(*plain)[0]
    assert found.one("CIDEr", scope="caption, seen").value == pytest.approx(value)


def test_a_constant_answer_scores_its_closed_form() -> None:
    told = [ActionUnit(12)]
    share, number = 0.25, 80
    rows = [
        example(k, told if k % 4 == 0 else [ActionUnit(4)], EMOTIONS[0] if k % 4 == 0 else EMOTIONS[1])
        for k in range(number)
    ]
    found = scores([Said(row, "constant", caption(EMOTIONS[0], told, *TIMES, 0)) for row in rows])
    assert found.one("unit F1", scope="caption, constant").value == pytest.approx(share)
    assert found.one("unit F1, macro", scope="caption, constant").value == pytest.approx(share / (1 + share))
    own = metrics.constant(share, 2)
    uf1 = found.one("emotion UF1", scope="caption, constant")
    assert uf1.value == pytest.approx(own.uf1)
    assert "collapsed" in uf1.note
    assert found.one("emotion UAR", scope="caption, constant").value == pytest.approx(own.uar)


def test_perfect_answers_score_one_and_the_difference_says_so() -> None:
    wanted = planted("json")
    seen = [Said(said.example, "seen", said.example.answer) for said in wanted]
    other = [replace(said, condition="shuffled") for said in wanted]
    found = scores([*seen, *other])
    for measure in ("unit F1", "unit F1, macro", "unit F1 with side", "side", "intensity", "emotion UF1", "JSON"):
        assert found.one(measure, scope="json, seen").value == 1
        apart = found.one(measure, scope="json, seen - shuffled")
        assert apart.value == pytest.approx(1 - found.one(measure, scope="json, shuffled").value)
    apart = found.one("unit F1", scope="json, seen - shuffled")
    assert apart.low is not None and 0 < apart.low < apart.value
    assert found.one("hallucination", by="", scope="json, seen").value == 0
    assert found.one("error in ms", of="apex", scope="json, seen").value == 0
    assert found.one("error in ms", of="apex", scope="json, shuffled").value == pytest.approx(50)
    assert any("seen - shuffled" in line and "*" in line for line in head(found))


def test_differences_are_drawn_in_pairs() -> None:
    """Of the same answers nothing is left; of answers that differ by a constant, no width is left."""
    rng = np.random.default_rng(3)
    subjects = np.repeat(np.arange(12), 5)
    values = rng.random(60)
    one, two = mean_of("x", values), mean_of("x", values + 0.25)
    assert difference(one, one, subjects) == (0, 0, 0)
    assert difference(two, one, subjects) == pytest.approx((0.25, 0.25, 0.25))
    alone = estimate(one, subjects)
    assert alone.high - alone.low > 0.05


def test_an_interval_of_people_covers_the_truth_where_one_of_answers_would_not() -> None:
    """Every answer of a person is alike: of 150 draws of 20 people, 95 % intervals hold the mean in about that many."""
    rng, inside, narrow = np.random.default_rng(5), 0, 0
    subjects = np.repeat(np.arange(20), 10)
    for _ in range(150):
        values = np.repeat(rng.random(20) < 0.5, 10).astype(float)
        found = estimate(mean_of("x", values), subjects)
        inside += found.low <= 0.5 <= found.high
        single = estimate(mean_of("x", values), np.arange(200))
        narrow += single.low <= 0.5 <= single.high
    assert inside / 150 > 0.88
    assert narrow / 150 < 0.6


def test_groups_are_compared_with_what_chance_gives() -> None:
    """Planted: every unit of women is named, none of men."""
    found = []
    for k in range(200):
        row = replace(example(k, [ActionUnit(12), ActionUnit(6)], "happiness"), subject_id=f"s{k % 40}")
        female = k % 40 < 20
        row = replace(row, groups={"gender": "female" if female else "male", "race": None})
        found.append(Said(row, "seen", row.answer if female else "Nothing moves: the face is neutral."))
    audit = scores(found, by=["gender"])
    by = {f.group: f.value for f in audit.where(measure="unit F1 by clip", by="gender")}
    assert by == {"female": 1.0, "male": 0.0}
    gap = audit.one("gap", of="unit F1 by clip", by="gender")
    assert gap.value == 1 and gap.p is not None and gap.p < 0.01
    assert gap.reference is not None and gap.reference < 0.5
    with pytest.raises(EquimeError, match="race"):
        scores(found, by=["race"])
    assert {f.by for f in scores(found).findings} == {"", "gender"}


QUESTIONS = (
    ("coarse", "negative", "Negative.", "positive", "negative"),
    ("fine", "happiness", "The expression is happiness", "sad", "happiness"),
    ("present", "yes", "Yes, it is.", "no", "yes"),
    ("side", "left", "On the left side.", "right", "left"),
    ("units", "brow lowerer, lid tightener", "AU4 and AU7", "brow lowerer", "brow lowerer, lid tightener"),
    ("unit", "dimpler", "AU 14", "lip corner puller", "dimpler"),
)


def test_questions_of_units_score_as_the_challenge_scores_them() -> None:
    """Held against `equime.tuning.mevqa.metrics`, which was written apart from these."""
    from equime.tuning.mevqa.metrics import scored

    rng, units = np.random.default_rng(2), ["brow lowerer", "lid tightener", "lip corner puller", "dimpler"]
    pairs = [[", ".join(rng.permutation(units)[: rng.integers(1, 4)]) for _ in range(2)] for _ in range(40)]
    rows = [example(k, task="question", kind="units", answer=true, id=str(k)) for k, (true, _) in enumerate(pairs)]
    found = scores([Said(row, "seen", given) for row, (_, given) in zip(rows, pairs, strict=True)])
    wanted = scored("units", pairs)
    for name in ("unit precision", "unit recall", "unit F1", "ROUGE-1"):
        assert found.one(name, scope="units question, seen").value == pytest.approx(wanted[name]), name
    assert found.one("BLEU", scope="units question, seen").value == pytest.approx(100 * wanted["BLEU"])
    pairs = [[str(rng.choice(["negative", "positive", "surprise"])) for _ in range(2)] for _ in range(40)]
    rows = [example(k, task="question", kind="coarse", answer=true, id=str(k)) for k, (true, _) in enumerate(pairs)]
    found = scores([Said(row, "seen", given) for row, (_, given) in zip(rows, pairs, strict=True)])
    wanted = scored("coarse", pairs)
    assert found.one("emotion UF1", scope="coarse question, seen").value == pytest.approx(wanted["UF1"])
    assert found.one("emotion UAR", scope="coarse question, seen").value == pytest.approx(wanted["UAR"])


@pytest.mark.parametrize(("kind", "answer", "right", "wrong", "other"), QUESTIONS)
def test_questions_are_scored_by_what_answers_say(kind: str, answer: str, right: str, wrong: str, other: str) -> None:
    rows = [
        example(k, [ActionUnit(4), ActionUnit(7)], "anger", "question", kind=kind, answer=answer, id=f"{k}")
        for k in range(8)
    ]
    told = [right, wrong, right, other, "", right, wrong, right]
    found = scores([Said(row, "seen", text) for row, text in zip(rows, told, strict=True)])
    assert found.one("accuracy", scope=f"{kind} question, seen").value == pytest.approx(5 / 8)
    assert found.one("read", scope=f"{kind} question, seen").value == pytest.approx(7 / 8)
    if kind in ("coarse", "fine"):
        assert found.one("emotion UAR", scope=f"{kind} question, seen").value == pytest.approx(5 / 8)


def test_json_is_told_from_what_is_nearly_json_and_from_what_is_none() -> None:
    row = example(1, [ActionUnit(12, "L", "B")], "happiness", "json")
    said = [row.answer, f"```json\n{row.answer}\n```", row.answer.replace("}", ",}", 1), "a smile", row.answer[:40]]
    found = [parse(row, text) for text in said]
    assert [each.strict for each in found] == [True, False, False, False, False]
    assert [each.mended for each in found] == [True, True, True, False, False]
    assert [each.read for each in found] == [True, True, True, False, False]
    assert all(each.units == {12: ActionUnit(12, "L", "B")} for each in found[:3])
    assert found[3].units == found[4].units == {}


def test_what_is_at_rest_is_read_as_such_and_a_blink_is_no_mistake() -> None:
    row = example(1)
    for text in (
        row.answer,
        "The face stays neutral.",
        "No action unit is active.",
        "no AU4",
        "Both eyes blink once; the face is otherwise at rest.",
    ):
        assert parse(row, text).read and not parse(row, text).units, text
    assert not parse(row, "").read and not parse(row, "lorem ipsum").read
    blinking = "The eyes blink (AU45, blink), and the lip corners tighten inward (AU14, dimpler)."
    assert [*parse(row, blinking).units] == [14]


@given(
    st.lists(st.sampled_from([1, 2, 4, 6, 7, 12, 15, 17, 20, 24]), min_size=1, max_size=4, unique=True),
    st.sampled_from("LRB"),
    st.sampled_from(["A", "C", "E", None]),
    st.integers(0, 1000),
    st.sampled_from(["caption", "json"]),
)
@settings(max_examples=60, deadline=None)
def test_what_our_own_captions_say_is_read_back(
    aus: list[int], side: str, letter: str | None, seed: int, task: str
) -> None:
    units = [ActionUnit(au, side, letter) for au in aus]
    row = replace(example(1, units, "fear", task), answer="")
    told = caption_json("fear", units, *TIMES, seed)
    found = parse(row, json.dumps(told) if task == "json" else told["caption"])
    assert found.units == {unit.au: unit for unit in units}
    assert found.emotion == "fear" and found.read


@given(
    st.text(max_size=80), st.sampled_from(["caption", "json", "question"]), st.sampled_from(["units", "side", "fine"])
)
@settings(max_examples=60, deadline=None)
def test_any_text_can_be_read(text: str, task: str, kind: str) -> None:
    parse(replace(example(1), task=task, kind=kind if task == "question" else ""), text)


# --- baselines


def test_another_subjects_clip_is_shown_and_each_about_equally_often() -> None:
    rows = [example(k, [ActionUnit(12)], "happiness") for k in range(50)]
    whose = {row.clip_id: row.subject_id for row in rows}
    found = donors(rows)
    assert found.keys() == whose.keys()
    assert all(whose[clip] != whose[donor] for clip, donor in found.items())
    assert len(set(found.values())) > 35
    assert found == donors(rows[::-1])
    asks = asked(rows, ["seen", "blind", "shuffled"])
    assert len(asks) == 150
    assert {ask.shown for ask in asks if ask.condition == "blind"} == {None}
    assert all(ask.shown == ask.example.clip_id for ask in asks if ask.condition == "seen")
    same = donors([replace(row, subject_id="s") for row in rows])
    assert sorted(same.values()) == sorted(same) and all(clip != donor for clip, donor in same.items())
    with pytest.raises(EquimeError, match="two clips"):
        donors(rows[:1])


def test_the_constant_is_the_commonest_answer_of_the_training_split() -> None:
    train = [example(k, [ActionUnit(12 if k % 3 else 4)], "happiness" if k % 3 else "anger") for k in range(30)]
    asks = [example(90, [ActionUnit(15)], "sadness")]
    found = constant(train, asks)
    assert [*found[0].parsed.units] == [12] and found[0].parsed.emotion == "happiness"
    assert found[0].condition == "constant"
    quiet = [example(100 + k) for k in range(25)]
    assert constant([*train, *quiet], asks)[0].parsed.units  # "nothing moves" is commoner than any, and no rival
    words = ["yes", "no", "no", "yes", "yes"]
    asked_for = ["AU4?", "AU4?", "AU4?", "AU12?", "AU12?"]
    known = [
        example(k, task="question", kind="present", question=question, answer=word, id=str(k))
        for k, (word, question) in enumerate(zip(words, asked_for, strict=True))
    ]
    new = [
        example(50 + k, task="question", kind="present", question=q, answer="?") for k, q in enumerate(["AU4?", "AU9?"])
    ]
    assert [said.text for said in constant(known, new)] == ["no", "yes"]
    assert constant(train, new) == []


@pytest.mark.parametrize("task", ["caption", "json"])
def test_of_constants_that_name_units_it_is_the_best(task: str) -> None:
    train = [said.example for said in planted(task, 40, seed=4)]
    chosen = constant(train, train)[0].text
    found = {}
    for text in {row.answer for row in train}:
        answers = [Said(row, "constant", text) for row in train]
        hits = sum(len(said.parsed.units.keys() & {u.au for u in said.example.truth.units}) for said in answers)
        named = sum(len(said.parsed.units) + len(said.example.truth.units) for said in answers)
        found[text] = 2 * hits / named
    assert found[chosen] == max(found.values())


# --- retrieval


def test_ranks_of_equal_scores_are_those_of_any_order() -> None:
    for true, wrong in (
        (0.5, [0.5, 0.5, 0.1]),
        (0.2, [0.5, 0.5, 0.2]),
        (1.0, [0.5]),
        (0.1, [0.5, 0.1, 0.3, 0.1, 0.1, 0.9]),
    ):
        one = Ranked("c", "s", "seen", true, tuple(("side", score) for score in wrong))
        orders = permutations([(true, True), *((score, False) for score in wrong)])
        ranks = [[own for _, own in sorted(order, key=lambda each: -each[0])].index(True) + 1 for order in orders]
        found = {measure.name: measure.counts[0, 0] for measure in measures([one]) if not measure.of}
        assert found["R@1"] == pytest.approx(np.mean([rank <= 1 for rank in ranks]))
        assert ("R@5" in found) == (len(wrong) > 4)  # among five it would be 1 whatever is answered
        if "R@5" in found:
            assert found["R@5"] == pytest.approx(np.mean([rank <= 5 for rank in ranks]))
        assert found["mean rank"] == pytest.approx(np.mean(ranks))


def test_scores_that_see_nothing_retrieve_at_the_level_of_chance() -> None:
    rng = np.random.default_rng(0)
    found = retrieval(
        [
            Ranked(
                f"c{k}",
                f"s{k % 50}",
                "seen",
                rng.random(),
                tuple((kind, rng.random()) for kind in ["side", "unit"] * 5),
            )
            for k in range(2000)
        ]
    )
    for finding in found:
        assert finding.value == pytest.approx(finding.reference, rel=0.12)
    by = {finding.name: finding.reference for finding in found}
    assert by == pytest.approx(
        {"R@1": 1 / 11, "R@5": 5 / 11, "mean rank": 6.0, "beaten of side": 0.5, "beaten of unit": 0.5}
    )


def test_candidates_are_the_true_caption_then_near_ones_then_other_clips() -> None:
    pairs = []
    for k in range(12):
        row = example(k, [ActionUnit(12, "L" if k % 2 else "R", "ABC"[k % 3])], "happiness")
        row = replace(row, truth=replace(row.truth, apex_ms=1100.0 + k))
        pairs += [
            replace(row, task="preference", id=f"{row.clip_id}#{wrong}", rejected=text, wrong=wrong)
            for wrong, text in (("side", f"wrong side {k}"), ("unit", row.answer), ("twin", f"twin {k}"))
        ]
    found = candidates(pairs, 6)
    assert len(found) == 12
    for chosen in found:
        kinds, texts = [kind for kind, _ in chosen], [one.answer for _, one in chosen]
        assert kinds == ["", "side", "twin", *["another clip"] * 3]  # a wrong caption that is the true one is none
        assert len(set(texts)) == 6
        own = chosen[0][1]
        assert texts[0] == next(pair.answer for pair in pairs if pair.clip_id == own.clip_id)
        mine = units_in(texts[0])
        for text in texts[3:]:
            assert units_in(text) != mine  # what says the same of another face would be as right
            assert f" {own.truth.apex_ms:.0f} ms" in text  # times are the clip's own
            assert {pair.subject_id for pair in pairs if units_in(pair.answer) == units_in(text)} - {own.subject_id}


def test_no_answers_are_refused() -> None:
    with pytest.raises(EquimeError, match="expected answers"):
        scores([])
