"""Would another face have been treated otherwise? Pairs of clips with one programme and one noise on two faces.

    found = twins(open_rows("ws", COLUMNS))                                  # what was measured on the clips
    found = twins(rows, read_answers(Path("predictions.parquet"), rows))     # what a recogniser answered
    found.one("excess", of="flip rate", by="race")                           # across races, less within a group

Why less within: two faces differ in more than a label, so that two clips of one group differ too. What a pair across
groups shows has to exceed what a pair within one shows (`planning.twins` makes both). Both clips of a pair and all
pairs of a subject are alike: what is drawn, and what chance deals "across" and "within" to, is *components*, subjects
that pairs link. Planned pairs share no subject, so that there a component is a pair of subjects with all its clips.

Groups are of *perceived* labels, emotions are *intended*.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from equime.audit.measures.permutation import DRAWS, null, pooled
from equime.audit.measures.resampling import Test, Tested, corrected, drawn_of_all, estimates, mean, means
from equime.audit.result import MIN_SUBJECTS, Audit, Finding, figures
from equime.audit.tables.answers import Answered
from equime.audit.tables.files import require
from equime.audit.tables.groups import whose
from equime.audit.tables.rows import Rows
from equime.bootstrap import Statistic
from equime.errors import EquimeError
from equime.planning.twins import ATTRIBUTES, WITHIN

Array = npt.NDArray[Any]
Values = Mapping[str, Array]

COLUMNS: Final = (
    *("clip_id", "emotion", "twin_id", "twin_contrast", "accepted", "apex_ms", "measured_apex_ms"),
    *("amplitude", "unit_fidelity", "identity"),
)
ACROSS: Final = "across"
GIANT: Final = 0.5
"""The share of the pairs in one component from which on there is no interval: there is next to nothing to draw."""
DRAWN: Final = ("flip rate", "probability shift", "acceptance differs")
QUESTION: Final = "Would another face have been treated otherwise?"
NOTES: Final = (
    "two clips with one programme and one noise on two faces are a matched pair, never one person with another label:"
    " read what pairs across groups show less what pairs within a group show",
    "drawn, and dealt by chance, are components: subjects that pairs link, with all their clips; p is two-sided and"
    " corrected for all comparisons of this audit (Westfall and Young 1993)",
    '"chance or target" is of an excess and of a shift its mean where chance deals kinds of pairs, or sides of a pair',
)


def twins(rows: Rows, answers: Answered | None = None) -> Audit:
    """Compare pairs across groups with pairs within them.

    Args:
        rows: Of a data set, with `COLUMNS` where they are known.
        answers: To its clips. With them: how often the two answers differ ("flip rate"), the total variation between
            the two answers' probabilities, and the shift of the true class's from one group to another; means over
            the seeds. Without: how far apart the two clips' acceptance, amplitude, error of the apex (ms), unit
            fidelity and identity are.

    Returns:
        The mean of each across groups, for each contrast and for all, and within; across less within with its interval
        and p-value; the signed shift for each two groups, the one whose label sorts later less the other.

    Raises:
        EquimeError: No pairs planned, or (with `answers`) a file that names no clips.
    """
    require(rows.table, ("twin_id", "twin_contrast", "subject_id"), rows.name)
    pairs, notes = _pairs(rows)
    if answers is None:
        values, signed = _measured(rows, pairs), None
    else:
        require(rows.table, ("clip_id",), rows.name)
        values, signed = _answered(rows, answers, pairs)
    findings: list[Tested] = []
    for name, value in values.items():
        if (missing := int(np.isnan(value).sum())) and missing < len(value):
            notes.append(f"{name}: {missing:,} pairs lack it in one of their clips and are left out")
        findings += _excess(name, value, pairs)
    if signed is not None:
        findings += _signed(signed, pairs, rows, notes)
    if not findings:
        notes.append("nothing was measured on the clips of pairs: score them, or give answers to them")
    if pairs.is_giant:
        notes.append("pairs link most subjects to one another: nothing can be drawn, so there is no interval and no p")
    said = (*NOTES, *rows.notes, *(answers.rows.notes if answers else ()), *notes)
    return Audit("twins", QUESTION, corrected(findings), tuple(dict.fromkeys(said)), DRAWN)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of clips.

    Attributes:
        first: int64 (P,), the row of one clip.
        second: int64 (P,), the row of the other.
        who: int64 (P, 2), their subjects.
        contrast: (P,), the attributes in which they differ, or "within".
    """

    first: Array
    second: Array
    who: Array
    contrast: Array

    @cached_property
    def component(self) -> Array:
        """int64 (P,), 0 to C - 1: pairs whose subjects are linked by any pair are of one component."""
        above = list(range(int(self.who.max(initial=-1)) + 1))

        def root(one: int) -> int:
            while above[one] != one:
                above[one] = above[above[one]]
                one = above[one]
            return one

        for one, other in np.unique(self.who, axis=0).tolist():
            above[root(one)] = root(other)
        roots = [root(one) for one in self.who[:, 0].tolist()]
        return np.asarray(np.unique(np.array(roots, np.int64), return_inverse=True)[1])

    @cached_property
    def is_giant(self) -> bool:
        """Whether one component holds most of the pairs, so that drawing components says nothing."""
        return bool(np.bincount(self.component).max() > GIANT * len(self.component))

    @cached_property
    def contrasts(self) -> dict[str, Array]:
        """Contrast -> bool (P,): single attributes first, all across, within."""
        names = sorted(set(self.contrast.tolist()) - {WITHIN}, key=lambda name: (name not in ATTRIBUTES, name))
        each = {name: self.contrast == name for name in names}
        return {**each, ACROSS: self.contrast != WITHIN, WITHIN: self.contrast == WITHIN}

    def facts(self, mask: Array) -> dict[str, Any]:
        """What a finding says of how many pairs it is made of."""
        people = len(np.unique(self.who[mask]))
        counts = {"clips": 2 * int(mask.sum()), "subjects": people, "small": people < MIN_SUBJECTS}
        return counts | {"note": f"{int(mask.sum()):,} pairs"}


