"""The test Hub speaks the Hub's protocol: what the real `huggingface_hub` reads and writes through it, and who may.

Each test runs the client in a process of its own, since it reads HF_ENDPOINT when it is imported.
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_server import Hub

REPO = "org/set"
BEGIN = """
import json, time
from huggingface_hub import CommitOperationAdd as Add, CommitOperationDelete as Delete, HfApi
from huggingface_hub.utils import HfHubHTTPError

def said(call, *args, **kwargs):
    "What an error says: its class, its status, the server's words."
    try:
        return call(*args, **kwargs)
    except HfHubHTTPError as error:
        return [type(error).__name__, error.response.status_code, error.server_message]

def slept(seconds):
    waits.append(seconds)

waits, time.sleep = [], slept
api, at, result = HfApi(), {"repo_type": "dataset"}, None
"""


def run(hub: Hub, home: Path, code: str, token: str | None = "hf_ada") -> Any:
    """Run `code` in a process that talks to the Hub; what it leaves in `result`, through JSON."""
    script = f"{BEGIN}\n{textwrap.dedent(code)}\nprint('\\n' + json.dumps(result))"
    done = subprocess.run(
        [sys.executable, "-c", script], env=hub.environment(home, token), cwd=home,
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def hub() -> Iterator[Hub]:
    """ada writes in org, bob is a stranger; hf_read is ada's, too, and only reads."""
    with Hub() as made:
        made.users = {"hf_ada": "ada", "hf_read": "ada", "hf_bob": "bob"}
        made.readers, made.orgs = {"hf_read"}, {"org": {"ada"}}
        yield made


class TestRepositories:
    def test_a_private_one_is_made_gated_and_deleted(self, hub: Hub, tmp_path: Path) -> None:
        code = f"""
        url = api.create_repo({REPO!r}, private=True, **at)
        api.update_repo_settings({REPO!r}, gated="manual", **at)
        again = api.create_repo({REPO!r}, exist_ok=True, **at)
        info = api.dataset_info({REPO!r}, files_metadata=True)
        result = [url.repo_id, again.repo_id, info.private, info.gated, [s.rfilename for s in info.siblings]]
        result.append([c.title for c in api.list_repo_commits({REPO!r}, **at)])
        result.append(said(api.create_repo, {REPO!r}, **at)[:2])
        result.append(api.create_repo("own", **at).repo_id)
        api.update_repo_settings({REPO!r}, private=False, gated=False, **at)
        info = api.dataset_info({REPO!r})
        result += [info.private, info.gated]
        api.delete_repo("ada/own", **at)
        """
        named = [REPO, REPO, True, "manual", [".gitattributes"], ["initial commit"], ["HfHubHTTPError", 409], "ada/own"]
        assert run(hub, tmp_path, code) == [*named, False, False]
        assert hub.requests["POST", "create_repo"] == 4 and set(hub.repos) == {REPO}

    def test_whoami_tells_the_role_and_the_organizations(self, hub: Hub, tmp_path: Path) -> None:
        hub.users["hf_fine"], hub.fine_grained = "ada", {"hf_fine"}
        code = """
        result = []
        for token in ("hf_ada", "hf_read", "hf_fine"):
            me = api.whoami(token=token)
            result.append([me["name"], me["auth"]["accessToken"]["role"], [org["name"] for org in me["orgs"]]])
        result.append(said(api.whoami, token="hf_wrong")[:2])
        """
        roles = [["ada", role, ["org"]] for role in ("write", "read", "fineGrained")]
        assert run(hub, tmp_path, code) == [*roles, ["HfHubHTTPError", 401]]

    def test_names_of_others_are_theirs(self, hub: Hub, tmp_path: Path) -> None:
        code = """
        result = [said(api.create_repo, "org/x", token=t, **at)[:2] for t in ("hf_bob", "hf_read", "hf_wrong", False)]
        """
        refused = ["HfHubHTTPError", 403]
        assert run(hub, tmp_path, code) == [refused, refused, ["HfHubHTTPError", 401], ["HfHubHTTPError", 401]]


