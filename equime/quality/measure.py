"""Is there an expression, when, where, which way, how much: read from the motion of a face's parts, never from a plan.

Why: a clip is worth what can be measured in it. The planned units say *where to look* (their FACS cues, `quality.cues`)
and nothing of *when*; with no plan (real footage) the parts that moved most together are looked at.

    >>> measured = measure(observe(frames, 24.0, face), parse("R12B").units)
    >>> measured.apex_ms, measured.side, measured.region_motion["mouth"]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from equime.action_units import REGIONS, ActionUnit
from equime.quality.cues import CUES, REGION_OF, regions
from equime.quality.event import Parts, find
from equime.quality.motion import Motion
from equime.quality.unit_match import Templates

Array = npt.NDArray[Any]

DETECTED: Final = 6.0
"""Peak over noise from which a planned movement counts as seen: faces at rest reach 5.7 in clips of six seconds."""

DETECTED_ANYWHERE: Final = 12.0
"""The same where no plan says which way to look: the largest of all ways is larger."""

LID_CLOSURES: Final = (41, 42, 43, 44, 45, 46)
"""Units that close the eye: a plan that holds one wants its blink measured, not bridged."""


@dataclass(frozen=True)
class Measured:
    """What was seen of one expression; None where it cannot be measured: nothing rises above the noise.

    Attributes:
        onset_ms: When the displacement crosses 10 % of its peak on the way up.
        apex_ms: When it peaks.
        offset_ms: When it crosses 10 % on the way down.
        units: The units whose FACS cues add up to what moved; intensities are not measured.
        side: "L", "R" (the subject's own) or "B".
        region_motion: By region (brow, lid, nose, mouth, chin): displacement at the apex of its farthest part, in
            eye distances; where nothing was detected, at the highest of the noise.
        amplitude: Displacement at the apex of the part that went farthest, in eye distances.
        signal_to_noise: Peak of the movement's trace over its own noise.
        unit_fidelity: Cosine between what moved at the apex and what FACS says of the planned units, over parts and
            sides, whatever the strengths of the units: 1 as FACS says, 0 elsewhere or another way.
        unit_fidelity_shuffled: The same against other programmes that share no region with the plan: the control.
        unit_leakage: Of the squares of `region_motion` the share of regions in which no planned unit moves anything,
            0-1; None where the plan moves all of them.
        residual: Displacement left after offset, as a share of the peak: 0 is back to neutral.
    """

    onset_ms: float | None = None
    apex_ms: float | None = None
    offset_ms: float | None = None
    units: tuple[ActionUnit, ...] = ()
    side: str | None = None
    region_motion: Mapping[str, float] = field(default_factory=dict)
    amplitude: float | None = None
    signal_to_noise: float | None = None
    unit_fidelity: float | None = None
    unit_fidelity_shuffled: float | None = None
    unit_leakage: float | None = None
    residual: float | None = None


def measure(motion: Motion, planned: Sequence[ActionUnit] | None = None) -> Measured:
    """Measure the one expression of a clip.

    Args:
        motion: What `quality.motion.observe` saw.
        planned: The programme, which says where to look, not when; None or empty: wherever it moved most. A
            programme of units without visible cues (see `quality.cues`) is looked for everywhere as well.
    """
    units = [unit for unit in planned or () if unit.au in CUES]
    parts = Parts.of(motion, bridged=not any(unit.au in LID_CLOSURES for unit in units))
    templates = Templates(motion.face, parts.keys)
    looks = [(find(parts, patterns), patterns) for patterns in templates.readings(units)]
    event, patterns = max(looks, key=lambda look: look[0].signal_to_noise)
    size = np.hypot(*event.peak.T)
    by_region = {
        r: max(float(s) for s, (part, _) in zip(size, parts.keys, strict=True) if REGION_OF[part] == r) for r in REGIONS
    }
    if event.signal_to_noise < least_signal(units):
        return Measured(region_motion=by_region, signal_to_noise=event.signal_to_noise)
    onset, apex, offset = (motion.ms(time) for time in event.times)
    return Measured(
        *(onset, apex, offset),
        units=templates.seen(event.peak, parts.noise),
        side=_side(event.peak, patterns.sum(0), parts.keys),
        region_motion=by_region,
        amplitude=float(size.max()),
        signal_to_noise=event.signal_to_noise,
        unit_fidelity=templates.fidelity(event.peak, units) if units else None,
        unit_fidelity_shuffled=templates.shuffled(event.peak, units) if units else None,
        unit_leakage=_leakage(by_region, units) if units else None,
        residual=event.residual,
    )


def least_signal(units: Iterable[ActionUnit]) -> float:
    """Peak over noise from which a movement counts as seen, by whether the planned units say which way to look."""
    return DETECTED if any(unit.au in CUES for unit in units) else DETECTED_ANYWHERE


def _leakage(by_region: Mapping[str, float], units: Sequence[ActionUnit]) -> float | None:
    """Of the regions' squared motion the share where no unit moves anything; None where all regions are planned."""
    planned = regions(units)
    if planned >= set(by_region):
        return None
    energy = {region: size**2 for region, size in by_region.items()}
    return sum(e for region, e in energy.items() if region not in planned) / max(sum(energy.values()), 1e-30)


def _side(peak: Array, cue: Array, keys: Sequence[tuple[str, str]]) -> str:
    """The side that moved at least twice as far (along the cue, where there is one), or "B"."""
    way = cue if cue.any() else peak
    along = np.clip((peak * way).sum(1), 0, None)
    right, left = (float(sum(a for a, (_, at) in zip(along, keys, strict=True) if at == side)) for side in "RL")
    return "R" if right > 4 * left else "L" if left > 4 * right else "B"
