"""Where a model lies: a folder, or a Hub id and its commit; checked before any weights are read.

Why apart: a wrong path, a half download, a gated repository or weights that are pickles should cost a second and one
line, not a minute and a traceback.

    layout = Layout("caption", "Qwen/Qwen3-VL-4B-Instruct")
    find("Qwen/Qwen3-VL-4B-Instruct", None, layout)   # downloads what is needed of it, once; says which commit it is
    find("/models/qwen3-vl", None, layout)            # a folder, as `save_pretrained` or `hf download` writes
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from equime.errors import EquimeError, MissingPackageError
from equime.optional import need

EDGE_BYTES = 1 << 20
SAID_LENGTH = 160
KEPT = ("safetensors", "json", "jinja", "txt", "model")
"""Endings of the files that a model is read from. Pickled weights are not among them."""
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
OTHER = "give --model a whole one, such as `hf download ID --revision SHA --local-dir DIR` brings"


@dataclass(frozen=True)
class Layout:
    """How a model of `transformers` lies in its folder. Models of several parts have a layout of their own.

    Attributes:
        extra: The extra of this package that brings the Hub's client.
        example: A Hub id to name where the given one is none.
        flags: Of `hf download`, beside the id and the commit.
    """

    extra: str
    example: str
    flags: str = ""

    @property
    def wanted(self) -> list[str]:
        """Patterns of the files to download."""
        return [f"*.{end}" for end in KEPT]

    def files(self, folder: Path) -> Iterator[Path]:
        """The files by which a model is known."""
        return (path for path in folder.iterdir() if path.is_file() and path.suffix[1:] in KEPT)

    def check(self, folder: Path, remedy: str) -> None:
        """Refuse a folder that is not a whole model in safetensors; `remedy` ends the message.

        Raises:
            EquimeError: One line.
        """
        read_json(folder / "config.json", remedy)
        missing = absent_weights(folder, remedy)
        if missing == ["*.safetensors"] and any(found for pattern in PICKLES for found in folder.glob(pattern)):
            raise EquimeError(f"the weights in {folder} are pickles, which can run any code: expected safetensors")
        if missing:
            raise EquimeError(f"the model in {folder} lacks {', '.join(missing)}; {remedy}")

    def download(self, model: str, revision: str | None) -> str:
        """The command that brings a Hub model."""
        commit = f"--revision {revision}" if revision else ""
        return " ".join(filter(None, ("hf download", model, commit, self.flags)))


@dataclass(frozen=True)
class Checkpoint:
    """A model on this disk.

    Attributes:
        folder: Where its files are.
        name: The Hub id, or the folder's own name.
        revision: The commit of a Hub model; else "sha256:..." of the folder's names, sizes, small files, and the
            first and last MiB of the large ones.
        remedy: What to do where its files turn out broken.
    """

    folder: Path
    name: str
    revision: str
    remedy: str = OTHER


def find(model: str, revision: str | None, layout: Layout) -> Checkpoint:
    """Find a model, downloading a Hub model that is not here yet.

    Args:
        model: A folder, or a Hub id "owner/name".
        revision: A commit, tag or branch of the Hub model.
        layout: Of its files.

    Raises:
        EquimeError: No such folder, Hub model or revision, no access, no connection, files missing, pickled weights.
    """
    if not model.strip():
        raise EquimeError(f"expected a folder or Hub id, got an empty one: {model = }; give --model one")
    folder = Path(model).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise EquimeError(f"a folder has no revisions: leave out --revision {revision} or give a Hub id as --model")
        layout.check(folder, OTHER)
        return Checkpoint(folder, folder.resolve().name, digest(folder, layout.files(folder)))
    if model.count("/") != 1 or model.startswith((".", "/", "~")):
        raise EquimeError(f"no such model folder: {model}; give --model a folder or a Hub id such as {layout.example}")
    folder = _snapshot(model, revision, layout)
    layout.check(folder, f"run `{layout.download(model, revision)}`")
    return Checkpoint(folder, model, folder.name, f"run `{layout.download(model, folder.name)} --force-download`")


@contextmanager
def reading(checkpoint: Checkpoint, *, extra: str, levers: str) -> Iterator[None]:
    """Inside, whatever goes wrong while a model is read is one line.

    Args:
        checkpoint: The model.
        extra: The extra of this package that brings torch and the model's library.
        levers: What to try where memory runs out.

    Raises:
        EquimeError: Too little memory, or broken files; one that is raised inside passes.
        MissingPackageError: The model wants a package that is not installed.
    """
    torch = need("torch", extra=extra)
    try:
        yield
    except EquimeError:
        raise
    except torch.OutOfMemoryError as error:
        raise EquimeError(f"too little GPU memory to load {checkpoint.name}: {levers}") from error
    except ImportError as error:  # some tokenizers and processors want a package of their own
        raise MissingPackageError(f'{first_sentence(error)}: run `pip install "equime[{extra}]"`') from error
    except Exception as error:  # each library and file format has its own exceptions for a broken file
        raise EquimeError(
            f"cannot load {checkpoint.name} from {checkpoint.folder} ({first_sentence(error)}); {checkpoint.remedy}"
        ) from error


def absent_weights(folder: Path, remedy: str) -> list[str]:
    """The files of weights that a folder should have, by its indexes, and has not; "*.safetensors" where it has none.

    Raises:
        EquimeError: An index that does not read.
    """
    indexes = sorted(folder.glob("*.safetensors.index.json"))
    named = {str(shard) for index in indexes for shard in read_json(index, remedy).get("weight_map", {}).values()}
    if not indexes and not any(folder.glob("*.safetensors")):
        return ["*.safetensors"]
    return sorted(named - {path.name for path in folder.iterdir()})


def digest(folder: Path, files: Iterable[Path]) -> str:
    """What tells two model folders apart without reading all of their weights, "sha256:" and 16 hex digits."""
    hasher = hashlib.sha256()
    for path in sorted(files):
        size = path.stat().st_size
        hasher.update(f"{path.relative_to(folder).as_posix()}\0{size}\0".encode())
        with path.open("rb") as file:
            hasher.update(file.read(EDGE_BYTES))
            file.seek(max(size - EDGE_BYTES, 0))
            hasher.update(file.read())
    return f"sha256:{hasher.hexdigest()[:16]}"


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hex; read once, and again where the file has changed."""
    return _sha256(path, path.stat().st_mtime_ns)


