"""CelebA-HQ's own layout in miniature, with real face pictures: who is who, who is at rest, what is missing."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image

from equime.errors import EquimeError
from equime.screening.celeba import LICENCE, is_celeba
from equime.screening.gallery import gather, rejected_by_group
from equime.screening.portraits import read_portraits
from equime.screening.thresholds import Screen

NAMES = ("5_o_Clock_Shadow", "Eyeglasses", "Male", "Mouth_Slightly_Open", "Smiling", "Young")
# picture: CelebA's own file, identity, then the attributes by the names above
PEOPLE = {
    "0.jpg": ("119614.jpg", "2880", (-1, -1, -1, -1, -1, 1)),
    "1.jpg": ("099094.jpg", "2880", (-1, 1, -1, -1, -1, 1)),
    "2.jpg": ("200121.jpg", "2880", (-1, -1, 1, -1, -1, 1)),  # labelled male, unlike the other two
    "3.jpg": ("100001.jpg", "17", (1, -1, 1, -1, -1, -1)),
    "4.jpg": ("100002.jpg", "17", (1, -1, 1, -1, 1, -1)),  # smiles
    "5.jpg": ("100003.jpg", "8", (-1, -1, 1, 1, -1, -1)),  # lips parted
    "6.jpg": ("100004.jpg", None, (-1, -1, -1, -1, -1, -1)),  # no identity
}


def write_layout(folder: Path, picture: Image.Image, *, attributes: str = "txt") -> Path:
    (folder / "CelebA-HQ-img").mkdir(parents=True)
    for number, name in enumerate(PEOPLE):
        picture.crop((number, 0, picture.width, picture.height)).save(folder / "CelebA-HQ-img" / name, quality=92)
    lines = [f"{name} " + " ".join(map(str, marks)) for name, (_, _, marks) in PEOPLE.items()]
    if attributes == "txt":
        text = "\n".join([str(len(PEOPLE)), " ".join(NAMES), *lines])
        (folder / "CelebAMask-HQ-attribute-anno.txt").write_text(text + "\n")
    else:
        with (folder / "CelebAMask-HQ-attribute-anno.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["" if attributes == "csv" else "image_id", *NAMES])
            writer.writerows([name, *marks] for name, (_, _, marks) in PEOPLE.items())
    mapping = [f"{i}          {int(own[:-4]) - 1}      {own}" for i, (own, _, _) in enumerate(PEOPLE.values())]
    (folder / "CelebA-HQ-to-CelebA-mapping.txt").write_text(
        "\n".join(["idx       orig_idx  orig_file", *mapping]) + "\n"
    )
    known = [f"{own} {identity}" for own, identity, _ in PEOPLE.values() if identity]
    (folder / "identity_CelebA.txt").write_text("\n".join(["000001.jpg 2880", *known]) + "\n")
    return folder


@pytest.fixture
def celeba(tmp_path: Path, faces: Path) -> Path:
    return write_layout(tmp_path / "CelebAMask-HQ", Image.open(faces / "ann.png"))


def test_subjects_are_identities_and_neutral_faces_are_kept(celeba: Path) -> None:
    portraits, rejected = read_portraits(celeba)
    assert [(p.subject_id, p.path, p.gender, p.glasses) for p in portraits] == [
        ("2880", "CelebA-HQ-img/0.jpg", "female", False),
        ("2880", "CelebA-HQ-img/1.jpg", "female", True),
        ("17", "CelebA-HQ-img/3.jpg", "male", False),
    ]
    assert {p.licence for p in portraits} == {LICENCE}
    assert all((p.age, p.age_years, p.race, p.adult) == (None, None, None, False) for p in portraits)
    reasons = {Path(r.path).name: r.reason for r in rejected}
    assert reasons.keys() == {"2.jpg", "4.jpg", "5.jpg", "6.jpg"}
    assert "identity 2880" in reasons["2.jpg"]
    assert "Smiling" in reasons["4.jpg"]
    assert "Mouth_Slightly_Open" in reasons["5.jpg"]
    assert "identity_CelebA.txt" in reasons["6.jpg"]
    assert {r.path: r.of.gender for r in rejected if r.of}["CelebA-HQ-img/4.jpg"] == "male"


def test_parted_lips_can_be_let_through(celeba: Path) -> None:
    portraits, _ = read_portraits(celeba, parted_lips=True)
    assert [p.subject_id for p in portraits] == ["2880", "2880", "17", "8"]


@pytest.mark.parametrize("header", ["csv", "csv with a name"])
def test_attributes_as_csv_say_the_same(tmp_path: Path, celeba: Path, faces: Path, header: str) -> None:
    other = write_layout(tmp_path / "other", Image.open(faces / "ann.png"), attributes=header)
    assert read_portraits(other) == read_portraits(celeba)


def test_an_index_column_before_the_pictures_or_in_their_place(celeba: Path) -> None:
    expected = read_portraits(celeba)
    (celeba / "CelebAMask-HQ-attribute-anno.txt").unlink()
    path = celeba / "CelebAMask-HQ-attribute-anno.csv"
    rows = [[i, name, *marks] for i, (name, (_, _, marks)) in enumerate(PEOPLE.items())]
    for drop in ((), (1,)):
        header = ["", "image_id", *NAMES]
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([c for i, c in enumerate(row) if i not in drop] for row in [header, *rows])
        assert read_portraits(celeba) == expected


@pytest.mark.parametrize(
    "name", ["CelebAMask-HQ-attribute-anno.txt", "CelebA-HQ-to-CelebA-mapping.txt", "identity_CelebA.txt"]
)
def test_a_missing_file_is_named_with_its_place(celeba: Path, name: str) -> None:
    (celeba / name).unlink()
    with pytest.raises(EquimeError, match=name) as error:
        read_portraits(celeba)
    assert str(celeba / name) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_name_that_no_folder_can_have_is_none(celeba: Path) -> None:
    assert not is_celeba(celeba / ("x" * 300))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("CelebAMask-HQ-attribute-anno.txt", "1\nSmiling Young\n0.jpg -1 1\n", "lacks the attributes"),
        ("CelebAMask-HQ-attribute-anno.txt", f"1\n{' '.join(NAMES)}\n0.jpg -1 1\n", "unexpected line"),
        ("CelebAMask-HQ-attribute-anno.txt", f"1\n{' '.join(NAMES)}\n0.jpg 5 5 5 5 5 5\n", "unexpected line"),
        ("identity_CelebA.txt", "000001.jpg\n", "expected lines like"),
        ("identity_CelebA.txt", b"\xff\xfe\x00", "cannot read"),
        ("CelebA-HQ-to-CelebA-mapping.txt", "", "expected the header"),
    ],
)
def test_a_file_of_another_kind_is_one_line(celeba: Path, name: str, text: str | bytes, said: str) -> None:
    (celeba / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(EquimeError, match=said) as error:
        read_portraits(celeba)
    assert "\n" not in str(error.value)


def test_the_pictures_alone_are_refused(celeba: Path) -> None:
    with pytest.raises(EquimeError, match="give its parent"):
        read_portraits(celeba / "CelebA-HQ-img")
    assert is_celeba(celeba)
    assert not is_celeba(celeba.parent)


def test_a_screen_of_it_counts_who_is_left_out(celeba: Path, tmp_path: Path) -> None:
    sources = gather(tmp_path / "ws", Screen(faces=celeba, screen=False, adults=True))
    assert [s.path for s in sources if s.reason is None] == [f"CelebA-HQ-img/{i}.jpg" for i in (0, 1, 3)]
    assert rejected_by_group(sources) == {
        "neutral": {"male|unknown|unknown": 2},
        "identity": {"female|unknown|unknown": 1},
        "labels": {"female|unknown|unknown": 1},
    }
    assert [s.glasses for s in sources[:3]] == [False, True, False]
    # Neither `Young` nor anything else is an age.
    undocumented = gather(tmp_path / "ws", Screen(faces=celeba, screen=False))
    assert {s.kind for s in undocumented[:3]} == {"age"}
