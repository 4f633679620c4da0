"""Features on disk, one file for each content: made once, whoever asks, and made again when anything changed.

    cache = Cache(Path("features"), FlowImage())
    cache.key(row, pictures)                        # of the options, the row's times and the pictures' bytes
    cache.get(key)                                  # None where it is not there, or is damaged

Files are written under another name and renamed: what has its name is whole. They carry checksums of their own.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import uuid
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from equime.errors import EquimeError
from equime.one_line import one_line
from equime.recognise.features.feature import Feature, Made
from equime.recognise.samples import MOMENTS, Pictures, Row

TIMES: Final = ("fps", *MOMENTS)
"""The columns of a row that decide which frames are taken."""


@dataclass(frozen=True)
class Cache:
    """The cache of one feature.

    Attributes:
        folder: Of all features; made where it is missing.
        feature: Whose.
    """

    folder: Path
    feature: Feature

    def key(self, row: Row, pictures: Pictures) -> str:
        """A digest of everything that decides the values: options, versions, times, the bytes of the frames.

        Raises:
            EquimeError: As `Feature.needs` and `Pictures.digest`.
        """
        numbers = self.feature.needs(row, pictures.numbers)
        decides: dict[str, Any] = {"feature": self.feature.describe(), "frames": numbers}
        decides |= {name: row[name] for name in TIMES} | {"pictures": pictures.digest(numbers)}
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

    def path(self, key: str) -> Path:
        """Where the values of a key lie."""
        return self.folder / self.feature.name / key[:2] / f"{key}.npz"

    def get(self, key: str) -> Made | None:
        """What was kept; None where nothing was, or it is damaged, so that it is made again."""
        try:
            with np.load(io.BytesIO(self.path(key).read_bytes()), allow_pickle=False) as kept:
                values, note = kept["values"], str(kept["note"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        fits = values.dtype == np.float32 and values.shape == self.feature.shape
        return Made(values, note) if fits else None

    def put(self, key: str, made: Made) -> None:
        """Keep the values of a key.

        Raises:
            EquimeError: The folder cannot be written.
        """
        path, buffer = self.path(key), io.BytesIO()
        np.savez(buffer, values=made.values, note=np.array(made.note))
        unfinished = path.with_name(f".{uuid.uuid4().hex}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_bytes(buffer.getvalue())
            os.replace(unfinished, path)
        except OSError as error:
            raise EquimeError(
                f"cannot keep features in {one_line(self.folder)}: {error.strerror}; give another --cache"
            ) from error
        finally:
            with contextlib.suppress(OSError):
                unfinished.unlink()
