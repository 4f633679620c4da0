"""A subject is taken out for good: afterwards every object and ref of a Hub of our own is looked through."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pty
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_client import Client
from hub_faults import Fault
from hub_server import Hub, Repo
from make_workspace import add_rows, make_workspace
from publishing import begun, equime, make_release, push, twins_workspace

from equime import hub as layout
from equime import schema
from equime.footer import FOOTER_KEY
from equime.publishing.manifest import Manifest
from equime.publishing.withdrawing.rewriting import clips_of, rewritten
from equime.table import Table

REPO = "org/equime"
WHO = "person0"
CUT = ("withdraw", WHO, REPO, "--yes")
WRITES = ("POST", "PUT", "DELETE")
Gone = dict[str, bytes]


@dataclass
class Published:
    """A repository with versions 1.0.0 and 1.1.0, what it was made of, and the clips that have to go (id -> bytes)."""

    table: Table
    releases: tuple[Path, Path]
    repo: Repo
    gone: Gone


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    folder = tmp_path_factory.mktemp("withdraw")
    table = twins_workspace(folder / "ws")
    first = make_release(table, folder / "one", "1.0.0", REPO)
    second = make_release(table, folder / "two", "1.1.0", REPO, earlier=first)
    rows = list(table.rows(["clip_id", "subject_id", "twin_id", "video"]))
    gone = {r["clip_id"]: r["video"]["bytes"] for r in rows if r["subject_id"] == WHO or r["twin_id"]}
    assert len(gone) == 9
    with Hub() as hub:
        hub.users, hub.orgs = {"hf_owner": "owner"}, {"org": {"owner"}}
        push(hub, folder, first, REPO)
        push(hub, folder, second, REPO)
        return Published(table, (first, second), hub.repos[REPO], gone)


@pytest.fixture
def hub(published: Published) -> Iterator[Hub]:
    with serving(published.repo) as server:
        yield server


@pytest.fixture(scope="module")
def renewed(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Repo:
    """The same after a withdrawal that was stopped when the new version stood and nothing was deleted yet."""
    with serving(published.repo) as server:
        server.fault("POST", "/super-squash/", times=99, status=403)
        assert equime(server, tmp_path_factory.mktemp("home"), *CUT).returncode == 1
    return server.repos[REPO]


@contextmanager
def serving(repo: Repo) -> Iterator[Hub]:
    """A Hub that has a copy of a repository."""
    with Hub() as server:
        server.users = {"hf_owner": "owner", "hf_reader": "owner"}
        server.orgs, server.readers = {"org": {"owner"}}, {"hf_reader"}
        server.repos[REPO] = copy.deepcopy(repo)
        yield server


def kept(repo: Repo) -> dict[str, bytes]:
    """Everything that can still be got at: of any commit, and the large objects."""
    found = {f"{sha}:{path}": data for sha, files in repo.commits.items() for path, data in files.items()}
    return found | repo.objects


def traces(repo: Repo, gone: Gone) -> list[str]:
    """Where bytes of the clips, or their ids, or the subject's, are still kept; the tombstone is no trace."""
    found = []
    for where, data in kept(repo).items():
        if where.endswith(":manifest.json"):
            values = json.loads(data)
            values["withdrawn"] = [each for each in values["withdrawn"] if each["subject_id"] != WHO]
            data = json.dumps(values).encode()
        words = [clip.encode() for clip in gone] + [WHO.encode()]
        if any(clip in data for clip in gone.values()) or any(word in data for word in words):
            found.append(where)
    return found


def whole(repo: Repo, tag: str) -> bool:
    """Whether a version can be had as it was published: every file by its hash."""
    files = repo.commits.get(repo.tags.get(tag, ""), {})
    if "manifest.json" not in files:
        return False
    manifest = Manifest.from_json(files["manifest.json"], tag)
    large = {hashlib.sha256(data).hexdigest() for data in repo.objects.values()}
    return manifest.about.version == tag and all(
        path in files and hashlib.sha256(files[path]).hexdigest() == entry.sha256
        and (not path.endswith(".parquet") or entry.sha256 in large)
        for path, entry in manifest.files.items()
    )  # fmt: skip


