"""A recipe and the pictures it names become the clips again, each compared with the hash of the one it was.

    rebuild("org/equime@1.0.0", Path("CelebAMask-HQ"), Path("ws"), workers=4)

Pictures are found by their content, whatever they are called. The clips are made in a workspace by the recorded
generator with its recorded options, like any run: stopped at any moment, the same call goes on; pictures that come
later open new shards. A clip is *identical* where its hash is the recipe's, else *within tolerance* or *different*
(`equime.publishing.recipes.tolerance`), for which its shard is scored as the recipe's was.

Captions, tags and scores come along for each shard where all they were made from is as it was: with identical clips
all of them, else those that were made from the plan alone. The other groups are for the stages to make.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from tqdm import tqdm

from equime import schema
from equime.errors import EquimeError
from equime.footer import Footer, digest, mark_of
from equime.locks import hold
from equime.planning.store import keep
from equime.publishing.manifest import hashed
from equime.publishing.recipes import tolerance
from equime.publishing.recipes.recipe import GENERATE, Recipe, match, open_recipe
from equime.publishing.recipes.remade import Part, Remade
from equime.publishing.recipes.stage_fields import stage_of
from equime.remote import Token
from equime.runner import run
from equime.screening.portraits import inside
from equime.table import SHARD_ROWS, Table, sweep
from equime.wording import counted

STAGE = "import"
VERSION = 1


class Picture(NamedTuple):
    """A picture that the recipe needs: its path from the folder of faces, and the SHA-256 of its content."""

    source: str
    sha256: str


@dataclass(frozen=True)
class Rebuilt:
    """What came of a recipe.

    Attributes:
        recipe: Its name.
        workspace: Where the clips are.
        clips: How many the recipe describes.
        identical: Clips with the recipe's bytes.
        alike: Clips with other bytes that show the same, within `tolerance.stated()`.
        different: Clip -> what differs.
        failed: Clip -> why it could not be made.
        missing: Subject -> its clips whose picture is not in the folder.
        notes: What is worth a line.
        seconds: Wall-clock time.
    """

    recipe: str
    workspace: str
    clips: int
    identical: int = 0
    alike: int = 0
    different: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether every clip of the recipe was made again."""
        return not (self.different or self.failed or self.missing)

    def __str__(self) -> str:
        """One line for people, the tolerance where it was used, and one for each note."""
        lacking = f"{counted(sum(self.missing.values()), 'clip')} of {counted(len(self.missing), 'subject')}"
        line = (
            f"rebuilt: {counted(self.clips, 'clip')} of {self.recipe} in {self.workspace}: {self.identical} identical, "
            f"{self.alike} within tolerance, {len(self.different)} different, {len(self.failed)} failed, "
            f"{lacking} without a picture; {self.seconds:.1f} s"
        )
        used = [f"tolerance: {tolerance.stated()}"] if self.alike or self.different else []
        return "\n".join([line, *used, *(f"note: {note}" for note in self.notes)])

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "whole": self.whole, "tolerance": tolerance.stated()}


def rebuild(
    where: str,
    faces: Path,
    out: Path,
    *,
    workers: int = 1,
    shard_rows: int = SHARD_ROWS,
    token: Token = None,
    progress: bool = True,
) -> Rebuilt:
    """Make the clips of a recipe again.

    Args:
        where: The folder of a recipe, or REPO[@VERSION].
        faces: A folder that holds its pictures, at any depth and under any names.
        out: The workspace: new, or one that this recipe was rebuilt in before.
        workers: Processes.
        shard_rows: Rows a shard, where the workspace is new.
        token: Of the Hub.
        progress: Show pictures and clips done, rate and time left on a terminal.

    Raises:
        EquimeError: No such recipe or folder, no access, a workspace of something else, or a generator that cannot
            run here. What was finished is kept.
    """
    begun = time.monotonic()
    if not faces.is_dir():
        raise EquimeError(f"no such folder of faces: {faces}; give the folder that holds the pictures with --faces")
    recipe = open_recipe(where, token)
    stages = [stage_of(making[GENERATE], faces=faces) for making in recipe.makings]
    table = Table.create(out, shard_rows=shard_rows)
    _require_ours(table, recipe)
    pictures = _found(recipe, faces, progress)
    table = keep(table, faces=str(faces.resolve()))
    with hold(table.path / "plan"):
        sweep(table.path / "plan")
        _follow(table, recipe, pictures)
        _plan(table, recipe, pictures)
    shards = _by_making(table, recipe)
    for number, indices in shards.items():
        run(stages[number], Part(table, indices), workers=workers, retry_failed=True, progress=progress)
    found = Remade(table, recipe, workers, progress)
    for number, indices in shards.items():
        found.add(recipe.makings[number], indices)
    return Rebuilt(
        recipe.name,
        str(table.path),
        len(recipe.rows),
        found.identical,
        found.alike,
        found.different,
        found.failed,
        missing=_missing(table, recipe),
        notes=tuple(found.notes()),
        seconds=time.monotonic() - begun,
    )


