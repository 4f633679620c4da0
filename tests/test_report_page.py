"""The report's page: what it holds and leaves out, and how it behaves in a real browser."""

from __future__ import annotations

import base64
import json
import math
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from browser import CHROMIUM, MISSING, Browser, Page
from make_clips import clip_bytes
from make_workspace import add_rows, make_row, make_workspace

from equime import schema
from equime.audit.result import Audit, Finding
from equime.cli import main
from equime.errors import EquimeError
from equime.report.gallery import gallery as gallery_of
from equime.report.overview import Grid
from equime.report.page import html, write
from equime.report.parts import PICTURES
from equime.report.sections import Material, Section, sections
from equime.report.terms import TERMS
from equime.table import Table

pytest.importorskip("matplotlib")
in_browser = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)

FPS, FRAMES, SIDE, SHOWN = 24, 24, 64, 30
NASTY = "<script>alert(\"x\")</script> 'q' </script> {{7*7}} <!--style--> <img src=x onerror=alert(2)> \u2028 &amp;"


def gaps(name: str = "gaps", groups: tuple[str, ...] = schema.RACES, note: str = "") -> Audit:
    found = [
        Finding(
            measure="recall",
            of=of,
            by="race",
            group=group,
            value=0.3 + k / 20,
            low=0.2,
            high=0.7,
            clips=90 + k,
            subjects=9,
            note=note,
        )
        for of in ("fear", "anger")
        for k, group in enumerate(groups)
    ]
    gap = Finding(
        measure="gap", of="recall", by="race", value=0.25, reference=1e-05, p=0.004, clips=600, subjects=60, note=note
    )
    none = Finding(measure="gap", of="UF1", by="race", clips=600, subjects=60, note='one class only, "so" none')
    return Audit(
        name, f"Does it hold? {note}", (*found, gap, none), (f"Whole people are drawn. {note}",), ("recall of fear",)
    )


def clip(k: int) -> dict[str, Any]:
    """A clip as the gallery gives it: every fifth fear, a third accepted, rejected and not scored, the last broken."""
    emotion = schema.EMOTIONS[k % 5]
    data = base64.b64encode(clip_bytes(FRAMES, SIDE, FPS, seed=k)).decode()
    times = {"onset": 1200.0, "apex": 1350.0, "offset": 1600.0}
    film = {
        "src": f"data:video/mp4;base64,{data}",
        "start_ms": 1000.0,
        "fps": FPS,
        "frames": FRAMES,
        "width": SIDE,
        "height": SIDE,
    }
    nothing = {
        "src": None,
        "error": "the face is hidden",
        "start_ms": 0.0,
        "fps": FPS,
        "frames": None,
        "width": None,
        "height": None,
    }
    return {
        **{"id": f"{emotion}/f_{k}_0", "emotion": emotion, "control": None, "design": "balanced", "split": "train"},
        "units": [{"au": 12 if k % 2 else 4, "side": "B", "intensity": "B"}],
        "measured_units": None if k % 2 else [],
        "groups": {"gender": "female" if k < 10 else "male", "age": None, "race": schema.RACES[k % 6], "skin": None},
        **{"labels": "tag", "accepted": (True, False, None)[k % 3], "reasons": ["too still"] * (k % 3 == 1)},
        **{"disagreement": k % 10 == 0, "scores": {"amplitude": k / 10, "identity": None if k % 2 else 1.0}},
        **{"planned": times, "measured": {**times, "offset": None} if k % 2 else None},
        **{"caption": NASTY if k == 0 else f"Clip {k}", "twin": None, "why": f"median of {emotion}"},
        **(nothing if k == SHOWN - 1 else film),
    }


@pytest.fixture(scope="module")
def gallery() -> dict[str, Any]:
    clips = [clip(k) for k in range(SHOWN)]
    facts = {"total": 75000, "shown": SHOWN, "inline": True, "scores": ["amplitude", "identity"]}
    return facts | {"units": {"12": "Lip Corner Puller", "4": "Brow Lowerer"}, "clips": clips}


