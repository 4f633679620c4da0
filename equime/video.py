"""Video files: probe, decode, encode. The only module that names a decoder.

Clips are short, so opening, colour conversion and copying cost as much as decoding, and training wants a few
frames of each clip. The default backend, PyAV, therefore decodes only what the wanted frames need: from the
nearest exact starting point, without frames that nothing refers to, on one thread (processes scale better),
converting wanted frames only, straight into the result.

Nothing is ever short silently: a file that ends early, a frame that does not come, an index out of range
raises one line. One flipped byte can decode to wrong pixels without any error, in every decoder: only
`sha256` finds it. See it work: `python bench/decode.py`.
"""

from __future__ import annotations

import hashlib
import io
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeAlias

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from equime.errors import EquimeError
from equime.optional import need

Source: TypeAlias = bytes | str | Path
Frames: TypeAlias = npt.NDArray[np.uint8]
Shape: TypeAlias = tuple[int, int]  # height, width
Backend: TypeAlias = Literal["pyav", "torchcodec", "decord"]

# Containers a clip may come in. Without a list, bytes that spell a playlist make FFmpeg open what it names.
_FORMATS = "mov,matroska,avi,mpeg,mpegts,asf,flv,ogg"
# An MP4's header tells all that decoding needs: FFmpeg need not decode frames to open it (0.4 ms, not 3).
_QUICK = {"format_whitelist": _FORMATS, "probesize": "32", "skip_frame": "all"}


class VideoError(EquimeError):
    """A video that cannot be read, is not what was asked for, or ends early. The message is one line."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video file is, by its packets and not by its header's word.

    Attributes:
        codec: FFmpeg's name of the codec ("h264", "vp9").
        pix_fmt: FFmpeg's name of the pixel format ("yuv420p").
        width: Pixels.
        height: Pixels.
        fps: Frames per second: the mean rate where the rate varies.
        num_frames: Frames that a full decode shows.
        duration_s: Seconds from the first frame's start to the last one's end.
        size_bytes: Size of the file.
        bitrate_kbps: Whole file, in kilobits (1000 bits) per second.
        constant_rate: Whether all frames last equally long, to a tick of the container's clock.
        comment: The container's `comment` tag (provenance, in clips of this project).
    """

    codec: str
    pix_fmt: str
    width: int
    height: int
    fps: float
    num_frames: int
    duration_s: float
    size_bytes: int
    bitrate_kbps: float
    constant_rate: bool
    comment: str | None


def sha256(data: bytes) -> str:
    """The SHA-256 digest of a file's bytes, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def facts(data: bytes) -> dict[str, Any]:
    """The columns of the contract that a clip's bytes decide: size, rate, duration, digest.

    Raises:
        VideoError: As `probe`.
    """
    info = probe(data)
    names = ("num_frames", "fps", "width", "height", "duration_s", "size_bytes", "bitrate_kbps")
    return {"sha256": sha256(data)} | {name: getattr(info, name) for name in names}


def ffmpeg_version() -> str:
    """The version of libavcodec, FFmpeg's decoders, that PyAV brings."""
    return "libavcodec " + ".".join(map(str, av.library_versions["libavcodec"]))


def probe(source: Source) -> VideoInfo:
    """Read what a video file is, counting its packets (no frame is decoded for it).

    Args:
        source: The file's bytes, or its path.

    Raises:
        VideoError: Not a video, no video stream in it, or truncated.
    """
    with _opened(source) as video:
        _, shown = _scan(video)
        ticks, last = _ticks(shown)
        step = (ticks[-1] - ticks[0]) / (len(ticks) - 1) if len(ticks) > 1 else last
        seconds = float((ticks[-1] - ticks[0] + last) * video.stream.time_base)
        context = video.stream.codec_context
        return VideoInfo(
            codec=context.codec.canonical_name,
            pix_fmt=context.pix_fmt or "unknown",
            width=context.width,
            height=context.height,
            fps=_rate(step, video.stream),
            num_frames=len(shown),
            duration_s=seconds,
            size_bytes=video.size,
            bitrate_kbps=video.size * 8 / 1000 / seconds if seconds else 0.0,
            constant_rate=all(abs(t - ticks[0] - i * step) <= 1 for i, t in enumerate(ticks)),
            comment=video.container.metadata.get("comment"),
        )


