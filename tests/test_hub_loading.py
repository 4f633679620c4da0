"""Loading from the Hub: the real client and the real `datasets`, against a Hub of our own on this machine."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import Hub
from make_workspace import make_workspace

from equime import hub as layout
from equime import schema

ROOT = Path(__file__).resolve().parents[1]
REPO = "org/equime"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Hub layout of a small workspace."""
    folder = tmp_path_factory.mktemp("published")
    layout.write_layout(make_workspace(folder / "ws", subjects=3, per_emotion=2), folder / "out")
    return folder / "out"


@pytest.fixture(scope="module")
def server(published: Path) -> Iterator[Hub]:
    with Hub() as hub:
        hub.users = {"hf_member": "ada", "hf_stranger": "bob"}
        hub.create(REPO, published)
        hub.create("org/gated", published, gated="manual", members={"ada"})
        hub.create("org/private", published, private=True, members={"ada"})
        yield hub


def client(server: Hub, home: Path, code: str, *, token: str | None = None, **more: str) -> Any:
    """Run `code` in a process that talks to the server; what it leaves in `result`, through JSON."""
    script = f"import json, sys\nresult = None\n{textwrap.dedent(code)}\nprint('\\n' + json.dumps(result))"
    environment = server.environment(home, token, PYTHONPATH=str(ROOT), **more)
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment, cwd=home, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


FAILS = """
def said(call):
    try:
        call()
    except Exception as error:
        return [type(error).__name__, str(error)]
"""


def test_every_config_streams_and_prepares(server: Hub, tmp_path: Path) -> None:
    code = """
    import equime
    from datasets import load_dataset
    result = {}
    for config in ("video", "emotion", "metadata"):
        stream = load_dataset("equime", config, streaming=True)
        kept = load_dataset("equime", config)
        result[config] = {
            "streamed": {s: [r["clip_id"] for r in d] for s, d in stream.items()},
            "kept": {s: d["clip_id"][:] for s, d in kept.items()},
            "columns": kept[next(iter(kept))].column_names,
        }
    frames = load_dataset("equime", "video", split="test", streaming=True, num_frames=4, size=16, around="apex")
    result["shapes"] = [row["frames"].shape for row in frames]
    """
    found = client(server, tmp_path, code, EQUIME_REPO=REPO)
    assert found["video"]["columns"] == schema.CLIPS.names
    assert found["metadata"]["columns"] == schema.METADATA.names
    for config in ("video", "emotion", "metadata"):
        assert found[config]["streamed"] == found[config]["kept"]
        assert sum(len(ids) for ids in found[config]["kept"].values()) == 30
    assert all(i.startswith("fear/") for i in found["emotion"]["kept"]["fear"])
    assert found["shapes"] == [[4, 16, 16, 3]] * 10


def test_plain_datasets_reads_the_same_rows_without_our_code(server: Hub, tmp_path: Path) -> None:
    code = f"""
    from datasets import Video, load_dataset
    result = {{}}
    for config in ("video", "emotion", "metadata"):
        data = load_dataset({REPO!r}, config)
        if config != "metadata":
            data = data.cast_column("video", Video(decode=False))
        result[config] = {{s: sorted(d["clip_id"][:]) for s, d in data.items()}}
    result["bytes"] = len(data["train"].column_names)
    result["ours"] = "equime" in sys.modules
    """
    ours = """
    import equime
    result = {}
    for config in ("video", "emotion", "metadata"):
        result[config] = {s: sorted(d["clip_id"][:]) for s, d in equime.load("org/equime", config).items()}
    """
    plain = client(server, tmp_path, code)
    assert not plain.pop("ours")
    assert plain.pop("bytes") == len(schema.METADATA) - len(schema.UNPUBLISHED)
    assert plain == client(server, tmp_path, ours)


def test_a_stream_fetches_what_it_is_asked_for_and_little_more(server: Hub, tmp_path: Path) -> None:
    rows = [
        {"clip_id": f"fear/f_{k}_0", "emotion": "fear", "video": {"bytes": random.Random(k).randbytes(200_000)}}
        for k in range(40)
    ]
    file = tmp_path / "data/train/00000-fear.parquet"
    file.parent.mkdir(parents=True)
    columns = {"compression": "NONE", "use_dictionary": False, "row_group_size": 10}
    pq.write_table(pa.Table.from_pylist(rows, schema=layout.CLIPS), file, **columns)
    server.create("org/large", {"data/train/00000-fear.parquet": file.read_bytes()})
    code = """
    import equime
    rows = equime.load("org/large", "video", "train", streaming=True, columns={columns})
    result = next(iter(rows))["clip_id"] if {first} else len(list(rows))
    """
    with server.counted() as few:
        assert client(server, tmp_path, code.format(columns=["clip_id", "emotion"], first=False)) == 40
    with server.counted() as first:
        assert client(server, tmp_path, code.format(columns=["clip_id", "video"], first=True)) == "fear/f_0_0"
    assert 0 < sent(few) < 0.1 * file.stat().st_size
    assert 2_000_000 < sent(first) < 2_600_000  # one row group and the footer


