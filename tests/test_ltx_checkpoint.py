"""Where an LTX-Video model lies: whole and broken folders, and a Hub that answers as the real one."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_ltx
from hub_server import Hub
from model_folders import changed, in_shards, said_by, without_a_tensor

from equime.checkpoints import Checkpoint
from equime.errors import EquimeError
from equime.generators.ltx import LTX
from equime.generators.ltx_checkpoint import find

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def tiny_models() -> Path:
    return tiny_ltx.models()


@pytest.fixture
def folder(tiny_models: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_models / "condition", tmp_path / "model"))


def known(folder: Path) -> str:
    return find(str(folder), None).revision


def weights(folder: Path, part: str) -> Path:
    [path] = (folder / part).glob("*.safetensors")
    return path


BROKEN: list[tuple[str, Callable[[Path], Any], str]] = [
    ("no index", lambda f: (f / "model_index.json").unlink(), r"no model_index.json in .*: not a model of this kind"),
    ("no JSON", lambda f: (f / "model_index.json").write_text("{"), r"cannot read .*model_index.json"),
    ("a list", lambda f: (f / "model_index.json").write_text("[]"), r"expected a JSON object in .*model_index.json"),
    (
        "LTX-2",
        lambda f: changed(f / "model_index.json", _class_name="LTX2Pipeline"),
        r"expected a .*, got LTX2Pipeline",
    ),
    ("no part", lambda f: shutil.rmtree(f / "vae"), r"lacks vae; "),
    ("no weights", lambda f: weights(f, "vae").unlink(), r"lacks vae/\*\.safetensors; "),
    ("pickle", lambda f: weights(f, "vae").rename(f / "vae/x.bin"), r"lacks vae/\*\.safetensors; "),
    ("no config", lambda f: (f / "transformer/config.json").unlink(), r"lacks transformer/config\.json; "),
    ("no tokenizer", lambda f: (f / "tokenizer/tokenizer.json").unlink(), r"lacks tokenizer/spiece\.model; "),
    ("half a download", lambda f: in_shards(weights(f, "transformer")), r"lacks transformer/diff.*-00002-of"),
    ("cut short", lambda f: weights(f, "vae").write_bytes(weights(f, "vae").read_bytes()[:-9]), r"cannot load model"),
    ("a tensor gone", lambda f: without_a_tensor(weights(f, "transformer")), r"1 tensors, .* first, are not in"),
    ("a word's tensor gone", lambda f: without_a_tensor(weights(f, "text_encoder")), r"1 tensors, .*; give --model a"),
    ("another shape", lambda f: changed(f / "vae/config.json", latent_channels=4), r"cannot load model from"),
    ("words of another shape", lambda f: changed(f / "text_encoder/config.json", d_model=32), r"\d+ tensors, .* shape"),
    ("a layer gone", lambda f: changed(f / "transformer/config.json", num_layers=2), r"\d+ tensors, .*, are not in"),
    ("words' layer gone", lambda f: changed(f / "text_encoder/config.json", num_layers=2), r"\d+ tensors, .* not in"),
    (
        "shifted by size",
        lambda f: changed(f / "scheduler/scheduler_config.json", use_dynamic_shifting=True),
        r"the scheduler of model shifts .*; use --pipeline image, or a --model from 0.9.5 on",
    ),
]


@contextlib.contextmanager
def heard(handler: logging.Handler) -> Iterator[None]:
    """What the libraries log: they do not pass it on."""
    loggers = [logging.getLogger(name) for name in ("diffusers", "transformers")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


class TestFolder:
    @pytest.mark.parametrize(("spoil", "said"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
    def test_that_is_broken_costs_one_line(
        self, folder: Path, spoil: Callable[[Path], Any], said: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        spoil(folder)
        with heard(caplog.handler), pytest.raises(EquimeError, match=said) as caught:
            LTX(model=str(folder), pipeline="condition", device="cpu").load()
        assert "\n" not in str(caught.value)
        assert "http" not in str(caught.value) and len(str(caught.value)) < 300 + len(str(folder))
        assert caplog.messages == []

    def test_that_is_not_there(self, tmp_path: Path) -> None:
        for name in (str(tmp_path / "none"), "./none", "~/none/here", "none"):
            with pytest.raises(EquimeError, match=r"no such model folder: .*; give --model a folder or a Hub id"):
                find(name, None)

    @pytest.mark.parametrize("name", ["", " "])
    def test_that_has_no_name(self, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder)
        with pytest.raises(EquimeError, match=r"expected a folder or Hub id, got an empty one"):
            find(name, None)

    def test_has_no_revisions(self, folder: Path) -> None:
        with pytest.raises(EquimeError, match=r"leave out --revision main"):
            find(str(folder), "main")

    def test_is_known_by_what_it_holds(self, folder: Path, tmp_path: Path) -> None:
        first = find(str(folder), None)
        assert first.name == "model"
        assert LTX(model=str(folder)).models == {"model": first.revision}
        moved = Path(shutil.copytree(folder, tmp_path / "moved"))
        (moved / "README.md").write_text("said elsewhere")
        assert known(moved) == first.revision
        data = bytearray(weights(moved, "vae").read_bytes())
        data[-1] ^= 1
        weights(moved, "vae").write_bytes(data)
        assert known(moved) != first.revision

    def test_of_a_hub_model_names_its_commit_where_broken(self, folder: Path) -> None:
        from equime.generators.ltx_pipelines import Placing, open_video

        without_a_tensor(weights(folder, "vae"))
        here = Placing(torch.device("cpu"), torch.float32)
        with pytest.raises(EquimeError, match=r"; run `mend it`"):
            open_video(Checkpoint(folder, "org/x", "abc", "run `mend it`"), "condition", here)


@pytest.fixture(scope="module")
def hub(tiny_models: Path) -> Iterator[Hub]:
    with Hub() as hub:
        files = {p.relative_to(tiny_models).as_posix(): p.read_bytes() for p in tiny_models.rglob("*") if p.is_file()}
        image = {path.removeprefix("image/"): data for path, data in files.items() if path.startswith("image/")}
        hub.create("org/whole", image | {"whole-model.safetensors": b"not one of the parts"}, kind="model")
        hub.create("org/gated", image, gated="manual", kind="model")
        hub.create(
            "org/half", {path: data for path, data in image.items() if not path.startswith("vae/")}, kind="model"
        )
        yield hub


def client(hub: Hub, home: Path, model: str, revision: str | None = None, **more: str) -> str:
    """What `find` says of a model, in a process that talks to the Hub: a commit and files, or the refusal."""
    script = """
        import sys
        from equime.errors import EquimeError
        from equime.generators.ltx_checkpoint import find
        try:
            found = find(sys.argv[1], sys.argv[2] or None)
            files = sorted(p.relative_to(found.folder).as_posix() for p in found.folder.rglob("*") if p.is_file())
            print("\\n" + " ".join([found.name, found.revision, *files]))
        except EquimeError as error:
            print("\\n" + str(error))
    """
    return said_by(script, hub, home, model, revision, **more)


class TestHub:
    def test_a_model_is_downloaded_once_and_its_commit_known(self, hub: Hub, tmp_path: Path) -> None:
        commit = hub.repos["org/whole"].refs["main"]
        name, revision, *files = client(hub, tmp_path, "org/whole").split()
        assert (name, revision) == ("org/whole", commit)
        assert "transformer/diffusion_pytorch_model.safetensors" in files and "whole-model.safetensors" not in files
        assert client(hub, tmp_path, "org/whole", HF_HUB_OFFLINE="1").split() == [name, revision, *files]
        with hub.counted() as asked:
            assert client(hub, tmp_path, "org/whole", commit).split()[:2] == [name, commit]
        assert not any("resolve" in path for _, path, _, _ in asked)

    @pytest.mark.parametrize(
        ("model", "revision", "more", "said"),
        [
            ("org/gated", None, {}, "org/gated is gated and this account has no access: ask for access at https://hug"),
            ("org/none", None, {}, "no folder and no Hub model of this name: org/none; if private, `hf auth login`"),
            ("org/whole", "v9", {}, "org/whole has no revision v9; give --revision a commit of it"),
            ("org/half", None, {}, "lacks vae; run `hf download org/half --exclude 'ltx*.safetensors'`"),
            ("org/whole", "0" * 40, {"HF_HUB_OFFLINE": "1"}, f"run `hf download org/whole --revision {'0' * 40} -"),
            ("org/a b", None, {}, "no folder and no Hub model of this name: org/a b"),
        ],
    )
    def test_what_cannot_be_had_costs_one_line(
        self, hub: Hub, tmp_path: Path, model: str, revision: str | None, more: dict[str, str], said: str
    ) -> None:
        assert said in client(hub, tmp_path, model, revision, **more)
