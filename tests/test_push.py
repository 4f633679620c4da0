"""Pushing a release to a Hub of our own, which refuses, forgets, breaks off and is killed at every request."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_client import ROOT, Client
from hub_faults import Fault, Faults
from hub_repo import sha256
from hub_server import Hub, Repo
from huggingface_hub import constants, file_download
from make_workspace import make_workspace

from equime import hub as layout
from equime import schema
from equime.errors import EquimeError
from equime.publishing import manifest as manifests
from equime.publishing.about import About, Policy
from equime.publishing.manifest import NAME, Manifest
from equime.publishing.origin import Tombstone
from equime.publishing.repository.client import Remote
from equime.publishing.repository.push import Pushed, push, survey
from equime.publishing.repository.retrying import again_after, lost

# The client's own upload calls its HTTP library in a way that the library has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload:DeprecationWarning")

REPO, TOKEN = "org/equime", "hf_SecretSecretSecret"
KEPT = ".gitattributes"
Releases = dict[str, Path]
GROUPS = {"group_files": 3, "group_bytes": 60_000}
"""Small groups, so that a version takes several commits."""


def describe(folder: Path, version: str, *, note: str = "", repo: str = REPO, **more: Any) -> Path:
    """Make a release of a folder in the Hub's layout: a card with the form, a change log, the manifest."""
    about = About(version=version, repo=repo, date="2026-01-02", note=note)
    form = {"extra_gated_fields": Policy().form, "license": "cc-by-nc-4.0"}
    (folder / "README.md").write_text(f"---\n{json.dumps(form)}\n---\n\n# EquiME {version} {note}\n")
    (folder / "CHANGELOG.md").write_text(f"# {version}\n\n{note}\n")
    (folder / NAME).unlink(missing_ok=True)
    made = Manifest(about, manifests.listed(folder), {"clip": "0" * 64}, {"train": {}}, 15, **more)
    (folder / NAME).write_text(made.to_json(), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Releases:
    """Versions 1.0.0; 1.1.0, of which one file changed and one went; another 1.1.0; 1.2.0."""
    folder = tmp_path_factory.mktemp("releases")
    table = make_workspace(folder / "ws", emotions=schema.EMOTIONS[:2])
    layout.write_layout(table, folder / "laid out", progress=False)
    made = {}
    for name in ("1.0.0", "1.1.0", "other 1.1.0", "1.2.0"):
        shutil.copytree(folder / "laid out", folder / name)
        if name == "1.1.0":
            (folder / name / "data/test/00000-sadness.parquet").unlink()
            rows = pq.read_table(folder / name / "data/train/00000-sadness.parquet")
            pq.write_table(rows, folder / name / "data/train/00000-sadness.parquet", compression="gzip")
        made[name] = describe(folder / name, name.split()[-1], note=name)
    return made


@dataclass
class Waits:
    """Waits that were asked for; nothing waits."""

    seconds: list[float] = field(default_factory=list)

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture(autouse=True, scope="module")
def client_settings() -> Iterator[None]:
    """As HF_HUB_DISABLE_XET=1 and HF_ENDPOINT (of which 0.x wants to know the beginning), which are read on import."""
    host = "http://127.0.0.1"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        patch.setattr(constants, "ENDPOINT", host)
        for module in (constants, file_download):  # 0.x copies it
            address = f"{host}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
            patch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", address, raising=False)
        yield


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        yield settled(server)


def settled(server: Hub) -> Hub:
    """With an owner, somebody of the same organization, one who only reads, and a stranger."""
    server.users = {TOKEN: "ada", "hf_fresh": "ada", "hf_read": "ada", "hf_bea": "bea", "hf_stranger": "sam"}
    server.orgs, server.readers, server.part_size = {"org": {"ada", "bea"}}, {"hf_read"}, 40_000
    return server


def remote(hub: Hub, token: str = TOKEN, repo: str = REPO, **more: Any) -> Remote:
    return Remote(repo, token, endpoint=hub.endpoint, **({"wait": Waits()} | more))


def pushed(hub: Hub, release: Path, token: str = TOKEN, **more: Any) -> Pushed:
    return push(release, remote(hub, token), progress=False, **(GROUPS | more))


def files_of(release: Path) -> dict[str, bytes]:
    return {p.relative_to(release).as_posix(): p.read_bytes() for p in release.rglob("*") if p.is_file()}


def at(repo: Repo, revision: str) -> dict[str, bytes]:
    """The files at a revision, without the Hub's own."""
    return {path: data for path, data in repo.commits[repo.resolve(revision)].items() if path != KEPT}


def require_published(hub: Hub, release: Path, version: str) -> None:
    """That the repository is as a push leaves it: `main` and the tag hold the release, to the byte."""
    repo = hub.repos[REPO]
    assert at(repo, "main") == at(repo, version) == files_of(release)
    assert repo.gated == "manual"
    assert repo.private
    assert not [d for d in repo.discussions if d.status in ("open", "draft")]


def require_never_half(repo: Repo | None, *whole: Path) -> None:
    """That every commit `main` ever stood at is empty or one of these releases, and that tags name such ones."""
    if repo is None:
        return
    allowed = [{}, *map(files_of, whole)]
    sha: str | None = repo.refs["main"]
    while sha is not None:
        assert {path: data for path, data in repo.commits[sha].items() if path != KEPT} in allowed
        sha = repo.notes[sha].parent
    for tag in repo.tags:
        assert at(repo, tag) in allowed[1:]


def require_no_idle_commit(repo: Repo) -> None:
    """That no commit changed nothing, as one whose answer was lost does when it is made again."""
    for sha, note in repo.notes.items():
        assert note.parent is None or repo.commits[sha] != repo.commits[note.parent]


def require_once(hub: Hub, *sent: Path) -> None:
    """That no large file was uploaded twice: every byte of it came once."""
    large = {sha256(data): len(data) for folder in sent for path, data in files_of(folder).items()
             if path.endswith(".parquet")}  # fmt: skip
    came: dict[str, int] = {}
    for oid, size in hub.uploads:
        came[oid] = came.get(oid, 0) + size
    assert came == large


def names(hub: Hub) -> list[str]:
    """What was written, in order, without the server's address."""
    return [f"{method} {path.split(REPO)[-1] if REPO in path else path}" for method, path, _, _ in hub.log
            if method != "GET" and method != "HEAD"]  # fmt: skip


# What a push does


def test_a_release_arrives_whole_private_and_gated(hub: Hub, releases: Releases) -> None:
    done = pushed(hub, releases["1.0.0"])
    require_published(hub, releases["1.0.0"], "1.0.0")
    require_once(hub, releases["1.0.0"])
    total = sum(map(len, files_of(releases["1.0.0"]).values()))
    assert (done.version, done.files, done.sent, done.there) == ("1.0.0", len(files_of(releases["1.0.0"])), total, 0)
    assert done.commit == hub.repos[REPO].tags["1.0.0"]
    assert str(done).startswith(f"{REPO} 1.0.0: {done.files} files, {total} bytes sent")
    assert json.loads(json.dumps(done.to_dict()))["private"] is True


def test_the_gate_stands_before_the_first_byte_and_the_tag_comes_last(hub: Hub, releases: Releases) -> None:
    pushed(hub, releases["1.0.0"], visible=True)
    wrote = names(hub)
    assert wrote[:3] == ["POST /api/repos/create", "PUT /settings", "POST /discussions"]
    read_back = [path for _, path, _, _ in hub.log].index(f"/api/datasets/{REPO}/settings") + 1
    assert hub.log[read_back][:2] == ("GET", f"/api/datasets/{REPO}/revision/main")
    commits = [n for n, what in enumerate(wrote) if "/commit/" in what]
    assert len(commits) > 2
    merge, tag = wrote.index("POST /discussions/1/merge"), next(n for n, w in enumerate(wrote) if "/tag/" in w)
    assert max(commits) < merge < tag
    assert wrote[tag:] == [wrote[tag], "PUT /settings"]  # and only then is it shown
    assert hub.repos[REPO].gated == "manual"
    assert not hub.repos[REPO].private


def test_a_second_version_sends_only_what_is_new_and_takes_away_what_went(hub: Hub, releases: Releases) -> None:
    first, second = releases["1.0.0"], releases["1.1.0"]
    pushed(hub, first)
    before = len(hub.uploads)
    done = pushed(hub, second)
    require_published(hub, second, "1.1.0")
    assert at(hub.repos[REPO], "1.0.0") == files_of(first)
    assert files_of(first).keys() - files_of(second).keys()
    old, new = files_of(first), files_of(second)
    changed = {path for path, data in new.items() if old.get(path) != data}
    assert 0 < len(changed) < len(new)
    assert done.sent == sum(len(new[path]) for path in changed)
    assert {oid for oid, _ in hub.uploads[before:]} == {sha256(new[p]) for p in changed if p.endswith(".parquet")}


def test_what_is_complete_is_left_alone(hub: Hub, releases: Releases) -> None:
    pushed(hub, releases["1.0.0"])
    before = dict(hub.requests)
    done = pushed(hub, releases["1.0.0"])
    after = {key: count - before.get(key, 0) for key, count in hub.requests.items()}
    assert not [key for key, count in after.items() if count and key[0] not in ("GET", "HEAD")]
    assert (done.sent, done.pull_request) == (0, None)
    pushed(hub, releases["1.1.0"])
    assert pushed(hub, releases["1.0.0"]).commit == done.commit  # an old one, again
    assert at(hub.repos[REPO], "main") == files_of(releases["1.1.0"])


def test_a_repository_keeps_its_visibility_unless_asked(hub: Hub, releases: Releases) -> None:
    hub.create(REPO, {KEPT: b"", "README.md": b"# to come"}, gated="manual")
    assert pushed(hub, releases["1.0.0"]).private is False
    hub.repos[REPO].private = True
    assert pushed(hub, releases["1.1.0"]).private is True
    assert pushed(hub, releases["1.1.0"], visible=True).private is False


def test_files_that_main_holds_need_not_be_in_the_folder(hub: Hub, releases: Releases, tmp_path: Path) -> None:
    pushed(hub, releases["1.0.0"])
    shutil.copytree(releases["1.0.0"], tmp_path / "patch")
    gone = describe(tmp_path / "patch", "1.0.1", note="a fix")
    whole = files_of(gone)
    for path in gone.glob("data/*/*.parquet"):
        path.unlink()
    done = pushed(hub, gone)
    assert at(hub.repos[REPO], "1.0.1") == whole
    assert done.sent == sum(len(data) for path, data in whole.items() if not path.endswith(".parquet"))
    with Hub() as empty, pytest.raises(EquimeError, match=r"the release lacks data/.*does not hold it"):
        pushed(settled(empty), gone)


# What a push refuses


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "CHANGELOG.md").write_text("edited"), "is not as manifest.json says"),
        (lambda f: (f / "more.txt").write_text("added"), "is not as manifest.json says"),
        (lambda f: (f / NAME).unlink(), "is no release"),
        (lambda f: rewrite(f, lambda t: t.cast(bare(t.schema))), "is not marked as perceived"),
        (lambda f: rewrite(f, lambda t: t.append_column("source", t["clip_id"])), "never leaves a workspace"),
        (lambda f: recard(f, "# no front matter"), "does not ask for"),
        (lambda f: recard(f, "---\nextra_gated_fields: {Institution: text}\n---\n"), "does not ask for 'Country'"),
        (lambda f: recard(f, "---\na: [\n---\n"), "cannot read the card"),
    ],
)
def test_a_release_that_is_not_as_it_must_be_is_not_sent(
    hub: Hub, releases: Releases, tmp_path: Path, spoil: Callable[[Path], object], said: str
) -> None:
    folder = tmp_path / "spoilt"
    shutil.copytree(releases["1.0.0"], folder)
    spoil(folder)
    with pytest.raises(EquimeError, match=said) as raised:
        pushed(hub, folder)
    assert "\n" not in str(raised.value)
    assert not hub.log


