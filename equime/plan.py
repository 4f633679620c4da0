"""The plan: which face shows which units, when, and from which seed. Every later stage follows it.

    equime plan ws --faces faces/ --per-emotion 2 --seed 0

Each picture gets the same number of clips of every emotion; units, sides, intensities and times come from the
causal model (`equime.causal`) and each clip's own seed, so they cannot depend on who is shown. Planning again
with more faces, or more clips, opens new shards and changes no earlier row.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from equime import schema, splits
from equime.causal import EmotionModel, noise, seed_of
from equime.errors import EquimeError
from equime.locks import hold
from equime.options import option, result_fields
from equime.portraits import Portrait, Rejected, faces_root, pseudonym, read_portraits, screen
from equime.table import SHARD_ROWS, Footer, Table, digest, sweep

Row = dict[str, Any]
STAGE = "plan"
VERSION = 1


@dataclass(frozen=True)
class PlanOptions:
    """What a plan depends on."""

    faces: Path | None = option(None, help="folder of JPEG, PNG or WebP, or a CSV/Parquet of faces", result=False)
    per_emotion: int = option(1, help="clips of each emotion for every picture", result=False)
    seed: int = option(0, help="seed of units, times and everything drawn")
    pseudonyms: bool = option(False, help="replace subject ids by pseudonyms")
    shard_rows: int = option(SHARD_ROWS, help="rows a shard, fixed when the workspace is made", result=False)


@dataclass(frozen=True)
class PlanReport:
    """What planning did."""

    rows: int = 0
    new_rows: int = 0
    subjects: int = 0
    by_emotion: dict[str, int] = field(default_factory=dict)
    by_split: dict[str, int] = field(default_factory=dict)
    unplanned_units: dict[str, float] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    rejected: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return dict(vars(self))

    def __str__(self) -> str:
        """A few lines for people."""
        share = self.unplanned_units.get("overall", 0.0)
        return (
            f"plan: {self.new_rows} new clips, {self.rows} in all, of {self.subjects} subjects; "
            f"by split {self.by_split}\n"
            f"plan: {share:.1%} of the tables' unit marks are of units that no generator shows, and unplanned"
        )


def plan(
    workspace: Path,
    options: PlanOptions,
    can_show: Mapping[int, str],
    tick: Callable[[int, int], object] = lambda done, total: None,
) -> PlanReport:
    """Plan what is missing.

    Args:
        workspace: Made if it is not there.
        options: As above.
        can_show: Unit -> strongest intensity of the generator that will follow the plan.
        tick: Told (pictures seen, pictures in all).

    Raises:
        EquimeError: Nothing usable among the faces, another seed than the workspace has, or a lock.
    """
    portraits, rejected = _named(options)
    table = Table.create(workspace, shard_rows=options.shard_rows, faces=str(_root(options).resolve()))
    with hold(table.path / STAGE):
        sweep(table.path / STAGE)
        _require_same(table, options)
        before = list(table.rows(schema.GROUPS[STAGE].names))
        usable, refused = _screened(portraits, _root(options), before, tick)
        model = EmotionModel.from_tables(can_show=list(can_show), caps=_caps(can_show))
        after = _missing_rows(before, usable, options, model)
        _append(table, after, options)
    if not before and not after:
        reasons = "; ".join(f"{r.path}: {r.reason}" for r in [*rejected, *refused][:3])
        raise EquimeError(f"no usable face in {options.faces}: {reasons}")
    return _report(before, after, usable, [*rejected, *refused], model)


def replan(
    workspace: Path,
    options: PlanOptions,
    can_show: Mapping[int, str],
    confirm: Callable[[list[str]], bool],
    tick: Callable[[int, int], object] = lambda done, total: None,
) -> PlanReport | None:
    """Plan everything anew, after `confirm` has seen one line for each group that goes stale.

    Returns:
        None when `confirm` says no; nothing is changed then.
    """
    table = Table(workspace)
    portraits, rejected = _named(options)
    with hold(table.path / STAGE):
        usable, refused = _screened(portraits, _root(options), [], tick)
        model = EmotionModel.from_tables(can_show=list(can_show), caps=_caps(can_show))
        rows = _missing_rows([], usable, options, model)
        if not rows:
            raise EquimeError(f"no usable face in {options.faces}: the old plan stays")
        if not confirm(list(_going_stale(table, rows))):
            return None
        kept = range(len(_chunks(rows, table.shard_rows)))
        _append(table, rows, options, first=0)
        for index in table.shards(STAGE):
            if index not in kept:
                table.shard_path(STAGE, index).unlink()
    return _report([], rows, usable, [*rejected, *refused], model)


def _root(options: PlanOptions) -> Path:
    return faces_root(_faces(options))


def _faces(options: PlanOptions) -> Path:
    if options.faces is None:
        raise EquimeError("no faces given: add --faces DIR")
    return Path(options.faces)


def _named(options: PlanOptions) -> tuple[list[Portrait], list[Rejected]]:
    if options.per_emotion < 1:
        raise EquimeError(f"expected at least one clip an emotion, got {options.per_emotion = }")
    portraits, rejected = read_portraits(_faces(options))
    if options.pseudonyms:
        portraits = [replace(p, subject_id=pseudonym(p.subject_id, options.seed)) for p in portraits]
    return portraits, rejected


def _require_same(table: Table, options: PlanOptions) -> None:
    """A workspace has one seed and one way of naming subjects: rows planned later must not differ in kind."""
    shards = table.shards(STAGE)
    footer = table.footer(STAGE, shards[0]) if shards else None
    if footer and footer.fields != (now := result_fields(options)):
        raise EquimeError(
            f"{table.path} was planned with {footer.fields}, got {now}: repeat those, or start over with --replace"
        )


def _screened(
    portraits: Sequence[Portrait], root: Path, before: Sequence[Row], tick: Callable[[int, int], object]
) -> tuple[list[Portrait], list[Rejected]]:
    known = {row["source_sha256"]: row["subject_id"] for row in before if row["source_sha256"]}
    found = []
    for done, one in enumerate(screen(portraits, root, known), start=1):
        tick(done, len(portraits))
        found.append(one)
    return [f for f in found if isinstance(f, Portrait)], [f for f in found if isinstance(f, Rejected)]


def _caps(can_show: Mapping[int, str]) -> dict[int, str]:
    return {au: letter for au, letter in can_show.items() if letter != schema.INTENSITIES[-1]}


def _missing_rows(
    before: Sequence[Row], portraits: Sequence[Portrait], options: PlanOptions, model: EmotionModel
) -> list[Row]:
    """The rows that `per_emotion` clips of every emotion for every picture still lack, in plan order."""
    made = Counter((row["source_sha256"], row["emotion"]) for row in before)
    last = Counter[tuple[str, str]]()
    for row in before:
        key = (row["subject_id"], row["emotion"])
        last[key] = max(last[key], row["sequence"] or 0)
    split = _splits(before, portraits, options.seed)
    epoch = max((row["epoch"] for row in before), default=-1) + 1
    rows = []
    for turn in range(options.per_emotion):
        for portrait in portraits:
            for emotion in schema.EMOTIONS:
                if made[portrait.sha256, emotion] > turn:
                    continue
                last[portrait.subject_id, emotion] += 1
                sequence = last[portrait.subject_id, emotion]
                row = _row(portrait, emotion, sequence, options.seed, model)
                rows.append(row | {"epoch": epoch, "split": split[portrait.subject_id]})
    return rows


def _row(portrait: Portrait, emotion: str, sequence: int, plan_seed: int, model: EmotionModel) -> Row:
    clip_id = f"{emotion}/{portrait.code}_{portrait.subject_id}_{sequence:02d}"
    seed = seed_of(plan_seed, clip_id)
    programme = model.sample(emotion, partial(noise, seed))
    times = {"onset": programme.onset_ms, "apex": programme.apex_ms, "offset": programme.offset_ms}
    return {
        "clip_id": clip_id,
        "subject_id": portrait.subject_id,
        "source": portrait.path,
        "source_sha256": portrait.sha256,
        "source_licence": portrait.licence,
        "source_gender": portrait.gender,
        "source_age": portrait.age,
        "source_race": portrait.race,
        "cell": portrait.cell,
        "emotion": emotion,
        "sequence": sequence,
        "action_units": [unit.to_dict() for unit in programme.units],
        **{f"{name}_ms": ms for name, ms in times.items()},
        **{name: round(ms * schema.FPS / 1000) for name, ms in times.items()},
        "noise_key": clip_id,
        "seed": seed,
    }


def _splits(before: Sequence[Row], portraits: Sequence[Portrait], seed: int) -> dict[str, str]:
    existing = {row["subject_id"]: (row["split"], row["cell"]) for row in before}
    return splits.assign([(p.subject_id, p.cell) for p in portraits], existing, seed=seed)


def _chunks(rows: Sequence[Row], size: int) -> list[list[Row]]:
    return [list(rows[start : start + size]) for start in range(0, len(rows), size)]


def _append(table: Table, rows: Sequence[Row], options: PlanOptions, first: int | None = None) -> None:
    start = first if first is not None else max(table.shards(STAGE), default=-1) + 1
    for index, chunk in enumerate(_chunks(rows, table.shard_rows), start):
        shard = pa.Table.from_pylist(chunk, schema=schema.GROUPS[STAGE])
        digests = {name: digest(shard[name]) for name in shard.column_names}
        mark = hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()
        table.write(STAGE, index, shard, Footer(STAGE, VERSION, mark, digests, fields=result_fields(options)))


def _going_stale(table: Table, rows: Sequence[Row]) -> Iterator[str]:
    """One line a group: how many of its shards the new plan leaves behind."""
    changed = set(table.shards(STAGE))
    for index, chunk in enumerate(_chunks(rows, table.shard_rows)):
        footer = table.footer(STAGE, index)
        shard = pa.Table.from_pylist(chunk, schema=schema.GROUPS[STAGE])
        if footer and all(footer.digests[name] == digest(shard[name]) for name in shard.column_names):
            changed.discard(index)
    for group in table.groups:
        if stale := changed.intersection(table.shards(group)):
            yield f"{group}: {len(stale)} of {len(table.shards(group))} shards"


def _report(
    before: Sequence[Row],
    after: Sequence[Row],
    usable: Collection[Portrait],
    rejected: Sequence[Rejected],
    model: EmotionModel,
) -> PlanReport:
    rows = [*before, *after]
    return PlanReport(
        rows=len(rows),
        new_rows=len(after),
        subjects=len({row["subject_id"] for row in rows}),
        by_emotion=dict(Counter(row["emotion"] for row in rows)),
        by_split=dict(Counter(row["split"] for row in rows)),
        unplanned_units=model.dropped_share(),
        notes={p.path: p.note for p in usable if p.note},
        rejected={r.path: r.reason for r in rejected},
    )
