"""The server of `equime view`: what it gives, to whom, and what it never does. Asked over bare sockets."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hub_client import ROOT
from hub_server import Hub
from make_clips import random_bytes, truncated
from make_workspace import Row, add_rows, make_row, make_workspace

from equime import schema, video
from equime.errors import EquimeError
from equime.hub import write_layout
from equime.media import open_media
from equime.report.gallery import address, gallery
from equime.report.server import Viewer
from equime.table import Table

PAGE = "<!doctype html><title>é</title>"
GOOD = "fear/m_1_0"
HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """Ten clips, the last two of which are broken in ways that their own hashes do not tell."""
    rows: list[Row] = [make_row(k, k % 2, k // 10, e, size=96) for k, e in enumerate([*schema.EMOTIONS] * 2)]
    for row, data in zip(rows[-2:], (random_bytes(5000), truncated(rows[-1]["video"]["bytes"])), strict=True):
        row |= {"video": {"bytes": data, "path": None}, "sha256": video.sha256(data), "size_bytes": len(data)}
    made = Table.create(tmp_path_factory.mktemp("view") / "ws", shard_rows=4)
    add_rows(made, rows)
    (made.path / "secret.mp4").write_bytes(b"secret")
    return made


@contextlib.contextmanager
def serving(viewer: Viewer) -> Iterator[Viewer]:
    with viewer:
        thread = threading.Thread(target=viewer.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield viewer
        viewer.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def viewer(table: Table) -> Iterator[Viewer]:
    clips = gallery(str(table.path), inline=False)
    with serving(Viewer(open_media(str(table.path)))) as found:
        found.show(PAGE, clips)
        yield found


@pytest.fixture(scope="module")
def clip(table: Table) -> bytes:
    data: bytes = table.find(GOOD)["video"]["bytes"]
    return data


def path_of(clip_id: str) -> str:
    return "/" + address(clip_id)


def ask(viewer: Viewer, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """One request of its own connection, its path sent as it stands."""
    connection = http.client.HTTPConnection("127.0.0.1", viewer.server_port, timeout=10)
    connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return found


def raw(viewer: Viewer, data: bytes) -> bytes:
    """All that comes back for some bytes, until the server closes."""
    with socket.create_connection(("127.0.0.1", viewer.server_port), timeout=10) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def clips_of(body: bytes) -> list[dict[str, Any]]:
    """The clips of clips.json, as the page's script puts them together."""
    data = json.loads(body)
    return [dict(zip(data["fields"], values, strict=True)) for values in data["clips"]]


def alive(viewer: Viewer) -> bool:
    return ask(viewer, "/")[0] == 200


def test_the_page_the_data_and_a_clip(viewer: Viewer, table: Table, clip: bytes) -> None:
    status, headers, body = ask(viewer, "/")
    assert (status, headers["content-type"], body.decode()) == (200, "text/html; charset=utf-8", PAGE)
    status, headers, body = ask(viewer, "/clips.json")
    data, clips = json.loads(body), clips_of(body)
    assert (status, headers["content-type"]) == (200, "application/json")
    made = json.loads(json.dumps(gallery(str(table.path), inline=False)))
    assert data["shown"] == 10 and data["units"] == made["units"] and len(clips) == len(made["clips"])
    for told, each in zip(clips, made["clips"], strict=True):
        assert {name: value for name, value in told.items() if name in each} == each
    source = {each["id"]: each["src"] for each in clips}[GOOD]
    status, headers, body = ask(viewer, f"/{source}")
    assert (status, headers["content-type"], headers["accept-ranges"]) == (200, "video/mp4", "bytes")
    assert body == clip and int(headers["content-length"]) == len(clip)
    assert video.probe(body).num_frames == 8


def test_every_answer_keeps_to_itself(viewer: Viewer) -> None:
    for path in ("/", "/clips.json", path_of(GOOD), "/nothing"):
        _, headers, _ = ask(viewer, path, Origin="https://elsewhere.example")
        assert HEADERS.items() <= headers.items()
        assert not [name for name in headers if name.startswith("access-control")]
        assert "python" not in headers["server"].lower()


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0), ("bytes=0-99", 0, 99), ("bytes=100-", 100, -1), ("bytes=-100", -100, -1),
        ("bytes=0-", 0, -1), ("bytes=5-99999999", 5, -1), ("bytes=-99999999", 0, -1), (" bytes=7-8 ", 7, 8),
        ("bytes=5-" + "9" * 3000, 5, -1),
    ],
)  # fmt: skip
def test_a_range_is_that_part(viewer: Viewer, clip: bytes, asked: str, first: int, last: int) -> None:
    first, last = first % len(clip), last % len(clip)
    status, headers, body = ask(viewer, path_of(GOOD), Range=asked)
    assert status == 206 and headers["content-range"] == f"bytes {first}-{last}/{len(clip)}"
    assert body == clip[first : last + 1] and int(headers["content-length"]) == len(body)


