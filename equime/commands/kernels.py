"""By which kernel the packaged generator warped each clip: what recognition itself must not know."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def with_kernels(samples: Any, where: Sequence[str]) -> Any:
    """The samples with `variant`: the family of the kernel, of the packaged generator's clips in workspaces here.

    Args:
        samples: `recognise.samples.Samples`.
        where: As `--data` names them.
    """
    import pyarrow as pa

    from equime.generators.warp import draw_kernel
    from equime.recognise.equime_clips import DATASET
    from equime.recognise.samples import FIELDS, Samples
    from equime.table import Table, is_workspace

    kernels: dict[str, str] = {}
    for path in (Path(text.removeprefix(f"{DATASET}=")) for text in where):
        if path.is_dir() and is_workspace(path):
            rows = Table(path).rows(["clip_id", "seed", "generator"])
            made = (row for row in rows if row["generator"] == "warp")
            kernels |= {f"{DATASET}/{row['clip_id']}": draw_kernel(row["seed"]).family for row in made}
    found = pa.array([kernels.get(name) for name in samples.table["sample_id"].to_pylist()], pa.string())
    place = FIELDS.get_field_index("variant")
    return Samples(samples.table.set_column(place, FIELDS.field(place), found), samples.origins)
