"""Shards over the workers of a Ray cluster that shares a file system with this machine.

    ray start --head; equime generate ws --on ray --workers 8 --gpus 1

Each worker is an actor that loads the stage once and takes shard after shard. Only shard numbers and row counts
travel: workers read and write the workspace themselves. Ray restarts nothing here. A worker that is lost, with its
node or alone, is replaced and its shard goes to the end of the queue, so that a shard that kills its workers is the
last thing that a run meets.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from equime.errors import EquimeError
from equime.optional import need
from equime.pool import Work, load
from equime.ray_session import gist, joined, no_place

TRIES = 3
"""How many workers a shard may lose."""
POLL_S = 0.5
PATIENCE_S = 600.0
"""How long a cluster may have no place for any worker: an autoscaler starts nodes in minutes."""
STOP_S = 10.0
BESIDE = "beside"
"""The concurrency group of calls that are answered while a shard is being made."""
logger = logging.getLogger(__name__)


def on_cluster(
    work: Work, todo: Sequence[int], workers: int, gpus: float, tick: Callable[[int], object], folder: Path
) -> Iterator[Any]:
    """Run `work(index)` for every shard number on a Ray cluster; yields results as they come.

    The cluster is the one this process is connected to, else that of `RAY_ADDRESS` or of this machine, else one
    started here for the length of the run.

    Args:
        work: Sent to each worker once; its stage is loaded there before the first shard.
        todo: Shard numbers.
        workers: Actors of one CPU each, at most one a shard.
        gpus: GPUs an actor, which may be a fraction.
        tick: Told how many rows were finished since it was last told; less than none when they were lost.
        folder: Every worker must see this folder, by this path.

    Raises:
        EquimeError: No cluster answers, it has no place for a worker, no node sees the folder, the stage does not
            load, or a shard lost `TRIES` workers; finished shards are kept.
    """
    ray = need("ray", extra="ray")
    workers = min(workers, len(todo))
    # Ray tells of lost workers on standard output, which may be a result in JSON.
    with contextlib.redirect_stdout(sys.stderr), joined(ray, workers, gpus), _witness(folder) as witness:
        crew = _Crew(ray, work, deque(todo), gpus, tick, witness)
        try:
            yield from crew.work_off(workers)
        finally:
            crew.stop()


@contextlib.contextmanager
def _witness(folder: Path) -> Iterator[Path]:
    """A file of a name never used before: who sees it sees this folder, and not one of the same name."""
    path = folder / f".{uuid.uuid4().hex}.tmp"
    path.touch()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _outlast(pid: int) -> None:
    """Return once a process of this node is gone. Ray itself calls an actor dead while it may still write."""
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.kill(pid, 0)
            time.sleep(0.01)


class _Loaded(NamedTuple):
    """What a worker says once it stands: its process and node, and what keeps it from working."""

    pid: int
    node: str
    sees: bool
    unfit: str | None


class _Worker:
    """One process of the cluster. `make` runs in one thread, `rows` and `end` beside it in another."""

    def __init__(self, home: str, path: list[str]) -> None:
        if os.path.isdir(home):
            os.chdir(home)  # relative paths of the stage mean there what they mean here
        sys.path.extend(entry for entry in path if entry not in sys.path)  # and so do its modules
        self._rows = (-1, 0)

    def load(self, work: Work, witness: Path) -> _Loaded:
        """Look for the workspace, load the stage."""
        node = need("ray", extra="ray").get_runtime_context().get_node_id()
        here = socket.gethostname()
        if not witness.exists():
            unfit = f"node {here} does not see {witness.parent}: share that folder with it by this path"
            return _Loaded(os.getpid(), node, False, unfit)
        self._work, why = work, load(work)
        return _Loaded(os.getpid(), node, True, f"{why} (on node {here})" if why else None)

    def make(self, index: int) -> tuple[Any, int]:
        """A shard's result, and how many rows were run for it."""
        self._rows = (index, 0)

        def tick(rows: int) -> None:
            self._rows = (index, self._rows[1] + rows)

        return self._work(index, tick), self._rows[1]

    def rows(self) -> tuple[int, int]:
        """The shard in hand, and its rows done so far."""
        return self._rows


@dataclass(eq=False)
class _Member:
    """What the driver knows of a worker. `index` is the shard in hand, None before the first and after the last."""

    actor: Any
    loaded: _Loaded | None = None
    placed: bool = False
    index: int | None = None
    told: int = 0
    asked: Any = None


