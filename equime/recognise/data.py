"""The data of a command line: `casme2=/data/CASME2`, `ws`, `owner/equime`, as many as one likes, as one table.

found = open_data(["casme2=/data/CASME2", "ws"], split="train")
found.samples, found.problems
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from equime.clip import Apex
from equime.errors import EquimeError
from equime.recognise.equime_clips import DATASET, clips
from equime.recognise.readers.read import SETS, read
from equime.recognise.samples import Samples


@dataclass(frozen=True)
class Data:
    """What was opened.

    Attributes:
        samples: Of all data sets.
        problems: A line for each row that could not be used as it is.
    """

    samples: Samples
    problems: tuple[str, ...]


def open_data(where: Sequence[str], *, split: str | None = None, apex: Apex = "planned", accepted: bool = True) -> Data:
    """Open data sets.

    Args:
        where: Each "NAME=PATH" with a name of `readers.SETS` or "equime", or a workspace, tree, Hub layout or
            repository of EquiME.
        split: Of EquiME: "train", "validation", "test"; None is all.
        apex: Of EquiME, see `equime_clips.clips`.
        accepted: Of EquiME: leave out what the score rejected.

    Raises:
        EquimeError: An unknown name, nothing there, or a data set given twice.
    """
    several, problems = list[Samples](), list[str]()
    for text in where:
        name, path = _named(text)
        if name == DATASET:
            samples = clips(path, split=split, apex=apex, accepted=accepted)
        else:
            found = read(name, Path(path))
            samples = found.samples
            problems += [f"{name}: {problem}" for problem in found.problems]
        for twice in {one for before in several for one in before.origins}.intersection(samples.origins):
            raise EquimeError(f"data set {twice} comes twice, the second time by --data {text}: give each once")
        several.append(samples)
    return Data(Samples.joined(several), tuple(problems))


def _named(text: str) -> tuple[str, str]:
    """The name and the path of "NAME=PATH"; a path alone is EquiME's."""
    name, sign, path = text.partition("=") if not os.path.exists(text) else (DATASET, "=", text)
    if not sign:
        name, path = DATASET, text
    if name not in (*SETS, DATASET) or not path:
        known = ", ".join((*SETS, DATASET))
        raise EquimeError(f"expected --data NAME=PATH with a name of {known}, or a workspace; got {text!r}")
    return name, os.path.expanduser(path)
