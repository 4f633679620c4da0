"""Flow, strain, stabilisation and times against known warps and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
from scipy import ndimage
from skimage import transform

from equime.errors import EquimeError
from equime.face import FaceFinder, crop
from equime.flow import dense, grey, region_flow, stabilise, stable_mask, strain
from equime.mesh import Face, region_mask
from equime.traces import crossings, neutral, project, settled, traces

FACE_REGIONS = ["brow", "lid", "nose", "mouth", "chin"]


@pytest.fixture(scope="module")
def square() -> tuple[np.ndarray, Face]:
    photo = skimage.data.astronaut()
    return crop(photo, FaceFinder()(photo)[0], size=320)


def shifted(image: np.ndarray, dx: float, dy: float) -> np.ndarray:
    moved = ndimage.shift(image.astype(float), (dy, dx), order=3, mode="nearest")
    return np.clip(np.rint(moved), 0, 255).astype(np.uint8)


def all_regions(face: Face, shape: tuple[int, ...]) -> np.ndarray:
    return np.any([region_mask(face, region, "B", shape) for region in FACE_REGIONS], axis=0)


# --- flow


@pytest.mark.parametrize(("dx", "dy"), [(0.3, -0.15), (1.0, 0.5), (-3.0, 2.0)])
@pytest.mark.parametrize(
    ("method", "preset", "share"), [("dis", "medium", 0.1), ("dis", "fast", 0.15), ("farneback", "", 0.15)]
)
def test_a_known_shift(
    square: tuple[np.ndarray, Face], dx: float, dy: float, method: str, preset: str, share: float
) -> None:
    image, face = square
    before = grey(image)
    flow = dense(before, shifted(before, dx, dy), method, preset)
    assert flow.dtype == np.float32
    assert flow.shape == (320, 320, 2)
    mean = region_flow(flow, all_regions(face, flow.shape))
    np.testing.assert_allclose(mean, [dx, dy], atol=share * np.hypot(dx, dy))


def test_tvl1(square: tuple[np.ndarray, Face]) -> None:
    before = grey(square[0])[60:220, 80:240]
    flow = dense(before, shifted(before, 1.0, -0.5), "tvl1")
    np.testing.assert_allclose(np.median(flow, (0, 1)), [1.0, -0.5], atol=0.1)


def test_colour_is_luma(square: tuple[np.ndarray, Face]) -> None:
    image, _ = square
    expected = image @ [0.299, 0.587, 0.114]  # ITU-R BT.601
    assert np.abs(grey(image) - expected).max() <= 1
    after = np.stack([shifted(image[..., k], 1, 0) for k in range(3)], -1)
    np.testing.assert_array_equal(dense(image, after), dense(grey(image), grey(after)))


def test_bad_frames() -> None:
    a = np.zeros((64, 64), np.uint8)
    with pytest.raises(EquimeError, match="one shape"):
        dense(a, a[:32])
    with pytest.raises(EquimeError, match="expected uint8"):
        dense(a.astype(float), a.astype(float))
    with pytest.raises(EquimeError, match="'raft'"):
        dense(a, a, "raft")  # type: ignore[arg-type]
    with pytest.raises(EquimeError, match="'slow'"):
        dense(a, a, "dis", "slow")  # type: ignore[arg-type]


# --- strain


@pytest.mark.parametrize(
    ("formula", "shear"),
    [
        ("half", lambda uy, vx: (uy + vx) ** 2 / 2),
        ("quarter", lambda uy, vx: (uy + vx) ** 2 / 4),
        ("sobel", lambda uy, vx: (uy**2 + vx**2) / 2),
    ],
)
def test_strain_of_an_affine_field(formula: str, shear) -> None:
    ux, uy, vx, vy = 0.03, -0.02, 0.05, 0.01
    y, x = np.mgrid[:20, :30].astype(np.float32)
    flow = np.stack([ux * x + uy * y + 7, vx * x + vy * y - 2], -1)
    found = strain(flow, formula)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[2:-2, 2:-2], np.sqrt(ux**2 + vy**2 + shear(uy, vx)), rtol=1e-3)


def test_strain_is_blind_to_a_shift_and_a_small_turn() -> None:
    y, x = np.mgrid[:20, :30].astype(np.float32)
    np.testing.assert_allclose(strain(np.stack([-0.01 * y, 0.01 * x], -1) + 3), 0, atol=1e-5)
    with pytest.raises(EquimeError, match="half, quarter or sobel"):
        strain(np.zeros((4, 4, 2)), "full")  # type: ignore[arg-type]


# --- stabilisation


@pytest.mark.parametrize("motion", ["similarity", "affine"])
def test_a_smooth_head_motion_is_removed_exactly(square: tuple[np.ndarray, Face], motion: str) -> None:
    _, face = square
    y, x = np.mgrid[:320, :320].astype(np.float64)
    # A quarter of a degree, one per cent and two pixels, about the image's corner; and shear, for the affine.
    k = 0.003 if motion == "affine" else 0.0
    head = np.stack([0.01 * x - 0.004 * y + 2 + k * y, 0.004 * x + 0.01 * y - 1], -1)
    away = ((x - face.points[61, 0]) ** 2 + (y - face.points[61, 1]) ** 2) / (2 * 10**2)
    smile = np.exp(-away)[..., None] * [-1.5, -1.5]
    found = stabilise((head + smile).astype(np.float32), face, motion)
    np.testing.assert_allclose(found, smile, atol=1e-3)


def test_a_brow_that_reaches_into_the_stable_part_is_no_head_motion(square: tuple[np.ndarray, Face]) -> None:
    _, face = square
    y, x = np.mgrid[:320, :320].astype(np.float64)
    raised = np.zeros((320, 320, 2))
    for point in (105, 334):
        away = (x - face.points[point, 0]) ** 2 + (y - face.points[point, 1]) ** 2
        raised[..., 1] -= 4 * np.exp(-away / (2 * (0.18 * face.eye_distance) ** 2))
    assert np.abs(raised[stable_mask(face, raised.shape)]).max() > 0.1  # It does reach in.
    found = stabilise((raised + np.array([1.0, -2.0])).astype(np.float32), face)
    assert np.abs(found - raised).max() < 0.1


def test_a_turned_photo_is_quiet_after_stabilisation(square: tuple[np.ndarray, Face]) -> None:
    image, face = square
    turned = transform.rotate(image, 0.8, order=3, preserve_range=True, mode="edge", center=(160, 320))
    flow = dense(image, np.clip(np.rint(turned), 0, 255).astype(np.uint8))
    inside = all_regions(face, flow.shape)
    before = np.hypot(*flow[inside].T).mean()
    after = np.hypot(*stabilise(flow, face)[inside].T).mean()
    assert before > 1.5
    assert after < 0.15 * before


def test_stable_points_lie_off_the_moving_regions(square: tuple[np.ndarray, Face]) -> None:
    image, face = square
    stable = stable_mask(face, image.shape)
    for region in ("brow", "lid", "mouth", "chin"):
        moving = region_mask(face, region, "B", image.shape)
        assert (stable & moving).sum() < 0.02 * moving.sum()
    with pytest.raises(EquimeError, match="face inside"):
        stabilise(np.zeros((8, 8, 2), np.float32), face)
    with pytest.raises(EquimeError, match="'rigid'"):
        stabilise(np.zeros((320, 320, 2), np.float32), face, "rigid")  # type: ignore[arg-type]


# --- clips


def moving_clip(image: np.ndarray, face: Face, point: int, toward: tuple[float, float]) -> np.ndarray:
    """48 frames: a head that sways and turns, and a spot that moves 2 px there and back around frame 24.4."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:320, :320].astype(np.float64)
    spot = np.exp(-((x - face.points[point, 0]) ** 2 + (y - face.points[point, 1]) ** 2) / (2 * 14**2))
    gray, frames = grey(image).astype(float), []
    for t in range(48):
        rise = 2.0 * np.sin(np.pi * (t - 20.4) / 8) ** 2 if abs(t - 24.4) < 4 else 0.0
        turn, dx, dy = 0.006 * np.sin(t / 9), 1.5 * np.sin(t / 11), 1.0 * np.sin(t / 8)
        # Undo the head's motion first, then the spot's: where in the photo each pixel comes from.
        px, py = x - 160 - dx, y - 300 - dy
        hx = np.cos(turn) * px + np.sin(turn) * py + 160
        hy = -np.sin(turn) * px + np.cos(turn) * py + 300
        local = rise * ndimage.map_coordinates(spot, [hy, hx], order=1, mode="nearest")
        at = [hy - toward[1] * local, hx - toward[0] * local]
        frame = ndimage.map_coordinates(gray, at, order=3, mode="nearest") + rng.normal(0, 1.5, gray.shape)
        frames.append(np.clip(np.rint(frame), 0, 255).astype(np.uint8))
    return np.stack(frames)


