"""Which clips a page shows when it cannot show all: the worst and the median beside the best, and what was rejected.

    choose(table, 24)         # [(17, "best of fear"), (90, "median of fear"), ...]: row numbers and reasons

Why: a page of the best clips shows what a generator can do, not what it does. The best and the worst of each emotion
are taken as they are; wherever several clips would do, the one is taken whose perceived groups were shown least so
far, and of those a face not seen before, so that the page shows everybody for whom there is room. The same rows give
the same choice, in whatever order they stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from equime import schema
from equime.planning.twins import WITHIN
from equime.quality.clip_columns import gates

Array = npt.NDArray[Any]
Choice = tuple[int, str]

SCORES: Final = ("unit_fidelity", "signal_to_noise")
"""By what clips are ranked: the first of them that some clip has."""
GROUPS: Final = ("race", "gender", "age", "skin", "glasses")
"""Perceived groups that take turns; those of them that the table has."""
COLUMNS: Final = (
    *("clip_id", "subject_id", "emotion", "control", "size_bytes", "generate_error", "accepted", "reject_reasons"),
    *("twin_id", "twin_contrast", "noise_key", *SCORES),
)
"""What `choose` reads, beside `GROUPS` and `DISAGREEMENT` where the table has them."""
DISAGREEMENT: Final = "disagreement"
REJECTED: Final = "rejected"
NEAR: Final = 0.05
"""How far from the median a clip may lie that is shown as one, as a share of the clips ranked."""
_UNSEEN, _FACE = 1e4, 1e2


def choose(table: pa.Table, count: int, seed: int = 0) -> list[Choice]:
    """A stratified sample of clips.

    A pair of twins, of each emotion the median, the worst and the best that were not rejected, then a neutral control,
    a clip that was rejected and one whose labels disagree. A median may lie `NEAR` the exact one.

    Where there is no room for all, what stands later in this list goes first. Room that is left shows groups that no
    clip shows yet, then more rejected and disagreeing clips, then any, emotions in turn.

    Args:
        table: `COLUMNS`; `GROUPS` and a bool column `DISAGREEMENT` are used where they are there.
        count: Clips at most.
        seed: Decides between clips that would do equally well.

    Returns:
        (row, why) of each, in the order to show them: emotion by emotion, twins side by side. Clips without a video
        are never among them.
    """
    picker = _Picker(table, count, seed)
    for wanted in (_twins, _medians, _worst, _best, _neutral, _rejected, _disagreeing, _unseen):
        picker.take(wanted(picker))
    for wanted in (_rejected, _disagreeing, _rejected, _rejected, _others):
        picker.take(wanted(picker))
    return picker.in_order()


class _Picker:
    """The clips chosen so far, and columns of all as arrays.

    Attributes:
        table: The rows.
        names: Emotions, in the contract's order.
        label: Each clip's emotion, or the kind of control, str (n,).
        made: Clips with a video, bool (n,).
        free: Those of them that were not chosen yet, bool (n,).
        rejected: bool (n,).
        score: What a clip is ranked by, float64 (n,); NaN where it has none.
        chosen: Row -> why; a clip that is shown for two reasons has both.
    """

    def __init__(self, table: pa.Table, count: int, seed: int) -> None:
        self.table, self.left = table, count
        self.label = _text(pc.coalesce(table["emotion"], table["control"]))
        self.names = [name for name in (*schema.EMOTIONS, schema.DISGUST) if (self.label == name).any()]
        self.made = pc.and_(pc.is_valid(table["size_bytes"]), pc.is_null(table["generate_error"])).to_numpy()
        self.free = self.made.copy()
        self.rejected = pc.equal(table["accepted"], False).fill_null(False).to_numpy()
        self.score = _score(table)
        self.chosen: dict[int, str] = {}
        self._codes, self._shown = _groups(table)
        self._subject = table["subject_id"].combine_chunks().dictionary_encode("encode").indices.to_numpy()
        self._faces = np.zeros(len(table) + 1)
        # Ties are broken by a draw for each id, not by the row's place.
        self.draw = np.empty(len(table), np.int64)
        self.draw[pc.sort_indices(table["clip_id"]).to_numpy()] = np.random.default_rng(seed).permutation(len(table))

    @cached_property
    def gates(self) -> Array:
        """By which gate a rejected clip fell first, object (n,); "" of others."""
        found = np.full(len(self.table), "", object)
        rows = np.flatnonzero(self.rejected)
        reasons = self.table["reject_reasons"].take(pa.array(rows)).to_pylist()
        found[rows] = [next(iter(gates({"reject_reasons": each})), "") for each in reasons]
        return found

    def take(self, wanted: Iterator[tuple[Array, str]]) -> None:
        """Choose clips: sets of rows one after the other, each whole, as long as there is room."""
        for rows, why in wanted:
            new = rows[self.free[rows]]
            if len(new) > self.left:
                return
            self.chosen |= {row: f"{self.chosen[row]}; {why}" for row in rows.tolist() if not self.free[row]}
            for row in new.tolist():
                self.chosen[row] = why
                self.free[row], self.left = False, self.left - 1
                self._faces[self._subject[row]] += 1
                for codes, shown in zip(self._codes, self._shown, strict=True):
                    shown[codes[row]] += 1

    def rarest(self, mask: Array) -> Array:
        """Of some clips that are free, the row whose groups were shown least, as an array of one; empty of none."""
        rows = np.flatnonzero(mask & self.free)
        cost = self.cost(rows)
        rows = rows[cost == cost.min(initial=np.inf)]
        found: Array = rows[self.draw[rows] == self.draw[rows].min(initial=len(self.draw))]
        return found

    def cost(self, rows: Array) -> Array:
        """How often groups and faces of some rows were shown. A group not seen yet weighs most, then a new face."""
        total: Array = self._faces[self._subject[rows]] * _FACE
        for codes, shown in zip(self._codes, self._shown, strict=True):
            cost = np.where(shown > 0, shown, -_UNSEEN)
            cost[-1] = shown.max()  # no label: as one that was seen enough
            total += cost[codes[rows]]
        return total

    def ranked(self, name: str) -> Array:
        """An emotion's clips that have a score and were not rejected, best first."""
        rows = np.flatnonzero((self.label == name) & self.made & ~self.rejected & np.isfinite(self.score))
        return rows[np.lexsort((self.draw[rows], -self.score[rows]))]

    def in_order(self) -> list[Choice]:
        """What was chosen, best, median and worst of each emotion first, the rest as it came."""
        order = [f"{kind} of {name}" for name in self.names for kind in ("best", "median", "worst")]
        return sorted(self.chosen.items(), key=lambda choice: (*order, choice[1]).index(choice[1]))


