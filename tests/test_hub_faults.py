"""The test Hub keeps strangers out and fails on demand: gates, roles, requests for access, and each kind of fault."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import Hub
from test_hub_server import REPO, run

PEOPLE = ("hf_ada", "hf_read", "hf_wil", "hf_mem", "hf_bob", False)
"""Owner, the same with a token that only reads, writer, member, stranger, nobody."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as made:
        made.users = {"hf_ada": "ada", "hf_read": "ada", "hf_wil": "wil", "hf_mem": "mem", "hf_bob": "bob"}
        made.readers, made.orgs, made.people = {"hf_read"}, {"org": {"ada"}}, {"eve"}
        yield made


class TestAccess:
    @pytest.mark.parametrize(
        ("settings", "info", "card", "data"),
        [
            ({}, "......", "......", "......"),
            ({"gated": "manual"}, "......", "......", "....GG"),
            ({"private": True}, "....RR", "....RR", "....RR"),
            ({"private": True, "gated": "manual"}, "....RR", "....RR", "....RR"),
        ],
    )
    def test_who_sees_what(
        self, hub: Hub, tmp_path: Path, settings: dict[str, object], info: str, card: str, data: str
    ) -> None:
        files = {"README.md": b"# card", "d.parquet": b"data", "t.txt": b"t"}
        hub.create(REPO, files, members={"mem"}, writers={"wil"}, **settings)
        code = f"""
        def what(call, *args, **kwargs):
            found = said(call, {REPO!r}, *args, **kwargs)
            return found[0][0] if isinstance(found, list) and found and "Error" in str(found[0]) else "."
        result = [[], [], [], [], []]
        for number, token in enumerate({PEOPLE!r}):
            kept = {{"cache_dir": str(number), "token": token, **at}}
            result[0].append(what(api.dataset_info, token=token))
            result[1].append(what(api.hf_hub_download, "README.md", **kept))
            result[2].append(what(api.hf_hub_download, "d.parquet", **kept))
            result[3].append(what(api.hf_hub_download, "t.txt", **kept))
            result[4].append(what(api.auth_check, token=token, **at))
        result = ["".join(letters) for letters in result]
        """
        assert run(hub, tmp_path, code) == [info, card, data, data, data]

    def test_who_writes(self, hub: Hub, tmp_path: Path) -> None:
        hub.create(REPO, {"a.txt": b""}, gated="manual", members={"mem"}, writers={"wil"})
        code = f"""
        result = []
        for token in {PEOPLE!r}:
            who = {{"token": token, **at}}
            calls = [
                lambda: api.create_commit({REPO!r}, [Add("x.txt", token.encode())], commit_message="x", **who),
                lambda: api.create_tag({REPO!r}, tag=str(token), **who),
                lambda: api.update_repo_settings({REPO!r}, gated="auto", **who),
                lambda: list(api.list_pending_access_requests({REPO!r}, **who)),
                lambda: api.auth_check({REPO!r}, write=True, **who),
            ]
            codes = [said(call) if token or n else None for n, call in enumerate(calls)]
            result.append([c[1] if isinstance(c, list) and c else 0 for c in codes])
        """
        no = [403] * 5
        assert run(hub, tmp_path, code) == [[0] * 5, no, [0] * 5, no, no, [0, 401, 401, 401, 401]]

    def test_requests_for_access_are_answered(self, hub: Hub, tmp_path: Path) -> None:
        repo = hub.create(REPO, {"d.parquet": b"data"}, gated="manual")
        repo.ask(
            "bob", {"Institution": "Monash", "Agreed": True}, email="bob@monash.edu", when="2026-02-03T00:00:00.000Z"
        )
        code = f"""
        def names():
            return [[r.username for r in call({REPO!r}, **at)] for call in (api.list_pending_access_requests,
                    api.list_accepted_access_requests, api.list_rejected_access_requests)]
        def reads(token):
            kept = {{"cache_dir": f"{{len(result)}}", "token": token}}
            return not isinstance(said(api.hf_hub_download, {REPO!r}, "d.parquet", **kept, **at), list)
        result = []
        one = next(iter(api.list_pending_access_requests({REPO!r}, **at)))
        result.append([one.username, one.fullname, one.email, one.fields, one.timestamp.isoformat(), one.status])
        result.append([names(), reads("hf_bob")])
        api.accept_access_request({REPO!r}, "bob", **at)
        result.append([names(), reads("hf_bob"), said(api.accept_access_request, {REPO!r}, "bob", **at)[1]])
        api.cancel_access_request({REPO!r}, request_id=one.request_id, **at)
        result.append([names(), reads("hf_bob")])
        api.reject_access_request({REPO!r}, "bob", rejection_reason="no institution", **at)
        result.append([names(), reads("hf_bob")])
        given = api.grant_access({REPO!r}, "eve", **at)
        result.append([names(), said(api.grant_access, {REPO!r}, "eve", **at)[1]])
        result.append([said(call, {REPO!r}, "zed", **at)[1] for call in (api.grant_access, api.accept_access_request)])
        api.update_repo_settings({REPO!r}, gated=False, **at)
        result.append(said(api.grant_access, {REPO!r}, "mem", **at)[1])
        """
        form = {"Institution": "Monash", "Agreed": True}
        first = ["bob", "Bob", "bob@monash.edu", form, "2026-02-03T00:00:00+00:00", "pending"]
        states = [[[["bob"], [], []], False], [[[], ["bob"], []], True, 404], [[["bob"], [], []], False]]
        ends = [[[[], [], ["bob"]], False], [[[], ["eve"], ["bob"]], 400], [404, 404], 400]
        assert run(hub, tmp_path, code) == [first, *states, *ends]
        assert repo.requests["bob"].reason == "no institution"

    def test_a_token_runs_out(self, hub: Hub, tmp_path: Path) -> None:
        hub.create(REPO, {})
        hub.expire_after("hf_ada", requests=2)
        code = f"""
        result = [said(lambda: api.dataset_info({REPO!r}).id) for _ in range(3)]
        result = [result[0], result[1], result[2][1], api.dataset_info({REPO!r}, token="hf_bob").id]
        """
        assert run(hub, tmp_path, code) == [REPO, REPO, 401, REPO]