def forgotten(repo: Repo, gone: Gone) -> None:
    """That only the new version is left, and nothing of the subject."""
    repo = copy.deepcopy(repo)
    repo.collect()
    assert set(repo.refs) == {"main"} and repo.tags == {"1.1.1": repo.refs["main"]} and len(repo.commits) == 1
    assert whole(repo, "1.1.1") and traces(repo, gone) == []
    (files,) = repo.commits.values()
    assert set(repo.objects.values()) <= set(files.values())


def test_everything_is_found_before_it_is_gone(published: Published) -> None:
    """The search itself finds what there is to find: or nothing that it says afterwards could be believed."""
    where = traces(published.repo, published.gone)
    assert any(name in published.repo.objects for name in where)
    assert any(name.endswith("metadata/train.parquet") for name in where)
    assert any(name.endswith("manifest.json") for name in where)
    assert whole(published.repo, "1.0.0") and whole(published.repo, "1.1.0")


@dataclass
class After:
    """What one withdrawal left: the repository, what was said, what was asked of the Hub and sent to it."""

    repo: Repo
    done: subprocess.CompletedProcess[str]
    requests: list[tuple[str, str, str | None, int]]
    sent: set[str]

    @property
    def files(self) -> dict[str, bytes]:
        return self.repo.commits[self.repo.refs["main"]]


@pytest.fixture(scope="module")
def after(published: Published, tmp_path_factory: pytest.TempPathFactory) -> After:
    with serving(published.repo) as server, server.counted() as requests:
        done = equime(server, tmp_path_factory.mktemp("home"), *CUT, "--json")
    assert done.returncode == 0, done.stderr
    return After(server.repos[REPO], done, requests, {oid for oid, _ in server.uploads})


def test_nothing_of_a_subject_is_left(published: Published, after: After) -> None:
    forgotten(after.repo, published.gone)
    manifest = Manifest.from_json(after.files["manifest.json"], "")
    assert [(t.subject_id, t.version, t.clips) for t in manifest.withdrawn] == [(WHO, "1.1.1", 9)]
    assert manifest.left_out == {"withdrawn": 9} and manifest.planned == 36 and len(manifest.clips) == 27


def test_what_will_go_and_what_went_is_said(after: After) -> None:
    assert "6 clips of person0 and 3 twins paired with them go from org/equime 1.1.0" in after.done.stderr
    assert "the tags 1.0.0, 1.1.0, the commits of 2 pull requests" in after.done.stderr
    said = json.loads(after.done.stdout)
    assert (said["version"], said["clips"], said["left"]) == ("1.1.1", 9, [])


def test_the_changelog_says_that_somebody_went_and_not_who(after: After) -> None:
    newest = after.files["CHANGELOG.md"].decode().split("\n## ")[1]
    assert newest.startswith("1.1.1 (") and "1 subject on request, with 9 clips" in newest
    assert WHO not in after.files["CHANGELOG.md"].decode()


def test_files_that_stay_are_neither_fetched_nor_sent(published: Published, after: After) -> None:
    files = Manifest.read(published.releases[1]).files
    whole = {path.rpartition("/")[2] for _, path, span, _ in after.requests if path.startswith("/lfs/") and not span}
    assert files["data/train/00000-sadness.parquet"].sha256 in whole
    stays = {entry.sha256 for path, entry in files.items() if path.startswith(("data/validation/", "data/test/"))}
    assert stays and stays.isdisjoint(whole)  # of these the ids alone are read
    assert after.sent and after.sent.isdisjoint(published.repo.objects)


def test_the_rest_is_whole_and_loads_with_plain_datasets(published: Published, after: After, tmp_path: Path) -> None:
    code = f"""
import json
from datasets import Video, load_dataset
data = load_dataset({REPO!r}, "video", revision="1.1.1").cast_column("video", Video(decode=False))
rows = {{row["clip_id"]: row["video"]["bytes"].hex() for split in data.values() for row in split}}
table = load_dataset({REPO!r}, "metadata", revision="1.1.1")
print(json.dumps([rows, sorted(i for split in table.values() for i in split["clip_id"])]))
"""
    with serving(after.repo) as server:
        assert equime(server, tmp_path, "verify", f"{REPO}@1.1.1", "--bytes").returncode == 0
        ran = Client(["-c", code], server.environment(tmp_path, "hf_owner"), tmp_path).wait()
    assert ran.returncode == 0, ran.stderr[-2000:]
    loaded, ids = json.loads(ran.stdout.splitlines()[-1])
    rest = {r["clip_id"]: r["video"]["bytes"].hex() for r in published.table.rows(["clip_id", "video"])}
    assert loaded == {clip: data for clip, data in rest.items() if clip not in published.gone}
    assert ids == sorted(loaded)


