"""Measures against what was done to real photos and meshes by other libraries; thresholds against the measures."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps
from scipy import ndimage
from scipy.spatial.transform import Rotation
from skimage import data

from equime.errors import EquimeError
from equime.face import FaceFinder, aligned_square, crop, one_face
from equime.mesh import LANDMARKS, Face
from equime.options import add_flags, from_flags, result_fields
from equime.screening.appearance import THUMBNAIL, Measures, at_rest, measure, outside, pose, sharpness
from equime.screening.duplicates import likeness, pairs_above
from equime.screening.thresholds import Screen, lower_bound, too_young, unfit


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder()


@pytest.fixture(scope="module")
def hopper(hopper: Image.Image) -> np.ndarray:
    return np.asarray(hopper)


@pytest.fixture(scope="module")
def at_ease(hopper: np.ndarray, finder: FaceFinder) -> Measures:
    return measure(hopper, finder)[0]


@pytest.fixture(scope="module")
def smiling(finder: FaceFinder) -> Measures:
    return measure(data.astronaut(), finder)[0]


@pytest.fixture(scope="module")
def mesh(hopper: np.ndarray, finder: FaceFinder) -> Face:
    return one_face(hopper, finder)[0]


def turned(face: Face, rotation: Rotation) -> Face:
    middle = face.points.mean(0)
    return Face((rotation.apply(face.points - middle) + middle).astype(np.float32), face.score, face.flag)


def straight(face: Face) -> Face:
    """The face looking into the camera, by scipy's own angles."""
    yaw, pitch, roll = pose(face)
    level = turned(face, Rotation.from_euler("z", -roll, degrees=True))
    return turned(level, Rotation.from_euler("yx", [yaw, pitch], degrees=True))


def test_a_straight_face_measures_straight(mesh: Face) -> None:
    assert np.abs(pose(straight(mesh))).max() < 0.01


@pytest.mark.parametrize("degrees", [-40, -10, 5, 25])
def test_turns_of_the_mesh_are_measured_as_they_were_made(mesh: Face, degrees: float) -> None:
    # scipy turns right-handed: about y (down), towards the left; about x (right), looking down; about z, clockwise.
    for axis, place, sign in (("y", 0, -1), ("x", 1, -1), ("z", 2, 1)):
        found = pose(turned(straight(mesh), Rotation.from_euler(axis, degrees, degrees=True)))
        expected = [0.0, 0.0, 0.0]
        expected[place] = sign * degrees
        assert list(found) == pytest.approx(expected, abs=0.05)


def test_nothing_at_rest_depends_on_the_turn(mesh: Face) -> None:
    turn = Rotation.from_euler("zyx", [12, -25, 9], degrees=True)
    assert at_rest(turned(mesh, turn)) == pytest.approx(at_rest(mesh), abs=2e-3)


@pytest.mark.parametrize("degrees", [-15, 10])
def test_a_turned_photo_has_that_roll_and_little_else(hopper: np.ndarray, finder: FaceFinder, degrees: float) -> None:
    plain = measure(hopper, finder)[0]
    found = measure(np.asarray(Image.fromarray(hopper).rotate(-degrees, Image.Resampling.BICUBIC)), finder)[0]
    assert found.roll - plain.roll == pytest.approx(degrees, abs=1.5)
    assert found.yaw == pytest.approx(plain.yaw, abs=4)
    assert found.pitch == pytest.approx(plain.pitch, abs=4)
    assert found.eye_distance == pytest.approx(plain.eye_distance, rel=0.03)
    assert found.smile == pytest.approx(plain.smile, abs=0.01)


def test_a_mirrored_photo_looks_the_other_way(hopper: np.ndarray, finder: FaceFinder) -> None:
    turned_head = np.asarray(Image.fromarray(hopper))[:, 20:]
    plain = measure(turned_head, finder)[0]
    found = measure(np.ascontiguousarray(turned_head[:, ::-1]), finder)[0]
    assert (found.yaw, found.roll) == pytest.approx((-plain.yaw, -plain.roll), abs=1.5)
    assert found.pitch == pytest.approx(plain.pitch, abs=4)
    assert (found.eye_distance, found.sharpness) == pytest.approx((plain.eye_distance, plain.sharpness), rel=0.05)