def parts() -> list[Section]:
    strange = gaps("strange", (NASTY, "{{7*7}}", "</script>"), NASTY)
    grid = Grid("Counts", ("emotion", "clips"), (("fear", "1,200"), (NASTY, "–")), "All of them.")
    return [
        Section("contents", "What this is", "", ("1,200 clips of 60 subjects.", grid)),
        Section("gaps", "Gaps", "By group.", (gaps(),)),
        Section("strange", NASTY, NASTY, (strange, NASTY)),
        Section("none", "Twins", refused="happiness/f_7_0 has no pair"),
        Section("named", "Names", "", (gaps("named", note="fear/m_p-7_01 is odd"),)),
    ]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, gallery: dict[str, Any]) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    assert write(path, parts(), gallery, faces=True, terms=TERMS) == path.stat().st_size
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as found:
        yield found


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Page]:
    found = browser.open(report.as_uri())
    found.until("document.querySelectorAll('.clip').length === 24")
    yield found
    assert found.said == []
    assert found.requests == [report.as_uri(), *(url for url in found.requests if url.startswith(("data:", "blob:")))]
    found.close()


# --- what it holds


class Tags(HTMLParser):
    """Where a page's elements point, and what they would run or how they are styled on their own."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]
        self.handlers += [f"{tag} {name}" for name, _ in attrs if name == "style" or name.startswith("on")]


def test_it_is_one_file_that_names_no_other(report: Path) -> None:
    text = report.read_text()
    tags = Tags()
    tags.feed(text)
    assert all(value[:1] == "#" or value.startswith("data:") for value in tags.addresses)
    assert len(tags.addresses) > 5 and not tags.handlers
    policy = re.search(r'Policy" content="([^"]+)"', text)
    assert policy and "default-src 'none'" in policy[1] and "connect-src 'none'" in policy[1]
    assert "unsafe" not in policy[1] and "http" not in policy[1]


def test_every_number_has_its_n_and_every_picture_its_table(report: Path) -> None:
    text = report.read_text()
    assert text.count("<svg") == text.count("<figure>") == 3 <= PICTURES
    assert '<td class="n">90</td>' in text and "Numbers (6)" in text and "asian (n=90)" in text
    assert "one class only, &quot;so&quot; none" in text and "not measured" in text


def test_terms_stand_where_faces_do_and_nowhere_else(report: Path, gallery: dict[str, Any]) -> None:
    assert "CC BY-NC 4.0" in report.read_text() and "made from photographs of real people" in report.read_text()
    bare = html(parts(), gallery, faces=False, terms=TERMS)
    assert "CC BY-NC" not in bare and "video/mp4" not in bare and 'id="gallery"' not in bare
    assert (
        not schema.CLIP_ID.search(re.sub(r"<(style|script)>.*?</\1>", "", bare, flags=re.S))
        and "(a clip) has no pair" in bare
    )


def test_the_same_parts_give_the_same_page(gallery: dict[str, Any]) -> None:
    assert html(parts(), gallery, faces=True, terms=TERMS) == html(parts(), gallery, faces=True, terms=TERMS)


def test_a_served_page_holds_no_clips_and_may_ask_its_own_server() -> None:
    text = html(parts(), None, faces=True, terms=TERMS, served=True)
    assert 'id="gallery" data-served' in text and "connect-src 'self'" in text and 'id="clips"' not in text


def test_data_for_the_script_cannot_end_its_element(report: Path) -> None:
    for found in re.findall(r'<script type="application/json" id="([^"]+)">(.*?)</script>', report.read_text(), re.S):
        assert not set("<>&\u2028\u2029") & set(found[1]) and json.loads(found[1])


# --- of a workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "ws"
    make_workspace(path, subjects=24, shard_rows=30, failed=[3], rejected=range(0, 120, 7))
    return path


def test_sections_of_a_workspace(workspace: Path) -> None:
    titles: list[str] = []
    found = {section.id: section for section in sections(str(workspace), progress=titles.append)}
    assert len(titles) == len(set(titles)) >= len(found)
    short = found["contents"].parts[1]
    assert isinstance(short, Grid) and short.title == "In short" and all(row[-1] for row in short.rows)
    assert found["contents"].parts[0] == "ws: 120 clips of 24 subjects: 119 made, 120 scored, 102 accepted."
    assert found["composition"].parts and found["validity"].parts and not found["quality"].refused
    assert "no pairs" in found["twins"].refused and "performance" not in found and "versions" not in found


def test_nobody_is_named_without_faces(workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(workspace), "--no-faces", "--out", str(tmp_path / "report.html")]) == 0
    assert "no clip" in capsys.readouterr().out
    text = (tmp_path / "report.html").read_text()
    assert "<video" not in re.sub(r"<script>.*?</script>", "", text, flags=re.S) and "data:video" not in text
    assert not re.search(r"\b(?:happiness|sadness|surprise|fear|anger)/[fmu]_", text) and str(workspace) not in text


def test_a_report_with_clips_is_written_and_says_how_large(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.html"
    assert (
        main(["report", str(workspace), "--clips", "3", "--against", str(workspace), "--out", str(out), "--json"]) == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert told["bytes"] == out.stat().st_size and "versions" in told["sections"] and "twins" in told["not_answered"]
    assert out.read_text().count("data:video/mp4") == 3 and "Nothing changed." in out.read_text()


def test_no_section_says_where_things_lie(workspace: Path, tmp_path: Path) -> None:
    answers = tmp_path / "answers.csv"
    answers.touch()
    material = Material(str(workspace), answers, "owner/name@1.0.0")
    told = material.unplaced(f"{answers} has no row of {workspace}, nor of owner/name@1.0.0")
    assert told == "answers.csv has no row of ws, nor of owner/name@1.0.0"


def test_the_folder_one_is_in_has_a_name_and_takes_no_full_stop(
    monkeypatch: pytest.MonkeyPatch, workspace: Path
) -> None:
    monkeypatch.chdir(workspace)
    material = Material(".")
    assert material.name == "ws"
    assert material.unplaced("plan ... in . or ./a, 0.5 of a.b.") == "plan ... in ws or ws/a, 0.5 of a.b."


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_no_number(
    odd: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [field.name for field in schema.CLIPS if pa.types.is_floating(field.type)]
    scores = [name for name in names if schema.OWNER[name] in ("score", "tag")]
    assert {"amplitude", "measured_apex_ms", "identity", "skin_ita", "age", "psnr_consecutive"} <= set(scores)
    for name, value in (("odd", odd), ("none", None)):
        rows = [make_row(5 * s + k, s, 0, emotion) for s in range(24) for k, emotion in enumerate(schema.EMOTIONS)]
        for row in rows[::3]:
            row |= dict.fromkeys(scores, value)
        add_rows(Table.create(tmp_path / name / "ws", shard_rows=30), rows)
        out = tmp_path / f"{name}.html"
        assert main(["report", str(tmp_path / name / "ws"), "--clips", "6", "--out", str(out)]) == 0
        assert json.dumps(gallery_of(str(tmp_path / name / "ws"), inline=False), allow_nan=False)
    capsys.readouterr()
    assert (tmp_path / "odd.html").read_bytes() == (tmp_path / "none.html").read_bytes()


def test_answers_without_labels_are_held_against_the_intended_emotions(workspace: Path, tmp_path: Path) -> None:
    rows = [row for row in Table(workspace).rows(["clip_id", "emotion"])]
    said = [(row["clip_id"], "fear" if k % 4 else row["emotion"], row["emotion"]) for k, row in enumerate(rows)]
    bare, full = tmp_path / "bare.csv", tmp_path / "full.csv"
    bare.write_text("clip_id,prediction\n" + "".join(f"{clip},{answer}\n" for clip, answer, _ in said))
    full.write_text("clip_id,prediction,label\n" + "".join(",".join(line) + "\n" for line in said))
    one, other = (sections(str(workspace), predictions=path) for path in (bare, full))
    assert [s.parts for s in one if s.id == "performance"] == [s.parts for s in other if s.id == "performance"]
    assert next(s for s in one if s.id == "performance").parts
    bare.write_text("clip_id,prediction\nfear/nobody,fear\n")
    with pytest.raises(EquimeError, match="1 are not, the first is 'fear/nobody'"):
        sections(str(workspace), predictions=bare)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--clips", "25"], "expected 0 to 24 clips"),
        (["--out", "{folder}"], "is a folder"),
        (["--out", "{folder}/a.txt"], "expected --out to end in .html or .htm, got"),
        (["--out", "{ws}/score/a.html"], "which is read: give --out another file"),
        (["--out", "{other}/notes/a.html"], "lies in the workspace"),
        (["--labels", "tag", "--out", "{folder}/a.html"], "run `equime tag {ws}`"),
        (["--predictions", "{folder}/none.csv"], "none.csv"),
        (["--against", "{folder}/nothing"], "nothing"),
    ],
)
def test_bad_input_is_one_line(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    bare = tmp_path / "bare"
    make_workspace(bare, subjects=1, groups=["plan", "generate"])
    places = {"folder": tmp_path, "ws": bare if "--labels" in more else workspace, "other": bare}
    words = [word.format(**places) for word in more]
    assert main(["report", str(places["ws"]), "--out", str(tmp_path / "a.html"), *words]) == 1
    error = capsys.readouterr().err
    assert said.format(**places) in error and error.count("\n") == 1 and not (tmp_path / "a.html").exists()


# --- in the browser


@in_browser
def test_text_from_data_is_inert(page: Page) -> None:
    assert page.run("[...document.querySelectorAll('h2')].some((h) => h.textContent.startsWith('<script>alert'))")
    assert page.run("document.querySelector('.clip dl').textContent").count("{{7*7}}") == 1
    assert (
        page.run("document.querySelectorAll('main img').length + document.querySelectorAll('main script').length") == 0
    )


@in_browser
def test_a_clip_plays(page: Page) -> None:
    assert page.run("document.querySelector('video').paused")
    page.run("document.querySelector('.controls button').click()")
    page.until("document.querySelector('video').currentTime > 0.2")
    assert page.run("document.querySelector('video').videoWidth") == SIDE
    assert page.run("document.querySelector('.controls button').textContent") == "Pause"
    head = float(page.run("document.querySelector('.head').getAttribute('x1')"))
    assert head > 52 + 228 * 0.1


@in_browser
def test_frames_are_stepped_with_keys(page: Page) -> None:
    page.run("document.querySelector('video').focus()")
    for presses, (key, frame) in enumerate(
        [(".", 1), ("ArrowRight", 2), (",", 1), ("ArrowLeft", 0), (",", FRAMES - 1)]
    ):
        page.press(key)
        page.until(f"document.querySelector('.seek').value === '{frame}' && !document.querySelector('video').seeking")
        assert page.run("Math.floor(document.querySelector('video').currentTime * 24)") == frame, presses
    page.press(" ")
    page.until("!document.querySelector('video').paused")


AMPLIFY = "document.querySelector('.controls button[aria-pressed]:last-child')"
PIXELS = """(() => {
  const canvas = document.querySelector('.clip canvas');
  const data = canvas ? canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data : [];
  const most = data.reduce((most, value, k) => (k % 4 === 3 ? most : Math.max(most, Math.abs(value - 128))), 0);
  return { length: data[3] === 255 ? data.length : 0, most };  // a blank canvas is transparent
})()"""


def slide(page: Page, what: str, value: int) -> None:
    """Move a slider as a hand does."""
    page.run(f"document.querySelector('{what}').value = {value}")
    page.run(f"document.querySelector('{what}').dispatchEvent(new Event('input', {{ bubbles: true }}))")


@in_browser
def test_the_difference_is_amplified_from_a_file(page: Page) -> None:
    page.run(f"{AMPLIFY}.click()")
    page.until(f"{PIXELS}.length === {4 * SIDE * SIDE} && {PIXELS}.most > 20")
    slide(page, ".seek", 5)
    page.until(f"!document.querySelector('video').seeking && {PIXELS}.most <= 2")  # the frame at onset less itself
    slide(page, ".seek", 9)
    strong = page.until(f"!document.querySelector('video').seeking && {PIXELS}.most > 20 && {PIXELS}.most")
    slide(page, ".gain input", 1)
    assert page.run(PIXELS)["most"] <= strong


def choose(page: Page, name: str, value: str) -> str:
    """Set a filter; what the count then says."""
    page.run(
        f"(() => {{ const field = document.querySelector('.filters').elements[{name!r}]; field.value = {value!r};"
        " field.dispatchEvent(new Event('input', { bubbles: true })); })()"
    )
    return str(page.run("document.querySelector('.count').textContent"))


@in_browser
def test_filters_count_what_they_keep(page: Page, gallery: dict[str, Any]) -> None:
    clips = gallery["clips"]
    cases: list[tuple[str, str, Any]] = [
        ("emotion", "fear", lambda c: c["emotion"] == "fear"),
        ("unit", "12", lambda c: c["units"][0]["au"] == 12),
        ("gender", "female", lambda c: c["groups"]["gender"] == "female"),
        ("accepted", "null", lambda c: c["accepted"] is None),
    ]
    kept = clips
    for name, value, fits in cases:
        kept = [each for each in kept if fits(each)]
        assert choose(page, name, value) == f"{len(kept)} of {SHOWN} clips"
    assert [c["id"] for c in kept] == page.run("[...document.querySelectorAll('.clip')].map((c) => c.dataset.id)")
    page.run("document.querySelector('.filters button[type=reset]').click()")
    page.until(f"document.querySelector('.count').textContent === '{SHOWN} of {SHOWN} clips'")
    page.run("document.querySelector('[name=disagreement]').click()")
    assert page.run("document.querySelector('.count').textContent") == f"3 of {SHOWN} clips"


@in_browser
def test_scores_filter_and_sort(page: Page) -> None:
    choose(page, "score", "amplitude")
    assert choose(page, "least", "2.5") == f"5 of {SHOWN} clips"
    choose(page, "sort", "down")
    assert page.run("document.querySelector('.clip').dataset.id").endswith("f_29_0")
    assert choose(page, "score", "identity") == f"0 of {SHOWN} clips"


@in_browser
def test_more_clips_than_a_page_are_turned(page: Page) -> None:
    assert page.run("document.querySelector('.pages').textContent") == "Previouspage 1 of 2Next"
    page.run("document.querySelectorAll('.pages button')[1].click()")
    assert page.run("document.querySelectorAll('.clip').length") == SHOWN - 24
    assert "the face is hidden" in page.run("[...document.querySelectorAll('.clip')].at(-1).textContent")


@in_browser
def test_the_keyboard_alone_does(page: Page) -> None:
    page.press("Tab")
    assert page.run("document.activeElement.className") == "skip"
    page.press("Enter")
    assert page.run("document.activeElement.id") == "content"
    page.run("document.querySelector('#gallery').scrollIntoView(); document.querySelector('.filters select').focus()")
    page.press("f")  # a select chooses by its first letter
    page.until(f"document.querySelector('.count').textContent === '6 of {SHOWN} clips'")
    for _ in range(40):
        page.press("Tab")
        if page.run("document.activeElement.tagName") == "VIDEO":
            break
    assert page.run("document.activeElement === document.querySelector('video')")
    assert page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.press("Tab")
    page.press("ArrowRight")
    page.until("document.activeElement.value === '1'")
    page.press("Tab")
    page.press("Enter")
    page.until("!document.querySelector('video').paused")


@in_browser
def test_nothing_moves_on_its_own(page: Page) -> None:
    assert page.run("[...document.querySelectorAll('video')].every((v) => v.paused && !v.autoplay)")


@in_browser
@pytest.mark.parametrize("width", [320, 375, 768])
def test_a_phone_scrolls_in_one_direction(page: Page, width: int) -> None:
    page.resize(width, 800)
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run("document.querySelector('.clip').getBoundingClientRect().right") <= width


@in_browser
def test_dark_mode_has_other_colours_of_enough_contrast(page: Page) -> None:
    colours = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color,"
    colours += " getComputedStyle(document.querySelector('.chart text')).fill]"
    light = page.run(colours)
    page.media(dark=True)
    dark = page.run(colours)
    assert all(one != other for one, other in zip(light, dark, strict=True))
    for background, *inks in (light, dark):
        assert [contrast(background, ink) >= least for ink, least in zip(inks, (7, 4.5), strict=True)] == [True, True]


def contrast(one: str, other: str) -> float:
    """Of two CSS colours, 1 to 21, as WCAG 2 has it."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@in_browser
