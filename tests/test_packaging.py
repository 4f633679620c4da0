"""What `pip install` puts on a machine: everything that is needed, and nothing `datasets` takes for data."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = {"torch", "generate", "caption", "tag", "score", "recognise", "audit", "tune", "ray", "decord", "torchcodec"}
HEAVY = {"torch", "tensorflow", "diffusers", "transformers", "deepface", "ray", "torchvision", "piq"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    source = out / "source"
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    for name in listed.stdout.split():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(source)]
    subprocess.run(command, check=True, timeout=300)
    return next(out.glob("equime-*.whl"))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_installed_copy_is_whole(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = (
        "import equime, equime_dataset, equime.builders.generate as g, equime.face as f; "
        "assert 'builders' in g.__file__; f.FaceFinder().load(); print(equime.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd="/",
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "equime" / "__init__.py")
    beside = {path.suffix or path.name for path in (tmp_path / "equime").rglob("*") if path.is_file()}
    assert beside <= {".py", ".pyc", ".tflite", ".typed", "py.typed", "NOTICE", ".html", ".css", ".js"}
    assert (tmp_path / "equime" / "report" / "static" / "page.js").is_file()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_core_is_light_and_the_extras_are_all_there(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    assert EXTRAS | {"all", "dev"} <= set(metadata.get_all("Provides-Extra") or ())
    core = [r for r in metadata.get_all("Requires-Dist") or () if "extra ==" not in r]
    assert len(core) == len(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"])
    assert not any(requirement.split(">")[0] in HEAVY for requirement in core)
