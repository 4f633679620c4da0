"""Pictures of audits: what is drawn from what, marks that differ in more than colour, the same bytes every time."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from equime import schema
from equime.audit.drawing import panels
from equime.audit.drawing.plots import ROWS, Plot, draw, save
from equime.audit.result import Audit, Finding
from equime.errors import EquimeError

matplotlib = pytest.importorskip("matplotlib")

from equime.report.charts import chart_of


def audit(*findings: Finding, drawn: tuple[str, ...]) -> Audit:
    return Audit("gaps", "Does it hold?", findings, (), drawn)


def recall(group: str, value: float | None, by: str = "race", **more: object) -> Finding:
    ends = {} if value is None else {"low": value - 0.1, "high": value + 0.05}
    fields = {"measure": "recall", "of": "fear", "by": by, "group": group, "value": value, "clips": 120, "subjects": 15}
    return Finding(**{**fields, **ends, **more})  # type: ignore[arg-type]


def npmi(group: str, level: str, value: float | None, **more: object) -> Finding:
    fields = {"measure": "local NPMI", "of": level, "by": "race", "group": group, "value": value, "clips": 40}
    return Finding(**{**fields, **more})  # type: ignore[arg-type]


def words(plot: Plot) -> list[str]:
    """All text that stands in a figure."""
    return [text.get_text() for text in plot.figure.findobj(matplotlib.text.Text) if text.get_text()]


def dots(plot: Plot) -> dict[str, tuple[float, float]]:
    """Row's label -> where its filled or hollow mark is, of a picture with one column."""
    area = plot.figure.axes[0]
    names = dict(zip(area.get_yticks(), (label.get_text() for label in area.get_yticklabels()), strict=True))
    marks = [line for line in area.lines if line.get_marker() not in ("None", None, "")]
    return {names[round(line.get_ydata()[0])]: (line.get_xdata()[0], line.get_ydata()[0]) for line in marks}


GAPS = audit(
    recall("asian", 0.6, reference=0.2),
    recall("black", 0.3, small=True, clips=12, subjects=3, reference=0.2),
    recall("white", None, note="no clip of fear", clips=0),
    recall("female", 0.5, by="gender"),
    recall("male", 0.4, by="gender"),
    Finding(measure="gap", of="recall", by="race", value=0.3, note="asian against black", clips=132, subjects=18),
    drawn=("recall of fear",),
)


def test_a_picture_for_each_attribute_and_only_of_what_is_drawn() -> None:
    plots = draw(GAPS)
    assert [plot.name for plot in plots] == ["gaps-race", "gaps-gender"]
    assert plots[0].findings == GAPS.findings[:3] and plots[1].findings == GAPS.findings[3:5]
    assert "perceived race" in plots[0].title
    assert draw(replace(GAPS, drawn=())) == [] == draw(audit(recall("a", None, note="none"), drawn=("recall of fear",)))


def test_dots_stand_where_the_numbers_are_with_their_n() -> None:
    found = dots(draw(GAPS)[0])
    assert found == {"asian (n=120)": (0.6, 0), "black (n=12)": (0.3, 1)}
    assert "white (n=0)" in words(draw(GAPS)[0]) and words(draw(GAPS)[0]).count("not measured") == 1


def test_small_groups_are_hollow_and_references_are_dashed() -> None:
    area = draw(GAPS)[0].figure.axes[0]
    marks = {round(line.get_ydata()[0]): line for line in area.lines if line.get_marker() == "o"}
    assert marks[0].get_markerfacecolor() == panels.COLOURS[0] != marks[1].get_markerfacecolor()
    dashed = [line for line in area.lines if line.is_dashed()]
    assert [set(line.get_xdata()) for line in dashed] == [{0.2}, {0.2}]
    spans = [
        tuple(line.get_xdata()) for line in area.lines if len(set(line.get_ydata())) == 1 and line not in marks.values()
    ]
    assert (0.5, 0.65) in [tuple(np.round(span, 9)) for span in spans if len(span) == 2]


