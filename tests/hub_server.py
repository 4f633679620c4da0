"""A Hub in one file of standard-library Python, speaking the real protocol to the real client: `with Hub() as hub`.

It holds data set repositories in memory, as commits (path -> bytes) and refs (name -> commit), and answers what
`huggingface_hub` and `datasets` ask when they read: information, trees, paths, files with ranges. Parquet files are
LFS files, redirected to another host name of this machine, as the Hub's are. Gated and private repositories answer
401 or 403 with the Hub's error codes. `routes` maps a method and a pattern to a function, for more of the protocol.

A client finds it by HF_ENDPOINT, which it reads when it is imported: run clients in a process of their own, with
`Hub.environment()`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote, unquote, urlsplit

DATE = "2026-01-01T00:00:00.000Z"
PAGE = 50
COMMIT = re.compile(r"[0-9a-f]{40}")


class HubError(Exception):
    """An answer that is an error, with the Hub's headers."""

    def __init__(self, status: int, code: str | None, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass
class Repo:
    """A data set repository.

    Attributes:
        name: "owner/name".
        private: Only `members` know that it is there.
        gated: False, "auto" or "manual": only `members` can read its files.
        members: Names of users with access.
        commits: Commit -> path -> bytes, in order of time.
        refs: Branch or tag -> commit.
    """

    name: str
    private: bool = False
    gated: bool | str = False
    members: set[str] = field(default_factory=set)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Make `files` the whole content of a branch; returns the commit."""
        hasher = hashlib.sha1(f"{len(self.commits)} {branch}".encode())
        for path in sorted(files):
            hasher.update(path.encode() + hashlib.sha256(files[path]).digest())
        sha = hasher.hexdigest()
        self.commits[sha] = dict(files)
        self.refs[branch] = sha
        return sha

    def resolve(self, revision: str) -> str:
        """The commit of a branch, tag or commit."""
        sha = self.refs.get(revision.removeprefix("refs/heads/"), revision)
        if sha not in self.commits:
            raise HubError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return sha

    def entries(self, sha: str, folder: str, recursive: bool) -> list[dict[str, Any]]:
        """Files and folders in a folder."""
        found: dict[str, dict[str, Any]] = {}
        start = f"{folder}/" if folder else ""
        for path, data in sorted(self.commits[sha].items()):
            if not path.startswith(start):
                continue
            parts = path[len(start) :].split("/")
            for depth in range(1, len(parts) if recursive else min(len(parts), 2)):
                name = start + "/".join(parts[:depth])
                found[name] = {"type": "directory", "oid": _sha1(name.encode()), "size": 0, "path": name}
            if recursive or len(parts) == 1:
                found[path] = file_entry(path, data)
        if not found and folder:
            raise HubError(404, "EntryNotFound", f"{folder} does not exist on {sha}")
        return list(found.values())


def is_lfs(path: str) -> bool:
    """Whether the Hub keeps a file outside git."""
    return path.endswith((".parquet", ".mp4", ".arrow"))


def file_entry(path: str, data: bytes) -> dict[str, Any]:
    """A file as trees and path lists give it."""
    entry: dict[str, Any] = {"type": "file", "oid": _sha1(data), "size": len(data), "path": path}
    if is_lfs(path):
        entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    return entry


def _sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Hub:
    """The server. `users` maps a token to a name; `log` holds (method, path, range, bytes sent) of each request."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.users: dict[str, str] = {}
        self.log: list[tuple[str, str, str | None, int]] = []
        hub = self

        class Bound(Handler):
            server_hub = hub

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]

    def __enter__(self) -> Hub:
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT is to be."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def storage(self) -> str:
        """The other host, where LFS files lie."""
        return f"http://localhost:{self.port}"

    def environment(self, home: Path, token: str | None = None, **more: str) -> dict[str, str]:
        """The variables for a client's process: this endpoint, an empty home, no Xet."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING", "EQUIME"))}
        kept |= {"HF_ENDPOINT": self.endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(home)}
        kept |= {"HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
        return kept | ({"HF_TOKEN": token} if token else {}) | more

    def create(self, name: str, files: dict[str, bytes] | Path, **settings: Any) -> Repo:
        """A repository with one commit on `main`, of a folder or of paths and bytes."""
        if isinstance(files, Path):
            files = {p.relative_to(files).as_posix(): p.read_bytes() for p in files.rglob("*") if p.is_file()}
        self.repos[name] = repo = Repo(name, **settings)
        repo.commit(files)
        return repo

    @contextmanager
    def counted(self) -> Iterator[list[tuple[str, str, str | None, int]]]:
        """The requests made in a `with` block."""
        before, during = len(self.log), []
        yield during
        during += self.log[before:]


class Handler(BaseHTTPRequestHandler):
    """One request: find its route, check access, answer."""

    server_hub: ClassVar[Hub]
    protocol_version = "HTTP/1.1"
    repo_path = r"(?P<repo>[\w.-]+/[\w.-]+)"
    routes: ClassVar[list[tuple[str, str, Callable[..., None]]]] = []

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""

    def do_GET(self) -> None:
        self._dispatch("GET")

    def do_HEAD(self) -> None:
        self._dispatch("HEAD")

    def do_POST(self) -> None:
        self._dispatch("POST")

    def _dispatch(self, method: str) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        split = urlsplit(self.path)
        self.query = {name: values[-1] for name, values in parse_qs(split.query).items()}
        try:
            for wanted, pattern, answer in self.routes:
                matched = re.fullmatch(pattern, split.path)
                if matched and (wanted == method or (wanted == "GET" and method == "HEAD")):
                    answer(self, **{k: unquote(v or "") for k, v in matched.groupdict().items()})
                    return
            raise HubError(404, None, f"no such page: {method} {split.path}")
        except HubError as error:
            headers = {"X-Error-Message": error.message} | ({"X-Error-Code": error.code} if error.code else {})
            self.reply(json.dumps({"error": error.message}).encode(), error.status, headers)

    def user(self) -> str | None:
        """Whose token was sent; None without one."""
        sent = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if sent and sent not in self.server_hub.users:
            raise HubError(401, None, "Invalid credentials in Authorization header")
        return self.server_hub.users.get(sent)

    def find(self, name: str, files: bool = False) -> Repo:
        """A repository that the user may see, and read files of."""
        user, repo = self.user(), self.server_hub.repos.get(name)
        if repo is None or (repo.private and user not in repo.members):
            # The Hub does not say which of both it is.
            raise HubError(401 if user is None else 404, "RepoNotFound", "Repository not found")
        if files and repo.gated and user not in repo.members:
            message = f"Access to dataset {name} is restricted."
            raise HubError(401 if user is None else 403, "GatedRepo", message)
        return repo

    def reply(self, data: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Send an answer; a HEAD gets its headers only."""
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | (headers or {})).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        sent = 0 if self.command == "HEAD" else len(data)
        self.server_hub.log.append((self.command, urlsplit(self.path).path, self.headers.get("Range"), sent))
        if sent:
            self.wfile.write(data)

    def reply_json(self, value: Any, headers: dict[str, str] | None = None) -> None:
        """Send JSON."""
        self.reply(json.dumps(value).encode(), headers=headers)

    def reply_file(self, data: bytes, headers: dict[str, str]) -> None:
        """Send a file, or the range of it that was asked for."""
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"} | headers
        if not asked or asked[0] == "bytes=-":
            self.reply(data, headers=headers | {"Content-Length": str(len(data))})
            return
        first = int(asked[1]) if asked[1] else max(len(data) - int(asked[2]), 0)
        last = min(int(asked[2]) if asked[1] and asked[2] else len(data) - 1, len(data) - 1)
        if first > last:
            raise HubError(416, None, "Range not satisfiable")
        headers |= {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
        self.reply(data[first : last + 1], 206, headers)

    def whoami(self) -> None:
        """GET /api/whoami-v2."""
        user = self.user()
        if user is None:
            raise HubError(401, None, "Invalid username or password.")
        self.reply_json({"type": "user", "name": user, "orgs": [], "auth": {"accessToken": {"role": "write"}}})

    def info(self, repo: str, rev: str) -> None:
        """GET /api/datasets/{id}[/revision/{rev}]."""
        found = self.find(repo)
        sha = found.resolve(rev or "main")
        facts = {"_id": _sha1(repo.encode())[:24], "id": repo, "author": repo.split("/")[0], "sha": sha}
        facts |= {"private": found.private, "gated": found.gated, "disabled": False, "tags": [], "downloads": 0}
        facts |= {"lastModified": DATE, "createdAt": DATE, "likes": 0}
        self.reply_json(facts | {"siblings": [{"rfilename": path} for path in sorted(found.commits[sha])]})

    def tree(self, repo: str, rev: str, path: str) -> None:
        """GET /api/datasets/{id}/tree/{rev}/{path}, in pages."""
        found = self.find(repo)
        entries = found.entries(
            found.resolve(rev), path.strip("/"), self.query.get("recursive") in ("True", "true", "1")
        )
        start = int(self.query.get("cursor", 0))
        headers = {}
        if start + PAGE < len(entries):
            query = "&".join(f"{k}={quote(v)}" for k, v in (self.query | {"cursor": str(start + PAGE)}).items())
            headers["Link"] = f'<{self.server_hub.endpoint}{urlsplit(self.path).path}?{query}>; rel="next"'
        self.reply_json(entries[start : start + PAGE], headers)

    def paths_info(self, repo: str, rev: str) -> None:
        """POST /api/datasets/{id}/paths-info/{rev}: those of the paths that are there."""
        found = self.find(repo)
        sha = found.resolve(rev)
        if self.headers.get("Content-Type", "").startswith("application/json"):
            asked = json.loads(self.body)["paths"]
        else:
            asked = parse_qs(self.body.decode()).get("paths", [])
        files = found.commits[sha]
        entries: list[dict[str, Any]] = []
        for path in asked:
            if path in files:
                entries.append(file_entry(path, files[path]))
            elif any(name.startswith(f"{path}/") for name in files):
                entries.append({"type": "directory", "oid": _sha1(path.encode()), "size": 0, "path": path})
        self.reply_json(entries)

    def refs(self, repo: str) -> None:
        """GET /api/datasets/{id}/refs."""
        found = self.find(repo)
        branches = [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": s} for n, s in found.refs.items()]
        self.reply_json({"branches": branches, "tags": [], "converts": []})

    def auth_check(self, repo: str) -> None:
        """GET /api/datasets/{id}/auth-check."""
        self.find(repo, files=True)
        self.reply(b"")

    def file(self, repo: str, rev: str, path: str) -> None:
        """GET /datasets/{id}/resolve/{rev}/{path}."""
        found = self.find(repo, files=True)
        sha = found.resolve(rev)
        if path not in found.commits[sha]:
            raise HubError(404, "EntryNotFound", f"{path} does not exist on {rev}")
        data = found.commits[sha][path]
        if not is_lfs(path):
            self.reply_file(data, {"ETag": f'"{_sha1(data)}"', "X-Repo-Commit": sha})
            return
        oid = hashlib.sha256(data).hexdigest()
        headers = {"X-Repo-Commit": sha, "X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(len(data))}
        headers |= {"ETag": f'"{oid}"', "Location": f"{self.server_hub.storage}/lfs/{repo}/{oid}"}
        self.reply(b"", 302, headers)

    def storage(self, repo: str, oid: str) -> None:
        """GET /lfs/{id}/{oid}: the redirect's goal. A token must not travel to another host."""
        if "Authorization" in self.headers:
            raise HubError(400, None, "a token was sent to the storage host")
        for files in self.server_hub.repos[repo].commits.values():
            for path, data in files.items():
                if is_lfs(path) and hashlib.sha256(data).hexdigest() == oid:
                    self.reply_file(data, {"ETag": f'"{oid}"'})
                    return
        raise HubError(404, None, "no such object")


_API = rf"/api/datasets/{Handler.repo_path}"
Handler.routes = [
    ("GET", r"/api/whoami-v2", Handler.whoami),
    ("GET", rf"{_API}(?:/revision/(?P<rev>.+))?", Handler.info),
    ("GET", rf"{_API}/tree/(?P<rev>[^/]+)(?P<path>/.*)?", Handler.tree),
    ("POST", rf"{_API}/paths-info/(?P<rev>[^/]+)", Handler.paths_info),
    ("GET", rf"{_API}/refs", Handler.refs),
    ("GET", rf"{_API}/auth-check", Handler.auth_check),
    ("GET", rf"/datasets/{Handler.repo_path}/resolve/(?P<rev>[^/]+)/(?P<path>.+)", Handler.file),
    ("GET", rf"/lfs/{Handler.repo_path}/(?P<oid>[0-9a-f]{{64}})", Handler.storage),
]
