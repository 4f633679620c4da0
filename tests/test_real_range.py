"""The range of real amplitudes: percentiles against NumPy's, the strict file, layouts of real sets, the fit."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from equime.action_units import parse
from equime.commands.validity import validity_flags
from equime.errors import EquimeError
from equime.face import FaceFinder
from equime.generators.scene import Still
from equime.generators.warp import Warp
from equime.quality.real_clips import amplitude, read_clips
from equime.quality.real_range import ENOUGH, LEVELS, RealRange, fit, keys


def drawn(n: int = 200) -> list[float]:
    return np.random.default_rng(3).gamma(3, 0.01, n).tolist()


def test_a_place_is_the_share_of_real_clips_below() -> None:
    values = drawn(2000)
    found = fit("set", [((), value) for value in values], [200.0])
    assert found.n == 2000
    for size in (0.005, 0.02, 0.033, 0.06):
        share = 100 * np.mean(np.asarray(values) < size)
        assert found.percentile(size) == pytest.approx(share, abs=1.5)
    assert found.percentile(0.0) == 0 and found.percentile(9.9) == 100
    inner = found.groups["all"]
    assert (inner.at(5), inner.at(95)) == pytest.approx(tuple(np.percentile(values, [5, 95])))


def test_clips_are_compared_with_those_of_their_units_or_regions_where_there_are_enough() -> None:
    brow, mouth, pout = parse("4").units, parse("R12").units, parse("17+15").units
    small, large = [(brow, 0.01 + i / 1e5) for i in range(30)], [(mouth, 0.05 + i / 1e5) for i in range(30)]
    found = fit("set", [*small, *large, *[(pout, 0.03)] * (ENOUGH - 1), ((), None)], [100.0])
    assert set(found.groups) == {"all", "4", "brow", "12", "mouth"} and found.unmeasured == 1
    assert found.percentile(0.02, brow) == 100 and found.percentile(0.02, mouth) == 0
    assert found.percentile(0.0499, parse("20").units) == 0, "the lip stretcher as the other mouths"
    assert found.percentile(0.03, pout) == found.percentile(0.03) == pytest.approx(50, abs=13)
    assert keys(parse("R12B+6").units) == ("6+12", "lid+mouth") and keys(()) == ()


def test_the_file_is_what_was_measured_and_nothing_else(tmp_path: Path) -> None:
    found = fit("set", [(parse("4").units, value) for value in drawn()], [200.0, 30.0, 200.0])
    path = tmp_path / "range.json"
    path.write_text(found.to_json())
    again = RealRange.load(path)
    assert again == found and again.fps == (30.0, 200.0) and again.digest == found.digest
    assert found.digest != fit("set", [((), value) for value in drawn()], [200.0]).digest


def changed(values: dict[str, Any], path: str, value: Any) -> str:
    *parents, last = path.split(".")
    place = values
    for name in parents:
        place = place[name]
    place[last] = value
    return json.dumps(values)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("kind", "a model"),
        ("version", 99),
        ("levels", [5, 95]),
        ("name", 7),
        ("fps", []),
        ("fps", [0]),
        ("fps", "200"),
        ("unmeasured", -1),
        ("unmeasured", True),
        ("groups", {}),
        ("groups", []),
        ("groups.all", 3),
        ("groups.all.n", 3),
        ("groups.all.n", 30.5),
        ("groups.all.percentiles", [0.1] * 20),
        ("groups.all.percentiles", list(range(21, 0, -1))),
        ("groups.all.percentiles", [-0.1] * 21),
        ("groups.all.percentiles", ["0.1"] * 21),
        ("groups.all.percentiles", [math.nan] * 21),
        ("groups.all.percentiles", [0.1] * 20 + [math.inf]),
        ("groups.all.percentiles", [None] * 21),
    ],
)
def test_a_file_that_was_tampered_with_is_refused_in_one_line(tmp_path: Path, path: str, value: Any) -> None:
    text = fit("set", [((), size) for size in drawn()], [200.0]).to_json()
    file = tmp_path / "range.json"
    file.write_text(changed(json.loads(text), path, value))
    with pytest.raises(EquimeError, match="equime validity fit") as said:
        RealRange.load(file)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"{", b"null", b"\xff\xfe", b"PK\x03\x04"])
def test_no_range_at_all_is_refused_too(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "range.json").write_bytes(data)
    for path in (tmp_path / "range.json", tmp_path / "nowhere.json", tmp_path):
        with pytest.raises(EquimeError, match="equime validity fit"):
            RealRange.load(path)


def test_a_handful_of_clips_is_no_range() -> None:
    some: list[tuple[Any, float | None]] = [((), 0.1)] * (ENOUGH - 1) + [((), None)] * 4
    with pytest.raises(EquimeError, match=r"got 19 \(4 more show none"):
        fit("set", some, [200.0])
    assert len(fit("set", [*some, ((), 0.2)], [200.0]).groups["all"].percentiles) == len(LEVELS)


# ------------------------------------------------------------------------------------------------ codings of real sets


def folders(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
        Image.new("L", (8, 8)).save(root / name / "img1.png")
    return root


def test_casme2_as_its_owners_lay_it_out(tmp_path: Path) -> None:
    root = folders(tmp_path / "CASME2_RAW", "sub01/EP02_01f", "sub01/EP03_02", "sub02/EP03_02", "sub26/EP18_51")
    coding = tmp_path / "CASME2-coding.csv"
    coding.write_text(
        "Subject,Filename,,OnsetFrame,ApexFrame,OffsetFrame,,Action Units,Estimated Emotion\n"
        "1,EP02_01f,,46,59,86,,12,happiness\n"
        "2,EP03_02,,131,/,190,,4+L10,disgust\n"
        "26,EP18_51,,20,42,10,,17,others\n"
        "17,EP05_09,,20,42,90,,4,others\n"
    )
    found = read_clips(coding, root)
    assert found.name == "casme2"
    assert [(c.line, c.folder.relative_to(root).as_posix(), c.fps, c.onset, c.offset) for c in found.clips] == [
        (2, "sub01/EP02_01f", 200.0, 46, 86),
        (3, "sub02/EP03_02", 200.0, 131, 190),
    ]
    assert found.clips[1].units == parse("4+L10").units
    assert "onset before offset" in found.left_out[4] and "found 0" in found.left_out[5]


def test_samm_below_its_preamble(tmp_path: Path) -> None:
    root = folders(tmp_path, "SAMM/006/006_1_2", "SAMM/007/007_3_1")
    head = "Subject,Filename,Inducement Code,Onset Frame,Apex Frame,Offset Frame,Duration,Micro,Action Units"
    rows = ["6,006_1_2,2,5562,5588,5632,71,Micro - 1/2,ref(7B)+43", "7,007_3_1,1,10,20,30,21,Macro,12"]
    (tmp_path / "samm.csv").write_text(
        "\n".join(["SAMM,,,", "", head + ",Estimated Emotion", *(r + ",Anger" for r in rows)])
    )
    found = read_clips(tmp_path / "samm.csv", root)
    (clip,) = found.clips
    assert (found.name, clip.folder.name, clip.fps, clip.onset, clip.offset) == ("samm", "006_1_2", 200.0, 5562, 5632)
    assert list(found.left_out.values()) == ["a macro-expression"]


def test_a_plain_file_names_folders_beside_it_and_none_outside(tmp_path: Path) -> None:
    folders(tmp_path, "set/a/1", "set/a/2", "secret")
    coding = tmp_path / "set" / "own.csv"
    coding.write_text(
        "clip,fps,onset,apex,offset,units\na/1,60,3,8,20,4+R12\na/2,30,3,,20,\n../secret,30,3,8,20,4\na/9,30,3,8,20,4\n"
        "a/1,nan,3,8,20,4\na/1,30,3,8,20,99\n"
    )
    found = read_clips(coding)
    assert [(c.folder.name, c.fps, len(c.units)) for c in found.clips] == [("1", 60.0, 2), ("2", 30.0, 0)]
    assert set(found.left_out) == {4, 5, 6, 7} and all("\n" not in why for why in found.left_out.values())
    assert [clip.fps for clip in read_clips(coding, fps=120).clips] == [120.0] * 3


def test_codings_that_cannot_be_used_are_one_line(tmp_path: Path) -> None:
    coding = tmp_path / "own.csv"
    coding.write_text("clip,fps,onset,apex,offset,units\na,60,3,8,20,4\n")
    with pytest.raises(EquimeError, match="got none"):
        read_clips(coding)
    with pytest.raises(EquimeError, match="no folder"):
        read_clips(coding, tmp_path / "nowhere")
    with pytest.raises(EquimeError, match="cannot read"):
        read_clips(tmp_path / "nowhere.csv")
    (tmp_path / "sheet.csv").write_bytes(b"PK\x03\x04")
    with pytest.raises(EquimeError, match="spreadsheet"):
        read_clips(tmp_path / "sheet.csv")
    for text in ("emotion,action_units\nhappiness,12\n", "folder,first,last\na,3,20\n"):
        (tmp_path / "counts.csv").write_text(text)
        with pytest.raises(EquimeError, match=r"clip,fps,onset,apex,offset,units"):
            read_clips(tmp_path / "counts.csv")


# ------------------------------------------------------------------------------------------------------------- the fit

RATE = 50


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    """Three sequences of grey pictures at 50 fps, numbered from 101, onset 121, and their coding: each clip 7 times."""
    root = tmp_path_factory.mktemp("real")
    still = Still.of(portrait)
    warp = Warp(num_frames=70, fps=RATE, blinks=0.0)
    lines = ["clip,fps,onset,apex,offset,units"]
    for name, text in (("small", "12B"), ("large", "12D"), ("brow", "4D")):
        frames = warp.frames(still, parse(text).units, 400.0, 520.0, 760.0, seed=5)
        (root / name).mkdir()
        for number, frame in enumerate(frames, 101):
            Image.fromarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)).save(root / name / f"img{number}.jpg", quality=95)
        lines += [f"{name},{RATE},121,127,139,{parse(text).units[0].au}"] * 7
    (root / "coding.csv").write_text("\n".join([*lines, f"nowhere,{RATE},1,2,3,4"]))
    return root


def verb(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    validity_flags(parser)
    parser.set_defaults(json=False)
    options = parser.parse_args([str(argument) for argument in arguments])
    code: int = options.command(options)
    return code


@pytest.mark.timeout(180)
def test_the_fit_measures_each_clip_once_and_goes_on_where_it_stopped(
    real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made" / "range.json"
    assert verb("fit", "--data", real / "coding.csv", "--out", out, "--set", "mine", "--json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["clips"] == 21 and "line 23: left out: expected one folder 'nowhere'" in said.err
    found = RealRange.load(out)
    assert (found.name, found.fps, found.n) == ("mine", (50.0,), 21)
    kept = out.with_suffix(".clips.jsonl")
    sizes = {Path(line["clip"]).name: line["amplitude"] for line in map(json.loads, kept.read_text().splitlines())}
    assert set(sizes) == {"small", "large", "brow"}
    assert sizes["large"] / sizes["small"] == pytest.approx(0.032 / 0.012, rel=0.25), "as FACS intensities are drawn"
    first, begun = kept.read_bytes(), out.read_bytes()
    kept.write_bytes(first[: first.rindex(b'"amplitude"')])  # as a kill leaves it
    assert verb("fit", "--data", real / "coding.csv", "--out", out, "--set", "mine") == 0
    assert out.read_bytes() == begun
    assert [line for line in kept.read_bytes().splitlines() if line in first.splitlines()] == first.splitlines()
    assert "5 % to 95 %" in capsys.readouterr().out


@pytest.mark.parametrize("times", [{"onset": -5}, {"onset": 100}, {"offset": 171}])
def test_times_without_pictures_are_refused_in_one_line(real: Path, times: dict[str, int]) -> None:
    clip = read_clips(real / "coding.csv").clips[0]._replace(**times)
    with pytest.raises(EquimeError, match=r"it has 101 to 170; correct that row"):
        amplitude(clip, FaceFinder())


def test_a_fit_without_enough_clips_writes_nothing(real: Path, tmp_path: Path) -> None:
    (tmp_path / "few.csv").write_text("clip,fps,onset,offset,units\nbrow,50,121,139,4\n")
    with pytest.raises(EquimeError, match="at least 20 clips"):
        verb("fit", "--data", tmp_path / "few.csv", "--frames", real, "--out", tmp_path / "range.json")
    assert not (tmp_path / "range.json").exists()
    for place, said in ((tmp_path, "is a folder"), (tmp_path / "few.csv", "is the coding itself")):
        with pytest.raises(EquimeError, match=said):
            verb("fit", "--data", tmp_path / "few.csv", "--frames", real, "--out", place)
