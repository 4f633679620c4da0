"""Shards over processes of this machine, with Ctrl-C, crashes and a killed parent thought of.

Workers are spawned, not forked: they inherit no lock, no thread and no half-loaded library. They leave Ctrl-C
to the parent and end with it, even when it is killed without a word.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for_end
from typing import Any, Protocol

from equime.errors import EquimeError

POLL_S = 0.2


class Work(Protocol):
    """A picklable callable on a shard number, with a stage to load first."""

    @property
    def stage(self) -> Any:
        """Its `load()` is called once in each process."""

    def __call__(self, index: int, tick: Callable[[int], None]) -> Any:
        """Do one shard, telling `tick` of rows as they are finished."""


def in_processes(work: Work, todo: Sequence[int], workers: int, tick: Callable[[int], object]) -> Iterator[Any]:
    """Run `work(index)` for every shard number over `workers` processes; yields results as they come.

    Args:
        work: Sent to each process once; its stage is loaded there before the first shard.
        todo: Shard numbers.
        workers: Processes, at most one a shard.
        tick: Told how many rows were finished since it was last told.

    Raises:
        EquimeError: A worker process died (killed, out of memory), or its stage does not load; finished
            shards are kept.
    """
    context = multiprocessing.get_context("spawn")
    counter = context.Value("q", 0)
    pool = ProcessPoolExecutor(
        min(workers, len(todo)), mp_context=context, initializer=_start, initargs=(work, counter)
    )
    try:
        with _interrupts_held():
            pending: set[Future[Any]] = {pool.submit(_one, index) for index in todo}
        seen = 0
        while pending:
            done, pending = wait(pending, timeout=POLL_S, return_when=FIRST_COMPLETED)
            now = counter.get_obj().value  # not by its lock, which a killed worker may hold for ever
            tick(now - seen)
            seen = now
            for future in done:
                yield future.result()
    except BrokenProcessPool as error:
        raise EquimeError(
            "a worker process died (killed, or out of memory): run the same command again, with fewer --workers"
        ) from error
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()  # what they hold is a temporary file at most
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Processes started in this block never hear Ctrl-C, not even while they import; this one hears it after."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_state: dict[str, Any] = {}  # one per worker process, filled by its initializer


def _start(work: Work, counter: Any) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _state.update(work=work, counter=counter, unfit=load(work))


def load(work: Work) -> str | None:
    """Load the stage of `work`: None, or in one line why it does not load."""
    try:
        work.stage.load()
    except EquimeError as error:
        return str(error)
    except Exception as error:
        return f"{work.stage.name} does not load: {type(error).__name__}: {error}"
    return None


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_end([parent.sentinel])
        os._exit(1)


def _one(index: int) -> Any:
    if _state["unfit"] is not None:
        raise EquimeError(_state["unfit"])

    def tick(rows: int) -> None:
        with _state["counter"].get_lock():
            _state["counter"].value += rows

    return _state["work"](index, tick)
