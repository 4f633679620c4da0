from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toy_stages import Looks, Words, clip_id, make_plan, start, write_shard
from travelling import travelled
from watching import WAIT_S, at_work, captions, contents, ended, errors, finish, states, temporary, until, waiting

from equime import schema
from equime.checks import status
from equime.errors import EquimeError, MissingPackageError
from equime.footer import follows, mark_of
from equime.locks import hold
from equime.marks import is_fresh
from equime.optional import need
from equime.receipt import Receipt
from equime.runner import run
from equime.stage import Stage, writes
from equime.table import Table


def counts(receipt: Receipt) -> tuple[int, int, int]:
    return receipt.done, receipt.fresh, receipt.waiting


# --- what is run


def test_a_run_makes_every_shard_and_a_second_one_nothing(tmp_path: Path) -> None:
    table = make_plan(tmp_path, rows=5, shard_rows=2)
    assert isinstance(Words(), Stage)
    receipt = run(Words(), table)
    assert counts(receipt) == (3, 0, 0)
    assert (receipt.rows, receipt.failed, receipt.errors) == (5, 0, {})
    assert captions(table) == [f"a face, {e} 1" for e in schema.EMOTIONS]
    assert table.footer("caption", 0).failed == 0
    before = states(table)
    again = run(Words(), table)
    assert (counts(again), again.rows) == ((0, 3, 0), 0)
    assert states(table) == before
    assert str(again).startswith("caption: 0 shards made, 3 fresh; 0 rows in")
    assert again.to_dict()["fresh"] == 3


def test_all_columns_are_always_written(tmp_path: Path) -> None:
    table = make_plan(tmp_path, rows=2)
    run(Words(), table)
    written = pq.read_table(table.shard_path("caption", 0))
    assert written.schema.names == schema.GROUPS["caption"].names
    assert written["caption_json"].to_pylist() == [None, None]


def test_a_changed_result_field_makes_its_own_group_stale(tmp_path: Path) -> None:
    table = make_plan(tmp_path)
    run(Words(), table)
    run(Looks(), table)
    tags = states(table, "tag")
    assert counts(run(Words(text="a person"), table)) == (4, 0, 0)
    assert captions(table)[0] == "a person, happiness 1"
    assert states(table, "tag") == tags  # not yet run again
    assert [is_fresh(table, "tag", index) for index in table.shards()] == [False] * 4
    assert counts(run(Looks(), table)) == (4, 0, 0)


def test_status_says_when_a_run_with_other_options_stopped_half_way(tmp_path: Path) -> None:
    table = make_plan(tmp_path)
    run(Words(), table)
    captions = next(group for group in status(table) if group.group == "caption")
    assert captions.ways == 1 and "ways" not in str(captions)
    run(replace(Words(), text="x"), table, shard=(0, 2))
    captions = next(group for group in status(table) if group.group == "caption")
    assert captions.ways == 2 and "made in 2 ways" in str(captions)


def test_other_fields_and_workers_change_nothing(tmp_path: Path) -> None:
    table = make_plan(tmp_path)
    run(Words(), table)
    before = states(table)
    assert counts(run(Words(bad=(clip_id(0),), log=tmp_path / "log"), table, workers=2)) == (0, 4, 0)
    assert states(table) == before
    assert not (tmp_path / "log").exists()


@dataclass(frozen=True)
class NewerWords(Words):
    version: ClassVar[int] = 2


def test_a_raised_version_makes_stale(tmp_path: Path) -> None:
    table = make_plan(tmp_path)
    run(Words(), table)
    assert counts(run(NewerWords(), table)) == (4, 0, 0)
    assert counts(run(NewerWords(), table)) == (0, 4, 0)
    assert table.footer("caption", 0).version == 2


def test_equal_upstream_output_leaves_what_follows_fresh(tmp_path: Path) -> None:
    table = make_plan(tmp_path)
    run(Words(), table)
    run(Looks(), table)
    run(NewerWords(), table)  # rewritten, and the same captions
    assert counts(run(Looks(), table)) == (0, 4, 0)
    assert all(is_fresh(table, "tag", index) for index in table.shards())


