"""The screened sources: what is left out and why, what is measured only once, and what survives a stop."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageEnhance, ImageOps
from skimage import data

from equime import schema
from equime.commands.screen import screen_flags
from equime.errors import EquimeError
from equime.face import FaceFinder
from equime.locks import hold
from equime.screening import looking
from equime.screening.appearance import measure
from equime.screening.gallery import FILE, Source, gather, read_sources, rejected_by_group
from equime.screening.judging import judge
from equime.screening.looking import Look
from equime.screening.portraits import Portrait
from equime.screening.thresholds import Screen
from equime.table import is_workspace
from equime.taggers import tagger


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    """Smiling, and large enough to be judged for it."""
    return Image.fromarray(data.astronaut()[0:256, 96:352]).resize((512, 512), Image.Resampling.LANCZOS)


@pytest.fixture
def faces_of(tmp_path: Path) -> Callable[..., Path]:
    """Write pictures by name into a folder of faces, and where labels are given a table beside them."""

    def write(folder: str = "faces", table: str | None = None, **pictures: Image.Image) -> Path:
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        for name, picture in pictures.items():
            picture.save(root / f"{name}.png")
        if table is None:
            return root
        (root / "faces.csv").write_text(table)
        return root / "faces.csv"

    return write


def reasons(sources: list[Source]) -> dict[str, str | None]:
    return {source.path: source.reason for source in sources}


def count_looks(workspace: Path, options: Screen) -> tuple[list[Source], int]:
    """The sources, and at how many pictures it was looked."""
    ticks = [0]
    return gather(workspace, options, lambda done, total: ticks.append(done)), ticks[-1]


def same(some: list[Source], others: list[Source]) -> bool:
    return [repr(s) for s in some] == [repr(o) for o in others]  # NaN is not itself


def test_what_is_found_and_what_is_left_out(tmp_path: Path, faces: Path) -> None:
    folder = tmp_path / "faces"
    folder.mkdir()
    good = (faces / "ann.png").read_bytes()
    (folder / "good.png").write_bytes(good)
    (folder / "copy.png").write_bytes(good)
    (folder / "cut.png").write_bytes(good[: len(good) // 2])
    (folder / "text.jpg").write_text("not an image")
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    face = np.asarray(Image.open(faces / "ann.png"))[0:300, 80:380]
    two = Image.new("RGB", (700, 400), "grey")
    two.paste(Image.fromarray(face), (380, 50))
    two.paste(Image.fromarray(face).resize((180, 180)), (60, 100))
    two.save(folder / "two.png")
    sources = gather(tmp_path / "ws", Screen(faces=folder, screen=False, adults=True))
    found = {source.path: source for source in sources}
    assert found["copy.png"].sha256 == hashlib.sha256(good).hexdigest()
    assert "the larger was taken" in found["two.png"].note
    assert found["two.png"].faces == 2
    left_out = {path: reason for path, reason in reasons(sources).items() if reason}
    assert left_out.keys() == {"good.png", "cut.png", "text.jpg", "dot.png", "noise.png"}
    assert "same picture as subject 'copy'" in left_out["good.png"]
    assert "no face" in left_out["noise.png"]
    assert all("\n" not in reason and str(tmp_path) not in reason for reason in left_out.values())
    kinds = {path: found[path].kind for path in left_out}
    assert kinds == {
        **{"good.png": "copy", "noise.png": "face"},
        **dict.fromkeys(("cut.png", "text.jpg", "dot.png"), "picture"),
    }
    screened = reasons(gather(tmp_path / "ws", Screen(adults=True)))
    assert str(screened["two.png"]).startswith("faces: 2")


def test_paths_are_kept_relative_and_stay_inside(tmp_path: Path, hopper: Image.Image, faces_of) -> None:
    table = "subject_id,path\n" + "".join(
        f"{subject},{path}\n"
        for subject, path in [
            ("a", tmp_path / "faces" / "a.png"),
            ("b", "./b.png"),
            ("c", "x/../b.png"),
            ("d", "../secret.png"),
            ("e", "link.png"),
            ("f", "none.png"),
            ("g", ""),
        ]
    )
    faces = faces_of(table=table, a=hopper, b=ImageOps.grayscale(hopper))
    hopper.save(tmp_path / "secret.png")
    (faces.parent / "link.png").symlink_to(tmp_path / "secret.png")
    sources = gather(tmp_path / "ws", Screen(faces=faces, screen=False, adults=True))
    assert [source.path for source in sources if source.reason is None] == ["a.png", "b.png"]
    left_out = {source.subject_id: str(source.reason) for source in sources if source.reason}
    assert "named twice" in left_out["c"]
    assert "leaves the folder" in left_out["d"]
    assert "leaves the folder" in left_out["e"]
    assert "no such image" in left_out["f"]
    assert "expected the path of a picture" in left_out["g"]


def test_pipes_loops_and_names_that_are_no_text_are_left_out_alone(
    tmp_path: Path, hopper: Image.Image, faces_of
) -> None:
    folder = faces_of(good=hopper)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "folder.jpg").mkdir()
    (folder / "self.png").symlink_to("self.png")
    hopper.save(Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff.png")))
    (folder / "away.png").symlink_to("none.png")
    options = Screen(faces=folder, screen=False, adults=True)
    for _ in range(2):  # the second time with kept looks
        found = reasons(gather(tmp_path / "ws", options))
        assert found.pop("good.png") is None
        assert found.pop("pipe.jpg") == "picture: expected an image file, got a pipe or device"
        assert found.pop("folder.jpg") == "picture: expected an image file, got a folder"
        assert found.pop("away.png") == "picture: no such image"
        assert str(found.pop("bad\\xff.png")).startswith("name: ")
        assert str(found.pop("self.png")).startswith("picture: ")
        assert not found


def test_a_picture_that_became_a_pipe_is_looked_at_anew(tmp_path: Path, hopper: Image.Image, faces_of) -> None:
    options = Screen(faces=faces_of(a=hopper), adults=True)
    assert gather(tmp_path / "ws", options)[0].reason is None
    (tmp_path / "faces" / "a.png").unlink()
    os.mkfifo(tmp_path / "faces" / "a.png")
    assert "got a pipe" in str(gather(tmp_path / "ws", options)[0].reason)


def test_every_row_of_a_path_is_a_source(tmp_path: Path, hopper: Image.Image, faces_of) -> None:
    rows = ["1,a.png,", "2,a.png,", "3,./a.png,", "4,a.png,x", "a b,a.png,"]
    faces = faces_of(table="\n".join(["subject_id,path,gender", *rows]), a=hopper)
    sources = gather(tmp_path / "ws", Screen(faces=faces, adults=True))
    assert [source.path for source in sources if source.reason is None] == ["a.png"]
    assert [source.subject_id for source in sources] == ["1", "", "2", "a b", "3"]
    assert sum(sum(cells.values()) for cells in rejected_by_group(sources).values()) == 4
    assert same(read_sources(tmp_path / "ws"), sources)


def test_the_screen_and_its_age_rule(tmp_path: Path, hopper: Image.Image, astronaut: Image.Image, faces_of) -> None:
    rows = ["h,h.png,f,54,", "a,a.png,f,37,", "y,y.png,f,19,yes", "n,n.png,f,,", "d,d.png,f,,yes"]
    table = "\n".join(["subject_id,path,gender,age,adult", *rows])
    shots = [ImageEnhance.Color(hopper).enhance(value) for value in (0, 0.4, 0.8)]
    faces = faces_of(table=table, h=hopper, a=astronaut, y=shots[0], n=shots[1], d=shots[2])
    sources = gather(tmp_path / "ws", Screen(faces=faces))
    kinds = {source.subject_id: source.kind for source in sources}
    assert kinds == {"h": None, "a": "mouth", "y": "age", "n": "age", "d": "copy"}
    assert [(s.age_years, s.age, s.adult) for s in sources][:3] == [
        (54.0, "50-59", False),
        (37.0, "30-39", False),
        (19.0, "18-29", True),
    ]
    lenient = gather(tmp_path / "ws", Screen(screen=False))
    assert {s.subject_id for s in lenient if s.reason is None} == {"h", "a", "d"}
    assert rejected_by_group(sources) == {
        "age": {"female|18-29|unknown": 1, "female|unknown|unknown": 1},
        "copy": {"female|unknown|unknown": 1},
        "mouth": {"female|30-39|unknown": 1},
    }


def test_copies_under_another_name_are_found_and_strangers_are_not(
    tmp_path: Path, hopper: Image.Image, astronaut: Image.Image, faces_of
) -> None:
    small = hopper.resize((hopper.width * 9 // 10, hopper.height * 9 // 10), Image.Resampling.LANCZOS)
    folder = faces_of(
        aa=hopper,
        bright=ImageEnhance.Brightness(hopper).enhance(1.15),
        mirrored=ImageOps.mirror(hopper),
        small=small,
        stranger=astronaut,
    )
    small.save(folder / "coded.jpg", quality=60)
    lenient = {"max_mouth_open": 1, "max_smile": 1, "min_sharpness": 0, "adults": True}
    sources = gather(tmp_path / "ws", Screen(faces=folder, **lenient))
    kinds = {source.subject_id: source.kind for source in sources}
    copied = dict.fromkeys(("bright", "coded", "mirrored", "small"), "copy")
    assert kinds == {"aa": None, "stranger": None} | copied
    assert all("subject 'aa'" in str(s.reason) for s in sources if s.reason)
    # The same pictures of one subject are its own affair.
    table = "subject_id,path\n" + "".join(f"one,{source.path}\n" for source in sources)
    (folder / "t.csv").write_text(table)
    one = gather(tmp_path / "ws", Screen(faces=folder / "t.csv", **lenient))
    assert {source.reason for source in one} == {None}


def test_of_two_copies_the_one_used_before_stays(tmp_path: Path, hopper: Image.Image, faces_of) -> None:
    options = Screen(faces=faces_of(m=hopper), adults=True)
    gather(tmp_path / "ws", options)
    faces_of(a=hopper, b=ImageOps.mirror(hopper))
    assert {s.subject_id: s.kind for s in gather(tmp_path / "ws", options)} == {"a": "copy", "b": "copy", "m": None}
    assert {s.subject_id: s.kind for s in gather(tmp_path / "new", options)} == {"a": None, "b": "copy", "m": "copy"}


# --- made once


def test_only_new_and_changed_pictures_are_looked_at(tmp_path: Path, hopper: Image.Image, faces_of) -> None:
    ws, options = tmp_path / "ws", Screen(faces=faces_of(a=hopper, b=ImageOps.mirror(hopper)), adults=True)
    first, looks = count_looks(ws, options)
    assert looks == 2
    again, looks = count_looks(ws, options)
    assert looks == 0
    assert same(again, first)
    assert same(read_sources(ws), first)
    faces_of(c=ImageOps.grayscale(hopper))
    assert count_looks(ws, options)[1] == 1
    os.utime(tmp_path / "faces" / "a.png")
    assert count_looks(ws, options)[1] == 0
    ImageOps.invert(hopper).save(tmp_path / "faces" / "a.png")
    assert count_looks(ws, options)[1] == 1
    (tmp_path / "faces" / "b.png").unlink()
    sources, looks = count_looks(ws, options)
    assert looks == 0
    assert [source.path for source in sources] == ["a.png", "c.png"]
    kept = pq.read_table(ws / looking.FOLDER / "looks.parquet")["path"].to_pylist()
    assert sorted(kept) == ["a.png", "c.png"]  # who was taken away is forgotten
    assert same(sources, gather(tmp_path / "fresh", options))


def test_another_threshold_judges_anew_without_looking(tmp_path: Path, hopper: Image.Image, faces_of) -> None:
    ws, options = tmp_path / "ws", Screen(faces=faces_of(a=hopper), adults=True)
    assert count_looks(ws, options)[0][0].reason is None
    strict, looks = count_looks(ws, dataclasses.replace(options, max_yaw=0.01))
    assert (looks, strict[0].kind) == (0, "pose")
    assert read_sources(ws)[0].kind == "pose"
    assert pq.read_schema(ws / FILE).names == [f.name for f in dataclasses.fields(Source)]


def test_stopped_at_any_picture_it_goes_on(
    tmp_path: Path, hopper: Image.Image, faces_of, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "PART", 2)
    shots = {f"s{i}": hopper.crop((i, 0, hopper.width, hopper.height)) for i in range(7)}
    options = Screen(faces=faces_of(**shots), adults=True, max_similarity=1.0)
    whole = gather(tmp_path / "whole", options)

    def stop(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gather(tmp_path / "ws", options, stop)
    assert not (tmp_path / "ws" / FILE).exists()
    sources, looks = count_looks(tmp_path / "ws", options)
    assert looks == 3  # two parts of two were done
    assert same(sources, whole)
    assert [p.name for p in (tmp_path / "ws" / looking.FOLDER).glob("*.parquet")] == ["looks.parquet"]


SCRIPT = """
import sys
from pathlib import Path
from equime.screening import looking
from equime.screening.gallery import gather
from equime.screening.thresholds import Screen

