"""Which action units a displacement is made of: FACS cues as a dictionary, fitted with strengths of no negative sign.

Why: a template that must match as a whole punishes a programme for the strengths nobody prescribed; with free
strengths only the *directions* and *places* are judged, for a plan and for its controls alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from equime.action_units import ActionUnit
from equime.mesh import Face, region_mask
from equime.quality.cues import ALSO, CUES, Cue, regions

Array = npt.NDArray[Any]
Keys = Sequence[tuple[str, str]]

TOLD_APART: Final = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 16, 17, 18, 20, 23, 24, 25, 26, 43)
"""Units whose cues differ enough to be told from one another by displacement.

45 reads as 43, 28 as 24, 27 as 26, and a dimple that draws the corner out as 20."""

CONTROLS: Final = ((1, 2), (4,), (5,), (7,), (6,), (9,), (12,), (15,), (10,), (14,), (24,), (17,), (26,))
"""Programmes that stand in for a plan's shuffled ones, one at a time, where they share no region with it."""

_SIZE: Final = 40.0
_SMEAR: Final = 0.08
_GAIN: Final = 0.25
_FAINT: Final = 0.2
_CLEAR: Final = 5.0
_BOTH: Final = 0.45


class Templates:
    """What each unit's cue looks like through the masks of one face.

    A cue says how a part moves; skin has no seams, masks overlap and dense flow has a width of its own. So a cue is
    painted on the parts' masks, smoothed over 0.08 eye distances and read through the masks as the flow is.
    """

    def __init__(self, face: Face, keys: Keys) -> None:
        self.keys = tuple(keys)
        x0, y0, x1, y1 = face.box
        scale = _SIZE / face.eye_distance
        small = face.moved(
            np.array([[scale, 0, (0.2 * (x1 - x0) - x0) * scale], [0, scale, (0.2 * (y1 - y0) - y0) * scale]])
        )
        shape = (int(1.4 * (y1 - y0) * scale) + 1, int(1.4 * (x1 - x0) * scale) + 1)
        self._masks = np.stack([region_mask(small, *key, shape) for key in self.keys]).astype(np.float32)
        self._found: dict[tuple[int, str, int], Array] = {}

    def column(self, au: int, side: str, way: int = 0) -> Array:
        """float64 (K, 2): one unit on one side ("R" or "L"), of length 1; 0 where the unit has no cue.

        Args:
            au: FACS number.
            side: "R" or "L".
            way: 0 for the cue of `CUES`, 1 for that of `ALSO`.
        """
        if (au, side, way) not in self._found:
            self._found[au, side, way] = self._painted((ALSO if way else CUES).get(au, {}), side)
        return self._found[au, side, way]

    def readings(self, units: Sequence[ActionUnit]) -> list[Array]:
        """How a programme may look, float64 (n, K, 2) each: a column for each unit with a cue and each of its sides.

        One reading, but where a unit shows in two ways; none of its columns is empty.
        """
        known = [(u.au, side) for u in units if u.au in CUES for side in (u.side if u.side in "LR" else "RL")]
        ways = (0, 1) if any(au in ALSO for au, _ in known) else (0,)
        found = [[self.column(au, side, way if au in ALSO else 0) for au, side in known] for way in ways]
        return [np.array(columns).reshape(-1, len(self.keys), 2) for columns in found]

    def _painted(self, cue: Cue, side: str) -> Array:
        ways = np.array([cue.get(part, (0.0, 0.0)) if at == side else (0.0, 0.0) for part, at in self.keys], np.float32)
        own = ways.any(1)
        weight = np.maximum(self._masks[own].sum(0), 1)
        field = np.tensordot(self._masks[own], ways[own], (0, 0)) / weight[..., None]
        field = cv2.GaussianBlur(field, (0, 0), _SMEAR * _SIZE)
        found = np.tensordot(self._masks, field, ((1, 2), (0, 1))) / np.maximum(self._masks.sum((1, 2)), 1)[:, None]
        return np.asarray(found / max(float(np.sqrt((found**2).sum())), 1e-12), np.float64)

    def fidelity(self, peak: Array, units: Sequence[ActionUnit]) -> float:
        """Cosine between a displacement and the nearest sum of the units' cues, 0-1."""
        return max(_cosine(peak, patterns) for patterns in self.readings(units))

    def shuffled(self, peak: Array, units: Sequence[ActionUnit]) -> float | None:
        """Mean `fidelity` of the `CONTROLS` that share no region with the plan; None where all do."""
        own = regions(units)
        others = [[ActionUnit(au) for au in control] for control in CONTROLS]
        found = [self.fidelity(peak, other) for other in others if not regions(other) & own]
        return float(np.mean(found)) if found else None

    def seen(self, peak: Array, noise: Array) -> tuple[ActionUnit, ...]:
        """The fewest units that explain a displacement: matching pursuit, a unit at a time, each on its sides.

        Args:
            peak: float (K, 2) displacement of the parts.
            noise: float (K,) the parts' noise: what stays under it three times over is not looked at.
        """
        clear = np.hypot(*peak.T) > 3 * noise
        target = (peak * clear[:, None]).ravel()
        names = [(au, side) for au in TOLD_APART for side in "RL"]
        design = np.stack([self.column(*name).ravel() for name in names], 1)
        doubt = np.sqrt((design**2).T @ np.repeat(noise**2, 2))
        local = np.sqrt(np.maximum((design**2 > 0.04 * (design**2).max(0)).T @ target**2, 1e-30))
        chosen: list[int] = []
        strength, left = np.zeros(0), target
        while target.any() and len(chosen) < 10:
            gain = np.clip(design.T @ left, 0, None)
            gain[chosen] = 0
            gain[(gain**2 < _GAIN * local**2) | (gain < _CLEAR * doubt)] = 0
            best = int(np.argmax(gain))
            if gain[best] <= _FAINT * np.sqrt(target @ target):
                break
            chosen.append(best)
            strength = nonnegative(design[:, chosen], target)
            left = target - design[:, chosen] @ strength
        return _units({names[k]: float(s) for k, s in zip(chosen, strength, strict=True) if s > 0})


def _cosine(peak: Array, patterns: Array) -> float:
    """Between a displacement (K, 2) and the nearest sum of patterns (n, K, 2) with strengths of no negative sign."""
    energy = float((peak**2).sum())
    if not len(patterns) or not energy:
        return 0.0
    design = patterns.reshape(len(patterns), -1).T
    fitted = design @ nonnegative(design, peak.ravel())
    return float(np.sqrt(min(1.0, float(fitted @ fitted) / energy)))


def _units(found: dict[tuple[int, str], float]) -> tuple[ActionUnit, ...]:
    units = []
    for au in sorted({au for au, _ in found}):
        right, left = found.get((au, "R"), 0.0), found.get((au, "L"), 0.0)
        if min(right, left) >= _BOTH * max(right, left):
            units.append(ActionUnit(au, "B"))
        else:
            units.append(ActionUnit(au, "R" if right > left else "L"))
    return tuple(units)


def nonnegative(design: Array, target: Array) -> Array:
    """Least squares with no negative coefficient, float64 (n,), for a few columns: coordinate descent."""
    gram, wanted = design.T @ design, design.T @ target
    found = np.zeros(len(wanted))
    for _ in range(200):
        before = found.copy()
        for k in range(len(found)):
            found[k] = max(0.0, found[k] + (wanted[k] - gram[k] @ found) / max(gram[k, k], 1e-12))
        if np.abs(found - before).max() <= 1e-9 * max(float(found.max()), 1e-30):
            break
    return found
