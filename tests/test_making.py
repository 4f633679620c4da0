"""Plans of screened sources without pictures: what planning again, growing, killing and replacing leave alone."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from make_sources import make_sources
from make_workspace import write_shard

from equime import schema
from equime.causal import EmotionModel
from equime.commands.plan import plan_flags
from equime.errors import EquimeError
from equime.generators.warp import Warp
from equime.plan import PlanOptions, PlanReport, plan, refill_plan, replan
from equime.planning.making import MODEL
from equime.scm.intervention import Do
from equime.screening.gallery import Source, write_sources
from equime.screening.thresholds import Screen
from equime.table import Table

EVEN, AGES = (1 / 6,) * 6, (0.2,) * 5
PEOPLE = make_sources(60, EVEN, AGES, seed=4)
LENIENT = PlanOptions(allow_shortfall=True)
EVERYTHING = dataclasses.replace(
    LENIENT,
    twins=6,
    dose=2,
    controls=("neutral", "macro"),
    per_emotion=2,
    max_repeats=2,
    pseudonyms=True,
    seed=5,
    pseudonym_key=Path(__file__),
)
SAME = ("emotion", "action_units", "onset_ms", "apex_ms", "offset_ms", "noise_key", "seed", "prompt", "split")


def screened(workspace: Path, sources: Sequence[Source]) -> Path:
    """A workspace whose faces were screened with this result."""
    Table.create(workspace, faces=str(workspace.parent))
    write_sources(workspace, sources, Screen())
    return workspace


def rows(workspace: Path) -> list[dict[str, Any]]:
    return list(Table(workspace).rows(schema.GROUPS["plan"].names))


def planned(workspace: Path, options: PlanOptions = LENIENT) -> PlanReport:
    """Plan, and hold the report against the rows as they were written."""
    report = plan(workspace, options, Warp.SHOWS)
    found, table = rows(workspace), Table(workspace)
    assert report.rows == len(found) == len({row["clip_id"] for row in found})
    assert report.equity is not None
    assert report.equity.clips == sum(row["design"] == "balanced" for row in found)
    races = Counter(row["source_race"] for row in found if row["design"] == "balanced")
    assert {race: n for race, n in report.equity.balances["race"].clips.items() if n} == races
    assert report.equity.identities == len({row["subject_id"] for row in found})
    for row in found:
        labels = [row[f"source_{name}"] or "unknown" for name in ("gender", "age", "race")]
        assert row["cell"] == "|".join(labels)
    for index in table.shards():
        assert schema.check(table.read(index, schema.GROUPS["plan"].names)) == []
    json.dumps(report.to_dict(), allow_nan=False)
    return report


def without(sources: Sequence[Source], **changes: Any) -> list[Source]:
    """Every third person with something else."""
    return [dataclasses.replace(s, **changes) if n % 3 == 0 else s for n, s in enumerate(sources)]


@pytest.mark.parametrize("sources", [PEOPLE, without(PEOPLE, race=None), without(PEOPLE, gender=None, age=None)])
@pytest.mark.parametrize("options", [LENIENT, EVERYTHING, dataclasses.replace(EVERYTHING, subjects=20)])
def test_planning_again_adds_nothing_and_growing_changes_nothing(
    tmp_path: Path, sources: list[Source], options: PlanOptions
) -> None:
    ws = screened(tmp_path / "ws", sources[:40])
    planned(ws, options)
    assert planned(ws, options).new_rows == 0
    first = rows(ws)
    screened(ws, sources)
    more = dataclasses.replace(options, subjects=options.subjects and 30, per_emotion=3, twins=options.twins + 4)
    assert planned(ws, more).new_rows > 0
    assert rows(ws)[: len(first)] == first
    assert planned(ws, more).new_rows == 0
    assert len({row["subject_id"] for row in rows(ws)}) == len({(r["subject_id"], r["split"]) for r in rows(ws)})


def test_subjects_whose_pictures_are_gone_or_rejected_get_nothing_more(tmp_path: Path) -> None:
    ws = screened(tmp_path / "ws", PEOPLE)
    planned(ws)
    gone = {row["subject_id"] for row in rows(ws)} & {source.subject_id for source in PEOPLE[:30]}
    screened(ws, [dataclasses.replace(s, reason="pose: turned") for s in PEOPLE[:15]] + PEOPLE[30:])
    planned(ws, dataclasses.replace(LENIENT, per_emotion=2))
    clips = Counter(row["subject_id"] for row in rows(ws))
    assert {clips[subject] for subject in gone} == {5}
    assert {n for subject, n in clips.items() if subject not in gone} == {10}


def test_cells_that_later_targets_leave_out_are_counted_as_they_stand(tmp_path: Path) -> None:
    ws = screened(tmp_path / "ws", PEOPLE)
    planned(ws)
    (tmp_path / "t.csv").write_text("race,share\nasian,1\nblack,1\nwhite,0\n")
    report = plan(ws, dataclasses.replace(LENIENT, targets=tmp_path / "t.csv", per_emotion=2), Warp.SHOWS)
    assert report.equity is not None and report.equity.clips == len(rows(ws))
    clips = defaultdict(set)
    for (race, _), n in Counter((row["source_race"], row["subject_id"]) for row in rows(ws)).items():
        clips[race].add(n)
    assert clips["asian"] == clips["black"] == {10} and clips["white"] == clips["indian"] == {5}


def test_a_subject_is_of_one_group_whatever_its_pictures_say(tmp_path: Path) -> None:
    def pictures(one: Source) -> list[Source]:
        says = [{"race": "white", "gender": None}, {"race": "black"}, {"race": "black", "age": None}]
        names = [{"path": f"{n}-{one.path}", "sha256": f"{n}{one.sha256[1:]}"} for n in range(3)]
        return [dataclasses.replace(one, **change, **name) for change, name in zip(says, names, strict=True)]

    ws = screened(tmp_path / "ws", [picture for one in PEOPLE[:9] for picture in pictures(one)])
    report = planned(ws, dataclasses.replace(LENIENT, per_emotion=3, subjects=9))
    assert {row["source_race"] for row in rows(ws)} == {"black"}
    assert len({row["source"] for row in rows(ws)}) == 27
    assert {row["clip_id"].partition("/")[2][0] for row in rows(ws)} == {one.code for one in PEOPLE[:9]}
    assert len(report.notes) == 9 and all("black, not" in note for note in report.notes.values())


def test_controls_can_be_added_later_but_doses_and_twins_only_with_new_subjects(tmp_path: Path) -> None:
    ws = screened(tmp_path / "ws", PEOPLE[:30])
    people = planned(ws).subjects
    later = dataclasses.replace(LENIENT, controls=("neutral", "blink"), dose=2, twins=1)
    report = planned(ws, later)
    assert report.by_design == {"balanced": 5 * people, "control": 2 * people}
    assert report.notes["--dose"].startswith("swept 0 of 2 subjects")
    assert report.notes["--twins"].startswith("could match 0 of 1 pairs across groups and 0 of 1 pairs within them")
    screened(ws, PEOPLE)
    report = planned(ws, later)
    assert report.by_design["dose"] == 2 * 5 * 5
    assert sum(n for contrast, n in report.twins.items() if contrast != "within") == 1
    assert "--dose" not in report.notes


def test_pairs_that_were_short_are_made_later_and_no_others(tmp_path: Path) -> None:
    options = dataclasses.replace(LENIENT, twins=3)
    ws = screened(tmp_path / "ws", make_sources(6, EVEN, AGES, seed=1))  # too few for a pair of one cell
    first = planned(ws, options).twins
    assert not first.get("within")
    screened(ws, make_sources(200, EVEN, AGES, seed=1))
    second = planned(ws, options).twins
    assert second["within"] == 3
    assert sum(first.values()) + sum(second.values()) == 6
    assert planned(ws, options).twins == {}


def test_what_was_not_measured_is_no_number_of_the_report(tmp_path: Path) -> None:
    blank = dict.fromkeys(("yaw", "pitch", "eye_distance", "sharpness"), math.nan)
    ws = screened(tmp_path / "ws", [dataclasses.replace(one, **blank) for one in PEOPLE])
    report = planned(ws, dataclasses.replace(LENIENT, twins=2))
    assert report.twins and {one["smd"]["yaw"] for one in report.to_dict()["twin_balance"].values()} == {None}


@pytest.mark.parametrize("left", [0, 2])
def test_a_growing_plan_that_was_killed_is_the_unbroken_one(tmp_path: Path, left: int) -> None:
    whole, ws = (screened(tmp_path / name, PEOPLE[:40]) for name in ("whole", "ws"))
    for one in (whole, ws):
        planned(one, EVERYTHING)
    first = len(Table(ws).shards())
    more = dataclasses.replace(EVERYTHING, twins=9, controls=schema.CONTROLS)
    planned(screened(whole, PEOPLE), more)
    for index in range(first, first + left):
        shutil.copy(Table(whole).shard_path("plan", index), Table(ws).shard_path("plan", index))
    (ws / "plan" / ".unfinished.json").write_text(json.dumps({"first": first}))
    planned(screened(ws, PEOPLE), more)
    assert rows(ws) == rows(whole)


def test_a_replaced_plan_is_the_plan_of_a_new_workspace(tmp_path: Path) -> None:
    ws, new = (screened(tmp_path / name, PEOPLE) for name in ("ws", "new"))
    planned(ws)
    assert replan(ws, EVERYTHING, Warp.SHOWS, lambda lines: True) is not None
    planned(new, EVERYTHING)
    assert rows(ws) == rows(new)
    pairs = defaultdict(list)
    for row in rows(ws):
        if row["twin_id"]:
            pairs[row["twin_id"]].append(row)
    assert len(pairs) > 5
    for one, other in pairs.values():
        assert [one[name] for name in SAME] == [other[name] for name in SAME]
        assert not any(row["subject_id"] in row["twin_id"] for row in (one, other))


@pytest.mark.parametrize(
    ("changes", "shows", "said"),
    [
        ({"seed": 9, "pseudonyms": False}, Warp.SHOWS, "with --seed 5, --pseudonyms: repeat that"),
        ({"prompt": "reference"}, Warp.SHOWS, "with --prompt units: repeat that"),
        ({}, dict.fromkeys(Warp.SHOWS, "E"), "with another --generator"),
    ],
)
def test_rows_planned_later_may_not_differ_in_kind(
    tmp_path: Path, changes: dict[str, Any], shows: dict[int, str], said: str
) -> None:
    ws = screened(tmp_path / "ws", PEOPLE)
    planned(ws, EVERYTHING)
    with pytest.raises(EquimeError, match=said):
        plan(ws, dataclasses.replace(EVERYTHING, **changes), shows)


def test_a_fitted_model_stays_with_its_plan(tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    file.write_text(EmotionModel.from_tables(weights={"casme2": 1, "samm": 5}).to_json())
    ws = screened(tmp_path / "ws", PEOPLE)
    options = dataclasses.replace(LENIENT, model=file)
    planned(ws, options)
    file.unlink()
    with pytest.raises(EquimeError, match=f"--model .*{MODEL}: repeat that"):
        plan(ws, LENIENT, Warp.SHOWS)
    assert planned(ws, dataclasses.replace(options, model=ws / MODEL)).new_rows == 0
    first = rows(ws)
    reject_some(ws)
    assert refill_plan(ws, PlanOptions(), {12: "A"}).new_rows > 0  # for the generator of the plan, not this one
    caps = {au: letter for au, letter in Warp.SHOWS.items() if letter != "E"}
    model = EmotionModel.from_json((ws / MODEL).read_text()).showing(list(Warp.SHOWS), caps)
    for row in rows(ws)[len(first) :]:
        assert model.counterfactual(row, Do()) == row
    (ws / MODEL).write_text(EmotionModel.from_tables().to_json())
    with pytest.raises(EquimeError, match="is not the model of this plan"):
        refill_plan(ws, PlanOptions(), Warp.SHOWS)
    replan(ws, LENIENT, Warp.SHOWS, lambda lines: True)
    assert not (ws / MODEL).exists()


def test_a_refill_uses_no_picture_that_took_another_ones_name(tmp_path: Path) -> None:
    ws = screened(tmp_path / "ws", PEOPLE)
    planned(ws)
    reject_some(ws)
    screened(ws, [dataclasses.replace(one, sha256="e" * 64) for one in PEOPLE])
    assert refill_plan(ws, PlanOptions(), Warp.SHOWS).new_rows == 0
    screened(ws, PEOPLE)
    assert refill_plan(ws, PlanOptions(), Warp.SHOWS).new_rows > 0


def reject_some(workspace: Path) -> None:
    """Score every clip; every fourth is rejected."""
    table = Table(workspace)
    for index in table.shards():
        ids = table.read(index, [])["clip_id"].to_pylist()
        write_shard(table, "score", index, [{"clip_id": one, "accepted": n % 4 > 0} for n, one in enumerate(ids)])


def verb(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    parser.set_defaults(json=False)
    plan_flags(parser)
    options = parser.parse_args([str(argument) for argument in arguments])
    code: int = options.command(options)
    return code


def test_the_exit_code_tells_a_screened_picture_from_a_broken_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    turned = dataclasses.replace(PEOPLE[1], reason="pose: yaw of 40 degrees, at most 20")
    ws = screened(tmp_path / "ws", [PEOPLE[0], turned])
    assert verb(ws, "--allow-shortfall") == 0
    screened(ws, [PEOPLE[0], turned, dataclasses.replace(PEOPLE[2], reason="picture: cut short")])
    assert verb(ws, "--allow-shortfall") == 1
    assert capsys.readouterr().err.count("left out") == 3
    for wrong, said in ((["--refill", "--replace"], "give one"), (["--caliper", "nan"], "above 0")):
        with pytest.raises(EquimeError, match=said):
            verb(ws, *wrong)
