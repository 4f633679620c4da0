"""Counts of coded action units per emotion in the public micro-expression sets (aggregates only).

What: how often each unit and pair of units is coded under each emotion (`COUNTS`), how intensity,
side and timing are distributed there, and the EMFACS prototypes.
Why: the causal model is fitted from these numbers, so that none of its probabilities is typed in.

    python -c "from equime.au_counts import COUNTS; print(COUNTS['casme2']['surprise'].au)"

Source: counted from the public label files of CASME II (Yan et al. 2014), SAMM (Davison et al.
2018) and CAS(ME)3 part A (Li et al. 2022). A unit counts once a clip, side and intensity dropped, both of
two alternatives counted. No row of those files is here: they are under signed agreements.
"""

from __future__ import annotations

from typing import NamedTuple


class Counts(NamedTuple):
    """Counts over the clips of one emotion in one set.

    Attributes:
        n: clips.
        au: unit number -> clips in which it is coded; a unit not named is coded in none.
        pairs: (lower, higher unit) -> clips with both: the most frequent pairs, twelve at most, so
            a pair not named is rare rather than absent.
    """

    n: int
    au: dict[int, int]
    pairs: dict[tuple[int, int], int]


class Quantiles(NamedTuple):
    """Quantiles in ms over n clips of one set (n is what they weigh in a fit)."""

    n: float
    p5: float
    p25: float
    p50: float
    p75: float
    p95: float
    mean: float