def test_lids_half_way_down_and_lips_apart(mesh: Face) -> None:
    face = straight(mesh)
    lower, upper, width = (face.points[i] for i in (14, 13, 291))
    mouth, _, eye = at_rest(face)
    points = face.points.copy()
    for side in ("R", "L"):
        for up, low in zip(LANDMARKS[f"lid_upper_{side}"], LANDMARKS[f"lid_lower_{side}"], strict=True):
            points[up] = (points[up] + points[low]) / 2
    points[14, 1] += 0.2 * (width[0] - face.points[61, 0])
    opened, _, closed = at_rest(Face(points, 1.0, 1.0))
    assert closed == pytest.approx(eye / 2, rel=0.01)
    assert opened - mouth == pytest.approx(0.2, abs=0.01)
    assert lower[1] > upper[1] - 1


def test_a_smile_an_open_mouth_and_glasses_are_seen(at_ease: Measures, smiling: Measures) -> None:
    assert smiling.smile > 0.05 > 0.02 > at_ease.smile
    assert smiling.mouth_open > 0.1 > 0.05 > at_ease.mouth_open
    assert (at_ease.glasses, smiling.glasses) == (True, False)
    assert (at_ease.faces, at_ease.note) == (1, "")


def test_sharpness_falls_with_every_blur_and_with_upscaling(hopper: np.ndarray, finder: FaceFinder) -> None:
    def of(image: np.ndarray) -> float:
        return measure(np.ascontiguousarray(image), finder)[0].sharpness

    blurred = [of(ndimage.gaussian_filter(hopper, (sigma, sigma, 0))) for sigma in (0, 1, 2, 3)]
    assert blurred == sorted(blurred, reverse=True)
    assert blurred[0] > Screen.min_sharpness > blurred[-1]
    photo = Image.fromarray(hopper)
    half = photo.resize((photo.width // 2, photo.height // 2), Image.Resampling.LANCZOS)
    upscaled = half.resize(photo.size, Image.Resampling.BICUBIC)
    assert of(np.asarray(upscaled)) < 0.9 * blurred[0]
    # The crop makes photos of any size alike: a larger copy of the same detail is no sharper.
    twice = photo.resize((photo.width * 2, photo.height * 2), Image.Resampling.BICUBIC)
    assert of(np.asarray(twice)) == pytest.approx(blurred[0], rel=0.12)


def test_noise_and_contrast_do_not_pass_for_sharpness(hopper: np.ndarray, finder: FaceFinder) -> None:
    face, _ = one_face(hopper, finder)
    square, aligned = crop(hopper, face)
    grey = np.asarray(Image.fromarray(square).convert("L"))
    soft = ndimage.gaussian_filter(grey, 4)
    noise = np.random.default_rng(0).normal(0, 3, grey.shape)
    noisy = np.clip(soft + noise, 0, 255).astype(np.uint8)
    assert sharpness(noisy, aligned) < Screen.min_sharpness < sharpness(grey, aligned)
    assert sharpness((grey // 2 + 60).astype(np.uint8), aligned) == pytest.approx(sharpness(grey, aligned), abs=0.01)
    assert sharpness(np.full_like(grey, 90), aligned) == pytest.approx(1, abs=1e-6)  # nothing to lose is no detail


def test_what_the_photo_does_not_hold_of_the_clip(hopper: np.ndarray, finder: FaceFinder) -> None:
    face, _ = one_face(hopper, finder)
    for top, left in ((0, 0), (90, 60), (0, 130)):
        moved = Face(face.points - np.float32([left, top, 0]), 1.0, 1.0)
        part = hopper[top:, left:]
        held = np.zeros((1800, 1800))
        held[600 + top : 1200, 600 + left : 600 + hopper.shape[1]] = 1
        matrix = aligned_square(face).to_image(256)
        y, x = np.mgrid[:256, :256]
        at = matrix @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
        filled = ndimage.map_coordinates(held, [at[1] + 600, at[0] + 600], order=0)
        assert outside(part.shape, moved) == pytest.approx(1 - filled.mean(), abs=0.01)


def test_dark_lenses_are_seen(hopper: np.ndarray, finder: FaceFinder, at_ease: Measures) -> None:
    face, _ = one_face(hopper, finder)
    dark = Image.fromarray(hopper)
    draw = ImageDraw.Draw(dark)
    for x, y in face.eyes:
        radius = 0.33 * face.eye_distance
        draw.ellipse([x - radius, y - radius * 0.7, x + radius, y + radius], fill=(15, 15, 15))
    worn = measure(np.asarray(dark), finder)[0]
    assert worn.eye_light < Screen.min_eye_light < at_ease.eye_light
    assert worn.glasses


# --- thresholds


def test_the_defaults_keep_a_portrait_at_rest_and_leave_out_a_smile(at_ease: Measures, smiling: Measures) -> None:
    assert unfit(at_ease, True, Screen()) is None
    reason = unfit(dataclasses.replace(smiling, eye_distance=100.0), False, Screen())
    assert reason is not None
    assert reason.startswith("mouth: ")
    assert unfit(smiling, False, Screen(screen=False)) is None


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"min_eye_distance": 300}, "size"),
        ({"max_yaw": 0.1}, "pose"),
        ({"max_pitch": 0.1}, "pose"),
        ({"max_roll": 0.1}, "pose"),
        ({"min_sharpness": 0.9}, "sharpness"),
        ({"max_mouth_open": 0.001}, "mouth"),
        ({"max_smile": 0}, "smile"),
        ({"min_eye_open": 0.9}, "eyes"),
        ({"min_eye_light": 3}, "eyes"),
        ({"max_outside": 0}, "room"),
        ({"glasses": False}, "glasses"),
    ],
)
def test_each_threshold_says_its_own_reason(at_ease: Measures, change: dict, kind: str) -> None:
    raised = dataclasses.replace(at_ease, smile=0.001, outside=0.01)  # the photo's own are under 0 and at 0
    reason = unfit(raised, raised.glasses, Screen(**change))
    assert reason is not None
    assert reason.partition(":")[0] == kind
    assert unfit(raised, raised.glasses, Screen(**change, screen=False)) is None


