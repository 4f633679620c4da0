"""A trained network on disk: its weights, what they are the weights of, and whom they were trained on.

    save(path, fitted.network, made)                 # model.safetensors; what it is stands in its header
    network, made = load(path, sha256="...")

Subjects are kept as hashes: enough to say "this network has seen this face", and no list of people.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from torch import nn

from equime.errors import EquimeError
from equime.recognise.models.build import build
from equime.recognise.training import state
from equime.recognise.training.standardised import Standardised


@dataclass(frozen=True)
class Made:
    """What a network is and what it was trained on.

    Attributes:
        model: Its name in `models.build.KINDS`.
        shape: Of one sample.
        classes: Names of the outputs, in order.
        target: The column of `samples.FIELDS` that they are the classes of.
        feature: What one sample is: `features.describe`.
        fold: Name of the fold that it was kept from, and `seed` of the training.
        seed: Seed.
        subjects: `seen` of each subject that it was trained on.
    """

    model: str
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    target: str
    feature: Mapping[str, Any]
    fold: str
    seed: int
    subjects: tuple[str, ...]


def seen(subject_id: str) -> str:
    """The hash by which a checkpoint knows a subject."""
    return hashlib.sha256(f"equime subject {subject_id}".encode()).hexdigest()[:16]


def seen_all(subjects: Iterable[str]) -> tuple[str, ...]:
    """The hashes of several subjects, each once, in order."""
    return tuple(sorted({seen(subject) for subject in subjects}))


def sha256_of(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_unseen(folder: Path, tested: Iterable[str]) -> None:
    """Refuse to start from networks that were trained here on people who are to be tested.

    Raises:
        EquimeError: They were, or the folder's weights do not read.
    """
    tested = seen_all(tested)
    for path in sorted(folder.expanduser().glob("*.safetensors")):
        made = state.facts_of(path).get("made") or {}
        if known := set(tested) & set(made.get("subjects", ())):
            raise EquimeError(
                f"the network in {path} was trained on {len(known)} of the {len(tested)} people that are to be tested: "
                "start from one that was trained on others, or test others"
            )


def save(path: Path, network: nn.Module, made: Made) -> str:
    """Write a network; its sha256."""
    state.write(path, network.state_dict(), {"made": asdict(made)})
    return sha256_of(path)


def load(path: Path, sha256: str | None = None) -> tuple[nn.Module, Made]:
    """A network in evaluation mode on the CPU, and what it is.

    Raises:
        EquimeError: No such file, another hash than the run's own record of it, or weights of another network.
    """
    if sha256 is not None and (found := _sha256(path)) != sha256:
        raise EquimeError(f"{path} was changed since it was trained: expected sha256 {sha256[:12]}, got {found[:12]}")
    tensors, facts = state.read(path)
    try:
        told = facts["made"]
        made = Made(**{f.name: _tupled(told[f.name]) for f in fields(Made)})
        network = Standardised(build(made.model, len(made.classes), made.shape), None, made.shape[0])
    except (KeyError, TypeError, AttributeError) as error:
        raise EquimeError(f"{path} does not say what it is the weights of: train again") from error
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise EquimeError(f"{path} says it is a {made.model} and holds other weights: train again") from error
    return network.eval(), made


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise EquimeError(f"cannot read {path}: {error.strerror or error}") from error


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
