"""The packaged generator: what each unit does, that nothing tears, and that flow finds what was planned."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.optimize import brentq

from equime import flow, traces
from equime.action_units import ActionUnit, parse
from equime.errors import EquimeError
from equime.generators import motion
from equime.generators.anchors import Kernel
from equime.generators.fields import (
    AMPLITUDE,
    Inverse,
    displacement,
    frame,
    sample,
    unfolded,
    unit_field,
)
from equime.generators.patterns import MIDLINE, MIRROR, PATTERNS
from equime.generators.scene import Scene, Still
from equime.generators.warp import Warp, draw_kernel
from equime.mesh import LANDMARKS, REGIONS, Face, region_mask
from equime.video import decode, encode

ROOT = Path(__file__).parents[1]
TABLE_UNITS = [1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 16, 17, 18, 20, 23, 24, 25, 26, 43]
KERNELS = [Kernel("gaussian", 0.85), Kernel("wendland", 1.15)]
SIZE = 512
QUIET = Warp(sensor_noise=0, sway=0, blinks=0)


@pytest.fixture(scope="module")
def still(portrait: np.ndarray) -> Still:
    return Still.of(portrait)


def twin(point: int) -> int:
    return point if point in MIDLINE else {**MIRROR, **{78: 308}}[point]


def moved(still: Still, field: np.ndarray, point: int, side: str) -> tuple[float, float]:
    """(lateral, up) of a mesh point, given by its number on the subject's right."""
    index = point if side == "R" else twin(point)
    x, y = sample(field, still.face.points[index : index + 1, :2])[0].tolist()
    return (-x if side == "R" else x), -y


# ------------------------------------------------------------------------------------------------ which way

UP, DOWN, OUT, IN, UP_OUT, DOWN_IN = (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, -1)
WAYS: dict[int, list[tuple[int, tuple[int, int]]]] = {
    1: [(107, UP), (55, UP)],
    2: [(63, UP), (70, UP)],
    4: [(107, DOWN_IN), (55, DOWN_IN)],
    5: [(159, UP)],
    6: [(118, UP), (101, UP)],
    7: [(145, UP)],
    9: [(129, UP), (98, UP)],
    10: [(37, UP), (39, UP)],
    12: [(61, UP_OUT)],
    14: [(61, IN)],
    15: [(61, DOWN)],
    16: [(84, DOWN), (181, DOWN)],
    17: [(208, UP), (201, UP)],
    18: [(61, IN), (40, IN), (91, IN)],
    20: [(61, OUT)],
    23: [(37, DOWN), (84, UP)],
    24: [(37, DOWN), (84, UP)],
    25: [(82, UP), (87, DOWN), (37, UP), (84, DOWN)],
    26: [(148, DOWN), (176, DOWN)],
    43: [(159, DOWN)],
}


def test_every_unit_of_the_public_tables_is_shown() -> None:
    assert set(WAYS) == set(TABLE_UNITS) and set(TABLE_UNITS) <= set(Warp.SHOWS)
    assert {au for au, most in Warp.SHOWS.items() if most != "E"} == {25, 26, 43}
    assert {Warp.SHOWS[au] for au in (25, 26, 43)} == {"C"}
    assert not {8, 13, 21, 22, 28, 31, 38, 39, 56, 61} & set(Warp.SHOWS)


@pytest.mark.parametrize("au", TABLE_UNITS)
def test_each_unit_moves_its_points_its_way_on_its_side_only(still: Still, au: int) -> None:
    for kernel, unit_side in itertools.product(KERNELS, "BRL"):
        field = unit_field(still.face, ActionUnit(au, unit_side, "C"), kernel, SIZE)
        for side in "RL":
            for point, way in WAYS[au]:
                got = moved(still, field, point, side)
                if side == unit_side or unit_side == "B":
                    # Half the shift where the sides meet in the middle of a lip or the chin.
                    assert np.hypot(*got) > 0.25 * AMPLITUDE["C"] * still.face.eye_distance, (unit_side, point, got)
                    for part, sign in zip(got, way, strict=True):
                        if sign:
                            assert part * sign > 0.4 * np.hypot(*got), (unit_side, point, got)
                        else:
                            assert abs(part) < 0.3 * np.hypot(*got), (unit_side, point, got)
                else:
                    here = np.hypot(*moved(still, field, point, unit_side))
                    assert np.hypot(*got) < 0.2 * here, (unit_side, point, got)


