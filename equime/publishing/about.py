"""What people say of a release, as against what is measured: its version, whom to ask, under which terms.

About(version="1.1.0", repo="org/equime", note="captions reworded")
Policy()                                # who gets access, and the form that asks for it
"""

from __future__ import annotations

import datetime
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from equime import schema
from equime.errors import EquimeError
from equime.publishing.version import Version

Mode = Literal["clips", "recipe"]
"""What is published: the clips themselves, or all that it takes to make them again from the same pictures."""

CONTACT = "tan.peisze@monash.edu"
LICENCE = "cc-by-nc-4.0"

INSTITUTION, USE, COUNTRY, RESEARCH, TERMS = (
    "Institution",
    "Intended use",
    "Country",
    "I will use the data for non-commercial research only",
    "I agree to the access terms, and not to identify anyone shown",
)
FORM: Mapping[str, Any] = {
    INSTITUTION: "text",
    COUNTRY: "country",
    USE: "text",
    RESEARCH: "checkbox",
    TERMS: "checkbox",
}
"""The form on the Hub (`extra_gated_fields`): label -> kind of field."""
KINDS = ("text", "checkbox", "country", "date_picker", "ip_location", "select")
"""Kinds of field that the Hub knows; of "select" as {"type": "select", "options": [...]}."""


@dataclass(frozen=True)
class Policy:
    """Who gets access.

    Attributes:
        contact: E-mail address of who decides, and of who removes a subject on request.
        form: Label -> kind of field, as the Hub's `extra_gated_fields`, in the order in which it asks.
        terms: What stands above the form.

    Raises:
        EquimeError: Nobody to write to, or a field that the Hub does not know.
    """

    contact: str = CONTACT
    form: Mapping[str, Any] = field(default_factory=lambda: dict(FORM))
    terms: str = (
        "Access is for non-commercial research by people with an institutional affiliation. The clips are synthetic "
        "likenesses of real people: do not identify them, do not pass the clips on, do not infer emotions of people "
        "at work or in education with what you build."
    )

    def __post_init__(self) -> None:
        if not self.contact.strip():
            raise EquimeError("expected an address as contact: who decides about access, and removes people on request")
        for label, kind in self.form.items():
            if not label.strip() or not _is_field(kind):
                raise EquimeError(
                    f"expected a label and one of {', '.join(KINDS)} in the form, got {label!r}: {kind!r}"
                )

    @classmethod
    def read(cls, contact: str, form: Path | None) -> Policy:
        """The seed's policy with another contact, and another form from a JSON file {label: kind of field}.

        Raises:
            EquimeError: The file does not read, or is no such mapping, or nobody is to be written to.
        """
        if form is None:
            return cls(contact=contact)
        try:
            fields = json.loads(form.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise EquimeError(f"cannot read the access form {form}: {error}") from error
        if not isinstance(fields, dict) or not fields:
            raise EquimeError(f'expected {form} to hold {{"Institution": "text", ...}}, got {type(fields).__name__}')
        return cls(contact=contact, form=fields)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def _is_field(kind: Any) -> bool:
    """Whether the Hub knows a kind of field: its name, or a mapping with `type` and what belongs to it."""
    name = kind.get("type") if isinstance(kind, Mapping) else kind
    return name in KINDS and (name != "select" or bool(isinstance(kind, Mapping) and kind.get("options")))


def today() -> str:
    """The day of a release, YYYY-MM-DD: SOURCE_DATE_EPOCH's where that is set, so that a build can be repeated.

    Raises:
        EquimeError: SOURCE_DATE_EPOCH is no time in seconds.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        seconds = float(epoch) if epoch else time.time()
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).date().isoformat()
    except (ValueError, OverflowError, OSError) as error:
        raise EquimeError(f"expected SOURCE_DATE_EPOCH in seconds since 1970, got {epoch!r}") from error


@dataclass(frozen=True)
class About:
    """One release, as its maker names it.

    Attributes:
        version: MAJOR.MINOR.PATCH.
        repo: "owner/name" on the Hub.
        mode: "clips", or "recipe" for everything but the faces.
        date: YYYY-MM-DD.
        note: What this version brings, for its CHANGELOG.
        permission: The written permission under which faces are passed on that their licence would not let pass.
        policy: Who gets access.

    Raises:
        EquimeError: A version or a date that is none.
    """

    version: str
    repo: str = schema.REPO
    mode: Mode = "clips"
    date: str = field(default_factory=today)
    note: str | None = None
    permission: str | None = None
    policy: Policy = field(default_factory=Policy)

    def __post_init__(self) -> None:
        Version.parse(self.version)
        try:
            datetime.date.fromisoformat(self.date)
        except ValueError as error:
            raise EquimeError(f"expected a date YYYY-MM-DD, got {self.date!r}") from error

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
