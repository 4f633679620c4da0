"""What a report says: its sections, from the rows of a data set, each of audits, tables and lines.

    found = sections("ws", predictions=Path("predictions.parquet"), progress=print)

A section is a line in `SECTIONS`. What cannot be answered becomes a section that says why, and takes nothing with it.
Labels of appearance are *perceived*, emotions the *intended* programme of action units.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import pyarrow as pa

from equime.audit import association, doses, generator, performance, reliability, representation, text, twins
from equime.audit.label_noise import repeat
from equime.audit.result import Audit
from equime.audit.tables import answers
from equime.audit.tables.answers import Answered, read_answers
from equime.audit.tables.rows import SOURCE, TAG, Rows, glasses, label, read_rows
from equime.errors import EquimeError
from equime.pieces import is_folder
from equime.publishing.comparing.diff import diff
from equime.publishing.comparing.snapshot import Snapshot, open_version
from equime.quality.figures import Figure
from equime.quality.study import Study
from equime.report import overview
from equime.report.headlines import headlines
from equime.report.overview import Grid

Part = Audit | Grid | str
Progress = Callable[[str], object]
COLUMNS: Final = tuple(
    dict.fromkeys(
        name
        for part in (
            *(answers, association, doses, generator, overview, performance, reliability, representation, text),
            twins,
        )
        for name in part.COLUMNS
    )
)
"""What is read of a data set, once."""
LABELLERS: Final = "Is it as even by the labels of the source pictures as by a classifier's?"


@dataclass(frozen=True)
class Section:
    """One section of a report.

    Attributes:
        id: Of its place on the page.
        title: Its heading.
        lead: What it is about; "" where its audit's question says that.
        parts: Audits, tables, and lines of text.
        refused: Why it, or the rest of it, could not be answered; "" where it could.
    """

    id: str
    title: str
    lead: str = ""
    parts: tuple[Part, ...] = ()
    refused: str = ""


@dataclass
class Material:
    """What sections are made of. Made for one report.

    Attributes:
        where: The data set.
        predictions: Answers to its clips.
        against: The version to compare it with.
        labels: Whose labels: "source", "tag", None.
    """

    where: str
    predictions: Path | None = None
    against: str | None = None
    labels: str | None = None

    @cached_property
    def table(self) -> pa.Table:
        """All that is read of the data set."""
        return read_rows(self.where, COLUMNS)

    @cached_property
    def rows(self) -> Rows:
        """The same, with one label a subject."""
        return self.labelled(self.labels)

    def labelled(self, labels: str | None) -> Rows:
        """The same, under somebody's labels; who has none of them is told of the data set by where it lies."""
        return replace(label(self.where, self.table, labels, glasses(self.where)), name=self.name)

    @cached_property
    def study(self) -> Study:
        """What was measured against what was planned."""
        return overview.studied(self.rows)

    @property
    def name(self) -> str:
        """What a page calls the data set: not where on somebody's machine it lies."""
        return Path(self.where).expanduser().resolve().name if is_folder(self.where) else self.where

    def unplaced(self, text: str) -> str:
        """A text without where on somebody's machine things lie."""
        for place in (self.where, self.against, self.predictions):
            whole = Path(place or "").expanduser()
            name = whole.resolve().name.replace("\\", r"\\")
            for path in {str(place), str(whole)} if place and whole.exists() else ():
                alone = rf"(?<![\w./-]){re.escape(path)}(?![\w-]|\.\w|\.\.)"  # "." is a folder, too
                text = re.sub(alone, name, text)
        return text

    @cached_property
    def other(self) -> Snapshot | None:
        """The version to compare it with."""
        return open_version(self.against) if self.against else None

    @cached_property
    def answers(self) -> Answered | None:
        """The answers, joined with the rows."""
        return read_answers(self.predictions, self.rows) if self.predictions else None