def test_lips_narrow_part_and_the_stretcher_lifts_no_corner(still: Still) -> None:
    def gap(field: np.ndarray, above: int, below: int) -> float:
        """By how many pixels the distance from one midline point to another grows."""
        return moved(still, field, above, "R")[1] - moved(still, field, below, "R")[1]

    for kernel in KERNELS:
        field = {au: unit_field(still.face, ActionUnit(au, "B", "C"), kernel, SIZE) for au in (20, 23, 24, 25, 26)}
        for au in (23, 24):
            assert gap(field[au], 0, 13) < -0.3 and gap(field[au], 14, 17) < -0.3
        assert gap(field[25], 13, 14) > 1 and gap(field[26], 13, 14) > 0.3
        assert moved(still, field[20], 61, "R")[1] <= 0
        assert moved(still, field[26], 152, "R")[1] < -3


def test_the_mirror_table_agrees_with_the_face(still: Still) -> None:
    named = {
        right: left
        for name in LANDMARKS
        if name.endswith("_R")
        for right, left in zip(LANDMARKS[name], LANDMARKS[name[:-1] + "L"], strict=True)
    }
    assert all(named[r] == left for r, left in MIRROR.items() if r in named)
    assert len(set(MIRROR.values())) == len(MIRROR) and not set(MIRROR) & set(MIRROR.values())
    across = still.face.points[:, 0] - still.face.points[168, 0]
    assert all(across[r] < 0 < across[left] for r, left in MIRROR.items())


def test_a_mirrored_face_with_mirrored_units_is_the_mirrored_field(still: Still) -> None:
    points = still.face.points.copy()
    both = {**MIRROR, 78: 308}
    swap = np.arange(468)
    swap[[*both, *both.values()]] = [*both.values(), *both]
    points = points[swap]
    points[:, 0] = SIZE - 1 - points[:, 0]
    face = Face(points, 1.0, 1.0)
    for au in TABLE_UNITS:
        unit = ActionUnit(au, "R", "C")
        here = unit_field(still.face, unit, KERNELS[0], SIZE)
        there = unit_field(face, unit.mirror(), KERNELS[0], SIZE)[:, ::-1] * np.array([-1, 1])
        assert np.abs(here - there).max() < 0.05, au


# ----------------------------------------------------------------------------------------------- how far


def test_intensities_are_ordinal_and_unevenly_spaced_in_eye_distances(still: Still) -> None:
    steps = np.diff(list(AMPLITUDE.values()))
    assert "".join(AMPLITUDE) == "ABCDE" and (steps > 0).all() and (np.diff(steps) > 0).all()
    strongest = {1: 107, 5: 159, 12: 61, 17: 199, 20: 61, 43: 159}
    for kernel, (au, point) in itertools.product(KERNELS, strongest.items()):
        for letter in AMPLITUDE if au != 43 else "ABC":
            field = unit_field(still.face, ActionUnit(au, "B", letter), kernel, SIZE)
            asked = AMPLITUDE[letter] * PATTERNS[au].reach * still.face.eye_distance
            assert np.hypot(*moved(still, field, point, "R")) == pytest.approx(asked, rel=0.12), (au, letter)


