"""`equime review export WS --out DIR`: clips, a sheet for each coder and instructions, and nothing of the plan.

    DIR/README.txt          how to code, and the terms
    DIR/clips/item_001.mp4  ...
    DIR/sheet_A.csv         ... every coder in an order of their own
    WS/review/<review>.parquet     the key: which item is which clip; it stays in the workspace

Every file is written whole or not at all, and what is there stays: the same command goes on where it was stopped, and
never touches a sheet that somebody has begun to fill in.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from equime import catalog, video
from equime.action_units import FACS
from equime.audit.review import sampling, sheet
from equime.audit.review.blind import blinded
from equime.audit.tables.rows import open_rows
from equime.errors import EquimeError
from equime.sources import ShardRows, Workspace
from equime.table import Table, is_workspace, replacing, sweep, write_atomically, writing
from equime.wording import counted

FOLDER: Final = "review"
"""Folder of a workspace with the keys."""
CODERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MOMENT: Final = 946684800
"""1 January 2000: when each file was changed, as far as a coder is told."""
_README: Final = "README.txt"


class Exported(NamedTuple):
    """What was written.

    Attributes:
        review: Its name.
        out: The folder for the coders.
        key: The file that says which item is which clip.
        clips: Different clips, neutral ones among them.
        neutral: Neutral clips.
        repeats: Clips that come a second time.
        coders: Their letters.
        notes: What whoever asked has to know, a line each.
    """

    review: str
    out: Path
    key: Path
    clips: int
    neutral: int
    repeats: int
    coders: tuple[str, ...]
    notes: tuple[str, ...]


def export(
    workspace: Path, out: Path, *, n: int = 200, coders: int = 2, seed: int = 0, by: str | None = None
) -> Exported:
    """Draw clips and write what coders need, blind to the plan.

    Clips that do not read are left out, and told. Nothing is written before each was read once.

    Args:
        workspace: With generated clips.
        out: A new or empty folder, or one that the same command began.
        n: How many clips.
        coders: How many sheets, 1 to 26.
        seed: Of the draw and of all orders.
        by: See `sampling.sample`.

    Raises:
        EquimeError: Nothing to draw from, a folder that holds other things, no clip that can be shown, or no room.
    """
    if not 1 <= coders <= len(CODERS):
        raise EquimeError(f"expected 1 to {len(CODERS)} coders, got {coders = }")
    table = Table(workspace)
    drawn = sampling.sample(open_rows(str(workspace), sampling.COLUMNS), n, seed, by)
    unread = _unread(table, drawn)
    key = sampling.without(drawn, unread)
    if not len(key):
        raise EquimeError(f"none of the clips drawn can be shown, the first: {next(iter(unread.values()))}")
    review = sampling.review_id(key)
    where = key_path(workspace, review)
    if out.resolve() in where.resolve().parents:
        raise EquimeError(f"expected a folder for the coders that does not hold the key {where}, got {out}")
    if inside := next(filter(is_workspace, out.resolve().parents), None):
        raise EquimeError(f"{out} lies in the workspace {inside}: name a folder outside it, for the coders alone")
    readme = _instructions(review).encode()
    _require_ours(out, readme, key)
    with writing(where), replacing(where) as handle:
        pq.write_table(key, handle)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        sweep(out)
        write_atomically(out / _README, readme)
    _write_clips(table, key, out / "clips")
    _write_sheets(key, review, out, coders, seed)
    told = _told(review, out, where, key, n - len(unread), coders)
    left = f"{counted(len(unread), 'clip')} left out that cannot be shown, the first: "
    notes = [left + why for why in list(unread.values())[:1]]
    return told._replace(notes=(*notes, *told.notes))


def key_path(workspace: Path, review: str) -> Path:
    """Where the key of a review lies."""
    return workspace / FOLDER / f"{review}.parquet"


def _require_ours(out: Path, readme: bytes, key: pa.Table) -> None:
    """A folder that this very export began, or nothing."""
    there = sorted(path for path in out.iterdir() if not _is_left(path)) if out.is_dir() else []
    clips = out / "clips"
    inside = sorted(path for path in clips.iterdir() if not _is_left(path)) if clips.is_dir() else []
    known = {_README, "clips", *(f"sheet_{coder}.csv" for coder in CODERS)}
    items = {f"{item}.mp4" for item in key["item"].to_pylist()}
    others = [p for p in there if p.name not in known] + [p for p in inside if p.name not in items]
    if there and not ((out / _README).is_file() and (out / _README).read_bytes() == readme):
        others = others or there
    if others or (out.exists() and not out.is_dir()):
        held = others[0].name if others else "a file"
        raise EquimeError(f"{out} holds other things than this review ({held}): name a new folder")


def _is_left(path: Path) -> bool:
    """What a killed writer left behind."""
    return path.name.startswith(".") and path.name.endswith(".tmp")


def _unread(table: Table, key: pa.Table) -> dict[str, str]:
    """Drawn clip -> why it cannot be shown; empty where all can."""
    from tqdm import tqdm

    wanted = dict(zip(key["clip_id"].to_pylist(), key["sha256"].to_pylist(), strict=True))
    found = {}
    videos = _videos(table, wanted)
    for clip_id, data in tqdm(videos, desc="reading", total=len(wanted), unit="clip", disable=None):
        try:
            frames = video.probe(_shown(clip_id, data)).num_frames
            video.decode(data, (frames - 1,))
            if video.sha256(data) != wanted[clip_id]:
                raise EquimeError(f"{clip_id} cannot be shown: its file is not what its row tells")
        except EquimeError as error:
            found[clip_id] = str(error)
    return found


def _write_clips(table: Table, key: pa.Table, folder: Path) -> None:
    from tqdm import tqdm

    items: dict[str, list[str]] = {}
    for item, clip_id in zip(key["item"].to_pylist(), key["clip_id"].to_pylist(), strict=True):
        if not (folder / f"{item}.mp4").is_file():
            items.setdefault(clip_id, []).append(item)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        total = sum(map(len, items.values()))
        with tqdm(desc="review", total=total, unit="clip", disable=None) as bar:
            for clip_id, data in _videos(table, items):
                shown = _shown(clip_id, data)
                for item in items[clip_id]:
                    _write_clip(folder / f"{item}.mp4", shown)
                    bar.update()
        os.utime(folder, (_MOMENT, _MOMENT))


def _write_clip(path: Path, data: bytes) -> None:
    """A clip that appears with its time already set: whatever is there under this name is done."""
    with replacing(path) as handle:
        handle.write(data)
        handle.flush()
        os.utime(handle.fileno(), (_MOMENT, _MOMENT))


def _videos(table: Table, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Clips of a workspace with their bytes, a row group at a time."""
    workspace, found = Workspace(table.path), catalog.load(table)
    ids = found.rows["clip_id"].to_pylist()
    for shard in found.shards:
        own = ids[shard.start : shard.start + shard.count]
        rows = tuple(place for place, clip_id in enumerate(own) if clip_id in wanted)
        for part in workspace.read(ShardRows(shard.index, rows), ["clip_id", "video"]) if rows else ():
            for clip_id, value in zip(part["clip_id"].to_pylist(), part["video"].to_pylist(), strict=True):
                yield clip_id, (value or {}).get("bytes") or b""


