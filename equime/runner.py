"""`run` does the shards of a stage that are missing or stale, and only those.

    run(Captions(), Table("ws"), workers=2)

A shard's *mark* says what it was made from (`equime.marks`): a new prompt makes captions stale and nothing else,
and equal output leaves what follows fresh. Each shard is written whole by a `ShardWorker`, in this process, in
several, or on a Ray cluster: the same files, the same bytes.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Generator, Mapping
from dataclasses import replace

from equime import schema
from equime.errors import EquimeError
from equime.footer import DamagedShardError, Footer
from equime.locks import hold
from equime.marks import mark
from equime.receipt import Receipt
from equime.shard_worker import Outcome, ShardWorker
from equime.stage import Stage, writes
from equime.table import Table, owner, sweep

SHOWN_ERRORS = 20
logger = logging.getLogger(__name__)


def run(
    stage: Stage,
    table: Table,
    on: str = "local",
    workers: int = 1,
    *,
    gpus: float = 0,
    shard: tuple[int, int] | None = None,
    retry_failed: bool = False,
    replace_imported: bool = False,
    progress: bool = True,
) -> Receipt:
    """Bring a stage's column group up to date.

    Args:
        stage: The configured stage.
        table: The workspace.
        on: Where to run: "local", this machine, or "ray", a Ray cluster that sees the workspace by the same path.
        workers: Processes; on this machine 1 runs in this one.
        gpus: On Ray: GPUs a worker, which may be a fraction.
        shard: (i, n) does only the shards whose number is i modulo n, beside other shares.
        retry_failed: Also run again the rows of fresh shards that failed.
        replace_imported: Also make the shards again that something else made (an import); never clips.
        progress: Show rows done, rate and time left on a terminal.

    Raises:
        EquimeError: Another run holds the group, nothing can be written there, an input shard does not read, the
            stage does not load, or a worker died (on Ray: one shard lost several). Every finished shard is kept;
            so it is after Ctrl-C and after a kill.
    """
    _require(stage, on, workers, gpus, shard)
    if replace_imported and stage.name == schema.OWNER["video"]:
        raise EquimeError("imported clips are never replaced: plan new ones in a workspace of their own")
    begun = time.monotonic()
    folder = table.path / stage.name
    with contextlib.ExitStack() as stack:
        stack.enter_context(hold(folder, shard))
        if shard is None:  # shares leave each other's temporary files be
            sweep(folder)
            stack.callback(sweep, folder)
        todo, fresh, waiting, foreign = _sort_shards(stage, table, shard, retry_failed, replace_imported)
        worker = ShardWorker(stage, table, retry_failed)
        with contextlib.closing(_work(worker, todo, on, workers, gpus, progress)) as work:
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


def _require(stage: Stage, on: str, workers: int, gpus: float, shard: tuple[int, int] | None) -> None:
    if on not in ("local", "ray"):
        raise EquimeError(f"expected on='local' or on='ray', got {on = }")
    if gpus < 0 or (gpus and on != "ray"):
        raise EquimeError(f"expected GPUs a worker with on='ray' only, got {gpus = }, {on = }")
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
    stage: Stage, table: Table, share: tuple[int, int] | None, retry: bool, replaced: bool
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
        if have is not None and have.stage != stage.name and not replaced:
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


def _work(
    worker: ShardWorker, todo: Mapping[int, int], on: str, workers: int, gpus: float, progress: bool
) -> Generator[Outcome, None, None]:
    """The shards to do: one after the other, over processes, or over a cluster. `todo` maps a shard to its rows."""
    from tqdm import tqdm

    from equime.cluster import on_cluster
    from equime.pool import in_processes

    total = sum(todo.values())
    disable = None if progress else True
    # No smoothing: workers finish in bursts, so the last interval says little of the rate.
    with tqdm(total=total, desc=worker.stage.name, unit="clip", disable=disable, smoothing=0) as bar:
        if not todo:
            return
        if on == "ray":
            table = Table(worker.table.path.absolute())
            elsewhere = replace(worker, table=table)
            yield from on_cluster(elsewhere, list(todo), workers, gpus, bar.update, table.path / worker.stage.name)
        elif workers == 1 or len(todo) < 2:
            worker.stage.load()
            for index in todo:
                yield worker(index, bar.update)
        else:
            yield from in_processes(worker, list(todo), workers, bar.update)