def test_the_files_are_those_that_publishing_the_rest_would_write(
    published: Published, after: After, tmp_path: Path
) -> None:
    layout.write_layout(published.table, tmp_path / "rest", without=set(published.gone), progress=False)
    written = sorted((tmp_path / "rest").rglob("*.parquet"))
    assert {p.relative_to(tmp_path / "rest").as_posix() for p in written} == {p for p in after.files if "parquet" in p}
    for path in written:
        ours = pq.read_table(pa.BufferReader(after.files[path.relative_to(tmp_path / "rest").as_posix()]))
        theirs = pq.read_table(path)
        assert ours.equals(theirs) and ours.schema.equals(theirs.schema, check_metadata=True), path


@pytest.mark.parametrize("answer", [None, "n\n", "\n"])
def test_without_a_yes_nothing_happens(published: Published, hub: Hub, tmp_path: Path, answer: str | None) -> None:
    before = copy.deepcopy(hub.repos[REPO])
    with hub.counted() as requests:
        code, said = asked(hub, tmp_path, answer) if answer else plain(hub, tmp_path)
    assert code == 1 and "nothing was changed" in said and "6 clips of person0" in said
    assert hub.repos[REPO] == before
    assert not any(writing(method, path) for method, path, _, _ in requests)


def plain(hub: Hub, home: Path) -> tuple[int, str]:
    done = equime(hub, home, *CUT[:-1])
    return done.returncode, done.stderr


def asked(hub: Hub, home: Path, answer: str) -> tuple[int, str]:
    """The same at a terminal, where somebody answers."""
    ours, theirs = pty.openpty()
    os.write(ours, answer.encode())
    done = begun(hub, home, *CUT[:-1], stdin=os.ttyname(theirs)).wait()
    os.close(ours)
    os.close(theirs)
    return done.returncode, done.stderr


def test_a_yes_at_a_terminal_is_enough(published: Published, hub: Hub, tmp_path: Path) -> None:
    code, said = asked(hub, tmp_path, "y\n")
    assert code == 0 and "delete what was before for good? [y/N]" in said
    forgotten(hub.repos[REPO], published.gone)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_stopped_before_any_write_it_goes_on_and_purges_only_what_was_replaced(
    published: Published, hub: Hub, tmp_path: Path
) -> None:
    """From each state that a withdrawal leaves which is killed before one of its writes."""
    states = stopped(hub, tmp_path)
    assert len(states) > 10
    for number, repo in enumerate(states):
        old = [whole(repo, "1.0.0"), whole(repo, "1.1.0")]
        renewed = Manifest.from_json(repo.commits[repo.refs["main"]]["manifest.json"], "").about.version == "1.1.1"
        assert renewed or old == [True, True]
        hub.repos[REPO] = repo
        assert equime(hub, tmp_path, *CUT).returncode == 0, f"state {number}"
        forgotten(repo, published.gone)


def stopped(hub: Hub, home: Path) -> list[Repo]:
    """The repository as it is before each write of a withdrawal that changes something."""
    states: list[Repo] = []
    take = hub.faults.take

    def taking(method: str, path: str) -> Fault | None:
        if writing(method, path):
            with hub.lock:
                if not states or states[-1] != hub.repos[REPO]:
                    states.append(copy.deepcopy(hub.repos[REPO]))
        return take(method, path)

    hub.faults.take = taking  # type: ignore[method-assign]
    assert equime(hub, home, *CUT).returncode == 0
    hub.faults.take = take  # type: ignore[method-assign]
    return states


def writing(method: str, path: str) -> bool:
    """Whether a request changes something: some questions are asked by POST."""
    return method in WRITES and not re.search("paths-info|validate-yaml|preupload", path)


def test_killed_it_goes_on(published: Published, hub: Hub, tmp_path: Path) -> None:
    """kill -9 once the Hub has seen some number of writes, again and again, until one run comes through."""
    draw, kills = random.Random(0), 0
    for _ in range(4):
        client, goal = begun(hub, tmp_path, *CUT), count(hub) + draw.randint(3, 12)
        while client.runs() and count(hub) < goal:
            time.sleep(0.002)
        client.kill()
        kills += client.wait().returncode == -signal.SIGKILL
    assert kills
    equime(hub, tmp_path, *CUT)
    assert not [path for path in (tmp_path / "equime-withdraw").rglob("*") if path.name in ("before", "after")]
    forgotten(hub.repos[REPO], published.gone)


