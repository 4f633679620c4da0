"""What the form for access says against the policy that asked for it.

check({"Institution": "", "Intended use": "spotting", ...}, Policy(), "ada@gmail.com")
# Checked(problems=("'Institution' is blank",), notes=("ada@gmail.com is a free mail address: ask for one at ...",))

The check reads the form; it cannot know whether what it says is true. Accepting stays a person's decision.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from equime.publishing.about import Policy

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