class TestCommits:
    def test_files_go_up_once_and_come_back(self, hub: Hub, tmp_path: Path) -> None:
        data = random.Random(0).randbytes(100_000)
        (tmp_path / "data.parquet").write_bytes(data)
        hub.create(REPO, {".gitattributes": b"", "old/a.txt": b"a", "old/b.txt": b"b", "c.txt": b"c"})
        code = f"""
        from pathlib import Path
        card = Add("README.md", b"---\\nlicense: mit\\n---\\n")
        adds = [Add("d/x é.parquet", "data.parquet"), card, Add("n.txt", b"")]
        drops = [Delete("old/"), Delete("c.txt")]
        made = api.create_commit({REPO!r}, adds + drops, commit_message="one", commit_description="why", **at)
        tree = api.list_repo_tree({REPO!r}, recursive=True, **at)
        result = {{"tree": {{e.path: e.lfs.sha256 if e.lfs else e.blob_id for e in tree if hasattr(e, "size")}}}}
        result["oid"] = [made.oid, api.dataset_info({REPO!r}).sha]
        got = api.hf_hub_download({REPO!r}, "d/x é.parquet", revision=made.oid, **at)
        result["same"] = Path(got).read_bytes() == Path("data.parquet").read_bytes()
        again = [Add("other.parquet", "data.parquet"), Add("d/x é.parquet", "data.parquet")]
        api.create_commit({REPO!r}, again, commit_message="two", **at)
        result["log"] = [[c.title, c.message, c.authors] for c in api.list_repo_commits({REPO!r}, **at)]
        result["gone"] = said(api.create_commit, {REPO!r}, [Delete("c.txt")], commit_message="x", **at)[:2]
        info = api.get_paths_info({REPO!r}, ["d", "n.txt", "none"], **at)
        result["info"] = [[i.path, type(i).__name__] for i in info]
        """
        found = run(hub, tmp_path, code)
        blob = hashlib.sha1(b"blob 0\0").hexdigest()
        assert found["tree"].pop("README.md") and found["oid"][0] == found["oid"][1] and found["same"]
        sha = hashlib.sha256(data).hexdigest()
        assert found["tree"] == {".gitattributes": blob, "n.txt": blob, "d/x é.parquet": sha}
        assert found["log"] == [["two", "", ["ada"]], ["one", "why", ["ada"]], ["Upload", "", ["org"]]]
        assert found["gone"] == ["RemoteEntryNotFoundError", 404]
        assert sorted(found["info"]) == [["d", "RepoFolder"], ["n.txt", "RepoFile"]]
        assert hub.uploads == [(sha, len(data))]  # the second commit found it there
        assert hub.requests["PUT", "put_object"] == 1 and hub.requests["POST", "verify"] == 1

    def test_a_large_file_goes_up_in_parts(self, hub: Hub, tmp_path: Path) -> None:
        data = random.Random(1).randbytes(100_000)
        (tmp_path / "a.parquet").write_bytes(data)
        hub.create(REPO, {})
        hub.part_size = 30_000
        code = f"""
        api.upload_file(path_or_fileobj="a.parquet", path_in_repo="a.parquet", repo_id={REPO!r}, **at)
        """
        run(hub, tmp_path, code)
        assert hub.repos[REPO].commits[hub.repos[REPO].refs["main"]]["a.parquet"] == data
        assert [size for _, size in hub.uploads] == [30_000, 30_000, 30_000, 10_000]
        assert hub.requests["PUT", "put_part"] == 4 and hub.requests["POST", "complete"] == 1

    def test_a_stale_parent_is_refused(self, hub: Hub, tmp_path: Path) -> None:
        repo = hub.create(REPO, {"a.txt": b"a"})
        first = repo.refs["main"]
        repo.commit({"a.txt": b"b"})
        code = f"""
        def to(parent):
            return api.create_commit(
                {REPO!r}, [Add("c.txt", b"c")], commit_message="c", parent_commit=parent, **at
            ).commit_message
        result = [said(to, "{first}")[:2], said(to, "{repo.refs["main"]}")]
        result.append(said(api.create_commit, {REPO!r}, [Add("x", b"")], commit_message="x", revision="no", **at)[:2])
        result.append(said(api.create_commit, {REPO!r}, [Add("x", b"")], commit_message="x", token="hf_bob", **at)[:2])
        """
        refused = [["RevisionNotFoundError", 404], ["HfHubHTTPError", 403]]
        assert run(hub, tmp_path, code) == [["HfHubHTTPError", 412], "c", *refused]

    def test_front_matter_that_does_not_read_is_refused(self, hub: Hub, tmp_path: Path) -> None:
        hub.create(REPO, {})
        code = f"""
        try:
            api.create_commit({REPO!r}, [Add("README.md", b"---\\na: [\\n---\\n")], commit_message="x", **at)
        except ValueError as error:
            result = str(error).splitlines()[0]
        """
        assert run(hub, tmp_path, code) == "Invalid metadata in README.md."
        assert hub.requests["POST", "commit"] == 0

    def test_what_a_commit_names_must_have_been_uploaded(self, hub: Hub, tmp_path: Path) -> None:
        hub.create(REPO, {})
        code = f"""
        one = Add("a.parquet", b"never sent")
        one._is_uploaded, one._upload_mode = True, "lfs"
        result = said(api.create_commit, {REPO!r}, [one], commit_message="x", **at)[:2]
        """
        assert run(hub, tmp_path, code) == ["BadRequestError", 400]


