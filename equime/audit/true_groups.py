"""What the audits say of true groups, where labels err: corrected by a validation study.

    corrected_performance(answers, None, Confusion.from_csv(Path("study.csv")))    # by true group

Beside each number stands the one of the groups as labelled: labels that err mix groups, so that gaps between these are
too small. How that is undone: `audit.measures.correction`. All labels are *perceived*; "true" is what a study took for
true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from equime.audit.generator import balanced, measures
from equime.audit.measures.correction import ASSUMES, Study, Unmixed, unmixed
from equime.audit.measures.correction import corrected as unmix
from equime.audit.measures.group_scores import SCORES
from equime.audit.measures.group_scores import measures as scored
from equime.audit.measures.means import FEW, GAP, finding, gap, is_small_of
from equime.audit.measures.resampling import estimates, means, share, simultaneous
from equime.audit.result import Audit, Finding, figures
from equime.audit.tables.answers import Answered
from equime.audit.tables.groups import groups, whose
from equime.audit.tables.rows import Rows
from equime.bootstrap import Estimate
from equime.errors import EquimeError
from equime.planning.equity_audit import Confusion, sensitivities
from equime.planning.targets import LABELS

Array = npt.NDArray[Any]

CORRECTED: Final = "corrected"
SHARE: Final = ("share",)
EVENNESS: Final = "evenness"
BLIND: Final = "the validation study finds true groups labelled nearly alike, so that nothing can be corrected by it"
_NOBODY: Final = "nobody is expected in this group"
_RATES: Final = ("failed", "accepted", "measured", "side right")
"""Of `generator.measures`: those that are counts, and so can be corrected."""


def corrected_performance(answers: Answered, by: Sequence[str] | None, confusion: Confusion) -> Audit:
    """UF1, UAR and accuracy by true group, and their gaps, of answers whose groups' labels err.

    Args:
        answers: A recogniser's.
        by: Attributes of the study; None: all that somebody has a label of.
        confusion: How often these labels err.

    Raises:
        EquimeError: The study does not speak of an attribute, or has nobody of a group that occurs.
    """
    runs, run = np.unique(answers.seeds, return_inverse=True)
    size = len(answers.classes)
    cells = np.ravel_multi_index((run, answers.truth, answers.predicted), (len(runs), size, size))

    def score(pooled: Array) -> Array:
        return np.asarray(scored(pooled.reshape(*pooled.shape[:2], len(runs), size, size))[..., :3])

    found = _by_true(
        answers.rows, by, confusion, np.arange(len(runs) * size**2) == cells[:, None], score, SCORES, len(runs)
    )
    question = "For whom is the recogniser right, as far as groups' labels can be corrected?"
    return Audit("performance", question, tuple(found), (ASSUMES, *answers.rows.notes), (f"{GAP} of {SCORES[0]}",))


def corrected_generator(rows: Rows, by: Sequence[str] | None, confusion: Confusion) -> Audit:
    """The shares that `audit.generator` counts (failed, accepted, measured, side right) by true group, and their gaps.

    Args:
        rows: As for `audit.generator`.
        by: As for `corrected_performance`.
        confusion: Likewise.

    Raises:
        EquimeError: Likewise.
    """
    rows = rows.chosen(balanced(rows.table))
    columns = {name: values for name, values in measures(rows.table).items() if name in _RATES}
    cells = np.stack([values == hit for values in columns.values() for hit in (True, False)], 1)

    def score(pooled: Array) -> Array:
        parts = pooled.reshape(*pooled.shape[:2], len(columns), 2)
        return means(np.stack([parts[..., 0], parts.sum(-1)], -1))

    found = _by_true(rows, by, confusion, cells, score, [*columns])
    question = "Does the generator animate every face as well, as far as groups' labels can be corrected?"
    return Audit("generator", question, tuple(found), (ASSUMES, *rows.notes), ("gap of accepted",))


def corrected_representation(rows: Rows, by: Sequence[str] | None, confusion: Confusion) -> Audit:
    """The share of clips of each true group, and how even they are.

    Args:
        rows: Any.
        by: As for `corrected_performance`.
        confusion: Likewise.

    Raises:
        EquimeError: Likewise.
    """
    found = [*_by_true(rows, by, confusion, np.ones((len(rows), 1), bool), _shares, SHARE)]
    question = "Who is in the data set, as far as groups' labels can be corrected?"
    return Audit("representation", question, tuple(found), (ASSUMES, *rows.notes), ("share", "evenness"))


def _shares(pooled: Array) -> Array:
    return share(pooled, pooled.sum(1, keepdims=True))


def _evenness(shares: Array, groups: int) -> Array:
    p = shares[..., 0]
    return np.asarray(-(p * np.log(np.where(p > 0, p, 1))).sum(-1, keepdims=True) / np.log(groups))


def _by_true(
    rows: Rows,
    by: Sequence[str] | None,
    confusion: Confusion,
    cells: Array,
    score: Callable[[Array], Array],
    names: Sequence[str],
    runs: int = 1,
) -> Iterator[Finding]:
    """Scores of true groups, each beside that of the group as labelled.

    Args:
        rows: Labelled, n of them.
        by: Attributes, or None.
        confusion: The study.
        cells: What is counted of each row, bool (n, cells).
        score: Of counts (draws, G, cells): (draws, G, scores).
        names: Of the scores; `SHARE` has an evenness in place of gaps.
        runs: How many rows each clip has.
    """
    for attribute in by or _labelled(rows, confusion):
        study = Study.of(confusion, labelled := groups(rows, attribute))
        places, size = study.placed(labelled), len(study.groups)
        inside = (places >= 0) & (whose(rows)[0] >= 0)
        if study.is_blind:
            yield from _blind(attribute, names, int(inside.sum()) // runs, len(np.unique(whose(rows)[0][inside])))
            continue
        who = np.unique(whose(rows)[0][inside], return_inverse=True)[1]
        counts = np.zeros((int(who.max()) + 1, size, cells.shape[1]))
        at, cell = np.nonzero(cells[inside])
        np.add.at(counts, (who[at], places[inside][at], cell), 1)
        got = unmixed(counts, study, score)
        clips = unmix(np.bincount(places[inside], minlength=size) / runs, sensitivities(study.table))
        plain = score(counts.sum(0)[None])[0]
        told = {"by": attribute, "labels": CORRECTED}
        for g, group in enumerate(study.groups):
            number = round(float(clips[g])), round(float(got.subjects[g]))
            of: dict[str, Any] = {"group": group, "small": bool(got.small[g]), **told}
            for k, estimate in enumerate(estimates(got.values[g], got.drawn[:, g])):
                yield finding(names[k], estimate, _NOBODY, *number, reference=_said(plain[g, k]), **of)
        few = is_small_of(counts.any(-1).sum(0))
        for name, estimate, reference in _over(attribute, names, got, plain, ~few[:, None]):
            of = told if name == EVENNESS else told | {"of": name}
            measure = EVENNESS if name == EVENNESS else GAP
            yield finding(measure, estimate, FEW, int(inside.sum()) // runs, len(counts), reference=reference, **of)


def _blind(attribute: str, names: Sequence[str], clips: int, subjects: int) -> Iterator[Finding]:
    """What a study says that tells too little."""
    for measure, of in [(EVENNESS, "")] if names == SHARE else [(GAP, name) for name in names]:
        yield Finding(
            measure=measure, of=of, by=attribute, labels=CORRECTED, note=BLIND, clips=clips, subjects=subjects
        )


def _over(
    attribute: str, names: Sequence[str], got: Unmixed, plain: Array, labelled: Array
) -> Iterator[tuple[str, Estimate, float | None]]:
    """What is said of all groups: the evenness of shares, or the gap of each score; and the same as labelled."""
    if names == SHARE:
        every = len(LABELS[attribute])
        value, drawn = _evenness(got.values, every), _evenness(got.drawn, every)
        yield EVENNESS, reflected(estimates(value, drawn)[0]), _said(_evenness(plain, every)[0])
        return
    big = np.broadcast_to(~got.small[:, None], got.values.shape)
    gaps = simultaneous(gap(got.values, big), gap(got.drawn - got.values, big))
    for name, estimate, reference in zip(names, gaps, gap(plain, np.broadcast_to(labelled, plain.shape)), strict=True):
        yield name, estimate, _said(reference)


def reflected(found: Estimate) -> Estimate:
    """The interval of an evenness, from its percentiles (the basic bootstrap): noise lowers an evenness near 1."""
    value, low, high = found
    if np.isnan(low):
        return found
    return Estimate(value, max(0.0, min(value, 2 * value - high)), min(1.0, max(value, 2 * value - low)))


def _labelled(rows: Rows, confusion: Confusion) -> list[str]:
    there = rows.table.column_names
    found = [a for a in confusion.tables if a in there and rows.table[a].null_count < len(rows)]
    if not found:
        raise EquimeError(f"nobody in {rows.name} has a label that the study speaks of: {', '.join(confusion.tables)}")
    return found


def _said(value: float) -> float | None:
    return figures(Estimate(float(value), np.nan, np.nan))["value"]
