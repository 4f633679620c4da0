"""Whether a copy of a release is whole, in a folder and on a Hub of our own: whatever is changed is found."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import Hub, Repo
from publishing import equime, make_release, push, twins_workspace

from equime.errors import EquimeError
from equime.publishing.comparing.verify import verify
from equime.publishing.manifest import Manifest

REPO = "org/equime"
DATA, METADATA = "data/train/00000-happiness.parquet", "metadata/train.parquet"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify")
    table = twins_workspace(folder / "ws", subjects=3, per_emotion=4)
    return make_release(table, folder / "release", "1.0.0", REPO)


@pytest.fixture(scope="module")
def pushed(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Repo:
    with Hub() as hub:
        hub.users, hub.orgs = {"hf_owner": "owner"}, {"org": {"owner"}}
        push(hub, tmp_path_factory.mktemp("home"), release, REPO)
        return hub.repos[REPO]


@pytest.fixture
def hub(pushed: Repo) -> Iterator[Hub]:
    with Hub() as server:
        server.users = {"hf_owner": "owner", "hf_bob": "bob"}
        server.orgs = {"org": {"owner"}}
        server.repos[REPO] = copy.deepcopy(pushed)
        yield server


@pytest.fixture
def local(release: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(release, tmp_path / "copy"))


def flip(path: Path, at: int) -> None:
    """Change one bit."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def change(path: Path, name: str, values: list[str]) -> None:
    """Give the first rows of a Parquet file other values."""
    rows = pq.read_table(path)
    column = pa.array(values + rows[name].to_pylist()[len(values) :], rows.schema.field(name).type)
    pq.write_table(rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), column), path)


def signed(folder: Path, *paths: str) -> None:
    """Write the manifest again for files that were changed: as whoever wants a change not to be seen."""
    from equime.publishing.manifest import NAME, hashed

    values = json.loads((folder / NAME).read_text())
    values["files"] |= {path: hashed(folder / path)._asdict() for path in paths}
    (folder / NAME).write_text(json.dumps(values))


@pytest.mark.parametrize("deep", [False, True])
def test_a_release_in_a_folder_is_whole(release: Path, deep: bool) -> None:
    found = verify(str(release), deep=deep, progress=False)
    manifest = Manifest.read(release)
    assert found.whole and found.problems == () and found.commit is None
    assert (found.version, found.clips, found.files) == ("1.0.0", 36, len(manifest.files))
    assert found.bytes == sum(p.stat().st_size for p in release.rglob("*") if p.is_file() and p.name != "manifest.json")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda d: flip(d / DATA, 5000), f"{DATA} is not what was published"),
        (lambda d: flip(d / "README.md", 0), "README.md is not what was published"),
        (lambda d: (d / "DATASHEET.md").unlink(), "DATASHEET.md is missing"),
        (lambda d: (d / DATA).unlink(), f"{DATA} is missing"),
        (lambda d: (d / "data/train/notes.txt").write_text("x"), "data/train/notes.txt is not in the manifest"),
        (lambda d: change(d / METADATA, "sha256", ["0" * 64]), "metadata/ has another hash than the manifest for"),
        (lambda d: shutil.rmtree(d / "metadata"), "metadata/ does not read"),
    ],
)
def test_every_change_to_a_folder_is_found(local: Path, damage: Callable[[Path], object], said: str) -> None:
    damage(local)
    found = verify(str(local), progress=False)
    assert not found.whole and any(line.startswith(said) for line in found.problems), found.problems


def test_rows_that_a_changed_manifest_hides_are_found(local: Path) -> None:
    other = Manifest.read(local)
    first = pq.read_table(local / METADATA)["clip_id"][0].as_py()
    change(local / METADATA, "clip_id", ["fear/f_other_0"])
    signed(local, METADATA)
    assert verify(str(local), progress=False).problems == (
        f"metadata/ lacks the clip {first}",
        "metadata/ holds a clip that the manifest has not: fear/f_other_0",
    )
    assert first in other.clips


def test_only_every_byte_finds_a_clip_that_was_swapped(local: Path) -> None:
    rows = pq.read_table(local / DATA)
    swapped = rows["video"].to_pylist()[1::-1] + rows["video"].to_pylist()[2:]
    videos = pa.array(swapped, rows.schema.field("video").type)
    place = rows.schema.get_field_index("video")
    pq.write_table(rows.set_column(place, rows.schema.field("video"), videos), local / DATA)
    signed(local, DATA)
    assert verify(str(local), progress=False).whole
    problems = verify(str(local), deep=True, progress=False).problems
    assert sorted(problems) == sorted(
        f"data/ has another hash than the manifest for {clip}" for clip in rows["clip_id"].to_pylist()[:2]
    )