class TestVersions:
    def test_a_pull_request_is_filled_and_merged(self, hub: Hub, tmp_path: Path) -> None:
        repo = hub.create(REPO, {"a.txt": b"a", "b.txt": b"b"})
        code = f"""
        pull = api.create_pull_request({REPO!r}, title="Version 1.0.0", description="base abc", **at)
        head = api.dataset_info({REPO!r}, revision=pull.git_reference).sha
        for path in ("x.parquet", "y.txt"):
            done = api.create_commit({REPO!r}, [Add(path, b"12")], commit_message=path, revision="refs/pr/1",
                                     parent_commit=head, **at)
            head = done.oid
        result = [pull.num, pull.status, pull.target_branch, pull.conflicting_files]
        result.append(said(api.merge_pull_request, {REPO!r}, 1, **at)[:2])  # a draft
        result.append(api.change_discussion_status({REPO!r}, 1, "open", **at).new_status)
        result.append(api.file_exists({REPO!r}, "y.txt", **at))
        api.merge_pull_request({REPO!r}, 1, **at)
        details = api.get_discussion_details({REPO!r}, 1, **at)
        result += [details.status, details.merge_commit_oid == api.dataset_info({REPO!r}).sha]
        result.append([details.events[0].content, details.events[1].oid != head, details.events[2].oid == head])
        result.append(sorted(api.list_repo_files({REPO!r}, **at)))
        result.append(said(api.merge_pull_request, {REPO!r}, 1, **at)[:2])
        refs = api.list_repo_refs({REPO!r}, include_pull_requests=True, **at)
        result.append([[r.ref for r in refs.branches], [[r.ref, r.target_commit == head] for r in refs.pull_requests]])
        """
        bad = ["BadRequestError", 400]
        files = ["a.txt", "b.txt", "x.parquet", "y.txt"]
        opened = [1, "draft", "refs/heads/main", [], bad, "open", False]
        merged = ["merged", True, ["base abc", True, True], files, bad, [["refs/heads/main"], [["refs/pr/1", True]]]]
        assert run(hub, tmp_path, code) == [*opened, *merged]
        assert repo.notes[repo.refs["main"]].title == "Version 1.0.0 (#1)"

    def test_commits_may_open_pull_requests_and_meet_conflicts(self, hub: Hub, tmp_path: Path) -> None:
        hub.create(REPO, {"a.txt": b"a"})
        code = f"""
        def commit(data, **more):
            return api.create_commit({REPO!r}, [Add("a.txt", data)], commit_message="aaa", **more, **at)
        made = commit(b"b", create_pr=True, token="hf_bob")
        commit(b"bb", revision=made.pr_revision, token="hf_bob")
        commit(b"c")
        result = [made.pr_num, api.get_discussion_details({REPO!r}, 1, **at).conflicting_files]
        result.append(said(api.merge_pull_request, {REPO!r}, 1, **at)[1])
        result.append(said(api.merge_pull_request, {REPO!r}, 1, token="hf_bob", **at)[1])
        api.change_discussion_status({REPO!r}, 1, "closed", comment="stale", **at)
        result.append(said(commit, b"d", revision=made.pr_revision)[1])
        """
        assert run(hub, tmp_path, code) == [1, ["a.txt"], 409, 403, 403]

    def test_discussions_are_listed_by_kind_state_and_author(self, hub: Hub, tmp_path: Path) -> None:
        hub.create(REPO, {})
        code = f"""
        for number in range(12):
            api.create_pull_request({REPO!r}, title=f"pull {{number}}", **at)
        api.create_discussion({REPO!r}, title="a question", token="hf_bob", **at)
        api.comment_discussion({REPO!r}, 13, comment="more", **at)
        api.change_discussion_status({REPO!r}, 3, "closed", **at)
        def listed(**more):
            return [one.num for one in api.get_repo_discussions({REPO!r}, **more, **at)]
        result = [listed(), listed(discussion_type="pull_request", discussion_status="closed"), listed(author="bob")]
        result.append(len(listed(discussion_type="pull_request", discussion_status="open")))
        """
        assert run(hub, tmp_path, code) == [list(range(13, 0, -1)), [3], [13], 11]

    def test_branches_and_tags(self, hub: Hub, tmp_path: Path) -> None:
        repo = hub.create(REPO, {"a.txt": b"a"})
        first = repo.refs["main"]
        code = f"""
        api.create_tag({REPO!r}, tag="1.0.0", tag_message="first", **at)
        api.create_branch({REPO!r}, branch="side", **at)
        api.create_commit({REPO!r}, [Add("a.txt", b"b")], commit_message="b", **at)
        result = [said(api.create_tag, {REPO!r}, tag="1.0.0", **at)[1]]
        result.append(said(api.create_branch, {REPO!r}, branch="side", **at)[1])
        result.append(said(api.create_tag, {REPO!r}, tag="x", revision="none", **at)[0])
        result.append(said(api.create_tag, {REPO!r}, tag="no blanks", **at)[1])
        refs = api.list_repo_refs({REPO!r}, **at)
        result.append([[r.name for r in refs.branches], [[r.ref, r.target_commit] for r in refs.tags]])
        result.append(api.dataset_info({REPO!r}, revision="1.0.0").sha)
        api.delete_branch({REPO!r}, branch="side", **at)
        api.delete_tag({REPO!r}, tag="1.0.0", **at)
        result.append([said(api.delete_tag, {REPO!r}, tag="1.0.0", **at)[0]])
        result.append(said(api.delete_branch, {REPO!r}, branch="main", **at)[1])
        """
        refused = [409, 409, "RevisionNotFoundError", 400]
        refs = [["main", "side"], [["refs/tags/1.0.0", first]]]
        assert run(hub, tmp_path, code) == [*refused, refs, first, ["RevisionNotFoundError"], 403]
        assert set(repo.refs) == {"main"} and not repo.tags

    def test_a_squash_and_a_purge_leave_nothing_behind(self, hub: Hub, tmp_path: Path) -> None:
        repo = hub.create(REPO, {"a.parquet": b"old", "k.parquet": b"kept", "t.txt": b"t"})
        old = repo.refs["main"]
        repo.refs["refs/pr/1"] = old  # pull requests keep what they held
        repo.commit({"a.parquet": b"new", "k.parquet": b"kept", "t.txt": b"t"})
        code = f"""
        api.super_squash_history({REPO!r}, branch="main", commit_message="one", **at)
        listed = list(api.list_lfs_files({REPO!r}, **at))
        result = [sorted([f.filename, f.size] for f in listed)]
        drop = [f for f in listed if f.file_oid == "{hashlib.sha256(b"old").hexdigest()}"]
        api.permanently_delete_lfs_files({REPO!r}, drop, **at)
        result.append(len(list(api.list_lfs_files({REPO!r}, **at))))
        result.append([c.title for c in api.list_repo_commits({REPO!r}, **at)])
        result.append(sorted(api.list_repo_files({REPO!r}, revision="refs/pr/1", **at)))
        result.append(said(api.dataset_info, {REPO!r}, revision="{old}")[0])
        result.append(said(api.super_squash_history, {REPO!r}, token="hf_bob", **at)[1])
        """
        listed = [["a.parquet", 3], ["a.parquet", 3], ["k.parquet", 4]]
        left = ["k.parquet", "t.txt"]
        assert run(hub, tmp_path, code) == [listed, 2, ["one"], left, "RevisionNotFoundError", 403]
        assert sorted(repo.objects.values()) == [b"kept", b"new"]
        assert not any(b"old" in files.values() for files in repo.commits.values())

    def test_long_lists_come_in_pages(self, hub: Hub, tmp_path: Path) -> None:
        repo = hub.create(REPO, {f"d/{number}.parquet": b"%d" % number for number in range(120)})
        for number in range(60):
            repo.commit({"a.txt": b"%d" % number})
        repo.tags["many"] = next(iter(repo.commits))
        code = f"""
        result = [len(api.list_repo_files({REPO!r}, revision="many", **at))]
        result += [len(api.list_repo_commits({REPO!r}, **at)), len(list(api.list_lfs_files({REPO!r}, **at)))]
        """
        assert run(hub, tmp_path, code) == [120, 61, 120]
        assert hub.requests["GET", "tree"] == hub.requests["GET", "lfs_files"] == 3
