"""Which clips of a workspace go out, and why the others stay.

`equime.hub` asks it while it writes, `preflight` before anything is written: one answer for both.

    equime publish WORKSPACE --dry-run
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from equime import catalog, schema
from equime.footer import Standing
from equime.table import Table

WITHDRAWN, FAILED, STALE, MISSING, REJECTED = "withdrawn", "failed", "stale", "missing", "rejected"
REASONS = (WITHDRAWN, FAILED, STALE, MISSING, REJECTED)
"""Why a clip stays: taken out on request; a stage has no result for it; what it was made from has changed; a stage
has not come to it yet; it was scored and not accepted."""


class Stays(NamedTuple):
    """Why one clip stays: one of `REASONS`, in words, and the group of columns that decides it."""

    reason: str
    why: str
    group: str


@dataclass(frozen=True)
class Choice:
    """Which clips are wanted.

    Attributes:
        without: Ids of clips that stay whatever they are (withdrawn).
        keep_rejected: Let clips go that were scored and not accepted.
        whole: Keep back, too, clips of which any group that was begun failed, is stale or is missing; else only the
            video counts, and the rest goes as nulls.
    """

    without: Container[str] = ()
    keep_rejected: bool = False
    whole: bool = False

    def verdicts(self, table: Table, shard: pa.Table, standing: Standing) -> list[Stays | None]:
        """For each row of a shard why it stays; None for one that goes.

        Args:
            table: The workspace.
            shard: Columns `clip_id`, `accepted`, every `<group>_error`, and `video` or, without the bytes, `sha256`;
                null where a group is not made.
            standing: How the shard's groups stand.
        """
        judged = [group for group in schema.GROUPS if f"{group}_error" in shard.column_names]
        judged = judged if self.whole else ["generate"]
        begun = [group for group in judged if group == "generate" or table.shards(group)]
        rows = shard.select(["clip_id", "accepted", *(f"{group}_error" for group in begun)]).to_pylist()
        unmade = _unmade(table, begun, standing)
        clips = zip(rows, _has_video(shard), strict=True)
        return [self._verdict(row, has_video, begun, unmade) for row, has_video in clips]

    def _verdict(
        self, row: Mapping[str, Any], has_video: bool, begun: Sequence[str], unmade: Stays | None
    ) -> Stays | None:
        if row["clip_id"] in self.without:
            return Stays(WITHDRAWN, "withdrawn", "plan")
        failed = next((group for group in begun if row[f"{group}_error"]), None)
        if failed:
            said = row[f"{failed}_error"]
            return Stays(FAILED, said if failed == "generate" else f"{failed} failed: {said}", failed)
        if unmade:
            return unmade
        if not has_video:
            return Stays(MISSING, "not generated yet", "generate")
        if row["accepted"] is False and not self.keep_rejected:
            return Stays(REJECTED, "scored and not accepted", "score")
        return None


def _unmade(table: Table, begun: Sequence[str], standing: Standing) -> Stays | None:
    """What a shard lacks as a whole, the first group that was begun and does not stand."""
    for group in begun:
        if group not in standing.made:
            reason = STALE if group in standing.stale else MISSING
            if group == "generate":
                return Stays(reason, catalog.not_made(standing.stale, table.path), group)
            return Stays(reason, f"{group} is {reason}: run `equime {group} {table.path}`", group)
    return None


def _has_video(shard: pa.Table) -> list[bool]:
    whole = "video" in shard.column_names
    column = pc.struct_field(shard["video"], "bytes") if whole else shard["sha256"]
    there: list[bool] = pc.is_valid(column).to_pylist()
    return there
