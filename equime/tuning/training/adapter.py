"""A tuned model: its base, found again at the very commit it was trained on, and the adapter on top.

    processor, model, run = open_tuned("runs/v")                  # or OWNER/NAME[@REVISION] on the Hub
    run.view, run.tasks, run.saw(["0042"])

An adapter is a few matrices beside those of a model of billions of numbers: it is worth nothing on another one, so the
base's commit, or its digest where it is a folder, is compared, and so is the adapter's own hash.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from equime.captioning.vlm_model import open_model, quiet
from equime.checkpoints import Checkpoint, Layout, find, reading
from equime.devices import device as device_of
from equime.errors import EquimeError
from equime.optional import need
from equime.remote import is_repo
from equime.tuning.training import tiny
from equime.tuning.view import View

EXTRA: Final = "tune"
EXAMPLE: Final = "Qwen/Qwen2.5-VL-3B-Instruct"
ADAPTER: Final = "adapter"
WEIGHTS: Final = "adapter_model.safetensors"
CONFIG: Final = "adapter_config.json"
RUN: Final = "run.json"
LOUD: Final = ("trl", "accelerate", "peft", "datasets")
"""Whose loggers speak to those who write programs."""
LEVERS: Final = "try --batch-size 1, --gradient-checkpointing, --quantise 4bit, --frames 8 or a smaller --size"


@dataclass(frozen=True)
class Run:
    """A finished fine-tuning.

    Attributes:
        name: Its folder, or "owner/name@commit".
        folder: Where its files are.
        told: What `run.json` holds.
    """

    name: str
    folder: Path
    told: Mapping[str, Any]

    @property
    def mark(self) -> str:
        """The hash of all that decides what it is: base, data, options."""
        return str(self.told["mark"])

    @property
    def base(self) -> str:
        """The base's Hub id, or its folder's name, and its revision."""
        return f"{self.told['base']['id']}@{self.told['base']['revision']}"

    @property
    def view(self) -> View:
        """What it was shown of a clip."""
        return View(*(self.told["experiment"][name] for name in ("view", "frames", "size")))

    @property
    def tasks(self) -> tuple[str, ...]:
        """What it learnt."""
        return tuple(self.told["experiment"]["tasks"])

    @property
    def adapter(self) -> Path:
        """The folder of the adapter: in a repository that is the whole of it."""
        inside = self.folder / ADAPTER
        return inside if inside.is_dir() else self.folder

    def saw(self, subjects: Iterable[str]) -> set[str]:
        """Those of some subjects whose faces it was trained on: it keeps hashes of their ids."""
        from equime.recognise.training.checkpoint import seen

        known = set(self.told["subjects"])
        return {subject for subject in subjects if seen(subject) in known}


def open_run(where: str | Path) -> Run:
    """What a run tells of itself; no model is loaded.

    Args:
        where: Its folder, or OWNER/NAME[@REVISION] of a model repository, fetched where it is not here yet.

    Raises:
        EquimeError: Neither, no access, a run that is not finished, or an adapter that was changed since.
    """
    folder, name = _located(where)
    try:
        told = json.loads((folder / RUN).read_text(encoding="utf-8"))
        run, expected = Run(name, folder, told), told["adapter"]
        _ = run.mark, run.base, run.view, run.tasks, told["subjects"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EquimeError(f"no finished run in {name}: run the same `equime tune` again, which ends it") from error
    if not (run.adapter / WEIGHTS).is_file() or sha256_of(run.adapter / WEIGHTS) != expected:
        raise EquimeError(f"the adapter of {name} is not the one that was trained: fetch it again, or train again")
    return run


def open_tuned(
    where: str | Path, device: str = "auto", *, base: str | None = None, dtype: str = "auto"
) -> tuple[Any, Any, Run]:
    """The processor, the model with its adapter in eval mode, and the run.

    Args:
        where: See `open_run`.
        device: "auto", "cpu", "cuda", "cuda:N".
        base: Folder or Hub id of the base, where the run does not know where it lies now.
        dtype: Of the weights; "auto" is what the device can do.

    Raises:
        EquimeError: What `open_run` raises; a base that is gone or is another one; too little memory.
    """
    run = open_run(where)
    peft = need("peft", extra=EXTRA)
    with found_base(*_base_of(run, base)) as checkpoint:
        if checkpoint.revision != run.told["base"]["revision"]:
            raise EquimeError(
                f"{run.name} was trained on {run.base}, and {checkpoint.name} here is {checkpoint.revision}: give "
                "--base the one it was trained on"
            )
        processor, model = open_base(checkpoint, device, dtype)
        with reading(Checkpoint(run.adapter, run.name, "", "train again"), extra=EXTRA, levers=LEVERS), hushed():
            tuned = peft.PeftModel.from_pretrained(model, str(run.adapter), is_trainable=False)
    return processor, tuned.eval(), run


@contextmanager
def found_base(base: str, revision: str | None) -> Iterator[Checkpoint]:
    """A base model's files for the length of a `with` block; "tiny" is made for it.

    Raises:
        EquimeError: No such folder or Hub model, no access, no whole model.
    """
    if base != tiny.NAME:
        with _as_base():
            found = find(base, revision, Layout(EXTRA, EXAMPLE))
        yield found
        return
    if revision not in (None, tiny.NAME):
        raise EquimeError(f"the tiny model has no revisions: leave out --revision {revision}")
    with tempfile.TemporaryDirectory(prefix="equime-tiny-") as folder:
        with quiet():
            tiny.make_tiny(Path(folder))
        layout = Layout(EXTRA, EXAMPLE)
        weights = (path for path in layout.files(Path(folder)) if path.suffix == ".safetensors")
        yield Checkpoint(Path(folder), tiny.NAME, f"sha256:{_digest(weights)}")


def open_base(
    checkpoint: Checkpoint, device: str = "auto", dtype: str = "auto", quantise: str = "none"
) -> tuple[Any, Any]:
    """The processor and the model of a base, in eval mode.

    Args:
        checkpoint: From `found_base`.
        device: "auto", "cpu", "cuda", "cuda:N"; under `accelerate launch` each process has a GPU of its own.
        dtype: Of the weights; "auto" is what the device can do.
        quantise: "none", or "4bit" on a GPU.

    Raises:
        EquimeError: It takes no video, has no chat template, or needs more memory than there is.
    """
    torch = need("torch", extra=EXTRA)
    with _as_base():
        place = device_of(device, extra=EXTRA)
        if place.type == "cuda" and "LOCAL_RANK" in os.environ:
            place = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        more = {"quantization_config": _four_bits(place)} if quantise == "4bit" else {}
        processor, model = open_model(checkpoint, place, precision(dtype, place), **more)
    if not (getattr(processor, "chat_template", None) or processor.tokenizer.chat_template):
        raise EquimeError(
            f"the processor of {checkpoint.name} has no chat template: give --base a model made for chats"
        )
    return processor, model


def precision(dtype: str, place: Any) -> str:
    """The weights' type that "auto" means on a device."""
    torch = need("torch", extra=EXTRA)
    if dtype == "float16" and place.type == "cpu":
        raise EquimeError("no --dtype float16 on the CPU, where its gradients vanish: use float32 or bfloat16")
    if dtype != "auto":
        return dtype
    if place.type == "cpu":
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _four_bits(place: Any) -> Any:
    """QLoRA's settings: NF4, its constants quantised too, sums in bfloat16."""
    torch, transformers = need("torch", extra=EXTRA), need("transformers", extra=EXTRA)
    if place.type == "cpu":
        raise EquimeError("--quantise 4bit wants a GPU: leave it out on the CPU, or name a --device cuda that is here")
    need("bitsandbytes", extra="qlora")
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16,
    )


