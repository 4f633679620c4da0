"""Tiny real video files, whole and broken, for the tests: `from make_clips import clip_bytes`.

Every frame shows its own number as eight black and white blocks over a moving texture, so that a test can
read which frame it got (`index_of`) whatever the codec did to it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np

_MUXER = {"mp4": {"movflags": "+use_metadata_tags", "fflags": "+bitexact"}}


def picture(index: int, size: int | tuple[int, int] = 32, seed: int = 0) -> np.ndarray:
    """Frame `index` of a clip: uint8 RGB, (H, W, 3). The blocks fill the upper half."""
    height, width = (size, size) if isinstance(size, int) else size
    y, x = np.mgrid[:height, :width] / max(height, width)
    phase = 0.15 * index + seed
    waves = [np.sin(7 * x + phase), np.cos(5 * y - 0.7 * phase), np.sin(4 * (x + y) + 1.3 * phase)]
    frame = (128 + 60 * np.stack(waves, axis=-1)).astype(np.uint8)
    rows, columns = max(height // 4, 1), max(width // 4, 1)
    for bit in range(8):
        top, left = rows * (bit // 4), columns * (bit % 4)
        frame[top : top + rows, left : left + columns] = 235 if index >> bit & 1 else 20
    return frame


def index_of(frame: np.ndarray) -> int:
    """The number that a decoded frame of `picture` shows (0-255)."""
    rows, columns = max(frame.shape[0] // 4, 1), max(frame.shape[1] // 4, 1)
    blocks = frame[: 2 * rows, : 4 * columns].reshape(2, rows, 4, columns, 3).mean(axis=(1, 3, 4))
    return sum(1 << bit for bit, level in enumerate(blocks.ravel()) if level > 128)


def pictures(num_frames: int, size: int | tuple[int, int] = 32, seed: int = 0) -> Iterator[np.ndarray]:
    """The frames of a clip, one at a time."""
    return (picture(index, size, seed) for index in range(num_frames))


def clip_bytes(
    num_frames: int = 8,
    size: int | tuple[int, int] = 32,
    fps: int = 24,
    seed: int = 0,
    gop: int = 12,
    *,
    codec: str = "libx264",
    container: str = "mp4",
    pix_fmt: str = "yuv420p",
    bt709: bool = False,
    faststart: bool = False,
    comment: str | None = None,
    ticks: list[int] | None = None,
    **options: str,
) -> bytes:
    """A whole clip. `options` are the encoder's (`bf="3"`, `crf="18"`, `x264_params="open-gop=1"`).

    `ticks` are the frames' time stamps in units of 1 / (1000 fps), for a variable frame rate.
    """
    height, width = (size, size) if isinstance(size, int) else size
    buffer = io.BytesIO()
    muxer = _MUXER.get(container, {})
    with av.open(buffer, "w", format=container, container_options=muxer) as output:
        if comment:
            output.metadata["comment"] = comment
        stream = output.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        context = stream.codec_context
        context.time_base = tick = Fraction(1, fps * 1000 if ticks else fps)
        # Few and simple choices of the encoder: these files test readers, not quality.
        defaults = {"crf": "23", "preset": "veryfast", "threads": "1", "b_strategy": "0"} if codec == "libx264" else {}
        given = {name.replace("_params", "-params"): value for name, value in options.items()}
        context.options = {**defaults, "g": str(gop), **given}
        if bt709:
            context.colorspace = context.color_primaries = context.color_trc = context.color_range = 1
        for number, rgb in enumerate(pictures(num_frames, size, seed)):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = ticks[number] if ticks else number, tick
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return _faststart(buffer.getvalue()) if faststart else buffer.getvalue()


def _remux(data: bytes, shift: int = 0, **options: str) -> bytes:
    """Copy the packets of an MP4 into a new one, `shift` frames earlier."""
    buffer = io.BytesIO()
    with (
        av.open(io.BytesIO(data)) as source,
        av.open(buffer, "w", "mp4", container_options=options) as output,
    ):
        stream = source.streams.video[0]
        copy = output.add_stream_from_template(stream)
        step = round(1 / (stream.average_rate * stream.time_base))
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.pts, packet.dts, packet.stream = (
                    packet.pts - shift * step,
                    packet.dts - shift * step,
                    copy,
                )
                output.mux(packet)
    return buffer.getvalue()


def _faststart(data: bytes) -> bytes:
    return _remux(data, moov_size=str(1 << 14))


def edit_listed(data: bytes, hidden: int = 3) -> bytes:
    """The same packets with an edit list that hides the first `hidden` frames."""
    return _remux(data, hidden)


def truncated(data: bytes, share: float = 0.6) -> bytes:
    """The first part of a file. With its index in front (`faststart=True`) such a file opens all the same."""
    return data[: int(len(data) * share)]


def flipped(data: bytes, at: float = 0.5) -> bytes:
    """One byte of a file inverted, at a share of its length."""
    place = int(len(data) * at)
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


def random_bytes(count: int = 4096, seed: int = 0) -> bytes:
    """Noise: no container at all."""
    return np.random.default_rng(seed).bytes(count)


def wrong_codec_bytes(num_frames: int = 8, codec: str = "mpeg4") -> bytes:
    """A whole MP4 of another codec: "mpeg4", or "libvpx-vp9"."""
    return clip_bytes(num_frames, codec=codec)


def variable_rate_bytes(num_frames: int = 8) -> bytes:
    """A whole clip whose frames do not last equally long."""
    return clip_bytes(num_frames, ticks=[n * 1000 + 400 * (n % 3) for n in range(num_frames)])


def audio_only_bytes(seconds: float = 0.5) -> bytes:
    """An MP4 with a tone and no picture."""
    buffer, rate = io.BytesIO(), 16000
    tone = np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate, dtype=np.float32)
    with av.open(buffer, "w", format="mp4") as output:
        stream = output.add_stream("aac", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()