def test_series_differ_in_shape_too() -> None:
    scopes = [
        recall(group, value, scope=scope) for scope, value in (("planned", 0.3), ("accepted", 0.5)) for group in "ab"
    ]
    plot = draw(audit(*scopes, drawn=("recall of fear",)))[0]
    shapes = {line.get_marker() for line in plot.figure.axes[0].lines} - {"None", ""}
    assert len(shapes) == 2 and {"planned", "accepted"} <= set(words(plot))


def test_shares_of_people_and_of_clips_are_bars_side_by_side() -> None:
    shares = [
        Finding(measure="share", of=of, by="race", group=group, value=value, reference=0.5, clips=9, subjects=9)
        for of, values in (("subjects", (0.7, 0.3)), ("clips", (0.6, 0.4)))
        for group, value in zip(("asian", "white"), values, strict=True)
    ]
    plot = draw(audit(*shares, drawn=("share of subjects", "share of clips")))[0]
    (area,) = plot.figure.axes
    assert sorted(round(bar.get_width(), 9) for bar in area.patches) == [0.3, 0.4, 0.6, 0.7]
    assert {"subjects", "clips"} <= set(words(plot))


def test_a_measure_of_many_things_is_a_table_of_cells() -> None:
    levels = {"happiness": 0.25, "fear": -0.5, "anger": None}
    cells = [npmi(g, level, v, note="" if v else "none") for g in ("asian", "white") for level, v in levels.items()]
    plot = draw(audit(*cells, drawn=("local NPMI",)))[0]
    said = words(plot)
    assert said.count("0.25") == said.count("-0.50") == said.count("–") == 2 and {*levels} <= set(said)
    strong, weak = ([p.get_facecolor() for p in plot.figure.axes[0].patches][k] for k in (1, 0))
    assert strong[3] > weak[3] and strong[:3] != weak[:3]


def test_pictures_that_would_be_empty_are_left_out() -> None:
    levels = [npmi(group, level, 0.0) for group in ("asian", "white") for level in schema.EMOTIONS]
    assert draw(audit(*levels, drawn=("local NPMI",))) == []
    assert draw(audit(recall("", 0.5, by=""), drawn=("recall of fear",))) == [], "a row alone is a line of the table"


def test_a_column_without_a_number_is_left_out_and_a_row_says_so_once() -> None:
    scopes = [recall(g, 0.5 if g == "a" else None, scope=s, note="few") for s in ("planned", "accepted") for g in "ab"]
    nothing = [recall(group, None, of="anger", note="few") for group in "ab"]
    plot = draw(audit(*scopes, *nothing, drawn=("recall of fear", "recall of anger")))[0]
    assert len(plot.figure.axes) == 1 and words(plot).count("not measured") == 1
    figure, (area,) = plot.figure, plot.figure.axes
    figure.canvas.draw()
    (said,) = (text for text in area.texts if text.get_text() == "not measured")
    inside, box = area.get_window_extent(), said.get_window_extent()
    assert inside.x0 <= box.x0 < box.x1 <= inside.x1


def test_labels_that_only_some_groups_have_make_no_series() -> None:
    found = [recall("", 0.5, labels=who) for who in ("source", "")]
    found = [replace(each, by=by) for each, by in zip(found, ("race", "skin"), strict=True)]
    assert "source" not in words(draw(audit(*found, drawn=("recall of fear",)))[0])


def test_statements_over_all_groups_have_a_row_for_each_attribute() -> None:
    found = [
        Finding(measure="V", of=of, by=by, value=0.1, clips=9, subjects=9) for of in "ab" for by in ("race", "age")
    ]
    plot = draw(audit(*found, drawn=("V of a", "V of b")))[0]
    assert {"race (n=9)", "age (n=9)", "V of a", "V of b"} <= set(words(plot)) and len(plot.figure.axes) == 2


def test_many_groups_are_cut_and_all_stay_in_the_findings() -> None:
    many = [recall(f"lab {k:03}", 0.5, by="lab") for k in range(3 * ROWS)]
    plot = draw(audit(*many, drawn=("recall of fear",)))[0]
    assert len(plot.findings) == 3 * ROWS and len(plot.figure.axes[0].get_yticks()) == ROWS


def test_alternative_text_says_values_and_intervals() -> None:
    alt = draw(GAPS)[0].alt
    assert "recall of fear, asian: 0.600 (0.500 to 0.650)" in alt and "white: not measured" in alt


