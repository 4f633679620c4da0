"""A finished run goes to the Hub as a model repository: private, gated, and without a word of who was in the data.

    print(push_run(Path("runs/x"), ModelRemote("owner/name")))

    equime train ... --out runs/x --push owner/name
    equime predict owner/name --data ws --out answers.parquet

What is sent is in `outgoing_run`: networks, their hashes, the manifest without names, a card. The repository is private
from its first moment, its gate is set and read back while it is empty, and all files come in one commit: half a model
is never there. The same command again finds nothing to do.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from equime.errors import EquimeError
from equime.one_line import one_line
from equime.publishing.repository import gate
from equime.publishing.repository.asking import MAIN
from equime.publishing.repository.client import Remote, StaleError
from equime.publishing.repository.compare import KEPT, lacking
from equime.publishing.repository.reading import State
from equime.recognise.model_repo import HASHES, ModelRemote
from equime.recognise.outgoing_run import CARD, MOST_BYTES, Outgoing, outgoing
from equime.recognise.training.run import MANIFEST
from equime.wording import counted

TOGETHER: Final = 20
"""Files uploaded at once."""


@dataclass(frozen=True)
class PushedRun:
    """What a push did.

    Attributes:
        repo: "owner/name".
        commit: What `main` stands at.
        networks: How many are there.
        files: Files there, the networks among them.
        bytes: Of all of them.
        sent: Bytes of those that were not there yet.
        private: Whether the repository is hidden.
        url: Its page.
    """

    repo: str
    commit: str
    networks: int
    files: int
    bytes: int
    sent: int
    private: bool
    url: str

    def __str__(self) -> str:
        """For people."""
        seen = "private" if self.private else "public"
        return (
            f"{self.repo}@{self.commit[:12]}: {counted(self.networks, 'network')}, {self.sent:,} of {self.bytes:,} "
            f"bytes sent; {seen}, access is asked for: {self.url}"
        )

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def survey(remote: ModelRemote) -> None:
    """Ask what can be asked before anything is trained, and change nothing.

    Raises:
        EquimeError: The token cannot write; the repository holds something else, or is public and has no gate.
    """
    remote.user()
    if (state := remote.state()) is not None:
        gate.require_closed(remote, state)
        _held(remote, state)


def push_run(
    run: Path,
    remote: ModelRemote,
    *,
    seeds: int | None = None,
    visible: bool = False,
    tell: Callable[[str], object] = lambda line: None,
    most_bytes: int = MOST_BYTES,
    progress: bool = True,
) -> PushedRun:
    """Publish a run, or what is missing of it there.

    Args:
        run: Its folder, finished, with networks.
        remote: Where it goes.
        seeds: Networks of so many seeds, the first ones; None is all. Each seed's answer for every clip.
        visible: Let everybody see the card, at the very end; the files stay behind the gate either way.
        tell: Called with one line before anything is sent: how much it is.
        most_bytes: Of the networks together.
        progress: Show bytes on a terminal.

    Raises:
        EquimeError: One line: a run that is not finished, too large or has no networks; a repository that is public
            and ungated or holds something else; no token, or one that may not write; the Hub does not answer.
    """
    with outgoing(run, remote.repo, seeds=seeds, most_bytes=most_bytes) as made:
        return push_files(made, remote, visible=visible, tell=tell, progress=progress)


def push_files(
    made: Outgoing,
    remote: ModelRemote,
    *,
    visible: bool = False,
    tell: Callable[[str], object] = lambda line: None,
    progress: bool = True,
) -> PushedRun:
    """Publish the files of a run, or what is missing of them there: for the arguments see `push_run`.

    Raises:
        EquimeError: One line: a repository that is public and ungated or holds something else; no token, or one that
            may not write; the Hub does not answer.
    """
    remote.user()
    if (state := remote.state()) is not None:
        gate.require_closed(remote, state)
        _require_same(remote, state, made)
    state = gate.secure(remote)
    missing, extra = lacking(remote, state.commit, made.entries, made.files)
    size = sum(made.entries[path].bytes for path in missing)
    tell(f"{counted(len(missing), 'file')} of {len(made.files)}, {size:,} bytes, to {remote.repo}")
    if missing or extra:
        _send(remote, state, {path: made.files[path] for path in missing}, extra, size, progress)
        _require_arrived(remote, made)
    if visible:
        gate.guarded(remote)
        remote.set_private(False)
    state = gate.guarded(remote)
    total = sum(entry.bytes for entry in made.entries.values())
    counts = made.networks, len(made.files), total, size
    return PushedRun(remote.repo, state.commit, *counts, state.private, remote.url)


# --- what is there


def _held(remote: Remote, state: State) -> str | None:
    """The mark of the run that a repository holds; None where there is nothing but what the Hub itself puts there.

    Raises:
        EquimeError: It holds something else, or the token may not write.
    """
    remote.require_write()
    there = remote.tree(state.commit).keys() - {KEPT, CARD}
    mark, ours = None, set[str]()
    if {MANIFEST, HASHES} <= there:
        told, listed = (_object(remote.read(name, state.commit)) for name in (MANIFEST, HASHES))
        if "mark" in told:
            mark, ours = str(told["mark"]), {MANIFEST, HASHES, *listed}
    if strange := sorted(there - ours):
        raise EquimeError(
            f"{remote.repo} holds {counted(len(strange), 'file')} that no run put there, {one_line(strange[0])!r} "
            "first: name another repository, or take them out"
        )
    return mark


def _require_same(remote: Remote, state: State, made: Outgoing) -> None:
    held = _held(remote, state)
    if held is not None and held != made.mark:
        raise EquimeError(f"{remote.repo} holds another run ({held[:12]}, not {made.mark[:12]}): name a new repository")


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _send(remote: Remote, state: State, files: Mapping[str, Path], extra: list[str], size: int, progress: bool) -> None:
    """Upload, then one commit on the one that was looked at."""
    additions, paths = [], list(files)
    with tqdm(total=size, desc="push", unit="B", unit_scale=True, disable=None if progress else True) as bar:
        for start in range(0, len(paths), TOGETHER):
            some = {path: files[path] for path in paths[start : start + TOGETHER]}
            additions += remote.upload(some, MAIN)
            bar.update(sum(file.stat().st_size for file in some.values()))
        gate.guarded(remote)  # once more: only the commit makes it readable
        with contextlib.suppress(StaleError):  # by this very commit, it may be, whose answer was lost
            remote.commit(MAIN, state.commit, f"A run: {counted(len(files), 'file')}", additions, extra)


def _require_arrived(remote: Remote, made: Outgoing) -> None:
    if lacking(remote, MAIN, made.entries, made.files) != ([], []):
        raise EquimeError(
            f"somebody changed {remote.repo} meanwhile: run the same command again; what was sent is not sent again"
        )
