"""The faces of a plan: screened, under the names that the plan gives them, and still the pictures they were.

sources = named(screened(Path("ws"), Screen(faces=Path("faces"))), pseudonym_key(Table("ws")))
"""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from equime.errors import EquimeError
from equime.planning.planned import Planned
from equime.planning.store import STAGE, keep, require_whole
from equime.planning.targets import ATTRIBUTES, UNKNOWN
from equime.screening.gallery import Source, gather, read_sources
from equime.screening.portraits import faces_root, pseudonym
from equime.screening.thresholds import Screen
from equime.table import Table, is_workspace

KEY = "pseudonym_key"


def screened(
    workspace: Path, screen: Screen, tick: Callable[[int, int], object] = lambda done, total: None
) -> list[Source]:
    """The workspace's sources: screened anew where faces or thresholds are given, else as `equime screen` left them.

    Raises:
        EquimeError: No faces given and none screened, nothing there, or an imported workspace.
    """
    if is_workspace(workspace):
        table = Table(workspace)
        require_whole(table)
        if screen.faces is not None:
            _require_there(table, faces_root(screen.faces))
    given = replace(screen, workers=1) != Screen()
    return gather(workspace, screen, tick) if given else read_sources(workspace)


def named(sources: list[Source], key: str | None) -> list[Source]:
    """The sources under pseudonyms made with a key, or, without one, under their own ids."""
    if key is None:
        return sources
    names = {source.subject_id: pseudonym(source.subject_id, key) for source in sources}
    return [replace(source, subject_id=names[source.subject_id]) for source in sources]


def pseudonym_key(table: Table, given: Path | None = None) -> str:
    """The workspace's key of pseudonyms: made when it is first asked for, from a file given or else at random.

    It stays in `workspace.json`, which is never exported: whoever holds it can tell who is who.

    Raises:
        EquimeError: The file does not read, or the workspace has another key.
    """
    known = table.settings.get(KEY)
    try:
        wanted = hashlib.sha256(given.read_bytes()).hexdigest() if given else known or secrets.token_hex(32)
    except OSError as error:
        raise EquimeError(f"cannot read the key {given}: {error.strerror}") from error
    if known and wanted != known:
        raise EquimeError(f"{table.path} has pseudonyms of another key: leave --pseudonym-key out")
    keep(table, **{KEY: wanted})
    return str(wanted)


def root_of(screen: Screen, workspace: Path) -> Path:
    """The folder that the pictures' paths start from."""
    return faces_root(screen.faces) if screen.faces is not None else Path(str(Table(workspace).settings["faces"]))


def not_swapped(sources: list[Source], planned: Planned) -> list[Source]:
    """The sources, without those that planned rows contradict: a copy under another id could land in another split."""
    return [replace(one, reason=reason) if (reason := _swapped(one, planned)) else one for one in sources]


def by_subject(sources: Iterable[Source], planned: Planned) -> dict[str, list[Source]]:
    """Subject -> its usable pictures, all under the subject's perceived labels.

    A person is in one group: as first planned, else what most of the pictures that have a label say, the earlier of
    two as common. So what a row says of its face is what the balance counted.
    """
    pictures: dict[str, list[Source]] = {}
    for source in sources:
        if source.reason is None:
            pictures.setdefault(source.subject_id, []).append(source)
    return {subject: _alike(found, planned) for subject, found in pictures.items()}


def _alike(pictures: list[Source], planned: Planned) -> list[Source]:
    known = planned.subjects.get(pictures[0].subject_id)
    if known is None and len(pictures) == 1:
        return pictures
    labels = (
        known.cell.split("|") if known else [_most([getattr(one, name) for one in pictures]) for name in ATTRIBUTES]
    )
    gender, age, race = (None if label == UNKNOWN else label for label in labels)
    return [replace(one, gender=gender, age=age, race=race) for one in pictures]


def _most(labels: Iterable[str | None]) -> str | None:
    return next((label for label, _ in Counter(filter(None, labels)).most_common(1)), None)


def _swapped(source: Source, planned: Planned) -> str | None:
    if planned.pictures.get(source.path, source.sha256) != source.sha256:
        return "name: another picture was planned under this name: give the new one a name of its own"
    owner = planned.owners.get(source.sha256, source.subject_id)
    return f"copy: the same picture was planned as subject {owner!r}" if owner != source.subject_id else None


def _require_there(table: Table, root: Path) -> None:
    """Refuse another folder of faces, unless the planned pictures moved there."""
    if str(root.resolve()) == table.settings.get("faces") or not table.shards(STAGE):
        return
    missing = next((path for path in Planned.read(table).pictures if not (root / path).is_file()), None)
    if missing:
        raise EquimeError(
            f"{table.path} was planned from {table.settings.get('faces')}, and {root} lacks {missing}: "
            "add the new pictures to that folder, or plan another workspace"
        )