# --- files


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_same_audit_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    first, again = save(draw(GAPS), tmp_path / f"a{suffix}"), save(draw(GAPS), tmp_path / f"b{suffix}")
    assert [path.name for path in first] == [f"a-1{suffix}", f"a-2{suffix}"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    single = save(draw(GAPS)[:1], tmp_path / f"c{suffix}")
    assert single == [tmp_path / f"c{suffix}"] and single[0].read_bytes() == first[0].read_bytes()
    assert save(draw(GAPS)[:1], single[0])[0].read_bytes() == first[0].read_bytes()


def test_what_is_written_is_a_picture(tmp_path: Path) -> None:
    png, svg = save(draw(GAPS)[:1], tmp_path / "a.PNG")[0], save(draw(GAPS)[:1], tmp_path / "a.svg")[0]
    with Image.open(png) as image:
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 24) or []}
    assert {(255, 255, 255), (0x00, 0x72, 0xB2)} <= colours
    assert ElementTree.parse(svg).getroot().tag.endswith("svg") and "Recall by perceived race" in svg.read_text()


@pytest.mark.parametrize("name", ["a.pdf", "a", "a.jpg"])
def test_another_ending_is_refused_in_a_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(EquimeError, match=r"ends in \.png or \.svg"):
        save(draw(GAPS), tmp_path / name)
    with pytest.raises(EquimeError, match="cannot write"):
        (tmp_path / "file").touch()
        save(draw(GAPS)[:1], tmp_path / "file" / "a.png")


def test_nothing_of_a_callers_settings_is_changed(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    save(draw(GAPS), tmp_path / "a.svg")
    chart_of(draw(GAPS)[0])
    assert dict(matplotlib.rcParams) == before


# --- inside a page

NASTY = ("<script>alert(1)</script>", '"quoted" & $x^2$', "</svg><b>", "{{7*7}}", "名前 \u202e\x07")


def nasty() -> Plot:
    return draw(audit(*(recall(name, 0.5, by="lab") for name in NASTY), drawn=("recall of fear",)))[0]


def test_a_chart_is_one_small_element_without_styles_or_colours_of_its_own() -> None:
    plots = [
        *draw(GAPS),
        nasty(),
        draw(audit(*(npmi(r, e, 0.1) for r in schema.RACES for e in schema.EMOTIONS), drawn=("local NPMI",)))[0],
    ]
    for plot in plots:
        chart = chart_of(plot)
        root = ElementTree.fromstring(chart.svg)
        assert root.get("role") == "img" and root.get("aria-label", "").startswith(plot.title)
        assert len(chart.svg) < 40_000 and not re.search(
            r"style|<!|<\?|xmlns|#[0-9a-f]{6}\b", re.sub(r"#[\w+-]+-[mpC]", "", chart.svg)
        )
        assert not re.search(r"#[0-9a-f]{3,6}|url\((?!#)|font-family", " ".join(chart.rules.values()))
        assert {name for element in root.iter() for name in (element.get("class") or "chart").split()} <= {
            *chart.rules,
            "chart",
        }


def test_names_inside_charts_are_their_own() -> None:
    charts = [ElementTree.fromstring(chart_of(plot).svg) for plot in draw(GAPS)]
    ids = [element.get("id") for chart in charts for element in chart.iter() if element.get("id")]
    assert len(ids) == len(set(ids)) > 0
    used = {
        u
        for chart in charts
        for e in chart.iter()
        for u in re.findall(r"#([\w+-]+)", f"{e.get('href')} {e.get('clip-path')}")
    }
    assert used == set(ids)


def test_text_from_data_stays_text() -> None:
    chart = ElementTree.fromstring(chart_of(nasty()).svg)
    assert {element.tag for element in chart.iter()} <= {"svg", "g", "path", "text", "use", "defs", "clipPath", "rect"}
    said = [element.text for element in chart.iter("text")]
    for name in ("<script>alert(1)</script>", '"quoted" & $x^2$', "</svg><b>", "{{7*7}}", "名前 \\u202e\\x07"):
        assert f"{name} (n=120)" in said
