"""Caption: what each clip shows, in words and as JSON, from its plan.

    equime caption ws

Template captions: emotion, units with their FACS names, sides and intensities, and the times. The wording
varies with the clip's seed and is the same again on every run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from equime.action_units import ActionUnit
from equime.captioning import templates
from equime.stage import Row, writes


@dataclass(frozen=True)
class Caption:
    """The stage of column group `caption`."""

    name: ClassVar[str] = "caption"
    version: ClassVar[int] = 2
    reads: ClassVar[tuple[str, ...]] = (
        *("emotion", "control", "action_units"),
        *("onset_ms", "apex_ms", "offset_ms", "seed"),
    )
    writes: ClassVar[pa.Schema] = writes("caption")

    def load(self) -> None:
        """Nothing to load."""

    def __call__(self, rows: list[Row]) -> list[Row]:
        """Word each row."""
        return [self._caption(row) for row in rows]

    def _caption(self, row: Row) -> Row:
        units = [ActionUnit.from_dict(unit) for unit in row["action_units"] or ()]
        times = (row["onset_ms"], row["apex_ms"], row["offset_ms"])
        said = templates.caption_json(row["emotion"], units, *times, row["seed"] or 0, row["control"])
        return {"caption": said["caption"], "caption_json": json.dumps(said)}
