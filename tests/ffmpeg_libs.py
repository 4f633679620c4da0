"""FFmpeg's shared libraries for torchcodec, where the system has none.

torchcodec loads `libavcodec.so.62` and its sisters from the system. PyAV's wheel brings the same libraries
under names of its own (`libavcodec-5e6b81c2.so.62.28.102`). A folder of links with the plain names, put on
LD_LIBRARY_PATH before a process starts, lets torchcodec use them: no system package, and both decoders run
the very same FFmpeg. The dynamic linker reads that variable once, at start, hence a new process.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import av


def environment(folder: Path) -> dict[str, str]:
    """Environment variables for a process that imports torchcodec; the links are made in `folder`."""
    bundled = Path(av.__file__).parents[1] / "av.libs"
    for library in bundled.glob("lib*.so.*"):
        plain = re.sub(r"-[0-9a-f]{8}(\.so\.\d+).*", r"\1", library.name)
        if not (folder / plain).exists():
            (folder / plain).symlink_to(library)
    paths = [str(folder), str(bundled), os.environ.get("LD_LIBRARY_PATH", "")]
    return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(filter(None, paths))}
