"""`equime review read WS SHEET...`: the sheets of FACS coders, read back: do they agree, and with the plan?

    found = read(Path("ws"), [Path("sheet_A.csv"), Path("sheet_B.csv")])
    found.one("kappa", of="any unit", scope="coder A and coder B").value

Coders are compared with one another, with the plan, with what was measured, and with themselves where a clip came
twice. Everything else is counted once a clip, as it came first. Groups are of *perceived* labels, emotions are the
*intended* programme of units.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from equime.audit.measures.resampling import Tested, corrected
from equime.audit.result import Audit, Finding
from equime.audit.review.agreement import LEAST, agreement
from equime.audit.review.export import FOLDER, key_path
from equime.audit.review.judges import Judge, measured, planned
from equime.audit.review.rates import Clips, by_group, overall
from equime.audit.review.sampling import strongest
from equime.audit.review.sheet import Code, read_sheet
from equime.audit.tables.groups import Groups, groups, several
from equime.audit.tables.rows import Rows, open_rows
from equime.errors import EquimeError
from equime.one_line import one_line
from equime.table import Table
from equime.wording import counted

COLUMNS: Final = (
    *("clip_id", "sha256", "emotion", "control", "action_units", "measured_units", "measured_side", "accepted"),
)
QUESTION: Final = "Do people who code action units see what was planned, agree on it, and see it of everybody?"
NOTES: Final = (
    "kappa: 0 is what chance alone gives, 1 full agreement; intensity and realism with quadratic weights",
    "agreement index: FACS's own, twice the units that both name over all that either names; beside it by chance",
    "seen of expressions: weighted back to the data set's strata; groups are compared without weights",
    '"chance or target" is of agreement and of units and emotions against the plan what chance alone gives; of "seen"'
    " on expressions the false alarms on neutral clips; of a group what holds of all; of a largest gap its mean where"
    " chance deals the groups to people",
    "p: each gap is held against the largest that chance brings about among all gaps of this review (Westfall and Young"
    " 1993); none of what one person has several of, as emotions and acceptance",
    f"a unit that is named in fewer than {LEAST} clips has no kappa of its own",
)
PLANNED: Final = ("emotion", "planned intensity", "acceptance")
"""What clips are grouped by beside their subjects' labels."""


@dataclass(frozen=True)
class _Review:
    """The clips of a review that are still what was shown, and what each coder wrote."""

    rows: Rows
    key: pa.Table
    codes: Mapping[str, Mapping[str, Code]]
    notes: tuple[str, ...]

    @property
    def first(self) -> Any:
        """Of the key's rows, those that show a clip first, bool (n,)."""
        return np.asarray(pc.is_null(self.key["repeat_of"]))

    def judge(self, coder: str, items: Sequence[str], name: str) -> Judge:
        """What a coder said of these items."""
        return Judge.of(name, [self.codes[coder].get(item) for item in items])


def read(workspace: Path, sheets: Sequence[Path], by: Sequence[str] | None = None) -> Audit:
    """Read coders' sheets back.

    Args:
        workspace: The one the clips were exported from.
        sheets: As filled in, whole or in part, one or several for each coder.
        by: Attributes to group by: see `groups.several`.

    Raises:
        EquimeError: A sheet that does not read, of another review, with an unknown item or one twice; no key; or none
            of the clips is still there.
    """
    review = _opened(workspace, sheets)
    rows, first = review.rows, review.first
    items = review.key["item"].filter(pa.array(first)).to_pylist()
    told = rows.table.select(["subject_id", *COLUMNS]).to_pylist()
    weight = np.asarray(review.key["weight"].filter(pa.array(first)).fill_null(1.0), np.float64)
    clips = Clips(
        np.unique([row["subject_id"] or row["clip_id"] for row in told], return_inverse=True)[1],
        np.array([row["emotion"] is None for row in told], bool),
        weight,
    )
    coders = [review.judge(coder, items, f"coder {coder}") for coder in review.codes]
    plan, machine = planned(told), measured(told)
    found = [_coded(coder, clips) for coder in coders]
    for coder in coders:
        found += overall(coder, plan, clips)
    found += _pairs(coders, plan, machine, clips)
    found += _twice(review, clips)
    by_whom, notes = _groupings(rows, by)
    notes += _left_out(weight[~clips.neutral])
    notes += [] if machine.coded.any() else [f"nothing was measured yet: run `equime score {workspace}`"]
    tested: list[Tested] = [(each, None) for each in found]
    for each in by_whom:
        tested += _of_groups(coders, plan, clips, each, rows.labels_of(each.by))
    said = (*review.notes, *notes, *NOTES)
    return Audit("review", QUESTION, corrected(tested), said, ("seen", "F1 of units", "emotion as intended"))


def _pairs(coders: Sequence[Judge], plan: Judge, machine: Judge, clips: Clips) -> Iterator[Finding]:
    pairs = list(combinations(coders, 2))
    for pair in pairs:
        yield from agreement([pair], clips.who, f"{pair[0].name} and {pair[1].name}")
    if len(pairs) > 1:
        yield from agreement(pairs, clips.who, f"mean of {len(pairs)} pairs of coders")
    for other in (plan, machine) if machine.coded.any() else (plan,):
        for coder in coders:
            yield from agreement([(coder, other)], clips.who, f"{coder.name} and {other.name}")


