"""What answers to ME-VQA's questions are worth, as the challenge reports it and by the units that they name.

    found = evaluate(table, {"samm_006_1_2_1": "negative", ...})
    for score in found: print(score.kind, score.name, score.value, score.constant)

Classes (coarse, fine) get UF1 and UAR of pooled counts, yes or no and left or right their accuracy, answers in words
BLEU (sacreBLEU's corpus score as a share, with `effective_order`, as most answers have two words) and ROUGE-1's F. The
challenge states no tokeniser, so its own BLEU may differ in the last digits. Lists of units are also read back: their
precision, recall and F1 over all of a kind's questions, which no wording changes.

Beside each stands the best constant answer: the one of the truth's own answers to that kind which scores best. An
answer that is none of the classes is wrong, whatever it says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from equime import metrics
from equime.audit.result import Audit, Finding
from equime.errors import EquimeError
from equime.optional import need
from equime.recognise.readers.labels import plain
from equime.tuning.example import KINDS
from equime.tuning.mevqa.read import COARSE, units_of

EXTRA: Final = "tune"
CLASSES: Final = ("coarse", "fine")
WORDS: Final = ("present", "side")
TEXTS: Final = ("units", "unit", "joint", "")
TRIED: Final = 20
"""Constant answers that are tried for a text score: the commonest."""

Pairs = Sequence[tuple[str, str]]
"""Expected and given answers."""


@dataclass(frozen=True)
class Score:
    """One figure of one kind of question.

    Attributes:
        kind: One of `equime.tuning.example.KINDS`, or "" for other questions.
        name: "UF1", "UAR", "accuracy", "BLEU", "ROUGE-1", "unit precision", "unit recall", "unit F1".
        value: 0-1; NaN where nothing is named.
        constant: What the best constant answer scores.
        questions: How many there are.
        subjects: Of how many people.
    """

    kind: str
    name: str
    value: float
    constant: float
    questions: int
    subjects: int


def audit(questions: pa.Table, answered: pa.Table) -> Audit:
    """The same as one result, a scope for each kind of question.

    Args:
        questions: From `read_questions`, with the true answers.
        answered: From `read_questions`, with those given.

    Raises:
        EquimeError: As `evaluate`.
    """
    given = dict(zip(answered["id"].to_pylist(), answered["answer"].to_pylist(), strict=True))
    findings = []
    for score in evaluate(questions, given):
        said = {"value": score.value, "reference": score.constant}
        known = {name: None if np.isnan(number) else float(number) for name, number in said.items()}
        note = "no answer names any" if known["value"] is None else ""
        sizes = {"clips": score.questions, "subjects": score.subjects}
        findings.append(Finding(measure=score.name, scope=score.kind or "other", note=note, **known, **sizes))  # type: ignore[arg-type]
    notes = ("clips: questions; chance or target: what the best constant answer scores",)
    return Audit("ME-VQA", "What are the answers to ME-VQA's questions worth?", tuple(findings), notes)


def evaluate(table: pa.Table, answers: Mapping[str, str]) -> list[Score]:
    """Score answers to a file's questions.

    Args:
        table: From `read_questions`, with the true answers; questions without one are left out.
        answers: Question's id -> answer; a question that nobody answered counts as answered by nothing.

    Raises:
        EquimeError: No true answers, answers to none of the questions, or sacrebleu or rouge-score missing.
    """
    rows = [row for row in table.select(["id", "kind", "answer", "subject_id"]).to_pylist() if row["answer"].strip()]
    if not rows:
        raise EquimeError("expected true answers to score by, got none: test files have none, take a training file")
    if not answers.keys() & {row["id"] for row in rows}:
        raise EquimeError(f"expected answers by the questions' ids such as {rows[0]['id']!r}, got none of them")
    return [score for kind in (*KINDS, "") for score in _of_kind(kind, rows, answers)]


def _of_kind(kind: str, rows: Sequence[Mapping[str, Any]], answers: Mapping[str, str]) -> Iterator[Score]:
    chosen = [row for row in rows if row["kind"] == kind]
    if not chosen:
        return
    pairs = [(row["answer"], answers.get(row["id"], "")) for row in chosen]
    people = len({row["subject_id"] for row in chosen})
    constants = [scored(kind, [(true, each) for true, _ in pairs]) for each in _commonest(kind, pairs)]
    for name, value in scored(kind, pairs).items():
        best = max((found[name] for found in constants if not np.isnan(found[name])), default=float("nan"))
        yield Score(kind, name, value, best, len(pairs), people)


def scored(kind: str, pairs: Pairs) -> dict[str, float]:
    """The figures of one kind's answers, by name, each 0-1."""
    if kind in CLASSES:
        return _classes(kind, pairs)
    if kind in WORDS:
        return {"accuracy": float(np.mean([_word(true) == _word(given) for true, given in pairs]))}
    return _texts(pairs) | (_units(pairs) if kind else {})


def _commonest(kind: str, pairs: Pairs) -> list[str]:
    """Each different true answer; of those in words the commonest ones."""
    counts = Counter(true for true, _ in pairs)
    return [answer for answer, _ in counts.most_common(TRIED if kind in TEXTS else None)]


def _word(answer: str) -> str:
    return answer.strip(" .,!\n\t").lower()


def _classes(kind: str, pairs: Pairs) -> dict[str, float]:
    read = _word if kind == "coarse" else lambda answer: plain(_word(answer))
    truth = [read(true) for true, _ in pairs]
    names = sorted({*truth, *(COARSE if kind == "coarse" else ())})
    places = {name: place for place, name in enumerate(names)}
    given = [places.get(_class(read(answer), names), len(names)) for _, answer in pairs]
    counts = metrics.confusion(np.array([places[name] for name in truth]), np.array(given), len(names) + 1)
    return {"UF1": float(metrics.uf1(counts)), "UAR": float(metrics.uar(counts))}


def _class(answer: str, names: Sequence[str]) -> str:
    """The class that an answer is, or the only one whose name stands in it as a word."""
    words = {plain(word.strip(".,;:!\"'()")) for word in answer.split()}
    found = [name for name in names if name in words]
    return answer if answer in names else found[0] if len(found) == 1 else ""


def _texts(pairs: Pairs) -> dict[str, float]:
    bleu = need("sacrebleu", extra=EXTRA).BLEU(lowercase=True, effective_order=True)
    scorer = need("rouge_score.rouge_scorer", extra=EXTRA).RougeScorer(["rouge1"])
    found = bleu.corpus_score([given for _, given in pairs], [[true for true, _ in pairs]]).score / 100
    rouge = np.mean([scorer.score(true, given)["rouge1"].fmeasure for true, given in pairs])
    return {"BLEU": float(found), "ROUGE-1": float(rouge)}


def _units(pairs: Pairs) -> dict[str, float]:
    hits = said = true = 0
    for expected, given in pairs:
        wanted, named = ({unit.au for unit in units_of(text)} for text in (expected, given))
        hits, said, true = hits + len(wanted & named), said + len(named), true + len(wanted)
    return {
        "unit precision": _share(hits, said),
        "unit recall": _share(hits, true),
        "unit F1": _share(2 * hits, said + true),
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