def rewrite(folder: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    path = folder / "metadata/train.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    relist(folder)


def bare(columns: pa.Schema) -> pa.Schema:
    return pa.schema([column.remove_metadata() for column in columns])


def recard(folder: Path, text: str) -> None:
    (folder / "README.md").write_text(text)
    relist(folder)


def relist(folder: Path) -> None:
    made = replace(Manifest.read(folder), files=manifests.listed(folder))
    (folder / NAME).write_text(made.to_json(), encoding="utf-8")


def test_a_public_repository_without_a_gate_is_not_filled(hub: Hub, releases: Releases) -> None:
    hub.create(REPO, {KEPT: b""})
    for call in (lambda: pushed(hub, releases["1.0.0"]), lambda: survey(remote(hub), "1.0.0")):
        with pytest.raises(EquimeError, match=r"public and has no gate.*settings"):
            call()
    assert not names(hub)
    assert hub.repos[REPO].gated is False


@pytest.mark.parametrize("fault", [{"status": 200}, {"status": 403}, {"status": 400}])
def test_a_gate_that_cannot_be_set_stops_everything(hub: Hub, releases: Releases, fault: dict[str, int]) -> None:
    hub.fault("PUT", "/settings", times=99, **fault)
    said = {200: "reads back as False", 403: "does not let this token", 400: "refused what was asked"}[fault["status"]]
    with pytest.raises(EquimeError, match=said):
        pushed(hub, releases["1.0.0"])
    assert not hub.uploads
    assert [name for name in names(hub) if "settings" not in name] == ["POST /api/repos/create"]
    assert hub.repos[REPO].private


@pytest.mark.parametrize("private", [True, False])
def test_a_gate_switched_off_meanwhile_stops_the_push(hub: Hub, releases: Releases, private: bool) -> None:
    before_request(hub, "POST", "/commit/", lambda: vars(hub.repos[REPO]).update(gated=False, private=private), nth=2)
    with pytest.raises(EquimeError, match="reads back as False: nothing more is sent"):
        pushed(hub, releases["1.0.0"])
    assert [name.count("/commit/") for name in names(hub)[-2:]] == [0, 1]
    assert sum(name.count("/commit/") for name in names(hub)) == 2
    assert not at(hub.repos[REPO], "main")
    if private:
        pushed(hub, releases["1.0.0"])
        require_published(hub, releases["1.0.0"], "1.0.0")
        require_once(hub, releases["1.0.0"])


def test_a_gate_switched_off_during_an_upload_stops_the_commit(hub: Hub, releases: Releases) -> None:
    before_request(hub, "PUT", "/lfs/", lambda: vars(hub.repos[REPO]).update(gated=False))
    with pytest.raises(EquimeError, match="reads back as False: nothing more is sent"):
        pushed(hub, releases["1.0.0"])
    assert not any("/commit/" in name for name in names(hub))


def test_a_signed_address_is_not_told(hub: Hub) -> None:
    error = OSError(
        "400 Client Error: Bad Request for url: https://storage.example/a/b?X-Amz-Signature=5ec2e7&part=1 (x)"
    )
    said = str(remote(hub).explained(error, "main"))
    assert "for url: https://storage.example/a/b (x)" in said and "5ec2e7" not in said


def before_request(hub: Hub, method: str, pattern: str, do: Callable[[], object], nth: int = 1) -> None:
    """Do something, once, when the nth such request has come and before it is answered."""
    take, count, guard = hub.faults.take, itertools.count(1), threading.Lock()

    def taking(asked: str, path: str) -> Fault | None:
        if method in ("*", asked) and re.search(pattern, path):
            with guard:
                now = next(count) == nth
            if now:
                do()
        return take(asked, path)

    hub.faults.take = taking  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("hf_read", "can only read.*settings/tokens"),
        ("hf_unknown", "401.*hf auth login"),
        ("hf_stranger", "403.*write there|is gated"),
    ],
)
def test_a_token_that_cannot_write_sends_nothing(hub: Hub, releases: Releases, token: str, said: str) -> None:
    for there in (False, True):
        if there:
            hub.create(REPO, {KEPT: b""}, gated="manual")
        with pytest.raises(EquimeError, match=said):
            pushed(hub, releases["1.0.0"], token)
        assert not hub.uploads
        assert there or REPO not in hub.repos
    hub.repos[REPO].private = True
    with pytest.raises(EquimeError, match=f"{said}|does not see"):
        pushed(hub, releases["1.0.0"], token)


