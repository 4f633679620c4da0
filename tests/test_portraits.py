from __future__ import annotations

import csv
import errno
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equime.errors import EquimeError
from equime.photo import read_image
from equime.screening.portraits import Portrait, inside, pseudonym, read_portraits


def write_table(path: Path, *rows: str, header: str = "subject_id,path,gender,age,race,neutral,licence") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_a_folder_names_its_subjects_in_order(faces: Path) -> None:
    portraits, rejected = read_portraits(faces)
    assert [p.subject_id for p in portraits] == ["ann", "bob", "cat", "dan", "eve", "fay"]
    assert {p.path for p in portraits} == {path.name for path in faces.iterdir()}
    assert not rejected


def test_odd_file_names_become_ids_and_clashes_are_rejected(tmp_path: Path, faces: Path) -> None:
    picture = (faces / "ann.png").read_bytes()
    for name in ("a_b c.png", "a-b-c.PNG", "___.png", ".hidden.png", "notes.txt"):
        (tmp_path / name).write_bytes(picture)
    portraits, rejected = read_portraits(tmp_path)
    assert [p.subject_id for p in portraits] == ["a-b-c"]
    assert len(rejected) == 2
    assert "named twice" in " ".join(r.reason for r in rejected)
    assert "should match" in " ".join(r.reason for r in rejected)


def test_a_table_keeps_zeros_and_reads_labels(tmp_path: Path, faces: Path) -> None:
    table = write_table(
        tmp_path / "faces.csv",
        "006,a.png,F,34,Latino_Hispanic,,CC0",
        "006,b.png,,,,-1,",
        "007,b.png,male,60+,white,true,",
        "008,c.png,x,,,,",
        "009,d.png,f,17,,,",
        "010,e.png,f,,martian,,",
        "011,f.png,f,30-39,,maybe,",
        "a b,g.png,,,,,",
    )
    portraits, rejected = read_portraits(table)
    assert portraits == [
        Portrait("006", "a.png", gender="female", age="30-39", race="latino hispanic", licence="CC0", age_years=34.0),
        Portrait("007", "b.png", gender="male", age="60+", race="white"),
    ]
    reasons = {r.path: r.reason for r in rejected}
    for path, word in {
        "b.png": "not neutral",
        "c.png": "gender should be",
        "d.png": "18 or more",
        "e.png": "race should be",
        "f.png": "neutral should be",
        "g.png": "subject id should match",
    }.items():
        assert word in reasons[path]


def test_parquet_equals_csv(tmp_path: Path) -> None:
    csv = write_table(tmp_path / "t.csv", "x,a.png,m,41,asian,1,CC0", "y,b.png,,,,,")
    rows = [
        {"subject_id": "x", "path": "a.png", "gender": "m", "age": 41.0, "race": "asian", "licence": "CC0"},
        {"subject_id": "y", "path": "b.png"},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    assert read_portraits(tmp_path / "t.parquet") == read_portraits(csv)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p / "none", "no such folder"),
        (lambda p: p, "no picture in"),
        (
            lambda p: write_table(p / "t.csv", "1,2", header="who,where"),
            r"lacks the columns \['subject_id', 'path'\]",
        ),
        (lambda p: write_table(p / "t.csv"), "has no rows"),
    ],
)
def test_nothing_to_read_is_one_line(tmp_path: Path, make, message: str) -> None:
    with pytest.raises(EquimeError, match=message) as error:
        read_portraits(make(tmp_path))
    assert "\n" not in str(error.value)


def test_optional_columns_of_a_table(tmp_path: Path) -> None:
    table = write_table(
        tmp_path / "t.csv",
        "1,a.png,yes,no,41.5",
        "2,b.png,,,40-49",
        "3,c.png,no,yes,",
        "4,d.png,perhaps,,",
        "5,e.png,,,nan",
        "6,f.png,,,130",
        header="subject_id,path,adult,glasses,age",
    )
    portraits, rejected = read_portraits(table)
    assert [(p.adult, p.glasses, p.age, p.age_years) for p in portraits] == [
        (True, False, "40-49", 41.5),
        (False, None, "40-49", None),
        (False, True, None, None),
    ]
    assert [(r.path, r.reason.partition(":")[0]) for r in rejected] == [
        ("d.png", "labels"),
        ("e.png", "age"),
        ("f.png", "age"),
    ]


def test_who_is_left_out_keeps_its_labels(tmp_path: Path) -> None:
    _, rejected = read_portraits(write_table(tmp_path / "t.csv", "1,a.png,f,44,asian,no,"))
    assert rejected[0].of == Portrait("1", "a.png", gender="female", age="40-49", race="asian", age_years=44.0)


def test_a_path_may_not_leave_its_folder(tmp_path: Path) -> None:
    root = tmp_path / "faces"
    root.mkdir()
    (tmp_path / "secret.png").touch()
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    for path in ("../secret.png", "/etc/passwd", "link.png", "a/../../secret.png"):
        with pytest.raises(EquimeError, match="leaves the folder"):
            inside(root, path)
    assert inside(root, "a/../b.png") == (root / "b.png").resolve()


def test_pseudonyms_are_stable_and_differ_by_key() -> None:
    assert pseudonym("ann", "a") == pseudonym("ann", "a")
    assert len({pseudonym(name, key) for name in ("ann", "bob") for key in "ab"}) == 4


