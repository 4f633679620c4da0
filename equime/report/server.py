"""The page and all clips of a data set, served to this machine alone.

    with Viewer(open_media("ws")) as viewer:
        viewer.show(page, gallery("ws", inline=False))
        print(viewer.address)              # http://127.0.0.1:40123/
        viewer.serve_forever()

Why so strict: the page shows faces. The server listens on the loopback address only, answers nobody who asked for
another host's name (a site that had its name point here), and tells browsers to let no other site have its answers.
Three things can be asked for: the page, the data of the clips, and a clip by its id, which is looked up in the data
set's own table: no path is ever made of what is asked.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from equime import video
from equime.errors import EquimeError
from equime.media import Media
from equime.one_line import one_line
from equime.report.gallery import packed

HOST: Final = "127.0.0.1"
IDLE_S: Final = 60.0
"""A connection that says nothing for so long is closed."""
HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of every answer."""
_CLIP: Final = re.compile(r"/clips/([^/?#]{1,1000})\.mp4")
_RANGE: Final = re.compile(r"bytes=([0-9]{0,4000})-([0-9]{0,4000})")
_MP4, _HTML, _PLAIN = "video/mp4", "text/html; charset=utf-8", "text/plain; charset=utf-8"


class Viewer(ThreadingHTTPServer):
    """The server; it listens once it is made, and answers in `serve_forever`.

    Args:
        media: The clips' files.
        port: 0 takes a free one.

    Raises:
        EquimeError: The port is taken, not allowed, or none.
    """

    daemon_threads = True  # a browser keeps connections open: nobody waits for them at the end
    request_queue_size = 64

    def __init__(self, media: Media, port: int = 0) -> None:
        self.media = media
        self.texts: dict[str, tuple[bytes, str]] = {}
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            why = error.strerror if isinstance(error, OSError) else "it should be 0 to 65535"
            raise EquimeError(
                f"cannot listen on port {port} of {HOST}: {why}; name another, or leave it out"
            ) from error

    def show(self, page: str, clips: Mapping[str, Any]) -> None:
        """Give out a page, and what `gallery(where, inline=False)` gave."""
        data = json.dumps(packed(clips), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        self.texts = {"/": (page.encode(), _HTML), "/clips.json": (data.encode(), "application/json")}

    def server_bind(self) -> None:
        """Take the port, without asking a name server what this machine is called."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, int(self.server_address[1])

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{HOST}:{self.server_port}/"

    @property
    def names(self) -> set[str]:
        """What a browser on this machine calls it in `Host`."""
        bare = {HOST, "localhost"} if self.server_port == 80 else set()
        return bare | {f"{name}:{self.server_port}" for name in (HOST, "localhost")}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """As the base class does, but clients that go away in the middle are no news."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection: any number of requests, one after the other."""

    server: Viewer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "EquiME", ""
    timeout = IDLE_S
    disable_nagle_algorithm = True
    error_message_format, error_content_type = "%(message)s\n", _PLAIN

    def do_GET(self) -> None:
        try:
            self._require_ours()
            found = self.server.texts.get(self.path)
            if found:
                self._send(HTTPStatus.OK, *found)
            else:
                self._send_clip(self._clip())
        except _RefusedError as refused:
            self._send(refused.status, f"{one_line(refused)}\n".encode(), _PLAIN)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self.close_connection = True  # its body would be read as the next request
        self._send(HTTPStatus.METHOD_NOT_ALLOWED, b"only GET and HEAD\n", _PLAIN, {"Allow": "GET, HEAD"})

    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_POST

    def _require_ours(self) -> None:
        """Refuse who asks for another host's name, and what no page of ours sends."""
        if self.headers.get_all("Host", []) not in [[name] for name in self.server.names]:
            raise _RefusedError(HTTPStatus.FORBIDDEN, f"this is {self.server.address} and nothing else")
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "expected a request without a body")

    def _clip(self) -> bytes:
        matched = _CLIP.fullmatch(self.path)
        clip_id = unquote(matched[1]) if matched else None
        if clip_id is None or clip_id not in self.server.media:
            raise _RefusedError(HTTPStatus.NOT_FOUND, "not here")
        try:
            data = self.server.media.read(clip_id)
            video.probe(data)
        except EquimeError as error:
            raise _RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
        return data

    def _send_clip(self, data: bytes) -> None:
        headers = {"Accept-Ranges": "bytes"}
        asked = _asked(self.headers.get("Range", "")) if self.command == "GET" else None
        if asked is None or "If-Range" in self.headers:  # no answer had a validator that this could be compared with
            self._send(HTTPStatus.OK, data, _MP4, headers)
            return
        start, stop = asked.within(len(data))
        if start >= stop:
            headers["Content-Range"] = f"bytes */{len(data)}"
            self._send(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"no such bytes\n", _PLAIN, headers)
            return
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        self._send(HTTPStatus.PARTIAL_CONTENT, memoryview(data)[start:stop], _MP4, headers)

    def _send(
        self, status: HTTPStatus, data: bytes | memoryview, kind: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def end_headers(self) -> None:
        """End them with those of every answer, the base class's own ones too."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: who looks at which clip is nobody's business."""


class _Asked(NamedTuple):
    """A range of bytes: from `first` to `last`, or the last `last` ones; None where nothing is said."""

    first: int | None
    last: int | None

    def within(self, size: int) -> tuple[int, int]:
        """Its first byte, and the one after its last, of a file of `size` bytes."""
        if self.first is None:
            return max(size - (self.last or 0), 0), size
        return self.first, size if self.last is None else min(self.last + 1, size)


def _asked(header: str) -> _Asked | None:
    """The one range of a header `Range`; None of none, several, or what is no range: the whole is then given.

    RFC 9110, 14.1.2 and 14.2.
    """
    matched = _RANGE.fullmatch(header.strip())
    if not matched or not any(matched.groups()):
        return None
    first, last = (int(digits) if digits else None for digits in matched.groups())
    return None if first is not None and last is not None and last < first else _Asked(first, last)


class _RefusedError(Exception):
    """What is not given, and why, in one line."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status