@pytest.mark.parametrize(
    ("point", "region", "part", "side", "toward"),
    [
        (61, "mouth", "mouth_corner", "R", (-0.6, -0.8)),
        (291, "mouth", "mouth_corner", "L", (0.6, -0.8)),
        (105, "brow", "brow", "R", (0.0, -1.0)),
    ],
)
def test_a_movement_is_found_in_its_region_at_its_time(
    square: tuple[np.ndarray, Face],
    point: int,
    region: str,
    part: str,
    side: str,
    toward: tuple[float, float],
) -> None:
    image, face = square
    frames = moving_clip(image, face, point, toward)
    keys = [(r, s) for r in FACE_REGIONS for s in "RL"]
    motion = traces(frames, face, [*keys, (part, side)], count=3)
    assert all(trace.shape == (48, 2) and trace.dtype == np.float32 for trace in motion.values())
    size = {key: float(np.hypot(*settled(trace)[20:29].T).max()) for key, trace in motion.items() if key in keys}
    assert max(size, key=size.get) == (region, side)
    found = crossings(settled(project(motion[part, side], toward)))
    assert found.apex == pytest.approx(24.4, abs=0.5)
    # sin² reaches a tenth of its peak 1.64 frames from its foot at 20.4 and 28.4, by its closed form.
    foot = 8 / np.pi * np.arcsin(np.sqrt(0.1))
    assert found.onset == pytest.approx(20.4 + foot, abs=1)
    assert found.offset == pytest.approx(28.4 - foot, abs=1)