def test_no_token_at_all(hub: Hub, releases: Releases, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(EquimeError, match="without spaces") as raised:
        remote(hub, "hf_Secret\n")
    assert "Secret" not in str(raised.value)
    with pytest.raises(EquimeError, match="owner/name"):
        Remote("equime")
    assert remote(hub).state() is None
    with pytest.raises(EquimeError, match=r"\(401\).*hf auth login"):
        Remote(REPO, False, endpoint=hub.endpoint).state()
    code = "from equime.publishing.repository.client import Remote; Remote('o/e').user()"
    done = Client(["-c", code], hub.environment(tmp_path, PYTHONPATH=str(ROOT)), tmp_path).wait()
    assert done.stderr.splitlines()[-1].endswith("log in with `hf auth login`, or set HF_TOKEN")


@pytest.mark.parametrize(
    "files", [{"data.csv": b"1"}, {"README.md": b"", "train.parquet": b"1"}, {NAME: b'{"version": 3}'}]
)
def test_a_repository_with_other_content_is_left_alone(hub: Hub, releases: Releases, files: dict[str, bytes]) -> None:
    hub.create(REPO, {KEPT: b"", **files}, private=True)
    for call in (lambda: pushed(hub, releases["1.0.0"]), lambda: survey(remote(hub), "1.0.0")):
        with pytest.raises(EquimeError, match=r"no release put there|is no manifest"):
            call()
    assert not names(hub)


def test_a_file_that_no_release_put_there_is_not_deleted(hub: Hub, releases: Releases) -> None:
    pushed(hub, releases["1.0.0"])
    repo = hub.repos[REPO]
    repo.commit({**repo.commits[repo.refs["main"]], "NOTICE\x1b[2J": b"by hand"})
    with pytest.raises(EquimeError, match=r"1 file that no release put there, 'NOTICE"):
        pushed(hub, releases["1.1.0"])


def test_versions_never_change_and_only_go_up(hub: Hub, releases: Releases) -> None:
    pushed(hub, releases["1.1.0"])
    with pytest.raises(EquimeError, match=r"has another 1\.1\.0: .*give a newer one"):
        pushed(hub, releases["other 1.1.0"])
    with pytest.raises(EquimeError, match=r"is at version 1\.1\.0: expected a newer one, got 1\.0\.0"):
        pushed(hub, releases["1.0.0"])
    with pytest.raises(EquimeError, match=r"is at version 1\.1\.0: expected a newer one, got 1\.0\.0"):
        survey(remote(hub), "1.0.0")
    survey(remote(hub), "1.1.0")
    survey(remote(hub), "1.2.0")
    with pytest.raises(EquimeError, match=f"made for {REPO}, not for org/else"):
        push(releases["1.1.0"], remote(hub, repo="org/else"))
    require_published(hub, releases["1.1.0"], "1.1.0")


def test_who_was_taken_out_does_not_come_back(hub: Hub, releases: Releases, tmp_path: Path) -> None:
    shutil.copytree(releases["1.1.0"], tmp_path / "cut")
    gone = (Tombstone("0042", "1.1.0", "2026-01-02", 5),)
    pushed(hub, describe(tmp_path / "cut", "1.1.0", withdrawn=gone))
    with pytest.raises(EquimeError, match="leaves out subjects who asked for it") as raised:
        pushed(hub, releases["1.2.0"])
    assert "0042" not in str(raised.value)
    shutil.copytree(releases["1.2.0"], tmp_path / "next")
    pushed(hub, describe(tmp_path / "next", "1.2.0", withdrawn=gone))


# What a push survives

ROUTES = {
    ("GET", "/whoami-v2"), ("POST", "/repos/create"), ("GET", "/revision/main"), ("GET", "/refs$"),
    ("PUT", "/settings"), ("GET", "/tree/"), ("POST", "/discussions$"), ("GET", "/discussions$"),
    ("GET", r"/discussions/\d+$"), ("POST", "/status$"), ("POST", "/merge$"), ("GET", "/revision/refs/pr/"),
    ("POST", "/validate-yaml"), ("POST", "/preupload/"), ("POST", "/commit/"), ("POST", "/objects/batch"),
    ("PUT", r"/lfs/.*/[0-9a-f]{64}$"), ("PUT", r"/lfs/.*/\d+$"), ("POST", r"/lfs/.*/[0-9a-f]{64}$"),
    ("POST", "/lfs/verify"), ("POST", "/tag/"), ("GET", "/auth-check/write"), ("HEAD", "/resolve/"),
    ("GET", "/resolve/"),
}  # fmt: skip
OLD = huggingface_hub.__version__.startswith("0.")
KINDS: dict[str, dict[str, Any]] = {
    "429": {"status": 429, "headers": {"Retry-After": "0"}},
    "500": {"status": 500},
    "503, done": {"status": 503, "when": "after"},
    "dropped": {"when": "drop"},
    "answer lost": {"when": "lost"},
}


def troubled(kind: str, releases: Releases, routes: set[tuple[str, str]], skip: int = 0) -> set[tuple[str, str]]:
    """Push two versions while each of these endpoints fails once; those that were not met."""
    with Hub() as hub:
        settled(hub)
        for version in ("1.0.0", "1.1.0"):
            faults = [hub.fault(method, pattern, skip=skip, **KINDS[kind]) for method, pattern in sorted(routes)]
            pushed(hub, releases[version])
            routes = routes - {(fault.method, fault.pattern) for fault in faults if fault.met}
            hub.faults.clear()
            require_published(hub, releases[version], version)
        require_never_half(hub.repos[REPO], releases["1.0.0"], releases["1.1.0"])
        require_no_idle_commit(hub.repos[REPO])
        assert len(hub.repos[REPO].tags) == len(hub.repos[REPO].discussions) == 2
        # Where an answer was lost the client sends a file again, and 0.x where the end of several parts was refused.
        if KINDS[kind].get("when") not in ("after", "lost") and not OLD:
            require_once(hub, releases["1.0.0"], releases["1.1.0"])
    return routes


@pytest.mark.timeout(180)
def test_every_endpoint_may_fail_once_in_every_way(releases: Releases) -> None:
    with ThreadPoolExecutor(len(KINDS)) as pool:
        for missed in pool.map(lambda kind: troubled(kind, releases, ROUTES), KINDS):
            assert missed == ({("GET", "/auth-check/write")} if OLD else set())


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("skip", [0, 1, 3])
def test_each_endpoint_alone_may_fail(releases: Releases, kind: str, skip: int) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda route: troubled(kind, releases, {route}, skip), sorted(ROUTES)))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(4))
def test_many_failures_at_random(releases: Releases, seed: int) -> None:
    draw = random.Random(seed)
    with Hub() as hub:
        settled(hub)
        for version in ("1.0.0", "1.1.0"):
            for _ in range(25):
                hub.fault("*", "", skip=draw.randrange(150), **KINDS[draw.choice(list(KINDS))])
            for _ in range(20):
                with contextlib.suppress(EquimeError):
                    pushed(hub, releases[version])
                    break
            require_published(hub, releases[version], version)
            hub.faults.clear()
        require_never_half(hub.repos[REPO], releases["1.0.0"], releases["1.1.0"])


