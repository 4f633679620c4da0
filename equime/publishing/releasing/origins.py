"""What a release keeps of its workspace: how each group of columns was made, and whose clips were accepted.

    ways(Table("ws"))               # how each group of columns was made
    acceptance(Table("ws"))         # accepted and judged clips by emotion, intensity, race, gender, age

Rejected clips are not released, so that their share by group can be counted here and nowhere later.
"""

from __future__ import annotations

import json
from collections.abc import Container
from dataclasses import replace

from equime import schema
from equime.planning.strata import Judged, judged
from equime.planning.targets import ATTRIBUTES, LABELS, PRIORITY
from equime.publishing.origin import Accepted, Way
from equime.publishing.recipes.stage_fields import nameless
from equime.table import Table


def ways(table: Table) -> tuple[Way, ...]:
    """How a workspace's columns were made: each distinct set of options, in the order of the groups.

    Raises:
        EquimeError: A shard that does not read.
    """
    found: dict[tuple[str, str], Way] = {}
    for index in table.shards():
        for group, footer in table.standing(index).made.items():
            way = Way(
                footer.stage,
                footer.version,
                {name: nameless(value) for name, value in footer.fields.items()},
                {str(nameless(model)): revision for model, revision in footer.models.items()},
                footer.packages,
                1,
            )
            key = group, json.dumps([way.stage, way.version, way.fields, way.models, way.packages], sort_keys=True)
            found[key] = replace(found[key], shards=found[key].shards + 1) if key in found else way
    order = list(schema.GROUPS)
    return tuple(way for _, way in sorted(found.items(), key=lambda item: (order.index(item[0][0]), item[0][1])))


def acceptance(table: Table, without: Container[str] = ()) -> tuple[Accepted, ...]:
    """Accepted and judged clips by intended emotion, intensity, and perceived race, gender and age.

    Args:
        table: The workspace; clips of the balanced plan count, controls and dose sweeps do not.
        without: Ids of clips that do not count.

    Raises:
        EquimeError: A shard that does not read.
    """
    clips = [clip for clip in judged(table) if clip.accepted is not None and clip.clip_id not in without]
    orders = {"emotion": (*schema.EMOTIONS, schema.DISGUST), "intensity": schema.INTENSITIES}
    orders |= {name: LABELS[name] for name in PRIORITY}
    found = []
    for by, order in orders.items():
        labels = [_label(clip, by) for clip in clips]
        for group in (*order, None):
            votes = [clip.accepted for clip, label in zip(clips, labels, strict=True) if label == group]
            if votes:
                found.append(Accepted(by, group, votes.count(True), len(votes)))
    return tuple(found)


def _label(clip: Judged, by: str) -> str | None:
    if by in LABELS:
        label = dict(zip(ATTRIBUTES, clip.stratum.cell.split("|"), strict=False)).get(by)
        return label if label in LABELS[by] else None
    return clip.stratum.emotion if by == "emotion" else clip.stratum.letter
