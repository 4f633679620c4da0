"""How near the words of answers are to those expected: BLEU, ROUGE and, where it is installed, CIDEr.

    texts(answers)              # list[Measure]

They are what others report, and they measure wording: two captions of ours of one clip share few words. BLEU
(Papineni et al. 2002) is sacreBLEU's corpus score, 0-100, from counts that add up over answers (of short answers in
small letters, and without the n-grams that they cannot hold, as `equime.tuning.mevqa` has it); ROUGE-1 and ROUGE-L
(Lin 2004) are F-measures; CIDEr (Vedantam et al. 2015) takes its document frequencies from all the expected answers of
the condition, and is tokenised here, without Java: not to be compared with tables that were made by PTB's tokeniser.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from equime.optional import need
from equime.tuning.evaluation.measures import Measure, mean_of
from equime.tuning.evaluation.parsed import Said

Array = npt.NDArray[Any]

EXTRA: Final = "tune"
NO_CIDER: Final = "no CIDEr: `pip install pycocoevalcap` adds it"


def texts(answers: Sequence[Said]) -> list[Measure]:
    """BLEU, ROUGE-1, ROUGE-L and perhaps CIDEr of answers.

    Raises:
        EquimeError: sacrebleu or rouge-score is not installed.
    """
    return [_bleu(answers), *_rouge(answers), *_cider(answers)]


def has_cider() -> bool:
    """Whether CIDEr is among them."""
    return importlib.util.find_spec("pycocoevalcap") is not None


def _bleu(answers: Sequence[Said]) -> Measure:
    bleu = need("sacrebleu.metrics.bleu", extra=EXTRA).BLEU
    is_short = answers[0].example.task == "question"  # two words have no 4-grams, and case is no matter of units
    scorer = bleu(lowercase=is_short, effective_order=True)
    parts = [scorer.sentence_score(said.text, [said.example.answer]) for said in answers]
    rows = [(*part.counts, *part.totals, part.sys_len, part.ref_len) for part in parts]

    def score(counts: Array) -> Array:
        flat = np.rint(counts.reshape(-1, 10)).astype(int).tolist()
        found = [
            bleu.compute_bleu(row[:4], row[4:8], row[8], row[9], "exp", effective_order=is_short).score for row in flat
        ]
        return np.array(found).reshape(counts.shape[:-1])

    return Measure("BLEU", np.array(rows, np.float64), score, note="0-100", is_headline=True)


def _rouge(answers: Sequence[Said]) -> list[Measure]:
    scorer = need("rouge_score.rouge_scorer", extra=EXTRA).RougeScorer(["rouge1", "rougeL"])
    found = [scorer.score(said.example.answer, said.text) for said in answers]
    return [
        mean_of(name, np.array([each[key].fmeasure for each in found]), is_headline=key == "rouge1")
        for name, key in (("ROUGE-1", "rouge1"), ("ROUGE-L", "rougeL"))
    ]


def _cider(answers: Sequence[Said]) -> list[Measure]:
    if not has_cider():
        return []
    from pycocoevalcap.cider.cider import Cider  # type: ignore[import-untyped,import-not-found,unused-ignore]

    expected = {number: [_words(said.example.answer)] for number, said in enumerate(answers)}
    given = {number: [_words(said.text)] for number, said in enumerate(answers)}
    return [mean_of("CIDEr", np.asarray(Cider().compute_score(expected, given)[1], np.float64))]


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))
