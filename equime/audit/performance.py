"""Does a recogniser serve everybody alike? Its scores in each group, and how far the groups are apart.

    found = performance(read_answers(Path("predictions.parquet"), open_rows("ws", COLUMNS)))
    found.one("gap", of="UF1", by="race")             # value, interval, what chance alone gives, p

Why gaps need more than a value: the largest of several differences is above zero whatever is true. So each gap stands
beside the mean gap where chance deals the groups to the subjects, and `p` says how often chance gives as much. The
measures are fairlearn's (Bird et al. 2020; by class, one against the rest):

- gap, ratio, worst group: of UF1, UAR and accuracy; gap: of each class's recall, too;
- equal opportunity (Hardt et al. 2016): the largest difference of a class's recall;
- equalised odds (as there): the largest difference of a class's recall or of its false alarms;
- demographic parity: the largest difference of the share of answers that name a class.

Groups are of *perceived* labels, emotions are *intended*.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from equime import metrics
from equime.audit.measures import group_scores, permutation
from equime.audit.measures.group_scores import ALIKE, NO_CLASS, SCORES, apart, measures, with_logarithms
from equime.audit.measures.resampling import Test, Tested, Units, compared, corrected, drawn, estimates, mean
from equime.audit.result import Audit, Finding, figures
from equime.audit.tables.answers import Answered
from equime.audit.tables.groups import Groups, is_small, several, whose
from equime.bootstrap import Estimate
from equime.scores import Answers, Scores

Array = npt.NDArray[Any]

COLUMNS: Final = ("clip_id", "emotion", "split", "accepted")
QUESTION: Final = "Does the recogniser serve everybody alike?"
NOTES: Final = (
    '"answered" is how many of the answers name a class; recall is how many of the clips of a class are answered right;'
    " a false alarm is a clip of another class that is taken for it",
    "of several classes each criterion looks at one class against the rest and keeps the class in which groups are"
    " farthest apart: equal opportunity by recall, equalised odds by recall or false alarms, demographic parity by the"
    " share of the answers; the note says which class and which groups",
    '"chance or target" is of a score the better of two guesses, always the commonest class or classes drawn with their'
    " shares in the group; of recall and answered the class's share of the clips; of gaps, criteria and ratios the mean"
    " where chance deals the groups to people",
    "a largest gap is above zero by chance alone, and rather too large where groups are of few people: a group that was"
    " unlucky counts as the worst",
    "p: of many gaps some look large by chance, so each is held against the largest that chance brings about among all"
    " the gaps of this audit; where groups say nothing, any p below .05 then comes in 5 of 100 audits (Westfall and"
    " Young 1993)",
    "an interval draws people, not clips, and is of one number alone (Tukey's over all its groups); p is corrected over"
    " all tests: trust p for whether there is a gap, the interval for how large it may be",
    "ratios have no p: the lowest over the highest is the gap told in another way, and tested there",
    "the worst group's interval is its own: it does not know that the group was chosen for being the worst",
    "UF1, accuracy and demographic parity also differ where groups' clips are of other classes; gaps of recall (UAR,"
    " equal opportunity) do not",
)
ZERO: Final = "no group scores above zero"
_POOLED: Final = "all data sets"


def performance(answers: Answered, by: Sequence[str] | None = None) -> Audit:
    """Score answers overall and by group, and compare the groups.

    Args:
        answers: From `read_answers`; with several seeds every score is of each seed's pooled counts, its mean then.
        by: Attributes, "gender+race" for an intersection; None: `groups.DEFAULT`.

    Returns:
        Scores (UF1, UAR, accuracy, recall and share of the answers by class) overall and by group; for each attribute
        the worst group, gaps, ratios and criteria over the groups that are not small. Of several data sets all that
        for each, and pooled.

    Raises:
        EquimeError: No such attribute, or nobody has a label of it; seeds that did not answer the same clips.
    """
    grouped, notes = several(answers.rows, by)
    scopes = list(_scopes(answers))
    findings: list[Tested] = []
    for scope, mask in scopes:
        part = _Part(answers, mask, scope)
        findings += [(finding, None) for finding in part.overall()]
        for one in grouped:
            found, more = part.by(Groups(one.by, one.names, one.member[mask]))
            findings += found
            notes += more
    if len(scopes) > 1:
        notes.append(f"{_POOLED} together: people of one group may be of one laboratory; gaps may be the laboratory's")
    drawing = (*SCORES, *(f"recall of {name}" for name in answers.classes))
    return Audit("performance", QUESTION, corrected(findings), (*NOTES, *answers.rows.notes, *notes), drawing)


def _scopes(answers: Answered) -> Iterator[tuple[str, Array]]:
    """All answers and, of several data sets, each one's: names and bool (n,)."""
    everything = np.ones(len(answers), bool)
    names = []
    if "dataset" in answers.rows.table.column_names:
        column = answers.rows.table["dataset"].cast("string").fill_null("?")
        names = sorted(pc.unique(column).to_pylist())
    if len(names) < 2:
        yield "", everything
        return
    yield _POOLED, everything
    for name in names:
        yield name, np.asarray(pc.equal(column, name))


