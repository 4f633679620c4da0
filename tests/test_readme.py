"""Every command and Python block of the README runs, in order, in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hub_server import Hub

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCK = re.compile(r"(?:<!-- not-run: (?P<reason>[^\n]+) -->\n)?^```(?P<kind>\w+)\n(?P<body>.*?)^```$", re.M | re.S)
COMMAND = re.compile(r"^equime ", re.M)
NOT_RUN = 8  # a block that is left out needs a reason, and this number to be raised in the open


@dataclass(frozen=True)
class Block:
    kind: str
    body: str
    reason: str | None


def blocks() -> list[Block]:
    return [Block(m["kind"], m["body"], m["reason"]) for m in BLOCK.finditer(README.read_text())]


def test_only_the_counted_blocks_are_not_run() -> None:
    assert README.read_text().count("not-run") == NOT_RUN
    assert sum(block.reason is not None for block in blocks()) == NOT_RUN
    assert {block.kind for block in blocks()} == {"bash", "python"}
    assert README.read_text().count("```") == 2 * len(blocks()), "a block that this test does not see"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_block_runs(tmp_path: Path) -> None:
    with Hub() as hub:
        hub.users = {"hf_you": "you"}
        environment = hub.environment(tmp_path / "hf", "hf_you", PYTHONPATH=str(README.parent))
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        for block in blocks():
            if block.reason is None:
                run = ["bash", "-euo", "pipefail", "-c"] if block.kind == "bash" else [sys.executable, "-c"]
                body = COMMAND.sub(f"{sys.executable} -m equime ", block.body) if run[0] == "bash" else block.body
                done = subprocess.run(
                    [*run, body], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200
                )
                assert done.returncode == 0, f"{block.body}\n{done.stdout}\n{done.stderr}"
        assert set(hub.repos["you/equime"].tags) == {"1.0.0", "1.1.0"}
    assert (tmp_path / "demo" / "contact_sheet.png").exists()


def test_what_the_readme_names_is_there() -> None:
    text = README.read_text()
    makefile = (README.parent / "Makefile").read_text()
    for target in set(re.findall(r"make ([a-z-]+)", text)):
        assert f"\n{target}:" in makefile, target
    for path in re.findall(r"`((?:equime|generators)/[\w/.]+)`", text):
        assert (README.parent / path).exists() or (README.parent / "equime" / path).exists(), path
