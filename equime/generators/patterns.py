"""Where each action unit moves the skin: a table of mesh points and directions.

What: for every unit of the FACS tables that a warp can show, which points of the face mesh it moves, which way, and
how far in shares of the unit's own amplitude. Why a table: this is the one place to look up, or to doubt, what the
generator means by "12"; the code that makes a smooth field of it is `equime.generators.fields`.

    python -c "from equime.generators.patterns import PATTERNS; print(PATTERNS[12])"

Points are given for the subject's right side and mirrored by `MIRROR`. Directions are (lateral, up): lateral is away
from the midline, up towards the forehead. They follow the muscles' lines of pull and the visible cues of FACS (Ekman,
Friesen and Hager 2002; the names are in `equime.action_units`), reduced to what moves in the image plane.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

MIDLINE: Final = (10, 151, 9, 8, 168, 6, 197, 195, 4, 2, 164, 0, 13, 14, 17, 18, 200, 199, 175, 152)
"""Points on the face's midline, from the hairline to the chin."""

MIRROR: Final[Mapping[int, int]] = MappingProxyType(
    {
        **{107: 336, 66: 296, 105: 334, 63: 293, 70: 300, 55: 285, 65: 295, 52: 282, 53: 283, 46: 276},
        **{108: 337, 69: 299, 104: 333, 68: 298, 71: 301, 109: 338, 67: 297, 103: 332, 54: 284, 21: 251},
        **{33: 263, 133: 362, 159: 386, 145: 374, 160: 387, 158: 385, 144: 373, 153: 380, 161: 388, 157: 384},
        **{163: 390, 154: 381, 221: 441, 222: 442, 223: 443, 224: 444, 225: 445, 113: 342, 193: 417},
        **{226: 446, 31: 261, 228: 448, 229: 449, 230: 450, 231: 451, 232: 452, 233: 453, 143: 372, 35: 265},
        **{111: 340, 117: 346, 118: 347, 119: 348, 120: 349, 121: 350, 116: 345, 123: 352, 50: 280, 101: 330},
        **{36: 266, 100: 329, 142: 371, 205: 425, 187: 411, 207: 427, 147: 376, 213: 433, 192: 416, 214: 434},
        **{129: 358, 98: 327, 64: 294, 49: 279, 209: 429, 198: 420, 126: 355, 217: 437, 174: 399, 131: 360},
        **{203: 423, 206: 426, 165: 391, 167: 393, 92: 322, 216: 436, 186: 410, 212: 432, 57: 287, 43: 273},
        **{61: 291, 185: 409, 40: 270, 39: 269, 37: 267, 146: 375, 91: 321, 181: 405, 84: 314},
        **{191: 415, 80: 310, 81: 311, 82: 312, 95: 324, 88: 318, 178: 402, 87: 317},
        **{106: 335, 182: 406, 83: 313, 202: 422, 204: 424, 194: 418, 201: 421, 208: 428, 171: 396, 211: 431},
        **{32: 262, 140: 369, 148: 377, 176: 400, 149: 378, 150: 379, 136: 365, 172: 397, 58: 288, 132: 361},
        **{93: 323, 234: 454, 127: 356, 162: 389, 210: 430, 135: 364, 169: 394, 170: 395},
    }
)
"""The subject's-left twin of each point used here, by its number on the right."""

REST: Final = (
    *MIDLINE,
    *(107, 105, 63, 70, 55, 52, 108, 104, 109, 67, 103, 54, 21, 162, 127, 234, 93, 132, 58, 172),
    *(136, 150, 149, 176, 148, 222, 224, 113, 193, 133, 33, 159, 145, 161, 157, 228, 230, 232, 143),
    *(116, 118, 123, 50, 101, 205, 36, 187, 147, 207, 213, 192, 214, 174, 198, 209, 129, 98),
    *(203, 206, 216, 57, 212, 61, 40, 37, 91, 84, 43, 202, 204, 208, 171, 194, 210, 135, 169),
)
"""Points that stay where they are unless a unit moves them or lets them go. They keep a field inside its region."""


