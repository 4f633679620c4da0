"""Locks on a column group: a courtesy with a clear message.

One whole run holds `<group>/.lock` alone. Shares of a run (`--shard i/n`) hold it together, and each its own
`.lock-<i>-of-<n>`. The kernel drops a lock with its process, so a dead run keeps nothing. Correctness never
rests on this: shards get unique temporary names and are renamed when whole.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from equime.errors import EquimeError


@contextlib.contextmanager
def hold(folder: Path, share: tuple[int, int] | None = None) -> Iterator[None]:
    """Hold `folder`'s lock for the length of a `with` block.

    Args:
        folder: The column group's folder, made if absent.
        share: None for a whole run, (i, n) for the i-th of n shares.

    Raises:
        EquimeError: Another run holds it, runs beside this one share by another n, or the folder cannot be
            written.
    """
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _take(stack, folder / ".lock", shared=share is not None)
            if share is not None:
                _take(stack, folder / f".lock-{share[0]}-of-{share[1]}", shared=False)
                _require_same_count(folder, share)
        except OSError as error:
            why = error.strerror or error
            raise EquimeError(f"cannot write to {folder}: {why}; make it writable, or work on a copy") from error
        yield


@contextlib.contextmanager
def hold_every(folders: Iterable[Path]) -> Iterator[None]:
    """Hold the locks of several folders alone, for what must not happen beside any run (a new plan).

    Raises:
        EquimeError: A run holds one of them. None is held then.
    """
    with contextlib.ExitStack() as stack:
        for folder in folders:
            stack.enter_context(hold(folder))
        yield


def _require_same_count(folder: Path, share: tuple[int, int]) -> None:
    """Shares of 2 and shares of 3 would run some shards twice."""
    import fcntl

    # The own share is held already, so of two runs that begin at once at least one sees the other.
    for path in folder.glob(".lock-*-of-*"):
        count = path.name.rpartition("-")[2]
        if count == str(share[1]):
            continue
        with path.open("a+") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                raise EquimeError(
                    f"{folder} is being written by runs with --shard i/{count}: "
                    f"wait for them, or use --shard i/{count} here too, got {share[0]}/{share[1]}"
                ) from None


def _take(stack: contextlib.ExitStack, path: Path, *, shared: bool) -> None:
    import fcntl  # POSIX only, and only for running stages: a workspace loads anywhere

    handle = stack.enter_context(path.open("a+"))
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.seek(0)
        holder = handle.read().strip() or "another process"
        raise EquimeError(
            f"{path.parent} is being written by {holder}: "
            "wait for it or stop it; runs that take --shard i/n can share the work"
        ) from None
    handle.truncate(0)
    handle.write("a run with --shard" if shared else f"process {os.getpid()}")
    handle.flush()
