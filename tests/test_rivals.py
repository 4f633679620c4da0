"""Clips of other generators as a workspace: what is there, missing, broken or outside; what stays fresh."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from make_clips import clip_bytes, truncated
from toy_stages import clip_id, make_plan

from equime import video
from equime.checks import check
from equime.errors import EquimeError
from equime.quality.rivals import collect
from equime.table import Table


@pytest.fixture
def planned(tmp_path: Path) -> Table:
    return make_plan(tmp_path / "ws", rows=6)


def put(folder: Path, number: int, data: bytes) -> Path:
    path = folder / f"{clip_id(number)}.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_each_clip_is_where_it_lies_or_says_why_not(tmp_path: Path, planned: Table) -> None:
    folder = tmp_path / "clips"
    data = clip_bytes(8, 32, fps=25)
    path = put(folder, 0, data)
    put(folder, 3, truncated(data, 0.3))
    put(folder, 4, b"no video")
    (tmp_path / "outside.mp4").write_bytes(data)
    put(folder, 5, b"").unlink()
    (folder / f"{clip_id(5)}.mp4").symlink_to(tmp_path / "outside.mp4")
    seen: list[int] = []
    found = collect(planned, folder, tmp_path / "scores", "other", seen.append)
    assert sum(seen) == 6 and (found.clips, found.missing) == (1, (clip_id(1), clip_id(2)))
    assert set(found.broken) == {clip_id(3), clip_id(4), clip_id(5)} and "leaves" in found.broken[clip_id(5)]
    rows = list(found.table.rows(["video", "sha256", "num_frames", "fps", "generator", "generate_error", "apex_ms"]))
    assert rows[0]["video"] == {"bytes": None, "path": str(path.resolve())}
    assert (rows[0]["sha256"], rows[0]["num_frames"]) == (video.sha256(data), 8)
    assert (rows[0]["fps"], rows[0]["generator"], rows[0]["generate_error"]) == (25.0, "other", None)
    assert all(row["video"] is None and row["generate_error"] and "\n" not in row["generate_error"] for row in rows[1:])
    assert [row["apex_ms"] for row in rows] == [row["apex_ms"] for row in planned.rows(["apex_ms"])]
    assert not [problem for problem in check(found.table) if "mark" in problem or "digest" in problem]


def test_only_what_changed_is_written_again(tmp_path: Path, planned: Table) -> None:
    folder, scores = tmp_path / "clips", tmp_path / "scores"
    for number in range(6):
        put(folder, number, clip_bytes(8, 32, seed=number))
    table = collect(planned, folder, scores, "other").table

    def stamps() -> list[int]:
        return [table.shard_path(group, index).stat().st_ino for group in ("plan", "generate") for index in range(3)]

    before = stamps()
    collect(planned, folder, scores, "other")
    assert stamps() == before
    put(folder, 2, clip_bytes(8, 32, seed=99))
    collect(planned, folder, scores, "other")
    assert [old == new for old, new in zip(before, stamps(), strict=True)] == [True] * 4 + [False, True]
    table.shard_path("generate", 0).write_bytes(b"damaged")
    assert collect(planned, folder, scores, "other").clips == 6
    assert table.made(0) == ["plan", "generate"]


def test_a_plan_that_changed_is_followed(tmp_path: Path, planned: Table) -> None:
    folder, scores = tmp_path / "clips", tmp_path / "scores"
    put(folder, 0, clip_bytes(8, 32))
    collect(planned, folder, scores, "other")
    shutil.rmtree(planned.path)
    again = make_plan(tmp_path / "ws", rows=3, apex_ms=[150.0, 160.0, 170.0])
    table = collect(again, folder, scores, "other").table
    assert [row["apex_ms"] for row in table.rows(["apex_ms"])] == [150.0, 160.0, 170.0]


def test_what_is_no_folder_of_the_plans_clips_is_one_line(tmp_path: Path, planned: Table) -> None:
    (tmp_path / "empty").mkdir()
    for folder, says in ((tmp_path / "nowhere", "no such folder"), (tmp_path / "empty", rf"such as {clip_id(0)}\.mp4")):
        with pytest.raises(EquimeError, match=says):
            collect(planned, folder, tmp_path / "scores", "other")
    assert not (tmp_path / "scores").exists()


def test_a_workspace_of_its_own_is_never_written_over(tmp_path: Path, planned: Table) -> None:
    folder = tmp_path / "clips"
    put(folder, 0, clip_bytes(8, 32))
    other = make_plan(tmp_path / "other", rows=2)
    before = other.shard_path("plan", 0).read_bytes()
    for place in (planned.path, other.path):
        with pytest.raises(EquimeError, match="a workspace of its own"):
            collect(planned, folder, place, "other")
    assert other.shard_path("plan", 0).read_bytes() == before


def test_an_id_that_climbs_out_reads_nothing(tmp_path: Path) -> None:
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(clip_bytes(8, 32))
    planned = make_plan(tmp_path / "ws", rows=2, clip_id=["../secret", clip_id(1)])
    put(tmp_path / "clips", 1, clip_bytes(8, 32))
    found = collect(planned, tmp_path / "clips", tmp_path / "scores", "other")
    assert found.clips == 1 and "leaves" in found.broken["../secret"]
