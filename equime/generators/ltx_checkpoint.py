"""Where an LTX-Video model lies: a folder, or a Hub id and its commit; checked before any weights are read.

Why apart: a wrong path, a half download, a gated repository or a model of another kind should cost a second and one
line, not a minute and a traceback.

    find("Lightricks/LTX-Video", None)    # downloads what `diffusers` needs of it, once, and says which commit it is
    find("/models/ltx", None)             # a folder, as `pipeline.save_pretrained` or `hf download --local-dir` writes
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equime.errors import EquimeError
from equime.optional import need

CLASSES = ("LTXPipeline", "LTXImageToVideoPipeline", "LTXConditionPipeline")
"""The `_class_name` of models that share the components below. LTX-2 and the upsamplers are made otherwise."""
WEIGHTS = ("transformer", "vae", "text_encoder")
COMPONENTS = (*WEIGHTS, "tokenizer", "scheduler")
TOKENIZERS = ("spiece.model", "tokenizer.json")
EDGE_BYTES = 1 << 20
SAID_LENGTH = 160
OTHER = "give --model a whole one, such as `hf download ID --revision SHA --local-dir DIR` brings"


@dataclass(frozen=True)
class Checkpoint:
    """A model on this disk.

    Attributes:
        folder: With `model_index.json` and a folder for each component.
        name: The Hub id, or the folder's own name.
        revision: The commit of a Hub model; else "sha256:..." of the folder's names, sizes, small files, and the
            first and last MiB of the large ones.
    """

    folder: Path
    name: str
    revision: str

    @property
    def remedy(self) -> str:
        """What to do where its files turn out broken."""
        if self.revision.startswith("sha256:"):
            return OTHER
        return f"run `{_download(self.name, self.revision)} --force-download`"


def find(model: str, revision: str | None) -> Checkpoint:
    """Find a model, downloading a Hub model that is not here yet.

    Args:
        model: A folder, or a Hub id "owner/name".
        revision: A commit, tag or branch of the Hub model.

    Raises:
        EquimeError: No such folder, Hub model or revision, no access, no connection, files missing, or a model that
            is not an LTX-Video one.
    """
    if not model.strip():
        raise EquimeError(f"expected a folder or Hub id, got an empty one: {model = }; give --model one")
    folder = Path(model).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise EquimeError(f"a folder has no revisions: leave out --revision {revision} or give a Hub id as --model")
        check(folder, OTHER)
        return Checkpoint(folder, folder.resolve().name, digest(folder))
    if model.count("/") != 1 or model.startswith((".", "/", "~")):
        raise EquimeError(
            f"no such model folder: {model}; give --model a folder or a Hub id such as Lightricks/LTX-Video"
        )
    folder = _snapshot(model, revision)
    check(folder, f"run `{_download(model, revision)}`")
    return Checkpoint(folder, model, folder.name)


def check(folder: Path, remedy: str) -> None:
    """Refuse a folder that is not a whole LTX-Video model in safetensors.

    Args:
        folder: To look at.
        remedy: The end of the message.

    Raises:
        EquimeError: One line.
    """
    index = _json(folder / "model_index.json", remedy)
    name = index.get("_class_name")
    if name not in CLASSES:
        raise EquimeError(f"expected a model of {', '.join(CLASSES)}, got {name} in {folder}; {remedy}")
    missing = [part for part in COMPONENTS if not (folder / part).is_dir()]
    missing += [f"{part}/{file}" for part in WEIGHTS if part not in missing for file in _absent(folder / part, remedy)]
    if "tokenizer" not in missing and not any((folder / "tokenizer" / name).is_file() for name in TOKENIZERS):
        missing.append(f"tokenizer/{TOKENIZERS[0]}")
    if missing:
        raise EquimeError(f"the model in {folder} lacks {', '.join(missing)}; {remedy}")


def digest(folder: Path) -> str:
    """What tells two model folders apart without reading all of their weights, "sha256:" and 16 hex digits."""
    hasher = hashlib.sha256()
    for path in sorted(p for part in COMPONENTS for p in (folder / part).rglob("*") if p.is_file()):
        size = path.stat().st_size
        hasher.update(f"{path.relative_to(folder).as_posix()}\0{size}\0".encode())
        with path.open("rb") as file:
            hasher.update(file.read(EDGE_BYTES))
            file.seek(max(size - EDGE_BYTES, 0))
            hasher.update(file.read())
    return f"sha256:{hasher.hexdigest()[:16]}"


def first_sentence(error: Exception) -> str:
    """What a library says is wrong, at most 160 characters of it: what follows is advice on the library."""
    said = " ".join(str(error).split())
    sentence = re.split(r"(?<=[.!?]) ", said)[0].rstrip(".") or type(error).__name__
    return sentence if len(sentence) <= SAID_LENGTH else f"{sentence[: SAID_LENGTH - 3]}..."


def _absent(part: Path, remedy: str) -> list[str]:
    """Files of weights that a component should have and has not."""
    indexes = list(part.glob("*.safetensors.index.json"))
    named = {str(shard) for index in indexes for shard in _json(index, remedy).get("weight_map", {}).values()}
    if not indexes and not any(part.glob("*.safetensors")):
        named = {"*.safetensors"}
    return sorted({"config.json", *named} - {path.name for path in part.iterdir()})


def _json(path: Path, remedy: str) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EquimeError(f"no {path.name} in {path.parent}: not a `diffusers` model; {remedy}") from error
    except (OSError, ValueError) as error:
        raise EquimeError(f"cannot read {path}: {first_sentence(error)}; {remedy}") from error
    if not isinstance(value, dict):
        raise EquimeError(f"expected a JSON object in {path}; {remedy}")
    return value


def _snapshot(model: str, revision: str | None) -> Path:
    hub = need("huggingface_hub", extra="generate")
    errors = need("huggingface_hub.errors", extra="generate")
    wanted = [
        "model_index.json",
        *(f"{part}/*.{end}" for part in COMPONENTS for end in ("safetensors", "json", "model")),
    ]
    again = f"`{_download(model, revision)}`"
    try:
        return Path(hub.snapshot_download(model, revision=revision, allow_patterns=wanted))
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


def _download(model: str, revision: str | None) -> str:
    """Without the files that hold a whole model each, of other programs: they are ten times the rest."""
    commit = f" --revision {revision}" if revision else ""
    return f"hf download {model}{commit} --exclude 'ltx*.safetensors'"