def test_the_head_is_taken_out(square: tuple[np.ndarray, Face]) -> None:
    image, face = square
    frames = moving_clip(image, face, 61, (0.0, 0.0))[:24]
    keys = [(r, "B") for r in FACE_REGIONS]
    raw = traces(frames, face, keys, motion=None)
    steady = traces(frames, face, keys)
    for key in keys:
        assert np.hypot(*raw[key].T).max() > 1
        assert np.hypot(*steady[key].T).max() < 0.3


def test_traces_of_nothing(square: tuple[np.ndarray, Face]) -> None:
    image, face = square
    with pytest.raises(EquimeError, match="at least one frame"):
        traces([], face, [("brow", "R")])
    with pytest.raises(EquimeError, match="brow"):
        traces([image], face, [("ear", "R")])
    assert traces([image], face, []) == {}
    still = traces([image] * 3, face, [("brow", "R")])["brow", "R"]
    np.testing.assert_allclose(still, 0, atol=0.02)


def test_neutral_and_region_flow() -> None:
    rng = np.random.default_rng(0)
    noisy = np.clip(rng.normal(100, 8, (16, 50, 50)), 0, 255).astype(np.uint8)
    assert neutral(noisy, 16).std() == pytest.approx(8 / 4, rel=0.1)
    flow = rng.normal([0.5, -0.25], 0.05, (50, 50, 2)).astype(np.float32)
    flow[3, 3] = 1000
    mask = np.ones((50, 50), bool)
    np.testing.assert_allclose(region_flow(flow, mask), [0.5, -0.25], atol=0.01)
    assert np.isnan(region_flow(flow, ~mask)).all()


# --- times


@pytest.mark.parametrize("apex", [50.0, 50.25, 50.5, 50.8])
@pytest.mark.parametrize(("rise", "fall"), [(4.0, 4.0), (3.0, 7.0), (6.0, 12.0)])
def test_times_of_a_known_pulse(apex: float, rise: float, fall: float) -> None:
    t = np.arange(144.0)
    width = np.where(t < apex, rise, fall)
    trace = np.where(np.abs(t - apex) < width, np.cos(np.pi / 2 * (t - apex) / width) ** 2, 0)
    tenth = 2 / np.pi * np.arccos(np.sqrt(0.1))
    found = crossings(0.7 * trace)
    assert found.apex == pytest.approx(apex, abs=0.6)
    assert found.onset == pytest.approx(apex - tenth * rise, abs=0.5)
    assert found.offset == pytest.approx(apex + tenth * fall, abs=0.5)


def test_times_of_a_trapezium() -> None:
    # Straight flanks pass the smoothing unchanged, and a flat top nearly its height: half of it is known.
    trace = np.interp(np.arange(80), [10, 30, 36, 66], [0, 20, 20, 0])
    onset, apex, offset = crossings(trace, fraction=0.5)
    assert 30 <= apex <= 36
    assert onset == pytest.approx(20, abs=0.4)
    assert offset == pytest.approx(51, abs=0.4)
    assert offset - onset == pytest.approx(31, abs=0.6)


def test_times_at_the_ends() -> None:
    assert np.isnan(crossings(np.zeros(9))).all()
    assert np.isnan(crossings(-np.ones(9))).all()
    rising = crossings(np.arange(1.0, 10.0))
    assert rising.apex == rising.offset == 8
    assert crossings(np.ones(5) + 3, baseline=3.5) == (0, 0, 4)
    assert crossings([1.0]) == (0, 0, 0)


def test_project() -> None:
    trace = np.outer(np.sin(np.linspace(0, np.pi, 20)), [-3.0, 4.0]).astype(np.float32)
    assert project(trace).max() == pytest.approx(5, rel=0.01)
    np.testing.assert_allclose(project(trace), project(trace, (-3, 4)), atol=1e-5)
    np.testing.assert_allclose(project(trace, (10, 0)), trace[:, 0])
    np.testing.assert_array_equal(project(np.zeros((4, 2), np.float32)), np.zeros(4))


def test_settled_keeps_the_quick_and_drops_the_slow() -> None:
    t = np.arange(144.0)
    slow = 0.4 * np.sin(2 * np.pi * t / 140)
    quick = np.where(np.abs(t - 70) < 4, np.cos(np.pi / 8 * (t - 70)) ** 2, 0)
    found = settled((slow + quick)[:, None] * np.ones(2))
    assert found.shape == (144, 2)
    np.testing.assert_allclose(found[30:-30, 0], quick[30:-30], atol=0.15)  # Alone it is up to 0.4 off.
    assert settled(np.ones(1)) == 0
