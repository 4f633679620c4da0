"""The verb demo."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from equime.commands.shared import say, warn
from equime.options import path_argument


def demo_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime demo`."""
    parser.add_argument("out", type=path_argument, nargs="?", default=Path("demo"), help="folder to make")
    parser.add_argument("--faces", type=path_argument, help="your own faces (default: scikit-image's astronaut)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="processes")
    parser.set_defaults(command=_demo)


def _demo(options: argparse.Namespace) -> int:
    from equime.demo import demo

    report = demo(options.out, options.faces, options.workers, say=warn)
    say(options, report, report.to_dict())
    return 0
