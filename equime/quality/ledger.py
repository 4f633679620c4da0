"""Results kept one line each, as they are made: long work that is stopped goes on where it was.

    ledger = Ledger(Path("range.clips.jsonl"))
    value = ledger.get(key) or ledger.add(key, measure())

A line that was cut short, by a full disk or a kill, is measured again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equime.errors import EquimeError
from equime.table import writing


class Ledger:
    """A file of JSON lines, `{"key": ..., ...}`; of two with one key the later counts.

    Args:
        path: The file, made with the first line; None keeps nothing.

    Raises:
        EquimeError: The file cannot be read or written, or holds something else.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._found: dict[str, dict[str, Any]] = {}
        self._before = ""
        if path is None:
            return
        with writing(path):  # now, and not after the first minute of work
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("a").close()
            text = path.read_text(encoding="utf-8", errors="replace")
        self._before = "\n" if text and not text.endswith("\n") else ""
        for line in text.splitlines():
            try:
                value = json.loads(line)
                self._found[value.pop("key")] = value
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
        if text.strip() and not self._found and not text.startswith('{"key"'[: len(text)]):
            raise EquimeError(f"{path} holds something else: give --out a new file")

    def get(self, key: str) -> dict[str, Any] | None:
        """What was kept under a key."""
        return self._found.get(key)

    def add(self, key: str, value: Mapping[str, Any]) -> dict[str, Any]:
        """Keep a JSON-ready value, at once, and return it."""
        kept = self._found[key] = dict(value)
        if self.path is not None:
            with writing(self.path), self.path.open("a", encoding="utf-8") as handle:
                handle.write(f"{self._before}{json.dumps({'key': key} | kept)}\n")
            self._before = ""
        return kept


def key_of(*parts: Any) -> str:
    """A key of everything a result follows from; paths count by name, size and time of change."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=_stamp).encode()).hexdigest()


def _stamp(value: Any) -> Any:
    if isinstance(value, Path):
        found = value.stat()
        return [value.name, found.st_size, found.st_mtime_ns]
    raise TypeError(f"no key can be made of {type(value).__name__}")