@pytest.mark.parametrize(
    ("found", "limits", "told"),
    [
        ({"eye_distance": 69.6}, {}, "size: 69.6 px between the eyes, at least 70"),
        ({"eye_distance": 69.98}, {}, "size: 69.98 px between the eyes, at least 70"),
        ({"eye_distance": 41.23}, {}, "size: 41 px between the eyes, at least 70"),
        ({"outside": 0.253}, {}, "room: 25.3 % of the clip outside the photo, at most 25 %"),
        ({"yaw": -20.04}, {}, "pose: yaw of -20.04 degrees, at most 20"),
        ({"roll": float("nan")}, {}, "pose: roll of nan degrees, at most 30"),
        ({"sharpness": 0.1196}, {}, "sharpness: 0.1196, at least 0.12"),
        ({"smile": 0.02502}, {}, "smile: corners lifted by 0.02502 of the eye distance, at most 0.025"),
        ({"yaw": 21.0}, {"max_yaw": 20.6}, "pose: yaw of 21 degrees, at most 20.6"),
    ],
)
def test_no_reason_contradicts_itself_by_rounding(at_ease: Measures, found: dict, limits: dict, told: str) -> None:
    assert unfit(dataclasses.replace(at_ease, **found), None, Screen(**limits)) == told


def test_an_age_just_under_the_least_is_not_rounded_up_to_it() -> None:
    assert too_young(20.94, None, True, Screen()) == "age: 20.9 years, at least 21"


def test_several_faces(at_ease: Measures) -> None:
    two = dataclasses.replace(at_ease, faces=2)
    assert str(unfit(two, None, Screen())).startswith("faces: 2")
    assert unfit(two, None, Screen(max_faces=2)) is None


@pytest.mark.parametrize(
    ("years", "band", "adult", "left_out"),
    [
        (20.9, "18-29", False, True),
        (20.9, "18-29", True, True),  # an estimate under the least age counts against the source's word
        (21.0, "18-29", False, False),
        (None, "18-29", False, True),
        (None, "18-29", True, False),
        (None, "30-39", False, False),
        (None, "60+", False, False),
        (None, None, False, True),
        (None, None, True, False),
    ],
)
def test_the_age_rule(years: float | None, band: str | None, adult: bool, left_out: bool) -> None:
    for options in (Screen(), Screen(screen=False)):
        reason = too_young(years, band, adult, options)
        assert (reason is not None) == left_out
        assert reason is None or reason.startswith("age: ")
    assert too_young(years, band, False, Screen(adults=True)) == too_young(years, band, True, Screen())


