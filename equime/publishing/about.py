"""What people say of a release, as against what is measured: its version, who is to be asked, under which terms.

About(version="1.1.0", repo="org/equime", note="captions reworded")
Policy()                                # who gets access, and the form that asks for it
"""

from __future__ import annotations

import datetime
import json
import os
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


@dataclass(frozen=True)
class Policy:
    """Who gets access.

    Attributes:
        contact: E-mail address of who decides, and of who removes a subject on request.
        form: Label -> kind of field, as the Hub's `extra_gated_fields`.
        terms: What stands above the form.
    """

    contact: str = CONTACT
    form: Mapping[str, Any] = field(default_factory=lambda: dict(FORM))
    terms: str = (
        "Access is for non-commercial research by people with an institutional affiliation. The clips are synthetic "
        "likenesses of real people: do not identify them, do not pass the clips on, do not infer emotions of people "
        "at work or in education with what you build."
    )

    @classmethod
    def read(cls, contact: str, form: Path | None) -> Policy:
        """The seed's policy with another contact, and another form from a JSON file {label: kind of field}.

        Raises:
            EquimeError: The file does not read, or is no such mapping.
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

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Policy:
        """What `to_dict` gave."""
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def today() -> str:
    """The day of a release, YYYY-MM-DD: SOURCE_DATE_EPOCH's where that is set, so that a build can be repeated."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.datetime.now(datetime.UTC)
    return (datetime.datetime.fromtimestamp(int(epoch), datetime.UTC) if epoch else now).date().isoformat()


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

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> About:
        """What `to_dict` gave."""
        return cls(**{**values, "policy": Policy.from_dict(values["policy"])})

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Way:
    """One way in which a group of columns was made.

    Attributes:
        stage: "plan", "generate", "caption", "tag", "score", or "import".
        version: The stage's.
        fields: Its result-changing options; of paths their last part only.
        models: Model -> revision or hash.
        packages: Package -> version.
        shards: How many shards of the workspace were made so.
    """

    stage: str
    version: int
    fields: Mapping[str, Any]
    models: Mapping[str, str]
    packages: Mapping[str, str]
    shards: int


@dataclass(frozen=True)
class Tombstone:
    """A subject that was taken out on request: the id, so that no later version brings it back.

    Attributes:
        subject_id: As in the data; what identified the person outside of it is not kept.
        version: The version that first lacked it.
        date: YYYY-MM-DD.
        clips: How many clips went, those of twins included.
    """

    subject_id: str
    version: str
    date: str
    clips: int
