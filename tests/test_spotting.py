"""Spotting: intervals matched as well as any matching can, counted by hand, and found in traces and in a real clip."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equime.action_units import parse
from equime.cli import main
from equime.errors import EquimeError
from equime.face import FaceFinder
from equime.generators.scene import Still
from equime.generators.warp import Warp
from equime.quality.motion import observe
from equime.recognise.equime_clips import clips
from equime.recognise.protocols.spotting import Compared, Spotter, SpottingScores, compare, matched, movement, overlaps
from equime.recognise.samples import FIELDS
from equime.recognise.spot import spot
from equime.video import decode, encode

SPANS = st.lists(
    st.tuples(st.integers(0, 12), st.integers(1, 8)).map(lambda s: (float(s[0]), float(s[0] + s[1]))), max_size=5
)


def most(found: list[tuple[float, float]], truth: list[tuple[float, float]], iou: float) -> int:
    """The most pairs of any assignment, every one tried."""

    def fits(a: tuple[float, float], b: tuple[float, float]) -> bool:
        shared = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
        return shared / (max(a[1], b[1]) - min(a[0], b[0])) >= iou if shared else False

    few, many = (found, truth) if len(found) <= len(truth) else (truth, found)
    return max(sum(map(fits, few, chosen)) for chosen in itertools.permutations(many, len(few)))


@given(SPANS, SPANS, st.sampled_from([0.1, 0.34, 0.5, 1.0]))
@settings(deadline=None)
def test_no_matching_has_more_pairs(
    found: list[tuple[float, float]], truth: list[tuple[float, float]], iou: float
) -> None:
    pairs = matched(found, truth, iou)
    assert len(pairs) == most(found, truth, iou)
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)
    both = overlaps(found, truth)
    assert all(both[pair] >= iou for pair in pairs)


def test_a_greedy_matching_would_have_lost_a_pair() -> None:
    # The first fits both, the second the first only.
    assert matched([(0.0, 10.0), (0.0, 6.0)], [(0.0, 8.0), (4.0, 11.0)], 0.5) == [(0, 1), (1, 0)]


def test_overlaps_by_hand() -> None:
    found = overlaps([(0, 10), (20, 30)], [(5, 15), (0, 10), (30, 40), (22, 24)])
    np.testing.assert_allclose(found, [[1 / 3, 1, 0, 0], [0, 0, 0, 0.2]])
    assert overlaps([], [(0, 1)]).shape == (0, 1) and overlaps([(0, 1)], []).shape == (1, 0)
    assert matched([(0, 10)], [(5, 15)], 1 / 3) == [(0, 0)] and matched([(0, 10)], [(5, 15)], 0.34) == []


@pytest.mark.parametrize("span", [(3.0, 3.0), (4.0, 3.0), (float("nan"), 3.0)])
def test_an_interval_that_does_not_last_is_refused(span: tuple[float, float]) -> None:
    with pytest.raises(EquimeError, match="end after they begin"):
        compare([span], [(0, 1)], 0.1)


def test_scores_by_hand() -> None:
    coded = [[(20, 28)], [(50, 60)], []]
    found = [[(21, 28), (90, 95)], [(80, 90)], [(3, 9)]]
    compared = [compare(mine, truth, minutes=0.1) for mine, truth in zip(found, coded, strict=True)]
    assert compared == [Compared(1, 1, 0, 0.1), Compared(0, 1, 1, 0.1), Compared(0, 1, 0, 0.1)]
    scores = SpottingScores.of(compared, ["a", "b", "b"])
    assert scores.f1.value == pytest.approx(2 / (2 + 3 + 1))
    assert scores.precision.value == pytest.approx(1 / 4) and scores.recall.value == pytest.approx(1 / 2)
    assert scores.false_alarms_per_minute.value == pytest.approx(10)
    assert scores.counts == Compared(1, 3, 1, pytest.approx(0.3))
    # Drawn: nobody but a, both, nobody but b.
    assert (scores.f1.low, scores.f1.high) == pytest.approx((0, 2 / 3))


def test_silence_has_no_false_alarms_and_nothing_coded_no_f1() -> None:
    quiet = SpottingScores.of([compare([], [], 0.1)] * 2, ["a", "b"])
    assert np.isnan(quiet.f1.value) and np.isnan(quiet.recall.value) and np.isnan(quiet.precision.value)
    assert quiet.false_alarms_per_minute == (0, 0, 0)
    for compared, subjects in (([], []), ([compare([], [], 0.1)], ["a", "b"])):
        with pytest.raises(EquimeError, match="a subject for each clip"):
            SpottingScores.of(compared, subjects)


# --- the plain spotter


def pulse(frames: int, onset: float, offset: float) -> np.ndarray:
    """A raised cosine that crosses a tenth of its peak at onset and offset."""
    inside = 1 - 2 / np.pi * np.arcsin(np.sqrt(0.1))
    middle, half = (onset + offset) / 2, (offset - onset) / 2 / inside
    t = np.clip((np.arange(frames) - middle) / half, -1, 1)
    return 0.5 * (1 + np.cos(np.pi * t))


@pytest.mark.parametrize(
    "spans", [[(60.0, 69.0)], [(30.0, 38.0), (80.0, 92.0)], [(5.0, 12.0), (70.0, 77.0), (120.0, 130.0)]]
)
@pytest.mark.parametrize("peak", [25.0, 300.0])
def test_pulses_are_found_where_they_are(spans: list[tuple[float, float]], peak: float) -> None:
    rng = np.random.default_rng(0)
    drift = 4 * np.sin(np.arange(144) / 40)
    for _ in range(10):
        trace = drift + rng.standard_normal(144) + peak * sum(pulse(144, *span) for span in spans)
        found = Spotter().spot(trace, 24.0)
        assert len(found) == len(spans) == len(matched(found, spans))


def test_a_slow_rise_or_return_is_no_second_expression() -> None:
    rng = np.random.default_rng(3)
    t = np.arange(144.0) - 70
    course = np.where(t < 0, np.clip(1 + t / 4, 0, 1), np.exp(-t / 5))
    trace = 300 * course + rng.standard_normal(144)
    ((onset, offset),) = Spotter().spot(trace, 24.0)
    assert onset < 70 < offset < 84
    ((onset, offset),) = Spotter().spot(trace[::-1], 24.0)
    assert 143 - 84 < onset < 73 < offset


def test_noise_alone_is_seldom_an_expression() -> None:
    rng = np.random.default_rng(1)
    found = [Spotter().spot(rng.standard_normal(144) + 3 * np.sin(np.arange(144) / 50), 24.0) for _ in range(200)]
    assert sum(map(len, found)) / (200 * 0.1) < 0.5  # a minute
    assert sum(len(Spotter(threshold=2).spot(rng.standard_normal(144), 24.0)) for _ in range(20)) > 5


def test_what_lasts_too_short_or_too_long_is_none() -> None:
    spotter = Spotter()
    noise = 0.01 * np.random.default_rng(2).standard_normal(144)
    assert spotter.spot(noise + (np.arange(144) == 70), 24.0) == []
    assert len(spotter.spot(noise + pulse(144, 60, 68), 24.0)) == 1
    assert Spotter(longest_ms=300).spot(noise + pulse(144, 60, 70), 24.0) == []
    assert Spotter(shortest_ms=400).spot(noise + pulse(144, 60, 68), 24.0) == []


@pytest.mark.parametrize("trace", [np.zeros(144), np.zeros(1), np.ones(30), np.arange(50.0)])
def test_nothing_moves_nothing_is_found(trace: np.ndarray) -> None:
    assert Spotter().spot(trace, 24.0) == []


def test_a_clip_without_any_noise_shows_its_pulse() -> None:
    ((onset, offset),) = Spotter().spot(pulse(144, 60, 70), 24.0)
    assert onset == pytest.approx(60, abs=0.5) and offset == pytest.approx(70, abs=0.5)


# --- a real clip


@pytest.fixture(scope="module")
def still(portrait: np.ndarray) -> Still:
    return Still.of(portrait)


def spotted(still: Still, units: str, times: tuple[float, ...], seed: int) -> list[tuple[float, float]]:
    frames = Warp(num_frames=72, blinks=1).frames(still, parse(units).units, *times, seed)
    motion = observe(decode(encode(frames, crf=18)), 24.0, FaceFinder()(still.image)[0])
    return Spotter().spot(movement(motion), 24.0)


def test_an_expression_is_spotted_in_a_coded_clip_and_its_blink_is_not(still: Still) -> None:
    truth = [(1500 * 0.024, 1850 * 0.024)]
    assert compare(spotted(still, "L12C", (1500.0, 1660.0, 1850.0), 7), truth, 72 / 24 / 60) == Compared(
        1, 0, 0, pytest.approx(3 / 60)
    )


def test_a_face_at_rest_that_blinks_shows_no_expression(still: Still) -> None:
    assert spotted(still, "0", (1500.0, 1660.0, 1850.0), 8) == []


# --- a workspace


def test_whole_clips_are_looked_at_once(workspace: Path, tmp_path: Path) -> None:
    samples, keep = clips(workspace).take([0, 1]), tmp_path / "kept.jsonl"
    found = spot(samples, Spotter(), keep=keep)
    rows = samples.table.to_pylist()
    assert list(found.intervals) == [row["sample_id"] for row in rows] and not found.problems
    for row in rows:
        coded = [(row["onset"], row["offset"] + 1.0)]
        assert len(matched(found.intervals[row["sample_id"]], coded)) <= 1
    counts = found.scores.counts
    assert counts.hits + counts.missed == 2 and counts.minutes == pytest.approx(2 * 6 / 60)
    text = keep.read_text()
    again = spot(samples, Spotter(), keep=keep)
    assert again.intervals == found.intervals and keep.read_text() == text
    assert spot(samples, Spotter(threshold=1e9), keep=keep).intervals == {row["sample_id"]: [] for row in rows}


def test_two_expressions_of_one_clip_are_scored_in_one_clip(workspace: Path, tmp_path: Path) -> None:
    samples, keep = clips(workspace).take([0, 0]), tmp_path / "kept.jsonl"
    rows = samples.table.to_pylist()
    rows[1] |= {"onset": rows[0]["offset"] + 20, "offset": rows[0]["offset"] + 30}
    both = spot(dataclasses.replace(samples, table=pa.Table.from_pylist(rows, schema=FIELDS)), Spotter(), keep=keep)
    one = spot(samples.take([0]), Spotter(), keep=keep)
    assert both.clips == one.clips == 1 and both.intervals == one.intervals
    assert both.scores.counts.minutes == one.scores.counts.minutes == pytest.approx(6 / 60)
    assert both.scores.counts.hits + both.scores.counts.missed == 2
    assert both.scores.counts.hits + both.scores.counts.false_alarms == sum(map(len, one.intervals.values()))


def test_the_command_says_it_both_ways(workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep = tmp_path / "kept.jsonl"
    assert main(["spot", "--data", str(workspace), "--keep", str(keep)]) == 0
    assert "false alarms a minute" in capsys.readouterr().out
    assert main(["spot", "--data", str(workspace), "--keep", str(keep), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["scores"]) == {"f1", "precision", "recall", "false_alarms_per_minute"}
    assert main(["spot", "--data", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
