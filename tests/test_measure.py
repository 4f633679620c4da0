"""What is measured of an expression: against clips whose truth is known, closed forms and other solvers."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from equime.action_units import FACS, REGION, ActionUnit, parse
from equime.face import FaceFinder
from equime.generators.scene import Scene, Still
from equime.generators.warp import Warp
from equime.mesh import PARTS, Face
from equime.quality.cues import ALSO, CUES, REGION_OF
from equime.quality.event import Parts, closures
from equime.quality.measure import Measured, measure
from equime.quality.motion import WATCHED, Motion, observe
from equime.quality.pulse import timed, unimodal
from equime.quality.unit_match import TOLD_APART, Templates, nonnegative
from equime.video import decode, encode

FPS, TOTAL = 24.0, 60
FRAME_MS = 1000 / FPS
TIMES = (1010.0, 1165.0, 1355.0)
WARP = Warp(num_frames=TOTAL, blinks=0)
TRUTH = {
    "4B": ("B", "brow"),
    "L12C": ("L", "mouth"),
    "R1B+R2B": ("R", "brow"),
    "7C": ("B", "lid"),
    "17C": ("B", "chin"),
    "9C": ("B", "nose"),
}


@pytest.fixture(scope="module")
def still(portrait: np.ndarray) -> Still:
    return Still.of(portrait)


@pytest.fixture(scope="module")
def face(still: Still) -> Face:
    return FaceFinder()(still.image)[0]


@pytest.fixture(scope="module")
def shown(still: Still, face: Face) -> dict[str, Motion]:
    """By programme: what was seen of a coded clip that shows it; "" shows none."""
    found = {}
    for seed, text in enumerate(["", *TRUTH]):
        frames = WARP.frames(still, parse(text).units, *TIMES, seed + 3)
        found[text] = observe(decode(encode(frames, crf=18)), FPS, face)
    return found


# --- cues


def test_cues_name_known_units_and_parts() -> None:
    for au, cue in [*CUES.items(), *ALSO.items()]:
        assert au in FACS
        assert cue
        assert set(cue) <= set(WATCHED)
        assert all(np.hypot(*way) <= 1.2 for way in cue.values())
    assert set(WATCHED) == {*PARTS, "chin"} == set(REGION_OF)
    assert set(Warp.SHOWS) <= set(CUES)
    assert set(TOLD_APART) <= set(CUES)


@pytest.mark.parametrize(
    ("au", "part", "way"),
    [
        *[(1, "brow_inner", (0, 1)), (2, "brow_outer", (0, 1)), (4, "brow_inner", (-1, -1)), (5, "lid_upper", (0, 1))],
        *[(6, "cheek", (0, 1)), (7, "lid_lower", (0, 1)), (9, "nose_wing", (0, 1)), (10, "lip_upper", (0, 1))],
        *[
            (12, "mouth_corner", (1, 1)),
            (15, "mouth_corner", (0, -1)),
            (16, "lip_lower", (0, -1)),
            (17, "chin", (0, 1)),
        ],
        *[
            (18, "mouth_corner", (-1, 0)),
            (20, "mouth_corner", (1, 0)),
            (26, "chin", (0, -1)),
            (43, "lid_upper", (0, -1)),
        ],
    ],
)
def test_the_strongest_pull_is_where_facs_sees_the_unit(au: int, part: str, way: tuple[int, int]) -> None:
    cue = CUES[au]
    assert max(cue, key=lambda name: np.hypot(*cue[name])) == part
    assert tuple(np.sign(np.round(cue[part], 1)) * (np.abs(cue[part]) > 0.15)) == way
    assert REGION_OF[part] == REGION[au]


# --- what is seen of a clip


def test_a_known_movement_and_a_known_head_are_seen(still: Still, face: Face) -> None:
    rng = np.random.default_rng(0)
    grey = still.image.astype(np.float32)
    frames = []
    for t in range(16):
        # To the right by up to 3 px and turned by up to 1 degree about the face's middle, clockwise on the screen.
        x, angle = 3 * np.sin(t / 10), np.radians(np.sin(t / 10))
        cx, cy = face.center
        yy, xx = np.mgrid[:512, :512].astype(np.float32)
        px, py = xx - cx - x, yy - cy
        at = np.stack([np.cos(angle) * px + np.sin(angle) * py + cx, -np.sin(angle) * px + np.cos(angle) * py + cy])
        moved = cv2.remap(grey, at[0].astype(np.float32), at[1].astype(np.float32), cv2.INTER_CUBIC)
        frames.append(np.clip(moved + rng.normal(0, 1, grey.shape), 0, 255).astype(np.uint8))
    motion = observe(np.stack(frames), FPS, face)
    start = np.mean([np.sin(t / 10) for t in range(5)])
    sine = np.sin(np.arange(16) / 10) - start
    np.testing.assert_allclose(motion.head[:, 0] * face.eye_distance, 3 * sine, atol=0.2)
    np.testing.assert_allclose(motion.head[:, 2], sine, atol=0.1)
    np.testing.assert_allclose(motion.head[:, [1, 3]], 0, atol=0.003)
    assert max(np.abs(trace).max() for trace in motion.traces.values()) < 0.25 / face.eye_distance
    assert motion.traces["chin", "L"].shape == (16, 2)
    assert motion.frames == 16
    assert motion.ms(12) == 500


@pytest.mark.parametrize("text", TRUTH)
def test_times_side_units_and_region_of_a_clip_with_a_plan(shown: Mapping[str, Motion], text: str) -> None:
    units, (side, region) = parse(text).units, TRUTH[text]
    found = measure(shown[text], units)
    assert abs(found.apex_ms - TIMES[1]) <= FRAME_MS
    assert abs(found.offset_ms - found.onset_ms - (TIMES[2] - TIMES[0])) <= 2 * FRAME_MS
    assert found.side == side
    assert {(u.au, u.side) for u in units} <= {(u.au, u.side) for u in found.units}
    assert len(found.units) <= len(units) + 1
    assert max(found.region_motion, key=found.region_motion.get) == region
    assert found.amplitude == max(found.region_motion.values())
    assert found.unit_fidelity > 0.75
    assert found.unit_fidelity_shuffled < 0.3
    assert found.unit_leakage < 0.15
    assert found.residual < 0.2


@pytest.mark.parametrize("text", TRUTH)
def test_without_a_plan_the_same_is_found(shown: Mapping[str, Motion], text: str) -> None:
    found, planned = measure(shown[text]), measure(shown[text], parse(text).units)
    assert abs(found.apex_ms - planned.apex_ms) <= FRAME_MS
    assert abs(found.onset_ms - planned.onset_ms) <= 2 * FRAME_MS
    assert abs(found.offset_ms - planned.offset_ms) <= 2 * FRAME_MS
    assert found.side == planned.side
    assert found.units == planned.units
    assert found.unit_fidelity is found.unit_fidelity_shuffled is found.unit_leakage is None


def test_nothing_is_seen_where_nothing_is_shown(shown: Mapping[str, Motion]) -> None:
    for text in ("12", "4", "1+2", "7", "17", "9"):
        found = measure(shown[""], parse(text).units)
        assert found.onset_ms is found.apex_ms is found.offset_ms is found.side is found.amplitude is None
        assert found.units == ()
        assert max(found.region_motion.values()) < 0.003
    assert measure(shown[""]).apex_ms is None


def test_another_unit_or_side_than_planned_is_not_taken_for_it(shown: Mapping[str, Motion]) -> None:
    assert measure(shown["4B"], parse("12").units).apex_ms is None
    assert measure(shown["17C"], parse("2").units).apex_ms is None
    own = measure(shown["L12C"], parse("L12").units)
    other = measure(shown["L12C"], parse("R12").units)
    assert other.apex_ms is None or other.unit_fidelity < 0.5 * own.unit_fidelity
    brow = measure(shown["R1B+R2B"], parse("4").units)
    assert brow.apex_ms is None or brow.unit_fidelity < 0.4


def test_a_blink_is_no_expression(still: Still, face: Face) -> None:
    scene = Scene("blink/f_ann_01", still, (), None, None, None, 5, control="blink")
    clip, _ = next(iter(WARP.clips([scene])))
    motion = observe(decode(encode(clip, crf=18)), FPS, face)
    assert len(closures(Parts.of(motion, bridged=False))) == 1
    for units in (None, parse("7").units, parse("6+12").units, parse("1+2").units):
        assert measure(motion, units).apex_ms is None
    shut = measure(motion, parse("43").units)
    assert shut.side == "B"
    assert ActionUnit(43) in shut.units


def test_sides_follow_a_mirrored_motion(shown: Mapping[str, Motion]) -> None:
    motion = shown["L12C"]
    swapped = {(part, "L" if side == "R" else "R"): trace for (part, side), trace in motion.traces.items()}
    found = measure(Motion(motion.fps, motion.face, swapped, motion.head), parse("R12").units)
    assert found.side == "R"
    assert [str(unit) for unit in found.units] == ["R12"]


# --- what is measured of a motion that is written down


def course(kind: str, t: np.ndarray, onset: float, apex: float, offset: float) -> np.ndarray:
    """Shares of the peak that cross a tenth at onset and offset."""
    x = np.where(t < apex, (apex - t) / (apex - onset), (t - apex) / (offset - apex))
    if kind == "triangle":
        return np.clip(1 - 0.9 * x, 0, None)
    if kind == "bell":
        return 0.1 ** (x**2)
    return np.where(x * 1.1 < 1.9, np.cos(np.clip(x * (1 - 2 / np.pi * np.arcsin(0.1**0.5)), 0, 1) * np.pi / 2) ** 2, 0)


def written(
    face: Face,
    texts: Mapping[str, float],
    times: tuple[float, float, float],
    kind: str = "cosine",
    fps: float = FPS,
    total: int = 144,
    noise: float = 2e-4,
) -> Motion:
    """A motion of units' own cues by so many eye distances each, and white noise."""
    rng = np.random.default_rng(7)
    share = course(kind, np.arange(total) * 1000 / fps, *times)
    traces = {(part, side): rng.normal(0, noise, (total, 2)) for part in WATCHED for side in "RL"}
    for text, size in texts.items():
        for unit in parse(text).units:
            for part, way in CUES[unit.au].items():
                for side in "RL" if unit.side == "B" else unit.side:
                    traces[part, side] += size * share[:, None] * np.asarray(way)
    traces = {key: trace.astype(np.float32) for key, trace in traces.items()}
    return Motion(fps, face, traces, np.zeros((total, 4), np.float32))


