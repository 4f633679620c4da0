"""A plan in the making: from the screened faces and the wishes to rows, drawn one at a time, and the report.

making = Making(table, PlanOptions(), Planned(), sources, {12: "E"})
making.require_reached()
making.write(first=0)
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from equime import schema
from equime.causal import EmotionModel
from equime.errors import EquimeError
from equime.planning import equity, equity_audit, twins
from equime.planning.faces import by_subject, root_of
from equime.planning.options import PlanOptions
from equime.planning.planned import Planned
from equime.planning.report import PlanReport
from equime.planning.schedule import Schedule, kind
from equime.planning.shots import Writer
from equime.planning.store import Row, keep, write_rows
from equime.screening.gallery import Source, rejected_by_group
from equime.table import SHARD_ROWS, Table, write_atomically, writing

Tick = Callable[[int, int], object]
MODEL = "causal.json"
"""The fitted model a workspace was planned with, where it was not the packaged tables."""
TABLES = "packaged tables"


def silent(done: int, total: int) -> None:
    """Show no progress."""


@dataclass(frozen=True)
class Making:
    """A plan of a workspace, before and while it is written.

    Attributes:
        table: The workspace.
        options: What was asked for.
        planned: What it holds that stays.
        sources: The screened faces, under their planned names.
        can_show: Unit -> strongest intensity of the generator.
        after: What was written.
    """

    table: Table
    options: PlanOptions
    planned: Planned
    sources: list[Source]
    can_show: Mapping[int, str]
    after: Planned = field(default_factory=Planned)

    @cached_property
    def schedule(self) -> Schedule:
        """Who is planned.

        Raises:
            EquimeError: No face can be used, and none was planned before.
        """
        pictures = by_subject(self.sources, self.planned)
        if not pictures and not self.planned.rows:
            reasons = "; ".join(f"{source.path}: {source.reason}" for source in self.sources[:3])
            raise EquimeError(f"no usable face in {self.options.screen.faces}: {reasons}")
        return Schedule(self.planned, pictures, self.targets, self.options.wishes)

    @cached_property
    def fitted(self) -> EmotionModel | None:
        """The model given, where it is not that of the packaged tables."""
        return read_model(self.options.model) if self.options.model else None

    @cached_property
    def model(self) -> EmotionModel:
        """What draws the programmes."""
        return shown_by(self.can_show, self.fitted)

    @cached_property
    def fields(self) -> dict[str, Any]:
        """What the footers keep, and later planning must agree with."""
        return {
            "seed": self.options.seed,
            "pseudonyms": self.options.pseudonymous(self.table.path),
            "prompt": self.options.prompt,
            "model": name_of(self.fitted),
            "shows": {str(au): letter for au, letter in sorted(self.can_show.items())},
        }

    @cached_property
    def targets(self) -> equity.Targets:
        """The balance that is wanted."""
        path = self.options.targets
        return equity.Targets.from_csv(path) if path else equity.Targets.uniform()

    @cached_property
    def equity(self) -> equity.Equity:
        """How even the whole will be, in identities and in clips."""
        return equity.report(Counter(self.schedule.cells.values()), self.schedule.clips, self.targets)

    @cached_property
    def audit(self) -> equity_audit.Audit | None:
        """The evenness once more by an independent tagger's labels, and corrected for confusion; labels err."""
        first = self.schedule.cells
        sources = [sources[0] for sources in self.schedule.pictures.values()]
        second = {source.subject_id: source.second_cell for source in sources if source.subject_id in first}
        told = any(set(cell.split("|")) != {equity.UNKNOWN} for cell in second.values())
        path = self.options.confusion
        if not told and path is None:
            return None
        return equity_audit.audit(
            first,
            self.targets,
            second=second if told else None,
            confusion=equity_audit.Confusion.from_csv(path) if path else None,
            pool=Counter(source.cell for source in sources),
            seed=self.options.seed,
        )

    def require_reached(self) -> None:
        """Refuse, unless the balance is reached or its shortfall allowed."""
        if not (self.equity.reached or self.options.allow_shortfall):
            raise ShortfallError(self.equity, self.rejected)

    def rows(self) -> Iterator[Row]:
        """The new rows, drawn one at a time."""
        writer = Writer(self.model, self.options.seed, self.options.prompt)
        schedule, epoch = self.schedule, self.planned.epochs
        for shot in schedule.shots():
            subject = shot.source.subject_id
            yield writer.row(shot, epoch, schedule.splits[subject], schedule.cells[subject])

    def write(self, first: int, wrote: Tick = silent) -> None:
        """Write the new rows as shards from number `first` on, and what the workspace remembers of its planning."""
        total, path = sum(1 for _ in self.schedule.shots()), self.table.path / MODEL
        with writing(path):  # whoever continues the plan, or asks what would have been, needs the same model
            if self.fitted:
                write_atomically(path, self.fitted.to_json().encode())
            else:
                path.unlink(missing_ok=True)
        if total:
            write_rows(self.table, self._followed(self.rows(), total, wrote), self.fields, first=first)
        keep(self.table, faces=str(root_of(self.options.screen, self.table.path).resolve()))

    def _followed(self, rows: Iterable[Row], total: int, wrote: Tick) -> Iterator[Row]:
        for done, row in enumerate(rows, start=1):
            self.after.add(row)
            wrote(done, total)
            yield row

    @property
    def rejected(self) -> dict[str, str]:
        """Picture -> why it was left out."""
        return {source.path: source.reason for source in self.sources if source.reason}

    def report(self) -> PlanReport:
        """What was done, once it is."""
        before, after = self.planned, self.after
        pairs, pictures = self.schedule.pairs, self.schedule.pictures
        return PlanReport(
            rows=before.rows + after.rows,
            new_rows=after.rows,
            subjects=len({*before.subjects, *after.subjects}),
            by_emotion=dict(before.by_emotion + after.by_emotion),
            by_split=dict(before.by_split + after.by_split),
            by_design=dict(before.by_design + after.by_design),
            equity=self.equity,
            audit=self.audit,
            twins=dict(Counter(pair.contrast for pair in pairs)),
            twin_balance=twins.balance(pairs, [sources[0] for sources in pictures.values()]) if pairs else {},
            unplanned_units=self.model.dropped_share(),
            notes=self._notes(),
            rejected=self.rejected,
            rejected_by_group=rejected_by_group(self.sources),
        )

    def _notes(self) -> dict[str, str]:
        usable = [source for source in self.sources if source.reason is None]
        notes = {source.path: source.note for source in usable if source.note}
        for source in usable:
            cell = self.schedule.cells.get(source.subject_id, source.cell)
            if _contradicts(source.cell, cell):
                stays = "stays" if source.subject_id in self.planned.subjects else "is"
                notes[source.path] = f"{stays} planned as {cell}, not {source.cell}: a subject is of one group"
        rows = self.table.shard_rows
        if self.options.shard_rows not in (SHARD_ROWS, rows):
            notes["--shard-rows"] = f"stays {rows}, as the workspace was made"
        if self.options.subjects and len(self.schedule.cells) < self.options.subjects:
            notes["--subjects"] = f"{len(self.schedule.cells)} of {self.options.subjects}: there are no more to choose"
        if self.targets.note:
            notes["--targets"] = self.targets.note
        found = Counter(kind(pair.contrast) for pair in self.schedule.pairs)
        wanted = self.schedule.wanted_pairs
        if few := [f"{found[name]} of {n} pairs {name}" for name, n in wanted.items() if found[name] < n]:
            notes["--twins"] = f"could match {' and '.join(few)}: more new subjects alike, in one split, are needed"
        if self.schedule.swept < self.options.dose:
            few_swept = f"swept {self.schedule.swept} of {self.options.dose} subjects"
            notes["--dose"] = f"{few_swept}: more new ones are needed, as planned ones stay as they are"
        return notes


