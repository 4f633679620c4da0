"""Protocols: nobody is on both sides, every clip is tested once, and the order of the rows changes nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equime import schema
from equime.commands.train import tell_departures
from equime.errors import EquimeError
from equime.recognise import samples
from equime.recognise.protocols import across, folds, groups
from equime.recognise.protocols.across import Cde, CrossSet, LeaveOneDatasetOut, RealPlusSynthetic, SyntheticToReal
from equime.recognise.protocols.folds import Fold, Protocol
from equime.recognise.protocols.groups import GroupToGroup, LeaveOneGroupOut, Mixture, mixtures
from equime.recognise.protocols.inner import inner_split
from equime.recognise.protocols.named import FORMS, named
from equime.recognise.protocols.subjects import GivenSplit, KFold, Loso
from equime.recognise.protocols.variants import VariantToVariant

THREE = {"happiness": "positive", "surprise": "surprise"}


def row(dataset: str, subject: object, clip: object, emotion: str | None, **more: Any) -> dict[str, Any]:
    three = None if emotion is None else THREE.get(emotion, "negative")
    return {
        "sample_id": f"{dataset}/{subject}/{clip}",
        "dataset": dataset,
        "subject_id": f"{dataset}-{subject}",
        "frames": f"{subject}/{clip}",
        "fps": 200.0,
        "emotion": emotion,
        "emotion3": three,
        "emotion5": emotion,
        **more,
    }


def table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=samples.FIELDS)


def people(dataset: str, count: int, clips: int = 5, **more: Any) -> list[dict[str, Any]]:
    """Subjects with a clip of each emotion in turn."""
    emotions = schema.EMOTIONS
    return [row(dataset, f"{s:02}", c, emotions[c % 5], **more) for s in range(count) for c in range(clips)]


RACES = ("white", "white", "white", "asian", "asian", "black")


def mixed() -> pa.Table:
    """Four data sets, one of them generated; perceived groups, a given split, and a clip without a label."""
    rows = people("samm", 6) + people("casme2", 5, 7) + people("smic-hs", 4, 3) + people("equime", 6)
    rows.append(row("samm", "00", "unlabelled", None))
    subjects = sorted({r["subject_id"] for r in rows})
    split = ("train", "validation", "test")
    for r in rows:
        place = subjects.index(r["subject_id"])
        r |= {"gender": schema.GENDERS[place % 2], "race": RACES[place % 6], "split": split[place % 3]}
        r["age"] = schema.AGE_BANDS[place % 2] if place % 7 else None
        if r["dataset"] == "equime":
            r["variant"] = ("gaussian", "wendland")[int(r["sample_id"][-1]) % 2]
    return table(rows)


ALL = [
    Loso(),
    KFold(3, 1),
    GivenSplit(),
    Cde(),
    LeaveOneDatasetOut(),
    CrossSet(("equime", "smic-hs"), ("samm",)),
    SyntheticToReal(),
    RealPlusSynthetic(),
    RealPlusSynthetic(KFold(4)),
    RealPlusSynthetic(Cde()),
    LeaveOneGroupOut("race"),
    LeaveOneGroupOut("age"),
    GroupToGroup("gender", "female", "male", 3),
    GroupToGroup("gender", "male", "male", 3),
    *mixtures("race", {"white": 0.75, "asian": 0.25}, k=2),
    mixtures("gender", {"female": 1.0, "male": 0.0}, k=3, seed=5)[1],
    VariantToVariant("gaussian", "wendland", 2),
    VariantToVariant("wendland", "wendland", 3, 1),
]
ONCE = [Loso(), KFold(2), KFold(7, 3), LeaveOneDatasetOut()]
"""Every labelled clip is tested by them."""


def labelled(data: pa.Table, target: str = "emotion3") -> np.ndarray:
    return samples.labels(data, target)[0]


def ids(data: pa.Table, positions: np.ndarray) -> list[str]:
    return data["sample_id"].take(pa.array(positions)).to_pylist()


def named_folds(data: pa.Table, found: list[Fold]) -> list[tuple[str, list[str], list[str]]]:
    return [(fold.name, ids(data, fold.train), ids(data, fold.test)) for fold in found]


@pytest.mark.parametrize("protocol", ALL, ids=lambda protocol: protocol.name)
class TestEvery:
    def test_nobody_is_on_both_sides(self, protocol: Protocol) -> None:
        data = mixed()
        for fold in protocol.folds(data, labelled(data)):
            train, test = ({data["subject_id"][i].as_py() for i in side.tolist()} for side in (fold.train, fold.test))
            assert train and test and not train & test

    def test_nothing_is_tested_twice_or_without_a_label(self, protocol: Protocol) -> None:
        data = mixed()
        coded = labelled(data)
        found = protocol.folds(data, coded)
        tested = np.concatenate([fold.test for fold in found])
        assert len(set(tested.tolist())) == len(tested)
        for fold in found:
            assert fold.train.dtype == fold.test.dtype == np.int64
            assert len(set(fold.train.tolist())) == len(fold.train)
            assert (coded[fold.train] >= 0).all() and (coded[fold.test] >= 0).all()

    def test_the_rows_order_changes_nothing(self, protocol: Protocol) -> None:
        data = mixed()
        wanted = named_folds(data, protocol.folds(data, labelled(data)))
        for seed in range(3):
            turned = data.take(pa.array(np.random.default_rng(seed).permutation(len(data))))
            assert named_folds(turned, protocol.folds(turned, labelled(turned))) == wanted

    def test_its_name_makes_it_again(self, protocol: Protocol) -> None:
        assert named(protocol.name) == protocol and hash(protocol) == hash(named(protocol.name))

    def test_one_subject_is_one_line(self, protocol: Protocol) -> None:
        data = table(people("samm", 1))
        with pytest.raises(EquimeError) as caught:
            protocol.folds(data, labelled(data))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("protocol", ONCE, ids=lambda protocol: protocol.name)
def test_every_labelled_clip_is_tested_once(protocol: Protocol) -> None:
    data = mixed()
    coded = labelled(data)
    found = protocol.folds(data, coded)
    tested = np.sort(np.concatenate([fold.test for fold in found]))
    np.testing.assert_array_equal(tested, np.flatnonzero(coded >= 0))
    for fold in found:  # and all the others are trained on
        both = np.sort(np.concatenate([fold.train, fold.test]))
        np.testing.assert_array_equal(both, np.flatnonzero(coded >= 0))


# --- within a set of people


def test_loso_has_a_fold_for_each_subject() -> None:
    data = table(people("samm", 4, 3))
    found = Loso().folds(data, labelled(data))
    assert [fold.name for fold in found] == [f"samm-0{s}" for s in range(4)]
    assert ids(data, found[1].test) == [f"samm/01/{c}" for c in range(3)]


def test_subjects_of_two_sets_with_one_number_are_two_people() -> None:
    data = table(people("samm", 2, 3) + people("casme2", 2, 3))
    assert len(Loso().folds(data, labelled(data))) == 4


def test_the_long_videos_of_a_set_show_its_people() -> None:
    data = table(people("samm", 3) + people("samm-lv", 3))
    found = Loso().folds(data, labelled(data))
    assert [len(fold.test) for fold in found] == [10, 10, 10]
    with pytest.raises(EquimeError, match=r"lodo trains and tests on samm(-lv)?-00 "):
        LeaveOneDatasetOut().folds(data, labelled(data))
    with pytest.raises(EquimeError, match="trains and tests on"):
        CrossSet(("samm",), ("samm-lv",)).folds(data, labelled(data))


def test_new_subjects_leave_the_folds_of_others_as_they_were() -> None:
    few, more = table(people("samm", 4)), table(people("samm", 6))
    before = {fold.name: ids(few, fold.test) for fold in Loso().folds(few, labelled(few))}
    after = {fold.name: ids(more, fold.test) for fold in Loso().folds(more, labelled(more))}
    assert before == {name: after[name] for name in before}


SETS_OF_PEOPLE = st.lists(
    st.lists(st.integers(0, 3), min_size=1, max_size=6), min_size=4, max_size=14
)  # of each person, the classes of its clips


@given(SETS_OF_PEOPLE, st.integers(2, 4), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_dealing_keeps_people_whole_and_fills_every_part(clips: list[list[int]], k: int, seed: int) -> None:
    who = np.array([f"p{i}" for i, own in enumerate(clips) for _ in own])
    coded = np.concatenate(clips)
    part = folds.dealt(who, coded, k, seed)
    assert set(part.tolist()) == set(range(k))
    assert all(len(set(part[who == person].tolist())) == 1 for person in set(who.tolist()))
    order = np.random.default_rng(0).permutation(len(who))
    np.testing.assert_array_equal(folds.dealt(who[order], coded[order], k, seed), part[order])


def test_dealing_spreads_classes_far_more_evenly_than_chance() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 30, 40)
    who = np.repeat([f"p{i:02}" for i in range(40)], sizes)
    coded = rng.choice(3, len(who), p=[0.6, 0.25, 0.15])

    def unevenness(part: np.ndarray) -> float:
        counts = np.array([[np.sum((part == i) & (coded == c)) for c in range(3)] for i in range(5)])
        return float((counts.std(0) / counts.mean(0)).max())

    names, person = np.unique(who, return_inverse=True)
    by_chance = [unevenness(rng.permutation(np.arange(40) % 5)[person]) for _ in range(50)]
    ours = [unevenness(folds.dealt(who, coded, 5, seed)) for seed in range(5)]
    assert max(ours) < 0.1 < min(by_chance) and len(names) == 40
    parts = {tuple(folds.dealt(np.repeat(names, 3), np.tile([0, 1, 2], 40), 5, seed)) for seed in range(5)}
    assert len(parts) == 5  # equal people are dealt by the seed


def test_more_folds_than_subjects_are_refused() -> None:
    data = table(people("samm", 3))
    for k in (1, 4):
        with pytest.raises(EquimeError, match=f"2 to 3 folds for 3 subjects, got k = {k}"):
            KFold(k).folds(data, labelled(data))


def test_the_owners_split_is_kept() -> None:
    data = mixed()
    (fold,) = GivenSplit().folds(data, labelled(data))
    assert {data["split"][i].as_py() for i in fold.train.tolist()} == {"train", "validation"}
    assert {data["split"][i].as_py() for i in fold.test.tolist()} == {"test"}
    with pytest.raises(EquimeError, match="nothing to train on"):
        plain = table(people("samm", 3))
        GivenSplit().folds(plain, labelled(plain))


def test_a_class_that_cannot_be_learnt_is_said_in_one_line() -> None:
    rows = [*people("samm", 4, 2), row("samm", "09", "x", "surprise")]
    data = table(rows)
    with pytest.warns(UserWarning, match=r"^loso: fold samm-09 cannot learn .* no other clip is as samm/09/x$"):
        found = Loso().folds(data, labelled(data))
    assert len(found) == 5


def test_labels_must_be_as_many_as_rows() -> None:
    data = table(people("samm", 3))
    with pytest.raises(EquimeError, match="a label for each of 15 rows, got 3"):
        Loso().folds(data, np.zeros(3, np.int64))


# --- the check itself


def test_a_person_on_both_sides_is_refused() -> None:
    data = table(people("samm", 2, 2))
    coded = labelled(data)
    half = np.array([True, False, True, False])
    with pytest.raises(EquimeError, match="mine trains and tests on samm-00"):
        folds.made("mine", data, coded, [("a", half, ~half)])


def test_a_clip_tested_twice_is_refused() -> None:
    data = table(people("samm", 2, 2))
    first = np.array([True, True, False, False])
    with pytest.raises(EquimeError, match="tests samm/00/0 in more than one fold"):
        folds.made("mine", data, labelled(data), [("a", ~first, first), ("b", ~first, first)])


def test_an_empty_side_and_a_missing_label_are_refused() -> None:
    data = table(people("samm", 2, 2))
    first = np.array([True, True, False, False])
    with pytest.raises(EquimeError, match="nothing to test in fold a"):
        folds.made("mine", data, labelled(data), [("a", first, first & False)])
    with pytest.raises(EquimeError, match="without a label in fold a"):
        folds.made("mine", data, np.array([0, 1, 0, -1]), [("a", first, ~first)])


# --- across data sets


def composite() -> list[dict[str, Any]]:
    """MEGC 2019's clips, by its own counts; 68 subjects."""
    rows = []
    of_class = ("anger", "happiness", "surprise")
    for (dataset, counts), many in zip(across.COMPOSITE.items(), (16, 24, 28), strict=True):
        emotions = [emotion for emotion, count in zip(of_class, counts, strict=True) for _ in range(count)]
        rows += [row(dataset, f"{i % many:02}", i, emotion) for i, emotion in enumerate(emotions)]
    return rows


