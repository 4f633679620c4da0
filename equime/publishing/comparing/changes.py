"""What a comparison of two states of a data set found, for people and for programs. Made by `comparing.diff`.

    found.lines()        # captions of 120 clips; 3 subjects changed perceived race: white -> asian 2, ...
    found.to_dict()      # all of it, with the ids of clips

Demographic labels are *perceived*, by whoever labelled the source pictures or by a classifier.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Final

from equime.audit.tables.people import Even
from equime.one_line import one_line
from equime.publishing.comparing.differing import Flips, Shift
from equime.wording import counted

FLIPPED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "split": "split",
        "control": "kind of control",
        "source_gender": "perceived gender (source's label)",
        "source_age": "perceived age (source's label)",
        "source_race": "perceived race (source's label)",
        "gender": "perceived gender",
        "age": "perceived age",
        "race": "perceived race",
        "expression": "perceived expression",
        "accepted": "verdict",
    }
)
"""Columns whose changes are told label by label, and what they are called; an age by its band."""
GROUPS: Final[Mapping[str, str]] = MappingProxyType(
    {"plan": "plan", "generate": "videos", "caption": "captions", "tag": "tags", "score": "scores"}
)
BASES: Final[Mapping[str, str]] = MappingProxyType({"source": "the source's labels", "tag": "tags, a vote per subject"})
SHOWN: Final = 12
"""Columns, labels or numbers of a kind that are named one by one; `to_dict` has all."""
_LONGEST: Final = 40


@dataclass(frozen=True)
class Side:
    """One of the two states.

    Attributes:
        name: As it was asked for.
        clips: Rows.
        subjects: Whose they are.
        counts: Split -> emotion (or control) -> clips.
        groups: Column groups in which some clip holds a value.
        notice: What a user should know of it, as one line; mostly empty.
    """

    name: str
    clips: int
    subjects: int
    counts: Mapping[str, Mapping[str, int]]
    groups: tuple[str, ...] = ()
    notice: str = ""


@dataclass(frozen=True)
class Rows:
    """Rows that one side alone has.

    Attributes:
        clips: Their ids.
        subjects: Of how many subjects.
        whole: How many of these subjects the other side does not have at all.
        counts: Split -> emotion (or control) -> clips.
        why: What may explain it -> clips: "not accepted", "no video", "withdrawn" (with their twins).
    """

    clips: tuple[str, ...]
    subjects: int
    whole: int
    counts: Mapping[str, Mapping[str, int]]
    why: Mapping[str, int]


@dataclass(frozen=True)
class Changed:
    """What changed in a column group, on clips that both sides have: their ids, and by column how many."""

    clips: tuple[str, ...]
    columns: Mapping[str, int]


@dataclass(frozen=True)
class Diff:
    """What changed from `a` to `b`.

    Attributes:
        a: The state before.
        b: The state after.
        removed: Rows that only `a` has.
        added: Rows that only `b` has.
        only_a: Group -> column -> clips with a value, of columns in which `b` holds no value at all.
        only_b: The same the other way round.
        changed: Group -> what changed in it; groups without a change are absent.
        clip_flips: Column (of `FLIPPED`) -> how labels changed, by clip; only where some did.
        subject_flips: "source_race", "race", ... -> the same by subject: a tag's by the vote over a subject's clips.
        shifts: Column of numbers -> how they moved; only where some did.
        evenness: "source" or "tag" -> attribute -> (before, after), where some side has labels.
    """

    a: Side
    b: Side
    removed: Rows
    added: Rows
    only_a: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    only_b: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    changed: Mapping[str, Changed] = field(default_factory=dict)
    clip_flips: Mapping[str, Flips] = field(default_factory=dict)
    subject_flips: Mapping[str, Flips] = field(default_factory=dict)
    shifts: Mapping[str, Shift] = field(default_factory=dict)
    evenness: Mapping[str, Mapping[str, tuple[Even, Even]]] = field(default_factory=dict)

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not (self.removed.clips or self.added.clips or self.changed or self.only_a or self.only_b)

    def lines(self) -> list[str]:
        """All of it for people: counts, no ids."""
        sides = [_said(side, word) for side, word in ((self.a, "before"), (self.b, "after"))]
        told = [f"{title}: {line}" for title, lines in self.sections().items() for line in lines]
        return [line for side in sides for line in side] + (told if not self.same else ["nothing changed"])

    def sections(self) -> dict[str, list[str]]:
        """What changed, as lines under "Added", "Removed", "Changed" and "Balance"; only those that have any."""
        found = {
            "Added": [*_alone(self.added, "new"), *_one_sided(self.only_b, self.a, "before")],
            "Removed": [*_alone(self.removed, "with none left"), *_one_sided(self.only_a, self.b, "any more")],
            "Changed": [*_changed(self.changed), *_flipped(self), *_shifted(self.shifts)],
            "Balance": [*_counts(self.a, self.b), *_evenness(self)],
        }
        return {title: lines for title, lines in found.items() if lines}

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON, with the ids of clips."""
        plain = ("a", "b", "removed", "added", "only_a", "only_b", "changed")
        found: dict[str, Any] = {"same": self.same} | {name: _plain(getattr(self, name)) for name in plain}
        for name in ("clip_flips", "subject_flips", "shifts"):
            found[name] = {column: each.to_dict() for column, each in getattr(self, name).items()}
        found["evenness"] = {
            basis: {attribute: {"before": a._asdict(), "after": b._asdict()} for attribute, (a, b) in each.items()}
            for basis, each in self.evenness.items()
        }
        return found


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return asdict(value) if isinstance(value, Side | Rows | Changed) else value


