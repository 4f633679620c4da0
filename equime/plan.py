"""The plan: which face shows which units, when, and from which seed. Every later stage follows it.

    equime plan ws --faces faces/ --per-emotion 2 --seed 0

Each picture gets the same number of clips of every emotion; units, sides, intensities and times come from the
causal model (`equime.causal`) and each clip's own seed, so they cannot depend on who is shown. Planning again
with more faces, or more clips, opens new shards and changes no earlier row.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from equime import schema, splits
from equime.causal import EmotionModel, noise, seed_of
from equime.errors import EquimeError
from equime.locks import hold, hold_every
from equime.options import option, result_fields
from equime.plan_store import STAGE, Row, going_stale, require_whole, undo_unfinished, write_rows
from equime.portraits import Portrait, Rejected, faces_root, pseudonym, read_portraits, screen
from equime.table import SHARD_ROWS, Table, is_workspace, sweep, write_atomically, writing


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
    table = Table(workspace) if is_workspace(workspace) else None
    before, notes = _before(table, options) if table else ([], {})
    usable, refused = _screened(portraits, _root(options), before, tick)
    rejected = [*rejected, *refused]
    if not before and not usable:
        reasons = "; ".join(f"{r.path}: {r.reason}" for r in rejected[:3])
        raise EquimeError(f"no usable face in {options.faces}: {reasons}")
    model = EmotionModel.from_tables(can_show=list(can_show), caps=_caps(can_show))
    table = table or Table.create(workspace, shard_rows=options.shard_rows, faces=str(_root(options).resolve()))
    with hold(table.path / STAGE):
        sweep(table.path / STAGE)
        undo_unfinished(table)
        if len(_rows(table)) != len(before):
            raise EquimeError(f"{table.path} was planned by another process meanwhile: run the same command again")
        after = _missing_rows(before, usable, options, model)
        if after:
            write_rows(table, after, result_fields(options), first=len(table.shards(STAGE)))
        _keep_root(table, options)
    return _report(before, after, usable, rejected, model, notes | _kept(before, usable))


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

    Raises:
        EquimeError: As `plan`; an imported workspace; or any stage is running in this one.
    """
    table = Table(workspace)
    require_whole(table)
    portraits, rejected = _named(options)
    with hold_every(table.path / group for group in {STAGE, *table.groups}):
        usable, refused = _screened(portraits, _root(options), [], tick)
        model = EmotionModel.from_tables(can_show=list(can_show), caps=_caps(can_show))
        rows = _missing_rows([], usable, options, model)
        if not rows:
            raise EquimeError(f"no usable face in {options.faces}: the old plan stays")
        if not confirm(list(going_stale(table, rows))):
            return None
        undo_unfinished(table)
        write_rows(table, rows, result_fields(options), first=0)
        _keep_root(table, options)
    return _report([], rows, usable, [*rejected, *refused], model, {})


def _rows(table: Table) -> list[Row]:
    return list(table.rows(schema.GROUPS[STAGE].names))


def _before(table: Table, options: PlanOptions) -> tuple[list[Row], dict[str, str]]:
    """The rows of a workspace that can be planned further, and what of `options` it will not follow.

    Raises:
        EquimeError: Its plan is not whole, or has another seed, naming or folder of faces.
    """
    with hold(table.path / STAGE):
        undo_unfinished(table)
    require_whole(table)
    _require_same(table, options)
    before, root = _rows(table), _root(options)
    if str(root.resolve()) != table.settings.get("faces"):
        missing = next((row["source"] for row in before if not (root / row["source"]).is_file()), None)
        if missing:
            raise EquimeError(
                f"{table.path} was planned from {table.settings.get('faces')}, and {root} lacks {missing}: "
                "add the new pictures to that folder, or plan another workspace"
            )
    if options.shard_rows in (SHARD_ROWS, table.shard_rows):
        return before, {}
    return before, {"--shard-rows": f"stays {table.shard_rows}, as the workspace was made"}


def _keep_root(table: Table, options: PlanOptions) -> None:
    """Remember where the faces are now: the folder may have moved."""
    root = str(_root(options).resolve())
    if table.settings.get("faces") != root:
        path = table.path / "workspace.json"
        with writing(path):
            write_atomically(path, json.dumps(dict(table.settings) | {"faces": root}, indent=1).encode())


def _kept(before: Sequence[Row], usable: Sequence[Portrait]) -> dict[str, str]:
    """Notes on pictures whose labels differ from those they were planned with."""
    planned = {row["source_sha256"]: row["cell"] for row in before}
    return {
        portrait.path: f"stays planned as {planned[portrait.sha256]}, not {portrait.cell}"
        for portrait in usable
        if planned.get(portrait.sha256, portrait.cell) != portrait.cell
    }


def _root(options: PlanOptions) -> Path:
    return faces_root(_faces(options))


def _faces(options: PlanOptions) -> Path:
    if options.faces is None:
        raise EquimeError("no faces given: add --faces DIR")
    return Path(options.faces)


def _named(options: PlanOptions) -> tuple[list[Portrait], list[Rejected]]:
    if options.per_emotion < 1:
        raise EquimeError(f"--per-emotion should be at least 1, got {options.per_emotion}")
    if options.shard_rows < 1:
        raise EquimeError(f"--shard-rows should be at least 1, got {options.shard_rows}")
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
    known = dict.fromkeys((row["source"], row["source_sha256"], row["subject_id"]) for row in before)
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
    """Each subject's split; the stratum is the cell of its first picture."""
    existing = {row["subject_id"]: (row["split"], row["cell"]) for row in reversed(before)}
    cells: dict[str, str] = {}
    for portrait in portraits:
        known = existing.get(portrait.subject_id, ("", portrait.cell))[1]
        cells.setdefault(portrait.subject_id, known)
    return splits.assign(list(cells.items()), existing, seed=seed)


def _report(
    before: Sequence[Row],
    after: Sequence[Row],
    usable: Collection[Portrait],
    rejected: Sequence[Rejected],
    model: EmotionModel,
    notes: Mapping[str, str],
) -> PlanReport:
    rows = [*before, *after]
    return PlanReport(
        rows=len(rows),
        new_rows=len(after),
        subjects=len({row["subject_id"] for row in rows}),
        by_emotion=dict(Counter(row["emotion"] for row in rows)),
        by_split=dict(Counter(row["split"] for row in rows)),
        unplanned_units=model.dropped_share(),
        notes={p.path: p.note for p in usable if p.note} | dict(notes),
        rejected={r.path: r.reason for r in rejected},
    )