def test_a_stream_leaves_no_bytes_to_other_threads(server: Hub, tmp_path: Path) -> None:
    """A thread of Arrow's that lets go of Python's bytes while Python is ending would abort the process."""
    code = f"""
    import threading
    import equime
    from huggingface_hub.hf_file_system import HfFileSystemFile
    read, readers = HfFileSystemFile.read, []
    def noted(*args):
        readers.append(threading.current_thread() is threading.main_thread())
        return read(*args)
    HfFileSystemFile.read = noted
    rows = [len(list(equime.load({REPO!r}, c, "train", streaming=True))) for c in ("video", "metadata")]
    result = [rows, len(readers) > 0, all(readers)]
    """
    assert client(server, tmp_path, code) == [[10, 10], True, True]


def sent(requests: list[tuple[str, str, str | None, int]]) -> int:
    return sum(size for _, path, _, size in requests if path.startswith("/lfs/"))


def test_a_revision_is_pinned_and_a_new_one_is_seen(server: Hub, published: Path, tmp_path: Path) -> None:
    repo = server.create("org/versions", published)
    first = repo.refs["main"]
    repo.refs["v1"] = first
    code = """
    import equime
    stream = equime.load("org/versions", "metadata", streaming=True)
    result = [sum(1 for _ in stream["train"]), len(equime.load("org/versions", "metadata", "train"))]
    result.append(len(equime.load("org/versions", "metadata", "train", revision="v1")))
    """
    assert client(server, tmp_path, code) == [10, 10, 10]
    files = {path: data for path, data in repo.commits[first].items() if "test" not in path}
    files["metadata/train.parquet"] = files["metadata/validation.parquet"]
    del files["metadata/validation.parquet"]
    repo.commit(files)
    changed = (
        code
        + """
    result.append(list(stream))
    result.append(equime.load("org/versions", "metadata", "train")["split"][0])
    """
    )
    assert client(server, tmp_path, changed) == [10, 10, 10, ["train"], "validation"]


def test_without_a_network_what_was_prepared_still_loads(server: Hub, tmp_path: Path) -> None:
    code = """
    import equime
    from datasets import load_dataset
    result = len(load_dataset("equime", "metadata", split="train"))
    """
    assert client(server, tmp_path, code, EQUIME_REPO=REPO) == 10
    with server.counted() as requests:
        assert client(server, tmp_path, code, EQUIME_REPO=REPO, HF_HUB_OFFLINE="1") == 10
    assert requests == []
    fails = FAILS + 'import equime\nresult = said(lambda: equime.load("org/gated"))'
    kind, message = client(server, tmp_path, fails, HF_HUB_OFFLINE="1")
    assert kind == "EquimeError" and "was never loaded on this machine" in message


@pytest.mark.parametrize(
    ("repo", "token", "words"),
    [
        ("org/gated", None, ["is gated", "hf auth login", "ask for access at", "/datasets/org/gated"]),
        ("org/gated", "hf_stranger", ["is gated", "ask for access at"]),
        ("org/private", "hf_stranger", ["nobody has published org/private yet", "data_dir=", "EQUIME_REPO"]),
        ("org/absent", None, ["nobody has published org/absent yet", "equime plan"]),
        (REPO, "hf_wrong", ["refused the token", "hf auth login"]),
    ],
)
def test_no_access_is_one_line_with_the_next_step(
    server: Hub, tmp_path: Path, repo: str, token: str | None, words: list[str]
) -> None:
    code = (
        FAILS
        + """
import equime
from datasets import load_dataset
result = said(lambda: load_dataset("equime", "video", streaming=True))
"""
    )
    kind, message = client(server, tmp_path, code, token=token, EQUIME_REPO=repo)
    assert kind == "EquimeError" and "\n" not in message
    assert all(word in message for word in words), message


def test_members_read_gated_and_private_repositories(server: Hub, tmp_path: Path) -> None:
    code = """
    import equime
    result = [len(equime.load(repo, "metadata", "train")) for repo in ("org/gated", "org/private")]
    stream = equime.load("org/gated", "video", "train", streaming=True, num_frames=2, around="apex")
    result.append(next(iter(stream))["frames"].shape[0])
    """
    assert client(server, tmp_path, code, token="hf_member") == [10, 10, 2]


def test_an_unknown_revision_is_one_line(server: Hub, tmp_path: Path) -> None:
    code = FAILS + f'import equime\nresult = said(lambda: equime.load({REPO!r}, revision="v9"))'
    kind, message = client(server, tmp_path, code)
    assert kind == "EquimeError" and "no revision 'v9'" in message