@pytest.mark.parametrize("kind", ["triangle", "bell", "cosine"])
@pytest.mark.parametrize("size", [0.002, 0.02])
@pytest.mark.parametrize("times", [(2000.0, 2160.0, 2340.0), (2010.0, 2110.0, 2400.0), (1990.0, 2230.0, 2380.0)])
def test_times_do_not_hang_on_the_shape_of_the_course(
    face: Face, kind: str, size: float, times: tuple[float, float, float]
) -> None:
    found = measure(written(face, {"12": size}, times, kind), parse("12").units)
    assert abs(found.apex_ms - times[1]) <= FRAME_MS
    assert abs(found.onset_ms - times[0]) <= FRAME_MS
    assert abs(found.offset_ms - times[2]) <= FRAME_MS


def test_a_long_expression_is_as_long_as_it_is(face: Face) -> None:
    found = measure(written(face, {"4": 0.04}, (1200.0, 2000.0, 3300.0)), parse("4").units)
    assert found.offset_ms - found.onset_ms == pytest.approx(2100, abs=100)
    assert found.apex_ms == pytest.approx(2000, abs=60)


def test_milliseconds_do_not_hang_on_the_frame_rate(face: Face) -> None:
    times = (400.0, 560.0, 750.0)
    for fps, total in ((24.0, 30), (60.0, 75), (200.0, 250)):
        found = measure(written(face, {"R12": 0.02}, times, fps=fps, total=total), parse("R12").units)
        np.testing.assert_allclose([found.onset_ms, found.apex_ms, found.offset_ms], times, atol=40)