def test_waits_are_those_the_hub_asks_for(hub: Hub, releases: Releases) -> None:
    waits = Waits()
    hub.fault("PUT", "/settings", status=429, headers={"Retry-After": "7"})
    hub.fault("POST", "/merge", status=429, headers={"RateLimit": '"api";r=0;t=13'})
    hub.fault("POST", "/tag/", times=3, status=500)
    push(releases["1.0.0"], remote(hub, wait=waits), progress=False)
    assert waits.seconds == [7, 13, 1, 2, 4]
    require_published(hub, releases["1.0.0"], "1.0.0")


def test_a_hub_that_stays_away_is_given_up_and_taken_up_again(hub: Hub, releases: Releases) -> None:
    waits = Waits()
    hub.fault("POST", "/merge", times=6, status=503)
    with pytest.raises(EquimeError, match=r"did not answer in 6 tries \(.*\): wait, and run the same command again"):
        push(releases["1.0.0"], remote(hub, wait=waits), progress=False)
    assert waits.seconds == [1, 2, 4, 8, 16]
    assert not at(hub.repos[REPO], "main")
    assert pushed(hub, releases["1.0.0"]).sent == 0
    require_published(hub, releases["1.0.0"], "1.0.0")
    require_once(hub, releases["1.0.0"])