def _said(side: Side, word: str) -> Iterator[str]:
    yield f"{word}: {one_line(side.name)}, {counted(side.clips, 'clip')} of {counted(side.subjects, 'subject')}"
    if side.notice:
        yield f"{word}: {one_line(side.notice)}"


def _alone(rows: Rows, word: str) -> Iterator[str]:
    if rows.clips:
        whole = f" ({rows.whole} {word})" if rows.whole else ""
        why = f" ({_cut([f'{count} {reason}' for reason, count in rows.why.items()])})" if rows.why else ""
        counts = "; ".join(_listed(each) for each in _margins(rows.counts))
        yield f"{counted(len(rows.clips), 'clip')}{why} of {counted(rows.subjects, 'subject')}{whole}: {counts}"


def _one_sided(only: Mapping[str, Mapping[str, int]], lacking: Side, word: str) -> Iterator[str]:
    for group, columns in only.items():
        if group not in lacking.groups:
            yield f"{GROUPS[group]} of {counted(max(columns.values()), 'clip')}, none {word}"
        else:
            yield f"columns of the {GROUPS[group]}, empty {'before' if word == 'before' else 'now'}: {_listed(columns)}"


def _changed(changed: Mapping[str, Changed]) -> Iterator[str]:
    for group, found in changed.items():
        what = f"{GROUPS[group]} of {counted(len(found.clips), 'clip')}"
        remade = found.columns.get("sha256")
        yield what + (f" ({remade} with other bytes)" if remade else "") + f": {_listed(found.columns)}"


def _flipped(found: Diff) -> Iterator[str]:
    for column, flips in found.clip_flips.items():
        yield f"{FLIPPED[column]} of {counted(flips.total, 'clip')}: {_arrows(flips)}"
    for column, flips in found.subject_flips.items():
        yield f"{counted(flips.total, 'subject')} changed {FLIPPED[column]}: {_arrows(flips)}"


def _arrows(flips: Flips) -> str:
    told = [
        (count, f"{_label(before)} -> {_label(after)} {count} of {flips.of[before]}")
        for before, others in flips.changed.items()
        for after, count in others.items()
    ]
    return _cut([text for _, text in sorted(told, key=lambda each: -each[0])])


def _shifted(shifts: Mapping[str, Shift]) -> Iterator[str]:
    ordered = sorted(shifts.items(), key=lambda item: -abs(item[1].effect))
    for column, s in ordered[:SHOWN]:
        moved = f"by {s.mean:+.3g} (median {s.median:+.3g}, most {s.most:+.3g})"
        means = f"mean of {counted(s.of, 'clip')} {s.before:.4g} -> {s.after:.4g}"
        yield f"{column} of {counted(s.clips, 'clip')}: {moved}; {means}"
    if len(ordered) > SHOWN:
        yield f"and {len(ordered) - SHOWN} more numbers, by less of their standard deviation"


def _counts(a: Side, b: Side) -> Iterator[str]:
    if a.counts != b.counts:
        for before, after in zip(_margins(a.counts), _margins(b.counts), strict=True):
            names = list(dict.fromkeys([*before, *after]))
            yield "clips: " + ", ".join(f"{_label(n)} {before.get(n, 0)} -> {after.get(n, 0)}" for n in names)


def _evenness(found: Diff) -> Iterator[str]:
    for basis, attributes in found.evenness.items():
        for attribute, (a, b) in attributes.items():
            subjects, clips = f"{_even(a.subjects)} -> {_even(b.subjects)}", f"{_even(a.clips)} -> {_even(b.clips)}"
            yield f"evenness of perceived {attribute} ({BASES[basis]}): subjects {subjects}, clips {clips}"


def _even(value: float | None) -> str:
    return "not labelled" if value is None else f"{value:.3f}"


def _margins(counts: Mapping[str, Mapping[str, int]]) -> tuple[dict[str, int], dict[str, int]]:
    """Clips by split, and by emotion."""
    by_emotion: Counter[str] = Counter()
    for each in counts.values():
        by_emotion.update(each)
    return {split: sum(each.values()) for split, each in counts.items()}, dict(by_emotion)


def _listed(counts: Mapping[str, int]) -> str:
    return _cut([f"{_label(name)} {count}" for name, count in counts.items()])


def _cut(texts: Sequence[str]) -> str:
    return ", ".join(texts[:SHOWN]) + (f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else "")


def _label(text: str) -> str:
    """A label from data, on one line and of bounded length."""
    said = one_line(text)
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}..."
