"""Weights to start from: a folder with safetensors, whose names and shapes fit the network.

Why not the libraries' own downloads: they are pickles, or come from the net where nobody expected it. A folder holds
what `safetensors.torch.save_file(network.state_dict(), "model.safetensors")` writes: of torchvision, of timm (as its
Hub repositories have it), or of a network trained here. Weights of the last layer for other classes are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from equime.checkpoints import PICKLES, Checkpoint, Layout, absent_weights, find, reading
from equime.errors import EquimeError
from equime.optional import need

EXTRA = "recognise"
LEVERS = "build a smaller network"
TRAINED = "network."
"""What precedes the names of a network that was trained here behind its scaling."""
PARTS = ("backbone.", "video.")
"""What precedes them where a network holds another library's."""


class Weights(Layout):
    """A folder of weights alone: no configuration is needed."""

    def files(self, folder: Path) -> Iterator[Path]:
        """The files by which they are known."""
        return iter(sorted(folder.glob("*.safetensors")))

    def check(self, folder: Path, remedy: str) -> None:
        """Refuse a folder without whole safetensors.

        Raises:
            EquimeError: One line.
        """
        missing = absent_weights(folder, remedy)
        if missing and any(found for pattern in PICKLES for found in folder.glob(pattern)):
            raise EquimeError(f"the weights in {folder} are pickles, which can run any code: expected safetensors")
        if missing:
            raise EquimeError(f"no weights in {folder}: it lacks {', '.join(missing)}")


def local(folder: str | Path, layout: Layout) -> Checkpoint:
    """The checkpoint in a folder; a name that is none is refused, never looked up on the net.

    Raises:
        EquimeError: No such folder, or no whole model in it.
    """
    if not Path(folder).expanduser().is_dir():
        raise EquimeError(f"no such folder of weights: {folder}; bring one with `hf download ID --local-dir DIR`")
    return find(str(folder), None, layout)


def weights_digest(folder: str | Path) -> str:
    """What tells the weights of two folders apart, for records; see `checkpoints.digest`.

    Raises:
        EquimeError: No such folder, or no whole safetensors in it.
    """
    return local(folder, Weights(EXTRA, "")).revision


def read(network: Any, folder: str | Path) -> None:
    """Put the weights of a folder into a network, in place.

    Args:
        network: Its last layer keeps what it has where the folder's is of other classes.
        folder: With safetensors.

    Raises:
        EquimeError: No such folder, broken files, or the weights of another network.
    """
    checkpoint, given = _given(folder)
    network.load_state_dict(_fitting(given, network.state_dict(), checkpoint), strict=False)


def trained_here(folder: str | Path) -> bool:
    """Whether the weights of a folder have the names of this package's networks rather than another library's.

    Raises:
        EquimeError: No such folder, or no safetensors in it.
    """
    checkpoint = local(folder, Weights(EXTRA, ""))
    safe_open = need("safetensors", extra=EXTRA).safe_open
    with reading(checkpoint, extra=EXTRA, levers=LEVERS):
        for path in Weights(EXTRA, "").files(checkpoint.folder):
            with safe_open(path, "pt") as file:
                if any(name.startswith((TRAINED, *PARTS)) for name in file.keys()):  # noqa: SIM118  # no mapping
                    return True
    return False


def _given(folder: str | Path) -> tuple[Checkpoint, dict[str, Any]]:
    """The weights of a folder, under the network's own names where it was trained here."""
    checkpoint = local(folder, Weights(EXTRA, ""))
    load = need("safetensors.torch", extra=EXTRA).load_file
    given: dict[str, Any] = {}
    with reading(checkpoint, extra=EXTRA, levers=LEVERS):
        for path in Weights(EXTRA, "").files(checkpoint.folder):
            given |= load(path)
    if all(name.startswith(TRAINED) or name in ("mean", "deviation") for name in given):
        given = {name.removeprefix(TRAINED): value for name, value in given.items() if name.startswith(TRAINED)}
    return checkpoint, given


def _fitting(given: Mapping[str, Any], own: Mapping[str, Any], checkpoint: Checkpoint) -> dict[str, Any]:
    """What is taken over: all but a last layer of other classes."""
    last = list(own)[-1].rpartition(".")[0]
    missing = [name for name in own if name not in given and not name.endswith("num_batches_tracked")]
    strange = [name for name in given if name not in own]
    odd = [name for name in own if name in given and given[name].shape != own[name].shape]
    wrong = [name for name in (*missing, *strange, *odd) if name.rpartition(".")[0] != last]
    if wrong:
        raise EquimeError(f"the weights in {checkpoint.folder} are of another network: {wrong[0]} does not fit")
    return {name: value for name, value in given.items() if name in own and name not in odd}
