"""One request to the test Hub: find its page, let a fault spoil it, check who asks, answer.

The pages themselves are functions in `hub_reads`, `hub_writes`, `hub_uploads`, `hub_discussions` and `hub_access`;
each is given the `Handler` and the named groups of its pattern.
"""

from __future__ import annotations

import json
import re
import socket
import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, quote, unquote, urlsplit

import hub_access
import hub_discussions
import hub_reads
import hub_uploads
import hub_writes
from hub_faults import Fault
from hub_repo import REPO, HubError, Repo, Route

if TYPE_CHECKING:
    from hub_server import Hub

PAGE = 50
OF_MODELS = ((r"/api/models/", "/api/datasets/"), (rf"/(?={REPO}(/resolve/|\.git/))", "/datasets/"))
"""How paths of models begin, and those of the same pages of data sets."""


class Handler(BaseHTTPRequestHandler):
    """One request: find its route, check access, answer."""

    server_hub: ClassVar[Hub]
    protocol_version = "HTTP/1.1"
    fault: Fault | None = None
    muted = False
    disable_nagle_algorithm = True  # else every answer in two pieces waits 40 ms for the client's acknowledgement
    routes: ClassVar[list[Route]] = [
        *hub_reads.ROUTES,
        *hub_writes.ROUTES,
        *hub_uploads.ROUTES,
        *hub_discussions.ROUTES,
        *hub_access.ROUTES,
    ]

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""

    def do_GET(self) -> None:
        self._dispatch("GET")

    def do_HEAD(self) -> None:
        self._dispatch("HEAD")

    def do_POST(self) -> None:
        self._dispatch("POST")

    def do_PUT(self) -> None:
        self._dispatch("PUT")

    def do_DELETE(self) -> None:
        self._dispatch("DELETE")

    def _dispatch(self, method: str) -> None:
        hub, path = self.server_hub, self._page(urlsplit(self.path).path)
        self.query = {name: values[-1] for name, values in parse_qs(urlsplit(self.path).query).items()}
        self.token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.muted, self.fault = False, None
        try:
            self.body = self._read()
            hub.spend(self.token)
            self.fault = hub.faults.take(method, unquote(path))
            self._answer(method, path)
        except HubError as error:
            self.muted = False
            headers = {"X-Error-Message": error.message} | ({"X-Error-Code": error.code} if error.code else {})
            self.reply(
                json.dumps({"error": error.message} | error.more).encode(), error.status, headers | error.headers
            )
        except ConnectionError:  # the client went away
            self.close_connection = True
        except Exception:
            hub.crashes.append(traceback.format_exc())
            self._hang_up()

    def _page(self, path: str) -> str:
        """The path of the same page of a data set; `kind` says what is asked about."""
        pages = [re.sub(f"^{begins}", instead, path) for begins, instead in OF_MODELS]
        self.kind = "dataset" if pages == [path, path] else "model"
        return next((page for page in pages if page != path), path)

    def _read(self) -> bytes:
        """The request's body."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            length = int(self.headers.get("Content-Length") or 0)
            data = self.rfile.read(length)
            if len(data) < length:
                raise ConnectionResetError("the client went away before its request was whole")
            return data
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _answer(self, method: str, path: str) -> None:
        """Do what was asked, as well as the fault lets it."""
        answer, groups = self._route(method, path)
        when = self.fault.when if self.fault else None
        with self.server_hub.lock:
            self.server_hub.requests[method, answer.__name__] += 1
        if self.fault and when == "before":
            raise self.fault.error()
        self.muted = when in ("after", "lost")
        if when != "drop":
            # Reads are answered side by side: a client may ask for a second file before it has read the first.
            with self.server_hub.lock if method not in ("GET", "HEAD") else nullcontext():
                answer(self, **groups)
        if self.fault and when == "after":
            raise self.fault.error()
        if when in ("drop", "lost"):
            self._hang_up()

    def _route(self, method: str, path: str) -> tuple[Callable[..., None], dict[str, str]]:
        for wanted, pattern, answer in self.routes:
            matched = re.fullmatch(pattern, path)
            if matched and (wanted == method or (wanted == "GET" and method == "HEAD")):
                return answer, {name: unquote(value or "") for name, value in matched.groupdict().items()}
        raise HubError(404, None, f"no such page: {method} {path}")

    def _hang_up(self) -> None:
        self._note(0)
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _note(self, sent: int) -> None:
        self.server_hub.log.append((self.command, urlsplit(self.path).path, self.headers.get("Range"), sent))

    def user(self) -> str | None:
        """Whose token was sent; None without one."""
        hub = self.server_hub
        if self.token and self.token not in hub.users:
            raise HubError(401, None, "Invalid credentials in Authorization header")
        if self.token and hub.expired(self.token):
            raise HubError(401, None, "User Access Token is expired")
        return hub.users.get(self.token)

    def writer(self, what: str = "this page") -> str:
        """The user, who must have sent a token that writes."""
        user = self.user()
        if user is None:
            raise HubError(401, None, "Invalid username or password.")
        if self.token in self.server_hub.readers:
            raise HubError(403, None, f"Forbidden: {what} needs a token with the role 'write'")
        return user

    def may_write(self, repo: Repo, user: str | None) -> bool:
        """Whether a user may write to a repository, with the right token."""
        return user is not None and (self.server_hub.writes(user, repo.owner) or user in repo.writers)

    def find(self, name: str, *, files: bool = False, write: bool = False) -> Repo:
        """A repository that the user may see, and read files of or write to."""
        user, repo = self.user(), self.server_hub.repos.get(name)
        inside = repo is not None and (self.may_write(repo, user) or user in repo.members)
        if repo is None or repo.kind != self.kind or (repo.private and not inside):
            # The Hub does not say which of both it is.
            raise HubError(401 if user is None else 404, "RepoNotFound", "Repository not found")
        accepted = user in repo.requests and repo.requests[user].status == "accepted"
        if files and repo.gated and not inside and not accepted:
            message = f"Access to {repo.kind} {name} is restricted."
            raise HubError(401 if user is None else 403, "GatedRepo", message)
        if write and not self.may_write(repo, self.writer(f"writing to {name}")):
            raise HubError(403, None, f"Forbidden: you have no right to write to {name}")
        return repo

    def json(self) -> dict[str, Any]:
        """The request's body."""
        try:
            found = json.loads(self.body or b"{}")
        except ValueError as error:
            raise HubError(400, None, f"not JSON: {error}") from error
        return found if isinstance(found, dict) else {}

    def reply(self, data: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Send an answer; a HEAD gets its headers only."""
        if self.muted:
            return
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | (headers or {})).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        cut = self.fault is not None and self.fault.when == "cut"
        sent = b"" if self.command == "HEAD" else data[: len(data) // 2] if cut else data
        self._note(len(sent))
        if sent:
            self.wfile.write(sent)
        if cut and self.command != "HEAD":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def reply_json(self, value: Any, headers: dict[str, str] | None = None) -> None:
        """Send JSON."""
        self.reply(json.dumps(value).encode(), headers=headers)

    def reply_page(self, values: Sequence[Any]) -> None:
        """Send a page of a list, with the address of the next one."""
        start = int(self.query.get("cursor", 0))
        headers = {}
        if start + PAGE < len(values):
            query = "&".join(f"{k}={quote(v)}" for k, v in (self.query | {"cursor": str(start + PAGE)}).items())
            headers["Link"] = f'<{self.server_hub.endpoint}{urlsplit(self.path).path}?{query}>; rel="next"'
        self.reply_json(values[start : start + PAGE], headers)

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