def _medians(picker: _Picker) -> Iterator[tuple[Array, str]]:
    for name in picker.names:
        rows, near = picker.ranked(name), np.zeros(len(picker.label), bool)
        low, high = (round((len(rows) - 1) * (0.5 + away)) for away in (-NEAR, NEAR))
        near[rows[low : high + 1]] = len(rows) > 2
        yield picker.rarest(near), f"median of {name}"


def _worst(picker: _Picker) -> Iterator[tuple[Array, str]]:
    yield from ((picker.ranked(name)[1:][-1:], f"worst of {name}") for name in picker.names)


def _best(picker: _Picker) -> Iterator[tuple[Array, str]]:
    yield from ((picker.ranked(name)[:1], f"best of {name}") for name in picker.names)


def _twins(picker: _Picker) -> Iterator[tuple[Array, str]]:
    """One pair: the same programme and noise on two people, of different groups if there is such a pair."""
    table = picker.table
    keys = pc.binary_join_element_wise(table["twin_id"], table["noise_key"], "\n").combine_chunks()
    codes = keys.dictionary_encode().indices.fill_null(-1).to_numpy()
    rows = np.flatnonzero((codes >= 0) & picker.free)
    rows = rows[np.lexsort((picker.draw[rows], codes[rows]))]
    starts, sizes = np.unique(codes[rows], return_index=True, return_counts=True)[1:]
    pairs = rows[starts[sizes == 2, None] + np.arange(2)]
    if len(pairs):
        contrasts = _text(table["twin_contrast"].take(pa.array(pairs[:, 0])))
        cost = picker.cost(pairs[:, 0]) + picker.cost(pairs[:, 1])
        order = (picker.draw[pairs[:, 0]], cost, picker.rejected[pairs].any(1), contrasts == WITHIN)
        best = np.lexsort(order)[0]
        across = contrasts[best] not in (WITHIN, "")
        yield pairs[best], f"twins across {contrasts[best]}" if across else "twins within a group"


def _neutral(picker: _Picker) -> Iterator[tuple[Array, str]]:
    yield picker.rarest(picker.label == schema.NEUTRAL), "neutral control"


def _rejected(picker: _Picker) -> Iterator[tuple[Array, str]]:
    """One rejected clip, by a gate and of an emotion that those before it do not show."""
    before = [row for row, why in picker.chosen.items() if why == REJECTED]
    known = np.isin(picker.gates, picker.gates[before]) * 2 + np.isin(picker.label, picker.label[before])
    rows = picker.rejected & picker.free
    yield picker.rarest(rows & (known == known[rows].min(initial=3))), REJECTED


def _disagreeing(picker: _Picker) -> Iterator[tuple[Array, str]]:
    if DISAGREEMENT in picker.table.column_names:
        yield picker.rarest(picker.table[DISAGREEMENT].fill_null(False).to_numpy()), "labels disagree"


def _unseen(picker: _Picker) -> Iterator[tuple[Array, str]]:
    while len(row := picker.rarest(picker.free)) and picker.cost(row)[0] < 0:
        yield row, "of a group not shown yet"


def _others(picker: _Picker) -> Iterator[tuple[Array, str]]:
    """Whatever there is, emotions and controls in turn, rejected ones last."""
    for rejected in (False, True):
        while (rest := picker.free & (picker.rejected == rejected)).any():
            for name in np.unique(picker.label[rest]):
                yield picker.rarest(rest & (picker.label == name)), REJECTED if rejected else f"one of {name}"


def _score(table: pa.Table) -> Array:
    for name in SCORES:
        values: Array = table[name].cast(pa.float64()).fill_null(np.nan).to_numpy()
        if np.isfinite(values).any():
            return values
    return np.full(len(table), np.nan)


def _groups(table: pa.Table) -> tuple[list[Array], list[Array]]:
    """Of each attribute each clip's group, its last one being no label, and a counter of each group."""
    codes, shown = [], []
    for name in (name for name in GROUPS if name in table.column_names):
        column = table[name].combine_chunks().dictionary_encode()
        known = len(column.dictionary)
        if known:
            codes.append(column.indices.fill_null(known).to_numpy())
            shown.append(np.zeros(known + 1))
    return codes, shown


def _text(column: pa.ChunkedArray | pa.Array) -> Array:
    return np.asarray(column.fill_null("").to_pylist(), dtype=object).astype(str)
