"""Who asks for access to a gated data set, and the answers: accepted, rejected, granted unasked, taken back.

listed(remote, ["pending"])                           # [Request("ada", "Ada", "ada@uni.edu", "pending", ...)]
handle(remote, "accept", ["ada", "bob"])              # [Outcome("ada", True, "accepted"), ...]

equime access list ORG/equime --status pending --csv requests.csv
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from huggingface_hub.hf_api import AccessRequest

from equime.errors import EquimeError
from equime.publishing.about import Policy
from equime.publishing.repository.asking import MAIN
from equime.publishing.repository.client import Remote, Status, Who, who_of
from equime.publishing.repository.form import Checked, check
from equime.table import write_atomically, writing

STATUSES: tuple[Status, ...] = ("pending", "accepted", "rejected")
Action = Literal["accept", "reject", "grant", "revoke"]

MAX_REASON = 200
"""Characters of a reason that the Hub shows to who was rejected."""
_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class Request:
    """One person's request for access.

    Attributes:
        user: Name on the Hub; of who does not share it the request's id.
        fullname: As the Hub gives it.
        email: None where it is not shared, and of who was granted access without asking.
        status: "pending", "accepted" or "rejected".
        asked: When.
        fields: The form: label -> answer. Empty of who was granted access without asking.
        who: How the Hub is told who is meant.
    """

    user: str
    fullname: str | None
    email: str | None
    status: Status
    asked: datetime
    fields: Mapping[str, Any] = field(default_factory=dict)
    who: Who = field(default_factory=dict)

    @classmethod
    def of(cls, found: AccessRequest) -> Request:
        """From the client's own."""
        who = who_of(found)
        (user,) = who.values()
        return cls(user, found.fullname, found.email, found.status, found.timestamp, found.fields or {}, who)

    def to_dict(self, policy: Policy) -> dict[str, Any]:
        """For JSON and CSV, with the check."""
        checked = self.checked(policy)
        about = {"user": self.user, "fullname": self.fullname, "email": self.email, "status": self.status}
        about |= {"asked": self.asked.isoformat()}
        return about | {"fields": dict(self.fields), "problems": checked.problems, "notes": checked.notes}

    def checked(self, policy: Policy) -> Checked:
        """The form against the policy; who was granted access filled in none, and that is no fault of theirs."""
        if self.status == "accepted" and not self.fields:
            return Checked(notes=("granted without a form",))
        return check(self.fields, policy, self.email)


def to_csv(requests: Sequence[Request], policy: Policy, path: Path) -> None:
    """Write requests as CSV: a row each, a column for each field of the form.

    A cell that a spreadsheet would run as a formula gets an apostrophe in front: strangers wrote it. Nobody but the
    user may read the file: it holds personal data.

    Raises:
        EquimeError: The file cannot be written.
    """
    labels = list(dict.fromkeys([*policy.form, *(label for request in requests for label in request.fields)]))
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["user", "fullname", "email", "status", "asked", *map(_inert, labels), "check", "notes"])
    for request in requests:
        checked = request.checked(policy)
        cells = [request.user, request.fullname, request.email, request.status, request.asked.isoformat()]
        cells += [request.fields.get(label) for label in labels]
        rows.writerow([_inert(cell) for cell in [*cells, str(checked), "; ".join(checked.notes)]])
    with writing(path):
        write_atomically(path, text.getvalue().encode())
        path.chmod(0o600)


def _inert(cell: object) -> str:
    text = "" if cell is None else str(cell)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def listed(remote: Remote, statuses: Iterable[Status] = STATUSES) -> list[Request]:
    """The requests of a repository by status, the oldest first.

    Raises:
        EquimeError: No such repository, one that is not gated, or a token that may not see them.
    """
    _require_gated(remote)
    found = [Request.of(each) for status in statuses for each in remote.requests(status)]
    return sorted(found, key=lambda request: (STATUSES.index(request.status), request.asked, request.user))


def _require_gated(remote: Remote) -> None:
    state = remote.state()
    if state is not None and not state.gated:
        raise EquimeError(
            f"{remote.repo} is not gated, so that nobody asks for access: gate it at {remote.url}/settings (a version "
            "that `equime publish` sends does)"
        )


class Outcome(NamedTuple):
    """What came of one person: whether it is now as was asked, and a line that says so."""

    user: str
    done: bool
    said: str


def policy_of(remote: Remote) -> Policy:
    """The policy that the newest version was published under; the package's own where none says.

    Raises:
        EquimeError: No such repository, or no access.
    """
    found = remote.manifest(MAIN)
    return found.about.policy if found else Policy()


def handle(
    remote: Remote, action: Action, users: Sequence[str], *, reason: str | None = None, anyway: bool = False
) -> list[Outcome]:
    """Accept or reject requests, grant access to who has not asked, or take it back; one by one.

    Doing it again does nothing: who has access already is left alone. `accept` refuses a form that lacks what the
    policy asks for. `revoke` puts a request back among the pending; with a reason it is rejected, and the person
    reads the reason.

    Args:
        remote: The repository, with a token that can write.
        action: What to do.
        users: Names on the Hub.
        reason: Shown to who is rejected, at most 200 characters.
        anyway: Accept forms that lack something too.

    Raises:
        EquimeError: The requests cannot be listed, or a reason that the Hub does not take.
    """
    require_reason(reason)
    known = {request.user.casefold(): request for request in listed(remote)}
    policy = policy_of(remote)
    outcomes = []
    for user in dict.fromkeys(users):
        try:
            said = _handle(remote, action, user, known.get(user.casefold()), policy, reason, anyway)
            outcomes.append(Outcome(user, True, said))
        except EquimeError as error:
            outcomes.append(Outcome(user, False, str(error)))
    return outcomes


def _handle(
    remote: Remote, action: Action, user: str, request: Request | None, policy: Policy, reason: str | None, anyway: bool
) -> str:
    if not _NAME.fullmatch(user):
        raise EquimeError("expected a user's name on the Hub")
    status = request.status if request else None
    if action in ("accept", "grant") and status == "accepted":
        return "has access already"
    if action == "grant":
        remote.grant(user)
        return "access granted"
    if request is None and action == "accept":
        raise EquimeError(f"has not asked for access: `equime access grant {remote.repo} {user}` gives it")
    if request is None:
        raise EquimeError(f"has not asked for access, so that there is nothing to {action}: see `equime access list`")
    if action == "accept":
        problems = check(request.fields, policy, request.email).problems
        if problems and not anyway:
            raise EquimeError(f"the form lacks what the policy asks for ({'; '.join(problems)}): --anyway accepts it")
        remote.accept(request.who)
        return "accepted"
    if action == "reject" or reason:
        if status == "rejected":
            return "rejected already"
        remote.reject(request.who, reason)
        return "rejected"
    if status != "accepted":
        return f"has no access ({status})"
    remote.revoke(request.who)
    return "access taken back: the request is pending again"


def require_reason(reason: str | None) -> str | None:
    """A reason that the Hub takes.

    Raises:
        EquimeError: It is too long, or blank.
    """
    if reason is not None and not 0 < len(reason.strip()) <= MAX_REASON:
        raise EquimeError(f"expected a reason of 1 to {MAX_REASON} characters, got {len(reason)}: shorten --reason")
    return reason