def sections(
    where: str,
    predictions: Path | None = None,
    against: str | None = None,
    labels: str | None = None,
    progress: Progress = lambda title: None,
) -> list[Section]:
    """The sections of a report; performance and versions only where there is something to compare.

    Args:
        where: A workspace, a release's or tree's folder, or OWNER/NAME[@VERSION] on the Hub.
        predictions: A table of answers to its clips.
        against: An earlier version, in the same words as `where`.
        labels: Whose labels to group by: "source" or "tag"; None: the sources' where there are any.
        progress: Told each section's title before it is made.

    Raises:
        EquimeError: The data set or the predictions do not read, it holds no clip, or nobody there has such labels.
    """
    material = Material(where, predictions, against, labels)
    if "clip_id" not in material.rows.table.column_names or not len(material.rows):
        raise EquimeError(f"expected a data set with clips, got {where!r}; see `equime audit representation {where}`")
    _ = material.answers, material.other  # bad input is told at once
    found = [_section(*line, material, progress) for line in SECTIONS]
    audits = {part.name: part for section in found for part in section.parts if isinstance(part, Audit)}
    lead, *rest = found[0].parts
    found[0] = replace(found[0], parts=(lead, *headlines(audits, _apex(material)), *rest))
    return [section for section in found if section.parts or section.refused]


def _apex(material: Material) -> Figure | None:
    try:
        return material.study.figures["all"].get("apex within 2")
    except EquimeError:  # the section says why
        return None


def _section(id: str, title: str, lead: str, make: Make, material: Material, progress: Progress) -> Section:
    progress(title)
    parts: list[Part] = []
    refused = ""
    try:
        parts.extend(make(material))
    except EquimeError as error:
        refused = material.unplaced(str(error))
    return Section(id, title, lead, tuple(parts), refused)


# --- one function each


def _performance(material: Material) -> Iterator[Part]:
    if material.answers is not None:
        yield performance.performance(material.answers)


def _pairs(material: Material) -> Iterator[Part]:
    yield twins.twins(material.rows, material.answers)


def _doses(material: Material) -> Iterator[Part]:
    yield doses.doses(material.rows, material.answers)


def _labels(material: Material) -> Iterator[Part]:
    """How reliable labels are, and whether who is shown looks the same by either."""
    yield reliability.reliability(material.table, material.name)
    own = material.rows
    (other,) = {SOURCE, TAG} - {own.labels}
    both = {own.labels: own, other: material.labelled(other)}
    found = repeat(representation.representation, both)
    whole = tuple(finding for finding in found.findings if not finding.group)
    yield replace(found, name="two-labellers", question=LABELLERS, findings=whole, drawn=())


def _versions(material: Material) -> Iterator[Part]:
    if material.other is None:
        return
    found = diff(material.other, open_version(material.where))
    if found.same:
        yield "Nothing changed."
    for title, lines in found.sections().items():
        yield Grid(title, ("",), tuple((line,) for line in lines))


Make = Callable[[Material], Iterator[Part] | Sequence[Part]]
SECTIONS: Final[tuple[tuple[str, str, str, Make], ...]] = (
    ("contents", "What this is", "How many clips, and how far each got.", lambda m: overview.made_of(m.rows)),
    ("composition", "Composition", "", lambda m: [representation.representation(m.rows)]),
    ("association", "Association", "", lambda m: [association.association(m.rows)]),
    ("quality", "Quality", "How clean the clips are.", lambda m: overview.quality(m.rows)),
    (
        "validity",
        "Validity",
        "What was measured in the clips, against what was planned.",
        lambda m: overview.validity(m.study),
    ),
    ("generator", "Generator by group", "", lambda m: [generator.generator(m.rows)]),
    ("performance", "Performance and gaps", "", _performance),
    ("twins", "Matched pairs", "", _pairs),
    ("doses", "Detection threshold", "", _doses),
    ("labels", "Label noise", "", _labels),
    ("captions", "Captions", "", lambda m: [text.text(m.rows)]),
    ("versions", "What changed", "Since the version that this one is compared with.", _versions),
)
"""Id, title, lead, and what makes it: a line each."""