def test_what_does_not_return_stays_as_residual(face: Face) -> None:
    motion = written(face, {"12": 0.02}, (2000.0, 2160.0, 2340.0))
    back = measure(motion, parse("12").units).residual
    after = (np.arange(144) * 1000 / FPS > 2160)[:, None]
    half = {
        key: np.where(after, np.maximum(trace, trace.max(0) / 2), trace).astype(np.float32)
        for key, trace in motion.traces.items()
        if key[0] == "mouth_corner"
    }
    stays = measure(Motion(FPS, motion.face, {**motion.traces, **half}, motion.head), parse("12").units).residual
    assert back < 0.1
    assert stays > 0.3


def test_leakage_is_the_share_of_energy_outside_the_plan(face: Face) -> None:
    times = (2000.0, 2160.0, 2340.0)
    motion = written(face, {"12": 0.02, "2": 0.02}, times, noise=2e-5)
    far = {au: max(np.hypot(*way) for way in CUES[au].values()) for au in (2, 12)}
    expected = far[2] ** 2 / (far[2] ** 2 + far[12] ** 2)
    assert measure(motion, parse("12").units).unit_leakage == pytest.approx(expected, abs=0.02)
    assert measure(motion, parse("12+2").units).unit_leakage < 0.01


def test_the_dimpler_is_seen_whichever_way_the_corner_goes(face: Face) -> None:
    times = (2000.0, 2160.0, 2340.0)
    for text in ("14", "20"):  # What 20 does to the corner is the dimpler's other way.
        found = measure(written(face, {text: 0.02}, times), parse("14").units)
        assert found.apex_ms == pytest.approx(2160, abs=FRAME_MS)
        assert found.unit_fidelity > 0.8
    wrong = measure(written(face, {"12": -0.02}, times), parse("12").units)
    assert wrong.apex_ms is None or wrong.unit_fidelity < 0.3