def _pairs(rows: Rows) -> tuple[Pairs, list[str]]:
    """The pairs that are whole, and notes about what is none."""
    ids = rows.table["twin_id"].combine_chunks()
    there = np.flatnonzero(np.asarray(ids.is_valid()))
    codes = np.asarray(pc.index_in(ids, pc.unique(ids.drop_null())).fill_null(-1), np.int64)[there]
    who, contrast = whose(rows)[0], rows.table["twin_contrast"].combine_chunks()
    order = np.lexsort((who[there], codes))
    _, start, count = np.unique(codes[order], return_index=True, return_counts=True)
    first = there[order[start[count == 2]]]
    second = there[order[start[count == 2] + 1]]
    names = np.array(contrast.fill_null("").to_pylist(), object)
    sound = (who[first] != who[second]) & (names[first] == names[second]) & (names[first] != "") & (who[first] >= 0)
    notes = [f"{int((count == 1).sum()):,} clips have lost their twin and are left out"] * bool((count == 1).any())
    if odd := int((count > 2).sum() + (~sound).sum()):
        notes.append(f"{odd:,} twin ids are not of two clips of two subjects with one contrast, and are left out")
    if not sound.any():
        raise EquimeError(f"{rows.name} has no pairs of clips: plan some with `equime plan ... --twins 100`")
    first, second = first[sound], second[sound]
    return Pairs(first, second, np.stack([who[first], who[second]], 1), names[first]), notes


# --- what a pair shows


def _measured(rows: Rows, pairs: Pairs) -> Values:
    """Measure -> float64 (P,), how far apart the two clips are; NaN where one was not measured."""
    names, found = rows.table.column_names, {}
    if "accepted" in names:
        found["acceptance differs"] = _numbers(rows, "accepted")
    if {"apex_ms", "measured_apex_ms"} <= {*names}:
        found["difference of apex error"] = _numbers(rows, "measured_apex_ms") - _numbers(rows, "apex_ms")
    found |= {f"difference of {n}".replace("_", " "): _numbers(rows, n) for n in COLUMNS[-3:] if n in names}
    apart = {name: np.abs(value[pairs.first] - value[pairs.second]) for name, value in found.items()}
    return {name: value for name, value in apart.items() if not np.isnan(value).all()}


def _numbers(rows: Rows, name: str) -> Array:
    try:
        return np.asarray(rows.table[name].cast(pa.float64()).fill_null(np.nan))
    except pa.ArrowException as error:
        raise EquimeError(f"{rows.name}: expected numbers in the column {name!r}, got other text") from error


def _answered(rows: Rows, answers: Answered, pairs: Pairs) -> tuple[Values, Array | None]:
    """The same of answers, means over the seeds; and the shift of the true class from the first clip to the second."""
    place = answers.at(rows.table["clip_id"])
    one, other = place[:, pairs.first], place[:, pairs.second]
    known = ((one >= 0) & (other >= 0)).all(0)

    def over_seeds(found: Array) -> Array:
        return np.where(known, found.mean(0), np.nan)

    values = {"flip rate": over_seeds(answers.predicted[one] != answers.predicted[other])}
    p = answers.probabilities
    if p is None:
        return values, None
    values["probability shift"] = over_seeds(np.abs(p[one] - p[other]).sum(-1) / 2)
    truth = answers.truth[one]
    return values, np.where(truth[0] == answers.truth[other][0], over_seeds(p[other, truth] - p[one, truth]), np.nan)


# --- findings


