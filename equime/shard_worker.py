"""One shard from start to rename: what a loop, a process pool and a cluster all call.

    ShardWorker(stage, table)(12)          # reads, runs the stage, writes ws/<stage>/00012.parquet

A batch that fails is tried row by row; a row that fails alone keeps nulls and its reason in `<stage>_error`:
never a missing row.
"""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import pyarrow as pa

from equime.errors import EquimeError, MissingPackageError
from equime.footer import DamagedShardError, Footer
from equime.marks import mark
from equime.options import result_fields
from equime.stage import Row, Stage
from equime.table import Table

BATCH = 16
REASON_LENGTH = 500
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What one shard came to. `written` is False where it came to nothing and good rows were there before."""

    rows: int
    errors: dict[str, str]
    written: bool = True


@dataclass(frozen=True)
class ShardWorker:
    """Makes one shard from start to rename. The same object serves a loop, a process pool and a cluster."""

    stage: Stage
    table: Table
    retry_failed: bool = False

    def __call__(self, index: int, tick: Callable[[int], None] = lambda rows: None) -> Outcome:
        """Make shard `index`, telling `tick` of each batch's rows."""
        mark_now = mark(self.stage, self.table, index)
        if mark_now is None:
            raise EquimeError(f"shard {index} lost an input while {self.stage.name} ran: run it again")
        inputs = self.table.read(index, self.stage.reads).to_pylist()
        before = self._before(index)
        kept = self._kept(index, before) if before and before.mark == mark_now else {}
        results = self._results(inputs, kept, tick)
        error = f"{self.stage.name}_error"
        errors = {row["clip_id"]: r[error] for row, r in zip(inputs, results, strict=True) if r[error]}
        # A row may hold something beside its reason, such as an answer that cannot be read: that is a result.
        nothing = all(value is None for r in results for name, value in r.items() if name != error)
        if nothing and len(errors) == len(inputs) and self._has_good_rows(before, index):
            kept_too = {clip: f"{why} (the {self.stage.name} made before is kept)" for clip, why in errors.items()}
            return Outcome(len(inputs), kept_too, written=False)
        ids = pa.array([row["clip_id"] for row in inputs], pa.string())
        made = pa.Table.from_pylist(results, schema=self.stage.writes).add_column(0, "clip_id", ids)
        self.table.write(self.stage.name, index, made, self._footer(mark_now, len(errors)))
        return Outcome(len(inputs) - len(kept), errors)

    def _before(self, index: int) -> Footer | None:
        try:
            return self.table.sound_footer(self.stage.name, index)
        except DamagedShardError:  # it is about to be made again
            return None

    def _has_good_rows(self, before: Footer | None, index: int) -> bool:
        """Whether the shard as it was holds results for the clips that are planned now."""
        plan = self.table.footer("plan", index)
        if before is None or plan is None:
            return False
        return before.failed < before.rows and before.digests.get("clip_id") == plan.digests.get("clip_id")

    def _kept(self, index: int, before: Footer) -> dict[str, Row]:
        """Rows of a fresh shard that need no retry, by clip_id."""
        if not self.retry_failed or not before.failed:
            return {}
        try:
            rows = self.table.read(index, self.stage.writes.names).to_pylist()
        except DamagedShardError:
            return {}
        return {row.pop("clip_id"): row for row in rows if not row[f"{self.stage.name}_error"]}

    def _results(self, inputs: list[Row], kept: dict[str, Row], tick: Callable[[int], None]) -> list[Row]:
        todo = [row for row in inputs if row["clip_id"] not in kept]
        made: dict[str, Row] = {}
        for batch in _batches(todo, getattr(self.stage, "batch", BATCH)):
            results = attempt(self.stage, batch)
            made |= {row["clip_id"]: result for row, result in zip(batch, results, strict=True)}
            tick(len(batch))
        return [kept.get(row["clip_id"]) or made[row["clip_id"]] for row in inputs]

    def _footer(self, mark_now: str, failed: int) -> Footer:
        return Footer(
            stage=self.stage.name,
            version=self.stage.version,
            mark=mark_now,
            reads=self.stage.reads,
            fields=result_fields(self.stage),
            models=dict(getattr(self.stage, "models", {})),
            packages=versions(getattr(self.stage, "packages", ())),
            failed=failed,
        )


def attempt(stage: Stage, rows: list[Row]) -> list[Row]:
    """A batch through a stage; when it fails, row by row, so that only the bad row keeps a reason."""
    try:
        return _called(stage, rows)
    except MissingPackageError:
        raise  # the machine's fault, not the row's
    except Exception as error:
        if len(rows) > 1:
            return [result for row in rows for result in attempt(stage, [row])]
        logger.debug("%s failed on %s", stage.name, rows[0]["clip_id"], exc_info=True)
        return [dict.fromkeys(stage.writes.names) | {f"{stage.name}_error": reason(error)}]


def _called(stage: Stage, rows: list[Row]) -> list[Row]:
    results = stage([dict(row) for row in rows])  # what a stage does to its rows is not seen again
    if len(results) != len(rows):
        raise TypeError(f"{stage.name} returned {len(results)} rows for {len(rows)}")
    blank = dict.fromkeys(stage.writes.names)
    for result in results:
        if unknown := set(result) - set(blank):
            raise TypeError(f"{stage.name} wrote columns it does not declare: {sorted(unknown)}")
    full = [blank | result for result in results]
    pa.Table.from_pylist(full, schema=stage.writes)  # a value of a wrong type is this batch's failure
    return full


def reason(error: Exception) -> str:
    """Why a row failed, in one line: an `EquimeError` as it is, anything else with its type."""
    text = " ".join(str(error).encode(errors="replace").decode().split())[:REASON_LENGTH]
    return text if text and isinstance(error, EquimeError) else f"{type(error).__name__}: {text}"


def _batches(rows: list[Row], size: int) -> Iterator[list[Row]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def versions(names: Iterable[str]) -> dict[str, str]:
    """Version of this package and of those named, as far as they are installed."""
    return {name: found for name in ("equime", *names) if (found := _installed(name))}


@cache
def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # a checkout on the path
        return None