def test_what_is_asked_again_and_what_is_not() -> None:
    assert lost(ConnectionResetError()) and lost(TimeoutError())
    assert not lost(ValueError()) and not lost(KeyError("503"))
    try:
        try:
            raise ConnectionError("reset")
        except ConnectionError as error:
            raise RuntimeError("Error while uploading 'x'") from error
    except RuntimeError as error:
        assert lost(error)
        assert [again_after(error, n) for n in (0, 1, 5, 50)] == [1, 2, 32, 32]
    assert not lost(ConnectionError("HTTP status client error (401 Unauthorized) for url (https://x)"))
    assert lost(RuntimeError("HTTP status server error (503 Service Unavailable) for url (https://x)"))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98])
def test_a_token_that_expires_half_way(hub: Hub, releases: Releases, requests: int, share: float) -> None:
    hub.expire_after(TOKEN, int(share * requests))
    with pytest.raises(EquimeError, match=r"\(401\).*`hf auth login`.*run the same command") as raised:
        pushed(hub, releases["1.0.0"])
    assert "\n" not in str(raised.value)
    require_never_half(hub.repos.get(REPO), releases["1.0.0"])
    pushed(hub, releases["1.0.0"], "hf_fresh")
    require_published(hub, releases["1.0.0"], "1.0.0")