def test_only_the_shards_whose_inputs_changed_are_stale(tmp_path: Path) -> None:
    table = make_plan(tmp_path)
    run(Words(), table)
    rows = table.read(2, schema.GROUPS["plan"].names).to_pylist()
    before = states(table)
    write_shard(table, "plan", 2, [row | {"prompt": "not read"} for row in rows])
    assert counts(run(Words(), table)) == (0, 4, 0)
    write_shard(table, "plan", 2, [row | {"sequence": 2} for row in rows])
    assert [is_fresh(table, "caption", index) for index in table.shards()] == [True, True, False, True]
    assert counts(run(Words(), table)) == (1, 3, 0)
    after = states(table)
    assert [name for name in before if before[name] != after[name]] == ["00002.parquet"]
    assert captions(table)[4] == "a face, anger 2"


def test_changed_clip_ids_make_stale(tmp_path: Path) -> None:
    table = make_plan(tmp_path)
    run(Words(), table)
    rows = table.read(1, schema.GROUPS["plan"].names).to_pylist()
    write_shard(table, "plan", 1, reversed([row | {"emotion": "fear"} for row in rows]))
    assert counts(run(Words(), table)) == (1, 3, 0)
    assert table.read(1, ["caption"])["clip_id"].to_pylist() == [clip_id(3), clip_id(2)]


def test_new_rows_touch_nothing_old(tmp_path: Path) -> None:
    table = make_plan(tmp_path, rows=4)
    run(Words(), table)
    before = states(table)
    row = table.find(clip_id(0))
    write_shard(table, "plan", 2, [{n: row[n] for n in schema.GROUPS["plan"].names} | {"clip_id": "fear/f_z_01"}])
    assert counts(run(Words(), table)) == (1, 2, 0)
    assert before.items() <= states(table).items()


def test_shards_without_inputs_wait(tmp_path: Path) -> None:
    table = make_plan(tmp_path)
    receipt = run(Looks(), table)
    assert counts(receipt) == (0, 0, 4)
    assert "4 waiting for their inputs" in str(receipt)
    run(Words(), table, shard=(1, 4))
    assert counts(run(Looks(), table)) == (1, 0, 3)
    run(Words(), table)
    assert counts(run(Looks(), table)) == (3, 1, 0)


def test_what_an_import_made_is_left_as_it_is(tmp_path: Path) -> None:
    table = make_plan(tmp_path, rows=4)
    write_shard(table, "caption", 0, [{"clip_id": clip_id(n), "caption": "released"} for n in (0, 1)])
    shard = table.shard_path("caption", 0)
    found = table.footer("caption", 0)
    mark = mark_of("import", 1, {}, {"clip_id": found.digests["clip_id"]})
    table.write("caption", 0, pq.read_table(shard), replace(found, stage="import", mark=mark))
    before = shard.read_bytes()
    receipt = run(Words(), table, retry_failed=True)
    assert (counts(receipt), receipt.foreign) == ((1, 0, 0), 1)
    assert "1 imported and left as they are" in str(receipt)
    assert shard.read_bytes() == before
    assert captions(table)[:3] == ["released", "released", "a face, surprise 1"]
    assert counts(run(Words(), table, replace_imported=True)) == (1, 1, 0)
    assert captions(table)[0] == "a face, happiness 1" and run(Words(), table).foreign == 0


def test_a_footer_tells_how_its_shard_was_made(tmp_path: Path) -> None:
    table = make_plan(tmp_path, rows=2)
    run(replace(Words(), text="x", bad=(clip_id(1),)), table)
    footer = table.footer("caption", 0)
    assert (footer.stage, footer.version, footer.failed, footer.rows) == ("caption", 1, 1, 2)
    assert footer.fields == {"text": "x", "padding": 0}
    assert footer.reads == Words.reads
    assert footer.schema_version == schema.VERSION
    assert follows(footer, {"plan": table.footer("plan", 0)})
    assert not follows(footer, {})
    assert not follows(replace(footer, fields={"text": "y"}), {"plan": table.footer("plan", 0)})


# --- rows that fail