def _twice(review: _Review, clips: Clips) -> Iterator[Finding]:
    """Each coder against itself, on the clips that came twice."""
    again = review.key.filter(pa.array(~review.first))
    items, firsts = again["item"].to_pylist(), again["repeat_of"].to_pylist()
    places = {item: k for k, item in enumerate(review.key["item"].filter(pa.array(review.first)).to_pylist())}
    who = clips.who[[places[item] for item in firsts]] if firsts else np.zeros(0, np.int64)
    for coder in review.codes if firsts else ():
        pair = review.judge(coder, firsts, "first"), review.judge(coder, items, "again")
        yield from agreement([pair], who, f"coder {coder}, first and second time")


def _of_groups(coders: Sequence[Judge], plan: Judge, clips: Clips, by: Groups, labels: str) -> Iterator[Tested]:
    """All coders together; of several, by people's labels, each alone too in whether it saw anything."""
    yield from by_group(coders, plan, clips, by, labels)
    for coder in coders if len(coders) > 1 and by.by not in PLANNED else ():
        found = by_group([coder], plan, clips, by, labels)
        yield from (each for each in found if each[0].measure in ("seen", "largest gap in seen"))


def _groupings(rows: Rows, by: Sequence[str] | None) -> tuple[list[Groups], list[str]]:
    """What was asked for; else people's labels, those that somebody has, and what was planned."""
    if by:
        return several(rows, by)
    found, notes = list[Groups](), list[str]()
    try:
        found, notes = several(rows, None)
    except EquimeError as error:
        notes.append(str(error))
    return [*found, *(groups(rows, name) for name in PLANNED if rows.table[name].null_count < len(rows))], notes


def _left_out(weights: Any) -> list[str]:
    """Weights are 1 on the whole, but for strata of which nothing was drawn."""
    held = float(weights.mean()) if len(weights) else 1.0
    return [f"strata of which no clip was drawn hold {1 - held:.0%} of the expressions"] * (held < 0.995)


def _coded(coder: Judge, clips: Clips) -> Finding:
    people = len(np.unique(clips.who[coder.coded]))
    return Finding(
        measure="coded",
        scope=coder.name,
        value=float(coder.coded.mean()),
        clips=int(coder.coded.sum()),
        subjects=people,
        note=f"of {counted(len(coder.coded), 'clip')}",
    )


# --- the sheets and their key


def _opened(workspace: Path, sheets: Sequence[Path]) -> _Review:
    Table(workspace)
    told = [(path, row) for path in sheets for row in read_sheet(path)]
    reviews = {row.review: path for path, row in reversed(told)}
    if len(reviews) != 1:
        one, other = list(reviews.items())[:2]
        raise EquimeError(f"expected sheets of one review, got {one[0]!r} in {one[1]} and {other[0]!r} in {other[1]}")
    review = next(iter(reviews))
    key = _read_key(workspace, review)
    known, codes = set(key["item"].to_pylist()), dict[str, dict[str, Code]]()
    for path, row in told:
        own = codes.setdefault(row.coder, {})
        if row.item not in known:
            raise EquimeError(f"{path}: the review {review} has no item {one_line(row.item)!r}")
        if row.item in own:
            raise EquimeError(f"{path}: {row.item} of coder {one_line(row.coder)} twice: leave one of the rows out")
        own[row.item] = row.code
    if not any(code.said for own in codes.values() for code in own.values()):
        raise EquimeError(f"nothing is coded in {', '.join(map(str, sheets))}: fill the sheets in first")
    return _standing(workspace, key, {coder: codes[coder] for coder in sorted(codes)})


def _read_key(workspace: Path, review: str) -> pa.Table:
    path = key_path(workspace, review)
    try:
        return pq.read_table(path, pre_buffer=False)
    except FileNotFoundError:
        known = sorted(other.stem for other in (workspace / FOLDER).glob("*.parquet"))
        held = f"there are keys of {', '.join(known)}" if known else "no review was exported from here"
        raise EquimeError(f"no key {path}: {held}; name the workspace that the clips came from") from None
    except (OSError, pa.ArrowException) as error:
        raise EquimeError(f"cannot read the key {path}: {one_line(error)}; restore it from a copy") from error


def _standing(workspace: Path, key: pa.Table, codes: Mapping[str, Mapping[str, Code]]) -> _Review:
    """The key's clips as the workspace has them now, without those that are not what was shown."""
    rows = open_rows(str(workspace), COLUMNS)
    place = pc.index_in(key["clip_id"].combine_chunks(), rows.table["clip_id"].combine_chunks())
    there = rows.table["sha256"].combine_chunks().take(place)
    same = pc.fill_null(pc.equal(there, key["sha256"].combine_chunks()), False)
    kept = key.filter(same)
    if not len(kept):
        raise EquimeError(f"none of the clips of this review is in {workspace} as it was shown: were they made anew?")
    gone = len(key) - len(kept)
    notes = [f"{counted(gone, 'item')} left out: no longer in the workspace as shown"] * bool(gone)
    return _Review(_first_rows(rows, kept), kept, codes, (*rows.notes, *notes))


def _first_rows(rows: Rows, key: pa.Table) -> Rows:
    """The rows of the clips, each once in the key's order, with the columns `PLANNED`."""
    ids = key["clip_id"].filter(pc.is_null(key["repeat_of"])).combine_chunks()
    table = rows.table.take(pc.index_in(ids, rows.table["clip_id"].combine_chunks()))
    said = table["accepted"].to_pylist()
    accepted = [None if verdict is None else "accepted" if verdict else "rejected" for verdict in said]
    letters = pa.array(strongest(table["action_units"]), pa.string())
    table = table.append_column(PLANNED[1], letters)
    return replace(rows, table=table.append_column(PLANNED[2], pa.array(accepted, pa.string())))
