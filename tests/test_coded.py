from __future__ import annotations

import csv
import io
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from equime.action_units import format as written
from equime.au_counts import COUNTS
from equime.causal import EMOTIONS, EmotionModel, noise, seed_of
from equime.errors import EquimeError
from equime.scm.coded import Coded, read_coded
from equime.scm.unit_fit import WEIGHTS
from equime.scm.unit_model import PROTOTYPE

PACKAGED = EmotionModel.from_tables()

CLIPS: list[dict[str, Any]] = [
    {"emotion": "Happiness", "units": "6+R12B", "onset": 46, "apex": 66, "offset": 86},
    {"emotion": "surprise", "units": "1+2", "onset": 100, "apex": 130, "offset": 160},
    {"emotion": "others", "units": "4", "onset": 10, "apex": 20, "offset": 40},
    {"emotion": "fear", "units": "(5 or 20)+26", "onset": 50, "apex": 40, "offset": 90},
    {"emotion": "anger", "units": "4+x7", "onset": 1, "apex": 21, "offset": 61},
    {"emotion": "sadness", "units": "", "onset": 1, "apex": 21, "offset": 61},
    {"emotion": "anger", "units": "4+7", "onset": 1, "apex": 21, "offset": 61},
]
"""Made up. Kept: 1, 2, 4 (times out of order), 7; the 3rd is another emotion, the 5th and 6th have no unit."""
KEPT = ["happiness", "surprise", "fear", "anger"]


def row(columns: list[str], clip: dict[str, Any], at: int) -> list[Any]:
    """A clip under the columns of a set; a column that is no role holds itself."""
    known = {**clip, "subject": f"{at + 1:03d}", "clip": f"EP{at:02d}", "blank": "", "kind": "Micro - 1/2"}
    return [known.get(name, name) for name in columns]


LAYOUTS: dict[str, tuple[list[str], list[str], list[list[str]], float]] = {
    "casme2": (
        ["Subject", "Filename", "", "OnsetFrame", "ApexFrame", "OffsetFrame", "", "Action Units", "Estimated Emotion"],
        ["subject", "clip", "blank", "onset", "apex", "offset", "blank", "units", "emotion"],
        [],
        200,
    ),
    "samm": (
        [
            "Subject",
            "Filename",
            "Inducement Code",
            "Onset Frame",
            "Apex Frame",
            "Offset Frame",
            "Duration",
            "Micro",
            "Action Units",
            "Estimated Emotion",
            "Objective Classes",
            "Notes",
        ],
        ["subject", "clip", "3", "onset", "apex", "offset", "40", "kind", "units", "emotion", "I", ""],
        [["SAMM Micro-movements"], ["a note, with a comma"], *([[""]] * 11)],
        200,
    ),
    "mmew": (
        [
            "Subject",
            "Filename",
            "OnsetFrame",
            "ApexFrame",
            "OffsetFrame",
            "Action Units",
            "Estimated Emotion",
            "remarks",
        ],
        ["subject", "clip", "onset", "apex", "offset", "units", "emotion", ""],
        [],
        90,
    ),
    "casme_squared": (
        [],
        ["subject", "clip", "onset", "apex", "offset", "units", "emotion", "micro-expression", "disgust"],
        [],
        30,
    ),
    "casme3_partA": (
        ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"],
        ["subject", "clip", "onset", "apex", "offset", "units", "IV", "emotion"],
        [],
        30,
    ),
    "4dme": (
        [
            "sub_ID",
            "fold",
            "fold_name",
            "Onset",
            "Apex",
            "Offset",
            "AUs",
            "Emotion",
            "Positive",
            "Negative",
            "Surprise",
            "Repression",
            "Others",
            "eye blink",
            "AU1",
            "AU2",
            "Total",
        ],
        [
            "subject",
            "1",
            "clip",
            "onset",
            "apex",
            "offset",
            "units",
            "emotion",
            "1",
            "0",
            "0",
            "0",
            "0",
            "0",
            "1",
            "0",
            "1",
        ],
        [],
        60,
    ),
    "casme": (
        [
            "Subject",
            "Filename",
            "Unnamed: 2",
            "OnsetF",
            "ApexF1",
            "ApexF2",
            "OffsetF",
            "Unnamed: 7",
            "AU",
            "Emotion",
            "Notes",
        ],
        ["subject", "clip", "blank", "onset", "apex", "0", "offset", "blank", "units", "emotion", ""],
        [],
        60,
    ),
    "dfme": (
        ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Emotion", "AU", "", "", ""],
        ["subject", "clip", "onset", "apex", "offset", "emotion", "units", "blank", "blank", "blank"],
        [],
        300,
    ),
    "own": (
        ["Emotion", "action_units", "onset", "apex", "offset"],
        ["emotion", "units", "onset", "apex", "offset"],
        [],
        100,
    ),
}