def test_bands_count_by_their_lower_bound() -> None:
    assert [lower_bound(band) for band in ("18-29", "30-39", "40-49", "50-59", "60+")] == [18, 30, 40, 50, 60]
    assert too_young(None, "30-39", False, Screen(min_age=35)) is not None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"tagger": "packaged", "second_tagger": "packaged"},
            "--second-tagger should differ from --tagger, got 'packaged' for both",
        ),
        ({"min_age": 5.0}, "--min-age should be 18 or more, got 5.0"),
        ({"min_age": float("nan")}, "--min-age should be 18 or more, got nan"),
        ({"max_similarity": 0}, "--max-similarity should be over 0 and up to 1, got 0"),
        ({"max_similarity": float("nan")}, "--max-similarity should be over 0 and up to 1, got nan"),
        ({"workers": 0}, "--workers should be 1 or more, got 0"),
        ({"max_faces": 0}, "--max-faces should be 1 or more, got 0"),
        ({"max_smile": -0.2}, "--max-smile should be 0 or more, got -0.2"),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: dict, message: str) -> None:
    with pytest.raises(EquimeError) as error:
        Screen(**wrong)
    assert str(error.value) == message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), -1.0])
def test_no_threshold_can_be_switched_off_by_a_number_that_is_none(value: float) -> None:
    thresholds = [field.name for field in dataclasses.fields(Screen) if field.type == "float"]
    assert len(thresholds) == 12
    for name in thresholds:
        with pytest.raises(EquimeError, match=f"^--{name.replace('_', '-')} should be .*, got {value}$"):
            Screen(**{name: value})


def test_every_field_is_a_flag() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, Screen)
    flags = ["--faces", "x", "--no-screen", "--max-yaw", "12", "--no-glasses", "--tagger", "packaged", "--adults"]
    assert from_flags(Screen, parser.parse_args(flags)) == Screen(
        faces=Path("x"), screen=False, max_yaw=12.0, glasses=False, tagger="packaged", adults=True
    )
    assert {"faces", "workers"}.isdisjoint(result_fields(Screen()))


# --- near-duplicates


@pytest.fixture(scope="module")
def thumbnails(hopper: np.ndarray, at_ease: Measures, smiling: Measures, finder: FaceFinder) -> np.ndarray:
    """Six real pictures of two people and 300 of noise, shuffled."""
    photo = Image.fromarray(hopper)
    again = [ImageOps.mirror(photo), photo.resize((photo.width * 2 // 3, photo.height * 2 // 3)), photo.convert("L")]
    copies = [measure(np.asarray(one.convert("RGB")), finder)[0] for one in again]
    real = [np.frombuffer(m.thumbnail, np.uint8).reshape(THUMBNAIL, THUMBNAIL) for m in (at_ease, *copies, smiling)]
    noise = np.random.default_rng(1).integers(0, 255, (300, THUMBNAIL, THUMBNAIL), dtype=np.uint8)
    both = np.concatenate([np.stack([*real, real[-1][:, ::-1]]), noise])
    return both[np.random.default_rng(2).permutation(len(both))]


def by_numpy(thumbnails: np.ndarray) -> np.ndarray:
    """All correlations by `np.corrcoef` of scipy's own detail."""
    count = len(thumbnails)
    images = np.concatenate([thumbnails, thumbnails[:, :, ::-1]]).astype(float)
    flat = (images - ndimage.gaussian_filter(images, (0, 1.5, 1.5), mode="mirror")).reshape(2 * count, -1)
    found = np.corrcoef(flat)
    both = np.maximum(found[:count, :count], found[:count, count:])
    np.fill_diagonal(both, -1)
    return both


def test_likeness_is_the_highest_correlation(thumbnails: np.ndarray) -> None:
    expected = by_numpy(thumbnails)
    assert likeness(thumbnails) == pytest.approx(expected.max(1), abs=5e-3)
    pairs = {(i, j) for i, j, _ in pairs_above(thumbnails, 0.87)}
    assert pairs == {(i, j) for i, j in np.argwhere(np.triu(expected, 1) >= 0.87).tolist()}
    assert len(pairs) == 4 * 3 // 2 + 1


@pytest.mark.parametrize("known", [0, 1, 200, 305, 306])
def test_growing_compares_to_the_same_end(thumbnails: np.ndarray, known: int) -> None:
    before = likeness(thumbnails[:known])
    assert likeness(thumbnails, before) == pytest.approx(likeness(thumbnails), abs=1e-6)


def test_many_blocks_equal_one(thumbnails: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, pairs = likeness(thumbnails), sorted(pairs_above(thumbnails, 0.5))
    monkeypatch.setattr("equime.screening.duplicates.BLOCK", 7)
    assert likeness(thumbnails) == pytest.approx(whole, abs=1e-6)
    assert [p[:2] for p in sorted(pairs_above(thumbnails, 0.5))] == [p[:2] for p in pairs]
    assert likeness(thumbnails[:0]).shape == (0,)