def test_other_regions_stay_where_they_are(still: Still) -> None:
    """On the fields themselves; that flow sees it in the coded clip is measured below."""
    # The lower lip goes with the jaw, the skin under the brow with a closing lid.
    allowed = {(26, "mouth"): 0.35, (43, "brow"): 0.25}
    for kernel, au in itertools.product(KERNELS, TABLE_UNITS):
        field = unit_field(still.face, ActionUnit(au, "B", "B"), kernel, SIZE)
        loud = {}
        for region in REGIONS:
            masks = (region_mask(still.face, region, side, (SIZE, SIZE)) for side in "RL")
            loud[region] = max(float(np.hypot(*np.moveaxis(field[m], 1, 0)).mean()) for m in masks)
        own = loud.pop(ActionUnit(au).region)
        for region, size in loud.items():
            assert size < allowed.get((au, region), 0.15) * own, (au, region, size, own)


# ------------------------------------------------------------------------------------------ without tearing


def determinants(field: np.ndarray, share: float) -> np.ndarray:
    """Jacobian determinants of p + share d(p), by central differences."""
    (xy, xx), (yy, yx) = (np.gradient(share * field[..., i].astype(np.float64)) for i in (0, 1))
    return (1 + xx) * (1 + yy) - xy * yx


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_no_pair_of_units_folds_the_image(still: Still, kernel: Kernel) -> None:
    fields = [unit_field(still.face, ActionUnit(au, "B", most), kernel, SIZE) for au, most in Warp.SHOWS.items()]
    pairs = list(itertools.combinations(fields, 2))
    assert len(pairs) == len(Warp.SHOWS) * (len(Warp.SHOWS) - 1) / 2
    for one, two in pairs:
        field = unfolded((one + two) * frame(SIZE))
        assert determinants(field, 1.0).min() > 0.05


def test_five_units_at_full_strength_fold_nothing_at_any_time(still: Still) -> None:
    rng = random.Random(4)
    for case in range(16):
        aus = rng.sample(sorted(Warp.SHOWS), 5)
        if case < 4:  # The worst: the two that press the lips together, lids against lids, corners against corners.
            aus = [[23, 24, 17, 18, 20], [5, 43, 7, 6, 4], [12, 15, 14, 20, 18], [1, 2, 4, 5, 43]][case]
        units = [ActionUnit(au, rng.choice("LRB"), Warp.SHOWS[au]) for au in aus]
        kernel = Kernel(rng.choice(["gaussian", "wendland"]), rng.uniform(0.85, 1.15))
        field = displacement(still.face, units, kernel, SIZE)
        for share in (0.25, 0.5, 0.75, 1.0):
            assert determinants(field, share).min() > 0.05, units
        assert np.abs(field[[0, -1]]).max() == np.abs(field[:, [0, -1]]).max() == 0
    with pytest.raises(AssertionError):  # The sum alone would fold: the test can fail.
        raw = sum(unit_field(still.face, ActionUnit(au, "B", "E"), kernel, SIZE) for au in (23, 24))
        assert determinants(raw, 1.0).min() > 0


def test_a_fold_is_only_ever_mended_by_shrinking(still: Still) -> None:
    fine = unit_field(still.face, ActionUnit(12, "B", "E"), KERNELS[0], SIZE)
    assert unfolded(fine) is fine
    strong = unfolded(fine * 20)
    ratio = strong[fine != 0] / fine[fine != 0]
    assert ratio.min() > 1 and np.ptp(ratio) < 1e-3 * ratio.max()


def test_the_inverse_inverts(still: Still) -> None:
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    grid = np.stack([x, y], -1)
    for text in ("43C+1E+7E+4E", "25C+26C+20E+12E+17E", "5E"):
        field = displacement(still.face, parse(text).units, KERNELS[1], SIZE)
        for share in (0.1, 1.0):
            at = Inverse(field)(share, grid)
            there = at + share * cv2.remap(field, at, None, cv2.INTER_LINEAR)
            assert np.abs(there - grid).max() < 0.06, (text, share)


# --------------------------------------------------------------------------------------------------- when