def test_it_prints(page: Page) -> None:
    data = page.pdf()
    assert data.startswith(b"%PDF") and len(re.findall(rb"/Type\s*/Page\b", data)) >= 4
    page.media(kind="print")
    assert page.run("document.querySelector('details:not(.long) table').getBoundingClientRect().height") > 50
    assert page.run("getComputedStyle(document.querySelector('.filters')).display") == "none"


@in_browser
@pytest.mark.parametrize("kind", ["csv", "json"])
def test_files_behind_a_picture_are_the_audits_own(page: Page, tmp_path: Path, kind: str) -> None:
    page.downloads(tmp_path)
    for section, audit in (("gaps", gaps()), ("strange", gaps("strange", (NASTY, "{{7*7}}", "</script>"), NASTY))):
        page.run(f"document.querySelector('#{section} button[data-kind={kind}]').click()")
        found = wait_for(tmp_path / f"{section}-{audit.name}.{kind}")
        if kind == "csv":
            assert found == audit.csv()
        else:
            assert json.loads(found) == json.loads(json.dumps(audit.to_dict()))


def wait_for(path: Path) -> str:
    """The text of a file that is being downloaded."""
    end = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < end, f"no {path.name} among {[each.name for each in path.parent.iterdir()]}"
        time.sleep(0.02)
    return path.read_bytes().decode()


@in_browser
def test_without_a_script_the_numbers_are_there(browser: Browser, report: Path) -> None:
    page = browser.open(report.as_uri(), script=False)
    page.call("DOM.enable")
    root = page.call("DOM.getDocument", depth=-1)["root"]["nodeId"]
    for what, least in (("details table", 2), ("noscript p", 1), ("svg.chart", 2)):
        assert len(page.call("DOM.querySelectorAll", nodeId=root, selector=what)["nodeIds"]) >= least
    assert page.call("DOM.querySelector", nodeId=root, selector=".files:not([hidden])")["nodeId"] == 0
    page.close()
