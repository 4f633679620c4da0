"""The clips of an export as files: each written once, under a name that cannot leave the folder.

    cut = Cut(View("apex", frames=16))
    shown = cut.shown(row)                       # paths and frames, from the row's metadata alone
    write(folder, [(row, shown)], clips, cut)    # what is missing, and only that

Why cut at all: trainers sample a file at two frames a second unless told otherwise, which leaves one frame of an
expression of 318 ms. A file that holds the frames to be shown and no others can be taken whole. A cut tells in its
`comment` that it is synthetic, as the clip did, and where it was cut; a clip that is not cut keeps its very bytes.

A name holds digits of a hash of the clip's id, its content and the view: a clip that changed gets another file, ids
that differ in capitals only do too, and a file that is there is done. Times are of the *plan*.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tqdm import tqdm

from equime import video
from equime.clip import Clip
from equime.errors import EquimeError
from equime.table import write_atomically, writing
from equime.tuning.clips import Clips
from equime.tuning.view import Seen, View
from equime.video import Frames

Row = Mapping[str, Any]
VIDEO_BYTES, JPEG_BYTES, PNG_BYTES = 0.03, 0.5, 2.0
"""A pixel's share of a file at most, as measured on clips of faces of 224 to 512 pixels."""
QUALITY: Final = 95
"""Of JPEG, with full colour resolution: coarser settings blur movements of half a pixel."""
KEYS: Final = ("onset", "apex", "offset", "motion")
LONGEST_NAME: Final = 80


@dataclass(frozen=True)
class Shown:
    """What an export shows of one clip.

    Attributes:
        name: Of its files; unique.
        videos: Paths in the export, with "/": none or one.
        images: Likewise, in the order in which they are shown.
        indices: Which frames of the clip these are, 0-based, ascending.
        clip_fps: Frames a second of the clip.
        num_frames: Frames of the clip.
        whole: Whether that is all of the clip.
    """

    name: str
    videos: tuple[str, ...]
    images: tuple[str, ...]
    indices: Sequence[int]
    clip_fps: float
    num_frames: int
    whole: bool = False

    @property
    def fps(self) -> float:
        """Frames a second of the file, which are also those shown of a second of the clip: its times stay true."""
        return float(_rate(self.indices, self.clip_fps))

    @property
    def facts(self) -> dict[str, Any]:
        """How it was sampled, for the file: numbers of frames, rates, and where the first frame lies in the clip."""
        return {
            "fps": round(self.fps, 6),  # `load_dataset("json")` keeps ten decimals
            "frames": len(self.indices),
            "sample_fps": round(self.fps, 6),
            "start_ms": round(1000 * self.indices[0] / self.clip_fps, 3),
            "clip_fps": self.clip_fps,
            "clip_frames": self.num_frames,
        }


@dataclass(frozen=True)
class Cut:
    """How clips become files.

    Attributes:
        view: Which frames; None: the clip's own bytes.
        loose: Frames as pictures, one folder a clip, as ME-VQA has them.
        reference: The first frame as a PNG picture, too.
    """

    view: View | None
    loose: bool = False
    reference: bool = False

    def __post_init__(self) -> None:
        if self.view and self.view.size % 2 and not self.is_pictured:
            raise EquimeError(f"expected an even size for H.264 video, got size = {self.view.size}")

    @property
    def is_pictured(self) -> bool:
        """Whether frames become pictures, not a video."""
        return self.loose or (self.view is not None and self.view.name == "keyframes")

    def shown(self, row: Row) -> Shown:
        """The files of a row's clip, from its metadata: columns `view.COLUMNS`.

        Raises:
            EquimeError: As `View.indices`; a clip whose length nobody wrote down.
        """
        clip = Clip(row)
        if not row.get("num_frames"):
            raise EquimeError(f"clip {clip.clip_id!r} has no number of frames: it was not made")
        indices = self.view.indices(row) if self.view else list(range(clip.num_frames))
        name = _name(clip.clip_id, f"{row.get('sha256')} {self.view} {self.loose}", told=not self.loose)
        shard = hashlib.sha256(clip.clip_id.encode()).hexdigest()[:2]
        videos: tuple[str, ...] = ()
        images: tuple[str, ...] = ()
        if not self.is_pictured:
            videos = (f"clips/{shard}/{name}.mp4",)
            images = (f"references/{shard}/{name}.png",) if self.reference else ()
        elif self.view is not None and self.view.name == "keyframes":
            root = f"frames/equime/{name}" if self.loose else f"pictures/{shard}/{name}"
            images = tuple(f"{root}/{number}_{key}.jpg" for number, key in enumerate(KEYS, 1))
        else:
            images = tuple(f"frames/equime/{name}/frame_{index:04d}.jpg" for index in indices)
        return Shown(name, videos, images, indices, clip.fps, clip.num_frames, self.view is None)

    def size(self, shown: Shown, row: Row) -> int:
        """How many bytes the files of a clip take at most, guessed from its `width`, `height` and `size_bytes`."""
        height, width = (row.get(side) or 0 for side in ("height", "width"))
        pixels = self.view.size**2 if self.view and self.view.size else height * width
        if not shown.videos:
            return int(JPEG_BYTES * pixels * len(shown.images))
        references = int(PNG_BYTES * pixels) * len(shown.images)
        cut = int(VIDEO_BYTES * pixels * len(shown.indices)) if self.view else row.get("size_bytes") or 0
        return cut + references

    def files(self, shown: Shown, row: Row) -> dict[str, bytes]:
        """Path in the export -> content, of a row with its `video`.

        Raises:
            EquimeError: A clip that is missing, damaged, or does not decode to what its row says.
        """
        clip = Clip(row)
        if self.view is None and not self.loose:
            files = {path: bytes(row["video"]["bytes"]) for path in shown.videos}
            return files | {path: _png(clip.frames_at([0])[0], clip.clip_id) for path in shown.images}
        seen = self._seen(row, shown)
        if shown.videos:
            comment = _comment(clip, shown)
            rate = _rate(shown.indices, clip.fps)
            return {shown.videos[0]: video.encode(seen.frames, fps=rate, comment=comment)}
        pictures = [*seen.frames, *([] if seen.motion is None else [seen.motion])]
        return {path: _jpeg(picture, clip.clip_id) for path, picture in zip(shown.images, pictures, strict=True)}

    def _seen(self, row: Row, shown: Shown) -> Seen:
        if self.view is not None:
            return self.view.of(row)
        clip = Clip(row)
        return Seen(clip.frames(), shown.indices, clip.fps, clip.num_frames)