@pytest.mark.parametrize("times", [(1000, 1158, 1318), (500.3, 533.9, 610.2), (2000, 2200, 4000)])
def test_the_course_crosses_a_tenth_at_onset_and_offset_and_peaks_at_the_apex(times: tuple[float, ...]) -> None:
    onset, apex, offset = times
    names = set()
    for seed in range(40):
        course = motion.course(seed, onset, apex, offset)
        assert course(apex) == pytest.approx(1, abs=1e-12)
        for low, high, planned in ((course.start_ms, apex, onset), (apex, course.end_ms, offset)):
            found = brentq(lambda ms, course=course: course(ms) - 0.1, low, high)
            assert found == pytest.approx(planned, abs=1e-6)
        assert course(course.start_ms) == course(course.end_ms) == course(0) == 0
        assert onset - course.start_ms < 0.5 * (apex - onset) and course.end_ms - offset < 0.5 * (offset - apex)
        ms = np.linspace(course.start_ms, course.end_ms, 999)
        shares = np.array([course(t) for t in ms])
        assert (np.diff(shares[ms <= apex]) >= 0).all() and (np.diff(shares[ms >= apex]) <= 0).all()
        names |= {course.rise[0], course.fall[0]}
    assert names == {"raised cosine", "minimum jerk", "gamma"}


def test_a_dot_on_the_lip_corner_travels_the_course(still: Still) -> None:
    """Tracked in the frames by its centroid, with nothing of the generator's own."""
    corner = still.face.points[61, :2]
    y, x = np.mgrid[:SIZE, :SIZE]
    dot = 200 * np.exp(-0.5 * ((x - corner[0]) ** 2 + (y - corner[1]) ** 2) / 2**2)
    marked = Still(np.repeat(np.rint(dot).astype(np.uint8)[..., None], 3, 2), still.face)
    units, seed = parse("R12D").units, 5
    planned = displacement(still.face, units, draw_kernel(seed), SIZE)
    full = sample(planned, corner[None])[0]
    course = motion.course(seed, 400, 560, 780)
    seen = []
    for image in Warp(0, 0, 0, num_frames=30).frames(marked, units, 400, 560, 780, seed):
        light = image[..., 0].astype(np.float64)
        seen.append([(light * x).sum() / light.sum(), (light * y).sum() / light.sum()])
    path = np.array(seen) - seen[0]
    expected = np.array([course(i * 1000 / 24) for i in range(30)])[:, None] * full
    assert np.hypot(*full) > 4
    assert np.abs(path - expected).max() < 0.12


# ---------------------------------------------------------------------------------------------- idle motion


def test_a_blink_keeps_clear_of_the_expression_and_knows_no_unit() -> None:
    found = [motion.blink(seed, 0.5, 6000, 2400, 2800) for seed in range(400)]
    blinks = [b for b in found if b]
    assert 160 < len(blinks) < 240
    for b in blinks:
        end = b.start_ms + b.duration_ms
        assert 150 <= b.duration_ms <= 300 and b.start_ms >= 0 and end <= 6000
        assert end <= 2400 - 500 or b.start_ms >= 2800 + 500
        assert b(b.start_ms) == 0 == b(end + 1) and b(end) < 1e-12
        assert b(b.start_ms + b.duration_ms / 3) == pytest.approx(1)
    assert {b.start_ms < 2400 for b in blinks} == {True, False}
    assert motion.blink(1, 1.0, 900, 300, 600) is None


def test_a_blink_closes_both_eyes_and_opens_them(still: Still) -> None:
    seed, warp = 0, Warp(0, 0, blinks=1)
    drawn = motion.blink(seed, 1, 143 * 1000 / 24, None, None)
    assert drawn
    start = int(drawn.start_ms * 24 / 1000)
    frames = list(itertools.islice(warp.frames(still, [], None, None, None, seed), start - 1, start + 10))
    shut = int(np.argmax([np.abs(f.astype(int) - frames[0]).sum() for f in frames]))
    for upper, lower in ((159, 145), (386, 374)):
        x = round(float(still.face.points[[upper, lower], 0].mean()))
        top, bottom = (round(float(still.face.points[i, 1])) for i in (upper, lower))
        dark = [(f[top:bottom, x - 8 : x + 9].mean(2) < 70).mean() for f in (frames[0], frames[shut], frames[-1])]
        assert dark[1] < 0.5 * dark[0] and dark[2] == dark[0]
    assert np.array_equal(frames[0], frames[-1]) and 0 < shut < 7


