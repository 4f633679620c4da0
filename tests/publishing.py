"""What the tests of publishing share: `equime` in a process that talks to a Hub of our own, a workspace with twins."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from hub_client import ROOT, Client
from hub_server import Hub
from make_workspace import Row, add_rows, make_row

from equime import schema
from equime.publishing.about import About, Mode
from equime.publishing.releasing import release
from equime.publishing.releasing.earlier import earlier_version
from equime.table import Table


def begun(hub: Hub, home: Path, *words: object, token: str | None = "hf_owner", stdin: str = os.devnull) -> Client:
    """`equime WORDS...` in a process of its own, which finds the Hub."""
    environment = hub.environment(home, token, PYTHONPATH=str(ROOT))
    return Client(["-m", "equime", *map(str, words)], environment, home, stdin=stdin)


def equime(hub: Hub, home: Path, *words: object, token: str | None = "hf_owner") -> subprocess.CompletedProcess[str]:
    """The same, when it is done."""
    return begun(hub, home, *words, token=token).wait()


def make_release(
    table: Table, out: Path, version: str, repo: str, *, earlier: Path | None = None, mode: Mode = "clips"
) -> Path:
    """A workspace as a release, which goes on from another one."""
    about = About(version, repo=repo, mode=mode, date="2026-01-02")
    before = earlier_version(str(earlier)) if earlier else None
    release.make(table, out, about, earlier=before, progress=False)
    return out


def push(hub: Hub, home: Path, release: Path, repo: str) -> None:
    """Push a release."""
    code = """
import sys
from pathlib import Path
from equime.publishing.repository.client import Remote
from equime.publishing.repository.push import push
push(Path(sys.argv[1]), Remote(sys.argv[2], wait=lambda seconds: None), progress=False)
"""
    environment = hub.environment(home, "hf_owner", PYTHONPATH=str(ROOT))
    done = Client(["-c", code, str(release), repo], environment, home).wait()
    assert done.returncode == 0, done.stderr[-3000:]


def twins_workspace(path: Path, subjects: int = 6, per_emotion: int = 2) -> Table:
    """Subjects "person0", "person1", ...: two in each split; the clips of "person0" and "person3" are twins."""
    rows: list[Row] = []
    for number, (s, q, e) in enumerate(
        (s, q, e) for s in range(subjects) for q in range(per_emotion) for e in schema.EMOTIONS[:3]
    ):
        row = make_row(number, s, q, e)
        row |= {"subject_id": f"person{s}", "clip_id": row["clip_id"].replace(f"_{s}_", f"_person{s}_")}
        row["noise_key"] = row["clip_id"]
        if s in (0, 3) and q == 0:
            first = row["clip_id"].replace("f_person0", "?").replace("m_person3", "?")
            row |= {"twin_id": f"pair-{e}", "twin_contrast": "gender", "noise_key": first.replace("?", "f_person0")}
        rows.append(row)
    table = Table.create(path, shard_rows=4)
    add_rows(table, rows)
    return table
