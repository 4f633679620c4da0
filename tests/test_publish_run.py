"""A trained run goes to the Hub and comes back: the same answers, behind a gate, and nobody named in it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_server import Hub, Repo
from publishing import equime, twins_workspace

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from huggingface_hub import constants, file_download, metadata_load

from equime.errors import EquimeError
from equime.recognise import predictions
from equime.recognise.equime_clips import clips
from equime.recognise.model_repo import ModelRemote, located
from equime.recognise.outgoing_run import outgoing
from equime.recognise.predict import predict
from equime.recognise.publish_run import PushedRun, push_run

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client, to its HTTP library
REPO = "you/ststnet"
TRAIN = ("train", "--data", "ws", "--model", "ststnet", "--seeds", "2", "--epochs", "2", "--device", "cpu", "--out")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a workspace `ws` of six subjects and a run `run` on it, not pushed."""
    folder = tmp_path_factory.mktemp("sofia-secret")
    twins_workspace(folder / "ws", per_emotion=1)
    with Hub() as hub:
        said(equime(hub, folder, *TRAIN, "run", "--json"))
        assert not hub.requests
    return folder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """As HF_HUB_DISABLE_XET=1 and HF_ENDPOINT, which clients in this process read on import."""
    with Hub() as server:
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
        for module in (constants, file_download):  # 0.x copies it
            address = f"{server.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
            monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", address, raising=False)
        server.users = {"hf_owner": "you", "hf_stranger": "sam", "hf_reader": "you"}
        server.readers = {"hf_reader"}
        yield server


@pytest.fixture
def push(hub: Hub, home: Path) -> Callable[..., PushedRun]:
    """`push_run` of the run, in this process."""

    def pushed(repo: str = REPO, *, run: Path = home / "run", token: str | bool = "hf_owner", **how: Any) -> PushedRun:
        remote = ModelRemote(repo, token, endpoint=hub.endpoint, wait=lambda seconds: None)
        return push_run(run, remote, progress=False, **how)

    return pushed


