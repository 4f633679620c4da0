"""Pictures looked at once: opened, hashed, measured and tagged, in one process or several, and never again.

Why parts: looking at 30,000 pictures takes an hour, and whatever stops it should cost a minute. Every `PART` pictures
a file is written under `ws/.screening/`; `keep` sweeps them into one. A picture is known again by its path, size and
time, or, where only the time differs, by its hash. What is no longer among the faces is forgotten.

    >>> looks = look(workspace, root, ["a.jpg", "b.png"], taggers=["packaged"], workers=2)
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from equime.demographics import Tag, Tagger
from equime.errors import EquimeError
from equime.face import FaceFinder
from equime.one_line import one_line
from equime.photo import read_image
from equime.pool import in_processes
from equime.screening.appearance import VERSION, Measures, measure
from equime.screening.portraits import inside
from equime.table import replacing, sweep, writing
from equime.taggers import tagger

FOLDER: Final = ".screening"
PART: Final = 64
CROPS: Final = 16
"""Aligned crops held at a time, for the taggers."""

_TYPES: Final[Mapping[str, pa.DataType]] = {"float": pa.float64(), "bool": pa.bool_(), "int": pa.int32()}


def columns_of(cls: type) -> list[tuple[str, pa.DataType]]:
    """The fields of a dataclass as Parquet columns."""
    return [(f.name, _TYPES.get(str(f.type).removesuffix(" | None"), pa.string())) for f in fields(cls)]


_MEASURES: Final = columns_of(Measures)[:-1]
_COLUMNS: Final = pa.schema(
    [
        *[("path", pa.string()), ("size", pa.int64()), ("mtime_ns", pa.int64()), ("version", pa.int32())],
        *[("sha256", pa.string()), ("problem", pa.string()), ("tags", pa.string()), ("likeness", pa.float32())],
        *_MEASURES,
        ("thumbnail", pa.binary()),
    ]
)


@dataclass(slots=True)
class Look:
    """What one picture showed.

    Attributes:
        path: Relative to the folder of faces.
        size: Bytes of the file.
        mtime_ns: When the file was written last.
        sha256: Of its bytes; "" where they cannot be read.
        problem: Why nothing was measured, "kind: reason", or None.
        measures: Of its largest face, or None.
        tags: Tagger -> how it perceives the face.
        likeness: See `equime.screening.duplicates`; None where not compared yet.
        version: Of the measures.
    """

    path: str
    size: int
    mtime_ns: int
    sha256: str = ""
    problem: str | None = None
    measures: Measures | None = None
    tags: dict[str, Tag] = field(default_factory=dict)
    likeness: float | None = None
    version: int = VERSION


def look(
    workspace: Path,
    root: Path,
    paths: Sequence[str],
    taggers: Sequence[str] = (),
    workers: int = 1,
    tick: Callable[[int, int], object] = lambda done, total: None,
) -> dict[str, Look]:
    """A look at every picture, by path: the kept one where the file is the same, else a new one.

    Args:
        workspace: Its lock is held by who calls.
        root: The folder of faces.
        paths: Relative to it.
        taggers: Names of `equime.taggers`; a picture they have not seen is looked at anew.
        workers: Processes.
        tick: Told (pictures looked at, to look at).

    Raises:
        EquimeError: A worker died, a tagger is not there, or the disk is full.
    """
    folder = workspace / FOLDER
    sweep(folder)
    kept = {found.path: found for found in _kept(folder)}
    known = {path: old for path in paths if (old := _same(root, kept.get(path), path))}
    todo = [path for path in paths if path not in known or not set(taggers) <= _seen_by(known[path], taggers)]
    last = max((int(path.stem) for path in folder.glob("[0-9]*.parquet")), default=-1)
    batches = [todo[start : start + PART] for start in range(0, len(todo), PART)]
    work = Looker(root, folder, batches, last + 1, tuple(taggers))
    done = Counter[str]()

    def count(pictures: int) -> None:
        done["pictures"] += pictures
        tick(done["pictures"], len(todo))

    _work(work, workers, count)
    new = {found.path: found for part in range(len(batches)) for found in _read(work.part(part))}
    for path, found in new.items():
        if path in known and known[path].sha256 == found.sha256:
            found.tags = known[path].tags | found.tags
            found.likeness = known[path].likeness
    return {path: new.get(path) or known[path] for path in paths}


def keep(workspace: Path, looks: Iterable[Look]) -> None:
    """Keep these looks, and no others, in one file."""
    folder = workspace / FOLDER
    _write(folder / "looks.parquet", looks)
    for part in folder.glob("[0-9]*.parquet"):
        part.unlink()


@dataclass
class Looker:
    """The work of one process: batch after batch of pictures, each a part when it is done."""

    root: Path
    folder: Path
    batches: Sequence[Sequence[str]]
    first: int
    taggers: tuple[str, ...] = ()
    name: str = "screen"
    _finder: FaceFinder = field(default_factory=FaceFinder)
    _taggers: dict[str, Tagger] = field(default_factory=dict)

    @property
    def stage(self) -> Looker:
        """What is loaded once in each process: itself."""
        return self

    def load(self) -> None:
        """Load the face models and the taggers."""
        self._finder.load()
        self._taggers = {name: tagger(name) for name in self.taggers}
        for one in self._taggers.values():
            one.load()

    def part(self, index: int) -> Path:
        """The file of a batch."""
        return self.folder / f"{self.first + index:06d}.parquet"

    def __call__(self, index: int, tick: Callable[[int], object]) -> None:
        """Look at a batch and write its part."""
        paths, looks = self.batches[index], list[Look]()
        for start in range(0, len(paths), CROPS):
            looks += self._looks(paths[start : start + CROPS], tick)
        _write(self.part(index), looks)

    def _looks(self, paths: Sequence[str], tick: Callable[[int], object]) -> list[Look]:
        looks, crops = [], []
        for path in paths:
            found, crop = look_at(self.root, path, self._finder)
            looks.append(found)
            if crop is not None:
                crops.append(crop)
            tick(1)
        faces = [found for found in looks if found.measures]
        for name, one in self._taggers.items() if crops else ():
            for found, tag in zip(faces, one(crops), strict=True):
                found.tags[name] = tag
        return looks


def look_at(root: Path, path: str, finder: FaceFinder) -> tuple[Look, Any]:
    """A look at one picture, and its aligned crop, uint8 (512, 512, 3), where it has a face."""
    found = Look(path, *_stamp(root, path))
    try:
        whole = inside(root, path)
        image, found.sha256 = _opened(whole)
    except EquimeError as error:
        found.problem = f"picture: {error}"
        return found, None
    try:
        found.measures, crop = measure(image, finder)
    except EquimeError as error:
        found.problem = f"face: {error}"
        return found, None
    return found, crop


def _opened(path: Path) -> tuple[Any, str]:
    """The picture and its hash; what is wrong with it without its path, which stands beside the reason."""
    try:
        return read_image(path), hashlib.sha256(path.read_bytes()).hexdigest()
    except EquimeError as error:
        why = str(error).replace(f": {one_line(path)}", "").replace(f" {one_line(path)}:", " it:")
        raise EquimeError(why) from None
    except OSError as error:
        raise EquimeError(f"cannot read it: {error.strerror}") from error


def _work(work: Looker, workers: int, count: Callable[[int], None]) -> None:
    """Do all batches."""
    todo = range(len(work.batches))
    if workers > 1 and len(todo) > 1:
        deque(in_processes(work, todo, workers, count), maxlen=0)
    elif todo:
        work.load()
        for index in todo:
            work(index, count)


def _same(root: Path, old: Look | None, path: str) -> Look | None:
    """The kept look, where the file is still the one that was looked at; a file that did not open is tried again."""
    if old is None or old.version != VERSION or not old.sha256:
        return None
    size, mtime_ns = _stamp(root, path)
    if size != old.size or (mtime_ns != old.mtime_ns and _hash(root / path) != old.sha256):
        return None
    old.mtime_ns = mtime_ns
    return old


def _hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _seen_by(old: Look, taggers: Iterable[str]) -> set[str]:
    return set(old.tags) if old.measures else set(taggers)


def _stamp(root: Path, path: str) -> tuple[int, int]:
    try:
        found = os.stat(root / path)
    except (OSError, ValueError):
        return -1, -1
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else (-1, -1)


def _kept(folder: Path) -> Iterator[Look]:
    for path in [folder / "looks.parquet", *sorted(folder.glob("[0-9]*.parquet"))]:
        if path.is_file():
            yield from _read(path)


def _write(path: Path, looks: Iterable[Look]) -> None:
    table = pa.Table.from_pylist([_row(found) for found in looks], schema=_COLUMNS)
    with writing(path), replacing(path) as handle:
        pq.write_table(table, handle)


def _read(path: Path) -> Iterator[Look]:
    """The looks of a file; none where it does not read: they are taken again."""
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError):
        return
    if table.schema.equals(_COLUMNS):
        for batch in table.to_batches(max_chunksize=4096):
            yield from map(_look, batch.to_pylist())


def _row(found: Look) -> dict[str, Any]:
    row = {f.name: getattr(found, f.name) for f in fields(Look)}
    row["tags"] = json.dumps({name: asdict(tag) for name, tag in found.tags.items()})
    return row | (asdict(found.measures) if found.measures else {})


def _look(row: dict[str, Any]) -> Look:
    own = {f.name: row[f.name] for f in fields(Look) if f.name in row}
    own["tags"] = {name: Tag(**tag) for name, tag in json.loads(row["tags"]).items()}
    measured = row["thumbnail"] is not None
    return Look(**own, measures=Measures(**{f.name: row[f.name] for f in fields(Measures)}) if measured else None)
