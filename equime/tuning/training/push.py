"""A tuned adapter goes to the Hub as a model repository: private, gated, and without a word of who was in the data.

    print(push_tuned(Path("runs/v"), ModelRemote("owner/name")))

    adapter_model.safetensors, adapter_config.json    as PEFT reads them
    weights.json                                      the sha256 of both
    run.json                                          the record; where things lay on this machine is left out
    README.md                                         the card

By the same way as `equime train --push`: gated while it is empty, filled in one commit, read back.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from equime.errors import EquimeError
from equime.locks import hold
from equime.publishing.manifest import hashed
from equime.recognise.model_repo import HASHES, ModelRemote
from equime.recognise.outgoing_run import CARD, Outgoing
from equime.recognise.publish_run import PushedRun, push_files
from equime.tuning.training import card
from equime.tuning.training.adapter import CONFIG, RUN, WEIGHTS, open_run, sha256_of

PRIVATE = ("folder",)
"""What `run.json` tells of the base on this machine alone."""


def push_tuned(
    run: Path,
    remote: ModelRemote,
    *,
    visible: bool = False,
    tell: Callable[[str], object] = lambda line: None,
    progress: bool = True,
) -> PushedRun:
    """Publish a finished run, or what is missing of it there.

    Args:
        run: Its folder.
        remote: Where it goes.
        visible: Let everybody see the card, at the very end; the files stay behind the gate either way.
        tell: Called with one line before anything is sent: how much it is.
        progress: Show bytes on a terminal.

    Raises:
        EquimeError: One line: a run that is not finished; a repository that is public and ungated or holds something
            else; no token, or one that may not write; the Hub does not answer.
    """
    with _outgoing(run, remote.repo) as made:
        return push_files(made, remote, visible=visible, tell=tell, progress=progress)


@contextlib.contextmanager
def _outgoing(run: Path, repo: str) -> Iterator[Outgoing]:
    """The files that go out, for the length of a `with` block."""
    opened = open_run(run)
    told: dict[str, Any] = dict(opened.told)
    told["base"] = {name: value for name, value in told["base"].items() if name not in PRIVATE}
    folder = run / ".push"
    with hold(run):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            for name in (WEIGHTS, CONFIG):
                shutil.copyfile(opened.adapter / name, folder / name)
            _write(folder / HASHES, {name: sha256_of(folder / name) for name in (WEIGHTS, CONFIG)})
            _write(folder / RUN, told)
            (folder / CARD).write_text(card.render(told, _history(run), repo), encoding="utf-8")
            files = {name: folder / name for name in (WEIGHTS, CONFIG, HASHES, RUN, CARD)}
            yield Outgoing(files, {name: hashed(file) for name, file in files.items()}, 1, opened.mark)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _history(run: Path) -> list[dict[str, float]]:
    try:
        found: list[dict[str, float]] = json.loads((run / "history.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EquimeError(f"no history of a finished run in {run}: run the same `equime tune` again") from error
    return found


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
