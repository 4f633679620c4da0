"""Features against known displacements, closed forms and definitions; their cache and their extraction."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from make_clips import clip_bytes, index_of, picture
from make_workspace import make_tree, make_workspace
from PIL import Image
from scipy import ndimage

from equime.errors import EquimeError
from equime.face import FaceFinder, crop
from equime.mesh import region_mask
from equime.recognise.equime_clips import clips
from equime.recognise.features.artefacts import Artefacts
from equime.recognise.features.cache import Cache
from equime.recognise.features.clock import around, middles, nearest
from equime.recognise.features.extract import extract
from equime.recognise.features.face_crop import EYE_LINE, NO_FACE, SIDE, face_view
from equime.recognise.features.feature import Feature
from equime.recognise.features.flow_image import FlowImage
from equime.recognise.features.frame_stack import FrameStack
from equime.recognise.features.kinds import KINDS, from_description
from equime.recognise.features.moments import pairs_of
from equime.recognise.features.normalise import FIXED_SHARE, FIXED_STRAIN, normalised
from equime.recognise.features.packets import frame_bytes
from equime.recognise.features.single_frame import SingleFrame
from equime.recognise.readers.folders import FolderPictures

ROOT = Path(__file__).resolve().parents[1]
ROW: dict[str, Any] = {"fps": 24.0, "onset": 0, "apex": 1, "offset": 1, "dataset": "x", "sample_id": "x/1"}
PLAIN = {"crop": False, "align": "none", "normalise": "none", "pairs": 1}


@pytest.fixture(scope="module")
def square(portrait: np.ndarray) -> np.ndarray:
    """A face of 512x512, its eyes 143 px apart."""
    return crop(portrait, FaceFinder()(portrait)[0])[0]


def pictures(folder: Path, frames: Sequence[np.ndarray], first: int = 0) -> FolderPictures:
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames, first):
        Image.fromarray(frame).save(folder / f"img{number}.png", compress_level=1)
    return FolderPictures(folder)


def warped(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The picture after each of its points went where the 2x3 `matrix` says, by splines of third order."""
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    linear, shift = inverse[:2, :2][::-1, ::-1], inverse[:2, 2][::-1]  # scipy counts (row, column)
    planes = [ndimage.affine_transform(image[..., k].astype(float), linear, shift, mode="nearest") for k in range(3)]
    return np.clip(np.rint(np.stack(planes, -1)), 0, 255).astype(np.uint8)


def about_middle(linear: Sequence[Sequence[float]], shift: Sequence[float] = (0, 0), side: int = 512) -> np.ndarray:
    middle = np.full(2, (side - 1) / 2)
    return np.column_stack([np.array(linear), middle - np.array(linear) @ middle + shift])


# --- flow images


@pytest.mark.parametrize("method", ["dis", "farneback", "tvl1"])
@pytest.mark.parametrize("shift", [(0.9, -0.5), (-3.0, 4.0)])
def test_a_known_shift(tmp_path: Path, square: np.ndarray, method: str, shift: tuple[float, float]) -> None:
    moved = warped(square, about_middle(np.eye(2), shift))
    seen = pictures(tmp_path / "f", [square, moved])
    u, v, _ = FlowImage(method=method, side=192, **PLAIN)(ROW, seen)  # type: ignore[arg-type]
    scale, inner = 192 / 512, (slice(6, 22), slice(6, 22))
    error = np.hypot(np.median(u[inner]) - scale * shift[0], np.median(v[inner]) - scale * shift[1])
    assert error < 0.12 * scale * np.hypot(*shift)


@pytest.mark.parametrize(
    ("formula", "linear", "expected"),
    [
        ("half", [[1.03, 0], [0, 1.03]], 0.03 * np.sqrt(2)),
        ("half", [[1, 0.08], [0, 1]], 0.08 / np.sqrt(2)),
        ("quarter", [[1, 0.08], [0, 1]], 0.08 / 2),
        ("sobel", [[1, 0.08], [0, 1]], 0.08 / np.sqrt(2)),
    ],
)
def test_strain_of_an_affine_field(
    tmp_path: Path, square: np.ndarray, formula: str, linear: list[list[float]], expected: float
) -> None:
    seen = pictures(tmp_path / "f", [square, warped(square, about_middle(linear))])
    strain = FlowImage(strain=formula, size=14, **PLAIN)(ROW, seen)[2]  # type: ignore[arg-type]
    np.testing.assert_allclose(np.median(strain[3:11, 3:11]), expected, rtol=0.15)


