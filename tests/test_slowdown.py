"""Slow motion: what is generated slowed comes back at its planned times, and the rest neither freezes nor jumps."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equime import schema, traces
from equime.action_units import parse
from equime.causal import EmotionModel, noise
from equime.errors import EquimeError
from equime.generators.scene import Still
from equime.generators.slowdown import GENERATED, Window, slowest, window
from equime.generators.warp import Warp
from equime.video import decode, encode

FRAME_MS = 1000 / 24
SPEEDS = st.integers(1, 13)


@st.composite
def expressions(draw: st.DrawFn) -> tuple[float, float, float]:
    """Onset, apex and offset in ms as a plan may have them, and some beyond: to the clip's very ends."""
    rise, fall = draw(st.floats(FRAME_MS, 260)), draw(st.floats(FRAME_MS, 458))
    apex = draw(st.floats(1.5 * rise, 143 * FRAME_MS - 1.5 * fall))
    return apex - rise, apex, apex + fall


def clip_ms(stretch: Window, generated: int) -> float:
    return (stretch.first + generated / stretch.k) * FRAME_MS


@given(times=expressions(), k=SPEEDS)
@settings(max_examples=300, deadline=None)
def test_no_neighbours_are_the_same_frame_or_further_apart_than_a_step(times: tuple[float, ...], k: int) -> None:
    k = min(k, slowest(*times))
    frames = window(*times, k).frame_map()
    assert len(frames) == 144 and min(frames) >= 0 and max(frames) < GENERATED
    steps = np.abs(np.diff(frames))
    assert steps.min() >= 1 and steps.max() <= k


@given(times=expressions(), k=SPEEDS)
@settings(max_examples=300, deadline=None)
def test_the_expression_is_shown_once_and_in_time(times: tuple[float, ...], k: int) -> None:
    onset, apex, offset = times
    k = min(k, slowest(*times))
    stretch = window(*times, k)
    frames = stretch.frame_map()
    low, high = onset - (apex - onset) / 2, offset + (offset - apex) / 2
    for place, generated in enumerate(frames):
        shown = clip_ms(stretch, generated)
        if low + 1e-6 < place * FRAME_MS < high - 1e-6:
            assert shown == pytest.approx(place * FRAME_MS)
        elif k > 1:
            assert not low + 1e-6 < shown < high - 1e-6
    for ms in times:
        assert abs(clip_ms(stretch, stretch.planned_frame(ms)) - ms) <= 0.5 * FRAME_MS / k + 1e-9


def test_natural_speed_is_every_frame_but_the_last() -> None:
    assert window(2000, 2160, 2320, 1).frame_map() == list(range(144))


def test_every_planned_expression_can_be_slowed_six_times_and_few_ten_times() -> None:
    model = EmotionModel.from_tables()
    found = np.array([slowest(*model.draw_times(noise(seed, "times"))) for seed in range(2000)])
    assert found.min() == 6
    assert 0.3 < (found >= 8).mean() < 0.6 and (found >= 10).mean() < 0.2


def test_a_stretch_without_room_is_refused_in_one_line() -> None:
    with pytest.raises(EquimeError, match="slowdown of 1 to 5") as error:
        window(2000.0, 2260.0, 2560.0, 6)
    assert "\n" not in str(error.value)
    with pytest.raises(EquimeError, match="k = 0"):
        window(2000.0, 2160.0, 2320.0, 0)
    assert window(1500.0, 2500.0, 4000.0, 1).k == 1


@pytest.mark.parametrize("k", [4, 8])
def test_flow_finds_the_planned_times_in_a_clip_that_was_generated_slowed(portrait: np.ndarray, k: int) -> None:
    """With the warp in the place of a video model: it draws the slowed times, and is measured after coding."""
    still, units, times = Still.of(portrait), parse("15C").units, (2828.0, 2966.0, 3123.0)
    stretch = window(*times, k)
    slowed = [(ms - stretch.first * FRAME_MS) * k for ms in times]
    generated = list(Warp(blinks=0, num_frames=GENERATED).frames(still, units, *slowed, seed=7))
    clip = [generated[i] for i in stretch.frame_map()]
    shown = slice(stretch.first, stretch.first + (GENERATED - 1) // k + 1)  # flow is slow: the rest is at rest
    data = decode(encode(clip[shown], crf=18))
    moved = traces.traces(data, still.face, [("mouth_corner", side) for side in "RL"])
    down = np.mean([traces.project(moved["mouth_corner", side], (0, 1)) for side in "RL"], 0)
    found = [(stretch.first + place) * FRAME_MS for place in traces.crossings(down - np.median(down[:3]))]
    assert np.abs(np.subtract(found, times)).max() < 0.75 * FRAME_MS


@pytest.mark.parametrize(("k", "told"), [(1, 0.14), (2, 0.66), (4, 0.97), (6, 0.997)])
def test_the_share_of_apexes_with_a_latent_step_of_their_own_is_as_documented(k: int, told: float) -> None:
    """A step is the first frame, or eight frames after it."""
    model, draws = EmotionModel.from_tables(), 4000
    own = 0
    for seed in range(draws):
        shown = model.sample(schema.EMOTIONS[seed % len(schema.EMOTIONS)], partial(noise, seed))
        times = (shown.onset_ms, shown.apex_ms, shown.offset_ms)
        stretch = window(*times, k)
        onset, apex, offset = ((round(stretch.planned_frame(ms)) + 7) // 8 for ms in times)
        own += onset < apex < offset
    assert own / draws == pytest.approx(told, abs=0.02)
