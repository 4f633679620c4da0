"""Runs of `Words` to watch, stop in the middle, and compare with runs that nothing stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from toy_stages import Words, clip_id, make_plan, start

from equime.runner import run
from equime.table import Table

WAIT_S = 30.0


def states(table: Table, group: str = "caption") -> dict[str, tuple[int, int, bytes]]:
    """Inode, time of writing and content of each shard."""
    found = sorted((table.path / group).glob("*.parquet"))
    return {p.name: (p.stat().st_ino, p.stat().st_mtime_ns, p.read_bytes()) for p in found}


def contents(table: Table, group: str = "caption") -> list[bytes]:
    return [data for _, _, data in states(table, group).values()]


def captions(table: Table) -> list[Any]:
    return [row["caption"] for row in table.rows(["caption"])]


def errors(table: Table) -> list[Any]:
    return [row["caption_error"] for row in table.rows(["caption_error"])]


def temporary(table: Table) -> list[Path]:
    return list((table.path / "caption").glob(".*.tmp"))


def until(reached: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + WAIT_S
    while not (found := reached()):
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)
    return found


@contextlib.contextmanager
def at_work(
    table: Table, gate: Path, *stop_at: int, workers: int = 1, on: str = "local", **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """A run in its own session, waiting at rows."""
    gate.mkdir(exist_ok=True)
    ids = [clip_id(number) for number in stop_at]
    arguments = (table.path, "--on", on, "--workers", workers, "--gate", gate, "--stop-at", *ids)
    process = start(*arguments, environment=environment, start_new_session=True)
    try:
        until(lambda: len(list(gate.glob("waiting-*"))) == workers or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def waiting(gate: Path) -> list[int]:
    return [int(path.name.partition("-")[2]) for path in gate.glob("waiting-*")]


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def finish(table: Table, before: dict[str, Any], whole: Path) -> None:
    """Run again and compare with a run that nothing stopped; what was finished must not be touched."""
    receipt = run(Words(), table)
    assert (receipt.done, receipt.fresh) == (len(table.shards()) - len(before), len(before))
    assert before.items() <= states(table).items()
    untouched = make_plan(whole)
    run(Words(), untouched)
    assert contents(table) == contents(untouched)
    assert temporary(table) == []
