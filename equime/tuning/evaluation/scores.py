"""What a model's answers are worth, and whether the video has any part in it.

    found = scores(answers)                                    # answers: list[Said], of any conditions
    found.one("unit F1", scope="caption, seen")
    found.one("unit F1", scope="caption, seen - shuffled")     # the headline: above zero, the video reaches the answer
    found.one("gap", of="unit F1 by clip", by="race", scope="caption, seen")

Why differences: a model that always names AU12, or one that has learnt by heart which units captions name, scores too.
So the same questions are also answered without the video ("blind"), with the video of somebody else ("shuffled") and by
the commonest answer of the training split ("constant"); the differences are of pairs, and whole subjects are drawn.

Units and emotions are the *intended* programme, never a felt emotion; groups are of *perceived* labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa

from equime.audit.measures.means import TESTED, by_groups
from equime.audit.measures.resampling import share
from equime.audit.result import Audit, Finding
from equime.audit.tables.groups import Groups, several
from equime.audit.tables.rows import Rows
from equime.errors import EquimeError
from equime.tuning.evaluation.content import content, hits, is_neutral
from equime.tuning.evaluation.measures import Measure, differences, findings
from equime.tuning.evaluation.parsed import OF_UNITS, Said
from equime.tuning.evaluation.texts import NO_CIDER, has_cider, texts
from equime.tuning.example import KINDS

CONDITIONS: Final = ("seen", "blind", "shuffled", "constant")
CAPTIONS: Final = "captions"
"""The condition of captions that were there already, whoever wrote them."""
MAIN: Final = ("seen", CAPTIONS)
QUESTION: Final = "Do the answers say what the clip was planned to show, and because of the video?"
NOTES: Final = (
    "seen: with the clip; blind: without any video; shuffled: with the clip of another subject; constant: the"
    " commonest answer of the training split (of units: the best of them), by no model",
    "a difference from these (reference 0) is what the video adds; intervals draw people, not answers, and draw"
    " differences in pairs",
    "units and emotions are those that were planned; an answer that cannot be read names none (see 'read')",
    "counts of clips are of answers: some clips are asked twice whether a unit is there",
)


def scores(
    answers: Sequence[Said], by: Sequence[str] | None = None, labels: str = "", notes: Sequence[str] = ()
) -> Audit:
    """Score answers.

    Args:
        answers: Of any tasks and conditions; what several conditions answered is compared question by question.
        by: Attributes to group by, "gender+race" for an intersection; None: those of `groups.DEFAULT` with labels.
        labels: Whose the perceived labels are: "source" or "tag".
        notes: To be said with the result.

    Returns:
        Findings with `scope` "<task>, <condition>" (of questions "<kind> question, <condition>"), and
        "<task>, seen - <condition>".

    Raises:
        EquimeError: No answers, no such attribute, or a package that is missing.
    """
    if not answers:
        raise EquimeError("expected answers to score, got none: see --split, --tasks and --limit")
    found: list[Finding] = []
    for name, part in parts(answers).items():
        found += _compared(name, part)
        for condition in MAIN:
            found += _grouped(f"{name}, {condition}", part.get(condition, []), by, labels)
    said = [*NOTES, *([] if has_cider() else [NO_CIDER])]
    said += [TESTED] if any(finding.by for finding in found) else []
    return Audit("answers", QUESTION, tuple(found), (*said, *notes), ("unit F1 by clip", "hallucination"))


def parts(answers: Sequence[Said]) -> dict[str, dict[str, list[Said]]]:
    """Answers by "caption", "json" or "<kind> question", then by condition, each in the order of its questions' ids."""
    found: dict[str, dict[str, list[Said]]] = {}
    for said in sorted(answers, key=lambda said: said.example.id):
        example = said.example
        name = f"{example.kind} question" if example.task == "question" else example.task
        found.setdefault(name, {}).setdefault(said.condition, []).append(said)
    order, tasks = (CAPTIONS, *CONDITIONS), ("caption", "json", *(f"{kind} question" for kind in KINDS))
    ordered = sorted(found, key=lambda name: (*tasks, name).index(name))
    return {name: dict(sorted(found[name].items(), key=lambda each: order.index(each[0]))) for name in ordered}


