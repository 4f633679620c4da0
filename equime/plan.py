"""The plan: which face shows which units, when, and from which seed. Every later stage follows it.

    equime plan ws --faces faces/ --per-emotion 2 --seed 0
    equime plan ws --refill                                  # new clips where scored ones were not accepted

Subjects are chosen so that every demographic group gets the same experiment: each chosen subject gets all five
emotions, and units, sides, intensities and times come from the causal model and each clip's own noise, so they cannot
depend on who is shown. Planning again with more faces, or more clips, opens new shards and changes no earlier row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from equime.errors import EquimeError
from equime.locks import hold, hold_every
from equime.planning.faces import named, not_swapped, pseudonym_key, screened
from equime.planning.making import MODEL, TABLES, Making, ShortfallError, Tick, silent
from equime.planning.options import PlanOptions
from equime.planning.planned import Planned
from equime.planning.refilling import refill_plan
from equime.planning.report import PlanReport
from equime.planning.store import STAGE, going_stale, keep, require_whole, undo_unfinished
from equime.screening.gallery import Source
from equime.table import Table, sweep

__all__ = ["LASTING", "PlanOptions", "PlanReport", "ShortfallError", "plan", "refill_plan", "replan"]

LASTING = ("seed", "pseudonyms", "prompt", "model", "shows")
"""What all rows of a workspace have in common: rows planned later must not differ in kind."""


def plan(
    workspace: Path,
    options: PlanOptions,
    can_show: Mapping[int, str],
    tick: Tick = silent,
    wrote: Tick = silent,
) -> PlanReport:
    """Plan what is missing.

    Args:
        workspace: Made if it is not there.
        options: As above.
        can_show: Unit -> strongest intensity of the generator that will follow the plan.
        tick: Told (pictures screened, pictures to screen).
        wrote: Told (rows written, rows to write).

    Raises:
        EquimeError: Nothing usable among the faces, targets out of reach, another seed than the workspace has,
            or a lock.
    """
    sources = screened(workspace, options.screen, tick)
    table = Table(workspace)
    with hold(table.path / STAGE):
        sweep(table.path / STAGE)
        undo_unfinished(table)
        require_whole(table)
        table = _sized(table, options)
        planned = Planned.read(table)
        making = Making(table, options, planned, not_swapped(_named(sources, table, options), planned), can_show)
        _require_same(table, making)
        making.require_reached()
        making.write(first=len(table.shards(STAGE)), wrote=wrote)
    return making.report()


def replan(
    workspace: Path,
    options: PlanOptions,
    can_show: Mapping[int, str],
    confirm: Callable[[list[str]], bool],
    tick: Tick = silent,
    wrote: Tick = silent,
) -> PlanReport | None:
    """Plan everything anew, after `confirm` has seen one line for each group that goes stale.

    Returns:
        None when `confirm` says no; nothing is changed then.

    Raises:
        EquimeError: As `plan`; an imported workspace; or any stage is running in this one.
    """
    table = Table(workspace)
    require_whole(table)
    sources = screened(workspace, options.screen, tick)
    with hold_every(table.path / group for group in {STAGE, *table.groups}):
        making = Making(table, options, Planned(), _named(sources, table, options), can_show)
        making.require_reached()
        if not confirm(list(going_stale(table, making.rows()))):
            return None
        undo_unfinished(table)
        making.write(first=0, wrote=wrote)
    return making.report()


def _named(sources: list[Source], table: Table, options: PlanOptions) -> list[Source]:
    """The sources under the names that the plan gives them."""
    pseudonymous = options.pseudonymous(table.path)
    return named(sources, pseudonym_key(table, options.pseudonym_key) if pseudonymous else None)


def _require_same(table: Table, making: Making) -> None:
    """A workspace has one seed, one way of naming subjects, one wording, one model and one kind of generator."""
    shards = table.shards(STAGE)
    footer = table.footer(STAGE, shards[0]) if shards else None
    if footer is None:
        return
    differ = [name for name in LASTING if footer.fields.get(name) != making.fields[name]]
    if was := ", ".join(_flag(table, name, footer.fields.get(name)) for name in differ):
        raise EquimeError(f"{table.path} was planned with {was}: repeat that, or start over with --replace")


def _flag(table: Table, name: str, value: object) -> str:
    """What the command line said of a lasting field."""
    if name == "pseudonyms":
        return "--pseudonyms" if value else "--no-pseudonyms"
    if name == "model":
        return f"the {TABLES} (no --model)" if value == TABLES else f"--model {table.path / MODEL}"
    return "another --generator, that shows other units" if name == "shows" else f"--{name} {value}"


def _sized(table: Table, options: PlanOptions) -> Table:
    """The workspace with the wanted rows a shard, while nothing is planned."""
    if table.shards(STAGE) or options.shard_rows == table.shard_rows:
        return table
    return keep(table, shard_rows=options.shard_rows)