def _require_ours(table: Table, recipe: Recipe) -> None:
    """Refuse a workspace that holds anything but this recipe's clips."""
    for index in table.shards():
        footer = table.footer("plan", index)
        if footer is None or footer.fields.get("recipe") != recipe.manifest.digest():
            raise EquimeError(
                f"{table.path} holds other clips than those of {recipe.name}: name a new folder with --out"
            )


def _found(recipe: Recipe, faces: Path, progress: bool) -> dict[str, Picture]:
    """The pictures that the recipe needs, by how it names them; of equal ones the first by path."""
    wanted, found = set(recipe.matches), dict[str, Picture]()
    paths = sorted(path for path in faces.rglob("*") if _is_picture(path, faces))
    with tqdm(paths, desc="pictures", unit="file", disable=None if progress else True) as bar:
        for path in bar:
            try:
                sha256 = hashed(path).sha256
            except OSError:  # what cannot be read is missing, and is said to be if it is needed
                continue
            name = match(recipe.salt, sha256)
            if name in wanted and name not in found:
                found[name] = Picture(path.relative_to(faces).as_posix(), sha256)
            if len(found) == len(wanted):
                break
    return found


def _is_picture(path: Path, faces: Path) -> bool:
    """Whether a file can be named in a plan: regular, of a name in UTF-8, and not a link out of the folder."""
    relative = path.relative_to(faces).as_posix()
    try:
        relative.encode()
        return inside(faces, relative).is_file()
    except (UnicodeEncodeError, EquimeError, OSError):
        return False


# ------------------------------------------------------------------------------------------------------- the plan


def _plan(table: Table, recipe: Recipe, pictures: Mapping[str, Picture]) -> None:
    """Open shards for the clips that have a picture and are not planned yet; a shard holds one way of making."""
    planned = _planned(table)
    todo: dict[int, list[str]] = {}
    for clip_id, place in recipe.place.items():
        if clip_id not in planned and recipe.matches[place] in pictures:
            todo.setdefault(recipe.making[place], []).append(clip_id)
    for number in sorted(todo):
        ids, rows = todo[number], table.shard_rows
        for start in range(0, len(ids), rows):
            _write_plan(table, max(table.shards(), default=-1) + 1, recipe, ids[start : start + rows], pictures)


def _follow(table: Table, recipe: Recipe, pictures: Mapping[str, Picture]) -> None:
    """Name pictures that were renamed since, in shards that are not made whole yet."""
    for index in table.shards():
        footer = table.footer(GENERATE, index)
        if footer is not None and not footer.failed:
            continue
        ids = _ids(table, index)
        before = table.read(index, ["source"])["source"].to_pylist()
        now = [pictures.get(recipe.matches[recipe.place[clip_id]]) for clip_id in ids]
        if all(now) and [picture.source for picture in now if picture] != before:
            _write_plan(table, index, recipe, ids, pictures)


def _write_plan(table: Table, index: int, recipe: Recipe, ids: Sequence[str], pictures: Mapping[str, Picture]) -> None:
    found = [pictures[recipe.matches[recipe.place[clip_id]]] for clip_id in ids]
    rows = schema.conform(recipe.take(ids, _published("plan")), schema.GROUPS["plan"])
    for name in schema.UNPUBLISHED:
        values = pa.array([picture.source if name == "source" else picture.sha256 for picture in found], pa.string())
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), values)
    fields = {"recipe": recipe.manifest.digest()}
    mark = mark_of(STAGE, VERSION, fields, {"clip_id": digest(rows["clip_id"])})
    table.write("plan", index, rows, Footer(STAGE, VERSION, mark, fields=fields))


def _published(group: str) -> list[str]:
    return [name for name in schema.GROUPS[group].names if name not in (*schema.UNPUBLISHED, "video")]


def _ids(table: Table, index: int) -> list[str]:
    ids: list[str] = table.read(index, [])["clip_id"].to_pylist()
    return ids


def _planned(table: Table) -> set[str]:
    return {clip_id for index in table.shards() for clip_id in _ids(table, index)}


def _by_making(table: Table, recipe: Recipe) -> dict[int, list[int]]:
    """Number of a making -> the shards to be made so."""
    found: dict[int, list[int]] = {}
    for index in table.shards():
        found.setdefault(recipe.making[recipe.place[_ids(table, index)[0]]], []).append(index)
    return found


def _missing(table: Table, recipe: Recipe) -> dict[str, int]:
    """Subject -> clips that could not be planned for want of their picture."""
    planned = _planned(table)
    found: Counter[str] = Counter()
    for clip_id, subject in zip(recipe.place, recipe.rows["subject_id"].to_pylist(), strict=True):
        found[subject] += clip_id not in planned
    return dict(+found)


def shown(rebuilt: Rebuilt, most: int) -> Iterator[str]:
    """What is wrong, one line a clip or subject, at most `most` of each kind."""
    subjects = {subject: f"no picture for {counted(n, 'clip')}" for subject, n in rebuilt.missing.items()}
    for lines in (rebuilt.failed, rebuilt.different, subjects):
        yield from (f"{name}: {why}" for name, why in list(lines.items())[:most])
        if len(lines) > most:
            yield f"... and {len(lines) - most} more: see --json"
