"""What the runner costs on top of a stage's own work: the claim is under 2 ms a row.

    python bench/runner.py           # 4,096 rows, 64 a shard, a stage that does nothing
    python bench/runner.py --json

The no-op stage reads five columns and writes two. "loop" is the same stage called on the same dicts in memory, in
batches of the same size; the rest is reading, marks, digests, writing, fsync and rename. "fresh" is a run that
finds nothing to do, and "status" is `equime status`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from equime import schema
from equime.checks import status
from equime.footer import Footer, digest, mark_of
from equime.runner import run
from equime.shard_worker import BATCH
from equime.stage import Row, writes
from equime.table import Table

GOAL_MS = 2.0


@dataclass(frozen=True)
class Nothing:
    """Writes constants."""

    name: ClassVar[str] = "caption"
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("emotion", "action_units", "onset_ms", "apex_ms", "offset_ms")
    writes: ClassVar[pa.Schema] = writes("caption")

    def load(self) -> None:
        """Nothing."""

    def __call__(self, rows: list[Row]) -> list[Row]:
        """The same for every row."""
        return [{"caption": "a face", "caption_json": "{}"} for _ in rows]


def main() -> None:
    """Print the costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--shard-rows", type=int, default=64)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder) / "ws", options.rows, options.shard_rows)
    print(json.dumps({"claims": claims(found), **found}) if options.json else table_of(found))


def measure(path: Path, rows: int, shard_rows: int) -> dict[str, float]:
    """Milliseconds a row of each way, and the goal."""
    table = planned(path, rows, shard_rows)
    stage = Nothing()
    dicts = list(table.rows(stage.reads))
    batches = [dicts[start : start + BATCH] for start in range(0, rows, BATCH)]
    timed: dict[str, Callable[[], Any]] = {
        "loop": lambda: [stage(batch) for batch in batches],
        "runner": lambda: run(stage, table, progress=False),
        "fresh": lambda: run(stage, table, progress=False),
        "status": lambda: status(table),
    }
    costs = {name: 1e3 * seconds(call) / rows for name, call in timed.items()}
    return {"rows": rows, "shard_rows": shard_rows, **costs, "goal": GOAL_MS}


def claims(found: dict[str, float]) -> list[dict[str, object]]:
    """What stands in the README."""
    return [
        {
            "claim": "the stage runner's own cost a row",
            "against": "a plain loop",
            "value": found["runner"] - found["loop"],
            "unit": "ms",
            "goal": f"at most {GOAL_MS:g}",
        }
    ]


def planned(path: Path, rows: int, shard_rows: int) -> Table:
    """A workspace with nothing but a plan."""
    table = Table.create(path, shard_rows=shard_rows)
    for index, start in enumerate(range(0, rows, shard_rows)):
        values = [row(number) for number in range(start, min(start + shard_rows, rows))]
        shard = pa.Table.from_pylist(values, schema=schema.GROUPS["plan"])
        mark = mark_of("plan", 1, {}, {"clip_id": digest(shard["clip_id"])})
        table.write("plan", index, shard, Footer("plan", 1, mark))
    return table


def row(number: int) -> Row:
    """One planned clip."""
    emotion = schema.EMOTIONS[number % 5]
    return {
        "clip_id": f"{emotion}/u_{number // 5:05d}_01",
        "subject_id": f"{number // 5:05d}",
        "emotion": emotion,
        "action_units": [{"au": au, "side": "B", "intensity": "B"} for au in (6, 12)],
        "onset_ms": 1000.0,
        "apex_ms": 1158.0 + number % 7,
        "offset_ms": 1318.0 + number % 11,
        "seed": number,
        "split": "train",
    }


def seconds(call: Callable[[], Any]) -> float:
    """Wall-clock time of one call."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def table_of(found: dict[str, float]) -> str:
    """For people."""
    names = ("loop", "runner", "fresh", "status")
    lines = [f"{name:8} {found[name]:8.4f} ms a row" for name in names]
    over = found["runner"] - found["loop"]
    lines.append(f"runner - loop = {over:.3f} ms a row, {found['goal'] / over:.0f} times under {found['goal']} ms")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