def test_a_bad_row_keeps_nulls_and_its_reason_and_spares_its_batch(tmp_path: Path) -> None:
    table = make_plan(tmp_path)
    receipt = run(Words(bad=(clip_id(3),)), table)
    assert (receipt.done, receipt.rows, receipt.failed) == (4, 8, 1)
    assert receipt.errors == {clip_id(3): "ValueError: cannot be worded"}
    assert captions(table) == [None if n == 3 else f"a face, {schema.EMOTIONS[n % 5]} 1" for n in range(8)]
    assert errors(table) == [None] * 3 + ["ValueError: cannot be worded"] + [None] * 4
    again = run(Words(), table)
    assert (counts(again), again.failed) == ((0, 4, 0), 1)  # fresh, and still said to have failed


def test_retry_failed_runs_the_failed_rows_and_no_others(tmp_path: Path) -> None:
    table = make_plan(tmp_path)
    run(Words(bad=(clip_id(2), clip_id(3), clip_id(7))), table)
    before = states(table)
    log = tmp_path / "log"
    receipt = run(Words(log=log, bad=(clip_id(7),)), table, retry_failed=True)
    assert set(log.read_text().split()) == {clip_id(2), clip_id(3), clip_id(7)}
    assert (counts(receipt), receipt.rows, receipt.failed) == ((2, 2, 0), 3, 1)
    assert [n for n, error in enumerate(errors(table)) if error] == [7]
    after = states(table)
    assert [name for name in before if before[name] == after[name]] == ["00000.parquet", "00002.parquet"]
    run(Words(), table, retry_failed=True)
    whole = make_plan(tmp_path / "whole")
    run(Words(), whole)
    assert contents(table) == contents(whole)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_only_fails_keeps_what_was_good(tmp_path: Path, workers: int) -> None:
    table = make_plan(tmp_path)
    run(Words(), table)
    before = states(table)
    everyone = tuple(clip_id(n) for n in range(8))
    receipt = run(Words(text="new", bad=everyone[:7]), table, workers=workers)
    assert (receipt.done, receipt.kept, receipt.rows, receipt.failed) == (1, 3, 8, 7)
    assert receipt.errors[clip_id(0)] == "ValueError: cannot be worded (the caption made before is kept)"
    assert receipt.errors[clip_id(6)] == "ValueError: cannot be worded"
    assert "3 failed whole and left as made before" in str(receipt)
    after = states(table)
    assert [name for name in before if before[name] != after[name]] == ["00003.parquet"]
    assert counts(run(Words(), table)) == (1, 3, 0)  # the old wording is as fresh as it ever was
    assert contents(table) == [data for _, _, data in before.values()]


def test_good_rows_of_other_clips_are_not_kept(tmp_path: Path) -> None:
    table = make_plan(tmp_path, rows=2)
    run(Words(), table)
    rows = table.read(0, schema.GROUPS["plan"].names).to_pylist()
    write_shard(table, "plan", 0, [row | {"clip_id": f"{row['clip_id']}x"} for row in rows])
    receipt = run(Words(bad=tuple(f"{clip_id(n)}x" for n in (0, 1))), table)
    assert (receipt.done, receipt.kept, receipt.failed) == (1, 0, 2)
    assert errors(table) == ["ValueError: cannot be worded"] * 2


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stage_that_does_not_load_touches_no_shard(tmp_path: Path, workers: int) -> None:
    table = make_plan(tmp_path)
    run(Words(bad=(clip_id(1),)), table)
    before = states(table)
    for retry in (False, True):
        with pytest.raises(EquimeError, match="no words are installed"):
            run(Words(text="unloadable"), table, workers=workers, retry_failed=retry)
    assert states(table) == before
    assert temporary(table) == []


def test_the_receipt_says_what_to_do_for_rows_that_were_not_tried(tmp_path: Path) -> None:
    table = make_plan(tmp_path)
    stage = Words(bad=(clip_id(3),))
    first = run(stage, table)
    assert first.untried == 0
    assert str(first).endswith(", 1 failed")
    again = run(stage, table)
    assert (again.failed, again.untried) == (1, 1)
    assert str(again).endswith("1 failed before: run again with --retry-failed")
    assert str(run(stage, table, retry_failed=True)).endswith(", 1 failed")