# fmt: off
COUNTS: dict[str, dict[str, Counts]] = {
    "casme2": {
        "happiness": Counts(
            32,
            {1: 1, 4: 1, 6: 2, 12: 28, 14: 4, 15: 2, 17: 1},
            {(12, 15): 2, (6, 12): 2, (1, 12): 1, (4, 12): 1, (12, 17): 1},
        ),
        "others": Counts(
            99,
            {4: 67, 5: 2, 6: 3, 7: 6, 12: 7, 14: 16, 16: 4, 17: 4, 18: 1, 24: 6, 38: 1},
            {
                (4, 7): 5, (16, 24): 2, (4, 5): 2, (4, 12): 2, (14, 24): 2, (4, 17): 1,
                (12, 16): 1, (4, 38): 1, (4, 14): 1, (6, 12): 1, (7, 12): 1,
            },
        ),
        "disgust": Counts(
            63,
            {1: 1, 2: 2, 4: 54, 5: 1, 6: 5, 7: 31, 9: 9, 10: 18, 14: 1, 15: 1, 16: 1, 17: 2},
            {
                (4, 7): 28, (4, 10): 15, (4, 9): 7, (7, 10): 5, (6, 7): 4, (7, 9): 4, (4, 17): 2,
                (9, 10): 2, (4, 6): 2, (4, 14): 1, (9, 14): 1, (10, 14): 1,
            },
        ),
        "repression": Counts(
            27,
            {4: 2, 12: 3, 15: 14, 17: 19},
            {(15, 17): 6, (12, 15): 3, (4, 17): 2, (12, 17): 1, (4, 15): 1},
        ),
        "surprise": Counts(
            25,
            {1: 20, 2: 21, 5: 1, 7: 1, 12: 1, 14: 1, 25: 1, 26: 1, 38: 1},
            {
                (1, 2): 17, (2, 12): 1, (2, 26): 1, (2, 38): 1, (26, 38): 1, (1, 5): 1, (1, 7): 1,
                (2, 5): 1, (2, 7): 1, (5, 7): 1, (2, 14): 1,
            },
        ),
    },
    "samm": {
        "anger": Counts(
            57,
            {4: 21, 6: 2, 7: 42, 9: 1, 17: 1, 23: 1, 43: 8, 56: 1},
            {
                (4, 7): 8, (7, 43): 8, (4, 43): 4, (4, 6): 2, (6, 7): 2, (6, 43): 2, (4, 9): 1,
                (6, 9): 1, (7, 9): 1, (9, 43): 1, (7, 56): 1,
            },
        ),
        "sadness": Counts(
            6,
            {1: 2, 12: 1, 15: 2, 17: 3},
            {(15, 17): 1, (12, 15): 1},
        ),
        "surprise": Counts(
            15,
            {1: 4, 2: 4, 5: 9, 14: 1, 24: 1, 25: 1, 26: 2},
            {(1, 2): 4, (25, 26): 1, (5, 24): 1, (1, 14): 1, (2, 14): 1},
        ),
        "fear": Counts(
            8,
            {5: 1, 7: 1, 20: 7, 21: 1, 25: 1, 26: 2, 31: 1},
            {
                (20, 26): 2, (20, 21): 1, (7, 20): 1, (7, 26): 1, (5, 20): 1, (5, 25): 1,
                (5, 26): 1, (20, 25): 1, (25, 26): 1,
            },
        ),
        "other": Counts(
            26,
            {2: 13, 4: 1, 8: 1, 13: 3, 18: 4, 24: 6, 25: 2, 38: 2, 39: 4},
            {
                (18, 39): 3, (13, 39): 3, (13, 18): 2, (18, 25): 1, (8, 25): 1, (4, 13): 1,
                (4, 18): 1, (4, 39): 1, (24, 38): 1,
            },
        ),
        "happiness": Counts(
            26,
            {2: 1, 6: 3, 7: 3, 10: 1, 12: 26, 15: 2, 24: 2, 25: 1, 39: 1, 61: 1},
            {
                (6, 12): 3, (7, 12): 3, (6, 15): 2, (12, 15): 2, (12, 24): 2, (12, 61): 1,
                (10, 12): 1, (12, 25): 1, (2, 12): 1, (12, 39): 1,
            },
        ),
        "disgust": Counts(
            9,
            {4: 1, 9: 4, 10: 5, 12: 1, 25: 1, 26: 1, 31: 1},
            {(9, 12): 1, (4, 9): 1, (9, 10): 1, (10, 25): 1, (10, 26): 1, (25, 26): 1},
        ),
        "contempt": Counts(
            12,
            {12: 2, 14: 12, 17: 3, 24: 1, 25: 1, 26: 1},
            {
                (14, 17): 3, (12, 14): 2, (14, 25): 1, (14, 26): 1, (25, 26): 1, (14, 24): 1,
                (17, 24): 1,
            },
        ),
    },
    "casme3_partA": {
        "disgust": Counts(
            247,
            {
                1: 11, 2: 7, 4: 181, 5: 1, 6: 5, 7: 9, 9: 33, 10: 5, 12: 2, 14: 15, 15: 1, 16: 2,
                17: 4, 18: 5, 24: 17, 25: 2, 38: 2,
            },
            {
                (4, 9): 20, (1, 2): 6, (4, 6): 4, (6, 9): 4, (4, 10): 3, (9, 14): 3, (16, 24): 2,
                (4, 18): 2, (14, 24): 2, (4, 17): 2, (4, 25): 1, (9, 18): 1,
            },
        ),
        "surprise": Counts(
            184,
            {
                1: 97, 2: 94, 4: 17, 5: 38, 6: 2, 7: 5, 12: 2, 14: 5, 16: 4, 17: 1, 18: 1, 22: 1,
                24: 3, 25: 4, 26: 1, 38: 1,
            },
            {(1, 2): 85, (1, 5): 3, (2, 5): 3, (25, 26): 1, (14, 17): 1, (2, 4): 1, (4, 12): 1},
        ),
        "happiness": Counts(
            54,
            {4: 5, 9: 2, 10: 2, 12: 5, 14: 22, 15: 2, 17: 1, 18: 1, 24: 9, 25: 1, 28: 1, 38: 5},
            {(12, 25): 1, (14, 28): 1},
        ),
        "fear": Counts(
            83,
            {
                1: 9, 2: 7, 4: 36, 5: 2, 9: 7, 10: 1, 12: 2, 14: 16, 15: 2, 16: 1, 17: 1, 18: 2,
                20: 3, 21: 1, 24: 5, 28: 2, 38: 2,
            },
            {
                (1, 2): 5, (4, 9): 3, (9, 14): 2, (14, 24): 1, (16, 24): 1, (14, 28): 1,
                (9, 10): 1, (9, 24): 1, (9, 38): 1, (10, 24): 1, (10, 38): 1, (24, 38): 1,
            },
        ),
        "anger": Counts(
            64,
            {1: 8, 2: 1, 4: 10, 7: 4, 9: 5, 10: 1, 12: 1, 14: 45, 17: 1, 24: 2, 38: 2},
            {
                (4, 14): 6, (4, 9): 5, (9, 14): 5, (14, 24): 2, (4, 24): 1, (14, 17): 1,
                (1, 2): 1, (1, 14): 1, (2, 14): 1,
            },
        ),
        "sadness": Counts(
            55,
            {1: 8, 2: 1, 4: 11, 6: 1, 7: 2, 9: 1, 14: 26, 16: 1, 17: 3, 24: 5, 28: 1, 38: 1},
            {(14, 24): 3, (1, 2): 1, (6, 7): 1, (14, 16): 1, (16, 24): 1},
        ),
    },
}
# fmt: on
"""Set -> emotion -> counts.

`casme2` has 246 of the set's 255 clips (its 2 clips of fear and 7 of sadness are not in the public
file); `samm` all 159; `casme3_partA` 687, without "others". CAS(ME)3's emotions are self-reported,
and in it the dimpler is the commonest sign of sadness and anger; its "happy" and "sad" are named
happiness and sadness here. Mean units a clip: CASME II 1.5, SAMM 1.46, CAS(ME)3 1.27.
"""

