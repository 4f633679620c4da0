"""A Hub in standard-library Python, speaking the real protocol to the real client: `with Hub() as hub`.

    hub.users = {"hf_ada": "ada", "hf_bob": "bob"}          # token -> name
    hub.orgs = {"org": {"ada"}}                             # who writes in an organization
    repo = hub.create("org/set", {"README.md": b"..."}, gated="manual", members={"bob"})
    hub.fault("POST", "/commit/", status=503, headers={"Retry-After": "0"}, when="after")
    hub.requests["POST", "commit"]                          # how many were made

It holds repositories of data sets and models in memory (`hub_repo.Repo`) and answers what `huggingface_hub` and
`datasets` ask: reading is in `hub_reads`, writing in `hub_writes`, large files in `hub_uploads`, pull requests in
`hub_discussions`, access requests in `hub_access`, who may do what in `hub_handler`. Large files (Parquet and the
like) are redirected to another host name of this machine, as the Hub's are. `Handler.routes` maps a method and a
pattern to a function.

A client finds it by HF_ENDPOINT, which it reads when it is imported: run clients in a process of their own, with
`Hub.environment()`.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from hub_faults import Fault, Faults, When
from hub_handler import Handler
from hub_repo import HubError, Repo
from hub_uploads import Transfer

__all__ = ["Handler", "Hub", "HubError", "Repo"]


class Server(ThreadingHTTPServer):
    """Clients that were killed leave connections behind: no news."""

    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(*_)


class Hub:
    """The server.

    Attributes:
        repos: Name -> repository.
        users: Token -> name. A token may write what its user may, unless it is one of `readers`.
        readers: Tokens that only read.
        fine_grained: Tokens whose role reads "fineGrained"; they write, too.
        orgs: Organization -> names of those who write in it.
        people: Names of users without a token.
        public_files: What anybody can read of a gated repository.
        part_size: Files larger than this many bytes are uploaded in parts of it.
        log: (method, path, range, bytes sent) of each request.
        requests: (method, route) -> how often, also of those that went wrong; routes are the functions' names.
        uploads: (SHA-256, bytes) of each large file, or part of one, that was received.
        crashes: Tracebacks of this server's own mistakes; leaving the `with` block raises them.
    """

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.users: dict[str, str] = {}
        self.readers: set[str] = set()
        self.fine_grained: set[str] = set()
        self.orgs: dict[str, set[str]] = {}
        self.people: set[str] = set()
        self.public_files = {"README.md"}
        self.part_size = 5 << 20
        self.log: list[tuple[str, str, str | None, int]] = []
        self.requests: Counter[tuple[str, str]] = Counter()
        self.uploads: list[tuple[str, int]] = []
        self.crashes: list[str] = []
        self.faults = Faults()
        self.transfers: dict[str, Transfer] = {}
        self.lock = threading.RLock()
        self._left: dict[str, int] = {}
        hub = self

        class Bound(Handler):
            server_hub = hub

        self.server = Server(("127.0.0.1", 0), Bound)
        self.port = self.server.server_address[1]

    def __enter__(self) -> Hub:
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
        assert not self.crashes, self.crashes[0]

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

    def fault(
        self,
        method: str,
        pattern: str,
        times: int = 1,
        status: int = 503,
        headers: dict[str, str] | None = None,
        when: When = "before",
        skip: int = 0,
    ) -> Fault:
        """Let requests go wrong; see `hub_faults.Fault`."""
        return self.faults.add(Fault(method, pattern, times, skip, status, headers or {}, when))

    def expire(self, token: str) -> None:
        """From now on a token is refused."""
        self.expire_after(token, requests=0)

    def expire_after(self, token: str, requests: int) -> None:
        """A token is good for so many more requests."""
        self._left[token] = requests

    def spend(self, token: str) -> None:
        """Count a request against a token's life."""
        with self.lock:
            if token in self._left:
                self._left[token] -= 1

    def expired(self, token: str) -> bool:
        """Whether a token's life is over."""
        return self._left.get(token, 0) < 0

    def writes(self, user: str | None, owner: str) -> bool:
        """Whether a user may make repositories of this owner."""
        return user is not None and (user == owner or user in self.orgs.get(owner, ()))

    @contextmanager
    def counted(self) -> Iterator[list[tuple[str, str, str | None, int]]]:
        """The requests made in a `with` block."""
        before, during = len(self.log), list[tuple[str, str, str | None, int]]()
        yield during
        during += self.log[before:]
