"""Whom a release shows, by perceived group, as a section of its card: counts, evenness, tone of skin.

    print(section(facts, "figures/composition.png"))

Subjects and clips are counted apart: who is shown more often than others is seen. A group without anybody stands there
as 0, an attribute that nobody is labelled by as one line. Labels are *perceived*, by whoever labelled the pictures or
by a classifier.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from equime.planning.equity_report import Balance, Equity
from equime.planning.targets import PRIORITY
from equime.publishing.documents.facts import Facts, Group
from equime.publishing.documents.markdown import NOT_SAID, number, table

NO_LABEL: Final = "no label"
EVENNESS: Final = (
    *("perceived", "by", "groups", "evenness, subjects", "evenness, clips"),
    *("effective, subjects", "commonest : rarest"),
)
_NAMED: Final = {"joint": "cell"}


def section(facts: Facts, picture: str | None) -> str:
    """The section's text, without its heading.

    Args:
        facts: What was counted.
        picture: Path in the release of the drawing; None where it was not drawn.
    """
    parts = [f"![Subjects and clips by perceived group]({picture})"] if picture else []
    ways = {"source": facts.source, "tagger": facts.tagged}
    known = {name: equity for name, equity in ways.items() if equity}
    if not known:
        return "Composition by group is not measured: no source came with labels and no tagger is recorded."
    parts.append(
        "Perceived labels, which err (see Labels and their error). *Source*: as the photographs came labelled. "
        "*Tagger*: a classifier's, one vote over a subject's clips."
    )
    heads = [f"{what} ({name})" for name in known for what in ("subjects", "clips")]
    rows = [row for attribute in PRIORITY for row in _group_rows(attribute, list(known.values()))]
    parts.append(table(("perceived", "group", *heads), rows))
    parts.append(
        "Evenness is Shannon's, 0 to 1; effective groups are the equally common groups that would be as diverse. "
        "A *cell* is gender by age band by race."
    )
    parts.append(table(EVENNESS, [row for name, equity in known.items() for row in _evenness_rows(name, equity)]))
    parts += _skin(facts.skin)
    return "\n\n".join(parts)


def _group_rows(attribute: str, found: Sequence[Equity]) -> Iterator[tuple[Any, ...]]:
    balances = [equity.balances[attribute] for equity in found]
    for group in balances[0].shares if any(map(_known, balances)) else ():
        yield attribute, group, *(n for b in balances for n in _group(b, group))
    rest = [n for e, b in zip(found, balances, strict=True) for n in (b.unlabelled, e.clips - sum(b.clips.values()))]
    if any(rest):
        yield attribute, NO_LABEL, *rest


def _group(balance: Balance, group: str) -> tuple[Any, Any]:
    """Subjects and clips; dashes where nobody has a label, which is not the same as nobody being in the group."""
    return (balance.identities[group], balance.clips[group]) if _known(balance) else (NOT_SAID, NOT_SAID)


def _known(balance: Balance) -> bool:
    return any(balance.identities.values())


def _evenness_rows(name: str, equity: Equity) -> Iterator[tuple[Any, ...]]:
    for attribute, balance in equity.balances.items():
        yield (
            _NAMED.get(attribute, attribute),
            name,
            len(balance.shares),
            *(_measures(balance) if _known(balance) else ["not measured"] * 4),
        )


def _measures(balance: Balance) -> Iterator[str]:
    people, clips = balance.measures("identities"), balance.measures("clips")
    yield from (number(people["evenness"]), number(clips["evenness"]), number(people["effective_groups"], 1))
    yield number(people["max_min_ratio"], 1) if min(balance.identities.values()) else "a group is missing"


def _skin(bands: Mapping[str, Group]) -> Iterator[str]:
    if bands:
        rows = [(name, group.subjects, group.clips) for name, group in bands.items()]
        yield "Skin as pictured, by the individual typology angle; light and camera shift it:"
        yield table(("band", "subjects", "clips"), rows)
    else:
        yield "Tone of skin is not measured."