@pytest.fixture(scope="module")
def requests(releases: Releases) -> int:
    """How many requests with a token a push takes."""
    with Hub() as hub:
        pushed(settled(hub), releases["1.0.0"])
        return sum(not path.startswith("/lfs/") for _, path, _, _ in hub.log)


PUSHER = """
import os, sys
from pathlib import Path
from equime.publishing.repository.client import Remote
from equime.publishing.repository.push import push

for line in sys.stdin:
    child = os.fork()
    if not child:
        push(Path(line.strip()), Remote(sys.argv[1]), progress=False, group_files=3, group_bytes=60_000)
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Pusher:
    """Pushes in processes that can be killed, begun by one that has imported everything."""

    def __init__(self, hub: Hub, home: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PUSHER, REPO], env=hub.environment(home, TOKEN, PYTHONPATH=str(ROOT)),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self) -> Pusher:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()

    def __call__(self, release: Path, pid: queue.Queue[int]) -> int:
        """Push; the process's id goes into the queue, its exit code comes back."""
        assert self.process.stdin and self.process.stdout
        print(release, file=self.process.stdin, flush=True)
        pid.put(int(self.process.stdout.readline()))
        return int(self.process.stdout.readline())


def killed_at(hub: Hub, pusher: Pusher, release: Path, nth: int) -> None:
    """A push that is killed as the nth request is answered, and then runs again."""
    hub.repos.clear()
    hub.uploads.clear()
    hub.faults = Faults()
    pid: queue.Queue[int] = queue.Queue()
    before_request(hub, "*", "", lambda: os.kill(pid.get(), signal.SIGKILL), nth)
    assert pusher(release, pid) == -signal.SIGKILL
    repo = hub.repos.get(REPO)
    require_never_half(repo, release)
    assert repo is None or repo.private or repo.gated
    there, came = set(repo.objects) if repo else set(), len(hub.uploads)
    pushed(hub, release)
    require_published(hub, release, "1.0.0")
    require_never_half(hub.repos[REPO], release)
    assert len(hub.repos[REPO].discussions) == 1
    assert not there & {oid for oid, _ in hub.uploads[came:]}, nth


