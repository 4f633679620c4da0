"""The device that a name of the command line means: `--device auto|cpu|cuda|cuda:N`.

device("auto", extra="caption")      # the first GPU, or the CPU where there is none
"""

from __future__ import annotations

from typing import Any

from equime.errors import EquimeError
from equime.optional import need


def device(name: str, *, extra: str) -> Any:
    """The `torch.device` of a name.

    Args:
        name: "auto", "cpu", "cuda" or "cuda:N".
        extra: The extra of `equime` that brings torch.

    Raises:
        EquimeError: No such device here.
    """
    torch = need("torch", extra=extra)
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if gpus else "cpu")
    try:
        found = torch.device(name)
    except RuntimeError as error:
        raise EquimeError(f"expected --device auto, cpu, cuda or cuda:N, got {name!r}") from error
    if found.type not in ("cpu", "cuda"):
        raise EquimeError(f"expected --device auto, cpu, cuda or cuda:N, got {name!r}")
    if found.type == "cuda" and (found.index or 0) >= gpus:
        raise EquimeError(f"no {name} here: torch {torch.__version__} sees {gpus} GPUs; use --device auto or cpu")
    return found
