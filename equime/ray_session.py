"""Join the Ray cluster that there is, or start one on this machine, quietly and with one-line errors."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

from equime.errors import EquimeError

ANSWER_S = 10.0
LOCAL_STORE_BYTES = 80 * 2**20  # nothing of size travels; the default takes a third of the memory
logger = logging.getLogger(__name__)


@contextlib.contextmanager
def joined(ray: ModuleType, workers: int, gpus: float) -> Iterator[None]:
    """Be connected to a Ray cluster for the length of a `with` block.

    It is the one that this process is connected to, else that of `RAY_ADDRESS`, else one of this machine, else one
    that is started here and ended with the block. `RAY_ADDRESS=local` always starts one.

    Args:
        ray: The module.
        workers: CPUs of a cluster started here.
        gpus: GPUs that one worker will want.

    Raises:
        EquimeError: No cluster answers, or the one started here could never hold a worker.
    """
    if ray.is_initialized():
        _require_place(ray, gpus, local=False)
        yield
        return
    with ThreadPoolExecutor(1) as thread:  # what Ray starts ends with the thread that started it, so it waits too
        try:
            with _signals_later():  # a cluster that is half started is not shut down whole
                local = thread.submit(_connect, ray, workers).result()
            _require_place(ray, gpus, local)
            yield
        finally:
            ray.shutdown()


@contextlib.contextmanager
def _signals_later() -> Iterator[None]:
    """Ctrl-C and SIGTERM in this block are heard after it. Blocking them is not enough: any thread may get them.

    `ray.init` replaces the handlers of SIGTERM: Python's where it runs in the main thread, and the process's own where
    it connects, which are ours again at the end. A SIGTERM in the milliseconds between connecting and that end is heard
    all the same, but Ray prints its stack dump first.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []
    before = {number: signal.signal(number, lambda n, _: heard.append(n)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if heard:
        signal.raise_signal(heard[0])


def _connect(ray: ModuleType, workers: int) -> bool:
    """Join the cluster that there is, or start one; whether it was started here."""
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    address = os.environ.get("RAY_ADDRESS", "auto")
    if address != "local":
        _require_answer(address)
        try:
            ray.init(address=address, **quiet)
            return False
        except (ConnectionError, RuntimeError, ValueError) as error:
            if address != "auto" or not isinstance(error, ConnectionError):
                token = "AuthToken" in str(error.__cause__)  # Ray finds the token by itself on "auto" alone
                hint = "it asks for a token: set RAY_AUTH_MODE=token" if token else gist(error)
                raise EquimeError(f"the Ray cluster at {address} cannot be used: {hint}") from error
    store = {"object_store_memory": LOCAL_STORE_BYTES}
    ray.init(address="local", num_cpus=workers, include_dashboard=False, **store, **quiet)
    return True


def _require_answer(address: str) -> None:
    """Ray itself tries for many minutes to reach a cluster that is not there."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not (host and port.isdecimal()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except OSError as error:
        raise EquimeError(
            f"no Ray cluster answers at RAY_ADDRESS={address} ({error.strerror or error}): "
            "start one with `ray start --head`, or unset RAY_ADDRESS"
        ) from error


def _require_place(ray: ModuleType, gpus: float, local: bool) -> None:
    """Say so when no node could ever hold a worker; a cluster may still grow one."""
    totals = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(total.get("CPU", 0) >= 1 and total.get("GPU", 0) >= min(gpus, 1) for total in totals):
        return
    if local:
        raise EquimeError(f"{no_place(gpus)}; leave out --gpus, or set RAY_ADDRESS to a cluster that has them")
    logger.warning("%s yet: waiting for one", no_place(gpus))


def no_place(gpus: float) -> str:
    """What is wrong where a worker finds no room."""
    return f"no node has a CPU and {gpus = :g} for a worker"


def gist(error: Exception) -> str:
    """The last line of what Ray says: what comes before tells of actors and tasks."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
