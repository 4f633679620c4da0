"""`import equime` teaches `load_dataset` one name, imports nothing heavy, and breaks nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from make_workspace import make_workspace

ROOT = Path(__file__).resolve().parents[1]
HEAVY = [
    "torch",
    "tensorflow",
    "diffusers",
    "transformers",
    "deepface",
    "datasets",
    "av",
    "ray",
    "cv2",
    "numpy",
    "pyarrow",
]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("hook") / "ws", subjects=1).path


def run(code: str, cwd: Path, home: Path, **more: str) -> Any:
    """What a fresh process leaves in `result`. It finds no network: nothing here may need one."""
    script = f"import json, sys\n{textwrap.dedent(code)}\nprint('\\n' + json.dumps(result))"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "EQUIME", "PYTHONPATH"))}
    environment = kept | {"PYTHONPATH": str(ROOT), "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"} | more
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=cwd, env=environment, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_imports_nothing_heavy(tmp_path: Path) -> None:
    code = f"import equime\nresult = sorted(set({HEAVY}) & set(sys.modules))"
    assert run(code, tmp_path, tmp_path) == []


def test_public_names_are_there_when_they_are_used(tmp_path: Path) -> None:
    code = """
    import equime
    named = [equime.Clip.__name__, equime.Table.__name__, equime.run.__name__, equime.EquimeError.__name__]
    try:
        equime.nothing
    except AttributeError as error:
        named.append(str(error))
    result = [named, sorted(dir(equime)), sorted(equime.__all__), equime.__version__]
    """
    named, listed, public, version = run(code, tmp_path, tmp_path)
    assert named == ["Clip", "Table", "run", "EquimeError", "module 'equime' has no attribute 'nothing'"]
    assert listed == public and version


@pytest.mark.parametrize(
    "first",
    [
        "import equime\nfrom datasets import load_dataset",
        "from datasets import load_dataset\nimport equime",
        "import datasets.load\nimport equime, datasets\nload_dataset = datasets.load_dataset",
        "import equime, datasets.inspect\nfrom datasets.load import load_dataset",
    ],
    ids=["equime first", "datasets first", "datasets.load first", "datasets.inspect"],
)
def test_either_import_order(workspace: Path, tmp_path: Path, first: str) -> None:
    code = f"""
{first}
import datasets
where = dict(data_dir={str(workspace)!r})
result = [
    load_dataset("equime", "emotion", split="fear", **where)["clip_id"][:],
    [row["clip_id"] for row in load_dataset("equime", "video", split="train", streaming=True, **where)],
    datasets.get_dataset_config_names("equime", **where),
    sorted(datasets.load_dataset_builder("equime", "metadata", **where).info.features),
]
"""
    fear, train, configs, features = run(code, tmp_path, tmp_path)
    assert fear == ["fear/f_0_0"] and len(train) == 5
    assert configs == ["video", "emotion", "metadata"] and "caption" in features and "video" not in features


def test_splits_can_be_listed(workspace: Path, tmp_path: Path) -> None:
    code = f"""
    import equime, datasets
    result = datasets.get_dataset_split_names("equime", "emotion", data_dir={str(workspace)!r})
    """
    assert run(code, tmp_path, tmp_path) == ["happiness", "sadness", "surprise", "fear", "anger"]


@pytest.mark.parametrize("inside", ["a data set", "nothing"])
def test_a_folder_of_that_name_in_the_current_folder_does_not_matter(
    workspace: Path, tmp_path: Path, inside: str
) -> None:
    decoy = tmp_path / "equime"
    decoy.mkdir()
    if inside == "a data set":
        (decoy / "train.jsonl").write_text('{"text": "not ours"}\n')
    code = f"""
    import equime
    from datasets import load_dataset
    result = load_dataset("equime", "metadata", split="train", data_dir={str(workspace)!r}).column_names[0]
    """
    assert run(code, tmp_path, tmp_path / "home") == "clip_id"


def test_other_data_sets_load_as_before(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "theirs"}\n')
    code = """
    import equime
    from datasets import load_dataset
    result = load_dataset("json", data_files="rows.jsonl", split="train")["text"][:]
    """
    assert run(code, tmp_path, tmp_path) == ["theirs"]


@pytest.mark.parametrize("where", ["elsewhere", "the checkout"])
def test_without_the_import_it_is_an_error_and_never_another_data_set(tmp_path: Path, where: str) -> None:
    cwd = tmp_path if where == "elsewhere" else ROOT
    code = """
    from datasets import load_dataset
    try:
        result = ["loaded", str(load_dataset("equime"))]
    except Exception as error:
        result = [type(error).__name__, str(error)]
    """
    kind, message = run(code, cwd, tmp_path)
    assert kind != "loaded", message
    if where == "the checkout":
        assert "data" in message.lower() and "equime" in message


def test_a_cache_of_ours_is_not_found_without_the_import(workspace: Path, tmp_path: Path) -> None:
    code = f"""
    import equime
    from datasets import load_dataset
    result = len(load_dataset("equime", "metadata", split="train", data_dir={str(workspace)!r}))
    """
    assert run(code, tmp_path, tmp_path / "home") == 5
    bare = """
    from datasets import load_dataset
    try:
        result = str(load_dataset("equime", "metadata"))
    except Exception as error:
        result = type(error).__name__
    """
    assert run(bare, tmp_path, tmp_path / "home") in ("ConnectionError", "FileNotFoundError", "DatasetNotFoundError")


def test_nobody_has_published_yet_offline(tmp_path: Path) -> None:
    code = """
    import equime
    from datasets import load_dataset
    try:
        load_dataset("equime")
    except equime.EquimeError as error:
        result = str(error)
    """
    assert "was never loaded on this machine and HF_HUB_OFFLINE is set" in run(code, tmp_path, tmp_path)
