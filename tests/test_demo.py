"""The demo, as `make demo` runs it; its parts that go wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from equime.demo import SUBJECT, demo, packaged_face
from equime.errors import EquimeError
from equime.screening.portraits import Portrait, read_portraits
from equime.table import Table


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_demo_makes_checks_loads_and_draws(tmp_path: Path) -> None:
    heard: list[str] = []
    report = demo(tmp_path / "demo", say=heard.append)
    assert (report.clips, report.loaded, report.accepted) == (10, 10, 10)
    assert SUBJECT in heard[0]
    assert "synthetic" in heard[0]
    with Image.open(report.sheet) as sheet:
        assert sheet.width > 2000
        assert sheet.height > 2000
    assert Table(report.workspace).shard_rows == 2
    again = demo(tmp_path / "demo")
    assert again == report


def test_the_packaged_face_is_named_with_its_source(tmp_path: Path) -> None:
    portraits, rejected = read_portraits(packaged_face(tmp_path))
    expected = Portrait("Eileen-Collins", "astronaut.png", gender="female", licence="public domain (NASA)", adult=True)
    assert (portraits, rejected) == ([expected], [])


def test_nowhere_to_write_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EquimeError, match="cannot write"):
        demo(tmp_path / "file")
    (tmp_path / "faces").mkdir()
    with pytest.raises(EquimeError, match="no picture in"):
        demo(tmp_path / "out", faces=tmp_path / "faces")


def test_a_workspace_is_not_littered(workspace: Path) -> None:
    with pytest.raises(EquimeError, match="is a workspace"):
        demo(workspace)
