"""What planning did and what the plan will cost, for people and for scripts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from equime.planning.equity import Equity
from equime.planning.equity_audit import Audit
from equime.wording import counted

CLIP_MB = 0.45
"""A clip of 512x512 at CRF 18 with grain, as measured; clips of smooth models are smaller."""
CPU_S = 2.6
"""Seconds of one core for a clip of the packaged generator, encoded, as measured."""
GPU_S = (0.7, 6.0)
"""Seconds a clip on one data-centre GPU, estimated for LTX-Video 2B: distilled in 8 steps; 40 steps with guidance."""


@dataclass(frozen=True)
class PlanReport:
    """What planning did.

    Attributes:
        rows, new_rows, subjects: How many are planned.
        by_emotion: Folder (emotions and controls) -> rows.
        by_split, by_design: Rows.
        equity: How even the plan is; None where nothing was to be chosen (a refill).
        audit: The same by independent labels and corrected for confusion; None where there is neither.
        twins: Contrast -> subject pairs planned now.
        twin_balance: How alike the pairs are, by covariate.
        unplanned_units: Share of the tables' unit marks that is never planned, per emotion and "overall".
        notes: What a person should know, by picture or option.
        rejected: Picture -> why it was left out.
        rejected_by_group: Kind of reason -> demographic cell -> pictures.
        short: Refill: strata that stay short, in words.
    """

    rows: int = 0
    new_rows: int = 0
    subjects: int = 0
    by_emotion: dict[str, int] = field(default_factory=dict)
    by_split: dict[str, int] = field(default_factory=dict)
    by_design: dict[str, int] = field(default_factory=dict)
    equity: Equity | None = None
    audit: Audit | None = None
    twins: dict[str, int] = field(default_factory=dict)
    twin_balance: dict[str, Any] = field(default_factory=dict)
    unplanned_units: dict[str, float] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    rejected: dict[str, str] = field(default_factory=dict)
    rejected_by_group: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    short: list[str] = field(default_factory=list)

    @property
    def cost(self) -> dict[str, float]:
        """Disk in GB; hours of one core for the packaged generator; hours of one GPU for LTX-Video, least and most."""
        return {
            "disk_gb": round(self.rows * CLIP_MB / 1000, 2),
            "cpu_hours": round(self.rows * CPU_S / 3600, 2),
            "gpu_hours_distilled": round(self.rows * GPU_S[0] / 3600, 2),
            "gpu_hours_full": round(self.rows * GPU_S[1] / 3600, 2),
        }

    def to_dict(self) -> dict[str, Any]:
        """For `--json`; None for a number that cannot be said or is infinite."""
        found = {name: value.to_dict() if value else None for name, value in self._evenness.items()}
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in found}
        made: dict[str, Any] = _finite(plain | found | {"cost": self.cost})
        return made

    def __str__(self) -> str:
        """For people."""
        return "\n".join(filter(None, (*map(str, filter(None, self._evenness.values())), *self._counts(), *self.short)))

    @property
    def _evenness(self) -> dict[str, Equity | Audit | None]:
        return {"equity": self.equity, "audit": self.audit}

    def _counts(self) -> tuple[str, ...]:
        twins = ", ".join(f"{n} {contrast}" for contrast, n in sorted(self.twins.items()))
        beside = {design: n for design, n in self.by_design.items() if design != "balanced"}
        share = self.unplanned_units.get("overall", 0.0)
        cost = self.cost
        return (
            f"plan: {self.new_rows} new clips, {self.rows} in all, of {counted(self.subjects, 'subject')}; "
            f"by split {self.by_split}",
            f"plan: beside the balanced clips {beside}" if beside else "",
            f"plan: new matched pairs, not counterfactuals: {twins}" if twins else "",
            f"plan: {share:.1%} of the tables' unit marks are of units that no generator shows, and unplanned",
            f"plan: about {max(0.01, cost['disk_gb']):g} GB; {cost['cpu_hours']:g} core hours with the packaged "
            f"generator, or {cost['gpu_hours_distilled']:g} to {cost['gpu_hours_full']:g} GPU hours with LTX-Video 2B "
            "(estimated)",
        )


def _finite(value: Any) -> Any:
    """JSON knows no NaN and no infinity."""
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
