"""What goes wrong on a network, on demand: refusals, lost answers, dropped connections, half a file."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import Literal

from hub_repo import HubError

When = Literal["before", "after", "drop", "lost", "cut"]
SAID = {
    401: "Invalid credentials in Authorization header",
    403: "Forbidden",
    408: "Request Timeout",
    412: "A commit has happened since. Please refresh and try again.",
    429: "Too Many Requests",
    500: "Internal Error - We're working hard to fix this as soon as possible!",
    503: "Service Unavailable",
}


@dataclass
class Fault:
    """Requests that go wrong.

    Attributes:
        method: "GET", "POST", ...; "*" is any.
        pattern: Is looked for in the request's path (unquoted, without the host and the query).
        times: How many requests; those that it met so far are in `met`.
        skip: How many matching requests are well before.
        status: What "before" and "after" answer. A 200 "before" claims to have done what was not done.
        headers: Of that answer, as `Retry-After`.
        when: "before" refuses without doing it; "after" does it and answers the error; "drop" closes the connection
            without doing it; "lost" does it and closes the connection; "cut" sends half of the body and closes.
    """

    method: str
    pattern: str
    times: int = 1
    skip: int = 0
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    when: When = "before"
    met: int = 0

    def matches(self, method: str, path: str) -> bool:
        return self.method in ("*", method) and re.search(self.pattern, path) is not None

    def error(self) -> HubError:
        return HubError(self.status, None, SAID.get(self.status, "Error"), self.headers)


class Faults:
    """The faults that are yet to come."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> Fault:
        with self._lock:
            self.waiting.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self.waiting.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The fault of a request, which is then one request nearer to its end."""
        with self._lock:
            for fault in self.waiting:
                if fault.met >= fault.times or not fault.matches(method, path):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.met += 1
                return fault
        return None
