"""Fidelity of pictures: against scikit-image and piq, on real pictures, with files missing, broken and random."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_clips import clip_bytes
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from equime import schema, video
from equime.errors import EquimeError
from equime.quality import piq_measures, pixels, weights
from equime.quality.fid import Inception, fid
from equime.quality.fidelity import COLUMNS, QUICK, Fidelity, strided
from equime.quality.pixels import Picture
from equime.video import Frames

FREE = [name for name in piq_measures.FUNCTIONS if name not in weights.FILES]
SIDE = 176


@pytest.fixture(scope="module")
def frames(portrait: np.ndarray) -> Frames:
    """A real face under light noise, of three frames."""
    noise = np.random.default_rng(0).normal(0, 3, (3, SIDE, SIDE, 3))
    return np.clip(portrait[40 : 40 + SIDE, 140 : 140 + SIDE] + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Empty folders of weights, and networks forgotten before and after."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HOME", str(tmp_path))
    piq_measures.measure.cache_clear()
    for folder in (weights.torch_folder(), weights.clip_folder()):
        folder.mkdir(parents=True)
    yield tmp_path
    piq_measures.measure.cache_clear()


def greys(frames: Frames) -> list[np.ndarray]:
    return list(pixels.greys(frames))


# The quick measures


def test_the_quick_ones_are_scikit_images_on_grey(frames: Frames) -> None:
    found = Fidelity()(frames)
    first, second, third = greys(frames)
    for against, pairs in {
        "source": [(first, second), (first, third)],
        "consecutive": [(first, second), (second, third)],
    }.items():
        psnr = np.mean([peak_signal_noise_ratio(a, b, data_range=255) for a, b in pairs])
        ssim = np.mean([structural_similarity(a, b, data_range=255) for a, b in pairs])
        assert found[f"psnr_{against}"] == pytest.approx(psnr, abs=1e-9)
        assert found[f"ssim_{against}"] == pytest.approx(ssim, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(7, 150),
    width=st.integers(7, 40),
    levels=st.sampled_from([(0, 1), (0, 255), (0, 3, 252, 255), tuple(range(256))]),
    seed=st.integers(0, 2**32 - 1),
)
def test_ssim_is_scikit_images_at_every_size_and_contrast(
    height: int, width: int, levels: tuple[int, ...], seed: int
) -> None:
    random = np.random.default_rng(seed)
    a, b = random.choice(np.array(levels, np.uint8), (2, height, width))
    expected = structural_similarity(a, b, data_range=255)
    assert pixels.ssim(Picture(a), Picture(b)) == pytest.approx(expected, abs=1e-6)


def test_total_variation_and_sharpness_are_what_they_say(frames: Frames, piq: ModuleType) -> None:
    torch = pytest.importorskip("torch")
    cv2 = pytest.importorskip("cv2")
    pictures = greys(frames)
    tensors = torch.from_numpy(np.stack(pictures))[:, None].double() / 255
    norms = piq.total_variation(tensors, reduction="none", norm_type="l2").numpy()
    found = Fidelity()(frames)
    assert found["total_variation_reference"] == pytest.approx(norms.mean(), abs=1e-9)
    assert found["total_variation"] == pytest.approx(norms.mean() / SIDE, abs=1e-9)
    sharpness = [cv2.Laplacian(picture, cv2.CV_64F).var() for picture in pictures]
    assert found["sharpness"] == pytest.approx(np.mean(sharpness))


def test_total_variation_does_not_grow_with_the_picture(frames: Frames) -> None:
    tiled = np.pad(frames, ((0, 0), (0, 2 * SIDE), (0, 2 * SIDE), (0, 0)), mode="symmetric")
    one, nine = Fidelity()(frames), Fidelity()(tiled)
    assert nine["total_variation"] == pytest.approx(one["total_variation"], rel=0.02)
    assert nine["total_variation_reference"] > 2.9 * one["total_variation_reference"]


def test_a_frozen_clip_is_perfect(frames: Frames) -> None:
    found = Fidelity()(np.repeat(frames[:1], 4, axis=0))
    assert [found[f"psnr_{a}"] for a in ("source", "consecutive", "reference")] == [100.0] * 3
    assert [found[f"ssim_{a}"] for a in ("source", "consecutive", "reference")] == pytest.approx([1.0] * 3)


def test_short_and_small_clips_have_nulls(frames: Frames) -> None:
    alone = Fidelity()(frames[:1])
    assert alone["psnr_source"] is None and alone["ssim_consecutive"] is None
    assert alone["sharpness"] is not None
    small = Fidelity()(frames[:, :6, :20])
    assert small["ssim_source"] is None and small["ssim_reference"] is None
    assert small["psnr_source"] is not None


def test_what_was_not_asked_for_is_null(frames: Frames) -> None:
    found = Fidelity("psnr")(frames)
    assert tuple(found) == COLUMNS
    assert {name for name, value in found.items() if value is not None} == {
        *("psnr_source", "psnr_consecutive", "psnr_reference"),
    }
    reference = Fidelity("reference")
    assert reference.columns == [f"{name}_reference" for name in schema.REFERENCE_MEASURES]
    assert reference.slow == ["brisque", "clip_iqa"]


def test_the_columns_are_the_contracts() -> None:
    scored = schema.GROUPS["score"].names
    assert list(COLUMNS) == scored[1 : 1 + len(COLUMNS)]
    assert Fidelity("all").columns == list(COLUMNS)
    assert {*QUICK, *piq_measures.FUNCTIONS, *piq_measures.NETWORKS} == {*schema.FULL_REFERENCE, *schema.NO_REFERENCE}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"measures": "psnr,lpisp"}, r"expected --measures of \[.*'lpips'.*\], got \['lpisp'\]"),
        ({"measures": " ,"}, r"expected --measures of \[.*\], got none"),
        ({"every": 0}, "expected --every of 1 or more, got 0"),
    ],
)
def test_bad_options_are_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(EquimeError, match=message):
        Fidelity(**options).load()


@pytest.mark.parametrize("device", ["cuda:99", "gpu"])
def test_a_device_that_is_not_there_is_one_line(piq: ModuleType, device: str) -> None:
    with pytest.raises(EquimeError, match=f"expected --device of cpu or a GPU that torch sees, got '{device}'"):
        Fidelity("gmsd", device=device).load()


@pytest.mark.parametrize(
    ("num_frames", "every", "later"),
    [(144, 48, [24, 72, 120]), (5, 1, [1, 2, 3, 4]), (3, 8, [2]), (2, 8, [1]), (1, 8, []), (10, 3, [2, 5, 8])],
)
def test_slow_measures_take_each_so_many_th_pair(num_frames: int, every: int, later: list[int]) -> None:
    assert strided(num_frames, every) == later


def test_the_quick_ones_need_no_torch() -> None:
    code = (
        "import sys, numpy as np; from equime.quality.fidelity import Fidelity; f = Fidelity('quick,reference');"
        "f.load(); f.notes(); f(np.zeros((2, 9, 9, 3), np.uint8)); print({'torch', 'piq'} & set(sys.modules))"
    )
    environment = os.environ | {"TORCH_HOME": "/nowhere", "HOME": "/nowhere"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "set()"


# piq's measures


def test_every_measure_without_files_is_piqs_on_rgb(frames: Frames, piq: ModuleType) -> None:
    torch = pytest.importorskip("torch")
    tensors = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    measure = Fidelity(",".join(FREE), every=1)
    measure.load()
    found = measure(frames)
    for name in FREE:
        function: Callable[..., Any] = getattr(piq, piq_measures.FUNCTIONS[name])
        against = {"source": [(0, 1), (0, 2)], "consecutive": [(0, 1), (1, 2)]}
        for kind, pairs in against.items():
            expected = np.mean([float(function(tensors[a : a + 1], tensors[b : b + 1])) for a, b in pairs])
            assert found[f"{name}_{kind}"] == pytest.approx(expected, abs=1e-6), name


def test_equal_pictures_are_perfect_in_all_of_them(frames: Frames, piq: ModuleType) -> None:
    found = Fidelity(",".join(FREE))(frames[[0, 0]])
    distances = {"gmsd", "ms_gmsd", "mdsi"}
    for name in FREE:
        assert found[f"{name}_consecutive"] == pytest.approx(0.0 if name in distances else 1.0, abs=1e-5), name


def test_a_size_or_colour_that_piq_refuses_is_null(frames: Frames, piq: ModuleType) -> None:
    assert Fidelity("ms_ssim")(frames[:, :64, :64])["ms_ssim_source"] is None
    assert Fidelity("iw_ssim")(np.full_like(frames, 120))["iw_ssim_source"] is None


def test_the_stride_chooses_the_pairs(frames: Frames, piq: ModuleType) -> None:
    clip = frames[[0, 0, 1, 2, 2]]
    assert strided(5, 4) == [2]
    found = Fidelity("gmsd", every=4)(clip)
    pair = Fidelity("gmsd", every=1)(frames[[0, 1]])
    assert found["gmsd_consecutive"] == found["gmsd_source"] == pytest.approx(pair["gmsd_source"])


# Files of weights


def test_missing_files_are_null_with_a_line_each_and_no_download(
    frames: Frames, caches: Path, piq: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("urllib.request.OpenerDirector.open", refuse)
    measure = Fidelity("lpips,dists,pieapp,brisque,clip_iqa,reference")
    measure.load()
    found = measure(frames)
    for name in ("lpips_source", "dists_consecutive", "pieapp_source", "brisque", "clip_iqa", "brisque_reference"):
        assert found[name] is None
    lines = measure.notes()
    assert [line.partition(" ")[0] for line in lines] == ["lpips", "dists", "pieapp", "brisque", "clip_iqa"]
    checkpoints = caches / "torch" / "hub" / "checkpoints"
    assert lines[3] == (
        "brisque is null: put brisque_svm_weights.pt (https://github.com/photosynthesis-team/piq/releases/download/"
        f"v0.4.0/brisque_svm_weights.pt) into {checkpoints}"
    )
    assert lines[0].endswith(str(checkpoints)) and "lpips_weights.pt" in lines[0] and "vgg16-397923af.pth" in lines[0]
    assert lines[4].endswith(str(caches / ".cache" / "clip"))
    assert list(checkpoints.iterdir()) == []


@pytest.mark.parametrize("set_home", [True, False])
def test_the_folder_is_torchs_own(caches: Path, monkeypatch: pytest.MonkeyPatch, set_home: bool) -> None:
    hub = pytest.importorskip("torch.hub")
    if not set_home:
        monkeypatch.delenv("TORCH_HOME")
        monkeypatch.setenv("XDG_CACHE_HOME", str(caches / "xdg"))
    assert Path(hub.get_dir()) / "checkpoints" == weights.torch_folder()


class _AskedError(Exception):
    """Raised in place of a download."""


def _asks(call: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> tuple[str, str | None]:
    """The address, and the file where known, that piq would download in `call`."""
    asked: list[tuple[str, str | None]] = []

    def download(url: str, path: str | None = None, *_: object, **__: object) -> None:
        asked.append((url, path))
        raise _AskedError

    for target in (
        "torch.hub.download_url_to_file",
        "piq.feature_extractors.clip.urlopen",
        "piq.utils.common.urlopen",
    ):
        monkeypatch.setattr(target, download)
    with pytest.raises(_AskedError):
        call()
    return asked[0]


@pytest.mark.filterwarnings("ignore::UserWarning:torchvision", "ignore::FutureWarning:torchvision")
def test_names_folders_and_addresses_are_those_piq_would_fetch(
    piq: ModuleType, caches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    x = torch.rand(1, 3, 64, 64)
    calls = {"brisque": lambda: piq.brisque(x), "lpips": piq.LPIPS, "dists": piq.DISTS, "pieapp": piq.PieAPP}
    calls |= {"clip_iqa": piq.CLIPIQA}
    for name, call in calls.items():
        url, path = _asks(call, monkeypatch)
        assert url == weights.FILES[name][0].url
        assert path is None or Path(path) == weights.FILES[name][0].path


def _save(value: object, name: str, index: int = 0) -> Path:
    torch = pytest.importorskip("torch")
    path = weights.FILES[name][index].path
    torch.save(value, path)
    return path


def _brisque() -> Path:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    return _save((torch.randn(774), torch.rand(774, 36) * 2 - 1), "brisque")


def test_brisque_runs_from_its_file_and_is_strided(frames: Frames, piq: ModuleType, caches: Path) -> None:
    torch = pytest.importorskip("torch")
    _brisque()
    measure = Fidelity("brisque", every=2)
    measure.load()
    assert measure.notes() == []
    expected = float(piq.brisque(torch.from_numpy(frames[1:2]).permute(0, 3, 1, 2).float() / 255))
    assert strided(3, 2) == [1]
    assert measure(frames)["brisque"] == pytest.approx(expected)
    assert measure(np.zeros_like(frames))["brisque"] is None  # black has no statistics


class _Payload:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return (os.mkdir, (str(self.mark),))


@pytest.mark.parametrize("broken", ["cut", "empty", "text", "pickle", "cut pickle"])
def test_a_broken_or_harmful_file_is_one_line_and_runs_nothing(piq: ModuleType, caches: Path, broken: str) -> None:
    path = _brisque()
    data = path.read_bytes()
    harmful = pickle.dumps(_Payload(caches / "ran"))
    contents = {"cut": data[: len(data) // 2], "empty": b"", "text": b"<html>Not Found</html>"}
    path.write_bytes((contents | {"pickle": harmful, "cut pickle": harmful[:-3]})[broken])
    with pytest.raises(EquimeError) as raised:
        Fidelity("brisque").load()
    assert str(raised.value).startswith(f"expected weights in {path}, got {path.stat().st_size} bytes")
    assert "\n" not in str(raised.value)
    assert not (caches / "ran").exists()


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize("name", ["brisque", "pieapp", "clip_iqa"])
def test_weights_of_something_else_are_one_line(piq: ModuleType, caches: Path, name: str) -> None:
    torch = pytest.importorskip("torch")
    paths = [_save({"other.weight": torch.zeros(3)}, name, n) for n in range(len(weights.FILES[name]))]
    if name == "clip_iqa":
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), paths[0])
    with pytest.raises(EquimeError) as raised:
        Fidelity(name).load()
    assert str(raised.value).startswith(f"{name} does not run from its weights (")
    assert f": expected those of {paths[0]} (https://" in str(raised.value)
    assert "\n" not in str(raised.value)


def _vgg16() -> None:
    """VGG-16 with random filters; the classifier, which no measure uses, is stored as one number a matrix."""
    torch = pytest.importorskip("torch")
    from torchvision.models import vgg16

    torch.manual_seed(0)
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in vgg16().state_dict().items()}
    random = {name: torch.randn(shape) * 0.05 for name, shape in shapes.items() if name.startswith("features")}
    flat = {name: torch.zeros(1).expand(shape) for name, shape in shapes.items() if name not in random}
    _save(random | flat, "lpips", 1)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_lpips_and_dists_run_from_files_of_the_true_networks(frames: Frames, piq: ModuleType, caches: Path) -> None:
    torch = pytest.importorskip("torch")
    _vgg16()
    widths = (64, 128, 256, 512, 512)
    _save([torch.rand(1, width, 1, 1) for width in widths], "lpips")
    shares = torch.rand(2, 1, 3 + sum(widths), 1, 1).softmax(dim=0) / (3 + sum(widths))
    _save(dict(zip(("alpha", "beta"), shares, strict=True)), "dists")
    measure = Fidelity("lpips,dists", every=1)
    measure.load()
    assert measure.notes() == []
    _check_network(measure, frames, {"lpips": piq.LPIPS, "dists": piq.DISTS})
    same = measure(frames[[0, 0]])
    assert [same["lpips_source"], same["dists_source"]] == pytest.approx([0, 0], abs=1e-5)


def _check_network(measure: Fidelity, frames: Frames, networks: dict[str, Callable[[], Any]]) -> None:
    """The columns of a clip of three unlike frames are those of piq's own networks."""
    torch = pytest.importorskip("torch")
    clip = np.stack([frames[0], frames[1][:, ::-1], 255 - frames[2]])
    found = measure(clip)
    tensors = torch.from_numpy(clip).permute(0, 3, 1, 2).float() / 255
    for name, kind in networks.items():
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = kind()
            values = [float(network(tensors[a : a + 1], tensors[b : b + 1])) for a, b in [(0, 1), (0, 2), (1, 2)]]
        assert len({round(value, 6) for value in values}) == 3
        assert found[f"{name}_source"] == pytest.approx(np.mean(values[:2]), rel=1e-4)
        assert found[f"{name}_consecutive"] == pytest.approx(np.mean(values[::2]), rel=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_pieapp_runs_from_a_file_of_the_true_network(frames: Frames, piq: ModuleType, caches: Path) -> None:
    torch = pytest.importorskip("torch")
    from piq.pieapp import PieAPPModel

    torch.manual_seed(0)
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in PieAPPModel().state_dict().items()}
    state = {name: torch.randn(shape) * 0.05 for name, shape in shapes.items() if name != "fc1_score.weight"}
    state["fc1_score.weight"] = torch.full((1,), 1e-3).expand(shapes["fc1_score.weight"])
    state["ref_score_subtract.weight"] = torch.rand(1)  # as published, a dimension short
    _save(state, "pieapp")
    _check_network(Fidelity("pieapp", every=1), frames[:, :96, :96], {"pieapp": piq.PieAPP})