def count(hub: Hub) -> int:
    return sum(writing(method, path) for method, path, _, _ in list(hub.log))


def test_refs_that_the_hub_keeps_are_named_and_hold_no_clip(
    published: Published, renewed: Repo, hub: Hub, tmp_path: Path
) -> None:
    hub.repos[REPO] = copy.deepcopy(renewed)
    hub.fault("DELETE", "/branch/refs/pr/", times=99, status=403)
    done = equime(hub, tmp_path, *CUT)
    assert done.returncode == 1 and done.stdout.count('press "Delete ref" at ') == 3
    assert f"{hub.endpoint}/datasets/{REPO}/discussions/1" in done.stdout
    left = traces(hub.repos[REPO], published.gone)
    assert left and not any(clip in data for clip in published.gone.values() for data in kept(hub.repos[REPO]).values())
    hub.faults.clear()
    assert equime(hub, tmp_path, *CUT).returncode == 0
    forgotten(hub.repos[REPO], published.gone)


def test_other_branches_and_pull_requests_go_too(published: Published, renewed: Repo, hub: Hub, tmp_path: Path) -> None:
    hub.repos[REPO] = repo = copy.deepcopy(renewed)
    repo.refs["draft"] = repo.tags["1.0.0"]
    repo.tags["for-the-paper"] = repo.tags["1.0.0"]
    done = equime(hub, tmp_path, *CUT)
    assert done.returncode == 0 and "draft" in done.stderr and "for-the-paper" in done.stderr
    forgotten(repo, published.gone)


def test_nothing_is_purged_where_the_new_version_is_not_whole(renewed: Repo, hub: Hub, tmp_path: Path) -> None:
    hub.repos[REPO] = repo = copy.deepcopy(renewed)
    files = dict(repo.commits[repo.refs["main"]])
    repo.commit(files | {"README.md": files["README.md"] + b"\nedited\n"})
    done = equime(hub, tmp_path, *CUT)
    assert done.returncode == 1 and "nothing was deleted" in done.stderr and "README.md" in done.stderr
    assert whole(repo, "1.0.0") and whole(repo, "1.1.0")


def test_a_later_version_keeps_them_out_and_is_left_alone(
    published: Published, after: After, hub: Hub, tmp_path: Path
) -> None:
    hub.repos[REPO] = repo = copy.deepcopy(after.repo)
    for path, data in repo.commits[repo.refs["main"]].items():
        (tmp_path / "now" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "now" / path).write_bytes(data)
    (tmp_path / "now" / ".gitattributes").unlink()
    later = make_release(published.table, tmp_path / "later", "1.2.0", REPO, earlier=tmp_path / "now")
    hub.uploads.clear()
    push(hub, tmp_path, later, REPO)
    sent = {oid for oid, _ in hub.uploads}
    unsent = {e.sha256 for p, e in Manifest.read(later).files.items() if p.startswith("data/validation/")}
    assert unsent.isdisjoint(sent) and traces(repo, published.gone) == []
    done = equime(hub, tmp_path, *CUT)
    assert done.returncode == 1 and "was withdrawn from org/equime in 1.1.1: nothing is left to do" in done.stderr
    assert whole(repo, "1.1.1") and whole(repo, "1.2.0")
    assert equime(hub, tmp_path, "withdraw", "person4", REPO, "--yes").returncode == 0
    assert set(repo.tags) == {"1.2.1"} and len(repo.commits) == 1
    assert not any(b"person4" in data for where, data in kept(repo).items() if "manifest.json" not in where)


def test_a_subject_that_only_older_versions_have_goes_from_these(
    published: Published, hub: Hub, tmp_path: Path
) -> None:
    rows = [row for row in published.table.rows(schema.CLIPS.names) if row["subject_id"] != "person5"]
    table = Table.create(tmp_path / "fewer", shard_rows=4)
    add_rows(table, rows)
    push(hub, tmp_path, make_release(table, tmp_path / "out", "2.0.0", REPO, earlier=published.releases[1]), REPO)
    assert equime(hub, tmp_path, "withdraw", "person5", REPO, "--yes").returncode == 0
    repo = hub.repos[REPO]
    assert set(repo.tags) == {"2.0.1"} and whole(repo, "2.0.1") and len(repo.commits) == 1
    assert not any(b"person5" in data for where, data in kept(repo).items() if "manifest.json" not in where)


