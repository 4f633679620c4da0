"""What the packaged tables say, summed by hand: the oracle of the causal model's tests."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from equime.au_counts import COUNTS
from equime.scm.unit_model import Outcome


def share(table: Mapping[Outcome, float], *units: int) -> float:
    return math.fsum(chance for key, chance in table.items() if set(units) <= set(key))


def pooled(emotion: str) -> tuple[int, Counter[int], Counter[tuple[int, int]]]:
    tables = [COUNTS[name][emotion] for name in ("casme2", "samm") if emotion in COUNTS[name]]
    units: Counter[int] = Counter()
    pairs: Counter[tuple[int, int]] = Counter()
    for table in tables:
        units.update(table.au)
        pairs.update(table.pairs)
    return sum(table.n for table in tables), units, pairs
