r"""Does the captioner describe groups differently?

    rows = open_rows("ws", COLUMNS)
    print("\n".join(text(rows).lines()))

What a clip plans is independent of whom it shows, so its caption should be too: as many words, the planned units and
no other, no word about looks, and no word said oftener of one group than of the others. A captioner that looks at
faces (a vision-language model) can fail each of these; a template, which sees only the plan, none.

Words are compared by log-odds with an informative Dirichlet prior (Monroe, Colaresi and Quinn 2008, section 3.3.3) of
the captions that hold them. Their largest contrast, by the score test, is held against the largest where groups are
dealt anew to subjects, so that one p stands for all words of an attribute. Groups are of *perceived* labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from equime.audit.generator import balanced
from equime.audit.groups import Groups, is_small, several
from equime.audit.means import TESTED, by_groups, draws_of, finding, people_of
from equime.audit.permutation import null, pooled
from equime.audit.resampling import estimates
from equime.audit.result import Audit, Finding
from equime.audit.rows import Rows
from equime.bootstrap import Estimate
from equime.captioning.agreement import named, planned
from equime.errors import EquimeError

Array = npt.NDArray[Any]

COLUMNS: Final = (
    *("emotion", "control", "design", "action_units"),
    *("caption", "caption_json", "captioner", "caption_error"),
)
"""What `text` reads, beside the labels."""
WORDS: Final = 300
"""How many words are compared: those in most captions, save those in all."""
SAMPLE: Final = 5000
"""Captions whose units are read back at most."""
DRAWS: Final = 199
"""Of the permutations of words: three hundred columns are dealt at once."""
SHOWN: Final = 3
"""Words of a group that are named, where it has them oftener than chance explains."""
PRIOR: Final = 20.0
"""Captions that the prior counts for, with words in their overall shares."""
LEVEL: Final = 0.05
APPEARANCE: Final = (
    r"wom[ae]n|m[ae]n|males?|females?|girls?|boys?|lad(?:y|ies)|gentlem[ae]n|guys?|masculine|feminine"
    r"|s?he|hers?|him|his|herself|himself"
    r"|asians?|east asian|indians?|africans?|europeans?|caucasians?|arabs?|latin[aox]s?|hispanics?|middle[- ]eastern"
    r"|black|white|brown|ethnic(?:ity)?|racial|skin|complexion|tan(?:ned)?|freckle[sd]?"
    r"|old|older|elderly|young|younger|youthful|aged|middle-aged|teenagers?|adults?|child|children|wrinkle[sd]?"
    r"|bald|beard(?:ed)?|moustache|mustache|hair(?:ed)?|blond|blonde|brunette|glasses|hijab|headscarf|turban|make-?up"
)
"""Words that tell how a person looks, whole ones, in any case."""
NOTES: Final = (
    "balanced clips; controls and dose sweeps are left out",
    "which emotion and units a clip plans does not depend on its group by design, so that captions should not either",
    "words: log-odds of a caption with the word, of the group against all others (Monroe, Colaresi and Quinn 2008)",
    "p of words: the largest |z| of all words and groups of an attribute where groups are dealt anew to subjects, times"
    f" the number of attributes; words are named where it is under {LEVEL}",
    TESTED,
)


def text(rows: Rows, by: Sequence[str] | None = None) -> Audit:
    """How captions differ by group.

    Args:
        rows: With `COLUMNS`.
        by: Attributes; None: those of `groups.DEFAULT` that somebody has a label of.

    Returns:
        Means over all captions and by group, and gaps: "words" of a caption, "units" named, captions that miss a
        planned unit or name another, that mention looks, that failed. Then by attribute the "largest word contrast"
        (|z|) and "log-odds" of words that are said of a group oftener than chance explains.

    Raises:
        EquimeError: No captions, or as `groups`.
    """
    rows = rows.chosen(balanced(rows.table))
    captions = rows.table["caption"].combine_chunks()
    if captions.null_count == len(captions):
        raise EquimeError(f"nothing of {rows.name} has a caption: run `equime caption {rows.name}`")
    groupings, notes = several(rows, by)
    found = by_groups(rows, _columns(rows.table), groupings)
    spoken = _Words.of(rows)
    for each in groupings:
        found += _contrasts(rows, spoken, each, len(groupings))
    sampled = [f"units are read back from {SAMPLE:,} captions, drawn with a fixed seed"]
    sampled *= len(captions) - captions.null_count > SAMPLE
    drawn = ("words", "units missed", "mentions looks", "log-odds")
    question = "Does the captioner describe groups differently?"
    return Audit("text", question, tuple(found), (*NOTES, *sampled, *rows.notes, *notes), drawn)


def _columns(table: pa.Table) -> dict[str, Array]:
    captions = table["caption"].combine_chunks()
    said, failed = np.asarray(captions.is_valid()), np.asarray(table["caption_error"].combine_chunks().is_valid())
    looks = pc.match_substring_regex(captions, rf"\b(?:{APPEARANCE})\b", ignore_case=True)
    words = pc.fill_null(pc.count_substring_regex(captions, r"[\pL\pN]+(?:['-][\pL\pN]+)*"), 0)
    return {
        "words": np.where(said, words, np.nan),
        **_units(table, said),
        "mentions looks": np.where(said, pc.fill_null(looks, False), np.nan),
        "failed": np.where(said | failed, failed, np.nan),
    }


def _units(table: pa.Table, said: Array) -> dict[str, Array]:
    """Units that captions name, and whether they miss or add some; NaN where the caption was not looked at."""
    places = np.flatnonzero(said)
    if len(places) > SAMPLE:
        places = np.sort(np.random.default_rng(0).choice(places, SAMPLE, replace=False))
    found = {name: np.full(len(table), np.nan) for name in ("units", "units missed", "units added")}
    columns = ["emotion", "action_units", "caption", "caption_json", "captioner"]
    for place, row in zip(places, table.select(columns).take(pa.array(places)).to_pylist(), strict=True):
        told, wanted = named(row), planned(row)
        if told is None or wanted is None:
            continue
        one, other = ({unit.au for unit in units} for units in (told, wanted))
        found["units"][place] = len(one)
        found["units missed"][place], found["units added"][place] = bool(other - one), bool(one - other)
    return found


# --- words


@dataclass(frozen=True, eq=False)
class _Words:
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
    def of(cls, rows: Rows) -> _Words:
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


def _contrasts(rows: Rows, spoken: _Words, by: Groups, attributes: int) -> Iterator[Finding]:
    """The largest contrast of any word, and the words that are said of a group oftener than chance explains."""
    if not spoken.names:
        return
    who, size = people_of(rows), len(by.names)
    cells, unit = np.unique(np.where(by.member < 0, -1, who * size + by.member), return_inverse=True)
    member = np.where(cells < 0, -1, cells % size)
    counts = spoken.counts(unit, len(cells))
    people = np.bincount(member[(counts[:, -1] > 0) & (member >= 0)], minlength=size)
    big = np.array([not is_small(int(n)) for n in people])
    told: dict[str, Any] = {"by": by.by, "labels": rows.labels, "scope": "words"}
    whole = pooled(member, counts, size)
    number = [int(whole[:, -1].sum()), int(people.sum())]
    if big.sum() < 2:
        note = "fewer than two groups of enough subjects: words are not compared"
        yield Finding(measure="largest word contrast", clips=number[0], subjects=number[1], note=note, **told)
        return

    def largest(drawn: Array) -> Array:
        return np.asarray(np.abs(score(drawn))[:, big].max((1, 2))[:, None])

    z = score(whole)
    # So many draws that one attribute's least p is below the level when it counts for all.
    chance = null(member, counts, size, largest, max(DRAWS, 2 * round(attributes / LEVEL)))[:, 0]
    often = (1 + (chance >= np.abs(z)[..., None] - 1e-9).sum(-1)) / (1 + len(chance))
    p = np.minimum(1.0, attributes * often)
    contrast = np.where(big[:, None], np.abs(z), -1)
    group, word = np.unravel_index(contrast.argmax(), z.shape)
    yield Finding(
        measure="largest word contrast",
        value=float(contrast.max()),
        reference=float(chance.mean()),
        p=float(p[group, word]),
        clips=number[0],
        subjects=number[1],
        note=f"{spoken.names[word]!r} of {by.names[group]}",
        **told,
    )
    signed = np.where(big[:, None] & (p < LEVEL), z, 0)
    best = [(g, w) for g in range(size) for w in np.argsort(-signed[g], kind="stable")[:SHOWN].tolist()]
    best = [(g, w) for g, w in best if signed[g, w] > 0]
    for (g, w), estimate in zip(best, _estimates(counts, member, size, best), strict=True):
        own = counts[member == g, w]
        of = {"of": spoken.names[w], "group": by.names[g], "p": float(p[g, w]), "reference": 0.0}
        yield finding("log-odds", estimate, "", int(own.sum()), int((own > 0).sum()), **of, **told)


def _estimates(counts: Array, member: Array, size: int, best: Sequence[tuple[int, int]]) -> list[Estimate]:
    """Log-odds of some groups' words, with intervals over subjects."""
    if not best:
        return []
    words = sorted({w for _, w in best})
    spread = np.zeros((len(counts), size, len(words) + 1))
    inside = np.flatnonzero(member >= 0)
    spread[inside, member[inside]] = counts[inside][:, [*words, -1]]
    group, word = np.array([(g, words.index(w)) for g, w in best]).T
    return estimates(log_odds(spread.sum(0))[group, word], log_odds(draws_of(spread))[:, group, word])
