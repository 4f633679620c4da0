"""Clips made again, against those of their recipe; and the recipe's annotations, brought along where they still hold.

    remade = Remade(table, recipe)
    remade.add(making, shards)         # the shards of one way of making
    remade.identical, remade.alike, remade.different, remade.failed

A shard that differs is scored as the recipe's was, and each clip judged within `equime.publishing.recipes.tolerance`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from equime import schema
from equime.errors import EquimeError
from equime.footer import mark_of
from equime.locks import hold
from equime.marks import input_digests
from equime.publishing.recipes import tolerance
from equime.publishing.recipes.recipe import GENERATE, Making, Recipe
from equime.publishing.recipes.stage_fields import stage_of
from equime.runner import run
from equime.shard_worker import versions
from equime.table import Table

BROUGHT = ("caption", "tag", "score")
UNSCORED = "the recipe has no score to judge it by"


class Part(Table):
    """Some shards of a workspace as a whole one, for a run of one way of making."""

    def __init__(self, table: Table, indices: Sequence[int]) -> None:
        super().__init__(table.path)
        self.indices = frozenset(indices)

    def shards(self, group: str = "plan") -> list[int]:
        """See `Table`."""
        return [index for index in super().shards(group) if index in self.indices]


@dataclass
class Remade:
    """The clips of a workspace against those of its recipe.

    Attributes:
        table: The workspace.
        recipe: What its clips should be.
        workers: Processes that score.
        progress: Show clips scored on a terminal.
        identical: Clips with the recipe's bytes.
        alike: Clips with other bytes, within tolerance.
        different: Clip -> what differs.
        failed: Clip -> why it could not be made.
        left: Groups that the recipe has and some shard here has not.
    """

    table: Table
    recipe: Recipe
    workers: int = 1
    progress: bool = True
    identical: int = 0
    alike: int = 0
    different: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)

    def add(self, making: Making, indices: Sequence[int]) -> None:
        """Compare the shards of one making."""
        other: list[int] = []
        for index in indices:
            hashes = self.table.read(index, ["sha256"]).to_pylist()
            wrong = [row["sha256"] for row in hashes if row["sha256"] != self.recipe.manifest.clips[row["clip_id"]]]
            self._bring(making, index, same=not wrong)
            other += [index] if any(wrong) else []
        why = self._score(making, other) if other else None
        for index in indices:
            self._judge(index, why)
            self.left.update(group for group in making if not self.table.made(index, [group]))

    def notes(self) -> Iterator[str]:
        """What is worth a line."""
        if groups := [group for group in BROUGHT if group in self.left]:
            commands = ", ".join(f"`equime {group} {self.table.path}`" for group in groups)
            yield f"{', '.join(groups)}: did not come along where clips differ; make them with {commands}"
        if self.different or self.alike:
            yield from dict.fromkeys(filter(None, map(_other_versions, self.recipe.makings)))

    def _bring(self, making: Making, index: int, *, same: bool) -> None:
        """Write the recipe's groups whose inputs here are what they were there, under the marks of their stages."""
        for group in BROUGHT:
            how = making.get(group)
            if how is None or self.table.made(index, [group]):
                continue
            if not same and any(schema.OWNER.get(name) != "plan" for name in how.reads):
                continue
            inputs = input_digests(self.table, how.reads, index)
            if inputs is None:
                continue
            rows = self.recipe.take(self.table.read(index, [])["clip_id"].to_pylist(), schema.GROUPS[group].names)
            failed = len(rows) - rows[f"{group}_error"].null_count
            mark = mark_of(how.stage, how.version, how.fields, inputs)
            with hold(self.table.path / group):
                self.table.write(group, index, rows, replace(how, mark=mark, failed=failed))

    def _score(self, making: Making, indices: Sequence[int]) -> str | None:
        """Score shards as the recipe's were; None, or why they could not be."""
        how = making.get("score")
        if how is None or how.stage != "score":
            return UNSCORED
        try:
            run(stage_of(how), Part(self.table, indices), workers=self.workers, progress=self.progress)
        except EquimeError as error:
            return f"it cannot be scored here: {error}"
        return None

    def _judge(self, index: int, why: str | None) -> None:
        names = ["sha256", "generate_error", *tolerance.COLUMNS]
        made = set(self.table.made(index))
        here = self.table.read(index, [name for name in names if schema.OWNER[name] in made]).to_pylist()
        there = self.recipe.take([row["clip_id"] for row in here], tolerance.COLUMNS).to_pylist()
        for want, have in zip(there, here, strict=True):
            clip_id = have["clip_id"]
            if have["generate_error"]:
                self.failed[clip_id] = have["generate_error"]
            elif have["sha256"] == self.recipe.manifest.clips[clip_id]:
                self.identical += 1
            elif found := [why] if why else tolerance.differences(want, dict.fromkeys(names) | have):
                self.different[clip_id] = "; ".join(found)
            else:
                self.alike += 1


def _other_versions(making: Making) -> str | None:
    there = making[GENERATE].packages
    here = versions(there)
    other = [f"{name} {there[name]} (here {here.get(name)})" for name in there if there[name] != here.get(name)]
    return f"other versions made the recipe's clips: {', '.join(other)}" if other else None
