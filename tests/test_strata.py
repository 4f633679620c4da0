"""How strata stand once clips were scored: read from real workspaces, weights in closed form, intervals by SciPy."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_workspace import Row, add_rows, make_row, write_shard

from equime import schema
from equime.planning.strata import (
    Judged,
    Stratum,
    acceptance,
    jointly,
    judged,
    strata,
    strongest,
    weights,
    write_weights,
)
from equime.table import Table

CELLS = ("female|18-29|asian", "male|30-39|white")


def row(number: int, subject: int, emotion: str = "fear", letter: str = "B", **columns: Any) -> Row:
    """One planned and scored clip (its video failed: only the plan and the score are looked at)."""
    made = make_row(number, subject, number, emotion, failed=[number])
    units = [{"au": 4, "side": "B", "intensity": "A"}, {"au": 7, "side": "B", "intensity": letter}]
    return made | {"cell": CELLS[subject % 2], "design": "balanced", "action_units": units} | columns


def workspace(path: Path, rows: list[Row], groups: tuple[str, ...] = ("score",)) -> Table:
    table = Table.create(path / "ws", shard_rows=4)
    add_rows(table, rows, groups)
    return table


clips = st.lists(
    st.builds(
        Judged,
        clip_id=st.integers(0, 10**6).map(lambda n: f"fear/f_1_{n}"),
        subject_id=st.sampled_from("abc"),
        stratum=st.builds(
            Stratum, st.sampled_from(schema.EMOTIONS[:2]), st.sampled_from(CELLS), st.sampled_from(["A", "E", None])
        ),
        refill=st.booleans(),
        noise_key=st.just(""),
        twin_id=st.sampled_from([None, None, "x-fear", "y-fear"]),
        twin_contrast=st.none(),
        accepted=st.sampled_from([True, True, False, None]),
    ),
    max_size=60,
)


def test_the_strongest_unit_decides() -> None:
    assert strongest(row(0, 0, letter="D")["action_units"]) == "D"
    assert strongest([{"intensity": None}]) is strongest([]) is None


def test_clips_are_read_with_what_was_made_of_them(tmp_path: Path) -> None:
    table = workspace(
        tmp_path,
        [
            row(0, 0, accepted=True),
            row(1, 1, accepted=False),
            row(2, 0, accepted=None, score_error="no face"),
            row(3, 1, "anger", "D", design="refill", twin_id="t-anger.1", twin_contrast="race"),
        ],
    )
    add_rows(table, [row(4, 0)], ())
    found = judged(table)
    assert [clip.accepted for clip in found] == [True, False, False, True, None]
    assert [clip.refill for clip in found] == [False, False, False, True, False]
    assert found[3].stratum == Stratum("anger", CELLS[1], "D")
    assert (found[3].twin_id, found[3].twin_contrast, found[0].twin_id) == ("t-anger.1", "race", None)
    assert found[0].noise_key == found[0].clip_id


def test_controls_and_doses_are_left_out(tmp_path: Path) -> None:
    others = [make_row(1, 0, 1, schema.NEUTRAL, failed=[1]) | {"design": "control", "control": "neutral"}]
    table = workspace(tmp_path, [row(0, 0), *others, row(2, 0, design="dose"), row(3, 0, design=None)])
    assert [clip.clip_id for clip in judged(table)] == ["fear/f_0_0", "fear/f_0_3"]  # imported rows have no design


def test_a_stale_score_is_pending(tmp_path: Path) -> None:
    rows = [row(0, 0), row(1, 1)]
    table = workspace(tmp_path, rows, ())
    write_shard(table, "score", 0, rows, reads=("action_units",))
    assert [clip.accepted for clip in judged(table)] == [True, True]
    write_shard(table, "plan", 0, [row(0, 0, letter="E"), row(1, 1)])
    assert [clip.accepted for clip in judged(table)] == [None, None]


def test_twins_are_accepted_together(tmp_path: Path) -> None:
    votes = [(True, True), (True, False), (True, None), (False, None)]
    pairs = [
        Judged(f"{n}{k}", f"{n}{k}", Stratum("fear", CELLS[k], "A"), False, "", f"t{n}", "race", vote)
        for n, pair in enumerate(votes)
        for k, vote in enumerate(pair)
    ]
    joint = [clip.accepted for clip in jointly(pairs)]
    assert joint == [True, True, False, False, None, None, False, False]
    assert [(c.planned, c.accepted, c.pending, c.short) for c in strata(pairs).values()] == [(4, 1, 1, 2)] * 2


@given(clips)
def test_strata_count_every_clip_once_and_in_order(drawn: list[Judged]) -> None:
    counts = strata(drawn)
    joint = jointly(drawn)
    assert sum(count.planned + count.refilled for count in counts.values()) == len(drawn)
    assert sum(count.accepted for count in counts.values()) == sum(clip.accepted is True for clip in joint)
    assert sum(count.pending for count in counts.values()) == sum(clip.accepted is None for clip in joint)
    assert list(counts) == sorted(counts, key=lambda s: (schema.EMOTIONS.index(s.emotion), s.cell, s.letter or ""))


@given(clips)
def test_weighted_accepted_clips_have_the_planned_distribution(drawn: list[Judged]) -> None:
    found = weights(drawn)
    counts = strata(drawn)
    assert [one.stratum for one in found] == list(counts)
    filled = [one for one in found if one.weight is not None]
    planned, accepted = sum(one.planned for one in filled), sum(one.accepted for one in filled)
    for one in found:
        assert (one.weight is None) == (one.accepted == 0 or planned == 0)
    for one in filled:
        assert one.weight * one.accepted / accepted == pytest.approx(one.planned / planned, rel=1e-12)
    assert sum(one.weight * one.accepted for one in filled) == pytest.approx(accepted, rel=1e-12)


def test_weights_are_written_and_name_the_empty_strata(tmp_path: Path) -> None:
    rows = [row(n, 0, accepted=n != 0) for n in range(3)]  # 2 of 3 accepted
    rows += [row(n, 1, accepted=True) for n in range(3, 4)] + [row(4, 0, "anger", accepted=False)]
    path = write_weights(workspace(tmp_path, rows))
    assert path == tmp_path / "ws" / "weights.csv"
    read = list(csv.DictReader(path.read_text().splitlines()))
    assert [(one["emotion"], one["cell"], one["planned"], one["accepted"]) for one in read] == [
        ("fear", CELLS[0], "3", "2"),
        ("fear", CELLS[1], "1", "1"),
        ("anger", CELLS[0], "1", "0"),
    ]
    assert [float(one["weight"]) if one["weight"] else None for one in read] == [9 / 8, 3 / 4, None]
    assert {one["intensity"] for one in read} == {"B"}


@given(clips)
def test_acceptance_is_by_cell_and_by_emotion_over_scored_clips(drawn: list[Judged]) -> None:
    found = acceptance(drawn)
    scored = [clip for clip in drawn if clip.accepted is not None]
    for by in ("cell", "emotion"):
        groups = Counter(getattr(clip.stratum, by) for clip in scored)
        assert {one.group: one.scored for one in found if one.by == by} == groups
        assert sum(one.accepted for one in found if one.by == by) == sum(clip.accepted for clip in scored)
    for one in found:
        assert 0 <= one.low <= one.share <= one.high <= 1
