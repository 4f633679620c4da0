"""The receipt of a run: what was made, what was there, what failed and why.

print(run(Caption(), table))     # caption: 3 shards made, 0 fresh; 5 rows in 0.1 s, 0 failed
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from equime.wording import counted


@dataclass(frozen=True)
class Receipt:
    """What a run did: shards by state, rows, failures with their reasons, seconds.

    Attributes:
        stage: Its name.
        done: Shards written by this run.
        fresh: Shards that were up to date already.
        waiting: Shards left out because a column they read is not made yet.
        foreign: Shards that something else made (an import), overwritten only when asked.
        rows: Rows run.
        failed: Rows that have no result and a reason, in the shards run and the fresh ones.
        seconds: Wall-clock time.
        errors: The first reasons of this run, by clip_id.
        kept: Shards of which every row failed now, left as they were made before: they hold good rows.
        untried: Rows that failed before and were not tried now.
    """

    stage: str
    done: int = 0
    fresh: int = 0
    waiting: int = 0
    foreign: int = 0
    rows: int = 0
    failed: int = 0
    seconds: float = 0.0
    errors: dict[str, str] = field(default_factory=dict)
    kept: int = 0
    untried: int = 0

    def __str__(self) -> str:
        """One line for people."""
        waiting = f", {self.waiting} waiting for their inputs" if self.waiting else ""
        foreign = f", {self.foreign} imported and left as they are" if self.foreign else ""
        kept = f", {self.kept} failed whole and left as made before" if self.kept else ""
        untried = f"; {self.untried} failed before: run again with --retry-failed" if self.untried else ""
        return (
            f"{self.stage}: {counted(self.done, 'shard')} made, {self.fresh} fresh{waiting}{foreign}{kept}; "
            f"{counted(self.rows, 'row')} in {self.seconds:.1f} s, {self.failed} failed{untried}"
        )

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)
