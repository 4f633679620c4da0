from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from toy_stages import PATHS

from equime.errors import EquimeError
from equime.locks import hold, hold_every

HOLD = """
import sys
from pathlib import Path
from equime.locks import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | PATHS,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_whole_run_is_told_who_holds_it_and_what_to_do(tmp_path: Path) -> None:
    with holder(tmp_path / "caption") as process:
        with pytest.raises(EquimeError) as raised, hold(tmp_path / "caption"):
            pass
        process.communicate()
    said = f"{tmp_path / 'caption'} is being written by process {process.pid}: wait for it or stop it"
    assert str(raised.value).startswith(said)
    assert "--shard i/n" in str(raised.value)


@pytest.mark.parametrize("end", ["kill", "communicate"])
def test_a_dead_process_keeps_nothing(tmp_path: Path, end: str) -> None:
    with holder(tmp_path) as process:
        getattr(process, end)()
    with hold(tmp_path):
        pass


def test_shares_run_side_by_side_and_each_share_once(tmp_path: Path) -> None:
    with hold(tmp_path, (0, 2)), hold(tmp_path, (1, 2)):
        with pytest.raises(EquimeError, match=f"is being written by process {os.getpid()}"), hold(tmp_path, (0, 2)):
            pass
        with pytest.raises(EquimeError, match="is being written by a run with --shard"), hold(tmp_path):
            pass
    with hold(tmp_path):
        pass


def test_shares_of_two_counts_are_refused(tmp_path: Path) -> None:
    with hold(tmp_path, (0, 2)):
        for other in ((1, 3), (0, 3), (1, 4)):
            said = r"runs with --shard i/2: .*use --shard i/2 here too, got \d/[34]"
            with pytest.raises(EquimeError, match=said), hold(tmp_path, other):
                pass
        with hold(tmp_path, (1, 2)):
            pass
    with hold(tmp_path, (1, 3)):
        pass


def test_every_folder_or_none(tmp_path: Path) -> None:
    folders = [tmp_path / "plan", tmp_path / "caption"]
    with hold_every(folders):
        for folder in folders:
            with pytest.raises(EquimeError, match="is being written by process"), hold(folder):
                pass
    with hold(folders[1], (0, 2)):
        with pytest.raises(EquimeError, match="caption is being written by a run with --shard"), hold_every(folders):
            pass
        with hold(folders[0]):
            pass


def test_a_share_waits_for_a_whole_run(tmp_path: Path) -> None:
    with (
        hold(tmp_path),
        pytest.raises(EquimeError, match=re.escape(f"process {os.getpid()}")),
        hold(tmp_path, (0, 2)),
    ):
        pass


def test_a_failing_block_lets_go(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), hold(tmp_path):
        raise ZeroDivisionError
    with hold(tmp_path):
        pass


def test_a_place_that_cannot_hold_a_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EquimeError, match=r"cannot write to .*: Not a directory"), hold(tmp_path / "file" / "caption"):
        pass