@pytest.mark.parametrize("past", ["bytes={0}-", "bytes={0}-{1}", "bytes=-0", "bytes=" + "9" * 3000 + "-"])
def test_a_range_past_the_end_is_refused(viewer: Viewer, clip: bytes, past: str) -> None:
    status, headers, _ = ask(viewer, path_of(GOOD), Range=past.format(len(clip), len(clip) + 5))
    assert (status, headers["content-range"]) == (416, f"bytes */{len(clip)}")


@pytest.mark.parametrize(
    "other", ["bytes=0-1,4-5", "bytes=9-3", "bytes=-", "bytes=", "items=0-1", "bytes=a-b", "bytes=0x1-", "bytes=--5"]
)
def test_what_is_no_single_range_gets_the_whole(viewer: Viewer, clip: bytes, other: str) -> None:
    status, headers, body = ask(viewer, path_of(GOOD), Range=other)
    assert (status, body) == (200, clip) and "content-range" not in headers


def test_if_range_and_head_get_the_whole(viewer: Viewer, clip: bytes) -> None:
    assert ask(viewer, path_of(GOOD), Range="bytes=0-9", If_Range='"other"')[::2] == (200, clip)
    for path in ("/", "/clips.json", path_of(GOOD), "/nothing"):
        status, headers, body = ask(viewer, path, "HEAD", Range="bytes=0-9")
        same, expected, _ = ask(viewer, path)
        assert (status, headers["content-length"], body) == (same, expected["content-length"], b"")