def test_what_the_head_does_is_taken_out(tmp_path: Path, square: np.ndarray) -> None:
    turn, scale = np.radians(0.6), 1.006
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    seen = pictures(tmp_path / "f", [square, warped(square, about_middle(linear, (2.0, -1.5)))])
    still, swayed = (
        np.abs(FlowImage(align=align, normalise="none", pairs=1)(ROW, seen)[:2, 5:23, 5:23]).mean()  # type: ignore[arg-type]
        for align in ("similarity", "none")
    )
    assert swayed > 0.8  # pixels of the view
    assert still < 0.12 * swayed


def raised(image: np.ndarray, point: int, rise: float) -> np.ndarray:
    """The face with the skin around a mesh point moved up by `rise` pixels: a bell of 0.15 eye distances."""
    face = FaceFinder()(image)[0]
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    px, py = face.points[point, :2]
    bell = np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * (0.15 * face.eye_distance) ** 2))
    return cv2.remap(image, x, y + np.float32(rise * bell), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)


def test_a_lip_corner_shows_where_it_is(tmp_path: Path, square: np.ndarray) -> None:
    face = FaceFinder()(square)[0]
    u, v, strain = FlowImage(pairs=1)(ROW, pictures(tmp_path / "f", [square, raised(square, 61, 4)]))
    row, column = np.unravel_index(np.argmin(v), v.shape)
    to_view = np.linalg.inv(np.vstack([face_view(square, FaceFinder()).square.to_image(28), [0, 0, 1]]))
    where = to_view @ [*face.points[61, :2], 1]
    assert np.hypot(column - where[0], row - where[1]) < 2
    assert -v.min() == pytest.approx(4 / face.eye_distance / FIXED_SHARE, rel=0.3)
    assert v.min() < 3 * u.min()
    assert strain[row - 4 : row + 5, column - 4 : column + 5].mean() > 4 * strain[:, 20:].mean()


def test_pairs_beside_the_moments_raise_the_signal(tmp_path: Path, square: np.ndarray) -> None:
    draw = np.random.default_rng(0)
    moved = warped(square, about_middle([[1.002, 0], [0, 1.002]]))  # at most half a pixel
    frames = [square] * 3 + [moved] * 3
    noisy = [np.clip(np.rint(f + draw.normal(0, 3, f.shape)), 0, 255).astype(np.uint8) for f in frames]
    seen, row = pictures(tmp_path / "f", noisy), ROW | {"onset": 2, "apex": 4, "offset": 5}
    side = np.linspace(-0.002 * 112, 0.002 * 112, 28)
    truth = np.stack(np.broadcast_arrays(side[None], side[:, None]))
    error = [
        np.linalg.norm(FlowImage(**(PLAIN | {"pairs": n}))(row, seen)[:2] - truth)
        for n in (1, 3)  # type: ignore[arg-type]
    ]
    assert error[1] < 0.9 * error[0]


def test_pairs() -> None:
    numbers = [3, 4, 6, 7, 9, 10]
    assert pairs_of(numbers, 6, 9, 1) == [(6, 9)]
    assert pairs_of(numbers, 6, 9, 5) == [(6, 9), (4, 7), (3, 10), (3, 7), (3, 10)]
    assert pairs_of([1, 2], 1, 2, 3) == [(1, 2)] * 3


