"""Which way each action unit moves the parts of a face, as FACS says: the templates that measurements are read with.

Why here: a unit is told by the direction in which a muscle pulls the skin between its ends (Ekman, Friesen and Hager
2002; names, muscles and cues in words are in `equime.action_units`). The table holds signs and rough shares, in the
parts of `equime.mesh`, and nothing of how any clip was made: real muscles, or a generator, are measured alike.

    python -c "from equime.quality.cues import CUES; print(CUES[12])"
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from equime.action_units import REGION, ActionUnit

Cue = Mapping[str, tuple[float, float]]

# fmt: off
_CUES: dict[int, dict[str, tuple[float, float]]] = {
    1: {"brow_inner": (0, 1), "brow_mid": (0, 0.5)},
    2: {"brow_outer": (0, 1), "brow_mid": (0, 0.6)},
    4: {"brow_inner": (-0.6, -0.9), "brow_mid": (-0.3, -0.6)},
    5: {"lid_upper": (0, 1)},
    6: {"cheek": (0, 1), "under_eye": (0, 0.8), "lid_lower": (0, 0.5)},
    7: {"lid_lower": (0, 1), "under_eye": (0, 0.25)},
    8: {"lip_upper": (0, -0.7), "lip_lower": (0, 0.7)},
    9: {"nose_wing": (0, 1), "nose_side": (0, 0.8), "nasolabial": (0, 0.4)},
    10: {"lip_upper": (0, 1), "nasolabial": (0, 0.6), "nose_wing": (0, 0.3)},
    11: {"nasolabial": (0.3, 1), "cheek": (0, 0.2)},
    12: {"mouth_corner": (0.6, 0.8), "nasolabial": (0.2, 0.3), "lip_upper": (0.2, 0.3), "lip_lower": (0.2, 0.3)},
    13: {"mouth_corner": (0, 1), "cheek": (0, 0.3)},
    14: {"mouth_corner": (-1, 0), "lip_upper": (-0.2, 0), "lip_lower": (-0.2, 0)},
    15: {"mouth_corner": (0, -1), "lip_lower": (0, -0.3)},
    16: {"lip_lower": (0.1, -1), "chin": (0, -0.1)},
    17: {"chin": (0, 1), "lip_lower": (0, 0.3)},
    18: {"mouth_corner": (-0.9, 0), "lip_upper": (-0.5, 0), "lip_lower": (-0.5, 0)},
    20: {"mouth_corner": (1, -0.1), "lip_upper": (0.4, 0), "lip_lower": (0.4, 0)},
    22: {"mouth_corner": (-0.6, 0), "lip_upper": (0, 0.7), "lip_lower": (0, -0.7)},
    23: {"lip_upper": (-0.1, -0.6), "lip_lower": (-0.1, 0.6), "mouth_corner": (-0.4, 0)},
    24: {"lip_upper": (0, -0.6), "lip_lower": (0, 0.8), "chin": (0, 0.15)},
    25: {"lip_upper": (0, 0.5), "lip_lower": (0, -1)},
    26: {"chin": (0, -1), "lip_lower": (0, -0.8)},
    27: {"chin": (0, -1), "lip_lower": (0, -0.8), "mouth_corner": (-0.3, -0.4)},
    28: {"lip_upper": (0, -0.8), "lip_lower": (0, 0.8)},
    38: {"nose_wing": (1, 0)},
    39: {"nose_wing": (-1, 0)},
    41: {"lid_upper": (0, -1)},
    42: {"lid_upper": (0, -1), "lid_lower": (0, 0.3)},
    43: {"lid_upper": (0, -1), "lid_lower": (0, 0.1)},
    44: {"lid_upper": (0, -0.7), "lid_lower": (0, 0.7), "brow_inner": (-0.2, -0.5)},
    45: {"lid_upper": (0, -1), "lid_lower": (0, 0.1)},
    46: {"lid_upper": (0, -1), "lid_lower": (0, 0.2)},
}
# fmt: on

CUES: Final[Mapping[int, Cue]] = MappingProxyType(_CUES)
"""By FACS number: part (`mesh.PARTS` or "chin") -> (lateral, up), lateral away from the midline, in shares of the
unit's own strength. Units that move no skin of the image plane (jaw clencher, tongue, head, gaze) have none."""

ALSO: Final[Mapping[int, Cue]] = MappingProxyType(
    {14: {"mouth_corner": (1, 0), "lip_upper": (0.3, 0), "lip_lower": (0.3, 0)}}
)
"""Other ways in which the same unit shows. The dimpler's "inwards" means into the face: the buccinator draws the corner
back, which on the screen goes towards the midline on one face and away from it on another."""

REGION_OF: Final[Mapping[str, str]] = MappingProxyType(
    {
        **{"brow_inner": "brow", "brow_mid": "brow", "brow_outer": "brow"},
        **{"lid_upper": "lid", "lid_lower": "lid", "under_eye": "lid", "cheek": "lid"},
        **{"nose_side": "nose", "nose_wing": "nose", "nasolabial": "mouth"},
        **{"lip_upper": "mouth", "lip_lower": "mouth", "mouth_corner": "mouth", "chin": "chin"},
    }
)
"""Part -> the region (`action_units.REGIONS`) it is counted in. The cheek raiser is a unit of the lids."""


def regions(units: Iterable[ActionUnit]) -> set[str]:
    """The regions in which a programme's units move something."""
    return {REGION[unit.au] for unit in units} | {REGION_OF[p] for u in units for p in CUES.get(u.au, {})}
