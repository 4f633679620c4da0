from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from make_workspace import add_rows, make_row, make_workspace, write_shard

from equime import hub, schema
from equime.planning.faces import KEY, pseudonym_key
from equime.publishing.releasing.preflight import SHOWN, problems
from equime.screening import celeba
from equime.screening.portraits import pseudonym
from equime.table import Table

NAMED = "as the faces' table or files gave them"


def change(table: Table, group: str = "plan", **columns: Callable[[dict[str, Any]], Any]) -> None:
    """Write every shard of a group anew, as its stage would with other inputs."""
    for index in table.shards():
        rows = table.read(index, schema.GROUPS[group].names).to_pylist()
        write_shard(table, group, index, [row | {name: to(row) for name, to in columns.items()} for row in rows])


def celeba_rows(name: Callable[[str], str]) -> list[dict[str, Any]]:
    rows = [make_row(number, number, 0, "fear") | {"source_licence": celeba.LICENCE} for number in range(3)]
    for row in rows:
        who = name(row["subject_id"])
        row |= {"subject_id": who, "clip_id": f"fear/f_{who}_0"}
    return rows


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three subjects with two clips of each emotion, all of it made."""
    return make_workspace(tmp_path_factory.mktemp("preflight") / "ws", per_emotion=2).path


@pytest.fixture
def table(made: Path, tmp_path: Path) -> Table:
    shutil.copytree(made, tmp_path / "ws")
    return Table(tmp_path / "ws")


def test_a_whole_workspace_of_free_pictures_may_go(table: Table) -> None:
    found = problems(table)
    assert found.refusals == [] and found.clips == 30
    assert len(found.notes) == 1 and found.notes[0].startswith("3 subject ids") and NAMED in found.notes[0]
    assert problems(table, mode="recipe") == found


def test_all_rejected_is_told_as_that(tmp_path: Path) -> None:
    (refusal,) = problems(make_workspace(tmp_path / "ws", rejected=range(15))).refusals
    assert (
        "all were scored and not accepted" in refusal and "`equime summary" in refusal and "--keep-rejected" in refusal
    )


@pytest.mark.parametrize("planned", [False, True])
def test_nothing_planned_or_made_is_refused_with_the_next_command(tmp_path: Path, planned: bool) -> None:
    table = make_workspace(tmp_path / "ws", groups=("plan",)) if planned else Table.create(tmp_path / "ws")
    (refusal, *more) = problems(table).refusals
    assert ("`equime status" if planned else "`equime plan") in refusal
    assert len(more) == planned and all("`equime generate" in line for line in more)
    assert any("no clip" in line for line in problems(table, allow_failed=True).refusals) == planned


def test_what_check_finds_is_refused_whatever_is_allowed(table: Table) -> None:
    shard = table.shard_path("generate", 2)
    data = bytearray(shard.read_bytes())
    video = table.read(2, ["video"])["video"][0]["bytes"].as_py()
    data[data.index(len(video).to_bytes(4, "little") + video) + 4] ^= 1  # the page, not its statistics
    shard.write_bytes(data)
    for mode in ("clips", "recipe"):
        refusals = problems(table, allow_failed=True, permission="yes", mode=mode).refusals  # type: ignore[arg-type]
        assert len(refusals) == 2 and all(line.endswith(f"(`equime check {table.path}`)") for line in refusals)
        assert "'video' is not what was written" in refusals[0]


def test_a_shard_that_does_not_read_is_told_and_no_crash(table: Table) -> None:
    table.shard_path("caption", 1).write_bytes(b"not Parquet")
    refusals = problems(table).refusals
    assert refusals and all("caption/00001.parquet" in line for line in refusals)


def test_many_problems_are_told_in_part(table: Table) -> None:
    change(table, "generate", sha256=lambda row: "0" * 64)
    refusals = problems(table).refusals
    assert len(refusals) == SHOWN + 1 and refusals[-1] == f"and more problems: see `equime check {table.path}`"


def test_failed_stale_and_missing_rows_are_refused_or_left_out_and_said(tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", subjects=4, shard_rows=5, failed=[7])
    rows = table.read(0, schema.CLIPS.names).to_pylist()
    write_shard(table, "generate", 0, rows, reads=("seed",))
    write_shard(table, "score", 0, rows, reads=("video",))
    write_shard(table, "plan", 0, [row | {"seed": 1} for row in rows])
    rows = table.read(2, schema.GROUPS["tag"].names).to_pylist()
    write_shard(table, "tag", 2, [row | {"tag_error": "no face"} if n < 2 else row for n, row in enumerate(rows)])
    table.shard_path("caption", 3).unlink()
    run = f"run `equime {{}} {table.path}"
    wanted = {
        "generate of 5 clips is stale": run.format("generate"),
        "generate of 1 clip failed": run.format("generate") + " --retry-failed`",
        "tag of 2 clips failed": run.format("tag") + " --retry-failed`",
        "caption of 5 clips is not made yet": run.format("caption"),
    }
    refused = problems(table)
    assert len(refused.refusals) == len(wanted)
    for line, (what, command) in zip(sorted(refused.refusals), sorted(wanted.items()), strict=True):
        assert line.startswith(what) and command in line and line.endswith("leave them out with --allow-failed")
    allowed = problems(table, allow_failed=True)
    assert allowed.refusals == [] and allowed.clips == 20 - 5 - 1 - 2 - 5
    told = [note for note in allowed.notes if note.endswith(": left out")]
    assert sorted(note.partition(" (")[0] for note in told) == sorted(wanted)
    receipt = hub.write_layout(table, tmp_path / "out", whole=True, progress=False)
    assert receipt.rows == allowed.clips and receipt.planned == 20
    assert receipt.left_out == {"failed": 3, "stale": 5, "missing": 5}
    assert len(receipt.errors) == 13 and all(why.startswith("left out: ") for why in receipt.errors.values())


def test_what_was_never_begun_or_was_rejected_is_a_note(tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", groups=("plan", "generate"))
    found = problems(table)
    assert found.refusals == [] and found.clips == 15
    for what, stage in (("a score", "score"), ("a caption", "caption"), ("tags", "tag")):
        assert f"15 of 15 clips without {what}: run `equime {stage} {table.path}`" in found.notes
    table = make_workspace(tmp_path / "other", rejected=[2, 3])
    found = problems(table)
    assert found.clips == 13 and any("2 clips scored and not accepted: left out" in note for note in found.notes)
    assert problems(table, keep_rejected=True).clips == 15
    assert problems(table, without={"fear/f_0_0", "anger/f_0_0"}).clips == 12


@pytest.mark.parametrize("licence", [celeba.LICENCE, "CC BY-ND 4.0", "all rights reserved", None])
def test_pictures_that_may_not_be_passed_on_need_a_permission_or_go_as_a_recipe(
    tmp_path: Path, licence: str | None
) -> None:
    table = Table.create(tmp_path / "ws", shard_rows=4)
    key = pseudonym_key(table)
    table = Table(table.path)
    kept = [row | {"source_licence": licence} for row in celeba_rows(lambda name: pseudonym(name, key))]
    add_rows(table, [*kept, make_row(9, 9, 1, "fear") | {"subject_id": "n9"}])
    (refusal,) = problems(table).refusals
    assert ("unknown" if licence is None else licence) in refusal and "3 subjects, 3 clips" in refusal
    assert "--mode recipe" in refusal and "--permission" in refusal
    (blank, same) = problems(table, permission=" ").refusals
    assert "blank" in blank and same == refusal
    assert problems(table, mode="recipe").refusals == []
    permitted = problems(table, permission="e-mail of 2026-01-02")
    assert permitted.refusals == [] and permitted.clips == 4
    assert any("by the written permission alone" in note for note in permitted.notes)


def test_only_clips_that_go_out_need_a_licence(tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", rejected=range(5))
    change(table, source_licence=lambda row: "secret" if row["subject_id"] == "0" else "CC0")
    assert problems(table).refusals == [] and len(problems(table, keep_rejected=True).refusals) == 1


def test_identities_are_refused_in_every_mode(tmp_path: Path) -> None:
    table = Table.create(tmp_path / "ws", shard_rows=4)
    add_rows(table, celeba_rows(lambda name: f"28{name}"))
    for mode in ("clips", "recipe"):
        (refusal,) = problems(table, permission="yes", mode=mode).refusals  # type: ignore[arg-type]
        assert "3 subject ids" in refusal and "are identities" in refusal and "--pseudonyms" in refusal
        assert "280" not in refusal.replace(str(tmp_path), "")
    pseudonym_key(table)  # a key made later pseudonymises nobody
    assert Table(table.path).settings[KEY]
    assert len(problems(Table(table.path), mode="recipe").refusals) == 1


def test_names_that_only_look_like_pseudonyms_need_the_key(tmp_path: Path) -> None:
    table = Table.create(tmp_path / "ws", shard_rows=4)
    add_rows(table, celeba_rows(lambda name: pseudonym(name, "a key of somebody")))
    assert any("are identities" in line for line in problems(table, mode="recipe").refusals)


def test_licences_with_conditions_are_notes_and_texts_stay_one_line(table: Table) -> None:
    change(table, source_licence=lambda row: "CC BY-SA 4.0" if row["subject_id"] == "1" else "CC0")
    notes = problems(table).notes
    assert sum("'CC BY-SA 4.0' of 1 subject, 10 clips asks" in note for note in notes) == 2
    change(table, source_licence=lambda row: "line\n" * 100 + "<script>")
    (refusal,) = problems(table).refusals
    assert "\n" not in refusal and len(refusal) < 400