def _excess(name: str, value: Array, pairs: Pairs) -> Iterator[Tested]:
    """The means of each contrast, and each less that within groups."""
    known = ~np.isnan(value)
    masks = {contrast: mask & known for contrast, mask in pairs.contrasts.items()}
    counts = np.stack([_sums(value, mask, pairs) for mask in masks.values()], 1)
    found = _estimates(counts, _means_and_excess, pairs)
    for (contrast, mask), shown in zip(masks.items(), found, strict=False):
        facts = pairs.facts(mask) | ({} if mask.any() else {"note": f"no pairs {contrast} to measure"})
        yield Finding(measure=name, by="twin_contrast", group=contrast, **facts, **shown), None
    within = masks[WITHIN]
    for place, (contrast, shown) in enumerate(zip([*masks][:-1], found[len(masks) :], strict=True)):
        mask = masks[contrast]
        facts = pairs.facts(mask | within) | {"small": pairs.facts(mask)["small"] or pairs.facts(within)["small"]}
        test, note = _by_chance(counts[:, [place, -1]], pairs)
        facts["note"] = f"{mask.sum():,} pairs ({contrast}), {within.sum():,} within{note}"
        facts["reference"] = mean(test.chance) if test else None
        if ((counts[:, [place, -1], 1] > 0).sum(0) < 2).any():  # one component alone: what it varies by is unknown
            facts |= {"low": None, "high": None}
        yield Finding(measure="excess", of=name, by=contrast, **(shown | facts)), _two_sided(test)


def _estimates(counts: Array, statistic: Statistic, pairs: Pairs) -> list[dict[str, Any]]:
    """`value`, `low` and `high` of scores of added counts (C, ...); no interval where components cannot be drawn."""
    values = estimates(statistic(counts.sum(0)), statistic(drawn_of_all(counts)))
    alone = {"low": None, "high": None} if pairs.is_giant or len(counts) < 2 else {}
    return [figures(found) | alone for found in values]


def _sums(value: Array, mask: Array, pairs: Pairs) -> Array:
    """The sum of the values chosen and how many there are, of each component: (C, 2)."""
    size = int(pairs.component.max()) + 1
    parts = np.bincount(pairs.component[mask], value[mask], size), np.bincount(pairs.component[mask], minlength=size)
    return np.stack(parts, 1)


def _means_and_excess(sums: Array) -> Array:
    found = means(sums)
    return np.concatenate([found, found[..., :-1] - found[..., -1:]], -1)


def _by_chance(counts: Array, pairs: Pairs) -> tuple[Test | None, str]:
    """What the difference of two kinds of pairs, counts (C, 2, 2), is where chance deals the kinds to components."""
    has = counts[..., 1] > 0
    both = has.all(1)
    member = np.where(both | ~has.any(1), -1, has.argmax(1))
    if pairs.is_giant or not ((member == 0).any() and (member == 1).any()):
        return None, ""
    sums = counts.sum(1)
    whole = means(pooled(member, sums, 2))
    chance = null(member, sums, 2, lambda dealt: -np.diff(means(dealt)))[:, 0]
    note = f"; {both.sum():,} components have pairs of both and are not in the test" * bool(both.any())
    return Test(float(whole[0] - whole[1]), chance), note


def _two_sided(test: Test | None) -> Test | None:
    return test and Test(abs(test.value), np.abs(test.chance))


def _signed(shift: Array, pairs: Pairs, rows: Rows, notes: list[str]) -> Iterator[Tested]:
    """By how much the true class is likelier in one group than in another, for each single contrast and two groups."""
    for contrast in ATTRIBUTES:
        if contrast not in rows.table.column_names or not (mask := pairs.contrast == contrast).any():
            continue
        labels = np.array(rows.table[contrast].fill_null("").to_pylist(), object)
        one, other = labels[pairs.first], labels[pairs.second]
        differ = mask & (one != "") & (other != "") & (one != other)
        if lost := int((mask & ~differ).sum()):
            notes.append(f"{lost:,} pairs planned across {contrast} have one label of it now: in no signed shift")
        # Turned so that the label that sorts later is the one that counts.
        turned = np.where(one < other, shift, -shift)
        named = np.where(one < other, other + " less " + one, one + " less " + other)
        for name in sorted(set(named[differ].tolist())):
            known = differ & (named == name) & ~np.isnan(shift)
            if known.any():
                yield _one_shift(name, contrast, turned, known, pairs, rows.labels_of(contrast))


def _one_shift(name: str, contrast: str, shift: Array, mask: Array, pairs: Pairs, labels: str) -> Tested:
    counts = _sums(shift, mask, pairs)
    counts = counts[counts[:, 1] > 0]
    facts = pairs.facts(mask) | _estimates(counts[:, None], means, pairs)[0]
    test = None
    if not pairs.is_giant and len(counts) > 1:
        # Where the label does not matter, either face could have had the later one.
        signs = np.random.default_rng(0).choice([-1.0, 1.0], (DRAWS, len(counts)))
        test = Test(facts["value"], signs @ counts[:, 0] / counts[:, 1].sum())
        facts["reference"] = mean(test.chance)
    finding = Finding(measure="shift of the true class", of=name, by=contrast, labels=labels, **facts)
    return finding, _two_sided(test)