@pytest.mark.parametrize(
    "data",
    [
        "\ufeffsubject_id,path,gender\r\n006,a.png,f\r\n".encode(),
        b" Subject_ID , Path ,gender\n006,a.png,f\n",
        b'subject_id;path;gender\n006;"a.png";f\n',
        b'"subject_id","path","gender"\n"006","a.png","f"\n',
        b"subject_id,path,gender\r006,a.png,f\r",
        b"\n\nsubject_id,path,gender\n\n006,a.png,f\n\n",
        b"subject_id,path,gender,,\n006,a.png,f,,\n",
        b"reason,subject_id,path,gender\nmine,006,a.png,f\n",
    ],
)
def test_tables_as_spreadsheets_write_them(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    assert read_portraits(tmp_path / "t.csv") == ([Portrait("006", "a.png", gender="female")], [])


@pytest.mark.parametrize("name", ["utf16.csv", "no.PARQUET"])
def test_other_encodings_are_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes("subject_id,path\n1,a.png\n".encode("utf-16"))
    with pytest.raises(EquimeError, match="cannot read the table of faces") as error:
        read_portraits(tmp_path / name)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def test_ids_that_clash_without_case_and_labels_that_disagree_are_rejected(tmp_path: Path) -> None:
    lines = ("Ann,a.png,f,,,,", "ann,b.png,f,,,,", "Ann,c.png,m,,,,", "Ann,d.png,f,40,,,", "x" * 65 + ",e.png,,,,,")
    portraits, rejected = read_portraits(write_table(tmp_path / "t.csv", *lines))
    assert [p.path for p in portraits] == ["a.png", "d.png"]
    reasons = {r.path: r.reason for r in rejected}
    assert "only in case" in reasons["b.png"]
    assert "is female in a.png" in reasons["c.png"]
    assert "at most 64" in reasons["e.png"]


def one_line_error(faces: Path) -> str:
    with pytest.raises(EquimeError) as error:
        read_portraits(faces)
    assert str(error.value).isprintable()
    return str(error.value)


def test_a_column_twice_is_refused(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.csv", "1,a.png,b.png", header="subject_id,path, Path ")
    assert "columns ['path'] more than once" in one_line_error(table)
    twice = pa.table([pa.array(["1"]), pa.array(["a.png"]), pa.array(["b.png"])], names=["subject_id", "path", "path"])
    pq.write_table(twice, tmp_path / "t.parquet")
    assert "columns ['path'] more than once" in one_line_error(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"subject_id,path\n1,a.png\n2\n", "expected 2 cells in line 3, got 1"),
        (b'subject_id,path\n1,"a.png\n2,b.png\n', "unexpected end of data"),
        (b"subject_id,path\n1," + b"x" * 200_000 + b"\n", "field larger than"),
    ],
)
def test_a_damaged_table_is_one_line(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    assert said in one_line_error(tmp_path / "t.csv")


def test_what_does_not_open_says_why_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    assert "got a pipe or device: " in one_line_error(tmp_path / "pipe.csv")
    loop = tmp_path / "loop.csv"
    assert one_line_error(loop) == f"cannot read the table of faces {loop}: {os.strerror(errno.ELOOP)}"
    assert "no such folder" in one_line_error(tmp_path / "a\nb\x1b[31m.csv")
    assert one_line_error(tmp_path / ("x" * 300)).endswith(f": {os.strerror(errno.ENAMETOOLONG)}")


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "self.png").symlink_to("self.png")
    with pytest.raises(EquimeError, match=r"self\.png"):
        read_image(inside(tmp_path, "self.png"))


def test_a_file_name_that_is_not_text_is_left_out_by_a_name_that_prints(tmp_path: Path) -> None:
    for name in (b"bad\xff.jpg", b"good.jpg"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).touch()
    portraits, rejected = read_portraits(tmp_path)
    assert [portrait.path for portrait in portraits] == ["good.jpg"]
    assert [(one.path, one.reason.partition(":")[0]) for one in rejected] == [("bad\\xff.jpg", "name")]


def test_reasons_print_in_a_line_whatever_the_names_hold(tmp_path: Path) -> None:
    rows = [
        ["\x1b[2J" * 400, "a.png"],
        ["Ann", "b\n.png"],
        ["Ann", "b\n.png"],
        ["Bob", "c.png", "f"],
        ["eve", "d", "\n"],
    ]
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["subject_id", "path", "race"], *([*row, ""][:3] for row in rows)])
    portraits, rejected = read_portraits(tmp_path / "t.csv")
    assert [portrait.path for portrait in portraits] == ["b\n.png", "d"]
    assert all(one.reason.isprintable() and len(one.reason) < 200 for one in rejected)
    assert any("first as b\\n.png" in one.reason for one in rejected)


def test_every_row_of_a_path_is_listed(tmp_path: Path) -> None:
    rows = ("1,a.png,,,,,", "2,a.png,,,,,", "3,a.png,x,,,,", "4,a.png,,17,,,", "5,a.png,,,,no,", "a b,a.png,,,,,")
    portraits, rejected = read_portraits(write_table(tmp_path / "t.csv", *rows))
    assert [portrait.subject_id for portrait in portraits] == ["1"]
    assert [one.path for one in rejected] == ["a.png"] * 5
    assert len({one.reason for one in rejected}) == 5
