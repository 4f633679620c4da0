"""The schedule on thousands of subjects without pictures: who is chosen, how often, with whom, in which order."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

import numpy as np
import pytest
from make_sources import make_sources

from equime import schema
from equime.causal import EmotionModel
from equime.generators.warp import Warp
from equime.planning import equity
from equime.planning.planned import Planned
from equime.planning.schedule import Schedule, Wishes
from equime.planning.shots import Writer
from equime.screening.gallery import Source

EVEN = (1 / 6,) * 6
SAME_AGES = (0.2,) * 5


def schedule(sources: Iterable[Source], planned: Planned | None = None, **wishes: object) -> Schedule:
    pictures: dict[str, list[Source]] = defaultdict(list)
    for source in sources:
        pictures[source.subject_id].append(source)
    return Schedule(planned or Planned(), pictures, equity.Targets.uniform(), Wishes(**wishes))


def rows(made: Schedule) -> list[dict]:
    caps = {au: letter for au, letter in Warp.SHOWS.items() if letter != "E"}
    writer = Writer(EmotionModel.from_tables(can_show=list(Warp.SHOWS), caps=caps), made.wishes.seed)
    return [
        writer.row(shot, made.planned.epochs, made.splits[shot.source.subject_id], made.cells[shot.source.subject_id])
        for shot in made.shots()
    ]


def planned(made: Schedule) -> Planned:
    seen = Planned()
    for row in rows(made):
        seen.add(row)
    return seen


def race_evenness(found: Iterable[dict]) -> float:
    return equity.evenness(Counter(row["source_race"] for row in found), schema.RACES)


def test_every_subject_gets_the_same_experiment() -> None:
    found = rows(schedule(make_sources(200), per_emotion=2))
    assert set(Counter((row["subject_id"], row["emotion"]) for row in found).values()) == {2}
    assert len({row["clip_id"] for row in found}) == len(found)
    assert len({row["seed"] for row in found}) == len(found)


def test_from_skewed_sources_the_races_are_even_and_so_is_every_prefix() -> None:
    found = rows(schedule(make_sources(4000)))
    assert race_evenness(found) >= 0.99
    for share in (0.1, 0.25, 0.5, 0.75):
        prefix = found[: round(share * len(found))]
        assert race_evenness(prefix) >= 0.99
        emotions = Counter(row["emotion"] for row in prefix)
        assert max(emotions.values()) - min(emotions.values()) <= 1


def test_repeats_even_out_clips_but_not_identities() -> None:
    sources = make_sources(1500)
    once, often = (schedule(sources, subjects=600, max_repeats=cap) for cap in (1, 6))
    assert race_evenness(rows(once)) < race_evenness(rows(often))
    turns = Counter(row["subject_id"] for row in rows(often))
    assert max(turns.values()) == 6 * len(schema.EMOTIONS)
    assert set(turns) == {row["subject_id"] for row in rows(once)}


def test_more_subjects_change_nothing_of_the_old_and_balance_the_whole() -> None:
    sources = make_sources(3000)
    old = schedule(sources[:600])
    before = planned(old)
    new = schedule(sources, before)
    added = rows(new)
    assert {row["epoch"] for row in added} == {1}
    assert {row["subject_id"] for row in added}.isdisjoint(before.subjects)
    assert {s: new.splits[s] for s in before.subjects} == {s: k.split for s, k in before.subjects.items()}
    after = rows(old) + added
    assert race_evenness(after) >= 0.99
    assert len({row["clip_id"] for row in after}) == len(after)
    for row in added:
        before.add(row)
    assert rows(schedule(sources, before)) == []


def test_splits_hold_every_large_cell_apart_by_subject() -> None:
    found = rows(schedule(make_sources(4000, EVEN, SAME_AGES)))
    splits = defaultdict(set)
    for row in found:
        splits[row["subject_id"]].add(row["split"])
    assert {len(names) for names in splits.values()} == {1}
    by_cell = Counter((row["cell"], row["split"]) for row in found)
    for cell in {row["cell"] for row in found}:
        assert all(by_cell[cell, split] for split in schema.SPLITS)


def test_twins_share_everything_but_the_face() -> None:
    found = rows(schedule(make_sources(900, EVEN, SAME_AGES), twins=30))
    pairs = defaultdict(list)
    for row in found:
        if row["twin_id"]:
            pairs[row["twin_id"]].append(row)
    assert Counter(members[0]["twin_contrast"] == "within" for members in pairs.values()) == {True: 150, False: 150}
    same = ("emotion", "action_units", "onset_ms", "apex_ms", "offset_ms", "noise_key", "seed", "prompt", "split")
    for one, other in pairs.values():
        assert [one[name] for name in same] == [other[name] for name in same]
        assert one["subject_id"] != other["subject_id"]
        assert one["noise_key"] in (one["clip_id"], other["clip_id"])
        differ = [a for a in ("race", "gender", "age") if one[f"source_{a}"] != other[f"source_{a}"]]
        assert one["twin_contrast"] == ("+".join(differ) or "within")
    assert len({row["clip_id"] for row in found}) == len(found)


def test_a_dose_sweep_changes_the_intensity_and_nothing_else() -> None:
    found = rows(schedule(make_sources(30), dose=2, subjects=10))
    swept = [row for row in found if row["design"] == "dose"]
    by_key = defaultdict(list)
    for row in swept:
        by_key[row["noise_key"]].append(row)
    assert len(by_key) == 2 * len(schema.EMOTIONS)
    base = {row["clip_id"]: row for row in found if row["design"] == "balanced"}
    for key, members in by_key.items():
        assert len(members) == len(schema.INTENSITIES)
        for row, letter in zip(members, schema.INTENSITIES, strict=True):
            assert {u["intensity"] for u in row["action_units"]} <= {letter, "C"}
            assert [(u["au"], u["side"]) for u in row["action_units"]] == [
                (u["au"], u["side"]) for u in base[key]["action_units"]
            ]
            assert (row["onset_ms"], row["offset_ms"]) == (base[key]["onset_ms"], base[key]["offset_ms"])


def test_controls_stand_beside_the_five_emotions() -> None:
    made = schedule(make_sources(40), controls=schema.CONTROLS, subjects=12)
    found = [row for row in rows(made) if row["design"] == "control"]
    assert Counter(row["control"] for row in found) == dict.fromkeys(schema.CONTROLS, 12)
    for row in found:
        assert row["emotion"] is None and row["clip_id"].startswith(f"{row['control']}/")
        if row["control"] == "macro":
            assert row["offset_ms"] - row["onset_ms"] >= 1000
            assert 0 < row["onset_ms"] < row["apex_ms"] < row["offset_ms"] < schema.DURATION_MS
        else:
            assert not row["action_units"] and row["onset_ms"] is None
    assert planned(made).clips().total() == 60


def _independence(labels: np.ndarray, seen: np.ndarray, rng: np.random.Generator, times: int = 199) -> float:
    """p of a permutation test: Pearson's statistic of two coded columns against shuffled ones."""

    def statistic(one: np.ndarray) -> float:
        table = np.zeros((labels.max() + 1, seen.max() + 1))
        np.add.at(table, (one, seen), 1)
        expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
        return float(((table - expected) ** 2 / np.maximum(expected, 1e-9)).sum())

    real = statistic(labels)
    return (1 + sum(statistic(rng.permutation(labels)) >= real for _ in range(times))) / (times + 1)