def require(
    info: VideoInfo,
    *,
    codec: str | None = "h264",
    pix_fmt: str | None = "yuv420p",
    fps: float | None = None,
    num_frames: int | None = None,
    size: tuple[int, int] | None = None,
    constant_rate: bool = True,
) -> None:
    """Raise on the first property of `info` that is not as demanded; None leaves a property free.

    Args:
        info: What `probe` returned.
        codec: FFmpeg's name of the codec.
        pix_fmt: FFmpeg's name of the pixel format.
        fps: Frames per second, to 0.1 %.
        num_frames: Number of frames.
        size: (height, width) in pixels.
        constant_rate: Whether a variable frame rate is refused.

    Raises:
        VideoError: The first property that differs, with what was expected and what came.
    """
    checks = [
        ("codec", codec, info.codec, info.codec == codec),
        ("constant_rate", constant_rate or None, info.constant_rate, info.constant_rate),
        ("fps", fps, round(info.fps, 3), fps is not None and abs(info.fps / fps - 1) < 1e-3),
        ("num_frames", num_frames, info.num_frames, info.num_frames == num_frames),
        ("size", size, (info.height, info.width), (info.height, info.width) == size),
        ("pix_fmt", pix_fmt, info.pix_fmt, info.pix_fmt == pix_fmt),
    ]
    for name, expected, got, good in checks:
        if expected is not None and not good:
            raise VideoError(f"expected a video with {name} = {expected!r}, got {got!r}")


def decode(
    source: Source,
    indices: Sequence[int] | None = None,
    *,
    size: int | tuple[int, int] | None = None,
    backend: Backend = "pyav",
    expect_frames: int | None = None,
) -> Frames:
    """Decode frames, exactly as FFmpeg shows them.

    The three backends return identical frames where `size` is None (decord: of even sizes). The resizer is
    swscale's for all (area average when shrinking, else bicubic): in one step with the colour conversion for
    pyav, after it for the others, which changes sharp edges by some grey levels.

    Args:
        source: The file's bytes, or its path.
        indices: 0-based frames in order of display; any order, repeats allowed. None is all of them.
        size: (height, width) to resize to, or one number for both.
        backend: "pyav"; "torchcodec" and "decord" need their packages.
        expect_frames: Raise unless the whole file has this many frames.

    Returns:
        RGB frames, uint8, shape (T, H, W, 3), in the order of `indices`.

    Raises:
        VideoError: Unreadable, truncated, another number of frames than expected, or a frame that would not
            decode.
        EquimeError: An index or a size that makes no sense, an unknown or missing backend.
    """
    if backend not in _BACKENDS:
        raise EquimeError(f"expected backend to be one of {', '.join(_BACKENDS)}, got {backend = }")
    shape = (size, size) if isinstance(size, int) else size
    if shape is not None and (len(shape) != 2 or min(shape) < 1):
        raise EquimeError(f"expected size to be a positive number or (height, width), got {size = }")
    with _opened(source, quick=True) as video:
        packets, shown = _scan(video)
        if expect_frames is not None and len(shown) != expect_frames:
            raise VideoError(f"expected {expect_frames} frames, {video.name} has {len(shown)}")
        wanted = _checked(indices, len(shown))
        if not wanted:
            height, width = shape or (video.stream.height, video.stream.width)
            return np.empty((0, height, width, 3), np.uint8)
        if backend != "pyav" and len(packets) > len(shown):
            raise VideoError(f'{backend} does not follow the edit list of {video.name}: use backend="pyav"')
        return _BACKENDS[backend](video, packets, wanted, shape)


