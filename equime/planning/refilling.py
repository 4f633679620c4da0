"""Planning again what was not accepted: new rows in the same emotion, group and intensity cell.

    equime plan ws --refill

The first rows, and what was made of them, stay as they are. What cannot be replaced carries a weight in
`ws/weights.csv`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from equime.causal import EmotionModel
from equime.errors import EquimeError
from equime.locks import hold
from equime.planning import refill, strata
from equime.planning.faces import KEY, by_subject, named, not_swapped, root_of, screened
from equime.planning.making import MODEL, TABLES, name_of, read_model, shown_by
from equime.planning.options import PlanOptions
from equime.planning.planned import Planned
from equime.planning.report import PlanReport
from equime.planning.shots import Shot, Writer, clip_id
from equime.planning.store import STAGE, Row, keep, require_whole, undo_unfinished, write_rows
from equime.screening.gallery import Source
from equime.table import Table


def refill_plan(
    workspace: Path,
    options: PlanOptions,
    can_show: Mapping[int, str],
    wrote: Callable[[int, int], object] = lambda done, total: None,
) -> PlanReport:
    """Add rows until the accepted clips of every stratum are as many as planned, and write the weights.

    Args:
        workspace: Planned, and at least partly scored.
        options: `screen.faces`, `per_emotion` and `max_repeats` count; what lasts (seed, ids, prompts, model) is as
            the workspace was planned.
        can_show: Unit -> strongest intensity of the generator, where the plan does not tell.
        wrote: Told (rows written, rows to write).

    Raises:
        EquimeError: Nothing planned or scored, or a lock.
    """
    table = Table(workspace)
    require_whole(table)
    fields = _fields(table)
    sources = named(screened(workspace, options.screen), table.settings[KEY] if fields["pseudonyms"] else None)
    with hold(table.path / STAGE):
        undo_unfinished(table)
        planned, clips = Planned.read(table), strata.judged(table)
        if all(clip.accepted is None for clip in clips):
            raise EquimeError(f"{workspace} has no scored clips: run `equime score {workspace}` first")
        most = max(options.per_emotion * options.max_repeats, max(map(planned.turns, planned.subjects)))
        wanted = refill.needs(clips, most)
        writer = Writer(_model(table, fields, can_show), int(fields["seed"]), str(fields["prompt"]))
        pictures = {one: found[0] for one, found in by_subject(not_swapped(sources, planned), planned).items()}
        shots = list(_shots(wanted, planned, pictures, writer))
        after = Planned()
        if shots:
            rows = _rows(shots, planned, writer, after, wrote)
            write_rows(table, rows, fields, first=len(table.shards(STAGE)))
        keep(table, faces=str(root_of(options.screen, table.path).resolve()))
    strata.write_weights(table)
    return PlanReport(
        rows=planned.rows + after.rows,
        new_rows=after.rows,
        subjects=len(planned.subjects),
        by_emotion=dict(planned.by_emotion + after.by_emotion),
        by_split=dict(planned.by_split + after.by_split),
        by_design=dict(planned.by_design + after.by_design),
        unplanned_units=writer.model.dropped_share(),
        short=_short(strata.judged(table)),
    )


def _fields(table: Table) -> dict[str, Any]:
    shards = table.shards(STAGE)
    footer = table.footer(STAGE, shards[0]) if shards else None
    if footer is None:
        raise EquimeError(f"nothing is planned in {table.path}: run `equime plan {table.path} --faces DIR`")
    return dict(footer.fields)


def _model(table: Table, fields: Mapping[str, Any], can_show: Mapping[int, str]) -> EmotionModel:
    """The model that the rows were drawn from: of the generator that they were planned for."""
    shows = {int(au): str(letter) for au, letter in fields.get("shows", can_show).items()}
    if fields["model"] == TABLES:
        return shown_by(shows)
    if name_of(model := read_model(table.path / MODEL)) != fields["model"]:
        raise EquimeError(
            f"{table.path / MODEL} is not the model of this plan: put back the one of `equime causal fit`"
        )
    return shown_by(shows, model)


def _shots(
    wanted: list[refill.Need], planned: Planned, pictures: Mapping[str, Source], writer: Writer
) -> Iterator[Shot]:
    """The clips that the needs ask for; a need whose faces are gone stays open."""
    last = {subject: Counter(known.last) for subject, known in planned.subjects.items()}
    for need in wanted:
        takers = need.twins or tuple(subject for subject in need.subjects if subject in pictures)[:1]
        if not takers or not all(subject in pictures for subject in takers):
            continue
        for subject in takers:
            last[subject][need.emotion] += 1
        lead = clip_id(need.emotion, pictures[takers[0]], last[takers[0]][need.emotion])
        key, _ = refill.matching_key(writer.model, need.emotion, need.letter, writer.seed, lead)
        for subject in takers:
            yield Shot(
                pictures[subject],
                need.emotion,
                last[subject][need.emotion],
                design="refill",
                noise_key=key,
                twin_id=need.twin_id,
                twin_contrast=need.twin_contrast,
            )


def _rows(
    shots: list[Shot], planned: Planned, writer: Writer, after: Planned, wrote: Callable[[int, int], object]
) -> Iterator[Row]:
    for done, shot in enumerate(shots, start=1):
        known = planned.subjects[shot.source.subject_id]
        row = writer.row(shot, planned.epochs, known.split, known.cell)
        after.add(row)
        wrote(done, len(shots))
        yield row


def _short(clips: list[strata.Judged]) -> list[str]:
    """The strata that stay short, in words, the emptiest first."""
    short = [(count.short, stratum) for stratum, count in strata.strata(clips).items() if count.short]
    if not short:
        return []
    total, shown = sum(n for n, _ in short), sorted(short, key=lambda one: -one[0])[:8]
    named = "; ".join(f"{s.emotion} {s.cell} {s.letter or '-'}: {n}" for n, s in shown)
    more = f"; and {len(short) - len(shown)} more strata" if len(short) > len(shown) else ""
    return [f"plan: {total} clips stay short and carry weights (weights.csv): {named}{more}"]