@contextmanager
def hushed() -> Iterator[None]:
    """Hold back what the libraries say to their own users."""
    loggers = [logging.getLogger(name) for name in LOUD]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with quiet(), warnings.catch_warnings():
            for kind in (FutureWarning, DeprecationWarning, UserWarning):
                warnings.simplefilter("ignore", kind)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _as_base() -> Iterator[None]:
    """What is a `--model` to the captioner is a `--base` here."""
    try:
        yield
    except EquimeError as error:
        raise type(error)(str(error).replace("--model", "--base")) from error


def _base_of(run: Run, base: str | None) -> tuple[str, str | None]:
    """The base to look for and its revision."""
    told = run.told["base"]
    if base is not None:
        is_hub = is_repo(base) and not Path(base).is_dir()
        return base, told["revision"] if is_hub else None
    if told["id"] == tiny.NAME:
        return tiny.NAME, None
    if is_repo(told["id"]):
        return told["id"], told["revision"]
    if not told.get("folder") or not Path(told["folder"]).is_dir():
        raise EquimeError(
            f"{run.name} was trained on a folder {told['id']!r} that is not here: give --base where it lies"
        )
    return told["folder"], None


def _located(where: str | Path) -> tuple[Path, str]:
    from equime.publishing.repository.asking import MAIN
    from equime.recognise.model_repo import ModelRemote

    if isinstance(where, Path) or Path(where).expanduser().exists():
        return Path(where).expanduser(), str(where)
    repo, _, revision = where.partition("@")
    if not is_repo(repo):
        raise EquimeError(f"no run in {where!r}: expected the folder of `equime tune`, or a repository OWNER/NAME")
    folder, commit = ModelRemote(repo).snapshot(revision or MAIN)
    return folder, f"{repo}@{commit}"


def _digest(files: Iterable[Path]) -> str:
    return hashlib.sha256("".join(map(sha256_of, sorted(files))).encode()).hexdigest()[:16]
