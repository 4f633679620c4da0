"""What to ask a server again, and when: told from the errors that its client raises.

lost(error)                 # True: 408, 429, 5xx, a connection that broke
again_after(error, 0)       # seconds: what `Retry-After` says, else 1, 2, 4, ...

Only the names and the answers of errors are looked at, since the Hub's client changed its HTTP library twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

BUSY = (408, 425, 429, 500, 502, 503, 504)
"""Statuses after which the same request may succeed."""
BROKEN = {"TransportError", "RequestException", "ConnectionError", "TimeoutError"}
"""Errors, by their name or that of a class they derive from, of connections that broke: of httpx, requests, Python."""
REFUSED = {"OfflineModeIsEnabled", "InvalidSchema", "InvalidURL", "InvalidHeader", "UnsupportedProtocol"}
"""Errors of those kinds that nothing mends but the user."""
_IN_WORDS = re.compile(r"HTTP status (?:client|server) error \((\d{3}) ")
"""How the client's Xet library names a status, whose errors hold no response."""
LONGEST = 600.0
"""Seconds to wait at most, whatever the server says."""


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error, or one that it came from, stands for."""
    for each in _chain(error):
        status = getattr(getattr(each, "response", None), "status_code", None)
        if status is None and (said := _IN_WORDS.search(str(each))):
            status = said[1]
        if status is not None:
            return int(status)
    return None


def lost(error: BaseException) -> bool:
    """Whether asking the same again may help."""
    status = status_of(error)
    if status is not None:
        return status in BUSY
    for each in _chain(error):
        names = {kind.__name__ for kind in type(each).__mro__}
        if names & REFUSED:
            return False
        if names & BROKEN:
            return True
    return False


def root(error: BaseException) -> BaseException:
    """The error of the request itself, of those that an error came from: the first that tells what was answered."""
    chain = list(_chain(error))
    return next((each for each in chain if getattr(each, "response", None) is not None), chain[-1])


def again_after(error: BaseException, attempt: int) -> float:
    """Seconds to wait before asking again.

    Args:
        error: For which `lost` is true.
        attempt: How often it was asked again already.

    Returns:
        What the server says (`Retry-After`, or `RateLimit` with its `t=`), else 1, 2, 4, ... up to 32.
    """
    for each in _chain(error):
        headers = getattr(getattr(each, "response", None), "headers", None) or {}
        said = re.fullmatch(r"\s*(\d+)\s*", headers.get("Retry-After") or "")
        said = said or re.search(r"\bt=(\d+)", headers.get("RateLimit") or "")
        if said:
            return min(float(said[1]), LONGEST)
    return float(2 ** min(attempt, 5))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