def test_the_composite_is_442_clips_of_68_subjects() -> None:
    data = table(composite() + people("equime", 3))
    found = Cde().folds(data, labelled(data))
    assert len(found) == 68 and sum(len(fold.test) for fold in found) == 442
    assert all(len(fold.train) + len(fold.test) == 442 for fold in found)
    assert Cde.departures(data) == []
    support = Counter(data["emotion3"][i].as_py() for fold in found for i in fold.test.tolist())
    assert support == {"negative": 250, "positive": 109, "surprise": 83}


def test_another_variant_of_the_composite_is_said() -> None:
    rows = [r for r in composite() if r["dataset"] != "casme2"]
    (line,) = Cde.departures(table(rows + people("casme2", 5)))
    assert line.startswith("casme2: (15, 5, 5)") and "(88, 32, 25)" in line


@pytest.mark.parametrize(("words", "lines"), [("cde", 1), ("real+synthetic:cde", 1), ("loso", 0)])
def test_a_command_says_that_it_is_another_composite(
    words: str, lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    data = table([r for r in composite() if r["dataset"] != "casme2"] + people("casme2", 5))
    tell_departures(named(words), samples.Samples(data, {}))
    assert capsys.readouterr().err.count("casme2: (15, 5, 5) negative") == lines


def test_the_composite_is_in_three_classes() -> None:
    data = table(composite())
    with pytest.raises(EquimeError, match="--target emotion3"):
        Cde().folds(data, np.where(np.arange(442) % 9, labelled(data), -1))
    other = table(people("mmew", 3))
    with pytest.raises(EquimeError, match=r"got \['mmew'\]"):
        Cde().folds(other, labelled(other))


def test_leave_one_dataset_out() -> None:
    data = mixed()
    found = LeaveOneDatasetOut().folds(data, labelled(data))
    assert [fold.name for fold in found] == ["casme2", "equime", "samm", "smic-hs"]
    for fold in found:
        assert {data["dataset"][i].as_py() for i in fold.test.tolist()} == {fold.name}
        assert fold.name not in {data["dataset"][i].as_py() for i in fold.train.tolist()}
    one = table(people("samm", 3))
    with pytest.raises(EquimeError, match="at least two data sets"):
        LeaveOneDatasetOut().folds(one, labelled(one))


def test_one_set_against_another() -> None:
    data = mixed()
    (fold,) = CrossSet(("casme2",), ("samm", "smic-hs")).folds(data, labelled(data))
    assert fold.name == "samm+smic-hs" and len(fold.test) == 42
    assert {data["dataset"][i].as_py() for i in fold.train.tolist()} == {"casme2"}
    with pytest.raises(EquimeError, match="'mmew'"):
        CrossSet(("mmew",), ("samm",)).folds(data, labelled(data))
    with pytest.raises(EquimeError, match="trains and tests on"):
        CrossSet(("samm",), ("samm",)).folds(data, labelled(data))


def test_generated_clips_are_never_tested() -> None:
    data = mixed()
    coded = labelled(data)
    (fold,) = SyntheticToReal().folds(data, coded)
    assert {data["dataset"][i].as_py() for i in fold.train.tolist()} == {"equime"}
    assert {data["dataset"][i].as_py() for i in fold.test.tolist()} == {"samm", "casme2", "smic-hs"}
    real = data.filter(pa.array([name != "equime" for name in data["dataset"].to_pylist()]))
    for inner in (Loso(), KFold(4), Cde(), LeaveOneDatasetOut()):
        added = RealPlusSynthetic(inner).folds(data, coded)
        alone = inner.folds(real, labelled(real))
        assert [fold.name for fold in added] == [fold.name for fold in alone]
        for more, less in zip(added, alone, strict=True):
            assert ids(data, more.test) == ids(real, less.test)
            extra = set(ids(data, more.train)) - set(ids(real, less.train))
            assert len(extra) == 30 and all(name.startswith("equime/") for name in extra)
    with pytest.raises(EquimeError, match="equime or mie-x to add"):
        RealPlusSynthetic().folds(real, labelled(real))


# --- across groups


def test_leave_one_group_out() -> None:
    data = mixed()
    found = LeaveOneGroupOut("race").folds(data, labelled(data))
    assert [fold.name for fold in found] == ["asian", "black", "white"]
    for fold in found:
        assert {data["race"][i].as_py() for i in fold.test.tolist()} == {fold.name}
    aged = LeaveOneGroupOut("age").folds(data, labelled(data))
    seen = np.concatenate([aged[0].train, aged[0].test])
    assert None not in {data["age"][i].as_py() for i in seen.tolist()}
    plain = table(people("samm", 3))
    with pytest.raises(EquimeError, match="at least two groups of race"):
        LeaveOneGroupOut("race").folds(plain, labelled(plain))
    with pytest.raises(EquimeError, match="got column 'emotion'"):
        LeaveOneGroupOut("emotion").folds(plain, labelled(plain))


def test_a_person_is_of_the_group_that_most_clips_say() -> None:
    said = {"a": ["white", "white", "asian"], "b": ["asian", None, None], "c": ["white", "asian"], "d": [None]}
    data = table(
        [row("samm", who, i, "fear", race=race) for who, races in said.items() for i, race in enumerate(races)]
    )
    assert groups.grouped(data, "race").tolist() == ["white"] * 3 + ["asian"] * 3 + [""] * 3


def test_a_to_b_is_trained_as_a_to_a() -> None:
    data = mixed()
    coded = labelled(data)
    across_groups = GroupToGroup("gender", "female", "male", 3).folds(data, coded)
    within = GroupToGroup("gender", "female", "female", 3).folds(data, coded)
    assert [fold.train.tolist() for fold in across_groups] == [fold.train.tolist() for fold in within]
    for found, group in ((across_groups, "male"), (within, "female")):
        tested = np.concatenate([fold.test for fold in found])
        wanted = [i for i, name in enumerate(data["gender"].to_pylist()) if name == group and coded[i] >= 0]
        assert sorted(tested.tolist()) == wanted
    with pytest.raises(EquimeError, match=r"a group of gender among \['female', 'male'\], got 'other'"):
        GroupToGroup("gender", "other", "male").folds(data, coded)


def town() -> pa.Table:
    """40 white, 20 asian and 10 black people; every one has at least 5 clips."""
    rows = []
    for place in range(70):
        race = "white" if place < 40 else "asian" if place < 60 else "black"
        emotions = schema.EMOTIONS
        clips = 5 + place % 3
        rows += [row("equime", f"{place:02}", c, emotions[c % 5], race=race) for c in range(clips)]
    return table(rows)


def trained(data: pa.Table, fold: Fold) -> tuple[Counter[str], int, Counter[str]]:
    """People of each group, clips, and clips of each emotion of a training."""
    rows = data.take(pa.array(fold.train)).to_pylist()
    people_of = {r["subject_id"]: r["race"] for r in rows}
    return Counter(people_of.values()), len(rows), Counter(r["emotion"] for r in rows)


@pytest.mark.parametrize("shares", [{"white": 0.8, "asian": 0.1, "black": 0.1}, {"white": 1.0, "asian": 0, "black": 0}])
def test_two_mixtures_have_equal_people_and_clips_and_tests(shares: dict[str, float]) -> None:
    data = town()
    coded = labelled(data, "emotion5")
    balanced, skewed = (mixture.folds(data, coded) for mixture in mixtures("race", shares, k=5))
    assert sum(len(fold.test) for fold in balanced) == len(data)
    for even, uneven in zip(balanced, skewed, strict=True):
        assert even.test.tolist() == uneven.test.tolist()
        (some, clips, emotions), (others, as_many, likewise) = trained(data, even), trained(data, uneven)
        assert some.total() == others.total() and clips == as_many and emotions == likewise
        assert clips == 5 * some.total() and set(emotions.values()) == {some.total()}
        # 8 black people are left of 10 in each training: 24 in equal shares.
        assert some == {"white": 8, "asian": 8, "black": 8}
        wanted = {name: share * 24 for name, share in shares.items()}
        assert all(abs(others[name] - wanted[name]) < 1 for name in shares)


def test_mixtures_share_as_many_people_as_they_can() -> None:
    data = town()
    coded = labelled(data, "emotion5")
    both = mixtures("race", {"white": 0.5, "asian": 0.25, "black": 0.25}, k=5)
    even, uneven = (mixture.folds(data, coded)[0] for mixture in both)
    shared = set(even.train.tolist()) & set(uneven.train.tolist())
    assert len(shared) == 5 * (8 + 6 + 6)


@pytest.mark.parametrize(
    ("shares", "against"),
    [
        ((), ()),
        ((("a", 0.5), ("b", 0.6)), (("a", 0.5), ("b", 0.5))),
        ((("a", 1.5), ("b", -0.5)), (("a", 1.0), ("b", 0.0))),
    ],
)
def test_shares_must_sum_to_one(shares: groups.Shares, against: groups.Shares) -> None:
    with pytest.raises(EquimeError, match="sum to 1"):
        Mixture("race", shares, against)


def test_mixtures_are_of_the_same_groups() -> None:
    with pytest.raises(EquimeError, match="same groups"):
        Mixture("race", (("a", 1.0),), (("b", 1.0),))
    data = town()
    with pytest.raises(EquimeError, match="got 'indian'"):
        mixtures("race", {"white": 0.5, "indian": 0.5})[0].folds(data, labelled(data))
    few = table(people("samm", 4, race="white") + people("casme2", 1, race="black"))
    with pytest.raises(EquimeError, match=r"too few people for both mixtures, [24] white, 0 black are left"):
        mixtures("race", {"white": 0.9, "black": 0.1}, k=2)[1].folds(few, labelled(few))


def test_one_variant_is_trained_on_and_the_other_tested_on_other_people() -> None:
    data = mixed()
    coded, made = labelled(data), data["variant"].to_pylist()
    folds = VariantToVariant("gaussian", "wendland", 3).folds(data, coded)
    assert {made[k] for fold in folds for k in fold.train} == {"gaussian"}
    tested = [k for fold in folds for k in fold.test]
    assert sorted(tested) == [k for k, variant in enumerate(made) if variant == "wendland" and coded[k] >= 0]
    same = VariantToVariant("gaussian", "gaussian", 3).folds(data, coded)
    assert [fold.train.tolist() for fold in folds] == [fold.train.tolist() for fold in same]
    with pytest.raises(EquimeError, match=r"variant 'x'; there are \['gaussian', 'wendland'\]"):
        VariantToVariant("gaussian", "x").folds(data, coded)


# --- by name


def test_every_word_makes_a_protocol_of_its_own() -> None:
    assert {protocol.name.partition(":")[0] for protocol in ALL} == set(FORMS)
    assert named("kfold") == KFold(5, 0) and named("kfold:10") == KFold(10, 0)
    assert named("real+synthetic:kfold:3") == RealPlusSynthetic(KFold(3, 0))
    assert named("balanced:race:white=.75,asian=.25:2") == mixtures("race", {"white": 0.75, "asian": 0.25}, 2)[0]
    assert named("group:race:middle eastern:white") == GroupToGroup("race", "middle eastern", "white")


@pytest.mark.parametrize(
    "text",
    ["", "losso", "loso:3", "kfold:x", "kfold:3:1:2", "cross:samm", "group:race:white", "skewed:race:white", "lodo:"],
)
def test_words_that_are_no_protocol_are_one_line(text: str) -> None:
    with pytest.raises(EquimeError, match="expected a protocol") as caught:
        named(text)
    assert "\n" not in str(caught.value)


# --- within a training


@given(SETS_OF_PEOPLE, st.sampled_from([0.1, 0.2, 0.34, 0.5]), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_the_inner_split_is_by_subject_and_loses_nothing(clips: list[list[int]], share: float, seed: int) -> None:
    who = np.array([i for i, own in enumerate(clips) for _ in own])
    coded = np.concatenate(clips)
    fit, select = inner_split(who, coded, share, seed)
    assert sorted([*fit.tolist(), *select.tolist()]) == list(range(len(who)))
    assert len(fit) and len(select) and not set(who[fit].tolist()) & set(who[select].tolist())


def test_the_inner_split_leaves_every_class_to_learn() -> None:
    # One person alone has the third class: it is never set apart, whatever the seed.
    who = np.repeat(np.arange(10), 4)
    coded = np.tile([0, 1, 0, 1], 10)
    coded[who == 3] = 2
    for seed in range(10):
        fit, select = inner_split(who, coded, 0.2, seed)
        assert set(coded[fit].tolist()) == {0, 1, 2}
        assert len(select) == 8 and set(coded[select].tolist()) == {0, 1}
    assert len({tuple(inner_split(who, coded, 0.2, seed)[1].tolist()) for seed in range(10)}) > 3


def test_what_cannot_be_split_is_one_line() -> None:
    with pytest.raises(EquimeError, match="at least two subjects"):
        inner_split(np.zeros(4), np.array([0, 1, 0, 1]))
    for share in (0.0, 0.6, 1.0):
        with pytest.raises(EquimeError, match="share above 0 and at most"):
            inner_split(np.arange(4), np.array([0, 1, 0, 1]), share)