@pytest.mark.filterwarnings(
    # Not by its own class: that would import torch where it is not installed.
    *("ignore:.*torch.jit:DeprecationWarning", "ignore:.*torch.jit:FutureWarning", "ignore:Converting a tensor:Warning")
)
def test_clip_iqa_runs_from_files_of_the_true_class(frames: Frames, piq: ModuleType, caches: Path) -> None:
    torch = pytest.importorskip("torch")
    from piq.feature_extractors.clip import CLIP

    torch.manual_seed(0)
    tiny = CLIP(64, 64, (1, 1, 1, 1), 16, 32, 7, 50, 64, 1, 1).eval()
    assert list(weights.missing("clip_iqa")) == list(weights.FILES["clip_iqa"])
    tokens = torch.randint(0, 50, (2, 7))
    traced = torch.jit.trace_module(tiny, {"forward": (torch.rand(1, 3, 64, 64), tokens)}, check_trace=False)
    torch.jit.save(traced, weights.FILES["clip_iqa"][0].path)
    _save(tokens, "clip_iqa", 1)
    measure = Fidelity("clip_iqa,reference", every=1)
    measure.load()
    assert [line.partition(" ")[0] for line in measure.notes()] == ["brisque"]
    found = measure(frames[:2])
    with torch.inference_mode():
        rgb = torch.from_numpy(frames[1:2]).permute(0, 3, 1, 2).float() / 255
        expected = float(piq.CLIPIQA()(rgb))
        grey = np.mean([float(piq.CLIPIQA()(torch.tensor(g)[None, None].float() / 255)) for g in greys(frames[:2])])
    assert found["clip_iqa"] == pytest.approx(expected, abs=1e-6)
    assert found["clip_iqa_reference"] == pytest.approx(grey, abs=1e-6)
    weights.FILES["clip_iqa"][0].path.write_bytes(b"half")
    with pytest.raises(EquimeError, match=r"RN50\.pt, got 4 bytes"):
        weights.check("clip_iqa")


