"""Which clips coders are shown: a stratified sample, with catch trials and repeats, the same for the same seed.

Strata are emotion x perceived group x intensity of the strongest unit. Places are shared out evenly, first over the
emotions, within each over the groups, within these over the intensities, as far as there are clips: a rare cell is seen
as often as a common one, and `weight` says how much each clip then stands for. Within a cell clips are drawn at random,
accepted and rejected alike, of people who were not drawn yet where there are any.

Beside them stand neutral clips (*catch trials*: who sees an expression there sees what is not there), and some clips
come twice under two names (does a coder agree with itself?).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from equime import schema
from equime.audit.tables.groups import groups
from equime.audit.tables.rows import Rows
from equime.errors import EquimeError

COLUMNS: Final = ("clip_id", "sha256", "emotion", "control", "action_units")
"""What `sample` needs of `open_rows`."""
KEY: Final = pa.schema(
    [
        ("item", pa.string()),
        ("clip_id", pa.string()),
        ("sha256", pa.string()),
        ("repeat_of", pa.string()),
        ("stratum", pa.string()),
        ("weight", pa.float64()),
    ]
)
"""The key, one row an item, in the items' order: `weight` is the share of the stratum in the data set over its share
in the sample, null for neutral clips; `repeat_of` is the item that shows the same clip first."""
CATCH: Final = 0.1
"""Share of neutral clips."""
REPEATED: Final = 0.1
"""Share of the clips that come twice."""
_LETTERS: Final = "bcdfghjkmnpqrstvwxyz"
"""No digits and no "e": a spreadsheet takes "4e12" for a number."""


def sample(rows: Rows, n: int, seed: int = 0, by: str | None = None) -> pa.Table:
    """Draw clips to be coded.

    Args:
        rows: With `COLUMNS`.
        n: How many different clips, neutral ones included; all there are where there are fewer.
        seed: Of the draw and of the items' numbers.
        by: Attributes of the perceived group, "race" or "race+gender"; None: race where anybody has one, else gender.

    Returns:
        Rows of `KEY`.

    Raises:
        EquimeError: Nothing to draw from, nobody has such a label, or numbers that make no sense.
    """
    if n < 1 or seed < 0:
        raise EquimeError(f"expected at least one clip and a seed of 0 or more, got {n = }, {seed = }")
    made = rows.chosen(_shown(rows.table))
    emotions = made.table["emotion"].to_pylist()
    if not any(emotions):
        raise EquimeError(f"no clip of {rows.name} shows an expression: run `equime generate {rows.name}` first")
    rng = np.random.default_rng(seed)
    strata = _strata(emotions, _groups(made, by), strongest(made.table["action_units"]))
    chosen, catch = _drawn(made.table["clip_id"].to_pylist(), strata, made.subjects, n, rng)
    weights, order = _weights(strata, chosen), rng.permutation([*chosen, *catch]).tolist()
    repeats = rng.permutation(order)[: round(REPEATED * len(order))].tolist()
    names = _names(len(order) + len(repeats), rng)
    first = dict(zip(order, names, strict=False))
    columns = {
        "item": names,
        "repeat_of": [*[None] * len(order), *(first[k] for k in repeats)],
        "stratum": [", ".join(strata[k] or (schema.NEUTRAL,)) for k in [*order, *repeats]],
        "weight": [weights.get(k) for k in [*order, *repeats]],
    }
    shown = made.table.select(["clip_id", "sha256"]).take(pa.array([*order, *repeats]))
    table = pa.table({"clip_id": shown["clip_id"], "sha256": shown["sha256"]} | columns)
    return table.select(KEY.names).cast(KEY).sort_by("item").combine_chunks()


def _names(count: int, rng: np.random.Generator) -> list[str]:
    """Numbers in no order, as many digits in each: "item_017"."""
    width = max(3, len(str(count)))
    return [f"item_{number:0{width}d}" for number in rng.permutation(count) + 1]


def without(key: pa.Table, clips: Collection[str]) -> pa.Table:
    """The key without some clips; those that are left of their strata stand for them, too."""
    kept = key.filter(pc.invert(pc.is_in(key["clip_id"], pa.array(clips, pa.string()))))
    before, after = (Counter(_expressions(table)["stratum"].to_pylist()) for table in (key, kept))
    share = after.total() / max(1, before.total())
    grown = pa.array([before[s] / after[s] * share if s in after else None for s in kept["stratum"].to_pylist()])
    weight = pc.multiply(kept["weight"], grown.cast(pa.float64()))
    return kept.set_column(KEY.get_field_index("weight"), "weight", weight).cast(KEY).combine_chunks()


def _expressions(key: pa.Table) -> pa.Table:
    """Each clip of an expression once."""
    return key.filter(pc.and_(pc.is_valid(key["weight"]), pc.is_null(key["repeat_of"])))


def review_id(key: pa.Table) -> str:
    """The name of a review: eight letters, of the items and the very videos they show."""
    told = json.dumps([key[name].to_pylist() for name in ("item", "clip_id", "sha256")])
    return "".join(_LETTERS[byte % len(_LETTERS)] for byte in hashlib.sha256(told.encode()).digest()[:8])


def strongest(units: pa.ChunkedArray) -> list[str | None]:
    """The letter of each clip's strongest unit; None without any. Of a column of action units."""
    whole = units.combine_chunks()
    letters = pc.struct_field(pc.list_flatten(whole), "intensity")
    codes = pc.fill_null(pc.index_in(letters, pa.array(schema.INTENSITIES)), -1)
    found = np.full(len(whole), -1, np.int64)
    np.maximum.at(found, np.asarray(pc.list_parent_indices(whole)), np.asarray(codes, np.int64))
    return [schema.INTENSITIES[code] if code >= 0 else None for code in found.tolist()]


