"""A small made-up copy of any set: its folders, its sheet, its traps, and pictures of moving stripes.

    write_example("casme2", Path("CASME2"))         # 2 subjects x 3 clips of 8x8 pictures
    read("casme2", Path("CASME2")).problems         # the traps, one by one

Nothing of the set is in it: stripes move from onset to apex and back, in a direction of their own for each emotion.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from equime.errors import EquimeError
from equime.one_line import one_line
from equime.optional import need
from equime.recognise.readers import labels
from equime.recognise.readers.layout import Layout, Lookup, Part
from equime.recognise.readers.places import subject_of
from equime.recognise.readers.sets import layout_of

CLIPS: Final = 3
"""Of each subject."""
BEFORE: Final = 2
"""Pictures before the onset, and behind the offset."""
RISE: Final = 5
"""Pictures from onset to apex."""
LENGTH: Final = 10
"""Pictures from onset to offset."""
MOST_SIDE: Final = 4096
"""Of the pictures, in px."""
VIDEO: Final = "0401"
"""Code of the video whose name another sheet translates."""
ODD_UNITS: Final = ("4\uff0c7", "?", "12")
"""Of the second subject's clips: a Chinese comma, units that the coder left open, one unit."""


@dataclass
class Clip:
    """One made-up row: its cells by field, and the numbers of its pictures.

    Attributes:
        cells: What the sheet holds.
        names: What the templates of folders and pictures hold.
        numbers: Of the pictures; empty where the folder is missing.
        onset: Where the motion begins.
        way: Direction of the motion, a number for each emotion.
    """

    cells: dict[str, Any]
    names: dict[str, str]
    numbers: list[int]
    onset: int
    way: int


def write_example(name: str, out: Path, *, side: int = 8, traps: bool = True, part: int = 0) -> Path:
    """Write a set's layout small.

    Args:
        name: One of `sets.SETS`.
        out: Its root, a new or empty folder.
        side: Of the pictures, in px.
        traps: Whether rows and pictures have the set's traps: an apex or offset that nobody coded, a missing picture,
            an offset before its onset, a row twice, a row without pictures, units that do not read, a macro-expression.
        part: Which of the set's alternative layouts.

    Returns:
        `out`.

    Raises:
        EquimeError: No such set or layout, a side out of range, or the folder holds something or cannot be written.
        MissingPackageError: openpyxl is not installed.
    """
    layout = layout_of(name)
    if not 2 <= side <= MOST_SIDE or not 0 <= part < len(layout.parts):
        raise EquimeError(
            f"expected a side of 2 to {MOST_SIDE} and a layout below {len(layout.parts)}, got {side = } {part = }"
        )
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise EquimeError(f"expected a new or empty folder, got {one_line(out)}; give another")
        out.mkdir(parents=True, exist_ok=True)
        _write(layout, part, out, side, traps)
    except OSError as error:
        raise EquimeError(f"cannot write to {one_line(out)} ({error.strerror}); give another OUT") from error
    return out


def _write(layout: Layout, part: int, out: Path, side: int, traps: bool) -> None:
    if layout.members:
        _composite(layout, out, side, traps)
    else:
        for place, one in enumerate(layout.parts if layout.every else [layout.parts[part]]):
            _part(_others(layout, place), one, out, side, traps and not place)


def _others(layout: Layout, place: int) -> Layout:
    """The same with other subjects for a further part: the owners' splits share none."""
    one, other = (int(subject) + place if place else subject for subject in layout.example.subjects)
    return replace(layout, example=replace(layout.example, subjects=(one, other)))


def _part(layout: Layout, part: Part, out: Path, side: int, traps: bool) -> None:
    clips = list(_clips(layout, part, traps))
    for clip in clips:
        _pictures(out / part.under[0] / _folder(part, clip.names), part, clip, side, layout.example.grey)
    if part.sheets:
        clips += [replace(clips[0], numbers=[])] if traps else []
        _book(out / f"{part.sheets[0].replace('*', '')}.xlsx", part, [clip.cells for clip in clips], clips)