def table(name: str, clips: list[dict[str, Any]] = CLIPS, delimiter: str = ",") -> str:
    """Clips as a set writes them."""
    header, columns, preamble, _ = LAYOUTS[name]
    out = io.StringIO()
    rows = [row(columns, clip, at) for at, clip in enumerate(clips)]
    csv.writer(out, delimiter=delimiter).writerows([*preamble, *([header] if header else []), *rows])
    return out.getvalue()


def read(tmp_path: Path, text: str | bytes, fps: float | None = None) -> Coded:
    path = tmp_path / "coded.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_coded(path, fps)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout(name: str, tmp_path: Path) -> None:
    fps = LAYOUTS[name][3]
    coded = read(tmp_path, table(name), fps if name in ("dfme", "own") else None)
    assert (coded.layout, coded.fps) == (name, fps)
    assert [clip.emotion for clip in coded.clips] == KEPT
    first, second, third, last = coded.clips
    assert written(first.coding.units) == "6+R12B" and written(last.coding.units) == "4+7"
    assert first.rise_ms == pytest.approx(20 / fps * 1000) and first.duration_ms == pytest.approx(40 / fps * 1000)
    assert third.rise_ms is None and third.duration_ms is None and third.coding.numbers == {5, 20, 26}
    if name != "own":
        assert (first.subject, second.subject) == ("001", "002") and second.clip == "EP01"
    start = len(LAYOUTS[name][2]) + bool(LAYOUTS[name][0]) + 1
    assert [clip.line - start for clip in coded.clips] == [0, 1, 3, 6]
    assert set(coded.left_out) == {start + 4, start + 5} and set(coded.remarks) == {start + 3}
    assert "'4+x7'" in coded.left_out[start + 4] and "at least one action unit" in coded.left_out[start + 5]
    assert coded.other_emotions == {"others": 1}
    assert "others 1" in str(coded) and coded.to_dict()["clips"] == dict.fromkeys(sorted(KEPT), 1)


def test_counts_are_as_the_packaged_ones(tmp_path: Path) -> None:
    counts = read(tmp_path, table("casme2")).counts()
    assert counts["happiness"].n == 1 and counts["happiness"].au == {6: 1, 12: 1}
    assert counts["fear"].au == {5: 1, 20: 1, 26: 1}
    assert counts["fear"].pairs == {(5, 20): 1, (5, 26): 1, (20, 26): 1}


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_delimiters(delimiter: str, tmp_path: Path) -> None:
    assert [c.emotion for c in read(tmp_path, table("samm", delimiter=delimiter)).clips] == KEPT


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "gb18030"])
def test_encodings_and_chinese_commas(encoding: str, tmp_path: Path) -> None:
    clips = [{"emotion": "sad", "units": "4，7、L14", "onset": 3, "apex": 6, "offset": 12}]
    coded = read(tmp_path, table("casme3_partA", clips).encode(encoding))
    assert coded.clips[0].emotion == "sadness" and written(coded.clips[0].coding.units) == "4+7+L14"


def test_casme_2_or_mmew_needs_a_frame_rate(tmp_path: Path) -> None:
    """Without CASME II's blank columns or MMEW's remarks nothing tells 200 frames a second from 90."""
    text = table("mmew").replace(",remarks", "").replace(",\r\n", "\r\n")
    assert read(tmp_path, text).fps is None and read(tmp_path, text).clips[0].duration_ms is None
    assert "give --fps" in str(read(tmp_path, text))
    assert read(tmp_path, text, 90).clips[0].duration_ms == pytest.approx(40 / 90 * 1000)


