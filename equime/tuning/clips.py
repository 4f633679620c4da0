"""The clips of a data set by their ids, as rows that a view can be taken of: read where they lie, never unpacked.

    clips = Clips("ws")                          # a workspace, a release, a tree, OWNER/NAME[@VERSION]
    view.of(clips.row("happiness/f_0042_01"))

Why: 75,000 clips are 20 GB, and training wants them one at a time, in any order, in several processes. Metadata is
read once; the bytes of a clip are read when it is asked for, by the process that asks.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from equime.errors import EquimeError
from equime.media import Media, open_media
from equime.publishing.comparing.snapshot import open_version
from equime.tuning.view import COLUMNS, View


class Clips:
    """Clips by id; goes into other processes, each of which opens the videos for itself.

    Args:
        where: A workspace, a release's or tree's folder, or OWNER/NAME[@VERSION] on the Hub.

    Raises:
        EquimeError: Nothing there that this package reads, or no access.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self._table: pa.Table = open_version(where).read(COLUMNS)
        self._places = {clip_id: place for place, clip_id in enumerate(self._table["clip_id"].to_pylist())}
        self._media: Media | None = None
        self._opened_by = 0

    def __contains__(self, clip_id: object) -> bool:
        return clip_id in self._places

    def __len__(self) -> int:
        return len(self._places)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_media": None, "_opened_by": 0}

    @property
    def digest(self) -> str:
        """The hash of all ids, plans and files, wherever they lie: another one where a clip was made anew."""
        return hashlib.sha256(json.dumps(self._table.to_pydict()).encode()).hexdigest()

    def facts(self, clip_id: str) -> dict[str, Any]:
        """The columns `view.COLUMNS` of a clip.

        Raises:
            EquimeError: No clip of that id.
        """
        place = self._places.get(clip_id)
        if place is None:
            raise EquimeError(f"no clip {clip_id!r} in {self.where}")
        row: dict[str, Any] = self._table.slice(place, 1).to_pylist()[0]
        return row

    def require(self, clip_ids: Iterable[str], view: View) -> None:
        """Refuse clips that a view cannot show, before hours are spent; no video is read.

        Raises:
            EquimeError: One is shorter than the view, or has no planned times where these are needed.
        """
        for clip_id in dict.fromkeys(clip_ids):
            facts = self.facts(clip_id)
            number = facts["num_frames"]
            if view.name != "keyframes" and number < view.frames:
                raise EquimeError(
                    f"clip {clip_id!r} has {number} frames, --frames {view.frames} are to be shown: give fewer"
                )
            view.indices(facts)

    def row(self, clip_id: str) -> dict[str, Any]:
        """The columns `view.COLUMNS` of a clip and, as `video`, its bytes.

        Raises:
            EquimeError: No clip of that id, one without a video, or a file that does not read.
        """
        return self.facts(clip_id) | {"video": {"bytes": self._opened().read(clip_id), "path": None}}

    def _opened(self) -> Media:
        if self._media is None or self._opened_by != os.getpid():  # a forked process must not share open files
            self._media, self._opened_by = open_media(self.where), os.getpid()
        return self._media
