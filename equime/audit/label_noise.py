"""Every audit under two labellers, and corrected for their errors: what is the data's, and what is the labels'.

    found = label_noise("ws", predictions=Path("predictions.parquet"), confusion=Path("study.csv"))

    equime audit labels WORKSPACE --predictions PREDICTIONS --confusion study.csv

First how reliable the labels are; then evenness, associations and gaps under the labels of the sources and under the
tagger's, and how far they differ; with a validation study also what is left of shares and gaps over true groups. All
labels are *perceived*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from equime.audit import answers, association, generator, performance, reliability, representation
from equime.audit.labels import corrected_generator, corrected_performance, corrected_representation, repeat
from equime.audit.result import Audit
from equime.audit.rows import SOURCE, TAG, Rows, glasses, label, read_rows
from equime.errors import EquimeError
from equime.planning.equity_audit import Confusion

QUESTION: Final = "How far can the labels of groups be believed, and does what is said of groups hold all the same?"
COLUMNS: Final = tuple(
    dict.fromkeys(
        name for part in (answers, association, generator, reliability, representation) for name in part.COLUMNS
    )
)


def label_noise(where: str, predictions: Path | None = None, confusion: Path | None = None) -> Audit:
    """Repeat the audits of a data set under each of its labellers.

    Args:
        where: A workspace, a release's or tree's folder, or OWNER/NAME[@VERSION] on the Hub.
        predictions: Answers to its clips, see `answers.read_answers`.
        confusion: A validation study as `attribute,true,predicted,count`.

    Returns:
        Reliability by group; of the other audits what is said of all groups, by labeller; what is corrected, by group.

    Raises:
        EquimeError: Nothing there that this package reads, nobody has a label, or a bad file.
    """
    study = Confusion.from_csv(confusion) if confusion else None
    table, worn = read_rows(where, COLUMNS), glasses(where)
    first, notes = reliability.reliability(table, where), list[str]()
    both = dict[str, Rows]()
    for labels in (SOURCE, TAG):
        try:
            both[labels] = label(where, table, labels, worn)
        except EquimeError as error:
            notes.append(str(error))
    audits = [first, *_repeated(both, predictions, notes)]
    if study:
        audits += _corrected(next(iter(both.values())), predictions, study)
    findings = [finding for audit in audits for finding in audit.findings]
    told = dict.fromkeys([*notes, *(note for audit in audits for note in audit.notes)])
    return Audit("labels", QUESTION, tuple(findings), tuple(told), first.drawn)


def _repeated(both: dict[str, Rows], predictions: Path | None, notes: list[str]) -> Iterator[Audit]:
    """What each audit says of all groups, under each labeller; why one says nothing goes into the notes."""
    asked: list[Callable[[Rows], Audit]] = [
        representation.representation,
        association.association,
        generator.generator,
    ]
    if predictions:
        asked.append(partial(_performance, predictions))
    for audit in asked:
        try:
            found = repeat(audit, both)
        except EquimeError as error:
            notes.append(str(error))
            continue
        whole = tuple(finding for finding in found.findings if finding.by and not finding.group)
        yield Audit(found.name, found.question, whole, found.notes)


def _performance(predictions: Path, rows: Rows) -> Audit:
    return performance.performance(answers.read_answers(predictions, rows))


def _corrected(rows: Rows, predictions: Path | None, study: Confusion) -> Iterator[Audit]:
    yield corrected_representation(rows, None, study)
    yield corrected_generator(rows, None, study)
    if predictions:
        yield corrected_performance(answers.read_answers(predictions, rows), None, study)