def test_normalisations_by_definition() -> None:
    image = np.random.default_rng(0).normal(0, [[[1.0]], [[2.0]], [[0.1]]], (3, 28, 28)).astype(np.float32)
    np.testing.assert_array_equal(normalised(image, "none", 70.0), image)
    fixed = normalised(image, "fixed", 70.0)
    np.testing.assert_allclose(fixed[:2], image[:2] / (FIXED_SHARE * 70), rtol=1e-6)
    np.testing.assert_allclose(fixed[2], image[2] / FIXED_STRAIN, rtol=1e-6)
    ranged = normalised(image, "minmax", 70.0)
    assert ranged.min((1, 2)).tolist() == [0] * 3
    assert ranged.max((1, 2)).tolist() == [1] * 3
    clipped = normalised(image, "p99", 70.0)
    for channel, plain in zip(clipped, image, strict=True):
        top = np.sort(np.abs(plain).ravel())[-9:]  # the 99th percentile of 784 lies among these
        inside = np.abs(plain) < top[0]
        share = channel[inside] / plain[inside]
        np.testing.assert_allclose(share, share[0], rtol=1e-5)
        assert 1 / top[-1] <= share[0] <= 1 / top[0]
        assert np.abs(channel).max() == 1
    for how in ("minmax", "p99", "fixed"):
        assert not normalised(np.zeros((3, 4, 4), np.float32), how, 70.0).any()


def test_an_apex_that_nobody_coded_is_found(tmp_path: Path, square: np.ndarray) -> None:
    rises = [0, 0.2, 0.6, 1.0, 0.7, 0.3, 0]
    y, x = np.mgrid[:512, :512].astype(np.float32)
    mask = region_mask(FaceFinder()(square)[0], "mouth", "B", square.shape).astype(np.float32)
    bell = cv2.GaussianBlur(mask, (0, 0), 10)
    frames = [cv2.remap(square, x, y + 4 * rise * bell, cv2.INTER_CUBIC) for rise in rises]
    seen = pictures(tmp_path / "f", frames, first=20)
    row = ROW | {"onset": 20, "apex": None, "offset": 26}
    with pytest.raises(EquimeError, match="apex='largest'"):
        FlowImage()(row, seen)
    known = FlowImage()(row | {"apex": 23}, seen)
    for apex in ("largest", "coded-or-largest"):
        np.testing.assert_array_equal(FlowImage(apex=apex)(row, seen), known)  # type: ignore[arg-type]
    assert not np.array_equal(FlowImage(apex="coded-or-largest")(row | {"apex": 21}, seen), known)
    np.testing.assert_array_equal(FlowImage(apex="largest")(row | {"apex": 21}, seen), known)
    np.testing.assert_array_equal(FlowImage(onset="first")(row | {"onset": None, "apex": 23}, seen), known)


