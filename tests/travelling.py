"""A thing as another process gets it: through the pipe by which worker processes are fed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Pipe
from typing import TypeVar

T = TypeVar("T")


def travelled(thing: T) -> T:
    """What arrives of `thing` at the other end; raises what cannot be sent."""
    ours, theirs = Pipe()

    def send() -> None:
        with ours:  # closed even if nothing was sent: nobody waits at the other end
            ours.send(thing)

    with ThreadPoolExecutor(1) as beside, theirs:  # a pipe holds less than a large thing
        sent = beside.submit(send)
        try:
            found: T = theirs.recv()
        except EOFError:
            sent.result()
            raise
    return found