class TestFaults:
    def test_each_kind_on_a_commit(self, hub: Hub, tmp_path: Path) -> None:
        """The client does not try a commit again, so that each fault is seen as it is."""
        repo = hub.create(REPO, {})
        code = f"""
        def commit():
            try:
                found = said(api.create_commit, {REPO!r}, [Add("a.txt", b"a")], commit_message="a", **at)
                return found[1] if isinstance(found, list) else "done"
            except Exception as error:
                return type(error).__name__
        result = commit()
        """
        for fault, answer, commits in [
            ({"status": 500}, 500, 1),
            ({"status": 429, "headers": {"Retry-After": "0"}}, 429, 1),
            ({"when": "drop"}, "RemoteProtocolError", 1),
            ({"when": "lost"}, "RemoteProtocolError", 2),
            ({"when": "after", "status": 503}, 503, 2),
            ({"when": "after", "status": 503, "skip": 1}, "done", 2),
        ]:
            made = hub.fault("POST", "/commit/main", **fault)
            repo.commits.clear()
            repo.commit({})
            assert run(hub, tmp_path, code) == answer, fault
            assert len(repo.commits) == commits and made.met == (answer != "done")
        assert hub.requests["POST", "commit"] == 6

    def test_the_client_gets_over_what_passes(self, hub: Hub, tmp_path: Path) -> None:
        hub.create(REPO, {})
        hub.part_size = 30_000
        faults = [
            hub.fault("POST", "/preupload/", status=429, headers={"Retry-After": "0"}),
            hub.fault("POST", "/objects/batch", status=503, times=2),
            hub.fault("PUT", "/lfs/.*/2$", status=500),
            hub.fault("PUT", "/lfs/.*/3$", when="drop"),
            hub.fault("PUT", "/lfs/.*/4$", when="lost"),
            hub.fault("POST", "/lfs/", when="after", status=500),
            hub.fault("POST", "/verify", status=408),
        ]
        (tmp_path / "a.parquet").write_bytes(random.Random(2).randbytes(100_000))
        code = f"""
        api.upload_file(path_or_fileobj="a.parquet", path_in_repo="a.parquet", repo_id={REPO!r}, **at)
        result = len(waits)
        """
        assert run(hub, tmp_path, code) >= 8
        assert all(fault.met == fault.times for fault in faults)
        assert [size for _, size in hub.uploads] == [30_000, 30_000, 30_000, 10_000, 10_000]

    def test_half_a_file_is_asked_for_again(self, hub: Hub, tmp_path: Path) -> None:
        data = random.Random(3).randbytes(300_000)
        hub.create(REPO, {"a.parquet": data})
        cut = hub.fault("GET", "^/lfs/", when="cut")
        code = f"""
        import hashlib
        from pathlib import Path
        result = hashlib.sha256(Path(api.hf_hub_download({REPO!r}, "a.parquet", **at)).read_bytes()).hexdigest()
        """
        with hub.counted() as asked:
            found = run(hub, tmp_path, code)
        assert found == next(iter(hub.repos[REPO].objects)) and cut.met == 1
        assert [sent for _, path, _, sent in asked if path.startswith("/lfs/")] == [150_000, 300_000]

    def test_ranges_are_as_asked(self, hub: Hub, tmp_path: Path) -> None:
        hub.create(REPO, {"a.parquet": bytes(range(100)), "b.txt": bytes(range(100))})
        code = f"""
        from huggingface_hub.utils import get_session
        result = []
        for path in ("a.parquet", "b.txt"):
            for wanted in ("10-19", "90-", "-5", "95-200"):
                url = f"{{api.endpoint}}/datasets/{REPO}/resolve/main/{{path}}"
                got = get_session().get(url, headers={{"Range": f"bytes={{wanted}}"}}, follow_redirects=True)
                result.append([got.status_code, got.content[0], len(got.content), got.headers["Content-Range"]])
        """
        spans = [(10, 10, "10-19"), (90, 10, "90-99"), (95, 5, "95-99"), (95, 5, "95-99")]
        assert run(hub, tmp_path, code, token=None) == 2 * [[206, a, n, f"bytes {span}/100"] for a, n, span in spans]

    def test_half_a_request_is_none(self, hub: Hub, tmp_path: Path) -> None:
        """As of a client that is killed while it sends."""
        hub.create(REPO, {})
        body = b'{"tag": "1.0.0"}'
        head = f"POST /api/datasets/{REPO}/tag/main HTTP/1.1\r\nAuthorization: Bearer hf_ada\r\n".encode()
        head += b"Content-Length: %d\r\n\r\n" % len(body)
        for sent in (body[:8], body):
            with socket.create_connection(("127.0.0.1", hub.port)) as line:
                line.sendall(head + sent)
                line.shutdown(socket.SHUT_WR)
                answer = line.recv(100)
            assert bool(answer) == (sent == body) == ("1.0.0" in hub.repos[REPO].tags)

    def test_a_gate_that_is_said_to_be_set_and_is_not(self, hub: Hub, tmp_path: Path) -> None:
        hub.create(REPO, {})
        hub.fault("PUT", "/settings", status=200)
        code = f"""
        api.update_repo_settings({REPO!r}, gated="manual", **at)
        result = api.dataset_info({REPO!r}).gated
        """
        assert run(hub, tmp_path, code) is False
