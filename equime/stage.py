"""A stage makes one column group; `run` does the shards that are missing or stale, and only those.

A stage is a frozen dataclass with a name, a version, the columns it reads and the columns it writes:

    @dataclass(frozen=True)
    class Captions:
        name: ClassVar[str] = "caption"
        version: ClassVar[int] = 1
        reads: ClassVar[tuple[str, ...]] = ("emotion", "action_units")
        writes: ClassVar[pa.Schema] = writes("caption")
        style: str = option("plain", help="wording")

        def load(self) -> None: ...
        def __call__(self, rows: list[dict]) -> list[dict]: ...

    run(Captions(), Table("ws"), workers=2)

A shard's *mark* hashes the stage's name, version and result-changing fields, the shard's clip ids, and the
content of every column it reads. A new prompt makes captions stale and nothing else; equal output leaves what
follows fresh. A row that fails keeps nulls and its reason in `<stage>_error`: never a missing row.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Protocol, runtime_checkable

import pyarrow as pa

from equime import schema
from equime.errors import EquimeError, MissingPackageError
from equime.footer import DamagedShardError
from equime.locks import hold
from equime.marks import input_digests
from equime.marks import is_fresh as is_fresh
from equime.marks import mark_of as mark_of
from equime.options import result_fields
from equime.receipt import Receipt as Receipt
from equime.table import Footer, Table, owner, sweep

Row = dict[str, Any]
BATCH = 16
SHOWN_ERRORS = 20
REASON_LENGTH = 500
logger = logging.getLogger(__name__)


@runtime_checkable
class Stage(Protocol):
    """What `run` needs of a stage.

    Optional class variables: `batch`, how many rows one call gets (16); `packages`, whose versions the
    footers record. An optional attribute `models` maps model ids to revisions, for the footers too.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    reads: ClassVar[tuple[str, ...]]
    writes: ClassVar[pa.Schema]

    def load(self) -> None:
        """Heavy imports and weights, once per worker."""

    def __call__(self, rows: list[Row]) -> list[Row]:
        """One dict of written columns for each row, in order; absent columns are null.

        `rows` have clip_id and what `reads` names. An exception fails the batch, which is then tried row by
        row; a row that fails alone keeps nulls and the reason.
        """


def writes(group: str) -> pa.Schema:
    """The columns of a group without clip_id: what its stage declares."""
    return pa.schema([f for f in schema.GROUPS[group] if f.name != "clip_id"])


def mark(stage: Stage, table: Table, index: int) -> str | None:
    """The mark that shard `index` should carry; None while its inputs are not all made."""
    inputs = input_digests(table, stage.reads, index)
    if inputs is None:
        return None
    return mark_of(stage.name, stage.version, result_fields(stage), inputs)


def run(
    stage: Stage,
    table: Table,
    on: str = "local",
    workers: int = 1,
    *,
    shard: tuple[int, int] | None = None,
    retry_failed: bool = False,
    progress: bool = True,
) -> Receipt:
    """Bring a stage's column group up to date.

    Args:
        stage: The configured stage.
        table: The workspace.
        on: Where to run: "local", this machine.
        workers: Processes; 1 runs in this one.
        shard: (i, n) does only the shards whose number is i modulo n, beside other shares.
        retry_failed: Also run again the rows of fresh shards that failed.
        progress: Show rows done, rate and time left on a terminal.

    Raises:
        EquimeError: Another run holds the group, nothing can be written there, an input shard does not read, the
            stage does not load, or a worker died. Every finished shard is kept; so it is after Ctrl-C and
            after a kill.
    """
    _require(stage, on, workers, shard)
    begun = time.monotonic()
    folder = table.path / stage.name
    with contextlib.ExitStack() as stack:
        stack.enter_context(hold(folder, shard))
        if shard is None:  # shares leave each other's temporary files be
            sweep(folder)
            stack.callback(sweep, folder)
        todo, fresh, waiting, foreign = _sort_shards(stage, table, shard, retry_failed)
        worker = ShardWorker(stage, table, retry_failed)
        with contextlib.closing(_work(worker, todo, workers, progress)) as work:
            outcomes = list(work)
    errors = {clip: why for outcome in outcomes for clip, why in outcome.errors.items()}
    for clip, why in errors.items():
        logger.debug("%s: %s", clip, why)
    untried = sum(footer.failed for footer in fresh)
    return Receipt(
        stage.name,
        done=sum(outcome.written for outcome in outcomes),
        fresh=len(fresh),
        waiting=len(waiting),
        foreign=len(foreign),
        rows=sum(outcome.rows for outcome in outcomes),
        failed=len(errors) + untried,
        seconds=time.monotonic() - begun,
        errors=dict(list(errors.items())[:SHOWN_ERRORS]),
        kept=sum(not outcome.written for outcome in outcomes),
        untried=untried,
    )