def test_units_without_a_visible_cue_are_looked_for_everywhere(face: Face) -> None:
    motion = written(face, {"17": 0.02}, (2000.0, 2160.0, 2340.0))
    assert measure(motion, parse("31").units) == measure(motion) == measure(motion, ())


def test_a_clip_of_one_frame_or_without_motion_is_not_measured(face: Face) -> None:
    for total in (1, 2, 5, 144):
        still = {(part, side): np.zeros((total, 2), np.float32) for part in WATCHED for side in "RL"}
        for units in (None, parse("12").units):
            found = measure(Motion(FPS, face, still, np.zeros((total, 4), np.float32)), units)
            assert isinstance(found, Measured)
            assert found.apex_ms is None
            assert found.signal_to_noise == 0


COURSES = {
    "noise": lambda rng, total: rng.normal(0, 0.005, (total, 2)),
    "walk": lambda rng, total: np.cumsum(rng.normal(0, 0.005, (total, 2)), 0),
    "step": lambda rng, total: np.outer(np.arange(total) > rng.integers(total), rng.normal(0, 0.02, 2)),
    "ramp": lambda rng, total: np.outer(np.linspace(0, 1, total), rng.normal(0, 0.05, 2)),
    "huge": lambda rng, total: rng.normal(0, 5, (total, 2)),
}


