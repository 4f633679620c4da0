"""The whole way: a workspace goes out, is captioned anew and goes out again, and both ways of loading give its rows."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_server import Hub
from make_workspace import add_rows, make_row, make_workspace
from publishing import ROOT, equime

from equime.publishing.manifest import Manifest
from equime.table import Table

REPO = "you/equime"
BOTH = """
import json, sys
from datasets import load_dataset
split, revision = sys.argv[1:]
plain = load_dataset("you/equime", "video", split=split, streaming=True, revision=revision)
rows = {row["clip_id"]: row for row in plain}
assert "equime" not in sys.modules
import equime
ours = {row["clip_id"]: row for row in load_dataset("equime", "video", split=split, streaming=True, revision=revision)}
shared = next(iter(rows.values())).keys()
assert rows == {key: {name: row[name] for name in shared} for key, row in ours.items()}
print(json.dumps({key: row["caption"] for key, row in rows.items()}))
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        server.users = {"hf_owner": "you", "hf_stranger": "sam"}
        yield server


def loaded(hub: Hub, home: Path, split: str, revision: str) -> dict[str, str]:
    environment = hub.environment(home, "hf_owner", PYTHONPATH=str(ROOT), EQUIME_REPO=REPO)
    done = subprocess.run(
        [sys.executable, "-c", BOTH, split, revision],
        env=environment, cwd=home, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    captions: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return captions


def said(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr[-3000:]
    assert "hf_owner" not in done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.timeout(240)
def test_a_workspace_goes_out_is_captioned_anew_and_goes_out_again(hub: Hub, tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", subjects=3, per_emotion=2, rejected=[7])
    home = tmp_path
    words = ("publish", "ws", "--repo", REPO, "--json", "--version")
    tried = said(equime(hub, home, *words, "1.0.0", "--dry-run"))
    assert tried["settings"]["gated"] == "manual" and not hub.repos
    assert not [key for key in hub.requests if key[0] not in ("GET", "HEAD")]
    first = said(equime(hub, home, *words, "1.0.0"))
    assert first["clips"] == 29 and first["left_out"] == {"rejected": 1} and first["files"] == tried["files"]
    repo = hub.repos[REPO]
    assert (repo.private, repo.gated) == (True, "manual")
    assert equime(hub, home, "caption", "ws", "--wording", "1").returncode == 0
    said(equime(hub, home, *words, "1.1.0"))
    assert set(repo.tags) == {"1.0.0", "1.1.0"} and repo.resolve("main") == repo.resolve("1.1.0")
    before, after = loaded(hub, home, "train", "1.0.0"), loaded(hub, home, "train", "1.1.0")
    wanted = {row["clip_id"]: row["caption"] for row in table.rows(["caption", "split"]) if row["split"] == "train"}
    assert {key: wanted[key] for key in after} == after
    assert before.keys() == after.keys() and not set(before.values()) & set(after.values())
    assert equime(hub, home, "verify", f"{REPO}@1.1.0", "--bytes").returncode == 0
    again = equime(hub, home, *words, "1.0.1")
    assert again.returncode == 1 and "newer" in again.stderr
    other = equime(hub, home, *words, "1.1.0", "--note", "other", "--dry-run")
    assert other.returncode == 1 and "another 1.1.0: a version never changes" in other.stderr


def test_refusals_are_one_line_and_send_nothing(hub: Hub, tmp_path: Path) -> None:
    hub.create("you/open", {"README.md": b"# mine"})
    hub.create("you/other", {"README.md": b"# mine", "notes.txt": b"x"}, private=True)
    table = make_workspace(tmp_path / "ws", subjects=3, failed=[2])
    add_rows(table, [make_row(99, 9, 0, "fear") | {"source_licence": "CelebA: no redistribution"}])
    publish = ("publish", "ws", "--version", "1.0.0", "--repo")
    for words, why in (
        ((*publish, "you/open"), "public"),
        ((*publish, "you/other"), "notes.txt"),
        ((*publish, REPO), "failed"),
        ((*publish, REPO, "--allow-failed"), "--permission"),
        (("publish", "ws", "--version", "1.0", "--repo", REPO), "MAJOR.MINOR.PATCH"),
        (("publish", "ws", "--version", "1.0.0"), "--out"),
        (("publish", "ws", "--version", "1.0.0", "--out", "o", "--dry-run"), "--repo"),
        ((*publish, ""), "OWNER/NAME"),
    ):
        done = equime(hub, tmp_path, *words)
        assert done.returncode == 1 and why in done.stderr and len(done.stderr.splitlines()) == 1, (words, done.stderr)
    assert not [key for key in hub.requests if key[0] not in ("GET", "HEAD")] and set(hub.repos) == {
        "you/open",
        "you/other",
    }


def test_a_release_is_the_same_bytes_each_time_and_can_be_pushed_later(hub: Hub, tmp_path: Path) -> None:
    make_workspace(tmp_path / "ws", subjects=3)
    for name in ("a", "b"):
        done = equime(hub, tmp_path, "publish", "ws", "--version", "1.0.0", "--out", name, "--date", "2026-01-02")
        assert done.returncode == 0, done.stderr
    found = [
        {p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("*") if p.is_file()}
        for name in ("a", "b")
    ]
    assert found[0] == found[1]
    repo = Manifest.read(tmp_path / "a").about.repo
    hub.orgs = {repo.split("/")[0]: {"you"}}
    done = equime(hub, tmp_path, "publish", "a", "--version", "1.0.0", "--repo", repo)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a" / "manifest.json").is_file() and Table(tmp_path / "ws").groups