def said(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr[-3000:]
    assert "hf_owner" not in done.stdout + done.stderr
    return json.loads(done.stdout)


def files(repo: Repo) -> dict[str, bytes]:
    return repo.commits[repo.resolve("main")]


def writes(hub: Hub) -> list[tuple[str, str]]:
    return [key for key in hub.requests if key[0] not in ("GET", "HEAD")]


@pytest.mark.timeout(180)
def test_a_run_goes_out_and_answers_as_it_did_here(hub: Hub, home: Path) -> None:
    done = equime(hub, home, *TRAIN, "run", "--json", "--push", REPO)
    pushed = said(done)["pushed"]
    repo = hub.repos[REPO]
    assert (repo.kind, repo.private, repo.gated) == ("model", True, "manual")
    assert pushed["networks"] == 12 and pushed["sent"] == pushed["bytes"] and pushed["commit"] == repo.resolve("main")
    assert f"15 files of 15, {pushed['bytes']:,} bytes, to {REPO}" in done.stderr
    settings = [number for number, entry in enumerate(hub.log) if entry[1].endswith("/settings")]
    sent = [number for number, entry in enumerate(hub.log) if "/lfs/" in entry[1] or "/commit/" in entry[1]]
    assert settings and max(settings) < min(sent)
    asked = "predict", REPO, "--data", "ws", "--json", "--out"
    assert said(equime(hub, home, *asked, "there.parquet"))["networks"] == 12
    there, facts = predictions.read(home / "there.parquet")
    here = predict(home / "run", clips(home / "ws"))
    assert there.equals(here.predictions) and facts["model"] == f"{REPO}@{pushed['commit']}"
    fetched = {Path(path).name for method, path, *_ in hub.log if "/resolve/" in path}
    assert "README.md" not in fetched and "weights.json" in fetched


def test_nobody_is_named_in_a_single_byte(hub: Hub, home: Path, push: Callable[..., PushedRun]) -> None:
    push()
    repo = hub.repos[REPO]
    assert {path.rpartition(".")[2] for path in files(repo)} == {"gitattributes", "safetensors", "json", "md"}
    everything = [*repo.objects.values(), *(data for commit in repo.commits.values() for data in commit.values())]
    everything += [str(repo.notes).encode(), *(str(entry).encode() for entry in hub.log)]
    rows = clips(home / "ws").table
    ids = {value for name in ("subject_id", "sample_id") for value in rows[name].to_pylist()}
    ids |= {value.removeprefix("equime-") for value in rows["subject_id"].to_pylist()}
    assert len(ids) >= 6 + 18 and "person0" in ids
    for name in (*ids, str(home), home.name, os.fspath(Path.home())):
        assert not [data for data in everything if name.encode() in data], name
    inside = b"".join((home / "run/jobs").rglob("model.safetensors").__next__().read_bytes().split(b"\n"))
    assert b"person" in inside  # what a run keeps for itself does name them
    assert json.loads(files(repo)["run.json"])["folds"][0]["name"] == "fold-000"


def test_the_same_again_sends_nothing_and_what_was_lost_is_asked_again(
    hub: Hub, push: Callable[..., PushedRun]
) -> None:
    hub.fault("POST", "/commit/", when="lost")
    hub.fault("POST", "objects/batch", status=429)
    first = push()
    made = dict(hub.requests)
    again = push()
    assert (again.sent, again.commit, first.sent) == (0, first.commit, first.bytes)
    new = {key for key in hub.requests if hub.requests[key] > made.get(key, 0)}
    assert not [key for key in new if key[0] not in ("GET", "HEAD")]
    fewer = push(seeds=1, visible=True)
    assert fewer.networks == 6 and not fewer.private and hub.repos[REPO].gated == "manual"
    assert sum(path.endswith(".safetensors") for path in files(hub.repos[REPO])) == 6


def test_the_card_says_what_it_is(hub: Hub, home: Path, push: Callable[..., PushedRun], tmp_path: Path) -> None:
    push()
    card = files(hub.repos[REPO])["README.md"]
    (tmp_path / "README.md").write_bytes(card)
    facts = metadata_load(tmp_path / "README.md")
    assert facts and facts["license"] == "cc-by-nc-4.0" and facts["library_name"] == "equime"
    assert facts["datasets"] == ["equime"] and "ststnet" in facts["tags"] and facts["extra_gated_fields"]
    text = card.decode()
    from equime.recognise.evaluate import evaluate

    scores = evaluate(predictions.read(home / "run/predictions.parquet")[0])
    for value in (scores.uf1.value, scores.uf1.low, scores.uf1.high, scores.uar.value, scores.stratified.uf1):
        assert f"{value:.3f}" in text
    for word in ("intended", "perceived", "at work or in education", "Research only", f"equime predict {REPO} --data"):
        assert word in text


def test_names_of_others_cannot_break_the_card(home: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "jobs").symlink_to(home / "run/jobs")
    manifest = json.loads((home / "run/run.json").read_text())
    nasty = "x|y\n# <script>[a](b)"
    manifest["title"], manifest["data"]["sets"] = nasty, {nasty: {"samples": 1, "subjects": 1}}
    answers, facts = predictions.read(home / "run/predictions.parquet")
    (run / "run.json").write_text(json.dumps(manifest))
    predictions.write(run / "predictions.parquet", answers, facts)
    with outgoing(run, REPO) as made:
        card = made.files["README.md"].read_text()
        assert metadata_load(made.files["README.md"])["datasets"] == [nasty]
    body = card.partition("\n---\n")[2]
    assert "<script>" not in body and "\n# <" not in body and r"x\|y" in body
    assert not (run / ".push").exists()


def test_what_is_refused_leaves_the_hub_as_it_was(hub: Hub, home: Path, push: Callable[..., PushedRun]) -> None:
    hub.create("you/open", {"README.md": b"# mine"}, kind="model")
    hub.create("you/other", {"README.md": b"# mine", "model.bin": b"x"}, kind="model", private=True)
    told = json.dumps({"mark": "f" * 64}).encode()
    hub.create("you/run", {"run.json": told, "weights.json": b"{}"}, kind="model", private=True)
    hub.create("you/data", {"README.md": b"# mine"}, private=True)
    hub.create("org/theirs", {"README.md": b"# mine"}, kind="model", gated="manual", members={"you"})
    for repo, how, why in (
        ("you/open", {}, "public and has no gate"),
        ("you/other", {}, "holds 1 file that no run put there, 'model.bin' first"),
        ("you/run", {}, "another run"),
        ("org/theirs", {}, "403"),
        ("you/data", {}, "name is taken|409"),
        (REPO, {"token": "hf_reader"}, "can only read"),
        (REPO, {"token": "hf_nobody"}, "does not take the token"),
        (REPO, {"most_bytes": 1000}, "more than 1,000: send those of fewer seeds"),
        (REPO, {"seeds": 3}, "--push-seeds from 1 to 2"),
        (REPO, {"run": home / "ws"}, "no finished run"),
        ("no name", {}, "owner/name"),
    ):
        with pytest.raises(EquimeError, match=why) as raised:
            push(repo, **how)
        assert "\n" not in str(raised.value) and "hf_" not in str(raised.value)
    assert not [key for key in writes(hub) if key != ("POST", "create_repo")] and REPO not in hub.repos


def test_a_run_that_is_not_whole_is_not_sent(hub: Hub, home: Path, tmp_path: Path) -> None:
    remote = ModelRemote(REPO, "hf_owner", endpoint=hub.endpoint)
    subprocess.run(["cp", "-r", str(home / "run"), str(tmp_path / "run")], check=True)
    network = next((tmp_path / "run/jobs").rglob("model.safetensors"))
    raw = bytearray(network.read_bytes())
    raw[-1] ^= 1
    network.write_bytes(raw)
    with pytest.raises(EquimeError, match="was changed since it was trained"):
        push_run(tmp_path / "run", remote)
    network.unlink()
    with pytest.raises(EquimeError, match="keeps 11 of the 12 networks"):
        push_run(tmp_path / "run", remote)
    assert not hub.requests


def test_a_repository_that_cannot_be_used_is_one_line(
    hub: Hub, home: Path, tmp_path: Path, push: Callable[..., PushedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    push(visible=True)
    hub.create("you/empty", {"README.md": b"# mine"}, kind="model", private=True)
    repo = hub.repos[REPO]
    changed = dict(files(repo))
    name = next(name for name in changed if name.endswith(".safetensors"))
    changed[name] = changed[name][:-1] + bytes([changed[name][-1] ^ 1])
    good = repo.resolve("main")
    repo.commit(changed)
    done = equime(hub, home, "predict", REPO, "--data", "ws", "--out", "p.parquet")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and not (home / "p.parquet").exists()
    assert "was changed since it was trained" in done.stderr
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    for model, token, why in (
        (REPO, "hf_stranger", "is gated: ask for access at"),
        (f"{REPO}@{good}", "", "is gated: log in"),
        (f"{REPO}@none", "hf_owner", "has no revision 'none'"),
        ("you/empty", "hf_owner", "you/empty holds no networks"),
        ("you/nothing", "hf_owner", "there is no folder you/nothing here, and there is no model you/nothing"),
        ("../x/y", "hf_owner", "expected the folder of `equime train`"),
    ):
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / f"cache{token}"))
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(EquimeError, match=why) as raised:
            located(model)
        assert "\n" not in str(raised.value) and "hf_" not in str(raised.value)
    monkeypatch.setenv("HF_TOKEN", "hf_owner")
    assert located(f"{REPO}@{good}").name == f"{REPO}@{good}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # what was fetched once is here
    assert {path.name for path in located(f"{REPO}@{good}").folder.iterdir()} >= {"weights.json", name}
    with pytest.raises(EquimeError, match="HF_HUB_OFFLINE is set"):
        located("you/other")


def test_flags_without_a_meaning_are_refused_before_training(hub: Hub, home: Path) -> None:
    for words, why in (
        (("--visible",), "--push OWNER/NAME"),
        (("--push", REPO, "--no-weights"), "--no-weights"),
        (("--push", REPO, "--push-seeds", "3"), "--push-seeds from 1 to 2"),
    ):
        done = equime(hub, home, *TRAIN, "new", *words)
        assert done.returncode == 1 and why in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    done = equime(hub, home, *TRAIN, "new", "--push", REPO, token=None)
    assert done.returncode == 1 and "no token for" in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (home / "new").exists() and not writes(hub)


def test_a_folder_is_meant_where_both_could_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "you/model").mkdir(parents=True)
    assert located("you/model") == (Path("you/model"), "you/model")
    assert located(Path("you/none")).folder == Path("you/none")