@dataclass(frozen=True)
class Pattern:
    """What one unit does to the skin.

    Attributes:
        reach: Displacement of the unit's strongest point, in shares of the intensity's amplitude
            (`fields.AMPLITUDE`).
        moves: By point (right side or midline): (lateral, up) in shares of that displacement.
        free: Points of `REST` that are neither moved nor held: the skin between follows its neighbours.
        lid_upper: How the edge of the upper lid moves, up positive, in the same shares.
        lid_lower: The same of the lower lid.
        lips: How the lips' edges move, up positive, from the upper lip's outer edge to the lower lip's.
    """

    reach: float
    moves: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    free: tuple[int, ...] = ()
    lid_upper: float = 0.0
    lid_lower: float = 0.0
    lips: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


def _up(*points: int, by: float = 1.0) -> dict[int, tuple[float, float]]:
    return {point: (0.0, by) for point in points}


PATTERNS: Final[Mapping[int, Pattern]] = MappingProxyType(
    {
        1: Pattern(
            1.0,
            {**_up(107, 55), **_up(66, 65, by=0.75), **_up(108, by=0.8), **_up(9, by=0.45), **_up(151, by=0.5)},
            free=(105, 52, 109, 69, 10),
        ),
        2: Pattern(
            1.0,
            {**_up(63, 53), **_up(70, 46, by=0.85), **_up(105, 52, by=0.6), **_up(104, by=0.75), 68: (0, 0.7)},
            free=(103, 67, 54, 71, 21),
        ),
        4: Pattern(
            1.0,
            {
                **{107: (-0.6, -0.8), 55: (-0.6, -0.8), 66: (-0.45, -0.75), 65: (-0.45, -0.75)},
                **{105: (-0.25, -0.5), 52: (-0.25, -0.5), 108: (-0.25, -0.35), 9: (0, -0.75), 8: (0, -0.5)},
            },
            free=(222, 151, 63),
        ),
        5: Pattern(1.0, lid_upper=1.0),
        6: Pattern(
            1.0,
            {
                **{118: (0, 1), 117: (0, 0.8), 119: (0, 0.95), 101: (0, 0.9), 50: (0, 0.75)},
                **{229: (0, 0.7), 230: (0, 0.7), 231: (0, 0.6), 228: (0, 0.5), 205: (0, 0.4)},
                **{36: (0, 0.4), 100: (0, 0.6), 232: (0, 0.35)},
            },
            free=(187,),
            lid_lower=0.15,
        ),
        7: Pattern(1.0, lid_lower=1.0),
        9: Pattern(
            0.9,
            {
                **{129: (0.05, 1), 98: (0, 0.85), 64: (0, 0.9), 209: (0, 1), 198: (0, 0.9), 126: (0, 0.9)},
                **{217: (0, 0.6), 174: (0, 0.35), 4: (0, 0.35), 197: (0, 0.3), 195: (0, 0.35)},
                **{203: (0.05, 0.5), 2: (0, 0.3)},
            },
            free=(36, 142, 206, 164),
        ),
        10: Pattern(
            1.0,
            {
                **_up(0, 37, 39),
                **{40: (0, 0.75), 185: (0, 0.3), 164: (0, 0.55), 167: (0, 0.6), 165: (0.05, 0.65)},
                **{92: (0.05, 0.55), 206: (0.05, 0.45)},
            },
            free=(203, 2, 98, 13, 14, 216),
        ),
        11: Pattern(
            0.8,
            {206: (0.35, 0.9), 203: (0.25, 0.7), 165: (0.2, 0.5), 92: (0.2, 0.4), 216: (0.1, 0.3)},
            free=(205, 36),
        ),
        12: Pattern(
            1.0,
            {
                **{61: (0.6, 0.8), 57: (0.6, 0.75), 185: (0.5, 0.65), 146: (0.5, 0.65), 186: (0.5, 0.7)},
                **{212: (0.5, 0.65), 216: (0.45, 0.6), 43: (0.4, 0.5), 40: (0.25, 0.35), 91: (0.25, 0.35)},
                **{207: (0.35, 0.45), 206: (0.15, 0.25)},
            },
            free=(205, 187, 214, 202, 192),
        ),
        14: Pattern(
            1.0,
            {
                **{61: (-0.9, 0), 57: (-1, 0), 212: (-0.8, 0), 186: (-0.8, 0), 43: (-0.7, 0)},
                **{185: (-0.6, 0), 146: (-0.6, 0), 216: (-0.5, 0)},
            },
            free=(207, 214, 202),
        ),
        15: Pattern(
            0.9,
            {
                **{61: (0.05, -1), 57: (0.05, -0.9), 146: (0, -0.75), 185: (0, -0.65), 43: (0, -0.85)},
                **{91: (0, -0.35), 40: (0, -0.25), 212: (0, -0.7), 186: (0, -0.5), 202: (0, -0.4)},
            },
            free=(214, 204, 216, 210),
        ),
        16: Pattern(
            0.9,
            {
                **_up(17, 84, by=-1.0),
                **{181: (0.15, -0.95), 91: (0.1, -0.45), 18: (0, -0.4), 83: (0, -0.45), 182: (0.05, -0.35)},
            },
            free=(200, 13, 14, 204, 194),
        ),
        17: Pattern(
            1.0,
            {
                **_up(199, 200),
                **{201: (0, 0.95), 208: (0, 0.9), 171: (0, 0.6), 175: (0, 0.75), 152: (0, 0.3), 148: (0, 0.3)},
                **{18: (0, 0.6), 83: (0, 0.55), 194: (0, 0.45), 32: (0, 0.5), 140: (0, 0.4), 17: (0, 0.25)},
                **{84: (0, 0.2)},
            },
            free=(204, 149, 176, 14, 13),
        ),
        18: Pattern(
            0.9,
            {
                **{61: (-1, 0), 185: (-0.9, 0), 146: (-0.9, 0), 40: (-0.75, 0), 91: (-0.75, 0)},
                **{39: (-0.5, 0), 181: (-0.5, 0), 37: (-0.2, 0), 84: (-0.2, 0), 57: (-0.6, 0), 0: (0, 0.1)},
            },
            free=(43, 212, 206, 216, 13, 14),
        ),
        20: Pattern(
            1.0,
            {
                **{61: (1, -0.1), 57: (1, -0.1), 185: (0.9, -0.05), 146: (0.9, -0.1), 40: (0.6, 0)},
                **{91: (0.6, -0.05), 39: (0.3, 0), 181: (0.3, 0), 43: (0.85, -0.1), 212: (0.8, -0.1)},
                **{186: (0.8, 0), 216: (0.5, 0)},
            },
            free=(214, 202, 207, 192, 13, 14),
        ),
        23: Pattern(
            1.1,
            {61: (-0.35, 0), 57: (-0.25, 0), 185: (-0.25, 0), 146: (-0.25, 0)},
            free=(13, 14, 43, 212, 40, 91),
            lips=(-1, -0.35, 0.35, 1),
        ),
        24: Pattern(
            1.1,
            {164: (0, -0.3), 18: (0, 0.35), 83: (0, 0.35), 200: (0, 0.15)},
            free=(0, 17, 37, 84, 194, 13, 14),
            lips=(-0.9, -0.35, 0.45, 1),
        ),
        25: Pattern(1.3, lips=(0.6, 0.6, -1, -1)),
        26: Pattern(
            1.2,
            {
                **_up(152, 148, 175, 171, 199, 208, 200, 201, by=-1.0),
                **_up(176, 140, 32, by=-0.9),
                **_up(149, by=-0.7),
                **_up(18, 83, by=-0.85),
                **_up(194, 17, 84, by=-0.7),
                **{181: (0, -0.6), 91: (0, -0.3), 204: (0, -0.5)},
            },
            free=(150, 136, 169, 210, 202, 43, 13, 14),
        ),
        43: Pattern(2.4, lid_upper=-1.0),
    }
)
"""By FACS number. Unit 43's reach is that of a lid: it travels further than any other part of the face."""