def test_the_head_sways_a_little_and_the_border_not_at_all(still: Still) -> None:
    frames = list(Warp(0, 1.2, 0, num_frames=144).frames(still, [], None, None, None, 3))[::6]
    assert all(np.array_equal(f[[0, -1]], still.image[[0, -1]]) for f in frames)
    nose = region_mask(still.face, "nose", "B", (SIZE, SIZE))
    shifts = np.array([flow.region_flow(flow.dense(still.image, f), nose) for f in frames])
    assert 0.3 < np.abs(shifts).max() < 1.8
    assert np.abs(np.diff(shifts, axis=0)).max() < 0.8
    for seed in range(200):
        sway = motion.sway(seed, 1.2)
        assert max(abs(v) for ms in range(0, 6000, 250) for v in sway(ms)[:2]) <= 1.2


def test_grain_has_the_asked_level_in_luma_and_is_new_in_each_frame() -> None:
    flat = np.full((SIZE, SIZE, 3), 128, np.uint8)
    levels = []
    for seed in range(12):
        sensor = motion.Sensor(seed, SIZE, 1.5)
        one, two = (sensor(flat, i).astype(int) - 128 for i in (0, 1))
        assert (one[..., 0] == one[..., 1]).all() and (one[..., 0] == one[..., 2]).all()
        assert abs(one.mean()) < 0.02 and one.std() == pytest.approx(sensor.grey_levels, abs=0.05)
        assert abs(np.corrcoef(one[..., 0].ravel(), two[..., 0].ravel())[0, 1]) < 0.02
        levels.append(one.std())
    assert 1.15 < min(levels) < 1.5 < max(levels) < 1.85


# --------------------------------------------------------------------------- nothing but the units tells the units

TIMES = (420.0, 575.0, 760.0)


def test_other_units_change_nothing_but_their_own_pixels(still: Still) -> None:
    warp, seed = Warp(blinks=1, num_frames=60), 9
    clips = {
        text: np.stack(list(warp.frames(still, parse(text).units, *TIMES, seed))) for text in ("", "1D+2D", "R12E+17B")
    }
    course = motion.course(seed, *TIMES)
    resting = [i for i in range(60) if course(i * 1000 / 24) == 0]
    assert 40 < len(resting) < 55
    assert motion.blink(seed, 1, 59 * 1000 / 24, TIMES[0], TIMES[2])
    for text in ("1D+2D", "R12E+17B"):
        assert np.array_equal(clips[""][resting], clips[text][resting])
        still_there = np.abs(displacement(still.face, parse(text).units, draw_kernel(seed), SIZE)).max(2) == 0
        calm = cv2.erode(still_there.astype(np.uint8), np.ones((25, 25))).astype(bool)
        assert calm.mean() > 0.3 and np.array_equal(clips[""][:, calm], clips[text][:, calm])
        assert not np.array_equal(clips[""][14], clips[text][14])


def test_seeds_draw_both_kernel_families_and_many_widths() -> None:
    drawn = [draw_kernel(seed) for seed in range(200)]
    assert 70 < sum(k.family == "gaussian" for k in drawn) < 130
    widths = [k.width for k in drawn]
    assert 0.85 <= min(widths) < 0.87 and 1.13 < max(widths) <= 1.15
    half = np.linspace(0, 3, 301)
    for one, two in [(Kernel("gaussian"), Kernel("wendland"))]:
        assert abs(np.searchsorted(-one(half, 1), -0.5) - np.searchsorted(-two(half, 1), -0.5)) <= 1
        assert one(np.array(4.0), 1) > 0 == two(np.array(4.0), 1)