def test_no_path_is_ever_read(viewer: Viewer, table: Table) -> None:
    inside = f"{table.path}/secret"
    wanted = [
        "../secret", "%2e%2e%2fsecret", "..%2fsecret", "%252e%252e%252fsecret", quote(inside, safe=""), inside,
        "secret", "fear%2Fm_1_0%00", "%00", "fear%2Fm_1_0%2F..%2Fm_1_0", "fear%5Cm_1_0", "%ff%fe", "a" * 5000,
        "nobody%2Ff_0_0", "fear/m_1_0", "%66ear%2fm_1_0%0d%0aX:%20y", "file:%2F%2F%2Fetc%2Fhostname", "plan%2F00000",
    ]  # fmt: skip
    paths = [f"/clips/{name}.mp4" for name in wanted]
    paths += ["/.", "/..", "/../", "/clips", "/clips/", "/clips/.mp4", "/secret.mp4", "/workspace.json", "/?a=1"]
    paths += [f"{path_of(GOOD)}?x", path_of(GOOD)[1:], f"{viewer.address}{path_of(GOOD)[1:]}", "/clips.json/", "*"]
    for path in paths:
        status, _, body = ask(viewer, path)
        assert (status, body) == (404, b"not here\n"), path
    assert ask(viewer, "/clips/%66ear%2fm_1_0.mp4")[0] == 200  # the same id, otherwise quoted
    assert raw(viewer, b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 414")
    assert alive(viewer)


def test_only_who_asks_for_this_machine_is_answered(viewer: Viewer) -> None:
    port = viewer.server_port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}"):
        assert ask(viewer, "/", Host=host)[0] == 200
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", "localhost", f"127.0.0.1:{port + 1}", "",
                 f"127.0.0.1:{port}.evil.example", f"0.0.0.0:{port}", f"[::1]:{port}"):  # fmt: skip
        status, _, body = ask(viewer, "/clips.json", Host=host)
        assert status == 403 and b"clips" not in body, host
    good = f"Host: 127.0.0.1:{port}\r\n".encode()
    for head in (b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\n" + good + b"Host: evil\r\n\r\n", b"GET /\r\n\r\n"):
        assert PAGE.encode() not in raw(viewer, head)


def test_it_listens_on_the_loopback_address_alone(viewer: Viewer) -> None:
    assert viewer.server_address[0] == "127.0.0.1" and viewer.address == f"http://127.0.0.1:{viewer.server_port}/"
    for family, host in ((socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.2")):
        with socket.socket(family) as other, pytest.raises(OSError):
            other.settimeout(2)
            other.connect((host, viewer.server_port))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_refused_and_their_bodies_are_no_requests(viewer: Viewer, method: str) -> None:
    status, headers, body = ask(viewer, "/", method)
    assert (status, headers["allow"], body) == (405, "GET, HEAD", b"only GET and HEAD\n")
    hidden = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{viewer.server_port}\r\n\r\n"
    for verb in (method, "GET"):
        head = f"{verb} / HTTP/1.1\r\nHost: 127.0.0.1:{viewer.server_port}\r\nContent-Length: {len(hidden)}\r\n\r\n"
        assert PAGE.encode() not in raw(viewer, (head + hidden).encode())


def test_a_broken_clip_is_a_line_and_the_server_goes_on(viewer: Viewer, clip: bytes) -> None:
    for clip_id in ("fear/f_0_0", "anger/m_1_0"):
        status, headers, body = ask(viewer, path_of(clip_id), Range="bytes=0-")
        assert status == 422 and headers["content-type"].startswith("text/plain")
        assert body.count(b"\n") == 1 and body.endswith(b"\n")
    assert ask(viewer, path_of(GOOD))[2] == clip


def test_many_ask_at_once_and_some_go_away(viewer: Viewer, clip: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    draw = random.Random(0)

    def part(number: int) -> bool:
        first = draw.randrange(len(clip))
        last = draw.randrange(first, len(clip))
        found = ask(viewer, path_of(GOOD), Range=f"bytes={first}-{last}")
        return found[0] == 206 and found[2] == clip[first : last + 1]

    head = f"GET {path_of(GOOD)} HTTP/1.1\r\nHost: 127.0.0.1:{viewer.server_port}\r\n\r\n".encode()

    def leave(number: int) -> bool:
        with socket.create_connection(("127.0.0.1", viewer.server_port), timeout=10) as connection:
            reset = b"\1\0\0\0\0\0\0\0"  # close by a reset, whatever was not read
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            connection.sendall(head * 20 if number % 2 else head[:30])
            connection.recv(10) if number % 2 else None
        return True

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(lambda k: (leave if k % 3 == 0 else part)(k), range(120)))
    assert alive(viewer) and capfd.readouterr().err == ""


def test_a_connection_is_kept_for_more_requests(viewer: Viewer, clip: bytes) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", viewer.server_port, timeout=10)
    for path, status in (
        ("/", 200),
        (path_of(GOOD), 200),
        ("/nothing", 404),
        (path_of("anger/m_1_0"), 422),
        ("/", 200),
    ):
        connection.request("GET", path)
        ours = connection.sock
        answer = connection.getresponse()
        assert (answer.status, bool(answer.read())) == (status, True) and connection.sock is ours
    connection.close()


def test_a_port_in_use_or_of_no_use_is_one_line(viewer: Viewer, table: Table) -> None:
    media = open_media(str(table.path))
    for port in (viewer.server_port, 70_000, -1):
        with pytest.raises(EquimeError, match=rf"^cannot listen on port {port} of 127.0.0.1: .*; name another"):
            Viewer(media, port)


# --- the command


def started(words: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "equime", "view", *words], cwd=ROOT, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def fetched(where: str) -> tuple[int, bytes]:
    host, _, path = where.removeprefix("http://").partition("/")
    with contextlib.closing(http.client.HTTPConnection(host, timeout=20)) as connection:
        connection.request("GET", f"/{path}")
        answer = connection.getresponse()
        return answer.status, answer.read()


@pytest.mark.timeout(180)
def test_the_command_serves_a_workspace_until_it_is_stopped(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    table = make_workspace(tmp_path / "ws", subjects=6, per_emotion=1)
    process = started([str(table.path), "--json"], dict(os.environ))
    try:
        assert process.stdout
        said = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")
        assert said["clips"] == 30 and said["address"].startswith("http://127.0.0.1:")
        status, page = fetched(said["address"])
        assert status == 200 and b"data-served" in page
        clips = clips_of(fetched(said["address"] + "clips.json")[1])
        assert fetched(said["address"] + clips[0]["src"])[1] == table.find(clips[0]["id"])["video"]["bytes"]
        process.send_signal(signal.SIGINT)
        _, problems = process.communicate(timeout=20)
        assert process.returncode == 130
        assert [
            line for line in problems.splitlines() if line.startswith("equime: stopped")
        ] and "Trace" not in problems
    finally:
        process.kill()
        process.communicate()


@pytest.mark.timeout(180)
def test_the_command_serves_a_repository(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    table = make_workspace(tmp_path / "ws", subjects=6, per_emotion=1)
    write_layout(table, tmp_path / "out", progress=False)
    with Hub() as hub:
        hub.create("org/set", tmp_path / "out")
        process = started(["org/set"], hub.environment(tmp_path, PYTHONPATH=str(ROOT)))
        try:
            assert process.stdout
            line = process.stdout.readline()
            address = next(word for word in line.split() if word.startswith("http://"))
            clips = clips_of(fetched(address + "clips.json")[1])
            assert len(clips) == 30
            for each in clips[::7]:
                assert fetched(address + each["src"]) == (200, table.find(each["id"])["video"]["bytes"])
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)
            assert process.returncode == 143
        finally:
            process.kill()
            process.communicate()


def test_the_command_says_in_a_line_what_is_wrong(viewer: Viewer, table: Table, tmp_path: Path) -> None:
    bad = make_workspace(tmp_path / "ws", subjects=1, groups=("plan", "generate"))
    wrong = {"cannot listen on port": [str(table.path), "--port", str(viewer.server_port)]}
    wrong |= {"expected a folder": ["nothing/at/all"], "tag labels": [str(bad.path), "--labels", "tag"]}
    for why, words in wrong.items():
        process = started(words, dict(os.environ))
        said, problems = process.communicate(timeout=50)
        assert process.returncode == 1 and why in problems and not said
        assert len([line for line in problems.splitlines() if line.startswith("equime: ")]) == 1
