"""Do the captions say what was planned, and was it there to be seen? Units named, planned and measured, pair by pair.

What: precision, recall and F1 of action units over clips: named against planned, measured against planned, named
against measured; micro, macro and per unit, with and without sides. Why: a caption that repeats the plan is worth as
much as the clip keeps to it, and a model that always says "lip corner puller" scores too. So beside each stand two
that see nothing: the unit that is commonest, named every time, and the same answers dealt out to the clips at random.

    lines = agreement(table.rows(["clip_id", *NEEDED])).lines()

Named units of a template caption are read back from its words; of a model's, from its structured answer. Units are
those of the *intended* programme; an emotion is not compared. Precision, recall and F1 are 0 where they divide by 0.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from equime.action_units import NAMES, ActionUnit
from equime.captioning.mentions import mentions
from equime.captioning.templates import units_in

NEEDED = ("action_units", "caption", "caption_json", "captioner", "measured_units", "accepted")
"""The columns it looks at; absent ones count as null."""
SOURCES = ("planned", "named", "measured")
PAIRS = (("named", "planned"), ("measured", "planned"), ("named", "measured"))
LEGEND = (
    "P, R, F1: precision and recall of units over clips, and their harmonic mean",
    "macro: mean F1 of the units; sided: F1 where the side has to be right too;",
    "side: units in both of which the side is right",
)
Units = tuple[ActionUnit, ...]
Clip = tuple[Units | None, ...]
"""What is planned, named and measured, in the order of `SOURCES`."""
Count = tuple[float, int, int]
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Score:
    """Precision, recall and F1, 0-1."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class UnitScore(Score):
    """Those of one action unit.

    Attributes:
        support: Clips that have it by what is compared with.
        said: Clips that have it by what is compared.
    """

    support: int
    said: int


@dataclass(frozen=True)
class Agreement:
    """One comparison.

    Attributes:
        compared: "named" or "measured".
        against: "planned" or "measured".
        clips: Clips that have both; a clip where nothing is named or measured is one of them.
        micro: Over all units of all clips.
        macro: Mean over the units that occur on either side.
        constant: Micro, of the unit that is commonest in `against`, said of every clip.
        shuffled: Micro, of what is compared dealt out to the clips anew: the mean over all orders, which is exact.
        macro_shuffled: Macro, likewise.
        sided: Micro, where the side has to be right too.
        side: Of units in both, once each in a clip: the share with the same side; None without any.
        side_constant: The same of the side that is commonest in `against`, said every time.
        units: By action unit.
    """

    compared: str
    against: str
    clips: int
    micro: Score
    macro: Score
    constant: Score
    shuffled: Score
    macro_shuffled: Score
    sided: Score
    side: float | None
    side_constant: float | None
    units: Mapping[int, UnitScore]


@dataclass(frozen=True)
class Report:
    """The three comparisons of a data set.

    Attributes:
        clips: All of them.
        missing: How many have no plan, no readable caption, no measurement: by "planned", "named", "measured".
        pairs: In the order of `PAIRS`.
        units: Action unit -> clips that have it, by "planned", "named", "measured".
    """

    clips: int
    missing: Mapping[str, int]
    pairs: tuple[Agreement, ...]
    units: Mapping[int, Mapping[str, int]]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """A table of the comparisons and one of the units, 80 columns wide; a unit's precision is in `to_dict`."""
        absent = ", ".join(f"{count} not {name}" for name, count in self.missing.items() if count)
        told = [f"{self.clips:,} clips" + (f" ({absent})" if absent else "")]
        told += ["", f"{'':<22}{'clips':>6}{'P':>7}{'R':>7}{'F1':>7}{'macro':>7}{'sided':>7}{'side':>7}"]
        told += [line for pair in self.pairs for line in _pair_lines(pair)]
        told += LEGEND if any(pair.clips for pair in self.pairs) else ()
        return [*told, *_unit_lines(self)] if self.units else told


def agreement(rows: Iterable[Mapping[str, Any]]) -> Report:
    """Compare what captions name with what was planned and measured.

    Args:
        rows: One for each clip, with the columns of `NEEDED` or fewer. A plan without units is one of none; a caption
            that could not be read, and a clip that was not measured, are left out of what needs them.
    """
    # Clips that say the same thrice are told apart by nothing here: the counts are all that is held.
    seen = Counter[Clip]((planned(row), named(row), measured(row)) for row in rows)
    missing = {name: sum(n for clip, n in seen.items() if clip[i] is None) for i, name in enumerate(SOURCES)}
    having = {name: _count((_by_unit(clip[i] or ()), n) for clip, n in seen.items()) for i, name in enumerate(SOURCES)}
    units = {au: {name: having[name][au] for name in SOURCES} for au in sorted(set().union(*having.values()))}
    return Report(seen.total(), missing, tuple(compare(a, b, seen) for a, b in PAIRS), units)


def planned(row: Mapping[str, Any]) -> Units | None:
    """The planned units of a row; none for a control, None for a clip of unknown plan (an emotion without units)."""
    units = row.get("action_units")
    if units is None:
        return None if row.get("emotion") else ()
    return _units(units)


def named(row: Mapping[str, Any]) -> Units | None:
    """The units that a row's caption names; None where there is no caption, or none that could be read.

    A template's that names none is also None where the plan is unknown: there was nothing to word.
    """
    text, said = row.get("caption"), row.get("caption_json")
    if not text or not said:
        return None
    if row.get("captioner") in (None, "template"):
        return tuple(units_in(text)) or (None if planned(row) is None else ())
    structure = _structure(said)
    if structure is None:
        return None
    units = structure.get("action_units")
    return tuple(mentions(text, prose=True)[0]) if units is None else _units(units)