def _compared(name: str, part: dict[str, list[Said]]) -> Iterator[Finding]:
    """The scores of each condition, then what the first has more than the others."""
    for condition, answers in part.items():
        yield from findings(_measures(answers), _subjects(answers), f"{name}, {condition}")
    first, *others = part
    for other in others:
        shared = {said.example.id for said in part[first]} & {said.example.id for said in part[other]}
        pair = [[said for said in part[each] if said.example.id in shared] for each in (first, other)]
        if shared:
            one, two = (_measures(answers) for answers in pair)
            yield from differences(one, two, _subjects(pair[0]), f"{name}, {first} - {other}")


def _measures(answers: Sequence[Said]) -> list[Measure]:
    """Of content, and where the answer is more than a word or an object also of words."""
    example = answers[0].example
    return [*content(answers), *(texts(answers) if example.task == "caption" or example.kind in OF_UNITS else [])]


def _subjects(answers: Sequence[Said]) -> np.ndarray:
    return np.array([said.example.subject_id for said in answers])


# --- by perceived group


def _grouped(scope: str, answers: Sequence[Said], by: Sequence[str] | None, labels: str) -> list[Finding]:
    """F1 of each clip's units and hallucination, by perceived group, with the gaps between groups."""
    if not answers or answers[0].example.task == "question":
        return []
    rows = _rows(answers, labels)
    try:
        groupings: list[Groups] = several(rows, by)[0]
    except EquimeError:
        if by:
            raise
        return []
    count, neutral = hits(answers), is_neutral(answers)
    score = np.where(neutral, np.nan, share(2 * count[:, 0], count[:, 1] + count[:, 2]))
    columns = {"unit F1 by clip": score, "hallucination": np.where(neutral, count[:, 1] > 0, np.nan)}
    known = {name: values for name, values in columns.items() if not np.isnan(values).all()}
    return by_groups(rows, known, groupings, scope, ordinary=False)


def _rows(answers: Sequence[Said], labels: str) -> Rows:
    names = sorted({name for said in answers for name in said.example.groups})
    columns = {name: pa.array([said.example.groups.get(name) for said in answers], pa.string()) for name in names}
    subjects = pa.array([said.example.subject_id for said in answers], pa.string())
    return Rows("the answers", labels, pa.table({"subject_id": subjects, **columns}))


# --- for people

SHORT: Final = {
    "unit F1": "F1",
    "unit F1, macro": "macro",
    "unit F1 with side": "sided",
    "hallucination": "halluc.",
    "emotion UF1": "UF1",
    "accuracy": "right",
    "JSON": "JSON",
    "BLEU": "BLEU",
    "R@1": "R@1",
    "R@5": "R@5",
    "mean rank": "rank",
    "beaten of side": "side",
    "beaten of unit": "unit",
    "beaten of intensity": "letter",
    "beaten of another clip": "others",
}
"""What the headline shows, and what it calls it."""
LEGEND: Final = (
    "F1: units, micro and macro, and with their sides; halluc.: neutral clips where a unit is named; UF1: emotion",
    "right: share of answers; side, unit, letter, others: how often a caption wrong in that is less likely",
    "* differs from 0: the 95 % interval over subjects does not hold it",
)


def head(found: Audit) -> list[str]:
    """The headline: for each task its conditions down and a few measures across, and what the video adds."""
    lines: list[str] = []
    tasks: dict[str, dict[str, dict[str, Finding]]] = {}
    for finding in found.findings:
        task, _, condition = finding.scope.rpartition(", ")
        if not finding.by and finding.name in SHORT and finding.value is not None:
            tasks.setdefault(task, {}).setdefault(condition, {})[finding.name] = finding
    for task, conditions in tasks.items():
        across = [name for name in SHORT if any(name in cells for cells in conditions.values())]
        lines.append(f"{task:<21}" + "".join(f"{SHORT[name] + ' ':>8}" for name in across).rstrip())
        for condition, cells in conditions.items():
            shown = "".join(f"{_cell(cells.get(name)):>8}" for name in across)
            lines.append(f"  {condition:<19}{shown}".rstrip())
    return [*lines, *LEGEND] if lines else []


def in_short(found: Audit) -> Audit:
    """Without what `head` shows: what was said with the clip, all of it, and by group. All numbers are in the CSV."""
    kept = [f for f in found.findings if f.by or f.scope.rpartition(", ")[2] in MAIN]
    return replace(found, findings=tuple(kept))


def _cell(finding: Finding | None) -> str:
    if finding is None or finding.value is None:
        return "- "
    apart = " - " in finding.scope and finding.low is not None and finding.high is not None
    star = "*" if apart and (finding.low > 0 or finding.high < 0) else " "  # type: ignore[operator]
    return f"{finding.value:.{1 if finding.name in ('BLEU', 'mean rank') else 2}f}{star}"