def _shown(clip_id: str, data: bytes) -> bytes:
    """The clip without a word in it.

    Raises:
        EquimeError: It does not read, or its name is in it all the same.
    """
    try:
        shown = blinded(data)
    except EquimeError as error:
        raise EquimeError(f"{clip_id} cannot be shown: {error}") from error
    if clip_id.rpartition("/")[2].encode() in shown:
        raise EquimeError(f"{clip_id} cannot be shown: its frames' data hold its name")
    return shown


def _write_sheets(key: pa.Table, review: str, out: Path, coders: int, seed: int) -> None:
    items = key["item"].to_pylist()
    for number, coder in enumerate(CODERS[:coders]):
        path, order = out / f"sheet_{coder}.csv", np.random.default_rng([seed, number]).permutation(len(items))
        if not path.exists():
            with writing(path):
                write_atomically(path, sheet.blank(review, coder, [items[place] for place in order]))


def _told(review: str, out: Path, where: Path, key: pa.Table, n: int, coders: int) -> Exported:
    weights, repeats = key["weight"].to_pylist(), len(key) - key["repeat_of"].null_count
    clips = len(key) - repeats
    neutral = sum(w is None and r is None for w, r in zip(weights, key["repeat_of"].to_pylist(), strict=True))
    notes = [f"there are {counted(clips, 'clip')} to draw, not {n}"] * (clips < n)
    if not neutral:
        notes.append("no neutral clip to draw: plan some (`equime plan --controls neutral`) to know false alarms")
    return Exported(review, out, where, clips, neutral, repeats, tuple(CODERS[:coders]), tuple(notes))


def _instructions(review: str) -> str:
    units = [f"  {au:>2}  {facs.name}{f': {facs.cue}' if facs.cue else ''}" for au, facs in FACS.items()]
    return "\n".join(
        [
            *_HOW.format(review=review, emotions=", ".join(sheet.EMOTIONS)).splitlines(),
            *units,
            "",
            *_TERMS.splitlines(),
            "",
        ]
    )


_HOW: Final = """\
Review {review}: coding micro-expressions

Every file in clips/ shows one face. Something may move in it, very briefly, or nothing. Play it as often and as slowly
as you like, and fill in its row of your own sheet (sheet_A.csv for coder A, and so on), in the order of the sheet. Do
not look at, and do not talk about, another coder's answers. Some clips come twice: code what you see each time.

Leave the columns review, coder and item as they are. An empty cell means "not coded"; you need not finish.

units      action units as in FACS, joined by "+": L12B+6A. L, R: the subject's own left or right, so on the right or
           left of the picture; U: one side, you cannot say which; no letter in front: both sides. A to E behind: the
           intensity, A a trace, E the maximum; it may be left out. Write 0 where no unit is seen.
side       of the expression as a whole: L, R, B (both) or U. May be empty where the units say it.
intensity  of the strongest unit: A to E. May be empty where the units say it.
emotion    one of {emotions}
realism    1 (plainly made) to 5 (could be a film of a real person)
comment    whatever you like

In Excel: format the column "units" as text first (4E+7 would become a number; or write AU4E+7), and save as "CSV
UTF-8". Commas, semicolons and tabs between the cells are all read.

Units
"""
_TERMS: Final = """\
Terms

These faces are synthetic: videos made by software from still pictures. They show no felt emotion of anybody. Licence:
CC BY-NC 4.0. They are given to you for this review alone: do not pass them on, do not publish them, do not try to find
out who is pictured, and delete them when the review is over.
"""
