"""What a run is of: the manifest `run.json`, which every later call is compared with before it trains anything.

Its "mark" is the hash of all that decides the numbers: the experiment, the samples' rows, the features' values. Where
pictures lie and in which order rows came is no part of that.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from equime.errors import EquimeError
from equime.recognise.training.job import Jobs
from equime.shard_worker import versions
from equime.table import replacing

Array = npt.NDArray[Any]

VERSION: Final = 1
"""Raised when equal experiments no longer give equal numbers."""
PACKAGES: Final = ("torch", "torchvision", "transformers", "timm", "numpy", "opencv-contrib-python-headless")
MANIFEST: Final = "run.json"
DECIDES: Final = ("version", "experiment", "data")
SHOWN: Final = 4
"""Differences that are named."""


def manifest(jobs: Jobs, x: Array, y: Array, table: pa.Table) -> dict[str, Any]:
    """Everything of a run that does not depend on the hour.

    Args:
        jobs: Its jobs.
        x: Features of its samples, in the order of `table`.
        y: int64 (n,), their labels.
        table: Their rows.
    """
    data = _described(x, y, table, jobs.classes)
    decides = {"version": VERSION, "experiment": jobs.experiment.to_dict(), "data": data}
    mark = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    folds = [{"name": fold.name, "train": len(fold.train), "test": len(fold.test)} for fold in jobs.folds]
    about = {"folds": folds, "classes": jobs.classes, "device": jobs.device}
    told = {"mark": mark, "title": jobs.experiment.title, **decides, **about}
    found: dict[str, Any] = json.loads(json.dumps(told | {"packages": versions(PACKAGES), "commit": _commit()}))
    return found


def _described(x: Array, y: Array, table: pa.Table, classes: tuple[str, ...]) -> dict[str, Any]:
    """Sizes by data set, and hashes of the rows and the features."""
    sets = Counter(table["dataset"].to_pylist())
    subjects = Counter(dataset for dataset, _ in {*zip(*_columns(table, "dataset", "subject_id"), strict=True)})
    rows = json.dumps(table.drop_columns(["frames"]).to_pylist(), sort_keys=True, default=str)
    counts = np.bincount(y, minlength=len(classes)).tolist()
    values: Any = np.ascontiguousarray(x)
    return {
        "sets": {name: {"samples": sets[name], "subjects": subjects[name]} for name in sorted(sets)},
        "classes": dict(zip(classes, counts, strict=True)),
        "rows": hashlib.sha256(rows.encode()).hexdigest(),
        "features": hashlib.sha256(values).hexdigest(),
    }


def _columns(table: pa.Table, *names: str) -> list[list[Any]]:
    return [table[name].to_pylist() for name in names]


def before(out: Path) -> dict[str, Any] | None:
    """The manifest that a folder holds; None where there is none.

    Raises:
        EquimeError: It is no manifest.
    """
    path = out / MANIFEST
    if not path.exists():
        return None
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        if found.keys() >= {"mark", "packages", *DECIDES}:
            return found
    except (OSError, ValueError, AttributeError) as error:
        raise EquimeError(f"{path} is no manifest of a run ({error}): give another --out") from error
    raise EquimeError(f"{path} is no manifest of a run: give another --out")


def require_same(out: Path, old: Mapping[str, Any], new: Mapping[str, Any], *, trains: bool) -> None:
    """Refuse a folder that holds another run, naming what differs.

    Args:
        out: The folder.
        old: The manifest that it holds.
        new: That of the run in hand.
        trains: Whether anything is left to train: networks of one run are trained by one set of packages.

    Raises:
        EquimeError: It does.
    """
    names = DECIDES if old["mark"] != new["mark"] else ("packages",) if trains else ()
    found = [line for name in names for line in _differences(name, old[name], new[name])]
    if found or old["mark"] != new["mark"]:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise EquimeError(f"{out} holds another run: {', '.join(found[:SHOWN])}{more}; give another --out")


def _differences(name: str, old: Any, new: Any) -> Iterator[str]:
    """`name.of.a.value was x, is y`, for each that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            yield from _differences(f"{name}.{key}", old.get(key), new.get(key))
    elif old != new:
        yield f"{name} was {_short(old)}, is {_short(new)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:12]}...{text[-1]}"


def write(out: Path, told: Mapping[str, Any]) -> None:
    """Write the manifest of a folder, whole or not at all."""
    with replacing(out / MANIFEST) as file:
        file.write(json.dumps(told, indent=1).encode() + b"\n")


def _commit() -> str | None:
    """The commit of the checkout that this package runs from; None where it is installed."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return None
    try:
        told = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return told.stdout.strip() or None
