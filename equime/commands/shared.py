"""What every verb does: name its workspace, say a result for people or for scripts, warn on standard error."""

from __future__ import annotations

import argparse
import json
import sys
from shutil import get_terminal_size
from typing import Any

from equime.one_line import one_line
from equime.options import path_argument
from equime.terminal import put


def add_workspace(parser: argparse.ArgumentParser) -> None:
    """The positional argument of nearly every verb."""
    parser.add_argument("workspace", type=path_argument, help="folder of the data set in the making (`equime plan`)")


def say(options: argparse.Namespace, text: object, data: Any) -> None:
    """The result on standard output: `text` for people, `data` as one JSON document with `--json`."""
    put([json.dumps(data, indent=1, default=str) if options.json else str(text)])


def width() -> int:
    """Characters of a line of the terminal: 80 or more, 140 where there is none."""
    return max(80, get_terminal_size((140, 24)).columns)


def warn(text: str) -> None:
    """One line on standard error, whatever the names of files hold."""
    print(f"equime: {one_line(text)}", file=sys.stderr)