def test_missing_apex_and_offset(tmp_path: Path) -> None:
    clips = [
        {"emotion": "fear", "units": "20", "onset": 10, "apex": "/", "offset": 50},
        {"emotion": "fear", "units": "20", "onset": 10, "apex": 20, "offset": 0},
        {"emotion": "fear", "units": "20", "onset": "", "apex": 20, "offset": 30},
    ]
    first, second, third = read(tmp_path, table("casme2", clips)).clips
    assert (first.rise_ms, first.duration_ms) == (None, 200)
    assert (second.rise_ms, second.duration_ms) == (50, None)
    assert (third.rise_ms, third.duration_ms) == (None, None)


def test_macro_expressions_and_several_emotions_are_left_out(tmp_path: Path) -> None:
    text = table("casme_squared", CLIPS[:2] + CLIPS[:1]).replace("micro-expression", "macro-expression", 1)
    coded = read(tmp_path, text)
    assert coded.left_out == {1: "a macro-expression"} and len(coded.clips) == 2
    clips = [{**CLIPS[0], "emotion": "Negative, Surprise"}, {**CLIPS[0], "emotion": "Negative"}, CLIPS[1]]
    coded = read(tmp_path, table("4dme", clips))
    assert "one emotion" in coded.left_out[2] and coded.other_emotions == {"negative": 1}


def test_units_over_many_columns(tmp_path: Path) -> None:
    head = "Subject,Filename,OnsetFrame,ApexFrame,OffsetFrame,Emotion,"
    listed = read(tmp_path, head + "AU1,AU2,AU3\n1,a,1,2,3,fear,5,20,\n1,b,1,2,3,fear,AU26,,\n")
    assert [sorted(clip.coding.numbers) for clip in listed.clips] == [[5, 20], [26]]
    marked = read(tmp_path, head + "AU1,AU2,AU20\n1,a,1,2,3,fear,1,0,1\n1,b,1,2,3,fear,,,1\n")
    assert [sorted(clip.coding.numbers) for clip in marked.clips] == [[1, 20], [20]]


def test_times_in_ms_need_no_frame_rate(tmp_path: Path) -> None:
    coded = read(tmp_path, "emotion,action_units,onset_ms,apex_ms,offset_ms\nfear,20,1000,1100.5,1300\n", 25)
    assert coded.fps == 0 and coded.clips[0].rise_ms == 100.5 and "in ms" in str(coded)
    assert read(tmp_path, "action_units,emotion\n4,anger\n").clips[0].duration_ms is None


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "expected 'emotion,action_units"),
        ("a,b,c\n1,2,3\n", "got 'a,b,c'"),
        ("emotion,units\nfear,20\n", "expected 'emotion,action_units"),
        ("emotion,action_units\nothers,4\n", "emotions {'others': 1}"),
        ("emotion,action_units\nfear,\n", "at least one action unit"),
        (b"PK\x03\x04rest", "spreadsheet"),
        (bytes(range(256)), "expected"),
    ],
)
def test_no_coding_is_one_line(text: str | bytes, match: str, tmp_path: Path) -> None:
    with pytest.raises(EquimeError, match=match) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_no_file_and_no_rate(tmp_path: Path) -> None:
    with pytest.raises(EquimeError, match="cannot read"):
        read_coded(tmp_path / "none.csv")
    for fps in (0.0, -25.0, math.nan):
        with pytest.raises(EquimeError, match="--fps"):
            read(tmp_path, table("samm"), fps)


def sampled(tmp_path: Path, each: int, emotions: tuple[str, ...] = EMOTIONS) -> Coded:
    """Programmes of the packaged model, as a coded file in ms."""
    lines = ["emotion,action_units,onset_ms,apex_ms,offset_ms"]
    for index in range(each):
        for emotion in emotions:
            p = PACKAGED.sample(emotion, partial(noise, seed_of(2, f"{emotion}{index}")))
            lines.append(f"{emotion},{written(p.units)},{p.onset_ms!r},{p.apex_ms!r},{p.offset_ms!r}")
    return read(tmp_path, "\n".join(lines))


