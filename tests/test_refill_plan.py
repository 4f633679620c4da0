"""Planning again what was not accepted, on plans of real faces with scores as another stage would leave them."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from make_workspace import write_shard

from equime import schema
from equime.errors import EquimeError
from equime.generators.warp import Warp
from equime.plan import PlanOptions, plan
from equime.planning import strata
from equime.planning.refilling import refill_plan
from equime.screening.thresholds import Screen
from equime.table import Table

Row = dict


@pytest.fixture
def planned(faces: Path, tmp_path: Path) -> Table:
    screen = Screen(faces=faces, screen=False, adults=True)
    options = PlanOptions(screen=screen, per_emotion=2, seed=5, shard_rows=8, allow_shortfall=True, pseudonyms=True)
    plan(tmp_path / "ws", options, Warp.SHOWS)
    return Table(tmp_path / "ws")


def rows(table: Table) -> list[Row]:
    return list(table.rows(schema.GROUPS["plan"].names))


def score(table: Table, accept: Callable[[Row], bool]) -> None:
    """The score group of every shard that has none."""
    for index in set(table.shards()) - set(table.shards("score")):
        shard = table.read(index, schema.GROUPS["plan"].names).to_pylist()
        write_shard(table, "score", index, [{"clip_id": row["clip_id"], "accepted": accept(row)} for row in shard])


def stratum(row: Row) -> tuple[str, str, str]:
    return row["emotion"], row["cell"], max(unit["intensity"] for unit in row["action_units"])


def test_what_was_rejected_is_planned_again_in_its_own_cell(planned: Table) -> None:
    before = rows(planned)
    bad = {row["clip_id"] for row in before[::4]}
    score(planned, lambda row: row["clip_id"] not in bad)
    report = refill_plan(planned.path, PlanOptions(per_emotion=2), Warp.SHOWS)
    after = rows(planned)
    assert after[: len(before)] == before
    added = after[len(before) :]
    assert report.new_rows == len(added) == len(bad)
    assert Counter(map(stratum, added)) == Counter(stratum(row) for row in before if row["clip_id"] in bad)
    assert {row["design"] for row in added} == {"refill"} and {row["epoch"] for row in added} == {1}
    assert {row["subject_id"] for row in added} <= {row["subject_id"] for row in before}
    assert len({row["clip_id"] for row in after}) == len(after)
    splits = {row["subject_id"]: row["split"] for row in before}
    assert all(row["split"] == splits[row["subject_id"]] for row in added)
    for row in added:
        assert schema.check(planned.read(planned.locate(row["clip_id"])[0], schema.GROUPS["plan"].names)) == []
    # Nothing is judged anew, so nothing more is asked for; once accepted, the whole is as planned.
    assert refill_plan(planned.path, PlanOptions(per_emotion=2), Warp.SHOWS).new_rows == 0
    score(planned, lambda row: True)
    assert refill_plan(planned.path, PlanOptions(per_emotion=2), Warp.SHOWS).short == []
    with (planned.path / strata.WEIGHTS_FILE).open() as handle:
        assert {float(line["weight"]) for line in csv.DictReader(handle)} == {1.0}


def test_what_is_always_rejected_stays_short_and_is_weighted(planned: Table) -> None:
    for _ in range(20):
        score(planned, lambda row: row["emotion"] != "fear" or (row["design"] == "balanced" and row["sequence"] == 1))
        report = refill_plan(planned.path, PlanOptions(per_emotion=2), Warp.SHOWS)
        if not report.new_rows:
            break
    assert report.new_rows == 0
    assert "6 clips stay short" in report.short[0] and "fear" in report.short[0]
    with (planned.path / strata.WEIGHTS_FILE).open() as handle:
        lines = [line for line in csv.DictReader(handle) if line["weight"]]
    total = sum(float(line["weight"]) * int(line["accepted"]) for line in lines)
    for line in lines:
        have = float(line["weight"]) * int(line["accepted"]) / total
        assert have == pytest.approx(int(line["planned"]) / sum(int(one["planned"]) for one in lines))


def test_without_scores_there_is_nothing_to_refill(planned: Table) -> None:
    with pytest.raises(EquimeError, match="no scored clips"):
        refill_plan(planned.path, PlanOptions(), Warp.SHOWS)