def kill_at_each(releases: Releases, home: Path, step: int) -> None:
    with Hub() as hub, Pusher(settled(hub), home) as pusher:
        assert pusher(releases["1.0.0"], queue.Queue()) == 0
        for nth in range(1, len(hub.log) + 1, step):
            killed_at(hub, pusher, releases["1.0.0"], nth)


@pytest.mark.timeout(180)
def test_a_push_that_is_killed_goes_on(releases: Releases, tmp_path: Path) -> None:
    kill_at_each(releases, tmp_path, step=9)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_push_killed_at_every_single_request_goes_on(releases: Releases, tmp_path: Path) -> None:
    kill_at_each(releases, tmp_path, step=1)


def test_a_version_without_its_tag_gets_it_from_the_next_push(hub: Hub, releases: Releases) -> None:
    hub.fault("POST", "/tag/", times=6)
    with pytest.raises(EquimeError, match="did not answer"):
        pushed(hub, releases["1.0.0"])
    assert not hub.repos[REPO].tags
    pushed(hub, releases["1.1.0"], "hf_bea")
    require_published(hub, releases["1.1.0"], "1.1.0")
    assert at(hub.repos[REPO], "1.0.0") == files_of(releases["1.0.0"])
    assert pushed(hub, releases["1.0.0"]).sent == 0  # who was killed then comes back, and is done


def test_who_publishes_meanwhile_wins_and_nobody_is_overwritten(hub: Hub, releases: Releases) -> None:
    pushed(hub, releases["1.0.0"])
    before_request(hub, "POST", "/merge$", lambda: pushed(hub, releases["1.1.0"], "hf_bea"))
    with pytest.raises(EquimeError, match=r"somebody changed org/equime meanwhile .*run the same command again"):
        pushed(hub, releases["1.2.0"])
    assert at(hub.repos[REPO], "main") == at(hub.repos[REPO], "1.1.0") == files_of(releases["1.1.0"])
    done = pushed(hub, releases["1.2.0"])
    require_published(hub, releases["1.2.0"], "1.2.0")
    assert done.pull_request == 4
    assert [d.status for d in hub.repos[REPO].discussions] == ["merged", "closed", "merged", "merged"]
    require_once(hub, releases["1.0.0"], releases["1.1.0"], releases["1.2.0"])


