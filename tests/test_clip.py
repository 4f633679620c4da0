"""One clip: which frames are taken, what a row gives, and a picture of it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_clips import clip_bytes, index_of
from make_workspace import make_row, make_workspace

from equime import video
from equime.clip import Clip, SamplingWarning, consecutive, misses_expression, uniform
from equime.contact_sheet import difference
from equime.errors import EquimeError


@pytest.fixture(scope="module")
def long_clip() -> bytes:
    """144 frames that show their own number."""
    return clip_bytes(144, 64)


def row_of(data: bytes, **more: Any) -> dict[str, Any]:
    return {"clip_id": "fear/f_1_0", "emotion": "fear", "video": {"bytes": data, "path": None}} | more


@pytest.mark.parametrize(("num_frames", "n"), [(144, 16), (144, 1), (144, 144), (8, 3), (161, 16), (7, 7)])
def test_uniform_takes_the_middle_frame_of_every_part(num_frames: int, n: int) -> None:
    taken = uniform(num_frames, n)
    assert taken == [num_frames * (2 * k + 1) // (2 * n) for k in range(n)]
    assert taken == sorted(set(taken)) and taken[0] >= 0 and taken[-1] < num_frames
    # As much clip before the first frame as after the last.
    assert abs(taken[0] - (num_frames - 1 - taken[-1])) <= 1


def test_consecutive_keeps_the_apex_in_the_middle_and_stays_inside() -> None:
    assert consecutive(144, 5, 60) == [58, 59, 60, 61, 62]
    assert consecutive(144, 4, 60) == [59, 60, 61, 62]
    assert consecutive(144, 16, 2) == list(range(16))
    assert consecutive(144, 16, 143) == list(range(128, 144))
    assert consecutive(8, 8, 3) == list(range(8))


@pytest.mark.parametrize("n", [0, -1, 145])
def test_too_many_or_no_frames_are_one_line(n: int) -> None:
    for sample in (lambda: uniform(144, n), lambda: consecutive(144, n, 10)):
        with pytest.raises(EquimeError, match=f"between 1 and 144 frames.*{n}"):
            sample()


def test_sixteen_uniform_frames_of_six_seconds_can_miss_an_expression() -> None:
    assert misses_expression(144, 16, 24)
    assert not misses_expression(144, 38, 24)  # 158 ms apart; half of 318 is 159
    assert misses_expression(144, 37, 24)


@pytest.mark.parametrize("where", ["bytes", "path"])
def test_frames_are_those_that_were_asked_for(long_clip: bytes, tmp_path: Path, where: str) -> None:
    row = row_of(long_clip, apex=70, num_frames=144)
    if where == "path":
        (tmp_path / "clip.mp4").write_bytes(long_clip)
        row["video"] = {"bytes": None, "path": str(tmp_path / "clip.mp4")}
    clip = Clip(row)
    frames = clip.frames(6, around="apex")
    assert frames.shape == (6, 64, 64, 3) and frames.dtype == np.uint8
    assert [index_of(f) for f in frames] == [68, 69, 70, 71, 72, 73]
    assert [index_of(f) for f in clip.frames_at([143, 0, 70, 70])] == [143, 0, 70, 70]
    assert [index_of(f) for f in clip.frames()] == list(range(144))
    assert clip.frames_at([5], size=32).shape == (1, 32, 32, 3)
    assert clip.frames(2, size=(16, 24), around="apex").shape == (2, 16, 24, 3)


def test_uniform_frames_warn_where_they_can_miss_the_expression(long_clip: bytes) -> None:
    clip = Clip(row_of(long_clip))
    with pytest.warns(SamplingWarning, match="around='apex'"):
        frames = clip.frames(16, size=32)
    assert [index_of(f) for f in frames] == uniform(144, 16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clip.frames(48, size=32)


def test_the_apex_is_the_planned_or_the_measured_one(long_clip: bytes) -> None:
    row = row_of(long_clip, apex_ms=2000.0, measured_apex_ms=2090.0, fps=24.0)
    assert Clip(row).apex == 48 and Clip(row).measured_apex == 50
    taken = [index_of(Clip(row).frames(1, around="apex", apex=a)[0]) for a in ("planned", "measured")]
    assert taken == [48, 50]


def test_no_apex_is_an_error_for_an_expression_and_the_middle_for_a_control(long_clip: bytes) -> None:
    with pytest.raises(EquimeError, match="'fear/f_1_0' has no planned apex: use around='clip'"):
        Clip(row_of(long_clip)).frames(4, around="apex")
    with pytest.raises(EquimeError, match="no measured apex: use equime score"):
        Clip(row_of(long_clip, apex=3)).frames(4, around="apex", apex="measured")
    control = Clip(row_of(long_clip, emotion=None, clip_id="neutral/f_1_0"))
    assert [index_of(f) for f in control.frames(3, around="apex")] == [71, 72, 73]


def test_unknown_options_list_the_known_ones(long_clip: bytes) -> None:
    clip = Clip(row_of(long_clip, apex=3))
    for option, known in (
        ({"around": "middle"}, "apex"),
        ({"apex": "guessed"}, "measured"),
        ({"backend": "vlc"}, "pyav"),
    ):
        with pytest.raises(EquimeError, match=known):
            clip.frames(4, **option)  # type: ignore[arg-type]


def test_a_row_of_a_workspace_has_typed_fields(tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", subjects=1)
    clip = Clip(table.find("sadness/f_0_0"))
    row = make_row(1, 0, 0, "sadness")
    assert (clip.clip_id, clip.subject_id, clip.emotion) == ("sadness/f_0_0", "0", "sadness")
    assert [u.to_dict() for u in clip.units] == row["action_units"]
    assert (clip.onset, clip.apex, clip.offset) == (2, 4, 6)
    assert clip.duration_ms == pytest.approx(row["offset_ms"] - row["onset_ms"])
    assert clip.caption == "A face shows sadness." and clip.num_frames == 8 and clip.fps == 24
    assert repr(clip) == "Clip('sadness/f_0_0')"
    clip.verify()


def test_a_class_number_reads_as_its_label() -> None:
    assert Clip({"emotion": 5}).emotion == "disgust"
    assert Clip({"emotion": 0}).emotion == "happiness"
    assert Clip({}).emotion is None


def test_a_flipped_byte_is_found_by_its_hash_only(long_clip: bytes) -> None:
    damaged = bytearray(long_clip)
    damaged[len(damaged) // 2] ^= 1
    row = row_of(bytes(damaged), sha256=video.sha256(long_clip))
    with pytest.raises(EquimeError, match="'fear/f_1_0' is damaged"):
        Clip(row).verify()
    Clip(row | {"video": {"bytes": long_clip}}).verify()
    with pytest.raises(EquimeError, match="no sha256"):
        Clip(row_of(long_clip)).verify()


def test_bad_videos_name_their_clip(long_clip: bytes, tmp_path: Path) -> None:
    with pytest.raises(EquimeError, match=r"'fear/f_1_0'.*expected 100 frames.*144"):
        Clip(row_of(long_clip, num_frames=100)).frames()
    with pytest.raises(EquimeError, match="'fear/f_1_0'"):
        Clip(row_of(b"no video", num_frames=8)).frames()
    with pytest.raises(EquimeError, match="has no video: the face is hidden"):
        Clip({"clip_id": "fear/f_1_0", "video": None, "generate_error": "the face is hidden"}).frames()
    with pytest.raises(EquimeError, match="'fear/f_1_0'"):
        Clip(row_of(long_clip) | {"video": {"path": str(tmp_path / "gone.mp4")}}).verify()


def test_the_difference_is_amplified_around_grey_and_clipped() -> None:
    first = np.full((2, 2, 3), 100, np.uint8)
    second = first + np.array([[[0, 1, 10], [20, 0, 0]], [[0, 0, 0], [0, 0, 0]]], np.uint8)
    shown = difference(first, second, 8)
    assert shown.dtype == np.uint8 and shown[0, 0].tolist() == [128, 136, 208] and shown[0, 1, 0] == 255
    assert difference(second, first, 8)[0, 1, 0] == 0


def test_a_contact_sheet_shows_the_three_frames_and_their_difference(long_clip: bytes) -> None:
    times = {"onset": 57, "apex": 61, "offset": 65, "onset_ms": 2375.0, "offset_ms": 2708.0}
    units = [{"au": 12, "side": "R", "intensity": "C"}]
    row = row_of(long_clip, caption="A brief fear. " * 30, action_units=units, **times)
    sheet = Clip(row).contact_sheet(width=900)
    assert sheet.mode == "RGB" and sheet.width == 900
    pixels = np.asarray(sheet)
    found = [index_of(panel) for panel in _panels(pixels, 900)[:3]]
    assert found == [57, 61, 65]
    longer = Clip(row | {"caption": row["caption"] * 3}).contact_sheet(width=900)
    assert longer.height > sheet.height  # the words are wrapped, not cut


def _panels(pixels: np.ndarray, width: int) -> list[np.ndarray]:
    """The four pictures, found as what is not paper."""
    row = next(
        y for y in range(60, pixels.shape[0]) if (pixels[y : y + 40] != pixels[0, 0]).any(2).all(0).sum() > 0.8 * width
    )
    solid = (pixels[row : row + 40] != pixels[0, 0]).any(2).all(0)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], solid.astype(int), [0]])))
    spans = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a > width // 6]
    return [pixels[row : row + (b - a), a:b] for a, b in spans]


def test_a_control_and_a_short_clip_have_a_contact_sheet_too() -> None:
    control = Clip(row_of(clip_bytes(8), emotion=None, clip_id="neutral/m_1_0"))
    assert control.contact_sheet(width=640).width == 640
    assert Clip(row_of(clip_bytes(1), apex=0)).contact_sheet(width=400).width == 400
    with pytest.raises(EquimeError, match="at least 320"):
        control.contact_sheet(width=100)