class ShortfallError(EquimeError):
    """The faces cannot reach the targets: `equity` says by how much, `rejected` which pictures were left out."""

    def __init__(self, equity: equity.Equity, rejected: Mapping[str, str]) -> None:
        super().__init__(
            "the faces cannot reach the targets: add faces of the short groups, choose fewer --subjects, give "
            "other --targets, or plan the best reachable with --allow-shortfall"
        )
        self.equity = equity
        self.rejected = rejected


def _contradicts(cell: str, planned: str) -> bool:
    """Whether a cell knows a label that the planned one does not have."""
    return any(own not in (one, equity.UNKNOWN) for own, one in zip(cell.split("|"), planned.split("|"), strict=True))


def shown_by(can_show: Mapping[int, str], model: EmotionModel | None = None) -> EmotionModel:
    """A model, by default that of the packaged tables, of what a generator can show: unit -> strongest intensity."""
    caps = {au: letter for au, letter in can_show.items() if letter != schema.INTENSITIES[-1]}
    if model is None:
        return EmotionModel.from_tables(can_show=list(can_show), caps=caps)
    return model.showing(list(can_show), caps)


def name_of(model: EmotionModel | None) -> str:
    """A fitted model's sha256, or `TABLES`."""
    return hashlib.sha256(model.to_json().encode()).hexdigest() if model else TABLES


def read_model(path: Path) -> EmotionModel:
    """A causal model that `equime causal fit` wrote.

    Raises:
        EquimeError: The file is not there, or holds no model.
    """
    try:
        return EmotionModel.from_json(path.read_text(encoding="utf-8"))
    except EquimeError as error:
        raise EquimeError(f"{path}: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise EquimeError(f"cannot read the causal model {path}: {why}; make one with `equime causal fit`") from error
