"""Which words are said of one group rather than of the others, in captions or any other text.

    spoken = Words.of(rows)
    list(contrasts(rows, spoken, groups(rows, "race"), attributes=1))

By log-odds with an informative Dirichlet prior (Monroe, Colaresi and Quinn 2008, section 3.3.3) of the captions that
hold them. Their largest contrast, by the score test, is held against the largest where groups are dealt anew to
subjects, so that one p stands for all words of an attribute. Groups are of *perceived* labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from equime.audit.measures.means import finding
from equime.audit.measures.permutation import null, pooled
from equime.audit.measures.resampling import Units, drawn_of_all, estimates
from equime.audit.result import Finding
from equime.audit.tables.groups import Groups, is_small, whose
from equime.audit.tables.rows import Rows
from equime.bootstrap import Estimate

Array = npt.NDArray[Any]

WORDS: Final = 300
"""How many words are compared: those in most captions, save those in all."""
DRAWS: Final = 199
"""Of the permutations of words: three hundred columns are dealt at once."""
SHOWN: Final = 3
"""Words of a group that are named, where it has them oftener than chance explains."""
PRIOR: Final = 20.0
"""Captions that the prior counts for, with words in their overall shares."""
LEVEL: Final = 0.05
LARGEST: Final = "largest word contrast"
FEW: Final = "fewer than two groups of enough subjects: words are not compared"


@dataclass(frozen=True, eq=False)
class Words:
    """Which of the commonest words each caption holds.

    Attributes:
        names: The words, by how many captions hold them.
        clip: int64 (m,), the caption of each pair.
        word: int64 (m,), its word; each pair once.
        said: bool (n,), whether there is a caption.
    """

    names: tuple[str, ...]
    clip: Array
    word: Array
    said: Array

    @classmethod
    def of(cls, rows: Rows) -> Words:
        """The words of the column `caption`."""
        captions = rows.table["caption"].combine_chunks()
        plain = pc.replace_substring_regex(pc.utf8_lower(captions), r"[^\pL'-]+", " ")
        lists = pc.utf8_split_whitespace(plain)
        tokens = pc.utf8_trim(pc.list_flatten(lists), "'-").dictionary_encode()
        vocabulary = tokens.dictionary.to_pylist()
        # Sorted by hand: numpy.unique takes ten times as long.
        pairs = np.sort(np.asarray(pc.list_parent_indices(lists), np.int64) * len(vocabulary) + tokens.indices)
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]
        clip, word = np.divmod(pairs, max(len(vocabulary), 1))
        often = np.bincount(word, minlength=len(vocabulary))
        often[[place for place, name in enumerate(vocabulary) if len(name) < 2]] = 0
        often[often == len(captions) - captions.null_count] = 0
        kept = np.argsort(-often, kind="stable")[: min(WORDS, int((often > 0).sum()))]
        place = np.full(len(vocabulary), -1)
        place[kept] = np.arange(len(kept))
        known = place[word] >= 0
        names = tuple(vocabulary[k] for k in kept)
        return cls(names, clip[known], place[word[known]], np.asarray(captions.is_valid()))

    def counts(self, unit: Array, units: int) -> Array:
        """Captions of each unit that hold each word, then all of them: float64 (units, words + 1).

        Args:
            unit: int64 (n,), of each clip; -1 where it is in none.
            units: How many there are.
        """
        size = len(self.names)
        inside = unit[self.clip] >= 0
        cells = unit[self.clip[inside]] * size + self.word[inside]
        held = np.bincount(cells, minlength=units * size).reshape(units, size)
        total = np.bincount(unit[self.said & (unit >= 0)], minlength=units)
        return np.column_stack([held, total]).astype(np.float64)


def log_odds(counts: Array) -> Array:
    """Log-odds ratio of each word, each group against all others, shrunk by the prior: float64 (..., G, W).

    Args:
        counts: Captions that hold each word, then all captions, (..., G, W + 1).
    """
    held, total = counts[..., :-1], counts[..., -1:]
    every, whole = held.sum(-2, keepdims=True), total.sum(-2, keepdims=True)
    # Half a caption keeps a word that all or none hold finite.
    prior = PRIOR * (every + 0.5) / (whole + 1)
    own, others = (np.log(n + prior) for n in (held, every - held))
    without, rest = (np.log(n + PRIOR - prior) for n in (total - held, whole - total - every + held))
    return np.asarray(own - without - others + rest)


def score(counts: Array) -> Array:
    """Score statistic of the same contrasts, nearly standard normal where clips are independent: float64 (..., G, W).

    Not the log-odds over their standard error, which says next to nothing of a word that others never have: its error
    is that of the prior.

    Args:
        counts: As for `log_odds`.
    """
    held, total = counts[..., :-1], counts[..., -1:]
    every, whole = held.sum(-2, keepdims=True), total.sum(-2, keepdims=True)
    share = every / np.maximum(whole, 1)
    variance = share * (1 - share) * total * (1 - total / np.maximum(whole, 1))
    return np.asarray((held - share * total) / np.sqrt(np.where(variance > 0, variance, np.inf)))


def contrasts(rows: Rows, spoken: Words, by: Groups, attributes: int) -> Iterator[Finding]:
    """The largest contrast of any word, and the words that are said of a group oftener than chance explains.

    Args:
        rows: Of the captions.
        spoken: Their words.
        by: Their groups.
        attributes: For how many such groupings p is corrected.
    """
    if not spoken.names:
        return
    units, size = Units.of_groups(whose(rows)[0], by), len(by.names)
    counts, inside = spoken.counts(units.of, len(units.member)), units.member >= 0
    people = np.bincount(units.member[inside & (counts[:, -1] > 0)], minlength=size)
    big = np.array([not is_small(int(n)) for n in people])
    told: dict[str, Any] = {"by": by.by, "labels": rows.labels_of(by.by), "scope": "words"}
    largest = Finding(
        measure=LARGEST, clips=int(counts[inside, -1].sum()), subjects=int(people.sum()), note=FEW, **told
    )
    if big.sum() < 2:
        yield largest
        return
    z, p, chance = _tested(units.member, counts, big, attributes)
    contrast = np.where(big[:, None], np.abs(z), -1)
    group, word = np.unravel_index(contrast.argmax(), z.shape)
    note = f"{spoken.names[word]!r} of {by.names[group]}"
    yield replace(largest, value=float(contrast.max()), reference=chance, p=float(p[group, word]), note=note)
    signed = np.where(big[:, None] & (p < LEVEL), z, 0)
    best = [(g, w) for g in range(size) for w in np.argsort(-signed[g], kind="stable")[:SHOWN].tolist()]
    best = [(g, w) for g, w in best if signed[g, w] > 0]
    for (g, w), estimate in zip(best, _estimates(counts, units.member, size, best), strict=True):
        own = counts[units.member == g, w]
        of = {"of": spoken.names[w], "group": by.names[g], "p": float(p[g, w]), "reference": 0.0}
        yield finding("log-odds", estimate, "", int(own.sum()), int((own > 0).sum()), **of, **told)


def _tested(member: Array, counts: Array, big: Array, attributes: int) -> tuple[Array, Array, float]:
    """Z and p of each group's words, (G, W), and the largest |z| that chance gives on average."""

    def largest(sums: Array) -> Array:
        return np.asarray(np.abs(score(sums))[:, big].max((1, 2))[:, None])

    z = score(pooled(member, counts, len(big)))
    # So many draws that one attribute's least p is below the level when it counts for all.
    chance = null(member, counts, len(big), largest, max(DRAWS, 2 * round(attributes / LEVEL)))[:, 0]
    often = (1 + (chance >= np.abs(z)[..., None] - 1e-9).sum(-1)) / (1 + len(chance))
    return z, np.minimum(1.0, attributes * often), float(chance.mean())


def _estimates(counts: Array, member: Array, size: int, best: Sequence[tuple[int, int]]) -> list[Estimate]:
    """Log-odds of some groups' words, with intervals over subjects."""
    if not best:
        return []
    words = sorted({w for _, w in best})
    spread = np.zeros((len(counts), size, len(words) + 1))
    inside = np.flatnonzero(member >= 0)
    spread[inside, member[inside]] = counts[inside][:, [*words, -1]]
    group, word = np.array([(g, words.index(w)) for g, w in best]).T
    return estimates(log_odds(spread.sum(0))[group, word], log_odds(drawn_of_all(spread))[:, group, word])
