"""EquiME: synthetic, equitable micro-expression video. Load it, rebuild it, use it.

    import equime
    from datasets import load_dataset

    load_dataset("equime", "video", streaming=True)         # works because equime is imported, before or after
    equime.load("ws", "metadata", split="train")            # the same by name, without `datasets`' entry point

Importing this package imports nothing heavy: names are loaded when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import wrapt

if TYPE_CHECKING:
    from equime.clip import Clip
    from equime.errors import EquimeError
    from equime.runner import run
    from equime.stage import Stage
    from equime.table import Table

__all__ = ["Clip", "EquimeError", "Stage", "Table", "__version__", "load", "run"]

NAME = "equime"
"""What `load_dataset` is asked for."""

_HOMES = {
    "Clip": "equime.clip",
    "EquimeError": "equime.errors",
    "Stage": "equime.stage",
    "Table": "equime.table",
    "run": "equime.runner",
}


def load(
    path_or_repo: str | None = None,
    config: str = "video",
    split: str | None = None,
    streaming: bool = False,
    *,
    num_proc: int | None = None,
    **options: Any,
) -> Any:
    """Load a data set: what `load_dataset("equime", ...)` returns.

    Args:
        path_or_repo: A workspace, a released tree or a Hub layout on this machine, or a Hub repository
            "owner/name"; None is the published data set.
        config: "video" (clips by split), "emotion" (clips by emotion) or "metadata" (no bytes).
        split: As `datasets` takes it: "train", "happiness[:2]+fear[:1]"; None is all, by name.
        streaming: Read while iterating, and keep nothing.
        num_proc: Processes that prepare the cache, where not streaming.
        options: Of `equime_dataset.EquimeConfig`: num_frames, size, around, apex, on_error, columns, verify,
            backend, revision; and `cache_dir`, `token`.

    Raises:
        EquimeError: Nothing to load there, no access, or an unknown config, column or option value.
    """
    from equime_dataset import builder_for

    builder = builder_for(path_or_repo, config, **options)
    if streaming:
        return builder.as_streaming_dataset(split=split)
    builder.download_and_prepare(num_proc=num_proc)
    return builder.as_dataset(split=split)


def __getattr__(name: str) -> Any:
    """Public names, imported when first used."""
    if name == "__version__":
        return importlib.import_module("equime.pieces").package_version()
    if name not in _HOMES:
        raise AttributeError(f"module 'equime' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)


def _ours(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`datasets.load.dataset_module_factory`, which also knows `equime`."""
    if (args[0] if args else kwargs.get("path")) != NAME:
        return wrapped(*args, **kwargs)
    from datasets.load import DatasetModule

    given = {name: kwargs.get(name) for name in ("data_dir", "data_files", "revision")}
    return DatasetModule("equime_dataset", "", {k: v for k, v in given.items() if v is not None})


def _teach_load(module: Any) -> None:
    wrapt.wrap_function_wrapper(module, "dataset_module_factory", _ours)


def _teach_inspect(module: Any) -> None:
    module.dataset_module_factory = importlib.import_module("datasets.load").dataset_module_factory


wrapt.register_post_import_hook(_teach_load, "datasets.load")
wrapt.register_post_import_hook(_teach_inspect, "datasets.inspect")