# ------------------------------------------------------------------------------------------------ reproducible

SCRIPT = """
import hashlib, json, sys
import cv2, skimage.data
from equime.action_units import parse
from equime.generators.scene import Still
from equime.generators.warp import Warp
from equime.video import encode
cv2.setNumThreads(int(sys.argv[1]))
warp = Warp(num_frames=20)
still = Still.of(skimage.data.astronaut())
out = {}
for text in sys.argv[2:]:
    frames = warp.frames(still, parse(text).units, 300, 420, 560, 11)
    out[text] = hashlib.sha256(encode(frames)).hexdigest()
print(json.dumps(out))
"""


def test_bytes_depend_on_no_process_order_or_thread(still: Still) -> None:
    texts = ["1B+2C", "L12C"]
    runs = []
    for threads, order in ((1, texts), (2, texts[::-1])):
        command = [sys.executable, "-c", SCRIPT, str(threads), *order]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        runs.append(json.loads(done.stdout))
    warp = Warp(num_frames=20)
    here = encode(warp.frames(still, parse("L12C").units, 300, 420, 560, 11))
    assert runs[0] == runs[1] and runs[0]["L12C"] == hashlib.sha256(here).hexdigest()
    other = encode(warp.frames(still, parse("L12C").units, 300, 420, 560, 12))
    assert other != here


def test_a_clip_is_144_frames_drawn_one_at_a_time(still: Still) -> None:
    frames = Warp().frames(still, parse("12B").units, 2000, 2160, 2400, seed=1)
    first = next(frames)
    assert first.shape == (512, 512, 3) and first.dtype == np.uint8
    assert sum(f.shape == first.shape and f.dtype == first.dtype for f in frames) == 143


def test_clips_are_the_frames_of_each_scene_in_order(still: Still) -> None:
    warp, texts = Warp(num_frames=20), ("1B+2C", "L12C")
    scenes = [Scene(text, still, parse(text).units, 300, 420, 560, seed=11) for text in texts]
    for text, (frames, note) in zip(texts, warp.clips(scenes), strict=True):
        assert np.array_equal(frames, list(warp.frames(still, parse(text).units, 300, 420, 560, 11))) and note == ""


def test_the_apex_is_the_quiet_clips_frame_at_the_apex(still: Still) -> None:
    units, apex = parse("1C+L12D").units, 12 * 1000 / 24
    frames = QUIET.frames(still, units, apex - 150, apex, apex + 200, seed=3)
    key = Warp().apex(still, units, seed=3)
    assert np.array_equal(key, next(itertools.islice(frames, 12, None)))
    assert not np.array_equal(key, still.image)
    with pytest.raises(EquimeError, match="unit 22 not"):
        Warp().apex(still, parse("22B").units, seed=3)


# ---------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("text", "times", "says"),
    [
        ("U12B", TIMES, "side L, R or B"),
        ("22B", TIMES, "unit 22 not"),
        ("26D", TIMES, "up to C"),
        ("12", TIMES, "up to E"),
        ("12B+L12C", TIMES, "once a side"),
        ("12B", (None, None, None), "onset, apex and offset"),
        ("12B", (500, 400, 600), "onset < apex < offset"),
        ("12B", (10, 200, 400), "rest at both ends"),
        ("12B", (5000, 5500, 5950), "rest at both ends"),
    ],
)
def test_what_cannot_be_shown_is_refused_before_a_frame_is_drawn(
    still: Still, text: str, times: tuple[float, float, float], says: str
) -> None:
    with pytest.raises(EquimeError, match=says) as error:
        Warp().frames(still, parse(text).units, *times, seed=1)
    assert "\n" not in str(error.value)


def test_no_face_is_said() -> None:
    with pytest.raises(EquimeError, match="no face"):
        Still.of(np.full((300, 300, 3), 90, np.uint8))


# -------------------------------------------------------------------------------- measured in the coded clip

