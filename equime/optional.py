"""Optional packages: imported where they are used, and missed in one line.

The core of EquiME installs without torch, TensorFlow or any model library. Code that wants one asks here:

    torch = need("torch", extra="torch")

so that an absent package reads as `pip install "equime[torch]"` and not as a traceback.
"""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from equime.errors import MissingPackageError


def need(module: str, *, extra: str) -> ModuleType:
    """Import `module`, or say which extra of this package brings it.

    Args:
        module: The importable name, dotted or not ("torch", "datasets.features").
        extra: The extra of `equime` that installs it ("torch", "tag", ...).

    Raises:
        MissingPackageError: The package is not installed, or is installed and does not import.
    """
    try:
        return importlib.import_module(module)
    except Exception as error:  # broken binaries raise OSError, RuntimeError and worse
        package = module.partition(".")[0]
        state = f"does not import ({_one_line(error)})" if available(package) else "is not installed"
        raise MissingPackageError(f'{package} {state}: run `pip install "equime[{extra}]"`') from error


def available(module: str) -> bool:
    """Whether `module` is installed, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ModuleNotFoundError, ValueError):  # no such parent package; a module without a spec
        return False


def _one_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
