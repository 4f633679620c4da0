"""Where the rows of a release come from: what only the workspace can tell, kept in the manifest of every version.

    manifest.origin.made            # how each group of columns was made
    manifest.origin.acceptance      # who was accepted, group by group, before the rejected were left out

Why kept: a patch version from which a subject was taken out is made from the repository alone, and still says it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Way:
    """One way in which a group of columns was made.

    Attributes:
        stage: "plan", "generate", "caption", "tag", "score", or "import".
        version: The stage's.
        fields: Its result-changing options; of paths their last part only.
        models: Model -> revision or hash.
        packages: Package -> version.
        shards: How many shards of the workspace were made so.
    """

    stage: str
    version: int
    fields: Mapping[str, Any]
    models: Mapping[str, str]
    packages: Mapping[str, str]
    shards: int


@dataclass(frozen=True)
class Tombstone:
    """A subject that was taken out on request: the id, so that no later version brings it back.

    Attributes:
        subject_id: As in the data; what identified the person outside of it is not kept.
        version: The version that first lacked it.
        date: YYYY-MM-DD.
        clips: How many clips went, those of twins included.
    """

    subject_id: str
    version: str
    date: str
    clips: int


@dataclass(frozen=True)
class Accepted:
    """How many of a group's clips passed every gate, of those of the balanced plan that were judged.

    Attributes:
        by: "emotion" (the intended one), "intensity" (of the strongest unit), or "race", "gender", "age" (perceived,
            as the sources came labelled).
        group: One of its groups; None for clips without such a label.
        accepted: Clips that passed.
        judged: Clips that were scored, and those that could not be made, which count as not accepted.
    """

    by: str
    group: str | None
    accepted: int
    judged: int


@dataclass(frozen=True)
class Origin:
    """What the rows of a release were chosen from, and how they were made.

    Attributes:
        made: How each group of columns was made.
        planned: Clips that the workspace plans.
        left_out: Why -> clips planned and not released: "rejected", "failed", "stale", "missing", "withdrawn".
        withdrawn: Subjects taken out, in this version or before.
        acceptance: By group, when the rows were last chosen from a workspace; empty where nothing was scored.
    """

    made: tuple[Way, ...] = ()
    planned: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    withdrawn: tuple[Tombstone, ...] = ()
    acceptance: tuple[Accepted, ...] = ()
