"""Real clips with coded times and units: where a user's own copy of a public set has them, and how far each moves.

    found = read_clips(Path("CASME2-coding.csv"), Path("CASME2_RAW_selected"))
    amplitude(found.clips[0], finder)        # eye distances, None where nothing rises above the noise

Read are the CSVs of CASME, CASME II, SAMM, MMEW, CAS(ME)2, CAS(ME)3, 4DME and DFME (see `equime.scm.coded_layouts`),
and a plain one: `clip,fps,onset,apex,offset,units`, the clip a folder relative to the CSV or to `--frames`, the times
numbers of its files.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from equime.action_units import ActionUnit, parse
from equime.errors import EquimeError
from equime.face import FaceFinder, one_face
from equime.one_line import one_line
from equime.quality.measure import measure
from equime.quality.motion import observe
from equime.quality.sequence import PICTURES, Sequence, require_fps
from equime.scm.coded_layouts import find_layout, number, read_text

PLAIN = ("clip", "fps", "onset", "apex", "offset", "units")
VERSION = 1
"""Raised when `amplitude` gives other values for the same pictures."""
AROUND_MS = 1000.0
"""How much before the coded onset and after the coded offset is looked at, as far as there are pictures."""
SLACK_MS = 100.0
"""How far outside the coded times the measured apex may lie."""


class RealClip(NamedTuple):
    """One coded clip: the folder of its pictures, their rate, the numbers of three files, its units."""

    line: int
    folder: Path
    fps: float
    onset: int
    offset: int
    units: tuple[ActionUnit, ...]


@dataclass(frozen=True)
class RealClips:
    """What a file of codings holds.

    Attributes:
        name: Of the set, as its layout tells, or the file's.
        clips: Those whose pictures are there.
        left_out: Line -> why its clip was left out.
    """

    name: str
    clips: tuple[RealClip, ...]
    left_out: Mapping[int, str] = field(default_factory=dict)


def read_clips(coding: Path, root: Path | None = None, fps: float | None = None) -> RealClips:
    """The clips of a file of codings.

    Args:
        coding: A CSV, see above.
        root: The folder that its clips lie in; the CSV's own where None. Nothing outside of it is read.
        fps: Of the pictures, in place of what the set is known to have.

    Raises:
        EquimeError: No such file, a layout that is not known, no frame rate, or no clip whose pictures are there.
    """
    root, text = root or coding.parent, read_text(coding)
    if not root.is_dir():
        raise EquimeError(f"expected the folder of the clips, got no folder: {one_line(root)}; give --frames ROOT")
    name, rows = _plain(text, coding) or _published(text, coding)
    folders = _folders(root)
    clips, left_out = list[RealClip](), dict[int, str]()
    for line, cells in rows:
        if fps is not None:
            cells["fps"] = str(require_fps(fps))
        try:
            clips.append(_clip(line, cells, folders))
        except EquimeError as error:
            left_out[line] = str(error)
    if not clips:
        why = next(iter(left_out.values()), "it has no rows")
        raise EquimeError(f"expected clips of {one_line(coding)} in {one_line(root)}, got none ({why})")
    return RealClips(name, tuple(clips), left_out)


def amplitude(clip: RealClip, finder: FaceFinder) -> float | None:
    """How far the coded units move at the apex, in eye distances, as a clip's own score would measure it.

    None where nothing rises above the noise, or the largest movement is not at the coded time.

    Raises:
        EquimeError: Pictures that cannot be read, none at the coded times, or no face in the first.
    """
    sequence, around = Sequence.of(clip.folder), round(AROUND_MS * clip.fps / 1000)
    first, last = sequence.numbers[0], sequence.numbers[-1]
    if not first <= clip.onset < clip.offset <= last:
        named = f"pictures {clip.onset} to {clip.offset} in {one_line(clip.folder)}"
        raise EquimeError(f"expected {named}, it has {first} to {last}; correct that row")
    frames = sequence.frames(clip.onset - around, clip.offset + around)
    begun = max(clip.onset - around, first)
    face, _ = one_face(frames[0], finder)
    found = measure(observe(frames, clip.fps, face), clip.units)
    onset, offset = ((number - begun) * 1000 / clip.fps for number in (clip.onset, clip.offset))
    if found.apex_ms is None or not onset - SLACK_MS <= found.apex_ms <= offset + SLACK_MS:
        return None
    return found.amplitude


Rows = list[tuple[int, dict[str, str]]]


def _plain(text: str, path: Path) -> tuple[str, Rows] | None:
    """The rows of the plain layout; None where the header is another."""
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    try:
        if not {"clip", "onset", "offset", "units"} <= {(name or "").strip() for name in reader.fieldnames or ()}:
            return None
        rows = [
            ({(k or "").strip(): (v or "").strip() for k, v in row.items() if k}, reader.line_num) for row in reader
        ]
    except csv.Error as error:
        raise EquimeError(f"expected CSV text in {path}, line {reader.line_num}: {error}; save it again") from error
    return path.stem, [(line, row) for row, line in rows]


def _published(text: str, path: Path) -> tuple[str, Rows]:
    layout, columns, lines = find_layout(text, path, ",".join(PLAIN))
    if "clip" not in columns or "onset" not in columns:
        raise EquimeError(f"expected {','.join(PLAIN)}, or a public set's columns, in {path}; give it such a header")
    rows: Rows = []
    for line, row in lines:
        cells = {role: row[at].strip() if at < len(row) else "" for role, at in columns.items()}
        rows.append((line, cells | {"fps": str(layout.fps or "")}))
    return layout.name, rows


def _clip(line: int, cells: Mapping[str, str], folders: Mapping[str, list[Path]]) -> RealClip:
    if "macro" in cells.get("kind", "").lower():
        raise EquimeError("a macro-expression")
    fps = require_fps(number(cells.get("fps", "")))
    onset, offset = (number(cells.get(name, "")) for name in ("onset", "offset"))
    if onset is None or offset is None or not onset < offset:
        raise EquimeError(f"expected onset before offset, got {cells.get('onset')!r} and {cells.get('offset')!r}")
    folder = _find(cells["clip"], cells.get("subject", ""), folders)
    return RealClip(line, folder, fps, int(onset), int(offset), parse(cells["units"]).units)


def _folders(root: Path) -> dict[str, list[Path]]:
    """The folders of pictures below `root`, by their path in it and by their name."""
    found: dict[str, list[Path]] = {}
    for place, _, names in os.walk(root):  # follows no links: nothing outside is met
        if any(os.path.splitext(name)[1].lower() in PICTURES for name in names):
            path = Path(place)
            for key in {path.relative_to(root).as_posix(), path.name}:
                found.setdefault(key, []).append(path)
    return found


def _find(clip: str, subject: str, folders: Mapping[str, list[Path]]) -> Path:
    """A clip's folder: by its path, else by its name, below its subject's folder where several have it."""
    found = folders.get(clip.replace("\\", "/").strip("/"), [])
    if len(found) > 1:
        found = [path for path in found if _same_subject(path.parent.name, subject)]
    if len(found) != 1:
        of = f" of subject {subject!r}" if subject else ""
        raise EquimeError(f"expected one folder {clip!r}{of} with pictures, found {len(found)}")
    return found[0]


def _same_subject(folder: str, subject: str) -> bool:
    """Whether sub01, s1 or 001 is subject "1": spreadsheets lose zeros."""
    numbers = [re.sub(r"\D", "", text).lstrip("0") for text in (folder, subject)]
    return numbers[0] == numbers[1] != "" or folder == subject
