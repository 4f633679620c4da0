"""Any of the public sets, from the folder that its owners hand out, as one table of samples.

    found = read("casme2", Path("CASME2"))
    found.samples.table.to_pandas(); found.problems

The names are those of `equime data list`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from equime.errors import EquimeError
from equime.one_line import one_line
from equime.recognise.readers.composite_sets import read_composite
from equime.recognise.readers.one_set import Read, read_set
from equime.recognise.readers.problems import Problem
from equime.recognise.readers.sets import SETS, layout_of

__all__ = ["SETS", "Problem", "Read", "read"]


def read(name: str, root: Path, *, fps: float | None = None, roots: Mapping[str, Path] | None = None) -> Read:
    """Read a data set.

    Args:
        name: One of `SETS`.
        root: Its folder, the one with the sheet in it or above it; for a composite, the one with its own sheet.
        fps: Frame rate of the pictures, instead of the set's own; not of a composite.
        roots: For a composite: its sets -> their own folders, instead of crops below `root`.

    Raises:
        EquimeError: No such set; no such folder; nothing of the set in it: what was looked for and what is there.
        MissingPackageError: What reads its sheet is not installed.
    """
    layout = layout_of(name)
    if fps is not None:
        if not (math.isfinite(fps) and fps > 0):
            raise EquimeError(f"expected a frame rate above 0, got {fps = }; correct --fps")
        layout = replace(layout, fps=fps)
    if not os.path.isdir(root):
        raise EquimeError(f"expected the folder of {layout.title}, got no folder: {one_line(root)}; give another PATH")
    if layout.members:
        if fps is not None:
            raise EquimeError(f"the sets of {name} have frame rates of their own, got {fps = }; leave --fps out")
        return read_composite(layout, root, roots or {})
    if roots:
        raise EquimeError(f"expected --root for a composite such as megc2019 only, got it for {name = }; leave it out")
    return read_set(layout, root)
