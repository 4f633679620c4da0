"""The table of predictions: one row for each sample, fold and seed. What every score, audit and table is made from.

    predictions = read(Path("runs/x/predictions.parquet"))
    predictions.column("prediction")

It holds no weights and no faces, so that numbers can be checked by people who have neither. Gender, age and race are
*perceived* labels; emotions of generated clips are *intended*.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from equime.errors import EquimeError
from equime.table import replacing

Array = npt.NDArray[Any]

ABOUT: Final = ("sample_id", "dataset", "subject_id", "gender", "age", "race", "split")
"""Columns that come from the samples."""
FACTS: Final = b"equime"
ANSWERS: Final = "predictions.parquet"
"""In a run's folder: of all folds and seeds; in a job's: of that fold and seed."""
_NOT_OURS: Final = "expected predictions of `equime train` or `equime predict`, got {}"


def schema(classes: Sequence[str]) -> pa.Schema:
    """Columns of a table of predictions of some classes."""
    about = [pa.field(name, pa.string()) for name in ABOUT]
    return pa.schema(
        [
            *about,
            pa.field("fold", pa.string()),
            pa.field("seed", pa.int32()),
            pa.field("label", pa.string()),
            pa.field("prediction", pa.string()),
            pa.field("probabilities", pa.struct([pa.field(name, pa.float32()) for name in classes])),
        ]
    )


def table(
    samples: pa.Table, labels: Array, probabilities: Array, classes: Sequence[str], fold: str, seed: int
) -> pa.Table:
    """The predictions for some samples.

    Args:
        samples: Their rows, columns of `samples.FIELDS`.
        labels: int64 (n,); -1 where there is none.
        probabilities: float32 (n, classes).
        classes: Names, in order.
        fold: Name of the fold that tests them.
        seed: Of the training.
    """
    names = [*classes, None]  # -1 is the last
    columns = {name: samples[name].to_pylist() for name in ABOUT}
    columns |= {"fold": [fold] * len(samples), "seed": [seed] * len(samples)}
    columns["label"] = [names[label] for label in labels.tolist()]
    columns["prediction"] = [names[best] for best in probabilities.argmax(1).tolist()]
    columns["probabilities"] = [dict(zip(classes, row, strict=True)) for row in probabilities.tolist()]
    return pa.table(columns, schema=schema(classes))


def write(path: Path, predictions: pa.Table, facts: Mapping[str, Any]) -> None:
    """Write predictions, to a temporary name first, with facts about them in the file's footer."""
    told = predictions.replace_schema_metadata({FACTS: json.dumps(facts)})
    with replacing(path) as temporary:
        pq.write_table(told, temporary)


def read(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """Predictions and the facts about them.

    Raises:
        EquimeError: No such file, or none of this package.
    """
    if path.is_dir():
        raise EquimeError(f"expected a file of predictions, got the folder {path}; a run's is {path / ANSWERS}")
    try:
        found = pq.read_table(path)
        facts = json.loads((found.schema.metadata or {})[FACTS])
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise EquimeError(_NOT_OURS.format(path)) from error
    if not _is_ours(found):
        raise EquimeError(_NOT_OURS.format(path))
    return found, facts


def _is_ours(found: pa.Table) -> bool:
    names = found.column_names
    if "probabilities" not in names or not pa.types.is_struct(found.schema.field("probabilities").type):
        return False
    return bool(found.schema.equals(schema(classes_of(found))))


def labelled(predictions: pa.Table) -> pa.Table:
    """The rows that have a label: those that a score is of."""
    return predictions.filter(predictions["label"].is_valid())


def classes_of(predictions: pa.Table) -> tuple[str, ...]:
    """Names of the classes, in order."""
    return tuple(field.name for field in predictions.schema.field("probabilities").type)


def numbers(predictions: pa.Table, name: str) -> Array:
    """The column "label" or "prediction" as int64 (n,): places in `classes_of`.

    Raises:
        EquimeError: A value that is no class.
    """
    classes = classes_of(predictions)
    place = {known: number for number, known in enumerate(classes)}
    values = predictions[name].to_pylist()
    if strange := set(values) - place.keys():
        raise EquimeError(f"expected each {name} to be one of {', '.join(classes)}, got {strange.pop()!r}")
    return np.array([place[value] for value in values], np.int64)