# Distance of sets


def _exact(random: np.random.Generator, mean: np.ndarray, scales: np.ndarray, count: int) -> np.ndarray:
    """Features whose sample mean and sample covariance are exactly `mean` and diag(scales^2)."""
    draws = random.standard_normal((count, len(mean)))
    draws -= draws.mean(axis=0)
    white = draws @ np.linalg.inv(np.linalg.cholesky(np.cov(draws.T))).T
    return white * scales + mean


def test_fid_is_the_closed_form_of_gaussians() -> None:
    random = np.random.default_rng(0)
    means, scales = random.normal(size=(2, 6)), random.uniform(0.2, 3, (2, 6))
    a, b = (_exact(random, *given, 50 + 30 * n) for n, given in enumerate(zip(means, scales, strict=True)))
    expected = np.square(means[0] - means[1]).sum() + np.square(scales[0] - scales[1]).sum()
    assert fid(a, b) == pytest.approx(expected, rel=1e-9)
    assert fid(a, a) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("counts", [(200, 300), (5, 7), (200, 5)], ids=["full", "fewer than features", "mixed"])
def test_fid_is_the_textbooks_with_a_root_of_a_matrix(counts: tuple[int, int]) -> None:
    linalg = pytest.importorskip("scipy.linalg")
    random = np.random.default_rng(1)
    a, b = (random.normal(n, 1, (count, 12)) @ random.normal(size=(12, 12)) for n, count in enumerate(counts))
    first, second = np.cov(a.T), np.cov(b.T)
    root = linalg.sqrtm(first.astype(complex) @ second).real
    shift = a.mean(axis=0) - b.mean(axis=0)
    expected = shift @ shift + np.trace(first + second - 2 * root)
    assert fid(a, b) == pytest.approx(expected, rel=1e-4)
    assert fid(a, b) == pytest.approx(fid(b, a), rel=1e-12)


