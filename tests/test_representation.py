"""Who is shown: EquiME's published figures, SciPy's entropies, coverage by simulation, tables of shares, bad input."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from make_workspace import make_workspace
from scipy.stats import entropy

from equime import schema
from equime.audit.measures.composition import Counts
from equime.audit.measures.resampling import drawn
from equime.audit.representation import COLUMNS, representation
from equime.audit.result import Audit
from equime.audit.tables.published import PUBLISHED, published_rows
from equime.audit.tables.rows import Rows, open_rows
from equime.errors import EquimeError
from equime.metrics import wilson


def rows(labels: str = "file", **columns: list[str | None]) -> Rows:
    return Rows("people.csv", labels, pa.table({name: pa.array(v, pa.string()) for name, v in columns.items()}))


def people(**counts: int) -> Rows:
    """That many people of each race, "_" a blank, each with one clip."""
    race: list[str | None] = [name.replace("_", " ") for name, n in counts.items() for _ in range(n)]
    return rows(subject_id=[str(k) for k in range(len(race))], race=race)


def value(found: Audit, measure: str, by: str = "race", of: str = "subjects") -> float:
    number = found.one(measure, by=by, of=of).value
    assert number is not None
    return number


def of_file(tmp_path: Path, text: str) -> Rows:
    (tmp_path / "shares.csv").write_text(text)
    return open_rows(str(tmp_path / "shares.csv"))


# --- what was published


def test_what_equime_published_is_balanced_for_gender_alone() -> None:
    found = representation(published_rows())
    assert {f.by for f in found.findings} == {"gender", "race", "age"}
    assert value(found, "evenness", of="") == pytest.approx(0.516, abs=5e-4)
    assert value(found, "effective number", of="") == pytest.approx(2.52, abs=5e-3)
    assert value(found, "KL to target", of="") == pytest.approx(0.866, abs=5e-4)
    assert value(found, "total variation to target", of="") == pytest.approx(0.581, abs=5e-4)
    assert value(found, "max/min ratio", of="") == pytest.approx(83, abs=0.5)
    assert value(found, "evenness", "gender", "") == pytest.approx(0.991, abs=5e-4)
    assert value(found, "evenness", "age", "") == pytest.approx(0.697, abs=5e-4)
    assert value(found, "effective number", "age", "") == pytest.approx(2.63, abs=5e-3)
    assert all(f.clips == f.subjects == 0 and f.low is None and not f.small for f in found.findings)
    assert any("DeepFace" in note for note in found.notes)
    assert set(PUBLISHED["race"]) == set(schema.RACES)


# --- people and clips


def test_the_measures_are_scipys() -> None:
    counts = {"asian": 40, "indian": 5, "black": 20, "white": 60, "middle eastern": 12, "latino hispanic": 3}
    found = representation(people(**{name.replace(" ", "_"): n for name, n in counts.items()}), ["race"])
    shares, uniform = np.array([*counts.values()]) / 140, np.full(6, 1 / 6)
    assert value(found, "evenness") == pytest.approx(entropy(shares) / math.log(6))
    assert value(found, "effective number") == pytest.approx(math.exp(entropy(shares)))
    assert value(found, "KL to target") == pytest.approx(entropy(shares, uniform))
    assert value(found, "total variation to target") == pytest.approx(np.maximum(0, shares - uniform).sum())
    assert value(found, "max/min ratio") == 20
    for group, n in counts.items():
        share = found.one("share", of="subjects", group=group)
        assert (share.value, share.reference, share.subjects, share.clips) == (n / 140, pytest.approx(1 / 6), n, n)
        assert (share.low, share.high) == wilson(n, 140)
        assert share.small == (n < 10)


def test_people_and_clips_are_counted_apart() -> None:
    data = rows(subject_id=["a", "a", "a", "b"], gender=["female", "female", "female", "male"])
    found = representation(data, ["gender"])
    assert [found.one("share", of=of, group="female").value for of in ("subjects", "clips")] == [0.5, 0.75]
    assert value(found, "evenness", "gender") == 1
    assert value(found, "evenness", "gender", "clips") == pytest.approx(entropy([3, 1]) / math.log(2))


def test_a_group_of_the_contract_that_nobody_belongs_to_counts() -> None:
    found = representation(people(asian=30, white=30), ["race"])
    assert value(found, "evenness") == pytest.approx(math.log(2) / math.log(6))
    ratio = found.one("max/min ratio", of="subjects")
    assert ratio.value is None and ratio.note == ("infinite: nobody is indian; black; middle eastern; latino hispanic")
    missing = found.one("share", of="clips", group="black")
    assert (missing.value, missing.low, missing.small) == (0, None, True)


def test_labels_of_others_are_compared_among_themselves() -> None:
    assert value(representation(people(asian=30, klingon=30), ["race"]), "evenness") == 1


def test_a_target_may_be_anything() -> None:
    data = people(asian=30, white=10)
    met = representation(data, target={"race": {"asian": 3, "white": 1}})
    assert value(met, "KL to target") == value(met, "total variation to target") == 0
    assert met.one("max/min ratio", of="clips").reference == 3
    far = representation(data, target={"race": {"asian": 1, "white": 1, "black": 2}})
    assert value(far, "total variation to target") == pytest.approx(0.5)
    assert far.one("share", of="subjects", group="black").reference == 0.5
    odd = representation(data, target={"race": {"asian": 1}}).one("KL to target", of="subjects")
    assert odd.value is None and odd.note == "infinite: nobody is wanted of white"
    for bad in ({}, {"asian": 0}, {"asian": -1}, {"asian": math.nan}, {"asian": "much"}):
        with pytest.raises(EquimeError, match="expected a target of race"):
            representation(data, target={"race": bad})  # type: ignore[dict-item]
    with pytest.raises(EquimeError, match="got one of 'lab'"):
        representation(data, target={"lab": {"x": 1}})


def test_targets_of_two_attributes_meet_as_if_independent() -> None:
    data = rows(subject_id=list("abcd"), gender=["female", "male"] * 2, race=["asian", "asian", "white", "white"])
    both = representation(data, ["gender+race"], {"race": {"asian": 3, "white": 1}})
    assert both.one("share", of="subjects", group="male, asian").reference == pytest.approx(3 / 8)


def test_the_unlabelled_are_told_and_in_no_share() -> None:
    data = rows(subject_id=["a", "a", "b", "c", None], race=["asian", "asian", None, "white", "white"])
    found = representation(data, ["race"])
    lost = found.one("unlabelled", of="subjects")
    assert (lost.value, lost.subjects, lost.clips) == (pytest.approx(1 / 3), 1, 1)
    assert found.one("unlabelled", of="clips").value == 0.25
    assert found.one("share", of="subjects", group="asian").value == 0.5
    assert "by race: 1 of 3 subjects have no label: in no share" in found.notes
    assert "1 rows without a subject_id left out" in found.notes


def test_cells_where_all_attributes_meet() -> None:
    gender, race = ["female"] * 12 + ["male"] * 3, ["asian"] * 12 + ["asian", "white", "white"]
    names, age = [str(k) for k in range(15)], ["18-29"] * 15
    found = representation(rows(subject_id=list(names), gender=list(gender), race=list(race), age=list(age)))
    assert value(found, "empty cells", "gender+age+race", "") == 60 - 3
    assert value(found, "cells of fewer than 10 subjects", "gender+age+race", "") == 59
    smallest = found.where(measure="smallest cells")
    assert [(f.group, f.value, f.small) for f in smallest] == [
        ("male, 18-29, asian", 1, True),
        ("male, 18-29, white", 2, True),
        ("female, 18-29, asian", 12, False),
    ]
    two = representation(rows(subject_id=list(names), gender=list(gender), race=list(race), age=[None] * 15))
    assert value(two, "empty cells", "gender+race", "") == 12 - 3
    assert not two.where(measure="smallest cells"), "all twelve have their share"
    assert any("not grouped by age" in note for note in two.notes)


@pytest.mark.parametrize("written", ["Middle_Eastern", " middle eastern ", "MIDDLE EASTERN"])
def test_labels_are_those_of_the_contract_however_they_are_written(written: str) -> None:
    found = representation(rows(subject_id=["a", "b"], race=[written, "White"]), ["race"])
    assert found.one("share", of="subjects", group="middle eastern").value == 0.5
    assert value(found, "evenness") == pytest.approx(math.log(2) / math.log(6))


def test_a_real_workspace_is_read(tmp_path: Path) -> None:
    make_workspace(tmp_path / "ws", subjects=6, emotions=["happiness", "fear"], groups=["plan", "tag"])
    found = representation(open_rows(str(tmp_path / "ws"), COLUMNS))
    assert value(found, "evenness") == value(found, "evenness", of="clips") == pytest.approx(1)
    assert value(found, "effective number", "gender") == pytest.approx(2)
    share = found.one("share", of="clips", by="race", group="black")
    assert (share.labels, share.clips, share.subjects, share.small) == ("source", 2, 1, True)
    assert value(found, "empty cells", "gender+age+race", "") == 54


def test_a_column_of_numbers_or_of_nothing_is_not_grouped_by() -> None:
    table = people(asian=1, white=1).table.append_column("age", pa.array([31, 64])).append_column("gender", pa.nulls(2))
    found = representation(Rows("people.parquet", "file", table))
    assert {f.by for f in found.findings} == {"race"}
    with pytest.raises(EquimeError, match="expected text in the column 'age' to group by, got int64"):
        representation(Rows("people.parquet", "file", table), ["age"])


# --- intervals


@pytest.mark.parametrize(
    "shares", [[1 / 6] * 6, [0.35, 0.25, 0.15, 0.1, 0.1, 0.05], [0.7, 0.3], [0.748, 0.089, 0.073, 0.044, 0.037, 0.009]]
)
def test_intervals_of_evenness_cover_the_people_they_were_drawn_from(shares: list[float]) -> None:
    rng, truth, covered, people_ = np.random.default_rng(0), entropy(shares) / math.log(len(shares)), 0, 100
    wanted = {str(k): 1 / len(shares) for k in range(len(shares))}
    for trial in range(200):
        hot = rng.multinomial(1, shares, people_)
        counts = hot.sum(0)
        draws = drawn(np.zeros(people_, np.int64), hot, 1, 200, trial)[:, 0]
        every = Counts("race", "subjects", wanted, counts, counts, counts, draws).findings("file")
        found = next(finding for finding in every if finding.measure == "evenness")
        assert found.low is not None and found.value is not None and found.high is not None
        assert 0 <= found.low <= found.value <= found.high <= 1
        covered += found.low - 1e-12 <= truth <= found.high + 1e-12
    assert covered >= 0.88 * 200


def test_clips_of_one_person_are_no_more_people() -> None:
    once = people(asian=20, white=30)
    often = Rows(once.name, once.labels, pa.concat_tables([once.table] * 20))
    few, many = (representation(data, ["race"]).one("share", of="clips", group="asian") for data in (once, often))
    assert (few.low, few.high) == (many.low, many.high)
    assert few.low is not None and few.high is not None
    assert few.high - few.low == pytest.approx(2 * 1.96 * math.sqrt(0.4 * 0.6 / 50), rel=0.15)


def test_one_person_has_no_interval_but_wilsons() -> None:
    found = representation(people(asian=1), ["race"])
    assert all(f.low is None for f in found.findings if f.name != "share of subjects")
    assert value(found, "evenness") == 0


# --- tables of shares


@pytest.mark.parametrize(
    "text",
    [
        "attribute,group,share\nrace,asian,3\nrace,white,1\n",
        "Race;Count\nasian;1\nasian;2\nwhite;1\n",
        "race\tgender\tshare\nasian\tfemale\t.5\nasian\tmale\t.25\nwhite\tmale\t.25\n",
    ],
)
def test_a_table_of_shares_stands_for_people(tmp_path: Path, text: str) -> None:
    found = representation(of_file(tmp_path, text))
    assert value(found, "evenness", of="") == pytest.approx(entropy([3, 1]) / math.log(6))
    assert found.one("share", by="race", group="asian").value == 0.75
    assert any("nobody can be counted" in note for note in found.notes)
    assert not any("subject_id" in note or "not grouped" in note for note in found.notes)


def test_cells_of_shares_are_counted_where_they_are_missing(tmp_path: Path) -> None:
    found = representation(of_file(tmp_path, "race,gender,share\nasian,female,1\nwhite,male,1\n"), ["gender+race"])
    assert value(found, "evenness", "gender+race", "") == pytest.approx(math.log(2) / math.log(12))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("race,share\nasian,-1\n", "row 1: share should be a number of 0 or more, got '-1'"),
        ("race,share\nasian,1\nwhite,many\n", "row 2: share should be a number of 0 or more, got 'many'"),
        ("race,share\nasian,\n", "got None"),
        ("race,share\nasian,nan\n", "got 'nan'"),
        ("race,share\nasian,0\nwhite,0\n", "above 0 of race, got only zeros"),
        ("race,share,count\nasian,1,1\n", "expected attribute, group and share"),
        ("lab,share\nx,1\n", "got the columns lab, share"),
        ("share\n1\n", "got the columns share"),
        ("attribute,group,share\nrace,asian,1\nrace,asian,2\n", "'asian' of race comes twice"),
        ("attribute,group,share\nrace,,1\n", "expected an attribute and a group in each row"),
    ],
)
def test_a_bad_table_of_shares_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(EquimeError) as error:
        representation(of_file(tmp_path, text))
    assert said in str(error.value) and "\n" not in str(error.value)


def test_an_attribute_without_shares_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(EquimeError, match="no shares of 'skin': expected one of gender, race, age"):
        representation(published_rows(), ["skin"])
    data = of_file(tmp_path, "lab,share\nx,1\ny,3\n")
    assert value(representation(data, ["lab"]), "max/min ratio", "lab", "") == 3
