"""Rows with videos become rows with frames: one way for streams, for cached data sets and for their workers.

decoding = Decoding(Sampling(16, size=224, around="apex"), on_error="raise", verify=False, columns=("frames",))
decoding.row(row)["frames"]        # uint8 (16, 224, 224, 3), or an error that names the clip
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from equime import schema
from equime.clip import NEEDED, Clip, Sampling, SamplingWarning, misses_expression, sparse
from equime.errors import EquimeError, MissingPackageError
from equime.wording import counted

FRAMES = "frames"
ON_ERROR = ("raise", "skip", "null")
SHOWN_IDS = 10
Row = dict[str, Any]


@dataclass
class Decoding:
    """Turns rows with `video` into rows with `frames` (or checks their hash), one way for all ways of loading.

    Attributes:
        sampling: Which frames; None leaves `video` as it is.
        on_error: "raise", "skip" or "null".
        verify: Check the hash too.
        columns: What is returned.
        notice: Said too of a clip without a video.
    """

    sampling: Sampling | None
    on_error: str
    verify: bool
    columns: tuple[str, ...]
    notice: str = ""
    _warned: bool = field(default=False, compare=False, repr=False)

    @property
    def read(self) -> list[str]:
        """The columns that have to be read."""
        names = {*self.columns, *NEEDED, "video"} - {FRAMES}
        return [name for name in schema.CLIPS.names if name in names]

    def row(self, row: Mapping[str, Any]) -> Row:
        """One row, decoded.

        Raises:
            EquimeError: Its clip is missing, damaged, or not what the row says. The message names it.
        """
        clip = Clip(row)
        try:
            if self.verify:
                clip.verify()
            if self.sampling is None:
                return {name: row[name] for name in self.columns}
            self._warn(clip)
            frames = clip.sample(self.sampling)
        except MissingPackageError:
            raise
        except EquimeError as error:
            named = "" if clip.clip_id in str(error) else f"clip {clip.clip_id!r}: "
            more = f"; {self.notice}" if self.notice and not (row.get("video") or row.get("generate_error")) else ""
            raise EquimeError(f"{named}{error}{more}") from error
        return {name: frames if name == FRAMES else row[name] for name in self.columns}

    def failed(self, row: Mapping[str, Any]) -> Row:
        """A row whose clip could not be decoded, with None in place of it."""
        return {name: None if name in (FRAMES, "video") else row[name] for name in self.columns}

    def _warn(self, clip: Clip) -> None:
        sampling = self.sampling
        if self._warned or sampling is None or sampling.n is None or sampling.around != "clip":
            return
        if misses_expression(clip.num_frames, sampling.n, clip.fps):
            self._warned = True
            warnings.warn(sparse(sampling.n), SamplingWarning, stacklevel=2)

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """A batch of columns, as `Dataset.set_transform` gives it."""
        if "video" not in batch:
            return {name: list(values) for name, values in batch.items()}  # one column, asked for by its name
        rows = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
        decoded = []
        for row in rows:
            try:
                decoded.append(self.row(row))
            except MissingPackageError:
                raise
            except EquimeError as error:
                if self.on_error == "raise":
                    raise
                warnings.warn(f"frames are None: {error}", UserWarning, stacklevel=2)
                decoded.append(self.failed(row))
        return {name: [row[name] for row in decoded] for name in self.columns}


def lost(ids: Sequence[str], on_error: str) -> str:
    """What is said at a stream's end of the clips that could not be decoded."""
    shown = ", ".join(ids[:SHOWN_IDS]) + (", ..." if len(ids) > SHOWN_IDS else "")
    what = "skipped" if on_error == "skip" else "returned without frames"
    return f"{counted(len(ids), 'clip')} could not be decoded and {'was' if len(ids) == 1 else 'were'} {what}: {shown}"