def _shown(table: pa.Table) -> pa.ChunkedArray:
    """The clips that may be drawn: those with a video, of an expression or neutral."""
    neutral = pc.fill_null(pc.equal(table["control"], schema.NEUTRAL), False)
    return pc.and_(pc.is_valid(table["sha256"]), pc.or_(pc.is_valid(table["emotion"]), neutral))


def _groups(rows: Rows, by: str | None) -> list[str]:
    """The group of each clip, "" where it has none."""
    for attribute in (by,) if by else ("race", "gender"):
        try:
            found = groups(rows, attribute)
            return ["" if member < 0 else found.names[member] for member in found.member]
        except EquimeError:
            if by:
                raise
    return [""] * len(rows)


def _strata(
    emotions: Sequence[str | None], group: Sequence[str], letters: Sequence[str | None]
) -> list[tuple[str, ...] | None]:
    """Emotion, group and intensity of each clip; None for neutral ones."""
    told = zip(emotions, group, letters, strict=True)
    return [(emotion, each or "no label", letter or "no letter") if emotion else None for emotion, each, letter in told]


def _drawn(
    ids: Sequence[str],
    strata: Sequence[tuple[str, ...] | None],
    people: Sequence[str],
    n: int,
    rng: np.random.Generator,
) -> tuple[list[int], list[int]]:
    """Places of the clips of expressions, and of the neutral ones."""
    by_id = sorted(range(len(ids)), key=lambda k: ids[k])
    order = [by_id[k] for k in rng.permutation(len(by_id))]
    pools: dict[tuple[str, ...] | None, list[int]] = {}
    for k in order:
        pools.setdefault(strata[k], []).append(k)
    neutral = pools.pop(None, [])
    catch = min(round(CATCH * n), len(neutral))
    sizes = {stratum: len(pools[stratum]) for stratum in sorted(stratum for stratum in pools if stratum)}
    used: Counter[str] = Counter()
    chosen = []
    for stratum, places in _shared(n - catch, sizes, rng).items():
        fresh = sorted(pools[stratum], key=lambda k: used[people[k]])[:places]
        used.update(people[k] for k in fresh)
        chosen += fresh
    return chosen, neutral[:catch]


def _shared(n: int, sizes: dict[tuple[str, ...], int], rng: np.random.Generator) -> dict[tuple[str, ...], int]:
    """Places for each stratum: as even over the first level as the sizes allow, within each over the next."""
    if len(sizes) == 1:
        return {stratum: min(n, size) for stratum, size in sizes.items()}
    level = next(k for k in range(3) if len({stratum[k] for stratum in sizes}) > 1)
    parts: dict[str, dict[tuple[str, ...], int]] = {}
    for stratum, size in sizes.items():
        parts.setdefault(stratum[level], {})[stratum] = size
    places = _even(n, [sum(part.values()) for part in parts.values()], rng)
    return {
        k: v for many, part in zip(places, parts.values(), strict=True) for k, v in _shared(many, part, rng).items()
    }


def _even(n: int, sizes: Sequence[int], rng: np.random.Generator) -> list[int]:
    """Share out n places, or as many as fit, in turn to those with room; who has one more is random."""
    found, left = np.zeros(len(sizes), np.int64), min(n, sum(sizes))
    while left:
        room = rng.permutation(np.flatnonzero(found < sizes))[:left]
        found[room] += 1
        left -= len(room)
    return [int(places) for places in found]


def _weights(strata: Sequence[tuple[str, ...] | None], chosen: Sequence[int]) -> dict[int, float]:
    """Place -> how much of the data set's expressions a drawn clip stands for, 1 on the whole."""
    planned = Counter(stratum for stratum in strata if stratum)
    own = {k: stratum for k in chosen if (stratum := strata[k])}
    drawn, share = Counter(own.values()), len(chosen) / planned.total()
    return {k: planned[stratum] / drawn[stratum] * share for k, stratum in own.items()}