def test_a_withdrawn_subject_that_is_there_is_found(local: Path) -> None:
    values = json.loads((local / "manifest.json").read_text())
    values["withdrawn"] = [{"subject_id": "person1", "version": "1.0.0", "date": "2026-01-01", "clips": 3}]
    (local / "manifest.json").write_text(json.dumps(values))
    assert verify(str(local), progress=False).problems == ("a subject that was withdrawn is there: person1",)


def test_what_is_no_release_is_one_line(tmp_path: Path) -> None:
    for where, said in ((str(tmp_path), "is no release"), ("a b", "expected a release's folder, or a repository")):
        with pytest.raises(EquimeError, match=said):
            verify(where, progress=False)


def test_a_version_on_the_hub_is_verified_without_fetching_it(hub: Hub, release: Path, tmp_path: Path) -> None:
    large = sum(p.stat().st_size for p in release.rglob("data/*/*.parquet"))
    with hub.counted() as requests:
        done = equime(hub, tmp_path, "verify", f"{REPO}@1.0.0")
    assert done.returncode == 0 and "36 clips" in done.stdout and ": whole (every file's hash" in done.stdout
    oids = {h.sha256 for p, h in Manifest.read(release).files.items() if p.startswith("data/")}
    assert not any(path.endswith(tuple(oids)) for _, path, _, _ in requests)
    with hub.counted() as requests:
        done = equime(hub, tmp_path, "verify", REPO, "--bytes", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["whole"] and found["deep"] and found["commit"] == hub.repos[REPO].refs["main"]
    assert sum(sent for _, path, _, sent in requests if path.endswith(tuple(oids))) >= large


def test_a_change_on_the_hub_is_found_and_the_exit_code_says_so(hub: Hub, tmp_path: Path) -> None:
    repo = hub.repos[REPO]
    files = dict(repo.commits[repo.refs["main"]])
    files["README.md"] += b"\nMore."
    files[DATA] = files["data/train/00000-sadness.parquet"]
    del files["metadata/test.parquet"]
    files["extra.bin"] = b"x"
    repo.commit(files)
    done = equime(hub, tmp_path, "verify", REPO)
    assert done.returncode == 1 and "NOT whole" in done.stdout
    for said in ("README.md is not", f"{DATA} is not", "metadata/test.parquet is missing", "extra.bin is not in"):
        assert said in done.stdout
    assert equime(hub, tmp_path, "verify", f"{REPO}@1.0.0").returncode == 0


def test_bytes_that_are_not_what_the_hub_says_are_found(hub: Hub, tmp_path: Path) -> None:
    """The Hub lists the hash, its storage gives other bytes: only fetching finds it."""
    repo = hub.repos[REPO]
    oid = Manifest.from_json(repo.commits[repo.refs["main"]]["manifest.json"], "").files[DATA].sha256
    damaged = bytearray(repo.objects[oid])
    damaged[3000] ^= 1
    repo.objects[oid] = bytes(damaged)
    assert equime(hub, tmp_path, "verify", REPO).returncode == 0
    done = equime(hub, tmp_path, "verify", REPO, "--bytes")
    assert done.returncode == 1 and DATA in done.stdout + done.stderr


def test_a_tag_of_another_version_is_found(hub: Hub, tmp_path: Path) -> None:
    hub.repos[REPO].tags["1.4.0"] = hub.repos[REPO].refs["main"]
    done = equime(hub, tmp_path, "verify", f"{REPO}@1.4.0")
    assert done.returncode == 1 and "the tag 1.4.0 holds version 1.0.0" in done.stdout


@pytest.mark.parametrize(
    ("where", "token", "said"),
    [
        (f"{REPO}@9.9.9", "hf_owner", "no revision '9.9.9'"),
        ("org/absent", "hf_owner", "nobody has published org/absent"),
        (REPO, "hf_bob", "org/equime"),
        (REPO, "hf_wrong", "token"),
        ("org/other", "hf_owner", "holds no manifest.json"),
    ],
)
def test_what_cannot_be_read_is_one_line(hub: Hub, tmp_path: Path, where: str, token: str, said: str) -> None:
    hub.create("org/other", {"README.md": b"# other"})
    done = equime(hub, tmp_path, "verify", where, token=token)
    assert done.returncode == 1 and said in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert token not in done.stderr


def test_a_busy_hub_is_asked_again(hub: Hub, tmp_path: Path) -> None:
    hub.fault("GET", "/tree/", status=503, headers={"Retry-After": "0"})
    hub.fault("GET", "/resolve/.*README", status=429, headers={"Retry-After": "0"})
    hub.fault("GET", "/lfs/", when="cut")
    done = equime(hub, tmp_path, "verify", REPO, "--bytes")
    assert done.returncode == 0, done.stdout + done.stderr
