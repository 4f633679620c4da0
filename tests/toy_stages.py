"""Small real stages, and a plan for them to follow: `from toy_stages import Words, Looks, make_plan`.

They live in a module of their own so that spawned workers can import them, and so that a test can run them in
a process to kill: `python -c "import toy_stages; toy_stages.main([...])"`.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from equime import schema
from equime.errors import EquimeError
from equime.footer import Footer, digest, mark_of
from equime.options import option
from equime.runner import run
from equime.stage import Row, writes
from equime.table import Table

if slow := os.environ.get("SLOW_IMPORT"):  # for a test that interrupts workers while they import
    Path(slow, f"importing-{os.getpid()}").touch()
    time.sleep(0.5)

ROOT = Path(__file__).parents[1]
PATHS = {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}


@dataclass(frozen=True)
class Words:
    """Column group `caption` from the plan."""

    name: ClassVar[str] = "caption"
    version: ClassVar[int] = 1
    batch: ClassVar[int] = 2
    reads: ClassVar[tuple[str, ...]] = ("emotion", "sequence")
    writes: ClassVar[pa.Schema] = writes("caption")

    text: str = option("a face", help="what to say")
    padding: int = option(0, help="random bytes, as hex, to add to each caption")
    bad: tuple[str, ...] = option((), help="clips that cannot be worded", result=False)
    log: Path | None = option(None, help="file that gets a line for each row run", result=False)
    gate: Path | None = option(None, help="folder: the rows `stop_at` wait here", result=False)
    stop_at: tuple[str, ...] = option((), help="clips to wait at", result=False)
    fatal: tuple[str, ...] = option((), help="clips that kill their worker", result=False)

    def load(self) -> None:
        if self.text == "unloadable":
            raise EquimeError("no words are installed: run `pip install words`")

    def __call__(self, rows: list[Row]) -> list[Row]:
        return [self._word(row) for row in rows]

    def _word(self, row: Row) -> Row:
        if self.log:
            with self.log.open("a") as log:
                log.write(row["clip_id"] + "\n")
        if row["clip_id"] in self.bad:
            raise ValueError("cannot be worded")
        if row["clip_id"] in self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.gate and row["clip_id"] in self.stop_at:
            (self.gate / f"waiting-{os.getpid()}").touch()
            while not (self.gate / "open").exists():
                time.sleep(0.01)
        return {"caption": f"{self.text}, {row['emotion']} {row['sequence']}" + os.urandom(self.padding).hex()}


@dataclass(frozen=True)
class Looks:
    """Column group `tag` from the captions."""

    name: ClassVar[str] = "tag"
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("caption",)
    writes: ClassVar[pa.Schema] = writes("tag")

    def load(self) -> None: ...

    def __call__(self, rows: list[Row]) -> list[Row]:
        return [{"age": float(len(row["caption"])), "expression": "neutral"} for row in rows]


def make_plan(path: Path, rows: int = 8, *, shard_rows: int = 2, **changes: list[Any]) -> Table:
    """A workspace with a plan and nothing else. `changes` replaces whole columns, value by value."""
    table = Table.create(path, shard_rows=shard_rows)
    values = [_planned(number) for number in range(rows)]
    for name, column in changes.items():
        values = [row | {name: value} for row, value in zip(values, column, strict=True)]
    for index, start in enumerate(range(0, rows, shard_rows)):
        write_shard(table, "plan", index, values[start : start + shard_rows])
    return table


def clip_id(number: int) -> str:
    """The id of row `number` of `make_plan`."""
    return str(_planned(number)["clip_id"])


def write_shard(table: Table, group: str, index: int, rows: Iterable[Row], **footer: Any) -> None:
    """Write rows as a shard that follows from nothing."""
    shard = pa.Table.from_pylist(list(rows), schema=schema.GROUPS[group])
    mark = mark_of(group, 1, {}, {"clip_id": digest(shard["clip_id"])})
    table.write(group, index, shard, Footer(group, 1, mark, **footer))


def _planned(number: int) -> Row:
    emotion = schema.EMOTIONS[number % 5]
    subject = f"s{number // 5}"
    return {
        "clip_id": f"{emotion}/f_{subject}_01",
        "subject_id": subject,
        "source_sha256": f"{number // 5:064x}",
        "emotion": emotion,
        "sequence": 1,
        "action_units": [{"au": 12, "side": "B", "intensity": "B"}],
        "onset_ms": 100.0,
        "apex_ms": 200.0 + number,
        "offset_ms": 400.0,
        "seed": number,
        "split": "train",
    }


def start(
    *arguments: object, before: str = "", environment: Mapping[str, str] | None = None, **keywords: Any
) -> subprocess.Popen[str]:
    """`main` in a process of its own; `before` is Python to run there first."""
    code = f"{before}\nimport toy_stages\ntoy_stages.main({[str(a) for a in arguments]!r})"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | PATHS | dict(environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **keywords,
    )


def main(argv: list[str]) -> None:
    """Run `Words` over a workspace, and end as a command line would."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--on", default="local")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--share", type=lambda text: tuple(map(int, text.split("/"))))
    parser.add_argument("--gate", type=Path)
    parser.add_argument("--stop-at", nargs="*", default=[])
    parser.add_argument("--padding", type=int, default=0)
    options = parser.parse_args(argv)
    stage = Words(padding=options.padding, gate=options.gate, stop_at=tuple(options.stop_at))
    try:
        receipt = run(stage, Table(options.workspace), options.on, options.workers, shard=options.share)
        sys.stdout.write(f"{receipt}\n")
    except EquimeError as error:
        sys.exit(f"equime: {error}")
    except KeyboardInterrupt:
        sys.stderr.write("equime: stopped\n")
        sys.exit(130)