def encode(
    frames: Iterable[Frames],
    *,
    fps: int | Fraction = 24,
    crf: float = 18,
    preset: str = "medium",
    gop: int = 48,
    comment: str | None = None,
    threads: int = 1,
) -> bytes:
    """Encode RGB frames as H.264 yuv420p in an MP4: small motion kept, few frames decoded fast, reproducible.

    Seven B-frames that nothing refers to stand between two P-frames, so a reader who wants some frames skips
    most of the others; no CABAC and no deblocking makes those left decode sooner. Colours are BT.709, limited
    range, and say so. The same frames and arguments give the same bytes, run after run.

    Args:
        frames: uint8 arrays of shape (H, W, 3), H and W even and the same for all, taken one at a time.
        fps: Frames per second.
        crf: x264's constant rate factor, 0-51: lower is better and larger.
        preset: x264's preset.
        gop: Largest number of frames from one key frame to the next.
        comment: Text for the container's `comment` tag, such as provenance as JSON.
        threads: Threads of the encoder.

    Returns:
        The file's bytes, with its index in front of its frames.

    Raises:
        EquimeError: No frames, or one that is not as described, or an option that x264 refuses.
    """
    options = {"preset": preset, "crf": str(crf), "g": str(gop), "threads": str(threads)}
    options |= {"tune": "fastdecode", "bf": "7", "b-pyramid": "none", "b_strategy": "0"}
    # With macroblock trees and B-frames x264 gives other bytes from run to run. Weaker adaptive quantisation
    # spends fewer bits on flat noise and more on edges, where motion shows.
    options["x264-params"] = "no-mbtree=1:aq-strength=0.5"
    buffer, stream, converter = io.BytesIO(), None, VideoReformatter()
    try:
        with _writer(buffer) as container:
            for number, frame in enumerate(frames):
                if stream is None:
                    _check_frame(frame, number, None)
                    container.metadata.update({"comment": comment} if comment else {})
                    stream = _stream(container, frame.shape, fps, options)
                _check_frame(frame, number, (stream.height, stream.width, 3))
                container.mux(stream.encode(_yuv(converter, frame)))
            if stream is None:
                raise EquimeError("expected frames to encode, got none")
            container.mux(stream.encode(None))
    except av.FFmpegError as error:
        raise EquimeError(f"the encoder refused {options = }: {_reason(error)}") from error
    return buffer.getvalue()


@dataclass(frozen=True)
class _Video:
    """An open file, its best video stream and what is needed to open it again."""

    container: Any
    stream: Any
    source: Source
    size: int

    @property
    def name(self) -> str:
        return "the video" if isinstance(self.source, bytes) else str(self.source)


@contextmanager
def _opened(source: Source, *, quick: bool = False) -> Iterator[_Video]:
    """Open a file and turn every error of FFmpeg's, in here and in the body, into a `VideoError`."""
    name = f"{len(source)} bytes" if isinstance(source, bytes) else str(source)
    if isinstance(source, bytes):
        file: io.BufferedIOBase = io.BytesIO(source)
    elif isinstance(source, str | Path):
        file = _file(Path(source))
    else:
        raise VideoError(f"expected a video's bytes or path, got {type(source) = }")
    with file:
        is_mp4 = file.read(8)[4:] == b"ftyp"
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        if not size:
            raise VideoError(f"expected a video, {name} is empty")
        try:
            options = _QUICK if quick and is_mp4 else {"format_whitelist": _FORMATS}
            with av.open(file, options=options) as container:
                stream = container.streams.best("video")
                if stream is None or "attached_pic" in str(stream.disposition):
                    kinds = sorted({s.type for s in container.streams})
                    raise VideoError(f"expected a video stream, {name} holds only {kinds = }")
                if stream.codec_context is None:
                    raise VideoError(f"expected a video of a known codec, {name} names one that FFmpeg lacks")
                stream.codec_context.thread_count = 1
                yield _Video(container, stream, source, size)
        except av.FFmpegError as error:
            raise VideoError(f"cannot read {name} as video: {_reason(error)}") from error
        except UnicodeDecodeError as error:  # PyAV reads metadata as UTF-8
            raise VideoError(f"cannot read {name} as video: its metadata is damaged") from error