class _Crew:
    """The workers and the shards still to do."""

    def __init__(
        self, ray: ModuleType, work: Work, todo: deque[int], gpus: float, tick: Callable[[int], object], witness: Path
    ) -> None:
        self._ray, self._todo, self._tick, self._gpus = ray, todo, tick, gpus
        options = {"num_cpus": 1, "num_gpus": gpus, "max_restarts": 0, "scheduling_strategy": "SPREAD"}
        self._hire = ray.remote(concurrency_groups={BESIDE: 1}, **options)(_Worker)
        self._work, self._witness = work, witness
        self._members: set[_Member] = set()
        self._calls: dict[Any, _Member] = {}
        self._idle: list[_Member] = []
        self._lost: Counter[int] = Counter()
        self._given_up: list[int] = []
        self._failed_starts = 0
        self._hopeful = time.monotonic()

    def work_off(self, workers: int) -> Iterator[Any]:
        """Results as they come, until no shard is left to do."""
        for _ in range(workers):
            self._start()
        while self._todo or any(member.index is not None for member in self._calls.values()):
            self._require_hope()
            done, _ = self._ray.wait(list(self._calls), timeout=POLL_S)
            for call in done:
                yield from self._finished(call, self._calls.pop(call))
            self._ask_rows()
        if self._given_up:
            shards = ", ".join(map(str, sorted(self._given_up)))
            raise EquimeError(
                f"{TRIES} workers were lost (killed, out of memory, or their node went) at each of these shards: "
                f"{shards}; the others are made: run the same command again, with fewer --workers"
            )

    def stop(self) -> None:
        """End every worker; wait for the processes of those at work, whose files may be half-written until then."""
        ends = []
        for member in list(self._members):
            self._dismiss(member)
            if member.loaded and member.index is not None:
                near = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
                    member.loaded.node, soft=False
                )
                wait = self._ray.remote(num_cpus=0, scheduling_strategy=near)(_outlast)
                ends.append(wait.remote(member.loaded.pid))
        if ends:
            self._ray.wait(ends, num_returns=len(ends), timeout=STOP_S)

    def _start(self) -> None:
        member = _Member(self._hire.remote(os.getcwd(), sys.path))
        self._members.add(member)
        self._calls[member.actor.load.remote(self._work, self._witness)] = member

    def _dismiss(self, member: _Member) -> None:
        self._members.remove(member)
        self._ray.kill(member.actor)

    def _finished(self, call: Any, member: _Member) -> Iterator[Any]:
        errors = self._ray.exceptions
        try:
            result = self._ray.get(call)
        except errors.RayTaskError as error:
            if isinstance(error.cause, errors.RayError):  # the stage's own module is not there
                raise EquimeError(f"{self._work.stage.name} does not reach its worker: {gist(error)}") from error
            raise error.cause from None
        except errors.RayError as error:
            self._replace(member, error)
            return
        if member.loaded:
            outcome, rows = result
            self._tick(rows - member.told)
            yield outcome
        else:
            member.loaded, member.placed, self._failed_starts = result, True, 0
        if member.loaded.unfit is None:
            self._next(member)
        else:
            self._refuse(member, member.loaded)

    def _refuse(self, member: _Member, loaded: _Loaded) -> None:
        if loaded.sees or (self._todo and not self._calls):
            raise EquimeError(loaded.unfit)
        logger.warning("%s; the other workers go on without it", loaded.unfit)
        self._dismiss(member)

    def _next(self, member: _Member) -> None:
        member.index, member.told = (self._todo.popleft() if self._todo else None), 0
        if member.index is None:
            self._idle.append(member)
        else:
            self._calls[member.actor.make.remote(member.index)] = member

    def _replace(self, member: _Member, error: Exception) -> None:
        """Another worker for one that was lost; its shard is tried again after all others."""
        self._dismiss(member)  # it may only be out of reach
        logger.warning("a worker was lost and is replaced (%s)", gist(error))
        if member.index is None:
            self._failed_starts += 1
            if self._failed_starts >= TRIES * (1 + len(self._members)):
                raise EquimeError(f"{self._failed_starts} workers in a row were lost as they started: {gist(error)}")
        else:
            self._tick(-member.told)
            self._lost[member.index] += 1
            (self._todo if self._lost[member.index] < TRIES else self._given_up).append(member.index)
        if self._todo and self._idle:
            self._next(self._idle.pop())
        elif self._todo:
            self._start()

    def _ask_rows(self) -> None:
        """Tell of rows done in shards that are not; whoever answers has a place."""
        for member in self._calls.values():
            if member.asked is None:
                member.asked = member.actor.rows.options(concurrency_group=BESIDE).remote()
        asked = {member.asked: member for member in self._calls.values()}
        for answer in self._ray.wait(list(asked), num_returns=len(asked), timeout=0)[0] if asked else ():
            member = asked[answer]
            member.asked = None
            with contextlib.suppress(self._ray.exceptions.RayError):  # a lost worker is found by its call
                index, rows = self._ray.get(answer)
                member.placed = True
                if index == member.index:
                    self._tick(rows - member.told)
                    member.told = rows

    def _require_hope(self) -> None:
        if any(member.placed for member in self._calls.values()):
            self._hopeful = time.monotonic()
        elif time.monotonic() - self._hopeful > PATIENCE_S:
            raise EquimeError(f"{no_place(self._gpus)} for {PATIENCE_S / 60:g} minutes: see `ray status`")
