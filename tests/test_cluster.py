from __future__ import annotations

import contextlib
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import tiny_ltx
from toy_stages import Looks, Words, clip_id, make_plan, start
from watching import at_work, contents, ended, errors, finish, states, temporary, until, waiting

from equime import cluster
from equime.builders.caption import Caption
from equime.builders.generate import Generate
from equime.errors import EquimeError, MissingPackageError
from equime.footer import DamagedShardError
from equime.generators.ltx import LTX
from equime.plan import PlanOptions, plan
from equime.runner import run
from equime.screening.thresholds import Screen
from equime.table import Table

pytest.importorskip("ray")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves pipes and log files to the collector
    pytest.mark.filterwarnings("ignore:.*Ray will no longer override accelerator:FutureWarning"),
]
NODE = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": 80 * 2**20}


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """Two nodes of one CPU each on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")  # Ray's own test cluster knows no tokens
        patch.setenv("RAY_DISABLE_MEMORY_MONITOR", "1")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_health_check_failure_threshold", "100")  # a machine that is busy is not a node that died
        from ray.cluster_utils import Cluster

        heard = signal.getsignal(signal.SIGTERM)
        made = Cluster(initialize_head=True, head_node_args=NODE | {"include_dashboard": False})
        made.add_node(**NODE)
        try:
            yield made
        finally:
            made.shutdown()
            signal.signal(signal.SIGTERM, heard)  # Ray's would be that of every process forked after this file


@pytest.fixture(autouse=True)
def joined(nodes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)


def whole(path: Path, **keywords: Any) -> list[bytes]:
    table = make_plan(path, **keywords)
    run(Words(), table)
    return contents(table)


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


# --- the same files


def test_a_cluster_makes_the_same_bytes_and_receipt_as_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    one, two = (make_plan(tmp_path / name, rows=12) for name in ("one", "two"))
    stage = Words(bad=(clip_id(5),))
    alone = run(stage, one)
    monkeypatch.chdir(tmp_path)
    together = run(stage, Table("two"), on="ray", workers=2)  # a relative path means the same on the workers
    assert contents(one) == contents(two)
    assert replace(alone, seconds=0) == replace(together, seconds=0)
    assert errors(two)[5] == "ValueError: cannot be worded"
    log = tmp_path / "log"
    again = run(replace(stage, bad=(), log=Path("log")), two, on="ray", workers=2, retry_failed=True)
    assert (again.rows, again.failed, log.read_text().split()) == (1, 0, [clip_id(5)])
    assert contents(two) == whole(tmp_path / "whole", rows=12)
    assert capfd.readouterr() == ("", "")


def test_the_caption_stage_makes_the_same_bytes(tmp_path: Path) -> None:
    here, there = (make_plan(tmp_path / name, rows=10) for name in ("here", "there"))
    assert run(Caption(), here).failed == 0
    assert run(Caption(), there, on="ray", workers=2).done == 5
    assert contents(here) == contents(there)
    for index in here.shards():
        assert here.footer("caption", index) == there.footer("caption", index)  # content digests too


def test_ltx_video_makes_the_same_clips_on_a_cluster_as_here(faces: Path, tmp_path: Path) -> None:
    """One plan, the true pipeline with tiny weights: in this process, and over two nodes."""
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "ann.png").write_bytes((faces / "ann.png").read_bytes())
    screen = Screen(faces=tmp_path / "faces", screen=False, adults=True)
    model = tiny_ltx.save(tmp_path / "tiny")
    tiny = LTX(model=str(model), steps=1, guidance=1.0, device="cpu")
    # Random weights draw noise, on which x264 takes 10 s a clip at its usual rate factor.
    stage = Generate(generator="ltx", faces=screen.faces, crf=40, ltx=tiny)
    made = []
    for name, where in (("here", {"on": "local"}), ("there", {"on": "ray", "workers": 2})):
        options = PlanOptions(screen=screen, seed=2, shard_rows=1, allow_shortfall=True)
        plan(tmp_path / name, options, stage.shows)
        table = Table(tmp_path / name)
        receipt = run(stage, table, shard=(0, 3), **where)
        assert (receipt.done, receipt.errors) == (2, {})
        made.append([row["sha256"] for row in table.rows(["sha256"]) if row["sha256"]])
    assert made[0] == made[1]
    assert len(set(made[0])) == 2


def test_both_nodes_work_at_once_and_shares_stay_shares(tmp_path: Path) -> None:
    table, gate = make_plan(tmp_path / "ws"), tmp_path / "gate"
    with at_work(table, gate, 4, 6, workers=2, on="ray") as process:
        assert len({parent(pid) for pid in waiting(gate)}) == 2
        (gate / "open").touch()
        said, noise = process.communicate(timeout=60)
    assert (said.partition(" in ")[0], noise) == ("caption: 4 shards made, 0 fresh; 8 rows", "")
    other = make_plan(tmp_path / "other")
    assert [run(Words(), other, "ray", 2, shard=(share, 3)).done for share in range(3)] == [2, 1, 1]
    assert contents(other) == contents(table)


# --- workers and nodes that are lost


def test_a_killed_worker_is_replaced_and_its_shard_made_once(tmp_path: Path) -> None:
    table, gate = make_plan(tmp_path / "ws", rows=12), tmp_path / "gate"
    with at_work(table, gate, 4, 6, workers=2, on="ray") as process:
        before = states(table)
        os.kill(waiting(gate)[0], signal.SIGKILL)
        (gate / "open").touch()
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0
    assert "caption: 6 shards made, 0 fresh; 12 rows" in said
    assert before.items() <= states(table).items()
    assert contents(table) == whole(tmp_path / "whole", rows=12)
    assert temporary(table) == []


def test_a_lost_node_costs_no_row(tmp_path: Path, nodes: Any) -> None:
    table, gate = make_plan(tmp_path / "ws", rows=12), tmp_path / "gate"
    third = nodes.add_node(**NODE)
    with at_work(table, gate, 4, 6, 8, workers=3, on="ray") as process:
        nodes.remove_node(third, allow_graceful=False)
        (gate / "open").touch()
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0
    assert "caption: 6 shards made, 0 fresh; 12 rows" in said
    assert contents(table) == whole(tmp_path / "whole", rows=12)


def test_a_shard_that_kills_its_workers_is_given_up_after_all_others_are_made(tmp_path: Path) -> None:
    table = make_plan(tmp_path)
    with pytest.raises(EquimeError, match=r"3 workers were lost .* these shards: 1; the others are made") as raised:
        run(Words(fatal=(clip_id(2),)), table, on="ray", workers=2)
    assert "\n" not in str(raised.value)
    assert table.shards("caption") == [0, 2, 3]
    finish(table, states(table), tmp_path / "whole")


# --- stopped


@pytest.mark.parametrize("local", [False, True])
def test_ctrl_c_leaves_no_process_and_no_file_and_the_same_command_goes_on(tmp_path: Path, local: bool) -> None:
    table, gate = make_plan(tmp_path / "ws"), tmp_path / "gate"
    address = {"RAY_ADDRESS": "local"} if local else {}
    with at_work(table, gate, 4, 6, workers=2, on="ray", **address) as process:
        raylets = {parent(pid) for pid in waiting(gate)}
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
        _, said = process.communicate(timeout=60)
        assert (process.returncode, said) == (130, "equime: stopped\n")
        assert all(ended(pid) for pid in waiting(gate))
        assert all(ended(pid) for pid in raylets) == local
    assert temporary(table) == []
    before = states(table)
    assert list(before) == ["00000.parquet", "00001.parquet"]
    assert run(Words(), table, on="ray", workers=2).done == 2
    finish(table, states(table), tmp_path / "whole")


COMMAND = """
import sys
import toy_stages
from equime import cli, stages
stages.STAGES = {{"caption": "toy_stages:Words"}}
sys.exit(cli.main({!r}))
"""
KEPT = "equime: ended by SIGTERM; what was finished is kept, the same command goes on\n"


def command(table: Table, *more: object, **environment: str) -> subprocess.Popen[str]:
    """`equime caption` with the toy stage, on Ray, in a session of its own."""
    arguments = ["caption", str(table.path), "--on", "ray", "--workers", "2", *map(str, more)]
    return start(before=COMMAND.format(arguments), environment=environment, start_new_session=True)


@pytest.mark.parametrize("local", [False, True])
def test_sigterm_is_as_gentle_as_ctrl_c(tmp_path: Path, local: bool) -> None:
    table, gate = make_plan(tmp_path / "ws"), tmp_path / "gate"
    gate.mkdir()
    address = {"RAY_ADDRESS": "local"} if local else {}
    process = command(table, "--gate", gate, "--stop-at", clip_id(4), clip_id(6), **address)
    until(lambda: len(waiting(gate)) == 2 or process.poll() is not None)
    process.terminate()
    said, noise = process.communicate(timeout=60)
    assert (process.returncode, said, noise) == (143, "", KEPT)
    until(lambda: session(process.pid) == [])
    assert all(ended(pid) for pid in waiting(gate))
    assert temporary(table) == []
    finish(table, states(table), tmp_path / "whole")


def session(leader: int) -> list[str]:
    """Names of the live processes of a session, its leader's left out."""
    names = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, rest = path.read_text().partition("(")[2].rpartition(")")
            state, _, _, sid, *_ = rest.split()
            if int(sid) == leader and state != "Z" and int(path.parent.name) != leader:
                names.append(name)
    return names