SHORT = Warp(num_frames=26)
PARTS: dict[int, list[tuple[str, tuple[int, int]]]] = {
    1: [("brow_inner", UP)],
    2: [("brow_outer", UP)],
    4: [("brow_inner", DOWN_IN)],
    5: [("lid_upper", UP)],
    6: [("cheek", UP)],
    7: [("lid_lower", UP)],
    9: [("nose_wing", UP)],
    10: [("lip_upper", UP)],
    12: [("mouth_corner", UP_OUT)],
    14: [("mouth_corner", IN)],
    15: [("mouth_corner", DOWN)],
    16: [("lip_lower", DOWN)],
    17: [("chin", UP)],
    18: [("mouth_corner", IN)],
    20: [("mouth_corner", OUT)],
    23: [("lip_upper", DOWN), ("lip_lower", UP)],
    24: [("lip_upper", DOWN), ("lip_lower", UP)],
    25: [("lip_upper", UP), ("lip_lower", DOWN)],
    26: [("chin", DOWN)],
    43: [("lid_upper", DOWN)],
}
"""Where FACS says that a unit shows, and which way: masks of the mesh, nothing of the generator's own."""


def measure(still: Still, unit: ActionUnit, seed: int) -> dict[tuple[str, str], np.ndarray]:
    """Stabilised flow of the coded clip, by region and side: float32 (T, 2) of (lateral, up)."""
    data = encode(SHORT.frames(still, [unit], *TIMES, seed), crf=18)
    names = {*REGIONS, *(part for part, _ in PARTS[unit.au])}
    moved = traces.traces(decode(data), still.face, [(n, side) for n in sorted(names) for side in "RL"])
    return {key: trace * ([-1, -1] if key[1] == "R" else [1, -1]) for key, trace in moved.items()}


def check(still: Still, unit: ActionUnit, seed: int) -> None:
    moved = measure(still, unit, seed)
    sides = "RL" if unit.side == "B" else unit.side
    apex = TIMES[1] * 24 / 1000
    top = slice(round(apex) - 1, round(apex) + 2)
    own = {}
    for side in "RL":
        shown = [traces.project(moved[part, side], way) for part, way in PARTS[unit.au]]
        own[side] = np.mean(shown, 0)
        if side in sides:
            # The right way in each part, and further that way than any other.
            for (part, way), trace in zip(PARTS[unit.au], shown, strict=True):
                length = float(np.hypot(*moved[part, side][top].mean(0)))
                assert trace[top].mean() > 0.6 * length, (part, side, way)
    trace = np.mean([own[side] for side in sides], 0)
    peak = float(trace[top].mean())
    assert peak > 0.25
    assert abs(traces.crossings(trace).apex - apex) < 1, traces.crossings(trace)
    for side in set("RL") - set(sides):
        assert abs(own[side][top].mean()) < 0.3 * peak, (side, own[side][top])
    for region in set(REGIONS) - {unit.region}:
        for side in "RL":
            loud = float(np.hypot(*moved[region, side][top].mean(0)))
            assert loud < 0.5 * peak, (region, side, loud, peak)


def test_flow_finds_a_smile_where_and_when_it_was_planned(still: Still) -> None:
    check(still, ActionUnit(12, "L", "B"), 11)


@pytest.mark.slow
@pytest.mark.parametrize("side", "BRL")
@pytest.mark.parametrize("au", TABLE_UNITS)
def test_flow_finds_each_unit_where_and_when_it_was_planned(still: Still, au: int, side: str) -> None:
    check(still, ActionUnit(au, side, "B"), seed=100 + au)


def test_no_expression_no_movement(still: Still) -> None:
    data = encode(SHORT.frames(still, [], *TIMES, 11), crf=18)
    moved = traces.traces(decode(data), still.face, [(region, side) for region in REGIONS for side in "RL"])
    assert max(np.hypot(*trace.T).max() for trace in moved.values()) < 0.25
