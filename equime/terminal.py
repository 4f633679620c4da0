"""What lies between a command line and its terminal: output that may not arrive, and SIGTERM.

`equime show ws > /dev/full` is one line, `equime show ws | head` is silent, and `kill` is as gentle as Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator

from equime.errors import EquimeError


class Ended(KeyboardInterrupt):
    """SIGTERM: ends like Ctrl-C, so that workers are stopped and temporary files removed."""


@contextlib.contextmanager
def sigterm_heard() -> Iterator[None]:
    """Raise `Ended` on SIGTERM in this block, in the main thread, where nobody else listens."""
    heard: list[int] = []

    def end(number: int, frame: object) -> None:
        heard.append(number)
        raise Ended

    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, end)
    try:
        yield
    except KeyboardInterrupt as stop:
        if heard:  # Ray's waits catch it and raise a Ctrl-C of their own
            raise Ended from stop
        raise
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def put(lines: Iterable[str]) -> None:
    """Write lines, and make sure they went out: what is left in a buffer fails after the exit code is set.

    Raises:
        EquimeError: They did not.
        BrokenPipeError: Nobody reads any more.
    """
    if sys.stdout is None:
        raise EquimeError("cannot write the output: standard output is closed")
    try:
        for line in lines:
            sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_output()
        raise EquimeError(f"cannot write the output: {error.strerror or error}") from error


def drop_output() -> None:
    """Send what is still in the buffer nowhere, so that the interpreter does not fail on it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