def test_ctrl_c_while_a_cluster_starts_leaves_no_process(tmp_path: Path) -> None:
    table = make_plan(tmp_path / "ws")
    local = {"RAY_ADDRESS": "local"}
    process = start(table.path, "--on", "ray", "--workers", 2, environment=local, start_new_session=True)
    until(lambda: "gcs_server" in session(process.pid))
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "equime: stopped\n")
    until(lambda: session(process.pid) == [])
    assert (states(table), temporary(table)) == ({}, [])


def test_sigterm_while_a_cluster_starts_leaves_no_process(tmp_path: Path) -> None:
    table = make_plan(tmp_path / "ws")
    process = command(table, RAY_ADDRESS="local")
    until(lambda: "gcs_server" in session(process.pid))
    process.terminate()
    assert process.communicate(timeout=60) == ("", KEPT)
    assert process.returncode == 143
    until(lambda: session(process.pid) == [])
    assert (states(table), temporary(table)) == ({}, [])


def test_workers_end_with_a_killed_driver(tmp_path: Path) -> None:
    table, gate = make_plan(tmp_path / "ws"), tmp_path / "gate"
    with at_work(table, gate, 4, 6, workers=2, on="ray") as process:
        process.kill()
        process.wait()
        until(lambda: all(ended(pid) for pid in waiting(gate)))
        assert run(Words(), table, on="ray", workers=2).done == 2
    finish(table, states(table), tmp_path / "whole")


