"""How far labels of groups can be relied on: do source and tagger agree, about whom, and the tagger with itself?

    found = reliability(open_version("ws").read(COLUMNS))
    found.one("kappa", of="race").value

Why: whatever is said of groups is said of labels. Where two labellers agree no better than by chance, or the tagger
labels one person's clips differently, a gap between groups says little of people; and where it errs more for some, it
says less of these. All labels are *perceived*, neither is the truth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from equime import metrics
from equime.audit.measures.means import TESTED, by_groups, finding
from equime.audit.measures.resampling import drawn_of_all, estimates
from equime.audit.result import Audit, Finding
from equime.audit.tables import people
from equime.audit.tables.groups import is_small, several, whose
from equime.audit.tables.rows import Rows, label
from equime.bootstrap import Estimate, Statistic
from equime.planning.targets import LABELS, PRIORITY
from equime.tag_summary import AGES_APART

Array = npt.NDArray[Any]

COLUMNS: Final = (*people.COLUMNS, "skin_ita", "source", "agreement")
"""What `reliability` reads."""


def reliability(table: pa.Table, name: str = "the data set") -> Audit:
    """Whether labellers agree, about whom, and whether the tagger agrees with itself.

    Args:
        table: Rows of the contract with (at least) `COLUMNS`.
        name: For messages.

    Returns:
        "agreement" and "kappa" of source and tagger over subjects (for ages also weighted by how many bands they are
        apart); which label of the source's is taken for which ("labelled"); by group, how often they agree, the
        subjects whose clips the tagger labels differently, and the share of a clip's frames that say what it says.

    Raises:
        EquimeError: Nobody has any label.
    """
    rows = label(name, table)
    known = people.people(table)
    both = {a: (known.labels["source"][a], known.labels["tag"][a]) for a in PRIORITY}
    found: list[Finding] = []
    columns: dict[str, Array] = {}
    notes = ["source and tagger agree where a subject's two labels are the same; both are perceived", *rows.notes]
    notes.append('"chance or target" is of agreement what chance alone gives, 0 of kappa')
    for attribute, (source, tag) in both.items():
        shared = [subject for subject in source if subject in tag]
        if shared:
            found += _agreement(attribute, source, tag, shared, known.clips)
            alike = {subject: float(source[subject] == tag[subject]) for subject in shared}
            columns[f"{attribute} agrees"] = _on_first(rows, alike)
        else:
            notes.append(f"{attribute}: nobody is labelled by both source and tagger")
    columns |= {f"{a} differs between clips": _on_first(rows, who) for a, who in _unstable(table).items() if who}
    agreement = pc.fill_null(table["agreement"].combine_chunks().cast(pa.float64()), np.nan)
    columns["frames agree"] = np.asarray(agreement)
    groupings, missing = several(rows, None)
    found += by_groups(rows, columns, groupings)
    question = "How far can the labels of groups be relied on, and for whom?"
    return Audit("reliability", question, tuple(found), (*notes, *missing, TESTED), ("agreement", "kappa"))


def _agreement(
    attribute: str, source: Mapping[str, str], tag: Mapping[str, str], shared: Sequence[str], clips: Mapping[str, int]
) -> Iterator[Finding]:
    names = LABELS[attribute]
    one, two = (np.array([names.index(labels[subject]) for subject in shared]) for labels in (source, tag))
    counts = np.zeros((len(shared), len(names), len(names)))
    counts[np.arange(len(shared)), one, two] = 1
    whole = counts.sum(0)
    chance = float(whole.sum(0) @ whole.sum(1) / len(shared) ** 2)
    kinds: dict[str, Statistic] = {"agreement": metrics.accuracy, "kappa": metrics.kappa}
    if attribute == "age":
        kinds["weighted kappa"] = lambda pooled: metrics.kappa(pooled, "linear")
    values, drawn = (np.stack([kind(c) for kind in kinds.values()], -1) for c in (whole, drawn_of_all(counts)))
    number = sum(clips[subject] for subject in shared), len(shared)
    for measure, estimate in zip(kinds, estimates(values, drawn), strict=True):
        reference = chance if measure == "agreement" else 0.0
        missing = "chance alone agrees fully: one label for all"
        yield finding(measure, estimate, missing, *number, of=attribute, reference=reference)
    for i, j in sorted(np.argwhere(whole).tolist(), key=lambda pair: -whole[*pair] / whole[pair[0]].sum()):
        if i != j:
            hits, trials = int(whole[i, j]), int(whole[i].sum())
            estimate = Estimate(hits / trials, *metrics.wilson(hits, trials))
            of = {"of": f"{names[i]} as {names[j]}", "by": attribute, "labels": "source", "small": is_small(trials)}
            owned = sum(clips[subject] for subject, place in zip(shared, one, strict=True) if place == i)
            yield finding("labelled", estimate, "", owned, trials, **of)


def _on_first(rows: Rows, values: Mapping[str, float]) -> Array:
    """A value of each subject at its first row, NaN at the others: float64 (n,)."""
    first = np.unique(whose(rows)[0], return_index=True)[1]
    found, names = np.full(len(rows), np.nan), rows.table["subject_id"].take(pa.array(first)).to_pylist()
    found[first] = [values.get(name, np.nan) for name in names]
    return found


def _unstable(table: pa.Table) -> dict[str, dict[str, float]]:
    """Attribute -> subject -> whether its clips are tagged differently; of subjects with two or more tagged clips."""
    asked = [("gender", "count_distinct"), ("race", "count_distinct"), ("age", "min"), ("age", "max")]
    counted = [(name, "count") for name in PRIORITY]
    kept = table.select(["subject_id", *PRIORITY]).combine_chunks()
    found = kept.group_by("subject_id").aggregate([*asked, *counted])
    by = {name: found[name].to_pylist() for name in found.column_names}
    apart = [
        high is not None and high - low > AGES_APART for low, high in zip(by["age_min"], by["age_max"], strict=True)
    ]
    differs = {"age": apart} | {a: [n > 1 for n in by[f"{a}_count_distinct"]] for a in ("gender", "race")}
    return {
        a: {who: float(d) for who, d, n in zip(by["subject_id"], differs[a], by[f"{a}_count"], strict=True) if n > 1}
        for a in PRIORITY
    }