def measured(row: Mapping[str, Any]) -> Units | None:
    """The units measured in a row's clip: none where it was scored and nothing rose above the noise.

    None where it was not scored: to leave out what was missed would flatter the measures.
    """
    units = row.get("measured_units")
    if units is None:
        return None if row.get("accepted") is None else ()
    return _units(units)


def compare(compared: str, against: str, seen: Mapping[Clip, int]) -> Agreement:
    """One comparison over the clips that have both; `seen` holds how many clips there are of each kind."""
    i, j = SOURCES.index(compared), SOURCES.index(against)
    both = [(clip[i], clip[j], n) for clip, n in seen.items()]
    pairs = [(_by_unit(said), _by_unit(true), n) for said, true, n in both if said is not None and true is not None]
    clips = sum(n for _, _, n in pairs)
    counts = _counts((set(said), set(true), n) for said, true, n in pairs)
    dealt = {au: (said * true / clips, said, true) for au, (_, said, true) in counts.items()}
    commonest = {au for au, _ in _count((sorted(true), n) for _, true, n in pairs).most_common(1)}
    sides = _count(([(said[au], true[au]) for au in said.keys() & true.keys()], n) for said, true, n in pairs)
    alike, true_sides = sum(n for (a, b), n in sides.items() if a == b), _count(([b], n) for (_, b), n in sides.items())
    return Agreement(
        compared=compared,
        against=against,
        clips=clips,
        micro=_micro(counts),
        macro=_macro(counts),
        constant=_micro(_counts((commonest, set(true), n) for _, true, n in pairs)),
        shuffled=_micro(dealt),
        macro_shuffled=_macro(dealt),
        sided=_micro(_counts((set(said.items()), set(true.items()), n) for said, true, n in pairs)),
        side=alike / sides.total() if sides else None,
        side_constant=max(true_sides.values()) / sides.total() if sides else None,
        units={au: _unit_score(*counts[au]) for au in sorted(counts)},
    )


def _structure(text: str) -> dict[str, Any] | None:
    """The object in `caption_json`; None where another program left something else there."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _units(values: Sequence[Any]) -> Units:
    return tuple(ActionUnit.from_dict(value) for value in values)


def _by_unit(units: Units) -> dict[int, str]:
    """Unit -> side; L and R told apart are both."""
    sides: dict[int, set[str]] = {}
    for unit in units:
        sides.setdefault(unit.au, set()).add(unit.side)
    return {au: next(iter(found)) if len(found) == 1 else "B" for au, found in sides.items()}


def _count(labelled: Iterable[tuple[Iterable[K], int]]) -> Counter[K]:
    """How many clips have each label; an entry stands for n clips."""
    found = Counter[K]()
    for labels, n in labelled:
        for label in labels:
            found[label] += n
    return found


def _counts(pairs: Iterable[tuple[Set[K], Set[K], int]]) -> dict[K, Count]:
    """For each label: clips that have it in both, in what is said, in what is true; an entry stands for n clips."""
    held = list(pairs)
    hits = _count((said & true, n) for said, true, n in held)
    of_said, of_true = _count((said, n) for said, _, n in held), _count((true, n) for _, true, n in held)
    return {label: (hits[label], of_said[label], of_true[label]) for label in {**of_said, **of_true}}


def _score(hits: float, said: float, true: float) -> Score:
    both = said + true
    return Score(hits / said if said else 0.0, hits / true if true else 0.0, 2 * hits / both if both else 0.0)


def _unit_score(hits: float, said: int, true: int) -> UnitScore:
    score = _score(hits, said, true)
    return UnitScore(score.precision, score.recall, score.f1, support=true, said=said)


def _micro(counts: Mapping[K, Count]) -> Score:
    hits, said, true = (sum(count[i] for count in counts.values()) for i in range(3))
    return _score(hits, said, true)


def _macro(counts: Mapping[K, Count]) -> Score:
    scores = [_score(*count) for count in counts.values()]
    n = len(scores) or 1
    return Score(sum(s.precision for s in scores) / n, sum(s.recall for s in scores) / n, sum(s.f1 for s in scores) / n)


def _share(value: float | None) -> str:
    return f"{'-' if value is None else format(value, '.2f'):>7}"


def _pair_lines(pair: Agreement) -> list[str]:
    if not pair.clips:
        return [f"{pair.compared + ' : ' + pair.against:<22}{0:>6}"]
    told = (pair.micro.precision, pair.micro.recall, pair.micro.f1, pair.macro.f1, pair.sided.f1, pair.side)
    dealt = (pair.shuffled.precision, pair.shuffled.recall, pair.shuffled.f1, pair.macro_shuffled.f1)
    fixed = (pair.constant.precision, pair.constant.recall, pair.constant.f1, None, None, pair.side_constant)
    return [
        f"{pair.compared + ' : ' + pair.against:<22}{pair.clips:>6}" + "".join(map(_share, told)),
        f"{'  dealt at random':<28}" + "".join(map(_share, dealt)),
        f"{'  always the commonest':<28}" + "".join(map(_share, fixed)),
    ]


def _unit_lines(report: Report) -> list[str]:
    return [
        "",
        f"{'':<28}{'clips that have it':^26}{'F1 of the pair':^26}".rstrip(),
        f"{'':<28}" + "".join(f"{name:>9}" for name in SOURCES) + f"{'n : p':>8}{'m : p':>8}{'n : m':>8}",
        *(
            f"{f'AU{au} {NAMES[au]}':<28}"
            + "".join(f"{count:>9}" for count in counts.values())
            + "".join(f" {_share(pair.units[au].f1 if au in pair.units else None)}" for pair in report.pairs)
            for au, counts in report.units.items()
        ),
    ]
