"""Folders of models spoilt in the ways that downloads and hands spoil them, and what a Hub says of them."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from hub_server import Hub

ROOT = Path(__file__).resolve().parents[1]


def without_a_tensor(path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    del tensors[sorted(tensors)[0]]
    save_file(tensors, path, metadata={"format": "pt"})


def changed(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def in_shards(path: Path) -> None:
    """Name two shards, and have one."""
    names = [f"{path.stem}-0000{number}-of-00002.safetensors" for number in (1, 2)]
    path.rename(path.with_name(names[0]))
    path.with_name(f"{path.name}.index.json").write_text(
        json.dumps({"weight_map": dict(zip("xy", names, strict=True))})
    )


def said_by(script: str, hub: Hub, home: Path, model: str, revision: str | None, **more: str) -> str:
    """The last line that a script prints in a process that talks to the Hub."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), model, revision or ""],
        env=hub.environment(home, PYTHONPATH=str(ROOT), **more),
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    return done.stdout.splitlines()[-1]
