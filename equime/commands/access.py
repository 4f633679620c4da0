"""`equime access list|accept|reject|grant|revoke REPO [USER...]`: who may read a gated repository."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from equime.commands.shared import require_free, say, warn
from equime.one_line import one_line
from equime.options import path_argument

ACTIONS = {
    "accept": "give access to who asked, where the form has what the policy asks for",
    "reject": "refuse who asked, for good",
    "grant": "give access to who has not asked",
    "revoke": "take access back",
}


def access_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime access`."""
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    line = "who asked, when, what the form says, and what it lacks"
    listing = _verb(verbs, "list", line, _list)
    status = ("pending", "accepted", "rejected", "all")
    listing.add_argument("--status", choices=status, default="pending", help="of which requests (default: pending)")
    listing.add_argument("--csv", type=path_argument, metavar="FILE", help="write them as CSV too")
    for name, line in ACTIONS.items():
        verb = _verb(verbs, name, line, partial(_act, name))
        verb.add_argument("users", nargs="+", metavar="USER", help="name on the Hub")
        if name in ("reject", "revoke"):
            verb.add_argument("--reason", metavar="TEXT", help="the person reads it (at most 200 characters)")
        if name == "accept":
            verb.add_argument("--anyway", action="store_true", help="accept forms that lack something too")


def _verb(verbs: Any, name: str, line: str, command: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=line, description=line)
    parser.add_argument("repo", metavar="REPO", help="owner/name on the Hub")
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="machine-readable output")
    parser.set_defaults(command=command)
    return parser


def _list(options: argparse.Namespace) -> int:
    from equime.publishing.repository.access import STATUSES, listed, policy_of, to_csv
    from equime.publishing.repository.client import Remote

    require_free("--csv", options.csv, (".csv",), ())
    remote = Remote(options.repo)
    found = listed(remote, STATUSES if options.status == "all" else [options.status])
    policy = policy_of(remote)
    if options.csv is not None:
        to_csv(found, policy, options.csv)
        warn(f"wrote {options.csv}: it holds personal data, keep it to yourself")
    counts = Counter(request.status for request in found)
    whole = sum(not request.checked(policy).problems for request in found)
    held = ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status])
    text = [*(_shown(request, policy) for request in found), f"{held or 'no request'}; {whole} complete"]
    say(options, "\n".join(text), [request.to_dict(policy) for request in found])
    return 0


def _shown(request: Any, policy: Any) -> str:
    """A request for people; strangers wrote what is in it."""
    return "\n".join(map(one_line, _lines(request, policy)))


def _lines(request: Any, policy: Any) -> Iterator[str]:
    checked = request.checked(policy)
    who = ", ".join(filter(None, [request.fullname, request.email]))
    yield f"{request.user}{f' ({who})' if who else ''}: {request.status}, asked {request.asked:%Y-%m-%d %H:%M}"
    yield from (f"  {label}: {answer}" for label, answer in request.fields.items())
    yield f"  check: {checked}"
    yield from (f"  note: {note}" for note in checked.notes)


def _act(action: Any, options: argparse.Namespace) -> int:
    from equime.publishing.repository.access import handle
    from equime.publishing.repository.client import Remote

    reason, anyway = getattr(options, "reason", None), getattr(options, "anyway", False)
    outcomes = handle(Remote(options.repo), action, options.users, reason=reason, anyway=anyway)
    for outcome in outcomes:
        if not outcome.done:
            warn(f"{outcome.user}: {outcome.said}")
    text = "\n".join(one_line(f"{each.user}: {each.said}") for each in outcomes if each.done)
    if text or options.json:
        say(options, text, [each._asdict() for each in outcomes])
    return 0 if all(outcome.done for outcome in outcomes) else 1