@dataclass(frozen=True)
class Wrong:
    """Answers rows in a wrong way; which way is in the row."""

    name: ClassVar[str] = "caption"
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("prompt",)
    writes: ClassVar[pa.Schema] = writes("caption")

    def load(self) -> None: ...

    def __call__(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        made = [_wrong(row["prompt"]) for row in rows]
        for row in rows:
            row.clear()  # what a stage does to its rows is its own affair
        return [one for one in made if one != "missing"]


def _wrong(way: str) -> Any:
    match way:
        case "column":
            return {"caption": "x", "mood": "y"}
        case "type":
            return {"caption": ["x"]}
        case "list":
            return ["x"]
        case "long":
            raise EquimeError("one\n\n  line  " + "x" * 10_000)
        case "surrogate":
            raise OSError("no such file: \udcff.png")
        case "empty":
            raise EquimeError
        case "missing":
            return "missing"
    return {"caption": np.str_(way)}


def test_each_way_to_be_wrong_is_that_row_s_error_alone(tmp_path: Path) -> None:
    ways = ["column", "fine", "type", "list", "long", "surrogate", "empty", "missing"]
    table = make_plan(tmp_path, prompt=ways, shard_rows=8)
    receipt = run(Wrong(), table)
    assert (receipt.rows, receipt.failed) == (8, 7)
    assert captions(table) == [None, "fine", None, None, None, None, None, None]
    said = dict(zip(ways, errors(table), strict=True))
    assert said["fine"] is None
    assert said["column"] == "TypeError: caption wrote columns it does not declare: ['mood']"
    assert said["type"].startswith("Arrow")
    assert said["list"].startswith("TypeError: caption wrote columns it does not declare")
    assert said["long"].startswith("one line xxx")
    assert len(said["long"]) <= 500
    assert said["surrogate"] == "OSError: no such file: ?.png"
    assert said["empty"] == "EquimeError: "
    assert said["missing"] == "TypeError: caption returned 0 rows for 1"
    assert all("\n" not in (line or "") for line in said.values())


@dataclass(frozen=True)
class NeedsMore(Words):
    def __call__(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        need("surely_not_installed", extra="caption")
        return []


def test_a_missing_package_stops_the_run_and_fails_no_row(tmp_path: Path) -> None:
    table = make_plan(tmp_path)
    with pytest.raises(MissingPackageError, match=r"equime\[caption\]"):
        run(NeedsMore(), table)
    assert table.shards("caption") == []


# --- wrong use


@dataclass(frozen=True)
class ReadsItself(Words):
    reads: ClassVar[tuple[str, ...]] = ("caption",)


@dataclass(frozen=True)
class WritesWrongly(Words):
    writes: ClassVar[pa.Schema] = pa.schema([("caption", pa.int32()), ("caption_error", pa.string())])


@dataclass(frozen=True)
class WritesNoError(Words):
    writes: ClassVar[pa.Schema] = pa.schema([("caption", pa.string())])


@dataclass(frozen=True)
class ReadsUnknown(Words):
    reads: ClassVar[tuple[str, ...]] = ("mood",)


@dataclass(frozen=True)
class NoGroup(Words):
    name: ClassVar[str] = "mood"


@pytest.mark.parametrize(
    ("stage", "options", "said"),
    [
        (Words(), {"on": "moon"}, "on = 'moon'"),
        (Words(), {"workers": 0}, "workers = 0"),
        (Words(), {"gpus": 1}, "gpus = 1, on = 'local'"),
        (Words(), {"gpus": -1, "on": "ray"}, "gpus = -1"),
        (Words(), {"shard": (2, 2)}, "got 2/2"),
        (Words(), {"shard": (-1, 2)}, "got -1/2"),
        (NoGroup(), {}, "stage.name = 'mood'"),
        (ReadsItself(), {}, "cannot read what it writes, got own = \\['caption'\\]"),
        (ReadsUnknown(), {}, "unknown column 'mood'"),
        (WritesWrongly(), {}, "wrong = \\['caption: int32'\\]"),
        (WritesNoError(), {}, "should write caption_error"),
    ],
)
def test_wrong_use_is_said_before_anything_is_written(
    tmp_path: Path, stage: Any, options: dict[str, Any], said: str
) -> None:
    table = make_plan(tmp_path)
    with pytest.raises(EquimeError, match=said):
        run(stage, table, **options)
    assert set(os.listdir(tmp_path)) == {"workspace.json", "plan"}


# --- shares, workers, locks


def test_two_workers_make_the_same_bytes_as_one(tmp_path: Path) -> None:
    one, two = make_plan(tmp_path / "one", rows=12), make_plan(tmp_path / "two", rows=12)
    stage = Words(bad=(clip_id(5),))
    alone, together = run(stage, one), run(stage, two, workers=2)
    assert contents(one) == contents(two)
    assert replace(alone, seconds=0) == replace(together, seconds=0)


def test_a_stage_that_does_not_load_says_why_in_a_worker_too(tmp_path: Path) -> None:
    table = make_plan(tmp_path)
    for workers in (1, 2):
        with pytest.raises(EquimeError, match="no words are installed: run `pip install words`"):
            run(Words(text="unloadable"), table, workers=workers)
    assert table.shards("caption") == []


def test_shares_of_two_processes_are_the_whole(tmp_path: Path) -> None:
    table = make_plan(tmp_path / "ws", rows=10)
    gate = tmp_path / "gate"
    gate.mkdir()
    shares = [start(table.path, "--share", f"{i}/2", "--gate", gate, "--stop-at", clip_id(2 * i)) for i in (0, 1)]
    until(lambda: len(list(gate.iterdir())) == 2)  # both are at work at once
    (gate / "open").touch()
    said = [process.communicate(timeout=WAIT_S)[0] for process in shares]
    assert [process.returncode for process in shares] == [0, 0]
    assert "3 shards made" in said[0]
    assert "2 shards made" in said[1]
    whole = make_plan(tmp_path / "whole", rows=10)
    run(Words(), whole)
    assert contents(table) == contents(whole)
    assert counts(run(Words(), table)) == (0, 5, 0)


def test_shares_of_another_count_are_refused(tmp_path: Path) -> None:
    table = make_plan(tmp_path / "ws", rows=10)
    with hold(table.path / "caption", (0, 2)):
        with pytest.raises(EquimeError, match="runs with --shard i/2"):
            run(Words(), table, shard=(1, 3))
        assert run(Words(), table, shard=(1, 2)).done == 2


def test_a_second_run_is_told_so_and_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    table = make_plan(tmp_path / "ws")
    with at_work(table, tmp_path / "gate", 4) as process:
        with pytest.raises(EquimeError, match=f"is being written by process {process.pid}: wait for it"):
            run(Words(), table)
        with pytest.raises(EquimeError, match="is being written"):
            run(Words(), table, shard=(0, 2))
        process.kill()
        process.wait()
        assert counts(run(Words(), table)) == (2, 2, 0)


# --- stopped in the middle


def test_a_kill_loses_the_shard_in_hand_and_no_other(tmp_path: Path) -> None:
    table = make_plan(tmp_path / "ws")
    with at_work(table, tmp_path / "gate", 5) as process:
        process.kill()
        process.wait()
    before = states(table)
    assert list(before) == ["00000.parquet", "00001.parquet"]
    finish(table, before, tmp_path / "whole")


DIE_IN_FSYNC = """
import os, signal
left, real = {count}, os.fsync
def fsync(handle):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real(handle)
os.fsync = fsync
"""


@pytest.mark.parametrize(("count", "done", "left"), [(1, 0, 1), (2, 1, 0), (3, 1, 1), (8, 4, 0)])
def test_a_kill_while_writing_leaves_a_temporary_file_or_a_whole_shard(
    tmp_path: Path, count: int, done: int, left: int
) -> None:
    table = make_plan(tmp_path / "ws")
    process = start(table.path, before=DIE_IN_FSYNC.format(count=count))
    process.communicate(timeout=WAIT_S)
    assert process.returncode == -signal.SIGKILL
    assert len(temporary(table)) == left
    before = states(table)
    assert len(before) == done
    assert all(is_fresh(table, "caption", index) for index in table.shards("caption"))
    finish(table, before, tmp_path / "whole")


def test_a_killed_worker_ends_the_run_in_one_line_and_loses_nothing_finished(tmp_path: Path) -> None:
    table = make_plan(tmp_path / "ws")
    gate = tmp_path / "gate"
    with at_work(table, gate, 4, 6, workers=2) as process:
        os.kill(waiting(gate)[0], signal.SIGKILL)
        _, said = process.communicate(timeout=WAIT_S)
        assert process.returncode == 1
        assert said.startswith("equime: a worker process died")
        assert len(said.splitlines()) == 1
        assert all(ended(pid) for pid in waiting(gate))
    before = states(table)
    assert list(before) == ["00000.parquet", "00001.parquet"]
    finish(table, before, tmp_path / "whole")


def test_workers_end_with_a_killed_parent_and_free_the_group(tmp_path: Path) -> None:
    table = make_plan(tmp_path / "ws")
    gate = tmp_path / "gate"
    with at_work(table, gate, 4, 6, workers=2) as process:
        process.kill()
        process.wait()
        until(lambda: all(ended(pid) for pid in waiting(gate)))
        before = states(table)
        assert list(before) == ["00000.parquet", "00001.parquet"]
        finish(table, before, tmp_path / "whole")


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_the_run_in_one_line_and_loses_nothing_finished(tmp_path: Path, workers: int) -> None:
    table = make_plan(tmp_path / "ws")
    gate = tmp_path / "gate"
    with at_work(table, gate, *(4, 6)[:workers], workers=workers) as process:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
        _, said = process.communicate(timeout=WAIT_S)
        assert process.returncode == 130
        assert said == "equime: stopped\n"
        until(lambda: all(ended(pid) for pid in waiting(gate)))
    before = states(table)
    assert list(before) == ["00000.parquet", "00001.parquet"]
    assert temporary(table) == []
    finish(table, before, tmp_path / "whole")


def test_ctrl_c_while_workers_start_is_as_quiet(tmp_path: Path) -> None:
    table = make_plan(tmp_path / "ws")
    slow = f"import os; os.environ['SLOW_IMPORT'] = {str(tmp_path)!r}"
    process = start(table.path, "--workers", 2, before=slow, start_new_session=True)
    until(lambda: len(list(tmp_path.glob("importing-*"))) == 3)  # this process, and its workers
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=WAIT_S)
    assert (process.returncode, said) == (130, "equime: stopped\n")
    assert states(table) == {}


# --- disks


LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_that_cannot_grow_is_one_line_and_leaves_nothing_half_written(tmp_path: Path, workers: int) -> None:
    table = make_plan(tmp_path / "ws")
    run(Words(), table, shard=(0, 4))
    before = states(table)
    process = start(table.path, "--workers", workers, "--padding", 30_000, before=LIMIT)
    _, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1
    assert said.startswith("equime: cannot write ")
    assert "File too large; nothing already made was lost" in said
    assert len(said.splitlines()) == 1
    assert states(table) == before
    assert temporary(table) == []


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A file system of its own, where this process may mount one."""
    folder.mkdir(exist_ok=True)
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can mount a file system")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_one_line_and_the_same_command_goes_on_once_there_is_room(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=256k"):
        table = make_plan(tmp_path / "disk" / "ws", rows=12)
        with pytest.raises(EquimeError, match="No space left on device; nothing already made was lost") as raised:
            run(Words(padding=20_000), table)
        assert "\n" not in str(raised.value)
        before = states(table)
        assert 0 < len(before) < 6
        assert temporary(table) == []
        assert all(is_fresh(table, "caption", index) for index in table.shards("caption"))
        subprocess.run(["mount", "-o", "remount,size=8m", tmp_path / "disk"], check=True)
        assert counts(run(Words(padding=20_000), table)) == (6 - len(before), len(before), 0)
        assert before.items() <= states(table).items()


def test_a_read_only_workspace_is_one_line_and_still_reads(tmp_path: Path) -> None:
    with read_only(tmp_path / "disk") as table:
        for stage in (Words(text="new"), Looks()):
            with pytest.raises(EquimeError, match=f"cannot write to .*{stage.name}: .*writable") as raised:
                run(stage, table)
            assert "\n" not in str(raised.value)
        assert len(captions(table)) == 8
        assert is_fresh(table, "caption", 0)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[Table]:
    if os.geteuid() == 0:  # permissions do not bind root
        with mounted(folder, "size=8m"):
            table = make_plan(folder / "ws")
            run(Words(), table)
            subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
            yield table
        return
    table = make_plan(folder / "ws")
    run(Words(), table)
    shut = [table.path, *(path for path in table.path.rglob("*"))]
    for path in shut:
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        yield table
    finally:
        for path in shut:
            path.chmod(path.stat().st_mode | 0o200)


# --- shards that are not what they should be


def test_a_newer_own_shard_stops_the_run_and_is_not_overwritten(tmp_path: Path) -> None:
    table = make_plan(tmp_path, rows=2)
    write_shard(table, "caption", 0, [{"clip_id": clip_id(n)} for n in (0, 1)], schema_version=99)
    before = states(table)
    with pytest.raises(EquimeError, match="schema version 99"):
        run(Words(), table)
    assert states(table) == before


def test_a_newer_input_stops_the_run(tmp_path: Path) -> None:
    table = make_plan(tmp_path, rows=2)
    write_shard(table, "caption", 0, [{"clip_id": clip_id(n)} for n in (0, 1)], schema_version=99)
    with pytest.raises(EquimeError, match="schema version 99"):
        run(Looks(), table)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_damaged_shard_of_its_own_is_made_again_and_a_damaged_input_is_named(
    tmp_path: Path, workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    table = make_plan(tmp_path)
    run(Words(), table)
    before = contents(table)
    shard, other = table.shard_path("caption", 1), table.shard_path("caption", 2)
    shard.write_bytes(before[1][:-20])
    found = pq.read_table(other)
    numbers = found.set_column(1, "caption", pa.array([1, 2])).replace_schema_metadata(found.schema.metadata)
    pq.write_table(numbers, other)
    with pytest.raises(EquimeError, match=r"cannot read .*1.parquet: .*; delete .*, then run `equime capt") as raised:
        run(Looks(), table)
    assert "\n" not in str(raised.value)
    assert counts(run(Words(), table, workers=workers)) == (2, 2, 0)
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [line.endswith("; it is made again") for line in said] == [True, True]
    assert str(shard) in said[0]
    assert f"{other}: column 'caption' should be string, got int64" in said[1]
    assert contents(table) == before


def test_a_shard_that_does_not_read_beside_an_import_is_left_alone(tmp_path: Path) -> None:
    table = make_plan(tmp_path, rows=4)
    for index in (0, 1):
        write_shard(table, "caption", index, [{"clip_id": clip_id(2 * index + n)} for n in (0, 1)])
    shards = [table.shard_path("caption", index) for index in (0, 1)]
    table.write("caption", 0, pq.read_table(shards[0]), replace(table.footer("caption", 0), stage="import"))
    shards[1].write_bytes(b"half")
    with pytest.raises(EquimeError, match=r"cannot read .*00001.parquet"):
        run(Words(), table)
    assert shards[1].read_bytes() == b"half"


def test_retrying_a_shard_whose_good_rows_do_not_read_runs_all_of_them(tmp_path: Path) -> None:
    table = make_plan(tmp_path, rows=2)
    run(Words(bad=(clip_id(1),)), table)
    shard = table.shard_path("caption", 0)
    found = pq.read_table(shard)
    pq.write_table(found.take([1, 0]).replace_schema_metadata(found.schema.metadata), shard)
    assert run(Words(), table, retry_failed=True).failed == 0
    assert captions(table) == ["a face, happiness 1", "a face, sadness 1"]


def test_an_input_of_a_changed_type_or_out_of_step_stops_the_run(tmp_path: Path) -> None:
    table = make_plan(tmp_path)
    run(Words(), table)
    shard = table.shard_path("caption", 1)
    whole = pq.read_table(shard)
    numbers = whole.set_column(1, "caption", pa.array([1, 2]))
    pq.write_table(numbers.replace_schema_metadata(whole.schema.metadata), shard)
    with pytest.raises(EquimeError, match="column 'caption' should be string, got int64"):
        run(Looks(), table)
    pq.write_table(whole.take([1, 0]).replace_schema_metadata(whole.schema.metadata), shard)
    with pytest.raises(EquimeError, match="does not hold the plan's rows in the plan's order"):
        run(Looks(), table)


def test_receipts_and_stages_travel(tmp_path: Path) -> None:
    for thing in (Words(log=tmp_path), Receipt("caption", errors={"a": "b"}), make_plan(tmp_path / "ws")):
        copied = travelled(thing)
        assert vars(copied) == vars(thing)