@lru_cache
def _sha256(path: Path, written: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def first_sentence(error: Exception) -> str:
    """What a library says is wrong, at most 160 characters of it: what follows is advice on the library."""
    said = " ".join(str(error).split())
    sentence = re.split(r"(?<=[.!?]) ", said)[0].rstrip(".") or type(error).__name__
    return sentence if len(sentence) <= SAID_LENGTH else f"{sentence[: SAID_LENGTH - 3]}..."


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """The object in a model's JSON file.

    Raises:
        EquimeError: No such file, or no object in it.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EquimeError(f"no {path.name} in {path.parent}: not a model of this kind; {remedy}") from error
    except (OSError, ValueError) as error:
        raise EquimeError(f"cannot read {path}: {first_sentence(error)}; {remedy}") from error
    if not isinstance(value, dict):
        raise EquimeError(f"expected a JSON object in {path}; {remedy}")
    return value


def _snapshot(model: str, revision: str | None, layout: Layout) -> Path:
    hub = need("huggingface_hub", extra=layout.extra)
    errors = need("huggingface_hub.errors", extra=layout.extra)
    again = f"`{layout.download(model, revision)}`"
    try:
        return Path(hub.snapshot_download(model, revision=revision, allow_patterns=layout.wanted))
    except errors.GatedRepoError as error:
        remedy = f"ask for access at https://huggingface.co/{model}, run `hf auth login`, then {again}"
        raise EquimeError(f"{model} is gated and this account has no access: {remedy}") from error
    except errors.RevisionNotFoundError as error:
        raise EquimeError(f"{model} has no revision {revision}; give --revision a commit of it") from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise EquimeError(f"no folder and no Hub model of this name: {model}; if private, `hf auth login`") from error
    except Exception as error:  # offline, by setting or by accident: each client version has its own exceptions
        why = first_sentence(error)
        raise EquimeError(f"cannot download {model} ({why}); on a machine with a connection run {again}") from error