@given(
    kind=st.sampled_from(sorted(COURSES)),
    total=st.integers(1, 90),
    fps=st.sampled_from([0.3, 1.0, 7.0, 23.976, 30.0, 200.0, 1000.0]),
    units=st.lists(st.builds(ActionUnit, st.sampled_from([*CUES, 29]), st.sampled_from("LRBU")), max_size=3),
    seed=st.integers(0, 9999),
)
@settings(max_examples=60, deadline=None)
def test_whatever_moves_the_numbers_are_finite_and_in_order(
    face: Face, kind: str, total: int, fps: float, units: list[ActionUnit], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    traces = {(part, side): COURSES[kind](rng, total).astype(np.float32) for part in WATCHED for side in "RL"}
    found = measure(Motion(fps, face, traces, np.zeros((total, 4), np.float32)), units)
    numbers = [value for value in vars(found).values() if isinstance(value, float)]
    assert np.isfinite([*numbers, *found.region_motion.values()]).all()
    assert (found.apex_ms is None) == (found.onset_ms is None) == (found.offset_ms is None) == (found.side is None)
    if found.apex_ms is not None:
        assert 0 <= found.onset_ms <= found.apex_ms + 1e-6 <= found.offset_ms + 2e-6 <= (total - 1) * 1000 / fps + 3e-6
    for share in (found.unit_fidelity, found.unit_fidelity_shuffled, found.unit_leakage):
        assert share is None or 0 <= share <= 1 + 1e-9


@pytest.mark.parametrize("au", TOLD_APART)
def test_each_unit_is_told_from_all_others(face: Face, au: int) -> None:
    templates = Templates(face, [(part, side) for part in WATCHED for side in "RL"])
    noise = np.full(len(templates.keys), 1e-4)
    for side in ("R", "L", "B"):
        shows = sum(templates.column(au, one) for one in ("RL" if side == "B" else side))
        assert templates.seen(0.02 * shows, noise) == (ActionUnit(au, side),)
        assert templates.fidelity(shows, [ActionUnit(au, side)]) == pytest.approx(1)
        assert templates.fidelity(-shows, [ActionUnit(au, side)]) < (1.01 if au in ALSO else 0.01)


# --- one pulse, and the solvers


def test_a_faint_pulse_is_timed_within_a_frame_of_the_truth() -> None:
    t = np.arange(144) * 1000 / FPS
    errors = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        times = (2000 + rng.uniform(0, 40), 2170 + rng.uniform(0, 40), 2400 + rng.uniform(0, 40))
        found = timed(course("cosine", t, *times) + rng.normal(0, 0.06, 144), 52, 0.06, FPS)
        errors.append(np.array(found) - np.array(times) * FPS / 1000)
    assert (np.abs(errors).mean(0) < [0.6, 0.5, 0.8]).all()


@pytest.mark.parametrize("fps", [0.3, 0.37, 23.976, 1000.0])
def test_a_pulse_is_timed_at_any_frame_rate(fps: float) -> None:
    for apex in range(30):
        trace = np.zeros(30)
        trace[apex] = 1
        found = timed(trace, apex, 0.01, fps)
        assert 0 <= found.onset <= found.apex <= found.offset <= 29
        assert found.apex == pytest.approx(apex, abs=0.5)


def test_unimodal_is_isotonic_regression_on_either_side() -> None:
    rng = np.random.default_rng(2)
    trace = course("bell", np.arange(60.0), 20, 30, 45) + rng.normal(0, 0.1, 60)
    found = unimodal(trace, 30, 60)
    up = optimize.isotonic_regression(trace[:31]).x
    down = optimize.isotonic_regression(trace[30:], increasing=False).x
    np.testing.assert_allclose(found[:30], up[:30])
    np.testing.assert_allclose(found[31:], down[1:])
    assert found[30] == max(up[30], down[0])


def test_nonnegative_least_squares_against_lawson_and_hanson() -> None:
    rng = np.random.default_rng(3)
    for count in (1, 3, 6):
        design, target = rng.normal(size=(40, count)), rng.normal(size=40)
        np.testing.assert_allclose(nonnegative(design, target), optimize.nnls(design, target)[0], atol=1e-6)
    assert nonnegative(np.ones((3, 1)), -np.ones(3)) == 0
