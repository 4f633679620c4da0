"""What every verb does: name its workspace, say a result for people or for scripts, warn on standard error."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

from equime.errors import EquimeError
from equime.one_line import one_line
from equime.options import path_argument
from equime.terminal import put


def add_workspace(parser: argparse.ArgumentParser) -> None:
    """The positional argument of nearly every verb."""
    parser.add_argument("workspace", type=path_argument, help="folder of the data set in the making (`equime plan`)")


def say(options: argparse.Namespace, text: object, data: Any) -> None:
    """The result on standard output: `text` for people, `data` as one JSON document with `--json`."""
    put([json.dumps(data, indent=1, default=str) if options.json else str(text)])


def require_free(flag: str, path: Path | None, suffixes: tuple[str, ...], read: Iterable[Path | str | None]) -> None:
    """Refuse to write a file where that would do harm; nothing where no file was asked for.

    Args:
        flag: That names the file.
        path: The file.
        suffixes: What its name may end in.
        read: What the same command reads: files, folders, None; a name on the Hub is neither.

    Raises:
        EquimeError: Another ending, a folder, something that is read or lies in it, or a place within a workspace.
    """
    from equime.table import is_workspace

    if path is None:
        return
    whole = path.expanduser().resolve()
    if path.is_dir():
        raise EquimeError(f"{path} is a folder: give {flag} a file")
    if path.suffix.lower() not in suffixes:
        raise EquimeError(f"expected {flag} to end in {' or '.join(suffixes)}, got {str(path)!r}")
    for each in (name for name in read if name):
        there = Path(each).expanduser().resolve()
        if there.exists() and (there in (whole, *whole.parents) or (whole.exists() and whole.samefile(there))):
            raise EquimeError(f"{path} is, or lies in, {each}, which is read: give {flag} another file")
    if inside := next(filter(is_workspace, whole.parents), None):
        raise EquimeError(f"{path} lies in the workspace {inside}: give {flag} a file outside it")


def width() -> int:
    """Characters of a line of the terminal: 80 or more, 140 where there is none."""
    return max(80, get_terminal_size((140, 24)).columns)


def warn(text: str) -> None:
    """One line on standard error, whatever the names of files hold."""
    print(f"equime: {one_line(text)}", file=sys.stderr)