def _file(path: Path) -> io.BufferedIOBase:
    try:
        return path.open("rb")
    except OSError as error:
        raise VideoError(f"cannot open {path}: {error.strerror}") from error


def _reason(error: av.FFmpegError) -> str:
    log = f" ({error.log[2].strip()})" if error.log else ""
    return f"{error.strerror}{log}"


def _scan(video: _Video) -> tuple[list[Any], list[Any]]:
    """All packets in order of decoding, and of those the ones shown (an edit list hides some)."""
    end = max((e.pos + e.size for e in video.stream.index_entries), default=0)
    if end > video.size:
        raise VideoError(f"{video.name} is truncated: expected at least {end} bytes, got {video.size}")
    packets = [p for p in video.container.demux(video.stream) if p.size]
    shown = [p for p in packets if not p.is_discard]
    if not shown or any(p.is_corrupt for p in packets):
        raise VideoError(f"{video.name} is truncated: {len(shown)} frames, and not all whole")
    return packets, shown


def _ticks(shown: list[Any]) -> tuple[list[int], int]:
    """Time stamps in order of display (frames in a row where the file has none), the last one's duration."""
    if any(p.pts is None for p in shown):
        step = max(p.duration or 0 for p in shown)
        return [n * step for n in range(len(shown))], step
    ordered = sorted(shown, key=lambda p: p.pts)
    gap = ordered[-1].pts - ordered[-2].pts if len(ordered) > 1 else 0
    return [p.pts for p in ordered], ordered[-1].duration or gap


def _rate(step: float, stream: Any) -> float:
    """Frames per second by the time stamps, or the header's own figure where the two agree to 0.1 %."""
    header = float(stream.average_rate or stream.guessed_rate or 0)
    measured = float(1 / (step * stream.time_base)) if step else header
    return header if header and abs(measured / header - 1) < 1e-3 else measured


def _checked(indices: Sequence[int] | None, count: int) -> list[int]:
    if indices is None:
        return list(range(count))
    try:
        wanted = [operator.index(i) for i in indices]
    except TypeError as error:
        raise EquimeError(f"expected whole numbers as frame indices, got {indices = }") from error
    bad = [i for i in wanted if not 0 <= i < count]
    if bad:
        raise EquimeError(f"expected frame indices from 0 to {count - 1}, got {bad[:5]}")
    return wanted


class _Result:
    """The array that wanted frames are converted into, each into its place or places."""

    def __init__(self, wanted: list[int], shape: tuple[int, int] | None) -> None:
        self.missing: dict[int, list[int]] = {}  # places in the array by index of frame
        for place, index in enumerate(wanted):
            self.missing.setdefault(index, []).append(place)
        self.count, self.shape = len(wanted), shape
        self.array: Frames | None = None
        self.converter, self.packer = VideoReformatter(), VideoReformatter()

    def put(self, frame: Any, index: int) -> None:
        """Convert a frame, if it is wanted still, straight from FFmpeg's buffer into the array."""
        places = self.missing.pop(index, None)
        if places is None:
            return
        height, width = self.shape or (frame.height, frame.width)
        shrinks = height <= frame.height and width <= frame.width and self.shape is not None
        how = Interpolation.AREA if shrinks else Interpolation.BICUBIC
        # One converter for all frames keeps its tables; one thread, or it starts one for each core.
        if self.shape is not None:  # the scaler has vector code for planes, which halves the cost, and none for rgb24
            planes = self.converter.reformat(frame, width, height, "gbrp", interpolation=how, threads=1)
            rgb = self.packer.reformat(planes, width, height, "rgb24", threads=1)
        else:
            rgb = self.converter.reformat(frame, width, height, "rgb24", interpolation=how, threads=1)
        if self.array is None:
            self.array = np.empty((self.count, height, width, 3), np.uint8)
        if self.array.shape[1:3] != (height, width):
            expected = self.array.shape[1:3]
            raise VideoError(f"expected frames of {expected}, frame {index} is {(height, width)}")
        plane = rgb.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(height, plane.line_size)
        for place in places:
            self.array[place] = rows[:, : width * 3].reshape(height, width, 3)