@pytest.mark.slow
def test_who_is_shown_is_independent_of_emotion_and_units() -> None:
    found = rows(schedule(make_sources(9000), subjects=4000))
    assert len(found) == 20_000
    rng = np.random.default_rng(0)
    race = np.array([schema.RACES.index(row["source_race"]) for row in found])
    emotion = np.array([schema.EMOTIONS.index(row["emotion"]) for row in found])
    assert _independence(race, emotion, rng) > 0.5  # equal by design, so far closer than chance
    first = np.array([row["action_units"][0]["au"] for row in found])
    letter = np.array([schema.INTENSITIES.index(row["action_units"][0]["intensity"]) for row in found])
    assert _independence(race, letter, rng) > 0.01
    for number in range(len(schema.EMOTIONS)):
        mine = emotion == number
        assert _independence(race[mine], first[mine], rng) > 0.01
    leaky = np.where(rng.random(len(race)) < 0.1, race % 5, letter)  # what the test would have seen
    assert _independence(race, leaky, rng) < 0.01


def test_equal_programmes_get_equal_prompts_whatever_the_emotion() -> None:
    prompts = defaultdict(set)
    for row in rows(schedule(make_sources(800, EVEN, SAME_AGES), per_emotion=2)):
        assert not any(word in row["prompt"].lower() for word in (*schema.EMOTIONS, "happy", "sad", "angry"))
        times = tuple(f"{row[name] / 1000:.1f}" for name in ("onset_ms", "apex_ms", "offset_ms"))
        times += (int(3 * row["apex_ms"] / schema.DURATION_MS),)  # as finely as a prompt tells them
        units = tuple(tuple(unit.values()) for unit in row["action_units"])
        prompts[units, times].add(row["prompt"])
    assert max(map(len, prompts.values())) == 1
