"""Whether a workspace may be published, asked before anything is written or sent.

    found = problems(Table("ws"), permission=None, mode="clips")
    found.refusals      # one line each, with what to do; empty when nothing stands against it
    found.notes         # what goes out differently than one might think

Two questions: is the data whole (checked bytes, no stale or failed rows), and may it go out (each picture's recorded
licence, subjects that cannot be looked up).

    equime publish WORKSPACE --dry-run
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from itertools import islice

import pyarrow as pa

from equime import schema
from equime.checks import check
from equime.errors import EquimeError
from equime.planning.faces import KEY
from equime.publishing.about import Mode
from equime.publishing.releasing import licences
from equime.publishing.releasing.outgoing import FAILED, MISSING, REJECTED, STALE, Choice, Stays
from equime.table import Table
from equime.wording import counted

SHOWN = 10
"""Problems of `check` that are told one by one."""
_PSEUDONYM = re.compile(r"p[0-9a-f]{12}")
_READ = ("clip_id", "subject_id", "source_licence", "sha256", "caption", "gender", "accepted")
_ERRORS = tuple(f"{group}_error" for group in schema.GROUPS if f"{group}_error" in schema.OWNER)
_COLUMNS = pa.schema([schema.CLIPS.field(name) for name in (*_READ, *_ERRORS)])


@dataclass(frozen=True)
class Preflight:
    """What stands against a release, and what its maker should know.

    Attributes:
        refusals: Reasons not to publish, one line each, with the next command.
        notes: What is left out, what is missing, what a licence asks; one line each.
        clips: How many clips would go out.
    """

    refusals: list[str]
    notes: list[str]
    clips: int


def problems(
    table: Table,
    *,
    allow_failed: bool = False,
    permission: str | None = None,
    mode: Mode = "clips",
    without: Container[str] = (),
    keep_rejected: bool = False,
    progress: bool = False,
) -> Preflight:
    """Judge a workspace as it is.

    Args:
        table: The workspace; every byte of it is read.
        allow_failed: Leave clips out that failed, are stale or are missing in any group that was begun; else they
            are refusals.
        permission: The written permission to pass on faces that their pictures' licences keep.
        mode: "clips", or "recipe": no faces go out, so that no licence stands against it.
        without: Ids of clips that stay out as withdrawn.
        keep_rejected: Clips go out that were scored and not accepted.
        progress: Show shards done on a terminal.
    """
    broken = list(islice(check(table, lapsed=False, progress=progress), SHOWN + 1))
    refusals = [f"{problem} (`equime check {table.path}`)" for problem in broken[:SHOWN]]
    refusals += [f"and more problems: see `equime check {table.path}`"] if len(broken) > SHOWN else []
    if permission is not None and not permission.strip():
        refusals.append("--permission is blank: quote the written permission, or leave it out")
    if not table.shards():
        refusals.append(f"nothing is planned in {table.path}: run `equime plan {table.path} --faces DIR`")
        return Preflight(refusals, [], 0)
    found = _survey(table, Choice(without, keep_rejected, whole=True))
    if not found.clips and not refusals:
        refusals.append(f"no clip of {table.path} can go out: {found.none(table)}")
    whole = list(found.unfinished(table, allow_failed))
    named, telling = found.identities(table)
    barred = list(found.barred(permission, mode))
    return Preflight(
        refusals=refusals + ([] if allow_failed else whole) + barred + named,
        notes=[*(whole if allow_failed else []), *found.thin(table), *found.owed(permission, mode), *telling],
        clips=found.clips,
    )


@dataclass
class _Held:
    """What goes out under one licence."""

    subjects: set[str] = field(default_factory=set)
    clips: int = 0

    def __str__(self) -> str:
        return f"{counted(len(self.subjects), 'subject')}, {counted(self.clips, 'clip')}"


@dataclass
class _Survey:
    """Counts over the clips that go out and those that stay."""

    clips: int = 0
    stays: Counter[tuple[str, str]] = field(default_factory=Counter)
    why: dict[tuple[str, str], str] = field(default_factory=dict)
    absent: Counter[str] = field(default_factory=Counter)
    licences: defaultdict[str | None, _Held] = field(default_factory=lambda: defaultdict(_Held))

    def add(self, shard: pa.Table, verdicts: list[Stays | None]) -> None:
        for row, stays in zip(shard.to_pylist(), verdicts, strict=True):
            if stays:
                self.stays[stays.reason, stays.group] += 1
                self.why.setdefault((stays.reason, stays.group), f"{row['clip_id']}: {stays.why}")
                continue
            self.clips += 1
            self.absent.update({name: 1 for name in ("accepted", "caption", "gender") if row[name] is None})
            held = self.licences[row["source_licence"]]
            held.subjects.add(row["subject_id"])
            held.clips += 1

    def unfinished(self, table: Table, allow_failed: bool) -> Iterator[str]:
        """What failed, is stale or is missing, by group."""
        way = "left out" if allow_failed else "or leave them out with --allow-failed"
        for (reason, group), clips in self.stays.items():
            if reason in (FAILED, STALE, MISSING):
                again = " --retry-failed" if reason == FAILED else ""
                run = f"run `equime {group} {table.path}{again}`"
                what = f"{group} of {counted(clips, 'clip')} {_VERBS[reason]} ({self.why[reason, group]})"
                yield f"{what}: {way}" if allow_failed else f"{what}: {run}, {way}"

    def none(self, table: Table) -> str:
        """Why every clip stays, and what to do."""
        if {reason for reason, _ in self.stays} == {REJECTED}:
            return f"all were scored and not accepted (see `equime summary {table.path}`, or give --keep-rejected)"
        why = ", ".join(f"{counted(clips, 'clip')} {reason}" for (reason, _), clips in self.stays.items())
        return f"{why}: run `equime status {table.path}`"

    def thin(self, table: Table) -> Iterator[str]:
        """What was rejected, and what goes out without a score, a caption or tags."""
        if rejected := self.stays[REJECTED, "score"]:
            yield f"{counted(rejected, 'clip')} scored and not accepted: left out (--keep-rejected releases them)"
        for name, (what, stage) in _ABSENT.items():
            if clips := self.absent[name]:
                yield f"{clips} of {counted(self.clips, 'clip')} without {what}: run `equime {stage} {table.path}`"

    def barred(self, permission: str | None, mode: Mode) -> Iterator[str]:
        """The licences that do not let faces be passed on, where faces are and nobody permits it in writing."""
        if mode == "clips" and not (permission or "").strip():
            for text, held in self._kept_back():
                yield (
                    f"licence {_quoted(text)} of {held} does not permit passing on faces made from its pictures: "
                    "publish what rebuilds them by --mode recipe, or give a written permission by --permission TEXT"
                )

    def owed(self, permission: str | None, mode: Mode) -> Iterator[str]:
        """What the licences ask of a release of clips, and which of them only a permission overrides."""
        if mode == "clips":
            for text, held in self._kept_back() if permission else ():
                yield f"licence {_quoted(text)} of {held} keeps its faces back: out by the written permission alone"
            for text, held in self.licences.items():
                if licences.permits(text):
                    yield from (f"licence {_quoted(text)} of {held} {what}" for what in licences.conditions(text))

    def _kept_back(self) -> Iterator[tuple[str | None, _Held]]:
        return ((text, held) for text, held in self.licences.items() if not licences.permits(text))

    def identities(self, table: Table) -> tuple[list[str], list[str]]:
        """Refusals and notes on subject ids that say who somebody is."""
        secret = bool(table.settings.get(KEY))
        open_ids = {
            text: {name for name in held.subjects if not (secret and _PSEUDONYM.fullmatch(name))}
            for text, held in self.licences.items()
        }
        refusals = [
            f"{counted(len(names), 'subject id')} under licence {_quoted(text)} "
            f"{'is an identity' if len(names) == 1 else 'are identities'} that anyone can look up: "
            "plan a new workspace with `equime plan WORKSPACE --faces DIR --pseudonyms`"
            for text, names in open_ids.items()
            if names and licences.names_people(text)
        ]
        others = sum(len(names) for text, names in open_ids.items() if not licences.names_people(text))
        note = (
            f"{counted(others, 'subject id')} as the faces' table or files gave them: make sure that they name nobody"
        )
        return refusals, [note] if others else []


_VERBS = {FAILED: "failed", STALE: "is stale", MISSING: "is not made yet"}
_ABSENT = {"accepted": ("a score", "score"), "caption": ("a caption", "caption"), "gender": ("tags", "tag")}


def _survey(table: Table, choice: Choice) -> _Survey:
    found = _Survey()
    for number in table.shards():
        try:
            standing = table.standing(number)
            ready = [name for name in _COLUMNS.names if schema.OWNER[name] in standing.made]
            shard = schema.conform(table.read(number, ready), _COLUMNS)
        except EquimeError:
            continue  # `check` has said so
        found.add(shard, choice.verdicts(table, shard, standing))
    return found


def _quoted(text: str | None) -> str:
    """A licence as it is recorded, short and in one line."""
    if text is None:
        return "unknown (none recorded)"
    return repr(text if len(text) <= 120 else f"{text[:117]}...")