INTENSITY_MARKS: dict[str, int] = {"A": 27, "B": 26, "C": 16, "D": 5, "E": 4}
"""Intensity letters coded in 66 clips of SAMM; CASME II has none."""

SIDE_MARKS: dict[str, dict[str, int]] = {
    "casme2": {"clips": 246, "L": 29, "R": 19},
    "samm": {"clips": 159, "L": 26, "R": 16},
}
"""Clips that carry a side mark, by the subject's own side: 19.5 % of CASME II, 26.4 % of SAMM."""

SIDED_UNITS: frozenset[int] = frozenset({2, 10, 12, 14})
"""The units that carry most of the side marks."""

DURATION_MS: dict[str, Quantiles] = {
    "casme2": Quantiles(246, 180, 255, 318, 430, 500, 338),
    "samm": Quantiles(159, 195, 295, 390, 450, 500, 372),
    "casme3_partA": Quantiles(687, 300, 467, 700, 1100, 2387, 1195),
}
"""Onset to offset. CASME II and SAMM are filmed at 200 fps, CAS(ME)3 at 30 with loose offsets."""

ONSET_TO_APEX_MS: dict[str, Quantiles] = {
    "casme2": Quantiles(246, 75, 115, 158, 211, 325, 168),
    "samm": Quantiles(159, 70, 120, 160, 200, 315, 166),
    "casme3_partA": Quantiles(687, 33, 133, 200, 233, 267, 188),
}
"""Onset to apex, likewise."""

PROTOTYPES: dict[str, tuple[int, ...]] = {
    "happiness": (6, 12),
    "sadness": (1, 4, 15),
    "surprise": (1, 2, 5, 26),
    "fear": (1, 2, 4, 5, 7, 20, 26),
    "anger": (4, 5, 7, 23),
    "disgust": (9, 15, 16),
    "contempt": (12, 14),
}
"""EMFACS-style prototypes: what a full, posed expression holds; a micro-expression shows a part."""