@pytest.mark.parametrize("features", [np.zeros((1, 4)), np.zeros(4), np.full((3, 4), np.nan), np.zeros((3, 5))])
def test_features_that_make_no_set_are_one_line(features: np.ndarray) -> None:
    with pytest.raises(EquimeError, match=r"expected .*features"):
        fid(features, np.ones((3, 4)))


def test_inception_without_its_file_says_where_it_goes(caches: Path) -> None:
    with pytest.raises(EquimeError, match=r"fid is null: put pt_inception-2015-12-05-6726825d\.pth \(https://"):
        Inception().load()


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_inception_runs_from_a_file_of_the_true_network(frames: Frames, piq: ModuleType, caches: Path) -> None:
    torch = pytest.importorskip("torch")
    from piq.feature_extractors import fid_inception
    from torchvision.models import inception_v3

    torch.manual_seed(0)
    network = inception_v3(num_classes=1008, aux_logits=False, weights=None, init_weights=False)
    patches = {"5b": ("A", 192, 32), "5c": ("A", 256, 64), "5d": ("A", 288, 64), "7b": ("E1", 1280), "7c": ("E2", 2048)}
    patches |= {"6b": ("C", 768, 128), "6c": ("C", 768, 160), "6d": ("C", 768, 160), "6e": ("C", 768, 192)}
    for block, (kind, *sizes) in patches.items():
        setattr(network, f"Mixed_{block}", getattr(fid_inception, f"FIDInception{kind}")(*sizes))
    _save(network.state_dict(), "fid")
    inception = Inception()
    inception.load()
    features = inception(frames)
    assert features.shape == (3, 2048) and features.dtype == np.float32
    with torch.inference_mode():
        expected = fid_inception.InceptionV3().eval()(torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255)[0]
    assert np.allclose(features, expected.reshape(3, 2048).numpy(), atol=1e-4)
    assert fid(features, features[::-1]) == pytest.approx(0, abs=1e-6)
    clip = clip_bytes(4, 64)
    assert np.allclose(inception.of_clips([clip, clip]), np.tile(inception(video.decode(clip, [1, 3])), (2, 1)))
    assert inception.of_clips([]).shape == (0, 2048)
