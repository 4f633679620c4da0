"""One clip: a row of the data set with typed access, the frames you want of it, and a picture of it.

    clip = Clip(row)
    clip.frames(16, size=224, around="apex")     # uint8 (16, 224, 224, 3)
    clip.frames_at([clip.onset, clip.apex])
    clip.contact_sheet().save("clip.png")

A micro-expression of the median length, 318 ms, fills 7.6 of a clip's 144 frames: 16 frames spread over the clip
miss its upper half in most clips. `around="apex"` does not. The planned apex is an oracle that no camera gives:
what is reported with it should say so; `apex="measured"` is what the optical flow of the clip shows.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from equime import action_units, schema, video
from equime.action_units import ActionUnit
from equime.errors import EquimeError
from equime.video import Frames

if TYPE_CHECKING:
    from PIL import Image

Around: TypeAlias = Literal["clip", "apex"]
Apex: TypeAlias = Literal["planned", "measured"]

MEDIAN_MS = 318.0
"""The median duration of an expression, onset to offset."""
NEEDED = (
    "clip_id",
    "num_frames",
    "fps",
    "apex",
    "apex_ms",
    "measured_apex_ms",
    "emotion",
    "sha256",
    "generate_error",
)
"""The columns beside `video` that decoding a row may look at."""


class SamplingWarning(UserWarning):
    """Frames are taken so far apart that an expression can fall between them."""


def uniform(num_frames: int, n: int) -> list[int]:
    """The middle frames of `n` equal parts of a clip: `n` 0-based indices, ascending, none twice.

    Raises:
        EquimeError: `n` is not between 1 and `num_frames`.
    """
    _require_count(num_frames, n)
    centres = np.linspace(0, num_frames, n, endpoint=False) + num_frames / (2 * n)
    return [int(i) for i in centres]


def consecutive(num_frames: int, n: int, centre: int) -> list[int]:
    """`n` frames in a row with `centre` in their middle, moved as far as needed to stay inside the clip.

    Of an even number, one frame more comes after `centre` than before it.

    Raises:
        EquimeError: `n` is not between 1 and `num_frames`.
    """
    _require_count(num_frames, n)
    first = min(max(centre - (n - 1) // 2, 0), num_frames - n)
    return list(range(first, first + n))


def misses_expression(num_frames: int, n: int, fps: float) -> bool:
    """Whether `uniform` steps further than half the median expression, so that its apex can fall between frames."""
    return num_frames / n / fps > MEDIAN_MS / 2000


def _require_count(num_frames: int, n: int) -> None:
    if not 1 <= n <= num_frames:
        raise EquimeError(f"expected between 1 and {num_frames} frames of this clip, got n = {n}")


@dataclass(frozen=True)
class Sampling:
    """Which frames of a clip to decode, and to what size.

    Attributes:
        n: How many; None is all of them.
        size: (height, width), or one number for both; None leaves them as they are.
        around: "clip" spreads the frames over the clip, "apex" takes them in a row around the apex.
        apex: Whose apex: "planned" is the oracle, "measured" what the optical flow shows.
        backend: The decoder: "pyav", "torchcodec" or "decord".
    """

    n: int | None = None
    size: int | tuple[int, int] | None = None
    around: Around = "clip"
    apex: Apex = "planned"
    backend: video.Backend = "pyav"

    def __post_init__(self) -> None:
        for name, known in (("around", ("clip", "apex")), ("apex", ("planned", "measured"))):
            if getattr(self, name) not in known:
                raise EquimeError(f"expected {name} to be one of {list(known)}, got {getattr(self, name)!r}")
        if self.backend not in ("pyav", "torchcodec", "decord"):
            raise EquimeError(f"expected backend to be one of ['pyav', 'torchcodec', 'decord'], got {self.backend!r}")
        if self.n is not None and self.n < 1:
            raise EquimeError(f"expected at least one frame, got {self.n}")


class Clip:
    """A row of a workspace or of a loaded data set.

    Args:
        row: Columns by name, those of `schema.CLIPS` or fewer. `video` is {"bytes", "path"} with either one.
            `emotion` may be a label or the class number that `datasets` makes of it.
    """

    def __init__(self, row: Mapping[str, Any]) -> None:
        self.row = row

    def __repr__(self) -> str:
        """`Clip('happiness/f_12_0')`."""
        return f"Clip({self.clip_id!r})"

    @property
    def clip_id(self) -> str:
        """`<emotion>/<gender>_<subject_id>_<sequence>`."""
        return str(self.row.get("clip_id"))

    @property
    def subject_id(self) -> str | None:
        """Whose face it is: an id, or a pseudonym."""
        return self.row.get("subject_id")

    @property
    def emotion(self) -> str | None:
        """The intended emotion, not a felt one; None for a control."""
        value = self.row.get("emotion")
        return (*schema.EMOTIONS, schema.DISGUST)[value] if isinstance(value, int) else value

    @property
    def units(self) -> tuple[ActionUnit, ...]:
        """The planned action units."""
        return tuple(ActionUnit.from_dict(unit) for unit in self.row.get("action_units") or ())

    @property
    def caption(self) -> str | None:
        """The sentence that describes it."""
        return self.row.get("caption")

    @property
    def fps(self) -> float:
        """Frames per second; the data set's 24 where the row does not say."""
        return float(self.row.get("fps") or schema.FPS)

    @property
    def onset(self) -> int | None:
        """The 0-based frame nearest to the planned onset (10 % of the peak); None for controls."""
        return self._frame("onset", "onset_ms")

    @property
    def apex(self) -> int | None:
        """The 0-based frame nearest to the planned apex; None for controls."""
        return self._frame("apex", "apex_ms")

    @property
    def offset(self) -> int | None:
        """The 0-based frame nearest to the planned offset (10 % of the peak); None for controls."""
        return self._frame("offset", "offset_ms")

    @property
    def measured_apex(self) -> int | None:
        """The 0-based frame nearest to the apex that `equime score` measured; None where it did not."""
        return self._frame(None, "measured_apex_ms")

    @property
    def duration_ms(self) -> float | None:
        """Planned offset - onset; None for controls."""
        onset, offset = self.row.get("onset_ms"), self.row.get("offset_ms")
        return None if onset is None or offset is None else float(offset - onset)

    def _frame(self, name: str | None, ms: str) -> int | None:
        if name and self.row.get(name) is not None:
            return int(self.row[name])
        value = self.row.get(ms)
        return None if value is None else round(value * self.fps / 1000)

    @cached_property
    def source(self) -> bytes | Path:
        """The video file: its bytes, or where it lies.

        Raises:
            EquimeError: The row has neither (the clip was not generated, or its column was not loaded).
        """
        value = self.row.get("video") or {}
        if isinstance(value, Mapping) and value.get("bytes") is not None:
            return bytes(value["bytes"])
        if isinstance(value, Mapping) and value.get("path"):
            return Path(value["path"])
        why = self.row.get("generate_error") or "no bytes and no path in column 'video'"
        raise EquimeError(f"clip {self.clip_id!r} has no video: {why}")

    @cached_property
    def num_frames(self) -> int:
        """How many frames the clip has: as the row says, else counted in the file."""
        count = self.row.get("num_frames")
        return int(count) if count else video.probe(self.source).num_frames

    def indices(self, sampling: Sampling) -> list[int] | None:
        """The 0-based frames that a sampling takes of this clip; None is all of them.

        A control without an apex is sampled around its middle.

        Raises:
            EquimeError: More frames than the clip has, or an apex is asked for that nobody planned or measured.
        """
        if sampling.n is None:
            return None
        if sampling.around == "clip":
            return uniform(self.num_frames, sampling.n)
        centre = self.apex if sampling.apex == "planned" else self.measured_apex
        if centre is None and self.emotion is None:
            centre = self.num_frames // 2
        if centre is None:
            other = "equime score" if sampling.apex == "measured" else "around='clip' or apex='measured'"
            raise EquimeError(f"clip {self.clip_id!r} has no {sampling.apex} apex: use {other}")
        return consecutive(self.num_frames, sampling.n, centre)

    def frames(
        self,
        n: int | None = None,
        size: int | tuple[int, int] | None = None,
        around: Around = "clip",
        apex: Apex = "planned",
        backend: video.Backend = "pyav",
    ) -> Frames:
        """Decode `n` frames: RGB, uint8, shape (T, H, W, 3).

        Args:
            n: How many; None is all of them.
            size: (height, width) to resize to, or one number for both.
            around: "clip" takes the middle frames of n equal parts; "apex" n frames in a row around the apex.
            apex: "planned" (an oracle) or "measured" (by optical flow).
            backend: The decoder.

        Raises:
            EquimeError: A video that cannot be decoded or is not as long as the row says; an unknown option.
        """
        sampling = Sampling(n, size, around, apex, backend)
        if n and around == "clip" and misses_expression(self.num_frames, n, self.fps):
            warnings.warn(sparse(n), SamplingWarning, stacklevel=2)
        return self.sample(sampling)

    def sample(self, sampling: Sampling) -> Frames:
        """`frames` by a `Sampling`, without its warning."""
        return self._decode(self.indices(sampling), sampling.size, sampling.backend)

    def frames_at(
        self,
        indices: Sequence[int],
        size: int | tuple[int, int] | None = None,
        backend: video.Backend = "pyav",
    ) -> Frames:
        """Decode the frames of these 0-based indices, in their order: RGB, uint8, shape (T, H, W, 3).

        Raises:
            EquimeError: An index outside the clip, or a video that cannot be decoded.
        """
        return self._decode([int(i) for i in indices], size, backend)

    def _decode(self, indices: list[int] | None, size: int | tuple[int, int] | None, backend: video.Backend) -> Frames:
        expected = self.row.get("num_frames")
        try:
            return video.decode(self.source, indices, size=size, backend=backend, expect_frames=expected or None)
        except video.VideoError as error:
            raise video.VideoError(f"clip {self.clip_id!r}: {error}") from error

    def verify(self) -> None:
        """Check the file against the row's SHA-256.

        Raises:
            EquimeError: They differ, or there is nothing to compare.
        """
        expected, source = self.row.get("sha256"), self.source
        if not expected:
            raise EquimeError(f"clip {self.clip_id!r} has no sha256 to check its video against")
        try:
            data = source if isinstance(source, bytes) else source.read_bytes()
        except OSError as error:
            raise EquimeError(f"clip {self.clip_id!r}: cannot read its file: {error.strerror}") from error
        found = video.sha256(data)
        if found != expected:
            raise video.VideoError(
                f"clip {self.clip_id!r} is damaged: expected sha256 {expected[:12]}..., the file has {found[:12]}..."
            )

    def contact_sheet(self, width: int = 1280, gain: float = 8.0) -> Image.Image:
        """A picture of the clip: onset, apex, offset, the amplified difference, its words and its timing.

        Args:
            width: Of the picture, in pixels.
            gain: How often the difference apex - onset is taken, around mid grey.

        Raises:
            EquimeError: A video that cannot be decoded.
        """
        from equime.contact_sheet import Sheet, difference

        names, moments = self._moments()
        frames = list(self.frames_at(moments))
        titles = [f"{n}   frame {m},  {m / self.fps:.2f} s" for n, m in zip(names, moments, strict=True)]
        facts = [f"AU {action_units.format(self.units)}"] if self.units else []
        if self.duration_ms is not None:  # of the rounded times, as the caption says it
            facts.append(f"{round(self.row['offset_ms']) - round(self.row['onset_ms'])} ms")
        sheet = Sheet(
            heading=self.emotion or self.row.get("control") or "no expression",
            facts="   \u00b7   ".join(facts),
            clip_id=self.clip_id,
            note="synthetic clip, intended emotion" if self.emotion else "synthetic clip, control",
            titles=(*titles, f"{names[1]} minus {names[0]}, {gain:g} times"),
            pictures=(*frames, difference(frames[0], frames[1], gain)),
            seconds=self.num_frames / self.fps,
            moments=tuple(m / self.fps for m in moments) if names[0] == "onset" else (),
            caption=self.caption or "(no caption yet)",
        )
        return sheet.draw(width)

    def _moments(self) -> tuple[tuple[str, str, str], list[int]]:
        """What the three frames of a contact sheet are called, and which they are."""
        last = self.num_frames - 1
        known = [min(max(m, 0), last) for m in (self.onset, self.apex, self.offset) if m is not None]
        if len(known) == 3:
            return ("onset", "apex", "offset"), known
        return ("first", "middle", "last"), [0, last // 2, last]


def sparse(n: int) -> str:
    """What a `SamplingWarning` says."""
    return (
        f"{n} frames spread over a clip can miss the expression (median {MEDIAN_MS:.0f} ms): "
        "use around='apex' or more frames"
    )
