"""A released tree, read where it lies: which clips it holds, and their rows.

    <tree>/<emotion>/<gender>_<subject_id>_<sequence>.mp4
    <tree>/<emotion>/metadata/<same name>_metadata.json          (may be absent, some or all)

`index` looks at names only, a second for 75,000 clips; `rows` opens the metadata of the clips it is asked for.
Names without a sequence, a root called `emotion_category` or the like inside or as the folder given, and a folder
`disgust` (a label of its own) are read too. Nothing outside the tree is ever opened: a link or a name in a JSON
that leads out is refused and reported.

    load_dataset("equime", "video", data_dir="TREE")
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from equime import schema, sidecar, splits, tree_metadata, video
from equime.errors import EquimeError
from equime.wording import counted

ROOTS = ("emotion_categories", "emotion_category", "hq_emotion")
"""Names under which releases keep their emotion folders."""
FOLDERS = (*schema.EMOTIONS, schema.DISGUST, *schema.CONTROLS)
METADATA = "metadata"
SUFFIX = "_metadata.json"
IMPORTED = "imported"
"""The generator of clips that say nothing of their making."""
_CLIP = re.compile(r"(?P<gender>[fmu])_(?P<subject>[A-Za-z0-9-]{1,64})(?:_(?P<sequence>[A-Za-z0-9-]{1,64}))?")
_NAME = "should be named <f, m or u>_<subject>_<sequence>.mp4, of at most 64 of A-Z a-z 0-9 - each: rename it"
_FOLDER = "is a folder named like a clip: left out"
_INT32 = 2**31
_SEED = 0  # a tree loaded in place and imported must split alike


class Entry(NamedTuple):
    """One clip by its place in the tree.

    Attributes:
        clip_id: `<emotion>/<file name without .mp4>`, verbatim.
        emotion: Its folder's label; None for controls.
        gender: The name's gender code, f, m or u.
        subject: The name's subject id.
        sequence: The name's number; None where there is none, or no number.
        path: The mp4.
        sidecar: Its metadata JSON; None where there is none.
    """

    clip_id: str
    emotion: str | None
    gender: str
    subject: str
    sequence: int | None
    path: str
    sidecar: str | None


@dataclass(frozen=True)
class Tree:
    """The clips of a released tree, by emotion (in the labels' order) and file name.

    Attributes:
        root: The folder given.
        entries: The clips.
        problems: Path -> why it was left out. Nothing there was touched.
        notes: What is worth a line and is no failure.
    """

    root: Path
    entries: tuple[Entry, ...]
    problems: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def emotions(self) -> tuple[str, ...]:
        """The labels that have clips, disgust last."""
        present = {entry.emotion for entry in self.entries}
        return tuple(label for label in FOLDERS if label in present)


def is_tree(folder: Path) -> bool:
    """Whether a folder looks like a released tree: an emotion folder in it, or a root that has one."""
    return any((base / name).is_dir() for base in (folder, *(folder / r for r in ROOTS)) for name in FOLDERS)


def index(root: str | os.PathLike[str]) -> Tree:
    """Find the clips of a tree. Opens no file.

    Raises:
        EquimeError: No such folder, no emotion folder in it, or no clip in those.
    """
    top = Path(root)
    if not top.is_dir():
        raise EquimeError(f"no such folder: {top} (expected a tree of <emotion>/<gender>_<subject>_<sequence>.mp4)")
    scan = _Scan(top)
    scan.root(top)
    if not scan.folders:
        found = f"found {scan.others}" if scan.others else "the folder is empty"
        raise EquimeError(f"no emotion folder in {top}: expected some of {list(FOLDERS)}, {found}")
    if not scan.entries:
        why = f" ({next(iter(scan.problems.items()))})" if scan.problems else ""
        raise EquimeError(f"no clip in {top}: expected <emotion>/<gender f, m or u>_<subject>_<sequence>.mp4{why}")
    order = {name: position for position, name in enumerate(FOLDERS)}
    entries = sorted(scan.entries.values(), key=lambda e: (order[e.clip_id.partition("/")[0]], e.clip_id))
    return Tree(top, tuple(entries), dict(sorted(scan.problems.items())), tuple(scan.notes(len(entries))))


class _Scan:
    """What a walk over the folders has found so far."""

    def __init__(self, top: Path) -> None:
        self.real = os.path.realpath(top)
        self.top = top
        self.folders: list[str] = []
        self.others: list[str] = []
        self.entries: dict[str, Entry] = {}
        self.problems: dict[str, str] = {}
        self.ignored = 0

    def root(self, folder: Path) -> None:
        for item in sorted(self._listed(folder), key=lambda item: item.name in ROOTS):  # what is nearer counts first
            if not item.is_dir():
                if item.name.lower().endswith(".mp4"):
                    self._problem(item.path, f"lies in no emotion folder (expected one of {list(FOLDERS)})")
            elif item.name in FOLDERS:
                self.folders.append(item.name)
                self._emotion(item)
            elif item.name in ROOTS and folder == self.top:
                self.root(Path(item.path))
            else:
                self._other(item)

    def _other(self, item: os.DirEntry[str]) -> None:
        if item.name.lower().endswith(".mp4"):
            self._problem(item.path, _FOLDER)
            return
        self.others.append(item.name)
        clips = sum(i.name.lower().endswith(".mp4") for i in self._listed(item.path))
        if clips:
            near = difflib.get_close_matches(item.name.lower(), FOLDERS, 1)
            meant = f" (did you mean {near[0]!r}?)" if near else ""
            why = f"is no emotion folder{meant}: expected one of {list(FOLDERS)}; its {clips} clips are left out"
            self._problem(item.path, why)

    def _emotion(self, folder: os.DirEntry[str]) -> None:
        beside = self._sidecars(folder)
        for item in self._listed(folder.path):
            stem, dot, suffix = item.name.rpartition(".")
            if suffix.lower() == "mp4" and dot and item.is_file():
                self._clip(item, folder.name, stem, beside.pop(stem, None))
            elif suffix.lower() == "mp4" and item.is_dir():
                self._problem(item.path, _FOLDER)
            elif item.name != METADATA and not item.name.startswith("."):
                self.ignored += 1
        for path in beside.values():
            self._problem(path, "is metadata of no clip in its folder")

    def _clip(self, item: os.DirEntry[str], folder: str, stem: str, beside: str | None) -> None:
        matched = _CLIP.fullmatch(stem)
        clip_id = f"{folder}/{stem}"
        if matched is None:
            self._problem(item.path, _NAME)
        elif clip_id in self.entries:
            self._problem(item.path, f"is a second clip {clip_id!r}, beside {self._short(self.entries[clip_id].path)}")
        else:
            label = None if folder in schema.CONTROLS else folder
            gender, subject, sequence = matched.groups()
            self.entries[clip_id] = Entry(clip_id, label, gender, subject, _sequence(sequence), item.path, beside)

    def _sidecars(self, folder: os.DirEntry[str]) -> dict[str, str]:
        """Clip name -> metadata file."""
        place = os.path.join(folder.path, METADATA)
        if not os.path.isdir(place):
            return {}
        if self._leaves(place):
            self._problem(place, "is a link that leaves the tree: refused")
            return {}
        cut = -len(SUFFIX)
        return {item.name[:cut]: item.path for item in self._listed(place) if item.name.endswith(SUFFIX)}

    def _listed(self, folder: str | Path) -> list[os.DirEntry[str]]:
        """A folder's items by name, without links that lead out of the tree, or nowhere."""
        try:
            with os.scandir(folder) as items:
                found = sorted(items, key=lambda item: item.name.swapcase())  # .mp4 before .MP4
        except OSError as error:
            self._problem(str(folder), f"cannot be read: {error.strerror}")
            return []
        return [item for item in found if not item.is_symlink() or self._stays(item)]

    def _stays(self, item: os.DirEntry[str]) -> bool:
        if self._leaves(item.path):
            self._problem(item.path, "is a link that leaves the tree: refused")
        elif not os.path.exists(item.path):
            self._problem(item.path, "is a link to nothing")
        else:
            return True
        return False

    def _leaves(self, path: str) -> bool:
        real = os.path.realpath(path)
        return real != self.real and not real.startswith(self.real.rstrip(os.sep) + os.sep)

    def _problem(self, path: str, why: str) -> None:
        self.problems[self._short(path)] = why

    def _short(self, path: str) -> str:
        return os.path.relpath(path, self.top)

    def notes(self, clips: int) -> Iterator[str]:
        bare = sum(entry.sidecar is None for entry in self.entries.values())
        if 0 < bare < clips:
            yield f"{bare} of {counted(clips, 'clip')} without a metadata JSON"
        if self.ignored:
            yield f"{counted(self.ignored, 'file')} of other kinds left where they are"


def _sequence(text: str | None) -> int | None:
    number = int(text) if text and text.isdecimal() else None
    return number if number is not None and number < _INT32 else None


def read_sidecar(entry: Entry) -> bytes | None:
    """The bytes of a clip's metadata file; None where it has none.

    Raises:
        EquimeError: It cannot be read.
    """
    if entry.sidecar is None:
        return None
    try:
        with open(entry.sidecar, "rb", buffering=0) as handle:
            return handle.read()
    except OSError as error:
        raise EquimeError(f"metadata cannot be read: {error.strerror}") from error


def split_of(entries: Sequence[Entry], existing: Mapping[str, tuple[str, str]] | None = None) -> dict[str, str]:
    """By clip_id, the split: as the metadata says; where it does not, so that no subject is in two.

    Args:
        entries: All clips of the tree: which split a subject gets depends on who else is there.
        existing: subject -> (split, gender code) of subjects that have one already.
    """
    named = {entry.clip_id: value for entry in entries if (value := _named_split(entry))}
    known = dict(existing or {})
    for entry in entries:
        if entry.clip_id in named:
            known.setdefault(entry.subject, (named[entry.clip_id], entry.gender))
    # One stratum a subject, even where the names of its clips differ in their code.
    strata = {entry.subject: entry.gender for entry in reversed(entries)}
    assigned = splits.assign(sorted(strata.items()), known, seed=_SEED)
    return {entry.clip_id: named.get(entry.clip_id) or assigned[entry.subject] for entry in entries}


def _named_split(entry: Entry) -> str | None:
    try:
        data = read_sidecar(entry)
        if data is None or b'"split"' not in data:  # most of the time is then the reading alone
            return None
        value: str | None = sidecar.read_one(tree_metadata.parse(data, entry.clip_id), "split")
        return value
    except EquimeError:
        return None  # reported with the clip's row


def rows(
    entries: Iterable[Entry], split: Mapping[str, str] | None = None, *, probe: bool = False
) -> list[dict[str, Any]]:
    """Rows of `schema.METADATA`, one for each entry, in order.

    A metadata file that cannot be used leaves its columns null and the reason in `caption_error` and `tag_error`.

    Args:
        entries: Clips of the tree.
        split: What `split_of` returned; without it, what the metadata says.
        probe: Read the videos too: frames, size, rate and hash are then theirs and not the metadata's word.
    """
    return [_row(entry, split or {}, probe) for entry in entries]


def _row(entry: Entry, split: Mapping[str, str], probe: bool) -> dict[str, Any]:
    try:
        data = read_sidecar(entry)
        values = {} if data is None else sidecar.read(tree_metadata.parse(data, entry.clip_id))
        reason = None
    except EquimeError as error:
        values, reason = {}, str(error)
    row = described(entry, values, reason)
    row["split"] = split.get(entry.clip_id, row["split"])
    if probe:
        return row | {k: v for k, v in measured(entry, values).items() if k != "video"}
    if row["size_bytes"] is None:
        with contextlib.suppress(OSError):
            row["size_bytes"] = os.stat(entry.path).st_size
    return row


_BLANK = dict.fromkeys(schema.METADATA.names)


def described(entry: Entry, values: Mapping[str, Any], reason: str | None) -> dict[str, Any]:
    """A clip's row as its place and its metadata describe it; `reason` says why there are no `values`."""
    row: dict[str, Any] = _BLANK | dict(values)
    row |= {"clip_id": entry.clip_id, "subject_id": entry.subject}
    row |= {"emotion": entry.emotion, "sequence": entry.sequence}
    row["generator"] = row["generator"] or IMPORTED
    if entry.emotion is None:
        row["control"] = entry.clip_id.partition("/")[0]
    if reason is not None:
        row |= {"caption_error": reason, "tag_error": reason}
    return row


def measured(entry: Entry, values: Mapping[str, Any]) -> dict[str, Any]:
    """The `generate` columns of a clip, read off its file; a file that is not as it should be keeps its reason.

    The bytes are kept whatever they are, so that nothing is lost on the way back.
    """
    made: dict[str, Any] = {name: values.get(name) for name in schema.GROUPS["generate"].names}
    made |= dict.fromkeys(sidecar.FACTS) | {"clip_id": entry.clip_id, "generator": made["generator"] or IMPORTED}
    try:
        data = Path(entry.path).read_bytes()
    except OSError as error:
        return made | {"generate_error": f"the file cannot be read: {error.strerror}"}
    made |= {"video": {"bytes": data, "path": Path(entry.path).name}}
    made |= {"sha256": video.sha256(data), "size_bytes": len(data)}
    try:
        info = video.probe(data)
        made |= {name: getattr(info, name) for name in sidecar.FACTS if name != "sha256"}
        video.require(info)
        _agree(made, values)
    except EquimeError as error:
        made["generate_error"] = str(error)
    return made


def _agree(made: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    for name in ("num_frames", "sha256"):
        said = values.get(name)
        if said is not None and said != made[name]:
            raise EquimeError(f"the metadata says {name} = {said!r}, the file has {made[name]!r}")
