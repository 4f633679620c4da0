"""Every audit under two labellers, and corrected for their errors: what is the data's, and what is the labels'.

    found = label_noise("ws", predictions=Path("predictions.parquet"), confusion=Path("study.csv"))

    equime audit labels WORKSPACE --predictions PREDICTIONS --confusion study.csv

First how reliable the labels are; then evenness, associations and gaps, of captions and dose sweeps too, under the
labels of the sources and under the tagger's, and how far they differ; with a validation study also what is left of
shares and gaps over true groups. Matched pairs are not repeated: across which labels they go is planned. All labels are
*perceived*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from equime.audit import association, doses, generator, performance, reliability, representation, text
from equime.audit.result import Audit, Finding
from equime.audit.tables import answers
from equime.audit.tables.files import SUFFIXES
from equime.audit.tables.rows import SOURCE, TAG, Rows, glasses, label, read_rows
from equime.audit.true_groups import corrected_generator, corrected_performance, corrected_representation
from equime.errors import EquimeError
from equime.planning.equity_audit import Confusion

QUESTION: Final = "How far can the labels of groups be believed, and does what is said of groups hold all the same?"
COLUMNS: Final = tuple(
    dict.fromkeys(
        name
        for part in (answers, association, doses, generator, reliability, representation, text)
        for name in part.COLUMNS
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
        EquimeError: Nothing there that this package reads, a table of somebody's, nobody has a label, or a bad file.
    """
    if where.lower().endswith(SUFFIXES):
        known = "a workspace, a release's or a tree's folder, or OWNER/NAME[@VERSION] on the Hub"
        raise EquimeError(f"expected {known}, got the table {where}: see `equime audit performance {where}`")
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


def repeat(audit: Callable[[Rows], Audit], rows: Mapping[str, Rows]) -> Audit:
    """One audit under several labellers, and how far its statements about all groups differ.

    Args:
        audit: Of rows.
        rows: Labeller -> the same rows under its labels (`open_rows(where, columns, labels="tag")`).

    Returns:
        The findings of each, then "<measure>: tag minus source". A labeller who labels nobody is a note.

    Raises:
        EquimeError: The audit can be made under no labeller; why under the first.
    """
    made: dict[str, Audit] = {}
    failed: dict[str, EquimeError] = {}
    for labeller, labelled in rows.items():
        try:
            made[labeller] = audit(labelled)
        except EquimeError as error:
            failed[labeller] = error
    if not made:
        raise next(iter(failed.values()), EquimeError("expected the rows of at least one labeller, got none"))
    first, *others = made
    # What needs no labels, as of all clips or by skin, is the same under both.
    found = [
        replace(each, labels=labeller if each.labels else "")
        for labeller, one in made.items()
        for each in one.findings
        if each.labels or labeller == first
    ]
    found += [change for other in others for change in _changes(first, made[first], other, made[other])]
    notes = [note for one in made.values() for note in one.notes]
    notes += [f"not repeated under {labeller} labels: {error}" for labeller, error in failed.items()]
    return replace(made[first], findings=tuple(found), notes=tuple(dict.fromkeys(notes)))


def _changes(first: str, one: Audit, other: str, two: Audit) -> Iterator[Finding]:
    """How far what is said of all groups differs between two labellers."""
    key = ("measure", "of", "by", "scope")
    known = {tuple(getattr(f, name) for name in key): f for f in one.findings if f.labels and not f.group}
    for said in two.findings:
        before = known.get(tuple(getattr(said, name) for name in key))
        if before is None or said.group or not said.labels or before.value is None or said.value is None:
            continue
        yield Finding(
            measure=f"{said.measure}: {other} minus {first}",
            of=said.of,
            by=said.by,
            scope=said.scope,
            value=said.value - before.value,
            reference=0.0,
            clips=min(before.clips, said.clips),
            subjects=min(before.subjects, said.subjects),
        )


def _repeated(both: dict[str, Rows], predictions: Path | None, notes: list[str]) -> Iterator[Audit]:
    """What each audit says of all groups, under each labeller; why one says nothing goes into the notes."""
    asked: list[Callable[[Rows], Audit]] = [
        representation.representation,
        association.association,
        generator.generator,
        text.text,
        partial(_doses, predictions),
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


def _doses(predictions: Path | None, rows: Rows) -> Audit:
    return doses.doses(rows, answers.read_answers(predictions, rows) if predictions else None)


def _corrected(rows: Rows, predictions: Path | None, study: Confusion) -> Iterator[Audit]:
    yield corrected_representation(rows, None, study)
    yield corrected_generator(rows, None, study)
    if predictions:
        yield corrected_performance(answers.read_answers(predictions, rows), None, study)
