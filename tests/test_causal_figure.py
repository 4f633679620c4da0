from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from equime.action_units import NAMES, parse
from equime.causal import ARROWS, EmotionModel
from equime.errors import EquimeError
from equime.scm.coded import Coded, CodedClip
from equime.scm.figure import NODES, draw

pytest.importorskip("matplotlib")
MODEL = EmotionModel.from_tables()


def words(path: Path) -> str:
    """What an SVG of matplotlib says: each text stands in a comment beside its outlines."""
    return "\n".join(re.findall(r"<!-- (.*?) -->", path.read_text(), re.DOTALL))


def test_the_svg_says_the_model_and_is_the_same_each_time(tmp_path: Path) -> None:
    draw(MODEL, tmp_path / "a.svg", "A title")
    draw(MODEL, tmp_path / "b.svg", "A title")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert ET.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")
    text = words(tmp_path / "a.svg")
    assert "A title" in text and "EMFACS prototype 33%" in text and "all emotions" in text
    for emotion, units in MODEL.units.items():
        assert emotion in text
        assert f"{units.mean:.2f} a clip" in text
        for au in units.units:
            assert f"{au}  {NAMES[au]}" in text
            assert f"{units.chance(au):.2f}".removeprefix("0") in text
    for _, _, label in NODES.values():
        assert all(line in text for line in label.split("\n"))


def test_every_arrow_has_its_nodes_and_none_leads_from_demographics_but_to_the_face() -> None:
    assert {name for arrow in ARROWS for name in arrow} == set(NODES)
    assert [effect for cause, effect in ARROWS if cause == "D"] == ["face"]
    assert not [cause for cause, effect in ARROWS if effect in ("D", "E")]


def test_the_png_is_full_size_and_the_same_each_time(tmp_path: Path) -> None:
    draw(MODEL, tmp_path / "a.png")
    draw(MODEL, tmp_path / "b.PNG")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.PNG").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert image.width >= 2000
        pixels = np.asarray(image.convert("L"))
    assert pixels[:5].mean() > 250 and 0.05 < (pixels < 200).mean() < 0.5
    draw(MODEL, tmp_path / "c.pdf")
    assert (tmp_path / "c.pdf").read_bytes().startswith(b"%PDF")


def test_a_model_whose_emotions_differ_in_manner(tmp_path: Path) -> None:
    clips = [
        CodedClip(
            line,
            "s",
            "c",
            *((("fear", parse("L20A")), ("anger", parse("R4E")))[line % 2]),
            100.0,
            150.0 + 200 * (line % 2),
        )
        for line in range(60)
    ]
    draw(EmotionModel.from_coded(Coded("own", 0, tuple(clips))), tmp_path / "a.svg")
    text = words(tmp_path / "a.svg")
    assert "all emotions" not in text and "own 100%" in text and "dashed" in text


def test_a_bad_path_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(EquimeError, match=r"\.svg, \.png or \.pdf"):
        draw(MODEL, tmp_path / "a.jpg")
    with pytest.raises(EquimeError, match="cannot write"):
        draw(MODEL, tmp_path / "no" / "a.svg")


def test_pyplot_stays_out(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from equime.causal import EmotionModel;"
        "from equime.scm.figure import draw;"
        "assert 'matplotlib' not in sys.modules;"
        "draw(EmotionModel.from_tables(), Path(sys.argv[1])); print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.svg")], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