def _pyav(video: _Video, packets: list[Any], wanted: list[int], shape: Shape | None) -> Frames:
    result = _Result(wanted, shape)
    _decode_needed(video.stream.codec_context, packets, result)
    if result.missing:  # a stream without usable time stamps or starting points: only a full decode knows
        with _opened(video.source) as whole:
            for index, frame in enumerate(whole.container.decode(whole.stream)):
                result.put(frame, index)
    if result.missing or result.array is None:
        raise VideoError(f"{video.name} is damaged: frame {min(result.missing)} does not decode")
    return result.array


def _decode_needed(context: Any, packets: list[Any], result: _Result) -> None:
    """Decode the wanted frames and what they refer to; bit-exact, or short where time stamps are missing."""
    stamps = [p.pts for p in packets if not p.is_discard]
    if None in stamps or len(set(stamps)) < len(stamps):
        return
    index_of = {pts: index for index, pts in enumerate(sorted(stamps))}
    wanted = {pts for pts, index in index_of.items() if index in result.missing}
    skipping: bool | None = None
    starts = _starts(context, packets)
    for start, stop in zip(starts, [*starts[1:], len(packets)], strict=True):
        needed = [n for n in range(start, stop) if packets[n].pts in wanted]
        for packet in packets[start : needed[-1] + 1] if needed else ():
            if (skip := packet.pts not in wanted) is not skipping:
                context.skip_frame = "NONREF" if skip else "DEFAULT"
                skipping = skip
            for frame in context.decode(packet):
                result.put(frame, index_of.get(frame.pts, -1))
    for frame in context.decode(None):
        result.put(frame, index_of.get(frame.pts, -1))


def _starts(context: Any, packets: list[Any]) -> list[int]:
    """Packets from which decoding gives the same frames as from the beginning.

    A key frame of H.264 need not be one: with open GOPs or periodic intra refresh, frames after it refer to
    frames before it. Only an IDR picture cuts all ties. In other codecs it is a key frame that no later
    packet is shown before.
    """
    keys = [n for n, p in enumerate(packets) if p.is_keyframe and n]
    if context.codec.canonical_name == "h264":
        return [0, *(n for n in keys if _is_idr(context.extradata, memoryview(packets[n])))]
    shown_before = [packets[n].pts for n in range(len(packets))]
    return [0, *(n for n in keys if min(shown_before[n:]) == packets[n].pts)]


def _is_idr(extradata: bytes | None, data: memoryview) -> bool:
    """Whether a packet of length-prefixed NAL units holds an IDR slice (ISO/IEC 14496-10, 7.4.1)."""
    if not extradata or extradata[0] != 1 or len(extradata) < 5:
        return False
    prefix, at = (extradata[4] & 3) + 1, 0
    while at + prefix < len(data):
        if data[at + prefix] & 31 == 5:
            return True
        at += prefix + int.from_bytes(data[at : at + prefix], "big")
    return False