def test_times_measured_in_the_pictures(tmp_path: Path, square: np.ndarray) -> None:
    image = cv2.resize(square, (256, 256), interpolation=cv2.INTER_AREA)
    rises = [3 * np.sin(np.pi * k / 8) ** 2 if 0 <= k <= 8 else 0.0 for k in range(-24, 32)]
    draw = np.random.default_rng(0)
    clean = [raised(image, 61, rise) for rise in rises]
    frames = [np.clip(np.rint(f + draw.normal(0, 1, f.shape)), 0, 255).astype(np.uint8) for f in clean]
    seen = pictures(tmp_path / "f", frames, first=100)
    measured = FlowImage(apex="measured")(ROW | {"onset": None, "apex": None, "offset": None}, seen)
    planned = FlowImage()(ROW | {"onset": 125, "apex": 128, "offset": 131}, seen)
    assert np.corrcoef(measured[:2].ravel(), planned[:2].ravel())[0, 1] > 0.9
    with pytest.raises(EquimeError, match="nothing moved"):
        FlowImage(apex="measured")(ROW, pictures(tmp_path / "still", [image] * 30))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "lucas"}, "method to be one of dis, farneback"),
        ({"normalise": "zscore"}, "normalise to be one of"),
        ({"size": 300}, "size to be at least 1 and at most 224"),
        ({"side": 8}, "side to be at least 32"),
        ({"pairs": 0}, "pairs to be at least 1"),
        ({"method": "raft"}, "raft_weights"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], said: str) -> None:
    with pytest.raises(EquimeError, match=said):
        FlowImage(**options)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"onset": None}, "no onset is coded"),
        ({"apex": None}, "no apex is coded"),
        ({"onset": 1}, "apex after the onset"),
        ({"apex": 7}, "apex frame 7 has no picture; there are 0 to 1"),
    ],
)
def test_rows_without_the_times(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    with pytest.raises(EquimeError, match=said):
        FlowImage()(ROW | row, pictures(tmp_path / "f", [picture(n) for n in range(2)]))


def test_raft_is_torchvision_s(tmp_path: Path, square: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    models = pytest.importorskip("torchvision.models.optical_flow")
    safetensors = pytest.importorskip("safetensors.torch")
    torch.manual_seed(0)
    model = models.raft_small(weights=None).eval()
    path = tmp_path / "raft.safetensors"
    safetensors.save_file(model.state_dict(), path)
    moved = warped(square, about_middle(np.eye(2), (4.0, 0.0)))
    seen = pictures(tmp_path / "f", [square, moved])
    feature = FlowImage(method="raft", raft_weights=path, side=128, size=32, **PLAIN)  # type: ignore[arg-type]
    made = feature(ROW, seen)
    a, b = (torch.tensor(cv2.resize(p, (128, 128), interpolation=cv2.INTER_AREA)) for p in (square, moved))
    with torch.inference_mode():
        flow = model(*[p.permute(2, 0, 1)[None] / 127.5 - 1 for p in (a, b)])[-1]
        pooled = torch.nn.functional.avg_pool2d(flow, 4)[0].numpy()
    np.testing.assert_allclose(made[:2], pooled, atol=0.02 * np.abs(pooled).max())
    np.testing.assert_array_equal(deepcopy(feature)(ROW, seen), made)
    assert feature.describe()["raft"] == "small"
    assert len(feature.describe()["raft_sha256"]) == 64
    assert from_description(feature.describe(), path) == feature
    with pytest.raises(EquimeError, match=r"RAFT's flow: give its weights .* by --raft-weights"):
        from_description(feature.describe())
    safetensors.save_file(models.raft_small(weights=None).state_dict(), tmp_path / "untrained.safetensors")
    with pytest.raises(EquimeError, match=r"expected RAFT's weights of sha256 .*, got others: .*untrained.safetensors"):
        from_description(feature.describe(), tmp_path / "untrained.safetensors")
    with pytest.raises(EquimeError, match="no flow of RAFT"):
        from_description(FlowImage().describe(), path)
    safetensors.save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    for name, said in (("other.safetensors", "RAFT, got"), ("none.safetensors", "no such file")):
        with pytest.raises(EquimeError, match=said):
            replace(feature, raft_weights=tmp_path / name).load()


# --- the face's square


def test_eyes_lie_where_they_are_said_to(square: np.ndarray) -> None:
    finder = FaceFinder()
    turned = warped(square, about_middle([[0.98, -0.17], [0.17, 0.98]], (20, 10)))
    view = face_view(turned, finder)
    seen = finder(view(turned, 300))[0]
    assert abs(seen.roll) < 1.5
    assert seen.eye_distance == pytest.approx(300 / SIDE, rel=0.03)
    np.testing.assert_allclose(seen.eyes.mean(0), [149.5, EYE_LINE * 300 - 0.5], atol=4)
    inside = view.face_in(300)
    assert inside is not None
    np.testing.assert_allclose(inside.eyes, seen.eyes, atol=4)
    assert view.eye_distance(300) == pytest.approx(inside.eye_distance, rel=1e-4)


def test_all_frames_show_one_square(tmp_path: Path, square: np.ndarray) -> None:
    frames = [square, warped(square, about_middle(np.eye(2), (30, 0)))]
    stack = FrameStack(frames=2, size=96, grey=True, around="all")(ROW, pictures(tmp_path / "f", frames))
    view = face_view(square, FaceFinder())
    pixels = 30 * 96 / view.square.side
    back = ndimage.shift(stack[0, 1], (0, -pixels), order=1)
    assert (
        np.abs(back - stack[0, 0])[10:-10, 10:70].mean()
        < 0.02
        < np.abs(stack[0, 1] - stack[0, 0])[10:-10, 10:70].mean()
    )


def test_no_face_takes_the_whole_picture_and_says_so(tmp_path: Path) -> None:
    seen = pictures(tmp_path / "f", [picture(n, (60, 90)) for n in range(2)])
    made = FrameStack(frames=2, size=90, around="all").made(ROW, seen)
    assert made.note == NO_FACE
    np.testing.assert_allclose(made.values[:, 1, 15:75], np.moveaxis(picture(1, (60, 90)), 2, 0) / 255, atol=1e-6)


# --- frames


@pytest.mark.parametrize("fps", [200, 100, 60, 30])
def test_resampling_takes_the_frame_nearest_in_time(fps: int) -> None:
    numbers = list(range(46, 46 + 3 * fps))
    places = around(numbers, 46 + 1.5 * fps, 16, fps / 24)
    found = nearest(numbers, places)
    moments = [1500 + (k - 7) * 1000 / 24 for k in range(16)]  # milliseconds from the first frame
    for number, moment in zip(found, moments, strict=True):
        away = [abs((n - 46) * 1000 / fps - moment) for n in numbers]
        assert abs((number - 46) * 1000 / fps - moment) <= min(away) + 1e-9
        assert abs((number - 46) * 1000 / fps - moment) <= 500 / fps + 1e-9


def test_frames_near_the_ends_of_a_sample() -> None:
    assert nearest(range(30), around(range(30), 2, 8, 1)) == list(range(8))
    assert nearest(range(30), around(range(30), 29, 8, 1)) == list(range(22, 30))
    assert nearest(range(30), around(range(30), 15, 8, 1)) == list(range(12, 20))
    assert nearest([5, 6, 7], around([5, 6, 7], 6, 5, 1)) == [5, 5, 6, 7, 7]
    assert nearest([4], around([4], 4, 3, 8.3)) == [4, 4, 4]
    assert nearest([1, 2, 6, 7], np.array([3.9, 4.0, 4.1])) == [2, 2, 6]  # a gap; the earlier of two


def test_spread_frames_are_those_of_clips() -> None:
    from equime.clip import uniform

    for count, of in ((16, 144), (8, 9), (5, 5)):
        assert nearest(range(of), middles(range(of), count)) == uniform(of, count)


def shown(stack: np.ndarray) -> list[int]:
    return [index_of(np.rint(np.moveaxis(frame, 0, 2) * 255).astype(np.uint8)) for frame in np.moveaxis(stack, 1, 0)]


def test_stacks_hold_the_frames_they_say(tmp_path: Path) -> None:
    seen = pictures(tmp_path / "f", [picture(n, 32) for n in range(101)], first=300)  # half a second at 200
    row = ROW | {"fps": 200.0, "onset": 320, "apex": 350, "offset": 380}
    plain = {"size": 32, "crop": False}
    assert shown(FrameStack(frames=5, **plain)(row, seen)) == [33, 42, 50, 58, 67]  # type: ignore[arg-type]
    assert shown(FrameStack(frames=5, fps=0, **plain)(row, seen)) == [48, 49, 50, 51, 52]  # type: ignore[arg-type]
    assert shown(FrameStack(frames=5, fps=100, **plain)(row, seen)) == [46, 48, 50, 52, 54]  # type: ignore[arg-type]
    assert shown(FrameStack(frames=4, around="expression", **plain)(row, seen)) == [20, 40, 60, 80]  # type: ignore[arg-type]
    assert shown(FrameStack(frames=3, around="all", **plain)(row, seen)) == [16, 50, 84]  # type: ignore[arg-type]
    rise = {"around": "onset-apex", **plain}
    assert shown(FrameStack(frames=2, **rise)(row, seen)) == [20, 50]  # type: ignore[arg-type]
    assert shown(FrameStack(frames=4, **rise)(row, seen)) == [20, 30, 40, 50]  # type: ignore[arg-type]
    with pytest.raises(EquimeError, match="apex after the onset, got onset = 320, apex = 320"):
        FrameStack(frames=2, around="onset-apex")(row | {"apex": 320}, seen)
    stack = FrameStack(frames=5, **plain)(row, seen)  # type: ignore[arg-type]
    less = FrameStack(frames=5, difference=True, **plain)(row, seen)  # type: ignore[arg-type]
    onset = np.moveaxis(picture(20, 32), 2, 0)[:, None] / 255
    np.testing.assert_allclose(less, stack - onset, atol=1e-6)
    single = FrameStack(frames=5, grey=True, **plain)(row, seen)  # type: ignore[arg-type]
    np.testing.assert_allclose(single[0], np.tensordot([0.299, 0.587, 0.114], stack, 1), atol=1 / 255)
    with pytest.raises(EquimeError, match="no apex is coded"):
        FrameStack()(row | {"apex": None}, seen)


@pytest.mark.parametrize(("which", "number"), [("first", 0), ("onset", 2), ("apex", 5)])
def test_a_single_frame(tmp_path: Path, which: str, number: int) -> None:
    seen = pictures(tmp_path / "f", [picture(n, 32) for n in range(8)])
    row = ROW | {"onset": 2, "apex": 5}
    one = SingleFrame(which, size=32, crop=False)(row, seen)  # type: ignore[arg-type]
    np.testing.assert_allclose(one, np.moveaxis(picture(number, 32), 2, 0) / 255, atol=1e-6)
    often = SingleFrame(which, size=32, crop=False, frames=3)(row, seen)  # type: ignore[arg-type]
    assert often.shape == SingleFrame(which, size=32, frames=3).shape  # type: ignore[arg-type]
    np.testing.assert_array_equal(often, np.stack([one] * 3, 1))


# --- artefacts


@pytest.mark.parametrize("options", [{"bf": "3"}, {"bf": "0"}, {"preset": "medium", "bf": "7"}])
def test_bytes_of_frames_are_the_packets(options: dict[str, str]) -> None:
    data = clip_bytes(40, 64, **options)
    with av.open(io.BytesIO(data)) as container:
        packets = sorted((p for p in container.demux(video=0) if p.size), key=lambda p: p.pts)
    assert frame_bytes(data).tolist() == [p.size for p in packets]
    for broken in (b"", data[:40], b"\0" * 64, clip_bytes(4, container="matroska")):
        with pytest.raises(EquimeError, match="MP4"):
            frame_bytes(broken)


def test_artefacts_see_the_sway_and_not_the_expression(tmp_path: Path, square: np.ndarray) -> None:
    image = cv2.resize(square, (256, 256), interpolation=cv2.INTER_AREA)
    sway = 4 * np.sin(np.arange(48) / 48 * 4 * np.pi)
    shifts = (np.array([[1, 0, dx], [0, 1, 0]]) for dx in sway)
    frames = [
        cv2.warpAffine(image, s, (256, 256), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE) for s in shifts
    ]
    row = ROW | {"onset": 20, "apex": 23, "offset": 26}
    feature = Artefacts()
    found = dict(zip(feature.columns, feature(row, pictures(tmp_path / "a", frames)).tolist(), strict=True))
    eyes = FaceFinder()(image)[0].eye_distance
    assert found["sway_x_range"] == pytest.approx(8 / eyes, rel=0.15)
    assert found["sway_x_sd"] == pytest.approx(4 / np.sqrt(2) / eyes, rel=0.2)
    assert found["sway_y_range"] < 0.2 * found["sway_x_range"]
    assert found["blinks"] == 0
    assert found["file_bytes"] == 0  # pictures have no packets
    for n in range(20, 27):
        frames[n] = raised(frames[n], 61, 4)
    other = dict(zip(feature.columns, feature(row, pictures(tmp_path / "b", frames)).tolist(), strict=True))
    same = [name for name in feature.columns if not name.startswith("sway")]
    assert {name: other[name] for name in same} == {name: found[name] for name in same}
    looking = Artefacts(during=True)
    both = [looking(row, FolderPictures(tmp_path / name)) for name in "ab"]
    assert np.abs(both[0] - both[1])[5:21].max() > 0.01


def test_blocks_are_seen() -> None:
    from equime.recognise.features.artefacts import _blockiness

    draw = np.random.default_rng(0)
    smooth = np.clip(cv2.GaussianBlur(draw.normal(128, 300, (64, 64)), (0, 0), 4), 0, 255).astype(np.uint8)
    blocky = np.kron(smooth[::8, ::8], np.ones((8, 8), np.uint8))
    assert _blockiness(smooth) == pytest.approx(1, abs=0.15)
    assert _blockiness(blocky) > 20


# --- what is recorded


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_is_recorded(kind: str) -> None:
    feature = KINDS[kind]()
    said = feature.describe()
    assert json.loads(json.dumps(said)) == said
    fields = {name for name in feature.__dataclass_fields__ if name != "raft_weights"}
    assert fields <= set(said)
    assert said["name"] == kind == feature.name
    assert deepcopy(feature) == feature
    assert from_description(json.loads(json.dumps(said))) == feature


# --- cache and extraction


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A workspace of 12 clips of 64x64, of three subjects."""
    return make_workspace(tmp_path / "ws", size=64, emotions=["happiness", "anger", "fear", "surprise"]).path


SMALL = FlowImage(side=64, size=16, crop=False, pairs=1)


def kept(cache: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in cache.rglob("*") if p.is_file()}


def test_a_second_run_reads(small: Path, tmp_path: Path) -> None:
    samples, cache = clips(small), tmp_path / "cache"
    first = extract(samples, SMALL, cache=cache)
    assert first.values.shape == (12, 3, 16, 16)
    assert first.kept.tolist() == list(range(12))
    np.testing.assert_array_equal(first.values, extract(samples, SMALL).values)
    files = kept(cache)
    assert len(files) == 12
    path = next(cache.rglob("*.npz"))
    with np.load(path) as before:
        np.savez(path, values=before["values"] * 0 + 7, note=before["note"])
    again = extract(samples, SMALL, cache=cache).values
    assert (again == 7).all((1, 2, 3)).sum() == 1  # what was kept is what comes
    assert set(kept(cache)) == set(files)


def test_what_decides_makes_new_files(small: Path, tmp_path: Path) -> None:
    samples, cache = clips(small), tmp_path / "cache"
    extract(samples, SMALL, cache=cache)
    for number, feature in enumerate((replace(SMALL, normalise="none"), replace(SMALL, onset="first")), 2):
        found = extract(samples, feature, cache=cache)
        np.testing.assert_array_equal(found.values, extract(samples, feature).values)
        assert len(kept(cache)) == number * 12
    later = samples.table.set_column(
        samples.table.column_names.index("apex"), "apex", [[value + 1 for value in samples.table["apex"].to_pylist()]]
    )
    extract(replace(samples, table=later.cast(samples.table.schema)), SMALL, cache=cache)
    assert len(kept(cache)) == 4 * 12


def test_a_changed_byte_of_a_picture_makes_a_new_file(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", subjects=1, size=64, metadata=False)
    seen, row = FolderPictures(tmp_path / "f"), ROW
    pictures(tmp_path / "f", [picture(n, 64) for n in range(2)])
    cache = Cache(tmp_path / "cache", SMALL)
    before = cache.key(row, seen)
    Image.fromarray(picture(1, 64) ^ np.uint8(1)).save(tmp_path / "f" / "img1.png")
    assert cache.key(row, FolderPictures(tmp_path / "f")) != before
    first = extract(clips(tree), SingleFrame(size=16, crop=False), cache=cache.folder)
    path = tree / "anger" / "f_100_00.mp4"
    path.write_bytes(clip_bytes(8, 64, seed=99))
    second = extract(clips(tree), SingleFrame(size=16, crop=False), cache=cache.folder)
    assert len(kept(cache.folder)) == 6
    assert (first.values != second.values).any((1, 2, 3)).sum() == 1


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "other", "text"])
def test_a_damaged_file_is_made_again(small: Path, tmp_path: Path, damage: str) -> None:
    samples, cache = clips(small).take([0, 1]), tmp_path / "cache"
    extract(samples, SMALL, cache=cache)
    whole = kept(cache)
    path = next(cache.rglob("*.npz"))
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0x10
    other = io.BytesIO()
    np.savez(other, values=np.zeros((3, 5, 5), np.float32), note=np.array(""))
    wrong = {"empty": b"", "cut": data[:-200], "flipped": data, "other": other.getvalue(), "text": b"not an archive"}
    path.write_bytes(wrong[damage])
    np.testing.assert_array_equal(extract(samples, SMALL, cache=cache).values, extract(samples, SMALL).values)
    assert kept(cache) == whole


def test_two_workers_give_the_same_bits(small: Path, tmp_path: Path) -> None:
    samples = clips(small).take(range(5))
    feature = replace(SMALL, crop=True, align="similarity", pairs=3)
    one = extract(samples, feature)
    two = extract(samples, feature, cache=tmp_path / "cache", workers=2)
    np.testing.assert_array_equal(one.values, two.values)
    assert one.notes == two.notes
    assert one.notes[0] == f"{samples.table['sample_id'][0]}: {NO_FACE}"
    third = extract(samples, feature, cache=tmp_path / "cache")
    np.testing.assert_array_equal(third.values, one.values)
    assert third.notes == one.notes


def test_values_do_not_depend_on_opencv_s_threads(tmp_path: Path, square: np.ndarray) -> None:
    seen = pictures(tmp_path / "f", [square, warped(square, about_middle(np.eye(2), (3, 1)))])
    before = cv2.getNumThreads()
    try:
        found = []
        for threads in (1, 2, 5):
            cv2.setNumThreads(threads)
            found.append(FlowImage(pairs=1)(ROW, seen))
            assert cv2.getNumThreads() == threads
    finally:
        cv2.setNumThreads(before)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_bad_clips_are_one_line_each_and_the_others_go_on(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", subjects=2, size=64)
    (tree / "anger" / "f_100_00.mp4").write_bytes(b"")
    half = tree / "fear" / "f_100_00.mp4"
    half.write_bytes(half.read_bytes()[:1500])
    samples = clips(tree)
    (tree / "sadness" / "m_101_00.mp4").unlink()
    for workers in (1, 2):
        found = extract(samples, SingleFrame(size=8, crop=False), workers=workers)
        assert len(found.values) == 7
        assert sorted(line.partition(":")[0] for line in found.problems) == [
            "equime/anger/f_100_00", "equime/fear/f_100_00", "equime/sadness/m_101_00",
        ]  # fmt: skip
        assert all("\n" not in line for line in found.problems)
        names = samples.table["sample_id"].to_pylist()
        assert {line.partition(":")[0] for line in found.problems} == set(names) - {names[k] for k in found.kept}
    bad = [k for k, name in enumerate(names) if k not in found.kept]
    with pytest.raises(EquimeError, match="no sample has the feature 'frame'; the first: equime/"):
        extract(samples.take(bad), SingleFrame(size=8))


def test_a_killed_run_leaves_whole_files_and_goes_on(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "ws", size=256, subjects=2)
    cache = tmp_path / "cache"
    code = f"""
    from pathlib import Path
    from equime.recognise.equime_clips import clips
    from equime.recognise.features.extract import extract
    from equime.recognise.features.flow_image import FlowImage
    extract(clips({str(workspace.path)!r}), FlowImage(method="tvl1", side=160, pairs=1), cache=Path({str(cache)!r}))
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as run:
        while not list(cache.rglob("*.npz")) and run.poll() is None:
            time.sleep(0.02)
        run.send_signal(signal.SIGKILL)
    feature, samples = FlowImage(method="tvl1", side=160, pairs=1), clips(workspace.path).take([0, 1])
    finished = kept(cache)
    assert finished
    for path in cache.rglob("*.npz"):
        with np.load(path) as whole:
            assert whole["values"].shape == (3, 28, 28)
    found = extract(samples, feature, cache=cache)
    np.testing.assert_array_equal(found.values, extract(samples, feature).values)
    assert all(kept(cache)[name] == data for name, data in finished.items())


def test_no_cache_can_be_kept_there(small: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EquimeError, match="expected a folder for the cache"):
        extract(clips(small), SMALL, cache=tmp_path / "file")
    with pytest.raises(EquimeError, match=r"expected a folder for the cache.*; give another --cache"):
        extract(clips(small), SMALL, cache=tmp_path / "file" / "below")
    with pytest.raises(EquimeError, match="at least one worker"):
        extract(clips(small), SMALL, workers=0)


def test_a_feature_is_not_asked_before_it_loads() -> None:
    assert issubclass(FlowImage, Feature)
    feature = FlowImage()
    feature.load()
    assert deepcopy(feature) == feature