def test_a_model_fitted_to_its_own_clips_is_itself(tmp_path: Path) -> None:
    each = 1500
    model = EmotionModel.from_coded(sampled(tmp_path, each))
    assert not model.borrowed
    tests = sum(len(units.units) for units in PACKAGED.units.values())
    for emotion, units in PACKAGED.units.items():
        for au in units.units:
            low, high = stats.binom.interval(1 - 1e-3 / tests, each, units.chance(au))
            assert low <= model.units[emotion].chance(au) * (each + 1) - 0.5 <= high, (emotion, au)
        for level in (0.1, 0.5, 0.9):
            for name in ("duration", "onset_to_apex"):
                ms = getattr(model.times[emotion], name).quantile(level)
                assert ms == pytest.approx(getattr(PACKAGED.times[emotion], name).quantile(level), rel=0.12)
        for letter, share in PACKAGED.intensities[emotion].shares.items():
            assert model.intensities[emotion].shares[letter] == pytest.approx(share, abs=0.05)
        assert model.sides[emotion].left == pytest.approx(PACKAGED.sides[emotion].left, abs=0.1)
    assert model.ceiling().uf1 == pytest.approx(PACKAGED.ceiling().uf1, abs=0.03)
    assert EmotionModel.from_json(model.to_json()) == model


def test_emotions_that_the_file_lacks_are_borrowed(tmp_path: Path) -> None:
    coded = sampled(tmp_path, 30, ("anger", "happiness"))
    model = EmotionModel.from_coded(coded, "mine")
    assert model.units["anger"].evidence == {"mine": 30.0}
    assert model.units["fear"] == PACKAGED.units["fear"]
    assert model.borrowed["fear"].lacking == ("mine", "casme2")
    assert model.borrowed["fear"].shares == pytest.approx({"samm": 2 / 3, PROTOTYPE: 1 / 3})
    pooled = EmotionModel.from_coded(coded, "mine", 2.0, {"samm": 1.0})
    assert pooled.units["anger"].evidence == {"samm": 57.0, "mine": 60.0}
    whole = 2 * sum(7 in clip.coding.numbers for clip in coded.clips if clip.emotion == "anger")
    assert pooled.units["anger"].marks[7] == pytest.approx((whole + COUNTS["samm"]["anger"].au[7]) / 117)
    assert EmotionModel.from_coded(coded, "mine", 0.0, dict(WEIGHTS)).units == PACKAGED.units


def test_manner_and_times_follow_an_emotion_where_there_is_data(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["emotion,action_units,onset_ms,apex_ms,offset_ms"]
    for _ in range(200):
        for emotion, unit, middle in (("fear", "L20A", 150), ("anger", "R4E", 400)):
            duration = middle * rng.uniform(0.8, 1.2)
            lines.append(f"{emotion},{unit},0,{duration * 0.5},{duration}")
    model = EmotionModel.from_coded(read(tmp_path, "\n".join(lines)))
    medians = {e: model.times[e].duration.quantile(0.5) for e in ("fear", "anger", "sadness")}
    assert medians["fear"] < 200 < 350 < medians["anger"]
    assert medians["fear"] < medians["sadness"] < medians["anger"]  # no clip of its own: of all clips and the tables
    assert model.intensities["fear"].shares["A"] > 0.85 and model.intensities["anger"].shares["E"] > 0.85
    assert model.sides["fear"].one_sided[20] > 0.85 and model.sides["fear"].left > 0.85 > model.sides["anger"].left
    plain = EmotionModel.from_coded(read(tmp_path, "emotion,action_units\n" + "fear,20\n" * 50))
    for emotion in EMOTIONS:
        assert plain.intensities[emotion] == PACKAGED.intensities[emotion]
        assert plain.sides[emotion] == PACKAGED.sides[emotion]
        assert plain.times[emotion].duration.quantile(0.5) == pytest.approx(
            PACKAGED.times[emotion].duration.quantile(0.5)
        )


def test_a_set_counts_once(tmp_path: Path) -> None:
    coded = read(tmp_path, table("samm"))
    with pytest.raises(EquimeError, match="--set NAME"):
        EmotionModel.from_coded(coded, tables={"samm": 1.0})
    assert EmotionModel.from_coded(coded, "again", tables={"samm": 1.0}).units["anger"].evidence["again"] == 1.0
    for weight in (-1.0, math.nan):
        with pytest.raises(EquimeError, match="weights = "):
            EmotionModel.from_coded(coded, weight=weight)
    with pytest.raises(EquimeError, match="weights = "):
        EmotionModel.from_coded(coded, tables={"smic": 1.0})
