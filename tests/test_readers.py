"""The readers of the public sets, each on its own layout written small, with the traps its owners left in."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import zipfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from travelling import travelled

from equime.cli import main
from equime.errors import EquimeError
from equime.recognise.readers.check import check
from equime.recognise.readers.example import write_example
from equime.recognise.readers.folders import FolderPictures
from equime.recognise.readers.read import SETS, Read, read
from equime.recognise.samples import FIELDS, Samples, labels

openpyxl = pytest.importorskip("openpyxl")

PARTS = [(name, 0) for name in SETS] + [("smic-hs", 1)]
NO_SHEET = [("smic-hs", 1), ("mie-x", 0)]


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every layout, traps included. Read only."""
    root = tmp_path_factory.mktemp("sets")
    for name, part in PARTS:
        write_example(name, root / f"{name}-{part}", part=part)
    return root


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CASME II without traps. Read only."""
    return write_example("casme2", tmp_path_factory.mktemp("clean") / "casme2", traps=False)


def rows_of(found: Read) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = found.samples.table.to_pylist()
    return rows


def said(found: Read) -> str:
    return "\n".join(map(str, found.problems))


def edit(sheet: Path, change: Any, position: int = 0) -> None:
    """Change one sheet of a workbook in place."""
    book = openpyxl.load_workbook(sheet)
    change(book.worksheets[position])
    book.save(sheet)


def only_sheet(root: Path) -> Path:
    (sheet,) = root.glob("*.xlsx")
    return sheet


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_every_layout_reads_into_the_one_table(copies: Path, name: str, part: int) -> None:
    found = read(name, copies / f"{name}-{part}")
    rows = rows_of(found)
    assert found.samples.table.schema == FIELDS
    ids = [row["sample_id"] for row in rows]
    assert len(set(ids)) == len(ids) >= 6
    for row in rows:
        assert row["sample_id"].startswith(row["dataset"] + "/")
        assert row["subject_id"].startswith(row["dataset"] + "-")
        assert row["fps"] > 0
        times = [row[time] for time in ("onset", "apex", "offset") if row[time] is not None]
        assert times == sorted(times)
        assert (row["apex_from"] == "coded") == (row["apex"] is not None)
        (pictures,) = found.samples.origins[row["dataset"]].open([row])
        assert set(times) <= set(pictures.numbers)


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_a_copy_without_traps_has_no_problem(tmp_path: Path, name: str, part: int) -> None:
    write_example(name, tmp_path / "clean", part=part, traps=False)
    found = read(name, tmp_path / "clean")
    assert found.problems == ()
    assert found.macro == 0
    subjects = len(found.samples.table["subject_id"].unique())
    assert len(found.samples) == 3 * subjects  # 2 subjects a part or member, 3 clips each
    table = found.samples.table
    if table["emotion"].null_count < len(table):
        assert set(labels(table, "emotion3")[1]) == {"negative", "positive", "surprise"}


SHEETED = [(name, part) for name, part in PARTS if (name, part) not in NO_SHEET and name != "megc2019"]


@pytest.mark.parametrize(("name", "part"), SHEETED)
def test_every_trap_is_a_problem_that_says_whether_the_row_is_kept(copies: Path, name: str, part: int) -> None:
    found = read(name, copies / f"{name}-{part}")
    layout = SETS[name]
    text = said(found)
    assert "no offset coded ('0'): null [kept]" in text
    assert "1 of 11 pictures missing between onset and offset" in text
    assert "is before onset" in text and "offset null [kept]" in text
    assert "the same clip stands above [left out]" in text
    assert ("no folder" in text) or ("no picture of" in text)
    if "apex" in layout.parts[part].columns:
        assert "no apex coded ('/'): null [kept]" in text
    if "units" in layout.parts[part].columns:
        assert "action units null" in text and "'4+x'" in text
    kept = set(found.samples.table["sample_id"].to_pylist())
    for problem in found.problems:
        assert problem.line is not None and problem.sheet is not None
        if problem.kept:
            assert problem.sample in kept


def test_macro_expressions_are_counted_and_are_no_samples(copies: Path) -> None:
    for name in ("samm-lv", "casme-squared", "samm"):
        assert read(name, copies / f"{name}-0").macro == 1


def test_ids_get_the_zeros_back_that_excel_lost(copies: Path) -> None:
    subjects = {name: set(read(name, copies / f"{name}-0").samples.table["subject_id"].to_pylist()) for name in SETS}
    assert subjects["casme2"] == {"casme2-01", "casme2-26"}
    assert subjects["samm"] == {"samm-006", "samm-013", "samm-037"}
    assert subjects["smic-hs"] == {"smic-hs-01", "smic-hs-20"}
    book = openpyxl.load_workbook(only_sheet(copies / "samm-0"))
    assert book.worksheets[0].cell(15, 1).value == 6  # a number in the sheet, as Excel makes it


def test_units_are_parsed_and_kept_as_written(copies: Path) -> None:
    rows = {row["sample_id"]: row for row in rows_of(read("samm", copies / "samm-0"))}
    first = rows["samm/006/006_1_1"]
    assert first["au_text"] == "(R6 or R12)+R15"
    assert [(unit["au"], unit["side"]) for unit in first["action_units"]] == [(6, "R"), (15, "R")]
    assert [unit["au"] for unit in rows["samm/006/006_1_2"]["action_units"]] == [7, 43]  # ref(7B)+43
    assert [unit["au"] for unit in rows["samm/006/006_1_3"]["action_units"]] == [9, 12]  # A9+12
    assert [unit["au"] for unit in rows["samm/037/037_1_1"]["action_units"]] == [4, 7]  # a Chinese comma
    assert rows["samm/037/037_1_2"]["action_units"] is None  # "?"
    assert rows["samm/037/037_1_2"]["au_text"] == "?"
    casme2 = rows_of(read("casme2", copies / "casme2-0"))
    assert casme2[2]["au_text"] == "4+7+L10"
    assert casme2[2]["action_units"][2] == {"au": 10, "side": "L", "intensity": None}


def test_the_six_samm_folders_count_from_the_coded_onset(copies: Path) -> None:
    found = read("samm", copies / "samm-0")
    (row,) = [row for row in rows_of(found) if row["sample_id"] == "samm/013/013_1_12"]
    (pictures,) = found.samples.origins["samm"].open([row])
    assert pictures.numbers == tuple(range(row["onset"], row["offset"] + 1))
    assert [Path(str(copies), "samm-0", "SAMM/013/013_1_12", "013_00001.jpg").exists()] == [True]
    assert pictures.read([row["apex"]])[0].shape == (8, 8, 3)


def test_smic_ids_are_one_however_they_are_spelled(copies: Path, tmp_path: Path) -> None:
    root = tmp_path / "smic"
    shutil.copytree(copies / "smic-hs-0", root)
    short = root / "SMIC-HS-E" / "s1"
    (root / "SMIC-HS-E" / "s01").rename(short)
    for folder in list(short.iterdir()):
        folder.rename(short / folder.name.replace("s01", "s1"))
    edit(only_sheet(root), lambda sheet: [sheet.cell(2, 1, "s01"), sheet.cell(3, 1, 1)])
    ids = {row["subject_id"] for row in rows_of(read("smic-hs", root))}
    assert ids == {"smic-hs-01", "smic-hs-20"}
    other = {row["subject_id"] for row in rows_of(read("smic-hs", copies / "smic-hs-1"))}
    assert other == ids  # the layout without a sheet


def test_casme_uses_its_second_apex_where_the_first_is_empty(copies: Path, tmp_path: Path) -> None:
    root = tmp_path / "casme"
    shutil.copytree(copies / "casme-0", root)
    edit(only_sheet(root), lambda sheet: [sheet.cell(2, 5).__setattr__("value", None), sheet.cell(2, 6, 102)])
    assert rows_of(read("casme", root))[0]["apex"] == 102


def test_4dme_exchanges_the_two_rows_of_release_v1_and_no_others(copies: Path, tmp_path: Path) -> None:
    root = tmp_path / "4dme"
    shutil.copytree(copies / "4dme-0", root)

    def rows(name: str) -> dict[str, Any]:
        sheet = only_sheet(root)
        sheet.rename(root / name)
        return {row["sample_id"]: row for row in rows_of(read("4dme", root))}

    edit(only_sheet(root), lambda sheet: sheet.insert_rows(2, 144))  # lines 2 and 3 become 146 and 147
    plain = rows("4DME_Labelling_Micro_v2.xlsx")
    assert (plain["4dme/01/01_1"]["emotion"], plain["4dme/01/01_2"]["emotion"]) == ("positive", "surprise")
    known = rows("4DME_Labelling_Micro_release v1.xlsx")
    assert (known["4dme/01/01_1"]["emotion"], known["4dme/01/01_2"]["emotion"]) == ("surprise", "positive")
    assert (known["4dme/01/01_1"]["au_text"], known["4dme/01/01_2"]["au_text"]) == ("AU1+AU2", "AU6+AU12")
    both = [problem for problem in read("4dme", root).problems if "known exchange" in problem.what]
    assert [problem.line for problem in both] == [146, 147] and all(problem.known for problem in both)


def test_a_known_wrong_offset_is_mended_only_where_the_pictures_bear_it_out(tmp_path: Path) -> None:
    sheet = write_example("casme2", tmp_path / "a", traps=False) / "CASME2-coding.xlsx"
    folder = tmp_path / "a" / "CASME2_RAW_selected" / "sub26" / "EP02_03f"

    def row_62(sheet: Any) -> None:
        values = [cell.value for cell in sheet[7]]
        sheet.delete_rows(7)
        for place, value in enumerate(values, 1):
            sheet.cell(62, place, value)
        sheet.cell(62, 6, 12)  # before its onset 82

    edit(sheet, row_62)
    mended = read("casme2", tmp_path / "a")
    assert rows_of(mended)[-1]["offset"] == 91 and "91, as the pictures bear out" in said(mended)
    (folder / "img91.jpg").unlink()
    assert rows_of(read("casme2", tmp_path / "a"))[-1]["offset"] is None
    edit(sheet, lambda sheet: sheet.cell(62, 6, 92))  # another version of the sheet, where it is right
    assert rows_of(read("casme2", tmp_path / "a"))[-1]["offset"] == 92


def test_headers_may_drift_and_stand_below_a_preamble(copies: Path, tmp_path: Path) -> None:
    root = tmp_path / "casme2"
    shutil.copytree(copies / "casme2-0", root)
    before = rows_of(read("casme2", root))

    def drift(sheet: Any) -> None:
        for cell in sheet[1]:
            cell.value = {"OnsetFrame": "Onset Frame", "ApexFrame": " apexframe", "Action Units": "ActionUnits"}.get(
                cell.value, cell.value
            )
        sheet.insert_rows(1, 4)
        sheet.cell(2, 2, "coded by two coders")
        sheet.insert_cols(1)

    edit(only_sheet(root), drift)
    assert rows_of(read("casme2", root)) == before
    edit(only_sheet(root), lambda sheet: sheet.cell(5, 5).__setattr__("value", "Start"))
    with pytest.raises(EquimeError, match=r"expected the columns Subject, Filename, OnsetFrame.*got at best line 5:"):
        read("casme2", root)


def test_a_sheet_saved_as_csv_or_xls_reads_the_same(copies: Path, tmp_path: Path) -> None:
    root = tmp_path / "casme3"
    shutil.copytree(copies / "casme3-a-0", root)
    before = rows_of(read("casme3-a", root))
    sheet = only_sheet(root)
    lines = list(openpyxl.load_workbook(sheet).worksheets[0].iter_rows(values_only=True))
    sheet.unlink()
    with (root / "CAS(ME)3_part_A_v2.csv").open("w", encoding="gb18030", newline="") as file:
        csv.writer(file, delimiter=";").writerows(lines)
    assert rows_of(read("casme3-a", root)) == before
    (root / "CAS(ME)3_part_A_v2.csv").unlink()
    xlwt = pytest.importorskip("xlwt")
    pytest.importorskip("xlrd")
    book = xlwt.Workbook()
    plain = book.add_sheet("label")
    kinds = ["Expression type", *["Micro-expression"] * (len(lines) - 1)]
    for number, (line, kind) in enumerate(zip(lines, kinds, strict=True)):
        for place, value in enumerate([*line, kind]):
            plain.write(number, place, value)
    book.save(str(root / "CAS(ME)3_part_A_v2.xls"))
    assert rows_of(read("casme3-a", root)) == before
    assert json.dumps(before, default=str).count("\\uff0c") >= 2  # the Chinese commas came through


def test_one_clip_name_may_hold_several_expressions(copies: Path) -> None:
    rows = rows_of(read("casme3-a", copies / "casme3-a-0"))
    assert len({row["frames"] for row in rows}) < len(rows)
    assert len({row["sample_id"] for row in rows}) == len(rows)
    parts = read("casme3-a", copies / "casme3-a-0").samples.origins["casme3-a"].parts(rows)
    assert sorted(place for part in parts for place in part) == list(range(len(rows)))
    assert all(len({rows[place]["frames"] for place in part}) == 1 for part in parts)


def test_a_wrong_root_says_what_was_looked_for_and_what_is_there(copies: Path, tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(EquimeError, match=r"CASME2-coding\* \(.xlsx, .xls, .csv\); it holds holiday.jpg; give its top"):
        read("casme2", tmp_path)
    with pytest.raises(EquimeError, match="got no folder"):
        read("casme2", tmp_path / "nowhere")
    with pytest.raises(EquimeError, match=r"MiE-X/\{subject\}_mmew_\{code\}; it holds holiday.jpg"):
        read("mie-x", tmp_path)
    shutil.copy(only_sheet(copies / "casme2-0"), tmp_path)
    with pytest.raises(EquimeError, match=r"such as CASME2_RAW_selected/sub01/EP02_01f/; it holds CASME2-coding.xlsx"):
        read("casme2", tmp_path)
    with pytest.raises(EquimeError, match="expected a data set of casme, casme2"):
        read("casme9", tmp_path)


def test_a_root_above_or_below_the_sets_own_is_found(copies: Path, tmp_path: Path) -> None:
    shutil.copytree(copies / "casme2-0", tmp_path / "sets" / "CASME II")
    above = read("casme2", tmp_path / "sets")
    assert len(above.samples) == len(read("casme2", copies / "casme2-0").samples)
    below = read("casme2", tmp_path / "sets" / "CASME II" / "CASME2_RAW_selected")
    assert len(below.samples) == len(above.samples)


def test_a_half_copied_set_keeps_what_is_there(copies: Path, tmp_path: Path) -> None:
    root = tmp_path / "samm"
    shutil.copytree(copies / "samm-0", root)
    shutil.rmtree(root / "SAMM" / "037")
    for picture in (root / "SAMM" / "006" / "006_1_1").iterdir():
        picture.write_bytes(b"")  # a copy that broke off
    found = read("samm", root)
    assert {row["subject_id"] for row in rows_of(found)} == {"samm-006", "samm-013"}
    gone = [problem.what for problem in found.problems if not problem.kept]
    assert sum("no folder SAMM/037/" in what for what in gone) == 6
    assert "no pictures in SAMM/006/006_1_1" in gone


def test_pictures_that_no_row_names_are_told_and_do_not_speak_against_a_copy(tmp_path: Path) -> None:
    root = write_example("casme2", tmp_path / "casme2", traps=False)
    pictures = root / "CASME2_RAW_selected"
    shutil.copytree(pictures / "sub01" / "EP02_01f", pictures / "sub01" / "EP02_07")  # as sub09/EP02_02f and sub24
    (pictures / "sub01" / "empty").mkdir()
    (problem,) = read("casme2", root).problems
    assert (problem.sample, problem.known) == ("CASME2_RAW_selected/sub01/EP02_07", True)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut short", b"\xd0\xcf\x11\xe0"])
def test_a_damaged_sheet_is_one_line(copies: Path, tmp_path: Path, damage: bytes) -> None:
    root = tmp_path / "casme2"
    shutil.copytree(copies / "casme2-0", root)
    only_sheet(root).write_bytes(damage)
    with pytest.raises(EquimeError, match=r"cannot read .*CASME2-coding.xlsx .*; copy or save it again") as raised:
        read("casme2", root)
    assert "\n" not in str(raised.value)


CELLS = ("/", "x", "-3", "12.5", "9" * 5000, datetime(2026, 1, 2))


@pytest.mark.parametrize("column", [4, 5, 6])
def test_no_cell_of_time_stops_a_set(clean: Path, tmp_path: Path, column: int) -> None:
    root = tmp_path / "casme2"
    shutil.copytree(clean, root)
    edit(only_sheet(root), lambda sheet: [sheet.cell(line, column, cell) for line, cell in enumerate(CELLS, 2)])
    found = read("casme2", root)
    assert [row[("onset", "apex", "offset")[column - 4]] for row in rows_of(found)] == [None] * len(CELLS)
    assert {problem.line for problem in found.problems if problem.kept} == set(range(2, 8))


@pytest.mark.parametrize("cell", ["A" * 10_000, "9" * 5000, 10**9 - 1, -1, 3.5, "=1+1", datetime(2026, 1, 2)])
def test_no_cell_at_all_stops_a_set(clean: Path, tmp_path: Path, cell: object) -> None:
    """A billion frames, and a name longer than file systems allow, are problems of their row."""
    root = tmp_path / "casme2"
    shutil.copytree(clean, root)
    columns = enumerate((2, 4, 6, 8, 9), 2)  # clip, onset, offset, units, emotion: of a row each
    edit(only_sheet(root), lambda sheet: [sheet.cell(line, column, cell) for line, column in columns])
    found = read("casme2", root)
    lines = {problem.line for problem in found.problems}
    assert lines >= {2, 3, 4} and 6 not in lines
    assert (5 in lines) == (cell != "=1+1")  # never computed: an empty cell, and no units
    assert 4 <= len(found.samples) <= 5
    assert max(map(len, said(found).splitlines())) < 1000


def test_a_coding_of_units_without_end_is_none(clean: Path, tmp_path: Path) -> None:
    root = tmp_path / "casme2"
    shutil.copytree(clean, root)
    endless = ("(" * 5000, "((" + "+".join(["(1 or 2)"] * 60) + ") or 4)", "9" * 5000)
    edit(only_sheet(root), lambda sheet: [sheet.cell(row, 8, text) for row, text in enumerate(endless, 2)])
    found = read("casme2", root)
    assert [row["action_units"] for row in rows_of(found)[:3]] == [None] * 3
    assert [problem.what[:49] for problem in found.problems] == [
        "action units null: expected at most 100 character"
    ] * 3


def test_frames_of_a_billion_do_not_stop_the_six_samm_folders(copies: Path, tmp_path: Path) -> None:
    root = tmp_path / "samm"
    shutil.copytree(copies / "samm-0", root)
    for huge in (10**9 - 1, "9" * 5000):
        line = openpyxl.load_workbook(only_sheet(root)).worksheets[0].max_row - 1
        edit(only_sheet(root), lambda sheet, line=line, huge=huge: sheet.cell(line, 6, huge))
        assert "samm/013/013_1_12" in said(read("samm", root))


def test_links_to_nowhere_and_to_themselves_are_no_pictures(clean: Path, tmp_path: Path) -> None:
    root = tmp_path / "casme2"
    shutil.copytree(clean, root)
    folder = root / "CASME2_RAW_selected" / "sub01" / "EP02_01f"
    for here in (root, folder.parents[1], folder.parent, folder):
        (here / "img7.jpg").symlink_to("img7.jpg")
    (folder / "img45.jpg").unlink()
    (folder / "img45.jpg").symlink_to("nowhere.jpg")
    (folder / "img46.jpg").unlink()
    (folder / "img46.jpg").mkdir()
    found = read("casme2", root)
    assert [problem.what for problem in found.problems] == [
        "2 of 11 pictures missing between onset and offset (45, 46)"
    ]


@pytest.mark.parametrize("size", ["A1", "A1:XFD1048576"])
def test_what_a_workbook_says_of_its_size_does_not_count(clean: Path, tmp_path: Path, size: str) -> None:
    root = tmp_path / "casme2"
    shutil.copytree(clean, root)
    with zipfile.ZipFile(only_sheet(root)) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    assert b'<dimension ref="A1:I7"' in parts[sheet]
    parts[sheet] = parts[sheet].replace(b'ref="A1:I7"', f'ref="{size}"'.encode())
    with zipfile.ZipFile(only_sheet(root), "w") as book:
        for name, content in parts.items():
            book.writestr(name, content)
    assert rows_of(read("casme2", root)) == rows_of(read("casme2", clean))


def test_a_csv_with_numbers_as_floats_reads_the_same(clean: Path, tmp_path: Path) -> None:
    root = tmp_path / "casme2"
    shutil.copytree(clean, root)
    lines = openpyxl.load_workbook(only_sheet(root)).worksheets[0].iter_rows(values_only=True)
    floats = [[float(cell) if isinstance(cell, int) else cell for cell in line] for line in lines]
    only_sheet(root).unlink()
    with (root / "CASME2-coding.csv").open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=";").writerows(floats)
    assert "1.0;EP02_01f;;42.0;" in (root / "CASME2-coding.csv").read_text(encoding="utf-8-sig")
    assert rows_of(read("casme2", root)) == rows_of(read("casme2", clean))


def test_dates_and_errors_of_an_old_workbook_are_no_frames(clean: Path, tmp_path: Path) -> None:
    xlwt = pytest.importorskip("xlwt")
    pytest.importorskip("xlrd")
    root = tmp_path / "casme2"
    shutil.copytree(clean, root)
    book, day = xlwt.Workbook(), xlwt.easyxf(num_format_str="YYYY-MM-DD")
    sheet = book.add_sheet("coding")
    lines = openpyxl.load_workbook(only_sheet(root)).worksheets[0].iter_rows(values_only=True)
    for number, line in enumerate(lines):
        for place, value in enumerate(line):
            if (number, place) == (1, 5):
                sheet.row(number).set_cell_error(place, "#DIV/0!")  # 7, as xlrd gives it
            elif (number, place) == (2, 5):
                sheet.write(number, place, datetime(1900, 3, 14), day)  # 74, as xlrd gives it
            elif (number, place) == (3, 4):
                sheet.write(number, place, -1)  # -1.0, as xlrd gives it: nobody saw one
            else:
                sheet.write(number, place, value)
    only_sheet(root).unlink()
    book.save(str(root / "CASME2-coding.xls"))
    found = read("casme2", root)
    assert [row["offset"] for row in rows_of(found)[:2]] == [None, None]
    assert "offset is no frame number ('#DIV/0!')" in said(found)
    assert "no apex coded ('-1'): null" in said(found)
    assert "offset is no frame number ('1900-03-14 00:00:00')" in said(found)


def test_no_terminal_code_reaches_a_report(clean: Path, tmp_path: Path) -> None:
    root = tmp_path / "casme2"
    shutil.copytree(clean, root)
    edit(only_sheet(root), lambda sheet: sheet.cell(2, 2, "EP\u202e02"))
    assert "EP\\u202e02" in said(read("casme2", root))


def test_no_file_name_leads_out_of_the_set(clean: Path, tmp_path: Path) -> None:
    root = tmp_path / "casme2"
    shutil.copytree(clean, root)
    lines = list(openpyxl.load_workbook(only_sheet(root)).worksheets[0].iter_rows(values_only=True))
    only_sheet(root).unlink()
    names = ["../../..", "/etc", "..", "*", "{subject}", "x\x00y", "EP02_01f/..", "\u4e2d", "", "EP02_0?f"]
    with (root / "CASME2-coding.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([*lines, *([lines[1][0], name, *lines[1][2:]] for name in names)])
    found = read("casme2", root)
    assert len(found.samples) == 6
    assert [problem.line for problem in found.problems if not problem.kept] == list(range(8, 8 + len(names)))


def test_dfme_says_which_of_its_sheets_is_missing(copies: Path, tmp_path: Path) -> None:
    root = tmp_path / "dfme"
    shutil.copytree(copies / "dfme-0", root)
    assert {row["split"] for row in rows_of(read("dfme", root))} == {"train", "testA", "testB"}
    (root / "testB_full_with_AU.xlsx").unlink()
    found = read("dfme", root)
    assert {row["split"] for row in rows_of(found)} == {"train", "testA"}
    assert "dfme testB: no sheet testB" in said(found)
    assert "positions" not in str(check(found)) and "not verified: the columns were not seen" in str(check(found))
    assert read("dfme", root, fps=500).samples.table["fps"].unique().to_pylist() == [500]


def test_dfme_units_in_marked_columns_are_named_by_their_headers(tmp_path: Path) -> None:
    root = write_example("dfme", tmp_path / "dfme", traps=False)

    def marked(sheet: Any) -> None:
        for place, name in enumerate(("AU1", "AU2", "AU4", "AU12"), 7):
            sheet.cell(1, place, name)
            sheet.cell(2, place, int(name in ("AU1", "AU12")))

    edit(root / "training_full_with_AU.xlsx", marked)
    (row,) = [row for row in rows_of(read("dfme", root)) if row["sample_id"] == "dfme/0003/sub0003_01"]
    assert [unit["au"] for unit in row["action_units"]] == [1, 12]


def test_pictures_are_read_by_their_numbers_and_digested_by_their_content(tmp_path: Path) -> None:
    for number, grey in ((9, 10), (10, 20), (46, 30)):
        Image.new("L", (5, 4), grey).save(tmp_path / f"reg_img{number}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    pictures = FolderPictures(tmp_path)
    assert pictures.numbers == (9, 10, 46)
    first, last = pictures.read([46, 9])
    assert first.shape == (4, 5, 3) and first.dtype == np.uint8
    assert (first.mean(), last.mean()) == (30, 10)
    before = pictures.digest([9, 10])
    assert before == FolderPictures(tmp_path).digest([9, 10]) != pictures.digest([10, 46])
    Image.new("L", (5, 4), 11).save(tmp_path / "reg_img9.png")
    assert FolderPictures(tmp_path).digest([9, 10]) != before
    with pytest.raises(EquimeError, match=r"number = 11 .*it has 9 to 46"):
        pictures.read([11])
    (tmp_path / "reg_img10.png").write_bytes((tmp_path / "reg_img10.png").read_bytes()[:45])
    with pytest.raises(EquimeError, match=r"reg_img10.png does not decode"):
        pictures.read([10])
    with pytest.raises(EquimeError, match="got none"):
        FolderPictures(tmp_path / "empty").read([1])


def test_sixteen_bits_of_grey_are_scaled(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 0x8000, np.uint16)).save(tmp_path / "1.png")
    assert (FolderPictures(tmp_path).read([1])[0] == 0x80).all()


def test_an_origin_travels_to_other_processes(copies: Path) -> None:
    found = read("casme2", copies / "casme2-0")
    again: Samples = travelled(found.samples)
    here, there = (list(samples.open([0, 1])) for samples in (found.samples, again))
    numbers = here[0].numbers
    assert here[0].digest(numbers) == there[0].digest(numbers)
    assert here[0].digest(numbers) != here[1].digest(here[1].numbers)


def write_composite(root: Path, counts: Sequence[tuple[str, Sequence[str], Sequence[int]]]) -> None:
    """A composite of given size: one picture a clip."""
    root.mkdir(exist_ok=True)
    clips = []
    Image.new("L", (2, 2)).save(root / "picture.bmp")
    picture = (root / "picture.bmp").read_bytes()
    for dataset, subjects, classes in counts:
        for number, label in enumerate(np.repeat([0, 1, 2], classes).tolist()):
            subject = subjects[number % len(subjects)]
            clip = {"smic": f"s{subject}_x_{number:02d}", "samm": f"{subject}_1_{number}"}.get(dataset, f"EP{number}")
            place = {"smic": f"s{subject}", "casme2": f"sub{subject}", "samm": subject}[dataset]
            folder = root / dataset / place / clip
            folder.mkdir(parents=True)
            for name in (6, 7, 8):
                (folder / f"img{name}.bmp").write_bytes(picture)
            clips.append([dataset, place, clip, label, 7, f"{place}_{clip}.jpg", f"sub_{place}"])
    with (root / "combined_3_class2_for_optical_flow.csv").open("w", newline="", encoding="utf-8") as file:
        header = ["dataset", "sub", "filename_o", "label", "apex", "imagename", "sub_filename"]
        csv.writer(file).writerows([header, *clips])


CDE = (
    ("smic", [f"{n:02d}" for n in range(1, 17)], (70, 51, 43)),
    ("casme2", [f"{n:02d}" for n in range(1, 25)], (88, 32, 25)),
    ("samm", [f"{n:03d}" for n in range(6, 34)], (92, 26, 15)),
)


def test_the_composite_of_442_clips_and_68_subjects_is_as_published(tmp_path: Path) -> None:
    write_composite(tmp_path / "cde", CDE)
    found = read("megc2019", tmp_path / "cde")
    report = check(found)
    assert report.ok and found.problems == ()
    counts = {count.what: (count.here, count.published) for count in report.counts}
    assert counts["clips"] == (442, 442) and counts["subjects"] == (68, 68)
    assert counts["casme2 negative"] == (88, 88) and counts["samm surprise"] == (15, 15)
    assert counts["emotion positive"] == (109, 109)
    row = rows_of(found)[0]
    assert (row["onset"], row["apex"], row["offset"], row["fps"]) == (6, 7, 8, 100)  # the crop's own first and last
    shutil.rmtree(tmp_path / "cde" / "samm" / "006")
    again = check(read("megc2019", tmp_path / "cde"))
    assert not again.ok
    assert {count.what for count in again.counts if count.wrong} >= {"clips", "subjects", "samm subjects"}


def test_the_composites_pictures_may_come_from_the_sets_themselves(copies: Path, tmp_path: Path) -> None:
    root = tmp_path / "cde"
    root.mkdir()
    shutil.copy(copies / "megc2019-0" / "combined_3_class2_for_optical_flow.csv", root)
    members = {"casme2": copies / "casme2-0", "samm": copies / "samm-0", "smic-hs": copies / "smic-hs-1"}
    found = read("megc2019", root, roots=members)
    assert len(found.samples) == 18
    rows = {row["sample_id"]: row for row in rows_of(found)}
    assert rows["samm/006/006_1_1"]["au_text"] == "(R6 or R12)+R15"
    assert rows["smic-hs/01/s1_po_01"]["emotion3"] == "positive"  # s01_po_01 in the composite's sheet
    for name in members:
        (pictures,) = found.samples.origins[name].open([next(row for row in rows.values() if row["dataset"] == name)])
        assert pictures.read(pictures.numbers[:1])[0].shape == (8, 8, 3)
    with pytest.raises(EquimeError, match="expected roots of casme2, samm, smic-hs, got"):
        read("megc2019", root, roots={"mmew": copies})
    with pytest.raises(EquimeError, match="for a composite"):
        read("casme2", copies / "casme2-0", roots={"samm": copies})


def test_a_composite_and_its_sets_are_never_counted_twice(copies: Path) -> None:
    composite = read("megc2019", copies / "megc2019-0").samples
    with pytest.raises(EquimeError, match="occurs twice"):
        Samples.joined([composite, read("samm", copies / "samm-0").samples])
    joined = Samples.joined([composite, read("mmew", copies / "mmew-0").samples])
    assert set(joined.origins) == {"smic-hs", "casme2", "samm", "mmew"}


def test_what_is_no_clip_of_the_composite_is_left_out(copies: Path, tmp_path: Path) -> None:
    root = tmp_path / "cde"
    shutil.copytree(copies / "megc2019-0", root)
    with (root / "combined_3_class2_for_optical_flow.csv").open("a", encoding="utf-8") as file:
        file.write("1,EP01,1,2,3,0,mmew\nsub01,EP02_09f,1,2,3,3,casme2\n")
    found = read("megc2019", root)
    assert "data set 'mmew' is not of smic, casme2, samm [left out]" in said(found)
    assert "class '3' is none of 0, 1, 2 [left out]" in said(found)
    assert len(found.samples) == 18
    with pytest.raises(EquimeError, match="frame rates of their own"):
        read("megc2019", root, fps=30)
    sheet = root / "combined_3_class2_for_optical_flow.csv"
    sheet.write_text(sheet.read_text().splitlines()[0] + "\n1,EP01,1,2,3,0,mmew\n")
    with pytest.raises(EquimeError, match=r"expected clips of MEGC2019 .* the first: megc2019/1/EP01"):
        read("megc2019", root)


def test_recounted_numbers_count_against_a_copy_and_those_of_papers_do_not(copies: Path) -> None:
    report = check(read("casme2", copies / "casme2-0"))
    by = {count.what: count for count in report.counts}
    assert by["emotion happiness"].wrong and by["emotion happiness"].published == 32
    assert not by["clips"].wrong and "255 (from the paper, not verified, differs)" in str(by["clips"])
    assert not report.ok
    assert sum(SETS["casme2"].published.emotions.values()) == 246
    for layout in SETS.values():
        emotions = layout.published.emotions
        if "clips" in layout.published.recounted:
            assert sum(emotions.values()) == layout.published.clips
        if layout.published.objective:
            assert sum(layout.published.objective.values()) == layout.published.clips


def test_the_command_lists_writes_and_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in listed] == list(SETS)
    out = tmp_path / "samm"
    assert main(["data", "example", "samm", str(out)]) == 0
    assert main(["data", "check", "samm", str(out), "--json"]) == 1
    report = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert {problem["sample"] for problem in report["problems"]} >= {"samm/006/006_1_1", "samm/037/037_1_5"}
    assert main(["data", "example", "casme", str(tmp_path / "casme"), "--clean"]) == 0
    assert main(["data", "check", "casme", str(tmp_path / "casme")]) == 0
    assert "as it should be" in capsys.readouterr().out
    assert main(["data", "check", "casme2", str(tmp_path / "casme")]) == 1
    assert "equime: expected CASME II in" in capsys.readouterr().err
    assert main(["data", "example", "casme", str(tmp_path / "casme")]) == 1
    assert "new or empty folder" in capsys.readouterr().err
    for out, side in (
        (tmp_path / ("x" * 300), "8"),
        (only_sheet(tmp_path / "casme") / "x", "8"),
        (tmp_path / "y", "99999"),
    ):
        assert main(["data", "example", "casme", str(out), "--side", side]) == 1
        assert capsys.readouterr().err.count("\n") == 1


def test_reading_changes_nothing_and_is_the_same_each_time(copies: Path) -> None:
    def content() -> str:
        files = sorted(path for path in (copies / "mmew-0").rglob("*") if path.is_file())
        return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()

    before = content()
    first, second = (read("mmew", copies / "mmew-0") for _ in range(2))
    assert first.samples.table.equals(second.samples.table) and first.problems == second.problems
    assert content() == before