def _composite(layout: Layout, out: Path, side: int, traps: bool) -> None:
    rows = []
    codes = {emotion: code for code, emotion in layout.words.items()}
    for dataset, member in layout.members.items():
        part = member.parts[0]
        for clip in _clips(member, replace(part, columns=layout.parts[0].columns), traps):
            _pictures(out / part.under[0] / _folder(part, clip.names), part, clip, side, member.example.grey)
            label = labels.three(str(clip.cells["emotion"]))
            rows.append(clip.cells | {"dataset": dataset, "emotion": codes[str(label)]})
    header = layout.parts[0].header.split("|")
    order = ("subject", "clip", "onset", "apex", "offset", "emotion", "dataset")
    with (out / "combined_3_class2_for_optical_flow.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *([row.get(name, "") for name in order] for row in rows)])


def _clips(layout: Layout, part: Part, traps: bool) -> Iterator[Clip]:
    """Two subjects x three clips; with traps, more rows that each have something wrong."""
    example = layout.example
    for who, subject in enumerate(example.subjects):
        for place in range(CLIPS):
            clip = _clip(layout, part, subject, place, who)
            if traps:
                _trap(layout, clip, who, place)
            yield clip
    if not (traps and part.sheets):
        return
    backward, absent, unread, macro = (_clip(layout, part, example.subjects[1], CLIPS + n, 1) for n in range(4))
    backward.cells["offset"] = backward.onset - 1
    absent.numbers = []
    unread.cells["units"] = "4+x"
    yield from (backward, absent, unread)
    if _place(part, "kind") is not None:
        macro.cells["kind"] = "Macro-expression"
        yield macro
    if layout.renumbered:
        other = _clip(layout, part, int(layout.renumbered[0].split("_")[0]), 0, 0)
        other.cells["clip"] = other.names["clip"] = layout.renumbered[0]
        other.numbers = list(range(1, LENGTH + 2))
        yield other


def _clip(layout: Layout, part: Part, subject: str | int, place: int, who: int) -> Clip:
    example = layout.example
    bare = subject_of(str(subject))
    emotion = example.emotions[place % CLIPS] if example.emotions else ""
    codes = {word: code for code, word in reversed(list(layout.words.items()))}
    names = {"subject": bare, "coded": str(subject), "place": str(place + 1), "emotion": emotion.lower()}
    names |= {"code": VIDEO if part.lookups else codes.get(emotion, ""), "number": f"{int(bare) + 14}"}
    names["clip"] = example.clip.format_map(names)
    names["video"] = f"{int(bare):03d}_1"
    names["rest"] = names["clip"].partition("_")[2]
    onset = example.first + BEFORE + 2 * LENGTH * place
    cells = {
        "subject": subject,
        "clip": names["clip"],
        "onset": onset,
        "apex": onset + RISE,
        "offset": onset + LENGTH,
        "units": (ODD_UNITS if who else example.units)[place % CLIPS],
        "emotion": emotion,
        "kind": "micro-expression",
    }
    numbers = list(range(onset - BEFORE, onset + LENGTH + BEFORE + 1))
    return Clip(cells, names, numbers, onset, place % CLIPS)


def _trap(layout: Layout, clip: Clip, who: int, place: int) -> None:
    """What the owners' own rows have: nothing that loses the clip."""
    if (who, place) == (0, 1):
        clip.cells["apex"] = layout.no_apex[0]
    elif (who, place) == (1, 0):
        clip.numbers.remove(clip.onset + RISE + 2)
    elif (who, place) == (1, 1):
        clip.cells["offset"] = layout.no_offset[-1]


def _folder(part: Part, names: Mapping[str, str]) -> str:
    template = next((one for one in part.folders if "*" not in one), part.folders[0])
    return template.format_map(names).replace("/*_", f"/{names['number']}_").replace("*", "teeth")


def _pictures(folder: Path, part: Part, clip: Clip, side: int, grey: bool) -> None:
    if not clip.numbers:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for place, number in enumerate(clip.numbers):
        named = part.picture.format_map({**clip.names, "number": number})
        moved = max(0.0, 1 - abs(place - BEFORE - RISE) / RISE)
        picture = Image.fromarray(_stripes(side, clip, moved))
        (picture.convert("L") if grey else picture).save(folder / named)


def _stripes(side: int, clip: Clip, moved: float) -> npt.NDArray[np.uint8]:
    """Soft stripes, uint8 (side, side, 3), `moved` (0 to 1) of an eighth of the side along the clip's direction."""
    angle = clip.way * 2 * math.pi / CLIPS
    step = moved * side / 8
    y, x = np.mgrid[:side, :side].astype(np.float64)
    across = (x - step * math.cos(angle)) * 2 * math.pi * 2 / side
    down = (y - step * math.sin(angle)) * 2 * math.pi * 2 / side
    phase = sum(clip.names["subject"].encode()) % 7
    value = 128 + 50 * np.sin(across + phase) + 50 * np.sin(down)
    return np.repeat(value.clip(0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def _book(path: Path, part: Part, rows: Sequence[Mapping[str, Any]], clips: Sequence[Clip]) -> None:
    book = need("openpyxl", extra="recognise").Workbook()
    header = part.header.split("|") if part.header else []
    sheet = book.active
    for number in range(part.preamble):
        sheet.append([f"line {number + 1} above the header"])
    if header:
        sheet.append([name or None for name in header])
    for row in rows:
        sheet.append(_line(row, part, header))
    for lookup in part.lookups.values():
        while len(book.worksheets) <= lookup.sheet:
            book.create_sheet()
        for clip in clips:
            book.worksheets[lookup.sheet].append(_meaning(lookup, clip))
    book.save(path)


def _place(part: Part, name: str) -> int | None:
    """Where a field stands in the sheet as handed out, or None."""
    column = part.columns.get(name)
    if isinstance(column, str):
        header = part.header.split("|")
        named = (one.strip() for one in column.rstrip("?").split("|"))
        return next((header.index(one) for one in named if one in header), None)
    return column[0] if isinstance(column, tuple) else column


def _line(row: Mapping[str, Any], part: Part, header: Sequence[str]) -> list[Any]:
    places = {place: row.get(name) for name in part.columns if (place := _place(part, name)) is not None}
    return [places.get(place) for place in range(max([len(header), *(place + 1 for place in places)]))]


def _meaning(lookup: Lookup, clip: Clip) -> list[Any]:
    """A line of a sheet that translates: what the row has, and what the folders are called."""
    if lookup.of == "subject":
        pair = {lookup.key: clip.cells["subject"], lookup.value: f"s{clip.names['number']}"}
    else:
        pair = {lookup.key: str(clip.cells["clip"]).partition("_")[0], lookup.value: VIDEO}
    return [pair.get(place) for place in range(max(pair) + 1)]