def _require(stage: Stage, on: str, workers: int, shard: tuple[int, int] | None) -> None:
    if on != "local":
        raise EquimeError(f"expected on='local', got {on = }")
    if workers < 1:
        raise EquimeError(f"expected at least one worker, got {workers = }")
    if shard is not None and not 0 <= shard[0] < shard[1]:
        raise EquimeError(f"expected a share i/n with 0 <= i < n, got {shard[0]}/{shard[1]}")
    if stage.name not in schema.GROUPS:
        raise EquimeError(f"expected a stage of {list(schema.GROUPS)}, got {stage.name = }")
    allowed = {f.name: f.type for f in writes(stage.name)}
    wrong = [f"{f.name}: {f.type}" for f in stage.writes if allowed.get(f.name) != f.type]
    if wrong or f"{stage.name}_error" not in stage.writes.names:
        raise EquimeError(f"{stage.name} should write {stage.name}_error and other {allowed}, got {wrong = }")
    if own := [column for column in stage.reads if owner(column) == stage.name]:
        raise EquimeError(f"{stage.name} cannot read what it writes, got {own = }")


def _sort_shards(
    stage: Stage, table: Table, share: tuple[int, int] | None, retry: bool
) -> tuple[dict[int, int], list[Footer], list[int], list[int]]:
    """The share's shards as (to do: rows to run, fresh, waiting for inputs, made by something else).

    Damaged shards of the stage's own are to do, but not where an import made others: they may have been its.
    """
    unsound: list[DamagedShardError] = []
    todo: dict[int, int] = {}
    fresh: list[Footer] = []
    waiting: list[int] = []
    foreign: list[int] = []
    for index in table.shards():
        if share is not None and index % share[1] != share[0]:
            continue
        wanted, have = mark(stage, table, index), None
        try:
            have = table.sound_footer(stage.name, index)
        except DamagedShardError as error:
            unsound.append(error)
        if have is not None and have.stage != stage.name:
            foreign.append(index)
        elif wanted is None:
            waiting.append(index)
        elif have is None or have.mark != wanted:
            plan = table.footer("plan", index)
            todo[index] = plan.rows if plan else 0
        elif retry and have.failed:
            todo[index] = have.failed
        else:
            fresh.append(have)
    if unsound and foreign:
        raise unsound[0]
    for damage in unsound:
        logger.warning("%s; it is made again", str(damage).partition("; delete ")[0])
    return todo, fresh, waiting, foreign


@dataclass(frozen=True)
class Outcome:
    """What one shard came to. `written` is False where nothing succeeded and good rows were there before."""

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
        if len(errors) == len(inputs) and self._has_good_rows(before, index):
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
            packages=_packages(getattr(self.stage, "packages", ())),
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
        return [dict.fromkeys(stage.writes.names) | {f"{stage.name}_error": _reason(error)}]


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


def _reason(error: Exception) -> str:
    text = " ".join(str(error).encode(errors="replace").decode().split())[:REASON_LENGTH]
    return text if text and isinstance(error, EquimeError) else f"{type(error).__name__}: {text}"


def _batches(rows: list[Row], size: int) -> Iterator[list[Row]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _packages(names: Iterable[str]) -> dict[str, str]:
    return {name: found for name in ("equime", *names) if (found := _installed(name))}


@cache
def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # a checkout on the path
        return None


def _work(worker: ShardWorker, todo: Mapping[int, int], workers: int, progress: bool) -> Generator[Outcome, None, None]:
    """The shards to do, one after the other or over processes. `todo` maps a shard to its rows to run."""
    from tqdm import tqdm

    from equime.pool import in_processes

    total = sum(todo.values())
    disable = None if progress else True
    # No smoothing: workers finish in bursts, so the last interval says little of the rate.
    with tqdm(total=total, desc=worker.stage.name, unit="clip", disable=disable, smoothing=0) as bar:
        if workers == 1 or len(todo) < 2:
            if todo:
                worker.stage.load()
            for index in todo:
                yield worker(index, bar.update)
        else:
            yield from in_processes(worker, list(todo), workers, bar.update)
