"""Image sequences: order by number, kinds of pictures, gaps, and folders that are not what they should be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from make_clips import index_of, picture
from PIL import Image

from equime.errors import EquimeError
from equime.quality.sequence import Sequence, require_fps, sequences


def write(folder: Path, numbers: list[int], name: str = "img{}.png", size: int = 64) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        Image.fromarray(picture(number, size)).save(folder / name.format(number))
    return folder


@pytest.mark.parametrize("name", ["img{}.png", "reg_img{}.bmp", "006_{:05}.png", "20-{}.tiff", "{}.PNG"])
def test_frames_come_in_the_order_of_their_numbers(tmp_path: Path, name: str) -> None:
    sequence = Sequence.of(write(tmp_path, list(range(8, 13)), name))
    assert sequence.numbers == (8, 9, 10, 11, 12)
    frames = sequence.frames()
    assert frames.dtype == np.uint8 and frames.shape == (5, 64, 64, 3)
    assert [index_of(frame) for frame in frames] == [8, 9, 10, 11, 12]


@pytest.mark.parametrize(
    ("first", "last", "shown"),
    [(None, None, [3, 4, 5, 6]), (4, 5, [4, 5]), (-50, 4, [3, 4]), (5, 999, [5, 6])],
)
def test_a_part_is_named_by_the_files_numbers(
    tmp_path: Path, first: int | None, last: int | None, shown: list[int]
) -> None:
    frames = Sequence.of(write(tmp_path, [3, 4, 5, 6])).frames(first, last)
    assert [index_of(frame) for frame in frames] == shown


def test_grey_pictures_become_rgb(tmp_path: Path) -> None:
    for number in (1, 2):
        Image.fromarray(picture(number, 64)).convert("L").save(tmp_path / f"{number}.png")
    frames = Sequence.of(tmp_path).frames()
    assert frames.shape == (2, 64, 64, 3)
    assert (frames[..., :1] == frames).all()


def test_a_missing_moment_shows_the_one_before_so_that_times_stay_true(tmp_path: Path) -> None:
    sequence = Sequence.of(write(tmp_path, [n for n in range(1, 31) if n not in (7, 8)]))
    shown = [index_of(frame) for frame in sequence.frames()]
    assert len(shown) == 30 and shown[5:9] == [6, 6, 6, 9]
    assert sequence.missing == 2


def test_what_is_no_picture_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, [1, 2])
    for name in ("Thumbs.db", "._img3.png", "notes 4.txt"):
        (tmp_path / name).write_bytes(b"\0")
    assert Sequence.of(tmp_path).numbers == (1, 2)


def test_bad_folders_are_one_line(tmp_path: Path) -> None:
    both = write(tmp_path / "both", [1, 2])
    write(both, [2], "copy{}.png")
    unnamed = write(tmp_path / "unnamed", [1, 2])
    (unnamed / "img1.png").rename(unnamed / "first.png")
    broken = write(tmp_path / "broken", [1, 2])
    (broken / "img2.png").write_bytes((broken / "img2.png").read_bytes()[:200])
    sizes = write(tmp_path / "sizes", [1])
    write(sizes, [2], size=80)
    (tmp_path / "empty").mkdir()
    for folder, says in (
        (tmp_path / "nowhere", "no folder"),
        (tmp_path / "empty", "got none"),
        (write(tmp_path / "one", [1]), "got only 1"),
        (write(tmp_path / "sparse", [1, 200, 400]), "in a row"),
        (both, "one picture a number, got copy2.png and img2.png"),
        (unnamed, "named by number"),
        (broken, "damaged or cut short"),
        (sizes, "expected all pictures of 64x64, got 80x80"),
    ):
        with pytest.raises(EquimeError, match=says) as said:
            Sequence.of(folder).frames()
        assert "\n" not in str(said.value)
    with pytest.raises(EquimeError, match="it has 1 to 2"):
        Sequence.of(write(tmp_path / "short", [1, 2])).frames(2, 9)


def test_folders_below_are_found_in_order_and_links_are_not_followed(tmp_path: Path) -> None:
    for name in ("sub02/EP01", "sub01/EP10", "sub01/EP02"):
        write(tmp_path / "set" / name, [1])
    write(tmp_path / "elsewhere", [1])
    (tmp_path / "set" / "sub03").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    found = [path.relative_to(tmp_path / "set").as_posix() for path in sequences(tmp_path / "set")]
    assert found == ["sub01/EP02", "sub01/EP10", "sub02/EP01"]
    assert sequences(tmp_path / "set/sub01/EP10") == [tmp_path / "set/sub01/EP10"]
    (tmp_path / "bare").mkdir()
    for folder in (tmp_path / "bare", tmp_path / "nowhere"):
        with pytest.raises(EquimeError, match="give --frames FOLDER"):
            sequences(folder)


@pytest.mark.parametrize("fps", [None, 0.0, -24.0, float("nan"), float("inf")])
def test_a_frame_rate_is_a_number_above_0(fps: float | None) -> None:
    with pytest.raises(EquimeError, match="give --fps"):
        require_fps(fps)
    assert require_fps(29.97) == 29.97