def test_a_commit_by_hand_meanwhile_is_not_built_upon(hub: Hub, releases: Releases) -> None:
    pushed(hub, releases["1.0.0"])
    repo = hub.repos[REPO]
    before_request(hub, "POST", "/commit/", lambda: repo.commit({**at(repo, "main"), "NOTICE": b"by hand"}))
    with pytest.raises(EquimeError, match="meanwhile"):
        pushed(hub, releases["1.1.0"])
    assert at(repo, "main") == files_of(releases["1.0.0"]) | {"NOTICE": b"by hand"}
    with pytest.raises(EquimeError, match="no release put there, 'NOTICE'"):
        pushed(hub, releases["1.1.0"])


def test_a_file_taken_out_in_the_moment_of_merging_is_put_back(hub: Hub, releases: Releases) -> None:
    """The one moment that nothing guards: `main` is then this version but for that file, and no tag names it."""
    pushed(hub, releases["1.0.0"])
    repo, stays = hub.repos[REPO], "data/validation/00000-sadness.parquet"
    before_request(
        hub, "POST", "/merge$", lambda: repo.commit({p: d for p, d in at(repo, "main").items() if p != stays})
    )
    with pytest.raises(EquimeError, match=r"meanwhile .*run the same command again"):
        pushed(hub, releases["1.1.0"])
    assert set(repo.tags) == {"1.0.0"} and stays not in at(repo, "main")
    pushed(hub, releases["1.1.0"])
    require_published(hub, releases["1.1.0"], "1.1.0")


def test_what_else_lands_in_the_pull_request_is_taken_out(hub: Hub, releases: Releases) -> None:
    def intrude() -> None:
        repo = hub.repos[REPO]
        repo.commit({**repo.commits[repo.refs["refs/pr/1"]], "more.txt": b"?", "README.md": b"?"}, "refs/pr/1")

    before_request(hub, "POST", "/commit/", intrude, nth=3)
    pushed(hub, releases["1.0.0"])
    require_published(hub, releases["1.0.0"], "1.0.0")
    require_once(hub, releases["1.0.0"])


def test_a_push_of_an_older_version_is_refused_once_a_newer_one_came(hub: Hub, releases: Releases) -> None:
    pushed(hub, releases["1.0.0"])
    before_request(hub, "POST", "/commit/", lambda: pushed(hub, releases["1.2.0"], "hf_bea"))
    with pytest.raises(EquimeError, match="meanwhile"):
        pushed(hub, releases["1.1.0"])
    with pytest.raises(EquimeError, match=r"is at version 1\.2\.0"):
        pushed(hub, releases["1.1.0"])
    require_never_half(hub.repos[REPO], releases["1.0.0"], releases["1.2.0"])


@pytest.mark.parametrize("seed", range(4))
def test_the_same_push_twice_at_once(hub: Hub, releases: Releases, seed: int) -> None:
    def run(token: str) -> str:
        for _ in range(5):
            with contextlib.suppress(EquimeError):
                return pushed(hub, releases["1.0.0"], token).commit
        raise AssertionError("never done")

    with ThreadPoolExecutor(2) as pool:
        commits = set(pool.map(run, [TOKEN, "hf_fresh" if seed % 2 else "hf_bea"]))
    assert commits == {hub.repos[REPO].tags["1.0.0"]}
    assert at(hub.repos[REPO], "main") == at(hub.repos[REPO], "1.0.0") == files_of(releases["1.0.0"])
    require_never_half(hub.repos[REPO], releases["1.0.0"])


def test_the_token_is_never_told(
    hub: Hub,
    releases: Releases,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    told = ""
    for method, pattern, fault in (
        ("POST", "/repos/create", {"status": 401}),
        ("PUT", "/settings", {"status": 403}),
        ("POST", "/status", {"when": "drop"}),
        ("POST", "/tag/", {"status": 503}),
    ):
        hub.faults.clear()
        hub.fault(method, pattern, times=6, **fault)  # type: ignore[arg-type]
        with pytest.raises(EquimeError) as raised:
            pushed(hub, releases["1.0.0"])
        told += "".join(traceback.format_exception(raised.value))
    hub.faults.clear()
    capfd.readouterr()
    done = pushed(hub, releases["1.0.0"])
    assert capfd.readouterr() == ("", "")
    told += str(done) + json.dumps(done.to_dict()) + caplog.text
    told += "".join(map(str, hub.repos[REPO].discussions)) + str(hub.repos[REPO].notes)
    assert "Secret" not in told