def missing(folder: Path, shown: Shown) -> bool:
    """Whether a file of a clip is not there yet: one that is there is whole."""
    return not all((folder / path).is_file() for path in (*shown.videos, *shown.images))


def write(
    folder: Path,
    jobs: Sequence[tuple[str, Shown]],
    clips: Clips,
    cut: Cut,
    *,
    workers: int = 1,
    progress: bool = True,
) -> dict[str, str]:
    """Write the files of clips, each file whole or not at all; a run that is stopped goes on where it was.

    Args:
        folder: Of the export.
        jobs: clip_id and what is shown of it.
        clips: Where the clips are read.
        cut: How they are cut.
        workers: Threads: encoding leaves Python free.
        progress: Show clips done, the rate and the time left on a terminal.

    Returns:
        Of the clips that cannot be shown, by clip_id, why.

    Raises:
        EquimeError: The folder cannot be written.
    """
    failed: dict[str, str] = {}
    with suppress(EquimeError):  # opened once, before there are threads
        clips.row(jobs[0][0] if jobs else "")
    pool = ThreadPoolExecutor(workers)
    try:
        with tqdm(total=len(jobs), desc="clips", unit="clip", disable=None if progress else True) as bar:
            for clip_id, why in _done(pool, folder, iter(jobs), clips, cut, workers):
                if why:
                    failed[clip_id] = why
                bar.update()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return failed


def _done(
    pool: ThreadPoolExecutor, folder: Path, jobs: Iterator[tuple[str, Shown]], clips: Clips, cut: Cut, workers: int
) -> Iterable[tuple[str, str | None]]:
    """Results as they come, with few clips in memory."""
    pending: set[Future[tuple[str, str | None]]] = set()
    while True:
        more = islice(jobs, 2 * workers - len(pending))
        pending |= {pool.submit(_write, folder, clip_id, shown, clips, cut) for clip_id, shown in more}
        if not pending:
            return
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        yield from (future.result() for future in done)


def _write(folder: Path, clip_id: str, shown: Shown, clips: Clips, cut: Cut) -> tuple[str, str | None]:
    try:
        files = cut.files(shown, clips.row(clip_id))
    except EquimeError as error:
        return clip_id, str(error)
    for path, data in files.items():
        with writing(folder / path):
            write_atomically(folder / path, data)
    return clip_id, None


def _name(clip_id: str, key: str, told: bool) -> str:
    """A file's name; without the id where the name is part of a test's questions, as ids tell the emotion."""
    readable = re.sub(r"[^A-Za-z0-9-]+", "_", clip_id).strip("_-")[:LONGEST_NAME] if told else ""
    digits = hashlib.sha256(f"{clip_id}\0{key}".encode()).hexdigest()[:12]
    return f"{readable}-{digits}" if readable else digits


def _rate(indices: Sequence[int], fps: float) -> Fraction:
    """Frames shown of a second of the clip."""
    first, last, n = indices[0], indices[-1], len(indices)
    rate = Fraction(fps).limit_denominator(1001)
    return (rate * (n - 1) / (last - first)).limit_denominator(1001) if last > first else rate


def _comment(clip: Clip, shown: Shown) -> str:
    """What the clip's file says of itself, and where it was cut; padded, as that is, to tell nothing by its length."""
    said = video.probe(clip.source).comment or ""
    try:
        known = json.loads(said)
    except ValueError:
        known = said.strip() or None
    about = known if isinstance(known, dict) else {"synthetic": True, "comment": known}
    cut = {"clip_id": clip.clip_id, "first": shown.indices[0], "last": shown.indices[-1], "frames": len(shown.indices)}
    text = json.dumps(about | {"cut": cut})
    return text.ljust(len(said) + 256)


def _jpeg(picture: Frames, clip_id: str) -> bytes:
    file = io.BytesIO()
    said = json.dumps({"synthetic": True, "clip_id": clip_id}).encode()
    Image.fromarray(np.ascontiguousarray(picture)).save(file, "JPEG", quality=QUALITY, subsampling=0, comment=said)
    return file.getvalue()


def _png(picture: Frames, clip_id: str) -> bytes:
    file, said = io.BytesIO(), PngInfo()
    said.add_text("Comment", json.dumps({"synthetic": True, "clip_id": clip_id}))
    Image.fromarray(np.ascontiguousarray(picture)).save(file, "PNG", pnginfo=said)
    return file.getvalue()
