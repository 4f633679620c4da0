"""The best that a recogniser could do that saw every planned action unit without error.

Why: emotions share units, so that no model reaches a UF1 of 1 on clips whose labels are programmes of units. A score is
read against this line, not against 1. It is the best in the long run: on a few clips another rule may do a little
better by luck. Sides and intensities of units are not read.

    scores = units_known(samples.table)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from equime import schema
from equime.causal import EmotionModel
from equime.errors import EquimeError
from equime.recognise.protocols.folds import people
from equime.scm.unit_model import UnitModel
from equime.scores import Scores


def units_known(table: pa.Table, model: EmotionModel | None = None) -> Scores:
    """The scores of calling each clip the emotion that its units make most probable, all that occur as likely before.

    Args:
        table: Columns of `samples.FIELDS`; rows without one of the five emotions or without units are left out.
        model: The causal model that the clips were planned with; None is the packaged one, of the units that occur.

    Raises:
        EquimeError: No row is left.
    """
    rows = [
        (row["emotion5"], frozenset(unit["au"] for unit in row["action_units"]), who)
        for row, who in zip(table.select(["emotion5", "action_units"]).to_pylist(), people(table), strict=True)
        if row["emotion5"] is not None and row["action_units"]
    ]
    if not rows:
        raise EquimeError("no clip has both an emotion and its action units")
    shown = {unit for _, units, _ in rows for unit in units}
    found = {emotion for emotion, _, _ in rows}
    classes = [emotion for emotion in schema.EMOTIONS if emotion in found]
    planned = EmotionModel.from_tables() if model is None else model
    shows = [planned.units[emotion] if model else planned.units[emotion].showing(shown) for emotion in classes]
    best = {units: _most_probable(shows, units) for units in {units for _, units, _ in rows}}
    truth = np.array([classes.index(emotion) for emotion, _, _ in rows])
    answers = np.array([best[units] for _, units, _ in rows])
    return Scores.of(truth, answers, np.array([who for _, _, who in rows]), classes)


def _most_probable(shows: Sequence[UnitModel], units: frozenset[int]) -> int:
    """The place of the emotion; the first one where none is known to show these units together."""
    return int(np.argmax([each.exactly(tuple(sorted(units))) for each in shows]))
