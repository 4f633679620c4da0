"""Who asks for access to a gated data set, and what the form says against the policy.

check({"Institution": "", "Intended use": "spotting", ...}, Policy(), "ada@gmail.com")
# Checked(problems=("'Institution' is blank",), notes=("ada@gmail.com is a free mail address: ask for one at ...",))

    equime access list ORG/equime --status pending --csv requests.csv

The check reads the form; it cannot know whether what it says is true. Accepting stays a person's decision.
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

from equime.errors import EquimeError
from equime.publishing.about import Policy
from equime.publishing.repository.client import Remote
from equime.table import write_atomically, writing

Status = Literal["pending", "accepted", "rejected"]
STATUSES: tuple[Status, ...] = ("pending", "accepted", "rejected")
Action = Literal["accept", "reject", "grant", "revoke"]

MAX_REASON = 200
"""Characters of a reason that the Hub shows to who was rejected."""
_NOTHING = re.compile(r"(?i)\W*(none|n/?a|no|nil|nothing|null|not applicable|unknown|test|x+|-*|\.*|\?*|\d*)\W*")
_ALONE = re.compile(
    r"(?i)\W*(independent|individual|self|self[- ]employed|freelance\w*|private( person)?|personal|me|myself|"
    r"unaffiliated|hobby\w*|home)( researcher| use| developer| scholar)?\W*"
)
_COMMERCIAL = re.compile(
    r"(?i)(?<!non-)(?<!non )(?<!non)\b(commercial\w*|product\w*|startup|start-up|customers?|sell\w*)"
)
_FREE_MAIL = re.compile(
    r"(?i).*@((gmail|googlemail|hotmail|outlook|live|yahoo|ymail|aol|icloud|me|gmx|mail|proton(mail)?|zoho|tutanota|"
    r"yandex|qq|163|126|sina|foxmail|naver|daum|web)\.(com|net|org|de|fr|co\.\w+|me|ru|cn)|pm\.me|tuta\.\w+)"
)


class Checked(NamedTuple):
    """What a form lacks by the policy, and what a person should look at; both one line each."""

    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """In one cell."""
        return "; ".join(self.problems) or "complete"


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
    """

    user: str
    fullname: str | None
    email: str | None
    status: Status
    asked: datetime
    fields: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, found: Any) -> Request:
        """From `huggingface_hub`'s AccessRequest."""
        user = found.username or getattr(found, "request_id", None) or ""
        return cls(user, found.fullname, found.email, found.status, found.timestamp, found.fields or {})

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


def check(fields: Mapping[str, Any], policy: Policy, email: str | None = None) -> Checked:
    """A form against the policy that asked for it.

    Every field of the form has to be answered with more than a filler, every box ticked (the seed's form: research
    only, terms agreed), and what is given as an institution must be one: "independent" is not.

    Args:
        fields: Label -> answer, as the Hub gives them. Labels are compared without case and space around them.
        policy: Whose `form` says which fields there are.
        email: The address on the Hub; a free one is worth a note, no more: many researchers use one.
    """
    answers = {label.strip().casefold(): value for label, value in fields.items()}
    problems = []
    for label, kind in policy.form.items():
        answer = answers.get(label.strip().casefold())
        if kind == "checkbox":
            problems += [] if _ticked(answer) else [f"{label!r} is not ticked"]
        elif _blank(answer):
            problems.append(f"{label!r} is blank")
        elif _asks_institution(label) and _ALONE.fullmatch(str(answer)):
            problems.append(f"{label!r} names no institution: {answer!r}")
    return Checked(tuple(problems), tuple(_notes(fields.values(), email)))


def _notes(answers: Iterable[Any], email: str | None) -> Iterable[str]:
    if email and _FREE_MAIL.fullmatch(email):
        yield f"{email} is a free mail address: ask for one at the institution"
    for answer in answers:
        if isinstance(answer, str) and (found := _COMMERCIAL.search(answer)):
            yield f"an answer says {found[0]!r}: read it"


def _ticked(answer: Any) -> bool:
    return answer is True or str(answer).strip().casefold() in ("true", "on", "yes", "1", "checked")


def _blank(answer: Any) -> bool:
    return answer is None or isinstance(answer, bool) or bool(_NOTHING.fullmatch(str(answer).strip()))


def _asks_institution(label: str) -> bool:
    return any(word in label.casefold() for word in ("institution", "affiliation", "organi", "university"))


def to_csv(requests: Sequence[Request], policy: Policy, path: Path) -> None:
    """Write requests as CSV: a row each, a column for each field of the form.

    A cell that a spreadsheet would run as a formula gets an apostrophe in front: strangers wrote it.

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


def _inert(cell: object) -> str:
    text = "" if cell is None else str(cell)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def listed(remote: Remote, statuses: Iterable[Status] = STATUSES) -> list[Request]:
    """The requests of a repository by status, the oldest first.

    Args:
        remote: A `Remote`.
        statuses: Which.

    Raises:
        EquimeError: No such repository, one that is not gated, or a token that may not see them.
    """
    found = [Request.of(each) for status in statuses for each in remote.requests(status)]
    return sorted(found, key=lambda request: (STATUSES.index(request.status), request.asked, request.user))


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
    found = remote.manifest("main")
    return found.about.policy if found else Policy()


def handle(
    remote: Remote, action: Action, users: Sequence[str], *, reason: str | None = None, anyway: bool = False
) -> list[Outcome]:
    """Accept or reject requests, grant access to who has not asked, or take it back; one by one.

    Doing it again does nothing: who has access already is left alone. `accept` refuses a form that lacks what the
    policy asks for. `revoke` puts a request back among the pending; with a reason it is rejected, and the person
    reads the reason.

    Args:
        remote: A `Remote` whose token can write.
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
    status = request.status if request else None
    if action in ("accept", "grant") and status == "accepted":
        return "has access already"
    if action == "grant":
        remote.grant(user)
        return "access granted"
    if request is None:
        raise EquimeError(f"{user} has not asked for access: `equime access grant {remote.repo} {user}` gives it")
    if action == "accept":
        problems = check(request.fields, policy, request.email).problems
        if problems and not anyway:
            raise EquimeError(f"the form lacks what the policy asks for ({'; '.join(problems)}): --anyway accepts it")
        remote.accept(request.user)
        return "accepted"
    if action == "reject" or reason:
        if status == "rejected":
            return "rejected already"
        remote.reject(request.user, reason)
        return "rejected"
    if status != "accepted":
        return f"has no access ({status})"
    remote.revoke(request.user)
    return "access taken back: the request is pending again"


def require_reason(reason: str | None) -> str | None:
    """A reason that the Hub takes.

    Raises:
        EquimeError: It is too long, or blank.
    """
    if reason is not None and not 0 < len(reason.strip()) <= MAX_REASON:
        raise EquimeError(f"expected a reason of 1 to {MAX_REASON} characters, got {len(reason)}: shorten --reason")
    return reason