# --- findings


class _Part:
    """The answers of one scope."""

    def __init__(self, answers: Answered, mask: Array, scope: str) -> None:
        self.answers, self.scope = answers, scope
        self.truth, self.predicted, self.seeds = (v[mask] for v in (answers.truth, answers.predicted, answers.seeds))
        self.who, self.folds = whose(answers.rows)[0][mask], _folds(answers)[mask]
        self.runs = len(np.unique(self.seeds))

    def counts(self, units: Units) -> Array:
        """int64 (U, seeds, K, K)."""
        classes = self.answers.classes
        return Answers.of(self.truth, self.predicted, units.of, classes, seeds=self.seeds).counts

    def overall(self) -> list[Finding]:
        """The scores of all."""
        units = Units.of_groups(self.who)
        return list(self.scores(units, self.counts(units), Groups("", ("",), np.zeros(len(self.who), np.int64))))

    def by(self, by: Groups) -> tuple[list[Tested], list[str]]:
        """The scores of each group, then how far they are apart; and notes."""
        units, notes = Units.of_groups(self.who, by), []
        counts, where = self.counts(units), f" in {self.scope}" if self.scope else ""
        people = units.people(len(by.names))
        if by.unlabelled:
            notes.append(f"{by.unlabelled // self.runs:,} clips without a label of {by.by}{where} are in no group")
        if torn := units.split():
            notes.append(
                f"{torn:,} subjects have clips in several groups of {by.by}{where}: each group's are drawn as another"
                " person's, so that intervals of gaps are rather too wide"
            )
        if few := [name for name, n in zip(by.names, people, strict=True) if n and is_small(n)]:
            notes.append(f"too few people to compare by {by.by}{where}, shown only: {'; '.join(few)}")
        scored = list(self.scores(units, counts, by))
        return [*((finding, None) for finding in scored), *self.gaps(units, counts, by, scored)], notes

    def scores(self, units: Units, counts: Array, by: Groups) -> Iterator[Finding]:
        """What each group scores."""
        size, people = len(by.names), units.people(len(by.names))
        values, chance = measures(permutation.pooled(units.member, counts, size)), drawn(units.member, counts, size)
        for group, name in enumerate(by.names):
            if people[group]:
                found = estimates(values[group], measures(chance[:, group]))
                yield from self.group(by, name, by.member == group, int(people[group]), found)

    def group(self, by: Groups, name: str, mask: Array, people: int, found: list[Estimate]) -> Iterator[Finding]:
        """What one group scores."""
        classes = self.answers.classes
        support = np.bincount(self.truth[mask], minlength=len(classes)) // self.runs
        base: dict[str, Any] = {"by": by.by, "group": name, "scope": self.scope, "clips": int(support.sum())}
        base |= {"subjects": people, "small": is_small(people), "labels": self.answers.rows.labels_of(by.by)}
        best, random = metrics.majority(support), metrics.stratified(support)
        notes = [*self.collapse(mask), *_lacking(support, classes)]
        for score, field, estimate in zip(SCORES, ("uf1", "uar", "accuracy"), found, strict=False):
            guesses = getattr(best, field), getattr(random, field)
            said = f"always {classes[support.argmax()]} scores {guesses[0]:.3f}, drawn classes {guesses[1]:.3f}"
            yield _finding(score, estimate, base, reference=max(guesses), note="; ".join([said, *notes]))
        for k, own in enumerate(support / support.sum()):
            for measure, place in (("recall", 3 + k), ("answered", 3 + len(classes) + k)):
                missing = f"no clip of {classes[k]} here"
                yield _finding(measure, found[place], base, of=classes[k], reference=float(own), missing=missing)

    def gaps(self, units: Units, counts: Array, by: Groups, scored: Sequence[Finding]) -> Iterator[Tested]:
        """How far the groups are apart that are not small."""
        people = units.people(len(by.names))
        large = np.array([not is_small(n) for n in people])
        inside = np.append(large, False)[by.member]
        base: dict[str, Any] = {"by": by.by, "scope": self.scope, "labels": self.answers.rows.labels_of(by.by)}
        base |= {"clips": int(inside.sum()) // self.runs, "subjects": int(people[large].sum())}
        names = group_scores.names(self.answers.classes)
        if large.sum() < 2:
            none = f"fewer than two groups of {by.by} have enough people to be compared"
            yield from ((Finding(measure=measure, of=of, note=none, **base), None) for measure, of in names)
            return
        own = with_logarithms(permutation.pooled(units.member, counts, len(by.names)))[large]
        groups = [name for name, taken in zip(by.names, large, strict=True) if taken]
        told = group_scores.told(own, groups, self.answers.classes)
        found = compared(units, counts, large, with_logarithms, apart)
        for (measure, of), said, one in zip(names, told, found, strict=True):
            chance = mean(one.chance)
            if measure == "ratio":  # the same test as the gap's
                least = None if chance is None else math.exp(-chance)
                yield (
                    _finding(measure, _ratio(one.estimate), base, of=of, note=said, missing=ZERO, reference=least),
                    None,
                )
                continue
            capped = Estimate(*(float(np.minimum(1.0, number)) for number in one.estimate))  # NaN stays
            test = None if math.isnan(capped.value) else Test(capped.value, one.chance)
            reference = chance if test else None
            yield _finding(measure, capped, base, of=of, note=said, missing=NO_CLASS, reference=reference), test
        for score, said in zip(SCORES, told, strict=False):
            worst = _worst(scored, score)
            note = f"{ALIKE if said == ALIKE else worst.group}; {worst.note}"
            yield replace(worst, measure="worst group", of=score, group="", note=note), None

    def collapse(self, mask: Array) -> list[str]:
        """A note where nearly all answers are one class's."""
        columns = self.truth[mask], self.predicted[mask], self.who[mask], self.answers.classes
        # Of the scores only the flag is wanted, so that one draw will do.
        found = Scores.of(*columns, seeds=self.seeds[mask], folds=self.folds[mask], draws=1).collapsed
        return [f"collapsed: nearly all answers are one class's in {found} of {self.runs} seeds"] * bool(found)


def _folds(answers: Answered) -> Array:
    if "fold" not in answers.rows.table.column_names:
        return np.zeros(len(answers), np.int64)
    column = answers.rows.table["fold"].combine_chunks()
    return np.asarray(pc.index_in(column, pc.unique(column)), np.int64)


def _lacking(support: Array, classes: Sequence[str]) -> list[str]:
    """A note where not every class has clips."""
    missing = [name for name, count in zip(classes, support, strict=True) if not count]
    return [f"averaged over the classes with clips: none of {', '.join(missing)}"] * bool(missing)


def _worst(scored: Sequence[Finding], score: str) -> Finding:
    """The finding of the group, small ones left out, with the lowest of a score."""
    found = [(f.value, f) for f in scored if f.measure == score and f.value is not None and not f.small]
    return min(found, key=lambda one: one[0])[1]


def _ratio(found: Estimate) -> Estimate:
    """The ratio of the lowest to the highest, of the difference of their logarithms."""
    return Estimate(*(math.exp(-number) for number in (found.value, found.high, found.low)))


def _finding(
    measure: str,
    estimate: Estimate,
    base: Mapping[str, Any],
    *,
    of: str = "",
    note: str = "",
    missing: str = "",
    reference: float | None = None,
) -> Finding:
    """A finding of an estimate; where it is NaN, `missing` says why; people who are alone have no interval."""
    alone = base["subjects"] < 2
    numbers: dict[str, Any] = {**figures(estimate), **({"low": None, "high": None} if alone else {})}
    said = missing if numbers["value"] is None else note
    said = "; ".join(part for part in (said, "one person: no interval" * alone) if part)
    return Finding(measure=measure, of=of, note=said, reference=reference, **base, **numbers)
