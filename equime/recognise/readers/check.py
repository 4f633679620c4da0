"""A copy of a data set against what there should be: clips, subjects, clips by emotion, and every row that is wrong.

    report = check(read("casme2", Path("CASME2")))
    print(report); report.ok

Counts that were recounted from the set's own label file count against a copy; those from a paper are shown only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from equime.one_line import one_line
from equime.recognise.readers.layout import Layout
from equime.recognise.readers.one_set import Read
from equime.recognise.readers.problems import Problem
from equime.wording import counted

RECOUNTED = "recounted"
PAPER = "from the paper, not verified"


@dataclass(frozen=True)
class Count:
    """One number of a copy beside the published one.

    Attributes:
        what: "clips", "subjects", "emotion happiness", ...
        here: In this copy.
        published: None where nothing is known.
        source: `RECOUNTED`, `PAPER`, or "" where nothing is known.
    """

    what: str
    here: int
    published: int | None = None
    source: str = ""

    @property
    def wrong(self) -> bool:
        """Whether it speaks against the copy."""
        return self.source == RECOUNTED and self.here != self.published

    def __str__(self) -> str:
        """One line for people."""
        if self.published is None:
            return f"  {self.what:<28}{self.here:>7}"
        state = "" if self.here == self.published else ", differs"
        return f"  {self.what:<28}{self.here:>7} of {self.published:>5} ({self.source}{state})"


@dataclass(frozen=True)
class Report:
    """What `equime data check` says.

    Attributes:
        layout: Of the set.
        counts: This copy beside the published one.
        problems: Every bad row.
        sheets: The files that were read.
        macro: Rows of macro-expressions, which are no samples.
        fps: Frame rates of the samples.
    """

    layout: Layout
    counts: tuple[Count, ...]
    problems: tuple[Problem, ...]
    sheets: tuple[Path, ...]
    macro: int
    fps: tuple[float, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong but what the set is known for."""
        return not any(count.wrong for count in self.counts) and all(problem.known for problem in self.problems)

    def __str__(self) -> str:
        """For people."""
        rates = " and ".join(f"{rate:g}" for rate in self.fps) or "no"
        sheets = ", ".join(one_line(sheet.name) for sheet in self.sheets) or "the folders' names"
        lines = [f"{self.layout.title} ({self.layout.citation}), {rates} fps, read from {sheets}"]
        lines += [f"not verified: {text}" for text in self.layout.assumed]
        lines += [str(count) for count in self.counts]
        lines += [f"{counted(self.macro, 'macro-expression')} left out"] * bool(self.macro)
        left = len({(p.sheet, p.line, p.sample) for p in self.problems if not p.kept})
        lines += [f"{counted(len(self.problems), 'problem')}, {counted(left, 'row')} left out"]
        lines += [f"  {problem}{' (known)' if problem.known else ''}" for problem in self.problems]
        return "\n".join([*lines, "as it should be" if self.ok else "something is wrong: see above"])

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "set": self.layout.name,
            "title": self.layout.title,
            "ok": self.ok,
            "fps": list(self.fps),
            "sheets": [str(sheet) for sheet in self.sheets],
            "not_verified": list(self.layout.assumed),
            "counts": [vars(count) | {"wrong": count.wrong} for count in self.counts],
            "macro": self.macro,
            "problems": [problem.to_dict() for problem in self.problems],
        }


def check(found: Read) -> Report:
    """Compare a copy with what is published of its set."""
    table = found.samples.table
    fps = tuple(sorted(set(table["fps"].to_pylist())))
    return Report(found.layout, tuple(_counts(found.layout, table)), found.problems, found.sheets, found.macro, fps)


def _counts(layout: Layout, table: pa.Table) -> Iterator[Count]:
    published = layout.published
    plain = {"clips": len(table), "subjects": len(table["subject_id"].unique())}
    for what, here in plain.items():
        yield _count(layout, what, what, here, getattr(published, what))
    emotion = "emotion3" if layout.members else "emotion"
    yield from _classes(layout, "emotions", "emotion", table[emotion], published.emotions)
    yield from _classes(layout, "objective", "objective class", table["objective"], published.objective)
    for name, classes in published.by_set.items():
        own = table.filter(pa.compute.equal(table["dataset"], name))
        here = len(own["subject_id"].unique())
        yield _count(layout, "subjects_of", f"{name} subjects", here, published.subjects_of[name])
        yield from _classes(layout, "by_set", name, own["emotion3"], classes)


def _classes(
    layout: Layout, field: str, what: str, column: pa.ChunkedArray, published: Mapping[str, int]
) -> Iterator[Count]:
    here = Counter(value for value in column.to_pylist() if value is not None)
    for name in dict.fromkeys((*published, *sorted(here))):
        yield _count(layout, field, f"{what} {name}", here[name], published.get(name))


def _count(layout: Layout, field: str, what: str, here: int, published: int | None) -> Count:
    source = RECOUNTED if field in layout.published.recounted else PAPER
    return Count(what, here, published, source if published is not None else "")