if __name__ == "__main__":
    looking.PART = 4
    gather(Path(sys.argv[1]), Screen(faces=Path(sys.argv[2]), adults=True), workers=2)
"""


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_killed_in_two_processes_it_goes_on(tmp_path: Path, hopper: Image.Image, faces_of) -> None:
    shots = {f"s{i:02d}": hopper.crop((i, 0, hopper.width, hopper.height)) for i in range(40)}
    options = Screen(faces=faces_of(**shots), adults=True, max_similarity=1.0)
    (tmp_path / "run.py").write_text(SCRIPT)
    running = subprocess.Popen([sys.executable, tmp_path / "run.py", tmp_path / "ws", tmp_path / "faces"])
    deadline = time.monotonic() + 100
    folder = tmp_path / "ws" / looking.FOLDER
    while not list(folder.glob("[0-9]*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    time.sleep(1)  # the orphans end themselves
    done = 4 * len(list(folder.glob("[0-9]*.parquet")))
    assert 0 < done < 40
    sources, looks = count_looks(tmp_path / "ws", dataclasses.replace(options, workers=2))
    assert looks == 40 - done
    assert {source.reason for source in sources} == {None}
    assert not list(folder.glob(".*.tmp"))


def test_one_process_screens_at_a_time(tmp_path: Path, hopper: Image.Image, faces_of) -> None:
    options = Screen(faces=faces_of(a=hopper), adults=True)
    with hold(tmp_path / "ws" / looking.FOLDER), pytest.raises(EquimeError, match=r"screening"):
        gather(tmp_path / "ws", options)


def test_damaged_looks_are_taken_again(tmp_path: Path, hopper: Image.Image, faces_of) -> None:
    ws, options = tmp_path / "ws", Screen(faces=faces_of(a=hopper), adults=True)
    first = gather(ws, options)
    (ws / looking.FOLDER / "looks.parquet").write_bytes(b"PAR1 and no more")
    again, looks = count_looks(ws, options)
    assert looks == 1
    assert same(again, first)


# --- tags


def test_a_tagger_labels_what_the_source_leaves_open(
    tmp_path: Path, hopper: Image.Image, astronaut: Image.Image, faces_of
) -> None:
    table = "subject_id,path,gender,age,race\na,a.png,,,\na,b.png,,,\nh,h.png,f,18-29,white\n"
    faces = faces_of(table=table, a=astronaut, b=astronaut.crop((9, 9, 500, 490)), h=hopper)
    options = Screen(faces=faces, screen=False, tagger="packaged")
    sources, looks = count_looks(tmp_path / "ws", options)
    a, _, h = sources
    assert (a.gender, a.race, a.agreement, looks) == ("female", None, 1.0, 3)
    assert a.age_years is not None
    assert a.age == schema.age_band(a.age_years)
    assert len({(s.gender, s.age, s.age_years, s.agreement) for s in sources[:2]}) == 1  # one vote a subject
    finder = FaceFinder()
    crops = [measure(np.asarray(Image.open(faces.parent / name)), finder)[1] for name in ("a.png", "b.png", "h.png")]
    ages = [tag.age for tag in tagger("packaged")(crops)]
    assert a.age_years == pytest.approx((ages[0] + ages[1]) / 2)
    assert (h.gender, h.age, h.race) == ("female", "18-29", "white")  # the source's word stands
    assert h.age_years == pytest.approx(ages[2])  # but the age rule hears the estimate
    assert h.reason is None
    swapped = dataclasses.replace(options, tagger="none", second_tagger="packaged")
    checked, looks = count_looks(tmp_path / "ws", swapped)
    assert looks == 0
    assert (checked[0].gender, checked[0].second_gender, checked[0].second_age) == (None, "female", a.age)
    # In a cap of the navy she is taken for a man: labels that select can err, and a second one shows it.
    assert (checked[2].gender, checked[2].second_gender) == ("female", "male")
    assert {source.kind for source in checked} == {"age"}  # a check is no source of ages


def test_a_tagger_asked_for_later_sees_every_face(tmp_path: Path, hopper: Image.Image, faces_of) -> None:
    options = Screen(faces=faces_of(h=hopper))
    plain, _ = count_looks(tmp_path / "ws", options)
    assert plain[0].kind == "age"
    tagged, looks = count_looks(tmp_path / "ws", dataclasses.replace(options, tagger="packaged"))
    assert (looks, tagged[0].reason) == (1, None)
    assert tagged[0].gender is not None


# --- the file


def test_nothing_screened_yet_and_a_damaged_file_are_one_line(tmp_path: Path, hopper: Image.Image, faces_of) -> None:
    with pytest.raises(EquimeError, match="equime screen"):
        read_sources(tmp_path / "ws")
    with pytest.raises(EquimeError, match="add --faces"):
        gather(tmp_path / "ws", Screen())
    assert not (tmp_path / "ws").exists()
    gather(tmp_path / "ws", Screen(faces=faces_of(a=hopper)))
    assert is_workspace(tmp_path / "ws")
    for damage in (b"no", b""):
        (tmp_path / "ws" / FILE).write_bytes(damage)
        with pytest.raises(EquimeError, match="screen again") as error:
            read_sources(tmp_path / "ws")
        assert "\n" not in str(error.value)


def test_thousands_of_sources_are_judged_and_read_back_as_they_were(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    portraits = [
        Portrait(str(i // 3), f"{i}.jpg", gender=("female", None)[i % 2], licence="CC0", adult=True)
        for i in range(3000)
    ]
    looks = {p.path: Look(p.path, 1, 1, hashlib.sha256(p.path.encode()).hexdigest(), "face: none") for p in portraits}
    sources = judge(portraits, [], looks, Screen())
    assert rejected_by_group(sources) == {"face": {"female|unknown|unknown": 1500, "unknown|unknown|unknown": 1500}}
    usable = [dataclasses.replace(s, reason=None, yaw=float(rng.normal()), glasses=True) for s in sources]
    from equime.screening.gallery import write_sources

    write_sources(tmp_path, usable, Screen())
    assert same(read_sources(tmp_path), usable)
    assert (usable[0].cell, usable[0].code, usable[1].code) == ("female|unknown|unknown", "f", "u")


# --- the verb


def test_the_verb_counts_by_reason_and_group(
    tmp_path: Path, hopper: Image.Image, astronaut: Image.Image, faces_of, capsys: pytest.CaptureFixture[str]
) -> None:
    faces = faces_of(table="subject_id,path,gender,age\nh,h.png,f,54\na,a.png,f,37\n", h=hopper, a=astronaut)
    parser = argparse.ArgumentParser()
    screen_flags(parser)
    parser.add_argument("--json", action="store_true")
    given = [str(tmp_path / "ws"), "--faces", str(faces)]
    for extra in ([], ["--json"]):
        options = parser.parse_args([*given, *extra])
        assert options.command(options) == 0
    out, err = capsys.readouterr()
    text, _, document = out.partition("{")
    assert "1 of 2 pictures usable" in text
    assert "1 left out by mouth" in text
    assert "left out a.png: mouth" in err
    found = json.loads("{" + document)
    assert (found["pictures"], found["usable"], found["subjects"]) == (2, 1, 1)
    assert found["subjects_by_cell"] == {"female|50-59|unknown": 1}
    assert found["rejected"] == {"mouth": {"female|30-39|unknown": 1}}
    assert found["left_out"].keys() == {"a.png"}


def test_the_verb_says_each_picture_in_a_line(tmp_path: Path, faces_of, capsys: pytest.CaptureFixture[str]) -> None:
    faces = faces_of(table='subject_id,path\n1,"a\n\x1b[2J.png"\n2,"a\n\x1b[2J.png"\n')
    parser = argparse.ArgumentParser()
    screen_flags(parser)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args([str(tmp_path / "ws"), "--faces", str(faces)])
    assert options.command(options) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("equime: ")]
    assert [line.partition(": left out ")[2][:15] for line in said] == ["a\\n\\x1b[2J.png:"] * 2
    assert all(line.isprintable() for line in said)


def test_screening_again_without_flags_is_as_the_last_time(faces: Path, tmp_path: Path) -> None:
    lenient = Screen(faces=faces, screen=False, adults=True)
    first = gather(tmp_path / "ws", lenient)
    assert [source.reason for source in first] == [None] * 6
    assert gather(tmp_path / "ws", Screen()) == first
    strict = gather(tmp_path / "ws", Screen(adults=True))
    assert all(source.reason for source in strict)
