"""How a data set lies on disk, said as data: one `Layout` a set, short enough to check against its owner's documents.

What: which sheet holds the coding, what its columns are called, where the pictures of a row lie, how ids are written,
what stands for "nobody saw one", what is known to be wrong, and how many clips there should be.
Why: a class for each set hides these in code; here a reader can hold them beside the set's own readme.

    from equime.recognise.readers.sets import SETS
    print(SETS["casme2"].parts[0].header)

Templates: ``{subject}`` is the id without its letters and zeros (``{subject:0>3}`` gives it three digits),
``{coded}`` the id as the sheet has it, ``{clip}`` the file name, ``{emotion}`` the emotion in small letters, and
whatever a part derives or looks up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

Column = str | int | tuple[int, int]
"""Names of a column's header parted by "|" ("?" behind: it may be missing), its position, or a span of positions."""

SHEETS: Final = (".xlsx", ".xls", ".csv")
"""Endings of a sheet; owners hand out the first two, users save the third."""


@dataclass(frozen=True)
class Lookup:
    """A code that another sheet of the same file translates.

    Attributes:
        of: The field whose value is looked up.
        sheet: Position of the sheet.
        key: Position of the column that holds the value.
        value: Position of the column that holds what it stands for.
    """

    of: str
    sheet: int
    key: int
    value: int


@dataclass(frozen=True)
class Part:
    """One sheet of coding and its pictures, or pictures whose folders' names are the coding.

    Attributes:
        sheets: Patterns of the file's name, without its ending; of several files the last by name is read.
        columns: Field -> `Column`. Fields: subject, clip, onset, apex, apex2 (where apex has none), offset, units,
            emotion, objective, kind, dataset.
        header: The columns as the owners write them, parted by "|".
        preamble: Lines above the header as handed out. It is found wherever it stands.
        under: Where the folders below start, relative to the root, patterns in order of preference.
        folders: Templates of a row's folder.
        picture: Template of a picture's name with ``{number}``, as handed out; what counts is its last number.
        listing: Instead of a sheet: a pattern of the folders' paths with groups subject, clip, emotion.
        derive: Field -> (field, pattern): the pattern's first group or match in that field.
        lookups: Field -> `Lookup`.
        split: The owners' own split, for all rows.
    """

    columns: Mapping[str, Column] = field(default_factory=dict)
    header: str = ""
    sheets: tuple[str, ...] = ()
    preamble: int = 0
    under: tuple[str, ...] = (".",)
    folders: tuple[str, ...] = ()
    picture: str = "{number}.jpg"
    listing: str = ""
    derive: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    lookups: Mapping[str, Lookup] = field(default_factory=dict)
    split: str | None = None


@dataclass(frozen=True)
class Patch:
    """A cell that is known to be wrong. Used only where the coded one cannot be and the pictures bear this one out.

    Attributes:
        line: Of the sheet, from 1.
        field: onset, apex or offset.
        value: The frame's number.
    """

    line: int
    field: str
    value: int


@dataclass(frozen=True)
class Published:
    """What the owners say there is, or what was counted in their files.

    Attributes:
        clips: Micro-expressions.
        subjects: People among them.
        emotions: Clips by emotion as coded, in small letters; an emotion that is not named is not compared.
        objective: Clips by objective class.
        by_set: Of a composite: set -> clips by class.
        subjects_of: Of a composite: set -> subjects.
        recounted: Which of these were counted anew from the set's own label file. The others are from the paper, not
            verified, and never count against a copy.
    """

    clips: int | None = None
    subjects: int | None = None
    emotions: Mapping[str, int] = field(default_factory=dict)
    objective: Mapping[str, int] = field(default_factory=dict)
    by_set: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    subjects_of: Mapping[str, int] = field(default_factory=dict)
    recounted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Example:
    """Names for a small made-up copy: the ids of two subjects as the sheet writes them, and a clip's name.

    Attributes:
        subjects: As in the sheet; numbers where Excel has made numbers of them.
        clip: Template with ``{subject}``, ``{place}`` (1, 2, ...) and ``{emotion}``.
        emotions: As coded, one a clip.
        first: Number of the first picture.
        units: One a clip.
        grey: Whether the pictures are.
    """

    subjects: tuple[str | int, str | int]
    clip: str
    emotions: tuple[str, ...] = ("happiness", "surprise", "disgust")
    first: int = 40
    units: tuple[str, ...] = ("6+12", "1+2", "4+R10B")
    grey: bool = False


@dataclass(frozen=True)
class Layout:
    """One data set as its owners hand it out.

    Attributes:
        name: On the command line, in `dataset` and before every id.
        title: As the field calls it.
        citation: Where it is described.
        fps: Of the pictures.
        parts: Alternatives, the first that is there is read; or all of them with `every`.
        example: For `equime data example`.
        every: The parts are the set together.
        members: Name of a set in the column `dataset` -> the set that its rows are of, for a composite.
        width: Digits of a subject's id; Excel loses the zeros.
        by_onset: A file name holds several expressions, so the onset belongs to the key.
        words: Code of an emotion -> its name.
        no_apex: What stands for an apex that nobody coded, beside an empty cell.
        no_offset: Likewise the offset.
        patches: Known wrong cells.
        swapped: Pattern of a sheet's name -> two lines of it whose units and emotions stand in each other's place.
        renumbered: Clips whose pictures have numbers of their own and count, in order, from the coded onset.
        published: What there should be.
        assumed: What here was not verified: printed in every report.
        traps: What is odd about the set and handled.
    """

    name: str
    title: str
    citation: str
    fps: float
    parts: tuple[Part, ...]
    example: Example
    every: bool = False
    members: Mapping[str, Layout] = field(default_factory=dict)
    width: int = 1
    by_onset: bool = False
    words: Mapping[str, str] = field(default_factory=dict)
    no_apex: tuple[str, ...] = ("/", "0", "-1")
    no_offset: tuple[str, ...] = ("/", "0")
    patches: tuple[Patch, ...] = ()
    swapped: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    renumbered: tuple[str, ...] = ()
    published: Published = Published()
    assumed: tuple[str, ...] = ()
    traps: tuple[str, ...] = ()
