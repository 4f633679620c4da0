"""What answers say of a face, held against what the clip was planned to show.

    content(answers)            # list[Measure] of answers to one task under one condition

- Units: precision, recall and F1 over answers, micro (neutral clips too: what is named there is wrong), macro over the
  units that are planned at all, and by unit; F1 where the side has to be right too.
- Hallucination: of clips that were planned without units, the share where one is named, and how many.
- Sides and intensities: of units in both, the share that is right; intensities also within one letter and by Cohen's
  kappa with quadratic weights (Cohen 1968).
- Form: whether JSON is nothing but JSON, or could be mended; times where they are told, in ms off.
- Emotion: UF1 and UAR (MEGC 2019) over the *intended* emotions; an answer that names none is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from equime import metrics
from equime.action_units import INTENSITIES, ActionUnit
from equime.audit.measures.resampling import means
from equime.metrics import kappa
from equime.scores import Scores
from equime.tuning.evaluation.measures import Measure, f1, mean_of, precision, recall
from equime.tuning.evaluation.parsed import OF_UNITS, TIMES, Said, once, parse

Array = npt.NDArray[Any]
Units = Sequence[Mapping[int, ActionUnit]]

OTHER: Final = "none"
"""The class of an answer that names no emotion of those that are planned."""


def content(answers: Sequence[Said]) -> list[Measure]:
    """Every measure of answers to one task, or to one kind of question."""
    task, kind = answers[0].example.task, answers[0].example.kind
    found = [mean_of("read", _each(answers, lambda said: said.parsed.read), note="answers that could be read")]
    if task != "question":
        found += [*_units(answers, _planned(answers)), *_emotions(answers), *_forms(answers)]
    elif kind in OF_UNITS:
        found += [*_units(answers, [parse(said.example, said.example.answer).units for said in answers])]
    if task == "question":
        found += _accuracy(answers)
    return found


def hits(answers: Sequence[Said]) -> Array:
    """Units in both, in the answer, in the plan, of each answer: float64 (n, 3)."""
    pairs = ((said.parsed.units.keys(), {unit.au for unit in said.example.truth.units}) for said in answers)
    return np.array([(len(a & b), len(a), len(b)) for a, b in pairs], np.float64).reshape(-1, 3)


def is_neutral(answers: Sequence[Said]) -> Array:
    """Whether the clip was planned without a unit, bool (n,)."""
    return _each(answers, lambda said: not said.example.truth.units).astype(bool)


def _each(answers: Sequence[Said], value: Callable[[Said], float | None]) -> Array:
    """One number an answer, float64 (n,), None as NaN."""
    return np.array([np.nan if (number := value(said)) is None else number for said in answers], np.float64)


def _planned(answers: Sequence[Said]) -> Units:
    return [once(said.example.truth.units) for said in answers]


def _units(answers: Sequence[Said], true: Units) -> Iterator[Measure]:
    given: Units = [said.parsed.units for said in answers]
    names = sorted({au for units in true for au in units})
    counts = _counts([set(u) for u in given], [set(u) for u in true])
    each = [_counts([{au} & set(u) for u in given], [{au} & set(u) for u in true]) for au in names]
    sided = _counts(*([{(u.au, u.side) for u in units.values()} for units in side] for side in (given, true)))
    has_signs = answers[0].example.task != "question"  # the challenge's lists of units tell neither sides nor letters
    if names:
        yield Measure("unit F1", counts, f1, is_headline=True)
        yield Measure("unit precision", counts, precision, is_headline=True)
        yield Measure("unit recall", counts, recall, is_headline=True)
        yield Measure("unit F1, macro", np.stack(each, 1), _macro, is_headline=True, note=f"{len(names)} planned units")
    if names and has_signs:
        yield Measure("unit F1 with side", sided, f1, is_headline=True)
    neutral = np.array([not units for units in true])
    if neutral.any():
        number = np.where(neutral, [len(units) for units in given], np.nan)
        yield mean_of("hallucination", np.where(neutral, number > 0, np.nan), note="neutral clips", is_headline=True)
        yield mean_of("units on neutral clips", number)
    if has_signs:
        yield from _signs(given, true)
    for au, one in zip(names, each, strict=True):
        yield Measure(
            "F1", one, f1, of=f"AU{au}", note=f"planned in {one[:, 2].sum():.0f}, named in {one[:, 1].sum():.0f}"
        )


def _counts(given: Sequence[set[Any]], true: Sequence[set[Any]]) -> Array:
    return np.array([(len(a & b), len(a), len(b)) for a, b in zip(given, true, strict=True)], np.float64)


def _macro(counts: Array) -> Array:
    """The mean F1 of the units that are planned: (...) of (..., A, 3)."""
    own = np.where(counts[..., 2] > 0, f1(counts), np.nan)
    known = ~np.isnan(own)
    return np.asarray(np.where(known, own, 0.0).sum(-1) / np.maximum(known.sum(-1), 1))


def _signs(given: Units, true: Units) -> Iterator[Measure]:
    """Side and intensity of the units in both."""
    both = [[(a[au], b[au]) for au in a.keys() & b.keys()] for a, b in zip(given, true, strict=True)]
    right, total = ([sum(f(*pair) for pair in pairs) for pairs in both] for f in (_same_side, _any))
    sides = [unit.side for pairs in both for _, unit in pairs]
    if sides:
        best = max(map(sides.count, sides)) / len(sides)
        yield _share("side", right, total, reference=best, note="of units in both", is_headline=True)
    one_sided = [[(a, b) for a, b in pairs if b.side in "LR"] for pairs in both]
    right, total = ([sum(f(*pair) for pair in pairs) for pairs in one_sided] for f in (_same_side, _any))
    if any(total):
        yield _share("side of one-sided units", right, total, note="planned left or right", is_headline=True)
    letters = np.zeros((len(both), 5, 5))
    for number, pairs in enumerate(both):
        for a, b in pairs:
            if a.intensity and b.intensity:
                letters[number, INTENSITIES.index(b.intensity), INTENSITIES.index(a.intensity)] += 1
    if letters.any():
        taken = np.asarray(letters.any((1, 2)))
        for name, off in (("intensity", 0), ("intensity within a letter", 1)):
            near = np.abs(np.subtract.outer(range(5), range(5))) <= off
            yield _share(name, (letters * near).sum((1, 2)), letters.sum((1, 2)), is_headline=not off)
        yield Measure("intensity kappa", letters, lambda c: kappa(c, "quadratic"), taken=taken, reference=0.0)


def _same_side(given: ActionUnit, true: ActionUnit) -> bool:
    return given.side == true.side


def _any(given: ActionUnit, true: ActionUnit) -> bool:
    return True


def _share(name: str, above: Any, below: Any, **more: Any) -> Measure:
    counts = np.stack([np.asarray(above, np.float64), np.asarray(below, np.float64)], -1)
    return Measure(name, counts, means, taken=counts[:, 1] > 0, **more)


def _emotions(answers: Sequence[Said]) -> Iterator[Measure]:
    """UF1 and UAR over the emotions that were planned; controls have none and are looked at alone."""
    true = [said.example.truth.emotion for said in answers]
    yield from _classes(answers, true)
    controls = np.array([emotion is None for emotion in true])
    if controls.any():
        named = _each(answers, lambda said: said.parsed.emotion is not None)
        yield mean_of("emotion on controls", np.where(controls, named, np.nan), note="named where none is intended")


def _classes(answers: Sequence[Said], true: Sequence[str | None]) -> Iterator[Measure]:
    taken = np.array([label is not None for label in true])
    names = sorted({label for label in true if label is not None})
    if not names:
        return
    places = {name: place for place, name in enumerate(names)}
    size = len(names) + 1
    counts = np.zeros((len(answers), size, size))
    for number, (said, label) in enumerate(zip(answers, true, strict=True)):
        if label is not None:
            counts[number, places[label], places.get(said.parsed.emotion or "", size - 1)] = 1
    truth, told = counts[taken].any(2).argmax(1), counts[taken].any(1).argmax(1)
    who = np.array([said.example.subject_id for said in answers])[taken]
    scores = Scores.of(truth, told, who, [*names, OTHER], draws=1)
    best, drawn = scores.majority, scores.stratified
    fallen = "; collapsed: nearly all answers are one class's" * bool(scores.collapsed)
    for name, field, score in (("emotion UF1", "uf1", metrics.uf1), ("emotion UAR", "uar", metrics.uar)):
        one, other = getattr(best, field), getattr(drawn, field)
        note = f"the commonest scores {one:.3f}, drawn ones {other:.3f}{fallen}"
        yield Measure(name, counts, score, taken=taken, reference=max(one, other), note=note, is_headline=True)


def _forms(answers: Sequence[Said]) -> Iterator[Measure]:
    """Whether JSON is JSON, and how far off the times are."""
    if answers[0].example.task == "json":
        yield mean_of("JSON", _each(answers, lambda s: s.parsed.strict), note="nothing but JSON", is_headline=True)
        yield mean_of("JSON, mended", _each(answers, lambda s: s.parsed.mended))
    for name in TIMES:
        true = _each(answers, lambda said, name=name: getattr(said.example.truth, f"{name}_ms"))  # type: ignore[misc]
        off = np.abs(_each(answers, lambda said, name=name: said.parsed.times.get(name)) - true)  # type: ignore[misc]
        if not np.isnan(off).all():
            known = true[~np.isnan(true)]
            best = float(np.abs(known - np.median(known)).mean())
            yield mean_of("error in ms", off, of=name, reference=best, note="reference: always the median")


def _accuracy(answers: Sequence[Said]) -> Iterator[Measure]:
    """Whether each says what the right answer says; of classes UF1 and UAR as ME-VQA has them."""
    true = [parse(said.example, said.example.answer) for said in answers]
    pairs = list(zip(answers, true, strict=True))
    right = [_said(said.parsed) == _said(wanted) for said, wanted in pairs]
    wanted = [repr(_said(each)) for each in true]
    best = max(map(wanted.count, set(wanted))) / len(wanted)
    yield mean_of("accuracy", np.array(right, np.float64), reference=best, is_headline=True)
    if answers[0].example.kind in ("coarse", "fine", "joint"):
        yield from _classes(answers, [each.emotion for each in true])


def _said(parsed: Any) -> tuple[Any, ...]:
    return frozenset(parsed.units), parsed.emotion, parsed.word
