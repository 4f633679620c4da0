"""What of a finished run is published: files in a folder, without a word of who was in the data.

    with outgoing(Path("runs/x"), "owner/name") as found:
        found.files                     # path in the repository -> file

    fold-003-seed0.safetensors          a network; its header says what it takes and gives
    weights.json                        the sha256 of each
    run.json                            the manifest
    README.md                           the card

No pictures, answers, names of clips or folders, optimisers. In leave-one-subject-out a fold is named after a person,
so folds get numbers. Subjects stay as hashes in the networks: one is never asked about a face that it knows.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from equime.errors import EquimeError
from equime.locks import hold
from equime.publishing.manifest import FileEntry, hashed
from equime.recognise import predictions, run_card
from equime.recognise.evaluate import evaluate
from equime.recognise.model_repo import HASHES
from equime.recognise.predict import hashes
from equime.recognise.training.run import ANSWERS_OF_ALL, MANIFEST
from equime.scores import Scores
from equime.wording import counted

CARD: Final = "README.md"
MOST_BYTES: Final = 2_000_000_000
"""Networks of more bytes than this, together, are not sent."""
TOLD: Final = ("mark", "title", "version", "experiment", "data", "classes", "packages", "commit")
"""What `run.json` keeps of the manifest as it is: nothing that names a sample, a subject or a folder."""
_JOB: Final = re.compile(r"(\d+)-.*-seed(\d+)", re.DOTALL)


class Outgoing(NamedTuple):
    """What is to be in the repository.

    Attributes:
        files: Path there -> file here.
        entries: Path there -> size and hash.
        networks: How many of the files are networks.
        mark: Of the run, see `training.run`.
    """

    files: dict[str, Path]
    entries: dict[str, FileEntry]
    networks: int
    mark: str


@contextlib.contextmanager
def outgoing(run: Path, repo: str, *, seeds: int | None = None, most_bytes: int = MOST_BYTES) -> Iterator[Outgoing]:
    """The files for the length of a `with` block.

    Args:
        run: Its folder, finished, with networks.
        repo: "owner/name", for the card.
        seeds: Networks of so many seeds, the first ones; None is all.
        most_bytes: Of the networks together.

    Raises:
        EquimeError: The run is not finished, has no networks, or they are too large.
    """
    told, scores = _finished(run)
    networks = _networks(run, told, seeds)
    size = sum(network.path.stat().st_size for network in networks)
    if size > most_bytes:
        raise EquimeError(
            f"{counted(len(networks), 'network')} of {run} are {size:,} bytes, more than {most_bytes:,}: send those "
            "of fewer seeds (--push-seeds 1), or train fewer folds (--protocol kfold:5)"
        )
    with hold(run), _emptied(run / ".push") as folder:
        sent = {network.name: _without_names(network, folder) for network in networks}
        _write(folder / HASHES, sent)
        _write(folder / MANIFEST, told)
        kept = len({network.seed for network in networks})
        card = run_card.render(told, scores, repo=repo, networks=len(networks), seeds=kept)
        (folder / CARD).write_text(card, encoding="utf-8")
        files = {name: folder / name for name in (*sent, HASHES, MANIFEST, CARD)}
        yield Outgoing(files, {name: hashed(file) for name, file in files.items()}, len(networks), told["mark"])


class _Network(NamedTuple):
    """A network of a run, its recorded sha256, and the numbers of its fold and seed."""

    path: Path
    sha256: str
    fold: int
    seed: int

    @property
    def name(self) -> str:
        return f"fold-{self.fold:03d}-seed{self.seed}.safetensors"


def _finished(run: Path) -> tuple[dict[str, Any], Scores]:
    """What may be told of a run's manifest, and its scores."""
    try:
        manifest = json.loads((run / MANIFEST).read_text(encoding="utf-8"))
        answers, facts = predictions.read(run / ANSWERS_OF_ALL)
        finished = facts["mark"] == manifest["mark"]
        told = {name: manifest[name] for name in TOLD}
        folds = [{"name": f"fold-{k:03d}", **_counts(fold)} for k, fold in enumerate(manifest["folds"])]
        told |= {"folds": folds, "problems": len(manifest["problems"])}
    except (OSError, ValueError, KeyError, TypeError, EquimeError) as error:
        raise EquimeError(f"no finished run in {run}: run the same `equime train` again, which ends it") from error
    if not finished:
        raise EquimeError(f"{run / ANSWERS_OF_ALL} is of another run than {MANIFEST}: train again, in a new folder")
    return told, evaluate(answers)


def _counts(fold: Mapping[str, Any]) -> dict[str, int]:
    return {part: int(fold[part]) for part in ("train", "test")}


def _networks(run: Path, told: Mapping[str, Any], seeds: int | None) -> list[_Network]:
    """The networks of the first seeds, every fold's."""
    found = []
    for path, sha256 in hashes(run):
        if (job := _JOB.fullmatch(path.parent.name)) and path.is_file():
            found.append(_Network(path, sha256, int(job[1]), int(job[2])))
    all_seeds = told["experiment"]["seeds"]
    if seeds is not None and not 1 <= seeds <= all_seeds:
        raise EquimeError(f"expected --push-seeds from 1 to {all_seeds}, the seeds of {run}; got {seeds}")
    wanted = [network for network in found if network.seed < (seeds or all_seeds)]
    if len(wanted) != (expected := len(told["folds"]) * (seeds or all_seeds)):
        raise EquimeError(
            f"{run} keeps {len(wanted)} of the {counted(expected, 'network')} to be sent: train with --weights, in a "
            "new folder"
        )
    return wanted


def _without_names(network: _Network, folder: Path) -> str:
    """Write a network with its fold's number for its name; the new sha256."""
    from equime.recognise.training.checkpoint import load, save

    trained, made = load(network.path, network.sha256)
    return save(folder / network.name, trained, dataclasses.replace(made, fold=f"fold-{network.fold:03d}"))


@contextlib.contextmanager
def _emptied(folder: Path) -> Iterator[Path]:
    """A folder that is empty now and gone afterwards; a push that was killed may have left it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