def test_the_only_subject_cannot_go_alone_and_the_way_out_is_said(hub: Hub, tmp_path: Path) -> None:
    release = make_release(twins_workspace(tmp_path / "ws", subjects=1), tmp_path / "out", "1.0.0", "org/one")
    push(hub, tmp_path, release, "org/one")
    done = equime(hub, tmp_path, "withdraw", WHO, "org/one")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "nothing would be left of org/one" in done.stderr and "/datasets/org/one/settings" in done.stderr


def test_a_recipe_forgets_the_rows_and_still_finds_the_pictures_of_others(hub: Hub, tmp_path: Path) -> None:
    table = twins_workspace(tmp_path / "ws")
    push(hub, tmp_path, make_release(table, tmp_path / "one", "1.0.0", "org/recipe", mode="recipe"), "org/recipe")
    path = "recipe/sources.parquet"
    before = pq.read_table(tmp_path / "one" / path)
    done = equime(hub, tmp_path, "withdraw", WHO, "org/recipe", "--yes")
    assert done.returncode == 0, done.stderr
    repo = hub.repos["org/recipe"]
    after = pq.read_table(pa.BufferReader(repo.commits[repo.refs["main"]][path]))
    stays = [WHO not in clip for clip in before["clip_id"].to_pylist()]
    pairs = {row["clip_id"] for row in table.rows(["clip_id", "twin_id"]) if row["twin_id"]}
    wanted = before.filter(pa.array(stays)).to_pylist()
    assert after.to_pylist() == [row for row in wanted if row["clip_id"] not in pairs]
    assert after.schema.metadata[FOOTER_KEY] == before.schema.metadata[FOOTER_KEY]
    assert not any(WHO.encode() in data for where, data in kept(repo).items() if "manifest.json" not in where)


@pytest.mark.parametrize(
    ("words", "token", "said"),
    [
        (("withdraw", "nobody", REPO, "--yes"), "hf_owner", "no version of org/equime has a subject 'nobody'"),
        (("withdraw", WHO, "org/absent", "--yes"), "hf_owner", "org/absent"),
        (("withdraw", WHO, "org/other", "--yes"), "hf_owner", "holds no release"),
        (CUT, "hf_reader", "can only read"),
        (CUT, "hf_wrong", "token"),
    ],
)
def test_what_cannot_be_is_one_line_and_changes_nothing(
    hub: Hub, tmp_path: Path, words: tuple[Any, ...], token: str, said: str
) -> None:
    hub.create("org/other", {"README.md": b"# other"})
    before = copy.deepcopy(hub.repos)
    done = equime(hub, tmp_path, *words, token=token)
    assert done.returncode == 1 and said in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert hub.repos == before and token not in done.stderr


def test_clips_and_their_twins() -> None:
    rows = [
        {"clip_id": "a", "subject_id": "1", "twin_id": None},
        {"clip_id": "b", "subject_id": "1", "twin_id": "x"},
        {"clip_id": "c", "subject_id": "2", "twin_id": "x"},
        {"clip_id": "d", "subject_id": "2", "twin_id": None},
        {"clip_id": "e", "subject_id": "3", "twin_id": "y"},
    ]
    assert clips_of(["1"], iter(rows)) == {"a", "b", "c"}
    assert clips_of(["3", "absent"], rows) == {"e"}
    assert clips_of([], rows) == set()


def test_a_file_written_again_has_the_rest_to_the_byte(tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", subjects=1, per_emotion=27, emotions=["fear"], frames=4)
    layout.write_layout(table, tmp_path / "all", progress=False)
    ids = [row["clip_id"] for row in table.rows(["clip_id"])]
    layout.write_layout(table, tmp_path / "rest", without={ids[0], ids[13], ids[26]}, progress=False)
    for path in ("data/train/00000-fear.parquet", "metadata/train.parquet"):
        assert rewritten(tmp_path / "all" / path, tmp_path / "again" / path, {ids[0], ids[13], ids[26]}) == 24
        assert (tmp_path / "again" / path).read_bytes() == (tmp_path / "rest" / path).read_bytes()
        assert rewritten(tmp_path / "all" / path, tmp_path / "none" / path, set(ids)) == 0
        assert not (tmp_path / "none" / path).exists()
