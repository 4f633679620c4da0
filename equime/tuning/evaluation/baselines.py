"""Answers that a model has to beat: by no model at all, without the video, or with the video of somebody else.

    asks = asked(examples, ["seen", "blind", "shuffled"])      # what is to be answered, and what is shown with it
    constant(training, examples)                               # list[Said]

- "blind" is the same question as text alone: what a model knows of captions, and of which units are common.
- "shuffled" shows the clip of another subject, each about equally often: looks of a face and of a video are there, and
  what the question is about is not.
- "constant" is the commonest answer of the training split: to the same question where that was asked there, else to the
  same kind of question. Of answers that name units it is the one that as a constant would score the best unit F1 there,
  of the commonest programmes, as no two captions are worded alike: "nothing moves" would be commoner, and no rival.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from itertools import chain
from typing import Final, NamedTuple, TypeAlias

from equime.errors import EquimeError
from equime.tuning.evaluation.parsed import OF_UNITS, Said, once, parse
from equime.tuning.example import Example

TRIED: Final = 50
"""Programmes that are tried as a constant answer: the commonest."""
Content: TypeAlias = tuple[str, frozenset[int]]


class Ask(NamedTuple):
    """A question that is to be answered.

    Attributes:
        example: The question and whose clip it is about.
        condition: "seen", "blind" or "shuffled".
        shown: The clip that is shown with it; None without one.
    """

    example: Example
    condition: str
    shown: str | None


def asked(examples: Sequence[Example], conditions: Iterable[str]) -> list[Ask]:
    """Every question under every condition, those of one clip beside each other.

    Raises:
        EquimeError: "shuffled" of one clip alone.
    """
    found = []
    for condition in conditions:
        shown = _shown(examples, condition)
        ordered = sorted(examples, key=lambda example: (example.clip_id, example.id))
        found += [Ask(example, condition, shown.get(example.clip_id)) for example in ordered]
    return found


def donors(examples: Sequence[Example]) -> dict[str, str]:
    """Clip -> the clip of another subject that is shown in its place: clips in an order of their ids' hashes, moved on.

    It shows other units, where there is such a clip. Where all are of one subject it is another clip of the same.

    Raises:
        EquimeError: There is one clip alone.
    """
    whose = {example.clip_id: example.subject_id for example in examples}
    units = {example.clip_id: frozenset(example.truth.units) for example in examples}
    order = sorted(whose, key=lambda clip_id: hashlib.sha256(clip_id.encode()).digest())
    if len(order) < 2:
        raise EquimeError("expected two clips or more to show one for another: leave 'shuffled' out of --conditions")
    alone, found = len(set(whose.values())) == 1, {}
    for place, clip_id in enumerate(order):
        later = (order[(place + step) % len(order)] for step in range(1, len(order)))
        strangers = (other for other in later if alone or whose[other] != whose[clip_id])
        first = next(strangers)
        others = (other for other in chain([first], strangers) if units[other] != units[clip_id])
        found[clip_id] = next(others, first)
    return found


def constant(training: Iterable[Example], examples: Iterable[Example]) -> list[Said]:
    """One answer of the training examples to each kind of question; none to a kind that was not asked there."""
    counts: dict[Hashable, Counter[Content]] = {}
    answers: dict[Hashable, str] = {}
    for example in training:
        content = _content(example)
        for key in _keys(example):
            counts.setdefault(key, Counter())[content] += 1
            answers.setdefault((key, content), example.answer)
    best = {key: answers[key, _best(counted)] for key, counted in counts.items()}
    found = ((example, next((best[key] for key in _keys(example) if key in best), None)) for example in examples)
    return [Said(example, "constant", text) for example, text in found if text is not None]


def _shown(examples: Sequence[Example], condition: str) -> dict[str, str]:
    if condition == "shuffled":
        return donors(examples)
    return {example.clip_id: example.clip_id for example in examples} if condition == "seen" else {}


def _keys(example: Example) -> list[Hashable]:
    """By what training answers are counted, the narrower first."""
    of_kind = (example.task, example.kind)
    return [(*of_kind, example.question), of_kind] if example.task == "question" else [of_kind]


def _content(example: Example) -> Content:
    """What an answer says: its words where these are a few, else its emotion and units."""
    if example.task == "question" and example.kind not in OF_UNITS:
        return example.answer, frozenset()
    said = parse(example, example.answer) if example.task == "question" else None
    units = frozenset(said.units if said else once(example.truth.units))
    return (said.emotion if said else example.truth.emotion) or "", units


def _best(counts: Counter[Content]) -> Content:
    """The commonest; where units are named, that of the commonest which has the best F1 against all of them."""

    def score(told: frozenset[int]) -> float:
        hits = sum(n * len(told & true) for (_, true), n in counts.items())
        return 2 * hits / (sum(n * (len(told) + len(true)) for (_, true), n in counts.items()) or 1)

    return max(counts.most_common(TRIED), key=lambda each: (score(each[0][1]), each[1]))[0]