# --- what cannot work is one line


def test_a_stage_that_does_not_load_says_so_and_where(tmp_path: Path) -> None:
    table = make_plan(tmp_path)
    with pytest.raises(EquimeError, match=r"no words are installed: run `pip install words` \(on node "):
        run(Words(text="unloadable"), table, on="ray", workers=2)
    assert (table.shards("caption"), temporary(table)) == ([], [])


def test_a_stage_whose_module_is_nowhere_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "passing.py").write_text("from toy_stages import Words\nclass Passing(Words): ...\n")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        stage = importlib.import_module("passing").Passing()
    with pytest.raises(EquimeError, match=r"caption does not reach its worker: .*No module named 'passing'") as raised:
        run(stage, make_plan(tmp_path / "ws"), on="ray")
    assert "\n" not in str(raised.value)


def test_an_input_out_of_step_is_the_same_error_as_here(tmp_path: Path) -> None:
    table = make_plan(tmp_path)
    run(Words(), table)
    shard = table.shard_path("caption", 1)
    found = pq.read_table(shard)
    pq.write_table(found.take([1, 0]).replace_schema_metadata(found.schema.metadata), shard)
    said = []
    for on in ("local", "ray"):
        with pytest.raises(DamagedShardError, match="does not hold the plan's rows in the plan's order") as raised:
            run(Looks(), table, on)
        said.append(str(raised.value))
    assert said[0] == said[1]


def test_no_place_for_a_worker_is_said_and_waited_for_and_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cluster, "PATIENCE_S", 3.0)
    with pytest.raises(EquimeError, match="no node has a CPU and gpus = 2 for a worker"):
        run(Words(), make_plan(tmp_path), on="ray", gpus=2)
    assert [record.getMessage() for record in caplog.records] == [
        "no node has a CPU and gpus = 2 for a worker yet: waiting for one"
    ]


def test_a_cluster_that_does_not_answer_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(EquimeError, match=r"no Ray cluster answers at RAY_ADDRESS=127.0.0.1:1 \(Connection refused\)"):
        run(Words(), make_plan(tmp_path), on="ray")


def test_ray_is_missed_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackageError, match=r"equime\[ray\]"):
        run(Words(), make_plan(tmp_path), on="ray")
    assert run(Words(), make_plan(tmp_path / "empty", rows=0), on="ray").done == 0  # nothing to do needs no cluster


HIDE = "mount -t tmpfs none {folder} && exec {ray} start --address={address} --num-cpus=1 --block \
--object-store-memory=83886080 --resources='{{\"hidden\": 1}}'"


@pytest.fixture
def blind(nodes: Any, tmp_path: Path) -> Iterator[Path]:
    """A folder of this machine that a third node does not see."""
    folder = tmp_path / "shared"
    folder.mkdir()
    ray = Path(sys.executable).with_name("ray")
    command = HIDE.format(folder=folder, ray=ray, address=nodes.address)
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            _until_seen(nodes, process)
            yield folder
        finally:
            process.terminate()


def _until_seen(nodes: Any, process: subprocess.Popen[str]) -> None:
    import ray

    ray.init(address=nodes.address, log_to_driver=False)
    try:
        until(lambda: "hidden" in ray.cluster_resources() or process.poll() is not None)
    finally:
        ray.shutdown()
    if process.poll() is not None:
        pytest.skip(f"cannot hide a folder here: {process.communicate()[0].strip().splitlines()[-1:]}")


def test_a_node_without_the_shared_folder_is_named_and_left_out(
    blind: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table, gate = make_plan(blind / "ws"), tmp_path / "gate"
    gate.mkdir()
    stage = Words(gate=gate, stop_at=(clip_id(0), clip_id(2)))
    with ThreadPoolExecutor(1) as pool:  # the gate opens once the third worker has looked
        opened = pool.submit(until, lambda: caplog.records and ((gate / "open").touch() or True))
        assert run(stage, table, on="ray", workers=3).done == 4
        assert opened.result()
    said = [record.getMessage() for record in caplog.records]
    assert said == [s for s in said if s.endswith("by this path; the other workers go on without it")]
    assert len(said) == 1
    assert f"does not see {table.path / 'caption'}" in said[0]
    assert contents(table) == whole(tmp_path / "whole")
