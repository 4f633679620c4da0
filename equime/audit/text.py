r"""Does the captioner describe groups differently?

    rows = open_rows("ws", COLUMNS)
    print("\n".join(text(rows).lines()))

What a clip plans is independent of whom it shows, so its caption should be too: as many words, the planned units and
no other, no word about looks, and no word said oftener of one group than of the others. A captioner that looks at
faces (a vision-language model) can fail each of these; a template, which sees only the plan, none.

How words are compared: `audit.measures.words`. Groups are of *perceived* labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from equime.audit.generator import balanced
from equime.audit.measures.means import TESTED, by_groups
from equime.audit.measures.words import LEVEL, Words, contrasts
from equime.audit.result import Audit
from equime.audit.tables.files import require
from equime.audit.tables.groups import several
from equime.audit.tables.rows import Rows
from equime.captioning.agreement import named, planned
from equime.errors import EquimeError

Array = npt.NDArray[Any]

COLUMNS: Final = (
    *("emotion", "control", "design", "action_units"),
    *("caption", "caption_json", "captioner", "caption_error"),
)
"""What `text` reads, beside the labels."""
SAMPLE: Final = 5000
"""Captions whose units are read back at most."""
APPEARANCE: Final = (
    r"wom[ae]n|m[ae]n|males?|females?|girls?|boys?|lad(?:y|ies)|gentlem[ae]n|guys?|masculine|feminine"
    r"|s?he|hers?|him|his|herself|himself"
    r"|asians?|east asian|indians?|africans?|europeans?|caucasians?|arabs?|latin[aox]s?|hispanics?|middle[- ]eastern"
    r"|black|white|brown|ethnic(?:ity)?|racial|skin|complexion|tan(?:ned)?|freckle[sd]?"
    r"|old|older|elderly|young|younger|youthful|aged|middle-aged|teenagers?|adults?|child|children|wrinkle[sd]?"
    r"|bald|beard(?:ed)?|moustache|mustache|hair(?:ed)?|blond|blonde|brunette|glasses|hijab|headscarf|turban|make-?up"
)
"""Words that tell how a person looks, whole ones, in any case."""
NOTES: Final = (
    "balanced clips; controls and dose sweeps are left out",
    "which emotion and units a clip plans does not depend on its group by design, so that captions should not either",
    "words: log-odds of a caption with the word, of the group against all others (Monroe, Colaresi and Quinn 2008)",
    "p of words: the largest |z| of all words and groups of an attribute where groups are dealt anew to subjects, times"
    f" the number of attributes; words are named where it is under {LEVEL}",
    '"chance or target" is of a largest word contrast what chance alone gives on average, 0 of log-odds',
    TESTED,
)


def text(rows: Rows, by: Sequence[str] | None = None) -> Audit:
    """How captions differ by group.

    Args:
        rows: With `COLUMNS`.
        by: Attributes; None: those of `groups.DEFAULT` that somebody has a label of.

    Returns:
        Means over all captions and by group, and gaps: "words" of a caption, "units" named, captions that miss a
        planned unit or name another, that mention looks, that failed. Then by attribute the "largest word contrast"
        (|z|) and "log-odds" of words that are said of a group oftener than chance explains.

    Raises:
        EquimeError: No captions, or as `groups`.
    """
    require(rows.table, ("action_units", "caption", "caption_json", "captioner", "caption_error"), rows.name)
    rows = rows.chosen(balanced(rows.table))
    captions = rows.table["caption"].combine_chunks()
    if captions.null_count == len(captions):
        raise EquimeError(f"nothing of {rows.name} has a caption: run `equime caption {rows.name}`")
    groupings, notes = several(rows, by)
    found = by_groups(rows, _columns(rows.table), groupings)
    spoken = Words.of(rows)
    for each in groupings:
        found += contrasts(rows, spoken, each, len(groupings))
    sampled = [f"units are read back from {SAMPLE:,} captions, drawn with a fixed seed"]
    sampled *= len(captions) - captions.null_count > SAMPLE
    drawn = ("words", "units missed", "mentions looks", "log-odds")
    question = "Does the captioner describe groups differently?"
    return Audit("text", question, tuple(found), (*NOTES, *sampled, *rows.notes, *notes), drawn)


def _columns(table: pa.Table) -> dict[str, Array]:
    captions = table["caption"].combine_chunks()
    said, failed = np.asarray(captions.is_valid()), np.asarray(table["caption_error"].combine_chunks().is_valid())
    looks = pc.match_substring_regex(captions, rf"\b(?:{APPEARANCE})\b", ignore_case=True)
    words = pc.fill_null(pc.count_substring_regex(captions, r"[\pL\pN]+(?:['-][\pL\pN]+)*"), 0)
    return {
        "words": np.where(said, words, np.nan),
        **_units(table, said),
        "mentions looks": np.where(said, pc.fill_null(looks, False), np.nan),
        "failed": np.where(said | failed, failed, np.nan),
    }


def _units(table: pa.Table, said: Array) -> dict[str, Array]:
    """Units that captions name, and whether they miss or add some; NaN where the caption was not looked at."""
    places = np.flatnonzero(said)
    if len(places) > SAMPLE:
        places = np.sort(np.random.default_rng(0).choice(places, SAMPLE, replace=False))
    found = {name: np.full(len(table), np.nan) for name in ("units", "units missed", "units added")}
    columns = ["emotion", "action_units", "caption", "caption_json", "captioner"]
    for place, row in zip(places, table.select(columns).take(pa.array(places)).to_pylist(), strict=True):
        told, wanted = named(row), planned(row)
        if told is None or wanted is None:
            continue
        one, other = ({unit.au for unit in units} for units in (told, wanted))
        found["units"][place] = len(one)
        found["units missed"][place], found["units added"][place] = bool(other - one), bool(one - other)
    return found