def _torchcodec(video: _Video, packets: list[Any], wanted: list[int], shape: Shape | None) -> Frames:
    try:
        decoders = need("torchcodec.decoders", extra="torchcodec")
        decoder = decoders.VideoDecoder(video.source, dimension_order="NHWC", num_ffmpeg_threads=1)
        frames = decoder.get_frames_at(wanted).data
    except (RuntimeError, OSError) as error:  # also what it raises where it finds no FFmpeg libraries
        reason = " ".join(str(error).split())[:160]
        raise VideoError(f"torchcodec cannot decode {video.name}, or finds no FFmpeg: {reason}") from error
    return _finished(frames.numpy(), wanted, shape)


def _decord(video: _Video, packets: list[Any], wanted: list[int], shape: Shape | None) -> Frames:
    decord = need("decord", extra="decord")
    file = io.BytesIO(video.source) if isinstance(video.source, bytes) else str(video.source)
    try:
        reader = decord.VideoReader(file, num_threads=1)
        frames = reader.get_batch(wanted).asnumpy()
    except (decord.DECORDError, IndexError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise VideoError(f"decord cannot decode {video.name}: {reason}") from error
    return _finished(frames, wanted, shape)


def _finished(frames: Frames, wanted: list[int], shape: Shape | None) -> Frames:
    if len(frames) != len(wanted):
        raise VideoError(f"expected {len(wanted)} frames, got {len(frames)}")
    if shape is None:
        return frames
    result = _Result(list(range(len(frames))), shape)
    for index, frame in enumerate(frames):
        result.put(av.VideoFrame.from_ndarray(frame, format="rgb24"), index)
    assert result.array is not None  # there is at least one frame
    return result.array


_BACKENDS: dict[str, Callable[[_Video, list[Any], list[int], Shape | None], Frames]]
_BACKENDS = {"pyav": _pyav, "torchcodec": _torchcodec, "decord": _decord}


class _Reader:
    """A second reader of a buffer that is still being written: what moving the index to the front needs."""

    def __init__(self, buffer: io.BytesIO) -> None:
        self.buffer, self.at = buffer, 0

    def read(self, count: int = -1) -> bytes:
        with self.buffer.getbuffer() as view:
            data = bytes(view[self.at : self.at + count if count >= 0 else None])
        self.at += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = (0, self.at, len(self.buffer.getbuffer()))[whence]
        self.at = base + offset
        return self.at

    def tell(self) -> int:
        return self.at

    def close(self) -> None:
        pass


def _writer(buffer: io.BytesIO) -> Any:
    return av.open(
        buffer,
        "w",
        format="mp4",
        container_options={"movflags": "+faststart+use_metadata_tags", "fflags": "+bitexact"},
        io_open=lambda url, flags, options: _Reader(buffer),
    )


def _stream(container: Any, shape: tuple[int, ...], fps: int | Fraction, options: dict[str, str]) -> Any:
    stream = container.add_stream("libx264", rate=fps, options=options)
    stream.height, stream.width, stream.pix_fmt = shape[0], shape[1], "yuv420p"
    context = stream.codec_context
    context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
    context.color_range = 1  # limited
    return stream


def _check_frame(frame: Any, number: int, shape: tuple[int, int, int] | None) -> None:
    dtype, got = getattr(frame, "dtype", type(frame).__name__), tuple(getattr(frame, "shape", ()))
    if not isinstance(frame, np.ndarray) or dtype != np.uint8 or len(got) != 3 or got[2] != 3:
        raise EquimeError(f"expected uint8 frames (height, width, 3), frame {number} is {dtype} {got}")
    if got[0] % 2 or got[1] % 2 or not frame.size:
        raise EquimeError(f"expected frames of even height and width, frame {number} is {got[:2]}")
    if shape is not None and got != shape:
        raise EquimeError(f"expected all frames of shape {shape}, frame {number} is {got}")


def _yuv(converter: VideoReformatter, frame: Frames) -> Any:
    # Exact rounding, so that processors with other vector units give the same bytes.
    how = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
    return converter.reformat(
        av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"),
        format="yuv420p",
        interpolation=how,
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        threads=1,
    )
